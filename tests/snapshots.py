"""Writes networks of ours as official StyleGAN snapshots, in exactly the published form but with harmless source text.

Python's own pickler writes them: the modules that a snapshot names (`torch_utils.persistence` and the like) exist for the
time of writing only. The layers come from the state dict, so that this says nothing about how our classes are built.
"""

from __future__ import annotations

import pickle
import re
import sys
import types
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

# The official reader would execute this text; whoever does so here is told.
SOURCE = "raise SystemExit('the source text inside a snapshot was executed')\n" * 560
HOOKS = (
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)
TRAINING_SET = {
    "class_name": "training.dataset.ImageFolderDataset",
    "path": "faces.zip",
    "use_labels": False,
    "max_size": 70000,
    "xflip": True,
    "resolution": 64,
}


class Layer:
    """One official module: pickled as a call of `_reconstruct_persistent_obj`."""

    def __init__(self, class_name: str, state: dict) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self):
        about = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name, "state": self.state}
        return function("torch_utils.persistence", "_reconstruct_persistent_obj"), (about,)


class Number:
    """A NumPy float64, pickled as NumPy 1 or 2 does, whichever is installed."""

    def __init__(self, value: float, module: str) -> None:
        self.value, self.module = np.float64(value), module

    def __reduce__(self):
        return function(self.module, "scalar"), (np.dtype("f8"), self.value.tobytes())


class Sizes:
    """A NumPy int64 array, pickled as NumPy 1 or 2 does with protocols up to 4."""

    def __init__(self, values: list[int], module: str) -> None:
        self.values, self.module = np.array(values), module

    def __reduce__(self):
        state = (1, self.values.shape, self.values.dtype, False, self.values.tobytes())
        return function(self.module, "_reconstruct"), (np.ndarray, (0,), b"b"), state


class EasyDict(dict):
    """Stands for `dnnlib.util.EasyDict` in older files."""


EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


def function(module: str, name: str):
    """What pickles as that global while `dump` runs."""
    return getattr(sys.modules[module], name)


