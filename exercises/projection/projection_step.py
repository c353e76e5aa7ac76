"""projection_step(w, target, synthesize, perceptual, optimizer): one step of a search for a picture's w."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import number, require, shape, tensor, untouched
from exercises.probing import Answer, Case, copied, equal, plain


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for n, layers, w_dim, size in ((1, 1, 6, 4), (1, 4, 5, 3), (1, 3, 4, 5), (2, 2, 5, 3)):
        values, numbers = 3 * size * size, layers * w_dim
        case = {
            "w": torch.randn(n, layers, w_dim, generator=g),
            "noise": torch.randn(values, generator=g),
            "target": torch.tanh(torch.randn(n, 3, size, size, generator=g)),
            "mix": torch.randn(numbers, values, generator=g) / numbers**0.5,
            "look": torch.randn(values, 16, generator=g) / values**0.5,
            "rate": 0.1,
        }
        old = {f"{name}'s old gradient": torch.randn(case[name].shape, generator=g) for name in ("w", "noise")}
        found.append(case | old)
    return found


class Networks:
    """A synthesis of w and noise, and one that sees; what the first was given is kept."""

    def __init__(self, case: Case, noise: Tensor) -> None:
        self.mix, self.look, self.noise = case["mix"], case["look"], noise
        self.size = case["target"].shape[1:]
        self.given: list[Any] = []

    def synthesize(self, w: Tensor) -> Tensor:
        self.given.append(plain(w))
        return torch.tanh(0.7 * w.flatten(1) @ self.mix + 0.3 * self.noise).reshape(len(w), *self.size)

    def perceptual(self, pictures: Tensor) -> Tensor:
        return 2 * torch.tanh(1.5 * pictures.flatten(1) @ self.look + 0.2)


def probe(projection_step: Callable, case: Case) -> Answer:
    w, noise = case["w"].requires_grad_(), case["noise"].requires_grad_()
    w.grad, noise.grad = case["w's old gradient"], case["noise's old gradient"]
    networks, steps, target = Networks(case, noise), [], copied(case["target"])
    optimizer = torch.optim.SGD([w, noise], lr=case["rate"])
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    try:
        loss = projection_step(w, target, networks.synthesize, networks.perceptual, optimizer)
    except Exception as error:
        if len(w) == 1:
            raise
        return {"refused": type(error).__name__}
    after = {"w": plain(w), "noise": plain(noise), "steps": len(steps)}
    seen = {"given": networks.given[:10], "changed": [] if equal(target, case["target"]) else [0]}
    return {"loss": plain(loss), "graph": isinstance(loss, Tensor) and loss.requires_grad, **after, **seen}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    if "refused" in answer and len(case["w"]) > 1:  # it was asked for one w; several are no must, but must not be averaged
        answer = probe(projection_step, copied(case))
    require(answer["given"], "no picture was made: call synthesize(w)")
    require(any(equal(w, case["w"]) for w in answer["given"]), "synthesize was given something else than w")
    untouched(answer, "target")
    moved = {}
    for name in ("w", "noise"):
        after = tensor(answer[name], name)
        require(after.shape == case[name].shape, f"{name} has the shape {shape(after)} afterwards, before {shape(case[name])}")
        moved[name] = (case[name] - after) / case["rate"]
    steps, ways = answer["steps"], [bool(way.any()) for way in moved.values()]
    require(steps or not any(ways), "the numbers of w moved, but not by optimizer.step(): it knows the learning rate")
    require(steps, "optimizer.step() was not called")
    require(steps == 1, f"optimizer.step() was called {steps} times, expected once")
    none = "w did not move: is backward() missing, its graph cut, or zero_grad() between backward() and step()?"
    require(any(ways), none)
    require(ways[0], "w did not move, but the noise: no gradient reaches w, it is cut off by a detach or no_grad")
    loss = number(answer["loss"], "the returned loss")
    require(not answer["graph"], "the returned loss carries its graph, which keeps every step's memory: return loss.item()")
    behind = {f"the gradient behind {name}'s step": way for name, way in moved.items()}
    return {**behind, "the returned loss": loss}


# -- mistakes


def squared(picture: Tensor, target: Tensor, see: Callable) -> Tensor:
    return (see(picture) - see(target)).square().sum()


def step(loss: Callable = squared, times: int = 1, clear: Callable = lambda w, optimizer: optimizer.zero_grad()) -> Callable:
    """With loss(picture, target, perceptual), which goes back as often as `times` says; clear(w, optimizer) before that."""

    def projection_step(w: Tensor, target: Tensor, synthesize: Callable, perceptual: Callable, optimizer: Any) -> float:
        clear(w, optimizer)
        value = loss(synthesize(w), target, perceptual)
        for _ in range(times):
            value.backward(retain_graph=True)
        optimizer.step()
        return value.item()

    return projection_step


projection_step = step()


def nothing(w: Tensor, optimizer: Any) -> None:
    pass


def only_w(w: Tensor, optimizer: Any) -> None:
    w.grad = None


def with_w(change: Callable) -> Callable:
    return lambda w, target, synthesize, *others: projection_step(w, target, lambda w: synthesize(change(w)), *others)


def with_picture(change: Callable) -> Callable:
    return lambda w, target, synthesize, *others: projection_step(w, target, lambda w: change(synthesize(w)), *others)


def loss_after(w: Tensor, target: Tensor, synthesize: Callable, perceptual: Callable, optimizer: Any) -> float:
    projection_step(w, target, synthesize, perceptual, optimizer)
    return squared(synthesize(w), target, perceptual).item()


LOSSES = {
    "the mean over the features, expected the sum of the squares": lambda y, t, see: F.mse_loss(see(y), see(t)),
    "the sum is divided by the number of pictures, expected the sum over all": lambda y, t, see: squared(y, t, see) / len(y),
    "only the first picture counts, expected the sum over all": lambda y, t, see: squared(y[:1], t[:1], see),
    "this is the root of the sum, expected the sum of the squares": lambda y, t, see: squared(y, t, see).sqrt(),
    "these are absolute values, expected squares": lambda y, t, see: (see(y) - see(t)).abs().sum(),
    "mean absolute values, expected the sum of the squares": lambda y, t, see: F.l1_loss(see(y), see(t)),
    "the differences are not squared": lambda y, t, see: (see(y) - see(t)).sum(),
    "the differences are summed before they are squared: first squares, then their sum": (
        lambda y, t, see: (see(y) - see(t)).sum().square()
    ),
    "the sign is wrong: it moves away from the target": lambda y, t, see: -squared(y, t, see),
    "the pixels are compared, expected what perceptual makes of them": lambda y, t, see: (y - t).square().sum(),
    "the pixels are compared, expected what perceptual makes of them (and a sum)": lambda y, t, see: F.mse_loss(y, t),
    "perceptual sees the difference of the pictures: show it each of the two": lambda y, t, see: see(y - t).square().sum(),
    "the target is left out": lambda y, t, see: see(y).square().sum(),
    "this is half of it": lambda y, t, see: squared(y, t, see) / 2,
    "the pixels' error is added, expected the perceptual distance alone": (
        lambda y, t, see: squared(y, t, see) + F.mse_loss(y, t)
    ),
    "this is the cosine, expected the squared distance": lambda y, t, see: 1 - F.cosine_similarity(see(y), see(t)).sum(),
    "it is squared twice": lambda y, t, see: squared(y, t, see).square(),
}
MISTAKES = {
    "old gradients were added: call zero_grad() before backward()": step(clear=nothing),
    "only w's old gradient was cleared, the noise's was not: optimizer.zero_grad() clears both": step(clear=only_w),
    "it moved along old gradients only: call backward() before step()": step(times=0, clear=nothing),
    "backward() ran twice, so that gradients add up": step(times=2),
    **{text: step(loss) for text, loss in LOSSES.items()},
    **{f"{text}; and zero_grad() is missing": step(loss, clear=nothing) for text, loss in LOSSES.items()},
    "this is the loss after the step": loss_after,
}

EXERCISE = Exercise(
    component="projection_step",
    chapter=5,
    place=3,
    minutes=15,
    difficulty=2,
    task="One step of the search for a picture's w.",
    verified="w and noise move along the right gradient, once, old gradients cleared, loss returned",
    reference=projection_step,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"a search in w {shape(case['w'])}",
    rule="expected the sum of the squares of perceptual(synthesize(w)) - perceptual(target), one step down its gradient",
    mistakes=MISTAKES,
    refused=[
        ("no gradient reaches w", with_w(torch.Tensor.detach)),
        ("is there a detach, no_grad or item()", with_picture(torch.Tensor.detach)),
        ("sum up the squares", step(lambda y, t, see: (see(y) - see(t)).square())),
        ("something else than w", with_w(lambda w: w / w.norm())),
        ("changed target in place", step(lambda y, t, see: squared(y, t.clamp_(-0.1, 0.1), see))),
        ("call synthesize(w)", lambda *arguments: 0.0),
        ("return statement missing", lambda *arguments: projection_step(*arguments) and None),
    ],
    hints={
        r"does not require grad": "no gradient reaches w: is there a detach, no_grad or item() between w and the loss?",
        r"only for scalar": "one number can be differentiated: sum up the squares",
        r"float' object has no attribute 'backward": "differentiate the tensor, and take item() of it at the end",
        r"in-place operation": "w moves by optimizer.step() alone",
    },
)
