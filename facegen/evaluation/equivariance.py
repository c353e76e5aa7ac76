"""How well a generator's pictures move with its input: EQ-T, EQ-T_frac and EQ-R of StyleGAN3's paper, for any generator.

found = equivariance(G, samples=200)          # {"eq_t": EQ-T 51.2 dB (50.1 to 52.4), ...}
found["eq_t"].how                             # what was moved, in words
eq_t(still, moved, shift=(3, -2))             # of pictures that are there already

Karras et al. 2021, "Alias-Free Generative Adversarial Networks" (arXiv:2106.12423), appendix E: a picture is made twice from
one latent, once as it is and once with the network's input moved. If nothing sticks to the pixels, the second picture is the
first one, moved. How far it is from that is given as the peak signal-to-noise ratio in decibels with I_max = 2, the width of
[-1, 1], from one mean squared error over all pictures, motions, colours and valid pixels: those that both pictures show and
that a filter reaches without leaving the picture. 20 dB more is a tenth of the difference.

EQ-T       shifts of whole pixels, each axis uniform within an eighth of the picture, so that nothing has to be resampled.
EQ-T_frac  shifts by parts of a pixel in the same range; the still picture is resampled by Lanczos' filter, a = 3.
EQ-R       turns by any angle. A turned square of frequencies is another square, so each picture has frequencies in its corners
           that the other cannot hold. Both are limited to what both can hold: by the product of the two squares' low-pass
           filters, each with Lanczos' window, a = 3. Between pixels the still picture is resampled by the same filter.

The filters end somewhere, so even a perfect generator has no more than this (pictures of 64 pixels whose waves reach up to a
tenth, a fifth, 0.3 and 0.4 periods per pixel): EQ-T_frac 62, 57, 53 and 42 dB, EQ-R 101, 91, 80 and 50 dB; EQ-T is infinite.

What is moved. StyleGAN3's input, Fourier features, is a function of place with a transform for the user: nothing has to be
chosen. Another generator has no such thing. The nearest to it is the first feature map with more than one pixel that its layers
are given: the learned 4x4 constant of a StyleGAN2, the 4x4 seed that a DCGAN makes from z. It is taken for the samples of the
smoothest periodic function through them (trigonometric interpolation) and sampled anew at the moved places; an eighth of the
picture is half a pixel of a 4x4 map. Everything else stays where it is, also StyleGAN2's noise inputs, as they are part of what
sticks to the pixels. The paper gives no number for StyleGAN2, for this reason: what comes out here says how far this generator
is from following its input, and does not compare with a number measured another way.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.files import InputError
from facegen.latent.sample import Labels, can_move, evaluating, has_noise, has_styles, latents, moved, one_hot, transform

KINDS = ("eq_t", "eq_t_frac", "eq_r")
NAMES = {"eq_t": "EQ-T", "eq_t_frac": "EQ-T_frac", "eq_r": "EQ-R"}
REACH = 1 / 8  # of the picture: the largest shift
I_MAX = 2.0
TAPS = 3  # Lanczos' a: the filter ends so many pixels from its middle
FINE = 32  # samples per pixel of the tabulated filter for turning
POINTS = 1 << 14  # pixels that are turned at a time
ROUNDS = 1000  # of the bootstrap

Draw = Callable[[int, tuple[float, float], float], Tensor]
"""(seed, translate, rotate) -> picture [C, S, S] in [-1, 1]: the face of that seed with the network's input moved.

translate: to the right and downwards, in picture widths. rotate: degrees counter-clockwise around the middle.
"""


@dataclass(frozen=True)
class Decibels:
    """One of the three numbers."""

    kind: str  # "eq_t", "eq_t_frac" or "eq_r"
    db: float  # decibels; infinite where nothing differs
    # low, high: a 95 % interval, from drawing the pictures anew with replacement.
    low: float
    high: float
    samples: int  # pictures, each with a motion of its own
    seed: int  # of the first picture, and of the motions
    how: str  # what was moved, in words

    def __str__(self) -> str:
        return f"{NAMES[self.kind]} {self.db:.2f} dB ({self.low:.2f} to {self.high:.2f})"


# ---------------------------------------------------------------------------------------------- pictures that are there


def eq_t(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> float:
    """EQ-T of pictures: by how many decibels `moved` resembles `still` moved by whole pixels.

    Args:
        still, moved: [N, C, H, W] in [-1, 1], not cut off there.
        shift: (dx, dy), whole pixels to the right and downwards, by which `moved` should show what `still` shows.

    Returns:
        10 log10(4 / MSE), with one mean over the pixels that both show, colours and pictures; infinite where all are equal.

    Raises:
        InputError: shapes that differ or are no pictures, no whole pixels, a shift by the whole picture, or NaN.
    """
    return _decibels(*_shifted_error(*_checked(still, moved), shift))


def eq_t_frac(still: Tensor, moved: Tensor, shift: tuple[float, float]) -> float:
    """EQ-T_frac of pictures: as `eq_t`, by parts of a pixel. `still` is resampled by Lanczos' filter with a = 3."""
    return _decibels(*_resampled_error(*_checked(still, moved), shift))


