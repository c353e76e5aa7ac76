"""What goes wrong when faces are translated, named: alarms with evidence and the next thing to try.

Every measure is a small function of a batch of inputs and what the generator made of them, on the CPU, in milliseconds.
The thresholds were found by provoking each failure with drawn faces (8 people at 64 pixels, 50 seeds) and by
recording runs; beside each stands what was measured on either side of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from facegen.files import InputError, write_text
from facegen.training.fit import Snapshot

Embed = Callable[[Tensor], Tensor]

FEWEST = 6  # pictures: with fewer, chance decides whether strangers look alike
MARGIN = 0.2  # of each side is cut off, so that faces are compared and not the rooms behind them
ALIKE = 0.01  # mean distance (of 0..1) below which the inputs are one picture; drawn faces: 0.15

# Diversity kept. Healthy (planted faults, another light and pose, blur, less contrast): at least 0.82. Halfway to the mean
# face: 0.64 to 0.86. One face in everybody's hair and room: 0.17 to 0.61 (at 32 pixels to 0.67). The mean face: at most 0.08.
CONVERGED, CONVERGED_SERIOUS = 0.7, 0.3
# Identity kept, by structure. The same people with planted faults: at least 0.88; in another pose and light: at least 0.37.
# Shuffled people: -0.49 to 0.29 (chance makes neighbours alike); the mean face: at most 0.07. By an embedding learned from
# drawn faces: at least 0.76 in another pose and light; shuffled people: above the line in 1 seed of 50.
LOST, LOST_SERIOUS = 0.35, 0.15
# Correlation of brightness or of hue. Healthy and even strangers: at least -0.1; one face with tints: -0.25; negatives: -1.
INVERTED, INVERTED_SERIOUS = -0.3, -0.7
# Change at the most changed hundredth of a picture, median over the pictures. Planted faults: at least 0.12; colours a
# little warmer: 0.04. Copies with 1 % noise: 0.01; a JPEG of quality 80: about 0.03.
UNCHANGED, UNCHANGED_SERIOUS = 0.03, 0.005
# Median of D's verdicts on real minus those on fake over the last LONG entries. Runs that made good faces: at most 0.95.
# D with a hundred times G's rate: at least 0.986 after its first 200 steps.
WON, WON_SERIOUS = 0.97, 0.985
LONG = 50  # logged steps


@dataclass(frozen=True)
class Alarm:
    """One named failure.

    Attributes:
        name: "outputs converge to one face", "identity lost", "colours inverted", "output unchanged", "discriminator won".
        evidence: a sentence with the numbers that raised it.
        advice: what to try next, a sentence.
        severity: "warning", or "serious" where more of the same training will not mend it.
    """

    name: str
    evidence: str
    advice: str
    severity: str

    def __str__(self) -> str:
        return f"{self.name} ({self.severity}): {self.evidence} Try: {self.advice}"


def diagnose(
    inputs: Tensor,
    outputs: Tensor,
    *,
    embed: Embed | None = None,
    logits_real: Tensor | Sequence[float] | None = None,
    logits_fake: Tensor | Sequence[float] | None = None,
    loss: str = "lsgan",
) -> list[Alarm]:
    """Look for the known failures of a translation. An empty list means: none of them.

    Args:
        inputs, outputs: the same number of pictures [N, 3, H, W], N >= 6 different people, uint8 or floating in [-1, 1];
            output i was made from input i.
        embed: pictures [N, 3, H, W] in [-1, 1] -> vectors [N, E], near in direction for pictures of one person. Without it
            identity is judged by coarse structure and colour, which pose and light change too; the evidence says so.
        logits_real, logits_fake: what D said in the logged steps, oldest first: [steps] or [steps, ...], averaged over the
            further axes. Fewer than 50 entries raise nothing: D may lead for a while.
        loss: what the logits mean: "lsgan", "bce" (or "vanilla") or "hinge". Other losses have no scale on which D could
            have won, so they raise nothing.

    Returns:
        Alarms, those about the outputs first.

    Raises:
        InputError: shapes or types that do not fit, too few or equal people, values that are not finite.
    """
    a, b = _pair(inputs, outputs)
    if len(a) < FEWEST:
        raise InputError(f"diagnose: {len(a)} pictures are too few to compare people with each other: give {FEWEST} or more")
    if _distance(_coarse(a)) < ALIKE:
        raise InputError("diagnose: the inputs are all nearly the same picture: give pictures of different people")
    inverted, negative = _inversion(a, b)
    # A negative looks like nobody. Turned back it may still be the right person, so that one cause raises one alarm.
    found = [_converged(a, b), _lost(a, 1 - b if negative else b, embed), inverted, _unchanged(a, b)]
    if logits_real is not None or logits_fake is not None:
        found.append(_won(logits_real, logits_fake, loss))
    return [alarm for alarm in found if alarm]


class Watch:
    """A hook for `fit`: looks at every snapshot of a translation, says what is wrong, and writes it into alarms.jsonl.

    Args:
        originals: the pictures whose translations the snapshots show, as for `diagnose`.
        loss: the run's, for what D's numbers mean.
        embed: as for `diagnose`.

    Raises:
        InputError: originals that `diagnose` cannot work with: fewer than 6, or all alike.
    """

    def __init__(self, originals: Tensor, loss: str = "lsgan", embed: Embed | None = None) -> None:
        diagnose(originals, originals)
        self.originals, self.loss, self.embed = originals, loss, embed

    def __call__(self, snapshot: Snapshot) -> None:
        """Print the alarms of a snapshot, and add them to the run's alarms.jsonl, one line each."""
        real, fake = (both_logits(snapshot.stats, sort) for sort in ("real", "fake"))
        alarms = diagnose(
            self.originals, snapshot.samples, embed=self.embed, logits_real=real, logits_fake=fake, loss=self.loss
        )
        epoch = snapshot.stats[-1]["epoch"] if snapshot.stats else 0.0
        for alarm in alarms:
            tqdm.write(f"epoch {epoch:.4g}: {alarm}")
        write_alarms(snapshot.outdir, snapshot.step, {"epoch": epoch}, alarms)


