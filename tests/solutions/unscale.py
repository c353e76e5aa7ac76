"""unscale(x, feature_range=(-1, 1)): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.ranges import mapped


def as_a_line(x, feature_range=(-1, 1)):
    slope = 1 / (feature_range[1] - feature_range[0])
    return torch.add(x * slope, -feature_range[0] * slope)


def by_scale(x, feature_range=(-1, 1)):
    low, high = feature_range
    zero, one = -low / (high - low), (1 - low) / (high - low)  # scale onto the range whose ends are unscaled 0 and 1
    return x * (one - zero) + zero


def in_place_without_underscore(x, feature_range=(-1, 1)):
    x -= feature_range[0]
    return x / (feature_range[1] - feature_range[0])


RIGHT = [
    ("clamped at the ends only", mapped(lambda x, a, b: ((x - a) / (b - a)).clamp(0, 1))),
    ("slope and offset", as_a_line),
    ("scale with other ends", by_scale),
    ("from the middle", mapped(lambda x, a, b: (x - (a + b) / 2) / (b - a) + 0.5)),
]
WRONG = [
    ("-=", in_place_without_underscore, "changed x in place"),
    ("the default alone", lambda x, feature_range=(-1, 1): x * 0.5 + 0.5, "feature_range is ignored"),
    ("no second argument", lambda x: (x + 1) / 2, "signature"),
    ("minus the pair", lambda x, feature_range=(-1, 1): (x - feature_range) / 2, "feature_range is a pair"),
    ("divided by the minimum", mapped(lambda x, a, b: (x - a) / a), "divides by something that is 0"),
    ("from the symmetric range", mapped(lambda x, a, b: (x / b + 1) / 2), "expected (x - a) / (b - a)"),
    ("only divided by the maximum", mapped(lambda x, a, b: x / b), "expected (x - a) / (b - a)"),
    ("as bytes", mapped(lambda x, a, b: ((x - a) / (b - a) * 255).to(torch.uint8)), "no rounding"),
]
