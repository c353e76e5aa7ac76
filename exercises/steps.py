"""Training steps: what a judge makes of an answer of `exercises.networks.stepped`, and how wrong ones are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from exercises.judging import between, number, require, tensor, untouched
from exercises.probing import Answer, Case, flat

Loss = Callable[..., Tensor]  # of a step's networks, inputs and options, without the optimiser

HINTS = {
    r"does not require grad|not have been used in the graph": "the graph is cut: look for detach, no_grad or item",
    r"grad can be implicitly created only for scalar": "only one number can be differentiated: take the mean of a loss",
    r"Target size .* must be the same|same shape as the input": "targets need the shape of the logits: ones_like",
    r"between 0 and 1": "these are logits: take binary_cross_entropy_with_logits",
    r"inplace operation|in-place operation": "weights changed between a network's forward and backward(): one step, at the end",
}


def layer(outputs: int, *inputs: int, g: torch.Generator, times: float = 1) -> list[Tensor]:
    """[weight, bias] whose results are about as large as what goes in, or `times` as large."""
    spread = times / torch.Size(inputs).numel() ** 0.5
    return [spread * torch.randn(outputs, *inputs, generator=g), 0.3 * torch.randn(outputs, generator=g)]


def stale(nets: Mapping[str, Sequence[Tensor]], g: torch.Generator) -> dict[str, list[Tensor]]:
    """Old gradients for the weights of networks, such as another network's step leaves behind."""
    return {name: [torch.randn(weight.shape, generator=g) for weight in weights] for name, weights in nets.items()}


def gan_case(own: str, axes: list[int], batch_norm: bool, g: torch.Generator) -> Case:
    """One step of D or G, for `exercises.networks.gan_stepped`."""
    n, z_size, size = between(3, 7, g), between(4, 9, g), between(4, 8, g)
    values = 3 * size * size
    D = [*layer(7, values, g=g), *layer(1, 7, g=g, times=3)]  # logits of a few units, so that the losses differ
    nets = {"D": D, "G": layer(values, z_size, g=g)}
    inputs = {"real": 2 * torch.rand(n, 3, size, size, generator=g) - 1} if own == "D" else {}
    return {
        "nets": nets,
        "train": [own],
        "stale": stale({name: nets[name] for name in ("D", own)}, g),
        "inputs": inputs | {"z": torch.randn(n, z_size, generator=g)},
        "options": {},
        "rate": 0.05,
        "picture": [3, size, size],
        "axes": axes,
        "batch_norm": batch_norm,
    }


def judged(case: Case, answer: Answer, optimizer: str, key: str) -> dict[str, Tensor]:
    """How the networks that `train` moved, and the returned loss; refuses what else is wrong with a step."""
    own = " and ".join(case["train"])
    for name, weights in case["nets"].items():
        net = answer["nets"][name]
        stayed = torch.equal(tensor(net["weights"], f"{name}'s weights"), flat(weights))
        wrong = f"{name}'s weights moved in the step of {own}: the wrong optimiser stepped, only {optimizer} may"
        require(stayed or name in case["train"], wrong)
        require(net["training"] is True, f"it leaves {name} in eval mode: training goes on after the step")
        require(
            net["trainable"] is True, f"it leaves {name} frozen (requires_grad False): give its weights their gradients back"
        )
        sleeping = f"{name} is in eval mode while it learns: batch norm would take its averages, not this batch's"
        require(all(net["modes"]) or name not in case["train"], sleeping)
    times = answer["updates"]
    require(times != 0, f"{optimizer}.step() was not called")
    require(times == 1, f"{optimizer}.step() was called {times} times, expected once: first add up all losses")
    start = torch.cat([flat(case["nets"][name]) for name in case["train"]])
    moved = (start - torch.cat([answer["nets"][name]["weights"] for name in case["train"]])) / case["rate"]
    cut = "is backward() missing, zero_grad() between backward() and step(), or the graph cut by a detach?"
    through = "" if own == "D" else " Here the gradient must flow through D into G"
    require((moved != 0).any(), f"{own} did not move: {cut}{through}")
    return {f"the gradient along which {own} moved": moved, f"the returned {key}": returned(answer["value"], key)}


def asked(case: Case, answer: Answer) -> None:
    """Refuse a step of `gan_case` that changes its inputs, or does not ask G for pictures of its z."""
    untouched(answer, *case["inputs"])
    given, z = answer["nets"]["G"]["given"], case["inputs"]["z"]
    require(given, "G was never asked for pictures: expected G(z)")
    same = all(x.numel() == z.numel() and torch.equal(x.reshape(z.shape), z) for x in given)
    require(same, "G was given other noise than the argument z: expected G(z)")


def returned(value: Any, key: str) -> Tensor:
    """The loss, of a number or of a dictionary."""
    if isinstance(value, dict):
        keys = [name[:20] for name in sorted(value)[:4]]
        require(key in value, f"the returned dict has the keys {keys}, expected one called {key!r}")
        value = value[key]
    return number(value, f"the loss that it returns (in a dict, or alone as {key})")


def note(key: str) -> Callable[[Sequence[Answer]], str]:
    """Where a step returned its bare loss: right, but the notebook's training joins two dictionaries."""
    text = f"the training below expects the dictionary {{{key!r}: ...}}: let the cell end in its own return"
    return lambda answers: "" if isinstance(answers[-1]["value"], dict) else text


# -- wrong steps


def step_of(loss: Loss, clear: bool = True, backward: bool = True, again: bool = False) -> Callable[..., Tensor]:
    """A step with this loss; without zero_grad, without backward, or returning the loss after the update."""

    def step(*arguments: Any, **options: Any) -> Tensor:
        (optimizer,) = (a for a in arguments if isinstance(a, torch.optim.Optimizer))
        inputs = [a for a in arguments if a is not optimizer]
        if clear:
            optimizer.zero_grad()
        value = loss(*inputs, **options)
        if backward:
            value.backward()
        optimizer.step()
        return loss(*inputs, **options) if again else value

    return step


def mistakes(right: Loss, wrong: Mapping[str, Loss]) -> dict[str, Callable]:
    """Steps with another loss, and with forgotten calls."""
    return {
        "old gradients were added: call zero_grad() before backward()": step_of(right, clear=False),
        "it moved along old gradients only: backward() is missing": step_of(right, clear=False, backward=False),
        "this is the loss after the update": step_of(right, again=True),
        **{text: step_of(loss) for text, loss in wrong.items()},
        **{f"{text}; and zero_grad() is missing": step_of(loss, clear=False) for text, loss in wrong.items()},
    }
