"""Generator(z_size, conv_dim): noise to pictures, by transposed convolutions (Radford and others 2016).

Any architecture is right that does what a generator has to do, so its properties are judged.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import gradients_reach, network, require, rows_alone, shape, tensor, width_follows
from exercises.networks import driven, gradients, rows, structure
from exercises.probing import Answer, Case, called, gradients_for, plain
from facegen.models.dcgan import Generator


def cases(g: torch.Generator) -> list[Case]:
    sizes = ((10, 8, 4), (100, 8, 3), (37, 6, 2), (5, 12, 3))
    return [
        {"z_size": z_size, "conv_dim": c, "z": torch.randn(n, z_size, generator=g), "closely": z_size == 10}
        for z_size, c, n in sizes
    ]


@torch.no_grad()
def barely_bright(net: nn.Module, start: list[Tensor], z: Tensor) -> Tensor:
    """Pictures on the way from the `start` weights to the present ones, where a few percent of the values exceed 0.97.

    There, a clamp has cut most of these values to 1, and a tanh hardly any (it rounds to 1 beyond 9).
    """
    end = [p.clone() for p in net.parameters()]
    low, high = 0.0, 1.0
    for _ in range(16):
        for p, a, b in zip(net.parameters(), start, end):
            p.copy_(torch.lerp(a, b, (low + high) / 2))
        x = net(z)
        share = float((x > 0.97).float().mean())
        if 0.005 < share < 0.05:
            break
        low, high = ((low + high) / 2, high) if share < 0.02 else (low, (low + high) / 2)
    return x


def probe(Generator: Callable[..., nn.Module], case: Case) -> Answer:
    sizes, z = (case["z_size"], case["conv_dim"]), case["z"]
    net = Generator(*sizes)
    answer = {"structure": structure(net)}
    if not answer["structure"]["module"]:
        return answer
    answer |= called(net, z)
    pictures = answer["value"]
    if answer["changed"] or not isinstance(pictures, Tensor) or pictures.shape != (len(z), 3, 64, 64):
        return answer
    with torch.no_grad():
        answer["one"] = plain(net.eval()(z[:1]))
    if not case["closely"] or not isinstance(answer["one"], Tensor) or answer["one"].dim() != 4:
        return answer
    answer["rows"] = rows(net, z)
    used = z.clone().requires_grad_()
    (answer["influence"],) = gradients_for([used], net(used))
    net.train()
    answer["gradients"] = gradients(net, (net(z) * torch.randn(len(z), 3, 64, 64)).sum())
    answer["wide"] = structure(Generator(sizes[0], 2 * sizes[1]))
    answer["dark"] = driven(Generator(*sizes), z, -1, lambda x: bool(x.min() < -0.97))
    start = [p.detach().clone() for p in net.parameters()]
    answer["bright"] = driven(net, z, +1, lambda x: bool(x.max() > 0.97))
    return answer | {"barely bright": barely_bright(net, start, z)}


def judge(case: Case, answer: Answer) -> None:
    z = case["z"]
    network(answer["structure"])
    require(not answer["changed"], "it changed the z it was given: the first layer works in place")
    pictures = tensor(answer["value"], "the result")
    are_pictures(pictures, z)
    are_pictures(tensor(answer["one"], "the picture of a single z"), z[:1])
    if not case["closely"]:
        return
    require(pictures.any(), "every picture is 0 everywhere: a ReLU before the tanh?")
    gradients_reach(answer["structure"], answer["gradients"])
    rows_alone(answer["rows"], "z")
    z_decides(answer["rows"]["together"], tensor(answer["influence"], "the influence of z"), z)
    reach_both_ends(*(tensor(answer[way], "the result") for way in ("dark", "bright", "barely bright")))
    width_follows(answer["structure"], answer["wide"])


def are_pictures(x: Tensor, z: Tensor) -> None:
    n = len(z)
    expected = f"z of shape [{n}, z_size] gives {shape(x)}, expected [{n}, 3, 64, 64]: "
    require(x.shape != (n, 64, 64, 3), expected + "channels come before rows")
    require(x.dim() == 4, expected + "four axes, also for a single picture (no squeeze)")
    require(len(x) == n, expected + "one picture for each z")
    require(x.shape[1] == 3, expected + "3 colour channels at the end")
    require(x.shape[2] >= 64, expected + "count the doublings from 4 to 64, there are four")
    require(x.shape[2:] == (64, 64), expected + "doubled too often, or kernel, stride, padding are off (4, 2, 1 doubles)")


def z_decides(x: Tensor, influence: Tensor, z: Tensor) -> None:
    are_pictures(x, z)
    most = x.abs().max()
    apart = (x[:-1] - x[1:]).abs().amax((1, 2, 3)).min()
    require(apart > 1e-5 * most, "different z give the same picture: is z used in forward?")
    require(influence.shape == z.shape, "its influence is not that of z")
    unused = int((influence == 0).all(0).sum())
    require(unused == 0, f"{unused} of {z.shape[1]} entries of z have no influence on the picture: use the whole of z")
    across = x.flatten(2).std(2).max()
    require(across > 1e-6 * most, "every picture is one flat colour: is one value copied to all pixels?")
    require(not torch.equal(x[:, 0], x[:, 1]), "red and green are always equal: one channel copied three times?")


def reach_both_ends(dark: Tensor, bright: Tensor, barely: Tensor) -> None:
    low, high = float(dark.min()), float(bright.max())
    reach = f"trained towards white and towards black, its values reach {low:.3g} and {high:.3g}, expected -1 and 1: "
    require(high <= 1 and low >= -1, reach + "the tanh at the end is missing")
    require(low != 0, reach + "a ReLU before the tanh, or another range than a tanh's?")
    require(low < 0, reach + "a sigmoid at the end, expected tanh")
    require(high > 0.9 and low < -0.9, reach + "the range is not used, is something after the tanh, or another function?")
    cut = "values beyond the range are cut off to exactly 1 (clamp), where no gradient flows: use tanh"
    require((barely == 1).sum() <= 0.5 * (barely > 0.97).sum(), cut)


EXERCISE = Exercise(
    component="Generator",
    chapter=2,
    place=2,
    minutes=20,
    difficulty=2,
    task="The network that makes pictures out of noise: z to 64 x 64 pixels.",
    verified="shapes, range of a tanh, z decides, gradients, batch independence, width",
    reference=Generator,
    cases=cases,
    probe=probe,
    judge=judge,
    hints={
        r"Kernel size can't be greater|Calculated output size": "is it ConvTranspose2d? Conv2d makes the picture smaller",
        r"transposed=1.*to have|expected input.*channels|Expected 3D.*or 4D|running_mean should contain": "the first layer"
        " takes z_size channels, each further one what the layer before it gives, and z has to be [N, z_size, 1, 1]",
        r"mat1 and mat2 shapes": "a Linear layer takes z as it comes, [N, z_size]; reshape its result to [N, 8c, 4, 4]",
        r"is invalid for input of size": "a reshape does not fit the number of values: print the shape before it",
    },
)
