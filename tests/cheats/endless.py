"""Never returns."""


def scale(x, feature_range=(-1, 1)):
    while True:
        x = x + 0
