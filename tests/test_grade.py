"""Grading: what honest hand-ins get, and that none of the cheats in tests/cheats gets more than its honest part."""

import collections
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch

from facegen.course import examine, sandbox
from facegen.course.exercises import names_of, read_cells, read_exercises
from facegen.course.grade import _code_cells, _Plan, find_hand_ins, grade, needed_cells
from facegen.course.report import summary, write_csv, write_junit, write_page
from facegen.course.student import build_student
from facegen.files import InputError
from facegen.training.symptoms import HEALTHY, SICKNESSES, is_answer, recorded_letters

ROOT = Path(__file__).parent.parent
STEM = "01_data_loading"
CHEATS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parent / "cheats").glob("*.py"))}
WRONG = "def scale(x, feature_range=(-1, 1)):\n    return x"
RUNS_ON = 5  # seconds of processor time that an exercise may take here

EXERCISES = {e.name: e for e in read_exercises(ROOT) if e.notebook == STEM}
PRISTINE = read_cells(ROOT / "notebooks" / f"{STEM}.ipynb")
SOLVED = {name: next(c["source"] for c in PRISTINE if c["id"] == e.cell) for name, e in EXERCISES.items()}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The learners' notebook, as they get it."""
    dest = tmp_path_factory.mktemp("student") / "tree"
    build_student(ROOT, dest)
    return json.loads((dest / "notebooks" / f"{STEM}.ipynb").read_text(encoding="utf-8"))


def handed_in(stubs, path, *, change=None, **sources):
    """Write a hand-in: the learners' notebook with these sources in its exercises' cells."""
    book = json.loads(json.dumps(stubs))
    for name, source in sources.items():
        cell_of(book, EXERCISES[name].cell)["source"] = source
    if change:
        change(book)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(book), encoding="utf-8")


def cell_of(book, name):
    return next(cell for cell in book["cells"] if cell["id"] == name)


# -- cheats that are no code of a solution's cell


def edit_the_check(book):
    cell_of(book, EXERCISES["scale"].check_cell)["source"] = 'print("scale: passed")'


def delete_the_cells(book):
    gone = (EXERCISES["scale"].cell, EXERCISES["scale"].check_cell)
    book["cells"] = [cell for cell in book["cells"] if cell["id"] not in gone]


def two_cells_of_one_id(book):
    at = book["cells"].index(cell_of(book, EXERCISES["scale"].cell))
    book["cells"].insert(at + 1, {**book["cells"][at], "source": SOLVED["scale"]})


def fake_outputs(book):
    for exercise in EXERCISES.values():
        text = [f"{exercise.name}: passed (verified)\n"]
        cell = cell_of(book, exercise.check_cell)
        cell["outputs"], cell["execution_count"] = [{"name": "stdout", "output_type": "stream", "text": text}], 7


def patch_in_another_cell(book):
    book["cells"].insert(0, {"cell_type": "code", "id": "mine", "metadata": {}, "outputs": [], "execution_count": 1,
                             "source": "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True"})  # fmt: skip


def no_more_code(book):
    cell = cell_of(book, EXERCISES["scale"].cell)
    cell["cell_type"] = "raw"


BOOKS = {
    "edit_the_check": edit_the_check,
    "delete_the_cells": delete_the_cells,
    "two_cells_of_one_id": two_cells_of_one_id,
    "fake_outputs": fake_outputs,
    "patch_in_another_cell": patch_in_another_cell,
    "no_more_code": no_more_code,
}

# What the check, or the grader, says about each: a part of the message.
SAID = {
    "afterwards": "should be",
    "assertion_error": "should be",
    "checks_own": "AttributeError",
    "endless": "took longer than",
    "fake_report": "should be",
    "fork_bomb": "processes|took longer|ended the process",
    "frames": "not allowed while this is graded",
    "lying_tensor": "class of its own|raised",
    "memory_bomb": "MemoryError|MB of memory",
    "memory_file": "not allowed while this is graded",
    "network": "not allowed while this is graded",
    "objects": "not allowed while this is graded",
    "os_exit": "ended the process",
    "packages_own": "switched off",
    "patched_checks": "should be",
    "patched_later": "could be trusted",
    "patched_torch": "should be",
    "prints": "should be",
    "reads_solutions": "should be",
    "secret": "not allowed while this is graded",
    "sys_exit": "SystemExit",
    "traceback_frames": "not allowed while this is graded",
    "edit_the_check": "should be",
    "delete_the_cells": "is missing",
    "two_cells_of_one_id": "2 times",
    "fake_outputs": "should be",
    "patch_in_another_cell": "should be",
    "no_more_code": "is missing",
}


