"""How faces sit in their pictures: measured from landmarks, compared between two sets, and made equal.

Two sets of faces that are framed differently teach a translation between them to zoom and shift before anything else. The
published face2fake run had that trouble: deep-funneled LFW faces on one side, FFHQ crops on the other. `framing` measures a
set, `compare` names what differs, and `reframe` moves every face by one similarity transform.

Landmarks are [N, 5, 2], in the order and units of `facegen.data.faces`. `drawn` gives them; for photographs they come from
the detector there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.data.faces import EYES_TO_MOUTH, find_faces
from facegen.data.packed import Faces
from facegen.files import InputError

if TYPE_CHECKING:
    from facegen.data.unpaired import Unpaired

CONFIDENCE = 0.999
"""Chance that two sets framed alike are reported as such, over all eight comparisons of one report."""

_NORMAL = 1.4826  # times the median absolute deviation: the standard deviation, where values are normal
_CHUNK_VALUES = 1 << 24  # sampled values in flight: 64 MiB of float32

TOLERANCE = {"scale": math.log1p(0.03), "x": 0.01, "y": 0.01, "roll": 1.0}
"""Differences below these are seen by nobody and learnt by no network: 3 % of size, 1 % of the picture, one degree."""

CURE = (
    "a network learns to zoom and shift first: frame both alike with `facegen prepare-unpaired --reframe`, "
    "with `facegen align` for each folder, or while training, less sharply, with `facegen train --reframe`"
)

# Of each quantity: its unit, how many of these are 1, what faces do that have less of it and more of it, in what they vary.
_WORDS = {
    "scale": ("%", 100, "", "", "size"),
    "x": ("% of the picture's width", 100, "sit further left", "sit further right", "place across"),
    "y": ("% of the picture's height", 100, "sit higher", "sit lower", "height in the picture"),
    "roll": ("degrees", 1, "are tilted more anticlockwise", "are tilted more clockwise", "tilt"),
}


@dataclass(frozen=True, eq=False)
class Distribution:
    """One measure over a set of faces.

    values: float64 [N] on the CPU, finite.
    """

    values: Tensor

    @property
    def n(self) -> int:
        """How many faces."""
        return len(self.values)

    @cached_property
    def median(self) -> float:
        """The middle value, or the mean of the two middle ones."""
        return _median(self.values)

    @cached_property
    def spread(self) -> float:
        """1.4826 times the median absolute deviation from the median: the standard deviation of a normal distribution,
        but no outlier (a wrong detection, say) moves it."""
        return _NORMAL * _median(self.deviations)

    @property
    def deviations(self) -> Tensor:
        """float64 [N], distances from the median."""
        return (self.values - self.median).abs()


@dataclass(frozen=True, eq=False)
class Framing:
    """How a set of faces sits in its pictures.

    scale: the face's size (`framing` says how) as a share of the picture's height. x, y: the face's centre, half-way
    between eyes and mouth, as shares of the picture's width and height. roll: degrees, positive for a head tilted
    clockwise as seen.
    """

    scale: Distribution
    x: Distribution
    y: Distribution
    roll: Distribution

    @classmethod
    def exactly(cls, scale: float, x: float, y: float, roll: float = 0.0) -> Framing:
        """A target for `reframe` given by numbers. It holds one face, too few to `compare` with."""
        return cls(*(Distribution(torch.tensor([float(v)], dtype=torch.float64)) for v in (scale, x, y, roll)))

    @property
    def n(self) -> int:
        """How many faces were measured."""
        return self.scale.n

    def __str__(self) -> str:
        s, x, y, r = self.scale, self.x, self.y, self.roll
        return (
            f"{self.n:,} faces: scale {s.median:.3f} ±{s.spread:.3f} of the height, centre ({x.median:.3f} ±{x.spread:.3f}, "
            f"{y.median:.3f} ±{y.spread:.3f}), roll {r.median:+.1f} ±{r.spread:.1f} degrees"
        )


FFHQ_CROP = Framing.exactly(scale=1 / 3.6, x=0.5, y=0.5 + 0.4 / 3.6)
"""Where the crop that made FFHQ puts a frontal face: its side is 3.6 eye-to-mouth distances, and its middle lies a tenth of
that distance below the eyes. Faces from generators trained on FFHQ are framed so."""


def framing(landmarks: Tensor, size: int | tuple[int, int]) -> Framing:
    """Measure how faces sit in their pictures.

    A face's size is its eye-to-mouth distance, or 10/9 of its eye-to-eye distance where that is more: a turned head
    narrows the one and a nod the other, so the larger is nearer to the truth. Its roll is the direction of the eyes' line
    and of the perpendicular to the line from eyes to mouth, added as vectors.

    Args:
        landmarks: float [N, 5, 2], as the module says.
        size: the pictures' (height, width) in pixels, or one number for squares.
    """
    height, width = _checked_size(size)
    place = _places(landmarks)
    share = (height, width, height, 1.0)
    return Framing(*(Distribution(place[i] / unit) for i, unit in zip((0, 1, 2, 3), share)))


@dataclass(frozen=True)
class Difference:
    """One comparison between sets A and B.

    quantity: "scale", "x", "y" or "roll". of: "median" or "spread". a, b: its value in either set. value: b / a for the
    scale's median, else b - a. low, high: where `value` lies with the report's confidence. matters: surely a difference,
    and not a negligible one.
    """

    quantity: str
    of: str
    a: float
    b: float
    value: float
    low: float
    high: float
    matters: bool

    def __str__(self) -> str:
        unit, factor, less, more, varies = _WORDS[self.quantity]
        if self.of == "spread":
            who = "B" if self.value > 0 else "A"
            return f"faces in {who} vary more in {varies}: ±{factor * self.a:.1f} {unit} in A, ±{factor * self.b:.1f} in B"
        if self.quantity == "scale":
            who, sizes = ("B", (self.value, self.low, self.high))
            if self.value < 1:
                who, sizes = "A", tuple(1 / size if size else math.inf for size in (self.value, self.high, self.low))
            return (
                f"faces in {who} fill {sizes[0]:.2f} times more of the picture ({sizes[1]:.2f} to {sizes[2]:.2f}): from eyes "
                f"to mouth {self.a:.3f} of its height in A, {self.b:.3f} in B"
            )
        low, high = sorted(factor * abs(end) for end in (self.low, self.high))
        return (
            f"faces in B {more if self.value > 0 else less} than in A by {factor * abs(self.value):.1f} {unit} ({low:.1f} to "
            f"{high:.1f}): {factor * self.a:.1f} in A, {factor * self.b:.1f} in B"
        )


@dataclass(frozen=True)
class FramingReport:
    """What `compare` found.

    differences: all eight, in the order median and spread of scale, x, y, roll. n_a, n_b: how many faces either set has.
    missed: in how many more pictures of A and of B no face was found. needed: how many faces either set must have for any
    difference to be sure.
    """

    differences: tuple[Difference, ...]
    n_a: int
    n_b: int
    missed: tuple[int, int]
    needed: int

    @property
    def mismatches(self) -> tuple[Difference, ...]:
        """The differences that matter."""
        return tuple(d for d in self.differences if d.matters)

    @property
    def conclusive(self) -> bool:
        """Whether both sets have enough faces to tell anything."""
        return min(self.n_a, self.n_b) >= self.needed

    def __getitem__(self, key: tuple[str, str]) -> Difference:
        """report["scale", "median"]"""
        return next(d for d in self.differences if (d.quantity, d.of) == key)

    def __str__(self) -> str:
        if not self.conclusive:
            lines = [
                f"Too few faces to compare framings: A has {self.n_a:,} and B {self.n_b:,}, "
                f"and each needs {self.needed} or more."
            ]
        else:
            alike = f"A and B are framed alike ({self.n_a:,} and {self.n_b:,} faces)."
            lines = [str(difference) for difference in self.mismatches] or [alike]
        for letter, n, missed in (("A", self.n_a, self.missed[0]), ("B", self.n_b, self.missed[1])):
            if missed:
                lines.append(f"no face was found in {missed:,} of {n + missed:,} pictures of {letter}")
        if self.mismatches:
            lines.append(CURE)
        return "\n".join(lines)


def compare(a: Framing, b: Framing, *, missed: tuple[int, int] = (0, 0)) -> FramingReport:
    """Name the differences between two framings that are sure and large enough to matter.

    Each set's median lies between two of its order statistics with a chance that the binomial distribution gives,
    whatever the values' distribution; the spread's likewise, from the distances to the median. The two intervals are
    joined into one of the difference by adding their half-widths in quadrature (Zou and Donner 2008, Statistics in
    Medicine 27). A difference matters where that interval excludes "none" and the difference itself exceeds
    3 % of the face's size, 1 % of the picture (centre) or one degree (roll). No chance is involved: the same sets give
    the same report.

    Args:
        a, b: from `framing`. Fewer than 14 faces in either can prove nothing: see `FramingReport.conclusive`.
        missed: pictures of A and of B in which no face was found, for the report.
    """
    miss = (1 - CONFIDENCE) / 8  # Bonferroni: the chances of eight errors add up to 1 - CONFIDENCE
    found = []
    for name in TOLERANCE:
        for of in ("median", "spread"):
            found.append(_difference(name, of, getattr(a, name), getattr(b, name), miss))
    return FramingReport(tuple(found), a.n, b.n, missed, math.ceil(1 + math.log2(1 / miss)))


def _difference(name: str, of: str, a: Distribution, b: Distribution, miss: float) -> Difference:
    values = [v.values for v in (a, b)]
    if name == "scale":  # sizes are compared as ratios, or zooming a set would look like spreading it
        values = [v.log() for v in values]
    if of == "spread":
        values = [Distribution(v).deviations * _NORMAL for v in values]
    (first, low_a, high_a), (second, low_b, high_b) = (_around_median(v, miss) for v in values)
    value = second - first
    low = value - math.hypot(second - low_b, high_a - first)
    high = value + math.hypot(high_b - second, first - low_a)
    matters = (low > 0 or high < 0) and abs(value) > TOLERANCE[name]
    if of == "spread":
        return Difference(name, of, first, second, value, low, high, matters)
    if name == "scale":
        value, low, high = (math.exp(v) for v in (value, low, high))
    return Difference(name, of, a.median, b.median, value, low, high, matters)


def _around_median(values: Tensor, miss: float) -> tuple[float, float, float]:
    """The median, and between which values that of the whole population lies but for a chance `miss`; few prove nothing."""
    from scipy.stats import binom  # takes half a second to import, and every training imports this module

    k = int(binom.ppf(miss / 2, len(values), 0.5))  # the k-th lowest and the k-th highest of n enclose it
    ordered = values.sort().values
    ends = (float(ordered[k - 1]), float(ordered[-k])) if k else (-math.inf, math.inf)
    return _median(values), *ends


def reframe(images: Tensor, landmarks: Tensor, target: Framing, *, per_face: bool = True) -> tuple[Tensor, Tensor]:
    """Move faces to the target's medians by similarity transforms: zoom, turn and shift, no distortion.

    What lies outside the old picture is its mirror image at the border, so no black wedge appears; the further faces
    are shrunk, the more of the result is such a mirror image, so prefer the tighter of two framings as the target.
    Pixels are interpolated bicubically, and averaged over as many points as shrinking needs to stay free of aliasing.

    Args:
        images: uint8 [N, 3, H, W] on any device.
        landmarks: float [N, 5, 2], as the module says.
        target: from `framing`, `Framing.exactly` or `FFHQ_CROP`.
        per_face: True gives each face its own transform, and all end up alike. False moves the whole set by one transform,
            which makes its medians the target's (its centre's nearly, if it turns the set too) and keeps its natural variety.

    Returns:
        (images uint8 [N, 3, H, W], landmarks float32 [N, 5, 2]) in the new pictures; a face depends on no other face in
        the batch if per_face.

    Raises:
        InputError: wrong shapes or types, landmarks that `framing` refuses, or a target with a scale of 0 or less.
    """
    _check_images(images, landmarks)
    if not target.scale.median > 0:
        raise InputError(f"the target's scale is {target.scale.median:g}: give one above 0, such as 0.28")
    if not len(images):
        return images.clone(), landmarks.float().clone()
    height, width = images.shape[2:]
    if not per_face:
        return move_all(images, landmarks, framing(landmarks, (height, width)), target)
    forward, shift = _transforms(_places(landmarks), target, height, width)
    return _warp(images, forward, shift), _moved(landmarks, forward, shift)


def move_all(images: Tensor, landmarks: Tensor | None, place: Framing, target: Framing) -> tuple[Tensor, Tensor | None]:
    """`reframe` of a whole set by the one transform that takes a face at the medians of `place` to those of `target`.

    Args:
        images: uint8 [N, 3, H, W] on any device.
        landmarks: float [N, 5, 2] where they are known; they move with the pictures.
        place: how the set is framed.
        target: how it will be.
    """
    height, width = images.shape[2:]
    typical = (place.scale.median * height, place.x.median * width, place.y.median * height, place.roll.median)
    forward, shift = _transforms(torch.tensor(typical, dtype=torch.float64)[:, None], target, height, width)
    moved = None if landmarks is None else _moved(landmarks, forward, shift)
    return _warp(images, forward.expand(len(images), 2, 2), shift.expand(len(images), 2)), moved


# -------------------------------------------------------------------------------------------------------- landmarks


def _places(landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Size, centre x and y in pixels, and roll in degrees: four float64 [N]."""
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2) or not landmarks.is_floating_point():
        raise InputError(
            f"landmarks are {landmarks.dtype} {list(landmarks.shape)}: they must be floats [N, 5, 2], "
            "(x, y) of two eyes, nose tip and two mouth corners"
        )
    if not len(landmarks):
        raise InputError("there are no landmarks, so there is no framing: give at least one face")
    points = landmarks.detach().cpu().double()  # on the CPU first: MPS has no float64
    bad = (~points.isfinite()).flatten(1).any(1).nonzero().flatten()
    if len(bad):
        raise InputError(f"the landmarks of face {int(bad[0])} are not finite: leave out faces that were not detected")
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    across, down = points[:, 1] - points[:, 0], mouth - eyes  # [N, 2]
    if float((across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0).double().mean()) > 0.5:
        raise InputError("the landmarks' left and right are exchanged: put the eye on the picture's left first")
    size = torch.maximum(down.norm(dim=1), EYES_TO_MOUTH * across.norm(dim=1))
    axis = across + torch.stack([down[:, 1], -down[:, 0]], 1)  # down turned by 90 degrees points along the eyes
    bad = ((size <= 0) | (axis.norm(dim=1) <= 0)).nonzero().flatten()
    if len(bad):
        raise InputError(f"the landmarks of face {int(bad[0])} lie in one place: leave out faces that were not detected")
    centre = (eyes + mouth) / 2
    return size, centre[:, 0], centre[:, 1], torch.rad2deg(torch.atan2(axis[:, 1], axis[:, 0]))


