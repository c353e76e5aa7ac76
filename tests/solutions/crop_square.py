"""crop_square(points): more wrong solutions, and right ones that are written in other ways."""

import math

import torch
import torch.nn.functional as F

from exercises.projection.crop_square import crop_square, larger, solution, turned


def by_numbers(points):
    (lx, ly), (rx, ry), _, (ax, ay), (bx, by) = points.tolist()
    ex, ey, mx, my = (lx + rx) / 2, (ly + ry) / 2, (ax + bx) / 2, (ay + by) / 2
    x, y = rx - lx + my - ey, ry - ly - (mx - ex)
    half = max(2 * math.hypot(rx - lx, ry - ly), 1.8 * math.hypot(mx - ex, my - ey)) / math.hypot(x, y)
    return torch.tensor([0.9 * ex + 0.1 * mx, 0.9 * ey + 0.1 * my]), torch.tensor([half * x, half * y])


def by_matrix(points):
    points = points.double()
    eyes, across = points[:2].mean(0), points[1] - points[0]
    below = points[3:].mean(0) - eyes
    axis = across + torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64) @ below
    size = torch.stack([2 * across.norm(), 1.8 * below.norm()]).amax()
    return [(eyes.lerp(eyes + below, 0.1)).float(), (F.normalize(axis, dim=0) * size).float()]


def by_complex(points):
    left, right_eye, _, a, b = torch.view_as_complex(points.contiguous())
    below = (a + b) / 2 - (left + right_eye) / 2
    axis = right_eye - left - 1j * below
    size = max(2 * abs(right_eye - left), 1.8 * abs(below))
    square = torch.stack([(left + right_eye) / 2 + 0.1 * below, axis / abs(axis) * size])
    return torch.view_as_real(square)


def by_angle(points):
    """The direction as an angle, the size as the largest of a list."""
    eyes, mouth = sum(points[:2]) / 2, sum(points[3:]) / 2
    (ax, ay), (bx, by) = points[1] - points[0], mouth - eyes
    angle = torch.atan2(ay - bx, ax + by)
    size = max([2 * torch.hypot(ax, ay), 1.8 * torch.hypot(bx, by)])
    return eyes + (mouth - eyes) / 10, torch.stack([angle.cos(), angle.sin()]) * size


def two_mistakes(points):
    return solution(centre=lambda p, e, b: e, size=lambda a, b: 2 * a.norm())(points)


def divided_by_the_wrong_length(points):
    return solution(half=lambda size, axis: size * axis / size.norm())(points)


def three_values(points):
    centre, half = crop_square(points)
    return centre, half, half.norm()


RIGHT = [
    ("tensors", crop_square),
    ("numbers", by_numbers),
    ("a matrix", by_matrix),
    ("complex numbers", by_complex),
    ("an angle", by_angle),
]
WRONG = [
    (
        "eyes by the second axis",
        solution(centre=lambda p, e, b: p[:2].mean(1) + 0.1 * b),
        "the centre is e + b / 10",
    ),
    ("two mistakes", two_mistakes, "this is the point between the eyes"),
    ("axis not to length 1", divided_by_the_wrong_length, "this is the sum of the two directions"),
    ("half of the size", solution(half=lambda size, axis: size * axis / (2 * axis.norm())), "a quarter of the side"),
    ("1.6", solution(size=lambda a, b: larger(a, b / 1.8 * 1.6)), "half is the larger of 2 |a| and 1.8 |b|"),
    (
        "a tenth of the eyes' way",
        solution(centre=lambda p, e, b: e + 0.1 * turned(b)),
        "the centre is e + b / 10",
    ),
    ("three values", three_values, "the result is a tuple of 3, expected two points: return centre, half"),
    ("complex", lambda points: tuple(torch.complex(*part) for part in crop_square(points)), "is a complex tensor"),
]
