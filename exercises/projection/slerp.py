"""slerp(a, b, t): from a to b along the sphere (Shoemake 1985)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import require, shape, tensor, untouched
from exercises.probing import Answer, Case, called
from facegen.latent.edit import slerp

NEAR = "the row where b "
DEGREES = (20, 10, 5, 160)


def cases(g: torch.Generator) -> list[Case]:
    """Each names its rows, which are judged one by one."""
    found = []
    for d, t in ((4, 0.5), (32, 0.3)):
        a, aside = (torch.randn(len(DEGREES), d, generator=g) for _ in range(2))
        a, aside = F.normalize(a), F.normalize(aside - (a * aside).sum(1, keepdim=True) / a.square().sum(1, keepdim=True) * a)
        angles = torch.tensor(DEGREES)[:, None] * math.pi / 180
        rows = {f"the row at {degrees} degrees": [row] for row, degrees in enumerate(DEGREES)}
        found.append({"a": 1.5 * a, "b": 1.5 * (angles.cos() * a + angles.sin() * aside), "t": t, "rows": rows})
    for n, d, t in ((4, 5, 0.25), (3, 16, 0.5), (1, 3, 0.8), (5, 4, 0.0), (2, 6, 1.0), (6, 6, 0.1)):
        a, b = (torch.randn(n, d, generator=g) * (0.5 + 2 * torch.rand(n, 1, generator=g)) for _ in range(2))
        found.append({"a": a, "b": b, "t": t, "rows": {"": list(range(n))}})
    for d, t in ((4, 0.5), (4, 0.3), (32, 0.5), (32, 0.3)):
        a = torch.randn(8, d, generator=g)
        b = a + torch.randn(8, d, generator=g) * torch.tensor([3, 0, 0, 1e-2, 1e-3, 1e-4, 1e-6, 1.5])[:, None]
        a[1] = b[1] = 2 * F.one_hot(torch.tensor(1), d)  # without a rounding, that would save a division by 0
        b[2] = 2 * a[2]
        near = {"is a": [1], "is 2 a": [2], "is nearly a": [6, 5, 4], "is close to a": [3]}
        rows = {NEAR + name: rows for name, rows in near.items()}
        found.append({"a": a, "b": b, "t": t, "rows": rows | {"the rows far apart beside those that are close": [0, 7]}})
    return found


def probe(slerp: Callable, case: Case) -> Answer:
    return called(slerp, case["a"], case["b"], case["t"])


def call(case: Case) -> str:
    return f"the result for a and b {shape(case['a'])}, t={case['t']}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "a", "b")
    y, a = answer["value"], case["a"]
    if isinstance(y, Tensor):
        require(y.shape == a.shape, f"{call(case)} has the shape {shape(y)}, expected {shape(a)}: a point for each row")
        for name, rows in case["rows"].items():
            why = "arccos wants numbers from -1 to 1, take it of the product of unit vectors"
            if name.startswith(NEAR):
                why = "clamp the cosine to [-1, 1], go straight where the sine is about 0"
            require(y[rows].isfinite().all(), f"{name or 'a row'} gives NaN or infinity: {why}")
    y = tensor(y, call(case))
    return {name: y[rows] for name, rows in case["rows"].items()}


# -- mistakes


def lengths(x: Tensor) -> Tensor:
    return x.norm(dim=1, keepdim=True)


def product(a: Tensor, b: Tensor) -> Tensor:
    return (F.normalize(a) * F.normalize(b)).sum(1, keepdim=True)


def angle_of(a: Tensor, b: Tensor) -> Tensor:
    return product(a, b).clamp(-1, 1).acos()


def straight(a: Tensor, b: Tensor, t: float) -> Tensor:
    return (1 - t) * a + t * b


def arc(
    a: Tensor,
    b: Tensor,
    t: float,
    angle: Callable = angle_of,
    up: Callable = torch.sin,
    below: Callable = torch.sin,
    least: float = 1e-4,
) -> Tensor:
    """a and b with weights of the angle, up over below; straight where the sine is less than `least`."""
    found = angle(a, b)
    close = found.sin().abs() < least
    safe = torch.where(close, torch.ones_like(found), below(found))
    return torch.where(close, straight(a, b, t), up((1 - t) * found) / safe * a + up(t * found) / safe * b)


def solution(length: Callable = lambda a, b, t: straight(lengths(a), lengths(b), t), **weights: Callable) -> Callable:
    return lambda a, b, t: arc(F.normalize(a), F.normalize(b), t, **weights) * length(a, b, t)


right = solution()


def all_at_once(a: Tensor, b: Tensor) -> Tensor:
    return F.cosine_similarity(a.flatten(), b.flatten(), 0).acos().expand(len(a), 1)


def one_for_all(a: Tensor, b: Tensor, t: float) -> Tensor:
    return straight(a, b, t) if (angle_of(a, b) < 1e-3).any() else right(a, b, t)


def small_number(a: Tensor, b: Tensor, t: float) -> Tensor:
    return solution(below=lambda angle: angle.sin() + 1e-6, least=0)(a, b, t)


def shorter_way(a: Tensor, b: Tensor, t: float) -> Tensor:
    return right(a, torch.where(product(a, b) < 0, -b, b), t)


def before_length_1(a: Tensor, b: Tensor, t: float) -> Tensor:
    angle = (a * b).sum(1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    return solution(angle=lambda *_: angle)(a, b, t)


def in_place(a: Tensor, b: Tensor, t: float) -> Tensor:
    a /= lengths(a)
    return right(a, b, t)


MISTAKES = {
    "one such row makes all go straight: decide for each row, with torch.where": one_for_all,
    "it goes straight where the angle is small: only where the sine is (nearly) 0": solution(least=0.75),
    "it goes straight, through the inside of the sphere": straight,
    "b is turned round where it points away from a (which is for quaternions): it takes another way": shorter_way,
    "t is the wrong way round: 0 gives a, 1 gives b": lambda a, b, t: right(b, a, t),
    "the two directions changed places: 0 gives a, 1 gives b": (
        lambda a, b, t: solution(lambda *_: 1)(b, a, t) * straight(lengths(a), lengths(b), t)
    ),
    "it comes back with length 1: multiply by the length, which goes evenly from |a| to |b|": solution(lambda a, b, t: 1),
    "the length stays that of a, expected evenly from |a| to |b|": solution(lambda a, b, t: lengths(a)),
    "the length stays that of b, expected evenly from |a| to |b|": solution(lambda a, b, t: lengths(b)),
    "the length is the mean of both, expected evenly from |a| to |b|": solution(lambda a, b, t: (lengths(a) + lengths(b)) / 2),
    "the length is the sum of both, expected evenly from |a| to |b|": solution(lambda a, b, t: lengths(a) + lengths(b)),
    "the length changes by powers, expected evenly from |a| to |b|": (
        solution(lambda a, b, t: lengths(a) ** (1 - t) * lengths(b) ** t)
    ),
    "the weights are for unit vectors: divide a and b by their lengths, and multiply by the length between them": arc,
    "a and b keep their lengths, and are multiplied by the one between them: divide them by their lengths first": (
        lambda a, b, t: arc(a, b, t) * straight(lengths(a), lengths(b), t)
    ),
    "the straight way was only pushed out to the right length: the angle has to change evenly, too": (
        lambda a, b, t: F.normalize(straight(F.normalize(a), F.normalize(b), t)) * straight(lengths(a), lengths(b), t)
    ),
    "the straight way was only pushed out to the right length, the angle has to change evenly": (
        lambda a, b, t: F.normalize(straight(a, b, t)) * straight(lengths(a), lengths(b), t)
    ),
    "the division by sin(angle) is missing": solution(below=torch.ones_like),
    "it divides by the angle, expected by its sine": solution(below=lambda angle: angle),
    "cosines stand for the sines": solution(up=torch.cos, below=torch.cos),
    "sin(angle) is multiplied by 1 - t and t, expected the sine of (1 - t) angle and t angle": (
        solution(up=lambda angle: angle, below=lambda angle: angle)
    ),
    "the angle is the cosine itself: arccos is missing": solution(angle=product),
    "the angle is in degrees: sin wants radians, as arccos gives them": solution(angle=lambda a, b: angle_of(a, b).rad2deg()),
    "the angle is taken between a and b before they have length 1": before_length_1,
    "the angle is taken for the whole batch at once, expected one for each row (dim=1)": (
        lambda a, b, t: solution(angle=lambda *_: all_at_once(a, b))(a, b, t)
    ),
    "the angle is taken for the whole batch at once, expected one for each row": (
        lambda a, b, t: arc(a, b, t, angle=all_at_once)
    ),
    "half of the angle is used": solution(angle=lambda a, b: angle_of(a, b) / 2),
    "roots of 1 - t and t stand for the sines": lambda a, b, t: (
        ((1 - t) ** 0.5 * F.normalize(a) + t**0.5 * F.normalize(b)) * straight(lengths(a), lengths(b), t)
    ),
    "roots of 1 - t and t stand for the sines, the length is left": lambda a, b, t: (1 - t) ** 0.5 * a + t**0.5 * b,
    "the weights cos and sin are right for an angle of 90 degrees only": (
        solution(angle=lambda a, b: torch.full((len(a), 1), math.pi / 2))
    ),
    "a came back": lambda a, b, t: a.clone(),
    "b came back": lambda a, b, t: b.clone(),
    "it is the middle, whatever t is": lambda a, b, t: right(a, b, 0.5),
    "the norm runs over the batch (dim=0), expected along each row (dim=1)": lambda a, b, t: right(a.T, b.T, t).T,
    "the sign is wrong": lambda a, b, t: -right(a, b, t),
    "a small number below the line is no cure, the result is 0 there: go straight, a + t * (b - a)": small_number,
}

EXERCISE = Exercise(
    component="slerp",
    chapter=5,
    place=6,
    minutes=15,
    difficulty=2,
    task="From one z to another, along the sphere.",
    verified="angles from 5 to 160 degrees, lengths, both ends, rows that are (nearly) the same, a and b untouched",
    reference=slerp,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected the unit vectors, weighted by sin((1 - t) angle) and sin(t angle), over sin(angle) (where that is about 0,"
    " by 1 - t and t), times the length (1 - t) |a| + t |b|",
    mistakes=MISTAKES,
    refused=[
        ("go straight where the sine is about 0", solution(least=0)),
        ("take it of the product of unit vectors", solution(angle=lambda a, b: (3 * product(a, b)).acos())),
        ("each row has its own: take torch.where", lambda a, b, t: straight(a, b, t) if product(a, b) > 1 else right(a, b, t)),
        ("keep the axis of the sums", lambda a, b, t: F.normalize(a) * b.norm(dim=1)),
        ("a point for each row", lambda a, b, t: right(a, b, t).sum(0)),
        ("changed a in place", in_place),
        ("return statement missing", lambda a, b, t: None),
    ],
    hints={
        SIZES: "a length and an angle of each row are [N, 1] beside [N, d]: keep the axis of the sums, keepdim=True",
        r"truth value of a Tensor|Boolean value of Tensor": "`if` wants one answer, each row has its own: take torch.where",
        r"must be real number|only one element tensors|must be Tensor, not": "stay with tensors: torch.sin, torch.acos",
    },
    tolerance=3e-4,
)
