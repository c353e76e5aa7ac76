"""Refusals and files: what every other room needs and what needs no other room."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, where, what to do.

    The command line prints it without a traceback and exits with 2.
    """


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


def names_in(text: str) -> list[str]:
    """ "fid, kid,fid" -> ["fid", "kid"]: what stands between commas, each once."""
    return [name for name in dict.fromkeys(part.strip() for part in text.split(",")) if name]


def cache_folder(name: str) -> Path:
    """Where `name` is cached: in FACEGEN_CACHE, else in facegen/ of the user's cache folder. It need not exist yet."""
    if chosen := os.environ.get("FACEGEN_CACHE"):
        return Path(chosen) / name
    if chosen := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        return Path(chosen) / "facegen" / name
    with contextlib.suppress(RuntimeError):  # a user without a home
        if (home := Path.home()).is_dir():
            return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "facegen" / name
    return Path(_private_folder()) / name


@functools.cache
def _private_folder() -> str:
    folder = os.path.join(tempfile.gettempdir(), f"facegen-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)  # anyone may have put anything under that name
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if ours else tempfile.mkdtemp(prefix="facegen-")


def plain_folder(path: str | Path) -> Path:
    """A folder inside one of ours: made where it is missing, refused where it is a link and files would land elsewhere."""
    if Path(path).is_symlink():
        raise InputError(f"{path} is a symbolic link, and nothing is written through it: put a folder in its place")
    with writing(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


@contextlib.contextmanager
def locked(folder: str | Path, doing: str) -> Iterator[None]:
    """Nobody else works in `folder` during the block. It is made where it is missing, and goes again if it stays empty.

    The lock is the operating system's: it ends with the process that holds it, however that ends.

    Args:
        doing: what the block does, such as "facegen train": the next one that comes is told.

    Raises:
        InputError: another one holds it; the line says who, and since when.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    there, lock, note = folder.exists(), folder / ".lock", folder / ".lock-holder"
    held = FileLock(lock)
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
            lock.unlink()
        held.release()
        if not there:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file completely or not at all.

    Yields a temporary path beside `path`, with the same suffix. When the block ends well it is flushed to disk and
    renamed over `path`; when it raises it is deleted. A reader therefore sees the old file or the new one. A process
    that is killed in between leaves a `.name.XXXX.part.suffix`; the next one that writes `path` removes it.

    Raises:
        WriteError: the disk is full, in whatever words a library says so, or the system does not let us.
    """
    path = Path(path)
    with _part(path, path.stem[:99], path.suffix) as temporary:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files private; a result should be as readable as any other
        os.replace(temporary, path)


def write_text(path: str | Path, text: str) -> None:
    """`text` as a file in UTF-8 with plain line ends, completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder completely or not at all: yields an empty sibling that becomes `path` when the block ends well.

    Raises:
        InputError: if `path` is a link, or exists and is not an empty folder; nothing is ever overwritten.
        WriteError: as for `replacing`.
    """
    path = Path(path)
    if path.is_symlink():
        raise InputError(f"{path} is a symbolic link: give the folder that it leads to, or another one")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} already exists and is not empty: choose another folder or remove it first")
    with _part(path, path.name[:99], None) as temporary:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)


@contextlib.contextmanager
def _part(path: Path, stem: str, suffix: str | None) -> Iterator[Path]:
    """A new `.stem.XXXX.part.suffix` beside `path`, or a folder where the suffix is None; it is locked while we live."""
    names = {"dir": path.parent, "prefix": f".{stem}.", "suffix": f".part{suffix or ''}"}
    with writing(path, path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        for stray in _leftovers(path.parent):
            if re.fullmatch(re.escape(names["prefix"]) + "[a-z0-9_]{8}" + re.escape(names["suffix"]), stray):
                with _held(path.parent / stray) as alone:  # its writer lives no more
                    if alone:
                        _remove(path.parent / stray)
        if suffix is None:
            temporary = Path(tempfile.mkdtemp(**names))
        else:
            handle, name = tempfile.mkstemp(**names)
            os.close(handle)
            temporary = Path(name)
    try:
        with writing(path, temporary), _held(temporary):
            yield temporary
    finally:
        _remove(temporary)


@functools.lru_cache(maxsize=64)  # not again for each of the 50,000 pictures that a process may write into one folder
def _leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".") and ".part" in name]


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Lock a file or folder for the block. Yields False where another process holds it, or the system cannot lock it."""
    handle, held = None, False
    if fcntl is not None:  # Windows opens no folders and renames no open files
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
    try:
        yield held
    finally:
        if handle is not None:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


_FULL = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "no space left on the disk for this user (quota)",
    errno.EFBIG: "the file would be larger than is allowed here",
}


@contextlib.contextmanager
def writing(path: str | Path, temporary: Path | None = None) -> Iterator[None]:
    """Say of what goes wrong while `path`, or `temporary` in its place, is written: which file, why, and what is there now.

    Raises:
        WriteError: the disk is full, in whatever words a library says so, or the system does not let us.
    """
    try:
        yield
    except WriteError as error:  # of a file in a folder that is being filled
        raise WriteError(str(error).replace(str(temporary), str(path))) from error
    except Exception as error:
        number = _system_error(error, str(temporary or path)) or (temporary and _full_disk(temporary))
        if not number or (isinstance(error, InputError) and number not in _FULL):
            raise
        number = errno.ENOTDIR if number == errno.EEXIST else number  # a file where a folder must be
        why = _FULL.get(number) or f"cannot be written ({os.strerror(number)})"
        if temporary is not None:
            why += "; the old file stays as it was" if os.path.isfile(path) else "; nothing was written"
        raise WriteError(f"{path}: {why}") from error


def _system_error(error: BaseException | None, path: str) -> int | None:
    """The number of the system's error that is behind an error: a full disk, or one about `path`."""
    while error is not None:
        told = re.search(r"\(os error (\d+)\)", str(error))  # safetensors
        number = int(told[1]) if told else getattr(error, "errno", None)
        if told or number in _FULL or str(getattr(error, "filename", None)).startswith(path):
            return number
        error = error.__cause__ or error.__context__
    return None


def _full_disk(temporary: Path) -> int | None:
    """Try it out, for PyTorch's writer and ffmpeg keep the reason to themselves."""
    try:
        with tempfile.TemporaryFile(dir=temporary) if temporary.is_dir() else open(temporary, "ab") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as found:
        return found.errno if found.errno in _FULL else None
    return None


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