def eq_r(still: Tensor, moved: Tensor, degrees: float) -> float:
    """EQ-R of pictures: `moved` should show `still` turned counter-clockwise by `degrees` around its middle.

    Args:
        still, moved: [N, C, S, S] in [-1, 1].
    """
    return _decibels(*_turned_error(*_checked(still, moved), degrees))


def _checked(still: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    if still.ndim != 4 or still.shape != moved.shape or 0 in still.shape or not still.is_floating_point():
        raise InputError(
            f"still and moved pictures are {list(still.shape)} and {list(moved.shape)}: give floats [N, C, H, W], alike"
        )
    still, moved = still.detach().cpu().double(), moved.detach().cpu().double()
    if not bool(still.isfinite().all() & moved.isfinite().all()):
        raise InputError("the pictures hold NaN or infinity: the network that made them has diverged")
    return still, moved


def _decibels(total: float, count: float) -> float:
    """From the sum of squared differences and how many there are."""
    return 10 * math.log10(I_MAX**2 * count / total) if total > 0 else math.inf


def _shifted_error(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> tuple[float, int]:
    dx, dy = shift
    height, width = still.shape[2:]
    if dx != int(dx) or dy != int(dy):
        raise InputError(f"shift {shift}: EQ-T moves by whole pixels, eq_t_frac by parts of one")
    dx, dy = int(dx), int(dy)
    if abs(dx) >= width or abs(dy) >= height:
        raise InputError(f"shift {shift}: nothing is left to compare in pictures of {width}x{height} pixels")
    before = still[:, :, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    after = moved[:, :, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
    return float((before - after).square().sum()), before.numel()


def _resampled_error(still: Tensor, moved: Tensor, shift: tuple[float, float]) -> tuple[float, int]:
    if not all(math.isfinite(number) for number in shift):
        raise InputError(f"shift {shift}: give two finite numbers of pixels")
    columns, in_x = _shifting(still.shape[3], shift[0])
    rows, in_y = _shifting(still.shape[2], shift[1])
    if not in_x.any() or not in_y.any():
        sides = f"{still.shape[3]}x{still.shape[2]}"
        raise InputError(f"shift {shift}: no pixel of {sides} is far enough from the border for a filter of {2 * TAPS} pixels")
    difference = (rows[in_y] @ still @ columns[in_x].T) - moved[:, :, in_y][..., in_x]
    return float(difference.square().sum()), difference.numel()


def _shifting(size: int, by: float) -> tuple[Tensor, Tensor]:
    """float64 [size, size]: how much of each old pixel goes into each new one; and bool [size]: which are valid."""
    place = torch.arange(size, dtype=torch.float64) - by
    weights = _lanczos(place[:, None] - torch.arange(size))
    # Of a shift by whole pixels only the pixel itself counts: the filter is 0 at all others.
    reach = 0 if by == int(by) else TAPS
    valid = (place.floor() - max(0, reach - 1) >= 0) & (place.floor() + reach <= size - 1)
    return weights / weights.sum(1, keepdim=True).where(valid[:, None], 1.0), valid


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < TAPS, torch.sinc(x) * torch.sinc(x / TAPS), torch.zeros_like(x))


def _turned_error(still: Tensor, moved: Tensor, degrees: float) -> tuple[float, int]:
    size = still.shape[3]
    if still.shape[2] != size or not math.isfinite(degrees):
        raise InputError(f"turning takes squares and a number of degrees, got {list(still.shape)} and {degrees}")
    # [2, 2]: from places in the moved picture to those in the still one, around the middle, x to the right, y downwards.
    back = transform(rotate=degrees).double()[:2, :2]
    reach = TAPS * float(1 + back[0].abs().sum())  # of the filter, along either picture's axes
    axis = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    there = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), 2).reshape(-1, 2)  # [S S, (x, y)], row by row
    from_ = there @ back.T
    inside = torch.maximum(there.abs(), from_.abs()).max(1).values + reach <= (size - 1) / 2
    if not inside.any():
        raise InputError(f"pictures of {size} pixels are too small to turn: the filter reaches {reach:.1f} pixels to each side")
    there, from_ = there[inside], from_[inside]
    table = _filter_table(back)
    half = math.ceil(reach)
    offsets = torch.arange(-half, half + 2, dtype=torch.float64)
    offsets = torch.stack(torch.meshgrid(offsets, offsets, indexing="xy"), 2).reshape(-1, 2)  # [K, 2]
    total = 0.0
    for here, source in zip(there.split(POINTS), from_.split(POINTS)):
        # Pixels of the still picture around each source, taken to the moved picture's axes, in which the filter is tabulated.
        near = (source + (size - 1) / 2).floor() - (size - 1) / 2
        away = (source - near)[:, None] - offsets  # [P, K, 2]
        turned = _gathered(still, near[:, None] + offsets, _looked_up(table, away @ back))
        limited = _gathered(moved, here[:, None] + offsets, _looked_up(table, -offsets[None]).expand(len(here), -1))
        total += float((turned - limited).square().sum())
    return total, len(there) * still.shape[0] * still.shape[1]


def _filter_table(back: Tensor) -> Tensor:
    """The low-pass filter of what both pictures can hold, [T, T], `FINE` samples per pixel, on the moved picture's axes."""
    half = math.ceil(TAPS * (1 + math.sqrt(2)) * FINE)
    axis = torch.arange(-half, half + 1, dtype=torch.float64) / FINE
    places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), 2) @ back.T
    theirs = _lanczos(places[..., 0]) * _lanczos(places[..., 1])  # the still picture's square of frequencies
    ours = _lanczos(axis[:, None] - axis)  # the moved one's, along one axis
    return ours @ theirs @ ours / FINE**2


