"""The shipped networks: small, described, loadable without a download, and painters of faces."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from facegen.data.faces import find_faces
from facegen.latent.sample import can_move, latents, moved, sample
from facegen.models.pretrained import load

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "weights"
MOST_BYTES = 12_000_000
NAMES = ("dcgan-64", "stylegan2-64", "stylegan3r-64")
# Of 32 pictures, those in which a detector that has never seen this package finds a face.
FOUND = dict.fromkeys(NAMES, 30)


@pytest.fixture(scope="module", params=NAMES)
def network(request):
    path = FOLDER / f"{request.param}.safetensors"
    return path, load(path)


def test_nothing_else_is_shipped():
    assert sorted(path.stem for path in FOLDER.glob("*.safetensors")) == sorted(NAMES)
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted(NAMES)


def test_a_network_is_small_and_its_card_says_what_its_file_says(network):
    path, loaded = network
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    assert path.stat().st_size <= MOST_BYTES
    assert f"| Pictures shown | {loaded.info['kimg']:g} kimg" in card
    assert " ".join(loaded.info["command"].split()) in " ".join(card.replace("\\\n", " ").split())
    for heading in ("Learned from", "Command", "Device", "Terms", "## Numbers", "## For what", "## Limits"):
        assert heading in card, heading
    assert "public domain" in loaded.info["licence"] and re.search(r"public domain", card, re.IGNORECASE)


def test_its_faces_are_faces_and_of_different_people(network):
    path, loaded = network
    faces = sample(loaded.G, range(32))
    assert faces.shape == (32, 3, 64, 64) and faces.dtype == torch.uint8
    small = F.avg_pool2d(faces.float(), 8).flatten(1)
    apart = torch.pdist(small / 255).div(small.shape[1] ** 0.5)  # root mean square, as a share of the range
    assert apart.min() > 0.02 and apart.mean() > 0.1
    larger = F.interpolate(faces.float(), scale_factor=4, mode="bicubic").clamp(0, 255).byte()
    assert int(find_faces(larger).found.sum()) >= FOUND[path.stem]


def test_the_stylegan3_moves_with_its_input_and_the_stylegan2_cannot():
    G = load(FOLDER / "stylegan3r-64.safetensors").G
    ws = G.mapping(latents(G, range(4)), truncation_psi=0.8)
    with torch.no_grad():
        still = G.synthesis(ws)
        with moved(G, translate=(8 / 64, 0)):
            gone = G.synthesis(ws)
    before, after = still[..., 8:-8, 8:-16], gone[..., 8:-8, 16:-8]
    assert (after - before).square().mean().sqrt() < 0.01 * before.std()
    assert not can_move(load(FOLDER / "stylegan2-64.safetensors").G)
