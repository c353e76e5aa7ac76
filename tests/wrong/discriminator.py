"""Discriminator(conv_dim): wrong and right solutions."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn


class Base(nn.Module):
    """A right discriminator [N, 3, 64, 64] -> [N, 1]; the wrong ones change one thing."""

    def __init__(self, conv_dim):
        super().__init__()
        widths = [3, conv_dim, 2 * conv_dim, 4 * conv_dim, 8 * conv_dim]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[2:])
        self.last = nn.Linear(8 * conv_dim * 16, 1)

    def features(self, x):
        x = F.leaky_relu(self.convs[0](x), 0.2)
        for conv, norm in zip(self.convs[1:], self.norms):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return x  # [N, 8c, 4, 4]

    def forward(self, x):
        return self.last(self.features(x).flatten(1))


def ending_in(function):
    class Ended(Base):
        def forward(self, x):
            return function(super().forward(x))

    return Ended


def looking_at(function):
    class Looking(Base):
        def forward(self, x):
            return super().forward(function(x))

    return Looking


class PatchLogits(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.last = nn.Conv2d(8 * conv_dim, 1, 3, 1, 1)

    def forward(self, x):
        return self.last(self.features(x))


class For32Pixels(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.last = nn.Linear(8 * conv_dim * 4, 1)


class NoFlatten(Base):
    def forward(self, x):
        return self.last(self.features(x))


class OneCorner(Base):
    """Pads too little and takes the map's first entry, as if it were the whole picture."""

    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.last = nn.Linear(8 * conv_dim, 1)

    def forward(self, x):
        return self.last(self.features(x)[:, :, 0, 0])


class StatisticsOfTheBatch(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n.num_features, track_running_stats=False) for n in self.norms)


class ComparedWithTheBatch(Base):
    def forward(self, x):
        logits = super().forward(x)
        return logits - logits.mean() if len(x) > 1 else logits


class FixedWidth(Base):
    def __init__(self, conv_dim):
        super().__init__(32)


class LayersInAList(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.layers = [nn.Conv2d(8 * conv_dim, 8 * conv_dim, 3, 1, 1)]

    def features(self, x):
        return self.layers[0](super().features(x))


class LayerForgotten(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.conv5 = nn.Conv2d(8 * conv_dim, 8 * conv_dim, 3, 1, 1)


class SuperForgotten(nn.Module):
    def __init__(self, conv_dim):
        self.conv = nn.Conv2d(3, conv_dim, 4, 2, 1)


class CutOff(Base):
    def features(self, x):
        return super().features(x).detach()


class NoReturn(Base):
    def forward(self, x):
        self.last(self.features(x).flatten(1))


class MisplacedForward(nn.Module):
    def __init__(self, conv_dim):
        super().__init__()
        self.conv = nn.Conv2d(3, conv_dim, 4, 2, 1)

        def forward(x):
            return self.conv(x)


class DropoutForEver(Base):
    def features(self, x):
        return F.dropout(super().features(x), 0.5)


class InPlace(Base):
    def forward(self, x):
        return super().forward(x.mul_(0.5).add_(0.5))


class ChannelsOfTheInput(Base):
    def __init__(self, conv_dim):
        super().__init__(conv_dim)
        self.convs[0] = nn.Conv2d(1, conv_dim, 4, 2, 1)


WRONG = [
    ("sigmoid at the end", ending_in(torch.sigmoid), "sigmoid at the end"),
    ("tanh at the end", ending_in(torch.tanh), "tanh"),
    ("ReLU at the end", ending_in(F.relu), "never negative"),
    ("log-sigmoid at the end", ending_in(F.logsigmoid), "never positive"),
    ("one logit for the batch", ending_in(torch.mean), "squeeze() removed the batch"),
    ("squeeze", ending_in(torch.squeeze), "squeeze()"),
    ("patch logits", PatchLogits, "one logit each"),
    ("for 32 pixels", For32Pixels, "recount its sizes"),
    ("no flatten", NoFlatten, "flatten"),
    ("a corner only", OneCorner, "regions of the picture"),
    ("the middle only", looking_at(lambda x: F.interpolate(x[:, :, 16:48, 16:48], size=64)), "regions of the picture"),
    ("red only", looking_at(lambda x: torch.cat([x[:, :1], 0 * x[:, 1:]], 1)), "green and blue"),
    ("batch statistics", StatisticsOfTheBatch, "batch statistics"),
    ("compared with the batch", ComparedWithTheBatch, "depends on the other"),
    ("conv_dim ignored", FixedWidth, "conv_dim"),
    ("layers in a list", LayersInAList, "plain list"),
    ("a layer left out", LayerForgotten, "conv5"),
    ("no super().__init__()", SuperForgotten, "super().__init__()"),
    ("detach", CutOff, "no gradient"),
    ("no return", NoReturn, "return statement missing"),
    ("forward inside __init__", MisplacedForward, "define forward"),
    ("F.dropout", DropoutForEver, "dropout"),
    ("in place on the input", InPlace, "changed the pictures"),
    ("a layer for one channel", ChannelsOfTheInput, "the first layer takes 3 channels"),
]


def conv(inputs, outputs, batch_norm=True):
    layers = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs)) if batch_norm else layers[0]


class WithHelper(nn.Module):
    """Blocks from a helper function, one Linear at the end, as many courses write it."""

    def __init__(self, conv_dim):
        super().__init__()
        self.conv_dim = conv_dim
        self.conv1 = conv(3, conv_dim, batch_norm=False)
        self.conv2 = conv(conv_dim, conv_dim * 2)
        self.conv3 = conv(conv_dim * 2, conv_dim * 4)
        self.conv4 = conv(conv_dim * 4, conv_dim * 8)
        self.fc = nn.Linear(conv_dim * 8 * 4 * 4, 1)

    def forward(self, x):
        for block in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = F.leaky_relu(block(x), 0.2)
        return self.fc(x.view(-1, self.conv_dim * 8 * 4 * 4))


class SpectralPooled(nn.Module):
    """Spectral norm, dropout, average pooling; logits [N]."""

    def __init__(self, conv_dim):
        super().__init__()
        spectral, c = nn.utils.parametrizations.spectral_norm, conv_dim
        self.body = nn.Sequential(
            *(
                layer
                for a, b in ((3, c), (c, 2 * c), (2 * c, 4 * c))
                for layer in (spectral(nn.Conv2d(a, b, 4, 2, 1)), nn.ReLU())
            ),
            nn.Dropout2d(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            spectral(nn.Linear(4 * c, 1)),
        )

    def forward(self, x):
        return self.body(x)[:, 0]


class MapToOne(nn.Module):
    """Max pooling, instance norm, a last convolution to one value: logits [N, 1, 1, 1]."""

    def __init__(self, conv_dim):
        super().__init__()
        layers, width = [], 3
        for k in range(4):
            layers += [nn.Conv2d(width, conv_dim * 2**k, 3, padding=1), nn.InstanceNorm2d(conv_dim * 2**k, affine=True)]
            layers += [nn.LeakyReLU(0.2), nn.MaxPool2d(2)]
            width = conv_dim * 2**k
        self.layers = layers  # a list beside the registered ones does no harm
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, 4))

    def forward(self, x):
        return self.main(x)


RIGHT = [("helper function", WithHelper), ("spectral norm", SpectralPooled), ("max pooling", MapToOne), ("module lists", Base)]
