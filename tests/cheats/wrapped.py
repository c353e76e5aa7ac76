"""Wraps the package's own."""

import functools

from facegen import data


def ours(name):
    return functools.partial(getattr(data, name))


def scale(x, feature_range=(-1, 1)):
    return ours("scale")(x, feature_range)
