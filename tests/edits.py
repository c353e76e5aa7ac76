"""What happens to pictures on their way through the world: the changes that a duplicate must survive."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def _pillow(change):
    """A change of one Pillow picture, applied to uint8 [N, 3, H, W]."""

    def apply(images: Tensor) -> Tensor:
        changed = [change(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images]
        return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in changed])

    return apply


def _jpeg(quality: int):
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _pillow(change)


def _resized(side: int):
    """Down to `side` pixels and up again."""
    bicubic = Image.Resampling.BICUBIC
    return _pillow(lambda image: image.resize((side, side), bicubic).resize(image.size, bicubic))


def _cropped(left: float, top: float, right: float, bottom: float):
    """Without these shares of the picture at its sides, and enlarged to its old size."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
        return image.resize(image.size, Image.Resampling.BICUBIC, box=box)

    return _pillow(change)


def _toned(gain: float = 1.0, offset: float = 0.0, gamma: float = 1.0):
    def change(images: Tensor) -> Tensor:
        return ((images / 255) ** gamma * 255 * gain + offset).round().clamp(0, 255).to(torch.uint8)

    return change


def _all_at_once(images: Tensor) -> Tensor:
    return _jpeg(50)(_toned(0.8)(_cropped(0.02, 0.02, 0.02, 0.02)(_resized(64)(images))))


EDITS = {
    "JPEG quality 30": _jpeg(30),
    "resized to 48 px and back": _resized(48),
    "2 % cropped at each side": _cropped(0.02, 0.02, 0.02, 0.02),
    "2 % cropped at two sides": _cropped(0, 0, 0.02, 0.02),
    "brightness x 1.3": _toned(1.3),
    "brightness x 0.7": _toned(0.7),
    "brightness + 25": _toned(offset=25),
    "gamma 1.4": _toned(gamma=1.4),
    "mirrored": lambda images: images.flip(-1),
    "64 px, 2 % crop, x 0.8, JPEG 50": _all_at_once,
}


def measured(images: Tensor, copies: int = 200) -> tuple[int, float, dict[str, tuple[int, float]]]:
    """(pairs of different pictures taken for the same, the lowest unlikeness of different pictures, and for each edit how many
    of the first `copies` pictures it made were found and the largest unlikeness). 1 stands for 'no candidate'."""
    from facegen.data.duplicates import THRESHOLD, fingerprints, matching

    prints = fingerprints(images)
    _, different = matching(prints, threshold=1.0)
    found = {}
    for name, edit in EDITS.items():
        pairs, values = matching(fingerprints(images[:copies]), fingerprints(edit(images[:copies])), threshold=1.0)
        own = values[pairs[:, 0] == pairs[:, 1]]
        largest = float(own.max()) if len(own) == copies else 1.0
        found[name] = (int((own <= THRESHOLD).sum()), largest)
    return int((different <= THRESHOLD).sum()), float(different.min()) if len(different) else 1.0, found
