"""The bank: wrong and right solutions of every exercise, and the proof that the checks tell them apart."""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib.util
import io
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from facegen.course.exercises import read_marks
from facegen.files import InputError, replacing, write_text
from facegen.pages import render

TEMPLATES = Path(__file__).with_name("templates")
LEAST_WRONG, LEAST_RIGHT = 4, 2


@dataclass
class Entry:
    """One solution of the bank and what its check made of it."""

    exercise: str
    right: bool
    label: str
    expected: str = ""  # words that the message has to contain, of a wrong one
    passed: list[int] = field(default_factory=list)  # seeds
    failed: dict[int, str] = field(default_factory=dict)  # seed -> the check's message
    broken: str = ""  # an exception other than the check's own, which is the check's fault

    @property
    def message(self) -> str:
        """What the check says with the first seed at which this fails."""
        return next(iter(self.failed.values()), "")

    @property
    def otherwise(self) -> list[int]:
        """Seeds at which a wrong solution was caught in other words than expected."""
        return [seed for seed, message in self.failed.items() if self.expected not in message]

    @property
    def problem(self) -> str:
        """Why the bank does not hold, in one line; empty if it does."""
        solution = f"{self.exercise}: the {'right' if self.right else 'wrong'} solution {self.label!r}"
        if self.broken:
            return f"{solution} breaks the check: {self.broken}"
        if self.right and self.failed:
            return f"{solution} is rejected with seed {_few(list(self.failed))}: {self.message}"
        if not self.right and self.passed:
            return f"{solution} passes with seed {_few(self.passed)}"
        if not self.right and self.expected not in self.message:
            return f"{solution} is caught, but not in the words {self.expected!r}: {self.message}"
        return ""


@dataclass
class Bank:
    """The report. `problems` is empty if no wrong solution passes, no right one fails, and there are enough of both."""

    seeds: list[int]
    notebooks: dict[str, str]  # exercise -> number of its notebook, in the order of the course
    entries: list[Entry]
    strays: list[str]  # files of the bank without an exercise
    seconds: float

    def of(self, exercise: str, right: bool) -> list[Entry]:
        return [entry for entry in self.entries if entry.exercise == exercise and entry.right == right]

    @property
    def problems(self) -> list[str]:
        strays = [f"tests/wrong/{name}.py: Instructions.md has no exercise of this name" for name in self.strays]
        short = [
            f"{name}: {len(self.of(name, right))} {kind} solutions, expected at least {least}"
            for name in self.notebooks
            for right, kind, least in ((False, "wrong", LEAST_WRONG), (True, "right", LEAST_RIGHT))
            if len(self.of(name, right)) < least
        ]
        return strays + short + [entry.problem for entry in self.entries if entry.problem]

    @property
    def summary(self) -> str:
        """One line: how many of what, and whether the checks hold."""
        wrong, right = ([entry for entry in self.entries if entry.right is kind] for kind in (False, True))
        caught, accepted = (sum(not entry.problem for entry in kind) for kind in (wrong, right))
        counts = f"{caught} of {len(wrong)} wrong solutions caught, {accepted} of {len(right)} right ones accepted"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
        return f"{len(self.notebooks)} exercises: {counts}, with {seeds} each, {self.seconds:.0f} s"


