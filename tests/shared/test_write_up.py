"""The three commands of the write-up on real portraits, for real, in networks narrow enough for a processor."""

import itertools
import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.models import pretrained

# What the write-up leaves to its GPU; a later flag wins over an earlier one.
NARROW = (
    "--cbase=512 --cmax=16 --z-dim=16 --w-dim=16 --batch=8 --batch-gpu=8 --kimg=0.032 --tick=0.0016 --device=cpu "
    "--precision=float32"
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    from conftest import SHARED

    folder = SHARED / "data/congress"
    if not folder.is_dir():
        pytest.skip("the congress portraits are not beside the repository")
    here = tmp_path_factory.mktemp("write-up")
    (here / "pictures").mkdir()
    for path in sorted(folder.glob("*.jpg"))[:24]:
        shutil.copy(path, here / "pictures")
    words = f"dataset_tool --source={here / 'pictures'} --dest={here / 'faces.zip'} --resolution=64x64"
    assert main(words.split()) == 0
    return here / "faces.zip"


@pytest.mark.parametrize(
    "flags",
    [
        "--cfg=stylegan2 --gpus=1 --batch=32 --batch-gpu=32 --gamma=0.5 --mirror=1 --kimg=5000",
        "--cfg=stylegan3-r --gpus=1 --batch=32 --batch-gpu=32 --gamma=1 --mirror=1 --kimg=2000",
    ],
)
def test_the_command_trains_and_the_run_can_be_used(flags, packed, tmp_path, capsys):
    run = tmp_path / "run"
    words = f"train --outdir={run} --data={packed} {flags} --snap=10 --metrics=none --cbase=16384 {NARROW} --keep-networks=1"
    assert main(words.split()) == 0
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["image_size"] == 64 and config["mirror"] and config["gamma"] == (0.5 if "stylegan2" in flags else 1)
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and all(math.isfinite(value) for line in lines for value in line.values())
    kept = sorted((run / "networks").iterdir())
    assert [path.stem for path in kept] == ["network-snapshot-000000.016", "network-snapshot-000000.032"]
    G = pretrained.load(kept[-1]).G
    assert G(torch.randn(1, G.z_dim), None).shape == (1, 3, 64, 64)
    capsys.readouterr()
    out = tmp_path / "portrait.png"
    assert (
        main(["portrait", str(run), "--seed=5", f"--out={out}", f"--video={tmp_path / 'portrait.webp'}", "--device=cpu"]) == 0
    )
    assert np.array(Image.open(out)).std() > 5 and "seed 5 in 2 snapshots, 0.016 to 0.032 kimg" in capsys.readouterr().out
    words = ["spectra", f"--data={packed}", f"--network={kept[-1]}", "--count=8", f"--out={tmp_path / 'spectra.png'}"]
    assert main([*words, "--device=cpu"]) == 0
    assert "against 8 real pictures of 64 pixels" in capsys.readouterr().out


def test_real_portraits_have_falling_spectra_and_halves_that_agree(shared):
    from facegen.data.packed import load_faces
    from facegen.evaluation.spectra import distance, halves, spectrum

    folder = shared / "data/congress"
    if not folder.is_dir():
        pytest.skip("the congress portraits are not beside the repository")
    images = load_faces(folder, 64, max_images=200, cache=False).images
    found = spectrum(images)
    coarse = found.db[found.frequency < 1.2][::6]
    assert all(a > b for a, b in itertools.pairwise(coarse)) and found.db[0] - found.db[-1] > 35
    assert distance(*halves(images)) < 0.5
