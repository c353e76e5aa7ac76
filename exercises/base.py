"""What an exercise is: cases, a probe that runs a component on them, a judge that sees only its answers, and mistakes.

`tests.test_kid(kid)` in a notebook makes the cases, probes the learner's component and judges its answers, all in one
process. Grading draws the cases from a secret seed, runs the probe in a sandbox, and judges outside.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exercises.judging import GRADIENT, Mistake, close, shown
from exercises.probing import STUB, Answer, Case, answers_of, call_with_case, settled

SEED = 2024  # of the cases in a notebook
SIZES = (
    r"must match|mat1 and mat2|broadcast|shapes|size mismatch|inconsistent tensor size|Sizes of"  # what PyTorch and NumPy say
)

_CUT = "the values are right, but not this gradient: is a part cut off by a detach, .data, no_grad, or a new tensor?"

# What PyTorch and Python say, and what a beginner most often did, wherever it happens. An exercise's own hints come first.
_HINTS = {
    r"before Module.__init__": "call super().__init__() first in __init__",
    r"required \"forward\" function": "define forward(self, ...), with the indentation of __init__",
    r"No CUDA|not compiled with CUDA|NVIDIA driver": "no device belongs inside: checks run on the CPU",
    r"backward through the graph a second": "a graph was used twice",
    r"'tuple' object has no attribute": "this is a tuple: take the entry that you need, such as [0]",
}


# By what it is, such as "the gradient for w"; "" is the result itself.
Comparable = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Exercise:
    """One exercise: everything about it but its text in the notebook.

    `probe(component, case)` is all that runs together with the learner's code; with the names of its file that it uses, it
    is cut out of the file for the sandbox, so it must not use the reference, the judge or the tables.
    `judge(case, answer)` refuses, as a Mistake, what cannot be right, and returns what has to equal the reference's own
    values in the same case (None: nothing). Where they differ, `mistakes` are run on the same cases, and the one with the
    same values is named.
    """

    component: str  # its name in the notebook
    chapter: int  # number of the notebook
    place: int  # in the notebook, from 1
    minutes: int  # that a learner needs
    difficulty: int  # 1 to 3
    task: str  # one line
    verified: str  # what a passed check has looked at
    reference: Any
    cases: Callable[[torch.Generator], list[Case]]
    judge: Callable[[Case, Answer], Comparable | None]
    probe: Callable[[Any, Case], Answer] = call_with_case
    also: Sequence[Any] = ()  # other right components, with other values than the reference
    call: Callable[[Case], str] | None = None  # how a message names a case; without it the component's name
    rule: str = ""  # what is right, for results that no mistake explains
    mistakes: Mapping[str, Any] = field(default_factory=dict)  # message -> wrong component that has the same values
    refused: Sequence[tuple[str, Any]] = ()  # (words of the message, wrong component): no wrong value, or judged by properties
    hints: Mapping[str, str] = field(default_factory=dict)  # pattern of an exception's text -> what most often is its reason
    note: Callable[[Sequence[Answer]], str] | None = None  # of right answers: "" or what the learner should know
    tolerance: float = 1e-3  # of the largest value

    def check(self, component: Any) -> None:
        """What a notebook calls: prints one line, or raises AssertionError with one."""
        __tracebackhide__ = True  # pytest and IPython leave this frame out
        problem, note = self.examine(component)
        if problem:
            raise AssertionError(problem)
        print(f"{self.component}: passed ({self.verified})" + (f"; but {note}" if note else ""))

    def examine(self, component: Any, seed: int = SEED) -> tuple[str, str]:
        """(what is wrong in one line, "" if nothing; a note)."""
        if type(component).__name__ == self.component:
            return f"{self.component}: this is an object of the class: hand in the class itself, without brackets", ""
        answers = answers_of(self.probe, component, self.cases_of(seed), seed)
        problem = self.verdict(answers, seed)
        return problem, self.note(answers) if self.note and not problem else ""

    def cases_of(self, seed: int) -> list[Case]:
        with settled(seed):
            return self.cases(torch.Generator().manual_seed(seed))

    def verdict(self, answers: Sequence[Answer], seed: int) -> str:
        """What is wrong with a component's answers to the cases of a seed, in one line; "" if nothing."""
        with settled(seed):
            try:
                problem = self._problem(answers, seed)
            except Mistake as mistake:
                problem = f"{self.component}: {mistake}"
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError):  # no answer of this probe
                problem = f"{self.component}: its answers are not of the kind that was asked for"
        return " ".join(problem.split())

    def _problem(self, answers: Sequence[Answer], seed: int) -> str:
        cases = self.cases_of(seed)
        if len(answers) != len(cases) and not (answers and "error" in answers[-1]):
            raise ValueError("some cases have no answer")
        got = [self.judge(case, answer) for case, answer in zip(cases, answers) if "error" not in answer]
        if answers and "error" in answers[-1]:
            return self._explained(answers[-1])
        rights = _right(self, seed)
        differing = [self._differences(got, wants) for wants in rights]
        if not all(differing):
            return ""
        at, key = differing[0][0]
        failed = [number for number, of in differing[0] if of == key]
        wrong = _wrong(self, seed)
        explaining = [text for text, values in wrong.items() if self._agree(got, values, failed, key)]
        # First of all one that gives the same everywhere, also where that is right.
        elsewhere = {text: any(map(self._unlike, got, wrong[text])) for text in explaining}
        explaining.sort(key=elsewhere.__getitem__)
        if key.startswith(GRADIENT):  # results are right then, so a mistake with others explains nothing
            explaining = [text for text in explaining if not elsewhere[text]]
        mistake = next(iter(explaining), _CUT if key.startswith(GRADIENT) else self.rule)
        call = self.call(cases[at]) if self.call else ""
        what = f"{key} of {call}" if key and call else key or call or "the result"
        return f"{self.component}: {what} is {shown(got[at][key], rights[0][at][key])}: {mistake}"

    def _differences(self, got: Sequence[Comparable | None], wants: Sequence[Comparable | None]) -> list[tuple[int, str]]:
        """(number of the case, key) of all values that are not as they should be, gradients last."""
        pairs = enumerate(zip(got, wants))
        found = [(at, key) for at, (a, b) in pairs for key in b or () if not close(a[key], b[key], self.tolerance)]
        return sorted(found, key=lambda difference: difference[1].startswith(GRADIENT))

    def _unlike(self, got: Comparable | None, other: Comparable | None) -> bool:
        """Whether two answers to a case differ in a value that both have."""
        return any(not close(got[key], value, self.tolerance) for key, value in (other or {}).items() if got and key in got)

    def _agree(self, got: Sequence[Comparable], values: Sequence[Comparable | None], failed: Sequence[int], key: str) -> bool:
        """Whether a mistake gives the same wrong values in all cases that failed."""
        there = [(got[at][key], (values[at] or {}).get(key)) for at in failed if at < len(values)]
        return len(there) == len(failed) and all(b is not None and close(a, b, self.tolerance) for a, b in there)

    def _explained(self, failure: Answer) -> str:
        """One line for an exception that came out of the learner's code."""
        kind, text, place = failure["error"], failure["text"], failure["place"]
        if kind == "NotImplementedError" and (open_ := STUB.fullmatch(text) or not text):
            name = open_[1] if text else self.component
            return f"{name} is not written yet: fill in its cell, run it, and run this check again"
        hints = [*self.hints.items(), *_HINTS.items()]
        hint = next((hint for pattern, hint in hints if re.search(pattern, text)), None)
        if hint is None and kind == "TypeError" and failure["refused"]:
            hint = "check the signature, it has to be as the exercise says"
        start, end = f"{self.component} raised {kind}{place}: ", f" -- {hint}" if hint else ""
        return start + textwrap.shorten(text, max(20, min(120, 290 - len(start) - len(end))), placeholder=" ...") + end


