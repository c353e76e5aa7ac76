"""Framing: known zooms, shifts and turns of drawn faces come back as numbers, and equal sets are called equal."""

from __future__ import annotations

import math

import pytest
import torch

from facegen.data.drawn import DrawnFaces, drawn
from facegen.data.framing import FFHQ_CROP, Distribution, Framing, compare, framing, reframe
from facegen.files import InputError

SIZE = 64


@pytest.fixture(scope="module")
def faces() -> DrawnFaces:
    return drawn(200, SIZE, seed=4)


def changed(of: Framing, zoom: float = 1.0, x: float = 0.0, y: float = 0.0, roll: float = 0.0) -> Framing:
    """The framing's medians, moved."""
    return Framing.exactly(of.scale.median * zoom, of.x.median + x, of.y.median + y, of.roll.median + roll)


def square(size=SIZE, centre=(32.0, 32.0), eyes=18.0, down=20.0, degrees=0.0) -> torch.Tensor:
    """Landmarks [1, 5, 2] of an exact face about its centre."""
    points = torch.tensor([[-eyes / 2, -down / 2], [eyes / 2, -down / 2], [0, 0], [-eyes / 3, down / 2], [eyes / 3, down / 2]])
    a = math.radians(degrees)
    turn = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
    return (points @ turn.T + torch.tensor(centre))[None]


def test_an_exact_face_is_measured_exactly():
    found = framing(square(centre=(20.0, 40.0), degrees=12.0), (64, 80))
    assert found.scale.median == pytest.approx(20 / 64) and found.roll.median == pytest.approx(12.0, abs=1e-4)
    assert (found.x.median, found.y.median) == pytest.approx((20 / 80, 40 / 64))
    assert (found.n, found.scale.spread) == (1, 0.0)


def test_a_turned_or_nodding_head_keeps_its_size():
    assert framing(square(eyes=9.0), SIZE).scale.median == pytest.approx(20 / 64)
    assert framing(square(down=10.0), SIZE).scale.median == pytest.approx(20 / 64)


