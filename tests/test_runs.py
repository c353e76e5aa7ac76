"""The folder of a run: nothing in it is lost, two trainings never share it, and what is damaged is named."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_faces

from facegen.__main__ import main
from facegen.config import RECIPES, CycleConfig, StyleConfig, TrainConfig
from facegen.data.packed import Faces
from facegen.data.unpaired import drawn_unpaired
from facegen.files import InputError, _sweep
from facegen.training.cyclegan import cyclegan_from
from facegen.training.fit import Snapshot, TrainingError, fit
from facegen.training.runs import History, check_start
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


# ------------------------------------------------------------------------------------- what a run is continued with


def refusal(config: TrainConfig | StyleConfig, outdir: Path, data: Faces | None = None, **options) -> str:
    """What is said to somebody who continues the run in `outdir` with these."""
    before = files(outdir)
    method = (stylegan_from if isinstance(config, StyleConfig) else dcgan_from)(config)
    options = {"snap_kimg": 0.032, "samples": 2, "progress": False} | options
    with pytest.raises(InputError) as error:
        fit(method, data or make_faces(48, config.image_size), outdir, **options)
    assert "\n" not in str(error.value) and files(outdir) == before
    return str(error.value)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A DCGAN's run that was stopped after two steps."""
    folder = tmp_path_factory.mktemp("runs") / "x"
    train(DCGAN, folder, stop_at=2)
    return folder


def test_the_flag_that_differs_is_named(begun):
    same = "give the same settings to continue it, or another folder to start anew"
    for change, words in (
        ({"image_size": 64}, "--image-size=32, not 64"),
        ({"lr_G": 1e-3}, "--lr-G=0.0002, not 0.001"),
        ({"mirror": True}, "--mirror=0, not 1"),
        ({"kimg": 0.05}, "--kimg=0.096, not 0.05"),
        ({"seed": 3, "batch": 4}, "--batch=8, not 4"),
    ):
        assert refusal(dataclasses.replace(DCGAN, **change), begun) == f"{begun} holds a run with {words}: {same}"
    assert refusal(STYLEGAN, begun) == f"{begun} holds a run with --cfg=dcgan, not stylegan2: {same}"
    said = refusal(DCGAN, begun, snap_kimg=0.08)
    assert "holds a run with a snapshot every 4 steps (--snap), not a snapshot every 10 steps (--snap): " in said
    assert "holds a run with samples=2, not 5: " in refusal(DCGAN, begun, samples=5)


def test_other_pictures_and_other_labels_are_told_apart(begun, tmp_path):
    faces = make_faces(48, 32)
    for data, words in (
        (make_faces(40, 32), "on 48 pictures of smooth, not 40"),
        (make_faces(48, 32, seed=1), "on other pictures: those in smooth have changed since"),
        (dataclasses.replace(faces, name="rough", content_hash="other"), "on other pictures (smooth, not rough)"),
    ):
        again = "give the same data, or another folder to start anew"
        assert refusal(DCGAN, begun, data) == f"{begun} was trained {words}: {again}"

    config = dataclasses.replace(STYLEGAN, cond=True)
    one = dataclasses.replace(make_faces(48, 8), labels=torch.arange(48) % 2)
    two = dataclasses.replace(one, labels=(torch.arange(48) + 1) % 2)
    options = {"snap_kimg": 0.032, "samples": 2, "progress": False}
    fit(stylegan_from(config, classes=2), one, tmp_path, stop_at=1, **options)
    with pytest.raises(InputError, match=r"was trained with other labels of the same pictures \(smooth\)"):
        fit(stylegan_from(config, classes=2), two, tmp_path, **options)
    assert len(fit(stylegan_from(config, classes=2), one, tmp_path, stop_at=2, **options).stats) == 0


def test_a_folder_written_before_labels_were_kept_is_continued(tmp_path):
    train(DCGAN, tmp_path, stop_at=2)
    about = json.loads((tmp_path / "config.json").read_text())
    del about["data"]["labels"]
    (tmp_path / "config.json").write_text(json.dumps(about))
    assert train(DCGAN, tmp_path).stats[-1]["step"] == 12


def test_a_run_that_began_with_a_network_is_named_as_such(tmp_path):
    resumed = dataclasses.replace(STYLEGAN, ada_kimg=100.0, ema_rampup=0.0)  # what --resume sets
    for name, config, other, words in (
        ("scratch", STYLEGAN, resumed, "began without --resume: give none to continue it"),
        ("transfer", resumed, STYLEGAN, "began with --resume: give it again to continue it"),
    ):
        train(config, tmp_path / name, stop_at=1)
        assert words in refusal(other, tmp_path / name)
        given = refusal(dataclasses.replace(config, ada_kimg=7.0), tmp_path / name)
        assert f"--ada-kimg={config.ada_kimg:g}, not 7" in given


