"""lsgan_loss(logits, real): the mean squared distance to 1 or 0 (Mao and others 2017)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import between, gradients, loss, shape, untouched
from exercises.probing import Answer, Case, called_with_gradients
from facegen.training.losses import patch_loss


def lsgan_loss(logits: Tensor, real: bool) -> Tensor:
    """The package's, whose two halves stand apart."""
    halves = patch_loss("lsgan")
    return halves.d_real(logits) if real else halves.d_fake(logits)


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for axes in ((1, 3, 4), (1, 2, 2), (1,), ()):
        logits = 0.4 + 1.5 * torch.randn(between(2, 5, g), *axes, generator=g)
        found += [{"logits": logits, "real": real} for real in (True, False)]
    return found


def probe(lsgan_loss: Callable, case: Case) -> Answer:
    return called_with_gradients(lsgan_loss, case["logits"], case["real"])


def call(case: Case) -> str:
    return f"the loss of logits {shape(case['logits'])} with real={case['real']}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "the logits", "real")
    return {"": loss(answer["value"], f"logits {shape(case['logits'])}"), **gradients(answer["gradients"], "the logits")}


# -- mistakes


def square(x: Tensor, t: float) -> Tensor:
    return (x - t).square().mean()


def solution(distance: Callable[[Tensor, float], Tensor] = square, real: float = 1.0, fake: float = 0.0) -> Callable:
    """With another distance, or other targets."""
    return lambda logits, is_real: distance(logits, real if is_real else fake)


MISTAKES = {
    "the target is the other one, swapped: 1 is real, 0 is fake": solution(real=0, fake=1),
    "the target is always 1: is real used?": solution(fake=1),
    "the target is always 0: is real used?": solution(real=0),
    "the target of fakes is -1, expected 0": solution(fake=-1),
    "the target is smoothed, expected 1": solution(real=0.9),
    "the target is smoothed, expected 0": solution(fake=0.1),
    "the targets are smoothed, expected 1 and 0": solution(real=0.9, fake=0.1),
    "this is half of it, expected the plain mean of squares": solution(lambda x, t: square(x, t) / 2),
    "this is the sum, expected the mean": solution(lambda x, t: (x - t).square().sum()),
    "the sum over a map, expected the mean over everything": solution(lambda x, t: (x - t).square().sum() / len(x)),
    "the absolute value, expected the square": solution(lambda x, t: (x - t).abs().mean()),
    "the root of the mean square, expected the mean square": solution(lambda x, t: square(x, t).sqrt()),
    "the mean goes first: square each distance, then average": solution(lambda x, t: (x.mean() - t).square()),
    "the logits are squared before the target is subtracted": solution(lambda x, t: (x.square() - t).mean()),
    "the square is missing, so that distances above and below cancel": solution(lambda x, t: (x - t).mean()),
    "the logits went through a sigmoid: least squares takes them as they are": solution(lambda x, t: square(x.sigmoid(), t)),
    "this is cross-entropy, expected the squared distance": solution(
        lambda x, t: F.binary_cross_entropy_with_logits(x, torch.full_like(x, t))
    ),
    "the sign is wrong: a loss is positive": solution(lambda x, t: -square(x, t)),
    "this is the Wasserstein loss": solution(lambda x, t: x.mean() * (1 - 2 * t)),
    "this is the hinge loss": solution(lambda x, t: F.relu(1 + x * (1 - 2 * t)).mean()),
}

EXERCISE = Exercise(
    component="lsgan_loss",
    chapter=3,
    place=5,
    minutes=6,
    difficulty=1,
    task="How far logits are from 1 for real and 0 for fake pictures, squared.",
    verified="values and gradients for both targets, maps and single logits",
    reference=lsgan_loss,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected the mean of (logits - 1)^2 if real, of logits^2 if not, over everything",
    mistakes=MISTAKES,
    refused=[
        ("expected one number", solution(lambda x, t: (x - t).square().flatten(1).mean(1) if x.dim() > 1 else square(x, t))),
        (".item() cuts the gradient off", solution(lambda x, t: square(x, t).item())),
        ("cut off by a detach", solution(lambda x, t: square(x.detach(), t))),
        ("changed the logits in place", solution(lambda x, t: x.detach().sub_(1 - t).square().mean() + 0 * x.sum())),
        ("return statement missing", solution(lambda x, t: None)),
        ("real is True or False", lambda logits, real: (logits - real).square().mean()),
    ],
    hints={
        "bool tensor|with bool": "real is True or False: take 1.0 if real else 0.0 as target",
        "must be Tensor, not|has no attribute 'size'": "the target has to be a tensor of the logits' shape: torch.ones_like",
        "truth value of a Tensor|Boolean value of Tensor": "`if real` decides about real, not about the logits",
    },
    tolerance=1e-4,
)
