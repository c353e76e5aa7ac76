"""mix_layers(ws, others, layers): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.projection.mix_layers import chosen, filled


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


def by_index_copy(ws, others, layers):
    numbers = torch.tensor(tuple(layers), dtype=torch.long)
    return ws.index_copy(1, numbers, others.index_select(1, numbers))


def no_clone(ws, others, layers):
    mixed = ws
    for layer in layers:
        mixed[:, layer] = others[:, layer]
    return mixed


def others_in_place(ws, others, layers):
    rest = [layer for layer in range(ws.shape[1]) if layer not in layers]
    others[:, rest] = ws[:, rest]
    return others


def pictures(ws, others, layers):
    mixed = ws.clone()
    for layer in layers:
        mixed[layer] = others[layer]
    return mixed


def pictures_by_list(ws, others, layers):
    mixed = ws.clone()
    mixed[list(layers)] = others[list(layers)]
    return mixed


def from_the_first(ws, others, layers):
    return torch.cat([ws[:, : layers[0]], others[:, layers[0] :]], dim=1)


def from_the_least(ws, others, layers):
    return torch.cat([ws[:, : min(layers)], others[:, min(layers) :]], dim=1)


def without_dim(ws, others, layers):
    return torch.cat([ws[:, [i for i in range(ws.shape[1]) if i not in layers]], others[:, list(layers)]])


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


def list_only(ws, others, layers):
    return by_index(ws, others, layers.copy())


def sorted_in_place(ws, others, layers):
    layers.sort()
    return by_index(ws, others, layers)


def no_graph(ws, others, layers):
    with torch.no_grad():
        return by_loop(ws, others, layers)


RIGHT = [
    ("index", by_index),
    ("loop", by_loop),
    ("stack", by_stack),
    ("where", filled(lambda ws, others: others)),
    ("mask", by_product),
    ("index_copy", by_index_copy),
]
WRONG = [
    ("no clone", no_clone, "changed ws in place"),
    ("others in place", others_in_place, "changed others in place"),
    ("pictures", pictures, "axis 0"),
    ("pictures by a list", pictures_by_list, "axis 0"),
    ("from the first on", from_the_first, "layers may be empty"),
    ("from the least on", from_the_least, "layers may be empty"),
    ("cat without dim", without_dim, "join parts of them with dim=1"),
    ("return in the loop", returns_in_the_loop, "is there a return in the loop?"),
    ("clone in the loop", clones_in_the_loop, "is ws cloned anew in the loop?"),
    ("no graph", no_graph, "the values are right, but not this gradient"),
    ("a copy of the list", list_only, "layers may be a list, a tuple or a range"),
    ("sorts the list", sorted_in_place, "layers may be a list, a tuple or a range"),
    ("half of others", filled(lambda ws, others: others / 2), "expected the named layers from others"),
]
