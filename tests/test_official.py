"""Official StyleGAN snapshots: what is written in the published form comes back as the same networks."""

import json
import pickle

import numpy as np
import pytest
import snapshots
import torch

from facegen.files import InputError
from facegen.models import layers, official, pretrained, rebuild, stylegan2, stylegan3

NAMES = ("stylegan2", "stylegan2-conditional", "stylegan2-orig", "stylegan3-t", "stylegan3-r", "stylegan3-t-conditional")


def make(name, seed=0):
    """A tiny generator and its discriminator with random values in every parameter and buffer but the filters."""
    torch.manual_seed(seed)
    classes, size = 3 if "conditional" in name else 0, 16
    if name.startswith("stylegan2"):
        architecture = "orig" if "orig" in name else "skip"
        synthesis = {"channel_base": 64, "channel_max": 8, "conv_clamp": 256, "num_fp16_res": 1, "architecture": architecture}
        G = stylegan2.Generator(8, classes, 8, size, 3, {"num_layers": 2}, synthesis)
    else:
        radial = {"conv_kernel": 1, "use_radial_filters": True} if "-r" in name else {}
        G = stylegan3.Generator(8, classes, 8, size, 3, channel_base=64, channel_max=8, num_layers=4, **radial)
    widths = {"channel_base": 64, "channel_max": 8}
    epilogue = {"mbstd_group_size": 2}
    D = stylegan2.Discriminator(classes, size, 3, "orig" if "orig" in name else "resnet", **widths, epilogue_kwargs=epilogue)
    with torch.no_grad():
        for net in (G, D):
            for key, value in net.state_dict().items():
                if "filter" not in key:
                    value.add_(0.1 * torch.randn(value.shape))
                if key.endswith("magnitude_ema"):
                    value.abs_().add_(0.5)
    return G.eval(), D.eval()


def pictures(G, psi=0.7):
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(2, G.z_dim, generator=generator)
    c = torch.eye(G.c_dim)[:2] if G.c_dim else None
    with torch.no_grad():
        return G(z, c, truncation_psi=psi, noise_mode="const")


def judge(D, images):
    with torch.no_grad():
        return D(images, torch.eye(D.c_dim)[:2] if D.c_dim else None)


def same(loaded, G, D):
    assert torch.equal(pictures(loaded.G), pictures(G))
    assert torch.equal(judge(loaded.D, pictures(G)), judge(D, pictures(G)))
    for theirs, ours in ((loaded.G, G), (loaded.D, D)):
        assert type(theirs) is type(ours) and not theirs.training
        assert not any(p.requires_grad for p in theirs.parameters())
        assert theirs.settings.keys() == ours.settings.keys()


