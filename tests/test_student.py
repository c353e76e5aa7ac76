"""The learners' tree: what a stub says and does, what is cleared, what stays behind, what is refused."""

import ast
import contextlib
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from exercises.base import Exercise
from exercises.judging import number
from facegen.files import InputError
from teaching import units
from teaching.__main__ import main
from teaching.cells import read_cells, without_solution
from teaching.student import build_student
from teaching.units import read_units

ROOT = Path(__file__).resolve().parents[1]
PICTURE = new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "a picture"})


def text(words):
    return new_output("stream", name="stdout", text=words)


def code(source, cell, *outputs):
    return new_code_cell(source, id=cell, outputs=list(outputs), execution_count=1)


HALF = 'def half(x):\n    """x -> x / 2."""\n    ### BEGIN SOLUTION\n    y = x / 2\n    ### END SOLUTION\n    return y'
CHECK = "tests.test_half(half)"


def exercise(chapter=1, component="half"):
    return Exercise(
        component=component, chapter=chapter, place=1, minutes=5, difficulty=1, task="Half of it.", verified="a value",
        reference=lambda x: x / 2, cases=lambda g: [{"x": 3.0}], judge=lambda case, answer: {"": number(answer["value"])},
    )  # fmt: skip


@pytest.fixture
def half(monkeypatch):
    """A course of one exercise."""
    monkeypatch.setattr(units, "all_exercises", lambda: {"half": exercise()})


def a_course(folder, *cells):
    """A whole tree with one notebook: by default an exercise, its check, and what comes of it."""
    cells = cells or (
        new_markdown_cell("[badge](https://x.org/blob/main/notebooks/01_a.ipynb)"),
        code('REPOSITORY = "r"\nclone = ["--depth", "1", REPOSITORY, "course"]', "set-up", text("ready")),
        code("import problem_unittests as tests", "imports"),
        code(HALF, "c1", text("made")),
        code(CHECK, "c2", text("half: passed")),
        code("print(half(2))", "direct", text("1.0")),
        code("later = [half(x) for x in (2, 4)]\nelse_where = 1", "made"),
        code("print(max(later))", "indirect", text("2.0"), PICTURE),
        code("def loop(later):\n    return [x for x in later]\n\n\nprint(loop([1]))", "own", text("[1]")),
        code("later = [3]\nprint(later, else_where)", "again", text("[3] 1")),
    )
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "01_a.ipynb").write_text(json.dumps(book, indent=1))
    (folder / "Instructions.md").write_text("# Marks\n\n---\n\n## For teachers\n\nThe bank.\n")
    for name in ("facegen/show", "exercises", "assets", "docs", "tests/solutions", "teaching", "bench", "build"):
        (folder / name).mkdir(parents=True)
        (folder / name / "thing.py").write_text("half = lambda x: x / 2\n")
    (folder / "facegen" / "__pycache__").mkdir()
    (folder / "facegen" / "__pycache__" / "x.pyc").write_text("")
    (folder / "README.md").write_text("# Course\n\n[1](https://x.org/blob/main/notebooks/01_a.ipynb)\n")
    for name in ("LICENSE", "requirements.txt", "pyproject.toml", "problem_unittests.py"):
        (folder / name).write_text("\n")
    shutil.copy(ROOT / "Makefile", folder / "Makefile")
    return folder


def test_a_stub_says_what_to_write_and_keeps_to_its_depth():
    cells = {cell["id"]: cell["source"] for cell in read_cells(ROOT / "notebooks" / "02_dcgan.ipynb")}
    exercise = {unit.name: unit for unit in read_units()}["discriminator_step"]
    stub = without_solution(cells[exercise.cell])
    assert "    # The lines around it use real_logits, fake_logits and loss: keep to these names." in stub
    assert '    raise NotImplementedError("discriminator_step is not written yet' in stub
    assert stub.count("### BEGIN SOLUTION") == stub.count("### END SOLUTION") == 1
    assert "detach()  #" not in stub and '"loss_D": loss.detach()' in stub


