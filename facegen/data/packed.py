"""The data set in training: one uint8 tensor of all pictures, decoded once, and the order in which they are used.

`load_faces` reads any folder or zip; `pack` writes the zip (or folder) that StyleGAN's tools read and write too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import inspect
import io
import json
import os
import re
import stat
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from facegen.data.pictures import (
    TRANSFORMS,
    Row,
    Source,
    Unusable,
    decode_all,
    in_order,
    natural_size,
    no_bomb_warnings,
    table,
)
from facegen.files import InputError, cache_folder, replacing, replacing_folder, sha256_of

__all__ = [
    "Faces",
    "PackReport",
    "batch_indices",
    "content_hash",
    "load_faces",
    "mirror_flags",
    "pack",
    "parse_resolution",
]

CACHE_FORMAT = 1  # raise it when decoding changes, so that no older cache is taken for a new one
DRAWN_CACHE_PIXELS = 1 << 22  # from a thousand faces of 64 px on it is quicker to read drawn faces than to draw them
_HEADER = 128  # bytes of the .npy header, the same for every number of pictures


# -------------------------------------------------------------------------------------------------- the data in use


@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures ready for training.

    Attributes:
        images: uint8 [N, 3, H, W], in RAM, memory-mapped from the cache file, or on a device (see `to`).
        labels: int64 [N], the class numbers of dataset.json; None where there are none.
        name: "drawn", or the name of the folder or zip.
        content_hash: sha256 over the pixels and their shape: equal hashes are equal training sets.
        attributes, landmarks, identity: what is known of drawn faces (see `facegen.data.drawn`); None for pictures.
        report: what was wrong with single files, as rows for `facegen.data.pictures.table`.
        device: where `batch` delivers to; None for the device of `images`.
    """

    images: Tensor
    labels: Tensor | None
    name: str
    content_hash: str
    attributes: dict[str, Tensor] | None = None
    landmarks: Tensor | None = None
    identity: Tensor | None = None
    report: tuple[Row, ...] = field(default=(), repr=False)
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Faces:
        """The same faces for use on `device`: the pixels move there if they take at most half of its free memory.

        Where they do not fit they stay where they are, and `batch` moves each batch.
        """
        device = torch.device(device)
        size = self.images.numel()
        images = self.images
        if images.device.type != device.type and size <= _free_memory(device) // 2:
            images = images.to(device)
        return dataclasses.replace(self, images=images, device=device)

    def batch(self, indices: Tensor | Iterable[int], mirror: Tensor | None = None) -> Tensor:
        """Gather pictures, on the device that holds them, and normalise them for a network.

        Args:
            indices: integers [B], each in 0..N-1.
            mirror: bool [B]: which of the pictures to flip left to right; None for none.

        Returns:
            float32 [B, 3, H, W] in [-1, 1], `pixel / 127.5 - 1`.
        """
        indices = torch.as_tensor(indices, dtype=torch.int64)
        flipped = torch.as_tensor([] if mirror is None else mirror, dtype=torch.bool).nonzero()[:, 0].cpu()
        target = self.device or self.images.device
        if self.images.device.type != "cpu":
            pixels = self.images.index_select(0, indices.to(self.images.device))
            if mirror is not None:  # where, not index_copy_, which older PyTorch lacks on MPS
                chosen = torch.as_tensor(mirror, dtype=torch.bool).to(pixels.device)
                pixels = torch.where(chosen[:, None, None, None], pixels.flip(3), pixels)
        else:
            # NumPy works in this thread alone. torch would wake its pool for a millisecond of copying, which takes ten
            # times as long wherever another process keeps a core busy.
            gathered = self.images.numpy()[indices.cpu().numpy()]
            gathered[flipped.numpy()] = gathered[flipped.numpy()][..., ::-1]
            if target.type == "cpu":
                return torch.from_numpy(_normalised(gathered))
            pixels = torch.from_numpy(gathered)
        return pixels.to(target).float().div_(127.5).sub_(1)  # bytes travel, floats are made where they are used

    def loader(self, batch_size: int, *, seed: int = 0, mirror: bool = False, start: int = 0) -> Iterator[Tensor]:
        """Endless batches in the order of `batch_indices`, from step `start` on: `for real in faces.loader(64): ...`.

        Args:
            batch_size: pictures per batch, every batch full.
            seed: of the order and of the flips.
            mirror: flip every picture left to right with probability 1/2.
            start: the first step, so that a resumed run goes on where it was.
        """
        step = start
        while True:
            flags = mirror_flags(batch_size, step, seed) if mirror else None
            yield self.batch(batch_indices(len(self), batch_size, step, seed), flags)
            step += 1


