"""What goes wrong when faces are made from noise, named: findings with evidence, confidence and what to try.

`diagnose_run` looks at what every run leaves: logged numbers and pictures from the same noise at every snapshot. Each measure
is a small function of these. The thresholds were found with the recorded runs (assets/sick, made by
tools/record_sick_runs.py), with drawn faces and with 1,000 portraits; beside each stands what was measured on either side.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.packed import load_faces, to_pixels
from facegen.files import InputError
from facegen.training.diagnose import LONG, Alarm, write_alarms
from facegen.training.fit import Snapshot
from facegen.training.runs import History, cut_grid, read_config, step_of

HEALTHY = "healthy"  # what a run without findings is called
ADVICE = {
    "mode collapse": "check that z is drawn from N(0, 1), lower G's learning rate, put batch norm back, or begin again with a "
    "gradient penalty (r1_gamma).",
    "partial collapse": "use a longer z, lower G's learning rate, add a gradient penalty (r1_gamma), or give D larger batches.",
    "discriminator won": "lower D's learning rate or width, augment what D sees, or smooth its labels.",
    "generator won": "raise D's learning rate or width, or let it take more steps (d_steps), as G learns only from a D that "
    "knows better.",
    "oscillation": "lower both learning rates, G's first, set beta1 to 0.5 or 0, let the rates fall (schedule), and average G "
    "(ema_kimg).",
    "memorisation": "use more pictures, augment what D sees, mirror, and stop earlier.",
    "droplet artefacts": "look for a normalisation of G's features that a spike can steer (instance norm, AdaIN), and take "
    "weight demodulation as StyleGAN2 does.",
    "colour shift": "check that real pictures are loaded, scaled and augmented as G's are: range, channel order, and no "
    "augmentation of the real ones alone.",
    "texture sticking": "train a StyleGAN3 if pictures shall move, or leave StyleGAN2's noise inputs out.",
    "converged": "stop here, or lower the learning rates; more time changes nothing.",
}
SICKNESSES = tuple(ADVICE)

SIDE = 8  # pictures are compared at SIDE x SIDE, where they are faces and no longer pixels
FEWEST = 8  # pictures: with fewer, chance decides
SETTLED = 4  # snapshots: earlier pictures are grey, all alike and change all the time, in healthy runs too
# Without real pictures, what faces are like: median distance at 8 x 8 (drawn 0.23, portraits 0.19) and variety (1.3, 1.06).
USUAL_DISTANCE, USUAL_VARIETY, USUAL_CONTRAST = 0.2, 1.1, 0.16
# Distance of two pictures, in median distances of real ones, below which they show one face. Share of such pairs among drawn
# faces and among portraits: 3e-5.
TWINS = 0.25
SOME = 512  # pictures are enough for statistics
PALE = 0.5  # contrast, with that of real pictures as 1: grey pictures that stay grey have not converged
HISTORY = 8  # snapshots that the live watch remembers
MOST_REAL = 8192  # real pictures that are looked at,
MOST_BYTES = 1 << 28  # or, of large ones, so many bytes, but 512 pictures


@dataclass(frozen=True)
class Scale:
    """A threshold between what was measured at healthy and at sick runs.

    Attributes:
        alarm: the value from which on it is a finding.
        sick: what the recorded sick run has; there the confidence is 0.95.
    """

    alarm: float
    sick: float

    def raised(self, value: float) -> bool:
        """Whether `value` lies on the sick side."""
        return value >= self.alarm if self.sick > self.alarm else value <= self.alarm

    def confidence(self, value: float) -> float:
        """0.5 at the alarm, 0.95 at what the recorded sick run has, at most 0.99."""
        share = (value - self.alarm) / (self.sick - self.alarm)
        return round(min(0.99, 0.5 + 0.45 * max(0.0, share)), 2)


# "Healthy" below: the recorded ones, and 18 runs of DCGAN, StyleGAN2 and StyleGAN3 on portraits and on drawn faces, 6 to 45
# snapshots each.
# Share of twins (`twin_share`). Healthy, from the fourth snapshot on: at most 0.03. Noise of a single number: 0.15 to 0.24.
TWIN_MODE = Scale(0.5, 0.95)
TWIN_PART = Scale(0.05, 0.15)
# Variety with that of real pictures as 1 (`variety`). Healthy: at least 0.7. Noise too weak for G to see: at most 0.3.
ALIKE = Scale(0.35, 0.1)
# D's lead (`lead`). Healthy: 0.04 to 0.95. D with a hundred times G's rate: 0.999.
D_WON = Scale(0.97, 0.995)
# Without norms and with four times D's rate G was never far from 0: 0.015. With D at a thousandth of G's rate: -0.33. A small
# StyleGAN2 on drawn faces, 0.058, and a hinge loss with spectral norm, 0.08, come near it and are healthy.
G_WON = Scale(0.03, 0.0)
# Change between two snapshots (`changes`), median of the last five. Healthy: up to 1.1 while a StyleGAN finds its faces, then
# below 0.5. G with twenty times D's rate: 0.65. Beside it the common movement of all colours (`sways`): healthy at most 0.1,
# oscillating 0.2.
RESTLESS = 0.5
SWAY = Scale(0.12, 0.2)
# A run at the end of its learning rate: 0.001 to 0.05; at its full rate: at least 0.09.
AT_REST = Scale(0.06, 0.045)
# Distance to the nearest training picture (`novelty`). Healthy: 0.9 to 1.5, blurred beginnings from 0.75 on. After 2,400 steps
# on 16 pictures: 0.51.
COPIED = Scale(0.68, 0.5)
# Share of pictures with a spot like few real pictures' (`spotted`). Healthy: at most 0.15. A drop in every picture: 0.9.
SPOTTED = Scale(0.35, 0.8)
# Difference of mean colours (`colour_cast`), the least of three snapshots. Healthy: at most 0.02. A warm tint of the real
# pictures alone: 0.07 to 0.1.
CAST = Scale(0.055, 0.09)
# What survives of the finest detail (`sticking`): the shipped StyleGAN2 1.07, the shipped StyleGAN3-R 0.74.
STUCK = Scale(0.92, 1.07)


@dataclass(frozen=True)
class Finding(Alarm):
    """An alarm about a run that makes faces from noise; its name is one of `SICKNESSES`.

    Attributes:
        confidence: 0.5 at the threshold, 0.95 where the recorded run with this sickness stands, at most 0.99.
    """

    confidence: float

    def __str__(self) -> str:
        return f"{self.name} ({self.confidence:.0%} sure): {self.evidence} Try: {self.advice}"


def diagnose_run(
    stats: Sequence[dict[str, float]],
    samples: Tensor,
    *,
    reals: Tensor | None = None,
    loss: str = "bce",
    strip: Tensor | None = None,
) -> list[Finding]:
    """Name what is wrong with a run that makes faces from noise. An empty list means: nothing that is known here.

    Args:
        stats: the logged steps, oldest first, as in stats.jsonl; `logits_real` and `logits_fake` are looked at.
        samples: uint8 [snapshots, N, 3, H, W], N >= 8, from the same noise at every snapshot, oldest first.
        reals: the training pictures, uint8 [M, 3, H, W], at most 8192 of which are looked at. Without them memorisation,
            droplets and colour shift are not looked for.
        loss: what the logits mean: bce, logistic, lsgan, hinge or relativistic. Others raise nothing about D and G.
        strip: pictures around several w's, from `interpolations`; without it texture sticking is not looked for.

    Returns:
        Findings, the surest first. "converged" comes only alone.

    Raises:
        InputError: pictures of other shapes or too few.
    """
    if samples.ndim != 5 or samples.shape[1] < FEWEST or samples.shape[2] != 3 or min(samples.shape[3:]) < 16:
        raise InputError(f"samples must be [snapshots, {FEWEST} or more, 3, 16 or more pixels, ...], got {list(samples.shape)}")
    real = None if reals is None else Reference.of(reals)
    return judge(stats, [Look.at(pictures) for pictures in samples[-HISTORY:]], len(samples), real, loss, strip)


@dataclass(frozen=True)
class Look:
    """What is remembered of the pictures of a snapshot.

    Attributes:
        coarse: [N, 3 * 64] in 0..1, pictures at 8 x 8.
        fine: [N, 3 * 256], at 16 x 16.
        variety: as `variety`.
        contrast: mean standard deviation within a picture at 8 x 8.
        spots: [N, 4]: strength and colour of each picture's strongest spot, of the first 512.
    """

    coarse: Tensor
    fine: Tensor
    variety: float
    contrast: float
    spots: Tensor

    @classmethod
    def at(cls, pictures: Tensor) -> Look:
        """Of uint8 [N, 3, H, W]."""
        coarse, fine = _small(pictures, SIDE), _small(pictures, 2 * SIDE)
        spots = strongest_spots(pictures[:SOME])
        return cls(coarse, fine, variety(pictures), coarse.std(dim=1).mean().item(), spots)


@dataclass(frozen=True)
class Reference:
    """What is remembered of the real pictures."""

    look: Look
    distance: float  # median between two pictures at 8 x 8
    neighbours: float  # median between a picture and its nearest neighbour at 16 x 16
    peak: float  # strength of a spot that one real picture in twenty has

    @classmethod
    def of(cls, reals: Tensor) -> Reference:
        """From uint8 [M, 3, H, W], M >= 2."""
        if len(reals) < 2:
            raise InputError("one real picture has nothing to be compared with: give two or more")
        look = Look.at(reals[: max(SOME, min(MOST_REAL, MOST_BYTES // reals[0].numel()))].cpu())
        some = look.fine[:SOME]
        d = _distances(some, look.fine)
        d[torch.arange(len(some)), torch.arange(len(some))] = math.inf
        nearest = d.min(dim=1).values.median().item()
        distance = (F.pdist(look.coarse[:SOME]).median() / math.sqrt(look.coarse.shape[1])).item()
        return cls(look, distance, nearest, look.spots[:, 0].quantile(0.95).item())


def judge(
    stats: Sequence[dict[str, float]],
    looks: Sequence[Look],
    snapshots: int,
    real: Reference | None,
    loss: str,
    strip: Tensor | None = None,
) -> list[Finding]:
    """`diagnose_run` on what is remembered: the looks at the last snapshots of `snapshots` so far."""
    usual = real.distance if real else USUAL_DISTANCE
    found: list[Finding | None] = []
    if snapshots >= SETTLED:
        copied = None if real is None else _copied(looks[-1], real)
        # Whoever copies a few pictures makes many alike: one cause, one finding.
        found += [copied, None if copied else _collapsed(looks, real, usual), _restless(looks, usual)]
        if real is not None:
            found += [_spotted(looks[-1], real), _cast(looks, real)]
    if strip is not None:
        found.append(_stuck(strip))
    found.append(_by_verdicts(stats, loss))  # last: D has also won where G paints one face, and equals keep their order
    sick = sorted((finding for finding in found if finding), key=lambda finding: -finding.confidence)
    contrast = looks[-1].contrast / (real.look.contrast if real else USUAL_CONTRAST)
    if sick or snapshots < SETTLED or contrast < PALE:
        return sick
    at_rest = _at_rest(looks, usual)
    return [at_rest] if at_rest else []


# -- measures


def twin_share(coarse: Tensor, distance: float) -> float:
    """The share of pairs that show one face. 1 over it is about how many different faces there are (birthday paradox).

    Args:
        coarse: [N, d], pictures at 8 x 8.
        distance: the usual one between two real pictures.

    Source: Arora and Zhang 2017, arXiv:1706.08224.
    """
    d = F.pdist(coarse) / math.sqrt(coarse.shape[1])
    return (d < TWINS * distance).float().mean().item()


def variety(pictures: Tensor) -> float:
    """Mean distance between pictures without each channel's mean, over their contrast: no tint or pale look changes it.

    pictures: uint8 [N, 3, H, W]. Unrelated pictures: 1.4; faces: 1.0 to 1.3.
    """
    x = F.adaptive_avg_pool2d(_unit_range(pictures[:SOME]), SIDE)
    x = (x - x.mean(dim=(2, 3), keepdim=True)).flatten(1)
    contrast = x.std(dim=1).mean().clamp_min(1e-3)
    return (F.pdist(x).mean() / math.sqrt(x.shape[1]) / contrast).item()


def verdicts(stats: Sequence[dict[str, float]], loss: str) -> Tensor | None:
    """What D made of real and of fake pictures in each logged step, [steps, 2]: 1 is "real", 0 "fake".

    A relativistic D only compares: it gets what it gives to real ones above 1/2, and fakes as much below. None for losses
    that have no such scale, and where nothing was logged.
    """
    lines = [line for line in stats if {"logits_real", "logits_fake"} <= set(line)]
    if not lines or loss not in ("bce", "logistic", "lsgan", "hinge", "relativistic"):
        return None
    logits = torch.tensor([[line["logits_real"], line["logits_fake"]] for line in lines])
    if loss == "lsgan":
        return logits.clamp(0, 1)
    if loss == "hinge":
        return (logits / 4 + 0.5).clamp(0, 1)  # no doubt at twice the margin, as for translations
    if loss == "relativistic":
        ahead = logits[:, 0] - logits[:, 1]
        return torch.stack([ahead.sigmoid(), (-ahead).sigmoid()], dim=1)
    return logits.sigmoid()


def lead(judged: Tensor) -> float:
    """D's verdict on real pictures minus that on fakes, median over the last LONG logged steps of `verdicts`."""
    return (judged[-LONG:, 0] - judged[-LONG:, 1]).median().item()


