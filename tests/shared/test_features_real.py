"""Scores on EfficientNet-lite0's features put sets of pictures into the order in which people would.

FACEGEN_COUNT is how many pictures of each set are taken; this prints the numbers at 500:
FACEGEN_COUNT=500 python -m pytest -s tests/shared/test_features_real.py
"""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from facegen.data.drawn import drawn
from facegen.evaluation.distances import bootstrap_interval, density_coverage, frechet_distance, kid, precision_recall
from facegen.evaluation.features import load_features

COUNT = int(os.environ.get("FACEGEN_COUNT", "48"))


def pictures(folder, count):
    files = sorted(folder.glob("*.jpg")) or sorted(folder.glob("*.png"))
    files = [files[i] for i in torch.randperm(len(files), generator=torch.Generator().manual_seed(0))[:count].tolist()]
    return torch.stack([torch.from_numpy(np.array(Image.open(file).convert("RGB"))).permute(2, 0, 1) for file in files])


@pytest.fixture(scope="module")
def sets():
    """Features of each set."""
    from conftest import SHARED

    features = load_features("lite0")
    congress = pictures(SHARED / "data/congress", 2 * COUNT)
    half, other = congress[:COUNT], congress[COUNT : 2 * COUNT]
    noise = torch.randint(-60, 61, other.shape, generator=torch.Generator().manual_seed(0))
    blurred = F.interpolate(other.float(), scale_factor=0.125, mode="area")
    given = {
        "half": half,
        "other half": other,
        "omi": pictures(SHARED / "data/omi_stylegan2", COUNT),
        "drawn": drawn(COUNT, 128).images,
        "anime": pictures(SHARED / "data/anime", COUNT),
        "blurred": F.interpolate(blurred, scale_factor=8, mode="bilinear").round().byte(),
        "noisy": (other + noise).clamp(0, 255).byte(),
    }
    return {name: features(images) for name, images in given.items()}


def score(sets, name):
    """KID-lite0 and its interval against half of the congress portraits."""
    value, interval = kid(sets["half"], sets[name]), bootstrap_interval(kid, sets["half"], sets[name])
    print(f"\n{name}: KID-lite0 {value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})", end="")
    return value, *interval


@pytest.mark.parametrize("further", ["drawn", "anime"])
def test_the_other_half_is_nearer_than_generated_faces_and_those_than_drawings(sets, further):
    same, omi, far = (score(sets, name) for name in ("other half", "omi", further))
    assert same[1] <= 0 <= same[2]  # nothing tells the halves apart
    assert same[2] < omi[1] and omi[2] < far[1]  # the intervals do not even touch
    distances = [frechet_distance(sets["half"], sets[name]) for name in ("other half", "omi", further)]
    print(f"; FID-lite0 {distances}")
    assert distances == sorted(distances)


@pytest.mark.parametrize("spoilt", ["blurred", "noisy"])
def test_spoilt_pictures_are_further_away(sets, spoilt):
    assert score(sets, "other half")[2] < score(sets, spoilt)[1]


def test_a_collapse_is_seen_by_recall_and_coverage_and_not_by_precision(sets):
    whole, few = sets["other half"], sets["other half"][:5].repeat(len(sets["half"]) // 5, 1)
    assert kid(sets["half"], few) > kid(sets["half"], whole)
    (precision, recall), (few_precision, few_recall) = (precision_recall(sets["half"], fake) for fake in (whole, few))
    print(f"\nprecision {precision:.3f} -> {few_precision:.3f}, recall {recall:.3f} -> {few_recall:.3f}")
    assert few_recall == 0 < recall and abs(few_precision - precision) < 0.35
    assert density_coverage(sets["half"], few)[1] < 0.6 * density_coverage(sets["half"], whole)[1]


def test_duplicates_cost_recall_and_coverage(sets):
    whole, doubled = sets["other half"], sets["other half"][: len(sets["half"]) // 2].repeat(2, 1)
    assert frechet_distance(sets["half"], doubled) > frechet_distance(sets["half"], whole)
    assert precision_recall(sets["half"], doubled)[1] < precision_recall(sets["half"], whole)[1]
    assert density_coverage(sets["half"], doubled)[1] < density_coverage(sets["half"], whole)[1]
