"""Takes all memory there is."""

kept = []
while True:
    kept.append(bytearray(1 << 26))


def scale(x, feature_range=(-1, 1)):
    return x
