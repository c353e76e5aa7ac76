"""truncate(ws, w_avg, psi, cutoff=None): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.stylegan.truncate import cut, drawn, joined, solution


def by_lerp(ws, w_avg, psi, cutoff=None):
    result = ws.clone()
    result[:, :cutoff] = w_avg.lerp(result[:, :cutoff], psi)
    return result


def by_where(ws, w_avg, psi, cutoff=None):
    layers = torch.arange(ws.shape[1]).view(1, -1, 1)
    cutoff = ws.shape[1] if cutoff is None else cutoff
    return torch.where(layers < cutoff, psi * ws + (1 - psi) * w_avg, ws)


def by_strengths(ws, w_avg, psi, cutoff=None):
    psis = torch.ones(ws.shape[1], 1)
    psis[:cutoff] = psi
    return w_avg + psis * (ws - w_avg)


def by_layers(ws, w_avg, psi, cutoff=None):
    with torch.no_grad():
        last = ws.shape[1] if cutoff is None else cutoff
        return torch.stack([w_avg + psi * (w - w_avg) if i < last else w for i, w in enumerate(ws.unbind(1))], dim=1)


def by_scatter(ws, w_avg, psi, cutoff=None):
    return ws.slice_scatter(drawn(ws[:, :cutoff], w_avg, psi), dim=1, end=cutoff)


def in_place(ws, w_avg, psi, cutoff=None):
    ws[:, :cutoff] = drawn(ws[:, :cutoff], w_avg, psi)
    return ws


def average_in_place(ws, w_avg, psi, cutoff=None):
    w_avg *= 1 - psi
    return ws * psi + w_avg if cutoff is None else joined(ws * psi + w_avg, ws, cutoff)


def no_clone(ws, w_avg, psi, cutoff=None):
    result = ws
    return in_place(result, w_avg, psi, cutoff)


def compares_none(ws, w_avg, psi, cutoff=None):
    return torch.stack([drawn(w, w_avg, psi) if i < cutoff else w for i, w in enumerate(ws.unbind(1))], dim=1)


def averaged_layers(ws, w_avg, psi, cutoff=None):
    return drawn(ws, w_avg, psi).mean(1)


RIGHT = [
    ("lerp", by_lerp),
    ("where", by_where),
    ("strengths", by_strengths),
    ("layer by layer", by_layers),
    ("slice_scatter", by_scatter),
    ("cat", cut(lambda y, ws, w_avg, at: torch.cat([y[:, :at], ws[:, at:]], dim=1))),
]
WRONG = [
    ("in place", in_place, "changed ws in place"),
    ("no cutoff", drawn, "check the signature"),
    ("no return", lambda ws, w_avg, psi, cutoff=None: None, "return statement missing"),
    ("average in place", average_in_place, "changed w_avg in place"),
    ("no clone", no_clone, "changed ws in place"),
    ("None compared", compares_none, "ask `cutoff is None`"),
    ("averaged layers", averaged_layers, "expected [4, 6, 5]"),
    ("if cutoff", lambda ws, avg, psi, cutoff=None: by_where(ws, avg, psi, cutoff if cutoff else None), "0 is not None"),
    ("no brackets", solution(lambda ws, avg, psi: avg + psi * ws - avg), "it is drawn towards zero"),
    ("psi held in [0, 1]", solution(lambda ws, avg, psi: avg.lerp(ws, max(0, min(1, psi)))), "psi is held in [0, 1]"),
    ("lerp reversed", solution(lambda ws, avg, psi: torch.lerp(ws, avg.expand_as(ws), psi)), "psi is the wrong way round"),
    ("the rest in place", lambda ws, avg, psi, cutoff=None: ws.copy_(by_lerp(ws, avg, psi, cutoff)), "changed ws in place"),
    ("numpy", lambda ws, avg, psi, cutoff=None: by_lerp(ws, avg, psi, cutoff).numpy(), "expected a tensor"),
]
