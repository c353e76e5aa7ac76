"""Faces from seeds with every kind of generator, moving StyleGAN3's pictures, and looking into the layers."""

from __future__ import annotations

import importlib
import sys
import warnings

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from facegen.files import InputError
from facegen.latent.sample import latents, moved, one_hot, sample, sample_batches, transform
from facegen.models import cyclegan, dcgan, stylegan2, stylegan3
from facegen.models.layers import upsample2d
from facegen.show import activations, show_activations


def stylegan2_net(classes=0, **synthesis):
    """16 pixels; noise inputs that are switched on, which they are not at initialisation."""
    torch.manual_seed(0)
    G = stylegan2.Generator(8, classes, 8, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 8, **synthesis})
    with torch.no_grad():
        for name, value in G.named_parameters():
            if name.endswith("noise_strength"):
                value.fill_(0.3)
        G.mapping.w_avg.normal_()
    return G.eval().requires_grad_(False)


def stylegan3_net(radial=False, size=32, classes=0):
    torch.manual_seed(0)
    kind = {"conv_kernel": 1, "use_radial_filters": True} if radial else {}
    G = stylegan3.Generator(
        8, classes, 8, size, 3, {"num_layers": 2}, channel_base=16 * size, channel_max=16, num_layers=6, **kind
    )
    return G.eval().requires_grad_(False)


def dcgan_net():
    torch.manual_seed(0)
    return dcgan.initialise(dcgan.Generator(8, 4, 32))


KINDS = {
    "dcgan": dcgan_net,
    "stylegan2": stylegan2_net,
    "stylegan3-t": stylegan3_net,
    "stylegan3-r": lambda: stylegan3_net(radial=True),
}


# ---------------------------------------------------------------------------------------------------------- sample


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("noise_mode", ["const", "random"])
def test_a_seed_has_its_face_whichever_stand_beside_it(kind, noise_mode):
    G = KINDS[kind]()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    together = sample(G, range(5), noise_mode=noise_mode)
    assert torch.equal(torch.get_rng_state(), state)  # and nobody else's random numbers have changed
    assert together.dtype == torch.uint8 and together.shape == (5, 3, G.img_resolution, G.img_resolution)
    torch.manual_seed(6)
    for seeds, batch in (([3], None), ([4, 3], 1), ([0, 3, 1], 2)):
        alone = sample(G, seeds, noise_mode=noise_mode, batch=batch)[seeds.index(3)]
        assert (alone.int() - together[3].int()).abs().max() <= 1
    assert len({face.numpy().tobytes() for face in together}) == 5


def test_noise_modes_differ_and_random_is_the_seeds_own():
    G = stylegan2_net()
    faces = {mode: sample(G, [1, 2], noise_mode=mode).int() for mode in ("const", "random", "none")}
    assert (faces["const"] - faces["none"]).abs().max() > 5
    assert (faces["random"] - faces["none"]).abs().max() > 5
    assert (faces["random"] - faces["const"]).abs().max() > 5
    # The noise is not the same for every seed: with the mean w for both, it is all that differs.
    mean = sample(G, [1, 2], trunc=0, noise_mode="random").int()
    assert (mean[0] - mean[1]).abs().max() > 5
    assert torch.equal(*sample(G, [1, 2], trunc=0))


def test_sample_is_what_the_network_gives_for_z_of_the_seed():
    as_published = np.random.RandomState(7).randn(1, 8).astype(np.float32)  # the rule of the published tools
    as_pytorch = torch.randn(8, generator=torch.Generator().manual_seed(7))[None]
    for G in (stylegan2_net(), stylegan3_net(), dcgan_net().eval()):
        z = as_pytorch if isinstance(G, dcgan.Generator) else torch.from_numpy(as_published)
        assert torch.equal(latents(G, [7]), z)
        with torch.no_grad():
            image = G(z) if isinstance(G, dcgan.Generator) else G(z, None, noise_mode="const")
        expected = (image * 127.5 + 127.5).round().clamp(0, 255)
        assert (sample(G, [7]).float() - expected).abs().max() <= 1


