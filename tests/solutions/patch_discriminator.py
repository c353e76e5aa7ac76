"""PatchDiscriminator(width, layers): right solutions that are written in other ways, and more wrong ones."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cyclegan.patch_discriminator import solution

Right = solution()


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


class Affine(solution(norm=lambda c: nn.InstanceNorm2d(c, affine=True))):
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


class FromTheEnd(nn.Module):
    """Built from the last convolution to the first; the leaky ReLU by maximum."""

    def __init__(self, width=64, layers=3):
        super().__init__()
        channels = [3] + [width * 2 ** min(i, 3) for i in range(layers + 1)] + [1]
        self.convs = nn.ModuleList()
        for i in reversed(range(layers + 2)):
            self.convs.append(nn.Conv2d(channels[i], channels[i + 1], (4, 4), (2, 2) if i < layers else (1, 1), (1, 1)))

    def forward(self, x):
        first, *inner, last = reversed(self.convs)
        x = first(x)
        x = torch.maximum(x, 0.2 * x)
        for conv in inner:
            x = F.instance_norm(conv(x))
            x = torch.maximum(x, 0.2 * x)
        return last(x)


class SmallLastKernel(Right):
    """The sizes of the maps are right, the patches are not."""

    def __init__(self, width=64, layers=3):
        super().__init__(width, layers)
        self.main[-2], self.main[-1] = nn.Identity(), nn.Conv2d(self.main[-1].in_channels, 1, 2)


class InAList(Right):
    def __init__(self, width=64, layers=3):
        super().__init__(width, layers)
        self.more = [nn.Conv2d(1, 1, 1)]


class Unpadded(nn.Module):
    def __init__(self, width=64, layers=3):
        super().__init__()
        self.main = Right(width, layers).main
        for i, layer in enumerate(self.main):
            if isinstance(layer, nn.ZeroPad2d):
                self.main[i] = nn.Identity()

    def forward(self, x):
        return self.main(x)


class Capped512(nn.Module):
    """A limit of 512, which is 8 * width only for a width of 64."""

    def __init__(self, width=64, layers=3):
        super().__init__()
        stack, a = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)], width
        for i in range(1, layers + 1):
            b = min(2 * a, 512)
            stack += [nn.Conv2d(a, b, 4, 2 if i < layers else 1, 1), nn.InstanceNorm2d(b), nn.LeakyReLU(0.2)]
            a = b
        self.main = nn.Sequential(*stack, nn.Conv2d(a, 1, 4, 1, 1))

    def forward(self, x):
        return self.main(x)


class InPlace(Right):
    def forward(self, x):
        return self.main(F.leaky_relu_(x, 0.9))


class ChannelsMixedUp(nn.Module):
    def __init__(self, width=64, layers=3):
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1), nn.Conv2d(2 * width, 1, 4, 1, 1))

    def forward(self, x):
        return self.main(x)


RIGHT = [
    ("sequential", Right),
    ("a norm of one's own", solution(norm=lambda c: OwnNorm())),
    ("written out", Written),
    ("affine, small weights", Affine),
    ("nested blocks, reflected borders", Nested),
    ("built from the end", FromTheEnd),
]
WRONG = [
    ("slope 0.01 by function", WrittenWithoutSlope, "torch's default"),
    ("slope 0.3", solution(relu=lambda: nn.LeakyReLU(0.3)), "leaky ReLU of slope 0.2 after all but the last"),
    ("small last kernel", SmallLastKernel, "expected 4 x 4 everywhere"),
    ("layers in a list", InAList, "plain list"),
    ("no padding", Unpadded, "kernel 4 and padding 1"),
    ("a limit of 512", Capped512, "at most to 8 * width"),
    ("four times at most", solution(cap=4), "at most to 8 * width"),
    ("stride 2 in one too many", solution(strides=lambda layers: [2] * (layers + 1) + [1]), "expected"),
    ("strides first 1", solution(strides=lambda layers: [1, 1] + [2] * layers), "expected"),
    ("plain convolution first", solution(strides=lambda layers: [1] + [2] * layers + [1]), "expected"),
    ("running statistics", solution(norm=lambda c: nn.InstanceNorm2d(c, track_running_stats=True)), "track_running_stats"),
    ("in place", InPlace, "changed the pictures"),
    ("channels that do not fit", ChannelsMixedUp, "compare the layer's channels"),
    ("three channels", lambda width, layers=3: nn.Sequential(*list(Right(width, layers).main)[:-1]), "expected"),
    ("dropout always", solution(end=F.dropout), "noise or F.dropout"),
    ("mean over channels", solution(end=lambda x: x.mean(1)), "a map of logits"),
]
