"""Losses against closed forms, steps against what they must and must not move, fit against its promises."""

import dataclasses
import json
import math

import pytest
import torch
from torch import nn

from facegen.config import TrainConfig
from facegen.files import InputError
from facegen.models import dcgan
from facegen.training import augment, losses
from facegen.training.fit import Interrupted, TrainingError, fit
from facegen.training.runs import VARYING, History
from facegen.training.steps import GAN, dcgan_from, discriminator_step, generator_step, learning_rate_factor

softplus = nn.functional.softplus


# -- losses


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(16, 1, generator=generator) * 3, torch.randn(16, 1, generator=generator) * 3


def test_losses_have_their_closed_forms(logits):
    real, fake = logits
    expected = {
        "bce": (softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()),
        "lsgan": (((real - 1) ** 2).mean() + (fake**2).mean(), ((fake - 1) ** 2).mean()),
        "hinge": ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(), -fake.mean()),
        "wgan": (fake.mean() - real.mean(), -fake.mean()),
    }
    for name, (d, g) in expected.items():
        loss = losses.adversarial_loss(name)
        assert torch.allclose(loss.d_real(real) + loss.d_fake(fake), d, atol=1e-6), name
        assert torch.allclose(loss.g(fake), g, atol=1e-6), name
    pair = losses.adversarial_loss("relativistic")
    assert torch.allclose(pair.d_pair(real, fake), softplus(fake - real).mean(), atol=1e-6)
    assert torch.allclose(pair.g_pair(real, fake), softplus(real - fake).mean(), atol=1e-6)


def test_smoothing_moves_only_the_real_target(logits):
    real, fake = logits
    sharp, smooth = losses.adversarial_loss("bce"), losses.adversarial_loss("bce", smooth=True)
    assert torch.allclose(smooth.d_real(real), 0.9 * softplus(-real).mean() + 0.1 * softplus(real).mean(), atol=1e-6)
    assert smooth.d_fake(fake) == sharp.d_fake(fake)
    assert smooth.g(fake) == sharp.g(fake)  # one-sided: G still aims at "real" in full
    with pytest.raises(InputError, match="hinge"):
        losses.adversarial_loss("hinge", smooth=True)


def test_losses_stay_finite_for_certain_discriminators():
    sure = torch.tensor([200.0, -200.0], requires_grad=True)
    for name in losses.LOSSES:
        loss = losses.adversarial_loss(name)
        value = loss.d_pair(sure, -sure) if loss.d_pair else loss.d_real(sure) + loss.d_fake(sure)
        assert math.isfinite(value.item()), name
        assert torch.autograd.grad(value, sure)[0].isfinite().all(), name


class Linear(nn.Module):
    """D(x) = <w, x>, whose gradient is w everywhere."""

    def __init__(self, norm):
        super().__init__()
        w = torch.ones(3 * 8 * 8)
        self.w = nn.Parameter(w / w.norm() * norm)

    def forward(self, x):
        return x.flatten(1) @ self.w


@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_penalties_of_a_linear_critic(norm):
    D, x, y = Linear(norm), torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    assert losses.gradient_penalty(D, x, y).item() == pytest.approx((norm - 1) ** 2, abs=1e-5)
    penalty = losses.zero_centred_penalty(D, x)
    assert penalty.item() == pytest.approx(norm**2, rel=1e-5)
    penalty.backward()  # d|w|^2/dw = 2w: second derivatives arrive
    assert torch.allclose(D.w.grad, 2 * D.w.detach(), atol=1e-5)


# -- networks


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("norm", dcgan.NORMS)
def test_networks_at_every_size_and_norm(size, norm):
    torch.manual_seed(0)
    for padding_mode in ("zeros", "reflect"):
        G, D = dcgan.Generator(5, 8, size, norm, padding_mode), dcgan.Discriminator(8, size, norm, 0.1, padding_mode)
        pictures = G(torch.randn(3, 5))
        assert pictures.shape == (3, 3, size, size) and pictures.abs().max() <= 1
        logits = D(pictures)
        assert logits.shape == (3, 1)
        logits.sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in G.parameters() if p.dim() == 4)


