"""Two domains: the order of their pictures, the crops, the folders on disk, and who must not be in both."""

from __future__ import annotations

import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.data import faces as finding
from facegen.data.drawn import drawn
from facegen.data.framing import check_framing, measure_framing
from facegen.data.packed import Faces, load_faces
from facegen.data.prepare import prepare_unpaired
from facegen.data.unpaired import Unpaired, crop_offsets, drawn_unpaired, load_unpaired
from facegen.files import InputError


def numbered(n: int, size: int = 8, offset: int = 0) -> Faces:
    """Pictures that tell who they are (red), in which row (green) and in which column (blue) a pixel lay."""
    images = torch.empty(n, 3, size, size, dtype=torch.uint8)
    images[:, 0] = (torch.arange(n) + offset)[:, None, None]
    images[:, 1] = torch.arange(size)[:, None]
    images[:, 2] = torch.arange(size)
    return Faces(images, None, f"{n} numbers", hashlib.sha256(images.numpy().tobytes()).hexdigest())


def pixels(batch: torch.Tensor) -> torch.Tensor:
    """[-1, 1] -> the bytes they came from."""
    assert batch.dtype == torch.float32
    return ((batch + 1) * 127.5).round().int()


def who(batch: torch.Tensor) -> list[int]:
    return pixels(batch)[:, 0, 0, 0].tolist()


