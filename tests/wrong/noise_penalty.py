"""noise_penalty(noise): wrong and right solutions."""

import torch
import torch.nn.functional as F


def neighbours(n):
    return (n * n.roll(1, 3)).mean() ** 2 + (n * n.roll(1, 2)).mean() ** 2


def halved(n):
    return F.avg_pool2d(n, 2)


def pyramid(each=neighbours, halve=halved, last=8, start=lambda noise: noise):
    """The sum of each(map) over maps that halve() makes, down to `last` pixels."""

    def solution(noise):
        n, total = start(noise)[None, None], 0.0
        while True:
            total = total + each(n)
            if n.shape[2] <= last:
                return total
            n = halve(n)

    return solution


def only_last(noise):
    n = noise[None, None]
    while n.shape[2] > 8:
        n = halved(n)
    return neighbours(n)


def without_the_first(noise):
    n, total = noise[None, None], noise.new_zeros(())
    while n.shape[2] > 8:
        n = halved(n)
        total = total + neighbours(n)
    return total


def without_the_last(noise):
    n, total = noise[None, None], noise.new_zeros(())
    while n.shape[2] > 8:
        total = total + neighbours(n)
        n = halved(n)
    return total


def averaged(noise):
    n, parts = noise[None, None], []
    while True:
        parts.append(neighbours(n))
        if n.shape[2] <= 8:
            return torch.stack(parts).mean()
        n = halved(n)


def always_from_the_full_size(noise):
    size, total = noise.shape[0], neighbours(noise[None, None])
    while size > 8:
        total = total + neighbours(halved(noise[None, None]))
        size //= 2
    return total


def without_border(n):
    return (n[..., 1:] * n[..., :-1]).mean() ** 2 + (n[..., 1:, :] * n[..., :-1, :]).mean() ** 2


def in_place(noise):
    with torch.no_grad():
        noise -= noise.mean()
    return pyramid()(noise)


def nothing(noise):
    pyramid()(noise)


def shifted_by_two(n):
    return (n * n.roll(2, 3)).mean() ** 2 + (n * n.roll(2, 2)).mean() ** 2


def corner(n):
    return (n * n.roll((1, 1), (2, 3))).mean() ** 2


def differences(n):
    return (n - n.roll(1, 3)).square().mean() + (n - n.roll(1, 2)).square().mean()


WRONG = [
    ("full size only", pyramid(last=10**6), "the halved ones are missing"),
    ("smallest only", only_last, "only the smallest size"),
    ("halved too early", without_the_first, "add up before you halve"),
    ("8 is missing", without_the_last, "the size 8 x 8 is missing"),
    ("stops at 16", pyramid(last=16), "it stops too early"),
    ("down to 4", pyramid(last=4), "it goes on too long"),
    ("down to 1", pyramid(last=1), "not 1 x 1"),
    ("left only", pyramid(lambda n: (n * n.roll(1, 3)).mean() ** 2), "expected also the one above"),
    ("above only", pyramid(lambda n: (n * n.roll(1, 2)).mean() ** 2), "expected also the one to the left"),
    ("corner", pyramid(corner), "across the corner"),
    ("squared first", pyramid(lambda n: sum((n * n.roll(1, k)).square().mean() for k in (2, 3))), "each product is squared"),
    ("no square", pyramid(lambda n: sum((n * n.roll(1, k)).mean() for k in (2, 3))), "the square is missing"),
    ("absolute", pyramid(lambda n: sum((n * n.roll(1, k)).mean().abs() for k in (2, 3))), "these are absolute values"),
    ("added first", pyramid(lambda n: sum((n * n.roll(1, k)).mean() for k in (2, 3)) ** 2), "before they are squared"),
    ("sums", pyramid(lambda n: sum((n * n.roll(1, k)).sum() ** 2 for k in (2, 3))), "a sum of products"),
    ("by two", pyramid(shifted_by_two), "the shift is 2"),
    ("no shift", pyramid(lambda n: 2 * (n * n).mean() ** 2), "the shift is missing"),
    ("differences", pyramid(differences), "squared differences of neighbours"),
    ("slices", pyramid(without_border), "roll takes them from the other side"),
    ("each second pixel", pyramid(halve=lambda n: n[..., ::2, ::2]), "each second pixel"),
    ("max pool", pyramid(halve=lambda n: F.max_pool2d(n, 2)), "the largest of 2 x 2"),
    ("doubled", pyramid(halve=lambda n: 2 * F.avg_pool2d(n, 2)), "the halved maps are multiplied by 2"),
    ("quarters", pyramid(halve=lambda n: F.avg_pool2d(n, 4)), "it shrinks to a quarter"),
    ("from the full size", always_from_the_full_size, "go on with the halved map"),
    ("averaged", averaged, "it averages over the scales"),
    ("centred", pyramid(start=lambda noise: noise - noise.mean()), "the mean is subtracted first"),
    ("in place", in_place, "it changed noise in place"),
    ("detached", lambda noise: pyramid()(noise.detach()), "no gradient flows back"),
    ("partly detached", pyramid(lambda n: neighbours(n.detach()) + 0 * n.sum()), "the values are right, but not the gradient"),
    ("a number", lambda noise: pyramid()(noise).item(), "through which the search can go back"),
    ("no pooling axes", pyramid(each=lambda n: (n * n.roll(1, 2)) ** 2), "expected one number"),
    ("no return", nothing, "return statement missing"),
]


def by_recursion(noise):
    n = noise[None, None]
    rest = by_recursion(halved(n)[0, 0]) if len(noise) > 8 else 0
    return neighbours(n) + rest


def by_reshape(noise):
    total, side = 0, len(noise)
    while True:
        for axis in (0, 1):
            total = total + torch.mean(noise * torch.roll(noise, -1, axis)).pow(2)
        if side <= 8:
            return total
        side //= 2
        noise = noise.reshape(side, 2, side, 2).mean(dim=(1, 3))


def by_interpolation(noise):
    n, total = noise[None, None], torch.zeros(1)
    while True:
        padded = F.pad(n, (1, 0, 1, 0), mode="circular")
        total = total + (n * padded[..., 1:, :-1]).mean().square() + (n * padded[..., :-1, 1:]).mean().square()
        if n.shape[-1] <= 8:
            return total
        n = F.interpolate(n, scale_factor=0.5, mode="area")


RIGHT = [("pyramid", pyramid()), ("recursion", by_recursion), ("reshape", by_reshape), ("padding", by_interpolation)]
