"""crop_square(points): the square around a face as FFHQ cuts it (Karras and others 2019, appendix A)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import require, shape, tensor, two, untouched
from exercises.probing import Answer, Case

FACES = (  # tilt in degrees, from eye to eye, from eyes to mouth
    (8, 60, 50),
    (-12, 55, 95),
    (35, 80, 60),
    (-70, 40, 70),
    (165, 70, 60),
    (100, 30, 50),
    (3, 9, 12),
)


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for tilt, width, height in FACES:
        upright = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.06, 0.55], [-0.37, 1.0], [0.38, 1.0]])
        points = upright * torch.tensor([width, height]) + 0.06 * width * torch.randn(5, 2, generator=g)
        sin, cos = math.sin(math.radians(tilt)), math.cos(math.radians(tilt))
        points = points @ torch.tensor([[cos, sin], [-sin, cos]])
        found.append({"points": points + 150 + 80 * torch.rand(2, generator=g)})
    return found


def call(case: Case) -> str:
    right = case["points"][1] - case["points"][0]
    return f"a face tilted by {math.degrees(math.atan2(right[1], right[0])):.0f} degrees"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "points")
    parts = {}
    for name, part in zip(("centre", "half"), two(answer["value"], "centre", "half", "points")):
        part = tensor(part, name)
        require(part.shape == (2,), f"{name} has the shape {shape(part)}, expected [2]: x and y")
        parts[name] = part
    return parts


# -- the solution, with one of its parts exchanged


def turned(v: Tensor) -> Tensor:
    return torch.stack([v[1], -v[0]])


def unit(v: Tensor) -> Tensor:
    return v / v.norm()


def larger(a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(2 * a.norm(), 1.8 * b.norm())


def solution(
    centre: Callable = lambda p, e, b: e + 0.1 * b,
    size: Callable = larger,
    axis: Callable = lambda a, b: a + turned(b),
    half: Callable = lambda size, axis: size * unit(axis),
    mouth: slice = slice(3, 5),
) -> Callable:
    def square(points: Tensor) -> tuple[Tensor, Tensor]:
        e, a = points[:2].mean(0), points[1] - points[0]
        b = points[mouth].mean(0) - e
        return centre(points, e, b), half(size(a, b), axis(a, b))

    return square


crop_square = solution()


def centred(centre: Callable) -> Callable:
    return solution(centre=centre)


def sized(size: Callable) -> Callable:
    return solution(size=size)


def along(axis: Callable) -> Callable:
    return solution(axis=axis)


def halved(half: Callable) -> Callable:
    return solution(half=half)


def each(change: Callable) -> Callable:
    """Both parts changed."""
    return lambda points: tuple(change(part) for part in crop_square(points))


def half_as_place(points: Tensor) -> tuple[Tensor, Tensor]:
    centre, half = crop_square(points)
    return centre, centre + half


def in_place(points: Tensor) -> tuple[Tensor, Tensor]:
    points[1] -= points[0]
    return crop_square(points)


MISTAKES = {
    "this is the point between the eyes: add a tenth of the way to the mouth": centred(lambda p, e, b: e),
    "it lies above the eyes: add a tenth of the way to the mouth, do not subtract it": centred(lambda p, e, b: e - 0.1 * b),
    "this is the point half-way from eyes to mouth, expected a tenth of the way": centred(lambda p, e, b: e + 0.5 * b),
    "this is the mean of all five points, expected one close below the eyes": centred(lambda p, e, b: p.mean(0)),
    "this is the nose": centred(lambda p, e, b: p[2]),
    "all of the way to the mouth is added, expected a tenth of it": centred(lambda p, e, b: e + b),
    "it starts from the mouth, expected from the point between the eyes": centred(lambda p, e, b: e + 1.1 * b),
    "it starts from the nose, expected from the point between the eyes": centred(lambda p, e, b: p[2] + 0.1 * b),
    "it starts from one eye, expected from the point between the two": centred(lambda p, e, b: p[0] + 0.1 * b),
    "a tenth of the mouth's place is added, expected of the way there: subtract the eyes first": (
        centred(lambda p, e, b: e + 0.1 * (e + b))
    ),
    "a tenth of the way is taken straight down the picture, expected down the face, which may be tilted": (
        centred(lambda p, e, b: e + torch.tensor([0.0, 0.1]) * b.norm())
    ),
    "the mean runs over x and y (dim=1), expected over the two points (dim=0)": (
        centred(lambda p, e, b: p[:2].mean(1) + 0.1 * (p[3:].mean(1) - p[:2].mean(1)))
    ),
    "this is the middle of the box around the points": centred(lambda p, e, b: (p.amin(0) + p.amax(0)) / 2),
    "the mouth is the mean of its two corners, points 3 and 4; point 2 is the nose": solution(mouth=slice(2, 5)),
    "the mouth is the mean of points 3 and 4, here are nose and one corner": solution(mouth=slice(2, 4)),
    "the mouth is the mean of its two corners, here is one of them": solution(mouth=slice(3, 4)),
    "the nose counts as the mouth": solution(mouth=slice(2, 3)),
    "x and y changed places": each(lambda part: part.flip(0)),
    "it is rounded to whole pixels: leave it as it is": each(torch.round),
    "centre and half changed places: the centre comes first": lambda points: crop_square(points)[::-1],
    "half is a way, not a place: do not add the centre": half_as_place,
    "this is the whole side, expected half of it": halved(lambda size, axis: 2 * size * unit(axis)),
    "a quarter of the side, expected half of it": halved(lambda size, axis: size * unit(axis) / 2),
    "it points to the left, expected to the right: point 1 minus point 0": halved(lambda size, axis: -size * unit(axis)),
    "it points down, expected along the upper edge": halved(lambda size, axis: -size * unit(turned(axis))),
    "it points up, expected along the upper edge": halved(lambda size, axis: size * unit(turned(axis))),
    "the axis is not brought to length 1 before it gets its size": halved(lambda size, axis: size * axis),
    "its length is 1: multiply by the size": halved(lambda size, axis: unit(axis)),
    "this is the sum of the two directions: bring it to length 1, then give it its size": halved(lambda size, axis: axis),
    "the direction comes from the eyes alone: add the way to the mouth, turned by 90 degrees": along(lambda a, b: a),
    "the direction comes from the way to the mouth alone: add that from eye to eye": along(lambda a, b: turned(b)),
    "the way to the mouth is turned the wrong way: (x, y) becomes (y, -x)": along(lambda a, b: a - turned(b)),
    "the way to the mouth has to be turned by 90 degrees before it is added": along(lambda a, b: a + b),
    "x and y of the way to the mouth changed places, but no sign did: (x, y) becomes (y, -x)": along(
        lambda a, b: a + b.flip(0)
    ),
    "the way between the eyes goes from right to left: point 1 minus point 0": along(lambda a, b: turned(b) - a),
    "the two directions get the same weight: add them as long as they are": along(lambda a, b: unit(a) + unit(turned(b))),
    "it lies level, expected tilted as the face is": along(lambda a, b: torch.tensor([1.0, 0.0])),
    "the size follows the eyes alone: take the larger of the two, or turned heads are cut": sized(lambda a, b: 2 * a.norm()),
    "the size follows the mouth alone: take the larger of the two": sized(lambda a, b: 1.8 * b.norm()),
    "this is the smaller of the two sizes, expected the larger one": sized(lambda a, b: min(2 * a.norm(), 1.8 * b.norm())),
    "the two sizes are added, expected the larger one": sized(lambda a, b: 2 * a.norm() + 1.8 * b.norm()),
    "the two sizes are averaged, expected the larger one": sized(lambda a, b: a.norm() + 0.9 * b.norm()),
    "2 and 1.8 changed places: 2 for the eyes, 1.8 for the way to the mouth": sized(lambda a, b: larger(0.9 * a, b / 0.9)),
    "the factors 2 and 1.8 are missing": sized(lambda a, b: larger(a / 2, b / 1.8)),
    "the size is measured level and upright, expected along the tilted face: take norms": (
        sized(lambda a, b: max(2 * a[0].abs(), 1.8 * b[1].abs()))
    ),
    "x and y each get their own size, expected one for both: compare the lengths, not their entries": (
        sized(lambda a, b: torch.maximum(2 * a.abs(), 1.8 * b.abs()))
    ),
    "the size adds up |x| and |y|, expected the root of the squares": (
        sized(lambda a, b: max(2 * a.abs().sum(), 1.8 * b.abs().sum()))
    ),
}

EXERCISE = Exercise(
    component="crop_square",
    chapter=5,
    place=1,
    minutes=15,
    difficulty=2,
    task="The square around a face, from five landmarks.",
    verified="7 faces: frontal, turned, tilted by up to 165 degrees, upside down; points untouched",
    reference=crop_square,
    cases=cases,
    judge=judge,
    call=call,
    rule="the centre is e + b / 10; half is the larger of 2 |a| and 1.8 |b| long and points along a + (b_y, -b_x)",
    mistakes=MISTAKES,
    refused=[
        ("changed points in place", in_place),
        ("return centre, half", lambda points: torch.stack([*crop_square(points)] * 2)),
        ("centre is a list, expected a tensor", lambda points: tuple(part.tolist() for part in crop_square(points))),
        ("half has the shape [], expected [2]", lambda points: (crop_square(points)[0], crop_square(points)[1].norm())),
        ("return statement missing", lambda points: None),
    ],
    tolerance=1e-4,
)