def _normalised(pixels: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [-1, 1], to the bit what torch makes of `pixels / 127.5 - 1`."""
    values = pixels.astype(np.float32)
    values /= np.float32(127.5)
    values -= np.float32(1)
    return values


def to_pixels(pictures: Tensor) -> Tensor:
    """Back from what a network takes and makes: floats [N, 3, H, W] in [-1, 1] -> uint8 on the CPU; beyond is cut off."""
    return ((pictures.float() + 1) * 127.5).round().clamp(0, 255).to("cpu", torch.uint8)


def _free_memory(device: torch.device) -> int:
    """Free bytes on a device, as far as it can tell; the CPU always counts as full, for the pixels are there."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return _physical_memory() if device.type == "cpu" else 0


def batch_indices(n: int, batch_size: int, step: int, seed: int) -> Tensor:
    """Which pictures make up the batch of one step: a pure function, so a resumed run needs to know only the step.

    The order is a new permutation of all pictures for every epoch; batches run over the borders between epochs, so
    every picture is used once per epoch whatever the batch size, also when it is larger than `n`.

    Args:
        n: number of pictures, at least 1.
        batch_size: at least 1.
        step: 0, 1, 2, ...
        seed: >= 0; other seeds give unrelated orders.

    Returns:
        int64 [batch_size], values in 0..n-1.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if n < 1 or batch_size < 1 or step < 0 or seed < 0:
        raise ValueError(f"no batch for n={n}, batch_size={batch_size}, step={step}, seed={seed}")
    place, end = step * batch_size, (step + 1) * batch_size
    parts = []
    while place < end:
        epoch, offset = divmod(place, n)
        parts.append(_permutation(n, seed, epoch)[offset : offset + end - place])
        place += len(parts[-1])
    return torch.from_numpy(np.concatenate(parts))


@functools.lru_cache(maxsize=8)  # saves shuffling all for every batch; what it returns does not depend on it
def _permutation(n: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([0, seed, epoch]).permutation(n)


def mirror_flags(batch_size: int, step: int, seed: int) -> Tensor:
    """Which pictures of a step's batch are flipped: bool [batch_size], each true with probability 1/2.

    A pure function of its arguments, like `batch_indices`, and independent of it.
    """
    return torch.from_numpy(np.random.default_rng([1, seed, step]).random(batch_size) < 0.5)


# ------------------------------------------------------------------------------------------------------ loading


def load_faces(
    source: str | Path = "drawn",
    resolution: int = 64,
    *,
    max_images: int | None = None,
    transform: str | None = "center-crop",
    seed: int = 0,
    cache: bool = True,
    drawn_images: int = 5000,
    ram_fraction: float = 0.5,
) -> Faces:
    """Load a data set as one uint8 tensor.

    Pictures are decoded once, on all cores, and kept as `.facegen-cache/NAME-<key>.npy` beside the source; in the
    user's cache folder (XDG_CACHE_HOME or ~/.cache, in facegen/) where the source's place is not writable; and only
    in memory, with a warning, where neither is. The key covers the settings and the name, size and time of every
    file, and the pixels are checked against their hash, so a stale or damaged cache is never used but made again.
    Drawn faces, where they are many, are kept in the user's cache folder.

    Args:
        source: "drawn" or "drawn:N" for drawn faces; else a folder (nested is fine) or a zip of pictures.
        resolution: side of the squares, in pixels, 4 to 4096.
        max_images: take only the first so many usable pictures, in the order of their paths.
        transform: "center-crop" takes the largest centred square; None stretches the whole picture.
        seed: of the drawn faces.
        cache: False decodes anew and writes nothing.
        drawn_images: how many faces "drawn" means.
        ram_fraction: a cache larger than this part of the computer's memory is memory-mapped instead of read.

    Raises:
        InputError: if there is no such source or no usable picture in it.
    """
    if not 4 <= resolution <= 4096:
        raise InputError(f"resolution {resolution} is out of range: choose 4 to 4096 pixels")
    if transform not in (None, "center-crop"):
        raise InputError(f"transform {transform!r} is unknown here: use 'center-crop' or None")
    if max_images is not None and max_images < 1:
        raise InputError(f"max_images is {max_images}: give at least 1")
    drawn_count = re.fullmatch(r"drawn(?::(\d+))?", str(source))
    if drawn_count:
        count = int(drawn_count[1]) if drawn_count[1] else max_images or drawn_images
        return _drawn_faces(min(count, max_images or count), resolution, seed, cache)
    with Source(source) as opened:
        return _picture_faces(opened, resolution, transform, max_images, cache, ram_fraction)


def _drawn_faces(count: int, resolution: int, seed: int, cache: bool) -> Faces:
    """Drawn faces, from the user's cache folder where they are many enough for drawing to take seconds."""
    from facegen.data.drawn import drawn

    if count < 1:
        raise InputError("drawn:0 has no faces: ask for at least 1")
    # The drawing code is part of the name: other code, other faces.
    settings = f"drawn-{count}-{resolution}px-seed{seed}"
    path = _cache_folders(Path("drawn"))[1] / f"{settings}-{sha256_of(inspect.getfile(drawn))[:16]}.npz"
    cache = cache and count * resolution**2 >= DRAWN_CACHE_PIXELS
    if cache and (faces := _read_drawn(path)):
        return faces
    piece = max(1, (1 << 21) // resolution**2)  # face i is the same in any piece; pieces make the bar move
    parts = [
        drawn(min(piece, count - start), size=resolution, seed=seed, start=start)
        for start in tqdm(range(0, count, piece), "Drawing", unit_scale=piece, unit="img", disable=None)
    ]
    images, landmarks, identity = (torch.cat([getattr(p, k) for p in parts]) for k in ("images", "landmarks", "identity"))
    attributes = {name: torch.cat([part.attributes[name] for part in parts]) for name in parts[0].attributes}
    faces = Faces(images, None, "drawn", content_hash(images), attributes, landmarks, identity)
    if cache and _writable(path.parent):
        with contextlib.suppress(OSError):  # the faces are there; drawing them again next time is the worst of it
            _write_drawn(path, faces)
            for old in path.parent.glob(f"{settings}-*.npz"):
                if old != path:
                    old.unlink()
    return faces


def _write_drawn(path: Path, faces: Faces) -> None:
    arrays = {"images": faces.images, "landmarks": faces.landmarks, "identity": faces.identity}
    arrays |= {f"attribute:{name}": values for name, values in faces.attributes.items()}
    with replacing(path) as temporary:
        np.savez(temporary, **{name: values.numpy() for name, values in arrays.items()})


def _read_drawn(path: Path) -> Faces | None:
    """The faces of a cache file, or None where there is none or it is damaged (each array has a checksum in it)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        images, landmarks, identity = (arrays.pop(name) for name in ("images", "landmarks", "identity"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    attributes = {name.removeprefix("attribute:"): values for name, values in arrays.items()}
    return Faces(images, None, "drawn", content_hash(images), attributes, landmarks, identity)


def content_hash(images: Tensor | np.ndarray) -> str:
    """sha256 over pixels uint8 [N, 3, H, W] and their shape, as 64 hexadecimal digits."""
    digest = _PixelHash(tuple(images.shape[1:]))
    for start in range(0, len(images), 1024):
        digest.update(np.ascontiguousarray(images[start : start + 1024]))
    return digest.hexdigest()


class _PixelHash:
    """The content hash, built up in pieces; the number of pictures follows from the length of what is hashed."""

    def __init__(self, shape: tuple[int, ...]):
        self._digest = hashlib.sha256(f"uint8 {shape} ".encode())

    def update(self, pixels: np.ndarray) -> None:
        self._digest.update(pixels.data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _picture_faces(
    source: Source, resolution: int, transform: str | None, max_images: int | None, cache: bool, ram_fraction: float
) -> Faces:
    """Faces from the cache, from a new cache, or from memory, in this order."""
    settings = {
        "format": CACHE_FORMAT,
        "source": str(source.path.resolve()),
        "resolution": resolution,
        "transform": transform,
        "max_images": max_images,
    }
    reader = functools.partial(_decode_to, source=source, size=resolution, transform=transform, max_images=max_images)
    files = [_CacheFile(folder, source, settings) for folder in _cache_folders(source.path)] if cache else []
    for file in files:
        if faces := file.load(ram_fraction):
            return faces
    for file in files:
        try:
            if _writable(file.pixels.parent):
                file.write(reader)
                return file.load(ram_fraction) or _from_memory(source, reader)
        except OSError:  # a full disk, a quota, a folder that lied about being writable: the next place may do
            continue
    if cache:
        places = " nor ".join(str(file.pixels.parent) for file in files)
        warnings.warn(f"{source.path}: decoded into memory only, for neither {places} can be written", stacklevel=3)
    return _from_memory(source, reader)


def _decode_to(
    file: BinaryIO, *, source: Source, size: int, transform: str | None, max_images: int | None
) -> dict[str, object]:
    """Decode the usable pictures and append their pixels to `file`; returns what there is to know about them.

    Raises:
        InputError: if no picture was usable.
    """
    digest = _PixelHash((3, size, size))
    rows, labels, count = list(source.rows), [], 0
    results = decode_all(source, _channels_first, size=(size, size), transform=transform)
    with no_bomb_warnings(), tqdm(total=len(source.names), desc="Decoding", unit="img", disable=None) as bar:
        for result in results:
            bar.update()
            if result.row:
                rows.append(result.row)
            if result.value is None:
                continue
            file.write(result.value.data)
            digest.update(result.value)
            labels.append(source.labels.get(result.name))
            count += 1
            if count == max_images:
                results.close()
                break
    if not count:
        raise nothing_usable(source, rows)
    classes = labels if all(isinstance(label, int) for label in labels) else None
    if source.labels and classes is None:
        rows.append(Row("dataset.json", "labels that are no class numbers, or not for every picture", "labels ignored", False))
    return {"shape": [count, 3, size, size], "hash": digest.hexdigest(), "labels": classes, "rows": rows}


def _channels_first(image: Image.Image) -> np.ndarray:
    """uint8 [3, H, W]"""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def nothing_usable(source: Source, rows: list[Row]) -> InputError:
    """The one line for a source without a single usable picture."""
    bad = [row for row in rows if not row.used]
    first = f"; {bad[0].file}: {bad[0].what}" if bad else ""
    return InputError(
        f"no usable picture among the {len(source.names)} files of {source.path}{first}: "
        "give a folder or zip with JPEG, PNG or WebP pictures"
    )


def _from_memory(source: Source, reader) -> Faces:
    buffer = io.BytesIO()
    facts = reader(buffer)
    pixels = np.frombuffer(buffer.getbuffer(), np.uint8).reshape(facts["shape"])
    return _faces_of(source.name, pixels, facts)


def _faces_of(name: str, pixels: np.ndarray, facts: dict) -> Faces:
    labels = facts["labels"]
    return Faces(
        images=torch.from_numpy(pixels),
        labels=None if labels is None else torch.tensor(labels, dtype=torch.int64),
        name=name,
        content_hash=facts["hash"],
        report=tuple(facts["rows"]),
    )


# ------------------------------------------------------------------------------------------------------ packing


@dataclass(frozen=True)
class PackReport:
    """What `pack` did.

    Attributes:
        dest: the zip or folder written.
        count: pictures in it.
        seen: files looked at.
        size: (width, height) of every picture.
        labelled: whether dataset.json carries labels.
        content_hash: equal to that of `load_faces(dest, resolution=size[0])`, for squares.
        rows: every file that was left out or had to be converted.
        notes: what else should be known, one line each.
    """

    dest: Path
    count: int
    seen: int
    size: tuple[int, int]
    labelled: bool
    content_hash: str
    rows: tuple[Row, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def table(self, lines: int = 60) -> str:
        """The rows as text, those that were left out first (see `facegen.data.pictures.table`)."""
        return table(self.rows, lines)

    def __str__(self) -> str:
        left_out = sum(not row.used for row in self.rows)
        converted = len(self.rows) - left_out
        summary = (
            f"{self.dest}: {self.count:,} pictures of {self.size[0]}x{self.size[1]}"
            f"{' with labels' if self.labelled else ''}, {left_out:,} files left out, {converted:,} converted"
        )
        return "\n".join([summary, *self.notes, *([self.table()] if self.rows else [])])


def pack(
    source: str | Path,
    dest: str | Path,
    *,
    resolution: str | int | tuple[int, int] | None = None,
    transform: str | None = None,
    max_images: int | None = None,
) -> PackReport:
    """Write pictures as a data set that this package and StyleGAN's tools open.

    The layout: PNG entries `00000/img00000000.png`, a thousand per folder, numbered in the order of the source's
    paths, and `dataset.json` with {"labels": [[entry, label], ...]} or {"labels": null}. A zip is not compressed, and
    the same pictures always give the same bytes. Labels are carried over from the source's own dataset.json.

    Args:
        source: a folder (nested is fine) or a zip of pictures.
        dest: a name ending in .zip, which is replaced if it exists; else a folder that is new or empty.
        resolution: "64x64", 64 or (64, 64): width and height of every picture, made with Lanczos. None keeps the
            pictures as they are: those are left out that differ from the most common size, which must be a square
            with a power of two as its side, as StyleGAN wants it.
        transform: None stretches to the resolution; "center-crop" takes the largest centred box of its shape first;
            "center-crop-wide" does so too and puts it on a black square as wide as the resolution.
        max_images: stop after so many usable pictures.

    Raises:
        InputError: if an argument makes no sense, or no picture is usable; nothing is written then.
    """
    size, transform = parse_resolution(resolution), _checked_transform(transform, resolution)
    if max_images is not None and max_images < 1:
        raise InputError(f"max_images is {max_images}: give at least 1")
    source, dest = Path(source).expanduser(), Path(dest).expanduser()
    if dest.exists() and source.exists() and dest.samefile(source):
        raise InputError(f"source and dest are both {dest}: choose another dest")
    if dest.suffix.lower() == ".zip" and dest.is_dir():
        raise InputError(f"{dest} is a folder: choose another name for the zip")
    with Source(source) as opened, no_bomb_warnings():
        expected = _common_size(opened) if size is None else None
        with _Writer(dest) as writer:
            return _pack_into(writer, opened, size, expected, transform, max_images)


def _pack_into(
    writer: _Writer,
    source: Source,
    size: tuple[int, int] | None,
    expected: tuple[int, int] | None,
    transform: str | None,
    max_images: int | None,
) -> PackReport:
    rows, labels, count, seen, digest, shape = list(source.rows), [], 0, 0, None, (0, 0)
    results = decode_all(source, _for_packing, size=size, transform=transform, expected=expected)
    with tqdm(total=len(source.names), desc="Packing", unit="img", disable=None) as bar:
        for result in results:
            bar.update()
            seen += 1
            if result.row:
                rows.append(result.row)
            if result.value is None:
                continue
            pixels, png = result.value
            digest = digest or _PixelHash(pixels.shape)
            digest.update(pixels)
            shape = (pixels.shape[2], pixels.shape[1])
            entry = f"{count // 1000:05d}/img{count:08d}.png"
            writer.add(entry, png)
            labels.append([entry, source.labels.get(result.name)])
            count += 1
            if count == max_images:
                results.close()
                break
    if not count:
        raise nothing_usable(source, rows)
    missing = sum(label is None for _, label in labels)
    writer.add("dataset.json", json.dumps({"labels": None if missing else labels}).encode())
    notes = []
    if 0 < missing < count:
        notes.append(f"{missing:,} of {count:,} pictures have no label in the source's dataset.json: no labels written")
    if shape[0] != shape[1] or shape[0] & (shape[0] - 1):
        notes.append(f"{shape[0]}x{shape[1]} is not a square with a power of two as its side: StyleGAN will refuse it")
    return PackReport(writer.dest, count, seen, shape, not missing, digest.hexdigest(), tuple(rows), tuple(notes))


def parse_resolution(resolution: str | int | tuple[int, int] | None) -> tuple[int, int] | None:
    """(width, height) from "64x64", "64", 64 or (64, 64); None stays None.

    Raises:
        InputError: for anything else, and for sides below 4 or above 8192.
    """
    if resolution is None:
        return None
    text = "x".join(map(str, resolution)) if isinstance(resolution, tuple | list) else str(resolution)
    match = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not all(4 <= side <= 8192 for side in size):
        raise InputError(f"resolution {text!r} cannot be used: give WIDTHxHEIGHT, as in 64x64, with sides of 4 to 8192")
    return size


def _checked_transform(transform: str | None, resolution: object) -> str | None:
    if transform not in TRANSFORMS:
        known = ", ".join(name for name in TRANSFORMS if name)
        raise InputError(f"transform {transform!r} is unknown: use one of {known}, or none")
    size = parse_resolution(resolution)
    if transform is not None and size is None:
        raise InputError(f"transform {transform} needs a resolution: add --resolution=64x64, or what you want")
    if transform == "center-crop-wide" and size[0] < size[1]:
        raise InputError(f"transform center-crop-wide needs a width of at least the height, not {size[0]}x{size[1]}")
    return transform


def common_size(source: str | Path) -> int:
    """The side in pixels that most pictures of a folder or zip have.

    Raises:
        InputError: no readable picture, or a size that is no square with a power of two as its side.
    """
    with Source(source) as opened:
        return _common_size(opened)[0]


def _common_size(source: Source) -> tuple[int, int]:
    """The most common (width, height), from the headers alone.

    Raises:
        InputError: if no file has a readable header, or the most common size is none that StyleGAN takes.
    """

    def measure(name: str) -> tuple[int, int] | Row:
        try:
            return natural_size(source.read(name))
        except Unusable as error:
            return Row(name, str(error), "left out", False)

    found = list(tqdm(in_order(measure, source.names), "Measuring", len(source.names), unit="img", disable=None))
    sizes = Counter(size for size in found if isinstance(size, tuple))
    if not sizes:
        raise nothing_usable(source, found)
    (width, height), count = sizes.most_common(1)[0]
    if width != height or width & (width - 1):
        raise InputError(
            f"no usable picture in {source.path}: {count:,} of {len(found):,} files are {width}x{height}, and without "
            "a resolution they must be squares with a power of two as their side: add --resolution=64x64 "
            "--transform=center-crop"
        )
    return width, height


def _for_packing(image: Image.Image) -> tuple[np.ndarray, bytes]:
    """The pixels, uint8 [3, H, W], and the same as a PNG file without compression or metadata."""
    buffer = io.BytesIO()
    pixels = np.asarray(image)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), buffer.getvalue()


class _Writer:
    """Entries into a zip or a folder, which appears at `dest` when the block ends well, and not at all otherwise."""

    def __init__(self, dest: Path):
        self.dest = dest
        self._zip: zipfile.ZipFile | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> _Writer:
        if self.dest.suffix.lower() == ".zip":
            self._place = self._stack.enter_context(replacing(self.dest))
            self._zip = self._stack.enter_context(zipfile.ZipFile(self._place, "w", zipfile.ZIP_STORED))
        else:
            self._place = self._stack.enter_context(replacing_folder(self.dest))
        return self

    def __exit__(self, *error) -> None:
        self._stack.__exit__(*error)

    def add(self, entry: str, data: bytes) -> None:
        if self._zip is None:
            path = self._place / entry
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            return
        info = zipfile.ZipInfo(entry, date_time=(1980, 1, 1, 0, 0, 0))  # no clock, no machine: the same bytes anywhere
        info.create_system = 3
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, data)


# ------------------------------------------------------------------------------------------------------ the cache


def _cache_folders(path: Path) -> list[Path]:
    """Where a cache may lie, the better place first."""
    return [path.resolve().parent / ".facegen-cache", cache_folder("data")]


def _writable(folder: Path) -> bool:
    """Whether a cache may be put into `folder`, which need not exist yet.

    A place whose mode forbids everyone to write is respected even where the system would let us, as it does for root.
    """
    while not folder.exists():
        if folder.parent == folder:
            return False
        folder = folder.parent
    anyone = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
    return folder.is_dir() and os.access(folder, os.W_OK) and bool(folder.stat().st_mode & anyone)


class _CacheFile:
    """One cached data set: the pixels as .npy, and beside them a .json with settings, hash, labels and report."""

    def __init__(self, folder: Path, source: Source, settings: dict):
        key = hashlib.sha256(json.dumps([settings, source.fingerprint]).encode()).hexdigest()[:16]
        self.name, self.settings = source.name, settings
        self.pixels = folder / f"{source.name}-{key}.npy"
        self.facts = self.pixels.with_suffix(".json")

    def load(self, ram_fraction: float) -> Faces | None:
        """The faces, or None where there is no cache or it is not what was written."""
        try:
            facts = json.loads(self.facts.read_text("utf-8"))
            facts["rows"] = [Row(*row) for row in facts["rows"]]
            shape = tuple(facts["shape"])
            mapped = self.pixels.stat().st_size > ram_fraction * _physical_memory()
            # Copy on write ("c"), not "r": torch has no read-only tensors, and a slip must neither crash nor reach the file.
            pixels = np.load(self.pixels, mmap_mode="c" if mapped else None, allow_pickle=False)
            if pixels.shape != shape or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
                return None
            if not mapped and content_hash(pixels) != facts["hash"]:  # mapped: would read it all; the size must do
                return None
            return _faces_of(self.name, pixels, facts)
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    def write(self, reader) -> None:
        """Decode straight into the file, so that a data set larger than the memory works too.

        Raises:
            OSError: if the folder cannot be written or the disk is full.
        """
        try:
            with replacing(self.pixels) as temporary, open(temporary, "wb") as file:
                file.write(bytes(_HEADER))
                facts = reader(file)
                file.seek(0)
                layout = {"descr": "|u1", "fortran_order": False, "shape": tuple(facts["shape"])}
                np.lib.format.write_array_header_1_0(file, layout)
                if file.tell() != _HEADER:
                    raise RuntimeError(f"the .npy header takes {file.tell()} bytes, not {_HEADER}")
        except BaseException:
            with contextlib.suppress(OSError):  # other caches in it: it stays
                self.pixels.parent.rmdir()
            raise
        facts = facts | {"settings": self.settings, "rows": [dataclasses.astuple(row) for row in facts["rows"]]}
        with replacing(self.facts) as temporary:
            temporary.write_text(json.dumps(facts), "utf-8")
        self._sweep()

    def _sweep(self) -> None:
        """Delete caches of the same source and settings whose files have changed since, and what killed runs left."""
        folder = self.pixels.parent
        for facts in folder.glob(f"{_glob_literal(self.name)}-*.json"):
            try:
                same = json.loads(facts.read_text("utf-8"))["settings"] == self.settings
                if same and facts != self.facts:
                    facts.unlink()
                    facts.with_suffix(".npy").unlink()
            except (OSError, ValueError, KeyError, TypeError):
                continue
        for stray in folder.glob(f".{_glob_literal(self.name)}-*.part*"):
            try:
                if time.time() - stray.stat().st_mtime > 86400:  # younger ones may be another process at work
                    stray.unlink()
            except OSError:
                continue


def _glob_literal(name: str) -> str:
    return re.sub(r"([\[\]*?])", r"[\1]", name)


def _physical_memory() -> int:
    """Bytes of RAM, or of what a container may use of it; 8 GiB where the system does not say."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        total = 8 << 30
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no cgroup, or "max"
        return total
