"""What a comparison of architectures found: one table, two plots, the sample grids, and a page with all of it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from PIL import Image

from facegen.config import StyleConfig
from facegen.data.packed import Faces
from facegen.evaluation.compare import QUANTITIES, Comparison, Config, Measurement, Run, Spread, spread
from facegen.evaluation.trials import plain
from facegen.files import InputError, one_line, replacing, write_text
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.pages import render
from facegen.show import report
from facegen.show.figures import CYCLE, DASHES, INK, KIMG, Chart, _dress
from facegen.show.grids import grid, save_image
from facegen.training.runs import kimg_text

SHOWN = 64  # faces in a grid, in rows of 8
MARKERS = ("o", "s", "^", "D")
WIDTH = 480  # of a plot on the page, in CSS pixels
MANY_TIMES = 5  # the slowest as long as the fastest: from there on a plot against minutes is logarithmic


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a heading over the lines that follow if it has no cells, else one cell for each column."""

    name: str
    cells: tuple[str, ...] = ()


def write_report(
    comparison: Comparison, faces: Faces, outdir: str | Path, *, command: str = "", device: torch.device | str = "cpu"
) -> Path:
    """Write table.json, table.md, grids/*.png, kimg.png, minutes.png and index.html, each completely or not at all.

    Args:
        comparison: finished or not; what is missing is said.
        faces: the real pictures, for a grid beside those of the fakes.
        outdir: the comparison's folder.
        command: what was typed, shown as it is.
        device: where to make the faces of the grids.

    Returns:
        The page.
    """
    outdir = Path(outdir)
    grids = _write_grids(comparison, faces, outdir / "grids", torch.device(device))
    write_text(outdir / "table.json", json.dumps(as_dict(comparison, command), indent=1, allow_nan=False) + "\n")
    write_text(outdir / "table.md", markdown(comparison, command))
    charts = []
    if any(comparison.of(cfg) for cfg in comparison.configs):
        charts = [progress_chart(comparison, name) for name in ("kimg", "minutes")]
        for name, chart in zip(("kimg", "minutes"), charts):
            with replacing(outdir / f"{name}.png") as temporary:
                temporary.write_bytes(chart.png(2))
    rows = [(row.name, *row.cells) for row in table_rows(comparison)]
    values = {
        "title": f"{', '.join(comparison.configs)}: compared at equal kimg and at equal time",
        "verdicts": verdicts(comparison),
        "columns": columns(comparison),
        "rows": rows,
        "charts": report.plots(charts),
        "notes": notes(comparison),
        "command": command,
        "grids": report.pictures(grids),
        "configs": list(comparison.configs),
        "settings": _settings(comparison),
    }
    write_text(outdir / "index.html", render("comparison.html", values))
    return outdir / "index.html"


def reporter(
    faces: Faces, configs: Mapping[str, Config], seeds: int, outdir: Path, command: str, device: torch.device
) -> Callable[[Comparison], None]:
    """Says what will be compared; returns what to call after each run: it writes the report and prints a line or the last."""
    planned, kimg = len(configs) * seeds, next(iter(configs.values())).kimg
    print(f"{len(faces)} pictures from {one_line(faces.name)}; {planned} runs of {kimg:g} kimg on {device}")

    def tell(so_far: Comparison) -> None:
        run, page = so_far.runs[-1], write_report(so_far, faces, outdir, command=command, device=device)
        last = f"KID x 1000 is {run.snapshots[-1].kid * 1000:.3g}" if run.finished else run.failed
        print(f"{len(so_far.runs)} of {planned}: {run.cfg}, seed {run.seed}: {last}; {page}")
        if so_far.finished:
            print("\n".join([*verdicts(so_far), f"done: {page}, {outdir / 'table.md'}"]))

    return tell


def _settings(comparison: Comparison) -> list[tuple[object, ...]]:
    """Every setting of every recipe, one line each."""
    settings = [dataclasses.asdict(config) for config in comparison.configs.values()]
    names = dict.fromkeys(name for config in settings for name in config if name != "seed")
    return [(name, *(config.get(name, "–") for config in settings)) for name in names]


