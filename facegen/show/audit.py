"""An audit on one page: bars of the real and the generated shares with their intervals, the tables, and what they rest on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from facegen.evaluation.audit import (
    LEAST_SIZE,
    USUAL_SIZE,
    Audit,
    Difference,
    Share,
    effective_size,
    labelled,
    read_target,
    write_resampled,
)
from facegen.evaluation.audit import shares as count_shares
from facegen.files import InputError, one_line, write_text
from facegen.pages import render
from facegen.show import report
from facegen.show.figures import BLUE, INK, VERMILION, Chart, _dress
from facegen.show.text import table

WIDTH = 560  # of the figure on the page, in CSS pixels
COMPARED = ("attribute", "value", "real", "", "generated", "", "difference", "", "Cohen's h", "p, Holm")
ONE_SIDE = ("attribute", "value", "share", "interval", "pictures")
TESTS = ("attribute", "chi-square", "degrees of freedom", "Cramér's V", "p", "p, Holm")

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
        axes.set_yticks(range(len(real[attribute])), [one_line(value, 40) for value in real[attribute]])
        axes.invert_yaxis()
        axes.set_xlim(0, min(100, 1.08 * max(100 * share.high for values, _, _ in groups for share in values.values())))
        _dress(axes, one_line(attribute, 80), "% of the pictures" if axes is panels[-1] else "", "", legend=False)
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


def write_audit(
    found: Audit, folder: Path, title: str, notes: Sequence[str], protocol: Mapping[str, object], command: str
) -> str:
    """Write audit.txt, audit.json, shares.png and index.html into a folder; returns the tables and notes as text.

    Args:
        title: the page's heading.
        notes: what else to know about these pictures.
        protocol: what was counted and how, for audit.json.
        command: what was typed.
    """
    compared = bool(found.differences)
    chart = audit_chart(*sides(found.differences)) if compared else audit_chart(found.shares, title="Who is in the data")
    tables, lines = _tables(found), [*_notes(found), *notes]
    text = "\n\n".join([*(f"{name}\n{table(rows, headers)}" for name, (headers, rows) in tables.items()), *lines])
    facts = {
        "protocol": protocol,
        "shares": {} if compared else _plain(found.shares),
        "differences": [{**asdict(row), "significant": row.significant} for row in found.differences],
        "tests": [{**asdict(test), "significant": test.significant} for test in found.tests],
        "classifiers": {
            name: {
                "values": judge.values,
                "error": asdict(judge.error()),
                "confusion": judge.confusion.tolist(),
                "C": judge.penalty,
            }
            for name, judge in found.judges.items()
        },
        "notes": lines,
    }
    page = {"title": title, "charts": report.plots([chart]), "tables": tables, "notes": lines, "command": command}
    write_text(folder / "audit.txt", f"{title}\n\n{text}\n\n{command}\n")
    write_text(folder / "audit.json", json.dumps(facts, indent=2) + "\n")
    (folder / "shares.png").write_bytes(chart.png(2))
    write_text(folder / "index.html", render("audit.html", page))
    return text


def save_resampled(
    data: str, kind: str, names: Sequence[str], target: Path, out: Path, *, size: int | None, count: int | None, seed: int
) -> str:
    """Write a data set with other shares, as `write_resampled`; returns the shares before and after, and the files, as text.

    Args:
        data, kind, names: the pictures and their labels, as for `labelled`.
        target: a file for `read_target`.
        size: of the pictures whose labels are measured.
    """
    goals = read_target(target)
    # Only labels that are measured need pixels; others take pictures of any size.
    there = labelled(data, kind, names, size or (USUAL_SIZE if kind == "measured" else LEAST_SIZE))
    indices, weights, path = write_resampled(there, goals, out, count, seed)
    rows = []
    for name, column in there.labels.items():
        before, goal = count_shares(column), goals.get(name, {})
        after = count_shares(column[indices], list(before))
        for value, share in before.items():
            wanted = f"{goal[value]:.1%}" if value in goal else None
            rows.append((name, value, f"{share.share:.1%}", wanted, f"{after[value].share:.1%}"))
    times = np.unique(indices, return_counts=True)[1]
    return (
        f"{table(rows, ('attribute', 'value', 'before', 'target', 'after'))}\n"
        f"{len(indices):,} pictures, {len(times):,} different ones, the most frequent {times.max():,} times; "
        f"worth {effective_size(weights):,.0f} of {len(weights):,} by Kish's count\n"
        f"written: {one_line(out)}, {one_line(path)}"
    )


def _plain(shares: Shares) -> dict[str, dict[str, dict[str, object]]]:
    return {name: {value: asdict(share) for value, share in values.items()} for name, values in shares.items()}


def _tables(found: Audit) -> dict[str, tuple[Sequence[str], list[tuple[object, ...]]]]:
    """Heading -> headers and rows."""
    if not found.differences:
        rows = [(name, value, *_cells(s), s.n) for name, values in found.shares.items() for value, s in values.items()]
        return {"Shares": (ONE_SIDE, rows)}
    tests = []
    for t in found.tests:
        size = (f"{t.chi_square:.4g}", t.freedom, f"{t.cramers_v:.4g}")
        tests.append((t.attribute, *size, _p(t.p, t.exact), _p(t.adjusted)))
    tables: dict[str, tuple[Sequence[str], list[tuple[object, ...]]]] = {
        "Shares, and their differences in points": (COMPARED, [_compared(row) for row in found.differences]),
        "Is the attribute distributed alike?": (TESTS, tests),
    }
    if found.judges:
        rows = []
        for name, judge in found.judges.items():
            wrong = judge.error()
            rows.append((name, "all: wrong", *_cells(wrong), wrong.n))
            rows += [(name, f"{value}: recognised", *_cells(share), share.n) for value, share in judge.recalls().items()]
        tables["The classifier, on pictures it has not learned from"] = (ONE_SIDE, rows)
    return tables


def _compared(row: Difference) -> tuple[object, ...]:
    """A star marks what is significant."""
    points = (f"{100 * row.difference:+.1f}", f"{100 * row.low:+.1f} to {100 * row.high:+.1f}")
    p = _p(row.adjusted) + (" *" if row.significant else "")
    return row.attribute, row.value, *_cells(row.real), *_cells(row.fake), *points, f"{row.effect:+.2f}", p


def _cells(share: Share) -> tuple[str, str]:
    return f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}"


def _p(p: float, exact: bool = False) -> str:
    return ("< 0.0001" if p < 1e-4 else f"{p:.4f}") + (" (permutations)" if exact else "")


def _notes(found: Audit) -> list[str]:
    notes = ["Intervals hold the true value in 95 % of cases, each by itself."]
    if found.differences:
        notes.append(
            "p, Holm: corrected for the number of tests; a star marks values below 0.05. Both sides count as samples: against "
            "just these training pictures the tests are a little too careful. No star does not mean that nothing differs: the "
            "interval says how much still may."
        )
    if found.judges:
        notes.append(
            "Shares are what a classifier says of both sides, of real pictures when it has not learned from them: its errors "
            "are in them, and its own table counts these. Where it errs alike on both sides, a difference in what it says is a "
            "real one, and looks smaller than it is. That it errs on generated pictures as on real ones no number can check."
        )
    return notes
