"""Adaptive discriminator augmentation: how D learns from few pictures without learning them by heart.

Karras et al. 2020, "Training Generative Adversarial Networks with Limited Data" (arXiv:2006.06676), called the paper here.
D only ever sees augmented pictures, real and generated ones alike, each changed at random with probability p
(`AugmentPipe`). As long as p stays well below 1, what G learns stays unaugmented (the paper's section 2.2). A controller
raises p while D is too sure of the real pictures and lowers it otherwise (`AdaController`).

Three decisions make the pipeline fast without a compiled extension:

- What happens to each picture is drawn and worked out on the host, a few numbers per picture in float64. So the device is
  never waited for, a picture that nothing happens to costs nothing, and the same seed augments alike on every device
  (but for the noise).
- Low-pass filtering, resampling and reflection at the border are products with small matrices, which every device is good
  at. Only the part of the up-sampled picture that a transformation looks at is made.
- Every change is linear in the picture, plus at most a constant. Its gradient is the transposed operator, whose gradient is
  the operator again (`_Linear`), so derivatives of every order exist, and no pictures are stored for them.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.files import InputError
from facegen.training import processes

# -- wavelets

# Daubechies' least asymmetric orthogonal low-pass filters with 2 and 6 vanishing moments, decomposition side, which sum to the
# root of two. The first in closed form (Daubechies 1988, "Orthonormal bases of compactly supported wavelets"), the second
# with the digits of PyWavelets' documentation.
SYM2 = tuple(c / (4 * math.sqrt(2)) for c in (1 - math.sqrt(3), 3 - math.sqrt(3), 3 + math.sqrt(3), 1 + math.sqrt(3)))
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)

# Relative power of an ordinary picture in the four bands of `imgfilter`, from low to high: 1/f on average (appendix B).
_BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Mirror indices into 0 ... size - 1; the border pixel itself is not repeated: -1 is 1, `size` is size - 2."""
    period = max(2 * (size - 1), 1)
    index = index.remainder(period)
    return torch.where(index < size, index, period - index)