def changes(fine: Sequence[Tensor], distance: float) -> list[float]:
    """How much the same noise's pictures changed from each snapshot to the next; 1 is as much as two real pictures differ.

    fine: [N, d] of each snapshot; distance: the usual one between two real pictures.
    """
    moved = ((b - a).square().mean(dim=1).sqrt().mean() / distance for a, b in itertools.pairwise(fine))
    return [change.item() for change in moved]


def sways(coarse: Sequence[Tensor], distance: float) -> list[float]:
    """How far all pictures' colours moved together from each snapshot to the next, in distances between two real pictures.

    What the mean of N pictures moves by chance, if each goes its own way, is taken off. coarse: [N, 3 * 64] of each snapshot.
    """
    found = []
    for before, after in itertools.pairwise(x.unflatten(1, (3, -1)).mean(dim=2) for x in coarse):  # [N, 3] colours
        moved = after - before
        together = moved.mean(dim=0).square().mean() - moved.var(dim=0).mean() / len(moved)
        found.append(together.clamp_min(0).sqrt().item() / distance)
    return found


def novelty(fine: Tensor, reals: Tensor, neighbours: float) -> Tensor:
    """Distance of each picture to the nearest training picture, or its mirror image, [N].

    In units of the distance between nearest neighbours among the training pictures: near 1 are pictures of their own.
    fine: [N, 3 * 256]; reals: [M, 3 * 256], pictures at 16 x 16.
    """
    side = 2 * SIDE
    mirrored = fine.unflatten(1, (3, side, side)).flip(3).flatten(1)
    nearest = torch.minimum(_distances(fine, reals).min(dim=1).values, _distances(mirrored, reals).min(dim=1).values)
    return nearest / max(neighbours, 1e-6)


