"""Networks from what a file says about them: a class of the closed list, checked constructor arguments, compared shapes.

Every reader of network files ends here, whatever the format, so that a file with absurd sizes is refused before anything of
those sizes exists: first the arguments are held against the ranges below, then the network is built without memory (PyTorch's
"meta" device) and its shapes are compared with the file's, and only then are the weights read.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from facegen.files import InputError, one_line
from facegen.models import cyclegan, dcgan, stylegan2, stylegan3

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


# Arguments mean the same in every class. A constructor checks its words itself; numbers are bounded here, because it would
# loop over them or compute filters of their size: the least and the most, a float where fractions may be given.
RANGES: dict[str, tuple[float, float]] = {
    "z_size": (1, 1 << 14),
    "z_dim": (1, 1 << 14),
    "w_dim": (1, 1 << 14),
    "c_dim": (0, 1 << 17),
    "cmap_dim": (1, 1 << 14),
    "embed_features": (1, 1 << 14),
    "layer_features": (1, 1 << 14),
    "image_size": (4, 2048),
    "img_resolution": (4, 2048),
    "img_channels": (1, 64),
    "out_channels": (1, 64),
    "conv_dim": (1, 4096),
    "width": (1, 4096),
    "channel_base": (1, 1 << 22),
    "channel_max": (1, 1 << 14),
    "blocks": (0, 64),
    "downs": (1, 16),
    "layers": (1, 16),
    "num_layers": (1, 64),
    "num_critical": (0, 64),
    "num_fp16_res": (0, 64),
    "freeze_layers": (0, 100),
    "mbstd_group_size": (1, 1 << 16),
    "mbstd_num_channels": (0, 1 << 10),
    "margin_size": (0, 128),
    "conv_kernel": (1, 3),
    "filter_size": (1, 16),
    "lrelu_upsampling": (1, 8),
    "first_cutoff": (0.5, 1024.0),
    "first_stopband": (1.0, 4096.0),
    "last_stopband_rel": (1.0, 16.0),  # below 1 the last layers would sample more coarsely than those before
    "output_scale": (-1e6, 1e6),
    "conv_clamp": (0.0, 1e6),
    "lr_multiplier": (0.0, 100.0),
    "slope": (0.0, 100.0),
    "w_avg_beta": (0.0, 1.0),
    "magnitude_ema_beta": (0.0, 1.0),
}
TYPES = dict.fromkeys(("activation", "architecture", "norm", "padding_mode"), str)
TYPES |= dict.fromkeys(("dropout", "use_noise", "use_radial_filters"), bool)
FILTER = "resample_filter"  # the one list
GROUPS = ("mapping_kwargs", "synthesis_kwargs", "block_kwargs", "epilogue_kwargs")


def _check(kind: str, settings: object, inside: str = "") -> None:
    if not isinstance(settings, dict):
        raise InputError(f"{inside.rstrip('.') or 'the settings'} of a {kind} are not a dict of arguments")
    for name, value in settings.items():
        if value is None:  # the constructor knows where this may be
            continue
        if name in GROUPS and not inside:
            _check(kind, value, f"{name}.")
        elif name in RANGES:
            _check_number(f"a {kind} with {inside}{name}", value, *RANGES[name])
        elif name in TYPES:
            if type(value) is not TYPES[name] or len(str(value)) > 32:
                what = "one of the words that it knows" if TYPES[name] is str else "true or false"
                raise InputError(f"a {kind} with {inside}{name}={reprlib.repr(value)}: must be {what}")
        elif name == FILTER:
            if type(value) is not list or not 1 <= len(value) <= 32:
                raise InputError(f"a {kind} with {inside}{name}={reprlib.repr(value)}: must be a list of 1 to 32 numbers")
            for tap in value:
                _check_number(f"a {kind} with a tap of {inside}{name}", tap, -1e6, 1e6)
        else:
            raise InputError(f"a {kind} has no argument {reprlib.repr(inside + str(name))}")


def _check_number(what: str, value: object, low: float, high: float) -> None:
    whole = type(low) is int
    if type(value) not in ((int,) if whole else (int, float)) or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise InputError(f"{what}={reprlib.repr(value)}: must be a {kind} from {low:g} to {high:g}")


def network(
    kind: str, settings: dict[str, object], shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], Tensor]
) -> nn.Module:
    """One network with the weights of a file, in evaluation mode, on the CPU, without gradients.

    Args:
        kind: a key of `CLASSES`.
        settings: its constructor arguments, as the file gives them; they are checked here.
        shapes: of the file's tensors, by their names in the state dict.
        read: the tensor of a name, in memory that belongs to nobody else; called only when every shape fits.
    """
    if not isinstance(kind, str) or kind not in CLASSES:
        raise InputError(f"the file names a network of class {reprlib.repr(kind)}; known are {', '.join(CLASSES)}")
    _check(kind, settings)
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
