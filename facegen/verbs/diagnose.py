"""`facegen diagnose`: what is wrong with a training run, from its folder, with evidence and what to try."""

from __future__ import annotations

import argparse
from pathlib import Path

from facegen.verbs.common import add_verb, check_file


def add_diagnose(verbs) -> None:
    """Declare the verb."""
    parser = add_verb(
        verbs,
        "diagnose",
        _diagnose,
        "say what is wrong with a training run, finished or not, and what to try",
        "facegen diagnose runs/congress --data data/congress",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    text = "the pictures it was trained on; drawn ones are drawn again. Without them copies, colours and spots are left out"
    parser.add_argument("--data", metavar="DIR|ZIP|drawn:N", help=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings here")


def _diagnose(args: argparse.Namespace) -> int:
    from facegen.evaluation.diagnosis import diagnosis, write_diagnosis

    if args.json:
        check_file("--json", args.json)
    about, found, left_out = diagnosis(args.run, args.data)
    print(about)
    for alarm in found:
        print(f"- {alarm}")
    if not found:
        print("Nothing found that is known here.")
    for line in left_out:
        print(f"Not looked for: {line}")
    if args.json:
        write_diagnosis(args.json, found, left_out)
    return 0