def write_alarms(outdir: Path, step: int, place: dict[str, float], alarms: Sequence[Alarm]) -> None:
    """Add lines to a run's alarms.jsonl; what a run wrote there after `step`, before it was resumed, goes."""
    path = outdir / "alarms.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    old = [line for line in lines if json.loads(line)["step"] < step]
    new = [json.dumps({"step": step, **place, **asdict(alarm)}) for alarm in alarms]
    if not new and len(old) == len(lines):
        return
    write_text(path, "".join(f"{line}\n" for line in old + new))


def both_logits(stats: Sequence[dict[str, float]], sort: str) -> list[list[float]] | None:
    """What both discriminators said of "real", or of "fake", pictures in each logged step; None before the first."""
    return [[line[f"logits_{sort}_{letter}"] for letter in "AB"] for line in stats] or None


def diversity_kept(inputs: Tensor, outputs: Tensor) -> float:
    """How much the outputs differ from each other, with the inputs' own differences as 1.

    Mean distance over all pairs of the pictures' middles at 8 x 8, each channel's mean taken away and divided by the
    batch's contrast, so that neither one tint per picture nor a paler look passes for more or less variety.

    Raises:
        InputError: as `diagnose`.
    """
    a, b = (_coarse(x) for x in _pair(inputs, outputs))
    spread = [_distance(x) / max(_contrast(x), 1e-3) for x in (a, b)]
    return spread[1] / max(spread[0], 1e-6)


def identity_kept(inputs: Tensor, outputs: Tensor, embed: Embed | None = None) -> Tensor:
    """How much each output resembles its own input, float32 [N]: 1 is the same picture, 0 no more than anybody else's.

    (own - others) / (1 - others), where own is the cosine between an input and its output, others the mean cosine between
    inputs and the outputs of other people. Without `embed` the vectors are coarse structure and colour relative to the
    batch's average, and so depend on who else is in the batch.

    Args:
        inputs, outputs, embed: as for `diagnose`; N >= 2.

    Raises:
        InputError: as `diagnose`, or `embed` does not return one finite vector per picture.
    """
    a, b = _pair(inputs, outputs)
    if len(a) < 2:
        raise InputError("identity_kept: one picture has nobody to be compared with: give two or more")
    vectors = [_embedded(embed, x) if embed else _structure(x) for x in (a, b)]
    cosines = vectors[0] @ vectors[1].T  # [N, N]: row i is input i against every output
    own, n = cosines.diagonal(), len(a)
    others = (cosines.sum() - own.sum()) / (n * (n - 1))
    return (own - others) / (1 - others).clamp_min(1e-6)


