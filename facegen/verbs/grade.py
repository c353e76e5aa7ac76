"""`facegen grade`: marks for what learners hand in."""

from __future__ import annotations

import argparse
from pathlib import Path

from facegen.files import InputError
from facegen.verbs.common import add_verb, check_file


def add_grade(verbs) -> None:
    parser = add_verb(
        verbs,
        "grade",
        _grade,
        "give marks to a notebook that a learner hands in, or to a folder of them",
        "facegen grade handed-in --report marks.html --csv marks.csv --jobs 4",
    )
    parser.add_argument(
        "submission",
        type=Path,
        metavar="SUBMISSION.ipynb|DIR",
        help="a notebook; or a folder with a notebook or folder for each",
    )
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with every check's message")
    parser.add_argument("--csv", type=Path, metavar="FILE.csv", help="write one row for each hand-in")
    parser.add_argument("--junit", type=Path, metavar="FILE.xml", help="write JUnit XML, a suite for each hand-in")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="hand-ins graded at the same time")
    parser.add_argument("--tree", type=Path, metavar="DIR", help="the course with its solutions (default: where facegen lies)")
    text = "processor time an exercise may take; four times as many on the clock"
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help=text)
    parser.add_argument("--memory", type=int, default=2048, metavar="MB", help="memory an exercise may take")
    text = "leave out the run of each notebook with pytest --nbval, on which no marks hang"
    parser.add_argument("--no-nbval", action="store_true", help=text)


def _grade(args: argparse.Namespace) -> int:
    from facegen.course.grade import grade
    from facegen.course.report import LIMITS, summary, write_csv, write_junit, write_page

    for flag, value in (("--jobs", args.jobs), ("--timeout", args.timeout), ("--memory", args.memory)):
        if not 0 < value < 1e9:
            raise InputError(f"{flag} {value:g}: give a number above 0")
    outputs = {"--report": args.report, "--csv": args.csv, "--junit": args.junit}
    for flag, path in outputs.items():
        if path is not None:
            check_file(flag, path)
    grades = grade(
        args.submission,
        tree=args.tree,
        jobs=args.jobs,
        timeout=args.timeout,
        memory=args.memory,
        notebook=not args.no_nbval,
    )
    print(summary(grades))
    for path, write in ((args.report, write_page), (args.csv, write_csv), (args.junit, write_junit)):
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
    return 0
