"""`facegen student` and `facegen bank`: what a teacher hands out, and the proof that its checks can be trusted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from facegen.verbs.common import add_verb, check_folder


def add_student(verbs) -> None:
    text = "build the tree that learners get: stubs in the place of solutions, outputs of exercises cleared"
    parser = add_verb(verbs, "student", _student, text, "facegen student build/student")
    parser.add_argument("dest", type=Path, metavar="DEST", help="a new or empty folder")
    parser.add_argument("--tree", type=Path, default=Path(), metavar="DIR", help="the course: the folder with notebooks/")
    help_text = "branch of the repository to which the links to Colab point: publish DEST there"
    parser.add_argument("--branch", default="student", help=help_text)


def _student(args: argparse.Namespace) -> int:
    from facegen.course.student import build_student

    built = build_student(args.tree, args.dest, branch=args.branch)
    what = f"{built.notebooks} notebooks, {len(built.exercises)} exercises, {built.marks} marks"
    print(f"{built.folder}: {what}, {built.files} files")
    return 0


def add_bank(verbs) -> None:
    text = "run every check on wrong and right solutions, and report which caught what"
    parser = add_verb(verbs, "bank", _bank, text, "facegen bank --only scale,unscale --seeds 3")
    parser.add_argument("--tree", type=Path, default=Path(), metavar="DIR", help="the course: the folder with tests/wrong")
    parser.add_argument("--out", type=Path, default=Path("build/bank"), metavar="DIR", help="where bank.html and bank.csv go")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="how many seeds each check runs with")
    parser.add_argument("--only", type=lambda text: text.split(","), metavar="NAME,...", help="these exercises only")
    parser.add_argument("-j", "--workers", type=int, metavar="N", help="processes (default: one per CPU)")


def _bank(args: argparse.Namespace) -> int:
    from facegen.course.bank import run_bank, table, write_report

    check_folder("--out", args.out)
    bank = run_bank(args.tree, seeds=args.seeds, workers=args.workers, only=args.only or ())
    write_report(bank, args.out)
    print(table(bank))
    for problem in bank.problems:
        print(problem, file=sys.stderr)
    print(f"{bank.summary}: {args.out / 'bank.html'}")
    return int(bool(bank.problems))
