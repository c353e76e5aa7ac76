"""The packed data set: every kind of bad file, the layout, the cache, the order, the batches."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import struct
import subprocess
import sys
import threading
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.__main__ import main
from facegen.data import packed, pictures
from facegen.data.loading import get_dataloader, scale, unscale
from facegen.data.packed import (
    Faces,
    batch_indices,
    common_size,
    content_hash,
    drawn_count,
    load_faces,
    mirror_flags,
    pack,
    parse_resolution,
)
from facegen.data.pictures import Source, Unusable, decode, fit, table
from facegen.files import InputError


def smooth(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth colourful picture: survives JPEG and resizing."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def raw_png(width: int, height: int, kind: int, depth: int, data: bytes) -> bytes:
    """A PNG written by hand, for what Pillow does not write: 16 bits per channel, or a header that lies."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def png16(values: np.ndarray) -> bytes:
    """uint16 [H, W] or [H, W, 3] as a 16-bit PNG."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return raw_png(values.shape[1], values.shape[0], 2 if values.ndim == 3 else 0, 16, rows)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test touches the user's cache folder."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twelve good pictures in nested folders, of several sizes and formats."""
    root = tmp_path / "photos"
    for i in range(12):
        place = root / ("a" if i % 2 else "b/c")
        place.mkdir(parents=True, exist_ok=True)
        form = ("JPEG", "PNG", "WEBP")[i % 3]
        smooth(70 + i, 90 - i, i).save(place / f"{i:02d}.{form.lower()}")
    return root


def rgb(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


# ------------------------------------------------------------------------------------------------ one picture


def test_sixteen_bit_grey_is_scaled_and_not_clipped():
    values = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    image, notes = decode(png16(values))
    expected = np.round(values / 257)
    assert np.abs(rgb(image)[..., 0] - expected).max() == 0
    assert (rgb(image)[..., 0] == rgb(image)[..., 2]).all()
    assert notes == [("16-bit greyscale", "scaled to 8 bits, made RGB")]


def test_sixteen_bit_colour_is_scaled():
    values = np.random.default_rng(0).integers(0, 65536, (32, 32, 3), dtype=np.uint16)
    image, notes = decode(png16(values))
    assert np.abs(rgb(image) - values / 257).max() <= 1
    assert notes == [("16 bits per channel", "scaled to 8 bits")]


def test_sixteen_bit_tiff_is_scaled():
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    image, _ = decode(saved(Image.fromarray(values), "TIFF"))
    assert np.abs(rgb(image)[..., 1] - np.round(values / 257)).max() == 0


def test_a_sixteen_bit_bitmap_is_not_taken_for_a_deep_one():
    """5, 6 and 5 bits for red, green and blue: two bytes per pixel, but fewer than 8 bits per channel."""
    pixels = np.full((32, 32), 0b11111_000000_00000, dtype="<u2")
    header = struct.pack("<2sIHHI", b"BM", 66 + pixels.nbytes, 0, 0, 66)
    header += struct.pack("<IiiHHIIiiII", 40, 32, 32, 1, 16, 3, pixels.nbytes, 0, 0, 0, 0)
    header += struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    image, notes = decode(header + pixels.tobytes())
    assert (rgb(image) == (255, 0, 0)).all() and notes == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = smooth(48, 32)
    # What a camera stores: the inverse of the turn that the tag asks for.
    inverse = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if inverse is None else upright.transpose(Image.Transpose(inverse))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, "PNG", exif=exif)
    image, notes = decode(data)
    assert (rgb(image) == rgb(upright)).all()
    assert pictures.natural_size(data) == (48, 32)
    assert notes == ([] if orientation == 1 else [("rotated by EXIF", "turned upright")])


def test_alpha_is_composited_on_white():
    alpha = np.zeros((8, 8, 4), np.uint8)
    alpha[:4] = (255, 0, 0, 128)
    image, notes = decode(saved(Image.fromarray(alpha), "PNG"))
    assert np.abs(rgb(image)[0, 0] - (255, 127, 127)).max() <= 1
    assert (rgb(image)[7, 7] == 255).all()  # fully transparent black is white, not black
    assert notes == [("with transparency", "composited on white")]


def test_an_opaque_alpha_channel_is_no_news():
    image, notes = decode(saved(smooth(8, 8).convert("RGBA"), "PNG"))
    assert (rgb(image) == rgb(smooth(8, 8))).all() and notes == []


def test_transparent_palette_and_grey():
    palette = Image.new("P", (8, 8))
    palette.putpalette([0, 0, 0, 0, 200, 0])
    palette.paste(1, (0, 0, 8, 4))
    image, notes = decode(saved(palette, "PNG", transparency=0))
    assert tuple(rgb(image)[0, 0]) == (0, 200, 0) and tuple(rgb(image)[7, 0]) == (255, 255, 255)
    assert notes == [("with transparency", "composited on white")]
    image, notes = decode(saved(palette, "PNG"))
    assert tuple(rgb(image)[7, 0]) == (0, 0, 0) and notes == [("palette", "made RGB")]
    image, notes = decode(saved(smooth(8, 8).convert("L"), "PNG"))
    assert (rgb(image) == rgb(smooth(8, 8).convert("L").convert("RGB"))).all() and notes == [("greyscale", "made RGB")]
    image, _ = decode(saved(smooth(8, 8).convert("1"), "PNG"))
    assert set(np.unique(rgb(image))) <= {0, 255}


def test_cmyk_keeps_its_colours():
    original = smooth(32, 32)
    image, notes = decode(saved(original.convert("CMYK"), "JPEG", quality=98, subsampling=0))
    assert np.abs(rgb(image) - rgb(original)).mean() < 3
    assert notes == [("CMYK", "converted to RGB")]


def test_cmyk_with_a_broken_profile_is_converted_all_the_same():
    image, notes = decode(saved(smooth(32, 32).convert("CMYK"), "TIFF", icc_profile=b"no profile at all"))
    assert (rgb(image) == rgb(smooth(32, 32).convert("CMYK").convert("RGB"))).all() and len(notes) == 1


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_is_used(form):
    red, blue = Image.new("RGB", (16, 16), (220, 0, 0)), Image.new("RGB", (16, 16), (0, 0, 220))
    options = {"lossless": True} if form == "WEBP" else {}
    image, notes = decode(saved(red, form, save_all=True, append_images=[blue], **options))
    assert (rgb(image) == (220, 0, 0)).all()
    assert ("several frames", "first frame used") in notes


