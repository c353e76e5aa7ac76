"""Spectra of picture sets as a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import nn

from facegen.config import TRUNC
from facegen.evaluation.spectra import UPPER, Spectrum, difference, distance, spectra_of
from facegen.files import InputError, one_line
from facegen.show.figures import BLACK, CYCLE, DASHES, FAINT, Chart, _dress
from facegen.show.text import table


def short_names(names: Iterable[str]) -> dict[str, str]:
    """For a legend: a file's name without its suffix, or its run's where it is a run's last network; all different."""
    paths = {name: Path(name) for name in names}
    short = {name: path.parent.name if path.stem == "network" else path.stem for name, path in paths.items()}
    return {name: one_line(text[-40:] if list(short.values()).count(text) == 1 else name[-40:]) for name, text in short.items()}


def show_spectra(
    real: Spectrum,
    sets: Mapping[str, Spectrum],
    chance: tuple[Spectrum, Spectrum] | None = None,
    title: str = "How much of each frequency the pictures have",
) -> Chart:
    """The spectra of generated sets beside that of the real pictures, and by how much each differs from it.

    Args:
        real: of the real pictures.
        sets: name -> spectrum, at most seven.
        chance: the spectra of the real pictures' two halves, drawn as what no difference means.
        title: the figure's title.
    """
    if not 1 <= len(sets) < len(CYCLE):
        raise InputError(f"show_spectra: give 1 to {len(CYCLE) - 1} sets, got {len(sets)}")
    figure = Chart(920, 400, title)
    left, right = figure.subplots(1, 2)
    left.plot(real.frequency, real.db, color=BLACK, linewidth=2.4, label="real pictures")
    right.axhline(0, color=BLACK, linewidth=1.2)
    if chance:
        noise = difference(*chance)
        label = f"chance (halves of the real): {distance(*chance):.2f} dB"
        right.plot(real.frequency, noise, color="#888888", linewidth=1.2, label=label)
    colours = [colour for colour in CYCLE if colour != BLACK]
    for number, (name, one) in enumerate(sets.items()):
        style = {"color": colours[number], "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.8}
        left.plot(one.frequency, one.db, label=name, **style)
        right.plot(one.frequency, difference(one, real), label=f"{name}: {distance(one, real):.2f} dB", **style)
    for axes in (left, right):
        axes.axvspan(UPPER, float(real.frequency[-1]), color=FAINT, alpha=0.35, linewidth=0, zorder=0)
        axes.set_xlim(0, float(real.frequency[-1]))
    note = "frequency (1: highest along an axis; 1.41: a checkerboard's)"
    _dress(left, "Power", note, "dB")
    _dress(right, "Above the real pictures", f"{note}\nLegend: mean distance over the shaded frequencies", "dB")
    return figure


def save_spectra(
    out: Path,
    data: str,
    nets: Mapping[str, nn.Module],
    folders: Sequence[str],
    count: int,
    size: int | None = None,
    *,
    trunc: float = TRUNC,
    labels: int | None = None,
) -> str:
    """Draw what `spectra_of` finds, and return the distances from the real pictures as a table."""
    real, sets, chance = spectra_of(data, nets, folders, count, size, trunc=trunc, labels=labels)
    short = short_names(sets)
    show_spectra(real, {short[name]: one for name, one in sets.items()}, chance).save(out)
    rows = [[name, one.pictures, distance(one, real), float((one.db - real.db).abs().max())] for name, one in sets.items()]
    rows.append([f"{data}, half against half", chance[0].pictures, distance(*chance), None])
    about = f"against {real.pictures} real pictures of {real.size} pixels; mean over high, largest over all frequencies"
    return f"{table(rows, ['pictures', 'number', 'distance, dB', 'largest, dB'])}\n{one_line(out)}: {about}"
