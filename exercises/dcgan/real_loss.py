"""real_loss(logits, smooth=False): binary cross-entropy against 1, or against 0.9 if smooth."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.cross_entropy import WRONG_LOSSES, Loss, bce, call_of, hints, judge_loss, logit_cases
from exercises.probing import Answer, Case, called_with_gradients
from facegen.training.losses import real_loss


def cases(g: torch.Generator) -> list[Case]:
    plain, positional, named = (
        [{"logits": logits, "flags": list(flags), "options": options} for logits in logit_cases(g)]
        for flags, options in (((), {}), ((True,), {}), ((), {"smooth": True}))
    )
    return plain + named + positional


def probe(real_loss: Callable, case: Case) -> Answer:
    return called_with_gradients(partial(real_loss, **case["options"]), case["logits"], *case["flags"])


def solution(loss: Loss = bce, smooth_loss: Loss | None = None, smoothed: float = 0.9, plain: float = 1.0) -> Callable:
    def wrong(logits: Tensor, smooth: bool = False) -> Tensor:
        return (smooth_loss or loss)(logits, smoothed) if smooth else loss(logits, plain)

    return wrong


MISTAKES = {text: solution(loss) for text, loss in WRONG_LOSSES.items()} | {
    "it is smoothed although smooth is False": solution(plain=0.9),
    "smooth the wrong way round: 0.9 only if it is True": solution(plain=0.9, smoothed=1),
    "smooth has no effect, expected the target 0.9": solution(smoothed=1),
    "with smooth the target is 0.1, expected 0.9": solution(smoothed=0.1),
    "with smooth the target is 0, expected 0.9": solution(smoothed=0),
    "with smooth the target is 1.1, expected 0.9": solution(smoothed=1.1),
    "with smooth the target is 0.95, expected 0.9": solution(smoothed=0.95),
    "with smooth the loss is multiplied by 0.9, expected the target 0.9": solution(smooth_loss=lambda x, t: 0.9 * bce(x, 1)),
    "with smooth the logits are multiplied by 0.9, expected the target 0.9": solution(smooth_loss=lambda x, t: bce(0.9 * x, 1)),
    "with smooth 0.1 is taken off the loss, expected off the target": solution(smooth_loss=lambda x, t: bce(x, 1) - 0.1),
    "with smooth this is the sum, expected the mean": solution(smooth_loss=lambda x, t: bce(x, t, "sum")),
}

EXERCISE = Exercise(
    component="real_loss",
    chapter=2,
    place=4,
    minutes=6,
    difficulty=1,
    task="How wrong D is about real pictures.",
    verified="closed form with and without smoothing, gradients, logits up to 500",
    reference=real_loss,
    cases=cases,
    probe=probe,
    judge=judge_loss,
    call=call_of("real_loss"),
    rule="expected the mean of binary_cross_entropy_with_logits against 1, or 0.9 if smooth"
    " (a logarithm of a sigmoid loses large logits)",
    mistakes=MISTAKES,
    refused=[
        (".item() cuts the gradient off", lambda logits, smooth=False: bce(logits, 0.9 if smooth else 1).item()),
        ("is a part cut off by a detach", lambda logits, smooth=False: bce(logits.detach(), 0.9 if smooth else 1)),
        ("expected one number: the mean", solution(lambda x, t: bce(x, t, "none"))),
        ("a logarithm of a sigmoid loses large logits", solution(lambda x, t: -x.sigmoid().log().mean(), bce)),
        ("take the version with_logits", solution(lambda x, t: torch.nn.BCELoss()(x, torch.ones_like(x)))),
        ("targets need the logits' shape", solution(lambda x, t: torch.nn.BCEWithLogitsLoss()(x, torch.ones(len(x))))),
    ],
    hints=hints("1.0", "ones_like"),
)
