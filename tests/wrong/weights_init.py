"""weights_init_normal(m), for net.apply: wrong and right solutions."""

import torch
from torch import nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def _initialiser(draw, layers=LAYERS, bias=nn.init.zeros_):
    """weights_init_normal with parts exchanged."""

    def weights_init_normal(m):
        if isinstance(m, layers):
            draw(m.weight)
            if m.bias is not None:
                bias(m.bias)

    return weights_init_normal


def normal(weight, std=0.02):
    nn.init.normal_(weight, 0.0, std)


def blindly(m):
    nn.init.normal_(m.weight, 0.0, 0.02)


def bias_taken_for_granted(m):
    if isinstance(m, LAYERS):
        m.weight.data.normal_(0.0, 0.02)
        m.bias.data.zero_()


def norms_too(m):
    if hasattr(m, "weight") and m.weight is not None:
        nn.init.normal_(m.weight, 0.0, 0.02)
    if getattr(m, "bias", None) is not None:
        nn.init.zeros_(m.bias)


def in_the_graph(m):
    if isinstance(m, LAYERS):
        m.weight.normal_(0.0, 0.02)


def seeded(m):
    torch.manual_seed(0)
    _initialiser(normal)(m)


def frozen(m):
    _initialiser(normal)(m)
    m.requires_grad_(False)


def asks_for_the_bias(m):
    if isinstance(m, LAYERS):
        normal(m.weight)
        if m.bias:
            nn.init.zeros_(m.bias)


WRONG = [
    ("0.2", _initialiser(lambda w: normal(w, 0.2)), "0.2 instead of 0.02"),
    ("variance", _initialiser(lambda w: normal(w, 0.02**0.5)), "variance"),
    ("N(0, 1)", _initialiser(lambda w: normal(w, 1.0)), "N(0, 1)"),
    ("N(0.02, 1)", _initialiser(lambda w: nn.init.normal_(w, 0.02)), "N(0, 1)"),
    ("mean 0.02", _initialiser(lambda w: nn.init.normal_(w, 0.02, 0.02)), "mean has to be 0"),
    ("Xavier", _initialiser(nn.init.xavier_normal_), "Xavier"),
    ("Kaiming", _initialiser(nn.init.kaiming_normal_), "Kaiming"),
    ("uniform", _initialiser(lambda w: nn.init.uniform_(w, -0.02, 0.02)), "uniform"),
    ("uniform of the right width", _initialiser(lambda w: nn.init.uniform_(w, -0.034641, 0.034641)), "not normal"),
    ("constant", _initialiser(lambda w: nn.init.constant_(w, 0.02)), "all its weights are equal"),
    ("no transposed", _initialiser(normal, layers=(nn.Conv2d, nn.Linear)), "ConvTranspose2d was not initialised"),
    ("no Linear", _initialiser(normal, layers=(nn.Conv2d, nn.ConvTranspose2d)), "Linear was not initialised"),
    ("bias forgotten", _initialiser(normal, bias=lambda b: b), "has a bias"),
    ("random bias", _initialiser(normal, bias=normal), "has a bias"),
    ("every module", blindly, "not every module has weights"),
    ("bias=False", bias_taken_for_granted, "bias=False"),
    ("batch norm around 0", norms_too, "BatchNorm2d"),
    ("in-place on a leaf", in_the_graph, "no_grad"),
    ("seeded", seeded, "manual_seed"),
    ("frozen", frozen, "requires_grad"),
    ("if m.bias", asks_for_the_bias, "ask `if m.bias is not None`"),
]


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


RIGHT = [("layers alone", _initialiser(normal)), ("by class name, norms too", by_class_name), ("by shape", by_shape)]
