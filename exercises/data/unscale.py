"""unscale(x, feature_range=(-1, 1)): the inverse of scale, from any range back to [0, 1]."""

from __future__ import annotations

from exercises.base import Exercise
from exercises.ranges import HINTS, call_of, judge_map, mapped, range_cases
from facegen.data import scale, unscale

MISTAKES = {
    "it took the minimum and maximum of this batch; the ends a, b are those of feature_range": mapped(
        lambda x, a, b: (x - x.min()) / (x.max() - x.min())
    ),
    "it divides by the largest value of this batch, expected by the width b - a": mapped(lambda x, a, b: (x - a) / x.max()),
    "x came back as it was": mapped(lambda x, a, b: x),
    "brackets are missing around x - min, that is x - a: division goes first": mapped(lambda x, a, b: x - a / (b - a)),
    "brackets are missing around the width: write / (b - a)": mapped(lambda x, a, b: (x - a) / b - a),
    "it divides by the end b, not by the width b - a of the range": mapped(lambda x, a, b: (x - a) / b),
    "feature_range is ignored": mapped(lambda x, a, b: (x + 1) / 2),
    "this is scale itself, not its inverse": mapped(lambda x, a, b: x * (b - a) + a),
    "this is scale of the negative range: the inverse subtracts, then divides": mapped(lambda x, a, b: x * (b - a) - a),
    "the minimum is not subtracted: x - a": mapped(lambda x, a, b: x / (b - a)),
    "the minimum is subtracted after the division: x - a goes first": mapped(lambda x, a, b: x / (b - a) - a),
    "the minimum is added after the division, expected subtracted before it": mapped(lambda x, a, b: x / (b - a) + a),
    "the minimum is added, expected subtracted": mapped(lambda x, a, b: (x + a) / (b - a)),
    "the maximum is subtracted, expected the minimum: a has to become 0": mapped(lambda x, a, b: (x - b) / (b - a)),
    "the difference is not divided by the width b - a": mapped(lambda x, a, b: x - a),
    "the difference is multiplied with the width b - a, expected divided by it": mapped(lambda x, a, b: (x - a) * (b - a)),
    "the width is b - a, not |a| + |b|": mapped(lambda x, a, b: (x - a) / (abs(a) + abs(b))),
    "// rounds down, expected the division /": mapped(lambda x, a, b: (x - a) // (b - a)),
    "it ends in 0..255, expected [0, 1]": mapped(lambda x, a, b: (x - a) / (b - a) * 255),
    "it is upside down: the end a has to become 0": mapped(lambda x, a, b: (b - x) / (b - a)),
    "it clamps; it has to shrink the range": mapped(lambda x, a, b: x.clamp(0, 1)),
}

EXERCISE = Exercise(
    component="unscale",
    chapter=1,
    place=2,
    minutes=5,
    difficulty=1,
    task="And back to [0, 1], to look at them.",
    verified="values in 8 ranges, inverse of scale, argument untouched",
    reference=unscale,
    cases=lambda g: range_cases(g, lambda share, a, b: scale(share, (a, b))),
    judge=judge_map,
    call=call_of("unscale"),
    rule="expected (x - a) / (b - a): try the two ends and the middle of the range by hand",
    mistakes=MISTAKES,
    refused=[
        ("expected its width", mapped(lambda x, a, b: (x - a) / (b + a))),
        ("changed x in place", mapped(lambda x, a, b: x.sub_(a).div_(b - a))),
        ("no rounding, no conversion", mapped(lambda x, a, b: ((x - a) / (b - a)).double())),
        ("is None: is the return statement missing", mapped(lambda x, a, b: None)),
    ],
    hints=HINTS,
    tolerance=1e-4,
)