def test_initialisations():
    for kind in dcgan.INITS:
        conv = nn.Conv2d(64, 64, 4, bias=True)
        dcgan.initialise(conv, kind)
        assert conv.bias.abs().max() == 0
        spread = conv.weight.std().item()
        fan = 64 * 16
        target = {
            "normal": 0.02,
            "xavier": (1 / fan) ** 0.5,
            "kaiming": (2 / 1.04 / fan) ** 0.5,
            "orthogonal": (1 / fan) ** 0.5,
        }
        assert spread == pytest.approx(target[kind], rel=0.05), kind
    with pytest.raises(InputError, match="normal, xavier"):
        dcgan.initialise(conv, "he")


def test_initialisation_reaches_weights_behind_spectral_norm():
    D = dcgan.initialise(dcgan.Discriminator(16, 64, "spectral"), "normal")
    assert D.main[2].parametrizations.weight.original.std().item() == pytest.approx(0.02, rel=0.1)


def test_spectral_norm_holds_from_the_first_picture_on():
    for kind in dcgan.INITS:
        D = dcgan.initialise(dcgan.Discriminator(8, 32, "spectral"), kind).eval()
        for m in D.modules():
            if isinstance(m, nn.Conv2d):
                assert torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05), kind


# -- augmentation


def test_augmentation_is_differentiable_twice_and_random():
    x = torch.rand(4, 3, 16, 16, requires_grad=True)
    y = augment.diff_augment(x, augment.parse_policy("color,translation,cutout"))
    assert y.shape == x.shape and not torch.equal(y, augment.diff_augment(x, augment.parse_policy("color,translation,cutout")))
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().sum() > 0


def test_translation_moves_by_at_most_an_eighth_and_fills_with_grey():
    x = torch.zeros(64, 3, 16, 16)
    x[:, :, 8, 8] = 1
    y = augment.translation(x)
    places = y[:, 0].flatten(1).argmax(1)
    rows, cols = places // 16, places % 16
    assert (y[:, 0].flatten(1).sum(1) == 1).all()
    assert rows.min() == 6 and rows.max() == 10 and cols.min() == 6 and cols.max() == 10
    assert augment.translation(torch.ones(64, 3, 16, 16)).min() == 0


def test_cutout_greys_a_quarter_at_most():
    y = augment.cutout(torch.ones(200, 1, 16, 16))
    missing = (y == 0).float().mean((1, 2, 3))
    assert missing.max() <= 0.25 and missing.min() > 0.03 and missing.std() > 0.01


def test_augment_names_are_checked():
    assert augment.parse_policy("none") == () == augment.parse_policy("")
    with pytest.raises(InputError, match="colour"):
        augment.parse_policy("colour")


# -- steps


def weights_of(net):
    return torch.cat([p.detach().flatten().clone() for p in net.parameters()])


def test_each_step_moves_its_own_network_only():
    torch.manual_seed(0)
    G, D = dcgan.Generator(6, 4, 32), dcgan.Discriminator(4, 32)
    opt_G, opt_D = torch.optim.Adam(G.parameters(), 1e-3), torch.optim.Adam(D.parameters(), 1e-3)
    real, z = torch.rand(4, 3, 32, 32) * 2 - 1, torch.randn(4, 6)
    g0, d0 = weights_of(G), weights_of(D)
    stats = discriminator_step(D, G, opt_D, real, z)
    assert torch.equal(weights_of(G), g0) and not torch.equal(weights_of(D), d0)
    assert all(p.grad is None for p in G.parameters())
    assert stats["loss_D"].item() == pytest.approx((stats["loss_real"] + stats["loss_fake"]).item())
    d1 = weights_of(D)
    generator_step(D, G, opt_G, z)
    assert torch.equal(weights_of(D), d1) and not torch.equal(weights_of(G), g0)
    assert all(p.requires_grad for p in D.parameters())


