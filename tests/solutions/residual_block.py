"""ResidualBlock(channels): right solutions that are written in other ways, and more wrong ones."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cyclegan.residual_block import RIGHT as LAYERS
from exercises.cyclegan.residual_block import block

Right = block()


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


class ByGroups(nn.Module):
    """GroupNorm with a group for each channel is instance norm; the borders are mirrored by indexing."""

    def __init__(self, channels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(channels, channels) for _ in range(2))

    def mirrored(self, x):
        rows, columns = ([1, *range(side), side - 2] for side in x.shape[2:])
        return x[:, :, rows][..., columns]

    def forward(self, x):
        y = self.norms[0](self.convs[0](self.mirrored(x))).clamp(min=0)
        return x + self.norms[1](self.convs[1](self.mirrored(y)))


def padded_inside(**options):
    class Padded(nn.Module):
        def __init__(self, channels):
            super().__init__()
            convs = (nn.Conv2d(channels, channels, 3, **options) for _ in range(2))
            norms = (nn.InstanceNorm2d(channels) for _ in range(2))
            self.main = nn.Sequential(next(convs), next(norms), nn.ReLU(), next(convs), next(norms))

        def forward(self, x):
            return x + self.main(x)

    return Padded


class ChangesX(Right):
    def forward(self, x):
        x += self.main(x)
        return x


class OneConvolution(Right):
    def __init__(self, channels):
        super().__init__(channels)
        self.main[5] = self.main[1]


class OneHalf(nn.Module):
    """One half that is used twice."""

    def __init__(self, channels):
        super().__init__()
        self.part = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), nn.InstanceNorm2d(channels))

    def forward(self, x):
        return x + self.part(F.relu(self.part(x)))


class InAList(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.layers = list(Right(channels).main)

    def forward(self, x):
        y = x
        for layer in self.layers:
            y = layer(y)
        return x + y


class Shortcut(Right):
    """A convolution on the free way."""

    def __init__(self, channels):
        super().__init__(channels)
        self.shortcut = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.shortcut(x) + self.main(x)


class Unused(Shortcut):
    def forward(self, x):
        return x + self.main(x)


class Kernel5(Right):
    def __init__(self, channels):
        super().__init__(channels)
        self.main[0], self.main[1] = nn.ReflectionPad2d(2), nn.Conv2d(channels, channels, 5)


class Bottleneck(Right):
    def __init__(self, channels):
        super().__init__(channels)
        self.main[0], self.main[1] = nn.Identity(), nn.Conv2d(channels, channels // 2, 1)
        self.main[4], self.main[5] = nn.Identity(), nn.Conv2d(channels // 2, channels, 1)


class SixtyFour(Right):
    def __init__(self, channels):
        super().__init__(64)


class NoInit(nn.Module):
    def __init__(self, channels):
        self.conv = nn.Conv2d(channels, channels, 3)


class RunningInOne(Right):
    def __init__(self, channels):
        super().__init__(channels)
        self.main[2] = nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


class Noisy(Right):
    def forward(self, x):
        return x + F.dropout(self.main(x))


RIGHT = [
    ("sequential", Right),
    ("padding_mode", padded_inside(padding=1, padding_mode="reflect")),
    ("written out", Written),
    ("functional", Functional),
    ("dropout between, in-place ReLU", block("reflect conv norm in-place dropout reflect conv norm")),
    ("groups of one channel", ByGroups),
]
WRONG = [
    ("zeros inside the convolutions", padded_inside(padding=1), "padded with zeros"),
    ("x changed", ChangesX, "changed x itself"),
    ("the same convolution twice", OneConvolution, "expected two convolutions"),
    ("the same half twice", OneHalf, "expected two convolutions"),
    ("layers in a list", InAList, "plain list"),
    ("a convolution on the way round", Shortcut, "expected two convolutions"),
    ("a layer left out", Unused, "shortcut"),
    ("kernel 5", Kernel5, "expected two convolutions"),
    ("a bottleneck", Bottleneck, "expected two convolutions"),
    ("64 channels", SixtyFour, "`channels` everywhere"),
    ("one batch norm", block("reflect conv batchnorm relu reflect conv norm"), "batch norm, expected InstanceNorm2d"),
    ("running statistics in one norm", RunningInOne, "track_running_stats"),
    ("dropout in eval mode", Noisy, "noise or F.dropout"),
    ("no super().__init__()", NoInit, "super().__init__()"),
    ("padded twice", padded_inside(padding=2, padding_mode="reflect"), "has another size than x"),
    ("ReLU last in F and after the sum", block(LAYERS + " relu", lambda x, y: (x + y).relu()), "expected x + F(x)"),
    ("half of the correction", block(add=lambda x, y: x + 0.5 * y), "expected x + F(x)"),
]
