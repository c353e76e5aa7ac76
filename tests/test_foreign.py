"""Community network files: a plain second implementation of their networks, and files made to do harm."""

import argparse
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, pad

from facegen.__main__ import main
from facegen.files import InputError
from facegen.models import cyclegan, dcgan, foreign, pretrained

BLUR = torch.tensor([1.0, 3.0, 3.0, 1.0]).outer(torch.tensor([1.0, 3.0, 3.0, 1.0])) / 64


# ------------------------------------------------ the StyleGAN2 of rosinality's files, written plainly from the papers


def generator_weights(widths, w=12, mapping=3, channels=3, seed=0):
    """Random weights under the file's names; `widths` are the channels at 4, 8, 16, ... pixels."""
    g = torch.Generator().manual_seed(seed)
    weights = OrderedDict()

    def new(name, *shape, scale=1.0, shift=0.0):
        weights[name] = torch.randn(*shape, generator=g) * scale + shift

    def styled(name, inputs, outputs, side, noise=True):
        new(f"{name}.conv.weight", 1, outputs, inputs, side, side)
        new(f"{name}.conv.modulation.weight", inputs, w)
        new(f"{name}.conv.modulation.bias", inputs, shift=1.0)
        if noise:
            new(f"{name}.noise.weight", 1, scale=0.3)
            new(f"{name}.activate.bias", outputs, scale=0.2)
        else:
            new(f"{name}.bias", 1, outputs, 1, 1, scale=0.2)

    for i in range(1, mapping + 1):
        new(f"style.{i}.weight", w, w, scale=100.0)
        new(f"style.{i}.bias", w, scale=10.0)
    new("input.input", 1, widths[0], 4, 4)
    styled("conv1", widths[0], widths[0], 3)
    styled("to_rgb1", widths[0], channels, 1, noise=False)
    for k, (inputs, outputs) in enumerate(pairwise(widths)):
        styled(f"convs.{2 * k}", inputs, outputs, 3)
        weights[f"convs.{2 * k}.conv.blur.kernel"] = BLUR * 4
        styled(f"convs.{2 * k + 1}", outputs, outputs, 3)
        styled(f"to_rgbs.{k}", outputs, channels, 1, noise=False)
        weights[f"to_rgbs.{k}.upsample.kernel"] = BLUR * 4
    for i in range(2 * len(widths) - 1):
        side = 2 ** ((i + 5) // 2)
        new(f"noises.noise_{i}", 1, 1, side, side)
    return weights


def discriminator_weights(widths, channels=3, seed=1):
    g = torch.Generator().manual_seed(seed)
    weights = OrderedDict()

    def new(name, *shape):
        weights[name] = torch.randn(*shape, generator=g)

    widths = widths[::-1]
    new("convs.0.0.weight", widths[0], channels, 1, 1)
    new("convs.0.1.bias", widths[0])
    for i, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        new(f"convs.{i}.conv1.0.weight", inputs, inputs, 3, 3)
        new(f"convs.{i}.conv1.1.bias", inputs)
        weights[f"convs.{i}.conv2.0.kernel"] = BLUR
        new(f"convs.{i}.conv2.1.weight", outputs, inputs, 3, 3)
        new(f"convs.{i}.conv2.2.bias", outputs)
        weights[f"convs.{i}.skip.0.kernel"] = BLUR
        new(f"convs.{i}.skip.1.weight", outputs, inputs, 1, 1)
    new("final_conv.0.weight", widths[-1], widths[-1] + 1, 3, 3)
    new("final_conv.1.bias", widths[-1])
    for name, inputs, outputs in (("final_linear.0", widths[-1] * 16, widths[-1]), ("final_linear.1", widths[-1], 1)):
        new(f"{name}.weight", outputs, inputs)
        new(f"{name}.bias", outputs)
    return weights


def act(x, bias, axis=1):
    shape = [1] * x.dim()
    shape[axis] = -1
    return leaky_relu(x + bias.reshape(shape), 0.2) * math.sqrt(2)


def fir(x, kernel, before, after):
    """Correlate each channel with the (symmetric) kernel after padding by zeros."""
    channels = x.shape[1]
    return conv2d(pad(x, (before, after, before, after)), kernel.expand(channels, 1, 4, 4), groups=channels)


def modulated(p, name, x, w, up=False, demodulate=True):
    """StyleGAN2 (arXiv:1912.04958), equations 1 and 3, picture by picture."""
    weight = p[f"{name}.conv.weight"][0]  # [O, I, k, k]
    style = w @ p[f"{name}.conv.modulation.weight"].T / math.sqrt(w.shape[1]) + p[f"{name}.conv.modulation.bias"]
    pictures = []
    for picture, s in zip(x, style):
        scaled = weight / math.sqrt(weight[0].numel()) * s[None, :, None, None]
        if demodulate:
            scaled = scaled / (scaled.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = conv_transpose2d(picture[None], scaled.transpose(0, 1), stride=2)  # side 2 n + 1
            pictures.append(fir(wide, p[f"{name}.conv.blur.kernel"], 1, 1))
        else:
            pictures.append(conv2d(picture[None], scaled, padding=weight.shape[-1] // 2))
    return torch.cat(pictures)


def plain_mapping(p, z):
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(1, sum(name.startswith("style.") for name in p) // 2 + 1):
        w = act(w @ (p[f"style.{i}.weight"] * 0.01 / math.sqrt(w.shape[1])).T, p[f"style.{i}.bias"] * 0.01)
    return w


def plain_generator(p, w):
    def layer(name, x, i, up=False):
        x = modulated(p, name, x, w, up) + p[f"{name}.noise.weight"] * p[f"noises.noise_{i}"]
        return act(x, p[f"{name}.activate.bias"])

    def picture(name, x):
        return modulated(p, name, x, w, demodulate=False) + p[f"{name}.bias"]

    x = layer("conv1", p["input.input"].repeat(len(w), 1, 1, 1), 0)
    rgb = picture("to_rgb1", x)
    for k in range(sum(name.endswith("upsample.kernel") for name in p)):
        x = layer(f"convs.{2 * k}", x, 2 * k + 1, up=True)
        x = layer(f"convs.{2 * k + 1}", x, 2 * k + 2)
        spread = torch.zeros(*rgb.shape[:2], 2 * rgb.shape[2], 2 * rgb.shape[3])
        spread[:, :, ::2, ::2] = rgb  # a zero behind every pixel, then the filter
        rgb = picture(f"to_rgbs.{k}", x) + fir(spread, p[f"to_rgbs.{k}.upsample.kernel"], 2, 1)
    return rgb


def plain_discriminator(p, x):
    def equal(name, x, **how):
        weight = p[name]
        return conv2d(x, weight / math.sqrt(weight[0].numel()), **how)

    x = act(equal("convs.0.0.weight", x), p["convs.0.1.bias"])
    for i in range(1, sum(name.endswith("skip.1.weight") for name in p) + 1):
        y = act(equal(f"convs.{i}.conv1.0.weight", x, padding=1), p[f"convs.{i}.conv1.1.bias"])
        y = equal(f"convs.{i}.conv2.1.weight", fir(y, p[f"convs.{i}.conv2.0.kernel"], 2, 2), stride=2)
        skip = equal(f"convs.{i}.skip.1.weight", fir(x, p[f"convs.{i}.skip.0.kernel"], 1, 1), stride=2)
        x = (act(y, p[f"convs.{i}.conv2.2.bias"]) + skip) / math.sqrt(2)
    groups = x.reshape(min(4, len(x)), -1, *x.shape[1:])
    spread = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))  # one number per group
    spread = spread.repeat(len(groups)).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    x = act(equal("final_conv.0.weight", torch.cat([x, spread], 1), padding=1), p["final_conv.1.bias"]).flatten(1)
    x = act(x @ (p["final_linear.0.weight"] / math.sqrt(x.shape[1])).T, p["final_linear.0.bias"])
    return x @ (p["final_linear.1.weight"] / math.sqrt(x.shape[1])).T + p["final_linear.1.bias"]


def relative_error(got, expected):
    return ((got - expected).abs().max() / expected.abs().max()).item()


WIDTHS = [16, 16, 8, 4]  # at 4, 8, 16, 32 pixels


@pytest.fixture
def checkpoint():
    """As the training script writes it: the command line's Namespace, two generators, optimizers."""
    weights = {"g": generator_weights(WIDTHS, seed=5), "g_ema": generator_weights(WIDTHS), "d": discriminator_weights(WIDTHS)}
    dummy = torch.nn.Linear(3, 3)
    optimizer = torch.optim.Adam(dummy.parameters())
    dummy(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    command = argparse.Namespace(size=32, path="faces", lr=0.002, wandb=False, ckpt=None)
    avg = torch.randn(12, generator=torch.Generator().manual_seed(9))
    return weights | {"g_optim": optimizer.state_dict(), "args": command, "ada_aug_p": 0.0, "latent_avg": avg}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_a_rosinality_checkpoint_gives_the_same_pictures_and_logits(checkpoint, tmp_path, zipped):
    torch.save(checkpoint, tmp_path / "face.pt", _use_new_zipfile_serialization=zipped)
    G, D, info = foreign.from_torch(tmp_path / "face.pt")
    assert info["architecture"] == "stylegan2, 32x32" and info["weights"] == "g_ema" and info["w_avg"] == "from the file"
    assert not G.training and not any(p.requires_grad for p in [*G.parameters(), *D.parameters()])
    z = torch.randn(8, 12, generator=torch.Generator().manual_seed(3))
    w = plain_mapping(checkpoint["g_ema"], z)
    pulled = checkpoint["latent_avg"] + 0.7 * (w - checkpoint["latent_avg"])
    pictures = plain_generator(checkpoint["g_ema"], w)
    errors = {
        "w": relative_error(G.mapping(z, None)[:, 0], w),
        "picture": relative_error(G(z, None, noise_mode="const"), pictures),
        "psi 0.7": relative_error(
            G(z, None, truncation_psi=0.7, noise_mode="const"), plain_generator(checkpoint["g_ema"], pulled)
        ),
        "logits": relative_error(D(pictures, None), plain_discriminator(checkpoint["d"], pictures)),
    }
    print({name: f"{error:.1e}" for name, error in errors.items()})
    assert max(errors.values()) < 1e-5, errors


def test_other_sizes_of_rosinality_networks(tmp_path):
    """Grey pictures, 8 mapping layers, another resolution, widths that no power of two gives, half precision in the file."""
    widths = [20, 20, 10]
    weights = generator_weights(widths, w=20, mapping=8, channels=1)
    torch.save({"g": {f"module.{name}": value for name, value in weights.items()}}, tmp_path / "grey.pt")
    G, D, info = foreign.from_torch(tmp_path / "grey.pt")
    assert D is None and info["weights"] == "g" and G.img_channels == 1 and G.img_resolution == 16
    z = torch.randn(2, 20)
    assert relative_error(G(z, None, noise_mode="const"), plain_generator(weights, plain_mapping(weights, z))) < 1e-5
    torch.save({"g_ema": {name: value.half() for name, value in weights.items()}}, tmp_path / "half.pt")
    half = foreign.from_torch(tmp_path / "half.pt")[0]
    assert half.synthesis.b16.conv0.weight.dtype == torch.float32


def test_without_latent_avg_the_centre_is_estimated(checkpoint, tmp_path):
    del checkpoint["latent_avg"]
    torch.save(checkpoint, tmp_path / "face.pt")
    G, _, info = foreign.from_torch(tmp_path / "face.pt")
    assert "10,000" in info["w_avg"]
    w = plain_mapping(checkpoint["g_ema"], torch.randn(40_000, 12, generator=torch.Generator().manual_seed(8)))
    assert ((G.mapping.w_avg - w.mean(0)).abs() < 5 * w.std(0) / math.sqrt(10_000)).all()
    torch.testing.assert_close(foreign.from_torch(tmp_path / "face.pt")[0].mapping.w_avg, G.mapping.w_avg, rtol=0, atol=0)


def test_files_without_fixed_noise_say_so(checkpoint, tmp_path):
    checkpoint["g_ema"] = {name: value for name, value in checkpoint["g_ema"].items() if "noises" not in name}
    torch.save(checkpoint, tmp_path / "face.pt")
    G, _, info = foreign.from_torch(tmp_path / "face.pt")
    assert "seeded" in info["noise_const"] and G.synthesis.b32.conv1.noise_const.std() > 0.9


def test_a_converted_network_is_kept_in_our_own_file(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / "face.pt")
    loaded = pretrained.load(tmp_path / "face.pt")
    pretrained.save(tmp_path / "face.safetensors", *loaded)
    again = pretrained.load(tmp_path / "face.safetensors")
    z = torch.randn(2, 12)
    assert torch.equal(again.G(z, None, noise_mode="const"), loaded.G(z, None, noise_mode="const"))
    assert again.info == loaded.info


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda c: c["g_ema"].pop("conv1.noise.weight"), "lacks the tensor conv1.noise.weight"),
        (lambda c: c["g_ema"].update({"conv9.weight": torch.ones(1)}), "conv9.weight"),
        (lambda c: c["g_ema"].update({"convs.0.conv.blur.kernel": BLUR * 4.4}), "another blur filter"),
        (lambda c: c["g_ema"].update({"convs.0.conv.blur.kernel": torch.ones(2, 2)}), "another blur filter"),
        (lambda c: c["d"].update({"convs.1.conv2.0.kernel": BLUR * 4}), "another blur filter"),
        (lambda c: c.update(g_ema=generator_weights([8, 16, 8, 4])), "no pair of channel_base and channel_max"),
        (lambda c: c["g_ema"].update({"noises.noise_3": torch.ones(1, 1, 8, 8)}), "noise_const"),
        (lambda c: c["g_ema"].update({"style.2.weight": torch.ones(12, 13)}), "mapping.fc1.weight"),
        (lambda c: c["g_ema"].update({"style.1.weight": torch.ones(())}), "style.1.weight"),
        (lambda c: c["g_ema"].update({"conv1.conv.weight": torch.ones(1, 0, 16, 3, 3)}), "channel_base"),
        (lambda c: c["g_ema"].update({"to_rgb1.bias": torch.ones(1, 3, 1, 1).int()}), "int32"),
        (lambda c: c.update(latent_avg=torch.ones(13)), "latent_avg"),
    ],
)
def test_a_rosinality_file_that_does_not_fit_is_refused(checkpoint, tmp_path, spoil, says):
    spoil(checkpoint)
    torch.save(checkpoint, tmp_path / "face.pt")
    refused(tmp_path / "face.pt", says)


def test_what_is_not_used_may_be_anything_harmless(checkpoint, tmp_path):
    checkpoint["g"] = {"g": None, 3: [1.5, (2, "x")]}
    checkpoint["g"]["g"] = checkpoint["g"]
    checkpoint["note"] = (torch.ones(3), torch.nn.Parameter(torch.ones(2)))
    torch.save(checkpoint, tmp_path / "face.pt")
    assert foreign.from_torch(tmp_path / "face.pt")[2]["weights"] == "g_ema"


def test_a_discriminator_of_a_checkpoint_alone(checkpoint, tmp_path):
    torch.save({"d": checkpoint["d"]}, tmp_path / "d.pt")
    refused(tmp_path / "d.pt", "is a discriminator (stylegan2, 32x32), which makes no pictures: give the generator's file")


# ------------------------------------------------ CycleGAN files


NETWORKS = [
    cyclegan.ResnetGenerator(3, 4, 6),
    cyclegan.ResnetGenerator(1, 4, 2, "batch", dropout=True, out_channels=3),
    cyclegan.ResnetGenerator(3, 6, 9, "instance", dropout=True),
    cyclegan.UnetGenerator(3, 4, 5, "batch"),
    cyclegan.UnetGenerator(1, 4, 7, "instance", out_channels=2),
    cyclegan.PatchDiscriminator(3, 4, 3),
    cyclegan.PatchDiscriminator(6, 4, 5, "batch"),
    cyclegan.PatchDiscriminator(3, 4, 1),
    cyclegan.PixelDiscriminator(3, 4),
    cyclegan.PixelDiscriminator(6, 4, "batch"),
]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("net", NETWORKS, ids=lambda net: f"{type(net).__name__}-{net.settings['norm']}")
def test_cyclegan_files_tell_their_network(tmp_path, net, zipped):
    torch.save(net.state_dict(), tmp_path / "latest_net.pth", _use_new_zipfile_serialization=zipped)
    if isinstance(net, (cyclegan.PatchDiscriminator, cyclegan.PixelDiscriminator)):
        kind, width = type(net).__name__, net.settings["width"]
        refused(tmp_path / "latest_net.pth", f"is a discriminator ({kind}, ")
        refused(tmp_path / "latest_net.pth", f"width {width}, {net.settings['norm']} norm), which makes no pictures")
        return
    loaded, _, info = foreign.from_torch(tmp_path / "latest_net.pth")
    assert type(loaded) is type(net) and loaded.settings == net.settings and type(net).__name__ in info["architecture"]
    x = torch.randn(2, net.img_channels, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), net.eval()(x), rtol=0, atol=0)


