"""Network files: safetensors weights with the constructor arguments as JSON beside them, so that loading runs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from facegen.files import InputError, replacing
from facegen.models import dcgan

FORMAT = "facegen-network-1"
# What a file may name. A closed list: the name in a file picks an entry here and is never looked up anywhere else.
CLASSES: dict[str, type[nn.Module]] = {"dcgan.Generator": dcgan.Generator, "dcgan.Discriminator": dcgan.Discriminator}


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

    Args:
        path: should end in .safetensors.
        G, D: networks of the package (`can_save`).
        info: anything that JSON can hold: the command, kimg, data, licence.

    Raises:
        InputError: a network of another class.
    """
    tensors, classes = {}, {}
    for part, net in (("G", G), ("D", D)):
        if net is None:
            continue
        if not can_save(net):
            raise InputError(
                f"{path}: a {type(net).__name__} of your own cannot be rebuilt from a file: save its state_dict() instead"
            )
        classes[part] = {"class": _class_name(net), "settings": net.settings}
        tensors |= {f"{part}.{key}": value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    # One entry only: safetensors writes several in random order, and equal networks should make equal files.
    metadata = {FORMAT: json.dumps({"networks": classes, "info": info or {}})}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata)


def load(path: str | Path) -> Loaded:
    """Read a network file written by `save`; the networks come in evaluation mode, on the CPU, without gradients.

    Raises:
        InputError: not such a file, damaged, or one whose weights do not fit the networks that it names.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such network file")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            # Copies, because safetensors maps the file: on Windows a mapped file cannot be replaced by a running training.
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file, or is damaged ({error})") from None
    if FORMAT not in metadata:
        raise InputError(f"{path} is a safetensors file, but not a network written by facegen")
    try:
        about = json.loads(metadata[FORMAT])
        nets = {part: _rebuild(part, entry, tensors) for part, entry in about["networks"].items()}
        return Loaded(nets["G"], nets.get("D"), about["info"])
    except (KeyError, TypeError, AttributeError, RuntimeError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: weights and description do not fit ({' '.join(str(error).split())[:160]})") from None


def _rebuild(part: str, entry: dict, tensors: dict[str, torch.Tensor]) -> nn.Module:
    if entry["class"] not in CLASSES:
        raise InputError(f"the file names a network of class {entry['class']!r}; known are {', '.join(CLASSES)}")
    with torch.device("meta"):  # no memory yet: absurd sizes in a file fail at the comparison of shapes below
        net = CLASSES[entry["class"]](**entry["settings"])
    own = {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}
    net.load_state_dict(own, strict=True, assign=True)
    return net.eval().requires_grad_(False)
