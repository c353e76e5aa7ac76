"""cycle_loss(real, reconstructed): how far there and back again ends from where it began (Zhu and others 2017, equation 2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.differences import RULE, WRONG_DIFFERENCES, right, some_pictures
from exercises.judging import gradients, loss, shape, untouched
from exercises.probing import Answer, Case, called_with_gradients
from facegen.training.losses import cycle_loss


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, size, brighter in ((3, (5, 5), 0.5), (1, (4, 7), -0.5), (4, (6, 3), 0.0)):
        found.append({"real": some_pictures(n, size, g), "reconstructed": 1.5 * some_pictures(n, size, g) + brighter})
    same = some_pictures(2, (4, 4), g)
    return [*found, {"real": same, "reconstructed": same.clone()}]


def probe(cycle_loss: Callable, case: Case) -> Answer:
    return called_with_gradients(cycle_loss, case["real"], case["reconstructed"])


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "real", "reconstructed")
    value = loss(answer["value"], f"pictures {shape(case['real'])}")
    if torch.equal(case["real"], case["reconstructed"]):  # where the absolute value has no gradient
        return {"": value}
    (_, found) = answer["gradients"]
    return {"": value, **gradients([found], "reconstructed")}


def call(case: Case) -> str:
    real, back = case.values()
    return f"the loss of pictures {shape(real)}" + (" that came back unchanged" if torch.equal(real, back) else "")


EXERCISE = Exercise(
    component="cycle_loss",
    chapter=3,
    place=6,
    minutes=5,
    difficulty=1,
    task="How far pictures come back from where they began.",
    verified="values and gradients, 0 for a perfect return",
    reference=cycle_loss,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule=RULE,
    mistakes=WRONG_DIFFERENCES,
    refused=[
        ("came back unchanged", lambda x, y: ((y - x).square() + 1e-6).sqrt().mean()),
        ("expected one number", lambda x, y: (y - x).abs().mean((1, 2, 3))),
        (".item() cuts the gradient off", lambda x, y: right(x, y).item()),
        ("cut off by a detach", lambda x, y: right(x, y.detach())),
        ("changed real in place", lambda x, y: x.sub_(y.detach()).abs().mean() + 0 * y.sum()),
        ("return statement missing", lambda x, y: None),
    ],
    hints={SIZES: "compare pictures of one size, without reshaping them"},
    tolerance=1e-4,
)
