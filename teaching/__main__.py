"""The teacher's command line: `python -m teaching student|grade|bank|course|instructions`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from facegen.__main__ import guarded
from facegen.cli.flags import Folder, Kind, file, parse, verb
from facegen.config import Count, Positive
from facegen.files import InputError

PROGRAM = "python -m teaching"


@verb("teach", "student build/student", program=PROGRAM)
class Student:
    """Build the tree that learners get: a stub in the place of every solution."""

    dest: Annotated[Path, Kind("DEST", Path, positional=True)]  # a new or empty folder
    branch: str = "student"  # branch of the repository to which the links to Colab point: publish DEST there

    def run(self) -> None:
        from teaching.student import build_student

        built = build_student(self.dest, branch=self.branch)
        what = f"{built.notebooks} notebooks, {len(built.units)} exercises, {built.marks} marks"
        print(f"{built.folder}: {what}, {built.files} files")


@verb("teach", "grade handed-in --report marks.html --csv marks.csv --jobs 2", program=PROGRAM)
class Grade:
    """Give marks to a notebook that a learner hands in, or to a folder of them."""

    # a notebook; or a folder or zip with a notebook, folder or zip for each
    submission: Annotated[Path, Kind("SUBMISSION.ipynb|DIR|ZIP", Path, positional=True)]
    report: Annotated[Path | None, Kind("FILE.html", file())] = None  # write a page with every check's message
    csv: Annotated[Path | None, Kind("FILE.csv", file())] = None  # write one row for each hand-in
    junit: Annotated[Path | None, Kind("FILE.xml", file())] = None  # write JUnit XML, a suite for each hand-in
    jobs: Count = 1  # hand-ins graded at the same time
    # processor time an exercise may take; four times as many on the clock
    timeout: Annotated[Positive, Kind("SECONDS", float)] = 60.0
    memory: Annotated[Count, Kind("MB", int)] = 2048  # memory an exercise may take

    def run(self) -> None:
        from teaching.grade import grade
        from teaching.report import LIMITS, summary, write_csv, write_junit, write_page

        grades = grade(self.submission, jobs=self.jobs, timeout=self.timeout, memory=self.memory)
        print(summary(grades))
        for path, write in ((self.report, write_page), (self.csv, write_csv), (self.junit, write_junit)):
            if path is not None:
                write(grades, path)
                print(f"written: {path}")
        if len(grades.graded) == 1:
            for mark in grades.graded[0].marks:
                if mark.message or mark.note:
                    print(f"{mark.unit.name}: {mark.message or mark.note}")
            for note in grades.graded[0].notes:
                print(f"note: {note}")
        print(f"How it was run: {grades.isolation}.\n{LIMITS}")


@verb("teach", "bank --only scale,unscale --seeds 3", program=PROGRAM)
class Bank:
    """Run every check on wrong and right solutions, and report which caught what."""

    out: Folder = "build/bank"  # where bank.html and bank.csv go
    seeds: Count = 20  # how many seeds each check runs with
    only: Annotated[str | None, Kind("NAME,...")] = None  # these exercises only
    workers: Annotated[Count, Kind("N", int, ("--workers", "-j"))] | None = None  # processes (default: one per CPU)

    def run(self) -> int:
        from teaching.bank import run_bank, table, write_report

        only = self.only.split(",") if self.only else ()
        bank = run_bank(seeds=self.seeds, workers=self.workers, only=only)
        write_report(bank, self.out)
        print(table(bank))
        for problem in bank.problems:
            print(problem, file=sys.stderr)
        print(f"{bank.summary}: {self.out / 'bank.html'}")
        return int(bool(bank.problems))


@verb("teach", "course --preset ci", program=PROGRAM)
class Course:
    """Run every notebook without a browser and write pages to read."""

    notebooks: Annotated[Path, Kind("DIR", Path)] = "notebooks"  # where they are
    out: Folder = "build/course"  # where the pages go
    preset: Literal["ci", "cpu", "gpu"] = "cpu"  # how much the notebooks do

    def run(self) -> int:
        from teaching.run import run_course

        return run_course(self.notebooks, self.out, preset=self.preset)


@verb("teach", "instructions", program=PROGRAM)
class Instructions:
    """Bring Instructions.md and the notebooks' headings up to date with the exercises."""

    def run(self) -> None:
        from teaching.instructions import write_instructions

        for path in write_instructions():
            print(f"written: {path}")


VERBS = {cls.verb: cls for cls in (Student, Grade, Bank, Course, Instructions)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns its exit code, as `facegen` does."""
    return guarded(lambda: _run(sys.argv[1:] if argv is None else list(argv)), "teaching")


def _run(argv: Sequence[str]) -> int | None:
    if argv and argv[0] in VERBS:
        return parse(argv[1:], VERBS[argv[0]]).run()
    lines = [f"  {name:13} {cls.__doc__.splitlines()[0][:-1]}" for name, cls in VERBS.items()]
    if argv not in (["-h"], ["--help"]):
        raise InputError(f"give a verb: python -m teaching {' | '.join(VERBS)}")
    return print("\n".join(["python -m teaching VERB ...: what a teacher needs; --help after a verb explains it", *lines]))


if __name__ == "__main__":
    sys.exit(main())