def test_old_running_statistics_and_data_parallel_names(tmp_path):
    net = cyclegan.ResnetGenerator(3, 4, 6)
    weights = {f"module.{name}": value for name, value in net.state_dict().items()}
    for i, module in enumerate(net.model):
        if isinstance(module, torch.nn.InstanceNorm2d):
            weights[f"module.model.{i}.running_mean"] = torch.randn(module.num_features)
            weights[f"module.model.{i}.running_var"] = torch.rand(module.num_features)
            weights[f"module.model.{i}.num_batches_tracked"] = torch.tensor(7)
    torch.save(weights, tmp_path / "old.pth")
    G = foreign.from_torch(tmp_path / "old.pth")[0]
    x = torch.randn(1, 3, 16, 16)
    assert G.settings["norm"] == "instance" and torch.equal(G(x), net.eval()(x))


def test_a_cyclegan_file_that_does_not_fit_is_refused(tmp_path):
    net = cyclegan.ResnetGenerator(3, 4, 6)
    for spoil, says in [
        (lambda w: w.pop("model.10.conv_block.5.bias"), "model.10.conv_block.5.bias"),
        (lambda w: w.update({"model.10.conv_block.5.weight": torch.ones(4, 4, 3, 3)}), "model.10.conv_block.5.weight"),
        (lambda w: w.update({"model.77.weight": torch.ones(())}), "model.77.weight"),
        (lambda w: w.update({"model.007.weight": torch.ones(3)}), "model.007.weight"),
        (lambda w: w.update({"model.1.weight": torch.ones(0, 3, 7, 7)}), "no known network"),
        (lambda w: w.update({"model.1.weight": torch.ones(4, 3, 7, 7).int()}), "int32"),
        (lambda w: w.pop("model.1.weight"), "no known network"),
    ]:
        weights = net.state_dict()
        spoil(weights)
        torch.save(weights, tmp_path / "G.pth")
        refused(tmp_path / "G.pth", says)


