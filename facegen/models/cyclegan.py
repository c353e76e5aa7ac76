"""CycleGAN and pix2pix: picture-to-picture generators and discriminators that judge patches.

Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks", arXiv:1703.10593
(section 4 and appendix 7), and Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(pix2pix), arXiv:1611.07004 (section 3.2 and appendix 6). None of the networks has a layer of fixed size, so each takes
pictures of any size above a small least one: a network trained on 128 pixels also runs on 256.

Parameter names and shapes are those of the authors' published weight files, so that these load with `strict=True`;
`facegen.models.foreign` reads such a file and finds the right arguments by itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models.dcgan import initialise
from facegen.models.settings import remembers

NORMS = ("instance", "batch")


def _check_arguments(norm: str, **counts: int) -> None:
    if norm not in NORMS:
        raise InputError(f"norm={norm!r} is not known: choose one of {', '.join(NORMS)}")
    for name, value in counts.items():
        if type(value) is not int or value < 1:
            raise InputError(f"{name}={value!r}: expected a whole number of at least 1")


def _check_pictures(x: Tensor, channels: int, least: int, multiple: int = 1) -> None:
    """Refuse pictures in one line that would otherwise fail with a message about some inner layer."""
    if x.dim() != 4 or x.shape[1] != channels:
        raise InputError(f"pictures of shape {list(x.shape)}: this network takes [N, {channels}, H, W]")
    height, width = x.shape[2:]
    if min(height, width) < least:
        raise InputError(f"pictures of {height}x{width} pixels: this network needs at least {least}x{least}")
    if height % multiple or width % multiple:
        raise InputError(f"pictures of {height}x{width} pixels: this network needs multiples of {multiple}")


def _norm(kind: str, channels: int) -> nn.Module:
    """Instance norm (Ulyanov et al. 2016, arXiv:1607.08022) without weights or running statistics, or batch norm.

    Each picture of a batch is normalised by itself under instance norm, so a batch of pictures gives exactly what the
    same pictures give one by one, in training too. Batch norm mixes them.
    """
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.InstanceNorm2d(channels)


class ResidualBlock(nn.Module):
    """x + F(x), F being two 3x3 convolutions with reflection padding (He et al. 2016; CycleGAN appendix 7.2, "Rk").

    Reflection instead of zeros, because a generator learns to see zeros at the border and paints artefacts there.

    Args:
        channels: of x, kept: [N, C, H, W] -> [N, C, H, W], H and W at least 2.
        norm: "instance" or "batch".
        dropout: drop half of the values between the two convolutions, in training mode (pix2pix section 3.1).
    """

    def __init__(self, channels: int, norm: str = "instance", dropout: bool = False) -> None:
        super().__init__()
        _check_arguments(norm, channels=channels)
        bias = norm == "instance"  # batch norm subtracts the mean and adds its own bias, so one before it has no effect
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            _norm(norm, channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3, bias=bias),
            _norm(norm, channels),  # no ReLU after it: the block must be able to subtract as well
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] -> [N, C, H, W]."""
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """Picture -> picture: shrink four times, residual blocks, enlarge four times (CycleGAN section 4, appendix 7.2).

    Most of the depth works at a quarter of the resolution: [N, 3, H, W] -> [N, 4w, H/4, W/4] -> [N, 3, H, W]. Because the
    blocks add to what they are given, an untouched picture is the easy answer, and the network learns what to change.

    Args:
        img_channels: of the input, 3 for colour.
        width: channels after the first layer; doubled at each halving of the size.
        blocks: residual blocks: 6 in the paper for 128 pixels, 9 for 256 and more.
        norm: "instance" (the paper's) or "batch", after every convolution but the last.
        dropout: in every block; shifts the names of the block's second convolution, as in the authors' files.
        out_channels: of the output, if not those of the input.

    Raises:
        InputError: an unknown norm, or a count below 1.
    """

    @remembers
    def __init__(
        self,
        img_channels: int = 3,
        width: int = 64,
        blocks: int = 9,
        norm: str = "instance",
        dropout: bool = False,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        outputs = img_channels if out_channels is None else out_channels
        _check_arguments(norm, img_channels=img_channels, width=width, blocks=blocks, out_channels=outputs)
        self.settings["out_channels"] = outputs
        self.img_channels, self.out_channels = img_channels, outputs
        bias = norm == "instance"

        layers = [nn.ReflectionPad2d(3), nn.Conv2d(img_channels, width, 7, bias=bias)]  # "c7s1-64": [N, w, H, W]
        layers += [_norm(norm, width), nn.ReLU(inplace=True)]
        for inputs in (width, 2 * width):  # "d128, d256": [N, 4w, H/4, W/4]
            layers += [nn.Conv2d(inputs, 2 * inputs, 3, 2, 1, bias=bias), _norm(norm, 2 * inputs), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)]
        for inputs in (4 * width, 2 * width):  # "u128, u64": back to [N, w, H, W]
            half = inputs // 2
            # output_padding: of the two sizes that a strided convolution shrinks to this one, the even one.
            layers += [nn.ConvTranspose2d(inputs, half, 3, 2, 1, output_padding=1, bias=bias)]
            layers += [_norm(norm, half), nn.ReLU(inplace=True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]  # "c7s1-3": [N, 3, H, W]
        self.model = nn.Sequential(*layers)
        initialise(self)  # N(0, 0.02), appendix 7.1

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] in [-1, 1] -> [N, C_out, H, W] in [-1, 1]; other sizes come out rounded up to multiples of 4."""
        _check_pictures(x, self.img_channels, least=5)  # 5 -> 3 -> 2, the least that can be reflected by one pixel
        return self.model(x)


class UnetLevel(nn.Module):
    """One level of a U-Net: halve, let the inner levels work, double, and put the input beside the result.

    Args:
        outside: channels that come in and go out of this level.
        inside: channels at half the size.
        inner: the next level, or None for the innermost one.
        norm: "instance" or "batch".
        dropout: drop half of the result's values, in training mode.
    """

    def __init__(self, outside: int, inside: int, inner: UnetLevel | None, norm: str, dropout: bool = False) -> None:
        super().__init__()
        bias = norm == "instance"
        down = [nn.LeakyReLU(0.2), nn.Conv2d(outside, inside, 4, 2, 1, bias=bias)]
        # A norm at the innermost level, where a picture may be 1x1, would subtract all that there is.
        down += [_norm(norm, inside), inner] if inner is not None else []
        arriving = inside if inner is None else 2 * inside  # an inner level returns its input beside its result
        up = [nn.ReLU(inplace=True), nn.ConvTranspose2d(arriving, outside, 4, 2, 1, bias=bias), _norm(norm, outside)]
        self.model = nn.Sequential(*down, *up, *([nn.Dropout(0.5)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, outside, H, W] -> [N, 2 outside, H, W]: first x itself, then what the level made of it."""
        return torch.cat([x, self.model(x)], 1)


