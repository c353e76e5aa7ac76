"""fake_loss(logits): binary cross-entropy against 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from exercises.base import Exercise
from exercises.cross_entropy import WRONG_LOSSES, bce, call_of, hints, judge_loss, logit_cases
from exercises.probing import Answer, Case, called_with_gradients
from facegen.training.losses import fake_loss


def probe(fake_loss: Callable, case: Case) -> Answer:
    return called_with_gradients(fake_loss, case["logits"])


MISTAKES = {text: partial(loss, t=0.0) for text, loss in WRONG_LOSSES.items()} | {
    "it is smoothed, expected the target 0: only real labels are smoothed": lambda x: bce(x, 0.1),
    "this is real_loss(1 - logits): logits are no probabilities, the target has to be 0": lambda x: bce(1 - x, 1),
    "this is 1 - real_loss(logits): the other target is needed": lambda x: 1 - bce(x, 1),
    "this is -real_loss(logits): the other target is needed, not the other sign": lambda x: -bce(x, 1),
    "the target is -1, expected 0": lambda x: bce(x, -1),
}

EXERCISE = Exercise(
    component="fake_loss",
    chapter=2,
    place=5,
    minutes=3,
    difficulty=1,
    task="How wrong D is about fakes.",
    verified="closed form, gradients, logits up to 500",
    reference=fake_loss,
    cases=lambda g: [{"logits": logits} for logits in logit_cases(g)],
    probe=probe,
    judge=judge_loss,
    call=call_of("fake_loss"),
    rule="expected the mean of binary_cross_entropy_with_logits against 0 (a logarithm of a sigmoid loses large logits)",
    mistakes=MISTAKES,
    refused=[
        (".item() cuts the gradient off", lambda logits: bce(logits, 0).item()),
        ("is a part cut off by a detach", torch.no_grad()(lambda logits: bce(logits, 0))),
        ("expected one number: the mean", lambda logits: bce(logits, 0, "none")),
        ("a logarithm of a sigmoid loses large logits", lambda logits: -torch.log(1 - logits.sigmoid()).mean()),
        ("zeros_like(logits)", lambda logits: torch.nn.functional.binary_cross_entropy_with_logits(logits, 0)),
    ],
    hints=hints("0.0", "zeros_like"),
)
