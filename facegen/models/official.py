"""The official StyleGAN2-ADA and StyleGAN3 snapshots (`.pkl`), read without running anything that they contain.

Such a file is a pickle, and a pickle is a program: the usual reader calls whatever the file names, and the official one then
runs the Python source that the file carries. Here neither happens. `_Machine` is a small interpreter of our own for the few
pickle instructions that a snapshot needs. It looks nothing up and calls nothing of Python's, NumPy's or PyTorch's: a global
in the file picks an entry of a closed table, or the file is refused, and all that it builds are plain dicts, lists, numbers,
strings and the inert records below. Weights stay in the file until their shapes have been compared with the network that the
file describes; only then are their bytes handed, checked, to `torch.load(weights_only=True)`.

The sizes that a file announces are believed only as far as the file has the bytes, and the work is counted, so a hostile file
costs little time and memory before it is refused.
"""

from __future__ import annotations

import io
import math
import mmap
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.models import rebuild

MAX_BYTES = 2 << 30  # of a file; the largest published snapshot has under 0.4 GB
MAX_STEPS = 500_000  # pickle instructions in all; a snapshot of 1024-pixel networks has about 100,000
MAX_TEXT = 64 << 20  # characters in all; each kind of module carries its source, 37,000 characters, once
MAX_STRING = 4 << 20
MAX_MARKS = 200  # containers open at once; a snapshot needs about 30
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
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# NumPy's names of number types, and the struct module's: whatever else a dtype can be (objects, records, text) is refused.
NUMBERS = {
    **{"f2": "e", "f4": "f", "f8": "d", "b1": "?"},
    **{"i1": "b", "i2": "h", "i4": "i", "i8": "q"},
    **{"u1": "B", "u2": "H", "u4": "I", "u8": "Q"},
}
TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what a torch file of the older form begins with


class _Refused(Exception):
    """What is wrong with the file; `load` puts the file's name in front."""


# ---------------------------------------------------------------- the records that stand in for the file's objects


@dataclass(frozen=True, eq=False, slots=True)
class _Span:
    """Bytes that stay in the file."""

    start: int
    size: int


