"""slerp(a, b, t): more wrong solutions, and right ones that are written in other ways."""

import math

import numpy as np
import torch
import torch.nn.functional as F

from exercises.projection.slerp import angle_of, arc, lengths, product, right, solution, straight


def by_atan(a, b, t):
    x, y = F.normalize(a), F.normalize(b)
    angle = 2 * torch.atan2(lengths(x - y), lengths(x + y))
    return arc(x, y, t, angle=lambda *_: angle) * torch.lerp(lengths(a), lengths(b), t)


def by_clamp(a, b, t):
    x, y = a / lengths(a), b / lengths(b)
    angle = (x * y).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    way = ((1 - t) * angle).sin() / angle.sin() * x + (t * angle).sin() / angle.sin() * y
    return way * ((1 - t) * lengths(a) + t * lengths(b))


def by_rows(a, b, t):
    rows = []
    for x, y in zip(a.double().numpy(), b.double().numpy()):
        p, q = np.linalg.norm(x), np.linalg.norm(y)
        angle = np.arccos(np.clip(x @ y / p / q, -1, 1))
        if angle < 1e-6:
            rows.append((1 - t) * x + t * y)
        else:
            way = (np.sin((1 - t) * angle) * x / p + np.sin(t * angle) * y / q) / np.sin(angle)
            rows.append(way * ((1 - t) * p + t * q))
    return torch.tensor(np.array(rows), dtype=torch.float32)


def by_turning(a, b, t):
    """The part of b that is at right angles to a, and the angle's sine and cosine."""
    x, y = F.normalize(a.double()), F.normalize(b.double())
    aside = y - (x * y).sum(1, keepdim=True) * x
    angle = t * torch.atan2(lengths(aside), (x * y).sum(1, keepdim=True))
    way = angle.cos() * x + angle.sin() * F.normalize(aside)
    return (way * ((1 - t) * lengths(a) + t * lengths(b))).float()


def by_threshold(a, b, t):
    """As copied from the net: straight where the cosine is above 0.9995."""
    cosine = F.cosine_similarity(a, b, dim=1)[:, None]
    angle = torch.acos(cosine.clamp(-1, 1))
    way = (torch.sin((1 - t) * angle) * F.normalize(a) + torch.sin(t * angle) * F.normalize(b)) / torch.sin(angle)
    way = way * ((1 - t) * a.norm(dim=1, keepdim=True) + t * b.norm(dim=1, keepdim=True))
    return torch.where(cosine > 0.9995, torch.lerp(a, b, t), way)


def below(degrees):
    """Straight below an angle."""
    return lambda a, b, t: torch.where(angle_of(a, b) < math.radians(degrees), straight(a, b, t), right(a, b, t))


def asks_a_tensor(a, b, t):
    cosine = (F.normalize(a) * F.normalize(b)).sum(1)
    return torch.lerp(a, b, t) if cosine > 0.9995 else right(a, b, t)


def without_keepdim(a, b, t):
    return right(a / a.norm(dim=1), b / b.norm(dim=1), t)


def with_math(a, b, t):
    return math.sin((1 - t) * angle_of(a, b)) * a


RIGHT = [
    ("where", right),
    ("atan2", by_atan),
    ("clamp", by_clamp),
    ("row by row", by_rows),
    ("turning", by_turning),
    ("a threshold", by_threshold),
]
WRONG = [
    ("straight below 30 degrees", below(30), "it goes straight where the angle is small"),
    ("straight below 8 degrees", below(8), "it goes straight where the angle is small"),
    ("straight where the sine is below a half", solution(least=0.5), "it goes straight where the angle is small"),
    ("straight above 150 degrees", lambda a, b, t: -below(30)(-a, b, t), "expected the unit vectors, weighted"),
    ("if a tensor", asks_a_tensor, "each row has its own: take torch.where"),
    ("without keepdim", without_keepdim, "keep the axis of the sums"),
    ("math.sin", with_math, "stay with tensors"),
    ("straight between directions", lambda a, b, t: torch.lerp(F.normalize(a), F.normalize(b), t), "expected the unit vectors"),
    ("squared length", solution(lambda a, b, t: straight(lengths(a) ** 2, lengths(b) ** 2, t)), "the row at 20 degrees"),
    ("acos of raw products", lambda a, b, t: arc(a, b, t, lambda a, b: (a * b).sum(1, keepdim=True).acos()), "NaN or infinity"),
    ("a smaller number", solution(below=lambda angle: angle.sin() + 1e-9, least=0), "is no cure"),
    ("no arccos, clamped", solution(angle=lambda a, b: product(a, b).clamp(-1, 1)), "arccos is missing"),
]
