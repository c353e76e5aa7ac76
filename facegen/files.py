"""Refusals and files: what every other room needs and what needs no other room."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


class InputError(ValueError):
    """Something the user gave cannot be used: one line says what, where, what to do. The command line exits with 2."""


class WriteError(InputError, OSError):
    """A file could not be written: which, why, what is there now. An OSError too, for those who can go on without the file."""


def one_line(value: object, most: int = 200) -> str:
    """A text from outside (a file's name, a label, a value in a file, an exception) as one line for a terminal.

    White space becomes one space; control characters, escape codes, marks that turn the direction of writing and
    undecodable bytes become question marks; what is longer than `most` characters ends in "...".
    """
    try:
        words = " ".join(str(value)[: 4 * most].split())
    except ValueError:  # an int of more digits than Python writes out
        return "?"
    words = "".join(letter if letter.isprintable() else "?" for letter in words)
    return words if len(words) <= most else f"{words[: most - 3]}..."


def cache_folder(name: str) -> Path:
    """Where `name` is cached: in FACEGEN_CACHE, else in facegen/ of the user's cache folder. It need not exist yet."""
    if chosen := os.environ.get("FACEGEN_CACHE"):
        return Path(chosen) / name
    if chosen := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        return Path(chosen) / "facegen" / name
    home = Path(os.path.expanduser("~"))  # "~" where the user has none
    if home.is_dir():
        return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "facegen" / name
    folder = Path(tempfile.gettempdir()) / f"facegen-{os.getuid()}"
    folder.mkdir(0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():  # anyone may have put anything under that name
        raise InputError(f"{folder} is somebody else's: set FACEGEN_CACHE to a folder of your own")
    return folder / name


def refuse_link(path: str | Path) -> None:
    """Refuse a folder to be written that is a link: files would land elsewhere."""
    if Path(path).is_symlink():
        raise InputError(f"{path} is a symbolic link, and nothing is written through it: put a folder in its place")


@contextlib.contextmanager
def locked(folder: str | Path, doing: str) -> Iterator[None]:
    """Nobody else works in `folder` during the block. It is made where it is missing, and goes again if it stays empty.

    The lock ends with the process that holds it, however that ends. Who comes meanwhile is told `doing`, by whom, since when.
    """
    folder = Path(folder)
    note, held = folder / ".lock-holder", FileLock(folder / ".lock")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            with contextlib.suppress(OSError):
                doing = note.read_text("utf-8", "replace")
            raise InputError(f"{folder} is in use ({one_line(doing)}): wait for its end or choose another folder") from None
    try:
        with writing(folder):
            since = time.strftime("%Y-%m-%d %H:%M")
            note.write_text(f"{doing}, process {os.getpid()} on {socket.gethostname()}, since {since}", "utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # while it is held; filelock sees when the file that it locks has gone
            note.unlink()
            os.unlink(held.lock_file)
            folder.rmdir()  # it may have been filled
        held.release()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file completely or not at all: yields an empty one of the same name that becomes `path` when the block ends well.

    It is flushed to disk and renamed over `path`, so that a reader sees the old file or the new one.
    """
    with _beside(Path(path)) as temporary:
        temporary.touch()
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)


def write_text(path: str | Path, text: str) -> None:
    """`text` as a file in UTF-8 with plain line ends, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder completely or not at all: yields an empty one that becomes `path` when the block ends well."""
    path = Path(path)
    refuse_link(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} already exists and is not empty: choose another folder or remove it first")
    with _beside(path) as temporary:
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A free name in a new hidden folder beside `path`, which is locked during the block and goes at its end.

    A process that is killed leaves it. The next one that writes anything beside it finds it without its lock and removes it.
    """
    with writing(path, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        hidden = tempfile.TemporaryDirectory(".part", ".facegen.", path.parent, ignore_cleanup_errors=True)
    temporary = Path(hidden.name) / path.name
    with hidden, writing(path, temporary), FileLock(temporary.with_name(".lock")):
        yield temporary


@functools.cache  # once in a process, which may write 50,000 pictures into one folder
def _sweep(folder: Path) -> None:
    for lock in folder.glob(".facegen.*.part/.lock"):
        with contextlib.suppress(OSError), FileLock(lock, timeout=0):  # another process holds it: that writes there
            shutil.rmtree(lock.parent, ignore_errors=True)


@contextlib.contextmanager
def writing(path: str | Path, temporary: Path | None = None) -> Iterator[None]:
    """Say what the system has against writing `path`, or `temporary` in its place, whatever a library makes of it.

    The WriteError's line: which file, why, what is there now. Errors of another kind pass as they are.
    """
    place = str(temporary or path)
    try:
        yield
    except WriteError as error:  # of a file in a folder that is being filled
        raise WriteError(str(error).replace(place, str(path))) from error
    except Exception as error:
        told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors
        number = int(told[1]) if told else getattr(error, "errno", None)
        full = number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if not full and not str(getattr(error, "filename", None)).startswith(place):
            number = temporary and _tried(temporary)
        if not number:
            raise
        number = errno.ENOTDIR if number == errno.EEXIST else number  # a file where a folder must be
        why = "no space left on the disk" if number == errno.ENOSPC else f"cannot be written ({os.strerror(number)})"
        if temporary is not None:
            why += "; the old file stays as it was" if os.path.isfile(path) else "; nothing was written"
        raise WriteError(f"{path}: {why}") from error


def _tried(temporary: Path) -> int | None:
    """What the system says to a little more, for PyTorch's writer and ffmpeg keep it to themselves."""
    try:
        with open(temporary if temporary.is_file() else temporary.with_name(".more"), "ab") as file:
            file.write(bytes(1 << 16))
    except OSError as found:
        return found.errno
    return None
