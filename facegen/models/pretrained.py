"""Network files: ours are safetensors with the constructor arguments as JSON beside them; others' are read the same safe way.

`load` tells the formats apart by their first bytes: ours, the official StyleGAN2-ADA and StyleGAN3 snapshots
(`facegen.models.official`), and PyTorch files of well-known projects (`facegen.models.foreign`). None of them runs code from
the file, and every network is built by `facegen.models.rebuild` from checked arguments.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from facegen.data.fetch import digest
from facegen.data.kinds import looks_like
from facegen.data.pictures import say
from facegen.files import InputError, one_line, replacing
from facegen.models import rebuild
from facegen.models.rebuild import CLASSES

FORMAT = "facegen-network-1"
MAX_HEADER = 4 << 20  # bytes that name and describe the tensors; the largest networks need 0.1 MB
MAX_ABOUT = 1 << 20  # characters of JSON about the networks
MAX_DEPTH = 32  # dicts and lists within each other
# How a PyTorch file begins: a zip archive, or in the older form a pickle of this number.
TORCH_FILES = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19")


class Loaded(NamedTuple):
    """What `load` returns: the generator (the averaged one where there is one), D or None, and the file's facts."""

    G: nn.Module
    D: nn.Module | None
    info: dict[str, object]


def _class_name(net: nn.Module) -> str | None:
    return next((name for name, known in CLASSES.items() if type(net) is known), None)


def can_save(net: nn.Module) -> bool:
    """Whether a file can rebuild this network: true of the package's classes, false of a class made in a notebook."""
    return _class_name(net) is not None


