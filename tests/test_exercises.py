"""Every exercise: its own component passes, each mistake is named, other right solutions pass; and how a check behaves."""

import json
import random
import re

import numpy as np
import pytest
import torch

import problem_unittests as tests
from exercises import probing
from exercises.base import SEED, all_exercises, marks_of
from facegen.files import InputError
from teaching.bank import solutions
from teaching.units import ROOT, probe_of, read_units, reference_of

NAMES = list(all_exercises())


def said_of(name, component):
    """The line that the check of an exercise fails with."""
    with pytest.raises(AssertionError) as raised:
        getattr(tests, f"test_{name}")(component)
    assert type(raised.value) is AssertionError
    assert raised.value.__cause__ is None and raised.value.__context__ is None, "a second traceback hangs on the line"
    return str(raised.value)


@pytest.mark.parametrize("seed", [SEED, 1])
@pytest.mark.parametrize("name", NAMES)
def test_right_solutions_pass(name, seed):
    """The wrong ones, and what is said of each, are in tests/oracles/bank.json."""
    right = [(entry.label, component) for entry, component in solutions(name) if entry.right]
    assert [label for label, component in right if all_exercises()[name].examine(component, seed)[0]] == []


def test_every_file_of_solutions_has_an_exercise():
    assert {path.stem for path in (ROOT / "tests" / "solutions").glob("*.py")} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_into_a_learners_process_knows_nothing_of_what_is_right(name):
    source = probe_of(all_exercises()[name])
    assert not re.search(r"exercises\.(?!probing|networks)|facegen|EXERCISE|def judge|expected", source)
    scope = {}
    exec(source, scope)
    exercise = all_exercises()[name]
    cases = probing.unpack(probing.pack(exercise.cases_of(3)))
    answers = probing.answers_of(scope["probe"], exercise.reference, cases, 3)
    assert exercise.verdict(probing.unpack(probing.pack(answers)), 3) == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_can_stand_in_for_a_learners(name):
    scope = {}
    exec(reference_of(all_exercises()[name]), scope)
    assert all_exercises()[name].examine(scope[all_exercises()[name].component])[0] == ""


@pytest.mark.parametrize("name", NAMES)
def test_forged_answers_do_not_pass(name):
    exercise = all_exercises()[name]
    cases = exercise.cases_of(5)
    right = probing.answers_of(exercise.probe, exercise.reference, cases, 5)
    forged = [[], right[:-1], [{}] * len(cases), [{"value": None, "changed": []}] * len(cases)]
    forged += [
        [{key: probing.Other("liar") for key in answer} for answer in right],
        [dict.fromkeys(answer, 1) for answer in right],
    ]
    others = exercise.cases_of(6)
    if exercise.judge(cases[0], right[0]) is not None and not probing.equal(cases, others):  # those of other questions
        forged.append(probing.answers_of(exercise.probe, exercise.reference, others, 6))
    for answers in forged:
        assert exercise.verdict(answers, 5) != ""


# -- how a check behaves


@pytest.mark.parametrize("name", NAMES)
def test_an_unwritten_component_is_named_as_the_stub_names_it(name):
    def stub(*arguments, **named):
        raise NotImplementedError("cycle_loss is not written yet: write it in place of this line")

    assert said_of(name, stub).startswith("cycle_loss is not written yet: fill in its cell")

    def of_torch(*arguments, **named):
        raise NotImplementedError('"log2" not implemented for this type')

    assert "not written" not in said_of(name, of_torch)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("weights_init", "update_ema") and "step" not in n])
def test_a_component_that_returns_nothing(name):
    assert re.search("return|NoneType", said_of(name, lambda *arguments, **named: None))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "name_sickness"])
def test_a_wrong_signature_and_an_exception_of_many_lines(name):
    assert "check the signature" in said_of(name, lambda *, something_else: None)

    def verbose(*arguments, **named):
        raise RuntimeError("several\nlines\n" + "and very long " * 100)

    message = said_of(name, verbose)
    assert "\n" not in message and len(message) < 300 and "RuntimeError in verbose, line" in message


def test_a_line_of_the_learners_code_is_named():
    def with_an_assertion(logits):
        assert logits.dim() == 7, "own\nassertion"

    line = with_an_assertion.__code__.co_firstlineno + 1
    expected = f"raised AssertionError in with_an_assertion, line {line}: own assertion"
    assert expected in said_of("fake_loss", with_an_assertion)


def _state():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate(), torch.get_default_dtype()


@pytest.mark.parametrize("name", NAMES)
def test_random_states_dtype_and_grad_mode_stay_and_autocast_is_left_out(name, capsys, recwarn):
    def seeding(*arguments, **named):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)

    check, before = getattr(tests, f"test_{name}"), _state()
    check()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            check()
            assert not torch.is_grad_enabled()
        if name != "weights_init":  # there, doing nothing fails later; the others fail on None
            said_of(name, seeding)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(before[-1])
    after = _state()
    assert torch.is_grad_enabled() and torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all() and before[2:] == after[2:]
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and "passed" in first
    assert not [one for one in recwarn if "exercises" in one.filename]


# -- plain data


def test_plain_data_comes_back_as_it_was():
    value = {"a": [1, 2.5, True, None, "text"], "b": (torch.arange(3), torch.ones(2, 2, dtype=torch.float64)), "c": {}}
    value |= {"d": probing.plain(np.float32(2)), "e": probing.plain(3 + 4j), "f": probing.plain(np.ones(2))}
    assert probing.equal(probing.unpack(probing.pack(value)), value)
    assert probing.plain(object()) == probing.Other("object")
    assert probing.plain(torch.ones(1).as_subclass(type("Liar", (torch.Tensor,), {}))) == probing.Other("Liar")


@pytest.mark.parametrize(
    "data", [b"", b"x" * 100, b"\xff" * 8 + b"{}", probing.pack([1])[:-1] + b"x", (1 << 62).to_bytes(8, "little")]
)
def test_what_is_no_plain_data_is_refused(data):
    with pytest.raises(ValueError):
        probing.unpack(data)


def test_too_much_is_refused():
    deep = []
    for _ in range(50):
        deep = [deep]
    for value in (deep, list(range(probing.MOST_VALUES + 1)), "x" * (probing.MOST_LETTERS + 1), 2**70):
        with pytest.raises(ValueError, match=r"too|not"):
            probing.unpack(probing.pack(value))


# -- marks


def test_marks_follow_the_work_and_add_up():
    exercises = all_exercises()
    marks = marks_of(exercises)
    assert sum(marks.values()) == 100 and min(marks.values()) >= 1
    work = {name: e.minutes * e.difficulty for name, e in exercises.items()}
    assert all(marks[a] >= marks[b] for a in marks for b in marks if work[a] > work[b])
    assert marks["image_pool"] > marks["scale"]


def test_exercises_stand_in_the_order_of_the_notebooks():
    assert [unit.name for unit in read_units()] == NAMES
    for chapter in {e.chapter for e in all_exercises().values()}:
        places = [e.place for e in all_exercises().values() if e.chapter == chapter]
        assert places == list(range(1, len(places) + 1))


def test_a_solution_without_its_check_is_refused(tmp_path):
    cell = {"cell_type": "code", "id": "a", "source": "### BEGIN SOLUTION\n### END SOLUTION"}
    (tmp_path / "01_a.ipynb").write_text(json.dumps({"cells": [cell]}))
    with pytest.raises(InputError, match=r"a solution without a check; the next code cell has to be tests\.test_NAME"):
        read_units(tmp_path)
