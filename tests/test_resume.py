"""A run that is killed and continued ends in the same bits as one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import make_faces

from facegen.config import TrainConfig
from facegen.training.fit import fit
from facegen.training.runs import VARYING, History
from facegen.training.steps import dcgan_from

# Augmentation draws from torch's own generator, whose state has to come back; batch norm and Adam have states of their own.
SETTINGS = {
    "image_size": 32,
    "z_size": 8,
    "conv_dim": 4,
    "batch": 8,
    "kimg": 1.6,
    "mirror": True,
    "augment": "color,translation,cutout",
    "schedule": "cosine",
    "warmup_kimg": 0.2,
}
SNAP_KIMG = 0.08  # every 10 of the 200 steps

# `python -c CHILD folder sabotage`: trains; with a sabotage it kills itself at a chosen point of its n-th checkpoint.
CHILD = f"""
import os, signal, sys, torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_resume import train
kind, _, when = sys.argv[2].partition(":")
calls = 0
def die(): os.kill(os.getpid(), signal.SIGKILL)
save, replace = torch.save, os.replace
def torn_save(state, path):
    global calls
    calls += 1
    save(state, path)
    if calls == int(when):
        with open(path, "rb+") as file: file.truncate(os.path.getsize(path) // 2)
        die()
def replace_and_die(source, target):
    global calls
    calls += 1
    if calls == int(when) and kind == "before": die()
    replace(source, target)
    if calls == int(when): die()
if kind == "torn": torch.save = torn_save
if kind in ("before", "after"): os.replace = replace_and_die
train(sys.argv[1])
"""


def train(outdir, stop_at=None):
    torch.set_num_threads(1)
    method = dcgan_from(TrainConfig(**SETTINGS))
    return fit(method, make_faces(), outdir, samples=4, snap_kimg=SNAP_KIMG, log_every=5, stop_at=stop_at, progress=False)


def child(outdir, sabotage="none"):
    return subprocess.Popen([sys.executable, "-c", CHILD, str(outdir), sabotage], env={**os.environ, "OMP_NUM_THREADS": "1"})


def assert_same_run(a, b):
    """Everything but the clock: weights, averages, optimisers, random state, samples, stats."""
    last = "checkpoints/step-00000200.pt"
    x, y = (torch.load(Path(folder) / last, weights_only=True) for folder in (a, b))
    x.pop("seconds"), y.pop("seconds")
    assert_equal(x, y, "checkpoint")
    one, two = History.load(a), History.load(b)
    assert torch.equal(one.samples, two.samples) and one.kimg == two.kimg
    same = dict.fromkeys(VARYING, 0)
    assert [line | same for line in one.stats] == [line | same for line in two.stats]
    assert not list(Path(b).rglob("*.part*"))


def assert_equal(x, y, where):
    assert type(x) is type(y), where
    if isinstance(x, torch.Tensor):
        assert torch.equal(x, y), where
    elif isinstance(x, dict):
        assert x.keys() == y.keys(), where
        for key in x:
            assert_equal(x[key], y[key], f"{where}.{key}")
    elif isinstance(x, (list, tuple)):
        assert len(x) == len(y), where
        for number, (p, q) in enumerate(zip(x, y)):
            assert_equal(p, q, f"{where}[{number}]")
    else:
        assert x == y, where


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("straight")
    train(folder)
    return folder


def test_stopped_and_resumed_in_one_process(straight, tmp_path):
    for stop_at in (7, 53, 130, None):
        torch.manual_seed(stop_at or 1)  # whatever the state is outside: the run has its own
        outside = torch.get_rng_state()
        train(tmp_path, stop_at)
        assert torch.equal(outside, torch.get_rng_state())
    assert_same_run(straight, tmp_path)


def test_killed_ten_times_at_random_moments(straight, tmp_path):
    pause = random.Random(5)
    stats = tmp_path / "stats.jsonl"
    for _ in range(10):
        before = stats.read_bytes() if stats.exists() else b""
        process = child(tmp_path)
        while process.poll() is None and (stats.read_bytes() if stats.exists() else b"") in (before, b""):
            time.sleep(0.005)  # until it trains
        time.sleep(pause.random() * 0.25)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert child(tmp_path).wait() == 0
    assert_same_run(straight, tmp_path)


@pytest.mark.parametrize("sabotage", ["torn:3", "before:7", "after:7", "before:12", "after:14"])
def test_killed_while_a_file_is_written(straight, tmp_path, sabotage):
    assert child(tmp_path, sabotage).wait() == -signal.SIGKILL
    assert child(tmp_path).wait() == 0
    assert_same_run(straight, tmp_path)


def test_a_torn_newest_checkpoint_falls_back_to_the_one_before(straight, tmp_path, capsys):
    train(tmp_path, 50)
    newest = tmp_path / "checkpoints" / "step-00000050.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    train(tmp_path)
    assert "trying the one before" in capsys.readouterr().out
    assert_same_run(straight, tmp_path)
