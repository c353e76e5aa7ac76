"""The official StyleGAN2-ADA and StyleGAN3 snapshots (`.pkl`), read without running anything that they contain.

Such a file is a pickle, and a pickle is a program: the usual reader calls whatever the file names, and the official one then
runs the Python source that the file carries. Here neither happens: `facegen.models.pickles` interprets the file, its globals
stand for the functions below (`_GLOBALS`), and what comes out are plain values and inert records. Weights stay in the file
until their shapes have been compared with the network that the file describes; only then are their bytes handed, checked, to
`torch.load(weights_only=True)`.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models import pickles, rebuild
from facegen.models.pickles import Machine, Refused, Span, Storage, Weight, expect, need, shown

MAX_BYTES = 2 << 30  # of a file; the largest published snapshot has under 0.4 GB
MAX_STEPS = 500_000  # pickle instructions in all; a snapshot of 1024-pixel networks has about 100,000
MAX_LAYERS = 5_000  # layers and tensors of one network; a snapshot has about 300
MAX_CHILDREN = 200  # of one layer; the synthesis network of StyleGAN3 has 16
MAX_DEPTH = 12  # layers within layers; a snapshot has 5

LICENCE = (
    "the file states none: the weights stay under their authors' terms (those that NVIDIA published are for non-commercial use)"
)
# What a snapshot may contain. AugmentPipe is read for its probability alone.
MODULES = frozenset(
    {
        "Generator",
        "MappingNetwork",
        "SynthesisNetwork",
        "SynthesisBlock",
        "SynthesisInput",
        "SynthesisLayer",
        "ToRGBLayer",
        "FullyConnectedLayer",
        "Conv2dLayer",
        "Discriminator",
        "DiscriminatorBlock",
        "DiscriminatorEpilogue",
        "MinibatchStdLayer",
        "AugmentPipe",
    }
)
# Constructor arguments of the official classes that choose a faster order of the same operations, and no other result.
SPEED_ONLY = frozenset({"fused_modconv_default", "fp16_channels_last", "channels_last", "use_fp16"})
# The order of the arguments that the official classes take by position.
POSITIONAL = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels"),
}
# NumPy's names of number types, and the struct module's: whatever else a dtype can be (objects, records, text) is refused.
NUMBERS = {
    **{"f2": "e", "f4": "f", "f8": "d", "b1": "?"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q"},
    **{"u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}


# ---------------------------------------------------------------- what the file's globals stand for


@dataclass(frozen=True, eq=False, slots=True)
class _Module:
    """A network or a layer: its class's name and its attributes."""

    name: str
    state: dict


@dataclass(eq=False, slots=True)
class _Dtype:
    code: str
    order: str = "<"


@dataclass(frozen=True, eq=False, slots=True)
class _Array:
    """A NumPy array. The official layers keep sizes in some; nothing here needs their values, so none are kept."""


def _module(_: Machine, args: tuple) -> _Module:
    about = args[0] if len(args) == 1 else None
    fits = type(about) is dict and about.get("type") == "class" and type(about.get("state")) is dict
    need(fits, "has a network that is not described as the official code does")
    name = about.get("class_name")
    need(type(name) is str and name in MODULES, f"has a layer of the class {shown(name)}, unknown to StyleGAN2 and 3")
    return _Module(name, about["state"])


def _storage(machine: Machine, args: tuple) -> Storage:
    """The header of a nested torch save, which must be the older form (pickles, then raw numbers) of exactly one storage."""
    span = args[0] if len(args) == 1 else None
    need(type(span) is Span, "has a nested torch save that is not made of bytes")
    end = span.start + span.size
    zipped = machine.data[span.start : min(end, span.start + 2)] == b"PK"
    need(not zipped, "has a zip archive in place of a nested torch save")
    inner = Machine(machine.data, span.start, end, _NESTED, machine.allowance)
    try:
        found, storages = pickles.torch_save(inner, span.size)
    except Refused as problem:
        raise Refused(f"has a nested torch save that {problem}") from None
    need(type(found) is Storage and storages == [found], "has a nested torch save that is not one storage")
    fits = end - inner.pos == 8 + found.size and inner.number(8) == found.numel
    need(fits, f"has a nested torch save that announces {found.numel:,} values, but does not hold them")
    return replace(found, span=span)


