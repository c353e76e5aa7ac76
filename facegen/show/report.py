"""What the pages on which verbs report show beside words: plots and pictures. The pages are in facegen/templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from facegen.pages import data_address
from facegen.show.figures import Chart
from facegen.show.widgets import _best_format, _encoded


class Picture(NamedTuple):
    """A picture as a page holds it.

    Attributes:
        source: the address that holds the picture itself.
        width, height: on the page, in CSS pixels.
        text: what it shows, for those who cannot see it, and as its caption.
    """

    source: str
    width: int
    height: int
    text: str


def plots(charts: Iterable[Chart]) -> list[Picture]:
    return [Picture(data_address(chart.png(2), "PNG"), *chart.size, chart.title) for chart in charts]


def pictures(grids: Mapping[str, Image.Image]) -> list[Picture]:
    """Captions -> pictures, all in the one format in which they are smallest."""
    if not grids:
        return []
    kind = _best_format(list(grids.values()))
    return [Picture(data_address(_encoded(image, kind), kind), *image.size, text) for text, image in grids.items()]


def square_root_axis(axes: Axes) -> None:
    """For squared distances, which an unbiased estimate can put below 0: a start a hundred times as far as the end leaves
    room for the end, and negative values have a place too."""
    axes.set_yscale("function", functions=(lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda v: np.sign(v) * np.square(v)))
