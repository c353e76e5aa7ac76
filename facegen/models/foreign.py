"""Network files of two community projects, `.pt` and `.pth`, read without running anything that they contain.

`from_torch` understands the StyleGAN2 checkpoints of rosinality's stylegan2-pytorch (a dict with `g_ema`, `g`, `d`,
`latent_avg`) and the CycleGAN and pix2pix weights of Zhu and Park's pytorch-CycleGAN-and-pix2pix (`latest_net_G_A.pth`: a
plain state dict). Which network it is, and how large, is read from the names and shapes of its tensors.

The weights come from `torch.load(weights_only=True)` and nothing else. That call runs no code, but a hostile file can
still make it spend hours or all memory, so the file is outlined first (`_outline`): its pickle is walked by a small
interpreter that builds plain dicts of shapes, believes a size only where the file has the bytes, and refuses everything
that these files do not need. A file is refused, in one line, before any of its weights is read.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models import rebuild
from facegen.models.layers import setup_filter
from facegen.models.official import LICENCE, STORAGES

MAX_BYTES = 4 << 30  # of a file; a 1024-pixel StyleGAN2 checkpoint with both optimizers has under 1 GB
MAX_TABLE = 2 << 20  # bytes of the pickles, and of a zip archive's table of contents; the same checkpoint has 0.14 MB
MAX_STEPS = 300_000  # pickle instructions; the same checkpoint has about 40,000
W_AVG_SAMPLES = 10_000

UNDERSTOOD = (
    "understood are rosinality's StyleGAN2 checkpoints (g_ema or g, d, latent_avg) and CycleGAN or pix2pix state dicts "
    "(latest_net_G_A.pth, latest_net_D_A.pth)"
)
# Of any other key (a tuple of tuples of tuples), the hash alone could take for ever.
BAD_KEY = "has a dict with a key that is neither text nor a whole number"
TERMS = "the file states none: the weights stay under their authors' terms, and those of the pictures they learned from"
GLOBALS = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor",  # before PyTorch 0.4
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "argparse Namespace",  # rosinality's `args`; here an empty dict
        *(f"torch {name}" for name in STORAGES),
    }
)
# A torch file before version 1.6: five pickles in a row, the first of them this number, then the raw values.
LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
LEGACY_PROTOCOL = 1001

# The first convolution of a CycleGAN network tells which one it is.
FIRST_WEIGHTS = ("model.1.weight", "model.model.0.weight", "model.0.weight", "net.0.weight")

Shapes = dict[str, tuple[int, ...]]


class _Refused(Exception):
    """What is wrong with the file; the reader puts the file's name in front."""


# ---------------------------------------------------------------- the outline: what is in a file, without its weights


class Claim(NamedTuple):
    """A tensor as the file describes it, known to lie inside the bytes that the file has."""

    dtype: torch.dtype
    shape: tuple[int, ...]


class _Name(str):
    """A global of the closed list, "module name"."""


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str
    numel: int


class _Ordered(dict):
    """Stands for an OrderedDict, the only dict that may be given attributes (`_metadata`, which nobody needs)."""


class _Namespace(dict):
    """Stands for an argparse.Namespace."""


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _Refused(otherwise)


