"""The picture-to-picture networks against numbers computed with the published CycleGAN code."""

import re

import numpy as np
import pytest
import torch

from facegen.files import InputError
from facegen.models import cyclegan, foreign

ARCHITECTURES = {
    "patchD3_inst": lambda: cyclegan.PatchDiscriminator(3, 8, 3, "instance"),
    "pixelD_inst": lambda: cyclegan.PixelDiscriminator(3, 8, "instance"),
    "resnet6_inst": lambda: cyclegan.ResnetGenerator(3, 8, 6, "instance"),
    "resnet9_batch": lambda: cyclegan.ResnetGenerator(3, 8, 9, "batch"),
    "unet6_inst": lambda: cyclegan.UnetGenerator(3, 8, 6, "instance"),
}


def relative_error(got, expected):
    expected = torch.as_tensor(expected)
    return ((got.detach() - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_outputs_and_gradients(shared, name):
    golden = np.load(shared / f"golden/cyclegan_{name}.npz")
    net = ARCHITECTURES[name]()
    weights = {key[3:]: torch.from_numpy(golden[key]) for key in golden.files if key.startswith("sd/")}
    net.load_state_dict(weights, strict=True)
    x = torch.from_numpy(golden["x"]).requires_grad_()
    errors = {"y_eval": relative_error(net.eval()(x), golden["y_eval"])}
    y = net.train()(x)
    (gradient,) = torch.autograd.grad((y * torch.from_numpy(golden["grad_seed"])).sum(), x)
    errors |= {"y_train": relative_error(y, golden["y_train"]), "grad_x": relative_error(gradient, golden["grad_x"])}
    print(name, {key: f"{value:.1e}" for key, value in errors.items()})
    assert max(errors.values()) < 1e-5, errors


def test_a_published_generator_file_gives_the_same_images(shared):
    golden = np.load(shared / "golden/cyclegan_resnet6_inst.npz")
    G, D, info = foreign.from_torch(shared / "golden/cyclegan_resnet6_inst_latest_net.pth")
    assert D is None and not G.training and not any(p.requires_grad for p in G.parameters())
    assert G.settings == cyclegan.ResnetGenerator(3, 8, 6, "instance").settings
    error = relative_error(G(torch.from_numpy(golden["x"])), golden["y_eval"])
    print(f"latest_net file: {error:.1e}", info)
    assert error < 1e-5


def test_a_published_discriminator_file(shared):
    with pytest.raises(InputError, match=re.escape("discriminator (PatchDiscriminator, 3 layers, width 8, instance norm)")):
        foreign.from_torch(shared / "golden/cyclegan_patchD3_inst_latest_net.pth")


@pytest.mark.parametrize("name", ["resnet6_inst", "resnet9_batch", "unet6_inst"])
def test_architectures_are_read_from_names_and_shapes(shared, tmp_path, name):
    golden = np.load(shared / f"golden/cyclegan_{name}.npz")
    weights = {f"module.{key[3:]}": torch.from_numpy(golden[key]) for key in golden.files if key.startswith("sd/")}
    torch.save(weights, tmp_path / "latest_net_G_A.pth")
    G, _, _ = foreign.from_torch(tmp_path / "latest_net_G_A.pth")
    assert G.settings == ARCHITECTURES[name]().settings
    assert relative_error(G(torch.from_numpy(golden["x"])), golden["y_eval"]) < 1e-5
