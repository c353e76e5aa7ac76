"""Faces found in pictures, photographs framed like FFHQ, and the check before two domains are trained on."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from facegen.data import faces as module
from facegen.data import framing as framing_module
from facegen.data.drawn import drawn
from facegen.data.faces import find_faces, framed, safe_name
from facegen.data.framing import Framing, check_framing, framing, measure_framing, reframe
from facegen.data.packed import Faces
from facegen.data.photos import align
from facegen.data.pictures import Unusable
from facegen.data.unpaired import Unpaired, drawn_unpaired, reframed
from facegen.files import InputError


def picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def bare(images: torch.Tensor, name: str = "pictures") -> Faces:
    """A set of which nothing but the pixels is known."""
    return Faces(images, None, name, "")


def ffhq(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and side of FFHQ's square by the formulas of Karras et al. 2018, appendix C: c and s."""
    eye_to_eye = landmarks[1] - landmarks[0]
    eye_to_mouth = landmarks[3:].mean(0) - landmarks[:2].mean(0)
    side = max(4.0 * np.linalg.norm(eye_to_eye), 3.6 * np.linalg.norm(eye_to_mouth))
    return landmarks[:2].mean(0) + 0.1 * eye_to_mouth, float(side)


@pytest.fixture(scope="module")
def people():
    return drawn(12, 128, seed=5)


# ---------------------------------------------------------------------------------------------------------- finding


def test_landmarks_lie_where_they_were_drawn(people):
    images = torch.cat([people.images, noise(2, 3, 128, 128)])
    faces = find_faces(images)
    assert faces.landmarks.shape == (14, 5, 2) and faces.landmarks.dtype == torch.float32
    assert faces.count.dtype == torch.int64 and faces.count.tolist()[-2:] == [0, 0]
    assert faces.landmarks[-2:].isnan().all() and faces.probability.tolist()[-2:] == [0, 0]
    found = faces.found[:12]
    assert int(found.sum()) >= 11 and bool((faces.probability[:12][found] >= 0.7).all())
    size = framing(people.landmarks, 128).scale.values.float() * 128
    wrong = (faces.landmarks[:12] - people.landmarks).norm(dim=2) / size[:, None]  # in eye-to-mouth distances
    assert float(wrong[found].mean()) < 0.07 and float(wrong[found].max()) < 0.25
    shift = (faces.landmarks[:12] - people.landmarks)[found].mean((0, 1)).abs()
    assert float(shift.max()) < 1.5  # pixels: nothing is off by half a cell throughout


def test_a_picture_s_face_depends_on_no_other_picture(people):
    images = torch.cat([people.images, noise(1, 3, 128, 128)])
    together = find_faces(images).landmarks
    alone = torch.cat([find_faces(image[None]).landmarks for image in images])
    assert torch.equal(alone.nan_to_num(), together.nan_to_num()) and not together[12].isfinite().any()


def test_a_mirrored_picture_has_mirrored_landmarks(people):
    plain, turned = find_faces(people.images[:6]), find_faces(people.images[:6].flip(3))
    both = plain.found & turned.found
    expected = plain.landmarks[:, [1, 0, 2, 4, 3]] * torch.tensor([-1, 1]) + torch.tensor([128, 0])
    assert int(both.sum()) >= 5 and float((turned.landmarks - expected)[both].norm(dim=2).mean()) < 1.5


def test_landmarks_are_in_the_picture_s_own_pixels(people):
    canvas = torch.full((1, 3, 500, 700), 128, dtype=torch.uint8)
    canvas[0, :, 200:328, 300:428] = people.images[0]
    found = find_faces(canvas)
    assert found.count.tolist() == [1]
    assert float((found.landmarks[0] - people.landmarks[0] - torch.tensor([300.0, 200.0])).norm(dim=1).mean()) < 4
    small = drawn(1, 48, seed=5)
    assert float((find_faces(small.images).landmarks - small.landmarks).norm(dim=2).mean()) < 2


def test_of_several_faces_the_largest_is_taken(people):
    large = torch.nn.functional.interpolate(people.images[1:2].float(), scale_factor=1.5).byte()[0]
    canvas = torch.full((1, 3, 192, 340), 128, dtype=torch.uint8)
    canvas[0, :, 30:158, :128] = people.images[0]
    canvas[0, :, :, 140:332] = large
    found = find_faces(canvas)
    assert found.count.tolist() == [2]
    expected = people.landmarks[1] * 1.5 + torch.tensor([140.0, 0.0])
    assert float((found.landmarks[0] - expected).norm(dim=1).mean()) < 5


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (17, 5)])
def test_odd_shapes_have_no_face(shape):
    assert find_faces(noise(2, 3, *shape)).count.tolist() == [0, 0]


