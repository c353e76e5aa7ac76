"""StyleGAN2: mapping, synthesis and discriminator of Karras et al. 2020, "Analyzing and Improving the Image Quality of
StyleGAN" (arXiv:1912.04958), conditional as in Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data" (arXiv:2006.06676).

The idea: a plain network maps the noise z to a style w, and w sets, at every resolution, how strong each feature of the
picture is. Coarse resolutions decide on pose and shape, fine ones on colour and hair. Parameters and buffers have the
published names and shapes, so published weights load with `strict=True`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Options

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models.layers import (
    activation_gain,
    bias_act,
    conv2d_resample,
    downsample2d,
    fast_layout,
    modulated_conv2d,
    setup_filter,
    upsample2d,
)
from facegen.models.settings import defaults, options, remembers

ARCHITECTURES = ("skip", "resnet", "orig")
NOISE_MODES = ("random", "const", "none")


# -- what all networks here share


def own_precision(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Makes a network's forward pass deaf to torch.autocast: its `dtype` argument says what is computed in which type.

    Autocast would also take the mapping, the running averages and the pictures' sum to half precision.
    """

    @functools.wraps(forward)
    def alone(self: nn.Module, *args: object, **options: object) -> Tensor:
        with torch.autocast(next(self.parameters()).device.type, enabled=False):
            return forward(self, *args, **options)

    return alone


def normalize_2nd_moment(x: Tensor) -> Tensor:
    """[N, C] -> [N, C] with a mean square of one: the length of z carries no information, so it is removed."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """A fully connected layer with an equalised learning rate (Karras et al. 2018, arXiv:1710.10196, section 4.1).

    The weights are stored with unit variance and scaled by 1 / sqrt(in_features) when used. Adam's steps then change every
    layer by the same share, however wide it is.

    Args:
        in_features, out_features: widths.
        activation: one of `layers.ACTIVATIONS`.
        lr_multiplier: learns this much slower than the other layers (0.01 in the mapping network).
        weight_init: standard deviation of the initial weights, before the scaling.
        bias_init: initial bias, one number or one per output.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        weight_init: float = 1.0,
        bias_init: float | Sequence[float] = 0.0,
    ) -> None:
        super().__init__()
        activation_gain(activation)  # refuses an unknown one now
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) * (weight_init / lr_multiplier))
        bias = torch.as_tensor(bias_init, dtype=torch.float32) / lr_multiplier
        self.bias = nn.Parameter(bias.expand(out_features).clone())
        self.weight_gain, self.bias_gain = lr_multiplier / math.sqrt(in_features), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """[N, in_features] -> [N, out_features]."""
        weight, bias = self.weight * self.weight_gain, self.bias * self.bias_gain
        if self.activation == "linear":
            return torch.addmm(bias, x, weight.T)
        return bias_act(x @ weight.T, bias, act=self.activation)


