"""The checks of the course: `tests.test_scale(scale)` in a notebook; `pytest problem_unittests.py` checks the package's own.

A check looks at what a component does, never at how it is written. It prints one line that says what it verified, or raises
AssertionError with one line: what was expected, what came, and the mistake that usually explains it. Checks run on the CPU
within a second or two, with inputs from a fixed seed, and leave random states, default dtype and grad mode as they were.
Each stands in a file of its own in exercises/.
"""

from collections.abc import Callable
from typing import Any

from exercises.base import Exercise, all_exercises


def _check(exercise: Exercise) -> Callable:
    def check(component: Any = exercise.reference) -> None:
        __tracebackhide__ = True  # pytest and IPython leave this frame out
        exercise.check(component)

    check.__doc__ = exercise.task
    return check


for _name, _exercise in all_exercises().items():
    globals()[f"test_{_name}"] = _check(_exercise)