@pytest.mark.parametrize("numpy_major", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_gives_the_same_pictures_and_logits(name, numpy_major, tmp_path):
    G, D = make(name)
    path = snapshots.write(tmp_path / "net.pkl", G, D, p=0.375, numpy_major=numpy_major)
    loaded = pretrained.load(path)
    same(loaded, G, D)
    assert loaded.info["format"] == "official pickle"
    assert loaded.info["architecture"] == "-".join(part for part in name.split("-") if part not in ("conditional", "orig"))
    assert loaded.info["training_set"] == snapshots.TRAINING_SET and loaded.info["augment_p"] == 0.375
    assert "authors" in loaded.info["licence"] and json.dumps(loaded.info)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("form", [snapshots.ada_form, snapshots.inline_form, snapshots.older_form])
def test_both_forms_of_a_stylegan2_generator_and_every_protocol(form, protocol, tmp_path):
    G, D = make("stylegan2")
    loaded = pretrained.load(snapshots.write(tmp_path / "net.pkl", G, D, form=form, protocol=protocol))
    same(loaded, G, D)
    assert loaded.G.settings["synthesis_kwargs"] == G.settings["synthesis_kwargs"] and "augment_p" not in loaded.info


def test_arguments_given_by_position(tmp_path):
    G, _ = make("stylegan2")
    given = snapshots.ada_form(G)
    first = tuple(given.pop(name) for name in ("z_dim", "c_dim", "w_dim", "img_resolution"))
    tree = {"G_ema": snapshots.official(G, given, init_args=first)}
    (tmp_path / "net.pkl").write_bytes(snapshots.dump(tree))
    loaded = pretrained.load(tmp_path / "net.pkl")
    assert torch.equal(pictures(loaded.G), pictures(G)) and loaded.D is None and loaded.info["training_set"] == {}


def test_the_averaged_generator_is_preferred(tmp_path):
    (G, _), (average, _) = make("stylegan2"), make("stylegan2", seed=1)
    loaded = pretrained.load(snapshots.write(tmp_path / "both.pkl", average, G=G))
    assert torch.equal(pictures(loaded.G), pictures(average)) and not torch.equal(pictures(loaded.G), pictures(G))
    tree = {"G": snapshots.official(G, snapshots.ada_form(G)), "G_ema": None}
    (tmp_path / "one.pkl").write_bytes(snapshots.dump(tree))
    assert torch.equal(pictures(pretrained.load(tmp_path / "one.pkl").G), pictures(G))


def test_half_precision_and_strided_weights_are_read(tmp_path):
    G, _ = make("stylegan2")
    half = make("stylegan2")[0].half()
    layer = snapshots.official(half, snapshots.ada_form(G))
    (tmp_path / "half.pkl").write_bytes(snapshots.dump({"G_ema": layer}))
    loaded = pretrained.load(tmp_path / "half.pkl")
    assert all(p.dtype is torch.float32 for p in loaded.G.parameters())
    assert torch.allclose(pictures(loaded.G), pictures(G), atol=0.05)

    layer = snapshots.official(G, snapshots.ada_form(G))
    block = layer.state["_modules"]["synthesis"].state["_modules"]["b8"].state["_modules"]["conv0"].state["_parameters"]
    block["weight"] = torch.nn.Parameter(block["weight"].detach().to(memory_format=torch.channels_last))
    (tmp_path / "strided.pkl").write_bytes(snapshots.dump({"G_ema": layer}))
    loaded = pretrained.load(tmp_path / "strided.pkl")
    assert torch.equal(pictures(loaded.G), pictures(G))
    assert loaded.G.synthesis.b8.conv0.weight.is_contiguous()


def test_a_snapshot_converts_to_our_format(tmp_path):
    G, D = make("stylegan3-r")
    first = pretrained.load(snapshots.write(tmp_path / "net.pkl", G, D, p=0.1))
    pretrained.save(tmp_path / "net.safetensors", first.G, first.D, first.info)
    again = pretrained.load(tmp_path / "net.safetensors")
    same(again, G, D)
    assert again.info == first.info


def test_the_content_decides_and_not_the_suffix(tmp_path):
    G, D = make("stylegan2")
    same(pretrained.load(snapshots.write(tmp_path / "snapshot.safetensors", G, D)), G, D)
    pretrained.save(tmp_path / "ours.pkl", G, D)
    same(pretrained.load(tmp_path / "ours.pkl"), G, D)


def test_our_files_are_known_whatever_their_first_byte(tmp_path):
    """It is the low byte of a length, and in one file of 32 it is the one that pickles begin with."""
    G, _ = make("stylegan2")
    for more in range(0, 257, 8):
        pretrained.save(tmp_path / "net.safetensors", G, info={"x": "y" * more})
        found = (tmp_path / "net.safetensors").read_bytes()[0]
        assert pretrained.load(tmp_path / "net.safetensors").info == {"x": "y" * more}
        if found == 0x80:
            return
    raise AssertionError("no header of that length was made")


def test_nothing_of_the_file_is_imported_or_run(tmp_path):
    """The modules that a snapshot names do not exist here, and its source text would end the program."""
    G, _ = make("stylegan2")
    path = snapshots.write(tmp_path / "net.pkl", G)
    assert snapshots.SOURCE.encode() in path.read_bytes()
    with pytest.raises(SystemExit):
        exec(snapshots.SOURCE, {})
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(path.read_bytes())
    assert pretrained.load(path).G is not None


def test_arrays_as_protocol_5_writes_them(tmp_path):
    """The default protocol of Python 3.14, by the real NumPy."""
    G, _ = make("stylegan2")
    layer = snapshots.official(G, snapshots.ada_form(G))
    layer.state["in_size"] = np.array([36, 36])
    raw = snapshots.dump({"G_ema": layer}, 5)
    assert b"_frombuffer" in raw
    (tmp_path / "net.pkl").write_bytes(raw)
    assert torch.equal(pictures(pretrained.load(tmp_path / "net.pkl").G), pictures(G))


def test_text_that_cannot_be_printed_is_mended(tmp_path):
    """A folder's name that is not UTF-8 is pickled with half characters."""
    G, _ = make("stylegan2")
    tree = {"G_ema": snapshots.official(G, snapshots.ada_form(G)), "training_set_kwargs": {"path": "faces\udcff.zip"}}
    (tmp_path / "net.pkl").write_bytes(snapshots.dump(tree))
    assert pretrained.load(tmp_path / "net.pkl").info["training_set"] == {"path": "faces?.zip"}


def test_numpy_numbers_are_written_as_numpy_does():
    """So that what these files prove holds for files that the real NumPy wrote."""
    core = "numpy._core.multiarray" if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else "numpy.core.multiarray"
    assert snapshots.dump(snapshots.Number(0.25, core)) == pickle.dumps(np.float64(0.25), 4)
    assert snapshots.dump(snapshots.Sizes([36, 36], core)) == pickle.dumps(np.array([36, 36]), 4)


def test_every_argument_of_every_class_is_bounded_and_no_other():
    import inspect

    given = {name for cls in rebuild.CLASSES.values() for name in inspect.signature(cls).parameters}
    parts = (stylegan2.Mapping, stylegan2.Synthesis, stylegan3.Synthesis)
    given |= {name for part in parts for name in inspect.signature(part).parameters}
    given |= {"mbstd_group_size", "mbstd_num_channels", "freeze_layers"}
    given -= {"num_ws", "synthesis"}  # the first the generator counts itself, the second are stylegan3.Synthesis's
    assert given == {*rebuild.RANGES, *rebuild.TYPES, *rebuild.GROUPS, rebuild.FILTER}


SIZES = {"z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3}
JUDGE = {"c_dim": 0, "img_resolution": 16, "img_channels": 3}


@pytest.mark.parametrize(
    ("kind", "settings", "inside", "name", "bad", "good"),
    [
        ("stylegan3.Generator", SIZES, None, "img_resolution", (8, 24, 4096), (16, 2048)),
        ("stylegan3.Generator", SIZES, None, "conv_kernel", (0, 2, 5), (1, 3)),
        ("stylegan3.Generator", SIZES, None, "filter_size", (0,), (1, 6)),
        ("stylegan3.Generator", SIZES, None, "lrelu_upsampling", (0,), (1, 2)),
        ("stylegan2.Generator", SIZES, None, "img_resolution", (2, 24), (4, 2048)),
        ("stylegan2.Generator", SIZES, "mapping_kwargs", "activation", ("gelu",), layers.ACTIVATIONS),
        ("stylegan2.Generator", SIZES, "synthesis_kwargs", "architecture", ("unet",), stylegan2.ARCHITECTURES),
        ("stylegan2.Discriminator", JUDGE, None, "img_resolution", (4, 12), (8, 2048)),
        ("stylegan2.Discriminator", JUDGE, None, "architecture", ("unet",), stylegan2.ARCHITECTURES),
        ("stylegan2.Discriminator", JUDGE, None, "cmap_dim", (0, -1), (None, 1)),
        ("stylegan2.Discriminator", JUDGE, "epilogue_kwargs", "mbstd_group_size", (0, -4), (None, 1)),
        ("stylegan2.Discriminator", JUDGE, "block_kwargs", "freeze_layers", (-1,), (0, 13)),
    ],
)
def test_settings_out_of_range_are_refused(kind, settings, inside, name, bad, good):
    def build(value):
        changed = {inside: {name: value}} if inside else {name: value}
        rebuild.network(kind, settings | changed, {}, lambda name: torch.zeros(()))

    for value in bad:
        with pytest.raises(InputError, match=name):
            build(value)
    for value in good:
        with pytest.raises(InputError, match="is missing"):  # the network was built, without memory
            build(value)


def test_filters_that_are_not_finite_are_refused(tmp_path):
    for name, number in (("stylegan3-r", float("nan")), ("stylegan2", float("inf"))):
        G, _ = make(name)
        next(value for key, value in G.state_dict().items() if key.endswith("filter")).view(-1)[0] = number
        pretrained.save(tmp_path / "net.safetensors", G)
        with pytest.raises(InputError, match=r"filter of a stylegan.* holds NaN or infinity"):
            pretrained.load(tmp_path / "net.safetensors")


def test_info_and_settings_are_written_as_plain_json(tmp_path):
    path = tmp_path / "net.safetensors"
    G, _ = make("stylegan2")
    G.settings["synthesis_kwargs"]["conv_clamp"] = np.float64(256)
    G.settings["synthesis_kwargs"]["resample_filter"] = np.array([1, 3, 3, 1])
    G.settings["z_dim"] = np.int64(8)
    kimg, share = np.float32(12.5), torch.tensor(0.25)
    pretrained.save(path, G, info={"kimg": kimg, "p": share, "size": (2, np.int64(3)), "at": tmp_path, 7: np.bool_(True)})
    loaded = pretrained.load(path)
    same_pictures = torch.equal(pictures(loaded.G), pictures(G))
    assert same_pictures and loaded.info == {"kimg": 12.5, "p": 0.25, "size": [2, 3], "at": str(tmp_path), "7": True}
    circle = []
    circle.append(circle)
    before = path.read_bytes()
    for bad, words in (
        ({"a": {"b": {1, 2}}}, r"info\['a'\]\['b'\]: JSON cannot hold \{1, 2\} \(set\)"),
        ({"net": G}, "JSON cannot hold .*Generator"),
        ({"loss": [1.0, float("nan")]}, r"info\['loss'\]\[1\]: JSON cannot hold nan"),
        ({"z": 1j}, "complex"),
        ({"x": np.longdouble(1)}, "longdouble"),
        ({(1, 2): 3}, "keys that are no text"),
        ({"x": circle}, "make it flatter"),
        ({"x": "y" * (1 << 20)}, "info is too long"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            pretrained.save(path, G, info=bad)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    G.settings["z_dim"] = {8}
    with pytest.raises(InputError, match="the settings of G"):
        pretrained.save(path, G)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_type_of_the_weights_stays_in_the_file_and_comes_back_as_float32(tmp_path):
    G, _ = make("stylegan2")
    pretrained.save(tmp_path / "full.safetensors", G)
    half, path = make("stylegan2")[0].to(torch.bfloat16), tmp_path / "half.safetensors"
    pretrained.save(path, half)
    assert path.stat().st_size < 0.7 * (tmp_path / "full.safetensors").stat().st_size
    loaded = pretrained.load(path).G.state_dict()
    assert all(
        value.dtype == torch.float32 and torch.equal(value, half.state_dict()[key].float()) for key, value in loaded.items()
    )


def test_published_sizes_are_within_the_rules():
    """Networks as large as any that was published are built (without memory) from their arguments."""
    for kind, settings in (
        ("stylegan2.Generator", {"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": 1024, "img_channels": 3}),
        ("stylegan2.Discriminator", {"c_dim": 10, "img_resolution": 1024, "img_channels": 3, "num_fp16_res": 4}),
        (
            "stylegan3.Generator",
            {
                **{"z_dim": 512, "c_dim": 0, "w_dim": 512, "img_resolution": 1024, "img_channels": 3},
                **{"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1, "use_radial_filters": True},
            },
        ),
    ):
        with pytest.raises(InputError, match="is missing"):  # and not: must be ...
            rebuild.network(kind, settings, {}, lambda name: torch.zeros(()))


def test_a_file_that_is_not_there_or_empty(tmp_path):
    with pytest.raises(InputError, match="no such network file"):
        pretrained.load(tmp_path / "none.pkl")
    (tmp_path / "empty.pkl").write_bytes(b"")
    with pytest.raises(InputError, match="is no network file but an empty file"):
        pretrained.load(tmp_path / "empty.pkl")
    with pytest.raises(InputError, match="cut short"):
        (tmp_path / "one.pkl").write_bytes(b"\x80")
        official.load(tmp_path / "one.pkl")
