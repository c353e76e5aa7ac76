"""Architectures compared at equal budget: trained on the same pictures for the same kimg, measured with one protocol.

The folder of a comparison:

    compare.json                the data's hash and every setting: what a continued comparison has to agree with
    runs/stylegan2-seed0/       a run of `facegen.training.fit`, its snapshots in networks/step-00000640.safetensors
    runs/.../compared.json      the machine, the networks' sizes, and what was measured of each snapshot

What is equal, and refused where it is not: the pictures and whether they are mirrored, the pictures' size, kimg, the seeds,
the StyleGANs' widths (`cbase`, `cmax`; StyleGAN3-R doubles both, as its paper does), what is measured and how.
What is not equal: everything that belongs to a recipe, because it was tuned together: batch, loss, learning rates,
regularisation, augmentation, the length of averaging, and the DCGAN's width. An architecture is compared with its recipe.

Equal kimg is not equal time, by a factor of ten or more, so both are reported: each run at its end, and each run at the moment
when the last seed of the fastest architecture has ended, by its last snapshot before that moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import math
import os
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from facegen.config import RECIPES, CycleConfig, StyleConfig, TrainConfig
from facegen.data.packed import Faces
from facegen.evaluation.distances import frechet_distance, kid, precision_recall
from facegen.evaluation.features import Features
from facegen.evaluation.measure import names_in
from facegen.evaluation.trials import check_folder, read_json, refuse_another, setting_value, train_measured, write_json
from facegen.files import InputError, locked
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.training.families import build
from facegen.training.fit import TrainingError
from facegen.training.runs import History, is_number, read_config

NAMES = {"kid": "KID", "frechet": "FID", "diversity": "diversity", "precision": "precision", "recall": "recall"}
QUANTITIES = tuple(NAMES)
EQUAL, EQUAL_STYLED = ("kimg", "image_size", "mirror"), ("cbase", "cmax")  # for all recipes, for all StyleGANs
NEIGHBOURS = 3  # of precision and recall
FEWEST = 8  # pictures on either side of a distance
SNAPSHOTS = 20  # of a run, unless told
MOST_REAL = 5000  # pictures in each half of the real ones
Config = TrainConfig | StyleConfig
COMPARABLE = tuple(name for name, recipe in RECIPES.items() if not isinstance(recipe, CycleConfig))


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One snapshot of a run."""

    # step, kimg, seconds: when; seconds of training, interruptions not counted.
    step: int
    kimg: float
    seconds: float
    kid: float  # kernel inception distance, unbiased, so it may fall below 0 (Binkowski et al. 2018, arXiv:1801.01401)
    frechet: float  # Frechet distance of two Gaussians (Heusel et al. 2017, arXiv:1706.08500); biased upwards by few pictures
    diversity: float  # mean distance between two fakes' features, as a share of that between two real pictures'
    # precision, recall: share of fakes among the real ones, and the reverse (Kynkaanniemi et al. 2019, arXiv:1904.06991).
    precision: float
    recall: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One training run."""

    cfg: str
    seed: int
    folder: Path
    snapshots: tuple[Measurement, ...]  # in the order of training
    finished: bool  # whether it came to its end
    failed: str  # why it never will, in one line, or ""
    weights: Mapping[str, int]  # numbers of learned weights, {"G": ..., "D": ...}
    machines: tuple[str, ...]  # what it ran on; more than one where it was continued elsewhere
    seconds_per_kimg: float  # median over the log, so that a pause or another program's burst does not count
    # the most that tensors took on the GPU; None on a CPU, where only the whole process can be measured.
    memory_gb: float | None

    @property
    def network(self) -> Path:
        """The file of the last snapshot."""
        return _network(self.folder, self.snapshots[-1].step)


class Spread(NamedTuple):
    """Mean, least and greatest of `n` runs. With a handful of seeds the range is no confidence interval, and not called one."""

    mean: float
    low: float
    high: float
    n: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What has been measured so far."""

    configs: Mapping[str, Config]  # recipe -> its settings, in the order in which they are shown
    seeds: int  # how many runs of each there shall be
    runs: tuple[Run, ...]  # those that have come to their end, or failed
    # the quantities for one half of the real pictures against the other: what perfect samples would get.
    baseline: Mapping[str, float]
    names: Mapping[str, str]  # what the quantities are called on these features: "kid" -> "KID-lite0"
    protocol: str  # how everything was measured, in one line
    data: Mapping[str, object]  # name, hash and count of the pictures

    @property
    def kimg(self) -> float:
        """The budget."""
        return next(iter(self.configs.values())).kimg

    @property
    def finished(self) -> bool:
        """Whether no run is missing."""
        return len(self.runs) == len(self.configs) * self.seeds

    def of(self, cfg: str) -> list[Run]:
        """The finished runs of a recipe; a run that failed has no number at equal kimg, and none elsewhere."""
        return [run for run in self.runs if run.cfg == cfg and run.finished]

    def equal_time(self) -> tuple[str, float] | None:
        """Which recipe is the fastest, and the seconds after which the last of its seeds has ended."""
        ends = {cfg: max(run.snapshots[-1].seconds for run in self.of(cfg)) for cfg in self.configs if self.of(cfg)}
        return min(ends.items(), key=lambda end: end[1]) if ends else None

    def at_kimg(self, cfg: str) -> list[Measurement]:
        """The last snapshot of each finished run."""
        return [run.snapshots[-1] for run in self.of(cfg)]

    def at_time(self, cfg: str) -> list[Measurement | None]:
        """Of each finished run the last snapshot until `equal_time`; None where there was none yet."""
        limit = self.equal_time()
        return [until(run.snapshots, limit[1]) for run in self.of(cfg)] if limit else []

    def machines(self) -> list[str]:
        """What the runs ran on; times compare only where it is one."""
        return sorted({machine for run in self.runs for machine in run.machines})


