"""Real portraits against themselves, spoilt in known ways: the distances come out in the order in which they should.

FACEGEN_COUNT is how many pictures a set has; `-s` prints the table. Real portraits in the place of fakes get the bias that any
fakes of that number get; duplicates, blur, noise and a collapse cost what they should, and drawn faces are the furthest away.
"""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from facegen.data.drawn import drawn
from facegen.evaluation.distances import bootstrap_interval, frechet_distance, kid, precision_recall
from facegen.evaluation.features import load_features

COUNT = int(os.environ.get("FACEGEN_COUNT", "480"))
SIZE, FEW = 64, 10


@pytest.fixture(scope="module")
def sets():
    """Features of half of the portraits, and of each set that is compared with it: all of COUNT pictures."""
    from conftest import SHARED

    files = sorted((SHARED / "data/congress").glob("*.jpg"))
    if len(files) < 2 * COUNT:
        pytest.skip(f"{2 * COUNT} portraits are not beside the repository")
    draws = torch.Generator().manual_seed(0)
    chosen = [files[i] for i in torch.randperm(len(files), generator=draws)[: 2 * COUNT].tolist()]
    pictures = [Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS) for file in chosen]
    images = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    half, other = images[:COUNT], images[COUNT:]
    small = F.interpolate(other.float(), scale_factor=0.5, mode="area")
    noise = 25 * torch.randn(other.shape, generator=draws)
    features = load_features("lite0")
    found = {
        "half": features(half),
        "other half": features(other),
        "blurred": features(F.interpolate(small, scale_factor=2, mode="bilinear").round().byte()),
        "noisy": features((other + noise).round().clamp(0, 255).byte()),
        "drawn": features(drawn(COUNT, SIZE).images),
    }
    found["50 % duplicates"] = found["other half"][: COUNT // 2].repeat(2, 1)
    found["collapsed"] = found["other half"][:FEW].repeat(COUNT // FEW, 1)
    return found


@pytest.fixture(scope="module")
def scores(sets):
    """FID-lite0 and KID-lite0 against the first half, with intervals: {"fid": {name: (value, low, high)}, ...}."""
    table = {}
    for metric, statistic, rounds in (("fid", frechet_distance, 40), ("kid", kid, 200)):
        table[metric] = {}
        for name, rows in sets.items():
            if name != "half":
                interval = bootstrap_interval(statistic, sets["half"], rows, rounds=rounds)
                table[metric][name] = statistic(sets["half"], rows), *interval
                print(f"\n{metric} of {name}: {table[metric][name][0]:.4g} ({interval[0]:.4g} to {interval[1]:.4g})", end="")
    return table


def test_the_other_half_is_nearest_and_its_fid_is_all_bias(scores):
    fid, kids = scores["fid"], scores["kid"]
    assert kids["other half"][1] <= 0 <= kids["other half"][2]  # nothing tells the halves apart
    assert fid["other half"][0] > 5  # and yet this is not 0
    for name in ("50 % duplicates", "blurred", "noisy", "drawn", "collapsed"):
        assert fid["other half"][0] < fid[name][0], name
    assert kids["50 % duplicates"][0] < kids["collapsed"][0]


ORDER = ["other half", "50 % duplicates", "collapsed", "blurred", "noisy", "drawn"]


# A KID is unbiased and does not see that half of the people are missing, where the other half stands for them.
@pytest.mark.parametrize("metric, order", [("fid", ORDER), ("kid", ["other half", *ORDER[2:]])])
def test_the_order_is_the_expected_one_and_no_intervals_touch(scores, metric, order):
    found = [scores[metric][name] for name in order]
    for (name, near), (further, far) in zip(zip(order, found), zip(order[1:], found[1:])):
        assert near[2] < far[1], f"{metric}: the intervals of {name} and {further} touch"


def test_recall_sees_a_collapse_that_precision_does_not(sets):
    (precision, recall), (few_precision, few_recall) = (
        precision_recall(sets["half"], sets[name]) for name in ("other half", "collapsed")
    )
    assert few_recall == 0 < recall and few_precision > 0.5 * precision
