"""The pictures that `facegen project` looks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.data.faces import safe_name
from facegen.data.pictures import Source, Unusable, decode
from facegen.files import InputError


def read_targets(source: Path, size: int, note: str) -> Iterator[tuple[str, Tensor, str]]:
    """Each picture of a file, folder or zip: its name, uint8 [3, size, size], and the note with what was done to it."""
    taken: set[str] = set()
    with Source(source, single=True) as opened:
        for name in opened.names:
            try:
                image, _ = decode(opened.read(name))
            except Unusable as error:
                raise InputError(f"{name}: {error}: leave it out") from None
            if image.width != image.height:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels are no square: give --align, which frames the face as the "
                    "model's pictures are framed, or crop it yourself"
                )
            said = f"{note}, enlarged from {image.width} pixels" if image.width < size else note
            pixels = torch.from_numpy(np.array(image.resize((size, size), Image.Resampling.LANCZOS)))
            yield safe_name(name, "", taken), pixels.permute(2, 0, 1).contiguous(), said
