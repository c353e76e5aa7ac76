"""An evaluation as text, and the fakes that are nearest to a real picture, above their neighbours."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from facegen.data.packed import Faces
from facegen.data.pictures import say
from facegen.evaluation.measure import Evaluation, Fakes, Result, ResultPair, Settings, compare_results, measure, write_results
from facegen.evaluation.neighbours import Memorised
from facegen.files import one_line
from facegen.show.figures import show_grid
from facegen.show.text import table

SHOWN = 8  # fakes in the picture of neighbours
HEADERS = ("score", "value", "95 % interval", "better", "pictures", "fakes", "held-out real")


def evaluate_into(
    folder: Path,
    fakes: Fakes,
    faces: Faces,
    settings: Settings,
    about: dict[str, object],
    theirs: Sequence[Result] | None = None,
) -> str:
    """Measure, write results.json and a picture of the nearest neighbours, and return the numbers as text; notes go to stderr.

    Args:
        about: what else results.json says.
        theirs: results to compare with.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = measure(fakes, faces, settings, theirs)
    about = {"torch": torch.__version__, "device": torch.device(settings.device).type, **about}
    write_results(folder / "results.json", found, about)
    if found.copies is not None:
        save_neighbours(folder / "neighbours.png", found.copies, fakes, faces)
    for text in (*(str(one.message) for one in caught), *found.warnings):
        say(f"facegen: note: {one_line(text, 500)}")
    if theirs is None:
        return evaluation_text(found)
    pairs = compare_results(found.results, theirs)
    return f"{evaluation_text(found)}\n\nAgainst the other results, measured the same way:\n{difference_text(pairs)}"


def evaluation_text(evaluation: Evaluation) -> str:
    """The numbers as a table, and under it the protocol of each."""
    fakes, data = evaluation.fakes, evaluation.data
    title = f"{fakes['name']}: {fakes['count']} fakes against {data['count']} real pictures of {data['name']}"
    lines = [one_line(title, 400), table([_row(result) for result in evaluation.results], HEADERS)]
    for result in evaluation.results:
        lines.append(one_line(f"[{result.measured.protocol}] {result.note}", 1000))
    return "\n".join([*lines, *([evaluation.copies.verdict] if evaluation.copies is not None else [])])


def _row(result: Result) -> list[object]:
    one = result.measured
    interval = f"{one.low:.4g} to {one.high:.4g}"
    return [result.name, one.value, interval, result.better, result.matched or None, result.fakes, result.real]


def difference_text(pairs: Sequence[ResultPair]) -> str:
    """What two evaluations say of the same numbers, as a table."""
    rows = [[one.name, one.ours.value, one.theirs.value, one.verdict] for one in pairs]
    return table(rows, ["score", "here", "there", "here is"])


def save_neighbours(path: Path, copies: Memorised, fakes: Fakes, faces: Faces) -> None:
    """A picture of the fakes that are nearest to a real picture, each above its nearest real ones."""
    suspects = copies.suspects(SHOWN)
    rows: list[torch.Tensor] = [fakes.pictures(suspects)]
    captions = [f"fake {index}\ndistance {copies.nearness[index]:.2f}" for index in suspects]
    for place in range(copies.nearest.shape[1]):
        rows.append(faces.images[copies.nearest[suspects, place].to(faces.images.device)].cpu())
        captions += [f"real {int(index)}" for index in copies.nearest[suspects, place]]
    title = f"The {len(suspects)} fakes nearest to a real picture (distance 1: what is usual between real ones)"
    path.write_bytes(show_grid(torch.cat(rows), title, cols=len(suspects), captions=captions).png())
