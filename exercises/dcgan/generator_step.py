"""generator_step(D, G, g_optimizer, z): one update of G through D by the non-saturating loss (Goodfellow and others 2014)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from exercises import steps
from exercises.base import Exercise
from exercises.networks import gan_stepped as probe
from exercises.probing import Answer, Case
from facegen.training.steps import generator_step


def cases(g: torch.Generator) -> list[Case]:
    return [steps.gan_case("G", axes, False, g) for axes in ([1], [], [1, 1, 1])]


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    steps.asked(case, answer)
    return steps.judged(case, answer, "g_optimizer", "loss_G")


# -- mistakes

LOSSES = {
    "the fakes are called fake, so G learns to be found out: their target here is 1": lambda fake: softplus(fake).mean(),
    "this minimises log(1 - D(G(z))), the saturating loss: call the fakes real instead": lambda fake: -softplus(fake).mean(),
    "the sign is wrong: it climbs": lambda fake: -softplus(-fake).mean(),
    "the losses are summed over the batch, expected their mean": lambda fake: softplus(-fake).sum(),
    "half of the loss: G has one loss only, nothing to average": lambda fake: softplus(-fake).mean() / 2,
    "the labels are smoothed, expected the target 1": lambda fake: (0.9 * softplus(-fake) + 0.1 * softplus(fake)).mean(),
    "this is the Wasserstein loss, expected binary cross-entropy": lambda fake: -fake.mean(),
    "this is the least squares loss, expected binary cross-entropy": lambda fake: (fake - 1).square().mean(),
    "the logits went through a sigmoid twice": lambda fake: softplus(-fake.sigmoid()).mean(),
    "both targets are in it, 1 and 0: G wants its fakes called real only": lambda fake: (
        softplus(-fake) + softplus(fake)
    ).mean(),
}


def of_logits(loss: Any) -> steps.Loss:
    return lambda D, G, z: loss(D(G(z)))


def cut(D: nn.Module, G: nn.Module, z: Tensor) -> Tensor:
    return softplus(-D(G(z).detach())).mean()


right = of_logits(lambda fake: softplus(-fake).mean())


def trains_D(D: nn.Module, G: nn.Module, g_optimizer: torch.optim.Optimizer, z: Tensor) -> Tensor:
    return steps.step_of(right)(D, G, torch.optim.SGD(D.parameters(), lr=0.1), z)


def frozen(D: nn.Module, *arguments: Any) -> Tensor:
    D.requires_grad_(False)
    return steps.step_of(right)(D, *arguments)


EXERCISE = Exercise(
    component="generator_step",
    chapter=2,
    place=7,
    minutes=15,
    difficulty=2,
    task="One update of G through D, so that D calls its pictures real.",
    verified="only G moves, along the non-saturating gradient, loss returned",
    reference=generator_step,
    cases=cases,
    probe=probe,
    judge=judge,
    rule="expected the mean real_loss of D(G(z))",
    mistakes=steps.mistakes(right, {text: of_logits(loss) for text, loss in LOSSES.items()}),
    refused=[
        ("must flow through D into G", steps.step_of(cut)),
        ("D's weights moved", trains_D),
        ("leaves D frozen", frozen),
        ("given other noise", steps.step_of(lambda D, G, z: right(D, G, torch.randn_like(z)))),
    ],
    hints=steps.HINTS,
    note=steps.note("loss_G"),
)
