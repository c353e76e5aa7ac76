"""A search over the DCGAN's settings with Optuna: TPE proposes, bad starts are cut short, the best is put to the test.

The folder of a search:

    study.db                  Optuna's study, SQLite: every trial's settings and scores, and the test's; a search goes on by it
    features/                 the real pictures' features, computed once
    trials/003/               the run of trial 3 (`facegen.training.fit`)
    confirm/best-seed1/       the runs of the test
    best.json                 the best settings, their score and how it was measured

The pictures are cut into two halves. Every trial trains on the first half and is scored against it; nothing in the search
sees the second half. What wins has won partly by luck, because a search takes the least of many noisy scores. So the winner
and the default are trained again with fresh seeds for the same number of pictures, and compared on the held-out half.

The score is a KID and not a Frechet distance, because a score for a search must be right at a few hundred pictures: the mean of
the KID's unbiased estimate does not depend on how many there are (Binkowski et al. 2018, arXiv:1801.01401). A Frechet distance
of a few hundred pictures is mostly bias, as many features' covariance is then of less than full rank, and the bias differs
from one generator to the next (Chong and Forsyth 2020, arXiv:1911.07023), so that it can put them in the wrong order.

Trial k's proposal is a function of the seed, k and the scores before it, and a run continues from its checkpoint, so an
interrupted search ends like one that was not. What was being tried is marked as failed in the study and tried again, with the
scores that it had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import math
import re
import shutil
import sqlite3
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from tqdm.auto import tqdm

from facegen.config import TrainConfig
from facegen.data.packed import Faces, content_hash
from facegen.evaluation.distances import kid
from facegen.evaluation.features import Features, Protocol, cached_features
from facegen.evaluation.measure import names_in
from facegen.evaluation.trials import check_folder, plain, refuse_another, setting_value, train_measured, write_json
from facegen.files import InputError, locked
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.training.families import build
from facegen.training.fit import Snapshot, TrainingError
from facegen.training.runs import read_config, read_stats

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FEWEST = 8  # pictures on either side of a KID
MOST_REAL = 5000  # pictures of each half that fakes are compared with
RANDOM_TRIALS = 10  # at random before TPE has enough to go by, or a third of all trials if that is less
FULL_TRIALS = 4  # that come to their end before any is cut short
STUDY = "facegen-search"
TABLES = {"studies", "trials", "trial_values", "trial_intermediate_values"}  # a study without one is not whole
FIXED = ("image_size", "kimg", "seed", "precision", "mirror")  # settings that are no subject of a search
OWN = ("kimg", "seed", "image_size")  # settings that have flags of their own
Value = float | int | str | bool


@dataclasses.dataclass(frozen=True)
class Axis:
    """A setting that is searched: `values` to choose from, or a range from `low` to `high`, by its logarithm if `log`."""

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def holds(self, value: Value) -> bool:
        """Whether the value lies on it."""
        return value in self.values if self.values else self.low <= value <= self.high

    def __str__(self) -> str:
        if self.values:
            return ", ".join(str(value) for value in self.values)
        return f"{self.low:g} to {self.high:g}{', logarithmic' if self.log else ''}"


# What a first DCGAN's author usually leaves untuned, as far as the DCGAN here has a setting for it. The number of epochs is the
# budget, which all trials share; the curves of their scores show what more of it would bring.
SPACE = (
    Axis("loss", ("bce", "lsgan", "hinge", "wgan-gp")),  # the Wasserstein distance among them
    Axis("smooth", (False, True)),  # one-sided label smoothing, where the loss has a target to smooth
    Axis("conv_dim", (32, 64, 128)),
    Axis("norm_G", ("batch", "instance", "spectral")),
    Axis("norm_D", ("batch", "instance", "spectral")),
    Axis("padding_mode", ("zeros", "reflect")),
    Axis("init", ("normal", "xavier", "orthogonal")),
    Axis("slope", low=0.0, high=0.4),
    Axis("z_size", (32, 64, 100, 200)),
    Axis("batch", (16, 32, 64, 128)),
    Axis("lr_G", low=5e-5, high=2e-3, log=True),
    Axis("lr_D", low=5e-5, high=2e-3, log=True),
    Axis("beta1", low=0.0, high=0.9),
    Axis("beta2", (0.9, 0.99, 0.999)),
    Axis("schedule", ("constant", "linear", "cosine")),
)
SMOOTHED = ("bce", "lsgan")


def settings_of(base: TrainConfig, values: Mapping[str, Value]) -> TrainConfig:
    """The default with these values, and with what a loss does not go with put right.

    A gradient penalty needs a D that sees each picture alone: "instance" stands for batch norm in D there. A loss without a
    target has nothing to smooth.
    """
    chosen = dict(values)
    loss = chosen.get("loss", base.loss)
    if loss == "wgan-gp" and chosen.get("norm_D", base.norm_D) == "batch":
        chosen["norm_D"] = "instance"
    if loss not in SMOOTHED:
        chosen["smooth"] = False
    return dataclasses.replace(base, **chosen)


def check_space(base: TrainConfig, axes: Sequence[Axis], rungs: int) -> None:
    """Refuse a space of which a part could not be trained, before anything is."""
    if not axes:
        raise InputError("there is nothing to search: name at least one setting")
    fields = {field.name for field in dataclasses.fields(base)} - set(FIXED)
    for axis in axes:
        if axis.name not in fields:
            raise InputError(f"{axis.name!r} cannot be searched: choose among {', '.join(sorted(fields))}")
        if not axis.values and not (math.isfinite(axis.low) and math.isfinite(axis.high) and axis.low < axis.high):
            raise InputError(f"{axis.name}: {axis.low:g} to {axis.high:g} is no range")
        default = getattr(base, axis.name)
        if not axis.holds(default):
            raise InputError(
                f"{axis.name}: the default {default} is not in its range ({axis}), and it is the first trial: add it, or set "
                "another default"
            )
        for value in axis.values or (axis.low, axis.high):
            small = base if axis.name == "conv_dim" else dataclasses.replace(base, conv_dim=min(base.conv_dim, 4))
            build(settings_of(small, {axis.name: value}), "cpu")
    largest = max(math.prod(pair) for pair in itertools.product(_values(base, axes, "batch"), _values(base, axes, "d_steps")))
    if base.kimg * 1000 / largest < rungs:
        raise InputError(
            f"kimg={base.kimg:g} makes {base.kimg * 1000 / largest:.3g} steps of {largest} pictures, and a trial is scored "
            f"{rungs} times: train longer, leave out the largest batch, or score less often"
        )


def _values(base: TrainConfig, axes: Sequence[Axis], name: str) -> tuple[Value, ...]:
    return next((axis.values or (axis.high,) for axis in axes if axis.name == name), (getattr(base, name),))


def _suggested(trial: Trial, base: TrainConfig, axes: Sequence[Axis]) -> TrainConfig:
    """The settings that a trial proposes; a setting that its loss has no use for is not asked for."""
    values: dict[str, Value] = {}
    for axis in sorted(axes, key=lambda axis: axis.name != "loss"):
        loss = values.get("loss", base.loss)
        if (axis.name == "norm_D" and loss == "wgan-gp") or (axis.name == "smooth" and loss not in SMOOTHED):
            continue
        if axis.values:
            values[axis.name] = trial.suggest_categorical(axis.name, axis.values)
        else:
            integer = isinstance(getattr(base, axis.name), int)
            suggest = trial.suggest_int if integer else trial.suggest_float
            low, high = (int(axis.low), int(axis.high)) if integer else (axis.low, axis.high)
            values[axis.name] = suggest(axis.name, low, high, log=axis.log)
    return settings_of(base, values)


def chosen_settings(texts: Sequence[str]) -> dict[str, Value]:
    """What --set says: ["conv_dim=16"] -> {"conv_dim": 16}."""
    return {
        name: setting_value("--set", text, TrainConfig(), name, value)
        for text in texts
        for name, value in [_pair("--set", text)]
    }


def chosen_axes(space: str | None, among: Sequence[str], given: Mapping[str, Value]) -> tuple[Axis, ...]:
    """What --space and --among say: "lr_G,batch" and ["conv_dim=8,16"] -> the axes, of `SPACE` where nothing else is said.

    Args:
        space: names with commas; None for all of `SPACE` that are not `given`.
        among: NAME=A,B,... or NAME=LOW..HIGH.
        given: settings that --set holds fixed.
    """
    usual, own = {axis.name: axis for axis in SPACE}, dict(_axis(text) for text in among)
    names = [name for name in usual if name not in given]
    if space is not None:
        names = names_in(space)
    for name in names:
        if name not in usual and name not in own:
            known = ", ".join(usual)
            raise InputError(f"--space: {name!r} is not known: choose among {known}, or give its values with --among")
        if name in given and name not in own:
            raise InputError(f"--space: {name} is held fixed by --set: leave it out of one, or give its values with --among")
    return tuple(own.get(name) or usual[name] for name in dict.fromkeys([*names, *own]))


def _axis(text: str) -> tuple[str, Axis]:
    """ "conv_dim=8,16" or "lr_G=1e-5..1e-3" -> the setting and what is searched; logarithmic from a factor of 10 on."""
    name, values = _pair("--among", text)
    if match := re.fullmatch(r"(.+?)\.\.(.+)", values):
        low, high = (setting_value("--among", text, TrainConfig(), name, part) for part in match.groups())
        if isinstance(low, (bool, str)) or not low < high:
            raise InputError(f"--among {text!r}: give numbers as LOW..HIGH, the lower one first, such as lr_G=1e-5..1e-3")
        return name, Axis(name, low=low, high=high, log=0 < 10 * low <= high)
    parts = (setting_value("--among", text, TrainConfig(), name, part) for part in values.split(","))
    return name, Axis(name, tuple(dict.fromkeys(parts)))


def _pair(flag: str, text: str) -> tuple[str, str]:
    """ "conv_dim=16" -> ("conv_dim", "16"), for a setting of the DCGAN that has no flag of its own."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"{flag} {text!r}: give NAME=VALUE, such as conv_dim=16")
    if name in OWN:
        raise InputError(f"{flag} {text!r}: give --{name.replace('_', '-')} for it")
    if name not in {field.name for field in dataclasses.fields(TrainConfig)}:
        raise InputError(f"{flag} {text!r}: the DCGAN has no setting {name!r}; `facegen train --cfg=dcgan --help` shows them")
    return name, value


