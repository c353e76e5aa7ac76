"""From a verb's class to its command line: a field is a flag, the comment behind it (or right above) is the flag's help.

The class's docstring says what the verb does; its example works in a clone of the repository. A field without a default is a
flag that must be given. What several verbs have stands in base classes; one with a `heading` is a group of its own in the help.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import re
import shlex
import textwrap
import types
import typing
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from facegen.config import YES_NO, check_values, flag_of
from facegen.devices import device
from facegen.files import InputError, one_line, replacing_folder

if TYPE_CHECKING:
    from torch import nn

NET = "--network assets/weights/stylegan2-64.safetensors"  # for NET in an example
WIDTH = 100  # columns of the help
FILMS = (".mp4", ".gif", ".webp")
GROUPS = ("get pictures", "train", "make pictures", "edit faces", "measure", "look into files")
VERBS: dict[str, type] = {}


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a flag is typed."""

    metavar: str  # the word for its value in the help
    of: Callable[[str], Any] = str  # makes the value of the text, or raises ArgumentTypeError
    names: tuple[str, ...] = ()  # instead of the field's name
    positional: bool = False
    without: object = None  # the value of a flag that is given without one


flags = dataclasses.dataclass(kw_only=True)  # what verbs and their base classes are made by


def verb(group: str, example: str, name: str = "", alias: str = "", program: str = "facegen") -> Callable[[type], type]:
    """Make a verb of a class, called like it: PrepareUnpaired is `prepare-unpaired`. `facegen` knows only its own."""

    def declare(cls: type) -> type:
        cls = flags(cls)
        cls.verb = name or re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        cls.group, cls.program, cls.example = group, program, f"{program} {example.replace('NET', NET)}"
        VERBS.update({word: cls for word in (cls.verb, alias) if word and program == "facegen"})
        return cls

    return declare


def find_verb(argv: Sequence[str]) -> tuple[type, Sequence[str]]:
    """The verb that a command line begins with, of one word or two, and the rest of the line.

    Raises:
        InputError: there is no such verb.
    """
    for count in (2, 1):
        if " ".join(argv[:count]) in VERBS:
            return VERBS[" ".join(argv[:count])], argv[count:]
    called = one_line(argv[0]) if argv else ""
    if longer := [name for name in VERBS if name.startswith(f"{called} ")]:
        raise InputError(f"give `facegen {'` or `facegen '.join(longer)}`")
    near = difflib.get_close_matches(called, VERBS, 1)
    hint = f"did you mean `facegen {near[0]}`?" if near else "`facegen --help` lists the verbs"
    raise InputError(f"{called!r} is no verb: {hint}" if called else "give a verb: `facegen --help` lists them")


def overview(start: str = "") -> str:
    """What `facegen --help` prints: the verbs (whose names begin with `start`), grouped by what one wants to do."""
    lines = [
        "facegen VERB ...: generate faces with GANs. Start with: facegen train --outdir runs/first",
        "  -h, --help        after a verb: an example, and what its flags do",
        "  --version         which facegen this is",
    ]
    verbs = [cls for cls in dict.fromkeys(VERBS.values()) if cls.verb.startswith(start)]
    for group in GROUPS:
        named = [f"  {cls.verb:17} {cls.__doc__.splitlines()[0][:-1]}" for cls in verbs if cls.group == group]
        lines += [f"{group}:", *named] if named else []
    return "\n".join(lines)


def parse(argv: Sequence[str], cls: type) -> Any:
    """The verb's object for a command line, ready to `run`."""
    words = joined(argv)
    given = cls.parse(words) if hasattr(cls, "parse") else cls(**vars(parser_of(cls).parse_args(words)))
    check_values(given)
    return given