def until(snapshots: Iterable[Measurement], seconds: float) -> Measurement | None:
    """The last of the snapshots that was there after so many seconds, or None."""
    return max((shot for shot in snapshots if shot.seconds <= seconds), key=lambda shot: shot.step, default=None)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and range of what is there, or None."""
    there = [value for value in values if value is not None]
    return Spread(statistics.fmean(there), min(there), max(there), len(there)) if there else None


# ------------------------------------------------------------------------------------------------------- measuring


class Judge:
    """Measures fakes against real pictures, always with the same pictures and counts.

    The real pictures are shuffled (seed 0), mirrored at random if training mirrors them, and cut into two halves. The same n
    fakes are compared with each half, and the mean of the two is the result. The baseline is n pictures of either half
    against the other half: the same numbers of pictures, so that what few pictures do to a distance, they do to both.
    n is `samples`, or half of the real pictures if these are fewer.
    """

    def __init__(self, faces: Faces, features: Features, samples: int, mirror: bool) -> None:
        half = min(len(faces) // 2, MOST_REAL)
        if samples < FEWEST or half < FEWEST:
            raise InputError(
                f"{faces.name} has {len(faces)} pictures and --samples is {samples}: measuring needs at least {2 * FEWEST} "
                f"pictures and {FEWEST} samples"
            )
        self.features, self.n = features, min(samples, half)
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(faces), generator=generator)[: 2 * half]
        flip = torch.rand(2 * half, generator=generator) < 0.5 if mirror else torch.zeros(2 * half, dtype=torch.bool)
        self.halves = [self._real(faces, *part) for part in zip(order.split(half), flip.split(half))]
        self.apart = statistics.fmean(mean_distance(part) for part in self.halves)
        if not self.apart:
            raise InputError(f"{faces.name}: all pictures are alike, there is no variety to compare with")
        self.protocol = (
            f"features {features}; {self.n} fakes (seeds 0 to {self.n - 1}, averaged weights, no "
            f"truncation, fixed noise) against each half of {2 * half} of the {len(faces)} real pictures"
            f"{', mirrored at random' if mirror else ''}; mean of the two; KID unbiased with a cubic kernel; precision and "
            f"recall with k={NEIGHBOURS}; data {faces.content_hash[:12]}"
        )

    def _real(self, faces: Faces, indices: Tensor, flip: Tensor) -> Tensor:
        parts = []
        for chosen, flipped in zip(indices.split(256), flip.split(256)):
            pictures = faces.images[chosen.to(faces.images.device)].cpu()
            parts.append(self.features(torch.where(flipped[:, None, None, None], pictures.flip(3), pictures)).cpu())
        return torch.cat(parts)

    def baseline(self) -> dict[str, float]:
        """The quantities of real pictures in the place of the fakes."""
        first, second = self.halves
        return _mean([self._against(first[: self.n], second), self._against(second[: self.n], first)])

    def measure(self, fakes: Tensor) -> dict[str, float]:
        """The quantities of n fakes, uint8 [n, 3, H, W]."""
        found = torch.cat([self.features(part).cpu() for part in fakes.split(256)])
        return _mean([self._against(found, half) for half in self.halves])

    def _against(self, fakes: Tensor, real: Tensor) -> dict[str, float]:
        precision, recall = precision_recall(real, fakes, k=NEIGHBOURS)
        return {
            "kid": float(kid(real, fakes)),
            "frechet": float(frechet_distance(real, fakes)),
            "diversity": mean_distance(fakes) / self.apart,
            "precision": float(precision),
            "recall": float(recall),
        }


def mean_distance(features: Tensor) -> float:
    """Mean Euclidean distance between two different rows of [N, d]."""
    features = features.double()
    total = sum(torch.cdist(part, features).sum().item() for part in features.split(512))
    return total / (len(features) * (len(features) - 1))


def _mean(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.fmean(part[name] for part in parts) for name in QUANTITIES}


# ------------------------------------------------------------------------------------------------------- comparing


def compare(
    faces: Faces,
    configs: Mapping[str, Config],
    outdir: str | Path,
    features: Features,
    *,
    seeds: int = 3,
    snap_kimg: float | None = None,
    samples: int = 2000,
    device: torch.device | str = "cpu",
    on_run: Callable[[Comparison], None] | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Train every recipe with every seed, measure every snapshot, and return the numbers.

    The first seed of all recipes comes first, then the second, so that there is something to compare early. Interrupted, it
    continues exactly where it was; more seeds and more recipes can be added to a comparison. A run whose losses are no
    longer finite counts as failed, and the others go on.

    Args:
        faces: the pictures that all train on and are measured against.
        configs: name of a recipe -> its settings, whose `seed` is replaced by 0 to seeds - 1.
        snap_kimg: thousands of pictures between two snapshots, all of which are measured; None for `SNAPSHOTS` in a run.
        samples: fakes per measurement.
        on_run: called with what is known whenever a run has ended or been measured again, and at the end.

    Raises:
        InputError: settings that make no fair comparison or no network, too few pictures, or a folder of another comparison.
        Interrupted: Ctrl-C, after a checkpoint of the current step.
    """
    outdir, device = Path(outdir), torch.device(device)
    snap_kimg = check_settings(configs, seeds, snap_kimg)
    for config in configs.values():
        build(config, "cpu").check(faces)
    judge = Judge(faces, features, samples, next(iter(configs.values())).mirror)
    settings = _agreed(outdir, faces, configs, snap_kimg)
    names = {quantity: features.score(name) for quantity, name in NAMES.items()}
    so_far = Comparison(dict(configs), seeds, (), judge.baseline(), names, judge.protocol, settings["data"])
    with locked(outdir, "facegen compare"):
        write_json(outdir / "compare.json", settings)
        for seed in range(seeds):
            for cfg, config in configs.items():
                folder = outdir / "runs" / f"{cfg}-seed{seed}"
                before = _record(folder)
                _train(faces, dataclasses.replace(config, seed=seed), folder, snap_kimg, device, progress)
                run = _measured(cfg, seed, folder, judge, device)
                so_far = dataclasses.replace(so_far, runs=(*so_far.runs, run))
                if on_run and (so_far.finished or _record(folder) != before):
                    on_run(so_far)
    return so_far


