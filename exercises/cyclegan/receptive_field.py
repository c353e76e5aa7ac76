"""receptive_field(layers): how much of the picture one logit sees (Isola and others 2017, appendix 6.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import number, require
from exercises.probing import Answer, Case
from facegen.models.cyclegan import receptive_field


def cases(g: torch.Generator) -> list[Case]:
    return [{"layers": layers} for layers in range(1, 7)]


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    value = number(answer["value"])
    require(value.isfinite().all(), f"receptive_field({case['layers']}) is NaN or infinity")
    return {"": value}


# -- mistakes


def walk(
    after: Sequence[int] = (1, 1), before: Sequence[int] = (), kernel: int = 4, less: int = 1, start: int = 1, more: int = 0
) -> Callable[[int], int]:
    """The walk back with other strides at its begin and end, and other numbers."""

    def wrong(layers: int) -> int:
        side = start
        for stride in (*after, *[2] * (layers + more), *before):
            side = (side - less) * stride + kernel
        return side

    return wrong


right = walk()


def swapped(layers: int) -> int:
    side = 1
    for stride in [1, 1] + [2] * layers:
        side = (side - 1) * 4 + stride
    return side


MISTAKES = {
    "it is always the same: is layers used?": lambda layers: 70,
    "the two convolutions of stride 1 are left out": walk(()),
    "only one convolution of stride 1 is counted, there are two": walk((1,)),
    "three convolutions of stride 1 are counted, there are two": walk((1, 1, 1)),
    "one strided convolution too many, there are `layers` in all": walk(more=1),
    "one strided convolution too few, there are `layers` in all": walk(more=-1),
    "a kernel of 3, expected 4": walk(kernel=3),
    "r * stride + kernel, expected (r - 1) * stride + kernel": walk(less=0),
    "(r - 1) * kernel + stride, expected (r - 1) * stride + kernel": swapped,
    "begin at the last map with one logit, r = 1, not 0": walk(start=0),
    "the walk goes forwards: begin with the last convolution, which has stride 1": walk((), (1, 1)),
    "one convolution of stride 1 is at the wrong end: both are the last of the network": walk((1,), (1,)),
    "strides are left out: a pixel of a later map is 2, 4, 8 pixels of the picture wide": lambda layers: 1 + 3 * (layers + 2),
    "this is the number of pixels, expected the side": lambda layers: right(layers) ** 2,
}

EXERCISE = Exercise(
    component="receptive_field",
    chapter=3,
    place=4,
    minutes=10,
    difficulty=1,
    task="How large a patch of the picture one logit sees.",
    verified="1 to 6 layers",
    reference=receptive_field,
    cases=cases,
    judge=judge,
    call=lambda case: f"receptive_field({case['layers']})",
    rule="going back, r pixels of a map need (r - 1) * stride + kernel pixels of the map before",
    mistakes=MISTAKES,
    refused=[
        ("expected 286", lambda layers: {1: 16, 2: 34, 3: 70, 4: 142, 6: 574}.get(layers, 142)),
        ("return statement missing", lambda layers: None),
        ("is a tuple, expected one number", lambda layers: (right(layers), right(layers))),
        ("is a str, expected one number", lambda layers: f"{right(layers)}x{right(layers)}"),
    ],
    hints={"'int' object is not iterable": "layers is a number: [2] * layers is a list of as many strides"},
    tolerance=1e-6,
)
