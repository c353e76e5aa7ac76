"""Pages of HTML out of templates: all text that goes in is escaped, and a page is one file that asks for nothing else."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from facegen.files import one_line

TEMPLATES = Path(__file__).with_name("templates")


def render(name: str, values: Mapping[str, object], folder: Path = TEMPLATES) -> str:
    """The page that a template makes of its values.

    Args:
        name: of the template, such as "gallery.html".
        values: what stands in it under which name. Text is escaped; in a template `text | line` is also on one line, and
            `data | tojson` is for scripts.
        folder: where the template lies. It may build on those of the package whatever its folder.
    """
    return _environment(folder).get_template(name).render(values)


@functools.cache
def _environment(folder: Path) -> Environment:
    # A name that is missing among the values is a mistake of ours, not an empty place on the page.
    found = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters["line"] = lambda value, most=2000: one_line(value, most)
    return found


def data_address(picture: bytes, kind: str) -> str:
    """The address that holds an encoded picture itself; `kind` is its format, such as "PNG"."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture).decode()}"
