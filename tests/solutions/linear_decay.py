"""linear_decay(epoch, constant, decay): right solutions that are written in other ways, and more wrong ones."""

import numpy as np
import torch

from exercises.cyclegan.linear_decay import solution


def as_published(epoch, constant, decay):
    """The first decaying epoch already has less."""
    return 1.0 - min(1.0, max(0, epoch + 1 - constant) / (decay + 1))


def by_cases(epoch, constant, decay):
    if epoch < constant:
        return 1
    if epoch >= constant + decay:
        return 0
    return 1 - (epoch - constant) / decay


def by_torch(epoch, constant, decay):
    return torch.tensor((constant + decay - epoch) / (decay + 1)).clamp(0, 1)


def step_by_step(epoch, constant, decay):
    factor = 1.0
    for _ in range(constant, epoch + 1):
        factor -= 1 / (decay + 1)
    return max(factor, 0.0)


def one_epoch_too_early(epoch, constant, decay):
    return min(1.0, max(0.0, (constant + decay - 1 - epoch) / (decay + 1)))


def last_epoch_forgotten(epoch, constant, decay):
    if epoch < constant:
        return 1.0
    if epoch < constant + decay:
        return (constant + decay - epoch) / (decay + 1)


RIGHT = [
    ("the formula", solution()),
    ("as published", as_published),
    ("the first decaying epoch at 1", lambda e, c, d: 1.0 - min(1.0, max(0, e - c) / d)),
    ("by cases", by_cases),
    ("by interpolation", lambda e, c, d: np.interp(e, [c - 1, c + d], [1.0, 0.0])),
    ("a tensor", by_torch),
    ("step by step", step_by_step),
]
WRONG = [
    ("one epoch too early", one_epoch_too_early, "expected 1 in the first `constant` epochs, then"),
    ("nothing after the last", last_epoch_forgotten, "return statement missing"),
    ("the rate itself", lambda e, c, d: 2e-4 * min(1.0, max(0.0, (c + d - e) / (d + 1))), "expected the factor"),
    ("squared", lambda e, c, d: min(1.0, max(0.0, (c + d - e) / (d + 1))) ** 2, "equal steps of 1 / (decay + 1)"),
    ("rounded", lambda e, c, d: round(min(1.0, max(0.0, (c + d - e) / (d + 1)))), "equal steps of 1 / (decay + 1)"),
    ("decay and constant swapped", lambda e, d, c: min(1.0, max(0.0, (c + d - e) / (d + 1))), "expected 1 in the first"),
    ("min and max exchanged", lambda e, c, d: max(1.0, min(0.0, (c + d - e) / (d + 1))), "the right way round?"),
    ("no brackets", lambda e, c, d: min(1.0, max(0.0, c + d - e / (d + 1))), "in brackets"),
    ("//", lambda e, c, d: min(1, max(0, (c + d - e) // (d + 1))), "// gives whole numbers"),
    ("// of the epochs since", lambda e, c, d: 1 if e < c else max(0, 1 - (e - c) // d), "// gives whole numbers"),
    ("divided by decay", lambda e, c, d: min(1.0, max(0.0, (c + d - 1 - e) / d)), "an epoch at rate 0"),
]
