"""One check per exercise: `tests.test_scale(scale)` in a notebook; `pytest problem_unittests.py` checks the package's own.

A check looks at what a component does, never at how it is written. It says one line: what it verified, or, as an
AssertionError, what was expected, what came, and the mistake that usually explains it. Checks run on the CPU within a second
or two, with inputs from a fixed seed, and leave random states, default dtype and grad mode as they were.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import random
import re
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import facegen.data
from facegen.evaluation import distances, equivariance
from facegen.latent import edit, project
from facegen.models import cyclegan as networks
from facegen.models import dcgan, stylegan2
from facegen.models.layers import modulated_conv2d
from facegen.training import ada, cyclegan, losses, steps, stylegan, symptoms
from facegen.training.runs import read_config

SEED = 2024

# ------------------------------------------------------------------------------------------------ how a check talks


class _Mistake(Exception):
    """What a check found; its text becomes the one line that the learner reads."""


# What PyTorch and Python say, and what a beginner most often did.
_HINTS = {
    r"before Module.__init__": "call super().__init__() first in __init__",
    r"required \"forward\" function": "define forward(self, ...), with the indentation of __init__",
    r"does not require grad|not have been used in the graph": "the graph is cut: look for detach, no_grad or item, and for"
    " a requires_grad_(True) that a new tensor needs before D sees it",
    r"size of tensor a .* must match": "shapes do not fit: one number per picture needs the shape [N, 1, 1, 1]",
    r"mat1 and mat2 shapes": "flatten the picture, or reshape after the Linear layer, and recount its sizes",
    r"transposed=1.*to have|expected input.*channels|Expected 3D.*or 4D": "compare the layer's channels with its input's;"
    " before a convolution z needs the shape [N, channels, height, width]",
    r"Kernel size can't be greater": "one halving too many: the picture is smaller than the kernel",
    r"is invalid for input of size": "a reshape does not fit the number of values: print the shape before it",
    r"Target size .* must be the same as input size|same shape as the input": "targets need the shape of the logits: ones_like",
    r"between 0 and 1": "binary_cross_entropy wants probabilities, but these are logits: take the version with_logits",
    r"inplace operation|in-place operation": "change weights through nn.init, .data or under torch.no_grad()",
    r"no attribute 'weight'|no attribute 'bias'": "not every module has weights: look at the type of m first",
    r"'NoneType' object has no attribute '(data|zero_|fill_)'|NoneType.*(zero_|fill_)": "a layer with bias=False has bias None",
    r"stack expects.*\[1, |stack expects.*\[4, ": "greyscale and RGBA files have to become 3 channels: convert('RGB')",
    r"stack expects each tensor": "pictures of different sizes in one batch: resize the short side, then crop to a square",
    r"grad can be implicitly created only for scalar": "only one number can be differentiated: take the mean of a loss,"
    " the sum of D's outputs",
    r"backward through the graph a second": "a graph was used twice: run D again on detached pictures",
    r"'tuple' object has no attribute": "torch.autograd.grad gives a tuple: take its first entry, [0]",
    r"'NoneType' and 'int'|'int' and 'NoneType'": "None is no number: ask `is None` before you compare",
    r"truth value of a Tensor|Boolean value of Tensor": "`if` wants one answer, but each row has its own: take torch.where",
    r"3D or 4D \\(batch mode\\)|3D or 4D input|non-empty 3D or 4D": "pooling wants [N, C, H, W]: noise[None, None]",
    r"object is not subscriptable": "layer_of is a function: layer_of(name)",
    r"No CUDA|not compiled with CUDA|NVIDIA driver": "no device belongs inside: checks run on the CPU",
}
_WHOLE = r"not implemented for 'Long'|output type Long|can't be cast to.*Long"
_TARGET_HINTS = {
    _WHOLE: "the target holds whole numbers: write 1.0, or torch.ones_like(logits)",
    r"'(int|float|bool)' object has no attribute|must be Tensor, not (int|float)": "the target has to be a tensor of"
    " the logits' shape: torch.ones_like(logits)",
}
# The same error means something else in some exercises; these come first.
_OWN_HINTS = {
    "get_dataloader": {
        r"ToTensor.*(takes|argument)": "write ToTensor() with brackets",
        r"batch must contain tensors.*PIL": "the data set gives pictures, not tensors: is ToTensor() among the transforms, and"
        " is transform=... given to ImageFolder?",
    },
    "Discriminator": {
        r"expected input.*channels|to have.*channels": "the first layer takes 3 channels, each further one what the layer"
        " before it gives, batch norm too",
    },
    "Generator": {
        r"Kernel size can't be greater": "is it ConvTranspose2d? Conv2d makes the picture smaller",
    },
    "weights_init_normal": {r"truth value of a Tensor|Boolean value of Tensor": "ask `if m.bias is not None`"},
    "real_loss": _TARGET_HINTS,
    "fake_loss": {pattern: hint.replace("1.0", "0.0").replace("ones", "zeros") for pattern, hint in _TARGET_HINTS.items()},
    "update_ema": {_WHOLE: "whole numbers, such as batch norm's count of batches, have no average: buffers are copied"},
}
# Files of PyTorch that stand between a check and the learner's forward or decorated function.
_CALLING = ("module.py", "_contextlib.py")


def _explained(name: str, error: Exception) -> str:
    """One line for an exception that came out of the learner's code."""
    text = " ".join(str(error).split())
    if isinstance(error, NotImplementedError) and "forward" not in text and "not implemented for" not in text:
        return f"{name} is not written yet: fill in its cell, run it, and run this check again"
    installed = str(Path(torch.__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename != __file__ and not f.filename.startswith(installed)]
    place = f" in {own[-1].name}, line {own[-1].lineno}" if own else ""
    hints = [*_OWN_HINTS.get(name, {}).items(), *_HINTS.items()]
    hint = next((hint for pattern, hint in hints if re.search(pattern, text)), None)
    refused = all(f.filename == __file__ or f.filename.endswith(_CALLING) for f in frames)  # the call itself failed
    if hint is None and isinstance(error, TypeError) and refused:
        hint = "check the signature, it has to be as the exercise says"
    start, end = f"{name} raised {type(error).__name__}{place}: ", f" -- {hint}" if hint else ""
    return start + text[: max(20, min(120, 290 - len(start) - len(end)))] + end


@contextlib.contextmanager
def _sandbox() -> Iterator[None]:
    """Fixed seeds, float32, CPU and gradients inside; everything as it was outside."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    try:
        with torch.random.fork_rng(gpus), torch.inference_mode(False), torch.enable_grad(), torch.device("cpu"):
            torch.default_generator.manual_seed(SEED)
            random.seed(SEED)
            np.random.seed(SEED)
            torch.set_default_dtype(torch.float32)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_default_dtype(dtype)


def _exercise(name: str, verified: str) -> Callable:
    """Turn a check into what the notebook calls: any failure becomes an AssertionError of one line, success prints one.

    What a check returns, if anything, is a note for the learner whose component is right; it ends the line.
    """

    def decorate(check: Callable) -> Callable:
        @functools.wraps(check)
        def run(*component: object, **named: object) -> None:
            __tracebackhide__ = True  # pytest and IPython leave this frame out
            problem = None
            with _sandbox():
                try:
                    note = check(*component, **named)
                except _Mistake as mistake:
                    problem = f"{name}: {mistake}"
                except Exception as error:
                    problem = _explained(name, error)
            if problem:  # raised out here, so that no second traceback hangs on it
                raise AssertionError(" ".join(problem.split()))
            print(f"{name}: passed ({verified})" + (f"; but {note}" if note else ""))

        return run

    return decorate


def _require(ok: bool | Tensor, mistake: str) -> None:
    if not ok:
        raise _Mistake(mistake)


def _tensor(value: object, what: str) -> Tensor:
    """`value`, if it is a tensor on the CPU without NaN; otherwise the check fails."""
    _require(value is not None, f"{what} is None: is the return statement missing?")
    _require(isinstance(value, Tensor), f"{what} is a {type(value).__name__}, expected a tensor")
    _require(value.device.type == "cpu", f"{what} is on {value.device}, its input was on the CPU: leave devices out of it")
    _require(value.isfinite().all(), f"{what} contains NaN or infinity")
    return value


def _close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Equal up to `tolerance` of the largest value."""
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max().clamp_min(1e-3))


def _name_of(got: Tensor, right: Tensor, mistakes: Mapping[str, Tensor], otherwise: str, tolerance: float = 1e-3) -> str:
    """The mistake whose result is `got`, leaving out those that happen to give the right result."""
    for name, wrong in mistakes.items():
        if _close(got, wrong, tolerance) and not _close(right, wrong, tolerance):
            return name
    return otherwise


def _shape(x: Tensor) -> str:
    return str(list(x.shape))


def _generator() -> torch.Generator:
    """The checks' own source of inputs: what a component draws does not change them."""
    return torch.Generator().manual_seed(SEED)


def _between(low: int, high: int, g: torch.Generator) -> int:
    """A random whole number in low..high."""
    return int(torch.randint(low, high + 1, (), generator=g))


# --------------------------------------------------------------------------------------------------- 01: the data

Mapped = Callable[[Tensor, float, float], Tensor]

_SCALE_MISTAKES: dict[str, Mapped] = {
    "it took the minimum and maximum of this batch; 0 and 1 are the ends of x, whatever the batch holds": lambda x, lo, hi: (
        (x - x.min()) / (x.max() - x.min()).clamp_min(1e-9) * (hi - lo) + lo
    ),
    "x came back as it was, or only clamped": lambda x, lo, hi: x,
    "feature_range is ignored": lambda x, lo, hi: x * 2 - 1,
    "it multiplies with the maximum, not with the width max - min of the range": lambda x, lo, hi: x * hi + lo,
    "the minimum is not added": lambda x, lo, hi: x * (hi - lo),
    "it divides by 255, but x is in [0, 1] already": lambda x, lo, hi: x / 255 * (hi - lo) + lo,
    "it is upside down: 0 has to become the minimum": lambda x, lo, hi: hi - x * (hi - lo),
    "this is the inverse, unscale": lambda x, lo, hi: (x - lo) / (hi - lo),
}

_UNSCALE_MISTAKES: dict[str, Mapped] = {
    "it took the minimum and maximum of this batch; the ends a, b are those of feature_range": lambda x, lo, hi: (
        (x - x.min()) / (x.max() - x.min()).clamp_min(1e-9)
    ),
    "x came back as it was": lambda x, lo, hi: x,
    "brackets are missing around x - min, that is x - a: division goes first": lambda x, lo, hi: x - lo / (hi - lo),
    "feature_range is ignored": lambda x, lo, hi: (x + 1) / 2,
    "this is scale itself, not its inverse": lambda x, lo, hi: x * (hi - lo) + lo,
    "the minimum is not subtracted: x - a": lambda x, lo, hi: x / (hi - lo),
    "the difference is not divided by the width b - a": lambda x, lo, hi: x - lo,
    "it divides by the end b, not by the width b - a of the range": lambda x, lo, hi: (x - lo) / hi if hi else x * 0,
    "it ends in 0..255, expected [0, 1]": lambda x, lo, hi: (x - lo) / (hi - lo) * 255,
    "it is upside down: the end a has to become 0": lambda x, lo, hi: (hi - x) / (hi - lo),
    "it clamps; it has to shrink the range": lambda x, lo, hi: x.clamp(0, 1),
}


def _check_map(function: Callable, name: str, right: Mapped, start: Mapped, mistakes: dict[str, Mapped]) -> None:
    """Compare an elementwise map with `right(x, lo, hi)`; `start` makes its input from numbers in [0, 1]."""
    g = _generator()
    ranges = [None, (-1, 1), (0, 1), (-2, 3), (0.0, 255.0), (5, 10), (-1.0, 0.0)]
    for trial, limits in enumerate(ranges):
        lo, hi = limits or (-1, 1)
        sizes = [_between(1, 6, g) for _ in range(trial % 4)]
        dtype = torch.float64 if trial == 3 else torch.float32
        # Never the whole of [0, 1]: what depends on the batch's own extremes has to show.
        share = 0.15 + 0.5 * torch.rand(*sizes, 3, 5, generator=g, dtype=dtype)
        x = start(share, lo, hi)
        before = x.clone()
        call = f"{name}(x)" if limits is None else f"{name}(x, {limits})"
        y = _tensor(function(x) if limits is None else function(x, limits), f"the result of {call}")
        _require(torch.equal(x, before), f"{call} changed x itself: it has to make a new tensor (no +=, *=, mul_ on x)")
        _require(y.shape == x.shape, f"{call} has shape {_shape(y)}, expected that of x, {_shape(x)}")
        _require(y.dtype == x.dtype, f"{call} is {y.dtype}, expected {x.dtype} as x is: no rounding, no conversion")
        want = right(before, lo, hi)
        if not _close(y, want):
            at = int((y - want).abs().argmax())
            wrong = {text: mistake(before, lo, hi) for text, mistake in mistakes.items()}
            mistake = _name_of(y, want, wrong, "try the two ends and the middle of the range by hand")
            values = [float(t.flatten()[at]) for t in (before, want, y)]
            raise _Mistake("{} of x = {:.4g} should be {:.4g}, but is {:.4g}: {}".format(call, *values, mistake))


def _scaled(x: Tensor, lo: float, hi: float) -> Tensor:
    return lo + x * (hi - lo)


def _unscaled(y: Tensor, lo: float, hi: float) -> Tensor:
    return (y - lo) / (hi - lo)


@_exercise("scale", "values in 7 ranges, shape and dtype kept, x untouched")
def test_scale(scale=facegen.data.scale):
    """scale(x, feature_range=(-1, 1)): from [0, 1] to any range, the same map for every batch."""
    _check_map(scale, "scale", _scaled, lambda share, lo, hi: share, _SCALE_MISTAKES)


@_exercise("unscale", "values in 7 ranges, inverse of scale, argument untouched")
def test_unscale(unscale=facegen.data.unscale):
    """unscale(x, feature_range=(-1, 1)): from any range back to [0, 1]."""
    _check_map(unscale, "unscale", _unscaled, _scaled, _UNSCALE_MISTAKES)


# The test pictures: a disc of half the short side in the middle of an almost black picture, its lower half darker. The
# disc's colour tells the pictures apart; red > green > blue in all of them, so that a swapped order of channels shows.
_BACKGROUND, _DARKER = 12, 0.8
_PICTURES = [  # class, width, height, colour of the disc, mode of the file
    ("ada", 40, 40, (250, 120, 30), "RGB"),
    ("ada", 72, 48, (250, 170, 30), "RGB"),
    ("ada", 48, 76, (210, 120, 30), "RGB"),
    ("ada", 36, 36, (210, 170, 30), "RGBA"),
    ("bo", 80, 50, (170, 120, 30), "RGB"),
    ("bo", 50, 81, (250, 120, 80), "RGB"),
    ("bo", 64, 64, (250, 170, 80), "RGB"),
    ("bo", 66, 44, (180, 180, 180), "L"),
    ("cy", 33, 55, (210, 120, 80), "RGB"),
    ("cy", 90, 60, (210, 170, 80), "RGBA"),
    ("cy", 38, 57, (225, 225, 225), "L"),
    ("cy", 60, 60, (170, 120, 80), "RGB"),
    ("cy", 75, 50, (250, 210, 120), "RGB"),
]


def _write_pictures(folder: Path) -> None:
    for number, (label, width, height, colour, mode) in enumerate(_PICTURES):
        picture = Image.new("RGB", (width, height), (_BACKGROUND,) * 3)
        radius = min(width, height) / 4
        box = (width / 2 - radius, height / 2 - radius, width / 2 + radius, height / 2 + radius)
        draw = ImageDraw.Draw(picture)
        draw.pieslice(box, 180, 360, fill=colour)
        draw.pieslice(box, 0, 180, fill=tuple(int(_DARKER * c) for c in colour))
        (folder / label).mkdir(parents=True, exist_ok=True)
        picture.convert(mode).save(folder / label / f"{number:02}.png")


def _run_length(bright: Tensor) -> int:
    """How many True there are in a row around the middle of a line."""
    middle = len(bright) // 2
    right, left = bright[middle:].tolist(), bright[:middle].flip(0).tolist()
    return [*right, False].index(False) + [*left, False].index(False)


def _recognise(picture: Tensor, size: int) -> int:
    """The number of a test picture [3, S, S] in [0, 1], found by its colour; fails if it is distorted or recoloured."""
    middle, step = size // 2, max(2, size // 9)
    above, below = picture[:, middle - step, middle], picture[:, middle + step, middle]
    left, right = picture[:, middle, middle - step], picture[:, middle, middle + step]
    colours = torch.tensor([colour for *_, colour, _ in _PICTURES]) / 255
    upright = float(above.sum() - below.sum()) > 0.05 * float(above.sum())
    _require(
        upright and float((left - right).abs().max()) < 0.1,
        "a picture does not stand upright: flipped, or rows and columns changed places (a permute or reshape too many),"
        " or not the centre was cut out (CenterCrop)",
    )
    distance, swapped = ((colours - c).abs().amax(1) for c in (above, above.flip(0)))
    number = int(distance.argmin())
    if distance[number] > 0.03:
        _require(above.max() - above.min() > 0.02 or float(swapped.min()) < 0.03, "a colour picture came back grey")
        _require(swapped.min() > 0.03, "red and blue changed places (BGR): expected the channel order red, green, blue")
        raise _Mistake(
            f"a colour came back as {[round(float(c), 2) for c in above]}, which is in none of the files: expected"
            " value / 255, not normalised by mean or standard deviation"
        )
    bright = picture.sum(0) > 0.45 * float(above.sum())
    wide, high = _run_length(bright[middle]), _run_length(bright[:, middle])
    _, width, height, *_ = _PICTURES[number]
    _require(
        max(wide, high) <= 1.22 * min(wide, high) + 1,
        f"a {width} x {height} picture is distorted: its disc is {wide} x {high} pixels; Resize((S, S)) squeezes, resize the"
        " short side only and crop to a square",
    )
    _require(
        wide <= 0.62 * size + 1,
        f"a {width} x {height} picture lost too much: its disc, half of the short side, fills {wide} of {size} pixels;"
        " resize before the crop",
    )
    _require(
        wide >= 0.5 * size * min(width, height) / max(width, height) - 2,
        f"a {width} x {height} picture shrank: its disc, half of the short side, fills {wide} of {size} pixels;"
        " a crop larger than the picture pads it with black: resize first",
    )
    return number


def _epoch(loader: object, batch_size: int, size: int) -> tuple[list[int], list[int]]:
    """Run through a loader once: which pictures came, and their labels."""
    numbers, labels, shorter = [], [], 0
    for batch in loader:
        _require(
            isinstance(batch, (tuple, list)) and len(batch) == 2,
            f"a batch is a {type(batch).__name__}, expected a pair (images, labels)",
        )
        images = _tensor(batch[0], "the batch of images")
        _require(images.dim() != 3, f"it gives single pictures {_shape(images)}: return a DataLoader over the data set")
        _require(
            images.dim() == 4 and images.shape[-1] != 3,
            f"images have shape {_shape(images)}, expected [B, 3, {size}, {size}]: channels come before rows (ToTensor)",
        )
        n, channels, *rest = images.shape
        _require(channels == 3, f"images have {channels} channel(s), expected 3: greyscale and RGBA files become RGB")
        _require(rest == [size, size], f"images are {rest[0]} x {rest[1]}, expected {size} x {size}: is image_size used?")
        _require(images.dtype == torch.float32, f"images are {images.dtype}, expected torch.float32 in [0, 1] (ToTensor)")
        low, high = float(images.min()), float(images.max())
        _require(high <= 1.01, f"values reach {high:.4g}, expected [0, 1]: pixels are still 0..255, divide by 255 (ToTensor)")
        _require(low >= -0.01, f"values go down to {low:.3g}, expected [0, 1]: going to [-1, 1] is scale's job (no Normalize)")
        _require(
            shorter == 0 and n <= batch_size,
            f"a batch holds {n} pictures, expected {batch_size} and only the last one shorter: is batch_size used?",
        )
        shorter += n < batch_size
        label = torch.as_tensor(batch[1])
        _require(label.shape == (n,), f"labels have shape {_shape(label)} for {n} images, expected [{n}]")
        numbers += [_recognise(picture, size) for picture in images]
        labels += label.tolist()
    full = len(_PICTURES) // batch_size * batch_size
    _require(
        len(set(numbers)) == len(numbers),
        "a picture came twice in one epoch: drawn with replacement, expected every picture once (shuffle=True)",
    )
    _require(
        len(numbers) >= full,
        f"an epoch has {len(numbers)} of {len(_PICTURES)} pictures, expected at least the {full} in full batches:"
        " does it read every class folder, and can it be run through again?",
    )
    return numbers, labels


@_exercise("get_dataloader", "3 sizes, square without distortion, RGB in [0, 1], shuffled anew, labels")
def test_get_dataloader(get_dataloader=facegen.data.get_dataloader):
    """get_dataloader(batch_size, image_size, data_dir): batches (images [B, 3, S, S] in [0, 1], labels), reshuffled."""
    with tempfile.TemporaryDirectory() as folder:
        _write_pictures(Path(folder))
        for batch_size, size in ((4, 24), (5, 64), (2, 33)):
            loader = get_dataloader(batch_size, size, folder)
            _require(loader is not None, "returned None: is the return statement missing?")
            epochs = [_epoch(loader, batch_size, size) for _ in range(3)]
            orders = [numbers for numbers, _ in epochs]
            _require(
                any(order != sorted(order) for order in orders),
                "the pictures come in the order of the files: not shuffled (shuffle=True)",
            )
            _require(orders[0] != orders[1] or orders[1] != orders[2], "shuffled once: expected a new order in every epoch")
            pairs = {(_PICTURES[number][0], label) for order, labels in epochs for number, label in zip(order, labels)}
            _require(
                len(pairs) == len({name for name, _ in pairs}) == len({label for _, label in pairs}),
                "labels do not tell the class folders apart: expected one number for each folder, the same in every epoch",
            )
            del loader  # before the folder goes: Windows keeps open files


# ------------------------------------------------------------------------------------------------- 02: the networks


def _pictures(n: int, g: torch.Generator) -> Tensor:
    """Smooth random pictures [N, 3, 64, 64] in [-1, 1] that differ in more than noise."""
    coarse = F.interpolate(torch.randn(n, 3, 4, 4, generator=g), size=64, mode="bilinear")
    return torch.tanh(coarse + 0.3 * torch.randn(n, 3, 64, 64, generator=g))


def _network(component: Callable[..., nn.Module], *sizes: int) -> nn.Module:
    """Build a network; fails if it is no module, or if it hides layers from its optimiser."""
    net = component(*sizes)
    _require(isinstance(net, nn.Module), f"building it gives a {type(net).__name__}, expected an nn.Module")
    known = set(net.modules())
    for module in known:
        for attribute, value in vars(module).items():
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            _require(
                all(item in known for item in inside if isinstance(item, nn.Module)),
                f"self.{attribute} holds layers in a plain {type(value).__name__}, where no optimiser finds them:"
                " use nn.ModuleList or nn.Sequential",
            )
    _require(any(True for _ in net.parameters()), "it has no parameters to train")
    return net


def _gradients_reach(net: nn.Module, result: Tensor) -> None:
    """Fail unless every parameter of `net` has a part in `result`."""
    _require(result.requires_grad, "no gradient reaches any weight: is there a detach or no_grad in forward?")
    for name, p in net.named_parameters():
        _require(p.requires_grad, f"the parameter {name} is frozen (requires_grad is False)")
    names, parameters = zip(*net.named_parameters())
    for name, p, gradient in zip(names, parameters, torch.autograd.grad(result, parameters, allow_unused=True)):
        _require(gradient is not None, f"the parameter {name} gets no gradient: is its layer left out of forward, or cut off?")
        # A bias in front of batch norm has gradient 0 by rights, so only weights have to have one.
        _require(p.dim() < 2 or gradient.any(), f"the gradient of {name} is 0 everywhere: is its result cut off or times 0?")


def _width_follows(component: Callable[..., nn.Module], *sizes: int) -> None:
    """Fail unless twice the conv_dim makes a much wider network. `sizes` come before conv_dim."""
    narrow, wide = (sum(p.numel() for p in component(*sizes, c).parameters()) for c in (8, 16))
    _require(
        wide >= 1.8 * narrow,
        f"conv_dim 8 gives {narrow} weights and conv_dim 16 gives {wide}, expected about 4 times as many:"
        " is conv_dim used in every layer?",
    )


def _alone_or_together(net: nn.Module, x: Tensor, what: str) -> None:
    """Fail unless, in evaluation mode, each row's result is the same alone, together and again."""
    net.eval()
    with torch.no_grad():
        together = net(x)
        again = net(x)
        alone = torch.cat([net(row[None]).reshape(1, *together.shape[1:]) for row in x])
    # Measured against how much the results differ, since that is what other rows could change.
    allowed = 0.1 * float(together.std(0).max()) + 1e-5 * float(together.abs().max())
    _require(
        (together - again).abs().max() <= allowed,
        f"in eval mode the same {what} come out differently the second time: is there noise or F.dropout in forward?",
    )
    _require(
        (together - alone).abs().max() <= allowed,
        f"in eval mode a result depends on the other {what} of the batch: batch statistics, or a reshape that mixes rows?",
    )


def _drive(net: nn.Module, inputs: Tensor, direction: int, done: Callable[[Tensor], bool], limit: int = 25) -> Tensor:
    """Train `net` until its results are `done` with going up (+1) or down (-1): shows what they can reach at all.

    Sound networks of any kind get there in about 5 steps.
    """
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    result = net(inputs)
    for _ in range(limit):
        if done(result) or not result.requires_grad:
            break
        optimizer.zero_grad()
        (-direction * result.mean()).backward()
        optimizer.step()
        result = net(inputs)
    return result.detach()


@_exercise("Discriminator", "shapes, unbounded logits, whole picture seen, gradients, batch independence, width")
def test_discriminator(Discriminator=dcgan.Discriminator):
    """Discriminator(conv_dim): pictures [N, 3, 64, 64] -> one unbounded logit per picture."""
    g = _generator()
    for conv_dim in (8, 6, 12):
        net = _network(Discriminator, conv_dim)
        n = _between(2, 5, g)
        x = _pictures(n, g)
        before = x.clone()
        logits = _tensor(net(x), "the result")
        _require(torch.equal(x, before), "it changed the pictures it was given: the first layer works in place")
        _one_per_picture(logits, n)
        with torch.no_grad():
            _one_per_picture(_tensor(net.eval()(x[:1]), "the result for one picture"), 1)
    net = _network(Discriminator, 8)
    _gradients_reach(net, (net(_pictures(4, g)).flatten() * torch.randn(4, generator=g)).sum())
    _alone_or_together(_network(Discriminator, 8), _pictures(5, g), "pictures")
    _whole_picture_counts(Discriminator, g)
    _logits_are_unbounded(Discriminator, _pictures(4, g))
    _width_follows(Discriminator)


def _one_per_picture(logits: Tensor, n: int) -> None:
    shape = _shape(logits)
    _require(
        logits.dim() > 0,
        "one picture gives a number without axes, expected [1], [1, 1] or [1, 1, 1, 1]: squeeze() removed the batch",
    )
    _require(
        logits.numel() == n and logits.shape[0] == n,
        f"{n} pictures give shape {shape}, expected one logit each: [{n}], [{n}, 1] or [{n}, 1, 1, 1]"
        + (": reduce the last map to one value (a 4x4 convolution without padding, or Linear)" if logits.numel() > n else ""),
    )


def _logits_are_unbounded(Discriminator: Callable[..., nn.Module], x: Tensor) -> None:
    high = float(_drive(_network(Discriminator, 8), x, +1, lambda logits: bool(logits.max() > 2)).max())
    low = float(_drive(_network(Discriminator, 8), x, -1, lambda logits: bool(logits.min() < -2)).min())
    if high > 1.01 and low < -1.01:
        return
    reach = f"trained towards any value, its results stay between {low:.2g} and {high:.2g}, expected unbounded logits: "
    if low >= 0 and 0 < high <= 1.0001:
        raise _Mistake(reach + "there is a sigmoid at the end, but the loss applies it")
    if low >= 0:
        raise _Mistake(reach + "they are never negative, a ReLU at the end?")
    if high <= 0:
        raise _Mistake(reach + "they are never positive, a log-sigmoid at the end?")
    raise _Mistake(reach + "a tanh or clamp at the end?")


def _whole_picture_counts(Discriminator: Callable[..., nn.Module], g: torch.Generator) -> None:
    """Each of the 8 x 8 blocks of 8 x 8 pixels and each colour has to have an influence on the logit."""
    influence = torch.zeros(3, 64, 64)
    for _ in range(2):
        net, x = _network(Discriminator, 8).eval(), _pictures(4, g).requires_grad_(True)
        influence += torch.autograd.grad(net(x).sum(), x)[0].abs().sum(0)
    blocks = F.avg_pool2d(influence.sum(0)[None], 8)[0]
    _require((blocks > 0).any(), "the logit does not depend on the picture at all")
    unseen = int((blocks == 0).sum())
    _require(unseen == 0, f"{unseen} of 64 regions of the picture have no influence on the logit: is a part cropped away?")
    deaf = [name for name, channel in zip(("red", "green", "blue"), influence) if not channel.any()]
    _require(not deaf, f"the logit ignores {' and '.join(deaf)}: expected all 3 channels to count")


@_exercise("Generator", "shapes, range of a tanh, z decides, gradients, batch independence, width")
def test_generator(Generator=dcgan.Generator):
    """Generator(z_size, conv_dim): z [N, z_size] -> pictures [N, 3, 64, 64] in [-1, 1]."""
    g = _generator()
    for z_size, conv_dim in ((100, 8), (37, 6), (5, 12)):
        net = _network(Generator, z_size, conv_dim)
        n = _between(2, 5, g)
        z = torch.randn(n, z_size, generator=g)
        before = z.clone()
        _is_picture(_tensor(net(z), "the result"), n)
        _require(torch.equal(z, before), "it changed the z it was given: the first layer works in place")
        with torch.no_grad():
            _is_picture(_tensor(net.eval()(z[:1]), "the picture of a single z"), 1)
    net, z = _network(Generator, 10, 8), torch.randn(4, 10, generator=g)
    _gradients_reach(net, (net(z) * torch.randn(4, 3, 64, 64, generator=g)).sum())
    net = _network(Generator, 10, 8)
    _alone_or_together(net, z, "z")
    _z_decides(net, z)
    _range_is_that_of_tanh(Generator, z)
    _width_follows(Generator, 10)


def _is_picture(pictures: Tensor, n: int) -> None:
    shape = _shape(pictures)
    expected = f"z of shape [{n}, z_size] gives {shape}, expected [{n}, 3, 64, 64]: "
    _require(pictures.shape != (n, 64, 64, 3), expected + "channels come before rows")
    _require(pictures.dim() == 4, expected + "four axes, also for a single picture (no squeeze)")
    _require(pictures.shape[0] == n, expected + "one picture for each z")
    _require(pictures.shape[1] == 3, expected + "3 colour channels at the end")
    _require(pictures.shape[2] >= 64, expected + "count the doublings from 4 to 64, there are four")
    _require(
        pictures.shape[2:] == (64, 64), expected + "doubled too often, or kernel, stride, padding are off (4, 2, 1 doubles)"
    )


def _range_is_that_of_tanh(Generator: Callable[..., nn.Module], z: Tensor) -> None:
    net = _network(Generator, z.shape[1], 8)
    start = [p.detach().clone() for p in net.parameters()]
    bright = _drive(net, z, +1, lambda x: bool(x.max() > 0.97))
    dark = _drive(_network(Generator, z.shape[1], 8), z, -1, lambda x: bool(x.min() < -0.97))
    low, high = float(dark.min()), float(bright.max())
    reach = f"trained towards white and towards black, its values reach {low:.3g} and {high:.3g}, expected -1 and 1: "
    _require(high <= 1 and low >= -1, reach + "the tanh at the end is missing")
    if low >= 0 and high <= 1:
        raise _Mistake(reach + ("a ReLU before the tanh?" if low == 0 else "a sigmoid at the end, expected tanh"))
    _require(high > 0.9 and low < -0.9, reach + "the range is not used, is something after the tanh, or another function?")
    x = _barely_bright(net, start, z)
    _require(
        (x == 1).sum() <= 0.5 * (x > 0.97).sum(),
        "values beyond the range are cut off to exactly 1 (clamp), where no gradient flows: use tanh",
    )


@torch.no_grad()
def _barely_bright(net: nn.Module, start: list[Tensor], z: Tensor) -> Tensor:
    """Pictures on the way from the `start` weights to the present ones, where a few percent of the values exceed 0.97.

    There, a clamp has cut most of these values to 1, and a tanh hardly any (it rounds to 1 beyond 9).
    """
    end = [p.clone() for p in net.parameters()]
    low, high = 0.0, 1.0
    for _ in range(16):
        for p, a, b in zip(net.parameters(), start, end):
            p.copy_(torch.lerp(a, b, (low + high) / 2))
        x = net(z)
        share = float((x > 0.97).float().mean())
        if 0.005 < share < 0.05:
            break
        low, high = ((low + high) / 2, high) if share < 0.02 else (low, (low + high) / 2)
    return x


def _z_decides(net: nn.Module, z: Tensor) -> None:
    z = z.clone().requires_grad_(True)
    pictures = net.eval()(z)
    _require(pictures.any(), "every picture is 0 everywhere: a ReLU before the tanh?")
    difference = (pictures[:-1] - pictures[1:]).abs().amax((1, 2, 3)).min()
    _require(difference > 1e-5 * pictures.abs().max(), "different z give the same picture: is z used in forward?")
    (influence,) = torch.autograd.grad((pictures * pictures.detach().roll(7, -1)).sum(), z)
    unused = int((influence == 0).all(0).sum())
    _require(unused == 0, f"{unused} of {z.shape[1]} entries of z have no influence on the picture: use the whole of z")
    across = pictures.flatten(2).std(2).max()
    _require(across > 1e-6 * pictures.abs().max(), "every picture is one flat colour: is one value copied to all pixels?")
    _require(not torch.equal(pictures[:, 0], pictures[:, 1]), "red and green are always equal: one channel copied three times?")


@_exercise("weights_init_normal", "N(0, 0.02) and zero biases in 3 kinds of layers, others unharmed")
def test_weights_init(weights_init_normal=dcgan.weights_init_normal):
    """weights_init_normal(m), for net.apply: convolutions and Linear N(0, 0.02), biases 0; batch norm near 1 or left alone."""
    for width in (48, 64):
        net = nn.Sequential(
            nn.Sequential(nn.Conv2d(width, width, 4), nn.BatchNorm2d(4 * width), nn.LeakyReLU(0.2)),
            nn.ConvTranspose2d(width, width, 4),
            nn.Conv2d(width, width, 4, bias=False),
            nn.BatchNorm2d(width),
            nn.Flatten(),
            nn.Linear(3 * width, 4 * width),
            nn.Tanh(),
        )
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear))]
        with torch.no_grad():
            for layer in layers:  # far from any initialisation, so that a layer left out shows
                layer.weight.fill_(3.0)
                if layer.bias is not None:
                    layer.bias.fill_(0.7)
        net.apply(weights_init_normal)
        for layer in layers:
            _weights_are_normal(layer)
        _require(
            not torch.equal(layers[0].weight, layers[2].weight),
            "two layers got the same numbers: is there a manual_seed inside?",
        )
        norm = net[0][1]
        low, high = (float(end) for end in norm.weight.detach().aminmax())
        _require(
            low > 0.8 and high < 1.2,
            f"BatchNorm2d has weights from {low:.3g} to {high:.3g}, expected 1 (left alone) or N(1, 0.02):"
            " around 0 they erase the signal",
        )
        _require((norm.bias == 0).all(), "BatchNorm2d has a bias, expected 0")
        frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
        _require(not frozen, f"{frozen[:1]} no longer trains (requires_grad is False)")


def _weights_are_normal(layer: nn.Module) -> None:
    kind, weight = type(layer).__name__, layer.weight.detach()
    mean, std = float(weight.mean()), float(weight.std())
    got = f"{kind} has weights of mean {mean:.3g} and standard deviation {std:.3g}, expected 0 and 0.02: "
    _require(not (weight == 3).all(), f"{kind} was not initialised: Conv2d, ConvTranspose2d and Linear all count")
    _require(std > 1e-6, got + "all its weights are equal, so all its filters would learn the same")
    if not 0.019 < std < 0.021:
        known = {0.2: "0.2 instead of 0.02", 0.02**0.5: "0.02 is the standard deviation, not the variance"}
        known |= {1.0: "this is N(0, 1)", 0.0004: "0.02 was squared"}
        known |= {0.02 / 3**0.5: "uniform in [-0.02, 0.02], expected a normal distribution"}
        near = [text for value, text in known.items() if abs(std / value - 1) < 0.08]
        raise _Mistake(got + (near[0] if near else "does it depend on the layer's size (Xavier, Kaiming, the default)?"))
    _require(abs(mean) < 6 * 0.02 / weight.numel() ** 0.5, got + "the mean has to be 0")
    tail = float((weight.abs() > 0.04).float().mean())
    _require(0.035 < tail < 0.055, f"{kind}: {tail:.1%} of its weights lie beyond 0.04, expected 4.6%: not normal")
    if layer.bias is not None:
        _require((layer.bias == 0).all(), f"{kind} has a bias of {float(layer.bias.detach().abs().max()):.3g}, expected 0")