def test_a_multi_picture_photograph_is_one_photograph():
    image, notes = decode(saved(smooth(32, 32), "MPO", save_all=True, append_images=[smooth(16, 16, 1)], quality=95))
    assert image.size == (32, 32) and notes == []


HUGE = raw_png(20000, 20000, 2, 8, b"")
LARGE = raw_png(9500, 9500, 2, 8, b"")  # above the limit, below what Pillow refuses by itself
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n"
UNUSABLE = {
    "empty": (b"", "empty (0 bytes)"),
    "page": (
        b"<html>404 not found</html>",
        "not an image but a web page: an error, or a login is needed; open the address in a browser",
    ),
    "git-lfs": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "not an image but a git-lfs pointer: fetch the file itself with `git lfs pull`",
    ),
    "rubbish": (bytes(range(200, 256)), "not an image"),
    "postscript": (POSTSCRIPT, "not an image but a document in PDF or PostScript"),
    "cut_jpeg": (saved(smooth(64, 64), "JPEG")[:-200], "truncated"),
    "cut_png": (saved(smooth(64, 64), "PNG")[:-200], "truncated"),
    "jpeg_head": (saved(smooth(64, 64), "JPEG")[:12], "damaged at its beginning"),
    "float": (saved(Image.fromarray(np.zeros((8, 8), np.float32)), "TIFF"), "32-bit values without a known range"),
    "huge": (HUGE, "decompression bomb"),
    "large": (LARGE, "decompression bomb (9500x9500)"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_files_say_what_they_are(case):
    data, what = UNUSABLE[case]
    with pictures.no_bomb_warnings(), pytest.raises(Unusable) as error:
        decode(data)
    assert str(error.value) == what


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_no_damage_ever_raises_anything_else(form):
    """Two hundred corruptions of each format: a picture or a reason, and never another exception."""
    chance = np.random.default_rng(5)
    whole = saved(smooth(40, 40), form)
    for _ in range(200):
        data = bytearray(whole[: chance.integers(1, len(whole) + 1)])
        for place in chance.integers(0, len(data), 4):
            data[place] = chance.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert decode(bytes(data))[0].mode == "RGB"
            except Unusable as error:
                assert str(error) and "\n" not in str(error)


def test_crops():
    wide = Image.new("RGB", (100, 50))
    wide.paste((255, 255, 255), (25, 0, 75, 50))
    image, notes = fit(wide, (50, 50), "center-crop")
    assert (rgb(image) == 255).all() and notes == []
    image, notes = fit(wide, (50, 50), None)
    assert image.size == (50, 50) and notes == [("another shape than wanted", "stretched to 50x50")]
    assert rgb(image)[25, 2].max() == 0 and rgb(image)[25, 25].min() == 255
    image, notes = fit(smooth(128, 128), (64, 32), "center-crop-wide")
    assert image.size == (64, 64) and notes == []
    assert rgb(image)[:16].max() == 0 and rgb(image)[48:].max() == 0 and rgb(image)[16].max() > 0
    image, _ = fit(smooth(64, 64), (64, 64), "center-crop")
    assert (rgb(image) == rgb(smooth(64, 64))).all()  # nothing to do is nothing done
    reference = smooth(81, 60).crop((10, 0, 70, 60)).resize((32, 32), Image.Resampling.LANCZOS)
    assert (rgb(fit(smooth(81, 60), (32, 32), "center-crop")[0]) == rgb(reference)).all()


def test_small_pictures_are_enlarged_up_to_twice():
    image, notes = fit(smooth(32, 40), (64, 64), "center-crop")
    assert image.size == (64, 64) and notes == [("smaller than wanted", "enlarged to 64x64")]
    with pytest.raises(Unusable, match=r"too small \(31x40\)"):
        fit(smooth(31, 40), (64, 64), "center-crop")


# ------------------------------------------------------------------------------------------------ packing


def test_layout_is_literally_that_of_stylegan(folder, tmp_path):
    report = pack(folder, tmp_path / "faces.zip", resolution="32x32", transform="center-crop", max_images=3)
    with zipfile.ZipFile(tmp_path / "faces.zip") as file:
        names = ["00000/img00000000.png", "00000/img00000001.png", "00000/img00000002.png", "dataset.json"]
        assert file.namelist() == names
        assert all(info.compress_type == zipfile.ZIP_STORED for info in file.infolist())
        assert file.read("dataset.json") == b'{"labels": null}'
        image = Image.open(io.BytesIO(file.read(names[0])))
        assert (image.format, image.mode, image.size, image.info) == ("PNG", "RGB", (32, 32), {})
    assert (report.count, report.size, report.labelled) == (3, (32, 32), False)


def test_a_thousand_entries_per_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as file:
        one = saved(smooth(4, 4), "PNG")
        for i in range(1002):
            file.writestr(f"{i:05d}.png", one)
    report = pack(tmp_path / "many.zip", tmp_path / "out", resolution=4)
    assert report.count == 1002
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00000", "00001", "dataset.json"]
    assert len(list((tmp_path / "out/00000").iterdir())) == 1000
    assert sorted(path.name for path in (tmp_path / "out/00001").iterdir()) == ["img00001000.png", "img00001001.png"]


def test_bytes_are_deterministic(folder, tmp_path):
    pack(folder, tmp_path / "one.zip", resolution=32, transform="center-crop")
    for path in folder.rglob("*.*"):
        os.utime(path, (1, 1))
    pack(folder, tmp_path / "two.zip", resolution=32, transform="center-crop")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@pytest.mark.parametrize("dest", ["out.zip", "out"])
def test_round_trip_is_exact(folder, tmp_path, dest):
    report = pack(folder, tmp_path / dest, resolution=32, transform="center-crop")
    direct, through = load_faces(folder, 32), load_faces(tmp_path / dest, 32)
    assert torch.equal(direct.images, through.images)
    assert direct.content_hash == through.content_hash == report.content_hash == content_hash(direct.images)
    assert len(direct) == 12 and direct.images.shape == (12, 3, 32, 32) and direct.images.dtype == torch.uint8
    again = pack(tmp_path / dest, tmp_path / "again.zip")  # without a resolution: squares with a power of two already
    assert again.content_hash == report.content_hash and again.rows == ()


def test_order_is_that_of_the_paths(folder):
    faces = load_faces(folder, 32)
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    last = decode((folder / paths[-1]).read_bytes())[0]
    expected = np.asarray(fit(last, (32, 32), "center-crop")[0]).transpose(2, 0, 1)
    assert (faces.images[-1].numpy() == expected).all()
    assert torch.equal(load_faces(folder, 32, max_images=5).images, faces.images[:5])


def test_labels_are_carried_over(tmp_path):
    source = tmp_path / "labelled"
    (source / "x").mkdir(parents=True)
    for i in range(4):
        smooth(16, 16, i).save(source / "x" / f"{i}.png")
    (source / "x" / "1.png").write_bytes(b"broken")
    labels = [[f"x/{i}.png", 10 + i] for i in range(4)]
    (source / "dataset.json").write_text(json.dumps({"labels": labels}))
    report = pack(source, tmp_path / "out.zip", resolution=16)
    expected = {f"00000/img{i:08d}.png": label for i, label in enumerate((10, 12, 13))}  # without the broken one
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert dict(json.loads(file.read("dataset.json"))["labels"]) == expected
        # How a StyleGAN loader reads it: picture names, sorted, looked up in the table.
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        assert [expected[name] for name in names] == [10, 12, 13]
    assert report.labelled
    for place in (source, tmp_path / "out.zip"):
        faces = load_faces(place, 16)
        assert faces.labels.tolist() == [10, 12, 13] and faces.labels.dtype == torch.int64
        assert load_faces(place, 16).labels.tolist() == [10, 12, 13]  # from the cache


def test_vector_labels_are_packed_but_are_no_classes(tmp_path):
    (tmp_path / "in").mkdir()
    smooth(16, 16).save(tmp_path / "in/a.png")
    (tmp_path / "in/dataset.json").write_text('{"labels": [["a.png", [0.5, 1.0]]]}')
    pack(tmp_path / "in", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as file:
        assert json.loads(file.read("dataset.json")) == {"labels": [["00000/img00000000.png", [0.5, 1.0]]]}
    faces = load_faces(tmp_path / "out.zip", 16)
    assert faces.labels is None and faces.report[0].file == "dataset.json"


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": [["a.png"]]}', '{"labels": [["a.png", true]]}', '{"labels": 3}'])
def test_a_broken_label_file_is_reported_and_ignored(tmp_path, text):
    (tmp_path / "in").mkdir()
    smooth(16, 16).save(tmp_path / "in/a.png")
    (tmp_path / "in/dataset.json").write_text(text)
    report = pack(tmp_path / "in", tmp_path / "out.zip")
    assert not report.labelled and [row.file for row in report.rows] == ["dataset.json"]


def test_labels_for_some_are_labels_for_none(tmp_path):
    (tmp_path / "in").mkdir()
    for name in "ab":
        smooth(16, 16).save(tmp_path / f"in/{name}.png")
    (tmp_path / "in/dataset.json").write_text('{"labels": [["a.png", 1]]}')
    report = pack(tmp_path / "in", tmp_path / "out.zip")
    assert not report.labelled and "1 of 2 pictures have no label" in str(report)


def make_mess(root: Path) -> dict[str, tuple[str, bool]]:
    """Every kind of file in one folder; returns {name: (what the report must say, whether it is used)}."""
    root.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    good = smooth(80, 64)
    files = {
        "alpha.png": (saved(Image.new("RGBA", (64, 64), (9, 9, 9, 9)), "PNG"), "with transparency", True),
        "animated.gif": (saved(good, "GIF", save_all=True, append_images=[smooth(80, 64, 1)]), "several frames", True),
        "bomb.png": (HUGE, "decompression bomb", False),
        "bomb2.png": (LARGE, "decompression bomb (9500x9500)", False),
        "cmyk.jpg": (saved(good.convert("CMYK"), "JPEG"), "CMYK", True),
        "cut.jpg": (saved(good, "JPEG")[:-300], "truncated", False),
        "deep.png": (png16(np.full((64, 64), 3000, np.uint16)), "16-bit greyscale", True),
        "deep_colour.png": (png16(np.full((64, 64, 3), 3000, np.uint16)), "16 bits per channel", True),
        "empty.png": (b"", "empty (0 bytes)", False),
        "grey.jpg": (saved(good.convert("L"), "JPEG"), "greyscale", True),
        "notes.txt": (b"these are my pictures", "not an image", False),
        "palette.png": (saved(good.convert("P"), "PNG"), "palette", True),
        "small.png": (saved(smooth(40, 40), "PNG"), "smaller than wanted", True),
        "text.jpg": (b"<html></html>", "not an image", False),
        "tiny.png": (saved(smooth(9, 9), "PNG"), "too small (9x9)", False),
        "turned.jpg": (saved(good, "JPEG", exif=exif), "rotated by EXIF", True),
    }
    for name, (data, _, _) in files.items():
        (root / name).write_bytes(data)
    for i in range(3):
        (root / f"good{i}.png").write_bytes(saved(smooth(70, 64, i), "PNG"))
    hidden = [".DS_Store", "Thumbs.db", ".hidden.png"]
    for name in hidden:
        (root / name).write_bytes(b"x")
    return {name: (what, used) for name, (_, what, used) in files.items()}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_one_bad_file_never_stops_the_run(tmp_path, kind):
    expected = make_mess(tmp_path / "mess")
    source = tmp_path / "mess"
    if kind == "zip":
        source = tmp_path / "mess.zip"
        with zipfile.ZipFile(source, "w") as file:
            for path in sorted((tmp_path / "mess").iterdir()):
                file.write(path, path.name)
            file.writestr("__MACOSX/._a.jpg", b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a bomb is a row of the table and not a warning
        report = pack(source, tmp_path / "out.zip", resolution=64, transform="center-crop")
        faces = load_faces(source, 64)
    found = {row.file: row for row in report.rows}
    assert {name: row.used for name, row in found.items()} == {name: used for name, (_, used) in expected.items()}
    for name, (what, _) in expected.items():
        assert what in found[name].what, name
        assert found[name].done
    usable = 3 + sum(used for _, used in expected.values())
    assert report.count == len(faces) == usable
    assert report.content_hash == faces.content_hash and faces.report == report.rows
    text = str(report)
    assert all(name in text for name in expected) and "7 files left out" in text
    lines = text.splitlines()
    assert lines.index(next(x for x in lines if "tiny.png" in x)) < lines.index(next(x for x in lines if "grey.jpg" in x))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_dead_links_and_circles(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")  # reading it would wait for ever
    (folder / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "a" / "circle").symlink_to(folder)
    faces = load_faces(folder, 32)
    assert len(faces) == 12
    assert [(row.file, row.used) for row in faces.report] == [("dead.png", False)]


def test_bad_zip_entries_are_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        for name in ("bad.png", "good.png", "locked.png"):
            file.writestr(name, saved(smooth(32, 32, len(name)), "PNG"))
    data = bytearray((tmp_path / "in.zip").read_bytes())
    data[100] ^= 255  # inside bad.png: its checksum no longer fits
    entry = data.rindex(b"locked.png") - 46  # its central directory header: set the flag "encrypted"
    data[entry + 8] |= 1
    (tmp_path / "in.zip").write_bytes(data)
    report = pack(tmp_path / "in.zip", tmp_path / "out.zip")
    assert report.count == 1
    assert [row.file for row in report.rows] == ["bad.png", "locked.png"]
    assert all(row.what.startswith("cannot be read") for row in report.rows)


def test_a_zip_entry_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bomb.png", bytes(8 << 20))
        file.writestr("good.png", saved(smooth(32, 32), "PNG"))
    assert (tmp_path / "in.zip").stat().st_size < 1 << 17
    report = pack(tmp_path / "in.zip", tmp_path / "out.zip")
    assert [(row.file, row.what) for row in report.rows] == [("bomb.png", "larger than 1 MiB")]


def test_a_fetched_folder_keeps_its_papers_to_itself(tmp_path):
    (tmp_path / "in").mkdir()
    smooth(32, 32).save(tmp_path / "in/a.png")
    for name in ("SOURCE.json", "SHA256SUMS", "LICENSE.txt", "ratings.csv"):
        (tmp_path / "in" / name).write_text("{}")
    assert load_faces(tmp_path / "in", 32).report == ()


def test_without_a_resolution_the_odd_ones_are_left_out(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3):
        smooth(32, 32, i).save(tmp_path / f"in/{i}.png")
    smooth(32, 48).save(tmp_path / "in/a.png")
    smooth(64, 64).save(tmp_path / "in/b.png")
    (tmp_path / "in/c.png").write_bytes(b"")
    report = pack(tmp_path / "in", tmp_path / "out.zip")
    assert report.count == 3
    assert [row.what for row in report.rows] == ["32x48 where most are 32x32", "64x64 where most are 32x32", "empty (0 bytes)"]


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_refusals_leave_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError) as error:
        pack(tmp_path / "in", tmp_path / "out.zip", resolution=32)
    assert "no usable picture" in one_line(error)
    (tmp_path / "in/a.png").write_bytes(b"nothing")
    for dest in ("out.zip", "out"):
        with pytest.raises(InputError) as error:
            pack(tmp_path / "in", tmp_path / dest, resolution=32)
        assert "a.png: not an image" in one_line(error)
        with pytest.raises(InputError, match="no usable picture"):
            pack(tmp_path / "in", tmp_path / dest)
    with pytest.raises(InputError, match="no usable picture"):
        load_faces(tmp_path / "in", 32)
    smooth(40, 48).save(tmp_path / "in/b.png")
    with pytest.raises(InputError) as error:
        pack(tmp_path / "in", tmp_path / "out.zip")
    assert "40x48" in one_line(error) and "--resolution" in one_line(error)
    assert {path.name for path in tmp_path.iterdir()} == {"in", "cache"} and caches(tmp_path / "in") == []


@pytest.mark.parametrize("text", ["64x", "x64", "64x64x64", "3x3", "0", "9000", "big", "-64", (64, 0), "64.5", (64, 64, 64)])
def test_resolutions_that_make_no_sense(text):
    with pytest.raises(InputError) as error:
        parse_resolution(text)
    assert "64x64" in one_line(error)


def test_resolutions_that_do():
    assert [parse_resolution(r) for r in ("64x32", "64", 64, (64, 32), [64, 32], None)] == [
        (64, 32),
        (64, 64),
        (64, 64),
        (64, 32),
        (64, 32),
        None,
    ]


def test_arguments_that_make_no_sense(folder, tmp_path):
    out = tmp_path / "out.zip"
    for options, word in [
        ({"transform": "crop", "resolution": 32}, "center-crop"),
        ({"transform": "center-crop"}, "--resolution"),
        ({"transform": "center-crop-wide", "resolution": "32x64"}, "width"),
        ({"resolution": 32, "max_images": 0}, "at least 1"),
    ]:
        with pytest.raises(InputError) as error:
            pack(folder, out, **options)
        assert word in one_line(error)
    for call in (
        lambda: pack(tmp_path / "nowhere", out, resolution=32),
        lambda: pack(folder, folder, resolution=32),
        lambda: load_faces(tmp_path / "nowhere"),
        lambda: load_faces(folder, 2),
        lambda: load_faces(folder, max_images=0),
        lambda: load_faces(folder, transform="wide"),
        lambda: load_faces(next(folder.rglob("*.png"))),
        lambda: load_faces("drawn:0"),
    ):
        with pytest.raises(InputError) as error:
            call()
        one_line(error)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        pack(folder, tmp_path / "full", resolution=32)
    assert not out.exists()


@pytest.mark.parametrize("dest", ["out.zip", "out"])
def test_what_a_killed_packing_left_goes_with_the_next(folder, tmp_path, dest):
    code = f"""
import os
from facegen.data import packed
real = packed.decode_all
def killed(*args, **options):
    for i, found in enumerate(real(*args, **options)):
        if i == 5:
            os._exit(9)
        yield found
packed.decode_all = killed
packed.pack({str(folder)!r}, {str(tmp_path / dest)!r}, resolution=32)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert list(tmp_path.glob(".facegen.*.part/out*")) and not (tmp_path / dest).exists()
    pack(folder, tmp_path / dest, resolution=32)
    assert not list(tmp_path.glob(".facegen.*")) and (tmp_path / dest).exists()


@pytest.mark.parametrize("dest", ["out.zip", "out"])
def test_packing_onto_a_full_disk_names_the_data_set(folder, tmp_path, monkeypatch, dest):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=rf"{dest}: .*no space left on the disk") as error:
        pack(folder, tmp_path / dest, resolution=32)
    one_line(error)
    assert not list(tmp_path.glob("*out*")) and not list(tmp_path.glob(".facegen.*"))


def test_sizes_that_stylegan_refuses_are_named(folder, tmp_path):
    assert "StyleGAN will refuse it" in str(pack(folder, tmp_path / "a.zip", resolution=48, transform="center-crop"))
    assert "StyleGAN" not in str(pack(folder, tmp_path / "b.zip", resolution="32x16", transform="center-crop-wide"))


def test_the_table_groups_what_many_share():
    many = [pictures.Row(f"{i}.jpg", "greyscale", "made RGB", True) for i in range(500)]
    odd = pictures.Row("bad\x1b[31m\n.jpg", "truncated", "left out", False)
    lines = table([*many, odd]).splitlines()
    assert len(lines) == 3 and lines[1].startswith("bad?[31m .jpg") and lines[2].startswith("500 files, the first 0.jpg")
    several = [pictures.Row(f"{i}.jpg", f"too small ({i}x{i})", "left out", False) for i in range(100)]
    assert table(several).splitlines()[-1] == "... and 40 lines more"


# ------------------------------------------------------------------------------------------------ the cache


def caches(folder: Path) -> list[str]:
    place = folder.parent / "cache/data"
    return sorted(path.name for path in place.iterdir() if path.suffix != ".lock") if place.exists() else []


@pytest.fixture
def count_decoding(monkeypatch):
    """How often pictures were decoded anew."""
    calls, real = [], packed.decode_all
    monkeypatch.setattr(packed, "decode_all", lambda *args, **options: calls.append(1) or real(*args, **options))
    return calls


def test_cache_is_used_and_keyed(folder, count_decoding):
    first = load_faces(folder, 32)
    assert len(count_decoding) == 1 and len(caches(folder)) == 2
    second = load_faces(folder, 32)
    assert len(count_decoding) == 1
    assert torch.equal(first.images, second.images) and first.content_hash == second.content_hash
    load_faces(folder, 16)
    load_faces(folder, 32, max_images=4)
    load_faces(folder, 32, transform=None)
    assert len(count_decoding) == 4 and len(caches(folder)) == 8
    load_faces(folder, 32, cache=False)
    assert len(count_decoding) == 5 and len(caches(folder)) == 8
    assert sorted(path.name for path in folder.parent.iterdir()) == ["cache", "photos"]  # nothing beside the pictures


@pytest.mark.parametrize("change", ["touched", "replaced", "added", "removed", "labels"])
def test_stale_cache_is_not_used(folder, count_decoding, change):
    before = load_faces(folder, 32)
    one = next(folder.rglob("*.png"))
    if change == "touched":
        os.utime(one, (1, 1))
    elif change == "replaced":
        smooth(64, 64, 99).save(one)
    elif change == "added":
        smooth(64, 64, 99).save(folder / "new.png")
    elif change == "removed":
        one.unlink()
    else:
        labels = [[path.relative_to(folder).as_posix(), 1] for path in folder.rglob("*.*")]
        (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    after = load_faces(folder, 32)
    assert len(count_decoding) == 2
    assert len(after) == {"added": 13, "removed": 11}.get(change, 12)
    assert (after.content_hash == before.content_hash) == (change in ("touched", "labels"))
    assert (after.labels is not None) == (change == "labels")


def test_the_cache_is_swept_by_size_and_age(folder, monkeypatch):
    place = folder.parent / "cache/data"
    for size in (16, 24, 40):
        load_faces(folder, size)
    names = {size: next(place.glob(f"*-{mark}.npy")).stem for size, mark in sizes_of(place).items()}
    for days, size in ((3, 16), (2, 24), (1, 40)):
        for file in place.glob(f"{names[size]}.*"):
            os.utime(file, (time.time() - days * 86400,) * 2)
    (place / ".photos.abcdefgh.part.npy").write_bytes(b"left by a killed process")
    os.utime(place / ".photos.abcdefgh.part.npy", (1, 1))
    load_faces(folder, 16)  # used now: the youngest again
    monkeypatch.setattr(packed, "CACHE_BYTES", 12 * 3 * (32 * 32 + 16 * 16 + 40 * 40) + 8000)
    load_faces(folder, 32)
    assert set(sizes_of(place)) == {16, 32, 40}  # 24 is what was used longest ago
    assert not list(place.glob(".*.part*"))
    monkeypatch.setattr(packed, "CACHE_BYTES", 0)
    load_faces(folder, 48)
    assert set(sizes_of(place)) == {48}  # what was just made stays in any case


def sizes_of(place: Path) -> dict[int, str]:
    """Side of the pictures -> mark of the cache file that holds them."""
    return {json.loads(file.read_text())["shape"][2]: file.stem.rpartition("-")[2] for file in place.glob("*.json")}


@pytest.mark.parametrize("damage", ["bit", "cut", "empty", "no json", "bad json", "wrong json", "pickle", "shape"])
def test_damaged_cache_is_rebuilt(folder, count_decoding, damage):
    before = load_faces(folder, 32)
    place = folder.parent / "cache/data"
    pixels, facts = next(place.glob("*.npy")), next(place.glob("*.json"))
    data = bytearray(pixels.read_bytes())
    if damage == "bit":
        data[500] ^= 1
        pixels.write_bytes(data)
    elif damage in ("cut", "empty"):
        pixels.write_bytes(data[:1000] if damage == "cut" else b"")
    elif damage == "no json":
        facts.unlink()
    elif damage in ("bad json", "wrong json"):
        facts.write_text("{" if damage == "bad json" else '{"shape": [1], "rows": [], "labels": null, "hash": ""}')
    elif damage == "pickle":
        np.save(pixels, np.array([{"code": print}], dtype=object))
    else:
        np.save(pixels, before.images.numpy()[:3])
    after = load_faces(folder, 32)
    assert len(count_decoding) == 2 and torch.equal(after.images, before.images)
    load_faces(folder, 32)
    assert len(count_decoding) == 2


@pytest.mark.parametrize("damage", ["cut", "shape"])
def test_damaged_cache_is_not_even_mapped(folder, count_decoding, monkeypatch, damage):
    before = load_faces(folder, 32)
    monkeypatch.setattr(packed, "MAPPED_FROM", 0)
    pixels = next((folder.parent / "cache/data").glob("*.npy"))
    if damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:1000])
    else:
        np.save(pixels, before.images.numpy()[:3])
    assert torch.equal(load_faces(folder, 32).images, before.images) and len(count_decoding) == 2


@pytest.mark.parametrize("trouble", ["no folder", "full disk"])
def test_without_a_cache_it_stays_in_memory_with_one_line(folder, tmp_path, monkeypatch, trouble):
    if trouble == "no folder":
        (tmp_path / "cache").write_text("no folder")
    else:

        def full(path):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(packed, "replacing", full)
    with pytest.warns(UserWarning, match="photos is not kept in") as notes:
        faces = load_faces(folder, 32)
    assert len(notes) == 1 and "\n" not in str(notes[0].message)
    assert faces.content_hash == load_faces(folder, 32, cache=False).content_hash
    faces.images[0] = 0  # ordinary memory: may be written


def test_a_cache_that_can_only_be_read_is_read(folder, count_decoding, monkeypatch):
    first = load_faces(folder, 32)

    def closed(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(packed, "FileLock", closed)
    monkeypatch.setattr(os, "utime", closed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(load_faces(folder, 32).images, first.images) and len(count_decoding) == 1
    with pytest.warns(UserWarning, match="Permission denied"):
        assert len(load_faces(folder, 16)) == 12


def test_interrupted_decoding_leaves_nothing(folder, monkeypatch):
    real = packed.decode_all

    def broken(*args, **options):
        for i, result in enumerate(real(*args, **options)):
            if i == 3:
                raise KeyboardInterrupt
            yield result

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(packed, "decode_all", broken)
        load_faces(folder, 32)
    assert caches(folder) == []
    assert len(load_faces(folder, 32)) == 12


def test_of_many_at_once_one_decodes(folder, count_decoding):
    results = []
    threads = [threading.Thread(target=lambda: results.append(load_faces(folder, 32))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and len({content_hash(faces.images) for faces in results}) == 1
    assert len(count_decoding) == 1 and len(caches(folder)) == 2  # no temporary file is left


def test_large_caches_are_memory_mapped(folder, monkeypatch):
    small = load_faces(folder, 32)
    modes, real = [], np.load
    monkeypatch.setattr(np, "load", lambda *args, **options: modes.append(options["mmap_mode"]) or real(*args, **options))
    load_faces(folder, 32)
    monkeypatch.setattr(packed, "MAPPED_FROM", 0)
    mapped = load_faces(folder, 32)
    assert modes == [None, "c"] and torch.equal(small.images, mapped.images)
    file = next((folder.parent / "cache/data").glob("*.npy"))
    before = file.read_bytes()
    mapped.images[0] = 0  # a slip that must not reach the file
    assert file.read_bytes() == before
    assert torch.equal(mapped.batch([1, 2]), small.batch([1, 2]))


# ------------------------------------------------------------------------------------------------ any size of picture


def pictures_of(root: Path, *sizes: tuple[int, int]) -> Path:
    root.mkdir()
    for i, (width, height) in enumerate(sizes):
        smooth(width, height, i).save(root / f"{i:02d}.png")
    return root


@pytest.mark.parametrize(
    ("sizes", "side", "said"),
    [
        ([(100, 100)] * 3, 64, "3 pictures of 100x100 were brought to 64x64"),
        ([(178, 218)] * 3, 128, "3 pictures of 178x218 were cropped to the middle square and brought to 128x128"),
        ([(178, 218)], 128, "1 picture of 178x218 was cropped to the middle square and brought to 128x128"),
        ([(70, 90), (100, 80), (40, 33)], 64, "3 pictures of 3 sizes were cropped to the middle square and brought to 64x64"),
        ([(64, 64), (64, 64), (80, 100), (90, 100)], 64, "2 pictures of 2 sizes were cropped to the middle square and brought"),
        ([(32, 32)] * 2, 32, ""),
    ],
)
def test_pictures_of_any_size_are_brought_to_the_runs(tmp_path, capsys, sizes, side, said):
    folder = pictures_of(tmp_path / "in", *sizes)
    assert common_size(folder) == side
    for _ in ("decoded", "from the cache"):
        capsys.readouterr()
        faces = load_faces(folder, side)
        lines = [line for line in capsys.readouterr().err.splitlines() if "brought" in line]
        assert len(lines) == bool(said) and said in "".join(lines) and not any("--" in line for line in lines)
    reference = [fit(smooth(*size, i), (side, side), "center-crop")[0] for i, size in enumerate(sizes)]
    assert (faces.images.permute(0, 2, 3, 1).numpy() == np.stack([np.asarray(image) for image in reference])).all()


@pytest.mark.parametrize(("size", "side"), [((100, 100), 64), ((178, 218), 128)])
def test_verbs_take_pictures_of_any_size(tmp_path, capsys, size, side):
    folder = pictures_of(tmp_path / "in", *[size] * 3)
    assert main(["train", "--cfg=stylegan2", f"--data={folder}", f"--outdir={tmp_path / 'run'}", "--dry-run"]) == 0
    assert re.search(rf"image_size +{side}\n", capsys.readouterr().out)
    assert main(["spectra", f"--data={folder}", f"--images={folder}", f"--out={tmp_path / 'spectra.png'}"]) == 0
    out, err = capsys.readouterr()
    assert f"3 real pictures of {side} pixels" in out and f"brought to {side}x{side}" in err


def test_measured_pictures_may_have_any_size(tmp_path, capsys):
    folder = pictures_of(tmp_path / "in", *[(50, 60)] * 40)
    words = [f"--images={folder}", f"--data={folder}", f"--outdir={tmp_path / 'out'}", "--samples=40", "--metrics=spectra"]
    code = main(["evaluate", *words, "--device=cpu"])
    _, err = capsys.readouterr()
    assert code == 0, err
    assert "40 pictures of 50x60 were cropped to the middle square and brought to 32x32" in err


def test_the_hash_of_a_set_is_what_it_always_was(tmp_path):
    """A run goes on only with the pictures that it began with: these digests are in the folders of older runs."""
    folder = tmp_path / "in"
    folder.mkdir()
    ramp = np.arange(48 * 40 * 3, dtype=np.uint32).reshape(48, 40, 3) * 7919 % 251
    for i in range(3):
        Image.fromarray(((ramp + 31 * i) % 256).astype(np.uint8)).save(folder / f"{i}.png")
    assert load_faces(folder, 32).content_hash == "25c30c8ff12bbe8f1d8f0d9c99d1571d3dc52b8f6d4def96d8598547b63fae69"
    assert load_faces("drawn:3", 16).content_hash == "7fd912a1f5b346f0401cea3e8a2256e5716050cc8a352e3610c2ac9ad369c7d0"


def test_what_cannot_be_read_is_said(folder, monkeypatch):
    real = os.scandir

    def closed(path):
        if not isinstance(path, int) and Path(path).name in closed.names:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    closed.names = {"photos"}
    with pytest.raises(InputError, match=r"photos cannot be read \(Permission denied\): give a folder or a zip") as error:
        load_faces(folder, 32)
    one_line(error)
    closed.names = {"c"}
    faces = load_faces(folder, 32)
    assert len(faces) == 6
    assert [(row.file, row.what, row.used) for row in faces.report] == [("b/c/", "cannot be read (Permission denied)", False)]


def test_a_file_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    (tmp_path / "in.zip").write_bytes(b"x")

    def closed(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(zipfile, "ZipFile", closed)
    with pytest.raises(InputError, match=r"in\.zip cannot be read \(Permission denied\)"):
        load_faces(tmp_path / "in.zip", 32)
    with pytest.raises(InputError, match="cannot be read"):
        load_faces(tmp_path / ("a" * 300), 32)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="neither a folder nor a file"):
            load_faces(tmp_path / "pipe", 32)


def test_names_of_files_and_folders_bring_no_escape_codes_to_the_terminal(tmp_path, capsys):
    bad = pictures_of(tmp_path / "in\x1b[31m", (40, 32))
    load_faces(bad, 32)
    assert "in?[31m: 1 picture of 40x32 was cropped" in capsys.readouterr().err
    (bad / "00.png").rename(bad / "\x1b[2J.png")
    (bad / "\x1b[2J.png").write_bytes(b"no picture")
    for call in (
        lambda: load_faces(bad, 32),
        lambda: pack(bad, tmp_path / "o.zip"),
        lambda: load_faces(tmp_path / "\x1b[0m", 32),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert one_line(error).isprintable()


def test_how_many_faces_are_to_be_drawn():
    assert [drawn_count(text, 9) for text in ("drawn", "drawn:3", "drawn_photos", "data/drawn", Path("x"))] == [9, 3] + [
        None
    ] * 3
    assert drawn_count("uncanny:4", 9) is None and drawn_count("uncanny:4", 9, "uncanny") == 4
    for text in ("drawn:", "drawn:0", "drawn:-1", "drawn:many", "drawn:1.5"):
        with pytest.raises(InputError, match="drawn:1000") as error:
            drawn_count(text, 9)
        assert text in one_line(error)


# ------------------------------------------------------------------------------------------------ order and batches


@pytest.mark.parametrize("n, batch_size", [(10, 3), (7, 7), (5, 12), (1, 4), (64, 16)])
def test_every_picture_once_per_epoch(n, batch_size):
    order = torch.cat([batch_indices(n, batch_size, step, seed=3) for step in range(-(-4 * n // batch_size))])
    assert order.dtype == torch.int64 and len(batch_indices(n, batch_size, 5, 3)) == batch_size
    epochs = order[: 4 * n].reshape(4, n)
    assert (epochs.sort(dim=1).values == torch.arange(n)).all()
    if n > 5:
        assert len({tuple(epoch.tolist()) for epoch in epochs}) == 4  # another order every time


def test_order_is_a_pure_function_of_the_step():
    asked = [(100, 32, step, seed) for step in (0, 50, 3, 7, 3, 1000) for seed in (0, 1)]
    first = [batch_indices(*arguments) for arguments in asked]
    packed._permutation.cache_clear()
    for arguments, expected in reversed(list(zip(asked, first))):
        packed._permutation.cache_clear()
        assert torch.equal(batch_indices(*arguments), expected)
    assert not torch.equal(first[0], first[1])
    batch_indices(*asked[0])[:] = 0  # the caller's own: must not reach into the next answer
    assert torch.equal(batch_indices(*asked[0]), first[0])


def test_order_is_uniform():
    firsts = torch.bincount(torch.tensor([batch_indices(4, 1, 4 * epoch, 0).item() for epoch in range(2000)]))
    assert (firsts - 500).abs().max() < 100  # five standard deviations


@pytest.mark.parametrize("arguments", [(0, 4, 0, 0), (4, 0, 0, 0), (4, 4, -1, 0), (4, 4, 0, -1)])
def test_no_order_for_nonsense(arguments):
    with pytest.raises(ValueError, match="no batch"):
        batch_indices(*arguments)


def test_mirror_flags():
    flags = torch.cat([mirror_flags(64, step, seed=0) for step in range(100)])
    assert flags.dtype == torch.bool and abs(flags.float().mean().item() - 0.5) < 0.03
    assert torch.equal(mirror_flags(64, 7, 0), flags[7 * 64 : 8 * 64])
    assert not torch.equal(mirror_flags(64, 7, 1), mirror_flags(64, 7, 0))


@pytest.fixture
def random_faces() -> Faces:
    images = torch.randint(0, 256, (20, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Faces(images, None, "random", content_hash(images))


def test_batches_are_exact(random_faces):
    indices = torch.tensor([3, 19, 3, 0, 7])
    mirror = torch.tensor([True, False, False, True, True])
    before = random_faces.images.clone()
    batch = random_faces.batch(indices, mirror)
    assert batch.dtype == torch.float32 and batch.shape == (5, 3, 8, 10)
    for row, index, flipped in zip(batch, indices, mirror):
        pixels = random_faces.images[index].numpy()[:, :, ::-1] if flipped else random_faces.images[index].numpy()
        assert (row.numpy() == pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)).all()
    assert torch.equal(random_faces.images, before)
    assert torch.equal(random_faces.batch([3, 0]), random_faces.batch(torch.tensor([3, 0]), torch.zeros(2, dtype=torch.bool)))
    ends = Faces(torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1).expand(2, 3, 4, 4), None, "ends", "")
    assert ends.batch([0, 1]).flatten(1).unique(dim=1).tolist() == [[-1.0], [1.0]]


def test_loader_resumes_where_it_was(random_faces):
    straight = random_faces.loader(8, seed=1, mirror=True)
    batches = [next(straight) for _ in range(7)]
    resumed = random_faces.loader(8, seed=1, mirror=True, start=5)
    assert torch.equal(next(resumed), batches[5]) and torch.equal(next(resumed), batches[6])


def test_to_moves_what_fits_and_else_the_batches(random_faces):
    assert random_faces.to("cpu").images.data_ptr() == random_faces.images.data_ptr()
    elsewhere = random_faces.to("meta")  # a device whose memory nobody knows: the pixels stay, the batches move
    assert elsewhere.images.device.type == "cpu"
    assert elsewhere.batch([1, 2], torch.tensor([True, False])).device.type == "meta"
    assert elsewhere.to("cpu").batch([1, 2]).device.type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_on_a_gpu_are_the_same(random_faces, monkeypatch):
    indices, mirror = torch.arange(20), mirror_flags(20, 0, 0)
    expected = random_faces.batch(indices, mirror)
    moved = random_faces.to("cuda")
    assert moved.images.is_cuda and torch.equal(moved.batch(indices, mirror).cpu(), expected)
    monkeypatch.setattr(packed, "_free_memory", lambda device: 0)
    kept = random_faces.to("cuda")
    assert not kept.images.is_cuda and kept.batch(indices, mirror).is_cuda
    assert torch.equal(kept.batch(indices, mirror).cpu(), expected)


def test_content_hash_tells_pixels_and_shape_apart():
    images = torch.zeros(2, 3, 4, 8, dtype=torch.uint8)
    assert content_hash(images) == content_hash(images.numpy())
    assert content_hash(images) != content_hash(images.reshape(2, 3, 8, 4))
    assert content_hash(images) != content_hash(torch.zeros(3, 3, 4, 8, dtype=torch.uint8))
    images[1, 2, 3, 7] = 1
    assert content_hash(images) != content_hash(torch.zeros_like(images))


def test_drawn_faces_bring_what_is_known():
    faces = load_faces("drawn:6", 32, seed=4)
    assert faces.images.shape == (6, 3, 32, 32) and faces.name == "drawn" and faces.labels is None
    assert faces.landmarks.shape == (6, 5, 2) and len(faces.identity) == 6
    assert all(len(values) == 6 for values in faces.attributes.values())
    assert faces.content_hash == content_hash(faces.images) == load_faces("drawn:6", 32, seed=4).content_hash
    assert faces.content_hash != load_faces("drawn:6", 32, seed=5).content_hash
    assert torch.equal(load_faces("drawn:6", 32, seed=4, max_images=2).images, faces.images[:2])
    assert len(load_faces("drawn", 32, max_images=3)) == 3


@pytest.mark.parametrize("damage", ["none", "bit", "cut", "other code"])
def test_many_drawn_faces_are_cached(tmp_path, monkeypatch, damage):
    from facegen.data.drawn import drawn

    monkeypatch.setattr(packed, "DRAWN_CACHE_PIXELS", 6 * 32 * 32)
    load_faces("drawn:5", 32)
    load_faces("drawn:6", 32, cache=False)
    assert not (tmp_path / "cache").exists()
    first = load_faces("drawn:6", 32, seed=4)
    (file,) = (tmp_path / "cache/data").glob("drawn-*.npy")
    written = file.stat().st_ino
    if damage == "bit":
        data = bytearray(file.read_bytes())
        data[5000] ^= 1
        file.write_bytes(data)
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:5000])
    elif damage == "other code":
        monkeypatch.setattr(packed, "digest", lambda path: "0" * 64)
    second = load_faces("drawn:6", 32, seed=4)
    found = {path.stat().st_ino for path in (tmp_path / "cache/data").glob("drawn-*.npy")}
    assert (found == {written}) == (damage == "none")
    direct = drawn(6, size=32, seed=4)
    for faces in (first, second):
        assert torch.equal(faces.images, direct.images) and faces.content_hash == content_hash(direct.images)
        assert torch.equal(faces.landmarks, direct.landmarks) and torch.equal(faces.identity, direct.identity)
        assert faces.landmarks.dtype == direct.landmarks.dtype and faces.identity.dtype == direct.identity.dtype
        assert faces.attributes.keys() == direct.attributes.keys()
        for name, values in direct.attributes.items():
            assert torch.equal(faces.attributes[name], values) and faces.attributes[name].dtype == values.dtype


def test_faces_drawn_in_pieces_are_the_same():
    from facegen.data.drawn import drawn

    assert torch.equal(load_faces("drawn:3", 1024, seed=1, cache=False).images, drawn(3, size=1024, seed=1).images)


# ------------------------------------------------------------------------------------------------ the textbook way


def test_scale_and_unscale():
    x = torch.rand(3, 4, 5)
    assert torch.equal(scale(torch.tensor([0.0, 0.5, 1.0])), torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.equal(scale(torch.tensor([0.0, 1.0]), (2, 5)), torch.tensor([2.0, 5.0]))
    for feature_range in ((-1, 1), (0, 255), (-3.0, 0.5)):
        assert torch.allclose(unscale(scale(x, feature_range), feature_range), x, atol=1e-6)


def test_dataloader_reads_class_folders_and_flat_ones(folder, tmp_path):
    torch.manual_seed(0)
    images, labels = next(iter(get_dataloader(8, 32, folder)))
    assert images.shape == (8, 3, 32, 32) and images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
    assert set(labels.tolist()) == {0, 1}
    flat = tmp_path / "flat"
    flat.mkdir()
    for i in range(5):
        smooth(60, 40, i).convert("L" if i % 2 else "RGB").save(flat / f"{i}.png")
    (flat / "notes.txt").write_text("no picture")
    loader = get_dataloader(2, 16, flat)
    first, second = ([batch for batch, _ in loader] for _ in range(2))
    assert [len(batch) for batch in first] == [2, 2, 1] and not torch.equal(torch.cat(first), torch.cat(second))
    assert torch.equal(torch.cat(first).flatten(1).sum(1).sort().values, torch.cat(second).flatten(1).sum(1).sort().values)


def test_dataloader_does_not_distort(tmp_path):
    image = Image.new("RGB", (120, 60))
    image.paste((255, 255, 255), (40, 10, 80, 50))  # a square, which must stay one
    (tmp_path / "in").mkdir()
    image.save(tmp_path / "in/a.png")
    batch, _ = next(iter(get_dataloader(1, 30, tmp_path / "in")))
    white = batch[0, 0] > 0.5
    assert white.any(0).sum() == white.any(1).sum() == 20


def test_dataloader_refuses_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(InputError) as error:
            get_dataloader(2, 16, place)
        one_line(error)


def test_threads_keep_the_order_and_do_not_run_ahead():
    started = []

    def slow_now_and_then(i: int) -> int:
        started.append(i)
        time.sleep(0.002 * (i % 7 == 0))
        return i

    assert list(pictures.in_order(slow_now_and_then, range(301))) == list(range(301))
    endless = pictures.in_order(slow_now_and_then, itertools.count())
    started.clear()
    assert [next(endless) for _ in range(20)] == list(range(20))
    endless.close()
    assert len(started) < 20 + 4 * (2 * pictures.processors() + 2)


def test_a_source_lists_its_files_in_order(folder):
    with Source(folder) as source:
        assert source.names == sorted(source.names) and len(source.names) == 12 and source.name == "photos"
