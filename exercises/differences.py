"""What cycle_loss and identity_loss share: the mean absolute difference of pictures, and how it is got wrong."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Difference = Callable[[Tensor, Tensor], Tensor]  # of pictures and what became of them

RULE = "expected the mean of the absolute differences, over all pictures, channels and pixels"


def some_pictures(n: int, size: tuple[int, int], g: torch.Generator) -> Tensor:
    return torch.tanh(0.2 + torch.randn(n, 3, *size, generator=g))


def right(x: Tensor, y: Tensor) -> Tensor:
    return (y - x).abs().mean()


WRONG_DIFFERENCES: dict[str, Difference] = {
    "these are squares, expected absolute values": lambda x, y: (y - x).square().mean(),
    "this is half of the squares, expected absolute values": lambda x, y: (y - x).square().mean() / 2,
    "the absolute value is missing, so that brighter and darker cancel": lambda x, y: (y - x).mean(),
    "the absolute value is missing, so that darker and brighter cancel": lambda x, y: (x - y).mean(),
    "the absolute value comes after the mean, so that brighter and darker cancel": lambda x, y: (y - x).mean().abs(),
    "the absolute values are taken of each on its own, expected that of their difference": lambda x, y: (
        y.abs() - x.abs()
    ).mean(),
    "this is the sum, expected the mean": lambda x, y: (y - x).abs().sum(),
    "the sum over a picture, expected the mean over all its values": lambda x, y: (y - x).abs().sum() / len(x),
    "the root of the mean square, expected absolute values": lambda x, y: (y - x).square().mean().sqrt(),
    "one distance per picture by norm(), expected the mean of absolute values": lambda x, y: (
        (y - x).flatten(1).norm(dim=1).mean()
    ),
    "one distance for all by norm(), expected the mean of absolute values": lambda x, y: (y - x).norm(),
    "this is smooth_l1_loss, expected l1_loss": F.smooth_l1_loss,
    "the weight 10 is inside, expected the plain loss": lambda x, y: 10 * right(x, y),
    "the weight 5 is inside, expected the plain loss": lambda x, y: 5 * right(x, y),
    "the weight 0.5 is inside, expected the plain loss": lambda x, y: 0.5 * right(x, y),
    "the sign is wrong: a loss is positive": lambda x, y: -right(x, y),
    "the differences of the batch's mean picture: take the absolute value first": lambda x, y: (y - x).mean(0).abs().mean(),
    "only the first picture counts, expected all": lambda x, y: right(x[0], y[0]),
    "the largest difference, expected the mean": lambda x, y: (y - x).abs().max(),
}
