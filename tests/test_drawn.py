"""Drawn faces: the labels, landmarks and identities are true of the pixels, and a face does not depend on its batch."""

from __future__ import annotations

import sys

import pytest
import torch

from facegen.data.drawn import ATTRIBUTE_NAMES, FAULTS, HAIR_COLORS, MONK_TONES, DrawnFaces, drawn
from facegen.files import InputError

MODULE = sys.modules["facegen.data.drawn"]
CLEAR = {"glasses": [1, 0, 0, 0], "beard": [1, 0, 0, 0, 0], "hat": [1, 0, 0], "earrings": [1, 0, 0]}


def rgb(hexadecimal: str) -> torch.Tensor:
    return torch.tensor([int(hexadecimal[i : i + 2], 16) for i in (0, 2, 4)], dtype=torch.float32)


def patch(faces: DrawnFaces, i: int, point: torch.Tensor, half: float) -> torch.Tensor:
    """Pixels [3, K] of a square around a point, half in inter-eye distances."""
    size = faces.images.shape[-1]
    reach = max(1, round(half * float((faces.landmarks[i, 1] - faces.landmarks[i, 0]).norm())))
    x, y = (int(v) for v in point)
    box = faces.images[i, :, max(0, y - reach) : y + reach + 1, max(0, x - reach) : min(size, x + reach + 1)]
    return box.flatten(1).float()


def on_face(faces: DrawnFaces, i: int, across: float, down: float) -> torch.Tensor:
    """A point in the frame of the eyes and the mouth: (0, 0) between the eyes, (0, 1) between the mouth's corners."""
    left, right, _, mouth_l, mouth_r = faces.landmarks[i]
    middle = (left + right) / 2
    return middle + across * (right - left) + down * ((mouth_l + mouth_r) / 2 - middle)


def skin_color(faces: DrawnFaces, i: int) -> torch.Tensor:
    """Median colour of the lit half of both cheeks and the skin between the brows: one cheek may lie in shadow."""
    points = [(-0.55, 0.38), (0.55, 0.38), (0.0, -0.36)]
    pixels = torch.cat([patch(faces, i, on_face(faces, i, *point), 0.12) for point in points], dim=1)
    return pixels[:, pixels.sum(dim=0).argsort()[pixels.shape[1] // 2 :]].median(dim=1).values


def ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks with ties shared, as Spearman's correlation needs them."""
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts - 1) / 2)[inverse]


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1])


@pytest.fixture(scope="module")
def clear() -> DrawnFaces:
    return drawn(240, 64, seed=3, weights=CLEAR)


def test_shapes_types_and_ranges():
    faces = drawn(5, 33, seed=1)
    assert len(faces) == 5
    assert faces.images.dtype == torch.uint8 and faces.images.shape == (5, 3, 33, 33)
    assert faces.landmarks.dtype == torch.float32 and faces.landmarks.shape == (5, 5, 2)
    assert faces.identity.dtype == torch.int64 and faces.identity.tolist() == [0, 1, 2, 3, 4]
    for name, values in ATTRIBUTE_NAMES.items():
        label = faces.attributes[name]
        assert label.dtype == torch.int64 and label.shape == (5,), name
        assert int(label.min()) >= 0 and int(label.max()) < len(values), name
    for name in ("skin_rgb", "hair_rgb"):
        colors = faces.attributes[name]
        assert colors.shape == (5, 3) and float(colors.min()) >= 0 and float(colors.max()) <= 1, name
    assert drawn(0).images.shape == (0, 3, 64, 64)


def test_a_face_is_the_same_bits_in_any_batch():
    whole = drawn(40, 64, seed=7, uncanny=0.5)
    for i in (0, 1, 13, 39):
        alone = drawn(1, 64, seed=7, start=i, uncanny=0.5)
        assert torch.equal(alone.images[0], whole.images[i]), f"face {i} drawn alone differs"
        assert torch.equal(alone.landmarks[0], whole.landmarks[i])
        assert all(torch.equal(alone.attributes[k][0], whole.attributes[k][i]) for k in whole.attributes)
    part = drawn(21, 64, seed=7, start=9, uncanny=0.5)
    assert torch.equal(part.images, whole.images[9:30])
    assert torch.equal(part.identity, whole.identity[9:30])


