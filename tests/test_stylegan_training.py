"""StyleGAN2 and StyleGAN3 in the training loop: every recipe learns, resumes bit for bit, and begins with other networks."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from facegen.__main__ import main
from facegen.config import RECIPES, StyleConfig
from facegen.data import load_faces
from facegen.data.drawn import drawn
from facegen.data.packed import Faces
from facegen.files import InputError
from facegen.models import pretrained
from facegen.training import processes
from facegen.training.fit import fit
from facegen.training.runs import VARYING, History
from facegen.training.stylegan import StyleGAN, blurred, path_lengths, squared_gradients, stylegan_from, transfer

SMALL = {"image_size": 16, "cbase": 128, "cmax": 16, "z_dim": 8, "w_dim": 8, "map_depth": 2, "precision": "float32"}
SHORT = {"batch": 8, "batch_gpu": 4, "kimg": 0.048, "r1_interval": 2, "pl_interval": 2, "ada_kimg": 0.1}
SIX_STEPS = {"snap_kimg": 0.024, "samples": 4, "log_every": 1, "progress": False}


def settings(cfg: str, **change) -> StyleConfig:
    return dataclasses.replace(RECIPES[cfg], **{**SMALL, **SHORT, **change})


@pytest.fixture(scope="module")
def faces() -> Faces:
    return load_faces("drawn:24", 16, cache=False)


def numbers(history: History) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name not in VARYING} for line in history.stats]


# ------------------------------------------------------------------------------------------------------- penalties


def test_path_lengths_of_a_linear_generator_are_those_worked_out_by_hand():
    # pictures = w_0 A_0 + w_1 A_1, so J^T y is (A_l . y) for each layer l.
    torch.manual_seed(0)
    A, ws, noise = torch.randn(2, 3, 4, 4), torch.randn(5, 2, 1, requires_grad=True), torch.randn(5, 3, 4, 4)
    pictures = torch.einsum("nlk,lchw->nchw", ws, A)
    slopes = torch.einsum("nchw,lchw->nl", noise, A) / 4  # the square root of 16 pixels
    expected = slopes.square().mean(1).sqrt()
    torch.testing.assert_close(path_lengths(pictures, ws, noise), expected)


def test_squared_gradients_of_a_known_function():
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    penalty = squared_gradients((x.square().sum((1, 2, 3)) / 2)[:, None], x)
    torch.testing.assert_close(penalty, x.square().sum((1, 2, 3)))
    assert penalty.requires_grad


@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
def test_the_blur_is_a_gaussian_whose_height_halves_at_sigma(sigma):
    dot = torch.zeros(1, 1, 41, 41)
    dot[..., 20, 20] = 1
    spread = blurred(dot, sigma)[0, 0]
    if sigma * 3 < 1:
        assert torch.equal(spread, dot[0, 0])
        return
    assert spread.sum() == pytest.approx(1, abs=1e-4)
    assert spread[20, 20 + int(sigma)] / spread[20, 20] == pytest.approx(0.5, rel=1e-4)
    assert torch.allclose(spread, spread.T, atol=1e-7)


# ------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize(
    ("cfg", "change"),
    [
        ("stylegan2", {}),
        ("stylegan2", {"loss": "relativistic", "r2_gamma": 1.0, "gamma": 1.0, "pl_weight": 0.0, "aug": "noaug"}),
        ("stylegan2", {"aug": "diffaug", "mirror": True, "freezed": 3, "precision": "bfloat16"}),
        ("stylegan3-t", {}),
        ("stylegan3-r", {"aug": "fixed", "p": 0.5}),
    ],
)
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(cfg, change, faces, tmp_path):
    config = settings(cfg, **change)
    straight = fit(stylegan_from(config), faces, tmp_path / "straight", **SIX_STEPS)
    for stop_at in (1, 4):
        fit(stylegan_from(config), faces, tmp_path / "broken", stop_at=stop_at, **SIX_STEPS)
    resumed = fit(stylegan_from(config), faces, tmp_path / "broken", **SIX_STEPS)
    assert torch.equal(straight.samples, resumed.samples) and numbers(straight) == numbers(resumed)
    assert len(straight.stats) == 6 and len(straight.samples) == 2
    assert all(math.isfinite(value) for line in straight.stats for value in line.values())
    kinds = {"loss_G", "loss_D", "r_t", "grad_G", "grad_D", "r1"} | ({"path_length"} if config.pl_weight else set())
    assert kinds <= set(straight.stats[-1])


def test_a_run_can_be_made_longer_and_then_equals_the_long_one(faces, tmp_path):
    fit(stylegan_from(settings("stylegan2", kimg=0.024)), faces, tmp_path / "grown", **SIX_STEPS)
    grown = fit(stylegan_from(settings("stylegan2")), faces, tmp_path / "grown", **SIX_STEPS)
    straight = fit(stylegan_from(settings("stylegan2")), faces, tmp_path / "straight", **SIX_STEPS)
    assert numbers(grown) == numbers(straight) and torch.equal(grown.samples, straight.samples)
    with pytest.raises(InputError, match="kimg"):
        fit(stylegan_from(settings("stylegan2", kimg=0.024)), faces, tmp_path / "grown", **SIX_STEPS)


def test_ada_follows_the_signs_of_D(faces, tmp_path):
    config = settings("stylegan2", kimg=0.096)
    history = fit(stylegan_from(config), faces, tmp_path, **SIX_STEPS)
    assert json.loads((tmp_path / "stats.jsonl").read_text().splitlines()[-1]) == history.stats[-1]
    strengths = [line["ada_p"] for line in history.stats]
    assert strengths[0] == 0 and all(0 <= p <= 1 for p in strengths)
    # After four steps p moves by 4 batches of 8 in 100 pictures, up if D's mean sign was above 0.6, else down.
    signs = [sum(line["r_t"] for line in history.stats[i : i + 4]) / 4 for i in (0, 4, 8)]
    p = 0.0
    for i, sign in enumerate(signs):
        p = min(1.0, max(0.0, p + math.copysign(32 / 100, sign - 0.6)))
        assert strengths[4 * i + 3] == pytest.approx(p, abs=1e-6)


def test_a_run_says_how_fast_it_is_and_what_memory_it_takes(faces, tmp_path, monkeypatch, capsys):
    clock = iter(range(1000))
    monkeypatch.setattr("facegen.training.fit.time.perf_counter", lambda: float(next(clock)))
    history = fit(stylegan_from(settings("stylegan2")), faces, tmp_path, tensorboard=True, **SIX_STEPS)
    monkeypatch.undo()
    assert [line["seconds"] for line in history.stats] == sorted(line["seconds"] for line in history.stats)
    # The clock is read once at the end of a line and once when the next is made: a second for 8 pictures.
    assert [line["sec_per_kimg"] for line in history.stats[1:]] == [125] * 5
    assert all(0.05 < line["memory_gb"] < 50 for line in history.stats)
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    for name in (b"sec_per_kimg", b"memory_gb", b"r_t", b"ada_p", b"grad_G", b"grad_D"):
        assert name in events
    assert main(["info", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "stylegan2, 16 pixels" in said and "8, in micro-batches of 4" in said and "0.048 of 0.048 kimg" in said
    assert "125 s/kimg" in said and "r_t " in said and "ada_p " in said and "2 sample grids, 0 kept networks" in said
    (tmp_path / "stats.jsonl").unlink()
    assert main(["info", str(tmp_path)]) == 0 and "nothing logged yet" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "samples")]) == 2 and "holds no training run" in capsys.readouterr().err


def test_the_numbers_to_watch_stand_at_the_progress_bar(faces, tmp_path, capsys):
    fit(stylegan_from(settings("stylegan2")), faces, tmp_path, **SIX_STEPS | {"progress": True})
    bar = capsys.readouterr().err
    for words in ("kimg, D ", ", G ", ", r_t ", ", p 0.", " s/kimg, ", " GB"):
        assert words in bar


def test_a_learner_s_own_parts_are_what_is_trained_with(faces):
    config = settings("stylegan2", style_mixing=1.0)
    theirs, starts = stylegan_from(config), []

    def mixed(ws: Tensor, others: Tensor, start: int) -> Tensor:
        starts.append(start)
        return others

    own = {
        "penalty": lambda logits, pictures: 0 * squared_gradients(logits, pictures),
        "mix": mixed,
        "average": lambda G_ema, G, beta: G_ema.load_state_dict(G.state_dict()),
        "rule": lambda p, r_t, target, step: 0.25,
    }
    method = StyleGAN(theirs.G, theirs.D, config, **own)
    for step in range(4):  # the controller decides after every fourth
        stats = method.update(step, method.batch(faces, step))
    assert stats["ada_p"] == 0.25 and starts and all(1 <= start < theirs.G.num_ws for start in starts)
    assert method.update(4, method.batch(faces, 4))["r1"] == 0
    for mine, its in zip(method.G_ema.parameters(), method.G.parameters()):
        torch.testing.assert_close(mine, its, rtol=0, atol=0)


def test_parts_of_a_batch_add_up_to_the_whole(faces):
    """Without what compares or randomises pictures, the gradient does not depend on how a batch is divided."""
    gradients = []
    for batch_gpu in (4, 8):
        config = settings("stylegan2", batch_gpu=batch_gpu, aug="noaug", style_mixing=0.0)
        method = stylegan_from(config)
        method.D.b4.mbstd.group_size = 1
        for module in method.G.modules():
            if hasattr(module, "noise_strength"):
                module.noise_strength.data.zero_()
        z = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
        method._part = _parts_of(z, batch_gpu)
        method.opt_G.step = lambda: None  # Adam would make a step of full length of what is only rounding
        method.update(1, method.batch(faces, 0))  # step 1: no penalties
        named = [pair for net in (method.G, method.D) for pair in net.named_parameters()]
        # Only the strengths feel the noise, which every part draws for itself.
        gradients.append(torch.cat([p.grad.flatten() for name, p in named if "noise_strength" not in name]))
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def _parts_of(z: Tensor, size: int):
    import contextlib

    @contextlib.contextmanager
    def part(step: int, kind: int, number: int):
        torch.manual_seed(0)
        yield z[number * size : (number + 1) * size]

    return part


def test_conditional_networks_learn_the_labels_of_the_set(tmp_path):
    pictures = drawn(12, 16, 0).images
    labelled = Faces(pictures, torch.arange(12) % 3, "three kinds", "hash")
    config = settings("stylegan2", cond=True)
    method = stylegan_from(config, classes=3)
    history = fit(method, labelled, tmp_path, **SIX_STEPS)
    assert method.G.c_dim == method.D.c_dim == 3 and len(history.samples) == 2
    real, real_c, fake_c = method.batch(labelled, 0)
    assert real.shape == (8, 3, 16, 16) and real_c.shape == fake_c.shape == (8, 3)
    assert torch.equal(real_c.sum(1), torch.ones(8))
    with pytest.raises(InputError, match="has no labels"):
        method.check(load_faces("drawn:24", 16, cache=False))


def test_frozen_layers_of_D_stay(faces, tmp_path):
    method = stylegan_from(settings("stylegan2", freezed=2))
    before = {name: value.clone() for name, value in method.D.state_dict().items()}
    fit(method, faces, tmp_path, **SIX_STEPS)
    moved = {name for name, value in method.D.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in moved if name.startswith(("b16.fromrgb", "b16.conv0"))} and "b16.conv1.weight" in moved


def test_samples_come_nearer_to_the_faces(tmp_path):
    """In a few seconds of training the colours and brightness of the samples become those of the data."""
    faces = load_faces("drawn:64", 16, cache=False)
    change = {"kimg": 0.48, "batch_gpu": 0, "glr": 0.01, "dlr": 0.01, "ema_kimg": 0.02, "pl_weight": 0.0, "aug": "noaug"}
    config = settings("stylegan2", r1_interval=8, style_mixing=0.0, **change)
    history = fit(stylegan_from(config), faces, tmp_path, snap_kimg=0.08, samples=16, progress=False)
    real = faces.images.float().mean(0)
    distances = [(samples.float().mean(0) - real).abs().mean().item() for samples in history.samples]
    assert min(distances[2:]) < 0.75 * distances[0], distances


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "stylegan"}, "architecture='stylegan' is not known"),
        ({"image_size": 48}, "the networks take 8, 16, 32, 64"),
        ({"batch": 12, "batch_gpu": 8}, "--batch=12 is no multiple of --batch-gpu=8"),
        ({"batch": 6, "batch_gpu": 6}, "take a multiple of 4"),
        ({"aug": "yes"}, "aug='yes' is not known"),
        ({"target": 1.5}, "target=1.5: must lie between 0 and 1"),
        ({"kimg": 0.0}, "kimg=0.0: must be greater than 0"),
        ({"freezed": -1}, "freezed=-1: must not be negative"),
        ({"layers": 2}, "layers=2: two of StyleGAN3's layers have the full rate, so 3 is the least"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(change, words):
    with pytest.raises(InputError) as error:
        settings("stylegan2", **change)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_defaults_follow_size_and_batch():
    def gamma_and_beta(**change):
        method = stylegan_from(settings("stylegan2", image_size=32, batch=16, **change))
        method.average = lambda G_ema, G, beta: betas.append(beta)
        method._average(10**6)  # long after the first pictures
        return method.r1_gamma, betas.pop()

    betas = []
    gamma, beta = gamma_and_beta()
    assert gamma == pytest.approx(0.0002 * 32**2 / 16) and beta == pytest.approx(0.5 ** (16 / 5000))
    assert gamma_and_beta(gamma=0.0, ema_kimg=0.0) == (0, 0)


def test_the_blur_fades_in_the_paper_s_time_or_in_one_s_own():
    def sigma(step, cfg="stylegan3-r", **change):
        return stylegan_from(settings(cfg, batch=8, **change))._blur(step)

    assert [sigma(step) for step in (0, 3125, 6250)] == pytest.approx([10, 5, 0])  # 50 kimg at a batch of 8
    assert [sigma(step, blur_kimg=4.0) for step in (0, 250, 500, 501)] == pytest.approx([10, 5, 0, 0])
    assert sigma(0, blur_kimg=0.0) == sigma(0, "stylegan3-t") == 0


@pytest.mark.parametrize("cfg", ["stylegan3-t", "stylegan3-r"])
def test_a_shallower_stylegan3_is_a_smaller_one_with_fewer_styles(cfg):
    deep, shallow = stylegan_from(settings(cfg)).G, stylegan_from(settings(cfg, layers=6)).G
    assert (deep.num_ws, shallow.num_ws) == (16, 8)
    assert shallow(torch.zeros(1, 8), None).shape == (1, 3, 16, 16)


# ------------------------------------------------------------------------------------------- from other networks


@pytest.mark.parametrize("cfg", ["stylegan2", "stylegan3-t", "stylegan3-r"])
def test_a_larger_network_begins_with_the_layers_that_fit(cfg):
    small, large = (stylegan_from(settings(cfg, image_size=size)) for size in (16, 32))
    other = stylegan_from(settings(cfg, seed=1))
    assert transfer(other.G, small.G) == []
    assert all(torch.equal(a, b) for a, b in zip(small.G.parameters(), other.G.parameters()))
    new = transfer(other.G, large.G)
    before = other.G.state_dict()
    assert torch.equal(large.G.mapping.fc0.weight, before["mapping.fc0.weight"]) and not any("mapping" in name for name in new)
    if cfg == "stylegan2":
        assert new and all(name.startswith("synthesis.b32.") for name in new)
        assert all(name.startswith(("b32.", "b16.")) for name in transfer(other.D, large.D))


TINY = (
    "--cbase=128 --cmax=16 --z-dim=8 --w-dim=8 --map-depth=2 --precision=float32 --batch=8 --batch-gpu=4 "
    "--kimg=0.016 --tick=0.008 --snap=1 --device=cpu"
)


def test_both_commands_of_the_write_up_run_as_they_stand(tmp_path, capsys):
    data = tmp_path / "faces"
    data.mkdir()
    for i, pixels in enumerate(drawn(16, 64, 0).images.permute(0, 2, 3, 1).numpy()):
        Image.fromarray(pixels).save(data / f"{i}.png")
    assert main(["dataset_tool", f"--source={data}", f"--dest={tmp_path / 'faces.zip'}", "--resolution=64x64"]) == 0
    for cfg, gamma, kimg in (("stylegan2", 0.5, 5000), ("stylegan3-r", 1, 2000)):
        words = (
            f"train --outdir={tmp_path / cfg} --data={tmp_path / 'faces.zip'} --cfg={cfg} --gpus=1 --batch=32 --batch-gpu=32 "
            f"--gamma={gamma} --mirror=1 --kimg={kimg} --snap=10 --metrics=none --cbase=16384"
        )
        assert main([*words.split(), "--dry-run", "--device=cpu"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        for setting in (f"gamma {float(gamma)}", "image_size 64", "cbase 16384", f"kimg {kimg}.0", "mirror True"):
            assert setting in said
        assert not (tmp_path / cfg).exists()


def test_train_and_go_on_from_the_result_at_another_size(tmp_path, capsys):
    base = ["train", "--cfg=stylegan2", "--data=drawn:16", *TINY.split()]
    assert main([*base, "--image-size=16", f"--outdir={tmp_path / 'small'}", "--keep-networks=1"]) == 0
    assert len(list((tmp_path / "small" / "networks").iterdir())) >= 1
    network = tmp_path / "small" / "network.safetensors"
    assert main([*base, "--image-size=32", f"--outdir={tmp_path / 'large'}", f"--resume={network}"]) == 0
    said = capsys.readouterr().out
    assert "G: new are synthesis.b32." in said and "D: new are b32." in said
    again = [*base, "--image-size=32", f"--outdir={tmp_path / 'other'}", f"--resume={tmp_path / 'small'}", "--dry-run"]
    assert main(again) == 0  # a run's folder stands for its network
    said = capsys.readouterr().out
    assert "G: new are synthesis.b32." in said and "D: new are b32." in said and not (tmp_path / "other").exists()
    assert main([*base, "--image-size=16", f"--outdir={tmp_path / 'other'}", f"--resume={tmp_path / 'small'}"]) == 0
    assert capsys.readouterr().out.count("all weights taken over") == 2
    config = json.loads((tmp_path / "large" / "config.json").read_text())["config"]
    assert config["ada_kimg"] == 100 and config["ema_rampup"] == 0
    assert pretrained.load(tmp_path / "large" / "network.safetensors").G.img_resolution == 32
    assert np.array(Image.open(next((tmp_path / "large" / "samples").iterdir()))).any()


def test_networks_of_another_kind_are_refused(tmp_path, capsys):
    words = ["train", "--cfg=dcgan", "--data=drawn:16", "--image-size=32", "--conv-dim=4", "--batch=8", "--kimg=0.008"]
    assert main([*words, f"--outdir={tmp_path / 'd'}"]) == 0
    capsys.readouterr()
    words = ["train", "--cfg=stylegan2", "--data=drawn:16", *TINY.split(), "--image-size=16", f"--outdir={tmp_path / 'x'}"]
    assert main([*words, f"--resume={tmp_path / 'd/network.safetensors'}"]) == 2
    error = capsys.readouterr().err
    assert "no weight of it fits stylegan2" in error and error.count("\n") == 1 and not (tmp_path / "x").exists()


# -------------------------------------------------------------------------------------------------- two processes


def worker(outdir: Path) -> None:
    """What each of the two processes does."""
    processes.join("cpu")
    fit(stylegan_from(settings("stylegan2")), load_faces("drawn:24", 16, cache=False), outdir, **SIX_STEPS)
    processes.leave()


def test_two_processes_train_as_one_does_with_two_parts(faces, tmp_path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    done = subprocess.run(
        [*launcher, __file__, str(tmp_path / "two")], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    method: StyleGAN = stylegan_from(settings("stylegan2"))
    one, two = fit(method, faces, tmp_path / "one", **SIX_STEPS), History.load(tmp_path / "two")
    for mine, other in zip(one.stats, two.stats):
        for name, value in mine.items():
            if name not in VARYING:
                assert other[name] == pytest.approx(value, rel=2e-3, abs=2e-4), (mine["step"], name)
    assert (one.samples.int() - two.samples.int()).abs().max() <= 2


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