@dataclass(frozen=True, eq=False, slots=True)
class _Storage:
    """A torch storage that stays in the file: `span` is a whole nested torch save whose header has been checked."""

    span: _Span
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True, eq=False, slots=True)
class _Weight:
    """A tensor: a view that is known to lie inside its storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


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


@dataclass(frozen=True, eq=False, slots=True)
class _StorageId:
    """What the persistent id inside a nested torch save says."""

    dtype: torch.dtype
    key: str
    numel: int


@dataclass(frozen=True, eq=False, slots=True)
class _Global:
    """A name from the closed table, with what a call of it yields here (None: it is never called)."""

    name: str
    make: Callable[[_Machine, tuple], object] | None


@dataclass
class _Allowance:
    """What is left to spend on one file."""

    bytes: int  # that tensors may claim together: no more than the file has
    steps: int = MAX_STEPS
    text: int = MAX_TEXT


# ---------------------------------------------------------------- the interpreter


@dataclass
class _Machine:
    """Interprets one pickle in `data[pos:end]`; afterwards `pos` stands behind it."""

    data: mmap.mmap
    pos: int
    end: int
    allowance: _Allowance
    known: dict[tuple[str, str], _Global]
    newest: int = 5  # pickle protocol
    ids: bool = False  # whether a persistent id may occur: inside a nested torch save it names the storage
    stack: list = field(default_factory=list)
    marks: list[list] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def run(self) -> object:
        """The value that the pickle leaves.

        Raises:
            _Refused: anything but a complete pickle of what is allowed.
        """
        try:
            while (code := self.byte()) != _STOP:
                self.allowance.steps -= 1
                if self.allowance.steps < 0:
                    raise _Refused(f"has more than {MAX_STEPS:,} pickle instructions, far more than any StyleGAN snapshot")
                if code not in _INSTRUCTIONS:
                    raise _Refused(f"uses the pickle instruction {_instruction(code)}, which no StyleGAN snapshot needs")
                _INSTRUCTIONS[code](self)
            if self.marks or len(self.stack) != 1:
                raise _Refused("is damaged: its pickle ends with an unfinished object")
            return self.stack.pop()
        except (IndexError, KeyError):  # an empty stack, or a memo entry that was never stored
            raise _Refused("is damaged: its pickle refers to an object that is not there") from None

    def fresh(self, ids: bool = False) -> _Machine:
        """Ready for the next of several pickles in a row."""
        self.ids, self.stack, self.marks, self.memo = ids, [], [], {}
        return self

    # reading

    def take(self, size: int) -> int:
        """Where the next `size` bytes start."""
        start = self.pos
        if size > self.end - start:
            raise _Refused("is cut short or damaged: it announces more bytes than it has")
        self.pos = start + size
        return start

    def byte(self) -> int:
        return self.data[self.take(1)]

    def number(self, size: int, signed: bool = False) -> int:
        start = self.take(size)
        return int.from_bytes(self.data[start : start + size], "little", signed=signed)

    def text(self, size: int) -> str:
        self.allowance.text -= size
        if size > MAX_STRING or self.allowance.text < 0:
            raise _Refused("has more text than any StyleGAN snapshot")
        start = self.take(size)
        return self.data[start : start + size].decode("utf-8", "replace")

    def line(self) -> str:
        stop = self.data.find(b"\n", self.pos, min(self.end, self.pos + 256))
        if stop < 0:
            raise _Refused("is damaged: it has a name without an end")
        line = self.text(stop - self.pos)
        self.take(1)
        return line

    # building

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self, kind: type, what: str) -> object:
        return _expect(self.stack.pop(), kind, what)

    def mark(self) -> None:
        if len(self.marks) >= MAX_MARKS:
            raise _Refused(f"nests objects more than {MAX_MARKS} deep")
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def last(self, count: int) -> tuple:
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def protocol(self) -> None:
        if not 2 <= (version := self.byte()) <= self.newest:
            raise _Refused(f"has the pickle protocol {version}; known are those from 2 to {self.newest}")

    def frame(self) -> None:
        # A frame only tells a streaming reader how much to fetch at once.
        if self.number(8) > self.end - self.pos:
            raise _Refused("is cut short or damaged: it announces more bytes than it has")

    def long(self) -> None:
        if (size := self.byte()) > 10:  # enough for 64 bits, and for torch's magic number
            raise _Refused(f"holds a whole number of {size} bytes")
        self.push(self.number(size, signed=True))

    def real(self) -> None:
        start = self.take(8)
        self.push(struct.unpack(">d", self.data[start : start + 8])[0])

    def span(self, size: int) -> None:
        self.push(_Span(self.take(size), size))

    def store(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, items: list) -> None:
        _expect(self.stack[-1], list, "appends to something that is not a list").extend(items)

    def set_items(self, items: list) -> None:
        target = _expect(self.stack[-1], dict, "sets items of something that is not a dict")
        if len(items) % 2:
            raise _Refused("is damaged: a key without a value")
        for key, value in zip(items[::2], items[1::2]):
            if type(key) not in (str, int):  # nothing whose hash can be made slow or deep
                raise _Refused("has a dict with a key that is neither text nor a whole number")
            target[key] = value

    def add(self) -> None:
        items = self.since_mark()
        _expect(self.stack[-1], set, "adds to something that is not a set").update(_names(items))

    def find(self, module: str, name: str) -> None:
        self.allowance.steps -= 4  # it takes as long; a pickler writes each name once
        if module.startswith("dnnlib.tflib"):
            raise _Refused("is a network of a TensorFlow StyleGAN, which cannot be read here")
        if (module, name) not in self.known:
            found = _shown(f"{module}.{name}")
            raise _Refused(f"asks for the global {found}, which no StyleGAN snapshot needs")
        self.push(self.known[module, name])

    def find_on_stack(self) -> None:
        name = self.pop(str, "names a global by something that is not text")
        self.find(self.pop(str, "names a global by something that is not text"), name)

    def find_in_lines(self) -> None:
        module = self.line()
        self.find(module, self.line())

    def call(self) -> None:
        args = self.pop(tuple, "calls a global without a tuple of arguments")
        what = self.pop(_Global, "calls something that is not a global")
        if what.make is None:
            raise _Refused(f"calls {what.name}, which no StyleGAN snapshot does")
        self.push(what.make(self, args))

    def new(self) -> None:
        if type(self.stack[-2]) is not _Global or self.stack[-2].name not in _EMPTY_DICTS:
            raise _Refused("creates an object of a class that no StyleGAN snapshot needs")
        self.call()

    def build(self) -> None:
        """NumPy's two: the byte order of a dtype, and the contents of an array. Nothing else is ever given a state."""
        state = self.pop(tuple, "sets the state of an object by something that is not a tuple")
        target = self.stack[-1]
        if type(target) is _Dtype:
            if len(state) < 2 or state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
                raise _Refused("has a NumPy dtype with fields or without a byte order")
            target.order = state[1]
        elif type(target) is not _Array:
            raise _Refused("sets the state of an object that is not NumPy's")

    def persistent(self) -> None:
        parts = self.pop(tuple, "has a persistent id that is not a tuple")
        if not self.ids or len(parts) != 6 or parts[0] != "storage" or parts[5] is not None:
            raise _Refused("has a persistent id, which no StyleGAN snapshot needs")
        _, kind, key, location, numel, _ = parts
        if type(kind) is not _Global or type(key) is not str or type(location) is not str or type(numel) is not int:
            raise _Refused("has a nested torch save that does not describe a storage")
        self.push(_StorageId(STORAGES[kind.name.removeprefix("torch.")], key, numel))


