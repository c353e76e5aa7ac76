"""StyleGAN2 and StyleGAN3 at tiny sizes: what they promise, whatever their weights."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from textbook import relative_error

from facegen.files import InputError
from facegen.models import stylegan2, stylegan3

TINY = {"synthesis_kwargs": {"channel_base": 256, "channel_max": 16}, "mapping_kwargs": {"num_layers": 2}}
TINY3 = {"mapping_kwargs": {"num_layers": 2}, "channel_base": 512, "channel_max": 16, "num_layers": 6}
RADIAL = {"conv_kernel": 1, "use_radial_filters": True}
ARCHITECTURES = ["skip", "resnet", "orig"]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def labels(n: int, classes: int) -> torch.Tensor | None:
    return torch.eye(classes)[torch.arange(n) % classes] if classes else None


def shaken(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random biases, noise strengths, average w and magnitudes: at their initial zeros and ones many mistakes do not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith(("bias", "noise_strength", "w_avg")):
                value.add_(torch.randn(value.shape, generator=generator) * 0.3)
            elif name.endswith("magnitude_ema"):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return net.eval()


def generator2(c_dim: int = 0, size: int = 16, channels: int = 3, seed: int = 0, **synthesis) -> stylegan2.Generator:
    torch.manual_seed(seed)
    kwargs = {**TINY, "synthesis_kwargs": {**TINY["synthesis_kwargs"], **synthesis}}
    return shaken(stylegan2.Generator(8, c_dim, 12, size, channels, **kwargs))


def generator3(c_dim: int = 0, size: int = 16, seed: int = 0, **kwargs) -> stylegan3.Generator:
    torch.manual_seed(seed)
    return shaken(stylegan3.Generator(8, c_dim, 12, size, 3, **{**TINY3, **kwargs}))


def discriminator(c_dim: int = 0, size: int = 16, channels: int = 3, seed: int = 1, **kwargs) -> stylegan2.Discriminator:
    torch.manual_seed(seed)
    return shaken(stylegan2.Discriminator(c_dim, size, channels, channel_base=256, channel_max=16, **kwargs))


GENERATORS = {
    "2": generator2,
    "2 conditional": lambda: generator2(c_dim=3),
    "2 resnet": lambda: generator2(architecture="resnet"),
    "2 orig": lambda: generator2(architecture="orig"),
    "3-T": generator3,
    "3-R conditional": lambda: generator3(c_dim=3, **RADIAL),
}
each_generator = pytest.mark.parametrize("name", list(GENERATORS))


def pictures(G: torch.nn.Module, n: int = 4, seed: int = 0, **kwargs) -> torch.Tensor:
    with torch.no_grad():
        return G(noise(n, G.z_dim, seed=seed), labels(n, G.c_dim), noise_mode="const", **kwargs)


# -- shapes, types, settings


@each_generator
def test_a_generator_makes_pictures_and_rebuilds_from_its_settings(name):
    G = GENERATORS[name]()
    images = pictures(G)
    assert images.shape == (4, 3, 16, 16) and images.dtype == torch.float32 and bool(images.isfinite().all())
    assert images.std(dim=0).mean() > 1e-3  # four seeds, four pictures
    assert (G.z_dim, G.w_dim, G.img_resolution, G.img_channels) == (8, 12, 16, 3)
    with torch.no_grad():
        ws = G.mapping(noise(2, 8), labels(2, G.c_dim))
        assert ws.shape == (2, G.num_ws, 12) and torch.equal(ws[:, 0], ws[:, -1])
        two = G.synthesis(ws, noise_mode="const")
    assert relative_error(two, pictures(G, 2)) < 1e-6
    again = type(G)(**json.loads(json.dumps(G.settings)))
    again.load_state_dict(G.state_dict(), strict=True)
    assert torch.equal(pictures(again.eval()), images)


def test_generators_have_one_style_per_layer():
    assert [generator2(size=size).num_ws for size in (4, 8, 16, 64)] == [2, 4, 6, 10]
    assert [generator2(architecture=a).num_ws for a in ARCHITECTURES] == [6, 6, 6]
    assert [generator3(num_layers=n).num_ws for n in (6, 10)] == [8, 12]


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_discriminator_judges_pictures(architecture, c_dim):
    D = discriminator(c_dim, architecture=architecture)
    images, c = noise(4, 3, 16, 16), labels(4, c_dim)
    with torch.no_grad():
        logits = D(images, c)
        assert logits.shape == (4, 1) and logits.std() > 1e-3
        if c_dim:
            assert (D(images, c.roll(1, 0)) - logits).abs().max() > 1e-3
        again = type(D)(**json.loads(json.dumps(D.settings)))
        again.load_state_dict(D.state_dict(), strict=True)
        assert torch.equal(again.eval()(images, c), logits)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_pictures_and_pictures_with_an_alpha_channel(channels):
    images = pictures(generator2(channels=channels))
    assert images.shape == (4, channels, 16, 16)
    assert discriminator(channels=channels)(images).shape == (4, 1)


@each_generator
def test_nothing_is_float64_and_the_layout_does_not_leak(name):
    G = GENERATORS[name]()
    assert {value.dtype for value in G.state_dict().values()} == {torch.float32}
    assert {buffer.dtype for buffer in G.buffers()} == {torch.float32}
    assert {value.dtype for value in discriminator(3).state_dict().values()} == {torch.float32}


@each_generator
def test_one_picture_is_the_same_alone_and_in_a_batch(name):
    G = GENERATORS[name]()
    z, c = noise(4, 8), labels(4, G.c_dim)
    with torch.no_grad():
        four = G(z, c, noise_mode="const")
        for k in range(4):
            one = G(z[k : k + 1], None if c is None else c[k : k + 1], noise_mode="const")
            assert relative_error(one, four[k : k + 1]) < 1e-5


@each_generator
def test_copies_and_saved_weights_make_the_same_pictures(name, tmp_path):
    G = GENERATORS[name]()
    images = pictures(G)  # before the copy: whatever a forward pass keeps must not stand in the way
    twin = copy.deepcopy(G)
    torch.save(G.state_dict(), tmp_path / "weights.pt")
    with torch.no_grad():
        for parameter in G.parameters():
            parameter.zero_()
    assert torch.equal(pictures(twin), images)
    G.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(pictures(G), images)


@each_generator
def test_networks_can_be_built_without_memory(name):
    G = GENERATORS[name]()
    with torch.device("meta"):
        empty = type(G)(**G.settings)
        D = stylegan2.Discriminator(0, 1024, 3)  # 29 million parameters
    assert all(value.is_meta for value in [*empty.state_dict().values(), *D.state_dict().values()])
    assert {k: v.shape for k, v in empty.state_dict().items()} == {k: v.shape for k, v in G.state_dict().items()}
    empty.load_state_dict(G.state_dict(), strict=True, assign=True)
    assert torch.equal(pictures(empty.eval()), pictures(G))


def test_the_published_sizes_have_the_published_numbers_of_parameters():
    """At 1024 pixels 30.37 million for StyleGAN2's generator and 29.01 million for its discriminator."""
    with torch.device("meta"):
        G, D = stylegan2.Generator(512, 0, 512, 1024, 3), stylegan2.Discriminator(0, 1024, 3)
    assert [sum(p.numel() for p in net.parameters()) for net in (G, D)] == [30_370_060, 29_012_513]


