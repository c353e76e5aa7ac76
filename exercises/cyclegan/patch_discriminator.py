"""PatchDiscriminator(width, layers): a map of verdicts on patches (Isola and others 2017, section 3.2.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import network, require, shape, sound, tensor
from exercises.networks import observed
from exercises.probing import Answer, Case
from facegen.models.cyclegan import PatchDiscriminator


def cases(g: torch.Generator) -> list[Case]:
    found = []
    sizes = ((4, 2, 3, (24, 40)), (4, 3, 1, (48, 64)), (5, 1, 1, (24, 24)), (4, None, 2, (48, 56)), (3, 4, 1, (64, 48)))
    for w, layers, n, (height, width) in sizes:
        x = torch.tanh(F.interpolate(torch.randn(n, 3, 6, 6, generator=g), size=(height, width)))
        options = {"width": w} | ({} if layers is None else {"layers": layers})
        layers = layers or 3
        map_shape = [n, 1, height // 2**layers - 2, width // 2**layers - 2]
        found.append({"options": options, "width": w, "layers": layers, "x": x, "shape": map_shape, "seed": 7 * w + layers})
    return found


def probe(PatchDiscriminator: Callable, case: Case) -> Answer:
    return observed(PatchDiscriminator(**case["options"]), case["x"], case["shape"], case["seed"])


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    network(answer["structure"])
    require(not answer["changed"], "it changed the pictures it was given: the first layer works in place")
    is_map(tensor(answer["value"], "the result"), case)
    sound(answer, case["x"])
    w, layers, filters = case["width"], case["layers"], answer["filters"]
    got, want = [f[0] for f in filters], [*(w * min(2**i, 8) for i in range(layers + 1)), 1]
    given = f"with width={w}, layers={layers} its convolutions have "
    rule = "from width on doubled in every layer, at most to 8 * width"
    require(got == want, f"{given}{got} channels, expected {want}: {rule}")
    kernels = [f[2:] for f in filters]
    require(all(k == [4, 4] for k in kernels), f"{given}the kernels {kernels}, expected 4 x 4 everywhere")
    return {"": tensor(answer["known"], "the result with known filters")}


def is_map(logits: Tensor, case: Case) -> None:
    (n, _, height, _), layers, want = case["x"].shape, case["layers"], case["shape"]
    expected = f"pictures {shape(case['x'])} with layers={layers} give {shape(logits)}, expected {want}: "
    require(logits.dim() == 4, expected + "a map of logits, no flatten, no mean, no squeeze")
    require(len(logits) == n, expected + "one map for each picture")
    require(logits.shape[1] == 1, expected + "the last convolution has 1 channel")
    one = list(logits.shape[2:]) == [1, 1] != want[2:]
    require(not one, expected + "one logit each, expected a map: no layer over the whole picture")
    hints = {height // 2**other - 2: f"this is the map of layers={other}: is layers used?" for other in (1, 2, 3, 4)} | {
        height // 2**layers: "the two convolutions of stride 1 (kernel 4, padding 1) each make it 1 smaller",
        height // 2**layers - 1: "two convolutions of stride 1 follow the strided ones, one is missing",
        height // 2**layers - 3: "two convolutions of stride 1 follow the strided ones, not three",
    }
    rule = "kernel 4 and padding 1 everywhere, and stride 2 in `layers` convolutions"
    require(list(logits.shape) == want, expected + hints.get(logits.shape[2], rule))


# -- mistakes


def solution(
    norm: Callable = nn.InstanceNorm2d,
    normed: str = "strided plain",
    relu: Callable = lambda: nn.LeakyReLU(0.2),
    active: str = "first strided plain",
    cap: int = 8,
    strides: Callable[[int], list[int]] = lambda layers: [2] * layers + [1, 1],
    end: Callable = lambda x: x,
    pad: Callable = nn.ZeroPad2d,
    norm_last: bool = False,
) -> type[nn.Module]:
    """`normed` and `active`: after which convolutions (first, strided, plain, last) there are a norm and a leaky ReLU."""

    class Discriminator(nn.Module):
        def __init__(self, width: int = 64, layers: int = 3) -> None:
            super().__init__()
            stack, channels, steps = [], 3, strides(layers)
            for i, stride in enumerate(steps):
                last = i == len(steps) - 1
                place = "first" if i == 0 else "last" if last else "strided" if stride == 2 else "plain"
                wider = 1 if last else width * min(2**i, cap)
                after = [norm(wider)] * (place in normed) + [relu()] * (place in active)
                border = nn.ZeroPad2d if last else pad
                stack += [border(1), nn.Conv2d(channels, wider, 4, stride), *(after[::-1] if norm_last else after)]
                channels = wider
            self.main = nn.Sequential(*stack)

        def forward(self, x: Tensor) -> Tensor:
            return end(self.main(x))

    return Discriminator


EVERY = "expected a leaky ReLU of slope 0.2 after every convolution but the last: "
NORMS = "expected an instance norm after every convolution but the first and the last: "
BOUNDED = " at the end, expected logits without bounds"
MISTAKES = {
    "there is a sigmoid" + BOUNDED: solution(end=torch.sigmoid),
    "there is a tanh or clamp" + BOUNDED: solution(end=torch.tanh),
    "there is a clamp to -1 and 1" + BOUNDED: solution(end=lambda x: x.clamp(-1, 1)),
    "the sign is wrong": solution(end=lambda x: -x),
    NORMS + "there are none": solution(normed=""),
    NORMS + "the one of stride 1 has none": solution(normed="strided"),
    NORMS + "the strided ones have none": solution(normed="plain"),
    NORMS + "these run over all channels at once": solution(norm=lambda c: nn.GroupNorm(1, c)),
    NORMS + "these come after the leaky ReLUs, expected before them": solution(norm_last=True),
    "there is an instance norm after the first convolution: it would hide the picture's colours": solution(
        normed="first strided plain"
    ),
    "there is an instance norm after the last convolution: the map's mean would always be 0": solution(
        normed="strided plain last"
    ),
    "there is an instance norm after every convolution, expected none after the first and the last": solution(
        normed="first strided plain last"
    ),
    EVERY + "this is a ReLU": solution(relu=nn.ReLU),
    EVERY + "the slope is 0.01, torch's default": solution(relu=lambda: nn.LeakyReLU(0.01)),
    EVERY + "the slope is 0.1": solution(relu=lambda: nn.LeakyReLU(0.1)),
    EVERY + "the slope is 0.5": solution(relu=lambda: nn.LeakyReLU(0.5)),
    EVERY + "it is missing": solution(active=""),
    EVERY + "the first of them is missing": solution(active="strided plain"),
    EVERY + "that of the convolution of stride 1 is missing": solution(active="first strided"),
    EVERY + "there is one after the last convolution, too": solution(active="first strided plain last"),
}

EXERCISE = Exercise(
    component="PatchDiscriminator",
    chapter=3,
    place=3,
    minutes=20,
    difficulty=3,
    task="The discriminator that returns a map of verdicts, one on each patch.",
    verified="maps of logits, values with known filters, norms, slope 0.2, widths, kernels, gradients, each picture alone",
    reference=PatchDiscriminator,
    cases=cases,
    probe=probe,
    judge=judge,
    also=[solution(pad=nn.ReflectionPad2d)],
    call=lambda case: f"with known filters, width={case['width']} and layers={case['layers']}, the map of logits",
    rule="expected `layers` convolutions of stride 2, then two of stride 1; norm after all but the first and the last, "
    "leaky ReLU of slope 0.2 after all but the last",
    mistakes=MISTAKES,
    refused=[
        ("no flatten", solution(end=lambda x: x.flatten(1))),
        ("a map of logits", solution(end=lambda x: x.mean((2, 3)))),
        ("one logit each", solution(end=lambda x: F.adaptive_avg_pool2d(x, 1))),
        ("is layers used", lambda width, layers=3: solution()(width, 3)),
        ("is layers used", lambda width, layers=3: solution()(width, layers + 1)),
        ("one is missing", solution(strides=lambda layers: [2] * layers + [1])),
        ("not three", solution(strides=lambda layers: [2] * layers + [1, 1, 1])),
        ("at most to 8 * width", solution(cap=1000)),
        ("doubled in every layer", solution(cap=1)),
        ("expected [4, 8, 16, 1]", lambda width, layers=3: solution()(64, layers)),
        ("batch norm, expected InstanceNorm2d", solution(norm=nn.BatchNorm2d)),
        ("no gradient", solution(end=torch.detach)),
        ("return statement missing", solution(end=lambda x: None)),
        ("expected an nn.Module", lambda width, layers=3: lambda x: x),
    ],
    hints={
        "to have .* channels": "compare the layer's channels with its input's",
        "Kernel size can't be greater": "kernel 4 and padding 1 everywhere: without padding the maps become too small",
    },
)
