"""The command line as a user meets it: in a process of its own, and its one-line refusals."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.files import sha256_of
from facegen.models import pretrained, published, stylegan2, stylegan3


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


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    """Networks of 16 and 32 pixels with random weights: name -> file."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    mapping, synthesis = {"num_layers": 2}, {"channel_base": 128, "channel_max": 8}
    discriminator = {"channel_base": 128, "channel_max": 8}
    nets = {
        "plain": (stylegan2.Generator(8, 0, 8, 16, 3, mapping, synthesis), stylegan2.Discriminator(0, 16, 3, **discriminator)),
        "classes": (stylegan2.Generator(8, 3, 8, 16, 3, mapping, synthesis), None),
        "moving": (stylegan3.Generator(8, 0, 8, 32, 3, mapping, channel_base=256, channel_max=8, num_layers=6), None),
    }
    for name, (G, D) in nets.items():
        for parameter, value in G.named_parameters():
            if parameter.endswith("noise_strength"):
                value.data.fill_(0.3)
        pretrained.save(folder / f"{name}.safetensors", G, D, {"kimg": 12.5, "licence": "CC0"})
    return {name: folder / f"{name}.safetensors" for name in nets}


def picture(path):
    return np.array(Image.open(path)).astype(int)


def test_generate_passes_every_option_on(styled, tmp_path):
    from facegen.latent.sample import moved, sample

    plain = pretrained.load(styled["plain"]).G
    calls = {
        "trunc": ("plain", "--trunc 0.5 --trunc-cutoff 2", sample(plain, [4], trunc=0.5, cutoff=2)),
        "noise": ("plain", "--noise-mode random", sample(plain, [4], noise_mode="random")),
        "half": ("plain", "--precision bfloat16", sample(plain, [4], dtype=torch.bfloat16)),
        "class": ("classes", "--class 2", sample(pretrained.load(styled["classes"]).G, [4], labels=2)),
    }
    with moved(pretrained.load(styled["moving"]).G, (-0.25, 0.125), 30) as G:
        calls["moved"] = ("moving", "--translate=-0.25,0.125 --rotate 30", sample(G, [4]))
    for name, (network, options, expected) in calls.items():
        common = f"generate --network {styled[network]} --seeds 4 --device cpu --outdir {tmp_path / name} "
        assert main((common + options).split()) == 0
        found = picture(tmp_path / name / "seed000004.png")
        assert np.array_equal(found, expected[0].permute(1, 2, 0).numpy()), name
    assert not np.array_equal(sample(plain, [4]), calls["trunc"][2]) and not np.array_equal(
        sample(plain, [4]), calls["half"][2]
    )


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("plain", "--class 1", "no classes"),
        ("classes", "", "3 classes"),
        ("classes", "--class 3", "class 3 does not exist"),
        ("plain", "--translate 0.1,0", "only a StyleGAN3"),
        ("plain", "--rotate 10", "only a StyleGAN3"),
        ("moving", "--translate 0.1", "two numbers"),
        ("moving", "--translate 1,2,3", "two numbers"),
        ("moving", "--translate a,b", "two numbers"),
        ("moving", "--translate nan,0", "must be numbers"),
        ("moving", "--rotate inf", "must be numbers"),
        ("moving", "--trunc nan", "must be a number"),
        ("moving", "--trunc-cutoff 100", "cutoff"),
    ],
)
def test_generate_refuses_in_one_line(styled, network, options, words, tmp_path, capsys):
    common = f"generate --network {styled[network]} --seeds 0 --device cpu --grid {tmp_path / 'g.png'} "
    assert main((common + options).split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("facegen: error: ") and error.count("\n") == 1 and words in error
    assert not list(tmp_path.iterdir())


def test_convert_keeps_networks_and_facts_and_adds_the_origin(styled, tmp_path, monkeypatch, capsys):
    new = tmp_path / "new.safetensors"
    assert main(["convert", str(styled["plain"]), str(new)]) == 0
    before, after = pretrained.load(styled["plain"]), pretrained.load(new)
    for part in ("G", "D"):
        old, copied = getattr(before, part).state_dict(), getattr(after, part).state_dict()
        assert list(old) == list(copied) and all(torch.equal(old[key], copied[key]) for key in old)
    assert after.info["kimg"] == 12.5 and after.info["licence"] == "CC0"
    origin = after.info["converted_from"]
    assert origin["file"] == "plain.safetensors" and origin["sha256"] == sha256_of(styled["plain"])
    assert "G and D of plain.safetensors" in capsys.readouterr().out
    # A published network takes its terms along.
    tiny = published.Published("tiny", "stylegan2", 16, "FFHQ", "CC BY-NC-SA 4.0", "https://127.0.0.1/tiny.pkl")
    monkeypatch.setitem(published.PUBLISHED, "tiny", tiny)
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "networks").mkdir(parents=True)
    (tmp_path / "cache" / "networks" / "tiny.pkl").write_bytes(new.read_bytes())
    assert main(["convert", "tiny", str(tmp_path / "tiny.safetensors")]) == 0
    assert "FFHQ: CC BY-NC-SA 4.0" in pretrained.load(tmp_path / "tiny.safetensors").info["licence"]
    capsys.readouterr()
    for args in (["convert", str(new), str(new)], ["convert", str(new), str(tmp_path / "x.pkl")]):
        assert main(args) == 2 and capsys.readouterr().err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "new.safetensors", "tiny.safetensors"]


