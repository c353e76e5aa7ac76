"""eq_t(still, moved, shift): by how many decibels `moved` resembles `still`, moved by (dx, dy) whole pixels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import number, require, shape, untouched
from exercises.probing import Answer, Case, called
from facegen.evaluation.equivariance import eq_t


def cut(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    """The part of both that both show."""
    h, w = still.shape[2:]
    a = still[..., max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    return a, moved[..., max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)]


def cases(g: torch.Generator) -> list[Case]:
    """Pictures in [-1, 1], and the same moved, with errors of another size in each picture and place; at last without any."""
    found = []
    shifts = ((2, 1), (3, -2), (-2, 3), (0, 0), (0, 2), (-3, 0), (1, 0), (-1, -2), (0, -4))
    for trial, (dx, dy) in enumerate(shifts):
        n, h, w = (3, 1, 4)[trial % 3], (10, 9, 12)[trial % 3], (12, 11, 9)[trial % 3]
        scene = F.interpolate(2 * torch.rand(n, 3, 4, 5, generator=g) - 1, (h + 8, w + 8), mode="bilinear")
        still, moved = scene[..., 4 : 4 + h, 4 : 4 + w].clone(), 2 * torch.rand(n, 3, h, w, generator=g) - 1
        size = torch.rand(n, 3, 1, 1, generator=g) * torch.linspace(0.3, 1.7, w) * torch.linspace(1.5, 0.2, h)[:, None]
        noise = (0.02 + 0.15 * size) * torch.randn(n, 3, h, w, generator=g) + 0.02
        before, after = cut(still, moved, dx, dy)
        after.copy_((before + cut(still, noise, dx, dy)[1]).clamp(-1, 1))
        found.append({"still": still, "moved": moved, "shift": (dx, dy), "exact": False})
    still = 2 * torch.rand(2, 3, 8, 8, generator=g) - 1
    return [*found, {"still": still, "moved": still.roll((1, 2), (2, 3)), "shift": (2, 1), "exact": True}]


def call(case: Case) -> str:
    return f"eq_t of {shape(case['still'])} with shift={case['shift']}" + (", which move exactly," if case["exact"] else "")


def probe(component: Callable, case: Case) -> Answer:
    try:
        return called(component, case["still"], case["moved"], case["shift"])
    except (ZeroDivisionError, ValueError) as error:
        if not case["exact"]:
            raise
        return {"raised": type(error).__name__}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    require("raised" not in answer, f"{call(case)} raised {answer.get('raised')}: return infinity, float('inf')")
    untouched(answer, "still", "moved", "shift")
    value, shift = number(answer["value"], f"the result of {call(case)}"), case["shift"]
    why = "is there a root or a logarithm of something negative?"
    if min(shift) < 0:
        why = "is nothing left to compare? With a negative shift the other edge is left out"
    if 0 in shift:
        why = "nothing is left to compare: x[:-0] is empty, cut with [: w - dx]"
    require(not value.isnan(), f"{call(case)} is NaN: {why}")
    return {"": value}


# -- mistakes


def mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean()


def decibels(error: Tensor, peak: float = 4.0) -> Tensor:
    return 10 * torch.log10(peak / error)


def solution(pair: Callable = cut, error: Callable = mse, then: Callable = decibels) -> Callable:
    """With other parts to compare, another error, or another way to decibels."""
    return lambda still, moved, shift: float(then(error(*pair(still.double(), moved.double(), *shift))))


right = solution()


def at(change: Callable, pair: Callable = cut) -> Callable:
    """With another shift."""
    return solution(lambda still, moved, dx, dy: pair(still, moved, *change(dx, dy)))


def rolled(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    return still.roll((dy, dx), (2, 3)), moved


def padded(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    return F.pad(cut(still, moved, dx, dy)[0], (max(0, dx), max(0, -dx), max(0, dy), max(0, -dy))), moved


def inner(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, ...]:
    x, y, (h, w) = abs(dx), abs(dy), still.shape[2:]
    return tuple(part[..., y : h - y, x : w - x] for part in rolled(still, moved, dx, dy))


def widest(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, ...]:
    m, (h, w) = max(abs(dx), abs(dy)), still.shape[2:]
    return tuple(part[..., m : h - m, m : w - m] for part in rolled(still, moved, dx, dy))


def whole_mean(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> float:
    a, b = cut(still.double(), moved.double(), *shift)
    return float(decibels((a - b).square().sum() / still.numel()))


def averaged(*axes: int) -> Callable:
    """The decibels of parts, averaged."""
    return solution(error=lambda a, b: (a - b).square().mean(axes), then=lambda errors: decibels(errors).mean())


def by_positive_ends(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    h, w = still.shape[2:]
    return still[..., : h - dy, : w - dx], moved[..., dy:, dx:]


MISTAKES = {
    "the still pictures are not moved before they are compared": solution(lambda still, moved, dx, dy: (still, moved)),
    "torch.roll's pixels from the other side count: leave out what only one of the two shows": solution(rolled),
    "dx and dy changed places: the last axis is x": at(lambda dx, dy: (dy, dx)),
    "dx and dy changed places, and torch.roll's pixels count": at(lambda dx, dy: (dy, dx), rolled),
    "it moves the wrong way: right and down are positive": at(lambda dx, dy: (-dx, -dy)),
    "y goes the wrong way: down is positive": at(lambda dx, dy: (dx, -dy)),
    "x goes the wrong way: right is positive": at(lambda dx, dy: (-dx, dy)),
    "the wrong way round, and torch.roll's pixels count": at(lambda dx, dy: (-dx, -dy), rolled),
    "to the left and up the other edge is left out: max(0, dx), max(0, -dx)": at(lambda dx, dy: (abs(dx), abs(dy))),
    "the empty border counts: leave out what only one of the two shows": solution(padded),
    "the error is averaged over the whole picture, expected over the pixels that both show": whole_mean,
    "pixels that both show are left out on the other side": solution(inner),
    "a border as wide as the larger shift is left out on all sides": solution(widest),
    "the peak is 1, but [-1, 1] is 2 wide: 10 log10(4 / MSE)": solution(then=lambda error: decibels(error, 1)),
    "the peak is 2, expected its square: 10 log10(4 / MSE)": solution(then=lambda error: decibels(error, 2)),
    "the peak is 255, but the pictures are in [-1, 1]: 10 log10(4 / MSE)": solution(then=lambda error: decibels(error, 255**2)),
    "20 log10 belongs to amplitudes, and 4 / MSE is of squares: 10 log10": solution(then=lambda error: 2 * decibels(error)),
    "the factor 10 is missing": solution(then=lambda error: decibels(error) / 10),
    "this is the natural logarithm, expected log10": solution(then=lambda error: 10 * (4 / error).log()),
    "the decibels of the pictures are averaged, expected one MSE over everything": averaged(1, 2, 3),
    "the decibels of the channels are averaged, expected one MSE over everything": averaged(0, 2, 3),
    "these are absolute differences, expected squares": solution(error=lambda a, b: (a - b).abs().mean()),
    "the root of the MSE is taken, expected the MSE itself": solution(error=lambda a, b: mse(a, b).sqrt()),
    "the sign is wrong: a small error is a high number of decibels": solution(then=lambda error: -decibels(error)),
    "the squares are summed, expected their mean": solution(error=lambda a, b: (a - b).square().sum()),
    "the squares are summed over the channels, expected their mean": solution(error=lambda a, b: 3 * mse(a, b)),
    "the MSE came back, expected decibels": solution(then=lambda error: error),
    "only the first picture counts": solution(error=lambda a, b: mse(a[0], b[0])),
    "the pictures are mapped to [0, 1] first, but the peak is still 2": solution(error=lambda a, b: mse(a / 2, b / 2)),
    "values are rounded to whole grey levels": solution(error=lambda a, b: mse(((a - b) * 127.5).round() / 127.5, 0 * a)),
    "a small number added to the MSE limits it": solution(then=lambda error: decibels(error + 1e-8)),
    "the small number that is added to the MSE limits it": solution(then=lambda error: decibels(error + 1e-12)),
    "100 stands for infinity: float('inf')": solution(then=lambda error: decibels(error).clamp(max=100)),
    "0 stands for infinity: float('inf')": solution(then=lambda error: decibels(error) if error else 0),
}

EXERCISE = Exercise(
    component="eq_t",
    chapter=6,
    place=6,
    minutes=20,
    difficulty=2,
    task="EQ-T: does a picture move with its input, or does something stick to the pixels?",
    verified="9 shifts, right, down, left, up and none, oblong pictures, equal ones",
    reference=eq_t,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected 10 log10(4 / MSE), with the MSE over the pixels that both show, infinity where nothing differs",
    mistakes=MISTAKES,
    refused=[
        ("with a negative shift the sides change", solution(lambda s, m, dx, dy: (s[..., :-dy, :-dx], m[..., dy:, dx:]))),
        ("with a negative shift the sides change", solution(by_positive_ends)),
        ("x[:-0] is empty", solution(lambda s, m, dx, dy: cut(s, m, dx, dy) if dx * dy else (s[:0], m[:0]))),
        ("return infinity", lambda still, moved, shift: 10 * math.log10(4 / float(mse(*cut(still, moved, *shift))))),
    ],
    hints={
        SIZES: "both lose |dx| columns and |dy| rows, on opposite sides; with a negative shift the sides change: max(0, dx)"
    },
    tolerance=1e-4,
)