# -- mapping


@each_generator
def test_truncation_pulls_towards_the_average(name):
    G = GENERATORS[name]()
    z, c, average = noise(3, 8), labels(3, G.c_dim), G.mapping.w_avg
    with torch.no_grad():
        w = G.mapping(z, c)
        for psi in (0.7, 0.0, -1.0, 1.5):
            wanted = average + psi * (w - average)
            assert torch.allclose(G.mapping(z, c, truncation_psi=psi), wanted, atol=1e-6)
            part = G.mapping(z, c, truncation_psi=psi, truncation_cutoff=3)
            assert torch.allclose(part[:, :3], wanted[:, :3], atol=1e-6) and torch.equal(part[:, 3:], w[:, 3:])
        via_ws = G.synthesis(G.mapping(z, c, truncation_psi=0.5, truncation_cutoff=2), noise_mode="const")
        assert relative_error(G(z, c, truncation_psi=0.5, truncation_cutoff=2, noise_mode="const"), via_ws) < 1e-6


@each_generator
def test_the_length_of_z_does_not_count(name):
    G, z = GENERATORS[name](), noise(3, 8)
    with torch.no_grad():
        assert torch.allclose(G.mapping(z, labels(3, G.c_dim)), G.mapping(7 * z, labels(3, G.c_dim)), atol=1e-5)


