"""eq_t(still, moved, shift): more wrong solutions, and right ones that are written in other ways."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from exercises.evaluation.eq_t import cut, decibels, mse, right, solution


def by_roll_and_mask(still, moved, shift):
    dx, dy = shift
    known = torch.zeros(still.shape[2:], dtype=torch.bool)
    known[max(0, dy) : len(known) + min(0, dy), max(0, dx) : known.shape[1] + min(0, dx)] = True
    away = (still.roll((dy, dx), (2, 3)) - moved)[..., known]
    return 10 * torch.log10(4 / away.pow(2).mean())


def by_numpy(still, moved, shift):
    """The moved pictures brought back."""
    (dx, dy), a, b = shift, still.double().numpy(), moved.double().numpy()
    b = np.roll(b, (-dy, -dx), (2, 3))
    rows = slice(0, a.shape[2] - dy) if dy >= 0 else slice(-dy, None)
    columns = slice(0, a.shape[3] - dx) if dx >= 0 else slice(-dx, None)
    error = np.mean((a - b)[:, :, rows, columns] ** 2)
    return np.inf if error == 0 else 20 * np.log10(2 / np.sqrt(error))


def by_pixels(still, moved, shift):
    (dx, dy), (h, w) = shift, still.shape[2:]
    total = count = 0.0
    for y in range(max(0, dy), min(h, h + dy)):
        for x in range(max(0, dx), min(w, w + dx)):
            away = moved[:, :, y, x].double() - still[:, :, y - dy, x - dx].double()
            total, count = total + float(away.square().sum()), count + away.numel()
    return math.inf if total == 0 else 10 * math.log10(4 * count / total)


def by_nan(still, moved, shift):
    """What comes in from outside is NaN, and left out."""
    dx, dy = shift
    h, w = still.shape[2:]
    x, y = abs(dx), abs(dy)
    wide = F.pad(still.double(), (x, x, y, y), value=math.nan)
    square = (wide[..., y - dy : y - dy + h, x - dx : x - dx + w] - moved.double()).square()
    return (10 * (math.log10(4) - torch.log10(square.nanmean()))).item()


def by_narrow(still, moved, shift):
    """One axis after the other."""
    for axis, by in ((3, shift[0]), (2, shift[1])):
        length = still.shape[axis] - abs(by)
        still, moved = still.narrow(axis, max(0, -by), length), moved.narrow(axis, max(0, by), length)
    error = F.mse_loss(still, moved)
    return 10 * torch.log10(4 / error) if error > 0 else torch.tensor(torch.inf)


def one_each(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return decibels((a - b).square().mean((2, 3)))


def by_swapped_sides(still, moved, dx, dy):
    """still loses what moved should."""
    return tuple(reversed(cut(moved, still, dx, dy)))


def in_place(still, moved, shift):
    still.clamp_(0, 1)
    return right(still, moved, shift)


RIGHT = [
    ("cut", right),
    ("masked", by_roll_and_mask),
    ("brought back", by_numpy),
    ("pixels", by_pixels),
    ("NaN", by_nan),
    ("narrow", by_narrow),
]

WRONG = [
    ("in place", in_place, "changed still in place"),
    ("one each", one_each, "expected one number"),
    ("no return", lambda still, moved, shift: None, "return statement missing"),
    ("swapped sides", solution(by_swapped_sides), "it moves the wrong way"),
    ("the widths of a picture", solution(then=lambda e: decibels(e, 2**0.5)), "expected 10 log10(4 / MSE)"),
    ("upside down", solution(then=lambda e: 10 * torch.log10(e / 4)), "the sign is wrong"),
    ("0 for equal ones", solution(then=lambda e: decibels(e) if e > 0 else torch.zeros(())), "0 stands for infinity"),
    ("NaN for equal ones", solution(then=lambda e: decibels(e) + 0 / e), "is NaN"),
    ("only x", solution(lambda s, m, dx, dy: cut(s, m, dx, 0)), "expected 10 log10(4 / MSE)"),
    ("unequal", solution(error=lambda a, b: mse(a[..., ::2], b[..., ::2])), "expected 10 log10(4 / MSE)"),
]
