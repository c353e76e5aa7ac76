"""The exercises in their notebooks, and what of an exercise's file goes into a learner's process."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from exercises.base import Exercise, all_exercises, marks_of
from facegen.files import InputError
from teaching.cells import CHECK, names_of, read_cells, regions

ROOT = Path(__file__).resolve().parents[1]  # the course


@dataclass(frozen=True)
class Unit:
    """An exercise and its place in the course."""

    name: str  # "discriminator", of the check test_discriminator
    exercise: Exercise
    notebook: str  # the file's name without its ending, "02_dcgan"
    cell: str  # id of the cell with the solution
    check_cell: str  # id of the next code cell, which calls the check
    marks: int


def read_units(notebooks: Path = ROOT / "notebooks") -> list[Unit]:
    """All exercises of the course, in its order.

    Raises:
        InputError: a solution without a check, or an exercise without a solution.
    """
    exercises = all_exercises()
    marks, units = marks_of(exercises), []
    for path in sorted(Path(notebooks).glob("*.ipynb")):
        units += _units_of(path, exercises, marks)
    if not units:
        raise InputError(f"{notebooks} is not the course: it holds no notebook with exercises")
    for name, exercise in exercises.items():
        found = [unit for unit in units if unit.name == name]
        if len(found) != 1:
            where = f"notebook {exercise.chapter:02}"
            raise InputError(f"{where}: the exercise {name} has {len(found)} cells with a solution and its check, expected one")
    return units


def _units_of(path: Path, exercises: dict[str, Exercise], marks: dict[str, int]) -> Iterator[Unit]:
    cells = [cell for cell in read_cells(path) if cell.get("cell_type") == "code"]
    ids = [cell.get("id") for cell in cells]
    for cell, following in zip(cells, [*cells[1:], None]):
        where = f"{path.name}, cell {cell.get('id')}"
        if not regions(cell["source"], where):
            continue
        if cell.get("id") is None or ids.count(cell["id"]) > 1:
            raise InputError(f"{where}: an exercise's cell needs an id of its own; grading finds it by that")
        called = CHECK.fullmatch(following["source"].strip()) if following else None
        if called is None or following.get("id") is None:
            raise InputError(f"{where}: a solution without a check; the next code cell has to be tests.test_NAME(NAME)")
        exercise = exercises.get(called[1])
        if exercise is None or (exercise.component, f"{exercise.chapter:02}") != (called[2], path.stem[:2]):
            raise InputError(
                f"{path.name}, cell {following['id']}: exercises/ has no test_{called[1]}({called[2]}) of this notebook"
            )
        yield Unit(called[1], exercise, path.stem, cell["id"], following["id"], marks[called[1]])


# -- cutting


def probe_of(exercise: Exercise) -> str:
    """The source of an exercise's probe with all that it needs of its file."""
    module = inspect.getmodule(exercise.cases)
    if "probe" not in vars(module):
        return "from exercises.probing import call_with_case as probe\n"
    return _cut(inspect.getsource(module), {"probe"})


def reference_of(exercise: Exercise) -> str:
    """Source that binds the component's name to the reference."""
    source = inspect.getsource(inspect.getmodule(exercise.cases))
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Exercise")
    expression = ast.unparse(next(word.value for word in made.keywords if word.arg == "reference"))
    return f"{_cut(source, names_of(expression)[0])}\n{exercise.component} = {expression}\n"


def solutions_in(exercise: Exercise) -> set[str]:
    """Names under which the package has the exercise's solution, or parts of it."""
    module = inspect.getmodule(exercise.cases)
    of_package = {name for name, value in vars(module).items() if str(getattr(value, "__module__", "")).startswith("facegen.")}
    return of_package | {exercise.component, getattr(exercise.reference, "__name__", exercise.component)}


def modules_of(exercise: Exercise) -> set[str]:
    """The package's modules in which one finds them."""
    values = [*vars(inspect.getmodule(exercise.cases)).values(), exercise.reference]
    ours = {id(value) for value in values if str(getattr(value, "__module__", "")).startswith("facegen.")}
    package = {name: module for name, module in sys.modules.items() if name.startswith("facegen.")}
    return {name for name, module in package.items() if any(id(value) in ours for value in vars(module).values())}


def _cut(source: str, needed: set[str]) -> str:
    """The statements of a module that bind some names, and those that these need, in their order."""
    body, kept, before = ast.parse(source).body, set(), set()
    while needed != before:  # a function may use what stands below it
        before = set(needed)
        for number, node in enumerate(body):
            reads, binds = names_of(ast.unparse(node))
            if binds & needed:
                kept.add(number)
                needed |= reads
    return "\n\n".join(ast.unparse(node) for number, node in enumerate(body) if number in kept or _is_future(node)) + "\n"


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