@each_generator
def test_the_average_style_moves_only_when_asked(name):
    G = GENERATORS[name]().train()
    z, c, before = noise(16, 8), labels(16, G.c_dim), G.mapping.w_avg.clone()
    with torch.no_grad():
        w = G.mapping(z, c)[:, 0]
        assert torch.equal(G.mapping.w_avg, before)
        G.mapping(z, c, update_emas=True)
    beta = G.mapping.w_avg_beta
    assert beta == (0.998 if isinstance(G, stylegan3.Generator) else 0.995)
    assert torch.allclose(G.mapping.w_avg, beta * before + (1 - beta) * w.mean(0), atol=1e-6)
    assert not G.mapping.w_avg.requires_grad


@pytest.mark.parametrize("kwargs", [{"embed_features": 5}, {"layer_features": 7}, {"activation": "relu"}, {"num_layers": 1}])
def test_mapping_options(kwargs):
    G = stylegan2.Generator(8, 3, 12, 8, 3, mapping_kwargs={"num_layers": 3, **kwargs}, synthesis_kwargs={"channel_max": 8})
    with torch.no_grad():
        assert G(noise(2, 8), labels(2, 3)).shape == (2, 3, 8, 8)
    assert len([name for name, _ in G.mapping.named_children() if name.startswith("fc")]) == kwargs.get("num_layers", 3)


# -- noise


def test_noise_modes():
    G, ws = generator2(), noise(2, 6, 12)
    with torch.no_grad():
        torch.manual_seed(0)
        random = [G.synthesis(ws, noise_mode="random") for _ in range(2)]
        torch.manual_seed(0)
        assert torch.equal(G.synthesis(ws), random[0])  # the default is random, and follows the seed
        const, none = G.synthesis(ws, noise_mode="const"), G.synthesis(ws, noise_mode="none")
        assert (random[0] - random[1]).abs().max() > 1e-2
        assert torch.equal(const, G.synthesis(ws, noise_mode="const"))
        assert torch.equal(none, G.synthesis(ws, noise_mode="none"))
        assert min((const - none).abs().max(), (const - random[0]).abs().max()) > 1e-2
        same = G.synthesis(ws[:1].expand(2, -1, -1))  # random noise differs between the pictures of a batch
        assert (same[0] - same[1]).abs().max() > 1e-2
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
        assert torch.equal(G.synthesis(ws, noise_mode="const"), none)
    silent = generator2(use_noise=False)
    assert not [name for name in silent.state_dict() if "noise" in name]
    assert torch.equal(pictures(silent), pictures(silent))


# -- discriminator


def test_minibatch_groups_are_dealt_like_cards():
    D, images = discriminator(), noise(8, 3, 16, 16)
    with torch.no_grad():
        eight = D(images)
        for hand in (slice(0, 8, 2), slice(1, 8, 2)):  # two groups of four: 0 2 4 6 and 1 3 5 7
            assert relative_error(D(images[hand]), eight[hand]) < 1e-5
        assert relative_error(D(images[:4]), eight[:4]) > 1e-4
        alone = discriminator(epilogue_kwargs={"mbstd_num_channels": 0})
        assert relative_error(alone(images[:1]), alone(images)[:1]) < 1e-5
        whole = discriminator(epilogue_kwargs={"mbstd_group_size": None, "mbstd_num_channels": 2})
        assert whole(images[:6]).shape == (6, 1)


