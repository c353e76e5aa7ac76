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
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from facegen.data.fetch import digest
from facegen.data.pictures import (
    TRANSFORMS,
    Decoded,
    Row,
    Source,
    Unusable,
    decode_all,
    in_order,
    natural_size,
    no_bomb_warnings,
    say,
    table,
)
from facegen.files import InputError, cache_folder, one_line, replacing, replacing_folder, write_text

CACHE_FORMAT = 2  # raise it when decoding changes, so that no older cache is taken for a new one
CACHE_BYTES, CACHE_DAYS = 16 << 30, 60  # what the cache keeps: the sets that were used last
MAPPED_FROM = 1 << 30  # a larger set is memory-mapped: it need not fit into the computer's memory
DRAWN = 5000  # faces where no number is given
DRAWN_CACHE_PIXELS = 1 << 22  # from a thousand faces of 64 px on it is quicker to read drawn faces than to draw them
_HEADER = 128  # bytes of the .npy header, the same for every number of pictures


# -------------------------------------------------------------------------------------------------- the data in use


@dataclass(frozen=True, eq=False)
class Faces:
    """Pictures ready for training. Of drawn faces more is known (see `facegen.data.drawn`); None for other pictures."""

    images: Tensor  # uint8 [N, 3, H, W], in RAM, memory-mapped from the cache, or on a device (see `to`)
    labels: Tensor | None  # int64 [N], the class numbers of dataset.json; None where there are none
    name: str  # "drawn", or the name of the folder or zip
    content_hash: str  # sha256 over the pixels and their shape: equal hashes are equal training sets
    attributes: dict[str, Tensor] | None = None
    landmarks: Tensor | None = None
    identity: Tensor | None = None
    report: tuple[Row, ...] = field(default=(), repr=False)  # what was wrong with single files, for `pictures.table`
    device: torch.device | None = None  # where `batch` delivers to; None for the device of `images`

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device | str) -> Faces:
        """The same faces for use on `device`: the pixels move there if they take at most half of its free memory.

        Where they do not fit they stay where they are, and `batch` moves each batch.
        """
        device = torch.device(device)
        size = self.images.numel()
        images = self.images
        if images.device.type != device.type and (device.type == "cpu" or size <= _free_memory(device) // 2):
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
    """Free bytes on a device, as far as it can tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 0


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


def drawn_count(source: str | Path, default: int, kind: str = "drawn") -> int | None:
    """How many faces "drawn:N" asks for: N, `default` for plain "drawn", None where `source` is a folder or a file.
    """
    name, colon, number = str(source).partition(":")
    if name != kind:
        return None
    if colon and not (number.isdecimal() and int(number)):
        raise InputError(f"{one_line(source)}: give {kind}:N with the number of faces, at least 1, such as {kind}:1000")
    return int(number) if colon else default


def load_faces(
    source: str | Path = "drawn",
    resolution: int = 64,
    *,
    max_images: int | None = None,
    transform: str | None = "center-crop",
    seed: int = 0,
    cache: bool = True,
) -> Faces:
    """Load a data set as one uint8 tensor. Pictures of any size and shape are brought to `resolution`, which is said.

    Pictures are decoded once, on all cores, and kept in the cache (`facegen.files.cache_folder`); so are drawn faces where
    they are many. The cache's key covers the settings and the name, size and time of every file, and the pixels are
    checked against their hash, so a stale or damaged cache is never used but made again. Where the cache cannot be
    written, a warning says so, and the pictures are decoded every time.

    Args:
        source: "drawn:N" for N drawn faces ("drawn" has 5000); else a folder (nested is fine) or a zip of pictures.
        resolution: side of the squares, in pixels, 4 to 4096.
        max_images: take only the first so many usable pictures, in the order of their paths.
        transform: "center-crop" takes the largest centred square; None stretches the whole picture.
        seed: of the drawn faces.
        cache: False decodes anew and writes nothing.

    Raises:
        InputError: if there is no such source or no usable picture in it.
    """
    if not 4 <= resolution <= 4096:
        raise InputError(f"resolution {resolution} is out of range: choose 4 to 4096 pixels")
    if transform not in (None, "center-crop"):
        raise InputError(f"transform {transform!r} is unknown here: use 'center-crop' or None")
    if max_images is not None and max_images < 1:
        raise InputError(f"max_images is {max_images}: give at least 1")
    count = drawn_count(source, max_images or DRAWN)
    if count is not None:
        return _drawn_faces(min(count, max_images or count), resolution, seed, cache)
    with Source(source) as opened:
        make = functools.partial(_decode_to, source=opened, size=resolution, transform=transform, max_images=max_images)
        settings = [str(opened.path.resolve()), opened.fingerprint, resolution, transform, max_images]
        pixels, facts = _made(opened.name, settings if cache else None, make)
    if facts["fitted"]:
        say(f"{one_line(opened.path)}: {facts['fitted']}")
    labels, rows = facts["labels"], tuple(Row(*row) for row in facts["rows"])
    if rows:  # which files were left out or converted
        say(table(rows))
    return Faces(
        images=torch.from_numpy(pixels),
        labels=None if labels is None else torch.tensor(labels, dtype=torch.int64),
        name=opened.name,
        content_hash=facts["hash"],
        report=rows,
    )


def _drawn_faces(count: int, size: int, seed: int, cache: bool) -> Faces:
    from facegen.data.drawn import drawn

    key = None
    if cache and count * size**2 >= DRAWN_CACHE_PIXELS:
        key = [count, size, seed, digest(inspect.getfile(drawn))]  # other drawing code, other faces
    pixels, facts = _made("drawn", key, functools.partial(_draw_to, count=count, size=size, seed=seed))
    known = {name: torch.tensor(values, dtype=getattr(torch, kind)) for name, (kind, values) in facts["known"].items()}
    landmarks, identity = known.pop("landmarks"), known.pop("identity")
    return Faces(torch.from_numpy(pixels), None, "drawn", facts["hash"], known, landmarks, identity)


def _draw_to(file: BinaryIO, *, count: int, size: int, seed: int) -> dict[str, Any]:
    """Draw faces and append their pixels to `file`; returns what is known of them."""
    from facegen.data.drawn import drawn

    pixel_hash, known = _pixel_hash((3, size, size)), {}
    piece = max(1, (1 << 21) // size**2)  # face i is the same in any piece; pieces make the bar move
    for start in tqdm(range(0, count, piece), "Drawing", unit_scale=piece, unit="img", disable=None):
        faces = drawn(min(piece, count - start), size=size, seed=seed, start=start)
        pixels = np.ascontiguousarray(faces.images)
        file.write(pixels.data)
        pixel_hash.update(pixels)
        for name, values in {"landmarks": faces.landmarks, "identity": faces.identity, **faces.attributes}.items():
            known.setdefault(name, (str(values.dtype).removeprefix("torch."), []))[1].extend(values.tolist())
    return {"shape": [count, 3, size, size], "hash": pixel_hash.hexdigest(), "known": known}


def _decode_to(file: BinaryIO, *, source: Source, size: int, transform: str | None, max_images: int | None) -> dict[str, Any]:
    """Decode the usable pictures and append their pixels to `file`; returns what there is to know about them."""
    pixel_hash, rows, labels, sizes = _pixel_hash((3, size, size)), list(source.rows), [], Counter()
    for found in _usable(source, _channels_first, "Decoding", rows, max_images, size=(size, size), transform=transform):
        file.write(found.value.data)
        pixel_hash.update(found.value)
        labels.append(source.labels.get(found.name))
        sizes[found.size] += 1
    classes = labels if all(isinstance(label, int) for label in labels) else None
    if source.labels and classes is None:
        rows.append(Row("dataset.json", "labels that are no class numbers, or not for every picture", "labels ignored", False))
    return {
        "shape": [len(labels), 3, size, size],
        "hash": pixel_hash.hexdigest(),
        "labels": classes,
        "rows": [dataclasses.astuple(row) for row in rows],
        "fitted": fitted(sizes, size) if transform else "",
    }


def fitted(sizes: Counter[tuple[int, int]], side: int) -> str:
    """What was done to pictures that are no squares of this side, in one line; "" where all are.

    Args:
        sizes: (width, height) -> number of pictures.
    """
    others = {size: count for size, count in sizes.items() if size != (side, side)}
    if not others:
        return ""
    number = sum(others.values())
    what = "{}x{}".format(*next(iter(others))) if len(others) == 1 else f"{len(others):,} sizes"
    crop = "" if all(width == height for width, height in others) else "cropped to the middle square and "
    pictures, were = ("picture", "was") if number == 1 else ("pictures", "were")
    return f"{number:,} {pictures} of {what} {were} {crop}brought to {side}x{side}"


def _usable(
    source: Source, finish: Callable[[Image.Image], Any], doing: str, rows: list[Row], most: int | None, **how: Any
) -> Iterator[Decoded]:
    """The usable pictures, at most so many; what was wrong with single files goes to `rows`. Refuses a source without any."""
    count, results = 0, decode_all(source, finish, **how)
    bar = tqdm(total=len(source.names), desc=doing, unit="img", disable=None)
    with no_bomb_warnings(), bar, contextlib.closing(results):
        for found in results:
            bar.update()
            rows += [found.row] if found.row else []
            if found.value is not None:
                count += 1
                yield found
                if count == most:
                    return
    if not count:
        raise nothing_usable(source, rows)


def _channels_first(image: Image.Image) -> np.ndarray:
    """uint8 [3, H, W]"""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def nothing_usable(source: Source, rows: list[Row]) -> InputError:
    """The one line for a source without a single usable picture."""
    bad = [row for row in rows if not row.used]
    first = f"; {one_line(bad[0].file)}: {bad[0].what}" if bad else ""
    return InputError(
        f"no usable picture among the {len(source.names)} files of {one_line(source.path)}{first}: "
        "give a folder or zip with JPEG, PNG or WebP pictures"
    )


def content_hash(images: Tensor | np.ndarray) -> str:
    """sha256 over pixels uint8 [N, 3, H, W] and their shape, as 64 hexadecimal digits."""
    pixel_hash = _pixel_hash(images.shape[1:])
    for start in range(0, len(images), 1024):
        pixel_hash.update(np.ascontiguousarray(images[start : start + 1024]))
    return pixel_hash.hexdigest()


def _pixel_hash(shape: tuple[int, ...]):
    """The content hash before the first pixel; the number of pictures follows from the length of what is hashed."""
    return hashlib.sha256(f"uint8 {tuple(shape)} ".encode())


# ------------------------------------------------------------------------------------------------------ the cache

Made = tuple[np.ndarray, dict[str, Any]]  # pixels uint8 [N, 3, H, W], and what there is to know about them


def _made(name: str, key: list | None, make: Callable[[BinaryIO], dict[str, Any]]) -> Made:
    """What `make` writes into a file and says about it: from the cache, or made now and kept there where that is possible.

    Args:
        key: everything that the pixels depend on; None leaves the cache alone.
        make: appends the pixels to a file and returns the facts, with "shape" and "hash" among them.
    """
    if key is not None:
        mark = hashlib.sha256(json.dumps([CACHE_FORMAT, *key]).encode()).hexdigest()[:16]
        path = cache_folder("data") / f"{name[:80]}-{mark}.npy"
        try:
            if (found := _read(path)) is None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with FileLock(path.with_suffix(".lock")):  # of two processes that want the same one makes it, the other waits
                    if (found := _read(path)) is None:
                        _write(path, make)
                        found = _read(path)
            if found is not None:
                return found
        except OSError as error:  # a full disk, a quota, a folder that lets nobody write: the job can do without
            reason = getattr(error, "strerror", None) or error
            warnings.warn(f"{name} is not kept in {path.parent} ({one_line(reason)}): made again next time", stacklevel=3)
    buffer = io.BytesIO()
    facts = make(buffer)
    return np.frombuffer(buffer.getbuffer(), np.uint8).reshape(facts["shape"]), facts


def _read(path: Path) -> Made | None:
    """What lies in the cache; None where there is nothing, or not what was written."""
    try:
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        mapped = path.stat().st_size >= MAPPED_FROM
        # Copy on write ("c"), not "r": torch has no read-only tensors, and a slip must neither crash nor reach the file.
        pixels = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        if pixels.shape != tuple(facts["shape"]) or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
            return None
        if not mapped and content_hash(pixels) != facts["hash"]:  # mapped: would read it all; the size must do
            return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now: `_sweep` goes by it
    return pixels, facts


def _write(path: Path, make: Callable[[BinaryIO], dict[str, Any]]) -> None:
    """Make the pixels straight into the file, so that a data set larger than the memory works too."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(bytes(_HEADER))
        facts = make(file)
        file.seek(0)
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": tuple(facts["shape"])})
        if file.tell() != _HEADER:
            raise RuntimeError(f"the .npy header takes {file.tell()} bytes, not {_HEADER}")
    write_text(path.with_suffix(".json"), json.dumps(facts))
    _sweep(path)


def _sweep(new: Path) -> None:
    """Delete what was used longest ago where the cache is large or old; what killed processes left goes with it."""
    with contextlib.suppress(OSError):  # another process sweeps too, or uses it on a system that keeps used files
        files = [(file.stat().st_mtime, file.stat().st_size, file) for file in new.parent.glob("*.npy")]
        total = 0
        for used, size, file in sorted(files, reverse=True):
            total += size
            if file != new and (total > CACHE_BYTES or used < time.time() - CACHE_DAYS * 86400):
                for suffix in (".npy", ".json", ".lock"):
                    file.with_suffix(suffix).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------ packing


@dataclass(frozen=True)
class PackReport:
    """What `pack` did."""

    dest: Path  # the zip or folder written
    count: int  # pictures in it
    size: tuple[int, int]  # (width, height) of every picture
    labelled: bool  # whether dataset.json carries labels
    content_hash: str  # equal to that of `load_faces(dest, resolution=size[0])`, for squares
    rows: tuple[Row, ...] = field(repr=False)  # every file that was left out or had to be converted
    notes: tuple[str, ...] = ()  # what else should be known, one line each

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
    with Source(source) as opened:
        expected = _square_of_most(opened) if size is None else None
        rows, labels, pixel_hash, shape = list(opened.rows), [], None, (0, 0)
        how = {"size": size, "transform": transform, "expected": expected}
        with _writing(dest) as add:
            for found in _usable(opened, _for_packing, "Packing", rows, max_images, **how):
                pixels, png = found.value
                pixel_hash, shape = pixel_hash or _pixel_hash(pixels.shape), (pixels.shape[2], pixels.shape[1])
                pixel_hash.update(pixels)
                entry = f"{len(labels) // 1000:05d}/img{len(labels):08d}.png"
                add(entry, png)
                labels.append([entry, opened.labels.get(found.name)])
            missing = sum(label is None for _, label in labels)
            add("dataset.json", json.dumps({"labels": None if missing else labels}).encode())
    notes = []
    if 0 < missing < len(labels):
        notes.append(f"{missing:,} of {len(labels):,} pictures have no label in the source's dataset.json: no labels written")
    if not _is_power_square(*shape):
        notes.append(f"{shape[0]}x{shape[1]} is not a square with a power of two as its side: StyleGAN will refuse it")
    return PackReport(dest, len(labels), shape, not missing, pixel_hash.hexdigest(), tuple(rows), tuple(notes))


def _square_of_most(source: Source) -> tuple[int, int]:
    """The size that most pictures have, for a data set that keeps them as they are."""
    (size, count), *_ = _sizes(source).most_common(1)
    if not _is_power_square(*size):
        raise InputError(
            f"no usable picture in {one_line(source.path)}: {count:,} of {len(source.names):,} files are {size[0]}x{size[1]}, "
            "and without a resolution they must be squares with a power of two as their side: add --resolution=64x64 "
            "--transform=center-crop"
        )
    return size


def parse_resolution(resolution: str | int | tuple[int, int] | None) -> tuple[int, int] | None:
    """(width, height) from "64x64", "64", 64 or (64, 64); None stays None.
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
    """The side, a power of two, that suits most pictures of a folder or zip; `load_faces` brings the others to it.

    It is the size that most of them have where that is such a square; else, of each picture, the largest power of two that
    is not above its smaller side.
    """
    with Source(source) as opened:
        sizes = _sizes(opened)
    (most, _), *_ = sizes.most_common(1)
    if _is_power_square(*most):
        return most[0]
    sides: Counter[int] = Counter()
    for size, count in sizes.items():
        sides[1 << (min(size).bit_length() - 1)] += count
    return sides.most_common(1)[0][0]


def _is_power_square(width: int, height: int) -> bool:
    return width == height and width & (width - 1) == 0


def _sizes(source: Source) -> Counter[tuple[int, int]]:
    """How many pictures there are of each (width, height), from the headers alone."""

    def measure(name: str) -> tuple[int, int] | Row:
        try:
            return natural_size(source.read(name))
        except Unusable as error:
            return Row(name, str(error), "left out", False)

    with no_bomb_warnings():
        found = list(tqdm(in_order(measure, source.names), "Measuring", len(source.names), unit="img", disable=None))
    sizes = Counter(size for size in found if isinstance(size, tuple))
    if not sizes:
        raise nothing_usable(source, found)
    return sizes


def _for_packing(image: Image.Image) -> tuple[np.ndarray, bytes]:
    """The pixels, uint8 [3, H, W], and the same as a PNG file without compression or metadata."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG", compress_level=0)
    return _channels_first(image), buffer.getvalue()


@contextlib.contextmanager
def _writing(dest: Path) -> Iterator[Callable[[str, bytes], None]]:
    """A function that adds an entry to a zip or a folder, which appears at `dest` when the block ends well, else not at all."""
    if dest.suffix.lower() != ".zip":
        with replacing_folder(dest) as folder:

            def add(entry: str, data: bytes) -> None:
                (folder / entry).parent.mkdir(exist_ok=True)
                (folder / entry).write_bytes(data)

            yield add
        return
    with replacing(dest) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:

        def add(entry: str, data: bytes) -> None:
            info = zipfile.ZipInfo(entry, date_time=(1980, 1, 1, 0, 0, 0))  # no clock, no machine: the same bytes anywhere
            info.create_system = 3
            info.external_attr = 0o644 << 16
            file.writestr(info, data)

        yield add
