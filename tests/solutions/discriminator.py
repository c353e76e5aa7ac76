"""Discriminator(conv_dim): more wrong solutions, and right ones of other architectures."""

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.models.dcgan import Discriminator


def same(x: Tensor) -> Tensor:
    return x


def solution(
    start: Callable = same,
    middle: Callable = same,
    last: Callable = lambda c: nn.Conv2d(8 * c, 1, 4),
    end: Callable = lambda y: y.flatten(1),
    norm: Callable = nn.BatchNorm2d,
    width: int = 0,
    inputs: int = 3,
    padding: int = 1,
) -> type:
    """With something before the first, before the last or after the last layer, or with other layers."""

    class Solution(nn.Module):
        def __init__(self, conv_dim: int) -> None:
            super().__init__()
            c = width or conv_dim
            layers = [nn.Conv2d(inputs, c, 4, 2, 1), nn.LeakyReLU(0.2)]
            for a in (c, 2 * c, 4 * c):
                layers += [nn.Conv2d(a, 2 * a, 4, 2, padding), norm(2 * a), nn.LeakyReLU(0.2)]
            self.layers, self.last = nn.Sequential(*layers), last(c)

        def forward(self, x: Tensor) -> Tensor:
            return end(self.last(middle(self.layers(start(x)))))

    return Solution


def forgotten(conv_dim: int) -> nn.Module:
    """A layer that forward does not use."""
    net = solution()(conv_dim)
    net.conv5 = nn.Conv2d(8 * conv_dim, 8 * conv_dim, 3, 1, 1)
    return net


def in_a_list(conv_dim: int) -> nn.Module:
    net = solution()(conv_dim)
    net.blocks = [nn.Conv2d(3, conv_dim, 4, 2, 1)]
    return net


def without_running(c: int) -> nn.Module:
    return nn.BatchNorm2d(c, track_running_stats=False)


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


class ModuleLists(nn.Module):
    def __init__(self, conv_dim):
        super().__init__()
        widths = [3, conv_dim, 2 * conv_dim, 4 * conv_dim, 8 * conv_dim]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[2:])
        self.last = nn.Linear(8 * conv_dim * 16, 1)

    def forward(self, x):
        x = F.leaky_relu(self.convs[0](x), 0.2)
        for layer, norm in zip(self.convs[1:], self.norms):
            x = F.leaky_relu(norm(layer(x)), 0.2)
        return self.last(x.flatten(1))


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


class Residual(nn.Module):
    """Pre-activated residual blocks, group norm, an attention over the last map's places, a sum at the end."""

    def __init__(self, conv_dim):
        super().__init__()
        c = conv_dim
        self.first = nn.Conv2d(3, c, 3, padding=1)
        self.blocks = nn.ModuleDict()
        for k in range(3):
            a, b = c * 2**k, c * 2 ** (k + 1)
            self.blocks[f"main{k}"] = nn.Sequential(
                nn.GELU(), nn.Conv2d(a, b, 3, 1, 1), nn.GroupNorm(2, b), nn.Conv2d(b, b, 3, 1, 1)
            )
            self.blocks[f"skip{k}"] = nn.Conv2d(a, b, 1, bias=False)
        self.score, self.value = nn.Linear(8 * c, 1), nn.Linear(8 * c, 1)

    def forward(self, x):
        x = self.first(F.avg_pool2d(x, 2))
        for k in range(3):
            x = F.avg_pool2d(self.blocks[f"main{k}"](x) + self.blocks[f"skip{k}"](x), 2)
        x = x.flatten(2).transpose(1, 2)
        return (self.score(x).softmax(1) * self.value(x)).sum(1)


class Perceptron(nn.Module):
    """No convolution at all."""

    def __init__(self, conv_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, conv_dim), nn.ELU(), nn.Linear(conv_dim, 1))

    def forward(self, x):
        return self.layers(x)


class SuperForgotten(nn.Module):
    def __init__(self, conv_dim):
        self.conv = nn.Conv2d(3, conv_dim, 4, 2, 1)


class ForwardInside(nn.Module):
    def __init__(self, conv_dim):
        super().__init__()
        self.conv = nn.Conv2d(3, conv_dim, 4, 2, 1)

        def forward(x):
            return self.conv(x)


class ForwardWithoutSelf(solution()):
    def forward(x):
        return x


class WidthsOff(nn.Module):
    def __init__(self, conv_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, conv_dim, 4, 2, 1), nn.Conv2d(2 * conv_dim, 1, 4, 2, 1))

    def forward(self, x):
        return self.layers(x)


class NormWidthOff(nn.Module):
    def __init__(self, conv_dim):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 2 * conv_dim, 4, 2, 1), nn.BatchNorm2d(conv_dim))

    def forward(self, x):
        return self.layers(x)


def frozen(conv_dim):
    return solution()(conv_dim).requires_grad_(False)


