"""MappingNetwork(z_dim, w_dim, layers=4): wrong and right solutions."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn


def pixel_norm(z):
    return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Base(nn.Module):
    """A right network; the wrong ones change one thing."""

    norm = staticmethod(pixel_norm)

    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__()
        self.layers = self.stack(z_dim, w_dim, layers)

    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[w_dim] * layers]
        return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def act(self, w):
        return F.leaky_relu(w, 0.2)

    def forward(self, z):
        w = self.norm(z)
        for layer in self.layers:
            w = self.act(layer(w))
        return w


def normalising(function):
    class Normalising(Base):
        norm = staticmethod(function)

    return Normalising


def activating(function):
    class Activating(Base):
        def act(self, w):
            return function(w)

    return Activating


class NormLast(Base):
    def forward(self, z):
        for layer in self.layers:
            z = self.act(layer(z))
        return pixel_norm(z)


class NormAtBothEnds(Base):
    def forward(self, z):
        return pixel_norm(super().forward(z))


class NormAfterEach(Base):
    def act(self, w):
        return F.leaky_relu(pixel_norm(w), 0.2)


class NormInTraining(Base):
    def forward(self, z):
        w = pixel_norm(z) if self.training else z
        for layer in self.layers:
            w = self.act(layer(w))
        return w


class BatchNorm(Base):
    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[w_dim] * layers]
        return nn.ModuleList(nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b)) for a, b in itertools.pairwise(widths))


class LayerNorm(Base):
    def act(self, w):
        return F.leaky_relu(F.layer_norm(w, w.shape[1:]), 0.2)


class WithRMSNorm(Base):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        self.scaled = nn.RMSNorm(z_dim)

    def forward(self, z):
        w = self.scaled(z)
        for layer in self.layers:
            w = self.act(layer(w))
        return w


class ActivatedOnce(Base):
    def forward(self, z):
        w = pixel_norm(z)
        for layer in self.layers:
            w = layer(w)
        return self.act(w)


class ActivatedAfterTheFirst(Base):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(pixel_norm(z)))
        for layer in rest:
            w = layer(w)
        return w


class ActivatedBeforehand(Base):
    """Between the layers, and before the first: as many as layers, but in other places."""

    def forward(self, z):
        w = pixel_norm(z)
        for layer in self.layers:
            w = layer(self.act(self.act(w)))
        return w


class OneTooFew(Base):
    def stack(self, z_dim, w_dim, layers):
        return super().stack(z_dim, w_dim, layers - 1)


class OneTooMany(Base):
    def stack(self, z_dim, w_dim, layers):
        return super().stack(z_dim, w_dim, layers + 1)


class AlwaysFour(Base):
    def stack(self, z_dim, w_dim, layers):
        return super().stack(z_dim, w_dim, 4)


class OneLayerManyTimes(Base):
    def stack(self, z_dim, w_dim, layers):
        return nn.ModuleList([nn.Linear(z_dim, w_dim), *[nn.Linear(w_dim, w_dim)] * (layers - 1)])


class EightByDefault(Base):
    def __init__(self, z_dim, w_dim, layers=8):
        super().__init__(z_dim, w_dim, layers)


class WithoutW(Base):
    def stack(self, z_dim, w_dim, layers):
        return super().stack(z_dim, z_dim, layers)


class WithoutZ(Base):
    def stack(self, z_dim, w_dim, layers):
        return super().stack(w_dim, w_dim, layers)


class WrongWidths(Base):
    def stack(self, z_dim, w_dim, layers):
        return nn.ModuleList(nn.Linear(z_dim, w_dim) for _ in range(layers))


class FixedWidth(Base):
    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[16] * layers]
        return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))


class PlainList(Base):
    def stack(self, z_dim, w_dim, layers):
        return list(super().stack(z_dim, w_dim, layers))


class WithDropout(Base):
    def act(self, w):
        return F.dropout(F.leaky_relu(w, 0.2), 0.3, self.training)


class WithNoise(Base):
    def forward(self, z):
        return super().forward(z + 0.1 * torch.randn_like(z))


class DrawsItself(Base):
    def forward(self, z):
        return super().forward(torch.randn_like(z))


class Repeated(Base):
    def forward(self, z):
        return super().forward(z)[:, None].repeat(1, 6, 1)


class Squeezed(Base):
    def forward(self, z):
        return super().forward(z).mean(0)


class InPlace(Base):
    def forward(self, z):
        z /= (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for layer in self.layers:
            z = self.act(layer(z))
        return z


class NoGraph(Base):
    @torch.no_grad()
    def forward(self, z):
        return super().forward(z)


class FirstLayerCut(Base):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(pixel_norm(z))).detach()
        for layer in rest:
            w = self.act(layer(w))
        return w


class Zeros(Base):
    def stack(self, z_dim, w_dim, layers):
        stack = super().stack(z_dim, w_dim, layers)
        for layer in stack:
            nn.init.zeros_(layer.weight)
        return stack


class Shortcut(Base):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(pixel_norm(z)))
        for layer in rest:
            w = w + self.act(layer(w))
        return w


class WithoutSuper(Base):
    def __init__(self, z_dim, w_dim, layers=4):
        self.layers = self.stack(z_dim, w_dim, layers)


class Silent(Base):
    def forward(self, z):
        super().forward(z)


def a_list(z_dim, w_dim, layers=4):
    return [nn.Linear(z_dim, w_dim)]


def alternating(w):
    return torch.where(w > 0, w, 0.5 * w)


WRONG = [
    ("no norm", normalising(lambda z: z), "the length of z has to be taken out"),
    ("ReLU", activating(F.relu), "this is a ReLU"),
    ("linear", activating(lambda w: w), "there is none, so that all layers together"),
    ("batch norm", BatchNorm, "depends on the other z"),
    ("over the batch", normalising(lambda z: z / z.square().mean(0, keepdim=True).sqrt()), "pixel_norm over the batch"),
    ("over everything", normalising(lambda z: z / z.square().mean().sqrt()), "pixel_norm over the batch"),
    ("length 1", normalising(F.normalize), "rows of length 1 reach the first layer"),
    ("norm last", NormLast, "pixel_norm comes last here"),
    ("norm at both ends", NormAtBothEnds, "a norm between or after the layers"),
    ("norm after each", NormAfterEach, "a norm between or after the layers"),
    ("layer norm", LayerNorm, "a norm between or after the layers"),
    ("norm with weights", WithRMSNorm, "a norm with weights of its own"),
    ("norm in training only", NormInTraining, "the length of z has to be taken out"),
    ("tanh", activating(torch.tanh), "no tanh, sigmoid, GELU"),
    ("sigmoid", activating(torch.sigmoid), "no tanh, sigmoid, GELU"),
    ("GELU", activating(F.gelu), "no tanh, sigmoid, GELU"),
    ("shortcut", Shortcut, "no tanh, sigmoid, GELU, shortcut"),
    ("slope 0.01", activating(F.leaky_relu), "the slope is 0.01, torch's default"),
    ("slope 0.5", activating(alternating), "w is 0.25 of what it is above 0"),
    ("activated once", ActivatedOnce, "counted here are 1"),
    ("activated after the first", ActivatedAfterTheFirst, "counted here are 1"),
    ("activated twice", ActivatedBeforehand, "counted here are 4"),
    ("one too few", OneTooFew, "the first and the last one are counted"),
    ("one too many", OneTooMany, "the first and the last one are counted"),
    ("always 4", AlwaysFour, "layers has no effect"),
    ("one layer n times", OneLayerManyTimes, "holds one layer n times"),
    ("8 by default", EightByDefault, "by default layers is 4"),
    ("w_dim ignored", WithoutW, "is w_dim used"),
    ("z_dim ignored", WithoutZ, "the first layer takes z_dim entries"),
    ("widths", WrongWidths, "each further one as many as the one before it gives"),
    ("fixed width", FixedWidth, "the last layer gives w_dim entries"),
    ("plain list", PlainList, "plain list, where no optimiser finds them"),
    ("dropout", WithDropout, "the same z gives another w the second time"),
    ("noise", WithNoise, "the same z gives another w the second time"),
    ("own z", DrawsItself, "the same z gives another w the second time"),
    ("repeated", Repeated, "not yet repeated for the layers"),
    ("no batch", Squeezed, "one w for each z"),
    ("in place", InPlace, "it changed the z it was given"),
    ("no_grad", NoGraph, "no gradient reaches any weight"),
    ("first layer cut off", FirstLayerCut, "gets no gradient"),
    ("weights of 0", Zeros, "is 0 everywhere"),
    ("no super", WithoutSuper, "call super().__init__() first"),
    ("no return", Silent, "return statement missing"),
    ("no module", a_list, "expected an nn.Module"),
]


class LastLinear(Base):
    """A hidden width of its own, nothing after the last layer."""

    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[32] * (layers - 1), w_dim]
        return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, z):
        w = pixel_norm(z)
        for i, layer in enumerate(self.layers):
            w = layer(w) if i == len(self.layers) - 1 else self.act(layer(w))
        return w


class AsSequential(nn.Module):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__()
        stack = [nn.Linear(z_dim, w_dim), nn.LeakyReLU(0.2)]
        for _ in range(layers - 1):
            stack += [nn.Linear(w_dim, w_dim), nn.LeakyReLU(0.2, inplace=True)]
        self.net = nn.Sequential(*stack)

    def forward(self, z):
        return self.net(F.normalize(z, dim=1) * math.sqrt(z.shape[1]))


class EqualLinear(nn.Module):
    """Weights of unit variance, scaled when used, which learn slowly."""

    def __init__(self, inputs, outputs, rate=0.01):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Equalised(Base):
    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[w_dim] * layers]
        return nn.ModuleList(EqualLinear(a, b) for a, b in itertools.pairwise(widths))

    def act(self, w):
        return F.leaky_relu(w, 0.2) * math.sqrt(2)


class ScaledInputs(nn.Module):
    """The inputs are scaled in place of the weights; attributes by name, norm as a module."""

    class Norm(nn.Module):
        def forward(self, z):
            return z / torch.sqrt(torch.mean(z**2, dim=1, keepdim=True) + 1e-8)

    class Scaled(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.linear, self.scale = nn.Linear(inputs, outputs, bias=False), inputs**-0.5
            self.bias = nn.Parameter(torch.zeros(outputs))
            nn.init.normal_(self.linear.weight)

        def forward(self, x):
            return self.linear(x * self.scale) + self.bias

    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__()
        self.layers, self.norm = layers, self.Norm()
        for i in range(layers):
            setattr(self, f"fc{i}", self.Scaled(w_dim if i else z_dim, w_dim))

    def forward(self, z):
        z = self.norm(z)
        for i in range(self.layers):
            z = F.leaky_relu(getattr(self, f"fc{i}")(z), 0.2)
        return z


class ByHand(nn.Module):
    """Matrices [in, out], no layers."""

    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__()
        sizes = [z_dim] + [w_dim] * layers
        self.weights = nn.ParameterList(torch.randn(a, b) / a**0.5 for a, b in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(b) for b in sizes[1:])

    def forward(self, z):
        w = pixel_norm(z)
        for weight, bias in zip(self.weights, self.biases):
            w = w @ weight + bias
            w = torch.maximum(w, 0.2 * w)
        return w


RIGHT = [
    ("ModuleList", Base),
    ("last layer linear, other widths", LastLinear),
    ("Sequential", AsSequential),
    ("equalised learning rate", Equalised),
    ("scaled inputs", ScaledInputs),
    ("by hand", ByHand),
]
