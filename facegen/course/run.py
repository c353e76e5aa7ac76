"""The whole course without a browser: every notebook in a kernel of its own, a page for each, an index over all."""

from __future__ import annotations

import asyncio
import atexit
import base64
import datetime
import importlib.metadata
import io
import os
import platform
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

import facegen
from facegen.config import PRESETS
from facegen.files import InputError, replacing, write_text
from facegen.pages import data_address, render

try:
    import nbformat
    from jupyter_client.kernelspec import NoSuchKernel
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbconvert import HTMLExporter
except ModuleNotFoundError as missing:
    raise InputError(f"running the course needs {missing.name}: pip install 'facegen[course]'") from None


_BAR = "{desc}: {percentage:3.0f}%|{bar}| cell {n_fmt} of {total_fmt}, {elapsed}"  # cells are too unequal for a rate
TEMPLATES = Path(__file__).with_name("templates")
INTERRUPTED = 130  # what a shell reports for a job that Ctrl-C ended
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Result:
    """What the index says about one notebook."""

    path: Path
    title: str
    summary: str = ""
    status: str = "not run"  # or "passed", "failed", "interrupted"
    seconds: float = 0.0
    cells: int = 0  # code cells that run
    error: str = ""  # one line: notebook, cell, error
    thumbnail: str = ""  # a data: address
    readable: bool = True
    page: bool = False  # whether NAME.html was written by this run


def run_course(
    notebooks: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    preset: str = "cpu",
    timeout: float = 1800,
) -> int:
    """Execute notebooks in order and write `out`/NAME.html, `out`/NAME.ipynb and `out`/index.html.

    Every notebook runs in a kernel of its own, in its own folder, with FACEGEN_PRESET set to `preset`. One that fails
    is reported on stderr as `notebook, cell number (the cell's first line): error`, where the number is the one the
    page shows as In [number]; its remaining cells do not run, the other notebooks do. Ctrl-C ends the running kernel.
    The index is written anew after each notebook and tells how far the run came.

    The pages need no network, except that equations are typeset by MathJax from its public address; without it they
    stay readable as TeX. Widgets are left out in favour of the picture or page that stands in for them.

    Args:
        notebooks: a folder (all its *.ipynb by name), or the files in the order wanted.
        out: folder for the pages; made if absent, pages of the same name are replaced.
        preset: ci, cpu or gpu.
        timeout: seconds a single cell may take.

    Returns:
        0 if every notebook ran through, 1 if one did not, 130 after Ctrl-C.
    """
    if preset not in PRESETS["name"]:
        raise InputError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS['name'])}")
    paths = _paths(notebooks)
    out = Path(out)
    results = [Result(path, path.stem) for path in paths]
    books = [_read(result) for result in results]
    for result in results:
        if result.error:
            print(result.error, file=sys.stderr)
    code = 0
    total = sum(result.cells for result in results)
    with tqdm(total=total, disable=None, dynamic_ncols=True, bar_format=_BAR) as bar:
        try:
            for number in range(len(results)):
                if books[number] is not None:
                    _one(number, results, books[number], out, preset, timeout, bar)
                _write_index(results, out, preset)
        except KeyboardInterrupt:
            code = INTERRUPTED
            tqdm.write("interrupted: the index shows how far the course came", file=sys.stderr)
    _write_index(results, out, preset)
    print(f"{_tally(results)}: {out / 'index.html'}")
    return code or int(any(result.status == "failed" for result in results))


def _paths(notebooks: str | Path | Sequence[str | Path]) -> list[Path]:
    if isinstance(notebooks, (str, Path)):
        folder = Path(notebooks)
        paths = sorted(folder.glob("*.ipynb")) if folder.is_dir() else [folder]
        where = f" in {folder}"
    else:
        paths, where = [Path(path) for path in notebooks], ""
    if not paths:
        raise InputError(f"there is no notebook{where}: give the folder with the .ipynb files")
    if len({path.stem for path in paths}) < len(paths) or any(path.stem == "index" for path in paths):
        raise InputError("two notebooks would be written to the same page: give each another name, and none 'index'")
    return paths