def compared_with_the_batch(y):
    y = y.flatten(1)
    return y - y.mean() if len(y) > 1 else y


def a_function(conv_dim):
    return lambda x: x.mean((1, 2, 3))


RIGHT = [
    ("the table", solution()),
    ("helper function", WithHelper),
    ("spectral norm", SpectralPooled),
    ("max pooling", MapToOne),
    ("module lists", ModuleLists),
    ("residual, attention", Residual),
    ("no convolution", Perceptron),
    ("instance norm", solution(norm=nn.InstanceNorm2d)),
]
WRONG = [
    ("sigmoid at the end", solution(end=torch.sigmoid), "sigmoid at the end"),
    ("a tanh or clamp at the end", solution(end=torch.tanh), "a tanh or clamp at the end"),
    ("never negative", solution(end=F.relu), "never negative"),
    ("never positive", solution(end=F.logsigmoid), "never positive"),
    (
        "batch norm after the last layer",
        solution(last=lambda c: nn.Sequential(nn.Conv2d(8 * c, 1, 4), nn.BatchNorm2d(1))),
        "batch norm after the last layer",
    ),
    ("squeeze() removed the batch", solution(end=torch.mean), "squeeze() removed the batch"),
    ("one logit each", solution(last=lambda c: nn.Conv2d(8 * c, 1, 3, 1, 1)), "one logit each"),
    ("flatten the map", solution(last=lambda c: nn.Linear(8 * c * 4, 1)), "flatten the map"),
    ("smaller than the kernel", solution(padding=0), "smaller than the kernel"),
    (
        "regions of the picture",
        solution(last=lambda c: nn.Conv2d(8 * c, 1, 1), end=lambda y: y[:, :, 0, 0]),
        "regions of the picture",
    ),
    ("green and blue", solution(start=lambda x: torch.cat([x[:, :1], 0 * x[:, 1:]], 1)), "green and blue"),
    ("the first layer takes 3 channels", solution(inputs=1), "the first layer takes 3 channels"),
    ("batch statistics", solution(norm=without_running), "batch statistics"),
    ("conv_dim used in every layer", solution(width=32), "conv_dim used in every layer"),
    ("plain list", in_a_list, "plain list"),
    ("conv5", forgotten, "conv5"),
    ("no gradient reaches any weight", solution(end=Tensor.detach), "no gradient reaches any weight"),
    ("return statement missing", solution(end=lambda y: None), "return statement missing"),
    ("dropout", solution(middle=lambda x: F.dropout(x, 0.5)), "dropout"),
    ("changed the pictures", solution(start=lambda x: x.mul_(0.5)), "changed the pictures"),
    ("no flatten", solution(last=lambda c: nn.Linear(8 * c * 16, 1)), "flatten"),
    ("the middle only", solution(start=lambda x: F.interpolate(x[:, :, 16:48, 16:48], size=64)), "regions of the picture"),
    ("compared with the batch", solution(end=compared_with_the_batch), "depends on the other"),
    ("squeeze", solution(end=torch.squeeze), "squeeze()"),
    ("no super().__init__()", SuperForgotten, "super().__init__()"),
    ("forward inside __init__", ForwardInside, "define forward"),
    ("forward without self", ForwardWithoutSelf, "check the signature"),
    ("cut off before the last layer", solution(middle=torch.detach), "gets no gradient"),
    ("softmax over one logit", solution(end=lambda y: y.flatten(1).softmax(1)), "is 0 everywhere"),
    ("softmax over the batch", solution(end=lambda y: y.flatten(1).softmax(0)), "depends on the other"),
    ("clamped", solution(end=lambda y: y.flatten(1).clamp(-1, 1)), "a tanh or clamp at the end"),
    ("two logits", solution(last=lambda c: nn.Conv2d(8 * c, 2, 4)), "one logit each"),
    ("the batch last", solution(end=lambda y: y.reshape(1, -1)), "one logit each"),
    ("a layer too few", solution(last=lambda c: nn.Conv2d(8 * c, 1, 3)), "one logit each"),
    ("another width in the next layer", WidthsOff, "what the layer before it gives"),
    ("another width in batch norm", NormWidthOff, "batch norm too"),
    ("a reshape that does not fit", solution(end=lambda y: y.view(-1, 7)), "print the shape"),
    ("frozen", frozen, "frozen"),
    ("a tuple", solution(end=lambda y: (y.flatten(1), y)), "expected a tensor"),
    ("NaN", solution(end=lambda y: y.flatten(1).log()), "NaN"),
    ("a function", a_function, "expected an nn.Module"),
    ("on the GPU", solution(start=lambda x: x.cuda()), "checks run on the CPU"),
    ("no argument", lambda: solution()(8), "check the signature"),
    ("an object of the class", Discriminator(8), "without brackets"),
]
