"""Two processes train as one does: what torchrun starts, here on the CPU over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from facegen.config import CycleConfig, TrainConfig
from facegen.data import load_faces
from facegen.data.unpaired import drawn_unpaired
from facegen.files import InputError
from facegen.training import processes
from facegen.training.cyclegan import cyclegan_from
from facegen.training.fit import VARYING, History, fit
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
