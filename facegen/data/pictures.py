"""Picture files of any kind, one at a time: what lies in a folder or zip, and how each file becomes plain 8-bit RGB.

One bad file never stops anything here: it becomes a `Row` of the report that is shown when all is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import sys
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from facegen.data.kinds import looks_like, seems
from facegen.files import InputError, one_line

T = TypeVar("T")
U = TypeVar("U")
Note = tuple[str, str]  # (what was found in a file, what was done about it)

TRANSFORMS = (None, "center-crop", "center-crop-wide")
MAX_PIXELS = 89_478_485  # Pillow's own limit for decompression bombs, held here as an error instead of a warning
MAX_BYTES = 256 << 20  # no photograph is larger; a zip entry that claims more is not unpacked
MAX_ENLARGE = 2  # a picture that would have to grow more than this is blur, not data
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm"})
PICTURE_SUFFIXES |= {".pgm", ".pbm", ".avif", ".jp2", ".tga"}
# Only formats that Pillow decodes by itself: EPS, for one, would start Ghostscript on a stranger's file.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_METADATA = frozenset({"dataset.json", "SOURCE.json", "SHA256SUMS", "report.json", "warnings.html", "Thumbs.db", "desktop.ini"})


class Unusable(Exception):
    """This file cannot become a picture of the data set; the message says what it is, in a few words."""


@dataclass(frozen=True)
class Row:
    """One line of the report: which file, what was found, what was done, and whether it is in the data set."""

    file: str
    what: str
    done: str
    used: bool


def table(rows: Sequence[Row], lines: int = 60) -> str:
    """The report as text: files that were left out first, and kinds that more than ten files share as one line each.

    Args:
        rows: what to show, in the order of the files.
        lines: the most lines to print; what is beyond is counted in the last one.
    """
    if not rows:
        return "every file was a plain picture"
    groups: dict[tuple[bool, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.used, row.what, row.done), []).append(row)
    cells = [("file", "what it was", "what was done")]
    for (_, what, done), group in sorted(groups.items(), key=lambda item: item[0][0]):
        if len(group) > 10:
            cells.append((f"{len(group):,} files, the first {one_line(group[0].file)}", what, done))
        else:
            cells += [(one_line(row.file), what, done) for row in group]
    hidden = len(cells) - 1 - lines
    cells = cells[: lines + 1]
    widths = [max(len(row[column]) for row in cells) for column in (0, 1)]
    text = [f"{file:<{widths[0]}}  {what:<{widths[1]}}  {done}" for file, what, done in cells]
    return "\n".join(text + ([f"... and {hidden:,} lines more"] if hidden > 0 else []))


def say(line: str) -> None:
    """A line for the person at the screen, on stderr and clear of progress bars."""
    if os.environ.get("RANK", "0") == "0":  # of several processes of one training the first speaks
        tqdm.write(line, file=sys.stderr)


# ---------------------------------------------------------------------------------------------------- one picture


def decode(data: bytes) -> tuple[Image.Image, list[Note]]:
    """Decode one file to upright 8-bit RGB.

    Handled: EXIF orientation (applied), several frames (the first is used), alpha and transparent palettes
    (composited on white), palettes and greyscale (expanded), 16 bits per channel (scaled), CMYK (through its colour
    profile where there is one).

    Args:
        data: the file's bytes.

    Returns:
        The picture in mode "RGB", and what was unusual about it as (what, what was done) pairs.

    Raises:
        Unusable: with the reason in a few words, whatever is wrong with the file.
    """
    image = _opened(data)
    notes = []
    try:
        if image.format != "MPO" and getattr(image, "is_animated", False):  # MPO: a photograph and its preview
            notes.append(("several frames", "first frame used"))
        # Of more than 8 bits per channel Pillow shows only the raw mode, as in "RGB;16B"; "BGR;16" is 5-6-5 bits.
        deep = any(";16" in str(tile[3]) and "BGR;16" not in str(tile[3]) for tile in image.tile)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.size != image.size or image.getexif().get(0x0112, 1) in range(2, 9):
            notes.append(("rotated by EXIF", "turned upright"))
        rgb = _to_rgb(upright, image.format or "", deep, notes)
    except Unusable:
        raise
    except Exception as error:  # decoders raise anything on bad bytes: OSError, SyntaxError, ValueError, struct.error
        what = "truncated" if "truncated" in str(error) else f"damaged ({one_line(error, 60)})"
        raise Unusable(what) from None
    return rgb, notes


def natural_size(data: bytes) -> tuple[int, int]:
    """(width, height) as `decode` would give them, from the header alone.

    Raises:
        Unusable: if the header cannot be read.
    """
    image = _opened(data)
    try:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception as error:
        raise Unusable(f"damaged ({one_line(error, 60)})") from None
    return image.size[::-1] if turned else image.size


def _opened(data: bytes) -> Image.Image:
    """The picture with its header read and its size found safe; nothing is decoded yet."""
    if not data:
        raise Unusable("empty (0 bytes)")
    Image.init()
    try:
        image = Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in Image.OPEN])
    except Image.DecompressionBombError:
        raise Unusable("decompression bomb") from None
    except Exception:  # UnidentifiedImageError for most, and whatever a plugin trips over
        if data.startswith(_MAGIC):
            raise Unusable("damaged at its beginning") from None
        kind = looks_like(data)
        raise Unusable(f"not an image but {kind}" if kind else "not an image") from None
    if image.width * image.height > MAX_PIXELS:
        raise Unusable(f"decompression bomb ({image.width}x{image.height})")
    return image


def _to_rgb(image: Image.Image, form: str, deep: bool, notes: list[Note]) -> Image.Image:
    """Any Pillow mode as "RGB"; appends to `notes` what had to be done."""
    mode = image.mode
    if mode == "RGB" and not image.has_transparency_data and not deep:
        return image
    if mode.startswith("I;16") or (mode == "I" and form in ("PNG", "PPM")):  # older Pillows open 16-bit PNG as "I"
        values = np.asarray(image).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        notes.append(("16-bit greyscale", "scaled to 8 bits, made RGB"))
        return Image.fromarray(grey).convert("RGB")
    if mode in ("I", "F"):
        raise Unusable("32-bit values without a known range")
    if deep:  # Pillow has already divided by 256 while decoding
        notes.append(("16 bits per channel", "scaled to 8 bits"))
    if mode == "CMYK":
        notes.append(("CMYK", "converted to RGB"))
        return _from_cmyk(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getextrema()[3][0] < 255:  # an alpha channel that is opaque everywhere changes nothing
            notes.append(("with transparency", "composited on white"))
            rgba = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        return rgba.convert("RGB")
    if mode in ("L", "LA", "1"):
        notes.append(("greyscale", "made RGB"))
    elif mode in ("P", "PA"):
        notes.append(("palette", "made RGB"))
    return image.convert("RGB")


def _from_cmyk(image: Image.Image) -> Image.Image:
    """CMYK to sRGB through the embedded profile; by the plain formula where there is none or it is broken."""
    profile = image.info.get("icc_profile")
    if profile:
        try:
            from PIL import ImageCms

            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except Exception:  # no LittleCMS in this Pillow, or a profile for another colour space
            pass
    return image.convert("RGB")


def fit(image: Image.Image, size: tuple[int, int] | None, transform: str | None) -> tuple[Image.Image, list[Note]]:
    """Crop and resize to `size`, with Lanczos.

    Args:
        image: mode "RGB".
        size: (width, height); None leaves the picture as it is.
        transform: None stretches to `size`; "center-crop" takes the largest centred box of the same shape first;
            "center-crop-wide" does so too and then puts it on a black square as wide as `size`.

    Returns:
        The picture and its notes, as in `decode`.

    Raises:
        Unusable: if it would have to be enlarged more than `MAX_ENLARGE` times.
    """
    if size is None:
        return image, []
    notes = []
    box = (0, 0, *image.size) if transform is None else _centred(image.size, size)
    width, height = box[2] - box[0], box[3] - box[1]
    if width * MAX_ENLARGE < size[0] or height * MAX_ENLARGE < size[1]:
        raise Unusable(f"too small ({image.width}x{image.height}) to be made {size[0]}x{size[1]}")
    if width < size[0] or height < size[1]:
        notes.append(("smaller than wanted", f"enlarged to {size[0]}x{size[1]}"))
    if transform is None and abs(width * size[1] - height * size[0]) > 0.01 * width * size[1]:
        notes.append(("another shape than wanted", f"stretched to {size[0]}x{size[1]}"))
    # Crop first: `resize(box=...)` would let pixels from outside the box bleed in at its edges.
    image = image.crop(box) if box != (0, 0, *image.size) else image
    image = image.resize(size, Image.Resampling.LANCZOS) if (width, height) != size else image
    if transform == "center-crop-wide" and size[0] != size[1]:
        canvas = Image.new("RGB", (size[0], size[0]))
        canvas.paste(image, (0, (size[0] - size[1]) // 2))
        image = canvas
    return image, notes


def _centred(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred box with the shape of `want` in a picture of size `have`: (left, top, right, bottom)."""
    width = min(have[0], max(1, round(have[1] * want[0] / want[1])))
    height = min(have[1], max(1, round(have[0] * want[1] / want[0])))
    left, top = (have[0] - width) // 2, (have[1] - height) // 2
    return left, top, left + width, top + height