# ------------------------------------------------ the files of PyTorch's DCGAN tutorial


@pytest.mark.parametrize("size", dcgan.IMAGE_SIZES)
def test_the_generator_of_the_dcgan_tutorial_makes_pictures_by_the_command(tmp_path, size, capsys):
    G = dcgan.Generator(6, 2, size, img_channels=3)
    torch.save(G.state_dict(), tmp_path / "netG.pth")
    loaded, D, info = foreign.from_torch(tmp_path / "netG.pth")
    assert D is None and loaded.settings == G.settings and info["architecture"] == f"dcgan, {size}x{size}"
    z = torch.randn(2, 6, 1, 1)
    assert torch.equal(loaded(z), G.eval()(z))
    words = ["generate", "--network", str(tmp_path / "netG.pth"), "--outdir", str(tmp_path / "out"), "--seeds=0-1"]
    assert main(words) == 0 and len(list((tmp_path / "out").glob("seed*.png"))) == 2, capsys.readouterr().err


def test_other_files_of_the_dcgan_tutorial_are_refused(tmp_path):
    torch.save(dcgan.Discriminator(2, 64).state_dict(), tmp_path / "netD.pth")
    refused(tmp_path / "netD.pth", "is a discriminator (dcgan, 64x64), which makes no pictures")
    for spoil, says in [
        (lambda w: w.pop("main.4.bias"), "main.4.bias of a dcgan.Generator is missing"),
        (lambda w: w.update({"main.3.weight": torch.ones(16, 8, 3, 3)}), "where [16, 8, 4, 4] belongs"),
        (lambda w: w.update({f"main.{i}.weight": torch.ones(2, 2, 4, 4) for i in range(20, 900)}), "no known network"),
    ]:
        weights = dcgan.Generator(6, 2).state_dict()
        spoil(weights)
        torch.save(weights, tmp_path / "netG.pth")
        refused(tmp_path / "netG.pth", says)


