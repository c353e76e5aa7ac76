"""CycleGAN in the training loop: settings, resume, kept epochs, a learner's own parts, alarms."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
import torch

from facegen.config import CycleConfig
from facegen.data.unpaired import Unpaired, drawn_unpaired
from facegen.files import InputError
from facegen.models import pretrained
from facegen.models.cyclegan import PatchDiscriminator, PixelDiscriminator, ResnetGenerator, UnetGenerator
from facegen.training import processes
from facegen.training.cyclegan import CycleGAN, Networks, cyclegan_from, linear_decay, paint
from facegen.training.diagnose import Watch
from facegen.training.fit import Snapshot, fit
from facegen.training.losses import cycle_loss, identity_loss, patch_loss
from facegen.training.runs import VARYING, History

TINY = CycleConfig(
    image_size=32,
    load_size=36,
    generator="resnet1",
    width=4,
    width_D=4,
    layers_D=2,
    pool=3,
    batch=2,
    epochs=2,
    epochs_decay=2,
    precision="float32",
)
SNAP = 0.01  # kimg of an epoch: 10 pictures


@pytest.fixture(scope="module")
def data() -> Unpaired:
    return drawn_unpaired(10, 36, 32, test=6)


def train(outdir: Path, data: Unpaired, config: CycleConfig = TINY, method: CycleGAN | None = None, **options) -> History:
    method = method or cyclegan_from(config, data.steps_per_epoch(config.batch))
    return fit(method, data, outdir, snap_kimg=SNAP, samples=6, log_every=1, progress=False, **options)


def numbers(history: History) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name not in VARYING} for line in history.stats]


def face(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return (before.mean((2, 3)) - after.mean((2, 3))).square().mean()


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"loss": "wgangp", "lambda_identity": 0.0},
        {"loss": "vanilla", "norm": "batch", "mirror": False, "layers_D": 0},
        {"generator": "unet32", "precision": "bfloat16", "lambda_face": 1.0},
    ],
)
def test_a_resumed_run_equals_a_straight_one_bit_for_bit(data, tmp_path, change):
    config = dataclasses.replace(TINY, **change)

    def method() -> CycleGAN:
        return cyclegan_from(config, data.steps_per_epoch(2), face=face if config.lambda_face else None)

    straight = train(tmp_path / "straight", data, config, method())
    for stop_at in (3, 10, 17):
        train(tmp_path / "broken", data, config, method(), stop_at=stop_at)
    resumed = train(tmp_path / "broken", data, config, method())
    assert torch.equal(straight.samples, resumed.samples) and numbers(straight) == numbers(resumed)
    weights = [pretrained.load(tmp_path / run / "network-BtoA.safetensors").G.state_dict() for run in ("straight", "broken")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert all(torch.tensor(list(line.values())).isfinite().all() for line in straight.stats)


def test_a_run_goes_on_at_the_right_epoch_with_the_right_rate(data, tmp_path):
    train(tmp_path, data, stop_at=13)  # in the third of four epochs
    history = train(tmp_path, data)
    assert [line["step"] for line in history.stats] == list(range(1, 21))
    assert [line["epoch"] for line in history.stats] == [step / 5 for step in range(1, 21)]
    rates = [TINY.lr * linear_decay(step // 5, 2, 2) for step in range(20)]
    assert [line["lr"] for line in history.stats] == pytest.approx(rates) and 0 < rates[-1] < rates[0]


def test_epochs_are_kept_as_files_of_either_direction(data, tmp_path):
    history = train(tmp_path, data, keep_networks=3, stop_at=16)
    names = sorted(path.name for path in (tmp_path / "networks").iterdir())
    assert names == ["epoch-0003-AtoB.safetensors", "epoch-0003-BtoA.safetensors"]
    history = train(tmp_path, data, keep_networks=3)
    names = sorted(path.name for path in (tmp_path / "networks").iterdir())
    assert [name[:10] for name in names] == ["epoch-0003"] * 2 + ["epoch-0004"] * 2  # every third, and the last
    assert torch.equal(history.originals, data.test_A.images)
    for name, shown in (("networks/epoch-0003", 2), ("networks/epoch-0004", 3), ("network", 3)):
        loaded = pretrained.load(tmp_path / f"{name}-AtoB.safetensors")
        painted = paint(loaded.G, data.test_A.batch(range(6)))
        assert torch.equal(painted, history.samples[shown]) and loaded.info["direction"] == "AtoB"
        assert loaded.D is not None and loaded.info["config"]["generator"] == "resnet1"
    there, back = (pretrained.load(tmp_path / f"network-{way}.safetensors").G for way in ("AtoB", "BtoA"))
    assert not torch.equal(there.model[1].weight, back.model[1].weight)


def test_networks_of_epochs_that_come_again_are_removed(data, tmp_path):
    train(tmp_path, data, keep_networks=1, keep="all")
    for path in (tmp_path / "checkpoints").glob("step-*.pt"):
        if path.stem > "step-00000010":
            path.unlink()
    train(tmp_path, data, keep_networks=1, stop_at=11)
    assert sorted({path.name[:10] for path in (tmp_path / "networks").iterdir()}) == ["epoch-0001", "epoch-0002"]


def test_a_step_of_ones_own_decides_the_generators_losses(data, tmp_path):
    lsgan, seen = patch_loss("lsgan"), []

    def own(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity):
        seen.append((lambda_cycle, lambda_identity))
        optimizer.zero_grad(set_to_none=True)
        fake_B, fake_A = G_A(real_A), G_B(real_B)
        loss = lsgan.g(D_A(fake_B)) + lsgan.g(D_B(fake_A))
        loss = loss + lambda_cycle * (cycle_loss(real_A, G_B(fake_B)) + cycle_loss(real_B, G_A(fake_A)))
        same = identity_loss(real_B, G_A(real_B)) + identity_loss(real_A, G_B(real_A))
        loss = loss + lambda_cycle * lambda_identity * same
        loss.backward()
        optimizer.step()
        return loss.item()

    ours = train(tmp_path / "ours", data)
    method = cyclegan_from(TINY, 5)
    method.g_step = own
    theirs = train(tmp_path / "theirs", data, method=method)
    assert seen == [(10.0, 0.5)] * 20
    for mine, other in zip(ours.stats[:5], theirs.stats[:5]):  # the same losses, but for rounding
        assert other["loss_G"] == pytest.approx(mine["loss_G"], rel=1e-3)
        assert other["loss_D"] == pytest.approx(mine["loss_D"], rel=1e-3)


def test_networks_of_ones_own_are_trained_and_kept_in_checkpoints(data, tmp_path):
    class Own(torch.nn.Conv2d):
        pass

    torch.manual_seed(0)
    nets = Networks(*(Own(3, channels, 3, padding=1) for channels in (3, 3, 1, 1)))
    before = [net.weight.detach().clone() for net in nets]
    history = train(tmp_path, data, method=CycleGAN(nets, TINY, 5), keep_networks=1)
    assert all(not torch.equal(old, net.weight) for old, net in zip(before, nets))
    assert len(history.samples) == 4 and not list(tmp_path.glob("network*"))


def test_the_networks_are_those_of_the_settings():
    def nets(**change) -> Networks:
        return cyclegan_from(dataclasses.replace(TINY, **change), 1).nets

    assert isinstance(nets().G_A, ResnetGenerator) and nets(generator="resnet9").G_A.settings["blocks"] == 9
    assert isinstance(nets(generator="unet32").G_B, UnetGenerator)
    assert nets(layers_D=2, width_D=5).D_A.settings == {"img_channels": 3, "width": 5, "layers": 2, "norm": "instance"}
    assert isinstance(nets(layers_D=0).D_B, PixelDiscriminator) and isinstance(nets().D_B, PatchDiscriminator)
    one, other = nets(), nets()
    assert all(torch.equal(a, b) for a, b in zip(one.G_A.parameters(), other.G_A.parameters()))
    assert not torch.equal(one.G_A.model[1].weight, nets(seed=1).G_A.model[1].weight)


def test_building_leaves_the_random_state_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    cyclegan_from(TINY, 5)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generator": "resnet"}, "--generator=resnet: choose resnet6"),
        ({"generator": "unet64"}, "a U-Net's size is a power of 2"),
        ({"image_size": 30, "load_size": 36}, "take a multiple of 4"),
        ({"layers_D": 4}, "--layers-D=4 needs pictures of 48 pixels"),
        ({"load_size": 31}, "--load-size=31 is less than --image-size=32"),
        ({"epochs": 0, "epochs_decay": 0}, "at least one epoch"),
        ({"loss": "bce"}, "loss='bce' is not known"),
        ({"loss": "wgangp", "norm": "batch"}, "batch norm mixes them"),
        ({"norm": "layer"}, "norm='layer' is not known"),
        ({"lambda_A": -1.0}, "--lambda-A=-1.0: must not be negative"),
        ({"lr": float("nan")}, "lr=nan: must be a finite number"),
        ({"batch": 0}, "batch=0: must be at least 1"),
        ({"lambda_face": 1.0}, "needs something that compares faces"),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(change, words):
    with pytest.raises(InputError) as error:
        cyclegan_from(dataclasses.replace(TINY, **change), 5)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_other_data_and_other_settings_do_not_continue_a_run(data, tmp_path):
    train(tmp_path, data, stop_at=2)
    for config, words in (
        (dataclasses.replace(TINY, generator="resnet2"), "a run with --generator=resnet1, not resnet2"),
        (dataclasses.replace(TINY, epochs=3), "a run with --epochs=2, not 3"),
    ):
        with pytest.raises(InputError, match=words):
            train(tmp_path, data, config)
    with pytest.raises(InputError, match="was trained on other pictures"):
        train(tmp_path, drawn_unpaired(10, 36, 32, test=6, seed=1))
    for other in (drawn_unpaired(10, 40, 32), drawn_unpaired(14, 36, 32)):
        with pytest.raises(InputError, match=r"load the data with these|the training was built for 5"):
            train(tmp_path / "new", other, method=cyclegan_from(TINY, 5))
    assert not (tmp_path / "new").exists()


def snapshot(step: int, samples: torch.Tensor, outdir: Path, gap: float = 0.0) -> Snapshot:
    logits = {f"logits_{sort}_{letter}": 0.5 + sign * gap / 2 for sort, sign in (("real", 1), ("fake", -1)) for letter in "AB"}
    stats = [{"step": n, "epoch": n / 10, **logits} for n in range(1, step + 1)]
    return Snapshot(step, step / 1000, samples, stats, outdir)


def test_alarms_are_raised_during_training_and_written(tmp_path, capsys):
    people = drawn_unpaired(8, 64, 64).A.images
    watch = Watch(people)
    watch(snapshot(100, people.flip(0), tmp_path))  # everybody is somebody else
    watch(snapshot(200, 255 - people, tmp_path, gap=0.99))
    lines = [json.loads(line) for line in (tmp_path / "alarms.jsonl").read_text().splitlines()]
    assert [(line["step"], line["name"]) for line in lines] == [
        (100, "identity lost"),
        (200, "colours inverted"),
        (200, "discriminator won"),
    ]
    assert all(line["evidence"] and line["advice"] for line in lines)
    shown = capsys.readouterr().out
    assert "epoch 10: identity lost" in shown and "epoch 20: discriminator won" in shown
    # A resumed run comes by its second snapshot again, and finds nothing this time.
    changed = people.clone()
    changed[:, :, 20:40, 20:40] = 255 - changed[:, :, 20:40, 20:40] // 2
    watch(snapshot(200, people, tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "alarms.jsonl").read_text().splitlines()]
    assert [(line["step"], line["name"]) for line in lines] == [(100, "identity lost"), (200, "output unchanged")]


def test_a_watch_needs_enough_people():
    with pytest.raises(InputError, match="too few"):
        Watch(drawn_unpaired(4, 32, 32).A.images)


def test_the_loop_calls_the_watch(data, tmp_path):
    method = cyclegan_from(TINY, 5)
    train(tmp_path, data, method=method, on_snapshot=Watch(method.fixed(data, 6)))
    assert (tmp_path / "alarms.jsonl").is_file()  # networks of 20 steps have something to be warned of
    assert all(json.loads(line)["step"] in (5, 10, 15, 20) for line in (tmp_path / "alarms.jsonl").read_text().splitlines())


def test_without_test_pictures_the_middle_of_training_pictures_is_followed():
    data = drawn_unpaired(10, 36, 32, test=0)
    fixed = cyclegan_from(TINY, 5).fixed(data, 4)
    assert torch.equal(fixed, data.A.batch(range(4))[:, :, 2:34, 2:34])


def test_each_domain_has_a_pool_of_its_own_fakes_and_each_process_draws_of_its_own(data, monkeypatch):
    method = cyclegan_from(TINY, 5)
    real_A, real_B = method.batch(data, 0)
    with torch.no_grad():
        fake_A, fake_B = method.nets.G_B(real_B), method.nets.G_A(real_A)
    method.update(0, [real_A, real_B])
    pools = [method.stores[name].state_dict() for name in ("pool_A", "pool_B")]
    for pool, fakes in zip(pools, (fake_A, fake_B)):
        torch.testing.assert_close(pool["images"], fakes, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(processes, "rank", lambda: 1)
    pools += [store.state_dict() for store in cyclegan_from(TINY, 5).stores.values()]
    assert len({tuple(pool["generator"].tolist()) for pool in pools}) == 4


def test_a_penalty_and_identity_pictures_are_computed_where_they_count(data):
    for change, penalised, shown in (
        ({}, False, 6),  # pictures that G_A sees in a step: real_A, real_B, fake_A, two of each
        ({"loss": "wgangp"}, True, 6),
        ({"lambda_identity": 0.0}, False, 4),
    ):
        method = cyclegan_from(dataclasses.replace(TINY, **change), 5)
        seen: list[int] = []
        method.nets.G_A.register_forward_hook(lambda net, given, made, seen=seen: seen.append(len(made)))
        stats = method.update(0, method.batch(data, 0))
        assert sum(seen) == shown
        assert ({"penalty_A", "penalty_B"} <= stats.keys()) is penalised
        assert not penalised or min(stats["penalty_A"], stats["penalty_B"]) > 0


def test_both_generators_learn_and_no_optimiser_holds_a_network_twice():
    method = cyclegan_from(TINY, 5)
    held = [id(p) for optimizer in method.optimizers.values() for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in itertools.chain(*(net.parameters() for net in method.nets)))


def test_other_test_pictures_do_not_continue_a_run(data, tmp_path):
    train(tmp_path, data, stop_at=2)
    with pytest.raises(InputError, match="was trained on other pictures"):
        train(tmp_path, dataclasses.replace(data, test_A=drawn_unpaired(10, 36, 32, test=6, seed=1).test_A))
