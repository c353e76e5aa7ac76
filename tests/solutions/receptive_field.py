"""receptive_field(layers): right solutions that are written in other ways, and more wrong ones."""

import torch
from torch import nn

from exercises.cyclegan.receptive_field import right


def by_jumps(layers):
    """Forwards, but right: what a map's pixel is worth doubles with every stride."""
    side, jump = 1, 1
    for stride in [2] * layers + [1, 1]:
        side, jump = side + 3 * jump, jump * stride
    return side


def recursive(layers):
    return 7 if layers == 0 else 2 * recursive(layers - 1) + 2


def measured(layers):
    """Which pixels move a logit, found by the gradient."""
    net = nn.Sequential(*(nn.Conv1d(1, 1, 4, stride, bias=False) for stride in [2] * layers + [1, 1]))
    for p in net.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 1, 9 * 2**layers, dtype=torch.float64, requires_grad=True)
    net.double()(x)[0, 0, 0].backward()
    return (x.grad[0, 0] != 0).sum()


def strides_of_a_number(layers):
    r = 1
    for stride in layers:
        r = (r - 1) * stride + 4
    return r


def returns_at_once(layers):
    r = 1
    for stride in [1, 1] + [2] * layers:
        r = (r - 1) * stride + 4
        return r


RIGHT = [
    ("walk", right),
    ("closed form", lambda layers: 9 * 2**layers - 2),
    ("by jumps", by_jumps),
    ("recursive", recursive),
    ("measured", measured),
    ("as a float", lambda layers: float(right(layers))),
]
WRONG = [
    ("powers of two", lambda layers: 4 * 2 ** (layers + 1), "r pixels of a map need"),
    ("one off", lambda layers: right(layers) + 1, "r pixels of a map need"),
    ("a loop over a number", strides_of_a_number, "layers is a number"),
    ("return within the loop", returns_at_once, "r pixels of a map need"),
    ("r starts at 4", lambda layers: 6 * 2 ** (layers + 1) - 2, "three convolutions of stride 1"),
    ("a list", lambda layers: [right(layers)], "expected one number"),
]