def run_bank(tree: Path, *, seeds: int = 20, workers: int | None = None, only: Sequence[str] = ()) -> Bank:
    """Run every check of a course on every solution of tests/wrong, with several seeds of the check.

    Each file tests/wrong/EXERCISE.py has lists WRONG of (label, component, words of the message) and RIGHT of (label,
    component). The first seed is the checks' own, the one that learners get; the others are 1, 2, ... The exercises are
    those with a row in the table of Instructions.md.

    Args:
        tree: the course's folder, with problem_unittests.py, Instructions.md and tests/wrong.
        seeds: how many, 1 or more.
        workers: processes, each on one thread; by default one per CPU. With 1, no process is started.
        only: names of exercises; by default all.

    Raises:
        InputError: if the tree holds no bank, a file of it cannot be used, or `only` names no exercise.
        RuntimeError: if a process dies.
    """
    tree = Path(tree).resolve()
    notebooks = _exercises(tree, only)
    own = _checks(tree).SEED
    if seeds < 1 or (workers is not None and workers < 1):
        raise InputError("the bank needs at least one seed and one process")
    numbers = [own, *(seed for seed in range(1, seeds + 1) if seed != own)][:seeds]
    entries = {name: _entries(tree, name) for name in notebooks}
    files = sorted(path.stem for path in (tree / "tests" / "wrong").glob("*.py"))
    strays = [] if only else [name for name in files if name not in notebooks]
    tasks = [(name, seed) for seed in numbers for name in notebooks]  # by seed: a mistake in the bank shows up early
    began = time.monotonic()
    total = sum(len(entries[name]) for name, _ in tasks)
    with tqdm(total=total, unit="check", disable=None, dynamic_ncols=True) as bar:
        for name, seed, outcomes in _outcomes(tree, tasks, min(workers or _cpus(), len(tasks))):
            for entry, (passed, message, broken) in zip(entries[name], outcomes):
                _note(entry, seed, passed, message, broken)
            bar.update(len(outcomes))
            bar.set_postfix_str(f"{sum(bool(e.problem) for of in entries.values() for e in of)} problems", refresh=False)
    found = [entry for name in notebooks for entry in entries[name]]
    for entry in found:  # in the order of the seeds, whichever process was first
        entry.passed = [seed for seed in numbers if seed in entry.passed]
        entry.failed = {seed: entry.failed[seed] for seed in numbers if seed in entry.failed}
    return Bank(numbers, notebooks, found, strays, time.monotonic() - began)


def _exercises(tree: Path, only: Sequence[str]) -> dict[str, str]:
    if not (tree / "tests" / "wrong").is_dir():
        raise InputError(f"{tree} holds no tests/wrong: the bank is part of the teachers' tree; give it with --tree")
    rows = read_marks(tree / "Instructions.md")
    notebooks = {check.removeprefix("test_"): number for number, check in rows}
    for name in notebooks:
        if not hasattr(_checks(tree), f"test_{name}"):
            raise InputError(f"Instructions.md gives marks to test_{name}, but problem_unittests.py has no such check")
    if unknown := [name for name in only if name not in notebooks]:
        raise InputError(f"there is no exercise {unknown[0]!r}: choose from {', '.join(notebooks)}")
    return {name: number for name, number in notebooks.items() if not only or name in only}


def _note(entry: Entry, seed: int, passed: bool, message: str, broken: str) -> None:
    if passed:
        entry.passed.append(seed)
    else:
        entry.failed[seed] = message
    entry.broken = entry.broken or broken


# -- in a process of its own


Outcome = tuple[bool, str, str]  # passed, the check's message, an exception that is not the check's


@functools.cache
def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or not path.is_file():
        raise InputError(f"{path} is missing: the bank runs the checks of the whole course")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the module look it up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    return module


def _checks(tree: Path) -> ModuleType:
    return _load(tree / "problem_unittests.py", "course_checks_of_the_bank")


def _solutions(tree: Path, name: str) -> list[tuple[bool, tuple]]:
    """(right, entry) for every solution of an exercise, wrong ones first."""
    path = tree / "tests" / "wrong" / f"{name}.py"
    if not path.is_file():
        return []
    module = _load(path, f"bank_of_{name}")
    solutions = [(False, entry) for entry in getattr(module, "WRONG", ())]
    solutions += [(True, entry) for entry in getattr(module, "RIGHT", ())]
    for right, entry in solutions:
        if len(entry) != (2 if right else 3):
            raise InputError(
                f"{path}: an entry of {'RIGHT' if right else 'WRONG'} is not (label, component{', words' * (not right)})"
            )
    return solutions


