"""`facegen project` from end to end on tiny networks, and the scores it writes."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from films import film_facts
from PIL import Image

from facegen.__main__ import main
from facegen.data.fetch import digest
from facegen.files import InputError
from facegen.latent import project as p
from facegen.latent import scores as s
from facegen.latent.sample import sample
from facegen.models import dcgan, stylegan2, stylegan3
from facegen.models.identity import load_identity
from facegen.models.perceptual import load_perceptual
from facegen.models.pretrained import load, save

QUICK = ["--perceptual=lite0", "--device=cpu"]


def tiny(kind="stylegan2", size=32):
    torch.manual_seed(0)
    widths = {"channel_base": 256, "channel_max": 16}
    if kind == "stylegan2":
        return stylegan2.Generator(16, 0, 16, size, 3, {"num_layers": 2}, widths).eval()
    return stylegan3.Generator(16, 0, 16, size, 3, num_layers=4, **widths).eval()


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for kind in ("stylegan2", "stylegan3"):
        save(folder / f"{kind}.safetensors", tiny(kind), None, {"licence": "CC0"})
    save(folder / "dcgan.safetensors", dcgan.Generator(8, 8))
    return folder


def run(networks, kind, tmp_path, *more, target="seed:7", outdir="out"):
    words = ["project", f"--network={networks / kind}.safetensors", f"--target={target}", f"--outdir={tmp_path / outdir}"]
    return main([*words, *QUICK, *more])


def error(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan3"])
def test_the_control_is_found_and_every_file_says_what_it_should(networks, tmp_path, capsys, kind):
    assert run(networks, kind, tmp_path, "--steps=60", "--save-video", "--space=w") == 0
    out = tmp_path / "out"
    names = {"projected_w.npz", "target.png", "result.png", "search.mp4", "scores.json"}
    assert {path.name for path in out.iterdir()} == names
    G = tiny(kind)
    with np.load(out / "projected_w.npz") as arrays:
        assert list(arrays) == ["w"] and arrays["w"].shape == (1, G.num_ws, 16) and arrays["w"].dtype == np.float32
        ws = torch.from_numpy(arrays["w"])
    target, result = (np.array(Image.open(out / f"{name}.png")) for name in ("target", "result"))
    assert np.array_equal(target, sample(G, [7])[0].permute(1, 2, 0).numpy())
    with torch.no_grad():
        again = p.to_pixels(G.synthesis(ws, noise_mode="const"))[0]
    assert np.array_equal(result, again.permute(1, 2, 0).numpy())
    for name in ("result.png", "target.png"):  # the control's target is a generated face too
        assert "generative network" in Image.open(out / name).text["synthetic"]
    facts = json.loads((out / "scores.json").read_text())
    (row,) = facts["scores"]
    mse = np.square(target.astype(float) - result).mean()
    assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / mse), abs=0.01) and row["psnr"] > 24
    assert row["perceptual_name"] == "lite0" and row["identity_name"] == "drawn" and -1 <= row["identity"] <= 1.00001
    assert row["apart"] < 1e-5 and row["tuned"] == 0 and not facts["reach"]["far"]
    protocol = facts["protocol"]
    assert protocol["network_sha256"] == digest(networks / f"{kind}.safetensors")
    assert (protocol["steps"], protocol["seed"], protocol["space"]) == (60, 0, "w")
    assert str(tmp_path) not in json.dumps(facts)
    film = film_facts(out / "search.mp4")
    assert film.size == (512, 256) and film.frames == 60 + 25 and "synthetic" in film.comment
    assert f"{row['psnr']:.1f} dB" in capsys.readouterr().out


def test_the_ladder_compares_all_three_from_one_w(networks, tmp_path, capsys):
    picture = (torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)) * 255).byte()
    path = tmp_path / "photo.png"
    Image.fromarray(picture.permute(1, 2, 0).numpy()).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    assert run(networks, "stylegan2", tmp_path, "--steps=30", "--tune-steps=30", "--space=ladder", target=path) == 0
    said = capsys.readouterr()
    assert "far from what this model makes" in said.err  # coloured clouds are no picture of this network
    assert [line.split()[0] for line in said.out.splitlines()[2:5]] == ["w", "w+", "pti"]
    out = tmp_path / "out"
    rows = {row["space"]: row for row in json.loads((out / "scores.json").read_text())["scores"]}
    assert rows["w"]["psnr"] < rows["w+"]["psnr"] and rows["w"]["psnr"] < rows["pti"]["psnr"]
    assert (
        rows["w"]["apart"] < 1e-5 < rows["w+"]["apart"]
        and rows["w"]["tuned"] == rows["w+"]["tuned"] == 0 < rows["pti"]["tuned"]
    )
    ws = {space: p.load_latents(out / space / "projected_w.npz") for space in rows}
    assert torch.equal(ws["w"], ws["pti"]) and not torch.equal(ws["w"], ws["w+"])
    assert not (out / "w+/network.safetensors").exists()
    assert not Image.open(out / "target.png").text and Image.open(out / "w+/result.png").text
    loaded = load(out / "pti/network.safetensors")
    assert loaded.info["licence"] == "CC0" and loaded.info["projected_from"] == "stylegan2.safetensors"
    with torch.no_grad():
        again = p.to_pixels(loaded.G.synthesis(ws["pti"], noise_mode="const"))[0]
    assert np.array_equal(np.array(Image.open(out / "pti/result.png")), again.permute(1, 2, 0).numpy())


def test_a_folder_of_targets_gives_a_folder_each(networks, tmp_path):
    (tmp_path / "photos").mkdir()
    for name, face in zip(("b", "a"), sample(tiny("stylegan3"), [1, 2])):
        Image.fromarray(face.permute(1, 2, 0).numpy()).save(tmp_path / "photos" / f"{name}.png")
    assert run(networks, "stylegan3", tmp_path, "--steps=3", "--mask", "--identity=none", target=tmp_path / "photos") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    facts = json.loads((tmp_path / "out/a/scores.json").read_text())
    assert facts["target"]["name"] == "a" and facts["scores"][0]["masked"] and facts["scores"][0]["identity"] is None


def test_what_cannot_be_projected_is_one_line_and_leaves_nothing(networks, tmp_path, capsys):
    Image.new("RGB", (40, 30)).save(tmp_path / "wide.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "used").mkdir()
    (tmp_path / "used/file").write_text("mine")
    for kind, more, words in (
        ("dcgan", {}, "no w to project into"),
        ("stylegan2", {"target": tmp_path / "wide.png"}, "40x30 pixels are no square: give --align"),
        ("stylegan2", {"target": tmp_path / "text.png"}, "text.png"),
        ("stylegan2", {"target": tmp_path / "none.png"}, "no such picture"),
        ("stylegan2", {"target": "seed:x"}, "seed:7"),
        ("stylegan2", {"outdir": "used"}, "already exists and is not empty"),
    ):
        assert run(networks, kind, tmp_path, "--steps=2", **more) == 2
        assert words in error(capsys)
    assert run(networks, "stylegan2", tmp_path, "--steps=0") == 2 and "steps begin at 1" in error(capsys)
    assert run(networks, "stylegan2", tmp_path, "--class=1") == 2 and "no classes" in error(capsys)
    assert run(networks, "stylegan2", tmp_path, "--align") == 2 and "leave --align out" in error(capsys)
    assert {path.name for path in tmp_path.iterdir()} == {"wide.png", "text.png", "used"}
    assert (tmp_path / "used/file").read_text() == "mine"


# -------------------------------------------------------------------------------------------------------------- scores


def test_scores_of_a_picture_that_was_found_exactly_and_of_one_that_was_not():
    G, see, embed = tiny(), load_perceptual("lite0"), load_identity("drawn")
    stats = p.latent_stats(G, 500)
    ws = stats.mean.expand(1, G.num_ws, -1).clone()
    image = p.to_pixels(G.synthesis(ws, noise_mode="const").detach())[0]
    result = p.Projection(ws, image, image, ws, image[None], [], stats, G)
    same = s.score(result, perceptual=see, space="w", embed=embed)
    assert (same.psnr, same.perceptual, same.from_mean, same.apart) == (100, 0, 0, 0)
    assert same.identity == pytest.approx(1, abs=1e-5)
    # One standard deviation from the mean in every second layer.
    moved = ws.clone()
    moved[:, ::2, 0] += stats.std
    target = image.clone()
    target[:, :16] = 255 - target[:, :16]
    other = dataclasses.replace(result, ws=moved, target=target)
    row = s.score(other, perceptual=see, space="w+", embed=embed)
    assert row.from_mean == pytest.approx(0.5**0.5, rel=1e-4) and row.apart == pytest.approx(0.5, rel=1e-4)
    assert row.psnr < 40 and row.perceptual > 0.1 and row.identity < 0.99
    mask = torch.zeros(1, 32, 32)
    mask[:, 16:] = 1
    masked = s.score(other, perceptual=see, space="w+", mask=mask)
    assert masked.psnr == 100 and masked.perceptual == 0 and masked.masked and masked.identity is None
    assert len(s.table([same, row]).splitlines()) == 3 and "lite0" in str(row)


def test_the_models_own_faces_are_near_and_other_pictures_far():
    G, see = tiny(), load_perceptual("lite0")
    own = [s.far_from_model(G, face, see, count=40) for face in sample(G, range(1000, 1008))]
    assert sum(reach.is_far for reach in own) <= 1
    noise = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    far = s.far_from_model(G, noise, see, count=40)
    assert far.is_far and "--align" in far.warning and "\n" not in far.warning
    inside = s.far_from_model(G, sample(G, [3])[0], see, count=40)
    assert inside.nearest < 1e-3 and inside.warning is None


def test_the_change_of_weights_is_relative():
    a, b = tiny(), tiny()
    assert s.weight_change(a, b) == 0
    with torch.no_grad():
        for weight in b.synthesis.parameters():
            weight.mul_(1.1)
    assert s.weight_change(a, b) == pytest.approx(0.1, rel=1e-3)


def test_a_projection_needs_a_known_perceptual_network():
    with pytest.raises(InputError, match="choose one of"):
        load_perceptual("alex")
