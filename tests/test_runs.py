"""The folder of a run: nothing in it is lost, two trainings never share it, and what is damaged is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from conftest import make_faces

from facegen.config import RECIPES, CycleConfig, StyleConfig, TrainConfig
from facegen.data.unpaired import drawn_unpaired
from facegen.training.cyclegan import cyclegan_from
from facegen.training.fit import History, fit
from facegen.training.steps import dcgan_from
from facegen.training.stylegan import stylegan_from

# Twelve steps of each; a step has as many pictures as `batch` says.
DCGAN = TrainConfig(image_size=32, z_size=8, conv_dim=4, batch=8, kimg=0.096, precision="float32")
STYLEGAN = dataclasses.replace(
    RECIPES["stylegan2"],
    **{"image_size": 8, "cbase": 64, "cmax": 8, "z_dim": 8, "w_dim": 8, "map_depth": 1, "precision": "float32"},
    **{"batch": 8, "batch_gpu": 8, "kimg": 0.096},
)
CYCLEGAN = CycleConfig(
    image_size=32,
    load_size=36,
    generator="resnet1",
    width=4,
    width_D=4,
    layers_D=2,
    batch=2,
    epochs=2,
    epochs_decay=2,
    precision="float32",
)


def train(config: TrainConfig | StyleConfig | CycleConfig, outdir: Path, snap_steps: int = 4, **options) -> History:
    """A run of 12 steps with `snap_steps` of them between two snapshots, each of whose networks is kept."""
    if isinstance(config, CycleConfig):
        data = drawn_unpaired(6, 36, 32)
        method = cyclegan_from(config, data.steps_per_epoch(config.batch))
    else:
        data = make_faces(48, config.image_size)
        method = (stylegan_from if isinstance(config, StyleConfig) else dcgan_from)(config)
    options = {"samples": 2, "log_every": 1, "keep_networks": 1, "progress": False} | options
    return fit(method, data, outdir, snap_kimg=snap_steps * config.batch / 1000, **options)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------- what must stay


@pytest.mark.parametrize("config", [DCGAN, STYLEGAN, CYCLEGAN], ids=["dcgan", "stylegan2", "cyclegan"])
@pytest.mark.parametrize("snap_steps", [4, 5])
@pytest.mark.parametrize("stop_at", [9, None])
def test_the_same_command_again_loses_nothing(config, snap_steps, stop_at, tmp_path):
    train(config, tmp_path, snap_steps, stop_at=stop_at)
    before = files(tmp_path)
    train(config, tmp_path, snap_steps, stop_at=stop_at or 12)
    assert files(tmp_path) == before


def test_a_label_that_two_snapshots_share_keeps_its_file(tmp_path):
    """Epochs of 3 steps and snapshots of 2: those of steps 6 and 8 both belong to epoch 2, and only the first is kept."""
    train(CYCLEGAN, tmp_path, snap_steps=2, keep_networks=3, stop_at=7)
    train(CYCLEGAN, tmp_path, snap_steps=2, keep_networks=3)
    names = {path.name for path in (tmp_path / "networks").iterdir()}
    assert names == {f"epoch-000{n}-{way}.safetensors" for n in (2, 4) for way in ("AtoB", "BtoA")}
