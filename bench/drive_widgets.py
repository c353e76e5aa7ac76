"""Drive a notebook's widgets in a real browser: JupyterLab is served, headless Chromium opens the notebook and uses it.

    pip install playwright && playwright install chromium
    python bench/drive_widgets.py notebooks/05_stylegan_projection.ipynb --photo me.jpg --out build/browser

Every cell is run, the first slider of every widget is moved by keyboard (does its picture change?), and where the
notebook has an upload button a photo is given to it (does a projection come out?). Screenshots go to --out. Not part of
`make test`, which needs no browser.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
SLIDER = ".widget-slider .noUi-handle"
PICTURE = ".widget-image"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def served(root: Path, preset: str, folder: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab over `root` while the block runs: its address and its token."""
    address, token = f"http://127.0.0.1:{(port := free_port())}", secrets.token_hex(16)
    flags = [f"--ServerApp.root_dir={root}", f"--port={port}", "--no-browser", f"--IdentityProvider.token={token}"]
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    environment = {**os.environ, "FACEGEN_PRESET": preset, "JUPYTERLAB_SETTINGS_DIR": str(settings(folder))}
    command = [sys.executable, "-m", "jupyter", "lab", *flags, *as_root]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: answers(f"{address}/api/status?token={token}"), 60, "JupyterLab does not answer")
        yield address, token
    finally:
        server.terminate()
        server.wait()


def settings(folder: Path) -> Path:
    """All cells in the page, not just those in view; no question about news."""
    for name, value in (
        ("notebook-extension/tracker", {"windowingMode": "none"}),
        ("apputils-extension/notification", {"fetchNews": "false"}),
    ):
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    return folder


def answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(url, timeout=5).status == 200
    return False


def wait(happened: Callable[[], bool], seconds: float, otherwise: str) -> float:
    """Until `happened()`: how long that took. Raises TimeoutError(otherwise) after `seconds`."""
    start = time.monotonic()
    while not happened():
        if time.monotonic() - start > seconds:
            raise TimeoutError(otherwise)
        time.sleep(0.5)
    return time.monotonic() - start


def kernel_state(address: str, token: str, name: str) -> str:
    """ "idle", "busy", ... of the kernel that runs the notebook; "" before there is one."""
    sessions = json.load(urllib.request.urlopen(f"{address}/api/sessions?token={token}", timeout=10))
    return next((s["kernel"]["execution_state"] for s in sessions if s["path"].endswith(name) and s["kernel"]), "")


def run_all(page, state: Callable[[], str], seconds: float) -> float:
    """Every cell, from JupyterLab's own menu; over when nothing is queued and no widget was drawn for ten looks."""
    wait(lambda: state() == "idle", 120, "no kernel started")
    time.sleep(2)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).first.click()
    time.sleep(3)
    seen: list[tuple[str, int]] = []

    def finished() -> bool:
        seen.append((state(), page.locator(".jupyter-widgets").count()))
        return len(seen) > 10 and set(seen[-10:]) == {("idle", seen[-1][1])}

    return wait(finished, seconds, "the cells did not end")


def moved(state: Callable[[], str], picture, before: bytes) -> bool:
    return state() == "idle" and picture.screenshot() != before


def move_sliders(page, state: Callable[[], str], out: Path) -> list[str]:
    """One key press on the first slider of every widget that has a picture; a line for each."""
    said = []
    widgets = page.locator(
        ".jp-OutputArea-output .jupyter-widgets.widget-vbox, .jp-OutputArea-output .jupyter-widgets.widget-box"
    )
    tops = [w for w in widgets.all() if w.evaluate("w => !w.parentElement.closest('.widget-box')")]
    for number, widget in enumerate(tops, 1):
        handle, picture = widget.locator(SLIDER).first, widget.locator(PICTURE).first
        if not handle.count() or not picture.count():
            continue
        handle.scroll_into_view_if_needed()
        before = picture.screenshot()
        handle.focus()
        page.keyboard.press("ArrowRight")
        try:
            took = wait(partial(moved, state, picture, before), 60, "")
            said.append(f"widget {number}: one step of its first slider moved the picture after {took:.1f} s")
        except TimeoutError:
            said.append(f"widget {number}: FAILED, its picture did not change")
        widget.screenshot(path=out / f"widget_{number}.png")
    return said


def upload(page, state: Callable[[], str], photo: Path, out: Path, seconds: float) -> str:
    """The photo into the notebook's upload button; the widget's pictures tell whether a projection came out."""
    button = page.locator(".jupyter-widgets.widget-upload, .widget-upload").first
    if not button.count():
        return "no upload button in this notebook"
    button.scroll_into_view_if_needed()
    cell = button.locator("xpath=ancestor::div[contains(@class, 'jp-Cell ')][1]")
    shown = cell.locator("img").count()
    with page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(str(photo))
    time.sleep(2)
    took = wait(lambda: state() == "idle" and cell.locator("img").count() > shown, seconds, "no picture came out of the upload")
    time.sleep(1)
    cell.screenshot(path=out / "upload.png")
    return f"upload: a picture came out after {took:.0f} s: {' '.join(cell.inner_text().split())[-300:]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--photo", type=Path, help="given to the notebook's upload button")
    parser.add_argument("--preset", default="ci")
    parser.add_argument("--out", type=Path, default=Path("build/browser"))
    parser.add_argument("--seconds", type=float, default=900, help="longest wait for the cells, and for the upload")
    parser.add_argument("--chromium", help="an installed Chromium in the place of playwright's own")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    args.out.mkdir(parents=True, exist_ok=True)
    notebook = args.notebook.resolve()
    root = TREE if notebook.is_relative_to(TREE) else notebook.parent
    with (
        tempfile.TemporaryDirectory() as folder,
        served(root, args.preset, Path(folder)) as (address, token),
        sync_playwright() as p,
    ):
        browser = p.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        place = notebook.relative_to(root).as_posix()
        page.goto(f"{address}/lab/tree/{place}?token={token}&reset", wait_until="domcontentloaded")

        def state() -> str:
            return kernel_state(address, token, place)

        print(f"{place}: all cells in {run_all(page, state, args.seconds):.0f} s", flush=True)
        lines = move_sliders(page, state, args.out)
        if args.photo:
            lines.append(upload(page, state, args.photo.resolve(), args.out, args.seconds))
        errors = page.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)").count()
        print("\n".join([*lines, f"{errors} errors in the notebook"]))
        browser.close()
    return int(errors > 0 or any("FAILED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