class EqualConv(nn.Module):
    """Convolution with an equalised learning rate, optional resampling, bias and activation.

    Args:
        in_channels, out_channels: widths.
        kernel_size: 1 or 3; the picture is padded so that it keeps its size, times up / down.
        bias: add one per output channel.
        activation: one of `layers.ACTIVATIONS`.
        up, down: resampling factors, with `resample_filter` against aliases.
        resample_filter: taps such as [1, 3, 3, 1].
        conv_clamp: bound on the output's absolute value, against overflow in half precision.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.act_gain = activation_gain(activation)
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """[N, in_channels, H, W] -> [N, out_channels, H * up / down, W * up / down], times `gain`."""
        x = conv2d_resample(
            x,
            self.weight * self.weight_gain,
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,  # trained as a transposed convolution, which turns the kernel round
        )
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return bias_act(x, self.bias, act=self.activation, gain=self.act_gain * gain, clamp=clamp)


class Mapping(nn.Module):
    """z (and a class label c) -> w: the style (Karras et al. 2019, arXiv:1812.04948, section 2).

    z is spherical noise; faces are not spread like that. Eight layers bend the one into the other, so that directions in w
    can mean something. The moving average of w is the average face; truncation pulls w towards it.

    Args:
        z_dim: length of z; 0 for a network of the label alone (the discriminator's).
        c_dim: number of classes; 0 is unconditional.
        w_dim: length of w.
        num_ws: how often w is repeated, once per layer of the synthesis; None returns w itself.
        num_layers: fully connected layers.
        embed_features: length of the label's embedding, w_dim unless given.
        layer_features: width between the layers, w_dim unless given.
        activation: of each layer.
        lr_multiplier: these layers learn slower than the others.
        w_avg_beta: decay of the moving average of w per update; None keeps none.
    """

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.995,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws, self.w_avg_beta = z_dim, c_dim, w_dim, num_ws, w_avg_beta
        self.num_layers = num_layers
        if num_layers < 1:
            raise InputError(f"num_layers={num_layers}: a mapping network has at least one layer")
        embed = (w_dim if embed_features is None else embed_features) if c_dim > 0 else 0
        hidden = w_dim if layer_features is None else layer_features
        widths = [z_dim + embed, *[hidden] * (num_layers - 1), w_dim]
        if c_dim > 0:
            self.embed = EqualLinear(c_dim, embed)
        for i in range(num_layers):
            layer = EqualLinear(widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier)
            setattr(self, f"fc{i}", layer)
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    @own_precision
    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
    ) -> Tensor:
        """z [N, z_dim] from N(0, 1), c [N, c_dim] one-hot -> ws [N, num_ws, w_dim], or [N, w_dim] where num_ws is None.

        Args:
            truncation_psi: 1 is all of w, 0 the average face: w_avg + psi * (w - w_avg) (Karras et al. 2019, appendix B).
            truncation_cutoff: truncate only the first so many layers.
            update_emas: let this batch's mean move w_avg; for training.
        """
        parts = []
        if self.z_dim > 0:
            parts.append(normalize_2nd_moment(self._checked(z, self.z_dim, "z", "noise")))
        if self.c_dim > 0:
            parts.append(normalize_2nd_moment(self.embed(self._checked(c, self.c_dim, "c", "one-hot labels"))))
        if len({len(part) for part in parts}) > 1:
            raise InputError(f"{len(z)} noise vectors z and {len(c)} labels c: give as many of one as of the other")
        w = torch.cat(parts, dim=1)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if update_emas and self.w_avg_beta is not None:
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is None:
            return w
        ws = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        return ws if truncation_psi == 1 else self._truncated(ws, truncation_psi, truncation_cutoff)

    def _checked(self, x: Tensor | None, length: int, name: str, what: str) -> Tensor:
        """x in the parameters' type, if it is [N, length]."""
        if x is None:
            raise InputError(f"this network needs {name}: {what} [N, {length}]")
        if x.ndim != 2 or x.shape[1] != length:
            raise InputError(f"{name} has the shape {list(x.shape)}, this network takes [N, {length}]")
        return x.to(self.fc0.weight.dtype)

    def _truncated(self, ws: Tensor, psi: float, cutoff: int | None) -> Tensor:
        cutoff = self.num_ws if cutoff is None else cutoff
        if self.w_avg_beta is None:
            raise InputError("this network keeps no average w to truncate towards: leave truncation_psi at 1")
        if cutoff < 0:
            raise InputError(f"truncation_cutoff={cutoff}: it counts layers, from 0 to {self.num_ws}")
        return torch.cat([self.w_avg.lerp(ws[:, :cutoff], psi), ws[:, cutoff:]], dim=1)


def widths(img_resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """Channels at each resolution from 4 up: half as many whenever the picture doubles, but never above channel_max."""
    if not isinstance(img_resolution, int) or img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise InputError(f"img_resolution={img_resolution}: StyleGAN2 makes pictures of 4, 8, 16, 32, ... pixels")
    channels = {2**i: min(channel_base // 2**i, channel_max) for i in range(2, img_resolution.bit_length())}
    if min(channels.values()) < 1:
        raise InputError(f"channel_base={channel_base}, channel_max={channel_max}: no channels left at {img_resolution} pixels")
    return channels


def check_architecture(architecture: str) -> None:
    """Raises InputError unless it is one of ARCHITECTURES (Karras et al. 2020, figure 7)."""
    if architecture not in ARCHITECTURES:
        raise InputError(f"architecture={architecture!r}: choose one of {', '.join(ARCHITECTURES)}")


# -- generator


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, activation: one layer of the synthesis (Karras et al. 2020, figure 2d).

    `affine` turns w into one scale per input channel. The noise is one number per pixel, scaled by a learned strength: it
    gives hair and freckles something to be random about without costing the network capacity.

    Args:
        in_channels, out_channels: widths.
        w_dim: length of w.
        resolution: of the output.
        up: 2 doubles the picture.
        use_noise, activation, resample_filter, conv_clamp: see `Synthesis`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        up: int = 1,
        use_noise: bool = True,
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution, self.up, self.use_noise = resolution, up, use_noise
        self.activation, self.conv_clamp = activation, conv_clamp
        self.act_gain = activation_gain(activation)
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1)  # every feature at its plain strength to begin with
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor, w: Tensor, noise_mode: str = "random", gain: float = 1.0) -> Tensor:
        """x [N, C, R / up, R / up], w [N, w_dim] -> [N, O, R, R], times `gain`."""
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            up=self.up,
            padding=1,
            resample_filter=self.resample_filter,
            noise=self._noise(len(x), noise_mode),
            flip_weight=self.up == 1,  # trained as a transposed convolution, which turns the kernel round
        )
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return bias_act(x, self.bias, act=self.activation, gain=self.act_gain * gain, clamp=clamp)

    def _noise(self, n: int, mode: str) -> Tensor | None:
        if not self.use_noise or mode == "none":
            return None
        if mode == "const":
            return self.noise_const * self.noise_strength
        shape = (n, 1, self.resolution, self.resolution)
        return torch.randn(shape, device=self.weight.device, dtype=self.weight.dtype) * self.noise_strength


class ToRGB(nn.Module):
    """Features -> picture: a modulated 1x1 convolution without demodulation (Karras et al. 2020, section 2.2 and figure 7)."""

    def __init__(self, in_channels: int, img_channels: int, w_dim: int, conv_clamp: float | None = None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x [N, C, R, R], w [N, w_dim] -> [N, img_channels, R, R]."""
        x = modulated_conv2d(x, self.weight, self.affine(w) * self.weight_gain, demodulate=False)
        return bias_act(x, self.bias, clamp=self.conv_clamp)


class SynthesisBlock(nn.Module):
    """All layers of one resolution: [N, C, R / 2, R / 2] -> [N, O, R, R], and the picture so far.

    "skip" adds up a picture from every resolution; "resnet" adds the block's input to its output; "orig" does neither
    (Karras et al. 2020, figure 7 and table 2). The first block starts from a learned constant [C, 4, 4].

    Args:
        in_channels: 0 for the first block.
        out_channels, w_dim, resolution, img_channels: sizes.
        is_last: this block makes the picture whatever the architecture.
        architecture, use_noise, activation, resample_filter, conv_clamp: see `Synthesis`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        architecture: str = "skip",
        use_noise: bool = True,
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution, self.architecture = resolution, architecture
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        layer = (use_noise, activation, resample_filter, conv_clamp)
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_channels, out_channels, w_dim, resolution, 2, *layer)
        self.conv1 = StyledConv(out_channels, out_channels, w_dim, resolution, 1, *layer)
        if is_last or architecture == "skip":
            self.torgb = ToRGB(out_channels, img_channels, w_dim, conv_clamp)
        if in_channels != 0 and architecture == "resnet":
            self.skip = EqualConv(in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter)
        self.num_conv = 1 if in_channels == 0 else 2
        self.num_torgb = int(is_last or architecture == "skip")

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: Tensor, noise_mode: str, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """Features and picture of the block before, ws [N, num_conv + num_torgb, w_dim] -> features and picture.

        dtype is what the features are computed in; the picture keeps the parameters' type.
        """
        w = ws.unbind(dim=1)
        if x is None:
            x = self.const.to(dtype).unsqueeze(0).expand(len(ws), -1, -1, -1)
            x = self.conv1(fast_layout(x), w[0], noise_mode)
        elif self.architecture == "resnet":
            x = x.to(dtype)
            shortcut = self.skip(x, gain=math.sqrt(0.5))  # two branches of unit variance add up to one
            x = self.conv0(x, w[0], noise_mode)
            x = shortcut + self.conv1(x, w[1], noise_mode, gain=math.sqrt(0.5))
        else:
            x = self.conv0(x.to(dtype), w[0], noise_mode)
            x = self.conv1(x, w[1], noise_mode)
        if img is not None:
            img = upsample2d(img, self.resample_filter)
        if self.num_torgb:
            y = self.torgb(x, w[-1]).to(ws.dtype)
            img = y if img is None else img + y
        return x, img


class Synthesis(nn.Module):
    """ws -> picture: blocks b4, b8, ... up to the picture's resolution (Karras et al. 2020, figures 2d and 7).

    Args:
        w_dim: length of w.
        img_resolution: 4, 8, 16, ...
        img_channels: 3 for colour.
        channel_base: channels times resolution, as far as
        channel_max: does not bound it.
        num_fp16_res: with a `dtype` of half precision, only this many of the highest resolutions use it; 0 is all.
        architecture: "skip" (the paper's choice), "resnet" or "orig".
        resample_filter: of the up-sampling.
        conv_clamp: bound on the features' absolute values; needed for float16 only, but part of what some networks learned.
        use_noise: whether the layers have noise.
        activation: of the layers.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        architecture: str = "skip",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
        use_noise: bool = True,
        activation: str = "lrelu",
    ) -> None:
        super().__init__()
        check_architecture(architecture)
        channels = widths(img_resolution, channel_base, channel_max)
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.block_resolutions = list(channels)
        self.half_from = img_resolution >> (num_fp16_res - 1) if num_fp16_res else 4
        self.num_ws = 0
        for resolution, out in channels.items():
            block = SynthesisBlock(
                channels.get(resolution // 2, 0),
                out,
                w_dim,
                resolution,
                img_channels,
                resolution == img_resolution,
                architecture,
                use_noise,
                activation,
                resample_filter,
                conv_clamp,
            )
            setattr(self, f"b{resolution}", block)
            self.num_ws += block.num_conv
        self.num_ws += block.num_torgb  # the other pictures share their w with the next block's first layer

    @own_precision
    def forward(self, ws: Tensor, noise_mode: str = "random", dtype: torch.dtype | None = None) -> Tensor:
        """ws [N, num_ws, w_dim] -> picture [N, img_channels, R, R], about [-1, 1], unbounded.

        Args:
            noise_mode: "random", "const" (always the same) or "none".
            dtype: of the features: the parameters' type unless given; bfloat16 is two to three times faster on a CPU.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"ws has the shape {list(ws.shape)}, this network takes [N, {self.num_ws}, {self.w_dim}]")
        if noise_mode not in NOISE_MODES:
            raise InputError(f"noise_mode={noise_mode!r}: choose one of {', '.join(NOISE_MODES)}")
        ws = ws.to(self.b4.const.dtype)
        x = img = None
        first = 0
        for resolution in self.block_resolutions:
            block = getattr(self, f"b{resolution}")
            own = ws[:, first : first + block.num_conv + block.num_torgb]
            half = dtype is not None and resolution >= self.half_from
            x, img = block(x, img, own, noise_mode, dtype if half else ws.dtype)
            first += block.num_conv
        return img


class Generator(nn.Module):
    """StyleGAN2's generator: `synthesis(mapping(z, c))`.

    Args:
        z_dim: length of the noise z.
        c_dim: number of classes; 0 is unconditional.
        w_dim: length of the style w.
        img_resolution: 4, 8, 16, ... pixels.
        img_channels: 3 for colour.
        mapping_kwargs: further arguments of `Mapping`.
        synthesis_kwargs: further arguments of `Synthesis`.

    Raises:
        InputError: sizes, names or options that do not exist.
    """

    @remembers
    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        mapping_kwargs: Options[str, object] | None = None,
        synthesis_kwargs: Options[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.settings["mapping_kwargs"] = options("mapping_kwargs", mapping_kwargs, defaults(Mapping))
        self.settings["synthesis_kwargs"] = options("synthesis_kwargs", synthesis_kwargs, defaults(Synthesis))
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = Synthesis(w_dim, img_resolution, img_channels, **self.settings["synthesis_kwargs"])
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, **self.settings["mapping_kwargs"])

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
        noise_mode: str = "random",
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """z [N, z_dim] from N(0, 1), c [N, c_dim] one-hot or None -> pictures [N, img_channels, R, R], about [-1, 1].

        The other arguments are those of `Mapping.forward` and `Synthesis.forward`.
        """
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas)
        return self.synthesis(ws, noise_mode=noise_mode, dtype=dtype)


