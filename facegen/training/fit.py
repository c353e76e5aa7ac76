"""The training loop: steps, time, files. One `fit` for every family of networks.

A run is a folder:

    config.json               the settings and the data's name and hash
    stats.jsonl               one line of numbers per logged step
    samples/step-00000640.png the same fixed z's, or translated pictures, at every snapshot, one grid without gaps
    samples/originals.png     the pictures that are translated
    checkpoints/step-....pt   everything needed to go on as if nothing had happened
    network.safetensors       the networks to use, at the last snapshot
    networks/                 the same of the snapshots that `keep_networks` names

Exact resume rests on three decisions. The order of the data, the flips and z are pure functions of the step. What else is
random (augmentation, a learner's own code) draws from generators whose states a checkpoint holds. And whatever a killed
run wrote after its last checkpoint is cut off before going on. Several processes (`facegen.training.processes`) resume
exactly if they are as many as before, but for batch norm's statistics, of which only the first process's are kept.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import hashlib
import json
import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.packed import to_pixels
from facegen.files import InputError, locked, one_line, refuse_link, replacing, write_text, writing
from facegen.training import memory, processes
from facegen.training.method import Data, Method
from facegen.training.runs import (
    VARYING,
    History,
    check_same_run,
    cut_grid,
    files_of_steps,
    is_number,
    join_grid,
    read_config,
    read_stats,
    step_of,
)

CHECKPOINT_FORMAT = 2
CALMER = "Try lower learning rates, or float32 instead of bfloat16, in a new folder"
SMALLER = ", or begin in a new folder with a smaller --batch, or of a StyleGAN a smaller --batch-gpu"


class TrainingError(RuntimeError):
    """The run cannot go on: the message says why, at which step, and which checkpoint is the last good one."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: raised after the current step is finished and a checkpoint of it is written."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What `on_snapshot` gets: where the run is, and the pictures that it has just made from the fixed z's."""

    step: int
    kimg: float
    samples: Tensor  # uint8 [N, 3, H, W]
    stats: list[dict[str, float]]  # all logged so far
    outdir: Path


def fit(
    method: Method,
    faces: Data,
    outdir: str | Path,
    *,
    snap_kimg: float = 10.0,
    samples: int = 64,
    keep: str = "last:2",
    keep_networks: int = 0,
    log_every: int = 10,
    resume: bool = True,
    stop_at: int | None = None,
    on_snapshot: Callable[[Snapshot], None] | None = None,
    tensorboard: bool = False,
    progress: bool | None = None,
) -> History:
    """Train until the settings' kimg or epochs are done, and return what was seen on the way.

    A fresh run seeds the random generators from the settings; afterwards they are as they were before.

    Args:
        method: networks, optimisers and the update: a `GAN` or `CycleGAN`, with the package's own networks or a learner's.
        faces: the packed data set, or the two of a translation; moved to the method's device if they fit.
        outdir: the run's folder. An unfinished run in it is continued from its newest checkpoint.
        snap_kimg: thousands of pictures between two snapshots; each writes samples, a checkpoint and the network file.
        samples: how many fixed z's, or pictures to translate, are followed.
        keep: which checkpoints stay: "all", "last:K" (the newest K) or "every:N" (each Nth, and the newest).
        keep_networks: N keeps the networks of each Nth snapshot, and of the last, in the folder networks; 0 keeps none.
        log_every: steps between two lines of stats.jsonl, and between two looks for numbers that are not finite.
        resume: False refuses a folder that already holds a run.
        stop_at: stop after this step although the run is longer, as if it had been interrupted there.
        on_snapshot: called after each snapshot is written. What it raises ends the run; a resumed run does not repeat it.
        tensorboard: also write event files, if the tensorboard package is there.
        progress: True or False shows or hides the progress bar; None shows it on a terminal and in notebooks.

    Raises:
        InputError: settings that do not fit the run in `outdir`, a run that is damaged or that another process trains, or
            pictures of the wrong size.
        TrainingError: a loss is not finite; the folder keeps the last good checkpoint.
        Interrupted: Ctrl-C, after a checkpoint of the current step.
    """
    _check_options(outdir, snap_kimg, samples, keep_networks)
    kept = parse_keep(keep)
    writer = _summary_writer() if tensorboard else None
    run, outdir = None, Path(outdir)
    method.check(faces)
    try:
        with kept_random_state(), contextlib.nullcontext() if processes.rank() else locked(outdir, "a training"):
            run = _Run(method, faces, outdir, snap_kimg, samples, kept, keep_networks, log_every, resume)
            run.tensorboard = writer(outdir / "tensorboard", purge_step=run.step + 1) if writer and run.first else None
            _loop(run, min(method.steps, stop_at or method.steps), on_snapshot, progress)
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
        if run is None:
            raise TrainingError("out of memory before the first step" + SMALLER) from None
        raise run.stopped(run.step + 1, "out of memory", "End what else uses it and go on" + SMALLER) from None
    return History.load(outdir)