@pytest.mark.parametrize("kind", ["stylegan2", "stylegan3-t"])
def test_truncation_is_the_networks(kind):
    G = KINDS[kind]()
    with torch.no_grad():
        G.mapping.w_avg.normal_(generator=torch.Generator().manual_seed(0))
        ws = G.mapping(latents(G, [3]), None)
        ws[:, :2] = G.mapping.w_avg + 0.5 * (ws[:, :2] - G.mapping.w_avg)
        expected = (G.synthesis(ws, noise_mode="const") * 127.5 + 127.5).round().clamp(0, 255)
    assert (sample(G, [3], trunc=0.5, cutoff=2).float() - expected).abs().max() <= 1
    assert not torch.equal(sample(G, [3], trunc=0.5, cutoff=2), sample(G, [3], trunc=0.5))
    assert torch.equal(sample(G, [3], trunc=0.5, cutoff=0), sample(G, [3]))


def test_the_network_is_left_as_it_was():
    G = dcgan_net().train()
    G.main[1].eval()
    before = {name: value.clone() for name, value in G.state_dict().items()}
    faces = sample(G, [0, 1, 2])
    assert (faces[1] - sample(G, [1])[0]).float().abs().max() <= 1  # not the batch norm of training
    assert G.training and G.main[4].training and not G.main[1].training
    assert all(torch.equal(before[name], value) for name, value in G.state_dict().items())


@pytest.mark.parametrize("make", [stylegan2_net, stylegan3_net])
def test_classes(make):
    G = make(classes=3)
    faces = sample(G, [1, 1, 1], labels=[0, 2, 2])
    assert torch.equal(faces[1], faces[2]) and not torch.equal(faces[0], faces[1])
    assert torch.equal(sample(G, [1, 1, 1], labels=2)[0], faces[1])
    assert torch.equal(sample(G, [1, 1, 1], labels=torch.tensor([0, 2, 2])), faces)
    assert torch.equal(sample(G, [1], labels=torch.tensor([0.0, 0.0, 1.0])), faces[1:2])
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    whole = expected.long()
    for labels in (
        *([2, 0], (2, 0), np.array([2, 0]), np.array([2, 0], np.uint8), torch.tensor([2, 0]), torch.tensor([2, 0]).short()),
        *([np.int64(2), np.uint8(0)], [torch.tensor(2), torch.tensor(0)], iter([2, 0])),
        *(whole, whole.bool(), whole.numpy(), whole.numpy().astype(np.uint8), expected, expected.double().numpy()),
    ):
        found = one_hot(G, labels, 2)
        assert found.dtype == torch.float32 and torch.equal(found, expected)
    for labels in (2, np.int64(2), np.array(2), torch.tensor(2), np.array([0.0, 0.0, 1.0])):
        assert torch.equal(one_hot(G, labels, 2), expected[[0, 0]])


def test_batches_are_made_when_they_are_asked_for_and_leave_the_network_alone():
    G = dcgan_net().train()
    calls = []
    G.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled() or G.training))
    batches = sample_batches(G, range(5), batch=2)
    assert calls == []
    first = next(batches)
    assert calls == [False] and G.training and torch.is_grad_enabled()  # also while it waits for the next batch
    rest = list(batches)
    assert [len(faces) for faces in (first, *rest)] == [2, 2, 1] and calls == [False] * 3
    assert torch.equal(torch.cat([first, *rest]), sample(G, range(5), batch=2))
    with pytest.raises(InputError, match="no w to truncate"):
        sample_batches(G, [0], trunc=0.5)  # at once, and not at the first batch
    with pytest.raises(InputError, match="below 2"):
        sample_batches(stylegan2_net(), [0, 2**32])


@pytest.mark.parametrize(
    ("make", "calls"), [(stylegan2_net, 4), (lambda: stylegan2_net(use_noise=False), 1), (stylegan3_net, 1)]
)
def test_random_noise_goes_one_by_one_only_where_there_is_noise(make, calls):
    G, seen = make(), []
    G.register_forward_hook(lambda *_: seen.append(1))
    sample(G, range(4), noise_mode="random")
    assert len(seen) == calls


def test_random_noise_seeds_no_other_device(monkeypatch):
    seeded = []
    for name in ("cuda.manual_seed_all", "mps.manual_seed", "xpu.manual_seed_all"):
        monkeypatch.setattr(f"torch.{name}", seeded.append)
    G = stylegan2_net()
    assert seeded  # by torch.manual_seed in there
    seeded.clear()
    sample(G, [1, 2], noise_mode="random")
    assert seeded == []