def _looked_up(table: Tensor, away: Tensor) -> Tensor:
    """The filter at distances [P, K, 2] in pixels, with weights that sum to 1: [P, K]."""
    half = (len(table) - 1) / 2 / FINE
    found = F.grid_sample(table[None, None], (away / half)[None], mode="bilinear", padding_mode="zeros", align_corners=True)
    return found[0, 0] / found[0, 0].sum(1, keepdim=True)


def _gathered(pictures: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums over pixels: pictures [N, C, S, S], places [P, K, 2] around the middle, weights [P, K] -> [N, C, P].

    Places outside have no weight (the caller sees to that), so any pixel will do for them.
    """
    size = pictures.shape[3]
    index = (places + (size - 1) / 2).round().long().clamp(0, size - 1)
    flat = index[..., 1] * size + index[..., 0]
    return (pictures.flatten(2)[:, :, flat] * weights).sum(3)


# ------------------------------------------------------------------------------------------------------------ generators


def equivariance(
    G: nn.Module | Draw,
    samples: int = 200,
    seed: int = 0,
    *,
    kinds: Iterable[str] = KINDS,
    trunc: float = 1.0,
    labels: Labels | None = None,
    progress: bool = True,
) -> dict[str, Decibels]:
    """EQ-T, EQ-T_frac and EQ-R of a generator.

    Args:
        G: a generator, or a function that draws the picture of a seed with its input moved (`Draw`).
        samples: pictures, of the seeds seed, seed + 1, ...; each moved once for each kind. The paper takes 50,000.
        seed: also of the motions.
        kinds: which of the three.
        trunc, labels: as for `facegen.latent.sample.sample`; of a function, nothing.
        progress: show a bar.

    Raises:
        InputError: fewer than 2 samples, an unknown kind, a network without an input to move, pictures too small, or what
            `sample` refuses.
    """
    kinds = list(kinds)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(f"kinds {unknown or 'none'}: choose among {', '.join(KINDS)}")
    if samples < 2 or seed < 0:
        raise InputError(f"samples={samples}, seed={seed}: measure at least 2 pictures, with a seed from 0")
    draw, how = drawer(G, trunc, labels) if isinstance(G, nn.Module) else (G, "a function that moves its own input")
    errors: dict[str, list[tuple[float, int]]] = {kind: [] for kind in kinds}
    draws = {kind: np.random.default_rng([seed, KINDS.index(kind)]) for kind in kinds}
    for number in tqdm(range(samples), desc="equivariance", leave=False, disable=None if progress else True):
        still = draw(seed + number, (0.0, 0.0), 0.0)
        for kind in kinds:
            errors[kind].append(_one_error(kind, draw, seed + number, still, draws[kind]))
    return {kind: _summed(kind, errors[kind], seed, how) for kind in kinds}


def _one_error(kind: str, draw: Draw, seed: int, still: Tensor, draws: np.random.Generator) -> tuple[float, int]:
    size = still.shape[2]
    if kind == "eq_r":
        degrees = float(draws.uniform(0, 360))
        return _turned_error(*_checked(still[None], draw(seed, (0.0, 0.0), degrees)[None]), degrees)
    x, y = (draws.uniform(-REACH, REACH, 2) * size).tolist()
    if kind == "eq_t":
        x, y = round(x), round(y)
    pair = _checked(still[None], draw(seed, (x / size, y / size), 0.0)[None])
    return _shifted_error(*pair, (x, y)) if kind == "eq_t" else _resampled_error(*pair, (x, y))


def _summed(kind: str, errors: list[tuple[float, int]], seed: int, how: str) -> Decibels:
    totals, counts = np.array(errors, dtype=np.float64).T
    chosen = np.random.default_rng([seed, len(KINDS)]).integers(len(totals), size=(ROUNDS, len(totals)))
    anew = [_decibels(totals[rows].sum(), counts[rows].sum()) for rows in chosen]
    low, high = np.quantile(anew, [0.025, 0.975], method="nearest")  # of infinite values there is nothing in between
    return Decibels(kind, _decibels(totals.sum(), counts.sum()), float(low), float(high), len(totals), seed, how)


def drawer(G: nn.Module, trunc: float = 1.0, labels: Labels | None = None) -> tuple[Draw, str]:
    """A function that draws a generator's picture with its input moved, and what is moved, in words.

    Raises:
        InputError: a network that makes no pictures from z, noise drawn anew, or classes that it does not have.
    """
    if not hasattr(G, "z_dim"):
        raise InputError("this network makes no pictures from seeds, so there is no input to move (a CycleGAN translates)")
    if not has_styles(G) and trunc != 1:
        raise InputError("this network has no w to truncate (a DCGAN): leave the truncation at 1")
    c = one_hot(G, labels, 1)
    where = next(G.parameters()).device

    def draw(seed: int, translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> Tensor:
        z = latents(G, [seed]).to(where)
        still = translate == (0.0, 0.0) and rotate == 0.0
        moving = moved if can_move(G) else _moved_map
        with torch.no_grad(), evaluating(G), contextlib.nullcontext() if still else moving(G, translate, rotate):
            if not has_styles(G):
                return G(z)[0].float().cpu()
            classes = None if c is None else c.to(where)
            return G(z, classes, truncation_psi=trunc, noise_mode="const")[0].float().cpu()

    if can_move(G):
        return draw, "the Fourier features' transform"
    noise = ", noise inputs left in place" if has_noise(G) else ""
    return draw, f"the first feature map, by trigonometric interpolation{noise}"


@contextlib.contextmanager
def _moved_map(G: nn.Module, translate: tuple[float, float], rotate: float) -> Iterator[None]:
    """Inside, the first map of more than one pixel that a layer of G is given is a moved one, once per call of G."""
    back = transform(translate, rotate)
    waiting = True

    def start(_module: nn.Module, _given: tuple) -> None:
        nonlocal waiting
        waiting = True

    def move(_module: nn.Module, given: tuple) -> tuple | None:
        nonlocal waiting
        first = given[0] if given else None
        if not waiting or not isinstance(first, Tensor) or first.ndim != 4 or min(first.shape[2:]) < 2:
            return None
        waiting = False
        return (_sampled(first, back), *given[1:])

    handles = [module.register_forward_pre_hook(move) for module in G.modules() if module is not G]
    handles.append(G.register_forward_pre_hook(start))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _sampled(maps: Tensor, back: Tensor) -> Tensor:
    """Feature maps [N, C, H, W] at the places that `back` [3, 3] takes theirs to, by trigonometric interpolation."""
    height, width = maps.shape[2:]
    y, x = (((torch.arange(n, dtype=torch.float64) + 0.5) / n - 0.5) for n in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([x, y, torch.ones_like(x)], 2) @ back.double().T  # [H, W, 3]
    along_x, along_y = _waves(places[..., 0], width), _waves(places[..., 1], height)  # [H, W, frequencies]
    weights = torch.fft.fft2(maps.detach().cpu().double(), norm="forward")  # [N, C, H, W]
    found = torch.einsum("yxa,yxb,ncab->ncyx", along_y, along_x, weights).real
    return found.to(maps)


def _waves(place: Tensor, size: int) -> Tensor:
    """Each frequency of a periodic row of `size` pixels at places in -0.5..0.5 (its ends): complex [..., size]."""
    frequency = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    pixel = (place + 0.5) * size - 0.5
    waves = torch.exp(2j * math.pi * pixel[..., None] * frequency / size)
    if size % 2 == 0:  # the highest one has no sign: of its two halves the imaginary parts cancel
        waves[..., size // 2] = waves[..., size // 2].real.to(waves.dtype)
    return waves