# --------------------------------------------------------------------------------------------------- 02: the losses

# How one value is wrong, by the loss it would be; x are the logits.
_BCE_MISTAKES: dict[str, Callable[[Tensor], Tensor]] = {
    "this is the sum, expected the mean": lambda x: F.softplus(-x).sum(),
    "the target is the other one, swapped: 1 is real, 0 is fake": lambda x: F.softplus(x).mean(),
    "the logits went through a sigmoid twice": lambda x: F.softplus(-x.sigmoid()).mean(),
    "the sign is wrong: a loss is positive": lambda x: -F.softplus(-x).mean(),
    "this is the squared distance to the target (least squares)": lambda x: (x - 1).square().mean(),
    "the squared distance of the probability, expected cross-entropy": lambda x: (x.sigmoid() - 1).square().mean(),
    "this is the hinge loss": lambda x: F.relu(1 - x).mean(),
    "this is the Wasserstein loss, there is no logarithm": lambda x: -x.mean(),
}
_BEYOND = "large logits give {:.4g}, expected {:.4g}: a logarithm of a sigmoid loses them, use binary_cross_entropy_with_logits"


def _check_loss(loss: Callable, right: Callable[[Tensor], Tensor], mistakes: Mapping[str, Callable], target: str) -> None:
    """Compare `loss(logits)` and its gradient with a closed form on fixed, random and very large logits."""
    g = _generator()
    ordinary = [torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([0.0])]
    ordinary += [2 * torch.randn(_between(2, 9, g), *axes, generator=g) for axes in ((), (1,), (1, 1, 1), (1,))]
    for logits in ordinary:
        x = logits.clone().requires_grad_(True)
        value = loss(x)
        _require(not isinstance(value, float), "returned a float, expected a tensor: .item() cuts the gradient off")
        value = _tensor(value, f"the loss of logits {_shape(x)}")
        _require(value.numel() == 1, f"the loss of logits {_shape(x)} has shape {_shape(value)}, expected one number: the mean")
        want = right(logits)
        if not _close(value.detach().reshape(()), want):
            # A second set of logits tells apart what agrees by chance on the first.
            pair = logits, ordinary[2]
            wrong = {text: torch.stack([mistake(x) for x in pair]) for text, mistake in mistakes.items()}
            got, both = torch.stack([loss(x).detach().mean() for x in pair]), torch.stack([right(x) for x in pair])
            text = _name_of(got, both, wrong, f"expected the binary cross-entropy against {target}")
            shown = f"logits {[round(v, 2) for v in logits.flatten()[:3].tolist()]}"
            shown += "" if len(logits) < 4 else f" and {len(logits) - 3} more"
            raise _Mistake(f"{shown} give {float(value.detach()):.4f}, expected {float(want):.4f}: {text}")
        _require(value.requires_grad, "no gradient flows back to the logits: is there a detach, a no_grad, or a new tensor?")
        y = logits.clone().requires_grad_(True)
        (want_gradient,) = torch.autograd.grad(right(y), y)
        (gradient,) = torch.autograd.grad(value, x)
        _require(_close(gradient, want_gradient), "the value is right but not its gradient: is part of it detached?")
    for size in (20.0, 100.0, 500.0):
        for sign in (1, -1):
            x = torch.tensor([[sign * size], [sign * size / 2]], requires_grad=True)
            value, want = loss(x), float(right(x.detach()))
            finite = abs(float(value.detach()) - want) <= 1e-3 * max(1.0, want)  # False for NaN too
            _require(finite, _BEYOND.format(float(value.detach()), want))
            gradient = torch.autograd.grad(value, x)[0]
            y = x.detach().clone().requires_grad_(True)
            want_gradient = torch.autograd.grad(right(y), y)[0]
            _require(
                _close(gradient, want_gradient, 1e-3),
                "the gradient is lost at large logits, in a logarithm of a sigmoid: use binary_cross_entropy_with_logits",
            )


def _smooth_real(x: Tensor) -> Tensor:
    return (0.9 * F.softplus(-x) + 0.1 * F.softplus(x)).mean()


def _bce_swapped(x: Tensor, target: float) -> Tensor:
    """The loss with the target taken for the logits and the logits for the target."""
    return F.binary_cross_entropy_with_logits(torch.full_like(x, target), x)


@_exercise("real_loss", "closed form with and without smoothing, gradients, logits up to 500")
def test_real_loss(real_loss=losses.real_loss):
    """real_loss(logits, smooth=False): binary cross-entropy against 1, or against 0.9 if smooth."""
    plain = lambda x: F.softplus(-x).mean()  # noqa: E731
    mistakes = _BCE_MISTAKES | {
        "it is smoothed although smooth is False": _smooth_real,
        "the arguments are swapped: logits come first, then the target": lambda x: _bce_swapped(x, 1.0),
    }
    _check_loss(real_loss, plain, mistakes, "the target 1")
    smooth_mistakes = {
        "smooth has no effect, expected the target 0.9": plain,
        "the target is 0.1, expected 0.9": lambda x: (0.1 * F.softplus(-x) + 0.9 * F.softplus(x)).mean(),
        "the loss is multiplied by 0.9, expected the target 0.9": lambda x: 0.9 * F.softplus(-x).mean(),
        "the logits are multiplied by 0.9, expected the target 0.9": lambda x: F.softplus(-0.9 * x).mean(),
        "the arguments are swapped: logits come first, then the target": lambda x: _bce_swapped(x, 0.9),
        "the target is 1.1, expected 0.9": lambda x: (1.1 * F.softplus(-x) - 0.1 * F.softplus(x)).mean(),
        "this is the sum, expected the mean": lambda x: _smooth_real(x) * x.numel(),
    }
    for call in (lambda x: real_loss(x, smooth=True), lambda x: real_loss(x, True)):
        try:
            _check_loss(call, _smooth_real, smooth_mistakes, "the target 0.9")
        except _Mistake as mistake:
            raise _Mistake(f"with smooth=True {mistake}") from None


@_exercise("fake_loss", "closed form, gradients, logits up to 500")
def test_fake_loss(fake_loss=losses.fake_loss):
    """fake_loss(logits): binary cross-entropy against 0."""
    mistakes = {text: lambda x, mistake=mistake: mistake(-x) for text, mistake in _BCE_MISTAKES.items()}
    mistakes |= {
        "the logits went through a sigmoid twice": lambda x: F.softplus(x.sigmoid()).mean(),
        "this is the squared distance to the target (least squares)": lambda x: x.square().mean(),
        "the squared distance of the probability, expected cross-entropy": lambda x: x.sigmoid().square().mean(),
        "this is real_loss(1 - logits): logits are no probabilities, the target has to be 0": lambda x: F.softplus(
            x - 1
        ).mean(),
        "the arguments are swapped: logits come first, then the target": lambda x: _bce_swapped(x, 0.0),
        "it is smoothed, expected the target 0: only real labels are smoothed": lambda x: (
            0.9 * F.softplus(x) + 0.1 * F.softplus(-x)
        ).mean(),
    }
    _check_loss(fake_loss, lambda x: F.softplus(x).mean(), mistakes, "the target 0")


# ---------------------------------------------------------------------------------------------------- 02: the steps


class _TinyG(nn.Module):
    def __init__(self, z_size: int, size: int) -> None:
        super().__init__()
        self.size, self.layer, self.given = size, nn.Linear(z_size, 3 * size * size), []

    def forward(self, z: Tensor) -> Tensor:
        self.given.append(z.detach().clone())
        return self.layer(z.flatten(1)).tanh().reshape(len(z), 3, self.size, self.size)


class _TinyD(nn.Module):
    """No batch norm, so that one pass over real and fake together is as good as two."""

    def __init__(self, size: int, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.axes, self.layers = axes, nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 7), nn.Tanh(), nn.Linear(7, 1))
        with torch.no_grad():
            self.layers[3].weight.mul_(6)  # logits of a few units, so that the mistakes below differ

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).reshape(len(x), *self.axes)


def _flat(tensors: object) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def _plant(net: nn.Module, g: torch.Generator) -> Tensor:
    """Leave stale gradients in `net`, as the other network's step does; returned as one vector."""
    for p in net.parameters():
        p.grad = torch.randn(p.shape, generator=g)
    return _flat(p.grad for p in net.parameters())


def _watched_steps(step: Callable, trains_D: bool) -> Iterator[SimpleNamespace]:
    """Run a training step on tiny networks of several sizes and yield what it did, after what holds for both kinds.

    Yields D, G, real, z, the logits before the step (real_logits, fake_logits), `params` (of the network to be trained),
    `gradient` (a function from a loss to its flat gradient), `stale`, `moved` (minus the update over the learning rate)
    and `returned`.
    """
    g = _generator()
    own, name = ("D", "d_optimizer") if trains_D else ("G", "g_optimizer")
    for axes in ((1,), (), (1, 1, 1)):
        n, z_size, size, rate = _between(3, 7, g), _between(4, 9, g), _between(4, 8, g), 0.05
        D, G = _TinyD(size, axes), _TinyG(z_size, size)
        real, z = torch.rand(n, 3, size, size, generator=g) * 2 - 1, torch.randn(n, z_size, generator=g)
        s = SimpleNamespace(D=D, G=G, real=real, z=z, net=D if trains_D else G, other=G if trains_D else D)
        s.params = list(s.net.parameters())
        s.fake_logits, s.real_logits = D(G(z).detach() if trains_D else G(z)), D(real)
        s.gradient = lambda loss, s=s: _flat(torch.autograd.grad(loss, s.params, retain_graph=True))
        right, s.expected = _right_loss(s, trains_D), {}
        s.wrong = {text: (value.detach(), s.gradient(value)) for text, value in _wrong_losses(s, trains_D).items()}
        s.want, s.want_gradient = right.detach(), s.gradient(right)
        s.stale = _plant(s.net, g)
        if not trains_D:
            _plant(D, g)
        optimizer, updates = torch.optim.SGD(s.params, lr=rate), []
        G.given.clear()
        optimizer.register_step_post_hook(lambda *_, updates=updates: updates.append(1))
        kept = _flat([real, z]), _flat(s.other.parameters()), _flat(s.params)
        s.returned = step(D, G, optimizer, real, z) if trains_D else step(D, G, optimizer, z)

        _require(G.given, "G was never asked for pictures: expected G(z)")
        used = all(x.numel() == z.numel() and torch.equal(x.reshape(z.shape), z) for x in G.given)
        _require(used, "G was given other noise than the argument z: expected G(z)")
        _require(torch.equal(_flat([real, z]), kept[0]), "it changed real or z in place")
        rest = "G" if trains_D else "D"
        _require(
            torch.equal(_flat(s.other.parameters()), kept[1]),
            f"{rest}'s weights moved in the step of {own}: the wrong optimiser stepped, only {name} may",
        )
        if trains_D:
            filled = any(p.grad is not None and p.grad.any() for p in G.parameters())
            _require(not filled, "G got gradients in the step of D: detach its pictures (or make them under no_grad)")
        for net, label in ((D, "D"), (G, "G")):
            _require(net.training, f"it leaves {label} in eval mode: training goes on after the step")
            trainable = all(p.requires_grad for p in net.parameters())
            _require(trainable, f"it leaves {label} frozen (requires_grad False): give its weights their gradients back")
        _require(updates, f"{name}.step() was not called")
        _require(len(updates) == 1, f"{name}.step() was called {len(updates)} times, expected once")
        s.moved = (kept[2] - _flat(s.params)) / rate
        yield s


def _right_loss(s: SimpleNamespace, trains_D: bool) -> Tensor:
    on_real, on_fake = F.softplus(-s.real_logits).mean(), F.softplus(s.fake_logits).mean()
    return on_real + on_fake if trains_D else F.softplus(-s.fake_logits).mean()


def _wrong_losses(s: SimpleNamespace, trains_D: bool) -> dict[str, Tensor]:
    """The losses of the common mistakes, by the name of the mistake."""
    sp, real, fake = F.softplus, s.real_logits, s.fake_logits
    if trains_D:
        return {
            "the targets are swapped: real pictures are 1, G's are 0": sp(real).mean() + sp(-fake).mean(),
            "only the real pictures count, expected the sum of real and fake loss (is fake_logits itself detached? Cut at the"
            " pictures: D(G(z).detach()))": sp(-real).mean(),
            "only the fake pictures count, expected the sum of real and fake loss": sp(fake).mean(),
            "G's pictures are called real too: their target is 0": sp(-real).mean() + sp(-fake).mean(),
            "the real pictures are called fake too: their target is 1": sp(real).mean() + sp(fake).mean(),
            "half of the loss: expected the sum of real and fake loss": (sp(-real).mean() + sp(fake).mean()) / 2,
            "the sign is wrong: it climbs": -sp(-real).mean() - sp(fake).mean(),
            "the labels are smoothed, expected the target 1": (0.9 * sp(-real) + 0.1 * sp(real) + sp(fake)).mean(),
            "this is the Wasserstein loss, expected binary cross-entropy": fake.mean() - real.mean(),
            "the logits went through a sigmoid twice": sp(-real.sigmoid()).mean() + sp(fake.sigmoid()).mean(),
        }
    return {
        "the fakes are called fake, so G learns to be found out: their target here is 1": sp(fake).mean(),
        "this minimises log(1 - D(G(z))), the saturating loss: call the fakes real instead": -sp(fake).mean(),
        "the sign is wrong: it climbs": -sp(-fake).mean(),
        "the labels are smoothed, expected the target 1": (0.9 * sp(-fake) + 0.1 * sp(fake)).mean(),
        "this is the Wasserstein loss, expected binary cross-entropy": -fake.mean(),
        "the logits went through a sigmoid twice": sp(-fake.sigmoid()).mean(),
    }


def _moved_rightly(s: SimpleNamespace, own: str) -> None:
    """Fail unless the weights moved along the gradient of the right loss, and of nothing else."""
    wrong = {text: gradient for text, (_, gradient) in s.wrong.items()}
    stale = "old gradients were added: call zero_grad() before backward()"
    wrong = {stale: s.want_gradient + s.stale, "it moved along old gradients only: backward() is missing": s.stale} | wrong
    wrong |= {f"{text}; and zero_grad() is missing": gradient + s.stale for text, gradient in list(wrong.items())[2:]}
    _require(
        (s.moved != 0).any(),
        f"{own}'s weights did not move: is backward() missing, its graph cut, or zero_grad() between backward() and step()?"
        + (" Is there a detach()? Here the gradient must flow through D into G" if own == "G" else ""),
    )
    if not _close(s.moved, s.want_gradient, 1e-2):
        size, cosine = float(s.moved.norm() / s.want_gradient.norm()), float(F.cosine_similarity(s.moved, s.want_gradient, 0))
        angle = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
        mistake = _name_of(s.moved, s.want_gradient, wrong, "another loss, or gradients from elsewhere", 1e-2)
        raise _Mistake(
            f"{own}'s weights moved wrongly: {mistake} -- {size:.2f} times as far as expected, {angle:.0f} degrees off"
        )


def _returned_loss(s: SimpleNamespace, key: str, after: Tensor) -> None:
    """Fail unless the step returned its loss before the update: a number, a tensor of one, or a dict with `key`."""
    value = s.returned
    if isinstance(value, dict):
        _require(key in value, f"the returned dict has the keys {sorted(map(str, value))[:4]}, expected one called {key!r}")
        value = value[key]
    _require(value is not None, "returned None: is the return statement missing?")
    one = isinstance(value, (int, float)) or (isinstance(value, Tensor) and value.numel() == 1)
    _require(one, f"returned a {type(value).__name__}, expected the loss as one number (or a dict with {key!r})")
    value = torch.as_tensor(value).detach().reshape(()).float()
    if not _close(value, s.want, 1e-3):
        wrong = {"this is the loss after the update": after.detach()} | {text: loss for text, (loss, _) in s.wrong.items()}
        mistake = _name_of(value, s.want, wrong, "expected the loss that was differentiated")
        raise _Mistake(f"returned {float(value):.4f}, but the loss was {float(s.want):.4f}: {mistake}")


@_exercise("discriminator_step", "only D moves, along the right gradient, G untouched, loss returned")
def test_discriminator_step(discriminator_step=steps.discriminator_step):
    """discriminator_step(D, G, d_optimizer, real, z) -> loss: one update of D on real pictures and on G(z)."""
    for s in _watched_steps(discriminator_step, trains_D=True):
        _moved_rightly(s, "D")
        after = F.softplus(-s.D(s.real)).mean() + F.softplus(s.D(s.G(s.z))).mean()
        _returned_loss(s, "loss_D", after)
    _separate_batches(discriminator_step)
    return _asks_for_dict(s.returned, "loss_D")


def _asks_for_dict(returned: object, key: str) -> str | None:
    """A note where a step returned its bare loss: right, but the notebook's training joins two dictionaries."""
    if isinstance(returned, dict):
        return None
    return f"the training below expects the dictionary {{{key!r}: ...}}: let the cell end in its own return"


def _separate_batches(step: Callable) -> None:
    """With batch norm in D, one pass over real and fake together is another function than one pass over each."""
    g = _generator()
    n, z_size, size, rate = 6, 5, 4, 0.05
    G, real = _TinyG(z_size, size), torch.rand(n, 3, size, size, generator=g) - 0.2
    layers = nn.Flatten(), nn.Linear(3 * size * size, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)
    D, z = nn.Sequential(*layers), torch.randn(n, z_size, generator=g)
    with torch.no_grad():
        for p in (D[1].weight, D[4].weight):
            p.copy_(torch.randn(p.shape, generator=g))
    twin, before, fake = copy.deepcopy(D), _flat(D.parameters()), G(z).detach()
    loss = F.softplus(-twin(real)).mean() + F.softplus(twin(fake)).mean()
    apart = _flat(torch.autograd.grad(loss, list(twin.parameters())))
    step(D, G, torch.optim.SGD(D.parameters(), lr=rate), real, z)
    moved = (before - _flat(D.parameters())) / rate
    _require(
        _close(moved, apart, 1e-2),
        "with batch norm in D the update is another: give D the real and the fake pictures in two separate calls",
    )


@_exercise("generator_step", "only G moves, along the non-saturating gradient, loss returned")
def test_generator_step(generator_step=steps.generator_step):
    """generator_step(D, G, g_optimizer, z) -> loss: one update of G that makes D call its pictures real."""
    for s in _watched_steps(generator_step, trains_D=False):
        _moved_rightly(s, "G")
        _returned_loss(s, "loss_G", F.softplus(-s.D(s.G(s.z))).mean())
    return _asks_for_dict(s.returned, "loss_G")


# --------------------------------------------------------------------------------------------- 02: gradient penalty


class _Critic(nn.Module):
    """<w, x> or ||x||^2 / 2 for each picture, so that its gradient at x is w or x; keeps what it was shown."""

    def __init__(self, w: Tensor, quadratic: bool, axes: tuple[int, ...]) -> None:
        super().__init__()
        self.w, self.quadratic, self.axes, self.seen = nn.Parameter(w), quadratic, axes, []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        flat = x.flatten(1)
        logits = 0.5 * flat.square().sum(1) + 0 * self.w.sum() if self.quadratic else flat @ self.w
        return logits.reshape(len(x), *self.axes)


@_exercise("gradient_penalty", "closed forms, random points between real and fake, differentiable, nothing left behind")
def test_gradient_penalty(gradient_penalty=losses.gradient_penalty):
    """gradient_penalty(D, real, fake): mean (||grad_x D(x)|| - 1)^2 at random points between real and fake."""
    g = _generator()
    for norm, axes in ((0.4, (1,)), (3.0, ()), (2.0, (1, 1, 1)), (1.0, (1,))):
        n, size = _between(2, 6, g), _between(4, 9, g)
        w = torch.randn(3 * size * size, generator=g)
        D = _Critic(w * norm / w.norm(), False, axes)
        real, fake = (torch.randn(n, 3, size, size, generator=g) for _ in range(2))
        value = _penalty(gradient_penalty, D, real, fake)
        rows = D.w.detach().expand(n, -1)
        _penalty_is(value, rows, size, f"a critic with slope {norm:.1f} everywhere")
        _require(
            value.requires_grad,
            "the penalty cannot be differentiated with respect to D's weights: grad needs create_graph=True (and no detach)",
        )
        (gradient,) = torch.autograd.grad(value, D.w, allow_unused=True)
        want = 2 * (norm - 1) * D.w.detach() / norm
        _require(
            gradient is not None and (norm == 1 or _close(gradient, want, 1e-2)),
            "the penalty's gradient for D's weights is wrong: create_graph=True, and nothing detached after it",
        )
    for axes in ((1,), ()):
        _interpolates(gradient_penalty, axes, g)


def _penalty(gradient_penalty: Callable, D: _Critic, real: Tensor, fake: Tensor) -> Tensor:
    """Call it; fail if it is not one number, or leaves traces."""
    before = real.clone(), fake.clone()
    value = _tensor(gradient_penalty(D, real, fake), "the penalty")
    _require(value.numel() == 1, f"the penalty has shape {_shape(value)}, expected one number: the mean over the batch")
    _require(torch.equal(real, before[0]) and torch.equal(fake, before[1]), "it changed real or fake in place")
    _require(not (real.requires_grad or fake.requires_grad), "it switched requires_grad on for real or fake: use a new tensor")
    _require(D.w.grad is None, "it leaves gradients in D's weights: use torch.autograd.grad, not backward()")
    _require(D.training and D.w.requires_grad, "it leaves D frozen or in eval mode")
    _require(D.seen, "D was never called: the gradient is that of D(x)")
    return value


def _penalty_is(value: Tensor, gradients: Tensor, size: int, critic: str) -> None:
    """Compare the penalty with the closed form of the per-picture gradients [N, 3*S*S]."""
    n = len(gradients)
    norms, pixels = gradients.norm(dim=1), gradients.reshape(n, 3, size, size)
    want = (norms - 1).square().mean()
    wrong = {
        "the norm is pulled to 0, expected to 1": norms.square().mean(),
        "the square of the norm is compared with 1, expected the norm": (norms.square() - 1).square().mean(),
        "the distance to 1 is not squared": (norms - 1).mean(),
        "the distance to 1 is not squared, only its absolute value taken": (norms - 1).abs().mean(),
        "norms below 1 are not punished (one-sided), expected both sides": F.relu(norms - 1).square().mean(),
        "this is the sum over the batch, expected the mean": (norms - 1).square().sum(),
        "one norm over the whole batch, expected one norm per picture": (gradients.norm() - 1).square(),
        "D's mean was differentiated, expected its sum (ones as grad_outputs)": (norms / n - 1).square().mean(),
        "the norm runs over the channels of a pixel: flatten each picture first": (pixels.norm(dim=1) - 1).square().mean(),
        "one norm per channel, expected per picture: flatten it first": (pixels.flatten(2).norm(dim=2) - 1).square().mean(),
        "one norm per row of pixels, expected per picture: flatten it first": (pixels.norm(dim=3) - 1).square().mean(),
        "the weight 10 is inside, expected the plain penalty": 10 * (norms - 1).square().mean(),
        "the mean of the norms is compared with 1, expected the mean of the squares": (norms.mean() - 1).square(),
        "the sum of absolute values, expected the Euclidean norm": (gradients.abs().sum(1) - 1).square().mean(),
    }
    if not _close(value.detach().reshape(()), want, 2e-3):
        mistake = _name_of(value.detach().reshape(()), want, wrong, "check norm, distance to 1, square and mean by hand", 2e-3)
        raise _Mistake(f"{critic} gives {float(value.detach()):.4f}, expected {float(want):.4f}: {mistake}")


def _interpolates(gradient_penalty: Callable, axes: tuple[int, ...], g: torch.Generator) -> None:
    """Find out, from what the critic was shown, at which points the gradient is taken."""
    n, size = 48, 4
    real, fake = (torch.randn(n, 3, size, size, generator=g) for _ in range(2))
    D = _Critic(torch.ones(1), True, axes)
    value = _penalty(gradient_penalty, D, real, fake)
    x = D.seen[-1]
    _require(x.shape == real.shape, f"D was shown {_shape(x)}, expected points between real and fake, {_shape(real)}")
    share = (x - fake).flatten(1) * (real - fake).flatten(1)
    share = share.sum(1) / (real - fake).flatten(1).square().sum(1)  # [N]: 1 at the real picture, 0 at the fake
    line = share[:, None] * real.flatten(1) + (1 - share[:, None]) * fake.flatten(1)
    _require(not _close(x, real), "the gradient is taken at the real pictures, expected random points between real and fake")
    _require(not _close(x, fake), "the gradient is taken at the fake pictures, expected random points between real and fake")
    _require(
        _close(x.flatten(1), line, 1e-3),
        "a point is not on the line from its fake to its real picture: one share per picture [N, 1, 1, 1], not per pixel;"
        " and is it eps * real + (1 - eps) * fake?",
    )
    spread = float(share.max() - share.min())
    _require(spread > 1e-3, f"all pictures are mixed with one share, {float(share[0]):.2f}: expected a random one per picture")
    low, high = float(share.min()), float(share.max())
    reach = f"the shares of real lie between {low:.2f} and {high:.2f}, expected uniform in [0, 1]: "
    _require(low > -0.01 and high < 1.01, reach + "rand, not randn")
    _require(low < 0.2 and high > 0.8, reach + "the whole way counts")
    _penalty_is(value, x.flatten(1), size, "a critic ||x||^2 / 2")
    _penalty(gradient_penalty, D, real, fake)
    _require(not _close(D.seen[-1], x), "the same points in every call: draw new shares each time (no fixed seed)")


# ------------------------------------------------------------------------------------------------- 03: the networks


def _small_pictures(n: int, height: int, width: int, g: torch.Generator) -> Tensor:
    """Pictures [N, 3, H, W] in [-1, 1], coarse shapes and noise."""
    coarse = F.interpolate(torch.randn(n, 3, 4, 4, generator=g), size=(height, width), mode="bilinear")
    return torch.tanh(coarse + 0.3 * torch.randn(n, 3, height, width, generator=g))


def _convolutions(net: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, m) for name, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]


def _filters(net: nn.Module) -> int:
    """How many numbers there are in the filters of all convolutions; biases and norms are left to the learner."""
    return sum(p.numel() for p in net.parameters() if p.dim() == 4)


@torch.no_grad()
def _spread_weights(net: nn.Module, g: torch.Generator) -> None:
    """Give every convolution weights that keep the size of its values, so that no norm's epsilon has a say."""
    for _, m in _convolutions(net):
        inputs = m.weight[0].numel() if isinstance(m, nn.Conv2d) else m.weight[:, 0].numel() / 4
        m.weight.copy_(1.5 * torch.randn(m.weight.shape, generator=g) / inputs**0.5)


@torch.no_grad()
def _same_draws(net: nn.Module, x: Tensor) -> Tensor:
    """net(x) in training mode, with the same dropout, if any, in every call."""
    torch.default_generator.manual_seed(SEED)
    return net.train()(x)


def _each_picture_alone(net: nn.Module, x: Tensor) -> None:
    """Fail if, in training mode, one picture's result depends on its neighbour's content, as with batch norm."""
    one, other = (_same_draws(net, torch.stack([x[0], neighbour]))[0] for neighbour in (x[1], x[2]))
    _require(
        (one - other).abs().max() <= 1e-3 * float(one.std()) + 1e-6,
        "in training a picture's result depends on the others of its batch: batch norm, expected InstanceNorm2d",
    )


def _normalised(net: nn.Module, x: Tensor, g: torch.Generator) -> dict[str, bool]:
    """For each convolution by its name: whether an instance norm follows it.

    Instance norm takes mean and spread out of each channel, so other strengths of a filter's channels change nothing.
    """
    _spread_weights(net, g)
    before, answer = _same_draws(net, x), {}
    for name, m in _convolutions(net):
        outputs = 0 if isinstance(m, nn.Conv2d) else 1
        strengths = torch.ones(4, dtype=torch.int).index_fill(0, torch.tensor(outputs), m.weight.shape[outputs]).tolist()
        kept = m.weight.detach().clone()
        with torch.no_grad():
            m.weight.mul_(1.5 + 4 * torch.rand(strengths, generator=g))
            answer[name] = bool((_same_draws(net, x) - before).abs().max() < 0.05 * before.std())
            m.weight.copy_(kept)
    return answer


def _convolve(x: Tensor, weight: Tensor, padding: str = "reflect") -> Tensor:
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=padding), weight)


def _block(x: Tensor, a: Tensor, b: Tensor, padding: str = "reflect", between: Callable = F.relu) -> Tensor:
    """What a residual block with the filters a and b adds to x."""
    return F.instance_norm(_convolve(between(F.instance_norm(_convolve(x, a, padding))), b, padding))


_BLOCK_MISTAKES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "the input is not added": _block,
    "there is a ReLU after the sum, which cuts off what is negative": lambda x, a, b: F.relu(x + _block(x, a, b)),
    "there is a ReLU before the sum, so the block can only add, never subtract": lambda x, a, b: x + F.relu(_block(x, a, b)),
    "the borders are padded with zeros, expected reflection (ReflectionPad2d)": lambda x, a, b: x + _block(x, a, b, "constant"),
    "the borders are repeated, expected reflection (ReflectionPad2d)": lambda x, a, b: x + _block(x, a, b, "replicate"),
    "the ReLU between the convolutions is missing": lambda x, a, b: x + _block(x, a, b, between=lambda y: y),
    "a leaky ReLU, expected ReLU": lambda x, a, b: x + _block(x, a, b, between=lambda y: F.leaky_relu(y, 0.2)),
    "the ReLU comes before the first norm, expected after it": lambda x, a, b: (
        x + F.instance_norm(_convolve(F.instance_norm(F.relu(_convolve(x, a))), b))
    ),
    "the instance norm after the first convolution is missing": lambda x, a, b: (
        x + F.instance_norm(_convolve(F.relu(_convolve(x, a)), b))
    ),
    "the instance norm after the second convolution is missing": lambda x, a, b: (
        x + _convolve(F.relu(F.instance_norm(_convolve(x, a))), b)
    ),
    "both instance norms are missing": lambda x, a, b: x + _convolve(F.relu(_convolve(x, a)), b),
    "norm and ReLU come before their convolution, expected after it": lambda x, a, b: (
        x + _convolve(F.relu(F.instance_norm(_convolve(F.relu(F.instance_norm(x)), a))), b)
    ),
    "the input is added before the second norm, expected after it": lambda x, a, b: F.instance_norm(
        x + _convolve(F.relu(F.instance_norm(_convolve(x, a))), b)
    ),
    "the input is added twice": lambda x, a, b: 2 * x + _block(x, a, b),
    "the input is subtracted": lambda x, a, b: _block(x, a, b) - x,
}


_PAD = "each 3x3 convolution needs one pixel of padding (ReflectionPad2d(1) before it)"


@_exercise("ResidualBlock", "sizes kept, values with known filters, borders, gradients, each picture alone")
def test_residual_block(ResidualBlock=networks.ResidualBlock):
    """ResidualBlock(channels): x [N, C, H, W] -> x + norm(conv(relu(norm(conv(x))))), reflected at the borders."""
    g = _generator()
    for channels, (height, width), n in ((6, (8, 8), 3), (4, (9, 6), 1), (8, (5, 12), 2)):
        block = _network(ResidualBlock, channels)
        x = torch.randn(n, channels, height, width, generator=g)
        before = x.clone()
        try:
            y = _tensor(block(x), "the result")
        except RuntimeError as error:
            _require("must match the size" not in str(error), "the result of the convolutions is smaller than x: " + _PAD)
            raise
        _require(torch.equal(x, before), "it changed x itself: no += on x, no in-place ReLU before the sum")
        _require(
            y.shape == x.shape,
            f"x of shape {_shape(x)} gives {_shape(y)}, expected the same: {_PAD}",
        )
        _gradients_reach(block, (y * torch.randn(y.shape, generator=g)).sum())
    _each_picture_alone(_network(ResidualBlock, 6), torch.randn(3, 6, 7, 7, generator=g))
    for channels in (6, 4):
        _adds_rightly(_network(ResidualBlock, channels), torch.randn(3, channels, 7, 6, generator=g), g)


@torch.no_grad()
def _adds_rightly(block: nn.Module, x: Tensor, g: torch.Generator) -> None:
    """Put known filters into both convolutions and compare with what has to come out."""
    filters, channels = [p for p in block.parameters() if p.dim() == 4], x.shape[1]
    shapes = [_shape(p) for p in filters]
    expected = _shape(torch.empty(channels, channels, 3, 3))
    _require(
        shapes == [expected] * 2,
        f"its filters have the shapes {', '.join(shapes[:4])}, expected two convolutions with {expected}",
    )
    for p in filters:
        p.copy_(torch.randn(p.shape, generator=g) / (3 * channels**0.5))
    for _, m in _convolutions(block):
        if m.bias is not None:
            m.bias.zero_()
    # The order in which the two were made need not be that of their use; dropout between them, if any, rests in eval mode.
    orders = filters, filters[::-1]
    wants = [x + _block(x, *order) for order in orders]
    y = block.train()(x)
    if any(_close(result, want, 1e-3) for result in (y, block.eval()(x)) for want in wants):
        return
    for order, want in zip(orders, wants):
        wrong = {text: mistake(x, *order) for text, mistake in _BLOCK_MISTAKES.items()}
        mistake = _name_of(y, want, wrong, "")
        _require(not mistake, f"with known filters the values are wrong: {mistake}")
    worst = float((y - wants[0]).abs().max())
    raise _Mistake(
        f"with known filters the values are off by up to {worst:.2g}: expected x + F(x), F being padding, convolution, norm,"
        " ReLU, padding, convolution, norm"
    )


@_exercise("ResnetGenerator", "shapes, range of a tanh, quarter size inside, blocks, norms, borders, gradients, width")
def test_resnet_generator(ResnetGenerator=networks.ResnetGenerator):
    """ResnetGenerator(width, blocks): pictures [N, 3, S, S] in [-1, 1] -> pictures of the same shape and range."""
    g = _generator()
    for width, blocks, n, size in ((8, 2, 2, (16, 16)), (4, 1, 1, (32, 32)), (6, 3, 3, (16, 24))):
        net = _network(lambda w=width, b=blocks: ResnetGenerator(width=w, blocks=b))
        x = _small_pictures(n, *size, g)
        before = x.clone()
        y = _tensor(net(x), "the result")
        _require(torch.equal(x, before), "it changed the pictures it was given: the first layer works in place")
        _same_size(y, x)
        _works_at_a_quarter(net, x)
    _gradients_reach(net, (net(x) * torch.randn(x.shape, generator=g)).sum())
    _blocks_follow(ResnetGenerator)
    x = _small_pictures(3, 16, 16, g)
    _alone_or_together(_network(lambda: ResnetGenerator(width=4, blocks=1)), x, "pictures")
    _each_picture_alone(_network(lambda: ResnetGenerator(width=4, blocks=1)), x)
    _norms_in_generator(_network(lambda: ResnetGenerator(width=4, blocks=1)), x, g)
    _range_is_that_of_tanh(lambda *_: ResnetGenerator(width=8, blocks=1), x)


def _same_size(y: Tensor, x: Tensor) -> None:
    expected = f"pictures {_shape(x)} become {_shape(y)}, expected the same shape: "
    _require(y.dim() == 4 and len(y) == len(x), expected + "four axes, one picture for each picture")
    _require(y.shape[1] == 3, expected + "3 colour channels at the end")
    ratio = y.shape[2] / x.shape[2]
    _require(ratio not in (0.25, 0.5), expected + "what was halved twice has to be doubled twice")
    _require(ratio not in (2, 4), expected + "doubled more often than halved, there are two of each")
    _require(
        y.shape[2] != x.shape[2] - 3,
        expected + "a transposed convolution (kernel 3, stride 2, padding 1) needs output_padding=1 to double",
    )
    _require(
        y.shape == x.shape,
        expected + "7x7 convolutions need 3 pixels of padding, strided ones 1, transposed ones output_padding=1",
    )


