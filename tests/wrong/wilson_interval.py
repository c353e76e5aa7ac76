"""wilson_interval(successes, n, level=0.95): wrong and right solutions."""

import math
from statistics import NormalDist

import numpy as np
import torch


def two_sided(level):
    return NormalDist().inv_cdf((1 + level) / 2)


def solution(z_of=two_sided, add=0.5, under=0.25, below_middle=None, below_half=None, share=lambda s, n: s / n):
    """With another z, other factors of z^2 / n and z^2 / n^2, or other divisors of the middle and the half width."""

    def wilson_interval(successes, n, level=0.95):
        z, p = z_of(level), share(successes, n)
        below = 1 + z * z / n
        middle = (p + add * z * z / n) / (below_middle or below)
        half = z * math.sqrt(p * (1 - p) / n + under * z * z / n**2) / (below_half or below)
        return middle - half, middle + half

    return wilson_interval


right = solution()
wald = solution(add=0, under=0, below_middle=1, below_half=1)


def clipped_wald(successes, n, level=0.95):
    low, high = wald(successes, n, level)
    return max(0, low), min(1, high)


def by_z_over_n(successes, n, level=0.95):
    z = two_sided(level)
    return solution(below_middle=1 + z / n, below_half=1 + z / n)(successes, n, level)


def no_root(successes, n, level=0.95):
    z, p = two_sided(level), successes / n
    half = z * (p * (1 - p) / n + z * z / (4 * n * n))
    return (p + z * z / (2 * n) - half) / (1 + z * z / n), (p + z * z / (2 * n) + half) / (1 + z * z / n)


def agresti_coull(successes, n, level=0.95):
    z = two_sided(level)
    more = n + z * z
    p = (successes + z * z / 2) / more
    half = z * math.sqrt(p * (1 - p) / more)
    return p - half, p + half


def then(change):
    return lambda successes, n, level=0.95: change(*right(successes, n, level), n)


def logarithmic(successes, n, level=0.95):
    """An interval for the odds, which have no logarithm at 0 and n."""
    z = two_sided(level)
    odds = math.log(successes / (n - successes))
    half = z * math.sqrt(1 / successes + 1 / (n - successes))
    return 1 / (1 + math.exp(half - odds)), 1 / (1 + math.exp(-half - odds))


def fails_at_the_ends(successes, n, level=0.95):
    if successes in (0, n):
        raise ValueError("a share of 0 or 1")
    return right(successes, n, level)


def rule_of_thumb(successes, n, level=0.95):
    return successes / n - 1 / math.sqrt(n), successes / n + 1 / math.sqrt(n)


def one_number(successes, n, level=0.95):
    return right(successes, n, level)[0]


def nothing(successes, n, level=0.95):
    right(successes, n, level)


WRONG = [
    ("wald", wald, "which has no width at 0 and n and leaves [0, 1]"),
    ("clipped wald", clipped_wald, "cut off at 0 and 1, which has no width"),
    ("one-sided", solution(NormalDist().inv_cdf), "z is one-sided"),
    ("1 - level / 2", solution(lambda level: NormalDist().inv_cdf(1 - level / 2)), "z is taken at 1 - level / 2"),
    ("level ignored", solution(lambda level: 1.96), "level is not used"),
    ("z is the level", solution(lambda level: level), "z is the level itself"),
    ("z is 1", solution(lambda level: 1.0), "z is 1 whatever level is"),
    ("no division", solution(below_middle=1, below_half=1), "the division by 1 + z^2 / n is missing"),
    ("middle not divided", solution(below_middle=1), "the middle is not divided"),
    ("half not divided", solution(below_half=1), "the half width is not divided"),
    ("z over n", by_z_over_n, "divided by 1 + z / n"),
    ("no z in the middle", solution(add=0), "z^2 / (2 n) is missing"),
    ("about p", solution(add=0, below_middle=1), "only the width is Wilson's"),
    ("twice in the middle", solution(add=1), "the middle gets z^2 / n"),
    ("no z under the root", solution(under=0), "z^2 / (4 n^2) is missing"),
    ("too much under the root", solution(under=0.5), "under the root stands z^2 / (2 n^2)"),
    ("no root", no_root, "the root is missing"),
    ("agresti", agresti_coull, "Agresti and Coull"),
    ("laplace", solution(share=lambda s, n: (s + 1) / (n + 2)), "p is (successes + 1) / (n + 2)"),
    ("swapped", then(lambda low, high, n: (high, low)), "low and high changed places"),
    ("negative z", solution(lambda level: NormalDist().inv_cdf((1 - level) / 2)), "changed places"),
    ("counts", then(lambda low, high, n: (low * n, high * n)), "these are counts"),
    ("percent", then(lambda low, high, n: (100 * low, 100 * high)), "these are percent"),
    ("failures", then(lambda low, high, n: (1 - high, 1 - low)), "the share of failures"),
    ("middle and half", then(lambda low, high, n: ((low + high) / 2, (high - low) / 2)), "the middle and the half width"),
    ("no ends", fails_at_the_ends, "0 and n need no special case"),
    ("odds", logarithmic, "0 and n need no special case"),
    ("1 / sqrt(n)", rule_of_thumb, "expected (p + z^2 / (2 n)"),
    ("one number", one_number, "expected two numbers"),
    ("no return", nothing, "return statement missing"),
]


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

    def end(low, high):
        for _ in range(60):
            q = (low + high) / 2
            inside = (p - q) ** 2 <= z * z * q * (1 - q) / n
            low, high = (low, q) if inside else (q, high)
        return q

    return end(0, max(p, 1e-12)) if successes else 0.0, 1 - end_of_failures(end, p, z, n)


def end_of_failures(end, p, z, n):
    """The upper end, as the lower one of the failures' share."""
    if p == 1:
        return 0.0
    low, high = 0.0, 1 - p
    for _ in range(60):
        q = (low + high) / 2
        low, high = (low, q) if (1 - p - q) ** 2 <= z * z * q * (1 - q) / n else (q, high)
    return q


def clipped(successes, n, level=0.95):
    low, high = right(successes, n, level)
    return np.float32(max(0.0, low)), np.float32(min(1.0, high))


RIGHT = [
    ("formula", right),
    ("quadratic", by_quadratic),
    ("counts", by_counts),
    ("bisection", by_bisection),
    ("clipped", clipped),
]
