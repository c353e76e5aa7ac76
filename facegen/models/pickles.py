"""An inert interpreter of pickles, for the network files of other projects. Nothing that a file holds can run here.

A pickle is a program, and the usual readers call whatever it names. `Machine` cannot, for these reasons:

- It imports nothing and looks nothing up. A global in the file picks an entry of the closed table of its `Format`, which
  says what *our* code does in its place, or the file is refused.
- These replacements build plain dicts, lists, sets, numbers, strings and the records below, which have no methods.
- Only the instructions at the end of this file exist. An object gets a state only where the format has a function of ours
  for its type, and a persistent id only ever describes a storage.
- A size that the file announces is believed only as far as the file has the bytes, weights are left where they are, and
  instructions, text and nesting are counted (`Allowance`): a hostile file costs little time and memory before it is refused.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import pickletools
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import torch

from facegen.files import InputError, one_line

MAX_TEXT = 64 << 20  # characters in all; each kind of module in a snapshot carries its source, 37,000 characters, once
MAX_STRING = 4 << 20
MAX_MARKS = 200  # containers open at once; a snapshot needs about 30

# What torch's names of its storages stand for.
STORAGES = {
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}
TORCH_MAGIC, TORCH_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what a torch file from before version 1.6 begins with


class Refused(Exception):
    """What is wrong with the file, to be read behind its name (`naming`)."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a refusal into an `InputError` that begins with the file's name."""
    try:
        yield
    except Refused as problem:
        raise InputError(f"{path} {problem}") from None
    except InputError as problem:  # of the networks, which do not know the file
        raise InputError(f"{path}: {problem}") from None


def need(holds: bool, otherwise: str) -> None:
    """Refuse the file unless this holds."""
    if not holds:
        raise Refused(otherwise)


def shown(value: object) -> str:
    """A text or number from the file as part of a line; of what is nested nothing, which could take for ever to write out."""
    return one_line(value, 80) if type(value) in (str, int) else "?"


# ---------------------------------------------------------------- the records that stand in for the file's objects


@dataclass(frozen=True, eq=False, slots=True)
class Span:
    """Bytes that stay in the file."""

    start: int
    size: int


@dataclass(frozen=True, eq=False, slots=True)
class Storage:
    """A torch storage that stays in the file; `span` is the nested torch save around it, where there is one."""

    dtype: torch.dtype
    key: str
    numel: int
    span: Span | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True, eq=False, slots=True)