def chosen_configs(cfgs: str, shared: Mapping[str, object], settings: Sequence[str]) -> dict[str, Config]:
    """Each recipe with the settings that it has among those that all share, and with what --set says of it.

    Args:
        cfgs: names of recipes, with commas.
        shared: setting -> value; None for one that was not given.
        settings: CFG.NAME=VALUE.
    """
    configs: dict[str, Config] = {}
    for cfg in names_in(cfgs):
        if cfg not in COMPARABLE:
            raise InputError(f"--cfgs: {cfg!r} is not known: choose among {', '.join(COMPARABLE)}")
        fields = {field.name for field in dataclasses.fields(RECIPES[cfg])}
        given = {name: value for name, value in shared.items() if name in fields and value is not None}
        configs[cfg] = dataclasses.replace(RECIPES[cfg], **given)
    for text in settings:
        match = re.fullmatch(r"([\w-]+)\.(\w+)=(.*)", text)
        cfg, name, value = match.groups() if match else ("", "", "")
        if cfg not in configs:
            raise InputError(f"--set {text!r}: give CFG.NAME=VALUE with a cfg of --cfgs, such as dcgan.conv_dim=32")
        if name not in vars(configs[cfg]) or name in ("architecture", "seed"):
            raise InputError(f"--set {text!r}: {cfg} has no setting {name!r}; `facegen train --cfg={cfg} --help` shows them")
        configs[cfg] = dataclasses.replace(configs[cfg], **{name: setting_value("--set", text, configs[cfg], name, value)})
    return configs