@pytest.fixture(scope="module")
def handed(stubs, tmp_path_factory):
    """A folder of hand-ins: the cheats with an honest `unscale`, a perfect, a half and an empty one, some strange ones."""
    folder = tmp_path_factory.mktemp("handed")
    for name, source in CHEATS.items():
        handed_in(stubs, folder / name / f"{STEM}.ipynb", scale=source, unscale=SOLVED["unscale"])
    for name, change in BOOKS.items():
        handed_in(stubs, folder / f"{name}.ipynb", change=change, scale=WRONG, unscale=SOLVED["unscale"])
    handed_in(stubs, folder / "perfect <b>&.ipynb", **SOLVED)
    handed_in(stubs, folder / "half.ipynb", scale=SOLVED["scale"], get_dataloader="def get_dataloader(:\n")
    handed_in(stubs, folder / "empty.ipynb")
    (folder / "=broken.ipynb").write_text('{"cells": ')
    (folder / "other").mkdir()
    (folder / "other" / "mine.ipynb").write_text('{"cells": [{"cell_type": "code", "id": "a", "source": "1"}]}')
    return folder


@pytest.fixture(scope="module")
def grades(handed):
    return grade(handed, timeout=RUNS_ON, memory=1024, notebook=False)


def of(grades, name):
    return next(graded for graded in grades.graded if graded.name == name)


def marks(graded):
    return {mark.exercise.name: mark.marks for mark in graded.marks}


def test_there_are_fifteen_cheats_and_more():
    assert len(CHEATS) + len(BOOKS) >= 15 and set(SAID) == {*CHEATS, *BOOKS}


@pytest.mark.parametrize("name", [*CHEATS, *BOOKS])
def test_a_cheat_gets_what_its_honest_part_deserves(name, grades):
    graded = of(grades, name)
    assert marks(graded) == {"scale": 0, "unscale": 2, "get_dataloader": 0}, [m.message for m in graded.marks]
    assert re.search(SAID[name], graded.marks[0].message), graded.marks[0].message
    assert "not written yet" in graded.marks[2].message


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
ANSWERS_ASKED = ANSWERS_KNOWN.replace("answers =", "answers = lambda:")


@pytest.mark.parametrize("isolation", ["auto", "guards"] if sandbox.can_fork else ["auto"])
def test_the_names_of_the_recorded_runs_cannot_be_looked_up(isolation, tmp_path):
    stem = "06_evaluation"
    exercise = next(e for e in read_exercises(ROOT) if e.name == "name_sickness")
    named = {letter: next(n for n in (*SICKNESSES, HEALTHY) if is_answer(letter, n)) for letter in recorded_letters()}
    sources = {
        "known": ANSWERS_KNOWN,
        "read": ANSWERS_READ,
        "asked": ANSWERS_ASKED,
        "honest": f"answers = {named}",
        "guessed": f"answers = {dict.fromkeys(named, HEALTHY)}",
    }
    pristine = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text(encoding="utf-8"))
    for name, source in sources.items():
        book = {**pristine, "cells": [{**cell_of(pristine, exercise.cell), "source": source}]}
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{stem}.ipynb").write_text(json.dumps(book), encoding="utf-8")
    grades = grade(tmp_path, timeout=RUNS_ON, notebook=False, isolation=isolation)
    assert {graded.name: graded.total for graded in grades.graded} == {name: 2 * (name == "honest") for name in sources}
    said = {
        graded.name: next(m.message for m in graded.marks if m.exercise.name == "name_sickness") for graded in grades.graded
    }
    assert "switched off" in said["known"] and "is_answer" in said["asked"] and "1" in said["guessed"]
    assert re.search("not allowed|JSONDecodeError", said["read"])