@functools.lru_cache(maxsize=16)
def _upsampling(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[6 size + 6, size]: mirrors a line of pixels once at either end and doubles its resolution with sym6.

    Row r is the sample r - (3 size + 2) half-pixels from the line's centre: tap 5, the largest, meets the pixel itself.
    """
    pixels = torch.arange(1 - size, 2 * size - 1)
    matrix = torch.zeros(6 * size + 6, size, dtype=torch.float64)
    for tap, value in enumerate(SYM6):
        rows = 2 * (pixels + size - 1) + tap
        matrix.index_put_((rows, _reflected(pixels, size)), torch.tensor(math.sqrt(2) * value, dtype=torch.float64), True)
    return matrix.to(device, dtype)


@functools.lru_cache(maxsize=16)
def _downsampling(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[size, 2 size + 10]: filters with sym6 the other way round and keeps every other sample: undoes `_upsampling`.

    Column k is the sample k - (size + 4) half-pixels from the line's centre.
    """
    matrix = torch.zeros(size, 2 * size + len(SYM6) - 2, dtype=torch.float64)
    for tap, value in enumerate(SYM6):
        matrix[torch.arange(size), 2 * torch.arange(size) + tap] = value / math.sqrt(2)
    return matrix.to(device, dtype)


@functools.lru_cache(maxsize=16)
def _band_filters(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[4, size, size]: keep one octave band of a line that is mirrored at its ends, from low to high; their sum is 1.

    The bands of an undecimated wavelet transform: sym2's half-band filter splits off the upper half, then, with zeros
    between its taps, the upper half of the rest, and so on.
    """
    taps = torch.tensor(SYM2, dtype=torch.float64)
    low = F.conv1d(taps[None, None], taps[None, None], padding=len(taps) - 1)[0, 0] / 2  # autocorrelation: no phase
    rest, bands = torch.ones(1, dtype=torch.float64), []
    for octave in range(len(_BAND_POWER) - 1):
        spread = torch.zeros((len(low) - 1) * 2**octave + 1, dtype=torch.float64)
        spread[:: 2**octave] = low
        lower = F.conv1d(rest[None, None], spread.flip(0)[None, None], padding=len(spread) - 1)[0, 0]
        bands.append(F.pad(rest, [(len(lower) - len(rest)) // 2] * 2) - lower)
        rest = lower
    bands = [F.pad(band, [(len(rest) - len(band)) // 2] * 2) for band in [rest, *bands[::-1]]]  # 43 taps each
    matrices, pixels = torch.zeros(len(bands), size, size, dtype=torch.float64), torch.arange(size)
    for band, matrix in zip(bands, matrices):
        for tap, value in enumerate(band):
            matrix.index_put_((pixels, _reflected(pixels + tap - len(band) // 2, size)), value, True)
    return matrices.to(device, dtype)


# -- linear operators on pictures


class _Maps(NamedTuple):
    """A linear map of pictures and its transposed map."""

    apply: Callable[[Tensor], Tensor]
    transposed: Callable[[Tensor], Tensor]


class _Linear(torch.autograd.Function):
    """maps.apply(x). The backward pass is the transposed map, and that one's backward pass is the map again."""

    @staticmethod
    def forward(ctx, x: Tensor, maps: _Maps) -> Tensor:
        ctx.maps = maps
        with torch.autocast(x.device.type, enabled=False):  # in the backward passes of every order too
            return maps.apply(x)

    @staticmethod
    def backward(ctx, grad: Tensor):
        return _Linear.apply(grad, _Maps(ctx.maps.transposed, ctx.maps.apply)), None


def _mapped(x: Tensor, chosen: list[int], maps: _Maps, plus: Tensor | float = 0.0) -> Tensor:
    """x [N, C, H, W] with the pictures of the S numbers in `chosen` replaced by their maps plus `plus`."""
    where = _to(chosen, x)
    return x.index_copy(0, where, _Linear.apply(x.index_select(0, where), maps) + plus)


def _sample(x: Tensor, grid: Tensor) -> Tensor:
    """Bilinear samples of x [N, C, H, W] at the places grid [N, H', W', 2] = (x, y), whose outer edges are -1 and 1.

    Outside of x is 0. Returns [N, C, H', W'].
    """
    if x.device.type in ("cpu", "cuda"):
        return F.grid_sample(x, grid, align_corners=False)
    return _gathered(x, grid)  # not every other device knows grid_sample's gradient


def _gathered(x: Tensor, grid: Tensor) -> Tensor:
    """`_sample` from elementary operations."""
    n, channels, height, width = x.shape
    x = F.pad(x, (1, 1, 1, 1)).flatten(2)  # zeros all around, where samples outside end up
    column = ((grid[..., 0] + 1) * width / 2 + 0.5).clamp(0, width + 1).flatten(1)
    row = ((grid[..., 1] + 1) * height / 2 + 0.5).clamp(0, height + 1).flatten(1)
    left, top = column.floor().clamp(max=width), row.floor().clamp(max=height)
    first = (top * (width + 2) + left).long()[:, None].expand(-1, channels, -1)
    across, down = (column - left)[:, None], (row - top)[:, None]
    upper = torch.lerp(x.gather(2, first), x.gather(2, first + 1), across)
    lower = torch.lerp(x.gather(2, first + width + 2), x.gather(2, first + width + 3), across)
    return torch.lerp(upper, lower, down).view(n, channels, *grid.shape[1:3])


def _sample_transposed(y: Tensor, grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Hands each sample of y [N, C, H', W'] back to the pixels that it came from: [N, C, *size]."""
    with torch.enable_grad():
        x = y.new_zeros(*y.shape[:2], *size).requires_grad_()
        return torch.autograd.grad(_sample(x, grid), x, y)[0]


def _copying(inverse: Tensor, x: Tensor) -> _Maps:
    """Flips, quarter turns and whole-pixel shifts: every pixel is a copy of one pixel, mirrored at the border.

    Args:
        inverse: [S, 2, 3] on the host; where each pixel comes from, (x, y) measured from the centre.
        x: pictures of the size and on the device in question, [N, C, H, W].
    """
    channels, height, width = x.shape[1:]
    centre = torch.tensor([width - 1, height - 1], dtype=torch.float64) / 2
    offset = inverse[:, :, 2] + centre - inverse[:, :, :2] @ centre
    numbers = _to(torch.cat([inverse[:, :, :2], offset[:, :, None]], dim=2).round().long(), x)
    (a, b, c), (d, e, f) = numbers[..., None, None].permute(1, 2, 0, 3, 4)  # each [S, 1, 1]
    across, down = torch.arange(width, device=x.device), torch.arange(height, device=x.device)[:, None]
    column, row = _reflected(a * across + b * down + c, width), _reflected(d * across + e * down + f, height)
    source = (row * width + column).flatten(1)[:, None].expand(-1, channels, -1)  # [S, C, H * W]

    def apply(x: Tensor) -> Tensor:
        return x.flatten(2).gather(2, source).view(x.shape)

    def transposed(y: Tensor) -> Tensor:
        return y.new_zeros(source.shape).scatter_add(2, source, y.flatten(2)).view(y.shape)

    return _Maps(apply, transposed)


class _Part(NamedTuple):
    """Pictures that are warped together, and the part of the up-sampled plane that their samples lie in."""

    pictures: slice
    rows: slice
    columns: slice
    affine: Tensor  # [s, 2, 3]: half-pixel from the centre of the result -> place in that part, -1 to 1


def _warping(inverse: Tensor, x: Tensor) -> tuple[list[int], _Maps]:
    """Affine warps that hardly blur and do not alias (appendix B, "Execute geometric transformations").

    The picture is mirrored once at each border (0, mid-grey, beyond), doubled in resolution with sym6, sampled bilinearly, and
    brought back with sym6.

    Args:
        inverse: [S, 2, 3] on the host; where each pixel comes from, (x, y) measured from the centre.
        x: pictures of the size and on the device in question, [N, C, H, W].

    Returns:
        An order of the S pictures, and the maps for pictures in that order.
    """
    height, width = x.shape[2:]
    order, parts = _parts(inverse, height, width, budget=2**18 if x.device.type == "cpu" else 2**28)
    parts = [part._replace(affine=_to(part.affine, x)) for part in parts]
    up_y, up_x = (_upsampling(size, x.device, x.dtype) for size in (height, width))
    down_y, down_x = (_downsampling(size, x.device, x.dtype) for size in (height, width))

    def grid(part: _Part) -> Tensor:
        places = torch.empty(len(part.affine), down_y.shape[1], down_x.shape[1], 2, device=x.device, dtype=x.dtype)
        across, down = (torch.arange(-size - 4, size + 6, device=x.device, dtype=x.dtype) for size in (width, height))
        a, b, c = part.affine[..., None].unbind(2)  # each [s, 2, 1]
        for axis in range(2):
            along, still = a[:, axis] * across, b[:, axis] * down + c[:, axis]
            torch.add(along[:, None, :], still[:, :, None], out=places[..., axis])
        return places

    def apply(x: Tensor) -> Tensor:
        done = []
        for part in parts:
            plane = up_y[part.rows] @ (x[part.pictures] @ up_x[part.columns].T)
            done.append(down_y @ _sample(plane, grid(part)) @ down_x.T)
        return torch.cat(done)

    def transposed(y: Tensor) -> Tensor:
        done = []
        for part in parts:
            size = (part.rows.stop - part.rows.start, part.columns.stop - part.columns.start)
            plane = _sample_transposed(down_y.T @ y[part.pictures] @ down_x, grid(part), size)
            done.append(up_y[part.rows].T @ plane @ up_x[part.columns])
        return torch.cat(done)

    return order.tolist(), _Maps(apply, transposed)


def _parts(inverse: Tensor, height: int, width: int, budget: int) -> tuple[Tensor, list[_Part]]:
    """Order S pictures by how much of the plane each needs, and divide them into parts of at most `budget` numbers."""
    # In half-pixels from the centre the linear part is the same and the shift is twice as long.
    inverse = torch.cat([inverse[:, :, :2], 2 * inverse[:, :, 2:]], dim=2)
    size = torch.tensor([width, height])
    first, last = -size - 4.0, size + 5.0  # what `_downsampling` takes in
    corners = torch.stack([torch.stack([x, y, torch.ones(())]) for x in (first[0], last[0]) for y in (first[1], last[1])])
    reach = corners.double() @ inverse.transpose(1, 2)  # [S, 4, 2]
    edges = -3 * size - 2, 3 * size + 4  # of what `_upsampling` makes
    low = (reach.amin(1).floor() - 1).long().clamp(edges[0], edges[1] - 1)
    high = (reach.amax(1).ceil() + 2).long().clamp(low + 1, edges[1])
    order = (high - low).prod(1).argsort()
    parts, start = [], 0
    while start < len(order):
        lows, highs = low[order[start:]].cummin(0).values, high[order[start:]].cummax(0).values
        areas = (highs - lows).prod(1) * 3 * torch.arange(1, len(lows) + 1)
        count = max(1, int((areas <= budget).sum()))
        lo, hi = lows[count - 1], highs[count - 1]
        affine = inverse[order[start : start + count]].clone()
        affine[:, :, 2] += 0.5 - lo
        affine *= 2 / (hi - lo).double()[:, None]
        affine[:, :, 2] -= 1
        columns, rows = (slice(a, b) for a, b in zip((lo - edges[0]).tolist(), (hi - edges[0]).tolist()))
        parts.append(_Part(slice(start, start + count), rows, columns, affine))
        start += count
    return order, parts


def _recolouring(matrix: Tensor) -> _Maps:
    """Multiply each pixel's colour by its picture's [S, 3, 3]."""

    def product(m: Tensor, x: Tensor) -> Tensor:
        return (m @ x.flatten(2)).view(x.shape)

    return _Maps(functools.partial(product, matrix), functools.partial(product, matrix.transpose(1, 2)))


def _filtering(gains: Tensor, x: Tensor) -> _Maps:
    """Amplify the four bands of each picture by its gains [S, 4], along both axes."""
    rows, columns = (
        torch.einsum("sb,bij->sij", gains, _band_filters(size, x.device, x.dtype))[:, None] for size in x.shape[2:]
    )
    return _Maps(lambda x: rows @ x @ columns.mT, lambda y: rows.mT @ y @ columns)


# -- the pipeline


class _Draws:
    """The random values of one call, on the host, one row per picture; or all of them at one percentile."""

    def __init__(self, n: int, p: float, percentile: float | None) -> None:
        self.n, self.p, self.percentile = n, p, percentile

    def coin(self, multiplier: float, tosses: int = 1) -> Tensor:
        """[N] bool, true with probability p times the multiplier; random at a percentile too.

        With more `tosses` a coin is so much rarer that at least one of so many is true with that probability.
        """
        chance = 1 - (1 - min(self.p * multiplier, 1.0)) ** (1 / tosses)
        return torch.rand(self.n, dtype=torch.float64) < chance

    def uniform(self, *shape: int) -> Tensor:
        """[N, *shape] from [0, 1)."""
        if self.percentile is not None:
            return torch.full((self.n, *shape), self.percentile, dtype=torch.float64)
        return torch.rand(self.n, *shape, dtype=torch.float64)

    def normal(self, *shape: int) -> Tensor:
        """[N, *shape] from N(0, 1)."""
        if self.percentile is not None:
            return torch.full((self.n, *shape), self.percentile, dtype=torch.float64).mul(2).sub(1).erfinv()
        return torch.randn(self.n, *shape, dtype=torch.float64)

    def noise(self, x: Tensor) -> Tensor:
        """N(0, 1) in the shape of x, drawn on its device."""
        if self.percentile is not None:
            return torch.full_like(x, float(self.normal()[0]))
        return torch.randn_like(x)


_GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
_COMBINED = {
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}
# The groups of the paper's section 3.1 and their unions -> the transformations that each switches on.
PRESETS: dict[str, tuple[str, ...]] = _GROUPS | {
    name: tuple(t for group in groups for t in _GROUPS[group]) for name, groups in _COMBINED.items()
}


@dataclasses.dataclass(kw_only=True, eq=False, repr=False)  # what tells modules apart and prints them stays torch's
class AugmentPipe(nn.Module):
    """The paper's augmentation pipeline (appendix B): fifteen transformations in a fixed order, each applied at random.

    A transformation is applied to a picture with probability p times its multiplier (0 is off, 1 the paper's), whatever
    happens to the other pictures and whatever other transformations do. `pipe.p` is a buffer, 0 at first; change it with
    `pipe.p.fill_(p)`. It stays on the host, where the coins are thrown, whatever device the pipeline is moved to.

    Raises:
        InputError: a multiplier or a strength that is not a number from 0 to 10, or other than four `imgfilter_bands`.
    """

    xflip: float = 0.0  # mirror left and right, in half of the cases
    rotate90: float = 0.0  # turn by 0, 90, 180 or 270 degrees
    xint: float = 0.0  # shift by whole pixels, up to `xint_max` of the width and of the height
    scale: float = 0.0  # enlarge by 2^N(0, scale_std^2)
    rotate: float = 0.0  # turn by up to +-180 degrees times `rotate_max`, before and after `aniso`; p is that of both together
    aniso: float = 0.0  # stretch by 2^N(0, aniso_std^2) along x and shrink by as much along y
    xfrac: float = 0.0  # shift by N(0, xfrac_std^2) of the width and of the height
    brightness: float = 0.0  # add N(0, brightness_std^2)
    contrast: float = 0.0  # multiply by 2^N(0, contrast_std^2)
    lumaflip: float = 0.0  # mirror brightness about mid-grey and keep hue and saturation, in half of the cases
    hue: float = 0.0  # turn the hue by up to +-180 degrees times `hue_max`
    saturation: float = 0.0  # multiply the distance from grey by 2^N(0, saturation_std^2)
    # Multiply each of four octave bands by 2^N(0, imgfilter_std^2), and all so that the power expected of a picture is kept;
    # one coin per band, with `imgfilter_bands` as further multipliers, from low to high frequencies.
    imgfilter: float = 0.0
    noise: float = 0.0  # add N(0, s^2) to every number, with s = |N(0, noise_std^2)| for each picture
    cutout: float = 0.0  # set a rectangle of `cutout_size` of the width and of the height to 0, its centre anywhere
    # How strong:
    xint_max: float = 0.125
    scale_std: float = 0.2
    rotate_max: float = 1.0
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1.0
    saturation_std: float = 1.0
    imgfilter_bands: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    imgfilter_std: float = 1.0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        super().__init__()
        if not isinstance(self.imgfilter_bands, Sequence) or len(self.imgfilter_bands) != len(_BAND_POWER):
            raise InputError(f"imgfilter_bands={self.imgfilter_bands!r}: give four multipliers, one for each octave band")
        for field in dataclasses.fields(self):
            value, bands = getattr(self, field.name), field.name == "imgfilter_bands"
            setattr(self, field.name, [_amount(v, field.name) for v in value] if bands else _amount(value, field.name))
        self.register_buffer("p", torch.zeros((), device="cpu"))

    @classmethod
    def preset(cls, name: str) -> AugmentPipe:
        """A pipeline with the multiplier 1 for all transformations of a group or of several: "bgc" is the paper's choice.

        Args:
            name: blit, geom, color, filter, noise, cutout, bg, bgc, bgcf, bgcfn or bgcfnc.
        """
        if name not in PRESETS:
            raise InputError(f"--augpipe={name} is not known: choose one of {', '.join(PRESETS)}")
        return cls(**dict.fromkeys(PRESETS[name], 1.0))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> AugmentPipe:
        return self  # the only tensor, p, stays on the host and in float32

    def forward(self, images: Tensor, percentile: float | None = None) -> Tensor:
        """Augment a batch, at random or with every random value at one percentile.

        The values come from torch's global CPU generator, and the noise of `noise` from that of the pictures' device.

        Args:
            images: [N, 3, H, W], about -1 to 1, floating-point. Calculated in float32 (float64 stays), autocast or not.
            percentile: strictly between 0 and 1: take the percentile q in place of each random value. As in the published
                reference numbers a normal value is then erfinv(2q - 1), the percentile of a variance of 1/2, and the second
                of the two rotations is left out. Coins stay random; use it with p = 1.

        Returns:
            [N, 3, H, W] of the type of `images`; pictures that nothing happens to are the same bit for bit. Outside of [-1, 1]
            where brightness or contrast leads there. Differentiable any number of times.

        Raises:
            InputError: other images, a percentile or a p out of range.
        """
        p = float(self.p)
        _check(images, p, percentile)
        if p == 0 or len(images) == 0:
            return images
        draws = _Draws(len(images), p, percentile)
        x = images if images.dtype == torch.float64 else images.float()
        # What names no device is worked out on the host, whatever the default device is.
        with torch.device("cpu"), torch.autocast(x.device.type, enabled=False):
            for change in (self._move, self._recolour, self._filter, self._add_noise, self._cut_out):
                x = change(x, draws)
        return x.to(images.dtype)

    def _move(self, x: Tensor, draws: _Draws) -> Tensor:
        """Copy pixels where they stay whole, resample where they do not."""
        size = torch.tensor([x.shape[3], x.shape[2]], dtype=torch.float64)
        matrix = self._blit(draws, size)
        changed = (matrix != _identity(1, 2)).flatten(1).any(1)
        matrix, warped = self._geometry(matrix, draws, size)
        if size[0] != size[1]:  # a quarter turn of an oblong picture may put pixels between pixels
            warped |= matrix[:, 0, 0] == 0
        inverse = torch.linalg.inv(matrix[:, :, :2])
        inverse = torch.cat([inverse, -inverse @ matrix[:, :, 2:]], dim=2)
        if copied := _numbers(changed & ~warped):
            x = _mapped(x, copied, _copying(inverse[copied], x))
        if chosen := _numbers(warped):
            order, maps = _warping(inverse[chosen], x)
            x = _mapped(x, [chosen[i] for i in order], maps)
        return x

    def _blit(self, draws: _Draws, size: Tensor) -> Tensor:
        """[N, 2, 3]: where each pixel goes, (x, y) from the centre, when pixels are only copied."""
        matrix = _identity(draws.n, 2)
        if self.xflip:
            flip = draws.coin(self.xflip) & (draws.uniform() >= 0.5)
            matrix[flip, 0] *= -1
        if self.rotate90:
            turns = draws.coin(self.rotate90) * (draws.uniform() * 4).long()
            cos, sin = torch.tensor([[1, 0, -1, 0], [0, -1, 0, 1]], dtype=torch.float64)[:, turns]
            matrix = _rotated(matrix, cos, sin)
        if self.xint:
            shift = ((draws.uniform(2) * 2 - 1) * self.xint_max * size).round()
            matrix[:, :, 2] += draws.coin(self.xint)[:, None] * shift
        return matrix

    def _geometry(self, matrix: Tensor, draws: _Draws, size: Tensor) -> tuple[Tensor, Tensor]:
        """`matrix` followed by the transformations that need pixels between pixels, and [N]: whether there is one."""
        warped = torch.zeros(draws.n, dtype=torch.bool)
        if self.scale:
            coin, s = draws.coin(self.scale), 2 ** (draws.normal() * self.scale_std)
            matrix, warped = _scaled(matrix, coin, s, s), warped | coin
        if self.rotate:
            matrix, warped = self._rotate(matrix, draws, warped)
        if self.aniso:
            coin, s = draws.coin(self.aniso), 2 ** (draws.normal() * self.aniso_std)
            matrix, warped = _scaled(matrix, coin, s, 1 / s), warped | coin
        if self.rotate and draws.percentile is None:
            matrix, warped = self._rotate(matrix, draws, warped)
        if self.xfrac:
            coin, shift = draws.coin(self.xfrac), draws.normal(2) * self.xfrac_std * size
            matrix[:, :, 2] += coin[:, None] * shift
            warped = warped | coin
        return matrix, warped

    def _rotate(self, matrix: Tensor, draws: _Draws, warped: Tensor) -> tuple[Tensor, Tensor]:
        coin, angle = draws.coin(self.rotate, tosses=2), (1 - 2 * draws.uniform()) * math.pi * self.rotate_max
        angle = angle * coin
        return _rotated(matrix, angle.cos(), angle.sin()), warped | coin

    def _recolour(self, x: Tensor, draws: _Draws) -> Tensor:
        matrix = self._colours(draws)
        if chosen := _numbers((matrix != _identity(1, 3)).flatten(1).any(1)):
            matrix = _to(matrix[chosen], x)
            x = _mapped(x, chosen, _recolouring(matrix[:, :, :3]), matrix[:, :, 3:, None])
        return x

    def _colours(self, draws: _Draws) -> Tensor:
        """[N, 3, 4]: where each colour goes; grey lies along (1, 1, 1)."""
        matrix = _identity(draws.n, 3)
        if self.brightness:
            matrix[:, :, 3] += (draws.coin(self.brightness) * draws.normal() * self.brightness_std)[:, None]
        if self.contrast:
            matrix = matrix * _chosen(draws.coin(self.contrast), 2 ** (draws.normal() * self.contrast_std))[:, None, None]
        if self.lumaflip:
            flip = draws.coin(self.lumaflip) & (draws.uniform() >= 0.5)
            matrix = matrix - 2 * flip[:, None, None] * matrix.mean(1, keepdim=True)
        if self.hue:
            angle = draws.coin(self.hue) * (draws.uniform() * 2 - 1) * math.pi * self.hue_max
            matrix = _about_grey(angle) @ matrix
        if self.saturation:
            grey, s = matrix.mean(1, keepdim=True), 2 ** (draws.normal() * self.saturation_std)
            matrix = grey + (matrix - grey) * _chosen(draws.coin(self.saturation), s)[:, None, None]
        return matrix

    def _filter(self, x: Tensor, draws: _Draws) -> Tensor:
        if not self.imgfilter:
            return x
        power = torch.tensor(_BAND_POWER, dtype=torch.float64)
        gains, filtered = torch.ones(draws.n, len(power), dtype=torch.float64), torch.zeros(draws.n, dtype=torch.bool)
        for band, multiplier in enumerate(self.imgfilter_bands):
            coin, gain = draws.coin(self.imgfilter * multiplier), torch.ones_like(gains)
            gain[:, band] = _chosen(coin, 2 ** (draws.normal() * self.imgfilter_std))
            gains *= gain / (gain.square() @ power).sqrt()[:, None]
            filtered |= coin
        if chosen := _numbers(filtered):
            x = _mapped(x, chosen, _filtering(_to(gains[chosen], x), x))
        return x

    def _add_noise(self, x: Tensor, draws: _Draws) -> Tensor:
        if not self.noise:
            return x
        coin, strength, noise = draws.coin(self.noise), draws.normal().abs() * self.noise_std, draws.noise(x)
        noisy = x + noise * _to(strength, x)[:, None, None, None]
        return torch.where(_to(coin, x)[:, None, None, None], noisy, x)

    def _cut_out(self, x: Tensor, draws: _Draws) -> Tensor:
        if not self.cutout:
            return x
        coin, centre = draws.coin(self.cutout), draws.uniform(2)
        inside = []
        for axis, size in enumerate((x.shape[3], x.shape[2])):
            place = (torch.arange(size) + 0.5) / size
            inside.append(coin[:, None] & ((place - centre[:, axis, None]).abs() < self.cutout_size / 2))
        across, down = (_to(flags, x) for flags in inside)  # [N, W], [N, H]
        return x.masked_fill(across[:, None, None, :] & down[:, None, :, None], 0.0)


def _amount(value: float, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 10:
        raise InputError(f"{name}={value!r}: a multiplier or a strength of the augmentation is a number from 0 (off) to 10")
    return number


def _check(images: Tensor, p: float, percentile: float | None) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise InputError(f"images are {images.dtype} of the shape {list(images.shape)}: augmentation takes float [N, 3, H, W]")
    if min(images.shape[2:]) < 2:
        raise InputError(f"images are {images.shape[3]}x{images.shape[2]}: augmentation needs at least 2x2 pixels")
    if not 0 <= p <= 1:
        raise InputError(f"p={p}: the probability of augmentation lies between 0 and 1")
    if percentile is not None and not 0 < percentile < 1:
        raise InputError(f"percentile={percentile}: give a number strictly between 0 and 1, or None for random values")


def _to(values: Tensor | list[int], x: Tensor) -> Tensor:
    """Small host values on the device of x, numbers with a fraction in its type; nothing waits for the device."""
    values = torch.as_tensor(values)
    return values.to(x.device, x.dtype if values.is_floating_point() else values.dtype, non_blocking=x.is_cuda)


def _numbers(flags: Tensor) -> list[int]:
    """Which pictures are flagged."""
    return flags.nonzero().flatten().tolist()


def _chosen(coin: Tensor, factor: Tensor) -> Tensor:
    return torch.where(coin, factor, 1.0)


def _identity(n: int, axes: int) -> Tensor:
    """[n, axes, axes + 1]: n affine transformations that change nothing."""
    return torch.eye(axes, axes + 1, dtype=torch.float64).repeat(n, 1, 1)


def _scaled(matrix: Tensor, coin: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """`matrix` [N, 2, 3] followed by a scaling along both axes where `coin` is true."""
    return matrix * torch.stack([_chosen(coin, x), _chosen(coin, y)], dim=1)[:, :, None]


def _rotated(matrix: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`matrix` [N, 2, 3] followed by a rotation; cos, sin [N]."""
    return torch.stack([torch.stack([cos, -sin], dim=1), torch.stack([sin, cos], dim=1)], dim=1) @ matrix


def _about_grey(angle: Tensor) -> Tensor:
    """[N, 3, 3]: rotations of colour space about the grey axis by angle [N], by Rodrigues' formula."""
    cross = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cos * torch.eye(3, dtype=torch.float64) + sin * cross + (1 - cos) / 3


# -- the controller


def next_p(p: float, r_t: float, target: float, step: float) -> float:
    """Move p by `step` towards the r_t aimed at, up if D is too sure; it stays within 0 and 1 (the paper's section 3.1)."""
    return min(max(p + step * ((r_t > target) - (r_t < target)), 0.0), 1.0)


class AdaController:
    """Choose p so that D stays unsure of the real pictures (the paper's sections 3.1 and 3.2).

    The heuristic is r_t, the mean sign of D's logits on real pictures: 0 for a D that cannot tell, 1 for one that knows
    every training picture. Every `interval` steps p rises if r_t is above the target, and falls if it is below.

        controller.observe(real_logits)  # whenever D has judged real pictures in a step
        pipe.p.fill_(controller.step())  # once at the end of the step

    Args:
        target: the r_t aimed at, -1 to 1; the paper's is 0.6. None keeps p as it is and only measures r_t.
        kimg: thousands of real pictures that D sees while p goes from 0 to 1, if it only rises.
        interval: steps between two changes of p.
        p: the probability to begin with.
        rule: p, r_t, target, the most that p may move -> the next p.

    Attributes:
        p: the probability of augmentation now, 0 to 1.
        r_t: the mean sign over the last complete interval; nan before there is one.

    Raises:
        InputError: a number out of range.
    """

    def __init__(
        self,
        target: float | None = 0.6,
        kimg: float = 500.0,
        interval: int = 4,
        p: float = 0.0,
        rule: Callable[[float, float, float, float], float] = next_p,
    ) -> None:
        if target is not None and not -1 <= target <= 1:
            raise InputError(f"target={target}: the mean sign of D's logits to aim at lies between -1 and 1; None fixes p")
        if not (kimg > 0 and math.isfinite(kimg)):
            raise InputError(f"kimg={kimg}: p goes from 0 to 1 over so many thousand pictures, more than 0")
        if int(interval) != interval or interval < 1:
            raise InputError(f"interval={interval}: p changes every so many steps, a whole number from 1")
        if not 0 <= p <= 1:
            raise InputError(f"p={p}: the probability of augmentation lies between 0 and 1")
        self.target, self.kimg, self.interval, self.rule = target, kimg, int(interval), rule
        self.p, self.r_t = float(p), math.nan
        # Sums over pictures and their number [2]: of this step so far, and of the interval's steps in all processes.
        self._now, self._seen, self._steps = None, torch.zeros(2, device="cpu"), 0

    def observe(self, logits: Tensor) -> None:
        """Take in D's logits of real pictures [N, ...], of all of a step's or of some; the device is not waited for."""
        signs = logits.detach().float().sign().flatten(1).mean(1).sum()
        sums = torch.stack([signs, torch.full_like(signs, len(logits))])
        self._now = sums if self._now is None else self._now + sums

    def step(self) -> float:
        """End a training step; all processes do. Returns p, which has changed if the interval is over."""
        if self._now is not None:
            if processes.count() > 1:
                dist.all_reduce(self._now)
            self._seen, self._now = self._seen.to(self._now.device) + self._now, None
        self._steps += 1
        if self._steps % self.interval == 0:
            self._adjust(*self._seen.tolist())
            self._seen = torch.zeros(2, device="cpu")
        return self.p

    def _adjust(self, signs: float, pictures: float) -> None:
        if pictures == 0:
            return
        self.r_t = signs / pictures
        if self.target is not None:
            self.p = float(self.rule(self.p, self.r_t, self.target, pictures / (self.kimg * 1000)))

    def state_dict(self) -> dict[str, float]:
        """Plain numbers from which a run goes on exactly; after any step, in every process the same."""
        signs, pictures = self._seen.tolist()
        return {"p": self.p, "r_t": self.r_t, "steps": self._steps, "signs": signs, "pictures": pictures}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from `state_dict`; target, kimg and interval stay those of this controller."""
        try:
            p, r_t, signs, pictures = (float(state[key]) for key in ("p", "r_t", "signs", "pictures"))
            steps = int(state["steps"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the state of the augmentation's controller is damaged ({error!r}): resume an older one"
            ) from None
        self.p, self.r_t, self._steps, self._now, self._seen = (
            p,
            r_t,
            steps,
            None,
            torch.tensor([signs, pictures], device="cpu"),
        )
