"""`facegen bank`: a small course whose checks hold, and each way in which they may not."""

import csv
import re
from pathlib import Path

import pytest

from facegen.__main__ import main
from facegen.course.bank import run_bank
from facegen.files import InputError

ROOT = Path(__file__).resolve().parents[1]

CHECKS = """
SEED = 2024
PARITY = None  # of the seeds at which the check looks at 3


def test_half(half):
    x = 3 if PARITY is None or SEED % 2 == PARITY else 0
    print("said by the check")
    if half(x) is None:
        raise AssertionError("half: nothing came back: is the return statement missing? <b>")
    if half(x) != x / 2:
        raise AssertionError(f"half: of {x} should be {x / 2}, but is {half(x)}")
"""
BANK = """
import warnings


def nothing(x):
    warnings.warn("never shown")


WRONG = [
    ("double <i>", lambda x: 2 * x, "should be"),
    ("nothing", nothing, "return statement"),
    ("one", lambda x: 1, "should be 1.5"),
    ("itself", lambda x: x, "but is 3"),
]
RIGHT = [("division", lambda x: x / 2), ("product", lambda x: 0.5 * x)]
"""
ROWS = "| 01 | `half` | `tests.test_half(half)` | 3 |\n| 06 | More | to come | 5 |\n"


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    (folder / "tests" / "wrong").mkdir(parents=True)
    (folder / "problem_unittests.py").write_text(CHECKS)
    (folder / "tests" / "wrong" / "half.py").write_text(BANK)
    (folder / "Instructions.md").write_text(ROWS)
    return folder


