"""answers: {letter: one of SICKNESSES, or "healthy"} for all recorded runs. What the names are, only the judge knows."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import kind_of, require
from exercises.probing import Answer, Case, plain
from facegen.training import symptoms
from facegen.training.symptoms import HEALTHY, SICKNESSES

NAMES = (*SICKNESSES, HEALTHY)
SPELLINGS = {"memorization": "memorisation", "color shift": "colour shift", "droplet artifacts": "droplet artefacts"}
# Where the signs of each are seen: what is said of a wrong answer leads there, and no further.
PLACES = dict.fromkeys(SICKNESSES, "its last pictures, from near and beside training faces")
PLACES |= dict.fromkeys(("discriminator won", "generator won"), "D's logits over time")
PLACES |= dict.fromkeys(("oscillation", "converged"), "one noise's pictures over time")
PLACES |= {HEALTHY: "all of its curves and pictures again"}


@functools.cache
def names() -> dict[str, str]:
    """The right answers."""
    return {letter: name for letter in symptoms.recorded_letters() for name in NAMES if symptoms.is_answer(letter, name)}


def cases(g: torch.Generator) -> list[Case]:
    return [{}]


def probe(component: Any, case: Case) -> Answer:
    """A dictionary, or a function that returns one."""
    return {"value": plain(component() if callable(component) else component)}


def judge(case: Case, answer: Answer) -> None:
    said, right, letters = answer["value"], names(), list(names())
    require(said is not None, "answers is None: is the return statement missing?")
    require(isinstance(said, dict), f'it is a {kind_of(said)}, expected a dictionary, {{"a": "mode collapse", ...}}')
    given: dict[str, str] = {}
    for letter, name in said.items():
        run = " ".join(letter.lower().split())
        require(run in letters, f"there is no recorded run {letter[:20]!r}: they are called {letters[0]} to {letters[-1]}")
        require(run not in given, f"run {run} is named twice, in capitals and in small letters")
        if name is None or kind_of(name) == "ellipsis" or (isinstance(name, str) and not name.strip(" .?")):
            continue
        text = isinstance(name, str)
        require(text, f"run {run}: expected one name, such as 'mode collapse', not a value of type {kind_of(name)}")
        plainly = " ".join(re.sub("[-_]", " ", name.lower()).split()).rstrip(".")
        given[run] = SPELLINGS.get(plainly, plainly)
        require(given[run] in NAMES, f"run {run}: {name[:40]!r} is not one of {', '.join(NAMES)}")
    require(given, "it is not written yet: give every recorded run its name")
    wrong = [run for run in letters if given.get(run, right[run]) != right[run]]
    score = f"{len(given) - len(wrong)} of {len(letters)} runs are named right"
    require(not wrong, f"{score}; run {wrong[0]}: {evidence_against(given[wrong[0]], wrong[0])}" if wrong else "")
    missing = [run for run in letters if run not in given]
    require(not missing, f"{score}; no name yet: {', '.join(missing)}")


# -- what speaks against a name


def evidence_against(name: str, letter: str) -> str:
    """What in a recorded run speaks against a name that is not its own."""
    right = names()[letter]
    place = PLACES[right]
    if name == HEALTHY:
        return f"something is wrong with it: look at {place}"
    sign, there = SIGNS[name](measured(letter))
    if there and right != HEALTHY:
        return f"{sign}: so it may seem {name!r}, but another sign is plainer, look at {place}"
    return f"{sign}: that is {'too little for' if there else 'not'} {name!r}, look at {place}"


@functools.cache
def measured(letter: str) -> dict[str, float]:
    """The numbers of the notebook's table, D's last logits, and the shares of pairs that are alike and of spotted pictures."""
    stats, recorded = symptoms.recorded_run(letter)
    faces, samples = (torch.from_numpy(x).movedim(-1, -3) for x in (symptoms.recorded_reals(letter, 200), recorded))
    x, (before, y) = coarsest(faces), map(coarsest, samples[-2:])
    among, own = torch.pdist(x).median(), torch.cdist(x, x).sort(1).values[:, 1].median()
    spots, peak = symptoms.Look.at(samples[-1]).spots, symptoms.Reference.of(faces).peak
    logits = {name: np.median(stats[name][-len(stats[name]) // 3 :]) for name in ("logits_real", "logits_fake")}
    found = logits | {
        "apart": torch.pdist(y).median() / among,
        "nearest": torch.cdist(y, x).min(1).values.median() / own,
        "change": (y - before).norm(dim=1).median() / among,
        "colour": (samples[-1].double().mean((0, 2, 3)) - faces.double().mean((0, 2, 3))).abs().max(),
        "alike": (torch.pdist(y) < 0.25 * among).double().mean(),
        "spotted": symptoms.spotted(spots, peak),
    }
    return {name: float(value) for name, value in found.items()}


def coarsest(pictures: Tensor) -> Tensor:
    return F.interpolate(pictures.double(), 8, mode="area").flatten(1)


def change(m: Mapping[str, float]) -> str:
    return f"from one snapshot to the next its pictures change by {m['change']:.2f} of the distance between training faces"


def logits(m: Mapping[str, float]) -> str:
    return f"D's logits end at {m['logits_real']:.1f} for real pictures and {m['logits_fake']:.1f} for fakes"


# Of what was measured: how the sign stands, and whether it is there.
SIGNS: dict[str, Callable[[Mapping[str, float]], tuple[str, bool]]] = {
    "mode collapse": lambda m: (
        f"its last pictures lie {m['apart']:.2f} times as far apart as training faces do",
        m["apart"] < 0.3,
    ),
    "partial collapse": lambda m: (
        f"{m['alike']:.0%} of the pairs of its last pictures look alike, in a partial collapse some do",
        0.02 < m["alike"] < 0.6,
    ),
    "discriminator won": lambda m: (logits(m), m["logits_real"] - m["logits_fake"] > 7),
    "generator won": lambda m: (logits(m), abs(m["logits_real"] - m["logits_fake"]) < 0.3),
    "oscillation": lambda m: (change(m), m["change"] > 0.4),
    "converged": lambda m: (change(m), m["change"] < 0.1),
    "memorisation": lambda m: (
        f"its last pictures lie {m['nearest']:.2f} times as far from the nearest training face as these from each other",
        m["nearest"] < 0.7,
    ),
    "droplet artefacts": lambda m: (
        f"{m['spotted']:.0%} of its last pictures have a spot of one colour that few training faces have",
        m["spotted"] > 0.35,
    ),
    "colour shift": lambda m: (
        f"the mean colour of its last pictures is {m['colour']:.0f} levels of 256 from that of training faces",
        m["colour"] > 20,
    ),
    "texture sticking": lambda m: ("texture sticks to pixels while a face moves, and none moves here", False),
}


# -- mistakes


def changed(change: Callable[[dict[str, str]], object]) -> Callable[[], object]:
    """The right answers, changed, as a function: they are looked up when the check asks."""
    return lambda: change(names())


def mistaken(truth: str, claim: str) -> Callable[[], object]:
    """Right but for the first run with the name `truth`."""
    return changed(lambda right: right | {next(letter for letter, name in right.items() if name == truth): claim})


EXERCISE = Exercise(
    component="answers",
    chapter=6,
    place=8,
    minutes=20,
    difficulty=2,
    task="What is wrong with a run, seen from its curves and pictures?",
    verified="every recorded run",
    reference=names,
    cases=cases,
    probe=probe,
    judge=judge,
    refused=[
        ("no name yet: b, ", changed(lambda right: {"a": right["a"]})),
        ("something is wrong with it: look at its last pictures", mistaken("colour shift", HEALTHY)),
        *(("look at all of its curves and pictures again", mistaken(HEALTHY, name)) for name in SICKNESSES),
        ("'collapse' is not one of mode collapse", mistaken("mode collapse", "collapse")),
        ("there is no recorded run 'z'", changed(lambda right: right | {"z": HEALTHY})),
        ("is not written yet", dict),
    ],
)
