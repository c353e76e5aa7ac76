"""Face embeddings on photographs: two pictures of a person against pictures of two people.

The drawn embedding is tested always. For a model of your own, put its path into FACEGEN_IDENTITY, and its numbers are
measured too: `FACEGEN_IDENTITY=face.safetensors python -m pytest -s tests/shared/test_identity_real.py`. FACEGEN_PAIRS is how
many pairs of either sort are compared; the model card's numbers are those of 1000.
"""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from facegen.data.framing import FFHQ_CROP, reframe
from facegen.models.identity import load_identity
from tools.train_identity import pairs, verification

PAIRS = int(os.environ.get("FACEGEN_PAIRS", "100"))
OWN = os.environ.get("FACEGEN_IDENTITY")


@pytest.fixture(scope="module")
def lfw():
    """Faces in FFHQ framing, uint8 [N, 3, 256, 256], and pairs of the same person and of two."""
    from conftest import SHARED

    align = pytest.importorskip("facegen.data.faces")
    pytest.importorskip("facenet_pytorch")
    files = sorted((SHARED / "data/lfw_gray").glob("*.jpg"))
    if not files:
        pytest.skip("the LFW faces are not beside the repository")
    chosen = pairs([file.stem.rsplit("_", 1)[0] for file in files], PAIRS, seed=0)
    rows = torch.cat(chosen).unique()
    images = torch.stack([torch.from_numpy(np.array(Image.open(files[i]).convert("RGB"))) for i in rows.tolist()])
    images = F.interpolate(images.permute(0, 3, 1, 2).float(), size=256, mode="bicubic").round().clamp(0, 255).byte()
    landmarks = align.find_faces(images).landmarks
    found = ~landmarks.isnan().flatten(1).any(1)
    assert found.float().mean() > 0.97
    images, _ = reframe(images[found], landmarks[found], FFHQ_CROP)
    place = torch.full((len(files),), -1).scatter(0, rows[found], torch.arange(int(found.sum())))
    return images, *(place[p][(place[p] >= 0).all(1)] for p in chosen)


def measured(name, images, same, unlike):
    result = verification(load_identity(name), images, same, unlike)
    print(f"\n{name}, {len(same)} and {len(unlike)} pairs: " + ", ".join(f"{k} {v:.4f}" for k, v in result.items()))
    return result


def test_drawn_people_teach_something_about_photographs(lfw):
    result = measured("drawn", *lfw)
    assert result["auc"] > 0.6 and result["same"] > result["different"]


@pytest.mark.skipif(OWN is None, reason="FACEGEN_IDENTITY names no model of your own")
def test_a_model_of_your_own_knows_people_apart(lfw):
    result = measured(OWN, *lfw)
    assert result["auc"] > 0.95 and result["same"] > result["different"]
