"""wilson_interval(successes, n, level=0.95): more wrong solutions, and right ones that are written in other ways."""

import math
from statistics import NormalDist

import numpy as np
import torch

from exercises.evaluation.wilson_interval import right, solution, two_sided


def by_quadratic(successes, n, level=0.95):
    """The two shares that lie z standard deviations from what was seen: roots of a quadratic."""
    z, p = two_sided(level), successes / n
    return sorted(np.roots([1 + z * z / n, -(2 * p + z * z / n), p * p]).real)


def by_counts(successes, n, level=0.95):
    z = torch.special.ndtri(torch.tensor((1 + level) / 2, dtype=torch.float64))
    half = z * torch.sqrt(successes * (n - successes) / n + z**2 / 4)
    return (successes + z**2 / 2 - half) / (n + z**2), (successes + z**2 / 2 + half) / (n + z**2)


def by_bisection(successes, n, level=0.95):
    z, p = two_sided(level), successes / n

    def far(q):
        return (p - q) ** 2 > z * z * q * (1 - q) / n

    def border(outside, inside):
        for _ in range(60):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if far(middle) else (outside, middle)
        return outside

    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    return (border(0.0, centre) if successes else 0.0), (border(1.0, centre) if successes < n else 1.0)


def clipped(successes, n, level=0.95):
    low, high = right(successes, n, level)
    return np.float32(max(0.0, low)), np.float32(min(1.0, high))


def by_mirror(successes, n, level=0.95):
    """The upper end as what the failures' lower one leaves."""
    return right(successes, n, level)[0], 1 - right(n - successes, n, level)[0]


def logarithmic(successes, n, level=0.95):
    """An interval for the odds, which have no logarithm at 0 and n."""
    z = two_sided(level)
    odds = math.log(successes / (n - successes))
    half = z * math.sqrt(1 / successes + 1 / (n - successes))
    return 1 / (1 + math.exp(half - odds)), 1 / (1 + math.exp(-half - odds))


def rule_of_thumb(successes, n, level=0.95):
    return successes / n - 1 / math.sqrt(n), successes / n + 1 / math.sqrt(n)


RIGHT = [
    ("formula", right),
    ("quadratic", by_quadratic),
    ("counts", by_counts),
    ("bisection", by_bisection),
    ("clipped", clipped),
    ("mirror", by_mirror),
]

WRONG = [
    ("negative z", solution(lambda level: NormalDist().inv_cdf((1 - level) / 2)), "changed places"),
    ("odds", logarithmic, "0 and n need no special case"),
    ("1 / sqrt(n)", rule_of_thumb, "expected (p + z^2 / (2 n)"),
    ("level of 100", solution(lambda level: NormalDist().inv_cdf((1 + 100 * level) / 2)), "inv_cdf wants a probability"),
    ("z^2 / n under the root", solution(under=lambda n, z: z * z / n), "expected (p + z^2"),
    ("(z / 2 n)^2", solution(under=lambda n, z: (z / 2 * n) ** 2), "put brackets around 4 * n^2"),
    ("2 z / n in the middle", solution(add=lambda n, z: 2 * z / n), "expected (p + z^2"),
    ("three numbers", lambda successes, n, level=0.95: (*right(successes, n, level), n), "expected two numbers"),
]
