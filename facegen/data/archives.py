"""Pictures out of a zip or a tar: harmless, or one clear line and nothing left."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import lzma
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, ClassVar

from tqdm.auto import tqdm

from facegen.data.kinds import seems
from facegen.data.pictures import PICTURE_SUFFIXES
from facegen.files import InputError, one_line

# Files beside the pictures that say something about them; everything else in an archive stays in the archive.
KEPT_NAMES = frozenset(
    {
        "dataset.json",
        "identity_celeba.txt",
        "license",
        "license.txt",
        "list_attr_celeba.txt",
        "list_eval_partition.txt",
        "list_landmarks_align_celeba.txt",
        "readme.md",
        "readme.txt",
    }
)
# What an archive may unpack to: entries, bytes, and bytes per byte of archive once they are more than ALWAYS_FINE.
MOST_ENTRIES, MOST_BYTES, MOST_RATIO, ALWAYS_FINE = 500_000, 8 << 30, 100, 16 << 20
BLOCK = 1 << 16


class Names:
    """The names that may be written below one folder: refuses those that lead out of it or meet each other.

    Two names meet where they are equal after case folding and Unicode composition, as on many file systems, or where
    one is a file and the other needs it as a folder.
    """

    def __init__(self, where: str):
        self.where = where
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def check(self, name: str) -> None:
        """Refuse a name that is absolute, climbs with "..", names a drive, or hides a separator."""
        reasons = {
            "is an absolute path": name.startswith("/"),
            "leads out of the folder": ".." in name.split("/"),
            "has a backslash or a colon in it": "\\" in name or ":" in name,
            "has a zero byte in it": "\0" in name,
        }
        for reason in (reason for reason, true in reasons.items() if true):
            raise InputError(f"{self.where}: the entry {one_line(name)!r} {reason}; nothing was unpacked, get a clean copy")

    def add(self, name: str) -> str:
        """Check `name` and reserve it. Returns it without "." and empty parts."""
        self.check(name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or not name.isprintable() or any(part != part.rstrip(". ") for part in parts):
            raise InputError(f"{self.where}: the entry name {one_line(name)!r} does not work on every system: get a clean copy")
        clean = "/".join(parts)
        keys = [unicodedata.normalize("NFC", "/".join(parts[: i + 1])).casefold() for i in range(len(parts))]
        other = self._folders.get(keys[-1]) or next((self._files[key] for key in keys if key in self._files), None)
        if other is not None:
            raise InputError(
                f"{self.where}: the entries {one_line(other)!r} and {one_line(clean)!r} would overwrite each other"
            )
        self._files[keys[-1]] = clean
        self._folders.update(dict.fromkeys(keys[:-1], clean))
        return clean


def is_picture(name: str) -> bool:
    """Whether a name ends like a picture and is not one of the shadow files that macOS puts into archives."""
    last = name.rsplit("/", 1)[-1]
    return Path(last).suffix.lower() in PICTURE_SUFFIXES and not last.startswith(".") and "__MACOSX/" not in name


def extract(archive: Path, folder: Path) -> int:
    """Unpack the pictures of a zip or tar (plain, gz, bz2, xz) into an empty folder.

    Refused, each with one line: names that lead out of the folder, links, devices, encrypted or doubled entries,
    more entries or bytes than a data set has, damaged archives. Other files than pictures and their lists are left
    in the archive. Call it inside `facegen.files.replacing_folder`, so that a refusal leaves nothing behind.

    Returns:
        The number of pictures.
    """
    names, pictures = Names(str(archive)), 0
    entries = _zip_entries if zipfile.is_zipfile(archive) else _tar_entries
    try:
        for name, size, source in tqdm(entries(archive, names), desc=f"unpacking {archive.name}", disable=None):
            if is_picture(name) or (name.rsplit("/", 1)[-1].lower() in KEPT_NAMES and "__MACOSX/" not in name):
                with source() as stream:
                    _write(stream, folder / names.add(name), size, str(archive))
                pictures += is_picture(name)
    except InputError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        why = f"{one_line(error)}{seems(archive)}"
        raise InputError(f"{archive}: damaged or not a zip or tar archive ({why}): get it again") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile: a compression that this Python cannot undo
        raise InputError(f"{archive}: cannot be unpacked ({one_line(error)}): pack it again as a plain zip") from None
    if pictures == 0:
        raise InputError(f"{archive}: there is no picture in it: is it the right file?")
    return pictures


Entry = tuple[str, int, Callable[[], IO[bytes]]]  # a regular file in an archive: name, length, and how to read it


def _zip_entries(archive: Path, names: Names) -> Iterator[Entry]:
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        _too_much(archive, sum(entry.file_size for entry in entries), len(entries))
        for entry in entries:
            name = entry.orig_filename  # zipfile itself cuts and rewrites `filename` on some systems
            names.check(name)
            if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{archive}: the entry {one_line(name)!r} is a link or a device: refused")
            if entry.flag_bits & 0x1:
                raise InputError(f"{archive}: the entry {one_line(name)!r} is encrypted: unpack it yourself, use --data")
            if not entry.is_dir():
                yield name, entry.file_size, functools.partial(file.open, entry)


def _tar_entries(archive: Path, names: Names) -> Iterator[Entry]:
    with contextlib.closing(_Bounded(archive)) as stream, tarfile.open(fileobj=stream, mode="r|") as file:
        for number, entry in enumerate(file, 1):
            _too_much(archive, stream.count + entry.size, number)
            names.check(entry.name)
            if not (entry.isreg() or entry.isdir()) or entry.issparse():
                raise InputError(f"{archive}: the entry {one_line(entry.name)!r} is a link or a device: refused")
            if not entry.isdir():
                yield entry.name, entry.size, functools.partial(file.extractfile, entry)
        while stream.read(BLOCK):  # gzip's checksum comes after the end of the tar
            pass


def _too_much(archive: Path, total: int, entries: int = 0) -> None:
    """Refuse more than the bounds allow."""
    if entries > MOST_ENTRIES:
        raise InputError(f"{archive}: more than {MOST_ENTRIES} entries: this is not a data set known here")
    if total > MOST_BYTES:
        raise InputError(f"{archive}: unpacks to more than {MOST_BYTES >> 20} MiB: refused, nothing was kept")
    if total > ALWAYS_FINE and total > MOST_RATIO * archive.stat().st_size:
        raise InputError(f"{archive}: unpacks to more than {MOST_RATIO} times its size, as no set of pictures does: refused")


class _Bounded:
    """The decompressed bytes of an archive, as a stream that refuses to give more than the bounds allow.

    tarfile unpacks headers and skipped entries too, so a bound on the entries' sizes alone would not stop a bomb.
    """

    OPENERS: ClassVar = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}

    def __init__(self, archive: Path):
        self.archive, self.count = archive, 0
        start = archive.open("rb").read(6)
        opener = next((opener for magic, opener in self.OPENERS.items() if start.startswith(magic)), open)
        self._file: IO[bytes] = opener(archive, "rb")

    def read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except OSError as error:  # bz2 and gzip report damage this way
            raise EOFError(str(error)) from None
        self.count += len(block)
        _too_much(self.archive, self.count)
        return block

    def close(self) -> None:
        self._file.close()


def _write(source: IO[bytes], path: Path, size: int, where: str) -> None:
    """Copy one entry to a new file and insist on its announced length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with open(path, "xb") as file:
        while block := source.read(BLOCK):
            written += len(block)
            if written > size:
                break
            file.write(block)
    if written != size:
        raise InputError(f"{where}: the entry {one_line(path.name)!r} is not as long as it says: the archive is damaged")