def strongest_spots(pictures: Tensor) -> Tensor:
    """How far each picture's strongest spot stands out, as a share of the range, and its colour: [N, 4].

    A spot is a tenth of a side wide and differs from its surroundings in all eight directions; an edge or a line does not.
    pictures: uint8 [N, 3, H, W].
    """
    reach, side = 4, 32
    x = F.adaptive_avg_pool2d(_unit_range(pictures), side)
    near = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    wide = F.pad(near, (reach,) * 4, mode="replicate")
    steps = [(dy, dx) for dy in (0, reach, 2 * reach) for dx in (0, reach, 2 * reach) if (dy, dx) != (reach, reach)]
    apart = torch.stack([near - wide[:, :, dy : dy + side, dx : dx + side] for dy, dx in steps])  # [8, N, 3, 32, 32]
    size, place = apart.square().mean(dim=2).sqrt().amin(dim=0).flatten(1).max(dim=1)
    colour = apart.mean(dim=0).flatten(2).gather(2, place[:, None, None].expand(-1, 3, 1))[..., 0]
    return torch.cat([size[:, None], F.normalize(colour, dim=1)], dim=1)


def spotted(spots: Tensor, peak: float) -> float:
    """The share of pictures whose spot is stronger than `peak` and of the colour that such spots have, 0 to 1."""
    strong = spots[:, 0] > peak
    if not strong.any():
        return 0.0
    common = F.normalize(spots[strong, 1:].mean(dim=0), dim=0)
    return (strong & (spots[:, 1:] @ common > 0.8)).float().mean().item()


