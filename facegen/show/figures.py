"""Static figures: grids and strips of faces, loss curves, histograms. Every function returns the figure it drew.

The figures are made without pyplot, so nothing is shown twice, nothing piles up in memory and no backend is chosen.
A notebook shows a figure that stands on the last line of a cell; anywhere else write `display(figure)`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from facegen.files import InputError
from facegen.show.grids import as_uint8, grid, save_image, snapshots_of, with_png

# Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), told apart by colour-blind readers; every figure stands on
# white of its own, so that it reads the same on a dark page.
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222", "#B8A800",
)  # fmt: skip
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
DASHES = ("-", "--", "-.", ":")
INK, FAINT = "#222222", "#DDDDDD"
HEADLINE = {"fontsize": 13, "fontweight": "bold", "color": INK}
KIMG = "real images seen, in thousands (kimg)"
DPI = 96  # one inch of a figure is 96 CSS pixels on the page


class Chart(Figure):
    """A matplotlib figure that a notebook shows once, sharp on any screen, with its title as the text for the blind."""

    def __init__(self, width: float, height: float, title: str, density: float = 1.5) -> None:
        """`width` and `height` in CSS pixels of the page; each becomes `density` pixels of the PNG."""
        size = [(math.ceil(pixels) + 1e-6) / DPI for pixels in (width, height)]  # or rounding down loses a pixel
        super().__init__(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        self.title = title
        self.density = density
        self.suptitle(title, **HEADLINE)

    def png(self, density: float | None = None) -> bytes:
        """The figure as the bytes of a PNG file."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=DPI * (density or self.density))
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        """Write the figure as a picture of the kind that the suffix names: .png, .jpg or .webp."""
        save_image(Image.open(io.BytesIO(self.png())).convert("RGB"), path)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, in CSS pixels."""
        width, height = self.get_size_inches()
        return round(width * DPI), round(height * DPI)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        shown, metadata = with_png(None, self.png(), self.size, self.title, self.title)
        display(shown, metadata=metadata, raw=True)


def _panels(title: str, panels: Sequence[tuple[str, Image.Image]], across: int, target: float) -> Chart:
    """Pictures of one size in rows of `across`, each under its caption, about `target` CSS pixels wide.

    They are placed by hand and enlarged by whole pixels, because matplotlib's own layout leaves gaps around pictures
    and resampled pixels make a PNG several times larger.
    """
    density, gap, head = 2, 8, 36
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    widest, highest = (max(picture.size[side] for _, picture in panels) for side in (0, 1))
    scale = max(1, math.floor(density * target / widest)) / density
    if widest * scale > 1.5 * target:
        scale = target / widest
    width, height = widest * scale, highest * scale
    lines = max(1 + text.count("\n") if text else 0 for text, _ in panels)
    band = 16 * lines + 6 * bool(lines)
    inside = across * (width + gap) - gap
    total = math.ceil(max(inside, 9.5 * len(title)) + 2 * gap), math.ceil(head + down * (height + band + gap))
    figure = Chart(*total, title, density=density)
    figure.set_layout_engine("none")
    figure.suptitle(title, y=1 - head / 2 / total[1], va="center", **HEADLINE)
    interpolation = "nearest" if scale * density >= 1 else "antialiased"
    left = (total[0] - inside) // 1 / density  # on a whole pixel of the PNG
    for i, (text, picture) in enumerate(panels):
        x = left + i % across * (width + gap)
        y = head + i // across * (height + band + gap) + band  # from the top
        box = (x, total[1] - y - picture.height * scale, picture.width * scale, picture.height * scale)
        axes = figure.add_axes((box[0] / total[0], box[1] / total[1], box[2] / total[0], box[3] / total[1]))
        axes.imshow(np.asarray(picture), interpolation=interpolation, aspect="auto")
        axes.set_axis_off()
        axes.set_title(text, fontsize=9.5 if width < 200 else 11, color=INK, pad=4)
    return figure


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
        captions: one short text (a line or two) above each image, if wanted.

    Raises:
        InputError: on a bad tensor, or another number of captions than images.
    """
    if captions is None:
        picture = grid(images, rows, cols, value_range=value_range)
        columns = max(1, picture.width // as_uint8(images[:1], value_range).shape[3])
        return _panels(title, [("", picture)], 1, min(900, 112 * columns))
    tiles = as_uint8(images, value_range)
    if len(captions) != len(tiles):
        raise InputError(f"show_grid: {len(captions)} captions for {len(tiles)} images")
    cols = cols or (-(-len(tiles) // rows) if rows else min(len(tiles), 6))
    panels = [(caption, grid(tile, padding=0)) for caption, tile in zip(captions, tiles)]
    return _panels(title, panels, cols, min(128, 900 / cols))


def compare_grids(
    grids: Mapping[str, torch.Tensor],
    title: str = "Side by side",
    rows: int | None = None,
    cols: int | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
) -> Chart:
    """Several grids side by side (at most three a line), each under its name.

    Args:
        grids: name -> uint8 or floating [N, 3, H, W].
        title: says what is compared.
        rows, cols, value_range: as for `grid`, the same for all.

    Raises:
        InputError: if there is nothing to compare, or on a bad tensor.
    """
    if not grids:
        raise InputError("compare_grids: nothing to compare, give a dict of name -> images")
    panels = [(name, grid(images, rows, cols, value_range=value_range)) for name, images in grids.items()]
    across = 2 if len(panels) == 4 else min(len(panels), 3)
    return _panels(title, panels, across, min(400, 900 / across))


def strip(history: object, count: int = 6, images: int = 8, title: str | None = None) -> Chart:
    """Training at a glance: one column per snapshot under its kimg, one row per noise vector, the same all along.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W].
        count: columns; snapshots evenly spaced from the first to the last.
        images: rows; the first noise vectors.
        title: the figure's title.

    Raises:
        InputError: if there is no snapshot, or `count` or `images` is below 1.
    """
    if count < 1 or images < 1:
        raise InputError(f"strip: count and images must be at least 1, got {count} and {images}")
    snapshots = snapshots_of(history)
    images = min(images, snapshots.images.shape[1])
    faces = "face" if images == 1 else f"{images} faces"
    columns = [
        (snapshots.title(index), grid(snapshots.images[index, :images], cols=1, padding=1)) for index in snapshots.spread(count)
    ]
    return _panels(title or f"The same {faces} through training", columns, len(columns), min(100, 900 / len(columns)))


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
    lines = math.ceil(len(faces) / 8)
    cols = math.ceil(len(faces) / lines)
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
    run logged no logits the second panel is left out. A CycleGAN has two discriminators, and each gets its two lines.

    Args:
        history: a run's history, with `.stats` as `fit` keeps them.
        title: the figure's title.

    Raises:
        InputError: if no step has been logged.
    """
    stats = _stats(history)
    two = any("logits_real_A" in record for record in stats)
    with_logits = two or any("logits_real" in record for record in stats)
    figure = Chart(920 if with_logits else 560, 360, title)
    panels = figure.subplots(1, 2 if with_logits else 1, squeeze=False)[0]
    names = ("discriminators D", "generators G") if two else ("discriminator D", "generator G")
    _curves(panels[0], stats, {"loss_D": (names[0], BLUE, "-"), "loss_G": (names[1], VERMILION, "--")})
    _dress(panels[0], "Losses", KIMG, "loss")
    if with_logits:
        _curves(panels[1], stats, _LOGITS_OF_TWO if two else _LOGITS)
        note = "Lines close together: G keeps up.\nDrifting ever further apart: D is winning."
        if not two:  # those of a CycleGAN usually are not logits in the strict sense: their middle is 1/2, not 0
            panels[1].axhline(0, color="#888888", linewidth=0.8, zorder=0)
            note = note.replace("Lines", "Above 0, D says “real”. Lines")
        _dress(panels[1], "D's mean logit", f"{KIMG}\n{note}", "logit")
    return figure


_LOGITS = {"logits_real": ("real faces", GREEN, "-"), "logits_fake": ("generated faces", PURPLE, "--")}
# Letters of the keys are the discriminator's: D_A judges pictures of B.
_LOGITS_OF_TWO = {
    "logits_real_A": ("D_A on B", GREEN, "-"),
    "logits_fake_A": ("D_A on G_A's fakes", PURPLE, "--"),
    "logits_real_B": ("D_B on A", ORANGE, "-."),
    "logits_fake_B": ("D_B on G_B's fakes", SKY, ":"),
}


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
