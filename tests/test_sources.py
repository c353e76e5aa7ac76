"""The table of sources and the fetch, against a server on this machine that misbehaves in every way it can."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import os
import stat
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegen.data import archives
from facegen.data import fetch as machinery
from facegen.data.archives import extract
from facegen.data.fetch import FetchError, Patience, digest, download, read_json
from facegen.data.sources import SOURCES, Repository, fetch, table
from facegen.files import InputError, replacing_folder

QUICK = Patience(delays=(0.0, 0.0, 0.0))
ONCE = replace(QUICK, delays=())
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server:
    """Answers GET with `answers[path](handler)`; `log` holds (path, Range header) of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.log: list[tuple[str, str | None]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection per request: a cut one cannot harm the next

            def do_GET(self) -> None:
                outer.log.append((self.path, self.headers.get("Range")))
                answer = outer.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                else:
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # clients that hang up are what many of these tests are about
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


def body(content: bytes, *, send: int | None = None, ranges: bool = True, **headers: str) -> Callable:
    """An answer with `content`; only `send` bytes of it before the connection is cut; with or without Range."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range") if ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content[start : len(content) if send is None else max(start, send)])

    return answer


def status(code: int, **headers: str) -> Callable:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()

    return answer


def in_turn(*answers: Callable) -> Callable:
    """The first answer to the first request, and so on; the last one stays."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def picture(seed: int, suffix: str = ".jpg", size: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG" if suffix == ".png" else "JPEG")
    return file.getvalue()


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def one_line(caught: pytest.ExceptionInfo[InputError], *parts: str) -> None:
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    for part in parts:
        assert part in text, f"{part!r} is not in {text!r}"


CONTENT = bytes(range(256)) * 400  # 102,400 bytes: more than one block


# ------------------------------------------------------------------------------------------------ one download


def test_download_puts_the_checked_file_in_place(server: Server, tmp_path: Path) -> None:
    server.answers["/a.jpg"] = body(CONTENT)
    steps: list[int] = []
    download(f"{server.url}/a.jpg", tmp_path / "a.jpg", (sha256(CONTENT),), size=len(CONTENT), progress=steps.append)
    assert (tmp_path / "a.jpg").read_bytes() == CONTENT
    assert sum(steps) == len(CONTENT)
    assert everything(tmp_path) == ["a.jpg"]


def tagged(content: bytes, tag: str | None, *, send: int | None = None) -> Callable:
    """As `body`, with an ETag, which says that pieces with the same one belong together."""
    headers = {"ETag": tag} if tag else {}
    return body(content, send=send, **headers)


def test_without_a_checksum_pieces_are_joined_by_the_servers_tag_alone(server: Server, tmp_path: Path) -> None:
    old = bytes(reversed(CONTENT))
    for first, second, asked in (
        (tagged(CONTENT, "one", send=30_000), tagged(CONTENT, "one"), [None, "bytes=30000-"]),
        (tagged(old, "old", send=30_000), tagged(CONTENT, "new"), [None, "bytes=30000-", None]),
        (tagged(old, None, send=30_000), tagged(CONTENT, None), [None, None]),
    ):
        server.log.clear()
        server.answers["/a"] = in_turn(first, second)
        download(f"{server.url}/a", tmp_path / "a", patience=QUICK)
        assert (tmp_path / "a").read_bytes() == CONTENT and everything(tmp_path) == ["a"]
        assert [range_ for _, range_ in server.log] == asked


