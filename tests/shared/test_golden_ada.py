"""The augmentation pipeline against the outputs of the published one, every random value at a percentile."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from facegen.training.ada import AugmentPipe


@pytest.mark.parametrize("percentile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("case", ["bgc", "bgcfnc", "geom_only", "color_only"])
def test_augmented_pictures(case, percentile, shared):
    arrays = np.load(shared / "golden" / "ada_augment.npz")
    pipe = AugmentPipe(**json.loads(str(arrays["meta"]))["specs"][case])
    pipe.p.fill_(1)
    x, expected = torch.from_numpy(arrays["x"]), torch.from_numpy(arrays[f"{case}_q{percentile}"])
    assert (x - expected).abs().max() > 1
    assert (pipe(x, percentile=percentile) - expected).abs().max() < 1e-4
    # The rest is the reference's rounding, in float32: in float64 as in float32 we are equally near.
    assert (pipe(x.double(), percentile=percentile) - expected).abs().max() < 1e-4