def colour_cast(coarse: Tensor, reals: Tensor) -> tuple[str, float]:
    """By how much the mean colour of pictures differs from that of real ones, less twice what chance does; and which way.

    coarse: [N, 3 * 64], reals: [M, 3 * 64]. Looked at are brightness, red against green, and yellow against blue.
    """
    a, b = (_opponents(x.unflatten(1, (3, -1)).mean(dim=2)) for x in (coarse, reals))
    difference = a.mean(dim=0) - b.mean(dim=0)
    chance = b.std(dim=0) * math.sqrt(1 / len(a) + 1 / len(b))
    beyond = difference.abs() - 2 * chance
    worst = int(beyond.argmax())
    names = (("darker", "brighter"), ("greener", "redder"), ("bluer", "yellower"))
    return names[worst][int(difference[worst] > 0)], max(0.0, beyond[worst].item())


def sticking(strip: Tensor) -> float:
    """Whether the finest detail stays on its pixels while the face below it moves.

    The pictures around each w are averaged. Of each band of detail some share of the energy survives; that of the finest is
    divided by that of detail four times as coarse. Below 1 where detail moves with the face, above 1 where it sticks.

    Args:
        strip: [centres, K, 3, H, W], as from `interpolations`, any scale.

    Source: Karras et al. 2021, arXiv:2106.12423, figure 1, left, as a number.
    """
    grey = strip.float().mean(dim=2)  # [centres, K, H, W]
    fine, coarse = _survives(grey, 1, 3), _survives(grey, 5, 9)
    return fine / max(coarse, 1e-6)


