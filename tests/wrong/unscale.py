"""unscale(x, feature_range=(-1, 1)): wrong and right solutions."""

import torch


def by_the_batch(x, feature_range=(-1, 1)):
    return (x - x.min()) / (x.max() - x.min())


def always_from_minus_one(x, feature_range=(-1, 1)):
    return (x + 1) / 2


def scale_again(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x * (high - low) + low


def not_divided(x, feature_range=(-1, 1)):
    return x - feature_range[0]


def not_subtracted(x, feature_range=(-1, 1)):
    return x / (feature_range[1] - feature_range[0])


def precedence(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x - low / (high - low)


def to_255(x, feature_range=(-1, 1)):
    low, high = feature_range
    return (x - low) / (high - low) * 255


def in_place(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x.sub_(low).div_(high - low)


def clamped(x, feature_range=(-1, 1)):
    return x.clamp(0, 1)


WRONG = [
    ("the batch's own extremes", by_the_batch, "minimum and maximum of this batch"),
    ("the range is ignored", always_from_minus_one, "feature_range is ignored"),
    ("scale itself", scale_again, "scale itself"),
    ("no division", not_divided, "not divided by the width"),
    ("no subtraction", not_subtracted, "minimum is not subtracted"),
    ("brackets forgotten", precedence, "brackets"),
    ("ends in 0..255", to_255, "0..255"),
    ("in place", in_place, "changed x itself"),
    ("clamped", clamped, "clamps"),
]


def safe_for_show(x, feature_range=(-1, 1)):
    low, high = feature_range
    return ((x - low) / (high - low)).clamp(0, 1)


def as_a_line(x, feature_range=(-1, 1)):
    slope = 1 / (feature_range[1] - feature_range[0])
    return torch.add(x * slope, -feature_range[0] * slope)


RIGHT = [("clamped at the ends only", safe_for_show), ("slope and offset", as_a_line)]
