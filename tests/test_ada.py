"""Adaptive discriminator augmentation: the pipeline's transformations, their statistics and derivatives, and the controller."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from facegen.files import InputError
from facegen.models import layers
from facegen.training import ada, processes
from facegen.training.ada import PRESETS, AdaController, AugmentPipe

N = 4000  # pictures in a statistic


def pipe_of(p: float, **arguments) -> AugmentPipe:
    pipe = AugmentPipe(**arguments)
    pipe.p.fill_(p)
    return pipe


def preset_of(name: str, p: float) -> AugmentPipe:
    pipe = AugmentPipe.preset(name)
    pipe.p.fill_(p)
    return pipe


def pictures(n=4, height=12, width=12, dtype=torch.float32) -> Tensor:
    return torch.randn(n, 3, height, width, generator=torch.Generator().manual_seed(5)).to(dtype)


def changed(x: Tensor, y: Tensor) -> Tensor:
    return (x != y).flatten(1).any(1)


def assert_share(flags: Tensor, expected: float) -> None:
    """The share of true flags is the expected one, to four standard deviations."""
    assert abs(flags.double().mean() - expected) < 4 * math.sqrt(expected * (1 - expected) / len(flags))


def assert_normal(values: Tensor, std: float) -> None:
    """Mean 0 and the standard deviation `std`, to four standard deviations of either; a tail neither cut nor heavy."""
    n = len(values)
    assert abs(values.mean()) < 4 * std / math.sqrt(n)
    assert abs(values.std() / std - 1) < 4 / math.sqrt(2 * n)
    assert abs((values.abs() > 2 * std).double().mean() - 0.0455) < 4 * math.sqrt(0.0455 / n)


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    quarters = ((values - low) / (high - low) * 4).floor()
    assert values.min() >= low and values.max() <= high
    for quarter in range(4):
        assert_share(quarters == quarter, 0.25)


# -- wavelets and filters


@pytest.mark.parametrize("taps, moments", [(ada.SYM2, 2), (ada.SYM6, 6)])
def test_wavelets_are_orthogonal_and_have_their_vanishing_moments(taps, moments):
    h = torch.tensor(taps, dtype=torch.float64)
    assert len(h) == 2 * moments and abs(h.sum() - math.sqrt(2)) < 1e-11
    for shift in range(moments):
        assert abs(float(h[2 * shift :] @ h[: len(h) - 2 * shift]) - (shift == 0)) < 1e-11
    k = torch.arange(len(h), dtype=torch.float64)
    for power in range(moments):
        assert abs((h * (-1) ** k * (k / len(h)) ** power).sum()) < 1e-10


def test_down_sampling_undoes_up_sampling():
    up, down = (make(9, torch.device("cpu"), torch.float64) for make in (ada._upsampling, ada._downsampling))
    first = (3 * 9 + 2) - (9 + 4)  # where the samples that `down` takes begin among those that `up` makes
    assert torch.allclose(down @ up[first : first + down.shape[1]], torch.eye(9, dtype=torch.float64), atol=1e-10)


def test_bands_share_out_the_frequencies():
    size = 256
    bands = ada._band_filters(size, torch.device("cpu"), torch.float64)
    assert torch.allclose(bands.sum(0), torch.eye(size, dtype=torch.float64), atol=1e-12)
    place = torch.arange(size, dtype=torch.float64)
    for frequency, band in ((1 / 16, 0), (3 / 16, 1), (3 / 8, 2), (15 / 16, 3)):  # of pi; in the middle of each band
        wave = torch.cos(math.pi * frequency * place)
        kept = (bands @ wave)[:, 64:-64].norm(dim=1) / wave[64:-64].norm()
        assert kept.argmax() == band and kept[band] > 0.6


# -- what stays as it is


def test_nothing_happens_at_p_0_or_with_every_multiplier_0():
    x = pictures()
    x[0, 0, 0, 0] = -0.0
    for pipe in (preset_of("bgcfnc", 0), pipe_of(1)):
        y = pipe(x)
        assert torch.equal(y.view(torch.int32), x.view(torch.int32))


def test_untouched_pictures_are_the_same_bit_for_bit():
    x = pictures(400, 8, 8)
    x[:, 0, 0, 0] = -0.0
    torch.manual_seed(0)
    y = preset_of("bgcfnc", 0.05)(x)
    same = (y.view(torch.int32) == x.view(torch.int32)).flatten(1).all(1)
    # No coin of the eighteen (two of them halve or quarter themselves, the two rotations are one, the shift may be of 0).
    halves, quarter, whole = 2, 1, 5 + 3 + 4 + 1
    expected = (1 - 0.025) ** halves * (1 - 0.0375) ** quarter * (1 - 0.05) ** whole
    assert abs(same.double().mean() - expected) < 0.08


def test_any_type_comes_back_and_half_precision_is_calculated_in_float32():
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        x = pictures().to(dtype)
        y = preset_of("bgcfnc", 1)(x, percentile=0.3)
        assert y.dtype == dtype
        exact = preset_of("bgcfnc", 1)(x.float(), percentile=0.3).to(dtype)
        assert torch.allclose(y, exact, atol=1e-4 if dtype == torch.float64 else 0)


def test_autocast_changes_nothing_forwards_and_backwards():
    pipe, results = preset_of("bgcfnc", 1), []
    for enabled in (False, True):
        x, w = pictures().requires_grad_(), torch.ones(3, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = pipe(x, percentile=0.3)
            logits = (y.square() * w[:, None, None]).sum()
            (gradient,) = torch.autograd.grad(logits, x, create_graph=True)
            (second,) = torch.autograd.grad(gradient.square().sum(), w)
        results.append((y, gradient, second))
    for plain, automatic in zip(*results):
        assert automatic.dtype == torch.float32 and torch.equal(plain, automatic)


# -- pixel copies


def test_xflip():
    x = pictures(N, 3, 4)
    torch.manual_seed(0)
    y = pipe_of(0.5, xflip=1)(x)
    flipped = changed(x, y)
    assert torch.equal(y[flipped], x[flipped].flip(3))
    assert_share(flipped, 0.25)


def test_rotate90():
    x = pictures(N, 4, 4)
    torch.manual_seed(0)
    y = pipe_of(0.5, rotate90=1)(x)
    shares = [(y == x.rot90(turns, (2, 3))).flatten(1).all(1) for turns in range(4)]
    assert torch.stack(shares).sum(0).eq(1).all()
    for turns, expected in enumerate((0.625, 0.125, 0.125, 0.125)):
        assert_share(shares[turns], expected)


def test_xint():
    x = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(16.0), indexing="ij")).expand(N, 2, 32, 16)
    x = torch.cat([x, x[:, :1]], dim=1)  # the first channel counts rows, the second columns
    torch.manual_seed(0)
    y = pipe_of(0.5, xint=1)(x)
    down, right = 16 - y[:, 0, 16, 8], 8 - y[:, 1, 16, 8]
    moved = (down != 0) | (right != 0)
    # Up to 4 of 32 rows: +-4 fall to an eighth of a unit each, half as often as the rest; up to 2 of 16 columns.
    assert_share(moved, 0.5 * (1 - 1 / 8 * 1 / 4))
    for shift in range(-4, 5):
        assert_share(down == shift, 0.5 * (1 / 16 if abs(shift) == 4 else 1 / 8) + 0.5 * (shift == 0))
    for shift in range(-2, 3):
        assert_share(right == shift, 0.5 * (1 / 8 if abs(shift) == 2 else 1 / 4) + 0.5 * (shift == 0))
    some = moved.nonzero().flatten()[:20].tolist()
    for i in some:  # what comes in from outside is the mirrored picture
        shift = [int(down[i]), int(right[i])]
        mirrored = F.pad(x[i : i + 1], (4, 4, 4, 4), mode="reflect")[0]
        assert torch.equal(y[i], mirrored[:, 4 - shift[0] : 36 - shift[0], 4 - shift[1] : 20 - shift[1]])


def test_oblong_pictures_turn_about_their_centre():
    x = torch.zeros(1, 3, 9, 15)
    x[:, :, 3:6, 4:11] = 1  # a bar that lies becomes a bar that stands
    y = pipe_of(1, rotate90=1)(x, percentile=0.3)
    expected = torch.zeros(9, 15)
    expected[1:8, 6:9] = 1
    assert (y - expected)[..., 3:-3].abs().max() < 0.1  # the bar's mirror images begin beside it
    even = pipe_of(1, rotate90=1)(pictures(2, 8, 11), percentile=0.3)  # pixels between pixels
    assert even.shape == (2, 3, 8, 11) and even.isfinite().all()


# -- geometry


def places(y: Tensor) -> tuple[Tensor, Tensor]:
    """Where an augmented map of coordinates was sampled: the matrix [N, 2, 2] and the centre's place [N, 2], (x, y)."""
    here, right, below = y[:, :2, 15, 15], y[:, :2, 15, 16], y[:, :2, 16, 15]
    return torch.stack([right - here, below - here], dim=2).double(), (right + below).double() / 2


