"""linear_decay(epoch, constant, decay): the learning rate's way down (Zhu and others 2017, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import between, number
from exercises.probing import Answer, Case
from facegen.training.schedules import linear_decay


def cases(g: torch.Generator) -> list[Case]:
    schedules = [(5, 5), (between(2, 4, g), between(6, 9, g)), (0, 4), (between(6, 9, g), 1), (100, 100)]
    found = []
    for constant, decay in schedules:
        epochs = range(0, constant + decay + 3, 7 if constant == 100 else 1)
        found += [{"epoch": epoch, "constant": constant, "decay": decay} for epoch in epochs]
    return found


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    return {"": number(answer["value"])}


# -- mistakes


def solution(most: float = 1, least: float = 0, late: int = 0, steps: int = 1, last: float = 0, times: float = 1) -> Callable:
    """With other limits, decaying `late` epochs later in decay + `steps` steps, with another factor after the last one."""

    def wrong(epoch: int, constant: int, decay: int) -> float:
        factor = min(most, max(least, (constant + decay + late - epoch) / max(1, decay + steps)))
        return times * factor if epoch < constant + decay else max(last, factor)

    return wrong


def after(shape: Callable[[int, int], float]) -> Callable:
    """1 in the first epochs, then a function of the epochs since and of decay."""
    return lambda epoch, constant, decay: 1.0 if epoch < constant else shape(epoch - constant, decay)


def over_everything(epoch: int, constant: int, decay: int) -> float:
    return min(1.0, 1 - (epoch - constant) / (constant + decay)) if epoch < constant + decay else 0.0


MISTAKES = {
    "the factor never falls: is constant + decay - epoch in brackets, and min(1, max(0, ...)) the right way round?": (
        lambda epoch, constant, decay: 1.0
    ),
    "it falls from the first epoch on: subtract `constant`": lambda e, c, d: max(0.0, 1 - e / (c + d)),
    "it falls from the first epoch on, in `constant + decay + 1` steps: subtract `constant`": lambda e, c, d: max(
        0.0, (c + d - e) / (c + d + 1)
    ),
    "it falls over `constant + decay` epochs, expected over `decay`": over_everything,
    "epochs are counted from 0, so the first one that decays is number `constant`": solution(late=1),
    "an epoch at rate 0 learns nothing: divide by decay + 1, so that only the one after the last has 0": after(
        lambda since, decay: max(0.0, 1 - (since + 1) / decay)
    ),
    "a negative rate climbs: expected max(0, ...)": solution(least=-math.inf, last=-math.inf),
    "expected 1 in the first `constant` epochs: min(1, ...) is missing": solution(most=math.inf),
    "min and max are missing: expected 1 in the first `constant` epochs, and never less than 0": (
        lambda e, c, d: (c + d - e) / (d + 1)
    ),
    "it falls exponentially, expected equal steps": after(lambda since, decay: 0.5 ** (since + 1)),
    "it falls by a cosine, expected equal steps": after(
        lambda since, decay: 0.5 + 0.5 * math.cos(math.pi * min(1, since / decay))
    ),
    "it falls in one step, expected equal steps": after(lambda since, decay: 0.1 if since < decay else 0.0),
    "it falls to 0 at once: // gives whole numbers, / divides": after(lambda since, decay: 0.0),
    "it rises, expected that it falls": after(lambda since, decay: min(1.0, since / decay)),
    "it stays 1 to the last epoch: // gives whole numbers, / divides": after(lambda since, decay: float(since < decay)),
    "this is a learning rate, expected the factor, which is 1 in the first `constant` epochs": solution(times=2e-4),
    "it ends above 0, expected 0 after the last epoch": solution(least=0.1),
}

EXERCISE = Exercise(
    component="linear_decay",
    chapter=3,
    place=9,
    minutes=8,
    difficulty=1,
    task="The factor of the learning rate in each epoch.",
    verified="every epoch of 5 schedules",
    reference=linear_decay,
    cases=cases,
    judge=judge,
    also=[solution(steps=0)],  # as widely used: the first decaying epoch still has 1
    call=lambda case: "linear_decay({epoch}, constant={constant}, decay={decay})".format(**case),
    rule="expected 1 in the first `constant` epochs, then `decay` equal steps of 1 / (decay + 1), and 0 after the last epoch",
    mistakes=MISTAKES,
    refused=[
        ("return statement missing", lambda epoch, constant, decay: None),
        ("is a list, expected one number", lambda epoch, constant, decay: [1.0] * constant),
    ],
    tolerance=1e-5,
)