def _check_options(outdir: str | Path, snap_kimg: float, samples: int, keep_networks: int) -> None:
    if not str(outdir):
        raise InputError("--outdir is empty: name the run's folder")
    if not (math.isfinite(snap_kimg) and snap_kimg > 0):
        raise InputError(f"a snapshot every {snap_kimg:g} kimg (--snap) is not possible: give a number above 0")
    if samples < 1:
        raise InputError(f"samples={samples}: give at least 1")
    if keep_networks < 0:
        raise InputError(f"--keep-networks={keep_networks}: give 0 for none, or every how many snapshots")


def _loop(run: _Run, last: int, on_snapshot: Callable[[Snapshot], None] | None, progress: bool | None) -> None:
    hidden = None if progress is None else not progress  # None: tqdm decides by whether it is on a terminal
    hidden = hidden if run.first else True
    bar = tqdm(total=run.method.steps, initial=run.step, unit="step", disable=hidden, desc=run.outdir.name)
    tensorboard = contextlib.closing(run.tensorboard) if run.tensorboard else contextlib.nullcontext()
    with bar, tensorboard, _deferred_interrupt() as interrupted:
        while run.step < last:
            run.advance()
            bar.update()
            interrupt = run.agree(interrupted)  # read once: a Ctrl-C from here on counts for the next step
            stopping = interrupt or run.step == last
            if run.step % run.log_every == 0 or run.at_snapshot() or stopping:
                bar.set_postfix_str(run.flush())
            if run.at_snapshot():
                run.snapshot(on_snapshot)
            elif stopping:
                run.checkpoint()
            if interrupt:
                raise Interrupted(f"interrupted at step {run.step}: run the same command again to go on from there")


