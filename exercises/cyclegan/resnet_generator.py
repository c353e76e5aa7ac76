"""ResnetGenerator(width, blocks): halve twice, residual blocks, double twice (Zhu and others 2017, appendix 7.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.cyclegan.residual_block import RIGHT, block
from exercises.judging import network, require, shape, sound, tensor
from exercises.networks import observed
from exercises.probing import Answer, Case
from facegen.models.cyclegan import ResnetGenerator


def cases(g: torch.Generator) -> list[Case]:
    sizes = ((8, 3, 2, (16, 16)), (4, 1, 3, (32, 32)), (6, 2, 1, (16, 24)))
    pictures = [torch.tanh(F.interpolate(torch.randn(n, 3, 4, 4, generator=g), size=size)) for *_, n, size in sizes]
    return [{"width": w, "blocks": b, "x": x, "seed": w} for (w, b, *_), x in zip(sizes, pictures)]


def probe(ResnetGenerator: Callable, case: Case) -> Answer:
    net = ResnetGenerator(width=case["width"], blocks=case["blocks"])
    return observed(net, case["x"], case["x"].shape, case["seed"])


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    network(answer["structure"])
    require(not answer["changed"], "it changed the pictures it was given: the first layer works in place")
    same_size(tensor(answer["value"], "the result"), case["x"])
    sound(answer, case["x"])
    has_filters(answer["filters"], case["width"], case["blocks"])
    return {"": tensor(answer["known"], "the result with known filters")}


def same_size(y: Tensor, x: Tensor) -> None:
    expected = f"pictures {shape(x)} become {shape(y)}, expected the same shape: "
    require(y.dim() == 4 and len(y) == len(x), expected + "four axes, one picture for each picture")
    require(y.shape[1] == 3, expected + "3 colour channels at the end")
    ratio = y.shape[2] / x.shape[2]
    require(ratio not in (0.25, 0.5), expected + "what was halved twice has to be doubled twice")
    require(ratio not in (2, 4), expected + "doubled more often than halved, there are two of each")
    short = "a transposed convolution (kernel 3, stride 2, padding 1) needs output_padding=1 to double"
    require(y.shape[2] != x.shape[2] - 3, expected + short)
    pads = "7x7 convolutions need 3 pixels of padding, strided ones 1, transposed ones output_padding=1"
    require(y.shape == x.shape, expected + pads)


def has_filters(filters: list[list[int]], w: int, blocks: int) -> None:
    inner, given = [4 * w, 4 * w, 3, 3], f"with width={w} and blocks={blocks}, "
    found, widths = filters.count(inner), "are width and blocks used, and does width double twice?"
    known = {
        2: "[block] * n is one block n times: make n",
        blocks: "two 3x3 convolutions in each block",
        2 * blocks - 2: "one block is missing",
        2 * blocks + 2: "one block too many",
        0: widths,
    }
    why = known.get(found, widths)
    require(found == 2 * blocks, f"{given}{found} convolutions have the filters {inner}, expected {2 * blocks}: {why}")
    doubles = ": two convolutions of stride 2, and each doubles the channels"
    first = {"first": ([w, 3, 7, 7], ""), "second": ([2 * w, w, 3, 3], doubles), "third": ([4 * w, 2 * w, 3, 3], doubles)}
    for got, (place, (want, hint)) in zip(filters, first.items()):
        require(got == want, f"{given}the {place} convolution has the filters {got}, expected {want}{hint}")
    require(filters[-1] == [3, w, 7, 7], f"{given}the last convolution has the filters {filters[-1]}, expected {[3, w, 7, 7]}")


# -- mistakes


usual = block()


def strided(c: int, more: int) -> list[nn.Module]:
    return [nn.Conv2d(c, more, 3, 2, 1)]


def transposed(c: int, less: int) -> list[nn.Module]:
    return [nn.ConvTranspose2d(c, less, 3, 2, 1, output_padding=1)]


def enlarged(mode: str, pad: str) -> Callable:
    """Pixels repeated or blended, and a convolution, in place of the transposed one."""
    return lambda c, less: [nn.Upsample(scale_factor=2, mode=mode), nn.Conv2d(c, less, 3, padding=1, padding_mode=pad)]


def solution(
    start: Callable = nn.ReflectionPad2d,
    stop: Callable = nn.ReflectionPad2d,
    norm: Callable = nn.InstanceNorm2d,
    normed: str = "first down up",
    relu: Callable = nn.ReLU,
    down: Callable = strided,
    middle: Callable = usual,
    up: Callable = transposed,
    last: Callable = nn.Identity,
    end: Callable = torch.tanh,
) -> type[nn.Module]:
    """With other layers before the first and the last 7x7 convolution, in between, and at the end."""

    class Generator(nn.Module):
        def __init__(self, width: int = 64, blocks: int = 6) -> None:
            super().__init__()
            w = width

            def after(c: int, place: str) -> list[nn.Module]:
                return [norm(c) if place in normed else nn.Identity(), relu()]

            layers = [start(3), nn.Conv2d(3, w, 7), *after(w, "first")]
            for c in (w, 2 * w):
                layers += [*down(c, 2 * c), *after(2 * c, "down")]
            layers += [middle(4 * w) for _ in range(blocks)]
            for c in (4 * w, 2 * w):
                layers += [*up(c, c // 2), *after(c // 2, "up")]
            self.main = nn.Sequential(*layers, stop(3), nn.Conv2d(w, 3, 7), last(3))

        def forward(self, x: Tensor) -> Tensor:
            return end(self.main(x))

    return Generator


def leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


class Residual(solution()):
    """The whole network as one correction."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.main(x)).tanh()


