"""mix_styles(ws, others, start): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.stylegan.mix_styles import joined


def in_place(ws, others, start):
    ws[:, start:] = others[:, start:]
    return ws


def by_clone(ws, others, start):
    return in_place(ws.clone(), others, start)


def by_where(ws, others, start):
    return torch.where((torch.arange(ws.size(1)) < start)[None, :, None], ws, others)


def by_mask(ws, others, start):
    mask = torch.zeros(ws.shape[1], 1)
    mask[start:] = 1
    return ws * (1 - mask) + others * mask


def by_layers(ws, others, start):
    return torch.stack([(ws if i < start else others)[:, i] for i in range(ws.shape[1])], dim=1)


def by_choice(ws, others, start):
    """Both in one row of layers, from which the wanted ones are picked."""
    layers = torch.arange(ws.shape[1])
    return torch.cat([ws, others], dim=1)[:, torch.where(layers < start, layers, layers + len(layers))]


def no_clone(ws, others, start):
    mixed = ws
    return in_place(mixed, others, start)


def overlap(ws, others, start):
    return torch.cat([ws[:, : start + 1], others[:, start:]], dim=1)


def under_each_other(ws, others, start):
    return torch.cat([ws[:, :start], others[:, start:]], dim=0) if start * 2 == ws.shape[1] else torch.cat([ws, others], dim=0)


def own_draw(ws, others, start):
    return joined(ws, others, int(torch.randint(1, ws.shape[1], ())))


def ws_cut(ws, others, start):
    with torch.no_grad():
        mixed = ws.clone()
    return in_place(mixed, others, start)


def no_graph(ws, others, start):
    with torch.no_grad():
        return joined(ws, others, start)


def minus_start(ws, others, start):
    return torch.cat([ws[:, :-start], others[:, -start:]], dim=1) if start else ws


RIGHT = [
    ("cat", lambda ws, others, start: torch.cat((ws[:, :start, :], others[:, start:, :]), 1)),
    ("clone", by_clone),
    ("where", by_where),
    ("mask", by_mask),
    ("layer by layer", by_layers),
    ("picked", by_choice),
]
WRONG = [
    ("stack", lambda ws, others, start: torch.stack([ws[:, :start], others[:, start:]], 1), "axis 1 counts the layers"),
    ("added parts", lambda ws, others, start: ws[:, :start] + others[:, start:], "axis 1 counts the layers"),
    ("in place", in_place, "changed ws in place"),
    ("others in place", lambda ws, others, start: others[:, :start].copy_(ws[:, :start]), "changed others in place"),
    ("gap", lambda ws, others, start: torch.cat([ws[:, :start], others[:, start + 1 :]], dim=1), "as many layers as before"),
    ("no return", lambda ws, others, start: None, "return statement missing"),
    ("no clone", no_clone, "changed ws in place"),
    ("overlap", overlap, "as many layers as before"),
    ("under each other", under_each_other, "as many layers as before"),
    ("drawn again", own_draw, "expected the layers before start from ws"),
    ("from the end", minus_start, "start is counted from the end"),
    ("ws cut", ws_cut, "not this gradient"),
    ("others cut", lambda ws, others, start: joined(ws, others.detach(), start), "the gradient for others"),
    ("no_grad", no_graph, "not this gradient"),
    ("if start", lambda ws, others, start: joined(ws, others, start) if start else ws, "start=0 mixes nothing"),
    ("flipped batch", lambda ws, others, start: joined(ws, others[torch.arange(len(ws)) - 1], start), "before start from ws"),
    ("counted from 1", lambda ws, others, start: by_where(ws, others, start - 1), "one layer too early"),
    ("a list of layers", lambda ws, others, start: list(joined(ws, others, start).unbind(1)), "expected a tensor"),
]
