"""Measuring a generator: every number with its interval, its protocol, and what real pictures get in the same place.

fakes = Generated(G, count=2000)
for result in measure(fakes, faces, Settings(metrics=("fid", "kid", "pr"))).results:
    print(result)                       # FID-lite0 81.3 (80.1 to 82.6) [...]; at 600 pictures: fakes 88.0, real ones 10.8

A distance between sets depends on how many pictures there are, so each is given twice: of all fakes against all real pictures,
and of n fakes and of n held-out real pictures against the same half of the real ones. What the held-out pictures get is what a
perfect generator would; with few pictures that is not 0. Numbers are only compared where they were measured alike
(`compare_results`).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.fetch import digest
from facegen.data.packed import Faces, common_size, load_faces
from facegen.evaluation.distances import (
    bootstrap_interval,
    density_coverage,
    frechet_distance,
    inception_score,
    kid,
    precision_recall,
    wilson_interval,
)
from facegen.evaluation.equivariance import KINDS, NAMES, Decibels, drawer, equivariance
from facegen.evaluation.features import Features, Measured, Protocol, cached_features, load_features, require_same
from facegen.evaluation.neighbours import LEAST, Memorised, memorised
from facegen.evaluation.spectra import UPPER, spectrum
from facegen.files import InputError, write_text
from facegen.latent.edit import slerp
from facegen.latent.sample import Labels, evaluating, has_styles, one_hot, sample, sample_batches
from facegen.models.perceptual import Perceptual, load_perceptual
from facegen.models.pretrained import load
from facegen.models.published import network_file

RESIZINGS = ("clean", "legacy")
FORMAT = "facegen-evaluation-1"
FEWEST = 12  # fakes, and real pictures in a half
CHUNK = 32  # pictures at a time
PPL_STEP = 1e-4  # the paper's epsilon
SEEN = 256  # pixels: larger pictures are reduced before they are compared perceptually, as the papers do
REDUCED = f"reduced to {SEEN} where larger"
ROUNDS = 200  # of an interval by halves that costs little
COSTLY_ROUNDS, COSTLIEST_ROUNDS = 100, 40
MEAN_ROUNDS = 1000  # of an interval for a mean
PR_K, DC_K, IS_SPLITS = 3, 5, 10
FROM_0 = (0.0, math.inf)
Statistic = Callable[[Tensor, Tensor], float]


# ------------------------------------------------------------------------------------------------------------ metrics


class Value(NamedTuple):
    """What a number comes to: its interval, and what `matched` fakes and as many held-out real pictures get."""

    value: float
    low: float
    high: float
    matched: int = 0
    fakes: float | None = None
    real: float | None = None
    note: str = ""


class Number(NamedTuple):
    """One number: its protocol, what is better of it ("lower", "higher", "like the real"), and how it is measured."""

    protocol: Protocol
    better: str
    measure: Callable[[_Rows], Value]


class Metric(NamedTuple):
    """An entry of `METRICS`: what it needs, and its numbers, known before anything is computed.

    needs: of "resizings" (features with each resizing), "features", "perceptual", "pairs", "spectra", "network".
    """

    needs: frozenset[str]
    numbers: Callable[[_Job], Iterable[Number]]


METRICS: dict[str, Metric] = {}  # in the order of results; filled below


def _metric(name: str, *needs: str) -> Callable[[Callable], Callable]:
    """Enter the function below as a metric."""

    def enter(numbers: Callable[[_Job], Iterable[Number]]) -> Callable:
        METRICS[name] = Metric(frozenset(needs), numbers)
        return numbers

    return enter


# ------------------------------------------------------------------------------------------------------------ settings


@dataclass(frozen=True)
class Settings:
    """What to measure and how."""

    metrics: tuple[str, ...] = ("fid", "kid", "pr", "dc", "nn", "diversity", "spectra")  # among `METRICS`
    seed: int = 0  # of everything that is drawn at random; the first fake's too
    features: str = "lite0"  # "lite0" or "inception"
    # "clean", "legacy" or both; FID and KID are measured with each, the rest with the features' usual one.
    resizings: tuple[str, ...] = RESIZINGS
    pairs: int = 200  # pictures of eq, pairs of ppl and of diversity, at most
    perceptual: str = "auto"  # "auto", "vgg16" or "lite0": what ppl and diversity compare by
    ppl_space: str = "w"  # "w" or "z"; a generator without w has only z
    ppl_ends: bool = True  # begin each step at a random latent, not on the way between two
    cache: Path | None = None  # where the features of the real pictures are kept, or None
    device: torch.device | str = "cpu"  # where networks compute

    def __post_init__(self) -> None:
        unknown = [metric for metric in self.metrics if metric not in METRICS]
        if unknown or not self.metrics:
            raise InputError(f"metric {unknown[0] if unknown else 'none'!r}: choose among {', '.join(METRICS)}")
        if self.pairs < 2:
            raise InputError(f"--pairs {self.pairs}: give at least 2")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed {self.seed}: give 0 to 2^32 - 1")


def names_in(text: str) -> list[str]:
    """ "fid, kid,fid" -> ["fid", "kid"]: what stands between commas, each once."""
    return [name for name in dict.fromkeys(part.strip() for part in text.split(",")) if name]


def metric_names(text: str, network: bool) -> tuple[str, ...]:
    """ "fid, kid" -> ("fid", "kid"); "all" are those that can be measured, some of them only of a network."""
    if text == "all":
        return tuple(name for name, metric in METRICS.items() if network or "network" not in metric.needs)
    return tuple(names_in(text.lower()))


# ------------------------------------------------------------------------------------------------------------ fakes


class Generated:
    """The pictures of a generator's seeds, from `seed` on; trunc and labels as for `facegen.latent.sample.sample`."""

    def __init__(
        self,
        G: nn.Module,
        count: int,
        seed: int = 0,
        *,
        trunc: float = 1.0,
        labels: Labels | None = None,
        name: str = "network",
    ) -> None:
        self.G, self.count, self.seed, self.trunc, self.labels, self.name = G, _enough(count), seed, trunc, labels, name
        self.sampling = "" if trunc == 1 else f"truncation {trunc:g}"
        if labels is not None:
            self.sampling += (", " if self.sampling else "") + f"class {labels}"
        sample_batches(G, self._seeds(range(count)), trunc=trunc, labels=labels)  # refuses what cannot be made

    def _seeds(self, indices: Sequence[int]) -> list[int]:
        return [self.seed + index for index in indices]

    def batches(self) -> Iterator[Tensor]:
        """uint8 [n, 3, H, W], in the order of the seeds."""
        return sample_batches(self.G, self._seeds(range(self.count)), trunc=self.trunc, labels=self.labels)

    def pictures(self, indices: Sequence[int]) -> Tensor:
        """uint8 [len(indices), 3, H, W]."""
        return sample(self.G, self._seeds(indices), trunc=self.trunc, labels=self.labels)


