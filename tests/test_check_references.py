"""What the checks of notebooks 4 to 6 take for right is what the package computes, where it has it in another shape."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from facegen.data.faces import square
from facegen.evaluation import distances, equivariance
from facegen.latent import edit, project
from facegen.models import stylegan2, stylegan3
from facegen.training import ada, stylegan, symptoms

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


@pytest.mark.parametrize("roll", [0, 30, -75, 170])
@pytest.mark.parametrize(("width", "height"), [(60, 55), (40, 90)])
def test_the_square_is_the_one_that_align_cuts_out(roll, width, height):
    points = checks._some_face(roll, width, height, torch.Generator().manual_seed(roll + 200))
    centre, half = checks._crop_square(points)
    corner, across = (torch.from_numpy(x).float() for x in square(points))
    down = torch.stack([-across[1], across[0]])
    close(centre, corner + (across + down) / 2, rtol=1e-4, atol=1e-3)
    close(half, across / 2, rtol=1e-4, atol=1e-3)


def test_w_statistics_are_those_of_the_projection():
    G = _generator()
    stats = project.latent_stats(G, count=300, seed=4)
    mean, std = checks._w_statistics(edit.sampled_w(G, 300, seed=4))
    close(mean, stats.mean)
    assert std == pytest.approx(stats.std, rel=1e-4)


def test_the_penalty_is_that_of_the_projection():
    noise = torch.randn(64, 64) + torch.linspace(0, 1, 64)
    close(checks._over_scales(noise), project.noise_penalty(noise))


def test_the_rate_is_that_of_the_projection():
    for case in checks._RATES:
        assert checks._rate(*case) == pytest.approx(project.learning_rate(*case), abs=1e-12)


@pytest.mark.parametrize("from_layer", [0, 1, 2, 4, 6])
def test_blended_layers_are_those_of_the_package(from_layer):
    coarse, fine = _generator(), _generator()
    assert coarse.num_ws == 6
    state = checks._blend_layers(coarse.state_dict(), fine.state_dict(), from_layer, edit._layer_of(coarse).get)
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


def test_a_step_of_the_projection_goes_down():
    search = checks._TinySearch(3, 5, 6, torch.Generator().manual_seed(8))
    optimizer = torch.optim.Adam([search.w, search.noise], lr=0.05)
    losses = [
        checks._projection_step(search.w, search.target, search.synthesize, search.perceptual, optimizer) for _ in range(60)
    ]
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(("n", "m", "d"), [(40, 25, 6), (9, 7, 20), (12, 30, 1)])
def test_distances_are_those_of_the_package(n, m, d):
    g = torch.Generator().manual_seed(n)
    real, fake = checks._cloud(n, d, g), 1.3 * checks._cloud(m, d, g)
    assert float(checks._frechet(real, fake)) == pytest.approx(distances.frechet_distance(real, fake), rel=1e-5)
    assert float(checks._mmd(real, fake)) == pytest.approx(distances.kid(real, fake), rel=1e-9)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_balls_are_those_of_the_package(k):
    real, fake = checks._two_crowds(40, 30, 3, torch.Generator().manual_seed(k))
    close(checks._precision_recall(real, fake, k).tolist(), list(distances.precision_recall(real, fake, k)))
    fake[15:] = fake[:15]
    close(checks._precision_recall(real, fake, k).tolist(), list(distances.precision_recall(real, fake, k)))


def test_neighbours_are_ordered_and_lead_to_the_reals():
    fake, real = torch.randn(30, 5), torch.randn(40, 5)
    far, rows = checks._nearest_neighbours(fake, real, 3)
    close(far, (fake[:, None] - real[rows]).norm(dim=2))
    assert bool((far.diff(dim=1) > 0).all()) and bool((far[:, :1] <= torch.cdist(fake, real) + 1e-4).all())


def test_shares_are_those_of_the_package():
    for successes, n, level in checks._SHARES:
        z = checks.NormalDist().inv_cdf((1 + (level or 0.95)) / 2)
        close(checks._wilson(successes, n, z).tolist(), list(distances.wilson_interval(successes, n, level or 0.95)))


@pytest.mark.parametrize("shift", [(2, 1), (-3, 0), (0, 0), (1, -4)])
def test_decibels_are_those_of_the_package(shift):
    still, moved = checks._moved_pictures(3, 11, 14, *shift, torch.Generator().manual_seed(5))
    assert checks._eq_t(still.double(), moved.double(), shift) == pytest.approx(
        equivariance.eq_t(still, moved, shift), abs=1e-6
    )
    assert checks._eq_t(still, still, (0, 0)) == equivariance.eq_t(still, still, (0, 0)) == math.inf


def test_a_bootstrap_interval_of_a_mean_is_as_wide_as_theory_says():
    """The package has another one, for distances: halves without replacement."""
    sample = torch.randn(400, 1)
    low, high = checks._bootstrapped(lambda rows: float(rows.mean()), sample)
    assert high - low == pytest.approx(2 * 1.96 * float(sample.std()) / 20, rel=0.1)
    assert (low + high) / 2 == pytest.approx(float(sample.mean()), abs=0.02)


def test_no_message_about_a_sick_run_gives_its_name_away():
    right = checks._recorded_names()
    assert len(right) >= 10 and set(right.values()) <= {*symptoms.SICKNESSES, symptoms.HEALTHY}
    for letter, name in right.items():
        for claim in {*symptoms.SICKNESSES, symptoms.HEALTHY} - {name}:
            with pytest.raises(AssertionError) as raised:
                checks.test_name_sickness({**right, letter: claim})
            message = str(raised.value).removeprefix("name_sickness")
            assert f"run {letter}: " in message and len(message) < 280
            assert name not in message.replace(claim, ""), message


def test_the_rest_is_the_packages_own():
    """What the training loop takes from a learner has the package's function as its reference."""
    own = {"mix_styles": stylegan.mix_styles, "r1_penalty": stylegan.squared_gradients, "update_ema": stylegan.update_ema}
    own |= {"noise_penalty": project.noise_penalty, "learning_rate": project.learning_rate}
    own |= {"slerp": edit.slerp, "mix_layers": edit.mixed, "next_p": ada.next_p}
    own |= {"frechet_distance": distances.frechet_distance, "kid": distances.kid, "eq_t": equivariance.eq_t}
    own |= {"precision_recall": distances.precision_recall, "wilson_interval": distances.wilson_interval}
    for name, function in own.items():
        assert getattr(checks, f"test_{name}").__wrapped__.__defaults__ == (function,)


