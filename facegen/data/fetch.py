"""Files from the network and out of archives: whole, checked and harmless, or one clear line and nothing left.

`download` gets one file, `read_json` one small answer, `extract` unpacks a zip or a tar. What to get stands in
`facegen.data.sources`. The steps of a download (`open_url`, `blocks`, `patiently`, `exclusive`, `what_is_left`) are there
for `facegen.models.published` too, which gets files of unknown size and content.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import http.client
import json
import lzma
import os
import stat
import tarfile
import threading
import time
import unicodedata
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from tqdm.auto import tqdm

import facegen
from facegen.files import InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
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
T = TypeVar("T")
BLOCK = 1 << 16
# Retry-After is obeyed up to this many seconds; whoever must wait longer is told so instead.
LONGEST_WAIT = 60.0
# Seconds between two looks at a lock that another process holds.
LOCK_POLL = 0.1


class FetchError(InputError):
    """A download failed for good. One line: the address, what happened, what to do."""


class PassingError(Exception):
    """Something that may well work on the next try: a lost connection, a slow server, an HTTP 5xx.

    Attributes:
        wait: seconds that the server asked for.
        code: HTTP status, 0 where there was none.
    """

    def __init__(self, reason: str, wait: float = 0.0, code: int = 0):
        super().__init__(reason)
        self.wait, self.code = wait, code


class Stopped(Exception):
    """The caller's stop event was set while a file was on its way."""


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: seconds without any sign of life, while connecting or reading, before a try is given up.
        stall: seconds over which the speed is judged; against a server that drips a byte now and then.
        least_speed: bytes per second below which such a stretch counts as a stall.
        delays: seconds to wait before the second, third, ... try; their number bounds the tries.
    """

    timeout: float = 20.0
    stall: float = 30.0
    least_speed: float = 1000.0
    delays: tuple[float, ...] = (1.0, 3.0, 9.0)


@dataclass(frozen=True)
class Bounds:
    """What an archive may unpack to: entries, bytes, and bytes per byte of archive (above `always` bytes)."""

    entries: int = 500_000
    total: int = 8 << 30
    ratio: float = 100.0
    always: int = 16 << 20


# ----------------------------------------------------------------------------------------------------- checksums


def digest(path: Path, kind: str) -> str:
    """A file's checksum in hexadecimal digits.

    Args:
        kind: "sha256", "md5", or "git": the id under which git stores the file, SHA-1 of "blob LENGTH\\0" + bytes.
    """
    if kind == "git":
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    else:
        state = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def wrong_checksum(path: Path, checksums: tuple[str, ...]) -> str | None:
    """None where the file has every checksum ("sha256:...", "md5:...", "git:..."), else what is wrong, in words."""
    for expected in checksums:
        kind, _, value = expected.partition(":")
        found = digest(path, kind)
        if found != value:
            return f"its {kind} is {found}, expected {value}"
    return None


# ------------------------------------------------------------------------------------------------------- network


def download(
    url: str,
    path: Path,
    size: int,
    checksums: tuple[str, ...],
    *,
    patience: Patience | None = None,
    progress: Callable[[int], object] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Get `url` into `path`: checked, then renamed into place.

    Bytes go to `path` + ".part". A broken download is taken up where it stopped (HTTP Range) in this call or a later
    one; a server without Range starts again. The file may have changed between the pieces, so the checksum is taken
    over the whole: a resumed file that fails it is fetched once more from its first byte, a fresh one that fails it
    is removed and refused. Of several processes that want the same file one downloads it and the others wait.

    Args:
        size: the file's length in bytes; nothing longer is ever written.
        checksums: at least one of "sha256:...", "md5:...", "git:..."; all must hold.
        progress: called with the number of bytes that arrived (negative where a download starts again).
        stop: set it from another thread to end the download at the next block.

    Raises:
        FetchError: not there, wrong content, or no success within the tries. Only a resumable ".part" is left.
        Stopped: `stop` was set.
    """
    if not checksums:
        raise ValueError("download() needs at least one checksum: an unchecked file is never put in place")
    patience, stop = patience or Patience(), stop or threading.Event()
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path, stop=stop) as waited:
        if waited and path.exists() and wrong_checksum(path, checksums) is None:
            _Position(progress)(size)
        else:
            _download(url, path, size, checksums, patience, _Position(progress), stop)


