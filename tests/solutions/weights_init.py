"""weights_init_normal(m), for net.apply: more wrong solutions, and right ones that are written in other ways."""

import torch
from torch import nn

from exercises.dcgan.weights_init import LAYERS, normal, solution


def by_class_name(m):
    name = type(m).__name__
    if name.startswith("Conv") or name == "Linear":
        m.weight.data.normal_(0.0, 0.02)
        if m.bias is not None:
            m.bias.data.fill_(0)
    elif name.startswith("BatchNorm") and m.weight is not None:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


@torch.no_grad()
def by_shape(m):
    for name, p in m.named_parameters(recurse=False):
        if p.dim() > 1:
            p.copy_(0.02 * torch.randn(p.shape))
        elif name == "bias":
            p.zero_()


def new_parameters(m):
    if isinstance(m, LAYERS):
        m.weight = nn.Parameter(torch.normal(0.0, 0.02, m.weight.shape))
        if m.bias is not None:
            m.bias = nn.Parameter(torch.zeros(m.bias.shape))


def whole_network(m):
    for layer in m.modules():  # net.apply does this already, so layers are drawn again and again
        solution()(layer)


def conv_by_name_alone(m):
    if "Conv" in type(m).__name__:
        normal(m.weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


def norms_too(m):
    if hasattr(m, "weight") and m.weight is not None:
        nn.init.normal_(m.weight, 0.0, 0.02)
    if getattr(m, "bias", None) is not None:
        nn.init.zeros_(m.bias)


def asks_for_the_bias(m):
    if isinstance(m, LAYERS):
        normal(m.weight)
        if m.bias:
            nn.init.zeros_(m.bias)


def another_module(m):
    return solution()(nn.Linear(3, 3))


def biases_alone(m):
    if isinstance(m, LAYERS) and m.bias is not None:
        normal(m.weight)
        nn.init.zeros_(m.bias)


RIGHT = [
    ("layers alone", solution()),
    ("by class name, norms too", by_class_name),
    ("by shape", by_shape),
    ("new parameters", new_parameters),
    ("the whole network each time", whole_network),
    ("batch norm at 1", solution(norm=lambda m: nn.init.ones_(m.weight))),
]
WRONG = [
    ("Conv in the name", conv_by_name_alone, "Linear was not initialised"),
    ("every weight", norms_too, "BatchNorm2d has weights from"),
    ("if m.bias", asks_for_the_bias, "ask `if m.bias is not None`"),
    ("another module", another_module, "Conv2d was not initialised"),
    ("batch norm at 0", solution(norm=lambda m: nn.init.zeros_(m.weight)), "around 0 they erase the signal"),
    ("layers without bias left out", biases_alone, "Conv2d was not initialised"),
    ("biases forgotten", solution(bias=lambda b: b), "has a bias of 0.7"),
    ("in place on a leaf", solution(lambda w: w.normal_(0.0, 0.02)), "no_grad"),
    ("times 0.02", solution(lambda w: w.data.mul_(0.02)), "all its weights are equal"),
    ("mean 0.02, spread 1", solution(lambda w: nn.init.normal_(w, 0.02)), "this is N(0, 1)"),
    ("Kaiming", solution(nn.init.kaiming_normal_), "Kaiming"),
    ("orthogonal", solution(nn.init.orthogonal_), "does it depend on the layer's size"),
    ("absolute values", solution(lambda w: w.data.copy_(normal(torch.empty_like(w)).abs())), "expected 0 and 0.02"),
    ("called with a name", lambda module, std: normal(module.weight, std=std), "signature"),
]
