"""The whole course without a browser: every notebook in a kernel of its own, a page for each, and an index."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

import facegen
from facegen.config import PRESETS
from facegen.files import InputError, one_line, replacing, write_text
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
    book: nbformat.NotebookNode | None = None
    status: str = "not run"  # or "passed", "failed", "interrupted"
    seconds: float = 0.0
    error: str = ""  # one line: notebook, cell, error
    page: bool = False  # whether NAME.html was written by this run

    @property
    def cells(self) -> list[int]:
        """Positions of the cells that get a number In [1], In [2], ... when the notebook runs."""
        cells = self.book.cells if self.book else ()
        skipped = "skip-execution"
        return [
            position
            for position, cell in enumerate(cells)
            if cell.cell_type == "code" and cell.source.strip() and skipped not in cell.metadata.get("tags", [])
        ]

    def place(self, position: int | None) -> str:
        """A cell as a reader finds it on the page."""
        if position is None:
            return "before its first cell"
        first = next(line.strip() for line in self.book.cells[position].source.splitlines() if line.strip())
        return f"cell {self.cells.index(position) + 1} ({one_line(first, 80)})"


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
    results, out, code = [_read(path) for path in _paths(notebooks)], Path(out), 0
    for result in results:
        if result.error:
            print(result.error, file=sys.stderr)
    total = sum(len(result.cells) for result in results)
    with tqdm(total=total, disable=None, dynamic_ncols=True, bar_format=_BAR) as bar:
        try:
            for result in results:
                if result.book is not None:
                    _one(result, out, preset, timeout, bar)
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


def _read(path: Path) -> Result:
    """The notebook; without it, and with an error, if it cannot be read."""
    try:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        reason = "no such file" if isinstance(error, FileNotFoundError) else one_line(error, 300)
        return Result(path, status="failed", error=f"{path.name}: not a readable notebook: {reason}")
    return Result(path, book)


# -- execution


def _one(result: Result, out: Path, preset: str, timeout: float, bar: tqdm) -> None:
    """Run one notebook and write its page; its result tells how it went. KeyboardInterrupt passes, page written."""
    run = _Run(result, {**os.environ, "FACEGEN_PRESET": preset}, timeout)
    began, before = time.monotonic(), bar.n
    bar.set_description_str(result.path.stem, refresh=False)
    run.start()
    try:
        while run.is_alive():
            run.join(0.2)
            bar.update(before + run.finished - bar.n)
            bar.refresh()
        result.status, result.error = ("failed", run.failure()) if run.error else ("passed", "")
    except KeyboardInterrupt:
        run.stop()
        result.status, result.error = "interrupted", f"{result.path.name}, {result.place(run.position)}: interrupted"
        raise
    finally:
        result.seconds = time.monotonic() - began
        bar.update(before + len(result.cells) - bar.n)  # what a failed notebook leaves out is done with, too
        _write_page(result, out)
        tqdm.write(f"{result.path.stem}: {result.status}, {len(result.cells)} cells, {_duration(result.seconds)}")
        if result.status == "failed":
            tqdm.write(result.error, file=sys.stderr)


class _Run(threading.Thread):
    """One notebook in its kernel, on a thread, so that the main thread can draw the bar and hear Ctrl-C.

    Attributes:
        position: of the cell that runs.
        error: what ended the run before its end, if anything did.
    """

    def __init__(self, result: Result, env: dict[str, str], timeout: float) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self.position: int | None = None
        self._result, self._env, self._timeout, self._stopping = result, env, timeout, threading.Event()
        self._client = NotebookClient(
            result.book,
            timeout=max(1, round(timeout)),
            resources={"metadata": {"path": str(result.path.resolve().parent)}},
            store_widget_state=False,  # the pages show static twins instead
            coalesce_streams=True,
            on_cell_start=self._starts,
        )

    @property
    def finished(self) -> int:
        return self._result.cells.index(self.position) if self.position is not None else 0

    def run(self) -> None:
        try:
            asyncio.run(self._execute())
        except BaseException as error:
            self.error = error

    async def _execute(self) -> None:
        task = asyncio.ensure_future(self._client.async_execute(env=self._env, stderr=subprocess.DEVNULL))
        while not task.done():
            await asyncio.wait([task], timeout=0.2)
            if self._stopping.is_set():
                self._client.shutdown_kernel = "immediate"
                task.cancel()
        await task

    def _starts(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        if cell_index in self._result.cells:
            self.position = cell_index

    def stop(self) -> None:
        """End the kernel now and wait until it is gone."""
        self._stopping.set()
        self.join()

    def failure(self) -> str:
        """One line: notebook, cell number and first line, error name and message."""
        error, name = self.error, self._result.path.name
        if isinstance(error, NoSuchKernel):
            return f"{name}: its kernel {error.name!r} is not installed: save the notebook with the kernel python3"
        reason = f"{type(error).__name__}: {one_line(error, 300)}"
        if isinstance(error, CellExecutionError):
            # The reply has no name for an error while a result was displayed, the cell's outputs have.
            shown = [output for output in self._result.book.cells[self.position].outputs if output.output_type == "error"]
            kind, message = (shown[-1].ename, shown[-1].evalue) if shown else (error.ename, error.evalue)
            reason = f"{kind}: {one_line(message, 300) or 'no message'}"
        elif isinstance(error, CellTimeoutError):
            reason = f"TimeoutError: no end after {self._timeout:g} s"
        elif isinstance(error, DeadKernelError):
            reason = "the kernel died, most likely because memory ran out"
        return f"{name}, {self._result.place(self.position)}: {reason}"


# -- pages


def _write_page(result: Result, out: Path) -> None:
    """NAME.ipynb and NAME.html of an executed notebook."""
    book = result.book
    book.metadata.pop("widgets", None)
    for cell in book.cells:  # without a kernel widgets are dead boxes; what stands in for them is kept
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keeps(output)]
    with replacing(out / f"{result.path.stem}.ipynb") as temporary:
        nbformat.write(book, temporary)
    template = (TEMPLATES / "notebook.html.j2").read_text(encoding="utf-8")
    exporter = HTMLExporter(template_name="lab", raw_template=template, embed_images=True)
    maths = any(cell.cell_type == "markdown" and re.search(r"\$.+?\$", cell.source, re.DOTALL) for cell in book.cells)
    course = {"problem": result.error, "mathjax": exporter.mathjax_url if maths else ""}
    folder = result.path.resolve().parent
    resources = {"metadata": {"name": result.path.stem, "path": str(folder)}, "course": course}
    page, _ = exporter.from_notebook_node(book, resources=resources)
    write_text(out / f"{result.path.stem}.html", _with_pictures_beside(page, folder))
    result.page = True


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


def _write_index(results: list[Result], out: Path, preset: str) -> None:
    versions = f"facegen {facegen.__version__}, torch {importlib.metadata.version('torch')}"
    machine = f"Python {platform.python_version()}, {platform.system()} on {platform.machine()}"
    facts = f"Preset {preset} · {_duration(sum(result.seconds for result in results))} · {versions} · {machine}"
    values = {"tally": _tally(results), "facts": facts, "results": results, "duration": _duration}
    write_text(out / "index.html", render("index.html", values, TEMPLATES))


def _tally(results: list[Result]) -> str:
    passed = sum(result.status == "passed" for result in results)
    return f"{passed} of {len(results)} notebook{'s' * (len(results) != 1)} ran through"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
