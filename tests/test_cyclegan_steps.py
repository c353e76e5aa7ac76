"""CycleGAN's losses, its step against the textbook's, what a step must and must not move, the pool and the decay."""

import copy
import itertools
from unittest import mock

import pytest
import torch
from textbook_cyclegan import textbook_step
from torch import nn

from facegen.files import InputError
from facegen.models.cyclegan import PatchDiscriminator, ResnetGenerator
from facegen.training import cyclegan
from facegen.training.cyclegan import (
    ImagePool,
    Networks,
    linear_decay,
    passes,
    translate,
    treats_pictures_alone,
    update_discriminators,
    update_generators,
)
from facegen.training.losses import (
    PATCH_LOSSES,
    adversarial_loss,
    cycle_loss,
    gradient_penalty,
    identity_loss,
    patch_loss,
)


def build(norm="instance"):
    """Small networks; for these widths the usual weights are too small to show much."""
    torch.manual_seed(0)
    generators = [ResnetGenerator(3, 6, 2, norm) for _ in range(2)]
    nets = Networks(*generators, *[PatchDiscriminator(3, 6, 2, norm) for _ in range(2)])
    for p in itertools.chain(*(net.parameters() for net in nets)):
        if p.dim() == 4:
            p.data.mul_(4)
    return nets


def sgd(*nets, lr=0.001):
    return torch.optim.SGD(itertools.chain(*(net.parameters() for net in nets)), lr)


def pictures(seed, n=2, size=32):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def gradients(*nets):
    return [p.grad.clone() for net in nets for p in net.parameters()]


def apart(got, expected):
    """The largest difference, as a share of the largest expected number."""
    return max((g - e).abs().max().item() for g, e in zip(got, expected)) / max(e.abs().max().item() for e in expected)


def our_step(nets, opt_G, opt_D, real_A, real_B, pool_A, pool_B):
    cycle = translate(nets, real_A, real_B)
    stats = update_generators(nets, opt_G, cycle)
    fakes = pool_A.query(cycle.fake_A), pool_B.query(cycle.fake_B)
    return stats | update_discriminators(nets, opt_D, real_A, real_B, *fakes)


# -- losses


def test_cycle_and_identity_losses_are_mean_absolute_differences():
    x, y = pictures(0), pictures(1)
    for loss in (cycle_loss, identity_loss):
        assert torch.equal(loss(x, x), torch.tensor(0.0))
        assert loss(x, y).item() == pytest.approx(nn.functional.l1_loss(y, x).item(), rel=1e-6)
        assert loss(torch.full((1, 3, 4, 4), -1.0), torch.ones(1, 3, 4, 4)).item() == 2
        # bfloat16 sums would stop growing early: the mean is taken in float32.
        assert loss(torch.zeros(1, 3, 64, 64), torch.full((1, 3, 64, 64), 0.125, dtype=torch.bfloat16)).item() == 0.125
        with pytest.raises(InputError, match=r"\[2, 3, 32, 32\] became \[2, 3, 32, 36\]"):
            loss(x, torch.zeros(2, 3, 32, 36))
        with pytest.raises(InputError):
            loss(x, torch.zeros(1, 3, 32, 32))  # would broadcast


def test_published_names_of_the_adversarial_losses():
    logits = torch.randn(2, 1, 5, 5)
    for published, ours in {"lsgan": "lsgan", "vanilla": "bce", "wgangp": "wgan"}.items():
        a, b = patch_loss(published), adversarial_loss(ours)
        assert (a.d_real(logits), a.d_fake(logits), a.g(logits)) == (b.d_real(logits), b.d_fake(logits), b.g(logits))
    with pytest.raises(InputError, match="lsgan, vanilla, wgangp"):
        patch_loss("hinge")