def _shown(text: object) -> str:
    """Text from the file as part of one line that no terminal misunderstands."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text)[:60])


class _Walker:
    """Interprets the pickle instructions that `torch.save` writes, calling nothing: `walk` returns the outline's value.

    Args:
        size: of the file in bytes; all tensors together may claim no more.
        has_bytes: told (key, bytes) of each storage that the pickle mentions; raises `_Refused` if the file lacks them.
        view: whether a storage's id carries a sixth entry, as in files before PyTorch 1.6.
    """

    def __init__(self, size: int, has_bytes: Callable[[str, int], None], view: bool) -> None:
        self.left, self.has_bytes, self.view = size, has_bytes, view
        self.steps = 0  # of all pickles that this walker sees

    def walk(self, stream: io.BytesIO) -> object:
        """The value of the pickle that starts where `stream` stands; afterwards `stream` stands behind it."""
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, object] = {}
        try:
            for code, value, _ in pickletools.genops(stream):
                self.steps += 1
                if self.steps > MAX_STEPS:
                    raise _Refused(f"has more than {MAX_STEPS:,} pickle instructions")
                if code.name == "STOP":
                    break
                if code.name not in _INSTRUCTIONS:
                    raise _Refused(f"uses the pickle instruction {code.name}, which no network file needs")
                _INSTRUCTIONS[code.name](self, value)
            _need(len(self.stack) == 1 and not self.marks, "is damaged: its pickle ends with an unfinished object")
            return self.stack.pop()
        except (IndexError, KeyError):  # an empty stack, or a memo entry that was never stored
            raise _Refused("is damaged: its pickle refers to an object that is not there") from None
        except (ValueError, struct.error):
            raise _Refused("is damaged or cut short: its pickle cannot be read to the end") from None

    def protocol(self, version: int) -> None:
        _need(version == 2, f"has the pickle protocol {version}, where torch files have 2")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def long(self, value: int) -> None:
        # Larger numbers can be chosen so that their hashes collide; as keys of a dict they would cost hours.
        _need(-(1 << 63) <= value < 1 << 63, "holds a whole number of more than 64 bits")
        self.stack.append(value)

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def last(self, count: int) -> tuple:
        return tuple(reversed([self.stack.pop() for _ in range(count)]))

    def append(self, items: list) -> None:
        _need(type(self.stack[-1]) is list, "appends to something that is not a list")
        self.stack[-1].extend(items)

    def set_items(self, items: list) -> None:
        target = self.stack[-1]
        _need(type(target) in (dict, _Ordered), "sets items of something that is not a dict")
        _need(len(items) % 2 == 0, "is damaged: a key without a value")
        for key, value in zip(items[::2], items[1::2]):
            _need(type(key) in (str, int), BAD_KEY)
            target[key] = value

    def find(self, name: str) -> None:
        found = _shown(name.replace(" ", "."))
        _need(name in GLOBALS, f"asks for the global {found}, which no network file needs: refused, nothing in it was run")
        self.stack.append(_Name(name))

    def new(self, _: None) -> None:
        kind, args = self.last(2)
        fits = type(kind) is _Name and kind == "argparse Namespace" and args == ()
        _need(fits, "creates an object of a class that no network file needs")
        self.stack.append(_Namespace())

    def call(self, _: None) -> None:
        function, args = self.last(2)
        _need(type(function) is _Name and type(args) is tuple, "calls something that is not a global")
        if function == "collections OrderedDict":
            self.stack.append(self.ordered(args))
        elif function == "torch._utils _rebuild_parameter":
            _need(len(args) == 3 and type(args[0]) is Claim, "has a parameter that is not a tensor")
            self.stack.append(args[0])
        else:
            _need(function.startswith("torch._utils"), f"calls {function.replace(' ', '.')}, which no network file does")
            self.stack.append(self.tensor(args))

    def ordered(self, args: tuple) -> _Ordered:
        """OrderedDict() and, from Python 2, OrderedDict([[key, value], ...])."""
        pairs = args[0] if args else []
        fits = len(args) <= 1 and type(pairs) is list
        _need(fits and all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs), "has a malformed OrderedDict")
        _need(all(type(key) in (str, int) for key, _ in pairs), BAD_KEY)
        return _Ordered(pairs)

    def tensor(self, args: tuple) -> Claim:
        """(storage, offset, shape, stride, ...), as `torch._utils._rebuild_tensor_v2` is called."""
        _need(len(args) >= 4 and type(args[0]) is _Storage, "has a tensor that is not described as PyTorch does")
        storage, offset, shape, stride = args[:4]
        _need(type(shape) is tuple and type(stride) is tuple and len(shape) == len(stride) <= 8, "has a malformed tensor shape")
        numbers = (offset, *shape, *stride)
        _need(all(type(n) is int and 0 <= n < 1 << 40 for n in numbers), "has a tensor with an impossible shape")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride)) if count else offset - 1
        # More values than the storage has, without leaving it, are the same numbers repeated: small in the file, vast in use.
        _need(
            last < storage.numel and count <= storage.numel,
            f"has a tensor of shape {list(shape)} that needs more than its storage of {storage.numel:,} values",
        )
        self.left -= count * storage.dtype.itemsize
        _need(self.left >= 0, "has tensors that together are larger than the file")
        return Claim(storage.dtype, shape)

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is _Ordered:
            fits = type(state) is dict and set(state) <= {"_metadata"}
            _need(fits, "gives an OrderedDict attributes that no network file needs")
        else:
            _need(type(target) is _Namespace and type(state) is dict, "sets the state of an object that no network file needs")
            # torch would call an attribute __setstate__ that an earlier state has planted.
            fits = all(type(key) is str and not key.startswith("_") for key in state)
            _need(fits, "gives a Namespace attributes that no command line has")

    def storage(self, _: None) -> None:
        """A persistent id: ("storage", type, key, device, numel), and before PyTorch 1.6 None after these."""
        about = self.stack.pop()
        fits = type(about) is tuple and len(about) == (6 if self.view else 5) and about[0] == "storage"
        _need(fits and (not self.view or about[5] is None), "has a persistent id that is not a plain storage")
        kind, key, device, numel = about[1:5]
        _need(type(kind) is _Name and kind.removeprefix("torch ") in STORAGES, "has a storage of an unknown type")
        _need(type(key) is str and type(device) is str, "has a storage without a name")
        _need(type(numel) is int and 0 <= numel < 1 << 40, "has a storage of an impossible size")
        dtype = STORAGES[kind.removeprefix("torch ")]
        self.has_bytes(key, numel * dtype.itemsize)
        self.stack.append(_Storage(dtype, key, numel))


# The instructions that torch.save writes, by their names in `pickletools`, with the value that each one carries.
_INSTRUCTIONS: dict[str, Callable[[_Walker, object], None]] = {
    "PROTO": _Walker.protocol,
    "NONE": lambda w, _: w.push(None),
    "NEWTRUE": lambda w, _: w.push(True),
    "NEWFALSE": lambda w, _: w.push(False),
    "EMPTY_TUPLE": lambda w, _: w.push(()),
    "EMPTY_LIST": lambda w, _: w.push([]),
    "EMPTY_DICT": lambda w, _: w.push({}),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"), _Walker.push),
    "LONG1": _Walker.long,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Walker.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda w, index: w.push(w.memo[index])),
    "MARK": _Walker.mark,
    "TUPLE1": lambda w, _: w.push(w.last(1)),
    "TUPLE2": lambda w, _: w.push(w.last(2)),
    "TUPLE3": lambda w, _: w.push(w.last(3)),
    "TUPLE": lambda w, _: w.push(tuple(w.since_mark())),
    "APPEND": lambda w, _: w.append([w.stack.pop()]),
    "APPENDS": lambda w, _: w.append(w.since_mark()),
    "SETITEM": lambda w, _: w.set_items(list(w.last(2))),
    "SETITEMS": lambda w, _: w.set_items(w.since_mark()),
    "GLOBAL": _Walker.find,
    "REDUCE": _Walker.call,
    "NEWOBJ": _Walker.new,
    "BUILD": _Walker.build,
    "BINPERSID": _Walker.storage,
}


class _SparingFile(io.FileIO):
    """A file for `zipfile`, which reads an archive's whole table of contents at once, however large the file says it is."""

    def read(self, size: int = -1) -> bytes:
        _need(size <= MAX_TABLE, f"is a zip archive with a table of contents of {size:,} bytes")
        return super().read(size)


