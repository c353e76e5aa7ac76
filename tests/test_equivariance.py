"""EQ-T, EQ-T_frac and EQ-R: generators whose numbers are known beforehand, and the shipped networks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from facegen.evaluation import equivariance as e
from facegen.evaluation.equivariance import Decibels, drawer, eq_r, eq_t, eq_t_frac, equivariance
from facegen.files import InputError
from facegen.latent.sample import moved, sample, transform
from facegen.models import cyclegan, dcgan, stylegan2, stylegan3
from facegen.models.pretrained import load

WEIGHTS = Path(__file__).resolve().parents[1] / "assets/weights"


def waves(size, translate=(0.0, 0.0), rotate=0.0, seed=0, count=24, highest=0.08, channels=3):
    """Sums of waves, a picture that is defined everywhere, moved exactly: [C, S, S].

    Nothing here comes from the package: the picture at p shows what the unmoved one shows where the motion took p from.
    """
    draws = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(count, generator=draws, dtype=torch.float64)
    length = highest * torch.rand(count, generator=draws, dtype=torch.float64).sqrt() * size  # periods per picture width
    phase = torch.rand(count, generator=draws, dtype=torch.float64)
    weights = torch.randn(channels, count, generator=draws, dtype=torch.float64) / math.sqrt(count)
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
    y, x = torch.meshgrid(at, at, indexing="ij")
    x, y = x - translate[0], y - translate[1]
    turn = math.radians(rotate)
    # Counter-clockwise on the screen, y downwards, takes (1, 0) to (cos, -sin); here its inverse is wanted.
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    where = x[..., None] * length * angle.cos() + y[..., None] * length * angle.sin() + phase
    return torch.einsum("hwk,ck->chw", torch.sin(2 * math.pi * where), weights) * 0.5


def perfect(size, **settings):
    return lambda seed, translate=(0.0, 0.0), rotate=0.0: waves(size, translate, rotate, seed, **settings)


def tiny(kind):
    torch.manual_seed(0)
    if kind == "dcgan":
        return dcgan.Generator(8, 8).eval()
    widths = {"channel_base": 256, "channel_max": 16}
    if kind == "stylegan2":
        return stylegan2.Generator(16, 0, 16, 32, 3, {"num_layers": 2}, widths).eval()
    return stylegan3.Generator(16, 0, 16, 32, 3, num_layers=4, **widths).eval()


# ---------------------------------------------------------------------------------------------- pictures that are there


def test_eq_t_is_its_definition_pixel_by_pixel():
    still, after = torch.rand(2, 2, 3, 9, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for dx, dy in ((0, 0), (2, 0), (0, -3), (-1, 4), (5, 5)):
        squares = [
            float((after[n, c, y + dy, x + dx].double() - still[n, c, y, x].double()) ** 2)
            for n in range(2)
            for c in range(3)
            for y in range(9)
            for x in range(8)
            if 0 <= y + dy < 9 and 0 <= x + dx < 8
        ]
        expected = 10 * math.log10(4 / (sum(squares) / len(squares)))
        assert eq_t(still, after, shift=(dx, dy)) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures_are_infinitely_alike_and_right_and_down_are_positive():
    still = torch.randn(2, 3, 12, 12)
    assert eq_t(still, still, (0, 0)) == math.inf
    after = torch.full_like(still, 7.0)
    after[:, :, 2:, 3:] = still[:, :, :-2, :-3]  # two pixels down, three to the right
    assert eq_t(still, after, (3, 2)) == math.inf and eq_t_frac(still, after, (3, 2)) > 300  # the filter's zeros are rounded
    assert eq_t(still, after, (2, 3)) < 5 and eq_t(still, after, (-3, -2)) < 5
    worse = after.clone()
    worse[0, 0, 5, 5] += 2  # one value of 2 * 3 * 10 * 9 is off by the whole range
    assert eq_t(still, worse, (3, 2)) == pytest.approx(10 * math.log10(2 * 3 * 10 * 9), abs=1e-5)


@pytest.mark.parametrize("shift", [(3.0, -2.0), (0.5, 0.0), (-2.3, 1.8), (7.9, 7.1)])
def test_smooth_pictures_moved_by_parts_of_a_pixel_agree(shift):
    still, after = waves(64), waves(64, (shift[0] / 64, shift[1] / 64))
    assert eq_t_frac(still[None], after[None], shift) > 57  # what the filter allows, less this one picture's luck
    assert eq_t_frac(still[None], after[None], (shift[0] + 0.25, shift[1])) < 45
    assert eq_t_frac(still[None], after[None], (-shift[0], -shift[1])) < 35


@pytest.mark.parametrize("degrees", [0.0, 17.0, 45.0, 90.0, 200.5, 300.0])
def test_smooth_pictures_turned_by_any_angle_agree(degrees):
    still, after = waves(64)[None], waves(64, rotate=degrees)[None]
    assert eq_r(still, after, degrees) > 60
    assert eq_r(still, after, degrees + 1) < 45
    if degrees % 180:
        assert eq_r(still, after, -degrees) < 25


def test_what_only_one_of_the_two_squares_of_frequencies_holds_does_not_count():
    """A wave in the corner of the spectrum is beyond the turned picture's sampling; there, it cannot be shown."""

    def wave(size, rotate):  # 0.47 periods per pixel along both axes, turned with the picture
        at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        y, x = torch.meshgrid(at, at, indexing="ij")
        turn = math.radians(rotate)
        x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        return torch.cos(2 * math.pi * 0.47 * (x + y))[None, None]

    still, nothing = wave(64, 0.0), torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    unlimited = 10 * math.log10(4 / float(still.square().mean()))
    assert eq_r(still, nothing, 45.0) > unlimited + 20  # at 45 degrees it would have 0.66 periods per pixel along x
    assert eq_r(still, nothing, 90.0) < unlimited + 12  # at 90 both squares are one, and hold it as far as a window lets them


