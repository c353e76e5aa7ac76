"""crop_square(points) -> (centre, half): wrong and right solutions."""

import math

import torch
import torch.nn.functional as F


def turned(v):
    return torch.stack([v[1], -v[0]])


def parts(points):
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    return eyes, points[1] - points[0], mouth - eyes


def unit(v):
    return v / v.norm()


def larger(across, below):
    return max(2 * across.norm(), 1.8 * below.norm())


def centred(centre):
    """centre(points, eyes, across, below) beside the right half."""

    def solution(points):
        eyes, across, below = parts(points)
        return centre(points, eyes, across, below), larger(across, below) * unit(across + turned(below))

    return solution


def halved(half):
    """half(across, below) beside the right centre."""

    def solution(points):
        eyes, across, below = parts(points)
        return eyes + 0.1 * below, half(across, below)

    return solution


def sized(size):
    return halved(lambda across, below: size(across, below) * unit(across + turned(below)))


def along(axis):
    return halved(lambda across, below: larger(across, below) * unit(axis(across, below)))


def right(points):
    return halved(lambda across, below: larger(across, below) * unit(across + turned(below)))(points)


def nose_in_the_mouth(points, eyes, across, below):
    return eyes + 0.1 * (points[2:].mean(0) - eyes)


def wrong_corner_of_the_mouth(points):
    eyes, mouth = points[:2].mean(0), points[2:4].mean(0)
    across, below = points[1] - points[0], mouth - eyes
    return eyes + 0.1 * below, larger(across, below) * unit(across + turned(below))


def straight_down(points, eyes, across, below):
    return eyes + torch.tensor([0.0, 0.1]) * below.norm()


def corners(points):
    centre, half = right(points)
    down = -turned(half)
    return torch.stack([centre - half - down, centre + half - down, centre + half + down, centre - half + down])


def in_place(points):
    points[1] -= points[0]
    eyes = points[0] + points[1] / 2
    below = points[3:].mean(0) - eyes
    return eyes + 0.1 * below, larger(points[1], below) * unit(points[1] + turned(below))


def nothing(points):
    right(points)


def as_lists(points):
    centre, half = right(points)
    return centre.tolist(), half.tolist()


def box(points, eyes, across, below):
    return (points.amin(0) + points.amax(0)) / 2


WRONG = [
    ("eyes", centred(lambda p, eyes, across, below: eyes), "this is the point between the eyes"),
    ("above", centred(lambda p, eyes, across, below: eyes - 0.1 * below), "it lies above the eyes"),
    ("half-way", centred(lambda p, eyes, across, below: eyes + 0.5 * below), "half-way from eyes to mouth"),
    ("mean of all", centred(lambda p, eyes, across, below: p.mean(0)), "the mean of all five points"),
    ("nose", centred(lambda p, eyes, across, below: p[2]), "this is the nose"),
    ("from the mouth", centred(lambda p, eyes, across, below: eyes + 1.1 * below), "it starts from the mouth"),
    ("one eye", centred(lambda p, eyes, across, below: p[0] + 0.1 * below), "it starts from one eye"),
    ("not the way", centred(lambda p, eyes, across, below: eyes + 0.1 * (eyes + below)), "subtract the eyes first"),
    ("straight down", centred(straight_down), "straight down the picture"),
    ("nose in the mouth", centred(nose_in_the_mouth), "points 3 and 4; point 2 is the nose"),
    ("wrong slice", wrong_corner_of_the_mouth, "here are nose and one corner"),
    ("box", centred(box), "the middle of the box around the points"),
    ("flipped", centred(lambda p, eyes, across, below: (eyes + 0.1 * below).flip(0)), "x and y changed places"),
    ("whole side", sized(lambda across, below: 2 * larger(across, below)), "the whole side, expected half"),
    ("to the left", along(lambda across, below: -across - turned(below)), "it points to the left"),
    ("down", along(lambda across, below: below - turned(across)), "it points down"),
    ("eyes alone", along(lambda across, below: across), "the direction comes from the eyes alone"),
    ("mouth alone", along(lambda across, below: turned(below)), "from the way to the mouth alone"),
    ("turned the other way", along(lambda across, below: across - turned(below)), "turned the wrong way"),
    ("not turned", along(lambda across, below: across + below), "turned by 90 degrees before it is added"),
    ("units first", along(lambda across, below: unit(across) + unit(turned(below))), "the same weight"),
    ("level", along(lambda across, below: torch.tensor([1.0, 0.0])), "it lies level"),
    ("by the eyes", sized(lambda across, below: 2 * across.norm()), "the size follows the eyes alone"),
    ("by the mouth", sized(lambda across, below: 1.8 * below.norm()), "the size follows the mouth alone"),
    ("smaller", sized(lambda across, below: min(2 * across.norm(), 1.8 * below.norm())), "the smaller of the two sizes"),
    ("sum", sized(lambda across, below: 2 * across.norm() + 1.8 * below.norm()), "the two sizes are added"),
    ("exchanged factors", sized(lambda across, below: larger(0.9 * across, below / 0.9)), "2 and 1.8 changed places"),
    ("no length", halved(lambda across, below: larger(across, below) * (across + turned(below))), "brought to length 1"),
    ("no size", halved(lambda across, below: unit(across + turned(below))), "its length is 1"),
    ("only the axis", halved(lambda across, below: across + turned(below)), "the sum of the two directions"),
    (
        "level sizes",
        sized(lambda across, below: max(2 * abs(across[0]), 1.8 * abs(below[1]))),
        "measured level and upright",
    ),
    ("corners", corners, "expected two points [2]"),
    ("in place", in_place, "it changed points in place"),
    ("lists", as_lists, "expected a tensor"),
    ("no return", nothing, "return statement missing"),
]


def by_numbers(points):
    (lx, ly), (rx, ry), _, (ax, ay), (bx, by) = points.tolist()
    ex, ey, mx, my = (lx + rx) / 2, (ly + ry) / 2, (ax + bx) / 2, (ay + by) / 2
    x, y = rx - lx + my - ey, ry - ly - (mx - ex)
    half = max(2 * math.hypot(rx - lx, ry - ly), 1.8 * math.hypot(mx - ex, my - ey)) / math.hypot(x, y)
    return torch.tensor([0.9 * ex + 0.1 * mx, 0.9 * ey + 0.1 * my]), torch.tensor([half * x, half * y])


def by_matrix(points):
    eyes, across, below = parts(points.double())
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


RIGHT = [("tensors", right), ("numbers", by_numbers), ("a matrix", by_matrix), ("complex numbers", by_complex)]