# ------------------------------------------------ other files, and hostile ones


def refused(path, says=""):
    """`path` is refused in one line that names it, in under 2 s of processor time: the machine may be busy."""
    started = time.process_time()
    with pytest.raises(InputError) as caught:
        foreign.from_torch(path)
    assert time.process_time() - started < 2
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600 and message.startswith(str(path)), message
    assert says in message, message


def torch_zip(path, data, storages=(), folder="archive", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", data)
        archive.writestr(f"{folder}/version", "3\n")
        for key, raw in storages:
            archive.writestr(f"{folder}/data/{key}", raw)
    return path


def legacy(body, keys=(), numel=1):
    parts = [0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}]
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    return head + body + pickle.dumps(list(keys), 2) + b"".join(struct.pack("<q", numel) + bytes(4 * numel) for _ in keys)


def op_string(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def op_number(n):
    return b"\x8a\x08" + struct.pack("<q", n)


def op_tensor(numel, shape, stride, old=False):
    """Instructions for one float tensor of storage "0"."""
    storage = b"(" + op_string("storage") + b"ctorch\nFloatStorage\n" + op_string("0") + op_string("cpu") + op_number(numel)
    storage += b"NtQ" if old else b"tQ"
    sizes = b"".join(b"(" + b"".join(op_number(n) for n in numbers) + b"t" for numbers in (shape, stride))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + sizes + b"\x89ccollections\nOrderedDict\n)RtR"


def op_dict(value, key="model.1.weight"):
    return b"\x80\x02}" + op_string(key) + value + b"s."


class Call:
    def __init__(self, function, *args):
        self.how = function, args

    def __reduce__(self):
        return self.how


def deep_key():
    body = b"\x80\x02})" + b"q\x00h\x00\x86" * 60  # ((((),()),((),())), ...): small, but 2^60 steps to hash
    return body + b"K\x01s."


def hostile(tmp_path):
    """name -> (file's bytes or path, what the refusal must say)"""
    mark = tmp_path / "was_run"
    call = pickle.dumps({"g_ema": Call(os.system, f"mkdir {mark}")}, 2)
    build = b"\x80\x02cargparse\nNamespace\n)\x81}" + op_string("__setstate__") + b"ccollections\nOrderedDict\nsb."
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with archive.open("archive/data/0", "w", force_zip64=True) as entry:
            for _ in range(100):
                entry.write(bytes(1 << 20))
    overlapping = io.BytesIO()
    with zipfile.ZipFile(overlapping, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 16))
        for i in range(1, 200):  # 200 names for the same bytes
            twin = zipfile.ZipInfo(f"archive/data/{i}")
            first = archive.getinfo("archive/data/0")
            twin.file_size = twin.compress_size = first.file_size
            twin.CRC, twin.header_offset = first.CRC, first.header_offset
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    ten_gb = 2_500_000_000
    many = [(f"{i:0200}", b"") for i in range(10_000)]
    return {
        "os.system": (torch_zip(tmp_path / "a", call), f"{os.name}.system"),
        "os.system, older form": (legacy(call), f"{os.name}.system"),
        "builtins.eval": (torch_zip(tmp_path / "b", b"\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001tR."), "builtins.eval"),
        "builtins.bytearray": (torch_zip(tmp_path / "c", pickle.dumps({"g": Call(bytearray, 10**10)}, 2)), "bytearray"),
        "a getattr chain": (torch_zip(tmp_path / "d", pickle.dumps(Call(getattr, "", "upper"), 2)), "getattr"),
        "a plain pickle": (call, "neither a zip archive nor the older form"),
        "planted __setstate__": (torch_zip(tmp_path / "e", build), "Namespace"),
        "a Namespace made by a call": (torch_zip(tmp_path / "f", b"\x80\x02cargparse\nNamespace\n)R."), "argparse.Namespace"),
        "shadowed method": (
            torch_zip(tmp_path / "g", b"\x80\x02ccollections\nOrderedDict\n)R}" + op_string("items") + b"K\x01sb."),
            "OrderedDict attributes",
        ),
        "a zip bomb": (bomb.getvalue(), "compressed entries"),
        "overlapping entries": (overlapping.getvalue(), "larger than the file"),
        "10,000 long names": (torch_zip(tmp_path / "h", b"N.", many), "table of contents"),
        "a huge data.pkl": (torch_zip(tmp_path / "i", b"\x80\x02" + b"N0" * (3 << 20) + b"."), "data.pkl of"),
        "two data.pkl": (two_pickles(tmp_path / "j", call), "one name"),
        "a TorchScript program": (script(tmp_path / "k"), "TorchScript"),
        "any zip": (any_zip(tmp_path / "l"), "not a torch file"),
        "10 GB storage": (torch_zip(tmp_path / "m", op_dict(op_tensor(ten_gb, (ten_gb,), (1,)))), "10,000,000,000 bytes"),
        "10 GB storage, older form": (legacy(op_dict(op_tensor(ten_gb, (ten_gb,), (1,), True)), ["0"]), "10,000,000,000 bytes"),
        "10 GB shape of one number": (
            torch_zip(tmp_path / "n", op_dict(op_tensor(1, (50_000, 50_000), (0, 0))), [("0", bytes(4))]),
            "[50000, 50000]",
        ),
        "10 GB shape, older form": (legacy(op_dict(op_tensor(1, (50_000, 50_000), (0, 0), True)), ["0"]), "[50000, 50000]"),
        "a negative shape": (
            torch_zip(tmp_path / "o", op_dict(op_tensor(1, (-4, 1), (1, 1))), [("0", bytes(4))]),
            "impossible",
        ),
        "a thousand views of one storage": (many_views(tmp_path / "p"), "together"),
        "memo bomb": (torch_zip(tmp_path / "q", b"\x80\x02](N" + b"q\x00h\x00\x86" * 90_000 + b"e."), "holds a list"),
        "memo index of 4 billion": (torch_zip(tmp_path / "r", b"\x80\x02}r\xff\xff\xff\xff."), "nothing"),
        "a key that takes for ever to hash": (torch_zip(tmp_path / "s", deep_key()), "neither text nor a whole number"),
        "colliding keys": (torch_zip(tmp_path / "t", colliding()), "64 bits"),
        "an OrderedDict made over and over": (torch_zip(tmp_path / "D", over_and_over(b"h\x00h\x02\x85R")), "300,000"),
        "a Namespace filled over and over": (torch_zip(tmp_path / "E", over_and_over(b"h\x01)\x81h\x03b")), "300,000"),
        "400,000 instructions": (torch_zip(tmp_path / "u", b"\x80\x02](" + b"N" * 400_000 + b"e."), "300,000"),
        "100,000 marks": (torch_zip(tmp_path / "v", b"\x80\x02" + b"(" * 100_000 + b"."), "damaged"),
        "an announced string of 4 GB": (torch_zip(tmp_path / "w", b"\x80\x02X\xff\xff\xff\xffabc."), "cut short"),
        "an endless name": (torch_zip(tmp_path / "x", b"\x80\x02c" + b"a" * 1_000_000), "cut short"),
        "a control sequence": (torch_zip(tmp_path / "y", op_dict(b"K\x01", key="\x1b[2J\nfine")), "?[2J fine"),
        "a dict in itself": (torch_zip(tmp_path / "z", b"\x80\x02}q\x00" + op_string("g_ema") + b"h\x00s."), "g_ema"),
        "a list": (torch_zip(tmp_path / "A", pickle.dumps([1, 2], 2)), "holds a list"),
        "protocol 4": (torch_zip(tmp_path / "B", pickle.dumps({}, 4)), "protocol 4"),
        "text": (b"once upon a time\n" * 100, "not a file that torch.save wrote"),
        "nothing": (b"", "not a file that torch.save wrote"),
        "a folder": (tmp_path, "no such network file"),
        "no file": (tmp_path / "nowhere.pth", "no such network file"),
    }, mark


