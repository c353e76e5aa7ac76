"""learning_rate(progress, lr, rampup, rampdown): a rise, a plateau, a fall (Karras and others 2020, appendix D)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import number, require
from exercises.probing import Answer, Case
from facegen.latent.project import learning_rate


def cases(g: torch.Generator) -> list[Case]:
    def somewhere(low: float, high: float) -> float:
        return round(low + (high - low) * (0.1 + 0.8 * float(torch.rand((), generator=g))), 4)

    found = []
    for lr, up, down in ((0.1, 0.05, 0.25), (2.0, 0.3, 0.5), (0.3, 0.6, 0.7), (0.3, 1.0, 1.0)):  # in the last two ramps overlap
        up, down = (round(ramp * somewhere(0.8, 1), 3) if ramp < 0.6 else ramp for ramp in (up, down))
        first, last = sorted((up, round(1 - down, 3)))
        late = (first + 3 * last) / 4
        between = first, somewhere(first, late), somewhere(late, last), last
        for progress in (0.0, somewhere(0, first), *between, somewhere(last, 1), 1.0):
            found.append({"progress": progress, "lr": lr, "rampup": up, "rampdown": down})
    return found


def call(case: Case) -> str:
    progress, *others = (f"{name}={value:g}" for name, value in case.items())
    return f"learning_rate({progress.removeprefix('progress=')}, {', '.join(others)})"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    rate = number(answer["value"], "the rate")
    require(rate.isfinite().all(), f"{call(case)} is {float(rate)}, expected a number")
    return {"": rate}


# -- mistakes


def half_cosine(x: float) -> float:
    return 0.5 - 0.5 * math.cos(math.pi * x)


def share(x: float) -> float:
    return min(1.0, x)


def ramps(
    rise: Callable = share,
    fall: Callable = lambda x: half_cosine(share(x)),
    join: Callable = lambda rise, fall: rise * fall,
) -> Callable:
    """lr times both ramps, of progress / rampup and (1 - progress) / rampdown."""
    return lambda progress, lr, rampup, rampdown: lr * join(rise(progress / rampup), fall((1 - progress) / rampdown))


def falling(fall: Callable) -> Callable:
    """With another fall of the share, which is at most 1."""
    return ramps(fall=lambda x: fall(share(x)))


right = ramps()


def falls_from_rampdown(progress: float, lr: float, rampup: float, rampdown: float) -> float:
    behind = (progress - rampdown) / (1 - rampdown or 1e-9)
    return lr * share(progress / rampup) * half_cosine(1 - min(max(behind, 0), 1))


def rise_first(progress: float, lr: float, rampup: float, rampdown: float) -> float:
    return right(progress, lr, rampup, rampdown if progress >= rampup else 1e-9)


def fall_first(progress: float, lr: float, rampup: float, rampdown: float) -> float:
    return right(progress, lr, rampup if progress <= 1 - rampdown else 1e-9, rampdown)


OVERLAP = "the ramps may overlap, and then both count: multiply, an elif takes one of them alone"
MISTAKES = {
    "it stays at lr all the time": lambda progress, lr, rampup, rampdown: lr,
    "lr is not used": lambda progress, lr, rampup, rampdown: right(progress, 1.0, rampup, rampdown),
    "lr is added, expected a factor": lambda progress, lr, rampup, rampdown: lr + right(progress, 1.0, rampup, rampdown),
    "the rise is missing": ramps(rise=lambda x: 1.0),
    "the fall is missing": ramps(fall=lambda x: 1.0),
    OVERLAP + ", here the rise": rise_first,
    OVERLAP + ", here the fall": fall_first,
    "it falls along a straight line, expected along a cosine": falling(lambda x: x),
    "it rises along a cosine, expected along a straight line": ramps(rise=lambda x: half_cosine(share(x))),
    "it falls along a quarter of a wave, expected half of one: 0.5 - 0.5 * cos(pi * x)": (
        falling(lambda x: math.sin(math.pi / 2 * x))
    ),
    "it falls along a quarter of a wave, expected half of one, 0.5 - 0.5 * cos(pi * x)": (
        falling(lambda x: 1 - math.cos(math.pi / 2 * x))
    ),
    "the fall is upside down: the last steps have to be the smallest": falling(lambda x: half_cosine(1 - x)),
    "the rise is upside down: the first step has to be 0": ramps(rise=lambda x: 1 - share(x)),
    "the half is missing: the cosine goes from -1 to 1": falling(lambda x: 1 - math.cos(math.pi * x)),
    "the first half is missing: 0.5 - 0.5 * cos": falling(lambda x: -0.5 * math.cos(math.pi * x)),
    "rampup and rampdown changed places": lambda progress, lr, rampup, rampdown: right(progress, lr, rampdown, rampup),
    "the fall begins at rampdown: it takes the last `rampdown` of the search": falls_from_rampdown,
    "the fall counts progress / rampdown, expected what is left: (1 - progress) / rampdown": (
        lambda progress, lr, rampup, rampdown: lr * share(progress / rampup) * half_cosine(share(progress / rampdown))
    ),
    "it falls all the time, expected only in the last `rampdown`": (
        lambda progress, lr, rampup, rampdown: right(progress, lr, rampup, 1.0)
    ),
    "no upper end for the rise: after `rampup` it stays at 1": ramps(rise=lambda x: x),
    "no upper end for the fall's share: min(1, (1 - progress) / rampdown)": ramps(fall=half_cosine),
    "no upper end for both shares: min(1, ...)": ramps(lambda x: x, half_cosine),
    "max in place of min: a share is at most 1": ramps(lambda x: max(1, x), lambda x: half_cosine(max(1, x))),
    "// leaves whole numbers of the shares, expected fractions: divide by /": ramps(
        math.floor, lambda x: half_cosine(share(x // 1))
    ),
    "// leaves a whole number of the rise, expected a fraction: divide by /": ramps(lambda x: share(x // 1)),
    "// leaves a whole number of the fall's share, expected a fraction: divide by /": falling(lambda x: half_cosine(x // 1)),
    "the lower of the two counts, expected their product": ramps(join=min),
    "the two are added, expected their product": ramps(join=lambda rise, fall: rise + fall),
    "pi is missing in the cosine": falling(lambda x: 0.5 - 0.5 * math.cos(x)),
    "3.14 is not exact enough: take math.pi": falling(lambda x: 0.5 - 0.5 * math.cos(3.14 * x)),
    "2 pi in place of pi: it falls and rises again": falling(lambda x: half_cosine(2 * x)),
    "the cosine gets degrees, it wants radians": falling(lambda x: 0.5 - 0.5 * math.cos(180 * x)),
    "the fall does not reach 0": lambda progress, lr, rampup, rampdown: max(
        right(progress, lr, rampup, rampdown), 0.1 * lr * share(progress / rampup)
    ),
    "the rise begins above 0": ramps(rise=lambda x: max(share(x), 0.1)),
}

EXERCISE = Exercise(
    component="learning_rate",
    chapter=5,
    place=4,
    minutes=6,
    difficulty=1,
    task="How fast the search moves: a rise, a plateau, half a cosine down to 0.",
    verified="32 cases: rise, plateau, fall, both at once, both ends",
    reference=learning_rate,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected lr * min(1, progress / rampup) * (0.5 - 0.5 * cos(pi * min(1, (1 - progress) / rampdown)))",
    mistakes=MISTAKES,
    refused=[
        ("expected one number", lambda progress, lr, rampup, rampdown: torch.linspace(0, lr, 5)),
        ("return statement missing", lambda progress, lr, rampup, rampdown: None),
        ("check the signature", lambda progress: progress),
        ("math.cos takes one number", lambda progress, lr, rampup, rampdown: torch.cos(progress)),
    ],
    hints={r"must be Tensor, not float": "progress is a plain number, and math.cos takes one number"},
    tolerance=1e-4,
)