def _median(values: Tensor) -> float:
    ordered = values.sort().values
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)  # torch's takes the lower


def _checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise InputError(f"the pictures' size is {height}x{width}: give height and width in pixels, 1 or more")
    return height, width


# ---------------------------------------------------------------------------------------------------------- reframe


def _check_images(images: Tensor, landmarks: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise InputError(f"pictures are {images.dtype} {list(images.shape)}: they must be uint8 [N, 3, H, W]")
    if len(images) != len(landmarks):
        raise InputError(f"there are {len(images):,} pictures and landmarks of {len(landmarks):,}: give one face for each")


def _transforms(place: Sequence[Tensor], target: Framing, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(M [N, 2, 2], t [N, 2]) in float64 with new = M old + t, in pixels."""
    size, x, y, roll = place
    zoom = target.scale.median * height / size
    turn = torch.deg2rad(target.roll.median - roll)
    cosine, sine = zoom * turn.cos(), zoom * turn.sin()
    forward = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    goal = torch.tensor([target.x.median * width, target.y.median * height], dtype=torch.float64)
    return forward, goal - (forward @ torch.stack([x, y], 1)[..., None])[..., 0]


def _moved(landmarks: Tensor, forward: Tensor, shift: Tensor) -> Tensor:
    return (landmarks.cpu().double() @ forward.transpose(1, 2) + shift[:, None]).float().to(landmarks.device)


def _warp(images: Tensor, forward: Tensor, shift: Tensor) -> Tensor:
    """Pictures seen through new = M old + t; each output pixel averages k x k points where M shrinks by up to k."""
    height, width = images.shape[2:]
    back = torch.linalg.inv(forward)
    origin = -(back @ shift[..., None])
    # affine_grid counts from -1 to 1 over the picture, edge to edge (align_corners=False).
    half = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    linear = back * half / half[:, None]
    offset = (back @ half[:, None] + origin - half[:, None]) / half[:, None]
    theta = torch.cat([linear, offset], 2)  # [N, 2, 3]
    shrinks = back.det().abs().sqrt()
    points = torch.where(shrinks > 1.02, shrinks.ceil(), 1).long()
    result = torch.empty_like(images)
    for k in points.unique().tolist():
        chosen = (points == k).nonzero().flatten()
        step = max(1, _CHUNK_VALUES // (3 * height * width * k * k))
        for part in chosen.split(step):
            grid = F.affine_grid(theta[part], [len(part), 3, height * k, width * k], align_corners=False)
            grid = grid.float().to(images.device)
            part = part.to(images.device)
            seen = F.grid_sample(images[part].float(), grid, mode="bicubic", padding_mode="reflection", align_corners=False)
            result[part] = F.avg_pool2d(seen, k).round().clamp(0, 255).to(torch.uint8)
    return result


# --------------------------------------------------------------------------------------------------------- checking


def measure_framing(faces: Faces, most: int = 200, seed: int = 0) -> Framing:
    """How the faces of a set sit in their pictures, from its landmarks where it has them, else from found ones.

    Args:
        faces: any set.
        most: how many pictures to search for faces, chosen at random; known landmarks are all used.
        seed: of the choice.

    Raises:
        InputError: `most` is below 1, no face was found, or the package facenet-pytorch is missing.
    """
    return _measured(faces, most, seed)[0]


def _measured(faces: Faces, most: int, seed: int) -> tuple[Framing, int]:
    """The framing, and how many pictures were looked at."""
    if most < 1:
        raise InputError(f"most is {most}: search at least 1 picture, better 200")
    size = tuple(faces.images.shape[2:])
    if faces.landmarks is not None:
        return framing(faces.landmarks, size), len(faces)
    chosen = torch.from_numpy(np.sort(np.random.default_rng([4, seed]).permutation(len(faces))[:most]))
    found = find_faces(faces.images[chosen.to(faces.images.device)], progress=True)
    if not bool(found.found.any()):
        raise InputError(f"no face was found in {len(chosen):,} pictures of {faces.name}: give photographs of faces")
    return framing(found.landmarks[found.found], size), len(chosen)


def check_framing(data: Unpaired, most: int = 200, seed: int = 0) -> FramingReport:
    """Compare how faces are framed in the training pictures of both domains.

    Sets that are smaller than a comparison needs give a report that is not `conclusive`.

    Args:
        data: two domains.
        most, seed: as for `measure_framing`.

    Raises:
        InputError: a face was found in too few pictures of a domain to tell anything, or facenet-pytorch is missing.
    """
    (a, looked_a), (b, looked_b) = (_measured(faces, most, seed) for faces in (data.A, data.B))
    report = compare(a, b, missed=(looked_a - a.n, looked_b - b.n))
    for letter, faces, n, looked in (("A", data.A, a.n, looked_a), ("B", data.B, b.n, looked_b)):
        if n < report.needed <= looked:
            raise InputError(
                f"a face was found in only {n:,} of {looked:,} pictures of domain {letter} ({faces.name}), and a comparison "
                f"of framings needs {report.needed}: give pictures of faces, or train without the check"
            )
    return report


def framing_lines(data: Unpaired) -> list[str]:
    """What `check_framing` says of two domains, for the terminal; pictures without faces can be trained on too."""
    try:
        lines = str(check_framing(data)).splitlines()
    except InputError as error:
        lines = [f"not compared: {error}"]
    return [f"framing: {line}" for line in lines]
