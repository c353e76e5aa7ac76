"""mix_styles(ws, others, start): wrong and right solutions."""

import torch


def joined(first, rest, at, dim=1):
    layers = first.shape[dim]
    at = min(max(at, 0), layers)
    return torch.cat([first.narrow(dim, 0, at), rest.narrow(dim, at, layers - at)], dim=dim)


def one_layer(ws, others, start):
    y = ws.clone()
    if start < ws.shape[1]:
        y[:, start] = others[:, start]
    return y


def in_place(ws, others, start):
    ws[:, start:] = others[:, start:]
    return ws


def others_in_place(ws, others, start):
    others[:, :start] = ws[:, :start]
    return others


def no_clone(ws, others, start):
    mixed = ws
    mixed[:, start:] = others[:, start:]
    return mixed


def rest_averaged(ws, others, start):
    return joined(ws, (ws + others) / 2, start)


def others_from_its_start(ws, others, start):
    return torch.cat([ws[:, :start], others[:, : ws.shape[1] - start]], dim=1)


def both_whole(ws, others, start):
    return torch.cat([ws, others], dim=1)


def gap(ws, others, start):
    return torch.cat([ws[:, :start], others[:, start + 1 :]], dim=1)


def overlap(ws, others, start):
    return torch.cat([ws[:, : start + 1], others[:, start:]], dim=1)


def under_each_other(ws, others, start):
    return torch.cat([ws[:, :start], others[:, start:]], dim=0) if start * 2 == ws.shape[1] else torch.cat([ws, others], dim=0)


def own_draw(ws, others, start):
    return joined(ws, others, int(torch.randint(1, ws.shape[1], ())))


def zero_means_nothing(ws, others, start):
    return joined(ws, others, start) if start else ws


def minus_start(ws, others, start):
    return torch.cat([ws[:, :-start], others[:, -start:]], dim=1) if start else ws


def first_of_others(ws, others, start):
    return joined(ws, others[:1].expand_as(ws), start)


def others_cut(ws, others, start):
    return joined(ws, others.detach(), start)


def ws_cut(ws, others, start):
    with torch.no_grad():
        mixed = ws.clone()
    mixed[:, start:] = others[:, start:]
    return mixed


def no_graph(ws, others, start):
    with torch.no_grad():
        return joined(ws, others, start)


def nothing(ws, others, start):
    joined(ws, others, start)


WRONG = [
    ("exchanged", lambda ws, others, start: joined(others, ws, start), "the two are exchanged"),
    ("one too late", lambda ws, others, start: joined(ws, others, start + 1), "one layer too late"),
    ("one too early", lambda ws, others, start: joined(ws, others, start - 1), "one layer too early"),
    ("in place", in_place, "it changed ws or others in place"),
    ("others in place", others_in_place, "it changed ws or others in place"),
    ("no clone", no_clone, "it changed ws or others in place"),
    ("one layer", one_layer, "only layer number start"),
    ("averaged", lambda ws, others, start: (ws + others) / 2, "the two are averaged"),
    ("rest averaged", rest_averaged, "the layers from start on are averaged"),
    ("added", lambda ws, others, start: joined(ws, ws + others, start), "the two are added"),
    ("from the end", minus_start, "start is counted from the end"),
    ("pictures", lambda ws, others, start: joined(ws, others, start, dim=0), "start counts pictures"),
    ("entries", lambda ws, others, start: joined(ws, others, start, dim=2), "start counts entries"),
    ("others from its start", others_from_its_start, "others begins with its own layer 0"),
    ("both whole", both_whole, "as many layers as before"),
    ("gap", gap, "as many layers as before"),
    ("overlap", overlap, "as many layers as before"),
    ("under each other", under_each_other, "as many layers as before"),
    ("start drawn again", own_draw, "expected the layers before start from ws"),
    ("0 means nothing", zero_means_nothing, "nothing is mixed"),
    ("first of others", first_of_others, "others' first one"),
    ("rest is 0", lambda ws, others, start: joined(ws, 0 * others, start), "the layers from start on are 0"),
    ("unchanged", lambda ws, others, start: ws, "nothing is mixed"),
    ("all of others", lambda ws, others, start: others, "everything comes from others"),
    ("others detached", others_cut, "no gradient reaches others"),
    ("ws detached", ws_cut, "no gradient reaches ws"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("no return", nothing, "return statement missing"),
]


def by_cat(ws, others, start):
    return torch.cat((ws[:, :start, :], others[:, start:, :]), 1)


def by_clone(ws, others, start):
    mixed = ws.clone()
    mixed[:, start:] = others[:, start:]
    return mixed


def by_where(ws, others, start):
    return torch.where((torch.arange(ws.size(1)) < start)[None, :, None], ws, others)


def by_mask(ws, others, start):
    mask = torch.zeros(ws.shape[1], 1)
    mask[start:] = 1
    return ws * (1 - mask) + others * mask


def by_layers(ws, others, start):
    return torch.stack([(ws if i < start else others)[:, i] for i in range(ws.shape[1])], dim=1)


RIGHT = [("cat", by_cat), ("clone", by_clone), ("where", by_where), ("mask", by_mask), ("layer by layer", by_layers)]