def _expect(value: object, kind: type, otherwise: str) -> object:
    # The exact type: none of the records is to pass for a tuple or a dict.
    if type(value) is not kind:
        raise _Refused(otherwise)
    return value


def _names(values: object) -> list[str]:
    if type(values) is not list or any(type(value) is not str for value in values):
        raise _Refused("has a set of something other than text")
    return values


def _shown(text: object) -> str:
    return rebuild.one_line(text, 80) if type(text) is str else "?"


def _instruction(code: int) -> str:
    import pickletools

    known = pickletools.code2op.get(chr(code))
    return f"{known.name} (byte {code})" if known else f"of byte {code}"


_STOP = ord(".")
# The instructions that Python's pickler writes for a snapshot with protocol 2 to 5; a snapshot has no use for the others.
_INSTRUCTIONS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x95: _Machine.frame,
    ord("("): _Machine.mark,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.byte()),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("J"): lambda m: m.push(m.number(4, signed=True)),
    0x8A: _Machine.long,
    ord("G"): _Machine.real,
    0x8C: lambda m: m.push(m.text(m.byte())),
    ord("X"): lambda m: m.push(m.text(m.number(4))),
    0x8D: lambda m: m.push(m.text(m.number(8))),
    ord("C"): lambda m: m.span(m.byte()),
    ord("B"): lambda m: m.span(m.number(4)),
    0x8E: lambda m: m.span(m.number(8)),
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.push(m.last(1)),
    0x86: lambda m: m.push(m.last(2)),
    0x87: lambda m: m.push(m.last(3)),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.extend([m.stack.pop()]),
    ord("e"): lambda m: m.extend(m.since_mark()),
    ord("}"): lambda m: m.push({}),
    ord("s"): lambda m: m.set_items(list(m.last(2))),
    ord("u"): lambda m: m.set_items(m.since_mark()),
    0x8F: lambda m: m.push(set()),
    0x90: _Machine.add,
    ord("q"): lambda m: m.store(m.byte()),
    ord("r"): lambda m: m.store(m.number(4)),
    0x94: lambda m: m.store(len(m.memo)),
    ord("h"): lambda m: m.push(m.memo[m.byte()]),
    ord("j"): lambda m: m.push(m.memo[m.number(4)]),
    ord("c"): _Machine.find_in_lines,
    0x93: _Machine.find_on_stack,
    ord("R"): _Machine.call,
    0x81: _Machine.new,
    ord("b"): _Machine.build,
    ord("Q"): _Machine.persistent,
}


