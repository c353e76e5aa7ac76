"""discriminator_step(D, G, d_optimizer, real, z): one update of D on real pictures and on G's (Goodfellow and others 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from exercises import steps
from exercises.base import Exercise
from exercises.judging import require
from exercises.networks import gan_stepped as probe
from exercises.probing import Answer, Case
from facegen.training.steps import discriminator_step


def cases(g: torch.Generator) -> list[Case]:
    # With batch norm in D, one pass over real and fake together is another function than one over each.
    return [steps.gan_case("D", axes, norm, g) for axes, norm in (([1], False), ([], False), ([1, 1, 1], False), ([1], True))]


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    steps.asked(case, answer)
    found = steps.judged(case, answer, "d_optimizer", "loss_D")
    gradients = answer["nets"]["G"]["gradients"]
    require(not gradients.any(), "G got gradients in the step of D: detach its pictures (or make them under no_grad)")
    return found


# -- mistakes


def of_logits(loss: Callable[[Tensor, Tensor], Tensor], cut: Callable = Tensor.detach) -> steps.Loss:
    """From a loss of the logits of real and fake pictures."""
    return lambda D, G, real, z: loss(D(real), D(cut(G(z))))


def right_loss(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def together(D: nn.Module, G: nn.Module, real: Tensor, z: Tensor) -> Tensor:
    return right_loss(*D(torch.cat([real, G(z).detach()])).chunk(2))


right = of_logits(right_loss)

LOSSES = {
    "the targets are swapped: real pictures are 1, G's are 0": lambda real, fake: (softplus(real) + softplus(-fake)).mean(),
    "only the real pictures count, expected the sum of real and fake loss (is fake_logits itself detached? Cut at the"
    " pictures: D(G(z).detach()))": lambda real, fake: softplus(-real).mean(),
    "only the fake pictures count, expected the sum of real and fake loss (is zero_grad() between two backward()?)": (
        lambda real, fake: softplus(fake).mean()
    ),
    "G's pictures are called real too: their target is 0": lambda real, fake: (softplus(-real) + softplus(-fake)).mean(),
    "the real pictures are called fake too: their target is 1": lambda real, fake: (softplus(real) + softplus(fake)).mean(),
    "half of the loss: expected the sum of real and fake loss": lambda real, fake: (
        (softplus(-real) + softplus(fake)).mean() / 2
    ),
    "the fake loss is subtracted, expected the sum": lambda real, fake: (softplus(-real) - softplus(fake)).mean(),
    "the sign is wrong: it climbs": lambda real, fake: -(softplus(-real) + softplus(fake)).mean(),
    "the losses are summed over the batch, expected their mean": lambda real, fake: (softplus(-real) + softplus(fake)).sum(),
    "the labels are smoothed, expected the target 1": lambda real, fake: (
        0.9 * softplus(-real) + 0.1 * softplus(real) + softplus(fake)
    ).mean(),
    "this is the Wasserstein loss, expected binary cross-entropy": lambda real, fake: fake.mean() - real.mean(),
    "this is the least squares loss, expected binary cross-entropy": lambda real, fake: (
        (real - 1).square() + fake.square()
    ).mean(),
    "this is the hinge loss, expected binary cross-entropy": lambda real, fake: ((1 - real).relu() + (1 + fake).relu()).mean(),
    "the logits went through a sigmoid twice": lambda real, fake: (softplus(-real.sigmoid()) + softplus(fake.sigmoid())).mean(),
}
MISTAKES = steps.mistakes(right, {text: of_logits(loss) for text, loss in LOSSES.items()}) | {
    "with batch norm in D the update is another: give D the real and the fake pictures in two separate calls": (
        steps.step_of(together)
    ),
}


def two_updates(*arguments: Any) -> Tensor:
    halves = of_logits(lambda real, fake: softplus(-real).mean()), of_logits(lambda real, fake: softplus(fake).mean())
    return sum(steps.step_of(half)(*arguments) for half in halves)


def sleeping(D: nn.Module, *arguments: Any) -> Tensor:
    D.eval()
    loss = steps.step_of(right)(D, *arguments)
    D.train()
    return loss


def no_return(*arguments: Any) -> None:
    steps.step_of(right)(*arguments)


EXERCISE = Exercise(
    component="discriminator_step",
    chapter=2,
    place=6,
    minutes=20,
    difficulty=3,
    task="One update of D on a real batch and on a batch of G's.",
    verified="only D moves, along the right gradient, G untouched, loss returned",
    reference=discriminator_step,
    cases=cases,
    probe=probe,
    judge=judge,
    rule="expected the mean real_loss of D(real) plus the mean fake_loss of D(G(z)), each once",
    mistakes=MISTAKES,
    refused=[
        ("detach its pictures", steps.step_of(of_logits(right_loss, cut=lambda fake: fake))),
        ("called 2 times", two_updates),
        ("eval mode while it learns", sleeping),
        ("given other noise", steps.step_of(lambda D, G, real, z: right(D, G, real, torch.randn_like(z)))),
        ("G was never asked", steps.step_of(lambda D, G, real, z: right_loss(D(real), D(-real)))),
        ("return statement missing", no_return),
    ],
    hints=steps.HINTS,
    note=steps.note("loss_D"),
)
