"""NoiseInjection(): more wrong solutions, and right ones that are written in other ways."""

import torch
from torch import nn

from exercises.stylegan.noise_injection import Right, adding


def drawing(draw):
    return type("Drawing", (Right,), {"draw": staticmethod(draw)})


class Scalar(nn.Module):
    """A strength without axes, noise by randn_like."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.0))

    def forward(self, x, noise=None):
        if noise is None:
            noise = torch.randn_like(x[:, :1])
        return torch.addcmul(x, self.weight, noise)


class FourAxes(nn.Module):
    """As often published: empty and normal_, the strength [1, 1, 1, 1]."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, image, noise=None):
        if noise is None:
            batch, _, height, width = image.shape
            noise = image.new_empty(batch, 1, height, width).normal_()
        return image + self.weight * noise


class AsConvolution(nn.Module):
    """A 1x1 convolution of the noise alone, without a bias."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.zeros_(self.scale.weight)

    def forward(self, x, noise=None):
        return x + self.scale(torch.randn(len(x), 1, *x.shape[-2:]) if noise is None else noise)


def picture_by_picture(x):
    return torch.stack([torch.normal(0.0, 1.0, x.shape[2:]).expand(x.shape[1:]) for _ in x])


def keeping(make):
    """The strength is what `make` gives, set after nn.Module's own __init__."""

    class Keeping(Right):
        def __init__(self):
            nn.Module.__init__(self)
            self.strength = make()

    return Keeping


class Buffer(Right):
    def __init__(self):
        nn.Module.__init__(self)
        self.register_buffer("strength", torch.zeros(1))


class WithBias(Right):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))


class IgnoresNoise(Right):
    def forward(self, x, noise=None):
        return super().forward(x)


class WrongWayRound(Right):
    def forward(self, x, noise=None):
        return super().forward(x, noise) if noise is not None else x


class AsksTheTruth(Right):
    def forward(self, x, noise=None):
        return super().forward(x, noise if noise else self.draw(x))


class NotNoise(Right):
    def forward(self, x, noise=None):
        if not noise:
            noise = self.draw(x)
        return super().forward(x, noise)


class GivenOnlyInTraining(Right):
    def forward(self, x, noise=None):
        return super().forward(x, noise if self.training else None)


class QuietInEval(Right):
    def forward(self, x, noise=None):
        return x if noise is None and not self.training else super().forward(x, noise)


class DrawnOnce(Right):
    def draw(self, x):
        if not hasattr(self, "kept") or self.kept.shape[2:] != x.shape[2:]:
            self.kept = super().draw(x)
        return self.kept


class Seeded(Right):
    def draw(self, x):
        torch.manual_seed(0)
        return super().draw(x)


class OwnGenerator(Right):
    def draw(self, x):
        return torch.randn(len(x), 1, *x.shape[2:], generator=torch.Generator().manual_seed(1))


def x_in_place(x, noise, strength):
    x += strength.detach() * noise
    return x + 0 * strength


def noise_in_place(x, noise, strength):
    noise *= 2
    return x + strength * noise / 2


class Silent(Right):
    def forward(self, x, noise=None):
        super().forward(x, noise)


def signs(x):
    return torch.randn_like(x[:, :1]).sign()


RIGHT = [
    ("scalar", Scalar),
    ("four axes", FourAxes),
    ("convolution", AsConvolution),
    ("picture by picture", drawing(picture_by_picture)),
]
WRONG = [
    ("an object", type("NoiseInjection", (Right,), {})(), "hand in the class itself, without brackets"),
    ("whole number", lambda: nn.Parameter(torch.tensor(0)), "a strength is no whole number"),
    ("same for the batch", drawing(lambda x: torch.randn(1, 1, *x.shape[2:])), "all pictures of a batch get the same noise"),
    ("differs by channel", drawing(torch.randn_like), "each channel gets noise of its own"),
    ("rand", drawing(lambda x: torch.rand_like(x[:, :1])), "torch.randn, not rand"),
    ("ignored in eval", GivenOnlyInTraining, "in eval mode the argument noise is ignored"),
    ("begins at 1", keeping(lambda: nn.Parameter(torch.ones(1))), "the strength begins at 1, expected 0"),
    ("begins by chance", keeping(lambda: nn.Parameter(torch.randn(1))), "the strength begins at"),
    ("plain tensor", keeping(lambda: torch.zeros(1, requires_grad=True)), "a plain tensor that no optimiser finds"),
    ("plain number", keeping(float), "the strength of the noise is learned"),
    ("per channel", keeping(lambda: nn.Parameter(torch.zeros(1, 4, 1, 1))), "expected one strength for all channels"),
    ("frozen", keeping(lambda: nn.Parameter(torch.zeros(1), requires_grad=False)), "the strength is frozen"),
    ("buffer", Buffer, "is not learned: nn.Parameter"),
    ("with a bias", WithBias, "it learns 2 numbers"),
    ("argument ignored", IgnoresNoise, "the argument noise is ignored"),
    ("nothing without argument", WrongWayRound, "nothing is added if no noise is given"),
    ("if noise", AsksTheTruth, "ask `if noise is None`"),
    ("if not noise", NotNoise, "ask `if noise is None`"),
    ("quiet in eval", QuietInEval, "in eval mode nothing is added"),
    ("one number per picture", drawing(lambda x: torch.randn(len(x), 1, 1, 1)), "a picture's noise is one number"),
    ("one per channel", drawing(lambda x: torch.randn(*x.shape[:2], 1, 1)), "each channel gets noise of its own"),
    ("whole rows", drawing(lambda x: torch.randn(len(x), 1, x.shape[2], 1)), "whole rows or columns"),
    ("whole columns", drawing(lambda x: torch.randn(len(x), 1, 1, x.shape[3])), "whole rows or columns"),
    ("without N", drawing(lambda x: torch.randn(x.shape[2:])), "all pictures of a batch get the same noise"),
    ("rand about 0", drawing(lambda x: torch.rand_like(x[:, :1]) * 2 - 1), "torch.randn, not rand"),
    ("signs", drawing(signs), "so they are not normal"),
    ("columns before rows", drawing(lambda x: torch.randn(len(x), 1, x.shape[3], x.shape[2])), "rows before columns"),
    ("kept", DrawnOnce, "the same noise in every call"),
    ("seeded", Seeded, "the same noise in every call"),
    ("own generator", OwnGenerator, "the same noise in every call"),
    ("x missing", adding(lambda x, noise, s: s * noise), "this is the noise alone"),
    ("x missing in all channels", adding(lambda x, noise, s: s * noise.expand_as(x)), "nothing of x comes out"),
    ("both times the strength", adding(lambda x, noise, s: s * (x + noise)), "nothing of x comes out"),
    ("exponential", adding(lambda x, noise, s: x + s.exp() * noise), "the noise shows all the same"),
    ("detached", adding(lambda x, noise, s: x + s.detach() * noise), "the gradient for the strength"),
    ("item", adding(lambda x, noise, s: x + s.item() * noise), "the gradient for the strength"),
    ("x detached", adding(lambda x, noise, s: x.detach() + s * noise), "the gradient for x"),
    ("sigmoid", adding(lambda x, noise, s: x + (2 * s.sigmoid() - 1) * noise), "expected x + strength * noise"),
    ("x in place", adding(x_in_place), "it changed x in place"),
    ("noise in place", adding(noise_in_place), "it changed noise in place"),
    ("no return", Silent, "return statement missing"),
    ("no module", lambda: Right.add, "expected an nn.Module"),
]
