"""What a teacher reads after grading: a page, a table with one row for each hand-in, and JUnit XML."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from facegen.course.grade import Graded, Grades
from facegen.files import replacing, write_text
from facegen.pages import render

TEMPLATES = Path(__file__).with_name("templates")
LIMITS = (
    "Marks are decided by the pristine checks, in processes of their own, on the learner's solution cells alone. This does "
    "not protect against solutions that were copied by hand from the package, from the checks or from another person; against "
    "code that reads the grader's memory by means that Python does not announce; or against a hole in the system's kernel. "
    "It says what a component does, not how well it is written."
)

_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold


def summary(grades: Grades) -> str:
    """One line for each hand-in: name, marks, and what is missing."""
    width = max(len(_plain(graded.name)) for graded in grades.graded)
    lines = []
    for graded in grades.graded:
        missing = [mark.exercise.name for mark in graded.marks if not mark.passed]
        text = f"{_plain(graded.name):{width}}  {graded.total:3} of {graded.out_of}"
        lines.append(text + (f"  without {', '.join(missing)}" if missing else ""))
    return "\n".join(lines)


def percent(graded: Graded) -> float:
    return 100 * graded.total / graded.out_of


# -- CSV


def write_csv(grades: Grades, path: Path) -> None:
    """One row for each hand-in: name, marks, out of, percent, the marks of every exercise, messages."""
    names = [exercise.name for exercise in grades.exercises]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "marks", "out_of", "percent", *names, "messages"])
        for graded in grades.graded:
            said = [*graded.notes, *(mark.message for mark in graded.marks if mark.message)]
            marks = [mark.marks for mark in graded.marks]
            row = [_cell(graded.name), graded.total, graded.out_of, f"{percent(graded):.1f}", *marks, _cell(" | ".join(said))]
            writer.writerow(row)


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    text = _plain(text)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _plain(text: str) -> str:
    """On one line, without control characters and halves of surrogate pairs."""
    return " ".join(_CONTROL.sub("\ufffd", text).split())


# -- JUnit


def write_junit(grades: Grades, path: Path) -> None:
    """A suite for each hand-in, a case for each exercise; no marks are a failure with the check's message."""
    root = ET.Element("testsuites")
    for graded in grades.graded:
        failures = sum(not mark.passed for mark in graded.marks)
        numbers = {"tests": len(graded.marks), "failures": failures, "errors": 0, "skipped": 0}
        facts = {"name": _plain(graded.name), "time": f"{sum(mark.seconds for mark in graded.marks):.2f}"}
        suite = ET.SubElement(root, "testsuite", facts | {name: str(number) for name, number in numbers.items()})
        properties = ET.SubElement(suite, "properties")
        for name, value in (("marks", graded.total), ("out_of", graded.out_of)):
            ET.SubElement(properties, "property", {"name": name, "value": str(value)})
        for mark in graded.marks:
            exercise = mark.exercise
            facts = {
                "classname": exercise.notebook,
                "name": exercise.name,
                "time": f"{mark.seconds:.2f}",
            }
            case = ET.SubElement(suite, "testcase", facts)
            if not mark.passed:
                ET.SubElement(case, "failure", {"message": _plain(mark.message)})
        if graded.notes:
            ET.SubElement(suite, "system-out").text = "\n".join(_plain(note) for note in graded.notes)
    ET.indent(root)
    with replacing(path) as temporary:
        ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


# -- HTML


def write_page(grades: Grades, path: Path) -> None:
    """A page that needs nothing beside it: the table of all, and each hand-in with the checks' messages."""
    count = len(grades.graded)
    mean = sum(percent(graded) for graded in grades.graded) / count
    facts = f"{count} hand-in{'s' * (count != 1)}, {mean:.0f} % on average. How they were run: {grades.isolation}."
    values = {"grades": grades, "facts": facts, "percent": percent, "limits": LIMITS}
    write_text(path, render("marks.html", values, TEMPLATES))
