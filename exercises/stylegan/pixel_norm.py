"""pixel_norm(z, eps=1e-8): each row over its root mean square (Karras and others 2018, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called, called_with_gradients


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, c in ((4, 4), (3, 7), (1, 5), (6, 2)):
        lengths = 10 ** (3 * torch.rand(n, 1, generator=g) - 1.5)
        z = (0.4 + torch.randn(n, c, generator=g)) * lengths
        found.append({"z": z, "options": {"eps": 1e-8} if n == 3 else {}, "zeros": False})
    zeros = torch.cat([torch.zeros(1, 3), torch.randn(2, 3, generator=g)])
    return [*found, {"z": zeros, "options": {}, "zeros": True}]


def probe(pixel_norm: Callable, case: Case) -> Answer:
    # The gradient at a row of zeros is eps's alone, and there are several good ways to add it.
    return (called if case["zeros"] else called_with_gradients)(partial(pixel_norm, **case["options"]), case["z"])


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "z")
    y, z = answer["value"], case["z"]
    if case["zeros"] and isinstance(y, Tensor):
        require(y.isfinite().all(), "a row of zeros gives NaN, 0 / 0: add eps under the root")
    y = tensor(y, f"the result for z {shape(z)}")
    require(y.shape == z.shape, f"z of shape {shape(z)} gives {shape(y)}, expected the same")
    return {"": y} if case["zeros"] else {"": y, **gradients(answer["gradients"], "z")}


# -- mistakes


def rms(z: Tensor, axes: tuple[int, ...] = (1,), eps: float = 1e-8) -> Tensor:
    return (z.square().mean(axes, keepdim=True) + eps).sqrt()


def over(size: Callable[[Tensor], Tensor]) -> Callable:
    """z divided by another size of it."""
    return lambda z, eps=1e-8: z / size(z)


MISTAKES = {
    "z came back as it was": over(lambda z: 1),
    "the mean runs over the batch (dim=0), expected over the entries of each row (dim=1)": over(lambda z: rms(z, (0,))),
    "one number for the whole batch, expected one per row (dim=1, keepdim=True)": over(lambda z: rms(z, (0, 1))),
    "rows get length 1: divide by the root of the mean of squares, not of their sum": over(
        lambda z: z.norm(dim=1, keepdim=True) + 1e-8
    ),
    "the whole batch gets length 1: one root mean square for each row": over(lambda z: z.norm()),
    "it divides by the mean square, the root is missing": over(lambda z: rms(z).square()),
    "it divides by the sum of squares, expected the root of their mean": over(lambda z: z.square().sum(1, keepdim=True) + 1e-8),
    "it multiplies by the root mean square, expected a division": over(lambda z: 1 / rms(z)),
    "it is multiplied by the number of entries, expected a row with a mean square of 1": over(lambda z: rms(z) / z.shape[1]),
    "the root of the number of rows (N) is in it, expected that of the entries (C)": over(
        lambda z: (z.norm(dim=1, keepdim=True) + 1e-8) / len(z) ** 0.5
    ),
    "the mean is subtracted, too: only the size of a row is to be changed": lambda z, eps=1e-8: F.layer_norm(z, z.shape[1:]),
    "this is batch norm: each row by itself, and nothing subtracted": lambda z, eps=1e-8: (
        (z - z.mean(0)) / (z.std(0, correction=0) + eps)
    ),
    "it divides by the standard deviation, which subtracts the mean first": over(lambda z: z.std(1, keepdim=True) + 1e-8),
    "it divides by the root of the variance, which subtracts the mean first": over(
        lambda z: (z.var(1, correction=0, keepdim=True) + 1e-8).sqrt()
    ),
    "it divides by the mean absolute value, expected the root mean square": over(
        lambda z: z.abs().mean(1, keepdim=True) + 1e-8
    ),
    "it divides by the largest entry, expected the root mean square": over(lambda z: z.abs().amax(1, keepdim=True) + 1e-8),
    "the root is taken of each square, which is the absolute value: first the mean, then the root": over(
        lambda z: (z.square() + 1e-8).sqrt()
    ),
    "what is added under the root is too large, expected eps, by default 1e-8": over(lambda z: rms(z, eps=0.01)),
    "the values are right, but not the gradient: the root mean square is cut off by a detach, .data or no_grad": over(
        lambda z: rms(z.detach())
    ),
}

EXERCISE = Exercise(
    component="pixel_norm",
    chapter=4,
    place=1,
    minutes=5,
    difficulty=1,
    task="Take the length out of each z.",
    verified="rows long and short, a row of zeros, gradient, z untouched",
    reference=over(rms),
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"the result for z {shape(case['z'])}",
    rule="divide each row by sqrt(mean of its squares + eps), with eps 1e-8",
    mistakes=MISTAKES,
    refused=[
        ("add eps under the root", lambda z, eps=1e-8: z / z.square().mean(1, keepdim=True).sqrt()),
        ("keepdim=True is missing", lambda z, eps=1e-8: z / (z.square().mean(1) + eps).sqrt()),
    ],
    hints={SIZES: "keepdim=True is missing in the mean: [N] beside [N, C] divides rows by each other's numbers"},
)