def coordinates(n: int) -> Tensor:
    line = torch.arange(32.0) - 15.5
    x, y = line[None, :].expand(32, 32), line[:, None].expand(32, 32)
    return torch.stack([x, y, x]).expand(n, 3, 32, 32)


def sampled(**arguments) -> tuple[Tensor, Tensor, Tensor]:
    """matrix, centre and whether changed, of N maps of coordinates at p = 0.5."""
    torch.manual_seed(0)
    x = coordinates(N // 2)
    y = torch.cat([pipe_of(0.5, **arguments)(x) for _ in range(2)])
    return *places(y), changed(coordinates(N), y)


def test_scale():
    matrix, centre, touched = sampled(scale=1)
    assert_share(touched, 0.5)
    factor = -matrix[touched].diagonal(dim1=1, dim2=2).log2()  # twice as large: sampled half as densely
    assert (factor[:, 0] - factor[:, 1]).abs().max() < 0.01 and centre.abs().max() < 0.1
    assert_normal(factor[:, 0], 0.2)


def test_aniso():
    matrix, centre, touched = sampled(aniso=1)
    assert_share(touched, 0.5)
    factor = -matrix[touched].diagonal(dim1=1, dim2=2).log2()
    assert (factor[:, 0] + factor[:, 1]).abs().max() < 0.01 and centre.abs().max() < 0.1
    assert_normal(factor[:, 0], 0.2)


def test_rotate():
    matrix, centre, touched = sampled(rotate=1)
    assert_share(touched, 0.5)  # by either of the two rotations
    matrix = matrix[touched]
    # sym6 is only nearly symmetric: half a turn moves a picture by a fifth of a pixel at most.
    assert (matrix @ matrix.mT - torch.eye(2)).abs().max() < 0.02 and centre.abs().max() < 0.2
    assert_uniform(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0]), -math.pi, math.pi)


