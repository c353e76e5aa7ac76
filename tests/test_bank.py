"""`python -m teaching bank`: a small course whose checks hold, and each way in which they may not."""

import csv
import dataclasses

import pytest

from exercises.base import SEED, Exercise
from exercises.judging import number, require
from facegen.files import InputError
from teaching import bank
from teaching.__main__ import main

SOLUTIONS = """
RIGHT = [("product", lambda x: 0.5 * x)]
WRONG = [("one <i>", lambda x: 1.0, "is 1,"), ("nothing", lambda x: None, "return statement")]
"""
HALF = Exercise(
    component="half",
    chapter=1,
    place=1,
    minutes=5,
    difficulty=1,
    task="Half of a number.",
    verified="a value",
    reference=lambda x: x / 2,
    cases=lambda g: [{"x": float(g.initial_seed() % 5 + 3)}],
    judge=lambda case, answer: {"": number(answer["value"])},
    mistakes={"it is doubled <b>": lambda x: 2 * x},
    refused=[("raised ValueError", lambda x: int("no number"))],
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A course of one exercise; returns what runs its bank with three seeds: (exit code, lines of stderr, rows)."""
    (tmp_path / "tests" / "solutions").mkdir(parents=True)
    (tmp_path / "tests" / "solutions" / "half.py").write_text(SOLUTIONS)
    monkeypatch.setattr(bank, "ROOT", tmp_path)

    def run(capsys, exercise=HALF, *flags):
        bank.solutions.cache_clear()
        monkeypatch.setattr(bank, "all_exercises", lambda: {"half": exercise})
        code = main(["bank", "--out", str(tmp_path / "out"), "-j", "1", "--seeds", "3", *flags])
        printed, errors = capsys.readouterr()
        rows = list(csv.DictReader((tmp_path / "out" / "bank.csv").open(newline=""))) if code < 2 else []
        return code, printed, errors.strip().splitlines(), rows

    yield run
    bank.solutions.cache_clear()


def test_a_bank_that_holds(tree, tmp_path, capsys):
    code, printed, errors, rows = tree(capsys)
    assert (code, errors) == (0, [])
    assert "1 exercises: 4 of 4 wrong solutions caught, 2 of 2 right ones accepted, with 3 seeds each" in printed
    assert {(row["failed"], row["passed"], row["holds"]) for row in rows if row["kind"] == "wrong"} == {("3", "0", "yes")}
    page = (tmp_path / "out" / "bank.html").read_text()
    assert "Every check holds." in page and "one &lt;i&gt;" in page and "<i>" not in page and "<b>" not in page


def test_a_wrong_solution_that_passes_with_one_seed(tree, tmp_path, capsys):
    wrong = {"three and a half": lambda x: 1.0 if x == SEED % 5 + 3 else x / 2}
    code, _, errors, _ = tree(capsys, dataclasses.replace(HALF, mistakes=wrong))
    assert code == 1
    assert errors == ["half: the wrong solution 'three and a half' passes with seed 1, 2"]
    page = (tmp_path / "out" / "bank.html").read_text()
    assert "caught with 1 of 3 seeds" in page and "Every check holds" not in page


def test_a_right_solution_that_is_rejected_and_a_wrong_one_in_other_words(tree, capsys):
    strict = dataclasses.replace(HALF, judge=lambda case, answer: require(isinstance(answer["value"], int), "no whole number"))
    code, _, errors, _ = tree(capsys, strict)
    assert code == 1
    assert "half: the right solution 'product' is rejected with seed 2024, 1, 2: half: no whole number" in errors
    assert any("'nothing' is caught, but not in the words 'return statement': half: no whole number" in e for e in errors)


def test_too_few_wrong_solutions(tree, tmp_path, capsys):
    (tmp_path / "tests" / "solutions" / "half.py").unlink()
    code, _, errors, _ = tree(capsys)
    assert (code, errors) == (1, ["half: 2 wrong solutions, expected at least 4"])


@pytest.mark.parametrize(("flags", "words"), [
    (["--only", "half,third"], "there is no exercise 'third': choose from half"),
    (["--seeds", "0"], "--seeds=0: must be at least 1"),
    (["-j", "0"], "--workers=0: must be at least 1"),
])  # fmt: skip
def test_flags_that_cannot_be_used(tree, tmp_path, capsys, flags, words):
    code, _, errors, _ = tree(capsys, HALF, *flags)
    assert code == 2 and len(errors) == 1 and words in errors[0] and not (tmp_path / "out").exists()


def test_processes_give_the_same_report():
    one, two = (bank.run_bank(seeds=2, workers=workers, only=["unscale", "scale"]) for workers in (1, 2))
    assert one.problems == [] and one.exercises == ["scale", "unscale"] and one.seeds == [SEED, 1]
    assert [vars(entry) for entry in one.entries] == [vars(entry) for entry in two.entries]
    with pytest.raises(InputError, match="no exercise 'nothing'"):
        bank.run_bank(only=["nothing"])