def test_frozen_layers_do_not_learn():
    D = discriminator(block_kwargs={"freeze_layers": 3})
    D(noise(4, 3, 16, 16)).sum().backward()
    still = {name.rsplit(".", 1)[0] for name, p in D.named_parameters() if p.grad is None}
    assert still == {"b16.fromrgb", "b16.conv0", "b16.conv1"}
    assert set(D.state_dict()) == set(discriminator().state_dict())


# -- StyleGAN3


@pytest.mark.parametrize("kwargs", [{}, RADIAL])
def test_translating_the_input_translates_the_picture(kwargs):
    """Karras et al. 2021, equation 1: g(t(z)) = t(g(z)), here for shifts of whole pixels, to 45 dB and better."""
    G = generator3(size=32, num_layers=8, **kwargs)
    base = pictures(G, 2)
    for dx, dy in ((5, 0), (0, -3), (2, 4)):
        # The transform says where a point of the picture is taken from: minus dx moves the picture to the right.
        G.synthesis.input.transform.copy_(torch.tensor([[1, 0, -dx / 32], [0, 1, -dy / 32], [0, 0, 1.0]]))
        moved = pictures(G, 2).roll((-dy, -dx), dims=(2, 3))[..., 5:-5, 5:-5]
        error = (moved - base[..., 5:-5, 5:-5]).square().mean()
        peak = base.amax() - base.amin()
        assert 10 * math.log10(peak.item() ** 2 / error.item()) > 45
        assert (base.roll((dy, dx), dims=(2, 3)) - base).abs().mean() > 0.01 * peak  # it did move


def test_rotating_the_input_rotates_the_picture_of_a_radial_network():
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    decibels = {}
    for name, kwargs in (("R", RADIAL), ("T", {})):
        G = generator3(size=32, num_layers=8, **kwargs)
        base = pictures(G, 2)
        G.synthesis.input.transform.copy_(quarter)
        turned = pictures(G, 2)
        errors = [(base.rot90(k, dims=(2, 3)) - turned)[..., 5:-5, 5:-5].square().mean().item() for k in (1, -1)]
        decibels[name] = 10 * math.log10((base.amax() - base.amin()).item() ** 2 / min(errors))
    assert decibels["R"] > 45 and decibels["T"] < 30


def test_w_moves_the_picture_as_the_user_does():
    """Appendix F: w chooses a rotation and a shift, of any length, applied after the user's transform."""
    G = generator3(size=32)
    waves = G.synthesis.input
    users = torch.tensor([[0.9, 0.1, 0.2], [-0.2, 1.1, -0.1], [0, 0, 1]])
    cos, sin, x, y = 0.6, 0.8, 0.3, -0.4
    rotate = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    shift = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]])
    with torch.no_grad():
        waves.affine.weight.zero_()
        waves.affine.bias.copy_(torch.tensor([cos, sin, x, y]) * 7)
        waves.transform.copy_(users)
        by_w = pictures(G, 2)
        waves.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        waves.transform.copy_(rotate @ shift @ users)
        assert relative_error(by_w, pictures(G, 2)) < 1e-4
        waves.transform.copy_(users)
        assert relative_error(by_w, pictures(G, 2)) > 1e-2


def test_magnitudes_are_followed_only_when_asked():
    G = generator3(magnitude_ema_beta=0.9).train()
    before = {k: v.clone() for k, v in G.state_dict().items() if k.endswith("magnitude_ema")}
    assert len(before) == 7
    with torch.no_grad():
        pictures(G)
        assert all(torch.equal(G.state_dict()[k], v) for k, v in before.items())
        inputs = {}
        for name in before:
            layer = G.get_submodule(name.removesuffix(".magnitude_ema"))
            layer.register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0].square().mean()}))
        pictures(G, update_emas=True)
    for name, old in before.items():
        new = G.state_dict()[name]
        assert new != old and torch.allclose(new, 0.9 * old + 0.1 * inputs[name]), name
    assert generator3().settings["magnitude_ema_beta"] == 0.999


