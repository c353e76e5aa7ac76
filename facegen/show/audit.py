"""An audit on one page: bars of the real and the generated shares with their intervals, the tables, and what they rest on."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from string import Template

from facegen.evaluation.audit import Difference, Share
from facegen.files import InputError
from facegen.show.figures import BLUE, INK, VERMILION, Chart, _dress
from facegen.show.text import html_table

__all__ = ["audit_chart", "audit_html", "sides"]

WIDTH = 560  # of the figure on the page, in CSS pixels

Shares = Mapping[str, Mapping[str, Share]]


def sides(differences: Sequence[Difference]) -> tuple[dict[str, dict[str, Share]], dict[str, dict[str, Share]]]:
    """The real and the generated shares of a comparison, as `audit_chart` takes them."""
    real: dict[str, dict[str, Share]] = {}
    fake: dict[str, dict[str, Share]] = {}
    for row in differences:
        real.setdefault(row.attribute, {})[row.value] = row.real
        fake.setdefault(row.attribute, {})[row.value] = row.fake
    return real, fake


def audit_chart(
    real: Shares,
    fake: Shares | None = None,
    *,
    names: tuple[str, str] = ("real", "generated"),
    title: str = "Who is in the data, and who comes out",
) -> Chart:
    """Bars for every value of every attribute, with intervals; a circle marks what a classifier said before its correction.

    Args:
        real: attribute -> value -> share, such as {"glasses": shares(labels)}.
        fake: the same of the generated pictures, or None for one side alone.
        names: what the two sides are called.
        title: the figure's.

    Raises:
        InputError: nothing to show, or other values on one side.
    """
    if not real or any(not values for values in real.values()):
        raise InputError("audit_chart: there is no attribute to show")
    if fake is not None and {a: list(v) for a, v in real.items()} != {a: list(v) for a, v in fake.items()}:
        raise InputError("audit_chart: both sides need the same attributes and values, in the same order")
    heights = [len(values) for values in real.values()]
    chart = Chart(WIDTH, 90 + sum(52 + (34 if fake else 24) * height for height in heights), title, density=2)
    panels = chart.subplots(len(real), 1, squeeze=False, gridspec_kw={"height_ratios": [height + 1.2 for height in heights]})[
        :, 0
    ]
    for axes, attribute in zip(panels, real):
        groups = [(real[attribute], BLUE, names[0])] + ([(fake[attribute], VERMILION, names[1])] if fake else [])
        for i, (values, colour, name) in enumerate(groups):
            places = [place + (i - (len(groups) - 1) / 2) * 0.4 for place in range(len(values))]
            _bars(axes, places, list(values.values()), colour, name, 0.36 if fake else 0.6)
        axes.set_yticks(range(len(real[attribute])), list(real[attribute]))
        axes.invert_yaxis()
        axes.set_xlim(0, min(100, 1.08 * max(100 * share.high for values, _, _ in groups for share in values.values())))
        _dress(axes, attribute, "% of the pictures" if axes is panels[-1] else "", "", legend=False)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    if fake:
        handles, labels = panels[0].get_legend_handles_labels()
        known = dict(zip(labels, handles))
        chart.legend(
            known.values(), known.keys(), loc="outside lower center", ncols=3, fontsize=9, frameon=False, labelcolor=INK
        )
    return chart


def _bars(axes, places: list[float], found: list[Share], colour: str, name: str, height: float) -> None:
    size = [100 * share.share for share in found]
    ends = [[100 * (share.share - share.low) for share in found], [100 * (share.high - share.share) for share in found]]
    look = {"color": colour, "alpha": 0.85, "label": name, "height": height}
    axes.barh(places, size, xerr=ends, error_kw={"ecolor": INK, "elinewidth": 1.3, "capsize": 2.5}, **look)
    said = [(100 * share.raw, place) for share, place in zip(found, places) if share.raw is not None]
    if said:
        look = {"facecolors": "white", "edgecolors": INK, "linewidths": 1.2, "zorder": 3}
        axes.scatter(*zip(*said), s=18, label="what the classifier says", **look)


def audit_html(
    title: str,
    chart: Chart,
    tables: Mapping[str, tuple[Sequence[str], Sequence[Sequence[object]]]],
    notes: Sequence[str],
    command: str = "",
) -> str:
    """One HTML page with everything in it: no network, nothing beside it, no scripts.

    Args:
        title: its heading; escaped, as every text is.
        chart: the bars.
        tables: heading -> (headers, rows).
        notes: what the numbers rest on and what they cannot say.
        command: what was typed.
    """
    width, height = chart.size
    picture = base64.b64encode(chart.png(2)).decode()
    return _PAGE.substitute(
        title=html.escape(title),
        chart=f'<img src="data:image/png;base64,{picture}" width="{width}" height="{height}" alt="{html.escape(chart.title)}">',
        tables="\n".join(
            f'<h2>{html.escape(name)}</h2><div class="wide">{html_table(rows, headers)}</div>'
            for name, (headers, rows) in tables.items()
        ),
        notes="\n".join(f"<li>{html.escape(note)}</li>" for note in notes),
        command=f'<div class="wide"><pre>{html.escape(command)}</pre></div>' if command else "",
    )


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
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #666; --rule: #ddd; }
@media (prefers-color-scheme: dark) { :root { --paper: #17181a; --ink: #eee; --soft: #a5a5a5; --rule: #3a3b3d; } }
body { margin: 0; padding: 16px; background: var(--paper); color: var(--ink); font: 16px/1.45 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; }
h1 { font-size: 1.3rem; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 22px 0 6px; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
li { margin: 4px 0; max-width: 75ch; }
pre { font-size: .85rem; color: var(--soft); }
</style>
</head>
<body>
<main>
<h1>$title</h1>
$chart
$tables
<h2>What these numbers rest on</h2>
<ul>
$notes
</ul>
$command
</main>
</body>
</html>
"""
)