# ------------------------------------------------------------------------------------------------ folders and zips


class Source:
    """A folder or a zip with pictures anywhere in it. Use it as a context manager: a zip stays open until the end.

    Attributes:
        path: the folder or file.
        name: its name, without ".zip".
        names: every file that may be a picture, by its path inside the source, with "/", sorted.
        single: whether it is one picture.
        fingerprint: sha256 that changes when a file is added, removed, resized or touched.
        labels: {name: label} from the source's dataset.json (a class number, or a list of numbers), or {}.
        rows: what was wrong with dataset.json or with single folders, if anything.

    Args:
        single: one picture will do too.

    Raises:
        InputError: there is no such folder or file, or it cannot be read.
    """

    def __init__(self, path: str | Path, *, single: bool = False):
        self.path = self._root = Path(path).expanduser()
        self._zip: zipfile.ZipFile | None = None
        self._sizes: dict[str, int] = {}
        self.rows: list[Row] = []
        try:
            kind = self.path.stat().st_mode
            self.single = single and stat.S_ISREG(kind) and not zipfile.is_zipfile(self.path)
            if stat.S_ISDIR(kind):
                self.name, marks = self.path.resolve().name, self._walk()
            elif self.single:
                self.name, self._root = self.path.name, self.path.parent
                self._sizes, marks = {self.path.name: self.path.stat().st_size}, []
            elif stat.S_ISREG(kind):
                self.name, marks = self.path.stem, self._list_zip()
            else:
                raise InputError(f"{one_line(self.path)} is neither a folder nor a file: give a folder or a zip of pictures")
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"{one_line(path)} does not exist: give a folder or a zip of pictures") from None
        except OSError as error:
            raise InputError(
                f"{one_line(path)} cannot be read ({error.strerror}): give a folder or a zip of pictures"
            ) from None
        self.fingerprint = hashlib.sha256("\n".join(marks).encode("utf-8", "surrogateescape")).hexdigest()
        # A fetched data set ships its own papers, which are not worth a line each.
        fetched = "SOURCE.json" in self._sizes or "SHA256SUMS" in self._sizes
        self.names = sorted(name for name in self._sizes if self.single or _is_candidate(name, fetched))
        self.labels = self._read_labels()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_) -> None:
        if self._zip is not None:
            self._zip.close()

    def read(self, name: str) -> bytes:
        """One file's bytes. Safe to call from several threads.

        Raises:
            Unusable: if it cannot be read, or is larger than `MAX_BYTES`.
        """
        if self._sizes[name] > MAX_BYTES:
            raise Unusable(f"larger than {MAX_BYTES >> 20} MiB")
        try:
            return self._zip.read(name) if self._zip else (self._root / name).read_bytes()
        except Exception as error:  # OSError, or BadZipFile, NotImplementedError, RuntimeError (encrypted), zlib.error
            raise Unusable(f"cannot be read ({one_line(error, 60)})") from None

    def _walk(self) -> list[str]:
        """Find the files below a folder, through links but never in a circle; returns one line of marks per file."""

        def unreadable(error: OSError) -> None:
            name = Path(error.filename).relative_to(self.path).as_posix()
            if name == ".":
                raise error
            self.rows.append(Row(f"{name}/", f"cannot be read ({error.strerror})", "left out", False))

        marks, seen = [], set()
        for folder, folders, files in os.walk(self.path, onerror=unreadable, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for entry in files:
                file = Path(folder, entry)
                name = file.relative_to(self.path).as_posix()
                try:
                    facts = file.stat()
                except OSError:  # a link to nowhere: `read` will say so
                    self._sizes[name] = 0
                    marks.append(f"{name} missing")
                    continue
                if stat.S_ISREG(facts.st_mode):  # no pipes, sockets or devices
                    self._sizes[name] = facts.st_size
                    marks.append(f"{name} {facts.st_size} {facts.st_mtime_ns}")
        return sorted(marks)

    def _list_zip(self) -> list[str]:
        try:
            self._zip = zipfile.ZipFile(self.path)
        except zipfile.BadZipFile as error:
            why = f"{one_line(error, 60)}{seems(self.path)}"
            raise InputError(f"{one_line(self.path)} is not a readable zip ({why}): give a folder or a zip") from None
        self._sizes = {info.filename: info.file_size for info in self._zip.infolist() if not info.is_dir()}
        facts = self.path.stat()
        return [f"zip {facts.st_size} {facts.st_mtime_ns}"]

    def _read_labels(self) -> dict[str, int | list]:
        """The labels of dataset.json in StyleGAN's layout; what cannot be understood becomes a row and no labels."""
        if "dataset.json" not in self._sizes:
            return {}
        try:
            pairs = json.loads(self.read("dataset.json"))["labels"] or []
            labels = {str(name).replace("\\", "/"): label for name, label in pairs}
            if not all(_is_label(label) for label in labels.values()):
                raise ValueError("a label is neither a class number nor a list of numbers")
        except (Unusable, ValueError, KeyError, TypeError) as error:
            self.rows.append(Row("dataset.json", f"labels cannot be read ({one_line(error, 60)})", "labels ignored", False))
            return {}
        return labels


def _is_label(label: object) -> bool:
    numbers = label if isinstance(label, list) else [label]
    kinds = (int, float) if isinstance(label, list) else (int,)
    return bool(numbers) and all(isinstance(n, kinds) and not isinstance(n, bool) for n in numbers)


def _is_candidate(name: str, fetched: bool) -> bool:
    parts = name.replace("\\", "/").split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1] in _METADATA:
        return False
    return not fetched or Path(name).suffix.lower() in PICTURE_SUFFIXES


