"""The pictures that `facegen project` looks for."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from facegen.data.faces import safe_name
from facegen.data.photos import align
from facegen.data.pictures import Source, Unusable, decode
from facegen.files import InputError
from facegen.latent.sample import sample


def seed_of(target: str, aligned: bool = False) -> int | None:
    """ "seed:7" -> 7: a control, the model's own face of that seed. None for pictures; what is neither is refused."""
    control = re.fullmatch(r"seed:(\d+)", target)
    if target.startswith("seed:") and not control:
        raise InputError(f"--target {target}: a control is seed: and a whole number, such as seed:7")
    if control and aligned:
        raise InputError(f"--target {target} is framed as the model frames its faces: leave --align out")
    if not control and not Path(target).exists():
        raise InputError(f"--target {target}: no such picture or folder (a control is seed:N, such as seed:7)")
    return int(control[1]) if control else None


def targets(G: nn.Module, target: str, aligned: bool = False, labels: int | None = None) -> Iterator[tuple[str, Tensor, str]]:
    """What to look for in a model: its own face of seed:N, or each picture of a file, folder or zip, framed first if `aligned`.

    Yields:
        Its name, uint8 [3, H, W] of the model's size, and what was done to it.
    """
    if (seed := seed_of(target, aligned)) is not None:
        yield f"seed{seed}", sample(G, [seed], labels=labels)[0], f"the model's own face of seed {seed}"
    elif not aligned:
        yield from read_targets(Path(target), G.img_resolution, "as given")
    else:
        with tempfile.TemporaryDirectory() as scratch:
            report = align(target, Path(scratch) / "aligned", max(16, G.img_resolution))
            print(dataclasses.replace(report, dest=Path(target)))
            yield from read_targets(report.dest, G.img_resolution, "aligned")


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
