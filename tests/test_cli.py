"""The command line as a user meets it: in a process of its own, and its one-line refusals."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.cli.flags import VERBS, command, parse
from facegen.data.fetch import digest
from facegen.files import InputError
from facegen.latent import edit
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
    with Image.open(next(tmp_path.rglob("seed000009.png"))) as file:
        assert file.text["synthetic"].startswith("synthetic: made by a generative network")
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
        ("moving", "--rotate inf", "--rotate=inf"),
        ("moving", "--trunc nan", "--trunc=nan"),
        ("moving", "--trunc 0.5 --trunc-cutoff 100", "cutoff"),
        ("moving", "--trunc-cutoff 2", "give --trunc PSI too"),
        ("plain", "--noise-mode loud", "random, const, none"),
        ("plain", "--scale 0", "between 1 and 64"),
        ("plain", "--scale 65", "between 1 and 64"),
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
    assert origin["file"] == "plain.safetensors" and origin["sha256"] == digest(styled["plain"])
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
        out = capsys.readouterr().out
        lines[name] = {line[:14].strip(): line[15:].strip() for line in out.splitlines()}
        assert out.index("weights of G") < out.index("\nthe file says:\n") < out.index("\n  kimg ")
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
    for name in ("network-snapshot-001234", "mine.network-snapshot-001234-0a1b2c3d4e"):
        snapshot = tmp_path / f"{name}.safetensors"
        pretrained.save(snapshot, G)
        assert main(["info", str(snapshot)]) == 0 and "  kimg         1234, by the file's name" in capsys.readouterr().out
    assert main(["info", "stylegan2-ada-ffhk"]) == 2 and "did you mean stylegan2-ada-ffhq?" in capsys.readouterr().err


def test_a_file_cannot_forge_lines_or_reach_the_terminal(styled, tmp_path, capsys):
    G = pretrained.load(styled["moving"]).G
    path = tmp_path / "bad.safetensors"
    forged = {
        "architecture": "stylegan2\x1b[2J",
        "format": "official pickle",
        "resolution": "9999 x 9999",
        "licence": "CC0\nweights of G   1\r\x1b]0;owned\x07\u202e",
        "x\nclasses        7\x1b[31m": {"a\nz": "b\x9b1m", "long": "y" * 100_000},
        "": "",
        **{f"key {i}": i for i in range(200)},
    }
    pretrained.save(path, G, info=forged)
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    assert all(letter.isprintable() or letter == "\n" for letter in out) and len(out) < 8000
    ours = [line for line in out.split("\n") if line and not line.startswith("  ")]
    assert [line[:14].strip() for line in ours] == [
        *("file", "format", "architecture", "resolution", "channels", "weights of G", "weights of D"),
        *("z", "w", "classes", "the file says:"),
    ]
    assert "architecture   stylegan3-t, noted as 'stylegan2?[2J'" in ours and "resolution     32 x 32" in ours
    assert "format         facegen's safetensors" in ours and "  resolution   9999 x 9999" in out and "more" in out
    assert main(["convert", str(path), str(tmp_path / "new.safetensors")]) == 0
    assert pretrained.load(tmp_path / "new.safetensors").info["converted_from"]["format"] == "facegen's safetensors"


def test_convert_copies_plain_json_only(styled, tmp_path, capsys):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(styled["plain"], "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    nested = "[" * 100 + "]" * 100
    edit = metadata[pretrained.FORMAT].replace('"kimg": 12.5', f'"kimg": 12.5, "loss": NaN, "x\\u001b": {nested}')
    save_file(tensors, tmp_path / "odd.safetensors", {pretrained.FORMAT: edit})
    assert main(["info", str(tmp_path / "odd.safetensors")]) == 0 and "\x1b" not in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "odd.safetensors"), str(tmp_path / "new.safetensors")]) == 0
    error = capsys.readouterr().err
    assert "loss is left out: it is not plain JSON" in error and "x? is left out" in error and error.count("\n") == 2
    info = pretrained.load(tmp_path / "new.safetensors").info
    assert sorted(info) == ["converted_from", "kimg", "licence"] and info["kimg"] == 12.5


@pytest.mark.parametrize(
    ("network", "ending"), [("plain", "conv0.resample_filter"), ("moving", "down_filter"), ("plain", "mapping.fc0.weight")]
)
def test_damaged_numbers_end_in_one_line(network, ending, styled, tmp_path, capsys):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(styled[network], "pt") as file:
        metadata, tensors = file.metadata(), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    next(value for key, value in tensors.items() if key.startswith("G.") and key.endswith(ending)).view(-1)[0] = float("nan")
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    options = ["--seeds", "0", "--grid", str(tmp_path / "g.png"), "--device", "cpu"]
    assert main(["generate", "--network", str(tmp_path / "bad.safetensors"), *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "NaN" in error and not (tmp_path / "g.png").exists()


def test_faces_are_written_as_they_come_and_stay_after_ctrl_c(styled, tmp_path, monkeypatch, capsys):
    calls = []
    forward = stylegan2.Generator.forward

    def counting(self, *args, **options):
        calls.append(sorted(path.name for path in (tmp_path / "out").glob("*")))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, *args, **options)

    monkeypatch.setattr(stylegan2.Generator, "forward", counting)
    common = f"generate --network {styled['plain']} --seeds 5-9 --noise-mode random --device cpu "  # one at a time
    assert main((common + f"--outdir {tmp_path / 'out'} --grid {tmp_path / 'g.png'}").split()) == 130
    assert calls == [[], ["seed000005.png"], ["seed000005.png", "seed000006.png"]]
    assert capsys.readouterr().err.rstrip().endswith(f"interrupted: 2 of 5 faces are written in {tmp_path / 'out'}, no grid")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "seed000005.png", "seed000006.png"]


def test_what_cannot_be_written_is_refused_before_the_work(styled, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stylegan2.Generator, "forward", None)  # no face is made
    (tmp_path / "file").write_text("here")
    (tmp_path / "folder.png").mkdir()
    for options, words in (
        (f"--outdir {tmp_path / 'file'}", "is a file"),
        (f"--outdir {tmp_path / 'file' / 'deeper'}", "is a file"),
        (f"--grid {tmp_path / 'file' / 'g.png'}", "is a file"),
        (f"--grid {tmp_path / 'folder.png'}", "is a folder"),
        (f"--grid {tmp_path / 'g.webp'} --seeds 0-399 --scale 64", "20522 x 20522 pixels, a .webp has at most 16383"),
        (f"--grid {tmp_path / 'g.jpg'} --seeds 0-4095 --scale 64", "65666 x 65666 pixels, a .jpg has at most 65500"),
        (f"--grid {tmp_path / 'g.png'} --seeds 0-399 --scale 64", "too many to open again"),
    ):
        assert main(f"generate --network {styled['plain']} --device cpu {options}".split()) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and words in error, error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.png"]


def test_the_limits_of_a_grid_are_those_of_its_format_and_of_its_size(tmp_path, monkeypatch):
    from facegen.show.grids import LONGEST, MOST_PIXELS, check_fits, grid, grid_size

    for suffix in (".webp", ".jpg"):
        most = LONGEST[suffix]
        Image.new("RGB", (most, 1)).save(tmp_path / f"a{suffix}")
        with pytest.raises((OSError, ValueError)):
            Image.new("RGB", (most + 1, 1)).save(tmp_path / f"b{suffix}")
    assert 2 * Image.MAX_IMAGE_PIXELS == MOST_PIXELS
    made = grid(torch.zeros(5, 3, 3, 3), padding=2, scale=2)  # 3 columns, 2 rows
    assert grid_size(5, 2 * 3, 2) == made.size
    monkeypatch.setitem(LONGEST, ".png", max(made.size))
    check_fits(tmp_path / "a.png", *made.size)
    monkeypatch.setitem(LONGEST, ".png", max(made.size) - 1)
    with pytest.raises(InputError, match=f"{made.width} x {made.height} pixels"):
        check_fits(tmp_path / "a.png", *made.size)


def test_negative_numbers_follow_their_flags(styled, tmp_path):
    network = ["generate", "--network", str(styled["moving"]), "--seeds", "4", "--device", "cpu", "--outdir"]
    for folder, words in (("a", ["--translate=-0.1,0", "--rotate=-1e1"]), ("b", ["--translate", "-0.1,0", "--rotate", "-1e1"])):
        assert main([*network, str(tmp_path / folder), *words]) == 0
    assert main([*network, str(tmp_path / "c")]) == 0
    a, b, c = (picture(tmp_path / folder / "seed000004.png") for folder in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_models_prints_the_table(capsys):
    assert main(["models"]) == 0
    assert capsys.readouterr().out == published.table() + "\n"


def test_dry_run_prints_settings_and_writes_nothing(tmp_path, capsys):
    assert main(["train", "--outdir", str(tmp_path / "x"), "--dry-run", "--lr-G", "0.001", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "lr_G 0.001" in " ".join(out.split()) and "steps" in out and not (tmp_path / "x").exists()


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
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(args, words, tmp_path, capsys):
    assert main([arg.format(tmp=tmp_path) for arg in args]) == 2
    error = capsys.readouterr().err
    assert error.startswith("facegen: error: ") and error.count("\n") == 1 and words in error
    assert not list(tmp_path.iterdir())


def test_the_overview_fits_a_screen_and_each_help_begins_with_its_example(capsys):
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 100
    for name, verb in VERBS.items():
        with pytest.raises(SystemExit):
            main([*name.split(), "--help"])
        text = capsys.readouterr().out
        assert text.startswith(f"facegen {verb.verb}") and max(map(len, text.splitlines())) <= 100
        parse(shlex.split(verb.example)[1 + len(verb.verb.split()) :], verb)  # what the example says can be said


@pytest.mark.parametrize("name", ["audit", "compare", "search"])
def test_a_page_names_the_command_that_makes_it_again(name):
    words = shlex.split(VERBS[name].example)[2:]
    words += {"audit": ["--class=3", "--trunc", "0.5"], "compare": ["--mirror=1", "--set", "dcgan.conv_dim=8"]}.get(name, [])
    given = parse(words, VERBS[name])
    again = parse(shlex.split(command(given))[2:], VERBS[name])
    assert vars(again) == vars(given)


@pytest.mark.parametrize("seeds", ["", "5-2", "a", "1,,2", "0-9999999", "0-999999999999999", "99999999999999999999"])
def test_seed_lists_are_checked(seeds, tmp_path, capsys):
    assert main(["generate", "--network", "x", "--seeds", seeds, "--grid", str(tmp_path / "g.png")]) == 2
    assert f"--seeds {seeds!r}" in capsys.readouterr().err


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
    done = run("generate", "--network", "x", "--grid", tmp_path / "g.txt")  # refused before PyTorch is imported
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


def test_a_closed_error_stream_does_not_stop_a_training(tmp_path):
    """As `2>&-` does: its number must not go to the next file that is opened."""
    words = f"-m facegen train --data drawn:8 --outdir {tmp_path / 'r'} --image-size 32 --conv-dim 4 --batch 4 --kimg 0.004 "
    line = f"{sys.executable} {words} --device cpu 2>&-"
    done = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "r" / "network.safetensors").is_file() and "done: " in done.stdout
    again = subprocess.run(f"{sys.executable} {words} --image-size 64 2>&-", shell=True, capture_output=True, text=True)
    assert again.returncode == 2


def test_verbs_need_no_home(styled, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "FACEGEN_CACHE")}
    for home in ({}, {"HOME": "/nowhere/at/all"}):
        command = [sys.executable, "-m", "facegen", "generate", "--network", str(styled["plain"]), "--seeds", "0"]
        command += ["--grid", str(tmp_path / "g.png"), "--device=cpu"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment | home)
        assert done.returncode == 0, done.stderr


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def fill(self):
        raise MemoryError

    monkeypatch.setattr(VERBS["models"], "run", fill)
    assert main(["models"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("facegen: error: there is not enough memory") and error.count("\n") == 1


def test_names_in_files_cannot_move_the_cursor(styled, tmp_path, capsys):
    G, escape = pretrained.load(styled["plain"]).G, "\x1b[2Jhat\x07\u202e"
    found = edit.principal_directions(G, 1, 100)
    edit.save_directions(tmp_path / "d.npz", dataclasses.replace(found, names=(escape,)))
    words = ["--network", str(styled["plain"]), "--device=cpu"]
    along = ["--directions", str(tmp_path / "d.npz"), "--strengths=0,1", "--out", str(tmp_path / "e.png")]
    assert main(["edit", *words, "--seeds=0", *along]) == 0
    rated = tmp_path / "rated.csv"
    rated.write_text(f"seed,{escape}\n" + "".join(f"{seed},{seed % 2}\n" for seed in range(120)))
    assert main(["directions", *words, "--method=labels", "--labels", str(rated), "--out", str(tmp_path / "r.npz")]) == 0
    said = capsys.readouterr().out
    assert "hat" in said and not set("\x1b\x07\u202e") & set(said)
