"""How much of each frequency pictures have: a fault of upsampling that eyes overlook and spectra show.

from facegen.evaluation.spectra import distance, spectrum

real, fake = spectrum(faces.images), spectrum(sample(G, range(1000)))
distance(real, fake)  # dB

Durall et al. 2020, "Watch your Up-Convolution" (arXiv:2003.01826), section 3.1, average the power of generated pictures over
all directions and find too much or too little of the high frequencies; Karras et al. 2021, "Alias-Free Generative Adversarial
Networks" (arXiv:2106.12423), compare the spectra of sets in decibels. Here pictures are windowed first: their opposite edges
do not meet, and without a window that step alone would look like high frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facegen.data.packed import common_size, load_faces
from facegen.files import InputError
from facegen.latent.sample import Labels, sample

UPPER = 0.5  # the frequency, in units of the highest along an axis, from which `distance` counts
MOST_SETS = 7  # to compare with the real pictures: as many as a figure has colours
LEAST = 1e-12  # power of what is nothing at all: -120 dB; rounding to 256 levels alone has -59 dB
BATCH_NUMBERS = 1 << 22  # pixel values at a time


@dataclass(frozen=True)
class Spectrum:
    """The mean power spectrum of a set of pictures."""

    # float64 [K], rising, in units of the highest frequency along an axis (half a period per pixel). It ends at about 1.41:
    # diagonals hold higher frequencies than rows, and checkerboards lie at the very end.
    frequency: Tensor
    # float64 [K], the power at each as 10 log10; white noise of the standard deviation s, where black is 0 and white is 1, has
    # 20 log10 s at every frequency.
    db: Tensor
    size: int  # side of the pictures in pixels
    pictures: int  # how many


def spectrum(images: Tensor) -> Spectrum:
    """Average the power spectra of pictures over the set, the colours, and all directions.

    Each picture and colour is reduced by its mean, multiplied by a Hann window along both axes and Fourier-transformed. The
    squared absolute values, divided by the window's sum of squares, are averaged over rings one period per picture wide.
    Everything is computed in float64.

    Args:
        images: uint8, or floating in [-1, 1], [N, C, S, S] with S >= 8.
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3] or images.shape[3] < 8 or not len(images):
        raise InputError(f"a spectrum takes square pictures [N, C, S, S] of 8 pixels or more, got {list(images.shape)}")
    size = images.shape[3]
    window = torch.hann_window(size, periodic=True, dtype=torch.float64)
    window = window[:, None] * window
    total = torch.zeros(size, size, dtype=torch.float64)
    for part in images.split(max(1, BATCH_NUMBERS // images[0].numel())):
        values = part.detach().cpu().double()
        values = (values + 1) / 2 if images.is_floating_point() else values / 255
        values = values - (values * window).sum((2, 3), keepdim=True) / window.sum()
        total += torch.fft.fft2(values * window).abs().square().mean(1).sum(0)
    if not total.isfinite().all():
        raise InputError("the pictures hold NaN or infinity: the network that made them has diverged")
    power = _rings(total / len(images) / window.square().sum())
    frequency = torch.arange(1, len(power) + 1, dtype=torch.float64) * 2 / size
    return Spectrum(frequency, 10 * power.clamp(min=LEAST).log10(), size, len(images))


def _rings(power: Tensor) -> Tensor:
    """[S, S], the zero frequency first -> the mean over each ring 1, 2, ... periods per picture from it, which is left out."""
    size = len(power)
    periods = torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
    ring = (periods.square()[:, None] + periods.square()).sqrt().round().long().flatten()
    count = torch.bincount(ring)
    return (torch.bincount(ring, weights=power.flatten(), minlength=len(count)) / count)[1:]


def difference(ours: Spectrum, real: Spectrum) -> Tensor:
    """By how many dB a spectrum lies above that of the real pictures, [K]."""
    if ours.size != real.size:
        raise InputError(f"pictures of {ours.size} and of {real.size} pixels have no common frequencies: use one size")
    return ours.db - real.db


def distance(ours: Spectrum, real: Spectrum) -> float:
    """The mean absolute difference in dB over the high frequencies, from `UPPER` on: 0 for equal spectra."""
    return float(difference(ours, real)[real.frequency >= UPPER].abs().mean())


def halves(images: Tensor, seed: int = 0) -> tuple[Spectrum, Spectrum]:
    """The spectra of two random halves of a set: their distance is what chance alone makes of so many pictures."""
    if len(images) < 2:
        raise InputError("two halves need at least two pictures")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    middle = math.ceil(len(images) / 2)
    return spectrum(images[order[:middle]]), spectrum(images[order[middle:]])


def some(images: Tensor, count: int) -> Tensor:
    """`count` pictures at random but always the same, because the first by name are often of one kind."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count].sort().values]


def spectra_of(
    data: str,
    nets: Mapping[str, nn.Module],
    folders: Sequence[str],
    count: int,
    size: int | None = None,
    *,
    trunc: float = 1.0,
    labels: Labels | None = None,
) -> tuple[Spectrum, dict[str, Spectrum], tuple[Spectrum, Spectrum]]:
    """The spectra of real pictures, of networks' and folders' by their names, and of the real ones' two halves.

    Args:
        count: at most so many pictures of each.
        size: of all pictures; by default the first network's, or what suits the first folder.
        trunc, labels: as for `facegen.latent.sample.sample`.
    """
    if not 1 <= len(nets) + len(folders) <= MOST_SETS:
        how = "--network FILE or --images DIR, each as often as you like"
        raise InputError(f"give 1 to {MOST_SETS} sets to compare with --data: {how}")
    sizes = [getattr(G, "img_resolution", None) for G in nets.values()]
    size = size or (sizes[0] if sizes else common_size(folders[0]))
    for name, own in zip(nets, sizes):
        if own not in (None, size):
            raise InputError(f"{name} makes pictures of {own} pixels, not {size}: compare networks of one size")
    real = some(load_faces(data, size).images, count)
    sets = {name: spectrum(sample(G, range(count), trunc=trunc, labels=labels)) for name, G in nets.items()}
    sets |= {name: spectrum(some(load_faces(name, size).images, count)) for name in folders}
    return spectrum(real), sets, halves(real)
