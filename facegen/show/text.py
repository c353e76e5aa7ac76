"""Numbers as text: the digest lines that a notebook checker compares, and aligned tables."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from facegen.files import InputError, one_line

MOST = 1000  # characters of a cell


def digest(data: object, digits: int = 2) -> str:
    """One short line (or one per entry of a dict) that tells whether an array, picture or figure is still the same.

    A notebook checker compares text and never looks at a picture, so a cell whose picture matters also prints this:
    `64x3x64x64 uint8: mean 0.53, std 0.21, min 0.00, max 1.00`.

    `uint8` values are taken as v / 255, so that a digit means the same for bytes and floats. All statistics are
    computed in float64 and rounded to `digits` decimals (std is that of the population); -0.00 is printed as 0.00.
    A noise of size e in a statistic changes its printed number with a probability of about e * 10**digits: for float32
    rounding noise (1e-6) and two digits once in ten thousand. Training runs on other machines differ by far more than
    rounding; digest what a seed determines, not a trained result.

    Args:
        data: a tensor, array, PIL picture or sequence of numbers; a matplotlib figure (every axes' lines, bars and
            pictures); or a dict of such, one line for each.
        digits: decimals kept, 0 to 8.

    Raises:
        InputError: if `data` is none of these.
    """
    if not 0 <= digits <= 8:
        raise InputError(f"digest: digits must be between 0 and 8, got {digits}")
    if isinstance(data, Mapping):
        return "\n".join(f"{name}: {digest(value, digits)}" for name, value in data.items())
    if isinstance(data, Figure):
        return "\n".join(_axes_digest(axes, digits) for axes in data.axes)
    return _array_digest(_as_array(data), digits)


def _as_array(data: object) -> np.ndarray:
    if isinstance(data, torch.Tensor):
        data = data.detach().cpu()
        return (data.float() if data.dtype == torch.bfloat16 else data).numpy()
    try:
        array = np.asarray(data)
    except ValueError as error:  # a ragged nested list
        raise InputError(f"digest: cannot read this {type(data).__name__} as numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"digest: needs numbers, a picture or a figure, got {type(data).__name__}")
    return array


def _array_digest(array: np.ndarray, digits: int) -> str:
    shape = "x".join(str(size) for size in array.shape) or "one number"
    kind = f"{shape} {array.dtype}"
    if array.size == 0:
        return f"{kind}: empty"
    values = array.astype(np.float64)
    if array.dtype == np.uint8:
        values = values / 255
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return f"{kind}: no finite value"
    numbers = {"mean": finite.mean(), "std": finite.std(), "min": finite.min(), "max": finite.max()}
    line = ", ".join(f"{name} {_rounded(value, digits)}" for name, value in numbers.items())
    lost = values.size - finite.size
    return f"{kind}: {line}" + (f", {lost} not finite" if lost else "")


def _rounded(value: float, digits: int) -> str:
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # + 0.0 turns -0.0 into 0.0


def _axes_digest(axes: object, digits: int) -> str:
    parts = [f"line {_array_digest(np.asarray(line.get_ydata(), dtype=float), digits)}" for line in axes.lines]
    parts += [f"picture {_array_digest(np.asarray(image.get_array()), digits)}" for image in axes.images]
    if axes.patches:
        lengths = [patch.get_width() if patch.get_x() == 0 else patch.get_height() for patch in axes.patches]
        parts.append(f"bars {_array_digest(np.asarray(lengths, dtype=float), digits)}")
    title = axes.get_title() or axes.get_title(loc="left") or "untitled"
    return f"{title}: " + ("; ".join(parts) or "nothing drawn")


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """A plain text table: columns aligned (numbers right, words left), a rule under the headers, no trailing blanks.

    Floats are printed with 4 significant digits, None and NaN as a dash.

    Args:
        rows: one sequence of cells per row, each as long as `headers`.
        headers: the column names.

    Raises:
        InputError: if a row is longer or shorter than the headers.
    """
    cells, numeric = _cells(rows, headers)
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]

    def line(row: Sequence[str]) -> str:
        aligned = (c.rjust(w) if right else c.ljust(w) for c, w, right in zip(row, widths, numeric))
        return "  ".join(aligned).rstrip()

    return "\n".join([line(headers), line(["-" * width for width in widths]), *(line(row) for row in cells)])


def html_table(rows: Sequence[Sequence[object]], headers: Sequence[str], caption: str = "") -> str:
    """The same table as HTML (everything escaped), for `IPython.display.HTML(html_table(...))`."""
    cells, numeric = _cells(rows, headers)
    aligns = [f' style="text-align:{"right" if right else "left"}"' for right in numeric]

    def line(tag: str, row: Sequence[str]) -> str:
        inside = "".join(f"<{tag}{align}>{html.escape(cell)}</{tag}>" for cell, align in zip(row, aligns))
        return f"<tr>{inside}</tr>"

    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    body = "".join(line("td", row) for row in cells)
    return f"<table>{title}<thead>{line('th', headers)}</thead><tbody>{body}</tbody></table>"


def _cells(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> tuple[list[list[str]], list[bool]]:
    for number, row in enumerate(rows, start=1):
        if len(row) != len(headers):
            raise InputError(f"table: row {number} has {len(row)} cells for {len(headers)} headers")
    columns = [[row[i] for row in rows] for i in range(len(headers))]
    numeric = [any(_is_number(c) for c in column) and all(_is_number(c) or c is None for c in column)
               for column in columns]  # fmt: skip
    return [[_cell(cell) for cell in row] for row in rows], numeric


def _is_number(cell: object) -> bool:
    return isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool)


def _cell(cell: object) -> str:
    if cell is None or (isinstance(cell, (float, np.floating)) and math.isnan(cell)):
        return "–"
    if isinstance(cell, (float, np.floating)):
        return f"{float(cell):.4g}"
    return one_line(cell, MOST)