def test_a_rotation_before_and_one_after_the_stretching():
    def angles(matrix: Tensor) -> tuple[Tensor, Tensor]:
        """Of R(after) diag R(before), from sums and differences of the entries."""
        total = torch.atan2(matrix[:, 1, 0] - matrix[:, 0, 1], matrix[:, 0, 0] + matrix[:, 1, 1])
        difference = torch.atan2(matrix[:, 1, 0] + matrix[:, 0, 1], matrix[:, 0, 0] - matrix[:, 1, 1])
        return (total + difference) / 2, (total - difference) / 2

    matrix, _, _ = sampled(rotate=1, aniso=1, aniso_std=2)
    stretched = (matrix @ matrix.mT - torch.eye(2)).flatten(1).norm(dim=1) > 0.5
    after, before = (angle.remainder(math.pi / 2) for angle in angles(matrix[stretched]))
    for angle in (after, before):
        turned = torch.minimum(angle, math.pi / 2 - angle) > 0.02
        assert abs(turned.double().mean() - (1 - math.sqrt(0.5))) < 0.05


def test_xfrac():
    matrix, centre, touched = sampled(xfrac=1)
    assert_share(touched, 0.5)
    shift = -centre[touched] / 32
    inside = shift.abs().amax(1) < 0.45  # farther out the mirror image begins
    assert (~inside).double().mean() < 0.002
    assert abs(shift[inside].std() - 0.125) < 0.004 and shift[inside].mean().abs() < 0.01
    assert abs(torch.corrcoef(shift[inside].T)[0, 1]) < 0.1
    assert (matrix[touched][inside] - torch.eye(2)).abs().max() < 0.05