def test_schedules():
    factors = {kind: [learning_rate_factor(s, 100, 10, kind) for s in range(100)] for kind in ("constant", "linear", "cosine")}
    assert factors["constant"][:10] == pytest.approx([(s + 1) / 10 for s in range(10)]) and factors["constant"][50] == 1
    assert (
        factors["linear"][50] == 1
        and factors["linear"][75] == pytest.approx(0.5)
        and factors["linear"][99] == pytest.approx(0.02)
    )
    assert factors["cosine"][50] == pytest.approx(0.5) and factors["cosine"][99] < 0.001


def test_own_steps_compute_what_the_packages_steps_compute(tiny):
    config = dataclasses.replace(tiny, mirror=False)
    fast, own = dcgan_from(config), dcgan_from(config)
    own.d_step, own.g_step = discriminator_step, generator_step
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    for step in range(3):
        a, b = fast.update(step, [real]), own.update(step, [real])
        assert a["loss_D"].item() == pytest.approx(b["loss_D"].item(), abs=1e-4)
        assert a["loss_G"].item() == pytest.approx(b["loss_G"].item(), abs=1e-4)
    assert torch.allclose(weights_of(fast.G), weights_of(own.G), atol=1e-4)


def test_in_bfloat16_the_generator_meets_the_updated_discriminator(tiny):
    # Autocast caches the cast weights until its context ends: a G step in D's context would meet the D of before.
    config = dataclasses.replace(tiny, precision="bfloat16", lr_D=0.02)
    real = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fast, own = dcgan_from(config), dcgan_from(config)
    own.d_step, own.g_step = discriminator_step, lambda D, G, optimizer, z: {"loss_G": losses.real_loss(D(G(z)))}
    a, b = fast.update(0, [real])["loss_G"].item(), own.update(0, [real])["loss_G"].item()
    with torch.no_grad():
        fresh = losses.real_loss(own.D(own.G(own.noise(8, 0, 0)))).item()  # float32, after D's step
    assert b == pytest.approx(fresh, rel=0.03)
    assert a == pytest.approx(fresh, rel=0.03)


def test_wgan_clips_and_every_loss_trains(tiny, faces, tmp_path):
    for name in losses.LOSSES:
        config = dataclasses.replace(tiny, loss=name, norm_D="instance", d_steps=2, r1_gamma=0.1, r2_gamma=0.1, penalty_every=2)
        gan = dcgan_from(config)
        history = fit(gan, faces, tmp_path / name, samples=4, snap_kimg=0.05, log_every=1, progress=False)
        assert all(math.isfinite(line["loss_G"]) for line in history.stats), name
        if name == "wgan":
            assert weights_of(gan.D).abs().max() <= config.clip


def test_lazy_penalties_come_every_kth_step_and_k_times_as_strong(tiny):
    config = dataclasses.replace(tiny, norm_D="none", r1_gamma=1.0)
    every = dcgan_from(config).update(0, [torch.ones(8, 3, 32, 32)])["penalty"]
    lazy = dcgan_from(dataclasses.replace(config, penalty_every=4))
    assert lazy.update(0, [torch.ones(8, 3, 32, 32)])["penalty"].item() == pytest.approx(4 * every.item(), rel=1e-4)
    assert "penalty" not in lazy.update(1, [torch.ones(8, 3, 32, 32)])


def test_ema_trails_the_generator_and_halves_in_its_half_life(tiny):
    gan = dcgan_from(dataclasses.replace(tiny, ema_kimg=0.08))
    with torch.no_grad():
        for p in gan.G_ema.parameters():
            p.zero_()
        for p in gan.G.parameters():
            p.fill_(1.0)
        for step in range(1000, 1010):  # 10 steps of 8 pictures are one half-life
            gan._average(step)
    assert weights_of(gan.G_ema).mean().item() == pytest.approx(0.5, abs=1e-5)


def test_refreshed_statistics_fit_the_averaged_weights(tiny):
    gan = dcgan_from(tiny)
    gan.update(0, [torch.rand(8, 3, 32, 32)])
    gan.refresh()
    z = gan.noise(256, 77)
    with torch.no_grad():
        evaluated = gan.G_ema(z)
        by_batch = gan.G_ema.train()(z)
    assert not torch.allclose(evaluated, gan.G.eval()(z), atol=1e-3)
    assert (evaluated - by_batch).abs().mean() < 0.02


