"""What a search has found: the test's verdict, four plots, the table of trials, and a page with all of it."""

from __future__ import annotations

import csv
import io
import math
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from PIL import Image
from tqdm.auto import tqdm

from facegen.evaluation.search import FULL_TRIALS, Axis, Found, Tried, verdict
from facegen.files import replacing, write_text
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.pages import render
from facegen.show import report
from facegen.show.figures import BLUE, GREEN, INK, KIMG, VERMILION, Chart, _dress
from facegen.show.grids import grid
from facegen.training.runs import kimg_text

WIDTH = 560  # of a plot on the page, in CSS pixels
PAGE_EVERY = 60  # seconds between two writings of the page
SHOWN = 32  # faces of the default and of the best
GREY = "#999999"
# How each kind of trial is drawn; shapes as well as colours.
LOOKS = {"finished": (BLUE, "o", 1.0), "pruned": (GREY, "x", 0.8), "failed": (VERMILION, "v", 0.8)}
SAID = {"finished": "finished", "pruned": "cut short", "failed": "diverged"}


def write_report(found: Found, outdir: str | Path, command: str = "") -> Path:
    """Write trials.csv, plots/*.png and index.html, each completely or not at all; returns the page.

    Args:
        found: finished or not.
        outdir: the search's folder.
        command: what was typed, shown as it is.
    """
    outdir = Path(outdir)
    drawn = charts(found)
    for name, chart in drawn.items():
        with replacing(outdir / "plots" / f"{name}.png") as temporary:
            temporary.write_bytes(chart.png(2))
    write_text(outdir / "trials.csv", _csv(found))
    values = {
        "title": f"Search over the DCGAN's settings on {found.data['name']}",
        "verdict": verdict(found),
        "test": _test_facts(found),
        "best": _best_facts(found),
        "charts": report.plots(drawn.values()),
        "notes": notes(found),
        "grids": report.pictures(_grids(found)),
        "columns": columns(found),
        "rows": table(found),
        "command": command,
    }
    write_text(outdir / "index.html", render("search.html", values))
    return outdir / "index.html"


def reporter(outdir: str | Path, command: str) -> Callable[[Found], None]:
    """What to call after each trial: it prints a line, and writes the page after the last and once a minute before."""
    written = -math.inf

    def tell(found: Found) -> None:
        nonlocal written
        tqdm.write(line(found, found.trials[-1]))
        if len(found.trials) == found.planned or time.monotonic() > written + PAGE_EVERY:
            write_report(found, outdir, command)
            written = time.monotonic()

    return tell


def _grids(found: Found) -> dict[str, Image.Image]:
    """Faces of the default and of the best trial: caption -> picture."""
    shown = {}
    for trial in found.finished:
        if trial in (found.finished[0], found.best) and (trial.index == 0 or trial is found.best):
            what = "the default" if trial.index == 0 else "the best"
            G = pretrained.load(found.outdir / "trials" / f"{trial.index:03d}" / "network.safetensors").G
            shown[f"trial {trial.index}, {what}: {trial.score:.4g}"] = grid(sample(G, range(SHOWN)), cols=8)
    return shown


# ------------------------------------------------------------------------------------------------------------- words


def line(found: Found, trial: Tried) -> str:
    """A trial as one line of the log."""
    last = f"{found.protocol.metric.split(' (')[0]} {trial.curve[-1][1]:.4g}" if trial.curve else "no score"
    at = f" after {kimg_text(trial.curve[-1][0])} kimg" if trial.state != "finished" and trial.curve else ""
    best = f"; best {found.best.score:.4g} (trial {found.best.index})" if found.best else ""
    return f"trial {trial.index} of {found.planned}: {SAID[trial.state]}, {last}{at}, {_seconds(trial.seconds)} s{best}"


def columns(found: Found) -> list[str]:
    """The table's columns."""
    return ["trial", "state", "score", "kimg", "seconds", *(axis.name for axis in found.axes)]


def table(found: Found) -> list[list[str]]:
    """One row for each trial, in their order; "–" where a setting has no meaning beside the others."""
    rows = []
    for trial in found.trials:
        kimg, score = trial.curve[-1] if trial.curve else (0.0, math.nan)
        values = [_short(trial.values.get(axis.name, "–")) for axis in found.axes]
        rows.append([str(trial.index), SAID[trial.state], f"{score:.4g}", kimg_text(kimg), _seconds(trial.seconds), *values])
    return rows


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


