"""frechet_distance(real, fake): |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)) of the Gaussians of two sets of features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.clouds import cloud
from exercises.judging import number, require, untouched
from exercises.probing import Answer, Case
from facegen.evaluation.distances import frechet_distance

ROUNDING = "rounding makes eigenvalues that should be 0 a little negative: clamp them at 0 before the root"
NEGATIVE = "a root of something negative: C1 C2 is not symmetric, and its entries may be negative; its eigenvalues are not"


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, m, d, dtype in (
        (12, 12, 5, torch.float64),
        (40, 15, 4, torch.float64),
        (9, 30, 7, torch.float32),
        (25, 25, 2, torch.float32),
        (7, 9, 16, torch.float64),
    ):
        found.append({"real": cloud(n, d, g).to(dtype), "fake": (1.5 * cloud(m, d, g)).to(dtype)})
    same = cloud(10, 40, g).float()
    return [*found, {"real": same, "fake": same.clone()}]


def call(case: Case) -> str:
    return f"the distance of real {list(case['real'].shape)} and fake {list(case['fake'].shape)}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "real", "fake")
    value, (n, d) = number(answer["value"]), case["real"].shape
    require(value.isfinite(), f"{call(case)} is {float(value)}: {NEGATIVE if n > d else ROUNDING}")
    if not torch.equal(case["real"], case["fake"]):
        return {"": value}
    share = float(value.abs() / case["real"].double().var(0).sum())
    coarse = f"{call(case)}, the same in float32, is {float(value):.3g}, expected 0"
    require(share < 1e-4 or share > 0.01, f"{coarse}: rounding is too coarse, begin with real.double()")
    return {"": value if share > 0.01 else torch.zeros(1)}


# -- mistakes


def root(matrix: Tensor) -> Tensor:
    """Symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def roots(matrix: Tensor) -> Tensor:
    """Sum of the roots of a symmetric matrix's eigenvalues."""
    return torch.linalg.eigvalsh(matrix).clamp_min(0).sqrt().sum()


def common(a: Tensor, b: Tensor) -> Tensor:
    return roots(root(a) @ b @ root(a))


def solution(
    common: Callable = common,
    gap: Callable = lambda away: away.square().sum(),
    covariance: Callable = lambda x: torch.cov(x.T),
    spread: Callable = lambda a, b, common: a.trace() + b.trace() - 2 * common,
) -> Callable:
    """With another trace of the root, function of the means' difference, covariance, or sum of the traces."""

    def wrong(real: Tensor, fake: Tensor) -> float:
        real, fake = real.double(), fake.double()
        a, b = covariance(real), covariance(fake)
        return float(gap(real.mean(0) - fake.mean(0)) + spread(a, b, common(a, b)))

    return wrong


right = solution()


def by_a_root(half: Callable) -> Callable:
    """With another root of C1, made of its eigenvalues and eigenvectors."""

    def wrong(a: Tensor, b: Tensor) -> Tensor:
        found = half(*torch.linalg.eigh(a))
        return roots(found @ b @ found)

    return solution(wrong)


def by_cholesky(a: Tensor, b: Tensor) -> Tensor:
    factor = torch.linalg.cholesky(a)
    return roots(factor.T @ b @ factor)


def cut_down(real: Tensor, fake: Tensor) -> float:
    least = min(len(real), len(fake))
    return right(real[:least], fake[:least])


def in_place(real: Tensor, fake: Tensor) -> float:
    real -= real.mean(0)
    return right(real, fake)


def in_one_precision(real: Tensor, fake: Tensor) -> Tensor:
    a, b = torch.cov(real.T), torch.cov(fake.T)
    return (real.mean(0) - fake.mean(0)).square().sum() + a.trace() + b.trace() - 2 * common(a, b)


