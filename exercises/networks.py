"""What probes do with a learner's network; like `exercises.probing`, it runs next to the learner's code and judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from exercises.probing import Answer, Case, called, flat, plain


def observed(net: Any, x: Tensor, expected: Sequence[int], seed: int) -> Answer:
    """What a network makes of pictures; less where it is no module, changes x, or gives another shape than `expected`.

    `structure`, `called`, and "gradients"; for three pictures or more "rows" and "neighbours"; then "filters", the shapes
    of what `filled` has filled, and "known", the result with them in evaluation mode.
    """
    answer = {"structure": structure(net)}
    if not answer["structure"]["module"]:
        return answer
    answer |= called(net, x)
    if answer["changed"] or not isinstance(answer["value"], Tensor) or list(answer["value"].shape) != list(expected):
        return answer
    result = net(x)
    answer["gradients"] = gradients(net, (result * torch.randn_like(result)).sum())
    if len(x) > 2:
        answer |= {"rows": rows(net, x), "neighbours": neighbours(net, x, seed)}
    answer["filters"] = filled(net, x, seed)
    with torch.no_grad():
        return answer | {"known": plain(net.eval()(x))}


def structure(net: Any) -> Answer:
    """Whether it is a module, which layers it hides from optimisers, and {name: [shape, whether it trains]} of its weights."""
    if not isinstance(net, nn.Module):
        return {"module": False, "kind": type(net).__name__}
    known, hidden = set(net.modules()), []
    for module in known:
        for attribute, value in vars(module).items():
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            if any(isinstance(item, nn.Module) and item not in known for item in inside):
                hidden.append([attribute, type(value).__name__])
    parameters = {name: [list(p.shape), p.requires_grad] for name, p in net.named_parameters()}
    return {"module": True, "kind": type(net).__name__, "hidden": hidden, "parameters": parameters}


def gradients(net: nn.Module, result: Tensor) -> Answer:
    """Whether a result has a graph, and {name: the largest entry of its gradient, or None without one} of all parameters."""
    named = {name: p for name, p in net.named_parameters() if p.requires_grad}
    if not (isinstance(result, Tensor) and result.requires_grad and named):
        return {"graph": False, "reached": {}}
    found = torch.autograd.grad(result, list(named.values()), allow_unused=True)
    return {"graph": True, "reached": {n: None if g is None else float(g.abs().max()) for n, g in zip(named, found)}}


@torch.no_grad()
def rows(net: nn.Module, x: Tensor) -> Answer:
    """The result of x in evaluation mode, the same again, and that of each row alone."""
    net.eval()
    together = net(x)
    alone = torch.cat([net(row[None]).reshape(1, *together.shape[1:]) for row in x])
    return {"together": together, "again": plain(net(x)), "alone": alone}


@torch.no_grad()
def neighbours(net: nn.Module, x: Tensor, seed: int) -> Answer:
    """The result of x[0] in training mode, in a batch with x[1] and in one with x[2]; with the same dropout, if any.

    "before" and "after" are its results in evaluation mode.
    """
    before, found = plain(net.eval()(x[:1])), []
    for other in (x[1], x[2]):
        torch.default_generator.manual_seed(seed)
        found.append(plain(net.train()(torch.stack([x[0], other]))[0]))
    return {"one": found[0], "other": found[1], "before": before, "after": plain(net.eval()(x[:1]))}


def driven(net: nn.Module, x: Tensor, direction: int, done: Callable[[Tensor], bool], limit: int = 25) -> Tensor:
    """Train a network until its results are `done` with going up (+1) or down (-1): shows what they can reach at all.

    Sound networks of any kind get there in about 5 steps.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    result = net(x)
    for _ in range(limit):
        if done(result) or not result.requires_grad:
            break
        optimizer.zero_grad()
        (-direction * result.mean()).backward()
        optimizer.step()
        result = net(x)
    return result.detach()