def test_flat_pictures_stay_flat_to_the_last_valid_pixel():
    flat = torch.full((1, 3, 40, 40), 0.7, dtype=torch.float64)
    assert eq_r(flat, flat, 33.0) > 200 and eq_t_frac(flat, flat, (2.5, -1.25)) > 200


def test_what_is_no_pair_of_pictures_is_refused_in_one_line():
    good = torch.zeros(1, 3, 32, 32)
    for call, words in (
        (lambda: eq_t(good, good[:, :, 1:], (0, 0)), r"\[1, 3, 32, 32\] and \[1, 3, 31, 32\]"),
        (lambda: eq_t(good[0], good[0], (0, 0)), r"give floats \[N, C, H, W\]"),
        (lambda: eq_t(good.byte(), good.byte(), (0, 0)), "give floats"),
        (lambda: eq_t(good, good * math.nan, (0, 0)), "NaN"),
        (lambda: eq_t(good, good, (0.5, 0)), "whole pixels"),
        (lambda: eq_t(good, good, (0, -32)), "nothing is left"),
        (lambda: eq_t_frac(good, good, (29.5, 0)), "no pixel of 32x32"),
        (lambda: eq_t_frac(good, good, (math.inf, 0)), "two finite numbers"),
        (lambda: eq_r(good[..., :16, :16], good[..., :16, :16], 45.0), "too small to turn"),
        (lambda: eq_r(good[..., :16], good[..., :16], 45.0), "takes squares"),
    ):
        with pytest.raises(InputError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


# ------------------------------------------------------------------------------------------------------------ generators


def test_a_hand_made_perfectly_equivariant_generator_scores_above_60_db():
    found = equivariance(perfect(48), samples=10)
    assert list(found) == ["eq_t", "eq_t_frac", "eq_r"]
    assert found["eq_t"].db > 200  # but for rounding, nothing differs
    assert found["eq_t_frac"].db > 60 and found["eq_r"].db > 60
    assert all(one.low <= one.db <= one.high and one.samples == 10 for one in found.values())
    assert str(found["eq_r"]).startswith("EQ-R ") and "dB (" in str(found["eq_r"])


def test_what_the_filters_allow_at_most():
    """Of a perfect generator of finer pictures, EQ-T_frac shows the filter's own fault; the other two do not."""
    found = equivariance(perfect(48, highest=0.3), samples=6)
    assert found["eq_t"].db > 200 and 35 < found["eq_t_frac"].db < 60 < found["eq_r"].db


def test_a_texture_that_sticks_to_the_pixels_costs_what_it_should():
    strength = 0.05
    stuck = strength * torch.randn(3, 48, 48, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    smooth = perfect(48)
    found = equivariance(lambda *motion: smooth(*motion) + stuck, samples=40, seed=3, kinds=["eq_t"])["eq_t"]
    assert found.db == pytest.approx(10 * math.log10(4 / (2 * strength**2)), abs=0.5)  # two textures that do not meet
    assert found.low < found.db < found.high and found.high - found.low < 3


def test_seeds_make_the_numbers_and_kinds_do_not_disturb_each_other():
    stuck = 0.02 * torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    smooth = perfect(32)

    def draw(*motion):
        return smooth(*motion) + stuck

    whole, again = equivariance(draw, 4, 5), equivariance(draw, 4, 5, kinds=["eq_r"])
    assert again == {"eq_r": whole["eq_r"]} and equivariance(draw, 4, 5) == whole
    assert equivariance(draw, 4, 6)["eq_t"].db != whole["eq_t"].db
    assert whole["eq_t"] == Decibels(
        "eq_t", *(getattr(whole["eq_t"], k) for k in ("db", "low", "high")), 4, 5, whole["eq_t"].how
    )


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan3", "dcgan"])
def test_unmoved_pictures_are_those_that_sampling_shows_and_the_network_is_left_as_it_was(kind):
    G = tiny(kind)
    before = {name: value.clone() for name, value in G.state_dict().items()}
    draw, how = drawer(G)
    still, shifted = draw(7, (0.0, 0.0), 0.0), draw(7, (0.1, 0.0), 0.0)
    face = ((still + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    assert (face.int() - sample(G, [7])[0].int()).abs().max() <= 1
    assert (still - shifted).abs().max() > 0.02 * still.std()
    assert torch.equal(draw(7), still)  # no hook is left behind
    assert all(torch.equal(value, before[name]) for name, value in G.state_dict().items())
    assert ("transform" in how) == (kind == "stylegan3") and ("noise" in how) == (kind == "stylegan2")


def test_a_stylegan3_is_moved_by_its_own_transform():
    G = tiny("stylegan3")
    draw, _ = drawer(G)
    with torch.no_grad(), moved(G, (0.1, -0.05), 30.0):
        z = torch.from_numpy(np.random.RandomState(4).randn(1, 16)).float()
        assert torch.allclose(draw(4, (0.1, -0.05), 30.0), G(z)[0], atol=1e-6)


def test_a_feature_map_is_moved_as_the_periodic_function_through_it():
    """On waves that a row of 8 pixels holds, the sampling at moved places is exact, around the border too."""

    def values(translate, rotate):
        at = (torch.arange(8, dtype=torch.float64) + 0.5) / 8 - 0.5
        y, x = torch.meshgrid(at, at, indexing="ij")
        x, y = x - translate[0], y - translate[1]
        turn = math.radians(rotate)
        x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        first = torch.sin(2 * math.pi * (x + 2 * y) + 1) + torch.cos(2 * math.pi * (3 * x - y))
        return torch.stack([first, torch.cos(2 * math.pi * 2 * x) + 0.5])[None]

    for motion in (((0.1, -0.03), 0.0), ((0.0, 0.0), 25.0), ((0.2, 0.1), 140.0)):
        found = e._sampled(values((0.0, 0.0), 0.0), transform(*motion))
        assert torch.allclose(found, values(*motion), atol=1e-5)
    rough = torch.randn(2, 3, 4, 4)
    assert torch.allclose(e._sampled(rough, transform((0.25, 0.5))), rough.roll((2, 1), (2, 3)), atol=1e-6)


class Circular(nn.Module):
    """A generator without a transform whose layers wrap round: a seed map shifted by a pixel moves its picture by 8."""

    z_dim, img_resolution, img_channels = 8, 32, 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.start = nn.Linear(8, 16 * 16)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular"))
                for _ in range(3)
            ),
            nn.Conv2d(16, 3, 1),
        )

    def forward(self, z):
        return self.layers(self.start(z).reshape(-1, 16, 4, 4))


def test_any_other_generator_is_moved_by_its_first_map():
    draw, how = drawer(Circular())
    still, after = draw(3, (0.0, 0.0), 0.0), draw(3, (0.25, -0.25), 0.0)
    assert torch.allclose(after, still.roll((-8, 8), (1, 2)), atol=1e-5) and "first feature map" in how
    assert equivariance(Circular(), 4, kinds=["eq_t"], progress=False)["eq_t"].db < 60  # a pixel is an eighth of a step


def test_shipped_networks_stylegan3_moves_and_stylegan2_sticks():
    found = {name: equivariance(load(WEIGHTS / f"{name}.safetensors").G, 3) for name in ("stylegan3r-64", "stylegan2-64")}
    for kind, gap in (("eq_t", 40), ("eq_t_frac", 30), ("eq_r", 20)):
        three, two = found["stylegan3r-64"][kind], found["stylegan2-64"][kind]
        assert three.low > two.high and three.db > two.db + gap


def test_what_cannot_be_moved_is_refused_in_one_line():
    sg2 = tiny("stylegan2")
    for call, words in (
        (lambda: equivariance(cyclegan.ResnetGenerator(), 4), "no pictures from seeds"),
        (lambda: equivariance(sg2, 1), "at least 2 pictures"),
        (lambda: equivariance(sg2, 4, kinds=["eq_x"]), "choose among eq_t, eq_t_frac, eq_r"),
        (lambda: equivariance(sg2, 4, kinds=[]), "choose among"),
        (lambda: equivariance(sg2, 4, labels=1), "no classes"),
        (lambda: equivariance(tiny("dcgan"), 4, trunc=0.5), "no w to truncate"),
    ):
        with pytest.raises(InputError, match=words) as error:
            call()
        assert "\n" not in str(error.value)
