"""Grading: what honest hand-ins get, however they were saved, and that none of the cheats in tests/cheats gains a mark."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from saved import code, save_all

from exercises.probing import MOST_BYTES
from facegen.files import InputError
from facegen.training.symptoms import HEALTHY, SICKNESSES, is_answer, recorded_letters
from teaching import inside, sandbox
from teaching.cells import names_of, read_cells
from teaching.grade import grade
from teaching.handins import find_hand_ins
from teaching.report import summary, write_csv, write_junit, write_page
from teaching.student import build_student
from teaching.units import ROOT, read_units

STEM = "01_data_loading"
CHEATS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "cheats").glob("*.py"))}
WRONG = "def scale(x, feature_range=(-1, 1)):\n    return x"
RUNS_ON = 5  # seconds of processor time that an exercise may take here

UNITS = {unit.name: unit for unit in read_units()}
OWN = {name: unit for name, unit in UNITS.items() if unit.notebook == STEM}
PRISTINE = {path.stem: read_cells(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
FULL = {name: unit.marks for name, unit in OWN.items()}


def solution(name):
    return next(cell["source"] for cell in PRISTINE[UNITS[name].notebook] if cell["id"] == UNITS[name].cell)


SOLVED = {name: solution(name) for name in OWN}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    dest = tmp_path_factory.mktemp("student") / "tree"
    build_student(dest)
    return dest


@pytest.fixture(scope="module")
def stubs(student):
    """The learners' first notebook, as they get it."""
    return json.loads((student / "notebooks" / f"{STEM}.ipynb").read_text(encoding="utf-8"))


def filled_in(book, change=None, **sources):
    """A notebook with these sources in its exercises' cells."""
    book = json.loads(json.dumps(book))
    for name, source in sources.items():
        cell_of(book, UNITS[name].cell)["source"] = source
    if change:
        change(book)
    return book


def handed_in(book, path, change=None, **sources):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(filled_in(book, change, **sources)), encoding="utf-8")


def cell_of(book, name):
    return next(cell for cell in book["cells"] if cell.get("id") == name)


def of(grades, name):
    return next(graded for graded in grades.graded if graded.name == name)


def marks(graded):
    return {mark.unit.name: mark.marks for mark in graded.marks}


def messages(graded):
    return {mark.unit.name: mark.message for mark in graded.marks}


# -- however it was saved


def test_a_right_solution_counts_however_it_was_saved(stubs, tmp_path):
    own = {name: unit.cell for name, unit in OWN.items()}
    expected = save_all(tmp_path, STEM, filled_in(stubs, **SOLVED), stubs, own)
    assert len(expected) >= 21
    grades = grade(tmp_path, timeout=20)
    for name, refusal in expected.items():
        graded = of(grades, name)
        if refusal:
            assert graded.total == 0 and refusal in " ".join(graded.notes), (name, graded.notes)
        else:
            assert marks(graded) == FULL, (name, messages(graded), graded.notes)
    left = " ".join(of(grades, "trials").notes)
    assert "left out" in left and "for i in range(3):" in left


