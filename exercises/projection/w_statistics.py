"""w_statistics(ws): the mean of w, and how far from it w lies (Karras and others 2020, appendix D)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import number, require, shape, tensor, two, untouched
from exercises.probing import Answer, Case


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, w_dim in ((7, 4), (3, 6), (40, 5), (2, 8), (12, 3)):
        spread = 0.3 + 3 * torch.rand(w_dim, generator=g)
        found.append({"ws": torch.randn(n, w_dim, generator=g) * spread + 2 * torch.randn(w_dim, generator=g)})
    return found


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "ws")
    n, w_dim = case["ws"].shape
    mean, std = two(answer["value"], "mean", "std", "things")
    numbers = isinstance(mean, (int, float)) or (isinstance(mean, Tensor) and mean.dim() == 0)
    require(
        not (numbers and isinstance(std, Tensor) and std.dim() == 1),
        "mean and std changed places, or are both wrong: return mean, std",
    )
    mean = tensor(mean, "the mean")
    why = {
        (n,): "the mean runs over the w (dim=0), not over the coordinates of each",
        (n, 1): "the mean runs over the w (dim=0), not over the coordinates of each",
        (1, w_dim): "without keepdim",
        (n, w_dim): "one mean for all of the w",
    }.get(tuple(mean.shape), "one number for each coordinate: mean(dim=0)")
    require(mean.shape == (w_dim,), f"for ws [{n}, {w_dim}] the mean has the shape {shape(mean)}, expected [{w_dim}]: {why}")
    if isinstance(std, Tensor) and std.numel() > 1:
        why = "the sum over the coordinates is missing" if std.numel() == w_dim else "take the mean over the w"
        require(False, f"for ws [{n}, {w_dim}] std has the shape {shape(std)}, expected one number for the whole cloud: {why}")
    return {"the mean": mean, "std": number(std, "std")}


# -- mistakes


def solution(mean: Callable = lambda ws: ws.mean(0), std: Callable = lambda ws, d: d.square().sum(1).mean().sqrt()) -> Callable:
    """With mean(ws) and std(ws, ws - mean)."""
    return lambda ws: (mean(ws), std(ws, ws - ws.mean(0)))


w_statistics = solution()


def spread(std: Callable) -> Callable:
    return solution(std=std)


def in_place(ws: Tensor) -> tuple[Tensor, Tensor]:
    ws -= ws.mean(0)
    return w_statistics(ws)


MISTAKES = {
    "this is the sum, expected the mean": solution(lambda ws: ws.sum(0)),
    "this is the median, expected the mean": solution(lambda ws: ws.median(0).values),
    "this is the first w, expected the mean of all": solution(lambda ws: ws[0]),
    "the sum is divided by N - 1, expected by N": solution(lambda ws: ws.sum(0) / (len(ws) - 1)),
    "this is the standard deviation of each coordinate, expected the mean": solution(lambda ws: ws.std(0)),
    "its length is brought to 1: leave it as it is": solution(lambda ws: ws.mean(0) / ws.mean(0).norm()),
    "every coordinate gets the mean of all numbers, expected its own": solution(lambda ws: ws.mean().expand(ws.shape[1])),
    "the root is missing": spread(lambda ws, d: d.square().sum(1).mean()),
    "this is the mean distance, expected the root of the mean of its squares": spread(lambda ws, d: d.norm(dim=1).mean()),
    "the mean runs over the coordinates as well: sum these, one w has one distance": spread(
        lambda ws, d: d.square().mean().sqrt()
    ),
    "this is ws.std(), over all numbers at once: every coordinate has a mean of its own": spread(lambda ws, d: ws.std()),
    "this is ws.std(correction=0), over all numbers at once: every coordinate has a mean of its own": (
        spread(lambda ws, d: ws.std(correction=0))
    ),
    "it divides by N - 1, expected by N": spread(lambda ws, d: (d.square().sum() / (len(ws) - 1)).sqrt()),
    "the mean is not subtracted: this is the distance from 0": spread(lambda ws, d: ws.square().sum(1).mean().sqrt()),
    "the squared distances are summed over the batch, expected their mean": spread(lambda ws, d: d.norm()),
    "the coordinates' standard deviations are averaged, expected the root of the sum of their squares": (
        spread(lambda ws, d: ws.std(0).mean())
    ),
    "the coordinates' standard deviations are averaged, expected the root of their squares' sum": (
        spread(lambda ws, d: ws.std(0, correction=0).mean())
    ),
    "the coordinates' standard deviations are summed, expected the root of the sum of their squares": (
        spread(lambda ws, d: ws.std(0).sum())
    ),
    "the coordinates' standard deviations are summed, expected the root of their squares' sum": (
        spread(lambda ws, d: ws.std(0, correction=0).sum())
    ),
    "it adds up |x|, expected the root of the squares": spread(lambda ws, d: d.abs().sum(1).mean()),
    "this is the largest distance, expected the root of the mean square": spread(lambda ws, d: d.norm(dim=1).max()),
    "this is the median distance, expected the root of the mean square": spread(lambda ws, d: d.norm(dim=1).median()),
    "this is the spread of the distances, expected the root of their mean square": spread(lambda ws, d: d.norm(dim=1).std()),
    "this is the length of the mean, expected the distances from it": spread(lambda ws, d: ws.mean(0).norm()),
    "the squares are divided by the number of coordinates, expected by that of the w": (
        spread(lambda ws, d: d.norm() / ws.shape[1] ** 0.5)
    ),
    "this is the distance between two w, sqrt(2) times too far: measure from the mean": (
        spread(lambda ws, d: (2 * d.square().sum(1).mean()).sqrt())
    ),
    "the root is taken twice": spread(lambda ws, d: d.square().sum(1).mean().sqrt().sqrt()),
    "the differences are summed before they are squared, so that they cancel": spread(
        lambda ws, d: d.sum(1).square().mean().sqrt()
    ),
    "it sums up over everything, without a mean": spread(lambda ws, d: d.square().sum()),
}

EXERCISE = Exercise(
    component="w_statistics",
    chapter=5,
    place=2,
    minutes=6,
    difficulty=1,
    task="Where the w of a network lie: their mean and their spread.",
    verified="mean and spread of 5 clouds of w, ws untouched",
    reference=w_statistics,
    cases=cases,
    judge=judge,
    call=lambda case: f"ws {shape(case['ws'])}",
    rule="expected the mean over the w, and the root of the mean squared distance from it",
    mistakes=MISTAKES,
    refused=[
        ("the sum over the coordinates is missing", spread(lambda ws, d: ws.std(0))),
        ("expected one number for the whole cloud: take the mean over the w", spread(lambda ws, d: d.norm(dim=1))),
        ("the mean runs over the w (dim=0)", solution(lambda ws: ws.mean(1))),
        ("one number for each coordinate", solution(lambda ws: ws.mean())),
        ("without keepdim", solution(lambda ws: ws.mean(0, keepdim=True))),
        ("changed ws in place", in_place),
        ("mean and std changed places", lambda ws: w_statistics(ws)[::-1]),
        ("return mean, std", lambda ws: ws.mean(0)),
        ("return statement missing", lambda ws: None),
    ],
    hints={SIZES: "the mean runs over the w, dim=0, and is one [w_dim] for all"},
)
