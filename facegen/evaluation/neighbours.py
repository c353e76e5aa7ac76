"""Memorisation: does a generator show its training pictures? Fakes beside their nearest real neighbours.

found = memorised(features(fakes), features(reals), mirrored=features(reals.flip(3)))
print(found.verdict)                          # in plain words; `nearest` says which pictures to look at

A fake is always near to some real picture, the nearer the more there are, so a distance alone says nothing. What it is compared
with is how near one real picture is to the others: the reals are cut into two halves, and each fake's distance to its nearest
neighbour in one half is set against such distances of the other half's pictures, which are as many comparisons with the same
pictures. A fake that is nearer than all but `TAIL` of held-out pictures are is called close. Pictures like the reals have
about `TAIL` of close ones per half; a generator that copies has many more (Meehan, Chaudhuri and Dasgupta 2020,
arXiv:2004.05675, test for copying by the same comparison).

What it cannot see: copies that look other to the features than they are, such as a face cut out and put before another
background; and where the pictures have several copies of one face among them, a copy of that counts as usual.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facegen.evaluation.distances import _squared_distances, wilson_interval
from facegen.files import InputError

TAIL = 0.01  # the share of held-out pictures below whose distances a fake counts as close
LEAST = 20  # pictures in a half
BLOCK = 1 << 22  # distances at a time
EXPECTED = 1 - (1 - TAIL) ** 2  # of fakes like the reals, with two halves to be close to
FAR = 1.5  # times the reals' own distance: from there on, nothing is a copy because nothing is like the pictures


@dataclass(frozen=True)
class Memorised:
    """What `memorised` found."""

    close: float  # share of fakes nearer to a real picture than all but 1 % of the held-out ones are
    # low, high: its interval at 95 % (Wilson).
    low: float
    high: float
    expected: float  # the share that new pictures from the same source would have
    ratio: float  # median distance of fakes to their nearest real picture, divided by that of held-out pictures
    distances: Tensor  # float64 [n]: of each fake to its nearest real picture
    # float64 [n]: that distance as a share of the held-out pictures' median; the smallest are the most suspect.
    nearness: Tensor
    nearest: Tensor  # int64 [n, k]: the nearest real pictures of each fake, the nearest first
    duplicates: float  # share of real pictures that have a copy in the other half
    memorised: bool  # whether more are close than chance explains
    verdict: str  # all that in a sentence or two

    def suspects(self, count: int) -> list[int]:
        """The indices of the fakes that are nearest to a real picture, the nearest first."""
        return self.nearness.argsort(stable=True)[:count].tolist()


def memorised(fake: Tensor, real: Tensor, mirrored: Tensor | None = None, *, k: int = 3, seed: int = 0) -> Memorised:
    """Compare fakes' distances to the training pictures with those of held-out pictures among themselves.

    Args:
        fake: features [n, d].
        real: features [m, d] of the pictures that the generator was trained on, at least 40.
        mirrored: [m, d] of the same pictures flipped left to right: training usually shows them too.
        k: how many neighbours to name.
        seed: of the halves.
    """
    fake, real = _rows(fake, "fake"), _rows(real, "real")
    others = real if mirrored is None else _rows(mirrored, "mirrored")
    if len({rows.shape[1] for rows in (fake, real, others)}) > 1 or others.shape != real.shape:
        raise InputError("fakes, reals and mirrored reals need features of one network, and as many mirrored as reals")
    if len(real) < 2 * LEAST or not len(fake) or k < 1:
        raise InputError(
            f"{len(real)} real pictures and {len(fake)} fakes: looking for copies needs at least {2 * LEAST} and 1, with k >= 1"
        )
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    halves = order[: len(real) // 2], order[len(real) // 2 : len(real) // 2 * 2]  # alike in size
    nearest_held, nearest_fake, limits, medians = [], [], [], []
    for held, shown in (halves, halves[::-1]):
        apart = _nearest(real[held], real[shown], others[shown])
        nearest_held.append(apart)
        nearest_fake.append(_nearest(fake, real[shown], others[shown]))
        limits.append(float(apart.quantile(TAIL)))
        medians.append(float(apart.median()))
    # Compared with a half each; a fake is close if it is close to either.
    close = torch.stack([near < limit for near, limit in zip(nearest_fake, limits)]).any(0)
    scale = sum(medians) / 2
    if not scale:
        raise InputError("half of the real pictures have an exact copy among the others: remove duplicates first")
    low, high = wilson_interval(int(close.sum()), len(close))
    ratio = sum(float(near.median()) for near in nearest_fake) / 2 / scale
    duplicates = float(torch.cat(nearest_held).lt(1e-3 * scale).double().mean())
    distances, nearest = _named(fake, real, others, k)
    is_memorised = low > 2 * EXPECTED
    share = float(close.double().mean())
    return Memorised(
        close=share,
        low=low,
        high=high,
        expected=EXPECTED,
        ratio=ratio,
        distances=distances,
        nearness=torch.stack(nearest_fake).min(0).values / scale,
        nearest=nearest,
        duplicates=duplicates,
        memorised=is_memorised,
        verdict=_verdict(share, low, high, ratio, is_memorised, duplicates, len(fake)),
    )


def _verdict(share: float, low: float, high: float, ratio: float, is_memorised: bool, duplicates: float, count: int) -> str:
    about = f"{share:.1%} of {count} fakes ({low:.1%} to {high:.1%}) are nearer to a training picture than 99 % of held-out are"
    if is_memorised:
        text = f"memorised: {about}, and chance would make it {EXPECTED:.1%}; look at the picture of neighbours"
    elif ratio > FAR:
        text = (
            f"no copies, and that says little: the fakes are {ratio:.1f} times as far from the real pictures as those from "
            "each other, too far to be like any of them"
        )
    else:
        text = f"no sign of memorisation: {about}; chance makes it {EXPECTED:.1%}"
        if high > 2 * EXPECTED:
            text += f". With so few fakes up to {high:.1%} could still be copies"
    if duplicates > TAIL:
        text += f". {duplicates:.1%} of the real pictures have a copy among them, which hides copies from this test"
    return text


def _rows(features: Tensor, name: str) -> Tensor:
    rows = torch.as_tensor(features).detach().cpu().double()
    if rows.ndim != 2 or not bool(rows.isfinite().all()):
        raise InputError(f"{name}: an array of shape {list(rows.shape)}: give finite features [n, d]")
    return rows


def _nearest(a: Tensor, b: Tensor, mirrored: Tensor) -> Tensor:
    """[n]: the distance of each row of a to the nearest of b, either way round."""
    return _named(a, b, mirrored, 1)[0]


def _named(a: Tensor, b: Tensor, mirrored: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """[n] and [n, k]: the distance to the nearest row of b, and which are the k nearest, either way round."""
    k, middle = min(k, len(b)), b.mean(0)  # differences of numbers far from 0 lose digits
    sides = [b - middle] if mirrored is b else [b - middle, mirrored - middle]
    distances, nearest = [], []
    for part in (a - middle).split(max(1, BLOCK // len(b))):
        squares = _squared_distances(part, sides[0])
        for side in sides[1:]:
            squares = torch.minimum(squares, _squared_distances(part, side))
        values, places = squares.topk(k, dim=1, largest=False)
        distances.append(values[:, 0].sqrt())
        nearest.append(places)
    return torch.cat(distances), torch.cat(nearest)
