"""w_statistics(ws) -> (mean, std): wrong and right solutions."""

import torch


def spread(std):
    """The right mean, and std(ws, ws - mean)."""
    return lambda ws: (ws.mean(0), std(ws, ws - ws.mean(0)))


def centre(mean):
    """mean(ws), and the right std."""
    return lambda ws: (mean(ws), (ws - ws.mean(0)).square().sum(1).mean().sqrt())


def in_place(ws):
    mean = ws.mean(0)
    ws -= mean
    return mean, ws.square().sum(1).mean().sqrt()


def exchanged(ws):
    mean = ws.mean(0)
    return (ws - mean).square().sum(1).mean().sqrt(), mean


def only_the_mean(ws):
    return ws.mean(0)


def nothing(ws):
    mean = ws.mean(0)
    (ws - mean).square().sum(1).mean().sqrt()


def sloppy_root(ws):
    mean = ws.mean(0)
    return mean, (ws - mean).norm(dim=1).mean()


WRONG = [
    ("no root", spread(lambda ws, away: away.square().sum(1).mean()), "the root is missing"),
    ("mean distance", sloppy_root, "this is the mean distance"),
    ("mean of all", spread(lambda ws, away: away.square().mean().sqrt()), "the mean runs over the coordinates as well"),
    ("std", spread(lambda ws, away: ws.std()), "this is ws.std()"),
    ("N - 1", spread(lambda ws, away: (away.square().sum() / (len(ws) - 1)).sqrt()), "it divides by N - 1"),
    ("from 0", spread(lambda ws, away: ws.square().sum(1).mean().sqrt()), "the mean is not subtracted"),
    ("sum over the batch", spread(lambda ws, away: away.square().sum().sqrt()), "summed over the batch"),
    ("mean std", spread(lambda ws, away: ws.std(0).mean()), "standard deviations are averaged"),
    ("sum of std", spread(lambda ws, away: ws.std(0).sum()), "standard deviations are summed"),
    ("absolute", spread(lambda ws, away: away.abs().sum(1).mean()), "it adds up |x|"),
    ("largest", spread(lambda ws, away: away.norm(dim=1).max()), "the largest distance"),
    ("spread of distances", spread(lambda ws, away: away.norm(dim=1).std()), "the spread of the distances"),
    ("cancels", spread(lambda ws, away: away.sum(1).square().mean().sqrt()), "so that they cancel"),
    ("sum of all", spread(lambda ws, away: away.square().sum()), "it sums up over everything"),
    ("each coordinate", spread(lambda ws, away: ws.std(0)), "the sum over the coordinates is missing"),
    ("each w", spread(lambda ws, away: away.norm(dim=1)), "expected one number for the whole cloud"),
    ("mean of the coordinates", centre(lambda ws: ws.mean(1)), "the mean runs over the w (dim=0)"),
    ("one number", centre(lambda ws: ws.mean()), "one number for each coordinate"),
    ("keepdim", centre(lambda ws: ws.mean(0, keepdim=True)), "without keepdim"),
    ("sum", centre(lambda ws: ws.sum(0)), "this is the sum, expected the mean"),
    ("median", centre(lambda ws: ws.median(0).values), "this is the median"),
    ("mean of everything", centre(lambda ws: ws.mean().expand(ws.shape[1])), "every coordinate gets the mean of all numbers"),
    ("in place", in_place, "it changed ws in place"),
    ("exchanged", exchanged, "mean and std changed places"),
    ("only the mean", only_the_mean, "expected the mean [w_dim] and one number"),
    ("no return", nothing, "return statement missing"),
]


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


RIGHT = [
    ("distances", spread(lambda ws, away: away.square().sum(dim=1).mean().sqrt())),
    ("variances", by_variances),
    ("loop", by_loop),
    ("cdist", by_distances),
    ("squares", by_squares),
]