# -- derivatives


def parameters_without_gradient(net: torch.nn.Module) -> list[str]:
    return [name for name, p in net.named_parameters() if p.grad is None or not bool((p.grad != 0).any())]


@each_generator
def test_every_parameter_of_a_generator_learns(name):
    G = GENERATORS[name]().train()
    images = G(noise(4, 8), labels(4, G.c_dim))
    (images * noise(*images.shape, seed=1)).sum().backward()
    assert parameters_without_gradient(G) == []
    assert all(bool(p.grad.isfinite().all()) for p in G.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_of_a_discriminator_learns(architecture):
    D = discriminator(3, architecture=architecture).train()
    torch.nn.functional.softplus(D(noise(4, 3, 16, 16), labels(4, 3))).mean().backward()
    assert parameters_without_gradient(D) == []


def agrees_with_finite_differences(loss, net: torch.nn.Module) -> None:
    """The gradient of loss() with regard to all weights, along a random direction, in float64.

    The step is tiny, so that no activation crosses a kink: there the penalty of a piecewise linear network jumps.
    """
    parameters = [p for p in net.parameters() if p.requires_grad]
    direction = [noise(*p.shape, seed=k).double() for k, p in enumerate(parameters)]
    gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
    slope = sum((g * d).sum().item() for g, d in zip(gradients, direction) if g is not None)
    values, step = [], 1e-9
    for sign in (1, -2, 1):
        with torch.no_grad():
            for p, d in zip(parameters, direction):
                p.add_(d, alpha=sign * step)
        values.append(loss().item())
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_r1_has_the_right_gradient(architecture):
    """Mescheder et al. 2018: the squared gradient of the logits with regard to the real pictures, so a second derivative."""
    D = discriminator(3, architecture=architecture).double()
    images = noise(4, 3, 16, 16).double().requires_grad_()

    def penalty():
        (gradient,) = torch.autograd.grad(D(images, labels(4, 3)).sum(), images, create_graph=True)
        return gradient.square().sum(dim=(1, 2, 3)).mean()

    assert penalty() > 0
    agrees_with_finite_differences(penalty, D)


@pytest.mark.parametrize("name", ["2", "2 resnet", "3-T", "3-R conditional"])
def test_path_length_has_the_right_gradient(name):
    """Karras et al. 2020, section 3.2: the length of the gradient of <picture, noise> with regard to w."""
    G = GENERATORS[name]().double()
    ws = noise(2, G.num_ws, 12).double().requires_grad_()
    y = noise(2, 3, 16, 16, seed=1).double() / 16

    def penalty():
        (gradient,) = torch.autograd.grad((G.synthesis(ws, noise_mode="const") * y).sum(), ws, create_graph=True)
        return (gradient.square().sum(2).mean(1).sqrt() - 0.1).square().mean()

    agrees_with_finite_differences(penalty, G.synthesis)


# -- other types


@each_generator
def test_bfloat16_features_make_nearly_the_same_picture(name):
    G = GENERATORS[name]()
    full, half = pictures(G), pictures(G, dtype=torch.bfloat16)
    assert half.dtype == torch.float32  # the picture itself is added up in the weights' type
    assert 0 < relative_error(half, full) < 0.06
    G.train()
    G(noise(4, 8), labels(4, G.c_dim), dtype=torch.bfloat16).square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and bool(p.grad.isfinite().all()) for p in G.parameters())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_features_make_nearly_the_same_logits(architecture):
    D, images = discriminator(architecture=architecture), noise(4, 3, 16, 16)
    with torch.no_grad():
        full, half = D(images), D(images, dtype=torch.bfloat16)
    assert half.dtype == torch.float32 and 0 < (half - full).abs().max() < 0.02


