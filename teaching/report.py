"""What a teacher reads after grading: a page, a table with one row for each hand-in, and JUnit XML."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ET
from pathlib import Path

from facegen.files import one_line, replacing, write_text
from facegen.pages import render
from teaching.grade import Graded, Grades

TEMPLATES = Path(__file__).with_name("templates")
LIMITS = (
    "A grade says that the handed-in code answered secret questions rightly, not who wrote it. Code that a plain look at its "
    "source shows to use the package's own solution is named and earns nothing."
)


def summary(grades: Grades) -> str:
    """One line for each hand-in: name, marks, and what is missing."""
    width = max(len(one_line(graded.name)) for graded in grades.graded)
    lines = []
    for graded in grades.graded:
        missing = [mark.unit.name for mark in graded.marks if not mark.passed]
        text = f"{one_line(graded.name):{width}}  {graded.total:3} of {graded.out_of}"
        lines.append(text + (f"  without {', '.join(missing)}" if missing else ""))
    return "\n".join(lines)


def percent(graded: Graded) -> float:
    return 100 * graded.total / graded.out_of


# -- CSV


def write_csv(grades: Grades, path: Path) -> None:
    """One row for each hand-in: name, marks, out of, percent, the marks of every exercise, messages."""
    names = [unit.name for unit in grades.units]
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)  # a semicolon may part columns, too
        writer.writerow(["name", "marks", "out_of", "percent", *names, "messages"])
        for graded in grades.graded:
            said = [*graded.notes, *(mark.message for mark in graded.marks if mark.message)]
            marks = [mark.marks for mark in graded.marks]
            row = [_cell(graded.name), graded.total, graded.out_of, f"{percent(graded):.1f}", *marks, _cell(" | ".join(said))]
            writer.writerow(row)


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula, with its signs in full width neither."""
    text = one_line(text, 5000)
    return f"'{text}" if text.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")) else text


# -- JUnit


def write_junit(grades: Grades, path: Path) -> None:
    """A suite for each hand-in, a case for each exercise; no marks are a failure with the check's message."""
    root = ET.Element("testsuites")
    for graded in grades.graded:
        failures = sum(not mark.passed for mark in graded.marks)
        numbers = {"tests": len(graded.marks), "failures": failures, "errors": 0, "skipped": 0}
        facts = {"name": one_line(graded.name), "time": f"{sum(mark.seconds for mark in graded.marks):.2f}"}
        suite = ET.SubElement(root, "testsuite", facts | {name: str(number) for name, number in numbers.items()})
        properties = ET.SubElement(suite, "properties")
        for name, value in (("marks", graded.total), ("out_of", graded.out_of)):
            ET.SubElement(properties, "property", {"name": name, "value": str(value)})
        for mark in graded.marks:
            facts = {"classname": mark.unit.notebook, "name": mark.unit.name, "time": f"{mark.seconds:.2f}"}
            case = ET.SubElement(suite, "testcase", facts)
            if not mark.passed:
                ET.SubElement(case, "failure", {"message": one_line(mark.message, 500)})
        if graded.notes:
            ET.SubElement(suite, "system-out").text = "\n".join(one_line(note, 500) for note in graded.notes)
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