# --------------------------------------------------------------------------------------------------------- measuring


def train_and_test(faces: Faces) -> tuple[Faces, Faces]:
    """The half to train on and the one that is held out: always the same two of the same pictures."""
    half = len(faces) // 2
    if half < FEWEST:
        raise InputError(f"{faces.name} has {len(faces)} pictures: a search needs at least {2 * FEWEST}, for it holds half out")
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    parts = []
    for name, chosen in (("first", order[:half]), ("second", order[half : 2 * half])):
        images = faces.images[chosen.to(faces.images.device)]
        parts.append(Faces(images, None, f"{faces.name}, {name} half", content_hash(images), device=faces.device))
    return parts[0], parts[1]


class Score:
    """KID of as many fakes as `samples`, from seed 0 on, against the first `MOST_REAL` of the real pictures.

    If training mirrors, the real pictures are mirrored at random, too. Their features are computed once and kept in a folder.
    `protocol` says how a score was measured.
    """

    def __init__(self, real: Faces, features: Features, samples: int, folder: Path, mirror: bool = False) -> None:
        self.features, self.samples = features, samples
        images = real.images[:MOST_REAL].cpu()
        if mirror:
            flip = torch.rand(len(images), generator=torch.Generator().manual_seed(0)) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        self.real = cached_features(features, images, content_hash(images), folder)
        self.protocol = Protocol.of(
            "KID", features, real=len(images), fake=samples, data=real.content_hash, seed=0, settings="unbiased, cubic kernel"
        )

    def __call__(self, G: nn.Module) -> float:
        """The KID of a generator on any device; below 0 by luck where its faces are like the real ones."""
        return kid(self.real, self.features(sample(G, range(self.samples))))


