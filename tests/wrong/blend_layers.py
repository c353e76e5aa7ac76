"""blend_layers(coarse, fine, from_layer, layer_of): wrong and right solutions."""

from collections import OrderedDict


def taking(choose):
    """choose(layer, from_layer, entry of coarse, entry of fine) for each name."""

    def solution(coarse, fine, from_layer, layer_of):
        return {name: choose(layer_of(name), from_layer, coarse[name], fine[name]) for name in coarse}

    return solution


def where(condition):
    """fine's entry where condition(layer, from_layer), coarse's elsewhere."""
    return taking(lambda layer, start, c, f: f if condition(layer, start) else c)


def inside(layer, start):
    return layer is not None and layer >= start


def coarse_updated(coarse, fine, from_layer, layer_of):
    for name in coarse:
        if inside(layer_of(name), from_layer):
            coarse[name] = fine[name]
    return coarse


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


def only_from_fine(coarse, fine, from_layer, layer_of):
    return {name: fine[name] for name in fine if inside(layer_of(name), from_layer)}


def without_mapping(coarse, fine, from_layer, layer_of):
    return {name: (fine if layer_of(name) >= from_layer else coarse)[name] for name in coarse if layer_of(name) is not None}


def only_from_coarse(coarse, fine, from_layer, layer_of):
    return {name: coarse[name] for name in coarse if not inside(layer_of(name), from_layer)}


def by_place(coarse, fine, from_layer, layer_of):
    pairs = zip(coarse.items(), fine.values())
    return {name: f if inside(layer_of(name), from_layer) else c for (name, c), f in pairs}


def weights_only(coarse, fine, from_layer, layer_of):
    def taken(name):
        return inside(layer_of(name), from_layer) and name.endswith("weight")

    return {name: (fine if taken(name) else coarse)[name] for name in coarse}


def never_asked(coarse, fine, from_layer, layer_of):
    return {**coarse, **fine}


def shortened_names(coarse, fine, from_layer, layer_of):
    blended = taking(lambda layer, start, c, f: f if inside(layer, start) else c)(coarse, fine, from_layer, layer_of)
    return {name.removeprefix("synthesis."): value for name, value in blended.items()}


def a_list(coarse, fine, from_layer, layer_of):
    return [fine[name] if inside(layer_of(name), from_layer) else coarse[name] for name in coarse]


def layer_as_a_dict(coarse, fine, from_layer, layer_of):
    return {name: (fine if inside(layer_of[name], from_layer) else coarse)[name] for name in coarse}


def nothing(coarse, fine, from_layer, layer_of):
    where(inside)(coarse, fine, from_layer, layer_of)


WRONG = [
    ("one too late", where(lambda i, start: i is not None and i > start), "one layer too late"),
    ("one too early", where(lambda i, start: i is not None and i >= start - 1), "one layer too early"),
    ("exchanged", where(lambda i, start: i is not None and i < start), "the two are exchanged: coarse gives the layers before"),
    ("all exchanged", where(lambda i, start: not inside(i, start)), "the two are exchanged, the mapping network as well"),
    ("mapping of fine", where(lambda i, start: i is None or i >= start), "the mapping network, layer None, comes from fine"),
    ("0 is None", where(lambda i, start: i and i >= start), "layer 0 stays coarse's"),
    ("None is 0", where(lambda i, start: (i or 0) >= start), "None counts as layer 0"),
    ("None compared", where(lambda i, start: i >= start), "None is no number"),
    ("only one", where(lambda i, start: i == start), "only layer number from_layer"),
    ("averaged", taking(lambda i, start, c, f: (c + f) / 2), "the two are averaged"),
    (
        "rest averaged",
        taking(lambda i, start, c, f: (c + f) / 2 if inside(i, start) else c),
        "the layers from from_layer on are averaged",
    ),
    (
        "no whole numbers",
        taking(lambda i, start, c, f: f if inside(i, start) and f.is_floating_point() else c),
        "whole numbers stay coarse's",
    ),
    ("weights only", weights_only, "expected fine's entries where the layer is from_layer or more"),
    ("coarse", lambda coarse, fine, from_layer, layer_of: dict(coarse), "nothing is blended"),
    ("fine", never_asked, "all of it is fine's"),
    ("coarse updated", coarse_updated, "it changed coarse in place"),
    ("copied into coarse", copied_into_coarse, "it changed coarse in place"),
    ("fine updated", fine_updated, "it changed fine in place"),
    ("only from fine", only_from_fine, "entries are missing"),
    ("without mapping", without_mapping, "the mapping network, layer None, comes from coarse"),
    ("only from coarse", only_from_coarse, "the layers from from_layer on come from fine"),
    ("by place", by_place, "expected fine's entries"),
    ("shortened names", shortened_names, "is no entry of the networks"),
    ("a list", a_list, "expected a state dict"),
    ("a dict", layer_as_a_dict, "layer_of is a function"),
    ("no return", nothing, "return statement missing"),
]


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


RIGHT = [("where", where(inside)), ("update", by_update), ("clones", by_clones), ("union", by_union)]