# ---------------------------------------------------------------- what a call of each allowed global yields


def _empty_dict(_: _Machine, args: tuple) -> dict:
    if args:
        raise _Refused("fills an OrderedDict or EasyDict through its constructor")
    return {}


def _set(_: _Machine, args: tuple) -> set:
    if len(args) != 1:
        raise _Refused("builds a set from something other than a list")
    return set(_names(args[0]))


def _module(_: _Machine, args: tuple) -> _Module:
    about = args[0] if len(args) == 1 else None
    if type(about) is not dict or about.get("type") != "class" or type(about.get("state")) is not dict:
        raise _Refused("has a network that is not described as the official code does")
    name = about.get("class_name")
    if type(name) is not str or name not in MODULES:
        raise _Refused(f"has a layer of the class {_shown(name)}, unknown to StyleGAN2 and 3")
    return _Module(name, about["state"])


def _storage(machine: _Machine, args: tuple) -> _Storage:
    """The header of a nested torch save, which must be the older form (pickles, then raw numbers) of exactly one storage."""
    span = args[0] if len(args) == 1 else None
    if type(span) is not _Span:
        raise _Refused("has a nested torch save that is not made of bytes")
    end = span.start + span.size
    if machine.data[span.start : min(end, span.start + 2)] == b"PK":
        raise _Refused("has a zip archive in place of a nested torch save")
    inner = _Machine(machine.data, span.start, end, machine.allowance, _STORAGE_GLOBALS, newest=2)  # as torch writes
    try:
        magic, protocol, system = (inner.fresh().run() for _ in range(3))
        found = inner.fresh(ids=True).run()
        keys = inner.fresh().run()
    except _Refused as problem:
        raise _Refused(f"has a nested torch save that {problem}") from None
    if magic != TORCH_MAGIC or protocol != TORCH_PROTOCOL or type(system) is not dict:
        raise _Refused("has a nested torch save of an unknown form")
    if system.get("little_endian") is not True or type(found) is not _StorageId or keys != [found.key]:
        raise _Refused("has a nested torch save that is not one storage of a little-endian machine")
    size = 8 + found.numel * found.dtype.itemsize
    if found.numel < 0 or end - inner.pos != size or inner.number(8) != found.numel:
        raise _Refused(f"has a nested torch save that announces {found.numel:,} values, but does not hold them")
    return _Storage(span, found.dtype, found.numel)


def _weight(machine: _Machine, args: tuple) -> _Weight:
    """A tensor, as `torch._utils._rebuild_tensor_v2` is called: (storage, offset, size, stride, requires_grad, hooks)."""
    if len(args) not in (6, 7) or type(args[0]) is not _Storage or type(args[2]) is not tuple or type(args[3]) is not tuple:
        raise _Refused("has a tensor that is not described as PyTorch does")
    storage, offset, shape, stride = args[:4]
    numbers = (offset, *shape, *stride)
    if len(shape) != len(stride) or len(shape) > 8 or any(type(n) is not int or not 0 <= n < 1 << 40 for n in numbers):
        raise _Refused("has a tensor with an impossible shape")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride)) if count else offset - 1
    # More values than the storage has, without leaving it, are the same numbers repeated: small in the file, vast in use.
    if last >= storage.numel or count > storage.numel:
        raise _Refused(f"has a tensor of shape {list(shape)} that reaches beyond its storage of {storage.numel:,} values")
    machine.allowance.bytes -= count * storage.dtype.itemsize
    if machine.allowance.bytes < 0:
        raise _Refused("has tensors that together are larger than the file")
    return _Weight(storage, offset, shape, stride)


def _parameter(_: _Machine, args: tuple) -> _Weight:
    if len(args) != 3 or type(args[0]) is not _Weight:
        raise _Refused("has a parameter that is not a tensor")
    return args[0]