# -- discriminator


class DiscriminatorBlock(nn.Module):
    """One resolution of the discriminator: [N, C, R, R] -> [N, O, R / 2, R / 2] (Karras et al. 2020, figure 7).

    "resnet" (the paper's choice) adds a down-sampled copy of the input to the output, "skip" looks at the picture anew at
    every resolution, "orig" does neither.

    Args:
        in_channels: 0 for the first block, which reads the picture.
        tmp_channels, out_channels: after the first and the second convolution.
        resolution, img_channels: sizes.
        architecture, activation, resample_filter, conv_clamp: as for the generator.
    """

    def __init__(
        self,
        in_channels: int,
        tmp_channels: int,
        out_channels: int,
        resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution, self.architecture = resolution, architecture
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        layer = (resample_filter, conv_clamp)
        if in_channels == 0 or architecture == "skip":
            self.fromrgb = EqualConv(img_channels, tmp_channels, 1, True, activation, 1, 1, *layer)
        self.conv0 = EqualConv(tmp_channels, tmp_channels, 3, True, activation, 1, 1, *layer)
        self.conv1 = EqualConv(tmp_channels, out_channels, 3, True, activation, 1, 2, *layer)
        if architecture == "resnet":
            self.skip = EqualConv(tmp_channels, out_channels, 1, False, "linear", 1, 2, resample_filter)

    def forward(self, x: Tensor | None, img: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Features [N, C, R, R] (None at first) and picture [N, img_channels, R, R] -> both at half the size."""
        if hasattr(self, "fromrgb"):
            seen = self.fromrgb(img)
            x = seen if x is None else x + seen
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        if self.architecture == "resnet":
            shortcut = self.skip(x, gain=math.sqrt(0.5))
            x = shortcut + self.conv1(self.conv0(x), gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x))
        return x, img


class MinibatchStd(nn.Module):
    """Adds features that tell how much the pictures of a group differ (Karras et al. 2018, arXiv:1710.10196, section 3).

    A generator that always makes the same face is betrayed by them. The batch is dealt into groups; the standard deviation
    over a group, averaged over pixels and channels, becomes one constant plane.

    Args:
        group_size: pictures per group; None is the whole batch. A smaller batch is one group.
        num_channels: planes to add; each looks at its share of the channels.
    """

    def __init__(self, group_size: int | None, num_channels: int = 1) -> None:
        super().__init__()
        if num_channels < 1 or (group_size is not None and group_size < 1):
            raise InputError(f"minibatch std: groups of {group_size} and {num_channels} channels; both are at least 1")
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C + num_channels, H, W]."""
        n, c, h, w = x.shape
        g = max(n if self.group_size is None else min(self.group_size, n), 1)
        f = self.num_channels
        if n % g:
            raise InputError(f"a batch of {n} cannot be dealt into groups of {g}: make it a multiple, or at most {g}")
        y = x.reshape(g, n // g, f, c // f, h, w)  # [G, M, F, C / F, H, W]: group m has pictures m, m + M, m + 2M, ...
        y = y - y.mean(dim=0)
        y = (y.square().mean(dim=0) + 1e-8).sqrt()  # [M, F, C / F, H, W]
        y = y.mean(dim=[2, 3, 4]).repeat(g, 1)  # [N, F]
        return torch.cat([x, y.reshape(n, f, 1, 1).expand(n, f, h, w)], dim=1)


class Epilogue(nn.Module):
    """The discriminator's last layers: 4x4 features -> logit.

    With classes, the logit is the product of the features with the label's embedding: how well the picture fits its label
    (Miyato and Koyama 2018, arXiv:1802.05637, section 3).

    Args:
        in_channels: of the features.
        cmap_dim: length of the label's embedding; 0 is unconditional.
        resolution: 4.
        img_channels, architecture, activation, conv_clamp: as for the blocks.
        mbstd_group_size, mbstd_num_channels: of `MinibatchStd`; 0 channels is none.
    """

    OPTIONS = ("mbstd_group_size", "mbstd_num_channels", "activation")

    def __init__(
        self,
        in_channels: int,
        cmap_dim: int,
        resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        activation: str = "lrelu",
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.cmap_dim = cmap_dim
        if architecture == "skip":
            self.fromrgb = EqualConv(img_channels, in_channels, 1, activation=activation)
        if mbstd_num_channels > 0 and in_channels % mbstd_num_channels:
            raise InputError(f"mbstd_num_channels={mbstd_num_channels} does not divide the {in_channels} channels at 4x4")
        self.mbstd = MinibatchStd(mbstd_group_size, mbstd_num_channels) if mbstd_num_channels > 0 else None
        self.conv = EqualConv(in_channels + mbstd_num_channels, in_channels, 3, activation=activation, conv_clamp=conv_clamp)
        self.fc = EqualLinear(in_channels * resolution**2, in_channels, activation=activation)
        self.out = EqualLinear(in_channels, cmap_dim or 1)

    def forward(self, x: Tensor, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        """x [N, C, 4, 4], picture [N, img_channels, 4, 4] ("skip"), label embedding [N, cmap_dim] -> logits [N, 1]."""
        if hasattr(self, "fromrgb"):
            x = x + self.fromrgb(img)
        if self.mbstd is not None:
            x = self.mbstd(x)
        x = self.out(self.fc(self.conv(x).flatten(1)))
        if self.cmap_dim > 0:
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(nn.Module):
    """StyleGAN2's discriminator, which StyleGAN3 uses too: a picture -> one logit, how real it looks.

    Args:
        c_dim: number of classes; 0 is unconditional.
        img_resolution, img_channels: as the generator's.
        architecture: "resnet" (the paper's choice), "skip" or "orig".
        channel_base, channel_max: widths, as in `Synthesis`.
        num_fp16_res: with a `dtype` of half precision, only this many of the highest resolutions use it; 0 is all but 4x4.
        conv_clamp: bound on the features.
        cmap_dim: length of the label's embedding; by default the width at 4x4.
        block_kwargs: activation, resample_filter, and freeze_layers: how many of the first layers do not learn
            (Mo et al. 2020, "Freeze the Discriminator", arXiv:2002.10964).
        mapping_kwargs: further arguments of the label's `Mapping`.
        epilogue_kwargs: mbstd_group_size, mbstd_num_channels, activation.

    Raises:
        InputError: sizes, names or options that do not exist.
    """

    BLOCK_OPTIONS = ("activation", "resample_filter", "freeze_layers")

    @remembers
    def __init__(
        self,
        c_dim: int,
        img_resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        cmap_dim: int | None = None,
        block_kwargs: Options[str, object] | None = None,
        mapping_kwargs: Options[str, object] | None = None,
        epilogue_kwargs: Options[str, object] | None = None,
    ) -> None:
        super().__init__()
        check_architecture(architecture)
        self.settings["block_kwargs"] = options("block_kwargs", block_kwargs, self.BLOCK_OPTIONS)
        self.settings["mapping_kwargs"] = options("mapping_kwargs", mapping_kwargs, defaults(Mapping))
        self.settings["epilogue_kwargs"] = options("epilogue_kwargs", epilogue_kwargs, Epilogue.OPTIONS)
        channels = widths(img_resolution, channel_base, channel_max)
        if img_resolution < 8:
            raise InputError(f"img_resolution={img_resolution}: the discriminator takes pictures of 8, 16, 32, ... pixels")
        self.c_dim, self.img_resolution, self.img_channels = c_dim, img_resolution, img_channels
        self.block_resolutions = [r for r in reversed(channels) if r > 4]
        self.half_from = img_resolution >> (num_fp16_res - 1) if num_fp16_res else 8
        block = self.settings["block_kwargs"]
        activation, taps = block.get("activation", "lrelu"), block.get("resample_filter", (1, 3, 3, 1))
        for r in self.block_resolutions:
            before = 0 if r == img_resolution else channels[r]
            sizes = (before, channels[r], channels[r // 2], r, img_channels)
            setattr(self, f"b{r}", DiscriminatorBlock(*sizes, architecture, activation, taps, conv_clamp))
        embedding = (channels[4] if cmap_dim is None else cmap_dim) if c_dim > 0 else 0
        if c_dim > 0:
            mapping = {**self.settings["mapping_kwargs"], "w_avg_beta": None}
            self.mapping = Mapping(0, c_dim, embedding, None, **mapping)
        epilogue = {**self.settings["epilogue_kwargs"], "conv_clamp": conv_clamp}
        self.b4 = Epilogue(channels[4], embedding, 4, img_channels, architecture, **epilogue)
        self.freeze_layers = block.get("freeze_layers", 0)
        if self.freeze_layers < 0:
            raise InputError(f"freeze_layers={self.freeze_layers}: it counts layers from the picture on")
        self.requires_grad_()

    def requires_grad_(self, requires_grad: bool = True) -> Discriminator:
        """As for any module, but the first `freeze_layers` layers, counted from the picture, never learn."""
        super().requires_grad_(requires_grad)
        layers = [layer for r in self.block_resolutions for layer in getattr(self, f"b{r}").children()]
        for layer in layers[: self.freeze_layers]:
            layer.requires_grad_(False)
        return self

    @own_precision
    def forward(self, img: Tensor, c: Tensor | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """img [N, img_channels, R, R] in [-1, 1], c [N, c_dim] one-hot or None -> logits [N, 1], positive for real.

        Args:
            dtype: of the features; the parameters' type unless given.
        """
        if img.shape[1:] != (self.img_channels, self.img_resolution, self.img_resolution):
            want = [self.img_channels, self.img_resolution, self.img_resolution]
            raise InputError(f"pictures of the shape {list(img.shape)}: this discriminator takes [N, {str(want)[1:]}")
        if not img.is_floating_point():
            raise InputError(f"pictures of the type {img.dtype}: scale them to floating-point numbers in [-1, 1] first")
        if self.c_dim > 0 and c is not None and len(c) != len(img):
            raise InputError(f"{len(img)} pictures and {len(c)} labels c: give as many of one as of the other")
        full = self.b4.out.weight.dtype
        x = None
        for r in self.block_resolutions:
            kind = dtype if dtype is not None and r >= self.half_from else full
            x = None if x is None else x.to(kind)
            img = None if img is None else fast_layout(img.to(kind))
            x, img = getattr(self, f"b{r}")(x, img)
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        return self.b4(x.to(full), None if img is None else img.to(full), cmap)
