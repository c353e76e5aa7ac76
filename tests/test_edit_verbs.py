"""The verbs walk, mix, directions, edit, transfer and blend: what they write is what the functions behind them make."""

from __future__ import annotations

import copy
import subprocess

import numpy as np
import pytest
import torch
from films import film_facts
from PIL import Image
from torch import Tensor, nn

from facegen.__main__ import main
from facegen.cli.flags import find_verb, parse
from facegen.data.fetch import digest
from facegen.files import InputError
from facegen.latent import edit, walks
from facegen.latent.project import load_latents, save_latents
from facegen.latent.sample import latents, moved, sample
from facegen.models import dcgan, pretrained, stylegan2, stylegan3
from facegen.show import video
from facegen.show.edit_widgets import sheet

KINDS = ("stylegan2", "stylegan3")


def small(kind: str, seed: int = 0, size: int = 16) -> nn.Module:
    torch.manual_seed(seed)
    mapping, widths = {"num_layers": 2}, {"channel_base": 128, "channel_max": 8}
    if kind == "stylegan2":
        G = stylegan2.Generator(8, 0, 8, size, 3, mapping, widths)
    else:
        G = stylegan3.Generator(8, 0, 8, size, 3, mapping, num_layers=6, **widths)
    for name, value in G.named_parameters():  # pictures with contrast, although nothing has been learned
        if name.endswith("noise_strength"):
            value.data.fill_(0.1)
        elif "torgb.weight" in name or name.endswith(f"{list(dict(G.synthesis.named_children()))[-1]}.weight"):
            value.data.mul_(2)
    return G.eval()


