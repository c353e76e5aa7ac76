"""ResnetGenerator(width, blocks): right solutions that are written in other ways, and more wrong ones."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cyclegan.residual_block import block
from exercises.cyclegan.resnet_generator import enlarged, solution

Block, Generator = block(), solution()


class Affine(solution(norm=lambda c: nn.InstanceNorm2d(c, affine=True), relu=lambda: nn.ReLU(inplace=True))):
    """Norms with weights, everything from N(0, 0.02), ReLUs in place."""

    def __init__(self, width=64, blocks=6):
        super().__init__(width, blocks)
        for p in self.parameters():
            if p.dim() == 4:
                nn.init.normal_(p, 0.0, 0.02)


class Written(nn.Module):
    """Layers by name, functions in forward, F.pad."""

    def __init__(self, width=64, blocks=6):
        super().__init__()
        w = width
        self.c1, self.c2, self.c3 = nn.Conv2d(3, w, 7), nn.Conv2d(w, 2 * w, 3, 2, 1), nn.Conv2d(2 * w, 4 * w, 3, 2, 1)
        self.blocks = nn.ModuleList(Block(4 * w) for _ in range(blocks))
        self.u1 = nn.ConvTranspose2d(4 * w, 2 * w, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.u2 = nn.ConvTranspose2d(2 * w, w, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.c4 = nn.Conv2d(w, 3, 7)

    def normed(self, y):
        return F.relu(F.instance_norm(y))

    def forward(self, x):
        x = F.pad(x, (3, 3, 3, 3), mode="reflect")
        for layer in (self.c1, self.c2, self.c3):
            x = self.normed(layer(x))
        for layer in self.blocks:
            x = layer(x)
        for layer in (self.u1, self.u2):
            x = self.normed(layer(x))
        return self.last(x).tanh()

    def last(self, x):
        return self.c4(F.pad(x, (3, 3, 3, 3), mode="reflect"))


class PaddingMode(Written):
    """The 7x7 convolutions pad by themselves, and the last one comes first in __init__."""

    def __init__(self, width=64, blocks=6):
        super().__init__(width, blocks)
        self.c4 = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")
        self.c1 = nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect", bias=False)

    def forward(self, x):
        x = self.normed(self.c3(self.normed(self.c2(self.normed(self.c1(x))))))
        x = nn.Sequential(*self.blocks)(x)
        return torch.tanh(self.c4(self.normed(self.u2(self.normed(self.u1(x))))))


class ZerosByPad(Written):
    """F.pad pads with zeros where no mode is given."""

    def last(self, x):
        return self.c4(F.pad(x, (3, 3, 3, 3)))


class NormsForgotten(Written):
    def normed(self, y):
        return F.relu(y)


class ThreeByThree(PaddingMode):
    def __init__(self, width=64, blocks=6):
        super().__init__(width, blocks)
        self.c1 = nn.Conv2d(3, width, 3, padding=1, padding_mode="reflect")
        self.c4 = nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect")


class SameBlock(Generator):
    def __init__(self, width=64, blocks=6):
        super().__init__(width, 1)
        self.main = nn.Sequential(*self.main[:10], *[Block(4 * width)] * blocks, *self.main[11:])
        assert isinstance(self.main[10], Block)


class BlocksInAList(Generator):
    def __init__(self, width=64, blocks=6):
        super().__init__(width, 1)
        self.blocks = [Block(width) for _ in range(blocks)]


class WidthsStay(nn.Module):
    def __init__(self, width=64, blocks=6):
        super().__init__()

        def after():
            return nn.InstanceNorm2d(width), nn.ReLU()

        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), *after()]
        for _ in range(2):
            layers += [nn.Conv2d(width, width, 3, 2, 1), *after()]
        layers += [Block(width) for _ in range(blocks)]
        for _ in range(2):
            layers += [nn.ConvTranspose2d(width, width, 3, 2, 1, output_padding=1), *after()]
        self.main = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, x):
        return self.main(x)


class HalvedOnce(nn.Module):
    def __init__(self, width=64, blocks=6):
        super().__init__()
        w, first, last = width, nn.Conv2d(3, width, 7), nn.Conv2d(width, 3, 7)
        down, up = nn.Conv2d(w, 4 * w, 3, 2, 1), nn.ConvTranspose2d(4 * w, w, 3, 2, 1, output_padding=1)
        middle = [Block(4 * w) for _ in range(blocks)]
        self.main = nn.Sequential(
            *(nn.ReflectionPad2d(3), first, nn.InstanceNorm2d(w), nn.ReLU(), down, nn.InstanceNorm2d(4 * w), nn.ReLU()),
            *(*middle, up, nn.InstanceNorm2d(w), nn.ReLU(), nn.ReflectionPad2d(3), last, nn.Tanh()),
        )

    def forward(self, x):
        return self.main(x)


class Grey(Generator):
    def __init__(self, width=64, blocks=6):
        super().__init__(width, blocks)
        self.main[-2] = nn.Conv2d(width, 1, 7)


def fed_with(function):
    class Fed(Generator):
        def forward(self, x):
            return super().forward(function(x))

    return Fed


RIGHT = [
    ("sequential", Generator),
    ("repeated pixels and convolution", solution(up=enlarged("nearest", "reflect"))),
    ("blended pixels and convolution", solution(up=enlarged("bilinear", "zeros"))),
    ("transposed 4x4", solution(up=lambda c, less: [nn.ConvTranspose2d(c, less, 4, 2, 1, bias=False)])),
    ("affine norms, small weights", Affine),
    ("written out", Written),
    ("padding_mode", PaddingMode),
]
WRONG = [
    ("zeros by F.pad", ZerosByPad, "pads the picture with zeros"),
    ("no norms by functions", NormsForgotten, "expected an instance norm after every convolution but the last"),
    ("3x3 in the place of 7x7", ThreeByThree, "expected [8, 3, 7, 7]"),
    ("one block n times", SameBlock, "[block] * n is one block n times"),
    ("blocks in a list", BlocksInAList, "plain list"),
    ("widths stay", WidthsStay, "does width double twice"),
    ("halved once", HalvedOnce, "two convolutions of stride 2"),
    ("one channel", Grey, "3 colour channels"),
    ("noise", fed_with(lambda x: x + torch.randn_like(x)), "noise"),
    ("rows mixed", fed_with(lambda x: x.flip(0)), "mixes rows"),
    ("squeeze", solution(end=lambda x: x.tanh().squeeze(0)), "four axes"),
    ("running statistics", solution(norm=lambda c: nn.InstanceNorm2d(c, track_running_stats=True)), "track_running_stats"),
    ("running statistics in the blocks", solution(middle=block("reflect conv running relu reflect conv norm")), "running"),
    ("norm after the last, ReLU too", solution(last=lambda c: nn.Sequential(nn.InstanceNorm2d(c), nn.ReLU())), "expected"),
    ("from 0 to 1", solution(end=lambda x: (x.tanh() + 1) / 2), "expected"),
    ("tanh twice", solution(end=lambda x: x.tanh().tanh()), "expected"),
    ("leaky in the blocks", solution(middle=block("reflect conv norm leaky reflect conv norm")), "expected padding, 7x7"),
    ("ReLU after the blocks' sums", solution(middle=block(add=lambda x, y: (x + y).relu())), "expected padding, 7x7"),
    ("no norms where it halves", solution(normed="first up"), "norm and ReLU after all but the last"),
    ("ReLU before the norm", solution(norm=lambda c: nn.Sequential(nn.ReLU(), nn.InstanceNorm2d(c))), "expected"),
]
