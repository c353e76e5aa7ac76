"""Static figures: grids and strips of faces, loss curves, histograms. Every function returns the figure it drew.

The figures are made without pyplot, so nothing is shown twice, nothing piles up in memory and no backend is chosen.
A notebook shows a figure that stands on the last line of a cell; anywhere else write `display(figure)`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from facegen.files import InputError
from facegen.show.grids import as_uint8, grid, snapshots_of

__all__ = [
    "Chart",
    "attribute_histogram",
    "compare_curves",
    "compare_grids",
    "loss_curves",
    "portrait",
    "show_grid",
    "strip",
]

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), told apart by colour-blind readers; every figure stands on
# white of its own, so that it reads the same on a dark page.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#B8A800",
)  # fmt: skip
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
DASHES = ("-", "--", "-.", ":")
INK, FAINT = "#222222", "#DDDDDD"
KIMG = "real images seen, in thousands (kimg)"
DPI = 96  # one inch of a figure is 96 CSS pixels on the page


class Chart(Figure):
    """A matplotlib figure that a notebook shows once, sharp on any screen, with its title as the text for the blind."""

    def __init__(self, width: float, height: float, title: str) -> None:
        """`width` and `height` in CSS pixels of the page."""
        super().__init__(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained", facecolor="white")
        self.title = title
        self.suptitle(title, fontsize=13, fontweight="bold", color=INK)

    def png(self, density: float = 1.5) -> bytes:
        """The figure as PNG, `density` pixels for each CSS pixel."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI * density)
        return buffer.getvalue()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        width, height = (round(inches * DPI) for inches in self.get_size_inches())
        picture = base64.b64encode(self.png()).decode()
        metadata = {"image/png": {"width": width, "height": height, "alt": self.title}}
        display({"image/png": picture, "text/plain": self.title}, metadata=metadata, raw=True)


