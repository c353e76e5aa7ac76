"""nearest_neighbours(fake, real, k=1): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch

from exercises.evaluation.nearest_neighbours import right, solution


def by_sort(fake, real, k=1):
    far, rows = torch.cdist(fake, real).sort(dim=1)
    return [far[:, :k], rows[:, :k]]


def by_clamped_products(fake, real, k=1):
    a, b = fake.double(), real.double()
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    return squares.clamp_min(0).sqrt().topk(k, dim=1, largest=False)


def by_numpy(fake, real, k=1):
    d = np.linalg.norm(fake.numpy()[:, None] - real.numpy()[None], axis=2)
    rows = np.argsort(d, axis=1)[:, :k]
    return torch.from_numpy(np.take_along_axis(d, rows, 1)), torch.from_numpy(rows.astype(np.int32))


def row_by_row(fake, real, k=1):
    found = [(real - row).norm(dim=1).topk(k, largest=False) for row in fake]
    return torch.stack([far for far, _ in found]), torch.stack([rows for _, rows in found])


def one_at_a_time(fake, real, k=1):
    """The nearest, then put out of reach, k times."""
    d, far, rows = torch.cdist(fake.double(), real.double()), [], []
    for _ in range(k):
        nearest = d.min(dim=1)
        far.append(nearest.values)
        rows.append(nearest.indices)
        d = d.scatter(1, nearest.indices[:, None], torch.inf)
    return torch.stack(far, 1), torch.stack(rows, 1)


def only_the_nearest(fake, real, k=1):
    return tuple(torch.cdist(fake, real).min(dim=1, keepdim=True))


def all_rows_alike(fake, real, k=1):
    far, rows = right(fake, real, k)
    return far, rows[:1].expand_as(rows)


RIGHT = [
    ("topk", right),
    ("sort", by_sort),
    ("products", by_clamped_products),
    ("numpy", by_numpy),
    ("row by row", row_by_row),
    ("one at a time", one_at_a_time),
]

WRONG = [
    ("columns", solution(then=lambda far, rows: (far.T, rows.T)), "has the shape"),
    ("no return", lambda fake, real, k=1: None, "return statement missing"),
    ("k is not used", only_the_nearest, "has the shape [8, 1], expected [8, 3]"),
    ("stacked", solution(then=lambda far, rows: torch.stack([far, rows.to(far)])), "expected whole numbers"),
    ("negative", solution(lambda x, y: -torch.cdist(x, y), lambda d, k: d.topk(k)), "expected Euclidean distances"),
    ("first row's indices", all_rows_alike, "expected Euclidean distances to the k nearest"),
    ("lists", solution(then=lambda far, rows: (far.tolist(), rows.tolist())), "distances is a list"),
]