def _outline_zip(path: Path, size: int) -> object:
    """The outline of a torch file since PyTorch 1.6: a zip archive, uncompressed, with data.pkl and a file per storage."""
    try:
        with _SparingFile(path) as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            sizes = {entry.filename: entry.file_size for entry in entries}
            _need(all(e.compress_type == zipfile.ZIP_STORED for e in entries), "is a zip archive with compressed entries")
            # Entries that overlap are how a small archive unpacks to a large one without compression.
            _need(sum(e.file_size for e in entries) <= size, "is a zip archive whose entries are larger than the file")
            # torch finds entries without regard to case.
            _need(len({name.lower() for name in sizes}) == len(entries), "is a zip archive with two entries of one name")
            pickles = [name for name in sizes if name.count("/") == 1 and name.endswith("/data.pkl")]
            _need(len(pickles) == 1, f"is a zip archive, but not a torch file (it has {_listed(sizes)})")
            folder = pickles[0].removesuffix("data.pkl")
            _need(all(name.startswith(folder) for name in sizes), "is a zip archive with entries outside its folder")
            script = f"{folder}constants.pkl" in sizes
            _need(not script, "is a TorchScript program, not weights: save the model's state_dict() instead")
            _need(sizes[pickles[0]] <= MAX_TABLE, f"has a data.pkl of {sizes[pickles[0]]:,} bytes, more than {MAX_TABLE:,}")
            stream = io.BytesIO(archive.read(pickles[0]))
    except _Refused:
        raise
    except Exception as problem:  # zipfile's are of many kinds: damaged numbers send it to places before or behind the file
        raise _Refused(f"is a damaged or cut zip archive ({_shown(problem)})") from None

    def has_bytes(key: str, needed: int) -> None:
        found = sizes.get(f"{folder}data/{key}")
        _need(found == needed, f"announces {needed:,} bytes for its storage {_shown(key)}, but holds {found or 0:,}")

    return _Walker(size, has_bytes, view=False).walk(stream)


