"""MappingNetwork(z_dim, w_dim, layers=4): z becomes a style (Karras and others 2019, section 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises.base import SIZES, Exercise
from exercises.judging import close, gradients_reach, network, require, rows_alone, shape, tensor, untouched
from exercises.networks import gradients, neighbours, rows, structure
from exercises.probing import Answer, Case, called, plain
from facegen.models.stylegan2 import Mapping


def cases(g: torch.Generator) -> list[Case]:
    lengths = torch.tensor([[0.5], [1.0], [3.0], [8.0]])
    return [
        {"sizes": sizes, "z": lengths * torch.randn(4, sizes[0], generator=g), "seed": seed}
        for seed, sizes in enumerate(([7, 7, 2], [6, 9, 3], [12, 5], [64, 64, 2]))
    ]


def matrices(net: nn.Module) -> list[Tensor]:
    return [p for p in net.parameters() if p.dim() == 2]


class Products(TorchFunctionMode):
    """Keeps what of a given shape is multiplied with a matrix."""

    NAMES = ("linear", "matmul", "__matmul__", "mm", "addmm", "einsum")

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.seen = shape, []

    def __torch_function__(self, function: Callable, types: Any, args: Sequence = (), kwargs: dict | None = None) -> Any:
        if getattr(function, "__name__", "") in self.NAMES:
            self.seen += [plain(a) for a in args if isinstance(a, Tensor) and a.shape == self.shape and not a.requires_grad]
        return function(*args, **(kwargs or {}))


def probe(MappingNetwork: Callable, case: Case) -> Answer:
    sizes, z = case["sizes"], case["z"]
    net = MappingNetwork(*sizes)
    answer = {"structure": structure(net)}
    if not answer["structure"]["module"]:
        return answer
    answer |= called(net, z)
    answer["more"] = len(matrices(MappingNetwork(*sizes[:2], sizes[2] + 3))) if len(sizes) == 3 else 0
    if answer["value"].__class__ is not Tensor or answer["value"].shape != (len(z), sizes[1]):
        return answer
    answer["gradients"] = gradients(net, (net(z) * torch.arange(1.0, sizes[1] + 1).cos()).sum())
    answer |= {"rows": rows(net, z), **neighbours(net, z, 0), "second": plain(net.train()(z[:2])[0])}
    return answer | with_known_weights(net, z, torch.Generator().manual_seed(case["seed"]))


@torch.no_grad()
def with_known_weights(net: nn.Module, z: Tensor, g: torch.Generator) -> Answer:
    """Results of z and 5 z; then without biases, with all and with three times one of the weights; then with weights of 1."""
    others = [p for p in net.parameters() if p.dim() < 2]
    for p in others:
        p.copy_(torch.randn(p.shape, generator=g))
    answer = {f"lengths {mode}": [plain(net.train(mode)(factor * z)) for factor in (1, 5)] for mode in (True, False)}
    with Products(z.shape) as products:
        net(z)
    answer |= {"first": products.seen[:1], "spread": min((float(p.std()) for p in matrices(net)), default=0.0)}
    for p in others:
        p.zero_()
    for p in matrices(net):
        p.copy_(torch.randn(p.shape, generator=g) / p.shape[1] ** 0.5)
    answer |= {"single": plain(net(z)), "triple": []}
    for p in matrices(net):
        p.mul_(3)
        answer["triple"].append(plain(net(z)))
        p.div_(3)
    for p in matrices(net):
        p.fill_(1)
    # The last two have the same length and the same sum.
    ones, same = torch.ones(z.shape[1]), torch.zeros(2, z.shape[1])
    same[0, 0], same[1, :3] = 3, torch.tensor([2.0, 2.0, -1.0])
    return answer | {"ones": plain(net(torch.stack([ones, -ones, *same])).mean(1))}


def judge(case: Case, answer: Answer) -> None:
    sizes, z = case["sizes"], case["z"]
    network(answer["structure"])
    w = tensor(answer["value"], "the result")
    untouched(answer, "z")
    z_dim, w_dim, layers = (*sizes, 4)[:3]
    expected = f"z of shape {shape(z)} gives {shape(w)}, expected [{len(z)}, {w_dim}]: "
    require(w.dim() == 2, expected + "one w for each z, not yet repeated for the layers of the synthesis, no squeeze")
    require(len(w) == len(z), expected + "one w for each z")
    require(w.shape[1] != z_dim or z_dim == w_dim, expected + "is w_dim used? The last layer gives w_dim entries")
    require(w.shape[1] == w_dim, expected + "the last layer gives w_dim entries")
    shapes = [size for size, _ in answer["structure"]["parameters"].values() if len(size) == 2]
    call = f"MappingNetwork({', '.join(map(str, sizes))}) has {len(shapes)} weight matrices, expected {layers}: "
    require(len(shapes) == layers or len(sizes) == 3, call + "by default layers is 4")
    once = "layers has no effect, or [layer] * n holds one layer n times: make n of them"
    require(len(shapes) == layers or answer["more"] != len(shapes), call + once)
    require(len(shapes) == layers, call + "the first and the last one are counted in `layers`")
    narrow = f"a layer goes from z_dim={z_dim} to z_dim, expected the first from z_dim to w_dim, all others from w_dim to w_dim"
    require(z_dim == w_dim or [z_dim, z_dim] not in shapes, narrow)
    gradients_reach(answer["structure"], answer["gradients"])
    one, other, second = (tensor(answer[name], "the result") for name in ("one", "other", "second"))
    batch = "w depends on the other z of its batch: a batch norm, or a pixel_norm over the batch (dim=0)"
    require(close(other, one, 1e-3), batch)
    require(close(second, one, 1e-3), "the same z gives another w the second time: is there dropout or noise?")
    rows_alone(answer["rows"], "z")
    length_is_removed(answer, z)
    size = float(w.square().mean().sqrt())
    large = f"the entries of w begin at about {size:.3g}, those after pixel_norm at 1: weights of spread 1 make each layer's"
    require(size < 4, f"{large} result larger, expected nn.init.kaiming_normal_(weight, 0.2)")
    only_leaky_layers(answer, layers)


def length_is_removed(answer: Answer, z: Tensor) -> None:
    """Fail unless pixel norm comes first, whatever the biases are."""
    for mode in (True, False):
        w, of_longer = (tensor(y, "the result") for y in answer[f"lengths {mode}"])
        ends = close(w.square().mean(1), torch.ones(len(w)), 1e-3)
        mistake = "pixel_norm comes last here" if ends else "the length of z has to be taken out"
        require(
            close(of_longer, w, 1e-3), f"z and 5 z give different w: {mistake}, expected pixel_norm(z) before the first layer"
        )
    unit = "rows of length 1 reach the first layer, expected a root mean square of 1: pixel_norm"
    # Weights that are scaled when used, which begin with a spread of 1, may do so by their inputs.
    if z.shape[1] > 50 and answer["first"] and answer["spread"] < 0.75:
        require((answer["first"][0].norm(dim=1) - 1).abs().max() > 1e-3, unit)


def only_leaky_layers(answer: Answer, layers: int) -> None:
    """Without biases w grows in proportion with the weights of each layer, since a leaky ReLU only knows signs."""
    single = tensor(answer["single"], "the result")
    for triple, _ in zip(answer["triple"], range(layers), strict=True):
        proportional = close(tensor(triple, "the result"), 3 * single, 1e-3)
        hidden = "the strength of a layer's weights does not show in w: a norm between or after the layers, expected one before"
        require(proportional or not close(triple, single, 2e-2), hidden)
        only = "expected fully connected layers and leaky ReLUs only, no tanh, sigmoid, GELU, shortcut"
        require(proportional, f"without biases, three times the weights of one layer do not give three times w: {only}")
    up, down, one, other = tensor(answer["ones"], "the result").tolist()
    require(up != 0, "with weights of 1 and biases of 0, z of 1 gives w of 0: is there a norm with weights of its own?")
    # From z = 1 to z = -1 every value turns negative, and each leaky ReLU multiplies by its slope.
    ratio = -down / up
    count = next((k for k in range(layers + 3) if abs(ratio / 0.2**k - 1) < 0.02), None)
    expected = f"expected a leaky ReLU of slope 0.2 after each of {layers} layers (after the last one it may be left out): "
    if count not in (layers, layers - 1):
        require(abs(ratio - 1) > 0.02, expected + "there is none, so that all layers together are a single one")
        require(count is None, expected + f"counted here are {count}")
        require(ratio != 0, expected + "this is a ReLU, which is 0 for all that is negative")
        torchs = any(abs(ratio / 0.01**k - 1) < 0.02 for k in range(1, layers + 1))
        require(not torchs, expected + "the slope is 0.01, torch's default")
        negative = f"for values below 0, w is {ratio:.2g} of what it is above 0, expected {0.2**layers:.2g}"
        require(False, expected + negative)
    require(abs(other / one - 1) < 1e-3, expected + "one comes before the first layer")


EXERCISE = Exercise(
    component="MappingNetwork",
    chapter=4,
    place=2,
    minutes=15,
    difficulty=2,
    task="The network that bends z into a style.",
    verified="sizes, number of layers, pixel norm, leaky ReLUs, each z alone, gradients",
    reference=lambda z_dim, w_dim, layers=4: Mapping(z_dim, 0, w_dim, None, num_layers=layers),
    cases=cases,
    probe=probe,
    judge=judge,
    hints={
        SIZES + "|cannot be multiplied": "the first layer takes z_dim entries, each further one as many as the one before it"
        " gives",
    },
)