def test_another_tree_is_graded_with_its_own_package(stubs, tmp_path):
    """Its package differs, and a hand-in imports a part of it that the checks do not."""
    tree = tmp_path / "tree"
    for name in ("facegen", "notebooks", "assets", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    (tree / "facegen" / "theirs.py").write_text("answer = 2\n")
    source = "from facegen.theirs import answer\n" + SOLVED["scale"]
    handed_in(stubs, tmp_path / "ada.ipynb", scale=source)
    assert grade(tmp_path / "ada.ipynb", tree=tree, timeout=RUNS_ON, notebook=False).graded[0].total == 2
    message = grade(tmp_path / "ada.ipynb", timeout=RUNS_ON, notebook=False).graded[0].marks[0].message
    assert "facegen.theirs" in message


def test_a_perfect_a_half_and_an_empty_hand_in(grades):
    perfect, half, empty = (of(grades, name) for name in ("perfect <b>&", "half", "empty"))
    assert (perfect.total, perfect.out_of) == (10, 10) and not any(mark.message for mark in perfect.marks)
    assert marks(half) == {"scale": 2, "unscale": 0, "get_dataloader": 0}
    assert "SyntaxError" in half.marks[2].message and "line 1" in half.marks[2].message
    assert empty.total == 0 and all("not written yet" in mark.message for mark in empty.marks)


def test_what_cannot_be_read_gets_no_marks_and_a_note(grades):
    for name, note in (("=broken", "not a readable notebook"), ("other", "not a notebook of the course")):
        graded = of(grades, name)
        assert (graded.total, graded.out_of) == (0, 10) and note in graded.notes[0]


def test_no_message_shows_a_solution(grades):
    said = " ".join(mark.message for graded in grades.graded for mark in graded.marks)
    assert "x * (high - low)" not in said and "(x - low)" not in said


def test_the_csv_has_one_row_for_each_hand_in_and_no_formula(grades, tmp_path):
    write_csv(grades, tmp_path / "marks.csv")
    with open(tmp_path / "marks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(grades.graded)
    assert not any(value.startswith(("=", "+", "-", "@")) for row in rows for value in row.values())
    perfect = next(row for row in rows if row["name"].startswith("perfect"))
    assert (perfect["marks"], perfect["out_of"], perfect["percent"], perfect["get_dataloader"]) == ("10", "10", "100.0", "6")


def test_junit_has_a_suite_for_each_hand_in(grades, tmp_path):
    write_junit(grades, tmp_path / "junit.xml")
    suites = {suite.get("name"): suite for suite in ET.parse(tmp_path / "junit.xml").iter("testsuite")}
    assert len(suites) == len(grades.graded) and suites["perfect <b>&"].get("failures") == "0"
    cases = {case.get("name"): case.find("failure") for case in suites["frames"].iter("testcase")}
    assert cases["unscale"] is None and "not allowed" in cases["scale"].get("message")


def test_the_page_escapes_names_and_says_what_it_does_not_protect_against(grades, tmp_path):
    write_page(grades, tmp_path / "marks.html")
    page = (tmp_path / "marks.html").read_text(encoding="utf-8")
    assert "perfect &lt;b&gt;&amp;" in page and "perfect <b>" not in page
    assert "does not protect against" in page and "could be trusted" in page
    assert summary(grades).count("\n") == len(grades.graded) - 1


@pytest.fixture(scope="module")
def guards(stubs, tmp_path_factory):
    """The same without namespaces, for the cheats that these stop elsewhere."""
    folder = tmp_path_factory.mktemp("guards")
    for name in ("reads_solutions", "fork_bomb", "fake_report", "frames"):
        handed_in(stubs, folder / name / f"{STEM}.ipynb", scale=CHEATS[name])
    handed_in(stubs, folder / "half.ipynb", get_dataloader=SOLVED["get_dataloader"])
    before = {path: path.stat().st_mtime_ns for path in ROOT.iterdir()}
    grades = grade(folder, timeout=4, memory=1024, notebook=False, isolation="guards")
    assert {path: path.stat().st_mtime_ns for path in ROOT.iterdir() if path.is_file()} == {
        path: time for path, time in before.items() if path.is_file()
    }
    return grades


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_without_namespaces_cheats_get_nothing_either(guards):
    assert {graded.name: graded.total for graded in guards.graded} == {
        "reads_solutions": 0, "fork_bomb": 0, "fake_report": 0, "frames": 0, "half": 6,
    }  # fmt: skip
    assert not guards.whole and "compiled extension" in guards.isolation


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_nothing_of_a_run_is_left(grades, guards):
    home = os.fsencode("HOME=" + examine.environment(Path(os.sep, "tmp"))["HOME"])  # every run's, in its own namespace

    def of_a_run(path):
        try:
            return home in path.read_bytes()
        except OSError:
            return False

    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if of_a_run(path)]


def test_the_command_writes_its_files_and_runs_the_notebook(stubs, tmp_path):
    """Two exercises in a kernel too; the second uses nothing of the first, which would end everything."""
    cell = "import sys\n\n\ndef scale(x, feature_range=(-1, 1)):\n    sys.exit(0)"
    handed_in(stubs, tmp_path / "ada.ipynb", scale=cell, unscale=SOLVED["unscale"])
    files = {"--report": "a.html", "--csv": "a.csv", "--junit": "a.xml"}
    flags = [word for flag, name in files.items() for word in (flag, str(tmp_path / name))]
    command = [sys.executable, "-m", "facegen", "grade", str(tmp_path / "ada.ipynb"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "ada    2 of 10  without scale, get_dataloader" in done.stdout and "SystemExit" in done.stdout
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<td>passed</td>") == 1 and page.count("<td>failed</td>") == 2
    assert all((tmp_path / name).is_file() for name in files.values())


def test_where_there_is_no_fork_a_plain_process_gives_the_same_answer(tmp_path):
    server = examine.Server.__new__(examine.Server)
    server.tree, server.scratch, server.isolation = ROOT, tmp_path, sandbox.Isolation(False, fork=False)
    job = {"name": "scale", "check": "test_scale", "component": "scale", "cells": [["c13", WRONG]]}
    passed, message = server._one(job, "own", 0, 1, sandbox.Limits(60))
    assert not passed and "x came back as it was" in message and "no namespaces" in str(server.isolation)


@pytest.mark.skipif(not sandbox.can_fork, reason="Linux")
def test_a_run_sees_another_tree_in_the_place_of_the_tree(tmp_path):
    for name in ("tree", "student/build", "root"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "tree" / "solution").write_text("secret")
    for name in ("lesson", "hidden"):
        (tmp_path / "student" / name).write_text("text")
    view = sandbox.View(tmp_path / "tree", tmp_path / "student", tmp_path / "root", ("build",), ("hidden",))
    code = (
        "import os, sys; from facegen.course import sandbox; from pathlib import Path; p = [Path(x) for x in sys.argv[1:]]\n"
        "view = sandbox.View(*p, ('build',), ('hidden',)); here = sandbox.isolation_here(view)\n"
        "def child(fd):\n"
        "    (p[0] / 'build' / 'mine').write_text('x')\n"
        "    said = [sorted(os.listdir(p[0])), (p[0] / 'lesson').read_text(), (p[0] / 'hidden').read_text()]\n"
        "    try:\n        (p[0] / 'new').write_text('x')\n    except OSError:\n        said.append('read-only')\n"
        "    os.write(fd, repr(said).encode())\n"
        "print(here.namespaces, sandbox.run(child, sandbox.Limits(), view, here).said.decode() if here.namespaces else '')"
    )
    command = [sys.executable, "-c", code, *(str(path) for path in (view.tree, view.instead, view.root))]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    if said.startswith("False"):
        pytest.skip("namespaces are not allowed here")
    assert said.strip() == "True [['build', 'hidden', 'lesson'], 'text', '', 'read-only']"
    assert sorted(os.listdir(tmp_path / "student" / "build")) == []


# -- what is found and what runs


def test_hand_ins_are_files_and_folders_but_no_links_and_copies(tmp_path):
    for name in ("b.ipynb", "a/x.ipynb", "a/deep/y.ipynb", "a/.ipynb_checkpoints/x-checkpoint.ipynb", "c/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    if hasattr(os, "symlink"):
        (tmp_path / "link.ipynb").symlink_to(tmp_path / "b.ipynb")
    found = {hand_in.name: [path.name for path in hand_in.files] for hand_in in find_hand_ins(tmp_path)}
    assert found == {"a": ["y.ipynb", "x.ipynb"], "b": ["b.ipynb"]}
    assert [hand_in.name for hand_in in find_hand_ins(tmp_path / "a" / "deep", {"y", "z"})] == ["deep"]  # one learner's
    with pytest.raises(InputError, match="no such file"):
        find_hand_ins(tmp_path / "nobody")
    with pytest.raises(InputError, match=r"no \.ipynb file"):
        find_hand_ins(tmp_path / "c")


def test_one_hand_in_that_is_nothing_is_refused_before_any_work(tmp_path):
    (tmp_path / "a.ipynb").write_text('{"cells": []}')
    with pytest.raises(InputError, match=r"nothing to grade: a\.ipynb: not a notebook of the course"):
        grade(tmp_path / "a.ipynb")
    with pytest.raises(InputError, match="is not the course"):
        grade(tmp_path / "a.ipynb", tree=tmp_path)


def test_names_of_a_piece_of_code():
    assert names_of("y = [f(i) for i in x]\ny.sort()\nz.a[0] = 1") == ({"f", "x", "y", "z"}, {"y", "z"})
    assert names_of("def f(a):\n    b = a + c\n    return b") == ({"c"}, {"f"})
    assert names_of("import a.b as c, d.e") == (set(), {"c", "d"})
    assert "torch" in names_of("%time torch.ones(2)")[0]


def test_only_what_an_exercise_needs_runs():
    before = [
        ("a", "import torch\ntorch.manual_seed(0)\nprint(torch.pi)", False),
        ("b", "base = 3\nother = train(base)\nbase = base + 1", False),
        ("c", "def helper(x):\n    return x * base", True),
        ("d", "raise SystemExit", True),
    ]
    cells = needed_cells(before, "def f(x):\n    total = helper(x)\n    return total")
    assert cells == [["a", "import torch"], ["b", "base = 3\nbase = base + 1"], ["c", before[2][1]]]


def test_every_exercise_of_the_course_needs_few_cells():
    """Its own, those of earlier exercises that it calls, and imports: no training."""
    exercises = read_exercises(ROOT)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        plan = _Plan(path.stem, read_cells(path), exercises, _code_cells(path), {})
        for exercise in plan.exercises:
            cells, _ = plan.cells_of(exercise)
            assert cells[-1][0] == exercise.cell and sum(len(source) for _, source in cells) < 6000


# -- known solutions with a learner's code in them


def test_a_shadow_gives_the_wrong_result_and_calls_the_learners():
    seen = []

    def learner(x):
        seen.append(x)
        x += 1
        torch.manual_seed(0)
        raise SystemExit

    x, state = torch.zeros(2), torch.get_rng_state()
    assert examine.shadowed(lambda x: x - 5, learner)(x).tolist() == [-5, -5]
    assert len(seen) == 1 and x.tolist() == [0, 0] and torch.equal(torch.get_rng_state(), state)

    class Wrong(torch.nn.Module):
        def forward(self, x):
            return -x

    class Learners(torch.nn.Module):
        def forward(self, x):
            seen.append(x)
            return x

    net = examine.shadowed(Wrong, Learners)()
    assert isinstance(net, Wrong) and net(torch.ones(1)).item() == -1 and len(seen) == 2


def test_results_that_could_lie_are_named():
    class Number(float):
        def __le__(self, other):
            return True

    class Pretender:
        __class__ = torch.Tensor

        def __eq__(self, other):
            return True

    pair = collections.namedtuple("pair", "a b")
    fine = [1.0, np.float64(2), torch.ones(1), torch.nn.Parameter(torch.ones(1)), pair(1, torch.ones(2)), {"a": None}]
    loader = torch.utils.data.DataLoader([1, 2])
    assert [examine._lie(value) for value in (*fine, loader, torch.nn.ReLU(), collections.OrderedDict(a=1))] == [""] * 9
    lies = [Number(1), [Pretender()], {"a": (Number(2),)}, torch.ones(1).as_subclass(type("Liar", (torch.Tensor,), {}))]
    assert [examine._lie(value) for value in lies] == ["Number", "Pretender", "Number", "Liar"]