def _dtype(_: Machine, args: tuple) -> _Dtype:
    code = args[0] if args else None
    need(type(code) is str and code in NUMBERS, f"has the NumPy dtype {shown(code)}, which is not one of plain numbers")
    return _Dtype(code)


def _dtype_state(_: Machine, target: _Dtype, state: object) -> None:
    fits = type(state) is tuple and len(state) >= 2 and all(part is None for part in state[2:5])
    need(fits and state[1] in ("<", ">", "|", "="), "has a NumPy dtype with fields or without a byte order")
    target.order = state[1]


def _scalar(machine: Machine, args: tuple) -> float | int | bool:
    fits = len(args) == 2 and type(args[0]) is _Dtype and type(args[1]) is Span
    need(fits, "has a NumPy number that is not described as NumPy does")
    dtype, span = args
    layout = (">" if dtype.order == ">" else "<") + NUMBERS[dtype.code]
    need(span.size == struct.calcsize(layout), f"has a NumPy number of {span.size} bytes as {dtype.code}")
    return struct.unpack(layout, machine.data[span.start : span.start + span.size])[0]


def _array(_: Machine, args: tuple) -> _Array:
    """Empty, to be filled by BUILD: protocols 2 to 4."""
    fits = len(args) == 3 and type(args[0]) is pickles.Global and args[0].name == "numpy.ndarray"
    need(fits, "has a NumPy array of an unknown class")
    return _Array()


def _array_state(_: Machine, target: _Array, state: object) -> None:
    need(type(state) is tuple, "has a NumPy array that is not described as NumPy does")


def _array_of_bytes(_: Machine, args: tuple) -> _Array:
    """Whole, (bytes, dtype, ...): protocol 5, the default of Python 3.14."""
    fits = len(args) >= 2 and type(args[0]) is Span and type(args[1]) is _Dtype
    need(fits, "has a NumPy array that is not described as NumPy does")
    return _Array()


