"""NoiseInjection(): wrong and right solutions."""

import torch
from torch import nn


class Base(nn.Module):
    """A right layer; the wrong ones change one thing."""

    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))

    def draw(self, x):
        return torch.randn(x.shape[0], 1, x.shape[2], x.shape[3])

    def add(self, x, noise):
        return x + self.strength * noise

    def forward(self, x, noise=None):
        return self.add(x, self.draw(x) if noise is None else noise)


def drawing(function):
    class Drawing(Base):
        def draw(self, x):
            return function(x)

    return Drawing


def adding(function):
    class Adding(Base):
        def add(self, x, noise):
            return function(x, noise, self.strength)

    return Adding


def beginning(value):
    class Beginning(Base):
        def __init__(self):
            super().__init__()
            self.strength = nn.Parameter(torch.full((1,), value))

    return Beginning


class Buffer(Base):
    def __init__(self):
        nn.Module.__init__(self)
        self.register_buffer("strength", torch.zeros(1))


class PlainTensor(Base):
    def __init__(self):
        nn.Module.__init__(self)
        self.strength = torch.zeros(1, requires_grad=True)


class PlainNumber(Base):
    def __init__(self):
        nn.Module.__init__(self)
        self.strength = 0.0


class PerChannel(Base):
    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1, 4, 1, 1))


class WithBias(Base):
    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def add(self, x, noise):
        return x + self.strength * noise + self.bias


class Frozen(Base):
    def __init__(self):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1), requires_grad=False)


class IgnoresNoise(Base):
    def forward(self, x, noise=None):
        return self.add(x, self.draw(x))


class AsksTheTruth(Base):
    """`noise or draw`, the wrong way round."""

    def forward(self, x, noise=None):
        return self.add(x, noise) if noise is not None else x


class OnlyInTraining(Base):
    def forward(self, x, noise=None):
        if noise is None and not self.training:
            return x
        return super().forward(x, noise)


class DrawnOnce(Base):
    def draw(self, x):
        if not hasattr(self, "kept") or self.kept.shape[2:] != x.shape[2:]:
            self.kept = super().draw(x)
        return self.kept


class Seeded(Base):
    def draw(self, x):
        torch.manual_seed(0)
        return super().draw(x)


class InPlace(Base):
    def add(self, x, noise):
        x += self.strength.detach() * noise
        return x + 0 * self.strength


class NoiseInPlace(Base):
    def add(self, x, noise):
        noise *= 2
        return x + self.strength * noise / 2


class SkipsZero(Base):
    """No noise while the strength is 0, so that it never gets a gradient."""

    def add(self, x, noise):
        return x if self.strength == 0 else x + self.strength * noise


class Silent(Base):
    def forward(self, x, noise=None):
        super().forward(x, noise)


class Function:
    def __call__(self, x, noise=None):
        return x


WRONG = [
    ("same for the batch", drawing(lambda x: torch.randn(1, 1, *x.shape[2:])), "all pictures of a batch get the same noise"),
    ("differs by channel", drawing(torch.randn_like), "each channel gets noise of its own"),
    ("buffer", Buffer, "is not learned: nn.Parameter"),
    ("begins at 1", beginning(1.0), "the strength begins at 1, expected 0"),
    ("begins at 0.1", beginning(0.1), "the strength begins at 0.1, expected 0"),
    ("plain tensor", PlainTensor, "a plain tensor that no optimiser finds"),
    ("plain number", PlainNumber, "the strength of the noise is learned"),
    ("per channel", PerChannel, "expected one strength for all channels"),
    ("with a bias", WithBias, "it learns 2 numbers"),
    ("frozen", Frozen, "the strength is frozen"),
    ("argument ignored", IgnoresNoise, "the argument noise is ignored"),
    ("nothing without argument", AsksTheTruth, "nothing is added if no noise is given"),
    ("only in training", OnlyInTraining, "in eval mode nothing is added"),
    ("one number per picture", drawing(lambda x: torch.randn(len(x), 1, 1, 1)), "a picture's noise is one number"),
    ("one number per channel", drawing(lambda x: torch.randn(len(x), x.shape[1], 1, 1)), "each channel gets noise of its own"),
    ("whole rows", drawing(lambda x: torch.randn(len(x), 1, x.shape[2], 1)), "whole rows or columns"),
    ("whole columns", drawing(lambda x: torch.randn(len(x), 1, 1, x.shape[3])), "whole rows or columns"),
    ("rand", drawing(lambda x: torch.rand_like(x[:, :1])), "torch.randn, not rand"),
    ("rand about 0", drawing(lambda x: torch.rand_like(x[:, :1]) * 2 - 1), "torch.randn, not rand"),
    ("columns before rows", drawing(lambda x: torch.randn(len(x), 1, x.shape[3], x.shape[2])), "rows before columns"),
    ("kept", DrawnOnce, "the same noise in every call"),
    ("seeded", Seeded, "the same noise in every call"),
    ("strength not used", adding(lambda x, noise, s: x + noise), "the noise shows all the same"),
    ("multiplied", adding(lambda x, noise, s: x * (1 + s * noise)), "the noise multiplies x"),
    ("x missing", adding(lambda x, noise, s: s * noise), "this is the noise alone"),
    ("x missing in all channels", adding(lambda x, noise, s: s * noise.expand_as(x)), "nothing of x comes out"),
    ("both times the strength", adding(lambda x, noise, s: s * (x + noise)), "nothing of x comes out"),
    ("mixed", adding(lambda x, noise, s: (1 - s) * x + s * noise), "x loses what the noise gains"),
    ("subtracted", adding(lambda x, noise, s: x - s * noise), "the noise is subtracted"),
    ("squared", adding(lambda x, noise, s: x + s**2 * noise), "the strength is squared"),
    ("exponential", adding(lambda x, noise, s: x + s.exp() * noise), "the noise shows all the same"),
    (
        "first channel only",
        adding(lambda x, noise, s: torch.cat([x[:, :1] + s * noise, x[:, 1:]], 1)),
        "only the first channel",
    ),
    ("first picture's noise", adding(lambda x, noise, s: x + s * noise[:1]), "all pictures get the first one's noise"),
    ("detached", adding(lambda x, noise, s: x + s.detach() * noise), "no gradient reaches the strength"),
    ("item", adding(lambda x, noise, s: x + s.item() * noise), "no gradient reaches the strength"),
    ("skipped at 0", SkipsZero, "no gradient reaches the strength"),
    ("x in place", InPlace, "changed x itself"),
    ("noise in place", NoiseInPlace, "it changed the noise it was given"),
    ("no return", Silent, "return statement missing"),
    ("no module", Function, "expected an nn.Module"),
]


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


class PerPicture(Base):
    """Drawn picture by picture, repeated for the channels."""

    def draw(self, x):
        return torch.stack([torch.normal(0.0, 1.0, x.shape[2:]).expand(x.shape[1:]) for _ in x])


RIGHT = [("parameter of one", Base), ("scalar", Scalar), ("four axes", FourAxes), ("picture by picture", PerPicture)]
