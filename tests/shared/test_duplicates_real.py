"""Near-duplicates among real portraits: one picture per person, so that any pair found is a mistake."""

import pytest
import torch
from edits import measured

from facegen.data.duplicates import THRESHOLD
from facegen.data.packed import load_faces


@pytest.fixture
def portraits(shared, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "cache"))
    folders = [shared / "data/congress", shared / "data/faker_sd3"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("the portraits are not beside the repository")
    return {folder.name: load_faces(folder, 128, cache=False).images for folder in folders}


def test_measured_on_real_portraits(portraits):
    portraits["together"] = torch.cat(list(portraits.values()))
    for name, images in portraits.items():
        wrong, lowest, edits = measured(images)
        print(f"\n{len(images):,} {name}: {wrong} pairs taken for the same, least unlikeness {lowest:.3f}")
        for edit, (found, largest) in edits.items():
            print(f"  {edit}: {found} of 200 found, largest unlikeness {largest:.4f}")
        assert wrong == 0 and lowest > THRESHOLD
        assert min(found for found, _ in edits.values()) >= 198
