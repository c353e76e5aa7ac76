"""A search over the DCGAN's settings with Optuna: TPE proposes, bad starts are cut short, the best is put to the test.

The folder of a search:

    study.db                  Optuna's study, SQLite: every trial, its settings and scores; what a continued search goes by
    features/                 the real pictures' features, computed once
    trials/003/               the run of trial 3 (`facegen.training.fit`) and its scores.json
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
interrupted search ends like one that was not. What was being tried is marked as failed in the study and tried again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import shutil
import sqlite3
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.config import TrainConfig
from facegen.data.packed import Faces, content_hash, to_pixels
from facegen.evaluation.distances import kid
from facegen.evaluation.features import Features, Protocol, cached_features
from facegen.files import InputError, replacing
from facegen.latent.sample import latents
from facegen.models import pretrained
from facegen.training.fit import TrainingError, fit, read_config, read_stats
from facegen.training.steps import dcgan_from

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FEWEST = 8  # pictures on either side of a KID
MOST_REAL = 5000  # pictures of each half that fakes are compared with
RANDOM_TRIALS = 10  # at random before TPE has enough to go by, or a third of all trials if that is less
FULL_TRIALS = 4  # that come to their end before any is cut short
FEWEST_RANKED = 6  # finished trials before the settings' importance is estimated
STUDY = "facegen-search"
FIXED = ("image_size", "kimg", "seed", "precision", "mirror")  # settings that are no subject of a search
LOG_EVERY = 16
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

    Raises:
        InputError: settings that make no network.
    """
    chosen = dict(values)
    loss = chosen.get("loss", base.loss)
    if loss == "wgan-gp" and chosen.get("norm_D", base.norm_D) == "batch":
        chosen["norm_D"] = "instance"
    if loss not in SMOOTHED:
        chosen["smooth"] = False
    return dataclasses.replace(base, **chosen)


def check_space(base: TrainConfig, axes: Sequence[Axis], rungs: int) -> None:
    """Refuse a space of which a part could not be trained, before anything is.

    Raises:
        InputError: in one line.
    """
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
            dcgan_from(settings_of(small, {axis.name: value}))
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


# --------------------------------------------------------------------------------------------------------- measuring


def halves(faces: Faces) -> tuple[Faces, Faces]:
    """The half to train on and the one that is held out: always the same two of the same pictures.

    Raises:
        InputError: too few pictures.
    """
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
    """KID of n fakes, seeds 0 to n - 1, against real pictures whose features are computed once.

    Args:
        real: the pictures; the first `MOST_REAL` of them count.
        features: what they are compared by.
        samples: n.
        folder: where the real features are kept.
        mirror: whether training mirrors; then the real pictures are mirrored at random, too.

    Attributes:
        protocol: what says how a score was measured.
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
        return kid(self.real, self.features(fakes(G, self.samples)))


@torch.no_grad()
def fakes(G: nn.Module, count: int) -> Tensor:
    """The faces of seeds 0 to count - 1, uint8 [count, 3, H, W] on the CPU."""
    device = next(G.parameters()).device
    G.eval()
    return torch.cat([to_pixels(G(z.to(device))) for z in latents(G, range(count)).split(64)])


# ---------------------------------------------------------------------------------------------------------- results


@dataclasses.dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        index: 0 is the default; a trial that was interrupted and run again counts once.
        state: "finished", "pruned" (cut short), or "failed" (its losses were no longer finite).
        values: the settings that it was given, as far as they were searched.
        config: all its settings.
        curve: kimg and score of every look at it.
        seconds: of training.
        why: what went wrong, in one line, or "".
    """

    index: int
    state: str
    values: Mapping[str, Value]
    config: TrainConfig
    curve: tuple[tuple[float, float], ...]
    seconds: float
    why: str = ""

    @property
    def score(self) -> float | None:
        """The score at its end; None for a trial that did not get there."""
        return self.curve[-1][1] if self.state == "finished" else None


