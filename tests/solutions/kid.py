"""kid(real, fake): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch

from exercises.evaluation.kid import kernel, off_diagonal, right, solution


def by_loops(real, fake):
    a, b = real.double().numpy(), fake.double().numpy()
    n, m = len(a), len(b)

    def k(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    own = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def by_fill(real, fake):
    """The diagonal set to 0, in the features' own precision, as a tensor."""
    kr, kf = kernel(real, real).fill_diagonal_(0), kernel(fake, fake).fill_diagonal_(0)
    n, m = len(real), len(fake)
    return kr.sum() / n / (n - 1) + kf.sum() / m / (m - 1) - 2 * kernel(real, fake).sum() / n / m


def by_triangles(real, fake):
    """Each pair once."""
    means = []
    for x in (real.numpy(), fake.numpy()):
        upper = np.triu_indices(len(x), 1)
        means.append((((x @ x.T) / x.shape[1] + 1)[upper] ** 3).mean())
    across = np.power(np.einsum("id,jd->ij", real.numpy(), fake.numpy()) / real.shape[1] + 1, 3)
    return sum(means) - 2 * across.mean()


def by_one_matrix(real, fake):
    """All pairs of both sets together, each with its weight."""
    rows, n, m = torch.cat([real, fake]).double(), len(real), len(fake)
    weights = torch.full((n + m, n + m), -1 / n / m, dtype=torch.float64)
    weights[:n, :n], weights[n:, n:] = 1 / n / (n - 1), 1 / m / (m - 1)
    return (weights.fill_diagonal_(0) * kernel(rows, rows)).sum()


def in_place(real, fake):
    real /= real.shape[1] ** 0.5
    return right(real, fake)


def of_number(real, fake):
    """Real 1 with fake 1, real 2 with fake 2, ..."""
    pairs = ((real * fake).sum(1) / real.shape[1] + 1) ** 3
    return float(off_diagonal(kernel(real, real)) + off_diagonal(kernel(fake, fake)) - 2 * pairs.mean())


def by_reals(real, fake):
    """Both divided by the number of reals."""
    n = len(real)
    sums = sum(k.sum() - k.trace() for k in (kernel(real, real), kernel(fake, fake)))
    return float(sums / (n * (n - 1)) - 2 * kernel(real, fake).mean())


RIGHT = [
    ("trace", right),
    ("loops", by_loops),
    ("filled", by_fill),
    ("triangles", by_triangles),
    ("one matrix", by_one_matrix),
]

WRONG = [
    ("in place", in_place, "changed real in place"),
    ("a row each", lambda real, fake: kernel(real, real).mean(1), "expected one number"),
    ("as a list", lambda real, fake: [right(real, fake)], "expected one number"),
    ("no return", lambda real, fake: None, "return statement missing"),
    ("same numbers only", of_number, "kernels are [n, n], [m, m] and [n, m]"),
    ("both by n", by_reals, "expected the means of the kernel"),
    (
        "above the diagonal, by n (n - 1)",
        solution(within=lambda k: k.triu(1).sum() / (len(k) * (len(k) - 1))),
        "each pair counts",
    ),
    ("above and on the diagonal", solution(within=lambda k: k.triu().mean()), "expected the means of the kernel"),
    ("no pair is a mean", solution(within=lambda k: k[~torch.eye(len(k), dtype=bool)].sum()), "expected the means"),
]
