"""scale(x, feature_range=(-1, 1)): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch

from exercises.ranges import mapped


def in_place_on_a_copy(x, feature_range=(-1, 1)):
    y = x.clone()
    y *= feature_range[1] - feature_range[0]
    y += feature_range[0]
    return y


def by_numpy(x, feature_range=(-1, 1)):
    low, high = (float(end) for end in feature_range)
    return torch.from_numpy(np.interp(x.numpy(), (0, 1), (low, high))).to(x.dtype)


def by_lerp(x, feature_range=(-1, 1)):
    return torch.lerp(*(torch.full_like(x, end) for end in feature_range), x)


def nothing_returned(x, feature_range=(-1, 1)):
    low, high = feature_range
    x = x * (high - low) + low


def half_in_place(x, feature_range=(-1, 1)):
    x *= feature_range[1] - feature_range[0]
    return x + feature_range[0]


RIGHT = [
    ("weights of the ends", mapped(lambda x, a, b: (1 - x) * a + x * b)),
    ("torch.lerp", by_lerp),
    ("a copy in place", in_place_on_a_copy),
    ("numpy.interp", by_numpy),
    ("from the middle", mapped(lambda x, a, b: (x - 0.5) * (b - a) + (a + b) / 2)),
]
WRONG = [
    ("no return", nothing_returned, "return statement missing"),
    ("no second argument", lambda x: x * 2 - 1, "signature"),
    ("half in place", half_in_place, "changed x in place"),
    ("an array", mapped(lambda x, a, b: x.numpy() * (b - a) + a), "is a ndarray, expected a tensor"),
    ("one row of the batch", mapped(lambda x, a, b: (x * (b - a) + a)[0]), "expected the same shape"),
    ("bytes", mapped(lambda x, a, b: (x * (b - a) + a).to(torch.uint8)), "no rounding"),
    ("in double precision", mapped(lambda x, a, b: x.double() * (b - a) + a), "expected torch.float32"),
    ("the ends exchanged", mapped(lambda x, b, a: x * (b - a) + a), "upside down"),
    ("by 256", mapped(lambda x, a, b: x / 256 * (b - a) + a), "expected x * (max - min) + min"),
    ("clamped to [-1, 1] at the end", mapped(lambda x, a, b: (x * (b - a) + a).clamp(-1, 1)), "expected x * (max - min)"),
    ("times the pair", lambda x, feature_range=(-1, 1): x * feature_range - 1, "feature_range is a pair"),
]
