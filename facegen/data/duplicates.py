"""Perceptual near-duplicates: the same picture again after JPEG, resizing, a small crop, other brightness, or mirrored.

A data set with the same face many times over teaches a network that face; a test picture whose copy is in the training set
tests nothing. Bytes do not show it, for a copy is rarely saved alike. So every picture gets a fingerprint, and two pictures
are compared in three steps, from cheap to exact:

1. A hash of 255 bits: the signs of the lowest 16 x 16 coefficients but the first of the grey picture's cosine transform.
   Brightness and contrast do not change them, and a mirror image only turns those of odd horizontal order around. Faces
   framed alike have much the same hash (at 63 bits different people are as near to each other as copies are), so a
   near hash only makes a candidate.
2. A colour check: the 8 x 8 colour pictures must correlate.
3. The unlikeness: the share of one picture's variance that the other does not explain after the best brightness,
   contrast, shift and zoom, from 32 x 32 colour pixels. Pixels count as logarithms: what tells two dark faces apart is as
   much as between light ones. It is measured over the picture, and at two thirds' weight over its middle, so that a
   common background does not hide two faces; the larger counts. Shift and zoom enter through the pictures'
   gradients (Lucas and Kanade 1981), so that all is one linear fit, and clipped pixels hardly count.

Measured with THRESHOLD (`pytest tests/test_duplicates.py tests/shared/test_duplicates_real.py -s -k measured`): of 200 copies
of drawn faces or photographs, changed in any one of these ways or in all at once, 197 or more are found, and no pair among
2,000 drawn and 1,200 photographed different faces is taken for the same. The largest unlikeness of a copy is 0.047 among the
photographs, the least of different faces 0.139; drawn faces come nearer to each other, to 0.074.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.files import InputError

THRESHOLD = 0.055
"""Unlikeness up to which two pictures are the same: between copies and the most alike different faces, see above."""

SIDE = 32  # of the colour picture in a fingerprint, in pixels
ORDERS = 16  # of the cosine transform, across and down
HASH_DISTANCE = 0.30  # largest share of differing bits of a candidate
CORRELATION = 0.92  # least correlation of a candidate's 8 x 8 colour pictures

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in JPEG
_CLIPPED = (0.02, 0.98)  # beyond these a pixel may have been anything
_DARK = 0.1  # added before the logarithm: below it, what JPEG does to shadows would be magnified
_FAINT = 0.03  # weight of clipped pixels: some, so that pictures of little else can still be told apart
_NOISE = 2e-5  # variance of rounding and the like: flat pictures are alike, not 0 / 0
_ROWS, _PAIRS = 512, 1000  # pictures and pairs in flight


@dataclass(frozen=True, eq=False)
class Fingerprints:
    """What is left of N pictures for comparing: bits, bool [N, 255], and small, uint8 [N, 3, 32, 32]; 3.3 kB each."""

    bits: Tensor
    small: Tensor

    def __len__(self) -> int:
        return len(self.bits)


def fingerprints(images: Tensor) -> Fingerprints:
    """Fingerprints of pictures of any size; those of different sizes can be compared with each other.

    Args:
        images: uint8 [N, 3, H, W] on any device, H and W 8 or more.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 8:
        raise InputError(
            f"pictures are {images.dtype} {list(images.shape)}: they must be uint8 [N, 3, H, W] with 8 pixels a side or more"
        )
    transform = _cosines().to(images.device)
    down, across = (order.to(images.device) for order in _orders())
    bits, small = [], []
    for chunk in images.split(_ROWS):
        picture = F.interpolate(chunk.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
        grey = (picture * torch.tensor(_GREY, device=images.device)[:, None, None]).sum(1)  # [n, 32, 32]
        spectrum = transform @ grey @ transform.T  # [n, 16, 16]
        bits.append(spectrum[:, down, across] > -0.01)  # a flat picture's zeros fall on one side, whatever the rounding
        small.append(picture.round().to(torch.uint8))
    if not bits:
        return Fingerprints(images.new_zeros(0, len(down), dtype=torch.bool), images.new_zeros(0, 3, SIDE, SIDE))
    return Fingerprints(torch.cat(bits), torch.cat(small))


def matching(a: Fingerprints, b: Fingerprints | None = None, *, threshold: float = THRESHOLD) -> tuple[Tensor, Tensor]:
    """All pairs of near-duplicates, mirrored or not: within one set, or between two (is a test picture in the training set?).

    Args:
        a: the first set.
        b: the second set; None looks for pairs within a.
        threshold: largest unlikeness, above 0 and up to 1. Identical pictures have 1e-6 or less; see the module's numbers.

    Returns:
        (pairs int64 [K, 2], unlikeness float32 [K]), on the CPU and ordered by pair. In a pair (i, j), i is an index into
        a and j into b, or i < j where b is None.
    """
    if not 0 < threshold <= 1:
        raise InputError(f"threshold is {threshold}: give an unlikeness above 0 and up to 1, such as {THRESHOLD}")
    within = b is None
    other = a if b is None else b
    best: dict[tuple[int, int], float] = {}
    for flipped in (False, True):
        for pairs in _candidates(a, other, within, flipped):
            first = a.small[pairs[:, 0]].float() / 255
            second = other.small[pairs[:, 1]].float() / 255
            second = second.flip(-1) if flipped else second
            score = torch.minimum(_unlikeness(first, second), _unlikeness(second, first))
            near = score <= threshold
            for (i, j), value in zip(pairs[near].tolist(), score[near].tolist()):
                best[i, j] = min(value, best.get((i, j), 1.0))
    found = sorted(best)
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 2), torch.tensor([best[pair] for pair in found])