@torch.no_grad()
def interpolations(G: nn.Module, centres: int = 6, count: int = 16, radius: float = 0.5, seed: int = 0) -> Tensor:
    """Pictures around some w's, each on the way to another w: uint8 [centres, count, 3, S, S] of a StyleGAN."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(centres, count + 1, G.z_dim, generator=generator)
    device = next(G.parameters()).device
    c = torch.zeros(count + 1, G.c_dim, device=device) if G.c_dim else None
    if c is not None:
        c[:, 0] = 1
    rows = []
    for each in z.to(device):
        ws = G.mapping(each, c)
        pictures = G.synthesis(ws[:1] + radius * (ws[1:] - ws[:1]), noise_mode="const")
        rows.append(to_pixels(pictures))
    return torch.stack(rows)


def _survives(grey: Tensor, inner: int, outer: int) -> float:
    """The share of a band's energy that is left in the mean of K pictures, corrected for what K unrelated ones leave."""
    band = _blurred(grey, inner) - _blurred(grey, outer)
    k = grey.shape[1]
    whole = band.square().mean(dim=(1, 2, 3)).clamp_min(1e-12)
    left = band.mean(dim=1).square().mean(dim=(1, 2))
    return (((left - whole / k) / (1 - 1 / k)).clamp_min(0) / whole).mean().item()