def test_no_pictures_have_no_faces():
    found = find_faces(torch.empty(0, 3, 32, 32, dtype=torch.uint8))
    assert found.landmarks.shape == (0, 5, 2) and len(found.probability) == len(found.count) == 0


def test_the_detector_refuses_in_one_line(monkeypatch):
    for wrong in (torch.zeros(2, 3, 32, 32), torch.zeros(3, 32, 32, dtype=torch.uint8), noise(1, 1, 32, 32)):
        with pytest.raises(InputError, match=r"must be uint8 \[N, 3, H, W\]"):
            find_faces(wrong)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module._networks.cache_clear()
    with pytest.raises(InputError, match=r"pip install facenet-pytorch==2\.5\.3$") as error:
        find_faces(noise(1, 3, 32, 32))
    assert "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------------------- framing


def marked(landmarks: np.ndarray, width: int, height: int) -> Image.Image:
    """Grey with a soft white spot on every landmark."""
    y, x = np.mgrid[:height, :width] + 0.5
    spots = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 18) for a, b in landmarks)
    return Image.fromarray(np.repeat((60 + 190 * spots).clip(0, 255)[..., None], 3, 2).astype(np.uint8))


def spot(image: Image.Image, near: np.ndarray) -> np.ndarray:
    """The centre of brightness within 6 pixels of a place."""
    values = np.asarray(image)[..., 0].astype(float) - 60
    y, x = np.mgrid[: image.height, : image.width] + 0.5
    weight = values.clip(0) * (np.hypot(x - near[0], y - near[1]) < 6)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize("wide", [False, True])  # the square's side comes from the eyes, or from eyes to mouth
def test_a_face_comes_to_lie_where_ffhq_has_it(wide):
    upright = np.array([[-40.0, 0], [40, 0], [0, 45], [-28, 70 if wide else 100], [28, 70 if wide else 100]])
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    landmarks = upright @ turn.T + [300, 190]
    middle, side = ffhq(upright)
    assert side == pytest.approx(320 if wide else 360)
    result, notes = framed(marked(landmarks, 640, 520), landmarks, 180)
    assert result.size == (180, 180) and notes == []
    for point in (upright - middle) / side * 180 + 90:
        assert np.linalg.norm(spot(result, point) - point) < 0.3
    tight, _ = framed(marked(landmarks, 640, 520), landmarks, 180, zoom=1.25)
    for point in (upright - middle) / side * 225 + 90:
        assert np.linalg.norm(spot(tight, point) - point) < 0.3


def test_framing_agrees_with_reframe_where_both_can_do_it(people):
    from facegen.data.framing import _places

    i = 4
    face = people.landmarks[i].double().numpy()
    moved, _ = framed(picture(people.images[i]), face, 128)
    after = framing(torch.from_numpy((face - ffhq(face)[0])[None]), 128)  # where its centre lies below FFHQ's middle
    size, _, _, roll = (float(v) for v in _places(people.landmarks[i : i + 1]))
    assert float(after.scale.median) == pytest.approx(size / 128)
    eyes, mouth = face[:2].mean(0), face[3:].mean(0)
    below = 0.4 * np.linalg.norm(mouth - eyes) / (3.6 * size)
    lean = np.rad2deg(np.arctan2(*(mouth - eyes)[[0, 1]])) + roll
    target = Framing.exactly(1 / 3.6, 0.5 + below * np.sin(np.deg2rad(lean)), 0.5 + below * np.cos(np.deg2rad(lean)))
    other, _ = reframe(people.images[i : i + 1], people.landmarks[i : i + 1], target)
    assert float((other[0].float() - torch.from_numpy(np.array(moved)).permute(2, 0, 1).float()).abs().mean()) < 1.0