# ---------------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True)
class Tried:
    """One trial."""

    index: int  # 0 is the default; a trial that was interrupted and run again counts once
    state: str  # "finished", "pruned" (cut short), or "failed" (its losses were no longer finite)
    values: Mapping[str, Value]  # the settings that it was given, as far as they were searched
    config: TrainConfig  # all its settings
    curve: tuple[tuple[float, float], ...]  # kimg and score of every look at it
    seconds: float  # of training
    why: str = ""  # what went wrong, in one line, or ""

    @property
    def score(self) -> float | None:
        """The score at its end; None for a trial that did not get there."""
        return self.curve[-1][1] if self.state == "finished" else None


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """The best against the default: fresh seeds, the same budget, the held-out half."""

    seeds: tuple[int, ...]  # of the runs
    # default, best: the score of each seed's run, None for a run that failed.
    default: tuple[float | None, ...]
    best: tuple[float | None, ...]
    # seconds_default, seconds_best: of training, on the mean.
    seconds_default: float
    seconds_best: float
    protocol: Protocol  # how the scores were measured
    floor: float  # the score of the half that was trained on: about what perfect fakes get

    @property
    def failed(self) -> int:
        """How many runs did not come to their end."""
        return sum(score is None for score in (*self.default, *self.best))

    @property
    def gain(self) -> float:
        """Mean score of the default less that of the best: above 0 the best is better. NaN where a run failed."""
        return math.nan if self.failed else statistics.fmean(self.default) - statistics.fmean(self.best)

    @property
    def apart(self) -> bool:
        """Whether every run of one is better than every run of the other."""
        return not self.failed and (max(self.best) < min(self.default) or max(self.default) < min(self.best))


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search has found so far."""

    base: TrainConfig  # the default, with the seed that all trials share
    axes: tuple[Axis, ...]  # what was searched
    trials: tuple[Tried, ...]  # those that have ended, in their order
    planned: int  # how many there shall be
    interrupted: int  # how often a trial was broken off and run again
    protocol: Protocol  # how the scores were measured
    data: Mapping[str, Value]  # name and count of the pictures
    confirmation: Confirmation | None  # None before it, or where the default itself is the best
    outdir: Path  # the folder

    @property
    def finished(self) -> list[Tried]:
        """Trials that came to their end."""
        return [trial for trial in self.trials if trial.state == "finished"]

    @property
    def best(self) -> Tried | None:
        """The finished trial with the least score, None where there is none."""
        return min(self.finished, key=lambda trial: trial.score, default=None)


# -------------------------------------------------------------------------------------------------------- searching


def search(
    faces: Faces,
    base: TrainConfig,
    outdir: str | Path,
    features: Features,
    *,
    axes: Sequence[Axis] = SPACE,
    trials: int = 30,
    rungs: int = 4,
    samples: int = 500,
    confirm: int = 3,
    device: torch.device | str = "cpu",
    on_trial: Callable[[Found], None] | None = None,
    progress: bool | None = None,
) -> Found:
    """Search, go on with a search, or add trials to one; then put the best to the test against the default.

    Trial 0 is the default. A trial is scored `rungs` times, evenly over its run, and cut short where it is worse than the
    median of the finished ones were at the same place (Optuna's median pruner), once `FULL_TRIALS` of them have ended.

    Args:
        faces: the pictures; half of them are held out.
        base: the default: its `kimg` is every run's budget, and its `seed` that of all trials and of the proposals. The
            test's seeds follow on it.
        trials: how many in all, those that are already there included.
        rungs: scores of a trial.
        samples: fakes for each score.
        confirm: seeds of the test; 0 leaves it out.
        on_trial: called with what is known after each trial.

    Raises:
        InputError: Optuna is missing, a space or data that cannot work, or a folder of another search, or one that another
            process searches in.
        Interrupted: Ctrl-C, after a checkpoint of the current step.
    """
    _optuna()
    least = {"trials": (trials, 1), "scores": (rungs, 1), "confirm": (confirm, 0), "samples": (samples, FEWEST)}
    for flag, (value, low) in least.items():
        if value < low:
            raise InputError(f"--{flag} {value}: give at least {low}")
    check_space(base, axes, rungs)
    half, held_out = train_and_test(faces)
    build(dataclasses.replace(base, conv_dim=1), "cpu").check(half)
    outdir = Path(outdir)
    check_folder(outdir, "study.db", "search")
    about = {
        "data": faces.content_hash,
        "features": str(features),
        "samples": samples,
        "rungs": rungs,
        "default": dataclasses.asdict(base),
        "space": {axis.name: str(axis) for axis in axes},
    }
    with locked(outdir, "facegen search"), _study(outdir, about) as study:
        first, second = (Score(part, features, samples, outdir / "features", base.mirror) for part in (half, held_out))
        data = {"name": faces.name, "count": len(faces)}
        nothing = Found(base, tuple(axes), (), trials, 0, first.protocol, data, None, outdir)
        job = _Job(study, nothing, half, first, rungs, torch.device(device), None if progress is None else not progress)
        job.run(on_trial)
        found = job.found()
        if confirm and found.best is not None and found.best.index:
            found = dataclasses.replace(found, confirmation=job.confirm(found.best.config, second, confirm))
        _keep(found)
        return found


@dataclasses.dataclass
class _Job:
    """Everything that is the same for all trials."""

    study: Study
    nothing: Found  # what is known before the first trial
    half: Faces
    score: Score
    rungs: int
    device: torch.device
    hidden: bool | None  # the progress bars

    def run(self, on_trial: Callable[[Found], None] | None) -> None:
        """Try what is missing."""
        missing = range(len(_ended(self.study)), self.nothing.planned)
        looks = range(missing.start * self.rungs, max(missing.start, missing.stop) * self.rungs)
        with tqdm(total=looks.stop, initial=looks.start, desc="search", unit="score", disable=self.hidden) as bar:
            for index in missing:
                self._try(index, bar)
                found = self.found()
                bar.set_postfix_str(f"best {found.best.score:.4g}" if found.best else "none finished")
                _keep(found)
                if on_trial:
                    on_trial(found)

    def found(self) -> Found:
        """What is known so far."""
        from optuna.trial import TrialState

        ended = tuple(_tried(index, trial) for index, trial in enumerate(_ended(self.study)))
        broken = len(self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))
        return dataclasses.replace(
            self.nothing, trials=ended, planned=max(self.nothing.planned, len(ended)), interrupted=broken
        )

    def _try(self, index: int, bar: tqdm) -> None:
        from optuna import TrialPruned
        from optuna.trial import TrialState

        trial = self._proposed(index)
        config = _suggested(trial, self.nothing.base, self.nothing.axes)
        folder = self.nothing.outdir / "trials" / f"{index:03d}"
        known = self._known(config)
        trial.set_user_attr("config", dataclasses.asdict(config))

        def look(rung: int, kimg: float, score: float) -> None:
            bar.n = index * self.rungs + rung
            bar.refresh()
            trial.set_user_attr(f"kimg {rung}", kimg)
            trial.report(score, rung)
            if rung < self.rungs and trial.should_prune():
                raise TrialPruned

        state, value = TrialState.PRUNED, None
        try:
            value = self._scored(config, folder, known, look)
            state = TrialState.COMPLETE
        except TrainingError as error:  # TPE counts a trial that was cut short without a score among the worst
            trial.set_user_attr("failed", " ".join(str(error).split()))
        except TrialPruned:
            pass
        trial.set_user_attr("seconds", _seconds(folder))
        self.study.tell(trial, value, state)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # nobody goes on with it
        bar.n = (index + 1) * self.rungs
        bar.refresh()

    def _proposed(self, index: int) -> Trial:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        base, axes = self.nothing.base, self.nothing.axes
        if index == 0 and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial({axis.name: getattr(base, axis.name) for axis in axes})
        # A sampler of its own for each trial: one that is made anew by a continued search would repeat its first numbers.
        digest = hashlib.sha256(repr((base.seed, index)).encode()).digest()
        startup = min(RANDOM_TRIALS, max(2, self.nothing.planned // 3))
        self.study.sampler = TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=startup)
        return self.study.ask()

    def _known(self, config: TrainConfig) -> dict[int, tuple[float, float]]:
        """rung -> kimg and score that these settings had when they were broken off."""
        from optuna.trial import TrialState

        broken = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        same = (trial for trial in broken if trial.user_attrs.get("config") == dataclasses.asdict(config))
        return {rung: look for trial in same for rung, look in _curve(trial).items()}

    def _scored(
        self,
        config: TrainConfig,
        folder: Path,
        known: dict[int, tuple[float, float]],
        look: Callable[[int, float, float], None],
    ) -> float:
        """Train a trial to its end, or go on with it, and return its last score; what `look` raises ends it."""
        _clear(folder, config)
        for rung in sorted(known):
            look(rung, *known[rung])

        def measure(snapshot: Snapshot | None = None) -> None:
            loaded = pretrained.load(folder / "network.safetensors")
            kimg = float(loaded.info["kimg"])
            rung = max(1, round(self.rungs * kimg * 1000 / (config.steps * config.images_per_step)))
            if rung not in known:
                known[rung] = kimg, self.score(loaded.G.to(self.device))
                look(rung, *known[rung])

        if (folder / "network.safetensors").exists():  # broken off between a snapshot and its score
            measure()
        if self.rungs not in known:
            method = build(config, self.device)
            train_measured(method, self.half, folder, self.rungs, on_snapshot=measure, progress=False)
        return known[self.rungs][1]

    def confirm(self, best: TrainConfig, judge: Score, count: int) -> Confirmation:
        """Train the default and the best with fresh seeds, and score both on the held-out half."""
        base = self.nothing.base
        seeds = tuple(range(base.seed + 1, base.seed + 1 + count))
        runs = [
            (name, dataclasses.replace(config, seed=seed))
            for seed in seeds
            for name, config in (("default", base), ("best", best))
        ]
        tests: dict[str, list[tuple[float, float] | None]] = {"default": [], "best": []}
        for name, config in tqdm(runs, desc="confirm", unit="run", disable=self.hidden):
            try:
                tests[name].append(self._tested(f"{name}-seed{config.seed}", config, judge))
            except TrainingError:
                tests[name].append(None)
        scores = {name: tuple(test and test[0] for test in found) for name, found in tests.items()}
        spent = {name: [test[1] for test in found if test] for name, found in tests.items()}
        seconds = [statistics.fmean(spent[name]) if spent[name] else math.nan for name in ("default", "best")]
        floor = kid(self.score.real, judge.real)
        return Confirmation(seeds, scores["default"], scores["best"], *seconds, judge.protocol, floor)

    def _tested(self, name: str, config: TrainConfig, judge: Score) -> tuple[float, float]:
        """Score and seconds of a run of the test, which the study remembers."""
        run = {"config": dataclasses.asdict(config), "protocol": str(judge.protocol)}
        known = self.study.user_attrs.get(name, {})
        if known.get("run") != run:
            folder = self.nothing.outdir / "confirm" / name
            _clear(folder, config)
            train_measured(build(config, self.device), self.half, folder, self.rungs, progress=False)
            G = pretrained.load(folder / "network.safetensors").G.to(self.device)
            known = {"run": run, "score": judge(G), "seconds": _seconds(folder)}
            self.study.set_user_attr(name, known)
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return known["score"], known["seconds"]


def _keep(found: Found) -> None:
    if found.best is not None:
        write_json(found.outdir / "best.json", as_dict(found))


def _clear(folder: Path, config: TrainConfig) -> None:
    """Remove a run with other settings, such as that of a best which no longer is."""
    if (folder / "config.json").exists() and read_config(folder)["config"] != dataclasses.asdict(config):
        shutil.rmtree(folder)


def _seconds(folder: Path) -> float:
    """Of training, without the time that scores and interruptions took."""
    stats = read_stats(folder / "stats.jsonl")
    return statistics.median(line["sec_per_kimg"] for line in stats) * stats[-1]["kimg"] if stats else 0.0


# ------------------------------------------------------------------------------------------------------------ study


def _optuna() -> None:
    try:
        import optuna
    except ImportError:
        raise InputError("a search needs Optuna, which is not installed: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@contextlib.contextmanager
def _study(outdir: Path, about: dict) -> Iterator[Study]:
    """The folder's study, whole and of this search, with what a killed search was trying marked as broken off."""
    import optuna

    path = outdir / "study.db"
    # A creator takes every path as it is; in an address `?`, `%` and braces would have a meaning.
    creator = {"creator": lambda: sqlite3.connect(path, check_same_thread=False)}
    storage = None
    try:
        try:
            _check_database(path)
            storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=creator)
            pruner = optuna.pruners.MedianPruner(n_startup_trials=FULL_TRIALS)
            study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True, pruner=pruner)
            was = _flat(study.user_attrs["search"]) if study.user_attrs else None
            _check_notes(study)
        except Exception as error:  # whatever SQLite, SQLAlchemy and Optuna make of a file that is not as it should be
            why = type(error).__name__
            raise InputError(f"{path} is damaged, or no study of a search ({why}): choose another folder") from None
        if was is not None:
            refuse_another(outdir, "search", was, _flat(plain(about)))
        study.set_user_attr("search", about)
        for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study
    finally:
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _check_database(path: Path) -> None:
    """Refuse, before Optuna would write its tables into it, what is no sound database."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)] or (there and not there >= TABLES):
            raise sqlite3.DatabaseError


def _check_notes(study: Study) -> None:
    """Read all that a search will look for; raises whatever comes of notes that are not as they should be."""
    for trial in study.get_trials(deepcopy=False):
        _curve(trial)
    for index, trial in enumerate(_ended(study)):
        _tried(index, trial)
    for name, known in study.user_attrs.items():
        if name != "search":
            dict(known["run"]), float(known["score"]), float(known["seconds"])


def _ended(study: Study) -> list[FrozenTrial]:
    """The trials that count, in their order: neither broken off nor queued."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _curve(trial: FrozenTrial) -> dict[int, tuple[float, float]]:
    """rung -> kimg and score, in their order."""
    return {rung: (float(trial.user_attrs[f"kimg {rung}"]), score) for rung, score in sorted(trial.intermediate_values.items())}