def unique(images: Tensor) -> Tensor:
    """Indices of the pictures to keep: every one that is no near-duplicate of an earlier one that is kept.

    Whether a picture is kept depends on earlier ones only, so more pictures at the end change nothing before them.

    Args:
        images: uint8 [N, 3, H, W] on any device.

    Returns:
        int64 [K] on the CPU, ascending; `images[unique(images)]` is the set without duplicates.
    """
    kept = [i for i, earlier in enumerate(repeats(fingerprints(images))) if earlier is None]
    return torch.tensor(kept, dtype=torch.int64)


def repeats(new: Fingerprints, known: Fingerprints | None = None) -> list[int | None]:
    """For each new picture the first picture before it that it is a near-duplicate of, or None.

    What is itself a duplicate keeps no other picture out, so a row of pictures that change little by little is not all one.

    Args:
        new: pictures, of which each is compared with those before it.
        known: pictures before all of these, none of which is a duplicate of another.

    Returns:
        Indices into the known pictures followed by the new ones.
    """
    before = 0 if known is None else len(known)
    pairs = [(i + before, j) for i, j in matching(new)[0].tolist()]
    if known is not None:
        pairs += matching(known, new)[0].tolist()
    first: list[int | None] = [None] * len(new)
    for i, j in sorted(pairs, key=lambda pair: (pair[1], pair[0])):
        if first[j] is None and (i < before or first[i - before] is None):
            first[j] = i
    return first


def _cosines() -> Tensor:
    """The lowest rows [16, 32] of the orthonormal cosine transform (DCT-II)."""
    order, at = torch.arange(ORDERS)[:, None], torch.arange(SIDE)[None]
    rows = torch.cos(torch.pi * order * (2 * at + 1) / (2 * SIDE)) * (2 / SIDE) ** 0.5
    rows[0] /= 2**0.5
    return rows


def _orders() -> tuple[Tensor, Tensor]:
    """Vertical and horizontal order of each bit, [255] each: all but (0, 0), the mean."""
    down, across = torch.meshgrid(torch.arange(ORDERS), torch.arange(ORDERS), indexing="ij")
    return down.flatten()[1:], across.flatten()[1:]


