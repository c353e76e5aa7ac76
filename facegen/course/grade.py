"""Grade what learners hand in: their solution cells alone, in the pristine notebook, beside the pristine checks.

How an exercise gets its marks: the learner's cell, found by its id, is put together with what it needs from the notebook
(imports, the teacher's cells that it uses, the learner's earlier exercises that it uses), and `facegen.course.examine` runs the
pristine check on it, in processes of their own, without the other exercises, so that none takes marks from another. Beside
that `pytest --nbval` runs each notebook with all the learner's cells in a real kernel, and the report says which checks pass
there; marks do not hang on it, because in a kernel the learner's code could answer for the check.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

import facegen
from facegen.course.exercises import Exercise, names_of, read_cells, read_exercises
from facegen.course.student import build_student
from facegen.files import InputError

FILE_LIMIT = 64 << 20  # bytes of a notebook; the course's own are below 5 MB


@dataclass(frozen=True)
class HandIn:
    """One learner's files."""

    name: str
    files: tuple[Path, ...]


@dataclass
class Mark:
    """What one exercise of one hand-in is worth."""

    exercise: Exercise
    marks: int = 0
    message: str = ""  # why there are none: the check's message
    in_notebook: str = ""  # "passed", "failed" or "not run" in pytest --nbval; "" where that was left out
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
        return sum(mark.exercise.marks for mark in self.marks)


@dataclass
class Grades:
    """All hand-ins of one run, in the order of their names."""

    graded: list[Graded]
    exercises: list[Exercise]
    isolation: str
    whole: bool  # whether every run had namespaces of its own


def grade(
    submission: str | Path,
    *,
    tree: str | Path | None = None,
    jobs: int = 1,
    timeout: float = 60.0,
    memory: int = 2048,
    notebook: bool = True,
    isolation: str = "auto",
) -> Grades:
    """Grade one notebook, or a folder of hand-ins.

    Args:
        submission: an .ipynb file; a folder with notebooks under their names in the course, which is one learner's; or a
            folder in which every .ipynb file and every folder with .ipynb files is a hand-in.
        tree: the teacher's tree, with solutions; default: that of this package.
        jobs: hand-ins that are graded at the same time; each takes a processor and 0.5 GB.
        timeout: seconds of processor time that one exercise may take, four times as many on the clock.
        memory: MB that one exercise may take beyond PyTorch's own.
        notebook: also run every notebook as a whole with pytest --nbval, for information.
        isolation: "auto", or "guards" for no namespaces.

    Returns:
        Marks out of those of all notebooks that anybody handed in. One hand-in that cannot be read gets none, with a note.

    Raises:
        InputError: if there is nothing to grade, or the tree is not the course.
        RuntimeError: if the grader itself fails.
    """
    tree = _tree(tree)
    exercises = read_exercises(tree)
    course = {path.stem: read_cells(path) for path in sorted((tree / "notebooks").glob("*.ipynb"))}
    hand_ins = find_hand_ins(Path(submission), course)
    jobs = max(1, min(jobs, len(hand_ins)))
    read = [_read(hand_in, course) for hand_in in hand_ins]
    stems = {stem for books, _ in read for stem in books}
    counting = [exercise for exercise in exercises if exercise.notebook in stems]
    if not counting:
        reason = next((notes[0] for _, notes in read if notes), "no notebook of the course among them")
        if len(hand_ins) == 1:
            raise InputError(f"{submission}: nothing to grade: {reason}")
        raise InputError(f"{submission}: none of the {len(hand_ins)} hand-ins can be graded; the first: {reason}")
    options = {"timeout": timeout, "memory": memory}
    with tempfile.TemporaryDirectory(prefix="facegen-grade-") as scratch, contextlib.ExitStack() as stack:
        os.chmod(scratch, 0o711)  # runs without a user of their own pass through it
        student = Path(scratch) / "student"
        build_student(tree, student)
        stubs = {stem: {cell.get("id"): cell["source"] for cell in read_cells(student / "notebooks" / f"{stem}.ipynb")}
                 for stem in stems}  # fmt: skip
        rooms = _Rooms(jobs, tree, student, Path(scratch), isolation, stack)
        total = sum(len([e for e in counting if e.notebook in books]) + notebook * len(books) for books, _ in read)
        bar = stack.enter_context(tqdm(total=total, disable=None, unit="run", dynamic_ncols=True))

        def one(number: int) -> Graded:
            books, notes = read[number]
            graded = Graded(hand_ins[number].name, [Mark(exercise) for exercise in counting], list(notes))
            with rooms.one() as room:
                for stem, sources in books.items():
                    plan = _Plan(stem, course[stem], exercises, sources, stubs[stem])
                    _mark(graded, plan, room, options, bar)
                    if notebook:
                        _in_kernel(graded, plan, room, options)
                        bar.update()
            for mark in graded.marks:
                if mark.exercise.notebook not in books:
                    mark.message = "this notebook was not handed in"
            return graded

        with ThreadPoolExecutor(jobs) as pool:
            try:
                graded = list(pool.map(one, range(len(hand_ins))))
            except BaseException:
                pool.shutdown(cancel_futures=True, wait=False)
                rooms.close()
                raise
        return Grades(graded, counting, rooms.isolation, rooms.whole)


