"""blend_layers(coarse, fine, from_layer, layer_of): more wrong solutions, and right ones that are written in other ways."""

import copy
from collections import OrderedDict

from exercises.projection.blend_layers import blend_layers, changed, inside, where


def by_update(coarse, fine, from_layer, layer_of):
    blended = dict(coarse)
    blended.update({name: fine[name] for name in fine if inside(layer_of(name), from_layer)})
    return blended


def by_clones(coarse, fine, from_layer, layer_of):
    blended = OrderedDict((name, value.clone()) for name, value in coarse.items())
    for name in blended:
        layer = layer_of(name)
        if layer is None or layer < from_layer:
            continue
        blended[name].copy_(fine[name])
    return blended


def by_union(coarse, fine, from_layer, layer_of):
    places = {name: layer_of(name) for name in fine}
    kept = {name: coarse[name] for name, layer in places.items() if layer is None or layer < from_layer}
    return fine | kept


def by_minus_one(coarse, fine, from_layer, layer_of):
    """None as a layer in front of all."""
    numbers = {name: -1 if layer_of(name) is None else layer_of(name) for name in coarse}
    return {name: [coarse, fine][numbers[name] >= from_layer][name] for name in copy.copy(coarse)}


def copied_into_coarse(coarse, fine, from_layer, layer_of):
    blended = dict(coarse)
    for name, value in blended.items():
        if inside(layer_of(name), from_layer):
            value.copy_(fine[name])
    return blended


def fine_updated(coarse, fine, from_layer, layer_of):
    for name in coarse:
        if not inside(layer_of(name), from_layer):
            fine[name] = coarse[name]
    return fine


def by_place(coarse, fine, from_layer, layer_of):
    pairs = zip(coarse.items(), fine.values())
    return {name: f if inside(layer_of(name), from_layer) else c for (name, c), f in pairs}


def weights_only(coarse, fine, from_layer, layer_of):
    def taken(name):
        return inside(layer_of(name), from_layer) and name.endswith("weight")

    return {name: (fine if taken(name) else coarse)[name] for name in coarse}


def shortened_names(coarse, fine, from_layer, layer_of):
    blended = blend_layers(coarse, fine, from_layer, layer_of)
    return {name.removeprefix("synthesis."): value for name, value in blended.items()}


def layer_as_a_dict(coarse, fine, from_layer, layer_of):
    return {name: (fine if inside(layer_of[name], from_layer) else coarse)[name] for name in coarse}


def numbered(coarse, fine, from_layer, layer_of):
    """By the entry's number in the dict, not its layer's."""
    return {name: (fine if number >= from_layer else coarse)[name] for number, name in enumerate(coarse)}


def by_layer(coarse, fine, from_layer, layer_of):
    return {layer_of(name): (fine if inside(layer_of(name), from_layer) else coarse)[name] for name in coarse}


def pairs(coarse, fine, from_layer, layer_of):
    return list(blend_layers(coarse, fine, from_layer, layer_of).items())


RULE = "expected fine's entries where the layer is from_layer or more"
RIGHT = [
    ("where", blend_layers),
    ("update", by_update),
    ("clones", by_clones),
    ("union", by_union),
    ("minus one", by_minus_one),
]
WRONG = [
    ("copied into coarse", copied_into_coarse, "changed coarse in place"),
    ("fine updated", fine_updated, "changed fine in place"),
    ("by place", by_place, "go by names, not by places"),
    ("weights only", weights_only, RULE),
    ("shortened names", shortened_names, "is no entry of the networks"),
    ("a dict", layer_as_a_dict, "layer_of is a function"),
    ("numbered", numbered, RULE),
    ("by layer", by_layer, "is no entry of the networks"),
    ("pairs", pairs, "expected a state dict"),
    (
        "None is the last",
        where(lambda i, at: (99 if i is None else i) >= at),
        "the mapping network, layer None, comes from fine",
    ),
    ("not None alone", where(lambda i, at: i is not None), RULE),
    ("truth of None and 0", where(lambda i, at: not i or i >= at), RULE),
    ("differences", changed(lambda c, f: f - c), RULE),
]