def _write_grids(comparison: Comparison, faces: Faces, folder: Path, device: torch.device) -> dict[str, Image.Image]:
    """The first real pictures, and the same z's of every run: caption -> picture."""
    chosen = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))[:SHOWN]
    grids = {"real pictures": grid(faces.images[chosen.to(faces.images.device)].cpu(), cols=8)}
    save_image(grids["real pictures"], folder / "real.png")
    for run in sorted(comparison.runs, key=lambda run: run.seed):
        if not run.finished:
            continue
        path = folder / f"{run.cfg}-seed{run.seed}.png"
        if not path.exists() or path.stat().st_mtime < run.network.stat().st_mtime:
            G = pretrained.load(run.network).G.to(device)
            save_image(grid(sample(G, range(SHOWN)), cols=8), path)
        grids[f"{run.cfg}, seed {run.seed}"] = Image.open(path).convert("RGB")
    return grids


# ------------------------------------------------------------------------------------------------------- the table


def columns(comparison: Comparison) -> list[str]:
    """The table's columns: the recipes, and the real pictures."""
    return [*comparison.configs, "real pictures"]


def table_rows(comparison: Comparison) -> list[Row]:
    """The comparison as text: at equal kimg, at equal time, and what each recipe costs."""
    rows = [Row(f"after {kimg_text(comparison.kimg)} kimg"), *_measured_rows(comparison, comparison.at_kimg)]
    ends = [_cell(spread(shot.seconds / 60 for shot in comparison.at_kimg(cfg))) for cfg in comparison.configs]
    rows.append(Row("minutes of training", (*ends, "")))
    limit = comparison.equal_time()
    if limit:
        fastest, seconds = limit
        rows.append(Row(f"after {_short(seconds / 60)} minutes, the time of {fastest}"))
        rows += _measured_rows(comparison, comparison.at_time)
        rows.append(Row("by the snapshot at kimg", (*(_reached(comparison, cfg) for cfg in comparison.configs), "")))
    return [*rows, *_cost_rows(comparison)]


def _measured_rows(comparison: Comparison, shots: Callable[[str], list[Measurement | None]]) -> list[Row]:
    return [
        Row(
            _title(quantity, comparison),
            (
                *(_quantity_cell(shots(cfg), quantity) for cfg in comparison.configs),
                _short(comparison.baseline[quantity] * _scale(quantity)),
            ),
        )
        for quantity in QUANTITIES
    ]


def _title(quantity: str, comparison: Comparison) -> str:
    """What a quantity is called, with an arrow to where it is better."""
    better = {"kid": " × 1000 ↓", "frechet": " ↓", "diversity": ", the real pictures' as 1", "precision": " ↑", "recall": " ↑"}
    return comparison.names[quantity] + better[quantity]


def _scale(quantity: str) -> float:
    return 1000.0 if quantity == "kid" else 1.0


def _quantity_cell(shots: Sequence[Measurement | None], quantity: str) -> str:
    found = spread(None if shot is None else getattr(shot, quantity) * _scale(quantity) for shot in shots)
    if found is None:
        return "no snapshot yet" if shots else "–"
    return _cell(found) + (f", {found.n} of {len(shots)} runs" if found.n < len(shots) else "")


def _cell(found: Spread | None) -> str:
    """Mean, and the range of the seeds."""
    if found is None:
        return "–"
    return _short(found.mean) + (f" ({_short(found.low)} to {_short(found.high)})" if found.n > 1 else "")