def joined(argv: Sequence[str]) -> list[str]:
    """["--translate", "-0.1,0"] -> ["--translate=-0.1,0"], because argparse takes -0.1,0 and -1e3 for flags."""
    words: list[str] = []
    for word in argv:
        if words and re.fullmatch(r"--[^=]+", words[-1]) and re.fullmatch(r"-(\d|\.\d|inf|nan).*", word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        about_one = re.match(r"argument (-\S+?|\S+)(/\S+)?: ", message)
        if about_one:
            flag = f"{about_one[1]} " if about_one[1].startswith("-") else ""
            raise InputError(flag + message[about_one.end() :])
        raise InputError(f"{message}; `{self.prog} --help` explains the flags")


def parser_of(cls: type, abbreviations: bool = True) -> argparse.ArgumentParser:
    """The parser of a verb's flags."""
    about = (textwrap.fill(text, WIDTH) for text in inspect.cleandoc(cls.__doc__).split("\n\n"))
    example = " \\\n    ".join(textwrap.wrap(cls.example, WIDTH - 2, break_long_words=False, break_on_hyphens=False))
    parser = _Parser(
        prog=f"{cls.program} {cls.verb}",
        usage=argparse.SUPPRESS,
        description="\n\n".join([example, *about]),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=32, width=WIDTH),
        allow_abbrev=abbreviations,
    )
    explained, hints = helps(cls), typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for base in cls.__mro__:  # the verb's own flags first
        group = parser.add_argument_group(base.heading) if "heading" in vars(base) else parser
        for name in [name for name in inspect.get_annotations(base) if name in fields]:
            default = fields.pop(name).default
            says_nothing = default is None or default is False or default in ("", dataclasses.MISSING)
            add_flag(group, name, hints[name], explained[name], default, "" if says_nothing else f" (default: {default})")
    return parser


def add_settings(parser: argparse.ArgumentParser, recipe: Any, called: str) -> None:
    """The settings of a recipe as further flags; those that are not given are absent from what the parser returns."""
    group = parser.add_argument_group(f"settings (in brackets: what --cfg={called} has)")
    explained, hints = helps(type(recipe)), typing.get_type_hints(type(recipe), include_extras=True)
    for name, value in dataclasses.asdict(recipe).items():
        if name != "architecture":  # which --cfg names
            shown = int(value) if isinstance(value, bool) else "none" if value == "" else value
            hint = YesNo if isinstance(value, bool) else hints[name]
            add_flag(group, name, hint, explained[name], argparse.SUPPRESS, f" [{shown}]")


def helps(cls: type) -> dict[str, str]:
    """Each field with the comment behind it, or else the comment lines right above it."""
    found: dict[str, str] = {}
    for base in filter(dataclasses.is_dataclass, cls.__mro__):
        above: list[str] = []
        for line in inspect.getsource(base).splitlines():
            comment, field = re.fullmatch(r" {4}# (.*)", line), re.fullmatch(r" {4}(\w+): .*?(?:  # (.*))?", line)
            if field:
                found.setdefault(field.group(1), field.group(2) or " ".join(above))
            above = [*above, comment.group(1)] if comment else []
    return found


def kind_of(hint: Any) -> tuple[type, Kind | None]:
    """A field's type, without None and Annotated, and its `Kind` if it has one."""
    kind = next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Kind)), None)
    plain = hint.__origin__ if typing.get_origin(hint) is Annotated else hint
    if typing.get_origin(plain) in (typing.Union, types.UnionType):
        plain, own = kind_of(next(part for part in typing.get_args(plain) if part is not type(None)))
        kind = kind or own
    return plain, kind


def add_flag(group: Any, name: str, hint: Any, text: str, default: object, shown: str) -> None:
    """One field as a flag, or as an argument without a name. A default that is a text goes through the flag's `of`, too."""
    plain, kind = kind_of(hint)
    required = default is dataclasses.MISSING
    words = typing.get_args(plain) if typing.get_origin(plain) is Literal else ()
    short = len("|".join(words)) <= 20
    text += "" if short else f": {', '.join(words)}"
    options: dict[str, Any] = {"help": (text + shown).replace("%", "%%"), "default": None if required else default}
    if typing.get_origin(plain) is list and kind is None:  # may be given several times
        options["action"] = "append"
        plain, kind = kind_of(typing.get_args(plain)[0])
    if plain is bool and kind is None:
        group.add_argument(flag_of(name), action="store_true", **options)
        return
    if words:
        options |= {"type": str, "metavar": "|".join(words) if short else "WORD"}
    elif kind:
        options |= {"type": kind.of, "metavar": kind.metavar}
    else:
        options |= {"type": plain, "metavar": {int: "N", float: "X", str: "WORD"}[plain]}
    if kind and kind.without is not None:
        options |= {"nargs": "?", "const": kind.without}
    if kind and kind.positional:
        group.add_argument(name, **options)
    else:
        group.add_argument(*names_of(name, kind), dest=name, required=required, **options)