def check_settings(configs: Mapping[str, Config], seeds: int, snap_kimg: float | None) -> float:
    """Refuse what would be no fair comparison, or none at all; returns `snap_kimg`, or where it is None what is usual."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("compare runs in one process, so that all its times are taken alike: start it without torchrun")
    for cfg in configs:
        if cfg not in COMPARABLE:
            raise InputError(f"--cfgs: {cfg!r} cannot be compared: choose among {', '.join(COMPARABLE)}")
    if not configs:
        raise InputError(f"--cfgs: no cfg to compare: choose among {', '.join(COMPARABLE)}")
    if seeds < 1:
        raise InputError(f"--seeds {seeds}: train with at least 1; 3 say how much luck there is")
    everything, styled = list(configs.values()), [config for config in configs.values() if isinstance(config, StyleConfig)]
    for name in EQUAL:
        _same(name, everything)
    for name in EQUAL_STYLED:
        _same(name, styled)
    if any(config.cond for config in styled):
        raise InputError("--set stylegan.cond=1: the comparison is one of networks without classes, set it to 0")
    kimg, batch = everything[0].kimg, max(config.images_per_step for config in everything)
    if snap_kimg is None:
        snap_kimg = max(kimg / SNAPSHOTS, batch / 1000)
    if not (math.isfinite(snap_kimg) and snap_kimg > 0):
        raise InputError(f"--snap {snap_kimg:g}: give the thousands of pictures between two snapshots")
    if kimg < snap_kimg:
        raise InputError(
            f"--kimg {kimg:g} is too small for one snapshot, with --snap {snap_kimg:g}: train longer, or snap earlier"
        )
    if round(snap_kimg * 1000, 6) < batch:
        raise InputError(f"--snap {snap_kimg:g} is less than one step of {batch} pictures: snap later, or lower the batch")
    return snap_kimg


def _same(name: str, configs: Sequence[Config]) -> None:
    values = sorted({getattr(config, name) for config in configs})
    if len(values) > 1:
        raise InputError(
            f"--{name.replace('_', '-')} differs ({', '.join(map(str, values))}): that would be no fair comparison, "
            "give one value for all"
        )


def _agreed(outdir: Path, faces: Faces, configs: Mapping[str, Config], snap_kimg: float) -> dict:
    """What the comparison is, for compare.json; refused where the folder holds another one."""
    check_folder(outdir, "compare.json", "comparison")
    path = outdir / "compare.json"
    ours = {cfg: {**dataclasses.asdict(config), "seed": 0} for cfg, config in configs.items()}
    data = {"name": faces.name, "hash": faces.content_hash, "count": len(faces)}
    wanted = {"data": data, "snap_kimg": snap_kimg, "configs": ours}
    if path.exists():
        old = read_json(path)
        try:
            theirs = old["configs"]
            # A recipe that is new has to agree with the others in what all share.
            shared = {
                name: value for config in theirs.values() for name, value in config.items() if name in EQUAL + EQUAL_STYLED
            }
            was = {"--data": old["data"]["hash"], "--snap": old["snap_kimg"]}
            for cfg, config in ours.items():
                known = theirs.get(cfg) or {name: shared.get(name, value) for name, value in config.items()}
                was |= {f"{cfg}.{name}": known.get(name, value) for name, value in config.items()}
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{path} does not describe a comparison: choose another folder") from None
        now = {f"{cfg}.{name}": value for cfg, config in ours.items() for name, value in config.items()}
        refuse_another(outdir, "comparison", was, {"--data": data["hash"], "--snap": snap_kimg} | now)
        wanted["configs"] = theirs | ours
    return wanted


# ------------------------------------------------------------------------------------------------------------ runs


def _train(faces: Faces, config: Config, folder: Path, snap_kimg: float, device: torch.device, progress: bool | None) -> None:
    """Train a run to its end, or go on with it; a finished one is left alone."""
    steps = config.steps
    if _network(folder, steps).exists() and read_config(folder)["config"] == dataclasses.asdict(config):
        return
    method = build(config, device)
    # Snapshots under their step, for thousands of pictures would not tell those of a short run apart.
    method.label = lambda step: f"step-{step:08d}"
    record = _record(folder)
    record["weights"] = {name: sum(p.numel() for p in getattr(method, name).parameters()) for name in ("G", "D")}
    record["machines"] = list(dict.fromkeys([*record["machines"], machine(device, method.dtype)]))
    record["failed"] = ""
    write_json(folder / "compared.json", record)
    if device.type == "cuda":
        gc.collect()  # what is left of the run before would count as this one's memory
    try:
        train_measured(method, faces, folder, max(1, round(config.kimg / snap_kimg)), keep_networks=1, progress=progress)
    except TrainingError as error:
        record["failed"] = " ".join(str(error).split())
        write_json(folder / "compared.json", record)


def machine(device: torch.device, dtype: torch.dtype | None) -> str:
    """What a run's times were taken on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' if count > 1 else ''}" if device.type == "cpu" else ""
    precision = str(dtype or torch.float32).removeprefix("torch.")
    return f"{device.type} {name}{threads}, {precision}, torch {torch.__version__}"


