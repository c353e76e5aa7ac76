"""Grade what learners hand in: each exercise's component answers secret questions in a sandbox, and is judged here.

How an exercise gets its marks: its cells are put together with what runs before them (`teaching.handins`), a process in a
sandbox runs them and the exercise's probe (`teaching.inside`), and the exercise judges the answers that come back, in the
notebook's cases and in those of a secret seed. An exercise that builds on an earlier one that is missing or wrong gets that
one's reference, so that one mistake costs once.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from exercises.base import SEED
from exercises.probing import pack, unpack
from facegen.files import InputError, one_line
from teaching.cells import read_cells
from teaching.handins import Book, Cell, HandIn, chosen, find_hand_ins, notebook_of, read_book
from teaching.inside import DECOY, SHARED
from teaching.student import build_student
from teaching.units import ROOT, Unit, probe_of, read_units

OF_ONE_HAND_IN = 10  # times the limit of one exercise, in seconds on the clock and per notebook


@dataclass
class Mark:
    """What one exercise of one hand-in is worth."""

    unit: Unit
    marks: int = 0
    message: str = ""  # why there are none: the check's message
    note: str = ""  # of an exercise with marks: with what it passes
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return self.marks > 0


@dataclass
class Graded:
    """One hand-in with its marks, an entry for every exercise that counts."""

    name: str
    marks: list[Mark]
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(mark.marks for mark in self.marks)

    @property
    def out_of(self) -> int:
        return sum(mark.unit.marks for mark in self.marks)


@dataclass
class Grades:
    """All hand-ins of one run, in the order of their names."""

    graded: list[Graded]
    units: list[Unit]
    isolation: str
    whole: bool  # whether every run had namespaces of its own


@dataclass(frozen=True)
class _Course:
    """What the hand-ins are compared with."""

    units: list[Unit]
    pristine: dict[str, set[str]]  # notebook -> sources of its code cells, with and without solutions
    stubs: dict[str, dict[str, str]]  # notebook -> id -> source


def grade(
    submission: str | Path,
    *,
    jobs: int = 1,
    timeout: float = 60.0,
    memory: int = 2048,
    isolation: str = "auto",
) -> Grades:
    """Grade one notebook, or a folder or zip of hand-ins.

    Args:
        submission: a notebook; a folder with notebooks under their names in the course, which is one learner's; or a folder
            or zip in which every notebook, zip and folder with notebooks is a hand-in.
        jobs: hand-ins that are graded at the same time; each takes a processor and 0.5 GB.
        timeout: seconds of processor time that one exercise may take, four times as many on the clock; the exercises of a
            notebook together ten times as many.
        memory: MB that one exercise may take beyond PyTorch's own.
        isolation: "auto", or "plain" for no namespaces.

    Returns:
        Marks out of those of all notebooks that anybody handed in. A hand-in that cannot be graded gets none, with a note.

    Raises:
        InputError: there is nothing to grade.
        RuntimeError: the grader itself fails.
    """
    with tempfile.TemporaryDirectory(prefix="facegen-grade-") as scratch, contextlib.ExitStack() as stack:
        os.chmod(scratch, 0o711)  # runs without a user of their own pass through it
        course = _course(Path(scratch) / "student")
        hand_ins = find_hand_ins(Path(submission), Path(scratch), course.stubs)
        jobs = max(1, min(jobs, len(hand_ins)))
        rooms = _Rooms(jobs, Path(scratch), isolation, stack)
        options = {"timeout": timeout, "memory": memory}
        bar = stack.enter_context(tqdm(total=len(hand_ins), disable=None, unit="hand-in", dynamic_ncols=True))

        def one(hand_in: HandIn) -> tuple[Graded, set[str]]:
            graded = Graded(hand_in.name, [Mark(unit) for unit in course.units], list(hand_in.notes))
            books: dict[str, Book] = {}
            try:
                with rooms.one() as room:
                    books = _books(hand_in, course, room, options, graded.notes)
                    for book in books.values():
                        _mark(graded, book, room, options)
                        graded.notes += [f"{book.stem}, left out: {text}" for text in book.left_out[:20]]
            except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
                graded.notes.append(f"could not be graded to the end ({type(error).__name__}: {one_line(error)})")
            bar.update()
            return graded, set(books)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                found = list(pool.map(one, hand_ins))
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                rooms.close()
                raise
    handed = set().union(*(books for _, books in found))
    if not handed:
        reason = next((note for graded, _ in found for note in graded.notes), "no notebook of the course among them")
        raise InputError(f"{submission}: nothing to grade: {reason}")
    for graded, books in found:
        graded.marks = [mark for mark in graded.marks if mark.unit.notebook in handed]
        for mark in graded.marks:
            if mark.unit.notebook not in books:
                mark.message = "this notebook was not handed in, or cannot be graded"
    units = [unit for unit in course.units if unit.notebook in handed]
    return Grades([graded for graded, _ in found], units, rooms.isolation, rooms.whole)


def _course(student: Path) -> _Course:
    build_student(student)
    units, stubs, pristine = read_units(), {}, {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        both = [read_cells(folder / path.name) for folder in (path.parent, student / "notebooks")]
        code = [[cell for cell in cells if cell["cell_type"] == "code"] for cells in both]
        stubs[path.stem] = {cell["id"]: cell["source"] for cell in code[1]}
        own = {unit.cell for unit in units if unit.notebook == path.stem}
        pristine[path.stem] = {cell["source"].strip() for cells in code for cell in cells if cell["id"] not in own}
    return _Course(units, pristine, stubs)


# -- reading


def _books(hand_in: HandIn, course: _Course, room: _Room, options: Mapping[str, float], notes: list[str]) -> dict[str, Book]:
    """The notebooks of a hand-in, one for each of the course's at most; what is wrong with the others goes into `notes`."""
    found: dict[str, list[tuple[Path, Book]]] = {}
    for path in hand_in.files:
        try:
            cells = read_book(path)
        except (InputError, OSError) as error:
            notes.append(str(error).replace(str(path), path.name))
            continue
        stem = notebook_of(path, cells, course.pristine)
        if stem is None:
            notes.append(f"{path.name}: not a notebook of the course")
            continue
        outlines, why = room.ask({"do": "outline", "sources": [cell.source for cell in cells], **options})
        if not _are_outlines(outlines, cells):
            notes.append(f"{path.name}: reading it {why or 'gave no outline of its cells'}")
            continue
        for cell, outline in zip(cells, outlines):
            cell.outline = outline
        book = Book(stem, cells, course.units, course.pristine[stem], course.stubs[stem])
        found.setdefault(stem, []).append((path, book))
    books: dict[str, Book] = {}
    for stem, candidates in found.items():
        book, note = chosen(stem, candidates)
        notes += [note] if note else []
        books |= {stem: book} if book else {}
    return books


