"""Generator(z_size, conv_dim): more wrong solutions, and right ones of other architectures."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.models.dcgan import Generator


def same(x: Tensor) -> Tensor:
    return x


def solution(
    start: Callable = same,
    middle: Callable = same,
    last: Callable = lambda c: nn.ConvTranspose2d(c, 3, 4, 2, 1),
    end: Callable = torch.tanh,
    norm: Callable = nn.BatchNorm2d,
    conv: type = nn.ConvTranspose2d,
    width: int = 0,
    inputs: int = 0,
) -> type:
    """With something before the first, before the last or after the last layer, or with other layers."""

    class Solution(nn.Module):
        def __init__(self, z_size: int, conv_dim: int) -> None:
            super().__init__()
            c = width or conv_dim
            layers = [nn.ConvTranspose2d(inputs or z_size, 8 * c, 4), norm(8 * c), nn.ReLU()]
            for b in (4 * c, 2 * c, c):
                layers += [conv(2 * b, b, 4, 2, 1), norm(b), nn.ReLU()]
            self.layers, self.last = nn.Sequential(*layers), last(c)

        def forward(self, z: Tensor) -> Tensor:
            return end(self.last(middle(self.layers(start(z[:, :, None, None])))))

    return Solution


def forgotten(z_size: int, conv_dim: int) -> nn.Module:
    """A layer that forward does not use."""
    net = solution()(z_size, conv_dim)
    net.t_conv5 = nn.ConvTranspose2d(conv_dim, conv_dim, 4, 2, 1)
    return net


def in_a_list(z_size: int, conv_dim: int) -> nn.Module:
    net = solution()(z_size, conv_dim)
    net.blocks = [nn.Conv2d(3, conv_dim, 4, 2, 1)]
    return net


def deconv(inputs, outputs, batch_norm=True):
    layers = [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs)) if batch_norm else layers[0]


class WithHelper(nn.Module):
    """Linear first, blocks from a helper function, as many courses write it."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        self.conv_dim = conv_dim
        self.fc = nn.Linear(z_size, conv_dim * 8 * 4 * 4)
        self.t_conv1 = deconv(conv_dim * 8, conv_dim * 4)
        self.t_conv2 = deconv(conv_dim * 4, conv_dim * 2)
        self.t_conv3 = deconv(conv_dim * 2, conv_dim)
        self.t_conv4 = deconv(conv_dim, 3, batch_norm=False)

    def forward(self, z):
        x = self.fc(z).view(-1, self.conv_dim * 8, 4, 4)
        for block in (self.t_conv1, self.t_conv2, self.t_conv3):
            x = F.relu(block(x))
        return torch.tanh(self.t_conv4(x))


class ZOfHundred(WithHelper):
    def __init__(self, z_size, conv_dim):
        super().__init__(100, conv_dim)


class Upsampled(nn.Module):
    """Upsampling and convolutions, instance norm, dropout, 2 sigmoid(x) - 1 for the range."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        widths = [8 * conv_dim, 4 * conv_dim, 2 * conv_dim, conv_dim, conv_dim]
        blocks = []
        for a, b in itertools.pairwise(widths):
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(a, b, 3, 1, 1)]
            blocks += [nn.InstanceNorm2d(b, affine=True), nn.LeakyReLU(0.2)]
        self.start = nn.Sequential(nn.Linear(z_size, 8 * conv_dim * 16), nn.Unflatten(1, (8 * conv_dim, 4, 4)))
        self.main = nn.Sequential(*blocks, nn.Dropout(0.1), nn.Conv2d(conv_dim, 3, 5, 1, 2))

    def forward(self, z):
        return 2 * torch.sigmoid(2 * self.main(self.start(z))) - 1


class WithoutNorm(Upsampled):
    """Nothing holds its values back, so that a single training step can take it far into the tanh."""

    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.main = nn.Sequential(*(layer for layer in self.main if not isinstance(layer, nn.InstanceNorm2d)))


class SmallStart(nn.Module):
    """No normalisation, all weights N(0, 0.02): its first pictures are almost uniformly grey, and still right."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        c = conv_dim
        layers = [nn.ConvTranspose2d(z_size, 8 * c, 4), nn.ReLU()]
        for a, b in ((8 * c, 4 * c), (4 * c, 2 * c), (2 * c, c)):
            layers += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(c, 3, 4, 2, 1), nn.Tanh())
        for p in self.parameters():
            nn.init.normal_(p, 0.0, 0.02)

    def forward(self, z):
        return self.main(z[:, :, None, None])


