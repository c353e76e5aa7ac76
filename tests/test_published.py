"""The table of published networks, and fetching a network file from a server on this machine that misbehaves."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facegen.data.fetch import FetchError, Patience, Stopped, exclusive
from facegen.files import InputError
from facegen.models import published
from facegen.models.published import PUBLISHED, fetch_network, network_file, table

QUICK = Patience(delays=(0.0, 0.0, 0.0))
CONTENT = b"\x80\x02" + bytes(range(256)) * 600  # 153,602 bytes: more than two blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Answers GET with `answers[path](handler)`; `log` holds the Range header of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.log: list[str | None] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # a connection per request: a cut one cannot harm the next

            def do_GET(self) -> None:
                outer.log.append(self.headers.get("Range"))
                answer = outer.answers.get(self.path)
                self.send_error(404) if answer is None else answer(self)

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


def body(content: bytes, *, send: int | None = None, tag: str | None = '"one"', length: bool = True, **headers: str):
    """An answer with `content`; only `send` bytes of it before the connection is cut."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length:
            handler.send_header("Content-Length", str(len(content) - start))
        if tag:
            handler.send_header("ETag", tag)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content[start : len(content) if send is None else max(start, send)])

    return answer


def in_turn(*answers: Callable) -> Callable:
    """The first answer to the first request, and so on; the last one stays."""
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refused(url: str, folder: Path, *words: str) -> None:
    with pytest.raises(FetchError) as caught:
        fetch_network(url, folder, patience=QUICK)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500 and url.split("#")[0] in text
    for word in words:
        assert word in text, f"{word!r} is not in {text!r}"


# -------------------------------------------------------------------------------------------------------- table


def test_the_table_names_every_network_with_address_and_terms():
    text = table()
    for network in PUBLISHED.values():
        assert network.name in text and network.url in text and network.data_terms in text
        assert network.url.startswith("https://") and network.url.endswith(".pkl")
        assert network.architecture in ("stylegan2", "stylegan3-t", "stylegan3-r")
        assert network.sha256 is None or len(network.sha256) == 64
    assert "non-commercial" in text and len({network.url for network in PUBLISHED.values()}) == len(PUBLISHED) == 34
    assert PUBLISHED["stylegan3-r-ffhqu-256x256"].resolution == 256
    assert PUBLISHED["stylegan2-ada-afhqcat"].url.endswith("/stylegan2-ada-pytorch/pretrained/afhqcat.pkl")