# -- the step


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_three_steps_equal_the_textbooks(norm):
    ours, theirs = build(norm), build(norm)
    optimizers = [(sgd(nets.G_A, nets.G_B), sgd(nets.D_A, nets.D_B)) for nets in (ours, theirs)]
    pools = [(ImagePool(1, seed=1), ImagePool(1, seed=2)) for _ in range(2)]
    for step in range(3):
        real_A, real_B = pictures(10 + step), pictures(20 + step)
        got = our_step(ours, *optimizers[0], real_A, real_B, *pools[0])
        expected = textbook_step(theirs, *optimizers[1], real_A, real_B, *(pool.query for pool in pools[1]))
        for name, value in expected.items():
            assert got[name].item() == pytest.approx(value, rel=1e-5, abs=1e-6), (step, name)
    for ours_net, theirs_net in zip(ours, theirs):  # weights: batch norm's running averages depend on the passes' order
        assert apart([p.detach() for p in ours_net.parameters()], [p.detach() for p in theirs_net.parameters()]) < 1e-5


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_one_pass_over_two_batches_gives_what_two_passes_give(dtype, bound):
    """In float32 the convolutions round differently for another batch, and instance norm enlarges that where it divides by
    little; float64 shows that nothing else differs. (The losses are means in float32 in either case.)"""
    real_A, real_B = pictures(1, n=1).to(dtype), pictures(2, n=3).to(dtype)
    results = []
    for alone in (True, False):
        nets = Networks(*(net.to(dtype) for net in build()))
        with mock.patch.object(cyclegan, "treats_pictures_alone", lambda net, alone=alone: alone):
            cycle = translate(nets, real_A, real_B)
            update_generators(nets, sgd(nets.G_A, nets.G_B), cycle)
            of_G = gradients(nets.G_A, nets.G_B)
            update_discriminators(nets, sgd(nets.D_A, nets.D_B), real_A, real_B, cycle.fake_A, cycle.fake_B)
        results.append(([x.detach() for x in cycle], of_G, gradients(nets.D_A, nets.D_B)))
    errors = [apart(together, single) for together, single in zip(*results)]
    print("pictures, gradients of G, gradients of D:", [f"{error:.1e}" for error in errors])
    assert max(errors) < bound


def test_batch_norm_sees_each_sort_of_picture_alone():
    nets, calls = build("batch"), []
    hook = nets.G_A.register_forward_hook(lambda net, args, out: calls.append(len(args[0])))
    a, b = pictures(1), pictures(2) * 0.2 + 0.5  # another mean and spread, which one batch would mix
    got = passes(nets.G_A, a, b)
    assert calls == [2, 2] and not treats_pictures_alone(nets.G_A)
    hook.remove()
    assert torch.equal(got[0], nets.G_A(a)) and torch.equal(got[1], nets.G_A(b))
    assert (nets.G_A(torch.cat([a, b]))[:2] - got[0]).abs().max() > 1e-3  # so it does matter


def test_instance_norm_runs_once_and_other_sizes_run_apart():
    G, calls = build().G_A, []
    G.register_forward_hook(lambda net, args, out: calls.append(list(args[0].shape)))
    passes(G, pictures(1), pictures(2, n=1))
    passes(G, pictures(1), pictures(2, size=40))
    assert [call[0] for call in calls] == [3, 2, 2] and calls[2][2] == 40


def test_without_identity_the_generators_run_on_half_as_many_first_pictures():
    nets, calls = build(), []
    nets.G_A.register_forward_hook(lambda net, args, out: calls.append(len(args[0])))
    cycle = translate(nets, pictures(1), pictures(2), identity=False)
    assert calls == [2, 2] and cycle.same_A is None and cycle.same_B is None
    stats = update_generators(nets, sgd(nets.G_A, nets.G_B), cycle, lambda_identity=0.0)
    assert "identity_A" not in stats
    with pytest.raises(InputError, match="identity=True"):
        update_generators(nets, sgd(nets.G_A, nets.G_B), cycle)