def test_info_says_what_a_file_holds(styled, trained, tmp_path, capsys):
    lines = {}
    for name, path in (*styled.items(), ("dcgan", trained / "network.safetensors")):
        assert main(["info", str(path)]) == 0
        lines[name] = {line[:14].strip(): line[15:].strip() for line in capsys.readouterr().out.splitlines()}
    plain = lines["plain"]
    G, D, _ = pretrained.load(styled["plain"])
    assert plain["architecture"] == "stylegan2" and plain["resolution"] == "16 x 16" and plain["classes"] == "none"
    assert plain["weights of G"] == f"{sum(p.numel() for p in G.parameters()):,}"
    assert plain["weights of D"] == f"{sum(p.numel() for p in D.parameters()):,}"
    assert plain["z"] == "8" and plain["w"] == f"8, for {G.num_ws} layers"
    assert plain["kimg"] == "12.5" and plain["licence"] == "CC0"
    assert lines["classes"]["classes"] == "3" and lines["classes"]["weights of D"].startswith("no D")
    assert lines["moving"]["architecture"] == "stylegan3-t"
    assert (
        lines["dcgan"]["architecture"] == "dcgan" and lines["dcgan"]["data"].startswith("drawn") and "w" not in lines["dcgan"]
    )
    snapshot = tmp_path / "network-snapshot-001234.safetensors"
    pretrained.save(snapshot, G)
    assert main(["info", str(snapshot)]) == 0 and "kimg           1234, by the file's name" in capsys.readouterr().out
    assert main(["info", "stylegan2-ada-ffhk"]) == 2 and "did you mean stylegan2-ada-ffhq?" in capsys.readouterr().err


def test_models_prints_the_table(capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out == published.table() + "\n"


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


@pytest.mark.parametrize("args", [["-c", "import facegen"], ["-m", "facegen", "--help"]])
def test_starting_is_quick_and_loads_nothing_heavy(args):
    code = "import sys, runpy\nsys.argv = ['facegen', '--help']\n" + (
        "import facegen"
        if args[0] == "-c"
        else "try: runpy.run_module('facegen', run_name='__main__')\nexcept SystemExit: pass"
    )
    heavy = (
        "\nheavy = {'torch', 'numpy', 'matplotlib', 'torchvision', 'PIL', 'tqdm'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code + heavy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_does_nothing_heavy():
    code = (
        "import sys, facegen, facegen.__main__; sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