def textbook_warp(x: Tensor, inverse: Tensor) -> Tensor:
    """The same as `_warping`, from operators on the whole mirrored picture at once."""
    height, width = x.shape[2:]
    wide = F.pad(x, (width - 1, width - 1, height - 1, height - 1), mode="reflect")
    taps = torch.tensor(ada.SYM6, dtype=x.dtype) / math.sqrt(2)
    up = layers.upfirdn2d(wide, taps, up=2, padding=(11, 10, 11, 10), gain=4)  # sample k of it is tap 5 of pixel (k - 5) / 2
    grids = []
    for matrix in inverse:
        row = (torch.arange(2 * height + 10, dtype=x.dtype) - 5) / 2 - (height - 1) / 2
        column = (torch.arange(2 * width + 10, dtype=x.dtype) - 5) / 2 - (width - 1) / 2
        points = torch.stack([column.expand(len(row), -1), row[:, None].expand(-1, len(column))], dim=-1)
        points = points @ matrix[:, :2].T.to(x.dtype) + matrix[:, 2].to(x.dtype)
        index = 2 * (points + torch.tensor([width - 1, height - 1]) * 1.5) + 5
        grids.append((2 * index + 1) / torch.tensor([up.shape[3], up.shape[2]]) - 1)
    fine = F.grid_sample(up, torch.stack(grids), align_corners=False)
    return layers.upfirdn2d(fine, taps.flip(0), down=2)


def some_affine_maps(n: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    linear = torch.eye(2, dtype=torch.float64) + 0.5 * torch.randn(n, 2, 2, dtype=torch.float64, generator=generator)
    return torch.cat([linear, 4 * torch.randn(n, 2, 1, dtype=torch.float64, generator=generator)], dim=2)


def test_warps_are_those_of_the_textbook():
    x, inverse = pictures(12, 10, 14, torch.float64), some_affine_maps(12)
    order, maps = ada._warping(inverse, x)
    assert sorted(order) == list(range(12))
    assert torch.allclose(maps.apply(x[order]), textbook_warp(x, inverse)[order], atol=1e-10)


def test_a_picture_that_has_left_the_plane_is_grey():
    x = pictures(3, 8, 8)
    inverse = torch.tensor([[1.0, 0, 0], [0, 1, 0]], dtype=torch.float64).repeat(3, 1, 1)
    inverse[1, 0, 2], inverse[2, 1, 2] = 500, -1e9
    order, maps = ada._warping(inverse, x)
    y = maps.apply(x[order])[torch.tensor(order).argsort()]
    assert torch.allclose(y[0], x[0], atol=1e-5) and y[1:].abs().max() == 0


@pytest.mark.parametrize("budget, parts", [(1, 9), (20_000, 8), (2**30, 1)])
def test_warps_do_not_depend_on_how_they_are_divided(budget, parts, monkeypatch):
    x, inverse, divide, made = pictures(9, 10, 14, torch.float64), some_affine_maps(9), ada._parts, []

    def divided(inverse, height, width, **_):
        made.append(divide(inverse, height, width, budget))
        return made[-1]

    monkeypatch.setattr(ada, "_parts", divided)
    order, maps = ada._warping(inverse, x)
    assert len(made[0][1]) == parts
    assert torch.allclose(maps.apply(x[order]), textbook_warp(x, inverse)[order], atol=1e-10)


def test_sampling_by_gathering_is_grid_sample():
    x, generator = pictures(3, 6, 9, torch.float64), torch.Generator().manual_seed(3)
    grid = 1.4 * (2 * torch.rand(3, 8, 7, 2, generator=generator, dtype=torch.float64) - 1)  # some of it outside
    grid[0, 0, 0], grid[0, 0, 1] = 1.0, torch.tensor([-1e9, 1e9])
    x.requires_grad_()
    ours, theirs = ada._gathered(x, grid), F.grid_sample(x, grid, align_corners=False)
    assert torch.allclose(ours, theirs, atol=1e-12)
    weights = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12)
    assert torch.allclose(ada._sample_transposed(weights, grid, (6, 9)), gradients[1], atol=1e-12)


# -- colour


def colour_maps(**arguments) -> tuple[Tensor, Tensor, Tensor]:
    """matrix [N, 3, 3], constant [N, 3] and whether changed: read off from black, red, green and blue pixels."""
    x = torch.cat([torch.zeros(3, 1), torch.eye(3)], dim=1).view(3, 2, 2).expand(N, 3, 2, 2)
    torch.manual_seed(0)
    y = pipe_of(0.5, **arguments)(x).double().flatten(2)
    return y[:, :, 1:] - y[:, :, :1], y[:, :, 0], changed(x, y.view(N, 3, 2, 2))