def _blurred(x: Tensor, side: int) -> Tensor:
    if side == 1:
        return x
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, mode="reflect"), side, 1)


def _unit_range(pictures: Tensor) -> Tensor:
    return pictures.float() / 255


def _small(pictures: Tensor, side: int) -> Tensor:
    """[N, 3 * side * side] in 0..1; of some at once, as floats all would take four times the memory."""
    return torch.cat([F.adaptive_avg_pool2d(_unit_range(piece), side).flatten(1) for piece in pictures.split(256)])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square differences [N, M]."""
    return torch.cdist(a, b) / math.sqrt(a.shape[1])


def _opponents(colours: Tensor) -> Tensor:
    """[N, 3] red, green, blue -> brightness, red against green, yellow against blue."""
    red, green, blue = colours.unbind(dim=1)
    return torch.stack([colours.mean(dim=1), red - green, (red + green) / 2 - blue], dim=1)


# -- findings


def _finding(name: str, scale: Scale, value: float, evidence: str, severity: str = "serious") -> Finding | None:
    if not scale.raised(value):
        return None
    confidence = scale.confidence(value)
    return Finding(name, evidence, ADVICE[name], severity if severity == "note" or confidence >= 0.7 else "warning", confidence)


def _by_verdicts(stats: Sequence[dict[str, float]], loss: str) -> Finding | None:
    judged = verdicts(stats, loss)
    if judged is None or len(judged) < LONG:
        return None
    ahead, (real, fake) = lead(judged), judged[-LONG:].median(dim=0).values.tolist()
    said = f"Over the last {LONG} logged steps D gives real pictures {real:.2f} and fakes {fake:.2f}: {ahead:.3f} apart"
    return _finding(
        "discriminator won", D_WON, ahead, f"{said} (1: no doubt left; above {D_WON.alarm} G learns next to nothing)."
    ) or _finding("generator won", G_WON, ahead, f"{said} (below {G_WON.alarm} D tells G next to nothing).")


def _collapsed(looks: Sequence[Look], real: Reference | None, distance: float) -> Finding | None:
    n = len(looks[-1].coarse)
    # Twins in the two last snapshots: one alone may be a fluke.
    # Pale pictures are near to each other without being alike.
    usual = real.look.contrast if real else USUAL_CONTRAST
    share = min(twin_share(look.coarse, distance * min(1.0, look.contrast / usual)) for look in looks[-2:])
    kept = max(look.variety for look in looks[-2:]) / (real.look.variety if real else USUAL_VARIETY)
    faces = "one face" if share > 0.5 else f"about {1 / max(share, 0.001):.0f} different faces"
    evidence = f"{share:.0%} of the pairs among {n} pictures are twins, {faces}; variety is {kept:.2f} of real pictures'."
    # Of M training pictures even faithful copies are alike in one pair of M.
    part = share - 1 / len(real.look.coarse) if real else share
    whole = _finding("mode collapse", TWIN_MODE, share, evidence) or _finding("mode collapse", ALIKE, kept, evidence)
    return whole or _finding("partial collapse", TWIN_PART, part, evidence)


def _restless(looks: Sequence[Look], distance: float) -> Finding | None:
    """Pictures that change much are still being learned. In a run that oscillates they do, and all in one direction."""
    late = looks[-6:]
    moved = statistics.median(changes([look.fine for look in late], distance))
    sway = statistics.median(sways([look.coarse for look in late], distance))
    if moved < RESTLESS:
        return None
    return _finding(
        "oscillation",
        SWAY,
        sway,
        f"From one snapshot to the next the same noise's pictures change by {moved:.2f} of the distance between two faces "
        f"(medians of {len(late) - 1}), and the colours of all of them move together by {sway:.2f} (above {SWAY.alarm} G runs "
        "after D, or away from it).",
    )


def _at_rest(looks: Sequence[Look], distance: float) -> Finding | None:
    moved = changes([look.fine for look in looks[-3:]], distance)
    return _finding(
        "converged",
        AT_REST,
        max(moved),
        f"From one snapshot to the next the same noise's pictures change by only {', '.join(f'{x:.3f}' for x in moved)} of the "
        f"distance between two faces (below {AT_REST.alarm}), and nothing else is wrong.",
        "note",
    )


def _copied(look: Look, real: Reference) -> Finding | None:
    new = novelty(look.fine, real.look.fine, real.neighbours)
    value = new.median().item()
    return _finding(
        "memorisation",
        COPIED,
        value,
        f"Pictures lie {value:.2f} times as far from the nearest of {len(real.look.fine)} training pictures as these lie from "
        f"each other (median; below {COPIED.alarm} are copies); {int((new < COPIED.alarm).sum())} of {len(new)} are copies.",
    )


def _spotted(look: Look, real: Reference) -> Finding | None:
    share = spotted(look.spots, real.peak)
    return _finding(
        "droplet artefacts",
        SPOTTED,
        share,
        f"{share:.0%} of the pictures have a small spot of one colour that stands out more than in 95 % of the real ones "
        f"({look.spots[:, 0].median():.2f} of the range from all that is around it, against {real.peak:.2f}).",
    )


def _cast(looks: Sequence[Look], real: Reference) -> Finding | None:
    casts = [colour_cast(look.coarse, real.look.coarse) for look in looks[-3:]]
    way, value = casts[-1][0], min(cast for _, cast in casts)
    if len({each for each, _ in casts}) > 1:  # from one colour to another: that is oscillation
        return None
    return _finding(
        "colour shift",
        CAST,
        value,
        f"Pictures are {way} than real ones by {value:.2f} of the range, beyond what chance does, in three snapshots "
        f"(above {CAST.alarm} is a cast).",
    )


def _stuck(strip: Tensor) -> Finding | None:
    value = sticking(strip)
    return _finding(
        "texture sticking",
        STUCK,
        value,
        f"Averaged over pictures around one w, the finest detail survives {value:.2f} times as well as detail four times as "
        f"coarse (above {STUCK.alarm} it stays on its pixels while the face moves).",
        "warning",
    )


# -- in training


class RunWatch:
    """A hook for `fit` on runs that make faces from noise: says once what is wrong, and writes it into alarms.jsonl.

    What is remembered are small pictures of the last snapshots; a look takes some milliseconds.

    Args:
        reals: the training pictures, uint8 [M, 3, H, W]; the first 8192 are looked at, once.
        loss: the run's, for what D's numbers mean.
    """

    def __init__(self, reals: Tensor | None, loss: str = "bce") -> None:
        self.real = Reference.of(reals) if reals is not None and len(reals) > 1 else None
        self.loss = loss
        self.looks: list[Look] = []
        self.snapshots, self.said = 0, set()

    def __call__(self, snapshot: Snapshot) -> None:
        """Print the findings of a snapshot that are new, and add all to the run's alarms.jsonl, one line each."""
        if len(snapshot.samples) < FEWEST or snapshot.samples.shape[1] != 3 or min(snapshot.samples.shape[2:]) < 16:
            return
        if not self.looks:
            self._remember(snapshot)
        self.snapshots += 1
        self.looks = [*self.looks[1 - HISTORY :], Look.at(snapshot.samples)]
        findings = judge(snapshot.stats, self.looks, self.snapshots, self.real, self.loss)
        for finding in findings:
            if finding.name not in self.said:
                tqdm.write(f"{snapshot.kimg:.4g} kimg: {finding}")
        self.said |= {finding.name for finding in findings}
        write_alarms(snapshot.outdir, snapshot.step, {"kimg": snapshot.kimg}, findings)

    def _remember(self, snapshot: Snapshot) -> None:
        """Look at what a resumed run has made before."""
        paths = sorted((snapshot.outdir / "samples").glob("step-*.png"))
        earlier = [path for path in paths if step_of(path) < snapshot.step]
        n, _, _, size = snapshot.samples.shape
        self.snapshots = len(earlier)
        self.looks = [Look.at(cut_grid(path, size, n)) for path in earlier[1 - HISTORY :]]


