"""What learners hand in: which files, which cells are which exercise's, and what of a notebook runs for it.

Hand-ins come as Jupyter, Colab, VS Code, jupytext and nbstripout save them: with other ids or none, in other order, with
cells copied, split and added. So a notebook is read as a kernel runs it: the teacher's cells as far as they are needed, and
all of the learner's imports, definitions and assignments, in their order.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from facegen.files import InputError, one_line
from teaching.cells import CHECK, read_cells
from teaching.units import Unit, modules_of, reference_of, solutions_in

FILE_LIMIT, ZIP_LIMIT = 64 << 20, 512 << 20  # bytes; the course's own notebooks are below 5 MB
_NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class HandIn:
    """One learner's files."""

    name: str
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_hand_ins(submission: Path, scratch: Path, course: Collection[str] = ()) -> list[HandIn]:
    """The hand-ins in a notebook, a zip or a folder; `course` holds the names of its notebooks, without .ipynb.

    A folder with notebooks under their names in the course is one learner's; in any other, every notebook, zip and folder
    is a hand-in. What zips hold is unpacked into `scratch`. Links are not followed: they could lead to the teacher's tree.

    Raises:
        InputError: there is none.
    """
    if submission.is_symlink():
        raise InputError(f"{submission} is a symbolic link: give the file or folder that it leads to")
    if not submission.exists():
        raise InputError(f"{submission}: no such file or folder")
    if submission.suffix.lower() == ".zip" and submission.is_file():
        submission = unpacked(submission, scratch / "submission" / submission.stem)
    elif submission.is_file():
        return [HandIn(submission.stem, (submission,))]
    files = _notebooks(submission.glob(f"*{_NOTEBOOK}"))
    if files and {path.stem for path in files} <= set(course):
        return [HandIn(submission.resolve().name, tuple(files))]
    found = [HandIn(path.stem, (path,)) for path in files]
    for number, path in enumerate(sorted(submission.iterdir())):
        link = path.is_symlink()
        if path.name.startswith((".", "__MACOSX")) or (path.suffix == _NOTEBOOK and not link):
            continue
        if link and (path.is_dir() or path.suffix in (_NOTEBOOK, ".zip")):
            found.append(HandIn(path.stem, (), (f"{path.name} is a symbolic link, which is not followed",)))
        elif path.is_dir() and (inside := _notebooks(path.rglob(f"*{_NOTEBOOK}"))):
            found.append(HandIn(path.name, tuple(inside)))
        elif path.suffix.lower() == ".zip":
            found.append(_of_zip(path, scratch / f"zip{number}"))
    if not any(hand_in.files for hand_in in found):
        notes = [note for hand_in in found for note in hand_in.notes]
        reason = notes[0] if notes else f"no {_NOTEBOOK} file in it"
        raise InputError(f"{submission}: {reason}; give a notebook, or a folder with one file or folder for each learner")
    return sorted(found, key=lambda hand_in: hand_in.name)


def _of_zip(path: Path, folder: Path) -> HandIn:
    try:
        return HandIn(path.stem, tuple(_notebooks(unpacked(path, folder).rglob(f"*{_NOTEBOOK}"))))
    except InputError as error:
        return HandIn(path.stem, (), (str(error).replace(str(path), path.name),))


