"""Scrubbing through a training run: a widget for a live notebook, and one HTML file for everywhere else."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping
from pathlib import Path

import ipywidgets
import numpy as np
from IPython.display import HTML
from PIL import Image, features

from facegen.files import InputError, write_text
from facegen.pages import data_address, render
from facegen.show.figures import series, smooth, smoothing_width, strip
from facegen.show.grids import Snapshots, grid, png_of, snapshots_of, with_png

FRAME_WIDTH = 560  # CSS pixels that a frame should fill when no scale is given
FILM_SECONDS = 8.0  # how long all snapshots take at most when played
CURVE_POINTS = 240  # points of a loss curve in the HTML file


def _frames(snapshots: Snapshots, columns: int, scale: int | None) -> list[Image.Image]:
    if columns < 1:
        raise InputError(f"columns must be at least 1, got {columns}")
    columns = min(columns, snapshots.images.shape[1])
    if scale is None:
        scale = max(1, round(FRAME_WIDTH / (columns * (snapshots.images.shape[-1] + 2))))
    return [grid(images, cols=columns, scale=scale) for images in snapshots.images]


def _pause(count: int) -> int:
    """Milliseconds for each of `count` frames when the film plays."""
    return int(max(60, min(500, 1000 * FILM_SECONDS / count)))


class Scrubber(ipywidgets.VBox):
    """What `scrub` returns: a picture, its label, and a slider with a play button that choose the snapshot.

    Where no widget can run (a page on the web, a printed notebook) the output still holds a strip of the run as PNG.

    Attributes:
        slider: `.value` is the snapshot shown, from 0.
        picture: an Image widget; `.value` holds the PNG of the snapshot.
        label: an HTML widget with the snapshot's kimg, epoch, step and losses.
    """

    def __init__(self, snapshots: Snapshots, frames: list[Image.Image]) -> None:
        self._labels = [_label(snapshots, i) for i in range(len(snapshots))]
        self._pngs = [png_of(frame) for frame in frames]
        self._snapshots = snapshots
        last = len(frames) - 1
        width = f"{frames[0].width}px"
        self.picture = ipywidgets.Image(format="png", layout={"width": width, "max_width": "100%", "height": "auto"})
        self.label = ipywidgets.HTML()
        self.slider = ipywidgets.IntSlider(
            min=0, max=last, readout=False, layout={"flex": "1 1 auto", "min_width": "120px"}, disabled=last == 0
        )
        self.play = ipywidgets.Play(min=0, max=last, interval=_pause(len(frames)), repeat=False, disabled=last == 0)
        self.slider.observe(self._show, names="value")
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        controls = ipywidgets.HBox([self.play, self.slider], layout={"width": width, "max_width": "100%"})
        super().__init__([self.picture, self.label, controls])
        self._show()

    def _show(self, _change: object = None) -> None:
        self.picture.value = self._pngs[self.slider.value]
        self.label.value = self._labels[self.slider.value]

    def _repr_mimebundle_(self, **options: object) -> tuple[dict[str, object], dict[str, object]]:
        twin, text = strip(self._snapshots, images=4), f"a slider over {len(self._pngs)} snapshots"
        return with_png(super()._repr_mimebundle_(**options), twin.png(), twin.size, text, twin.title)


def scrub(history: object, columns: int = 8, scale: int | None = None) -> Scrubber:
    """A slider with a play button over a run's snapshots. It answers at once: every frame is encoded beforehand.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W] or list of [N, 3, H, W].
        columns: faces in a row.
        scale: screen pixels for one image pixel; by default the picture becomes about 560 pixels wide.

    Raises:
        InputError: if there is no snapshot.
    """
    snapshots = snapshots_of(history)
    return Scrubber(snapshots, _frames(snapshots, columns, scale))


def _label(snapshots: Snapshots, index: int) -> str:
    details = html.escape(snapshots.details(index))
    title = f"<b>{html.escape(snapshots.title(index))}</b>"
    return f"{title} &nbsp;·&nbsp; {details}" if details else title


def slider_html(
    history: object,
    path: str | Path | None = None,
    title: str = "Training, snapshot by snapshot",
    columns: int = 8,
    scale: int | None = None,
) -> str:
    """One HTML file with a slider over a run's snapshots: no kernel, no network, nothing beside it.

    Frames are embedded (in WebP, JPEG or PNG, whichever is smallest at good quality). Play button, arrow keys, Home and
    End; the loss curves with the current snapshot marked, a tap on them goes there; light and dark; fits a phone.
    Without scripts it shows all frames below each other.

    Args:
        history: a run's history, or a tensor [S, N, 3, H, W] or list of [N, 3, H, W].
        path: where to write it as well, if anywhere.
        title: heading and title of the page; any text, it is escaped.
        columns, scale: as for `scrub`.

    Returns:
        The whole page.

    Raises:
        InputError: if there is no snapshot.
    """
    snapshots = snapshots_of(history)
    frames = _frames(snapshots, columns, scale)
    kind = _best_format(frames)
    labels = [{"title": snapshots.title(i), "details": snapshots.details(i)} for i in range(len(snapshots))]
    curves, marks = _curves(snapshots)
    values = {
        "title": title,
        "width": frames[0].width,
        "height": frames[0].height,
        "frames": [data_address(_encoded(frame, kind), kind) for frame in frames],
        "labels": labels,
        "curves": curves,
        "marks": marks,
        "pause": _pause(len(frames)),
    }
    page = render("slider.html", values)
    if path is not None:
        write_text(path, page)
    return page


def show_slider(
    history: object,
    title: str = "Training, snapshot by snapshot",
    columns: int = 8,
    scale: int | None = None,
) -> HTML:
    """`slider_html` inside a notebook, in a frame of its own: scripts run in JupyterLab, several do not clash.

    Unlike `scrub` it still works when the notebook is opened again without a kernel, and in an exported page.

    Raises:
        InputError: if there is no snapshot.
    """
    page = slider_html(history, title=title, columns=columns, scale=scale)
    return HTML(f"<div>{_iframe(page, title)}</div>")


def _iframe(page: str, title: str) -> str:
    # The page sets its frame's height itself once it is loaded; 640 serves where it may not.
    style = "width:100%;max-width:760px;height:640px;border:0"
    return f'<iframe srcdoc="{html.escape(page)}" title="{html.escape(title)}" style="{style}"></iframe>'


def _encoded(picture: Image.Image, kind: str) -> bytes:
    options: Mapping[str, object] = {
        "PNG": {},
        "JPEG": {"quality": 90, "subsampling": 0},
        "WEBP": {"quality": 90, "method": 4},
    }[kind]
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _best_format(frames: list[Image.Image]) -> str:
    """The format in which the first, the middle and the last frame are smallest together."""
    probe = [frames[0], frames[len(frames) // 2], frames[-1]]
    kinds = ["PNG", "JPEG", *(["WEBP"] if features.check("webp") else [])]
    return min(kinds, key=lambda kind: sum(len(_encoded(frame, kind)) for frame in probe))


def _curves(snapshots: Snapshots) -> tuple[dict[str, object], list[dict[str, float]]]:
    """The loss curves and their axes as the template draws them, and for each snapshot where its marks stand, in percent."""
    lines = _loss_lines(snapshots)
    if not lines:
        return {}, []
    assert snapshots.kimg is not None  # there are no loss lines without it
    end = max(max(snapshots.kimg), max(x[-1] for x, _ in lines.values())) or 1.0
    shown = np.concatenate([y for _, y in lines.values()])
    low, high = np.percentile(shown, [0.5, 99.5])
    margin = 0.08 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def across(x: np.ndarray | float) -> np.ndarray:
        return np.asarray(x) / end * 100

    def down(y: np.ndarray | float) -> np.ndarray:
        return np.clip((high - np.asarray(y)) / (high - low), 0, 1) * 100

    paths = {name: _points(across(x), down(y)) for name, (x, y) in lines.items()}
    marks = [
        {"x": round(float(across(kimg)), 2)}
        | {name: round(float(down(np.interp(kimg, x, y))), 2) for name, (x, y) in lines.items() if kimg >= x[0]}
        for kimg in snapshots.kimg
    ]
    ticks = {f"{y:g}": f"{down(y):.1f}" for y in _ticks(low, high)}
    return {"lines": paths, "ticks": ticks, "end": f"{end:.3g}"}, marks


def _loss_lines(snapshots: Snapshots) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Smoothed D and G loss, at most CURVE_POINTS points each: name -> (kimg, loss), finite throughout."""
    lines = {}
    if snapshots.kimg is None or not snapshots.stats:
        return lines
    for name in ("D", "G"):
        x, y = series(snapshots.stats, f"loss_{name}")
        y = smooth(y, smoothing_width(len(y)))
        keep = np.isfinite(y)
        x, y = x[keep], y[keep]
        if len(x):
            chosen = np.unique(np.linspace(0, len(x) - 1, CURVE_POINTS).round().astype(int))
            lines[name] = (x[chosen], y[chosen])
    return lines


def _points(x: np.ndarray, y: np.ndarray) -> str:
    return " ".join(f"{a:.2f},{b:.2f}" for a, b in zip(x, y))


def _ticks(low: float, high: float) -> list[float]:
    """Two to five round numbers between low and high."""
    rough = (high - low) / 3
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda factor: abs(factor * power - rough))
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return [round(i * step, 10) for i in range(first, last + 1)]
