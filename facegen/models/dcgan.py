"""DCGAN: the convolutional generator and discriminator of Radford, Metz and Chintala (2016), arXiv:1511.06434.

With their default arguments both networks have the parameter names, the shapes and the order of operations of the widely
taught PyTorch DCGAN tutorial, so weights trained there load here (`from_tutorial`). Everything else is a choice that the
course experiments with: width, normalisation, padding, leak, initialisation, and 32, 64 or 128 pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from facegen.files import InputError
from facegen.models.settings import remembers

IMAGE_SIZES = (32, 64, 128)
NORMS = ("batch", "instance", "spectral", "none")
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")
INITS = ("normal", "xavier", "kaiming", "orthogonal")


def _stages(image_size: int) -> int:
    """How many times 4x4 is doubled before the last layer doubles it into the picture: 2, 3, 4 for 32, 64, 128."""
    if image_size not in IMAGE_SIZES:
        raise InputError(f"image_size={image_size}: a DCGAN here makes pictures of {', '.join(map(str, IMAGE_SIZES))} pixels")
    return int(math.log2(image_size)) - 3


def _choice(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise InputError(f"{name}={value!r} is not known: choose one of {', '.join(allowed)}")
    return value


def _with_norm(conv: nn.Module, norm: str, channels: int) -> list[nn.Module]:
    """The layers `[conv]` or `[conv, norm]`. The affine norms carry the bias, so the convolution has none beside them."""
    if norm == "batch":
        return [conv, nn.BatchNorm2d(channels)]
    if norm == "instance":
        return [conv, nn.InstanceNorm2d(channels, affine=True)]
    # Spectral norm (Miyato et al. 2018, arXiv:1802.05957) divides the weight by its largest singular value.
    return [spectral_norm(conv)] if norm == "spectral" else [conv]


class Generator(nn.Module):
    """z -> picture: a 4x4 seed, doubled in size and halved in channels until it is a picture.

    Args:
        z_size: length of the noise vector z.
        conv_dim: channels before the last layer; the 4x4 seed has 8 times as many for 64-pixel pictures.
        image_size: 32, 64 or 128 pixels.
        norm: "batch" (the paper's), "instance", "spectral" or "none", on every layer but the last.
        padding_mode: "zeros" uses the paper's transposed convolutions; "reflect", "replicate" and "circular" are not
            defined for those, so a layer becomes nearest-neighbour upsampling and a 3x3 convolution with that padding
            (Odena et al. 2016, "Deconvolution and Checkerboard Artifacts").
        img_channels: 3 for colour.

    Raises:
        InputError: an image size, norm or padding mode that is not in the lists above.
    """

    @remembers
    def __init__(
        self,
        z_size: int = 100,
        conv_dim: int = 64,
        image_size: int = 64,
        norm: str = "batch",
        padding_mode: str = "zeros",
        img_channels: int = 3,
    ) -> None:
        super().__init__()
        _choice("norm", norm, NORMS)
        _choice("padding_mode", padding_mode, PADDING_MODES)
        self.z_dim, self.img_resolution, self.img_channels = z_size, image_size, img_channels
        bias = norm in ("spectral", "none")
        channels = conv_dim * 2 ** _stages(image_size)  # [N, 8c, 4, 4] at 64 pixels

        seed = nn.ConvTranspose2d(z_size, channels, 4, 1, 0, bias=bias)  # [N, z, 1, 1] -> [N, 8c, 4, 4]
        layers = [*_with_norm(seed, norm, channels), nn.ReLU(inplace=True)]
        while channels > conv_dim:
            doubling = self._doubling(channels, channels // 2, padding_mode, bias)  # [N, C, H, W] -> [N, C/2, 2H, 2W]
            channels //= 2
            layers += [*doubling[:-1], *_with_norm(doubling[-1], norm, channels), nn.ReLU(inplace=True)]
        layers += [*self._doubling(channels, img_channels, padding_mode, bias), nn.Tanh()]  # [N, 3, S, S] in [-1, 1]
        self.main = nn.Sequential(*layers)

    @staticmethod
    def _doubling(inputs: int, outputs: int, padding_mode: str, bias: bool) -> list[nn.Module]:
        if padding_mode == "zeros":
            return [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=bias)]
        conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=bias, padding_mode=padding_mode)
        return [nn.Upsample(scale_factor=2, mode="nearest"), conv]

    def forward(self, z: Tensor) -> Tensor:
        """z [N, z_size] or [N, z_size, 1, 1], from N(0, 1) -> pictures [N, 3, S, S] in [-1, 1]."""
        return self.main(z.reshape(len(z), self.z_dim, 1, 1))


class Discriminator(nn.Module):
    """Picture -> one logit: how real it looks. Strided convolutions halve the picture down to 4x4, then one number.

    Args:
        conv_dim: channels after the first layer; doubled at every halving.
        image_size: 32, 64 or 128 pixels.
        norm: "batch" (the paper's), "instance", "spectral" or "none". The first layer has no norm, as in the paper, but
            for "spectral", which must bound every layer to bound the whole network.
        slope: of the leaky ReLU for negative inputs.
        padding_mode: of the strided convolutions.
        img_channels: 3 for colour.

    Raises:
        InputError: an image size, norm or padding mode that is not known.
    """

    @remembers
    def __init__(
        self,
        conv_dim: int = 64,
        image_size: int = 64,
        norm: str = "batch",
        slope: float = 0.2,
        padding_mode: str = "zeros",
        img_channels: int = 3,
    ) -> None:
        super().__init__()
        _choice("norm", norm, NORMS)
        _choice("padding_mode", padding_mode, PADDING_MODES)
        self.img_resolution, self.img_channels = image_size, img_channels
        bias = norm in ("spectral", "none")

        def halving(inputs: int, outputs: int) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, 4, 2, 1, bias=bias, padding_mode=padding_mode)

        first = _with_norm(halving(img_channels, conv_dim), norm if norm == "spectral" else "none", conv_dim)
        layers = [*first, nn.LeakyReLU(slope, inplace=True)]  # [N, c, S/2, S/2]
        channels = conv_dim
        for _ in range(_stages(image_size)):
            layers += [*_with_norm(halving(channels, 2 * channels), norm, 2 * channels), nn.LeakyReLU(slope, inplace=True)]
            channels *= 2  # [N, 8c, 4, 4] at 64 pixels
        last = nn.Conv2d(channels, 1, 4, 1, 0, bias=bias)  # [N, 8c, 4, 4] -> [N, 1, 1, 1]
        self.main = nn.Sequential(*layers, spectral_norm(last) if norm == "spectral" else last)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, 3, S, S] in [-1, 1] -> logits [N, 1]; the sigmoid of a logit is the probability of "real"."""
        return self.main(x).reshape(len(x), 1)


def weights_init_normal(m: nn.Module) -> None:
    """The paper's initialisation, for `net.apply`: convolutions N(0, 0.02), norm scales N(1, 0.02), biases 0."""
    initialise_module(m, "normal")


def initialise_module(m: nn.Module, kind: str) -> None:
    """Initialise one module in place; modules without weights, and containers, are left alone."""
    if isinstance(m, (nn.modules.conv._ConvNd, nn.Linear)):
        # Under spectral_norm `weight` is computed from the parameter behind it: initialise that one.
        weight = m.parametrizations.weight.original if hasattr(m, "parametrizations") else m.weight
        if kind == "normal":
            nn.init.normal_(weight, 0.0, 0.02)
        elif kind == "xavier":
            nn.init.xavier_normal_(weight)
        elif kind == "kaiming":
            nn.init.kaiming_normal_(weight, a=0.2, nonlinearity="leaky_relu")
        else:
            nn.init.orthogonal_(weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)
        if hasattr(m, "parametrizations"):
            _settle_spectral_norm(m)
    elif isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)) and m.affine:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


@torch.no_grad()
def _settle_spectral_norm(m: nn.Module) -> None:
    """Spectral norm estimates the largest singular value bit by bit, once per use in training mode; new weights need that
    anew, or the first pictures in evaluation mode are scaled by the old weights' value."""
    training = m.training
    m.train()
    for _ in range(30):
        m.weight  # noqa: B018 - the access is the update
    m.train(training)


def initialise(net: nn.Module, kind: str = "normal") -> nn.Module:
    """Initialise a whole network in place: "normal" N(0, 0.02), "xavier", "kaiming" or "orthogonal"; returns it.
    """
    _choice("init", kind, INITS)
    return net.apply(lambda m: initialise_module(m, kind))
