"""A training run as a film: animated WebP or GIF, through Pillow alone."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from facegen.files import InputError, replacing
from facegen.show.figures import one_face
from facegen.show.grids import grid, snapshots_of

__all__ = ["save_film"]

SMALLEST = 256  # pixels a film is wide at least; one 64 px face alone could hardly be seen


def save_film(
    history: object,
    path: str | Path,
    index: int | None = None,
    seconds: float = 6.0,
    columns: int = 8,
) -> Path:
    """Write the snapshots as a looping film with the kimg under the picture; the last one stays for a while.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W] or list of [N, 3, H, W].
        path: ends in .webp (small, true colours) or .gif (256 colours, opens everywhere).
        index: follow this one face only; without it the whole grid.
        seconds: playing time without the last frame's rest; each frame lasts 20 ms at least.
        columns: faces in a row of the grid.

    Returns:
        The path written.

    Raises:
        InputError: if there is no snapshot, no such face, or the suffix is another one.
    """
    path = Path(path)
    if path.suffix.lower() not in (".webp", ".gif"):
        raise InputError(f"cannot write a film as {path.name!r}: use a name that ends in .webp or .gif")
    if seconds <= 0:
        raise InputError(f"save_film: seconds must be above 0, got {seconds}")
    snapshots = snapshots_of(history)
    images = snapshots.images if index is None else one_face(snapshots.images, index)[:, None]
    scale = math.ceil(SMALLEST / (min(columns, images.shape[1]) * images.shape[-1]))
    pictures = [grid(batch, cols=min(columns, len(batch)), scale=scale) for batch in images]
    frames = [_captioned(picture, snapshots.title(i)) for i, picture in enumerate(pictures)]
    pause = max(20, round(1000 * seconds / len(frames)))
    options: dict[str, object] = {"quality": 85, "method": 4} if path.suffix.lower() == ".webp" else {}
    with replacing(path) as temporary:
        frames[0].save(
            temporary,
            save_all=True,
            append_images=frames[1:],
            duration=[pause] * (len(frames) - 1) + [max(pause, 1500)],
            loop=0,
            **options,
        )
    return path


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    band = 24
    frame = Image.new("RGB", (picture.width, picture.height + band), "white")
    frame.paste(picture, (0, 0))
    place = (picture.width // 2, picture.height + band // 2 - 1)
    ImageDraw.Draw(frame).text(place, text, fill="#222222", anchor="mm", font=ImageFont.load_default(15))
    return frame