GREY = torch.full((3, 3), 1 / 3, dtype=torch.float64)
EYE = torch.eye(3, dtype=torch.float64)


def test_brightness():
    matrix, constant, touched = colour_maps(brightness=1)
    assert_share(touched, 0.5)
    assert torch.allclose(matrix, EYE, atol=1e-6) and (constant - constant[:, :1]).abs().max() == 0
    assert_normal(constant[touched, 0], 0.2)


def test_contrast():
    matrix, constant, touched = colour_maps(contrast=1)
    assert_share(touched, 0.5)
    factor = matrix[touched, 0, 0]
    assert torch.allclose(matrix[touched], EYE * factor[:, None, None], atol=1e-6) and constant.abs().max() == 0
    assert_normal(factor.log2(), 0.5)


def test_lumaflip():
    matrix, constant, touched = colour_maps(lumaflip=1)
    assert_share(touched, 0.25)
    assert torch.allclose(matrix[touched], EYE - 2 * GREY, atol=1e-6) and constant.abs().max() == 0


def test_hue():
    matrix, _, touched = colour_maps(hue=1)
    assert_share(touched, 0.5)
    matrix = matrix[touched]
    assert torch.allclose(matrix @ matrix.mT, EYE, atol=1e-5) and torch.allclose(matrix @ GREY, GREY, atol=1e-6)
    sine = (matrix[:, 1, 0] - matrix[:, 0, 1]) * math.sqrt(3) / 2
    cosine = (matrix.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert_uniform(torch.atan2(sine, cosine), -math.pi, math.pi)


def test_saturation():
    matrix, _, touched = colour_maps(saturation=1)
    assert_share(touched, 0.5)
    factor = (matrix[touched].diagonal(dim1=1, dim2=2).sum(1) - 1) / 2
    assert torch.allclose(matrix[touched], GREY + (EYE - GREY) * factor[:, None, None], atol=1e-4)
    assert_normal(factor.log2(), 1.0)


def test_colours_are_changed_in_the_papers_order():
    x = torch.cat([torch.zeros(3, 1), torch.eye(3)], dim=1).view(1, 3, 2, 2).double()
    y = preset_of("color", 1)(x, percentile=0.7).flatten(2)[0]
    normal, angle = torch.erfinv(torch.tensor(0.4, dtype=torch.float64)), 0.4 * math.pi
    expected = (x.flatten(2)[0] + normal * 0.2) * 2 ** (normal * 0.5)
    expected = expected - 2 * expected.mean(0)
    axis = torch.ones(3, 1, dtype=torch.float64) / math.sqrt(3)  # Rodrigues' formula
    across = torch.linalg.cross(axis.expand(-1, 4), expected, dim=0)
    expected = expected * math.cos(angle) + across * math.sin(angle) + axis * (axis.T @ expected) * (1 - math.cos(angle))
    expected = expected.mean(0) + (expected - expected.mean(0)) * 2**normal
    assert torch.allclose(y, expected, atol=1e-12)


# -- filter, noise, cutout


def test_imgfilter():
    x = pictures(N, 4, 4)
    torch.manual_seed(0)
    assert_share(changed(x, pipe_of(0.5, imgfilter=1)(x)), 1 - 0.5**4)  # a coin for each band
    # The lowest band alone, on constant pictures: its gain g, along either axis, tells the value drawn.
    torch.manual_seed(0)
    gain = pipe_of(0.5, imgfilter=1, imgfilter_bands=[1, 0, 0, 0])(torch.ones(N, 3, 2, 2).double())[:, 0, 0, 0]
    touched = (gain - 1).abs() > 1e-9
    assert_share(touched, 0.5)
    drawn = (3 / 13 * gain / (1 - 10 / 13 * gain)).log2() / 2  # g^2 = t^2 / (10/13 t^2 + 3/13)
    assert_normal(drawn[touched], 1.0)


def test_noise():
    x = torch.zeros(N, 3, 8, 8)
    torch.manual_seed(0)
    y = pipe_of(0.5, noise=1)(x).flatten(1)
    touched = changed(x, y.view_as(x))
    assert_share(touched, 0.5)
    strength = y[touched].std(1)
    assert abs(strength.square().mean().sqrt() / 0.1 - 1) < 0.05
    assert_share(strength < 0.1, 0.6827)  # within one standard deviation: half-normal
    assert (y[touched].mean(1) / strength * math.sqrt(192)).std() - 1 < 0.1


def test_cutout():
    x = torch.ones(N, 3, 32, 16)
    torch.manual_seed(0)
    y = pipe_of(0.5, cutout=1)(x)
    hole = y == 0
    assert_share(hole.flatten(1).any(1), 0.5)
    assert_share(hole[:, 0, 16, 8], 0.5 * 0.25)  # the centre lies within a quarter of it along both axes
    assert_share(hole[:, 0, 0, 0], 0.5 * (9 / 32 - 1 / 64 - 1 / 64) * (5 / 16 - 1 / 32 - 1 / 32))
    rows, columns = hole[:, 0].any(2).sum(1), hole[:, 0].any(1).sum(1)
    assert (hole[:, 0].sum((1, 2)) == rows * columns).all() and (rows <= 16).all() and (columns <= 8).all()
    assert torch.equal(hole[:, 0], hole[:, 2]) and ((y == 1) | hole).all()


# -- derivatives


@pytest.mark.parametrize("name", ["blit", "geom", "color", "filter", "noise", "cutout", "bgcfnc"])
def test_first_and_second_derivatives(name):
    pipe = preset_of(name, 0.8)

    def augmented(x: Tensor) -> Tensor:
        torch.manual_seed(4)
        return pipe(x).pow(2)

    x = pictures(3, 5, 5, torch.float64).requires_grad_()
    assert changed(x.detach().pow(2), augmented(x).detach()).any()
    assert torch.autograd.gradcheck(augmented, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(augmented, x, fast_mode=True)


def test_r1_through_the_pipeline_is_that_of_its_matrix():
    torch.manual_seed(0)
    D = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.LazyLinear(1)).double()
    pipe, x = preset_of("bgc", 1), pictures(2, 6, 6, torch.float64)
    zeros = torch.zeros(1, 3, 6, 6, dtype=torch.float64)
    offset = pipe(zeros, percentile=0.3)
    unit = torch.eye(108, dtype=torch.float64).view(108, 3, 6, 6)
    matrix = (pipe(unit, percentile=0.3) - offset).flatten(1)

    def penalty(augment) -> list[Tensor]:
        real = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(D(augment(real)).sum(), real, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), [p for p in D.parameters() if p.ndim > 1])

    ours = penalty(lambda real: pipe(real, percentile=0.3))
    theirs = penalty(lambda real: (real.flatten(1) @ matrix).view(2, 3, 6, 6) + offset)
    for a, b in zip(ours, theirs):
        assert torch.allclose(a, b, rtol=1e-9)