def test_bfloat16_follows_float32(tiny):
    runs = [dcgan_from(dataclasses.replace(tiny, precision=p)) for p in ("float32", "bfloat16")]
    real = torch.rand(8, 3, 32, 32) * 2 - 1
    a, b = (gan.update(0, [real]) for gan in runs)
    assert a["loss_D"].item() == pytest.approx(b["loss_D"].item(), abs=0.05) and a["loss_D"] != b["loss_D"]
    assert all(p.dtype == torch.float32 for gan in runs for p in gan.G.parameters())


# -- fit


def test_fit_keeps_what_it_promises(tiny, faces, tmp_path):
    seen = []
    history = fit(
        dcgan_from(tiny),
        faces,
        tmp_path / "run",
        samples=5,
        snap_kimg=0.032,
        log_every=2,
        on_snapshot=lambda s: seen.append((s.step, s.samples.shape)),
        progress=False,
    )
    assert seen == [(4, (5, 3, 32, 32)), (8, (5, 3, 32, 32)), (12, (5, 3, 32, 32))]
    assert history.samples.shape == (3, 5, 3, 32, 32) and history.samples.dtype == torch.uint8
    assert history.kimg == pytest.approx([0.032, 0.064, 0.096])
    assert [line["step"] for line in history.stats] == [2, 4, 6, 8, 10, 12]
    wanted = {"step", "kimg", "epoch", *VARYING, "loss_D", "loss_G", "logits_real", "logits_fake", "lr_G", "lr_D"}
    assert wanted <= set(history.stats[0])
    assert history.stats[-1]["epoch"] == 2
    again = History.load(tmp_path / "run")
    assert torch.equal(again.samples, history.samples) and again.stats == history.stats
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-00000008.pt", "step-00000012.pt"]
    assert not list((tmp_path / "run").rglob("*.part*"))


@pytest.mark.parametrize(("keep", "left"), [("all", [0, 3, 6, 9, 12]), ("last:1", [12]), ("every:2", [6, 12])])
def test_checkpoints_kept(tiny, faces, tmp_path, keep, left):
    fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.024, keep=keep, progress=False)
    assert [int(p.stem[5:]) for p in sorted((tmp_path / "checkpoints").iterdir())] == left


def test_a_learners_own_classes_train(tiny, faces, tmp_path):
    class MyGenerator(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 3 * 32 * 32)

        def forward(self, z):
            return torch.tanh(self.fc(z)).view(-1, 3, 32, 32)

    class MyDiscriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * 32 * 32, 1)

        def forward(self, x):
            return self.fc(x.flatten(1)).squeeze(1)

    def plain_step(D, G, optimizer, real, z):
        optimizer.zero_grad()
        loss = losses.real_loss(D(real)) + losses.fake_loss(D(G(z).detach()))
        loss.backward()
        optimizer.step()
        return loss.item()

    gan = GAN(MyGenerator(), MyDiscriminator(), tiny, d_step=plain_step, g_step=generator_step)
    before = weights_of(gan.G)
    history = fit(gan, faces, tmp_path, samples=2, snap_kimg=0.05, progress=False)
    assert not torch.equal(before, weights_of(gan.G)) and history.stats[-1]["loss_D"] > 0
    assert not (tmp_path / "network.safetensors").exists()  # a class of one's own: checkpoints only


def test_not_finite_stops_with_step_and_last_good_checkpoint(tiny, faces, tmp_path):
    gan = dcgan_from(tiny)
    good = gan.update
    gan.update = lambda step, reals: good(step, reals) | ({"loss_G": torch.tensor(float("nan"))} if step == 6 else {})
    with pytest.raises(TrainingError, match=r"step 7 .*loss_G is not finite.*step-00000004\.pt"):
        fit(gan, faces, tmp_path, samples=1, snap_kimg=0.032, progress=False)
    assert max(line["step"] for line in History.load(tmp_path).stats) == 4