@pytest.mark.parametrize("name", ["2", "3-T", "3-R conditional"])
def test_float64_is_more_exact_than_float32(name):
    G = GENERATORS[name]()
    images, z, c = pictures(G), noise(4, 8).double(), labels(4, G.c_dim)
    with torch.no_grad():
        exact = G.double()(z, c, noise_mode="const")
    assert exact.dtype == torch.float64 and 1e-9 < relative_error(images, exact) < 1e-5


# -- refusals


def refused(call) -> str:
    with pytest.raises(InputError) as refusal:
        call()
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("make", [generator2, generator3])
def test_wrong_calls_are_refused_in_one_line(make):
    G = make(c_dim=3)
    z, c = noise(2, 8), labels(2, 3)
    assert "z" in refused(lambda: G(noise(2, 9), c))
    assert "z" in refused(lambda: G(noise(8), c))
    assert "3" in refused(lambda: G(z))  # a conditional network without a class
    assert "3" in refused(lambda: G(z, labels(2, 4)))
    if make is generator2:  # StyleGAN3 has no noise
        assert "noise_mode" in refused(lambda: G(z, c, noise_mode="fixed"))
    assert "ws" in refused(lambda: G.synthesis(noise(2, 12)))
    assert "ws" in refused(lambda: G.synthesis(noise(2, G.num_ws + 1, 12)))


def test_wrong_pictures_and_labels_are_refused_in_one_line():
    D = discriminator(3)
    refused(lambda: D(noise(4, 3, 32, 32), labels(4, 3)))
    refused(lambda: D(noise(4, 1, 16, 16), labels(4, 3)))
    refused(lambda: D(noise(3, 16, 16), labels(4, 3)))
    refused(lambda: D(noise(4, 3, 16, 16)))
    refused(lambda: D(noise(4, 3, 16, 16), labels(4, 2)))
    refused(lambda: D(noise(6, 3, 16, 16), labels(6, 3)))  # six pictures, groups of four


WRONG = {
    "no power of two": lambda: stylegan2.Generator(8, 0, 8, 48, 3),
    "too small": lambda: stylegan2.Generator(8, 0, 8, 2, 3),
    "no power of two in D": lambda: stylegan2.Discriminator(0, 48, 3),
    "unknown architecture": lambda: generator2(architecture="dense"),
    "unknown architecture in D": lambda: discriminator(architecture="dense"),
    "unknown activation": lambda: generator2(activation="gelu"),
    "unknown activation in D": lambda: discriminator(block_kwargs={"activation": "gelu"}),
    "unknown option": lambda: generator2(fused_modconv_default="inference_only"),
    "unknown mapping option": lambda: stylegan2.Generator(8, 0, 8, 16, 3, mapping_kwargs={"layers": 2}),
    "unknown block option": lambda: discriminator(block_kwargs={"freeze": 2}),
    "unknown epilogue option": lambda: discriminator(epilogue_kwargs={"group": 2}),
    "unknown mapping option in 3": lambda: generator3(mapping_kwargs={"layers": 2}),
    "kernel of two": lambda: generator3(conv_kernel=2),
    "more critical layers than layers": lambda: generator3(num_layers=2, num_critical=3),
}


@pytest.mark.parametrize("what", list(WRONG))
def test_wrong_settings_are_refused_in_one_line(what):
    refused(WRONG[what])


# -- how people call networks


@pytest.mark.parametrize("name", ["2 conditional", "2 resnet", "3-T", "3-R conditional"])
def test_autocast_changes_nothing(name):
    G = GENERATORS[name]()
    z, c = noise(3, 8), labels(3, G.c_dim)
    plain = G(z, c, truncation_psi=0.5, noise_mode="const", update_emas=True)
    again = GENERATORS[name]()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(again(z, c, truncation_psi=0.5, noise_mode="const", update_emas=True), plain)
        D = discriminator(c_dim=G.c_dim)
        inside = D(plain, c)
    assert torch.equal(inside, D(plain, c))
    assert torch.equal(again.mapping.w_avg, G.mapping.w_avg)


