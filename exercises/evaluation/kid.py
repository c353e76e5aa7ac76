"""kid(real, fake): the kernel inception distance, an unbiased squared MMD (Gretton and others 2012, equation 3)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.clouds import cloud
from exercises.judging import number, require, untouched
from exercises.probing import Answer, Case
from facegen.evaluation.distances import kid


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for trial, (n, m, d) in enumerate(((7, 7, 5), (5, 9, 3), (12, 4, 8), (6, 6, 2), (8, 8, 4))):
        real = 1.5 * cloud(n, d, g)
        fake = real.clone() if trial == 4 else cloud(m, d, g) + 1
        dtype = torch.float32 if trial == 2 else torch.float64
        found.append({"real": real.to(dtype), "fake": fake.to(dtype)})
    return found


def call(case: Case) -> str:
    real, fake = case["real"], case["fake"]
    same = ", the same pictures," if torch.equal(real, fake) else ""
    return f"the KID of real {list(real.shape)} and fake {list(fake.shape)}{same}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "real", "fake")
    value = number(answer["value"])
    below = kid(*case.values()) < 0
    root = "the root is taken: the unbiased estimate may fall below 0, and has none"
    why = root if below else "look for roots and divisions by 0"
    require(not value.isnan().any(), f"{call(case)} is NaN: {why}")
    return {"": value}


# -- mistakes


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def off_diagonal(k: Tensor) -> Tensor:
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def solution(kernel: Callable = kernel, within: Callable = off_diagonal, across: Callable = torch.mean, times: float = 2):
    """With another kernel, mean within a set, mean across, or how often that counts."""

    def wrong(real: Tensor, fake: Tensor) -> float:
        real, fake = real.double(), fake.double()
        return float(within(kernel(real, real)) + within(kernel(fake, fake)) - times * across(kernel(real, fake)))

    return wrong


right = solution()


def with_products(change: Callable) -> Callable:
    """With another function of the products of all pairs, and of d."""
    return solution(lambda x, y: change(x @ y.T, x.shape[1]))


def one_missing(real: Tensor, fake: Tensor, kept: int) -> float:
    sets = real.double(), fake.double()
    return float(off_diagonal(kernel(sets[kept], sets[kept])) - 2 * kernel(*sets).mean())


def of_means(real: Tensor, fake: Tensor) -> float:
    a, b = (x.double().mean(0)[None] for x in (real, fake))
    return float(kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))


def cut_down(real: Tensor, fake: Tensor) -> float:
    least = min(len(real), len(fake))
    return right(real[:least], fake[:least])


def one_sum(real: Tensor, fake: Tensor) -> float:
    return float((kernel(real, real) + kernel(fake, fake) - 2 * kernel(real, fake)).mean())


MISTAKES = {
    "values below 0 are cut off: an unbiased estimate has them": lambda real, fake: max(0.0, right(real, fake)),
    "the sign is taken away: an unbiased estimate may fall below 0": lambda real, fake: abs(right(real, fake)),
    "the sign is wrong": lambda real, fake: -right(real, fake),
    "the diagonals count, a picture's product with itself: divide the rest by n (n - 1)": solution(within=torch.mean),
    "the diagonals count, though it divides by n (n - 1): leave them out of the sums": solution(
        within=lambda k: k.sum() / (len(k) * (len(k) - 1))
    ),
    "the diagonals are left out of the sums, which are then divided by n^2, expected by n (n - 1)": solution(
        within=lambda k: (k.sum() - k.trace()) / len(k) ** 2
    ),
    "the diagonals are left out of the sums, which are then divided by n - 1, expected by n (n - 1)": solution(
        within=lambda k: (k.sum() - k.trace()) / (len(k) - 1)
    ),
    "each pair counts once, as in triu: that is n (n - 1) / 2 pairs": solution(within=lambda k: off_diagonal(k) / 2),
    "the term of real and fake counts once, expected twice": solution(times=1),
    "the term of real and fake is added, expected subtracted": solution(times=-2),
    "the term of real and fake is missing": solution(times=0),
    "the term of real and fake loses its diagonal: real 1 and fake 1 are different pictures": solution(
        across=lambda k: off_diagonal(k) if k.shape[0] == k.shape[1] else k.mean()
    ),
    "the products within fake are missing": lambda real, fake: one_missing(real, fake, 0),
    "the products within real are missing": lambda real, fake: one_missing(real, fake, 1),
    "x . y is not divided by d": with_products(lambda p, d: (p + 1) ** 3),
    "x . y is divided by the root of d, expected by d": with_products(lambda p, d: (p / math.sqrt(d) + 1) ** 3),
    "x . y is divided by the number of pictures, expected by d": solution(lambda x, y: (x @ y.T / len(x) + 1) ** 3),
    "the 1 is added before the division by d": with_products(lambda p, d: ((p + 1) / d) ** 3),
    "the + 1 in the kernel is missing": with_products(lambda p, d: (p / d) ** 3),
    "the kernel is squared, expected cubed": with_products(lambda p, d: (p / d + 1) ** 2),
    "the kernel has no power, expected cubed": with_products(lambda p, d: p / d + 1),
    "the kernel is 3 times, expected to the power 3": with_products(lambda p, d: (p / d + 1) * 3),
    "the means are cubed, expected the mean of the cubes": solution(
        lambda x, y: x @ y.T / x.shape[1] + 1, lambda k: off_diagonal(k) ** 3, lambda k: k.mean() ** 3
    ),
    "this is another kernel, exp(-|x - y|^2 / d), expected (x . y / d + 1)^3": solution(
        lambda x, y: (-torch.cdist(x, y).square() / x.shape[1]).exp()
    ),
    "rows are brought to length 1, expected as they come": lambda real, fake: right(F.normalize(real), F.normalize(fake)),
    "the kernel of the mean features is taken, expected the mean of the kernel": of_means,
    "the larger set is cut down, expected all pictures of both": cut_down,
    "it is given times 1000": lambda real, fake: 1000 * right(real, fake),
    "half of it is returned": lambda real, fake: right(real, fake) / 2,
}

EXERCISE = Exercise(
    component="kid",
    chapter=6,
    place=2,
    minutes=20,
    difficulty=2,
    task="The kernel inception distance: how far two sets of features are apart, without bias.",
    verified="5 pairs of clouds of different sizes, a set beside itself, which is below 0",
    reference=kid,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected the means of the kernel within real and within fake, without pairs i = i, minus twice that across",
    mistakes=MISTAKES,
    refused=[
        ("has none", lambda real, fake: float(torch.tensor(right(real, fake)).sqrt())),
        ("take the mean of each on its own", one_sum),
        ("kernels are [n, n], [m, m] and [n, m]", lambda real, fake: right(real.T, fake.T)),
    ],
    hints={SIZES: "kernels are [n, n], [m, m] and [n, m]: take the mean of each on its own"},
)
