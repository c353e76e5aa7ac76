"""The commands of face2fake from folders to a gallery, and what they say about input that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.data.drawn import drawn
from facegen.files import InputError
from facegen.latent import translate
from facegen.models import dcgan, pretrained
from facegen.models.cyclegan import ResnetGenerator
from facegen.training.cyclegan import paint
from facegen.training.runs import History

SETTINGS = "--image-size=32 --load-size=36 --generator=resnet1 --width=4 --width-D=4 --layers-D=2 --batch=2 --epochs=2"
TRAIN = [*SETTINGS.split(), "--epochs-decay=1", "--device=cpu", "--precision=float32"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """Folders of drawn and uncanny faces."""
    dest = tmp_path_factory.mktemp("unpaired") / "faces"
    words = f"prepare-unpaired --a drawn:16 --b uncanny:16 --dest {dest} --count 10 --test 6 --size 36"
    assert main(words.split()) == 0
    return dest


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory) -> Path:
    """A run of three short epochs, all kept."""
    outdir = tmp_path_factory.mktemp("runs") / "face2fake"
    words = ["train", "--cfg=cyclegan", "--data", str(prepared), "--outdir", str(outdir), "--keep-epochs", "1", *TRAIN]
    assert main([*words, "--no-framing-check"]) == 0
    return outdir


def picture(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)


def refusal(words: list[str], capsys) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert main(words) == 2
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if " brought to " not in line]  # which is said before anything is refused
    assert len(lines) == 1 and lines[0].startswith("facegen: error: "), err
    return err


def test_training_from_folders_keeps_epochs_and_writes_alarms(run):
    assert list(translate.kept_epochs(run)) == list(translate.kept_epochs(run, "BtoA")) == [1, 2, 3]
    assert (run / "alarms.jsonl").is_file() and len(History.load(run).samples) == 3
    config = json.loads((run / "config.json").read_text())
    assert config["config"]["lambda_identity"] == 0.5 and config["steps_per_epoch"] == 5


def test_the_same_command_continues_where_the_run_was(run, prepared, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("step-00000015.pt"):
        path.unlink()
    words = ["train", "--cfg=cyclegan", "--data", str(prepared), "--outdir", str(copy), "--keep-epochs", "1", *TRAIN]
    assert main([*words, "--no-framing-check"]) == 0
    assert torch.equal(History.load(copy).samples, History.load(run).samples)


def test_translate_writes_every_picture_by_the_epoch_that_is_asked_for(run, prepared, tmp_path):
    words = ["translate", "--network", str(run), "--device", "cpu"]
    source = sorted((prepared / "testA").iterdir())
    originals = torch.stack([picture(path) for path in source])
    originals = originals[:, :, 2:34, 2:34] if originals.shape[-1] != 36 else originals
    for epoch in (1, 3):
        dest = tmp_path / str(epoch)
        options = ["--epoch", str(epoch), "--source", str(prepared / "testA"), "--outdir", str(dest), "--size", "36"]
        assert main(words + options) == 0
        assert [path.stem for path in sorted(dest.iterdir())] == [path.stem for path in source]
        G = pretrained.load(run / f"networks/epoch-{epoch:04d}-AtoB.safetensors").G
        expected = paint(G, originals.float() / 127.5 - 1)
        made = torch.stack([picture(path) for path in sorted(dest.iterdir())])
        assert (made.int() - expected.int()).abs().max() <= 1  # batches of another size round differently
    back = tmp_path / "back"
    assert main([*words, "--direction", "BtoA", "--source", str(prepared / "testB"), "--outdir", str(back)]) == 0
    assert len(list(back.iterdir())) == 6 and picture(next(back.iterdir())).shape == (3, 32, 32)


def test_equal_names_in_several_folders_are_all_written(run, tmp_path):
    faces = drawn(2, 36, 0).images.permute(0, 2, 3, 1).numpy()
    for folder, pixels in zip(("one", "two"), faces):
        (tmp_path / "source" / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "source" / folder / "face.png")
    (tmp_path / "source" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    G, _ = translate.load_translator(run)
    report = translate.translate_folder(G, tmp_path / "source", tmp_path / "made", size=32)
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["face-2.png", "face.png"]
    assert report.count == 2 and "torn.png" in str(report) and "1 files left out" in str(report)


def test_one_picture_is_a_source_too(run, prepared, tmp_path, capsys):
    photo = next((prepared / "testA").iterdir())
    words = ["translate", "--network", str(run), "--device", "cpu", "--source", str(photo)]
    assert main([*words, "--outdir", str(tmp_path / "made")]) == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == [f"{photo.stem}.png"]
    (tmp_path / "torn.jpg").write_bytes(b"no picture")
    words[-1] = str(tmp_path / "torn.jpg")
    assert "torn.jpg" in refusal([*words, "--outdir", str(tmp_path / "x")], capsys) and not (tmp_path / "x").exists()


def test_a_published_file_is_taken_as_it_is(tmp_path, prepared):
    torch.manual_seed(0)
    G = ResnetGenerator(width=4, blocks=1)
    torch.save(G.state_dict(), tmp_path / "latest_net_G_A.pth")
    words = [
        "translate",
        "--network",
        str(tmp_path / "latest_net_G_A.pth"),
        "--source",
        str(prepared / "testA"),
        "--device=cpu",
    ]
    assert main([*words, "--outdir", str(tmp_path / "a"), "--size", "36"]) == 0
    assert main([*words, "--outdir", str(tmp_path / "b"), "--size", "36", "--direction", "BtoA"]) == 0
    one, other = (sorted((tmp_path / name).iterdir()) for name in "ab")
    assert len(one) == 6 and all(torch.equal(picture(a), picture(b)) for a, b in zip(one, other))


def test_the_gallery_shows_the_kept_epochs_with_numbers(run, tmp_path, capsys):
    out = tmp_path / "index.html"
    assert main(["gallery", str(run), "--epochs", "1,3", "--out", str(out), "--people", "4", "--device", "cpu"]) == 0
    page = out.read_text(encoding="utf-8")
    assert page.count('class="person"') == 4 and "likeness kept" in page and "change made" in page
    assert 'data-epoch="1"' in page and 'data-epoch="3"' in page and 'data-epoch="2"' not in page
    assert "4 people, epochs 1, 3" in capsys.readouterr().out
    assert "http" not in page.replace("http-equiv", "")


def test_names_of_files_stay_text_in_the_gallery(run, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, pixels in zip(("<script>alert(1)<", "b"), drawn(2, 36, 0).images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(source / f"{name}.png")
    assert main(["gallery", str(run), "--source", str(source), "--out", str(tmp_path / "g.html"), "--device", "cpu"]) == 0
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)&lt;.png" in page


def test_people_are_measured_by_the_embedding_that_is_given(run):
    def embed(pictures: torch.Tensor) -> torch.Tensor:
        return torch.eye(len(pictures))  # everybody remains just who they are

    found = translate.people(run, [2], embed=embed, most=3)
    assert [line["identity kept"] for line in found.numbers[2]] == [1.0] * 3
    assert torch.equal(found.originals, History.load(run).originals[:3]) and list(found.outputs) == [2]
    alone = translate.people(run, [2], most=1)
    assert list(alone.numbers[2][0]) == ["change made"]


def test_an_epoch_that_was_not_kept_is_refused_with_those_that_were(run, prepared, tmp_path, capsys):
    words = ["translate", "--network", str(run), "--source", str(prepared / "testA"), "--outdir", str(tmp_path / "x")]
    assert "epoch 160 was not kept: kept are 1, 2, 3" in refusal([*words, "--epoch", "160"], capsys)
    out = tmp_path / "g.html"
    assert "epoch 7 was not kept: kept are 1, 2, 3" in refusal(
        ["gallery", str(run), "--epochs", "1,7", "--out", str(out)], capsys
    )
    assert not (tmp_path / "x").exists() and not out.exists()


def test_networks_that_do_not_translate_are_refused(run, prepared, tmp_path, capsys):
    pretrained.save(tmp_path / "dcgan.safetensors", dcgan.Generator(10, 4, 32))
    pretrained.save(tmp_path / "grey.safetensors", ResnetGenerator(width=2, blocks=1, out_channels=1))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    tail = ["--source", str(prepared / "testA"), "--outdir", str(tmp_path / "x")]
    for network, options, said in (
        (tmp_path / "dcgan.safetensors", [], "holds a dcgan network, which makes faces from noise"),
        (tmp_path / "grey.safetensors", ["--size", "36"], "translates pictures of 3 to 1 channels"),
        (tmp_path / "other.pth", [], "other.pth"),
        (run, ["--size", "30"], "size=30: give a multiple of 4"),
        (run, ["--size", "0"], "size=0: give a multiple of 4"),
        (run / "network-AtoB.safetensors", ["--direction", "BtoA"], "translates AtoB"),
        (run / "network-AtoB.safetensors", ["--epoch", "2"], "epochs are kept in a run's folder"),
        (tmp_path, [], "holds no training run"),
    ):
        assert said in refusal(["translate", "--network", str(network), *options, *tail], capsys)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [(0, 36, "no usable picture among the 0 files"), (1, 36, "has 1 picture: give at least 2"), (4, 16, "too small")],
)
def test_domains_that_cannot_be_trained_on_are_refused(count, size, said, tmp_path, capsys):
    for name, n in (("trainA", 4), ("trainB", count)):
        (tmp_path / name).mkdir()
        for i, pixels in enumerate(drawn(n, size, 0).images.permute(0, 2, 3, 1).numpy() if n else []):
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    words = ["train", "--cfg=cyclegan", "--data", str(tmp_path), "--outdir", str(tmp_path / "run"), *TRAIN]
    assert said in refusal([*words, "--no-framing-check"], capsys)
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture_is_refused(run, prepared, capsys):
    words = ["train", "--cfg=cyclegan", "--data", str(prepared), "--outdir", str(run), *TRAIN, "--generator", "resnet2"]
    assert "holds a run with --generator=resnet1, not resnet2" in refusal([*words, "--no-framing-check"], capsys)


def test_a_run_of_faces_from_noise_has_no_translations(tmp_path, capsys):
    outdir = tmp_path / "run"
    words = f"train --data drawn:16 --outdir {outdir} --image-size 32 --conv-dim 4 --batch 8 --kimg 0.016 --device cpu"
    assert main(words.split()) == 0
    assert "kept no epochs" in refusal(["gallery", str(outdir), "--out", str(tmp_path / "g.html")], capsys)
    tail = ["--source", str(tmp_path), "--outdir", str(tmp_path / "x")]
    assert "holds no network that translates AtoB" in refusal(["translate", "--network", str(outdir), *tail], capsys)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 9999, '{"image_size": 32}', None])
def test_a_run_with_a_damaged_description_is_refused(text, run, prepared, tmp_path, capsys):
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    about = (damaged / "config.json").read_text()
    text = about.replace('"image_size": 32,\n  "images', '"image_size": "32",\n  "images') if text is None else text
    assert text != about
    (damaged / "config.json").write_text(text)
    words = ["gallery", str(damaged), "--out", str(tmp_path / "g.html")]
    for source in ([], ["--source", str(prepared / "testA")]):
        assert "does not describe a training run" in refusal([*words, *source], capsys)
    assert not (tmp_path / "g.html").exists()


def test_what_cannot_be_trained_is_refused_before_the_pictures_are_read(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for words, said in (
        ("--image-size 30", "take a multiple of 4"),
        ("--image-size 32 --generator unet64", "a U-Net's size"),
        ("--image-size 16", "take fewer layers"),
        ("--image-size 28 --layers-D 1 --lambda-face 1", "faces are compared from 32 pixels on"),
        (f"--outdir {tmp_path / 'file'}", "is a file, not a folder"),
    ):
        start = f"train --cfg=cyclegan --data {tmp_path / 'nowhere'} --outdir {tmp_path / 'x'} --width 2 --device cpu "
        assert said in refusal([*(start + words).split()], capsys)
    assert not (tmp_path / "x").exists()


def test_flags_of_train_are_not_shortened(tmp_path, capsys):
    assert main(["train", "--cf=cyclegan", "--outdir", str(tmp_path / "x"), "--dry-run"]) == 2
    assert "unrecognized arguments: --cf=cyclegan" in capsys.readouterr().err


def test_a_direction_is_one_of_two(run):
    with pytest.raises(InputError, match="choose one of AtoB, BtoA"):
        translate.kept_epochs(run, "AtoC")


def test_help_and_dry_run_show_the_settings_of_the_recipe(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["train", "--cfg=cyclegan", "--help"])
    text = capsys.readouterr().out
    assert "--lambda-identity" in text and "--keep-epochs" in text and "--z-size" not in text
    assert main(["train", "--cfg", "cyclegan", "--outdir", str(tmp_path / "x"), "--dry-run", *TRAIN]) == 0
    assert "generator resnet1" in " ".join(capsys.readouterr().out.split()) and not (tmp_path / "x").exists()


def test_fakes_fills_a_folder(tmp_path, capsys):
    torch.manual_seed(0)
    G = dcgan.Generator(10, 8, 32)
    dcgan.initialise(G, "kaiming")  # of random weights, but each face another
    pretrained.save(tmp_path / "G.safetensors", G)
    words = f"fakes --network {tmp_path / 'G.safetensors'} --count 3 --dest {tmp_path / 'made'} --device cpu --seed 5"
    assert main(words.split()) == 0
    made = sorted(path.name for path in (tmp_path / "made").glob("*.png"))
    assert len(made) == 3 and made[0] == "seed000005.png" and "3 faces of 32x32" in capsys.readouterr().out
