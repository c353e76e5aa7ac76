"""Refusals and files: the two things that every other room needs and that need no other room."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line: what, where, what to do.

    The command line prints it without a traceback and exits with 2.
    """


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file completely or not at all.

    Yields a temporary path beside `path`, with the same suffix. When the block ends well it is flushed to disk and
    renamed over `path`; when it raises it is deleted. A reader therefore sees the old file or the new one, and a
    process that is killed in between leaves a stray `.name.XXXX.part.suffix`, never a torn file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=f".part{path.suffix}")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files private; a result should be as readable as any other
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder completely or not at all: yields an empty sibling that becomes `path` when the block ends well.

    Raises:
        InputError: if `path` already exists and is not an empty folder; nothing is ever overwritten.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} already exists and is not empty: choose another folder or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part"))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file's bytes, as 64 hexadecimal digits, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