def test_without_a_checksum_a_later_call_resumes_what_is_of_the_same_address(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = server.answers["/b"] = tagged(CONTENT, "one", send=30_000)
    with pytest.raises(FetchError, match="30000 bytes are kept"):
        download(f"{server.url}/a", tmp_path / "a", patience=ONCE)
    assert everything(tmp_path) == ["a.part", "a.part.json"]
    server.answers["/a"] = server.answers["/b"] = tagged(CONTENT, "one")
    download(f"{server.url}/a", tmp_path / "a", patience=ONCE)
    assert server.log[-1] == ("/a", "bytes=30000-") and everything(tmp_path) == ["a"]
    (tmp_path / "a").rename(tmp_path / "a.part")
    (tmp_path / "a.part.json").write_text(json.dumps({"url": f"{server.url}/a", "tag": "one", "size": len(CONTENT)}))
    download(f"{server.url}/b", tmp_path / "a", patience=ONCE)
    assert server.log[-1] == ("/b", None) and (tmp_path / "a").read_bytes() == CONTENT


def test_without_a_checksum_what_cannot_be_the_file_is_refused(server: Server, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><title>Log in</title>" + bytes(1000)
    server.answers["/page"] = body(page, Content_Type="text/html; charset=utf-8")
    server.answers["/hidden"] = body(b"\r\n " + page)
    server.answers["/empty"] = body(b"")
    server.answers["/endless"] = status(200)  # no length, no checksum: its end would not be known from a break
    server.answers["/large"] = body(CONTENT)
    server.answers["/other"] = lambda handler: (
        handler.send_response(206),
        handler.send_header("Content-Range", "bytes 7-9/10"),
        handler.send_header("Content-Length", "3"),
        handler.end_headers(),
    )
    for path, reason in {
        "/page": "web page",
        "/hidden": "web page",
        "/empty": "empty",
        "/endless": "does not say how long",
        "/large": "has 102400 bytes, more than the 1000",
        "/other": "another piece",
    }.items():
        with pytest.raises(FetchError) as caught:
            download(server.url + path, tmp_path / "a", most=2000 if path != "/large" else 1000, patience=ONCE)
        one_line(caught, path, reason)
        assert everything(tmp_path) == []


def test_of_two_that_want_the_same_file_one_waits(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(handler: http.server.BaseHTTPRequestHandler) -> None:
        inside.set()
        assert go_on.wait(30)
        body(CONTENT)(handler)

    server.answers["/a"] = slow
    both = [
        threading.Thread(target=download, args=(f"{server.url}/a", tmp_path / "a"), kwargs={"patience": QUICK}) for _ in "ab"
    ]
    for thread in both:
        thread.start()
    assert inside.wait(30)
    while "another process is fetching it: waiting" not in (said := capsys.readouterr().err):
        time.sleep(0.01)
    go_on.set()
    for thread in both:
        thread.join()
    assert said.count("waiting") == 1 and len(server.log) == 1 and everything(tmp_path) == ["a"]


@pytest.mark.parametrize("sums", [("sha256:" + "0" * 64,), ("git:" + "0" * 40,), ("md5:" + "0" * 32,)])
def test_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path, sums: tuple[str, ...]) -> None:
    server.answers["/a.jpg"] = body(CONTENT)
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a.jpg", tmp_path / "a.jpg", sums, size=len(CONTENT), patience=QUICK)
    one_line(caught, "/a.jpg", "not the file that is expected", sums[0].split(":")[0])
    assert everything(tmp_path) == []
    assert len(server.log) == 1  # the content would not be better a second time


def test_every_checksum_must_hold(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = body(CONTENT)
    with pytest.raises(FetchError, match="sha256"):
        download(f"{server.url}/a", tmp_path / "a", (f"git:{blob_id(CONTENT)}", "sha256:" + "1" * 64), size=len(CONTENT))
    assert everything(tmp_path) == []


def test_another_length_is_another_file(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = body(CONTENT + b"more")
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    one_line(caught, f"has {len(CONTENT) + 4} bytes")
    assert everything(tmp_path) == []


def test_never_writes_more_than_the_size(server: Server, tmp_path: Path) -> None:
    def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)  # no Content-Length: only the reader can end this
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(bytes(65536))

    server.answers["/a"] = endless
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(bytes(1000)),), size=1000, patience=ONCE)
    one_line(caught, "more than the 1000 bytes")
    assert everything(tmp_path) == []


def test_truncated_body_is_resumed(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(body(CONTENT, send=30_000), body(CONTENT, send=70_000), body(CONTENT))
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [asked for _, asked in server.log] == [None, "bytes=30000-", "bytes=70000-"]
    assert everything(tmp_path) == ["a"]


def test_always_truncated_ends_with_a_part_that_the_next_call_resumes(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = body(CONTENT, send=30_000)
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    one_line(caught, "ended after 30000 of 102400 bytes", "30000 bytes are kept", "run the same command again")
    assert len(server.log) == 1 + len(QUICK.delays)
    assert everything(tmp_path) == ["a.part"]
    server.answers["/a"] = body(CONTENT)
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert server.log[-1] == ("/a", "bytes=30000-")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert everything(tmp_path) == ["a"]


def test_server_without_range_starts_again(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(body(CONTENT, send=30_000), body(CONTENT, ranges=False))
    steps: list[int] = []
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK, progress=steps.append)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert -30_000 in steps and sum(steps) == len(CONTENT)


def test_file_changed_between_the_tries_is_never_spliced(server: Server, tmp_path: Path) -> None:
    old = bytes(reversed(CONTENT))
    server.answers["/a"] = in_turn(body(old, send=30_000), body(CONTENT))
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [asked for _, asked in server.log] == [None, "bytes=30000-", None]  # pieces, refused, whole
    # and where the new version is not the expected one
    server.answers["/b"] = in_turn(body(CONTENT, send=30_000), body(old))
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/b", tmp_path / "b", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    one_line(caught, "not the file that is expected")
    assert everything(tmp_path) == ["a"]


def test_a_full_part_is_checked_not_fetched(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT)
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert server.log == [] and everything(tmp_path) == ["a"]


def test_too_long_a_part_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT + b"x")
    server.answers["/a"] = body(CONTENT)
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert server.log == [("/a", None)] and everything(tmp_path) == ["a"]


def test_a_full_disk_is_named_with_the_file_and_leaves_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.FileIO):
        def write(self, block: bytes) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(machinery, "open", lambda path, mode: Full(path, mode.replace("b", "")), raising=False)
    server.answers["/a"] = body(CONTENT)
    with pytest.raises(InputError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), patience=QUICK)
    one_line(caught, f"{tmp_path / 'a'}: no space left on the disk")
    assert everything(tmp_path) == [] and len(server.log) == 1