class _UnetRim(nn.Module):
    """The outermost level, from and to pictures: no norm on the pictures, and nothing put beside the result."""

    def __init__(self, img_channels: int, out_channels: int, width: int, inner: UnetLevel, norm: str) -> None:
        super().__init__()
        first = nn.Conv2d(img_channels, width, 4, 2, 1, bias=norm == "instance")  # [N, 3, H, W] -> [N, w, H/2, W/2]
        last = nn.ConvTranspose2d(2 * width, out_channels, 4, 2, 1)  # [N, 2w, H/2, W/2] -> [N, 3, H, W]
        self.model = nn.Sequential(first, inner, nn.ReLU(inplace=True), last, nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class UnetGenerator(nn.Module):
    """Picture -> picture by a U-Net (pix2pix section 3.2.1, appendix 6.1.1): down to a few pixels and up again.

    Skip connections carry each size's features across, so what stays where it is need not pass the narrow middle. Widths
    are w, 2w, 4w, 8w, 8w, ...: with width 64 the paper's 64-128-256-512-512-512-512(-512).

    Args:
        img_channels: of the input, 3 for colour.
        width: channels at half size.
        downs: how often the size is halved, at least 5: 7 for 128 pixels and 8 for 256 bring a picture to one pixel.
        norm: "instance" or "batch" (pix2pix's).
        dropout: in the inner levels of width 8w but the innermost: pix2pix's only source of noise, in training mode.
        out_channels: of the output, if not those of the input.

    Raises:
        InputError: an unknown norm, or a count that is too small.
    """

    @remembers
    def __init__(
        self,
        img_channels: int = 3,
        width: int = 64,
        downs: int = 7,
        norm: str = "instance",
        dropout: bool = False,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        outputs = img_channels if out_channels is None else out_channels
        _check_arguments(norm, img_channels=img_channels, width=width, downs=downs, out_channels=outputs)
        if downs < 5:
            raise InputError(f"downs={downs}: a U-Net here halves at least 5 times (widths w, 2w, 4w, 8w, 8w)")
        self.settings["out_channels"] = outputs
        self.img_channels, self.out_channels, self.downs = img_channels, outputs, downs

        level = UnetLevel(8 * width, 8 * width, None, norm)  # built from the innermost level outwards
        for _ in range(downs - 5):
            level = UnetLevel(8 * width, 8 * width, level, norm, dropout)
        for outside in (4 * width, 2 * width, width):
            level = UnetLevel(outside, 2 * outside, level, norm)
        self.model = _UnetRim(img_channels, outputs, width, level, norm)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] in [-1, 1], H and W multiples of 2**downs -> [N, C_out, H, W] in [-1, 1]."""
        _check_pictures(x, self.img_channels, least=2**self.downs, multiple=2**self.downs)
        return self.model(x)


def receptive_field(layers: int) -> int:
    """Side in pixels of the patch that one logit of a `PatchDiscriminator` sees: 16, 34, 70, 142, 286 for 1 to 5 layers.

    Walk back from one logit: a convolution of kernel k and stride s that has to make r pixels reads (r - 1) s + k of
    them (pix2pix appendix 6.1.2 names the networks after this number; "70x70 PatchGAN" is 3 layers).
    """
    _check_arguments("instance", layers=layers)
    side = 1
    for stride in (1, 1, *[2] * layers):  # from the last convolution to the first; every kernel is 4x4
        side = (side - 1) * stride + 4
    return side


class PatchDiscriminator(nn.Module):
    """Picture -> a map of logits, each judging one patch: "PatchGAN" (CycleGAN section 4, pix2pix section 3.2.2).

    Style is local, so patches suffice; the network is small, and takes pictures of any size. One logit sees
    `receptive_field(layers)` pixels a side. For 3 layers and 256 pixels: [N, 3, 256, 256] -> [N, 1, 30, 30].

    Args:
        img_channels: 3 for colour; pix2pix's conditional discriminator takes both pictures, 6.
        width: channels after the first layer; doubled at every layer, up to 8 times.
        layers: convolutions of stride 2, 3 in both papers; two more of stride 1 follow.
        norm: "instance" or "batch", on every convolution but the first and the last.

    Raises:
        InputError: an unknown norm, or a count below 1.
    """

    @remembers
    def __init__(self, img_channels: int = 3, width: int = 64, layers: int = 3, norm: str = "instance") -> None:
        super().__init__()
        _check_arguments(norm, img_channels=img_channels, width=width, layers=layers)
        self.img_channels, self.receptive_field = img_channels, receptive_field(layers)
        self._least = 3 * 2**layers  # halved `layers` times, then one pixel less twice, must leave one logit

        stack = [nn.Conv2d(img_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]  # "C64": [N, w, H/2, W/2]
        channels = width
        for i in range(1, layers + 1):
            wider = width * min(2**i, 8)  # "C128, C256, C512": [N, 8w, H/8 - 1, W/8 - 1] after the third
            stride = 2 if i < layers else 1
            stack += [nn.Conv2d(channels, wider, 4, stride, 1, bias=norm == "instance"), _norm(norm, wider)]
            stack += [nn.LeakyReLU(0.2, inplace=True)]
            channels = wider
        self.model = nn.Sequential(*stack, nn.Conv2d(channels, 1, 4, 1, 1))  # [N, 1, H/8 - 2, W/8 - 2]
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] in [-1, 1] -> logits [N, 1, H', W'], with H' = H // 2**layers - 2; no sigmoid."""
        _check_pictures(x, self.img_channels, self._least)
        return self.model(x)


class PixelDiscriminator(nn.Module):
    """Picture -> a logit for every pixel from its colour alone: the 1x1 "PixelGAN" (pix2pix section 4.4).

    It can only ask for plausible colours; pix2pix uses it to show what larger patches add.

    Args:
        img_channels: 3 for colour.
        width: channels after the first of the three 1x1 convolutions.
        norm: "instance" or "batch", after the second.

    Raises:
        InputError: an unknown norm, or a count below 1.
    """

    @remembers
    def __init__(self, img_channels: int = 3, width: int = 64, norm: str = "instance") -> None:
        super().__init__()
        _check_arguments(norm, img_channels=img_channels, width=width)
        self.img_channels, self.receptive_field = img_channels, 1
        bias = norm == "instance"
        self.net = nn.Sequential(
            nn.Conv2d(img_channels, width, 1),  # [N, w, H, W]
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),  # [N, 2w, H, W]
            _norm(norm, 2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, 1, 1, bias=bias),  # the published files have no bias here under batch norm
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, H, W] in [-1, 1] -> logits [N, 1, H, W]; no sigmoid."""
        _check_pictures(x, self.img_channels, least=2)  # one pixel has no spread to normalise by
        return self.net(x)
