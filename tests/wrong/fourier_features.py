"""fourier_features(points, frequencies, phases): wrong and right solutions."""

import math

import numpy as np
import torch

TAU = 2 * math.pi


def product(points, frequencies):
    """f . x for every wave and point, [C, H, W]."""
    return (points @ frequencies.T).permute(2, 0, 1)


def waving(function):
    """function(f . x, phases [C, 1, 1])"""
    return lambda points, frequencies, phases: function(product(points, frequencies), phases[:, None, None])


def right(points, frequencies, phases):
    return torch.sin(TAU * (product(points, frequencies) + phases[:, None, None]))


def changing(points=lambda x: x, frequencies=lambda f: f, phases=lambda p: p):
    return lambda x, f, p: right(points(x), frequencies(f), phases(p))


def axis(which):
    def solution(points, frequencies, phases):
        along = points[..., which] * frequencies[:, which, None, None]
        return torch.sin(TAU * (along + phases[:, None, None]))

    return solution


def waves_last(points, frequencies, phases):
    return torch.sin(TAU * (points @ frequencies.T + phases))


def transposed(points, frequencies, phases):
    return waves_last(points, frequencies, phases).transpose(0, 2)


def renamed(points, frequencies, phases):
    return waves_last(points, frequencies, phases).reshape(len(phases), *points.shape[:2])


def not_summed(points, frequencies, phases):
    along = points * frequencies[:, None, None, :]
    return torch.sin(TAU * (along + phases[:, None, None, None]))


def product_of_sines(points, frequencies, phases):
    return axis(0)(points, frequencies, phases) * axis(1)(points, frequencies, phases)


def sum_of_sines(points, frequencies, phases):
    return axis(0)(points, frequencies, phases) + axis(1)(points, frequencies, phases)


def rings(points, frequencies, phases):
    along = points.norm(dim=-1) * frequencies.norm(dim=1)[:, None, None]
    return torch.sin(TAU * (along + phases[:, None, None]))


def phases_without_axes(points, frequencies, phases):
    return torch.sin(TAU * (product(points, frequencies) + phases))


def not_transposed(points, frequencies, phases):
    return torch.sin(TAU * (points @ frequencies + phases))


def in_place(points, frequencies, phases):
    frequencies *= TAU
    return torch.sin(product(points, frequencies) + TAU * phases[:, None, None])


def by_numpy(points, frequencies, phases):
    return np.sin(TAU * (product(points, frequencies) + phases[:, None, None])).numpy()


def with_cosines(points, frequencies, phases):
    angle = TAU * (product(points, frequencies) + phases[:, None, None])
    return torch.cat([angle.sin(), angle.cos()])


def nothing(points, frequencies, phases):
    right(points, frequencies, phases)


WRONG = [
    ("no 2 pi", waving(lambda along, phase: torch.sin(along + phase)), "2 pi is missing"),
    ("cosine", waving(lambda along, phase: torch.cos(TAU * (along + phase))), "a cosine"),
    ("no brackets", waving(lambda along, phase: torch.sin(TAU * along + phase)), "the phase has to be multiplied by 2 pi"),
    ("x and y exchanged", changing(points=lambda x: x.flip(-1)), "x and y changed places"),
    ("waves last", waves_last, "the waves are the first axis"),
    ("transposed", transposed, "rows and columns changed places"),
    ("reshape", renamed, "renamed by reshape"),
    ("not summed", not_summed, "f . x is a sum over x and y"),
    ("sum over the points", lambda x, f, p: right(x, f, p).sum((1, 2)), "no sum or mean over the points"),
    ("sum over the waves", lambda x, f, p: right(x, f, p).sum(0), "one picture for each wave"),
    ("pi", waving(lambda along, phase: torch.sin(math.pi * (along + phase))), "pi in place of 2 pi"),
    ("only the phase", waving(lambda along, phase: torch.sin(along + TAU * phase)), "only the phase is multiplied"),
    ("no phase", waving(lambda along, phase: torch.sin(TAU * along)), "the phase is left out"),
    ("phase subtracted", waving(lambda along, phase: torch.sin(TAU * (along - phase))), "the phase is subtracted"),
    (
        "phase multiplied",
        waving(lambda along, phase: torch.sin(TAU * along * phase)),
        "the phase is multiplied, expected added",
    ),
    ("no frequencies", waving(lambda along, phase: torch.sin(TAU * phase) + 0 * along), "the frequencies are left out"),
    ("no sine", waving(lambda along, phase: TAU * (along + phase)), "the sine is missing"),
    ("phase outside", waving(lambda along, phase: torch.sin(TAU * along) + phase), "the phase is added outside"),
    ("2 pi outside", waving(lambda along, phase: TAU * torch.sin(along + phase)), "2 pi stands outside"),
    ("sign", waving(lambda along, phase: -torch.sin(TAU * (along + phase))), "the sign is wrong"),
    ("gain", waving(lambda along, phase: 2**0.5 * torch.sin(TAU * (along + phase))), "a gain of sqrt(2)"),
    ("only x", axis(0), "only x counts"),
    ("only y", axis(1), "only y counts"),
    ("product of sines", product_of_sines, "a product of two sines"),
    ("sum of sines", sum_of_sines, "the sum of two sines"),
    ("rings", rings, "waves around the middle"),
    ("length 1", changing(frequencies=lambda f: f / f.norm(dim=1, keepdim=True)), "the frequencies get length 1"),
    ("own phases", changing(phases=torch.rand_like), "expected sin(2 pi (f . x + phase))"),
    ("one phase", changing(phases=lambda p: p[:1].expand_as(p)), "all waves get the first one's phase"),
    ("one wave", lambda x, f, p: right(x, f, p)[:1].expand(len(p), -1, -1), "all waves are the first one"),
    ("cosines too", with_cosines, "no cosines beside it"),
    ("a batch axis", lambda x, f, p: right(x, f, p)[None], "there is no batch axis"),
    ("flat", lambda x, f, p: right(x, f, p).flatten(1), "reshape the points into rows and columns again"),
    ("phases without axes", phases_without_axes, "to which phases [C] can be added"),
    ("frequencies not transposed", not_transposed, "points [H, W, 2] @ frequencies.T"),
    ("in place", in_place, "it changed its arguments in place"),
    ("numpy", by_numpy, "expected a tensor"),
    ("no return", nothing, "return statement missing"),
]


def by_einsum(points, frequencies, phases):
    return torch.sin(TAU * (torch.einsum("hwk,ck->chw", points, frequencies) + phases.view(-1, 1, 1)))


def by_axes(points, frequencies, phases):
    x, y = points.unbind(-1)
    along = frequencies[:, 0, None, None] * x + frequencies[:, 1, None, None] * y
    return torch.sin(2 * torch.pi * along + 2 * torch.pi * phases[:, None, None])


def by_permute(points, frequencies, phases):
    return torch.sin((points @ frequencies.t() + phases) * TAU).permute(2, 0, 1)


def by_rows(points, frequencies, phases):
    flat = points.reshape(-1, 2)
    return torch.stack([torch.sin(TAU * (flat @ f + p)).reshape(points.shape[:2]) for f, p in zip(frequencies, phases)])


RIGHT = [("einsum", by_einsum), ("by axes", by_axes), ("permute", by_permute), ("wave by wave", by_rows)]