def _download(
    url: str,
    path: Path,
    size: int,
    checksums: tuple[str, ...],
    patience: Patience,
    at: Callable[[int], None],
    stop: threading.Event,
) -> None:
    part = path.with_name(path.name + ".part")
    wrong = None
    for _ in range(2):  # the second round only after a piecemeal file turned out wrong
        try:
            resumed = patiently(lambda: _receive(url, part, size, patience, at, stop), patience, stop)
        except PassingError as error:
            raise FetchError(f"{url}: {error}; {what_is_left(part)}") from None
        wrong = wrong_checksum(part, checksums)
        if wrong is None:
            os.replace(part, path)
            return
        part.unlink()
        at(0)
        if not resumed:
            break
    raise FetchError(f"{url}: this is not the file that is expected here ({wrong}); it was removed")


class _Position:
    """Turns "we are at byte n" into the steps that a progress bar counts."""

    def __init__(self, progress: Callable[[int], object] | None):
        self._progress, self._seen = progress, 0

    def __call__(self, position: int) -> None:
        if self._progress is not None:
            self._progress(position - self._seen)
        self._seen = position


@contextlib.contextmanager
def exclusive(
    path: Path, *, stop: threading.Event | None = None, waiting: Callable[[], object] | None = None
) -> Iterator[bool]:
    """At most one process, and one thread of it, is inside the block for this path at a time; the others wait.

    The lock is the operating system's, on a file `path` + ".lock", and ends with the process that holds it, however that
    ends. Where the file system knows no locks, nobody waits.

    Args:
        path: what to guard; its folder must exist.
        stop: set it from another thread to end the waiting.
        waiting: called once, where there is another one to wait for.

    Yields:
        Whether another one has been waited for.

    Raises:
        Stopped: `stop` was set.
    """
    stop, name, waited = stop or threading.Event(), path.with_name(path.name + ".lock"), False
    while True:
        file = open(name, "ab")  # noqa: SIM115 - closed below, at the end of the block
        if _locked(file) and _still_there(file, name):
            break
        file.close()
        if not waited and waiting is not None:
            waiting()
        waited = True
        if stop.wait(LOCK_POLL):
            raise Stopped
    try:
        yield waited
    finally:
        # Removed while it is held: whoever has opened it meanwhile sees that the name is gone, and starts again.
        with contextlib.suppress(OSError):
            name.unlink()
        file.close()
        if os.name == "nt":  # where an open file cannot be removed
            with contextlib.suppress(OSError):
                name.unlink()


