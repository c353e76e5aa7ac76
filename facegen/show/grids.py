"""From tensors to pictures: grids of images, and the snapshots of a training run in one common form."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from facegen.files import InputError, replacing
from facegen.training.runs import kimg_text

# The longest side in pixels that each format of a picture can have; PNG itself has no bound that matters.
LONGEST = {".png": 1 << 20, ".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
MOST_PIXELS = 178_956_970  # pictures with more are refused by Pillow and others as a possible attack
SYNTHETIC = "synthetic: made by a generative network (facegen), no photograph"
BACKGROUND = 255  # between the tiles: white, as the page around them


def as_uint8(images: torch.Tensor, value_range: tuple[float, float] = (-1.0, 1.0)) -> torch.Tensor:
    """Images in any of the project's forms as uint8 [N, 3, H, W] on the CPU.

    Args:
        images: uint8 or floating, [N, 3, H, W], [N, 1, H, W] (grey) or a single [3, H, W].
        value_range: what black and white are for floating images; values outside are clipped. uint8 is taken as it is.

    Raises:
        InputError: on another shape or type, no image at all, or NaN.
    """
    if not isinstance(images, torch.Tensor):
        raise InputError(f"images must be a tensor [N, 3, H, W], got {type(images).__name__}")
    images = images.detach().cpu()
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise InputError(f"images must be a non-empty tensor [N, 3, H, W], got shape {list(images.shape)}")
    if images.is_floating_point():
        low, high = value_range
        images = (images.float() - low) / (high - low)
        if images.isnan().any():
            raise InputError("the images hold NaN: the network that made them has diverged, go back to an earlier one")
        images = (images * 255).round().clamp(0, 255).to(torch.uint8)
    elif images.dtype != torch.uint8:
        raise InputError(f"images must be uint8 or floating, got {str(images.dtype).removeprefix('torch.')}")
    return images.expand(-1, 3, -1, -1)


def grid(
    images: torch.Tensor,
    rows: int | None = None,
    cols: int | None = None,
    padding: int = 2,
    scale: int = 1,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> Image.Image:
    """Images side by side in one RGB picture, row by row, on white.

    With neither `rows` nor `cols` the grid is as square as it can be, wider rather than higher. With both, only the
    first rows * cols images are shown.

    Args:
        images: uint8 or floating [N, 3, H, W], see `as_uint8`.
        rows, cols: how many; what is not given follows from N.
        padding: pixels between the tiles and around them, not scaled.
        scale: every image pixel becomes scale x scale pixels.
        value_range: black and white of floating images.
    """
    tiles = as_uint8(images, value_range)
    for name, number, least in (("rows", rows, 1), ("cols", cols, 1), ("scale", scale, 1), ("padding", padding, 0)):
        if number is not None and number < least:
            raise InputError(f"grid: {name} must be at least {least}, got {number}")
    if cols is None:
        cols = math.ceil(math.sqrt(len(tiles))) if rows is None else math.ceil(len(tiles) / rows)
    if rows is None:
        rows = math.ceil(len(tiles) / cols)
    tiles = tiles[: rows * cols]
    if scale > 1:
        tiles = tiles.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)
    height, width = tiles.shape[2] + padding, tiles.shape[3] + padding
    canvas = torch.full((rows * height + padding, cols * width + padding, 3), BACKGROUND, dtype=torch.uint8)
    for index, tile in enumerate(tiles):
        y, x = padding + index // cols * height, padding + index % cols * width
        canvas[y : y + tile.shape[1], x : x + tile.shape[2]] = tile.permute(1, 2, 0)  # [H, W, 3]
    return Image.fromarray(canvas.numpy())


def check_fits(path: Path, width: int, height: int) -> None:
    """Refuse, before the work, a picture that could not be written, or not be opened again."""
    most = LONGEST[path.suffix.lower()]
    if max(width, height) > most:
        raise InputError(f"{path}: {width} x {height} pixels, a {path.suffix} has at most {most}; ask for fewer faces")
    if width * height > MOST_PIXELS:
        raise InputError(f"{path}: {width} x {height} pixels are too many to open again; ask for fewer faces")


def grid_size(count: int, face: int, padding: int = 2) -> tuple[int, int]:
    """Width and height in pixels of a `grid` of `count` faces, each of `face` pixels after scaling."""
    columns = math.ceil(math.sqrt(count))
    return columns * (face + padding) + padding, math.ceil(count / columns) * (face + padding) + padding


def side_by_side(faces: torch.Tensor) -> torch.Tensor:
    """Faces [N, 3, H, W] as one frame of a film, uint8 [1, 3, H', W']."""
    return torch.from_numpy(np.array(grid(faces, padding=0))).permute(2, 0, 1)[None]


def png_of(picture: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def with_png(bundle: dict[str, object] | None, png: bytes, size: tuple[int, int], text: str, alt: str) -> tuple[dict, dict]:
    """A notebook's output and its metadata: that of a widget, if any, and a PNG where none can run."""
    shown = {**(bundle or {}), "text/plain": text, "image/png": base64.b64encode(png).decode()}
    return shown, {"image/png": {"width": size[0], "height": size[1], "alt": alt}}