MISTAKES = {
    "the covariances are divided by n, expected by n - 1": solution(covariance=lambda x: torch.cov(x.T, correction=0)),
    "the distance of the means is not squared": solution(gap=torch.norm),
    "the squared differences of the means are averaged, expected summed": solution(gap=lambda away: away.square().mean()),
    "the difference of the means is summed before it is squared": solution(gap=lambda away: away.sum().square()),
    "one mean is taken of all features, expected one of each: mean(dim=0)": solution(gap=lambda away: away.mean().square()),
    "the distance of the means is missing": solution(gap=lambda away: 0),
    "the covariances are missing, this is the distance of the means alone": solution(spread=lambda a, b, common: 0),
    "the root of C1 C2 is missing": solution(lambda a, b: 0),
    "the 2 before the root of C1 C2 is missing": solution(lambda a, b: common(a, b) / 2),
    "the sign before the root of C1 C2 is wrong": solution(lambda a, b: -common(a, b)),
    "the 2 stands before everything in the trace": solution(spread=lambda a, b, root: 2 * (a.trace() + b.trace() - root)),
    "the trace of C2 is missing": solution(spread=lambda a, b, common: a.trace() - 2 * common),
    "the root is taken entry by entry: a matrix's root is the one whose square, by @, is the matrix": solution(
        lambda a, b: (a @ b).clamp_min(0).sqrt().trace()
    ),
    "roots and products are taken entry by entry: only the variances count, not how features go together": solution(
        lambda a, b: (a * b).sqrt().trace()
    ),
    "C1 * C2 multiplies entry by entry, expected C1 @ C2": solution(lambda a, b: roots(a * b)),
    "the root of C1 C2 is not taken: sum the roots of its eigenvalues": solution(lambda a, b: (a @ b).trace()),
    "the root of the trace is taken, expected the trace of the root": solution(lambda a, b: (a @ b).trace().sqrt()),
    "these are singular values of C1 C2, expected eigenvalues: both are the same for a symmetric matrix only": solution(
        lambda a, b: torch.linalg.svdvals(a @ b).sqrt().sum()
    ),
    "eigvalsh wants a symmetric matrix, which C1 C2 is not: take C1^(1/2) C2 C1^(1/2)": solution(lambda a, b: roots(a @ b)),
    "C1 C2 C1 has other eigenvalues: expected C1^(1/2) on either side": solution(lambda a, b: roots(a @ b @ a)),
    "the last U of the root U diag U^T is not transposed": by_a_root(lambda values, u: u * values.clamp_min(0).sqrt() @ u),
    "the roots of C1 and C2 are multiplied, expected their product's": solution(lambda a, b: (root(a) @ root(b)).trace()),
    "this is the squared difference of the covariances": solution(spread=lambda a, b, common: (a - b).square().sum()),
    "means are not subtracted before the products": solution(covariance=lambda x: x.T @ x / (len(x) - 1)),
    "these are correlations, expected covariances": solution(covariance=lambda x: torch.corrcoef(x.T)),
    "the root of all is taken: the Frechet distance is the squared one": lambda real, fake: max(0, right(real, fake)) ** 0.5,
    "it is divided by the number of features": lambda real, fake: right(real, fake) / real.shape[1],
    "the sign is wrong": lambda real, fake: -right(real, fake),
    "the larger set is cut down, expected all pictures of both": cut_down,
}

EXERCISE = Exercise(
    component="frechet_distance",
    chapter=6,
    place=1,
    minutes=30,
    difficulty=3,
    task="The Frechet distance of two sets of features, which on Inception's features is the FID.",
    verified="5 pairs of clouds, float32 and float64, fewer pictures than features, equal sets",
    reference=frechet_distance,
    cases=cases,
    judge=judge,
    call=call,
    rule="expected |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))",
    mistakes=MISTAKES,
    refused=[
        (ROUNDING, solution(lambda a, b: torch.linalg.eigvalsh(root(a) @ b @ root(a)).sqrt().sum())),
        ("clamp eigenvalues at 0 before their roots", by_a_root(lambda values, u: u * values.sqrt() @ u.T)),
        ("which has no such factor: take eigh", solution(by_cholesky)),
        (NEGATIVE, solution(lambda a, b: (a.sqrt() @ b.sqrt()).trace())),
        ("drop it with .real", solution(lambda a, b: torch.linalg.eigvals(a @ b).sqrt().sum())),
        ("so give them real.T", solution(covariance=torch.cov)),
        ("begin with real.double()", in_one_precision),
        ("changed real in place", in_place),
        ("expected one number", lambda real, fake: torch.cov(real.T) + torch.cov(fake.T)),
    ],
    hints={
        SIZES: "means and covariances are over the pictures; torch.cov and np.cov want features as rows, so give them real.T",
        "positive.definite": "fewer pictures than features give a covariance which has no such factor: take eigh",
        "math domain error": "the distance stays squared: no root of the whole, which may be just below 0",
        "converge|infs or NaNs": "there is NaN in it, a root of something negative: clamp eigenvalues at 0 before their roots",
        "[Ss]ingular": "fewer pictures than features give a matrix without an inverse: none is needed",
        "complex|without overflow": "eigenvalues of C1 C2 are complex numbers, with an imaginary part of 0: drop it with .real",
    },
)