def _works_at_a_quarter(net: nn.Module, x: Tensor) -> None:
    """Fail unless the picture was halved twice inside, told by the sizes that its convolutions give."""
    sizes: list[int] = []
    hooks = [m.register_forward_hook(lambda m, given, y: sizes.append(y.shape[-1])) for _, m in _convolutions(net)]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    least = min(sizes, default=x.shape[-1] // 4)
    _require(
        least == x.shape[-1] // 4,
        f"inside, the smallest map of a picture of {x.shape[-1]} pixels has {least}, expected a quarter,"
        f" {x.shape[-1] // 4}: two convolutions of stride 2, and two that double",
    )


def _blocks_follow(ResnetGenerator: Callable[..., nn.Module]) -> None:
    """Fail unless every further block brings two 3x3 convolutions of 4 * width channels, and width counts everywhere."""
    for width in (4, 8):
        one, three = (_filters(ResnetGenerator(width=width, blocks=b)) for b in (1, 3))
        want = 2 * 2 * 9 * (4 * width) ** 2
        _require(
            three > one,
            "blocks=1 and blocks=3 have equally many weights: is blocks used? [block] * n is one block n times: make n",
        )
        _require(
            three - one == want,
            f"with width={width} two more blocks bring {three - one} filter weights, expected {want}: two 3x3 convolutions"
            f" each, with 4 * width = {4 * width} channels, as width doubles twice",
        )
    narrow, wide = (_filters(ResnetGenerator(width=width, blocks=1)) for width in (4, 8))
    _require(wide > 2.5 * narrow, f"width=4 gives {narrow} filter weights and width=8 {wide}: is width used in every layer?")


def _norms_in_generator(net: nn.Module, x: Tensor, g: torch.Generator) -> None:
    zeros = [
        name
        for name, m in _convolutions(net)
        if m.kernel_size == (7, 7) and m.padding_mode == "zeros" and m.padding not in (0, (0, 0), "valid")
    ]
    _require(not zeros, f"{zeros[:1]} pads the picture with zeros, which show at the borders: ReflectionPad2d(3) before it")
    for name, normalised in _normalised(net, x, g).items():
        last = dict(net.named_modules())[name].out_channels == 3
        if last:
            _require(not normalised, f"there is an instance norm after the last convolution, {name}: it would fix all colours")
        else:
            _require(
                normalised,
                f"other strengths of the channels of {name} change the picture: expected an instance norm after every"
                " convolution but the last",
            )
    with torch.no_grad():
        up, down = (torch.atanh(net(sign * x).clamp(-0.9999, 0.9999)) for sign in (1, -1))
    _require(
        (up + down).std((2, 3)).max() > 0.02 * up.std(),
        "the negative of a picture gives the negative result: the ReLUs between the layers are missing",
    )


def _map_side(side: int, layers: int) -> int:
    """Side of a PatchDiscriminator's map: halved `layers` times, then twice one less."""
    return side // 2**layers - 2


@_exercise("PatchDiscriminator", "maps of logits, patch sizes, norms, slope 0.2, widths, unbounded, gradients")
def test_patch_discriminator(PatchDiscriminator=networks.PatchDiscriminator):
    """PatchDiscriminator(width, layers): pictures [N, 3, H, W] -> a map of unbounded logits [N, 1, h, w], one per patch."""
    g = _generator()
    for layers, (height, width), n in ((3, (48, 64), 2), (2, (24, 40), 1), (1, (24, 24), 3), (None, (48, 56), 2)):
        chosen = {} if layers is None else {"layers": layers}
        net = _network(lambda chosen=chosen: PatchDiscriminator(width=4, **chosen))
        x = _small_pictures(n, height, width, g)
        before = x.clone()
        logits = _tensor(net(x), "the result")
        _require(torch.equal(x, before), "it changed the pictures it was given: the first layer works in place")
        _is_map(logits, x, layers or 3)
    _gradients_reach(net, (net(x) * torch.randn(logits.shape, generator=g)).sum())
    _widths_double(PatchDiscriminator)
    x = _small_pictures(3, 24, 24, g)
    _each_picture_alone(_network(lambda: PatchDiscriminator(width=4, layers=2)), x)
    _alone_or_together(_network(lambda: PatchDiscriminator(width=4, layers=2)), x, "pictures")
    _norms_in_discriminator(_network(lambda: PatchDiscriminator(width=4, layers=2)), x, g)
    _logits_are_unbounded(lambda *_: PatchDiscriminator(width=8, layers=2), x)
    for layers in (1, 2, 3):
        net = _network(lambda n=layers: PatchDiscriminator(width=3, layers=n))
        with _without_norms():
            _make_linear(net, 1)
            x = torch.rand(1, 3, 48, 48, generator=g)
            if _close(net(2 * x), 2 * net(x)):  # not with a norm of the learner's own making, which still is at work
                _patch_has_side(net, layers, _FIELDS[layers - 1])
                _slope_is(net, layers)


def _is_map(logits: Tensor, x: Tensor, layers: int) -> None:
    n, _, height, width = x.shape
    want = [n, 1, _map_side(height, layers), _map_side(width, layers)]
    if list(logits.shape) == want:
        return
    expected = f"pictures {_shape(x)} with layers={layers} give {_shape(logits)}, expected {want}: "
    _require(logits.dim() == 4, expected + "a map of logits, no flatten, no mean, no squeeze")
    _require(len(logits) == n, expected + "one map for each picture")
    _require(logits.shape[1] == 1, expected + "the last convolution has 1 channel")
    others = {_map_side(height, other): f"this is the map of layers={other}: is layers used?" for other in (1, 2, 3, 4)}
    sides = {
        height // 2**layers: "the two convolutions of stride 1 (kernel 4, padding 1) each make it 1 smaller",
        height // 2**layers - 1: "two convolutions of stride 1 follow the strided ones, one is missing",
        height // 2**layers - 3: "two convolutions of stride 1 follow the strided ones, not three",
    }
    _require(logits.shape[2:] != (1, 1), expected + "one logit each, expected a map: no layer over the whole picture")
    side = logits.shape[2]
    hint = (others | sides).get(side, "kernel 4 and padding 1 everywhere, and stride 2 in `layers` convolutions")
    raise _Mistake(expected + hint)


def _widths_double(PatchDiscriminator: Callable[..., nn.Module]) -> None:
    for width, layers in ((4, 2), (6, 3), (4, 5)):
        net = PatchDiscriminator(width=width, layers=layers)
        got = sorted(m.out_channels for _, m in _convolutions(net))
        want = sorted([1, *(width * min(2**i, 8) for i in range(layers + 1))])
        _require(
            not got or got == want,
            f"with width={width}, layers={layers} its convolutions have {got} channels, expected {want}:"
            " from width on doubled in every layer, at most to 8 * width",
        )


def _norms_in_discriminator(net: nn.Module, x: Tensor, g: torch.Generator) -> None:
    for name, normalised in _normalised(net, x, g).items():
        m = dict(net.named_modules())[name]
        if m.in_channels == 3:
            _require(
                not normalised, "there is an instance norm after the first convolution: it would hide the picture's colours"
            )
        elif m.out_channels == 1:
            _require(not normalised, "there is an instance norm after the last convolution: the map's mean would always be 0")
        else:
            _require(
                normalised,
                f"other strengths of the channels of {name} change the logits: expected an instance norm after every"
                " convolution but the first and the last",
            )


@contextlib.contextmanager
def _without_norms() -> Iterator[None]:
    """Instance norm does nothing in here, as a layer or as a function, so that a logit sees its patch only."""
    kept = F.instance_norm
    F.instance_norm = lambda x, *arguments, **named: x
    try:
        yield
    finally:
        F.instance_norm = kept


@torch.no_grad()
def _make_linear(net: nn.Module, sign: int) -> None:
    """All biases 0, all weights 0.1, the first ones times `sign`: pictures above 0 stay on one side of every ReLU."""
    for p in net.parameters():
        p.fill_(0.1 if p.dim() == 4 else 0.0)
    first = next(m for _, m in _convolutions(net) if m.in_channels == 3)
    first.weight.mul_(sign)


def _patch_has_side(net: nn.Module, layers: int, side: int) -> None:
    x = torch.ones(1, 3, 2 * side + 16, 2 * side + 16, requires_grad=True)
    logits = net(x)
    middle = logits.shape[2] // 2
    (seen,) = torch.autograd.grad(logits[0, 0, middle, middle], x)
    got = int((seen[0].sum(0) != 0).any(0).sum())
    _require(
        got == side,
        f"with layers={layers} a logit sees {got} x {got} pixels, expected {side} x {side}: all kernels are 4x4, `layers`"
        " convolutions have stride 2 and two have stride 1",
    )


@torch.no_grad()
def _slope_is(net: nn.Module, layers: int) -> None:
    """From all values positive to all negative, each leaky ReLU multiplies by its slope."""
    x = torch.full((1, 3, 16 * 2**layers, 16 * 2**layers), 0.5)
    up = net(x).mean()
    _make_linear(net, -1)
    ratio = float(-net(x).mean() / up)
    if abs(ratio / 0.2 ** (layers + 1) - 1) < 0.05:
        return
    known = {
        0.0: "this is a ReLU",
        0.01 ** (layers + 1): "the slope is 0.01, torch's default",
        1.0: "it is missing",
        0.2**layers: "one of them is missing",
        0.2 ** (layers + 2): "there is one after the last convolution, too",
    }
    near = [text for value, text in known.items() if abs(ratio - value) <= 0.02 * value]
    raise _Mistake(
        "expected a leaky ReLU of slope 0.2 after every convolution but the last: "
        + (near[0] if near else "with negative values, other logits come out")
    )


_FIELDS = [16, 34, 70, 142, 286, 574]  # for 1 to 6 layers


def _walk_back(strides: tuple[int, ...], kernel: int = 4, less: int = 1, side: int = 1) -> int:
    for stride in strides:
        side = (side - less) * stride + kernel
    return side


_FIELD_MISTAKES: dict[str, Callable[[int], int]] = {
    "it is always the same: is layers used?": lambda n: _FIELDS[2],
    "the two convolutions of stride 1 are left out": lambda n: _walk_back((2,) * n),
    "only one convolution of stride 1 is counted, there are two": lambda n: _walk_back((1, *[2] * n)),
    "three convolutions of stride 1 are counted, there are two": lambda n: _walk_back((1, 1, 1, *[2] * n)),
    "one strided convolution too many, there are `layers` in all": lambda n: _walk_back((1, 1, *[2] * (n + 1))),
    "one strided convolution too few, there are `layers` in all": lambda n: _walk_back((1, 1, *[2] * (n - 1))),
    "a kernel of 3, expected 4": lambda n: _walk_back((1, 1, *[2] * n), kernel=3),
    "r * stride + kernel, expected (r - 1) * stride + kernel": lambda n: _walk_back((1, 1, *[2] * n), less=0),
    "begin at the last map with one logit, r = 1, not 0": lambda n: _walk_back((1, 1, *[2] * n), side=0),
    "the walk goes forwards: begin with the last convolution, which has stride 1": lambda n: _walk_back((*[2] * n, 1, 1)),
    "strides are left out: a pixel of a later map is 2, 4, 8 pixels of the picture wide": lambda n: 1 + 3 * (n + 2),
}


@_exercise("receptive_field", "1 to 6 layers")
def test_receptive_field(receptive_field=networks.receptive_field):
    """receptive_field(layers): side in pixels of what one logit of PatchDiscriminator sees."""
    got = [_number(receptive_field(n), "a whole number") for n in range(1, 7)]
    if got != _FIELDS:
        wrong = {text: [mistake(n) for n in range(1, 7)] for text, mistake in _FIELD_MISTAKES.items()}
        back = "going back, r pixels of a map need (r - 1) * stride + kernel pixels of the map before"
        mistake = next((text for text, values in wrong.items() if values == got), back)
        at = next(i for i, (value, want) in enumerate(zip(got, _FIELDS)) if value != want)
        raise _Mistake(f"receptive_field({at + 1}) is {got[at]:g}, expected {_FIELDS[at]}: {mistake}")


def _number(value: object, expected: str) -> float:
    """`value` as a float, if it is a number or a tensor of one; otherwise the check fails."""
    _require(value is not None, "returned None: is the return statement missing?")
    one = isinstance(value, (int, float, np.number)) or (isinstance(value, Tensor) and value.numel() == 1)
    _require(one, f"returned a {type(value).__name__}, expected {expected}")
    return float(value)


# --------------------------------------------------------------------------------------------------- 03: the losses


def _is_loss(value: object, want: Tensor, inputs: list[Tensor], mistakes: Mapping[str, Tensor], given: str, right: str) -> None:
    """Fail unless `value` is the number `want`, with its gradient for the `inputs`; both were computed from them."""
    _require(not isinstance(value, float), "returned a float, expected a tensor: .item() cuts the gradient off")
    value = _tensor(value, f"the loss of {given}")
    _require(value.numel() == 1, f"the loss of {given} has shape {_shape(value)}, expected one number: the mean")
    if not _close(value.detach().reshape(()), want.detach()):
        wrong = {text: mistake.detach().reshape(()) for text, mistake in mistakes.items()}
        mistake = _name_of(value.detach().reshape(()), want.detach(), wrong, f"expected {right}", 1e-4)
        raise _Mistake(f"{given} give {float(value.detach()):.4f}, expected {float(want.detach()):.4f}: {mistake}")
    _require(value.requires_grad, "no gradient flows back: is there a detach, a no_grad, or a new tensor?")
    gradients = torch.autograd.grad(value, inputs, allow_unused=True)
    for gradient, right_one in zip(gradients, torch.autograd.grad(want, inputs)):
        _require(gradient is not None, "the value is right, but no gradient flows back: is there a detach or a no_grad?")
        _require(_close(gradient, right_one), "the value is right but not its gradient: is part of it detached?")


def _lsgan_loss(logits: Tensor, real: bool) -> Tensor:
    """The package's least-squares loss, whose two halves stand apart."""
    loss = losses.patch_loss("lsgan")
    return loss.d_real(logits) if real else loss.d_fake(logits)


@_exercise("lsgan_loss", "values and gradients for both targets, maps and single logits")
def test_lsgan_loss(lsgan_loss=_lsgan_loss):
    """lsgan_loss(logits, real): mean (logits - 1)^2 if real, mean logits^2 if not."""
    g = _generator()
    for axes in ((1, 3, 4), (1, 2, 2), (1,), ()):
        for real in (True, False):
            x = (0.4 + 1.5 * torch.randn(_between(2, 5, g), *axes, generator=g)).requires_grad_(True)
            before, target = x.detach().clone(), float(real)
            distance = x - target
            mistakes = {
                "the target is the other one, swapped: 1 is real, 0 is fake": (x - 1 + target).square().mean(),
                "this is half of it, expected the plain mean of squares": distance.square().mean() / 2,
                "this is the sum, expected the mean": distance.square().sum(),
                "the sum over a map, expected the mean over everything": distance.square().sum() / len(x),
                "the absolute value, expected the square": distance.abs().mean(),
                "the root of the mean square, expected the mean square": distance.square().mean().sqrt(),
                "the mean goes first: square each distance, then average": distance.mean().square(),
                "the logits went through a sigmoid: least squares takes them as they are": (x.sigmoid() - target)
                .square()
                .mean(),
                "this is cross-entropy, expected the squared distance": F.softplus(-x if real else x).mean(),
                "the target of fakes is -1, expected 0": (x + 1).square().mean() if not real else distance.square().mean(),
                "the target is smoothed, expected 1": (x - 0.9).square().mean() if real else distance.square().mean(),
                "the target is smoothed, expected 0": (x - 0.1).square().mean() if not real else distance.square().mean(),
                "the sign is wrong: a loss is positive": -distance.square().mean(),
                "this is the Wasserstein loss": -x.mean() if real else x.mean(),
            }
            value = lsgan_loss(x, real)
            _require(torch.equal(x.detach(), before), "it changed the logits in place")
            given, right = f"logits {_shape(x)} with real={real}", f"the mean squared distance to {int(target)}"
            _is_loss(value, distance.square().mean(), [x], mistakes, given, right)


def _distance_mistakes(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """How the mean absolute difference of two batches is got wrong."""
    difference = y - x
    return {
        "these are squares, expected absolute values": difference.square().mean(),
        "this is half of the squares, expected absolute values": difference.square().mean() / 2,
        "the absolute value is missing, or comes after the mean, so that brighter and darker cancel": difference.mean(),
        "the absolute value is missing, or comes after the mean, so that darker and brighter cancel": -difference.mean(),
        "this is the sum, expected the mean": difference.abs().sum(),
        "the sum over a picture, expected the mean over all its values": difference.abs().sum() / len(x),
        "the root of the mean square, expected absolute values": difference.square().mean().sqrt(),
        "one distance per picture by norm(), expected the mean of absolute values": difference.flatten(1).norm(dim=1).mean(),
        "this is smooth_l1_loss, expected l1_loss": F.smooth_l1_loss(y, x),
        "the weight 10 is inside, expected the plain loss": 10 * difference.abs().mean(),
        "the weight 5 is inside, expected the plain loss": 5 * difference.abs().mean(),
        "the weight 0.5 is inside, expected the plain loss": 0.5 * difference.abs().mean(),
        "the sign is wrong: a loss is positive": -difference.abs().mean(),
        "the differences of the batch's mean picture: take the absolute value first": difference.mean(0).abs().mean(),
    }


@_exercise("cycle_loss", "values and gradients, 0 for a perfect return")
def test_cycle_loss(cycle_loss=losses.cycle_loss):
    """cycle_loss(real, reconstructed): mean |reconstructed - real|."""
    g = _generator()
    for n, size in ((3, (5, 5)), (1, (4, 7)), (4, (6, 3))):
        real, returned = (_small_pictures(n, *size, g) for _ in range(2))
        returned = (0.2 + returned).requires_grad_(True)
        before = _flat([real, returned])
        nothing = cycle_loss(real, real.clone())
        if isinstance(nothing, Tensor) and nothing.numel() == 1:
            off = float(nothing.detach())
            _require(off == 0, f"pictures that came back unchanged give {off:.3g}, expected 0")
        value = cycle_loss(real, returned)
        _require(torch.equal(_flat([real, returned]), before), "it changed its pictures in place")
        want, mistakes = (returned - real).abs().mean(), _distance_mistakes(real, returned)
        _is_loss(value, want, [returned], mistakes, f"pictures {_shape(real)}", "the mean absolute difference")


class _TinyTranslator(nn.Module):
    """Picture -> picture without normalisation, so that pictures may share a pass; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.given = nn.Conv2d(3, 3, 3, padding=1), []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.detach().clone())
        return self.layer(x).tanh()


def _identity_loss(G: nn.Module, real_target: Tensor) -> Tensor:
    """The package's identity loss, which is given what the generator made."""
    return losses.identity_loss(real_target, G(real_target))


@_exercise("identity_loss", "values and gradients for G's weights, G and pictures untouched")
def test_identity_loss(identity_loss=_identity_loss):
    """identity_loss(G, real_target): mean |G(y) - y| for pictures y that already are of the domain that G paints."""
    g = _generator()
    for n, size in ((3, (5, 5)), (1, (4, 7)), (2, (6, 6))):
        G, y = _TinyTranslator(), _small_pictures(n, *size, g)
        kept = _flat([y, *G.parameters()])
        same, zeros = G(y), torch.zeros_like(y)
        mistakes = _distance_mistakes(y, same) | {
            "G was asked twice, G(G(y)), which is no identity: expected G(y)": (G(same) - y).abs().mean(),
            "G(G(y)) is compared with G(y), expected G(y) with y": (G(same) - same).abs().mean(),
            "the size of G(y) itself, expected its distance to y": (same - zeros).abs().mean(),
        }
        G.given.clear()
        value = identity_loss(G, y)
        _require(value is not None, "the loss is None: is the return statement missing?")
        _require(torch.equal(_flat([y, *G.parameters()]), kept), "it changed the pictures or G's weights")
        _require(G.given, "G was never asked: the loss is between y and G(y)")
        right = torch.equal(_flat(G.given)[: y.numel()], y.flatten())  # together or one by one
        _require(right, "G was given something else than real_target: expected G(real_target)")
        _require(all(p.grad is None for p in G.parameters()), "it leaves gradients in G: backward() belongs to the step")
        _require(G.training, "it leaves G in eval mode")
        _require(all(p.requires_grad for p in G.parameters()), "it leaves G frozen (requires_grad False)")
        _require(not y.requires_grad, "it switched requires_grad on for the pictures")
        want = (same - y).abs().mean()
        _is_loss(value, want, list(G.parameters()), mistakes, f"pictures {_shape(y)}", "the mean absolute difference")


# ------------------------------------------------------------------------------------- 03: the pool and the schedule


def _tagged(first: int, n: int) -> Tensor:
    """n pictures [n, 3, 2, 2], each filled with its own number, with a graph as fresh fakes have."""
    numbers = torch.arange(first, first + n, dtype=torch.float32)
    return numbers.reshape(n, 1, 1, 1).expand(n, 3, 2, 2).clone().requires_grad_(True) * 1


def _asked(pool: object, images: Tensor) -> list[int]:
    """The numbers of the pictures that a pool answers with, after what holds for every answer."""
    before = images.detach().clone()
    try:
        answer = pool.query(images)
    except IndexError as error:
        raise _Mistake(
            f"query raised IndexError ({' '.join(str(error).split())[:60]}): places run from 0 to size - 1, and"
            " random.randint(a, b) can give b as well"
        ) from None
    _require(
        not isinstance(answer, (list, tuple)), f"query returned a {type(answer).__name__}, expected one tensor: torch.stack it"
    )
    answer = _tensor(answer, "the result of query")
    _require(torch.equal(images.detach(), before), "query changed the batch it was given in place: answer with a new tensor")
    _require(
        answer.shape == images.shape,
        f"query of {_shape(images)} gives {_shape(answer)}, expected the same: one picture for each, from the first on",
    )
    _require(
        not answer.requires_grad,
        "the answer carries the graph of the generator, also of old steps: detach the pictures that come in",
    )
    low, high = answer.amin((1, 2, 3)), answer.amax((1, 2, 3))
    _require(
        torch.equal(low, high) and torch.equal(low, low.round()), "pictures were mixed or changed: hand them on as they are"
    )
    return [int(number) for number in low]


_SHARED = "a new pool begins with pictures of an older one: make its list in __init__, as self...., not in the class"


@_exercise("ImagePool", "filling, swaps with probability 1/2 at random places, one by one, detached, size 0")
def test_image_pool(ImagePool=cyclegan.ImagePool):
    """ImagePool(size).query(images): the first `size` stored and returned, then each swapped with probability 1/2."""
    size, batch, rounds = 6, 4, 400
    pool = ImagePool(size)
    stored: list[int] = []  # what has to be in the pool, the oldest first: it can be told from the answers
    seen = SimpleNamespace(out=set(), passed=set(), ages=[0] * size, swaps=[])
    for number in range(0, rounds * batch, batch):
        answer, swaps = _asked(pool, _tagged(number, batch)), 0
        for own, got in zip(range(number, number + batch), answer):
            if len(stored) < size:
                _require(got in stored or number <= got < number + batch, _SHARED)
                _require(
                    got == own,
                    f"picture {own + 1} of the first {size} came back as another: until the pool is full, each is stored"
                    " and returned",
                )
                stored.append(own)
            elif got == own:
                seen.passed.add(own)
            else:
                _could_be_stored(own, got, stored, seen)
                seen.ages[stored.index(got)] += 1
                stored.remove(got)
                stored.append(own)  # in the other's place; by age it is the youngest
                seen.out.add(got)
                swaps += 1
        if number >= 2 * batch:
            seen.swaps.append(swaps)
    _swaps_are_random(seen, stored, size, batch)
    _small_pools(ImagePool, size)


def _could_be_stored(own: int, got: int, stored: list[int], seen: SimpleNamespace) -> None:
    """Fail with the reason if `got` cannot come out of a right pool in place of `own`."""
    if got in stored:
        return
    _require(got not in seen.out, "a picture came out twice: what is returned leaves the pool, the new one takes its place")
    _require(got <= own, "the order of a batch changed: answer i stands for picture i, itself or a stored one")
    _require(
        got not in seen.passed,
        "a picture came again that had been returned at once: return it, or store it and return an old one, not both; and look"
        " for each picture, not for each batch, whether the pool is full",
    )
    raise _Mistake("a picture of a batch came twice, or in another's place: go through the batch one by one, in order")


def _swaps_are_random(seen: SimpleNamespace, stored: list[int], size: int, batch: int) -> None:
    share = sum(seen.swaps) / (batch * len(seen.swaps))
    _require(share > 0, "the full pool never gave an old picture: with probability 1/2 swap the new one with a stored one")
    _require(share < 1, "the full pool always gave an old picture: expected the new one itself half of the time")
    single = sum(0 < swaps < batch for swaps in seen.swaps)
    _require(single > 0, "a batch is swapped as a whole or not at all: draw for each picture")
    _require(
        0.42 < share < 0.58,
        f"the full pool gave an old picture {share:.0%} of the time, expected about 50%: one draw per picture, with"
        " probability 1/2",
    )
    total = sum(seen.ages)
    _require(seen.ages[0] < 0.9 * total, "it is always the oldest that goes: take a random place")
    _require(seen.ages[-1] < 0.9 * total, "it is always the youngest that goes: take a random place")
    _require(
        min(stored) >= size,
        "a place of the pool never changed: random.randrange(size) and torch.randint(size, ()) reach all of them",
    )
    even = all(0.6 < age * size / total < 1.5 for age in seen.ages)
    _require(even, "some stored pictures are much likelier to go than others: every place has to be equally likely")


def _small_pools(ImagePool: Callable, size: int) -> None:
    fresh = _asked(ImagePool(size), _tagged(10_000, size))
    _require(fresh == list(range(10_000, 10_000 + size)), _SHARED)
    single, one = ImagePool(1), []
    for number in range(40):
        one += _asked(single, _tagged(number, 1))
    _require(one[0] == 0 and one != list(range(40)), "with size 1 and batches of one, nothing was ever swapped")
    try:
        empty = ImagePool(0)
        answers = [empty.query(_tagged(number, 3)).detach() for number in (0, 3, 6)]
    except Exception as error:
        raise _Mistake(
            f"with size 0 it raised {type(error).__name__}: expected that pictures pass as they come, look at size == 0 first"
        ) from None
    wants = [_tagged(number, 3).detach() for number in (0, 3, 6)]
    passed = all(torch.equal(answer, want) for answer, want in zip(answers, wants))
    _require(passed, "with size 0 pictures have to pass as they come: nothing is stored")


def _decay(epoch: int, constant: int, decay: int, steps: int) -> float:
    return min(1.0, max(0.0, (constant + decay - epoch) / steps))


_DECAY_MISTAKES: dict[str, Callable[[int, int, int], float]] = {
    "the factor never falls": lambda e, c, d: 1.0,
    "epochs are counted from 0, so the first one that decays is number `constant`": lambda e, c, d: min(
        1.0, max(0.0, (c + d + 1 - e) / (d + 1))
    ),
    "it falls from the first epoch on: subtract `constant`": lambda e, c, d: max(0.0, 1 - e / (c + d)),
    "it falls over `constant + decay` epochs, expected over `decay`": lambda e, c, d: (
        min(1.0, max(0.0, 1 - (e - c) / (c + d))) if e < c + d else 0.0
    ),
    "it falls exponentially, expected in equal steps": lambda e, c, d: 1.0 if e < c else 0.5 ** (e - c + 1),
    "it falls by a cosine, expected in equal steps": lambda e, c, d: (
        1.0 if e < c else 0.5 + 0.5 * float(np.cos(np.pi * min(1.0, (e - c) / d)))
    ),
    "it rises": lambda e, c, d: 1.0 if e < c else min(1.0, (e - c) / d),
}


@_exercise("linear_decay", "every epoch of 5 schedules")
def test_linear_decay(linear_decay=cyclegan.linear_decay):
    """linear_decay(epoch, constant, decay): 1 for `constant` epochs, equal steps down for `decay` epochs, then 0.

    Two readings are right, and each is in wide use: the first step is taken in the first decaying epoch, or after it. In
    the last epoch the factor is then 1 / (decay + 1) or 1 / decay, and in no epoch 0.
    """
    readings = {1, 0}  # what is added to `decay` to give the number of steps
    for constant, decay in ((5, 5), (3, 8), (0, 4), (100, 100), (7, 1)):
        epochs = range(constant + decay + 4)
        got = [_number(linear_decay(epoch, constant, decay), "a number") for epoch in epochs]
        curves = {more: [_decay(epoch, constant, decay, decay + more) for epoch in epochs] for more in readings}
        fits = {more for more, curve in curves.items() if np.allclose(got, curve, atol=1e-5)}
        if not fits:
            raise _Mistake(_decays_wrongly(got, constant, decay))
        readings = fits


def _decays_wrongly(got: list[float], constant: int, decay: int) -> str:
    """What is wrong with the factors of all epochs, in words."""
    end, call = constant + decay, f"with constant={constant}, decay={decay} the factor of epoch "
    for text, mistake in _DECAY_MISTAKES.items():
        if np.allclose(got, [mistake(epoch, constant, decay) for epoch in range(len(got))], atol=1e-5):
            return f"with constant={constant}, decay={decay}: {text}"
    for epoch in range(constant):
        if abs(got[epoch] - 1) > 1e-5:
            return f"{call}{epoch} is {got[epoch]:.4g}, expected 1 in the first {constant} epochs"
    for epoch in range(constant, end):
        if got[epoch] <= 1e-9:
            return (
                f"{call}{epoch} is {got[epoch]:.4g}, expected more than 0 in every epoch before number {end}: an epoch at"
                " rate 0 learns nothing, divide by decay + 1"
            )
    for epoch in range(end, len(got)):
        if got[epoch] < -1e-9:
            return f"{call}{epoch} is {got[epoch]:.4g}, a negative rate climbs: expected max(0, ...)"
        if got[epoch] > 1e-9:
            return f"{call}{epoch}, after the last one, is {got[epoch]:.4g}, expected 0"
    falls = [a - b for a, b in zip(got[constant:end], got[constant + 1 : end + 1])]
    if falls and max(falls) - min(falls) > 1e-5:
        return f"{call}{constant} and later falls by {min(falls):.3g} to {max(falls):.3g} per epoch, expected equal steps"
    return f"{call}{constant} is {got[constant]:.4g}, expected steps of 1 / (decay + 1)"


# ----------------------------------------------------------------------------------------------- 03: the step of G


class _TinyPatchD(nn.Module):
    """Picture -> a map of logits of a few units, without normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Tanh(), nn.Conv2d(4, 1, 2))
        with torch.no_grad():
            self.layers[2].weight.mul_(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle=10.0, lambda_identity=0.5):
    """The package's step, which is given the finished pictures."""
    nets = cyclegan.Networks(G_A, G_B, D_A, D_B)
    cycle = cyclegan.translate(nets, real_A, real_B, identity=lambda_identity > 0)
    weights = {"lambda_A": lambda_cycle, "lambda_B": lambda_cycle, "lambda_identity": lambda_identity}
    return cyclegan.update_generators(nets, optimizer, cycle, **weights)


def _cycle_losses(s: SimpleNamespace, by_cycle: float, by_identity: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The right loss of both generators, and those of the common mistakes by their names."""
    G_A, G_B, D_A, D_B, A, B = s.G_A, s.G_B, s.D_A, s.D_B, s.real_A, s.real_B
    l1, to = F.l1_loss, lambda logits, target: (logits - target).square().mean()
    fake_B, fake_A = G_A(A), G_B(B)
    adversarial_A, adversarial_B = to(D_A(fake_B), 1), to(D_B(fake_A), 1)
    adversarial = adversarial_A + adversarial_B
    cycle_A, cycle_B = l1(G_B(fake_B), A), l1(G_A(fake_A), B)
    cycle = cycle_A + cycle_B
    identity_A, identity_B = l1(G_A(B), B), l1(G_B(A), A)
    identity, exchanged = identity_A + identity_B, l1(G_A(A), A) + l1(G_B(B), B)
    weight = by_cycle * by_identity
    most, rest = adversarial + by_cycle * cycle, by_cycle * cycle + weight * identity
    bce = F.softplus(-D_A(fake_B)).mean() + F.softplus(-D_B(fake_A)).mean()
    cut = l1(G_B(fake_B.detach()), A) + l1(G_A(fake_A.detach()), B)
    wrong = {
        "D_A and D_B are exchanged: D_A judges pictures of B, so G_A(A)": to(D_B(fake_B), 1) + to(D_A(fake_A), 1) + rest,
        "the fakes' target is 0, so G learns to be found out: it is 1 here": to(D_A(fake_B), 0) + to(D_B(fake_A), 0) + rest,
        "D's verdict on the fakes teaches nothing: it is missing, cut off (detach), or about the real pictures": rest,
        "D judges the reconstructions, expected the fakes": to(D_A(G_A(fake_A)), 1) + to(D_B(G_B(fake_B)), 1) + rest,
        "the adversarial loss is cross-entropy, expected least squares": bce + rest,
        "the adversarial loss is halved, which is for D's": adversarial / 2 + rest,
        "D_A's verdict on G_A is missing": adversarial_B + rest,
        "D_B's verdict on G_B is missing": adversarial_A + rest,
        "the identity gets the wrong pictures: G_A(real_B) is compared with real_B": most + weight * exchanged,
        "the identity losses are missing": most,
        "only G_A's identity loss counts, expected both": most + weight * identity_A,
        "only G_B's identity loss counts, expected both": most + weight * identity_B,
        "the identity has the weight lambda_identity, expected lambda_cycle * lambda_identity": most + by_identity * identity,
        "the identity has the weight lambda_cycle, expected lambda_cycle * lambda_identity": most + by_cycle * identity,
        "the identity has no weight, expected lambda_cycle * lambda_identity": most + identity,
        "lambda_cycle is missing on the cycle": adversarial + cycle + weight * identity,
        "the cycle losses are missing": adversarial + weight * identity,
        "only the cycle A -> B -> A counts, expected both": adversarial + by_cycle * cycle_A + weight * identity,
        "only the cycle B -> A -> B counts, expected both": adversarial + by_cycle * cycle_B + weight * identity,
        "the two cycles are averaged, expected their sum": adversarial + by_cycle * cycle / 2 + weight * identity,
        "the fakes are cut off (detach) before the way back, so one generator learns nothing from a cycle": (
            adversarial + by_cycle * cut + weight * identity
        ),
        "the cycle compares with the fakes, expected with the real pictures": (
            adversarial + by_cycle * (l1(G_B(fake_B), fake_A) + l1(G_A(fake_A), fake_B)) + weight * identity
        ),
        "reconstructions of A are compared with B": (
            adversarial + by_cycle * (l1(G_B(fake_B), B) + l1(G_A(fake_A), A)) + weight * identity
        ),
        "the same generator goes there and back, G_A(G_A(A)): expected G_B(G_A(A))": (
            adversarial + by_cycle * (l1(G_A(fake_B), A) + l1(G_B(fake_A), B)) + weight * identity
        ),
        "the cycle is measured in squares, expected absolute values": (
            adversarial + by_cycle * (F.mse_loss(G_B(fake_B), A) + F.mse_loss(G_A(fake_A), B)) + weight * identity
        ),
        "lambda_cycle and lambda_identity have no effect: 10 and 0.5 are written into it": (
            adversarial + 10 * cycle + 5 * identity
        ),
        "G_A and G_B are exchanged: G_A paints B from A": (
            to(D_A(G_B(A)), 1) + to(D_B(G_A(B)), 1) + by_cycle * (l1(G_A(G_B(A)), A) + l1(G_B(G_A(B)), B)) + weight * exchanged
        ),
        "the sign is wrong: it climbs": -(adversarial + rest),
    }
    return adversarial + rest, wrong


@_exercise("cycle_generator_step", "only the generators move, along the right gradient, both lambdas, loss returned")
def test_cycle_generator_step(cycle_generator_step=_cycle_generator_step):
    """cycle_generator_step(G_A, G_B, D_A, D_B, optimizer, real_A, real_B, lambda_cycle, lambda_identity) -> loss.

    One update of both generators: least squares through D_A on G_A(A) and D_B on G_B(B), cycles, identities.
    """
    g = _generator()
    for n, size, lambdas in ((3, 8, {}), (1, 9, {"lambda_cycle": 3.0, "lambda_identity": 0.8}), (2, 7, {})):
        nets = {"G_A": _TinyTranslator(), "G_B": _TinyTranslator(), "D_A": _TinyPatchD(), "D_B": _TinyPatchD()}
        real = {f"real_{letter}": _small_pictures(n, size, size, g) for letter in "AB"}
        s = SimpleNamespace(**nets, **real)
        s.params = [*s.G_A.parameters(), *s.G_B.parameters()]
        loss, wrong = _cycle_losses(s, lambdas.get("lambda_cycle", 10.0), lambdas.get("lambda_identity", 0.5))
        s.want, s.want_gradient = loss.detach(), _gradient(loss, s.params)
        s.wrong = {text: (value.detach(), _gradient(value, s.params)) for text, value in wrong.items()}
        # Stale gradients in D do no harm, as long as nobody steps with them.
        s.stale = torch.cat([_plant(net, g) for net in nets.values()][:2])
        rate, updates = 0.01, []
        optimizer = torch.optim.SGD(s.params, lr=rate)
        optimizer.register_step_post_hook(lambda *_, updates=updates: updates.append(1))
        judges = [*s.D_A.parameters(), *s.D_B.parameters()]
        kept = _flat(real.values()), _flat(judges), _flat(s.params)
        s.returned = cycle_generator_step(*nets.values(), optimizer, *real.values(), **lambdas)

        _require(torch.equal(_flat(real.values()), kept[0]), "it changed real_A or real_B in place")
        _require(torch.equal(_flat(judges), kept[1]), "D's weights moved in the step of G: only `optimizer` may step")
        for label, net in nets.items():
            _require(net.training, f"it leaves {label} in eval mode: training goes on after the step")
            trainable = all(p.requires_grad for p in net.parameters())
            _require(trainable, f"it leaves {label} frozen (requires_grad False): give its weights their gradients back")
        _require(updates, "optimizer.step() was not called")
        _require(
            len(updates) == 1,
            f"optimizer.step() was called {len(updates)} times, expected once: add both directions' losses first",
        )
        s.moved = (kept[2] - _flat(s.params)) / rate
        _moved_rightly(s, "G_A and G_B")
        after, _ = _cycle_losses(s, lambdas.get("lambda_cycle", 10.0), lambdas.get("lambda_identity", 0.5))
        _returned_loss(s, "loss_G", after)


def _gradient(loss: Tensor, params: list[Tensor]) -> Tensor:
    """The flat gradient of a loss; 0 where it does not reach."""
    if not loss.requires_grad:
        return torch.zeros_like(_flat(params))
    gradients = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
    return _flat(torch.zeros_like(p) if gradient is None else gradient for p, gradient in zip(params, gradients))


# ------------------------------------------------------------------------------------------- 04: from noise to styles


def _gradient_is(y: Tensor, want: Tensor, named: Mapping[str, tuple[Tensor, Tensor]], g: torch.Generator) -> None:
    """Fail unless `y` has the gradient of `want` for each of its inputs, name -> (y's own, want's own)."""
    _require(y.requires_grad, "no gradient flows back: is there a detach, .data, no_grad, or a new tensor?")
    direction = torch.randn(want.shape, generator=g)
    mine, others = zip(*named.values())
    got = torch.autograd.grad((y * direction).sum(), mine, allow_unused=True)
    right = torch.autograd.grad((want * direction).sum(), others)
    for name, one, other in zip(named, got, right):
        _require(one is not None, f"no gradient reaches {name}: is it cut off by a detach, .data or no_grad?")
        _require(
            _close(one, other, 1e-3),
            f"the values are right, but not the gradient for {name}: is a part cut off by a detach, .data or no_grad?",
        )


def _learning(*tensors: Tensor) -> list[Tensor]:
    """Copies that want gradients."""
    return [t.detach().clone().requires_grad_(True) for t in tensors]


def _pixel_norm(z: Tensor, eps: float = 1e-8) -> Tensor:
    """Each row of z [N, C] over its root mean square."""
    return z * (z.square().mean(1, keepdim=True) + eps).rsqrt()


def _rms(z: Tensor, axes: tuple[int, ...]) -> Tensor:
    return z.square().mean(axes, keepdim=True).sqrt()


_PIXEL_NORM_MISTAKES: dict[str, Callable[[Tensor], Tensor]] = {
    "z came back as it was": lambda z: z,
    "keepdim=True is missing in the mean, so rows are divided by each other's numbers": lambda z: z / _rms(z, (1,)).T,
    "the mean runs over the batch (dim=0), expected over the entries of each row (dim=1)": lambda z: z / _rms(z, (0,)),
    "one number for the whole batch, expected one per row (dim=1, keepdim=True)": lambda z: z / _rms(z, (0, 1)),
    "rows get length 1: divide by the root of the mean of squares, not of their sum": lambda z: F.normalize(z, dim=1),
    "the whole batch gets length 1: one root mean square for each row": lambda z: z / z.norm(),
    "it divides by the mean square, the root is missing": lambda z: z / _rms(z, (1,)).square(),
    "it divides by the sum of squares, expected the root of their mean": lambda z: z / z.square().sum(1, keepdim=True),
    "it multiplies by the root mean square, expected a division": lambda z: z * _rms(z, (1,)),
    "the mean is subtracted, too: only the size of a row is to be changed": lambda z: F.layer_norm(z, z.shape[1:]),
    "this is batch norm: each row by itself, and nothing subtracted": lambda z: (z - z.mean(0)) / z.std(0, correction=0),
    "it divides by the standard deviation, which subtracts the mean first": lambda z: z / z.std(1, keepdim=True),
    "it divides by the root of the variance, which subtracts the mean first": lambda z: (
        z / z.std(1, correction=0, keepdim=True)
    ),
    "it divides by the mean absolute value, expected the root mean square": lambda z: z / z.abs().mean(1, keepdim=True),
    "it divides by the largest entry, expected the root mean square": lambda z: z / z.abs().amax(1, keepdim=True),
    "the root is taken of each square, which is the absolute value: first the mean, then the root": lambda z: z.sign(),
    "it returns the root mean squares themselves: divide z by them": lambda z: _rms(z, (1,)).expand_as(z),
}


@_exercise("pixel_norm", "rows long and short, a row of zeros, gradient, z untouched")
def test_pixel_norm(pixel_norm=_pixel_norm):
    """pixel_norm(z, eps=1e-8): each row of z [N, C] divided by its root mean square."""
    g = _generator()
    for n, c in ((4, 4), (3, 7), (1, 5), (6, 2)):
        lengths = 10 ** (3 * torch.rand(n, 1, generator=g) - 1.5)
        z = (0.4 + torch.randn(n, c, generator=g)) * lengths
        before = z.clone()
        y = _tensor(pixel_norm(z) if n != 3 else pixel_norm(z, eps=1e-8), f"the result for z {_shape(z)}")
        _require(torch.equal(z, before), "it changed z itself: make a new tensor (no /=, *=, div_ on z)")
        _require(y.shape == z.shape, f"z of shape {_shape(z)} gives {_shape(y)}, expected the same")
        want = _pixel_norm(z)
        if not _close(y, want, 1e-3):
            wrong = {text: mistake(z) for text, mistake in _PIXEL_NORM_MISTAKES.items()}
            row = int((y - want).abs().amax(1).argmax())
            mistake = _name_of(y, want, wrong, "divide each row by sqrt(mean of its squares + eps), with eps 1e-8")
            before, after = (float(_rms(t, (1,))[row]) for t in (z, y))
            size = f"with {after:.3g}, expected 1" if abs(after - 1) > 0.01 else "as long as it should, but with other values"
            raise _Mistake(f"a row with root mean square {before:.3g} comes out {size}: {mistake}")
        mine, others = _learning(z, z)
        _gradient_is(pixel_norm(mine), _pixel_norm(others), {"z": (mine, others)}, g)
    zeros = pixel_norm(torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, -1.0]]))
    _require(zeros.isfinite().all(), "a row of zeros gives NaN, 0 / 0: add eps under the root")


def _mapping(z_dim: int, w_dim: int, layers: int = 4) -> nn.Module:
    """The package's mapping network, without labels and not repeated for the layers of a synthesis."""
    return stylegan2.Mapping(z_dim, 0, w_dim, None, num_layers=layers)


def _matrices(net: nn.Module) -> list[Tensor]:
    return [p for p in net.parameters() if p.dim() == 2]


@torch.no_grad()
def _set_biases(net: nn.Module, value: Callable[[Tensor], Tensor]) -> None:
    for p in net.parameters():
        if p.dim() < 2:
            p.copy_(value(p))


@_exercise("MappingNetwork", "sizes, number of layers, pixel norm, leaky ReLUs, each z alone, gradients")
def test_mapping_network(MappingNetwork=_mapping):
    """MappingNetwork(z_dim, w_dim, layers=4): z [N, z_dim] -> w [N, w_dim], pixel norm and then fully connected layers."""
    g = _generator()
    for z_dim, w_dim, layers, n in ((7, 7, 2, 4), (6, 9, 3, 3), (12, 5, None, 2)):
        sizes = (z_dim, w_dim) if layers is None else (z_dim, w_dim, layers)
        net, z = _network(MappingNetwork, *sizes), torch.randn(n, z_dim, generator=g)
        before = z.clone()
        w = _tensor(_mapped(net, z, sizes), "the result")
        _require(torch.equal(z, before), "it changed the z it was given, in place")
        _is_style(w, n, z_dim, w_dim)
        _has_layers(net, MappingNetwork, sizes, layers or 4)
        _gradients_reach(net, (w * torch.randn(w.shape, generator=g)).sum())
    z = torch.randn(4, 6, generator=g) * torch.tensor([[0.5], [1.0], [3.0], [8.0]])
    _each_z_alone(_network(MappingNetwork, 6, 8, 3), z)
    for training in (True, False):
        _length_of_z_is_removed(_network(MappingNetwork, 6, 8, 3).train(training), z, g)
    for layers in (2, 4):
        net = _network(MappingNetwork, 6, 8, layers).eval()
        _set_biases(net, torch.zeros_like)
        _only_leaky_layers(net, z, g)
        _layers_have_slope(net, 6, layers)


def _mapped(net: nn.Module, z: Tensor, sizes: tuple[int, ...]) -> Tensor:
    try:
        return net(z)
    except RuntimeError as error:
        if "cannot be multiplied" not in str(error):
            raise
        shapes = re.findall(r"\d+x\d+", str(error))
        raise _Mistake(
            f"with z_dim={sizes[0]}, w_dim={sizes[1]} a layer gets {' and '.join(shapes[:2])}: the first layer takes z_dim"
            " entries, each further one as many as the one before it gives"
        ) from None


def _is_style(w: Tensor, n: int, z_dim: int, w_dim: int) -> None:
    expected = f"z of shape [{n}, {z_dim}] gives {_shape(w)}, expected [{n}, {w_dim}]: "
    _require(w.dim() == 2, expected + "one w for each z, not yet repeated for the layers of the synthesis, no squeeze")
    _require(len(w) == n, expected + "one w for each z")
    _require(w.shape[1] != z_dim or z_dim == w_dim, expected + "is w_dim used? The last layer gives w_dim entries")
    _require(w.shape[1] == w_dim, expected + "the last layer gives w_dim entries")


def _has_layers(net: nn.Module, MappingNetwork: Callable[..., nn.Module], sizes: tuple[int, ...], layers: int) -> None:
    got = len(_matrices(net))
    if got == layers:
        return
    call = f"MappingNetwork({', '.join(map(str, sizes))}) has {got} weight matrices, expected {layers}: "
    _require(len(sizes) == 3, call + "by default layers is 4")
    more = len(_matrices(MappingNetwork(*sizes[:2], layers + 3)))
    _require(got != more, call + "layers has no effect, or [layer] * n holds one layer n times: make n of them")
    raise _Mistake(call + "the first and the last one are counted in `layers`")


def _each_z_alone(net: nn.Module, z: Tensor) -> None:
    """Fail if in training w depends on the other z of the batch or on chance, or in evaluation."""
    one, again = _same_draws(net, z[:2])[0], net.train()(z[:2])[0].detach()
    other = _same_draws(net, torch.stack([z[0], z[3]]))[0]
    allowed = 1e-3 * float(one.abs().max()) + 1e-9
    _require(
        (one - other).abs().max() <= allowed,
        "w depends on the other z of its batch: a batch norm, or a pixel_norm over the batch (dim=0)",
    )
    _require((one - again).abs().max() <= allowed, "the same z gives another w the second time: is there dropout or noise?")
    _alone_or_together(net, z, "z")


@torch.no_grad()
def _length_of_z_is_removed(net: nn.Module, z: Tensor, g: torch.Generator) -> None:
    """Fail unless pixel norm comes first, whatever the biases are."""
    _set_biases(net, lambda p: torch.randn(p.shape, generator=g))
    with _Products(z.shape) as products:
        w = net(z)
    if not _close(net(5 * z), w, 1e-3):
        ends = _close(_rms(w, (1,)), torch.ones(len(w), 1), 1e-3)
        mistake = "pixel_norm comes last here" if ends else "the length of z has to be taken out"
        raise _Mistake(f"z and 5 z give different w: {mistake}, expected pixel_norm(z) before the first layer")
    narrow = [p for p in _matrices(net) if z.shape[1] in p.shape and p.std() < 0.75]  # no weights that are scaled when used
    if products.seen and narrow:
        length = float(products.seen[0].norm(dim=1).mean())
        _require(abs(length - 1) > 1e-3, "rows of length 1 reach the first layer, expected a root mean square of 1: pixel_norm")


class _Products(TorchFunctionMode):
    """Keeps what of a given shape is multiplied with a matrix."""

    NAMES = ("linear", "matmul", "__matmul__", "mm", "addmm", "einsum")

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.shape, self.seen = shape, []

    def __torch_function__(self, function, types, arguments=(), named=None):
        if getattr(function, "__name__", "") in self.NAMES:
            self.seen += [a for a in arguments if isinstance(a, Tensor) and a.shape == self.shape and not a.requires_grad]
        return function(*arguments, **(named or {}))


@torch.no_grad()
def _only_leaky_layers(net: nn.Module, z: Tensor, g: torch.Generator) -> None:
    """Without biases w grows in proportion with the weights of each layer, since a leaky ReLU only knows signs."""
    for p in _matrices(net):
        p.copy_(torch.randn(p.shape, generator=g) / p.shape[1] ** 0.5)
    before = net(z)
    for p in _matrices(net):
        p.mul_(3)
        after = net(z)
        p.div_(3)
        if _close(after, 3 * before, 1e-3):
            continue
        _require(
            not _close(after, before, 2e-2),
            "the strength of a layer's weights does not show in w: a norm between or after the layers, expected one before",
        )
        raise _Mistake(
            "without biases, three times the weights of one layer do not give three times w: expected fully connected layers"
            " and leaky ReLUs only, no tanh, sigmoid, GELU, shortcut"
        )


@torch.no_grad()
def _layers_have_slope(net: nn.Module, z_dim: int, layers: int) -> None:
    """With weights of 1, from z = 1 to z = -1 every value turns negative, and each leaky ReLU multiplies by its slope."""
    for p in _matrices(net):
        p.fill_(1.0)
    z = torch.ones(1, z_dim)
    up, down = (float(net(sign * z).mean()) for sign in (1, -1))
    _require(up != 0, "with weights of 1 and biases of 0, z of 1 gives w of 0: is there a norm with weights of its own?")
    ratio = -down / up
    count = next((k for k in range(layers + 3) if abs(ratio / 0.2**k - 1) < 0.02), None)
    if count in (layers, layers - 1):
        return
    expected = f"expected a leaky ReLU of slope 0.2 after each of {layers} layers (after the last one it may be left out): "
    _require(abs(ratio - 1) > 0.02, expected + "there is none, so that all layers together are a single one")
    _require(count is None, expected + f"counted here are {count}")
    _require(ratio != 0, expected + "this is a ReLU, which is 0 for all that is negative")
    torchs = any(abs(ratio / 0.01**k - 1) < 0.02 for k in range(1, layers + 1))
    _require(not torchs, expected + "the slope is 0.01, torch's default")
    raise _Mistake(expected + f"for values below 0, w is {ratio:.2g} of what it is above 0, expected {0.2**layers:.2g}")


def _modulated_conv(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool = True) -> Tensor:
    """The package's, with as much padding as keeps the size."""
    return modulated_conv2d(x, weight, styles, demodulate=demodulate, padding=weight.shape[2] // 2)


def _by_own_weights(x: Tensor, weights: Tensor, border: str = "constant") -> Tensor:
    """Each picture of x [N, I, H, W] with weights of its own [N, O, I, k, k]."""
    reach = weights.shape[-1] // 2
    pictures = F.pad(x, (reach,) * 4, mode=border)
    return torch.cat([F.conv2d(picture[None], own) for picture, own in zip(pictures, weights)])


def _styled(weight: Tensor, styles: Tensor) -> Tensor:
    return weight * styles[:, None, :, None, None]  # [N, O, I, k, k]


def _demodulated(weights: Tensor, axes: tuple[int, ...] = (2, 3, 4)) -> Tensor:
    return weights * (weights.square().sum(axes, keepdim=True) + 1e-8).rsqrt()


def _styles_misused(x: Tensor, weight: Tensor, styles: Tensor, finish: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """What comes out of mistakes that demodulation, `finish`, does not touch."""
    outputs, inputs, k, _ = weight.shape
    own, plain = _styled(weight, styles), weight.expand(len(x), -1, -1, -1, -1)
    right = _by_own_weights(x, finish(own))
    wrong = {
        "the styles are not used": _by_own_weights(x, finish(plain)),
        "one picture's style counts for all, expected each its own": _by_own_weights(x, finish(own[:1].expand_as(own))),
        "the batch's styles are averaged, expected each picture its own": _by_own_weights(
            x, finish(own.mean(0, keepdim=True).expand_as(own))
        ),
        "each picture gets its neighbour's style": _by_own_weights(x, finish(own.roll(1, 0))),
        "the kernel is flipped: F.conv2d takes the weights as they are": _by_own_weights(x, finish(own.flip(3, 4))),
        "rows and columns of the kernel changed places": _by_own_weights(x, finish(own.transpose(3, 4))),
        "1 is added to the styles, expected the styles as they are": _by_own_weights(x, finish(_styled(weight, 1 + styles))),
        "the styles count twice (squared)": _by_own_weights(x, finish(_styled(weight, styles.square()))),
        "it divides by the styles": _by_own_weights(x, finish(_styled(weight, 1 / styles))),
        "the styles are added to the weights, expected a product": _by_own_weights(
            x, finish(weight + styles[:, None, :, None, None])
        ),
        "the styles are normalised first, expected as they are": _by_own_weights(
            x, finish(_styled(weight, F.normalize(styles)))
        ),
        "the weights are scaled by 1 / sqrt(I k k) (equalised learning rate), which is not this function's": _by_own_weights(
            x, finish(own / (inputs * k * k) ** 0.5)
        ),
        "a gain of sqrt(2) is inside": 2**0.5 * right,
        "the result is normalised (instance norm), expected the weights": F.instance_norm(right),
        "the sign is wrong": -right,
    }
    if k > 1:
        wrong["the border is padded by reflection, expected zeros"] = _by_own_weights(x, finish(own), "reflect")
        wrong["the border is repeated (replicate), expected zeros"] = _by_own_weights(x, finish(own), "replicate")
        wrong["the border is padded circularly, expected zeros"] = _by_own_weights(x, finish(own), "circular")
    if inputs == outputs:
        after = weight * styles[:, :, None, None, None]
        wrong |= {
            "the styles scale the output channels (axis 0 of weight), expected the input channels": _by_own_weights(
                x, finish(after)
            ),
            "the styles scale the result's channels, expected those of x or of the weights": (
                _by_own_weights(x, finish(plain)) * styles[:, :, None, None]
            ),
            "input and output channels of the weights changed places": _by_own_weights(
                x, finish(_styled(weight.transpose(0, 1), styles))
            ),
        }
    return wrong


def _demodulation_misused(x: Tensor, weight: Tensor, styles: Tensor) -> dict[str, Tensor]:
    """What comes out if demodulation is wanted and made wrongly."""
    own, plain = _styled(weight, styles), weight.expand(len(x), -1, -1, -1, -1)
    squares = own.square().sum((2, 3, 4), keepdim=True)
    wrong = {
        "the demodulation is missing": own,
        "only the weights are in the sum of squares: modulate first, then demodulate": _demodulated(plain)
        * styles[:, None, :, None, None],
        "the root is missing: rsqrt of the sum, not 1 / sum": own / squares,
        "it multiplies by the root, expected a division (rsqrt)": own * squares.sqrt(),
        "it multiplies by the sum of squares, expected a division by its root": own * squares,
        "it takes the mean of the squares, expected their sum": own / own.square().mean((2, 3, 4), keepdim=True).sqrt(),
        "it sums absolute values, expected squares": own / own.abs().sum((2, 3, 4), keepdim=True),
        "only the styles are in the sum, expected the modulated weights": own
        / styles.square().sum(1)[:, None, None, None, None].sqrt(),
        "it divides by the standard deviation, expected the root of the sum of squares": own / own.std((2, 3, 4), keepdim=True),
        "the sum of the weights is squared, expected the sum of the squares": own / own.sum((2, 3, 4), keepdim=True).abs(),
        "the mean over the batch is taken: each picture has its own demodulation": own / squares.mean(0, keepdim=True).sqrt(),
    }
    sums = {
        "only over the kernel, the input channels are missing": (3, 4),
        "only over the input channels, the kernel is missing": (2,),
        "over the output channels, expected over input channels and kernel": (1,),
        "over output channels and kernel, expected over input channels and kernel": (1, 3, 4),
        "over the output channels as well: each of them has its own": (1, 2, 3, 4),
        "over output and input channels, expected over input channels and kernel": (1, 2),
        "over the batch as well: each picture has its own": (0, 2, 3, 4),
        "over everything: each picture and each output channel has its own": (0, 1, 2, 3, 4),
    }
    wrong |= {f"the sum of squares runs {text}": _demodulated(own, axes) for text, axes in sums.items()}
    return {text: _by_own_weights(x, weights) for text, weights in wrong.items()}


@_exercise("modulated_conv", "values for kernels of 1 to 5, with and without demodulation, each picture alone, 3 gradients")
def test_modulated_conv(modulated_conv=_modulated_conv):
    """modulated_conv(x [N,I,H,W], weight [O,I,k,k], styles [N,I], demodulate=True) -> [N,O,H,W]."""
    g = _generator()
    trials = [  # N, I, O, k, height, width, demodulate (None: not given)
        (3, 4, 4, 3, 5, 6, True),
        (3, 4, 4, 3, 6, 5, False),
        (2, 3, 5, 3, 7, 4, None),
        (1, 4, 2, 1, 4, 5, True),
        (2, 3, 2, 5, 6, 7, True),
        (4, 2, 3, 1, 5, 5, False),
    ]
    for n, inputs, outputs, k, height, width, demodulate in trials:
        x = 0.3 + torch.randn(n, inputs, height, width, generator=g)
        weight = 0.2 + torch.randn(outputs, inputs, k, k, generator=g)
        styles = 0.7 + torch.randn(n, inputs, generator=g)
        options = {} if demodulate is None else {"demodulate": demodulate}
        given = f"x {_shape(x)}, weight {_shape(weight)}" + "".join(f", demodulate={value}" for value in options.values())
        y = _untouched_result(modulated_conv, x, weight, styles, options)
        _has_size(y, x, weight, given)
        if not _close(y, _by_own_weights(x, _finished(weight, styles, demodulate)), 1e-3):
            raise _Mistake(f"{given}: {_convolves_wrongly(modulated_conv, y, x, weight, styles, options)}")
    _survives_small_styles(modulated_conv, g)
    for demodulate in (True, False):
        tensors = [0.5 + torch.randn(shape, generator=g) for shape in ((3, 4, 5, 4), (2, 4, 3, 3), (3, 4))]
        mine, others = _learning(*tensors), _learning(*tensors)
        want = _by_own_weights(others[0], _finished(*others[1:], demodulate))
        y = modulated_conv(*mine, demodulate=demodulate)
        _gradient_is(y, want, dict(zip(("x", "weight", "styles"), zip(mine, others))), g)


def _untouched_result(modulated_conv: Callable, x: Tensor, weight: Tensor, styles: Tensor, options: dict[str, bool]) -> Tensor:
    """What comes out, after what holds for any result."""
    before = [t.clone() for t in (x, weight, styles)]
    y = _convolved(modulated_conv, x, weight, styles, options)
    if isinstance(y, Tensor):
        _require(not y.isnan().any(), "the result contains NaN: is there a root of something negative? Square before you sum")
    for name, now, then in zip(("x", "weight", "styles"), (x, weight, styles), before):
        _require(torch.equal(now, then), f"it changed {name} itself, in place: the next call would begin with another one")
    return _tensor(y, "the result")


def _finished(weight: Tensor, styles: Tensor, demodulate: bool | None) -> Tensor:
    own = _styled(weight, styles)
    return own if demodulate is False else _demodulated(own)


def _convolved(modulated_conv: Callable, x: Tensor, weight: Tensor, styles: Tensor, options: dict[str, bool]) -> Tensor:
    try:
        return modulated_conv(x, weight, styles, **options)
    except RuntimeError as error:
        text = str(error)
        _require(
            not re.search(
                r"expected input\[.*channels|input channels divisible|at least 3 dim|match the convolution dim|Expected [34]D",
                text,
            ),
            f"F.conv2d refused the shapes ({text[:95]}): for weights of each picture's own, x becomes one picture"
            " [1, N*I, H, W], the weights [N*O, I, k, k], and groups=N",
        )
        _require(
            "must match" not in text,
            f"shapes do not fit ({text[:80]}): beside weight [O, I, k, k] the styles need the shape [N, 1, I, 1, 1],"
            " beside x [N, I, 1, 1]",
        )
        raise


def _has_size(y: Tensor, x: Tensor, weight: Tensor, given: str) -> None:
    want = [len(x), len(weight), *x.shape[2:]]
    if list(y.shape) == want:
        return
    expected = f"{given} give {_shape(y)}, expected {want}: "
    _require(y.dim() == 4, expected + "four axes, N pictures of O channels")
    _require(y.shape[0] != 1 or len(x) == 1, expected + "split the one grouped picture into N again: reshape(N, O, H, W)")
    _require(y.shape[0] == len(x), expected + "one result for each picture")
    _require(y.shape[1] == len(weight), expected + "as many channels as the weights have outputs")
    raise _Mistake(expected + "padding k // 2 and stride 1 keep the size, for every k")


def _convolves_wrongly(
    modulated_conv: Callable, y: Tensor, x: Tensor, weight: Tensor, styles: Tensor, options: dict[str, bool]
) -> str:
    """What is wrong with the values y, in words."""
    demodulate = options.get("demodulate", True)
    right = _by_own_weights(x, _finished(weight, styles, demodulate))
    wrong = _styles_misused(x, weight, styles, _demodulated if demodulate else lambda weights: weights)
    if demodulate:
        if not options:
            wrong["demodulate has to be True by default"] = _by_own_weights(x, _styled(weight, styles))
        wrong |= _demodulation_misused(x, weight, styles)
    else:
        own = _by_own_weights(x, _demodulated(_styled(weight, styles)))
        wrong["it is demodulated although demodulate is False"] = own
    named = _name_of(y, right, wrong, "")
    if named:
        return named
    if len(x) > 1:
        other = modulated_conv(torch.cat([x[:-1], x[-1:] + 1]), weight, styles, **options)
        if not _close(other[0], y[0], 1e-3):
            return "one picture's result depends on another picture: the batch is mixed, look at each reshape and at groups=N"
        other = modulated_conv(x, weight, torch.cat([styles[:-1], styles[-1:] + 1]), **options)
        if not _close(other[0], y[0], 1e-3):
            return "one picture's result depends on another one's style: keep N the first axis of the modulated weights"
    worst = float((y - right).abs().max())
    finish = ", then each output channel of each picture divided by sqrt(sum over I, k, k + 1e-8)" if demodulate else ""
    return f"the values are off by up to {worst:.2g}: expected a convolution with weight * style of the input channel{finish}"


def _survives_small_styles(modulated_conv: Callable, g: torch.Generator) -> None:
    x, weight = torch.randn(2, 4, 5, 5, generator=g), torch.randn(3, 4, 3, 3, generator=g)
    quiet = modulated_conv(x, weight, torch.zeros(2, 4))
    _require(quiet.isfinite().all(), "a style of zeros gives NaN or infinity: add 1e-8 to the sum under the root")
    weak = torch.tensor([[0.01, -0.01, 0.02, 0.01], [-0.01, 0.02, 0.01, 0.01]])
    _require(
        _close(modulated_conv(x, weight, weak), _by_own_weights(x, _demodulated(_styled(weight, weak))), 1e-3),
        "with styles near 0.01 the result is too small: what is added under the root outweighs the sum, expected 1e-8",
    )


class _NoiseInjection(nn.Module):
    """x plus one number per pixel, times a learned strength, as in the package's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if noise is None else noise
        return x + self.strength * noise


@_exercise("NoiseInjection", "one strength that begins at 0, noise given or drawn for each pixel, gradients")
def test_noise_injection(NoiseInjection=_NoiseInjection):
    """NoiseInjection(): x [N, C, H, W] -> x + strength * noise, the noise [N, 1, H, W] given or drawn."""
    g = _generator()
    for shape in ((3, 4, 5, 6), (1, 2, 7, 3), (2, 1, 4, 4)):
        layer = NoiseInjection()
        strength = _one_strength(layer)
        x, noise = torch.randn(shape, generator=g), torch.randn(shape[0], 1, *shape[2:], generator=g)
        _begins_with_x(_noisy(layer, x, noise), x, strength)
        with torch.no_grad():
            strength.fill_(0.7)
        got, want = _noisy(layer, x, noise), x + 0.7 * noise
        if not _close(got, want, 1e-3):
            again = _noisy(layer, x, noise)
            _require(_close(again, got, 1e-3), "the argument noise is ignored: with the same noise, other values come out")
            wrong = {text: mistake(x, noise, 0.7) for text, mistake in _NOISE_MISTAKES.items()}
            raise _Mistake(f"with a strength of 0.7: {_name_of(got, want, wrong, 'expected x + strength * noise')}")
        for value in (0.7, 0.0):
            with torch.no_grad():
                strength.fill_(value)
            _gradient_of_strength(layer, strength, x, noise, g)
        for net in (layer.train(), layer.eval()):
            with torch.no_grad():
                strength.fill_(1.0)
            _draws_noise(net, torch.randn(4, 3, 24, 20, generator=g))


_NOISE_MISTAKES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "no noise is added": lambda x, noise, s: x,
    "the strength is not used": lambda x, noise, s: x + noise,
    "the noise multiplies x, expected a sum": lambda x, noise, s: x * (1 + s * noise),
    "x is multiplied by the strength, too": lambda x, noise, s: s * (x + noise),
    "x itself is missing": lambda x, noise, s: s * noise + 0 * x,
    "x loses what the noise gains: x stays as it is": lambda x, noise, s: (1 - s) * x + s * noise,
    "the noise is subtracted": lambda x, noise, s: x - s * noise,
    "the strength is squared": lambda x, noise, s: x + s * s * noise,
    "the strength goes through an exponential or softplus, expected the plain product": lambda x, noise, s: (
        x + float(np.exp(s)) * noise
    ),
    "the strength is added by itself": lambda x, noise, s: x + s + noise,
    "only the first channel gets noise": lambda x, noise, s: torch.cat([x[:, :1] + s * noise, x[:, 1:]], dim=1),
    "all pictures get the first one's noise": lambda x, noise, s: x + s * noise[:1],
}


def _one_strength(layer: object) -> Tensor:
    """The one number that a NoiseInjection learns."""
    _require(isinstance(layer, nn.Module), f"building it gives a {type(layer).__name__}, expected an nn.Module")
    parameters, kept = list(layer.parameters()), [name for name, _ in layer.named_buffers()]
    plain = [name for name, value in vars(layer).items() if isinstance(value, Tensor)]
    _require(
        parameters or not kept,
        f"the buffer {''.join(kept[:1])} is not learned: nn.Parameter(torch.zeros(1)) in place of register_buffer",
    )
    _require(
        parameters or not plain, f"self.{''.join(plain[:1])} is a plain tensor that no optimiser finds: make it an nn.Parameter"
    )
    _require(parameters, "it has no parameter: the strength of the noise is learned, nn.Parameter(torch.zeros(1))")
    numbers = sum(p.numel() for p in parameters)
    _require(numbers == 1, f"it learns {numbers} numbers, expected one strength for all channels and pixels")
    _require(parameters[0].requires_grad, "the strength is frozen (requires_grad is False)")
    return parameters[0]


def _begins_with_x(start: Tensor, x: Tensor, strength: Tensor) -> None:
    """Fail unless a new layer gives x back."""
    if _close(start, x):
        return
    value = float(strength.detach())
    _require(value == 0, f"the strength begins at {value:.3g}, expected 0 (torch.zeros), so that training decides about it")
    _require(start.any(), "with a strength of 0 nothing of x comes out, expected x + strength * noise")
    raise _Mistake("with a strength of 0 the noise shows all the same: is the noise multiplied by the strength?")


def _noisy(layer: nn.Module, x: Tensor, *noise: Tensor) -> Tensor:
    kept = [t.clone() for t in (x, *noise)]
    try:
        y = _tensor(layer(x, *noise), "the result")
    except RuntimeError as error:
        _require(
            "must match" not in str(error) and "not broadcastable" not in str(error),
            f"the noise does not fit x {_shape(x)}: one number for each pixel, [N, 1, H, W], rows before columns",
        )
        raise
    _require(torch.equal(x, kept[0]), "it changed x itself: make a new tensor (no += on x)")
    _require(all(torch.equal(a, b) for a, b in zip(noise, kept[1:])), "it changed the noise it was given, in place")
    becomes = f"x of shape {_shape(x)} becomes {_shape(y)}, expected the same"
    _require(y.shape != (len(x), 1, *x.shape[2:]) or x.shape[1] == 1, becomes + ": this is the noise alone, x is missing")
    _require(y.shape == x.shape, becomes)
    return y.detach()


def _gradient_of_strength(layer: nn.Module, strength: Tensor, x: Tensor, noise: Tensor, g: torch.Generator) -> None:
    """Fail unless the strength can be learned, also where it is 0, and x gets its gradient."""
    mine, other = _learning(x, x)
    twin = strength.detach().clone().requires_grad_(True)
    y = layer(mine, noise)
    _gradient_is(y, other + twin * noise, {"x": (mine, other), "the strength": (strength, twin)}, g)


def _draws_noise(layer: nn.Module, x: Tensor) -> None:
    """Fail unless noise that is not given is normal, one number per pixel, other in each picture and each call."""
    noise = _noisy(layer, x) - x
    mode = "" if layer.training else "in eval mode "
    _require(noise.abs().max() > 1e-3, f"{mode}nothing is added if no noise is given: draw it, torch.randn")
    size = float(noise.std())
    same = lambda axis: float((noise - noise.narrow(axis, 0, 1)).abs().max()) < 1e-4 * (1 + size)  # noqa: E731
    _require(same(1), "each channel gets noise of its own, expected one number per pixel for all channels: [N, 1, H, W]")
    _require(not (same(2) and same(3)), "a picture's noise is one number, expected one for each pixel: [N, 1, H, W]")
    _require(not (same(2) or same(3)), "whole rows or columns get the same noise, expected one number per pixel: [N, 1, H, W]")
    _require(not same(0), "all pictures of a batch get the same noise, expected each its own: [N, 1, H, W]")
    mean, std = float(noise.mean()), float(noise.std())
    _require(
        abs(mean) < 0.15 and 0.88 < std < 1.12,
        f"the drawn noise has mean {mean:.2f} and standard deviation {std:.2f}, expected 0 and 1: torch.randn, not rand",
    )
    again = _noisy(layer, x) - x
    _require(not _close(again, noise), "the same noise in every call: draw it in forward, with no seed of its own")


def _truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """The first `cutoff` layers of ws [N, L, w_dim] drawn towards w_avg, all of them if it is None."""
    cutoff = ws.shape[1] if cutoff is None else cutoff
    return torch.cat([w_avg + psi * (ws[:, :cutoff] - w_avg), ws[:, cutoff:]], dim=1)


def _truncation_mistakes(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None) -> dict[str, Tensor]:
    layers = ws.shape[1]
    count = layers if cutoff is None else cutoff
    drawn, place = w_avg + psi * (ws - w_avg), torch.arange(layers)[:, None]

    def first(values: Tensor, number: int = count) -> Tensor:
        return torch.where(place < number, values, ws)

    wrong = {
        "ws came back as it was": ws,
        "it is drawn towards zero, expected towards w_avg": first(psi * ws),
        "psi is the wrong way round: 1 leaves ws as it is, 0 gives w_avg": first(ws + psi * (w_avg - ws)),
        "w_avg is not added again": first(psi * (ws - w_avg)),
        "w_avg is not subtracted first": first(w_avg + psi * ws),
        "psi is not used: all of the difference is gone": first(w_avg.expand_as(ws)),
        "the difference is divided by psi": first(w_avg + (ws - w_avg) / (psi or 1.0)),
        "psi counts twice": first(w_avg + psi * psi * (ws - w_avg)),
        "the difference has the wrong sign": first(w_avg - psi * (ws - w_avg)),
        "it is clamped, expected drawn in proportion": first(ws.clamp(w_avg - psi, w_avg + psi)),
        "it is drawn towards the mean of this batch, expected towards w_avg": first(
            ws.mean((0, 1)) + psi * (ws - ws.mean((0, 1)))
        ),
    }
    if cutoff is not None:
        wrong |= {
            "cutoff has no effect" if cutoff else "cutoff=0 truncates every layer: 0 is not None, ask `cutoff is None`": drawn,
            "cutoff is counted from the end, expected the first layers": torch.where(place >= layers - cutoff, drawn, ws),
            "the layers from cutoff on are drawn, expected those before it": torch.where(place >= cutoff, drawn, ws),
            "one layer too many is drawn": first(drawn, cutoff + 1),
            "one layer too few is drawn": first(drawn, cutoff - 1),
            "only the layer number cutoff is drawn, expected all before it": torch.where(place == cutoff, drawn, ws),
            "cutoff counts pictures (axis 0), expected layers (axis 1)": torch.cat([drawn[:cutoff], ws[cutoff:]]),
            "cutoff counts entries of w (axis 2), expected layers (axis 1)": torch.cat(
                [drawn[..., :cutoff], ws[..., cutoff:]], dim=2
            ),
            "the layers after cutoff become w_avg, expected as they were": torch.where(place < cutoff, drawn, w_avg),
            "the layers after cutoff become 0, expected as they were": torch.where(place < cutoff, drawn, 0.0),
        }
    return wrong


@_exercise("truncate", "psi from -0.5 to 1.5, every kind of cutoff, ws untouched")
def test_truncate(truncate=_truncate):
    """truncate(ws, w_avg, psi, cutoff=None): w_avg + psi * (ws - w_avg) in the first `cutoff` layers, all if None."""
    g = _generator()
    for n, layers, w_dim in ((4, 6, 5), (2, 5, 8), (1, 3, 4)):
        for psi, cutoff in ((0.7, None), (0.3, 2), (0.5, 0), (1, 2), (0, None), (1.5, 3), (-0.5, 1), (0.5, layers)):
            ws, w_avg = 2 * torch.randn(n, layers, w_dim, generator=g), 1.5 + torch.randn(w_dim, generator=g)
            before = _flat([ws, w_avg])
            call = f"ws {_shape(ws)}, psi={psi}" + ("" if cutoff is None else f", cutoff={cutoff}")
            y = truncate(ws, w_avg, psi) if cutoff is None else truncate(ws, w_avg, psi, cutoff)
            y = _tensor(y, f"the result of {call}")
            _require(
                torch.equal(_flat([ws, w_avg]), before), "it changed ws or w_avg in place: make a new tensor (clone first)"
            )
            _require(
                y.shape == ws.shape,
                f"{call} gives {_shape(y)}, expected {_shape(ws)}: one w for each layer, also for those that are not drawn",
            )
            want = _truncate(ws, w_avg, psi, cutoff)
            if not _close(y, want, 1e-3):
                wrong = _truncation_mistakes(ws, w_avg, psi, cutoff)
                otherwise = "expected w_avg + psi * (ws - w_avg) in the first `cutoff` layers"
                raise _Mistake(f"{call}: {_name_of(y, want, wrong, otherwise)}")


def _mixing_mistakes(ws: Tensor, others: Tensor, start: int) -> dict[str, Tensor]:
    layers = ws.shape[1]
    place = torch.arange(layers)[:, None]

    def crossing(at: int) -> Tensor:
        return torch.where(place < at, ws, others)

    return {
        "nothing is mixed, ws came back": ws,
        "everything comes from others": others,
        "the two are exchanged: ws counts before start, others from there on": torch.where(place < start, others, ws),
        "one layer too late: layer number start is already others'": crossing(start + 1),
        "one layer too early: layer number start - 1 is still ws's": crossing(start - 1),
        "start is counted from the end": crossing(layers - start),
        "only layer number start is taken from others, expected all from there on": torch.where(place == start, others, ws),
        "the two are averaged, expected one or the other": (ws + others) / 2,
        "the layers from start on are averaged, expected those of others": torch.where(place < start, ws, (ws + others) / 2),
        "the two are added": torch.where(place < start, ws, ws + others),
        "start counts pictures (axis 0), expected layers (axis 1)": torch.cat([ws[:start], others[start:]]),
        "start counts entries of w (axis 2), expected layers (axis 1)": torch.cat(
            [ws[..., :start], others[..., start:]], dim=2
        ),
        "the layers from start on are 0": torch.where(place < start, ws, 0.0),
        "all pictures get the styles of others' first one": torch.where(place < start, ws, others[:1]),
        "others begins with its own layer 0 at start, expected its layer number start": (
            torch.cat([ws[:, :start], others[:, : layers - start]], dim=1)
        ),
    }


def _mixes_wrongly(ws: Tensor, others: Tensor, failed: dict[int, Tensor]) -> str:
    """The mistake that explains the result for every start where it is wrong."""
    wrong = {start: _mixing_mistakes(ws, others, start) for start in failed}
    for text in next(iter(wrong.values())):
        if all(_close(y, wrong[start][text]) for start, y in failed.items()):
            return text
    return "expected the layers before start from ws, from there on from others"


@_exercise("mix_styles", "every start from 0 to the number of layers, gradients to both, nothing changed")
def test_mix_styles(mix_styles=stylegan.mix_styles):
    """mix_styles(ws, others, start): the layers before `start` of ws, those from there on of others."""
    g = _generator()
    for n, layers, w_dim in ((4, 6, 5), (1, 4, 7), (6, 3, 8)):
        ws, others = (torch.randn(n, layers, w_dim, generator=g) for _ in range(2))
        before, failed = _flat([ws, others]), {}
        for start in (2, 1, *range(3, layers), 0, layers):
            call = f"ws {_shape(ws)}, start={start}"
            y = _tensor(mix_styles(ws, others, start), f"the result of {call}")
            _require(torch.equal(_flat([ws, others]), before), "it changed ws or others in place: make a new tensor")
            _require(
                y.shape == ws.shape,
                f"{call} gives {_shape(y)}, expected {_shape(ws)}: as many layers as before, on axis 1",
            )
            if not _close(y, stylegan.mix_styles(ws, others, start)):
                failed[start] = y
        if failed:
            raise _Mistake(f"ws {_shape(ws)}, start={next(iter(failed))}: {_mixes_wrongly(ws, others, failed)}")
        mine, twins = _learning(ws, others), _learning(ws, others)
        wanted = dict(zip(("ws", "others"), zip(mine, twins)))
        _gradient_is(mix_styles(*mine, 1), stylegan.mix_styles(*twins, 1), wanted, g)


# ------------------------------------------------------------------------------------------------- 04: the training


def _penalty_mistakes(gradient: Tensor, logits: Tensor, real: Tensor) -> dict[str, Tensor]:
    """How R1 is got wrong, from each picture's gradient [N, 3, H, W]."""
    squares, n = gradient.square(), len(gradient)
    one = lambda values: values.square().sum((1, 2, 3))  # noqa: E731
    per_logit = logits.reshape(n, 1, 1, 1)
    return {
        "the mean over a picture's values, expected the sum": squares.mean((1, 2, 3)),
        "D's mean was differentiated, expected its sum: the mean divides each gradient by N": one(gradient / n),
        "this is the length, expected its square": squares.sum((1, 2, 3)).sqrt(),
        "(length - 1)^2 is WGAN-GP's; R1 draws the length to 0": (squares.sum((1, 2, 3)).sqrt() - 1).square(),
        "it sums absolute values, expected squares": gradient.abs().sum((1, 2, 3)),
        "the gradient is summed before it is squared, so that its parts cancel": gradient.sum((1, 2, 3)).square(),
        "the gradient itself is summed, its square is missing": gradient.sum((1, 2, 3)),
        "half of it: gamma / 2 is the loop's business": squares.sum((1, 2, 3)) / 2,
        "the weight 10 is inside, expected the plain square": 10 * squares.sum((1, 2, 3)),
        "the weight 5 is inside, expected the plain square": 5 * squares.sum((1, 2, 3)),
        "it is squared twice": squares.sum((1, 2, 3)).square(),
        "only the largest entry counts, expected the sum": squares.amax((1, 2, 3)),
        "the sign is wrong: steep places have to cost": -squares.sum((1, 2, 3)),
        "the gradient is multiplied by the pictures": one(gradient * real),
        "the loss softplus(-logits) was differentiated, expected the logits": one(gradient * (-per_logit).sigmoid()),
        "the loss softplus(logits) was differentiated, expected the logits": one(gradient * per_logit.sigmoid()),
        "the logits went through a sigmoid first": one(gradient * per_logit.sigmoid() * (-per_logit).sigmoid()),
        "the squared logits were differentiated, expected the logits": one(gradient * 2 * per_logit),
        "every picture gets the sum of the whole batch": squares.sum().expand(n),
        "every picture gets the mean of the whole batch": squares.sum((1, 2, 3)).mean().expand(n),
        "it divides by the number of pictures: the mean over the batch is the loop's business": squares.sum((1, 2, 3)) / n,
    }


@_exercise("r1_penalty", "values per picture, differentiable for D's weights, nothing left behind")
def test_r1_penalty(r1_penalty=stylegan.squared_gradients):
    """r1_penalty(logits, real) -> [N]: the squared length of each picture's gradient of D, with a graph."""
    g = _generator()
    for n, size, axes in ((4, 5, (1,)), (2, 6, (1,)), (1, 4, (1,)), (5, 7, ())):
        D, (real, twin) = _TinyD(size, axes), _learning(*[torch.randn(n, 3, size, size, generator=g)] * 2)
        params, logits, shown = list(D.parameters()), D(real), D(twin)
        before = real.detach().clone()
        value = _penalised(r1_penalty, logits, real)
        _require(value is not None, "the penalty is None: is the return statement missing?")
        left = real.grad is not None or any(p.grad is not None for p in params)
        _require(not left, "it leaves gradients in D's weights or in real: use torch.autograd.grad, not backward()")
        _require(torch.equal(real.detach(), before), "it changed real in place")
        value = _tensor(value, "the penalty")
        _one_penalty_each(value, n)
        (gradient,) = torch.autograd.grad(shown.sum(), twin, create_graph=True)
        want = gradient.square().sum((1, 2, 3))
        if not _close(value.detach(), want.detach(), 1e-3):
            wrong = _penalty_mistakes(gradient.detach(), shown.detach(), before)
            mistake = _name_of(value.detach(), want.detach(), wrong, "the sum over a picture of D's squared gradient")
            got = float(value.detach()[0])
            raise _Mistake(f"a picture's penalty is {got:.4g}, expected {float(want[0].detach()):.4g}: {mistake}")
        _trains_D(value, want, logits, params, g)


def _penalised(r1_penalty: Callable, logits: Tensor, real: Tensor) -> object:
    try:
        return r1_penalty(logits, real)
    except RuntimeError as error:
        _require(
            "not have been used in the graph" not in str(error),
            "the gradient is taken for a tensor that D has not seen: differentiate for `real` itself, no clone, no detach",
        )
        raise


def _one_penalty_each(value: Tensor, n: int) -> None:
    if value.shape == (n,):
        return
    expected = f"{n} pictures give a penalty of shape {_shape(value)}, expected [{n}]: "
    _require(value.dim() != 0, expected + "one for each picture, sum over axes 1, 2, 3 only")
    _require(value.numel() != n, expected + "no further axes, so no keepdim")
    _require(value.numel() != n * n, expected + "[N] and [N, 1] met and became [N, N]")
    _require(value.dim() != 4, expected + "this is the gradient or its square, the sum over axes 1, 2, 3 is missing")
    raise _Mistake(expected + "sum over all axes but the first, channels, rows and columns (1, 2, 3)")


def _trains_D(value: Tensor, want: Tensor, logits: Tensor, params: list[Tensor], g: torch.Generator) -> None:
    """Fail unless the penalty has its gradient for D's weights, and the logits still have theirs."""
    _require(
        value.requires_grad,
        "the penalty cannot be differentiated for D's weights: grad needs create_graph=True, and no detach after it",
    )
    direction = torch.rand(len(value), generator=g) + 0.5
    try:
        got = torch.autograd.grad((value * direction).sum(), params, allow_unused=True, retain_graph=True)
        torch.autograd.grad(logits.sum(), params)
    except RuntimeError as error:
        _require(
            "second time" not in str(error),
            "the graph is gone after the penalty: create_graph=True keeps it, no retain_graph=False",
        )
        raise
    right = torch.autograd.grad((want * direction).sum(), params, allow_unused=True)
    for one, other in zip(got, right):  # the last bias has none, or zeros
        one, other = (torch.zeros(1) if t is None else t for t in (one, other))
        _require(
            _close(one, other, 1e-2) or not (one.any() or other.any()),
            "the values are right, but not the gradient for D's weights: create_graph=True, and nothing detached after it",
        )


class _Averaged(nn.Module):
    """A small network with nested weights, a scalar, and buffers of both kinds of number."""

    def __init__(self, g: torch.Generator) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Linear(4, 2)))
        self.gain = nn.Parameter(torch.zeros(()))
        self.register_buffer("w_avg", torch.zeros(5))
        self.vary(g)

    @torch.no_grad()
    def vary(self, g: torch.Generator) -> None:
        """New values everywhere, as after a training step."""
        for tensor in (*self.parameters(), *self.buffers()):
            whole = not tensor.is_floating_point()
            tensor.copy_(torch.randint(100, (), generator=g) if whole else 2 + torch.randn(tensor.shape, generator=g))


_EMA_MISTAKES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "did not change: `p = ...` only names a new tensor (copy_, lerp_, mul_, add_ change it), and those of G_ema are frozen, so"
    " do not ask for requires_grad": lambda old, new, b: old,
    "has the shares exchanged: beta belongs to G_ema, 1 - beta to G": lambda old, new, b: (1 - b) * old + b * new,
    "is a copy of G's, expected beta of the old and 1 - beta of G's": lambda old, new, b: new,
    "is the plain mean of both, beta is not used": lambda old, new, b: (old + new) / 2,
    "adds G's without the factor 1 - beta": lambda old, new, b: b * old + new,
    "adds (1 - beta) G to all of the old one, which has to be multiplied by beta": lambda old, new, b: old + (1 - b) * new,
    "adds beta G, expected (1 - beta) G": lambda old, new, b: b * (old + new),
    "adds beta G to all of the old one": lambda old, new, b: old + b * new,
    "is beta times the old one, G has no part in it": lambda old, new, b: b * old,
    "is (1 - beta) G, the old one has no part in it": lambda old, new, b: (1 - b) * new,
    "moves away from G: the sign is wrong": lambda old, new, b: old - (1 - b) * (new - old),
    "is moved twice in one call": lambda old, new, b: new + b * b * (old - new),
    "is the difference only": lambda old, new, b: (1 - b) * (new - old),
}


@_exercise("update_ema", "all weights averaged for 5 betas, buffers copied, no graph, G untouched")
def test_update_ema(update_ema=stylegan.update_ema):
    """update_ema(G_ema, G, beta): G_ema's parameters become beta * own + (1 - beta) * G's in place, buffers are copied."""
    g = _generator()
    for beta in (0.9, 0.6, 0.0, 1.0, 0.999):
        G, G_ema = _Averaged(g), _Averaged(g).eval().requires_grad_(False)
        for _ in range(2):
            s = SimpleNamespace(beta=beta, old=copy.deepcopy(G_ema.state_dict()), new=copy.deepcopy(G.state_dict()))
            s.stale, parameters = _plant(G, g), [id(p) for p in G_ema.parameters()]
            returned = update_ema(G_ema, G, beta)
            _leaves_G_alone(G, s)
            _has_no_graph(G_ema)
            kept = parameters == [id(p) for p in G_ema.parameters()]
            _require(kept, "G_ema has new parameters: change those it has, in place, so that everyone who holds them sees it")
            _averages_rightly(G_ema, s, isinstance(returned, nn.Module) and returned is not G_ema)
            after = copy.deepcopy(G_ema.state_dict())
            G.vary(g)
            shared = [name for name, value in G_ema.state_dict().items() if not torch.equal(value, after[name])]
            _require(not shared, f"{''.join(shared[:1])} of G_ema is G's own tensor now and changes with it: copy_ its values")


def _leaves_G_alone(G: nn.Module, s: SimpleNamespace) -> None:
    changed = [name for name, value in G.state_dict().items() if not torch.equal(value, s.new[name])]
    _require(not changed, f"it changed {''.join(changed[:1])} of G: G_ema is what is averaged, G goes on training as it is")
    _require(all(p.requires_grad for p in G.parameters()), "it leaves G frozen (requires_grad False)")
    stale = all(p.grad is not None for p in G.parameters()) and torch.equal(_flat(p.grad for p in G.parameters()), s.stale)
    _require(stale, "it changed the gradients of G")
    _require(G.training, "it leaves G in eval mode: training goes on after it")


def _has_no_graph(G_ema: nn.Module) -> None:
    graph = [name for name, value in (*G_ema.named_parameters(), *G_ema.named_buffers()) if value.requires_grad]
    _require(
        not graph,
        f"{''.join(graph[:1])} of G_ema has requires_grad True now, so that it keeps the graph of every step:"
        " put @torch.no_grad() on the function",
    )
    _require(not G_ema.training, "it puts G_ema into training mode")


def _averages_rightly(G_ema: nn.Module, s: SimpleNamespace, new_network: bool) -> None:
    state, buffers = G_ema.state_dict(), {name for name, _ in G_ema.named_buffers()}
    for name, value in state.items():
        old, new = s.old[name], s.new[name]
        want = new if name in buffers else s.beta * old + (1 - s.beta) * new
        if value.dtype == want.dtype and value.shape == want.shape and _close(value.double(), want.double(), 1e-5):
            continue
        start = f"with beta={s.beta}, the {'buffer' if name in buffers else 'parameter'} {name} "
        _require(not new_network, "it returns a new network and leaves G_ema as it was: change G_ema in place")
        _require(value.dtype == want.dtype, f"{start}is {value.dtype} now, expected {want.dtype}: buffers are copied")
        _require(value.shape == want.shape, f"{start}has the shape {_shape(value)}, expected {_shape(want)}")
        if name in buffers:
            _require(not torch.equal(value, old), f"{start}did not change: go through G.buffers(), too, and copy them")
            raise _Mistake(f"{start}is not G's: buffers are copied as they are, only parameters are averaged")
        moved = [other for other in state if other not in buffers and not torch.equal(state[other], s.old[other])]
        _require(
            not moved or not torch.equal(value, old),
            f"{start}did not change, but {''.join(moved[:1])} did: go through all of G.parameters(), whatever their names",
        )
        wrong = {text: mistake(old, new, s.beta) for text, mistake in _EMA_MISTAKES.items()}
        raise _Mistake(start + _name_of(value, want, wrong, "is not beta * own + (1 - beta) * G's", 1e-5))


_P_CASES = [  # p, r_t, target, step
    (0.3, 0.8, 0.6, 0.01),
    (0.3, 0.2, 0.6, 0.01),
    (0.5, 0.61, 0.6, 0.05),
    (0.5, 0.59, 0.6, 0.05),
    (0.4, -0.7, 0.6, 0.02),
    (0.7, -0.7, 0.6, 0.02),
    (0.4, -0.3, -0.5, 0.02),
    (0.4, -0.3, 0.0, 0.02),
    (0.99, 0.9, 0.6, 0.03),
    (0.98, 0.9, 0.6, 0.2),
    (0.02, 0.1, 0.6, 0.05),
    (1.0, 1.0, 0.6, 0.01),
    (0.0, -1.0, 0.6, 0.01),
    (0.0, 0.7, 0.6, 0.004),
    (1.0, 0.1, 0.6, 0.004),
    (0.25, 0.5, 0.5, 0.01),
    (0.7, 0.0, 0.0, 0.01),
]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _clamped(p: float, high: float = 1.0) -> float:
    return min(max(p, 0.0), high)


_P_MISTAKES: dict[str, Callable[[float, float, float, float], float]] = {
    "p came back as it was": lambda p, r, t, s: p,
    "it goes the wrong way: an r_t above the target says that D overfits, so p has to rise": lambda p, r, t, s: _clamped(
        p - s * _sign(r - t)
    ),
    "p leaves [0, 1]: clamp it on both sides": lambda p, r, t, s: p + s * _sign(r - t),
    "p rises above 1: clamp it on both sides": lambda p, r, t, s: max(p + s * _sign(r - t), 0.0),
    "p falls below 0: clamp it on both sides": lambda p, r, t, s: min(p + s * _sign(r - t), 1.0),
    "p moves in proportion to r_t - target, expected by step, whatever the distance": lambda p, r, t, s: _clamped(
        p + s * (r - t)
    ),
    "p moves in proportion to r_t, expected by step, whatever the distance": lambda p, r, t, s: _clamped(p + s * r),
    "step is not used": lambda p, r, t, s: _clamped(p + 0.01 * _sign(r - t)),
    "it only ever rises, expected down if r_t is below the target": lambda p, r, t, s: _clamped(p + s * (r > t)),
    "it only ever falls, expected up if r_t is above the target": lambda p, r, t, s: _clamped(p - s * (r < t)),
    "at r_t equal to the target it moves down, expected it to stay": lambda p, r, t, s: _clamped(p + s * (1 if r > t else -1)),
    "at r_t equal to the target it moves up, expected it to stay": lambda p, r, t, s: _clamped(p + s * (1 if r >= t else -1)),
    "this is the change of p, expected the new p": lambda p, r, t, s: s * _sign(r - t),
    "p is multiplied by 1 + step, expected step to be added": lambda p, r, t, s: _clamped(p * (1 + s * _sign(r - t))),
    "p does not move at all where step leads beyond an end, expected the end": lambda p, r, t, s: (
        p + s * _sign(r - t) if 0 <= p + s * _sign(r - t) <= 1 else p
    ),
    "p is compared with the target, expected r_t": lambda p, r, t, s: _clamped(p + s * _sign(p - t)),
    "r_t is compared with 0, expected with the target": lambda p, r, t, s: _clamped(p + s * _sign(r)),
    "r_t is compared with p, expected with the target": lambda p, r, t, s: _clamped(p + s * _sign(r - p)),
    "a negative r_t is taken for 0: it says that D is wrong about most pictures": lambda p, r, t, s: _clamped(
        p + s * _sign(max(r, 0.0) - t)
    ),
    "the size of r_t is compared, its sign is lost": lambda p, r, t, s: _clamped(p + s * _sign(abs(r) - t)),
    "p jumps to 0 or 1, expected a move by step": lambda p, r, t, s: _clamped(p + _sign(r - t)),
    "p is held below the target, expected within [0, 1]": lambda p, r, t, s: _clamped(p + s * _sign(r - t), max(t, 0.0)),
    "p moves by half a step": lambda p, r, t, s: _clamped(p + s / 2 * _sign(r - t)),
    "p moves by two steps": lambda p, r, t, s: _clamped(p + 2 * s * _sign(r - t)),
    "p wanders back into [0, 1] at the other end (modulo)": lambda p, r, t, s: (p + s * _sign(r - t)) % 1.0,
}


@_exercise("next_p", f"{len(_P_CASES)} cases: up, down, at the target, both ends")
def test_next_p(next_p=ada.next_p):
    """next_p(p, r_t, target, step): p + step if r_t > target, p - step if below, within [0, 1]."""
    got = [_number(next_p(*case), "p as a number") for case in _P_CASES]
    wants = [_clamped(p + step * _sign(r_t - target)) for p, r_t, target, step in _P_CASES]
    wrong = [i for i, (value, want) in enumerate(zip(got, wants)) if not abs(value - want) < 1e-6]
    if not wrong:
        return
    curves = {text: [mistake(*case) for case in _P_CASES] for text, mistake in _P_MISTAKES.items()}
    rule = "expected p + step if r_t > target, p - step if r_t < target, never below 0 or above 1"
    text = next((text for text, values in curves.items() if np.allclose(got, values, atol=1e-6)), rule)
    p, r_t, target, step = _P_CASES[wrong[0]]
    call = f"next_p(p={p}, r_t={r_t}, target={target}, step={step})"
    raise _Mistake(f"{call} is {got[wrong[0]]:.4g}, expected {wants[wrong[0]]:.4g}: {text}")


# ---------------------------------------------------------------------------------------------------- 04: the waves


def _fourier_features(points: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    """sin(2 pi (f . x + phase)) for points [H, W, 2], frequencies [C, 2], phases [C] -> [C, H, W]."""
    return torch.sin(2 * torch.pi * ((points @ frequencies.T).permute(2, 0, 1) + phases[:, None, None]))


def _fourier_mistakes(points: Tensor, frequencies: Tensor, phases: Tensor) -> dict[str, Tensor]:
    tau, (height, width, _), channels = 2 * torch.pi, points.shape, len(phases)
    along = torch.einsum("hwk,ck->chw", points, frequencies)  # f . x, in periods
    phase, right = phases[:, None, None], _fourier_features(points, frequencies, phases)
    return {
        "2 pi is missing: frequencies and phases are in periods": torch.sin(along + phase),
        "pi in place of 2 pi": torch.sin(torch.pi * (along + phase)),
        "a cosine, expected a sine": torch.cos(tau * (along + phase)),
        "brackets are missing: the phase has to be multiplied by 2 pi, too": torch.sin(tau * along + phase),
        "only the phase is multiplied by 2 pi": torch.sin(along + tau * phase),
        "the phase is left out": torch.sin(tau * along),
        "the phase is subtracted": torch.sin(tau * (along - phase)),
        "the phase is multiplied, expected added": torch.sin(tau * along * phase),
        "the frequencies are left out": torch.sin(tau * phase).expand_as(right),
        "the sine is missing": tau * (along + phase),
        "the phase is added outside of the sine": torch.sin(tau * along) + phase,
        "2 pi stands outside of the sine": tau * torch.sin(along + phase),
        "the sign is wrong": -right,
        "x and y changed places: entry 0 of a point goes with entry 0 of a frequency": _fourier_features(
            points.flip(-1), frequencies, phases
        ),
        "only x counts, expected x and y": torch.sin(tau * (points[..., 0] * frequencies[:, :1, None] + phase)),
        "only y counts, expected x and y": torch.sin(tau * (points[..., 1] * frequencies[:, 1:, None] + phase)),
        "a product of two sines, expected the sine of the sum f . x": (
            torch.sin(tau * (points[..., 0] * frequencies[:, :1, None] + phase))
            * torch.sin(tau * (points[..., 1] * frequencies[:, 1:, None] + phase))
        ),
        "the sum of two sines, expected the sine of the sum f . x": (
            torch.sin(tau * (points[..., 0] * frequencies[:, :1, None] + phase))
            + torch.sin(tau * (points[..., 1] * frequencies[:, 1:, None] + phase))
        ),
        "waves around the middle (length of f times length of x), expected the product f . x": torch.sin(
            tau * (points.norm(dim=-1) * frequencies.norm(dim=1)[:, None, None] + phase)
        ),
        "the frequencies get length 1, expected as they are": _fourier_features(points, F.normalize(frequencies), phases),
        "the axes were renamed by reshape, which scrambles the picture: permute(2, 0, 1)": (
            right.permute(1, 2, 0).reshape(channels, height, width)
        ),
        "a gain of sqrt(2) is inside": 2**0.5 * right,
        "all waves get the first one's phase": _fourier_features(points, frequencies, phases[:1].expand_as(phases)),
        "all waves are the first one": right[:1].expand_as(right),
    }


@_exercise("fourier_features", "values for 4 grids and sets of waves, axes [C, H, W], arguments untouched")
def test_fourier_features(fourier_features=_fourier_features):
    """fourier_features(points [H,W,2], frequencies [C,2], phases [C]) -> waves [C,H,W]."""
    g = _generator()
    for height, width, channels in ((3, 6, 4), (4, 2, 1), (2, 5, 7), (5, 5, 3)):
        points = torch.rand(height, width, 2, generator=g) * 1.5 - 0.6
        frequencies, phases = 2 * torch.randn(channels, 2, generator=g), torch.rand(channels, generator=g) - 0.3
        before = _flat([points, frequencies, phases])
        given = f"{height} x {width} points and {channels} waves"
        y = _tensor(_waves(fourier_features, points, frequencies, phases), "the result")
        _require(torch.equal(_flat([points, frequencies, phases]), before), "it changed its arguments in place")
        _are_waves(y, [channels, height, width], given)
        want = _fourier_features(points, frequencies, phases)
        if not _close(y, want, 1e-3):
            wrong = _fourier_mistakes(points, frequencies, phases)
            mistake = _name_of(y, want, wrong, "expected sin(2 pi (f . x + phase))")
            raise _Mistake(f"{given}: {mistake}")


def _waves(fourier_features: Callable, points: Tensor, frequencies: Tensor, phases: Tensor) -> Tensor:
    try:
        return fourier_features(points, frequencies, phases)
    except RuntimeError as error:
        text = str(error)
        fits = "must match" not in text and "cannot be multiplied" not in text and "size mismatch" not in text
        _require(
            fits,
            f"shapes do not fit ({text[:90]}): points [H, W, 2] @ frequencies.T [2, C] gives [H, W, C], to which phases [C]"
            " can be added",
        )
        raise


def _are_waves(y: Tensor, want: list[int], given: str) -> None:
    if list(y.shape) == want:
        return
    channels, height, width = want
    expected = f"{given} give {_shape(y)}, expected [C, H, W] = {want}: "
    hints = {
        (height, width, channels): "the waves are the first axis: permute(2, 0, 1)",
        (channels, width, height): "rows and columns changed places: permute(2, 0, 1), not .T",
        (1, *want): "there is no batch axis",
        (channels, height, width, 2): "f . x is a sum over x and y, which is missing",
        (height, width, channels, 2): "f . x is a sum over x and y, which is missing",
        (2 * channels, height, width): "one sine for each frequency, no cosines beside it",
        (height, width): "one picture for each wave, no sum over them, no squeeze",
        (channels,): "one value for each point, no sum or mean over the points",
        (channels, height * width): "reshape the points into rows and columns again",
        (height * width, channels): "reshape the points into rows and columns again, and put the waves first",
    }
    raise _Mistake(expected + hints.get(tuple(y.shape), "one picture [H, W] for each wave"))


# ---------------------------------------------------------------------------------------------- 05: where the face is


def _explains(failed: list[tuple[Tensor, dict[str, Tensor]]], otherwise: str, tolerance: float = 1e-4) -> str:
    """The mistake that gives the results of all failed cases, each a result and what the mistakes give there."""
    for text in failed[0][1]:
        if all(text in wrong and _close(got, wrong[text], tolerance) for got, wrong in failed):
            return text
    return otherwise


def _turned(v: Tensor) -> Tensor:
    """v [2] turned by 90 degrees against the clock, as seen: downwards becomes to the right."""
    return torch.stack([v[1], -v[0]])


def _crop_square(points: Tensor) -> tuple[Tensor, Tensor]:
    """FFHQ's square around five landmarks [5, 2]: its centre, and the way from there to the middle of its right edge."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, below = points[1] - points[0], mouth - eyes
    half = torch.maximum(2 * across.norm(), 1.8 * below.norm())
    return eyes + 0.1 * below, half * F.normalize(across + _turned(below), dim=0)


def _centre_mistakes(points: Tensor) -> dict[str, Tensor]:
    left, right, nose = points[:3]
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    below = mouth - eyes
    centre, half = _crop_square(points)
    return {
        "this is the point between the eyes, a tenth of the way to the mouth is missing": eyes,
        "it lies above the eyes: add a tenth of the way to the mouth, do not subtract it": eyes - 0.1 * below,
        "this is the point half-way from eyes to mouth, expected a tenth of the way": (eyes + mouth) / 2,
        "this is the mean of all five points, expected one close below the eyes": points.mean(0),
        "this is the nose": nose,
        "this is the mouth": mouth,
        "it starts from the mouth, expected from the point between the eyes": mouth + 0.1 * below,
        "it starts from the nose, expected from the point between the eyes": nose + 0.1 * below,
        "it starts from one eye, expected from the point between the two": left + 0.1 * below,
        "it starts from the right eye, expected from the point between the two": right + 0.1 * below,
        "all of the way to the mouth is added, expected a tenth of it": eyes + below,
        "a tenth of the mouth's place is added, expected of the way there: subtract the eyes first": eyes + 0.1 * mouth,
        "a tenth of the way is taken straight down the picture, expected down the face, which may be tilted": (
            eyes + torch.stack([torch.zeros(()), 0.1 * below.norm()])
        ),
        "the mouth is the mean of its two corners, points 3 and 4; point 2 is the nose": eyes
        + 0.1 * (points[2:].mean(0) - eyes),
        "the mouth is the mean of points 3 and 4, here are nose and one corner": eyes + 0.1 * (points[2:4].mean(0) - eyes),
        "the mouth is the mean of its two corners, here is one of them": eyes + 0.1 * (points[3] - eyes),
        "the mouth is the mean of its two corners, here is the right one": eyes + 0.1 * (points[4] - eyes),
        "the nose counts as the mouth": eyes + 0.1 * (nose - eyes),
        "this is the middle of the box around the points": (points.amin(0) + points.amax(0)) / 2,
        "x and y changed places": centre.flip(0),
        "it is rounded to whole pixels: leave it as it is": centre.round(),
        "this is the square's upper left corner": centre - half + _turned(half),
        "centre and half changed places: the centre comes first": half,
    }


def _half_mistakes(points: Tensor) -> dict[str, Tensor]:
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    across, below = points[1] - points[0], mouth - eyes
    by_eyes, by_mouth = 2 * across.norm(), 1.8 * below.norm()
    size = torch.maximum(by_eyes, by_mouth)
    axis = across + _turned(below)
    unit = F.normalize(axis, dim=0)
    right, level = size * unit, torch.tensor([1.0, 0.0])
    nose = (points[2] - eyes).norm()
    return {
        "this is the whole side, expected half of it": 2 * right,
        "a quarter of the side, expected half of it": right / 2,
        "it points to the left, expected to the right: point 1 minus point 0": -right,
        "it points down, expected along the upper edge": -_turned(right),
        "it points up, expected along the upper edge": _turned(right),
        "the direction comes from the eyes alone: add the way to the mouth, turned by 90 degrees": size
        * F.normalize(across, dim=0),
        "the direction comes from the way to the mouth alone: add that from eye to eye": size
        * F.normalize(_turned(below), dim=0),
        "the way to the mouth is turned the wrong way: (x, y) becomes (y, -x)": size
        * F.normalize(across - _turned(below), dim=0),
        "the way to the mouth has to be turned by 90 degrees before it is added": size * F.normalize(across + below, dim=0),
        "the two directions get the same weight: add them as long as they are": size
        * F.normalize(F.normalize(across, dim=0) + F.normalize(_turned(below), dim=0), dim=0),
        "it lies level, expected tilted as the face is": size * level,
        "the size follows the eyes alone: take the larger of the two, or turned heads are cut": by_eyes * unit,
        "the size follows the mouth alone: take the larger of the two": by_mouth * unit,
        "this is the smaller of the two sizes, expected the larger one": torch.minimum(by_eyes, by_mouth) * unit,
        "the two sizes are averaged, expected the larger one": (by_eyes + by_mouth) / 2 * unit,
        "the two sizes are added, expected the larger one": (by_eyes + by_mouth) * unit,
        "2 and 1.8 changed places: 2 for the eyes, 1.8 for the way to the mouth": (
            torch.maximum(1.8 * across.norm(), 2 * below.norm()) * unit
        ),
        "the factors 2 and 1.8 are missing": torch.maximum(across.norm(), below.norm()) * unit,
        "the axis is not brought to length 1 before it gets its size": size * axis,
        "its length is 1: multiply by the size": unit,
        "this is the sum of the two directions: bring it to length 1, then give it its size": axis,
        "the size is measured level and upright, expected along the tilted face: take norms": (
            torch.maximum(2 * across[0].abs(), 1.8 * below[1].abs()) * unit
        ),
        "the size adds up |x| and |y|, expected the root of the squares": (
            torch.maximum(2 * across.abs().sum(), 1.8 * below.abs().sum()) * unit
        ),
        "the nose counts as the mouth": torch.maximum(by_eyes, 1.8 * nose)
        * F.normalize(across + _turned(points[2] - eyes), dim=0),
        "x and y changed places": right.flip(0),
        "it is rounded to whole pixels: leave it as it is": right.round(),
        "half is a way, not a place: do not add the centre": right + _crop_square(points)[0],
    }


def _some_face(roll: float, width: float, height: float, g: torch.Generator) -> Tensor:
    """Five landmarks [5, 2] of a face: tilted by `roll` degrees, eyes `width` and eyes to mouth `height` apart before that."""
    points = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.06, 0.55], [-0.37, 1.0], [0.38, 1.0]]) * torch.tensor([width, height])
    points = points + 0.06 * width * torch.randn(5, 2, generator=g)
    angle = torch.deg2rad(torch.tensor(roll))
    turn = torch.stack([torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])])
    return points @ turn + 150 + 80 * torch.rand(2, generator=g)


@_exercise("crop_square", "7 faces: frontal, turned, tilted by up to 165 degrees, upside down; points untouched")
def test_crop_square(crop_square=_crop_square):
    """crop_square(points [5, 2]) -> the FFHQ square as (centre [2], half [2])."""
    g, centres, halves = _generator(), [], []
    for roll, width, height in (
        (8, 60, 50),
        (-12, 55, 95),
        (35, 80, 60),
        (-70, 40, 70),
        (165, 70, 60),
        (100, 30, 50),
        (3, 9, 12),
    ):
        points = _some_face(roll, width, height, g)
        before = points.clone()
        centre, half = _two(crop_square(points), ("centre", "half"), "two points [2]: the centre and the way to the right edge")
        _require(torch.equal(points, before), "it changed points in place: make a new tensor")
        for name, part in (("centre", _tensor(centre, "centre")), ("half", _tensor(half, "half"))):
            _require(tuple(part.shape) == (2,), f"{name} has the shape {_shape(part)}, expected [2]: x and y")
        want = _crop_square(points)
        if not _close(centre.float(), want[0], 1e-4):
            centres.append((centre.float(), _centre_mistakes(points)))
        if not _close(half.float(), want[1], 1e-3):
            halves.append((half.float(), _half_mistakes(points)))
    if centres:
        right = "expected the point between the eyes and a tenth of the way from there to the mouth"
        raise _Mistake(f"the centre is wrong for {len(centres)} of 7 faces: {_explains(centres, right)}")
    if halves:
        right = "expected the larger of 2 * |eye to eye| and 1.8 * |eyes to mouth|, along the first plus the turned second"
        raise _Mistake(f"half is wrong for {len(halves)} of 7 faces: {_explains(halves, right, 1e-3)}")


def _two(value: object, names: tuple[str, str], what: str) -> tuple[object, object]:
    """The two parts of what was returned."""
    _require(value is not None, "returned None: is the return statement missing?")
    pair = isinstance(value, (tuple, list, Tensor)) and len(value) == 2
    kind = f"{_shape(value)} tensor" if isinstance(value, Tensor) else type(value).__name__
    length = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
    _require(pair, f"returned a {kind}{length}, expected {what}: return {', '.join(names)}")
    return value[0], value[1]


# --------------------------------------------------------------------------------------------- 05: where the latents are


def _w_statistics(ws: Tensor) -> tuple[Tensor, float]:
    """Mean [w_dim] of ws [N, w_dim], and the root of the mean squared distance from it."""
    mean = ws.mean(0)
    return mean, float((ws - mean).square().sum(1).mean().sqrt())


def _spread_mistakes(ws: Tensor) -> dict[str, Tensor]:
    n, w_dim = ws.shape
    away = ws - ws.mean(0)
    distance, right = away.norm(dim=1), away.square().sum(1).mean().sqrt()
    return {
        "the root is missing": right.square(),
        "this is the mean distance, expected the root of the mean of its squares": distance.mean(),
        "the mean runs over the coordinates as well: sum these, one w has one distance": right / w_dim**0.5,
        "this is ws.std(), over all numbers at once: every coordinate has a mean of its own": ws.std(),
        "this is ws.std(correction=0), over all numbers at once: every coordinate has a mean of its own": ws.std(correction=0),
        "it divides by N - 1, expected by N": right * (n / (n - 1)) ** 0.5,
        "the mean is not subtracted: this is the distance from 0": ws.square().sum(1).mean().sqrt(),
        "the squared distances are summed over the batch, expected their mean": right * n**0.5,
        "the coordinates' standard deviations are averaged, expected the root of the sum of their squares": ws.std(0).mean(),
        "the coordinates' standard deviations are averaged, expected the root of their squares' sum": ws.std(
            0, correction=0
        ).mean(),
        "the coordinates' standard deviations are summed, expected the root of the sum of their squares": ws.std(0).sum(),
        "the coordinates' standard deviations are summed, expected the root of their squares' sum": ws.std(
            0, correction=0
        ).sum(),
        "it adds up |x|, expected the root of the squares": away.abs().sum(1).mean(),
        "this is the largest distance, expected the root of the mean square": distance.max(),
        "this is the median distance, expected the root of the mean square": distance.median(),
        "this is the spread of the distances, expected the root of their mean square": distance.std(),
        "this is the distance between two w, sqrt(2) times too far: measure from the mean": right * 2**0.5,
        "the root is taken twice": right.sqrt(),
        "the differences are summed before they are squared, so that they cancel": away.sum(1).square().mean().sqrt(),
        "it sums up over everything, without a mean": away.square().sum(),
    }


@_exercise("w_statistics", "mean and spread of 5 clouds of w, ws untouched")
def test_w_statistics(w_statistics=_w_statistics):
    """w_statistics(ws [N, w_dim]) -> mean [w_dim], std: the root of the mean squared distance from it."""
    g, failed = _generator(), []
    for n, w_dim in ((7, 4), (3, 6), (40, 5), (2, 8), (12, 3)):
        ws = torch.randn(n, w_dim, generator=g) * (0.3 + 3 * torch.rand(w_dim, generator=g)) + 2 * torch.randn(
            w_dim, generator=g
        )
        before, call = ws.clone(), f"ws {[n, w_dim]}"
        mean, std = _two(w_statistics(ws), ("mean", "std"), "the mean [w_dim] and one number, the spread")
        _require(torch.equal(ws, before), "it changed ws in place: make a new tensor")
        scalar = isinstance(mean, (int, float)) or (isinstance(mean, Tensor) and mean.ndim == 0)
        _require(
            not (scalar and isinstance(std, Tensor) and std.ndim == 1),
            "mean and std changed places: return mean, std",
        )
        mean = _tensor(mean, "the mean")
        _mean_has_shape(mean, n, w_dim, call)
        wants = _w_statistics(ws)
        if not _close(mean, wants[0]):
            wrong = {
                "this is the sum, expected the mean": ws.sum(0),
                "this is the median, expected the mean": ws.median(0).values,
                "this is the first w": ws[0],
                "it divides by N - 1, expected by N": ws.sum(0) / (n - 1),
                "this is the standard deviation of each coordinate, expected the mean": ws.std(0),
                "its length is brought to 1: leave it as it is": F.normalize(wants[0], dim=0),
                "every coordinate gets the mean of all numbers, expected its own": ws.mean().expand(w_dim),
            }
            raise _Mistake(f"{call}: the mean is wrong: {_name_of(mean, wants[0], wrong, 'expected the mean over the N w')}")
        several = isinstance(std, Tensor) and std.numel() > 1
        shape = _shape(std) if several else ""
        hint = "the sum over the coordinates is missing" if several and std.numel() == w_dim else "take the mean over the w"
        _require(not several, f"{call}: std has the shape {shape}, expected one number for the whole cloud: {hint}")
        value = torch.tensor(_number(std, "std as one number"), dtype=torch.float32)
        if not _close(value, torch.tensor(wants[1]), 1e-3):
            failed.append((value, _spread_mistakes(ws), wants[1], call))
    if failed:
        value, _, want, call = failed[0]
        mistake = _explains([case[:2] for case in failed], "expected the root of the mean squared distance from the mean", 1e-3)
        raise _Mistake(f"{call}: std is {float(value):.4g}, expected {want:.4g}: {mistake}")


def _mean_has_shape(mean: Tensor, n: int, w_dim: int, call: str) -> None:
    hints = {
        (n,): "the mean runs over the w (dim=0), not over the coordinates of each",
        (1, w_dim): "without keepdim",
        (n, 1): "the mean runs over the w (dim=0), not over the coordinates of each",
        (): "one number for each coordinate: mean(dim=0)",
        (n, w_dim): "one mean for all of the w",
    }
    hint = hints.get(tuple(mean.shape), "one number for each coordinate")
    _require(tuple(mean.shape) == (w_dim,), f"{call}: the mean has the shape {_shape(mean)}, expected [{w_dim}]: {hint}")


# ---------------------------------------------------------------------------------------------------- 05: the search


def _neighbours(n: Tensor) -> Tensor:
    """Squared mean products with both neighbours of a map [1, 1, S, S]."""
    return (n * n.roll(1, 3)).mean().square() + (n * n.roll(1, 2)).mean().square()


def _over_scales(
    noise: Tensor,
    each: Callable[[Tensor], Tensor] = _neighbours,
    halve: Callable[[Tensor], Tensor] = lambda n: F.avg_pool2d(n, 2),
    last: int = 8,
) -> Tensor:
    """The sum of each(map) over a pyramid of maps."""
    n, parts = noise[None, None], []
    while True:
        parts.append(each(n))
        if n.shape[2] <= last:
            return torch.stack(parts).sum()
        n = halve(n)


def _noise_mistakes(noise: Tensor) -> dict[str, Tensor]:
    def rolled(n: Tensor, *axes: int, by: int = 1) -> Tensor:
        return n * n.roll([by] * len(axes), axes)

    def without_border(n: Tensor) -> Tensor:
        return (n[..., 1:] * n[..., :-1]).mean().square() + (n[..., 1:, :] * n[..., :-1, :]).mean().square()

    whole, scales = noise[None, None], [noise[None, None]]
    while scales[-1].shape[2] > 8:
        scales.append(F.avg_pool2d(scales[-1], 2))
    right = _over_scales(noise)
    centred, spread = noise - noise.mean(), noise.std()
    return {
        "only the full size is looked at, the halved ones are missing": _neighbours(whole),
        "only the smallest size is looked at, expected the sum over all": _neighbours(scales[-1]),
        "the full size is missing: add up before you halve": right - _neighbours(whole),
        "it stops too early: the last map is 8 x 8": _over_scales(noise, last=16),
        "the size 8 x 8 is missing: it is the last one that counts": right - _neighbours(scales[-1]),
        "it goes on too long: the last map is 8 x 8": _over_scales(noise, last=4),
        "it goes on too long: the last map is 8 x 8, not 1 x 1": _over_scales(noise, last=1),
        "only the neighbour to the left counts, expected also the one above": _over_scales(
            noise, lambda n: rolled(n, 3).mean().square()
        ),
        "only the neighbour above counts, expected also the one to the left": _over_scales(
            noise, lambda n: rolled(n, 2).mean().square()
        ),
        "the neighbour across the corner counts: shift in one direction at a time": _over_scales(
            noise, lambda n: rolled(n, 2, 3).mean().square()
        ),
        "the neighbour across the corner counts twice: shift in one direction at a time": _over_scales(
            noise, lambda n: 2 * rolled(n, 2, 3).mean().square()
        ),
        "each product is squared, expected the square of their mean": _over_scales(
            noise, lambda n: rolled(n, 3).square().mean() + rolled(n, 2).square().mean()
        ),
        "the square is missing": _over_scales(noise, lambda n: rolled(n, 3).mean() + rolled(n, 2).mean()),
        "these are absolute values, expected squares": _over_scales(
            noise, lambda n: rolled(n, 3).mean().abs() + rolled(n, 2).mean().abs()
        ),
        "both means are added before they are squared: square each of them": _over_scales(
            noise, lambda n: (rolled(n, 3).mean() + rolled(n, 2).mean()).square()
        ),
        "this is a sum of products, expected their mean": _over_scales(
            noise, lambda n: rolled(n, 3).sum().square() + rolled(n, 2).sum().square()
        ),
        "the shift is 2, expected 1": _over_scales(noise, lambda n: sum(rolled(n, k, by=2).mean().square() for k in (2, 3))),
        "a map is multiplied by itself, the shift is missing": _over_scales(noise, lambda n: 2 * n.square().mean().square()),
        "it takes differences of neighbours, expected products": _over_scales(
            noise, lambda n: sum((n - n.roll(1, k)).mean().square() for k in (2, 3))
        ),
        "it takes squared differences of neighbours, expected products": _over_scales(
            noise, lambda n: sum((n - n.roll(1, k)).square().mean() for k in (2, 3))
        ),
        "the border has no neighbours here: roll takes them from the other side": _over_scales(noise, without_border),
        "each second pixel is taken, expected means of 2 x 2": _over_scales(noise, halve=lambda n: n[..., ::2, ::2]),
        "the largest of 2 x 2 is taken, expected their mean": _over_scales(noise, halve=lambda n: F.max_pool2d(n, 2)),
        "the halved maps are multiplied by 2, expected plain means": _over_scales(
            noise, halve=lambda n: 2 * F.avg_pool2d(n, 2)
        ),
        "it shrinks to a quarter each time, expected to a half": _over_scales(noise, halve=lambda n: F.avg_pool2d(n, 4)),
        "every scale is shrunk from the full size by 2: go on with the halved map": (
            _neighbours(whole) + (len(scales) - 1) * _neighbours(scales[min(1, len(scales) - 1)])
        ),
        "it averages over the scales, expected their sum": right / len(scales),
        "the mean is subtracted first: the products stay as they are": _over_scales(centred),
        "noise is normalised first: that happens elsewhere": _over_scales(centred / spread),
        "the sign is wrong": -right,
        "this is the root": right.sqrt(),
        "it is halved": right / 2,
    }


@_exercise("noise_penalty", "values for maps of 4 to 64 pixels, the gradient, noise untouched")
def test_noise_penalty(noise_penalty=project.noise_penalty):
    """noise_penalty(noise [S, S]) -> the sum over the scales of the squared mean products with both neighbours."""
    g, failed, right = _generator(), [], []
    for size in (8, 16, 32, 64, 4):
        y, x = torch.meshgrid(*[torch.arange(size) / size] * 2, indexing="ij")
        chequered = 1 - 2 * ((x + y) * size % 2)  # neighbours of opposite signs
        noise = torch.randn(size, size, generator=g) + 1.2 * torch.sin(5 * x + 9 * y) + x - 0.3
        noise = noise + 1.8 * chequered if size == 16 else noise
        mine, twin = _learning(noise, noise)
        value = noise_penalty(mine)
        call = f"noise {[size, size]}"
        _require(value is not None, "returned None: is the return statement missing?")
        number = isinstance(value, (int, float))
        _require(not number, f"returned a {type(value).__name__}, expected a tensor, through which the search can go back")
        value = _tensor(value, f"the result for {call}")
        _require(torch.equal(mine.detach(), noise), "it changed noise in place: make a new tensor")
        _require(value.numel() == 1, f"{call} gives {_shape(value)}, expected one number: take the mean over all pixels")
        value, want = value.reshape(()), _over_scales(twin)
        if not _close(value.detach(), want.detach(), 1e-3):
            failed.append((value.detach(), {text: v.detach() for text, v in _noise_mistakes(noise).items()}, want, call))
        else:
            right.append((value, want, {"noise": (mine, twin)}))
    if failed:
        value, _, want, call = failed[0]
        rule = "expected mean(n * left neighbour)^2 + mean(n * upper neighbour)^2, summed over the sizes down to 8"
        mistake = _explains([case[:2] for case in failed], rule, 1e-3)
        raise _Mistake(f"{call} gives {float(value):.4g}, expected {float(want):.4g}: {mistake}")
    for case in right:
        _gradient_is(*case, g)


class _TinySearch:
    """A synthesis of w and a noise buffer, and a perceptual network, both fixed; what they are asked is kept."""

    def __init__(self, layers: int, w_dim: int, size: int, g: torch.Generator) -> None:
        values, self.size = 3 * size * size, size
        self.w = torch.randn(1, layers, w_dim, generator=g).requires_grad_()
        self.noise = torch.randn(values, generator=g).requires_grad_()
        self.mix = torch.randn(layers * w_dim, values, generator=g) / (layers * w_dim) ** 0.5
        self.look = torch.randn(values, 16, generator=g) / values**0.5
        self.given: list[Tensor] = []
        self.target = self.synthesize(torch.randn(1, layers, w_dim, generator=g)).detach()

    def synthesize(self, w: Tensor) -> Tensor:
        self.given.append(w.detach().clone().flatten())
        return torch.tanh(0.7 * w.flatten(1) @ self.mix + 0.3 * self.noise).reshape(len(w), 3, self.size, self.size)

    def perceptual(self, pictures: Tensor) -> Tensor:
        return 2 * torch.tanh(1.5 * pictures.flatten(1) @ self.look + 0.2)

    def losses(self) -> dict[str, Tensor]:
        """The right loss, named "", and those of the common mistakes."""
        picture, target, see = self.synthesize(self.w), self.target, self.perceptual
        away = see(picture) - see(target)
        right = away.square().sum()
        return {
            "": right,
            "the mean over the features, expected the sum of the squares": away.square().mean(),
            "this is the root of the sum, expected the sum of the squares": right.sqrt(),
            "these are absolute values, expected squares": away.abs().sum(),
            "mean absolute values, expected the sum of the squares": away.abs().mean(),
            "the differences are not squared": away.sum(),
            "the sign is wrong: it moves away from the target": -right,
            "the pixels are compared, expected what perceptual makes of them": (picture - target).square().sum(),
            "the pixels are compared, expected what perceptual makes of them (and a sum)": (picture - target).square().mean(),
            "perceptual sees the difference of the pictures: show it each of the two": see(picture - target).square().sum(),
            "the target is left out": see(picture).square().sum(),
            "the target's features are missing: perceptual(target)": (see(picture) - target.flatten()[:16]).square().sum(),
            "this is half of it": right / 2,
            "the pixels' error is added, expected the perceptual distance alone": right + (picture - target).square().mean(),
            "this is the cosine, expected the squared distance": 1 - F.cosine_similarity(see(picture), see(target)).sum(),
            "it is squared twice": right.square(),
        }


def _projection_step(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = (perceptual(synthesize(w)) - perceptual(target)).square().sum()
    loss.backward()
    optimizer.step()
    return loss.item()


@_exercise("projection_step", "w and noise move along the right gradient, once, old gradients cleared, loss returned")
def test_projection_step(projection_step=_projection_step):
    """projection_step(w, target, synthesize, perceptual, optimizer) -> the loss before the step, a number."""
    g, rate = _generator(), 0.02
    for layers, w_dim, size in ((1, 6, 4), (4, 5, 3), (3, 4, 5)):
        s = _TinySearch(layers, w_dim, size, g)
        params, steps = [s.w, s.noise], []
        losses = s.losses()
        gradients = {text: _gradient(loss, params) for text, loss in losses.items()}
        for p in params:
            p.grad = torch.randn(p.shape, generator=g) * gradients[""].abs().mean()
        stale = _flat(p.grad for p in params)
        optimizer = torch.optim.SGD(params, lr=rate)
        optimizer.register_step_post_hook(lambda *_, steps=steps: steps.append(1))
        before, target, s.given = _flat(params), s.target.clone(), []
        returned = projection_step(s.w, s.target, s.synthesize, s.perceptual, optimizer)
        _require(s.given, "no picture was made: call synthesize(w)")
        start = before[: s.w.numel()]
        _require(any(torch.equal(w, start) for w in s.given), "synthesize was given something else than w")
        _require(torch.equal(s.target, target), "it changed target in place")
        moved = (before - _flat(params)) / rate
        _search_moved(moved, gradients, stale, len(start), len(steps))
        after = s.losses()[""].detach()
        _search_loss(returned, {text: loss.detach() for text, loss in losses.items()}, after)


def _search_moved(moved: Tensor, gradients: dict[str, Tensor], stale: Tensor, numbers: int, steps: int) -> None:
    """Fail unless w and noise moved by the gradient of the right loss, in one step."""
    right = gradients[""]
    _require(steps or not moved.any(), "the numbers of w moved, but not by optimizer.step(): it knows the learning rate")
    _require(steps, "optimizer.step() was not called")
    _require(steps == 1, f"optimizer.step() was called {steps} times, expected once")
    _require(
        moved.any(),
        "w did not move: is backward() missing, its graph cut, or zero_grad() between backward() and step()?",
    )
    if _close(moved, right, 2e-3):
        return
    only_noise = torch.cat([torch.zeros(numbers), stale[numbers:]])
    wrong = {
        "old gradients were added: call zero_grad() before backward()": right + stale,
        "only w's old gradient was cleared, the noise's was not: optimizer.zero_grad() clears both": right + only_noise,
        "it moved along old gradients only: call backward() before step()": stale,
        "backward() ran twice, so that gradients add up": 2 * right,
        "no gradient reaches w: it is cut off by a detach or no_grad": torch.cat([torch.zeros(numbers), right[numbers:]]),
    }
    wrong |= {text: gradient for text, gradient in gradients.items() if text}
    wrong |= {f"{text}; and zero_grad() is missing": gradient + stale for text, gradient in gradients.items() if text}
    cosine = float(F.cosine_similarity(moved, right, 0))
    size = float(moved.norm() / right.norm())
    mistake = _name_of(moved, right, wrong, "another loss, or gradients from elsewhere", 2e-3)
    raise _Mistake(f"w moved {size:.2f} times as far as expected (cosine to the right way {cosine:.2f}): {mistake}")


def _search_loss(returned: object, losses: dict[str, Tensor], after: Tensor) -> None:
    """Fail unless the loss before the step was returned, without a graph."""
    graph = isinstance(returned, Tensor) and returned.requires_grad
    _require(not graph, "the returned loss carries its graph, which keeps every step's memory: return loss.item()")
    value = torch.tensor(_number(returned, "the loss as one number"), dtype=torch.float32)
    want = losses[""]
    if not _close(value, want, 1e-3):
        wrong = {"this is the loss after the step": after} | {text: loss for text, loss in losses.items() if text}
        mistake = _name_of(value, want, wrong, "expected the loss that was differentiated")
        raise _Mistake(f"returned {float(value):.4f}, but the loss was {float(want):.4f}: {mistake}")


_RATES = [  # progress, lr, rampup, rampdown
    (0.0, 0.1, 0.05, 0.25),
    (0.01, 0.1, 0.05, 0.25),
    (0.025, 0.1, 0.05, 0.25),
    (0.05, 0.1, 0.05, 0.25),
    (0.4, 0.1, 0.05, 0.25),
    (0.75, 0.1, 0.05, 0.25),
    (0.8, 0.1, 0.05, 0.25),
    (0.875, 0.1, 0.05, 0.25),
    (0.95, 0.1, 0.05, 0.25),
    (1.0, 0.1, 0.05, 0.25),
    (0.1, 2.0, 0.3, 0.5),
    (0.2, 2.0, 0.3, 0.5),
    (0.45, 2.0, 0.3, 0.5),
    (0.6, 2.0, 0.3, 0.5),
    (0.9, 2.0, 0.3, 0.5),
    (0.5, 0.3, 0.6, 0.7),  # both ramps at once
    (0.2, 0.3, 1.0, 1.0),
    (0.7, 0.3, 1.0, 1.0),
]


def _rate(p: float, lr: float, up: float, down: float, **changed: Callable[[float], float]) -> float:
    """lr times both ramps; `rise`, `fall` and `join` replace how it goes up, down, and how both count."""
    rise, fall = changed.get("rise", lambda x: x), changed.get("fall", lambda x: 0.5 - 0.5 * float(np.cos(np.pi * x)))
    a, b = rise(_clamped(p / up)), fall(_clamped((1 - p) / down))
    return lr * (min(a, b) if "lower" in changed else a * b)


_RATE_MISTAKES: dict[str, Callable[[float, float, float, float], float]] = {
    "it stays at lr all the time": lambda p, lr, up, down: lr,
    "lr is not used": lambda p, lr, up, down: _rate(p, 1.0, up, down),
    "the rise is missing": lambda p, lr, up, down: _rate(p, lr, up, down, rise=lambda x: 1.0),
    "the fall is missing": lambda p, lr, up, down: _rate(p, lr, up, down, fall=lambda x: 1.0),
    "it falls along a straight line, expected along a cosine": lambda p, lr, up, down: _rate(p, lr, up, down, fall=lambda x: x),
    "it rises along a cosine, expected along a straight line": lambda p, lr, up, down: _rate(
        p, lr, up, down, rise=lambda x: 0.5 - 0.5 * float(np.cos(np.pi * x))
    ),
    "it falls along a quarter of a wave, expected half of one: 0.5 - 0.5 * cos(pi * x)": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: float(np.sin(np.pi / 2 * x))
    ),
    "it falls along a quarter of a wave, expected half of one, 0.5 - 0.5 * cos(pi * x)": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: 1 - float(np.cos(np.pi / 2 * x))
    ),
    "the fall is upside down: the last steps have to be the smallest": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: 0.5 + 0.5 * float(np.cos(np.pi * x))
    ),
    "the rise is upside down: the first step has to be 0": lambda p, lr, up, down: _rate(p, lr, up, down, rise=lambda x: 1 - x),
    "the half is missing: the cosine goes from -1 to 1": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: 1 - float(np.cos(np.pi * x))
    ),
    "rampup and rampdown changed places": lambda p, lr, up, down: _rate(p, lr, down, up),
    "the fall begins at rampdown: it takes the last `rampdown` of the search": lambda p, lr, up, down: (
        lr * _clamped(p / up) * (0.5 + 0.5 * float(np.cos(np.pi * _clamped((p - down) / (1 - down or 1e-9)))))
    ),
    "it falls all the time, expected only in the last `rampdown`": lambda p, lr, up, down: _rate(p, lr, up, 1.0),
    "no upper end for the rise: after `rampup` it stays at 1": lambda p, lr, up, down: (
        lr * p / up * (0.5 - 0.5 * float(np.cos(np.pi * _clamped((1 - p) / down))))
    ),
    "no upper end for the fall's share: min(1, (1 - progress) / rampdown)": lambda p, lr, up, down: (
        lr * _clamped(p / up) * (0.5 - 0.5 * float(np.cos(np.pi * (1 - p) / down)))
    ),
    "no upper end for both shares: min(1, ...)": lambda p, lr, up, down: (
        lr * p / up * (0.5 - 0.5 * float(np.cos(np.pi * (1 - p) / down)))
    ),
    "the lower of the two counts, expected their product": lambda p, lr, up, down: _rate(p, lr, up, down, lower=min),
    "the two are added, expected their product": lambda p, lr, up, down: (
        lr * (_clamped(p / up) + 0.5 - 0.5 * float(np.cos(np.pi * _clamped((1 - p) / down))))
    ),
    "pi is missing in the cosine": lambda p, lr, up, down: _rate(p, lr, up, down, fall=lambda x: 0.5 - 0.5 * float(np.cos(x))),
    "2 pi in place of pi: it falls and rises again": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: 0.5 - 0.5 * float(np.cos(2 * np.pi * x))
    ),
    "the cosine gets degrees, it wants radians": lambda p, lr, up, down: _rate(
        p, lr, up, down, fall=lambda x: 0.5 - 0.5 * float(np.cos(180 * x))
    ),
    "the fall does not reach 0": lambda p, lr, up, down: max(_rate(p, lr, up, down), 0.1 * lr * _clamped(p / up)),
    "the rise begins above 0": lambda p, lr, up, down: _rate(p, lr, up, down, rise=lambda x: max(x, 0.1)),
}


@_exercise("learning_rate", f"{len(_RATES)} cases: rise, plateau, fall, both at once, both ends")
def test_learning_rate(learning_rate=project.learning_rate):
    """learning_rate(progress, lr, rampup, rampdown): a straight rise, lr, then half a cosine down to 0."""
    got = [_number(learning_rate(*case), "the rate as one number") for case in _RATES]
    wants = [_rate(*case) for case in _RATES]
    wrong = [i for i, (value, want) in enumerate(zip(got, wants)) if not abs(value - want) < 1e-6]
    if not wrong:
        return
    curves = {text: [mistake(*case) for case in _RATES] for text, mistake in _RATE_MISTAKES.items()}
    rule = "expected lr * min(1, progress / rampup) * (0.5 - 0.5 * cos(pi * min(1, (1 - progress) / rampdown)))"
    text = next((text for text, values in curves.items() if np.allclose(got, values, rtol=0, atol=1e-6)), rule)
    progress, lr, up, down = _RATES[wrong[0]]
    call = f"learning_rate({progress}, lr={lr}, rampup={up}, rampdown={down})"
    raise _Mistake(f"{call} is {got[wrong[0]]:.4g}, expected {wants[wrong[0]]:.4g}: {text}")


# --------------------------------------------------------------------------------------------------- 05: the edits


def _slerp_mistakes(a: Tensor, b: Tensor, t: float) -> dict[str, Tensor]:
    long_a, long_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    one_a, one_b = a / long_a, b / long_b
    length, straight = long_a + t * (long_b - long_a), a + t * (b - a)
    cosine = (one_a * one_b).sum(1, keepdim=True).clamp(-1, 1)
    angle = cosine.acos()
    sine = angle.sin()

    def arc(x: Tensor, y: Tensor, angle: Tensor = angle, t: float = t) -> Tensor:
        return (((1 - t) * angle).sin() * x + (t * angle).sin() * y) / angle.sin()

    right = arc(one_a, one_b) * length
    raw = (a * b).sum(1, keepdim=True)
    all_at_once = F.cosine_similarity(a.flatten(), b.flatten(), 0).acos()
    return {
        "it goes straight, through the inside of the sphere": straight,
        "t is the wrong way round: 0 gives a, 1 gives b": arc(one_a, one_b, t=1 - t) * (long_b + t * (long_a - long_b)),
        "the two directions changed places: 0 gives a, 1 gives b": arc(one_a, one_b, t=1 - t) * length,
        "it comes back with length 1: multiply by the length, which goes evenly from |a| to |b|": arc(one_a, one_b),
        "the length stays that of a, expected evenly from |a| to |b|": arc(one_a, one_b) * long_a,
        "the length stays that of b, expected evenly from |a| to |b|": arc(one_a, one_b) * long_b,
        "the length is the mean of both, expected evenly from |a| to |b|": arc(one_a, one_b) * (long_a + long_b) / 2,
        "the length changes by powers, expected evenly from |a| to |b|": arc(one_a, one_b) * long_a ** (1 - t) * long_b**t,
        "the weights are for unit vectors: divide a and b by their lengths, and multiply by the length between them": arc(a, b),
        "the straight way was only pushed out to the right length: the angle has to change evenly, too": (
            F.normalize(one_a + t * (one_b - one_a), dim=1) * length
        ),
        "the straight way was only pushed out to the right length, the angle has to change evenly": (
            F.normalize(straight, dim=1) * length
        ),
        "the division by sin(angle) is missing": arc(one_a, one_b) * sine * length,
        "it divides by the angle, expected by its sine": arc(one_a, one_b) * sine / angle * length,
        "cosines stand for the sines": (((1 - t) * angle).cos() * one_a + (t * angle).cos() * one_b) / angle.cos() * length,
        "the angle is the cosine itself: arccos is missing": arc(one_a, one_b, angle=cosine) * length,
        "the angle is taken between a and b before they have length 1": arc(
            one_a, one_b, angle=raw.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        )
        * length,
        "the angle is taken for the whole batch at once, expected one for each row (dim=1)": (
            arc(one_a, one_b, angle=all_at_once) * length
        ),
        "the angle is taken for the whole batch at once, expected one for each row": arc(a, b, angle=all_at_once),
        "half of the angle is used": arc(one_a, one_b, angle=angle / 2) * length,
        "roots of 1 - t and t stand for the sines": ((1 - t) ** 0.5 * one_a + t**0.5 * one_b) * length,
        "roots of 1 - t and t stand for the sines, the length is left": (1 - t) ** 0.5 * a + t**0.5 * b,
        "the weights cos and sin are right for an angle of 90 degrees only": (
            (np.cos(t * np.pi / 2) * one_a + np.sin(t * np.pi / 2) * one_b) * length
        ),
        "a came back": a,
        "b came back": b,
        "it is the middle, whatever t is": arc(one_a, one_b, t=0.5) * (long_a + long_b) / 2,
        "the norm runs over the batch (dim=0), expected along each row (dim=1)": _slerp_by_columns(a, b, t),
        "the sign is wrong": -right,
    }


def _slerp_by_columns(a: Tensor, b: Tensor, t: float) -> Tensor:
    return edit.slerp(a.T.contiguous(), b.T.contiguous(), t).T


@_exercise("slerp", "angles and lengths, both ends, rows that are (nearly) the same, a and b untouched")
def test_slerp(slerp=edit.slerp):
    """slerp(a, b, t): from a to b [N, d] along the sphere; the angle and the length change evenly."""
    g, failed = _generator(), []
    for n, d, t in ((4, 5, 0.25), (3, 16, 0.5), (1, 3, 0.8), (5, 4, 0.0), (2, 6, 1.0), (6, 6, 0.1)):
        a, b = (torch.randn(n, d, generator=g) * (0.5 + 2 * torch.rand(n, 1, generator=g)) for _ in range(2))
        call = f"a and b {[n, d]}, t={t}"
        y, want = _on_the_way(slerp, a, b, t, call), _slerp_exactly(a, b, t)
        if not _close(y, want, 1e-3):
            failed.append((y, _slerp_mistakes(a, b, t), call))
    if failed:
        right = "expected the unit vectors, weighted by sin((1 - t) angle) and sin(t angle), over sin(angle), times the length"
        raise _Mistake(f"{failed[0][2]}: {_explains([case[:2] for case in failed], right, 1e-3)}")
    for d in (4, 32):
        _nearly_the_same(slerp, d, g)


def _on_the_way(slerp: Callable, a: Tensor, b: Tensor, t: float, call: str, check: bool = True) -> Tensor:
    before = _flat([a, b])
    y = slerp(a, b, t)
    _require(y is not None, "returned None: is the return statement missing?")
    if check:
        nan = isinstance(y, Tensor) and bool(y.isnan().any())
        _require(not nan, f"{call} gives NaN: arccos wants numbers from -1 to 1, take it of the product of unit vectors")
        y = _tensor(y, f"the result of {call}")
    _require(torch.equal(_flat([a, b]), before), "it changed a or b in place: make a new tensor")
    _require(y.shape == a.shape, f"{call} gives {_shape(y)}, expected {_shape(a)}: a point for each row")
    return y


def _slerp_exactly(a: Tensor, b: Tensor, t: float) -> Tensor:
    """In float64, where small angles keep their digits."""
    return edit.slerp(a.double(), b.double(), t).float()


def _nearly_the_same(slerp: Callable, d: int, g: torch.Generator) -> None:
    """Rows of one batch: far apart, the same, twice as long, and closer and closer to each other."""
    a = torch.randn(8, d, generator=g)
    b = a + torch.randn(8, d, generator=g) * torch.tensor([3, 0, 0, 1e-2, 1e-3, 1e-4, 1e-6, 1.5])[:, None]
    a[1] = b[1] = 2 * F.one_hot(torch.tensor(1), d)  # without a rounding, that would save a division by 0
    b[2] = 2 * a[2]
    rows = {1: "b = a", 2: "b = 2 a", 6: "b nearly a", 5: "b nearly a", 4: "b nearly a", 3: "b close to a"}
    for t in (0.5, 0.3):
        y, want = _on_the_way(slerp, a, b, t, "rows that are nearly the same", check=False), _slerp_exactly(a, b, t)
        for row, name in rows.items():
            _require(
                y[row].isfinite().all(),
                f"where {name}, it gives NaN or infinity: clamp the cosine to [-1, 1], go straight where the sine is about 0",
            )
            _require(
                y[row].norm() > 0.5 * want[row].norm(),
                f"where {name}, the result is (nearly) 0: a small number below the line is no cure, go straight there",
            )
            _require(_close(y[row], want[row], 1e-3), f"where {name}, the result is wrong: go straight there, a + t * (b - a)")
        for row in (0, 7):
            if not _close(y[row], want[row], 1e-3):
                straight = _close(y[row], a[row].lerp(b[row], t), 1e-3)
                why = (
                    "one such row makes all go straight: decide for each row, with torch.where"
                    if straight
                    else "decide row by row"
                )
                raise _Mistake(f"in a batch where some rows are nearly the same, the others are wrong: {why}")


def _layer_mistakes(ws: Tensor, others: Tensor, layers: list[int]) -> dict[str, Tensor]:
    n, count, w_dim = ws.shape
    place, chosen = torch.arange(count)[:, None], torch.zeros(count, 1, dtype=torch.bool)
    chosen[layers] = True

    def where(mask: Tensor, values: Tensor = others) -> Tensor:
        return torch.where(mask, values, ws)

    packed = ws.clone()
    packed[:, layers] = others[:, : len(layers)]
    wrong = {
        "nothing is mixed, ws came back": ws,
        "everything comes from others": others,
        "the two are exchanged: the named layers come from others": torch.where(chosen, ws, others),
        "the named layers are averaged, expected those of others": where(chosen, (ws + others) / 2),
        "the two are averaged, expected one or the other": (ws + others) / 2,
        "the two are added in the named layers, expected others alone": where(chosen, ws + others),
        "others begins with its own layer 0 in the first named layer, expected the layers of the same number": packed,
        "the named layers are 0": where(chosen, torch.zeros_like(ws)),
        "all pictures get the layers of others' first one": where(chosen, others[:1].expand_as(ws)),
        "layers are counted from 1 here, they begin at 0": where(chosen.roll(-1, 0)),
        "one layer too late in each case": where(chosen.roll(1, 0)),
        "layers are counted from the end": where(chosen.flip(0)),
    }
    if layers:
        low, high = min(layers), max(layers)
        wrong |= {
            "all layers from the first to the last named one come from others": where((place >= low) & (place <= high)),
            "all layers from the first named one on come from others": where(place >= low),
            "all layers up to the last named one come from others": where(place <= high),
            "the last named layer is missing": where((place >= low) & (place < high)),
            "only the first named layer comes from others": where(place == layers[0]),
            "only the last named layer comes from others": where(place == layers[-1]),
            "the first layers come from others, as many as are named": where(place < len(set(layers))),
        }
        if max(layers) < n:
            pictures = ws.clone()
            pictures[layers] = others[layers]
            wrong["layers counts pictures (axis 0), expected layers (axis 1)"] = pictures
        if max(layers) < w_dim:
            entries = ws.clone()
            entries[..., layers] = others[..., layers]
            wrong["layers counts entries of w (axis 2), expected layers (axis 1)"] = entries
    return wrong


@_exercise("mix_layers", "lists, ranges and tuples of layers, gaps, none and all, gradients to both, nothing changed")
def test_mix_layers(mix_layers=edit.mixed):
    """mix_layers(ws, others, layers): ws with the named layers of others."""
    g, failed = _generator(), []
    choices = ([0, 2, 5], range(1, 4), (4, 1), [3], [5, 0], list(range(6)), [], range(3, 6))
    for n, w_dim in ((6, 7), (2, 6)):
        for layers in choices:
            ws, others = (torch.randn(n, 6, w_dim, generator=g) for _ in range(2))
            before, call = _flat([ws, others]), f"ws {_shape(ws)}, layers={layers}"
            y = _tensor(mix_layers(ws, others, layers), f"the result of {call}")
            _require(
                torch.equal(_flat([ws, others]), before), "it changed ws or others in place: make a new tensor (clone first)"
            )
            _require(
                y.shape == ws.shape,
                f"{call} gives {_shape(y)}, expected {_shape(ws)}: all layers stay, the named ones are exchanged",
            )
            if not _close(y, edit.mixed(ws, others, layers)):
                failed.append((y, _layer_mistakes(ws, others, list(layers)), call))
    if failed:
        mistake = _explains([case[:2] for case in failed], "expected the named layers from others, all the rest from ws")
        raise _Mistake(f"{failed[0][2]}: {mistake}")
    mine, twins = _learning(ws, others), _learning(ws, others)
    named = dict(zip(("ws", "others"), zip(mine, twins)))
    _gradient_is(mix_layers(*mine, [0, 4]), edit.mixed(*twins, [0, 4]), named, g)


# A network's weights in the order of its modules; the mapping network belongs to no layer of the synthesis.
_PLACES: dict[str, int | None] = {
    "mapping.fc0.weight": None,
    "mapping.fc0.bias": None,
    "mapping.w_avg": None,
    "synthesis.b4.const": 0,
    "synthesis.b4.conv1.weight": 0,
    "synthesis.b4.conv1.bias": 0,
    "synthesis.b4.torgb.weight": 1,
    "synthesis.b8.conv0.weight": 1,
    "synthesis.b8.conv0.noise_const": 1,
    "synthesis.b8.conv0.count": 1,
    "synthesis.b8.conv1.weight": 2,
    "synthesis.b8.conv1.bias": 2,
    "synthesis.b16.conv0.weight": 3,
    "synthesis.b16.conv0.count": 3,
    "synthesis.b16.torgb.bias": 3,
}


def _state(g: torch.Generator) -> dict[str, Tensor]:
    state = {}
    for name in _PLACES:
        whole = name.endswith("count")
        state[name] = torch.randint(1, 10**6, (), generator=g) if whole else torch.randn(2, 3, generator=g)
    return state


def _blend_layers(coarse, fine, from_layer, layer_of):
    """All entries of coarse, but those of the layers from `from_layer` on of fine."""
    own = {name: layer_of(name) for name in coarse}
    return {name: fine[name] if layer is not None and layer >= from_layer else coarse[name] for name, layer in own.items()}


# What each mistake takes for an entry: its layer, the first layer of fine, and the entries of both.
_BLEND_MISTAKES: dict[str, Callable[[int | None, int, Tensor, Tensor], Tensor]] = {
    "nothing is blended, all of it is coarse's": lambda i, at, c, f: c,
    "all of it is fine's": lambda i, at, c, f: f,
    "the two are exchanged: coarse gives the layers before from_layer": lambda i, at, c, f: c if i is None or i >= at else f,
    "the two are exchanged, the mapping network as well": lambda i, at, c, f: f if i is None or i < at else c,
    "one layer too late: layer number from_layer is fine's already": lambda i, at, c, f: f if i is not None and i > at else c,
    "one layer too early: layer number from_layer - 1 is still coarse's": lambda i, at, c, f: (
        f if i is not None and i >= at - 1 else c
    ),
    "the mapping network, layer None, comes from fine, expected from coarse": lambda i, at, c, f: (
        f if i is None or i >= at else c
    ),
    "layer 0 stays coarse's at from_layer=0: 0 is a layer, ask `is None`": lambda i, at, c, f: f if i and i >= at else c,
    "None counts as layer 0, expected always from coarse": lambda i, at, c, f: f if (i or 0) >= at else c,
    "only layer number from_layer comes from fine, expected all from there on": lambda i, at, c, f: f if i == at else c,
    "the two are averaged, expected one or the other": lambda i, at, c, f: (c + f) / 2,
    "the layers from from_layer on are averaged, expected fine's": lambda i, at, c, f: (
        (c + f) / 2 if i is not None and i >= at else c
    ),
    "the layers from from_layer on are added, expected fine's": lambda i, at, c, f: c + f if i is not None and i >= at else c,
    "whole numbers stay coarse's: every entry of a layer goes along": lambda i, at, c, f: (
        f if i is not None and i >= at and f.is_floating_point() else c
    ),
}


@_exercise("blend_layers", "every first layer of fine, the mapping network, all entries there, both networks untouched")
def test_blend_layers(blend_layers=_blend_layers):
    """blend_layers(coarse, fine, from_layer, layer_of): a state dict with the layers from `from_layer` on from fine."""
    g, results, wrong = _generator(), {}, []
    coarse, fine = _state(g), dict(reversed(_state(g).items()))  # names go together, not places
    kept = {name: value.clone() for name, value in coarse.items()}, {name: value.clone() for name, value in fine.items()}
    for at in (2, 1, 3, 0, 4):
        got = blend_layers(coarse, fine, at, _PLACES.__getitem__)
        _require(got is not None, "returned None: is the return statement missing?")
        names = isinstance(got, Mapping)
        _require(names, f"returned a {type(got).__name__}, expected a state dict, name -> tensor")
        for own, before, which in ((coarse, kept[0], "coarse"), (fine, kept[1], "fine")):
            same = own.keys() == before.keys() and all(torch.equal(own[name], before[name]) for name in before)
            _require(same, f"it changed {which} in place: make a new dict, dict({which})")
        _has_all_entries(got, at)
        wants = _blend_layers(coarse, fine, at, _PLACES.__getitem__)
        bad = [name for name in wants if not torch.equal(_tensor(got[name], f"the entry {name}"), wants[name])]
        results[at] = got
        wrong += [(at, name) for name in bad[:1]]
    if not wrong:
        return
    at, name = wrong[0]
    mistake = "expected fine's entries where the layer is from_layer or more, coarse's elsewhere"
    for text, choose in _BLEND_MISTAKES.items():
        if all(
            all(torch.equal(got[n], choose(i, start, coarse[n], fine[n])) for n, i in _PLACES.items())
            for start, got in results.items()
        ):
            mistake = text
            break
    raise _Mistake(f"with from_layer={at}, {name} (layer {_PLACES[name]}) is wrong: {mistake}")


def _has_all_entries(got: Mapping, at: int) -> None:
    """Fail unless the names are those of the networks."""
    missing = [name for name in _PLACES if name not in got]
    more = [str(name) for name in got if name not in _PLACES]
    _require(
        not more, f"with from_layer={at}, {''.join(more[:1])[:60]!r} is no entry of the networks: keep the names as they are"
    )
    if missing:
        mapping = all(_PLACES[name] is None for name in missing)
        lost_fine = all((_PLACES[name] or 0) >= at for name in missing)
        why = "each entry comes from one of the two"
        if mapping:
            why = "the mapping network, layer None, comes from coarse"
        elif lost_fine:
            why = "the layers from from_layer on come from fine"
        raise _Mistake(
            f"with from_layer={at}, {len(missing)} of {len(_PLACES)} entries are missing, such as {missing[0]}: {why}"
        )


# ------------------------------------------------------------------------------------------------- 06: how far apart


def _score(value: object, what: str = "the result") -> float:
    """`value` as a float, if it is one real number; NaN and infinity pass."""
    _require(value is not None, f"{what} is None: is the return statement missing?")
    if isinstance(value, (Tensor, np.ndarray)):
        shape = list(value.shape)
        _require(np.prod(shape, dtype=int) == 1, f"{what} has the shape {shape}, expected one number")
        value = value.item()
    rounded = "a complex number, expected a real one: roots of rounding leave an imaginary part, drop it with .real"
    _require(not isinstance(value, complex), f"{what} is {rounded}")
    _require(isinstance(value, (int, float, np.number)), f"{what} is a {type(value).__name__}, expected one number")
    return float(value)


def _scores(value: object, names: tuple[str, str]) -> Tensor:
    """float64 [2] of a pair of finite numbers."""
    pair = [_score(part, name) for part, name in zip(_two(value, names, "two numbers"), names)]
    for part, name in zip(pair, names):
        _require(np.isfinite(part), f"{name} is {part}, expected a number")
    return torch.tensor(pair, dtype=torch.float64)


def _f64(*numbers: object) -> Tensor:
    return torch.tensor([float(x) for x in numbers], dtype=torch.float64)


def _shown(numbers: Tensor) -> str:
    """One number, or a pair of them, for a message."""
    text = ", ".join(f"{float(x):.5g}" for x in numbers)
    return f"({text})" if len(numbers) > 1 else text


def _all_right(failed: list[tuple[str, Tensor, Tensor, Mapping[str, Tensor]]], otherwise: str, tolerance: float) -> None:
    """Fail if a case failed (call, what came, what was expected, what the mistakes give), naming the one that explains all."""
    if failed:
        call, got, want, _ = failed[0]
        mistake = _explains([(came, wrong) for _, came, _, wrong in failed], otherwise, tolerance)
        raise _Mistake(f"{call} is {_shown(got)}, expected {_shown(want)}: {mistake}")


@contextlib.contextmanager
def _sizes_fit(hint: str) -> Iterator[None]:
    """What PyTorch and NumPy say about sizes is about the learner's own tensors; `hint` is about the exercise."""
    try:
        yield
    except (RuntimeError, ValueError, IndexError) as error:
        text = " ".join(str(error).split())
        if not re.search(r"must match|mat1 and mat2|broadcast|shapes|size mismatch|inconsistent tensor size|Sizes of", text):
            raise
        raise _Mistake(f"sizes do not fit inside ({text[:80]}): {hint}") from None


def _cloud(n: int, d: int, g: torch.Generator) -> Tensor:
    """Features float64 [n, d] whose columns hang together, with a mean of their own."""
    mix = torch.randn(d, d, generator=g, dtype=torch.float64) / d**0.5 + 0.5 * torch.eye(d, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + 0.7 * torch.randn(d, generator=g, dtype=torch.float64)


def _covariance(x: Tensor) -> Tensor:
    return torch.atleast_2d(torch.cov(x.T))


def _root(matrix: Tensor) -> Tensor:
    """Symmetric root of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def _common(c1: Tensor, c2: Tensor) -> Tensor:
    """Trace of the root of C1 C2, which has the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2)."""
    root = _root(c1)
    return torch.linalg.eigvalsh(root @ c2 @ root).clamp_min(0).sqrt().sum()


def _frechet(real: Tensor, fake: Tensor) -> Tensor:
    c1, c2 = _covariance(real), _covariance(fake)
    return (real.mean(0) - fake.mean(0)).square().sum() + c1.trace() + c2.trace() - 2 * _common(c1, c2)


def _frechet_mistakes(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    real, fake = real.double(), fake.double()
    n, m, d = len(real), len(fake), real.shape[1]
    away, c1, c2 = real.mean(0) - fake.mean(0), _covariance(real), _covariance(fake)
    gap, traces, common = away.square().sum(), c1.trace() + c2.trace(), _common(c1, c2)
    product, spread = c1 @ c2, traces - 2 * common
    b1, b2 = (n - 1) / n * c1, (m - 1) / m * c2
    raw1, raw2 = real.T @ real / (n - 1), fake.T @ fake / (m - 1)
    corr = [torch.atleast_2d(torch.corrcoef(x.T)) for x in (real, fake)]
    right = gap + spread
    wrong = {
        "the covariances are divided by n, expected by n - 1": gap + b1.trace() + b2.trace() - 2 * _common(b1, b2),
        "the distance of the means is not squared": gap.sqrt() + spread,
        "the distance of the means is averaged over the features, expected their sum": away.square().mean() + spread,
        "the difference of the means is summed before it is squared": away.sum().square() + spread,
        "the distance of the means is missing": spread,
        "the covariances are missing, this is the distance of the means alone": gap,
        "the root of C1 C2 is missing": gap + traces,
        "the 2 before the root of C1 C2 is missing": gap + traces - common,
        "the sign before the root of C1 C2 is wrong": gap + traces + 2 * common,
        "the 2 stands before everything in the trace": gap + 2 * (traces - common),
        "only the traces minus the root count, C2 is missing": gap + c1.trace() - 2 * common,
        "the root is taken entry by entry: a matrix's root is the one whose square, by @, is the matrix": (
            gap + traces - 2 * product.diagonal().clamp_min(0).sqrt().sum()
        ),
        "the root is taken entry by entry, of an entry by entry product: only the variances count, not how features go"
        " together": gap + traces - 2 * (c1.diagonal() * c2.diagonal()).sqrt().sum(),
        "C1 * C2 multiplies entry by entry, expected C1 @ C2": gap + traces - 2 * _common(c1 * c2, torch.eye(d).double()),
        "the root of C1 C2 is not taken: its trace is the sum of the roots of its eigenvalues": (
            gap + traces - 2 * product.trace()
        ),
        "the root of the trace is taken, expected the trace of the root": gap
        + traces
        - 2 * product.trace().clamp_min(0).sqrt(),
        "these are singular values of C1 C2, expected eigenvalues: both are the same for a symmetric matrix only": (
            gap + traces - 2 * torch.linalg.svdvals(product).sqrt().sum()
        ),
        "eigh and eigvalsh want a symmetric matrix, which C1 C2 is not: take C1^(1/2) C2 C1^(1/2)": (
            gap + traces - 2 * torch.linalg.eigvalsh(product).clamp_min(0).sqrt().sum()
        ),
        "the roots of C1 and C2 are multiplied, expected the root of their product": (
            gap + traces - 2 * (_root(c1) @ _root(c2)).trace()
        ),
        "all entries are summed, expected the trace": gap + (c1 + c2 - 2 * _root_of_product(c1, c2)).sum(),
        "this is the squared difference of the covariances, expected the trace with the root": gap + (c1 - c2).square().sum(),
        "means are not subtracted before the products: these are no covariances": gap
        + raw1.trace()
        + raw2.trace()
        - 2 * _common(raw1, raw2),
        "these are correlations, expected covariances": gap
        + corr[0].trace()
        + corr[1].trace()
        - 2 * _common(*(c.nan_to_num() for c in corr)),
        "the root of all is taken: the Frechet distance is the squared one": right.clamp_min(0).sqrt(),
        "it is divided by the number of features": right / d,
        "the sign is wrong": -right,
    }
    if n != m:
        least = min(n, m)
        wrong["the larger set is cut down, expected all pictures of both"] = _frechet(real[:least], fake[:least])
    return {text: value.reshape(1) for text, value in wrong.items()} | {"": right.reshape(1)}


def _root_of_product(c1: Tensor, c2: Tensor) -> Tensor:
    """(C1 C2)^(1/2) for a C1 of full rank: C1^(1/2) (C1^(1/2) C2 C1^(1/2))^(1/2) C1^(-1/2)."""
    root = _root(c1)
    return root @ _root(root @ c2 @ root) @ torch.linalg.pinv(root)


_BY_PICTURES = "means and covariances are over the pictures; torch.cov and np.cov want features as rows, so give them real.T"


@_exercise("frechet_distance", "5 pairs of clouds, float32 and float64, fewer pictures than features, equal sets")
def test_frechet_distance(frechet_distance=distances.frechet_distance):
    """frechet_distance(real [n, d], fake [m, d]) -> |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2)), a float."""
    g, failed = _generator(), []
    for n, m, d, dtype in (
        (12, 12, 5, torch.float64),
        (40, 15, 4, torch.float64),
        (9, 30, 7, torch.float32),
        (25, 25, 2, torch.float32),
        (7, 9, 16, torch.float64),
    ):
        real, fake = _cloud(n, d, g).to(dtype), (1.5 * _cloud(m, d, g)).to(dtype)
        value = _apart(frechet_distance, real, fake, _BY_PICTURES)
        wrong = _frechet_mistakes(real, fake)
        want, tolerance = wrong.pop(""), 1e-3 if n > d else 1e-2
        call = f"the distance of real {[n, d]} and fake {[m, d]}"
        _require(not np.isnan(value), f"{call} is NaN, expected {_shown(want)}: {_why_nan(n > d)}")
        if not _close(_f64(value), want, tolerance):
            failed.append((call, _f64(value), want, wrong))
    rule = "expected |m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))"
    if failed and failed[0][1].isinf():
        raise _Mistake(f"{failed[0][0]} is infinite: {_why_nan(False)}")
    if [call for call, *_ in failed] == [call]:
        rule = "right where there are more pictures than features; below that, C1 C2 has no full rank and no inverse"
    _all_right(failed, rule, 2e-3)
    _nothing_apart(frechet_distance, g)


def _why_nan(full_rank: bool) -> str:
    if full_rank:
        return "a root of something negative: C1 C2 is not symmetric, and its entries may be negative; its eigenvalues are not"
    return "rounding makes eigenvalues that should be 0 a little negative: clamp them at 0 before the root"


def _apart(metric: Callable, real: Tensor, fake: Tensor, hint: str) -> float:
    """The metric's number for two sets, which stay as they were; `hint` is for sizes that do not fit."""
    before = _flat([real, fake])
    with _sizes_fit(hint):
        value = _score(metric(real, fake))
    _require(torch.equal(_flat([real, fake]), before), "it changed real or fake in place: make new tensors")
    return value


def _nothing_apart(frechet_distance: Callable, g: torch.Generator) -> None:
    """Equal sets of fewer pictures than features, in float32: all that is left is rounding."""
    same = _cloud(10, 40, g).float()
    value, size = _apart(frechet_distance, same, same.clone(), _BY_PICTURES), float(_covariance(same.double()).trace())
    _require(not np.isnan(value), f"for equal sets [10, 40] it is NaN, expected 0: {_why_nan(False)}")
    _require(
        abs(value) <= 1e-4 * size,
        f"for equal float32 sets [10, 40] it is {value:.3g}, expected 0: rounding is too coarse, begin with real.double()",
    )


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mmd(x: Tensor, y: Tensor, kernel: Callable[[Tensor, Tensor], Tensor] = _kernel) -> Tensor:
    """Unbiased squared MMD, equation 3 of Gretton and others 2012."""
    within = [(k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (kernel(x, x), kernel(y, y))]
    return within[0] + within[1] - 2 * kernel(x, y).mean()


def _kid_mistakes(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    n, m, d = len(real), len(fake), real.shape[1]
    kr, kf, across = _kernel(real, real), _kernel(fake, fake), _kernel(real, fake)
    right = _mmd(real, fake)
    off = [(k.sum() - k.trace()) for k in (kr, kf)]
    within = off[0] / (n * (n - 1)) + off[1] / (m * (m - 1))
    one, two = (x / x.norm(dim=1, keepdim=True) for x in (real, fake))

    def other(change: Callable[[Tensor], Tensor]) -> Tensor:
        """With another kernel, a function of the products x . y."""
        return _mmd(real, fake, lambda x, y: change(x @ y.T))

    wrong = {
        "values below 0 are cut off: where two sets are alike, half of an unbiased estimate's values are below 0": (
            right.clamp_min(0)
        ),
        "the sign is taken away: an unbiased estimate may fall below 0": right.abs(),
        "the diagonals count, a picture's product with itself: leave them out, and divide by n (n - 1)": (
            kr.mean() + kf.mean() - 2 * across.mean()
        ),
        "the diagonals count, though it divides by n (n - 1): leave them out of the sums": (
            kr.sum() / (n * (n - 1)) + kf.sum() / (m * (m - 1)) - 2 * across.mean()
        ),
        "the diagonals are left out of the sums, which are then divided by n^2, expected by n (n - 1)": (
            off[0] / n**2 + off[1] / m**2 - 2 * across.mean()
        ),
        "the diagonals are left out of the sums, which are then divided by n - 1, expected by n (n - 1)": (
            off[0] / (n - 1) + off[1] / (m - 1) - 2 * across.mean()
        ),
        "the term of real and fake counts once, expected twice": within - across.mean(),
        "the term of real and fake is added, expected subtracted": within + 2 * across.mean(),
        "the term of real and fake is missing": within,
        "the products within fake are missing": off[0] / (n * (n - 1)) - 2 * across.mean(),
        "the products within real are missing": off[1] / (m * (m - 1)) - 2 * across.mean(),
        "x . y is not divided by d": other(lambda p: (p + 1) ** 3),
        "x . y is divided by the root of d, expected by d": other(lambda p: (p / d**0.5 + 1) ** 3),
        "the 1 is added before the division by d": other(lambda p: ((p + 1) / d) ** 3),
        "the + 1 in the kernel is missing": other(lambda p: (p / d) ** 3),
        "the kernel is squared, expected cubed": other(lambda p: (p / d + 1) ** 2),
        "the kernel has the power 4, expected 3": other(lambda p: (p / d + 1) ** 4),
        "the kernel has no power, expected cubed": other(lambda p: p / d + 1),
        "the kernel is 3 times, expected to the power 3": other(lambda p: (p / d + 1) * 3),
        "x . y is divided by the number of pictures, expected by that of features": _mmd(
            real, fake, lambda x, y: (x @ y.T / len(x) + 1) ** 3
        ),
        "this is another kernel, exp(-|x - y|^2 / d), expected (x . y / d + 1)^3": _mmd(
            real, fake, lambda x, y: (-torch.cdist(x, y).square() / d).exp()
        ),
        "this is another kernel, exp(-|x - y|^2 / 2), expected (x . y / d + 1)^3": _mmd(
            real, fake, lambda x, y: (-torch.cdist(x, y).square() / 2).exp()
        ),
        "rows are brought to length 1, expected as they come": _mmd(one, two),
        "the kernel of the mean features is taken, expected the mean of the kernel": (
            _kernel(real.mean(0)[None], real.mean(0)[None])
            + _kernel(fake.mean(0)[None], fake.mean(0)[None])
            - 2 * _kernel(real.mean(0)[None], fake.mean(0)[None])
        ),
        "the sign is wrong": -right,
        "it is given times 1000": 1000 * right,
        "it is given times 100": 100 * right,
        "half of it is returned": right / 2,
    }
    if n == m:
        wrong["the term of real and fake loses its diagonal: real 1 and fake 1 are different pictures"] = within - 2 * (
            across.sum() - across.trace()
        ) / (n * (n - 1))
    if n != m:
        least = min(n, m)
        wrong["the larger set is cut down, expected all pictures of both"] = _mmd(real[:least], fake[:least])
    return {text: value.double().reshape(1) for text, value in wrong.items()}


@_exercise("kid", "5 pairs of clouds of different sizes, a set beside itself, which is below 0")
def test_kid(kid=distances.kid):
    """kid(real [n, d], fake [m, d]) -> unbiased squared MMD with the kernel (x . y / d + 1)^3, a float."""
    g, failed = _generator(), []
    sizes = ((7, 7, 5), (5, 9, 3), (12, 4, 8), (6, 6, 2), (8, 8, 4))
    for trial, (n, m, d) in enumerate(sizes):
        real = 1.5 * _cloud(n, d, g)
        fake = real.clone() if trial == 4 else _cloud(m, d, g) + 1
        dtype = torch.float32 if trial == 2 else torch.float64
        real, fake = real.to(dtype), fake.to(dtype)
        value = _apart(kid, real, fake, "kernels are [n, n], [m, m] and [n, m]: take the mean of each on its own")
        want, wrong = _mmd(real.double(), fake.double()).reshape(1), _kid_mistakes(real.double(), fake.double())
        call = f"the KID of real {[n, d]} and fake {[m, d]}" + (", the same pictures," if trial == 4 else "")
        if np.isnan(value):
            root = "the root is taken: the unbiased estimate may fall below 0, and has none"
            raise _Mistake(
                f"{call} is NaN, expected {_shown(want)}: {root if want < 0 else 'look for roots and divisions by 0'}"
            )
        if not _close(_f64(value), want, 1e-3):
            failed.append((call, _f64(value), want, wrong))
    rule = "expected the means of the kernel within real and within fake, without pairs i = i, minus twice that across"
    _all_right(failed, rule, 1e-3)


# ---------------------------------------------------------------------------------------------- 06: balls and neighbours


def _kth(d: Tensor, k: int) -> Tensor:
    """[n]: distance to the k-th neighbour, from the distances [n, n] within a set, itself at 0 in each row."""
    return d.sort(1).values[:, k]


def _balls_mistakes(real: Tensor, fake: Tensor, k: int) -> dict[str, Tensor]:
    rr, ff, rf = _distances(real, real), _distances(fake, fake), _distances(real, fake)
    n, m = rf.shape
    r, f = _kth(rr, k), _kth(ff, k)

    def pair(precision: Tensor, recall: Tensor) -> Tensor:
        return torch.stack([precision.double().mean(), recall.double().mean()])

    def by(r: Tensor, f: Tensor, d: Tensor = rf) -> Tensor:
        """With these radii of reals and fakes."""
        return pair((d <= r[:, None]).any(0), (d <= f).any(1))

    def others(d: Tensor) -> Tensor:
        """Without distances of 0."""
        return d.masked_fill(d == 0, torch.inf).sort(1).values[:, k - 1]

    in_real, in_fake = rf <= r[:, None], rf <= f
    right = by(r, f)
    l1 = [torch.cdist(x, y, p=1) for x, y in ((real, real), (fake, fake), (real, fake))]
    cosine = [1 - F.normalize(x) @ F.normalize(y).T for x, y in ((real, real), (fake, fake), (real, fake))]
    wrong = {
        "neighbours at distance 0 are left out: a copy is a neighbour, too": by(others(rr), others(ff)),
        "each picture counts as its own nearest neighbour: leave it out, it is at distance 0": by(
            _kth(rr, k - 1), _kth(ff, k - 1)
        ),
        "one neighbour too many: the radius is the distance to number k": by(_kth(rr, k + 1), _kth(ff, k + 1)),
        "recall and precision changed places: return precision, recall": right.flip(0),
        "a ball belongs to the picture that is asked about: precision asks the balls of the reals, recall those of the fakes": (
            pair(in_fake.any(0), in_real.any(1))
        ),
        "precision asks which reals' balls hold a fake, expected which fakes lie in a ball; recall likewise": pair(
            in_real.any(1), in_fake.any(0)
        ),
        "recall is taken with the balls of the reals, expected those of the fakes": pair(in_real.any(0), in_real.any(1)),
        "precision is taken with the balls of the fakes, expected those of the reals": pair(in_fake.any(0), in_fake.any(1)),
        "k is not used, it is 3 whatever is asked": by(_kth(rr, 3), _kth(ff, 3)),
        "k is not used, it is 1 whatever is asked": by(_kth(rr, 1), _kth(ff, 1)),
        "a picture has to lie in all balls, expected in at least one": pair(in_real.all(0), in_fake.all(1)),
        "pairs are counted, expected pictures: a fake counts once, in however many balls it lies": pair(in_real, in_fake),
        "balls are counted, expected pictures: a fake counts once, in however many balls it lies": torch.stack(
            [in_real.double().sum(0).mean(), in_fake.double().sum(1).mean()]
        ),
        "only the ball of the nearest picture is asked, expected any": pair(
            in_real.gather(0, rf.argmin(0)[None]), in_fake.gather(1, rf.argmin(1)[:, None])
        ),
        "all balls get the mean radius, expected each its own": by(r.mean().expand(n), f.mean().expand(m)),
        "all balls get the largest radius, expected each its own": by(r.max().expand(n), f.max().expand(m)),
        "all balls get the median radius, expected each its own": by(r.median().expand(n), f.median().expand(m)),
        "the radius is the mean distance to the k neighbours, expected that to number k": by(
            rr.sort(1).values[:, 1 : k + 1].mean(1), ff.sort(1).values[:, 1 : k + 1].mean(1)
        ),
        "the radius is measured to the other set, expected to neighbours in its own": by(
            rf.sort(1).values[:, k - 1], rf.T.sort(1).values[:, k - 1]
        ),
        "the radius is the k-th largest distance, expected the k-th smallest": by(
            rr.sort(1, descending=True).values[:, k - 1], ff.sort(1, descending=True).values[:, k - 1]
        ),
        "distances are squared and radii are not": by(r, f, rf.square()),
        "radii are squared and distances are not": by(r.square(), f.square()),
        "pictures are counted, expected their shares": right * _f64(m, n),
        "both are divided by the number of reals": right * _f64(m / n, 1),
        "both are divided by the number of fakes": right * _f64(1, n / m),
        "precision and recall are in percent, expected shares": 100 * right,
        "pictures outside all balls are counted": 1 - right,
        "distances are |x| + |y| + ..., expected Euclidean ones": by(_kth(l1[0], k), _kth(l1[1], k), l1[2]),
        "distances are angles, expected Euclidean ones": by(_kth(cosine[0], k), _kth(cosine[1], k), cosine[2]),
        "precision comes twice: recall asks for reals in balls of the fakes": right[:1].expand(2),
        "recall comes twice: precision asks for fakes in balls of the reals": right[1:].expand(2),
    }
    return wrong


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _precision_recall(real: Tensor, fake: Tensor, k: int) -> Tensor:
    across = _distances(real, fake)
    in_real = across <= _kth(_distances(real, real), k)[:, None]
    return _f64(in_real.any(0).double().mean(), (across <= _kth(_distances(fake, fake), k)).any(1).double().mean())


def _two_crowds(n: int, m: int, d: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Reals and fakes [n, d] that overlap in part, crowded in some places; no distance lies close to any radius."""
    while True:
        wide = [0.3 + 1.4 * torch.rand(count, 1, generator=g, dtype=torch.float64) for count in (n, m)]
        real, fake = (w * torch.randn(len(w), d, generator=g, dtype=torch.float64) for w in wide)
        fake[:, 0] = 0.5 * fake[:, 0] + 0.6
        across = _distances(real, fake)
        own = [_distances(x, x).sort(1).values[:, 1:8] for x in (real, fake)]
        near = (across[..., None] - own[0][:, None]).abs().min(), (across[..., None] - own[1][None]).abs().min()
        if min(near) > 2e-6:
            return real, fake


@_exercise("precision_recall", "8 pairs of crowds, k from 1 to 5 and left out, copies among the fakes")
def test_precision_recall(precision_recall=distances.precision_recall):
    """precision_recall(real [n, d], fake [m, d], k=3) -> shares of fakes in reals' balls, and of reals in fakes' balls."""
    g, failed = _generator(), []
    cases = ((30, 24, 3, None), (20, 35, 2, 1), (25, 25, 4, 5), (40, 20, 2, 2), (12, 30, 3, 4), (22, 36, 2, 1), (35, 30, 3, 3))
    for trial, (n, m, d, k) in enumerate((*cases, (30, 30, 2, 2))):
        real, fake = _two_crowds(n, m, d, g)
        if trial >= 5 and trial != 6:
            fake[m // 2 :] = fake[: m - m // 2]  # every fake twice
        before = _flat([real, fake])
        with _sizes_fit("distances within a set are [n, n] or [m, m], across [n, m]: compare each with its own set's radii"):
            got = precision_recall(real, fake) if k is None else precision_recall(real, fake, k)
        _require(torch.equal(_flat([real, fake]), before), "it changed real or fake in place: make new tensors")
        got, k = _scores(got, ("precision", "recall")), k or 3
        want = _precision_recall(real, fake, k)
        copies = ", every fake twice," if trial >= 5 and trial != 6 else ""
        if not _close(got, want, 1e-5):
            call = f"(precision, recall) of real {[n, d]} and fake {[m, d]}{copies} with k={k}"
            failed.append((call, got, want, _balls_mistakes(real, fake, k)))
    rule = (
        "expected the share of fakes that lie in the ball of any real, as wide as its distance to neighbour k, and vice versa"
    )
    _all_right(failed, rule, 1e-5)


def _neighbour_mistakes(fake: Tensor, real: Tensor, k: int) -> dict[str, Tensor]:
    """Distances [n, k] that common mistakes give."""
    d = _distances(fake, real)
    up, right = d.sort(1).values, d.sort(1).values[:, :k]
    l1 = torch.cdist(fake, real, p=1).sort(1).values[:, :k]
    cosine = 1 - F.normalize(fake) @ F.normalize(real).T
    wrong = {
        "these are squared distances: the root is missing": right.square(),
        "the squares are averaged over the features, expected summed": right / fake.shape[1] ** 0.5,
        "the squares are averaged over the features, and the root is missing": right.square() / fake.shape[1],
        "these are the farthest, expected the nearest": d.sort(1, descending=True).values[:, :k],
        "the nearest one is left out, as if it were the fake itself: a real at distance 0 is what is looked for": up[
            :, 1 : k + 1
        ],
        "copies are left out, or their squares round below 0 and have no root: distance 0 is what is looked for": d.masked_fill(
            d < 1e-4, torch.inf
        )
        .sort(1)
        .values[:, :k],
        "the farthest of the k comes first, expected the nearest": right.flip(1),
        "distances are |x| + |y| + ..., expected Euclidean ones": l1,
        "these are angles (1 - cosine), expected Euclidean distances": cosine.sort(1).values[:, :k],
        "these are cosines, expected Euclidean distances": (1 - cosine).sort(1, descending=True).values[:, :k],
        "the root is taken twice": right.sqrt(),
        "the first reals came back, expected the nearest": d[:, :k],
        "these are neighbours among the fakes, expected among the reals": _distances(fake, fake).sort(1).values[:, :k],
        "these are neighbours among the fakes, without itself, expected among the reals": _distances(fake, fake)
        .sort(1)
        .values[:, 1 : k + 1],
        "the signs are wrong: topk with largest=False needs no minus": -right,
    }
    return {text: value for text, value in wrong.items() if value.shape == right.shape}


def _nearest_neighbours(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    return _distances(fake, real).topk(k, dim=1, largest=False)


@_exercise("nearest_neighbours", "7 pairs of sets, k from 1 to 4 and left out, copies of reals among the fakes")
def test_nearest_neighbours(nearest_neighbours=_nearest_neighbours):
    """nearest_neighbours(fake [n, d], real [m, d], k=1) -> distances [n, k], nearest first, and their rows in real."""
    g, failed, misplaced = _generator(), [], []
    for n, m, d, k in (
        (6, 9, 4, None),
        (8, 8, 3, 3),
        (5, 20, 6, 1),
        (12, 7, 2, 2),
        (7, 16, 5, 4),
        (3, 5, 8, 2),
        (24, 24, 3, 2),
    ):
        real, fake = (torch.randn(count, d, generator=g) for count in (m, n))
        copied = _between(0, m - 1, g)
        fake[1] = real[copied]
        before, count = _flat([fake, real]), k or 1
        call = f"fake {[n, d]}, real {[m, d]}, k={count}"
        got = nearest_neighbours(fake, real) if k is None else nearest_neighbours(fake, real, k)
        _require(torch.equal(_flat([fake, real]), before), "it changed fake or real in place: make new tensors")
        far, rows = _two(got, ("distances", "indices"), "two tensors [n, k]: distances and rows of real")
        _neighbours_have_shapes(far, rows, n, m, count, call)
        want = _distances(fake, real).sort(1)
        if not bool(((far - want.values[:, :count]).abs() <= 5e-3).all()):
            failed.append((call, far.float(), want.values[:, :count], _neighbour_mistakes(fake, real, count)))
        elif not torch.equal(rows.long(), want.indices[:, :count]):
            misplaced.append((call, rows.long(), want.indices[:, :count], _distances(fake, real)))
    if failed:
        call, far, want, _ = failed[0]
        order = "they are not in order, the nearest has to come first"
        alike = all(_close(f.sort(1).values, w.sort(1).values, 5e-3) for _, f, w, _ in failed)
        rule = order if alike else "expected Euclidean distances to the k nearest reals"
        mistake = _explains([(came, wrong) for _, came, _, wrong in failed], rule, 2e-3)
        at = int((far - want).abs().max(1).values.argmax())
        raise _Mistake(f"{call}: fake {at} gets {_row(far[at])}, expected {_row(want[at])}: {mistake}")
    if misplaced:
        call, rows, want, _ = misplaced[0]
        raise _Mistake(f"{call}: the distances are right, the indices are not: {_why_misplaced(misplaced)}")


def _row(numbers: Tensor) -> str:
    return "[" + ", ".join(f"{float(x):.3g}" for x in numbers[:4]) + "]"


def _neighbours_have_shapes(far: object, rows: object, n: int, m: int, k: int, call: str) -> None:
    for part, name in ((far, "distances"), (rows, "indices")):
        _require(isinstance(part, Tensor), f"{call}: {name} is a {type(part).__name__}, expected a tensor [n, k]")
    whole = not rows.is_floating_point()
    _require(
        whole or far.is_floating_point(), "distances and indices changed places: the distances come first, as topk gives them"
    )
    _require(whole, f"{call}: indices are {rows.dtype}, expected whole numbers: rows of real")
    hints = {
        (n,): "k=1 gives [n, 1], as any other k: leave the axis",
        (k, n): "a row for each fake: transpose it, or take topk over dim=1",
        (m, k): "the two changed places: a row for each fake, neighbours among the reals",
        (n, m): "the first k of each row are asked for",
        (n, k + 1): "one neighbour too many",
        (n, k - 1): "one neighbour too few",
    }
    hints = {shape: hint for shape, hint in hints.items() if shape != (n, k)}
    for part, name in ((far, "distances"), (rows, "indices")):
        hint = hints.get(tuple(part.shape), "a row for each fake")
        _require(part.shape == (n, k), f"{call}: {name} has the shape {_shape(part)}, expected {[n, k]}: {hint}")
    nan = "squares of distances from products may round below 0: clamp them before the root"
    _require(far.isfinite().all(), f"{call}: distances hold NaN or infinity: {nan}")


def _why_misplaced(misplaced: list[tuple[str, Tensor, Tensor, Tensor]]) -> str:
    reasons: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
        "they are counted from 1, rows begin at 0": lambda rows, want, d: want + 1,
        "they are in another order than the distances": lambda rows, want, d: want.flip(1),
        "they are the numbers 0..k-1 of the sorted list: take sort's or topk's own indices": lambda rows, want, d: torch.arange(
            want.shape[1]
        ).expand_as(want),
        "they belong to the farthest reals": lambda rows, want, d: d.sort(1, descending=True).indices[:, : want.shape[1]],
        "they are the fakes' own numbers, expected rows of real": lambda rows, want, d: torch.arange(len(want))[
            :, None
        ].expand_as(want),
        "this is argsort applied twice, which gives ranks": lambda rows, want, d: d.argsort(1).argsort(1)[:, : want.shape[1]],
    }
    for text, mistake in reasons.items():
        if all(torch.equal(rows, mistake(rows, want, d)) for _, rows, want, d in misplaced):
            return text
    return "expected the rows of real to which they were measured"


# ---------------------------------------------------------------------------------------------------- 06: intervals


class _Watched:
    """A statistic of rows that keeps what it was given; skewed, so that mirrored and symmetric intervals show."""

    def __init__(self, n: int, d: int, g: torch.Generator) -> None:
        self.sample = (1.2 * torch.randn(n, d, generator=g)).exp() + torch.arange(d)
        self.first = self.sample[:, 0].double()
        self.kind: str | None = None
        self.given: list[Tensor] = []
        self.values: list[float] = []

    def __call__(self, rows: object) -> float:
        if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Tensor):
            rows = torch.stack(list(rows))
        usable = isinstance(rows, (Tensor, np.ndarray))
        _require(usable, f"the statistic was given a {type(rows).__name__}, expected rows of the sample, a tensor as it is")
        rows = torch.as_tensor(rows).detach().double()
        value = float(rows[:, 0].mean() ** 2) if rows.ndim == 2 and len(rows) else 0.0
        self.given.append(rows)
        self.values.append(value)
        return value


_OWN_GENERATOR = "a generator of your own, torch.Generator().manual_seed(seed) or np.random.default_rng(seed)"


def _bootstrapped(statistic, sample, level=0.95, draws=1000, seed=0):
    g = torch.Generator().manual_seed(seed)
    drawn = [statistic(sample[torch.randint(len(sample), (len(sample),), generator=g)]) for _ in range(draws)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@_exercise("bootstrap_interval", "what is drawn, percentiles at 4 levels, seeds, random states left alone")
def test_bootstrap_interval(bootstrap_interval=_bootstrapped):
    """bootstrap_interval(statistic, sample, level=0.95, draws=1000, seed=0) -> low, high: percentiles over rows drawn again."""
    g, failed = _generator(), []
    for n, d, level, draws, seed in ((12, 2, None, None, None), (9, 3, 0.8, 300, 4), (15, 1, 0.5, 200, 7), (8, 2, 0.9, 250, 1)):
        s = _Watched(n, d, g)
        named = {} if level is None else {"level": level, "draws": draws, "seed": seed}
        level, draws = level or 0.95, draws or 1000
        before, state = s.sample.clone(), _random_states()
        got = _scores(bootstrap_interval(s, s.sample, **named), ("low", "high"))
        _require(torch.equal(s.sample, before), "it changed the sample in place: draw rows into a new tensor")
        touched = _touched(state)
        values = _drawn_rightly(s, draws)
        first, second, other = (_quick_interval(bootstrap_interval, s, seed) for seed in (3, 3, 8))
        _require(torch.equal(first, second), f"the same seed gave two intervals: draw with {_OWN_GENERATOR}")
        _require(not touched, f"it changed the global random state of {touched}: draw with {_OWN_GENERATOR}")
        want = _f64(*np.quantile(values, [(1 - level) / 2, (1 + level) / 2]))
        if not _between_neighbours(got, values, level):
            call = f"the interval at level {level} of {draws} draws"
            failed.append((call, got, want, _interval_mistakes(s, values, level)))
    rule = "expected the quantiles (1 - level) / 2 and (1 + level) / 2 of the statistic's values"
    _all_right(failed, rule, 2e-2)
    _require(not torch.equal(first, other), f"two seeds gave the same interval: seed is not used, draw with {_OWN_GENERATOR}")


def _quick_interval(bootstrap_interval: Callable, s: _Watched, seed: int) -> Tensor:
    def statistic(rows: object) -> float:
        return float(torch.as_tensor(rows).double()[:, 0].mean())

    return _scores(bootstrap_interval(statistic, s.sample, 0.9, 40, seed), ("low", "high"))


def _random_states() -> dict[str, object]:
    return {"torch": torch.get_rng_state(), "np.random": np.random.get_state()[1].tolist(), "random": random.getstate()}


def _touched(before: dict[str, object]) -> str:
    """The global random state that is another one now, or ''."""
    now = _random_states()
    same = {name: torch.equal(old, now[name]) if name == "torch" else old == now[name] for name, old in before.items()}
    return next((name for name, unchanged in same.items() if not unchanged), "")


def _drawn_rightly(s: _Watched, draws: int) -> list[float]:
    """The statistic's values on what was drawn; fails unless each draw was n rows of the sample, with replacement."""
    n, d = s.sample.shape
    _require(s.given, "the statistic was never called: call it on rows drawn from the sample")
    shapes = [tuple(rows.shape) for rows in s.given]
    bad = next((shape for shape in shapes if shape != (n, d)), None)
    hints = {
        (n,): "whole rows, not numbers",
        (d,): "one row at a time is no sample",
        (n * d,): "whole rows, not numbers",
        (draws, n, d): "call it once for each draw",
        (1, d): "one row at a time is no sample",
    }
    hint = hints.get(bad, "as many rows as the sample has")
    _require(bad is None, f"the statistic was given {list(bad or ())}, expected {[n, d]} in each draw: {hint}")
    given = torch.stack(s.given)  # [calls, n, d]
    match = given[:, :, None, 0] == s.first  # [calls, n, n]
    known = match.any(2)
    place = match.double().argmax(2)
    whole = s.sample.double()[place]
    outside = "the statistic was given rows that are not in the sample"
    _require(known.all() and torch.equal(whole, given), f"{outside}: {_why_outside(s.sample.double(), given)}")
    order = torch.arange(n)
    ordered = (place == order).all(1)
    kept = [i for i in range(len(place)) if not ordered[i]]
    _require(kept, "the statistic always saw the sample itself: nothing is drawn")
    drawn = place[kept]
    permuted = bool((drawn.sort(1).values == order).all())
    _require(not permuted, "rows are drawn without replacement: each draw is the whole sample again, in another order")
    distinct = len(drawn.unique(dim=0))
    generator = "the generator begins anew with the same seed in each: make it once, before the loop"
    _require(distinct > 1 or len(drawn) < 5, f"all draws are the same: {generator}")
    right = len(kept) == draws
    _require(right, f"the statistic was called on {len(kept)} drawn samples, expected draws={draws}")
    missing = sorted(set(range(n)) - set(drawn.flatten().tolist()))
    ends = {
        (0,): "the first row is never drawn: row numbers begin at 0",
        (n - 1,): "the last row is never drawn: randint leaves out its upper end, which has to be n",
    }
    _require(not missing, ends.get(tuple(missing), f"{len(missing)} of {n} rows are never drawn"))
    shares = torch.bincount(drawn.flatten(), minlength=n) / drawn.numel()
    even = bool((shares - 1 / n).abs().max() < 0.35 / n)
    _require(
        even, f"some rows are drawn {float(shares.max() / shares.min()):.1f} times as often as others: all are equally likely"
    )
    _require(
        (drawn.sort(1).values.diff(dim=1) == 0).double().mean() > 0.15,
        "hardly any row comes twice in a draw: each row is drawn from all of them, with replacement",
    )
    return [s.values[i] for i in kept]


def _why_outside(sample: Tensor, given: Tensor) -> str:
    """What was given in place of whole rows of the sample."""
    inside = [bool(torch.isin(given[..., j], sample[:, j]).all()) for j in range(sample.shape[1])]
    if all(inside):
        return "columns are drawn apart from each other, a row has to stay whole"
    if bool(torch.isin(given, sample).all()):
        return "columns changed places, draw rows (axis 0)"
    return "draw row numbers, and take sample[rows] as it is"


def _between_neighbours(got: Tensor, values: list[float], level: float) -> bool:
    """Whether both ends are the wanted quantiles, by any way of counting them."""
    ordered, ends = sorted(values), []
    for share in ((1 - level) / 2, (1 + level) / 2):
        at = share * (len(ordered) - 1)
        low, high = ordered[max(0, int(at) - 1)], ordered[min(len(ordered) - 1, int(at) + 2)]
        ends.append((low - 1e-4 * abs(low), high + 1e-4 * abs(high)))
    return all(low <= float(end) <= high for end, (low, high) in zip(got, ends))


def _interval_mistakes(s: _Watched, values: list[float], level: float) -> dict[str, Tensor]:
    drawn, whole = np.array(values), float(s.first.mean() ** 2)
    z, n = NormalDist().inv_cdf((1 + level) / 2), len(s.first)
    tail = (1 - level) / 2
    ends = np.quantile(drawn, [tail, 1 - tail])
    data = s.first.numpy()

    def both(middle: float, half: float) -> Tensor:
        return _f64(middle - half, middle + half)

    return {
        "the ends changed places: low comes first": _f64(*ends[::-1]),
        "each end leaves out 1 - level, expected half of that on either side": _f64(*np.quantile(drawn, [1 - level, level])),
        "the lower end is missing: both sides lose (1 - level) / 2": _f64(drawn.min(), np.quantile(drawn, level)),
        "the upper end is missing: both sides lose (1 - level) / 2": _f64(np.quantile(drawn, 1 - level), drawn.max()),
        "these are the smallest and the largest value": _f64(drawn.min(), drawn.max()),
        "np.percentile counts to 100: multiply by 100, or take np.quantile": _f64(*np.percentile(drawn, [tail, 1 - tail])),
        "level is not used, it is 0.95 whatever is asked": _f64(*np.quantile(drawn, [0.025, 0.975])),
        "level is not used, it is 0.9 whatever is asked": _f64(*np.quantile(drawn, [0.05, 0.95])),
        "this is the mirrored interval, 2 * value - quantile, expected the quantiles themselves": _f64(
            *(2 * whole - ends[::-1])
        ),
        "this is value - z std, value + z std, expected quantiles of the values: their spread is not symmetric": both(
            whole, z * drawn.std(ddof=1)
        ),
        "this is mean - z std, mean + z std, expected quantiles of the values: their spread is not symmetric": both(
            drawn.mean(), z * drawn.std(ddof=1)
        ),
        "these are one standard deviation on either side, expected quantiles of the values": both(
            drawn.mean(), drawn.std(ddof=1)
        ),
        "these are quantiles of the sample, expected of the statistic's values": _f64(*np.quantile(data, [tail, 1 - tail])),
        "this is the spread of the sample, expected that of the statistic's values": both(whole, z * data.std(ddof=1)),
        "this is the sample's mean with z std / sqrt(n), expected quantiles of the statistic's values": both(
            data.mean(), z * data.std(ddof=1) / n**0.5
        ),
        "this is z std / sqrt(n) of the sample, expected quantiles of the statistic's values": both(
            whole, z * data.std(ddof=1) / n**0.5
        ),
        "the spread of the values is divided by sqrt(draws): it is that of the statistic already": both(
            drawn.mean(), z * drawn.std(ddof=1) / len(drawn) ** 0.5
        ),
        "the spread of the values is divided by sqrt(n): it is that of the statistic already": both(
            whole, z * drawn.std(ddof=1) / n**0.5
        ),
        "the values are not sorted before two of them are picked": _f64(
            drawn[int(tail * len(drawn))], drawn[min(int((1 - tail) * len(drawn)), len(drawn) - 1)]
        ),
        "the two ends are given as distances from the value": _f64(whole - ends[0], ends[1] - whole),
        "the two ends are given as differences to the value": _f64(*(ends - whole)),
    }


def _wilson(successes: int, n: int, z: float, **changed: float) -> Tensor:
    """Wilson's interval; `changed` replaces the share, what is added in the middle and under the root, and what divides."""
    p = changed.get("p", successes / n)
    below = changed.get("below", 1 + z * z / n)
    middle = (p + changed.get("add", z * z / (2 * n))) / changed.get("below_middle", below)
    half = z * max(0.0, p * (1 - p) / n + changed.get("under", z * z / (4 * n * n))) ** 0.5 / changed.get("below_half", below)
    return _f64(middle - half, middle + half)


def _wilson_mistakes(successes: int, n: int, level: float) -> dict[str, Tensor]:
    z, p = NormalDist().inv_cdf((1 + level) / 2), successes / n
    right, wald = _wilson(successes, n, z), _wilson(successes, n, z, add=0, under=0, below=1)
    more, q = n + z * z, (successes + z * z / 2) / (n + z * z)
    return {
        "low and high changed places": right.flip(0),
        "this is p -+ z sqrt(p (1 - p) / n), which has no width at 0 and n and leaves [0, 1]": wald,
        "this is p -+ z sqrt(p (1 - p) / n), cut off at 0 and 1, which has no width at 0 and n": wald.clamp(0, 1),
        "z is one-sided: half of 1 - level lies on either side, inv_cdf((1 + level) / 2)": _wilson(
            successes, n, NormalDist().inv_cdf(level)
        ),
        "z is taken at (1 - level) / 2, which is the negative one, so that the ends changed places": right.flip(0),
        "z is taken at 1 - level / 2, expected at (1 + level) / 2": _wilson(successes, n, NormalDist().inv_cdf(1 - level / 2)),
        "level is not used, it is 0.95 whatever is asked": _wilson(successes, n, NormalDist().inv_cdf(0.975)),
        "level is not used, z is 2 whatever is asked": _wilson(successes, n, 2.0),
        "z is 1 whatever level is": _wilson(successes, n, 1.0),
        "z is the level itself, expected the normal distribution's quantile": _wilson(successes, n, level),
        "the division by 1 + z^2 / n is missing": _wilson(successes, n, z, below=1),
        "the middle is not divided by 1 + z^2 / n": _wilson(successes, n, z, below_middle=1),
        "the half width is not divided by 1 + z^2 / n": _wilson(successes, n, z, below_half=1),
        "it is divided by 1 + z / n, expected 1 + z^2 / n": _wilson(successes, n, z, below=1 + z / n),
        "it is divided by 1 + z^2, expected 1 + z^2 / n": _wilson(successes, n, z, below=1 + z * z),
        "it is divided by n + z^2, expected 1 + z^2 / n": _wilson(successes, n, z, below=n + z * z),
        "the middle is p: z^2 / (2 n) is missing": _wilson(successes, n, z, add=0),
        "the middle is p itself, only the width is Wilson's": _wilson(successes, n, z, add=0, below_middle=1),
        "the middle gets z^2 / n, expected z^2 / (2 n)": _wilson(successes, n, z, add=z * z / n),
        "the middle gets z / (2 n), expected z^2 / (2 n)": _wilson(successes, n, z, add=z / (2 * n)),
        "the middle gets z^2 / 2, expected z^2 / (2 n)": _wilson(successes, n, z, add=z * z / 2),
        "under the root, z^2 / (4 n^2) is missing": _wilson(successes, n, z, under=0),
        "under the root stands z^2 / (4 n), expected z^2 / (4 n^2)": _wilson(successes, n, z, under=z * z / (4 * n)),
        "under the root stands z^2 / (2 n^2), expected z^2 / (4 n^2)": _wilson(successes, n, z, under=z * z / (2 * n * n)),
        "under the root stands z^2 / (2 n)^2 with a wrong bracket, expected z^2 / (4 n^2)": _wilson(
            successes, n, z, under=z * z / 4 * n * n
        ),
        "the root is missing": _f64(
            *((p + z * z / (2 * n) + sign * z * (p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n) for sign in (-1, 1))
        ),
        "this is Agresti and Coull's interval, n + z^2 tries in p -+ z sqrt(p (1 - p) / n)": _f64(
            *(q + sign * z * (q * (1 - q) / more) ** 0.5 for sign in (-1, 1))
        ),
        "this is Agresti and Coull's interval, n + z^2 tries in p -+ z sqrt(p (1 - p) / n), cut off at 0 and 1": _f64(
            *(q + sign * z * (q * (1 - q) / more) ** 0.5 for sign in (-1, 1))
        ).clamp(0, 1),
        "p is (successes + 1) / (n + 2), expected successes / n": _wilson(successes, n, z, p=(successes + 1) / (n + 2)),
        "these are counts, expected shares": right * n,
        "these are percent, expected shares": right * 100,
        "this is the share of failures": 1 - right.flip(0),
        "these are the middle and the half width, expected low and high": _f64(right.mean(), (right[1] - right[0]) / 2),
        "the whole width is taken on either side": _f64(*(right + (right[1] - right[0]) / 2 * _f64(-1, 1))),
        "half of the half width is taken": _f64(*(right + (right[1] - right[0]) / 4 * _f64(1, -1))),
    }


_SHARES = [  # successes, n, level
    (8, 10, None),
    (37, 120, None),
    (0, 10, None),
    (10, 10, 0.95),
    (1, 1, None),
    (0, 1, 0.9),
    (500, 1000, 0.95),
    (3, 40, 0.99),
    (3, 40, 0.8),
    (12, 30, 0.5),
    (29, 30, 0.9),
]


@_exercise("wilson_interval", f"{len(_SHARES)} shares, 0 and n of n among them, at 5 levels")
def test_wilson_interval(wilson_interval=distances.wilson_interval):
    """wilson_interval(successes, n, level=0.95) -> low, high for a share, within [0, 1]."""
    failed = []
    for successes, n, level in _SHARES:
        named, asked = ({} if level is None else {"level": level}), level or 0.95
        call = f"the interval of {successes} in {n} at level {asked}"
        try:
            got = wilson_interval(successes, n, **named)
        except (ZeroDivisionError, ValueError, OverflowError) as error:
            if successes not in (0, n):
                raise
            raise _Mistake(
                f"{call} raised {type(error).__name__}: with z^2 / (4 n^2) under the root, 0 and n need no special case"
            ) from None
        got = _scores(got, ("low", "high"))
        want = _wilson(successes, n, NormalDist().inv_cdf((1 + asked) / 2))
        if not bool((got - want).abs().max() <= 5e-4):
            failed.append((call, got, want, _wilson_mistakes(successes, n, asked)))
    rule = "expected (p + z^2 / (2 n) -+ z sqrt(p (1 - p) / n + z^2 / (4 n^2))) / (1 + z^2 / n)"
    _all_right(failed, rule, 1e-3)


# ---------------------------------------------------------------------------------------------------- 06: moved pictures


def _overlap(still: Tensor, moved: Tensor, dx: int, dy: int) -> tuple[Tensor, Tensor]:
    """What both show of the scene: still pictures without the edge that leaves, moved ones without the edge that enters."""
    h, w = still.shape[2:]
    a = still[:, :, max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)]
    return a, moved[:, :, max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)]


def _decibels(error: Tensor, peak: float = 4.0) -> float:
    return float(10 * torch.log10(peak / error.double()))


def _eq_t(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> float:
    a, b = _overlap(still, moved, *shift)
    return _decibels((a - b).square().mean())


def _eq_t_mistakes(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> dict[str, Tensor]:
    still, moved, (dx, dy) = still.double(), moved.double(), shift
    a, b = _overlap(still, moved, dx, dy)
    away, h, w = a - b, *still.shape[2:]
    square = away.square()
    error = square.mean()
    right = _decibels(error)
    rolled = (still.roll((dy, dx), (2, 3)) - moved).square()
    padded = torch.zeros_like(moved)
    padded[:, :, max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)] = a
    blank = torch.zeros_like(moved)
    blank[:, :, max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)] = away
    x, y, m = abs(dx), abs(dy), max(abs(dx), abs(dy))
    each = square.mean((1, 2, 3))
    wrong = {
        "the still pictures are not moved before they are compared": _decibels((still - moved).square().mean()),
        "torch.roll's pixels from the other side count: leave out what only one of the two shows": _decibels(rolled.mean()),
        "dx and dy changed places: the last axis is x": (_eq_t(still, moved, (dy, dx)) if max(x, y) < min(h, w) else np.nan),
        "dx and dy changed places, and torch.roll's pixels count": _decibels(
            (still.roll((dx, dy), (2, 3)) - moved).square().mean()
        ),
        "it moves the wrong way: right and down are positive": _eq_t(still, moved, (-dx, -dy)),
        "y goes the wrong way: down is positive": _eq_t(still, moved, (dx, -dy)),
        "x goes the wrong way: right is positive": _eq_t(still, moved, (-dx, dy)),
        "the wrong way round, and torch.roll's pixels count": _decibels(
            (still.roll((-dy, -dx), (2, 3)) - moved).square().mean()
        ),
        "the empty border counts: leave out what only one of the two shows": _decibels((padded - moved).square().mean()),
        "the error is averaged over the whole picture, expected over the pixels that both show": _decibels(
            blank.square().mean()
        ),
        "pixels that both show are left out on the other side": _decibels(_inner(rolled, x, y)),
        "a border as wide as the larger shift is left out on all sides": _decibels(_inner(rolled, m, m)),
        "the peak is 1, but [-1, 1] is 2 wide: 10 log10(4 / MSE)": _decibels(error, 1.0),
        "the peak is 2, expected its square: 10 log10(4 / MSE)": _decibels(error, 2.0),
        "the peak is 255, but the pictures are in [-1, 1]: 10 log10(4 / MSE)": _decibels(error, 255.0**2),
        "the peak is the largest value in the pictures, expected 2, the width of [-1, 1]": _decibels(
            error, float(still.max() ** 2)
        ),
        "20 log10 belongs to a ratio of amplitudes, 4 / MSE is one of squares: 10 log10": 2 * right,
        "the factor 10 is missing": right / 10,
        "this is the natural logarithm, expected log10": right * np.log(10),
        "this is log2, expected log10": right * np.log2(10),
        "the decibels of the pictures are averaged, expected one MSE over everything": float(
            (10 * torch.log10(4 / each)).mean()
        ),
        "the decibels of the channels are averaged, expected one MSE over everything": float(
            (10 * torch.log10(4 / square.mean((0, 2, 3)))).mean()
        ),
        "these are absolute differences, expected squares": _decibels(away.abs().mean()),
        "the root of the MSE is taken, expected the MSE itself": _decibels(error.sqrt()),
        "the sign is wrong: a small error is a high number of decibels": -right,
        "the squares are summed, expected their mean": _decibels(square.sum()),
        "the squares are summed over the channels, expected their mean": _decibels(square.sum(1).mean()),
        "the squares are summed over each picture, expected one mean": _decibels(square.sum((1, 2, 3)).mean()),
        "the MSE came back, expected decibels": float(error),
        "only the first picture counts": _decibels(each[0]),
        "the worst picture counts, expected one MSE over everything": _decibels(each.max()),
        "the differences are averaged before they are squared, so that they cancel": _decibels(away.mean().square()),
        "the pictures are cut off at 0 first": _decibels((a.clamp_min(0) - b.clamp_min(0)).square().mean()),
        "the pictures are mapped to [0, 1] first, but the peak is still 2": _decibels(error / 4),
        "values are rounded to whole grey levels": _decibels(((away * 127.5).round() / 127.5).square().mean()),
    }
    return {text: _f64(value) for text, value in wrong.items()}


def _inner(square: Tensor, x: int, y: int) -> Tensor:
    """The mean without x columns on the left and right, and y rows above and below."""
    h, w = square.shape[2:]
    return square[:, :, y : h - y, x : w - x].mean()


@_exercise("eq_t", "9 shifts, right, down, left, up and none, oblong pictures, equal ones")
def test_eq_t(eq_t=equivariance.eq_t):
    """eq_t(still [N, C, H, W], moved [N, C, H, W], shift=(dx, dy)) -> decibels of what both show."""
    g, failed = _generator(), []
    cases = ((2, 1), (3, -2), (-2, 3), (0, 0), (0, 2), (-3, 0), (1, 0), (-1, -2), (0, -4))
    for trial, (dx, dy) in enumerate(cases):
        n, h, w = (3, 1, 4)[trial % 3], (10, 9, 12)[trial % 3], (12, 11, 9)[trial % 3]
        still, moved = _moved_pictures(n, h, w, dx, dy, g)
        call = f"eq_t of {_shape(still)} with shift=({dx}, {dy})"
        value, want = _in_decibels(eq_t, still, moved, (dx, dy), call), _eq_t(still.double(), moved.double(), (dx, dy))
        if np.isnan(value):
            raise _Mistake(f"{call} is NaN, expected {want:.4g}: {_why_empty(dx, dy)}")
        if not abs(value - want) < 2e-3:
            failed.append((call, _f64(value), _f64(want), _eq_t_mistakes(still, moved, (dx, dy))))
    rule = "expected 10 log10(4 / MSE), with the MSE over the pixels that both show"
    if failed and not [call for call, *_ in failed if "-" not in call]:
        rule = "right for shifts to the right and down; to the left and up the other edge is left out: max(0, dx), max(0, -dx)"
    _all_right(failed, rule, 1e-4)
    _nothing_moved(eq_t, g)


def _moved_pictures(n: int, h: int, w: int, dx: int, dy: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures in [-1, 1], and the same moved right and down, with errors of another size in each picture and place."""
    scene = F.interpolate(2 * torch.rand(n, 3, 4, 5, generator=g) - 1, (h + 8, w + 8), mode="bilinear")
    still, moved = scene[:, :, 4 : 4 + h, 4 : 4 + w], scene[:, :, 4 - dy : 4 - dy + h, 4 - dx : 4 - dx + w]
    size = (
        0.02 + 0.15 * torch.rand(n, 3, 1, 1, generator=g) * torch.linspace(0.3, 1.7, w) * torch.linspace(1.5, 0.2, h)[:, None]
    )
    moved = moved + size * torch.randn(n, 3, h, w, generator=g) + 0.02
    edge = torch.ones(n, 3, h, w, dtype=torch.bool)
    edge[:, :, max(0, dy) : h - max(0, -dy), max(0, dx) : w - max(0, -dx)] = False
    return still.contiguous(), torch.where(edge, 2 * torch.rand(n, 3, h, w, generator=g) - 1, moved).clamp(-1, 1)


def _in_decibels(eq_t: Callable, still: Tensor, moved: Tensor, shift: tuple[int, int], call: str) -> float:
    before = _flat([still, moved])
    hint = "both lose |dx| columns and |dy| rows, on opposite sides; with a negative shift the sides change: max(0, dx)"
    with _sizes_fit(f"{call}: {hint}"):
        value = _score(eq_t(still, moved, shift), f"the result of {call}")
    _require(torch.equal(_flat([still, moved]), before), "it changed still or moved in place: make new tensors")
    return value


def _why_empty(dx: int, dy: int) -> str:
    if 0 in (dx, dy):
        return "nothing is left to compare: x[:-0] is empty, cut with [: w - dx]"
    return "nothing is left to compare: with a negative shift the other edge is left out"


def _nothing_moved(eq_t: Callable, g: torch.Generator) -> None:
    still = 2 * torch.rand(2, 3, 8, 8, generator=g) - 1
    moved = still.roll((1, 2), (2, 3))
    try:
        value = _in_decibels(eq_t, still, moved, (2, 1), "eq_t")
    except (ZeroDivisionError, ValueError) as error:
        raise _Mistake(
            f"for pictures that move exactly it raised {type(error).__name__}: return infinity, float('inf')"
        ) from None
    small = "a small number added to the MSE limits it" if 30 < value < 1e9 else "4 / 0 has to become infinity"
    _require(value == np.inf, f"for pictures that move exactly it is {value:.4g}, expected inf: {small}")


# --------------------------------------------------------------------------------------------------- 06: sick runs

_OTHER_SPELLINGS = {
    "memorization": "memorisation",
    "color shift": "colour shift",
    "droplet artifacts": "droplet artefacts",
    "droplets": "droplet artefacts",
}
# Where the signs of each are seen: what is said of a wrong answer leads there, and no further.
_PICTURES_THEMSELVES = "its last pictures, from near and beside training faces"
_PLACES_OF_SIGNS = dict.fromkeys(symptoms.SICKNESSES, _PICTURES_THEMSELVES) | {
    "discriminator won": "D's logits over time",
    "generator won": "D's logits over time",
    "oscillation": "one noise's pictures over time",
    "converged": "one noise's pictures over time",
    symptoms.HEALTHY: "all of its curves and pictures again",
}


def _recorded_name(letter: str) -> str:
    return next(name for name in (*symptoms.SICKNESSES, symptoms.HEALTHY) if symptoms.is_answer(letter, name))


def _recorded_names() -> dict[str, str]:
    return {letter: _recorded_name(letter) for letter in symptoms.recorded_letters()}


@_exercise("name_sickness", "every recorded run")
def test_name_sickness(answers=_recorded_names):
    """answers: {letter: one of SICKNESSES, or "healthy"} for all recorded runs, a dictionary or a function that returns one."""
    answers = answers() if callable(answers) else answers
    _require(answers is not None, "answers is None: is the return statement missing?")
    example = '{"a": "mode collapse", ...}'
    _require(isinstance(answers, Mapping), f"answers is a {type(answers).__name__}, expected a dictionary, {example}")
    letters, names = symptoms.recorded_letters(), (*symptoms.SICKNESSES, symptoms.HEALTHY)
    given = {}
    for letter, name in answers.items():
        run = " ".join(str(letter).lower().split())
        ends = f"{letters[0]} to {letters[-1]}"
        _require(run in letters, f"there is no recorded run {str(letter)[:20]!r}: they are called {ends}")
        _require(run not in given, f"run {run} is named twice, in capitals and in small letters")
        if name is None or name is ... or (isinstance(name, str) and not name.strip(" .?")):
            continue
        _require(
            isinstance(name, str),
            f"run {run}: expected one name, such as 'mode collapse', not a value of type {type(name).__name__}",
        )
        said = " ".join(re.sub("[-_]", " ", name.lower()).split()).rstrip(".")
        said = _OTHER_SPELLINGS.get(said, said)
        _require(said in names, f"run {run}: {name[:40]!r} is not one of {', '.join(names)}")
        given[run] = said
    _require(given, "answers is not written yet: give every recorded run its name")
    wrong = [run for run in letters if run in given and not symptoms.is_answer(run, given[run])]
    score = f"{len(given) - len(wrong)} of {len(letters)} runs are named right"
    if wrong:
        raise _Mistake(f"{score}; run {wrong[0]}: {_evidence_against(given[wrong[0]], wrong[0])}")
    missing = [run for run in letters if run not in given]
    _require(not missing, f"{score}; no name yet: {', '.join(missing)}")


def _evidence_against(name: str, letter: str) -> str:
    """What in a recorded run speaks against a name that is not its own."""
    place = _PLACES_OF_SIGNS[_recorded_name(letter)]
    if name == symptoms.HEALTHY:
        return f"something is wrong with it: look at {place}"
    stats, samples = symptoms.recorded_run(letter)
    sign, there = _SIGNS[name](stats, torch.from_numpy(samples), letter)
    if there and not symptoms.is_answer(letter, symptoms.HEALTHY):
        return f"{sign}: so it may seem {name!r}, but another sign is plainer, look at {place}"
    return f"{sign}: that is {'too little for' if there else 'not'} {name!r}, look at {place}"


# Each says of a run (its stats, its samples [snapshots, N, H, W, 3], its letter) how the sign stands, and whether it is there.


def _tiles(pictures: Tensor, side: int = 8) -> Tensor:
    """[N, 3 * side * side] in [0, 1], of uint8 [N, H, W, 3]."""
    return F.adaptive_avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 255, side).flatten(1)


@functools.cache
def _training_faces(letter: str) -> Tensor:
    """The first 150 pictures that a recorded run was trained on, drawn again: uint8 [M, H, W, 3]."""
    about = read_config(symptoms.recorded_folder() / letter)
    count, size, seed = min(150, about["data"]["count"]), about["image_size"], about["config"]["seed"]
    return facegen.data.load_faces(f"drawn:{count}", size, seed=seed).images.permute(0, 2, 3, 1)


def _apart_from_each_other(pictures: Tensor) -> Tensor:
    """Distances of all pairs."""
    return F.pdist(_tiles(pictures))


def _sign_of_one_face(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    share = float(_apart_from_each_other(samples[-1]).median() / _apart_from_each_other(_training_faces(letter)).median())
    return f"its last pictures differ from each other {share:.2f} times as much as training faces do", share < 0.3


def _sign_of_few_faces(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    twins = 0.25 * _apart_from_each_other(_training_faces(letter)).median()
    share = float((_apart_from_each_other(samples[-1]) < twins).float().mean())
    return f"{share:.0%} of the pairs of its last pictures look alike, in a partial collapse some do", 0.02 < share < 0.6


def _last_logits(stats: Mapping) -> tuple[float, float]:
    """D's usual logits of real and of fake pictures in the last third of the steps."""
    real, fake = (np.asarray(stats[name]) for name in ("logits_real", "logits_fake"))
    return float(np.median(real[-len(real) // 3 :])), float(np.median(fake[-len(fake) // 3 :]))


def _sign_of_a_strong_D(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    real, fake = _last_logits(stats)
    return f"D's logits end at {real:.1f} for real pictures and {fake:.1f} for fakes", real - fake > 7


def _sign_of_a_weak_D(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    real, fake = _last_logits(stats)
    return f"D's logits end at {real:.1f} for real pictures and {fake:.1f} for fakes", abs(real - fake) < 0.3


def _change(samples: Tensor, letter: str) -> float:
    """Of the same noise's picture from one of the last snapshots to the next, with the distance of two faces as 1."""
    tiles = [_tiles(pictures) for pictures in samples[-4:]]
    moved = torch.stack([(a - b).norm(dim=1).median() for a, b in itertools.pairwise(tiles)]).median()
    return float(moved / _apart_from_each_other(_training_faces(letter)).median())


def _sign_of_unrest(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    share = _change(samples, letter)
    return f"from snapshot to snapshot a picture changes by {share:.2f} of the distance between two faces", share > 0.45


def _sign_of_rest(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    share = _change(samples, letter)
    return f"from snapshot to snapshot a picture changes by {share:.2f} of the distance between two faces", share < 0.08


def _sign_of_copies(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    real, fake = _tiles(_training_faces(letter), 16), _tiles(samples[-1], 16)
    own = _distances(real, real).fill_diagonal_(torch.inf).amin(1).median()
    share = float(_distances(fake, real).amin(1).median() / own)
    text = f"its last pictures lie {share:.2f} times as far from the nearest training face as these do from each other"
    return text, share < 0.6


def _strongest_spots(pictures: Tensor) -> float:
    x = F.adaptive_avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 255, 32)
    spot = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False) - F.avg_pool2d(x, 9, 1, 4, count_include_pad=False)
    return float((spot.norm(dim=1).flatten(1).amax(1) / x.flatten(1).std(1).clamp_min(1e-3)).median())


def _sign_of_drops(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    share = _strongest_spots(samples[-1]) / _strongest_spots(_training_faces(letter))
    return f"the strongest spot in its pictures stands out {share:.2f} times as much as in training faces", share > 1.5


def _sign_of_a_cast(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    away = samples[-1].float().mean((0, 1, 2)) - _training_faces(letter).float().mean((0, 1, 2))
    share = float(away.abs().max() / 255)
    return f"the mean colour of its last pictures is {share:.1%} of the range away from that of training faces", share > 0.08


def _sign_of_sticking(stats: Mapping, samples: Tensor, letter: str) -> tuple[str, bool]:
    return "texture sticks to pixels while a face moves, and none moves here", False


_SIGNS: dict[str, Callable[[Mapping, Tensor, str], tuple[str, bool]]] = {
    "mode collapse": _sign_of_one_face,
    "partial collapse": _sign_of_few_faces,
    "discriminator won": _sign_of_a_strong_D,
    "generator won": _sign_of_a_weak_D,
    "oscillation": _sign_of_unrest,
    "converged": _sign_of_rest,
    "memorisation": _sign_of_copies,
    "droplet artefacts": _sign_of_drops,
    "colour shift": _sign_of_a_cast,
    "texture sticking": _sign_of_sticking,
}