def save_image(picture: Image.Image | torch.Tensor, path: str | Path, *, synthetic: str = "") -> Path:
    """Write a picture completely or not at all; the suffix says the format.

    A tensor [N, 3, H, W] is written as its grid, a single [3, H, W] pixel for pixel.

    Args:
        synthetic: says in the file's metadata that the picture was generated, such as `SYNTHETIC`: as the
            text "synthetic" of a PNG, and as the EXIF description of any format. Without it nothing is said.

    Raises:
        InputError: if Pillow cannot write that suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise InputError(f"cannot write pictures as {path.name!r}: use a name that ends in .png, .jpg or .webp")
    if isinstance(picture, torch.Tensor):
        picture = grid(picture, padding=0 if picture.ndim == 3 else 2)
    with replacing(path) as temporary:
        picture.save(temporary, **(_provenance(path, synthetic) if synthetic else {}))
    return path


def save_faces(
    batches: Iterable[torch.Tensor], size: int, seeds: Sequence[int], folder: Path | None, sheet: Path | None, scale: int = 1
) -> None:
    """Write generated faces, marked as synthetic: each into a folder as soon as it is made, or all as one grid, or both.

    Args:
        size: pixels of a face.

    Raises:
        InputError: a grid that could not be written or opened, before a face is made.
        KeyboardInterrupt: says how many faces are written.
    """
    if sheet:
        check_fits(sheet, *grid_size(len(seeds), size * scale))
    kept, written = [], 0  # faces stay in memory only for the grid
    try:
        for faces in batches:
            if sheet:
                kept.append(faces)
            for face in faces if folder else ():
                save_image(face, folder / f"seed{seeds[written]:06d}.png", synthetic=SYNTHETIC)
                written += 1
        if sheet:
            save_image(grid(torch.cat(kept), scale=scale), sheet, synthetic=SYNTHETIC)
    except KeyboardInterrupt:
        left = f"{written} of {len(seeds)} faces are written{f' in {folder}' if folder else ''}"
        raise KeyboardInterrupt(f"interrupted: {left}{', no grid' if sheet else ''}") from None


def _provenance(path: Path, text: str) -> dict[str, object]:
    """Pillow's options for a picture that says what it is."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = text
    if path.suffix.lower() != ".png":
        return {"exif": exif}
    info = PngInfo()
    info.add_text("synthetic", text)
    return {"exif": exif, "pnginfo": info}


@dataclass(frozen=True)
class Snapshots:
    """What every view of a run needs: the images of all snapshots, and what is known about each.

    Attributes:
        images: uint8 [S, N, 3, H, W], the same N noise vectors at S moments.
        kimg: thousands of real images seen at each snapshot, or None for plain tensors.
        stats: the run's log, one dict a logged step; empty for plain tensors.
    """

    images: torch.Tensor
    kimg: list[float] | None
    stats: list[Mapping[str, float]]

    def __len__(self) -> int:
        return len(self.images)

    def title(self, index: int) -> str:
        """The short name of a snapshot: `12.8 kimg`, or `snapshot 3` (from 1) where no kimg is known."""
        return f"snapshot {index + 1}" if self.kimg is None else f"{kimg_text(self.kimg[index])} kimg"

    def record(self, index: int) -> Mapping[str, float]:
        """The last logged step that is not later than the snapshot; empty where there is none."""
        if self.kimg is None:
            return {}
        limit = self.kimg[index] * (1 + 1e-6) + 1e-9  # kimg sums up in floats on either side
        before = [record for record in self.stats if record.get("kimg", math.inf) <= limit]
        return before[-1] if before else {}

    def details(self, index: int) -> str:
        """Epoch, step and the two losses at a snapshot, as far as they were logged."""
        record = self.record(index)
        if not record:
            return "before training" if self.kimg is not None and self.kimg[index] == 0 else ""
        formats = {"epoch": "epoch {:.1f}", "step": "step {:.0f}", "loss_D": "loss D {:.2f}", "loss_G": "loss G {:.2f}"}
        known = [text.format(record[key]) for key, text in formats.items() if _is_finite(record.get(key))]
        return " · ".join(known)

    def spread(self, count: int) -> list[int]:
        """At most `count` snapshots, evenly spaced, the first and the last among them."""
        count = max(1, min(count, len(self)))
        if count == 1:
            return [len(self) - 1]
        return [round(i * (len(self) - 1) / (count - 1)) for i in range(count)]


def snapshots_of(history: object) -> Snapshots:
    """A run's `History` (`.samples`, `.kimg`, `.stats`), a tensor [S, N, 3, H, W] or a list of [N, 3, H, W]."""
    if isinstance(history, Snapshots):
        return history
    samples = getattr(history, "samples", history)
    if isinstance(samples, torch.Tensor) and samples.ndim != 5 and samples.numel():
        raise InputError(f"snapshots must be [snapshots, N, 3, H, W], got shape {list(samples.shape)}")
    if not isinstance(samples, torch.Tensor | Sequence):
        raise InputError(f"needs a run's history or a tensor [snapshots, N, 3, H, W], got {type(history).__name__}")
    if len(samples) == 0 or not all(torch.is_tensor(images) and images.numel() for images in samples):
        raise InputError("the history holds no snapshot yet: train until the first one is kept, then look again")
    kimg = getattr(history, "kimg", None)
    if kimg is not None and len(kimg) != len(samples):
        raise InputError(f"the history has {len(samples)} snapshots but {len(kimg)} values of kimg")
    if len({tuple(images.shape) for images in samples}) > 1:
        raise InputError("all snapshots must have the same shape [N, 3, H, W]")
    images = torch.stack([as_uint8(images) for images in samples])
    return Snapshots(images, None if kimg is None else [float(k) for k in kimg], list(getattr(history, "stats", ())))


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