def _tried(index: int, trial: FrozenTrial) -> Tried:
    told, curve = trial.user_attrs, tuple(_curve(trial).values())
    why = told.get("failed", "")
    state = "failed" if why else "finished" if trial.state.name == "COMPLETE" else "pruned"
    if state == "finished" and (not curve or trial.value is None):
        raise ValueError("a score is missing")
    return Tried(index, state, trial.params, TrainConfig(**told["config"]), curve, float(told["seconds"]), str(why))


def _flat(about: Mapping[str, object]) -> dict[str, object]:
    """What a search was asked for, by the flags that say so."""
    found = {f"--{name}": about[name] for name in ("data", "features", "samples")} | {"--scores": about["rungs"]}
    found |= {
        f"--{name.replace('_', '-')}" if name in OWN else f"--set {name}": value for name, value in about["default"].items()
    }
    return found | {f"--among {name}": value for name, value in about["space"].items()}


# ------------------------------------------------------------------------------------------------------------ files


def as_dict(found: Found) -> dict[str, object]:
    """What best.json says: the settings to train with, the score with its protocol, and the test."""
    best = found.best
    if best is None:
        raise InputError("no trial has come to its end, so there is no best one")
    settings, default = dataclasses.asdict(best.config), dataclasses.asdict(found.base)
    told = {
        "trial": best.index,
        "settings": settings,
        "changed": {name: value for name, value in settings.items() if value != default[name]},
        "score": best.score,
        "metric": found.protocol.metric,
        "protocol": dataclasses.asdict(found.protocol),
        "trained_on": "the first half of the data; the score is against that half",
        "data": dict(found.data),
        "trials": len(found.trials),
        "confirmation": None,
    }
    test = found.confirmation
    if test is not None:
        told["confirmation"] = {
            **dataclasses.asdict(test),
            "measured_on": "the second half of the data, which neither trials nor these runs saw",
            "gain": test.gain,
            "apart": test.apart,
            "verdict": verdict(found),
        }
    return plain(told)