# ------------------------------------------------------------------------------------------------ many, in parallel


@dataclass(frozen=True)
class Decoded:
    """One file after decoding: `value` is what `finish` made of the picture, or None where it is left out."""

    name: str
    value: Any
    row: Row | None
    size: tuple[int, int] = (0, 0)  # (width, height) of the picture, upright, before it was fitted


def decode_all(
    source: Source,
    finish: Callable[[Image.Image], T],
    *,
    size: tuple[int, int] | None,
    transform: str | None,
    expected: tuple[int, int] | None = None,
) -> Iterator[Decoded]:
    """Decode every file of `source` on all cores and yield the results in the order of `source.names`.

    Args:
        source: where the pictures are.
        finish: called in the worker thread with the fitted RGB picture; its result is `Decoded.value`.
        size: (width, height) wanted, or None for as they are.
        transform: as in `fit`.
        expected: with `size` None, the one (width, height) that is accepted.
    """

    def one(name: str) -> Decoded:
        try:
            image, notes = decode(source.read(name))
            if expected is not None and image.size != expected:
                others = f"{expected[0]}x{expected[1]}"
                raise Unusable(f"{image.width}x{image.height} where most are {others}")
            found = image.size
            image, more = fit(image, size, transform)
        except Unusable as error:
            return Decoded(name, None, Row(name, str(error), "left out", False))
        notes += more
        row = Row(name, "; ".join(n[0] for n in notes), "; ".join(n[1] for n in notes), True) if notes else None
        return Decoded(name, finish(image), row, found)

    return in_order(one, source.names)


def in_order(function: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`map` over threads (Pillow gives up the GIL while it decodes), in order, with a bounded number in flight."""
    workers = processors()
    chunk, waiting = [], deque()

    def run(chunk: list[T]) -> list[U]:
        return [function(item) for item in chunk]

    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                chunk.append(item)
                if len(chunk) == 4:  # a future costs as much as a small picture: share it
                    waiting.append(pool.submit(run, chunk))
                    chunk = []
                if len(waiting) > 2 * workers:
                    yield from waiting.popleft().result()
            if chunk:
                waiting.append(pool.submit(run, chunk))
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@contextlib.contextmanager
def no_bomb_warnings() -> Iterator[None]:
    """Silence Pillow's warning about very large pictures: `decode` refuses them, and the report says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def processors() -> int:
    """How many cores this process may use, at most 32."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(32, available)
