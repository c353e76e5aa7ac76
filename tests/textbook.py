"""Every operator of facegen.models.layers in its textbook form: slow in places, short, and plainly what the papers say.

An oracle for the tests and the other side of the bench. The names and signatures are those of facegen.models.layers, so a
network runs on these when its module's names are patched. Sources: Karras et al. 2020, "Analyzing and Improving the Image
Quality of StyleGAN" (arXiv:1912.04958), section 2 and appendix B; Karras et al. 2021, "Alias-Free Generative Adversarial
Networks" (arXiv:2106.12423), section 3 and appendix C; for the windowed filters Kaiser's formulas as in Oppenheim and
Schafer, "Discrete-Time Signal Processing", section 7.5.

Nothing here is tuned, and nothing is made slow on purpose either: a resampling convolution is a strided or a transposed
convolution beside a depthwise FIR filter, and a modulated convolution is one grouped convolution, as usually written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Size = int | Sequence[int]

# name -> (function of x and alpha, default alpha, default gain)
ACTIVATIONS = {
    "linear": (lambda x, alpha: x, 0.0, 1.0),
    "relu": (lambda x, alpha: F.relu(x), 0.0, math.sqrt(2)),
    "lrelu": (lambda x, alpha: F.leaky_relu(x, alpha), 0.2, math.sqrt(2)),
    "tanh": (lambda x, alpha: torch.tanh(x), 0.0, 1.0),
    "sigmoid": (lambda x, alpha: torch.sigmoid(x), 0.0, 1.0),
    "elu": (lambda x, alpha: F.elu(x), 0.0, 1.0),
    "selu": (lambda x, alpha: F.selu(x), 0.0, 1.0),
    "softplus": (lambda x, alpha: F.softplus(x), 0.0, 1.0),
    "swish": (lambda x, alpha: torch.sigmoid(x) * x, 0.0, math.sqrt(2)),
}


def pair(value: Size) -> tuple[int, int]:
    """An integer, or (x, y), as (x, y)."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def four(padding: Size) -> tuple[int, int, int, int]:
    """An integer, (x, y) or (x0, x1, y0, y1), as the last."""
    if isinstance(padding, int):
        return (padding,) * 4
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    return tuple(padding)


def taps(f: Tensor | None) -> tuple[int, int]:
    """Width and height of a filter; no filter is one tap."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def setup_filter(
    f: Tensor | Sequence | None,
    *,
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:
    """A filter as a float32 tensor: from eight taps on it stays one-dimensional, shorter ones become an outer product."""
    f = torch.as_tensor(1.0 if f is None else f, dtype=torch.float32)
    f = f[None] if f.ndim == 0 else f
    separable = (f.ndim == 1 and f.numel() >= 8) if separable is None else separable
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(list(range(f.ndim)))
    return f * gain ** (f.ndim / 2)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    *,
    up: Size = 1,
    down: Size = 1,
    padding: Size = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad or crop, convolve every channel with f, keep every n-th sample. [N, C, H, W] -> [N, C, H', W']."""
    (up_x, up_y), (down_x, down_y), (x0, x1, y0, y1) = pair(up), pair(down), four(padding)
    N, C, H, W = x.shape
    x = x.reshape(N, C, H, 1, W, 1)
    x = F.pad(x, [0, up_x - 1, 0, 0, 0, up_y - 1]).reshape(N, C, H * up_y, W * up_x)  # zeros follow each sample
    x = F.pad(x, [x0, x1, y0, y1])  # a negative number crops
    f = (torch.ones(1, 1, device=x.device) if f is None else f).to(x.dtype)
    f = f * gain ** (f.ndim / 2)
    if not flip_filter:  # conv2d correlates; a filter convolves
        f = f.flip(list(range(f.ndim)))
    for kernel in [f] if f.ndim == 2 else [f[None, :], f[:, None]]:
        x = F.conv2d(x, kernel.expand(C, 1, *kernel.shape), groups=C)
    return x[:, :, ::down_y, ::down_x]