def test_shrinking_does_not_alias_and_borders_mirror():
    upright = np.array([[-200.0, 0], [200, 0], [0, 200], [-150, 400], [150, 400]]) + np.array([800, 700])
    fine = np.indices((1600, 1600)).sum(0) % 2 * 255
    small, _ = framed(Image.fromarray(np.repeat(fine[..., None], 3, 2).astype(np.uint8)), upright, 64)
    assert abs(np.asarray(small).astype(int) - 127).max() <= 3  # a chessboard of single pixels is grey from afar
    # The square begins 300 pixels to the left of this picture; the white strip at its left border is seen twice as wide.
    strip = np.zeros((1600, 1000, 3), np.uint8)
    strip[:, :100] = 255
    upright -= [500, 0]
    corner = ffhq(upright)[0][0] - ffhq(upright)[1] / 2
    seen, notes = framed(Image.fromarray(strip), upright, 160)
    bright = np.asarray(seen)[80, :, 0] > 127
    assert corner == pytest.approx(-500) and notes == [module.NEAR_BORDER]
    assert np.flatnonzero(bright).tolist() == list(range(40, 60))  # 400 to 600 pixels right of the corner, 10 per pixel


def test_what_cannot_be_framed_is_said():
    face = np.array([[-8.0, 0], [8, 0], [0, 8], [-6, 16], [6, 16]]) + 50  # a square of 64 pixels
    image = Image.new("RGB", (100, 100))
    assert framed(image, face, 128)[1] == [("face smaller than wanted", "enlarged to 128x128")]
    with pytest.raises(Unusable, match=r"face too small \(its square has 64 pixels\)"):
        framed(image, face, 129)
    with pytest.raises(Unusable, match="in one place"):
        framed(image, np.ones((5, 2)), 16)


