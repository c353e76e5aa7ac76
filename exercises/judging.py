"""What judges say, and how they compare: an answer is plain data that a probe wrote down, and nothing of it is trusted."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from exercises.probing import Answer, Other

GRADIENT = "the gradient for "  # keys that begin so are looked at once all results are right


class Mistake(Exception):
    """What a judge found; its text becomes the one line that the learner reads."""


def require(ok: bool | Tensor, mistake: str) -> None:
    if not ok:
        raise Mistake(mistake)


def untouched(answer: Answer, *names: str) -> None:
    """Refuse a component that changed arguments in place; `names` are those of all arguments."""
    changed = [names[number] for number in answer["changed"] if number < len(names)]
    require(not changed, f"it changed {' and '.join(changed)} in place: make a new tensor (no +=, *= or mul_ on an argument)")


def tensor(value: Any, what: str) -> Tensor:
    """`value`, if it is a tensor on the CPU without NaN."""
    require(value is not None, f"{what} is None: is the return statement missing?")
    device = value.kind.removeprefix("tensor on ") if isinstance(value, Other) and value.kind.startswith("tensor on ") else ""
    require(not device, f"{what} is on {device}, its input was on the CPU: leave devices out of it")
    require(isinstance(value, Tensor), f"{what} is a {kind_of(value)}, expected a tensor")
    require(value.isfinite().all(), f"{what} contains NaN or infinity")
    return value


def gradients(found: Any, *names: str) -> dict[str, Tensor]:
    """What has to equal the reference's gradients, of an answer's "gradients"; `names` are those of the tensors."""
    return {key: tensor(g, key) for key, g in zip([GRADIENT + name for name in names], found, strict=True)}


def number(value: Any, what: str = "the result") -> Tensor:
    """float64 [1] of one real number: a number, or a tensor or array that holds one; NaN and infinity pass."""
    require(value is not None, f"{what} is None: is the return statement missing?")
    held = value.value if isinstance(value, Other) and value.kind == "ndarray" else value
    if isinstance(held, Tensor):
        require(held.numel() == 1, f"{what} has the shape {list(held.shape)}, expected one number")
        return held.double().reshape(1)
    rounded = "a complex number, expected a real one: roots of rounding leave an imaginary part, drop it with .real"
    require(kind_of(value) not in ("complex", "complex tensor"), f"{what} is {rounded}")
    require(isinstance(held, (int, float)), f"{what} is a {kind_of(value)}, expected one number")
    return torch.tensor([float(held)], dtype=torch.float64)


def loss(value: Any, what: str) -> Tensor:
    """float64 [1] of a loss of `what`: a tensor of one number, since no gradient flows back from anything else."""
    require(not isinstance(value, float), "returned a float, expected a tensor: .item() cuts the gradient off")
    one = not isinstance(value, Tensor) or value.numel() == 1
    require(one, f"the loss of {what} is a tensor of many values, expected one number: the mean")
    return number(value, f"the loss of {what}")


def two(value: Any, first: str, second: str, what: str = "numbers") -> tuple[Any, Any]:
    """The two parts that a component returned, as a tuple, a list, a tensor or an array."""
    require(value is not None, "the result is None: is the return statement missing?")
    held = value.value if isinstance(value, Other) and value.kind == "ndarray" else value
    found = list(held) if type(held) in (tuple, list) or (isinstance(held, Tensor) and held.dim()) else None
    of = "" if found is None else f" of {len(found)}"
    require(
        found is not None and len(found) == 2,
        f"the result is a {kind_of(value)}{of}, expected two {what}: return {first}, {second}",
    )
    return found[0], found[1]


def two_numbers(value: Any, first: str, second: str) -> Tensor:
    """float64 [2] of two finite numbers that a component returned."""
    found = [number(part, name) for part, name in zip(two(value, first, second), (first, second))]
    for part, name in zip(found, (first, second)):
        require(part.isfinite().all(), f"{name} is {float(part)}, expected a number")
    return torch.cat(found)


def kind_of(value: Any) -> str:
    """The name of the type that a component returned."""
    return value.kind if isinstance(value, Other) else type(value).__name__


def shape(x: Tensor) -> str:
    return str(list(x.shape))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Equal up to `tolerance` of the largest value of b; to the bit where that is infinite."""
    if a.shape != b.shape:
        return False
    if b.isinf().any():
        return torch.equal(a.double(), b.double())
    return a.numel() == 0 or bool((a.double() - b.double()).abs().max() <= tolerance * b.double().abs().max().clamp_min(1e-3))


