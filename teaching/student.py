"""The course as a learner gets it: the same tree, with a stub in the place of every solution."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegen.files import InputError, replacing_folder
from teaching.cells import has_solution, names_of, without_solution
from teaching.units import ROOT, Unit, read_units

# What a learner works with. Tests, benchmarks and whatever else the teacher's tree holds stay behind.
_FILES = ("LICENSE", "requirements.txt", "pyproject.toml", "problem_unittests.py")
_FOLDERS = ("facegen", "exercises", "assets", "docs")
_TARGETS = ("lab", "clean", "$(READY)")  # of the Makefile

_TEST = """test: $(READY)  ## the course's checks on the package's own components: the installation works
\t$(BIN)/python -m pytest -q problem_unittests.py"""

_NOTE = """> **For learners.** These are the notebooks without their solutions: complete each cell with `### BEGIN SOLUTION`
> and run the check below it; [Instructions.md](Instructions.md) says what it looks at. `make test` runs the checks on the
> package's own components. Tests (`tests/`), benchmarks (`bench/`) and what a teacher runs (`teaching/`)
> are not part of this version."""


@dataclass(frozen=True)
class Student:
    """What was built."""

    folder: Path
    units: list[Unit]
    files: int

    @property
    def marks(self) -> int:
        return sum(unit.marks for unit in self.units)

    @property
    def notebooks(self) -> int:
        return len({unit.notebook for unit in self.units})


def build_student(dest: Path, *, branch: str = "student", tree: Path = ROOT) -> Student:
    """Write the learner's tree: notebooks with stubs, package, checks, Instructions, README, docs, pictures and weights.

    The notebooks keep their cells and ids, their depth in the tree, and the pictures that show what is to come. The
    outputs of an exercise and of its check are cleared, and so is every text that was computed with an exercise's code,
    directly or through a name that such code made: numbers like those are for the learner to compute. Left out are
    tests/ (with more solutions), teaching/, bench/ (with textbook loops), the teachers' part of Instructions.md, and the
    targets of the Makefile that need any of it; `make test` runs the course's checks. The links to Colab, and what the
    notebooks fetch there, point to `branch`, because those of the solved notebooks would show the solutions.

    What is not hidden: the package has components of its own beside the learner's (`facegen.models.dcgan` beside
    notebook 02, say), which later notebooks need, and exercises/ holds references and mistakes. Who looks there finds an
    answer; grading names code that calls it, not code that was copied by hand. The same tree gives the same bytes.

    Args:
        tree: the course's folder, with notebooks/, facegen/ and so on.
        dest: a new or empty folder; it appears complete or not at all.
        branch: of the repository, on which the learner's tree is going to be published.
    """
    tree, dest = Path(tree), Path(dest)
    if not re.fullmatch(r"[\w.][\w./-]*", branch):
        raise InputError(f"--branch {branch!r} is not the name of a branch")
    units = read_units(tree / "notebooks")
    books = {path.name: _book(path, units, branch) for path in sorted((tree / "notebooks").glob("*.ipynb"))}
    copied = list(_copied(tree))
    texts = {
        "Makefile": _makefile(_text(tree / "Makefile")),
        "README.md": _readme(_text(tree / "README.md"), branch),
        "Instructions.md": _instructions(_text(tree / "Instructions.md")),
    }
    with replacing_folder(dest) as folder:
        for name in copied:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / name, folder / name)
        (folder / "notebooks").mkdir()
        for name, book in books.items():
            _write(folder / "notebooks" / name, json.dumps(book, indent=1, ensure_ascii=False) + "\n")
        for name, text in texts.items():
            _write(folder / name, text)
    return Student(dest, units, len(copied) + len(texts) + len(books))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the student version is built from the whole course") from None


def _copied(tree: Path) -> Iterator[str]:
    """Files that go over as they are, relative to the tree."""
    for name in (*_FILES, *_FOLDERS):
        if not (tree / name).exists():
            raise InputError(f"{tree / name} is missing: the student version is built from the whole course")
    yield from _FILES
    for name in _FOLDERS:
        for path in sorted((tree / name).rglob("*")):
            inside = path.relative_to(tree)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
            if path.is_file() and not hidden and path.suffix not in (".pyc", ".part"):
                yield inside.as_posix()


def _on_branch(text: str, branch: str) -> str:
    return text.replace("/blob/main/notebooks/", f"/blob/{branch}/notebooks/")


def _makefile(text: str) -> str:
    """The Makefile without the targets whose files stay behind; its `test` runs the course's checks."""
    kept: list[str] = []
    for block in text.strip().split("\n\n"):
        target = re.search(r"^([\w.$()-]+):(?!=)", block, re.MULTILINE)
        if target is None or target[1] in _TARGETS:
            kept.append(block)
        elif target[1] == ".PHONY":
            kept.append(".PHONY: lab test clean")
        elif target[1] == "test":
            kept.append(_TEST)
    return "\n\n".join(kept) + "\n"


