"""What several tests share: tiny data and a tiny run."""

import hashlib

import pytest
import torch

from facegen.config import TrainConfig
from facegen.data.packed import Faces


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
