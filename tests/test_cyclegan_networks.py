"""The picture-to-picture networks: sizes, receptive fields, norms, initialisation, refusals, files."""

import pytest
import torch
from torch import nn

from facegen.files import InputError
from facegen.models import cyclegan, pretrained


def million(net):
    return round(sum(p.numel() for p in net.parameters()) / 1e6, 3)


def test_the_papers_networks_have_the_published_numbers_of_parameters():
    """The numbers, in millions, that the authors' training script prints for its defaults."""
    with torch.device("meta"):
        assert million(cyclegan.ResnetGenerator()) == 11.378
        assert million(cyclegan.ResnetGenerator(blocks=6)) == 7.838
        assert million(cyclegan.UnetGenerator(downs=8, norm="batch", dropout=True)) == 54.414
        assert million(cyclegan.UnetGenerator(downs=7, norm="batch")) == 41.829
        assert million(cyclegan.PatchDiscriminator()) == 2.765
        assert million(cyclegan.PatchDiscriminator(6, norm="batch")) == 2.769


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
def test_one_logit_sees_exactly_its_receptive_field(layers):
    side = cyclegan.receptive_field(layers)
    assert side == {1: 16, 2: 34, 3: 70, 4: 142, 5: 286}[layers]
    net = cyclegan.PatchDiscriminator(1, 1, layers)
    assert net.receptive_field == side
    # Without norms, whose means reach everywhere, and with positive weights, so that nothing cancels.
    plain = nn.Sequential(*(m for m in net.model if isinstance(m, nn.Conv2d)))
    for p in plain.parameters():
        nn.init.ones_(p)
    x = torch.ones(1, 1, 2 * side, 2 * side, requires_grad=True)
    y = plain(x)
    middle = y.shape[-1] // 2
    (gradient,) = torch.autograd.grad(y[0, 0, middle, middle], x)
    seen = gradient[0, 0].nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [side, side]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_map_of_logits_has_the_documented_size(layers):
    net = cyclegan.PatchDiscriminator(3, 4, layers)
    for height, width in ((96, 64), (49, 51), (3 * 2**layers, 256)):
        assert net(torch.randn(1, 3, height, width)).shape == (1, 1, height // 2**layers - 2, width // 2**layers - 2)
    with pytest.raises(InputError, match=f"at least {3 * 2**layers}x"):
        net(torch.randn(1, 3, 3 * 2**layers - 1, 64))


def test_a_generator_keeps_the_size_and_rounds_up_to_a_multiple_of_four():
    G = cyclegan.ResnetGenerator(3, 4, 2)
    for size, made in (((32, 48), (32, 48)), ((5, 5), (8, 8)), ((30, 33), (32, 36))):
        y = G(torch.randn(2, 3, *size))
        assert y.shape == (2, 3, *made) and y.abs().max() <= 1


@pytest.mark.parametrize("dropout", [False, True])
def test_instance_norm_lets_no_picture_see_another(dropout):
    """Which makes it exact to pass two domains' pictures as one batch, in training mode too."""
    nets = [cyclegan.ResnetGenerator(3, 4, 2), cyclegan.UnetGenerator(3, 4, 5), cyclegan.PatchDiscriminator(3, 4)]
    x = torch.randn(3, 3, 64, 64)
    for net in nets:
        together, alone = net.train()(x), torch.cat([net(picture[None]) for picture in x])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    batch = cyclegan.ResnetGenerator(3, 4, 2, "batch", dropout).train()
    assert (batch(x)[:1] - batch(x[:1])).abs().max() > 1e-3


def test_instance_norm_leaves_nothing_in_a_file_and_batch_norm_replaces_biases():
    inst, batch = cyclegan.ResnetGenerator(3, 4, 2), cyclegan.ResnetGenerator(3, 4, 2, "batch")
    assert not any("running" in name for name in inst.state_dict())
    assert all(m.bias is not None for m in inst.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)))
    assert [name for name, m in batch.named_modules() if isinstance(m, nn.Conv2d) and m.bias is not None] == ["model.19"]


def test_weights_start_as_in_the_paper():
    torch.manual_seed(0)
    for net in (cyclegan.ResnetGenerator(3, 32, 2), cyclegan.UnetGenerator(3, 8, 5), cyclegan.PatchDiscriminator(3, 16)):
        weights = torch.cat([p.flatten() for name, p in net.named_parameters() if name.endswith("weight")])
        assert abs(weights.std().item() - 0.02) < 2e-4 and abs(weights.mean().item()) < 2e-4
        assert all((p == 0).all() for name, p in net.named_parameters() if name.endswith("bias"))


def test_dropout_is_noise_in_training_only():
    x = torch.randn(1, 3, 64, 64)
    for net in (cyclegan.ResnetGenerator(3, 4, 2, dropout=True), cyclegan.UnetGenerator(3, 4, 6, dropout=True)):
        assert not torch.equal(net.train()(x), net(x))
        assert torch.equal(net.eval()(x), net(x))


def test_a_u_net_of_one_picture_works_down_to_one_pixel():
    G = cyclegan.UnetGenerator(3, 2, 7).train()
    x = torch.randn(1, 3, 128, 128, requires_grad=True)
    G(x).square().mean().backward()  # instance norm has nothing to normalise at 1x1, and must not be there
    assert x.grad.abs().max() > 0 and torch.isfinite(x.grad).all()
    with pytest.raises(InputError, match="multiples of 128"):
        G(torch.randn(1, 3, 128, 192))


def test_channels_last_and_bfloat16():
    x = torch.randn(2, 3, 32, 32)
    for net in (cyclegan.ResnetGenerator(3, 8, 2), cyclegan.PatchDiscriminator(3, 8, 2)):
        plain = net(x)
        torch.testing.assert_close(net.to(memory_format=torch.channels_last)(x), plain, rtol=1e-4, atol=1e-5)
        with torch.autocast("cpu", torch.bfloat16):
            assert (net(x).float() - plain).abs().max() < 0.05 * plain.abs().max() + 0.02


@pytest.mark.parametrize(
    "make",
    [
        lambda: cyclegan.ResnetGenerator(blocks=0),
        lambda: cyclegan.ResnetGenerator(norm="layer"),
        lambda: cyclegan.ResnetGenerator(width="64"),
        lambda: cyclegan.UnetGenerator(downs=4),
        lambda: cyclegan.UnetGenerator(out_channels=0),
        lambda: cyclegan.PatchDiscriminator(layers=0),
        lambda: cyclegan.PixelDiscriminator(img_channels=True),
        lambda: cyclegan.receptive_field(0),
        lambda: cyclegan.ResnetGenerator(3, 2, 1)(torch.zeros(1, 3, 4, 64)),
        lambda: cyclegan.ResnetGenerator(3, 2, 1)(torch.zeros(1, 1, 64, 64)),
        lambda: cyclegan.PixelDiscriminator(3, 2)(torch.zeros(3, 64, 64)),
    ],
)
def test_bad_arguments_and_pictures_get_one_line(make):
    with pytest.raises(InputError) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_our_own_files_keep_both_networks(tmp_path):
    G, D = cyclegan.UnetGenerator(1, 2, 5, "batch", True, 3), cyclegan.PatchDiscriminator(4, 2, 2, "batch")
    pretrained.save(tmp_path / "a.safetensors", G, D, {"epoch": 160})
    loaded = pretrained.load(tmp_path / "a.safetensors")
    assert loaded.info == {"epoch": 160} and loaded.G.settings == G.settings and loaded.D.settings == D.settings
    x = torch.randn(2, 1, 32, 32)
    assert torch.equal(loaded.G(x), G.eval()(x))
