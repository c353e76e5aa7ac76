"""Files from the network: whole and checked, or one clear line and nothing left but what the next try goes on from.

`download` gets one file, `read_json` one small answer. What to get stands in `facegen.data.sources` (pictures) and in
`facegen.models` (weights and networks).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

import facegen
from facegen.data.pictures import say
from facegen.files import InputError, one_line, writing

T = TypeVar("T")
BLOCK = 1 << 16
MOST = 2 << 30  # bytes of a download whose size nobody knows beforehand
LONGEST_WAIT = 60.0  # seconds that a server's Retry-After is obeyed; whoever must wait longer is told so instead
LOCK_POLL = 0.1  # seconds between two looks at a lock that another process holds


class FetchError(InputError):
    """A download failed for good. One line: the address, what happened, what to do."""


class WrongFile(FetchError):
    """What arrived is whole, but not the file whose checksum was given."""


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
    """How long a server is waited for, in seconds."""

    timeout: float = 20.0  # without any sign of life, while connecting or reading, before a try is given up
    stall: float = 30.0  # over which the speed is judged; against a server that drips a byte now and then
    least_speed: float = 1000.0  # bytes per second below which such a stretch counts as a stall
    delays: tuple[float, ...] = (1.0, 3.0, 9.0)  # before the second, third, ... try; their number bounds the tries


# ----------------------------------------------------------------------------------------------------- checksums


def digest(path: str | Path, kind: str = "sha256") -> str:
    """A file's checksum in hexadecimal digits.

    Args:
        kind: "sha256", "md5", or "git": the id under which git stores the file, SHA-1 of "blob LENGTH\\0" + bytes.
    """
    if kind == "git":
        state = hashlib.sha1(b"blob %d\0" % os.path.getsize(path), usedforsecurity=False)
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
    checksums: tuple[str, ...] = (),
    *,
    size: int | None = None,
    most: int = MOST,
    patience: Patience | None = None,
    progress: Callable[[int], object] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Get `url` into `path`: checked, then renamed into place. A file that is there already is replaced.

    Bytes go to `path` + ".part". A broken download is taken up where it stopped (HTTP Range), in this call or a later
    one; a server without Range starts again. The file there may have changed between the pieces. With a checksum the
    whole is checked: a file in pieces that fails is fetched once more from its first byte, a fresh one that fails is
    removed and refused. Without one, pieces are joined only where the server's ETag or date says that they belong
    together (".part.json" keeps it), and a web page in place of the file is refused.

    Of several processes and threads that want the same file one downloads it and the others wait.

    Args:
        checksums: "sha256:...", "md5:...", "git:..."; all must hold. The content of an unchecked file is the caller's care.
        size: the file's length in bytes where it is known.
        most: bytes; nothing longer than this, or than `size`, is ever written.
        progress: called with the number of bytes that arrived (negative where a download starts again); None shows a bar.
        stop: set it from another thread to end the download at the next block.

    Raises:
        WrongFile: another content than the checksums say; it is removed.
        FetchError: not there, too long, a web page, or no success within the tries. Only a resumable ".part" is left.
        WriteError: the disk is full, or the system does not let us write there.
        Stopped: `stop` was set.
    """
    stop = stop or threading.Event()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path, stop) as waited:
            if waited and path.exists() and wrong_checksum(path, checksums) is None:
                if progress is not None:
                    progress(path.stat().st_size)
                return
            bar = tqdm(desc=path.name, total=size, unit="B", unit_scale=True, disable=None if progress is None else True)
            with bar:
                _Download(url, path, checksums, size, most, patience or Patience(), progress or bar.update, stop).run()


