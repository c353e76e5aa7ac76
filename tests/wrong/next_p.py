"""next_p(p, r_t, target, step): wrong and right solutions."""

import numpy as np
import torch


def direction(r_t, target):
    return (r_t > target) - (r_t < target)


def clamp(p):
    return min(max(p, 0.0), 1.0)


def moving(change):
    """Clamped p + change(p, r_t, target, step)."""
    return lambda p, r_t, target, step: clamp(p + change(p, r_t, target, step))


def no_clamp(p, r_t, target, step):
    return p + step * direction(r_t, target)


def clamped_above(p, r_t, target, step):
    return min(p + step * direction(r_t, target), 1.0)


def clamped_below(p, r_t, target, step):
    return max(p + step * direction(r_t, target), 0.0)


def down_otherwise(p, r_t, target, step):
    if r_t > target:
        p += step
    else:
        p -= step
    return clamp(p)


def up_otherwise(p, r_t, target, step):
    return clamp(p - step if r_t < target else p + step)


def both_branches(p, r_t, target, step):
    if r_t > target:
        p = min(p + step, 1.0)
    if r_t <= target:
        p = max(p - step, 0.0)
    return p


def clamped_first(p, r_t, target, step):
    return clamp(p) + step * direction(r_t, target)


def stops_before_the_end(p, r_t, target, step):
    moved = p + step * direction(r_t, target)
    return moved if 0 <= moved <= 1 else p


def change_only(p, r_t, target, step):
    return step * direction(r_t, target)


def factor(p, r_t, target, step):
    return clamp(p * (1 + step * direction(r_t, target)))


def below_the_target(p, r_t, target, step):
    return min(max(p + step * direction(r_t, target), 0.0), max(target, 0.0))


def at_most_08(p, r_t, target, step):
    return min(max(p + step * direction(r_t, target), 0.0), 0.8)


def modulo(p, r_t, target, step):
    return (p + step * direction(r_t, target)) % 1


def clamped_to_percent(p, r_t, target, step):
    return min(max(p + step * direction(r_t, target), 0.0), 100.0)


def tolerant(p, r_t, target, step):
    return p if abs(r_t - target) < 0.05 else clamp(p + step * direction(r_t, target))


def as_text(p, r_t, target, step):
    return f"{clamp(p + step * direction(r_t, target)):.3f}"


def nothing(p, r_t, target, step):
    p += step * direction(r_t, target)


WRONG = [
    ("wrong way", moving(lambda p, r, t, s: -s * direction(r, t)), "it goes the wrong way"),
    ("no clamp", no_clamp, "p leaves [0, 1]"),
    ("in proportion", moving(lambda p, r, t, s: s * (r - t)), "in proportion to r_t - target"),
    ("step ignored", moving(lambda p, r, t, s: 0.01 * direction(r, t)), "step is not used"),
    ("clamped above", clamped_above, "p falls below 0"),
    ("clamped below", clamped_below, "p rises above 1"),
    ("clamped first", clamped_first, "p leaves [0, 1]"),
    ("percent", clamped_to_percent, "p rises above 1"),
    ("down otherwise", down_otherwise, "at r_t equal to the target it moves down"),
    ("both branches", both_branches, "at r_t equal to the target it moves down"),
    ("up otherwise", up_otherwise, "at r_t equal to the target it moves up"),
    ("r_t clipped", moving(lambda p, r, t, s: s * direction(max(r, 0), t)), "a negative r_t is taken for 0"),
    ("size of r_t", moving(lambda p, r, t, s: s * direction(abs(r), t)), "its sign is lost"),
    ("proportional to r_t", moving(lambda p, r, t, s: s * r), "in proportion to r_t, expected by step"),
    ("compared with 0", moving(lambda p, r, t, s: s * direction(r, 0)), "r_t is compared with 0"),
    ("p with the target", moving(lambda p, r, t, s: s * direction(p, t)), "p is compared with the target"),
    ("r_t with p", moving(lambda p, r, t, s: s * direction(r, p)), "r_t is compared with p"),
    ("only up", moving(lambda p, r, t, s: s * (r > t)), "it only ever rises"),
    ("only down", moving(lambda p, r, t, s: -s * (r < t)), "it only ever falls"),
    ("half a step", moving(lambda p, r, t, s: s / 2 * direction(r, t)), "by half a step"),
    ("two steps", moving(lambda p, r, t, s: 2 * s * direction(r, t)), "by two steps"),
    ("jumps", moving(lambda p, r, t, s: direction(r, t)), "p jumps to 0 or 1"),
    ("stops before the end", stops_before_the_end, "does not move at all where step leads beyond"),
    ("change only", change_only, "this is the change of p"),
    ("factor", factor, "p is multiplied by 1 + step"),
    ("below the target", below_the_target, "p is held below the target"),
    ("at most 0.8", at_most_08, "never below 0 or above 1"),
    ("modulo", modulo, "at the other end"),
    ("tolerant", tolerant, "expected p + step if r_t > target"),
    ("unchanged", lambda p, r_t, target, step: p, "p came back as it was"),
    ("text", as_text, "returned a str"),
    ("no return", nothing, "return statement missing"),
]


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


RIGHT = [("branches", by_branches), ("numpy", by_numpy), ("torch", by_torch)]
