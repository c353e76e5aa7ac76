"""The DCGAN and its training step against numbers computed with the published PyTorch example."""

import json

import numpy as np
import pytest
import torch

from facegen.models import dcgan
from facegen.training.steps import update_D, update_G


@pytest.fixture
def golden(shared):
    return np.load(shared / "golden/dcgan_64.npz")


def weights(golden, part):
    prefix = f"sd/{part}/"
    return {key.removeprefix(prefix): torch.from_numpy(golden[key]) for key in golden.files if key.startswith(prefix)}


def test_tutorial_weights_give_the_same_images(golden):
    G, z = dcgan.from_tutorial(weights(golden, "G")), torch.from_numpy(golden["z"])
    with torch.no_grad():
        for training, key in ((False, "img_eval"), (True, "img_train")):
            assert (G.train(training)(z) - torch.from_numpy(golden[key])).abs().max() < 1e-5


def test_tutorial_weights_give_the_same_probabilities(golden):
    D, x = dcgan.from_tutorial(weights(golden, "D")), torch.from_numpy(golden["img_in"])
    with torch.no_grad():
        for training, key in ((False, "prob_eval"), (True, "prob_train")):
            assert (torch.sigmoid(D.train(training)(x)).flatten() - torch.from_numpy(golden[key])).abs().max() < 1e-5


def test_three_training_steps_give_the_same_losses(golden):
    meta = json.loads(str(golden["meta"]))
    G = dcgan.from_tutorial({"module." + k: v for k, v in weights(golden, "G").items()}).train()
    D = dcgan.from_tutorial(weights(golden, "D")).train()
    opt_G = torch.optim.Adam(G.parameters(), meta["lr"], meta["betas"], fused=True)
    opt_D = torch.optim.Adam(D.parameters(), meta["lr"], meta["betas"], fused=True)
    got = []
    for u8, z in zip(golden["train_reals_u8"], golden["train_z"]):
        real, fake = torch.from_numpy(u8).float() / 127.5 - 1, G(torch.from_numpy(z))
        stats = update_D(D, opt_D, real, fake) | update_G(D, opt_G, fake)
        got.append([stats["loss_real"].item(), stats["loss_fake"].item(), stats["loss_G"].item()])
    assert np.abs(np.array(got) - golden["train_losses"]).max() < 1e-4
