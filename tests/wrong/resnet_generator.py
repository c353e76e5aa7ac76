"""ResnetGenerator(width, blocks): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c)]
        other = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), nn.InstanceNorm2d(c)]
        self.main = nn.Sequential(*half, nn.ReLU(), *other)

    def forward(self, x):
        return x + self.main(x)


class Base(nn.Module):
    """A right generator; the wrong ones change one thing."""

    norm = nn.InstanceNorm2d
    relu = nn.ReLU

    def __init__(self, width=64, blocks=6):
        super().__init__()
        first, down, middle, up, last = self.parts(width, blocks)
        self.main = nn.Sequential(*first, *down, *middle, *up, *last)

    def after(self, c):
        return [self.norm(c), self.relu()]

    def parts(self, w, blocks):
        first = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), *self.after(w)]
        down = [nn.Conv2d(w, 2 * w, 3, 2, 1), *self.after(2 * w), nn.Conv2d(2 * w, 4 * w, 3, 2, 1), *self.after(4 * w)]
        up = [*self.up(4 * w, 2 * w), *self.after(2 * w), *self.up(2 * w, w), *self.after(w)]
        return first, down, self.middle(4 * w, blocks), up, [nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7)]

    def up(self, a, b):
        return [nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1)]

    def middle(self, c, blocks):
        return [Block(c) for _ in range(blocks)]

    def forward(self, x):
        return torch.tanh(self.main(x))


def with_parts(change):
    """Base with other parts; `change` gets the five lists and the width."""

    class Changed(Base):
        def parts(self, w, blocks):
            return change(*super().parts(w, blocks), w)

    return Changed


def ending_in(function):
    class Ended(Base):
        def forward(self, x):
            return function(self.main(x))

    return Ended


def fed_with(function):
    class Fed(Base):
        def forward(self, x):
            return super().forward(function(x))

    return Fed


class BatchNorm(Base):
    norm = nn.BatchNorm2d


class NoNorm(Base):
    def after(self, c):
        return [nn.ReLU()]


class LayerNorm(Base):
    def after(self, c):
        return [nn.GroupNorm(1, c), nn.ReLU()]


class NoReLU(Base):
    relu = nn.Identity

    def middle(self, c, blocks):
        made = [Block(c) for _ in range(blocks)]
        for block in made:
            block.main[3] = nn.Identity()
        return made


class NoOutputPadding(Base):
    def up(self, a, b):
        return [nn.ConvTranspose2d(a, b, 3, 2, 1)]


class SameBlock(Base):
    def middle(self, c, blocks):
        return [Block(c)] * blocks


class FixedBlocks(Base):
    def middle(self, c, blocks):
        return super().middle(c, 6)


class OneBlockMore(Base):
    """One convolution per block."""

    def middle(self, c, blocks):
        return [layer for _ in range(blocks) for layer in (nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), *self.after(c))]


class FixedWidth(Base):
    def __init__(self, width=64, blocks=6):
        super().__init__(8, blocks)


class BlocksInAList(Base):
    def __init__(self, width=64, blocks=6):
        super().__init__(width, 1)
        self.blocks = [Block(width) for _ in range(blocks)]

    def forward(self, x):
        return super().forward(x)


def halved_once(first, down, middle, up, last, w):
    only = [nn.Conv2d(w, 4 * w, 3, 2, 1), nn.InstanceNorm2d(4 * w), nn.ReLU()]
    back = [nn.ConvTranspose2d(4 * w, w, 3, 2, 1, output_padding=1), nn.InstanceNorm2d(w), nn.ReLU()]
    return first, only, middle, back, last


def doubled_once(first, down, middle, up, last, w):
    return first, down, middle, [nn.ConvTranspose2d(4 * w, w, 3, 2, 1, output_padding=1), *up[4:]], last


def not_doubled(first, down, middle, up, last, w):
    """Widths stay, the blocks work with `width` channels."""

    def after():
        return [nn.InstanceNorm2d(w), nn.ReLU()]

    down = [nn.Conv2d(w, w, 3, 2, 1), *after(), nn.Conv2d(w, w, 3, 2, 1), *after()]
    up = [nn.ConvTranspose2d(w, w, 3, 2, 1, output_padding=1), *after()]
    up += [nn.ConvTranspose2d(w, w, 3, 2, 1, output_padding=1), *after()]
    return first, down, [Block(w) for _ in middle], up, last


def zero_padded(first, down, middle, up, last, w):
    return [nn.Conv2d(3, w, 7, padding=3), *first[2:]], down, middle, up, last


def zero_padded_end(first, down, middle, up, last, w):
    return first, down, middle, up, [nn.Conv2d(w, 3, 7, padding=3)]


def unpadded(first, down, middle, up, last, w):
    return first, down, middle, up, last[1:]


def grey(first, down, middle, up, last, w):
    return first, down, middle, up, [last[0], nn.Conv2d(w, 1, 7)]


def no_first_norm(first, down, middle, up, last, w):
    return [*first[:2], nn.ReLU()], down, middle, up, last


def no_norm_going_up(first, down, middle, up, last, w):
    return first, down, middle, [layer for layer in up if not isinstance(layer, nn.InstanceNorm2d)], last


def norm_at_the_end(first, down, middle, up, last, w):
    return first, down, middle, up, [*last, nn.InstanceNorm2d(3)]


def relu_at_the_end(first, down, middle, up, last, w):
    return first, down, middle, up, [*last, nn.ReLU()]


def in_place(first, down, middle, up, last, w):
    return [nn.Hardtanh(inplace=True), nn.ReLU(inplace=True), *first], down, middle, up, last


WRONG = [
    ("no tanh", ending_in(lambda x: x), "tanh at the end is missing"),
    ("sigmoid", ending_in(torch.sigmoid), "sigmoid at the end"),
    ("clamp", ending_in(lambda x: x.clamp(-1, 1)), "clamp"),
    ("no output_padding", NoOutputPadding, "needs output_padding=1"),
    ("ReLU before the tanh", with_parts(relu_at_the_end), "ReLU before the tanh"),
    ("batch norm", BatchNorm, "batch norm, expected InstanceNorm2d"),
    ("no norm", NoNorm, "expected an instance norm after every"),
    ("no first norm", with_parts(no_first_norm), "channels of main.1 change the picture"),
    ("no norm going up", with_parts(no_norm_going_up), "expected an instance norm after every"),
    ("layer norm", LayerNorm, "expected an instance norm after every"),
    ("norm at the end", with_parts(norm_at_the_end), "norm after the last convolution"),
    ("no ReLU", NoReLU, "ReLUs between the layers are missing"),
    ("one block n times", SameBlock, "is one block n times"),
    ("always 6 blocks", FixedBlocks, "is blocks used"),
    ("half blocks", OneBlockMore, "two 3x3 convolutions"),
    ("width ignored", FixedWidth, "with width=4 two more blocks"),
    ("width not doubled", with_parts(not_doubled), "as width doubles twice"),
    ("blocks in a list", BlocksInAList, "plain list"),
    ("halved once", with_parts(halved_once), "expected a quarter"),
    ("doubled once", with_parts(doubled_once), "doubled twice"),
    ("zeros at the border", with_parts(zero_padded), "pads the picture with zeros"),
    ("zeros at the last border", with_parts(zero_padded_end), "pads the picture with zeros"),
    ("no padding at the end", with_parts(unpadded), "3 pixels of padding"),
    ("one channel", with_parts(grey), "3 colour channels"),
    ("in place", with_parts(in_place), "changed the pictures"),
    ("noise", fed_with(lambda x: x + torch.randn_like(x)), "noise"),
    ("rows mixed", fed_with(lambda x: x.flip(0)), "mixes rows"),
    ("detach", ending_in(lambda x: x.tanh().detach()), "no gradient"),
    ("squeeze", ending_in(lambda x: x.tanh().squeeze(0)), "four axes"),
    ("no return", ending_in(lambda x: None), "return statement missing"),
    ("a function", lambda width, blocks: lambda x: x, "expected an nn.Module"),
]


class Upsampled(Base):
    """Nearest pixels and a convolution in place of the transposed one: no chequered patterns."""

    def up(self, a, b):
        return [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, padding=1, padding_mode="reflect")]


class FourByFour(Base):
    def up(self, a, b):
        return [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]


def padding_mode(first, down, middle, up, last, w):
    def conv(a, b):
        return nn.Conv2d(a, b, 7, padding=3, padding_mode="reflect")

    return [conv(3, w), *first[2:]], down, middle, up, [conv(w, 3)]


class Affine(Base):
    """Norms with weights, everything from N(0, 0.02), ReLUs in place."""

    def after(self, c):
        return [nn.InstanceNorm2d(c, affine=True), nn.ReLU(inplace=True)]

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

    def forward(self, x):
        x = F.pad(x, (3, 3, 3, 3), mode="reflect")
        for layer in (self.c1, self.c2, self.c3):
            x = F.relu(F.instance_norm(layer(x)))
        for block in self.blocks:
            x = block(x)
        for layer in (self.u1, self.u2):
            x = F.relu(F.instance_norm(layer(x)))
        return self.c4(F.pad(x, (3, 3, 3, 3), mode="reflect")).tanh()


RIGHT = [
    ("sequential", Base),
    ("upsampling and convolution", Upsampled),
    ("transposed 4x4", FourByFour),
    ("padding_mode", with_parts(padding_mode)),
    ("affine norms, small weights", Affine),
    ("written out", Written),
]