def test_training_can_use_what_a_first_call_in_inference_mode_has_cached():
    pipe = preset_of("bgcfnc", 1)
    with torch.inference_mode():
        pipe(pictures(2, 17, 17))
    x = pictures(2, 17, 17).requires_grad_()
    pipe(x).square().sum().backward()
    assert x.grad.isfinite().all()


# -- randomness


def test_a_seed_repeats_the_augmentation_and_the_next_batch_differs():
    pipe, x = preset_of("bgcfnc", 0.7), pictures(8)
    torch.manual_seed(11)
    first, second = pipe(x), pipe(x)
    torch.manual_seed(11)
    again = pipe(x)
    state = torch.get_rng_state()
    assert torch.equal(first, again) and not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(pipe(x), second)


def test_pictures_of_a_batch_are_augmented_independently():
    x = pictures(1).expand(64, -1, -1, -1)
    torch.manual_seed(0)
    y = preset_of("bgc", 1)(x).flatten(1)
    assert (torch.cdist(y, y) + 1e9 * torch.eye(64)).min() > 0.1


def test_another_default_device_does_not_disturb():
    pipe, x = preset_of("bgcfnc", 1), pictures()
    expected = pipe(x, percentile=0.3)
    with torch.device("meta"):
        assert torch.equal(pipe(x, percentile=0.3), expected)
        controller = AdaController(interval=1)
        controller.observe(torch.ones(4, 1, device="cpu"))
        assert controller.step() > 0