def test_a_run_with_other_settings_is_not_continued(tiny, faces, tmp_path):
    fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.05, stop_at=3, progress=False)
    other = dataclasses.replace(tiny, lr_G=1e-3)
    with pytest.raises(InputError, match=r"run with --lr-G=0\.0002, not 0\.001"):
        fit(dcgan_from(other), faces, tmp_path, samples=1, snap_kimg=0.05, progress=False)
    with pytest.raises(InputError, match="already holds a run"):
        fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.05, resume=False, progress=False)


def test_wrong_picture_size_is_refused_before_anything_is_written(tiny, faces, tmp_path):
    with pytest.raises(InputError, match="32x32, the networks take 64x64"):
        fit(dcgan_from(dataclasses.replace(tiny, image_size=64)), faces, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_ctrl_c_finishes_the_step_and_leaves_a_checkpoint(tiny, faces, tmp_path):
    import os
    import signal

    gan = dcgan_from(tiny)
    good = gan.update

    def update(step, reals):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return good(step, reals)

    gan.update = update
    with pytest.raises(Interrupted, match="step 5"):
        fit(gan, faces, tmp_path, samples=1, snap_kimg=0.08, progress=False)
    assert (tmp_path / "checkpoints" / "step-00000005.pt").exists()


def test_settings_are_checked():
    for wrong, message in (
        ({"batch": 1}, "batch=1"),
        ({"lr_G": 0.0}, "--lr-G"),
        ({"lr_D": float("nan")}, "--lr-D"),
        ({"schedule": "step"}, "constant, linear, cosine"),
        ({"loss": "wgan-gp"}, "batch norm"),
        ({"beta1": 1.0}, "betas"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            TrainConfig(**wrong)
        assert "\n" not in str(caught.value)


def test_memory_is_kept_where_the_c_library_can():
    import platform

    from facegen.training.fit import keep_memory

    assert keep_memory() == (platform.libc_ver()[0] == "glibc")


def test_tensorboard_files_are_written_on_request(tiny, faces, tmp_path):
    pytest.importorskip("tensorboard")
    fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.2, log_every=4, tensorboard=True, progress=False)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    logged = History.load(tmp_path).stats
    assert [e.step for e in events.Scalars("loss_D")] == [line["step"] for line in logged]
    assert [e.value for e in events.Scalars("loss_G")] == pytest.approx([line["loss_G"] for line in logged])


def test_a_refused_resume_changes_nothing(tiny, faces, tmp_path):
    fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.05, stop_at=3, progress=False)
    described = (tmp_path / "config.json").read_text()
    for change in ({"kimg": 1.0, "lr_G": 1e-3}, {"kimg": 0.05}):
        with pytest.raises(InputError, match="holds a run with"):
            fit(dcgan_from(dataclasses.replace(tiny, **change)), faces, tmp_path, samples=1, snap_kimg=0.05, progress=False)
        assert (tmp_path / "config.json").read_text() == described
    longer = dataclasses.replace(tiny, kimg=0.2)  # at a constant rate a run may grow
    assert fit(dcgan_from(longer), faces, tmp_path, samples=1, snap_kimg=0.05, progress=False).stats[-1]["step"] == 25


def test_ctrl_c_while_the_numbers_are_fetched_waits_for_the_next_step(tiny, faces, tmp_path, monkeypatch):
    import os
    import signal

    from facegen.training import fit as module

    good = module._Run.flush

    def flush(self):
        if self.step == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return good(self)

    monkeypatch.setattr(module._Run, "flush", flush)
    with pytest.raises(Interrupted, match="step 5"):
        fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.08, log_every=4, progress=False)
    assert (tmp_path / "checkpoints" / "step-00000005.pt").exists()


def test_lazy_penalties_are_logged_and_survive_an_interrupt(tiny, faces, tmp_path):
    pytest.importorskip("tensorboard")
    config = dataclasses.replace(tiny, norm_D="none", r1_gamma=1.0, penalty_every=4)
    options = {"samples": 1, "snap_kimg": 0.2, "log_every": 3, "tensorboard": True, "progress": False}
    straight = fit(dcgan_from(config), faces, tmp_path / "a", **options)
    assert all("penalty" in line for line in straight.stats)
    for stop_at in (2, 8, None):
        broken = fit(dcgan_from(config), faces, tmp_path / "b", stop_at=stop_at, **options)
    same = dict.fromkeys(VARYING, 0)
    assert [line | same for line in straight.stats] == [line | same for line in broken.stats]