def _are_outlines(found: Any, cells: Sequence[Cell]) -> bool:
    """No code of the hand-in ran when they were made; that reading it broke something is still possible."""
    return (
        isinstance(found, list) and len(found) == len(cells) and all(isinstance(one, dict) and "pieces" in one for one in found)
    )


# -- marking


def _mark(graded: Graded, book: Book, room: _Room, options: Mapping[str, float]) -> None:
    wrong: set[str] = set()
    left = OF_ONE_HAND_IN * 4 * options["timeout"]
    for mark in graded.marks:
        unit = mark.unit
        if unit.notebook != book.stem:
            continue
        mark.message = book.problem(unit)
        if not mark.message and left <= 0:
            mark.message = (
                f"not run: the notebook's exercises together took longer than {OF_ONE_HAND_IN} times the limit of one"
            )
        if not mark.message:
            run = book.run(unit, wrong)
            mark.message = run.copied and f"{run.copied}: no marks; write your own"
            if not mark.message:
                mark.message, mark.seconds = _examined(unit, run.cells, book.own[unit.name][-1].name, room, options)
                left -= mark.seconds
            if not mark.message:
                mark.marks = unit.marks
                mark.note = f"passes with a right {' and '.join(run.references)}" if run.references else ""
        if mark.message:
            wrong.add(unit.name)