# -- recorded runs


def recorded_folder() -> Path:
    """The folder of the recorded runs: in the course's tree, beside the package or above the working folder."""
    here = Path.cwd()
    for root in (Path(__file__).resolve().parents[2], here, here.parent):
        if (folder := root / "assets" / "sick").is_dir():
            return folder
    raise InputError("no assets/sick: the recorded runs come with the course; start in its folder, or in its notebooks")


def recorded_letters() -> list[str]:
    """The names of the recorded runs: letters."""
    return sorted(path.parent.name for path in recorded_folder().glob("*/config.json"))


def recorded_run(letter: str) -> tuple[dict[str, list[float]], np.ndarray]:
    """A recorded run, sick or healthy.

    Args:
        letter: one of `recorded_letters`.

    Returns:
        stats: the logged numbers, a list for each name, oldest first: step, kimg, loss_D, loss_G, logits_real, ...
        samples: uint8 [snapshots, N, H, W, 3]: pictures from the same N noise vectors, oldest first.

    Raises:
        InputError: no such letter, or the recorded runs are not here.
    """
    history = History.load(_recorded(letter))
    stats = {name: [line[name] for line in history.stats] for name in history.stats[0]}
    return stats, history.samples.permute(0, 1, 3, 4, 2).contiguous().numpy()


