"""What the check of notebook 6 says of a recorded run: the notebook's own numbers, and never the run's name."""

import json
from pathlib import Path

import pytest

from exercises.evaluation.name_sickness import EXERCISE, NAMES, measured, names

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_evaluation.ipynb"


@pytest.mark.parametrize("letter, name", names().items())
def test_no_message_gives_a_name_away(letter, name):
    for claim in set(NAMES) - {name}:
        message, _ = EXERCISE.examine({**names(), letter: claim})
        assert f"run {letter}: " in message and len(message) < 290
        assert name not in message.replace(claim, ""), message


def test_messages_quote_the_numbers_of_the_notebooks_table():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    printed = [line for cell in cells for output in cell.get("outputs", ()) for line in output.get("text", ())]
    start = next(i for i, line in enumerate(printed) if line.split()[:4] == ["run", "training", "faces", "apart"])
    for line in printed[start + 2 : start + 2 + len(names())]:
        letter, _, *numbers = line.split()
        m = measured(letter)
        assert numbers == [f"{m['apart']:.2f}", f"{m['nearest']:.2f}", f"{m['change']:.2f}", f"{m['colour']:.0f}"]
