"""What exercises take for right is what the package computes, where it has it in another shape."""

import math

import pytest
import torch

from exercises.base import all_exercises
from facegen.data.faces import square
from facegen.latent import edit, project
from facegen.models import stylegan2, stylegan3

close = torch.testing.assert_close


def reference(name):
    return all_exercises()[name].reference


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def test_pixel_norm_is_what_the_mapping_begins_with():
    z = torch.randn(5, 12) * torch.tensor([[1e-5], [0.1], [1.0], [10.0], [0.0]])
    close(reference("pixel_norm")(z), stylegan2.normalize_2nd_moment(z))


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_modulated_conv_is_the_papers(k, demodulate):
    """With weights of each picture's own, against the package's, which scales inputs and outputs."""
    x, weight, styles = torch.randn(3, 4, 6, 5), torch.randn(2, 4, k, k), torch.randn(3, 4)
    own = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        own = own * (own.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    want = torch.cat([torch.nn.functional.conv2d(row[None], w, padding=k // 2) for row, w in zip(x, own)])
    close(reference("modulated_conv")(x, weight, styles, demodulate), want, rtol=1e-4, atol=1e-5)


def test_modulated_conv_is_what_the_synthesis_uses():
    """A layer of StyleGAN2 without noise: modulated convolution, bias, leaky ReLU with its gain."""
    layer, x, w = stylegan2.StyledConv(4, 5, 7, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 7)
    y = reference("modulated_conv")(x, layer.weight, layer.affine(w)) + layer.bias[:, None, None]
    close(layer(x, w, noise_mode="none"), torch.nn.functional.leaky_relu(y, 0.2) * math.sqrt(2), rtol=1e-4, atol=1e-5)


def test_noise_is_added_as_in_a_layer_of_the_synthesis():
    layer, x, w = stylegan2.StyledConv(4, 5, 7, 8, activation="linear"), torch.randn(2, 4, 8, 8), torch.randn(2, 7)
    noise = reference("noise_injection")()
    (strength,) = noise.parameters()
    assert strength.numel() == layer.noise_strength.numel() == 1 and not layer.noise_strength.any()
    with torch.no_grad():
        layer.noise_strength.fill_(0.6)
        strength.fill_(0.6)
    plain = layer(x, w, noise_mode="none")
    close(layer(x, w, noise_mode="const"), noise(plain, layer.noise_const.expand(2, 1, 8, 8)))


@pytest.mark.parametrize(("psi", "cutoff"), [(0.7, None), (0.5, 3), (0.0, None), (0.3, 0), (1.5, 2)])
def test_truncate_is_what_the_mapping_does(psi, cutoff):
    net = stylegan2.Mapping(6, 0, 5, 4, num_layers=2)
    net.w_avg.copy_(torch.randn(5))
    z = torch.randn(3, 6)
    close(net(z, truncation_psi=psi, truncation_cutoff=cutoff), reference("truncate")(net(z), net.w_avg, psi, cutoff))


def test_fourier_features_are_the_input_of_stylegan3():
    """With the mixing of channels taken out and nothing learned yet; its waves all fit the sampling, so none fades."""
    layer = stylegan3.FourierInput(w_dim=4, channels=6, size=10, sampling_rate=8, bandwidth=2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(6) * math.sqrt(6))
    at = (torch.arange(10) + 0.5 - 5) / 8
    y, x = torch.meshgrid(at, at, indexing="ij")
    waves = reference("fourier_features")(torch.stack([x, y], dim=-1), layer.freqs, layer.phases)
    close(layer(torch.randn(1, 4))[0], waves, rtol=1e-4, atol=1e-5)


def test_the_square_is_the_one_that_align_cuts_out():
    for case in all_exercises()["crop_square"].cases_of(5):
        centre, half = reference("crop_square")(case["points"])
        corner, across = (torch.from_numpy(x).float() for x in square(case["points"]))
        down = torch.stack([-across[1], across[0]])
        close(centre.float(), corner + (across + down) / 2, rtol=1e-4, atol=1e-3)
        close(half.float(), across / 2, rtol=1e-4, atol=1e-3)


def test_w_statistics_are_those_of_the_projection():
    G = _generator()
    stats = project.latent_stats(G, count=300, seed=4)
    mean, std = reference("w_statistics")(edit.sampled_w(G, 300, seed=4))
    close(mean, stats.mean)
    assert float(std) == pytest.approx(stats.std, rel=1e-4)


@pytest.mark.parametrize("from_layer", [0, 1, 2, 4, 6])
def test_blended_layers_are_those_of_the_package(from_layer):
    coarse, fine = _generator(), _generator()
    assert coarse.num_ws == 6
    state = reference("blend_layers")(coarse.state_dict(), fine.state_dict(), from_layer, edit._layer_of(coarse).get)
    want = edit.blended(coarse, fine, from_layer).state_dict()
    assert state.keys() == want.keys()
    for name, value in want.items():
        close(state[name], value)


def _generator():
    """A small StyleGAN2 with other numbers each time, also where it begins with zeros."""
    G = stylegan2.Generator(8, 0, 8, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 8}).eval()
    with torch.no_grad():
        for value in (*G.parameters(), G.mapping.w_avg):
            value.copy_(torch.randn(value.shape))
    return G


def test_neighbours_are_ordered_and_lead_to_the_reals():
    fake, real = torch.randn(30, 5), torch.randn(40, 5)
    far, rows = reference("nearest_neighbours")(fake, real, 3)
    close(far, (fake[:, None] - real[rows]).norm(dim=2), check_dtype=False)
    assert bool((far.diff(dim=1) > 0).all()) and bool((far[:, :1] <= torch.cdist(fake, real) + 1e-4).all())
