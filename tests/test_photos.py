"""Warnings about photographs by name, with numbers and pictures; and marking a face by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from facegen.__main__ import main
from facegen.data import photos as module
from facegen.data.drawn import drawn
from facegen.data.faces import framed, square
from facegen.data.photos import LIMITS, NAMES, PhotoCheck, align, annotated, blur, check_photo, colour, yaw
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
    assert set(check.measures) >= {"blurred", "turned", "rotated", "chin", "mouth", "greyscale"}


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
    assert "too-small" in check.names and "blurred" not in check.names and "occluded" not in check.names
    assert 30 < check.measures["too-small"] < 70


def test_noise_and_a_landscape_have_no_face():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 300, 3), dtype=np.uint8))
    for image in (noise, landscape()):
        check = check_photo(image)
        assert check.names == ("no-face",) and check.landmarks is None
        assert "nothing is a face" in str(check) and "mark eyes and mouth by hand" in str(check)


def test_blurred_grey_and_aligned(photo, people):
    image, points = photo
    assert check_photo(image.filter(ImageFilter.GaussianBlur(3.5))).names == ("blurred",)
    assert check_photo(image.convert("L").convert("RGB")).names == ("greyscale",)
    assert "already-aligned" in check_photo(framed(image, points, 256)[0]).names


# ----------------------------------------------------------------------------------------------------------- measures


def test_the_blur_that_was_put_in_is_measured(photo):
    luma = np.asarray(framed(photo[0], photo[1], 192, 1.3)[0].convert("L"), dtype=float)
    for stripes in (np.arange(192) // 24 % 2, (np.arange(192) // 24 % 2)[:, None]):
        sharp = Image.fromarray(np.broadcast_to(40 + 160 * stripes, (192, 192)).astype(np.uint8))
        for sigma in (2.0, 4.0):
            soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(sigma)), dtype=float)
            assert blur(soft) * 192 == pytest.approx(sigma, rel=0.2)
    moved = np.mean([np.roll(luma, i, 1) for i in range(-6, 7)], axis=0)  # a camera that moves sideways by 13 pixels
    assert blur(moved) > 2 * blur(luma)
    diagonal = np.mean([np.roll(luma, (i, i), (0, 1)) for i in range(-6, 7)], axis=0)
    assert blur(diagonal) > 1.5 * blur(luma)
    assert blur(np.zeros((64, 64))) == 1  # nothing is seen


@pytest.mark.parametrize("degrees", [-50, -20, 0, 35, 60])
@pytest.mark.parametrize("tilt", [-30, 0, 170])
def test_a_turned_head_is_measured(degrees, tilt):
    views, yaws = module._views()
    view = views[(yaws == degrees).nonzero()[0][10]] * np.exp(1j * np.deg2rad(tilt)) * 40 + (100 + 80j)
    assert yaw(np.stack([view.real, view.imag], 1)) == pytest.approx(degrees, abs=1)


def test_a_tint_is_no_colour():
    grey = np.random.default_rng(0).uniform(0, 255, (40, 40, 1))
    sepia = 0.8 * grey * np.array([1.07, 0.9, 0.7])
    assert colour(np.repeat(grey, 3, 2)) < 0.01 and colour(sepia) < 0.01
    assert colour(np.random.default_rng(1).uniform(0, 255, (40, 40, 3))) > 20


# -------------------------------------------------------------------------------------------------- report and command


def test_names_limits_and_words_are_complete(photo):
    assert set(NAMES) <= set(LIMITS) | {"rotated", "cut"} and len(set(NAMES)) == 10
    check = check_photo(photo[0].convert("L").convert("RGB").filter(ImageFilter.GaussianBlur(4)), name="a\nb.png")
    assert check.names == ("blurred", "greyscale") and list(check.names) == [n for n in NAMES if n in check.names]
    for line in str(check).splitlines():
        assert line.startswith("a?b.png: ") and "; " in line
    for warning in check.warnings:
        assert warning.advice and "\n" not in str(warning) and np.isfinite(warning.value)
    sheet = annotated(photo[0], check)
    assert sheet.width >= photo[0].width and sheet.height > photo[0].height
    assert np.abs(np.asarray(sheet)[:440, :400].astype(int) - np.asarray(photo[0])).max() > 100  # the square is drawn


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
