"""ResidualBlock(channels): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def conv(channels):
    return [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)]


def norm(channels):
    return [nn.InstanceNorm2d(channels)]


class Base(nn.Module):
    """A right block; the wrong ones change one thing."""

    def __init__(self, channels):
        super().__init__()
        self.main = nn.Sequential(*self.layers(channels))

    def layers(self, c):
        return [*conv(c), *norm(c), nn.ReLU(), *conv(c), *norm(c)]

    def forward(self, x):
        return x + self.main(x)


def made_of(layers):
    class Made(Base):
        def layers(self, c):
            return layers(c)

    return Made


def summed(function):
    class Summed(Base):
        def forward(self, x):
            return function(x, self.main)

    return Summed


class ChangesX(Base):
    def forward(self, x):
        x += self.main(x)
        return x


class NormAfterTheSum(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.main = nn.Sequential(*list(self.main)[:-1])
        self.last = nn.InstanceNorm2d(channels)

    def forward(self, x):
        return self.last(x + self.main(x))


class OneConvolution(Base):
    """The same convolution twice."""

    def __init__(self, channels):
        super().__init__(channels)
        self.main[5] = self.main[1]


class InAList(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layers = [*conv(channels), *norm(channels), nn.ReLU(), *conv(channels), *norm(channels)]

    def forward(self, x):
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y


class Unused(Base):
    def __init__(self, channels):
        super().__init__(channels)
        self.shortcut = nn.Conv2d(channels, channels, 1)


def with_convolution(**options):
    def layers(c):
        return [
            *(nn.Conv2d(c, c, 3, **options), *norm(c), nn.ReLU()),
            *(nn.Conv2d(c, c, 3, **options), *norm(c)),
        ]

    return made_of(layers)


def nothing(x, main):
    main(x)


WRONG = [
    ("no sum", summed(lambda x, main: main(x)), "the input is not added"),
    ("ReLU after the sum", summed(lambda x, main: F.relu(x + main(x))), "ReLU after the sum"),
    ("ReLU before the sum", summed(lambda x, main: x + F.relu(main(x))), "ReLU before the sum"),
    ("zeros at the border", with_convolution(padding=1), "padded with zeros"),
    ("repeated borders", with_convolution(padding=1, padding_mode="replicate"), "borders are repeated"),
    ("no padding", with_convolution(), "one pixel of padding"),
    ("no ReLU", made_of(lambda c: [*conv(c), *norm(c), *conv(c), *norm(c)]), "the ReLU between"),
    ("leaky", made_of(lambda c: [*conv(c), *norm(c), nn.LeakyReLU(0.2), *conv(c), *norm(c)]), "a leaky ReLU"),
    ("ReLU, then norm", made_of(lambda c: [*conv(c), nn.ReLU(), *norm(c), *conv(c), *norm(c)]), "ReLU comes before"),
    ("no first norm", made_of(lambda c: [*conv(c), nn.ReLU(), *conv(c), *norm(c)]), "after the first convolution"),
    ("no second norm", made_of(lambda c: [*conv(c), *norm(c), nn.ReLU(), *conv(c)]), "after the second convolution"),
    ("no norms", made_of(lambda c: [*conv(c), nn.ReLU(), *conv(c)]), "both instance norms"),
    (
        "norms first",
        made_of(lambda c: [*norm(c), nn.ReLU(), *conv(c), *norm(c), nn.ReLU(), *conv(c)]),
        "come before their convolution",
    ),
    ("norm after the sum", NormAfterTheSum, "before the second norm"),
    (
        "batch norm",
        made_of(lambda c: [*conv(c), nn.BatchNorm2d(c), nn.ReLU(), *conv(c), nn.BatchNorm2d(c)]),
        "batch norm, expected InstanceNorm2d",
    ),
    (
        "one batch norm",
        made_of(lambda c: [*conv(c), nn.BatchNorm2d(c), nn.ReLU(), *conv(c), *norm(c)]),
        "batch norm, expected InstanceNorm2d",
    ),
    (
        "layer norm",
        made_of(lambda c: [*conv(c), nn.GroupNorm(1, c), nn.ReLU(), *conv(c), nn.GroupNorm(1, c)]),
        "with known filters",
    ),
    ("one convolution", made_of(lambda c: [*conv(c), *norm(c), nn.ReLU()]), "expected two convolutions"),
    ("the same twice", OneConvolution, "expected two convolutions"),
    (
        "a bottleneck",
        made_of(lambda c: [nn.Conv2d(c, c // 2, 1), *norm(c // 2), nn.ReLU(), nn.Conv2d(c // 2, c, 1), *norm(c)]),
        "expected two convolutions",
    ),
    ("x changed", ChangesX, "changed x itself"),
    ("in-place ReLU first", made_of(lambda c: [nn.ReLU(inplace=True), *Base(c).main]), "changed x itself"),
    ("added twice", summed(lambda x, main: 2 * x + main(x)), "added twice"),
    ("subtracted", summed(lambda x, main: main(x) - x), "subtracted"),
    ("concatenated", summed(lambda x, main: torch.cat([x, main(x)], 1)), "expected the same"),
    ("layers in a list", InAList, "plain list"),
    ("a layer left out", Unused, "shortcut"),
    ("detach", summed(lambda x, main: x + main(x).detach()), "no gradient"),
    ("no return", summed(nothing), "return statement missing"),
    ("a function", lambda channels: lambda x: x, "expected an nn.Module"),
]


class Written(nn.Module):
    """Layers one by one, the second made before the first, no biases, affine norms, F.pad."""

    def __init__(self, channels):
        super().__init__()
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, bias=False)
        self.norm1 = nn.InstanceNorm2d(channels, affine=True)
        self.norm2 = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(F.pad(x, (1, 1, 1, 1), mode="reflect"))))
        return self.norm2(self.conv2(F.pad(y, (1, 1, 1, 1), mode="reflect"))) + x


class Functional(nn.Module):
    """No layers at all."""

    def __init__(self, channels):
        super().__init__()
        self.a = nn.Parameter(0.02 * torch.randn(channels, channels, 3, 3))
        self.b = nn.Parameter(0.02 * torch.randn(channels, channels, 3, 3))

    def forward(self, x):
        y = F.instance_norm(F.conv2d(F.pad(x, [1] * 4, "reflect"), self.a)).relu()
        return x + F.instance_norm(F.conv2d(F.pad(y, [1] * 4, "reflect"), self.b))


RIGHT = [
    ("sequential", Base),
    ("padding_mode", with_convolution(padding=1, padding_mode="reflect")),
    ("written out", Written),
    ("functional", Functional),
    (
        "dropout between, in-place ReLU",
        made_of(lambda c: [*conv(c), *norm(c), nn.ReLU(inplace=True), nn.Dropout(0.5), *conv(c), *norm(c)]),
    ),
]
