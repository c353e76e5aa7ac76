"""learning_rate(progress, lr, rampup, rampdown): more wrong solutions, and right ones that are written in other ways."""

import math

import numpy as np
import torch

from exercises.projection.learning_rate import OVERLAP, falling, half_cosine, ramps, right


def by_sine(progress, lr, rampup, rampdown):
    fall = math.sin(math.pi / 2 * min(1, (1 - progress) / rampdown)) ** 2
    return lr * fall * min(1, progress / rampup)


def by_conditions(progress, lr, rampup, rampdown):
    rate = lr
    if progress < rampup:
        rate *= progress / rampup
    if progress > 1 - rampdown:
        rate *= (1 + math.cos(math.pi * (progress - (1 - rampdown)) / rampdown)) / 2
    return rate


def by_interpolation(progress, lr, rampup, rampdown):
    rise = np.interp(progress, [0, rampup], [0, 1])
    return lr * rise * (1 - np.cos(np.pi * np.interp(progress, [1 - rampdown, 1], [1, 0]))) / 2


def by_tensor(progress, lr, rampup, rampdown):
    progress = torch.tensor(progress, dtype=torch.float64)
    fall = 0.5 - 0.5 * torch.cos(torch.pi * ((1 - progress) / rampdown).clamp(max=1))
    return lr * (progress / rampup).clamp(max=1) * fall


def by_float32(progress, lr, rampup, rampdown):
    x = torch.tensor([(1 - progress) / rampdown, progress / rampup]).clamp(max=1)
    return (lr * torch.sin(torch.pi / 2 * x[:1]).square() * x[1:]).numpy()


def in_pieces(progress, lr, rampup, rampdown):
    if progress < rampup:
        return lr * progress / rampup
    if progress > 1 - rampdown:
        return lr * half_cosine((1 - progress) / rampdown)
    return lr


def in_pieces_from_the_end(progress, lr, rampup, rampdown):
    if progress > 1 - rampdown:
        return lr * half_cosine((1 - progress) / rampdown)
    elif progress < rampup:
        return lr * progress / rampup
    else:
        return lr


def whole_steps(progress, lr, rampup, rampdown):
    return lr * min(1, progress // rampup) * half_cosine(min(1, (1 - progress) / rampdown))


def with_a_list(progress, lr, rampup, rampdown):
    return [right(progress, lr, rampup, rampdown)]


RULE = "expected lr * min(1, progress / rampup)"
RIGHT = [
    ("product", right),
    ("squared sine", by_sine),
    ("conditions", by_conditions),
    ("interp", by_interpolation),
    ("tensor", by_tensor),
    ("float32", by_float32),
]
WRONG = [
    ("in pieces", in_pieces, OVERLAP),
    ("in pieces, the fall first", in_pieces_from_the_end, OVERLAP),
    ("whole division", whole_steps, "// leaves a whole number of the rise"),
    ("cosine of the rest", ramps(fall=lambda x: math.cos(math.pi / 2 * (1 - min(1, x)))), "a quarter of a wave"),
    ("squared rise", ramps(rise=lambda x: min(1, x) ** 2), RULE),
    ("squared cosine", falling(lambda x: half_cosine(x) ** 2), RULE),
    ("one minus", falling(lambda x: 1 - half_cosine(x)), "the fall is upside down"),
    ("minus in the formula", falling(lambda x: 0.5 + 0.5 * math.cos(math.pi * x)), "the fall is upside down"),
    ("mean of the ramps", ramps(join=lambda rise, fall: (rise + fall) / 2), RULE),
    ("a list", with_a_list, "expected one number"),
]
