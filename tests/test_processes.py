"""Two processes train as one does: what torchrun starts, here on the CPU over gloo."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from facegen.config import CycleConfig, TrainConfig
from facegen.data import load_faces
from facegen.data.unpaired import drawn_unpaired
from facegen.files import InputError
from facegen.training import processes
from facegen.training.cyclegan import cyclegan_from
from facegen.training.fit import fit
from facegen.training.runs import VARYING, History, read_config
from facegen.training.steps import dcgan_from

STEPS = 10  # of each run below


def cyclegan_run(outdir: Path, pool: int = 0, stop_at: int | None = None) -> History:
    data = drawn_unpaired(10, 36, 32)
    config = CycleConfig(
        image_size=32,
        load_size=36,
        generator="resnet1",
        width=4,
        width_D=4,
        layers_D=2,
        pool=pool,
        batch=2,
        epochs=1,
        epochs_decay=1,
        precision="float32",
    )
    method = cyclegan_from(config, data.steps_per_epoch(2))
    return fit(method, data, outdir, samples=2, snap_kimg=0.01, log_every=1, stop_at=stop_at, progress=False)


def dcgan_run(outdir: Path) -> History:
    config = TrainConfig(
        image_size=32,
        conv_dim=4,
        norm_G="instance",
        norm_D="instance",
        batch=4,
        kimg=STEPS * 4 / 1000,
        mirror=True,
        precision="float32",
    )
    faces = load_faces("drawn:16", 32)
    return fit(dcgan_from(config), faces, outdir, samples=4, snap_kimg=0.02, log_every=1, progress=False)


def worker(outdir: Path) -> None:
    """What each of the two processes does."""
    assert processes.join("cpu") == "cpu" and processes.count() == 2
    cyclegan_run(outdir / "cyclegan")
    dcgan_run(outdir / "dcgan")
    cyclegan_run(outdir / "straight", pool=3)
    cyclegan_run(outdir / "resumed", pool=3, stop_at=7)
    cyclegan_run(outdir / "resumed", pool=3)
    processes.leave()


def lines(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k not in VARYING} for line in History.load(run).stats]


# ------------------------------------------------------------------------------------------- starting them

TINY = (
    "train --cfg=stylegan2 --data=drawn:16 --image-size=16 --cbase=64 --cmax=8 --z-dim=8 --w-dim=8 --map-depth=1 "
    "--precision=float32 --batch=8 --kimg=0.032 --tick=0.016 --snap=1 --device=cpu"
)


def started(*argv: object) -> subprocess.Popen:
    """`start` with two processes, as --gpus=2 calls it."""
    code = "import sys; from facegen.training.processes import start; sys.exit(start(2, sys.argv[1:]))"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [sys.executable, "-c", code, *TINY.split(), *map(str, argv)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_are_started_and_one_of_them_speaks(tmp_path):
    child = started("--outdir", tmp_path)
    said, errors = child.communicate()
    assert child.returncode == 0, errors
    assert said.count("16 pictures from drawn") == 1 and said.count("done: ") == 1
    assert History.load(tmp_path).stats[-1]["step"] == 4 and read_config(tmp_path)["processes"] == 2


def test_what_is_wrong_with_the_input_is_one_line_and_exit_code_2(tmp_path):
    for argv, words in (
        (["--data", tmp_path / "none"], f"facegen: error: {tmp_path / 'none'} does not exist"),
        (["--batch=9"], "facegen: error: "),
    ):
        child = started("--outdir", tmp_path / "run", *argv)
        _, errors = child.communicate()
        assert child.returncode == 2 and errors.startswith(words) and errors.count("\n") == 1, errors


def test_what_stops_only_the_second_process_is_told_and_ends_the_first(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif os.environ.get('RANK') == '1':\n    sys.exit('facegen: error: the second has no disk')\n"
    )
    monkeypatch.setattr(processes, "GRACE", 0.1)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parent.parent)]))
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stderr", os.fdopen(write, "w"))
    assert processes.start(2, [*TINY.split(), "--outdir", str(tmp_path / "run")]) == 1
    sys.stderr.close()
    assert "the second has no disk" in os.fdopen(read).read() and not (tmp_path / "run").exists()


def test_ctrl_c_stops_both_behind_one_step(tmp_path):
    child = started("--outdir", tmp_path, "--kimg=800")
    while not (tmp_path / "stats.jsonl").exists():
        assert child.poll() is None, child.communicate()
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate()
    assert child.returncode == 130 and errors.count("interrupted at step") == 1 and "Traceback" not in errors
    assert max((tmp_path / "checkpoints").iterdir()).name == f"step-{int(errors.split('step ')[1].split(':')[0]):08d}.pt"


def test_no_process_at_all_is_refused():
    with pytest.raises(InputError, match="--gpus=0: give at least 1"):
        processes.start(0, ["train"])


# ------------------------------------------------------------------------------------------- training together


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> Path:
    """The runs of two processes."""
    outdir = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(outdir)]
    root = str(Path(__file__).resolve().parent.parent)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return outdir


def test_two_processes_make_the_steps_of_one(together, tmp_path):
    for name, run in (("cyclegan", cyclegan_run), ("dcgan", dcgan_run)):
        run(tmp_path / name)
        ours, theirs = lines(tmp_path / name), lines(together / name)
        assert [line["step"] for line in theirs] == [line["step"] for line in ours] == list(range(1, STEPS + 1))
        # The first steps agree but for rounding; later a GAN enlarges it.
        for mine, other in zip(ours[:4], theirs[:4]):
            for key, value in mine.items():
                assert other[key] == pytest.approx(value, rel=2e-3, abs=2e-4), (name, mine["step"], key)


def test_two_processes_resume_exactly_with_their_pools(together):
    assert lines(together / "resumed") == lines(together / "straight")
    a, b = (History.load(together / name).samples for name in ("resumed", "straight"))
    assert len(a) == 2 and torch.equal(a, b)


def test_a_run_of_two_processes_is_not_continued_by_one(together):
    with pytest.raises(InputError, match="processes=2, not 1"):
        cyclegan_run(together / "straight", pool=3)


def test_one_process_is_left_alone():
    assert (processes.count(), processes.rank(), processes.join("auto")) == (1, 0, "auto")
    batch = torch.arange(6.0)
    assert torch.equal(processes.share(batch), batch) and torch.equal(processes.average(batch), batch)
    assert processes.gather("x") == ["x"]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    processes.share_gradients([optimizer])
    assert not optimizer._optimizer_step_pre_hooks


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