def two_pickles(path, call):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/DATA.pkl", call)
    return path


def script(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"archive/{name}", "N.")
    return path


def any_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return path


def many_views(path):
    """A file of 4 MB whose tensors would take 4 GB."""
    view = op_tensor(1 << 20, (1 << 20,), (1,))
    data = b"\x80\x02}(" + b"".join(op_string(str(i)) + view for i in range(1000)) + b"u."
    return torch_zip(path, data, [("0", bytes(4 << 20))])


def colliding():
    """10,000 whole numbers with one hash: a dict compares each with all before it."""
    numbers = [(i * (2**61 - 1)).to_bytes(24, "little") for i in range(1, 10_000)]
    return b"\x80\x02}(" + b"".join(b"\x8a\x18" + raw + b"N" for raw in numbers) + b"u."


def over_and_over(use):
    """20,000 uses of something large that the file holds once."""
    start = b"\x80\x02ccollections\nOrderedDict\nq\x00cargparse\nNamespace\nq\x01"
    pairs = b"](" + op_string("a") + b"N\x86q\x04" + b"h\x04" * 50_000 + b"eq\x02"
    names = b"}(" + b"".join(op_string(f"a{i}") + b"N" for i in range(50_000)) + b"uq\x03"
    return start + pairs + names + use * 20_000 + b"."


