"""What the checks of notebook 4 take for right is what the package computes, where the package has it in another shape."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from facegen.models import stylegan2, stylegan3
from facegen.training import ada, stylegan

spec = importlib.util.spec_from_file_location("course_references", Path(__file__).parents[1] / "problem_unittests.py")
checks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checks)

close = torch.testing.assert_close


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        yield


def test_pixel_norm_is_what_the_mapping_begins_with():
    z = torch.randn(5, 12) * torch.tensor([[1e-5], [0.1], [1.0], [10.0], [0.0]])
    close(checks._pixel_norm(z), stylegan2.normalize_2nd_moment(z))


def test_the_mapping_is_pixel_norm_and_layers():
    net = checks._mapping(6, 9, 3)
    assert isinstance(net, stylegan2.Mapping) and net.num_layers == 3 and checks._mapping(6, 9).num_layers == 4
    z = torch.randn(4, 6)
    w = checks._pixel_norm(z)
    for layer in (net.fc0, net.fc1, net.fc2):
        w = torch.nn.functional.leaky_relu(w @ (layer.weight * layer.weight_gain).T + layer.bias * layer.bias_gain, 0.2)
    close(net(z), w * math.sqrt(2) ** 3)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_weights_of_each_picture_are_what_the_layers_compute(k, demodulate):
    """The check's own reference, written as in the paper, against the package's, which scales inputs and outputs."""
    x, weight, styles = torch.randn(3, 4, 6, 5), torch.randn(2, 4, k, k), torch.randn(3, 4)
    want = checks._by_own_weights(x, checks._finished(weight, styles, demodulate))
    close(checks._modulated_conv(x, weight, styles, demodulate), want, rtol=1e-4, atol=1e-5)


def test_modulated_conv_is_what_the_synthesis_uses():
    """A layer of StyleGAN2 without noise: modulated convolution, bias, leaky ReLU with its gain."""
    layer, x, w = stylegan2.StyledConv(4, 5, 7, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 7)
    y = checks._modulated_conv(x, layer.weight, layer.affine(w)) + layer.bias[:, None, None]
    close(layer(x, w, noise_mode="none"), torch.nn.functional.leaky_relu(y, 0.2) * math.sqrt(2), rtol=1e-4, atol=1e-5)


def test_noise_is_added_as_in_a_layer_of_the_synthesis():
    layer, x, w = stylegan2.StyledConv(4, 5, 7, 8, activation="linear"), torch.randn(2, 4, 8, 8), torch.randn(2, 7)
    noise = checks._NoiseInjection()
    assert [p.shape for p in noise.parameters()] == [layer.noise_strength.shape] and not layer.noise_strength.any()
    with torch.no_grad():
        layer.noise_strength.fill_(0.6)
        noise.strength.fill_(0.6)
    plain = layer(x, w, noise_mode="none")
    close(layer(x, w, noise_mode="const"), noise(plain, layer.noise_const.expand(2, 1, 8, 8)))
    torch.manual_seed(5)
    drawn = layer(x, w, noise_mode="random")
    torch.manual_seed(5)
    close(drawn, noise(plain))


@pytest.mark.parametrize(("psi", "cutoff"), [(0.7, None), (0.5, 3), (0.0, None), (0.3, 0), (1.5, 2)])
def test_truncate_is_what_the_mapping_does(psi, cutoff):
    net = stylegan2.Mapping(6, 0, 5, 4, num_layers=2)
    net.w_avg.copy_(torch.randn(5))
    z = torch.randn(3, 6)
    close(net(z, truncation_psi=psi, truncation_cutoff=cutoff), checks._truncate(net(z), net.w_avg, psi, cutoff))


def test_fourier_features_are_the_input_of_stylegan3():
    """With the mixing of channels taken out and nothing learned yet; its waves all fit the sampling, so none fades."""
    layer = stylegan3.FourierInput(w_dim=4, channels=6, size=10, sampling_rate=8, bandwidth=2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(6) * math.sqrt(6))
    at = (torch.arange(10) + 0.5 - 5) / 8
    y, x = torch.meshgrid(at, at, indexing="ij")
    waves = checks._fourier_features(torch.stack([x, y], dim=-1), layer.freqs, layer.phases)
    close(layer(torch.randn(1, 4))[0], waves, rtol=1e-4, atol=1e-5)


def test_the_rest_is_the_packages_own():
    """What the training loop takes from a learner has the package's function as its reference."""
    own = {"mix_styles": stylegan.mix_styles, "r1_penalty": stylegan.squared_gradients, "update_ema": stylegan.update_ema}
    for name, function in (own | {"next_p": ada.next_p}).items():
        assert getattr(checks, f"test_{name}").__wrapped__.__defaults__ == (function,)


def test_wrong_references_would_fail():
    """The checks compare with formulas of their own, not with the function they are given by default."""
    for name, wrong in (
        ("pixel_norm", lambda z, eps=1e-8: stylegan2.normalize_2nd_moment(z) * 1.01),
        ("truncate", lambda ws, w_avg, psi, cutoff=None: checks._truncate(ws, w_avg, psi * 1.01, cutoff)),
        ("next_p", lambda p, r_t, target, step: ada.next_p(p, r_t, target, 1.01 * step)),
        ("fourier_features", lambda *waves: checks._fourier_features(*waves) * 1.01),
    ):
        with pytest.raises(AssertionError):
            getattr(checks, f"test_{name}")(wrong)
