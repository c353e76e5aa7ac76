"""kid(real, fake): more wrong solutions, and right ones that are written in other ways."""

import numpy as np

from exercises.evaluation.kid import kernel, right


def by_loops(real, fake):
    a, b = real.double().numpy(), fake.double().numpy()
    n, m = len(a), len(b)

    def k(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    own = sum(k(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(k(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(k(x, y) for x in a for y in b) / (n * m)


def by_fill(real, fake):
    kr, kf = kernel(real, real).fill_diagonal_(0), kernel(fake, fake).fill_diagonal_(0)
    n, m = len(real), len(fake)
    return kr.sum() / n / (n - 1) + kf.sum() / m / (m - 1) - 2 * kernel(real, fake).sum() / n / m


RIGHT = [("trace", right), ("loops", by_loops), ("filled", by_fill)]
WRONG = [("as a list", lambda real, fake: [right(real, fake)], "expected one number")]