def test_the_boxes_that_save_time_cut_nothing_off(monkeypatch):
    quick = drawn(48, 48, seed=11, uncanny=0.3).images
    monkeypatch.setattr(MODULE, "_BOXES", dict.fromkeys(MODULE._BOXES, (-50.0, 50.0, -50.0, 50.0, True)))
    assert torch.equal(quick, drawn(48, 48, seed=11, uncanny=0.3).images)


def test_bands_of_rows_join_without_a_seam(monkeypatch):
    whole = drawn(2, 64, seed=5).images
    monkeypatch.setattr(MODULE, "_PIXELS", 64 * 9)
    assert torch.equal(whole, drawn(2, 64, seed=5).images)


def test_seeds_and_indices_give_other_faces():
    a, b = drawn(16, 32, seed=0).images, drawn(16, 32, seed=1).images
    pictures = torch.cat([a, b]).flatten(1)
    assert len(pictures.unique(dim=0)) == 32


def test_a_face_is_the_same_at_another_size():
    small, large = drawn(24, 64, seed=4), drawn(24, 256, seed=4)
    assert all(torch.equal(small.attributes[k], large.attributes[k]) for k in small.attributes)
    assert torch.allclose(small.landmarks * 4, large.landmarks, atol=1e-3)
    reduced = torch.nn.functional.avg_pool2d(large.images.float(), 4)
    difference = (reduced - small.images.float()).abs().mean(dim=(1, 2, 3))
    other = (reduced.roll(1, 0) - small.images.float()).abs().mean(dim=(1, 2, 3))
    assert float(difference.max()) < 5 and float(other.min()) > 15


def test_every_value_of_every_attribute_occurs():
    attributes = drawn(2000, 16, seed=0).attributes
    for name, values in ATTRIBUTE_NAMES.items():
        counts = torch.bincount(attributes[name], minlength=len(values))
        assert int(counts.min()) >= 15, f"{name}: {dict(zip(values, counts.tolist()))}"
    assert len(ATTRIBUTE_NAMES["hair_style"]) >= 8
    for name, reach in (("yaw", 15.0), ("pitch", 6.0), ("roll", 5.0)):
        angle = attributes[name]
        assert float(angle.min()) < -reach and float(angle.max()) > reach and abs(float(angle.mean())) < 1, name


def test_skin_tone_label_is_in_the_pixels(clear):
    tones = torch.stack([rgb(tone) for tone in MONK_TONES])
    measured = torch.stack([skin_color(clear, i) for i in range(len(clear))])
    label = clear.attributes["skin_tone"]
    order = correlation(-measured.mean(dim=1), label.double())
    assert order > 0.95, f"rank correlation of measured darkness with the label is {order:.3f}"
    nearest = torch.cdist(measured, tones).argmin(dim=1)
    close = float(((nearest - label).abs() <= 1).float().mean())
    assert close > 0.9, f"nearest tone within one step for {close:.2f} of the faces"
    error = (measured - clear.attributes["skin_rgb"] * 255).abs().mean()
    assert float(error) < 12, f"mean difference from skin_rgb is {float(error):.1f} of 255"


def test_hair_color_label_is_in_the_pixels(clear):
    styles = ATTRIBUTE_NAMES["hair_style"]
    palette = torch.tensor(list(HAIR_COLORS.values()), dtype=torch.float32)
    measured, wanted, label = [], [], []
    for i in range(len(clear)):
        if styles[int(clear.attributes["hair_style"][i])] in ("bald", "buzz"):
            continue
        measured.append(patch(clear, i, on_face(clear, i, 0.0, -1.35), 0.10).median(dim=1).values)
        wanted.append(clear.attributes["hair_rgb"][i] * 255)
        label.append(int(clear.attributes["hair_color"][i]))
    measured, wanted, label = torch.stack(measured), torch.stack(wanted), torch.tensor(label)
    order = correlation(measured.mean(dim=1), wanted.mean(dim=1))
    assert order > 0.95, f"rank correlation of hair brightness with hair_rgb is {order:.3f}"
    right = float((torch.cdist(measured, palette).argmin(dim=1) == label).float().mean())
    assert right > 0.75, f"nearest hair colour is the label's for {right:.2f} of the faces"


