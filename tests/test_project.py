"""Projection: its pieces against what they must do, and the control: a generated picture is found again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.data.packed import to_pixels
from facegen.files import InputError
from facegen.latent import project as p
from facegen.latent.sample import sample
from facegen.models import dcgan, stylegan2, stylegan3


def small(kind: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    widths = {"channel_base": 256, "channel_max": 16}
    if kind == "stylegan2":
        G = stylegan2.Generator(16, 0, 16, 16, 3, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=widths)
        with torch.no_grad():  # as it would be after training
            for name, value in G.state_dict().items():
                if name.endswith("noise_strength"):
                    value.fill_(0.05)
        return G.eval()
    return stylegan3.Generator(16, 0, 16, 16, 3, num_layers=4, **widths).eval()


def perceptual(pictures: Tensor) -> Tensor:
    """Fixed random filters on two scales: enough of an eye for pictures of 16 pixels."""
    g = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 3, 3, 3, generator=g) / 6
    maps = [F.conv2d(F.avg_pool2d(pictures, scale), weight, padding=1) for scale in (1, 2)]
    return torch.cat([x.flatten(1) / x[0].numel() ** 0.5 for x in maps], dim=1)


def psnr(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10((a.float() - b.float()).div(255).square().mean().clamp_min(1e-10)))


SHORT = p.Search(space="w+", steps=80, tune_steps=40, lr=0.1)


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan3"])
def test_a_generated_picture_is_found_again_in_every_space(kind):
    G = small(kind)
    target = sample(G, [3], noise_mode="const" if kind == "stylegan2" else "none")[0]
    start = to_pixels(G.synthesis(p.latent_stats(G, 500).mean.expand(1, G.num_ws, -1), noise_mode="const"))[0]
    found = {
        space: p.project(G, target, perceptual=perceptual, search=dataclasses.replace(SHORT, space=space, tune_lr=1e-3))
        for space in p.SPACES
    }
    w, free, tuned = (psnr(found[space].image, target) for space in p.SPACES)
    assert min(w, free) > psnr(start, target) + 5  # a generated target lies in W, so W+ has no advantage here
    assert tuned > w
    for space, result in found.items():
        same = bool((result.ws == result.ws[:, :1]).all())
        assert same == (space != "w+")
        with torch.no_grad():
            again = to_pixels(result.G.synthesis(result.ws, noise_mode="const"))[0]
        assert torch.equal(again, result.image)
    assert found["pti"].history[-1]["phase"] == "tune" and len(found["pti"].history) == 120
    assert found["w"].trajectory.shape == (8, G.num_ws, 16) and found["w"].frames.shape == (8, 3, 16, 16)


def test_a_search_repeats_exactly_and_leaves_the_generator_and_the_random_state_alone():
    G = small("stylegan2")
    before = {name: value.clone() for name, value in G.state_dict().items()}
    target = sample(G, [1])[0]
    torch.manual_seed(7)
    state = torch.get_rng_state()
    search = dataclasses.replace(SHORT, steps=5, tune_steps=3, space="pti")
    a, b = (p.project(G, target, perceptual=perceptual, search=search, keep_every=1) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a.ws, b.ws) and torch.equal(a.image, b.image) and a.history == b.history
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert all(weight.requires_grad for weight in G.parameters())
    other = p.project(G, target, perceptual=perceptual, search=dataclasses.replace(search, seed=1))
    assert not torch.equal(a.ws, other.ws)


def test_ws_alone_make_the_picture_again_unless_noise_was_learned_too():
    G = small("stylegan2")
    target = sample(G, [5], noise_mode="random")[0]
    search = dataclasses.replace(SHORT, space="w", steps=60)
    kept, learned = (
        p.project(G, target, perceptual=perceptual, search=dataclasses.replace(search, learn_noise=on)) for on in (False, True)
    )

    def again(result):
        with torch.no_grad():
            return to_pixels(G.synthesis(result.ws, noise_mode="const"))[0]

    assert torch.equal(again(kept), kept.image)
    assert not torch.equal(again(learned), learned.image)
    assert psnr(learned.image, target) > psnr(kept.image, target)
    for buffer in p._noise_buffers(learned.G):
        assert not buffer.requires_grad and buffer.mean().abs() < 1e-5
        assert buffer.square().mean() == pytest.approx(1, rel=1e-3)


def test_the_regulariser_keeps_the_target_out_of_the_noise():
    G = small("stylegan2")
    target = torch.full((3, 16, 16), 20, dtype=torch.uint8)
    target[:, :, 8:] = 230
    search = dataclasses.replace(SHORT, space="w", steps=60, learn_noise=True)
    free, held = (
        p.project(G, target, perceptual=perceptual, search=dataclasses.replace(search, regularize=weight))
        for weight in (0.0, 1e5)
    )
    drawn = [sum(float(p.noise_penalty(b)) for b in p._noise_buffers(r.G)) for r in (free, held)]
    assert drawn[1] < 0.2 * drawn[0]


def test_a_start_near_the_target_is_used_and_patience_stops_the_search():
    G = small("stylegan3")
    ws = G.mapping(torch.randn(1, 16, generator=torch.Generator().manual_seed(0)), None).detach()
    target = to_pixels(G.synthesis(ws, noise_mode="const"))[0]
    search = dataclasses.replace(SHORT, steps=40, noise=0.0, patience=5)
    result = p.project(G, target, perceptual=perceptual, search=search, start=ws)
    assert psnr(result.image, target) > 40
    assert len(result.history) < 40


def test_only_what_the_mask_shows_counts():
    G = small("stylegan3")
    target = sample(G, [2])[0]
    hidden = target.clone()
    hidden[:, :, 8:] = 0
    mask = torch.zeros(1, 16, 16)
    mask[:, :, :8] = 1
    search = dataclasses.replace(SHORT, steps=20)
    a, b = (p.project(G, t, perceptual=perceptual, search=search, mask=mask) for t in (target, hidden))
    # The perceptual filters reach across the mask's edge, where the target itself is shown to them.
    assert (a.ws - b.ws).abs().max() < (a.ws - p.latent_stats(G).mean).abs().max()
    free = p.project(G, hidden, perceptual=perceptual, search=search)
    left = (slice(None), slice(None), slice(0, 7))
    assert psnr(b.image[left], target[left]) > psnr(free.image[left], target[left])


# ------------------------------------------------------------------------------------------------------ the pieces


def test_latent_stats_are_those_of_w():
    G = small("stylegan2")
    stats = p.latent_stats(G, 2000, seed=4)
    z = torch.from_numpy(np.random.RandomState(4).randn(2000, 16)).float()
    w = G.mapping(z, None)[:, 0].detach()
    torch.testing.assert_close(stats.mean, w.mean(0), atol=1e-5, rtol=0)
    assert stats.std == pytest.approx(float(w.var(0, unbiased=False).sum().sqrt()), rel=1e-4)
    assert stats.coordinate == pytest.approx(stats.std / 4)
    along = (w - stats.mean) @ torch.linalg.inv(stats.axes)  # what a search moves: independent, of deviation 1
    long = stats.axes.norm(dim=1) > 0.11 * stats.coordinate
    torch.testing.assert_close(along[:, long].T.cov(correction=0), torch.eye(int(long.sum())), atol=0.01, rtol=0)
    assert (along[:, ~long].square().mean(0) <= 1.01).all() and bool(long.any())
    with pytest.raises(InputError, match="no mapping network"):
        p.latent_stats(dcgan.Generator(8, 8))


def test_the_rate_rises_holds_and_falls():
    rates = [p.learning_rate(step / 100, 0.1) for step in range(101)]
    assert rates[0] == 0 and rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[5] == pytest.approx(0.1) and rates[75] == pytest.approx(0.1)
    assert rates[2] == pytest.approx(0.04)
    assert 0.04 < rates[88] < 0.06
    assert p.learning_rate(0.0, 0.1, rampup=0) == 0.1


def test_shifts_fall_quadratically_to_none():
    assert p.shift_size(0.0, 10.0) == pytest.approx(0.5)
    assert p.shift_size(0.375, 10.0) == pytest.approx(0.125)
    assert p.shift_size(0.75, 10.0) == p.shift_size(0.9, 10.0) == 0


def test_the_noise_penalty_tells_white_noise_from_a_picture():
    g = torch.Generator().manual_seed(0)
    white = torch.randn(64, 64, generator=g)
    smooth = F.avg_pool2d(torch.randn(1, 1, 66, 66, generator=g), 3, 1)[0, 0]
    p.normalise_noise([smooth])
    assert smooth.mean().abs() < 1e-6 and smooth.square().mean() == pytest.approx(1, rel=1e-5)
    assert p.noise_penalty(smooth) > 30 * p.noise_penalty(white)
    # Squared products of neighbours, the border's with the other side's: on a buffer of 8 there is one scale.
    n = torch.randn(8, 8, generator=g)
    across = sum(n[y, x] * n[y, x - 1] for y in range(8) for x in range(8)) / 64
    down = sum(n[y, x] * n[y - 1, x] for y in range(8) for x in range(8)) / 64
    assert float(p.noise_penalty(n)) == pytest.approx(float(across**2 + down**2), rel=1e-5)


def test_the_face_mask_covers_the_face_and_not_the_corners():
    mask = p.face_mask(64)
    assert mask.shape == (1, 64, 64) and mask.max() <= 1 and mask.min() >= 0.1
    assert mask[0, 32, 32] > 0.99 and mask[0, 0, 0] < 0.11
    torch.testing.assert_close(mask, mask.flip(2))


# ------------------------------------------------------------------------------------------------- files, bad input


def test_latents_are_read_back_and_one_w_serves_all_layers(tmp_path):
    G = small("stylegan2")
    ws = torch.randn(2, G.num_ws, G.w_dim)
    p.save_latents(tmp_path / "projected_w.npz", ws)
    assert np.load(tmp_path / "projected_w.npz")["w"].shape == (2, G.num_ws, G.w_dim)
    torch.testing.assert_close(p.load_latents(tmp_path / "projected_w.npz", G), ws)
    np.savez(tmp_path / "one.npz", w=ws[:, 0].numpy())
    torch.testing.assert_close(p.load_latents(tmp_path / "one.npz", G), ws[:, :1].expand(-1, G.num_ws, -1))


def test_files_that_hold_no_latents_are_refused(tmp_path):
    G = small("stylegan2")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.savez(tmp_path / "object.npz", w=np.array([{}], dtype=object))
    np.savez(tmp_path / "shape.npz", w=np.zeros((1, 3, 3)))
    np.savez(tmp_path / "nan.npz", w=np.full((1, G.num_ws, G.w_dim), np.nan))
    for name in ("missing", "text", "other", "object", "shape", "nan"):
        with pytest.raises(InputError, match=f"{name}.npz") as caught:
            p.load_latents(tmp_path / f"{name}.npz", G)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": "z"}, "choose one of w, w\\+, pti"),
        ({"steps": 0}, "steps"),
        ({"lr": 0.0}, "learning rate"),
        ({"rampup": 2.0}, "share"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        p.Search(**change)


def test_targets_masks_and_starts_that_do_not_fit_are_refused():
    G = small("stylegan3")
    good = torch.zeros(3, 16, 16, dtype=torch.uint8)
    for target, more, words in (
        (good[:, :8], {}, "target"),
        (good.float(), {}, "uint8"),
        (good, {"mask": torch.ones(1, 8, 8)}, "mask"),
        (good, {"start": torch.zeros(1, 2, 16)}, "start"),
    ):
        with pytest.raises(InputError, match=words):
            p.project(G, target, perceptual=perceptual, search=SHORT, **more)