def smooth(folder: Path, n: int, size: int = 40, seed: int = 0, form: str = "png") -> Path:
    """A folder of n different smooth pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for i in range(n):
        noise = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{i:03d}.{form}")
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(np.asarray(Image.open(path).convert("RGB")).tobytes()).hexdigest()


def contents(folder: Path) -> dict[str, set[str]]:
    """The pictures of trainA and so on, by their pixels."""
    return {place.name: {digest(path) for path in place.iterdir()} for place in sorted(folder.iterdir())}


# ---------------------------------------------------------------------------------------------------- the order


def test_every_picture_of_either_domain_is_used_once_in_its_own_epoch():
    data = Unpaired(numbered(12), numbered(30, offset=100))
    pairs = [(a, b) for step in range(20) for a, b in zip(*map(who, data.batch(3, step, seed=4)))]
    seen_a, seen_b = zip(*pairs)
    for epoch in range(5):
        assert sorted(seen_a[12 * epoch : 12 * epoch + 12]) == list(range(12))
    for epoch in range(2):
        assert sorted(seen_b[30 * epoch : 30 * epoch + 30]) == list(range(100, 130))
    assert seen_a[:12] != seen_a[12:24] and seen_b[:30] != seen_b[30:]


def test_equally_large_domains_are_never_paired_the_same_way():
    data = Unpaired(numbered(40), numbered(40))
    epochs = [set(zip(*map(who, data.batch(40, epoch)))) for epoch in range(4)]
    for i, pairing in enumerate(epochs):
        assert len({b for _, b in pairing}) == 40
        assert sum(a == b for a, b in pairing) < 8  # by chance one on average; 40 if both had one order
        assert all(len(pairing & other) < 8 for other in epochs[:i])


def test_a_step_is_a_function_of_seed_and_step_alone():
    data, again = (Unpaired(numbered(7, 12), numbered(11, 12), 8) for _ in range(2))
    straight = [data.batch(4, step, seed=3) for step in range(6)]
    for step in (5, 2, 4):  # any order, another object, other random states
        torch.manual_seed(step)
        np.random.seed(step)
        assert all(torch.equal(x, y) for x, y in zip(again.batch(4, step, seed=3), straight[step]))
    assert not any(torch.equal(x, y) for x, y in zip(again.batch(4, 5, seed=9), straight[5]))


def test_batches_larger_than_a_domain_and_the_length_of_an_epoch():
    data = Unpaired(numbered(3), numbered(5, offset=50))
    real_A, real_B = data.batch(9, 0)
    assert {who(real_A).count(i) for i in range(3)} == {3}
    assert len(real_B) == 9 and set(who(real_B)) == set(range(50, 55))
    assert len(data) == 5
    assert [data.steps_per_epoch(batch) for batch in (1, 2, 5, 9)] == [5, 2, 1, 1]


# ---------------------------------------------------------------------------------------------------- the crops


def test_a_crop_is_a_window_of_the_picture_bit_for_bit():
    data = Unpaired(numbered(6, 12), numbered(6, 12), image_size=8)
    real_A, real_B = data.batch(16, 0, mirror=False)
    assert real_A.shape == real_B.shape == (16, 3, 8, 8)
    for number, picture in zip(who(real_A), real_A):
        top, left = (int(pixels(picture)[channel, 0, 0]) for channel in (1, 2))
        source = data.A.images[number, :, top : top + 8, left : left + 8]
        assert torch.equal(picture, source.float() / 127.5 - 1)


def test_crops_and_flips_are_uniform_and_independent_in_both_domains():
    data = Unpaired(numbered(6, 11), numbered(6, 11), image_size=8)
    real = [torch.cat(part) for part in zip(*(data.batch(50, step, seed=1) for step in range(40)))]
    corner, last = ([pixels(x)[:, :, 0, i] for x in real] for i in (0, -1))
    flipped = [(c[:, 2] > x[:, 2]).float() for c, x in zip(corner, last)]
    top = [c[:, 1].float() for c in corner]
    left = [torch.minimum(c[:, 2], x[:, 2]).float() for c, x in zip(corner, last)]
    for domain in range(2):
        assert abs(flipped[domain].mean() - 0.5) < 0.05
        for offsets in (top[domain], left[domain]):
            shares = torch.bincount(offsets.int(), minlength=4) / 2000  # offsets 0 to 3, both ends possible
            assert len(shares) == 4 and (shares - 0.25).abs().max() < 0.05
    everything = torch.stack([*flipped, *top, *left])
    correlations = torch.corrcoef(everything) - torch.eye(6)
    assert correlations.abs().max() < 0.1  # A and B do not move together, nor rows with columns or flips


def test_crop_offsets_know_both_sides():
    corners = crop_offsets(2000, (3, 0), step=5, seed=2)
    assert corners.dtype == torch.int64 and corners.shape == (2000, 2)
    assert corners[:, 0].unique().tolist() == [0, 1, 2, 3] and not corners[:, 1].any()


def test_without_a_margin_nothing_is_cropped():
    data = Unpaired(numbered(4), numbered(4))
    assert data.image_size == 8
    real_A, _ = data.batch(4, 0, mirror=False)
    assert torch.equal(pixels(real_A), data.A.images[who(real_A)].int())


def test_the_hash_is_that_of_both_domains_in_order_and_to_keeps_everything():
    a, b = numbered(4), numbered(5)
    data = Unpaired(a, b, 8, name="x")
    assert data.content_hash == Unpaired(a, b, 6).content_hash != Unpaired(b, a, 8).content_hash
    moved = data.to("cpu")
    assert moved.content_hash == data.content_hash and (moved.image_size, moved.name, len(moved)) == (8, "x", 5)
    assert moved.A.device == moved.B.device == torch.device("cpu")
    assert all(torch.equal(x, y) for x, y in zip(moved.batch(3, 1), data.batch(3, 1)))


# --------------------------------------------------------------------------------------------------- refusals


def one_line(error: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("n, words", [(0, "has no pictures"), (1, "has 1 picture:")])
def test_a_domain_needs_two_pictures(n, words):
    with pytest.raises(InputError, match="at least 2") as error:
        Unpaired(numbered(4), numbered(n))
    assert "domain B" in one_line(error) and words in one_line(error)


def test_sizes_that_do_not_fit():
    with pytest.raises(InputError, match="crops of 12 pixels cannot be cut from pictures of 8"):
        Unpaired(numbered(4, 8), numbered(4, 8), 12)
    with pytest.raises(InputError, match="8x8 and 9x9"):
        Unpaired(numbered(4, 8), numbered(4, 9))
    with pytest.raises(InputError, match="at least 4 pixels"):
        Unpaired(numbered(4, 8), numbered(4, 8), 0)


# ---------------------------------------------------------------------------------------------------- loading


def test_the_published_layout_is_loaded(tmp_path):
    for name, n in (("trainA", 5), ("trainB", 7), ("testA", 2)):
        smooth(tmp_path / "set" / name, n, seed=len(name) + n)
    data = load_unpaired(tmp_path / "set", 36, 32)
    assert (len(data.A), len(data.B), len(data), data.name) == (5, 7, 7, "set")
    assert data.A.images.shape[2:] == data.B.images.shape[2:] == (36, 36)
    assert data.test_A.images.shape == (2, 3, 32, 32) and data.test_B is None
    real_A, real_B = data.batch(2, 0)
    assert real_A.shape == real_B.shape == (2, 3, 32, 32)
    assert data.A.content_hash == load_faces(tmp_path / "set" / "trainA", 36).content_hash
    (tmp_path / "set" / "testB").mkdir()  # as in the instructions of the published code: made, and nothing in it yet
    assert load_unpaired(tmp_path / "set", 36, 32, max_images=3).test_B is None
    assert len(load_unpaired(tmp_path / "set", 36, 32, max_images=3)) == 3


def test_what_cannot_be_loaded_is_said_in_one_line(tmp_path):
    root = tmp_path / "set"
    with pytest.raises(InputError, match="does not exist"):
        load_unpaired(root)
    smooth(root / "trainA", 3)
    with pytest.raises(InputError, match="no folder trainB"):
        load_unpaired(root, 36, 32)
    (root / "trainB").mkdir()
    with pytest.raises(InputError, match="trainB") as error:
        load_unpaired(root, 36, 32)
    one_line(error)
    smooth(root / "trainB", 1)
    with pytest.raises(InputError, match=r"domain B \(trainB\) has 1 picture"):
        load_unpaired(root, 36, 32)
    with pytest.raises(InputError, match="crops of 64 pixels"):
        load_unpaired(root, 36, 64)
    with pytest.raises(InputError, match="too small"):  # 40 pixels on disk are not enlarged to 143
        load_unpaired(root, 143, 128)
    archive = tmp_path / "set.zip"
    zipfile.ZipFile(archive, "w").close()
    with pytest.raises(InputError, match="unpack it"):
        load_unpaired(archive)


def test_bad_files_of_both_domains_are_reported(tmp_path):
    for name in ("trainA", "trainB"):
        smooth(tmp_path / name, 3)
    (tmp_path / "trainB" / "notes.txt").write_text("not a picture")
    rows = load_unpaired(tmp_path, 36, 32).report
    assert [(row.file, row.used) for row in rows] == [("trainB/notes.txt", False)]


def test_drawn_domains_are_other_people_and_only_b_is_uncanny():
    data = load_unpaired("drawn:20", 24, 20, seed=3)
    sets = (data.A, data.B, data.test_A, data.test_B)
    assert [tuple(faces.images.shape) for faces in sets] == [(20, 3, 24, 24)] * 2 + [(2, 3, 20, 20)] * 2
    people = [int(i) for faces in sets for i in faces.identity]
    assert len(set(people)) == len(people) == 44
    faults = [sum(faces.attributes[name].sum() for name in faces.attributes if name.startswith("fault_")) for faces in sets]
    assert faults[0] == faults[2] == 0 and faults[1] >= 20 and faults[3] >= 2
    assert data.A.landmarks.shape == (20, 5, 2)
    equal = drawn_unpaired(20, 24, 20, seed=3, uncanny=0.0)
    assert equal.A.content_hash == data.A.content_hash and equal.B.content_hash != data.B.content_hash
    assert drawn_unpaired(4, 24, 20, test=0).test_A is None


# ---------------------------------------------------------------------------------------------------- preparing


def test_folders_are_chosen_at_random_and_nothing_of_the_test_is_in_training(tmp_path):
    a, b = smooth(tmp_path / "a", 30, seed=1), smooth(tmp_path / "b", 20, seed=2)
    report = prepare_unpaired(a, b, tmp_path / "out", count=10, test=4, seed=5)
    assert report.counts == {"trainA": 10, "trainB": 10, "testA": 4, "testB": 4}
    assert report.rows == () and report.notes == ()
    found = contents(tmp_path / "out")
    assert {name: len(keys) for name, keys in found.items()} == report.counts
    assert not (found["trainA"] | found["trainB"]) & (found["testA"] | found["testB"])
    chosen = {path.name for name in ("trainA", "testA") for path in (tmp_path / "out" / name).iterdir()}
    assert chosen != {f"{i:03d}.png" for i in range(14)}  # not simply the first
    for path in (tmp_path / "out" / "trainA").iterdir():
        assert path.read_bytes() == (a / path.name).read_bytes()

    prepare_unpaired(a, b, tmp_path / "again", count=10, test=4, seed=5)
    assert contents(tmp_path / "again") == found
    prepare_unpaired(a, b, tmp_path / "other", count=10, test=4, seed=6)
    assert all(contents(tmp_path / "other")[name] != found[name] for name in ("trainA", "testA"))


def test_a_zip_gives_what_its_folder_gives(tmp_path):
    a, b = smooth(tmp_path / "a", 12, seed=1), smooth(tmp_path / "b", 12, seed=2)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for path in b.iterdir():
            archive.write(path, path.name)
    prepare_unpaired(a, b, tmp_path / "one", count=6, test=2)
    prepare_unpaired(a, tmp_path / "b.zip", tmp_path / "two", count=6, test=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_fewer_pictures_than_asked_for_are_all_used_and_the_report_says_so(tmp_path):
    a, b = smooth(tmp_path / "a", 30, seed=1), smooth(tmp_path / "b", 3, seed=2)
    report = prepare_unpaired(a, b, tmp_path / "out")
    assert report.counts == {"trainA": 27, "trainB": 2, "testA": 3, "testB": 1}
    assert len(report.notes) == 2 and "a has 30 pictures" in report.notes[0] and "2,000 for training" in report.notes[0]
    assert "27 and 3 are used" in str(report)
    tiny = prepare_unpaired(smooth(tmp_path / "c", 2), b, tmp_path / "tiny")  # two pictures: both for training
    assert tiny.counts == {"trainA": 2, "trainB": 2, "testA": 0, "testB": 1}
    assert not (tmp_path / "tiny" / "testA").exists()
    assert len(load_unpaired(tmp_path / "tiny", 36, 32).test_B) == 1


def test_the_same_pixels_under_other_names_are_one_picture(tmp_path):
    a, b = smooth(tmp_path / "a", 10, seed=1), smooth(tmp_path / "b", 10, seed=2)
    for i in range(10):
        copy = Image.open(a / f"{i:03d}.png")
        copy.save(a / f"copy {i}.png", compress_level=1 + i % 2)  # also with other bytes
        copy.save(a / f"copy {i}.bmp")
    report = prepare_unpaired(a, b, tmp_path / "out", count=50, test=4)
    assert report.counts["trainA"] == 6 and report.counts["testA"] == 4
    assert sum("the same picture as" in row.what for row in report.rows) == 20
    found = contents(tmp_path / "out")
    assert len(found["trainA"]) == 6 and not found["trainA"] & found["testA"]


def test_a_picture_of_both_domains_is_never_tested_by_one_and_trained_by_the_other(tmp_path):
    a, b = smooth(tmp_path / "a", 10, seed=1), smooth(tmp_path / "b", 10, seed=2)
    for i in range(8):
        (b / f"from a {i}.png").write_bytes((a / f"{i:03d}.png").read_bytes())
    for seed in range(4):
        report = prepare_unpaired(a, b, tmp_path / str(seed), count=50, test=3, seed=seed)
        found = contents(tmp_path / str(seed))
        assert not (found["trainA"] | found["trainB"]) & (found["testA"] | found["testB"])
        assert report.counts == {name: len(keys) for name, keys in found.items()}
        # Two pictures are A's alone, so one of A's test is shared; B has it too, and tests it as well.
        assert report.counts == {"trainA": 7, "trainB": 15, "testA": 3, "testB": 3}
        assert any("7 pictures in common" in note for note in report.notes)


def test_a_domain_that_is_part_of_the_other_takes_its_test_pictures_out_of_training(tmp_path):
    a, b = smooth(tmp_path / "a", 20), smooth(tmp_path / "b", 8)  # the same eight
    report = prepare_unpaired(a, b, tmp_path / "out", count=50, test=2)
    found = contents(tmp_path / "out")
    assert not (found["trainA"] | found["trainB"]) & (found["testA"] | found["testB"])
    assert report.counts == {"trainA": 16, "trainB": 6, "testA": 2, "testB": 2}
    assert [row.what for row in report.rows] == ["a test picture of the other domain"] * 2
    swapped = prepare_unpaired(b, a, tmp_path / "swapped", count=50, test=2)  # both test the same two, so none is lost
    assert swapped.counts == {"trainA": 6, "trainB": 18, "testA": 2, "testB": 2} and swapped.rows == ()


def test_one_folder_for_both_domains(tmp_path):
    a = smooth(tmp_path / "a", 20)
    report = prepare_unpaired(a, a, tmp_path / "out", count=50, test=4)
    found = contents(tmp_path / "out")
    assert found["trainA"] == found["trainB"] and found["testA"] == found["testB"]
    assert len(found["trainA"]) == 16 and len(found["testA"]) == 4
    assert any("nothing to translate" in note for note in report.notes)
    lopsided = prepare_unpaired(a, a, tmp_path / "subset", count=9, test=2, seed=3)  # a part, another one for each domain
    found = contents(tmp_path / "subset")
    assert not (found["trainA"] | found["trainB"]) & (found["testA"] | found["testB"])
    assert lopsided.counts == {name: len(keys) for name, keys in found.items()}


def people(folder: Path, first: int, n: int) -> list[Image.Image]:
    """Faces of different people, also written as files."""
    folder.mkdir(exist_ok=True)
    faces = [Image.fromarray(face) for face in drawn(n, 96, 0, start=first).images.permute(0, 2, 3, 1).numpy()]
    for i, face in enumerate(faces):
        face.save(folder / f"{first + i:03d}.png")
    return faces


def test_near_duplicates_are_chosen_once_and_another_takes_their_place(tmp_path):
    faces = people(tmp_path / "a", 0, 12)
    people(tmp_path / "b", 100, 12)
    for i in range(6):
        faces[i].resize((80, 80)).save(tmp_path / "a" / f"copy{i}.jpg", quality=60)
        faces[i].transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "a" / f"mirror{i}.png")
    report = prepare_unpaired(tmp_path / "a", tmp_path / "b", tmp_path / "out", count=9, test=3, seed=1)
    assert report.counts == {"trainA": 9, "trainB": 9, "testA": 3, "testB": 3}
    chosen = [path.stem for name in ("trainA", "testA") for path in (tmp_path / "out" / name).iterdir()]
    assert len({int(re.sub(r"\D", "", name)) for name in chosen}) == 12  # twelve people, each once
    assert sum("a near-duplicate of" in row.what for row in report.rows) >= 6
    kept = prepare_unpaired(tmp_path / "a", tmp_path / "b", tmp_path / "all", count=20, test=3, seed=1, copies=True)
    assert kept.counts["trainA"] + kept.counts["testA"] == 23 and not kept.rows


def test_a_near_duplicate_of_a_test_picture_is_not_trained_on_in_the_other_domain(tmp_path):
    faces = people(tmp_path / "a", 0, 10)
    people(tmp_path / "b", 100, 10)
    for i in range(10):
        faces[i].crop((1, 1, 95, 95)).save(tmp_path / "b" / f"again{i:03d}.jpg", quality=80)
    report = prepare_unpaired(tmp_path / "a", tmp_path / "b", tmp_path / "out", count=20, test=4)
    assert report.counts["testA"] == 4
    tested = {int(path.stem[-3:]) for path in (tmp_path / "out" / "testA").iterdir()}
    trained = {int(path.stem[-3:]) for path in (tmp_path / "out" / "trainB").glob("again*")}
    assert not tested & trained and len(trained) == 6
    assert "trainA and trainB have 6 pictures in common" in str(report)


def test_all_that_look_like_a_test_picture_are_left_out_though_they_do_not_look_like_each_other(tmp_path):
    faces = people(tmp_path / "a", 0, 8)
    people(tmp_path / "b", 100, 8)
    for i in range(1, 8):
        for name, box in (("upper", (0, 0, 93, 93)), ("lower", (3, 3, 96, 96))):
            faces[i].crop(box).save(tmp_path / "b" / f"{name}{i:03d}.png")
    report = prepare_unpaired(tmp_path / "a", tmp_path / "b", tmp_path / "out", count=20, test=4)
    assert not any("near-duplicate" in row.what for row in report.rows)
    tested, trained = ({int(p.stem[-3:]) for p in (tmp_path / "out" / place).iterdir()} for place in ("testA", "trainB"))
    assert len(tested) == 4 and not tested & trained
    assert {place.name: len([*place.iterdir()]) for place in (tmp_path / "out").iterdir()} == report.counts


def test_size_makes_centred_squares(tmp_path):
    a = tmp_path / "a"
    a.mkdir()
    for i in range(6):
        strip = np.zeros((40, 80, 3), np.uint8)
        strip[:, 20:60] = 40 * i  # the centre
        strip[:, :20] = 255
        Image.fromarray(strip).save(a / f"{i}.jpg", quality=95)
    b = smooth(tmp_path / "b", 6)
    prepare_unpaired(a, b, tmp_path / "out", count=4, test=2, size=20, copies=True)  # flat squares are all alike
    paths = sorted((tmp_path / "out").glob("*/*"))
    assert len(paths) == 12
    for path in paths:
        picture = Image.open(path)
        assert (picture.size, picture.mode, picture.format, path.suffix) == ((20, 20), "RGB", "PNG", ".png")
        if path.parent.name.endswith("A"):
            assert np.ptp(np.asarray(picture)[:, 2:-2]) < 12


def test_bad_files_are_left_out_and_odd_ones_converted(tmp_path):
    a, b = smooth(tmp_path / "a", 4, seed=1), smooth(tmp_path / "b" / "x", 4, seed=2).parent
    (a / "torn.jpg").write_bytes(b"\xff\xd8\xff garbage")
    (a / "readme.txt").write_text("hello")
    Image.open(a / "000.png").convert("L").save(a / "grey.png")
    Image.open(a / "001.png").rotate(180).save(a / "modern.webp", lossless=True)
    smooth(b / "y", 4, seed=3)  # the same names in another folder
    smooth(b / "y", 1, seed=9, form="jpg")
    report = prepare_unpaired(a, b, tmp_path / "out", count=50, test=0)
    assert report.counts == {"trainA": 6, "trainB": 9, "testA": 0, "testB": 0}
    rows = {row.file: row for row in report.rows}
    assert {name for name, row in rows.items() if not row.used} == {"A: torn.jpg", "A: readme.txt"}
    assert rows["A: grey.png"].used and "A: readme.txt" in str(report)
    names = {path.name for path in (tmp_path / "out" / "trainA").iterdir()}
    assert {"grey.png", "modern.png"} <= names
    assert Image.open(tmp_path / "out" / "trainA" / "grey.png").mode == "RGB"
    names = {path.stem: path.suffix for path in (tmp_path / "out" / "trainB").iterdir()}
    assert set(names) == {"000", "000-2", "000-3", "001", "001-2", "002", "002-2", "003", "003-2"}
    assert sorted(names.values()) == [".jpg"] + [".png"] * 8


def test_names_from_a_hostile_zip_stay_in_the_folder(tmp_path):
    b = smooth(tmp_path / "b", 4)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        names = ("../../../up.png", "/top.png", "C:\\down.png", "con\n:?*|.png", "x" * 200 + ".png")
        for name, path in zip(names, sorted(smooth(tmp_path / "a", 5, seed=5).iterdir())):
            archive.writestr(name, path.read_bytes())
    prepare_unpaired(tmp_path / "a.zip", b, tmp_path / "deep" / "out", count=4, test=0)
    names = sorted(path.name for path in (tmp_path / "deep" / "out" / "trainA").iterdir())
    assert names == ["con_____.png", "down.png", "top.png", "x" * 80 + ".png"]  # a path with .. is no candidate at all
    assert not list(tmp_path.glob("*.png"))


def test_drawn_faces_are_sources_too(tmp_path):
    report = prepare_unpaired("drawn:9", "uncanny", tmp_path / "out", count=8, test=2, size=16, seed=1)
    assert report.counts == {"trainA": 7, "trainB": 8, "testA": 2, "testB": 2}
    found = contents(tmp_path / "out")
    assert len(set.union(*found.values())) == 19
    data = load_unpaired(tmp_path / "out", 16, 16)
    clean = drawn_unpaired(9, 16, 16, test=0, seed=1).A
    known = {picture.numpy().tobytes() for picture in clean.images}
    assert all(picture.numpy().tobytes() in known for picture in data.A.images)
    equal = prepare_unpaired("drawn", "drawn", tmp_path / "equal", count=8, test=2, size=16)
    assert equal.notes == () and len(set.union(*contents(tmp_path / "equal").values())) == 20  # nobody is in both


def test_nothing_is_left_behind_by_a_refusal(tmp_path):
    a, empty = smooth(tmp_path / "a", 6), tmp_path / "empty"
    empty.mkdir()
    one = smooth(tmp_path / "one", 1)
    (one / "copy.png").write_bytes((one / "000.png").read_bytes())
    before = sorted(tmp_path.rglob("*"))
    out = tmp_path / "new" / "out"

    def refused(match: str, a, b, **options):
        with pytest.raises(InputError, match=match) as error:
            prepare_unpaired(a, b, out, **options)
        one_line(error)
        assert not out.exists()

    refused("does not exist", a, tmp_path / "nowhere")
    assert sorted(tmp_path.rglob("*")) == before
    refused("no usable picture among the 0 files", a, empty)
    refused("only one picture that can be used for domain B", a, one)
    refused("too small", a, a, size=100)
    refused("test=5 leaves domain A with 1 of 6 pictures", a, "drawn:20", test=5, size=16)
    refused("count is 1", a, a, count=1)
    refused("test is -1", a, a, test=-1)
    refused("seed is -1", a, a, seed=-1)
    refused("size 2 is out of range", a, a, size=2)
    refused("fewer than 2", a, "drawn:1")
    assert not list((tmp_path / "new").glob("*")) and not list((tmp_path / "new").glob(".*"))
    smooth(out, 1)
    with pytest.raises(InputError, match="not empty"):
        prepare_unpaired(a, a, out)
    assert [path.name for path in out.iterdir()] == ["000.png"]


# ---------------------------------------------------------------------------------------------------- reframing


def test_reframed_folders_are_framed_alike(tmp_path):
    """A: drawn faces off centre on wide canvases, and two pictures of nothing; B: drawn faces as they are."""
    people = drawn_unpaired(20, 128, 128, test=0, seed=3).A
    (tmp_path / "a").mkdir()
    random = np.random.default_rng(0)
    for i, pixels in enumerate(people.images.permute(0, 2, 3, 1).numpy()):
        canvas = Image.new("RGB", (300, 240), (80, 110, 140))
        canvas.paste(Image.fromarray(pixels).rotate(random.uniform(-15, 15), fillcolor=(80, 110, 140)), (20 + 6 * i, 5 * i))
        canvas.save(tmp_path / "a" / f"{i:02d}.png")
    for i in range(2):
        noise = random.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "a" / f"sea{i}.png")
    report = prepare_unpaired(tmp_path / "a", "drawn:20", tmp_path / "out", count=18, test=2, seed=1, size=64, reframe=True)
    lost = sum(row.what == "no face found" for row in report.rows)
    assert 2 <= lost <= 4 and report.counts["trainA"] == 20 - lost and report.counts["trainB"] == 18
    assert f"domain A: no face was found in {lost} pictures, which are left out" in report.notes
    data = load_unpaired(tmp_path / "out", 64, 64)
    medians = [d for d in check_framing(data).mismatches if d.of == "median"]
    assert medians == []
    assert abs(measure_framing(data.A).scale.median * 3.6 - 1) < 0.06 and measure_framing(data.A).roll.spread < 2

    plain = prepare_unpaired(tmp_path / "a", "drawn:20", tmp_path / "plain", count=18, test=2, seed=1, size=128)
    assert plain.counts["trainA"] == 18
    told = check_framing(load_unpaired(tmp_path / "plain", 128, 128))
    assert told["scale", "median"].matters and told["roll", "spread"].a > 3 * told["roll", "spread"].b

    tight = prepare_unpaired("drawn:20", "uncanny:20", tmp_path / "tight", count=8, test=0, size=64, reframe=1.4)
    assert tight.counts["trainA"] == tight.counts["trainB"] == 8
    assert abs(measure_framing(load_unpaired(tmp_path / "tight", 64, 64).A).scale.median * 3.6 / 1.4 - 1) < 0.08


def test_drawn_faces_can_be_framed_as_tightly_as_others(tmp_path):
    prepare_unpaired("drawn:3", "uncanny:3", tmp_path / "out", count=2, test=1, size=32, reframe=2.5)
    path = next((tmp_path / "out" / "trainA").iterdir())
    assert Image.open(path).size == (32, 32)
    with pytest.raises(InputError, match=r"drawn:2: face too small .*take a smaller size, or reframe=3 less tightly") as error:
        prepare_unpaired("drawn:2", "drawn:2", tmp_path / "large", count=2, test=0, size=1024, reframe=3)
    assert one_line(error) and not (tmp_path / "large").exists()


def test_reframing_refuses_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    a = smooth(tmp_path / "a", 6)
    before = sorted(tmp_path.rglob("*"))

    def refused(match: str, **options):
        with pytest.raises(InputError, match=match) as error:
            prepare_unpaired(a, a, tmp_path / "out", **options)
        one_line(error)
        assert sorted(tmp_path.rglob("*")) == before

    refused("no usable picture among the 6 files.*no face found", reframe=True)
    refused("zoom 7 is out of range", reframe=7)
    refused("zoom 0 is out of range", reframe=0.0)
    monkeypatch.setattr(finding, "find_spec", lambda name: None)
    finding._networks.cache_clear()
    refused("pip install facenet-pytorch", reframe=True)
