"""Seeing: grids of faces, loss curves, the scrubber over a run, its HTML twin and film, galleries, text, layers, spectra."""

from facegen.show.activations import activations, show_activations
from facegen.show.figures import (
    Chart,
    attribute_histogram,
    compare_curves,
    compare_grids,
    loss_curves,
    portrait,
    show_grid,
    strip,
)
from facegen.show.gallery import Person, gallery, gallery_html, show_gallery
from facegen.show.grids import as_uint8, grid, save_image
from facegen.show.spectra import show_spectra
from facegen.show.text import digest, html_table, table
from facegen.show.video import save_film
from facegen.show.widgets import Scrubber, scrub, show_slider, slider_html

__all__ = [
    "Chart",
    "Person",
    "Scrubber",
    "activations",
    "as_uint8",
    "attribute_histogram",
    "compare_curves",
    "compare_grids",
    "digest",
    "gallery",
    "gallery_html",
    "grid",
    "html_table",
    "loss_curves",
    "portrait",
    "save_film",
    "save_image",
    "scrub",
    "show_activations",
    "show_gallery",
    "show_grid",
    "show_slider",
    "show_spectra",
    "slider_html",
    "strip",
    "table",
]
