"""One face through training: the pictures are those of the kept networks or of the sample grids; strip, film, refusals."""

from __future__ import annotations

import builtins
import dataclasses
import importlib.util
import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_faces
from PIL import Image

from facegen.__main__ import main
from facegen.config import RECIPES, TrainConfig
from facegen.files import InputError
from facegen.latent.portrait import Followed, follow, kept_networks
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.show import save_film, video
from facegen.training.fit import fit
from facegen.training.runs import History
from facegen.training.steps import dcgan_from
from facegen.training.stylegan import stylegan_from

OPTIONS = {"snap_kimg": 0.016, "samples": 4, "progress": False}


@pytest.fixture(scope="module")
def styled(tmp_path_factory) -> Path:
    """A StyleGAN2's run with four snapshots, less than a thousand pictures apart, all kept."""
    folder = tmp_path_factory.mktemp("portrait") / "styled"
    sizes = {"image_size": 16, "cbase": 64, "cmax": 8, "z_dim": 8, "w_dim": 8, "map_depth": 2, "precision": "float32"}
    config = dataclasses.replace(RECIPES["stylegan2"], **sizes, batch=8, batch_gpu=8, kimg=0.064, pl_weight=0.0, glr=0.05)
    fit(stylegan_from(config), make_faces(16, 16), folder, keep_networks=1, **OPTIONS)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A DCGAN's run with three snapshots and no kept networks."""
    folder = tmp_path_factory.mktemp("portrait") / "plain"
    config = TrainConfig(image_size=32, z_size=8, conv_dim=4, batch=8, kimg=0.048, precision="float32")
    fit(dcgan_from(config), make_faces(), folder, **OPTIONS)
    return folder


# ------------------------------------------------------------------------------------------------------ which face


def test_every_kept_network_makes_the_same_seed(styled):
    files = kept_networks(styled)
    assert [path.stem for path in files] == [f"network-snapshot-000000.{pictures:03d}" for pictures in (16, 32, 48, 64)]
    face = follow(styled, 5, trunc=0.7)
    assert face.samples.shape == (4, 1, 3, 16, 16) and face.name == "seed 5"
    assert face.kimg == pytest.approx([0.016, 0.032, 0.048, 0.064])
    for path, picture in zip(files, face.samples):
        assert torch.equal(sample(pretrained.load(path).G, [5], trunc=0.7), picture)
    assert not torch.equal(face.samples[0], face.samples[-1])
    assert torch.equal(follow(styled).samples, follow(styled, 0).samples)


def test_snapshots_of_whole_thousands_keep_the_official_names():
    config = dataclasses.replace(RECIPES["stylegan2"], image_size=16, cbase=64, cmax=8, batch=32)
    method = stylegan_from(config)
    assert method.label(6250) == "network-snapshot-000200" and method.label(1) == "network-snapshot-000000.032"
    labels = [method.label(step) for step in range(0, 70)]
    assert labels == sorted(labels) and len(set(labels)) == 70


def test_a_dcgan_s_networks_are_followed_too(tmp_path):
    config = TrainConfig(image_size=32, z_size=8, conv_dim=4, batch=8, kimg=0.048, precision="float32")
    fit(dcgan_from(config), make_faces(), tmp_path, keep_networks=2, **OPTIONS)
    face = follow(tmp_path, 3)
    assert face.kimg == pytest.approx([0.032, 0.048])
    assert torch.equal(face.samples[-1], sample(pretrained.load(tmp_path / "network.safetensors").G, [3]))


def test_without_networks_the_first_face_of_the_grids_is_followed(plain):
    history, face = History.load(plain), follow(plain)
    assert torch.equal(face.samples, history.samples[:, :1]) and face.kimg == history.kimg


@pytest.mark.parametrize(("every", "left"), [(1, [16, 32, 48, 64]), (2, [32, 64]), (3, [16, 64]), (9, [64])])
def test_every_nth_and_the_last(styled, every, left):
    assert follow(styled, 0, every=every).kimg == pytest.approx([pictures / 1000 for pictures in left])


# -------------------------------------------------------------------------------------------------- strip and film


def test_the_command_writes_strip_and_film(styled, tmp_path, capsys):
    strip, film = tmp_path / "strip.png", tmp_path / "film.gif"
    words = ["portrait", str(styled), "--seed=5", "--truncation=0.7", f"--out={strip}", f"--video={film}", "--seconds=1"]
    assert main([*words, "--device=cpu"]) == 0
    said = capsys.readouterr().out
    assert f"{strip}: seed 5 in 4 snapshots, 0.016 to 0.064 kimg" in said and "film.gif: 0." in said
    shown = torch.from_numpy(np.array(Image.open(strip).convert("RGB"))).permute(2, 0, 1)
    face = follow(styled, 5, trunc=0.7).samples[-1, 0]
    assert holds(shown, face), "the last face is in the strip, pixel for pixel"
    opened = Image.open(film)
    assert opened.width >= 512 and opened.n_frames > 4
    jpg = tmp_path / "strip.jpg"
    assert main(["portrait", str(styled), f"--out={jpg}"]) == 0 and Image.open(jpg).format == "JPEG"