def test_landmarks_lie_on_the_features():
    bare = {**CLEAR, "skin_tone": [1] * 6 + [0] * 4, "hair_style": [1] + [0] * 11}
    faces = drawn(120, 128, seed=6, weights=bare)
    gray = faces.images.float().mean(dim=1)
    hits = {"eye": 0, "mouth": 0}
    for i in range(len(faces)):
        skin = float(skin_color(faces, i).mean())
        for k in (0, 1):
            x, y = (int(v) for v in faces.landmarks[i, k])
            hits["eye"] += float(gray[i, y - 2 : y + 4, x - 3 : x + 4].min()) < 0.35 * skin
        left, right = faces.landmarks[i, 3], faces.landmarks[i, 4]
        for point, outward in ((left, -1), (right, 1)):
            x, y = (int(v) for v in point)
            column = gray[i, y - 7 : y + 8, x - outward * 3].min()  # just inside the corner: the dark line of the lips
            beyond = gray[i, y - 3 : y + 4, x + outward * 5].median()
            hits["mouth"] += float(column) < 0.90 * float(beyond)
    assert hits["eye"] >= 230 and hits["mouth"] >= 220, hits
    eyes = (faces.landmarks[:, 0] + faces.landmarks[:, 1]) / 2 / 128
    apart = (faces.landmarks[:, 1] - faces.landmarks[:, 0]).norm(dim=1) / 128
    assert float(eyes[:, 1].min()) > 0.44 and float(eyes[:, 1].max()) < 0.49
    assert float(apart.min()) > 0.17 and float(apart.max()) < 0.25 and float(apart.median()) > 0.2
    across = faces.landmarks[:, :, 0]
    assert (across[:, 0] < across[:, 1]).all() and (across[:, 3] < across[:, 4]).all()


def test_landmarks_turn_with_the_head():
    faces = drawn(400, 16, seed=8)
    eyes = faces.landmarks[:, 1] - faces.landmarks[:, 0]
    measured = torch.rad2deg(torch.atan2(eyes[:, 1], eyes[:, 0]))
    yaw, pitch = torch.deg2rad(faces.attributes["yaw"]), torch.deg2rad(faces.attributes["pitch"])
    tilt = torch.rad2deg(torch.atan(yaw.tan() * pitch.sin()))  # yaw and pitch together tilt the eyes' line
    assert float((measured - faces.attributes["roll"] - tilt).abs().max()) < 0.01
    one = drawn(200, 16, seed=8, identities=[4] * 200)
    back = torch.deg2rad(-one.attributes["roll"])
    nose = one.landmarks[:, 2] - (one.landmarks[:, 0] + one.landmarks[:, 1]) / 2
    across = nose[:, 0] * back.cos() - nose[:, 1] * back.sin()
    down = nose[:, 0] * back.sin() + nose[:, 1] * back.cos()
    assert correlation(across, one.attributes["yaw"]) > 0.95  # turned to the picture's right, the nose leads
    assert correlation(-down, one.attributes["pitch"]) > 0.9  # and up


def test_light_falls_from_where_the_label_says(clear):
    faces = drawn(200, 64, seed=9, weights={**CLEAR, "hair_style": [1] + [0] * 11})
    sides = []
    for i in range(len(faces)):
        left, right = (patch(faces, i, on_face(faces, i, x, 0.45), 0.1).float().mean() for x in (-0.6, 0.6))
        sides.append((right - left) / (right + left))
    assert correlation(torch.stack(sides), faces.attributes["light_x"]) > 0.7


def test_an_identity_keeps_its_looks_in_every_shot():
    faces = drawn(12, 64, seed=5, identities=[3] * 12, weights={"hat": [1, 0, 0]})
    assert faces.identity.tolist() == [3] * 12
    kept = "skin_tone skin_rgb hair_style hair_color hair_rgb eye_color beard glasses earrings age"
    for name in kept.split():
        assert (faces.attributes[name] == faces.attributes[name][0]).all(), name
    for name in ("yaw", "light_x", "expression"):
        assert len(faces.attributes[name].unique()) > 2, name
    same = torch.stack([skin_color(faces, i) for i in range(12)])
    many = drawn(12, 64, seed=5, weights={"hat": [1, 0, 0]})
    other = torch.stack([skin_color(many, i) for i in range(12)])
    assert float(same.std(dim=0).mean()) < 0.35 * float(other.std(dim=0).mean())
    alone = drawn(1, 64, seed=5, start=3)
    again = drawn(4, 64, seed=5, identities=torch.tensor([9, 9, 9, 3]))
    assert torch.equal(alone.images[0], again.images[3])  # shot 3 of identity 3 is face 3