def command(given: Any) -> str:
    """The command line of a verb's object with all its values, so that other defaults do not change it."""
    words, hints = ["facegen", given.verb], typing.get_type_hints(type(given), include_extras=True)
    for name, value in vars(given).items():
        kind = kind_of(hints[name])[1]
        flag = names_of(name, kind)[0]
        if kind is None and isinstance(value, bool):
            words += [flag] if value else []
        elif value is not None:
            words += [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    return shlex.join(words)


def names_of(name: str, kind: Kind | None) -> tuple[str, ...]:
    """What a field's flag is called; settings such as lr_G in small letters, too."""
    if kind and kind.names:
        return kind.names
    return tuple(dict.fromkeys([flag_of(name), flag_of(name).lower()]))


def one_of(given: Any, *names: str) -> tuple[str, Any]:
    """The flag and the value of the one of a verb's fields that was given.

    Raises:
        InputError: none of them, or more than one.
    """
    there = [name for name in names if getattr(given, name) is not None]
    if len(there) != 1:
        raise InputError(f"give {' or '.join(map(flag_of, names))}{', not both' if there else ''}")
    return flag_of(there[0]), getattr(given, there[0])


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that is filled completely or not at all, and named in the end."""
    with replacing_folder(path) as folder:
        yield folder
    print(f"written: {one_line(path)}")


# -- what makes a value of a text


def yes_no(text: str) -> bool:
    """ "1" -> True."""
    if text.lower() not in YES_NO:
        raise ArgumentTypeError(f"{text!r} is neither 0 nor 1")
    return YES_NO[text.lower()]


def pair_of(text: str) -> tuple[float, float]:
    """ "0.1,-0.2" -> (0.1, -0.2)."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"{text!r}: give two numbers with a comma between them, such as 0.1,-0.2") from None
    return x, y


def folder(text: str) -> Path:
    """Refuses, before the work, a folder that could not be made after it."""
    if not text:
        raise ArgumentTypeError("the name is empty: give that of a folder, . for this one")
    there = next((place for place in (Path(text), *Path(text).parents) if place.exists()), None)
    if there and not there.is_dir():
        raise ArgumentTypeError(f"{text}: {there} is a file, not a folder; choose another place or remove it first")
    return Path(text)


def file(*suffixes: str) -> Callable[[str], Path]:
    """Refuses, before the work, a file that could not be written after it, or whose suffix is none of these."""

    def check(text: str) -> Path:
        path = Path(text)
        if suffixes and path.suffix.lower() not in suffixes:
            *others, last = (word for word in suffixes if word not in (".jpeg", ".htm"))
            raise ArgumentTypeError(f"{text}: the name must end in {', '.join(others)}{' or ' if others else ''}{last}")
        folder(str(path.parent))
        if path.is_dir():
            raise ArgumentTypeError(f"{text}: this is a folder; give the name of a file")
        return path

    return check


Network = Annotated[str, Kind("FILE|URL|NAME")]
Data = Annotated[str, Kind("DIR|ZIP|drawn:N")]
Folder = Annotated[Path, Kind("DIR", folder)]
Run = Annotated[Path, Kind("RUN", Path, positional=True)]
Picture = Annotated[Path, Kind("FILE", file(".png", ".jpg", ".jpeg", ".webp"))]
Film = Annotated[Path, Kind("FILE", file(*FILMS))]
Pair = Annotated[tuple[float, float], Kind("X,Y", pair_of)]
YesNo = Annotated[bool, Kind("0|1", yes_no)]
Psi = Annotated[float, Kind("PSI", float, ("--trunc", "--truncation"))]
Label = Annotated[int, Kind("K", int, ("--class",))]
Scale = Annotated[int, (lambda n: 1 <= n <= 64, "must lie between 1 and 64")]


@flags
class OnDevice:
    """What every verb has that runs a network."""

    device: str = "auto"  # cpu, cuda, mps, or auto

    def generator(self, network: str = "") -> nn.Module:
        """The generator of --network, or of another file, on --device."""
        from facegen.models.pretrained import load
        from facegen.models.published import network_file

        on = device(self.device)
        return load(network_file(network or self.network)).G.to(on)