def unpacked(path: Path, folder: Path) -> Path:
    """The notebooks of a zip in a new folder.

    Raises:
        InputError: it cannot be read, holds no notebook, or would unpack to more than 512 MB.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(_NOTEBOOK)]
            if sum(entry.file_size for entry in entries) > ZIP_LIMIT:
                raise InputError(f"{path}: its notebooks are larger than {ZIP_LIMIT >> 20} MB")
            for entry in entries:
                parts = [
                    part for part in PurePosixPath(entry.filename.replace("\\", "/")).parts if part not in ("..", "/", ".")
                ]
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise InputError(f"{path}: not a readable zip ({one_line(error)})") from None
    if not entries:
        raise InputError(f"{path}: no {_NOTEBOOK} file in it")
    return folder


def _notebooks(paths: Iterator[Path]) -> list[Path]:
    """Those that are files, without the copies that Jupyter and macOS make and without links, or what lies behind one."""
    kept = []
    for path in paths:
        hidden = {".ipynb_checkpoints", "__MACOSX"} & set(path.parts) or path.name.startswith("._")
        if path.is_file() and not hidden and not path.is_symlink():
            kept.append(path)
    return sorted(kept)


# -- one notebook


@dataclass
class Cell:
    """A code cell as it was handed in."""

    number: int  # among the code cells, from 1
    ids: tuple[str, ...]  # its own and that in its metadata
    source: str
    outline: Mapping[str, Any] = field(default_factory=dict)  # of teaching.inside
    course: bool = False  # whether it is as in the course

    @property
    def name(self) -> str:
        return self.ids[0] if self.ids else f"number {self.number}"

    @property
    def check(self) -> str:
        """The exercise whose check this cell calls, or ""."""
        called = CHECK.search(self.source)
        return called[1] if called and len(self.source) < 300 else ""

    def pieces(self, *kinds: str) -> list[Mapping[str, Any]]:
        return [piece for piece in self.outline["pieces"] if piece["kind"] in kinds]

    def text(self, piece: Mapping[str, Any]) -> str:
        first, last = piece["lines"]
        return "\n".join(self.source.split("\n")[first - 1 : last])


def read_book(path: Path) -> list[Cell]:
    """The code cells of a handed-in notebook.

    Raises:
        InputError: it is too large or no notebook.
    """
    if path.stat().st_size > FILE_LIMIT:
        raise InputError(f"{path.name}: larger than {FILE_LIMIT >> 20} MB: clear its outputs")
    cells = []
    for cell in read_cells(path):
        if cell.get("cell_type") != "code" or not isinstance(cell["source"], str):
            continue
        metadata = cell["metadata"] if isinstance(cell.get("metadata"), dict) else {}
        ids = tuple(one for one in (cell.get("id"), metadata.get("id")) if isinstance(one, str))
        cells.append(Cell(len(cells) + 1, ids, cell["source"].replace("\r\n", "\n")))
    return cells


@dataclass
class Run:
    """What runs for one exercise."""

    cells: list[list[Any]]  # [name, source, whether the exercise needs it]
    references: list[str]  # earlier exercises whose references stand in their place
    copied: str = ""  # what a plain look at the source finds of the package's own solution


class Book:
    """A handed-in notebook next to the course's: which cells belong to which exercise, and what runs for it.

    Args:
        pristine: the sources of the course's own cells.
        stubs: id of an exercise's cell -> its stub.
    """

    def __init__(
        self, stem: str, cells: list[Cell], units: Sequence[Unit], pristine: Collection[str], stubs: Mapping[str, str]
    ):
        self.stem, self.cells, self.stubs = stem, cells, stubs
        self.units = [unit for unit in units if unit.notebook == stem]
        for cell in cells:
            cell.course = cell.source.strip() in pristine
        self.own = {unit.name: self._own(unit) for unit in self.units}
        self._given = "\n".join(pristine)
        self._ran: set[tuple[int, int]] = set()  # (number of the cell, line)
        self._left: dict[tuple[int, int], str] = {}

    def _own(self, unit: Unit) -> list[Cell]:
        """The learner's cells of an exercise: those that define its component, or by id, or the one before its check."""
        learners = [cell for cell in self.cells if not cell.course and not cell.check]
        name = unit.exercise.component
        defining = [c for c in learners if any(name in piece["binds"] for piece in c.outline["pieces"])]
        same = [cell for cell in learners if unit.cell in cell.ids]
        written = [cell for cell in defining if not self._is_stub(unit, cell)]
        if found := written or [*defining, *same]:
            return sorted({cell.number: cell for cell in found}.values(), key=lambda cell: cell.number)
        at = next((index for index, cell in enumerate(self.cells) if cell.check == unit.name), 0)
        return [cell for cell in self.cells[max(0, at - 1) : at] if not cell.course and not cell.check]

    def _is_stub(self, unit: Unit, cell: Cell) -> bool:
        return cell.source.strip() == self.stubs[unit.cell].strip()

    def problem(self, unit: Unit) -> str:
        """Why there is nothing to run, or ""."""
        own = self.own[unit.name]
        if not own:
            return f"no cell defines {unit.exercise.component}: its cell {unit.cell} was deleted, or is no code cell"
        if all(not cell.source.strip() for cell in own):
            return f"{unit.name}: the cell is empty"
        if all(self._is_stub(unit, cell) for cell in own):
            return f"{unit.name} is not written yet"
        if broken := next((cell for cell in own if cell.outline["error"]), None):
            return f"the cell is no Python: {broken.outline['error']} (cell {broken.name})"
        return ""

    @property
    def solved(self) -> int:
        """How many exercises have a solution, right or wrong."""
        return sum(not self.problem(unit) for unit in self.units)

    @property
    def left_out(self) -> list[str]:
        """What of the learner's own cells ran for no exercise, in the words of the report."""
        return [text for place, text in sorted(self._left.items()) if place not in self._ran]

    def run(self, unit: Unit, wrong: Collection[str]) -> Run:
        """All that runs for an exercise: what stands before its check, its own cells whole.

        Of the learner's other cells that is every import, definition and plain assignment, and the assignments that call or
        change something where the exercise needs them; of the course's own cells what is needed. In the place of earlier
        exercises that are `wrong` stand their references, where they are needed.
        """
        own = self.own[unit.name]
        check = [i for i, cell in enumerate(self.cells) if cell.check == unit.name and cell.number > own[-1].number]
        before = self.cells[: check[0] if check else own[-1].number]
        others = {cell.number: other for other in self.units if other is not unit for cell in self.own[other.name]}
        modules = {name for cell in before for piece in cell.pieces("import") for name in piece["binds"]}
        needed: set[str] = set()
        run, pieces = Run([], []), []
        for cell in reversed([cell for cell in before if not cell.check]):
            other = others.get(cell.number)
            if cell in own:
                kept = cell.outline["pieces"]
                needed |= {name for piece in kept for name in piece["reads"]}
                run.cells.insert(0, [cell.name, cell.source, True])
            else:
                if other is not None:
                    self._replace(run, other, wrong, needed)
                kept = self._kept(cell, needed, modules)
                run.cells[:0] = [[cell.name, cell.text(piece), False] for piece in kept]  # one that fails stops no other
            pieces += [] if cell.course or other else kept
        for other in self.units:
            if not self.own[other.name]:  # its cell is gone
                self._replace(run, other, wrong, needed)
        run.copied = self._copied(unit, pieces)
        return run

    @staticmethod
    def _replace(run: Run, other: Unit, wrong: Collection[str], needed: set[str]) -> None:
        if other.name in wrong and other.exercise.component in needed and other.name not in run.references:
            needed.discard(other.exercise.component)
            run.references.append(other.name)
            run.cells.insert(0, [other.name, reference_of(other.exercise), False])

    def _kept(self, cell: Cell, needed: set[str], modules: set[str]) -> list[Mapping[str, Any]]:
        """What of a cell runs, noting what it needs in its turn."""
        kept = []
        for piece in reversed(cell.outline["pieces"]):
            binds, kind, line = (
                set(piece["binds"]) - modules,
                piece["kind"],
                piece["lines"][0],
            )  # manual_seed does not fill torch
            reached = bool(binds & needed) and (cell.course or kind != "other")
            if kind == "import" or reached or (not cell.course and kind in ("define", "plain")):
                kept.insert(0, piece)
                needed |= set(piece["reads"]) if reached else set()
                self._ran.add((cell.number, line))
            elif not cell.course and cell.text(piece) not in self._given:
                shown = one_line(cell.source.split("\n")[line - 1], 60)
                self._left[cell.number, line] = f"cell {cell.name}, line {line}: {shown}"
        return kept

    def _copied(self, unit: Unit, pieces: Sequence[Mapping[str, Any]]) -> str:
        """What a plain look at the learner's statements finds of the package's own solution, or ""."""
        solutions, modules = solutions_in(unit.exercise), modules_of(unit.exercise)
        bindings = {name: full for cell in self.cells for name, full in cell.outline["bindings"].items()}
        for piece in pieces:
            if piece["hidden"]:
                return f"uses {piece['hidden'][0]}, so that its source does not show what it runs"
            for chain in piece["chains"]:
                first, _, rest = chain.partition(".")
                full = ".".join(filter(None, [first if piece["kind"] == "import" else bindings.get(first, ""), rest]))
                module, _, name = full.rpartition(".")
                whole = full in modules or full == "facegen" or full.startswith(("exercises", "problem_unittests", "teaching"))
                if (whole and piece["kind"] != "import") or (module.startswith("facegen") and name in solutions):
                    return f"uses the package's own {full}"
        return ""


def notebook_of(path: Path, cells: Sequence[Cell], course: Mapping[str, Sequence[str]]) -> str | None:
    """The course's notebook that a file is: by its name, else by most cells that are as in the course (at least three)."""
    named = [stem for stem in course if stem in path.name]
    if named:
        return named[0]
    sources = {cell.source.strip() for cell in cells}
    alike = {stem: len(sources & set(pristine)) for stem, pristine in course.items()}
    best = max(alike, key=alike.get)
    return best if alike[best] >= 3 else None


def chosen(stem: str, books: Sequence[tuple[Path, Book]]) -> tuple[Book | None, str]:
    """The one of several files that is meant for a notebook, and a note: never by their names alone."""
    if len(books) == 1:
        return books[0][1], ""
    names = " and ".join(path.name for path, _ in books)
    solved = [(path, book) for path, book in books if book.solved]
    texts = {"\n".join(cell.source for cell in book.cells) for _, book in solved}
    if len(texts) > 1:
        return None, f"{names} are both {stem}, and both have solutions: hand in one of them"
    path, book = solved[0] if solved else books[0]
    return book, f"{names} are both {stem}: {path.name} was graded" + (", which has the solutions" if len(solved) == 1 else "")