def shown(got: Tensor, want: Tensor) -> str:
    """Where two tensors differ, as "2.5, expected 3": all of one or two numbers, else the entry that is farthest off."""
    if got.shape != want.shape:
        return f"of the shape {shape(got)}, expected {shape(want)}"
    if want.numel() <= 2:
        texts = [", ".join(f"{float(x):.5g}" for x in t.flatten()) for t in (got, want)]
        return "{}, expected {}".format(*(f"({text})" if want.numel() > 1 else text for text in texts))
    at = int((got.double() - want.double()).abs().nan_to_num(torch.inf).argmax())
    place = [int(i) for i in torch.unravel_index(torch.tensor(at), got.shape)]
    return f"{float(got.flatten()[at]):.4g} at {place}, expected {float(want.flatten()[at]):.4g}"


def between(low: int, high: int, g: torch.Generator) -> int:
    """A random whole number in low..high."""
    return int(torch.randint(low, high + 1, (), generator=g))


# -- of networks: answers of exercises.networks


def network(answer: Answer) -> None:
    """Refuse what is no module, hides layers or has nothing to train (an answer of `structure`)."""
    require(answer["module"] is True, f"building it gives a {answer['kind']}, expected an nn.Module")
    for attribute, kind in answer["hidden"]:
        where = f"self.{attribute} holds layers in a plain {kind}, where no optimiser finds them"
        raise Mistake(f"{where}: use nn.ModuleList or nn.Sequential")
    require(answer["parameters"], "it has no parameters to train")
    for name, (_, trains) in answer["parameters"].items():
        require(trains, f"the parameter {name} is frozen (requires_grad is False)")


def gradients_reach(structure: Answer, answer: Answer) -> None:
    """Refuse a network some of whose parameters have no part in its result (answers of `structure` and `gradients`)."""
    require(answer["graph"], "no gradient reaches any weight: is there a detach or no_grad in forward?")
    for name, most in answer["reached"].items():
        require(most is not None, f"the parameter {name} gets no gradient: is its layer left out of forward, or cut off?")
        # A bias in front of batch norm has gradient 0 by rights, so only weights have to have one.
        weight = len(structure["parameters"][name][0]) > 1
        require(not weight or most > 0, f"the gradient of {name} is 0 everywhere: is its result cut off or times 0?")


def rows_alone(answer: Answer, what: str) -> None:
    """Refuse a network whose rows depend on each other, or on chance, in evaluation mode (an answer of `rows`)."""
    together, again, alone = (tensor(answer[name], "the result") for name in ("together", "again", "alone"))
    # Measured against how much the results differ, since that is what other rows could change.
    allowed = 0.1 * float(together.std(0).max()) + 1e-5 * float(together.abs().max())
    require(
        (together - again).abs().max() <= allowed,
        f"in eval mode the same {what} come out differently the second time: is there noise or F.dropout in forward?",
    )
    require(
        (together - alone).abs().max() <= allowed,
        f"in eval mode a result depends on the other {what} of the batch: batch statistics, or a reshape that mixes rows?",
    )


def neighbours_apart(answer: Answer) -> None:
    """Refuse batch statistics in training mode, and running ones in evaluation mode (an answer of `neighbours`)."""
    one, other, before, after = (tensor(answer[name], "the result") for name in ("one", "other", "before", "after"))
    require(
        (one - other).abs().max() <= 1e-3 * float(one.std()) + 1e-6,
        "in training a picture's result depends on the others of its batch: batch norm, expected InstanceNorm2d",
    )
    require(
        (before - after).abs().max() <= 1e-3 * float(after.std()) + 1e-6,
        "in eval mode a result depends on what was seen in training: running statistics (track_running_stats), expected"
        " InstanceNorm2d(channels), which measures each picture",
    )


def sound(answer: Answer, pictures: Tensor) -> None:
    """Refuse a network that cannot learn or that mixes pictures (an answer of `observed` whose result has the right shape)."""
    gradients_reach(answer["structure"], answer["gradients"])
    if len(pictures) > 2:
        rows_alone(answer["rows"], "pictures")
        neighbours_apart(answer["neighbours"])


def width_follows(narrow: Answer, wide: Answer) -> None:
    """Refuse a network whose width does not depend on conv_dim (answers of `structure`, `wide` with twice the conv_dim)."""
    few, many = (sum(math.prod(size) for size, _ in answer["parameters"].values()) for answer in (narrow, wide))
    require(
        many >= 1.8 * few,
        f"twice the conv_dim makes {many} weights of {few}, expected about 4 times as many: is conv_dim used in every layer?",
    )
