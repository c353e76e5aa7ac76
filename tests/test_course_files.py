"""The course as files: notebooks, badges, marks and rules that hold for all of them."""

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from facegen.files import InputError
from teaching.instructions import headed, instructions
from teaching.units import read_units

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
REPOSITORY = re.search(r'^Repository = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M).group(1)


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, as_version=4)


def code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    names = ["01_data_loading", "02_dcgan", "03_cyclegan_face2fake", "04_stylegan", "05_stylegan_projection", "06_evaluation"]
    assert [p.stem for p in NOTEBOOKS] == names


def test_badge_and_clone_use_the_one_address(notebook):
    path, book = notebook
    badge = f"https://colab.research.google.com/github/{REPOSITORY.removeprefix('https://github.com/')}/blob/main/notebooks/{path.name}"
    assert badge in book.cells[0].source
    assert f'REPOSITORY = "{REPOSITORY}"' in code_cells(book)[0].source


def test_set_up_cells_are_the_same_and_never_install_torch():
    cells = {code_cells(nbformat.read(path, 4))[0].source for path in NOTEBOOKS}
    assert len(cells) == 1
    needed = re.search(r"needed = \((.*?)\)", cells.pop(), re.DOTALL).group(1)
    assert not {"torch", "torchvision"} & set(re.findall(r'"([^"]+)"', needed))


def test_a_package_that_would_replace_torch_is_installed_without_what_it_asks_for(notebook):
    requirements = (ROOT / "requirements.txt").read_text()
    for cell in code_cells(notebook[1]):
        if "facenet-pytorch" in cell.source and "pip" in cell.source:
            assert '"--no-deps"' in cell.source
            assert re.search(r"facenet-pytorch==[\d.]+", cell.source).group() in requirements


def test_stored_notebooks_are_clean(notebook):
    path, book = notebook
    assert "widgets" not in book.metadata  # a saved widget state breaks the page on GitHub
    assert path.stat().st_size < 6_000_000
    for cell in code_cells(book):
        assert not re.search(r"^\s*[%!]", cell.source, re.M), cell.source  # these can fail and still pass
        assert "execution" not in cell.metadata
        ast.parse(cell.source)
        for output in cell.outputs:
            assert output.output_type != "error"
            assert str(Path.home()) not in str(output)


def test_every_cell_was_run_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook[1])]
    assert counts == list(range(1, len(counts) + 1))


def test_solutions_are_marked_and_followed_by_their_check(notebook):
    cells = code_cells(notebook[1])
    exercises = 0
    for cell, following in zip(cells, cells[1:] + cells[:1]):
        begins, ends = cell.source.count("### BEGIN SOLUTION"), cell.source.count("### END SOLUTION")
        assert begins == ends
        if begins:
            exercises += 1
            assert re.match(r"tests\.test_\w+\(\w+\)$", following.source), cell.source
    assert exercises >= 3


def test_compared_cells_print_text_only(notebook):
    compared = [cell for cell in code_cells(notebook[1]) if "nbval-ignore-output" not in cell.metadata.get("tags", [])]
    assert len(compared) >= 3
    for cell in compared:
        assert cell.outputs and all(output.output_type == "stream" for output in cell.outputs), cell.source


def test_tables_and_marks_are_those_of_the_exercises():
    """`make instructions` would change nothing, and so every exercise has its check, its heading and its section."""
    units = read_units()
    text = (ROOT / "Instructions.md").read_text(encoding="utf-8")
    assert instructions(text, units) == text
    for path in NOTEBOOKS:
        assert headed(path, [unit for unit in units if unit.notebook == path.stem]) == path.read_text(encoding="utf-8")


def test_the_tables_follow_the_exercises(tmp_path):
    units = read_units()
    text = (ROOT / "Instructions.md").read_text(encoding="utf-8")
    scale = units[0]
    other = dataclasses.replace(scale, marks=scale.marks + 3)
    changed = instructions(text, [other, *units[1:]])
    assert f"### `scale(x, feature_range=(-1, 1))`: {scale.marks + 3} marks" in changed
    assert f"| 01 | `scale`: {scale.exercise.task}" in changed and changed.count("What the check may say") == len(units)
    assert f"scale ({scale.marks + 3} marks)" in headed(NOTEBOOKS[0], [other, *units[1:3]])
    start, end = text.index("### `unscale"), text.index("### `get_dataloader")
    again = instructions(text[:start] + text[end:], units)  # a new exercise gets a section of its own
    assert f"### `unscale`: {units[1].marks} mark" in again and f"**Task.** {units[1].exercise.task}" in again
    with pytest.raises(InputError, match="has no heading `## 01 TITLE"):
        instructions(text.replace("## 01 Data", "# Data"), units)


def test_a_changed_digest_fails_the_strict_check(tmp_path):
    """The stored number is what counts: with another one in its place, `pytest --nbval` has to fail."""
    book = nbformat.read(ROOT / "notebooks/01_data_loading.ipynb", 4)
    digest = next(i for i, cell in enumerate(book.cells) if "show.digest(faces.images)" in cell.source)
    book.cells = [c for c in book.cells[: digest + 1] if c.cell_type == "code"]
    results = {}
    for name, old, new in (("kept", "mean 0", "mean 0"), ("changed", "mean 0", "mean 1")):
        text = nbformat.writes(book)
        assert old in text
        copy = ROOT / "build" / f"digest_{name}" / "nb.ipynb"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text.replace(f"uint8: {old}", f"uint8: {new}"))
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval", str(copy)]
        source = 'sys.path.insert(0, os.path.abspath(".."))'
        copy.write_text(copy.read_text().replace(json.dumps(source)[1:-1], json.dumps(source.replace('".."', '"../.."'))[1:-1]))
        results[name] = subprocess.run(command, env={**os.environ, "FACEGEN_PRESET": "ci"}, capture_output=True, cwd=ROOT)
    assert results["kept"].returncode == 0, results["kept"].stdout.decode()[-2000:]
    assert results["changed"].returncode == 1


def test_no_path_of_a_machine_is_in_the_repository():
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if names.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, names.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".ipynb", ".toml", ".txt", ""} and path.is_file() and path != Path(__file__):
            assert not re.search(r"(?<![\w.])/(?:home|root|Users)/\w+", path.read_text(encoding="utf-8")), name
