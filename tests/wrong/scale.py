"""scale(x, feature_range=(-1, 1)): wrong and right solutions."""

import torch


def by_the_batch(x, feature_range=(-1, 1)):
    low, high = feature_range
    return (x - x.min()) / (x.max() - x.min()) * (high - low) + low


def always_minus_one_to_one(x, feature_range=(-1, 1)):
    return x * 2 - 1


def times_maximum(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x * high + low


def minimum_forgotten(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x * (high - low)


def in_place(x, feature_range=(-1, 1)):
    low, high = feature_range
    x *= high - low
    x += low
    return x


def from_255(x, feature_range=(-1, 1)):
    low, high = feature_range
    return x / 255 * (high - low) + low


def nothing_returned(x, feature_range=(-1, 1)):
    low, high = feature_range
    x = x * (high - low) + low


def inverse(x, feature_range=(-1, 1)):
    low, high = feature_range
    return (x - low) / (high - low)


def rounded(x, feature_range=(-1, 1)):
    low, high = feature_range
    return (x * (high - low) + low).long()


def clamped(x, feature_range=(-1, 1)):
    return x.clamp(*feature_range)


def upside_down(x, feature_range=(-1, 1)):
    low, high = feature_range
    return high - x * (high - low)


def no_range(x):
    return x * 2 - 1


WRONG = [
    ("the batch's own extremes", by_the_batch, "minimum and maximum of this batch"),
    ("the range is ignored", always_minus_one_to_one, "feature_range is ignored"),
    ("times the maximum", times_maximum, "width max - min"),
    ("no offset", minimum_forgotten, "minimum is not added"),
    ("in place", in_place, "changed x itself"),
    ("divided by 255", from_255, "divides by 255"),
    ("no return", nothing_returned, "return statement missing"),
    ("the inverse", inverse, "the inverse, unscale"),
    ("rounded", rounded, "no rounding"),
    ("clamped", clamped, "only clamped"),
    ("upside down", upside_down, "upside down"),
    ("no second argument", no_range, "signature"),
]


def between_ends(x, feature_range=(-1, 1)):
    low, high = feature_range
    return (1 - x) * low + x * high


def by_lerp(x, feature_range=(-1, 1)):
    return torch.lerp(torch.full_like(x, feature_range[0]), torch.full_like(x, feature_range[1]), x)


def in_place_on_a_copy(x, feature_range=(-1, 1)):
    y = x.clone()
    y *= feature_range[1] - feature_range[0]
    y += feature_range[0]
    return y


RIGHT = [("weights of the ends", between_ends), ("torch.lerp", by_lerp), ("a copy in place", in_place_on_a_copy)]