def _locked(file: IO[bytes]) -> bool:
    """Take the lock on an open file if nobody else has it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _still_there(file: IO[bytes], name: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(name))
    except FileNotFoundError:
        return False


def patiently(attempt: Callable[[], T], patience: Patience, stop: threading.Event) -> T:
    """`attempt()` until it does not raise PassingError, as often and as late as `patience` says.

    Raises:
        PassingError: the last try's.
        Stopped: `stop` was set while waiting.
    """
    waits = iter(patience.delays)
    while True:
        try:
            return attempt()
        except PassingError as error:
            wait = next(waits, None)
            if wait is None or error.wait > LONGEST_WAIT:
                raise
            if stop.wait(max(wait, error.wait)):
                raise Stopped from None


def what_is_left(part: Path) -> str:
    """Advice after the last try, in words; an empty .part is removed."""
    kept = part.stat().st_size if part.exists() else 0
    if kept:
        return f"{kept} bytes are kept: run the same command again to go on from there"
    part.unlink(missing_ok=True)
    return "check the connection and run the same command again"


def _receive(url: str, part: Path, size: int, patience: Patience, at: Callable[[int], None], stop: threading.Event) -> bool:
    """One try to complete `part`. Returns whether it now consists of pieces from more than one answer."""
    offset = part.stat().st_size if part.exists() else 0
    if offset > size:
        part.unlink()
        offset = 0
    at(offset)
    if offset == size and size > 0:
        return True  # an earlier run was stopped between the last byte and the check
    try:
        response = open_url(url, patience, offset)
    except PassingError as error:
        if error.code == 416:  # the server's file is shorter than what is here: start again
            part.unlink(missing_ok=True)
        raise
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if offset and not resumed:
            offset = 0
            at(0)
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and offset + int(announced) != size:
            part.unlink(missing_ok=True)
            found = offset + int(announced)
            raise FetchError(f"{url}: the file there has {found} bytes, not {size}: it is not the one expected here")
        with open(part, "ab" if offset else "wb") as file:
            for block in blocks(response, patience, stop):
                offset += len(block)
                if offset > size:
                    raise PassingError(f"the server sends more than the {size} bytes that the file has")
                file.write(block)
                at(offset)
    if offset < size:
        raise PassingError(f"the connection ended after {offset} of {size} bytes")
    return resumed


def read_json(url: str, patience: Patience | None = None, limit: int = 32 << 20) -> Any:
    """The JSON that `url` answers with, at most `limit` bytes; tried again like a download.

    Raises:
        FetchError: no answer, too long an answer, or one that is not JSON.
    """
    patience, never = patience or Patience(), threading.Event()

    def attempt() -> bytes:
        content = bytearray()
        with open_url(url, patience, 0) as response:
            for block in blocks(response, patience, never):
                content += block
                if len(content) > limit:
                    raise FetchError(f"{url}: the answer is longer than {limit} bytes: this is not what was asked")
            announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and len(content) < int(announced):
            raise PassingError(f"the connection ended after {len(content)} of {announced} bytes")
        return bytes(content)

    try:
        content = patiently(attempt, patience, never)
    except PassingError as error:
        raise FetchError(f"{url}: {error}; check the connection and run the same command again") from None
    try:
        return json.loads(content)
    except ValueError:  # also UnicodeDecodeError
        raise FetchError(f"{url}: the answer is not JSON: a proxy or a log-in page may stand in between") from None


def open_url(url: str, patience: Patience, offset: int) -> http.client.HTTPResponse:
    """The server's answer to a request for `url` from byte `offset` on; the caller closes it.

    Raises:
        PassingError: no connection, or an answer such as 503 that may be another one later.
        FetchError: no such file, or no such address.
    """
    headers = {"User-Agent": f"facegen/{facegen.__version__}"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=patience.timeout)
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(url, error) from None
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise PassingError(_in_words(error)) from None
    except ValueError as error:
        raise FetchError(f"{url}: this is not an address that can be fetched ({error})") from None


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """An HTTP error as the exception that it means: passing or final."""
    if error.headers.get("X-RateLimit-Remaining") == "0":  # GitHub's way to say so, with code 403 or 429
        reset = error.headers.get("X-RateLimit-Reset", "")
        when = time.strftime("after %H:%M", time.localtime(int(reset))) if reset.isdigit() else "in an hour"
        return FetchError(f"{url}: the server's hourly limit for visitors is used up: try again {when}")
    asked = error.headers.get("Retry-After", "")
    if error.code in (408, 416, 425, 429) or error.code >= 500:
        wait = float(asked) if asked.isdigit() else 0.0
        later = f" and asks to wait {wait / 60:.0f} minutes" if wait > LONGEST_WAIT else ""
        return PassingError(f"the server answers {error.code} {error.reason}{later}", wait, error.code)
    if error.code in (404, 410):
        return FetchError(f"{url}: not found ({error.code}): it was moved or removed, or the address is mistyped")
    return FetchError(f"{url}: the server refuses ({error.code} {error.reason})")


def blocks(response: http.client.HTTPResponse, patience: Patience, stop: threading.Event) -> Iterator[bytes]:
    """The body piece by piece as it arrives.

    Raises:
        PassingError: it stops arriving, or only drips.
        Stopped: `stop` was set.
    """
    since, arrived = time.monotonic(), 0
    while True:
        if stop.is_set():
            raise Stopped
        try:
            block = response.read1(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise PassingError(_in_words(error)) from None
        if not block:
            return
        yield block
        arrived += len(block)
        elapsed = time.monotonic() - since
        if elapsed >= patience.stall:
            if arrived < patience.least_speed * elapsed:
                raise PassingError(f"the download stalled: {arrived} bytes in {elapsed:.1f} s")
            since, arrived = time.monotonic(), 0


def _in_words(error: Exception) -> str:
    """A network fault as one short line."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(text.split())


