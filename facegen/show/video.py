"""Films, of a training run or of any frames: animated WebP or GIF through Pillow alone, MP4 where there is an ffmpeg."""

from __future__ import annotations

import contextlib
import itertools
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from facegen.files import InputError, replacing
from facegen.show.figures import one_face
from facegen.show.grids import SYNTHETIC, as_uint8, grid, snapshots_of

SMALLEST = 256  # pixels a film is wide at least; one 64 px face alone could hardly be seen
SUFFIXES = (".mp4", ".webp", ".gif")
# What the metadata of generated films say; the XMP is IPTC's word for pictures made by a trained network.
IPTC_KIND = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SYNTHETIC_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{IPTC_KIND}</Iptc4xmpExt:DigitalSourceType>"
    f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{SYNTHETIC}</rdf:li></rdf:Alt></dc:description>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)
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


def save_frames(frames: Iterable[torch.Tensor], path: str | Path, fps: float = RATE, *, width: int = SMALLEST) -> Path:
    """Write generated pictures as a film, each for the same time, marked as synthetic in the file's metadata.

    An .mp4 is written while the frames come, so that those of a long film need not all be in memory.

    Args:
        frames: batches uint8 or floating [n, 3, H, W], as `facegen.latent.edit.face_batches` makes them.
        path: ends in .mp4, .webp or .gif, as for `save_film`; .webp and .gif play without an end.
        fps: frames per second, 1 to 50: browsers slow faster GIFs down. A GIF counts in hundredths of a second, so there the
            single frames differ by one and the whole lasts as long as it should.
        width: pixels that the film is wide at least: smaller pictures are enlarged a whole number of times.

    Raises:
        InputError: no frame, another rate, or a suffix that cannot be written here.
    """
    path = check_film(path)
    check_rate(fps)
    pictures = _pictures(frames, width)
    try:
        first = next(pictures)
    except StopIteration:
        raise InputError("a film needs a frame, and here is none") from None
    pictures = itertools.chain([first], pictures)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".mp4":
            _stream_mp4(temporary, pictures, first.size, fps)
        else:
            unit = 10 if path.suffix.lower() == ".gif" else 1  # milliseconds that the format counts in
            shown = list(pictures)
            ends = [round(1000 * i / fps / unit) * unit for i in range(len(shown) + 1)]
            _write_animation(temporary, shown, [end - start for start, end in itertools.pairwise(ends)])
    return path


def check_rate(fps: float) -> None:
    """Refuse frames per second at which no film should play."""
    if not 1 <= fps <= 50:
        raise InputError(f"a film of {fps:g} frames per second: give 1 to 50")


def _pictures(batches: Iterable[torch.Tensor], width: int) -> Iterator[Image.Image]:
    for batch in batches:
        for tile in as_uint8(batch):
            picture = Image.fromarray(tile.permute(1, 2, 0).contiguous().numpy())
            times = math.ceil(width / picture.width)
            yield picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)


def check_film(path: str | Path) -> Path:
    """The path of a film to be, before anything is made for it."""
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
    webp = path.suffix.lower() == ".webp"
    options = {"quality": 85, "method": 4, "xmp": SYNTHETIC_XMP.encode()} if webp else {"comment": SYNTHETIC.encode()}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=list(durations), loop=0, **options)


def _write_mp4(path: Path, frames: Sequence[Image.Image], durations: Sequence[int]) -> None:
    repeated = (frame for frame, times in zip(frames, _repeats(durations)) for _ in range(times))
    _stream_mp4(path, repeated, frames[0].size, RATE)


def _stream_mp4(path: Path, frames: Iterable[Image.Image], size: tuple[int, int], fps: float) -> None:
    """H.264 in the form that every browser and phone plays, frame by frame."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps:g}", "-i", "-"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white"]  # which the format asks for
    target = ["-an", "-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
    about = ["-metadata", f"comment={SYNTHETIC}"]
    command = [_encoder(), "-y", "-loglevel", "error", *source, *even, *target, *about, str(path)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended already, and says below why
                for frame in frames:
                    process.stdin.write(frame.tobytes())
        except BaseException:  # a frame could not be made, or Ctrl-C
            process.kill()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
        if code:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise InputError(f"ffmpeg could not write the film ({lines[-1][:200]}): use a name that ends in .webp or .gif")


class FilmFacts(NamedTuple):
    """What a film's file says: frames, (width, height) in pixels, seconds of playing time, and its comment, "" without one."""

    frames: int
    size: tuple[int, int]
    seconds: float
    comment: str


def film_facts(path: str | Path) -> FilmFacts:
    """Read a .gif or .webp back: all of its frames are decoded and counted.

    Raises:
        InputError: a file that is no such film.
    """
    try:
        with Image.open(path) as film:
            comment = film.info.get("comment") or film.info.get("xmp") or b""
            milliseconds = []
            for image in ImageSequence.Iterator(film):
                image.load()  # which knows the duration
                milliseconds.append(image.info.get("duration", 0))
            return FilmFacts(len(milliseconds), film.size, sum(milliseconds) / 1000, comment.decode(errors="replace"))
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} is not a .gif or .webp that can be read ({type(error).__name__})") from None


def _repeats(durations: Sequence[int]) -> Iterator[int]:
    """How many pictures of a film of constant rate each duration is, rounded so that errors do not add up."""
    shown, until = 0, 0.0
    for duration in durations:
        until += duration * RATE / 1000
        times = max(1, round(until) - shown)
        shown += times
        yield times


def _encoder() -> str:
    """The path of an ffmpeg: the package's, or the system's."""
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
