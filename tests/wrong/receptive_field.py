"""receptive_field(layers): wrong and right solutions."""

import torch
from torch import nn


def walk(layers, before=(1, 1), after=(), kernel=4, less=1, start=1):
    side = start
    for stride in (*before, *[2] * layers, *after):
        side = (side - less) * stride + kernel
    return side


def no_last_ones(layers):
    return walk(layers, before=())


def one_last(layers):
    return walk(layers, before=(1,))


def three_last(layers):
    return walk(layers, before=(1, 1, 1))


def one_more(layers):
    return walk(layers + 1)


def one_less(layers):
    return walk(layers - 1)


def kernel_of_three(layers):
    return walk(layers, kernel=3)


def nothing_taken_off(layers):
    return walk(layers, less=0)


def from_zero(layers):
    return walk(layers, start=0)


def forwards(layers):
    return walk(layers, before=(), after=(1, 1))


def without_strides(layers):
    return 1 + 3 * (layers + 2)


def seventy(layers):
    return 70


def a_table(layers):
    return {1: 16, 2: 34, 3: 70, 4: 142}.get(layers, 142)


def nothing(layers):
    walk(layers)


def as_text(layers):
    return f"{walk(layers)}x{walk(layers)}"


def a_pair(layers):
    return walk(layers), walk(layers)


def powers(layers):
    return 4 * 2 ** (layers + 1)


WRONG = [
    ("no convolutions of stride 1", no_last_ones, "stride 1 are left out"),
    ("one of stride 1", one_last, "only one convolution of stride 1"),
    ("forwards", forwards, "begin with the last convolution"),
    ("without strides", without_strides, "strides are left out"),
    ("three of stride 1", three_last, "three convolutions of stride 1"),
    ("one layer more", one_more, "one strided convolution too many"),
    ("one layer less", one_less, "one strided convolution too few"),
    ("kernel 3", kernel_of_three, "a kernel of 3"),
    ("r * stride + kernel", nothing_taken_off, "expected (r - 1) * stride + kernel"),
    ("from 0", from_zero, "r = 1, not 0"),
    ("always 70", seventy, "is layers used"),
    ("a table", a_table, "receptive_field(5) is 142, expected 286"),
    ("powers of two", powers, "r pixels of a map need"),
    ("no return", nothing, "return statement missing"),
    ("a text", as_text, "returned a str"),
    ("a pair", a_pair, "returned a tuple"),
]


def closed_form(layers):
    return 9 * 2**layers - 2


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
    net = nn.Sequential(*(nn.Conv2d(1, 1, 4, stride, bias=False) for stride in [2] * layers + [1, 1]))
    for p in net.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 1, 700, 700, dtype=torch.float64, requires_grad=True)
    net.double()(x)[0, 0, 0, 0].backward()
    return (x.grad[0, 0, 0] != 0).sum()


RIGHT = [("closed form", closed_form), ("by jumps", by_jumps), ("recursive", recursive), ("measured", measured)]