def _dtype(_: _Machine, args: tuple) -> _Dtype:
    code = args[0] if args else None
    if type(code) is not str or code not in NUMBERS:
        raise _Refused(f"has the NumPy dtype {_shown(code)}, which is not one of plain numbers")
    return _Dtype(code)


def _scalar(machine: _Machine, args: tuple) -> float | int | bool:
    if len(args) != 2 or type(args[0]) is not _Dtype or type(args[1]) is not _Span:
        raise _Refused("has a NumPy number that is not described as NumPy does")
    dtype, span = args
    layout = (">" if dtype.order == ">" else "<") + NUMBERS[dtype.code]
    if span.size != struct.calcsize(layout):
        raise _Refused(f"has a NumPy number of {span.size} bytes as {dtype.code}")
    return struct.unpack(layout, machine.data[span.start : span.start + span.size])[0]


def _array(_: _Machine, args: tuple) -> _Array:
    if len(args) != 3 or type(args[0]) is not _Global or args[0].name != "numpy.ndarray":
        raise _Refused("has a NumPy array of an unknown class")
    return _Array()


def _table(*globals_: tuple[str, str, Callable | None]) -> dict[tuple[str, str], _Global]:
    return {(module, name): _Global(f"{module}.{name}", make) for module, name, make in globals_}


_EMPTY_DICTS = frozenset({"collections.OrderedDict", "dnnlib.util.EasyDict"})
_GLOBALS = _table(
    ("collections", "OrderedDict", _empty_dict),
    ("dnnlib.util", "EasyDict", _empty_dict),
    ("builtins", "set", _set),  # protocol 3, Python 3.7's, has no instruction for a set
    ("torch_utils.persistence", "_reconstruct_persistent_obj", _module),
    ("torch._utils", "_rebuild_parameter", _parameter),
    ("torch._utils", "_rebuild_tensor_v2", _weight),
    ("torch.storage", "_load_from_bytes", _storage),
    ("numpy", "dtype", _dtype),
    ("numpy", "ndarray", None),
    ("numpy.core.multiarray", "scalar", _scalar),
    ("numpy.core.multiarray", "_reconstruct", _array),
    ("numpy._core.multiarray", "scalar", _scalar),  # where NumPy 2 keeps them
    ("numpy._core.multiarray", "_reconstruct", _array),
)
_STORAGE_GLOBALS = _table(*(("torch", name, None) for name in STORAGES))


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
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _networks(data, _tree(data))
            except _Refused as problem:
                raise InputError(f"{path} {problem}: refused, nothing in it was run") from None
            except InputError as problem:  # of the networks, which do not know the file
                raise InputError(f"{path}: {problem}") from None


def _tree(data: mmap.mmap) -> dict:
    machine = _Machine(data, 0, len(data), _Allowance(len(data)), _GLOBALS)
    if data[:2] == b"PK":
        raise _Refused("is a zip archive, not a StyleGAN snapshot")
    tree = machine.run()
    if machine.pos != len(data):
        raise _Refused(f"has {len(data) - machine.pos:,} bytes behind its end")
    if type(tree) is not dict or not {"G", "G_ema"} & set(tree):
        raise _Refused("is a pickle, but not a StyleGAN snapshot: it has neither G_ema nor G")
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
        raise _Refused(f"has {found} as its {part}, where {name} belongs")
    return value


def _network(data: mmap.mmap, part: str, kind: str, settings: dict, module: _Module) -> nn.Module:
    weights = dict(_weights(module))
    shapes = {name: weight.shape for name, weight in weights.items()}
    try:
        return rebuild.network(kind, settings, shapes, lambda name: _read(data, weights[name]))
    except InputError as problem:
        raise InputError(f"{part}: {problem}") from None


