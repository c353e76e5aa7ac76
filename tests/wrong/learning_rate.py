"""learning_rate(progress, lr, rampup, rampdown): wrong and right solutions."""

import math

import numpy as np
import torch


def half_cosine(x):
    return 0.5 - 0.5 * math.cos(math.pi * x)


def ramps(rise=lambda x: x, fall=half_cosine, both=lambda a, b: a * b):
    """lr times both(rise, fall), of the shares of both ramps."""

    def solution(progress, lr, rampup, rampdown):
        return lr * both(rise(min(1.0, progress / rampup)), fall(min(1.0, (1 - progress) / rampdown)))

    return solution


def no_upper_end(progress, lr, rampup, rampdown):
    return lr * progress / rampup * half_cosine(min(1.0, (1 - progress) / rampdown))


def no_upper_end_of_the_fall(progress, lr, rampup, rampdown):
    return lr * min(1.0, progress / rampup) * half_cosine((1 - progress) / rampdown)


def falls_from_rampdown(progress, lr, rampup, rampdown):
    share = (progress - rampdown) / (1 - rampdown) if rampdown < 1 else 1e9 * (progress - 1)
    return lr * min(1, progress / rampup) * (0.5 + 0.5 * math.cos(math.pi * min(max(share, 0), 1)))


def falls_all_the_time(progress, lr, rampup, rampdown):
    return lr * min(1.0, progress / rampup) * half_cosine(1 - progress)


def exchanged(progress, lr, rampup, rampdown):
    return ramps()(progress, lr, rampdown, rampup)


def no_lr(progress, lr, rampup, rampdown):
    return ramps()(progress, 1.0, rampup, rampdown)


def in_pieces(progress, lr, rampup, rampdown):
    if progress < rampup:
        return lr * progress / rampup
    if progress > 1 - rampdown:
        return lr * half_cosine((1 - progress) / rampdown)
    return lr


def not_to_zero(progress, lr, rampup, rampdown):
    return max(ramps()(progress, lr, rampup, rampdown), 0.1 * lr * min(1.0, progress / rampup))


def nothing(progress, lr, rampup, rampdown):
    ramps()(progress, lr, rampup, rampdown)


def several(progress, lr, rampup, rampdown):
    return torch.linspace(0, lr, 5)


def in_steps(progress, lr, rampup, rampdown):
    return lr * min(1, progress // rampup) * half_cosine(min(1, (1 - progress) / rampdown))


WRONG = [
    ("constant", lambda progress, lr, rampup, rampdown: lr, "it stays at lr"),
    ("no lr", no_lr, "lr is not used"),
    ("no rise", ramps(rise=lambda x: 1.0), "the rise is missing"),
    ("no fall", ramps(fall=lambda x: 1.0), "the fall is missing"),
    ("straight fall", ramps(fall=lambda x: x), "it falls along a straight line"),
    ("cosine rise", ramps(rise=half_cosine), "it rises along a cosine"),
    ("sine", ramps(fall=lambda x: math.sin(math.pi / 2 * x)), "a quarter of a wave"),
    ("quarter cosine", ramps(fall=lambda x: 1 - math.cos(math.pi / 2 * x)), "expected half of one, 0.5"),
    ("upside down", ramps(fall=lambda x: 0.5 + 0.5 * math.cos(math.pi * x)), "the fall is upside down"),
    ("rise upside down", ramps(rise=lambda x: 1 - x), "the rise is upside down"),
    ("no half", ramps(fall=lambda x: 1 - math.cos(math.pi * x)), "the half is missing"),
    ("exchanged", exchanged, "rampup and rampdown changed places"),
    ("from rampdown on", falls_from_rampdown, "the fall begins at rampdown"),
    ("all the time", falls_all_the_time, "it falls all the time"),
    ("no upper end", no_upper_end, "no upper end for the rise"),
    ("no upper end of the fall", no_upper_end_of_the_fall, "no upper end for the fall"),
    ("lower", ramps(both=min), "the lower of the two counts"),
    ("sum", ramps(both=lambda a, b: a + b), "the two are added"),
    ("no pi", ramps(fall=lambda x: 0.5 - 0.5 * math.cos(x)), "pi is missing"),
    ("2 pi", ramps(fall=lambda x: 0.5 - 0.5 * math.cos(2 * math.pi * x)), "2 pi in place of pi"),
    ("degrees", ramps(fall=lambda x: 0.5 - 0.5 * math.cos(180 * x)), "the cosine gets degrees"),
    ("not to 0", not_to_zero, "the fall does not reach 0"),
    ("in pieces", in_pieces, "expected lr * min(1, progress / rampup)"),
    ("whole division", in_steps, "expected lr * min(1, progress / rampup)"),
    ("several", several, "expected the rate as one number"),
    ("no return", nothing, "return statement missing"),
]


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


RIGHT = [
    ("product", ramps()),
    ("squared sine", by_sine),
    ("conditions", by_conditions),
    ("interp", by_interpolation),
    ("tensor", by_tensor),
]