def _read(result: Result) -> nbformat.NotebookNode | None:
    """The notebook, with title, summary and number of cells noted in the result; None and an error if unreadable."""
    try:
        book = nbformat.read(result.path, as_version=4)
        nbformat.validate(book)
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        reason = "no such file" if isinstance(error, FileNotFoundError) else _one_line(error)
        result.readable, result.status = False, "failed"
        result.error = f"{result.path.name}: not a readable notebook: {reason}"
        return None
    result.title, result.summary = _title_and_summary(book, result.path.stem)
    result.cells = len(_running_cells(book))
    return book


def _running_cells(book: nbformat.NotebookNode) -> list[int]:
    """Positions of the cells that get a number In [1], In [2], ... when the notebook runs."""
    return [
        position
        for position, cell in enumerate(book.cells)
        if cell.cell_type == "code" and cell.source.strip() and "skip-execution" not in cell.metadata.get("tags", [])
    ]


# -- execution


def _one(
    number: int,
    results: list[Result],
    book: nbformat.NotebookNode,
    out: Path,
    preset: str,
    timeout: float,
    bar: tqdm,
) -> None:
    """Run one notebook and write its page; its result tells how it went. KeyboardInterrupt passes, page written."""
    result = results[number]
    folder = result.path.resolve().parent
    run = _Run(book, folder, {**os.environ, "FACEGEN_PRESET": preset}, timeout)
    began, before = time.monotonic(), bar.n
    run.start()
    try:
        while run.is_alive():
            run.join(0.2)
            bar.set_description_str(f"{result.path.stem} ({number + 1} of {len(results)})", refresh=False)
            bar.update(before + run.finished - bar.n)
            bar.refresh()
        result.status, result.error = ("failed", run.failure(result.path.name)) if run.error else ("passed", "")
    except KeyboardInterrupt:
        run.stop()
        result.status = "interrupted"
        result.error = f"{result.path.name}, {run.place()}: interrupted"
        raise
    finally:
        result.seconds = time.monotonic() - began
        bar.update(before + result.cells - bar.n)  # what a failed notebook leaves out is done with, too
        _clean(book)
        result.thumbnail = _thumbnail(book)
        _write_pages(book, results, number, out)
        _say(result)


def _say(result: Result) -> None:
    tqdm.write(f"{result.path.stem}: {result.status}, {_cells(result.cells)}, {_duration(result.seconds)}")
    if result.status == "failed":
        tqdm.write(result.error, file=sys.stderr)