def child_of(G: nn.Module) -> nn.Module:
    child = copy.deepcopy(G)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in child.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return child


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Networks of 16 pixels with random weights: name -> file."""
    folder = tmp_path_factory.mktemp("networks")
    made = {kind: small(kind) for kind in KINDS}
    made |= {f"{kind}-child": child_of(made[kind]) for kind in KINDS}
    made |= {"stranger": small("stylegan2", seed=9), "larger": small("stylegan2", size=32), "dcgan": dcgan.Generator(8, 4)}
    broken = copy.deepcopy(made["stylegan2"])
    broken.synthesis.b16.conv1.weight.data.fill_(float("nan"))
    made["broken"] = broken
    for name, G in made.items():
        pretrained.save(folder / f"{name}.safetensors", G)
    me = edit.ws_of(made["stylegan2"], [77])
    me[:, 3:] += 0.5  # in W+, as a projection into it
    save_latents(folder / "me.npz", me)
    edit.save_directions(folder / "directions.npz", edit.principal_directions(made["stylegan2"], 3, 500))
    return folder


def call(text: str) -> int:
    return main([*text.split(), "--device", "cpu"])


def picture(path) -> np.ndarray:
    return np.array(Image.open(path)).astype(int)


def same(path, faces: Tensor, rows, columns, **options) -> None:
    """The written sheet is that of these faces, but for how sums round, and says that they are synthetic."""
    assert "generative network" in Image.open(path).text["synthetic"]
    expected = np.array(sheet(faces, rows, columns, **options)).astype(int)
    found = picture(path)
    assert found.shape == expected.shape and np.abs(found - expected).max() <= 1


def frames_of(path) -> Tensor:
    """float [F, H, W, 3] in 0 to 255."""
    if path.suffix == ".mp4":
        width, height = film_facts(path).size
        command = [video._encoder(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        pixels = subprocess.run(command, capture_output=True, check=True).stdout
        return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(-1, height, width, 3).float()
    with Image.open(path) as film:
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(torch.from_numpy(np.array(film.convert("RGB"))).float())
    return torch.stack(frames)


# ------------------------------------------------------------------------------------------------------------- walk


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp"])
def test_a_walk_is_a_film_that_says_that_it_is_synthetic(nets, tmp_path, capsys, kind, suffix):
    out = tmp_path / f"walk.{suffix}"
    options = "--frames 6 --loop --easing linear --fps 20 --width 100"
    assert call(f"walk --network {nets / kind}.safetensors --between 1-2,5 {options} --out {out}") == 0
    facts = film_facts(out)
    assert facts.frames == 18 and facts.size == (112, 112) and facts.seconds == pytest.approx(0.9, abs=0.011)
    assert "synthetic" in facts.comment and "synthetic" in (facts.comment + out.read_bytes().decode("latin1"))
    assert "18 frames" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", ["z", "w"])
def test_a_walk_s_film_moves_in_even_steps_and_closes(nets, tmp_path, kind, space):
    out = tmp_path / "walk.mp4"  # the other formats leave out frames that look like the one before
    options = f"--space {space} --frames 24 --loop --width 16 --trunc 0.7"
    assert call(f"walk --network {nets / kind}.safetensors --between 1,2,3 {options} --out {out}") == 0
    frames = frames_of(out)
    steps = (frames.roll(-1, 0) - frames).square().flatten(1).mean(1).sqrt()
    jump = max(float((frames[a] - frames[b]).square().mean().sqrt()) for a, b in ((0, 24), (24, 48), (48, 0)))
    assert len(frames) == 72 and jump > 8
    assert steps.max() < jump / 3  # the easing is 1.5 times as fast as the even one, a film without a walk jumps at once
    assert steps[-1] <= steps[:-1].max()


@pytest.mark.parametrize("kind", KINDS)
def test_a_strip_shows_every_face_and_what_lies_between(nets, tmp_path, kind):
    network, G = nets / f"{kind}.safetensors", pretrained.load(nets / f"{kind}.safetensors").G
    out = tmp_path / "walk.png"
    assert call(f"walk --network {network} --between 4,9 --space z --frames 2 --loop --trunc 0.7 --out {out}") == 0
    z = latents(G, [4, 9])
    z = torch.stack([z[0], edit.slerp(z[0], z[1], 0.5), z[1], z[1], edit.slerp(z[1], z[0], 0.5), z[0]])
    faces = edit.faces_of(G, edit.mapped(G, z, trunc=0.7))
    same(out, faces, ["seed 4", "seed 9"], ["0%", "50%", "100%"])
    assert (faces[[0, 2]].float() - sample(G, [4, 9], trunc=0.7).float()).abs().max() <= 1


def test_a_walk_goes_through_latents_of_files(nets, tmp_path):
    G, out = pretrained.load(nets / "stylegan2.safetensors").G, tmp_path / "walk.png"
    assert call(f"walk --network {nets}/stylegan2.safetensors --between 4,{nets}/me.npz --frames 2 --out {out}") == 0
    a, b = edit.ws_of(G, [4]), load_latents(nets / "me.npz", G)
    same(out, edit.faces_of(G, torch.cat([a, (a + b) / 2, b])), ["seed 4"], ["0%", "50%", "100%"])


def test_a_stylegan3_turns_and_shifts_on_the_way(nets, tmp_path):
    G, out = pretrained.load(nets / "stylegan3.safetensors").G, tmp_path / "walk.png"
    base = f"walk --network {nets}/stylegan3.safetensors --between 4 --frames 4 --out {out} "
    assert call(base + "--turn 360 --shift -0.2,0.1 --loop") == 0
    expected = []
    for quarter, there in enumerate((0.0, 0.5, 1.0, 0.5)):  # a whole turn goes on, the shift comes back
        with moved(G, (-0.2 * there, 0.1 * there), 90.0 * quarter):
            expected.append(sample(G, [4]))
    same(out, torch.cat(expected), ["seed 4"], ["0%", "25%", "50%", "75%"])
    assert call(base + "--turn 30") == 0
    with moved(G, rotate=30.0):
        expected[3] = sample(G, [4])
    last = np.array(Image.open(out))[:, -(2 + 96) : -2]
    same_face = np.array(sheet(expected[3], ["seed 4"], ["100%"]))[:, -(2 + 96) : -2]
    assert np.abs(last[30:].astype(int) - same_face[30:]).max() <= 1


def test_a_dcgan_walks_in_z(nets, tmp_path):
    out = tmp_path / "walk.png"
    assert call(f"walk --network {nets}/dcgan.safetensors --between 1,2 --frames 2 --out {out}") == 0
    G = pretrained.load(nets / "dcgan.safetensors").G
    z = latents(G, [1, 2])
    with torch.no_grad():
        faces = G(torch.stack([z[0], edit.slerp(z[0], z[1], 0.5), z[1]]))
    same(out, faces, ["seed 1"], ["0%", "50%", "100%"])


def test_the_easings_of_the_command_line_are_the_function_s():
    about, _ = find_verb(["walk"])
    for easing in edit.EASINGS:
        assert parse(["--network", "x", "--between", "1,2", "--easing", easing], about).easing == easing


# -------------------------------------------------------------------------------------------------------------- mix


@pytest.mark.parametrize("kind", KINDS)
def test_mix_gives_each_row_s_face_the_layers_of_its_column(nets, tmp_path, kind, capsys):
    G, out = pretrained.load(nets / f"{kind}.safetensors").G, tmp_path / "mix.png"
    assert call(f"mix --network {nets / kind}.safetensors --rows 0-1 --columns 5-7 --layers 0-1,3 --out {out}") == 0
    a, b = edit.ws_of(G, [0, 1]), edit.ws_of(G, [5, 6, 7])
    cells = [b[0], *b]
    for row in a:
        cells.append(row)
        for column in b:
            mixed = row.clone()
            mixed[[0, 1, 3]] = column[[0, 1, 3]]
            cells.append(mixed)
    faces = edit.faces_of(G, torch.stack(cells))
    names = [["", "seed 0", "seed 1"], ["", "seed 5", "seed 6", "seed 7"]]
    same(out, faces, *names, sources=True)
    assert "layers 0, 1, 3" in capsys.readouterr().out


# --------------------------------------------------------------------------------------------- directions and edits


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["pca", "factor"])
def test_directions_are_found_kept_and_applied(nets, tmp_path, kind, method):
    network, found = nets / f"{kind}.safetensors", tmp_path / "d.npz"
    G = pretrained.load(network).G
    sheets = f"--sheet {tmp_path / 'sheet.png'} --seed 3 --layers 0-2"
    assert call(f"directions --network {network} --method {method} --count 2 --samples 500 --out {found} {sheets}") == 0
    kept = edit.load_directions(found, G)
    expected = edit.principal_directions(G, 2, 500) if method == "pca" else edit.factor_directions(G, 2, [0, 1, 2])
    torch.testing.assert_close(kept.vectors, expected.vectors)
    assert kept.names == expected.names and kept.kind == expected.kind
    ws = edit.ws_of(G, [3], trunc=0.7)
    rows = [edit.moved_along(ws, kept.vectors[i], torch.arange(-3.0, 4) * kept.scales[i], [0, 1, 2]) for i in range(2)]
    same(tmp_path / "sheet.png", edit.faces_of(G, torch.cat(rows)), kept.names, ["-3", "-2", "-1", "0", "+1", "+2", "+3"])

    out, moved_to = tmp_path / "edit.png", tmp_path / "moved.npz"
    options = f"--direction {kept.names[1].replace(' ', '_')} --strengths -1,0,2 --layers 1 --save {moved_to}"
    words = [*f"edit --network {network} --seeds 3,4 --directions {found} {options} --out {out}".split(), "--device", "cpu"]
    assert main([word.replace(f"{method}_1", f"{method} 1") for word in words]) == 0
    ws = edit.ws_of(G, [3, 4])
    rows = [edit.moved_along(one[None], kept.vectors[1], torch.tensor([-1.0, 0, 2]) * kept.scales[1], [1]) for one in ws]
    same(out, edit.faces_of(G, torch.cat(rows)), ["seed 3", "seed 4"], ["-1", "0", "+2"])
    torch.testing.assert_close(load_latents(moved_to, G), torch.stack([row[2] for row in rows]))


def test_an_edit_s_film_goes_there_and_back(nets, tmp_path):
    out = tmp_path / "edit.webp"
    common = f"--network {nets}/stylegan2.safetensors --latent {nets}/me.npz,5 --directions {nets}/directions.npz"
    assert call(f"edit {common} --direction 1 --strengths=-2,2 --out {out} --frames 16 --fps 10 --width 1") == 0
    facts, frames = film_facts(out), frames_of(out)
    assert (facts.frames, facts.size) == (16, (32, 16)) and facts.seconds == pytest.approx(1.6, abs=0.01)
    steps = (frames.roll(-1, 0) - frames).square().flatten(1).mean(1).sqrt()
    far = (frames[8] - frames[0]).square().mean().sqrt()
    assert far > 8 and steps.max() < 0.45 * far and steps[-1] <= steps.max()
    assert (frames[5] - frames[11]).abs().mean() < far / 8  # the way back is the way there


def test_rated_seeds_give_the_directions_that_they_were_rated_by(nets, tmp_path, capsys):
    G, csv, out = pretrained.load(nets / "stylegan2.safetensors").G, tmp_path / "rated.csv", tmp_path / "d.npz"
    w = edit.ws_of(G, range(240))[:, 0]
    truth = torch.nn.functional.normalize(torch.randn(2, G.w_dim, generator=torch.Generator().manual_seed(1)), dim=1)
    scores = (w - w.mean(0)) @ truth.T
    rated = [f"{seed},{int(score[0] > 0)},{'' if seed % 9 == 0 else int(score[1] > 0)}" for seed, score in enumerate(scores)]
    csv.write_text("seed,smile,hat\n" + "\n".join(rated) + "\n\n")
    assert call(f"directions --network {nets}/stylegan2.safetensors --method labels --labels {csv} --out {out}") == 0
    found = edit.load_directions(out, G)
    assert found.names == ("smile", "hat") and found.kind == "labels" and (found.strengths > 0.85).all()
    for i in range(2):
        moves = (w - w.mean(0)) @ found.vectors[i]
        assert np.corrcoef(moves, scores[:, i])[0, 1] > 0.95
    assert "accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line"),
        ("number,smile\n1,0\n", "first line"),
        ("seed,a,a\n", "different names"),
        ("seed,smile\n1,0\n2,yes\n", "line 3"),
        ("seed,smile\n1\n", "line 2"),
        ("seed,smile\n-1,0\n", "line 2"),
        ("seed,smile\n4294967296,0\n", "line 2"),
        ("seed,smile\n1,0\n1,1\n", "rated twice"),
    ],
)
def test_ratings_that_are_none_are_refused_by_their_line(tmp_path, text, words):
    path = tmp_path / "rated.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        walks.read_ratings(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1,0,2.5", [-1, 0, 2.5]),
        ("-3,..,3", [-3, -2, -1, 0, 1, 2, 3]),
        ("2,..,0", [2, 1, 0]),
        ("0,0.5,..,1.6", [0, 0.5, 1, 1.5]),
        ("4", [4]),
    ],
)
def test_strengths_are_read_as_they_are_meant(text, expected):
    assert walks.strengths_of(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "a", "1,..", "..,3", "1,1,..,3", "3,4,..,1", "nan", "0,0.0001,..,1", "1,2,3,..,5", "1,..,inf"]
)
def test_strengths_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="--strengths"):
        walks.strengths_of(text)


# ------------------------------------------------------------------------------------------------- crosses of models


@pytest.mark.parametrize("kind", KINDS)
def test_transfer_shows_the_same_w_in_parent_and_child(nets, tmp_path, kind, capsys):
    parent, child = (pretrained.load(nets / f"{name}.safetensors").G for name in (kind, f"{kind}-child"))
    out = tmp_path / "pairs.png"
    common = f"--network {nets / kind}.safetensors --child {nets / kind}-child.safetensors"
    assert call(f"transfer {common} --seeds 0-2 --trunc 0.5 --out {out}") == 0
    ws = edit.ws_of(parent, range(3), trunc=0.5)
    faces = torch.cat([edit.faces_of(G, ws) for G in (parent, child)])
    same(out, faces, [kind, f"{kind}-child"], ["seed 0", "seed 1", "seed 2"])
    assert not capsys.readouterr().err  # no warning for relatives


def test_a_hybrid_is_trained_from_a_model_and_crossed_with_it(nets, tmp_path, capsys):
    parent, run = nets / "stylegan2.safetensors", tmp_path / "run"
    sizes = "--image-size 16 --cbase 128 --cmax 8 --z-dim 8 --w-dim 8 --map-depth 2 --batch 4 --precision float32 --pl-weight 0"
    assert call(f"train --cfg=stylegan2 --resume {parent} --data drawn:8 --outdir {run} {sizes} --kimg 0.016 --aug noaug") == 0
    child, out = run / "network.safetensors", tmp_path / "pairs.png"
    capsys.readouterr()
    assert call(f"transfer --network {parent} --child {child} --seeds 0-1 --out {out}") == 0
    said = capsys.readouterr()
    alike = edit.kinship(*(pretrained.load(file).G for file in (parent, child)))
    assert 0.5 < alike < 1 and f"{alike:.2f}" in said.out and "run" in said.out and not said.err
    half = tmp_path / "half.safetensors"
    assert call(f"blend --network {parent} --with {child} --share 0.5 --out {half}") == 0
    assert edit.kinship(pretrained.load(half).G, pretrained.load(child).G) > alike


def test_models_that_were_trained_apart_are_named(nets, tmp_path, capsys):
    common = f"--network {nets}/stylegan2.safetensors --child {nets}/stranger.safetensors"
    assert call(f"transfer {common} --seeds 0 --out {tmp_path}/pairs.png") == 0
    assert "does not seem to descend" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_a_blend_is_a_network_that_names_its_parents(nets, tmp_path, kind):
    files = [nets / f"{name}.safetensors" for name in (kind, f"{kind}-child")]
    a, b = (pretrained.load(file).G for file in files)
    out, grid = tmp_path / "blended.safetensors", tmp_path / "grid.png"
    common = f"blend --network {files[0]} --with {files[1]} --out {out} --grid {grid} --seeds 0-1 "
    ws = edit.ws_of(a, [0, 1])
    for options, expected, facts in (
        ("--from-layer 2 --width 3 --mapping second", edit.blended(a, b, 2, 3.0, "fine"), {"from_layer": 2}),
        ("--share 0.25", edit.interpolated(a, b, 0.25), {"share": 0.25}),
    ):
        assert call(common + options) == 0
        made = pretrained.load(out)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(made.G.state_dict()[name], value)
        assert [parent["sha256"] for parent in made.info["blended_from"]] == [digest(file) for file in files]
        assert facts.items() <= made.info.items()
        same(
            grid,
            torch.cat([edit.faces_of(G, ws) for G in (a, made.G, b)]),
            [kind, "blended", f"{kind}-child"],
            ["seed 0", "seed 1"],
        )


# ---------------------------------------------------------------------------------------------------------- refusals

S2, S3 = "--network {n}/stylegan2.safetensors", "--network {n}/stylegan3.safetensors"
EDIT = f"edit {S2} --directions {{n}}/directions.npz --out {{t}}/o.png "
REFUSED = [
    (f"walk {S2} --between 1,2 --out {{t}}/o.avi", "end in"),
    (f"walk {S2} --between 1 --out {{t}}/o.gif", "two faces"),
    (f"walk {S2} --between 1,2 --frames 0 --out {{t}}/o.gif", "frames=0"),
    (f"walk {S2} --between 1,x --out {{t}}/o.gif", "seeds and .npz"),
    (f"walk {S2} --between 1,me.jpg --out {{t}}/o.gif", "facegen project"),
    (f"walk {S2} --between 1,{{t}}/none.npz --out {{t}}/o.gif", "not there"),
    (f"walk {S3} --between 1,{{n}}/me.npz --out {{t}}/o.gif", "me.npz"),
    (f"walk {S2} --between 1,{{n}}/me.npz --space z --out {{t}}/o.gif", "--space z"),
    (f"walk {S2} --between 1,2 --fps 90 --out {{t}}/o.gif", "frames per second"),
    (f"walk {S2} --between 1,2 --turn 90 --out {{t}}/o.gif", "StyleGAN3"),
    (f"walk {S3} --between 1,2 --shift 1 --out {{t}}/o.gif", "two numbers"),
    (f"walk {S2} --between 1,2 --trunc nan --out {{t}}/o.gif", "--trunc=nan"),
    (f"walk {S2} --between 1,2 --class 1 --out {{t}}/o.gif", "no classes"),
    (f"walk {S2} --between 0-99 --frames 100 --out {{t}}/o.png", "too many"),
    (f"walk {S2} --between 1,2 --scale 0 --out {{t}}/o.png", "--scale=0"),
    ("walk --network {n}/dcgan.safetensors --between 1,2 --trunc 0.5 --out {t}/o.gif", "DCGAN"),
    ("walk --network {n}/dcgan.safetensors --between 1,2 --space w --out {t}/o.gif", "mapping network"),
    ("walk --network {n}/broken.safetensors --between 1,2 --frames 2 --out {t}/o.mp4", "NaN"),
    ("walk --network {n}/broken.safetensors --between 1,2 --frames 2 --out {t}/o.gif", "NaN"),
    (f"mix {S2} --rows 0 --columns 1 --layers 0-99 --out {{t}}/o.png", "layers"),
    (f"mix {S2} --rows 0 --columns 1 --out {{t}}/o.gif", ".png"),
    (f"mix {S2} --rows 0-99 --columns 0-99 --out {{t}}/o.png", "too many"),
    (f"mix {S2} --rows 0-9999 --columns 0 --out {{t}}/o.png", "4096 at most"),
    (f"directions {S2} --out {{t}}/d.txt", ".npz"),
    (f"directions {S2} --method labels --out {{t}}/d.npz", "go together"),
    (f"directions {S2} --method labels --labels {{t}}/none.csv --out {{t}}/d.npz", "cannot be read"),
    (f"directions {S2} --method factor --layers 99 --out {{t}}/d.npz", "layers"),
    (f"directions {S2} --count 0 --out {{t}}/d.npz", "--count=0"),
    ("directions --network {n}/dcgan.safetensors --method factor --out {t}/d.npz", "mapping network"),
    (EDIT + "--seeds 0 --direction 3", "0 to 2"),
    (EDIT + "--seeds 0 --direction smile", "pca 0"),
    (EDIT + "--seeds 0 --strengths a", "--strengths"),
    (EDIT + "--seeds 0 --layers 99", "layers"),
    (EDIT + "--seeds 0 --save {t}/x.txt", ".npz"),
    (EDIT + "--latent {t}/none.npz", "not there"),
    (f"edit {S2} --directions {{n}}/me.npz --seeds 0 --out {{t}}/o.png", "no directions"),
    (f"edit {S2} --directions {{n}}/directions.npz --seeds 0 --frames 1 --out {{t}}/o.gif", "--frames=1"),
    (f"transfer {S2} --child {{n}}/larger.safetensors --seeds 0 --out {{t}}/o.png", "16 and 32 pixels"),
    (f"transfer {S2} --child {{n}}/stylegan3.safetensors --seeds 0 --out {{t}}/o.png", "same kind"),
    (f"transfer {S2} --child {{n}}/dcgan.safetensors --seeds 0 --out {{t}}/o.png", "mapping network"),
    (f"blend {S2} --with {{n}}/larger.safetensors --share 0.5 --out {{t}}/o.safetensors", "16 and 32 pixels"),
    (f"blend {S2} --with {{n}}/stylegan2-child.safetensors --share 2 --out {{t}}/o.safetensors", "share=2"),
    (f"blend {S2} --with {{n}}/stylegan2-child.safetensors --share 0.5 --width 2 --out {{t}}/o.safetensors", "--from-layer"),
    (f"blend {S2} --with {{n}}/stylegan2-child.safetensors --from-layer 9 --out {{t}}/o.safetensors", "from_layer=9"),
    (f"blend {S2} --with {{n}}/stylegan2-child.safetensors --from-layer 1 --out {{t}}/o.pt", ".safetensors"),
    (f"blend {S2} --with {{n}}/stylegan2-child.safetensors --from-layer 1 --out {{n}}/stylegan2.safetensors", "itself"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_bad_input_gets_one_line_and_leaves_nothing(nets, tmp_path, capsys, text, words):
    before = {path.name: path.stat().st_mtime_ns for path in nets.iterdir()}
    assert call(text.format(n=nets, t=tmp_path)) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("facegen: ")]
    assert len(lines) == 1 and lines[0].startswith("facegen: error: ") and words in lines[0]
    assert not list(tmp_path.iterdir())
    assert before == {path.name: path.stat().st_mtime_ns for path in nets.iterdir()}


@pytest.mark.parametrize("verb", ["walk", "mix", "directions", "edit", "transfer", "blend"])
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0 and f"facegen {verb} " in capsys.readouterr().out
