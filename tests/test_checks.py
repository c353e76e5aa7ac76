"""The course's checks, checked: a bank of plausible wrong solutions is rejected by name, right but different ones pass."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parent.parent
INSTRUCTIONS = (ROOT / "Instructions.md").read_text(encoding="utf-8")
EXERCISES = {  # exercise: its notebook, as in the file's name
    "scale": "01",
    "unscale": "01",
    "get_dataloader": "01",
    "discriminator": "02",
    "generator": "02",
    "weights_init": "02",
    "real_loss": "02",
    "fake_loss": "02",
    "discriminator_step": "02",
    "generator_step": "02",
    "gradient_penalty": "02",
    "residual_block": "03",
    "resnet_generator": "03",
    "patch_discriminator": "03",
    "receptive_field": "03",
    "lsgan_loss": "03",
    "cycle_loss": "03",
    "identity_loss": "03",
    "image_pool": "03",
    "linear_decay": "03",
    "cycle_generator_step": "03",
    "pixel_norm": "04",
    "mapping_network": "04",
    "modulated_conv": "04",
    "noise_injection": "04",
    "truncate": "04",
    "mix_styles": "04",
    "r1_penalty": "04",
    "update_ema": "04",
    "next_p": "04",
    "fourier_features": "04",
    "crop_square": "05",
    "w_statistics": "05",
    "projection_step": "05",
    "learning_rate": "05",
    "noise_penalty": "05",
    "slerp": "05",
    "mix_layers": "05",
    "blend_layers": "05",
    "frechet_distance": "06",
    "kid": "06",
    "precision_recall": "06",
    "bootstrap_interval": "06",
    "nearest_neighbours": "06",
    "eq_t": "06",
    "wilson_interval": "06",
    "name_sickness": "06",
}


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


checks = _load(ROOT / "problem_unittests.py", "course_checks")
BANK = {name: _load(ROOT / "tests" / "wrong" / f"{name}.py", f"bank_{name}") for name in EXERCISES}
WRONG = [pytest.param(name, *entry[1:], id=f"{name}: {entry[0]}") for name, bank in BANK.items() for entry in bank.WRONG]
RIGHT = [pytest.param(name, right, id=f"{name}: {label}") for name, bank in BANK.items() for label, right in bank.RIGHT]


def check(name: str):
    return getattr(checks, f"test_{name}")


@functools.cache  # the bank's messages are read by two tests
def message_of(name: str, component: object) -> str:
    printed = io.StringIO()
    with pytest.raises(AssertionError) as raised, contextlib.redirect_stdout(printed):
        check(name)(component)
    assert type(raised.value) is AssertionError
    assert raised.value.__cause__ is None and raised.value.__context__ is None, "a second traceback hangs on the line"
    assert printed.getvalue() == "", "a failed check prints nothing beside its error"
    return str(raised.value)


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize(("name", "component", "mistake"), WRONG)
def test_a_wrong_solution_is_rejected_by_name(name, component, mistake):
    message = message_of(name, component)
    assert mistake in message
    assert "\n" not in message and len(message) < 300 and "tensor(" not in message


@pytest.mark.parametrize(("name", "component"), RIGHT)
def test_a_right_solution_passes(name, component, capsys):
    check(name)(component)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "passed" in printed


@pytest.mark.parametrize("name", EXERCISES)
def test_the_package_passes_its_own_check(name, capsys):
    check(name)()
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_the_bank_is_large_enough(name):
    bank = BANK[name]
    assert len({id(component) for _, component, _ in bank.WRONG}) == len(bank.WRONG) >= 4
    assert len({id(component) for _, component in bank.RIGHT}) == len(bank.RIGHT) >= 2
    assert len({mistake for *_, mistake in bank.WRONG}) >= 4, "they have to be different mistakes"


def test_every_check_is_in_the_bank():
    assert {f"test_{name}" for name in EXERCISES} == {name for name in vars(checks) if name.startswith("test_")}


@pytest.mark.parametrize("name", EXERCISES)
def test_the_verdict_does_not_hang_on_one_seed(name, monkeypatch):
    monkeypatch.setattr(checks, "SEED", 1)
    for _, right in BANK[name].RIGHT:
        check(name)(right)
    for _, wrong, _ in BANK[name].WRONG[:4]:
        with pytest.raises(AssertionError):
            check(name)(wrong)


@pytest.mark.parametrize("name", EXERCISES)
def test_an_unwritten_component(name):
    def unwritten(*arguments, **named):
        raise NotImplementedError

    assert re.search("not written yet", message_of(name, unwritten))


@pytest.mark.parametrize("name", [n for n in EXERCISES if n not in ("weights_init", "update_ema") and "step" not in n])
def test_a_component_that_returns_nothing(name):
    assert re.search("return|NoneType", message_of(name, lambda *arguments, **named: None))


@pytest.mark.parametrize("name", EXERCISES)
def test_a_wrong_signature(name):
    assert "check the signature" in message_of(name, lambda *, something_else: None)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_long_exception_of_several_lines_becomes_one(name):
    def verbose(*arguments, **named):
        raise RuntimeError("several\nlines\n" + "and very long " * 100)

    message = message_of(name, verbose)
    assert "\n" not in message and len(message) < 300 and "RuntimeError in verbose, line" in message


def test_a_line_of_the_learners_code_is_named():
    def with_an_assertion(logits):
        assert logits.dim() == 7, "own\nassertion"

    line = with_an_assertion.__code__.co_firstlineno + 1
    assert f"raised AssertionError in with_an_assertion, line {line}: own assertion" in message_of(
        "fake_loss", with_an_assertion
    )


def _state():
    return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate(), torch.get_default_dtype()


@pytest.mark.parametrize("name", EXERCISES)
def test_random_states_dtype_and_grad_mode_stay(name):
    """Also where the component seeds everything, or the check fails."""

    def seeding(*arguments, **named):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)

    before = _state()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            check(name)()
            assert not torch.is_grad_enabled()
        if name != "weights_init":  # there, doing nothing fails later; the others fail on None
            message_of(name, seeding)
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(before[-1])
    after = _state()
    assert torch.is_grad_enabled() and torch.equal(before[0], after[0])
    assert (before[1] == after[1]).all() and before[2:] == after[2:]


@pytest.mark.parametrize("name", EXERCISES)
def test_two_runs_print_the_same_whatever_the_global_seed(name, capsys):
    state = torch.get_rng_state()
    try:
        for seed in (1, 99):
            torch.manual_seed(seed)
            check(name)()
    finally:
        torch.set_rng_state(state)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def _marks() -> dict[str, list[tuple[str, int]]]:
    """Notebook number -> (check or '', marks), from the table in Instructions.md."""
    rows: dict[str, list[tuple[str, int]]] = {}
    for line in INSTRUCTIONS.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and re.fullmatch(r"\d\d", cells[0]):
            found = re.search(r"`tests\.(test_\w+)\(", cells[2])
            rows.setdefault(cells[0], []).append((found[1] if found else "", int(cells[3])))
    return rows


def test_instructions_give_marks_to_every_check():
    rows = _marks()
    totals = {notebook: sum(marks for _, marks in entries) for notebook, entries in rows.items()}
    assert totals == {"01": 10, "02": 20, "03": 20, "04": 20, "05": 15, "06": 15}
    for notebook in totals:
        listed = [name for name, _ in rows[notebook]]
        assert listed == [f"test_{name}" for name, its in EXERCISES.items() if its == notebook]


@pytest.mark.parametrize("notebook", sorted(path.stem[:2] for path in (ROOT / "notebooks").glob("0*.ipynb")))
def test_the_notebook_calls_its_checks_in_this_order(notebook):
    (path,) = (ROOT / "notebooks").glob(f"{notebook}_*.ipynb")
    cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    called = [match[1] for cell in cells if (match := re.fullmatch(r"tests\.test_(\w+)\(\w+\)", cell.strip()))]
    assert called == [name for name, its in EXERCISES.items() if its == notebook]
    promised = sum(int(marks) * both for cell in cells for marks, both in _promised(cell))
    assert promised == {"01": 10, "02": 20, "03": 20, "04": 20, "05": 15, "06": 15}[notebook]


def _promised(cell: str) -> list[tuple[str, int]]:
    """The marks in a cell's headings, "(2 marks)" or "(1 mark each)" for two exercises."""
    headings = re.findall(r"^## Exercises? .*\((\d+) marks?( each)?\)$", cell, re.M)
    return [(marks, 2 if each else 1) for marks, each in headings]


@pytest.mark.filterwarnings("ignore:Using backward")
@pytest.mark.parametrize("name", EXERCISES)
def test_instructions_quote_what_the_checks_say(name):
    section = re.search(rf"^### `{component_name(name)}\(.*?(?=^##|^---)", INSTRUCTIONS, re.M | re.S)
    quoted = re.findall(r"^\|[^|]*\| `([^|]+)` \|$", section[0], re.M)
    said = [message_of(name, component) for _, component, _ in BANK[name].WRONG]
    assert len(quoted) >= 2
    assert [line for line in quoted if not any(line in message for message in said)] == []


def component_name(name: str) -> str:
    """How an exercise's component is called."""
    return {
        "discriminator": "Discriminator",
        "generator": "Generator",
        "weights_init": "weights_init_normal",
        "residual_block": "ResidualBlock",
        "resnet_generator": "ResnetGenerator",
        "patch_discriminator": "PatchDiscriminator",
        "image_pool": "ImagePool",
        "mapping_network": "MappingNetwork",
        "noise_injection": "NoiseInjection",
    }.get(name, name)