def _readme(text: str, branch: str) -> str:
    """The README with a note to learners under its title."""
    title, rest = text.split("\n", 1)
    rest = re.sub(r"^    make course .*\n", "", rest, flags=re.MULTILINE)  # without solutions nothing runs through
    return f"{title}\n\n{_NOTE}\n{_on_branch(rest, branch)}"


def _instructions(text: str) -> str:
    """Instructions.md without its last section, the teachers'."""
    return re.split(r"\n+(?:---\n+)?## For teachers\n", text)[0].rstrip("\n") + "\n"


# -- one notebook


def _book(path: Path, units: list[Unit], branch: str) -> dict[str, Any]:
    """The notebook with stubs, without the outputs that are the learner's to make."""
    book = json.loads(path.read_text(encoding="utf-8"))
    own = [unit for unit in units if unit.notebook == path.stem]
    emptied = {unit.cell for unit in own} | {unit.check_cell for unit in own}
    imported = _imported(book)
    learners: set[str] = set()  # names whose values come from an exercise
    for cell in book["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            cell["source"] = _on_branch(source, branch).splitlines(keepends=True)
            continue
        solution = has_solution(source)
        touched = _follow(source, learners, all_of_it=solution)
        learners -= imported  # `show.show_grid(faces)` does not fill `show`
        if cell.get("id") in emptied:
            cell["outputs"] = []
        elif touched:
            cell["outputs"] = [output for output in cell["outputs"] if _is_picture(output)]
        if not cell["outputs"]:
            cell["execution_count"] = None
        source = without_solution(source) if solution else _cloning(source, branch)
        cell["source"] = source.splitlines(keepends=True)
    return book


def _imported(book: dict[str, Any]) -> set[str]:
    sources = ("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    aliases = (alias for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names)
    return {(alias.asname or alias.name).split(".")[0] for alias in aliases}


def _cloning(source: str, branch: str) -> str:
    """The set-up cell, which fetches the course on Colab, with the learners' branch."""
    return source.replace('"--depth", "1", REPOSITORY', f'"--depth", "1", "--branch", "{branch}", REPOSITORY')


def _is_picture(output: dict[str, Any]) -> bool:
    """An image, or a page that embeds some (a slider, a gallery)."""
    data = output.get("data", {})
    return any(kind.startswith("image/") for kind in data) or "data:image/" in "".join(data.get("text/html", ""))


def _follow(source: str, learners: set[str], *, all_of_it: bool) -> bool:
    """Note in `learners` what this cell makes with the learner's code; returns whether it uses any of it.

    Statement by statement: one that reads a noted name notes each name that it binds or fills, another one clears them.
    `all_of_it` notes everything that a cell defines, for the exercise itself.
    """
    touched = False
    for statement in _simple(ast.parse(source).body):
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            continue
        read, bound = names_of(ast.unparse(statement))
        if read & learners:
            touched = True
            learners |= bound
        elif all_of_it:
            learners |= bound
        else:
            learners -= bound
    return touched


def _simple(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements without those around them, in an order in which they may run; the body of a loop comes twice."""
    for statement in statements:
        bodies = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)) or not any(bodies):
            yield statement
            continue
        if isinstance(statement, ast.For):
            yield ast.Assign([statement.target], statement.iter, lineno=0)
        if isinstance(statement, (ast.If, ast.While)):
            yield ast.Expr(statement.test)
        for item in getattr(statement, "items", []):  # of a with
            yield (
                ast.Assign([item.optional_vars], item.context_expr, lineno=0)
                if item.optional_vars
                else ast.Expr(item.context_expr)
            )
        bodies[1:1] = [handler.body for handler in getattr(statement, "handlers", [])]
        for body in (bodies[0], *bodies) if isinstance(statement, (ast.For, ast.While)) else bodies:
            yield from _simple(body)
