"""ResidualBlock(channels): x plus a correction (He and others 2016; the block of Zhu and others 2017, appendix 7.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import network, require, shape, sound, tensor
from exercises.networks import observed
from exercises.probing import Answer, Case
from facegen.models.cyclegan import ResidualBlock

PAD = "each 3x3 convolution needs one pixel of padding (ReflectionPad2d(1) before it)"


def cases(g: torch.Generator) -> list[Case]:
    sizes = ((6, 3, (8, 8)), (4, 1, (9, 6)), (8, 4, (5, 12)))
    return [{"channels": c, "x": torch.randn(n, c, *size, generator=g), "seed": 10 + c} for c, n, size in sizes]


def probe(ResidualBlock: Callable, case: Case) -> Answer:
    return observed(ResidualBlock(case["channels"]), case["x"], case["x"].shape, case["seed"])


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    network(answer["structure"])
    y, x, c = tensor(answer["value"], "the result"), case["x"], case["channels"]
    require(not answer["changed"], "it changed x itself: no += on x, no in-place ReLU before the sum")
    doubled = "add x and its correction, no torch.cat" if y.dim() == 4 and y.shape[1] == 2 * c else PAD
    require(y.shape == x.shape, f"x of shape {shape(x)} gives {shape(y)}, expected the same: {doubled}")
    sound(answer, x)
    filters, want = answer["filters"], [c, c, 3, 3]
    found = ", ".join(map(str, filters[:4])) or "none"
    require(filters == [want] * 2, f"its filters have the shapes {found}, expected two convolutions with {want}")
    return {"": tensor(answer["known"], "the result with known filters")}


# -- mistakes

LAYERS = {
    "reflect": lambda c: nn.ReflectionPad2d(1),
    "zeros": lambda c: nn.ZeroPad2d(1),
    "repeat": lambda c: nn.ReplicationPad2d(1),
    "around": lambda c: nn.CircularPad2d(1),
    "conv": lambda c: nn.Conv2d(c, c, 3),
    "norm": lambda c: nn.InstanceNorm2d(c),
    "layernorm": lambda c: nn.GroupNorm(1, c),
    "batchnorm": nn.BatchNorm2d,
    "running": lambda c: nn.InstanceNorm2d(c, track_running_stats=True),
    "relu": lambda c: nn.ReLU(),
    "leaky": lambda c: nn.LeakyReLU(0.2),
    "in-place": lambda c: nn.ReLU(inplace=True),
    "dropout": lambda c: nn.Dropout(0.5),
}
RIGHT = "reflect conv norm relu reflect conv norm"


def block(layers: str = RIGHT, add: Callable[[Tensor, Tensor], Tensor] = torch.add) -> type[nn.Module]:
    """A block of the named layers; `add` gets x and the correction."""

    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.main = nn.Sequential(*(LAYERS[name](channels) for name in layers.split()))

        def forward(self, x: Tensor) -> Tensor:
            return add(x, self.main(x))

    return Block


def normed_sum(x: Tensor, y: Tensor) -> Tensor:
    return nn.functional.instance_norm(x + y)


MISTAKES = {
    "the input is not added": block(add=lambda x, y: y),
    "the input is added twice": block(add=lambda x, y: 2 * x + y),
    "the input is subtracted": block(add=lambda x, y: y - x),
    "the correction is subtracted, expected x + F(x)": block(add=torch.sub),
    "the correction is multiplied with x, expected x + F(x)": block(add=torch.mul),
    "there is a ReLU after the sum, which cuts off what is negative": block(add=lambda x, y: (x + y).relu()),
    "there is a ReLU before the sum, so the block can only add, never subtract": block(RIGHT + " relu"),
    "the borders are padded with zeros, expected reflection (ReflectionPad2d)": block(RIGHT.replace("reflect", "zeros")),
    "one of the borders is padded with zeros, expected reflection (ReflectionPad2d) twice": block(
        "reflect conv norm relu zeros conv norm"
    ),
    "the borders are repeated, expected reflection (ReflectionPad2d)": block(RIGHT.replace("reflect", "repeat")),
    "the borders come from the other side, expected reflection (ReflectionPad2d)": block(RIGHT.replace("reflect", "around")),
    "the ReLU between the convolutions is missing": block("reflect conv norm reflect conv norm"),
    "a leaky ReLU, expected ReLU": block(RIGHT.replace("relu", "leaky")),
    "the ReLU comes before the first norm, expected after it": block("reflect conv relu norm reflect conv norm"),
    "the instance norm after the first convolution is missing": block("reflect conv relu reflect conv norm"),
    "the instance norm after the second convolution is missing": block("reflect conv norm relu reflect conv"),
    "both instance norms are missing": block("reflect conv relu reflect conv"),
    "the norm runs over all channels at once, expected InstanceNorm2d": block(RIGHT.replace("norm", "layernorm")),
    "norm and ReLU come before their convolution, expected after it": block(
        "norm relu reflect conv norm relu reflect conv",
    ),
    "a ReLU comes before the first convolution as well": block("relu " + RIGHT),
    "the input is added before the second norm, expected after it": block("reflect conv norm relu reflect conv", normed_sum),
    "there is a norm after the sum as well": block(add=normed_sum),
}

EXERCISE = Exercise(
    component="ResidualBlock",
    chapter=3,
    place=1,
    minutes=15,
    difficulty=2,
    task="The residual block: a picture plus a correction that keeps its size.",
    verified="sizes kept, values with known filters, borders, gradients, each picture alone",
    reference=ResidualBlock,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"with known filters, the result for x {shape(case['x'])}",
    rule="expected x + F(x), F being padding, convolution, norm, ReLU, padding, convolution, norm",
    mistakes=MISTAKES,
    refused=[
        (PAD, block("conv norm relu conv norm")),
        (PAD, block("reflect " + RIGHT, lambda x, y: y)),
        ("expected InstanceNorm2d", block(RIGHT.replace("norm", "batchnorm"))),
        ("running statistics (track_running_stats)", block(RIGHT.replace("norm", "running"))),
        ("expected two convolutions", block("reflect conv norm relu")),
        ("no torch.cat", block(add=lambda x, y: torch.cat([x, y], 1))),
        ("changed x itself", block("in-place " + RIGHT)),
        ("no gradient", block(add=lambda x, y: x + y.detach())),
        ("return statement missing", block(add=lambda x, y: None)),
        ("expected an nn.Module", lambda channels: lambda x: x),
    ],
    hints={
        "must match the size": "the result of the convolutions has another size than x: " + PAD,
        "to have .* channels": "compare the layer's channels with its input's: `channels` everywhere",
    },
)
