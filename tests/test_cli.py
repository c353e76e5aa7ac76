"""The command line as a user meets it: in a process of its own, and its one-line refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.models import pretrained


def run(*args):
    return subprocess.run([sys.executable, "-m", "facegen", *map(str, args)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of four steps on drawn faces."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    code = main(
        f"train --cfg=dcgan --data drawn:24 --outdir {folder} --image-size 32 --conv-dim 4 --batch 8 --kimg 0.032 "
        "--snap 0.016 --mirror=1 --augment=color,translation --device cpu".split()
    )
    assert code == 0
    return folder


def test_train_writes_a_run(trained):
    assert (trained / "network.safetensors").is_file()
    assert [p.name for p in sorted((trained / "samples").iterdir())] == ["step-00000002.png", "step-00000004.png"]
    config = json.loads((trained / "config.json").read_text())["config"]
    assert config["mirror"] is True and config["augment"] == "color,translation" and config["conv_dim"] == 4


def test_generate_gives_every_seed_its_own_face(trained, tmp_path):
    network = trained / "network.safetensors"
    assert main(["generate", "--network", str(network), "--seeds", "0-3,9", "--outdir", str(tmp_path), "--device", "cpu"]) == 0
    grid = tmp_path / "grid.png"
    assert main(["generate", "--network", str(network), "--seeds", "9", "--grid", str(grid), "--device", "cpu"]) == 0
    faces = {p.stem: np.array(Image.open(p)) for p in tmp_path.glob("seed*.png")}
    assert sorted(faces) == [f"seed{s:06d}" for s in (0, 1, 2, 3, 9)]
    assert not np.array_equal(faces["seed000000"], faces["seed000001"])
    assert faces["seed000009"].shape == (32, 32, 3)
    alone = np.array(Image.open(grid))[2:34, 2:34]  # the grid has a frame of two pixels
    # The same face, whichever others are asked for beside it.
    assert np.abs(alone.astype(int) - faces["seed000009"]).max() <= 1


def test_network_files_open_again_and_give_the_same_faces(trained):
    loaded = pretrained.load(trained / "network.safetensors")
    z = torch.randn(2, 100)
    again = pretrained.load(trained / "network.safetensors")
    assert torch.equal(loaded.G(z), again.G(z)) and loaded.D(loaded.G(z)).shape == (2, 1)
    assert loaded.info["kimg"] == 0.032 and loaded.info["data"].startswith("drawn")


def test_dry_run_prints_settings_and_writes_nothing(tmp_path, capsys):
    assert main(["train", "--outdir", str(tmp_path / "x"), "--dry-run", "--lr-G", "0.001", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "lr_G           0.001" in out and "steps" in out and not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "--outdir", "{tmp}/run", "--data", "{tmp}/nowhere"], "nowhere"),
        (["train", "--outdir", "{tmp}/run", "--loss", "wgan-gp"], "batch norm"),
        (["train", "--outdir", "{tmp}/run", "--augment", "colour"], "colour"),
        (["train", "--outdir", "{tmp}/run", "--keep", "some", "--data", "drawn:8", "--conv-dim", "4"], "keep"),
        (["train", "--outdir", "{tmp}/run", "--device", "abacus"], "abacus"),
        (["generate", "--network", "{tmp}/none.safetensors", "--grid", "{tmp}/g.png"], "no such network"),
        (["generate", "--network", "{tmp}/none.safetensors"], "--grid"),
        (["generate", "--network", "{tmp}/none.safetensors", "--grid", "{tmp}/g.txt"], ".png"),
        (["train", "--outdir", "{tmp}/run", "--kimg", "inf"], "kimg"),
        (["train", "--outdir", "{tmp}/run", "--snap", "nan", "--data", "drawn:8", "--conv-dim", "4"], "snap"),
        (["train", "--outdir", "{tmp}/run", "--seed", "99999999999999999999"], "seed"),
        (["train", "--outdir", "{tmp}/run", "--device", "meta"], "meta"),
        (["data", "fetch", "imagenet"], "imagenet"),
        (["dataset", "--source", "{tmp}/nowhere", "--dest", "{tmp}/out.zip"], "nowhere"),
        (["course", "--notebooks", "{tmp}"], "notebook"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(args, words, tmp_path, capsys):
    assert main([arg.format(tmp=tmp_path) for arg in args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("facegen: error: ") and error.count("\n") == 1 and words in error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", ["", "5-2", "a", "1,,2", "0-9999999", "0-999999999999999", "99999999999999999999"])
def test_seed_lists_are_checked(seeds, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["generate", "--network", "x", "--seeds", seeds, "--grid", str(tmp_path / "g.png")])
    assert caught.value.code == 2


@pytest.mark.parametrize("damage", ["text", "cut", "foreign", "class", "shape"])
def test_damaged_network_files_are_refused_in_one_line(trained, tmp_path, damage, capsys):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "bad.safetensors"
    good = (trained / "network.safetensors").read_bytes()
    with safe_open(trained / "network.safetensors", "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if damage == "text":
        path.write_text("not a network")
    elif damage == "cut":
        path.write_bytes(good[: len(good) // 2])
    elif damage == "foreign":
        save_file(tensors, path)
    elif damage == "class":
        save_file(tensors, path, {k: v.replace("dcgan.Generator", "os.system") for k, v in metadata.items()})
    else:  # must not even allocate this
        save_file(tensors, path, {k: v.replace('"conv_dim": 4', '"conv_dim": 400000') for k, v in metadata.items()})
    assert main(["generate", "--network", str(path), "--grid", str(tmp_path / "g.png"), "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "g.png").exists()


def test_the_process_exits_with_the_code_and_without_a_traceback(tmp_path):
    done = run("generate", "--network", tmp_path / "none.safetensors", "--grid", tmp_path / "g.png")
    assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr.startswith("facegen: error:")
    helped = run("--help")
    assert helped.returncode == 0 and "train" in helped.stdout


def test_importing_the_package_does_nothing_heavy():
    code = (
        "import sys, facegen, facegen.__main__; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