def test_a_class_keeps_its_methods_and_gets_a_stub_in_each():
    source = """class Pool(Base):
    \"\"\"z -> w.\"\"\"

    def __init__(self, size, *, room=3):
        super().__init__()
        ### BEGIN SOLUTION
        self.kept, self.secret = [], size

    def helper(self):
        return 1
        ### END SOLUTION

    def forward(self, z):
        ### BEGIN SOLUTION
        return self.secret
        ### END SOLUTION

    def __len__(self):
        return len(self.kept)
"""
    stub = without_solution(source)
    assert stub.count('        raise NotImplementedError("Pool is not written yet') == 2
    assert "Write __init__(size, room) here" in stub and "use self.kept: keep to this name" in stub
    assert "Write forward(z) here and return its result.\n        # Pool: z -> w." in stub
    assert "secret" not in stub and "helper" not in stub and "def __len__" in stub and stub.endswith("\n")
    names = {"Base": object}
    exec(stub, names)
    with pytest.raises(NotImplementedError, match="Pool is not written yet"):
        names["Pool"](3)


def test_an_exercise_outside_of_every_function():
    stub = without_solution("### BEGIN SOLUTION\na = 1\nverdict = 'collapse'\n### END SOLUTION")
    assert "# Write verdict here." in stub and "collapse" not in stub
    with pytest.raises(NotImplementedError, match="verdict is not written yet"):
        exec(stub, {})


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("### BEGIN SOLUTION\nx = 1", "line 1: unbalanced markers, '### BEGIN SOLUTION' without '### END SOLUTION'"),
        ("x = 1\n### END SOLUTION", "line 2: unbalanced markers, '### END SOLUTION' without '### BEGIN SOLUTION'"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION", "line 2: unbalanced markers, .* still open"),
        ("### BEGIN SOLUTION\n### End solution", "line 2: '### End solution' is not a marker"),
        ("## BEGIN SOLUTION\n### END SOLUTION", "line 1: '## BEGIN SOLUTION' is not a marker"),
    ],
)
def test_bad_markers_are_refused_with_notebook_cell_and_line(source, words, half, tmp_path):
    with pytest.raises(InputError, match=words):
        without_solution(source)
    tree = a_course(tmp_path / "tree", code(source, "bad"), code(CHECK, "c2"))
    with pytest.raises(InputError, match=rf"01_a.ipynb, cell bad, {words}"):
        build_student(tmp_path / "out", tree=tree)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([code(HALF, "c1"), code("print(1)", "c2")], "01_a.ipynb, cell c1: a solution without a check"),
        ([code(HALF, "c1")], "cell c1: a solution without a check"),
        ([code(HALF, "c1"), code("tests.test_third(half)", "c2")], r"exercises/ has no test_third\(half\) of this notebook"),
        ([code(HALF, "c1"), code("tests.test_half(third)", "c2")], r"exercises/ has no test_half\(third\) of this notebook"),
        ([code("print(1)", "c1")], "is not the course: it holds no notebook with exercises"),
        ([code(HALF, "c1"), code(CHECK, "c2"), code(HALF, "c3"), code(CHECK, "c4")], "half has 2 cells with a solution"),
        ([code(HALF, "c1"), code(CHECK, "c2"), code("x", "c1")], "needs an id of its own"),
    ],
)
def test_an_exercise_without_its_check_is_refused(cells, words, half, tmp_path):
    with pytest.raises(InputError, match=words):
        read_units(a_course(tmp_path / "tree", *cells) / "notebooks")