def _short(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _csv(found: Found) -> str:
    """The table with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns(found))
    for trial in found.trials:
        kimg, score = trial.curve[-1] if trial.curve else ("", "")
        values = [trial.values.get(axis.name, "") for axis in found.axes]
        writer.writerow([trial.index, trial.state, score, kimg, round(trial.seconds, 2), *values])
    return text.getvalue()


def notes(found: Found) -> list[str]:
    """What has to be known to read the numbers rightly."""
    finished, pruned = len(found.finished), sum(trial.state == "pruned" for trial in found.trials)
    lines = [
        f"The score: {found.protocol}. Less is better; an unbiased estimate can fall below 0.",
        "A KID and not a FID, because a KID's mean does not depend on the number of pictures. A FID of a few hundred is mostly "
        "bias, and not the same bias for every generator, so that it can put two of them in the wrong order.",
        f"All trials share the training half, the budget of {kimg_text(found.base.kimg)} thousand pictures and the seed "
        f"{found.base.seed}. Equal numbers of pictures are not equal time: the table has the seconds.",
        f"The best score is the least of {finished} noisy ones, so it is better than the settings deserve. That is why the "
        "test has fresh seeds and pictures that the search never saw.",
        f"{pruned} of {len(found.trials)} trials were cut short: worse than the median of the finished ones at the same place, "
        f"from the {FULL_TRIALS}th finished one on. A run that starts slowly and ends well is lost this way.",
        f"{len(found.trials)} trials over {len(found.axes)} settings find a good corner, not the optimum; and what is best for "
        "a short run need not be best for a long one.",
    ]
    if found.interrupted:
        lines.append(f"Interruptions: {found.interrupted}; what was broken off was tried again and counts once.")
    return lines + [f"Trial {trial.index} diverged: {trial.why}" for trial in found.trials if trial.why]


# ------------------------------------------------------------------------------------------------------------- plots


def charts(found: Found) -> dict[str, Chart]:
    """The plots that there is something to draw in: name -> plot."""
    scored = [trial for trial in found.trials if trial.curve]
    if not scored:
        return {}
    drawn = {"history": _history(found, scored), "curves": _curves(found, scored)}
    if found.confirmation is not None and not found.confirmation.failed:
        drawn["test"] = _test(found)
    drawn["slices"] = _slices(found, scored)
    return drawn


def _name(found: Found) -> str:
    return found.protocol.metric.split(" (")[0]


def _scale(axes: Axes, scores: Sequence[float]) -> str:
    """A square-root axis where the scores are far apart, a KID being a squared distance; returns what to write beside it."""
    if max(scores) <= 4 * max(min(scores), 0):
        return ""
    report.square_root_axis(axes)
    return ", square-root scale"


def _history(found: Found, scored: Sequence[Tried]) -> Chart:
    chart = Chart(WIDTH, 380, "Trials and the best so far", density=2)
    axes = chart.subplots()
    for state, (colour, marker, alpha) in LOOKS.items():
        points = [(trial.index, trial.curve[-1][1]) for trial in scored if trial.state == state]
        if points:
            axes.scatter(*zip(*points), color=colour, marker=marker, alpha=alpha, s=34, label=SAID[state], zorder=3)
    best, steps = math.inf, []
    for trial in found.finished:
        best = min(best, trial.score)
        steps.append((trial.index, best))
    if steps:
        steps.append((found.trials[-1].index, best))
        axes.step(*zip(*steps), where="post", color=GREEN, linewidth=2, label="best so far")
    default = found.trials[0]
    if default.score is not None:
        axes.axhline(default.score, color=INK, linestyle=":", linewidth=1.2, label="the default, trial 0")
    scale = _scale(axes, [trial.curve[-1][1] for trial in scored])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _dress(axes, "", "trial", f"{_name(found)}, less is better{scale}")
    return chart


def _curves(found: Found, scored: Sequence[Tried]) -> Chart:
    chart = Chart(WIDTH, 380, "The score over each trial", density=2)
    axes, labelled = chart.subplots(), set()
    for trial in scored:
        colour, marker, _ = LOOKS[trial.state]
        special = "the best" if trial is found.best else "the default" if trial.index == 0 else ""
        label = special or SAID[trial.state]
        look = {"color": GREEN if trial is found.best else INK if special else colour, "linewidth": 2.4 if special else 1}
        style = ":" if special == "the default" else "-" if trial.state == "finished" else "--"
        name = None if label in labelled else label
        labelled.add(label)
        order = 4 if special else 2
        axes.plot(*zip(*trial.curve), linestyle=style, zorder=order, alpha=1 if special else 0.7, label=name, **look)
        axes.plot(*trial.curve[-1], marker=marker, markersize=5, color=look["color"], zorder=order)
    scale = _scale(axes, [score for trial in scored for _, score in trial.curve])
    axes.set_xlim(left=0)
    _dress(axes, "", KIMG, f"{_name(found)}, less is better{scale}")
    return chart


def _test(found: Found) -> Chart:
    test = found.confirmation
    chart = Chart(WIDTH, 300, "The test: fresh seeds, held-out pictures", density=2)
    axes = chart.subplots()
    for place, (scores, colour) in enumerate(((test.default, INK), (test.best, GREEN))):
        axes.scatter(scores, [place] * len(scores), color=colour, s=40, zorder=3)
        axes.plot([sum(scores) / len(scores)] * 2, [place - 0.25, place + 0.25], color=colour, linewidth=2)
    axes.axvline(test.floor, color=GREY, linestyle=(0, (5, 4)), linewidth=1.2, label="real pictures of the training half")
    axes.set_yticks([0, 1], ["the default", f"trial {found.best.index}, the best"])
    axes.set_ylim(1.6, -0.6)
    _dress(axes, "", f"{_name(found)}, less is better; a dot is a run, a bar the mean", "")
    return chart


def _slices(found: Found, scored: Sequence[Tried]) -> Chart:
    across = min(3, len(found.axes))
    down = math.ceil(len(found.axes) / across)
    chart = Chart(max(WIDTH, 300 * across), 70 + 210 * down, "Each setting against the score", density=2)
    panels = chart.subplots(down, across, sharey=True, squeeze=False)
    for panel in panels.flat[len(found.axes) :]:
        panel.set_visible(False)
    for place, (axis, panel) in enumerate(zip(found.axes, panels.flat)):
        _slice(panel, axis, found, scored)
        scale = _scale(panel, [trial.curve[-1][1] for trial in scored])
        _dress(panel, axis.name, "", f"{_name(found)}{scale}" if place % across == 0 else "", legend=False)
    lines, names = panels.flat[0].get_legend_handles_labels()
    chart.legend(lines, names, loc="outside lower center", ncols=4, fontsize=9, frameon=False, labelcolor=INK)
    return chart


def _slice(panel: Axes, axis: Axis, found: Found, scored: Sequence[Tried]) -> None:
    places = {value: place for place, value in enumerate(axis.values)}
    for state, (colour, marker, alpha) in LOOKS.items():
        points = [(t.values[axis.name], t.curve[-1][1]) for t in scored if t.state == state and axis.name in t.values]
        x = [places[value] if places else value for value, _ in points]
        panel.scatter(x, [score for _, score in points], color=colour, marker=marker, alpha=alpha, s=26, label=SAID[state])
    best = found.best
    if best is not None and axis.name in best.values:
        value = best.values[axis.name]
        look = {"facecolors": "none", "edgecolors": GREEN, "linewidths": 2, "s": 90}
        panel.scatter([places[value] if places else value], [best.score], label="the best", zorder=4, **look)
    if places:
        panel.set_xticks(range(len(places)), [_short(value) for value in axis.values])
        panel.set_xlim(-0.5, len(places) - 0.5)
    elif axis.log:
        panel.set_xscale("log")


# -------------------------------------------------------------------------------------------------------------- page


def _test_facts(found: Found) -> dict[str, object]:
    """The test's runs, one column for each seed."""
    test = found.confirmation
    if test is None:
        return {}

    def row(name: str, scores: Sequence[float | None], seconds: float) -> list[str]:
        there = [score for score in scores if score is not None]
        mean = f"{sum(there) / len(there):.4g}" if there else "–"
        return [name, *("diverged" if score is None else f"{score:.4g}" for score in scores), mean, _seconds(seconds)]

    rows = [
        row("the default", test.default, test.seconds_default),
        row(f"trial {found.best.index}, the best", test.best, test.seconds_best),
        ["real pictures of the training half", *[""] * len(test.seeds), f"{test.floor:.4g}", ""],
    ]
    head = [_name(found), *(f"seed {seed}" for seed in test.seeds), "mean", "seconds each"]
    return {"columns": head, "rows": rows, "protocol": test.protocol}


def _best_facts(found: Found) -> dict[str, object]:
    """What the best changes, and how to train with it."""
    best = found.best
    if best is None or best.index == 0:
        return {}
    ours, theirs, usual = vars(best.config), vars(found.base), vars(type(best.config)())
    changed = [name for name, value in ours.items() if value != theirs[name]]
    given = {"image_size": ours["image_size"], "kimg": f"{ours['kimg']:g}"}
    given |= {name: value for name, value in theirs.items() if value != usual[name] and name not in (*changed, *given, "seed")}
    given |= {name: ours[name] for name in changed}
    flags = (f"--{name.replace('_', '-')}={int(v) if isinstance(v, bool) else v}" for name, v in given.items())
    rows = [(name, _short(theirs[name]), _short(ours[name])) for name in changed]
    command = shlex.join(["facegen", "train", *flags])
    return {"name": f"trial {best.index}", "rows": rows, "command": command}