class Stored:
    """Pictures that were generated before, at most `count` of them and in random order."""

    G, trunc = None, 1.0

    def __init__(self, faces: Faces, count: int, seed: int = 0) -> None:
        self.count = _enough(min(count, len(faces)))
        self.name, self.sampling, self.images = faces.name, "", faces.images
        self.order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(seed))[: self.count]

    def batches(self) -> Iterator[Tensor]:
        """uint8 [n, 3, H, W], in the order that `pictures` counts in."""
        return (self.images[part] for part in tqdm(self.order.split(CHUNK), desc="fakes", leave=False, disable=None))

    def pictures(self, indices: Sequence[int]) -> Tensor:
        """uint8 [len(indices), 3, H, W]."""
        return self.images[self.order[list(indices)]]


Fakes = Generated | Stored


def fakes_of(
    network: str | None,
    images: str | None,
    count: int,
    seed: int,
    *,
    size: int | None = None,
    trunc: float = 1.0,
    label: int | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Fakes, int, dict[str, str]]:
    """The fakes of a network (a file, an address or a name of `facegen models`) or of a folder or zip of pictures.

    Returns:
        The fakes, the side of their pictures in pixels, and what tells them from others: a hash.
    """
    if (network is None) == (images is None):
        raise InputError("give either --network FILE or --images DIR: one of them is measured")
    if images is not None:
        if trunc != 1 or label is not None:
            raise InputError("--trunc and --class change what a network makes: leave them out with --images")
        size = size or common_size(images)
        stored = load_faces(images, size)
        return Stored(stored, count, seed), size, {"images_hash": stored.content_hash}
    path = network_file(network)
    G = load(path).G.to(device)
    if size not in (None, getattr(G, "img_resolution", size)):
        raise InputError(f"this network makes pictures of {G.img_resolution} pixels, not {size}: leave the size out")
    fakes = Generated(G, count, seed, trunc=trunc, labels=label, name=path.name)
    return fakes, G.img_resolution, {"network_sha256": digest(path)}