def test_identity_generators_have_no_cycle_and_no_identity_loss():
    class Gain(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return x * self.gain

    nets = build()._replace(G_A=Gain(), G_B=Gain())
    stats = update_generators(nets, sgd(nets.G_A, nets.G_B), translate(nets, pictures(1), pictures(2)))
    assert all(stats[name] == 0 for name in ("cycle_A", "cycle_B", "identity_A", "identity_B"))
    assert stats["loss_G"] == stats["loss_G_A"] + stats["loss_G_B"] > 0


def test_a_generators_step_moves_both_generators_and_leaves_the_discriminators():
    nets = build()
    before = copy.deepcopy(nets)
    stats = update_generators(nets, sgd(nets.G_A, nets.G_B), translate(nets, pictures(1), pictures(2)))
    for net in (nets.D_A, nets.D_B):
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
    for net, old in zip(nets, before):
        same = [torch.equal(p, q) for p, q in zip(net.parameters(), old.parameters())]
        # A bias right before an instance norm is subtracted again, so it may stand still; no weight may.
        moved = [not s for s, p in zip(same, net.parameters()) if p.dim() == 4]
        assert all(moved) if net in (nets.G_A, nets.G_B) else all(same)
    assert all(value.dim() == 0 and not value.requires_grad for value in stats.values())


def test_each_term_alone_reaches_both_generators():
    """Which generators get a gradient if one term is left of the sum."""
    plain = adversarial_loss("lsgan")
    nothing = plain._replace(g=lambda logits: logits.sum() * 0)
    off = {"lambda_A": 0.0, "lambda_B": 0.0, "lambda_identity": 0.0}
    cases = {
        "cycle from A": (nothing, off | {"lambda_A": 1.0}, (True, True)),
        "cycle from B": (nothing, off | {"lambda_B": 1.0}, (True, True)),
        "adversarial": (plain, off, (True, True)),
        "nothing": (nothing, off, (False, False)),
    }
    for name, (loss, weights, expected) in cases.items():
        nets = build()
        update_generators(nets, sgd(nets.G_A, nets.G_B), translate(nets, pictures(1), pictures(2)), loss, **weights)
        got = tuple(any(g.abs().max() > 0 for g in gradients(net)) for net in (nets.G_A, nets.G_B))
        assert got == expected, name


def test_the_sum_has_the_documented_weights():
    def face(before, after):
        return (before.mean() - after.mean()).abs() + 1

    nets = build()
    weights = {"lambda_A": 3.0, "lambda_B": 7.0, "lambda_identity": 0.25, "lambda_face": 2.0}
    cycle = translate(nets, pictures(1), pictures(2))
    s = update_generators(nets, sgd(nets.G_A, nets.G_B), cycle, face=face, **weights)
    expected = s["loss_G_A"] + s["loss_G_B"] + 3 * s["cycle_A"] + 7 * s["cycle_B"]
    expected += 0.25 * (7 * s["identity_A"] + 3 * s["identity_B"]) + 2 * (s["face_A"] + s["face_B"])
    assert s["loss_G"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert s["face_A"].item() == pytest.approx(face(cycle.real_A, cycle.fake_B).item(), rel=1e-6)
    assert s["face_B"].item() == pytest.approx(face(cycle.real_B, cycle.fake_A).item(), rel=1e-6)


def test_the_face_term_pulls_the_output_towards_the_input():
    def face(before, after):
        return (before.mean((2, 3)) - after.mean((2, 3))).square().mean()  # of colours: the simplest embedding there is

    def distances(lambda_face):
        nets, real_A, real_B = build(), pictures(1) * 0.2 + 0.6, pictures(2) * 0.2 - 0.6
        opt_G = sgd(nets.G_A, nets.G_B, lr=0.02)
        off = {"lambda_A": 0.0, "lambda_B": 0.0, "lambda_identity": 0.0}
        for _ in range(8):
            cycle = translate(nets, real_A, real_B, identity=False)
            stats = update_generators(nets, opt_G, cycle, face=face, lambda_face=lambda_face, **off)
        assert ("face_A" in stats) == (lambda_face > 0)
        return [face(cycle.real_A, cycle.fake_B).item(), face(cycle.real_B, cycle.fake_A).item()]

    for with_term, without in zip(distances(10.0), distances(0.0)):
        assert with_term < 0.5 * without


def test_a_discriminators_step_moves_both_discriminators_only():
    nets = build()
    before = copy.deepcopy(nets)
    cycle = translate(nets, pictures(1), pictures(2))
    fakes = cycle.fake_A, cycle.fake_B  # with their graphs: the step has to cut them off
    stats = update_discriminators(nets, sgd(nets.D_A, nets.D_B), cycle.real_A, cycle.real_B, *fakes)
    assert all(p.grad is None for net in (nets.G_A, nets.G_B) for p in net.parameters())
    for net, old in zip(nets[2:], before[2:]):
        assert all(not torch.equal(p, q) for p, q in zip(net.parameters(), old.parameters()) if p.dim() == 4)
    assert stats["loss_D"] == stats["loss_D_A"] + stats["loss_D_B"]
    logits = before.D_A(cycle.real_B), before.D_A(cycle.fake_B)  # D_A judges pictures of B
    expected = ((logits[0] - 1).square().mean() + logits[1].square().mean()) / 2
    assert stats["loss_D_A"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert stats["logits_real_A"].item() == pytest.approx(logits[0].mean().item(), rel=1e-4, abs=1e-6)
    assert stats["logits_fake_A"].item() == pytest.approx(logits[1].mean().item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", PATCH_LOSSES)
def test_discriminators_learn_under_every_loss(name):
    nets, loss = build(), patch_loss(name)
    opt_D = torch.optim.Adam(itertools.chain(nets.D_A.parameters(), nets.D_B.parameters()), 2e-3, (0.5, 0.999))
    real_A, real_B, fake_A, fake_B = pictures(1), pictures(2), pictures(3) * 0.3, pictures(4) * 0.3

    def lipschitz(D, real, fake):  # a picture's value is the mean over its patches
        return 10 * gradient_penalty(lambda x: D(x).mean((1, 2, 3)), real, fake)

    penalty = lipschitz if name == "wgangp" else None
    torch.manual_seed(4)
    for _ in range(20):
        stats = update_discriminators(nets, opt_D, real_A, real_B, fake_A, fake_B, loss, penalty)
    assert all(value.isfinite() for value in stats.values())
    assert ("penalty_B" in stats) == (penalty is not None)
    for letter in "AB":
        assert stats[f"logits_real_{letter}"] > stats[f"logits_fake_{letter}"]


def test_a_penalty_adds_to_the_gradient():
    found = []
    for weight in (0.0, 1.0):
        torch.manual_seed(5)
        nets = build()
        penalty = lambda D, real, fake, weight=weight: weight * gradient_penalty(D, real, fake)  # noqa: E731
        fakes = pictures(3), pictures(4)
        update_discriminators(nets, sgd(nets.D_A, nets.D_B), pictures(1), pictures(2), *fakes, penalty=penalty)
        found.append(gradients(nets.D_A, nets.D_B))
    assert apart(found[1], found[0]) > 1e-2


def test_relativistic_losses_are_refused():
    nets, pair = build(), adversarial_loss("relativistic")
    cycle = translate(nets, pictures(1), pictures(2))
    with pytest.raises(InputError, match="relativistic"):
        update_generators(nets, sgd(nets.G_A, nets.G_B), cycle, pair)
    with pytest.raises(InputError, match="relativistic"):
        update_discriminators(nets, sgd(nets.D_A, nets.D_B), *cycle[:4], pair)


def test_bfloat16_steps_stay_near_float32():
    """Autocast, each half of the step in a context of its own: the second step uses the weights that the first one made."""
    results = []
    for enabled in (False, True):
        nets = build()
        opt_G, opt_D = sgd(nets.G_A, nets.G_B), sgd(nets.D_A, nets.D_B)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                cycle = translate(nets, pictures(1), pictures(2))
                stats = update_generators(nets, opt_G, cycle)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                stats |= update_discriminators(nets, opt_D, *cycle[:4])
        assert all(x.dtype == torch.float32 for x in cycle) and all(x.dtype == torch.float32 for x in stats.values())
        results.append(stats)
    for name, exact in results[0].items():
        if name.startswith(("loss", "cycle", "identity")):
            assert results[1][name].item() == pytest.approx(exact.item(), rel=0.03), name


# -- the pool


def numbered(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def values(images):
    return images[:, 0, 0, 0].tolist()


def test_a_pool_returns_what_comes_until_it_is_full():
    pool = ImagePool(5)
    for start in (0, 2):
        batch = numbered(start, start + 1)
        assert torch.equal(pool.query(batch), batch)
    assert len(pool) == 4
    assert len(pool.query(numbered(4, 5, 6))) == 3 and len(pool) == 5


def test_a_full_pool_returns_an_old_picture_half_of_the_time_and_uniformly():
    size, rounds = 50, 6000
    pool = ImagePool(size, seed=1)
    pool.query(numbered(*range(size)))
    where, places = list(range(size)), []  # which picture stands where, followed from outside
    for i in range(size, size + rounds):
        (got,) = values(pool.query(numbered(i)))
        if got != i:
            place = where.index(got)  # fails for a picture that is not in the pool, or was given away before
            places.append(place)
            where[place] = i
    assert len(places) / rounds == pytest.approx(0.5, abs=4 * 0.5 / rounds**0.5)
    counts = torch.bincount(torch.tensor(places), minlength=size)
    chi = ((counts - len(places) / size) ** 2 / (len(places) / size)).sum().item()
    assert chi == pytest.approx(size - 1, abs=4 * (2 * (size - 1)) ** 0.5)


def test_a_pool_keeps_the_order_and_no_graph_and_copies():
    pool = ImagePool(2)
    batch = numbered(0, 1).requires_grad_()
    got = pool.query(batch)
    assert not got.requires_grad
    got.fill_(9)
    batch.data.fill_(9)
    seen = []
    for i in range(2, 30, 2):
        batch = numbered(i, i + 1)
        answer = values(pool.query(batch))
        batch.fill_(-1)  # what the caller does with its pictures afterwards is no matter
        for place, value in enumerate(answer):
            assert value in (i + place, *range(i + place))  # the new one in its own place, or one that came before
        seen += answer
    assert 9.0 in seen and set(seen) < set(map(float, range(30)))  # the 9 is picture 9, not what was written above
    assert {0.0, 1.0} <= set(seen)
    assert len(seen) == len(set(seen))  # nothing comes out twice


def test_a_pool_of_none_returns_everything():
    pool, batch = ImagePool(0), numbered(1, 2, 3)
    assert all(torch.equal(pool.query(batch), batch) for _ in range(20)) and len(pool) == 0
    with pytest.raises(InputError, match="pool=-1"):
        ImagePool(-1)


@pytest.mark.parametrize("before", [0, 3, 40])
def test_a_restored_pool_goes_on_exactly(tmp_path, before):
    pool = ImagePool(8, seed=3)
    for i in range(before):
        pool.query(numbered(i))
    torch.save(pool.state_dict(), tmp_path / "pool.pt")
    restored = ImagePool(8, seed=99)
    restored.query(numbered(*range(500, 520)))
    restored.load_state_dict(torch.load(tmp_path / "pool.pt", weights_only=True))
    torch.manual_seed(0)  # torch's own generator has no part in it
    for i in range(100, 160, 2):
        batch = numbered(i, i + 1)
        assert torch.equal(pool.query(batch), restored.query(batch))
        torch.rand(3)


def test_a_state_does_not_change_with_the_pool():
    pool = ImagePool(2, seed=3)
    pool.query(numbered(0, 1))
    state = pool.state_dict()
    for i in range(2, 20):
        pool.query(numbered(i))
    assert values(state["images"]) == [0, 1]
    assert torch.equal(state["generator"], ImagePool(2, seed=3).state_dict()["generator"])


def test_pools_refuse_what_does_not_fit():
    pool = ImagePool(4)
    pool.query(numbered(0, 1, 2))
    with pytest.raises(InputError, match="start a new pool"):
        pool.query(torch.zeros(1, 3, 4, 4))
    with pytest.raises(InputError, match="holds 3 pictures, the pool 2"):
        ImagePool(2).load_state_dict(pool.state_dict())
    for state in ({}, {"images": torch.zeros(2, 3)}, {"images": [1], "generator": torch.zeros(1)}):
        with pytest.raises(InputError, match="not the state"):
            pool.load_state_dict(state)
    with pytest.raises(InputError, match="undamaged"):
        pool.load_state_dict({"images": torch.zeros(1, 3, 2, 2), "generator": torch.zeros(7, dtype=torch.uint8)})
    assert values(pool.state_dict()["images"]) == [0, 1, 2]


# -- the learning rate


def test_the_rate_stays_and_then_falls_in_equal_steps():
    rates = [linear_decay(epoch, 100, 100) for epoch in range(200)]
    assert rates[:100] == [1.0] * 100
    falls = [a - b for a, b in itertools.pairwise(rates[99:])]
    assert falls == pytest.approx([1 / 101] * 100)
    assert rates[-1] == pytest.approx(1 / 101) and linear_decay(200, 100, 100) == 0 and linear_decay(300, 100, 100) == 0
    assert [linear_decay(epoch, 3, 0) for epoch in range(4)] == [1, 1, 1, 0]
    assert linear_decay(0, 0, 1) == 0.5
    for bad in ((-1, 1, 1), (0, -1, 1), (0, 0, 0)):
        with pytest.raises(InputError):
            linear_decay(*bad)