def test_a_run_is_not_begun_with_itself(begun, tmp_path, monkeypatch):
    monkeypatch.chdir(begun.parent)
    for network in ("x", begun, begun / "network.safetensors", "./x/networks/step-00000004.safetensors"):
        with pytest.raises(InputError, match="is this run itself: leave --resume out to continue it"):
            check_start(Path("x"), network)
    check_start(tmp_path / "new", begun)
    check_start(begun, tmp_path / "x")
    check_start(begun, "ffhq")


def test_the_verb_refuses_to_begin_a_run_with_itself(begun, capsys):
    command = ["train", "--cfg=stylegan2", "--data=drawn:16", f"--outdir={begun}", f"--resume={begun}"]
    assert main(command) == 2
    assert "is this run itself: leave --resume out to continue it" in capsys.readouterr().err


def test_info_reads_a_translation_whose_lines_lack_the_epoch(tmp_path, capsys):
    about = {"config": dataclasses.asdict(CYCLEGAN), "image_size": 32, "images_per_step": 2, "snap_steps": 4, "samples": 2}
    about["data"] = {"name": "drawn", "hash": "0", "count": 6}
    (tmp_path / "config.json").write_text(json.dumps(about))
    (tmp_path / "stats.jsonl").write_text('{"step": 6, "kimg": 0.012, "seconds": 70}\n')
    assert main(["info", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "0.012 kimg, 1 min 10 s" in said and "of 4 epochs" not in said
    line = '{"step": 6, "kimg": 0.012, "epoch": 2, "seconds": 70, "sec_per_kimg": 5000, "memory_gb": 1}'
    (tmp_path / "stats.jsonl").write_text(line + "\n")
    assert main(["info", str(tmp_path)]) == 0
    assert "2 of 4 epochs, 1 min 10 s, about 1 min 0 s to go" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"snap_kimg": 0.0}, "a snapshot every 0 kimg (--snap)"),
        ({"snap_kimg": float("nan")}, "a snapshot every nan kimg (--snap)"),
        ({"samples": 0}, "samples=0: give at least 1"),
        ({"keep": "x"}, "--keep=x is not known: use all, last:K or every:N"),
        ({"keep_networks": -1}, "--keep-networks=-1: give 0 for none"),
    ],
)
def test_refusals_name_the_flag(options, words, tmp_path):
    assert words in refusal(DCGAN, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------------------------- one folder, one training


def test_a_second_training_into_a_folder_is_told_who_has_it(tmp_path):
    said = []

    def again(snapshot: Snapshot) -> None:
        child = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from test_runs import *; "
        child += "train(DCGAN, Path(sys.argv[2]))"
        command = [sys.executable, "-c", child, str(Path(__file__).parent), str(tmp_path)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        said.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr)

    history = train(DCGAN, tmp_path, snap_steps=12, on_snapshot=again)
    assert f"InputError: {tmp_path} is in use (a training, process {os.getpid()} on " in said[0]
    assert "choose another folder" in said[0]
    assert [line["step"] for line in history.stats] == list(range(1, 13))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_a_killed_training_left_half_written_goes(tmp_path):
    train(DCGAN, tmp_path, stop_at=2)
    strays = [tmp_path / part / ".facegen.abcdefgh.part" for part in ("", "checkpoints", "samples")]
    for stray in strays:
        stray.mkdir()
        (stray / ".lock").touch()
        (stray / "step-00000001.pt").write_text("half")
    _sweep.cache_clear()  # as in another process
    train(DCGAN, tmp_path)
    assert not any(stray.exists() for stray in strays)


@pytest.mark.parametrize("name", ["samples", "checkpoints", "networks", "tensorboard"])
@pytest.mark.parametrize("begun", [False, True])
def test_nothing_is_written_or_removed_through_a_link(name, begun, tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    if begun:
        train(DCGAN, run, stop_at=2)
        (run / name).rename(elsewhere) if (run / name).exists() else elsewhere.mkdir()
    else:
        run.mkdir()
        elsewhere.mkdir()
    (elsewhere / "step-00000009.png").write_text("not of this run")
    (run / name).symlink_to(elsewhere)
    before = files(elsewhere)
    with pytest.raises(InputError, match=f"{name} is a symbolic link"):
        train(DCGAN, run)
    assert files(elsewhere) == before


def test_a_folder_without_a_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--outdir is empty"):
        train(DCGAN, "")
    assert not list(tmp_path.iterdir())


def test_a_computer_without_memory_is_told_in_one_line(tmp_path):
    def hook(snapshot: Snapshot) -> None:
        raise MemoryError

    with pytest.raises(TrainingError, match=r"out of memory; the last good checkpoint is .*step-00000004\.pt") as error:
        train(DCGAN, tmp_path, on_snapshot=hook)
    assert "\n" not in str(error.value)
    assert train(DCGAN, tmp_path).stats[-1]["step"] == 12