# ------------------------------------------------------------------------------------------------------ archives


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
        reason = None
        if name.startswith("/"):
            reason = "is an absolute path"
        elif ".." in name.split("/"):
            reason = "leads out of the folder"
        elif "\\" in name or ":" in name:
            reason = "has a backslash or a colon in it"
        elif "\0" in name:
            reason = "has a zero byte in it"
        if reason:
            raise InputError(f"{self.where}: the entry {name!r} {reason}; nothing was unpacked, get a clean copy")

    def add(self, name: str) -> str:
        """Check `name` and reserve it. Returns it without "." and empty parts."""
        self.check(name)
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if not parts or not name.isprintable() or any(part != part.rstrip(". ") for part in parts):
            raise InputError(f"{self.where}: the entry name {name!r} does not work on every system: get a clean copy")
        clean = "/".join(parts)
        keys = [unicodedata.normalize("NFC", "/".join(parts[: i + 1])).casefold() for i in range(len(parts))]
        other = self._files.get(keys[-1]) or self._folders.get(keys[-1])
        other = other or next((self._files[key] for key in keys[:-1] if key in self._files), None)
        if other is not None:
            raise InputError(f"{self.where}: the entries {other!r} and {clean!r} would overwrite each other")
        self._files[keys[-1]] = clean
        self._folders.update(dict.fromkeys(keys[:-1], clean))
        return clean


def is_picture(name: str) -> bool:
    """Whether a name ends like a picture and is not one of the shadow files that macOS puts into archives."""
    last = name.rsplit("/", 1)[-1]
    return Path(last).suffix.lower() in IMAGE_SUFFIXES and not last.startswith(".") and "__MACOSX/" not in name


def is_kept(name: str) -> bool:
    """Whether a file is unpacked at all: pictures, and the lists and licence texts that belong to them."""
    return is_picture(name) or (name.rsplit("/", 1)[-1].lower() in KEPT_NAMES and "__MACOSX/" not in name)


def extract(archive: Path, folder: Path, bounds: Bounds | None = None) -> int:
    """Unpack the pictures of a zip or tar (plain, gz, bz2, xz) into an empty folder.

    Refused, each with one line: names that lead out of the folder, links, devices, encrypted or doubled entries,
    more entries or bytes than `bounds` allows, damaged archives. Other files than pictures and their lists are left
    in the archive. Call it inside `facegen.files.replacing_folder`, so that a refusal leaves nothing behind.

    Returns:
        The number of pictures.

    Raises:
        InputError: as above, or the file is no archive, or holds no picture.
    """
    bounds = bounds or Bounds()
    try:
        unpack = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
        count = unpack(archive, folder, bounds)
    except InputError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise InputError(f"{archive}: damaged or not a zip or tar archive ({_in_words(error)}): get it again") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile: a compression that this Python cannot undo
        raise InputError(f"{archive}: cannot be unpacked ({_in_words(error)}): pack it again as a plain zip") from None
    if count == 0:
        raise InputError(f"{archive}: there is no picture in it: is it the right file?")
    return count