def _entries(tree: Path, name: str) -> list[Entry]:
    return [Entry(name, right, entry[0], "" if right else entry[2]) for right, entry in _solutions(tree, name)]


def _run(tree: Path, name: str, seed: int) -> tuple[str, int, list[Outcome]]:
    """All solutions of an exercise through its check, with one seed."""
    checks = _checks(tree)
    check = getattr(checks, f"test_{name}")
    before, checks.SEED = checks.SEED, seed
    outcomes: list[Outcome] = []
    try:
        for _, entry in _solutions(tree, name):
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                outcomes.append(_verdict(check, entry[1]))
    finally:
        checks.SEED = before
    return name, seed, outcomes


def _verdict(check, component: object) -> Outcome:
    try:
        check(component)
    except AssertionError as error:
        return False, str(error), ""
    except Exception as error:
        return False, "", " ".join(f"{type(error).__name__}: {error}".split())
    return True, "", ""


def _outcomes(tree: Path, tasks: list[tuple[str, int]], workers: int) -> Iterator[tuple[str, int, list[Outcome]]]:
    if workers == 1:
        yield from (_run(tree, *task) for task in tasks)
        return
    # A forked process would inherit the threads' locks of torch in an unknown state.
    context = multiprocessing.get_context("spawn")
    with _threads_of_children(), ProcessPoolExecutor(workers, context) as pool:
        futures: list[Future] = [pool.submit(_run, tree, *task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise RuntimeError("a process of the bank died, most likely because memory ran out: try fewer, -j 1") from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _threads_of_children() -> Iterator[None]:
    """OMP_NUM_THREADS=1 for what is started inside: OpenMP reads it once, when torch is imported."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- the report


def write_report(bank: Bank, out: Path) -> None:
    """Write `out`/bank.html and `out`/bank.csv: every solution, whether it was caught, and the check's message."""
    with replacing(Path(out) / "bank.csv") as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["notebook", "exercise", "kind", "solution", "holds", "passed", "failed", "expected words",
                         "said otherwise", "message"])  # fmt: skip
        for e in bank.entries:
            row = [
                bank.notebooks[e.exercise],
                e.exercise,
                "right" if e.right else "wrong",
                e.label,
                "no" if e.problem else "yes",
            ]
            row += [len(e.passed), len(e.failed), e.expected, len(e.otherwise), e.broken or e.message]
            writer.writerow(row)
    write_text(Path(out) / "bank.html", _page(bank))


def table(bank: Bank) -> str:
    """Exercises with their counts, as lines of text."""
    lines = [f"{'':3}{'exercise':24}{'wrong, caught':>15}{'right, accepted':>17}"]
    for name, number in bank.notebooks.items():
        wrong, right = bank.of(name, False), bank.of(name, True)
        lines.append(f"{number} {name:24}{_tally(wrong):>15}{_tally(right):>17}")
    return "\n".join(lines)


def _tally(entries: list[Entry]) -> str:
    held = sum(not entry.problem for entry in entries)
    return f"{held} of {len(entries)}"


def _few(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds[:5])) + (f" and {len(seeds) - 5} more" if len(seeds) > 5 else "")


def _page(bank: Bank) -> str:
    loose = [f"{e.exercise}, {e.label}: seed {_few(e.otherwise)}" for e in bank.entries if e.otherwise]
    return render("bank.html", {"bank": bank, "loose": loose, "tally": _tally, "verdict": _in_words}, TEMPLATES)


def _in_words(entry: Entry) -> str:
    passes = "accepted" if entry.right else "passes"
    failed = "rejected" if entry.right else "caught"
    verdict = "breaks the check" if entry.broken else failed if entry.failed else passes
    if entry.passed and entry.failed:
        verdict += f" with {len(entry.failed)} of {len(entry.passed) + len(entry.failed)} seeds"
    return verdict
