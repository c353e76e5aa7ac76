"""Faces found in real photographs and generated ones, and where they lie after framing."""

import numpy as np
import pytest
import torch

from facegen.data.align import align, check_framing, find_faces
from facegen.data.framing import framing
from facegen.data.packed import Faces, load_faces
from facegen.data.unpaired import Unpaired

# set, how many pictures, their size, in how many a face must be found
RATES = [
    ("congress", 100, 256, 100),
    ("omi_stylegan2", 100, 256, 100),
    ("utkface_adults", 100, 200, 98),
    ("lfw_gray", 100, 128, 97),
]


def some(folder, count, size):
    """Every n-th picture of a set."""
    if not folder.is_dir():
        pytest.skip("the pictures are not beside the repository")
    faces = load_faces(folder, size, cache=False)
    return faces.images[:: max(1, len(faces) // count)][:count]


@pytest.mark.parametrize("name, count, size, least", RATES)
def test_measured_detection_rates(shared, name, count, size, least):
    found = find_faces(some(shared / "data" / name, count, size))
    print(f"\n{name}: {int(found.found.sum())} of {count}; {framing(found.landmarks[found.found], size)}")
    assert int(found.found.sum()) >= least


def test_measured_eyes_of_aligned_photographs_lie_where_ffhq_has_them(shared, tmp_path):
    source = shared / "data/photos"
    if not source.is_dir():
        pytest.skip("the photographs are not beside the repository")
    report = align(source, tmp_path / "aligned", 256)
    assert report.count == report.seen == 24 and report.faceless == ()
    found = find_faces(load_faces(tmp_path / "aligned", 256, cache=False).images)
    assert bool(found.found.all())
    points = found.landmarks.numpy() / 256
    eyes, mouth = points[:, :2].mean(1), points[:, 3:].mean(1)
    across, down = np.linalg.norm(points[:, 1] - points[:, 0], axis=1), np.linalg.norm(mouth - eyes, axis=1)
    side = np.maximum(4 * across, 3.6 * down)
    # FFHQ: the middle lies a tenth of the eye-to-mouth distance below the eyes, the eyes lie level.
    level = 0.5 - 0.1 * down / side
    goal = np.stack([np.stack([0.5 + sign * across / side / 2, level], 1) for sign in (-1, 1)], 1)  # [24, 2, 2]
    off = np.abs(points[:, :2] - goal)
    print(f"\neyes off by {100 * off.mean():.2f} % of the picture, at most {100 * off.max():.2f} %")
    print(f"sides of their squares: {side.min():.3f} to {side.max():.3f} pictures")
    assert off.max() < 0.02 and np.abs(side - 1).max() < 0.03


def test_measured_framing_of_the_sets(shared):
    """Portraits aligned like FFHQ and FFHQ's own generator are framed alike; the tight LFW crops are not."""
    sets = {name: some(shared / "data" / name, 100, 256) for name in ("congress", "omi_stylegan2", "lfw_gray")}
    faces = {name: Faces(images, None, name, "") for name, images in sets.items()}
    alike = check_framing(Unpaired(faces["congress"], faces["omi_stylegan2"]))
    print(f"\n{alike}")
    assert alike.mismatches == ()
    other = check_framing(Unpaired(faces["lfw_gray"], faces["omi_stylegan2"]))
    print(other)
    assert "faces in A fill 1.4" in str(other) or "faces in A fill 1.5" in str(other)
    assert {("scale", "median"), ("roll", "spread")} <= {(d.quantity, d.of) for d in other.mismatches}


def test_a_small_copy_has_its_face_where_the_large_one_has(shared):
    images = some(shared / "data/congress", 20, 256)
    small = torch.nn.functional.interpolate(images.float(), size=64, mode="bilinear", antialias=True).round().byte()
    a, b = find_faces(images), find_faces(small)
    assert bool(a.found.all() and b.found.all())
    assert float((a.landmarks - 4 * b.landmarks).norm(dim=2).mean()) < 2  # pixels of 256
