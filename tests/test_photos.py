"""Warnings about photographs by name, with numbers and pictures; and marking a face by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from facegen.__main__ import main
from facegen.data.drawn import drawn
from facegen.data.faces import framed, square
from facegen.data.photos import LIMITS, NAMES, PhotoCheck, align, annotated, check_photo, turn
from facegen.files import InputError


def picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


@pytest.fixture(scope="module")
def people():
    """Drawn faces without dark glasses that look ahead, with their landmarks."""
    glasses = [1, 0, 0, 0]
    return drawn(6, 256, seed=5, weights={"glasses": glasses, "hat": [1, 0, 0]})


@pytest.fixture(scope="module")
def photo(people):
    """One of them in a wider picture, and its landmarks there: not aligned yet."""
    canvas = Image.new("RGB", (400, 440), (120, 140, 170))
    canvas.paste(picture(people.images[2]), (70, 90))
    return canvas, people.landmarks[2].double().numpy() + np.array([70, 90])


def landscape() -> Image.Image:
    """Sky, hills and a lake."""
    y, x = np.mgrid[:240, :320].astype(float)
    sky = np.stack([150 + y / 3, 180 + y / 4, 235 - y / 8], 2)
    hills = y > 130 + 20 * np.sin(x / 40) + 8 * np.sin(x / 11)
    lake = y > 190 + 3 * np.sin(x / 60)
    sky[hills] = [60, 110, 50]
    sky[lake] = [70, 120, 190]
    grain = np.random.default_rng(0).normal(0, 8, sky.shape)
    return Image.fromarray((sky + grain * (1 + hills[..., None])).clip(0, 255).astype(np.uint8))


def barred(image: Image.Image, points: np.ndarray, middle: np.ndarray, half: float) -> Image.Image:
    result = image.copy()
    unit = np.hypot(*square(points)[1]) / 3.6
    x, y = middle
    ImageDraw.Draw(result).rectangle((x - unit, y - half * unit, x + unit, y + half * unit), fill="black")
    return result


# ------------------------------------------------------------------------------------------------- constructed fails


def test_a_good_photograph_gives_no_warning(photo):
    check = check_photo(photo[0])
    assert check.names == () and str(check) == "picture: nothing to warn of"
    unit = np.hypot(*square(photo[1])[1]) / 3.6
    assert np.abs(check.landmarks - photo[1]).max() < 0.2 * unit
    assert set(check.measures) >= {"turned", "rotated", "chin", "mouth"}


def test_upside_down_is_found_turned_and_said(photo, tmp_path):
    image, points = photo
    check = check_photo(image.rotate(180))
    assert check.names == ("rotated",) and check.turned == 180
    assert "the face stands upside down: turned by 180 degrees" in str(check)
    assert np.abs(check.landmarks - (np.array(image.size) - points)).max() < 12
    image.rotate(180).save(tmp_path / "down.png")
    align(tmp_path / "down.png", tmp_path / "up.png", 128)
    upright = check_photo(Image.open(tmp_path / "up.png"), 64)
    assert upright.turned == 0 and abs(upright.measures["rotated"]) < 6


@pytest.mark.parametrize("degrees", [90, 270])
def test_a_face_on_its_side_is_found(photo, degrees):
    check = check_photo(photo[0].rotate(degrees, expand=True))
    assert check.names == ("rotated",) and check.turned == degrees
    assert f"the face lies on its side: turned by {degrees} degrees" in str(check)


@pytest.mark.parametrize("degrees", [45, -50])
def test_a_tilted_head_is_found_and_its_landmarks_are_right(photo, degrees):
    image, points = photo
    check = check_photo(image.rotate(degrees, expand=True, fillcolor=(120, 140, 170)))
    assert check.names == ("rotated",) and "the head is tilted" in str(check)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = (points - np.array(image.size) / 2) @ turn.T + np.array(check.size) / 2
    unit = np.hypot(*square(points)[1]) / 3.6
    assert np.abs(check.landmarks - expected).max() < 0.2 * unit


def test_two_people(people):
    canvas = Image.new("RGB", (560, 300), (120, 140, 170))
    canvas.paste(picture(people.images[0]), (10, 30))
    canvas.paste(picture(people.images[2]), (290, 30))
    check = check_photo(canvas)
    assert check.names == ("several-faces",) and check.faces == 2
    assert "2 faces, 1 is wanted; the largest face was taken" in str(check)


def test_a_black_bar(photo):
    image, points = photo
    over_eyes = check_photo(barred(image, points, points[:2].mean(0), 0.24))
    assert over_eyes.names == ("occluded",) and "eyes seen with chance" in str(over_eyes)
    over_mouth = check_photo(barred(image, points, points[3:].mean(0), 0.24))
    assert over_mouth.names == ("occluded",) and "mouth seen with chance" in str(over_mouth)
    on_the_forehead = check_photo(barred(image, points, points[:2].mean(0) - [0, 55], 0.1))
    assert "occluded" not in on_the_forehead.names


def test_a_cut_through_the_chin_and_through_the_forehead(photo):
    image, points = photo
    unit = np.hypot(*square(points)[1]) / 3.6
    chin = check_photo(image.crop((0, 0, image.width, round(points[:2, 1].mean() + 1.3 * unit))))
    assert chin.names == ("cut",) and "below the eyes (chin" in str(chin)
    assert chin.measures["chin"] == pytest.approx(1.3, abs=0.12)
    top = check_photo(image.crop((0, round(points[:2, 1].mean() - 0.4 * unit), image.width, image.height)))
    assert top.names == ("cut",) and "above the eyes (forehead" in str(top)
    left = check_photo(image.crop((round(points[:, 0].mean() - 0.6 * unit), 0, image.width, image.height)))
    assert left.names == ("cut",) and "(left side" in str(left)


def test_a_face_of_30_pixels(people):
    face = picture(people.images[2]).resize((48, 48), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (450, 550), (120, 140, 170))
    canvas.paste(face, (200, 200))
    check = check_photo(canvas)
    assert "too-small" in check.names and "occluded" not in check.names
    assert 30 < check.measures["too-small"] < 70


def test_noise_and_a_landscape_have_no_face():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 300, 3), dtype=np.uint8))
    for image in (noise, landscape()):
        check = check_photo(image)
        assert check.names == ("no-face",) and check.landmarks is None
        assert "nothing is a face" in str(check) and "mark eyes and mouth by hand" in str(check)


def test_a_picture_that_is_aligned_already(photo):
    image, points = photo
    assert "already-aligned" in check_photo(framed(image, points, 256)[0]).names


# ----------------------------------------------------------------------------------------------------------- measures


def test_a_turned_head_is_measured():
    """By the nose: as in the heads that were drawn, to either side, tilted or not; the limit is at nearly 30 degrees."""
    heads = drawn(300, 32, seed=3)
    degrees, found = heads.attributes["yaw"].numpy(), np.array([turn(points.double().numpy()) for points in heads.landmarks])
    assert np.corrcoef(degrees, found)[0, 1] > 0.98
    assert abs(np.polyfit(found, degrees, 1)[0] * LIMITS["turned"] - 28) < 4
    head, angle = heads.landmarks[7].double().numpy(), np.deg2rad(40)
    tilted = head @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    assert turn(tilted) == pytest.approx(found[7]) and turn(head[[1, 0, 2, 4, 3]] * [-1, 1]) == pytest.approx(-found[7])


def test_a_head_turned_too_far_is_named(photo):
    """One half of the face is stretched and the other squeezed, as a head looks that turns away."""
    image, points = photo
    nose = round(points[2, 0])
    near = image.crop((0, 0, nose, image.height)).resize((round(1.7 * nose), image.height))
    far = image.crop((nose, 0, *image.size)).resize((round(0.35 * (image.width - nose)), image.height))
    turned = Image.new("RGB", (near.width + far.width, image.height))
    turned.paste(near, (0, 0))
    turned.paste(far, (near.width, 0))
    assert "turned: the nose lies 0.30 eye distances right of the middle" in str(check_photo(turned))
    assert "eye distances left of the middle" in str(check_photo(turned.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))


# -------------------------------------------------------------------------------------------------- report and command


def test_names_limits_and_words_are_complete(photo):
    assert set(NAMES) <= set(LIMITS) | {"rotated", "cut"} and len(set(NAMES)) == 8
    image, points = photo
    check = check_photo(barred(image, points, points[:2].mean(0), 0.24).rotate(180), 512, name="a\nb.png")
    assert check.names == ("too-small", "rotated", "occluded") and list(check.names) == [n for n in NAMES if n in check.names]
    for line in str(check).splitlines():
        assert line.startswith("a b.png: ") and "; " in line
    for warning in check.warnings:
        assert "\n" not in str(warning) and np.isfinite(warning.value)
    sheet = annotated(image, points)
    assert sheet.size == image.size
    assert np.abs(np.asarray(sheet).astype(int) - np.asarray(image)).max() > 100  # the square is drawn


def test_the_command_writes_a_report_and_pictures(photo, tmp_path, capsys):
    image, points = photo
    folder = tmp_path / "photos"
    folder.mkdir()
    image.save(folder / "good.png")
    image.rotate(180).save(folder / "<img src=x onerror=alert(1)>.png")
    barred(image, points, points[:2].mean(0), 0.24).save(folder / "bar.png")
    landscape().save(folder / "sea.png")
    assert main(["align", str(folder), "--out", str(tmp_path / "out"), "--size", "64"]) == 0
    said = capsys.readouterr().out
    assert "warning: 1 occluded: bar.png (eyes seen" in said and "warning: 1 rotated" in said and "without a face" in said
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[-2:] == ["report.json", "warnings.html"] or {"report.json", "warnings.html"} <= set(names)
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    report = json.loads((tmp_path / "out/report.json").read_text())
    found = {entry["file"]: [w["name"] for w in entry["warnings"]] for entry in report["pictures"]}
    assert found == {
        "good.png": [],
        "bar.png": ["occluded"],
        "sea.png": ["no-face"],
        "<img src=x onerror=alert(1)>.png": ["rotated"],
    }
    for entry in report["pictures"]:
        for warning in entry["warnings"]:
            assert warning["number"] and warning["advice"] and isinstance(warning["value"], float)
    page = (tmp_path / "out/warnings.html").read_text()
    assert page.count("<img ") == 3 and "<img src=x" not in page and "&lt;img src=x" in page
    assert "good.png" not in page and "the face stands upside down" in page
    assert main(["dataset", "--source", str(tmp_path / "out"), "--dest", str(tmp_path / "faces.zip")]) == 0
    assert "report.json" not in capsys.readouterr().out  # beside the pictures, but none of them


def test_one_photograph_and_refusals(photo, tmp_path, capsys):
    landscape().save(tmp_path / "sea.png")
    assert main(["align", str(tmp_path / "sea.png"), "--out", str(tmp_path / "x.png")]) == 2
    said = capsys.readouterr().err
    assert "no-face: no face was found in" in said and said.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
    shown = json.loads((tmp_path / "x-warnings/report.json").read_text())["pictures"][0]
    assert shown["warnings"][0]["name"] == "no-face" and "<img" in (tmp_path / "x-warnings/warnings.html").read_text()
    photo[0].save(tmp_path / "me.png")
    assert main(["align", str(tmp_path / "me.png"), "--out", str(tmp_path / "y.png"), "--warnings", str(tmp_path / "w")]) == 0
    assert (tmp_path / "w/report.json").exists() and not (tmp_path / "w/warnings.html").exists()
    report = align(tmp_path / "me.png", tmp_path / "z", 64)
    assert [path.name for path in (tmp_path / "z").iterdir()] == ["me.png"]  # only the command writes unasked
    assert isinstance(report.checks[0], PhotoCheck) and "warning" not in str(report)


# -------------------------------------------------------------------------------------------------------- by hand


def test_three_points_frame_as_five_do(photo):
    image, points = photo
    three = np.stack([points[0], points[1], points[3:].mean(0)])
    assert np.array_equal(np.asarray(framed(image, three, 96)[0]), np.asarray(framed(image, points, 96)[0]))
    for wrong in (points[:4], points[:2], np.full((3, 2), np.nan)):
        with pytest.raises(InputError, match="five or three points"):
            framed(image, wrong, 96)