def recorded_reals(letter: str, most: int | None = 500) -> np.ndarray:
    """The pictures that a recorded run was trained on, or the first `most` of them, drawn again: uint8 [M, H, W, 3].

    Raises:
        InputError: as `recorded_run`, or the faces are drawn differently by now.
    """
    return training_pictures(_recorded(letter), most=most).permute(0, 2, 3, 1).contiguous().numpy()


def training_pictures(run: Path, source: str | None = None, most: int | None = None) -> Tensor:
    """The pictures that a run was trained on, uint8 [M, 3, H, W]: drawn again, or from `source`.

    With `most` only so many of the drawn faces are drawn; whether they are the run's is then not known by their hash.

    Raises:
        InputError: they are no drawn faces and `source` is not given, or its pictures are others.
    """
    about = read_config(run)
    data, size, seed = about["data"], about["image_size"], about["config"].get("seed", 0)
    if source is None and data["name"] != "drawn":
        raise InputError(f"{run} was trained on {data['name']}: give these pictures with --data")
    if source is None and most is not None and most < data["count"]:
        return load_faces(f"drawn:{most}", size, seed=seed).images
    faces = load_faces(source or f"drawn:{data['count']}", size, max_images=data["count"], seed=seed)
    if faces.content_hash != data["hash"]:
        raise InputError(f"{run} was trained on other pictures than {source or 'the faces drawn now'}: give those with --data")
    return faces.images


def is_answer(letter: str, name: str) -> bool:
    """Whether the recorded run `letter` suffers from `name`, one of `SICKNESSES`, or is "healthy"."""
    answers = json.loads((_recorded(letter).parent / "answers.json").read_text(encoding="utf-8"))
    return answers[letter] == hidden_answer(letter, name)


def hidden_answer(letter: str, name: str) -> str:
    """What stands in answers.json for it: a reader of the file does not read the answer by accident."""
    return hashlib.sha256(f"{letter}: {name}".encode()).hexdigest()


def _recorded(letter: str) -> Path:
    letters = recorded_letters()
    if letter not in letters:
        raise InputError(f"there is no recorded run {letter!r}: choose one of {', '.join(letters)}")
    return recorded_folder() / letter