def verdict(found: Found) -> str:
    """What the search has shown, in one or two sentences."""
    best, test = found.best, found.confirmation
    if best is None:
        return "No trial came to its end: lower the learning rates, or look at the runs' own messages."
    if best.index == 0:
        return f"Nothing better than the default was found in {len(found.trials)} trials, so there is nothing to confirm."
    if test is None:
        return (
            f"Trial {best.index} has the least score, {best.score:.4g}. It is the least of {len(found.finished)} noisy ones, "
            "and has not been confirmed with fresh seeds."
        )
    if test.failed:
        return f"{test.failed} of the {2 * len(test.seeds)} runs of the test diverged, so the two cannot be compared."
    n, way = len(test.seeds), "better" if test.gain > 0 else "worse"
    size = f"the best is {way} than the default by {abs(test.gain):.4g} on the mean of {n} fresh seed{'s' if n > 1 else ''}"
    if n == 1:
        return f"On held-out pictures {size}; one run each says nothing about luck: confirm with 3 seeds or more."
    if not test.apart:
        return f"On held-out pictures {size}, but the runs of the two overlap: the difference does not exceed their spread."
    ratio = math.comb(2 * n, n)
    return (
        f"On held-out pictures {size}, and every run of one is {'below' if test.gain > 0 else 'above'} every run of the other: "
        f"the difference exceeds the spread over seeds (by luck alone in 1 of {ratio} cases, the least that {n} seeds can "
        "show)."
    )