def test_a_name_of_the_table_is_fetched_under_its_name_with_its_terms(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FACEGEN_CACHE", str(tmp_path))
    known = published.Published("tiny", "stylegan2", 8, "FFHQ", "CC BY-NC-SA 4.0", f"{server.url}/a/ffhq.pkl")
    monkeypatch.setitem(PUBLISHED, "tiny", known)
    server.answers["/a/ffhq.pkl"] = body(CONTENT)
    path = network_file("tiny")
    assert path == tmp_path / "networks" / "tiny.pkl" and path.read_bytes() == CONTENT
    error = capsys.readouterr().err
    assert "NVIDIA Source Code License" in error and "CC BY-NC-SA 4.0" in error and SHA256 in error
    assert fetch_network(known.url) == path and len(server.log) == 1  # the same file, whether by name or by address


def test_files_names_and_addresses_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stylegan2-ada-ffhq").write_bytes(CONTENT)
    assert network_file("stylegan2-ada-ffhq") == Path("stylegan2-ada-ffhq")  # no download: the file is meant
    with pytest.raises(
        InputError, match=r"^stylegan2-ada-metface: no such network file: did you mean stylegan2-ada-metfaces\?$"
    ):
        network_file("stylegan2-ada-metface")
    with pytest.raises(InputError, match="facegen models"):
        network_file(tmp_path / "none.safetensors")
    for bad in ("file:///etc/passwd", "ftp://127.0.0.1/a.pkl", "http://", "https:///a.pkl", "http://[1/a.pkl"):
        with pytest.raises(FetchError, match="only http and https"):
            network_file(bad)
    assert names(tmp_path) == ["stylegan2-ada-ffhq"]


# ----------------------------------------------------------------------------------------------------- downloads


def test_a_first_download_is_noted_and_a_second_one_does_not_happen(server, tmp_path, capsys):
    server.answers["/x/network.pkl"] = body(CONTENT)
    path = fetch_network(f"{server.url}/x/network.pkl", tmp_path, patience=QUICK)
    assert path.read_bytes() == CONTENT and path.suffix == ".pkl" and path.name.startswith("network-")
    assert names(tmp_path) == [path.name, path.name + ".sha256"]
    assert (tmp_path / (path.name + ".sha256")).read_text() == f"{SHA256}  {path.name}\n"
    assert f"sha256 {SHA256} is noted" in capsys.readouterr().err
    assert fetch_network(f"{server.url}/x/network.pkl", tmp_path) == path and len(server.log) == 1
    assert capsys.readouterr().err == ""
    # Two addresses that end alike are two files.
    server.answers["/y/network.pkl"] = body(b"\x80\x02other")
    assert fetch_network(f"{server.url}/y/network.pkl", tmp_path, patience=QUICK).read_bytes() == b"\x80\x02other"
    assert path.read_bytes() == CONTENT


def test_a_damaged_file_is_fetched_again_and_a_changed_one_is_not_taken(server, tmp_path, capsys):
    url = f"{server.url}/network.pkl"
    server.answers["/network.pkl"] = body(CONTENT)
    path = fetch_network(url, tmp_path, patience=QUICK)
    path.write_bytes(CONTENT[:-1])
    assert fetch_network(url, tmp_path, patience=QUICK).read_bytes() == CONTENT and len(server.log) == 2
    assert "damaged" in capsys.readouterr().err
    path.unlink()
    server.answers["/network.pkl"] = body(bytes(reversed(CONTENT)))
    refused(url, tmp_path, "not the file that is expected", SHA256, "rightly replaced, delete", f"{path.name}.sha256 and run")
    assert names(tmp_path) == [path.name + ".sha256"]


def test_a_checksum_in_the_address_must_hold(server, tmp_path):
    url = f"{server.url}/network.pkl"
    server.answers["/network.pkl"] = body(CONTENT)
    with pytest.raises(FetchError, match=f"not the file that is expected here .*{SHA256}.*{'0' * 64}") as caught:
        fetch_network(f"{url}#sha256={'0' * 64}", tmp_path, patience=QUICK)
    assert "delete" not in str(caught.value) and names(tmp_path) == []  # it was not noted, but given
    refused(f"{url}#sha256=12", tmp_path, "64 hexadecimal digits")
    path = fetch_network(f"{url}#sha256={SHA256.upper()}", tmp_path, patience=QUICK)
    assert names(tmp_path) == [path.name] and path.read_bytes() == CONTENT  # nothing to note: it was given
    assert fetch_network(f"{url}#sha256={SHA256}", tmp_path) == path and len(server.log) == 2


def test_a_broken_download_is_resumed_in_the_call_and_in_the_next(server, tmp_path):
    url = f"{server.url}/network.pkl"
    server.answers["/network.pkl"] = in_turn(body(CONTENT, send=30_000), body(CONTENT))
    assert fetch_network(url, tmp_path / "a", patience=QUICK).read_bytes() == CONTENT
    assert server.log == [None, "bytes=30000-"]
    server.answers["/network.pkl"] = body(CONTENT, send=30_000)
    refused(url, tmp_path / "b", "ended after 30000 of 153602 bytes", "30000 bytes are kept", "run the same command again")
    assert [name.rpartition(".pkl")[2] for name in names(tmp_path / "b")] == [".part", ".part.json"]
    server.answers["/network.pkl"] = body(CONTENT)
    path = fetch_network(url, tmp_path / "b", patience=QUICK)
    assert server.log[-1] == "bytes=30000-" and path.read_bytes() == CONTENT
    assert names(tmp_path / "b") == [path.name, path.name + ".sha256"]


def test_pieces_of_two_versions_are_never_joined(server, tmp_path):
    other = bytes(reversed(CONTENT))
    server.answers["/network.pkl"] = in_turn(body(other, send=30_000, tag='"old"'), body(CONTENT))
    assert fetch_network(f"{server.url}/network.pkl", tmp_path, patience=QUICK).read_bytes() == CONTENT
    # Without a tag or a checksum nothing says that two pieces fit: start again.
    server.answers["/untagged.pkl"] = in_turn(body(other, send=30_000, tag=None), body(CONTENT, tag=None))
    assert fetch_network(f"{server.url}/untagged.pkl", tmp_path, patience=QUICK).read_bytes() == CONTENT
    assert server.log[-1] is None
    # With a checksum a wrong whole is fetched once more from its first byte.
    server.answers["/known.pkl"] = in_turn(body(other, send=30_000, tag=None), body(CONTENT, tag=None))
    url = f"{server.url}/known.pkl#sha256={SHA256}"
    assert fetch_network(url, tmp_path, patience=QUICK).read_bytes() == CONTENT


def test_two_that_want_the_same_file_download_it_once(server, tmp_path, capsys):
    inside, go_on = threading.Event(), threading.Event()

    def slow(handler):
        inside.set()
        go_on.wait()
        body(CONTENT)(handler)

    server.answers["/network.pkl"] = slow
    url, found = f"{server.url}/network.pkl", []
    first = threading.Thread(target=lambda: found.append(fetch_network(url, tmp_path, patience=QUICK)))
    first.start()
    inside.wait()
    # The other one is a process of its own, which only has the standard library's locks in common with this one.
    (lock,) = tmp_path.glob("*.lock")
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'ab'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    if os.name != "nt":
        done = subprocess.run([sys.executable, "-S", "-c", code, str(lock)], capture_output=True, text=True)
        assert done.returncode == 1 and "BlockingIOError" in done.stderr
    second = threading.Thread(target=lambda: found.append(fetch_network(url, tmp_path, patience=QUICK)))
    second.start()
    second.join(0.3)
    assert second.is_alive() and len(server.log) == 1
    go_on.set()
    first.join()
    second.join()
    assert len(found) == 2 and found[0] == found[1] and found[0].read_bytes() == CONTENT and len(server.log) == 1
    assert names(tmp_path) == [found[0].name, found[0].name + ".sha256"]
    assert capsys.readouterr().err.count("another process is fetching it: waiting") == 1


def test_a_lock_that_a_killed_process_left_keeps_nobody_out(tmp_path):
    (tmp_path / "x.lock").write_bytes(b"")
    with exclusive(tmp_path / "x") as waited:
        assert waited is False and names(tmp_path) == ["x.lock"]
        stop = threading.Event()
        stop.set()
        with pytest.raises(Stopped), exclusive(tmp_path / "x", stop=stop):
            raise AssertionError("two are inside")
    assert names(tmp_path) == []


def test_what_is_no_network_file_is_refused_and_leaves_nothing(server, tmp_path, monkeypatch):
    page = b"<!DOCTYPE html><title>Log in</title>" + bytes(1000)
    server.answers["/page"] = body(page, Content_Type="text/html; charset=utf-8")
    server.answers["/hidden"] = body(b"\r\n " + page, Content_Type="application/octet-stream")
    server.answers["/message"] = body(b'{"error": "token"}', Content_Type="application/json")
    server.answers["/empty"] = body(b"")
    server.answers["/length"] = body(CONTENT, length=False)
    server.answers["/large"] = body(CONTENT, length=False, Content_Length=str((2 << 30) + 1))
    server.answers["/away"] = lambda handler: (
        handler.send_response(302),
        handler.send_header("Location", "file:///etc/passwd"),
        handler.end_headers(),
    )
    for path in ("/page", "/hidden", "/message"):
        refused(server.url + path, tmp_path, "web page or a message")
    refused(server.url + "/empty", tmp_path, "empty")
    refused(server.url + "/length", tmp_path, "does not say how long", "#sha256=")
    refused(server.url + "/large", tmp_path, "2147483649 bytes, more than the 2147483648")
    refused(server.url + "/gone.pkl", tmp_path, "not found (404)")
    refused(server.url + "/away", tmp_path, "refuses")
    assert names(tmp_path) == []


def test_a_length_is_not_needed_where_a_checksum_is_known(server, tmp_path):
    server.answers["/network.pkl"] = body(CONTENT, length=False)
    path = fetch_network(f"{server.url}/network.pkl#sha256={SHA256}", tmp_path, patience=QUICK)
    assert path.read_bytes() == CONTENT
