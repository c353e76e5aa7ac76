"""CycleGAN's adversarial losses on patch logits against numbers computed with the published code."""

import numpy as np
import pytest
import torch

from facegen.training.losses import PATCH_LOSSES, patch_loss


@pytest.mark.parametrize("name", PATCH_LOSSES)
def test_losses_on_a_map_of_logits(shared, name):
    golden = np.load(shared / "golden/cyclegan_ganloss.npz")
    logits, loss = torch.from_numpy(golden["pred"]), patch_loss(name)
    called_real, called_fake = golden[f"{name}_True"].item(), golden[f"{name}_False"].item()
    errors = {
        "D on real": abs(loss.d_real(logits).item() - called_real),
        "D on fake": abs(loss.d_fake(logits).item() - called_fake),
        "G": abs(loss.g(logits).item() - called_real),
    }
    print(name, errors)
    assert max(errors.values()) < 1e-6, errors
