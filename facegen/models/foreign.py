"""Network files of three community projects, `.pt` and `.pth`, read without running anything that they contain.

`from_torch` understands the StyleGAN2 checkpoints of rosinality's stylegan2-pytorch (a dict with `g_ema`, `g`, `d`,
`latent_avg`), and two kinds of plain state dict: the CycleGAN and pix2pix weights of Zhu and Park's
pytorch-CycleGAN-and-pix2pix (`latest_net_G_A.pth`) and the `netG.pth` of PyTorch's DCGAN tutorial. Which network it is, and
how large, is read from the names and shapes of its tensors.

The weights come from `torch.load(weights_only=True)` and nothing else. That call runs no code, but a hostile file can
still make it spend hours or all memory, so the file is outlined first (`_outline`): `facegen.models.pickles` interprets its
pickle, which yields plain dicts of shapes, and refuses whatever these files do not need. A file is refused, in one line,
before any of its weights is read.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facegen.files import one_line
from facegen.models import pickles, rebuild
from facegen.models.layers import setup_filter
from facegen.models.official import LICENCE
from facegen.models.pickles import Machine, Refused, Storage, Weight, need, shown

MAX_BYTES = 4 << 30  # of a file; a 1024-pixel StyleGAN2 checkpoint with both optimizers has under 1 GB
MAX_TABLE = 2 << 20  # bytes of the pickles, and of a zip archive's table of contents; the same checkpoint has 0.14 MB
MAX_STEPS = 300_000  # pickle instructions; the same checkpoint has about 40,000
W_AVG_SAMPLES = 10_000

UNDERSTOOD = (
    "understood are rosinality's StyleGAN2 checkpoints (g_ema or g, d, latent_avg), the generators of CycleGAN and pix2pix "
    "(latest_net_G_A.pth), and that of PyTorch's DCGAN tutorial (netG.pth)"
)
TERMS = "the file states none: the weights stay under their authors' terms, and those of the pictures they learned from"
# A torch file before version 1.6: five pickles in a row, the first of them this number, then the raw values.
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

# The first convolution of a CycleGAN network tells which one it is.
FIRST_WEIGHTS = ("model.1.weight", "model.model.0.weight", "model.0.weight", "net.0.weight")

Shapes = dict[str, tuple[int, ...]]


# ---------------------------------------------------------------- the outline: what is in a file, without its weights


@dataclass(frozen=True, eq=False, slots=True)
class _Namespace:
    """Stands for an argparse.Namespace: rosinality's `args`, which nothing here needs."""


def _namespace(_: Machine, args: tuple) -> _Namespace:
    need(args == (), "has a Namespace made with arguments")
    return _Namespace()


def _namespace_state(machine: Machine, _: _Namespace, state: object) -> None:
    need(type(state) is dict, "has a Namespace that is not described as Python does")
    machine.spend(len(state))
    # torch would call an attribute __setstate__ that an earlier state has planted.
    fits = all(type(key) is str and not key.startswith("_") for key in state)
    need(fits, "gives a Namespace attributes that no command line has")


def _ordered_state(_: Machine, target: dict, state: object) -> None:
    """The version numbers that PyTorch keeps beside a state dict. torch.load itself refuses a state of a plain dict."""
    fits = type(state) is dict and (not state or list(state) == ["_metadata"])
    need(fits, "gives an OrderedDict attributes that no network file needs")


_BEFORE_0_4 = ("torch._utils", "_rebuild_tensor", pickles.tensor)
_GLOBALS = pickles.STORAGE_GLOBALS | pickles.TORCH_GLOBALS | pickles.table(_BEFORE_0_4)
_GLOBALS["argparse", "Namespace"] = pickles.Global("argparse.Namespace", new=_namespace)
_FORMAT = pickles.Format("network file", 2, _GLOBALS, {_Namespace: _namespace_state, dict: _ordered_state}, MAX_STEPS)


def _machine(data: bytes, size: int) -> Machine:
    return Machine(data, 0, len(data), _FORMAT, pickles.Allowance(size, MAX_STEPS))