def filter2d(x: Tensor, f: Tensor | None, *, padding: Size = 0, flip_filter: bool = False, gain: float = 1.0) -> Tensor:
    """Filter and keep the size; `padding` is added to that."""
    (w, h), (x0, x1, y0, y1) = taps(f), four(padding)
    around = [x0 + w // 2, x1 + (w - 1) // 2, y0 + h // 2, y1 + (h - 1) // 2]
    return upfirdn2d(x, f, padding=around, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, f: Tensor | None, *, up: Size = 2, padding: Size = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Make `up` times as large; the gain makes up for the zeros put in."""
    (up_x, up_y), (w, h), (x0, x1, y0, y1) = pair(up), taps(f), four(padding)
    around = [x0 + (w + up_x - 1) // 2, x1 + (w - up_x) // 2, y0 + (h + up_y - 1) // 2, y1 + (h - up_y) // 2]
    return upfirdn2d(x, f, up=up, padding=around, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor, f: Tensor | None, *, down: Size = 2, padding: Size = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Make `down` times as small."""
    (down_x, down_y), (w, h), (x0, x1, y0, y1) = pair(down), taps(f), four(padding)
    around = [x0 + (w - down_x + 1) // 2, x1 + (w - down_x) // 2, y0 + (h - down_y + 1) // 2, y1 + (h - down_y) // 2]
    return upfirdn2d(x, f, down=down, padding=around, flip_filter=flip_filter, gain=gain)


def resample_padding(padding: Size, f: Tensor | None, up: int, down: int) -> tuple[int, int, int, int]:
    """The caller's padding plus what keeps a resampling filter centred, at the rate after `up`."""
    (w, h), (x0, x1, y0, y1) = taps(f), four(padding)
    if up > 1:
        x0, x1, y0, y1 = x0 + (w + up - 1) // 2, x1 + (w - up) // 2, y0 + (h + up - 1) // 2, y1 + (h - up) // 2
    if down > 1:
        x0, x1, y0, y1 = x0 + (w - down + 1) // 2, x1 + (w - down) // 2, y0 + (h - down + 1) // 2, y1 + (h - down) // 2
    return x0, x1, y0, y1


def conv2d_resample_literal(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Size = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """Upsample with the filter, convolve, downsample with the filter: the definition, one line a step."""
    around = resample_padding(padding, f, up, down)
    x = upfirdn2d(x, f if up > 1 else None, up=up, padding=around, flip_filter=flip_filter, gain=up**2)
    x = F.conv2d(x, w if flip_weight else w.flip([2, 3]), groups=groups)
    return upfirdn2d(x, f if down > 1 else None, down=down, flip_filter=flip_filter)


def conv2d_resample(
    x: Tensor,
    w: Tensor,
    f: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Size = 0,
    groups: int = 1,
    flip_weight: bool = True,
    flip_filter: bool = False,
) -> Tensor:
    """The form everyone ships: the convolution works at the lower rate, stride and filter do the rest.

    x [N, I, H, W], w [O, I / groups, kh, kw]. Equal to `conv2d_resample_literal`, because a filter that acts on every
    channel alike commutes with a convolution.
    """
    x0, x1, y0, y1 = around = resample_padding(padding, f, up, down)
    kernel = w if flip_weight else w.flip([2, 3])
    kh, kw = w.shape[2:]
    if kh == kw == 1 and up == 1 and down > 1:
        return F.conv2d(upfirdn2d(x, f, down=down, padding=around, flip_filter=flip_filter), kernel, groups=groups)
    if kh == kw == 1 and up > 1 and down == 1:
        x = F.conv2d(x, kernel, groups=groups)
        return upfirdn2d(x, f, up=up, padding=around, flip_filter=flip_filter, gain=up**2)
    if up == 1 and down > 1:
        return F.conv2d(upfirdn2d(x, f, padding=around, flip_filter=flip_filter), kernel, stride=down, groups=groups)
    if up > 1:
        x = transposed_conv2d(x, kernel, up, groups)
        around = [x0 - (kw - 1), x1 - (kw - up), y0 - (kh - 1), y1 - (kh - up)]
        x = upfirdn2d(x, f, padding=around, flip_filter=flip_filter, gain=up**2)
        return upfirdn2d(x, f, down=down, flip_filter=flip_filter) if down > 1 else x
    if x0 == x1 and y0 == y1 and min(x0, y0) >= 0:
        return F.conv2d(x, kernel, padding=(y0, x0), groups=groups)
    return F.conv2d(F.pad(x, around), kernel, groups=groups)


def transposed_conv2d(x: Tensor, kernel: Tensor, stride: int, groups: int) -> Tensor:
    """Zeros between the samples, then the full correlation with `kernel` [O, I / groups, kh, kw]."""
    O, I, kh, kw = kernel.shape
    kernel = (
        kernel.flip([2, 3]).reshape(groups, O // groups, I, kh, kw).transpose(1, 2).reshape(groups * I, O // groups, kh, kw)
    )
    return F.conv_transpose2d(x, kernel, stride=stride, groups=groups)


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
    """Add a bias along `dim`, activate, scale, clamp to [-clamp, clamp]."""
    function, usual_alpha, usual_gain = ACTIVATIONS[act]
    if b is not None:
        x = x + b.reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    x = function(x, usual_alpha if alpha is None else alpha)
    x = x * (usual_gain if gain is None else gain)
    return x if clamp is None or clamp < 0 else x.clamp(-clamp, clamp)


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    *,
    demodulate: bool = True,
    up: int = 1,
    padding: Size = 0,
    resample_filter: Tensor | None = None,
    noise: Tensor | None = None,
    flip_weight: bool = True,
    input_gain: Tensor | None = None,
) -> Tensor:
    """Weights of their own for every sample, and one grouped convolution (Karras et al. 2020, equations 1 and 3).

    x [N, I, H, W], weight [O, I, k, k], styles [N, I] -> [N, O, H', W'].
    """
    N, I, H, W = x.shape
    O, _, kh, kw = weight.shape
    w = weight[None] * styles[:, None, :, None, None]  # [N, O, I, k, k]
    if demodulate:
        w = w * (w.square().sum([2, 3, 4], keepdim=True) + 1e-8).rsqrt()
    if input_gain is not None:
        w = w * input_gain.expand(I)[:, None, None]
    x, w = x.reshape(1, N * I, H, W), w.to(x.dtype).reshape(N * O, I, kh, kw)
    x = conv2d_resample(x, w, resample_filter, up=up, padding=padding, groups=N, flip_weight=flip_weight)
    x = x.reshape(N, O, *x.shape[2:])
    return x if noise is None else x + noise


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    *,
    up: int = 1,
    down: int = 1,
    padding: Size = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """Bias, upsample, leaky ReLU, clamp, downsample (Karras et al. 2021, section 3.2 and figure 4b)."""
    x = bias_act(x, b)
    x = upfirdn2d(x, fu, up=up, padding=padding, flip_filter=flip_filter, gain=up**2)
    x = bias_act(x, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return upfirdn2d(x, fd, down=down, flip_filter=flip_filter)


def kaiser_window(numtaps: int, width: float, fs: float) -> Tensor:
    """Kaiser's window for a transition band of `width`; float64 [numtaps]."""
    attenuation = 2.285 * (numtaps - 1) * math.pi * width / (fs / 2) + 7.95  # decibels
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    t = torch.linspace(-1, 1, numtaps, dtype=torch.float64)
    return torch.special.i0(beta * (1 - t**2).clamp(min=0).sqrt()) / torch.special.i0(torch.tensor(beta, dtype=torch.float64))


def design_lowpass_filter(numtaps: int, cutoff: float, width: float, fs: float, *, radial: bool = False) -> Tensor | None:
    """A windowed sinc [numtaps], or a windowed jinc [numtaps, numtaps] when radial; float32, sum 1; None for one tap."""
    if numtaps == 1:
        return None
    window = kaiser_window(numtaps, width, fs)
    t = (torch.arange(numtaps, dtype=torch.float64) - (numtaps - 1) / 2) / fs  # seconds, if fs is in hertz
    if not radial:
        f = torch.sinc(2 * cutoff * t) * window
    else:
        r = torch.hypot(t[:, None], t[None, :])
        jinc = torch.special.bessel_j1(2 * math.pi * cutoff * r) / (math.pi * r)
        f = torch.where(r == 0, torch.tensor(cutoff, dtype=torch.float64), jinc) * torch.outer(window, window)
    return (f / f.sum()).float()


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """Largest difference over the largest magnitude that is wanted; infinite where a shape or a number is wrong."""
    if got.shape != wanted.shape or not bool(torch.isfinite(got).all()):
        return math.inf
    if wanted.numel() == 0:
        return 0.0
    difference = (got.detach().double().cpu() - wanted.detach().double().cpu()).abs().max().item()
    largest = wanted.detach().double().abs().max().item()
    return difference / largest if largest else (math.inf if difference else 0.0)