def change_made(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Mean absolute change of each picture, float32 [N], as a share of the range from black to white.

    Raises:
        InputError: as `diagnose`.
    """
    a, b = _pair(inputs, outputs)
    return (a - b).abs().mean(dim=(1, 2, 3))


def _pair(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    a, b = _pictures(inputs, "inputs"), _pictures(outputs, "outputs")
    if a.shape != b.shape:
        raise InputError(f"inputs {list(a.shape)} and outputs {list(b.shape)} differ in shape: give each output its own input")
    return a, b


def _pictures(images: Tensor, name: str) -> Tensor:
    """float32 [N, 3, H, W] in [0, 1] on the CPU."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not len(images):
        what = list(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(f"{name} must be pictures [N, 3, H, W], got {what}")
    if min(images.shape[2:]) < 16:
        raise InputError(f"{name} are {images.shape[3]} x {images.shape[2]} pixels: give at least 16 x 16")
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise InputError(f"{name} must be uint8 or floating in [-1, 1], got {str(images.dtype).removeprefix('torch.')}")
    if not images.isfinite().all():
        raise InputError(f"{name} hold values that are not finite: the network has diverged, go back to an earlier epoch")
    return ((images.float() + 1) / 2).clamp(0, 1)


def _middle(x: Tensor) -> Tensor:
    """The middle of each picture at 8 x 8."""
    top, left = (round(side * MARGIN) for side in x.shape[2:])
    return F.adaptive_avg_pool2d(x[:, :, top : x.shape[2] - top, left : x.shape[3] - left], 8)


def _coarse(x: Tensor) -> Tensor:
    """The middle of each picture, each channel about its own mean."""
    x = _middle(x)
    return x - x.mean(dim=(2, 3), keepdim=True)


def _contrast(x: Tensor) -> float:
    return x.flatten(1).std(dim=1).mean().item()


def _distance(x: Tensor) -> float:
    """Mean over all pairs of the root mean square difference."""
    x = x.flatten(1)
    return (F.pdist(x).mean() / math.sqrt(x.shape[1])).item() if len(x) > 1 else 0.0


def _unit(x: Tensor, least: float = 1e-6) -> Tensor:
    return x / x.norm(dim=1, keepdim=True).clamp_min(least)


def _structure(x: Tensor) -> Tensor:
    """Unit vectors [N, 256] of what sets a person's picture apart from the batch's average.

    Half of it is colour at 8 x 8 with its level (skin, hair), the other half brightness at 8 x 8 without level and contrast
    (shapes). Either alone leaves strangers and the same person in another light closer together.
    """
    colour = _middle(x)
    shape = _unit((colour.mean(dim=1) - colour.mean(dim=(1, 2, 3))[:, None, None]).flatten(1))
    parts = [part - part.mean(dim=0) for part in (colour.flatten(1), shape)]
    # One grey level in every tile is 0.05: what is far below it is rounding, and has no direction.
    return torch.cat([_unit(part, 1e-3) for part in parts], dim=1) / math.sqrt(2)


def _embedded(embed: Embed, x: Tensor) -> Tensor:
    vectors = embed(x * 2 - 1)
    if not isinstance(vectors, Tensor) or vectors.ndim != 2 or len(vectors) != len(x) or not vectors.isfinite().all():
        what = f"shape {list(vectors.shape)}" if isinstance(vectors, Tensor) else type(vectors).__name__
        raise InputError(f"embed must return one finite vector per picture, [{len(x)}, E], got {what}")
    return _unit(vectors.detach().cpu().float())


def _severity(serious: bool) -> str:
    return "serious" if serious else "warning"


def _converged(a: Tensor, b: Tensor) -> Alarm | None:
    kept = diversity_kept(a * 2 - 1, b * 2 - 1)
    if kept >= CONVERGED:
        return None
    return Alarm(
        "outputs converge to one face",
        f"The {len(b)} outputs differ from each other {kept:.2f} times as much as their inputs do (alarm below {CONVERGED}).",
        "check that both domains frame faces alike, raise lambda_identity or lambda_face, and go back to an earlier epoch.",
        _severity(kept < CONVERGED_SERIOUS),
    )


def _lost(a: Tensor, b: Tensor, embed: Embed | None) -> Alarm | None:
    each = identity_kept(a * 2 - 1, b * 2 - 1, embed)
    kept = each.mean().item()
    if kept >= LOST:
        return None
    how = "by the embedding" if embed else "by coarse structure and colour, as no embedding was given"
    people = int((each < LOST).sum())
    return Alarm(
        "identity lost",
        f"Outputs resemble their own input by {kept:.2f} (1: the same picture, 0: anybody's; below {LOST} is too little), "
        f"{people} of {len(each)} people are lost, judged {how}.",
        "raise lambda_identity, add the face-identity loss (lambda_face), raise lambda_A, or take an earlier epoch.",
        _severity(kept < LOST_SERIOUS),
    )


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Of each row of a with the same row of b; 0 where either is flat."""
    return (_unit(a - a.mean(dim=1, keepdim=True)) * _unit(b - b.mean(dim=1, keepdim=True))).sum(dim=1)


def _inversion(a: Tensor, b: Tensor) -> tuple[Alarm | None, bool]:
    """The alarm, and whether brightness is inverted too, not hues alone."""
    a, b = F.adaptive_avg_pool2d(a, 16), F.adaptive_avg_pool2d(b, 16)
    light = _correlation(a.mean(dim=1).flatten(1), b.mean(dim=1).flatten(1))
    hue = _hue_correlation(a, b)
    worst = min(light.mean().item(), hue)
    if worst >= INVERTED:
        return None, False
    alarm = Alarm(
        "colours inverted",
        f"Brightness of input and output correlates by {light.mean():.2f} (negative for {int((light < 0).sum())} of "
        f"{len(light)} pictures), hue by {hue:.2f}; below {INVERTED} is inverted.",
        "check the pictures' range (-1 to 1) and channel order, raise lambda_identity, or start again with another seed.",
        _severity(worst < INVERTED_SERIOUS),
    )
    return alarm, light.mean().item() < INVERTED


def _hue_correlation(a: Tensor, b: Tensor) -> float:
    """Correlation of colour without brightness over the whole batch; 0 where either is grey.

    Once about grey and once about the batch's mean colour, and the larger of the two: a cast over all pictures lowers the
    first, one face for all the second, and only an inversion lowers both.
    """
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    if min(a.square().mean().sqrt().item(), b.square().mean().sqrt().item()) < 0.01:
        return 0.0
    centred = [(x - x.mean(dim=(0, 2, 3), keepdim=True)).reshape(1, -1) for x in (a, b)]
    plain = (_unit(a.reshape(1, -1)) * _unit(b.reshape(1, -1))).sum().item()
    return max(plain, (_unit(centred[0]) * _unit(centred[1])).sum().item())


def _unchanged(a: Tensor, b: Tensor) -> Alarm | None:
    change = a - b
    size = [min(32, side) for side in a.shape[2:]]  # averaging over tiles: noise and rounding are no change
    most = F.adaptive_avg_pool2d(change, size).abs().mean(dim=1).flatten(1).quantile(0.99, dim=1)  # [N]
    typical = most.median().item()
    if typical >= UNCHANGED:
        return None
    mean, copies = change.abs().mean().item(), int((most < UNCHANGED).sum())
    return Alarm(
        "output unchanged",
        f"{copies} of {len(a)} outputs are copies: the most changed hundredth of a picture changes by {typical:.3f} of the "
        f"range (below {UNCHANGED} is a copy), all of it by {mean:.3f} on average.",
        "check that the two domains differ at all, lower lambda_identity, and train for longer.",
        _severity(typical < UNCHANGED_SERIOUS),
    )


def _verdicts(logits: Tensor | Sequence[float] | None, name: str, loss: str) -> Tensor:
    """[steps], near 1 where D says real and near 0 where it says fake."""
    try:
        values = torch.as_tensor(logits).detach().cpu().float()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} must be a tensor or list of numbers, oldest step first; give both or neither") from None
    if values.ndim == 0 or not values.numel() or not values.isfinite().all():
        raise InputError(f"{name} must be finite numbers [steps], oldest step first, got shape {list(values.shape)}")
    if loss in ("bce", "vanilla"):
        values = values.sigmoid()
    elif loss == "hinge":
        values = (values / 4 + 0.5).clamp(0, 1)  # no doubt at twice the margin: many a healthy D goes past it once
    return values.flatten(1).mean(dim=1) if values.ndim > 1 else values


def _won(real: Tensor | Sequence[float] | None, fake: Tensor | Sequence[float] | None, loss: str) -> Alarm | None:
    if loss in ("wgan", "wgan-gp", "wgangp", "relativistic"):
        return None
    if loss not in ("lsgan", "bce", "vanilla", "hinge"):
        raise InputError(
            f"diagnose: loss={loss!r} is not known: choose lsgan, bce, vanilla, hinge, wgan, wgan-gp or relativistic"
        )
    real, fake = _verdicts(real, "logits_real", loss), _verdicts(fake, "logits_fake", loss)
    if len(real) != len(fake):
        raise InputError(f"logits_real has {len(real)} steps and logits_fake {len(fake)}: give both of the same steps")
    if len(real) < LONG:
        return None
    gap = (real - fake)[-LONG:].median().item()
    if gap <= WON:
        return None
    return Alarm(
        "discriminator won",
        f"Over the last {LONG} logged steps D gives real pictures {real[-LONG:].mean():.2f} and fakes "
        f"{fake[-LONG:].mean():.2f}, {gap:.2f} apart (1: no doubt left; above {WON} G learns next to nothing).",
        "lower D's learning rate or width, take fewer D layers, or look for a difference in framing that gives fakes away.",
        _severity(gap > WON_SERIOUS),
    )
