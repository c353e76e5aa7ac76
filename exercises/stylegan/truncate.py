"""truncate(ws, w_avg, psi, cutoff=None): styles drawn towards the average (Karras and others 2019, appendix B)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import require, shape, tensor, untouched
from exercises.probing import Answer, Case, called


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, layers, w_dim in ((4, 6, 5), (2, 5, 8)):
        a, b, c = (0.1 * torch.rand(3, generator=g)).tolist()
        for psi, cutoff in ((0.7 - a, None), (0.3 + b, 2), (0.5 + c, 0), (1, 2), (0, None), (1.5, 3), (-0.5, 1), (0.5, layers)):
            ws, w_avg = 2 * torch.randn(n, layers, w_dim, generator=g), 1.5 + torch.randn(w_dim, generator=g)
            found.append({"arguments": [ws, w_avg, psi] + ([] if cutoff is None else [cutoff])})
    return found


def probe(truncate: Callable, case: Case) -> Answer:
    return called(truncate, *case["arguments"])


def call(case: Case) -> str:
    ws, _, psi, *cutoff = case["arguments"]
    return f"the result for ws {shape(ws)}, psi={psi:.3g}" + "".join(f", cutoff={number}" for number in cutoff)


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "ws", "w_avg")
    y, ws = tensor(answer["value"], call(case)), case["arguments"][0]
    each = "one w for each layer, also for those that are not drawn"
    require(y.shape == ws.shape, f"{call(case)} has the shape {shape(y)}, expected {shape(ws)}: {each}")
    return {"": y}


# -- mistakes


def drawn(ws: Tensor, w_avg: Tensor, psi: float) -> Tensor:
    return w_avg + psi * (ws - w_avg)


def solution(pull: Callable = drawn, before: Callable = lambda cutoff, layers: cutoff) -> Callable:
    """All layers before `before(cutoff, number of layers)` become pull(ws, w_avg, psi)."""

    def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        layers = ws.shape[1]
        end = layers if cutoff is None else before(cutoff, layers)
        return torch.cat([pull(ws[:, :end], w_avg, psi), ws[:, end:]], dim=1)

    return truncate


right = solution()


def cut(choose: Callable) -> Callable:
    """choose(all drawn, ws, w_avg, cutoff) where there is a cutoff."""

    def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        return drawn(ws, w_avg, psi) if cutoff is None else choose(drawn(ws, w_avg, psi), ws, w_avg, cutoff)

    return truncate


def joined(first: Tensor, rest: Tensor, at: int, dim: int = 1) -> Tensor:
    return torch.cat([first.narrow(dim, 0, at), rest.narrow(dim, at, first.shape[dim] - at)], dim)


MISTAKES = {
    "without a cutoff, as many layers are drawn as there are pictures: ws.shape[1] counts layers": (
        lambda ws, w_avg, psi, cutoff=None: right(ws, w_avg, psi, len(ws) if cutoff is None else cutoff)
    ),
    "without a cutoff, the last layer is left out": lambda ws, w_avg, psi, cutoff=-1: right(ws, w_avg, psi, cutoff),
    "cutoff=0 truncates every layer: 0 is not None, ask `cutoff is None`": solution(before=lambda at, layers: at or layers),
    "cutoff has no effect": cut(lambda y, ws, w_avg, at: y),
    "cutoff is counted from the end, expected the first layers": cut(
        lambda y, ws, w_avg, at: joined(ws, y, max(ws.shape[1] - at, 0))
    ),
    "the layers from cutoff on are drawn, expected those before it": cut(lambda y, ws, w_avg, at: joined(ws, y, at)),
    "one layer too many is drawn": solution(before=lambda at, layers: at + 1),
    "one layer too few is drawn": solution(before=lambda at, layers: max(at - 1, 0)),
    "all but the last cutoff layers are drawn, expected the first": solution(before=lambda at, layers: max(layers - at, 0)),
    "only the layer number cutoff is drawn, expected all before it": cut(
        lambda y, ws, w_avg, at: torch.where(torch.arange(ws.shape[1])[:, None] == at, y, ws)
    ),
    "cutoff counts pictures (axis 0), expected layers (axis 1)": cut(
        lambda y, ws, w_avg, at: joined(y, ws, min(at, len(ws)), 0)
    ),
    "cutoff counts entries of w (axis 2), expected layers (axis 1)": cut(
        lambda y, ws, w_avg, at: joined(y, ws, min(at, ws.shape[2]), 2)
    ),
    "the layers after cutoff become w_avg, expected as they were": cut(
        lambda y, ws, w_avg, at: joined(y, w_avg.expand_as(ws), at)
    ),
    "the layers after cutoff become 0, expected as they were": cut(lambda y, ws, w_avg, at: joined(y, 0 * ws, at)),
    "ws came back as it was": solution(lambda ws, w_avg, psi: ws),
    "it is drawn towards zero, expected towards w_avg": solution(lambda ws, w_avg, psi: psi * ws),
    "psi is the wrong way round: 1 leaves ws as it is, 0 gives w_avg": solution(
        lambda ws, w_avg, psi: drawn(ws, w_avg, 1 - psi)
    ),
    "w_avg is not added again": solution(lambda ws, w_avg, psi: psi * (ws - w_avg)),
    "w_avg is not subtracted first": solution(lambda ws, w_avg, psi: w_avg + psi * ws),
    "psi is not used: all of the difference is gone": solution(lambda ws, w_avg, psi: drawn(ws, w_avg, 0)),
    "the difference is divided by psi": solution(lambda ws, w_avg, psi: drawn(ws, w_avg, 1 / (psi or 1))),
    "psi counts twice": solution(lambda ws, w_avg, psi: drawn(ws, w_avg, psi * psi)),
    "the difference has the wrong sign": solution(lambda ws, w_avg, psi: drawn(ws, w_avg, -psi)),
    "the difference is added to ws, expected to w_avg": solution(lambda ws, w_avg, psi: ws + psi * (ws - w_avg)),
    "psi is held in [0, 1], expected as it is: above 1 faces become less typical": solution(
        lambda ws, w_avg, psi: drawn(ws, w_avg, min(max(psi, 0), 1))
    ),
    "it is clamped, expected drawn in proportion": solution(lambda ws, w_avg, psi: ws.clamp(w_avg - psi, w_avg + psi)),
    "it is drawn towards the mean of this batch, expected towards w_avg": solution(
        lambda ws, w_avg, psi: drawn(ws, ws.mean((0, 1)), psi)
    ),
}

EXERCISE = Exercise(
    component="truncate",
    chapter=4,
    place=5,
    minutes=8,
    difficulty=1,
    task="Draw styles towards the average one.",
    verified="psi from -0.5 to 1.5, every kind of cutoff, ws untouched",
    reference=right,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected w_avg + psi * (ws - w_avg) in the first `cutoff` layers, ws in the others",
    mistakes=MISTAKES,
    refused=[
        ("also for those that are not drawn", lambda ws, w_avg, psi, cutoff=None: drawn(ws[:, :cutoff], w_avg, psi)),
    ],
    hints={"'NoneType'": "None is no number: ask `cutoff is None` before you compare"},
)
