"""noise_penalty(noise): more wrong solutions, and right ones that are written in other ways."""

import numpy as np
import torch
import torch.nn.functional as F

from exercises.projection.noise_penalty import SMALL, both, neighbours, pyramid, rolled, scales, squared_mean


def by_recursion(noise):
    return neighbours(noise) + (by_recursion(F.avg_pool2d(noise[None], 2)[0]) if len(noise) > 8 else 0)


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


def by_slices(noise):
    """Neighbours by torch.cat, the halves by four slices."""
    parts = []
    for n in scales(noise, lambda n: (n[::2, ::2] + n[1::2, ::2] + n[::2, 1::2] + n[1::2, 1::2]) / 4):
        for m in (n, n.T):
            parts.append((m * torch.cat([m[-1:], m[:-1]])).mean())
    return torch.stack(parts).square().sum()


def while_at_least_8(noise):
    total = noise.new_zeros(())
    while len(noise) >= 8:
        total, noise = total + neighbours(noise), F.avg_pool2d(noise[None], 2)[0]
    return total


def as_a_float(noise):
    total = 0.0
    while len(noise) >= 8:
        total, noise = total + neighbours(noise), F.avg_pool2d(noise[None], 2)[0]
    return total


def stacked(noise):
    parts = []
    while len(noise) >= 8:
        parts.append(neighbours(noise))
        noise = F.avg_pool2d(noise[None], 2)[0]
    return torch.stack(parts).sum()


def by_numpy(noise):
    n = np.asarray(noise)
    return torch.tensor((n * np.roll(n, 1, 0)).mean() ** 2 + (n * np.roll(n, 1, 1)).mean() ** 2)


def each_alone(n):
    return neighbours((n - n.mean()) / n.std())


RIGHT = [
    ("pyramid", pyramid()),
    ("recursion", by_recursion),
    ("reshape", by_reshape),
    ("padding", by_interpolation),
    ("slices", by_slices),
]
WRONG = [
    ("while at least 8", while_at_least_8, SMALL),
    ("while at least 8, a float", as_a_float, SMALL),
    ("stacked", stacked, SMALL),
    ("numpy", by_numpy, "the search goes back through the result"),
    ("each scale normalised", pyramid(each_alone), "expected mean(n * left neighbour)^2"),
    ("the largest scale", lambda noise: max(map(neighbours, scales(noise))), "the penalty of noise"),
    ("a cosine", pyramid(both(lambda p: p.mean().cos())), "expected mean(n * left neighbour)^2"),
    ("square of the mean's root", pyramid(both(lambda p: p.square().mean().sqrt())), "expected mean(n * left neighbour)^2"),
    ("zeros at the border", pyramid(lambda n: squared_mean(n * F.pad(n, (1, -1)))), "expected mean(n * left neighbour)^2"),
    ("doubled in variance", pyramid(halve=lambda n: F.avg_pool2d(n[None], 2)[0] * 2**0.5), "expected mean(n * left"),
    ("summed over rows", pyramid(lambda n: rolled(n, 0).mean(0).square().sum()), "expected mean(n * left neighbour)^2"),
    ("nothing detached but halves", pyramid(halve=lambda n: F.avg_pool2d(n.detach()[None], 2)[0]), "not this gradient"),
]