def _enough(count: int) -> int:
    if count < FEWEST:
        raise InputError(f"{count} fakes are too few to measure: give at least {FEWEST}, and thousands for numbers to keep")
    return count


# ------------------------------------------------------------------------------------------------------------ results


@dataclass(frozen=True)
class Result:
    """A number with what belongs beside it."""

    measured: Measured  # the number, its interval and its protocol
    better: str  # "lower", "higher", or "like the real"
    matched: int = 0  # pictures on either side of the next two, 0 where there are none
    # fakes, real: the same number of `matched` fakes, and of `matched` held-out real pictures, against the same real ones.
    fakes: float | None = None
    real: float | None = None
    note: str = ""  # anything else worth a line

    @property
    def name(self) -> str:
        """What is measured, without its settings: "precision-lite0"."""
        return _base(self.measured.protocol.metric)

    def __str__(self) -> str:
        beside = f"; at {self.matched} pictures: fakes {self.fakes:.4g}, real ones {self.real:.4g}" if self.matched else ""
        return f"{self.measured}{beside}{f'; {self.note}' if self.note else ''}"


@dataclass(frozen=True)
class Evaluation:
    """What `measure` found."""

    results: tuple[Result, ...]  # in the order of `METRICS`
    warnings: tuple[str, ...]  # what to bear in mind, a sentence each
    fakes: dict[str, object]
    data: dict[str, object]
    copies: Memorised | None = field(default=None, repr=False)  # what was found about memorisation, if it was asked for


def _base(metric: str) -> str:
    return metric.partition(" (")[0]


# ------------------------------------------------------------------------------------------------------------ measuring