@dataclasses.dataclass(frozen=True)
class Confirmation:
    """The best against the default: fresh seeds, the same budget, the held-out half.

    Attributes:
        seeds: of the runs.
        default, best: the score of each seed's run, None for a run that failed.
        seconds_default, seconds_best: of training, on the mean.
        protocol: how the scores were measured.
        floor: the score of the half that was trained on: about what perfect fakes get.
    """

    seeds: tuple[int, ...]
    default: tuple[float | None, ...]
    best: tuple[float | None, ...]
    seconds_default: float
    seconds_best: float
    protocol: Protocol
    floor: float

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

    @property
    def wins(self) -> int:
        """With how many seeds the best is better than the default with the same seed, which shares the pictures' order."""
        return sum(None not in pair and pair[0] < pair[1] for pair in zip(self.best, self.default))

    @property
    def chance(self) -> float:
        """How often luck alone gives a gain at least as large: exact, over all ways to deal the scores out (one-sided)."""
        if self.failed:
            return math.nan
        scores, n = (*self.default, *self.best), len(self.best)
        sums = [sum(scores[i] for i in chosen) for chosen in itertools.combinations(range(2 * n), n)]
        return sum(total <= sum(self.best) + 1e-12 for total in sums) / len(sums)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search has found so far.

    Attributes:
        base: the default, with the seed that all trials share.
        axes: what was searched.
        trials: those that have ended, in their order.
        planned: how many there shall be.
        interrupted: how often a trial was broken off and run again.
        importance: share of each setting in what sets the best trials apart; empty below `FEWEST_RANKED` finished ones.
        protocol: how the scores were measured.
        data: name and count of the pictures.
        confirmation: None before it, or where the default itself is the best.
        outdir: the folder.
    """

    base: TrainConfig
    axes: tuple[Axis, ...]
    trials: tuple[Tried, ...]
    planned: int
    interrupted: int
    importance: Mapping[str, float]
    protocol: Protocol
    data: Mapping[str, Value]
    confirmation: Confirmation | None
    outdir: Path

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
        outdir: the search's folder.
        features: what pictures are compared by.
        axes: the settings to search.
        trials: how many in all, those that are already there included.
        rungs: scores of a trial.
        samples: fakes for each score.
        confirm: seeds of the test; 0 leaves it out.
        device: where to train and to make the fakes.
        on_trial: called with what is known after each trial.
        progress: True or False shows or hides the progress bar; None shows it on a terminal.

    Raises:
        InputError: Optuna is missing, a space or data that cannot work, or a folder of another search, or one that another
            process searches in.
        Interrupted: Ctrl-C, after a checkpoint of the current step.
    """
    _optuna()
    if trials < 1 or rungs < 1 or confirm < 0:
        raise InputError(f"trials={trials}, rungs={rungs}, confirm={confirm}: at least 1, 1 and 0")
    if samples < FEWEST:
        raise InputError(f"samples={samples}: a score needs at least {FEWEST} fakes")
    check_space(base, axes, rungs)
    half, held_out = halves(faces)
    dcgan_from(dataclasses.replace(base, conv_dim=1)).check(half)
    outdir = Path(outdir)
    _check_free(outdir)
    about = {
        "data": faces.content_hash,
        "features": str(features),
        "samples": samples,
        "rungs": rungs,
        "default": dataclasses.asdict(base),
        "space": {axis.name: str(axis) for axis in axes},
    }
    outdir.mkdir(parents=True, exist_ok=True)
    with _alone(outdir), _study(outdir, about) as study:
        job = _Job(
            study, base, tuple(axes), half, held_out, features, samples, rungs, trials, outdir, torch.device(device), progress
        )
        return job.run(confirm, on_trial, {"name": faces.name, "count": len(faces)})


