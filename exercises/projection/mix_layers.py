"""mix_layers(ws, others, layers): any layers of another face (Karras and others 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called_with_gradients
from facegen.latent.edit import mixed

CHOICES = (
    ("list", [0, 2, 5]),
    ("range", [1, 2, 3]),
    ("tuple", [4, 1]),
    ("list", [3]),
    ("list", [5, 0]),
    ("list", [0, 1, 2, 3, 4, 5]),
    ("list", []),
    ("range", [3, 4, 5]),
)


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, w_dim in ((6, 7), (2, 6)):
        for kind, layers in CHOICES:
            ws, others = (torch.randn(n, 6, w_dim, generator=g) for _ in range(2))
            found.append({"ws": ws, "others": others, "layers": layers, "kind": kind})
    return found


def layers_of(case: Case) -> Sequence[int]:
    layers = case["layers"]
    return range(layers[0], layers[-1] + 1) if case["kind"] == "range" else {"list": list, "tuple": tuple}[case["kind"]](layers)


def probe(mix_layers: Callable, case: Case) -> Answer:
    return called_with_gradients(mix_layers, case["ws"], case["others"], layers_of(case))


def call(case: Case) -> str:
    return f"the result for ws {shape(case['ws'])}, layers={layers_of(case)}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "ws", "others", "layers")
    y, ws = tensor(answer["value"], call(case)), case["ws"]
    why = "all layers stay, the named ones are exchanged"
    if y.dim() == 3 and len(y) > len(ws):
        why = "layers are axis 1, join parts of them with dim=1"
    require(y.shape == ws.shape, f"{call(case)} has the shape {shape(y)}, expected {shape(ws)}: {why}")
    return {"": y, **gradients(answer["gradients"], "ws", "others")}


# -- mistakes


def chosen(ws: Tensor, layers: Sequence[int]) -> Tensor:
    """bool [L, 1]: whether a layer is named."""
    mask = torch.zeros(ws.shape[1], 1, dtype=torch.bool)
    mask[list(layers)] = True
    return mask


def masked(change: Callable[[Tensor], Tensor]) -> Callable:
    """Layers of others where change(mask)."""
    return lambda ws, others, layers: torch.where(change(chosen(ws, layers)), others, ws)


def filled(value: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """The named layers become value(ws, others)."""
    return lambda ws, others, layers: torch.where(chosen(ws, layers), value(ws, others), ws)


def among(inside: Callable[[Tensor, list[int]], Tensor]) -> Callable:
    """Layers of others where inside(their numbers, the named ones), if any are named."""

    def mix(ws: Tensor, others: Tensor, layers: Sequence[int]) -> Tensor:
        places = torch.arange(ws.shape[1])[:, None]
        return torch.where(inside(places, list(layers)), others, ws) if len(layers) else ws * 1

    return mix


def along(axis: int) -> Callable:
    """Counts another axis; what lies beyond its end is left out."""

    def mix(ws: Tensor, others: Tensor, layers: Sequence[int]) -> Tensor:
        inside = torch.tensor([layer for layer in layers if layer < ws.shape[axis]], dtype=torch.long)
        return ws.index_copy(axis, inside, others.index_select(axis, inside))

    return mix


def packed(ws: Tensor, others: Tensor, layers: Sequence[int]) -> Tensor:
    result = ws.clone()
    result[:, list(layers)] = others[:, : len(layers)]
    return result


def joined(ws: Tensor, others: Tensor, layers: Sequence[int]) -> Tensor:
    rest = [layer for layer in range(ws.shape[1]) if layer not in layers]
    return torch.cat([ws[:, rest], others[:, list(layers)]], dim=1)


def in_place(ws: Tensor, others: Tensor, layers: Sequence[int]) -> Tensor:
    ws[:, list(layers)] = others[:, list(layers)]
    return ws


MISTAKES = {
    "nothing is mixed, ws came back": lambda ws, others, layers: ws * 1,
    "everything comes from others, where any layers are named": among(lambda places, layers: places >= 0),
    "everything comes from others": lambda ws, others, layers: others * 1,
    "the two are exchanged: the named layers come from others": masked(torch.logical_not),
    "the named layers are averaged, expected those of others": filled(lambda ws, others: (ws + others) / 2),
    "the two are averaged, expected one or the other": lambda ws, others, layers: (ws + others) / 2,
    "the two are added in the named layers, expected others alone": filled(lambda ws, others: ws + others),
    "the named layers are 0": filled(lambda ws, others: 0 * others),
    "all pictures get the layers of others' first one": filled(lambda ws, others: others[:1].expand_as(ws)),
    "others begins with its own layer 0 in the first named layer, expected the layers of the same number": packed,
    "the named layers are put at the end, expected each in its own place": joined,
    "layers are counted from 1 here, they begin at 0": masked(lambda mask: mask.roll(-1, 0)),
    "one layer too late in each case": masked(lambda mask: mask.roll(1, 0)),
    "layers are counted from the end": masked(lambda mask: mask.flip(0)),
    "the last named layer is missing, as in a slice": among(
        lambda places, layers: (places >= min(layers)) & (places < max(layers))
    ),
    "all layers from the first to the last named one come from others": among(
        lambda places, layers: (places >= min(layers)) & (places <= max(layers))
    ),
    "all layers from the first named one on come from others": among(lambda places, layers: places >= min(layers)),
    "all layers up to the last named one come from others": among(lambda places, layers: places <= max(layers)),
    "only the first named layer comes from others: is there a return in the loop?": among(
        lambda places, layers: places == layers[0]
    ),
    "only the last named layer comes from others: is ws cloned anew in the loop?": among(
        lambda places, layers: places == layers[-1]
    ),
    "the first layers come from others, as many as are named": among(lambda places, layers: places < len(layers)),
    "layers counts pictures (axis 0), expected layers (axis 1)": along(0),
    "layers counts entries of w (axis 2), expected layers (axis 1)": along(2),
}

EXERCISE = Exercise(
    component="mix_layers",
    chapter=5,
    place=7,
    minutes=5,
    difficulty=1,
    task="One face with some layers of another.",
    verified="lists, ranges and tuples of layers, gaps, none and all, gradients to both, nothing changed",
    reference=mixed,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected the named layers from others, all the rest from ws",
    mistakes=MISTAKES,
    refused=[
        ("changed ws in place", in_place),
        ("all layers stay", lambda ws, others, layers: others[:, list(layers)]),
        ("the gradient for others", filled(lambda ws, others: others.detach())),
        ("layers may be empty", lambda ws, others, layers: ws + 0 * layers[0]),
        ("return statement missing", lambda ws, others, layers: None),
    ],
    hints={
        r"out of bounds for dimension 0": "axis 0 are the pictures, layers counts axis 1: mixed[:, layer]",
        r"list index out of range|empty": "layers may be empty: then all layers are those of ws",
        r"can only concatenate|has no attribute '(copy|sort|append)'": "layers may be a list, a tuple or a range: list(layers)",
        SIZES: "layers counts axis 1: take mixed[:, layer] and others[:, layer], and join parts with dim=1",
    },
)
