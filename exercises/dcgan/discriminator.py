"""Discriminator(conv_dim): pictures to logits, by strides in the place of pooling (Radford and others 2016).

Any architecture is right that does what a discriminator has to do, so its properties are judged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import gradients_reach, network, require, rows_alone, shape, tensor, width_follows
from exercises.networks import driven, gradients, rows, structure
from exercises.probing import Answer, Case, called, gradients_for, plain
from facegen.models.dcgan import Discriminator


def cases(g: torch.Generator) -> list[Case]:
    found = []
    for conv_dim, n in ((8, 4), (6, 2), (12, 3)):
        # Smooth, so that pictures differ in more than noise.
        coarse = F.interpolate(torch.randn(n, 3, 4, 4, generator=g), size=64, mode="bilinear")
        pictures = torch.tanh(coarse + 0.3 * torch.randn(n, 3, 64, 64, generator=g))
        found.append({"conv_dim": conv_dim, "x": pictures, "closely": conv_dim == 8})
    return found


def probe(Discriminator: Callable[..., nn.Module], case: Case) -> Answer:
    conv_dim, x = case["conv_dim"], case["x"]
    net = Discriminator(conv_dim)
    answer = {"structure": structure(net)}
    if not answer["structure"]["module"]:
        return answer
    answer |= called(net, x)
    logits = answer["value"]
    if answer["changed"] or not isinstance(logits, Tensor) or not list(logits.shape[:1]) == [logits.numel()] == [len(x)]:
        return answer
    with torch.no_grad():
        answer["one"] = plain(net.eval()(x[:1]))
    if not case["closely"]:
        return answer
    answer["rows"] = rows(net, x)
    seen = x.clone().requires_grad_()
    (answer["influence"],) = gradients_for([seen], net(seen))
    net.train()
    answer["gradients"] = gradients(net, (net(x).flatten() * torch.randn(len(x))).sum())
    answer["of the mean"] = gradients(net, net(x).mean())
    answer["wide"] = structure(Discriminator(2 * conv_dim))
    answer["high"] = driven(Discriminator(conv_dim), x, +1, lambda logits: bool(logits.max() > 2))
    answer["low"] = driven(Discriminator(conv_dim), x, -1, lambda logits: bool(logits.min() < -2))
    return answer


def judge(case: Case, answer: Answer) -> None:
    x = case["x"]
    network(answer["structure"])
    require(not answer["changed"], "it changed the pictures it was given: the first layer works in place")
    logits = tensor(answer["value"], "the result")
    one_per_picture(logits, len(x))
    one_per_picture(tensor(answer["one"], "the result for one picture"), 1)
    if not case["closely"]:
        return
    require(logits.any(), "every logit is 0 and so never negative: is there a ReLU at the end?")
    gradients_reach(answer["structure"], answer["gradients"])
    rows_alone(answer["rows"], "pictures")
    unbounded(tensor(answer["low"], "the result"), tensor(answer["high"], "the result"))
    the_whole_counts(tensor(answer["influence"], "the influence of the pictures"), x)
    a_batch_counts(answer)
    width_follows(answer["structure"], answer["wide"])


def one_per_picture(logits: Tensor, n: int) -> None:
    axes = "one picture gives a number without axes, expected [1], [1, 1] or [1, 1, 1, 1]: squeeze() removed the batch"
    require(logits.dim() > 0, axes)
    expected = f"{n} pictures give shape {shape(logits)}, expected one logit each: [{n}], [{n}, 1] or [{n}, 1, 1, 1]"
    reduce = ": reduce the last map to one value (a 4x4 convolution without padding, or Linear)" if logits.numel() > n else ""
    require(logits.numel() == len(logits) == n, expected + reduce)


def the_whole_counts(influence: Tensor, x: Tensor) -> None:
    """Each of the 8 x 8 blocks of 8 x 8 pixels and each colour has to have an influence on the logit."""
    require(influence.shape == x.shape, "its influence is not that of the pictures")
    influence = influence.abs().sum(0)
    blocks = F.avg_pool2d(influence.sum(0)[None], 8)[0]
    require((blocks > 0).any(), "the logit does not depend on the picture at all")
    unseen = int((blocks == 0).sum())
    require(unseen == 0, f"{unseen} of 64 regions of the picture have no influence on the logit: is a part cropped away?")
    deaf = [name for name, channel in zip(("red", "green", "blue"), influence, strict=True) if not channel.any()]
    require(not deaf, f"the logit ignores {' and '.join(deaf)}: expected all 3 channels to count")


def unbounded(lowest: Tensor, highest: Tensor) -> None:
    low, high = float(lowest.min()), float(highest.max())
    reach = f"trained towards any value, its results stay between {low:.2g} and {high:.2g}, expected unbounded logits: "
    require(low < 0 or not 0 < high <= 1.0001, reach + "there is a sigmoid at the end, but the loss applies it")
    require(low < 0, reach + "they are never negative, a ReLU at the end?")
    require(high > 0, reach + "they are never positive, a log-sigmoid at the end?")
    require(high > 1.01 and low < -1.01, reach + "a tanh or clamp at the end?")


def a_batch_counts(answer: Answer) -> None:
    """Batch norm after the last layer fixes the mean of a batch's logits: a batch of fakes then looks like one of real ones."""
    sizes = {name: len(size) for name, (size, _) in answer["structure"]["parameters"].items()}
    apart, mean = (
        max(float(most) for name, most in answer[of]["reached"].items() if sizes[name] > 1)
        for of in ("gradients", "of the mean")
    )
    require(
        mean > 1e-4 * apart,
        "in training the mean of a batch's logits is always the same, whatever the weights: is there batch norm after the last"
        " layer? A batch of fakes then looks like one of real pictures",
    )


EXERCISE = Exercise(
    component="Discriminator",
    chapter=2,
    place=1,
    minutes=25,
    difficulty=2,
    task="The network that tells pictures of the data from G's: 64 x 64 pixels to one logit.",
    verified="shapes, unbounded logits, whole picture seen, gradients, batch independence, width",
    reference=Discriminator,
    cases=cases,
    probe=probe,
    judge=judge,
    hints={
        r"expected input.*channels|to have.*channels|running_mean should contain": "the first layer takes 3 channels, each"
        " further one what the layer before it gives, batch norm too",
        r"Kernel size can't be greater|Calculated output size": "the map has become smaller than the kernel: 4, 2, 1 halves"
        " exactly, without padding it loses more; four halvings lead from 64 to 4",
        r"mat1 and mat2 shapes": "flatten the map before a Linear layer, and recount its sizes: 8c x 4 x 4",
        r"is invalid for input of size": "a reshape does not fit the number of values: print the shape before it",
    },
)
