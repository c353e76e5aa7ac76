"""w_statistics(ws): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.projection.w_statistics import solution, spread, w_statistics


def by_variances(ws):
    return ws.mean(0), float(ws.var(0, correction=0).sum().sqrt())


def by_loop(ws):
    mean = sum(ws) / len(ws)
    squares = [float((w - mean) @ (w - mean)) for w in ws]
    return mean, (sum(squares) / len(squares)) ** 0.5


def by_distances(ws):
    mean = torch.mean(ws, dim=0)
    return [mean, torch.cdist(ws[None], mean[None, None])[0].square().mean().sqrt()]


def by_squares(ws):
    ws = ws.double()
    return ws.mean(0).float(), (ws.square().sum(1).mean() - ws.mean(0).square().sum()).sqrt().reshape(1).numpy()[0]


def by_pairs(ws):
    """Half of the mean square between all pairs, each with itself among them, is that from the mean."""
    return ws.sum(0).div(len(ws)), (torch.cdist(ws.double(), ws.double()).square().mean() / 2).sqrt()


def mean_without_dim(ws):
    return ws.mean(), (ws - ws.mean()).square().sum(1).mean().sqrt()


def rows_less_their_own_mean(ws):
    mean = ws.mean(1)
    return ws.mean(0), (ws - mean).square().sum(1).mean().sqrt()


RIGHT = [
    ("distances", w_statistics),
    ("variances", by_variances),
    ("loop", by_loop),
    ("cdist", by_distances),
    ("squares", by_squares),
    ("pairs", by_pairs),
]
WRONG = [
    ("mean without dim", mean_without_dim, "one number for each coordinate"),
    ("rows' own means", rows_less_their_own_mean, "the mean runs over the w, dim=0"),
    ("variances averaged", spread(lambda ws, d: ws.var(0).mean().sqrt()), "the root of the mean squared distance"),
    ("variances, N - 1", spread(lambda ws, d: ws.var(0).sum().sqrt()), "it divides by N - 1"),
    ("norm of each coordinate", spread(lambda ws, d: d.norm(dim=0)), "the sum over the coordinates is missing"),
    ("from the first w", spread(lambda ws, d: (ws - ws[0]).norm(dim=1).square().mean().sqrt()), "the root of the mean squared"),
    ("std is None", solution(std=lambda ws, d: None), "std is None"),
    ("a dict", lambda ws: {"mean": ws.mean(0), "std": ws.std()}, "the result is a dict, expected two things"),
]
