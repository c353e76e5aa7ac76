"""NoiseInjection(): one random number per pixel, times a learned strength (Karras and others 2019, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercises.base import SIZES, Exercise
from exercises.judging import close, gradients, require, shape, tensor, untouched
from exercises.networks import structure
from exercises.probing import Answer, Case, called, gradients_for, plain


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, channels, height, width, sign in ((3, 4, 5, 6, 1), (1, 2, 7, 3, -1), (2, 1, 4, 4, 1)):
        x, noise = (torch.randn(n, c, height, width, generator=g) for c in (channels, 1))
        strength = sign * (0.6 + 0.2 * float(torch.rand((), generator=g)))
        found.append({"x": x, "noise": noise, "strength": strength, "large": None})
    found[0]["large"] = torch.randn(4, 3, 24, 20, generator=g)  # to draw noise for
    return found


def probe(NoiseInjection: Callable, case: Case) -> Answer:
    layer, x, noise = NoiseInjection(), case["x"], case["noise"]
    answer = {"structure": structure(layer)}
    if not isinstance(layer, nn.Module):
        return answer
    answer["plain"] = [name for name, value in vars(layer).items() if isinstance(value, Tensor)]
    answer["buffers"] = [name for name, _ in layer.named_buffers()]
    parameters = list(layer.parameters())
    if len(parameters) != 1 or parameters[0].numel() != 1 or not parameters[0].requires_grad:
        return answer
    strength = parameters[0]
    answer["begins"] = float(strength)

    def at(value: float) -> nn.Module:
        with torch.no_grad():
            strength.fill_(value)
        return layer

    answer |= called(at(case["strength"]), x, noise)
    if answer["changed"]:
        return answer
    answer |= {"again": plain(layer(x, noise)), "evaluated": plain(layer.eval()(x, noise)), "start": plain(at(0.0)(x, noise))}
    for value in (case["strength"], 0.0):
        wanting = x.clone().requires_grad_()
        for_x, for_strength = gradients_for([wanting, strength], at(value).train()(wanting, noise))
        answer[f"gradients at {value}"] = [for_x, for_strength.reshape(1)]
    for mode in (True, False) if case["large"] is not None else ():
        answer[f"drawn {mode}"] = [plain(at(1.0).train(mode)(case["large"])) for _ in range(2)]
    return answer


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    one_strength(answer)
    x, strength = case["x"], case["strength"]
    untouched(answer, "x", "noise")
    y = tensor(answer["value"], "the result")
    becomes = f"x of shape {shape(x)} becomes {shape(y)}, expected the same"
    require(y.shape == x.shape or y.shape[1:2] != (1,), becomes + ": this is the noise alone, x is missing")
    require(y.shape == x.shape, becomes)
    for name, mode in (("again", ""), ("evaluated", "in eval mode ")):
        ignored = f"{mode}the argument noise is ignored: with the same noise, other values come out"
        require(close(tensor(answer[name], "the result"), y, 1e-3), ignored)
    begins, start = answer["begins"], tensor(answer["start"], "the result")
    require(begins == 0, f"the strength begins at {begins:.3g}, expected 0 (torch.zeros), so that training decides about it")
    require(start.any(), "with a strength of 0 nothing of x comes out, expected x + strength * noise")
    require(close(start, x), "with a strength of 0 the noise shows all the same: is the noise multiplied by the strength?")
    adds = case["large"] is not None and close(y, x + strength * case["noise"], 1e-3)
    for mode in (True, False) if adds else ():
        draws_noise(answer[f"drawn {mode}"], case["large"], "" if mode else "in eval mode ")
    found = {"": y, **gradients(answer[f"gradients at {strength}"], "x", "the strength")}
    return found | gradients(answer["gradients at 0.0"], "x, where the strength is 0,", "the strength, where it is 0,")


def one_strength(answer: Answer) -> None:
    found = answer["structure"]
    require(found["module"] is True, f"building it gives a {found['kind']}, expected an nn.Module")
    parameters, buffers, plain = found["parameters"], answer["buffers"], answer["plain"]
    learned = "is not learned: nn.Parameter(torch.zeros(1)) in place of register_buffer"
    require(parameters or not buffers, f"the buffer {''.join(buffers[:1])} {learned}")
    unseen = "is a plain tensor that no optimiser finds: make it an nn.Parameter"
    require(parameters or not plain, f"self.{''.join(plain[:1])} {unseen}")
    require(parameters, "it has no parameter: the strength of the noise is learned, nn.Parameter(torch.zeros(1))")
    numbers = sum(torch.Size(size).numel() for size, _ in parameters.values())
    require(numbers == 1, f"it learns {numbers} numbers, expected one strength for all channels and pixels")
    require(all(trains for _, trains in parameters.values()), "the strength is frozen (requires_grad is False)")


def draws_noise(drawn: list[Tensor], x: Tensor, mode: str) -> None:
    """Fail unless noise that is not given is normal, one number per pixel, other in each picture and each call."""
    noise, again = (tensor(y, "the result without noise") - x for y in drawn)
    require(noise.shape == x.shape, f"without noise, x of shape {shape(x)} becomes {shape(noise)}, expected the same")
    require(noise.abs().max() > 1e-3, f"{mode}nothing is added if no noise is given: draw it, torch.randn")
    mean, std = float(noise.mean()), float(noise.std())
    channels, rows, columns, pictures = (
        bool((noise - noise.narrow(axis, 0, 1)).abs().max() < 1e-4 * (1 + std)) for axis in (1, 2, 3, 0)
    )
    require(channels, "each channel gets noise of its own, expected one number per pixel for all channels: [N, 1, H, W]")
    require(not (rows and columns), "a picture's noise is one number, expected one for each pixel: [N, 1, H, W]")
    require(not (rows or columns), "whole rows or columns get the same noise, expected one number per pixel: [N, 1, H, W]")
    require(not pictures, "all pictures of a batch get the same noise, expected each its own: [N, 1, H, W]")
    drew = f"the drawn noise has mean {mean:.2f} and standard deviation {std:.2f}, expected 0 and 1"
    require(abs(mean) < 0.15 and 0.88 < std < 1.12, drew + ": torch.randn, not rand")
    most = float(noise.abs().max())
    require(most > 2.5, f"none of the 1920 numbers drawn is larger than {most:.2f}, so they are not normal: torch.randn")
    require(not close(again, noise), f"{mode}the same noise in every call: draw it in forward, with no seed of its own")


# -- mistakes


class Right(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))

    def draw(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape[0], 1, *x.shape[2:])

    def add(self, x: Tensor, noise: Tensor, strength: Tensor) -> Tensor:
        return x + strength * noise

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.add(x, self.draw(x) if noise is None else noise, self.strength)


def adding(add: Callable) -> type:
    """With another add(x, noise, strength)."""
    return type("Adding", (Right,), {"add": staticmethod(add)})


MISTAKES = {
    "no noise is added": adding(lambda x, noise, s: x + 0 * s),
    "the noise multiplies x, expected a sum": adding(lambda x, noise, s: x * (1 + s * noise)),
    "x loses what the noise gains: x stays as it is": adding(lambda x, noise, s: (1 - s) * x + s * noise),
    "the noise is subtracted": adding(lambda x, noise, s: x - s * noise),
    "the strength is squared": adding(lambda x, noise, s: x + s * s * noise),
    "the size of the strength counts, its sign is lost": adding(lambda x, noise, s: x + s.abs() * noise),
    "the strength is added by itself": adding(lambda x, noise, s: x + s + s * noise),
    "only the first channel gets noise": adding(lambda x, noise, s: torch.cat([x[:, :1] + s * noise, x[:, 1:]], dim=1)),
    "all pictures get the first one's noise": adding(lambda x, noise, s: x + s * noise[:1]),
    "where the strength is 0 the noise is left out, so that it never learns": adding(
        lambda x, noise, s: x if s == 0 else x + s * noise
    ),
}

EXERCISE = Exercise(
    component="NoiseInjection",
    chapter=4,
    place=4,
    minutes=8,
    difficulty=2,
    task="A number of chance for every pixel, with a learned strength.",
    verified="one strength that begins at 0, noise given or drawn for each pixel, gradients",
    reference=Right,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"the result for x {shape(case['x'])}, with a strength of {case['strength']:.3g},",
    rule="expected x + strength * noise",
    mistakes=MISTAKES,
    refused=[("the noise shows all the same", adding(lambda x, noise, s: x + noise))],
    hints={
        SIZES + "|not broadcastable": "the noise does not fit x: one number for each pixel, [N, 1, H, W], rows before columns",
        "can require gradients": "a strength is no whole number: torch.zeros(1)",
        "Boolean value of Tensor": "`if noise` asks for its values: ask `if noise is None`",
    },
)
