"""identity_loss(G, real_target): what needs no change stays (Zhu and others 2017, section 5.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.base import SIZES, Exercise
from exercises.differences import RULE, WRONG_DIFFERENCES, Difference, right, some_pictures
from exercises.judging import gradients, loss, require, shape, tensor
from exercises.probing import Answer, Case, flat, gradients_for, plain
from facegen.training import losses


def identity_loss(G: nn.Module, real_target: Tensor) -> Tensor:
    """The package's is given what the generator made."""
    return losses.identity_loss(real_target, G(real_target))


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, size, brighter in ((3, (5, 5), 1), (1, (4, 7), -1), (2, (6, 6), 0)):
        bias = brighter + 0.3 * torch.randn(3, generator=g)
        weights = {"weight": 0.3 * torch.randn(3, 3, 3, 3, generator=g), "bias": bias}
        found.append({"pictures": some_pictures(n, size, g), **weights})
    return found


class Translator(nn.Module):
    """Picture -> picture without a norm, so that pictures may share a pass; keeps what it was given."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias, self.given = nn.Parameter(weight), nn.Parameter(bias), []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.detach().clone())
        return F.conv2d(x, self.weight, self.bias, padding=1).tanh()


def probe(identity_loss: Callable, case: Case) -> Answer:
    G, y = Translator(case["weight"].clone(), case["bias"].clone()), case["pictures"]
    weights = list(G.parameters())
    before = flat([y, *weights])
    value = identity_loss(G, y)
    answer = {
        "value": plain(value),
        "changed": not torch.equal(flat([y, *weights]), before),
        "given": flat(G.given),
        "left": any(p.grad is not None for p in weights),
        "training": G.training,
        "frozen": not all(p.requires_grad for p in weights),
        "pictures learn": y.requires_grad,
    }
    sound = not (answer["changed"] or answer["left"] or answer["frozen"])
    return answer | ({"gradients": gradients_for(weights, value)} if sound else {})


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    y, given = case["pictures"], tensor(answer["given"], "what G was given")
    value = loss(answer["value"], f"pictures {shape(y)}")
    require(not answer["changed"], "it changed the pictures or G's weights")
    require(len(given), "G was never asked: the loss is between y and G(y)")
    asked = torch.equal(given[: y.numel()], y.flatten())  # together or one by one
    require(asked, "G was given something else than real_target: expected G(real_target)")
    require(not answer["left"], "it leaves gradients in G: backward() belongs to the step")
    require(answer["training"], "it leaves G in eval mode")
    require(not answer["frozen"], "it leaves G frozen (requires_grad False)")
    require(not answer["pictures learn"], "it switched requires_grad on for the pictures")
    return {"": value, **gradients(answer["gradients"], "G's weight", "G's bias")}


# -- mistakes


def solution(difference: Difference) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda G, y: difference(y, G(y))


def differentiated(G: nn.Module, y: Tensor) -> Tensor:
    value = right(y, G(y))
    value.backward()
    return value


def frozen(G: nn.Module, y: Tensor) -> Tensor:
    value = right(y, G(y))
    G.requires_grad_(False)
    return value


MISTAKES = {text: solution(difference) for text, difference in WRONG_DIFFERENCES.items()} | {
    "G was asked twice, G(G(y)), which is no identity: expected G(y)": lambda G, y: right(y, G(G(y))),
    "G(G(y)) is compared with G(y), expected G(y) with y": lambda G, y: right(same := G(y), G(same)),
    "the size of G(y) itself, expected its distance to y": solution(lambda x, y: y.abs().mean()),
    "the pictures are added, expected subtracted": solution(lambda x, y: (x + y).abs().mean()),
}

EXERCISE = Exercise(
    component="identity_loss",
    chapter=3,
    place=7,
    minutes=6,
    difficulty=1,
    task="How much a generator changes pictures that already are as it paints them.",
    verified="values and gradients for G's weights, G and pictures untouched",
    reference=identity_loss,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"the loss of pictures {shape(case['pictures'])}",
    rule=RULE + ", between G(real_target) and real_target",
    mistakes=MISTAKES,
    refused=[
        ("expected one number", solution(lambda x, y: (y - x).abs().mean((1, 2, 3)))),
        (".item() cuts the gradient off", lambda G, y: right(y, G(y)).item()),
        ("cut off by a detach", lambda G, y: right(y, G(y).detach())),
        ("G was never asked", lambda G, y: y.abs().mean()),
        ("something else than real_target", lambda G, y: right(y, G(torch.randn_like(y)))),
        ("leaves gradients in G", differentiated),
        ("eval mode", lambda G, y: right(y, G.eval()(y))),
        ("frozen", frozen),
        ("changed the pictures", lambda G, y: y.sub_(G(y.clone()).detach()).abs().mean()),
        ("requires_grad on for the pictures", lambda G, y: right(y.requires_grad_(True), G(y))),
        ("return statement missing", lambda G, y: None),
    ],
    hints={SIZES: "compare pictures of one size, without reshaping them"},
    tolerance=1e-4,
)