def test_404_is_final(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/gone.jpg", tmp_path / "gone.jpg", (sha256(b""),), size=10, patience=QUICK)
    one_line(caught, "/gone.jpg", "not found (404)")
    assert len(server.log) == 1 and everything(tmp_path) == []


def test_5xx_twice_then_200(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(status(503, Retry_After="0"), status(500), body(CONTENT))
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    assert len(server.log) == 3 and (tmp_path / "a").read_bytes() == CONTENT


def test_5xx_for_ever(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = status(502)
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=QUICK)
    one_line(caught, "502", "run the same command again")
    assert len(server.log) == 4 and everything(tmp_path) == []


def test_a_long_retry_after_is_told_not_waited_for(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = status(429, Retry_After="7200")
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(b"12345"),), size=5, patience=QUICK)
    one_line(caught, "429", "120 minutes")
    assert len(server.log) == 1


def test_hourly_limit_is_named(server: Server) -> None:
    server.answers["/a"] = status(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(int(time.time()) + 600))
    with pytest.raises(FetchError) as caught:
        read_json(f"{server.url}/a", QUICK)
    one_line(caught, "hourly limit", "try again after")


def test_slow_drip_is_a_stall(server: Server, tmp_path: Path) -> None:
    def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(CONTENT)))
        handler.end_headers()
        for i in range(len(CONTENT)):  # 20 bytes a second, for more than an hour if nobody hangs up
            try:
                handler.wfile.write(CONTENT[i : i + 1])
                handler.wfile.flush()
            except OSError:
                return
            time.sleep(0.05)

    server.answers["/a"] = drip
    impatient = replace(ONCE, stall=0.5, least_speed=1000)
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=impatient)
    one_line(caught, "/a", "stalled", "run the same command again")
    left = (tmp_path / "a.part").read_bytes()
    assert everything(tmp_path) == ["a.part"] and left == CONTENT[: len(left)] and len(left) < 200  # it was not heard out


def test_silence_times_out(server: Server, tmp_path: Path) -> None:
    given_up = threading.Event()
    server.answers["/a"] = lambda handler: given_up.wait()
    with pytest.raises(FetchError) as caught:
        download(f"{server.url}/a", tmp_path / "a", (sha256(b"12345"),), size=5, patience=replace(ONCE, timeout=0.2))
    given_up.set()
    one_line(caught, "no answer in time")
    assert everything(tmp_path) == []


def test_no_server_at_all(tmp_path: Path) -> None:
    gone = Server()
    gone.close()
    with pytest.raises(FetchError) as caught:
        download(f"{gone.url}/a", tmp_path / "a", (sha256(b"12345"),), size=5, patience=QUICK)
    one_line(caught, gone.url, "refused", "check the connection")
    assert everything(tmp_path) == []


def test_delays_are_waited_for(server: Server, tmp_path: Path) -> None:
    server.answers["/a"] = in_turn(status(500), body(CONTENT))
    started = time.monotonic()
    patience = replace(QUICK, delays=(0.3,))
    download(f"{server.url}/a", tmp_path / "a", (sha256(CONTENT),), size=len(CONTENT), patience=patience)
    assert time.monotonic() - started >= 0.3


def test_read_json_refuses_pages_and_floods(server: Server) -> None:
    server.answers["/page"] = body(b"<html>please log in</html>")
    with pytest.raises(FetchError, match="not JSON"):
        read_json(f"{server.url}/page", QUICK)
    server.answers["/flood"] = body(b"[" + b"0," * 5000 + b"0]")
    with pytest.raises(FetchError, match="longer than 1000 bytes"):
        read_json(f"{server.url}/flood", QUICK, limit=1000)
    server.answers["/cut"] = in_turn(body(b'{"a": 1}', send=3), body(b'{"a": 1}'))
    assert read_json(f"{server.url}/cut", QUICK) == {"a": 1}


# --------------------------------------------------------------------------------------------------- repositories


class Repo:
    """A made-up repository behind GitHub's two interfaces, and the source that names it."""

    def __init__(self, server: Server, files: dict[str, bytes], folders: tuple[tuple[str, str], ...], **more: object):
        self.server, self.files, self.name = server, files, "owner/faces"
        self.source = replace(
            SOURCES["congress"],
            repositories=(Repository(self.name, COMMIT[:8], folders, ("ratings.csv",)),),
            **more,
        )
        commit = {"commit": {"tree": {"sha": "root"}}, "sha": COMMIT}
        server.answers[f"/repos/{self.name}/commits/{COMMIT[:8]}"] = body(json.dumps(commit).encode())
        self.list([self.entry(path, content) for path, content in files.items()])
        for path, content in files.items():
            server.answers[self.path(path)] = body(content)

    def path(self, file: str) -> str:
        return f"/{self.name}/{COMMIT}/{file}"

    def requests(self) -> list[str]:
        return [path for path, _ in self.server.log if path.startswith(f"/{self.name}/")]

    @staticmethod
    def entry(path: str, content: bytes, **other: object) -> dict[str, object]:
        blob = {"path": path, "mode": "100644", "type": "blob", "sha": blob_id(content), "size": len(content)}
        return blob | other

    def list(self, entries: list[dict[str, object]], **other: object) -> None:
        folders = [{"path": "congress", "mode": "040000", "type": "tree", "sha": "0" * 40}]
        answer = {"truncated": False, "tree": folders + entries} | other
        self.server.answers[f"/repos/{self.name}/git/trees/root?recursive=1"] = body(json.dumps(answer).encode())


@pytest.fixture
def repo(server: Server, monkeypatch: pytest.MonkeyPatch) -> Repo:
    files = {f"congress/450x550/A{i:06}.jpg": picture(i) for i in range(7)}
    files |= {"congress/450x550/notes.txt": b"no picture", "congress/original/A000000.jpg": picture(99)}
    files |= {"ratings.csv": b"stimulus,happy\n1,50\n", "setup.py": b"print()"}
    made = Repo(server, files, (("congress/450x550", ""),))
    monkeypatch.setitem(SOURCES, "congress", made.source)
    return made


