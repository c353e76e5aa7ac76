"""nearest_neighbours(fake, real, k=1): distances and rows of the k reals that are nearest to each fake."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import between, kind_of, require, shape, tensor, two, untouched
from exercises.probing import Answer, Case


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, m, d, k in (
        (6, 9, 4, None),
        (8, 8, 3, 3),
        (5, 20, 6, 1),
        (12, 7, 2, 2),
        (7, 16, 5, 4),
        (3, 5, 8, 2),
        (24, 24, 3, 2),
    ):
        fake, real = (torch.randn(count, d, generator=g) for count in (n, m))
        fake[1] = real[between(0, m - 1, g)]
        found.append({"fake": fake, "real": real} | ({} if k is None else {"k": k}))
    return found


def call(case: Case) -> str:
    return f"fake {shape(case['fake'])}, real {shape(case['real'])}, k={case.get('k', 1)}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "fake", "real", "k")
    n, m, k = len(case["fake"]), len(case["real"]), case.get("k", 1)
    found = dict(zip(("distances", "indices"), two(answer["value"], "distances", "indices", "tensors [n, k]")))
    for name, part in found.items():
        require(isinstance(part, Tensor), f"{call(case)}: {name} is a {kind_of(part)}, expected a tensor [n, k]")
    far, rows = found.values()
    whole = not rows.is_floating_point()
    require(
        whole or far.is_floating_point(), "distances and indices changed places: the distances come first, as topk gives them"
    )
    require(whole, f"{call(case)}: indices are {rows.dtype}, expected whole numbers: rows of real")
    hints = {
        (n,): "k=1 gives [n, 1], as any other k: leave the axis",
        (k, n): "a row for each fake: transpose it, or take topk over dim=1",
        (m, k): "the two changed places: a row for each fake, neighbours among the reals",
        (n, m): "the first k of each row are asked for",
        (n, k + 1): "one neighbour too many",
        (n, k - 1): "one neighbour too few",
    }
    for name, part in found.items():
        hint = hints.get(tuple(part.shape), "a row for each fake")
        require(part.shape == (n, k), f"{call(case)}: {name} has the shape {shape(part)}, expected {[n, k]}: {hint}")
    return {"": tensor(far, "distances"), "an index": rows}


# -- mistakes


def solution(
    distance: Callable = lambda x, y: torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"),
    nearest: Callable = lambda d, k: d.topk(k, dim=1, largest=False),
    then: Callable = lambda far, rows: (far, rows),
) -> Callable:
    """With other distances of all pairs, another choice of k among them, or another use of what was found."""
    return lambda fake, real, k=1: then(*nearest(distance(fake, real), k))


right = solution()


def with_rows(rows: Callable) -> Callable:
    """With other indices, of the right ones and all distances."""
    return solution(nearest=lambda d, k: (d.sort(1).values[:, :k], rows(d.argsort(1)[:, :k], d)))


def by_rows(d: Tensor, k: int) -> tuple[Tensor, Tensor]:
    rows = d.topk(k, largest=False).indices.sort(1).values
    return d.gather(1, rows), rows


def cosines(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x) @ F.normalize(y).T


def one_skipped(d: Tensor, k: int) -> tuple[Tensor, Tensor]:
    found = d.sort(1)
    return found.values[:, 1 : k + 1], found.indices[:, 1 : k + 1]


def without_copies(d: Tensor, k: int) -> tuple[Tensor, Tensor]:
    return d.masked_fill(d < 1e-4, torch.inf).topk(k, largest=False)


def in_place(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    fake -= real.mean(0)
    return right(fake, real - real.mean(0), k)


MISTAKES = {
    "these are squared distances: the root is missing": solution(lambda x, y: torch.cdist(x, y).square()),
    "the squares are averaged over the features, expected summed": solution(lambda x, y: torch.cdist(x, y) / x.shape[1] ** 0.5),
    "distances are |x| + |y| + ..., expected Euclidean ones": solution(lambda x, y: torch.cdist(x, y, p=1)),
    "these are angles (1 - cosine), expected Euclidean distances": solution(lambda x, y: 1 - cosines(x, y)),
    "these are cosines, expected Euclidean distances": solution(cosines, lambda d, k: d.topk(k)),
    "these are the farthest, expected the nearest": solution(nearest=lambda d, k: d.topk(k)),
    "the nearest one is left out: a real at distance 0 is what is looked for": solution(nearest=one_skipped),
    "copies are left out, or their squares round below 0 and have no root: look for distance 0": solution(
        nearest=without_copies
    ),
    "the farthest of the k comes first, expected the nearest": solution(then=lambda far, rows: (far.flip(1), rows.flip(1))),
    "they are not in order, but by the rows of real: the nearest has to come first": solution(nearest=by_rows),
    "the first reals came back, expected the nearest": solution(
        nearest=lambda d, k: (d[:, :k], d.topk(k, largest=False).indices)
    ),
    "they are counted from 1, rows begin at 0": with_rows(lambda rows, d: rows + 1),
    "indices are in another order than the distances": with_rows(lambda rows, d: rows.flip(1)),
    "indices are sorted on their own, expected in the order of the distances": with_rows(lambda rows, d: rows.sort(1).values),
    "these are the numbers 0..k-1 of the sorted list: take sort's or topk's own indices": with_rows(
        lambda rows, d: torch.arange(rows.shape[1]).expand_as(rows)
    ),
    "the indices belong to the farthest reals": with_rows(lambda rows, d: d.topk(rows.shape[1]).indices),
    "these are the fakes' own numbers, expected rows of real": with_rows(
        lambda rows, d: torch.arange(len(rows))[:, None].expand_as(rows)
    ),
    "this is argsort applied twice, which gives ranks": with_rows(lambda rows, d: d.argsort(1).argsort(1)[:, : rows.shape[1]]),
    "these are places in the whole of [n, m], expected in a row of it": with_rows(
        lambda rows, d: rows + d.shape[1] * torch.arange(len(d))[:, None]
    ),
}

EXERCISE = Exercise(
    component="nearest_neighbours",
    chapter=6,
    place=5,
    minutes=10,
    difficulty=1,
    task="For each fake the nearest reals, and how far they are: is it a copy?",
    verified="7 pairs of sets, k from 1 to 4 and left out, copies of reals among the fakes",
    reference=right,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected Euclidean distances to the k nearest reals, the nearest first, and their rows in real",
    mistakes=MISTAKES,
    refused=[
        ("a row for each fake", lambda fake, real, k=1: right(real, fake, k)),
        ("transpose it, or take topk over dim=1", solution(nearest=lambda d, k: (x.T for x in d.topk(k, largest=False)))),
        ("distances and indices changed places", solution(then=lambda far, rows: (rows, far))),
        ("leave the axis", solution(then=lambda far, rows: (far.squeeze(), rows.squeeze()))),
        ("the first k of each row", solution(nearest=lambda d, k: d.sort(1))),
        ("one neighbour too many", lambda fake, real, k=1: right(fake, real, k + 1)),
        ("expected whole numbers", solution(then=lambda far, rows: (far, rows.float()))),
        ("expected a tensor [n, k]", solution(then=lambda far, rows: (far.numpy(), rows.numpy()))),
        ("expected two tensors", solution(then=lambda far, rows: rows)),
        ("distances contains NaN", solution(then=lambda far, rows: ((far - 1).sqrt(), rows))),
        ("changed fake in place", in_place),
    ],
    tolerance=2e-3,
)