@functools.lru_cache(maxsize=32)  # a bank asks for the same seeds many times
def _right(exercise: Exercise, seed: int) -> list[list[Comparable | None]]:
    """What each right component gives in the cases of a seed."""
    right = (exercise.reference, *exercise.also)
    return [[exercise.judge(case, answer) for case, answer in _asked(exercise, component, seed)] for component in right]


@functools.lru_cache(maxsize=32)
def _wrong(exercise: Exercise, seed: int) -> dict[str, list[Comparable | None]]:
    """The same for each mistake; None where it is refused for a reason of its own."""
    found: dict[str, list[Comparable | None]] = {}
    for text, component in exercise.mistakes.items():
        found[text] = []
        for case, answer in _asked(exercise, component, seed):
            try:
                found[text].append(None if "error" in answer else exercise.judge(case, answer))
            except Mistake:
                found[text].append(None)
    return found


def _asked(exercise: Exercise, component: Any, seed: int) -> list[tuple[Case, Answer]]:
    cases = exercise.cases_of(seed)
    return list(zip(cases, answers_of(exercise.probe, component, cases, seed)))


# -- the course's list


@functools.cache
def all_exercises() -> dict[str, Exercise]:
    """name -> exercise, in the order of the course; the name is that of its file, and `test_NAME` its check."""
    found: dict[str, Exercise] = {}
    for subject in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for module in pkgutil.iter_modules([str(Path(__file__).parent / subject.name)]) if subject.ispkg else ():
            found[module.name] = importlib.import_module(f"exercises.{subject.name}.{module.name}").EXERCISE
    return dict(sorted(found.items(), key=lambda item: (item[1].chapter, item[1].place)))


def marks_of(exercises: Mapping[str, Exercise], total: int = 100) -> dict[str, int]:
    """Marks in proportion to minutes times difficulty, at least 1 each and `total` in all, by largest remainders."""
    weights = {name: e.minutes * e.difficulty for name, e in exercises.items()}
    shares = {name: total * weight / sum(weights.values()) for name, weight in weights.items()}
    marks = {name: max(1, int(share)) for name, share in shares.items()}
    rest = sorted(shares, key=lambda name: marks[name] - shares[name])
    for name in rest[: total - sum(marks.values())]:
        marks[name] += 1
    return marks
