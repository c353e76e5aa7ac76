"""Generator(z_size, conv_dim): wrong and right solutions."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    """A right generator z [N, z_size] -> [N, 3, 64, 64]; the wrong ones change one thing."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        widths = [8 * conv_dim, 4 * conv_dim, 2 * conv_dim, conv_dim]
        self.first = nn.Linear(z_size, 8 * conv_dim * 16)
        self.convs = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.last = nn.ConvTranspose2d(conv_dim, 3, 4, 2, 1)

    def features(self, z):
        x = self.first(z).reshape(len(z), -1, 4, 4)
        for conv, norm in zip(self.convs, self.norms):
            x = F.relu(norm(conv(x)))
        return x  # [N, c, 32, 32]

    def picture(self, z):
        return self.last(self.features(z))

    def forward(self, z):
        return torch.tanh(self.picture(z))


def ending_in(function):
    class Ended(Base):
        def forward(self, z):
            return function(self.picture(z))

    return Ended


def fed_with(function):
    class Fed(Base):
        def forward(self, z):
            return super().forward(function(z))

    return Fed


class For32Pixels(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.last = nn.ConvTranspose2d(conv_dim, 3, 3, 1, 1)


class For128Pixels(Base):
    def picture(self, z):
        return F.interpolate(super().picture(z), scale_factor=2)


class OffByTwo(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.last = nn.ConvTranspose2d(conv_dim, 3, 4, 2, 0)


class Grey(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.last = nn.ConvTranspose2d(conv_dim, 1, 4, 2, 1)


class GreyThreeTimes(Grey):
    def picture(self, z):
        return super().picture(z).expand(-1, 3, -1, -1)


class AxesForgotten(Base):
    """z goes into a convolution as it is, without height and width."""

    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.first = nn.ConvTranspose2d(z_size, 8 * conv_dim, 4)


class ZOfHundred(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(100, conv_dim)


class HalfOfZ(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size // 2, conv_dim)
        self.half = z_size // 2

    def forward(self, z):
        return super().forward(z[:, : self.half])


class FixedWidth(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, 8)


class StatisticsOfTheBatch(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n.num_features, track_running_stats=False) for n in self.norms)


class LayersInAList(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.extra = [nn.Conv2d(conv_dim, conv_dim, 3, 1, 1), nn.ReLU()]

    def features(self, z):
        x = super().features(z)
        for layer in self.extra:
            x = layer(x)
        return x


class LayerForgotten(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.t_conv5 = nn.ConvTranspose2d(conv_dim, conv_dim, 4, 2, 1)


class OneColour(Base):
    def picture(self, z):
        return super().picture(z).mean((2, 3), keepdim=True).expand(-1, -1, 64, 64)


class NoReturn(Base):
    def forward(self, z):
        torch.tanh(self.picture(z))


def a_function(z_size, conv_dim):
    return lambda z: torch.tanh(z[:, :3, None, None].expand(-1, -1, 64, 64))


class NotTransposed(Base):
    def __init__(self, z_size, conv_dim):
        super().__init__(z_size, conv_dim)
        self.convs = nn.ModuleList(nn.Conv2d(c.in_channels, c.out_channels, 4, 2, 1) for c in self.convs)


WRONG = [
    ("no tanh", ending_in(lambda x: x), "tanh at the end is missing"),
    ("sigmoid", ending_in(torch.sigmoid), "sigmoid at the end"),
    ("clamp", ending_in(lambda x: x.clamp(-1, 1)), "clamp"),
    ("ReLU, then tanh", ending_in(lambda x: F.relu(x).tanh()), "ReLU before the tanh"),
    ("half of tanh", ending_in(lambda x: 0.5 * x.tanh()), "range is not used"),
    ("values 0..255", ending_in(lambda x: 127.5 * (x.tanh() + 1)), "tanh at the end is missing"),
    ("32 pixels", For32Pixels, "count the doublings"),
    ("128 pixels", For128Pixels, "doubled too often"),
    ("padding", OffByTwo, "stride"),
    ("one channel", Grey, "3 colour channels"),
    ("one channel three times", GreyThreeTimes, "one channel copied"),
    ("channels last", ending_in(lambda x: x.tanh().permute(0, 2, 3, 1)), "channels come before rows"),
    ("squeeze", ending_in(lambda x: x.tanh().squeeze()), "squeeze"),
    ("z without axes", AxesForgotten, "[N, channels, height, width]"),
    ("z_size 100", ZOfHundred, "recount its sizes"),
    ("half of z", HalfOfZ, "whole of z"),
    ("z not used", fed_with(torch.ones_like), "is z used"),
    ("own noise", fed_with(torch.randn_like), "noise"),
    ("rows mixed", fed_with(lambda z: z.T.reshape(z.shape)), "mixes rows"),
    ("detach", ending_in(lambda x: x.tanh().detach()), "no gradient"),
    ("conv_dim ignored", FixedWidth, "conv_dim"),
    ("batch statistics", StatisticsOfTheBatch, "batch statistics"),
    ("layers in a list", LayersInAList, "plain list"),
    ("a layer left out", LayerForgotten, "t_conv5"),
    ("flat colour", OneColour, "one flat colour"),
    ("no return", NoReturn, "return statement missing"),
    ("a function", a_function, "expected an nn.Module"),
    ("Conv2d", NotTransposed, "is it ConvTranspose2d?"),
]


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


class Upsampled(nn.Module):
    """Upsampling and convolutions, instance norm, dropout, 2 sigmoid(x) - 1 for the range."""

    def __init__(self, z_size, conv_dim):
        super().__init__()
        widths = [8 * conv_dim, 4 * conv_dim, 2 * conv_dim, conv_dim, conv_dim]
        blocks = []
        for a, b in itertools.pairwise(widths):
            blocks += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(a, b, 3, 1, 1),
                nn.InstanceNorm2d(b, affine=True),
                nn.LeakyReLU(0.2),
            ]
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


RIGHT = [
    ("helper function", WithHelper),
    ("upsampling", Upsampled),
    ("without norm", WithoutNorm),
    ("small weights", SmallStart),
    ("module lists", Base),
]