def change(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def run(tree, tmp_path, capfd, *flags):
    """(exit code, stdout, lines of stderr, rows of the table)"""
    out = tmp_path / "out"
    code = main(["bank", "--tree", str(tree), "--out", str(out), "-j", "1", "--seeds", "3", *flags])
    printed, errors = capfd.readouterr()
    rows = list(csv.DictReader((out / "bank.csv").open(newline=""))) if code < 2 else []
    return code, printed, errors.strip().splitlines(), rows


def test_a_bank_that_holds(tree, tmp_path, capfd):
    code, printed, errors, rows = run(tree, tmp_path, capfd)
    assert code == 0 and errors == [] and "said by the check" not in printed
    assert re.search(r"^01 half +4 of 4 +2 of 2$", printed, re.M)
    assert "1 exercises: 4 of 4 wrong solutions caught, 2 of 2 right ones accepted, with 3 seeds each" in printed
    assert [row["kind"] for row in rows] == ["wrong"] * 4 + ["right"] * 2
    assert {(row["failed"], row["passed"], row["holds"]) for row in rows[:4]} == {("3", "0", "yes")}
    assert rows[2]["message"] == "half: of 3 should be 1.5, but is 1" and rows[4]["message"] == ""
    page = (tmp_path / "out" / "bank.html").read_text()
    assert "Every check holds." in page and "double &lt;i&gt;" in page
    assert "is the <mark>return statement</mark> missing? &lt;b&gt;" in page
    assert "<i>" not in page and "<b>" not in page


def test_processes_give_the_same_report(tree, tmp_path, capfd):
    run(tree, tmp_path, capfd)
    one = (tmp_path / "out" / "bank.csv").read_bytes()
    code, *_ = run(tree, tmp_path, capfd, "-j", "2")
    assert code == 0 and (tmp_path / "out" / "bank.csv").read_bytes() == one


def test_a_wrong_solution_that_passes_with_one_seed(tree, tmp_path, capfd):
    change(tree / "problem_unittests.py", "PARITY = None", "PARITY = 0")  # with seed 1 the check looks at 0
    code, _, errors, rows = run(tree, tmp_path, capfd)
    assert code == 1 and errors == [
        "half: the wrong solution 'double <i>' passes with seed 1",
        "half: the wrong solution 'itself' passes with seed 1",
    ]
    assert (rows[0]["passed"], rows[0]["failed"], rows[0]["holds"]) == ("1", "2", "no")
    page = (tmp_path / "out" / "bank.html").read_text()
    assert "caught with 2 of 3 seeds" in page and "Every check holds" not in page
    assert run(tree, tmp_path, capfd, "--seeds", "1")[0] == 0, "the first seed is the check's own"


def test_a_right_solution_that_is_rejected(tree, tmp_path, capfd):
    change(tree / "tests" / "wrong" / "half.py", "0.5 * x", "0.5 * x + (x > 2)")
    code, _, errors, _ = run(tree, tmp_path, capfd)
    problem = "is rejected with seed 2024, 1, 2: half: of 3 should be 1.5, but is 2.5"
    assert code == 1 and errors == [f"half: the right solution 'product' {problem}"]


def test_a_wrong_solution_that_is_caught_for_another_reason(tree, tmp_path, capfd):
    change(tree / "tests" / "wrong" / "half.py", '"but is 3"', '"x itself"')
    code, _, errors, rows = run(tree, tmp_path, capfd)
    assert code == 1 and len(errors) == 1 and rows[3]["said otherwise"] == "3"
    assert "'itself' is caught, but not in the words 'x itself': half: of 3 should be 1.5, but is 3" in errors[0]


def test_a_check_that_breaks(tree, tmp_path, capfd):
    change(tree / "tests" / "wrong" / "half.py", "lambda x: 1,", 'lambda x: "1" / 2,')
    code, _, errors, _ = run(tree, tmp_path, capfd)
    assert code == 1 and len(errors) == 1
    assert errors[0].startswith("half: the wrong solution 'one' breaks the check: TypeError: unsupported operand")


def test_too_few_solutions_and_none_at_all(tree, tmp_path, capfd):
    path = tree / "tests" / "wrong" / "half.py"
    change(path, '    ("itself", lambda x: x, "but is 3"),\n', "")
    change(path, ', ("product", lambda x: 0.5 * x)', "")
    short = ["half: 3 wrong solutions, expected at least 4", "half: 1 right solutions, expected at least 2"]
    assert run(tree, tmp_path, capfd)[::2] == (1, short)
    path.unlink()
    code, _, errors, rows = run(tree, tmp_path, capfd)
    assert code == 1 and rows == [] and errors[0] == "half: 0 wrong solutions, expected at least 4"


def test_a_file_without_an_exercise(tree, tmp_path, capfd):
    (tree / "tests" / "wrong" / "third.py").write_text("")
    stray = ["tests/wrong/third.py: Instructions.md has no exercise of this name"]
    assert run(tree, tmp_path, capfd)[::2] == (1, stray)
    assert run(tree, tmp_path, capfd, "--only", "half")[0] == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--only", "half,third"], "there is no exercise 'third': choose from half"),
        (["--seeds", "0"], "at least one seed"),
        (["-j", "0"], "at least one seed and one process"),
    ],
)
def test_flags_that_cannot_be_used(tree, tmp_path, capfd, flags, words):
    code, _, errors, _ = run(tree, tmp_path, capfd, *flags)
    assert code == 2 and len(errors) == 1 and words in errors[0] and not (tmp_path / "out").exists()


def test_trees_that_cannot_be_used(tree, tmp_path):
    with pytest.raises(InputError, match=r"holds no tests/wrong: the bank is part of the teachers' tree"):
        run_bank(tmp_path, workers=1)
    change(tree / "tests" / "wrong" / "half.py", 'lambda x: 1, "should be 1.5"', "lambda x: 1")
    with pytest.raises(InputError, match=r"half.py: an entry of WRONG is not \(label, component, words\)"):
        run_bank(tree, workers=1)
    (tree / "Instructions.md").write_text(ROWS + ROWS.replace("half", "third"))
    with pytest.raises(InputError, match=r"marks to test_third, but problem_unittests.py has no such check"):
        run_bank(tree, workers=1)


def test_a_file_of_the_bank_that_does_not_run(tree):
    (tree / "tests" / "wrong" / "half.py").write_text("1 / 0")
    with pytest.raises(InputError, match=r"half.py cannot be run: ZeroDivisionError"):
        run_bank(tree, workers=1)


def test_exercises_of_the_course_hold():
    bank = run_bank(ROOT, seeds=2, workers=1, only=["unscale", "scale"])
    assert bank.problems == [] and list(bank.notebooks) == ["scale", "unscale"] and bank.seeds == [2024, 1]
    assert all(entry.failed.keys() == set(bank.seeds) for entry in bank.of("scale", right=False))
