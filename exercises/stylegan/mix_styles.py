"""mix_styles(ws, others, start): the styles of two faces in one (Karras and others 2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called_with_gradients
from facegen.training.stylegan import mix_styles


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, layers, w_dim in ((4, 6, 5), (1, 4, 7), (6, 3, 8)):
        ws, others = (torch.randn(n, layers, w_dim, generator=g) for _ in range(2))
        found += [{"ws": ws, "others": others, "start": start} for start in (2, 1, *range(3, layers), 0, layers)]
    return found


def probe(mix_styles: Callable, case: Case) -> Answer:
    return called_with_gradients(mix_styles, *case.values())


def call(case: Case) -> str:
    return f"the result for ws {shape(case['ws'])}, start={case['start']}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "ws", "others")
    y, ws = tensor(answer["value"], call(case)), case["ws"]
    expected = f"{call(case)} has the shape {shape(y)}, expected {shape(ws)}: as many layers as before, on axis 1"
    require(y.shape == ws.shape, expected)
    return {"": y, **gradients(answer["gradients"], "ws", "others")}


# -- mistakes


def joined(ws: Tensor, others: Tensor, start: int, dim: int = 1) -> Tensor:
    size = ws.shape[dim]
    start = min(max(start, 0), size)
    return torch.cat([ws.narrow(dim, 0, start), others.narrow(dim, start, size - start)], dim)


MISTAKES = {
    "start=0 mixes nothing: 0 is a layer, too, from which on all are others'": lambda ws, others, start: joined(
        ws, others, start or ws.shape[1]
    ),
    "one layer too late: layer number start is already others'": lambda ws, others, start: joined(ws, others, start + 1),
    "one layer too early: layer number start - 1 is still ws's": lambda ws, others, start: joined(ws, others, start - 1),
    "all pictures get the styles of others' first one": lambda ws, others, start: joined(ws, others[:1].expand_as(ws), start),
    "the pictures of others come in another order": lambda ws, others, start: joined(ws, others.flip(0), start),
    "start is counted from the end": lambda ws, others, start: joined(ws, others, ws.shape[1] - start),
    "only layer number start is taken from others, expected all from there on": lambda ws, others, start: joined(
        joined(ws, others, start), ws, start + 1
    ),
    "only layer number start is others', and all that follow, too, are averaged": lambda ws, others, start: joined(
        ws, joined(others, (ws + others) / 2, start + 1), start
    ),
    "others begins with its own layer 0 at start, expected its layer number start": lambda ws, others, start: torch.cat(
        [ws[:, :start], others[:, : ws.shape[1] - start]], dim=1
    ),
    "start counts pictures (axis 0), expected layers (axis 1)": lambda ws, others, start: joined(ws, others, start, 0),
    "start counts entries of w (axis 2), expected layers (axis 1)": lambda ws, others, start: joined(ws, others, start, 2),
    "the layers from start on are averaged, expected those of others": lambda ws, others, start: joined(
        ws, (ws + others) / 2, start
    ),
    "the layers from start on are the two added, expected those of others": lambda ws, others, start: joined(
        ws, ws + others, start
    ),
    "the layers from start on are 0": lambda ws, others, start: joined(ws, 0 * others, start),
    "nothing is mixed, ws came back": lambda ws, others, start: ws,
    "everything comes from others": lambda ws, others, start: others,
    "the two are averaged, expected one or the other": lambda ws, others, start: (ws + others) / 2,
    "the two are exchanged: ws counts before start, others from there on": lambda ws, others, start: joined(others, ws, start),
}

EXERCISE = Exercise(
    component="mix_styles",
    chapter=4,
    place=6,
    minutes=4,
    difficulty=1,
    task="Coarse styles of one face, fine ones of another.",
    verified="every start from 0 to the number of layers, gradients to both, nothing changed",
    reference=mix_styles,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected the layers before start from ws, from there on from others",
    mistakes=MISTAKES,
    refused=[
        ("as many layers as before", lambda ws, others, start: torch.cat([ws, others], dim=1)),
        ("axis 1 counts the layers", lambda ws, others, start: torch.cat([ws[:, :start], others[:, start:]])),
    ],
    hints={SIZES + "|equal size": "axis 1 counts the layers: put [N, start, w_dim] and the rest together with dim=1"},
)