def test_median_and_spread_are_those_of_a_normal_distribution():
    values = 3 + 2 * torch.randn(20_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = Distribution(values)
    assert found.median == pytest.approx(3, abs=0.06) and found.spread == pytest.approx(2, abs=0.06)
    values[:2000] = 1e6  # a tenth of wrong detections
    assert Distribution(values).median == pytest.approx(3.28, abs=0.1) and Distribution(values).spread < 2.6
    assert Distribution(torch.tensor([1.0, 2.0, 4.0, 8.0])).median == 3.0


def test_drawn_faces_are_measured_as_they_were_drawn(faces):
    found = framing(faces.landmarks, SIZE)
    # Drawn eyes lie at 0.465 of the height, one inter-eye distance is 0.212 of it, and heads tilt by 3.2 degrees.
    assert 0.22 < found.scale.median < 0.26 and 0.48 < found.x.median < 0.52 and 0.56 < found.y.median < 0.60
    assert (found.roll.values.float() - faces.attributes["roll"]).abs().median() < 0.6
    assert torch.corrcoef(torch.stack([found.roll.values.float(), faces.attributes["roll"]]))[0, 1] > 0.95


@pytest.mark.parametrize("confidence", [0.9, 0.999])
def test_the_report_of_equal_sets_is_empty_as_often_as_it_says(confidence, monkeypatch):
    """1,000 pairs of equal sets without the help of tolerances: errors stay below the promised share."""
    monkeypatch.setattr("facegen.data.framing.TOLERANCE", dict.fromkeys(("scale", "x", "y", "roll"), 0.0))
    monkeypatch.setattr("facegen.data.framing.CONFIDENCE", confidence)
    random = torch.Generator().manual_seed(1)

    def some(n: int) -> Framing:
        draw = lambda: Distribution(torch.randn(n, dtype=torch.float64, generator=random))  # noqa: E731
        return Framing(Distribution((0.05 * draw().values).exp()), draw(), draw(), draw())

    wrong = sum(bool(compare(some(40), some(160)).mismatches) for _ in range(1000))
    assert wrong / 1000 <= (1 - confidence) + 3 * math.sqrt(confidence * (1 - confidence) / 1000)


def test_equal_sets_give_no_mismatch_for_50_seeds(faces):
    others = framing(faces.landmarks, SIZE)
    for seed in range(100, 150):
        report = compare(framing(drawn(100, 16, seed=seed).landmarks, 16), others)
        assert report.conclusive and not report.mismatches, (seed, str(report))
    assert str(report) == "A and B are framed alike (100 and 200 faces)."


def test_known_changes_are_recovered_with_their_numbers(faces):
    a, b = faces.landmarks[:100], faces.landmarks[100:]
    before = framing(b, SIZE)
    natural = compare(framing(a, SIZE), before)
    assert not natural.mismatches
    _, moved = reframe(faces.images[100:], b, changed(before, 1.31, 0.05, -0.04, 7.0), per_face=False)
    report = compare(framing(a, SIZE), framing(moved, SIZE))
    found = {d.quantity: d for d in report.mismatches if d.of == "median"}
    assert set(found) == {"scale", "x", "y", "roll"}
    for quantity, expected in {"scale": 1.31, "x": 0.05, "y": -0.04, "roll": 7.0}.items():
        assert found[quantity].low < expected < found[quantity].high
    # Two samples differ a little by nature; what was done to one of them comes on top, to the digit.
    assert found["scale"].value == pytest.approx(1.31 * natural["scale", "median"].value, rel=1e-4)
    assert found["roll"].value == pytest.approx(7 + natural["roll", "median"].value, abs=1e-3)
    assert found["x"].value == pytest.approx(0.05 + natural["x", "median"].value, abs=0.003)
    assert found["y"].value == pytest.approx(-0.04 + natural["y", "median"].value, abs=0.003)
    text = str(report)
    assert f"faces in B fill {found['scale'].value:.2f} times more of the picture" in text
    assert "more clockwise" in text and "further right" in text and "higher than in A" in text
    assert "facegen prepare-unpaired --reframe" in text and "facegen train --reframe" in text
    back = str(compare(framing(moved, SIZE), framing(a, SIZE)))
    assert f"faces in A fill {found['scale'].value:.2f} times more" in back and "more anticlockwise" in back
    assert "further left" in back and "lower than in A" in back


@pytest.mark.parametrize(("quantity", "change"), [("scale", {"zoom": 1.1}), ("x", {"x": 0.03}), ("roll", {"roll": -4.0})])
def test_one_change_is_named_alone(faces, quantity, change):
    a, b = framing(faces.landmarks[:100], SIZE), framing(faces.landmarks[100:], SIZE)
    _, moved = reframe(faces.images[100:], faces.landmarks[100:], changed(b, **change), per_face=False)
    assert [(d.quantity, d.of) for d in compare(a, framing(moved, SIZE)).mismatches] == [(quantity, "median")]


def test_more_variety_is_named(faces):
    a, b = framing(faces.landmarks[:100], SIZE), framing(faces.landmarks[100:], SIZE)
    tilted = Framing(b.scale, b.x, b.y, Distribution(b.roll.median + 4 * (b.roll.values - b.roll.median)))
    report = compare(a, tilted)
    assert [(d.quantity, d.of) for d in report.mismatches] == [("roll", "spread")]
    assert "faces in B vary more in tilt" in str(report)
    assert report["roll", "spread"].b == pytest.approx(4 * b.roll.spread)


def test_too_few_faces_prove_nothing(faces):
    a, b = faces.landmarks[:13], faces.landmarks[100:] * 1.5
    report = compare(framing(a, SIZE), framing(b, SIZE))
    assert not report.conclusive and not report.mismatches and report.needed == 14
    assert str(report) == "Too few faces to compare framings: A has 13 and B 100, and each needs 14 or more."
    assert str(compare(framing(a, SIZE), framing(b, SIZE), missed=(3, 0))).endswith("found in 3 of 16 pictures of A")
    enough = compare(framing(faces.landmarks[:14], SIZE), framing(b, SIZE))
    assert enough.conclusive and enough["scale", "median"].matters


@pytest.mark.parametrize("zoom", [0.8, 1.25])
def test_a_few_faces_are_compared_without_a_word_whichever_set_has_the_larger(faces, zoom):
    of = framing(faces.landmarks[:5], SIZE)
    report = compare(of, changed(of, zoom=zoom))
    assert not report.mismatches and report["scale", "median"].value == pytest.approx(zoom)


def test_large_sets_are_not_told_apart_by_trifles(faces):
    many = framing(drawn(3000, 16, seed=8).landmarks, 16)
    nudged = Framing(many.scale, Distribution(many.x.values + 0.004), many.y, many.roll)
    report = compare(many, nudged)
    assert report["x", "median"].low > 0 and not report.mismatches  # sure, but small


def test_reframed_faces_lie_where_the_target_says(faces):
    for target in (FFHQ_CROP, changed(framing(faces.landmarks, SIZE), 0.8, 0.1, -0.1, 20.0)):
        images, moved = reframe(faces.images, faces.landmarks, target)
        found = framing(moved, SIZE)
        for name in ("scale", "x", "y", "roll"):
            got = getattr(found, name)
            assert got.values == pytest.approx([getattr(target, name).median] * 200, abs=1e-4), name
        assert images.shape == faces.images.shape and images.dtype == torch.uint8


def dots(landmarks: torch.Tensor, size: int, radius: float) -> torch.Tensor:
    """White dots on black at the landmarks, float [N, 5, size, size] in 0..1: their centres can be measured."""
    at = torch.arange(size) + 0.5
    x, y = landmarks[..., 0, None, None], landmarks[..., 1, None, None]
    return torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / (2 * radius**2))