def _too_much(archive: Path, total: int, packed: int, entries: int, bounds: Bounds) -> None:
    """Refuse more than the bounds allow."""
    if entries > bounds.entries:
        raise InputError(f"{archive}: more than {bounds.entries} entries: this is not a data set known here")
    if total > bounds.total:
        raise InputError(f"{archive}: unpacks to more than {bounds.total >> 20} MiB: refused, nothing was kept")
    if total > bounds.always and total > bounds.ratio * packed:
        raise InputError(
            f"{archive}: unpacks to more than {bounds.ratio:.0f} times its size, as no set of pictures does: refused"
        )


def _extract_zip(archive: Path, folder: Path, bounds: Bounds) -> int:
    names, pictures = Names(str(archive)), 0
    packed = archive.stat().st_size
    with zipfile.ZipFile(archive) as file:
        entries = file.infolist()
        _too_much(archive, sum(entry.file_size for entry in entries), packed, len(entries), bounds)
        for entry in tqdm(entries, desc=f"unpacking {archive.name}", disable=None):
            names.check(entry.orig_filename)  # zipfile itself cuts and rewrites `filename` on some systems
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{archive}: the entry {entry.filename!r} is a link or a device: refused")
            if entry.flag_bits & 0x1:
                raise InputError(f"{archive}: the entry {entry.filename!r} is encrypted: unpack it yourself, use --data")
            if entry.is_dir() or not is_kept(entry.orig_filename):
                continue
            with file.open(entry) as source:
                _write(source, folder / names.add(entry.orig_filename), entry.file_size, str(archive))
            pictures += is_picture(entry.orig_filename)
    return pictures


def _extract_tar(archive: Path, folder: Path, bounds: Bounds) -> int:
    names, pictures, entries = Names(str(archive)), 0, 0
    with contextlib.closing(_Bounded(archive, bounds)) as stream, tarfile.open(fileobj=stream, mode="r|") as file:
        bar = tqdm(desc=f"unpacking {archive.name}", unit=" files", disable=None)
        with bar:
            for member in file:
                entries += 1
                bar.update()
                _too_much(archive, stream.count + member.size, stream.packed, entries, bounds)
                names.check(member.name)
                if not (member.isreg() or member.isdir()) or member.issparse():
                    raise InputError(f"{archive}: the entry {member.name!r} is a link or a device: refused")
                if member.isdir() or not is_kept(member.name):
                    continue
                source = file.extractfile(member)
                assert source is not None  # a regular member always has a body
                _write(source, folder / names.add(member.name), member.size, str(archive))
                pictures += is_picture(member.name)
        while stream.read(BLOCK):  # gzip's checksum comes after the end of the tar
            pass
    return pictures


class _Bounded:
    """The decompressed bytes of an archive, as a stream that refuses to give more than the bounds allow.

    tarfile unpacks headers and skipped entries too, so a bound on the entries' sizes alone would not stop a bomb.
    """

    def __init__(self, archive: Path, bounds: Bounds):
        self.archive, self.bounds, self.count = archive, bounds, 0
        self.packed = archive.stat().st_size
        with open(archive, "rb") as file:
            start = file.read(6)
        opener: Callable[..., Any] = open
        if start.startswith(b"\x1f\x8b"):
            opener = gzip.open
        elif start.startswith(b"BZh"):
            opener = bz2.open
        elif start.startswith(b"\xfd7zXZ\0"):
            opener = lzma.open
        self._file: IO[bytes] = opener(archive, "rb")

    def read(self, size: int) -> bytes:
        try:
            block = self._file.read(size)
        except OSError as error:  # bz2 and gzip report damage this way
            raise EOFError(str(error)) from None
        self.count += len(block)
        _too_much(self.archive, self.count, self.packed, 0, self.bounds)
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
        raise InputError(f"{where}: the entry {path.name!r} is not as long as it says: the archive is damaged")