class _Run:
    """The state of a run between two steps, and its folder."""

    def __init__(
        self,
        method: Method,
        faces: Data,
        outdir: Path,
        snap_kimg: float,
        samples: int,
        keep: tuple[str, int],
        keep_networks: int,
        log_every: int,
        resume: bool,
    ) -> None:
        if method.device.type == "cpu":
            keep_memory()
        self.method, self.faces, self.outdir, self.keep = method, faces.to(method.device), outdir, keep
        self.keep_networks = keep_networks
        self.config = method.config
        self.first = processes.rank() == 0  # of several processes, the one that writes files
        self.images_per_step = self.config.images_per_step
        self.snap_steps = max(1, round(snap_kimg * 1000 / self.images_per_step))
        self.log_every = max(1, log_every)
        self.step, self.seconds = 0, 0.0
        self.pending: list[tuple[dict[str, float], dict[str, Tensor]]] = []  # steps whose numbers are still on the device
        self.recent: dict[str, float] = {}  # the last value of each number; lazy penalties do not come with every step
        self.tensorboard = None
        if self.config.batch % processes.count():
            raise InputError(f"--batch={self.config.batch} cannot be shared by {processes.count()} processes: take a multiple")
        self.fixed = method.fixed(self.faces, samples)
        samples = len(self.fixed)
        self._open(resume, samples)
        self.stats = read_stats(outdir / "stats.jsonl")
        self.clock = time.perf_counter() - self.seconds
        self.since = time.perf_counter(), self.step  # from when on the next line's time per kimg counts
        if method.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(method.device)
        processes.share_gradients(method.optimizers.values())
        if all(processes.gather(not files_of_steps(outdir / "checkpoints", ".pt"))):
            self.checkpoint()  # of the untrained networks: also a run that dies early can be begun again exactly

    # -- the folder

    def _open(self, resume: bool, samples: int) -> None:
        about = {
            "config": dataclasses.asdict(self.config),
            "data": {
                "name": self.faces.name,
                "hash": self.faces.content_hash,
                "count": len(self.faces),
                # Of networks that are told the labels.
                "labels": _hash_of_labels(self.faces) if getattr(self.config, "cond", False) else None,
            },
            "image_size": self.config.image_size,
            "images_per_step": self.images_per_step,
            "snap_steps": self.snap_steps,
            "samples": samples,
            "steps_per_epoch": self.method.steps_per_epoch(self.faces),
            "processes": processes.count(),
            "micro_batch": None,
        }
        begun = processes.gather((self.outdir / "config.json").exists())[0]  # asked before any process writes it
        if begun:
            if not resume:
                raise InputError(f"{self.outdir} already holds a run: choose another folder, or continue it with resume")
            old = read_config(self.outdir)
            longer = check_same_run(old, about, self.outdir)
            about["micro_batch"] = self._divide(old.get("micro_batch") or self.config.batch // processes.count())
            if longer and self.first:
                about["config"] = old["config"] | {"kimg": self.config.kimg}
                write_text(self.outdir / "config.json", json.dumps(about, indent=2) + "\n")
            self._resume()
            return
        about["micro_batch"] = self._divide(None)
        if self.first:
            self._make_folders()
            if self.fixed.dim() == 4:  # pictures to translate
                with replacing(self.outdir / "samples" / "originals.png") as temporary:
                    join_grid(to_pixels(self.fixed)).save(temporary)
            write_text(self.outdir / "config.json", json.dumps(about, indent=2) + "\n")
        _seed(self.config.seed + processes.rank())
        processes.wait()

    def _make_folders(self) -> None:
        """Refuse a folder of ours that is a link before anything is written or removed behind it."""
        for name in ("samples", "checkpoints", "networks", "tensorboard"):
            refuse_link(self.outdir / name)
        for name in ("samples", "checkpoints"):  # now, and not at the first snapshot, it comes out that they cannot be made
            with writing(self.outdir / name):
                (self.outdir / name).mkdir(exist_ok=True)
        strays = [*files_of_steps(self.outdir / "checkpoints", ".pt"), *files_of_steps(self.outdir / "samples", ".png")]
        if strays and not (self.outdir / "config.json").exists():
            raise InputError(f"{strays[0]} is of a run whose config.json is missing: put it back, or choose another folder")

    def _divide(self, stored: int | None) -> int | None:
        number, said = self.method.divide(stored)
        if said and self.first:
            print(said)
        return number

    def _resume(self) -> None:
        if self.first:
            self._make_folders()
        found = self._newest_checkpoint()
        if found is None:  # killed before its first checkpoint
            _seed(self.config.seed + processes.rank())
        else:
            self._load(*found)
        processes.wait()  # until all have read what the first may now remove
        if self.first:
            self._cut_after(self.step)
            grids = self.outdir / "samples"
            # Now, and not when the run is at its end:
            for path in [*files_of_steps(grids, ".png"), *grids.glob("originals.png")]:
                cut_grid(path, self.config.image_size, len(self.fixed))
        processes.wait()

    def _load(self, path: Path, state: dict) -> None:
        """Put networks, optimisers, stores and random generators into the state of a checkpoint."""
        try:
            for name, net in self.method.networks.items():
                _load_into(net, state["networks"][name], f"{path}: {name}")
            for name, optimizer in self.method.optimizers.items():
                optimizer.load_state_dict(state["optimizers"][name])
                for weight, values in optimizer.state.items():  # which PyTorch does not compare
                    if any(value.dim() and value.shape != weight.shape for value in values.values()):
                        raise ValueError(f"the state of optimiser {name} has other shapes")
            mine = state["processes"][processes.rank()]
            for name, store in self.method.stores.items():
                store.load_state_dict(mine["stores"][name])
            set_random_state(mine["random"])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if isinstance(error, InputError) or memory.is_out_of_memory(error):
                raise
            why = f"{type(error).__name__}: {one_line(error, 100)}"
            raise InputError(
                f"{path} does not fit this run ({why}): remove it to go on from the one before, or begin in another folder"
            ) from None
        self.step, self.seconds, self.recent = state["step"], state["seconds"], state["recent"]

    def _newest_checkpoint(self) -> tuple[Path, dict] | None:
        damaged = []
        for path in reversed(files_of_steps(self.outdir / "checkpoints", ".pt")):
            try:
                state = torch.load(path, map_location="cpu", weights_only=True)
                _check_checkpoint(state, step_of(path))
            except Exception as error:  # a torn disk, a foreign file: the one before may be good
                if memory.is_out_of_memory(error):
                    raise
                if isinstance(error, OSError) and error.errno:  # the file may be good
                    raise InputError(f"{path} cannot be read ({os.strerror(error.errno)}): make it readable") from None
                print(f"{path}: cannot be read ({type(error).__name__}), trying the one before")
                damaged.append(path)
                continue
            processes.wait()
            for bad in damaged if self.first else []:
                bad.unlink()
            return path, state
        if damaged:
            raise InputError(f"none of the checkpoints can be read, such as {damaged[0]}: train anew into another folder")
        return None

    def _cut_after(self, step: int) -> None:
        """Remove what the killed run wrote after its last checkpoint: the resumed run will write it again."""
        for path in files_of_steps(self.outdir / "samples", ".png"):
            if step_of(path) > step:
                path.unlink()
        snapshots = [*range(self.snap_steps, self.method.steps, self.snap_steps), self.method.steps]
        # Two snapshots may share a label, as a CycleGAN's of one epoch do: what an earlier one has written stays.
        written = {self.method.label(snapshot) for snapshot in snapshots if snapshot <= step}
        for label in {self.method.label(snapshot) for snapshot in snapshots if snapshot > step} - written:
            for path in (self.outdir / "networks").glob(f"{label}*.safetensors"):
                path.unlink()
        lines = [line for line in read_stats(self.outdir / "stats.jsonl") if line["step"] <= step]
        write_text(self.outdir / "stats.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    # -- one step

    def advance(self) -> None:
        stats = self.method.update(self.step, self.method.batch(self.faces, self.step))
        self.step += 1
        place = {
            "step": self.step,
            "kimg": self.step * self.images_per_step / 1000,
            "epoch": self.step / self.method.steps_per_epoch(self.faces),
        }
        self.pending.append((place, stats))

    def agree(self, interrupted: threading.Event) -> bool:
        """Whether to stop here. Several processes have to stop at the same step, so they ask each other now and then."""
        if processes.count() == 1:
            return interrupted.is_set()
        return self.step % self.log_every == 0 and any(processes.gather(interrupted.is_set()))

    def at_snapshot(self) -> bool:
        return self.step % self.snap_steps == 0 or self.step == self.method.steps

    def flush(self) -> str:
        """Fetch the numbers of the steps since the last look, refuse what is not finite, log the last of them."""
        for place, stats in self.pending:
            numbers = torch.stack([value.float().cpu() for value in stats.values()])
            values = dict(zip(stats, processes.average(numbers.to(self.method.device)).tolist()))
            bad = [name for name, value in values.items() if not math.isfinite(value)]
            if bad:
                raise self.stopped(place["step"], f"{', '.join(bad)} is not finite", CALMER)
            self.recent |= values
        measured = self._measured()
        line = place | measured | self.recent
        self.pending = []
        summary = _in_short(line)
        if self.step % self.log_every and not self.at_snapshot():
            return summary  # a look at an interrupt: a run that was not interrupted has no line here
        self.stats.append(line)
        self.since = time.perf_counter(), self.step
        if not self.first:
            return summary
        path = self.outdir / "stats.jsonl"
        with writing(path), open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self.tensorboard:
            for name, value in (measured | self.recent).items():
                self.tensorboard.add_scalar(name, value, self.step)
        return summary

    def _measured(self) -> dict[str, float]:
        """What `VARYING` names, now."""
        now, (then, step) = time.perf_counter(), self.since
        pace = (now - then) * 1000 / ((self.step - step) * self.images_per_step)
        values = now - self.clock, pace, memory.peak_gb(self.method.device)
        return {name: round(value, 4) for name, value in zip(VARYING, values)}

    def stopped(self, step: int, what: str, cure: str) -> TrainingError:
        """The error that ends a run in this step."""
        kept = files_of_steps(self.outdir / "checkpoints", ".pt")
        good = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint was written yet"
        kimg = step * self.images_per_step / 1000
        return TrainingError(f"training stopped at step {step} ({kimg:.2f} kimg): {what}; {good}. {cure}")

    # -- snapshots

    def snapshot(self, on_snapshot: Callable[[Snapshot], None] | None) -> None:
        kimg = self.step * self.images_per_step / 1000
        broken = [name for name, net in self.method.networks.items() if not _finite(net)]
        if broken:  # finite losses in a step that then spoiled the weights: no file may keep them
            raise self.stopped(self.step, f"weights of {', '.join(broken)} are not finite", CALMER)
        if self.first:
            pictures = self._write_snapshot(kimg)
        self.checkpoint()
        if on_snapshot and self.first:
            with kept_random_state():  # a resumed run does not call the hook again: what it draws must not count
                on_snapshot(Snapshot(self.step, kimg, pictures, self.stats, self.outdir))
        processes.wait()
        self.since = time.perf_counter(), self.step

    def _write_snapshot(self, kimg: float) -> Tensor:
        """The pictures, and the networks to use."""
        self.method.refresh()
        pictures = self.method.sample(self.fixed)
        with replacing(self.outdir / "samples" / f"step-{self.step:08d}.png") as temporary:
            join_grid(pictures).save(temporary)
        info = {
            "kimg": kimg,
            "epoch": round(self.step / self.method.steps_per_epoch(self.faces), 2),
            "data": self.faces.name,
            "config": dataclasses.asdict(self.config),
        }
        number, rest = divmod(self.step, self.snap_steps)
        kept = self.keep_networks and (self.step == self.method.steps or (not rest and number % self.keep_networks == 0))
        with contextlib.suppress(InputError):  # a learner's own class: its weights are in the checkpoints
            self.method.export(self.outdir / "network.safetensors", info)
            if kept:
                self.method.export(self.outdir / "networks" / f"{self.method.label(self.step)}.safetensors", info)
        return pictures

    def checkpoint(self) -> None:
        state = {
            "format": CHECKPOINT_FORMAT,
            "step": self.step,
            "seconds": time.perf_counter() - self.clock,
            "recent": self.recent,
            "networks": {name: net.state_dict() for name, net in self.method.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.method.optimizers.items()},
            "processes": processes.gather(
                {
                    "random": random_state(),
                    "stores": {name: store.state_dict() for name, store in self.method.stores.items()},
                }
            ),
        }
        if self.first:
            with replacing(self.outdir / "checkpoints" / f"step-{self.step:08d}.pt") as temporary:
                torch.save(state, temporary)
            self._forget()

    def _forget(self) -> None:
        kind, number = self.keep
        paths = files_of_steps(self.outdir / "checkpoints", ".pt")
        if kind == "last":
            old = paths[:-number]
        elif kind == "every":
            old = [p for p in paths[:-1] if step_of(p) == 0 or step_of(p) % (number * self.snap_steps)]
        else:
            old = []
        for path in old:
            path.unlink()


def keep_memory() -> bool:
    """Let the C library keep the memory of freed tensors for the next step: for training on the CPU, under Linux with glibc.

    glibc gives every block above 32 MiB back to the system when it is freed, and the next step gets it anew, zeroed page by
    page: some 7 % of a DCGAN's step. The setting holds for the whole process, which then stays as large as at its peak.

    Returns:
        Whether the C library took the setting; elsewhere nothing happens.
    """
    mmap_max, trim_threshold, top_pad = -4, -1, -2  # names of <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(mmap_max, 0) and mallopt(trim_threshold, 2**31 - 1) and mallopt(top_pad, 2**28))
    except (AttributeError, OSError, TypeError):  # another C library
        return False


def parse_keep(keep: str) -> tuple[str, int]:
    """ "last:3" -> ("last", 3); InputError for anything that is not all, last:K or every:N."""
    kind, _, number = keep.partition(":")
    if keep == "all":
        return "all", 0
    if kind in ("last", "every") and number.isdigit() and int(number) > 0:
        return kind, int(number)
    raise InputError(f"--keep={keep} is not known: use all, last:K or every:N")


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn Ctrl-C into a flag, so that no step is torn in two; a second Ctrl-C acts at once."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def remember(number, frame):
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, remember)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


def _summary_writer() -> type:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("tensorboard is not installed: pip install tensorboard, or leave --tensorboard out") from None
    return SummaryWriter


# -- small file and state helpers


def _in_short(line: dict[str, float]) -> str:
    """The numbers to watch, for the progress bar."""
    shown = f"{line['kimg']:.1f} kimg, D {line.get('loss_D', math.nan):.3f}, G {line.get('loss_G', math.nan):.3f}"
    for name, text in (("r_t", ", r_t {:+.2f}"), ("ada_p", ", p {:.3f}")):
        shown += text.format(line[name]) if name in line else ""
    return f"{shown}, {line['sec_per_kimg']:.4g} s/kimg, {line['memory_gb']:.2g} GB"


def _hash_of_labels(faces: Data) -> str | None:
    labels = getattr(faces, "labels", None)
    return None if labels is None else hashlib.sha256(labels.cpu().numpy().tobytes()).hexdigest()


@torch.no_grad()
def _finite(net: nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in net.state_dict().values() if value.is_floating_point())


def _load_into(net: nn.Module, weights: dict[str, Tensor], what: str) -> None:
    try:
        net.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise InputError(f"{what} does not fit the network: {' '.join(str(error).split())[:160]}") from None


def _check_checkpoint(state: object, step: int) -> None:
    """Raise ValueError or LookupError for what is no checkpoint of this step; what fits the networks is seen later."""
    if not isinstance(state, dict) or state["format"] != CHECKPOINT_FORMAT:
        raise ValueError("another format")
    numbers = state["recent"].values() if isinstance(state["recent"], dict) else [None]
    parts_are_there = isinstance(state["networks"], dict) and isinstance(state["optimizers"], dict) and state["processes"]
    if state["step"] != step or not parts_are_there or not all(map(is_number, [state["seconds"], *numbers])):
        raise ValueError("not what its name says")


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, object]:
    """The state of every generator that user code may draw from, as tensors and plain numbers only."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, object] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Afterwards every random generator stands where it stood, whatever was drawn inside."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)


def set_random_state(state: dict[str, object]) -> None:
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
