"""scale(x, feature_range=(-1, 1)): from [0, 1] to any range, the same map for every batch."""

from __future__ import annotations

from exercises.base import Exercise
from exercises.ranges import HINTS, call_of, judge_map, mapped, range_cases
from facegen.data import scale

MISTAKES = {
    "it took the minimum and maximum of this batch; 0 and 1 are the ends of x, whatever the batch holds": mapped(
        lambda x, a, b: (x - x.min()) / (x.max() - x.min()) * (b - a) + a
    ),
    "it took mean and standard deviation of this batch, which has no say: only feature_range counts": mapped(
        lambda x, a, b: (x - x.mean()) / x.std()
    ),
    "it divides by the largest value of this batch, which has no say: only feature_range counts": mapped(
        lambda x, a, b: x / x.max() * (b - a) + a
    ),
    "x came back as it was": mapped(lambda x, a, b: x),
    "it clamps x, which cuts off what lies outside of the range, expected x stretched over it": mapped(
        lambda x, a, b: x.clamp(a, b)
    ),
    "feature_range is ignored": mapped(lambda x, a, b: x * 2 - 1),
    "it multiplies with the maximum, not with the width max - min of the range": mapped(lambda x, a, b: x * b + a),
    "the minimum is not added": mapped(lambda x, a, b: x * (b - a)),
    "the minimum is subtracted, expected added": mapped(lambda x, a, b: x * (b - a) - a),
    "the minimum is added before the product: multiply first": mapped(lambda x, a, b: (x + a) * (b - a)),
    "the minimum is subtracted before the product, as in unscale: here it is added after it": mapped(
        lambda x, a, b: (x - a) * (b - a)
    ),
    "the width is max - min, not max + min": mapped(lambda x, a, b: x * (b + a) + a),
    "the width is max - min, not |max| + |min|": mapped(lambda x, a, b: x * (abs(b) + abs(a)) + a),
    "the result is spread around 0, expected from the minimum on: x * (max - min) + min": mapped(
        lambda x, a, b: (x - 0.5) * (b - a)
    ),
    "it takes the range for [-max, max]: the minimum has a say of its own": mapped(lambda x, a, b: (2 * x - 1) * b),
    "brackets are missing around max - min: x * max goes first": mapped(lambda x, a, b: x * b - a + a),
    "it divides by 255, but x is in [0, 1] already": mapped(lambda x, a, b: x / 255 * (b - a) + a),
    "it is upside down: 0 has to become the minimum": mapped(lambda x, a, b: b - x * (b - a)),
    "this is the inverse, unscale": mapped(lambda x, a, b: (x - a) / (b - a)),
    "it rounds to whole numbers, expected what the product gives": mapped(lambda x, a, b: (x * (b - a) + a).round()),
}

EXERCISE = Exercise(
    component="scale",
    chapter=1,
    place=1,
    minutes=5,
    difficulty=1,
    task="Pixels from [0, 1] into the range of the generator.",
    verified="values in 8 ranges, shape and dtype kept, x untouched",
    reference=scale,
    cases=lambda g: range_cases(g, lambda share, a, b: share),
    judge=judge_map,
    call=call_of("scale"),
    rule="expected x * (max - min) + min: try the two ends and the middle of the range by hand",
    mistakes=MISTAKES,
    refused=[
        ("changed x in place", mapped(lambda x, a, b: x.mul_(b - a).add_(a))),
        ("no rounding, no conversion", mapped(lambda x, a, b: (x * (b - a) + a).long())),
        ("is a list, expected a tensor", mapped(lambda x, a, b: (x * (b - a) + a).tolist())),
    ],
    hints=HINTS,
    tolerance=1e-4,
)
