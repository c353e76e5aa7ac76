"""Real portraits through the packed data set. Where they lie is read-only, and nothing is written there."""

import json
import warnings
import zipfile

import pytest
import torch

from facegen.data.packed import batch_indices, load_faces, pack


@pytest.fixture
def portraits(shared, tmp_path, monkeypatch):
    folder = shared / "data/congress"
    if not folder.is_dir():
        pytest.skip("the congress portraits are not beside the repository")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    return folder


def test_a_thousand_portraits_load_without_a_complaint(portraits, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        faces = load_faces(portraits, 64)
    assert faces.images.shape == (1000, 3, 64, 64) and faces.report == () and faces.name == "congress"
    assert len(list((tmp_path / "cache/data").glob("congress-*.npy"))) == 1
    batch = faces.batch(batch_indices(len(faces), 500, 0, seed=0))
    # Portraits: a lit face in the middle, and neither black, white nor noise.
    centre = batch[:, :, 20:44, 20:44].mean(dim=(1, 2, 3))
    assert -0.5 < batch.mean() < 0.3 and batch.std() > 0.3 and (centre > -0.6).float().mean() > 0.95
    neighbours = (batch[..., 1:] - batch[..., :-1]).abs().mean()
    assert neighbours < 0.25 * batch.std()
    assert len({tuple(image.flatten()[::97].tolist()) for image in faces.images}) == 1000  # no two alike
    again = load_faces(portraits, 64)
    assert again.content_hash == faces.content_hash and torch.equal(again.images, faces.images)


def test_portraits_packed_are_the_portraits(portraits, tmp_path):
    report = pack(portraits, tmp_path / "faces.zip", resolution="64x64", transform="center-crop", max_images=150)
    assert (report.count, report.rows, report.notes) == (150, (), ())
    direct = load_faces(portraits, 64, max_images=150, cache=False)
    assert load_faces(tmp_path / "faces.zip", 64, cache=False).content_hash == direct.content_hash == report.content_hash
    with zipfile.ZipFile(tmp_path / "faces.zip") as file:
        assert len(file.namelist()) == 151 and json.loads(file.read("dataset.json")) == {"labels": None}


def test_greyscale_portraits_become_colour(shared, tmp_path, monkeypatch):
    folder = shared / "data/lfw_gray"
    if not folder.is_dir():
        pytest.skip("the greyscale faces are not beside the repository")
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path))
    faces = load_faces(folder, 32, max_images=200)
    assert (faces.images[:, 0] == faces.images[:, 2]).all()
    assert {(row.what, row.done, row.used) for row in faces.report} == {("greyscale", "made RGB", True)}
    assert len(faces.report) == len(faces) == 200
