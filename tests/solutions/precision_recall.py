"""precision_recall(real, fake, k=3): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch

from exercises.evaluation.precision_recall import apart, right, solution, then


def by_loops(real, fake, k=3):
    a, b = real.numpy(), fake.numpy()

    def covered(points, centres):
        ball = [sorted(np.linalg.norm(centres - c, axis=1))[k] for c in centres]
        return np.mean([any(np.linalg.norm(p - c) <= r for c, r in zip(centres, ball)) for p in points])

    return covered(b, a), covered(a, b)


def by_kthvalue(real, fake, k=3):
    """Itself at infinity, and squares throughout."""

    def squares(x, y):
        return (x[:, None] - y[None]).square().sum(2)

    def ball(x):
        return squares(x, x).fill_diagonal_(torch.inf).kthvalue(k, dim=1).values

    d = squares(real, fake)
    return [(d < ball(real)[:, None] + 1e-9).any(0).double().mean(), (d <= ball(fake)[None]).any(1).double().mean()]


def by_topk(real, fake, k=3):
    r, f = (torch.cdist(x, x).topk(k + 1, largest=False).values[:, -1] for x in (real, fake))
    d = torch.cdist(fake, real)
    precision = (d - r).min(dim=1).values <= 0
    recall = (d.T - f).min(dim=1).values <= 0
    return torch.stack([precision.float().mean(), recall.float().mean()])


def by_products(real, fake, k=3):
    """Squares from products, which are exact here for copies."""

    def squares(x, y):
        return x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T

    r, f = (squares(x, x).kthvalue(k + 1, dim=1).values for x in (real, fake))
    d = squares(real, fake)
    return (d <= r[:, None]).any(0).double().mean(), (d <= f).any(1).double().mean()


def by_one_function(real, fake, k=3):
    """Recall as the precision of the changed roles, in the features' own order."""

    def share(centres, points):
        own = apart(centres, centres)
        radius = torch.stack([torch.cat([row[:i], row[i + 1 :]]).sort().values[k - 1] for i, row in enumerate(own)])
        return sum(any(apart(p[None], centres)[0] <= radius) for p in points) / len(points)

    return np.array([share(real, fake), share(fake, real)])


def farthest_first(x, k):
    return apart(x, x).topk(k + 1).values[:, -1]


def upper_triangle(x, k):
    """Only the pairs above the diagonal."""
    return apart(x, x).triu().sort(1).values[:, k]


def different_ones(x, k):
    """Copies count once."""
    return torch.stack([row.unique()[k] for row in apart(x, x)])


RIGHT = [
    ("sort", right),
    ("loops", by_loops),
    ("squares", by_kthvalue),
    ("topk", by_topk),
    ("products", by_products),
    ("one function", by_one_function),
    ("float32", lambda real, fake, k=3: right(real.float(), fake.float(), k)),
]

WRONG = [
    ("no return", lambda real, fake, k=3: None, "return statement missing"),
    ("farthest first", solution(radius=farthest_first), "expected"),
    ("upper triangle", solution(radius=upper_triangle), "expected the share of fakes"),
    ("different distances", solution(radius=different_ones), "expected the share of fakes"),
    ("k - 1 and <", solution(radius=lambda x, k: apart(x, x).sort(1).values[:, k - 1], inside=torch.lt), "expected the share"),
    ("by the other's number", then(lambda p, r, n, m: (p * m / n, r * n / m)), "expected the share of fakes"),
    ("a dictionary", then(lambda p, r, n, m: {"precision": p, "recall": r}), "expected two numbers"),
    ("NaN", then(lambda p, r, n, m: (p, r * float("nan"))), "recall is nan, expected a number"),
]
