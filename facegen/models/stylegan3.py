"""StyleGAN3: the generators -T and -R of Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423).

The idea: what the network draws should move with the face, not stick to the pixels. Every layer is therefore treated as a
continuous signal that happens to be sampled: the input is a sum of waves, nonlinearities are applied to a finer sampling
and low-pass filtered, and nothing may tell a layer where the picture's border is. -T then follows translations, -R, with
1x1 convolutions and radially symmetric filters, also rotations. The discriminator is StyleGAN2's.

Parameters and buffers have the published names and shapes, so published weights load with `strict=True`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping as Options

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models.layers import design_lowpass_filter, fast_layout, filtered_lrelu, modulated_conv2d
from facegen.models.settings import defaults, options, remembers
from facegen.models.stylegan2 import EqualLinear, Mapping, own_precision


class FourierInput(nn.Module):
    """The synthesis's input: waves of random frequency, [N, channels, size, size] (Karras et al. 2021, section 3.1, "Fourier
    features", and appendix F for the transforms).

    A wave is defined everywhere, so the picture has no border, and it can be moved exactly: w chooses a rotation and a
    shift, and the buffer `transform` is the user's.

    Args:
        w_dim: length of w.
        channels: number of waves.
        size: samples along a side, margin included.
        sampling_rate: samples per unit of length; the picture is one unit wide.
        bandwidth: the highest frequency, in periods per unit.
    """

    def __init__(self, w_dim: int, channels: int, size: int, sampling_rate: float, bandwidth: float) -> None:
        super().__init__()
        self.size, self.sampling_rate, self.bandwidth = size, sampling_rate, bandwidth
        # Uniform over the disc of radius `bandwidth`: a normal vector's r^2 is exponential, so exp(-r^2 / 4) is the root of
        # a uniform number, which is how far from the middle the points of a disc lie.
        freqs = torch.randn(channels, 2)
        r = freqs.norm(dim=1, keepdim=True)
        freqs = freqs / r * torch.exp(-r.square() / 4) * bandwidth
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = EqualLinear(w_dim, 4, weight_init=0, bias_init=[1, 0, 0, 0])  # cos, sin, shift x, shift y
        self.register_buffer("transform", torch.eye(3))  # user's, [3, 3]: where each point of the picture is taken from
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)

    def forward(self, w: Tensor) -> Tensor:
        """w [N, w_dim] -> [N, channels, size, size]."""
        move = self._learned_transform(w) @ self.transform  # [N, 3, 3]
        # Moving a wave changes its frequency and phase: sin(2 pi (f (R p + t) + phase)).
        phases = self.phases + (self.freqs @ move[:, :2, 2:]).squeeze(2)  # [N, C]
        freqs = self.freqs @ move[:, :2, :2]  # [N, C, 2]
        # Waves that the sampling could not hold fade out.
        nyquist = self.sampling_rate / 2
        amplitudes = (1 - (freqs.norm(dim=2) - self.bandwidth) / (nyquist - self.bandwidth)).clamp(0, 1)  # [N, C]
        # Pixel centres, in units of the picture's width around its middle: [size].
        at = (torch.arange(self.size, device=w.device, dtype=w.dtype) + 0.5 - self.size / 2) / self.sampling_rate
        along_x = at[None, :, None] * freqs[:, None, :, 0]  # [N, size, C]
        along_y = at[None, :, None] * freqs[:, None, :, 1] + phases[:, None, :]
        waves = torch.sin((along_y[:, :, None] + along_x[:, None, :]) * (2 * math.pi))  # [N, H, W, C]
        mixed = (waves * amplitudes[:, None, None]) @ (self.weight / math.sqrt(len(self.weight))).T
        return mixed.permute(0, 3, 1, 2)

    def _learned_transform(self, w: Tensor) -> Tensor:
        """The inverse of the rotation and shift that w asks for, [N, 3, 3] (appendix F)."""
        t = self.affine(w)
        cos, sin, x, y = (t / t[:, :2].norm(dim=1, keepdim=True)).unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rotate = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).reshape(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], dim=1).reshape(-1, 3, 3)
        return rotate @ shift


class SynthesisLayer(nn.Module):
    """Modulated convolution and filtered leaky ReLU (Karras et al. 2021, figure 4b and sections 3.1 and 3.2).

    The filters follow from the layer's place: it takes a signal with frequencies up to `in_cutoff` and hands on one up to
    `out_cutoff`. Its input is divided by the running root mean square of all inputs it has seen, so that no layer needs to
    be normalised by the content of the picture at hand.

    Args:
        w_dim: length of w.
        in_channels, out_channels: widths.
        in_size, out_size: samples along a side, margins included.
        in_sampling_rate, out_sampling_rate: samples per picture width.
        in_cutoff, out_cutoff: highest frequencies kept, in periods per picture width.
        in_half_width, out_half_width: half-widths of the filters' transition bands.
        is_torgb: the last layer: 1x1, no demodulation, no nonlinearity.
        is_critically_sampled: cutoff at half the sampling rate, for sharpness in the last layers.
        conv_kernel: 3, or 1 for -R.
        filter_size: taps of a low-pass filter per sample of the coarser side.
        lrelu_upsampling: how much finer the sampling is for the leaky ReLU.
        use_radial_filters: -R's.
        conv_clamp: bound on the activations.
        magnitude_ema_beta: decay of the running mean square per update.
    """

    def __init__(
        self,
        w_dim: int,
        in_channels: int,
        out_channels: int,
        in_size: int,
        out_size: int,
        in_sampling_rate: float,
        out_sampling_rate: float,
        in_cutoff: float,
        out_cutoff: float,
        in_half_width: float,
        out_half_width: float,
        is_torgb: bool,
        is_critically_sampled: bool,
        conv_kernel: int,
        filter_size: int,
        lrelu_upsampling: int,
        use_radial_filters: bool,
        conv_clamp: float | None,
        magnitude_ema_beta: float,
    ) -> None:
        super().__init__()
        self.is_torgb, self.conv_clamp, self.magnitude_ema_beta = is_torgb, conv_clamp, magnitude_ema_beta
        self.in_size, self.out_size = in_size, out_size
        self.in_sampling_rate, self.out_sampling_rate = in_sampling_rate, out_sampling_rate
        self.in_cutoff, self.out_cutoff = in_cutoff, out_cutoff
        self.in_half_width, self.out_half_width = in_half_width, out_half_width
        self.conv_kernel = kernel = 1 if is_torgb else conv_kernel
        self.affine = EqualLinear(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        # The nonlinearity works at this sampling rate; the filters lead up to it and down from it.
        rate = max(in_sampling_rate, out_sampling_rate) * (1 if is_torgb else lrelu_upsampling)
        self.up_factor, self.down_factor = round(rate / in_sampling_rate), round(rate / out_sampling_rate)
        up_taps = 1 if is_torgb or self.up_factor == 1 else filter_size * self.up_factor
        down_taps = 1 if is_torgb or self.down_factor == 1 else filter_size * self.down_factor
        radial = use_radial_filters and not is_critically_sampled
        self.register_buffer("up_filter", design_lowpass_filter(up_taps, in_cutoff, in_half_width * 2, rate))
        down_filter = design_lowpass_filter(down_taps, out_cutoff, out_half_width * 2, rate, radial=radial)
        self.register_buffer("down_filter", down_filter)
        # What the finer picture needs so that out_size samples come out, split so that the picture stays in the middle.
        total = (out_size - 1) * self.down_factor + 1 - (in_size + kernel - 1) * self.up_factor + up_taps + down_taps - 2
        before = (total + self.up_factor) // 2
        self.padding = [before, total - before] * 2

    def forward(self, x: Tensor, w: Tensor, update_emas: bool = False) -> Tensor:
        """x [N, C, in_size, in_size], w [N, w_dim] -> [N, O, out_size, out_size]."""
        if update_emas:
            magnitude = x.detach().to(self.magnitude_ema.dtype).square().mean()
            self.magnitude_ema.copy_(magnitude.lerp(self.magnitude_ema, self.magnitude_ema_beta))
        styles = self.affine(w)
        weight = self.weight
        if self.is_torgb:
            styles = styles / math.sqrt(weight.shape[1])
        else:  # unit mean squares, so that the small constant in the demodulation stays small; it cancels otherwise
            weight = weight * weight.square().mean(dim=[1, 2, 3], keepdim=True).rsqrt()
            styles = styles * styles.square().mean(dim=1, keepdim=True).rsqrt()
        x = modulated_conv2d(
            x,
            weight,
            styles,
            demodulate=not self.is_torgb,
            padding=self.conv_kernel - 1,  # all that the kernel reaches: the filter crops what is not needed
            input_gain=self.magnitude_ema.rsqrt(),
        )
        return filtered_lrelu(
            x,
            self.up_filter,
            self.down_filter,
            self.bias,
            up=self.up_factor,
            down=self.down_factor,
            padding=self.padding,
            gain=1.0 if self.is_torgb else math.sqrt(2),
            slope=1.0 if self.is_torgb else 0.2,
            clamp=self.conv_clamp,
        )


class Synthesis(nn.Module):
    """ws -> picture: the waves and 14 layers, whose cutoffs rise geometrically, and one to colour (Karras et al. 2021,
    section 3.2, "Flexible layer specifications", figure 4c, and appendix F.1 for the formulas).

    Each layer has a margin of `margin_size` samples around the picture, so that what happens at its border is decided by
    the signal beyond it and not by padding.

    Args:
        w_dim: length of w.
        img_resolution: 16, 32, ... pixels.
        img_channels: 3 for colour.
        channel_base, channel_max: widths, min(channel_base / 2 / cutoff, channel_max).
        num_layers: N, without the layer to colour.
        num_critical: how many of the last layers have their cutoff at half the sampling rate.
        first_cutoff, first_stopband: f_c,0 and f_t,0, in periods per picture width.
        last_stopband_rel: f_t,N relative to the last cutoff.
        margin_size: samples around the picture.
        output_scale: on the last layer.
        num_fp16_res: with a `dtype` of half precision, only the layers of this many of the highest resolutions use it; 0 is
            all.
        conv_kernel, filter_size, lrelu_upsampling, use_radial_filters, conv_clamp, magnitude_ema_beta: of each layer.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_layers: int = 14,
        num_critical: int = 2,
        first_cutoff: float = 2,
        first_stopband: float = 2**2.1,
        last_stopband_rel: float = 2**0.3,
        margin_size: int = 10,
        output_scale: float = 0.25,
        num_fp16_res: int = 0,
        conv_kernel: int = 3,
        filter_size: int = 6,
        lrelu_upsampling: int = 2,
        use_radial_filters: bool = False,
        conv_clamp: float | None = 256,
        magnitude_ema_beta: float = 0.999,
    ) -> None:
        super().__init__()
        _check(img_resolution, num_layers, num_critical, first_cutoff, conv_kernel)
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.num_ws, self.output_scale = num_layers + 2, output_scale
        cutoff, stopband = img_resolution / 2, img_resolution / 2 * last_stopband_rel
        # Geometric progressions that reach the last value num_critical layers before the end.
        steps = [min(i / (num_layers - num_critical), 1) for i in range(num_layers + 1)]
        cutoffs = [first_cutoff * (cutoff / first_cutoff) ** s for s in steps]
        stopbands = [first_stopband * (stopband / first_stopband) ** s for s in steps]
        rates = [2 ** math.ceil(math.log2(min(2 * f, img_resolution))) for f in stopbands]
        half_widths = [max(f, rate / 2) - f_c for f, rate, f_c in zip(stopbands, rates, cutoffs)]
        sizes = [rate + 2 * margin_size for rate in rates]
        sizes[-2:] = [img_resolution] * 2
        channels = [round(min(channel_base / 2 / f_c, channel_max)) for f_c in cutoffs]
        channels[-1] = img_channels
        if min(channels) < 1:
            raise InputError(f"channel_base={channel_base}, channel_max={channel_max}: no channels left at the last layer")
        self.input = FourierInput(w_dim, channels[0], sizes[0], rates[0], cutoffs[0])
        self.layer_names, self._half = [], []
        for i in range(num_layers + 1):
            j = max(i - 1, 0)
            layer = SynthesisLayer(
                w_dim,
                channels[j],
                channels[i],
                sizes[j],
                sizes[i],
                rates[j],
                rates[i],
                cutoffs[j],
                cutoffs[i],
                half_widths[j],
                half_widths[i],
                is_torgb=i == num_layers,
                is_critically_sampled=i >= num_layers - num_critical,
                conv_kernel=conv_kernel,
                filter_size=filter_size,
                lrelu_upsampling=lrelu_upsampling,
                use_radial_filters=use_radial_filters,
                conv_clamp=conv_clamp,
                magnitude_ema_beta=magnitude_ema_beta,
            )
            name = f"L{i}_{sizes[i]}_{channels[i]}"
            setattr(self, name, layer)
            self.layer_names.append(name)
            self._half.append(num_fp16_res == 0 or rates[i] * 2**num_fp16_res > img_resolution)

    @own_precision
    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "none",
        update_emas: bool = False,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """ws [N, num_ws, w_dim] -> picture [N, img_channels, R, R], about [-1, 1], unbounded.

        Args:
            noise_mode: accepted because StyleGAN2's takes it; there is no noise here.
            update_emas: let this batch move the running magnitudes; for training.
            dtype: of the features: the parameters' type unless given. bfloat16 moves the picture by a few per cent of its
                range: a preview.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise InputError(f"ws has the shape {list(ws.shape)}, this network takes [N, {self.num_ws}, {self.w_dim}]")
        first, *rest = ws.to(self.input.weight.dtype).unbind(dim=1)
        x = self.input(first)
        for name, half, w in zip(self.layer_names, self._half, rest):
            kind = dtype if dtype is not None and half else first.dtype
            layer = getattr(self, name)
            x = layer(fast_layout(x.to(kind), layer.conv_kernel), w, update_emas)
        return x.to(first.dtype) * self.output_scale


class Generator(nn.Module):
    """StyleGAN3's generator: `synthesis(mapping(z, c))`. -T is the default; -R has conv_kernel=1, use_radial_filters=True and
    twice the channels.

    Args:
        z_dim: length of the noise z.
        c_dim: number of classes; 0 is unconditional.
        w_dim: length of the style w.
        img_resolution, img_channels: of the picture.
        mapping_kwargs: further arguments of `Mapping`; two layers unless given (section 3.1).
        synthesis: further arguments of `Synthesis`, channel_base ... magnitude_ema_beta.

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
        **synthesis: object,
    ) -> None:
        super().__init__()
        mapping = {"num_layers": 2, "w_avg_beta": 0.998, **options("mapping_kwargs", mapping_kwargs, defaults(Mapping))}
        usual = defaults(Synthesis)
        synthesis = usual | options("a StyleGAN3", synthesis, usual)
        del self.settings["synthesis"]  # a file keeps these beside the others
        self.settings |= {"mapping_kwargs": mapping, **synthesis}
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = Synthesis(w_dim, img_resolution, img_channels, **synthesis)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, **mapping)

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool = False,
        noise_mode: str = "none",
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """z [N, z_dim] from N(0, 1), c [N, c_dim] one-hot or None -> pictures [N, img_channels, R, R], about [-1, 1].

        The other arguments are those of `Mapping.forward` and `Synthesis.forward`.
        """
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff, update_emas)
        return self.synthesis(ws, noise_mode=noise_mode, update_emas=update_emas, dtype=dtype)


def _check(img_resolution: int, num_layers: int, num_critical: int, first_cutoff: float, conv_kernel: int) -> None:
    if not isinstance(img_resolution, int) or img_resolution < 16 or img_resolution & (img_resolution - 1):
        raise InputError(f"img_resolution={img_resolution}: StyleGAN3 makes pictures of 16, 32, 64, ... pixels")
    if not 0 <= num_critical < num_layers:
        raise InputError(f"num_critical={num_critical}: it is less than num_layers={num_layers}")
    if not 0 < first_cutoff <= img_resolution / 2:
        raise InputError(f"first_cutoff={first_cutoff}: it lies between 0 and half the resolution, {img_resolution / 2:g}")
    if conv_kernel not in (1, 3):
        raise InputError(f"conv_kernel={conv_kernel}: 3 (-T) or 1 (-R)")
