"""linear_decay(epoch, constant, decay): wrong and right solutions."""

import math

import numpy as np


def never(epoch, constant, decay):
    return 1.0


def from_the_start(epoch, constant, decay):
    return max(0.0, 1 - epoch / (constant + decay))


def over_everything(epoch, constant, decay):
    if epoch >= constant + decay:
        return 0.0
    return min(1.0, 1 - (epoch - constant) / (constant + decay))


def counted_from_one(epoch, constant, decay):
    return min(1.0, max(0.0, (constant + decay + 1 - epoch) / (decay + 1)))


def zero_in_the_last(epoch, constant, decay):
    return 1.0 if epoch < constant else max(0.0, 1 - (epoch - constant + 1) / decay)


def negative(epoch, constant, decay):
    return min(1.0, (constant + decay - epoch) / (decay + 1))


def not_limited(epoch, constant, decay):
    return max(0.0, (constant + decay - epoch) / (decay + 1))


def exponential(epoch, constant, decay):
    return 1.0 if epoch < constant else 0.5 ** (epoch - constant + 1)


def cosine(epoch, constant, decay):
    return 1.0 if epoch < constant else 0.5 * (1 + math.cos(math.pi * min(1, (epoch - constant) / decay)))


def a_step(epoch, constant, decay):
    return 1.0 if epoch < constant else 0.1 if epoch < constant + decay else 0.0


def rising(epoch, constant, decay):
    return 1.0 if epoch < constant else min(1.0, (epoch - constant) / decay)


def whole_numbers(epoch, constant, decay):
    return 1 if epoch < constant else max(0, 1 - (epoch - constant) // decay)


def of_the_rate(epoch, constant, decay):
    return 2e-4 * min(1.0, max(0.0, (constant + decay - epoch) / (decay + 1)))


def not_to_zero(epoch, constant, decay):
    return 1.0 if epoch < constant else max(0.1, (constant + decay - epoch) / (decay + 1))


def nothing(epoch, constant, decay):
    min(1.0, max(0.0, (constant + decay - epoch) / (decay + 1)))


def a_list(epoch, constant, decay):
    return [1.0] * constant


WRONG = [
    ("never", never, "never falls"),
    ("from the start", from_the_start, "subtract `constant`"),
    ("0 in the last epoch", zero_in_the_last, "at rate 0 learns nothing"),
    ("negative", negative, "a negative rate climbs"),
    ("above 1", not_limited, "expected 1 in the first"),
    ("over all epochs", over_everything, "expected over `decay`"),
    ("counted from 1", counted_from_one, "epochs are counted from 0"),
    ("exponential", exponential, "exponentially"),
    ("cosine", cosine, "by a cosine"),
    ("a step", a_step, "expected equal steps"),
    ("rising", rising, "it rises"),
    ("whole numbers", whole_numbers, "expected equal steps"),
    ("the rate itself", of_the_rate, "expected 1 in the first"),
    ("not to 0", not_to_zero, "after the last one, is 0.1, expected 0"),
    ("no return", nothing, "return statement missing"),
    ("a list", a_list, "returned a list"),
]


def one_more(epoch, constant, decay):
    """The published step: the first decaying epoch already has less."""
    return 1.0 - min(1.0, max(0, epoch + 1 - constant) / (decay + 1))


def after_it(epoch, constant, decay):
    """The other reading: the first decaying epoch still has 1."""
    return 1.0 - min(1.0, max(0, epoch - constant) / decay)


def by_cases(epoch, constant, decay):
    if epoch < constant:
        return 1
    if epoch >= constant + decay:
        return 0
    return 1 - (epoch - constant) / decay


def by_interpolation(epoch, constant, decay):
    return np.interp(epoch, [constant - 1, constant + decay], [1.0, 0.0])


RIGHT = [
    ("as published", one_more),
    ("the first decaying epoch at 1", after_it),
    ("by cases", by_cases),
    ("by interpolation", by_interpolation),
]