class _SparingFile(io.FileIO):
    """A file for `zipfile`, which reads an archive's whole table of contents at once, however large the file says it is."""

    def read(self, size: int = -1) -> bytes:
        need(size <= MAX_TABLE, f"is a zip archive with a table of contents of {size:,} bytes")
        return super().read(size)


def _outline_zip(path: Path, size: int) -> object:
    """The outline of a torch file since PyTorch 1.6: a zip archive, uncompressed, with data.pkl and a file per storage."""
    try:
        with _SparingFile(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            sizes = {entry.filename: entry.file_size for entry in entries}
            need(all(e.compress_type == zipfile.ZIP_STORED for e in entries), "is a zip archive with compressed entries")
            # Entries that overlap are how a small archive unpacks to a large one without compression.
            need(sum(e.file_size for e in entries) <= size, "is a zip archive whose entries are larger than the file")
            # torch finds entries without regard to case.
            need(len({name.lower() for name in sizes}) == len(entries), "is a zip archive with two entries of one name")
            tables = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
            need(len(tables) == 1, f"is a zip archive, but not a torch file (it has {_listed(sizes)})")
            folder = tables[0].removesuffix("data.pkl")
            need(all(name.startswith(folder) for name in sizes), "is a zip archive with entries outside its folder")
            script = f"{folder}constants.pkl" in sizes
            need(not script, "is a TorchScript program, not weights: save the model's state_dict() instead")
            need(sizes[tables[0]] <= MAX_TABLE, f"has a data.pkl of {sizes[tables[0]]:,} bytes, more than {MAX_TABLE:,}")
            machine = _machine(archive.read(tables[0]), size)
    except Refused:
        raise
    except Exception as problem:  # zipfile's are of many kinds: damaged numbers send it to places before or behind the file
        raise Refused(f"is a damaged or cut zip archive ({one_line(problem, 80)})") from None

    def claim(storage: Storage) -> None:
        found = sizes.get(f"{folder}data/{storage.key}")
        what = f"{storage.size:,} bytes for its storage {shown(storage.key)}"
        need(found == storage.size, f"announces {what}, but holds {found or 0:,}")

    machine.claim = claim
    return machine.run()


def _outline_legacy(path: Path, size: int) -> object:
    """The outline of a torch file before PyTorch 1.6."""
    with open(path, "rb") as file:
        machine = _machine(file.read(MAX_TABLE), size)
    found, storages = pickles.torch_save(machine, size)
    needed = machine.pos + sum(8 + storage.size for storage in storages)
    need(needed <= size, f"is cut short: it needs {needed:,} bytes and has {size:,}")
    return found


def _outline(path: Path) -> object:
    """What a `torch.save` file holds, without its weights: plain dicts, lists and numbers, and a `Weight` for each tensor.

    No memory is taken for any tensor, and every tensor has been found to lie inside the file.
    """
    need(path.is_file(), "is not there: no such network file")
    with open(path, "rb") as file:
        start = file.read(len(LEGACY_MAGIC))
        size = file.seek(0, io.SEEK_END)
    need(size <= MAX_BYTES, f"has {size:,} bytes; a network file has at most {MAX_BYTES:,}")
    if start.startswith(b"PK\x03\x04"):
        return _outline_zip(path, size)
    need(start == LEGACY_MAGIC, "is not a file that torch.save wrote (neither a zip archive nor the older form)")
    return _outline_legacy(path, size)


# ---------------------------------------------------------------- from names and shapes to a network


class _Plan(NamedTuple):
    """One network of a file: our class and arguments, and for each of our tensors the file's.

    `source` maps our name to the file's, with their shapes known to agree up to dimensions of one.
    """

    kind: str
    settings: dict[str, object]
    source: dict[str, str]
    shapes: Shapes  # of our tensors, as the file's sizes make them
    part: str | None = None  # the entry of the file that is its state dict; None: the file itself is

    def entry(self, file: dict) -> dict:
        return file if self.part is None else file[self.part]


def _listed(keys: object) -> str:
    names = [shown(key) for key in list(keys)[:4]]
    return ", ".join(names) + (", ..." if len(keys) > 4 else "") if names else "nothing"


def _is_state_dict(value: object) -> bool:
    return type(value) is dict and len(value) > 0 and all(type(k) is str and type(v) is Weight for k, v in value.items())


def _unwrapped(names: object) -> dict[str, str]:
    """The file's names by those without the "module." of `nn.DataParallel`."""
    return {name.removeprefix("module."): name for name in names}


def _numbers(names: Mapping[str, object], start: str, end: str) -> list[int]:
    """Every whole number k, ascending, for which there is a name start + k + end."""
    middles = {name[len(start) : len(name) - len(end)] for name in names if name.startswith(start) and name.endswith(end)}
    return sorted(int(text) for text in middles if text.isascii() and text.isdigit() and text == str(int(text[:4])))


def _side(shape: tuple[int, ...] | None) -> int:
    """The kernel's side of a 2-D convolution's weight, or 0 if the shape is not one."""
    return shape[2] if shape is not None and len(shape) == 4 and shape[2] == shape[3] and min(shape) > 0 else 0


def _plan_cyclegan(shapes: Shapes) -> _Plan | None:
    """The CycleGAN network with these tensors, or None if they are no such network's."""
    running = ("running_mean", "running_var", "num_batches_tracked")
    # Instance norms of PyTorch before 0.4 saved statistics that they did not use; a norm that uses them has weights too.
    shapes = {
        name: shape
        for name, shape in shapes.items()
        if not (name.endswith(running) and name.rpartition(".")[0] + ".weight" not in shapes)
    }
    norm = "batch" if any(name.endswith("running_mean") for name in shapes) else "instance"
    convolutions = [shape for name, shape in shapes.items() if name.endswith(".weight") and _side(shape)]
    known = [name for name in FIRST_WEIGHTS if name in shapes]
    if len(known) != 1:
        return None
    name, shape = known[0], shapes[known[0]]
    settings: dict[str, object] = {"norm": norm}
    if _side(shape):
        settings |= {"img_channels": shape[1], "width": shape[0]}
    match name, _side(shape):
        case "model.1.weight", 7:
            kind = "ResnetGenerator"
            settings["blocks"] = len(_numbers(shapes, "model.", ".conv_block.1.weight"))
            settings["dropout"] = any(n.endswith("conv_block.6.weight") and _side(shapes[n]) for n in shapes)
            last = shapes[f"model.{max(_numbers(shapes, 'model.', '.weight'))}.weight"]
            settings["out_channels"] = last[0] if _side(last) else shape[1]
        case "model.model.0.weight", 4:
            kind = "UnetGenerator"
            settings["downs"] = len(convolutions) // 2
            last = shapes.get("model.model.3.weight")  # of a transposed convolution: [in, out, 4, 4]
            settings["out_channels"] = last[1] if _side(last) else shape[1]
        case "model.0.weight", 4:
            kind = "PatchDiscriminator"
            settings["layers"] = len(convolutions) - 2
        case "net.0.weight", 1:
            kind = "PixelDiscriminator"
        case _:
            return None
    return _Plan(f"cyclegan.{kind}", settings, {name: name for name in shapes}, shapes)


def _plan_dcgan(shapes: Shapes) -> _Plan | None:
    """The network of PyTorch's DCGAN tutorial with these tensors, or None if they are no such network's."""
    convolutions = [shape for name, shape in shapes.items() if name.startswith("main.") and _side(shape)]
    if "main.0.weight" not in shapes or not 4 <= len(convolutions) <= 6:
        return None
    first, *others = convolutions
    size = 2 ** (len(convolutions) + 1)  # one convolution stands between a column and 4x4 pixels, each other one doubles
    if first[1] == others[0][0]:  # a transposed convolution's weight is [in, out, 4, 4]: this is a generator
        settings = {"z_size": first[0], "conv_dim": others[-1][0], "image_size": size, "img_channels": others[-1][1]}
        return _Plan("dcgan.Generator", settings, {name: name for name in shapes}, shapes)
    settings = {"conv_dim": first[0], "image_size": size, "img_channels": first[1]}
    return _Plan("dcgan.Discriminator", settings, {name: name for name in shapes}, shapes)


def _channel_rule(widths: dict[int, int]) -> dict[str, int]:
    """channel_base and channel_max with min(channel_base // resolution, channel_max) equal to each given width."""
    most = max(widths.values())
    # A layer below the maximum pins the base to an interval; one at the maximum gives it a least value.
    low = max(width * resolution for resolution, width in widths.items())
    high = min(((width + 1) * r - 1 for r, width in widths.items() if width < most), default=low)
    found = ", ".join(f"{width} at {resolution}" for resolution, width in widths.items())
    need(low <= high, f"has layers of widths ({found}) that no pair of channel_base and channel_max gives")
    return {"channel_base": low, "channel_max": most}


def _resolutions(levels: int, what: str) -> list[int]:
    need(1 <= levels <= 9, f"has {levels} resolutions above 4x4 in its {what}; StyleGAN2 has 1 to 9")
    return [4 * 2**k for k in range(levels + 1)]


def _dimension(shapes: Shapes, name: str, dims: int, axis: int) -> int:
    shape = shapes.get(name)
    need(shape is not None and len(shape) == dims, f"lacks a {name} of {dims} dimensions, which a rosinality file has")
    return shape[axis]


def _style_layer(ours: str, theirs: str, activated: bool) -> dict[str, str]:
    """A modulated convolution: its weight, the style's affine map, and with `activated` the noise and the bias."""
    names = {
        f"{ours}.weight": f"{theirs}.conv.weight",
        f"{ours}.affine.weight": f"{theirs}.conv.modulation.weight",
        f"{ours}.affine.bias": f"{theirs}.conv.modulation.bias",
        f"{ours}.bias": f"{theirs}.activate.bias" if activated else f"{theirs}.bias",
    }
    return names | ({f"{ours}.noise_strength": f"{theirs}.noise.weight"} if activated else {})


def _generator_names(resolutions: list[int], mapping_layers: int) -> dict[str, str]:
    """The file's name of each parameter and noise buffer of our generator.

    The up-sampling convolutions copy as they are: both sides apply the stored kernel in a transposed convolution.
    """
    names = {f"mapping.fc{i}.{part}": f"style.{i + 1}.{part}" for i in range(mapping_layers) for part in ("weight", "bias")}
    names |= {"synthesis.b4.const": "input.input", "synthesis.b4.conv1.noise_const": "noises.noise_0"}
    names |= _style_layer("synthesis.b4.conv1", "conv1", True) | _style_layer("synthesis.b4.torgb", "to_rgb1", False)
    for k, resolution in enumerate(resolutions[1:]):
        block = f"synthesis.b{resolution}"
        for i, layer in enumerate(("conv0", "conv1")):
            names |= _style_layer(f"{block}.{layer}", f"convs.{2 * k + i}", True)
            names[f"{block}.{layer}.noise_const"] = f"noises.noise_{2 * k + i + 1}"
        names |= _style_layer(f"{block}.torgb", f"to_rgbs.{k}", False)
    return names


def _discriminator_names(resolutions: list[int]) -> dict[str, str]:
    """The file's name of each parameter of our residual discriminator."""
    names = {f"b{resolutions[-1]}.fromrgb.weight": "convs.0.0.weight", f"b{resolutions[-1]}.fromrgb.bias": "convs.0.1.bias"}
    for i, resolution in enumerate(reversed(resolutions[1:]), start=1):
        names |= {
            f"b{resolution}.conv0.weight": f"convs.{i}.conv1.0.weight",
            f"b{resolution}.conv0.bias": f"convs.{i}.conv1.1.bias",
            f"b{resolution}.conv1.weight": f"convs.{i}.conv2.1.weight",  # conv2.0 is the blur before it
            f"b{resolution}.conv1.bias": f"convs.{i}.conv2.2.bias",
            f"b{resolution}.skip.weight": f"convs.{i}.skip.1.weight",
        }
    names |= {"b4.conv.weight": "final_conv.0.weight", "b4.conv.bias": "final_conv.1.bias"}
    linear = (("fc", "final_linear.0"), ("out", "final_linear.1"))
    return names | {f"b4.{ours}.{part}": f"{theirs}.{part}" for ours, theirs in linear for part in ("weight", "bias")}


def _plan_generator(shapes: Shapes) -> _Plan:
    """A rosinality generator."""
    resolutions = _resolutions(len(_numbers(shapes, "to_rgbs.", ".conv.weight")), "generator")
    layers = len(_numbers(shapes, "style.", ".weight"))
    need(1 <= layers <= 64, f"has {layers} mapping layers; StyleGAN2 has 8")
    widths = {4: _dimension(shapes, "conv1.conv.weight", 5, 1)}
    widths |= {r: _dimension(shapes, f"convs.{2 * k + 1}.conv.weight", 5, 1) for k, r in enumerate(resolutions[1:])}
    settings = {
        "z_dim": _dimension(shapes, "style.1.weight", 2, 1),
        "c_dim": 0,
        "w_dim": _dimension(shapes, f"style.{layers}.weight", 2, 0),
        "img_resolution": resolutions[-1],
        "img_channels": _dimension(shapes, "to_rgb1.conv.weight", 5, 1),
        "mapping_kwargs": {"num_layers": layers},
        "synthesis_kwargs": _channel_rule(widths),
    }
    source = _generator_names(resolutions, layers)
    if not any(name.startswith("noises.") for name in shapes):  # the first versions kept no fixed noise
        source = {ours: theirs for ours, theirs in source.items() if not theirs.startswith("noises.")}
    return _Plan("stylegan2.Generator", settings, source, _our_shapes(shapes, source))


def _plan_discriminator(shapes: Shapes) -> _Plan:
    """A rosinality discriminator."""
    resolutions = _resolutions(len(_numbers(shapes, "convs.", ".conv1.0.weight")), "discriminator")
    widths = {4: _dimension(shapes, "final_conv.0.weight", 4, 0)}
    widths |= {r: _dimension(shapes, f"convs.{i}.conv1.0.weight", 4, 0) for i, r in enumerate(reversed(resolutions[1:]), 1)}
    settings = {
        "c_dim": 0,
        "img_resolution": resolutions[-1],
        "img_channels": _dimension(shapes, "convs.0.0.weight", 4, 1),
        **_channel_rule(widths),
    }
    source = _discriminator_names(resolutions)
    return _Plan("stylegan2.Discriminator", settings, source, _our_shapes(shapes, source))


def _our_shapes(shapes: Shapes, source: dict[str, str]) -> Shapes:
    """The shapes of our tensors, made from the file's by dropping the dimensions of one that only the file has."""
    for theirs in source.values():
        need(theirs in shapes, f"lacks the tensor {theirs}, which a rosinality file of these sizes has")
    left = shapes.keys() - source.values()
    unknown = sorted(name for name in left if not name.endswith(".kernel"))
    need(not unknown, f"has tensors that its StyleGAN2 network does not ({_listed(unknown)})")
    return {ours: _our_shape(ours, shapes[theirs]) for ours, theirs in source.items()}


def _our_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without the dimensions of one that the file has for broadcasting; any other shape as it is, to be refused later."""
    if name.endswith(".noise_strength") and shape == (1,):
        return ()
    if name.endswith(".torgb.bias") and len(shape) == 4 and shape == (1, shape[1], 1, 1):
        return (shape[1],)
    if name.endswith(".noise_const") and len(shape) == 4 and shape[:2] == (1, 1):
        return shape[2:]
    # A modulated convolution's weight and the constant have one leading dimension for the batch.
    batched = len(shape) == 5 or (name.endswith(".const") and len(shape) == 4)
    return shape[1:] if batched and shape[0] == 1 else shape


# ---------------------------------------------------------------- reading


def _recognise(found: object) -> tuple[_Plan | None, _Plan | None]:
    """The plans of the file's G and D; one may be missing. Of rosinality's two generators it is the averaged one."""
    kind = type(found).__name__.lstrip("_")
    need(type(found) is dict, f"holds a {kind} where a dict of weights is expected; {UNDERSTOOD}")
    parts = [name for name in ("g_ema", "g", "d") if _is_state_dict(found.get(name))]
    if parts:
        G = None if parts == ["d"] else _plan_generator(_shapes(found[parts[0]]))._replace(part=parts[0])
        D = _plan_discriminator(_shapes(found["d"]))._replace(part="d") if "d" in parts else None
        return G, D
    plan = (_plan_cyclegan(_shapes(found)) or _plan_dcgan(_shapes(found))) if _is_state_dict(found) else None
    need(plan is not None, f"is a dict with {_listed(found)}, which is no known network; {UNDERSTOOD}")
    return (plan, None) if plan.kind.endswith("Generator") else (None, plan)


def _shapes(weights: dict[str, Weight]) -> Shapes:
    return {ours: weights[theirs].shape for ours, theirs in _unwrapped(weights).items()}


def _load(path: Path, found: dict, *plans: _Plan | None) -> dict:
    """The file's value with its weights, after `_outline` and `_recognise` have found nothing wrong with it."""
    # A Namespace only holds attributes, has no __setstate__, and the outline has seen that none is planted.
    inert = any(type(value) is _Namespace for value in found.values())
    allowed = torch.serialization.safe_globals([argparse.Namespace]) if inert else contextlib.nullcontext()
    try:
        with allowed, open(path, "rb") as file:
            weights = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # of many kinds, over many lines
        raise Refused(f"is damaged: PyTorch refuses it ({type(problem).__name__})") from None
    agree = _agrees(found, weights) and all(_agrees(plan.entry(found), plan.entry(weights)) for plan in plans if plan)
    need(agree, "changed while it was read, or is damaged")
    return weights


def _agrees(outline: dict, loaded: object) -> bool:
    """Whether PyTorch has read the tensors and dicts that the outline showed."""

    def same(told: object, read: object) -> bool:
        if type(told) is Weight:
            return isinstance(read, Tensor) and read.layout is torch.strided and read.shape == told.shape
        return type(told) is not dict or isinstance(read, dict)

    return isinstance(loaded, dict) and all(same(value, loaded.get(name)) for name, value in outline.items())


def _build(plan: _Plan, file: dict) -> nn.Module:
    """The network with the file's weights."""
    weights: dict[str, Tensor] = plan.entry(file)
    names = _unwrapped(weights)
    shapes, made = dict(plan.shapes), {}
    if plan.kind.startswith("stylegan2."):
        made = _filters_and_noise(plan, {name: weights[names[name]] for name in names if name.endswith(".kernel")})
        shapes |= {name: tuple(value.shape) for name, value in made.items()}

    def read(name: str) -> Tensor:
        if name in made:
            return made[name]
        return weights[names[plan.source[name]]].detach().reshape(shapes[name]).clone(memory_format=torch.contiguous_format)

    return rebuild.network(plan.kind, plan.settings, shapes, read)


def _filters_and_noise(plan: _Plan, kernels: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our buffers that the file lacks: the blur filters, w_avg (zero for now) and, from the first versions, the noise."""
    ours = setup_filter([1, 3, 3, 1])  # [4, 4], sums to 1
    for name, kernel in kernels.items():
        # Before up-sampling their filter is multiplied by 4, the number of pixels that each one becomes.
        gain = 4 if ("upsample" in name or "blur" in name) else 1
        same = kernel.shape == ours.shape and torch.allclose(kernel.float() / gain, ours, rtol=0, atol=1e-5)
        need(same, f"has another blur filter than [1, 3, 3, 1] ({shown(name)})")
    with torch.device("meta"):
        expected = rebuild.CLASSES[plan.kind](**plan.settings).state_dict()
    made = {}
    noise = torch.Generator().manual_seed(0)
    for name, like in expected.items():
        if name in plan.source:
            continue
        if name.endswith("resample_filter"):
            made[name] = ours.clone()
        elif name.endswith("noise_const"):
            made[name] = torch.randn(like.shape, generator=noise)
        elif name == "mapping.w_avg":
            made[name] = torch.zeros(like.shape)
    return made


@torch.no_grad()
def _set_w_avg(G: nn.Module, latent_avg: object) -> str:
    """The centre for truncation: the file's, or the mean w of seeded z; returns which."""
    if isinstance(latent_avg, Tensor):
        need(latent_avg.numel() == G.w_dim, f"has a latent_avg of shape {list(latent_avg.shape)} for w of {G.w_dim} values")
        G.mapping.w_avg.copy_(latent_avg.reshape(-1))
        return "from the file"
    z = torch.randn(W_AVG_SAMPLES, G.z_dim, generator=torch.Generator().manual_seed(0))
    total = sum(G.mapping(chunk, None)[:, 0].double().sum(0) for chunk in z.split(1000))  # ws [N, num_ws, w] -> [w]
    G.mapping.w_avg.copy_(total / W_AVG_SAMPLES)
    return f"the mean of {W_AVG_SAMPLES:,} seeded z: the file has no latent_avg"


def _describe(plan: _Plan) -> str:
    settings = plan.settings
    if not plan.kind.startswith("cyclegan."):
        size = settings.get("img_resolution") or settings["image_size"]
        return f"{plan.kind.partition('.')[0]}, {size}x{size}"
    depth = [f"{settings[name]} {name}" for name in ("blocks", "downs", "layers") if name in settings]
    return ", ".join([plan.kind.removeprefix("cyclegan."), *depth, f"width {settings['width']}", f"{settings['norm']} norm"])


def from_torch(path: str | Path) -> tuple[nn.Module, nn.Module | None, dict[str, object]]:
    """The networks of a rosinality StyleGAN2 `.pt`, or the generator of a CycleGAN, pix2pix or DCGAN-tutorial `.pth`.

    Args:
        path: a file written by `torch.save`, of the zip form or the one before PyTorch 1.6.

    Returns:
        G (`g_ema` where there is one, else `g`), D or None, and what is known: "format", "architecture", "licence", and for
        StyleGAN2 "weights" (which of the two G is) and "w_avg" (where the truncation's centre comes from). The networks are
        in evaluation mode, float32, on the CPU, without gradients. Of a U-Net the file does not tell whether it was trained
        with dropout, which only matters for training it further. pix2pix's own test script leaves batch norm and dropout in
        training mode: `G.train()` does what it does.

    Raises:
        InputError: anything else, in one line that says what was found; also a discriminator alone, which makes no pictures.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with pickles.naming(path):
        found = _outline(path)
        G_plan, D_plan = _recognise(found)
        if G_plan is None:
            raise Refused(f"is a discriminator ({_describe(D_plan)}), which makes no pictures: give the generator's file")
        file = _load(path, found, G_plan, D_plan)
        G, D = _build(G_plan, file), None if D_plan is None else _build(D_plan, file)
        info = _info(G_plan)
        if G_plan.part is not None:
            info |= {"weights": G_plan.part, "w_avg": _set_w_avg(G, file.get("latent_avg"))}
            if not any("noise_const" in name for name in G_plan.source):
                info["noise_const"] = "seeded: the file has no fixed noise"
        return G, D, info


def _info(plan: _Plan) -> dict[str, object]:
    name, licence = {
        "stylegan2": ("rosinality StyleGAN2 checkpoint", LICENCE),
        "cyclegan": ("CycleGAN state dict", TERMS),
        "dcgan": ("DCGAN tutorial state dict", TERMS),
    }[plan.kind.partition(".")[0]]
    return {"format": name, "architecture": _describe(plan), "licence": licence}