def test_one_mistake_costs_once(student, tmp_path):
    """The step of notebook 2 that uses the losses passes with right ones in their place, and the report says so."""
    stem = UNITS["discriminator_step"].notebook
    book = json.loads((student / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    sources = {name: solution(name) for name in ("fake_loss", "discriminator_step")}
    handed_in(book, tmp_path / "stub.ipynb", **sources)
    handed_in(
        book, tmp_path / "wrong.ipynb", real_loss="def real_loss(logits, smooth=False):\n    return logits.mean()", **sources
    )
    gone = filled_in(book, lambda book: book["cells"].remove(cell_of(book, UNITS["real_loss"].cell)), **sources)
    (tmp_path / "missing.ipynb").write_text(json.dumps(gone), encoding="utf-8")
    for graded in grade(tmp_path, timeout=20).graded:
        found = marks(graded)
        assert found["real_loss"] == 0 and found["fake_loss"] > 0
        assert found["discriminator_step"] == UNITS["discriminator_step"].marks, messages(graded)
        note = next(mark.note for mark in graded.marks if mark.unit.name == "discriminator_step")
        assert note == "passes with a right real_loss"


# -- cheats that are no code of a solution's cell


def edit_the_check(book):
    cell_of(book, OWN["scale"].check_cell)["source"] = 'print("scale: passed")'


def delete_the_cells(book):
    gone = (OWN["scale"].cell, OWN["scale"].check_cell)
    book["cells"] = [cell for cell in book["cells"] if cell["id"] not in gone]


def fake_outputs(book):
    for unit in OWN.values():
        text = [f"{unit.name}: passed (verified)\n"]
        cell = cell_of(book, unit.check_cell)
        cell["outputs"], cell["execution_count"] = [{"name": "stdout", "output_type": "stream", "text": text}], 7


def in_another_cell(source):
    return lambda book: book["cells"].insert(0, code(source, "mine"))


def no_more_code(book):
    cell_of(book, OWN["scale"].cell)["cell_type"] = "raw"


BOOKS = {
    "edit_the_check": (edit_the_check, r"should|is .*expected"),
    "delete_the_cells": (delete_the_cells, "no cell defines scale"),
    "fake_outputs": (fake_outputs, "expected"),
    "patch_in_another_cell": (in_another_cell("import torch\ntorch.equal = torch.allclose = lambda *a, **k: True"), "expected"),
    "helper_reads_files": (
        in_another_cell("from pathlib import Path\nfound = Path('01_data_loading.ipynb').read_text()"),
        "expected",
    ),
    "helper_opens_a_socket": (
        in_another_cell("import socket\nline = socket.create_connection(('192.0.2.1', 80), 1)"),
        "expected",
    ),
    "helper_loops": (in_another_cell("while True:\n    pass"), "expected"),
    "helper_forks": (in_another_cell("import os\nchildren = [os.fork() for _ in range(9)]"), "expected"),
    "no_more_code": (no_more_code, "no cell defines scale"),
}

# What is said about some files of tests/cheats: a part of the message.
SAID = {
    "endless": "took longer than",
    "fork_bomb": "processes|took longer|ended the process",
    "frames": "uses .*_getframe",
    "lying_tensor": "is a Liar|raised",
    "memory_bomb": "MemoryError|MB of memory|ended the process",
    "memory_fd": "MB of memory|OSError|ended the process",
    "network": "OSError|Network is unreachable|raised",
    "objects": "uses .*get_objects",
    "oversize": "larger than is allowed|MB of memory|cannot be read|allocate memory",
    "packages_own": "the package's own facegen.data.scale",
    "checks_own": "the package's own problem_unittests",
    "reads_solutions": "uses exec",
    "second_import": "uses .*(import_module|sys.modules)",
    "wrapped": "the package's own facegen.data",
    "getsource": "uses .*getsource",
    "by_string": "uses (exec|eval|__import__)",
    "frame_attributes": "uses .*tb_frame",
}
ELSE = "expected|raised|uses|cannot be read|ended the process|is no answer"


@pytest.fixture(scope="module")
def handed(stubs, tmp_path_factory):
    """A folder of hand-ins: the cheats with an honest `unscale`, a perfect, a half and an empty one, some strange ones."""
    folder = tmp_path_factory.mktemp("handed")
    for name, source in CHEATS.items():
        handed_in(stubs, folder / name / f"{STEM}.ipynb", scale=source, unscale=SOLVED["unscale"])
    for name, (change, _) in BOOKS.items():
        handed_in(stubs, folder / f"{name}.ipynb", change, scale=WRONG, unscale=SOLVED["unscale"])
    handed_in(stubs, folder / "perfect <b>&.ipynb", **SOLVED)
    handed_in(stubs, folder / "half.ipynb", scale=SOLVED["scale"], get_dataloader="def get_dataloader(:\n")
    handed_in(stubs, folder / "empty.ipynb")
    (folder / "=broken.ipynb").write_text('{"cells": ')
    (folder / "\uff1dwide\x1b[31m;=red.ipynb").write_text('{"cells": ')
    (folder / "other").mkdir()
    (folder / "other" / "mine.ipynb").write_text('{"cells": [{"cell_type": "code", "id": "a", "source": "1"}]}')
    (folder / "linked").symlink_to(ROOT / "notebooks")
    return folder


@pytest.fixture(scope="module")
def grades(handed):
    return grade(handed, timeout=RUNS_ON, memory=1024)


def test_there_are_cheats_of_every_kind():
    assert set(SAID) <= set(CHEATS) and len(CHEATS) + len(BOOKS) >= 35


@pytest.mark.parametrize("name", [*CHEATS, *BOOKS])
def test_a_cheat_gets_what_its_honest_part_deserves(name, grades):
    graded = of(grades, name)
    assert marks(graded) == {**FULL, "scale": 0, "get_dataloader": 0}, messages(graded)
    expected = BOOKS[name][1] if name in BOOKS else SAID.get(name, ELSE)
    assert re.search(expected, graded.marks[0].message), graded.marks[0].message
    assert "not written yet" in graded.marks[2].message


def test_a_link_to_the_solutions_earns_nothing(grades):
    graded = of(grades, "linked")
    assert graded.total == 0 and "symbolic link" in graded.notes[0]


def test_a_perfect_a_half_and_an_empty_hand_in(grades):
    perfect, half, empty = (of(grades, name) for name in ("perfect <b>&", "half", "empty"))
    assert marks(perfect) == FULL and not any(mark.message for mark in perfect.marks)
    assert marks(half) == {**dict.fromkeys(FULL, 0), "scale": FULL["scale"]}
    assert "SyntaxError" in half.marks[2].message and "line 1" in half.marks[2].message
    assert empty.total == 0 and all("not written yet" in mark.message for mark in empty.marks)


def test_what_cannot_be_read_gets_no_marks_and_a_note(grades):
    for name, note in (("=broken", "not a readable notebook"), ("other", "not a notebook of the course")):
        graded = of(grades, name)
        assert (graded.total, graded.out_of) == (0, sum(FULL.values())) and note in graded.notes[0]


def test_the_csv_has_one_row_for_each_hand_in_and_no_formula(grades, tmp_path):
    write_csv(grades, tmp_path / "marks.csv")
    with open(tmp_path / "marks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(grades.graded)
    assert not any(value.startswith(("=", "+", "-", "@", "\uff1d")) for row in rows for value in row.values())
    text = (tmp_path / "marks.csv").read_text(encoding="utf-8")
    assert "\x1b" not in text + summary(grades) and '"\'\uff1dwide?[31m;=red"' in text
    perfect = next(row for row in rows if row["name"].startswith("perfect"))
    assert (perfect["percent"], perfect["get_dataloader"]) == ("100.0", str(FULL["get_dataloader"]))


def test_junit_has_a_suite_for_each_hand_in(grades, tmp_path):
    write_junit(grades, tmp_path / "junit.xml")
    suites = {suite.get("name"): suite for suite in ET.parse(tmp_path / "junit.xml").iter("testsuite")}
    assert len(suites) == len(grades.graded) and suites["perfect <b>&"].get("failures") == "0"
    cases = {case.get("name"): case.find("failure") for case in suites["frames"].iter("testcase")}
    assert cases["unscale"] is None and "_getframe" in cases["scale"].get("message")


def test_the_page_escapes_names_and_says_what_a_grade_says(grades, tmp_path):
    write_page(grades, tmp_path / "marks.html")
    page = (tmp_path / "marks.html").read_text(encoding="utf-8")
    assert "perfect &lt;b&gt;&amp;" in page and "perfect <b>" not in page
    assert "answered secret questions rightly, not who wrote it" in page
    assert summary(grades).count("\n") == len(grades.graded) - 1


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_nothing_of_a_run_is_left(grades):
    home = os.fsencode("HOME=" + inside.environment(Path(os.sep, "tmp"))["HOME"])  # every run's, in its own namespace

    def of_a_run(path):
        try:
            return home in path.read_bytes()
        except OSError:
            return False

    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if of_a_run(path)]


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_without_namespaces_limits_hold_and_the_report_says_what_does_not(stubs, tmp_path):
    for name in ("endless", "fork_bomb", "memory_bomb"):
        handed_in(stubs, tmp_path / name / f"{STEM}.ipynb", scale=CHEATS[name])
    handed_in(stubs, tmp_path / "half.ipynb", get_dataloader=SOLVED["get_dataloader"])
    grades = grade(tmp_path, timeout=4, memory=1024, isolation="plain")
    assert {g.name: g.total for g in grades.graded} == {
        "endless": 0, "fork_bomb": 0, "memory_bomb": 0, "half": FULL["get_dataloader"],
    }  # fmt: skip
    assert not grades.whole and "can read and write your files" in grades.isolation


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_ctrl_c_leaves_nothing_running(stubs, tmp_path):
    for number in range(3):
        handed_in(stubs, tmp_path / "in" / f"{number}.ipynb", scale=CHEATS["endless"])
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from teaching.__main__ import main; "
    command = [sys.executable, "-c", f"{code}sys.exit(main(sys.argv[1:]))", "grade", str(tmp_path / "in"), "--jobs", "2"]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def family(top):
        return [pid for pid in sandbox._descendants(top) if pid != top]

    while process.poll() is None and len(family(process.pid)) < 5:  # two servers, and what runs in a sandbox
        time.sleep(0.1)
    below = family(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130 and len(below) >= 5
    deadline = time.monotonic() + 20  # the kernel ends them, in its own time
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in below):
        time.sleep(0.1)
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.glob("facegen-grade-*"))


def test_where_there_is_no_fork_a_plain_process_gives_the_same_answer(tmp_path):
    server = inside.Server.__new__(inside.Server)
    server.tree, server.rooms, server.isolation = ROOT, tmp_path, sandbox.Isolation(False, fork=False)
    reply = server.reply({"do": "outline", "sources": ["x = 1"], "timeout": 60, "memory": 1024})
    assert reply["why"] == "" and "no namespaces" in str(server.isolation)


def test_a_report_that_is_too_large_ends_the_run(tmp_path):
    if not sandbox.can_fork:
        pytest.skip("Linux")

    def child(fd):
        block = bytes(1 << 20)
        while True:
            os.write(fd, block)

    ended = sandbox.run(child, sandbox.Limits(seconds=20), None, sandbox.Isolation(False))
    assert (ended.why, ended.said) == ("report", b"") and sandbox.SAID_LIMIT >= MOST_BYTES


# -- the names of the recorded runs


ANSWERS_KNOWN = """
from facegen.training.symptoms import HEALTHY, SICKNESSES, is_answer, recorded_letters
answers = {letter: next(name for name in (*SICKNESSES, HEALTHY) if is_answer(letter, name)) for letter in recorded_letters()}
"""
ANSWERS_READ = """
import json
from facegen.training.symptoms import HEALTHY, SICKNESSES, hidden_answer, recorded_folder
file_says = json.loads(recorded_folder().joinpath("answers.json").read_text())
all_of_them = (*SICKNESSES, HEALTHY)
answers = {run: next(name for name in all_of_them if hidden_answer(run, name) == file_says[run]) for run in file_says}
"""


def test_the_names_of_the_recorded_runs_cannot_be_looked_up(tmp_path):
    unit = UNITS["name_sickness"]
    named = {letter: next(n for n in (*SICKNESSES, HEALTHY) if is_answer(letter, n)) for letter in recorded_letters()}
    sources = {"known": ANSWERS_KNOWN, "read": ANSWERS_READ, "honest": f"answers = {named}"}
    sources["guessed"] = f"answers = {dict.fromkeys(named, HEALTHY)}"
    for name, source in sources.items():
        pristine = json.loads((ROOT / "notebooks" / f"{unit.notebook}.ipynb").read_text(encoding="utf-8"))
        book = {**pristine, "cells": [{**cell_of(pristine, unit.cell), "source": source}]}
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{unit.notebook}.ipynb").write_text(json.dumps(book), encoding="utf-8")
    grades = grade(tmp_path, timeout=RUNS_ON)
    assert {graded.name: graded.total for graded in grades.graded} == {
        name: unit.marks * (name == "honest") for name in sources
    }


# -- what is found and what runs


def test_hand_ins_are_files_folders_and_zips_but_no_links_and_copies(tmp_path):
    folder = tmp_path / "in"
    for name in ("b.ipynb", "a/x.ipynb", "a/deep/y.ipynb", "a/.ipynb_checkpoints/x-checkpoint.ipynb", "c/notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "d.zip").write_bytes(b"no zip")
    found = {h.name: [path.name for path in h.files] for h in find_hand_ins(folder, tmp_path / "scratch")}
    assert found == {"a": ["y.ipynb", "x.ipynb"], "b": ["b.ipynb"], "d": []}
    assert [h.name for h in find_hand_ins(folder / "a" / "deep", tmp_path / "scratch", {"y", "z"})] == ["deep"]  # one learner's
    for path, said in (
        (folder / "nobody", "no such file"),
        (folder / "c", r"no \.ipynb file"),
        (folder / "d.zip", "not a readable zip"),
    ):
        with pytest.raises(InputError, match=said):
            find_hand_ins(path, tmp_path / "scratch")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match="is a symbolic link"):
        find_hand_ins(tmp_path / "link", tmp_path / "scratch")


def test_one_hand_in_that_is_nothing_is_refused(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": []}')
    with pytest.raises(InputError, match=r"nothing to grade: a\.ipynb: not a notebook of the course"):
        grade(tmp_path / "a.ipynb")


def test_names_of_a_piece_of_code():
    assert names_of("y = [f(i) for i in x]\ny.sort()\nz.a[0] = 1") == ({"f", "x", "y", "z"}, {"y", "z"})
    assert names_of("def f(a):\n    b = a + c\n    return b") == ({"c"}, {"f"})
    assert names_of("import a.b as c, d.e") == (set(), {"c", "d"})
    assert "torch" in names_of("%time torch.ones(2)")[0]


def test_the_outline_of_a_cell():
    source = "import torch as t\n%timeit t.ones(1)\n@t.no_grad()\ndef f(x):\n    return t.ones(x)\na = 1; b = f(2)\nprint(a)"
    found = inside.outline(source)
    assert [(piece["kind"], piece["lines"]) for piece in found["pieces"]] == [
        ("import", [1, 1]), ("other", [2, 2]), ("define", [3, 5]), ("plain", [6, 6]), ("other", [7, 7]),
    ]  # fmt: skip
    assert found["bindings"] == {"t": "torch"} and "t.ones" in found["pieces"][2]["chains"]
    assert "SyntaxError, line 1" in inside.outline("def f(:")["error"]
    assert inside.outline("x = eval('1')")["pieces"][0]["hidden"] == ["eval"]
    assert inside.outline("net = net.eval()")["pieces"][0]["hidden"] == []
