"""What scale and unscale share: both map numbers from one range to another, each number on its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.judging import between, require, shape, tensor, untouched
from exercises.probing import Answer, Case

HINTS = {r"converted to an index|'tuple'": "feature_range is a pair: low, high = feature_range"}


def range_cases(g: torch.Generator, start: Callable[[Tensor, float, float], Tensor]) -> list[Case]:
    """Two numbers for each range, and two larger tensors; `start` makes them from shares of the range."""
    low = between(-9, -3, g)
    ranges = [None, (-1, 1), (0, 1), (5, 10), (0.0, 255.0), (-3.0, -1.0), (low, low + between(10, 15, g)), None, (-2, 3)]
    found: list[Case] = []
    for trial, limits in enumerate(ranges):
        sizes, dtype = [(2,)] * 7 + [(2, 3, 4, 5), (3, 5)], torch.float64 if trial == 8 else torch.float32
        # Never the whole of [0, 1]: what depends on the batch's own extremes has to show.
        share = 0.15 + 0.5 * torch.rand(sizes[trial], generator=g, dtype=dtype)
        found.append({"x": start(share, *(limits or (-1, 1)))} | ({"feature_range": limits} if limits else {}))
    return found


def call_of(name: str) -> Callable[[Case], str]:
    def call(case: Case) -> str:
        x, *limits = case.values()
        shown = f"[{x[0]:.4g}, {x[1]:.4g}]" if len(x) == x.numel() else f"x of the shape {shape(x)}"
        return f"{name}({', '.join([shown, *map(str, limits)])})"

    return call


def judge_map(case: Case, answer: Answer) -> dict[str, Tensor]:
    x, value = case["x"], answer["value"]
    untouched(answer, "x")
    endless = isinstance(value, Tensor) and value.isinf().any()
    require(
        not endless,
        "the result contains infinity: it divides by something that is 0 in this range, expected its width, (max - min)",
    )
    y = tensor(value, "the result")
    require(y.shape == x.shape, f"x of the shape {shape(x)} becomes {shape(y)}, expected the same shape")
    require(y.dtype == x.dtype, f"the result is {y.dtype}, expected {x.dtype} as x is: no rounding, no conversion")
    return {"": y}


def mapped(change: Callable[[Tensor, float, float], Tensor]) -> Callable:
    """change(x, low, high) as a component."""

    def wrong(x: Tensor, feature_range: tuple[float, float] = (-1, 1)) -> Tensor:
        return change(x, *feature_range)

    return wrong