class Shuffled(nn.Module):
    """A learned constant, z as scales of its channels, sub-pixel convolutions: nothing of the table is left."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        c = 4 * conv_dim
        self.constant = nn.Parameter(torch.randn(1, c, 8, 8))
        self.scales = nn.ModuleList(nn.Linear(z_size, c) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(c, 4 * c, 1) for _ in range(3))
        self.colours = nn.Conv2d(c, 3, 1)

    def forward(self, z):
        x = self.constant.expand(len(z), -1, -1, -1)
        for scale, layer in zip(self.scales, self.convs):
            x = F.silu(F.pixel_shuffle(layer(x * (1 + scale(z)[:, :, None, None])), 2))
        return self.colours(x).tanh()


def a_function(z_size, conv_dim):
    return lambda z: torch.tanh(z[:, :3, None, None].expand(-1, -1, 64, 64))


def grey(c):
    return nn.ConvTranspose2d(c, 1, 4, 2, 1)


def frozen(z_size, conv_dim):
    return solution()(z_size, conv_dim).requires_grad_(False)


def flat_colour(x):
    return x.mean((2, 3), keepdim=True).expand(-1, -1, 64, 64).tanh()


def all_zero(x):
    return F.relu(-x.square()).tanh()


RIGHT = [
    ("the table", solution()),
    ("helper function", WithHelper),
    ("upsampling", Upsampled),
    ("without norm", WithoutNorm),
    ("small weights", SmallStart),
    ("a constant, sub-pixel convolutions", Shuffled),
    (
        "batch norm before the tanh",
        solution(last=lambda c: nn.Sequential(nn.ConvTranspose2d(c, 3, 4, 2, 1), nn.BatchNorm2d(3))),
    ),
]
WRONG = [
    ("tanh at the end is missing", solution(end=same), "tanh at the end is missing"),
    ("sigmoid at the end", solution(end=torch.sigmoid), "sigmoid at the end"),
    ("ReLU before the tanh", solution(end=lambda x: x.relu().tanh()), "ReLU before the tanh"),
    ("cut off to exactly 1 (clamp)", solution(end=lambda x: x.clamp(-1, 1)), "cut off to exactly 1 (clamp)"),
    ("range is not used", solution(end=lambda x: 0.5 * x.tanh()), "range is not used"),
    ("count the doublings", solution(last=lambda c: nn.ConvTranspose2d(c, 3, 3, 1, 1)), "count the doublings"),
    ("stride, padding are off", solution(last=lambda c: nn.ConvTranspose2d(c, 3, 4, 2, 0)), "stride, padding are off"),
    ("3 colour channels", solution(last=lambda c: nn.ConvTranspose2d(c, 1, 4, 2, 1)), "3 colour channels"),
    ("channels come before rows", solution(end=lambda x: x.tanh().permute(0, 2, 3, 1)), "channels come before rows"),
    ("no squeeze", solution(end=lambda x: x.tanh().squeeze()), "no squeeze"),
    ("[N, z_size, 1, 1]", solution(start=lambda z: z[:, :, 0, 0]), "[N, z_size, 1, 1]"),
    ("z_size channels", solution(inputs=100), "z_size channels"),
    ("is it ConvTranspose2d?", solution(conv=nn.Conv2d), "is it ConvTranspose2d?"),
    ("is z used", solution(start=torch.ones_like), "is z used"),
    ("noise", solution(start=torch.randn_like), "noise"),
    ("mixes rows", solution(start=lambda z: z.flatten(1).T.reshape(z.shape)), "mixes rows"),
    ("whole of z", solution(start=lambda z: torch.cat([z[:, :5], 0 * z[:, 5:]], 1)), "whole of z"),
    ("no gradient reaches any weight", solution(end=lambda x: x.tanh().detach()), "no gradient reaches any weight"),
    ("batch statistics", solution(norm=lambda c: nn.BatchNorm2d(c, track_running_stats=False)), "batch statistics"),
    ("conv_dim used in every layer", solution(width=8), "conv_dim used in every layer"),
    ("plain list", in_a_list, "plain list"),
    ("t_conv5", forgotten, "t_conv5"),
    ("return statement missing", solution(end=lambda x: None), "return statement missing"),
    ("values 0..255", solution(end=lambda x: 127.5 * (x.tanh() + 1)), "tanh at the end is missing"),
    ("values 0..1 by tanh", solution(end=lambda x: (x.tanh() + 1) / 2), "expected -1 and 1"),
    ("softsign", solution(end=lambda x: 0.8 * F.softsign(x)), "another function"),
    ("everything 0", solution(end=all_zero), "a ReLU before the tanh"),
    ("128 pixels", solution(end=lambda x: F.interpolate(x, scale_factor=2).tanh()), "doubled too often"),
    ("one channel three times", solution(last=grey, end=lambda x: x.tanh().expand(-1, 3, -1, -1)), "one channel copied"),
    ("flat colour", solution(end=flat_colour), "one flat colour"),
    ("flattened", solution(end=lambda x: x.tanh().flatten(1)), "four axes"),
    ("one picture for the batch", solution(end=lambda x: x.tanh()[:1]), "one picture for each z"),
    ("z_size 100 before a Linear", ZOfHundred, "takes z as it comes"),
    ("z as a row of pixels", solution(start=lambda z: z.transpose(1, 2)), "takes z_size channels"),
    ("a reshape that does not fit", solution(end=lambda x: x.view(-1, 7, 64, 64)), "print the shape"),
    ("cut off in the middle", solution(middle=torch.detach), "gets no gradient"),
    ("no_grad", solution(end=torch.no_grad()(torch.tanh)), "no_grad in forward"),
    ("F.dropout", solution(middle=lambda x: F.dropout(x, 0.5)), "noise or F.dropout"),
    ("z changed in place", solution(start=lambda z: z.mul_(2)), "changed the z"),
    ("frozen", frozen, "frozen"),
    ("a function", a_function, "expected an nn.Module"),
    ("arguments exchanged", lambda conv_dim, z_size: solution()(z_size, conv_dim), "takes z_size channels"),
    ("one argument", lambda z_size: solution()(z_size, 8), "check the signature"),
    ("an object of the class", Generator(10, 8), "without brackets"),
]
