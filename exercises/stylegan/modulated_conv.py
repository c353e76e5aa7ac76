"""modulated_conv(x, weight, styles, demodulate=True): a style that scales weights (Karras and others 2020, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import SIZES, Exercise
from exercises.judging import gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called, called_with_gradients
from facegen.models.layers import modulated_conv2d


def cases(g: torch.Generator) -> list[Case]:
    trials = [  # N, I, O, k, height, width, demodulate (None: not given), size of the styles
        (3, 4, 4, 3, 5, 6, True, 1),
        (3, 4, 4, 3, 6, 5, False, 1),
        (2, 5, 3, 3, 7, 4, None, 1),
        (1, 4, 2, 1, 4, 5, True, 1),
        (2, 3, 2, 5, 6, 7, True, 1),
        (4, 3, 2, 1, 5, 5, False, 1),
        (2, 4, 3, 3, 5, 5, None, 0.01),
        (2, 4, 3, 3, 5, 5, None, 1e-30),  # its squares are 0 in float32
    ]
    return [
        {
            "x": 0.3 + torch.randn(n, i, height, width, generator=g),
            "weight": 0.2 + torch.randn(o, i, k, k, generator=g),
            "styles": size * (0.7 + torch.randn(n, i, generator=g)),
            "options": {} if demodulate is None else {"demodulate": demodulate},
            "size": size,
        }
        for n, i, o, k, height, width, demodulate, size in trials
    ]


def probe(modulated_conv: Callable, case: Case) -> Answer:
    # What small styles have for a gradient is a question of how the 1e-8 is added.
    call = called_with_gradients if case["size"] == 1 else called
    return call(partial(modulated_conv, **case["options"]), case["x"], case["weight"], case["styles"])


def call(case: Case) -> str:
    size = f", styles near {case['size']}" if case["size"] < 1 else ""
    options = "".join(f", {name}={value}" for name, value in case["options"].items())
    return f"the result for x {shape(case['x'])}, weight {shape(case['weight'])}{options}{size}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    names = "x", "weight", "styles"
    untouched(answer, *names)
    y, x, weight = answer["value"], case["x"], case["weight"]
    if isinstance(y, Tensor):
        small = "styles near 0 give NaN or infinity: add 1e-8 to the sum under the root"
        require(case["size"] == 1 or y.isfinite().all(), small)
        require(not y.isnan().any(), f"{call(case)} has NaN: is there a root of something negative? Square before you sum")
    y = tensor(y, "the result")
    want = [len(x), len(weight), *x.shape[2:]]
    expected = f"{call(case)} has the shape {shape(y)}, expected {want}: "
    require(y.dim() == 4, expected + "four axes, N pictures of O channels")
    require(len(y) != 1 or len(x) == 1, expected + "split the one grouped picture into N again: reshape(N, O, H, W)")
    require(len(y) == len(x), expected + "one result for each picture")
    require(y.shape[1] == len(weight), expected + "as many channels as the weights have outputs")
    require(list(y.shape) == want, expected + "padding k // 2 and stride 1 keep the size, for every k")
    return {"": y, **(gradients(answer["gradients"], *names) if case["size"] == 1 else {})}


# -- mistakes


def modulated(weight: Tensor, styles: Tensor) -> Tensor:
    return weight * styles[:, None, :, None, None]  # [N, O, I, k, k]


def squares(own: Tensor) -> Tensor:
    return own.square().sum((2, 3, 4), keepdim=True)


def demodulated(own: Tensor, axes: tuple[int, ...] = (2, 3, 4), eps: float = 1e-8) -> Tensor:
    return own * (own.square().sum(axes, keepdim=True) + eps).rsqrt()


def convolved(x: Tensor, own: Tensor, border: str = "constant") -> Tensor:
    pictures = F.pad(x, (own.shape[-1] // 2,) * 4, mode=border)
    return torch.cat([F.conv2d(picture[None], weight) for picture, weight in zip(pictures, own)])


def solution(modulate: Callable = modulated, divide: Callable = demodulated, convolve: Callable = convolved) -> Callable:
    """With one of its three steps made in another way."""

    def modulated_conv(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool = True) -> Tensor:
        own = modulate(weight, styles)
        return convolve(x, divide(own) if demodulate else own)

    return modulated_conv


right, plain = solution(), solution(divide=lambda own: own)


def styled(change: Callable) -> Callable:
    """With other styles."""
    return solution(lambda weight, styles: modulated(weight, change(styles)))


def divided(size: Callable) -> Callable:
    """With another size of the weights [N, O, I, k, k] in the place of the root of the sum of squares."""
    return solution(divide=lambda own: own / (size(own) + 1e-8))


def summed(*axes: int) -> Callable:
    return solution(divide=lambda own: demodulated(own, axes))


def times(factor: float) -> Callable:
    return lambda x, weight, styles, demodulate=True: factor * right(x, weight, styles, demodulate)


def demodulated_by(sums: Callable) -> Callable:
    """With sums(weight, styles) [N or 1, O or 1] under the root."""

    def modulated_conv(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool = True) -> Tensor:
        y = convolved(x, modulated(weight, styles))
        return y * (sums(weight, styles) + 1e-8).rsqrt()[:, :, None, None] if demodulate else y

    return modulated_conv


def grouped(x: Tensor, own: Tensor, into: Callable = lambda x: x, out: Callable = lambda y, n: y.unflatten(1, (n, -1))[0]):
    """All pictures as the channels of one; `into` and `out` are its two reshapes."""
    pictures = into(x).reshape(1, -1, *x.shape[2:])
    return out(F.conv2d(pictures, own.flatten(0, 1), padding=own.shape[-1] // 2, groups=len(x)), len(x))


MISTAKES = {
    "the styles are not used": styled(torch.ones_like),
    "one picture's style counts for all, expected each its own": styled(lambda s: s[:1].expand_as(s)),
    "the batch's styles are averaged, expected each picture its own": styled(lambda s: s.mean(0, keepdim=True).expand_as(s)),
    "each picture gets its neighbour's style": styled(lambda s: s.roll(1, 0)),
    "1 is added to the styles, expected the styles as they are": styled(lambda s: 1 + s),
    "the styles count twice (squared)": styled(torch.square),
    "it divides by the styles": styled(lambda s: 1 / s),
    "the styles are normalised first, expected as they are": styled(F.normalize),
    "the kernel is flipped: F.conv2d takes the weights as they are": solution(lambda w, s: modulated(w.flip(2, 3), s)),
    "rows and columns of the kernel changed places": solution(lambda w, s: modulated(w.transpose(2, 3), s)),
    "the styles are added to the weights, expected a product": solution(lambda w, s: w + s[:, None, :, None, None]),
    "the weights are scaled by 1 / sqrt(I k k) (equalised learning rate), which is not this function's": solution(
        lambda w, s: modulated(w, s) / w[0].numel() ** 0.5
    ),
    "the styles scale the output channels (axis 0 of weight), expected the input channels": solution(
        lambda w, s: w * s[:, : len(w), None, None, None]
    ),
    "the styles scale the result's channels, expected those of x or of the weights": lambda x, w, s, demodulate=True: (
        styled(torch.ones_like)(x, w, s, demodulate) * s[:, : len(w), None, None]
    ),
    "a gain of sqrt(2) is inside": times(2**0.5),
    "the sign is wrong": times(-1),
    "the result is normalised (instance norm), expected the weights": lambda x, w, s, demodulate=True: (
        F.instance_norm(plain(x, w, s)) if demodulate else plain(x, w, s)
    ),
    "the border is padded by reflection, expected zeros": solution(convolve=partial(convolved, border="reflect")),
    "the border is repeated (replicate), expected zeros": solution(convolve=partial(convolved, border="replicate")),
    "the border is padded circularly, expected zeros": solution(convolve=partial(convolved, border="circular")),
    "the batch is mixed on the way into the groups: reshape x to [1, N * I, H, W], pictures before channels": solution(
        convolve=partial(grouped, into=lambda x: x.transpose(0, 1))
    ),
    "the batch is mixed on the way out of the groups: reshape(N, O, H, W), pictures before channels": solution(
        convolve=partial(grouped, out=lambda y, n: y.unflatten(1, (-1, n))[0].transpose(0, 1))
    ),
    "each picture gets the weights of all pictures, so that it depends on another one's style": solution(
        convolve=lambda x, own: convolved(x, own.sum(0, keepdim=True).expand_as(own))
    ),
    "the demodulation is missing": plain,
    "demodulate has to be True by default": lambda x, w, s, demodulate=False: right(x, w, s, demodulate),
    "it is demodulated although demodulate is False": lambda x, w, s, demodulate=True: right(x, w, s),
    "only the weights are in the sum of squares: modulate first, then demodulate": demodulated_by(
        lambda w, s: w.square().sum((1, 2, 3))[None]
    ),
    "only the styles are in the sum, expected the modulated weights": demodulated_by(lambda w, s: s.square().sum(1)[:, None]),
    "the root is missing: rsqrt of the sum, not 1 / sum": divided(squares),
    "it multiplies by the root, expected a division (rsqrt)": solution(divide=lambda own: own * squares(own).sqrt()),
    "it takes the mean of the squares, expected their sum": divided(lambda own: (squares(own) / own[0, 0].numel()).sqrt()),
    "it sums absolute values, expected squares": divided(lambda own: squares(own.abs().sqrt())),
    "it divides by the standard deviation, expected the root of the sum of squares": divided(
        lambda own: own.std((2, 3, 4), keepdim=True)
    ),
    "the mean over the batch is taken: each picture has its own demodulation": divided(
        lambda own: squares(own).mean(0, keepdim=True).sqrt()
    ),
    "the sum of squares runs only over the kernel, the input channels are missing": summed(3, 4),
    "the sum of squares runs only over the input channels, the kernel is missing": summed(2),
    "the sum of squares runs over the output channels, expected over input channels and kernel": summed(1),
    "the sum of squares runs over output channels and kernel, expected over input channels and kernel": summed(1, 3, 4),
    "the sum of squares runs over the output channels as well: each of them has its own": summed(1, 2, 3, 4),
    "the sum of squares runs over output and input channels, expected over input channels and kernel": summed(1, 2),
    "the sum of squares runs over the batch as well: each picture has its own": summed(0, 2, 3, 4),
    "the sum of squares runs over everything: each picture and each output channel has its own": summed(0, 1, 2, 3, 4),
    "what is added under the root outweighs the sum, expected 1e-8": solution(divide=partial(demodulated, eps=1e-4)),
}

EXERCISE = Exercise(
    component="modulated_conv",
    chapter=4,
    place=3,
    minutes=25,
    difficulty=3,
    task="A convolution whose weights a style scales, and whose output keeps its size.",
    verified="values for kernels of 1 to 5, with and without demodulation, each picture alone, 3 gradients",
    reference=lambda x, weight, styles, demodulate=True: modulated_conv2d(
        x, weight, styles, demodulate=demodulate, padding=weight.shape[2] // 2
    ),
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected a convolution with weight * style of the input channel, each output channel of each picture then, where it"
    " is demodulated, divided by sqrt(sum of squares over I, k, k + 1e-8)",
    mistakes=MISTAKES,
    refused=[
        ("styles near 0 give NaN", solution(divide=lambda own: own / squares(own).sqrt())),
        ("padding k // 2", solution(convolve=lambda x, own: convolved(x[:, :, 1:-1], own))),
        ("the styles scale the input channels", solution(lambda w, s: w * s[:, :, None, None, None])),
    ],
    hints={
        r"expected input\[.*channels|input channels divisible|at least 3 dim|match the convolution dim|Expected [34]D": "for"
        " weights of each picture's own, x becomes one picture [1, N*I, H, W], the weights [N*O, I, k, k], and groups=N",
        SIZES: "the styles scale the input channels, axis 1 of weight: beside weight [O, I, k, k] they need the shape"
        " [N, 1, I, 1, 1], beside x [N, I, 1, 1]; sums under the root need keepdim=True",
        "is invalid for input of size": "is the size still the same? padding k // 2 keeps it, for every k",
    },
)
