"""noise_penalty(noise): how much neighbours have to do with each other, on all scales (Karras and others 2020, appendix D)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called_with_gradients
from facegen.latent.project import noise_penalty

SMALL = "a map smaller than 8 x 8 counts once, as it is: add first, then ask whether to halve"


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for size in (8, 16, 32, 64, 4):
        y, x = torch.meshgrid(*[torch.arange(size) / size] * 2, indexing="ij")
        noise = torch.randn(size, size, generator=g) + 1.2 * torch.sin(5 * x + 9 * y) + x - 0.3
        if size == 16:  # neighbours of opposite signs
            noise = noise + 1.8 * (1 - 2 * ((x + y) * size % 2))
        found.append({"noise": noise})
    return found


def probe(noise_penalty: Callable, case: Case) -> Answer:
    return called_with_gradients(noise_penalty, case["noise"])


def call(case: Case) -> str:
    return f"the penalty of noise {shape(case['noise'])}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "noise")
    value = answer["value"]
    if isinstance(value, (int, float)):
        require(len(case["noise"]) >= 8 or value != 0, f"{call(case)} is 0: {SMALL}")
        require(False, f"it returned a {type(value).__name__}, expected a tensor, through which the search can go back")
    value = tensor(value, call(case))
    require(
        value.numel() == 1, f"{call(case)} has the shape {shape(value)}, expected one number: take the mean over all pixels"
    )
    return {"": value.reshape(()), **gradients(answer["gradients"], "noise")}


# -- mistakes


def rolled(n: Tensor, *axes: int, by: int = 1) -> Tensor:
    return n * n.roll([by] * len(axes), axes)


def both(of: Callable[[Tensor], Tensor]) -> Callable:
    """The sum of of(products with a neighbour) over the two directions."""
    return lambda n: of(rolled(n, 0)) + of(rolled(n, 1))


def squared_mean(products: Tensor) -> Tensor:
    return products.mean().square()


neighbours = both(squared_mean)


def halved(n: Tensor) -> Tensor:
    return F.avg_pool2d(n[None], 2)[0]


def scales(noise: Tensor, halve: Callable = halved, last: int = 8) -> list[Tensor]:
    found = [noise]
    while len(found[-1]) > last:
        found.append(halve(found[-1]))
    return found


def pyramid(each: Callable = neighbours, halve: Callable = halved, last: int = 8, keep: slice = slice(None)) -> Callable:
    """The sum of each(map) over the scales that are kept."""
    return lambda noise: sum([each(n) for n in scales(noise, halve, last)][keep], noise.sum() * 0)


def by_directions(of: Callable[[Tensor, int], Tensor]) -> Callable:
    return pyramid(lambda n: of(n, 0) + of(n, 1))


def from_the_full_size(noise: Tensor) -> Tensor:
    again = [neighbours(halved(noise)) for _ in scales(noise)[1:]]
    return neighbours(noise) + sum(again)


def without_border(n: Tensor) -> Tensor:
    return squared_mean(n[1:] * n[:-1]) + squared_mean(n[:, 1:] * n[:, :-1])


def flattened(n: Tensor) -> Tensor:
    return 2 * squared_mean(n * n.roll(1))


def in_place(noise: Tensor) -> Tensor:
    noise -= noise.mean()
    return pyramid()(noise)


MISTAKES = {
    SMALL: lambda noise: noise_penalty(noise) if len(noise) >= 8 else 0 * noise.sum(),
    "only the full size is looked at, the halved ones are missing": neighbours,
    "only the smallest size is looked at, expected the sum over all": pyramid(keep=slice(-1, None)),
    "the full size is missing: add up before you halve": pyramid(keep=slice(1, None)),
    "it stops too early: the last map is 8 x 8": pyramid(last=16),
    "the size 8 x 8 is missing: it is the last one that counts": pyramid(keep=slice(-1)),
    "it goes on too long: the last map is 8 x 8": pyramid(last=4),
    "it goes on too long: the last map is 8 x 8, not 1 x 1": pyramid(last=1),
    "it goes on too long: the last map is 8 x 8, not 2 x 2": pyramid(last=2),
    "only the neighbour to the left counts, expected also the one above": pyramid(lambda n: squared_mean(rolled(n, 1))),
    "only the neighbour above counts, expected also the one to the left": pyramid(lambda n: squared_mean(rolled(n, 0))),
    "the neighbour across the corner counts: shift in one direction at a time": pyramid(
        lambda n: squared_mean(rolled(n, 0, 1))
    ),
    "the neighbour across the corner counts twice: shift in one direction at a time": (
        pyramid(lambda n: 2 * squared_mean(rolled(n, 0, 1)))
    ),
    "roll without an axis shifts all numbers in one long row: roll(1, dims=...)": pyramid(flattened),
    "roll without an axis shifts all numbers in one long row, and so both directions are one: roll(1, dims=...)": (
        pyramid(lambda n: flattened(n) / 2)
    ),
    "each product is squared, expected the square of their mean": pyramid(both(lambda p: p.square().mean())),
    "the square is missing": pyramid(both(torch.mean)),
    "these are absolute values, expected squares": pyramid(both(lambda p: p.mean().abs())),
    "both means are added before they are squared: square each of them": pyramid(lambda n: both(torch.mean)(n).square()),
    "the scales are added before they are squared: square each mean": lambda noise: pyramid(both(torch.mean))(noise).square(),
    "this is a sum of products, expected their mean": pyramid(both(lambda p: p.sum().square())),
    "the mean of the two directions is taken, expected their sum": pyramid(lambda n: neighbours(n) / 2),
    "the shift is 2, expected 1": by_directions(lambda n, axis: squared_mean(rolled(n, axis, by=2))),
    "a map is multiplied by itself, the shift is missing": by_directions(lambda n, axis: squared_mean(n * n)),
    "it takes differences of neighbours, expected products": by_directions(lambda n, axis: squared_mean(n - n.roll(1, axis))),
    "it takes squared differences of neighbours, expected products": (
        by_directions(lambda n, axis: (n - n.roll(1, axis)).square().mean())
    ),
    "the border has no neighbours here: roll takes them from the other side": pyramid(without_border),
    "each second pixel is taken, expected means of 2 x 2": pyramid(halve=lambda n: n[::2, ::2]),
    "the largest of 2 x 2 is taken, expected their mean": pyramid(halve=lambda n: F.max_pool2d(n[None], 2)[0]),
    "the halved maps are multiplied by 2, expected plain means": pyramid(halve=lambda n: 2 * halved(n)),
    "2 x 2 are summed, expected their mean": pyramid(halve=lambda n: 4 * halved(n)),
    "it shrinks to a quarter each time, expected to a half": pyramid(halve=lambda n: F.avg_pool2d(n[None], 4)[0]),
    "every scale is shrunk from the full size by 2: go on with the halved map": from_the_full_size,
    "it averages over the scales, expected their sum": lambda noise: noise_penalty(noise) / len(scales(noise)),
    "the mean is subtracted first: the products stay as they are": lambda noise: noise_penalty(noise - noise.mean()),
    "noise is normalised first: that happens elsewhere": lambda noise: noise_penalty((noise - noise.mean()) / noise.std()),
    "the sign is wrong": lambda noise: -noise_penalty(noise),
    "this is the root": lambda noise: noise_penalty(noise).sqrt(),
    "the values are right, but not the gradient: one of the two factors is cut off by a detach, .data or no_grad": (
        by_directions(lambda n, axis: squared_mean(n * n.detach().roll(1, axis)))
    ),
}

EXERCISE = Exercise(
    component="noise_penalty",
    chapter=5,
    place=5,
    minutes=15,
    difficulty=2,
    task="What structure in noise costs, so that no picture hides in it.",
    verified="values for maps of 4 to 64 pixels, the gradient, noise untouched",
    reference=noise_penalty,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected mean(n * left neighbour)^2 + mean(n * upper neighbour)^2, summed over the sizes down to 8",
    mistakes=MISTAKES,
    refused=[
        ("the values are right, but not this gradient", lambda noise: noise_penalty(noise.detach())),
        ("through which the search can go back", lambda noise: noise_penalty(noise).item()),
        (f"is 0: {SMALL}", lambda noise: noise_penalty(noise) if len(noise) >= 8 else 0.0),
        ("expected one number", pyramid(lambda n: rolled(n, 0).square())),
        ("noise [S, S] has the axes 0 and 1", lambda noise: rolled(noise, 3).mean()),
        ("pooling wants [N, C, S, S]", pyramid(halve=lambda n: F.avg_pool2d(n, 2))),
        ("changed noise in place", in_place),
        ("return statement missing", lambda noise: None),
    ],
    hints={
        r"got -3|[23]D.*4D": "pooling wants [N, C, S, S]: noise[None, None]",
        r"Dimension out of range": "noise [S, S] has the axes 0 and 1, noise[None, None] has 2 and 3 for them",
        r"non-empty TensorList": SMALL,
        r"numpy\(\) on Tensor": "stay with tensors: the search goes back through the result",
    },
)