def holds(picture: torch.Tensor, face: torch.Tensor) -> bool:
    """Whether `face`, enlarged by a whole factor, is part of a picture [3, H, W]."""
    for factor in range(1, 17):
        large = face.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        side = large.shape[-1]
        if side > min(picture.shape[1:]):
            break
        rows = picture.unfold(1, side, 1).unfold(2, side, 1)  # a view
        corners = (rows[..., 0, 0] == large[:, 0, 0, None, None]).all(0) & (
            rows[..., -1, -1] == large[:, -1, -1, None, None]
        ).all(0)
        if any(torch.equal(rows[:, y, x], large) for y, x in corners.nonzero().tolist()):
            return True
    return False


def three() -> Followed:
    """Black, grey and white."""
    levels = torch.tensor([0, 100, 200], dtype=torch.uint8)
    return Followed(levels[:, None, None, None, None].expand(3, 1, 3, 8, 8).contiguous(), [1.0, 2.0, 3.0], "three")


def levels_of(path: Path) -> list[tuple[int, int]]:
    """Brightness in the middle of each frame of an animation, and its milliseconds."""
    film, found = Image.open(path), []
    for number in range(film.n_frames):
        film.seek(number)
        found.append((film.convert("L").getpixel((film.width // 2, film.height // 3)), film.info["duration"]))
    return found


def test_faces_are_held_or_turn_into_each_other(tmp_path):
    held = levels_of(save_film(three(), tmp_path / "held.gif", index=0, seconds=1.2))
    assert [level for level, _ in held] == [0, 100, 200] and [ms for _, ms in held] == [400, 400, 1500]
    turning = levels_of(save_film(three(), tmp_path / "turning.gif", index=0, seconds=1.2, fade=0.5))
    levels = [level for level, _ in turning]
    assert levels == sorted(levels) and len(levels) == 3 + 2 * 5
    np.testing.assert_allclose(levels[:7], [0, 17, 33, 50, 67, 83, 100], atol=1)
    assert sum(ms for _, ms in turning[:6]) == pytest.approx(400, abs=10)


needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") or importlib.util.find_spec("imageio_ffmpeg")), reason="no ffmpeg is here"
)


@needs_ffmpeg
def test_an_mp4_plays_for_as_long_and_shows_the_faces(tmp_path):
    face = Followed(three().samples[..., :7].contiguous(), [1.0, 2.0, 3.0], "three")  # an odd size, which H.264 does not take
    path = save_film(face, tmp_path / "film.mp4", index=0, seconds=1.2, fade=0.5, width=100)
    assert path.read_bytes()[4:8] == b"ftyp"
    raw = subprocess.run(
        [video._encoder(), "-loglevel", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-vf", "scale=32:32", "-"],
        capture_output=True,
        check=True,
    ).stdout
    middle = [raw[i + 10 * 32 + 16] for i in range(0, len(raw), 32 * 32)]
    assert len(middle) == pytest.approx((0.4 + 0.4 + 1.5) * video.RATE, abs=1)
    assert middle[0] < 5 and abs(middle[10] - 100) < 6 and abs(middle[-1] - 200) < 6
    assert all(b - a > -4 for a, b in itertools.pairwise(middle)) and not list(tmp_path.glob(".*part*"))


def test_without_an_encoder_an_mp4_is_refused_before_the_work(styled, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    words = ["portrait", str(styled), f"--out={tmp_path / 'p.png'}", f"--video={tmp_path / 'p.mp4'}"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "no encoder for .mp4 here: pip install imageio-ffmpeg" in error and not list(tmp_path.iterdir())


def test_an_encoder_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_encoder", lambda: shutil.which("false"))
    with pytest.raises(InputError, match="ffmpeg could not write the film"):
        save_film(three(), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("option", "words"), [({"seconds": 0}, "seconds must be above 0"), ({"fade": 1.5}, "0 to 1, got 1.5")])
def test_films_that_cannot_be(option, words, tmp_path):
    with pytest.raises(InputError, match=words):
        save_film(three(), tmp_path / "film.gif", **option)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("run", "words", "said"),
    [
        ("nowhere", [], "is not a folder: give that of a training run"),
        ("empty", [], "holds no training run"),
        ("plain", ["--seed=5"], "has kept no networks (train with --keep-networks=1)"),
        ("plain", ["--truncation=0.7"], "leave seed, truncation and class out"),
        ("plain", ["--every=0"], "every=0: give 1 for all snapshots"),
        ("styled", ["--seed=-1"], "-1 is not a seed"),
        ("styled", ["--seed=4294967296"], "takes seeds below 2^32"),
        ("styled", ["--class=1"], "this network has no classes"),
        ("styled", ["--out={}/strip.doc"], "must end in .png, .jpg or .webp"),
        ("styled", ["--video={}/film.avi"], "must end in .mp4, .gif or .webp"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(run, words, said, request, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    folder = request.getfixturevalue(run) if run in ("plain", "styled") else tmp_path / run
    words = [word.format(tmp_path) for word in words]
    assert main(["portrait", str(folder), f"--out={tmp_path / 'no.png'}", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_run_that_translates_is_pointed_to_the_gallery(plain, tmp_path):
    about = (plain / "config.json").read_text().replace('"z_size"', '"load_size"')
    (tmp_path / "config.json").write_text(about)
    with pytest.raises(InputError, match=r"translates pictures.*facegen gallery"):
        follow(tmp_path)


def test_a_run_without_a_snapshot_yet(plain, tmp_path):
    shutil.copy(plain / "config.json", tmp_path)
    with pytest.raises(InputError, match="has no snapshot yet"):
        follow(tmp_path)