def test_what_a_hook_draws_does_not_count(tiny, faces, tmp_path):
    config = dataclasses.replace(tiny, augment="color")
    hook = {"on_snapshot": lambda snapshot: torch.randn(3), "samples": 1, "snap_kimg": 0.032, "progress": False}
    straight = fit(dcgan_from(config), faces, tmp_path / "a", **hook)
    fit(dcgan_from(config), faces, tmp_path / "b", stop_at=4, **hook)
    assert torch.equal(straight.samples, fit(dcgan_from(config), faces, tmp_path / "b", **hook).samples)


def test_unreadable_checkpoints_never_erase_a_run(tiny, faces, tmp_path):
    options = {"samples": 1, "snap_kimg": 0.032, "keep": "last:1", "progress": False}
    fit(dcgan_from(tiny), faces, tmp_path, stop_at=8, **options)
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="none of the checkpoints can be read"):
        fit(dcgan_from(tiny), faces, tmp_path, **options)
    assert len(list((tmp_path / "samples").iterdir())) == 2


def test_spoiled_weights_are_never_saved(tiny, faces, tmp_path):
    gan = dcgan_from(tiny)
    good = gan.update

    def update(step, reals):
        stats = good(step, reals)
        if step == 7:
            next(gan.G.parameters()).data.fill_(float("nan"))
        return stats

    gan.update = update
    with pytest.raises(TrainingError, match=r"step 8 .*weights of G are not finite; .*step-00000004\.pt"):
        fit(gan, faces, tmp_path, samples=1, snap_kimg=0.032, progress=False)
    assert max(int(p.stem[5:]) for p in (tmp_path / "checkpoints").iterdir()) == 4


def test_the_average_takes_over_other_buffers_beside_batch_norm(tiny):
    from torch.nn.utils.parametrizations import spectral_norm

    G = dcgan.Generator(8, 4, 32)
    spectral_norm(G.main[0])
    gan = GAN(G, dcgan.Discriminator(4, 32), dataclasses.replace(tiny, ema_kimg=0.0))
    for step in range(3):
        gan.update(step, [torch.rand(8, 3, 32, 32)])
    gan.refresh()
    assert torch.allclose(gan.G_ema.main[0].weight, gan.G.eval().main[0].weight, atol=1e-5)


def test_a_step_that_returns_many_losses_is_told_so(tiny, faces, tmp_path):
    gan = dcgan_from(tiny)
    gan.d_step, gan.g_step = lambda D, G, optimizer, real, z: D(real), generator_step
    with pytest.raises(InputError, match=r"loss_D with shape \(8, 1\)"):
        fit(gan, faces, tmp_path, samples=1, progress=False)


def test_equal_networks_make_equal_files(tiny, tmp_path):
    from facegen.models import pretrained

    gan = dcgan_from(tiny)
    for name in "abcd":
        gan.export(tmp_path / f"{name}.safetensors", {"kimg": 1, "data": "x", "more": 2})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    loaded = pretrained.load(tmp_path / "a.safetensors").G
    kept = next(loaded.parameters()).clone()
    (tmp_path / "a.safetensors").write_bytes(b"\0" * (tmp_path / "a.safetensors").stat().st_size)
    assert torch.equal(next(loaded.parameters()), kept)  # loaded weights do not hang on the file


def test_checkpoints_open_without_running_code(tiny, faces, tmp_path):
    fit(dcgan_from(tiny), faces, tmp_path, samples=1, snap_kimg=0.2, progress=False)
    state = torch.load(next((tmp_path / "checkpoints").iterdir()), weights_only=True)
    assert state["step"] == 12
    assert json.loads((tmp_path / "config.json").read_text())["data"]["count"] == 48