PUBLISHED = sorted([*(f"A{i:06}.jpg" for i in range(7)), "SHA256SUMS", "SOURCE.json", "ratings.csv"])


def test_fetch_from_a_repository(repo: Repo, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "deep" / "congress"
    assert fetch("congress", dest, base_url=repo.server.url, patience=QUICK) == dest
    assert everything(tmp_path / "deep") == [f"congress/{name}" for name in PUBLISHED]
    for i in range(7):
        assert (dest / f"A{i:06}.jpg").read_bytes() == repo.files[f"congress/450x550/A{i:06}.jpg"]
    card = json.loads((dest / "SOURCE.json").read_text())
    assert card["name"] == "congress" and card["commit"] == COMMIT and card["pictures"] == 7
    assert card["repository"] == "https://github.com/owner/faces"
    assert card["licence"] == "Public domain" and card["terms"] and card["citation"] and len(card["fetched"]) == 10
    for line in (dest / "SHA256SUMS").read_text().splitlines():
        expected, name = line.split("  ", 1)
        assert hashlib.sha256((dest / name).read_bytes()).hexdigest() == expected
    said = capsys.readouterr().out
    assert "Public domain" in said and "cite:" in said and f"--data {dest}" in said

    asked = len(repo.server.log)
    assert fetch("congress", dest, base_url=repo.server.url, patience=QUICK) == dest
    assert len(repo.server.log) == asked, "a complete folder must not be fetched again"
    assert "nothing to do" in capsys.readouterr().out


def test_default_place_is_data_name(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetch("congress", base_url=repo.server.url, patience=QUICK) == Path("data/congress")
    assert everything(tmp_path / "data" / "congress") == PUBLISHED


def test_two_folders_stay_two_folders(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"{sex}/512/{i}.jpg": picture(i + len(sex)) for sex in ("female", "male") for i in range(3)}
    made = Repo(server, files, (("female/512", "female"), ("male/512", "male")), images=6)
    monkeypatch.setitem(SOURCES, "congress", made.source)
    dest = fetch("congress", tmp_path / "f", base_url=server.url, patience=QUICK)
    assert [p for p in everything(dest) if p.endswith(".jpg")] == sorted(
        f"{sex}/{i}.jpg" for sex in ("female", "male") for i in range(3)
    )
    assert (dest / "female" / "1.jpg").read_bytes() == files["female/512/1.jpg"]


def test_a_broken_fetch_goes_on_where_it_was(repo: Repo, tmp_path: Path) -> None:
    bad = repo.path("congress/450x550/A000003.jpg")
    whole = repo.server.answers[bad]
    repo.server.answers[bad] = body(repo.files["congress/450x550/A000003.jpg"], send=100)
    with pytest.raises(FetchError) as caught:
        fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK, threads=1)
    one_line(caught, "congress: ", "A000003.jpg", "100 bytes are kept")
    assert not (tmp_path / "c").exists()
    assert "c.part/A000003.jpg.part" in everything(tmp_path) and "c.part/A000002.jpg" in everything(tmp_path)

    repo.server.answers[bad] = whole
    (tmp_path / "c.part" / "A000001.jpg").write_bytes(b"damaged meanwhile")
    repo.server.log.clear()
    fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK, threads=1)
    assert everything(tmp_path / "c") == PUBLISHED and not (tmp_path / "c.part").exists()
    asked = repo.requests()
    assert repo.path("congress/450x550/A000000.jpg") not in asked, "a checked file was fetched twice"
    assert repo.path("congress/450x550/A000001.jpg") in asked, "a damaged file must be fetched again"
    assert (bad, "bytes=100-") in repo.server.log


def test_only_what_was_checked_is_published(repo: Repo, tmp_path: Path) -> None:
    repo.server.answers[repo.path("congress/450x550/A000003.jpg")] = status(500)
    with pytest.raises(FetchError):
        fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK, threads=1)
    (tmp_path / "c.part" / ".A.x.part.jpg").write_bytes(b"left by a killed process")
    (tmp_path / "c.part" / "stray.jpg").write_bytes(b"nobody knows")
    repo.server.answers[repo.path("congress/450x550/A000003.jpg")] = body(repo.files["congress/450x550/A000003.jpg"])
    fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
    assert everything(tmp_path / "c") == PUBLISHED


def test_a_part_folder_of_somebody_else_is_left_alone(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "c.part").mkdir()
    (tmp_path / "c.part" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(InputError) as caught:
        fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
    one_line(caught, "c.part is in the way", "remove it first")
    assert everything(tmp_path) == ["c.part/mine.jpg"] and repo.server.log == []


def test_a_place_that_cannot_be_written(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError) as caught:
        fetch("congress", tmp_path / "file" / "c", base_url=repo.server.url, patience=QUICK)
    one_line(caught, "congress: ", "File exists")


def test_a_changed_picture_is_refused(repo: Repo, tmp_path: Path) -> None:
    right = repo.files["congress/450x550/A000000.jpg"]
    repo.server.answers[repo.path("congress/450x550/A000000.jpg")] = body(bytes(len(right)))
    with pytest.raises(FetchError) as caught:
        fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK, threads=1)
    one_line(caught, "A000000.jpg", "its git is")
    assert everything(tmp_path) == [], "the first file failed: there is nothing to continue from"
    assert not list(tmp_path.iterdir())