def _tree(tree: str | Path | None) -> Path:
    """The teacher's tree, refused where it has no solutions."""
    own = Path(facegen.__file__).resolve().parents[1]
    found = Path(tree).resolve() if tree is not None else own
    if not (found / "problem_unittests.py").is_file():
        raise InputError(f"{found} is not the course: it has no problem_unittests.py; give the teacher's tree with --tree")
    return found


# -- what was handed in


def find_hand_ins(submission: Path, course: Collection[str] = ()) -> list[HandIn]:
    """The hand-ins in a file or folder; see `grade`. `course` holds the names of its notebooks, without .ipynb."""
    if submission.is_file():
        return [HandIn(submission.stem, (submission,))]
    if not submission.exists():
        raise InputError(f"{submission}: no such file or folder")
    files = _notebooks(submission.glob("*.ipynb"))
    if files and {path.stem for path in files} <= set(course):
        return [HandIn(submission.resolve().name, tuple(files))]
    found = [HandIn(path.stem, (path,)) for path in files]
    for folder in sorted(path for path in submission.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if inside := _notebooks(folder.rglob("*.ipynb")):
            found.append(HandIn(folder.name, tuple(inside)))
    if not found:
        raise InputError(f"{submission}: no .ipynb file in it; give a notebook, or a folder with one file or folder for each")
    return sorted(found, key=lambda hand_in: hand_in.name)


def _notebooks(paths: Iterator[Path]) -> list[Path]:
    """Those that are files, without Jupyter's own copies; a link could lead to the teacher's notebook, and is left out."""
    return sorted(path for path in paths if path.is_file() and not path.is_symlink() and ".ipynb_checkpoints" not in path.parts)


_Cells = dict[str, "list[str]"]  # id of a code cell -> the sources of all cells with that id


def _read(hand_in: HandIn, course: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, _Cells], list[str]]:
    """({notebook of the course: its cells}, notes about files that cannot be graded)."""
    books: dict[str, _Cells] = {}
    notes: list[str] = []
    for path in hand_in.files:
        try:
            if path.stat().st_size > FILE_LIMIT:
                raise InputError(f"{path.name}: larger than {FILE_LIMIT >> 20} MB: clear its outputs")
            cells = _code_cells(path)
        except (InputError, OSError, RecursionError) as error:
            notes.append(str(error).replace(str(path), path.name))
            continue
        stem = _notebook_of(path, cells, course)
        if stem is None:
            notes.append(f"{path.name}: not a notebook of the course")
        elif stem in books:
            notes.append(f"{path.name}: {stem} is handed in twice; the first file counts")
        else:
            books[stem] = cells
    return books, notes


def _code_cells(path: Path) -> _Cells:
    found: _Cells = {}
    for cell in read_cells(path):
        name, source = cell.get("id"), cell["source"]
        if cell.get("cell_type") == "code" and isinstance(name, str) and isinstance(source, str):
            found.setdefault(name, []).append(source)
    return found


def _notebook_of(path: Path, cells: _Cells, course: dict[str, list[dict[str, Any]]]) -> str | None:
    """By the file's name, else by most cells that are as in the course."""
    named = [stem for stem in course if stem in path.name]
    if named:
        return named[0]
    alike = {stem: sum(cell["source"] in cells.get(cell.get("id"), ()) for cell in book) for stem, book in course.items()}
    best = max(alike, key=alike.get)
    return best if alike[best] >= 3 else None


# -- what an exercise needs