def test_p_is_saved_and_stays_on_the_host_in_float32():
    pipe = preset_of("bgc", 0.25)
    moved = torch.nn.Sequential(pipe).half().to("meta")[0]
    assert moved.p.device.type == "cpu" and moved.p.dtype == torch.float32 and float(moved.p) == 0.25
    other = AugmentPipe.preset("bgc")
    other.load_state_dict(pipe.state_dict())
    assert float(other.p) == 0.25


def test_presets_switch_on_their_groups():
    names = ["xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac", "brightness", "contrast", "lumaflip", "hue"]
    names += ["saturation", "imgfilter", "noise", "cutout"]
    assert set(PRESETS) == {"blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"}
    expected = {"blit": names[:3], "bg": names[:7], "bgc": names[:12], "bgcf": names[:13], "bgcfn": names[:14], "bgcfnc": names}
    for preset, on in expected.items():
        pipe = AugmentPipe.preset(preset)
        assert [name for name in names if getattr(pipe, name) == 1] == list(on) and float(pipe.p) == 0
        assert all(getattr(pipe, name) == 0 for name in names if name not in on)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: there is none here")
def test_a_gpu_augments_as_the_cpu_does():
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        x = pictures(16, 32, 32).to(device).requires_grad_()
        y = preset_of("bgcf", 0.8).to(device)(x)
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        results.append([t.detach().cpu() for t in (y, gradient, second)])
    for on_cpu, on_gpu in zip(*results):
        assert (on_gpu - on_cpu).norm() < 1e-3 * on_cpu.norm()


# -- refusals


@pytest.mark.parametrize(
    "arguments",
    [
        {"xflip": -1},
        {"scale": math.nan},
        {"hue": math.inf},
        {"cutout": "often"},
        {"noise": None},
        {"scale_std": -0.1},
        {"aniso_std": 1e6},
        {"imgfilter_bands": [1, 1, 1]},
        {"imgfilter_bands": 1.0},
        {"imgfilter_bands": [1, 1, 1, -1]},
    ],
)
def test_bad_multipliers_and_strengths_are_refused_in_one_line(arguments):
    with pytest.raises(InputError) as refusal:
        AugmentPipe(**arguments)
    assert "\n" not in str(refusal.value) and next(iter(arguments)) in str(refusal.value)


def test_bad_calls_are_refused_in_one_line():
    pipe = preset_of("bgc", 0.5)
    calls = [
        lambda: AugmentPipe.preset("bcg"),
        lambda: pipe(torch.zeros(2, 1, 8, 8)),
        lambda: pipe(torch.zeros(3, 8, 8)),
        lambda: pipe(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)),
        lambda: pipe(torch.zeros(2, 3, 1, 8)),
        lambda: pipe(pictures(), percentile=0),
        lambda: pipe(pictures(), percentile=math.nan),
        lambda: preset_of("bgc", 1.5)(pictures()),
        lambda: preset_of("bgc", math.nan)(pictures()),
        lambda: AdaController(target=2),
        lambda: AdaController(target=math.nan),
        lambda: AdaController(kimg=0),
        lambda: AdaController(interval=0),
        lambda: AdaController(interval=1.5),
        lambda: AdaController(p=-0.1),
        lambda: AdaController().load_state_dict({"p": 0.1}),
        lambda: AdaController().load_state_dict({"p": "x", "r_t": 0, "steps": 0, "signs": 0, "pictures": 0}),
    ]
    for call in calls:
        with pytest.raises(InputError) as refusal:
            call()
        assert "\n" not in str(refusal.value)


def test_extremes_stay_finite():
    x = pictures(3, 2, 2)
    for arguments in ({"scale_std": 10}, {"aniso_std": 10}, {"xfrac_std": 10}, {"xint_max": 10}, {"cutout_size": 10}):
        torch.manual_seed(0)
        pipe = pipe_of(1, scale=10, rotate=10, aniso=1, xfrac=1, xint=1, rotate90=1, cutout=1, **arguments)
        assert all(pipe(x).isfinite().all() for _ in range(20))
    assert preset_of("bgcfnc", 1)(x[:0]).shape == (0, 3, 2, 2)