def _candidates(a: Fingerprints, b: Fingerprints, within: bool, flipped: bool) -> Iterator[Tensor]:
    """Pairs int64 [up to 1000, 2] with near hashes and correlating colours."""
    signs_b = b.bits.float() * 2 - 1
    colors_b = _colors(b.small.flip(-1) if flipped else b.small)
    if flipped:
        signs_b = signs_b * (1 - 2 * (_orders()[1] % 2)).to(signs_b)  # a mirror image's odd waves change sign
    least = 1 - 2 * HASH_DISTANCE
    for start in range(0, len(a), _ROWS):
        rows = slice(start, start + _ROWS)
        agreement = (a.bits[rows].float() * 2 - 1) @ signs_b.T / signs_b.shape[1]  # 1: the same bits, -1: none
        near = (agreement >= least) & (_colors(a.small[rows]) @ colors_b.T >= CORRELATION)
        if within:
            near = near.triu(start + 1)  # j > i
        yield from (near.nonzero() + torch.tensor([start, 0], device=near.device)).split(_PAIRS)


def _colors(small: Tensor) -> Tensor:
    """Float [N, 193]: 8 x 8 colours less their mean, of length 1, so that products are correlations.

    The last number lets flat pictures, which have no direction, agree with each other.
    """
    colors = F.avg_pool2d(small.float() / 255, SIDE // 8).flatten(1)
    colors = colors - colors.mean(1, keepdim=True)
    return F.normalize(F.pad(colors, (0, 1), value=(_NOISE * colors.shape[1]) ** 0.5))


def _unlikeness(a: Tensor, b: Tensor) -> Tensor:
    """Share [K] of b's variance that a does not explain, float [K, 3, 32, 32] in 0..1 each: 0 for the same picture.

    b is fitted by a, a constant, and what a shift across, a shift down and a zoom add to first order.
    """
    inside = (torch.minimum(a, b) > _CLIPPED[0]) & (torch.maximum(a, b) < _CLIPPED[1])
    weight = torch.where(inside, 1.0, _FAINT)
    a, b = (a + _DARK).log(), (b + _DARK).log()
    middle = F.pad((a + b) / 2, (1, 1, 1, 1), mode="replicate")
    right = (middle[..., 1:-1, 2:] - middle[..., 1:-1, :-2]) / 2
    down = (middle[..., 2:, 1:-1] - middle[..., :-2, 1:-1]) / 2
    at = (torch.arange(SIDE, device=a.device) + 0.5) / SIDE * 2 - 1
    terms = torch.stack([a, torch.ones_like(a), right, down, right * at, down * at[:, None]], 1)  # [K, 6, 3, 32, 32]
    centre = slice(SIDE // 4, SIDE - SIDE // 4)
    whole = _unexplained(terms, b, weight)
    face = _unexplained(terms[..., centre, centre], b[..., centre, centre], weight[..., centre, centre])
    # Weighted down, because a middle has little variance of its own and a shift by a pixel leaves more of it unexplained.
    return torch.maximum(whole, face / 1.5)


def _unexplained(terms: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Residual over total variance [K] of the weighted least-squares fit of b by the terms."""
    terms, b, weight = terms.flatten(2), b.flatten(1), weight.flatten(1)
    weighted = terms * weight[:, None]
    ridge = 1e-4 * torch.eye(terms.shape[1], device=b.device)  # zoom and shift of a flat picture are undetermined
    fit = torch.linalg.solve(weighted @ terms.transpose(1, 2) + ridge, weighted @ b[..., None])
    residual = b - (fit.transpose(1, 2) @ terms)[:, 0]
    total = weight.sum(1)
    mean = (weight * b).sum(1) / total
    left, all_of_it = (weight * residual**2).sum(1) / total, (weight * (b - mean[:, None]) ** 2).sum(1) / total
    # Noise counts below only, or identical pictures of low contrast would not have 0.
    return left / (all_of_it + _NOISE)
