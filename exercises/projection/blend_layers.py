"""blend_layers(coarse, fine, from_layer, layer_of): two networks in one (Pinkney and Adler 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import kind_of, require, shape, tensor
from exercises.probing import Answer, Case, copied, equal, plain

# The layer of each entry; the mapping network belongs to no layer of the synthesis.
PLACES = {
    "mapping.fc0.weight": None,
    "mapping.fc0.bias": None,
    "mapping.w_avg": None,
    "synthesis.b4.const": 0,
    "synthesis.b4.conv1.weight": 0,
    "synthesis.b4.conv1.bias": 0,
    "synthesis.b4.torgb.weight": 1,
    "synthesis.b8.conv0.weight": 1,
    "synthesis.b8.conv0.noise_const": 1,
    "synthesis.b8.conv0.count": 1,
    "synthesis.b8.conv1.weight": 2,
    "synthesis.b8.conv1.bias": 2,
    "synthesis.b16.conv0.weight": 3,
    "synthesis.b16.conv0.count": 3,
    "synthesis.b16.torgb.bias": 3,
}


def cases(g: torch.Generator) -> list[Case]:
    def entry(name: str) -> Tensor:
        whole = name.endswith("count")
        return torch.randint(1, 10**6, (), generator=g) if whole else torch.randn(2, 3, generator=g)

    coarse, fine = (
        {name: entry(name) for name in names} for names in (PLACES, reversed(PLACES))
    )  # names go together, not places
    return [{"coarse": coarse, "fine": fine, "from_layer": at, "places": PLACES} for at in (2, 1, 3, 0, 4)]


def probe(blend_layers: Callable, case: Case) -> Answer:
    def layer_of(name: str) -> int | None:
        return case["places"][name]

    before = copied(case)
    value = plain(blend_layers(case["coarse"], case["fine"], case["from_layer"], layer_of))
    return {"value": value, "changed": [name for name in ("coarse", "fine") if not equal(case[name], before[name])]}


def call(case: Case) -> str:
    return f"the blend with from_layer={case['from_layer']} (a row for each layer, the last for None)"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    got, at = answer["value"], case["from_layer"]
    require(got is not None, "it returned None: is the return statement missing?")
    require(isinstance(got, dict), f"it returned a {kind_of(got)}, expected a state dict, name -> tensor")
    for name in answer["changed"]:
        require(False, f"it changed {name} in place: make a new dict, dict({name})")
    for name in got:
        known = f"with from_layer={at}, {name[:60]!r} is no entry of the networks: keep the names as they are"
        require(name in PLACES, known)
    missing = [name for name in PLACES if name not in got]
    why = "each entry comes from one of the two"
    if all(PLACES[name] is None for name in missing):
        why = "the mapping network, layer None, comes from coarse"
    elif all((PLACES[name] or 0) >= at for name in missing):
        why = "the layers from from_layer on come from fine"
    few = f"with from_layer={at}, {len(missing)} of {len(PLACES)} entries are missing, such as {' '.join(missing[:1])}"
    require(not missing, f"{few}: {why}")
    for name, entry in got.items():
        want = case["coarse"][name]
        same = tensor(entry, f"the entry {name}").shape == want.shape
        require(same, f"{name} has the shape {shape(entry)}, expected {shape(want)}: go by names, not by places")
    layers = [[got[name].double().flatten() for name in PLACES if PLACES[name] == layer] for layer in (0, 1, 2, 3, None)]
    return {"": torch.nn.utils.rnn.pad_sequence([torch.cat(entries) for entries in layers], batch_first=True)}


# -- mistakes


def taking(choose: Callable) -> Callable:
    """choose(layer, from_layer, entry of coarse, entry of fine) for each name."""
    return lambda coarse, fine, from_layer, layer_of: {
        name: choose(layer_of(name), from_layer, coarse[name], fine[name]) for name in coarse
    }


def where(condition: Callable) -> Callable:
    """fine's entry where condition(layer, from_layer), coarse's elsewhere."""
    return taking(lambda layer, at, c, f: f if condition(layer, at) else c)


def inside(layer: int | None, at: int) -> bool:
    return layer is not None and layer >= at


blend_layers = where(inside)


def changed(change: Callable) -> Callable:
    """The entries of fine's layers become change(coarse's, fine's)."""
    return taking(lambda layer, at, c, f: change(c, f) if inside(layer, at) else c)


def kept(keep: Callable[[int | None, int], bool]) -> Callable:
    """Only the entries where keep(layer, from_layer)."""

    def blend(coarse: dict, fine: dict, from_layer: int, layer_of: Callable) -> dict:
        blended = blend_layers(coarse, fine, from_layer, layer_of)
        return {name: value for name, value in blended.items() if keep(layer_of(name), from_layer)}

    return blend


def in_place(coarse: dict, fine: dict, from_layer: int, layer_of: Callable) -> dict:
    coarse.update({name: fine[name] for name in fine if inside(layer_of(name), from_layer)})
    return coarse


MISTAKES = {
    "one layer too late: layer number from_layer is fine's already": where(lambda i, at: i is not None and i > at),
    "one layer too early: layer number from_layer - 1 is still coarse's": where(lambda i, at: i is not None and i >= at - 1),
    "layer 0 stays coarse's at from_layer=0: 0 is a layer, ask `is None`": where(lambda i, at: i and i >= at),
    "None counts as layer 0, expected always from coarse": where(lambda i, at: (i or 0) >= at),
    "the mapping network, layer None, comes from fine, expected from coarse": where(lambda i, at: i is None or i >= at),
    "only layer number from_layer comes from fine, expected all from there on": where(lambda i, at: i == at),
    "nothing is blended, all of it is coarse's": where(lambda i, at: False),
    "all of it is fine's": where(lambda i, at: True),
    "the two are exchanged: coarse gives the layers before from_layer": where(lambda i, at: i is not None and i < at),
    "the two are exchanged, the mapping network as well": where(lambda i, at: not inside(i, at)),
    "the two are exchanged, and one layer too late: fine gives the layers from from_layer on": (
        where(lambda i, at: i is not None and i <= at)
    ),
    "the two are averaged, expected one or the other": taking(lambda i, at, c, f: (c + f) / 2),
    "the layers from from_layer on are averaged, expected fine's": changed(lambda c, f: (c + f) / 2),
    "the layers from from_layer on are added, expected fine's": changed(lambda c, f: c + f),
    "whole numbers stay coarse's: every entry of a layer goes along": changed(lambda c, f: f if f.is_floating_point() else c),
}

EXERCISE = Exercise(
    component="blend_layers",
    chapter=5,
    place=8,
    minutes=8,
    difficulty=2,
    task="One network with the fine layers of another.",
    verified="every first layer of fine, the mapping network, all entries there, both networks untouched",
    reference=blend_layers,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected fine's entries where the layer is from_layer or more, coarse's elsewhere",
    mistakes=MISTAKES,
    refused=[
        ("None is no number", where(lambda i, at: i >= at)),
        ("the layers from from_layer on come from fine", kept(lambda i, at: not inside(i, at))),
        ("the mapping network, layer None, comes from coarse", kept(lambda i, at: i is not None)),
        ("entries are missing", kept(inside)),
        ("changed coarse in place", in_place),
        ("expected a state dict", lambda coarse, *others: list(coarse.values())),
        ("return statement missing", lambda *arguments: None),
    ],
    hints={
        r"'NoneType' and 'int'|'int' and 'NoneType'": "None is no number: ask `is None` before you compare",
        r"object is not subscriptable": "layer_of is a function: layer_of(name)",
    },
    tolerance=0.0,
)
