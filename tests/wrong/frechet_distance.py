"""frechet_distance(real, fake): wrong and right solutions."""

import numpy as np
import torch
from scipy import linalg


def root(matrix):
    """Symmetric root of a covariance."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def common(c1, c2):
    return torch.linalg.eigvalsh(root(c1) @ c2 @ root(c1)).clamp_min(0).sqrt().sum()


def squared_gap(real, fake):
    return (real.mean(0) - fake.mean(0)).square().sum()


def covariances(real, fake):
    return torch.cov(real.T), torch.cov(fake.T)


def solution(gap=squared_gap, covs=covariances, spread=lambda c1, c2: c1.trace() + c2.trace() - 2 * common(c1, c2)):
    """With another distance of the means, other covariances, or another term of these."""

    def frechet_distance(real, fake):
        real, fake = real.double(), fake.double()
        return float(gap(real, fake) + spread(*covs(real, fake)))

    return frechet_distance


def with_trace(f):
    """2 f(C1, C2) in place of twice the trace of the root."""
    return solution(spread=lambda c1, c2: c1.trace() + c2.trace() - 2 * f(c1, c2))


right = solution()


def in_one_precision(real, fake):
    c1, c2 = covariances(real, fake)
    return float(squared_gap(real, fake) + c1.trace() + c2.trace() - 2 * common(c1, c2))


def by_products(real, fake):
    return tuple(x.T @ x / (len(x) - 1) for x in (real, fake))


def by_moments_of_n(real, fake):
    return tuple(torch.cov(x.T, correction=0) for x in (real, fake))


def over_rows(real, fake):
    return torch.cov(real), torch.cov(fake)


def of_correlations(real, fake):
    return torch.corrcoef(real.T), torch.corrcoef(fake.T)


def unclamped(real, fake):
    """The eigenvalues of C1 C2 are not negative, but for rounding."""
    real, fake = real.double(), fake.double()
    c1, c2 = covariances(real, fake)
    roots = torch.linalg.eigvalsh(root(c1) @ c2 @ root(c1)).sqrt()
    return float(squared_gap(real, fake) + c1.trace() + c2.trace() - 2 * roots.sum())


def by_cholesky(real, fake):
    """Of a matrix of full rank only."""
    real, fake = real.double(), fake.double()
    c1, c2 = covariances(real, fake)
    factor = torch.linalg.cholesky(c1)
    roots = torch.linalg.eigvalsh(factor.T @ c2 @ factor).clamp_min(0).sqrt()
    return float(squared_gap(real, fake) + c1.trace() + c2.trace() - 2 * roots.sum())


def complex_number(real, fake):
    real, fake = real.double(), fake.double()
    c1, c2 = covariances(real, fake)
    return (squared_gap(real, fake) + c1.trace() + c2.trace() - 2 * torch.linalg.eigvals(c1 @ c2).sqrt().sum()).item()


def cut_down(real, fake):
    n = min(len(real), len(fake))
    return right(real[:n], fake[:n])


def in_place(real, fake):
    real -= real.mean(0)
    return right(real, fake)


def a_matrix(real, fake):
    c1, c2 = covariances(real.double(), fake.double())
    return squared_gap(real.double(), fake.double()) + c1 + c2 - 2 * root(root(c1) @ c2 @ root(c1))


def nothing(real, fake):
    right(real, fake)


def elementwise(c1, c2):
    return c1.trace() + c2.trace() - 2 * (c1 @ c2).clamp_min(0).sqrt().trace()


WRONG = [
    ("by n", solution(covs=by_moments_of_n), "divided by n, expected by n - 1"),
    ("mean not squared", solution(gap=lambda a, b: (a.mean(0) - b.mean(0)).norm()), "the distance of the means is not squared"),
    (
        "mean averaged",
        solution(gap=lambda a, b: (a.mean(0) - b.mean(0)).square().mean()),
        "averaged over the features, expected their sum",
    ),
    ("mean summed first", solution(gap=lambda a, b: (a.mean(0) - b.mean(0)).sum() ** 2), "is summed before it is squared"),
    ("no mean", solution(gap=lambda a, b: 0), "the distance of the means is missing"),
    (
        "mean over features",
        solution(gap=lambda a, b: (a.mean(1) - b.mean(1)).square().sum()),
        "means and covariances are over the pictures",
    ),
    ("only means", solution(spread=lambda c1, c2: 0), "the covariances are missing"),
    ("no root", solution(spread=lambda c1, c2: c1.trace() + c2.trace()), "the root of C1 C2 is missing"),
    ("no 2", solution(spread=lambda c1, c2: c1.trace() + c2.trace() - common(c1, c2)), "the 2 before the root"),
    ("plus", solution(spread=lambda c1, c2: c1.trace() + c2.trace() + 2 * common(c1, c2)), "the sign before the root"),
    ("bracket", solution(spread=lambda c1, c2: 2 * (c1.trace() + c2.trace() - common(c1, c2))), "the 2 stands before"),
    ("entry by entry", solution(spread=elementwise), "the root is taken entry by entry: a matrix's root"),
    ("diagonals", with_trace(lambda c1, c2: (c1 * c2).sqrt().trace()), "only the variances count"),
    ("product entry by entry", with_trace(lambda c1, c2: root(c1 * c2).trace()), "C1 * C2 multiplies entry by entry"),
    ("nothing rooted", with_trace(lambda c1, c2: (c1 @ c2).trace()), "the root of C1 C2 is not taken"),
    ("root of the trace", with_trace(lambda c1, c2: (c1 @ c2).trace().sqrt()), "the root of the trace is taken"),
    ("singular values", with_trace(lambda c1, c2: torch.linalg.svdvals(c1 @ c2).sqrt().sum()), "these are singular values"),
    (
        "not symmetric",
        with_trace(lambda c1, c2: torch.linalg.eigvalsh(c1 @ c2).clamp_min(0).sqrt().sum()),
        "want a symmetric matrix, which C1 C2 is not",
    ),
    ("product of roots", with_trace(lambda c1, c2: (root(c1) @ root(c2)).trace()), "the roots of C1 and C2 are multiplied"),
    ("difference", solution(spread=lambda c1, c2: (c1 - c2).square().sum()), "squared difference of the covariances"),
    ("raw products", solution(covs=by_products), "means are not subtracted before the products"),
    ("correlations", solution(covs=of_correlations), "these are correlations"),
    ("over rows", solution(covs=over_rows), "so give them real.T"),
    ("square root", lambda real, fake: max(0.0, right(real, fake)) ** 0.5, "the root of all is taken"),
    ("per feature", lambda real, fake: right(real, fake) / real.shape[1], "divided by the number of features"),
    ("negative", lambda real, fake: -right(real, fake), "the sign is wrong"),
    ("cut down", cut_down, "the larger set is cut down"),
    ("unclamped", unclamped, "clamp them at 0 before the root"),
    ("cholesky", by_cholesky, "positive-definite"),
    ("one precision", in_one_precision, "begin with real.double()"),
    ("complex", complex_number, "a complex number, expected a real one"),
    ("in place", in_place, "changed real or fake in place"),
    ("a matrix", a_matrix, "expected one number"),
    ("no return", nothing, "return statement missing"),
]


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


RIGHT = [("eigvalsh", right), ("sqrtm", by_sqrtm), ("eigvals", by_eigenvalues), ("rows", by_rows), ("nuclear", by_nuclear_norm)]