class Weight:
    """A tensor: a view that is known to lie inside its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Global:
    """A name of the closed table, and what a call of it, or an object made without a call (NEWOBJ), yields here."""

    name: str
    call: Callable[[Machine, tuple], object] | None = None
    new: Callable[[Machine, tuple], object] | None = None


@dataclass(frozen=True)
class Format:
    """What pickles of one kind may contain.

    Args:
        what: its name in refusals: "StyleGAN snapshot".
        newest: the newest pickle protocol, 2 or 5, and with it the instructions.
        globals_: the table; made by `table`.
        states: what BUILD does to a record or container of each type, given (machine, target, state). No other type has one.
        steps: the most pickle instructions.
    """

    what: str
    newest: int
    globals_: dict[tuple[str, str], Global]
    states: Mapping[type, Callable[[Machine, object, object], None]]
    steps: int


def table(*entries: tuple[str, str, Callable | None]) -> dict[tuple[str, str], Global]:
    """The closed table with these (module, name, what a call yields; None where it is never called)."""
    return {(module, name): Global(f"{module}.{name}", call) for module, name, call in entries}


@dataclass
class Allowance:
    """What is left to spend on one file."""

    bytes: int  # that tensors may claim together: no more than the file has
    steps: int
    text: int = MAX_TEXT


# ---------------------------------------------------------------- the interpreter


@dataclass
class Machine:
    """Interprets the pickles that follow each other in `data[pos:end]`."""

    data: bytes | mmap.mmap
    pos: int
    end: int
    format: Format
    allowance: Allowance
    claim: Callable[[Storage], None] | None = None  # told of each storage; None: no persistent id may occur
    stack: list = field(default_factory=list)
    marks: list[list] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def run(self) -> object:
        """The value of the pickle at `pos`, which then stands behind it.

        Raises:
            Refused: anything but a complete pickle of what the format allows.
        """
        self.stack, self.marks, self.memo = [], [], {}
        instructions = _INSTRUCTIONS[self.format.newest]
        try:
            while (code := self.byte()) != _STOP:
                self.spend(1)
                if code not in instructions:
                    known = pickletools.code2op.get(chr(code))
                    self.refuse(f"uses the pickle instruction {f'{known.name} (byte {code})' if known else f'of byte {code}'}")
                instructions[code](self)
            need(len(self.stack) == 1 and not self.marks, "is damaged: its pickle ends with an unfinished object")
            return self.stack.pop()
        except (IndexError, KeyError):  # an empty stack, or a memo entry that was never stored
            raise Refused("is damaged: its pickle refers to an object that is not there") from None
        except UnicodeDecodeError:
            raise Refused("is damaged: it has text that is not UTF-8") from None

    def spend(self, steps: int) -> None:
        """Count work that grows with what the file holds; what was stored once can be named again and again."""
        self.allowance.steps -= steps
        if self.allowance.steps < 0:
            raise Refused(f"has more than {self.format.steps:,} pickle instructions, too many for a {self.format.what}")

    def refuse(self, what: str) -> NoReturn:
        raise Refused(f"{what}, which no {self.format.what} needs: refused, nothing in it was run")

    # reading

    def take(self, size: int) -> int:
        """Where the next `size` bytes start."""
        start = self.pos
        if size > self.end - start:
            raise Refused("is cut short or damaged: it announces more bytes than it has")
        self.pos = start + size
        return start

    def byte(self) -> int:
        return self.data[self.take(1)]

    def number(self, size: int, signed: bool = False) -> int:
        start = self.take(size)
        return int.from_bytes(self.data[start : start + size], "little", signed=signed)

    def text(self, size: int) -> str:
        start = self.take(size)
        self.allowance.text -= size
        need(size <= MAX_STRING and self.allowance.text >= 0, f"has more text than any {self.format.what}")
        return self.data[start : start + size].decode("utf-8", "surrogatepass")  # exactly as pickle does

    def line(self) -> str:
        stop = self.data.find(b"\n", self.pos, min(self.end, self.pos + 256))
        need(stop >= 0, "is cut short or damaged: it has a name without an end")
        line = self.text(stop - self.pos)
        self.take(1)
        return line

    # building

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self, kind: type, otherwise: str) -> object:
        return expect(self.stack.pop(), kind, otherwise)

    def mark(self) -> None:
        need(len(self.marks) < MAX_MARKS, f"is damaged: it nests objects more than {MAX_MARKS} deep")
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
        version, newest = self.byte(), self.format.newest
        known = "2" if newest == 2 else f"2 to {newest}"
        need(2 <= version <= newest, f"has the pickle protocol {version}, where a {self.format.what} has {known}")

    def frame(self) -> None:
        # A frame only tells a streaming reader how much to fetch at once.
        need(self.number(8) <= self.end - self.pos, "is cut short or damaged: it announces more bytes than it has")

    def long(self) -> None:
        value = self.number(self.byte(), signed=True)
        # Larger numbers can be chosen so that their hashes collide; as keys of a dict they would cost hours.
        need(-(1 << 63) <= value < 1 << 63 or value == TORCH_MAGIC, "holds a whole number of more than 64 bits")
        self.push(value)

    def real(self) -> None:
        start = self.take(8)
        self.push(struct.unpack(">d", self.data[start : start + 8])[0])

    def span(self, size: int) -> None:
        self.push(Span(self.take(size), size))

    def store(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, items: list) -> None:
        expect(self.stack[-1], list, "appends to something that is not a list").extend(items)

    def set_items(self, items: list) -> None:
        target = expect(self.stack[-1], dict, "sets items of something that is not a dict")
        need(len(items) % 2 == 0, "is damaged: a key without a value")
        _fill(target, zip(items[::2], items[1::2]))

    def add(self) -> None:
        items = self.since_mark()
        expect(self.stack[-1], set, "adds to something that is not a set").update(_names(items))

    def find(self, module: str, name: str) -> None:
        self.spend(4)  # it takes as long; a pickler writes each name once
        need(not module.startswith("dnnlib.tflib"), "is a network of a TensorFlow StyleGAN, which cannot be read here")
        if (module, name) not in self.format.globals_:
            self.refuse(f"asks for the global {shown(f'{module}.{name}')}")
        self.push(self.format.globals_[module, name])

    def find_on_stack(self) -> None:
        name = self.pop(str, "names a global by something that is not text")
        self.find(self.pop(str, "names a global by something that is not text"), name)

    def find_in_lines(self) -> None:
        module = self.line()
        self.find(module, self.line())

    def call(self) -> None:
        args = self.pop(tuple, "calls a global without a tuple of arguments")
        what = self.pop(Global, "calls something that is not a global")
        if what.call is None:
            self.refuse(f"calls {what.name}")
        self.push(what.call(self, args))

    def new(self) -> None:
        args = self.pop(tuple, "creates an object without a tuple of arguments")
        what = self.pop(Global, "creates an object of something that is not a global")
        if what.new is None:
            self.refuse(f"creates an object of the class {what.name}")
        self.push(what.new(self, args))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) not in self.format.states:
            self.refuse("sets the state of an object")
        self.format.states[type(target)](self, target, state)

    def persistent(self) -> None:
        """A storage: ("storage", type, key, device, numel), and before PyTorch 1.6 None after these."""
        about = self.pop(tuple, "has a persistent id that is not a tuple")
        fits = len(about) in (5, 6) and about[0] == "storage" and all(part is None for part in about[5:])
        if self.claim is None or not fits:
            self.refuse("has a persistent id other than a storage's")
        kind, key, device, numel = about[1:5]
        need(type(kind) is Global and kind.name in STORAGES, "has a storage of an unknown type")
        need(type(key) is str and type(device) is str, "has a storage without a name")
        need(type(numel) is int and 0 <= numel < 1 << 40, "has a storage of an impossible size")
        self.push(Storage(STORAGES[kind.name], key, numel))
        self.claim(self.stack[-1])


def expect(value: object, kind: type, otherwise: str) -> object:
    """The value, if it is of exactly this type: none of the records is to pass for a tuple or a dict."""
    need(type(value) is kind, otherwise)
    return value


def _fill(target: dict, pairs: Iterable[tuple[object, object]]) -> dict:
    for key, value in pairs:
        # Nothing whose hash can be made slow or deep: of a tuple of tuples of tuples, the hash alone could take for ever.
        need(type(key) in (str, int), "has a dict with a key that is neither text nor a whole number")
        target[key] = value
    return target


def _names(values: list) -> list[str]:
    need(all(type(value) is str for value in values), "has a set of something other than text")
    return values


_STOP = ord(".")
# The instructions that Python's pickler and torch.save write with protocol 2, and those that came with 3, 4 and 5.
_PROTOCOL_2: dict[int, Callable[[Machine], None]] = {
    0x80: Machine.protocol,
    ord("("): Machine.mark,
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("K"): lambda m: m.push(m.byte()),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("J"): lambda m: m.push(m.number(4, signed=True)),
    0x8A: Machine.long,
    ord("G"): Machine.real,
    ord("X"): lambda m: m.push(m.text(m.number(4))),
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
    ord("q"): lambda m: m.store(m.byte()),
    ord("r"): lambda m: m.store(m.number(4)),
    ord("h"): lambda m: m.push(m.memo[m.byte()]),
    ord("j"): lambda m: m.push(m.memo[m.number(4)]),
    ord("c"): Machine.find_in_lines,
    ord("R"): Machine.call,
    0x81: Machine.new,
    ord("b"): Machine.build,
    ord("Q"): Machine.persistent,
}
_LATER: dict[int, Callable[[Machine], None]] = {
    0x95: Machine.frame,
    0x8C: lambda m: m.push(m.text(m.byte())),
    0x8D: lambda m: m.push(m.text(m.number(8))),
    ord("C"): lambda m: m.span(m.byte()),
    ord("B"): lambda m: m.span(m.number(4)),
    0x8E: lambda m: m.span(m.number(8)),
    0x96: lambda m: m.span(m.number(8)),  # a bytearray: the values of a NumPy array
    0x8F: lambda m: m.push(set()),
    0x90: Machine.add,
    0x94: lambda m: m.store(len(m.memo)),
    0x93: Machine.find_on_stack,
}
_PYTHON_2: dict[int, Callable[[Machine], None]] = {ord("U"): lambda m: m.push(m.text(m.byte()))}
_INSTRUCTIONS = {2: _PROTOCOL_2 | _PYTHON_2, 5: _PROTOCOL_2 | _LATER}


# ---------------------------------------------------------------- what calls of the common globals yield


def ordered(machine: Machine, args: tuple) -> dict:
    """OrderedDict() and, from Python 2, OrderedDict([[key, value], ...])."""
    pairs = args[0] if args else []
    need(len(args) <= 1 and type(pairs) is list, "has a malformed OrderedDict")
    machine.spend(len(pairs))
    need(all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs), "has a malformed OrderedDict")
    return _fill({}, pairs)


def text_set(machine: Machine, args: tuple) -> set[str]:
    """set([name, ...])."""
    need(len(args) == 1 and type(args[0]) is list, "builds a set from something other than a list")
    machine.spend(len(args[0]))
    return set(_names(args[0]))


def tensor(machine: Machine, args: tuple) -> Weight:
    """`torch._utils._rebuild_tensor_v2`: (storage, offset, shape, stride) and mostly two more."""
    fits = 4 <= len(args) <= 6 and type(args[0]) is Storage and type(args[2]) is tuple and type(args[3]) is tuple
    need(fits, "has a tensor that is not described as PyTorch does")
    storage, offset, shape, stride = args[:4]
    fits = len(shape) == len(stride) <= 8 and all(type(n) is int and 0 <= n < 1 << 40 for n in (offset, *shape, *stride))
    need(fits, "has a tensor with an impossible shape")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride)) if count else offset - 1
    # More values than the storage has, without leaving it, are the same numbers repeated: small in the file, vast in use.
    need(
        last < storage.numel and count <= storage.numel,
        f"has a tensor of shape {list(shape)} that reaches beyond its storage of {storage.numel:,} values",
    )
    machine.allowance.bytes -= count * storage.dtype.itemsize
    need(machine.allowance.bytes >= 0, "has tensors that together are larger than the file")
    return Weight(storage, offset, shape, stride)


def parameter(_: Machine, args: tuple) -> Weight:
    """`torch._utils._rebuild_parameter`: (tensor, requires_grad, hooks)."""
    need(len(args) == 3 and type(args[0]) is Weight, "has a parameter that is not a tensor")
    return args[0]


TORCH_GLOBALS = table(
    ("collections", "OrderedDict", ordered),
    ("torch._utils", "_rebuild_parameter", parameter),
    ("torch._utils", "_rebuild_tensor_v2", tensor),
)
STORAGE_GLOBALS = table(*(("torch", name.removeprefix("torch."), None) for name in STORAGES))


def torch_save(machine: Machine, room: int) -> tuple[object, list[Storage]]:
    """The value and the storages of a torch file from before version 1.6; `machine.pos` then stands at the first storage.

    Five pickles in a row: a number that marks the form, its version, the machine that wrote it, the value, and the keys of
    the storages. Behind them stands each storage: its length in 8 bytes, and its numbers. No storage may need more bytes than
    `room`, and the caller compares all of them with what the file has.
    """
    storages: dict[str, Storage] = {}
    magic, protocol, system = (machine.run() for _ in range(3))
    fits = magic == TORCH_MAGIC and protocol == TORCH_PROTOCOL and type(system) is dict
    need(fits, "is a torch file of an unknown form")
    need(system.get("little_endian") is True, "was written on a big-endian machine")

    def claim(storage: Storage) -> None:
        where = f"{storage.size:,} bytes for its storage {shown(storage.key)}"
        need(storage.size <= room, f"announces {storage.numel:,} values, but does not hold them ({where})")
        same = storages.setdefault(storage.key, storage).size == storage.size
        need(same, f"announces two sizes for its storage {shown(storage.key)}")

    machine.claim = claim
    found = machine.run()
    machine.claim = None
    keys = machine.run()
    fits = type(keys) is list and all(type(key) is str for key in keys) and len(keys) == len(storages) == len(set(keys))
    need(fits and set(keys) == set(storages), "is damaged: its storages are not those that it lists")
    return found, [storages[key] for key in keys]