def _processor() -> str:
    """The processor's name; Python knows it on Linux only as x86_64."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _measured(cfg: str, seed: int, folder: Path, judge: Judge, device: torch.device) -> Run:
    """Measure the snapshots of a run that has ended; what has been measured with the same protocol stands."""
    record, stats = _record(folder), History.load(folder).stats
    if record["protocol"] != judge.protocol:
        record |= {"protocol": judge.protocol, "measured": {}}
    shots = []
    for line in stats:
        path = _network(folder, line["step"])
        if not path.exists():
            continue
        key = str(line["step"])
        if key not in record["measured"]:
            G = pretrained.load(path).G.to(device)
            record["measured"][key] = judge.measure(sample(G, range(judge.n)))
            write_json(folder / "compared.json", record)
        shots.append(Measurement(line["step"], line["kimg"], line["seconds"], **record["measured"][key]))
    on_gpu = all(name.startswith("cuda") for name in record["machines"])
    return Run(
        cfg,
        seed,
        folder,
        tuple(shots),
        finished=not record["failed"],
        failed=record["failed"],
        weights=record["weights"],
        machines=tuple(record["machines"]),
        seconds_per_kimg=statistics.median(line["sec_per_kimg"] for line in stats) if stats else math.nan,
        memory_gb=max((line["memory_gb"] for line in stats), default=None) if on_gpu else None,
    )


def _network(folder: Path, step: int) -> Path:
    return folder / "networks" / f"step-{step:08d}.safetensors"


def _record(folder: Path) -> dict:
    path = folder / "compared.json"
    empty = {"machines": [], "weights": {}, "failed": "", "protocol": "", "measured": {}}
    if not path.exists():
        return empty
    record = read_json(path)
    try:
        sound = all(type(record[name]) is type(value) for name, value in empty.items())
        sound = sound and all(type(machine) is str for machine in record["machines"])
        numbers = [record["weights"][name] for name in ("G", "D")]
        numbers += [found[name] for found in record["measured"].values() for name in QUANTITIES]
        sound = (
            sound and all(map(is_number, numbers)) and all(len(found) == len(NAMES) for found in record["measured"].values())
        )
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise InputError(f"{path} is damaged: remove the folder of this run, or choose another --outdir")
    return record
