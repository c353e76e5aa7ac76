"""How many pictures go through the networks at once: what fits is found, nothing else is touched, and a run keeps to it."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facegen.config import RECIPES, StyleConfig
from facegen.data.packed import Faces
from facegen.files import InputError
from facegen.training import memory, processes
from facegen.training.fit import TrainingError, fit
from facegen.training.runs import VARYING, read_config
from facegen.training.stylegan import StyleGAN, squared_gradients, stylegan_from

SMALL = {"image_size": 8, "cbase": 64, "cmax": 8, "z_dim": 8, "w_dim": 8, "map_depth": 1, "precision": "float32"}
SHORT = {"batch": 16, "kimg": 0.064, "r1_interval": 2, "pl_interval": 2, "ada_kimg": 0.1}
FOUR_STEPS = {"snap_kimg": 0.032, "samples": 4, "log_every": 1, "progress": False}


def settings(cfg: str = "stylegan2", **change) -> StyleConfig:
    return dataclasses.replace(RECIPES[cfg], **{**SMALL, **SHORT, **change})


@pytest.fixture
def faces() -> Faces:
    return noise()


def noise() -> Faces:
    pixels = torch.randint(0, 256, (24, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Faces(pixels, None, "noise", "of seed 0")


class Cramped(nn.Module):
    """D on a device that holds `most` pictures: more raise what CUDA raises."""

    def __init__(self, D: nn.Module, most: int) -> None:
        super().__init__()
        self.D, self.most, self.seen = D, most, []

    def forward(self, x, c=None, dtype=None):
        self.seen.append(len(x))
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.D(x, c, dtype=dtype)


def cramped(most: int, config: StyleConfig | None = None) -> StyleGAN:
    config = config or settings()
    nets = stylegan_from(config)
    return StyleGAN(nets.G, Cramped(nets.D, most), config)


# ----------------------------------------------------------------------------------------------------- the basics


def test_errors_that_mean_no_memory():
    with pytest.raises(RuntimeError) as full:
        torch.empty(2**50, dtype=torch.uint8)  # a petabyte
    mps = RuntimeError(
        "MPS backend out of memory (MPS allocated: 17.93 GB, other allocations: 15.78 MB, max allowed: 18.13 GB)."
    )
    for error in (full.value, mps, torch.cuda.OutOfMemoryError("CUDA out of memory."), MemoryError()):
        assert memory.is_out_of_memory(error), error
    for error in (RuntimeError("shape '[3]' is invalid for input of size 4"), ValueError("out of memory"), KeyboardInterrupt()):
        assert not memory.is_out_of_memory(error), error


def test_parts_keep_to_the_groups_that_D_compares():
    assert [memory.largest_part(32, most) for most in (99, 16, 15, 7, 3, 1)] == [32, 16, 8, 4, 2, 1]
    assert [memory.largest_part(24, most) for most in (24, 12, 11, 6, 3, 2)] == [24, 12, 8, 4, 3, 2]
    for share in range(1, 65):
        for most in range(1, share + 1):
            StyleConfig(batch=share, batch_gpu=memory.largest_part(share, most))  # refuses what it cannot work off


def test_the_peak_only_grows():
    cpu = torch.device("cpu")
    before = memory.peak_gb(cpu)
    ballast = torch.ones(40_000_000)  # 0.16 GB
    assert 0.01 < before <= memory.peak_gb(cpu) < 1000
    assert memory.peak_gb(cpu) > ballast.numel() * 4 / memory.GB


# ---------------------------------------------------------------------------------------------------- what fits


@pytest.mark.parametrize(("most", "found"), [(99, 16), (16, 16), (15, 8), (5, 4), (3, 2), (1, 1)])
def test_the_largest_part_that_fits_is_found(most, found):
    method = cramped(most)
    number, said = method.divide()
    assert number == found == method._micro
    assert max(method.D.seen) == 16, "the wanted number is tried first"
    divided = f"batch 16 is split into {16 // found} micro-batches of {found}: {2 * found} do not fit into memory"
    assert said == ("" if found == 16 else divided)


def test_what_the_settings_say_is_not_questioned():
    method = cramped(2, settings(batch_gpu=8))
    assert method.divide() == (8, "") and not method.D.seen


def test_every_part_of_a_step_is_tried():
    """The penalty, which needs most, is what does not fit."""
    config = settings()
    nets = stylegan_from(config)
    tried = []

    def penalty(logits, pictures):
        tried.append(len(pictures))
        if len(pictures) > 4:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 17.93 GB)")
        return squared_gradients(logits, pictures)

    method = StyleGAN(nets.G, nets.D, config, penalty=penalty)
    # Two steps of two parts: the second part has gradients of the first, the second step has Adam's moments.
    assert method.divide()[0] == 4 and tried == [16, 8, 4, 4, 4, 4]


def everything(method: StyleGAN) -> dict[str, object]:
    state = {
        "networks": {name: net.state_dict() for name, net in method.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in method.optimizers.items()},
        "stores": {name: store.state_dict() for name, store in method.stores.items()},
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "p": method.pipe.p,
        "learns": [p.requires_grad for net in method.networks.values() for p in net.parameters()],
        "modes": [module.training for net in method.networks.values() for module in net.modules()],
        "gradients": [p.grad for net in (method.G, method.D) for p in net.parameters()],
    }
    return copy.deepcopy(state)


def assert_same(a: object, b: object, where: str = "state") -> None:
    assert type(a) is type(b), where
    if isinstance(a, (torch.Tensor, np.ndarray)):
        same = torch.equal(a, b) if isinstance(a, torch.Tensor) else np.array_equal(a, b)
        assert same, where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b or (a != a and b != b), where  # nan is as it was


@pytest.mark.parametrize("steps", [0, 5])
def test_looking_leaves_no_trace(steps, faces):
    config = settings(freezed=1)
    looked, other = (stylegan_from(config) for _ in range(2))
    for method in (looked, other):
        for step in range(steps):
            method.update(step, method.batch(faces, step))
        for optimizer in (method.opt_G, method.opt_D):
            optimizer.zero_grad()
    before = everything(looked)
    assert looked.divide()[0] == 16
    assert_same(before, everything(looked))
    mine, its = (method.update(steps, method.batch(faces, steps)) for method in (looked, other))
    assert_same(mine, its, "stats")
    assert_same(everything(looked)["networks"], everything(other)["networks"])


def test_no_trace_is_left_either_where_nothing_fits():
    method = cramped(0)
    before = everything(method)
    with pytest.raises(InputError, match="not even one picture fits into memory: take a smaller --cbase"):
        method.divide()
    assert_same(before, everything(method))


def test_other_errors_are_not_swallowed():
    method = cramped(16)
    method.D.forward = lambda *_, **__: torch.ones(2) @ torch.ones(3)
    with pytest.raises(RuntimeError, match="size"):
        method.divide()


# ------------------------------------------------------------------------------------------------------- in a run


def numbers(history) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name not in VARYING} for line in history.stats]


def test_a_run_keeps_to_what_it_found(faces, tmp_path, capsys):
    found = fit(cramped(7), faces, tmp_path / "found", **FOUR_STEPS)
    assert "batch 16 is split into 4 micro-batches of 4: 8 do not fit into memory" in capsys.readouterr().out
    about = read_config(tmp_path / "found")
    assert about["micro_batch"] == 4 and about["config"]["batch_gpu"] == 0
    given = fit(cramped(7, settings(batch_gpu=4)), faces, tmp_path / "given", **FOUR_STEPS)
    assert numbers(found) == numbers(given) and torch.equal(found.samples, given.samples)
    # Interrupted, and continued where there is more memory, or by somebody who names the number: the same run.
    fit(cramped(7), faces, tmp_path / "moved", stop_at=1, **FOUR_STEPS)
    fit(cramped(99), faces, tmp_path / "moved", stop_at=2, **FOUR_STEPS)
    moved = fit(cramped(7, settings(batch_gpu=4)), faces, tmp_path / "moved", **FOUR_STEPS)
    assert numbers(found) == numbers(moved) and torch.equal(found.samples, moved.samples)
    with pytest.raises(InputError, match="--batch-gpu=4, not 8"):
        fit(cramped(99, settings(batch_gpu=8)), faces, tmp_path / "moved", **FOUR_STEPS)


def test_a_run_from_before_keeps_its_whole_batches(faces, tmp_path):
    fit(cramped(99), faces, tmp_path, stop_at=1, **FOUR_STEPS)
    about = json.loads((tmp_path / "config.json").read_text())
    assert about.pop("micro_batch") == 16
    (tmp_path / "config.json").write_text(json.dumps(about))
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.json"}
    with pytest.raises(TrainingError, match=r"stopped at step 2 .*out of memory.*smaller --batch-gpu"):
        fit(cramped(4), faces, tmp_path, **FOUR_STEPS)
    assert all(path.read_bytes() == content for path, content in files.items())
    assert len(fit(cramped(99), faces, tmp_path, **FOUR_STEPS).stats) == 4


def test_memory_that_ends_during_a_run_is_named(faces, tmp_path):
    method = cramped(99)
    penalty = method.penalty

    def ending(logits, pictures):
        if method.opt_D.state and next(iter(method.opt_D.state.values()))["step"] >= 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return penalty(logits, pictures)

    method.penalty = ending
    with pytest.raises(TrainingError) as error:
        fit(method, faces, tmp_path, **FOUR_STEPS)
    assert "training stopped at step 3 (0.05 kimg): out of memory; the last good checkpoint is" in str(error.value)
    assert "smaller --batch-gpu" in str(error.value) and "step-00000002.pt" in str(error.value)


# ---------------------------------------------------------------------------------------------------- two processes


def worker(outdir: Path) -> None:
    """Each process has memory for another number of pictures."""
    processes.join("cpu")
    method = cramped((2, 99)[processes.rank()], settings(batch=16))
    fit(method, noise(), outdir, **FOUR_STEPS)
    assert method._micro == 2 and max(method.D.seen) == 8
    processes.leave()


def test_several_processes_agree_on_the_least(tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [*launcher, __file__, str(tmp_path / "run")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("batch 16 is split into 8 micro-batches of 2: 4 do not fit into memory") == 1
    assert read_config(tmp_path / "run")["micro_batch"] == 2


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