# -- the controller


def judged(positive: int, negative: int) -> Tensor:
    return torch.cat([torch.full((positive, 1), 3.0), torch.full((negative, 1), -0.5)])


def test_controller_by_hand():
    controller = AdaController(target=0.6, kimg=0.1, interval=2, p=0.5)  # a picture moves p by 1/100
    assert math.isnan(controller.r_t)
    controller.observe(judged(8, 0))
    assert controller.step() == 0.5  # the interval is not over
    controller.observe(judged(7, 1))
    assert controller.step() == pytest.approx(0.66) and controller.r_t == pytest.approx(14 / 16)  # 15 of 16 right: too sure
    for _ in range(2):
        controller.observe(judged(4, 4))
        p = controller.step()
    assert p == pytest.approx(0.50) and controller.r_t == 0
    controller.observe(judged(8, 2))
    controller.step()
    controller.observe(judged(8, 2))
    assert controller.step() == pytest.approx(0.50) and controller.r_t == pytest.approx(0.6)  # on the target


def test_controller_stays_between_0_and_1():
    controller = AdaController(kimg=0.02, interval=1)
    path = []
    for logits in [judged(0, 8)] + [judged(8, 0)] * 4 + [judged(0, 8)] * 4:
        controller.observe(logits)
        path.append(controller.step())
    assert path == pytest.approx([0, 0.4, 0.8, 1, 1, 0.6, 0.2, 0, 0])


def test_controller_needs_500_kimg_from_0_to_1_as_in_the_paper():
    controller = AdaController()
    for _ in range(4 * 5):
        controller.observe(judged(64, 0))
        controller.step()
    assert controller.p == pytest.approx(5 * 4 * 64 / 500_000)


def test_controller_takes_micro_batches_and_patches():
    whole, parts = AdaController(kimg=0.1, interval=1), AdaController(kimg=0.1, interval=1)
    logits = torch.randn(8, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    whole.observe(logits)
    parts.observe(logits[:6].bfloat16())
    parts.observe(logits[6:].requires_grad_())
    assert whole.step() == parts.step() and whole.r_t == pytest.approx(float(logits.detach().sign().mean()))
    assert parts.r_t == pytest.approx(whole.r_t)


def test_fixed_p_is_measured_but_kept():
    controller = AdaController(target=None, interval=1, p=0.3)
    controller.observe(judged(6, 2))
    assert controller.step() == 0.3 and controller.r_t == 0.5


def test_controller_outlives_steps_without_logits_and_logits_that_are_no_numbers():
    controller = AdaController(interval=1, p=0.3)
    assert controller.step() == 0.3
    controller.observe(torch.tensor([[math.nan], [1.0]]))
    assert math.isfinite(controller.step())


def test_resumed_in_the_middle_of_an_interval_the_controller_goes_on_exactly():
    batches = [judged(k, 8 - k) for k in (8, 7, 8, 6, 8, 5, 5, 5, 8, 7, 2, 8, 0, 1, 0, 3, 4, 8, 8)]

    def run(controller: AdaController, batches: list[Tensor]) -> list[float]:
        path = []
        for logits in batches:
            controller.observe(logits)
            path.append(controller.step())
        return path

    through = AdaController(target=0.1, kimg=0.3, interval=4, p=0.4)
    expected = run(through, batches)
    assert len(set(expected)) > 3
    for cut in range(1, len(batches)):
        first, second = (AdaController(target=0.1, kimg=0.3, interval=4, p=0.4) for _ in range(2))
        before = run(first, batches[:cut])
        second.load_state_dict(first.state_dict())
        assert before + run(second, batches[cut:]) == expected and second.state_dict() == through.state_dict()


def test_processes_agree_on_p(monkeypatch):
    alone, shared = AdaController(kimg=0.1, interval=1), AdaController(kimg=0.1, interval=1)
    alone.observe(torch.cat([judged(5, 1), judged(6, 0)]))
    others = torch.tensor([6.0, 6.0])  # what a second process adds to the sums
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(ada.dist, "all_reduce", lambda sums: sums.add_(others))
    shared.observe(judged(5, 1))
    assert shared.step() > 0
    monkeypatch.setattr(processes, "count", lambda: 1)
    assert shared.p == alone.step() and shared.r_t == alone.r_t