def _short(value: float) -> str:
    """Three digits, or more before the point; never an exponent, and no minus before 0."""
    if not math.isfinite(value):
        return "–"
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{min(max(digits, 0), 4)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def _reached(comparison: Comparison, cfg: str) -> str:
    found = spread(None if shot is None else shot.kimg for shot in comparison.at_time(cfg))
    if found is None:
        return "–"
    low, high = kimg_text(found.low), kimg_text(found.high)
    return low if low == high else f"{low} to {high}"


def _cost_rows(comparison: Comparison) -> list[Row]:
    runs = {cfg: [run for run in comparison.runs if run.cfg == cfg] for cfg in comparison.configs}
    rows = [
        Row("cost"),
        Row("seconds per kimg", _each(runs, lambda some: _cell(spread(run.seconds_per_kimg for run in some)))),
        Row("weights of G, in millions", _each(runs, lambda some: _short(some[0].weights["G"] / 1e6))),
        Row("weights of D, in millions", _each(runs, lambda some: _short(some[0].weights["D"] / 1e6))),
    ]
    if any(run.memory_gb for run in comparison.runs):
        peaks = _each(runs, lambda some: _cell(spread(run.memory_gb for run in some)))
        rows.append(Row("most memory on the GPU, GB", peaks))
    batches = (str(config.images_per_step) for config in comparison.configs.values())
    return [*rows, Row("pictures per step", (*batches, "")), Row("runs", _each(runs, _ended, "none yet"))]


def _each(runs: Mapping[str, list[Run]], cell: Callable[[list[Run]], str], none: str = "–") -> tuple[str, ...]:
    return (*(cell(some) if some else none for some in runs.values()), "")


def _ended(runs: list[Run]) -> str:
    failed = sum(not run.finished for run in runs)
    return f"{len(runs) - failed}" + (f", and {failed} failed" if failed else "")


def verdicts(comparison: Comparison) -> list[str]:
    """Who has the lowest KID at equal kimg and at equal time, and whether the seeds' ranges leave that open."""
    name, limit = comparison.names["kid"], comparison.equal_time()
    found = [_verdict(comparison, comparison.at_kimg, f"After {kimg_text(comparison.kimg)} kimg", name)]
    if limit:
        found.append(_verdict(comparison, comparison.at_time, f"After {_short(limit[1] / 60)} minutes", name))
    return [line for line in found if line]


def _verdict(comparison: Comparison, shots: Callable[[str], list[Measurement | None]], when: str, name: str) -> str:
    there = {cfg: spread(shot and shot.kid for shot in shots(cfg)) for cfg in comparison.configs}
    there = {cfg: found for cfg, found in there.items() if found}
    if len(there) < 2:
        return ""
    best = min(there, key=lambda cfg: there[cfg].mean)
    late = [cfg for cfg in comparison.configs if shots(cfg) and cfg not in there]
    line = f"{when}, {best} has the lowest {name}" + (f" ({' and '.join(late)} had no snapshot yet)" if late else "")
    if min(found.n for found in there.values()) < 2:
        return f"{line}; with one seed each, another seed may turn that round."
    near = [cfg for cfg, found in there.items() if cfg != best and found.low <= there[best].high]
    return f"{line}; " + (
        f"its seeds' range meets that of {' and '.join(near)}, so that these seeds leave it open." if near
        else f"all {there[best].n} of its runs are below all of the others'."
    )  # fmt: skip


def notes(comparison: Comparison) -> list[str]:
    """What has to be known to read the table."""
    limit, machines, lines = comparison.equal_time(), comparison.machines(), []
    if not comparison.finished:
        lines.append(f"Not finished: {len(comparison.runs)} of {len(comparison.configs) * comparison.seeds} runs so far.")
    lines += [f"Failed: {run.cfg}, seed {run.seed}: {run.failed}." for run in comparison.runs if run.failed]
    lines.append(_about_seeds(comparison.seeds))
    lines.append(f"How it was measured: {comparison.protocol}.")
    lines.append(
        "“Real pictures”: as many of one half of them in the place of the fakes, against the other half. It is what perfect "
        "samples would get, give or take chance."
    )
    if limit:
        lines.append(
            f"Equal time: {_short(limit[1] / 60)} minutes, after which the last run of {limit[0]}, the fastest, had ended; "
            "each run counts with its last snapshot until then. Wall-clock time of training and of writing its files, without "
            f"measuring, one run after the other, on: {'; '.join(machines)}. Other programs on the machine count too."
        )
    if any(shot is None for cfg in comparison.configs for shot in comparison.at_time(cfg)):
        lines.append("“No snapshot yet”: the first came later than that; a smaller --snap, in a new folder, has one earlier.")
    if len(machines) > 1:
        lines.append(
            "The runs were not all made on one machine in one way: their times, and what stands at equal time, do not compare."
        )
    lines.append(_about_fairness(comparison))
    return lines


def _about_seeds(seeds: int) -> str:
    if seeds == 1:
        return "One seed: nothing here says how much of a difference is luck."
    return (
        f"A cell is the mean over {seeds} seeds (0 to {seeds - 1}), in brackets the lowest and the highest of them: a range of "
        f"{seeds} runs, not a confidence interval. That all {seeds} runs of one recipe are below all {seeds} of another comes "
        f"about by luck alone in 1 of {math.comb(2 * seeds, seeds)} cases."
    )


def _about_fairness(comparison: Comparison) -> str:
    configs = comparison.configs
    first = next(iter(configs.values()))
    styled = next((config for config in configs.values() if isinstance(config, StyleConfig)), None)
    data, side, mirrored = comparison.data, first.image_size, "mirrored" if first.mirror else "not mirrored"
    widths = f", the StyleGANs' widths (cbase {styled.cbase}, cmax {styled.cmax})" if styled else ""
    return (
        f"Equal for all: the {data['count']} pictures of {data['name']} at {side}x{side}, {mirrored}; "
        f"{kimg_text(first.kimg)} thousand pictures shown; the seeds{widths}. Not equal: each recipe's own batch, loss, rates, "
        "penalties and augmentation. A comparison of runs that were shown different numbers of pictures, or of distances at "
        "different counts of fakes or with different features, would not be fair: it shows who trained longer, or was measured "
        "more kindly."
    )


def markdown(comparison: Comparison, command: str = "") -> str:
    """The table, the verdicts and the notes, to be pasted into a README."""
    names = columns(comparison)
    lines = [_markdown_line(("", *names)), _markdown_line(("---", *(["---:"] * len(names))))]
    for row in table_rows(comparison):
        lines.append(_markdown_line((row.name, *row.cells) if row.cells else (f"**{row.name}**", *([""] * len(names)))))
    text = [*(f"- {_plain(line)}" for line in [*verdicts(comparison), *notes(comparison)])]
    block = ["", *(f"    {line}" for line in command.splitlines())] if command else []
    return "\n".join([*lines, "", *text, *block]) + "\n"


def _markdown_line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """One line, in which nothing ends a table's cell or begins HTML."""
    return one_line(text, 2000).replace("|", "\\|").replace("<", "&lt;")


def as_dict(comparison: Comparison, command: str = "") -> dict:
    """Everything as JSON holds it: numbers of every snapshot of every run, and the table made of them."""
    limit = comparison.equal_time()
    found = {
        "command": command,
        "finished": comparison.finished,
        "kimg": comparison.kimg,
        "seeds": comparison.seeds,
        "data": dict(comparison.data),
        "names": dict(comparison.names),
        "protocol": comparison.protocol,
        "baseline": dict(comparison.baseline),
        "machines": comparison.machines(),
        "equal_time": {"fastest": limit[0], "seconds": limit[1]} if limit else None,
        "settings": {cfg: dataclasses.asdict(config) for cfg, config in comparison.configs.items()},
        "table": {cfg: _cfg_dict(comparison, cfg) for cfg in comparison.configs},
        "runs": [_run_dict(run) for run in comparison.runs],
        "notes": [*verdicts(comparison), *notes(comparison)],
    }
    return plain(found)


def _cfg_dict(comparison: Comparison, cfg: str) -> dict:
    def spreads(shots: list[Measurement | None]) -> dict:
        found = {quantity: spread(shot and getattr(shot, quantity) for shot in shots) for quantity in QUANTITIES}
        return {quantity: value._asdict() if value else None for quantity, value in found.items()}

    runs, by_then = comparison.of(cfg), comparison.at_time(cfg)
    return {
        "at_kimg": spreads(comparison.at_kimg(cfg)),
        "at_time": spreads(by_then),
        "snapshots_at_time": {run.seed: shot and _place(shot) for run, shot in zip(runs, by_then)},
        "finished_seeds": [run.seed for run in runs],
        "failed_seeds": [run.seed for run in comparison.runs if run.cfg == cfg and run.failed],
    }


def _place(shot: Measurement) -> dict:
    return {"step": shot.step, "kimg": shot.kimg, "seconds": shot.seconds}


def _run_dict(run: Run) -> dict:
    return {**dataclasses.asdict(run), "folder": run.folder.name}


# ------------------------------------------------------------------------------------------------------- the plots


def progress_chart(comparison: Comparison, against: str = "kimg") -> Chart:
    """KID and Frechet distance of every snapshot against kimg or minutes: a line per recipe, the mean of its seeds, with the
    band of their range; dashed what the two halves of the real pictures get.

    Both are squared distances, so the axes are those of their square roots: a start a hundred times as far as the end leaves
    room for the end, and values of 0 and below, which the unbiased KID can have, have a place too.
    """
    if against not in ("kimg", "minutes"):
        raise InputError(f"progress_chart: against is kimg or minutes, not {against!r}")
    if not any(comparison.of(cfg) for cfg in comparison.configs):
        raise InputError("progress_chart: no run has come to its end, so there is nothing to draw")
    chart = Chart(WIDTH, 720, "Distance from the real pictures", density=2)
    panels = chart.subplots(2, 1, sharex=True)
    ends = [max(shot.seconds for shot in comparison.at_kimg(cfg)) for cfg in comparison.configs if comparison.of(cfg)]
    logarithmic = against == "minutes" and max(ends) > MANY_TIMES * min(ends)
    label = KIMG if against == "kimg" else f"minutes of training{', logarithmic' if logarithmic else ''}"
    for axes, quantity in zip(panels, ("kid", "frechet")):
        _draw(axes, comparison, quantity, against)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.set_xlim(left=0)
        title = _title(quantity, comparison)
        _dress(axes, title, label if axes is panels[-1] else "", "square-root scale", legend=False)
    lines, names = panels[0].get_legend_handles_labels()
    chart.legend(lines, names, loc="outside lower center", ncols=2, fontsize=9, frameon=False, labelcolor=INK)
    return chart


def _draw(axes: Axes, comparison: Comparison, quantity: str, against: str) -> None:
    report.square_root_axis(axes)
    for i, cfg in enumerate(comparison.configs):
        points = _points(comparison.of(cfg), quantity, against)
        if not points:
            continue
        x, found = zip(*points)
        look = {"color": CYCLE[i % len(CYCLE)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)]}
        axes.plot(x, [value.mean for value in found], label=cfg, linewidth=2, markersize=4, **look)
        low, high = [value.low for value in found], [value.high for value in found]
        axes.fill_between(x, low, high, color=look["color"], alpha=0.18, linewidth=0)
    real = comparison.baseline[quantity] * _scale(quantity)
    axes.axhline(real, color=INK, linestyle=(0, (5, 4)), linewidth=1.2, label="two halves of the real pictures")
    limit = comparison.equal_time()
    if against == "minutes" and limit:
        axes.axvline(limit[1] / 60, color="#888888", linestyle=":", linewidth=1.2, label=f"equal time: {limit[0]} has ended")


def _points(runs: Sequence[Run], quantity: str, against: str) -> list[tuple[float, Spread]]:
    """(mean x, spread of the quantity) for each step of which all runs have a snapshot."""
    points = []
    for shots in zip(*(run.snapshots for run in runs)):
        x = [shot.kimg if against == "kimg" else shot.seconds / 60 for shot in shots]
        points.append((sum(x) / len(x), spread(getattr(shot, quantity) * _scale(quantity) for shot in shots)))
    return points