@dataclass
class _Download:
    """One call of `download`, with its arguments; `seen` is the number of bytes that the progress bar knows of."""

    url: str
    path: Path
    checksums: tuple[str, ...]
    size: int | None
    most: int
    patience: Patience
    progress: Callable[[int], object]
    stop: threading.Event
    seen: int = 0

    def __post_init__(self) -> None:
        self.part = self.path.with_name(self.path.name + ".part")
        self.about = self.path.with_name(self.path.name + ".part.json")

    def run(self) -> None:
        for _ in range(2):  # the second round only after a piecemeal file turned out wrong
            try:
                resumed = patiently(self._receive, self.patience, self.stop)
            except PassingError as error:
                raise FetchError(f"{self.url}: {error}; {self._what_is_left()}") from None
            wrong = wrong_checksum(self.part, self.checksums)
            if wrong is None:
                os.replace(self.part, self.path)
                self.about.unlink(missing_ok=True)
                return
            self._remove()
            self._at(0)
            if not resumed:
                break
        raise WrongFile(f"{self.url}: this is not the file that is expected here ({wrong}); it was removed")

    def _receive(self) -> bool:
        """One try to complete the .part. Returns whether it now consists of pieces from more than one answer."""
        offset, before = self._kept()
        self._at(offset)
        if offset and offset == (self.size or before.get("size")):
            return True  # an earlier run was stopped between the last byte and the check
        try:
            response = open_url(self.url, self.patience, offset)
        except PassingError as error:
            if error.code == 416:  # the server's file is shorter than what is here: start again
                self._remove()
            raise
        with response:
            try:
                resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
                if response.status == 206 and not resumed:
                    raise FetchError(f"{self.url}: the server sends another piece than it was asked for")
                offset = offset if resumed else 0
                total = self._checked_length(response, offset)
                tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
                now = {"url": self.url, "tag": tag, "size": total}
                if not self.checksums:
                    if resumed and now != before:
                        self._remove()
                        raise PassingError("the file there changed during the download")
                    self.about.write_text(json.dumps(now), encoding="utf-8")
                self._write(response, offset, total)
            except (FetchError, OSError):  # refused, or a full disk: nothing to go on from
                self._remove()
                raise
        return resumed

    def _kept(self) -> tuple[int, dict[str, Any]]:
        """How many bytes of an earlier try may be continued, and what is known of the file that they belong to."""
        offset, before = self.part.stat().st_size if self.part.exists() else 0, {}
        if not self.checksums:  # then only the server can say whether two pieces belong together
            with contextlib.suppress(OSError, ValueError):
                read = json.loads(self.about.read_text(encoding="utf-8"))
                before = read if isinstance(read, dict) else {}
            offset = offset if before.get("tag") and before.get("url") == self.url else 0
        return (offset if offset <= (self.size or self.most) else 0), before

    def _checked_length(self, response: http.client.HTTPResponse, offset: int) -> int | None:
        """The whole file's length as the answer gives it, None where it gives none. Refuses what cannot be the file."""
        scheme = urllib.parse.urlsplit(response.url).scheme
        if self.url.lower().startswith("https:") and scheme != "https":
            raise FetchError(f"{self.url}: the server sends us on to {response.url}, which is not safe: look at it yourself")
        pages = ("text/html", "application/xhtml+xml", "application/json", "text/xml")
        if not self.checksums and response.headers.get_content_type() in pages:
            raise self._web_page()
        length = response.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdigit() else None
        if total is None and not (self.checksums or response.chunked):
            raise FetchError(
                f"{self.url}: the server does not say how long the file is, so a broken download would not be seen: "
                "add #sha256=... to the address"
            )
        if total is not None:
            if self.size not in (None, total):
                raise FetchError(f"{self.url}: the file there has {total} bytes, not {self.size}: it is not the one expected")
            if total == 0 and self.size is None:
                raise FetchError(f"{self.url}: the file there is empty")
            if total > self.most:
                raise FetchError(f"{self.url}: the file there has {total} bytes, more than the {self.most} that it may have")
            free = shutil.disk_usage(self.path.parent).free
            if total - offset > free:
                raise FetchError(
                    f"{self.path.parent}: {total >> 20} MiB are needed and {free >> 20} MiB are free: make room there, or "
                    "set FACEGEN_CACHE to another folder"
                )
        return total

    def _write(self, response: http.client.HTTPResponse, offset: int, total: int | None) -> None:
        """The body behind the first `offset` bytes of the .part."""
        limit = next(n for n in (self.size, total, self.most) if n is not None)
        self._at(offset)
        with open(self.part, "ab" if offset else "wb") as file:
            for block in blocks(response, self.patience, self.stop):
                if not (self.checksums or offset) and re.match(rb"\s*<(!doctype|html|\?xml)", block[:512], re.IGNORECASE):
                    raise self._web_page()
                offset += len(block)
                if offset > limit:
                    raise FetchError(f"{self.url}: the server sends more than the {limit} bytes that the file may have")
                file.write(block)
                self._at(offset)
        if offset < (total or self.size or 1):
            raise PassingError(f"the connection ended after {offset} of {total or self.size or '?'} bytes")

    def _at(self, position: int) -> None:
        """Turn "we are at this byte" into the steps that a progress bar counts."""
        self.progress(position - self.seen)
        self.seen = position

    def _web_page(self) -> FetchError:
        return FetchError(f"{self.url}: the answer is a web page or a message, not the file: open the address in a browser")

    def _what_is_left(self) -> str:
        """Advice after the last try, in words; an empty .part is removed."""
        kept = self.part.stat().st_size if self.part.exists() else 0
        if kept:
            return f"{kept} bytes are kept: run the same command again to go on from there"
        self._remove()
        return "check the connection and run the same command again"

    def _remove(self) -> None:
        self.part.unlink(missing_ok=True)
        self.about.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: Path, stop: threading.Event | None = None) -> Iterator[bool]:
    """At most one process, and one thread of it, is inside the block for this path at a time; the others say so and wait.

    The lock is on a file `path` + ".lock", whose folder must exist, and ends with the process that holds it.

    Args:
        stop: set it from another thread to end the waiting.

    Yields:
        Whether another one has been waited for.

    Raises:
        Stopped: `stop` was set.
    """
    stop, name, waited = stop or threading.Event(), path.with_name(path.name + ".lock"), False
    while True:
        lock = FileLock(name)
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            if not waited:
                say(f"{path.name}: another process is fetching it: waiting")
            waited = True
        if stop.wait(LOCK_POLL):
            raise Stopped
    try:
        yield waited
    finally:
        # Removed while it is held: filelock sees that the file that it has opened meanwhile is gone, and we try again.
        with contextlib.suppress(OSError):
            name.unlink()
        lock.release()


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
        raise PassingError(in_words(error)) from None
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
            raise PassingError(in_words(error)) from None
        if not block:
            return
        yield block
        arrived += len(block)
        elapsed = time.monotonic() - since
        if elapsed >= patience.stall:
            if arrived < patience.least_speed * elapsed:
                raise PassingError(f"the download stalled: {arrived} bytes in {elapsed:.1f} s")
            since, arrived = time.monotonic(), 0


def in_words(error: Exception) -> str:
    """A network fault as one short line."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    return one_line(getattr(reason, "strerror", None) or str(reason) or type(reason).__name__)