@pytest.mark.parametrize(
    ("name", "value", "box"),
    [
        ("glasses", 2, (-0.95, 0.95, -0.35, 0.45)),
        ("beard", 4, (-0.6, 0.6, 0.6, 1.8)),
        ("hat", 1, (-0.8, 0.8, -2.2, -0.7)),
        ("hat", 2, (-0.8, 0.8, -2.2, -0.7)),
        ("expression", 2, (-0.6, 0.6, 0.7, 1.4)),
    ],
)
def test_what_is_worn_changes_its_own_pixels(name, value, box):
    def row(k: int) -> dict:
        return {
            **CLEAR,
            "expression": [1, 0, 0, 0, 0],
            name: [float(i == k) for i in range(len(ATTRIBUTE_NAMES[name]))],
        }

    without, worn = drawn(24, 64, seed=10, weights=row(0)), drawn(24, 64, seed=10, weights=row(value))
    changed = (without.images.int() - worn.images.int()).abs().amax(dim=1) > 24
    for i in range(24):
        points = torch.stack([on_face(without, i, x, y / 1.12) for x in box[:2] for y in box[2:]])
        x0, y0 = (int(v) for v in points.min(dim=0).values.clamp(0, 63))
        x1, y1 = (int(v) for v in points.max(dim=0).values.clamp(0, 63))
        inside = changed[i, y0 : y1 + 1, x0 : x1 + 1]
        assert int(inside.sum()) > 12, f"face {i}: {name} changes {int(inside.sum())} pixels where it should"
    chest = changed[:, 62:, :]
    assert float(chest.float().mean()) < 0.05 or name == "beard"


def test_weights_set_the_shares_and_nothing_else():
    skewed = drawn(600, 16, seed=0, weights={"skin_tone": [3, 0, 0, 0, 0, 0, 0, 0, 0, 1]})
    tones = torch.bincount(skewed.attributes["skin_tone"], minlength=10)
    assert int(tones[1:9].sum()) == 0 and 0.68 < int(tones[0]) / 600 < 0.82
    plain = drawn(600, 16, seed=0)
    for name in ("hair_style", "expression", "background", "yaw", "light_x"):
        assert torch.equal(plain.attributes[name], skewed.attributes[name]), name


def test_faults_are_planted_labelled_and_visible():
    clean, faulty = drawn(200, 64, seed=12), drawn(200, 64, seed=12, uncanny=1.0)
    flags = torch.stack([faulty.attributes["fault_" + name] for name in FAULTS], dim=1)
    assert flags.dtype == torch.bool and flags.any(dim=1).all()
    assert not torch.stack([clean.attributes["fault_" + name] for name in FAULTS]).any()
    for name in clean.attributes:
        if not name.startswith("fault_"):
            assert torch.equal(clean.attributes[name], faulty.attributes[name]), name
    difference = (clean.images.int() - faulty.images.int()).abs().amax(dim=1)
    for k, name in enumerate(FAULTS):
        only = flags[:, k] & (flags.sum(dim=1) == 1)
        assert int(only.sum()) >= 5, name
        pixels = (difference[only] > 20).flatten(1).sum(dim=1)
        assert int(pixels.min()) >= 10, f"{name} changes only {int(pixels.min())} pixels of a face"
    half = drawn(400, 16, seed=12, uncanny=0.5)
    share = torch.stack([half.attributes["fault_" + name] for name in FAULTS]).any(dim=0).float().mean()
    assert 0.4 < float(share) < 0.6
    untouched = ~torch.stack([half.attributes["fault_" + name] for name in FAULTS]).any(dim=0)
    assert torch.equal(half.images[untouched], drawn(400, 16, seed=12).images[untouched])


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": -1},
        {"n": 2.0},
        {"n": 2, "size": 15},
        {"n": 2, "size": 1025},
        {"n": 2, "start": -1},
        {"n": 2, "uncanny": 1.5},
        {"n": 2, "uncanny": float("nan")},
        {"n": 2, "uncanny": "yes"},
        {"n": 2, "seed": 0.5},
        {"n": 2, "identities": ["a", "b"]},
        {"n": 2, "identities": [1]},
        {"n": 2, "identities": [0.5, 1.5]},
        {"n": 2, "identities": [1, -1]},
        {"n": 2, "weights": {"shoes": [1]}},
        {"n": 2, "weights": {"hat": [1, 1]}},
        {"n": 2, "weights": {"hat": "beanie"}},
        {"n": 2, "weights": {"hat": [0, 0, 0]}},
        {"n": 2, "weights": {"hat": [1, float("nan"), 0]}},
    ],
)
def test_refusals_are_one_line(arguments):
    with pytest.raises(InputError) as refusal:
        drawn(**arguments)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 250