def _examined(unit: Unit, cells: list[list[Any]], own: str, room: _Room, options: Mapping[str, float]) -> tuple[str, float]:
    """(what is wrong, in one line, or ""; seconds)."""
    exercise, seeds = unit.exercise, [SEED, secrets.randbelow(2**31)]
    cases = pack([exercise.cases_of(seed) for seed in seeds])
    job = {"do": "probe", "cells": cells, "own": own, "component": exercise.component, "probe": probe_of(exercise),
           "cases": base64.b64encode(cases).decode(), "seeds": seeds, **options}  # fmt: skip
    report, why = room.ask(job)
    if why:
        return why, room.seconds
    try:
        if problem := report["problem"]:
            return one_line(problem, 500), room.seconds
        if str(report["module"]).startswith("facegen."):
            return f"{exercise.component} is the package's own, passed on: write your own", room.seconds
        verdicts = [exercise.verdict(answers, seed) for answers, seed in zip(report["answers"], seeds, strict=True)]
    except (LookupError, TypeError, ValueError, AttributeError):
        return "what came back from its process is no answer", room.seconds
    return one_line(next(filter(None, verdicts), ""), 500), room.seconds


# -- the processes that learners' code runs in


class _Rooms:
    """As many servers as jobs, each used by one hand-in at a time."""

    def __init__(self, jobs: int, scratch: Path, wanted: str, stack: contextlib.ExitStack) -> None:
        self._all = [_Room(scratch / f"room{number}", scratch / "student", wanted) for number in range(jobs)]
        stack.callback(self.close)
        self._idle: queue.Queue[_Room] = queue.Queue()
        for room in self._all:
            room.wait()
            self._idle.put(room)
        self.isolation, self.whole = self._all[0].isolation, self._all[0].whole

    @contextlib.contextmanager
    def one(self) -> Iterator[_Room]:
        room = self._idle.get()
        try:
            yield room
        finally:
            self._idle.put(room)

    def close(self) -> None:
        for room in self._all:
            room.close()


class _Room:
    """A server of `teaching.inside`, and the trees that its runs see."""

    def __init__(self, scratch: Path, student: Path, wanted: str) -> None:
        scratch.mkdir(mode=0o711)
        probe = scratch / "probe"
        for name in ("facegen", "assets"):
            shutil.copytree(student / name, probe / name, copy_function=os.link, ignore=shutil.ignore_patterns("answers.json"))
        (probe / "exercises").mkdir()
        for name in SHARED:
            shutil.copyfile(ROOT / "exercises" / name, probe / "exercises" / name)
        (probe / "problem_unittests.py").write_text(DECOY)
        self._arguments = [str(ROOT), str(scratch), wanted]
        self._errors = scratch / f"errors-{secrets.token_hex(4)}"
        self._start()

    def _start(self) -> None:
        """Start the server; `wait` for it before the first job."""
        env = {**os.environ, "OMP_NUM_THREADS": "1", "FACEGEN_PRESET": "ci", "MPLBACKEND": "agg"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        with open(self._errors, "w") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            command = [sys.executable, "-m", "teaching.inside", *self._arguments]
            self._process = subprocess.Popen(command, **pipes, cwd=ROOT, env=env, text=True, encoding="utf-8")

    def wait(self) -> None:
        hello = self._read()
        self.isolation, self.whole = hello["isolation"], hello["whole"]

    def ask(self, job: Mapping[str, Any]) -> tuple[Any, str]:
        """(what a run reported, as plain data; why there is nothing to read, or "").

        A server that has died, for want of memory perhaps, is started again, once.
        """
        try:
            reply = self._ask(job)
        except RuntimeError:
            self.close()
            self._start()
            self.wait()
            reply = self._ask(job)
        self.seconds = reply["seconds"]
        if reply["why"]:
            return None, reply["why"]
        try:
            return unpack(base64.b64decode(reply["said"])), ""
        except ValueError as error:
            return None, f"what came back from its process cannot be read: {error}"

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # _read says why
            self._process.stdin.write(json.dumps(dict(job)) + "\n")
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            said = self._errors.read_text(errors="replace").strip().splitlines()
            raise RuntimeError(f"the grader's own process ended: {said[-1] if said else 'no message'}")
        return json.loads(line)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