def _read(data: mmap.mmap, weight: _Weight) -> Tensor:
    """The tensor in memory of its own. PyTorch reads the storage; `_storage` has checked how much it will allocate."""
    span = weight.storage.span
    try:
        found = torch.load(io.BytesIO(data[span.start : span.start + span.size]), map_location="cpu", weights_only=True)
        view = torch.empty(0, dtype=weight.storage.dtype).set_(found, weight.offset, weight.shape, weight.stride)
    except Exception as problem:  # of many kinds, and none of them says more than this
        raise _Refused(f"has a nested torch save that PyTorch refuses ({type(problem).__name__})") from None
    return view.clone(memory_format=torch.contiguous_format)


def _weights(network: _Module) -> Iterator[tuple[str, _Weight]]:
    """The entries of the state dict, as (name, weight). The file may hold a module within itself: the two counts end that."""
    waiting, seen = [("", network, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        passing = _expect(module.state.get("_non_persistent_buffers_set", set()), set, "has a layer without sets of buffers")
        weights = list(_children(module, "_parameters", _Weight))
        weights += [(name, weight) for name, weight in _children(module, "_buffers", _Weight) if name not in passing]
        layers = list(_children(module, "_modules", _Module))
        seen += len(weights) + len(layers)
        if seen > MAX_LAYERS or depth > MAX_DEPTH:
            raise _Refused("has more layers within layers than any StyleGAN network")
        yield from ((prefix + name, weight) for name, weight in weights)
        waiting += [(f"{prefix}{name}.", child, depth + 1) for name, child in layers]


def _children(module: _Module, kind: str, expected: type) -> Iterator[tuple[str, object]]:
    children = module.state.get(kind, {})
    if type(children) is not dict or len(children) > MAX_CHILDREN:
        raise _Refused(f"has a {module.name} whose {kind} are not a dict of at most {MAX_CHILDREN}")
    for name, child in children.items():
        if child is None:
            continue
        if type(name) is not str or len(name) > 64 or type(child) is not expected:
            raise _Refused(f"has something unexpected among the {kind} of a {module.name}")
        yield name, child


def _settings(module: _Module) -> dict[str, object]:
    """The constructor arguments, by name, without those that only steer the official code's speed."""
    given, named = module.state.get("_init_args", ()), module.state.get("_init_kwargs", {})
    order = POSITIONAL[module.name]
    if type(given) is not tuple or type(named) is not dict or len(given) > len(order):
        raise _Refused(f"has a {module.name} without its constructor arguments")
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
        raise _Refused("has a generator with neither synthesis.input (StyleGAN3) nor synthesis.b4 (StyleGAN2)")
    # StyleGAN2 as the StyleGAN3 repository writes it: the arguments of the synthesis network stand beside the others.
    inline = {name: settings.pop(name) for name in list(settings) if name not in POSITIONAL["Generator"]}
    if inline and not settings.get("synthesis_kwargs"):
        settings["synthesis_kwargs"] = inline
    elif inline:
        raise _Refused("has a generator whose synthesis arguments stand in two places")
    return "stylegan2", settings


def _augment_probability(data: mmap.mmap, module: _Module) -> dict[str, object]:
    p = dict(_children(module, "_buffers", _Weight)).get("p")
    if p is None:
        return {}
    if math.prod(p.shape) != 1 or p.storage.numel != 1:
        raise _Refused("has an augment_pipe whose p is not one number")
    return {"augment_p": float(_read(data, p))}


def _plain(value: dict) -> dict[str, object]:
    """A copy of plain values only, tuples as lists, which JSON can hold; as small as settings are."""
    left = 1_000

    def copy(value: object, depth: int) -> object:
        nonlocal left
        left -= 1
        if left < 0 or depth > 6:
            raise _Refused("has settings that are larger than any StyleGAN snapshot's")
        if value is None or type(value) in (bool, int, float) or (type(value) is str and len(value) <= 4_096):
            return value
        if type(value) in (list, tuple):
            return [copy(item, depth + 1) for item in value]
        if type(value) is dict and all(type(key) is str for key in value):
            return {key: copy(item, depth + 1) for key, item in value.items()}
        raise _Refused("has settings that are not plain numbers and text")

    return copy(value, 0)
