"""precision_recall(real, fake, k=3): the shares of fakes in balls of the reals, and of reals in balls of the fakes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import two_numbers, untouched
from exercises.probing import Answer, Case
from facegen.evaluation.distances import precision_recall


def apart(x: Tensor, y: Tensor) -> Tensor:
    """Distances of all pairs, exactly 0 between equal rows."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def crowds(n: int, m: int, d: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Reals and fakes that overlap in part, crowded in some places; no distance is so close to a radius that rounding counts.

    Multiples of 1/256, so that the distance of copies is 0 however it is computed.
    """
    while True:
        wide = [0.3 + 1.4 * torch.rand(count, 1, generator=g, dtype=torch.float64) for count in (n, m)]
        real, fake = (w * torch.randn(len(w), d, generator=g, dtype=torch.float64) for w in wide)
        fake[:, 0] = 0.5 * fake[:, 0] + 0.6
        real, fake = ((256 * x).round() / 256 for x in (real, fake))
        own = [apart(x, x).sort(1).values[:, 1:7] for x in (real, fake)]
        if all((apart(real, fake).reshape(-1, 1) - radii.reshape(1, -1)).abs().min() > 2e-6 for radii in own):
            return real, fake


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, m, d, k in ((24, 20, 3, None), (14, 24, 2, 1), (20, 20, 4, 5), (22, 16, 2, 2), (12, 24, 3, 4), (30, 24, 3, 3)):
        real, fake = crowds(n, m, d, g)
        found.append({"real": real, "fake": fake} | ({} if k is None else {"k": k}))
    for n, m, k in ((18, 14, 1), (20, 12, 2)):
        real, fake = crowds(n, m, 2, g)
        found.append({"real": real, "fake": fake.repeat(2, 1), "k": k})
    _, fake = crowds(4, 12, 3, g)
    return [*found, {"real": fake.repeat(2, 1), "fake": fake, "k": 1}]


def call(case: Case) -> str:
    real, fake = case["real"], case["fake"]
    twice = [", every one twice," if len(x.unique(dim=0)) < len(x) else "" for x in (real, fake)]
    sets = f"real {list(real.shape)}{twice[0]} and fake {list(fake.shape)}{twice[1]}"
    return f"(precision, recall) of {sets} with k={case.get('k', 3)}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "real", "fake", "k")
    return {"": two_numbers(answer["value"], "precision", "recall")}


# -- mistakes


def near(x: Tensor, distance: Callable = apart) -> Tensor:
    """Distances of each row to all, sorted; its own comes first."""
    return distance(x, x).sort(dim=1).values


def solution(
    pair: Callable = lambda in_real, in_fake: (in_real.any(0), in_fake.any(1)),
    radius: Callable = lambda x, k: near(x)[:, k],
    distance: Callable = apart,
    inside: Callable = torch.le,
) -> Callable:
    """With another use of [n, m] whether in the balls of reals and of fakes, other radii, distances, or comparison."""

    def wrong(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, ...]:
        d = distance(real, fake)
        shares = pair(inside(d, radius(real, k)[:, None]), inside(d, radius(fake, k)))
        return tuple(float(share.double().mean()) for share in shares)

    return wrong


right = solution()


def with_distance(distance: Callable) -> Callable:
    return solution(radius=lambda x, k: near(x, distance)[:, k], distance=distance)


def copies_left_out(x: Tensor, k: int) -> Tensor:
    d = apart(x, x)
    return d.masked_fill(d == 0, torch.inf).sort(dim=1).values[:, k - 1]


def nearest_only(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    d = apart(real, fake)
    to_real, to_fake = d.min(0), d.min(1)
    precision, recall = to_real.values <= near(real)[to_real.indices, k], to_fake.values <= near(fake)[to_fake.indices, k]
    return float(precision.double().mean()), float(recall.double().mean())


def to_the_other_set(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    d = apart(real, fake)
    of_real, of_fake = d.sort(1).values[:, k - 1], d.sort(0).values[k - 1]
    return float((d <= of_real[:, None]).any(0).double().mean()), float((d <= of_fake).any(1).double().mean())


def radii_along_the_wrong_axis(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    d = apart(real, fake)
    return float((d <= near(real)[:, k]).any(0).double().mean()), float((d <= near(fake)[:, k, None]).any(1).double().mean())


def in_place(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    fake -= fake.mean(0)
    return right(real, fake, k)


def then(change: Callable) -> Callable:
    """With the right numbers, and how many reals and fakes there are, changed."""
    return lambda real, fake, k=3: change(*right(real, fake, k), len(real), len(fake))


def everybody(value: Callable) -> Callable:
    """All balls of a set as wide as some value of their radii."""
    return solution(radius=lambda x, k: value(near(x)[:, k]).expand(len(x)))


MISTAKES = {
    "a copy lies on the border of a ball of radius 0: expected <=, not <": solution(inside=torch.lt),
    "neighbours at distance 0 are left out: a copy is a neighbour, too": solution(radius=copies_left_out),
    "each picture counts as its own nearest neighbour: leave it out": solution(radius=lambda x, k: near(x)[:, k - 1]),
    "one neighbour too many: the radius is the distance to number k": solution(radius=lambda x, k: near(x)[:, k + 1]),
    "recall and precision changed places: return precision, recall": solution(lambda r, f: (f.any(1), r.any(0))),
    "a ball belongs to the picture that is asked about: precision asks the balls of the reals, recall those of the fakes": (
        solution(lambda r, f: (f.any(0), r.any(1)))
    ),
    "precision asks which reals' balls hold a fake, expected which fakes lie in a ball; recall likewise": solution(
        lambda r, f: (r.any(1), f.any(0))
    ),
    "recall is taken with the balls of the reals, expected of the fakes": solution(lambda r, f: (r.any(0), r.any(1))),
    "precision is taken with the balls of the fakes, expected of the reals": solution(lambda r, f: (f.any(0), f.any(1))),
    "k is not used, it is 3 whatever is asked": solution(radius=lambda x, k: near(x)[:, 3]),
    "k is not used, it is 1 whatever is asked": solution(radius=lambda x, k: near(x)[:, 1]),
    "a picture has to lie in all balls, expected in at least one": solution(lambda r, f: (r.all(0), f.all(1))),
    "pairs are counted, expected pictures, in however many balls they lie": solution(lambda r, f: (r, f)),
    "balls are counted, expected pictures, in however many balls they lie": solution(lambda r, f: (r.sum(0), f.sum(1))),
    "pictures outside all balls are counted": solution(lambda r, f: (~r.any(0), ~f.any(1))),
    "only the ball of the nearest picture is asked, expected any": nearest_only,
    "all balls get the mean radius, expected each its own": everybody(torch.mean),
    "all balls get the largest radius, expected each its own": everybody(torch.max),
    "the radius is the mean distance to the k neighbours, expected that to number k": solution(
        radius=lambda x, k: near(x)[:, 1 : k + 1].mean(1)
    ),
    "the radius is measured to the other set, expected to neighbours in its own": to_the_other_set,
    "the radius is the k-th largest distance, expected the k-th smallest": solution(radius=lambda x, k: near(x)[:, -k]),
    "distances are squared and radii are not": solution(distance=lambda x, y: apart(x, y).square()),
    "radii are squared and distances are not": solution(radius=lambda x, k: near(x)[:, k].square()),
    "distances are |x| + |y| + ..., expected Euclidean ones": with_distance(lambda x, y: torch.cdist(x, y, p=1)),
    "distances are angles, expected Euclidean ones": with_distance(lambda x, y: 1 - F.normalize(x) @ F.normalize(y).T),
    "pictures are counted, expected their shares": then(lambda p, r, n, m: (p * m, r * n)),
    "precision and recall are in percent, expected shares": then(lambda p, r, n, m: (100 * p, 100 * r)),
    "precision comes twice: recall asks for reals in balls of the fakes": then(lambda p, r, n, m: (p, p)),
    "recall comes twice: precision asks for fakes in balls of the reals": then(lambda p, r, n, m: (r, r)),
}

EXERCISE = Exercise(
    component="precision_recall",
    chapter=6,
    place=3,
    minutes=25,
    difficulty=2,
    task="Precision and recall: how many fakes look like a real picture, and the other way round.",
    verified="9 pairs of crowds, k from 1 to 5 and left out, copies on either side",
    reference=precision_recall,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected the share of fakes in the ball of any real, as wide as its distance to neighbour k, and vice versa",
    mistakes=MISTAKES,
    refused=[
        ("compare each with its own set's radii", radii_along_the_wrong_axis),
        ("expected two numbers: return precision, recall", then(lambda p, r, n, m: p)),
        ("changed fake in place", in_place),
    ],
    hints={SIZES: "distances within a set are [n, n] or [m, m], across [n, m]: compare each with its own set's radii"},
    tolerance=1e-5,
)