# --------------------------------------------------------------------------------------------------------- aligning


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Photographs of drawn faces, off centre on wide canvases, two names alike, one without a face and one that is none."""
    root = tmp_path_factory.mktemp("album") / "album"
    people = drawn(5, 192, seed=8)
    places = {"one/Ann.jpg": (10, 30), "two/Ann.jpg": (150, 0), "two/Ann.png": (60, 50), "Bob.webp": (100, 20)}
    truth = {}
    for i, (name, (x, y)) in enumerate(places.items()):
        canvas = Image.new("RGB", (360, 300), (90, 120, 150))
        canvas.paste(picture(people.images[i]), (x, y))
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        canvas.save(root / name, quality=95)
        truth[name] = people.landmarks[i].numpy() + np.array([x, y])
    picture(noise(3, 200, 200)).save(root / "sea.png")
    (root / "notes.txt").write_text("no picture")
    return root, truth


def test_a_folder_of_photographs(album, tmp_path):
    root, truth = album
    report = align(root, tmp_path / "out", 96)
    assert report.count == 4 and report.seen == 6 and report.faceless == ("sea.png",) and report.several == ()
    assert "4 of 6 files framed at 96x96" in str(report) and "1 without a face, left out: sea.png" in str(report)
    assert "notes.txt" in str(report) and "not an image" in str(report)
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*.png")}
    assert set(files) == {"Bob.png", "one/Ann.png", "two/Ann.png", "two/Ann-2.png"}
    names = {"Bob.webp": "Bob.png", "one/Ann.jpg": "one/Ann.png", "two/Ann.jpg": "two/Ann.png", "two/Ann.png": "two/Ann-2.png"}
    for origin, name in names.items():
        image = Image.open(files[name])
        assert image.size == (96, 96) and image.mode == "RGB"
        found = find_faces(torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]).landmarks[0].numpy()
        middle, side = ffhq(found)
        assert np.abs(middle / 96 - 0.5).max() < 0.02 and abs(side / 96 - 1) < 0.08
        # By the landmarks that were drawn: what the true square would show must be what is seen.
        true, _ = framed(Image.open(root / origin).convert("RGB"), truth[origin], 96)
        assert np.abs(np.asarray(true).astype(int) - np.asarray(image)).mean() < 25


def test_a_zip_gives_what_its_folder_gives_and_zoom_cuts_tighter(album, tmp_path):
    root, _ = album
    with zipfile.ZipFile(tmp_path / "album.zip", "w") as archive:
        for path in sorted(root.rglob("*.*")):
            archive.write(path, path.relative_to(root))
    align(root, tmp_path / "a", 48)
    align(tmp_path / "album.zip", tmp_path / "b", 48)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(files) == 4
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    align(root, tmp_path / "c", 64, zoom=1.4)
    images = [np.array(Image.open(path)) for path in sorted((tmp_path / "c").rglob("*.png"))]
    tight = find_faces(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    assert framing(tight.landmarks[tight.found], 64).scale.median == pytest.approx(1.4 / 3.6, rel=0.05)


def test_one_photograph(album, tmp_path):
    root, _ = album
    report = align(root / "Bob.webp", tmp_path / "new" / "face.jpg", 64)
    assert report.count == report.seen == 1 and Image.open(tmp_path / "new" / "face.jpg").format == "JPEG"
    align(root / "Bob.webp", tmp_path / "folder", 64)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["Bob.png"]


def test_two_faces_are_reported(people, tmp_path):
    canvas = Image.new("RGB", (260, 128))
    canvas.paste(picture(people.images[0]), (0, 0))
    canvas.paste(picture(people.images[1]), (130, 0))
    canvas.save(tmp_path / "pair.png")
    report = align(tmp_path / "pair.png", tmp_path / "out", 64)
    assert report.several == ("pair.png",) and "1 with several faces, the largest taken: pair.png" in str(report)


def test_nothing_is_left_behind_by_a_refusal(album, tmp_path, monkeypatch):
    root, _ = album
    sea = tmp_path / "sea"
    sea.mkdir()
    picture(noise(3, 64, 64)).save(sea / "sea.png")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_text("nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept.txt").write_text("kept")
    before = sorted(tmp_path.rglob("*"))

    def refused(match: str, source: Path, dest: Path = tmp_path / "out", **options):
        with pytest.raises(InputError, match=match) as error:
            align(source, dest, **options)
        assert "\n" not in str(error.value) and sorted(tmp_path.rglob("*")) == before

    refused("does not exist", tmp_path / "nowhere")
    refused("no face was found in the 1|no face was found in .*sea", sea)
    refused("no face was found in .*sea.png", sea / "sea.png", tmp_path / "face.png")
    refused("no usable picture", tmp_path / "bad")
    refused("already exists and is not empty", root, tmp_path / "full")
    refused("size 15 is out of range", root, size=15)
    refused("zoom 4 is out of range", root, zoom=4)
    refused("zoom nan is out of range", root, zoom=float("nan"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module._networks.cache_clear()
    refused("pip install facenet-pytorch", root)


def test_names_are_safe_and_free():
    taken: set[str] = set()
    names = [
        safe_name(n, ".png", taken, folders=True) for n in ("../a/b.jpg", "/a/b.jpg", "C:\\x\\b.jpg", "A/B.png", "A/b.gif")
    ]
    assert len({n.casefold() for n in names}) == 5
    assert all(not n.startswith("/") and ".." not in n and ":" not in n for n in names)


def test_names_fit_every_file_system():
    names = [safe_name(name, ".png", set()) for name in ("con.jpg", "Aux.x.png", "com1.gif", "console.png", "lpt1/a.png")]
    assert names == ["_con.png", "_Aux.x.png", "_com1.png", "console.png", "a.png"]
    assert safe_name("nul/a.png", ".png", set(), folders=True) == "_nul/a.png"
    long = safe_name("\U00020000" * 90 + ".png", ".png", set())  # letters of four bytes
    assert 100 < len(long.encode()) <= 255 and long.endswith("\U00020000.png")


# --------------------------------------------------------------------------------------------------------- checking


def test_framing_is_measured_from_known_or_found_landmarks(people, monkeypatch):
    known = Faces(people.images, None, "drawn", "", landmarks=people.landmarks)
    with monkeypatch.context() as patch:
        patch.delattr(framing_module, "find_faces")  # what is known is not searched for
        truth = measure_framing(known)
    assert truth.n == 12 and torch.equal(truth.y.values, framing(people.landmarks, 128).y.values)
    found = measure_framing(bare(torch.cat([people.images, noise(3, 3, 128, 128)])))
    assert 11 <= found.n <= 12
    assert found.scale.median == pytest.approx(truth.scale.median, rel=0.05)
    assert abs(found.x.median - truth.x.median) < 0.015 and abs(found.y.median - truth.y.median) < 0.02
    some = [measure_framing(bare(people.images), most=4, seed=seed) for seed in (0, 0, 1)]
    assert [m.n for m in some[:2]] == [some[0].n] * 2 and some[0].n <= 4
    assert torch.equal(some[0].x.values, some[1].x.values) and not torch.equal(some[0].x.values, some[2].x.values)
    with pytest.raises(InputError, match="no face was found in 3 pictures of sea"):
        measure_framing(bare(noise(3, 3, 32, 32), "sea"))
    with pytest.raises(InputError, match="most is 0"):
        measure_framing(known, most=0)


def zoomed(data: Unpaired) -> Unpaired:
    """Domain B, with its test pictures, zoomed 1.3 times, shifted and turned as a whole."""
    target = Framing.exactly(1.3 * measure_framing(data.B).scale.median, 0.46, 0.66, roll=8.0)

    def move(faces: Faces) -> Faces:
        images, landmarks = reframe(faces.images, faces.landmarks, target, per_face=False)
        return dataclasses.replace(faces, images=images, landmarks=landmarks)

    return dataclasses.replace(data, B=move(data.B), test_B=move(data.test_B))


def test_a_mismatch_is_named_and_reframing_cures_it():
    data = drawn_unpaired(40, 40, 32, test=12, seed=2)
    same = check_framing(data)
    assert same.mismatches == () and str(same) == "A and B are framed alike (40 and 40 faces)."
    other = zoomed(data)
    report = check_framing(other)
    assert {d.quantity for d in report.mismatches if d.of == "median"} == {"scale", "x", "y", "roll"}
    text = str(report)
    assert "faces in B fill 1.3" in text and "--reframe" in text and "facegen align" in text and "no face" not in text

    cured = reframed(other)
    assert cured.B is other.B and cured.test_B is other.test_B  # the tighter one stays
    assert check_framing(cured).mismatches == ()
    assert cured.A.content_hash not in (other.A.content_hash, cured.B.content_hash)
    assert cured.A.images.shape == other.A.images.shape and cured.A.identity is other.A.identity
    assert cured.test_A.images.shape == (12, 3, 32, 32) and cured.image_size == 32
    a, b = measure_framing(cured.test_A), measure_framing(cured.test_B)
    assert a.scale.median == pytest.approx(b.scale.median, rel=0.06) and abs(a.roll.median - b.roll.median) < 2
    # The known landmarks went the way of the pixels: reframe, which moves both, agrees.
    goal = measure_framing(other.B)
    images, landmarks = reframe(other.A.images, other.A.landmarks, goal, per_face=False)
    torch.testing.assert_close(cured.A.landmarks, landmarks, atol=0.3, rtol=0)
    assert float((images.float() - cured.A.images.float()).abs().mean()) < 2

    swapped = reframed(dataclasses.replace(other, A=other.B, B=other.A, test_A=None, test_B=None))
    assert swapped.A is other.B and torch.equal(swapped.B.images, cured.A.images) and swapped.test_A is None
    both = reframed(other, target=Framing.exactly(0.2, 0.5, 0.6))
    for faces in (both.test_A, both.test_B):  # as their domains are moved
        assert measure_framing(faces).scale.median == pytest.approx(0.2, rel=0.06)
    for faces in (both.A, both.B):
        place = measure_framing(faces)
        assert place.scale.median == pytest.approx(0.2, rel=1e-4) and abs(place.roll.median) < 1e-3


def test_pictures_without_landmarks_are_searched():
    drawn_ones = drawn_unpaired(16, 64, 64, test=0, seed=5)
    other = zoomed(dataclasses.replace(drawn_ones, test_B=drawn_ones.B))
    sea = noise(3, 3, 64, 64)
    a = bare(torch.cat([drawn_ones.A.images, sea]), "a")
    data = Unpaired(a, bare(other.B.images, "b"))
    report = check_framing(data)
    scale = report["scale", "median"]
    assert scale.matters and scale.value == pytest.approx(1.3, rel=0.06)
    assert report.missed == (19 - report.n_a, 16 - report.n_b) and 14 <= report.n_a <= 16
    assert f"no face was found in {19 - report.n_a} of 19 pictures of A" in str(report)
    cured = check_framing(reframed(data))
    assert [d for d in cured.mismatches if d.of == "median"] == []


def test_a_check_without_faces_is_refused_in_one_line():
    people = drawn(5, 64, seed=4).images
    few = bare(torch.cat([people, noise(15, 3, 64, 64)]), "few")
    enough = drawn_unpaired(20, 64, 64, test=0).B
    for data, letter in ((Unpaired(few, enough), "A"), (Unpaired(enough, few), "B")):
        with pytest.raises(InputError, match=rf"in only \d of 20 pictures of domain {letter} \(few\).*needs 14") as error:
            check_framing(data)
        assert "\n" not in str(error.value)
    tiny = check_framing(Unpaired(bare(people), enough))  # a set of five can prove nothing, and that is no mistake
    assert not tiny.conclusive and "Too few faces" in str(tiny)


def test_a_picture_of_another_format_is_not_made_a_folder(tmp_path):
    Image.fromarray(drawn(1, 256, 0).images[0].permute(1, 2, 0).numpy()).save(tmp_path / "face.png")
    with pytest.raises(InputError, match=r"pictures are written as \.png"):
        align(tmp_path / "face.png", tmp_path / "out.gif")
    assert not (tmp_path / "out.gif").exists()
