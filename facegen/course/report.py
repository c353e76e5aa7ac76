"""What a teacher reads after grading: a page, a table with one row for each hand-in, and JUnit XML."""

from __future__ import annotations

import csv
import html
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from facegen.course.grade import Graded, Grades, Mark
from facegen.files import replacing, write_text

__all__ = ["LIMITS", "summary", "write_csv", "write_junit", "write_page"]

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
    heads = "".join(
        f'<th title="{_text(e.notebook)}">{_text(e.name)}<br><small>{e.marks}</small></th>' for e in grades.exercises
    )
    rows = "\n".join(_row(graded, number) for number, graded in enumerate(grades.graded))
    parts = "\n".join(_part(graded, number) for number, graded in enumerate(grades.graded))
    count = len(grades.graded)
    mean = sum(percent(graded) for graded in grades.graded) / count
    facts = f"{count} hand-in{'s' * (count != 1)}, {mean:.0f} % on average. How they were run: {grades.isolation}."
    page = _PAGE.replace("@FACTS@", _text(facts)).replace("@HEADS@", heads).replace("@LIMITS@", _text(LIMITS))
    page = page.replace("@WARNING@", "" if grades.whole else ' class="warning"')
    page = page.replace("@ROWS@", rows).replace("@PARTS@", parts)  # last: a name may hold anything
    write_text(path, page)


def _text(text: str) -> str:
    return html.escape(_plain(text)).replace("@", "&#64;")


def _row(graded: Graded, number: int) -> str:
    cells = "".join(f'<td class="{_tone(mark)}" title="{_text(mark.message)}">{mark.marks}</td>' for mark in graded.marks)
    link = f'<a href="#h{number}">{_text(graded.name)}</a>'
    return f"<tr><th>{link}</th><td><b>{graded.total}</b> / {graded.out_of}</td><td>{percent(graded):.0f} %</td>{cells}</tr>"


def _tone(mark: Mark) -> str:
    return "good" if mark.passed else "bad"


def _part(graded: Graded, number: int) -> str:
    notes = "".join(f"<p>{_text(note)}</p>" for note in graded.notes)
    lines = "\n".join(_line(mark) for mark in graded.marks)
    heading = f'<h2 id="h{number}">{_text(graded.name)} <small>{graded.total} of {graded.out_of}</small></h2>'
    columns = "<tr><th>exercise</th><th>marks</th><th>in the notebook</th><th>what the check says</th></tr>"
    return f"<section>{heading}{notes}<table>{columns}{lines}</table></section>"


def _line(mark: Mark) -> str:
    sign = "✓" if mark.passed else "✗"
    name = f"<td><small>{_text(mark.exercise.notebook)}</small><br>{_text(mark.exercise.name)}</td>"
    marks = f'<td class="{_tone(mark)}">{sign} {mark.marks} of {mark.exercise.marks}</td>'
    return f"<tr>{name}{marks}<td>{_text(mark.in_notebook) or '–'}</td><td>{_text(mark.message)}</td></tr>"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Marks</title>
<style>
:root { color-scheme: light dark; --paper: #f6f5f2; --card: #fff; --ink: #23211e; --soft: #66625b; --rule: #e2dfd8;
  --link: #005a8c; --good: #1b7a4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161718; --card: #212325; --ink: #ecebe8; --soft: #a9a69f; --rule: #36383b; --link: #7cc0ea;
    --good: #6fcf9b; --bad: #ff9a8f; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 32px 20px 60px; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; }
h1 { margin: 0; font-size: 1.9rem; }
h2 { margin: 0 0 .4em; font-size: 1.2rem; overflow-wrap: anywhere; }
small { color: var(--soft); font-weight: normal; }
.warning { padding: .6em .9em; border-left: 3px solid var(--bad); background: var(--card); }
.wide { overflow-x: auto; margin: 20px 0 28px; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .4em .7em; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
.wide th, .wide td { white-space: nowrap; }
.wide th:first-child { position: sticky; left: 0; background: var(--card); max-width: 16em; overflow: hidden; }
section { margin: 0 0 18px; padding: 16px 18px; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; }
section table { width: 100%; }
section td:nth-child(-n+3) { white-space: nowrap; }
a { color: var(--link); }
.good { color: var(--good); }
.bad { color: var(--bad); }
footer { margin-top: 30px; color: var(--soft); font-size: .9rem; }
</style>
</head>
<body>
<main>
<header><h1>Marks</h1><p@WARNING@>@FACTS@</p></header>
<div class="wide"><table><thead><tr><th>name</th><th>marks</th><th></th>@HEADS@</tr></thead><tbody>
@ROWS@
</tbody></table></div>
@PARTS@
<footer>@LIMITS@ “In the notebook” tells whether the check also passed when all cells ran one after another in a real kernel
(pytest --nbval); marks do not hang on it.</footer>
</main>
</body>
</html>
"""
