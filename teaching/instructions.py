"""What Instructions.md and the notebooks' headings say about the exercises, printed from the exercises' own files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from facegen.files import InputError, write_text
from teaching.bank import solutions
from teaching.cells import read_cells
from teaching.units import ROOT, Unit, read_units

SHOWN = 8  # mistakes of an exercise in Instructions.md; the check knows more
_HARD = {1: "easy", 2: "medium", 3: "hard"}
_MARKS = r"\d+ marks?(?: each)?|\d+(?:, \d+)* and \d+ marks"


def write_instructions(tree: Path = ROOT) -> list[Path]:
    """Bring tables and marks in Instructions.md and in the notebooks' headings up to date; returns the files that changed."""
    units = read_units(tree / "notebooks")
    new = {tree / "Instructions.md": instructions((tree / "Instructions.md").read_text(encoding="utf-8"), units)}
    for path in sorted((tree / "notebooks").glob("*.ipynb")):
        new[path] = headed(path, [unit for unit in units if unit.notebook == path.stem])
    changed = [path for path, text in new.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        write_text(path, new[path])
    return changed


def instructions(text: str, units: Sequence[Unit]) -> str:
    """Instructions.md with today's list of exercises, marks and mistakes.

    Raises:
        InputError: a chapter has no heading, or a section no table.
    """
    rows = ["| Notebook | Exercise | Check | Minutes | | Marks |", "|---|---|---|---|---|---|"]
    for unit in units:
        e = unit.exercise
        check = f"`tests.test_{unit.name}({e.component})`"
        work = f"{e.minutes} | {_HARD[e.difficulty]}"
        rows.append(f"| {unit.notebook[:2]} | `{e.component}`: {e.task} | {check} | {work} | {unit.marks} |")
    text = _with_table(text, r"\A", rows, "the list of exercises")
    for number in dict.fromkeys(unit.notebook[:2] for unit in units):
        total = sum(unit.marks for unit in units if unit.notebook[:2] == number)
        text, found = re.subn(
            rf"^(## {number} [^\n]*?): \d+ marks?$", rf"\1: {marks(total)}", text, count=1, flags=re.MULTILINE
        )
        if not found:
            raise InputError(f"Instructions.md has no heading `## {number} TITLE: {marks(total)}`")
    for unit in units:
        e = unit.exercise
        heading = rf"^### `(?:{e.component}|{unit.name})(?:\(.*?\))?`"
        if not re.search(heading, text, re.MULTILINE):  # a new exercise: what its file says of it, to be written out
            end = re.compile(rf"^## {unit.notebook[:2]} .*?(?=^## |^---$|\Z)", re.MULTILINE | re.DOTALL).search(text).end()
            section = f"### `{e.component}`: \n\n**Task.** {e.task}\n\n**The check looks at** {e.verified}.\n\n| - |\n\n"
            text = text[:end] + section + text[end:]
        text = re.sub(rf"({heading}): [^\n]*$", rf"\1: {marks(unit.marks)}", text, count=1, flags=re.MULTILINE)
        lines = list(dict.fromkeys(entry.expected for entry, _ in solutions(unit.name) if not entry.right))[:SHOWN]
        rows = ["| What the check may say |", "|---|", *(f"| {line.replace('|', chr(92) + '|')} |" for line in lines)]
        text = _with_table(text, heading, rows, f"the mistakes of {unit.name}")
    return text


def _with_table(text: str, start: str, rows: Sequence[str], what: str) -> str:
    """`text` with its first table behind `start` replaced."""
    begin = re.search(start, text, re.MULTILINE).end()
    table = re.search(r"(?:^\|[^\n]*\n)+", text[begin:], re.MULTILINE)
    following = re.search(r"^##", text[begin + 1 :], re.MULTILINE)
    if table is None or (following and table.start() > following.start() + 1):
        raise InputError(f"Instructions.md has no table for {what}: put one row of it there, | - |")
    return text[: begin + table.start()] + "\n".join(rows) + "\n" + text[begin + table.end() :]


def headed(path: Path, units: Sequence[Unit]) -> str:
    """A notebook's file with today's marks at its start and in the headings above its exercises; nothing else changes."""
    text, cells = path.read_text(encoding="utf-8"), read_cells(path)
    places = {cell.get("id"): number for number, cell in enumerate(cells)}
    shared: dict[str, list[Unit]] = {}
    for unit in units:
        above = [line for cell in cells[: places[unit.cell]] for line in cell["source"].split("\n") if _is_heading(cell, line)]
        if not above:
            raise InputError(f"{path.name}: no heading `## Exercise N · TITLE (N marks)` stands above the cell {unit.cell}")
        shared.setdefault(above[-1], []).append(unit)
    total = sum(unit.marks for unit in units)
    text = re.sub(r"(\*\*Marks(?::\*\*|\*\* in this notebook:) )\d+( of the course's 100)", rf"\g<1>{total}\2", text)
    for line, under in shared.items():
        each = [unit.marks for unit in under]
        said = f"{', '.join(map(str, each[:-1]))} and {each[-1]} marks" if each[1:] else marks(each[0])
        if each[1:] and len(set(each)) == 1:
            said = f"{marks(each[0])} each"
        new = re.sub(rf"\((?:{_MARKS})\)", f"({said})", line)
        text = text.replace(json.dumps(line, ensure_ascii=False)[1:-1], json.dumps(new, ensure_ascii=False)[1:-1])
    return text


def _is_heading(cell: dict, line: str) -> bool:
    return cell["cell_type"] == "markdown" and bool(re.match(rf"#+ Exercises? .*\((?:{_MARKS})\)$", line))


def marks(number: int) -> str:
    return f"{number} mark{'s' * (number != 1)}"