def test_an_exercise_without_its_cell_and_a_broken_notebook_are_refused(monkeypatch, tmp_path):
    tree = a_course(tmp_path / "tree")
    monkeypatch.setattr(units, "all_exercises", lambda: {"half": exercise(), "third": exercise(2, "third")})
    with pytest.raises(InputError, match="notebook 02: the exercise third has 0 cells"):
        read_units(tree / "notebooks")
    (tree / "notebooks" / "02_b.ipynb").write_text('{"cells": ')
    with pytest.raises(InputError, match=r"02_b.ipynb: not a readable notebook"):
        read_units(tree / "notebooks")


def test_texts_that_the_exercise_had_a_hand_in_are_cleared_and_pictures_stay(half, tmp_path):
    build_student(tmp_path / "out", tree=a_course(tmp_path / "tree"))
    cells = nbformat.read(tmp_path / "out" / "notebooks" / "01_a.ipynb", 4).cells
    outputs = {cell.id: [o.output_type for o in cell.outputs] for cell in cells if cell.cell_type == "code"}
    assert outputs["c1"] == outputs["c2"] == outputs["direct"] == []
    assert outputs["indirect"] == ["display_data"]
    assert outputs["set-up"] == ["stream"]
    assert outputs["own"] == ["stream"], "a name of a function's own is not the learner's"
    assert outputs["again"] == ["stream"], "a name that was given another value is nobody's any more"
    counts = {cell.id: cell.execution_count for cell in cells if cell.cell_type == "code"}
    assert counts["c2"] is None and counts["set-up"] == 1, "a cell without outputs has not run, so nothing is compared"


def test_links_lead_to_the_branch_of_the_learners(half, tmp_path):
    build_student(tmp_path / "out", branch="autumn", tree=a_course(tmp_path / "tree"))
    for name in ("README.md", "notebooks/01_a.ipynb"):
        written = (tmp_path / "out" / name).read_text()
        assert "/blob/autumn/notebooks/01_a.ipynb" in written and "/blob/main/" not in written
    cells = read_cells(tmp_path / "out" / "notebooks" / "01_a.ipynb")
    assert '"--depth", "1", "--branch", "autumn", REPOSITORY' in cells[1]["source"]
    with pytest.raises(InputError, match="not the name of a branch"):
        build_student(tmp_path / "other", branch="a b", tree=tmp_path / "tree")


def test_solutions_stay_behind_and_nothing_is_overwritten(half, tmp_path):
    tree, out = a_course(tmp_path / "tree"), tmp_path / "deep" / "out"
    assert build_student(out, tree=tree).marks == 100
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == {"Instructions.md", "LICENSE", "Makefile", "README.md", "assets/thing.py", "docs/thing.py",
                     "exercises/thing.py", "facegen/show/thing.py", "notebooks/01_a.ipynb", "problem_unittests.py",
                     "pyproject.toml", "requirements.txt"}  # fmt: skip
    assert "For teachers" not in (out / "Instructions.md").read_text()
    with pytest.raises(InputError, match="already exists and is not empty"):
        build_student(out, tree=tree)
    assert [path.name for path in out.parent.iterdir()] == ["out"], "no part is left"
    (tree / "LICENSE").unlink()
    with pytest.raises(InputError, match="LICENSE is missing"):
        build_student(tmp_path / "new", tree=tree)
    assert not (tmp_path / "new").exists()


def test_the_command_says_what_it_built(tmp_path, capsys):
    assert main(["student", str(tmp_path / "out")]) == 0
    assert "6 notebooks, 47 exercises, 100 marks" in capsys.readouterr().out
    assert main(["student", str(tmp_path / "out")]) == 2
    assert "teaching: error:" in capsys.readouterr().err


# -- the course itself


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    out = tmp_path_factory.mktemp("student") / "tree"
    return build_student(out)