@pytest.mark.parametrize(("zoom", "degrees"), [(1.0, 0.0), (1.3, 15.0), (0.6, -25.0), (0.3, 5.0)])
def test_pixels_move_with_the_landmarks(zoom, degrees):
    """Pictures that are not square: each landmark's own dot is found where the new landmarks say, to a tenth of a pixel."""
    height, width = 96, 120
    points = torch.cat([square(centre=(60.0, 45.0)), square(centre=(55.0, 50.0), eyes=24.0, down=27.0, degrees=8.0)])
    before = framing(points[:1], (height, width))
    target = changed(before, zoom, 0.04, 0.03, degrees)
    at_x, at_y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    for k in range(5):
        one = dots(points, 120, 3.0)[:, k, :height]
        images = (one * 255).round().to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
        pictures, moved = reframe(images, points, target)
        light = pictures[:, 0].double()
        for i in range(2):
            x, y = moved[i, k]
            near = light[i] * (((at_x - x) ** 2 + (at_y[:, None] - y) ** 2) < (12 * zoom) ** 2)
            centre = torch.stack([(near.sum(0) * at_x).sum(), (near.sum(1) * at_y).sum()]) / near.sum()
            assert torch.allclose(centre.float(), moved[i, k], atol=0.1), (k, i)


def test_shrinking_leaves_no_black_wedge_and_no_aliasing():
    white = torch.full((1, 3, SIZE, SIZE), 200, dtype=torch.uint8)
    shrunk, _ = reframe(white, square(), Framing.exactly(0.08, 0.7, 0.3, 40.0))
    assert (shrunk == 200).all()
    checks = ((torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2 * 255).to(torch.uint8).expand(1, 3, SIZE, SIZE)
    grey, _ = reframe(checks, square(), Framing.exactly(20 / 64 / 2.5, 0.5, 0.5, 0.0))
    assert (grey.float() - 127.5).abs().max() < 32  # single points would give 0 and 255


def test_the_same_framing_leaves_the_picture_as_it_is(faces):
    one = framing(faces.landmarks[:1], SIZE)
    images, moved = reframe(faces.images[:1], faces.landmarks[:1], one)
    assert (images.int() - faces.images[:1].int()).abs().max() <= 1
    assert torch.allclose(moved, faces.landmarks[:1], atol=1e-4)


def test_there_and_back_is_nearly_where_it_was(faces):
    before = framing(faces.landmarks, SIZE)
    images, moved = reframe(faces.images, faces.landmarks, changed(before, 1.2, 0.0, 0.0, 10.0), per_face=False)
    again, back = reframe(images, moved, before, per_face=False)
    assert torch.allclose(back, faces.landmarks, atol=0.2)
    centre = slice(20, 44)
    assert (again.float() - faces.images.float())[..., centre, centre].abs().mean() < 8


def test_a_face_does_not_depend_on_its_batch(faces):
    target = changed(framing(faces.landmarks, SIZE), 0.95)
    images, moved = reframe(faces.images[:40], faces.landmarks[:40], target)
    for i in (0, 17, 39):
        alone, landmark = reframe(faces.images[i : i + 1], faces.landmarks[i : i + 1], target)
        assert (alone[0].int() - images[i].int()).abs().max() <= 1 and torch.allclose(landmark[0], moved[i])
    none, nowhere = reframe(faces.images[:0], faces.landmarks[:0], target)
    assert none.shape == (0, 3, SIZE, SIZE) and nowhere.shape == (0, 5, 2)


def broken(faces: DrawnFaces, value: float) -> torch.Tensor:
    points = faces.landmarks[:3].clone()
    points[1] = value
    return points


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda f: framing(f.landmarks[:0], SIZE), "no landmarks"),
        (lambda f: framing(f.landmarks[:, :4], SIZE), "[N, 5, 2]"),
        (lambda f: framing(f.landmarks.int(), SIZE), "float"),
        (lambda f: framing(broken(f, math.nan), SIZE), "face 1"),
        (lambda f: framing(broken(f, 7.0), SIZE), "face 1"),
        (lambda f: framing(f.landmarks[:, [1, 0, 2, 4, 3]], SIZE), "exchanged"),
        (lambda f: framing(f.landmarks, 0), "size"),
        (lambda f: reframe(f.images.float(), f.landmarks, FFHQ_CROP), "uint8"),
        (lambda f: reframe(f.images[:5], f.landmarks, FFHQ_CROP), "one face for each"),
        (lambda f: reframe(f.images, f.landmarks, Framing.exactly(0, 0.5, 0.5)), "scale"),
    ],
)
def test_bad_input_is_refused_in_one_line(faces, call, word):
    with pytest.raises(InputError) as error:
        call(faces)
    assert word in str(error.value) and "\n" not in str(error.value)
