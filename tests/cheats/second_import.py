"""Imports the package's own once more, under another name."""

import importlib

twin = importlib.import_module("face" + "gen.data")


def scale(x, feature_range=(-1, 1)):
    return getattr(twin, "sc" + "ale")(x, feature_range)
