"""slerp(a, b, t): wrong and right solutions."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def lengths(x, dim=1):
    return x.norm(dim=dim, keepdim=True)


def angle_of(a, b):
    return (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1, keepdim=True).clamp(-1, 1).acos()


def weights(angle, t, straight=1e-4):
    """Those of the great circle, straight where the sine is small."""
    sine = angle.sin()
    small = sine < straight
    safe = sine.masked_fill(small, 1.0)
    to_a = torch.where(small, 1 - t, torch.sin((1 - t) * angle) / safe)
    return to_a, torch.where(small, torch.as_tensor(float(t)), torch.sin(t * angle) / safe)


def arc(a, b, t, angle=angle_of):
    """Unit vectors between the directions of a and b."""
    to_a, to_b = weights(angle(a, b), t)
    return to_a * F.normalize(a, dim=1) + to_b * F.normalize(b, dim=1)


def between(a, b, t):
    return (1 - t) * lengths(a) + t * lengths(b)


def right(a, b, t):
    return arc(a, b, t) * between(a, b, t)


def on_the_vectors(a, b, t):
    to_a, to_b = weights(angle_of(a, b), t)
    return to_a * a + to_b * b


def pushed_out(a, b, t):
    return F.normalize(torch.lerp(a, b, t), dim=1) * between(a, b, t)


def unguarded(a, b, t):
    angle = angle_of(a, b)
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / torch.sin(angle) * between(a, b, t)


def small_number(a, b, t):
    angle = (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1, keepdim=True).clamp(-1, 1).acos()
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / (torch.sin(angle) + 1e-6) * between(a, b, t)


def one_for_all(a, b, t):
    if bool((angle_of(a, b) < 1e-3).any()):
        return torch.lerp(a, b, t)
    return right(a, b, t)


def asks_a_tensor(a, b, t):
    cosine = (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1)
    return torch.lerp(a, b, t) if cosine > 0.9995 else right(a, b, t)


def no_division(a, b, t):
    angle = angle_of(a, b)
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) * between(a, b, t)


def by_the_angle(a, b, t):
    angle = angle_of(a, b)
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / angle * between(a, b, t)


def no_arccos(a, b, t):
    angle = (F.normalize(a, dim=1) * F.normalize(b, dim=1)).sum(1, keepdim=True)
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / torch.sin(angle) * between(a, b, t)


def without_unit_length(a, b, t):
    angle = (a * b).sum(1, keepdim=True).clamp(-0.999999, 0.999999).acos()
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / torch.sin(angle) * between(a, b, t)


def arccos_of_anything(a, b, t):
    return arc(a, b, t, lambda a, b: (a * b).sum(1, keepdim=True).acos()) * between(a, b, t)


def whole_batch(a, b, t):
    angle = F.cosine_similarity(a.flatten(), b.flatten(), dim=0).clamp(-1, 1).acos()
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (torch.sin((1 - t) * angle) * x + torch.sin(t * angle) * y) / torch.sin(angle) * between(a, b, t)


def half_angle(a, b, t):
    return arc(a, b, t, lambda a, b: angle_of(a, b) / 2) * between(a, b, t)


def roots(a, b, t):
    return math.sqrt(1 - t) * a + math.sqrt(t) * b


def right_angle(a, b, t):
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return (math.cos(t * math.pi / 2) * x + math.sin(t * math.pi / 2) * y) * between(a, b, t)


def in_place(a, b, t):
    a /= lengths(a)
    b /= lengths(b)
    return right(a, b, t)


def along_the_batch(a, b, t):
    return right(a.T, b.T, t).T


def summed(a, b, t):
    return right(a, b, t).sum(0)


def nothing(a, b, t):
    right(a, b, t)


WRONG = [
    ("straight", torch.lerp, "it goes straight"),
    ("t reversed", lambda a, b, t: right(b, a, t), "t is the wrong way round"),
    ("directions reversed", lambda a, b, t: arc(b, a, t) * between(a, b, t), "the two directions changed places"),
    ("length 1", arc, "it comes back with length 1"),
    ("length of a", lambda a, b, t: arc(a, b, t) * lengths(a), "the length stays that of a"),
    ("mean length", lambda a, b, t: arc(a, b, t) * (lengths(a) + lengths(b)) / 2, "the length is the mean of both"),
    ("on the vectors", on_the_vectors, "the weights are for unit vectors"),
    ("pushed out", pushed_out, "pushed out to the right length"),
    ("unguarded", unguarded, "go straight where the sine is about 0"),
    ("a small number", small_number, "a small number below the line is no cure"),
    ("one for all", one_for_all, "decide for each row, with torch.where"),
    ("if a tensor", asks_a_tensor, "each row has its own: take torch.where"),
    ("no division", no_division, "the division by sin(angle) is missing"),
    ("by the angle", by_the_angle, "it divides by the angle"),
    ("no arccos", no_arccos, "arccos is missing"),
    ("not normalised", without_unit_length, "before they have length 1"),
    ("arccos of anything", arccos_of_anything, "take it of the product of unit vectors"),
    ("whole batch", whole_batch, "for the whole batch at once"),
    ("half the angle", half_angle, "half of the angle is used"),
    ("roots", roots, "roots of 1 - t and t"),
    ("90 degrees", right_angle, "right for an angle of 90 degrees only"),
    ("a", lambda a, b, t: a.clone(), "a came back"),
    ("the middle", lambda a, b, t: right(a, b, 0.5), "it is the middle, whatever t is"),
    ("along the batch", along_the_batch, "the norm runs over the batch (dim=0)"),
    ("in place", in_place, "it changed a or b in place"),
    ("summed", summed, "a point for each row"),
    ("no return", nothing, "return statement missing"),
]


def by_atan(a, b, t):
    x, y = F.normalize(a, dim=1), F.normalize(b, dim=1)
    return arc(a, b, t, lambda a, b: 2 * torch.atan2(lengths(x - y), lengths(x + y))) * between(a, b, t)


def by_clamp(a, b, t):
    x, y = a / lengths(a), b / lengths(b)
    angle = (x * y).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6).acos()
    return ((1 - t) * angle).sin() / angle.sin() * x * between(a, b, t) + (t * angle).sin() / angle.sin() * y * between(a, b, t)


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
    x, y = F.normalize(a.double(), dim=1), F.normalize(b.double(), dim=1)
    aside = y - (x * y).sum(1, keepdim=True) * x
    angle = t * torch.atan2(lengths(aside), (x * y).sum(1, keepdim=True))
    return ((angle.cos() * x + angle.sin() * F.normalize(aside, dim=1)) * between(a, b, t)).float()


RIGHT = [("where", right), ("atan2", by_atan), ("clamp", by_clamp), ("row by row", by_rows), ("turning", by_turning)]
