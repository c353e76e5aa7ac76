"""What real_loss and fake_loss share: logits, how a loss of them is judged, and losses that are not the right one."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.judging import between, gradients, loss, shape, untouched
from exercises.probing import Answer, Case

Loss = Callable[[Tensor, float], Tensor]  # of logits and the number that is the target

LARGE = 20.0  # beyond it float32's sigmoid is 1


def logit_cases(g: torch.Generator) -> list[Tensor]:
    sizes = [(2, 1), (1,), *((between(3, 9, g), *axes) for axes in ((), (1,), (1, 1, 1)))]
    ordinary = [2 * torch.randn(size, generator=g) + (1 if len(size) == 1 else 0) for size in sizes]
    return ordinary + [torch.tensor([[end], [end / 2]]) for size in (LARGE, 500.0) for end in (size, -size)]


def call_of(name: str) -> Callable[[Case], str]:
    def call(case: Case) -> str:
        x, options = case["logits"].flatten(), case.get("options", {})
        shown = ", ".join(f"{v:.4g}" for v in x[:3].tolist()) + (f" and {len(x) - 3} more" if len(x) > 3 else "")
        return f"{name}([{shown}]{''.join(f', {key}={value}' for key, value in options.items())})"

    return call


def judge_loss(case: Case, answer: Answer) -> dict[str, Tensor]:
    logits, value = case["logits"], answer["value"]
    untouched(answer, "logits")
    value = loss(value, f"logits {shape(logits)}")
    if logits.abs().max() >= LARGE:  # under a name of its own, since what is wrong elsewhere is named there; with NaN
        (gradient,) = answer["gradients"]
        return {"the loss at large logits": value, "the gradient for large logits": gradient.reshape(logits.shape)}
    return {"": value, **gradients(answer["gradients"], "logits")}


# -- mistakes


def bce(x: Tensor, target: float, reduction: str = "mean") -> Tensor:
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, target), reduction=reduction)


def sign(target: float) -> int:
    return 1 if target > 0.5 else -1


WRONG_LOSSES: dict[str, Loss] = {
    "this is the sum, expected the mean": lambda x, t: bce(x, t, "sum"),
    "the target is the other one, swapped: 1 is real, 0 is fake": lambda x, t: bce(x, 1 - t),
    "the logits went through a sigmoid twice": lambda x, t: bce(x.sigmoid(), t),
    "the sign is wrong: a loss is positive": lambda x, t: -bce(x, t),
    "this is the squared distance to the target (least squares)": lambda x, t: (x - t).square().mean(),
    "the squared distance of the probability, expected cross-entropy": lambda x, t: (x.sigmoid() - t).square().mean(),
    "the distance of the probability, expected cross-entropy": lambda x, t: (x.sigmoid() - t).abs().mean(),
    "this is the hinge loss": lambda x, t: F.relu(1 - sign(t) * x).mean(),
    "this is the Wasserstein loss, there is no logarithm": lambda x, t: -sign(t) * x.mean(),
    "the arguments are swapped: logits come first, then the target": lambda x, t: F.binary_cross_entropy_with_logits(
        torch.full_like(x, t), x
    ),
    "this is the loss of the mean logit, expected the mean of the losses": lambda x, t: bce(x.mean(), t),
    "F.cross_entropy is for several classes, expected the binary one, with_logits": lambda x, t: F.cross_entropy(
        x, torch.full_like(x, t)
    ),
}


def hints(number: str, maker: str) -> dict[str, str]:
    """`number` is the target, `maker` what makes a tensor of it."""
    tensor = f"the target has to be a tensor of the logits' shape: torch.{maker}(logits)"
    return {
        r"Target size .* must be the same as input size|same shape as the input": f"targets need the logits' shape: {maker}",
        r"between 0 and 1": "binary_cross_entropy wants probabilities, but these are logits: take the version with_logits",
        r"for 'Long'|type Long|cast to.*Long": f"the target holds whole numbers: write {number}, or torch.{maker}(logits)",
        r"'(int|float|bool)' object has no attribute|must be Tensor, not (int|float)": tensor,
    }