@pytest.mark.parametrize("name", ["2", "3-T"])
def test_numpys_float64_noise_is_taken(name):
    G, z = GENERATORS[name](), noise(2, 8)
    assert torch.equal(G(z.double(), noise_mode="const"), G(z, noise_mode="const"))
    assert torch.equal(G.synthesis(G.mapping(z).double(), noise_mode="const"), G(z, noise_mode="const"))


@pytest.mark.parametrize("name", ["2", "2 resnet", "3-T", "3-R conditional"])
def test_networks_made_in_inference_mode_work_in_and_out_of_it(name):
    usual = pictures(GENERATORS[name]())
    with torch.inference_mode():
        G = GENERATORS[name]()
        assert torch.equal(pictures(G), usual)
    with torch.no_grad():
        assert torch.equal(pictures(G), usual)


@pytest.mark.parametrize("name", ["2", "3-T", "3-R conditional"])
def test_torch_compile_understands_the_networks(name):
    G = GENERATORS[name]()
    with torch.no_grad():
        usual = pictures(G)
        compiled = torch.compile(G, backend="eager")
        z, c = noise(4, 8), labels(4, G.c_dim)
        assert relative_error(compiled(z, c, noise_mode="const"), G(z, c, noise_mode="const")) < 1e-6
    assert usual.isfinite().all()


@pytest.mark.parametrize("name", ["2 conditional", "3-T"])
def test_an_empty_batch_makes_no_pictures(name):
    G = GENERATORS[name]()
    c = torch.zeros(0, 3) if G.c_dim else None
    empty = G(torch.zeros(0, 8), c)
    assert empty.shape == (0, 3, 16, 16)
    assert discriminator(c_dim=G.c_dim)(empty, c).shape == (0, 1)


def test_frozen_layers_stay_frozen_however_the_rest_is_toggled():
    D = discriminator(block_kwargs={"freeze_layers": 2})
    D.requires_grad_(False)
    D.requires_grad_(True)
    frozen = [name for name, p in D.named_parameters() if not p.requires_grad]
    assert frozen == ["b16.fromrgb.weight", "b16.fromrgb.bias", "b16.conv0.weight", "b16.conv0.bias"]


@pytest.mark.parametrize("name", ["2", "3-T"])
def test_only_the_highest_resolutions_use_half_precision_if_so_built(name):
    make = {"2": lambda n: generator2(num_fp16_res=n), "3-T": lambda n: generator3(size=64, num_fp16_res=n)}[name]
    z = noise(2, 8)
    full = make(0)(z, noise_mode="const")
    error = {n: relative_error(make(n)(z, noise_mode="const", dtype=torch.bfloat16), full) for n in (0, 1)}
    assert 0 < error[1] < error[0] < 0.2


def test_what_cannot_be_meant_is_refused_in_one_line():
    G, D = generator2(c_dim=3), discriminator(c_dim=3)
    z, c, img = noise(4, 8), labels(4, 3), noise(4, 3, 16, 16)
    no_average = stylegan2.Generator(8, 0, 12, 16, 3, {"num_layers": 1, "w_avg_beta": None}, TINY["synthesis_kwargs"])
    assert "4 noise vectors z and 2 labels" in refused(lambda: G(z, c[:2]))
    assert "needs z" in refused(lambda: G(None, c))
    assert "truncation_cutoff=-1" in refused(lambda: G(z, c, truncation_psi=0.5, truncation_cutoff=-1))
    assert "no average" in refused(lambda: no_average(z, truncation_psi=0.5))
    assert "4 pictures and 1 labels" in refused(lambda: D(img, c[:1]))
    assert "torch.uint8" in refused(lambda: D(torch.zeros(4, 3, 16, 16, dtype=torch.uint8), c))
    assert "8, 16" in refused(lambda: stylegan2.Discriminator(0, 4, 3))
    assert "freeze_layers=-1" in refused(lambda: discriminator(block_kwargs={"freeze_layers": -1}))
    assert "does not divide" in refused(lambda: discriminator(epilogue_kwargs={"mbstd_num_channels": 5}))
    assert "groups of 0" in refused(lambda: discriminator(epilogue_kwargs={"mbstd_group_size": 0}))
