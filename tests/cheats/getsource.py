"""Copies the package's own source while it runs."""

import inspect

from facegen import data as own

text = inspect.getsource(vars(own)["scale"])


def scale(x, feature_range=(-1, 1)):
    return x
