"""frechet_distance(real, fake): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch
from scipy import linalg

from exercises.evaluation.frechet_distance import common, right, root, solution


def by_sqrtm(real, fake):
    """As pytorch-fid has it: SciPy's root, its imaginary part dropped."""
    a, b = real.double().numpy(), fake.double().numpy()
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    product = linalg.sqrtm(c1 @ c2)
    if not np.isfinite(product).all():
        small = 1e-6 * np.eye(len(c1))
        product = linalg.sqrtm((c1 + small) @ (c2 + small))
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + np.trace(c1) + np.trace(c2) - 2 * np.trace(product).real


def by_eigenvalues(real, fake):
    """Of the product itself, which has no others than real ones."""
    c1, c2 = (np.cov(x.double().numpy().T) for x in (real, fake))
    roots = np.sqrt(np.linalg.eigvals(c1 @ c2).astype(complex)).real
    gap = real.double().mean(0) - fake.double().mean(0)
    return float(gap @ gap) + np.trace(c1) + np.trace(c2) - 2 * roots.sum()


def by_rows(real, fake):
    """The centred rows themselves: their product's singular values."""
    a, b = ((x.double() - x.double().mean(0)) / (len(x) - 1) ** 0.5 for x in (real, fake))
    gap = real.double().mean(0) - fake.double().mean(0)
    return gap @ gap + a.square().sum() + b.square().sum() - 2 * torch.linalg.matrix_norm(a @ b.T, "nuc")


def by_nuclear_norm(real, fake):
    real, fake = real.to(torch.float64), fake.to(torch.float64)
    c1, c2 = torch.cov(real.T), torch.cov(fake.T)
    roots = torch.linalg.svdvals(root(c1) @ root(c2)).sum()
    return torch.clamp(torch.dist(real.mean(0), fake.mean(0)) ** 2 + torch.trace(c1 + c2) - 2 * roots, min=0).item()


def a_matrix(real, fake):
    c1, c2 = torch.cov(real.double().T), torch.cov(fake.double().T)
    return c1 + c2 - 2 * root(root(c1) @ c2 @ root(c1))


RIGHT = [
    ("eigvalsh", right),
    ("complex roots", solution(lambda c1, c2: torch.linalg.eigvals(c1 @ c2).sqrt().sum().real)),
    ("sqrtm", by_sqrtm),
    ("eigvals", by_eigenvalues),
    ("rows", by_rows),
    ("nuclear", by_nuclear_norm),
]

WRONG = [
    ("a matrix", a_matrix, "expected one number"),
    ("a complex number", lambda real, fake: complex(right(real, fake)), "a complex number, expected a real one"),
    ("no return", lambda real, fake: None, "return statement missing"),
    ("float of complex roots", solution(gap=lambda away: float(away.square().sum() + 1j * away.sum())), "drop it with .real"),
    ("an inverse", solution(lambda c1, c2: (c1.inverse() @ c2).trace()), "expected |m1 - m2|^2"),
    ("squares summed", solution(gap=lambda away: away.abs().sum()), "expected |m1 - m2|^2"),
    ("trace of half", solution(lambda c1, c2: common(c1, c2) * 2), "expected |m1 - m2|^2"),
]
