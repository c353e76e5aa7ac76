"""What must not change while the house is rebuilt: measured again, and compared with what record.py wrote."""

import json
import math
import re

import pytest
import record  # beside this file

CLI, DRAWN, NOTEBOOKS, BANK, CHANGED = (
    json.loads((record.HERE / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("cli", "drawn", "notebooks", "bank", "changed")
)
DROPPED, COMMANDS, MOVED = CHANGED["dropped"], CHANGED["commands"], CHANGED["moved"]


@pytest.fixture(scope="module")
def now():
    """Help and outcome of every command line, in the recorded order: later ones use what earlier ones wrote."""
    assert list(CLI["commands"]) == record.commands(), "commands.txt was changed: record again"
    with record.workspace():
        return {verb: record.call(f"{verb} --help") for verb in CLI["flags"]}, {c: record.outcome(c) for c in CLI["commands"]}


@pytest.mark.parametrize("verb", CLI["flags"])
def test_a_verb_keeps_its_flags(now, verb):
    code, text, _ = now[0][verb]
    assert (code != 0) == (verb in DROPPED)
    gone = CLI["flags"][verb].keys() - set(record.flags_of(text)) if code == 0 else set()
    assert {f"{verb} {flag}" for flag in gone} == {entry for entry in DROPPED if entry.startswith(f"{verb} -")}


@pytest.mark.parametrize("line", CLI["commands"])
def test_a_command_line_ends_as_before(now, line):
    found, before = now[1][line], CLI["commands"][line]
    then = {name: COMMANDS.get(line, before)[name] for name in ("code", "stderr")}
    if line in COMMANDS:
        assert then != {name: before[name] for name in then}, "as recorded: take it out of changed.json"
    if then["stderr"] == record.USAGE and found["stderr"]:
        found["stderr"] = record.USAGE  # any words will do
    said = {name: found[name] for name in then}
    assert said == then, f"if this is wanted, put it into changed.json: {json.dumps({line: {**said, 'why': '...'}})}"
    settings = before.get("settings", {}) if then["code"] == 0 else {}
    assert {name: found["settings"].get(name) for name in settings} == settings


def test_drawn_faces_keep_every_bit():
    assert record.drawings() == DRAWN


def test_notebooks_keep_their_compared_outputs():
    assert record.compared() == NOTEBOOKS["compared"]


def test_names_that_notebooks_take_are_there():
    expected = {MOVED.get(name, name) for name in NOTEBOOKS["imported"]} - {""}
    assert set(record.imported()) == expected, "a move, or a new name: say so in MOVED, or record again"
    assert [name for name in sorted(expected) if record.in_package(name) is None] == []


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def alike(new: str, old: str) -> bool:
    """Word by word; fractions may differ by 2 %: some are of a short training, which another processor rounds otherwise."""
    pairs = [(a, b) for a, b in zip(NUMBER.findall(new), NUMBER.findall(old)) if a != b]
    near = all(set(".e") & set(a + b) and math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=1e-4) for a, b in pairs)
    return near and NUMBER.sub("#", new) == NUMBER.sub("#", old)


def test_checks_say_the_same_of_every_wrong_solution():
    assert alike("mean 0.0201", "mean 0.02") and not alike("mean 0.03", "mean 0.02") and not alike("99 rows", "100 rows")
    found = record.bank()
    assert {name: list(said) for name, said in found.items()} == {name: list(said) for name, said in BANK.items()}
    pairs = [(name, label, new, BANK[name][label]) for name, said in found.items() for label, new in said.items()]
    assert [f"{name}, {label}: {new!r}, was {old!r}" for name, label, new, old in pairs if not alike(new, old)] == []
    assert [new for _, _, new, _ in pairs if "\n" in new or "tensor(" in new or len(new) > 420] == []
