"""The headless course: what runs, what is reported, and what the pages hold."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from facegen.files import InputError
from teaching.run import run_course

PICTURE = """
import base64, io
from IPython.display import display
from PIL import Image
buffer = io.BytesIO()
{picture}.save(buffer, "PNG")
picture = base64.b64encode(buffer.getvalue()).decode()
display({{"image/png": picture}}, metadata={{"image/png": {{"alt": "a < b", "width": 40}}}}, raw=True)
"""


def write(path, *cells, kernel="python3"):
    book = new_notebook(cells=list(cells))
    book.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(book, path)


def start(notebooks, out, preset, env):
    """The course in a process of its own, which alone can be interrupted and knows nothing of the test runner.

    Started in the background by a shell the tests inherit that Ctrl-C is ignored: the process listens to it all the same.
    """
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from teaching.run import *; "
    code += "sys.exit(run_course(*sys.argv[1:3], preset=sys.argv[3]))"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env}
    command = [sys.executable, "-c", code, str(notebooks), str(out), preset]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """One run of the course over a good, a failing, a foreign and a broken notebook: (folder, exit code, out, err)."""
    folder = tmp_path_factory.mktemp("course")
    books = folder / "notebooks"
    books.mkdir()
    write(
        books / "01_good.ipynb",
        new_markdown_cell("[![badge](https://example.org/badge.svg)](https://example.org)\n\n# One & *only* <i>title</i>"),
        new_markdown_cell("Faces are [people](https://example.org), **all** of `them`: $x_1 < 2$.\n\nNot this."),
        new_code_cell("import os\nprint(os.environ['FACEGEN_PRESET'], os.getcwd(), sep='|')"),
        new_code_cell(PICTURE.format(picture="Image.radial_gradient('L').resize((80, 60))")),
        new_code_cell(PICTURE.format(picture="Image.new('RGB', (80, 60), 'white')")),
        new_code_cell(""),
        new_code_cell("import ipywidgets\nipywidgets.IntSlider(description='lonely widget')"),
        new_code_cell("raise RuntimeError('wanted')", metadata={"tags": ["raises-exception"]}),
    )
    write(
        books / "02_fails.ipynb",
        new_markdown_cell("## Only a small heading"),
        new_code_cell("x = 1"),
        new_code_cell("\n  \nvalue = '<b>'\nraise ValueError(f'bad {value}\\nand a second line')"),
        new_code_cell("print('not ' + 'reached')"),
    )
    write(books / "03_foreign.ipynb", new_markdown_cell("# Foreign"), new_code_cell("x"), kernel="no-such-kernel")
    (books / "04_broken.ipynb").write_text('{"cells": ')
    env = {"FACEGEN_PRESET": "gpu"}  # must not reach the kernels
    process = start(books, folder / "out", "ci", env)
    out, err = process.communicate()
    return folder, process.returncode, out, err


def test_one_line_per_failure_on_stderr_and_exit_code_1(course):
    _, code, _, err = course
    assert code == 1
    broken, fails, foreign = err.strip().splitlines()
    assert fails == "02_fails.ipynb, cell 2 (value = '<b>'): ValueError: bad <b> and a second line"
    assert foreign.startswith("03_foreign.ipynb: its kernel 'no-such-kernel' is not installed")
    assert broken.startswith("04_broken.ipynb: not a readable notebook")


def test_one_line_per_notebook_where_there_is_no_terminal(course):
    _, _, out, _ = course
    lines = [line.split(",")[0] for line in out.strip().splitlines()]
    assert lines[:3] == ["01_good: passed", "02_fails: failed", "03_foreign: failed"]
    assert lines[3].startswith("1 of 4 notebooks ran through: ") and lines[3].endswith("index.html")


def test_a_kernel_sees_the_preset_and_its_notebooks_folder(course):
    folder, *_ = course
    book = nbformat.read(folder / "out" / "01_good.ipynb", as_version=4)
    preset, where = book.cells[2].outputs[0].text.strip().split("|")
    assert preset == "ci" and Path(where).samefile(folder / "notebooks")


def test_executed_notebooks_keep_outputs_up_to_the_error_and_no_widget(course):
    folder, *_ = course
    good = nbformat.read(folder / "out" / "01_good.ipynb", as_version=4)
    assert "widgets" not in good.metadata and good.cells[6].outputs == []
    assert good.cells[7].outputs[0].ename == "RuntimeError"
    fails = nbformat.read(folder / "out" / "02_fails.ipynb", as_version=4)
    assert fails.cells[2].execution_count == 2 and fails.cells[2].outputs[0].evalue.startswith("bad <b>")
    assert fails.cells[3].outputs == [] and fails.cells[3].execution_count is None


def test_pages_work_offline_and_ask_the_network_for_equations_only(course):
    folder, *_ = course
    good = (folder / "out" / "01_good.html").read_text()
    scripts = re.findall(r'<script[^>]*src="([^"]+)"', good)
    assert len(scripts) == 1 and "mathjax" in scripts[0].lower() and "offline they stay as" in good
    assert "lonely widget" in good and "IntSlider(value" not in good
    assert 'alt="a &lt; b"' in good and 'href="index.html"' in good
    fails = (folder / "out" / "02_fails.html").read_text()
    assert not re.findall(r'<script[^>]*src=|<link[^>]*href="http|import\("http', fails)
    assert "ValueError: bad &lt;b&gt; and a second line</p>" in fails and "not reached" not in fails


def test_index_tells_status_and_errors_escaped(course):
    folder, *_ = course
    index = (folder / "out" / "index.html").read_text()
    assert "1 of 4 notebooks ran through" in index and "Preset ci" in index and "torch 2." in index
    assert "(value = &#39;&lt;b&gt;&#39;): ValueError: bad &lt;b&gt; and" in index
    assert index.count('class="passed"') == 1 and index.count('class="failed"') == 3
    links = re.findall(r'href="([^"]+)"', index)
    assert links and all((folder / "out" / link).is_file() for link in links)
    assert "http" not in index.replace("http-equiv", "")


def test_a_cell_without_an_end_is_given_up(tmp_path, capsys):
    write(tmp_path / "slow.ipynb", new_code_cell("# wait\nimport threading\nthreading.Event().wait()"))
    assert run_course([tmp_path / "slow.ipynb"], tmp_path / "out", preset="ci", timeout=2) == 1
    assert "slow.ipynb, cell 1 (# wait): TimeoutError: no end after 2 s" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_ctrl_c_ends_the_kernel_and_writes_the_index_so_far(tmp_path):
    started = tmp_path / "started"
    note = f"import os, pathlib, time\npathlib.Path({str(started)!r}).write_text(str(os.getpid()))"
    write(tmp_path / "a.ipynb", new_code_cell(f"{note}\ntime.sleep(99)"))
    write(tmp_path / "b.ipynb", new_code_cell("x = 1"))
    process = start(tmp_path, tmp_path / "out", "cpu", {})
    while process.poll() is None and not (started.exists() and started.read_text()):
        time.sleep(0.05)
    kernel = int(started.read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    index = (tmp_path / "out" / "index.html").read_text()
    assert 'class="interrupted"' in index and 'class="not-run"' in index and "0 of 2 notebooks" in index


def test_nothing_to_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no notebook"):
        run_course(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="unknown preset"):
        run_course([tmp_path / "a.ipynb"], tmp_path / "out", preset="huge")
    with pytest.raises(InputError, match="same page"):
        run_course([tmp_path / "a.ipynb", tmp_path / "b" / "a.ipynb"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pictures_from_beside_the_notebooks_are_embedded(tmp_path):
    from teaching.run import _with_pictures_beside

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a.png").write_bytes(b"picture")
    page = '<img src="../assets/a.png"><img src="../assets/none.png"><img src="../../secret.png">'
    made = _with_pictures_beside(page, tmp_path / "notebooks")
    assert 'src="data:image/png;base64,cGljdHVyZQ=="' in made
    assert 'src="../assets/none.png"' in made and 'src="../../secret.png"' in made
