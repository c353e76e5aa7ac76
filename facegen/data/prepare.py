"""Folders for CycleGAN: pictures of two sources chosen at random, none of a test folder in a training folder.

prepare_unpaired("photos", "fakes", "data/face2fake", count=2000)  # trainA, trainB, testA, testB
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from facegen.data.drawn import drawn
from facegen.data.duplicates import Fingerprints, fingerprints, matching, repeats
from facegen.data.faces import NEAR_BORDER, NO_FACE, check_zoom, frame_all, framed, safe_name
from facegen.data.packed import drawn_count, nothing_usable
from facegen.data.pictures import Row, Source, Unusable, decode, fit, in_order, no_bomb_warnings, table
from facegen.data.unpaired import DRAWN_B
from facegen.files import InputError, one_line, replacing_folder

DRAWN_SIZE = 256  # of drawn faces that are written without a size
MOST_TEST = 100
SMALL = 64  # side in pixels of the copies by which near-duplicates are found
AT_ONCE = 32  # pictures that are held in memory and compared with the others together


@dataclass(frozen=True)
class UnpairedReport:
    """What `prepare_unpaired` did.

    Attributes:
        dest: the folder written.
        counts: pictures in trainA, trainB, testA and testB.
        rows: every file looked at that was left out or had to be converted; its name begins with "A: " or "B: ".
        notes: what else should be known, one line each.
    """

    dest: Path
    counts: dict[str, int]
    rows: tuple[Row, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        left_out = sum(not row.used for row in self.rows)
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        summary = f"{self.dest}: {counts}; {left_out:,} files left out, {len(self.rows) - left_out:,} converted"
        return "\n".join([summary, *self.notes, *([table(self.rows)] if self.rows else [])])


@dataclass(frozen=True)
class _Found:
    """A picture of a source, ready to be written, or `data` None for a file that is none."""

    origin: str
    data: bytes | None
    suffix: str = ".png"
    key: str = ""  # sha256 of the pixels
    row: Row | None = None
    small: np.ndarray | None = None  # uint8 [SMALL, SMALL, 3], by which near-duplicates are found; None: it has none


@dataclass(frozen=True)
class _Pick:
    """A picture that has been written. Those with one key are the same picture."""

    origin: str
    file: str
    key: str


@dataclass
class _Domain:
    """What was chosen from a source, with the fingerprints of all pictures or of none, and a row for everything unusual."""

    picks: list[_Pick]
    prints: Fingerprints
    rows: list[Row]


def prepare_unpaired(
    a: str | Path,
    b: str | Path,
    dest: str | Path,
    *,
    count: int = 2000,
    test: int | None = None,
    seed: int = 0,
    size: int | None = None,
    reframe: bool | float = False,
    copies: bool = False,
) -> UnpairedReport:
    """Choose pictures of two sources at random and write them as trainA, trainB, testA and testB.

    The choice depends on the seed and the names of the files. Where a source has fewer pictures than wanted, all are used and
    the report says so. Each picture is chosen once, whatever its file is called, and what is in one of the test folders
    is in none of the training folders, not even in the other domain's. Near-duplicates count as the same picture: one that
    was compressed anew, resized, slightly cropped, lightened or mirrored (`facegen.data.duplicates`).

    Args:
        a, b: a folder (nested is fine) or a zip of pictures each, or "drawn:N" or "uncanny:N" for N drawn faces ("drawn" and
            "uncanny": as many as are wanted). Who is drawn for A is not drawn for B.
        dest: a new or empty folder, which appears complete or not at all.
        count: training pictures of each domain.
        test: test pictures of each domain; None for a tenth of the pictures and at most 100.
        seed: of the choice, and of drawn faces.
        size: write centred squares of so many pixels, as PNG. None copies plain JPEG and PNG files byte for byte and
            writes other pictures (other formats, turned, grey, with alpha, 16 bits) as PNG, converted to RGB.
        reframe: find the largest face of every picture, at its full size, and cut out the square around it that FFHQ
            would have, turned upright (`facegen.data.faces.framed`), so that both domains are framed alike. Pictures
            without a face are left out. The squares are written as PNG, at `size` or 256. A number, 0.5 to 3, makes them
            so many times smaller: where pictures show little around the face, FFHQ's square would be half mirror image.
        copies: True keeps near-duplicates, and only pictures with equal pixels are the same.
    """
    _check_numbers(count, test, seed, size)
    zoom = None if reframe is False else check_zoom(float(reframe))
    size = size or (DRAWN_SIZE if zoom else None)
    dest = Path(dest).expanduser()
    asked_test = min(MOST_TEST, max(1, count // 10)) if test is None else test
    with ExitStack() as stack:
        stack.enter_context(no_bomb_warnings())
        sources = {"A": _open(a, stack), "B": _open(b, stack)}  # before dest: a wrong name leaves nothing behind
        place = stack.enter_context(replacing_folder(dest))
        domains = {}
        for letter, source in sources.items():
            found = _pictures(source, letter, count + asked_test, seed, size, zoom)
            domains[letter] = _gather(source, found, place / letter, count + asked_test, copies)
            _check_enough(source, domains[letter], letter)
        folders = _split(domains, count, asked_test, exactly=test is not None)
        _arrange(place, folders)
    rows = [
        dataclasses.replace(row, file=f"{letter}: {row.file}")
        for letter, domain in domains.items()
        for row in sorted(domain.rows, key=lambda row: row.file)  # the order of the draw says nothing to a reader
    ]
    counts = {name: len(folders[name]) for name in ("trainA", "trainB", "testA", "testB")}
    return UnpairedReport(dest, counts, tuple(rows), tuple(_notes(sources, domains, folders, count, asked_test)))


def _check_numbers(count: int, test: int | None, seed: int, size: int | None) -> None:
    if count < 2:
        raise InputError(f"count is {count}: give at least 2 training pictures for each domain")
    if test is not None and test < 0:
        raise InputError(f"test is {test}: give 0 or more test pictures")
    if not 0 <= seed < 1 << 63:
        raise InputError(f"seed is {seed}: give 0 to 2**63 - 1")
    if size is not None and not 4 <= size <= 4096:
        raise InputError(f"size {size} is out of range: choose 4 to 4096 pixels")


def _check_enough(source: Source | _Drawn, domain: _Domain, letter: str) -> None:
    if not domain.picks:
        raise nothing_usable(source, domain.rows)
    if len(domain.picks) == 1:
        raise InputError(
            f"{source.path} has only one picture that can be used for domain {letter}: give at least 2, better hundreds"
        )


def _split(domains: dict[str, _Domain], count: int, test: int, *, exactly: bool) -> dict[str, list[_Pick]]:
    """Which picture goes where, so that no picture of a test folder is in a training folder.

    For the tests those are taken first that only one domain has; where they do not suffice, what A tests B tests too. Unless
    `exactly` so many are for the test, a tenth of the pictures is enough.
    """
    a, b = domains["A"].picks, domains["B"].picks
    keys: dict[int, str] = {}
    for i, j in matching(domains["A"].prints, domains["B"].prints)[0].tolist():  # what looks like one of A's is the same
        keys.setdefault(j, a[i].key)
    b = domains["B"].picks = [dataclasses.replace(pick, key=keys.get(j, pick.key)) for j, pick in enumerate(b)]
    in_a, in_b = ({pick.key for pick in picks} for picks in (a, b))

    def wanted(picks: list[_Pick]) -> int:
        tenth = max(1, len(picks) // 10) if len(picks) > 2 else 0
        return test if exactly else min(test, tenth)

    first = sorted(a, key=lambda pick: pick.key in in_b)[: wanted(a)]
    held = {pick.key for pick in first}
    second = sorted(b, key=lambda pick: 0 if pick.key in held else 1 + (pick.key in in_a))[: wanted(b)]
    held |= {pick.key for pick in second}
    folders = {"testA": first, "testB": second}
    for letter, domain in domains.items():
        train = [pick for pick in domain.picks if pick.key not in held]
        if len(train) < 2:
            raise InputError(
                f"test={test} leaves domain {letter} with {len(train)} of {len(domain.picks)} pictures for training: "
                "take fewer test pictures, or give more pictures"
            )
        for pick in domain.picks:
            if pick.key in held and pick not in folders[f"test{letter}"]:
                domain.rows.append(Row(pick.origin, "a test picture of the other domain", "left out", False))
        folders[f"train{letter}"] = train[:count]
    return folders


def _arrange(place: Path, folders: dict[str, list[_Pick]]) -> None:
    """Move the pictures of domain A and B into the folders that are theirs, and delete the others."""
    for name, picks in folders.items():
        if picks:
            (place / name).mkdir()
        for pick in picks:
            os.replace(place / name[-1] / pick.file, place / name / pick.file)
    for letter in "AB":
        shutil.rmtree(place / letter)


def _notes(
    sources: dict[str, Source | _Drawn],
    domains: dict[str, _Domain],
    folders: dict[str, list[_Pick]],
    count: int,
    test: int,
) -> Iterator[str]:
    for letter, source in sources.items():
        mine = [row.what for row in domains[letter].rows]
        there, train, held = (len(x) for x in (domains[letter].picks, folders[f"train{letter}"], folders[f"test{letter}"]))
        faceless = mine.count(NO_FACE)
        if faceless:
            yield f"domain {letter}: no face was found in {faceless:,} pictures, which are left out"
        near = sum(NEAR_BORDER[0] in what for what in mine)
        if near > there / 5:
            yield (
                f"domain {letter}: {near:,} of {there:,} pictures show so little around the face that much of "
                "their square is mirror image: reframe=1.5, say, cuts tighter in both domains"
            )
        if there < count + test:
            yield (
                f"domain {letter}: {source.name} has {there:,} pictures where {count:,} for training and {test:,} for the "
                f"test were wanted: {train:,} and {held:,} are used"
            )
    shared = len({pick.key for pick in folders["trainA"]} & {pick.key for pick in folders["trainB"]})
    if shared:
        yield f"trainA and trainB have {shared:,} pictures in common: between equal domains there is nothing to translate"


def _gather(source: Source | _Drawn, found: Iterator[_Found], folder: Path, want: int, copies: bool) -> _Domain:
    """Write the first `want` different pictures into a new folder."""
    folder.mkdir()
    domain = _Domain([], _prints([]), list(getattr(source, "rows", ())))
    origins: dict[str, str] = {}  # of the pixels with a key
    taken: set[str] = set()
    full = min(want, len(source.names))
    with closing(found), tqdm(total=full, desc=f"Domain {folder.name}", unit="img", disable=None) as bar:
        while len(domain.picks) < want and (some := list(itertools.islice(found, AT_ONCE))):
            looked = [item for item in some if item.small is not None and not copies]
            prints = _prints([item.small for item in looked])
            names = [pick.origin for pick in domain.picks] + [item.origin for item in looked]
            earlier = {item.origin: twin for item, twin in zip(looked, repeats(prints, domain.prints))}
            written = set()
            for item in some:
                twin, row = earlier.get(item.origin), item.row
                if item.key in origins:
                    row = Row(item.origin, f"the same picture as {one_line(origins[item.key])}", "left out", False)
                elif twin is not None:
                    row = Row(item.origin, f"a near-duplicate of {one_line(names[twin])}", "left out", False)
                elif item.data is not None:
                    file = safe_name(item.origin, item.suffix, taken)
                    (folder / file).write_bytes(item.data)
                    domain.picks.append(_Pick(item.origin, file, item.key))
                    origins[item.key] = item.origin
                    written.add(item.origin)
                    bar.update()
                domain.rows += [row] if row else []
                if len(domain.picks) == want:
                    break
            kept = [i for i, item in enumerate(looked) if item.origin in written]
            both = zip((domain.prints.bits, domain.prints.small), (prints.bits[kept], prints.small[kept]))
            domain.prints = Fingerprints(*(torch.cat(parts) for parts in both))
    return domain


def _prints(small: list[np.ndarray]) -> Fingerprints:
    pictures = np.stack(small) if small else np.empty((0, SMALL, SMALL, 3), np.uint8)
    return fingerprints(torch.from_numpy(pictures).permute(0, 3, 1, 2))


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB").resize((SMALL, SMALL), Image.Resampling.BOX))


def _pictures(
    source: Source | _Drawn, letter: str, want: int, seed: int, size: int | None, zoom: float | None
) -> Iterator[_Found]:
    """All files of a folder or zip in random order, decoded on all cores as they are asked for; or the first drawn faces."""
    if isinstance(source, _Drawn):
        return source.pictures(want, size, seed, DRAWN_B if letter == "B" else 0, zoom)
    order = np.random.default_rng([3, seed, "AB".index(letter)]).permutation(len(source.names))
    names = [source.names[i] for i in order]
    if zoom:
        return _framed_pictures(source, names, size, zoom)

    def one(name: str) -> _Found:
        try:
            data = source.read(name)
            image, notes = decode(data)
            image, more = fit(image, size and (size, size), "center-crop")
        except Unusable as error:
            return _Found(name, None, row=Row(name, str(error), "left out", False))
        notes += more
        row = Row(name, "; ".join(n[0] for n in notes), "; ".join(n[1] for n in notes), True) if notes else None
        suffix = _plain_suffix(data) if size is None and not notes else None
        data = data if suffix else _png(image)
        return _Found(name, data, suffix or ".png", _pixel_key(image), row, _small(image))

    return in_order(one, names)


def _framed_pictures(source: Source, names: list[str], size: int, zoom: float) -> Iterator[_Found]:
    found = frame_all(source, names, size, zoom, lambda image, faces: (_png(image), _pixel_key(image), _small(image)))
    with closing(found):
        for picture in found:
            data, key, small = picture.value or (None, "", None)
            yield _Found(picture.name, data, key=key, row=picture.row, small=small)


def _plain_suffix(data: bytes) -> str | None:
    """The suffix for a file that any program opens, by its first bytes; None for rarer formats."""
    if data.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    return ".png" if data.startswith(b"\x89PNG") else None


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, "PNG")  # from the pixels: no colour profile, no metadata
    return buffer.getvalue()


def _pixel_key(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.width}x{image.height} ".encode() + image.tobytes()).hexdigest()


@dataclass(frozen=True)
class _Drawn:
    """ "drawn:N" and "uncanny:N" as a source: faces without end where N is not given."""

    kind: str
    count: int | None

    @property
    def path(self) -> str:
        return self.kind if self.count is None else f"{self.kind}:{self.count}"

    name = path

    @property
    def names(self) -> range:
        return range(1 << 40 if self.count is None else self.count)

    def pictures(self, want: int, size: int | None, seed: int, start: int, zoom: float | None) -> Iterator[_Found]:
        """The first `want` faces, in small pieces; with `zoom` framed by their known landmarks."""
        size = size or DRAWN_SIZE
        drawn_at = min(1024, math.ceil(size * max(1.0, zoom or 1.0)))  # a part of it is cut out
        last = min(want, len(self.names))
        for first in range(0, last, 16):
            n = min(16, last - first)
            faces = drawn(n, drawn_at, seed, start=start + first, uncanny=float(self.kind == "uncanny"))
            for i, pixels in enumerate(faces.images.permute(0, 2, 3, 1).numpy()):
                image = Image.fromarray(pixels)
                if zoom:
                    try:
                        image, _ = framed(image, faces.landmarks[i], size, zoom)
                    except Unusable as error:
                        raise InputError(
                            f"{self.name}: {error}: take a smaller size, or reframe={zoom:g} less tightly"
                        ) from None
                yield _Found(f"{self.kind}{first + i:06d}.png", _png(image), key=_pixel_key(image))


def _open(source: str | Path, stack: ExitStack) -> Source | _Drawn:
    for kind in ("drawn", "uncanny"):
        count = drawn_count(source, 0, kind)
        if count == 1:
            raise InputError(f"{source} has fewer than 2 faces: ask for at least 2")
        if count is not None:
            return _Drawn(kind, count or None)
    return stack.enter_context(Source(source))
