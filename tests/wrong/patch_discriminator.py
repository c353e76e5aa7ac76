"""PatchDiscriminator(width, layers): wrong and right solutions."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    """A right discriminator; the wrong ones change one thing."""

    norm = nn.InstanceNorm2d
    slope = 0.2
    kernel = 4
    cap = 8

    def __init__(self, width=64, layers=3):
        super().__init__()
        self.main = nn.Sequential(*self.first(width), *self.rest(width, layers))

    def relu(self):
        return nn.LeakyReLU(self.slope)

    def first(self, w):
        return [nn.Conv2d(3, w, self.kernel, 2, 1), self.relu()]

    def inner(self, a, b, stride):
        return [nn.Conv2d(a, b, self.kernel, stride, 1), self.norm(b), self.relu()]

    def last(self, c):
        return [nn.Conv2d(c, 1, self.kernel, 1, 1)]

    def rest(self, w, layers):
        stack, channels = [], w
        for i in range(1, layers + 1):
            wider = w * min(2**i, self.cap)
            stack += self.inner(channels, wider, 2 if i < layers else 1)
            channels = wider
        return [*stack, *self.last(channels)]

    def forward(self, x):
        return self.main(x)


def ending_in(function):
    class Ended(Base):
        def forward(self, x):
            return function(self.main(x))

    return Ended


class BatchNorm(Base):
    norm = nn.BatchNorm2d


class NoNorm(Base):
    def inner(self, a, b, stride):
        return [nn.Conv2d(a, b, 4, stride, 1), self.relu()]


class LayerNorm(Base):
    def norm(self, c):
        return nn.GroupNorm(1, c)


class NormEverywhere(Base):
    def first(self, w):
        return [nn.Conv2d(3, w, 4, 2, 1), nn.InstanceNorm2d(w), self.relu()]


class NormAtTheEnd(Base):
    def last(self, c):
        return [nn.Conv2d(c, 1, 4, 1, 1), nn.InstanceNorm2d(1)]


class NormOnlyWhereStrided(Base):
    def inner(self, a, b, stride):
        return super().inner(a, b, stride) if stride == 2 else [nn.Conv2d(a, b, 4, 1, 1), self.relu()]


class TorchsSlope(Base):
    slope = 0.01


class PlainReLU(Base):
    def relu(self):
        return nn.ReLU()


class OtherSlope(Base):
    slope = 0.5


class NoActivation(Base):
    slope = 1.0


class ActivationAtTheEnd(Base):
    def last(self, c):
        return [*super().last(c), self.relu()]


class NoActivationAtTheStart(Base):
    def first(self, w):
        return super().first(w)[:1]


class KernelOfThree(Base):
    kernel = 3


class SmallLastKernels(Base):
    """The sizes of the maps are right, the patches are not."""

    def last(self, c):
        return [nn.Conv2d(c, 1, 2, 1, 0)]


class NoLastPadding(Base):
    def last(self, c):
        return [nn.Conv2d(c, 1, 4, 1, 0)]


class OneStrideLess(Base):
    """The convolution of stride 1 before the last one is missing."""

    def rest(self, w, layers):
        stack, channels = [], w
        for i in range(1, layers):
            wider = w * min(2**i, 8)
            stack += self.inner(channels, wider, 2)
            channels = wider
        return [*stack, *self.last(channels)]


class OneStrideMore(Base):
    def __init__(self, width=64, layers=3):
        super().__init__(width, layers + 1)


class FixedLayers(Base):
    def __init__(self, width=64, layers=3):
        super().__init__(width, 3)


class FixedWidth(Base):
    def __init__(self, width=64, layers=3):
        super().__init__(64, layers)


class NeverCapped(Base):
    cap = 1000


class NotDoubled(Base):
    cap = 1


class ThreeMaps(Base):
    def last(self, c):
        return [nn.Conv2d(c, 3, 4, 1, 1)]


class OneLogit(Base):
    def forward(self, x):
        return self.main(x).mean((2, 3))


class OneByOne(Base):
    def forward(self, x):
        return F.adaptive_avg_pool2d(self.main(x), 1)


class InAList(Base):
    def __init__(self, width=64, layers=3):
        super().__init__(width, layers)
        self.more = [nn.Conv2d(1, 1, 1)]


class Written(nn.Module):
    """Layers by name, functions in forward, no biases before a norm."""

    slope = {"negative_slope": 0.2}  # noqa: RUF012

    def __init__(self, width=64, layers=3):
        super().__init__()
        widths = [width * min(8, 2**i) for i in range(layers + 1)]
        self.start = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.inner = nn.ModuleList()
        for i, (a, b) in enumerate(itertools.pairwise(widths)):
            self.inner.append(nn.Conv2d(a, b, 4, stride=1 if i == layers - 1 else 2, padding=1, bias=False))
        self.end = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, x):
        x = F.leaky_relu(self.start(x), **self.slope)
        for layer in self.inner:
            x = F.leaky_relu(F.instance_norm(layer(x)), **self.slope)
        return self.end(x)


class WrittenWithoutSlope(Written):
    slope = {}  # noqa: RUF012


WRONG = [
    ("sigmoid", ending_in(torch.sigmoid), "sigmoid at the end"),
    ("flattened", ending_in(lambda x: x.flatten(1)), "no flatten"),
    ("one logit", OneLogit, "expected"),
    ("layers ignored", FixedLayers, "is layers used"),
    ("one average", OneByOne, "a map"),
    ("batch norm", BatchNorm, "batch norm, expected InstanceNorm2d"),
    ("no norm", NoNorm, "change the logits: expected an instance norm"),
    ("layer norm", LayerNorm, "change the logits: expected an instance norm"),
    ("one norm missing", NormOnlyWhereStrided, "change the logits: expected an instance norm"),
    ("norm on the first", NormEverywhere, "hide the picture's colours"),
    ("norm on the last", NormAtTheEnd, "norm after the last convolution"),
    ("ReLU", PlainReLU, "this is a ReLU"),
    ("slope 0.01", TorchsSlope, "torch's default"),
    ("slope 0.01 by function", WrittenWithoutSlope, "torch's default"),
    ("slope 0.5", OtherSlope, "slope 0.2"),
    ("no activation", NoActivation, "it is missing"),
    ("no first activation", NoActivationAtTheStart, "one of them is missing"),
    ("activation at the end", ActivationAtTheEnd, "after the last convolution, too"),
    ("kernel 3", KernelOfThree, "each make it 1 smaller"),
    ("small last kernel", SmallLastKernels, "expected 16 x 16"),
    ("no padding", NoLastPadding, "kernel 4 and padding 1"),
    ("one convolution less", OneStrideLess, "one is missing"),
    ("one layer more", OneStrideMore, "is layers used"),
    ("width ignored", FixedWidth, "expected [1, 4, 8, 16]"),
    ("width without limit", NeverCapped, "at most to 8 * width"),
    ("width not doubled", NotDoubled, "doubled in every layer"),
    ("three channels", ThreeMaps, "1 channel"),
    ("layers in a list", InAList, "plain list"),
    ("tanh", ending_in(torch.tanh), "a tanh or clamp"),
    ("detach", ending_in(torch.detach), "no gradient"),
    ("no return", ending_in(lambda x: None), "return statement missing"),
]


class Affine(Base):
    def norm(self, c):
        return nn.InstanceNorm2d(c, affine=True)

    def __init__(self, width=64, layers=3):
        super().__init__(width, layers)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.normal_(m.weight, 0.0, 0.02)


class Nested(nn.Module):
    """Blocks within blocks, the norm chosen by an argument, reflected borders."""

    def __init__(self, width=64, layers=3):
        super().__init__()
        blocks, a = [self.block(3, width, 2, False)], width
        for i in range(layers):
            b = min(2 * a, 8 * width)
            blocks.append(self.block(a, b, 2 if i + 1 < layers else 1, True))
            a = b
        self.features, self.head = nn.Sequential(*blocks), nn.Conv2d(a, 1, 4, padding=1)

    def block(self, a, b, stride, norm):
        layers = [nn.Conv2d(a, b, 4, stride, 1, padding_mode="reflect")] + [nn.InstanceNorm2d(b)] * norm
        return nn.Sequential(*layers, nn.LeakyReLU(0.2, inplace=True))

    def forward(self, x):
        return self.head(self.features(x))


class OwnNorm(nn.Module):
    def forward(self, x):
        return (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()


class WithOwnNorm(Base):
    def norm(self, c):
        return OwnNorm()


RIGHT = [
    ("a norm of one's own", WithOwnNorm),
    ("sequential", Base),
    ("written out", Written),
    ("affine, small weights", Affine),
    ("nested blocks", Nested),
]
