"""nearest_neighbours(fake, real, k=1): wrong and right solutions."""

import numpy as np
import torch
import torch.nn.functional as F


def nearest(d, k):
    return d.topk(k, dim=1, largest=False)


def solution(distance=torch.cdist, then=lambda far, rows: (far, rows)):
    """With another distance, or what is done with the result."""

    def nearest_neighbours(fake, real, k=1):
        return then(*nearest(distance(fake, real), k))

    return nearest_neighbours


right = solution()


def skips_one(fake, real, k=1):
    far, rows = nearest(torch.cdist(fake, real), k + 1)
    return far[:, 1:], rows[:, 1:]


def no_copies(fake, real, k=1):
    d = torch.cdist(fake, real)
    return nearest(d.masked_fill(d == 0, torch.inf), k)


def by_products(fake, real, k=1):
    """A difference of large numbers, which may round below 0."""
    squares = (fake**2).sum(1)[:, None] + (real**2).sum(1) - 2 * fake @ real.T - 1e-6
    return nearest(squares.sqrt(), k)


def unsorted(fake, real, k=1):
    d = torch.cdist(fake, real)
    rows = torch.stack([torch.tensor(sorted(row.topk(k, largest=False).indices.tolist())) for row in d])
    return d.gather(1, rows), rows


def positions(fake, real, k=1):
    far, rows = right(fake, real, k)
    return far, torch.arange(k).expand_as(rows)


def ranks(fake, real, k=1):
    d = torch.cdist(fake, real)
    return d.sort(dim=1).values[:, :k], d.argsort(dim=1).argsort(dim=1)[:, :k]


def all_sorted(fake, real, k=1):
    return torch.cdist(fake, real).sort(dim=1)


def only_indices(fake, real, k=1):
    return right(fake, real, k)[1]


def in_place(fake, real, k=1):
    fake -= real.mean(0)
    return right(fake, real - real.mean(0), k)


def along_the_fakes(fake, real, k=1):
    return torch.cdist(fake, real).topk(k, dim=0, largest=False)


def nothing(fake, real, k=1):
    right(fake, real, k)


WRONG = [
    ("squares", solution(lambda a, b: torch.cdist(a, b) ** 2), "these are squared distances"),
    ("means", solution(lambda a, b: torch.cdist(a, b) / a.shape[1] ** 0.5), "averaged over the features"),
    ("farthest", lambda fake, real, k=1: torch.cdist(fake, real).topk(k, dim=1), "these are the farthest"),
    ("one skipped", skips_one, "the nearest one is left out"),
    ("no copies", no_copies, "copies are left out, or"),
    ("farthest first", solution(then=lambda far, rows: (far.flip(1), rows.flip(1))), "the farthest of the k comes first"),
    ("unsorted", unsorted, "they are not in order"),
    ("manhattan", solution(lambda a, b: torch.cdist(a, b, p=1)), "|x| + |y|"),
    ("angles", solution(lambda a, b: 1 - F.normalize(a) @ F.normalize(b).T), "these are angles"),
    ("first reals", lambda fake, real, k=1: (torch.cdist(fake, real)[:, :k], right(fake, real, k)[1]), "the first reals"),
    ("roles", lambda fake, real, k=1: nearest(torch.cdist(real, fake), k), "a row for each fake"),
    ("along the fakes", along_the_fakes, "has the shape"),
    ("swapped", solution(then=lambda far, rows: (rows, far)), "distances and indices changed places"),
    ("squeezed", solution(then=lambda far, rows: (far.squeeze(), rows.squeeze())), "k=1 gives [n, 1]"),
    ("columns", solution(then=lambda far, rows: (far.T, rows.T)), "has the shape"),
    ("all of them", all_sorted, "the first k of each row"),
    ("float indices", solution(then=lambda far, rows: (far, rows.float())), "expected whole numbers"),
    ("from 1", solution(then=lambda far, rows: (far, rows + 1)), "they are counted from 1"),
    ("positions", positions, "the numbers 0..k-1 of the sorted list"),
    ("ranks", ranks, "argsort applied twice"),
    ("flipped indices", solution(then=lambda far, rows: (far, rows.flip(1))), "in another order than the distances"),
    ("products", by_products, "round below 0 and have no root"),
    ("arrays", solution(then=lambda far, rows: (far.numpy(), rows.numpy())), "expected a tensor"),
    ("only indices", only_indices, "returned a"),
    ("in place", in_place, "changed fake or real in place"),
    ("no return", nothing, "return statement missing"),
]


def by_sort(fake, real, k=1):
    far, rows = torch.cdist(fake, real).sort(dim=1)
    return [far[:, :k], rows[:, :k]]


def by_clamped_products(fake, real, k=1):
    a, b = fake.double(), real.double()
    squares = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T
    return nearest(squares.clamp_min(0).sqrt(), k)


def by_numpy(fake, real, k=1):
    d = np.linalg.norm(fake.numpy()[:, None] - real.numpy()[None], axis=2)
    rows = np.argsort(d, axis=1)[:, :k]
    return torch.from_numpy(np.take_along_axis(d, rows, 1)), torch.from_numpy(rows.astype(np.int32))


def by_rows(fake, real, k=1):
    found = [(real - row).norm(dim=1).topk(k, largest=False) for row in fake]
    return torch.stack([far for far, _ in found]), torch.stack([rows for _, rows in found])


RIGHT = [("topk", right), ("sort", by_sort), ("products", by_clamped_products), ("numpy", by_numpy), ("row by row", by_rows)]