class _Filling(TorchFunctionMode):
    """Gives each weight, when it is first used, the next numbers of a generator; so networks of one design become equal."""

    _USING = (F.conv2d, F.conv_transpose2d, F.linear)

    def __init__(self, net: nn.Module, seed: int) -> None:
        super().__init__()
        self.left = {id(p): p for p in net.parameters()}
        self.g = torch.Generator().manual_seed(seed)
        self.shapes: list[list[int]] = []

    def __torch_function__(self, function: Callable, types: Any, args: Sequence = (), kwargs: dict | None = None) -> Any:
        weight = args[1] if len(args) > 1 else (kwargs or {}).get("weight")
        if function in self._USING and id(weight) in self.left:
            self.left.pop(id(weight))
            inputs = (
                weight.shape[1:].numel() if function is not F.conv_transpose2d else weight.shape[0] * weight[0, 0].numel() / 4
            )
            with torch.no_grad():
                weight.copy_(1.5 * torch.randn(weight.shape, generator=self.g) / inputs**0.5)
            self.shapes.append(list(weight.shape))
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def filled(net: nn.Module, x: Tensor, seed: int) -> list[list[int]]:
    """Fill the filters and matrices with numbers of a seed, in the order of their use on x; returns their shapes in it.

    Their spread keeps the size of values, biases become 0 and scales of norms 1: two networks of one design then have the
    same weights, however they were written.
    """
    for name, p in net.named_parameters():
        if p.dim() == 1:
            p.fill_(1.0 if name.endswith("weight") else 0.0)
    with _Filling(net.eval(), seed) as filling:
        net(x)
    return filling.shapes


# -- training steps, on networks that are watched


class Watched(nn.Module):
    """`formula(x, *weights)` as a network that writes down what it is given, and whether it is in training mode then."""

    def __init__(self, formula: Callable[..., Tensor], weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.formula, self.weights = formula, nn.ParameterList(weights)
        self.given: list[Tensor] = []
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(plain(x))
        self.modes.append(self.training)
        return self.formula(x, *self.weights)


def stepped(step: Callable, formulas: dict[str, Callable[..., Tensor]], case: Case) -> Answer:
    """What step(*networks, optimizer, *inputs, **options) returned and left behind; the optimiser holds those that `train`."""
    nets = {name: Watched(formula, case["nets"][name]) for name, formula in formulas.items()}
    for name, gradients in case["stale"].items():
        for p, gradient in zip(nets[name].parameters(), gradients):
            p.grad = gradient
    optimizer = torch.optim.SGD([p for name in case["train"] for p in nets[name].parameters()], lr=case["rate"])
    updates: list[int] = []
    optimizer.register_step_post_hook(lambda *_: updates.append(1))
    answer = called(lambda *inputs: step(*nets.values(), optimizer, *inputs, **case["options"]), *case["inputs"].values())
    return answer | {"updates": len(updates), "nets": {name: _left(net) for name, net in nets.items()}}


def _left(net: Watched) -> Answer:
    parameters = list(net.parameters())
    return {
        "weights": flat(parameters),
        "gradients": flat(p.grad for p in parameters),
        "trainable": all(p.requires_grad for p in parameters),
        "training": net.training,
        "given": net.given,
        "modes": net.modes,
    }


def gan_stepped(step: Callable, case: Case) -> Answer:
    """`stepped` for a small discriminator, whose logits have the case's axes, and a generator."""

    def verdicts(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        hidden = F.linear(x.flatten(1), a, b)
        hidden = F.batch_norm(hidden, None, None, training=True) if case["batch_norm"] else hidden
        return F.linear(hidden.tanh(), c, d).reshape(len(x), *case["axes"])

    def pictures(z: Tensor, a: Tensor, b: Tensor) -> Tensor:
        return F.linear(z.flatten(1), a, b).tanh().reshape(len(z), *case["picture"])

    return stepped(step, {"D": verdicts, "G": pictures}, case)
