"""MappingNetwork(z_dim, w_dim, layers=4): more wrong solutions, and right ones that are written in other ways."""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn


class Right(nn.Module):
    """As the notebook, with PyTorch's own start; others change one of its parts."""

    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__()
        self.layers = nn.ModuleList(self.stack(z_dim, w_dim, layers))

    def stack(self, z_dim, w_dim, layers):
        return [nn.Linear(a, b) for a, b in itertools.pairwise([z_dim, *[w_dim] * layers])]

    def norm(self, z):
        return F.rms_norm(z, z.shape[1:], eps=1e-8)

    def act(self, w):
        return F.leaky_relu(w, 0.2)

    def forward(self, z):
        w = self.norm(z)
        for layer in self.layers:
            w = self.act(layer(w))
        return w


def changed(**parts):
    return type("Changed", (Right,), {name: staticmethod(part) for name, part in parts.items()})


def hidden_of_z_dim(z_dim, w_dim, layers):
    return [nn.Linear(z_dim, w_dim if i == layers - 1 else z_dim) for i in range(layers)]


class SpreadOne(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        for layer in self.layers:
            nn.init.normal_(layer.weight)


def pixel_norm(z):
    return z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class LastLinear(Right):
    """A hidden width of its own, nothing after the last layer."""

    def stack(self, z_dim, w_dim, layers):
        widths = [z_dim, *[32] * (layers - 1), w_dim]
        return [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]

    def forward(self, z):
        w = pixel_norm(z)
        for i, layer in enumerate(self.layers):
            w = layer(w) if i == len(self.layers) - 1 else self.act(layer(w))
        return w


class AsTheNotebook(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, 0.2)
            nn.init.zeros_(layer.bias)


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


class Equalised(Right):
    def stack(self, z_dim, w_dim, layers):
        return [EqualLinear(a, b) for a, b in itertools.pairwise([z_dim, *[w_dim] * layers])]

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


class Nested(nn.Module):
    """One layer, and the rest as a network of its own that is not normed."""

    def __init__(self, z_dim, w_dim, layers=4, first=True):
        super().__init__()
        self.first, self.layer = first, nn.Linear(z_dim, w_dim)
        self.rest = Nested(w_dim, w_dim, layers - 1, first=False) if layers > 1 else nn.Identity()

    def forward(self, z):
        return self.rest(F.leaky_relu(self.layer(pixel_norm(z) if self.first else z), 0.2))


class NormLast(Right):
    def forward(self, z):
        for layer in self.layers:
            z = self.act(layer(z))
        return pixel_norm(z)


class NormAtBothEnds(Right):
    def forward(self, z):
        return pixel_norm(super().forward(z))


class NormInTraining(Right):
    def norm(self, z):
        return pixel_norm(z) if self.training else z


class BatchNorm(Right):
    def stack(self, z_dim, w_dim, layers):
        return [nn.Sequential(layer, nn.BatchNorm1d(w_dim)) for layer in super().stack(z_dim, w_dim, layers)]


class WithRMSNorm(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        self.scaled = nn.RMSNorm(z_dim)

    def norm(self, z):
        return self.scaled(z)


class ActivatedOnce(Right):
    def forward(self, z):
        w = self.norm(z)
        for layer in self.layers:
            w = layer(w)
        return self.act(w)


class ActivatedAfterTheFirst(Right):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(self.norm(z)))
        for layer in rest:
            w = layer(w)
        return w


class ActivatedBefore(Right):
    """Each layer's ReLU comes before it in the place of after it."""

    def forward(self, z):
        w = self.norm(z)
        for layer in self.layers:
            w = layer(self.act(w))
        return w


class OneLayerManyTimes(Right):
    def stack(self, z_dim, w_dim, layers):
        return [nn.Linear(z_dim, w_dim), *[nn.Linear(w_dim, w_dim)] * (layers - 1)]


class EightByDefault(Right):
    def __init__(self, z_dim, w_dim, layers=8):
        super().__init__(z_dim, w_dim, layers)


class PlainList(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        nn.Module.__init__(self)
        self.layers = self.stack(z_dim, w_dim, layers)


class WithNoise(Right):
    def forward(self, z):
        return super().forward(z + 0.1 * torch.randn_like(z))


class WithDropout(Right):
    def act(self, w):
        return F.dropout(super().act(w), 0.3, self.training)


class DropoutAlways(Right):
    def act(self, w):
        return F.dropout(super().act(w), 0.3)


class Repeated(Right):
    def forward(self, z):
        return super().forward(z)[:, None].repeat(1, 6, 1)


class InPlace(Right):
    def norm(self, z):
        z /= (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
        return z


class NoGraph(Right):
    @torch.no_grad()
    def forward(self, z):
        return super().forward(z)


class FirstLayerCut(Right):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(self.norm(z))).detach()
        for layer in rest:
            w = self.act(layer(w))
        return w


class Zeros(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        for layer in self.layers:
            nn.init.zeros_(layer.weight)


class Shortcut(Right):
    def forward(self, z):
        first, *rest = self.layers
        w = self.act(first(self.norm(z)))
        for layer in rest:
            w = w + self.act(layer(w))
        return w


class WithoutSuper(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        self.layers = nn.ModuleList(self.stack(z_dim, w_dim, layers))


class Silent(Right):
    def forward(self, z):
        super().forward(z)


class UniformFromMinusOne(Right):
    def __init__(self, z_dim, w_dim, layers=4):
        super().__init__(z_dim, w_dim, layers)
        for layer in self.layers:
            nn.init.uniform_(layer.weight, -1, 1)


def stacked(stack):
    return changed(stack=stack)


def linears(*widths):
    return [nn.Linear(a, b) for a, b in itertools.pairwise(widths)]


RIGHT = [
    ("ModuleList", Right),
    ("as the notebook", AsTheNotebook),
    ("last layer linear, other widths", LastLinear),
    ("Sequential", AsSequential),
    ("equalised learning rate", Equalised),
    ("scaled inputs", ScaledInputs),
    ("by hand", ByHand),
    ("nested", Nested),
]
WRONG = [
    ("no norm", changed(norm=lambda z: z), "the length of z has to be taken out"),
    ("over the batch", changed(norm=lambda z: z / z.square().mean(0, keepdim=True).sqrt()), "pixel_norm over the batch"),
    ("length 1", changed(norm=F.normalize), "rows of length 1 reach the first layer"),
    (
        "layer norm",
        changed(act=lambda w: F.leaky_relu(F.layer_norm(w, w.shape[1:]), 0.2)),
        "a norm between or after the layers",
    ),
    ("tanh", changed(act=torch.tanh), "no tanh, sigmoid, GELU"),
    ("ReLU", changed(act=F.relu), "this is a ReLU"),
    ("slope 0.01", changed(act=F.leaky_relu), "the slope is 0.01, torch's default"),
    ("linear", changed(act=lambda w: w), "there is none, so that all layers together"),
    ("hidden layers of z_dim", changed(stack=hidden_of_z_dim), "a layer goes from z_dim=6 to z_dim"),
    ("one too many", changed(stack=lambda z, w, n: Right.stack(None, z, w, n + 1)), "the first and the last one are counted"),
    ("spread 1", SpreadOne, "weights of spread 1"),
    ("batch norm", BatchNorm, "depends on the other z"),
    ("over everything", changed(norm=lambda z: z / z.square().mean().sqrt()), "pixel_norm over the batch"),
    ("norm last", NormLast, "pixel_norm comes last here"),
    ("norm at both ends", NormAtBothEnds, "a norm between or after the layers"),
    ("norm after each", changed(act=lambda w: F.leaky_relu(pixel_norm(w), 0.2)), "a norm between or after the layers"),
    ("norm with weights", WithRMSNorm, "a norm with weights of its own"),
    ("norm in training only", NormInTraining, "the length of z has to be taken out"),
    ("mean subtracted, too", changed(norm=lambda z: z - z.mean(1, keepdim=True)), "the length of z has to be taken out"),
    ("sigmoid", changed(act=torch.sigmoid), "no tanh, sigmoid, GELU"),
    ("GELU", changed(act=F.gelu), "no tanh, sigmoid, GELU"),
    ("shortcut", Shortcut, "no tanh, sigmoid, GELU, shortcut"),
    ("slope 0.5", changed(act=lambda w: F.leaky_relu(w, 0.5)), "of what it is above 0"),
    ("activated once", ActivatedOnce, "counted here are 1"),
    ("activated after the first", ActivatedAfterTheFirst, "counted here are 1"),
    ("activated before", ActivatedBefore, "one comes before the first layer"),
    ("activated twice", changed(act=lambda w: F.leaky_relu(F.leaky_relu(w, 0.2), 0.2)), "counted here are 4"),
    ("one too few", stacked(lambda z, w, n: linears(z, *[w] * (n - 1))), "the first and the last one are counted"),
    ("always 4", stacked(lambda z, w, n: linears(z, *[w] * 4)), "layers has no effect"),
    ("one layer n times", OneLayerManyTimes, "holds one layer n times"),
    ("8 by default", EightByDefault, "by default layers is 4"),
    ("w_dim ignored", stacked(lambda z, w, n: linears(*[z] * (n + 1))), "is w_dim used"),
    ("z_dim ignored", stacked(lambda z, w, n: linears(*[w] * (n + 1))), "the first layer takes z_dim entries"),
    ("widths", stacked(lambda z, w, n: [nn.Linear(z, w) for _ in range(n)]), "each further one as many as the one before"),
    ("fixed width", stacked(lambda z, w, n: linears(z, *[16] * n)), "the last layer gives w_dim entries"),
    ("plain list", PlainList, "plain list, where no optimiser finds them"),
    ("dropout", WithDropout, "the same z gives another w the second time"),
    ("dropout in eval", DropoutAlways, "the second time"),
    ("noise", WithNoise, "the same z gives another w the second time"),
    ("repeated", Repeated, "not yet repeated for the layers"),
    ("in place", InPlace, "it changed z in place"),
    ("no_grad", NoGraph, "no gradient reaches any weight"),
    ("first layer cut off", FirstLayerCut, "gets no gradient"),
    ("weights of 0", Zeros, "is 0 everywhere"),
    ("uniform from -1", UniformFromMinusOne, "weights of spread 1"),
    ("no super", WithoutSuper, "call super().__init__() first"),
    ("no return", Silent, "return statement missing"),
    ("no module", lambda z_dim, w_dim, layers=4: [nn.Linear(z_dim, w_dim)], "expected an nn.Module"),
]