class _Plan:
    """One notebook of one hand-in."""

    def __init__(self, stem: str, cells: list[dict[str, Any]], exercises: Sequence[Exercise], handed: _Cells,
                 stubs: dict[str, str]) -> None:  # fmt: skip
        self.stem, self.handed, self.stubs = stem, handed, stubs
        self.exercises = [exercise for exercise in exercises if exercise.notebook == stem]
        self.by_cell = {exercise.cell: exercise for exercise in self.exercises}
        self.code = [cell for cell in cells if cell["cell_type"] == "code"]
        self.checks = {cell["id"]: cell["source"] for cell in self.code}
        self._exercise_cells = {name for exercise in self.exercises for name in (exercise.cell, exercise.check_cell)}

    def source(self, exercise: Exercise) -> tuple[str, str]:
        """(the learner's cell, "") or ("", why there is none)."""
        found = self.handed.get(exercise.cell, [])
        if not found:
            return "", f"cell {exercise.cell} is missing: deleted, no code cell, or saved without its id"
        if len(found) > 1:
            return "", f"cell {exercise.cell} comes {len(found)} times: which one is meant?"
        if not found[0].strip():
            return "", f"{exercise.name}: the cell is empty"
        return found[0], ""

    def unwritten(self, exercise: Exercise) -> bool:
        source, problem = self.source(exercise)
        return bool(problem) or source.strip() == self.stubs[exercise.cell].strip()

    def cells_of(self, exercise: Exercise) -> tuple[list[list[str]], list[Exercise]]:
        """The cells that run for an exercise, [id, source], its own last, and the earlier exercises among them."""
        before = []
        for cell in self.code:
            if cell["id"] == exercise.cell:
                break
            if cell["id"] in self.by_cell:
                source, _ = self.source(self.by_cell[cell["id"]])
                before.append((cell["id"], source, True))
            elif cell["id"] not in self._exercise_cells:
                before.append((cell["id"], cell["source"], False))
        own, _ = self.source(exercise)
        cells = needed_cells(before, own)
        return [*cells, [exercise.cell, own]], [self.by_cell[name] for name, _ in cells if name in self.by_cell]

    def parts(self) -> dict[str, str]:
        """id -> source of all that any exercise needs, for one run of the whole notebook."""
        parts: dict[str, str] = {}
        sources = [self.source(exercise)[0] for exercise in self.exercises]
        own = "\n".join(source for source in sources if _is_python(source))
        before = [(cell["id"], cell["source"], False) for cell in self.code if cell["id"] not in self._exercise_cells]
        parts.update(needed_cells(before, own))
        parts.update((exercise.cell, self.source(exercise)[0]) for exercise in self.exercises)
        return parts

    def component(self, exercise: Exercise) -> str:
        return re.fullmatch(r"tests\.test_\w+\((\w+)\)", self.checks[exercise.check_cell].strip())[1]


def needed_cells(before: Sequence[tuple[str, str, bool]], source: str) -> list[list[str]]:
    """Of the cells (id, source, whole) before a cell, what it needs: [id, source] in their order.

    Every import, and what binds or fills a name that is read by the cell or by something that it needs: of a cell that is
    not `whole` only those statements.
    """
    needed, _ = names_of(source)
    pieces = [(name, [text] if whole else _statements(text), whole) for name, text, whole in before]
    modules = {name for _, texts, _ in pieces for text in texts if _is_import(text) for name in names_of(text)[1]}
    found: list[list[str]] = []
    for name, texts, whole in reversed(pieces):
        kept: list[str] = []
        for text in reversed(texts):
            imports = not whole and _is_import(text)
            reads, binds = names_of(text)
            if imports or (binds - modules) & needed:  # torch.manual_seed(0) does not fill torch
                kept.insert(0, text)
                needed |= set() if imports else reads
        if kept:
            found.insert(0, [name, "\n".join(kept)])
    return found


def _statements(source: str) -> list[str]:
    try:
        return [ast.unparse(statement) for statement in ast.parse(source).body]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [source]  # magics: all or nothing


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_import(statement: str) -> bool:
    return bool(re.match(r"(import|from)\s", statement)) and "\n" not in statement


# -- marking


def _mark(graded: Graded, plan: _Plan, room: _Room, options: dict[str, float], bar: tqdm) -> None:
    for mark in graded.marks:
        exercise = mark.exercise
        if exercise.notebook != plan.stem:
            continue
        _, mark.message = plan.source(exercise)
        if not mark.message and plan.unwritten(exercise):
            mark.message = f"{exercise.name} is not written yet"
        if not mark.message:
            cells, earlier = plan.cells_of(exercise)
            job = {"name": exercise.name, "check": exercise.check, "component": plan.component(exercise), "cells": cells}
            reply = room.ask({**job, **options})
            mark.message, mark.seconds = reply["message"], reply["seconds"]
            if reply["passed"] is True:
                mark.marks, mark.message = exercise.marks, ""
            elif missing := [other.name for other in earlier if plan.unwritten(other)]:
                mark.message += f"; it uses {' and '.join(missing)}, not written yet"
        bar.update()


