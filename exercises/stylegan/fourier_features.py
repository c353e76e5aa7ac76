"""fourier_features(points, frequencies, phases): the waves that StyleGAN3 begins with (Karras and others 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import require, shape, tensor, untouched
from exercises.probing import Answer, Case

TAU = 2 * torch.pi


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for height, width, channels in ((3, 6, 4), (4, 2, 1), (2, 5, 7), (5, 5, 3)):
        points = torch.rand(height, width, 2, generator=g) * 1.5 - 0.6
        phases = torch.rand(channels, generator=g) - 0.3
        found.append({"points": points, "frequencies": 2 * torch.randn(channels, 2, generator=g), "phases": phases})
    return found


def call(case: Case) -> str:
    height, width, _ = case["points"].shape
    return f"the result for {height} x {width} points and {len(case['phases'])} waves"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, *case)
    y = tensor(answer["value"], "the result")
    (height, width, _), channels = case["points"].shape, len(case["phases"])
    hints = {
        (height, width, channels): "the waves are the first axis: permute(2, 0, 1)",
        (channels, width, height): "rows and columns changed places: permute(2, 0, 1), not .T",
        (1, channels, height, width): "there is no batch axis",
        (channels, height, width, 2): "f . x is a sum over x and y, which is missing",
        (height, width, channels, 2): "f . x is a sum over x and y, which is missing",
        (2 * channels, height, width): "one sine for each frequency, no cosines beside it",
        (height, width): "one picture for each wave, no sum over them, no squeeze",
        (channels,): "one value for each point, no sum or mean over the points",
        (channels, height * width): "reshape the points into rows and columns again",
        (height * width, channels): "reshape the points into rows and columns again, and put the waves first",
    }
    want = (channels, height, width)
    hint = hints.get(tuple(y.shape), "one picture [H, W] for each wave")
    require(y.shape == want, f"{call(case)} has the shape {shape(y)}, expected [C, H, W] = {list(want)}: {hint}")
    return {"": y}


# -- mistakes


def product(points: Tensor, frequencies: Tensor) -> Tensor:
    """f . x in periods, [C, H, W]."""
    return (points @ frequencies.T).permute(2, 0, 1)


def solution(wave: Callable = lambda along, phase: torch.sin(TAU * (along + phase)), along: Callable = product) -> Callable:
    """wave(f . x, phases [C, 1, 1]), with another product f . x."""
    return lambda points, frequencies, phases: wave(along(points, frequencies), phases[:, None, None])


def axis(number: int) -> Callable:
    return solution(along=lambda points, frequencies: points[..., number] * frequencies[:, number, None, None])


right, by_x, by_y = solution(), axis(0), axis(1)


MISTAKES = {
    "2 pi is missing: frequencies and phases are in periods": solution(lambda along, phase: torch.sin(along + phase)),
    "pi in place of 2 pi": solution(lambda along, phase: torch.sin(torch.pi * (along + phase))),
    "2 pi counts twice": solution(lambda along, phase: torch.sin(TAU * TAU * (along + phase))),
    "a cosine, expected a sine": solution(lambda along, phase: torch.cos(TAU * (along + phase))),
    "brackets are missing: the phase has to be multiplied by 2 pi, too": solution(
        lambda along, phase: torch.sin(TAU * along + phase)
    ),
    "only the phase is multiplied by 2 pi": solution(lambda along, phase: torch.sin(along + TAU * phase)),
    "the phase is left out": solution(lambda along, phase: torch.sin(TAU * along)),
    "the phase is subtracted": solution(lambda along, phase: torch.sin(TAU * (along - phase))),
    "the phase is multiplied, expected added": solution(lambda along, phase: torch.sin(TAU * along * phase)),
    "the frequencies are left out": solution(lambda along, phase: torch.sin(TAU * phase) + 0 * along),
    "the sine is missing": solution(lambda along, phase: TAU * (along + phase)),
    "the phase is added outside of the sine": solution(lambda along, phase: torch.sin(TAU * along) + phase),
    "2 pi stands outside of the sine": solution(lambda along, phase: TAU * torch.sin(along + phase)),
    "the sign is wrong": solution(lambda along, phase: -torch.sin(TAU * (along + phase))),
    "a gain of sqrt(2) is inside": solution(lambda along, phase: 2**0.5 * torch.sin(TAU * (along + phase))),
    "x and y changed places: entry 0 of a point goes with entry 0 of a frequency": lambda x, f, p: right(x.flip(-1), f, p),
    "only x counts, expected x and y": by_x,
    "only y counts, expected x and y": by_y,
    "the mean over x and y is taken, expected the sum f . x": solution(along=lambda x, f: product(x, f) / 2),
    "y is subtracted, expected the sum f . x": solution(along=lambda x, f: product(x * torch.tensor([1.0, -1.0]), f)),
    "a product of two sines, expected the sine of the sum f . x": lambda x, f, p: by_x(x, f, p) * by_y(x, f, p),
    "the sum of two sines, expected the sine of the sum f . x": lambda x, f, p: by_x(x, f, p) + by_y(x, f, p),
    "waves around the middle (length of f times length of x), expected the product f . x": solution(
        along=lambda x, f: x.norm(dim=-1) * f.norm(dim=1)[:, None, None]
    ),
    "the frequencies get length 1, expected as they are": solution(along=lambda x, f: product(x, F.normalize(f))),
    "the axes were renamed by reshape, which scrambles the picture: permute(2, 0, 1)": lambda x, f, p: (
        right(x, f, p).permute(1, 2, 0).reshape(len(p), *x.shape[:2])
    ),
    "all waves get the first one's phase": lambda x, f, p: right(x, f, p[:1].expand_as(p)),
    "all waves are the first one": lambda x, f, p: right(x, f, p)[:1].repeat(len(p), 1, 1),
}

EXERCISE = Exercise(
    component="fourier_features",
    chapter=4,
    place=10,
    minutes=8,
    difficulty=2,
    task="The waves that StyleGAN3 begins with.",
    verified="values for 4 grids and sets of waves, axes [C, H, W], arguments untouched",
    reference=right,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected sin(2 pi (f . x + phase))",
    mistakes=MISTAKES,
    refused=[
        ("the waves are the first axis", lambda x, f, p: right(x, f, p).permute(1, 2, 0)),
        ("to which phases [C] can be added", lambda x, f, p: torch.sin(TAU * (product(x, f) + p))),
    ],
    hints={
        SIZES + "|Expected size": "points [H, W, 2] @ frequencies.T [2, C] gives [H, W, C], to which phases [C] can be added"
    },
)