ZEROS = " pads the picture with zeros, which show at the borders: ReflectionPad2d(3) before it"
MISTAKES = {
    "the tanh at the end is missing": solution(end=lambda x: x),
    "a sigmoid at the end, expected tanh": solution(end=torch.sigmoid),
    "a clamp at the end, expected tanh": solution(end=lambda x: x.clamp(-1, 1)),
    "there is a ReLU before the tanh, so nothing is darker than grey": solution(last=lambda c: nn.ReLU()),
    "the ReLUs between the layers are missing": solution(relu=nn.Identity, middle=block(RIGHT.replace("relu", ""))),
    "the ReLUs outside the blocks are missing": solution(relu=nn.Identity),
    "the blocks have no ReLU": solution(middle=block(RIGHT.replace("relu", ""))),
    "leaky ReLUs, expected ReLU": solution(relu=leaky, middle=block(RIGHT.replace("relu", "leaky"))),
    "leaky ReLUs outside the blocks, expected ReLU": solution(relu=leaky),
    "each 7x7 convolution" + ZEROS: solution(start=nn.ZeroPad2d, stop=nn.ZeroPad2d),
    "the first convolution" + ZEROS: solution(start=nn.ZeroPad2d),
    "the last convolution" + ZEROS: solution(stop=nn.ZeroPad2d),
    "the blocks pad with zeros, which show at the borders: ReflectionPad2d(1)": solution(
        middle=block(RIGHT.replace("reflect", "zeros"))
    ),
    "all layers pad with zeros, which show at the borders: ReflectionPad2d": solution(
        nn.ZeroPad2d, nn.ZeroPad2d, middle=block(RIGHT.replace("reflect", "zeros"))
    ),
    "no norms at all, expected an instance norm after every convolution but the last": solution(
        normed="", middle=block(RIGHT.replace("norm", ""))
    ),
    "no norms outside the blocks, expected an instance norm after every convolution but the last": solution(normed=""),
    "no norms in the blocks, expected an instance norm after every convolution but the last": solution(
        middle=block(RIGHT.replace("norm", ""))
    ),
    "no norm after the first convolution, expected an instance norm after every one but the last": solution(normed="down up"),
    "no norms where it doubles, expected an instance norm after every convolution but the last": solution(normed="first down"),
    "the norms run over all channels at once, expected an instance norm after every convolution but the last": solution(
        norm=lambda c: nn.GroupNorm(1, c)
    ),
    "there is an instance norm after the last convolution: it would fix all colours": solution(last=nn.InstanceNorm2d),
    "the blocks do not add their input": solution(middle=block(add=lambda x, y: y)),
    "the picture is added before the tanh: only the blocks add their input": Residual,
}

EXERCISE = Exercise(
    component="ResnetGenerator",
    chapter=3,
    place=2,
    minutes=30,
    difficulty=3,
    task="The generator of CycleGAN: halve twice, residual blocks, double twice.",
    verified="shapes, values with known filters, norms, borders, gradients, each picture alone",
    reference=ResnetGenerator,
    cases=cases,
    probe=probe,
    judge=judge,
    also=[
        *(solution(up=enlarged(mode, pad)) for mode in ("nearest", "bilinear") for pad in ("reflect", "zeros")),
        solution(up=lambda c, less: [nn.ConvTranspose2d(c, less, 4, 2, 1)]),
        solution(down=lambda c, more: [nn.ReflectionPad2d(1), nn.Conv2d(c, more, 3, 2)]),
    ],
    call=lambda case: f"with known filters, width={case['width']} and blocks={case['blocks']}, the result",
    rule="expected padding, 7x7, two halvings, blocks, two doublings, padding, 7x7, tanh; norm and ReLU after all but the last",
    mistakes=MISTAKES,
    refused=[
        ("needs output_padding=1", solution(up=lambda c, less: [nn.ConvTranspose2d(c, less, 3, 2, 1)])),
        ("3 pixels of padding", solution(stop=nn.Identity)),
        ("doubled twice", solution(up=lambda c, less: [nn.Conv2d(c, less, 3, padding=1)])),
        ("two of each", solution(down=lambda c, more: [nn.Conv2d(c, more, 3, padding=1)])),
        ("two 3x3 convolutions in each block", solution(middle=block("reflect conv norm"))),
        ("one block is missing", lambda width, blocks: solution()(width, blocks - 1)),
        ("one block too many", lambda width, blocks: solution()(width, blocks + 1)),
        ("are width and blocks used", lambda width, blocks: solution()(width, 6)),
        ("are width and blocks used", lambda width, blocks: solution()(8, blocks)),
        ("batch norm, expected InstanceNorm2d", solution(norm=nn.BatchNorm2d)),
        (
            "changed the pictures",
            solution(start=lambda n: nn.Sequential(nn.Hardtanh(-0.5, 0.5, inplace=True), nn.ReflectionPad2d(n))),
        ),
        ("no gradient", solution(end=lambda x: x.tanh().detach())),
        ("return statement missing", solution(end=lambda x: None)),
        ("expected an nn.Module", lambda width, blocks: lambda x: x),
    ],
    hints={"to have .* channels": "compare the layer's channels with its input's"},
)