def test_the_learners_tree_differs_from_the_course_in_solutions_only(student):
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        ours, theirs = (nbformat.read(p, 4) for p in (path, student.folder / "notebooks" / path.name))
        nbformat.validate(theirs)
        assert [cell.id for cell in ours.cells] == [cell.id for cell in theirs.cells]
        exercises = [e.cell for e in student.units if e.notebook == path.stem]
        changed = [a.id for a, b in zip(ours.cells, theirs.cells) if a.source != b.source]
        set_up = next(cell.id for cell in ours.cells if cell.cell_type == "code")
        assert changed == [ours.cells[0].id, set_up, *exercises], "badge, set-up cell, exercises"
        for cell in theirs.cells:
            assert "/blob/main/" not in cell.source
            if cell.cell_type == "code":
                ast.parse(cell.source)
                assert ("raise NotImplementedError(" in cell.source) == (cell.id in exercises)
    assert student.marks == sum(e.marks for e in student.units) == 100


def test_nothing_of_the_bank_and_no_test_is_in_the_learners_tree(student):
    names = [path.relative_to(student.folder).as_posix() for path in student.folder.rglob("*")]
    assert not [n for n in names if n.startswith(("tests", "teaching", "bench", "build", "runs", ".")) or "__pycache__" in n]
    assert student.files == sum(path.is_file() for path in student.folder.rglob("*"))
    assert "make course" not in (student.folder / "README.md").read_text()
    makefile = (student.folder / "Makefile").read_text()
    assert re.findall(r"^([\w$()]+):(?!=)", makefile, re.M) == ["lab", "test", "$(READY)", "clean"]
    assert "tests" not in makefile.replace("problem_unittests", "")


def test_every_link_of_the_learners_pages_leads_somewhere(student):
    pages = [student.folder / "README.md", *(student.folder / "docs").glob("*.md")]
    there = re.compile(r"(?:\]\(|^\[\w+\]: )(?!http)([^)#\s]+)", re.M)
    links = [(page, link) for page in pages for link in there.findall(page.read_text())]
    assert len(links) > 30
    assert [link for page, link in links if not (page.parent / link).exists()] == []


def test_the_same_tree_gives_the_same_bytes(student, tmp_path):
    again = build_student(tmp_path / "again")
    for path in sorted(student.folder.rglob("*")):
        if path.is_file() and path.suffix in (".ipynb", ".md", "", ".py"):
            assert path.read_bytes() == (again.folder / path.relative_to(student.folder)).read_bytes(), path.name


def run_given_part(source, names):
    """Run what a cell imports and defines, but for what needs the notebook's data (`steps=cfg.steps`): no check needs it."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
            with contextlib.suppress(NameError):
                exec(ast.unparse(node), names)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_stub_fails_its_check_in_one_line_and_every_solution_passes(path, student, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    solved, stubs = (
        {cell["id"]: cell["source"] for cell in read_cells(p) if cell["cell_type"] == "code"}
        for p in (path, student.folder / "notebooks" / path.name)
    )
    checks = {e.cell: stubs[e.check_cell] for e in student.units if e.notebook == path.stem}
    learner, teacher = {"__name__": "notebook"}, {"__name__": "notebook"}
    for cell, source in solved.items():
        if cell in checks:
            with pytest.raises((AssertionError, NotImplementedError), match=r"^[\w ]+ is not written yet: [^\n]*$"):
                exec(f"{stubs[cell]}\n{checks[cell]}", learner)
            exec(f"{source}\n{checks[cell]}", teacher)
        else:
            for names in (learner, teacher):
                run_given_part(source, names)


def test_later_cells_name_the_exercise_that_is_missing(student):
    cells = {cell["id"]: cell["source"] for cell in read_cells(student.folder / "notebooks" / "01_data_loading.ipynb")}
    names = {}
    exec(cells[next(e.cell for e in student.units if e.name == "scale")], names)
    with pytest.raises(NotImplementedError, match=r"^scale is not written yet"):
        names["scale"](1.0)


def test_the_notebook_file_is_written_as_the_others_are(student):
    written = (student.folder / "notebooks" / "02_dcgan.ipynb").read_text(encoding="utf-8")
    assert written == json.dumps(json.loads(written), indent=1, ensure_ascii=False) + "\n"