@dataclasses.dataclass
class _Job:
    """Everything that is the same for all trials."""

    study: Study
    base: TrainConfig
    axes: tuple[Axis, ...]
    half: Faces
    held_out: Faces
    features: Features
    samples: int
    rungs: int
    planned: int
    outdir: Path
    device: torch.device
    progress: bool | None

    def run(self, confirm: int, on_trial: Callable[[Found], None] | None, data: Mapping[str, Value]) -> Found:
        self.data, self.score = data, self._score(self.half)
        self._recover()
        missing = range(len(self._ended()), self.planned)
        hidden = None if self.progress is None else not self.progress
        start = missing.start * self.rungs
        with tqdm(total=start + len(missing) * self.rungs, initial=start, desc="search", unit="score", disable=hidden) as bar:
            for index in missing:
                self._try(index, bar)
                found = self.found()
                bar.set_postfix_str(f"best {found.best.score:.4g}" if found.best else "none finished")
                self._keep(found)
                if on_trial:
                    on_trial(found)
        found = self.found()
        best = found.best
        if confirm and best is not None and best.index:
            found = dataclasses.replace(found, confirmation=self._confirm(best.config, confirm, hidden))
        self._keep(found)
        return found

    def _keep(self, found: Found) -> None:
        if found.best is not None:
            _write_json(self.outdir / "best.json", as_dict(found))

    def _score(self, real: Faces) -> Score:
        return Score(real, self.features, self.samples, self.outdir / "features", self.base.mirror)

    # -- trials

    def _recover(self) -> None:
        """Mark what a killed search was trying: it will be proposed again, for the scores before it are the same."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)

    def _ended(self) -> list[FrozenTrial]:
        """The trials that count, in their order: neither broken off nor queued."""
        from optuna.trial import TrialState

        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))

    def _try(self, index: int, bar: tqdm) -> None:
        from optuna import TrialPruned
        from optuna.trial import TrialState

        trial = self._proposed(index)
        config, folder = _suggested(trial, self.base, self.axes), self.outdir / "trials" / f"{index:03d}"
        trial.set_user_attr("config", dataclasses.asdict(config))

        def look(rung: int, kimg: float, score: float) -> None:
            bar.n = index * self.rungs + rung
            bar.refresh()
            trial.report(score, rung)
            trial.set_user_attr(f"kimg {rung}", kimg)
            if rung < self.rungs and trial.should_prune():
                raise TrialPruned

        state, value = TrialState.PRUNED, None
        try:
            value = _train(self.half, config, folder, self.score, self.rungs, self.device, look)
            state = TrialState.COMPLETE
        except TrainingError as error:  # TPE counts a trial that was cut short without a score among the worst
            trial.set_user_attr("failed", " ".join(str(error).split()))
        except TrialPruned:
            pass
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # nobody goes on with it
        trial.set_user_attr("seconds", _seconds(folder))
        self.study.tell(trial, value, state)
        bar.n = (index + 1) * self.rungs
        bar.refresh()

    def _proposed(self, index: int) -> Trial:
        from optuna.samplers import TPESampler
        from optuna.trial import TrialState

        if index == 0 and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial({axis.name: getattr(self.base, axis.name) for axis in self.axes})
        # A sampler of its own for each trial: one that is made anew by a continued search would repeat its first numbers.
        digest = hashlib.sha256(repr((self.base.seed, index)).encode()).digest()
        startup = min(RANDOM_TRIALS, max(2, self.planned // 3))
        self.study.sampler = TPESampler(seed=int.from_bytes(digest[:4], "big"), n_startup_trials=startup)
        return self.study.ask()

    # -- the test

    def _confirm(self, best: TrainConfig, count: int, hidden: bool | None) -> Confirmation:
        judge = self._score(self.held_out)
        seeds = tuple(range(self.base.seed + 1, self.base.seed + 1 + count))
        scores: dict[str, list[float | None]] = {"default": [], "best": []}
        seconds: dict[str, list[float]] = {"default": [], "best": []}
        runs = [(seed, name, config) for seed in seeds for name, config in (("default", self.base), ("best", best))]
        for seed, name, config in tqdm(runs, desc="confirm", unit="run", disable=hidden):
            folder = self.outdir / "confirm" / f"{name}-seed{seed}"
            try:
                config = dataclasses.replace(config, seed=seed)
                scores[name].append(_train(self.half, config, folder, judge, self.rungs, self.device))
                seconds[name].append(_seconds(folder))
            except TrainingError:
                scores[name].append(None)
        return Confirmation(
            seeds,
            *(tuple(scores[name]) for name in ("default", "best")),
            *(statistics.fmean(seconds[name]) if seconds[name] else math.nan for name in ("default", "best")),
            judge.protocol,
            kid(self.score.real, judge.real),
        )

    # -- what is known

    def found(self) -> Found:
        from optuna.trial import TrialState

        ended = tuple(self._tried(index, trial) for index, trial in enumerate(self._ended()))
        broken = len(self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,)))
        return Found(
            self.base,
            self.axes,
            ended,
            max(self.planned, len(ended)),
            broken,
            self._importance(),
            self.score.protocol,
            self.data,
            None,
            self.outdir,
        )

    def _tried(self, index: int, trial: FrozenTrial) -> Tried:
        notes = trial.user_attrs
        curve = tuple((notes[f"kimg {rung}"], score) for rung, score in sorted(trial.intermediate_values.items()))
        why = notes.get("failed", "")
        state = "failed" if why else "finished" if trial.state.name == "COMPLETE" else "pruned"
        return Tried(index, state, trial.params, TrainConfig(**notes["config"]), curve, notes["seconds"], why)

    def _importance(self) -> dict[str, float]:
        from optuna.trial import TrialState

        count = len(self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        if count < FEWEST_RANKED:
            return {}
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances  # seconds, for it takes scikit-learn

        # PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255) asks for at least 5 trials among the best.
        evaluator = PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, 5 / count)))
        with warnings.catch_warnings():  # it warns of settings that few trials have; the page says so of all of them
            warnings.simplefilter("ignore")
            return {name: float(share) for name, share in get_param_importances(self.study, evaluator=evaluator).items()}


# ------------------------------------------------------------------------------------------------------------- runs


def _train(
    faces: Faces,
    config: TrainConfig,
    folder: Path,
    score: Score,
    rungs: int,
    device: torch.device,
    look: Callable[[int, float, float], None] | None = None,
) -> float:
    """Train a run to its end, or go on with it, and return its last score.

    With `look`, every rung is scored, and `look(rung, kimg, score)` called for it in order, also for those that were scored
    before an interruption; what it raises ends the run. Without, only the end is scored.
    """
    _clear(folder, config, score)
    scores = _scores(folder)
    for rung, (kimg, found) in sorted(scores.items()):
        if look:
            look(rung, kimg, found)
    if rungs in scores:
        return scores[rungs][1]
    method = dcgan_from(config, device)
    method.export = lambda path, info: pretrained.save(path, method.G_ema, None, info)

    def measure() -> None:
        loaded = pretrained.load(folder / "network.safetensors")
        kimg = float(loaded.info["kimg"])
        rung = max(1, round(rungs * kimg * 1000 / (config.steps * config.images_per_step)))
        if rung in scores or (rung < rungs and look is None):
            return
        scores[rung] = kimg, score(loaded.G.to(device))
        _write_json(folder / "scores.json", {"protocol": str(score.protocol), "scores": scores})
        if look:
            look(rung, *scores[rung])

    if (folder / "network.safetensors").exists():  # broken off between a snapshot and its score
        measure()
    part = math.ceil(config.steps / rungs) * config.images_per_step / 1000
    options = {"samples": 16, "keep": "last:1", "log_every": LOG_EVERY, "progress": False}
    fit(method, faces, folder, snap_kimg=part, on_snapshot=lambda snapshot: measure(), **options)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return scores[rungs][1]


def _clear(folder: Path, config: TrainConfig, score: Score) -> None:
    """Remove a run with other settings, which is that of a best that no longer is, and scores that were measured otherwise."""
    if (folder / "config.json").exists() and read_config(folder)["config"] != dataclasses.asdict(config):
        shutil.rmtree(folder)
    path = folder / "scores.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["protocol"] != str(score.protocol):
        path.unlink()


def _scores(folder: Path) -> dict[int, tuple[float, float]]:
    """rung -> kimg and score."""
    path = folder / "scores.json"
    found = json.loads(path.read_text(encoding="utf-8"))["scores"] if path.exists() else {}
    return {int(rung): (kimg, score) for rung, (kimg, score) in found.items()}


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


def _check_free(outdir: Path) -> None:
    there = {path.name for path in outdir.iterdir()} if outdir.is_dir() else set()
    if there - {"search.lock", "study.db"} and "study.db" not in there:
        raise InputError(f"{outdir} is not empty and holds no search: choose another folder")


@contextlib.contextmanager
def _alone(outdir: Path) -> Iterator[None]:
    """Keep a second process out; the system drops the lock with the process that holds it, however it ends."""
    lock = sqlite3.connect(outdir / "search.lock", timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        raise InputError(f"{outdir}: another process is searching in this folder: wait for it, or choose another one") from None
    try:
        yield
    finally:
        lock.close()


@contextlib.contextmanager
def _study(outdir: Path, about: dict) -> Iterator[Study]:
    import optuna

    path = outdir / "study.db"
    _check_database(path)
    # A creator takes every path as it is; in an address `?`, `%` and braces would have a meaning.
    creator = {"creator": lambda: sqlite3.connect(path, check_same_thread=False)}
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs=creator)
    try:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=FULL_TRIALS)
        study = optuna.create_study(storage=storage, study_name=STUDY, load_if_exists=True, pruner=pruner)
        _agree(outdir, study.user_attrs.get("search"), about)
        study.set_user_attr("search", about)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _check_database(path: Path) -> None:
    try:
        connection = sqlite3.connect(path)
        try:
            sound = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        finally:
            connection.close()
    except sqlite3.DatabaseError:
        sound = False
    if not sound:
        raise InputError(f"{path} is damaged, or no study: choose another folder")


def _agree(outdir: Path, old: dict | None, new: dict) -> None:
    """Refuse to go on with other settings: the scores would not compare."""
    if old is None:
        return
    if old.get("data") != new["data"]:
        raise InputError(f"{outdir} holds a search on other pictures: give the same data, or another folder")
    for name, value in json.loads(json.dumps(new)).items():
        was = old.get(name)
        if isinstance(value, dict) and isinstance(was, dict) and was != value:
            inner = next(key for key in {**was, **value} if was.get(key) != value.get(key))
            name, was, value = f"{name} {inner}", was.get(inner), value.get(inner)
        if was != value:
            raise InputError(
                f"{outdir} holds a search with {name} = {was}, not {value}: give the same settings to go on, or another folder"
            )


# ------------------------------------------------------------------------------------------------------------ files


def as_dict(found: Found) -> dict[str, object]:
    """What best.json says: the settings to train with, the score with its protocol, and the test.

    Raises:
        InputError: no trial has come to its end.
    """
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
        "importance": dict(found.importance),
        "confirmation": None,
    }
    test = found.confirmation
    if test is not None:
        told["confirmation"] = {
            **dataclasses.asdict(test),
            "measured_on": "the second half of the data, which neither trials nor these runs saw",
            "gain": test.gain,
            "apart": test.apart,
            "chance": test.chance,
            "verdict": verdict(found),
        }
    return _plain(told)


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
        return (
            f"On held-out pictures {size}, but the runs of the two overlap: the difference does not exceed the spread over "
            f"seeds (by luck alone a gain like this comes in {test.chance:.0%} of cases; seed by seed the best was better with "
            f"{test.wins} of {n})."
        )
    ratio = math.comb(2 * n, n)
    return (
        f"On held-out pictures {size}, and every run of one is {'below' if test.gain > 0 else 'above'} every run of the other: "
        f"the difference exceeds the spread over seeds (by luck alone in 1 of {ratio} cases, the least that {n} seeds can "
        "show)."
    )


def _plain(value: object) -> object:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, value: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")