def show_grid(
    images: torch.Tensor,
    title: str,
    rows: int | None = None,
    cols: int | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    captions: Sequence[str] | None = None,
) -> Chart:
    """One grid of faces under a title.

    Args:
        images: uint8 or floating [N, 3, H, W], see `as_uint8`.
        title: says what is seen.
        rows, cols, value_range: as for `grid`.
        captions: one short text under each image, if wanted.

    Raises:
        InputError: on a bad tensor, or another number of captions than images.
    """
    if captions is None:
        return compare_grids({"": images}, title=title, rows=rows, cols=cols, value_range=value_range)
    tiles = as_uint8(images, value_range)
    if len(captions) != len(tiles):
        raise InputError(f"show_grid: {len(captions)} captions for {len(tiles)} images")
    cols = cols or (-(-len(tiles) // rows) if rows else min(len(tiles), 6))
    rows = rows or -(-len(tiles) // cols)
    side = min(150, 900 // cols)
    figure = Chart(cols * side + 20, rows * (side + 22 * (1 + max(c.count("\n") for c in captions))) + 50, title)
    grid_of_axes = figure.subplots(rows, cols, squeeze=False).ravel()
    for axes in grid_of_axes:
        axes.set_axis_off()
    for axes, tile, caption in zip(grid_of_axes, tiles, captions):
        _picture(axes, tile.permute(1, 2, 0).numpy())
        axes.set_title(caption, fontsize=8.5, color=INK, y=-0.02, va="top")
    return figure


def compare_grids(
    grids: Mapping[str, torch.Tensor],
    title: str = "Side by side",
    rows: int | None = None,
    cols: int | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> Chart:
    """Several grids side by side (at most four a line), each under its name.

    Args:
        grids: name -> uint8 or floating [N, 3, H, W].
        title: says what is compared.
        rows, cols, value_range: as for `grid`, the same for all.

    Raises:
        InputError: if there is nothing to compare, or on a bad tensor.
    """
    if not grids:
        raise InputError("compare_grids: nothing to compare, give a dict of name -> images")
    pictures = {name: grid(images, rows, cols, value_range=value_range) for name, images in grids.items()}
    across = min(len(pictures), 4)
    down = -(-len(pictures) // across)
    widest = max(picture.width for picture in pictures.values())
    width = min(920 / across, max(widest, 340 if across == 1 else 0))  # small pictures are enlarged, large ones not
    height = max(width * picture.height / picture.width for picture in pictures.values())
    figure = Chart(width * across + 20, (height + 28 * bool(any(pictures))) * down + 44, title)
    flat = figure.subplots(down, across, squeeze=False).ravel()
    for axes in flat:
        axes.set_axis_off()
    for axes, (name, picture) in zip(flat, pictures.items()):
        _picture(axes, np.asarray(picture))
        axes.set_title(name, fontsize=11, color=INK)
    return figure


def strip(history: object, count: int = 6, images: int = 8, title: str | None = None) -> Chart:
    """Training at a glance: one column per snapshot under its kimg, one row per noise vector, the same all along.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W].
        count: columns; snapshots evenly spaced from the first to the last.
        images: rows; the first noise vectors.
        title: the figure's title.

    Raises:
        InputError: if there is no snapshot.
    """
    snapshots = snapshots_of(history)
    columns = snapshots.spread(count)
    images = max(1, min(images, snapshots.images.shape[1]))
    faces = "face" if images == 1 else f"{images} faces"
    title = title or f"The same {faces} through training"
    tiles = [grid(snapshots.images[index, :images], rows=images, cols=1, padding=2) for index in columns]
    side = min(104, 900 // len(columns))
    height = side * tiles[0].height / tiles[0].width
    figure = Chart(max(side * len(columns) + 16, 300), height + 76, title)
    for axes, tile, index in zip(figure.subplots(1, len(columns), squeeze=False).flat, tiles, columns):
        _picture(axes, np.asarray(tile))
        axes.set_axis_off()
        axes.set_title(snapshots.title(index), fontsize=9.5, color=INK)
    return figure


def portrait(history: object, index: int = 0, title: str | None = None) -> Chart:
    """One face followed through every snapshot, in reading order, each under its kimg.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W].
        index: which of the N noise vectors; a negative one counts from the end.
        title: the figure's title.

    Raises:
        InputError: if there is no snapshot or no such face.
    """
    snapshots = snapshots_of(history)
    faces = one_face(snapshots.images, index)
    captions = [snapshots.title(i) for i in range(len(snapshots))]
    cols = min(len(faces), 8)
    return show_grid(faces, title or "One face, from noise to portrait", cols=cols, captions=captions)


def one_face(images: torch.Tensor, index: int) -> torch.Tensor:
    """Face `index` of every snapshot: [S, N, 3, H, W] -> [S, 3, H, W]; InputError if there is none."""
    count = images.shape[1]
    if not -count <= index < count:
        raise InputError(f"there is no face {index}: the history follows {count}, numbered from 0")
    return images[:, index]


def loss_curves(history: object, title: str = "Losses and what D believes") -> Chart:
    """The two losses against kimg, and beside them the mean logits D gives to real and to generated faces.

    The thick line is a running mean over a fortieth of the run, the faint one behind it every logged value. Where a
    run logged no logits the second panel is left out.

    Args:
        history: a run's history, with `.stats` as `fit` keeps them.
        title: the figure's title.

    Raises:
        InputError: if no step has been logged.
    """
    stats = _stats(history)
    with_logits = any("logits_real" in record for record in stats)
    figure = Chart(920 if with_logits else 560, 360, title)
    panels = figure.subplots(1, 2 if with_logits else 1, squeeze=False)[0]
    _curves(panels[0], stats, {"loss_D": ("discriminator D", BLUE, "-"), "loss_G": ("generator G", VERMILION, "--")})
    _dress(panels[0], "Losses", KIMG, "loss")
    if with_logits:
        faces = {"logits_real": ("real faces", GREEN, "-"), "logits_fake": ("generated faces", PURPLE, "--")}
        _curves(panels[1], stats, faces)
        panels[1].axhline(0, color="#888888", linewidth=0.8, zorder=0)
        note = "Above 0, D says “real”. Lines close together: G keeps up.\nDrifting ever further apart: D is winning."
        _dress(panels[1], "D's mean logit", f"{KIMG}\n{note}", "logit")
    return figure


def compare_curves(histories: Mapping[str, object], title: str = "Losses compared") -> Chart:
    """The smoothed losses of several runs in two panels, D's and G's, one colour and dash per run.

    Losses of different kinds have different scales: compare their course, not their height.

    Args:
        histories: name -> history, at most eight.
        title: the figure's title.

    Raises:
        InputError: if there is nothing to compare, more than eight runs, or one that logged nothing.
    """
    if not 1 <= len(histories) <= len(CYCLE):
        raise InputError(f"compare_curves: give 1 to {len(CYCLE)} histories, got {len(histories)}")
    figure = Chart(920, 340, title)
    panels = figure.subplots(1, 2)
    for axes, key, name in zip(panels, ("loss_D", "loss_G"), ("Discriminator", "Generator")):
        for i, (label, history) in enumerate(histories.items()):
            _curves(axes, _stats(history), {key: (label, CYCLE[i], DASHES[i % 4])}, raw=False)
        _dress(axes, name, KIMG, "loss")
    return figure


def attribute_histogram(
    attributes: torch.Tensor | Sequence[int] | Mapping[str, object],
    names: Sequence[str] | None = None,
    title: str = "Who is in the data",
) -> Chart:
    """Bars with counts and shares, one per value of an attribute: whose faces are in a data set.

    Args:
        attributes: one of
            - one whole number (or bool) per face, [N]; value i is called `names[i]`;
            - one floating number per face, [N], such as an angle: counted in ten equal ranges, `names` unused;
            - a dict name -> count of faces (a whole number): shares are of the sum;
            - a dict name -> one bool per face [N], such as glasses and hat: shares are of the N faces.
        names: what the values 0, 1, ... are called; without it they are numbered. Values nobody has keep their empty
            bar: who is missing is the point.
        title: the figure's title.

    Raises:
        InputError: if there is nothing to count, or a value has no name.
    """
    counts, faces = _counts(attributes, names)
    figure = Chart(640, 96 + 26 * len(counts), title)
    axes = figure.subplots()
    bars = axes.barh(range(len(counts)), list(counts.values()), color=BLUE, height=0.72)
    labels = [f"{count:,}  ({count / faces:.1%})" for count in counts.values()]
    axes.bar_label(bars, labels, padding=4, fontsize=9, color=INK)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    axes.set_xlim(0, max(counts.values()) * 1.25)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _dress(axes, f"{faces:,} faces", "number of faces", "", legend=False)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def _counts(attributes: object, names: Sequence[str] | None) -> tuple[dict[str, int], int]:
    """The bars (label -> count) and how many faces their shares refer to."""
    if isinstance(attributes, Mapping):
        flags = {str(name): np.asarray(value) for name, value in attributes.items()}
        sizes = {value.size for value in flags.values()}
        counts = {name: int(value.sum()) for name, value in flags.items()}
        per_face = all(value.ndim == 1 for value in flags.values())
        if per_face and len(sizes) > 1:
            raise InputError(f"attribute_histogram: attributes of different lengths: {sorted(sizes)}")
        faces = sizes.pop() if sizes and per_face else sum(counts.values())
    else:
        values = np.asarray(attributes)
        faces = values.size
        counts = _ranges(values) if values.dtype.kind == "f" and faces else _categories(values, names)
    if not faces:
        raise InputError("attribute_histogram: there is nothing to count")
    return counts, faces


def _categories(values: np.ndarray, names: Sequence[str] | None) -> dict[str, int]:
    values = values.astype(np.int64)
    if values.size and (values.min() < 0 or (names is not None and values.max() >= len(names))):
        known = "any" if names is None else len(names)
        raise InputError(f"attribute_histogram: values run from {values.min()} to {values.max()}, names for {known}")
    totals = np.bincount(values, minlength=0 if names is None else len(names))
    labels = [str(i) for i in range(len(totals))] if names is None else [str(name) for name in names]
    return {label: int(total) for label, total in zip(labels, totals)}


def _ranges(values: np.ndarray) -> dict[str, int]:
    totals, edges = np.histogram(values[np.isfinite(values)], bins=10)
    return {f"{low:.3g} to {high:.3g}": int(n) for n, low, high in zip(totals, edges[:-1], edges[1:])}


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over `width` neighbours, centred, shorter at both ends; NaN does not spread. [T] -> [T]."""
    known = np.isfinite(values)
    kernel = np.ones(max(1, min(width, len(values))))
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="same")
    weight = np.convolve(known.astype(float), kernel, mode="same")
    return np.where(weight > 0, total / np.maximum(weight, 1), np.nan)


def _stats(history: object) -> list[Mapping[str, float]]:
    stats = list(getattr(history, "stats", None) or ())
    if not stats:
        raise InputError("the history holds no logged step yet: its stats are empty, train first")
    return stats


def series(stats: Sequence[Mapping[str, float]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """kimg [T] and the values of `key` [T] over a run's log, NaN where a step did not log it."""
    x = np.array([record["kimg"] for record in stats], dtype=float)
    return x, np.array([record.get(key, np.nan) for record in stats], dtype=float)


def smoothing_width(steps: int) -> int:
    """A fortieth of the run, odd, so that the mean stays centred."""
    return steps // 80 * 2 + 1


def _curves(axes: Axes, stats: list, lines: Mapping[str, tuple[str, str, str]], raw: bool = True) -> None:
    shown = []
    for key, (label, colour, dash) in lines.items():
        x, values = series(stats, key)
        smoothed = smooth(values, smoothing_width(len(values)))
        if raw:
            axes.plot(x, values, color=colour, alpha=0.25, linewidth=0.8)
        marker = "o" if len(x) < 3 else None  # a line of one or two points would not be seen
        axes.plot(x, smoothed, color=colour, linestyle=dash, linewidth=2, label=label, marker=marker, markersize=4)
        shown.append(values)
    if raw:
        _clip_spikes(axes, np.concatenate(shown))


def _clip_spikes(axes: Axes, values: np.ndarray) -> None:
    """Keep a few spikes of a GAN's loss from flattening all the rest: show the middle 99 % and a margin."""
    finite = values[np.isfinite(values)]
    if len(finite) < 100:
        return
    low, high = np.percentile(finite, [0.5, 99.5])
    margin = 0.15 * (high - low) or 1.0
    axes.set_ylim(max(low - margin, finite.min() - margin / 3), min(high + margin, finite.max() + margin / 3))


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str, legend: bool = True) -> None:
    axes.set_title(title, fontsize=11, loc="left", color=INK)
    axes.set_xlabel(xlabel, fontsize=9.5, color=INK)
    axes.set_ylabel(ylabel, fontsize=9.5, color=INK)
    axes.tick_params(labelsize=9, colors=INK)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(fontsize=9, frameon=False, labelcolor=INK)


def _picture(axes: Axes, pixels: np.ndarray | Image.Image) -> None:
    axes.imshow(pixels, interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
