"""What several tests share: tiny data, a tiny run, and where the reference data lie.

The tests in tests/shared compare with reference numbers and real pictures beside the repository, not in it.
"""

import hashlib
from pathlib import Path

import pytest
import torch

from facegen.config import TrainConfig
from facegen.data.packed import Faces

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items):
    if not SHARED.is_dir():
        skip = pytest.mark.skip(reason="reference data (a folder 'shared' beside the repository) is not here")
        for item in items:
            if "tests/shared" in Path(item.fspath).as_posix():
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def own_cache(request, tmp_path_factory, monkeypatch):
    """No test fills the user's cache; those that compare with reference data may use what lies there."""
    if "tests/shared" not in Path(request.path).as_posix():
        monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def shared() -> Path:
    return SHARED


def make_faces(n=48, size=32, seed=0):
    """Smooth random pictures: enough for a loop to be a loop."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    images = (torch.nn.functional.interpolate(coarse, size=size, mode="bilinear") * 255).to(torch.uint8)
    return Faces(images, None, "smooth", hashlib.sha256(images.numpy().tobytes()).hexdigest())


@pytest.fixture
def faces():
    return make_faces()


@pytest.fixture
def tiny():
    """Settings of a run of 12 steps that takes a second."""
    return TrainConfig(image_size=32, z_size=8, conv_dim=4, batch=8, kimg=0.096, mirror=True, precision="float32")
