"""The bank: all mistakes that the exercises know, all solutions of tests/solutions, and whether checks tell them apart."""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib.util
import multiprocessing
import os
import sys
import time
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from exercises.base import SEED, all_exercises
from facegen.files import InputError, replacing, write_text
from facegen.pages import render
from teaching.units import ROOT

TEMPLATES = Path(__file__).with_name("templates")
LEAST_WRONG = 4  # of an exercise


@dataclass
class Entry:
    """One solution of the bank and what its check made of it."""

    exercise: str
    right: bool
    label: str
    expected: str = ""  # words that the message has to contain, of a wrong one
    passed: list[int] = field(default_factory=list)  # seeds
    failed: dict[int, str] = field(default_factory=dict)  # seed -> the check's message

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
    exercises: list[str]  # in the order of the course
    entries: list[Entry]
    seconds: float

    def of(self, exercise: str, right: bool) -> list[Entry]:
        return [entry for entry in self.entries if entry.exercise == exercise and entry.right == right]

    @property
    def problems(self) -> list[str]:
        short = [
            f"{name}: {len(self.of(name, False))} wrong solutions, expected at least {LEAST_WRONG}"
            for name in self.exercises
            if len(self.of(name, False)) < LEAST_WRONG
        ]
        return short + [entry.problem for entry in self.entries if entry.problem]

    @property
    def summary(self) -> str:
        """One line: how many of what, and whether the checks hold."""
        wrong, right = ([entry for entry in self.entries if entry.right is kind] for kind in (False, True))
        caught, accepted = (sum(not entry.problem for entry in kind) for kind in (wrong, right))
        counts = f"{caught} of {len(wrong)} wrong solutions caught, {accepted} of {len(right)} right ones accepted"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
        return f"{len(self.exercises)} exercises: {counts}, with {seeds} each, {self.seconds:.0f} s"


def run_bank(*, seeds: int = 20, workers: int | None = None, only: Sequence[str] = ()) -> Bank:
    """Run every check on every solution, with several seeds of its cases.

    Wrong solutions are those of the exercise's tables and of WRONG in tests/solutions/EXERCISE.py, (label, component, words
    of the message); right ones its reference, the other designs that it accepts, and RIGHT there, (label, component). The
    first seed is that of the notebooks; the others are 1, 2, ...

    Args:
        seeds: how many, 1 or more.
        workers: processes, each on one thread; by default one per CPU. With 1, no process is started.
        only: names of exercises; by default all.

    Raises:
        InputError: `only` names no exercise.
        RuntimeError: a process died.
    """
    names = list(all_exercises())
    if unknown := [name for name in only if name not in names]:
        raise InputError(f"there is no exercise {unknown[0]!r}: choose from {', '.join(names)}")
    names = [name for name in names if not only or name in only]
    numbers = [SEED, *range(1, seeds)]
    entries = {name: [entry for entry, _ in solutions(name)] for name in names}
    tasks = [(name, seed) for name in names for seed in numbers]
    began = time.monotonic()
    with tqdm(total=len(tasks), unit="seed", disable=None, dynamic_ncols=True) as bar:
        for name, seed, messages in _messages(tasks, min(workers or _cpus(), len(tasks))):
            for entry, message in zip(entries[name], messages):
                if message:
                    entry.failed[seed] = message
                else:
                    entry.passed.append(seed)
            bar.update()
    found = [entry for name in names for entry in entries[name]]
    for entry in found:  # in the order of the seeds, whichever process was first
        entry.passed = [seed for seed in numbers if seed in entry.passed]
        entry.failed = {seed: entry.failed[seed] for seed in numbers if seed in entry.failed}
    return Bank(numbers, names, found, time.monotonic() - began)


@functools.cache
def solutions(name: str) -> list[tuple[Entry, Any]]:
    """All solutions of an exercise, each with an entry for the report."""
    exercise, path = all_exercises()[name], ROOT / "tests" / "solutions" / f"{name}.py"
    more = types.SimpleNamespace(RIGHT=[], WRONG=[])
    if path.is_file():
        spec = importlib.util.spec_from_file_location(f"solutions_of_{name}", path)
        more = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(more)
    found = [(Entry(name, True, "the reference"), exercise.reference)]
    found += [(Entry(name, True, f"design {number}"), design) for number, design in enumerate(exercise.also, 2)]
    found += [(Entry(name, True, label), component) for label, component in more.RIGHT]
    found += [(Entry(name, False, message, message), wrong) for message, wrong in exercise.mistakes.items()]
    found += [(Entry(name, False, words, words), wrong) for words, wrong in exercise.refused]
    return found + [(Entry(name, False, label, words), wrong) for label, wrong, words in more.WRONG]


def _run(name: str, seed: int) -> tuple[str, int, list[str]]:
    """What the check says of each solution of an exercise, with one seed."""
    return name, seed, [all_exercises()[name].examine(component, seed)[0] for _, component in solutions(name)]


def _messages(tasks: list[tuple[str, int]], workers: int) -> Iterator[tuple[str, int, list[str]]]:
    if workers == 1:
        yield from (_run(*task) for task in tasks)
        return
    # A forked process would inherit the threads' locks of torch in an unknown state.
    context = multiprocessing.get_context("spawn")
    with _threads_of_children(), ProcessPoolExecutor(workers, context) as pool:
        futures = [pool.submit(_run, *task) for task in tasks]
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
        writer.writerow(["exercise", "kind", "solution", "holds", "passed", "failed", "expected words", "message"])
        for e in bank.entries:
            row = [e.exercise, "right" if e.right else "wrong", e.label, "no" if e.problem else "yes"]
            writer.writerow([*row, len(e.passed), len(e.failed), e.expected, e.message])
    loose = [f"{e.exercise}, {e.label}: seed {_few(e.otherwise)}" for e in bank.entries if e.otherwise]
    values = {"bank": bank, "loose": loose, "tally": _tally, "verdict": _in_words}
    write_text(Path(out) / "bank.html", render("bank.html", values, TEMPLATES))


def table(bank: Bank) -> str:
    """Exercises with their counts, as lines of text."""
    lines = [f"{'exercise':24}{'wrong, caught':>15}{'right, accepted':>17}"]
    lines += [f"{name:24}{_tally(bank.of(name, False)):>15}{_tally(bank.of(name, True)):>17}" for name in bank.exercises]
    return "\n".join(lines)


def _tally(entries: list[Entry]) -> str:
    held = sum(not entry.problem for entry in entries)
    return f"{held} of {len(entries)}"


def _few(seeds: list[int]) -> str:
    return ", ".join(map(str, seeds[:5])) + (f" and {len(seeds) - 5} more" if len(seeds) > 5 else "")


def _in_words(entry: Entry) -> str:
    passes, failed = ("accepted", "rejected") if entry.right else ("passes", "caught")
    verdict = failed if entry.failed else passes
    if entry.passed and entry.failed:
        verdict += f" with {len(entry.failed)} of {len(entry.passed) + len(entry.failed)} seeds"
    return verdict
