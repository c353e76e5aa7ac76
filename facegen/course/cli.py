"""The teacher's verbs: `student`, `bank`, `grade`, `course`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from facegen.cli.flags import Folder, Kind, file, verb

Tree = Annotated[Path, Kind("DIR", Path)]
Amount = (lambda x: 0 < x < 1e9, "must lie between 0 and 1e9")


@verb("teach", "student build/student")
class Student:
    """Build the tree that learners get: a stub in the place of every solution."""

    dest: Annotated[Path, Kind("DEST", Path, positional=True)]  # a new or empty folder
    tree: Tree = "."  # the course: the folder with notebooks/
    branch: str = "student"  # branch of the repository to which the links to Colab point: publish DEST there

    def run(self) -> None:
        from facegen.course.student import build_student

        built = build_student(self.tree, self.dest, branch=self.branch)
        what = f"{built.notebooks} notebooks, {len(built.exercises)} exercises, {built.marks} marks"
        print(f"{built.folder}: {what}, {built.files} files")


@verb("teach", "grade notebooks/01_data_loading.ipynb --report marks.html --csv marks.csv")
class Grade:
    """Give marks to a notebook that a learner hands in, or to a folder of them."""

    # a notebook; or a folder with a notebook or folder for each
    submission: Annotated[Path, Kind("SUBMISSION.ipynb|DIR", Path, positional=True)]
    report: Annotated[Path | None, Kind("FILE.html", file())] = None  # write a page with every check's message
    csv: Annotated[Path | None, Kind("FILE.csv", file())] = None  # write one row for each hand-in
    junit: Annotated[Path | None, Kind("FILE.xml", file())] = None  # write JUnit XML, a suite for each hand-in
    jobs: Annotated[int, Amount] = 1  # hand-ins graded at the same time
    tree: Tree | None = None  # the course with its solutions (default: where facegen lies)
    # processor time an exercise may take; four times as many on the clock
    timeout: Annotated[float, Kind("SECONDS", float), Amount] = 60.0
    memory: Annotated[int, Kind("MB", int), Amount] = 2048  # memory an exercise may take
    no_nbval: bool = False  # leave out the run of each notebook with pytest --nbval, on which no marks hang

    def run(self) -> None:
        from facegen.course.grade import grade
        from facegen.course.report import LIMITS, summary, write_csv, write_junit, write_page

        limits = {"jobs": self.jobs, "timeout": self.timeout, "memory": self.memory}
        grades = grade(self.submission, tree=self.tree, notebook=not self.no_nbval, **limits)
        print(summary(grades))
        for path, write in ((self.report, write_page), (self.csv, write_csv), (self.junit, write_junit)):
            if path is not None:
                write(grades, path)
                print(f"written: {path}")
        if len(grades.graded) == 1:
            for mark in grades.graded[0].marks:
                if mark.message:
                    print(f"{mark.exercise.notebook}, {mark.exercise.cell}: {mark.message}")
            for note in grades.graded[0].notes:
                print(f"note: {note}")
        print(f"How it was run: {grades.isolation}.\n{LIMITS}")


@verb("teach", "bank --only scale,unscale --seeds 3")
class Bank:
    """Run every check on wrong and right solutions, and report which caught what."""

    tree: Tree = "."  # the course: the folder with tests/wrong
    out: Folder = "build/bank"  # where bank.html and bank.csv go
    seeds: int = 20  # how many seeds each check runs with
    only: Annotated[str | None, Kind("NAME,...")] = None  # these exercises only
    workers: Annotated[int | None, Kind("N", int, ("--workers", "-j"))] = None  # processes (default: one per CPU)

    def run(self) -> int:
        from facegen.course.bank import run_bank, table, write_report

        only = self.only.split(",") if self.only else ()
        bank = run_bank(self.tree, seeds=self.seeds, workers=self.workers, only=only)
        write_report(bank, self.out)
        print(table(bank))
        for problem in bank.problems:
            print(problem, file=sys.stderr)
        print(f"{bank.summary}: {self.out / 'bank.html'}")
        return int(bool(bank.problems))


@verb("teach", "course --preset ci")
class Course:
    """Run every notebook without a browser and write pages to read."""

    notebooks: Tree = "notebooks"  # where they are
    out: Folder = "build/course"  # where the pages go
    preset: Literal["ci", "cpu", "gpu"] = "cpu"  # how much the notebooks do

    def run(self) -> int:
        from facegen.course.run import run_course

        return run_course(self.notebooks, self.out, preset=self.preset)