def test_half_precision_gives_nearly_the_same_faces():
    for make in KINDS.values():
        G = make()
        full, half = sample(G, [0, 1]).float(), sample(G, [0, 1], dtype=torch.bfloat16).float()
        difference = (full - half).abs()
        assert difference.max() > 0 and difference.mean() < 4, difference.mean()


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (dcgan_net, {"trunc": 0.7}, "no w to truncate"),
        (dcgan_net, {"cutoff": 3}, "no w to truncate"),
        (dcgan_net, {"labels": 1}, "no classes"),
        (stylegan2_net, {"labels": 1}, "no classes"),
        (stylegan2_net, {"trunc": float("nan")}, "must be a number"),
        (stylegan2_net, {"cutoff": 99}, "between 0 and"),
        (stylegan2_net, {"cutoff": -1}, "between 0 and"),
        (stylegan2_net, {"noise_mode": "loud"}, "random, const, none"),
        (stylegan2_net, {"batch": 0}, "at least 1"),
        (lambda: stylegan2_net(classes=3), {}, "3 classes: say which one, 0 to 2"),
        (lambda: stylegan2_net(classes=3), {"labels": 3}, "class 3 does not exist"),
        (lambda: stylegan3_net(classes=3), {"labels": -1}, "class -1 does not exist"),
        (lambda: stylegan3_net(classes=3), {"labels": [1]}, "1 labels for 2 faces"),
        (lambda: stylegan3_net(classes=3), {"labels": torch.ones(2, 4)}, "[2, 3]"),
        *(
            (lambda: stylegan2_net(classes=3), {"labels": labels}, words)
            for labels, words in (
                (1.7, "1.7 is not a class"),
                ([0, 1.7], "1.7 is not a class"),
                (True, "True is not a class"),
                ([0, True], "True is not a class"),
                (np.bool_(True), "is not a class"),
                (np.array([True, False]), "is not a class"),
                (torch.tensor([True, False]), "is not a class"),
                ("1", "'1' is not a class"),
                (["0", "1"], "'0' is not a class"),
                (np.array(["0", "1"]), "is not a class"),
                (torch.tensor(1.0), "is not a class"),
                (torch.tensor([[0, 2, 0], [1, 0, 0]]), "one-hot"),
                (torch.tensor([float("nan"), 0, 0]), "finite"),
                (torch.zeros(2, 3, 1), "[2, 3]"),
            )
        ),
        (lambda: cyclegan.ResnetGenerator(), {}, "no z"),
        (lambda: stylegan2.Generator(8, 0, 8, 16, 4, {"num_layers": 1}, {"channel_base": 64}), {}, "4 channels"),
    ],
)
def test_refusals(make, options, words):
    with pytest.raises(InputError) as caught:
        sample(make(), [0, 1], **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("seeds", [[], [-1], [1.5], ["1"], [2**63]])
def test_bad_seeds(seeds):
    with pytest.raises(InputError, match="seed"):
        sample(dcgan_net(), seeds)
    assert torch.equal(sample(dcgan_net(), np.arange(2)), sample(dcgan_net(), [0, 1]))


def test_damaged_weights_are_not_drawn():
    G = dcgan_net()
    G.main[0].weight.data[0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        sample(G, [0])


# ------------------------------------------------------------------------------------------------ moving pictures


def psnr(a, b):
    """Agreement in decibels, relative to the range of `a`."""
    return float(10 * torch.log10((a.max() - a.min()) ** 2 / ((a - b) ** 2).mean()))


def picture(G, **motion):
    z = latents(G, [1, 2])
    with moved(G, **motion):
        return G(z, None)


@pytest.mark.parametrize("kind", ["stylegan3-t", "stylegan3-r"])
def test_pictures_move_to_the_right_and_down(kind):
    G = stylegan3_net(radial=kind == "stylegan3-r", size=64)
    still = G(latents(G, [1, 2]), None)
    for x, y in ((8, 0), (0, 8), (-6, 4), (3, -5)):  # the coarse layers have a sample for 4 pixels: parts of one are moved too
        shifted = torch.roll(still, (y, x), dims=(2, 3))[..., 12:-12, 12:-12]
        image = picture(G, translate=(x / 64, y / 64))[..., 12:-12, 12:-12]
        other_way = torch.roll(still, (-y, -x), dims=(2, 3))[..., 12:-12, 12:-12]
        assert psnr(shifted, image) > 60 and psnr(other_way, image) < 30, (psnr(shifted, image), psnr(other_way, image))


def test_pictures_turn_counter_clockwise_around_their_centre_before_they_move():
    G = stylegan3_net(radial=True, size=64)
    still = G(latents(G, [1, 2]), None)
    turned = picture(G, rotate=90)[..., 8:-8, 8:-8]
    assert psnr(torch.rot90(still, 1, (2, 3))[..., 8:-8, 8:-8], turned) > 60
    assert psnr(torch.rot90(still, -1, (2, 3))[..., 8:-8, 8:-8], turned) < 30
    both = picture(G, translate=(8 / 64, 0), rotate=90)[..., 12:-12, 12:-12]
    assert psnr(torch.roll(torch.rot90(still, 1, (2, 3)), 8, dims=3)[..., 12:-12, 12:-12], both) > 60


def test_the_matrix_is_the_inverse_of_the_motion():
    corner = torch.tensor([0.5, 0.0, 1.0])  # the middle of the right edge
    there = torch.linalg.inv(transform(rotate=90).double()) @ corner.double()
    assert torch.allclose(there, torch.tensor([0.0, -0.5, 1.0]).double(), atol=1e-6)  # is now at the top
    there = torch.linalg.inv(transform((0.25, 0.125), 90).double()) @ corner.double()
    assert torch.allclose(there, torch.tensor([0.25, -0.375, 1.0]).double(), atol=1e-6)
    assert torch.equal(transform(), torch.eye(3))
    with pytest.raises(InputError, match="must be numbers"):
        transform((float("inf"), 0))


def test_the_transform_is_put_back_and_other_networks_refuse():
    G = stylegan3_net()
    before = G.synthesis.input.transform.clone()
    with pytest.raises(RuntimeError, match="inside"), moved(G, rotate=30):
        assert not torch.equal(G.synthesis.input.transform, before)
        raise RuntimeError("inside")
    assert torch.equal(G.synthesis.input.transform, before)
    for make in (stylegan2_net, dcgan_net):
        with pytest.raises(InputError, match="only a StyleGAN3"), moved(make(), translate=(0.1, 0)):
            pass


# ------------------------------------------------------------------------------------------------- looking inside


def test_activations_are_what_the_layers_give():
    G = stylegan2_net()
    z = latents(G, [1, 2])
    found = activations(G, z)
    blocks = [8, 16]
    assert list(found) == ["b4.conv1", "b4.torgb"] + [f"b{r}.{n}" for r in blocks for n in ("conv0", "conv1", "torgb")]
    assert found["b8.conv0"].shape == (2, 8, 8, 8) and found["b16.torgb"].shape == (2, 3, 16, 16)
    ws = G.mapping(z, None)
    assert all(torch.equal(x, found[name]) for name, x in activations(G, ws).items())
    image = sum_of_colours = None
    for size in (4, 8, 16):
        colours = found[f"b{size}.torgb"]
        sum_of_colours = colours if image is None else colours + upsample2d(image, G.synthesis.b4.resample_filter)
        image = sum_of_colours
    assert torch.allclose(sum_of_colours, G.synthesis(ws, noise_mode="const"), atol=1e-5)
    few = activations(G, z, layers=["b16.conv1", "b4.conv1"], channels=3)
    assert list(few) == ["b4.conv1", "b16.conv1"] and few["b16.conv1"].shape == (2, 3, 16, 16)
    strength = found["b16.conv1"].std(dim=(2, 3), correction=0).mean(0)
    assert torch.equal(few["b16.conv1"][:, 0], found["b16.conv1"][:, strength.argmax()])
    assert not any(module._forward_hooks for module in G.modules())


def test_activations_of_the_other_networks():
    G = stylegan3_net(classes=2)
    found = activations(G, latents(G, [1]), labels=1)
    assert next(iter(found)) == "input" and len(found) == 8 and all(name[0] == "L" for name in list(found)[1:])
    assert all(x.shape[2] == int(name.split("_")[1]) for name, x in found.items() if name != "input")
    D = dcgan_net().eval()
    stages = activations(D, latents(D, [1, 2]))
    assert [x.shape[2] for x in stages.values()] == [4, 8, 16, 32]
    assert torch.equal(list(stages.values())[-1], D(latents(D, [1, 2])).detach())
    for z, words in ((torch.zeros(1, 9), "needs z"), (torch.zeros(1, 3, 8), "needs z")):
        with pytest.raises(InputError, match=words):
            activations(G, z)
    with pytest.raises(InputError, match="has no layer"):
        activations(stylegan2_net(), torch.zeros(1, 8), layers=["b8.conv7"])
    with pytest.raises(InputError, match="neither"):
        activations(cyclegan.ResnetGenerator(), torch.zeros(1, 8))


@pytest.mark.parametrize(
    ("make", "rows"),
    [(stylegan2_net, 5), (lambda: stylegan2_net(architecture="resnet"), 5), (stylegan3_net, 8), (dcgan_net, 4)],
)
def test_the_figure_has_a_row_for_every_layer(make, rows):
    G = make()
    figure = show_activations(G, latents(G, [1]), channels=4)
    labels = [text.get_text() for text in figure.texts if "channels" in text.get_text() and "×" in text.get_text()]
    assert len(labels) == rows
    last = figure.axes[-1].images[0].get_array()  # the picture itself stands last
    assert np.abs(np.asarray(last).astype(int) - sample(G, [1])[0].permute(1, 2, 0).numpy().astype(int)).max() <= 1
    assert figure.png().startswith(b"\x89PNG")


def boxes(figure):
    """The rectangles that the texts of a figure cover, the title's among them."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return {text.get_text(): text.get_window_extent(canvas.get_renderer()) for text in figure.texts}


@pytest.mark.parametrize("channels", [1, 6, 8])
@pytest.mark.parametrize("make", [stylegan2_net, stylegan3_net])
def test_no_text_of_the_figure_lies_on_another_or_is_cut_off(make, channels):
    G = make()
    figure = show_activations(G, latents(G, [1]), channels=channels)
    found = boxes(figure)
    assert "picture" in found and figure.title in found
    for name, box in found.items():
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 and box.y1 <= figure.bbox.height, name
        for other, its in found.items():
            assert name == other or not box.overlaps(its), (name, other)


def test_the_first_label_goes_with_the_first_face():
    G = stylegan2_net(classes=3)
    z = latents(G, [4, 5])
    for labels, first in (([2, 0], 2), (torch.tensor([1, 0]), 1), (1, 1), (torch.eye(3)[[2, 0]], 2)):
        last = show_activations(G, z, channels=2, labels=labels).axes[-1].images[0].get_array()
        expected = sample(G, [4], labels=first)[0].permute(1, 2, 0).numpy()
        assert np.abs(np.asarray(last).astype(int) - expected.astype(int)).max() <= 1
    with pytest.raises(InputError, match="1 labels for 2 faces"):
        show_activations(G, z, labels=[1])
    with pytest.raises(InputError, match="leave the labels out"):
        show_activations(G, G.mapping(z, torch.eye(3)[:2]), labels=[0, 1])


# -------------------------------------------------------------------------------------------------------- importing


@pytest.fixture
def events():
    """What the interpreter reports while `events.on` is true; the hook itself can never be removed."""

    class Events(list):
        on = False

    seen = Events()
    sys.addaudithook(lambda event, args: seen.append((event, args)) if seen.on else None)
    yield seen
    seen.on = False


def test_importing_the_networks_opens_no_socket_and_starts_no_process(events):
    names = [f"models.{name}" for name in ("layers", "stylegan2", "stylegan3", "pretrained", "published")] + ["latent.sample"]
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "facegen"}
    for name in own:
        del sys.modules[name]  # so that they are imported anew
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            events.on = True
            again = [importlib.import_module(f"facegen.{name}") for name in names]
            events.on = False
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "facegen"]:
            del sys.modules[name]
        sys.modules.update(own)
    assert not any(module is own.get(module.__name__) for module in again)
    bad = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "urllib.")
    assert any(event == "import" for event, _ in events) and not [event for event in events if event[0].startswith(bad)]