class _Run(threading.Thread):
    """One notebook in its kernel, on a thread, so that the main thread can draw the bar and hear Ctrl-C.

    Attributes:
        finished: cells done so far.
        error: what ended the run before its end, if anything did.
    """

    def __init__(self, book: nbformat.NotebookNode, folder: Path, env: dict[str, str], timeout: float) -> None:
        super().__init__(daemon=True)
        self.finished = 0
        self.error: BaseException | None = None
        self._book = book
        self._env = env
        self._timeout = timeout
        self._numbers = {position: i for i, position in enumerate(_running_cells(book), start=1)}
        self._position: int | None = None  # of the cell that runs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task | None = None
        self._stopped = False
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the object, after its last words are read)
        self._client = NotebookClient(
            book,
            timeout=max(1, round(timeout)),
            resources={"metadata": {"path": str(folder)}},
            store_widget_state=False,  # the pages show static twins instead
            coalesce_streams=True,
            on_cell_start=self._starts,
        )

    def run(self) -> None:
        try:
            asyncio.run(self._execute())
        except BaseException as error:
            self.error = error

    async def _execute(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if not self._stopped:
            await self._client.async_execute(env=self._env, stderr=self._stderr)

    def _starts(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell_index in self._numbers:
            self.finished, self._position = self._numbers[cell_index] - 1, cell_index

    def stop(self) -> None:
        """End the kernel now and wait until it is gone."""
        self._stopped = True
        self._client.shutdown_kernel = "immediate"
        if self._loop is not None and self._task is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()
        if self._client.km is None:  # cut short after it had cleaned up, it would do so once more at the very end, and fail
            atexit.unregister(self._client._cleanup_kernel)

    def place(self) -> str:
        """The cell that ran last, as a reader finds it on the page."""
        if self._position is None:
            return "before its first cell"
        source = self._book.cells[self._position].source
        first = next(line.strip() for line in source.splitlines() if line.strip())
        return f"cell {self._numbers[self._position]} ({_shortened(first, 80)})"

    def failure(self, name: str) -> str:
        """One line: notebook, cell number and first line, error name and message."""
        error = self.error
        if isinstance(error, NoSuchKernel):
            return f"{name}: its kernel {error.name!r} is not installed: save the notebook with the kernel python3"
        if isinstance(error, CellExecutionError):
            reason = self._raised(error)
        elif isinstance(error, CellTimeoutError):
            reason = f"TimeoutError: no end after {self._timeout:g} s"
        elif isinstance(error, DeadKernelError):
            reason = f"the kernel died, most likely because memory ran out{self._last_words()}"
        else:
            reason = f"{type(error).__name__}: {_one_line(error)}{self._last_words()}"
        return f"{name}, {self.place()}: {reason}"

    def _raised(self, error: CellExecutionError) -> str:
        # The reply has no name for an error while a result was displayed, the cell's outputs have.
        outputs = self._book.cells[self._position].outputs if self._position is not None else ()
        shown = [output for output in outputs if output.output_type == "error"]
        name, message = (shown[-1].ename, shown[-1].evalue) if shown else (error.ename, error.evalue)
        return f"{name}: {_one_line(message)}"

    def _last_words(self) -> str:
        """The last line that the kernel's process itself wrote to stderr, where a crash says its reason."""
        self._stderr.seek(0)
        lines = [line for line in self._stderr.read().decode(errors="replace").splitlines() if line.strip()]
        return f" ({_one_line(lines[-1])})" if lines and "Kernel is running over TCP" not in lines[-1] else ""


# -- one page per notebook


def _clean(book: nbformat.NotebookNode) -> None:
    """Leave widgets out of the outputs, keeping what stands in for them; without a kernel they are dead boxes."""
    book.metadata.pop("widgets", None)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keeps(output)]


def _keeps(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return data.pop(WIDGET, None) is None or bool(set(data) - {"text/plain"})


def _with_pictures_beside(page: str, folder: Path) -> str:
    """Embed the pictures that a text takes from a sibling of the notebooks' folder, `../assets/x.png`: nbconvert does not."""

    def embedded(match: re.Match) -> str:
        path = (folder / match[1]).resolve()
        if folder.parent not in path.parents or not path.is_file():
            return match[0]
        return f'src="{data_address(path.read_bytes(), "PNG")}"'

    return re.sub(r'src="(\.\./[^"]+\.png)"', embedded, page)


def _write_pages(book: nbformat.NotebookNode, results: list[Result], number: int, out: Path) -> None:
    result = results[number]
    with replacing(out / f"{result.path.stem}.ipynb") as temporary:
        nbformat.write(book, temporary)
    template = (TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="lab", raw_template=template, embed_images=True)
    resources = {
        "metadata": {"name": result.title, "path": str(result.path.resolve().parent)},
        "course": {
            "neighbours": _neighbours(results, number),
            "problem": result.error,
            "mathjax": exporter.mathjax_url if _has_maths(book) else "",
        },
    }
    page, _ = exporter.from_notebook_node(book, resources=resources)
    page = _with_pictures_beside(page, result.path.resolve().parent)
    write_text(out / f"{result.path.stem}.html", page)
    result.page = True


def _neighbours(results: list[Result], number: int) -> list[tuple[str, str]]:
    """The pages before and after, as far as they can be read: address and text of their links."""
    found = []
    for neighbour, text in ((number - 1, "← {}"), (number + 1, "{} →")):
        if 0 <= neighbour < len(results) and results[neighbour].readable:
            found.append((f"{results[neighbour].path.stem}.html", text.format(results[neighbour].title)))
    return found


def _has_maths(book: nbformat.NotebookNode) -> bool:
    return any(cell.cell_type == "markdown" and re.search(r"\$.+?\$|\\\(|\\\[|\\begin\{", cell.source, re.DOTALL)
               for cell in book.cells)  # fmt: skip


# -- the index


def _title_and_summary(book: nbformat.NotebookNode, stem: str) -> tuple[str, str]:
    """The first heading and the first paragraph of prose, both as plain text."""
    title, summary = "", ""
    text = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    for block in re.split(r"\n\s*\n", text):
        lines = block.strip().splitlines()
        headings = [line for line in lines if re.match(r"#{1,6}\s", line)]
        if headings and not title:
            title = _plain(headings[0].lstrip("#"))
        prose = _plain(" ".join(line for line in lines if line not in headings))
        if re.search(r"\w", prose) and not summary:
            summary = _shortened(prose, 320)
        if title and summary:
            break
    return title or stem, summary


def _plain(markdown: str) -> str:
    """Markdown without images, tags, emphasis and the addresses of its links."""
    text = re.sub(r"<[^>]+>", "", markdown)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)|`", "", text)
    return " ".join(text.split())


def _thumbnail(book: nbformat.NotebookNode) -> str:
    """A small version of the picture that stands for a notebook, as a data: address; empty if it drew none.

    That is the last picture of a cell tagged `thumbnail`; else the last that is more picture than diagram, and so
    mostly not one flat colour; else the last.
    """
    pictures = list(_pictures(book))
    tagged = [picture for picture, tags in pictures if "thumbnail" in tags]
    rich = [] if tagged else [picture for picture, _ in pictures if _flatness(picture) < 0.5]
    chosen = tagged or rich or [picture for picture, _ in pictures]
    if not chosen:
        return ""
    picture = chosen[-1]
    picture = picture.crop((0, 0, picture.width, min(picture.height, round(picture.width * 0.75))))  # its upper part
    picture.thumbnail((640, 480))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return data_address(buffer.getvalue(), "JPEG")


def _pictures(book: nbformat.NotebookNode) -> Iterator[tuple[Image.Image, list[str]]]:
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            for kind in ("image/png", "image/jpeg"):
                data = output.get("data", {}).get(kind)
                if data:
                    try:
                        picture = Image.open(io.BytesIO(base64.b64decode("".join(data)))).convert("RGBA")
                    except (OSError, ValueError, Image.DecompressionBombError):
                        continue  # a broken picture is no reason to lose the page
                    white = Image.new("RGBA", picture.size, "white")
                    yield Image.alpha_composite(white, picture).convert("RGB"), cell.metadata.get("tags", [])


def _flatness(picture: Image.Image) -> float:
    """The share of a picture that has its most frequent colour."""
    small = picture.resize((64, 64), Image.Resampling.NEAREST)
    return max(count for count, _ in small.getcolors(64 * 64)) / 64**2


def _write_index(results: list[Result], out: Path, preset: str) -> None:
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    versions = f"facegen {facegen.__version__}, torch {importlib.metadata.version('torch')}"
    machine = f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}"
    seconds = sum(result.seconds for result in results)
    facts = f"Preset {preset} · {_duration(seconds)} · {now} · {versions} · {machine}"
    values = {
        "tally": _tally(results),
        "facts": facts,
        "results": results,
        "marks": _MARKS,
        "cells": _cells,
        "duration": _duration,
    }
    write_text(out / "index.html", render("index.html", values, TEMPLATES))


_MARKS = {"passed": "✓ ran through", "failed": "✗ failed", "interrupted": "✗ interrupted", "not run": "not run"}


def _tally(results: list[Result]) -> str:
    passed = sum(result.status == "passed" for result in results)
    return f"{passed} of {len(results)} notebook{'s' * (len(results) != 1)} ran through"


def _cells(count: int) -> str:
    return f"{count} cell" + "s" * (count != 1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _one_line(error: object) -> str:
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())  # without a terminal's colours
    return _shortened(text, 300) or "no message"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
