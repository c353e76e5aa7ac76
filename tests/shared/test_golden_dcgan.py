"""The DCGAN and its training step against numbers computed with the published PyTorch example."""

import json

import numpy as np
import pytest
import torch

from facegen.models import dcgan
from facegen.models.pretrained import load
from facegen.training.steps import update_D, update_G


@pytest.fixture
def golden(shared):
    return np.load(shared / "golden/dcgan_64.npz")


def weights(golden, part):
    prefix = f"sd/{part}/"
    return {key.removeprefix(prefix): torch.from_numpy(golden[key]) for key in golden.files if key.startswith(prefix)}


def generator(golden, folder, prefix=""):
    """As `load` reads it from the tutorial's file."""
    torch.save({prefix + key: value for key, value in weights(golden, "G").items()}, folder / "netG.pth")
    loaded = load(folder / "netG.pth")
    assert loaded.D is None and loaded.info["format"] == "DCGAN tutorial state dict" and not loaded.G.training
    return loaded.G


def discriminator(golden):
    D = dcgan.Discriminator(golden["sd/D/main.0.weight"].shape[0])
    D.load_state_dict(weights(golden, "D"), strict=True)
    return D


def test_tutorial_weights_give_the_same_images(golden, tmp_path):
    G, z = generator(golden, tmp_path), torch.from_numpy(golden["z"])
    with torch.no_grad():
        for training, key in ((False, "img_eval"), (True, "img_train")):
            assert (G.train(training)(z) - torch.from_numpy(golden[key])).abs().max() < 1e-5


def test_tutorial_weights_give_the_same_probabilities(golden):
    D, x = discriminator(golden), torch.from_numpy(golden["img_in"])
    with torch.no_grad():
        for training, key in ((False, "prob_eval"), (True, "prob_train")):
            assert (torch.sigmoid(D.train(training)(x)).flatten() - torch.from_numpy(golden[key])).abs().max() < 1e-5


def test_three_training_steps_give_the_same_losses(golden, tmp_path):
    meta = json.loads(str(golden["meta"]))
    G = generator(golden, tmp_path, prefix="module.").train().requires_grad_()  # a file that nn.DataParallel wrote
    D = discriminator(golden).train()
    opt_G = torch.optim.Adam(G.parameters(), meta["lr"], meta["betas"], fused=True)
    opt_D = torch.optim.Adam(D.parameters(), meta["lr"], meta["betas"], fused=True)
    got = []
    for u8, z in zip(golden["train_reals_u8"], golden["train_z"]):
        real, fake = torch.from_numpy(u8).float() / 127.5 - 1, G(torch.from_numpy(z))
        stats = update_D(D, opt_D, real, fake) | update_G(D, opt_G, fake)
        got.append([stats["loss_real"].item(), stats["loss_fake"].item(), stats["loss_G"].item()])
    assert np.abs(np.array(got) - golden["train_losses"]).max() < 1e-4