_GLOBALS = pickles.TORCH_GLOBALS | pickles.table(
    ("builtins", "set", pickles.text_set),  # protocol 3, Python 3.7's, has no instruction for a set
    ("torch_utils.persistence", "_reconstruct_persistent_obj", _module),
    ("torch.storage", "_load_from_bytes", _storage),
    ("numpy", "dtype", _dtype),
    ("numpy", "ndarray", None),
    *((f"numpy.{core}.multiarray", "scalar", _scalar) for core in ("core", "_core")),  # NumPy 1, NumPy 2
    *((f"numpy.{core}.multiarray", "_reconstruct", _array) for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer", _array_of_bytes) for core in ("core", "_core")),
)
_GLOBALS["dnnlib.util", "EasyDict"] = pickles.Global("dnnlib.util.EasyDict", pickles.ordered, pickles.ordered)
_SNAPSHOT = pickles.Format("StyleGAN snapshot", 5, _GLOBALS, {_Dtype: _dtype_state, _Array: _array_state}, MAX_STEPS)
_NESTED = pickles.Format("StyleGAN snapshot", 2, pickles.STORAGE_GLOBALS, {}, MAX_STEPS)


# ---------------------------------------------------------------- from the records to our networks


def load(path: str | Path) -> tuple[nn.Module, nn.Module | None, dict[str, object]]:
    """The networks of an official snapshot, in evaluation mode, on the CPU, without gradients.

    Args:
        path: a `.pkl` written by StyleGAN2-ADA (PyTorch) or StyleGAN3, of at most `MAX_BYTES`.

    Returns:
        G (the averaged generator `G_ema` where there is one), D or None, and what the file tells: "format", "architecture"
        ("stylegan2", "stylegan3-t" or "stylegan3-r"), "training_set" (a plain dict), "licence" and, where the snapshot was
        trained with adaptive augmentation, its last probability "augment_p".

    Raises:
        InputError: not such a snapshot, damaged, or one that asks for anything that a snapshot does not need.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        if not 0 < size <= MAX_BYTES:
            raise InputError(f"{path} has {size:,} bytes: a StyleGAN snapshot has some, and at most {MAX_BYTES:,}")
        with pickles.naming(path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _networks(data, _tree(data))


def _tree(data: mmap.mmap) -> dict:
    machine = Machine(data, 0, len(data), _SNAPSHOT, pickles.Allowance(len(data), MAX_STEPS))
    if data[:2] == b"PK":
        raise Refused("is a zip archive, not a StyleGAN snapshot")
    tree = machine.run()
    if machine.pos != len(data):
        raise Refused(f"has {len(data) - machine.pos:,} bytes behind its end")
    if type(tree) is not dict or not {"G", "G_ema"} & set(tree):
        raise Refused("is a pickle, but not a StyleGAN snapshot: it has neither G_ema nor G")
    return tree


def _networks(data: mmap.mmap, tree: dict) -> tuple[nn.Module, nn.Module | None, dict[str, object]]:
    part = "G_ema" if tree.get("G_ema") is not None else "G"
    generator = _of_class(tree[part], part, "Generator")
    family, settings = _generator_settings(generator)
    info: dict[str, object] = {"format": "official pickle", "architecture": family, "licence": LICENCE}
    if family == "stylegan3":
        radial = settings.get("use_radial_filters") is True and settings.get("conv_kernel") == 1
        info["architecture"] = "stylegan3-r" if radial else "stylegan3-t"
    info["training_set"] = _plain(tree.get("training_set_kwargs") or {})
    if tree.get("augment_pipe") is not None:
        info |= _augment_probability(data, _of_class(tree["augment_pipe"], "augment_pipe", "AugmentPipe"))
    networks = [(part, f"{family}.Generator", settings, generator)]
    if tree.get("D") is not None:
        discriminator = _of_class(tree["D"], "D", "Discriminator")
        networks.append(("D", "stylegan2.Discriminator", _settings(discriminator), discriminator))
    built = [_network(data, *network) for network in networks]
    return built[0], built[1] if len(built) > 1 else None, info


def _of_class(value: object, part: str, name: str) -> _Module:
    if type(value) is not _Module or value.name != name:
        found = f"the class {value.name}" if type(value) is _Module else "something that is no network"
        raise Refused(f"has {found} as its {part}, where {name} belongs")
    return value


def _network(data: mmap.mmap, part: str, kind: str, settings: dict, module: _Module) -> nn.Module:
    weights = dict(_weights(module))
    shapes = {name: weight.shape for name, weight in weights.items()}
    try:
        return rebuild.network(kind, settings, shapes, lambda name: _read(data, weights[name]))
    except InputError as problem:
        raise InputError(f"{part}: {problem}") from None


def _read(data: mmap.mmap, weight: Weight) -> Tensor:
    """The tensor in memory of its own. PyTorch reads the storage; `_storage` has checked how much it will allocate."""
    span = weight.storage.span
    try:
        found = torch.load(io.BytesIO(data[span.start : span.start + span.size]), map_location="cpu", weights_only=True)
        view = torch.empty(0, dtype=weight.storage.dtype).set_(found, weight.offset, weight.shape, weight.stride)
    except Exception as problem:  # of many kinds, and none of them says more than this
        raise Refused(f"has a nested torch save that PyTorch refuses ({type(problem).__name__})") from None
    return view.clone(memory_format=torch.contiguous_format)


def _weights(network: _Module) -> Iterator[tuple[str, Weight]]:
    """The entries of the state dict, as (name, weight). The file may hold a module within itself: the two counts end that."""
    waiting, seen = [("", network, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        passing = expect(module.state.get("_non_persistent_buffers_set", set()), set, "has a layer without sets of buffers")
        weights = list(_children(module, "_parameters", Weight))
        weights += [(name, weight) for name, weight in _children(module, "_buffers", Weight) if name not in passing]
        layers = list(_children(module, "_modules", _Module))
        seen += len(weights) + len(layers)
        if seen > MAX_LAYERS or depth > MAX_DEPTH:
            raise Refused("has more layers within layers than any StyleGAN network")
        yield from ((prefix + name, weight) for name, weight in weights)
        waiting += [(f"{prefix}{name}.", child, depth + 1) for name, child in layers]


def _children(module: _Module, kind: str, expected: type) -> Iterator[tuple[str, object]]:
    children = module.state.get(kind, {})
    if type(children) is not dict or len(children) > MAX_CHILDREN:
        raise Refused(f"has a {module.name} whose {kind} are not a dict of at most {MAX_CHILDREN}")
    for name, child in children.items():
        if child is None:
            continue
        if type(name) is not str or len(name) > 64 or type(child) is not expected:
            raise Refused(f"has something unexpected among the {kind} of a {module.name}")
        yield name, child


def _settings(module: _Module) -> dict[str, object]:
    """The constructor arguments, by name, without those that only steer the official code's speed."""
    given, named = module.state.get("_init_args", ()), module.state.get("_init_kwargs", {})
    order = POSITIONAL[module.name]
    if type(given) is not tuple or type(named) is not dict or len(given) > len(order):
        raise Refused(f"has a {module.name} without its constructor arguments")
    settings = _plain(dict(zip(order, given)) | named)
    for group in (settings, *(value for value in settings.values() if isinstance(value, dict))):
        for name in SPEED_ONLY & group.keys():
            del group[name]
    return settings


def _generator_settings(module: _Module) -> tuple[str, dict[str, object]]:
    """("stylegan2" or "stylegan3", the arguments of our class of that name)."""
    settings = _settings(module)
    synthesis = dict(_children(module, "_modules", _Module)).get("synthesis")
    layers = dict(_children(synthesis, "_modules", _Module)) if synthesis else {}
    if "input" in layers:
        return "stylegan3", settings
    if "b4" not in layers:
        raise Refused("has a generator with neither synthesis.input (StyleGAN3) nor synthesis.b4 (StyleGAN2)")
    # StyleGAN2 as the StyleGAN3 repository writes it: the arguments of the synthesis network stand beside the others.
    inline = {name: settings.pop(name) for name in list(settings) if name not in POSITIONAL["Generator"]}
    if inline and not settings.get("synthesis_kwargs"):
        settings["synthesis_kwargs"] = inline
    elif inline:
        raise Refused("has a generator whose synthesis arguments stand in two places")
    return "stylegan2", settings


def _augment_probability(data: mmap.mmap, module: _Module) -> dict[str, object]:
    p = dict(_children(module, "_buffers", Weight)).get("p")
    if p is None:
        return {}
    if math.prod(p.shape) != 1 or p.storage.numel != 1:
        raise Refused("has an augment_pipe whose p is not one number")
    return {"augment_p": float(_read(data, p))}


def _plain(value: dict) -> dict[str, object]:
    """A copy of plain values only, tuples as lists, which JSON can hold; as small as settings are."""
    left = 1_000

    def copy(value: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0 or depth > 6:
            raise Refused("has settings that are larger than any StyleGAN snapshot's")
        if type(value) is str and len(value) <= 4_096:
            return value.encode("utf-8", "replace").decode()  # half characters, which pickle allows, cannot be printed
        if value is None or type(value) in (bool, int, float):
            return value
        if type(value) in (list, tuple):
            return [copy(item, depth + 1) for item in value]
        if type(value) is dict and all(type(key) is str for key in value):
            return {copy(key, depth + 1): copy(item, depth + 1) for key, item in value.items()}
        raise Refused("has settings that are not plain numbers and text")

    return copy(value, 0)
