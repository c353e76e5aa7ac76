"""next_p(p, r_t, target, step): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch

from exercises.stylegan.next_p import change, sign


def by_branches(p, r_t, target, step):
    if r_t > target:
        return min(p + step, 1.0)
    if r_t < target:
        return max(p - step, 0.0)
    return p


def by_numpy(p, r_t, target, step):
    return np.clip(p + np.sign(r_t - target) * step, 0, 1)


def by_torch(p, r_t, target, step):
    return (torch.tensor(p) + step * torch.sign(torch.tensor(r_t - target))).clamp(0, 1)


def by_sorting(p, r_t, target, step):
    """The middle one of the two ends and where the step leads."""
    return sorted((0.0, p + step * ((r_t > target) - (r_t < target)), 1.0))[1]


def no_last_return(p, r_t, target, step):
    if r_t > target:
        return min(p + step, 1.0)
    if r_t < target:
        return max(p - step, 0.0)


def one_sided_clamps(p, r_t, target, step):
    """The ends are exchanged."""
    return max(min(p + change(p, r_t, target, step), 0.0), 1.0)


def both_branches(p, r_t, target, step):
    if r_t > target:
        p = min(p + step, 1.0)
    if r_t <= target:
        p = max(p - step, 0.0)
    return p


def clamped_first(p, r_t, target, step):
    return min(max(p, 0.0), 1.0) + change(p, r_t, target, step)


def tolerant(p, r_t, target, step):
    return p if abs(r_t - target) < 0.05 else by_branches(p, r_t, target, step)


def rounded(p, r_t, target, step):
    return round(by_branches(p, r_t, target, step), 2)


RIGHT = [("branches", by_branches), ("numpy", by_numpy), ("torch", by_torch), ("sorted", by_sorting)]
WRONG = [
    ("torch.sign", lambda p, r, t, s: p + s * torch.sign(r - t), "these are plain numbers"),
    ("no return at the target", no_last_return, "p is None"),
    ("ends exchanged", one_sided_clamps, "never below 0 or above 1"),
    ("both branches", both_branches, "at r_t equal to the target it moves down"),
    ("clamped first", clamped_first, "p leaves [0, 1]"),
    ("percent", lambda p, r, t, s: min(max(p + s * sign(r - t), 0.0), 100.0), "p rises above 1"),
    ("at most 0.8", lambda p, r, t, s: min(max(p + s * sign(r - t), 0.0), 0.8), "never below 0 or above 1"),
    ("tolerant", tolerant, "is 0."),
    ("rounded", rounded, "expected p + step if r_t > target"),
    ("in a tuple", lambda p, r, t, s: (by_branches(p, r, t, s),), "expected one number"),
]