def test_the_mirror_steps_in(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (known,) = repo.source.repositories
    both = replace(repo.source, repositories=(replace(known, name="moved/away"), known))
    monkeypatch.setitem(SOURCES, "congress", both)
    fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
    assert json.loads((tmp_path / "c" / "SOURCE.json").read_text())["repository"].endswith("owner/faces")
    neither = replace(repo.source, repositories=(replace(known, name="moved/away"), replace(known, name="also/gone")))
    monkeypatch.setitem(SOURCES, "congress", neither)
    with pytest.raises(FetchError) as caught:
        fetch("congress", tmp_path / "d", base_url=repo.server.url, patience=QUICK)
    one_line(caught, "moved/away", "not found (404)")
    assert not list(tmp_path.glob("d*"))


def test_hostile_or_broken_listings(repo: Repo, tmp_path: Path) -> None:
    inside = "congress/450x550/"
    for reason, path, change, whole in (
        ("no pictures", f"{inside}../a.jpg", {}, {}),
        ("no pictures", f"/{inside}a.jpg", {}, {}),
        ("has a backslash", f"{inside}b\\a.jpg", {}, {}),
        ("no pictures", f"{inside}a.jpg", {"mode": "120000"}, {}),
        ("no pictures", "other/a.jpg", {}, {}),
        ("no pictures", f"{inside}deeper/a.jpg", {}, {}),
        ("only in part", f"{inside}a.jpg", {}, {"truncated": True}),
        ("does not describe", f"{inside}a.jpg", {"size": "many"}, {}),
        ("does not describe", f"{inside}a.jpg", {}, {"tree": 3}),
    ):
        repo.list([repo.entry(path, b"abc", **change)], **whole)
        with pytest.raises(InputError) as caught:
            fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
        one_line(caught, reason)
        assert not list(tmp_path.iterdir())


def test_two_that_fetch_into_one_folder_fetch_it_once(repo: Repo, tmp_path: Path) -> None:
    options = {"base_url": repo.server.url, "patience": QUICK}
    both = [threading.Thread(target=fetch, args=("congress", tmp_path / "c"), kwargs=options) for _ in "ab"]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert everything(tmp_path / "c") == PUBLISHED and len(repo.requests()) == 8
    assert not (tmp_path / "c.part").exists()


def test_too_few_pictures(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "congress", replace(repo.source, images=8))
    with pytest.raises(InputError) as caught:
        fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
    one_line(caught, "7 pictures, 8 are expected")


def test_a_published_folder_is_checked(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = fetch("congress", tmp_path / "c", base_url=repo.server.url, patience=QUICK)
    (dest / "A000004.jpg").write_bytes(b"changed")
    with pytest.raises(InputError) as caught:
        fetch("congress", dest, base_url=repo.server.url, patience=QUICK)
    one_line(caught, "1 of 8 files", "A000004.jpg", "remove the folder")
    with pytest.raises(InputError, match="holds another source"):
        fetch("omi", dest)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        fetch("congress", tmp_path / "mine", base_url=repo.server.url)
    assert everything(tmp_path / "mine") == ["x.txt"]
    (tmp_path / "empty").mkdir()
    assert everything(fetch("congress", tmp_path / "empty", base_url=repo.server.url, patience=QUICK)) == PUBLISHED


# ------------------------------------------------------------------------------------------------------- archives


def make_zip(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def make_tar(path: Path, entries: list[tuple[str, bytes | tarfile.TarInfo]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in entries:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            file.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def refused(archive: Path, *parts: str) -> None:
    """The archive is refused with one line, and neither the folder nor anything beside it exists afterwards."""
    before = everything(archive.parent.parent)
    with pytest.raises(InputError) as caught, replacing_folder(archive.parent / "out") as folder:
        extract(archive, folder)
    one_line(caught, archive.name, *parts)
    assert everything(archive.parent.parent) == before
    assert not (archive.parent / "out").exists()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder with a parent that is watched too: where an escaping entry would land."""
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_extract_keeps_pictures_and_lists_only(shelf: Path, kind: str) -> None:
    entries = [
        ("set/a/1.jpg", picture(1)),
        ("set/b/2.PNG", picture(2, ".png")),
        ("./set/c 3.jpeg", picture(3)),
        ("set/dataset.json", b"{}"),
        ("set/run.sh", b"rm -rf /"),
        ("set/model.pkl", b"\x80\x04"),
        ("__MACOSX/set/a/._1.jpg", b"shadow"),
        ("set/a/._1.jpg", b"shadow"),
    ]
    archive = shelf / ("x.zip" if kind == "zip" else "x.tar")
    archive = make_zip(archive, entries) if kind == "zip" else make_tar(archive, entries, kind)
    with replacing_folder(shelf / "out") as folder:
        assert extract(archive, folder) == 3
    assert everything(shelf / "out") == ["set/a/1.jpg", "set/b/2.PNG", "set/c 3.jpeg", "set/dataset.json"]
    assert (shelf / "out" / "set" / "b" / "2.PNG").read_bytes() == picture(2, ".png")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.jpg", "leads out"),
        ("a/../../evil.jpg", "leads out"),
        ("/etc/evil.jpg", "absolute"),
        ("..\\evil.jpg", "backslash"),
        ("C:/evil.jpg", "colon"),
        ("C:evil.jpg", "colon"),
        ("../evil.txt", "leads out"),  # would not be unpacked anyway, but says what kind of archive this is
        ("a\n.jpg", "does not work on every system"),
        ("a./b.jpg", "does not work on every system"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(shelf: Path, name: str, reason: str, kind: str) -> None:
    entries = [("fine.jpg", picture(0)), (name, picture(1))]
    refused(make_zip(shelf / "x.zip", entries) if kind == "zip" else make_tar(shelf / "x.tgz", entries), reason)


def test_zero_byte_in_a_zip_name(shelf: Path) -> None:
    archive = make_zip(shelf / "x.zip", [("evil.jpgX.jpg", picture(0))])
    archive.write_bytes(archive.read_bytes().replace(b"evil.jpgX.jpg", b"evil.jpg\0.jpg"))
    refused(archive, "zero byte")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_a_tar_are_refused(shelf: Path, kind: bytes) -> None:
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = kind, "../../outside.jpg"
    refused(make_tar(shelf / "x.tgz", [("a.jpg", picture(0)), ("link.jpg", link)]), "link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_a_zip_are_refused(shelf: Path, kind: int) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (kind | 0o777) << 16
    refused(make_zip(shelf / "x.zip", [("a.jpg", picture(0)), (link, b"/etc/passwd")]), "link or a device")


@pytest.mark.parametrize(
    ("one", "two"),
    [("a.jpg", "A.JPG"), ("a.jpg", "a.jpg"), ("x.jpg", "x.jpg/y.jpg"), ("x.jpg/y.jpg", "X.jpg"), ("é.jpg", "é.jpg")],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_meet_are_refused(shelf: Path, one: str, two: str, kind: str) -> None:
    entries = [(one, picture(0)), (two, picture(1))]
    refused(make_zip(shelf / "x.zip", entries) if kind == "zip" else make_tar(shelf / "x.tgz", entries), "overwrite each other")


def test_encrypted_zip_is_refused(shelf: Path) -> None:
    archive = make_zip(shelf / "x.zip", [("a.jpg", picture(0))])
    raw = bytearray(archive.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags in the local and the central header
        where = raw.index(signature) + at
        raw[where] |= 1
    archive.write_bytes(raw)
    refused(archive, "is encrypted: unpack it yourself")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bombs_are_refused(shelf: Path, kind: str) -> None:
    zeros = bytes(20 << 20)  # packs to 20 KB
    for inner in ("bomb.jpg", "bomb.bin"):  # also where the entry itself would be skipped
        entries = [("a.jpg", picture(0)), (inner, zeros)]
        archive = make_zip(shelf / "x.zip", entries) if kind == "zip" else make_tar(shelf / "x.tgz", entries)
        assert archive.stat().st_size < 100_000
        refused(archive, "100 times its size")


def test_a_bomb_in_a_tar_header_is_refused(shelf: Path) -> None:
    """A long name is read into memory before any entry is seen: the bound is on the stream, not on the entries."""
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers = {"comment": "x" * (20 << 20)}
    with tarfile.open(shelf / "x.tgz", "w:gz", format=tarfile.PAX_FORMAT) as file:
        file.addfile(info)
    refused(shelf / "x.tgz", "100 times its size")


def test_a_bomb_behind_the_end_of_a_tar_is_refused(shelf: Path) -> None:
    """Nobody asks for these bytes, but the checksum at the very end does not come without unpacking them."""
    make_tar(shelf / "x.tar", [("a.jpg", picture(0))], "w")
    (shelf / "x.tgz").write_bytes(gzip.compress((shelf / "x.tar").read_bytes() + bytes(20 << 20)))
    (shelf / "x.tar").unlink()
    refused(shelf / "x.tgz", "100 times its size")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_bounds_on_entries_and_bytes(shelf: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(f"{i}.jpg", os.urandom(5000)) for i in range(5)]
    archive = make_zip(shelf / "x.zip", entries) if kind == "zip" else make_tar(shelf / "x.tgz", entries)
    for name, value, reason in (("MOST_ENTRIES", 4, "more than 4 entries"), ("MOST_BYTES", 20_000, "MiB")):
        with monkeypatch.context() as patch:
            patch.setattr(archives, name, value)
            refused(archive, reason)


def test_a_zip_that_lies_about_a_length(shelf: Path) -> None:
    content = os.urandom(3000)
    archive = make_zip(shelf / "x.zip", [("a.jpg", content)], zipfile.ZIP_STORED)
    raw = archive.read_bytes()
    central = raw.index(b"PK\x01\x02")
    archive.write_bytes(raw[: central + 24] + struct.pack("<I", 1000) + raw[central + 28 :])
    refused(archive, "damaged")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damaged_archives(shelf: Path, kind: str) -> None:
    entries = [(f"{i}.jpg", os.urandom(50_000)) for i in range(3)]
    archive = make_zip(shelf / "x.zip", entries) if kind == "zip" else make_tar(shelf / "x.tgz", entries)
    raw = archive.read_bytes()
    archive.write_bytes(raw[: len(raw) // 2])
    refused(archive, "damaged or not a zip or tar")
    archive.write_bytes(raw[: len(raw) // 2] + bytes(1000) + raw[len(raw) // 2 + 1000 :])
    refused(archive, "damaged")
    archive.write_bytes(b"this is a text")
    refused(archive, "damaged or not a zip or tar")
    archive.write_bytes(b"")
    refused(archive, "damaged or not a zip or tar")


def test_an_archive_without_pictures(shelf: Path) -> None:
    refused(make_zip(shelf / "x.zip", [("readme.txt", b"hello")]), "no picture")


# ---------------------------------------------------------------------------------------- archives that users bring


def with_archive(monkeypatch: pytest.MonkeyPatch, name: str, archive: Path, images: int) -> None:
    """Let the table expect this archive's md5 and number of pictures."""
    md5 = "md5:" + hashlib.md5(archive.read_bytes()).hexdigest()
    archives = ((archive.name, md5), *SOURCES[name].archives[1:])
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], archives=archives, images=images))


def test_lfw_from_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    people = [("Ada_Lovelace", 2), ("Alan_Turing", 1)]
    entries = [
        (f"lfw_funneled/{name}/{name}_{i + 1:04}.jpg", picture(i + len(name), size=250)) for name, n in people for i in range(n)
    ]
    archive = make_tar(tmp_path / "lfw-funneled.tgz", [*entries, ("lfw_funneled/pairs_01.txt", b"10\n")])
    with pytest.raises(InputError) as caught:  # the real md5 is expected: this little archive is "broken"
        fetch("lfw", tmp_path / "lfw", archive=archive)
    one_line(caught, "lfw-funneled.tgz", "its md5 is", "1b42dfed7d15c9b2dd63d5e5840c86ad", "get it again")
    assert everything(tmp_path) == ["lfw-funneled.tgz"]

    with_archive(monkeypatch, "lfw", archive, 3)
    dest = fetch("lfw", tmp_path / "lfw", archive=archive)
    assert everything(dest) == sorted([*(name for name, _ in entries), "SHA256SUMS", "SOURCE.json"])
    card = json.loads((dest / "SOURCE.json").read_text())
    assert card["pictures"] == 3 and card["archive_sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert "Research use" in capsys.readouterr().out
    assert fetch("lfw", tmp_path / "lfw", archive=archive) == dest
    assert "nothing to do" in capsys.readouterr().out

    with_archive(monkeypatch, "lfw", archive, 4)
    with pytest.raises(InputError, match="3 pictures, 4 are expected"):
        fetch("lfw", tmp_path / "other", archive=archive)
    assert not (tmp_path / "other").exists()


def test_celeba_from_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(f"img_align_celeba/{i:06}.jpg", picture(i)) for i in range(1, 5)]
    archive = make_zip(tmp_path / "img_align_celeba.zip", entries)
    with pytest.raises(InputError, match="00d2c5bc6d35e252742224ab0c1e8fcb"):
        fetch("celeba", tmp_path / "c", archive=archive)
    with_archive(monkeypatch, "celeba", archive, 4)
    dest = fetch("celeba", tmp_path / "c", archive=archive)
    assert [p for p in everything(dest) if p.endswith(".jpg")] == [name for name, _ in entries]
    assert fetch("celeba", dest) == dest  # complete: no archive is needed to say so


def test_celeba64_has_no_published_checksum(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "p.zip", [("processed_celeba_small/celeba/New Folder/1.jpg", picture(1, size=64))])
    dest = fetch("celeba64", tmp_path / "c", archive=archive)
    assert everything(dest)[-1] == "processed_celeba_small/celeba/New Folder/1.jpg"
    assert "no checksum" in json.loads((dest / "SOURCE.json").read_text())["verified"]


def test_celeba_laid_out_for_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CelebA

    base = tmp_path / "celeba"
    (base / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in (1, 2, 3)]
    for i, name in enumerate(names):
        (base / "img_align_celeba" / name).write_bytes(picture(i))
    lists = {
        "list_attr_celeba.txt": "3\nSmiling Young\n" + "".join(f"{n} 1 -1\n" for n in names),
        "identity_CelebA.txt": "".join(f"{n} 7\n" for n in names),
        "list_bbox_celeba.txt": "3\nimage_id x y w h\n" + "".join(f"{n} 1 2 3 4\n" for n in names),
        "list_landmarks_align_celeba.txt": "3\nlx ly\n" + "".join(f"{n} 5 6\n" for n in names),
        "list_eval_partition.txt": "".join(f"{n} {i}\n" for i, n in enumerate(names)),
    }
    for name, text in lists.items():
        (base / name).write_text(text)
    with pytest.raises(InputError) as caught:  # the real lists have other md5s
        fetch("celeba", archive=tmp_path)
    one_line(caught, "torchvision's CelebA", "list_attr_celeba.txt")

    known = [("", hashlib.md5(text.encode()).hexdigest(), name) for name, text in lists.items()]
    monkeypatch.setattr(CelebA, "file_list", known)
    assert fetch("celeba", archive=tmp_path) == base / "img_align_celeba"
    assert fetch("celeba", archive=base) == base / "img_align_celeba"
    with pytest.raises(InputError, match="leave --dest out"):
        fetch("celeba", tmp_path / "dest", archive=tmp_path)
    (base / "img_align_celeba" / names[1]).unlink()
    with pytest.raises(InputError, match=r"1 pictures are missing, such as 000002\.jpg"):
        fetch("celeba", archive=tmp_path)


def test_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch("celeba", tmp_path / "c", archive=tmp_path / "no.zip")
    one_line(caught, "no.zip", "no such file", "img_align_celeba.zip")


# --------------------------------------------------------------------------------------------------- scikit-learn


def sklearn_loader(people: dict[str, int], log: list[dict[str, object]]) -> Callable:
    """Does what scikit-learn's loader documents: unpacks into data_home/lfw_home, returns a Bunch of arrays."""
    from sklearn.utils import Bunch

    def load(**asked: object) -> Bunch:
        log.append(asked)
        home = Path(str(asked["data_home"])) / "lfw_home"
        for person, number in people.items():
            (home / "lfw_funneled" / person).mkdir(parents=True)
            for i in range(number):
                (home / "lfw_funneled" / person / f"{person}_{i + 1:04}.jpg").write_bytes(picture(i, size=50))
        (home / "lfw_funneled" / "pairs_01.txt").write_text("10")
        (home / "pairs.txt").write_text("10")
        n = sum(people.values())
        images = np.zeros((n, 25, 25, 3), dtype=np.float32)
        names = np.array([person.replace("_", " ") for person in people])
        return Bunch(data=images.reshape(n, -1), images=images, target=np.zeros(n, dtype=np.int64), target_names=names)

    return load


def test_lfw_through_scikit_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[dict[str, object]] = []
    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", sklearn_loader({"Ada_Lovelace": 2, "Alan_Turing": 1}, log))
    monkeypatch.setitem(SOURCES, "lfw", replace(SOURCES["lfw"], images=3))
    dest = fetch("lfw", tmp_path / "lfw")
    assert log[0]["color"] is True and log[0]["slice_"] is None
    assert everything(dest) == [
        "SHA256SUMS",
        "SOURCE.json",
        "lfw_funneled/Ada_Lovelace/Ada_Lovelace_0001.jpg",
        "lfw_funneled/Ada_Lovelace/Ada_Lovelace_0002.jpg",
        "lfw_funneled/Alan_Turing/Alan_Turing_0001.jpg",
    ]
    assert everything(tmp_path) == [f"lfw/{name}" for name in everything(dest)], "nothing of scikit-learn's stays"
    assert fetch("lfw", dest) == dest and len(log) == 1


def test_the_loaders_parameters_exist() -> None:
    import inspect

    from sklearn.datasets import fetch_lfw_people

    known = inspect.signature(fetch_lfw_people).parameters
    assert {"data_home", "color", "slice_", "resize", "min_faces_per_person"} <= set(known)


def test_lfw_incomplete_or_unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", sklearn_loader({"Ada_Lovelace": 2}, []))
    with pytest.raises(InputError, match="2 pictures, 13233 are expected"):
        fetch("lfw", tmp_path / "lfw")

    def unreachable(**_: object) -> None:
        raise OSError("<urlopen error [Errno -3]\nTemporary failure in name resolution>")

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", unreachable)
    with pytest.raises(FetchError) as caught:
        fetch("lfw", tmp_path / "lfw")
    one_line(caught, "lfw: ", "name resolution", "--archive FILE")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------- table


def test_table_names_everything() -> None:
    for width in (72, 80, 100, 160):
        text = table(width)
        assert max(len(line) for line in text.splitlines()) <= width
        squeezed = "".join(text.split())
        for source in SOURCES.values():
            row = next(line for line in text.splitlines() if line.startswith(f"{source.name} "))
            assert source.size in row
            assert source.licence.split()[0] in squeezed
    wide = " ".join(table(160).split())
    for words in ("congress, omi, faker, lfw", "--archive FILE", "--data drawn", "PNAS", "CC BY-NC-SA 4.0"):
        assert words in wide


def test_the_entries_are_whole() -> None:
    for name, source in SOURCES.items():
        assert source.name == name
        for text in (source.contents, source.size, source.licence, source.terms, source.citation, source.home + source.how):
            assert text and "\n" not in text
        assert (source.kind == "repository") == bool(source.repositories)
        for repository in source.repositories:
            assert len(repository.commit) >= 8 and int(repository.commit, 16) > 0
        for _, checksum in source.archives:
            assert checksum == "" or (checksum.startswith("md5:") and len(checksum) == 36)


@pytest.mark.parametrize("name", ["ffhq", "anime", "drawn"])
def test_sources_that_are_not_fetched_say_what_to_pass(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch(name, tmp_path / "x")
    one_line(caught, name, "--data")
    assert not list(tmp_path.iterdir())


def test_wrong_requests(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch("celebs")
    one_line(caught, "celebs", "did you mean celeba", "congress")
    with pytest.raises(InputError, match="leave --archive out"):
        fetch("congress", tmp_path / "c", archive=tmp_path / "c.zip")
    with pytest.raises(InputError, match=r"img_align_celeba\.zip"):
        fetch("celeba", tmp_path / "c")
    with pytest.raises(InputError, match="pass it as --data"):
        fetch("lfw", tmp_path / "c", archive=tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="holds other files"):
        fetch("congress", tmp_path / "file")


def test_git_id_agrees_with_git() -> None:
    """The ids that `git hash-object` prints for an empty file and for "hello\\n"."""
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_digest_agrees_with_the_definitions(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello\n")
    assert digest(tmp_path / "a", "git") == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert digest(tmp_path / "a", "md5") == "b1946ac92492d2347c6235b4d2611184"
