"""The page on which a verb reports: an audit, a comparison, a search. One file with everything in it, for any browser."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from string import Template

import numpy as np
from matplotlib.axes import Axes
from PIL import Image

from facegen.files import one_line
from facegen.show.figures import Chart
from facegen.show.widgets import _best_format, _encoded

__all__ = ["bullets", "code", "heading", "page", "paragraph", "pictures", "plots", "square_root_axis", "table"]


def page(title: str, blocks: Iterable[str]) -> str:
    """The whole page: a title, as text, and blocks of HTML as the functions below make them. It needs no network or script."""
    return _PAGE.substitute(title=_text(title), blocks="\n".join(block for block in blocks if block))


def heading(text: str) -> str:
    return f"<h2>{_text(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A line of text; `kind` "soft" sets it smaller."""
    return f'<p class="{kind}">{_text(text)}</p>' if kind else f"<p>{_text(text)}</p>"


def bullets(lines: Iterable[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{_text(line)}</li>" for line in lines) + "\n</ul>"


def code(command: str) -> str:
    """A command that was typed, or nothing."""
    return f"<pre>{_text(command, 4000)}</pre>" if command else ""


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], label: str = "") -> str:
    """A table that scrolls sideways where it is too wide. A row of a single cell is a heading over those that follow."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in headers)
    body = "\n".join(_row(row, len(headers)) for row in rows)
    region = f' tabindex="0" role="region" aria-label="{_text(label)}"' if label else ""
    return f'<div class="wide"{region}><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def _row(row: Sequence[object], width: int) -> str:
    first, *rest = row
    if not rest:
        return f'<tr class="group"><th scope="colgroup" colspan="{width}"><span>{_text(first)}</span></th></tr>'
    return f'<tr><th scope="row">{_text(first)}</th>{"".join(f"<td>{_cell(cell)}</td>" for cell in rest)}</tr>'


def _cell(cell: object) -> str:
    """A range in brackets can go under its number on a narrow screen."""
    number, bracket, rest = str("" if cell is None else cell).partition(" (")
    return _text(number) + (f' <span class="range">({_text(rest)}</span>' if bracket else "")


def plots(charts: Iterable[Chart]) -> str:
    """Charts side by side, as far as the screen is wide enough."""
    images = "\n".join(_image(chart.png(2), "PNG", chart.size, chart.title) for chart in charts)
    return f'<div class="plots">\n{images}\n</div>' if images else ""


def pictures(grids: Mapping[str, Image.Image]) -> str:
    """Captions -> pictures, side by side."""
    if not grids:
        return ""
    kind = _best_format(list(grids.values()))
    figures = []
    for caption, picture in grids.items():
        image = _image(_encoded(picture, kind), kind, picture.size, caption)
        figures.append(f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>")
    return '<div class="grids">\n' + "\n".join(figures) + "\n</div>"


def _image(data: bytes, kind: str, size: tuple[int, int], text: str) -> str:
    source = f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{size[0]}" height="{size[1]}" alt="{_text(text)}">'


def _text(value: object, most: int = 2000) -> str:
    return html.escape(one_line(value, most))


def square_root_axis(axes: Axes) -> None:
    """For squared distances, which an unbiased estimate can put below 0: a start a hundred times as far as the end leaves
    room for the end, and negative values have a place too."""
    axes.set_yscale("function", functions=(lambda v: np.sign(v) * np.sqrt(np.abs(v)), lambda v: np.sign(v) * np.square(v)))


# The policy makes a browser refuse whatever is not in the file itself.
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #5f5f5f; --rule: #ddd; --band: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181a; --ink: #eee; --soft: #a5a5a5; --rule: #3a3b3d; --band: #232529; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 12px; background: var(--paper); color: var(--ink); font: 16px/1.4 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; }
h1 { font-size: 1.3rem; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 24px 0 8px; }
p { margin: 0 0 6px; max-width: 75ch; }
.soft { color: var(--soft); font-size: .85rem; max-width: 85ch; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 12px -12px 0; padding: 0 12px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px 5px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th:first-child { text-align: left; }
th[scope="row"] { font-weight: 400; }
th[scope="row"], .group span { position: sticky; left: -12px; padding-left: 12px; background: var(--paper); }
thead th { font-weight: 600; }
.group th { font-weight: 600; padding: 14px 0 5px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 12px; margin-top: 16px;
  align-items: start; }
.plots img { display: block; width: 100%; max-width: 900px; height: auto; border-radius: 4px; background: #fff; }
.grids { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px 12px; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { margin-top: 4px; font-size: .85rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2em; max-width: 85ch; color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
li { margin-bottom: 5px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 8px 10px; border-radius: 4px; background: var(--band); }
summary { cursor: pointer; padding: 10px 0; }
@media (max-width: 600px) { th[scope="row"] { white-space: normal; min-width: 30vw; } .range { display: block; } }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$blocks
</main>
</body>
</html>
"""
)
