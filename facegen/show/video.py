"""A training run as a film: animated WebP or GIF through Pillow alone, MP4 where there is an ffmpeg."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from facegen.files import InputError, replacing
from facegen.show.figures import one_face
from facegen.show.grids import grid, snapshots_of

__all__ = ["check_film", "save_film"]

SMALLEST = 256  # pixels a film is wide at least; one 64 px face alone could hardly be seen
SUFFIXES = (".mp4", ".webp", ".gif")
RATE = 25  # pictures per second of an MP4, and of a crossfade
REST = 1500  # milliseconds that the last picture stays at least


def save_film(
    history: object,
    path: str | Path,
    index: int | None = None,
    seconds: float = 6.0,
    columns: int = 8,
    *,
    fade: float = 0.0,
    width: int = SMALLEST,
) -> Path:
    """Write the snapshots as a film with the kimg under the picture; the last one stays for a while.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W] or list of [N, 3, H, W].
        path: ends in .webp (small, true colours, loops), .gif (256 colours, loops, opens everywhere) or .mp4 (smallest; needs
            the package imageio-ffmpeg, or ffmpeg itself).
        index: follow this one face only; without it the whole grid.
        seconds: playing time without the last frame's rest; each frame lasts 20 ms at least.
        columns: faces in a row of the grid.
        fade: 0 to 1, the share of its time in which each snapshot turns into the next.
        width: pixels that the film is wide at least.

    Returns:
        The path written.

    Raises:
        InputError: if there is no snapshot, no such face, or the suffix is another one or cannot be written here.
    """
    path = check_film(path)
    if seconds <= 0:
        raise InputError(f"save_film: seconds must be above 0, got {seconds}")
    if not 0 <= fade <= 1:
        raise InputError(f"save_film: fade is a share of the time, 0 to 1, got {fade}")
    snapshots = snapshots_of(history)
    images = snapshots.images if index is None else one_face(snapshots.images, index)[:, None]
    columns = min(columns, images.shape[1])
    scale = math.ceil(width / (columns * images.shape[-1]))
    pause = max(20, round(1000 * seconds / len(images)))
    frames, durations = [], []
    for batch, number, duration in _turning(images, pause, fade):
        frames.append(_captioned(grid(batch, cols=columns, scale=scale), snapshots.title(number)))
        durations.append(duration)
    durations[-1] = max(pause, REST)
    with replacing(path) as temporary:
        (_write_mp4 if path.suffix.lower() == ".mp4" else _write_animation)(temporary, frames, durations)
    return path


def check_film(path: str | Path) -> Path:
    """The path of a film to be, before anything is made for it.

    Raises:
        InputError: an unknown suffix, or MP4 without an encoder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot write a film as {path.name!r}: use a name that ends in .mp4, .webp or .gif")
    if path.suffix.lower() == ".mp4":
        _encoder()
    return path


def _turning(images: torch.Tensor, pause: int, fade: float) -> Iterator[tuple[torch.Tensor, int, int]]:
    """Every snapshot and what lies between it and the next: pictures, the nearest snapshot's number, milliseconds."""
    steps = round(fade * pause * RATE / 1000)  # pictures in between
    between = round(1000 / RATE)
    for number, batch in enumerate(images):
        yield batch, number, max(20, pause - steps * between)
        for step in range(1, steps + 1) if number + 1 < len(images) else ():
            share = step / (steps + 1)
            yield torch.lerp(batch.float(), images[number + 1].float(), share).round().byte(), number + round(share), between


def _write_animation(path: Path, frames: Sequence[Image.Image], durations: Sequence[int]) -> None:
    options: dict[str, object] = {"quality": 85, "method": 4} if path.suffix.lower() == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=list(durations), loop=0, **options)


def _write_mp4(path: Path, frames: Sequence[Image.Image], durations: Sequence[int]) -> None:
    """H.264 in the form that every browser and phone plays."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{frames[0].width}x{frames[0].height}", "-r", str(RATE), "-i", "-"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"]  # which the format asks for
    target = ["-an", "-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    command = [_encoder(), "-y", "-loglevel", "error", *source, *even, *target]
    pixels = b"".join(frame.tobytes() * times for frame, times in zip(frames, _repeats(durations)))
    done = subprocess.run(command, input=pixels, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise InputError(f"ffmpeg could not write the film ({said[-1][:200]}): use a name that ends in .webp or .gif")


def _repeats(durations: Sequence[int]) -> Iterator[int]:
    """How many pictures of a film of constant rate each duration is, rounded so that errors do not add up."""
    shown, until = 0, 0.0
    for duration in durations:
        until += duration * RATE / 1000
        times = max(1, round(until) - shown)
        shown += times
        yield times


def _encoder() -> str:
    """The path of an ffmpeg: the package's, or the system's.

    Raises:
        InputError: there is none.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):  # not installed, or without a binary for this system
        if found := shutil.which("ffmpeg"):
            return found
    raise InputError("no encoder for .mp4 here: pip install imageio-ffmpeg, or use a name that ends in .webp or .gif")


def _captioned(picture: Image.Image, text: str) -> Image.Image:
    band = 24
    frame = Image.new("RGB", (picture.width, picture.height + band), "white")
    frame.paste(picture, (0, 0))
    place = (picture.width // 2, picture.height + band // 2 - 1)
    ImageDraw.Draw(frame).text(place, text, fill="#222222", anchor="mm", font=ImageFont.load_default(15))
    return frame