def test_wrong_references_would_fail():
    """The checks compare with formulas of their own, not with the function they are given by default."""
    for name, wrong in (
        ("pixel_norm", lambda z, eps=1e-8: stylegan2.normalize_2nd_moment(z) * 1.01),
        ("truncate", lambda ws, w_avg, psi, cutoff=None: checks._truncate(ws, w_avg, psi * 1.01, cutoff)),
        ("next_p", lambda p, r_t, target, step: ada.next_p(p, r_t, target, 1.01 * step)),
        ("fourier_features", lambda *waves: checks._fourier_features(*waves) * 1.01),
        ("crop_square", lambda points: [1.01 * part for part in checks._crop_square(points)]),
        ("w_statistics", lambda ws: (ws.mean(0), 1.01 * checks._w_statistics(ws)[1])),
        ("noise_penalty", lambda noise: 1.01 * project.noise_penalty(noise)),
        ("learning_rate", lambda progress, lr, *ramps: project.learning_rate(progress, 1.01 * lr, *ramps)),
        ("slerp", lambda a, b, t: 1.01 * edit.slerp(a, b, t)),
        ("mix_layers", lambda ws, others, layers: edit.mixed(ws, 1.01 * others, layers)),
        ("frechet_distance", lambda real, fake: 1.01 * distances.frechet_distance(real, fake)),
        ("kid", lambda real, fake: 1.01 * distances.kid(real, fake)),
        ("precision_recall", lambda real, fake, k=3: distances.precision_recall(1.01 * real, fake, k)),
        ("bootstrap_interval", lambda *given, **named: [1.2 * end for end in checks._bootstrapped(*given, **named)]),
        ("eq_t", lambda *given: 1.01 * equivariance.eq_t(*given)),
        ("nearest_neighbours", lambda fake, real, k=1: checks._nearest_neighbours(1.01 * fake, real, k)),
        ("wilson_interval", lambda *given, **named: [0.99 * end for end in distances.wilson_interval(*given, **named)]),
    ):
        with pytest.raises(AssertionError):
            getattr(checks, f"test_{name}")(wrong)
