"""eq_t(still, moved, shift): wrong and right solutions."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def cut(still, moved, dx, dy):
    """The part of both that both show."""
    h, w = still.shape[2:]
    a = still[..., max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    return a, moved[..., max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)]


def decibels(error):
    return float(10 * torch.log10(4 / error))


def solution(pair=cut, error=lambda a, b: (a - b).square().mean(), then=decibels):
    """With another part to compare, another error, or another way to decibels."""
    return lambda still, moved, shift: float(then(error(*pair(still, moved, *shift))))


right = solution()


def uncut(still, moved, dx, dy):
    return still, moved


def rolled(still, moved, dx, dy):
    return still.roll((dy, dx), (2, 3)), moved


def padded(still, moved, dx, dy):
    """Moved into an empty picture."""
    a, _ = cut(still, moved, dx, dy)
    return F.pad(a, (max(0, dx), max(0, -dx), max(0, dy), max(0, -dy))), moved


def inner(still, moved, dx, dy):
    """A border left out on all sides."""
    x, y, (h, w) = abs(dx), abs(dy), still.shape[2:]
    return tuple(p[..., y : h - y, x : w - x] for p in rolled(still, moved, dx, dy))


def widest(still, moved, dx, dy):
    m, (h, w) = max(abs(dx), abs(dy)), still.shape[2:]
    return tuple(p[..., m : h - m, m : w - m] for p in rolled(still, moved, dx, dy))


def whole_mean(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return decibels((a - b).square().sum() / still.numel())


def by_negative_ends(still, moved, shift):
    """Right for dx and dy above 0 only."""
    dx, dy = shift
    return decibels((still[..., :-dy, :-dx] - moved[..., dy:, dx:]).square().mean())


def by_positive_ends(still, moved, shift):
    """Right for dx and dy of 0 and more."""
    dx, dy = shift
    h, w = still.shape[2:]
    return decibels((still[..., : h - dy, : w - dx] - moved[..., dy:, dx:]).square().mean())


def absolute_shift(still, moved, shift):
    return right(still, moved, tuple(abs(s) for s in shift))


def mean_of_pictures(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return float((10 * torch.log10(4 / (a - b).square().mean((1, 2, 3)))).mean())


def guarded(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return decibels((a - b).square().mean() + 1e-8)


def by_math(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return 10 * math.log10(4 / float((a - b).square().mean()))


def hundred_if_equal(still, moved, shift):
    value = right(still, moved, shift)
    return 100.0 if math.isinf(value) else value


def in_place(still, moved, shift):
    still.clamp_(0, 1)
    return right(still, moved, shift)


def one_each(still, moved, shift):
    a, b = cut(still, moved, *shift)
    return 10 * torch.log10(4 / (a - b).square().mean((2, 3)))


def nothing(still, moved, shift):
    right(still, moved, shift)


WRONG = [
    ("not moved", solution(uncut), "not moved before they are compared"),
    ("rolled", solution(rolled), "torch.roll's pixels from the other side count"),
    ("x and y", solution(lambda s, m, dx, dy: cut(s, m, dy, dx)), "dx and dy changed places: the last axis is x"),
    ("x and y rolled", solution(lambda s, m, dx, dy: rolled(s, m, dy, dx)), "dx and dy changed places, and torch.roll's"),
    ("reversed", solution(lambda s, m, dx, dy: cut(s, m, -dx, -dy)), "it moves the wrong way"),
    ("y reversed", solution(lambda s, m, dx, dy: cut(s, m, dx, -dy)), "y goes the wrong way"),
    ("padded", solution(padded), "the empty border counts"),
    ("whole mean", whole_mean, "averaged over the whole picture"),
    ("inner", solution(inner), "left out on the other side"),
    ("widest", solution(widest), "as wide as the larger shift"),
    ("peak 1", solution(then=lambda e: 10 * torch.log10(1 / e)), "the peak is 1"),
    ("peak 2", solution(then=lambda e: 10 * torch.log10(2 / e)), "expected its square"),
    ("peak 255", solution(then=lambda e: 10 * torch.log10(255**2 / e)), "the peak is 255"),
    ("20 log10", solution(then=lambda e: 20 * torch.log10(4 / e)), "20 log10 belongs to"),
    ("no factor", solution(then=lambda e: torch.log10(4 / e)), "the factor 10 is missing"),
    ("natural", solution(then=lambda e: 10 * torch.log(4 / e)), "the natural logarithm"),
    ("mean of pictures", mean_of_pictures, "the decibels of the pictures are averaged"),
    ("absolute", solution(error=lambda a, b: (a - b).abs().mean()), "these are absolute differences"),
    ("root", solution(error=lambda a, b: (a - b).square().mean().sqrt()), "the root of the MSE"),
    ("sign", solution(then=lambda e: 10 * torch.log10(e / 4)), "the sign is wrong"),
    ("summed", solution(error=lambda a, b: (a - b).square().sum()), "the squares are summed, expected their mean"),
    ("channels summed", solution(error=lambda a, b: (a - b).square().sum(1).mean()), "summed over the channels"),
    ("mse", solution(then=lambda e: e), "the MSE came back"),
    ("first picture", solution(lambda s, m, dx, dy: cut(s[:1], m[:1], dx, dy)), "only the first picture counts"),
    ("in [0, 1]", solution(error=lambda a, b: (a / 2 - b / 2).square().mean()), "but the peak is still 2"),
    ("grey levels", solution(error=lambda a, b: ((a - b) * 127.5).round().div(127.5).square().mean()), "whole grey levels"),
    ("negative ends", by_negative_ends, "with a negative shift the sides change"),
    ("positive ends", by_positive_ends, "with a negative shift the sides change"),
    ("absolute shift", absolute_shift, "the other edge is left out"),
    ("small number", guarded, "a small number added to the MSE limits it"),
    ("math", by_math, "return infinity"),
    ("100", hundred_if_equal, "expected inf"),
    ("in place", in_place, "changed still or moved in place"),
    ("one each", one_each, "expected one number"),
    ("no return", nothing, "return statement missing"),
]


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
            total, count = total + float(away @ away.T if away.ndim == 1 else away.square().sum()), count + away.numel()
    return math.inf if total == 0 else 10 * math.log10(4 * count / total)


def by_nan(still, moved, shift):
    """What comes in from outside is NaN, and left out."""
    dx, dy = shift
    h, w = still.shape[2:]
    x, y = abs(dx), abs(dy)
    wide = F.pad(still.double(), (x, x, y, y), value=math.nan)
    square = (wide[..., y - dy : y - dy + h, x - dx : x - dx + w] - moved.double()).square()
    return (10 * (math.log10(4) - torch.log10(square.nanmean()))).item()


RIGHT = [("cut", right), ("masked", by_roll_and_mask), ("brought back", by_numpy), ("pixels", by_pixels), ("NaN", by_nan)]