def _outline_legacy(path: Path, size: int) -> object:
    """The outline of a torch file before PyTorch 1.6."""
    with open(path, "rb") as file:
        stream = io.BytesIO(file.read(MAX_TABLE))
    stream.seek(len(LEGACY_MAGIC))
    storages: dict[str, int] = {}

    def has_bytes(key: str, needed: int) -> None:
        _need(needed <= size, f"announces {needed:,} bytes for its storage {_shown(key)}, but has {size:,} in all")
        _need(storages.setdefault(key, needed) == needed, f"announces two sizes for its storage {_shown(key)}")

    walker = _Walker(size, has_bytes, view=True)
    protocol, system = walker.walk(stream), walker.walk(stream)
    _need(protocol == LEGACY_PROTOCOL and type(system) is dict, "is a torch file of an unknown form")
    _need(system.get("little_endian") is True, "was written on a big-endian machine")
    found = walker.walk(stream)
    keys = walker.walk(stream)
    listed = type(keys) is list and all(type(key) is str for key in keys) and len(keys) == len(storages) == len(set(keys))
    _need(listed and set(keys) == set(storages), "is damaged: its storages are not those that it lists")
    # Behind the pickles: for each storage its length, 8 bytes, and its values.
    needed = stream.tell() + sum(8 + n for n in storages.values())
    _need(needed <= size, f"is cut short: it needs {needed:,} bytes and has {size:,}")
    return found


def _outline(path: Path) -> object:
    """What a `torch.save` file holds, without its weights: plain dicts, lists and numbers, and a `Claim` for each tensor.

    No memory is taken for any tensor, and every claim has been found to lie inside the file.

    Raises:
        _Refused: not a torch file, damaged, or one that asks for anything that weights do not need.
    """
    _need(path.is_file(), "is not there: no such network file")
    with open(path, "rb") as file:
        start = file.read(len(LEGACY_MAGIC))
        size = file.seek(0, io.SEEK_END)
    _need(size <= MAX_BYTES, f"has {size:,} bytes; a network file has at most {MAX_BYTES:,}")
    if start.startswith(b"PK\x03\x04"):
        return _outline_zip(path, size)
    _need(start == LEGACY_MAGIC, "is not a file that torch.save wrote (neither a zip archive nor the older form)")
    return _outline_legacy(path, size)