def _in_kernel(graded: Graded, plan: _Plan, room: _Room, options: dict[str, float]) -> None:
    """Note which checks pass in a kernel, where all of the learner's cells run one after another."""
    parts = plan.parts()
    cells = [{"id": "path", "source": "import sys, os\nsys.path.insert(0, os.path.abspath('..'))"}]
    for cell in plan.code:
        if cell["id"] in plan.by_cell:
            cells.append({"id": cell["id"], "source": parts[cell["id"]] or "pass"})
        elif cell["id"] in {exercise.check_cell for exercise in plan.exercises}:
            cells.append({"id": cell["id"], "source": cell["source"]})
        elif cell["id"] in parts:
            cells.append({"id": cell["id"], "source": parts[cell["id"]]})
    book = {"cells": [_cell(**cell) for cell in cells], "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5}
    reply = room.ask({"notebook": json.dumps(book), "cells": len(cells), **options})
    outcomes = {cell["id"]: outcome[0] for cell, outcome in zip(cells, reply["cells"])}
    for mark in graded.marks:
        if mark.exercise.notebook == plan.stem:
            found = outcomes.get(mark.exercise.check_cell, "not run")
            mark.in_notebook = {"passed": "passed", "failure": "failed", "error": "failed"}.get(found, "not run")
    if reply["message"]:
        graded.notes.append(f"{plan.stem} as a whole: {reply['message']}")


_KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


def _cell(id: str, source: str) -> dict[str, Any]:
    tags = {"tags": ["nbval-ignore-output"]}
    return {"cell_type": "code", "id": id, "metadata": tags, "source": source, "outputs": [], "execution_count": None}


# -- the processes that examine


class _Rooms:
    """As many servers as jobs, each used by one hand-in at a time."""

    def __init__(self, jobs: int, tree: Path, student: Path, scratch: Path, wanted: str, stack: contextlib.ExitStack) -> None:
        self._free = threading.Semaphore(jobs)
        self._lock = threading.Lock()
        self._all = [_Room(tree, student, scratch / f"room{number}", wanted) for number in range(jobs)]
        stack.callback(self.close)
        for room in self._all:
            room.wait()
        self._idle = list(self._all)
        self.isolation, self.whole = self._all[0].isolation, self._all[0].whole

    @contextlib.contextmanager
    def one(self) -> Iterator[_Room]:
        with self._free:
            with self._lock:
                room = self._idle.pop()
            try:
                yield room
            finally:
                with self._lock:
                    self._idle.append(room)

    def close(self) -> None:
        for room in self._all:
            room.close()


class _Room:
    """A server of `facegen.course.examine`."""

    def __init__(self, tree: Path, student: Path, scratch: Path, wanted: str) -> None:
        scratch.mkdir()
        scratch.chmod(0o711)
        self._arguments = [str(tree), str(student), str(scratch), wanted]
        self._errors = scratch / f"errors-{secrets.token_hex(4)}"
        self._start()

    def _start(self) -> None:
        """Start the server; `wait` for it before the first job."""
        env = {**os.environ, "OMP_NUM_THREADS": "1", "FACEGEN_PRESET": "ci", "MPLBACKEND": "agg"}
        tree = Path(self._arguments[0])  # whose package the hand-ins work with; learners' code sees no other
        here = tree if (tree / "facegen/course/examine.py").is_file() else Path(facegen.__file__).resolve().parents[1]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(here), env.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "facegen.course.examine", *self._arguments]
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=here,
                env=env,
                text=True,
                encoding="utf-8",
            )

    def wait(self) -> None:
        hello = self._read()
        self.isolation, self.whole = hello["isolation"], hello["whole"]

    def ask(self, job: dict[str, Any]) -> dict[str, Any]:
        """The answer to a job; a server that has died, for want of memory perhaps, is started again, once."""
        try:
            return self._ask(job)
        except RuntimeError:
            self.close()
            self._start()
            self.wait()
            return self._ask(job)

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):  # _read says why
            self._process.stdin.write(json.dumps(job) + "\n")
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