class _Job:
    """Everything that the metrics share; features and perceptual network are loaded, nothing is computed."""

    def __init__(self, fakes: Fakes, faces: Faces, settings: Settings) -> None:
        self.fakes, self.faces, self.settings = fakes, faces, settings
        wanted = [name for name in METRICS if name in settings.metrics]
        self.needs = frozenset().union(*(METRICS[name].needs for name in wanted))
        self.half = len(faces) // 2
        if self.half < FEWEST:
            raise InputError(f"{faces.name} has {len(faces)} pictures: measuring needs at least {2 * FEWEST} real ones")
        for name in wanted:
            if "network" in METRICS[name].needs and fakes.G is None:
                raise InputError(f"{name} needs a network, not pictures: give --network, or leave {name} out")
        self.n = min(fakes.count, self.half)
        order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(settings.seed))
        self.held, self.against = order[: self.n], order[-self.half :]
        usual = "clean" if settings.features == "lite0" else "legacy"
        self.usual = usual if usual in settings.resizings else settings.resizings[0]
        kinds = [self.usual] if self.needs & {"features", "resizings"} else []
        if "resizings" in self.needs:
            kinds += [kind for kind in settings.resizings if kind != self.usual]
        self.features = {kind: load_features(settings.features, settings.device, resize=kind) for kind in kinds}
        self.see = load_perceptual(settings.perceptual, settings.device) if "perceptual" in self.needs else None
        self.pairs = min(settings.pairs, fakes.count // 2, self.half)
        self.numbers = [number for name in wanted for number in METRICS[name].numbers(self)]

    def by_features(
        self,
        metric: str,
        better: str,
        statistic: Statistic,
        rounds: int,
        limits: tuple[float, float] = (-math.inf, math.inf),
        *,
        kind: str = "",
        settings: str = "",
        tries: str = "",
    ) -> Number:
        """A number from the features of fakes and reals, by the usual resizing or another `kind`.

        `tries`: "fake" or "real" of a share among these, whose interval is no narrower than that of as many independent tries:
        of none or all, halves do not spread at all.
        """
        kind = kind or self.usual

        def measure(rows: _Rows) -> Value:
            fake, real = rows.fake[kind], rows.real[kind]
            found = _compared(self, statistic, fake, real, rounds, limits)
            if not tries:
                return found
            count = len(fake if tries == "fake" else real)
            low, high = wilson_interval(round(found.value * count), count)
            return found._replace(low=min(low, found.low), high=max(high, found.high))

        return Number(self.on_features(metric, self.features[kind], settings), better, measure)

    def on_features(self, metric: str, features: Features, settings: str = "", real: bool = True) -> Protocol:
        count, data = (len(self.faces), self.faces.content_hash) if real else (0, "none")
        about = {"seed": self.settings.seed, "sampling": self.fakes.sampling}
        return Protocol.of(metric, features, settings=settings, real=count, fake=self.fakes.count, data=data, **about)

    def without_features(self, metric: str, real: int, fake: int, by: str = "none", resize: str = "none") -> Protocol:
        data = self.faces.content_hash if real else "none"
        return Protocol(metric, by, resize, real, fake, data, self.settings.seed, self.fakes.sampling)


def measure(fakes: Fakes, faces: Faces, settings: Settings, against: Sequence[Result] | None = None) -> Evaluation:
    """Measure fakes against real pictures, or a generator by itself.

    Args:
        faces: the real pictures, of the fakes' size; for memorisation, those that the generator was trained on.
        against: results that these are to be compared with; what could not be is refused before the work.

    Raises:
        InputError: too few pictures, sizes that differ, weights that cannot be had, or what a metric refuses.
    """
    job = _Job(fakes, faces, settings)
    if against is not None:
        _pairs([Result(Measured(math.nan, number.protocol), "") for number in job.numbers], against)
    rows = _rows_of_fakes(job)
    found = []
    for protocol, better, measured in tqdm(job.numbers, desc="measuring", leave=False, disable=None):
        value, low, high, *beside = measured(rows)
        found.append(Result(Measured(value, protocol, low, high), better, *beside))
    return Evaluation(
        results=tuple(found),
        warnings=tuple(_warnings(job, found)),
        fakes={"name": fakes.name, "count": fakes.count, "seed": settings.seed, "sampling": fakes.sampling},
        data={"name": faces.name, "count": len(faces), "hash": faces.content_hash},
        copies=rows.copies,
    )


@dataclass
class _Rows:
    """What was computed of the pictures: by resizing, features of fakes and reals [n, d]; spectra [n, K]; distances [pairs]."""

    fake: dict[str, Tensor]
    real: dict[str, Tensor]
    spectra: tuple[Tensor, Tensor] | None
    apart: Tensor | None
    copies: Memorised | None = None


def _rows_of_fakes(job: _Job) -> _Rows:
    """One pass over the fakes; the reals' features come from the cache where they are there."""
    fake: dict[str, list[Tensor]] = {kind: [] for kind in job.features}
    spectra: list[Tensor] = []
    apart: list[Tensor] = []
    if job.features or job.needs & {"spectra", "pairs"}:
        for pictures in job.fakes.batches():
            if pictures.shape[2:] != job.faces.images.shape[2:]:
                sizes = " and ".join(f"{shape[3]}x{shape[2]}" for shape in (pictures.shape, job.faces.images.shape))
                raise InputError(f"fakes and real pictures have {sizes} pixels: compare pictures of one size")
            for part in pictures.split(CHUNK):
                for kind, features in job.features.items():
                    fake[kind].append(features(part))
            if "spectra" in job.needs:
                spectra.append(_spectral_rows(pictures))
            if "pairs" in job.needs and sum(map(len, apart)) < job.pairs:
                apart.append(_apart(job.see, pictures))
    real = {kind: _real_features(job, features) for kind, features in job.features.items()}
    both = (torch.cat(spectra), _spectral_rows(job.faces.images.cpu())) if spectra else None
    return _Rows({k: torch.cat(v) for k, v in fake.items()}, real, both, torch.cat(apart)[: job.pairs] if apart else None)


def _real_features(job: _Job, features: Features, mirrored: bool = False) -> Tensor:
    images, data = job.faces.images.cpu(), job.faces.content_hash
    if mirrored:
        images, data = images.flip(3), data + " mirrored"
    if job.settings.cache is None:
        return features(images)
    return cached_features(features, images, data, job.settings.cache)


def _compared(
    job: _Job, statistic: Statistic, fake: Tensor, real: Tensor, rounds: int, limits: tuple[float, float], note: str = ""
) -> Value:
    """A number on two sets of rows, with its interval and what real pictures get."""
    fake, real = fake.double(), real.double()
    low, high = bootstrap_interval(statistic, real, fake, rounds=rounds, seed=job.settings.seed, limits=limits)
    beside = (float(statistic(real[job.against], rows)) for rows in (fake[: job.n], real[job.held]))
    return Value(float(statistic(real, fake)), low, high, job.n, *beside, note)


@_metric("fid", "resizings")
def _fid(job: _Job) -> Iterator[Number]:
    few = min(job.half, job.fakes.count) <= 2 * next(iter(job.features.values())).dims
    for kind in job.features:
        yield job.by_features("FID", "lower", frechet_distance, COSTLY_ROUNDS if few else COSTLIEST_ROUNDS, FROM_0, kind=kind)


@_metric("kid", "resizings")
def _kid(job: _Job) -> Iterator[Number]:
    for kind in job.features:
        yield job.by_features("KID", "lower", kid, ROUNDS, kind=kind)


@_metric("pr", "features")
def _precision_recall(job: _Job) -> Iterator[Number]:
    options = {"rounds": COSTLY_ROUNDS, "limits": (0.0, 1.0), "settings": f"k={PR_K}"}
    yield job.by_features("precision", "higher", lambda r, f: precision_recall(r, f, PR_K)[0], tries="fake", **options)
    yield job.by_features("recall", "higher", lambda r, f: precision_recall(r, f, PR_K)[1], tries="real", **options)


@_metric("dc", "features")
def _density_coverage(job: _Job) -> Iterator[Number]:
    options = {"rounds": COSTLY_ROUNDS, "settings": f"k={DC_K}"}
    yield job.by_features("density", "higher", lambda r, f: density_coverage(r, f, DC_K)[0], limits=FROM_0, **options)
    options |= {"limits": (0.0, 1.0), "tries": "real"}
    yield job.by_features("coverage", "higher", lambda r, f: density_coverage(r, f, DC_K)[1], **options)


@_metric("is", "features")
def _inception_score(job: _Job) -> Iterator[Number]:
    """It looks at fakes alone; what real pictures get in their place is no upper bound."""
    features = job.features[job.usual]
    splits = IS_SPLITS if job.fakes.count >= 100 * IS_SPLITS else 1  # as published where there are enough pictures

    def measure(rows: _Rows) -> Value:
        fake, real = (features.logits(side[job.usual]) for side in (rows.fake, rows.real))
        note = "it knows ImageNet's classes, not faces"
        return _compared(job, lambda _, logits: inception_score(logits, splits)[0], fake, real, ROUNDS, (1.0, math.inf), note)

    yield Number(job.on_features("IS", features, f"splits={splits}", real=False), "higher", measure)


@_metric("ppl", "perceptual", "network")
def _path_length(job: _Job) -> Iterator[Number]:
    settings, fakes = job.settings, job.fakes
    space = settings.ppl_space if has_styles(fakes.G) else "z"
    where = f"{space}, {'end' if settings.ppl_ends else 'full'}, epsilon {PPL_STEP:g}"

    def measure(rows: _Rows) -> Value:
        options = {"space": space, "ends": settings.ppl_ends, "trunc": fakes.trunc, "labels": fakes.labels}
        lengths = path_lengths(fakes.G, job.see, settings.pairs, settings.seed, **options)
        interval = _interval_of_mean(lengths, settings.seed)
        return Value(float(lengths.mean()), *interval, note=f"median {float(lengths.median()):.4g}")

    protocol = job.without_features(f"PPL-{job.see.name} ({where})", 0, settings.pairs, str(job.see), REDUCED)
    yield Number(protocol, "lower", measure)


@_metric("nn", "features")
def _copies(job: _Job) -> Iterator[Number]:
    features = job.features[job.usual]
    if len(job.faces) < 2 * LEAST:
        raise InputError(f"{job.faces.name} has {len(job.faces)} pictures: looking for copies (nn) needs at least {2 * LEAST}")

    def measure(rows: _Rows) -> Value:
        mirrored = _real_features(job, features, mirrored=True)
        found = memorised(rows.fake[job.usual], rows.real[job.usual], mirrored, seed=job.settings.seed)
        rows.copies = found
        note = f"{found.expected:.3g} by chance; median distance {found.ratio:.2f} of the reals' own"
        return Value(found.close, found.low, found.high, note=note)

    yield Number(
        job.on_features("copies", features, "nearer than 99 % of held-out pictures, mirrored or not"), "lower", measure
    )


@_metric("diversity", "perceptual", "pairs")
def _diversity(job: _Job) -> Iterator[Number]:
    count = 2 * job.pairs

    def measure(rows: _Rows) -> Value:
        order = torch.randperm(len(job.faces), generator=torch.Generator().manual_seed(job.settings.seed))[:count]
        real = _apart(job.see, job.faces.images[order.to(job.faces.images.device)].cpu())
        value = float(rows.apart.mean())
        return Value(value, *_interval_of_mean(rows.apart, job.settings.seed), count, value, float(real.mean()))

    text = f"diversity-{job.see.name} (mean squared perceptual distance, {job.pairs} pairs)"
    yield Number(
        job.without_features(text, count, count, str(job.see), REDUCED), "like the real", measure
    )  # noise is diverse too


@_metric("spectra", "spectra")
def _spectra(job: _Job) -> Iterator[Number]:
    def decibels(real: Tensor, fake: Tensor) -> float:
        """`facegen.evaluation.spectra.distance`, from the rows' mean power."""
        difference = (10 * fake.mean(0).log10() - 10 * real.mean(0).log10()).abs()
        frequency = torch.arange(1, len(difference) + 1, dtype=torch.float64) * 2 / job.faces.images.shape[3]
        return float(difference[frequency >= UPPER].mean())

    protocol = job.without_features(f"spectra (dB, frequencies from {UPPER:g})", len(job.faces), job.fakes.count)
    yield Number(protocol, "lower", lambda rows: _compared(job, decibels, *rows.spectra, ROUNDS, FROM_0))


@_metric("eq", "network")
def _equivariance(job: _Job) -> Iterator[Number]:
    fakes, settings = job.fakes, job.settings
    how = drawer(fakes.G, fakes.trunc, fakes.labels)[1]
    about = {
        "eq_t": "dB, whole pixels up to an eighth",
        "eq_t_frac": "dB, parts of a pixel up to an eighth, Lanczos a=3",
        "eq_r": "dB, any angle, common frequencies, Lanczos a=3",
    }

    @functools.cache  # the three share their pictures
    def found() -> dict[str, Decibels]:
        return equivariance(fakes.G, settings.pairs, settings.seed, trunc=fakes.trunc, labels=fakes.labels)

    def measure(kind: str, rows: _Rows) -> Value:
        return Value(found()[kind].db, found()[kind].low, found()[kind].high)

    for kind in KINDS:
        protocol = job.without_features(f"{NAMES[kind]} ({about[kind]}; moved: {how})", 0, settings.pairs)
        yield Number(protocol, "higher", functools.partial(measure, kind))


def _spectral_rows(images: Tensor) -> Tensor:
    """Power at each frequency of each picture, float64 [N, K]."""
    quiet = True if len(images) <= 2 * CHUNK else None
    pictures = tqdm(images.split(1), desc="spectra", leave=False, disable=quiet)
    return torch.stack([10 ** (spectrum(picture).db / 10) for picture in pictures])


# ------------------------------------------------------------------------------------------------------------ perceptual


def _seen(see: Perceptual, pictures: Tensor) -> Tensor:
    """Rows of pictures [N, 1 or 3, H, W] in [-1, 1]: grey as colour, larger ones than 256 pixels by the mean of each block."""
    pictures = pictures.expand(-1, 3, -1, -1)
    if pictures.shape[3] > SEEN:
        pictures = F.interpolate(pictures, size=(SEEN, SEEN), mode="area")
    return see(pictures)


def _apart(see: Perceptual, pictures: Tensor) -> Tensor:
    """Squared perceptual distances of the pictures 0 and 1, 2 and 3, ... of uint8 [N, 3, H, W]: float64 [N // 2]."""
    device, found = see.mean.device, []
    for part in pictures[: len(pictures) // 2 * 2].split(CHUNK):
        with torch.no_grad():
            rows = _seen(see, part.to(device).float() / 127.5 - 1)
        found.append((rows[::2] - rows[1::2]).square().sum(1).double().cpu())
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.float64)


def _interval_of_mean(values: Tensor, seed: int = 0) -> tuple[float, float]:
    """At 95 %, from drawing independent values anew: of a mean the ordinary bootstrap is right."""
    numbers = values.double().numpy()
    draws = np.random.default_rng(seed)
    means = [numbers[draws.integers(len(numbers), size=len(numbers))].mean() for _ in range(MEAN_ROUNDS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@torch.no_grad()
def path_lengths(
    G: nn.Module,
    see: Perceptual,
    pairs: int,
    seed: int = 0,
    *,
    space: str = "w",
    ends: bool = True,
    trunc: float = 1.0,
    labels: Labels | None = None,
) -> Tensor:
    """Perceptual path lengths, whose mean is the PPL (Karras et al. 2019, arXiv:1812.04948, section 4.1).

    Two latents lie on a way: straight in w, along the sphere in z. At a place t on it and `PPL_STEP` further the perceptual
    distance of the two pictures is taken and divided by the step's square: how much the picture changes where the latent
    changes little. The papers compare by LPIPS on VGG16, cut faces out of FFHQ's pictures and drop outliers; here whole
    pictures are compared by `see`, and nothing is dropped, so numbers compare with each other only.

    Args:
        pairs: how many ways, one step on each.
        seed: of the latents and places.
        space: "w", or "z".
        ends: t = 0, where latents are like those that pictures are made of; else t is uniform in 0..1.
        trunc, labels: as for `facegen.latent.sample.sample`; noise stays as it is stored.

    Returns:
        float64 [pairs] on the CPU.
    """
    if not hasattr(G, "z_dim"):
        raise InputError("this network makes no pictures from seeds, so it has no path (a CycleGAN translates pictures)")
    if space not in ("w", "z") or (space == "w" and not has_styles(G)):
        raise InputError(f"ppl in {space}: this generator has no such space, choose {'w or z' if has_styles(G) else 'z'}")
    if not has_styles(G) and trunc != 1:
        raise InputError("this network has no w to truncate (a DCGAN): leave the truncation at 1")
    draws = np.random.default_rng([seed, 1])
    z = torch.from_numpy(draws.standard_normal((2, pairs, G.z_dim)).astype(np.float32))
    t = torch.zeros(pairs) if ends else torch.from_numpy(draws.random(pairs).astype(np.float32))
    device, found = next(G.parameters()).device, []
    batch = max(1, min(8, 8 * 256**2 // G.img_resolution**2))
    with evaluating(G):
        for part in tqdm(torch.arange(pairs).split(batch), desc="path lengths", leave=False, disable=None):
            at, place = _way(G, *z[:, part].to(device), space, trunc, labels), t[part].to(device)
            first, second = (_seen(see, at(where).float()) for where in (place, place + PPL_STEP))
            found.append((first - second).square().sum(1).double().cpu() / PPL_STEP**2)
    lengths = torch.cat(found)
    if not lengths.isfinite().all():
        raise InputError("the network gives NaN: its weights are damaged, or its training diverged; use an earlier snapshot")
    return lengths


def _way(G: nn.Module, a: Tensor, b: Tensor, space: str, trunc: float, labels: Labels | None) -> Callable[[Tensor], Tensor]:
    """Pictures at places [N] on the ways from a to b [N, z]: straight in w, along the sphere in z."""
    if not has_styles(G):
        return lambda place: G(slerp(a, b, place))
    c = one_hot(G, labels, len(a))

    def mapping(z: Tensor) -> Tensor:
        return G.mapping(z, None if c is None else c.to(a.device), truncation_psi=trunc)

    if space == "z":
        return lambda place: G.synthesis(mapping(slerp(a, b, place)), noise_mode="const")
    start, end = mapping(a), mapping(b)
    return lambda place: G.synthesis(torch.lerp(start, end, place[:, None, None]), noise_mode="const")


# ------------------------------------------------------------------------------------------------------------ warnings


def _warnings(job: _Job, results: Sequence[Result]) -> list[str]:
    """What the numbers do not say by themselves."""
    found = []
    counts = min(job.fakes.count, len(job.faces))
    for result in [one for one in results if one.name.startswith("FID")][:1]:
        if counts < job.features[job.usual].dims:
            found.append(
                f"{result.name}: {counts} pictures are fewer than the {job.features[job.usual].dims} features, and its bias is "
                f"large: {job.n} real pictures against {job.half} others get {result.real:.4g}, not 0; compare at equal "
                "counts, or by KID"
            )
    if job.features and job.settings.features != "inception":
        name = job.settings.features
        found.append(f"scores called -{name} are no published scores: they compare with other -{name} scores only")
    if job.fakes.count != len(job.faces) and "pr" in job.settings.metrics:
        found.append(
            f"precision and recall depend on the counts ({len(job.faces)} real, {job.fakes.count} fakes): compare at equal ones"
        )
    if job.fakes.sampling.startswith("truncation"):
        found.append(f"{job.fakes.sampling}: it buys precision with diversity, and papers measure without")
    return found


# ------------------------------------------------------------------------------------------------------------ on disk


def write_results(path: str | Path, evaluation: Evaluation, about: dict[str, object] | None = None) -> None:
    """Write an evaluation as JSON, completely or not at all. `about`: further entries, such as the network's hash."""
    facts = {
        "format": FORMAT,
        "fakes": evaluation.fakes,
        "data": evaluation.data,
        **(about or {}),
        "results": [_as_plain(result) for result in evaluation.results],
        "warnings": list(evaluation.warnings),
    }
    if (copies := evaluation.copies) is not None:
        facts["memorisation"] = {"memorised": copies.memorised, "verdict": copies.verdict, "median ratio": copies.ratio}
    write_text(Path(path), json.dumps(facts, indent=1, allow_nan=False) + "\n")


def _as_plain(result: Result) -> dict[str, object]:
    measured = result.measured
    plain = {
        "name": result.name,
        **{name: _number(getattr(measured, name)) for name in ("value", "low", "high", "level")},
        "better": result.better,
        "beside": {"pictures": result.matched, "fakes": result.fakes, "real": result.real} if result.matched else None,
        "note": result.note,
        "protocol": dataclasses.asdict(measured.protocol),
        "text": str(measured),
    }
    return plain


def _number(value: float | None) -> float | str | None:
    """JSON has no infinity, and the PSNR of equal pictures is one."""
    return value if value is None or math.isfinite(value) else str(value)


def read_results(path: str | Path) -> list[Result]:
    """The results of a file of `write_results`.

    Raises:
        InputError: no such file, or not one of these.
    """
    path = Path(path)
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["format"] != FORMAT:
            raise KeyError("format")
        return [_from_plain(entry) for entry in facts["results"]]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{path} is not a file of results by facegen evaluate, or is damaged") from None


def _from_plain(entry: dict) -> Result:
    value, low, high, level = (None if entry[k] is None else float(entry[k]) for k in ("value", "low", "high", "level"))
    beside = entry["beside"] or {"pictures": 0, "fakes": None, "real": None}
    measured = Measured(value, Protocol(**entry["protocol"]), low, high, level)
    return Result(measured, str(entry["better"]), beside["pictures"], beside["fakes"], beside["real"], str(entry["note"]))


# ------------------------------------------------------------------------------------------------------------ comparing


@dataclass(frozen=True)
class ResultPair:
    """One number of two evaluations."""

    name: str  # of the metric
    ours: Measured
    theirs: Measured
    verdict: str  # "better" or "worse" (of diversity "higher" or "lower"), or "not told apart" where the intervals overlap


def compare_results(ours: Sequence[Result], theirs: Sequence[Result]) -> list[ResultPair]:
    """Compare the numbers that both evaluations have.

    Two intervals at 95 % that do not even touch are a stricter test than one at 95 %.

    Raises:
        InputError: nothing in common, or a number that was measured another way; it names the difference.
    """
    return [ResultPair(one.name, one.measured, other.measured, _verdict(one, other)) for one, other in _pairs(ours, theirs)]


def _pairs(ours: Sequence[Result], theirs: Sequence[Result]) -> list[tuple[Result, Result]]:
    """The results that both have, all measured alike."""
    by_name = {result.name: result for result in theirs}
    pairs = [(result, by_name[result.name]) for result in ours if result.name in by_name]
    if not pairs:
        names = [", ".join(result.name for result in results) or "nothing" for results in (ours, theirs)]
        raise InputError(f"no number is in both: here are {names[0]}, there {names[1]}")
    for one, other in pairs:
        require_same(one.measured, other.measured)
    return pairs


def _verdict(ours: Result, theirs: Result) -> str:
    a, b = ours.measured, theirs.measured
    if None in (a.low, a.high, b.low, b.high) or (a.low <= b.high and b.low <= a.high):
        return "not told apart"
    if ours.better not in ("lower", "higher"):
        return "lower" if a.value < b.value else "higher"
    return "better" if (a.value < b.value) == (ours.better == "lower") else "worse"
