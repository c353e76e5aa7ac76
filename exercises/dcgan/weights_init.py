"""weights_init_normal(m), for net.apply: layers N(0, 0.02), biases 0; batch norm near 1 or left alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import between, require, tensor
from exercises.probing import Answer, Case, plain
from facegen.models.dcgan import weights_init_normal

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def cases(g: torch.Generator) -> list[Case]:
    return [{"width": 8 * between(5, 8, g), "before": between(2, 5, g)} for _ in range(2)]


def probe(weights_init_normal: Callable, case: Case) -> Answer:
    width = case["width"]
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(width, width, 4), nn.BatchNorm2d(4 * width), nn.LeakyReLU(0.2)),
        nn.ConvTranspose2d(width, width, 4),
        nn.Conv2d(width, width, 4, bias=False),
        nn.BatchNorm2d(width),
        nn.Flatten(),
        nn.Linear(4 * width, 4 * width),
        nn.Tanh(),
    )
    with torch.no_grad():
        for m in net.modules():  # far from any initialisation, so that a layer left out shows
            if isinstance(m, LAYERS):
                m.weight.fill_(case["before"])
                if m.bias is not None:
                    m.bias.fill_(0.7)
    net.apply(weights_init_normal)
    named = dict(net.named_parameters())
    return {"values": plain(named), "frozen": [name for name, p in named.items() if not p.requires_grad]}


KINDS = {"0.0": "Conv2d", "0.1": "BatchNorm2d", "1": "ConvTranspose2d", "2": "Conv2d", "3": "BatchNorm2d", "5": "Linear"}


def judge(case: Case, answer: Answer) -> None:
    values = answer["values"]
    for name, kind in KINDS.items():
        weight = tensor(values[f"{name}.weight"], f"the weight of a {kind}").float()
        if kind == "BatchNorm2d":
            low, high = float(weight.min()), float(weight.max())
            got = f"BatchNorm2d has weights from {low:.3g} to {high:.3g}, expected 1 (left alone) or N(1, 0.02): "
            require(low > 0.8 and high < 1.2, got + "around 0 they erase the signal")
        else:
            require(weight.numel() == 16 * case["width"] ** 2, f"the weight of a {kind} has another size than before")
            weights_are_normal(kind, weight, case["before"])
        if name != "2":  # which has none
            most = float(tensor(values[f"{name}.bias"], f"the bias of a {kind}").abs().max())
            require(most == 0, f"{kind} has a bias of {most:.3g}, expected 0")
    same = torch.equal(values["0.0.weight"], values["2.weight"])
    require(not same, "two layers got the same numbers: is there a manual_seed inside?")
    require(not answer["frozen"], f"{answer['frozen'][:1]} no longer trains (requires_grad is False)")


# What a standard deviation other than 0.02 comes from.
SPREADS = {
    0.2: "0.2 instead of 0.02",
    0.002: "0.002 instead of 0.02",
    0.02**0.5: "0.02 is the standard deviation, not the variance",
    1.0: "this is N(0, 1)",
    0.0004: "0.02 was squared",
    0.02 / 3**0.5: "uniform in [-0.02, 0.02], expected a normal distribution",
    0.0176: "cut off at two standard deviations, expected the whole normal distribution",
    0.02 / 12**0.5: "0.02 times rand, which is uniform in [0, 1]: expected a normal distribution, randn",
}


def weights_are_normal(kind: str, weight: Tensor, before: float) -> None:
    mean, std = float(weight.mean()), float(weight.std())
    got = f"{kind} has weights of mean {mean:.3g} and standard deviation {std:.3g}, expected 0 and 0.02: "
    require(not (weight == before).all(), f"{kind} was not initialised: Conv2d, ConvTranspose2d and Linear all count")
    require(std > 1e-6, got + "all its weights are equal, so all its filters would learn the same")
    if not 0.019 < std < 0.021:
        near = [text for value, text in SPREADS.items() if abs(std / value - 1) < 0.08]
        require(False, got + (near[0] if near else "does it depend on the layer's size (Xavier, Kaiming, the default)?"))
    require(abs(mean) < 6 * 0.02 / weight.numel() ** 0.5, got + "the mean has to be 0")
    tail = float((weight.abs() > 0.04).float().mean())
    require(0.035 < tail < 0.055, f"{kind}: {tail:.1%} of its weights lie beyond 0.04, expected 4.6%: not normal")


# -- mistakes


def normal(weight: Tensor, mean: float = 0, std: float = 0.02) -> Tensor:
    return nn.init.normal_(weight, mean, std)


def solution(
    draw: Callable = normal, layers: tuple[type, ...] = LAYERS, bias: Callable = nn.init.zeros_, norm: Callable = type
) -> Callable:
    """With another draw of weights, fewer layers, other biases, or something done to batch norm."""

    def initialise(m: nn.Module) -> None:
        if isinstance(m, layers):
            draw(m.weight)
            if m.bias is not None:
                bias(m.bias)
        elif isinstance(m, nn.BatchNorm2d):
            norm(m)

    return initialise


def seeded(weight: Tensor) -> None:
    torch.manual_seed(0)
    normal(weight)


def bias_taken_for_granted(m: nn.Module) -> None:
    if isinstance(m, LAYERS):
        normal(m.weight)
        m.bias.data.zero_()


EXERCISE = Exercise(
    component="weights_init_normal",
    chapter=2,
    place=3,
    minutes=12,
    difficulty=2,
    task="Where training starts.",
    verified="N(0, 0.02) and zero biases in 3 kinds of layers, others unharmed",
    reference=weights_init_normal,
    cases=cases,
    probe=probe,
    judge=judge,
    refused=[
        ("0.2 instead of 0.02", solution(lambda w: normal(w, std=0.2))),
        ("0.002 instead of 0.02", solution(lambda w: normal(w, std=0.002))),
        ("not the variance", solution(lambda w: normal(w, std=0.02**0.5))),
        ("0.02 was squared", solution(lambda w: normal(w, std=0.02**2))),
        ("this is N(0, 1)", solution(nn.init.normal_)),
        ("the mean has to be 0", solution(lambda w: normal(w, 0.02))),
        ("Xavier, Kaiming", solution(nn.init.xavier_normal_)),
        ("uniform in [-0.02, 0.02]", solution(lambda w: nn.init.uniform_(w, -0.02, 0.02))),
        ("0.02 times rand", solution(lambda w: w.data.copy_(0.02 * torch.rand_like(w)))),
        ("cut off at two", solution(lambda w: nn.init.trunc_normal_(w, 0, 0.02, -0.04, 0.04))),
        ("not normal", solution(lambda w: nn.init.uniform_(w, -0.034641, 0.034641))),
        ("all its weights are equal", solution(lambda w: nn.init.constant_(w, 0.02))),
        ("ConvTranspose2d was not initialised", solution(layers=(nn.Conv2d, nn.Linear))),
        ("Conv2d was not initialised", solution(layers=(nn.Linear,))),
        ("Linear was not initialised", solution(layers=(nn.Conv2d, nn.ConvTranspose2d))),
        ("Conv2d has a bias of", solution(bias=normal)),
        ("around 0 they erase the signal", solution(norm=lambda m: normal(m.weight))),
        ("BatchNorm2d has a bias of", solution(norm=lambda m: normal(m.bias))),
        ("is there a manual_seed inside", solution(seeded)),
        ("no longer trains", solution(lambda w: normal(w).requires_grad_(False))),
        ("look at the type of m first", lambda m: normal(m.weight)),
        ("a layer with bias=False has bias None", bias_taken_for_granted),
    ],
    hints={
        r"leaf Variable|inplace operation|in-place operation": "change weights by nn.init, .data or under torch.no_grad()",
        r"no attribute '(weight|bias)'": "not every module has weights: look at the type of m first",
        r"NoneType.*(data|zero_|fill_)": "a layer with bias=False has bias None",
        r"(truth|Boolean) value of (a )?Tensor": "ask `if m.bias is not None`",
    },
)
