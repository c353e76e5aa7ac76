"""Every exercise: its own component passes, each mistake is named, and other right solutions are accepted."""

import importlib.util
from pathlib import Path

import pytest

from exercises.base import SEED, all_exercises

SOLUTIONS = Path(__file__).with_name("solutions")


def solutions(name):
    spec = importlib.util.spec_from_file_location(f"solutions_of_{name}", SOLUTIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [SEED, 1])
@pytest.mark.parametrize("name", all_exercises())
def test_right_solutions_pass_and_wrong_ones_are_named(name, seed):
    exercise, more = all_exercises()[name], solutions(name)
    for label, right in [("the reference", exercise.reference), *more.RIGHT]:
        assert exercise.examine(right, seed)[0] == "", label
    wrong = [*exercise.mistakes.items(), *exercise.refused, *((words, component) for _, component, words in more.WRONG)]
    for words, component in wrong:
        assert words in exercise.examine(component, seed)[0]


def test_every_file_of_solutions_has_an_exercise():
    assert {path.stem for path in SOLUTIONS.glob("*.py")} == set(all_exercises())
