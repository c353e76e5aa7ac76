"""Projection into an official snapshot with the weights of the published implementation, and of real portraits."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.__main__ import main
from facegen.models import stylegan2, stylegan3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import snapshots


@pytest.mark.parametrize(("name", "kind"), [("sg2_uncond_32", stylegan2), ("sg3r_uncond_32", stylegan3)])
def test_an_official_snapshot_is_projected_into(shared, tmp_path, name, kind):
    arrays = np.load(shared / "golden" / f"{name}.npz")
    meta = json.loads(str(arrays["meta"]))
    G, D = kind.Generator(**meta["G_init"]), stylegan2.Discriminator(**meta["D_init"])
    for net, part in ((G, "sd/G/"), (D, "sd/D/")):
        state = {key.removeprefix(part): torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith(part)}
        net.load_state_dict(state, strict=True)
    snapshots.write(tmp_path / "network-snapshot-000100.pkl", G.eval(), D.eval())
    words = ["--network", str(tmp_path / "network-snapshot-000100.pkl"), "--target=seed:3", "--space=w", "--steps=100"]
    assert main(["project", *words, "--perceptual=lite0", "--device=cpu", f"--outdir={tmp_path / 'out'}"]) == 0
    with np.load(tmp_path / "out/projected_w.npz") as found:
        assert list(found) == ["w"] and found["w"].shape == (1, G.num_ws, G.w_dim)
    (row,) = json.loads((tmp_path / "out/scores.json").read_text())["scores"]
    print(f"\n{name}: {row['psnr']:.1f} dB")
    assert row["psnr"] >= 24


def test_a_photograph_is_framed_and_projected(shared, tmp_path, capsys):
    photo = next((shared / "data/photos").glob("*.jpg"), None)
    if photo is None:
        pytest.skip("the photographs are not beside the repository")
    arrays = np.load(shared / "golden/sg3r_uncond_32.npz")
    G = stylegan3.Generator(**json.loads(str(arrays["meta"]))["G_init"])
    from facegen.models.pretrained import save

    save(tmp_path / "G.safetensors", G)
    words = ["project", "--network", str(tmp_path / "G.safetensors"), "--target", str(photo), "--steps=5", "--align"]
    assert main([*words, "--perceptual=lite0", "--device=cpu", f"--outdir={tmp_path / 'out'}"]) == 0
    facts = json.loads((tmp_path / "out/scores.json").read_text())
    assert facts["target"] == {"name": photo.stem, "note": "aligned"} and facts["protocol"]["aligned"]
    # Untrained weights make no faces, and this is said before the search.
    assert facts["reach"]["far"] and "far from what this model makes" in capsys.readouterr().err