def _load(path: Path, found: object) -> object:
    """The file's value with its weights, after `_outline` has found nothing wrong with it."""
    # A Namespace only holds attributes, has no __setstate__, and the outline has seen that none is planted.
    inert = isinstance(found, dict) and any(type(value) is _Namespace for value in found.values())
    allowed = torch.serialization.safe_globals([argparse.Namespace]) if inert else contextlib.nullcontext()
    try:
        with allowed, open(path, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # of many kinds, over many lines
        raise _Refused(f"is damaged: PyTorch refuses it ({type(problem).__name__})") from None


# ---------------------------------------------------------------- from names and shapes to a network


class _Plan(NamedTuple):
    """One network of a file: our class and arguments, and for each of our tensors the file's.

    `source` maps our name to the file's, with their shapes known to agree up to dimensions of one.
    """

    kind: str
    settings: dict[str, object]
    source: dict[str, str]
    shapes: Shapes  # of our tensors, as the file's sizes make them


def _listed(keys: object) -> str:
    names = [_shown(key) for key in list(keys)[:4]]
    return ", ".join(names) + (", ..." if len(keys) > 4 else "") if names else "nothing"


def _claims(value: object) -> dict[str, Claim] | None:
    """`value` as a state dict, or None if it is none."""
    fits = isinstance(value, dict) and value and all(type(k) is str and type(v) is Claim for k, v in value.items())
    return dict(value) if fits else None


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


def _channel_rule(widths: dict[int, int]) -> dict[str, int]:
    """channel_base and channel_max with min(channel_base // resolution, channel_max) equal to each given width.

    Raises:
        _Refused: there is no such pair.
    """
    most = max(widths.values())
    # A layer below the maximum pins the base to an interval; one at the maximum gives it a least value.
    low = max(width * resolution for resolution, width in widths.items())
    high = min(((width + 1) * r - 1 for r, width in widths.items() if width < most), default=low)
    found = ", ".join(f"{width} at {resolution}" for resolution, width in widths.items())
    _need(low <= high, f"has layers of widths ({found}) that no pair of channel_base and channel_max gives")
    return {"channel_base": low, "channel_max": most}


def _resolutions(levels: int, what: str) -> list[int]:
    _need(1 <= levels <= 9, f"has {levels} resolutions above 4x4 in its {what}; StyleGAN2 has 1 to 9")
    return [4 * 2**k for k in range(levels + 1)]


def _dimension(shapes: Shapes, name: str, dims: int, axis: int) -> int:
    shape = shapes.get(name)
    _need(shape is not None and len(shape) == dims, f"lacks a {name} of {dims} dimensions, which a rosinality file has")
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
    """A rosinality generator.

    Raises:
        _Refused: names or shapes that no generator of ours has.
    """
    resolutions = _resolutions(len(_numbers(shapes, "to_rgbs.", ".conv.weight")), "generator")
    layers = len(_numbers(shapes, "style.", ".weight"))
    _need(1 <= layers <= 64, f"has {layers} mapping layers; StyleGAN2 has 8")
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
    """A rosinality discriminator.

    Raises:
        _Refused: names or shapes that no discriminator of ours has.
    """
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
    """The shapes of our tensors, made from the file's by dropping the dimensions of one that only the file has.

    Raises:
        _Refused: a tensor is missing, or one is left over that is not a blur kernel.
    """
    for theirs in source.values():
        _need(theirs in shapes, f"lacks the tensor {theirs}, which a rosinality file of these sizes has")
    left = shapes.keys() - source.values()
    unknown = sorted(name for name in left if not name.endswith(".kernel"))
    _need(not unknown, f"has tensors that its StyleGAN2 network does not ({_listed(unknown)})")
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


class _File(NamedTuple):
    """What `_recognise` finds: each network's plan with the state dict that its tensors are in (None: the file itself)."""

    family: str  # "rosinality" or "cyclegan"
    G: tuple[_Plan, str | None] | None
    D: tuple[_Plan, str | None] | None


def _recognise(found: object) -> _File:
    _need(isinstance(found, dict), f"holds a {type(found).__name__} where a dict of weights is expected; {UNDERSTOOD}")
    parts = {part: _claims(found.get(part)) for part in ("g_ema", "g", "d")}
    if any(parts.values()):
        name = "g_ema" if parts["g_ema"] else "g"
        nets = [(part, plan) for part, plan in ((name, _plan_generator), ("d", _plan_discriminator)) if parts[part]]
        plans = {part: (plan(_shapes(parts[part])), part) for part, plan in nets}
        return _File("rosinality", plans.get(name), plans.get("d"))
    flat = _claims(found)
    plan = _plan_cyclegan(_shapes(flat)) if flat else None
    _need(plan is not None, f"is a dict with {_listed(found)}, which is no known network; {UNDERSTOOD}")
    generates = plan.kind.endswith("Generator")
    return _File("cyclegan", (plan, None) if generates else None, None if generates else (plan, None))


def _shapes(claims: dict[str, Claim]) -> Shapes:
    return {ours: claims[theirs].shape for ours, theirs in _unwrapped(claims).items()}


def _build(plan: _Plan, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with the file's weights."""
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
    """Our buffers that the file lacks: the blur filters, w_avg (zero for now) and, from the first versions, the noise.

    Raises:
        _Refused: the file has another blur filter than ours.
    """
    ours = setup_filter([1, 3, 3, 1])  # [4, 4], sums to 1
    for name, kernel in kernels.items():
        # Before up-sampling their filter is multiplied by 4, the number of pixels that each one becomes.
        gain = 4 if ("upsample" in name or "blur" in name) else 1
        same = kernel.shape == ours.shape and torch.allclose(kernel.float() / gain, ours, rtol=0, atol=1e-5)
        _need(same, f"has another blur filter than [1, 3, 3, 1] ({_shown(name)})")
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
        _need(latent_avg.numel() == G.w_dim, f"has a latent_avg of shape {list(latent_avg.shape)} for w of {G.w_dim} values")
        G.mapping.w_avg.copy_(latent_avg.reshape(-1))
        return "from the file"
    z = torch.randn(W_AVG_SAMPLES, G.z_dim, generator=torch.Generator().manual_seed(0))
    total = sum(G.mapping(chunk, None)[:, 0].double().sum(0) for chunk in z.split(1000))  # ws [N, num_ws, w] -> [w]
    G.mapping.w_avg.copy_(total / W_AVG_SAMPLES)
    return f"the mean of {W_AVG_SAMPLES:,} seeded z: the file has no latent_avg"


def _describe(plan: _Plan) -> str:
    settings = plan.settings
    if plan.kind.startswith("stylegan2."):
        return f"stylegan2, {settings['img_resolution']}x{settings['img_resolution']}"
    depth = [f"{settings[name]} {name}" for name in ("blocks", "downs", "layers") if name in settings]
    return ", ".join([plan.kind.removeprefix("cyclegan."), *depth, f"width {settings['width']}", f"{settings['norm']} norm"])


def from_torch(path: str | Path) -> tuple[nn.Module, nn.Module | None, dict[str, object]]:
    """The networks of a rosinality StyleGAN2 `.pt` or a CycleGAN/pix2pix generator `.pth`.

    Args:
        path: a file written by `torch.save`, of the zip form or the one before PyTorch 1.6.

    Returns:
        G (`g_ema` where there is one, else `g`), D or None, and what is known: "format", "architecture", "licence", and for
        StyleGAN2 "weights" (which of the two G is) and "w_avg" (where the truncation's centre comes from). The networks are
        in evaluation mode, float32, on the CPU, without gradients. Of a U-Net the file does not tell whether it was trained
        with dropout, which only matters for training it further. pix2pix's own test script leaves batch norm and dropout in
        training mode: `G.train()` does what it does.

    Raises:
        InputError: anything else, in one line that says what was found; a discriminator alone is refused here and read by
            `discriminator_from_torch`.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with _naming(path):
        file, weights = _recognised_and_loaded(path, needs_generator=True)
        plan, part = file.G
        G = _build(plan, weights if part is None else weights[part])
        D = None if file.D is None else _build(file.D[0], weights[file.D[1]])
        info = _info(file.family, plan)
        if file.family == "rosinality":
            info |= {"weights": part, "w_avg": _set_w_avg(G, weights.get("latent_avg"))}
            if not any("noise_const" in name for name in plan.source):
                info["noise_const"] = "seeded: the file has no fixed noise"
        return G, D, info


def discriminator_from_torch(path: str | Path) -> tuple[nn.Module, dict[str, object]]:
    """The discriminator of a file that `from_torch` understands, or of one that holds nothing else (`latest_net_D_A.pth`).

    Returns:
        D, in evaluation mode, float32, on the CPU, without gradients, and the info of `from_torch`.

    Raises:
        InputError: anything else, or a file without a discriminator.
        OSError: the file cannot be read.
    """
    path = Path(path)
    with _naming(path):
        file, weights = _recognised_and_loaded(path, needs_generator=False)
        plan, part = file.D
        return _build(plan, weights if part is None else weights[part]), _info(file.family, plan)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of a refusal."""
    try:
        yield
    except _Refused as problem:
        raise InputError(f"{path} {problem}") from None
    except InputError as problem:  # of the networks, which do not know the file
        raise InputError(f"{path}: {problem}") from None


def _info(family: str, plan: _Plan) -> dict[str, object]:
    name, licence = {
        "rosinality": ("rosinality StyleGAN2 checkpoint", LICENCE),
        "cyclegan": ("CycleGAN state dict", TERMS),
    }[family]
    return {"format": name, "architecture": _describe(plan), "licence": licence}


def _recognised_and_loaded(path: Path, needs_generator: bool) -> tuple[_File, dict]:
    found = _outline(path)
    file = _recognise(found)
    if needs_generator and file.G is None:
        how = "read it with facegen.models.foreign.discriminator_from_torch"
        raise _Refused(f"is a discriminator ({_describe(file.D[0])}), which makes no pictures ({how})")
    if not needs_generator and file.D is None:
        raise _Refused(f"holds a generator ({_describe(file.G[0])}) and no discriminator")
    weights = _load(path, found)
    used = [net[1] for net in (file.G, file.D) if net is not None and net[1] is not None]
    agree = _agrees(found, weights) and all(part in weights and _agrees(found[part], weights[part]) for part in used)
    _need(agree, "changed while it was read, or is damaged")
    return file, weights


def _agrees(claims: dict, loaded: object) -> bool:
    """Whether PyTorch has read the tensors that the outline showed."""
    return isinstance(loaded, dict) and all(
        isinstance(loaded.get(name), Tensor) and loaded[name].layout is torch.strided and loaded[name].shape == claim.shape
        for name, claim in claims.items()
        if type(claim) is Claim
    )
