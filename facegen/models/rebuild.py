"""Networks from what a file says about them: a class of the closed list, checked constructor arguments, compared shapes.

Every reader of network files ends here, whatever the format, so that a file with absurd sizes is refused before anything of
those sizes exists: first the arguments are held against the ranges below, then the network is built without memory (PyTorch's
"meta" device) and its shapes are compared with the file's, and only then are the weights read.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from facegen.files import InputError, one_line
from facegen.models import cyclegan, dcgan, stylegan2, stylegan3
from facegen.models.layers import ACTIVATIONS

# What a file may name. A closed list: the name in a file picks an entry here and is never looked up anywhere else.
CLASSES: dict[str, type[nn.Module]] = {
    "dcgan.Generator": dcgan.Generator,
    "dcgan.Discriminator": dcgan.Discriminator,
    "cyclegan.ResnetGenerator": cyclegan.ResnetGenerator,
    "cyclegan.UnetGenerator": cyclegan.UnetGenerator,
    "cyclegan.PatchDiscriminator": cyclegan.PatchDiscriminator,
    "cyclegan.PixelDiscriminator": cyclegan.PixelDiscriminator,
    "stylegan2.Generator": stylegan2.Generator,
    "stylegan2.Discriminator": stylegan2.Discriminator,
    "stylegan3.Generator": stylegan3.Generator,
}


class _Rule(NamedTuple):
    """What an argument must be, in words and as a test."""

    says: str
    holds: Callable[[object], bool]


def _whole(low: int, high: int) -> _Rule:
    return _Rule(f"a whole number from {low} to {high}", lambda v: type(v) is int and low <= v <= high)


def _number(low: float, high: float) -> _Rule:
    return _Rule(f"a number from {low:g} to {high:g}", lambda v: type(v) in (int, float) and low <= v <= high)


def _one_of(*values: object) -> _Rule:
    # The types are compared too: 1 == True == 1.0.
    known = {(type(value), value) for value in values}
    says = f"one of {', '.join(map(str, values))}"
    return _Rule(says, lambda v: type(v) in (str, int, bool) and (type(v), v) in known)


def _power_of_two(low: int, high: int) -> _Rule:
    return _one_of(*(2**n for n in range(high.bit_length()) if low <= 2**n <= high))


def _or_none(rule: _Rule) -> _Rule:
    return _Rule(f"None or {rule.says}", lambda v: v is None or rule.holds(v))


_FLAG = _one_of(True, False)
_CHANNELS = _whole(1, 1 << 14)
_BASE = _whole(1, 1 << 22)
_PICTURE_CHANNELS = _whole(1, 64)
_LABELS = _whole(0, 1 << 17)
_CLAMP = _or_none(_number(0, 1e6))
_HALF_LAYERS = _whole(0, 64)
_ACTIVATION = _one_of(*ACTIVATIONS)
_FILTER = _or_none(
    _Rule(
        "a list of 1 to 32 numbers",
        lambda v: type(v) is list and 1 <= len(v) <= 32 and all(_number(-1e6, 1e6).holds(tap) for tap in v),
    )
)
_ARCHITECTURE = _one_of(*stylegan2.ARCHITECTURES)

_Rules = dict[str, "_Rule | _Rules"]  # a dict of rules stands for an argument that is a dict itself
_MAPPING: _Rules = {
    "num_layers": _whole(1, 64),
    "embed_features": _or_none(_CHANNELS),
    "layer_features": _or_none(_CHANNELS),
    "activation": _ACTIVATION,
    "lr_multiplier": _number(0, 100),
    "w_avg_beta": _or_none(_number(0, 1)),
}
_DCGAN: _Rules = {
    "conv_dim": _whole(1, 4096),
    "image_size": _one_of(*dcgan.IMAGE_SIZES),
    "norm": _one_of(*dcgan.NORMS),
    "padding_mode": _one_of(*dcgan.PADDING_MODES),
    "img_channels": _PICTURE_CHANNELS,
}
_CYCLEGAN: _Rules = {
    "img_channels": _PICTURE_CHANNELS,
    "width": _whole(1, 4096),
    "norm": _one_of("instance", "batch"),
}
_TRANSLATOR: _Rules = _CYCLEGAN | {"dropout": _FLAG, "out_channels": _or_none(_PICTURE_CHANNELS)}
_LATENT: _Rules = {
    "z_dim": _whole(1, 1 << 14),
    "c_dim": _LABELS,
    "w_dim": _CHANNELS,
    "img_channels": _PICTURE_CHANNELS,
    "mapping_kwargs": _MAPPING,
}
RULES: dict[str, _Rules] = {
    "dcgan.Generator": _DCGAN | {"z_size": _whole(1, 1 << 14)},
    "dcgan.Discriminator": _DCGAN | {"slope": _number(0, 100)},
    "cyclegan.ResnetGenerator": _TRANSLATOR | {"blocks": _whole(0, 64)},
    "cyclegan.UnetGenerator": _TRANSLATOR | {"downs": _whole(1, 16)},
    "cyclegan.PatchDiscriminator": _CYCLEGAN | {"layers": _whole(1, 16)},
    "cyclegan.PixelDiscriminator": _CYCLEGAN,
    "stylegan2.Generator": _LATENT
    | {
        "img_resolution": _power_of_two(4, 2048),
        "synthesis_kwargs": {
            "channel_base": _BASE,
            "channel_max": _CHANNELS,
            "num_fp16_res": _HALF_LAYERS,
            "architecture": _ARCHITECTURE,
            "resample_filter": _FILTER,
            "conv_clamp": _CLAMP,
            "use_noise": _FLAG,
            "activation": _ACTIVATION,
        },
    },
    "stylegan2.Discriminator": {
        "c_dim": _LABELS,
        "img_resolution": _power_of_two(8, 2048),  # at 4 there would be no block that looks at the picture
        "img_channels": _PICTURE_CHANNELS,
        "architecture": _ARCHITECTURE,
        "channel_base": _BASE,
        "channel_max": _CHANNELS,
        "num_fp16_res": _HALF_LAYERS,
        "conv_clamp": _CLAMP,
        "cmap_dim": _or_none(_whole(1, 1 << 14)),
        "block_kwargs": {"activation": _ACTIVATION, "resample_filter": _FILTER, "freeze_layers": _whole(0, 100)},
        "mapping_kwargs": _MAPPING,
        "epilogue_kwargs": {
            "mbstd_group_size": _or_none(_whole(1, 1 << 16)),
            "mbstd_num_channels": _whole(0, 1 << 10),
            "activation": _ACTIVATION,
        },
    },
    "stylegan3.Generator": _LATENT
    | {
        "img_resolution": _power_of_two(16, 2048),
        "channel_base": _BASE,
        "channel_max": _CHANNELS,
        "num_layers": _whole(2, 64),
        "num_critical": _whole(0, 64),
        "first_cutoff": _number(0.5, 1024),
        "first_stopband": _number(1, 4096),
        # Below 1 the last layers would sample more coarsely than those before: filters of any size.
        "last_stopband_rel": _number(1, 16),
        "margin_size": _whole(0, 128),
        "output_scale": _number(-1e6, 1e6),
        "num_fp16_res": _HALF_LAYERS,
        "conv_kernel": _one_of(1, 3),
        "filter_size": _whole(1, 16),
        "lrelu_upsampling": _whole(1, 8),
        "use_radial_filters": _FLAG,
        "conv_clamp": _CLAMP,
        "magnitude_ema_beta": _number(0, 1),
    },
}


def _check(kind: str, settings: object, rules: _Rules, inside: str = "") -> None:
    if not isinstance(settings, dict):
        raise InputError(f"{inside.rstrip('.') or 'the settings'} of a {kind} are not a dict of arguments")
    for name, value in settings.items():
        if name not in rules:
            raise InputError(f"a {kind} has no argument {reprlib.repr(inside + str(name))}")
        rule = rules[name]
        if isinstance(rule, dict):
            if value is not None:
                _check(kind, value, rule, f"{inside}{name}.")
        elif not rule.holds(value):
            raise InputError(f"a {kind} with {inside}{name}={reprlib.repr(value)}: must be {rule.says}")


def network(
    kind: str, settings: dict[str, object], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor]
) -> nn.Module:
    """One network with the weights of a file, in evaluation mode, on the CPU, without gradients.

    Args:
        kind: a key of `CLASSES`.
        settings: its constructor arguments, as the file gives them; they are checked here.
        shapes: of the file's tensors, by their names in the state dict.
        read: the tensor of a name, in memory that belongs to nobody else; called only when every shape fits.

    Raises:
        InputError: an unknown class or argument, an argument out of range, or names or shapes that do not fit.
    """
    if not isinstance(kind, str) or kind not in CLASSES:
        raise InputError(f"the file names a network of class {reprlib.repr(kind)}; known are {', '.join(CLASSES)}")
    _check(kind, settings, RULES[kind])
    try:
        with torch.device("meta"):
            net = CLASSES[kind](**settings)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError) as problem:
        raise InputError(f"a {kind} cannot have these settings ({one_line(problem)})") from None
    expected = net.state_dict()
    _compare(kind, {name: tuple(value.shape) for name, value in expected.items()}, shapes)
    weights = {}
    for name, like in expected.items():
        value = read(name)
        if value.is_floating_point() != like.is_floating_point():
            raise InputError(f"the tensor {name} of a {kind} holds {value.dtype}, where {like.dtype} belongs")
        if name.endswith("filter") and not value.isfinite().all():
            raise InputError(f"the tensor {name} of a {kind} holds NaN or infinity: the file is damaged")
        weights[name] = value.to(like.dtype)
    net.load_state_dict(weights, strict=True, assign=True)
    return net.eval().requires_grad_(False)


def _compare(kind: str, expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    for name in expected:
        if name not in found:
            raise InputError(f"the tensor {name} of a {kind} is missing")
        if expected[name] != tuple(found[name]):
            raise InputError(
                f"the tensor {name} of a {kind} has the shape {reprlib.repr(list(found[name]))}, "
                f"where {list(expected[name])} belongs"
            )
    if unknown := found.keys() - expected.keys():
        raise InputError(f"a {kind} with these settings has no tensor {reprlib.repr(min(unknown))}")
