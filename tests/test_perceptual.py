"""The perceptual distance: what it is made of, that it can be followed down, and where its weights come from."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from facegen.data.fetch import Patience, digest
from facegen.files import InputError
from facegen.models import perceptual as module
from facegen.models.judges import Weights
from facegen.models.perceptual import Perceptual, load_perceptual, random_vgg

QUICK = Patience(delays=(0.0,))


@pytest.fixture(scope="module")
def lite0():
    return load_perceptual("lite0")


def pictures(count=2, size=48, seed=0):
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, size=size, mode="bicubic").clamp(-1, 1)


def distance(see, a, b):
    return (see(a) - see(b)).square().sum(1)


def test_rows_are_the_channels_of_length_one_averaged_over_places():
    """Against the definition, with a stage of one convolution."""
    torch.manual_seed(0)
    stage = nn.Conv2d(3, 5, 3, padding=1)
    see = Perceptual("one", [stage], mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3))
    a, b = pictures(1, 16), pictures(1, 16, seed=1)
    maps = [
        stage((x - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / torch.tensor([0.5, 0.4, 0.3])[:, None, None]) for x in (a, b)
    ]
    units = [m / m.square().sum(1, keepdim=True).sqrt() for m in maps]
    wanted = (
        sum(float((units[0][0, :, y, x] - units[1][0, :, y, x]).square().sum()) for y in range(16) for x in range(16)) / 256
    )
    assert float(distance(see, a, b)) == pytest.approx(wanted, rel=1e-4)
    assert see(a).square().sum() == pytest.approx(1, rel=1e-4)


def test_vgg_compares_the_five_layers_that_are_usually_taken():
    see = random_vgg()
    sizes = [16, 8, 4, 2, 1]
    channels = [64, 128, 256, 512, 512]
    row = see(pictures(1, 16))
    assert row.shape == (1, sum(c * s * s for c, s in zip(channels, sizes)))
    assert row.square().sum() == pytest.approx(5, rel=1e-3)
    assert sum(isinstance(layer, nn.Conv2d) for layer in see.modules()) == 13
    assert torch.equal(row, random_vgg()(pictures(1, 16))) and not torch.equal(row, random_vgg(1)(pictures(1, 16)))


def test_the_distance_grows_with_the_change(lite0):
    a = pictures(1)
    noise = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    far = [float(distance(lite0, a, (a + size * noise).clamp(-1, 1))) for size in (0.0, 0.05, 0.2, 0.8)]
    assert far[0] == 0 and far == sorted(far) and far[3] > 3 * far[1]
    # A shade is less of a difference than another picture, even where its pixels differ as much.
    other = pictures(1, seed=5)
    shade = (a * 0.9 + 0.05).clamp(-1, 1)
    assert float(distance(lite0, a, shade)) < 0.2 * float(distance(lite0, a, other))


def test_following_the_gradient_finds_the_picture(lite0):
    target = pictures(1, 32)
    x = pictures(1, 32, seed=1).requires_grad_()
    with torch.no_grad():
        wanted = lite0(target)
        start = float(distance(lite0, x, target))
    optimizer = torch.optim.Adam([x], lr=0.05)
    for _ in range(80):
        optimizer.zero_grad()
        (lite0(x) - wanted).square().sum().backward()
        optimizer.step()
    assert float(distance(lite0, x.detach(), target)) < 0.4 * start


def test_it_is_frozen_and_stays_in_evaluation_mode(lite0):
    assert not any(p.requires_grad for p in lite0.parameters())
    assert not any(
        m.training for m in nn.Sequential(lite0).train().modules() if m is not lite0 and not isinstance(m, nn.Sequential)
    )
    assert not lite0.training and lite0.name == "lite0" and str(lite0) == "lite0 579344248a93"


def test_a_black_picture_has_finite_gradients(lite0):
    for see in (lite0, random_vgg()):
        x = torch.full((1, 3, 32, 32), -1.0, requires_grad=True)
        see(x).square().sum().backward()
        assert x.grad.isfinite().all()


def test_half_precision_is_near(lite0):
    half = load_perceptual("lite0", dtype=torch.bfloat16)
    a, b = pictures(1), pictures(1, seed=1)
    assert half(a).dtype == torch.float32
    assert float(distance(half, a, b)) == pytest.approx(float(distance(lite0, a, b)), rel=0.1)


def test_small_pictures_are_enlarged_and_very_small_ones_refused(lite0):
    assert lite0(pictures(1, 16)).shape == lite0(pictures(1, 64)).shape != lite0(pictures(1, 96)).shape
    with pytest.raises(InputError, match="too small to compare"):
        lite0(pictures(1, 12))
    with pytest.raises(InputError, match="floats"):
        lite0(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


# -------------------------------------------------------------------------------------------------------------- weights


@pytest.fixture
def fake_vgg(tmp_path, monkeypatch):
    """A file in torchvision's form with random weights, in PyTorch's cache; our own cache is empty."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    from torchvision.models import vgg

    torch.manual_seed(3)
    net = vgg.make_layers(vgg.cfgs["D"])  # without the classifier, whose 120 million weights nobody looks at
    path = tmp_path / "torch/hub/checkpoints/vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    torch.save({f"features.{name}": value for name, value in net.state_dict().items()}, path)
    known = Weights(("http://127.0.0.1:9/vgg16.pth",), (path.name,), path.stat().st_size, digest(path))
    monkeypatch.setattr(module, "VGG16", known)
    return net, path


def test_vgg_from_torchvisions_file_has_torchvisions_layers(fake_vgg):
    net, _ = fake_vgg
    see = load_perceptual("auto")
    assert see.name == "vgg16"
    x = pictures(1, 32)
    taken, y = [], (x / 2 + 0.5 - torch.tensor(module.VGG_MEAN)[:, None, None]) / torch.tensor(module.VGG_STD)[:, None, None]
    for number, layer in enumerate(net):
        y = layer(y)
        if number in (3, 8, 15, 22, 29):
            taken.append((F.normalize(y, dim=1) / (y.shape[2] * y.shape[3]) ** 0.5).flatten(1))
    torch.testing.assert_close(see(x), torch.cat(taken, 1).detach(), atol=1e-4, rtol=1e-3)


def test_auto_downloads_nothing_and_vgg_that_cannot_be_had_is_one_line(fake_vgg):
    _, path = fake_vgg
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert load_perceptual("auto").name == "lite0"
    with pytest.raises(InputError, match=r"put vgg16-397923af\.pth into .*or use lite0") as caught:
        load_perceptual("vgg16", patience=QUICK)
    assert "\n" not in str(caught.value)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\n")
    with pytest.raises(InputError, match=r"vgg16-397923af\.pth is another file; it looks like a git-lfs pointer: fetch"):
        load_perceptual("vgg16", patience=QUICK)
    with pytest.raises(InputError, match="choose one of auto, vgg16, lite0"):
        load_perceptual("alex")