def test_a_file_of_python_2_is_read(tmp_path):
    """Its text is SHORT_BINSTRING, and its OrderedDict a call with a list of pairs."""
    shapes = {"net.0.weight": (1, 1, 1, 1), "net.0.bias": (1,), "net.2.weight": (2, 1, 1, 1), "net.2.bias": (2,)}
    shapes |= {"net.5.weight": (1, 2, 1, 1), "net.5.bias": (1,)}
    pairs = b""
    for name, shape in shapes.items():
        pairs += b"](U" + bytes([len(name)]) + name.encode() + op_tensor(2, shape, (1,) * len(shape), old=True) + b"e"
    (tmp_path / "old.pth").write_bytes(legacy(b"\x80\x02ccollections\nOrderedDict\n(](" + pairs + b"etR.", ["0"], numel=2))
    refused(tmp_path / "old.pth", "is a discriminator (PixelDiscriminator, width 1, instance norm)")


def test_hostile_files_are_refused_and_run_nothing(tmp_path):
    files, mark = hostile(tmp_path)
    for name, (content, says) in files.items():
        path = content
        if isinstance(content, bytes):
            path = tmp_path / "file.pth"
            path.write_bytes(content)
        print(name)
        refused(path, says)
    assert not mark.exists()
    # The calls were real ones: what refuses them is not that they could not work.
    with zipfile.ZipFile(tmp_path / "a") as archive:
        pickle.loads(archive.read("archive/data.pkl"))
    assert mark.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_cut_files_are_refused(tmp_path, zipped):
    buffer = io.BytesIO()
    torch.save(cyclegan.ResnetGenerator(3, 4, 2).state_dict(), buffer, _use_new_zipfile_serialization=zipped)
    raw = buffer.getvalue()
    for percent in range(0, 100, 5):
        (tmp_path / "cut.pth").write_bytes(raw[: len(raw) * percent // 100])
        refused(tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes(raw[:-1])
    refused(tmp_path / "cut.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
def test_mutated_files_load_or_are_refused(tmp_path, zipped):
    buffer = io.BytesIO()
    torch.save(cyclegan.ResnetGenerator(3, 1, 1).state_dict(), buffer, _use_new_zipfile_serialization=zipped)
    raw, path = buffer.getvalue(), tmp_path / "mutated.pth"
    dice = torch.Generator().manual_seed(0)
    loaded = 0
    for _ in range(200):
        changed = bytearray(raw)
        for _ in range(int(torch.randint(1, 4, (), generator=dice))):
            changed[int(torch.randint(len(raw), (), generator=dice))] = int(torch.randint(256, (), generator=dice))
        path.write_bytes(changed)
        try:
            foreign.from_torch(path)
            loaded += 1
        except InputError as error:
            assert "\n" not in str(error)
    assert 0 < loaded < 200  # changed numbers load, changed structure does not


def test_hostile_files_take_little_memory(tmp_path):
    """Measured in a process of its own, where nothing else has raised the peak."""
    pytest.importorskip("resource", reason="Windows does not tell a process's peak memory this way")
    paths = [content for content, _ in hostile(tmp_path)[0].values()]
    for i, content in enumerate(paths):
        if isinstance(content, bytes):
            paths[i] = tmp_path / f"{i}.pth"
            paths[i].write_bytes(content)
    code = (
        "import resource, sys; from facegen.models import foreign\n"
        "before, refused = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        foreign.from_torch(path)\n"
        "    except ValueError:\n        refused += 1\n"
        "print(refused, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    run = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    refused, grown = map(int, run.stdout.split())
    print(f"{refused} hostile files: {grown} more {'bytes' if sys.platform == 'darwin' else 'KB'} at the peak")
    assert refused == len(paths) and grown < 200_000 * (1024 if sys.platform == "darwin" else 1)