def _modules() -> dict[str, types.ModuleType]:
    """The modules that a snapshot names, with functions that refuse to be called."""

    def refuse(*_):
        raise AssertionError("a snapshot's global was called")

    made = {}
    for path in (
        "torch_utils.persistence:_reconstruct_persistent_obj",
        "dnnlib.util:EasyDict",
        *(f"numpy.{core}.multiarray:{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    ):
        module, name = path.split(":")
        parent = module.rpartition(".")[0]
        for each in (parent, module):
            made.setdefault(each, types.ModuleType(each))
        value = EasyDict
        if name != "EasyDict":
            value = types.FunctionType(refuse.__code__, {"AssertionError": AssertionError}, name)
            value.__module__, value.__qualname__ = module, name
        setattr(made[module], name, value)
    return made


def dump(value: object, protocol: int = 4) -> bytes:
    """The pickle of anything made of the classes above."""
    with patch.dict(sys.modules, _modules()):
        return pickle.dumps(value, protocol)


def _class_name(path: list[str], root: str) -> str:
    name = path[-1] if path else ""
    table = (
        (r"", root),
        (r"mapping", "MappingNetwork"),
        (r"synthesis", "SynthesisNetwork"),
        (r"input", "SynthesisInput"),
        (r"L\d+_\d+_\d+", "SynthesisLayer"),
        (r"torgb", "ToRGBLayer"),
        (r"affine|embed|fc\d*|out", "FullyConnectedLayer"),
        (r"b4", "SynthesisBlock" if root == "Generator" else "DiscriminatorEpilogue"),
        (r"b\d+", "SynthesisBlock" if root == "Generator" else "DiscriminatorBlock"),
        (r"conv[01]", "SynthesisLayer" if root == "Generator" else "Conv2dLayer"),
        (r"conv|skip|fromrgb", "Conv2dLayer"),
    )
    return next(known for pattern, known in table if re.fullmatch(pattern, name))


def _state(core: str) -> dict:
    state = {"training": False, "_parameters": {}, "_buffers": {}, "_non_persistent_buffers_set": set(), "_modules": {}}
    return state | {hook: {} for hook in HOOKS} | {"_init_args": (), "_init_kwargs": {}, "weight_gain": Number(0.25, core)}


def _ordered(state: dict) -> dict:
    """The containers that PyTorch keeps as OrderedDicts."""
    from collections import OrderedDict

    names = ("_parameters", "_buffers", "_modules", *HOOKS)
    return {name: OrderedDict(value) if name in names else value for name, value in state.items()}


def official(net: nn.Module, init_kwargs: dict, *, init_args: tuple = (), numpy_major: int = 2) -> Layer:
    """The tree of official modules that holds our network's parameters and buffers."""
    core = "numpy._core.multiarray" if numpy_major == 2 else "numpy.core.multiarray"
    root = type(net).__name__
    parameters = dict(net.named_parameters())
    states: dict[tuple[str, ...], dict] = {(): _state(core)}
    for key, value in net.state_dict().items():
        *path, name = key.split(".")
        for depth in range(1, len(path) + 1):
            states.setdefault(tuple(path[:depth]), _state(core))
        value = value.detach().clone()
        kind = "_parameters" if key in parameters else "_buffers"
        states[tuple(path)][kind][name] = nn.Parameter(value) if key in parameters else value
    states[()] |= {"_init_args": init_args, "_init_kwargs": init_kwargs, "in_size": Sizes([36, 36], core)}
    for path in sorted(states, key=len, reverse=True):  # the innermost first: each becomes a child of the one above it
        if path:
            states[path] |= {"_init_args": (8, 8), "_init_kwargs": {"activation": "lrelu"}, "bias": None}
            states[path]["_parameters"].setdefault("bias", None)  # PyTorch keeps the names of absent parameters
            parent = states[path[:-1]]
            parent["_modules"][path[-1]] = Layer(_class_name(list(path), root), _ordered(states[path]))
    return Layer(root, _ordered(states[()]))


def augment_pipe(p: float) -> Layer:
    state = _state("numpy._core.multiarray")
    state["_buffers"] = {"p": torch.tensor(p), "Hz_geom": torch.ones(12)}
    return Layer("AugmentPipe", _ordered(state | {"xflip": 1.0, "imgfilter_bands": [1, 1, 1, 1]}))


def ada_form(net: nn.Module) -> dict:
    """Constructor arguments as StyleGAN2-ADA stores them: those of the synthesis network in a dict of their own."""
    return {name: value for name, value in net.settings.items() if value is not None}


def inline_form(net: nn.Module) -> dict:
    """As the StyleGAN3 repository stores those of a StyleGAN2 generator; one of them only steers its speed."""
    given = ada_form(net)
    return given.pop("synthesis_kwargs") | given | {"fused_modconv_default": "inference_only"}


def older_form(net: nn.Module) -> dict:
    """As older files do: dicts of a class of their own."""
    given = ada_form(net)
    return EasyDict({name: EasyDict(value) if isinstance(value, dict) else value for name, value in given.items()})


def snapshot(
    G_ema: nn.Module,
    D: nn.Module | None = None,
    *,
    G: nn.Module | None = None,
    form=ada_form,
    p: float | None = None,
    protocol: int = 4,
    numpy_major: int = 2,
) -> bytes:
    """The bytes of a snapshot of our networks.

    Args:
        G_ema, D, G: networks of ours; without G the averaged generator stands for both.
        form: `ada_form`, `inline_form` or `older_form` of the generators' constructor arguments.
        p: of the augment_pipe; None for a snapshot without one.
        protocol: of the pickle: 3 (Python 3.7's default), 4 or 5.
        numpy_major: whose globals to write.
    """
    parts = {"G": G if G is not None else G_ema, "D": D, "G_ema": G_ema}
    tree: dict[str, object] = {
        part: None if net is None else official(net, ada_form(net) if part == "D" else form(net), numpy_major=numpy_major)
        for part, net in parts.items()
    }
    tree["augment_pipe"] = None if p is None else augment_pipe(p)
    tree["training_set_kwargs"] = dict(TRAINING_SET)
    return dump(tree, protocol)


def write(path: Path, *args, **options) -> Path:
    """`snapshot` into a file; returns its path."""
    path.write_bytes(snapshot(*args, **options))
    return path
