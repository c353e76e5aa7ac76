"""r1_penalty(logits, real): the squared slope of D at real pictures (Mescheder and others 2018, section 4.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import gradients, require, shape, tensor
from exercises.probing import Answer, Case, copied, equal, gradients_for, plain
from facegen.training.stylegan import squared_gradients


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, size, flat in ((4, 5, False), (2, 6, False), (1, 4, False), (5, 7, True)):
        weights = [torch.randn(4, 3, 3, 3, generator=g) / 4, 8 * torch.randn(4, generator=g)]
        found.append({"real": torch.randn(n, 3, size, size, generator=g), "weights": weights, "flat": flat})
    return found


def critic(real: Tensor, filters: Tensor, last: Tensor, flat: bool) -> Tensor:
    """Logits [N, 1], or [N], that are no straight function of a picture."""
    logits = torch.tanh(F.conv2d(real, filters)).mean((2, 3)) @ last
    return logits if flat else logits[:, None]


def probe(r1_penalty: Callable, case: Case) -> Answer:
    weights, real = [w.requires_grad_() for w in case["weights"]], case["real"].requires_grad_()
    before = copied(real)
    logits = critic(real, *weights, case["flat"])
    value = r1_penalty(logits, real)
    answer = {
        "value": plain(value),
        "graph": isinstance(value, Tensor) and value.requires_grad,
        "left": any(t.grad is not None for t in (real, *weights)),
        "changed": not equal(before, real),
    }
    torch.autograd.grad(logits.sum(), weights, retain_graph=True)  # D's own loss wants it as well
    return answer | {"gradients": gradients_for(weights, value)}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    require(answer["value"] is not None, "the penalty is None: is the return statement missing?")
    left = "it leaves gradients in D's weights or in real: use torch.autograd.grad, not backward()"
    require(answer["left"] is False, left)
    require(answer["changed"] is False, "it changed real in place")
    value, n = tensor(answer["value"], "the penalty"), len(case["real"])
    expected = f"{n} pictures give a penalty of shape {shape(value)}, expected [{n}]: "
    require(value.dim() != 0, expected + "one for each picture, sum over axes 1, 2, 3 only")
    require(value.shape == (n,) or value.numel() != n, expected + "no further axes, so no keepdim")
    require(value.shape != (n, n), expected + "[N] and [N, 1] met and became [N, N]")
    missing = "this is the gradient or its square, the sum over axes 1, 2, 3 is missing"
    require(value.dim() != 4, expected + missing)
    every = "sum over all axes but the first, channels, rows and columns (1, 2, 3)"
    require(value.shape == (n,), expected + every)
    graph = "the penalty cannot be differentiated for D's weights: grad needs create_graph=True, and no detach after it"
    require(answer["graph"] is True, graph)
    return {"": value, **gradients(answer["gradients"], "D's filters", "D's last weights")}


# -- mistakes


def slope(logits: Tensor, real: Tensor, **options: bool) -> Tensor:
    return torch.autograd.grad(logits.sum(), real, **({"create_graph": True} | options))[0]


def squares(gradient: Tensor) -> Tensor:
    return gradient.square().sum((1, 2, 3))


def reduced(function: Callable = squares, **options: bool) -> Callable:
    """function of D's gradient."""
    return lambda logits, real: function(slope(logits, real, **options))


def derived(function: Callable) -> Callable:
    """The gradient of function(logits)."""
    return lambda logits, real: squares(slope(function(logits), real))


MISTAKES = {
    "the mean over a picture's values, expected the sum": reduced(lambda d: d.square().mean((1, 2, 3))),
    "the sum over channels, but the mean over pixels, expected the sum over all": reduced(
        lambda d: d.square().sum(1).mean((1, 2))
    ),
    "D's mean was differentiated, expected its sum: the mean divides each gradient by N": derived(torch.mean),
    "this is the length, expected its square": reduced(lambda d: squares(d).sqrt()),
    "(length - 1)^2 is WGAN-GP's; R1 draws the length to 0": reduced(lambda d: (squares(d).sqrt() - 1).square()),
    "it sums absolute values, expected squares": reduced(lambda d: d.abs().sum((1, 2, 3))),
    "the gradient is summed before it is squared, so that its parts cancel": reduced(lambda d: d.sum((1, 2, 3)).square()),
    "the gradient itself is summed, its square is missing": reduced(lambda d: d.sum((1, 2, 3))),
    "half of it: gamma / 2 is the loop's business": reduced(lambda d: squares(d) / 2),
    "the weight 10 is inside, expected the plain square": reduced(lambda d: 10 * squares(d)),
    "the weight 5 is inside, expected the plain square": reduced(lambda d: 5 * squares(d)),
    "the factor 16 is inside, which is the loop's business": reduced(lambda d: 16 * squares(d)),
    "it is squared twice": reduced(lambda d: squares(d).square()),
    "only the largest entry counts, expected the sum": reduced(lambda d: d.square().amax((1, 2, 3))),
    "the sign is wrong: steep places have to cost": reduced(lambda d: -squares(d)),
    "the gradient is multiplied by the pictures": lambda logits, real: squares(slope(logits, real) * real.detach()),
    "the loss softplus(-logits) was differentiated, expected the logits": derived(lambda logits: F.softplus(-logits)),
    "the loss softplus(logits) was differentiated, expected the logits": derived(F.softplus),
    "the logits went through a sigmoid first": derived(torch.sigmoid),
    "the squared logits were differentiated, expected the logits": derived(torch.square),
    "every picture gets the sum of the whole batch": reduced(lambda d: d.square().sum().expand(len(d))),
    "every picture gets the mean of the whole batch": reduced(lambda d: squares(d).mean().expand(len(d))),
    "it divides by the number of pictures: the mean over the batch is the loop's business": reduced(
        lambda d: squares(d) / len(d)
    ),
    "the values are right, but one factor of the square is detached: half of the gradient is lost": reduced(
        lambda d: (d * d.detach()).sum((1, 2, 3))
    ),
}

EXERCISE = Exercise(
    component="r1_penalty",
    chapter=4,
    place=7,
    minutes=12,
    difficulty=2,
    task="The price on the slope of D at real pictures.",
    verified="values per picture, differentiable for D's weights, nothing left behind",
    reference=squared_gradients,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"the penalty of {len(case['real'])} pictures",
    rule="the sum over a picture of D's squared gradient",
    mistakes=MISTAKES,
    refused=[
        ("one for each picture", reduced(lambda d: squares(d).mean())),
        ("sum over all axes but the first", reduced(lambda d: d.square().sum(1))),
        ("grad needs create_graph=True", reduced(create_graph=False, retain_graph=True)),
    ],
    hints={
        "does not require grad": "the graph is cut: look for detach, no_grad or item",
        "not have been used in the graph": "the gradient is taken for a tensor that D has not seen: differentiate for `real`"
        " itself, no clone, no detach",
        "backward through the graph a second": "the graph is gone after the penalty: grad needs create_graph=True, which keeps"
        " it, and no retain_graph=False",
        "grad can be implicitly created only for scalar": "only one number can be differentiated: take the sum of the logits",
        "Mismatch in shape": "grad_outputs has the shape of the logits: torch.ones_like(logits)",
        "'tuple' object": "torch.autograd.grad gives a tuple: take its first entry, [0]",
    },
)
