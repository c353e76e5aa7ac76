"""mix_layers(ws, others, layers): wrong and right solutions."""

import torch


def chosen(ws, layers):
    """bool [L, 1]."""
    mask = torch.zeros(ws.shape[1], 1, dtype=torch.bool)
    mask[list(layers)] = True
    return mask


def masked(change):
    """torch.where on the mask change(mask, layers)."""
    return lambda ws, others, layers: torch.where(change(chosen(ws, layers), list(layers)), others, ws)


def filled(value):
    """The named layers become value(ws, others)."""
    return lambda ws, others, layers: torch.where(chosen(ws, layers), value(ws, others), ws)


def in_place(ws, others, layers):
    ws[:, list(layers)] = others[:, list(layers)]
    return ws


def no_clone(ws, others, layers):
    mixed = ws
    for layer in layers:
        mixed[:, layer] = others[:, layer]
    return mixed


def others_in_place(ws, others, layers):
    rest = [layer for layer in range(ws.shape[1]) if layer not in layers]
    others[:, rest] = ws[:, rest]
    return others


def from_first_to_last(mask, layers):
    places = torch.arange(len(mask))[:, None]
    return (places >= min(layers, default=99)) & (places <= max(layers, default=-1))


def from_the_first_on(mask, layers):
    return torch.arange(len(mask))[:, None] >= min(layers, default=99)


def up_to_the_last(mask, layers):
    return torch.arange(len(mask))[:, None] <= max(layers, default=-1)


def as_many(mask, layers):
    return torch.arange(len(mask))[:, None] < len(layers)


def only_the_first(mask, layers):
    return torch.arange(len(mask))[:, None] == (layers[0] if layers else -1)


def returns_in_the_loop(ws, others, layers):
    mixed = ws.clone()
    for layer in layers:
        mixed[:, layer] = others[:, layer]
        return mixed
    return mixed


def clones_in_the_loop(ws, others, layers):
    mixed = ws.clone()
    for layer in layers:
        mixed = ws.clone()
        mixed[:, layer] = others[:, layer]
    return mixed


def packed(ws, others, layers):
    mixed = ws.clone()
    for i, layer in enumerate(layers):
        mixed[:, layer] = others[:, i]
    return mixed


def entries(ws, others, layers):
    mixed = ws.clone()
    mixed[..., list(layers)] = others[..., list(layers)]
    return mixed


def pictures(ws, others, layers):
    mixed = ws.clone()
    layers = [layer for layer in layers if layer < len(ws)]
    mixed[layers] = others[layers]
    return mixed


def only_the_named(ws, others, layers):
    return others[:, list(layers)]


def joined(ws, others, layers):
    rest = [layer for layer in range(ws.shape[1]) if layer not in layers]
    return torch.cat([ws[:, rest], others[:, list(layers)]], dim=1)


def all_or_nothing(ws, others, layers):
    return others.clone() if layers else ws.clone()


def others_detached(ws, others, layers):
    return torch.where(chosen(ws, layers), others.detach(), ws)


def no_graph(ws, others, layers):
    with torch.no_grad():
        return torch.where(chosen(ws, layers), others, ws)


def new_tensor(ws, others, layers):
    return torch.tensor(torch.where(chosen(ws, layers), others, ws).tolist())


def nothing(ws, others, layers):
    torch.where(chosen(ws, layers), others, ws)


WRONG = [
    ("exchanged", masked(lambda mask, layers: ~mask), "the two are exchanged"),
    ("in place", in_place, "it changed ws or others in place"),
    ("no clone", no_clone, "it changed ws or others in place"),
    ("others in place", others_in_place, "it changed ws or others in place"),
    ("first to last", masked(from_first_to_last), "from the first to the last named one"),
    ("from the first on", masked(from_the_first_on), "from the first named one on"),
    ("up to the last", masked(up_to_the_last), "up to the last named one"),
    ("as many", masked(as_many), "as many as are named"),
    ("only the first", masked(only_the_first), "only the first named layer"),
    ("return in the loop", returns_in_the_loop, "only the first named layer"),
    ("clone in the loop", clones_in_the_loop, "only the last named layer"),
    ("packed", packed, "others begins with its own layer 0"),
    ("counted from 1", masked(lambda mask, layers: mask.roll(-1, 0)), "layers are counted from 1"),
    ("one too late", masked(lambda mask, layers: mask.roll(1, 0)), "one layer too late"),
    ("from the end", masked(lambda mask, layers: mask.flip(0)), "layers are counted from the end"),
    ("averaged", filled(lambda ws, others: (ws + others) / 2), "the named layers are averaged"),
    ("all averaged", lambda ws, others, layers: (ws + others) / 2, "the two are averaged"),
    ("added", filled(lambda ws, others: ws + others), "the two are added"),
    ("zeros", filled(lambda ws, others: 0 * others), "the named layers are 0"),
    ("first of others", filled(lambda ws, others: others[:1].expand_as(ws)), "others' first one"),
    ("entries", entries, "layers counts entries of w"),
    ("pictures", pictures, "expected the named layers from others"),
    ("unchanged", lambda ws, others, layers: ws, "nothing is mixed"),
    ("all of others", all_or_nothing, "everything comes from others"),
    ("only the named", only_the_named, "all layers stay"),
    ("joined", joined, "expected the named layers from others"),
    ("others detached", others_detached, "no gradient reaches others"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("new tensor", new_tensor, "no gradient flows back"),
    ("no return", nothing, "return statement missing"),
]


def by_index(ws, others, layers):
    mixed = ws.clone()
    mixed[:, list(layers)] = others[:, list(layers)]
    return mixed


def by_loop(ws, others, layers):
    mixed = ws.clone()
    for layer in layers:
        mixed[:, layer] = others[:, layer]
    return mixed


def by_stack(ws, others, layers):
    return torch.stack([(others if i in layers else ws)[:, i] for i in range(ws.shape[1])], dim=1)


def by_product(ws, others, layers):
    share = chosen(ws, layers).float()
    return share * others + (1 - share) * ws


RIGHT = [
    ("index", by_index),
    ("loop", by_loop),
    ("stack", by_stack),
    ("where", filled(lambda ws, others: others)),
    ("mask", by_product),
]