def save(path: str | Path, G: nn.Module, D: nn.Module | None = None, info: dict[str, object] | None = None) -> None:
    """Write one network file.

    The weights are written with the type that they have, so a network in half precision makes a file of half the size;
    `load` turns every one into float32.

    Args:
        path: should end in .safetensors.
        G, D: networks of the package (`can_save`).
        info: the command, kimg, data, licence: whatever `plain_json` takes.
    """
    tensors, classes = {}, {}
    for part, net in (("G", G), ("D", D)):
        if net is None:
            continue
        if not can_save(net):
            raise InputError(
                f"{path}: a {type(net).__name__} of your own cannot be rebuilt from a file: save its state_dict() instead"
            )
        settings = plain_json(net.settings, f"{path}: the settings of {part}")
        classes[part] = {"class": _class_name(net), "settings": settings}
        tensors |= {f"{part}.{key}": value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    # One entry only: safetensors writes several in random order, and equal networks should make equal files.
    about = json.dumps({"networks": classes, "info": plain_json(info or {}, f"{path}: info")})
    if len(about) > MAX_ABOUT:
        raise InputError(f"{path}: info is too long: with the settings {len(about):,} characters, at most {MAX_ABOUT:,} fit")
    metadata = {FORMAT: about}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def plain_json(value: object, name: str, depth: int = 0) -> object:
    """A copy of `value` as JSON holds it: numbers, arrays and tensors of NumPy and PyTorch become Python's numbers and lists,
    tuples become lists, paths and whole numbers as keys become text.

    Args:
        value: what to copy.
        name: what it is called in an error.
        depth: how many dicts and lists stand around it.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"{one_line(name)}: more than {MAX_DEPTH} dicts and lists within each other; make it flatter")
    if isinstance(value, (np.generic, np.ndarray, torch.Tensor)):
        value = value.tolist()
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, os.PathLike):
        return plain_json(os.fspath(value), name, depth + 1)
    if isinstance(value, (list, tuple)):
        return [plain_json(item, f"{name}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
        return {str(key): plain_json(item, f"{name}[{reprlib.repr(key)}]", depth + 1) for key, item in value.items()}
    kind = "a dict with keys that are no text" if isinstance(value, dict) else f"{reprlib.repr(value)} ({type(value).__name__})"
    raise InputError(f"{one_line(name)}: JSON cannot hold {one_line(kind)}; leave it out or give it as text")


def file_format(path: Path) -> str:
    """By the first bytes: ".safetensors" (ours), ".pkl" (an official snapshot) or ".pt" (a PyTorch file).
    """
    with open(path, "rb") as file:
        start = file.read(16)
    if start.startswith(TORCH_FILES):
        return ".pt"
    if start[7:9] == b"\0{":  # safetensors: behind the header's length, whose first byte can be any
        return ".safetensors"
    if start.startswith(b"\x80"):  # a pickle of protocol 2 or later
        return ".pkl"
    kind = looks_like(path)
    known = "a .safetensors file of facegen, a .pkl of StyleGAN2-ADA or StyleGAN3, or a .pt or .pth of PyTorch"
    raise InputError(f"{path} is no network file" + (f" but {kind}" if kind else f": give {known}"))


def load(path: str | Path) -> Loaded:
    """Read a network file: float32 networks in evaluation mode, on the CPU, without gradients. No code in it is run.

    Args:
        path: a file written by `save`; an official StyleGAN2-ADA or StyleGAN3 snapshot (.pkl); a PyTorch file of a project
            that `facegen.models.foreign` knows (.pt, .pth); or the http(s) address or published name of any of these.

    Raises:
        InputError: none of these, damaged, or one whose weights do not fit the networks that it names.
        OSError: the file cannot be read, or the address cannot be reached.
    """
    if not Path(path).is_file():
        from facegen.models.published import network_file

        path = network_file(path)
    path = Path(path)
    kind = file_format(path)
    if kind == ".pkl":
        from facegen.models import official

        return Loaded(*official.load(path))
    if kind == ".pt":
        from facegen.models import foreign

        return Loaded(*foreign.from_torch(path))
    return _load_ours(path)


def _load_ours(path: Path) -> Loaded:
    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if FORMAT not in metadata:
                raise InputError(f"{path} is a safetensors file, but not a network written by facegen")
            if len(metadata[FORMAT]) > MAX_ABOUT:
                raise InputError(
                    f"{path}: its description has {len(metadata[FORMAT]):,} characters, at most {MAX_ABOUT:,} are read"
                )
            about = json.loads(metadata[FORMAT])
            nets = {part: _rebuild(part, entry, file) for part, entry in about["networks"].items() if part in ("G", "D")}
            if not isinstance(about["info"], dict):
                raise InputError("its info is not a dict")
        return Loaded(nets["G"], nets.get("D"), about["info"])
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is damaged ({one_line(error)})") from None
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
    # ValueError is JSON's, RecursionError comes from brackets within brackets.
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, RuntimeError) as error:
        raise InputError(f"{path}: weights and description do not fit ({one_line(error)})") from None


def _check_header(path: Path) -> None:
    """Its length stands in the first 8 bytes, and the safetensors library would take up to 100 MB of it."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
    size = path.stat().st_size
    if length > size - 8:
        raise InputError(f"{path} is not a safetensors file, or is damaged (its header would be longer than the file)")
    if length > MAX_HEADER:
        raise InputError(f"{path}: its header has {length:,} bytes, and no network of this package needs over {MAX_HEADER:,}")


def _rebuild(part: str, entry: dict, file: safe_open) -> nn.Module:
    names = [name.removeprefix(f"{part}.") for name in file.keys() if name.startswith(f"{part}.")]  # noqa: SIM118 - no dict
    shapes = {name: tuple(file.get_slice(f"{part}.{name}").get_shape()) for name in names}

    def read(name: str) -> torch.Tensor:
        # A copy, because safetensors maps the file: on Windows a mapped file cannot be replaced by a running training.
        return file.get_tensor(f"{part}.{name}").clone()

    return rebuild.network(entry["class"], entry["settings"], shapes, read)


# ---------------------------------------------------------------- what `facegen info` says

MOST_CLAIMS = 60


def check_another(dest: Path, *sources: Path) -> None:
    """Refuse to write a network over one of those that it is made of."""
    for source in sources:
        if dest.exists() and dest.samefile(source):
            raise InputError(f"{dest}: this is {source} itself; give the new one another name")


def convert(path: Path, dest: Path, licence: str | None = None) -> str:
    """Write a network of any format as a file of ours, with what its own file says of it.

    Args:
        licence: of a published network.

    Returns:
        "G" or "G and D". What its file says that is not plain JSON is left out, and named on stderr.
    """
    check_another(dest, path)
    loaded, info = load(path), {}
    for name, value in loaded.info.items():
        try:
            info |= plain_json({name: value}, "info")
        except InputError:
            say(f"facegen: {one_line(name)} is left out: it is not plain JSON")
    if licence is not None:
        info["licence"] = licence
    info.pop("format", None)
    info["converted_from"] = {"file": path.name, "sha256": digest(path), "format": format_name(path, loaded)}
    save(dest, loaded.G, loaded.D, info)
    return "G and D" if loaded.D is not None else "G"


def format_name(path: Path, loaded: Loaded) -> str:
    """Of ours by the file's first bytes, of others as their reader says; what our files say about it is only their word."""
    return "facegen's safetensors" if file_format(path) == ".safetensors" else str(loaded.info["format"])


def network_facts(path: Path, terms: str | None = None) -> Iterator[tuple[str, str | None]]:
    """Names and values, for `facegen info`: what `describe` knows, and under a heading what `claims` reads."""
    loaded = load(path)
    yield from describe(path, loaded, terms)
    yield "the file says:", None
    yield from ((f"  {name}", value) for name, value in claims(path, loaded))


def describe(path: Path, loaded: Loaded, terms: str | None = None) -> list[tuple[str, str]]:
    """Names and values of what is known of a network file without believing what it says about itself.

    Args:
        path: the file that `loaded` came from.
        terms: of a published network, its licence.
    """
    G, D, info = loaded
    architecture, claim = _architecture(G), info.get("architecture")
    facts = {
        "file": f"{path.name}, {path.stat().st_size:,} bytes",
        "format": format_name(path, loaded),
        "architecture": architecture if claim in (None, architecture) else f"{architecture}, noted as {_flat(claim)!r}",
        "resolution": f"{G.img_resolution} x {G.img_resolution}" if hasattr(G, "img_resolution") else None,
        "channels": getattr(G, "img_channels", None),
        "weights of G": f"{sum(p.numel() for p in G.parameters()):,}",
        "weights of D": f"{sum(p.numel() for p in D.parameters()):,}" if D is not None else "no D in this file",
        "z": getattr(G, "z_dim", None),
        "w": f"{G.w_dim}, for {G.num_ws} layers" if hasattr(G, "num_ws") else None,
        "classes": getattr(G, "c_dim", 0) or "none",
        "terms": terms,
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def claims(path: Path, loaded: Loaded) -> list[tuple[str, str]]:
    """What the file says of itself: training, data, licence, origin; names and values without anything unprintable."""
    facts: dict[str, object] = {"licence": "the file states none", "kimg": "unknown", "data": "unknown"}
    if match := re.search(r"network-snapshot-(\d{6,9})(?!\d)", path.name):
        facts["kimg"] = f"{int(match.group(1))}, by the file's name"
    facts |= {key: value for key, value in loaded.info.items() if key not in ("format", "architecture")}
    if facts["data"] == "unknown" and isinstance(facts.get("training_set"), dict):
        facts["data"] = facts["training_set"].get("path", "unknown")
    shown = [(one_line(key, 40), _flat(value)) for key, value in list(facts.items())[:MOST_CLAIMS]]
    return shown + ([("...", f"and {len(facts) - MOST_CLAIMS} more")] if len(facts) > MOST_CLAIMS else [])


def _architecture(G: nn.Module) -> str:
    family = type(G).__module__.rpartition(".")[2]
    if family == "stylegan3":
        return "stylegan3-r" if G.settings["use_radial_filters"] and G.settings["conv_kernel"] == 1 else "stylegan3-t"
    return f"{family} {type(G).__name__}" if family == "cyclegan" else family


def _flat(value: object) -> str:
    """A value of a file's info as part of one line."""
    try:
        if isinstance(value, dict):
            value = ", ".join(f"{name} {setting}" for name, setting in value.items()) or "nothing"
        return one_line(value, 600)
    except RecursionError:
        return "dicts and lists too deep to show"
