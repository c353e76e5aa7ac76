"""kid(real, fake): wrong and right solutions."""

import math

import numpy as np
import torch


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def without_diagonal(k):
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def solution(kernel=cubic, within=without_diagonal, across=torch.mean, times=2):
    """With another kernel, mean within a set, mean across, or how often that counts."""

    def kid(real, fake):
        real, fake = real.double(), fake.double()
        own = within(kernel(real, real)) + within(kernel(fake, fake))
        return float(own - times * across(kernel(real, fake)))

    return kid


right = solution()


def of_products(change):
    """With another function of the products of all pairs, and of d."""
    return solution(lambda x, y: change(x @ y.T, x.shape[1]))


def of_length_one(real, fake):
    return right(*(x / x.norm(dim=1, keepdim=True) for x in (real, fake)))


def cut_down(real, fake):
    n = min(len(real), len(fake))
    return right(real[:n], fake[:n])


def no_diagonal_across(k):
    return without_diagonal(k) if k.shape[0] == k.shape[1] else k.mean()


def of_means(real, fake):
    a, b = real.double().mean(0)[None], fake.double().mean(0)[None]
    return float(cubic(a, a) + cubic(b, b) - 2 * cubic(a, b))


def one_sum(real, fake):
    a, b = real.double(), fake.double()
    return float((cubic(a, a) + cubic(b, b) - 2 * cubic(a, b)).mean())


def transposed(real, fake):
    return right(real.T, fake.T)


def in_place(real, fake):
    real /= real.shape[1] ** 0.5
    return right(real, fake)


def rowwise(real, fake):
    a, b = real.double(), fake.double()
    return cubic(a, a).mean(1) + cubic(b, b).mean() - 2 * cubic(a, b).mean(1)


def nothing(real, fake):
    right(real, fake)


WRONG = [
    ("biased", solution(within=torch.mean), "the diagonals count, a picture's product with itself"),
    ("diagonal kept", solution(within=lambda k: k.sum() / (len(k) * (len(k) - 1))), "though it divides by n (n - 1)"),
    ("by n squared", solution(within=lambda k: (k.sum() - k.trace()) / len(k) ** 2), "divided by n^2, expected by n (n - 1)"),
    ("by n - 1", solution(within=lambda k: (k.sum() - k.trace()) / (len(k) - 1)), "divided by n - 1, expected by n (n - 1)"),
    ("cross once", solution(times=1), "counts once, expected twice"),
    ("cross added", solution(times=-2), "is added, expected subtracted"),
    ("no cross", solution(times=0), "the term of real and fake is missing"),
    ("not by d", of_products(lambda p, d: (p + 1) ** 3), "x . y is not divided by d"),
    ("root of d", of_products(lambda p, d: (p / math.sqrt(d) + 1) ** 3), "divided by the root of d"),
    ("1 before", of_products(lambda p, d: ((p + 1) / d) ** 3), "the 1 is added before the division"),
    ("no 1", of_products(lambda p, d: (p / d) ** 3), "the + 1 in the kernel is missing"),
    ("1 outside", of_products(lambda p, d: (p / d) ** 3 + 1), "the + 1 in the kernel is missing"),
    ("squared", of_products(lambda p, d: (p / d + 1) ** 2), "squared, expected cubed"),
    ("linear", of_products(lambda p, d: p / d + 1), "no power, expected cubed"),
    ("times 3", of_products(lambda p, d: (p / d + 1) * 3), "3 times, expected to the power 3"),
    ("by n", solution(lambda x, y: (x @ y.T / len(x) + 1) ** 3), "divided by the number of pictures"),
    ("gaussian", solution(lambda x, y: (-(torch.cdist(x, y) ** 2) / x.shape[1]).exp()), "this is another kernel"),
    ("length 1", of_length_one, "rows are brought to length 1"),
    ("means", of_means, "the kernel of the mean features"),
    ("root", lambda real, fake: float(torch.tensor(right(real, fake)).sqrt()), "has none"),
    ("clipped", lambda real, fake: max(0.0, right(real, fake)), "values below 0 are cut off"),
    ("absolute", lambda real, fake: abs(right(real, fake)), "the sign is taken away"),
    ("negative", lambda real, fake: -right(real, fake), "the sign is wrong"),
    ("times 1000", lambda real, fake: 1000 * right(real, fake), "it is given times 1000"),
    ("halved", lambda real, fake: right(real, fake) / 2, "half of it is returned"),
    ("no diagonal across", solution(across=no_diagonal_across), "real 1 and fake 1 are different pictures"),
    ("cut down", cut_down, "the larger set is cut down"),
    ("one sum", one_sum, "take the mean of each on its own"),
    ("transposed", transposed, "kernels are [n, n], [m, m] and [n, m]"),
    ("in place", in_place, "changed real or fake in place"),
    ("a row each", rowwise, "expected one number"),
    ("no return", nothing, "return statement missing"),
]


def by_loops(real, fake):
    def k(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    a, b = real.double().numpy(), fake.double().numpy()
    n, m = len(a), len(b)
    own = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def by_fill(real, fake):
    """The diagonal set to 0, in the features' own precision, as a tensor."""
    kr, kf = cubic(real, real).fill_diagonal_(0), cubic(fake, fake).fill_diagonal_(0)
    n, m = len(real), len(fake)
    return kr.sum() / n / (n - 1) + kf.sum() / m / (m - 1) - 2 * cubic(real, fake).sum() / n / m


def by_triangles(real, fake):
    """Each pair once."""
    means = []
    for x in (real.numpy(), fake.numpy()):
        upper = np.triu_indices(len(x), 1)
        means.append((((x @ x.T) / x.shape[1] + 1)[upper] ** 3).mean())
    across = np.power(np.einsum("id,jd->ij", real.numpy(), fake.numpy()) / real.shape[1] + 1, 3)
    return sum(means) - 2 * across.mean()


def by_all_pairs(real, fake):
    """One kernel matrix for both sets together, with weights."""
    rows, n, m = torch.cat([real, fake]).double(), len(real), len(fake)
    k = cubic(rows, rows)
    w = torch.block_diag(torch.full((n, n), 1 / n / (n - 1)), torch.full((m, m), 1 / m / (m - 1))).double().fill_diagonal_(0)
    w[:n, n:] = w[n:, :n] = -1
    w[w == -1] = -1 / n / m
    return (w[:n, :n] * k[:n, :n]).sum() + (w[n:, n:] * k[n:, n:]).sum() + 2 * (w[:n, n:] * k[:n, n:]).sum()


RIGHT = [("trace", right), ("loops", by_loops), ("filled", by_fill), ("triangles", by_triangles), ("one matrix", by_all_pairs)]
