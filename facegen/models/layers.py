"""The operators of StyleGAN2 and StyleGAN3 in plain PyTorch: resampling, modulated convolution, filtered leaky ReLU.

Four rewritings make them fast without a compiled extension. None of them changes a result by more than rounding.

- Up-sampling never stores the zeros that it inserts: a transposed depthwise convolution does without them, and so do short
  convolutions, one for each phase between two zeros. Down-sampling computes only the samples that it keeps (`upfirdn2d`).
- Resampling is linear. Its gradient is the transposed operator, which is the same operator with "up" and "down" exchanged,
  and so is its second derivative; nothing needs to be saved for either.
- Modulating the weights by each sample's style and convolving sample by sample is the same as scaling the input's
  channels, convolving all samples with one weight, and scaling the output's channels (`modulated_conv2d`).
- Where it is faster, channels lie side by side in memory: one instruction then filters sixteen of them (`fast_layout`).

Pictures and features are [N, C, H, W]; the memory layout of x is kept. Sources: Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN" (arXiv:1912.04958), and Karras et al. 2021, "Alias-Free Generative
Adversarial Networks" (arXiv:2106.12423).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facegen.files import InputError

# -- filters


def setup_filter(
    f: Sequence | Tensor | None,
    *,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:
    """A FIR filter as the other functions here take it, from numbers such as [1, 3, 3, 1].

    Args:
        f: [K] or [Kh, Kw] filter taps; None is the single tap 1.
        normalize: divide by the sum, so that a constant picture keeps its value.
        flip_filter: turn it round; convolution then becomes correlation.
        gain: factor on the picture; a separable filter carries its root, because it is applied twice.
        separable: keep a [K] filter as it is instead of its outer product; default: where K is 8 or more.

    Returns:
        float32 [K] or [Kh, Kw].
    """
    taps = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    if taps.ndim > 2 or taps.numel() == 0:
        raise InputError(f"a filter has one or two axes and at least one tap, not the shape {list(taps.shape)}")
    taps = taps.reshape(1) if taps.ndim == 0 else taps
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= 8
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if normalize:
        taps = taps / taps.sum()
    if flip_filter:
        taps = taps.flip(list(range(taps.ndim)))
    return taps * gain ** (taps.ndim / 2)


def design_lowpass_filter(numtaps: int, cutoff: float, width: float, fs: float, *, radial: bool = False) -> Tensor | None:
    """A Kaiser-windowed low-pass filter: sinc along each axis, or jinc over the plane (Karras et al. 2021,
    appendices C.1 to C.4).

    Args:
        numtaps: filter length n in samples; 1 means no filter.
        cutoff: f_c, where half of the amplitude passes, in the units of `fs`.
        width: width of the transition band (twice the paper's half-width f_h), in the units of `fs`.
        fs: sampling rate.
        radial: [n, n] with the same response in every direction, for a rotation-equivariant network; otherwise [n].

    Returns:
        float32 filter whose taps sum to one, or None for numtaps 1.
    """
    if numtaps == 1:
        return None
    # Kaiser's formulas: n taps with a transition of `width` reach an attenuation A in dB, and A gives the window's beta.
    attenuation = 2.285 * (numtaps - 1) * math.pi * width / (fs / 2) + 7.95
    window = np.kaiser(numtaps, _kaiser_beta(attenuation))
    t = (np.arange(numtaps) - (numtaps - 1) / 2) / fs  # tap positions around the centre
    if radial:
        r = np.hypot(t[:, None], t[None, :])
        u = torch.as_tensor(2 * math.pi * cutoff * r, dtype=torch.float64, device="cpu")
        bessel = torch.special.bessel_j1(u).numpy()
        # The Fourier transform of a disc: f_c J1(2 pi f_c r) / r; at r = 0 its limit is pi f_c^2.
        taps = np.where(r > 0, cutoff * bessel / np.where(r > 0, r, 1), math.pi * cutoff**2) * np.outer(window, window)
    else:
        taps = np.sinc(2 * cutoff * t) * window
    return torch.as_tensor(taps / taps.sum(), dtype=torch.float32)


def _kaiser_beta(attenuation: float) -> float:
    """Kaiser's fit of the window's shape to the attenuation wanted in its stop band, in dB."""
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    if attenuation > 21:
        return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    return 0.0


# -- up-sample, filter, down-sample


class _Axis(NamedTuple):
    """What happens along one axis: `size` samples become `out`; tap k of output o meets input (o * down + k - pad) / up."""

    up: int
    down: int
    pad: int
    size: int
    out: int

    def transposed(self, taps: int) -> _Axis:
        """The axis of the transposed operator, which takes the taps in reverse order."""
        return _Axis(self.down, self.up, taps - 1 - self.pad, self.out, self.size)

    def without_down(self) -> _Axis:
        """Before the subsampling: as many samples as it takes to keep every down-th."""
        return self._replace(down=1, out=(self.out - 1) * self.down + 1)

    def phase(self, first: int) -> _Axis:
        """The outputs first, first + up, ... alone: they meet every input with taps (pad - first) % up, + up, ..."""
        return _Axis(1, 1, (self.pad - first) // self.up, self.size, (self.out - first + self.up - 1) // self.up)


class _Resample(torch.autograd.Function):
    """Resampling as a linear operator: its backward pass is itself, transposed, so nothing needs to be saved."""

    @staticmethod
    def forward(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # x's type decides
            return _correlate(x, taps.to(x.dtype), vertical, horizontal)

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: Tensor) -> None:
        _, ctx.taps, ctx.vertical, ctx.horizontal = inputs

    @staticmethod
    def backward(ctx, grad: Tensor):
        kh, kw = ctx.taps.shape
        vertical, horizontal = ctx.vertical.transposed(kh), ctx.horizontal.transposed(kw)
        return _Resample.apply(grad, ctx.taps.flip([0, 1]), vertical, horizontal), None, None, None


def _correlate(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
    """[N, C, H, W] -> [N, C, vertical.out, horizontal.out] with taps [kh, kw]."""
    up, down = (vertical.up, horizontal.up), (vertical.down, horizontal.down)
    if up == (1, 1):
        return _strided(x, taps, vertical, horizontal)
    if down != (1, 1):  # no layer of either network does both at once
        y = _correlate(x, taps, vertical.without_down(), horizontal.without_down())
        return y[:, :, :: down[0], :: down[1]].contiguous(memory_format=_layout(x))
    # oneDNN has no fast transposed convolution in half precision on a CPU.
    if x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16):
        return _by_phases(x, taps, vertical, horizontal)
    return _transposed(x, taps, vertical, horizontal)


def _strided(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
    """Down-sampling: the stride computes only the samples that are kept."""
    axes = (vertical, horizontal)
    before = [a.pad for a in axes]
    after = [(a.out - 1) * a.down + k - a.size - a.pad for a, k in zip(axes, taps.shape)]
    # Samples at the far end that no output needs may stay where the stride steps over them.
    after = [0 if -a.down < p < 0 else p for a, p in zip(axes, after)]
    if before != after or min(before) < 0:
        x, before = F.pad(x, (before[1], after[1], before[0], after[0])), [0, 0]
    stride = [a.down for a in axes]
    return F.conv2d(x, _depthwise(taps, x), stride=stride, padding=before, groups=x.shape[1])


def _transposed(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
    """Up-sampling: a transposed convolution spreads every input over the outputs that it reaches, without the zeros."""
    padding, far_end, zeros = [], [], []
    for axis, k in zip((vertical, horizontal), taps.shape):
        # It yields (size - 1) * up + k samples; so many too many lie before the first that is wanted and after the last.
        before = k - 1 - axis.pad
        after = (axis.size - 1) * axis.up + k - before - axis.out
        # conv_transpose2d crops both ends alike, or up to `up` - 1 less at the far one. Zero taps make any pair fit that:
        # one behind the last tap adds a sample before the first, one in front of the first tap adds one after the last.
        crop = max(before, after, 0)
        less = min(crop - after, axis.up - 1)
        zeros = [crop - less - after, crop - before, *zeros]
        padding.append(crop)
        far_end.append(less)
    taps = F.pad(taps, zeros).flip([0, 1]) if any(zeros) else taps.flip([0, 1])
    stride = [vertical.up, horizontal.up]
    return F.conv_transpose2d(x, _depthwise(taps, x), None, stride, padding, far_end, groups=x.shape[1])


def _by_phases(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
    """Up-sampling: every up-th output comes from the same few taps, so short convolutions, interleaved, make them all."""
    size = (*x.shape[:2], vertical.out, horizontal.out)
    y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=_layout(x))
    for i in range(min(vertical.up, vertical.out)):
        for j in range(min(horizontal.up, horizontal.out)):
            part = taps[(vertical.pad - i) % vertical.up :: vertical.up, (horizontal.pad - j) % horizontal.up :: horizontal.up]
            phases = (vertical.phase(i), horizontal.phase(j))
            # Where more zeros are inserted than there are taps, no tap meets an input.
            made = _centred(x, part, *phases) if part.numel() else x.new_zeros(())
            y[:, :, i :: vertical.up, j :: horizontal.up] = made
    return y


def _centred(x: Tensor, taps: Tensor, vertical: _Axis, horizontal: _Axis) -> Tensor:
    """Plain filtering with the same padding at both ends, of which the outputs that are wanted are a view."""
    axes = (vertical, horizontal)
    wide = [max(a.pad, a.out - 1 + k - a.size - a.pad, 0) for a, k in zip(axes, taps.shape)]
    y = F.conv2d(x, _depthwise(taps, x), padding=wide, groups=x.shape[1])
    first, left = (w - a.pad for a, w in zip(axes, wide))
    return y[:, :, first : first + vertical.out, left : left + horizontal.out]


def _depthwise(taps: Tensor, x: Tensor) -> Tensor:
    """[kh, kw] -> the weight [C, 1, kh, kw] that filters each channel of x alone, in x's layout."""
    weight = taps.expand(x.shape[1], 1, *taps.shape)
    return weight.contiguous(memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format


def _pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    x, y = (value, value) if isinstance(value, Integral) else value
    if min(x, y) < 1:
        raise InputError(f"{name}={value}: the factors along x and y are 1 or more")
    return int(x), int(y)


def _padding(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """int, [x, y] or [x before, x after, y before, y after] -> the last of these."""
    values = [padding] * 4 if isinstance(padding, Integral) else list(padding)
    if len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    if len(values) != 4:
        raise InputError(f"padding={padding}: give one number, two [x, y] or four [x before, x after, y before, y after]")
    return tuple(int(v) for v in values)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    *,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter, keep every n-th sample: all resampling in StyleGAN (Karras et al. 2020, appendix B).

    Args:
        x: [N, C, H, W].
        f: filter [K] (applied along both axes), [Kh, Kw], or None for the single tap 1; see `setup_filter`.
        up: each sample is followed by up - 1 zeros; one number or [x, y].
        down: of the filtered samples every down-th is kept; one number or [x, y].
        padding: zeros around the up-sampled picture, one number, [x, y] or [x before, x after, y before, y after];
            negative numbers crop.
        flip_filter: False is a convolution, True a correlation.
        gain: factor on the result.

    Returns:
        [N, C, H', W'] with H' = (H * up + padding - Kh) // down + 1, likewise W'.

    No gradient reaches the filter: it is a constant of the architecture.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(f"x is {x.dtype} of the shape {list(x.shape)}: resampling takes floating-point pictures [N, C, H, W]")
    (up_x, up_y), (down_x, down_y) = _pair(up, "up"), _pair(down, "down")
    left, right, top, bottom = _padding(padding)
    kw, kh = _filter_size(f)
    h, w = x.shape[2] * up_y + top + bottom, x.shape[3] * up_x + left + right
    if h < kh or w < kw:
        raise InputError(f"the padded picture is {h}x{w}, smaller than the filter of {kh}x{kw}")
    if f is None and up_x == up_y == down_x == down_y == 1:
        x = F.pad(x, (left, right, top, bottom)) if any((left, right, top, bottom)) else x
        return x * gain if gain != 1 else x
    work = torch.float64 if x.dtype == torch.float64 else torch.float32
    f = torch.ones(1, 1, device=x.device, dtype=work) if f is None else f.detach().to(work)
    f = f if flip_filter else f.flip(list(range(f.ndim)))  # a convolution is a correlation with the filter turned round
    vertical = _Axis(up_y, down_y, top, x.shape[2], (h - kh) // down_y + 1)
    horizontal = _Axis(up_x, down_x, left, x.shape[3], (w - kw) // down_x + 1)
    if f.ndim == 2:
        return _Resample.apply(x, f * gain, vertical, horizontal)
    # Along one axis, then the other; `still` is the axis that waits.
    still = _Axis(1, 1, 0, x.shape[3], x.shape[3])
    x = _Resample.apply(x, f[:, None] * gain, vertical, still)
    return _Resample.apply(x, f[None, :], still._replace(size=x.shape[2], out=x.shape[2]), horizontal)


def _filter_size(f: Tensor | None) -> tuple[int, int]:
    """(width, height) in taps."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def _add(padding: int | Sequence[int], extra: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return tuple(a + b for a, b in zip(_padding(padding), extra))


def filter2d(x: Tensor, f: Tensor, *, padding: int | Sequence[int] = 0, flip_filter: bool = False, gain: float = 1.0) -> Tensor:
    """Filter a picture [N, C, H, W] without changing its size; `padding` is added to what that needs. See `upfirdn2d`."""
    fw, fh = _filter_size(f)
    extra = (fw // 2, (fw - 1) // 2, fh // 2, (fh - 1) // 2)
    return upfirdn2d(x, f, padding=_add(padding, extra), flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor,
    f: Tensor,
    *,
    up: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """[N, C, H, W] -> [N, C, H * up, W * up]; brightness is kept although zeros are inserted. See `upfirdn2d`."""
    up_x, up_y = _pair(up, "up")
    fw, fh = _filter_size(f)
    extra = ((fw + up_x - 1) // 2, (fw - up_x) // 2, (fh + up_y - 1) // 2, (fh - up_y) // 2)
    return upfirdn2d(x, f, up=up, padding=_add(padding, extra), flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor,
    f: Tensor,
    *,
    down: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """[N, C, H, W] -> [N, C, H / down, W / down]: filter, then keep every down-th sample. See `upfirdn2d`."""
    down_x, down_y = _pair(down, "down")
    fw, fh = _filter_size(f)
    extra = ((fw - down_x + 1) // 2, (fw - down_x) // 2, (fh - down_y + 1) // 2, (fh - down_y) // 2)
    return upfirdn2d(x, f, down=down, padding=_add(padding, extra), flip_filter=flip_filter, gain=gain)


# -- convolution


def fast_layout(x: Tensor, kernel_size: int = 3) -> Tensor:
    """x [N, C, H, W] in the memory layout in which the layers are fastest; the values stay.

    channels_last is faster in half precision, and on a CPU for filters in any precision. oneDNN's float32 gradients of
    convolutions are slower with it, up to twice, so a CPU that trains 3x3 kernels in float32 keeps planar memory.
    """
    half = x.dtype in (torch.float16, torch.bfloat16)
    on_cpu = x.device.type == "cpu" and not (torch.is_grad_enabled() and kernel_size > 1)
    return x.contiguous(memory_format=torch.channels_last if half or on_cpu else torch.contiguous_format)


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Convolution with low-pass filtered up- or down-sampling (Karras et al. 2020, appendix B).

    The definition is: insert zeros and filter with f (if up > 1), convolve with w, filter with f and subsample (if
    down > 1). The filter commutes with the convolution, so each case runs where the fewest multiplications are.

    Args:
        x: [N, C, H, W].
        w: weight [O, C // groups, kh, kw].
        f: filter from `setup_filter`, or None.
        up, down: resampling factors.
        padding: around the up-sampled picture, as in `upfirdn2d`; with k // 2 the picture keeps its size times up / down.
        groups: of the convolution.
        flip_weight: True is a correlation, as in torch.nn.Conv2d; False a convolution.
        flip_filter: the same for f: False is a convolution.

    Returns:
        [N, O, H', W'].
    """
    if not isinstance(up, Integral) or not isinstance(down, Integral) or min(up, down) < 1:
        raise InputError(f"up={up}, down={down}: a convolution resamples both axes alike, by whole numbers from 1")
    fw, fh = _filter_size(f)
    pads = _padding(padding)
    if up > 1:
        pads = _add(pads, ((fw + up - 1) // 2, (fw - up) // 2, (fh + up - 1) // 2, (fh - up) // 2))
    if down > 1:
        pads = _add(pads, ((fw - down + 1) // 2, (fw - down) // 2, (fh - down + 1) // 2, (fh - down) // 2))
    one_by_one = w.shape[2:] == (1, 1)

    if up > 1:
        if one_by_one:  # mix the channels while the picture is small
            x = _convolve(x, w, groups=groups)
        else:  # the stride of a transposed convolution inserts the zeros without storing them
            x = _convolve_transposed(x, w.flip([2, 3]) if flip_weight else w, stride=up, groups=groups)
            # It has padded by kernel - 1 and left the last up - 1 zeros out: the filter's padding makes up for both.
            kh, kw = w.shape[2:]
            pads = _add(pads, (1 - kw, up - kw, 1 - kh, up - kh))
        x = upfirdn2d(x, f, up=up if one_by_one else 1, padding=pads, flip_filter=flip_filter, gain=up**2)
        return x if down == 1 else upfirdn2d(x, f, down=down, flip_filter=flip_filter)
    w = w if flip_weight else w.flip([2, 3])
    if down > 1:
        # The filter needs all samples; the convolution only those that are kept.
        x = upfirdn2d(x, f, down=down if one_by_one else 1, padding=pads, flip_filter=flip_filter)
        return _convolve(x, w, stride=1 if one_by_one else down, groups=groups)
    left, right, top, bottom = pads
    if left == right >= 0 and top == bottom >= 0:
        return _convolve(x, w, padding=(top, left), groups=groups)
    return _convolve(F.pad(x, pads), w, groups=groups)


def _convolve(x: Tensor, w: Tensor, *, stride: int = 1, padding: int | tuple[int, int] = 0, groups: int = 1) -> Tensor:
    return F.conv2d(x, w.to(x.dtype), stride=stride, padding=padding, groups=groups)


def _convolve_transposed(x: Tensor, w: Tensor, *, stride: int, groups: int) -> Tensor:
    """conv_transpose2d with the weight in conv2d's order [O, C // groups, kh, kw]."""
    o, c, kh, kw = w.shape
    swapped = w.reshape(groups, o // groups, c, kh, kw).transpose(1, 2).reshape(groups * c, o // groups, kh, kw)
    return F.conv_transpose2d(x, swapped.to(x.dtype), stride=stride, groups=groups)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    padding: int | Sequence[int] = 0,
    resample_filter: Tensor | None = None,
    noise: Tensor | None = None,
    flip_weight: bool = True,
    input_gain: Tensor | None = None,
) -> Tensor:
    """Convolution whose weights depend on each sample's style (Karras et al. 2020, section 2.2, equations 1 and 3).

    The paper scales the weights, w'[o, i, k] = s[i] w[o, i, k], and normalises each output channel by
    d[o] = 1 / sqrt(sum over i, k of w'[o, i, k]^2 + 1e-8). A convolution is linear in w, so s may scale the input's
    channels and d the output's: one convolution then serves the whole batch. For 1x1 kernels the weights are smaller
    than the features, and the paper's form is the cheaper one.

    Args:
        x: [N, C, H, W].
        weight: [O, C, kh, kw].
        styles: s, [N, C].
        demodulate: apply d.
        up: up-sampling factor, with `resample_filter` against aliases.
        padding: as in `conv2d_resample`.
        noise: added to the result: [N, 1, H', W'], [H', W'] or [].
        flip_weight: True is a correlation, as in torch.nn.Conv2d.
        input_gain: [] or [C], further factors on the input (StyleGAN3's inverse magnitudes), after demodulation.

    Returns:
        [N, O, H', W'] in x's type.
    """
    n, o = len(x), len(weight)
    if x.dtype == torch.float16 and demodulate:  # keep products within half precision's range; demodulation undoes it
        weight = weight / weight.norm(float("inf"), dim=[1, 2, 3], keepdim=True).clamp_min(1e-8)
        styles = styles / styles.norm(float("inf"), dim=1, keepdim=True).clamp_min(1e-8)
    scale = None
    if demodulate:
        squares = weight.square().sum(dim=[2, 3])  # [O, C]; the sum over the kernel does not depend on the sample
        scale = (styles.square() @ squares.T.to(styles.dtype) + 1e-8).rsqrt()  # d [N, O]
    if input_gain is not None:
        styles = styles * input_gain
    if weight.shape[2:] == (1, 1) and up == 1 and _padding(padding) == (0, 0, 0, 0):
        mixed = weight[:, :, 0, 0] * styles[:, None, :]  # [N, O, C]
        mixed = mixed if scale is None else mixed * scale[:, :, None]
        y = _mix_channels(x, mixed)
    else:
        x = x * styles.to(x.dtype)[:, :, None, None]
        y = conv2d_resample(x, weight, resample_filter, up=up, padding=padding, flip_weight=flip_weight)
        if scale is not None:
            scale = scale.to(y.dtype).reshape(n, o, 1, 1)
            return y * scale if noise is None else torch.addcmul(noise.to(y.dtype), y, scale)
    return y if noise is None else y + noise.to(y.dtype)


def _mix_channels(x: Tensor, mixed: Tensor) -> Tensor:
    """A 1x1 convolution with weights [N, O, C] of each sample's own: one matrix product per sample."""
    n, c, h, w = x.shape
    if mixed.shape[1] > 4 and x.is_contiguous(memory_format=torch.channels_last):
        y = x.permute(0, 2, 3, 1).reshape(n, h * w, c) @ mixed.mT.to(x.dtype)  # [N, HW, O]
        return y.reshape(n, h, w, mixed.shape[1]).permute(0, 3, 1, 2)
    # A picture of few channels is wanted plane by plane.
    return (mixed.to(x.dtype) @ x.reshape(n, c, h * w)).reshape(n, mixed.shape[1], h, w)


# -- activation

# Name: the function, its usual gain (which keeps a unit variance about one), its usual slope.
_ACTIVATIONS = {
    "linear": (lambda x, _: x, 1.0, 0.0),
    "relu": (lambda x, _: F.relu(x), math.sqrt(2), 0.0),
    "lrelu": (lambda x, alpha: F.leaky_relu(x, alpha), math.sqrt(2), 0.2),
    "tanh": (lambda x, _: torch.tanh(x), 1.0, 0.0),
    "sigmoid": (lambda x, _: torch.sigmoid(x), 1.0, 0.0),
    "elu": (lambda x, _: F.elu(x), 1.0, 0.0),
    "selu": (lambda x, _: F.selu(x), 1.0, 0.0),
    "softplus": (lambda x, _: F.softplus(x), 1.0, 0.0),
    "swish": (lambda x, _: torch.sigmoid(x) * x, math.sqrt(2), 0.0),
}
ACTIVATIONS = tuple(_ACTIVATIONS)


def activation_gain(act: str) -> float:
    """The gain that `bias_act` uses for an activation unless told otherwise."""
    if act not in _ACTIVATIONS:
        raise InputError(f"activation {act!r} is not known: choose one of {', '.join(ACTIVATIONS)}")
    return _ACTIVATIONS[act][1]


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    *,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """clamp(gain * act(x + b)): what follows every layer of both StyleGANs.

    Args:
        x: any shape.
        b: bias, as long as x along `dim`.
        act: one of ACTIVATIONS.
        alpha: slope of "lrelu" for negative inputs, 0.2 unless given.
        gain: factor on the result; by default the activation's own, sqrt(2) for relu, lrelu and swish, else 1.
        clamp: the result stays within [-clamp, clamp].
    """
    gain = activation_gain(act) if gain is None else gain
    function, _, usual_alpha = _ACTIVATIONS[act]
    alpha = usual_alpha if alpha is None else alpha
    if b is not None:
        b = b.to(x.dtype).reshape([-1 if axis == dim % x.ndim else 1 for axis in range(x.ndim)])
    if act in ("linear", "relu", "lrelu") and gain > 0:
        # These commute with a positive factor, so bias and gain take one pass over x instead of two.
        x = _scale_shift(x, gain, b)
        x = function(x, alpha)
    else:
        x = function(x if b is None else x + b, alpha)
        x = x * gain if gain != 1 else x
    return x if clamp is None else x.clamp(-clamp, clamp)


def _scale_shift(x: Tensor, gain: float, b: Tensor | None) -> Tensor:
    """gain * (x + b)"""
    if b is None:
        return x if gain == 1 else x * gain
    return x + b if gain == 1 else torch.add(b * gain, x, alpha=gain)


def _within(x: Tensor, low: float, high: float) -> bool:
    """Whether clamping would change nothing: cheaper to find out than to do, as long as no device has to be waited for."""
    if x.device.type != "cpu" or x.numel() == 0:
        return False
    # As one row: over a picture in channels_last order the reduction would make a copy first.
    least, most = (x.permute(0, 2, 3, 1) if _layout(x) == torch.channels_last else x).detach().flatten().aminmax()
    return bool(least >= low) and bool(most <= high)


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: int | Sequence[int] = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Leaky ReLU without aliases: bias, up-sample, leaky ReLU, down-sample (Karras et al. 2021, sections 2.1 and 3.2).

    A pointwise nonlinearity makes frequencies that the sampling grid cannot hold. It is therefore applied to a finer
    sampling of the signal, and the low-pass filter of the down-sampling removes what is new.

    Args:
        x: [N, C, H, W].
        fu, fd: filters of the up- and the down-sampling, [K] or [K, K], or None.
        b: bias [C].
        up, down: factors.
        padding: of the up-sampled picture, as in `upfirdn2d`.
        gain: factor on the activation.
        slope: for negative values.
        clamp: bound on the activation's absolute value, gain included, before the down-sampling.
        flip_filter: as in `upfirdn2d`, for both filters.

    Returns:
        [N, C, H', W'].
    """
    if b is not None:
        x = x + b.to(x.dtype).reshape(1, -1, 1, 1)
    y = upfirdn2d(x, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2)
    # The picture is largest here, so each pass counts: the leaky ReLU is increasing and commutes with a positive factor,
    # so the clamp may come before it with moved bounds, and the gain goes into the down-sampling filter.
    ours = y is not x  # else it is the caller's, and must stay as it is
    if clamp is not None:
        low, high = -clamp / (gain * slope) if slope > 0 else -math.inf, clamp / gain
        if not _within(y, low, high):
            y, ours = (y.clamp_ if ours and not y.requires_grad else y.clamp)(low, high), True
    y = F.leaky_relu(y, slope, inplace=ours)
    return upfirdn2d(y, fd, down=down, flip_filter=flip_filter, gain=gain)
