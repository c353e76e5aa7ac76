"""fourier_features(points, frequencies, phases): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.stylegan.fourier_features import TAU, product, right, solution


def by_axes(points, frequencies, phases):
    x, y = points.unbind(-1)
    along = frequencies[:, 0, None, None] * x + frequencies[:, 1, None, None] * y
    return torch.sin(2 * torch.pi * along + 2 * torch.pi * phases[:, None, None])


def by_permute(points, frequencies, phases):
    return torch.sin((points @ frequencies.t() + phases) * TAU).permute(2, 0, 1)


def by_rows(points, frequencies, phases):
    flat = points.reshape(-1, 2)
    return torch.stack([torch.sin(TAU * (flat @ f + p)).reshape(points.shape[:2]) for f, p in zip(frequencies, phases)])


def by_rotation(points, frequencies, phases):
    """The imaginary part of a number that turns."""
    return torch.polar(torch.ones(()), TAU * (product(points, frequencies) + phases[:, None, None])).imag.clone()


def whole_periods(along, phase):
    return torch.sin(TAU * ((along + phase).round() / 7))


def in_place(points, frequencies, phases):
    frequencies *= TAU
    return torch.sin(product(points, frequencies) + TAU * phases[:, None, None])


def own_phases(points, frequencies, phases):
    return right(points, frequencies, torch.rand_like(phases))


RIGHT = [
    ("einsum", solution(along=lambda points, frequencies: torch.einsum("hwk,ck->chw", points, frequencies))),
    ("by axes", by_axes),
    ("permute", by_permute),
    ("wave by wave", by_rows),
    ("complex numbers", by_rotation),
]
WRONG = [
    ("frequencies first", lambda x, f, p: torch.sin(TAU * (f @ x.permute(2, 0, 1))), "points [H, W, 2] @ frequencies.T"),
    ("phases in front", lambda x, f, p: torch.sin(TAU * (x @ f.T + p[:, None, None])), "to which phases [C] can be added"),
    ("rows last", lambda x, f, p: right(x, f, p).transpose(1, 2), "rows and columns changed places"),
    ("a batch axis", lambda x, f, p: right(x, f, p)[None], "there is no batch axis"),
    (
        "not summed",
        lambda x, f, p: torch.sin(TAU * (x * f[:, None, None] + p[:, None, None, None])),
        "f . x is a sum over x and y",
    ),
    ("cosines too", lambda x, f, p: right(x, f, p).repeat(2, 1, 1), "no cosines beside it"),
    ("sum over waves, no axis", lambda x, f, p: right(x, f, p).sum(0), "no sum over them"),
    ("mean over the points", lambda x, f, p: right(x, f, p).mean((1, 2)), "no sum or mean over the points"),
    ("flat", lambda x, f, p: right(x, f, p).flatten(1), "reshape the points into rows and columns again"),
    ("flat, waves last", lambda x, f, p: right(x, f, p).flatten(1).T, "and put the waves first"),
    ("not transposed", lambda x, f, p: torch.sin(TAU * (x @ f + p)), "points [H, W, 2] @ frequencies.T"),
    ("in place", in_place, "changed frequencies in place"),
    ("no return", lambda x, f, p: None, "return statement missing"),
    ("own phases", own_phases, "expected sin(2 pi (f . x + phase))"),
    ("whole periods", solution(whole_periods), "expected sin(2 pi (f . x + phase))"),
    ("pi in brackets", solution(lambda along, phase: torch.sin(2 * (torch.pi * along + phase))), "expected sin(2 pi"),
    ("mean", lambda x, f, p: torch.sin(TAU * ((x * f[:, None, None]).mean(-1) + p[:, None, None])), "the mean over x and y"),
    ("degrees", solution(lambda along, phase: torch.sin(360 * (along + phase))), "expected sin(2 pi"),
    ("y upwards", lambda x, f, p: right(x, f * torch.tensor([1.0, -1.0]), p), "y is subtracted"),
    ("sum over waves", lambda x, f, p: right(x, f, p).sum(0, keepdim=True), "one picture [H, W] for each wave"),
    ("numpy", lambda x, f, p: right(x, f, p).numpy(), "expected a tensor"),
    ("phase in radians", solution(lambda along, phase: torch.sin(TAU * along + phase)), "the phase has to be multiplied by"),
    ("transposed .T", lambda x, f, p: torch.sin(TAU * (x @ f.T + p)).transpose(0, 2), "rows and columns changed places"),
]
