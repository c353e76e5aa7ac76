"""bootstrap_interval(statistic, sample, level=0.95, draws=1000, seed=0): percentiles over rows that are drawn again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exercises.base import Exercise
from exercises.judging import kind_of, require, two_numbers, untouched
from exercises.probing import Answer, Case, called, equal, plain

OWN = "draw with a generator of your own, torch.Generator().manual_seed(seed) or np.random.default_rng(seed)"

ONE_ROW = "one row at a time is no sample"


def cases(g: torch.Generator) -> list[Case]:
    """`values` are what the statistic gives one draw after the other, and `whole` of the sample itself; both are skewed."""
    found = []
    for n, d, *options in ((12, 2), (9, 3, 0.8, 300, 4), (15, 1, 0.5, 200, 7), (8, 2, 0.9, 250, 1)):
        sample = (1.2 * torch.randn(n, d, generator=g)).exp() + torch.arange(d)
        level, draws, _ = options or (0.95, 1000, 0)
        values = torch.randn(draws, generator=g, dtype=torch.float64).div(2).exp() + 1
        found.append({"sample": sample, "level": level, "values": values, "whole": 1.9, "options": options})
    return found


class Scripted:
    """A statistic that gives the case's values one after the other, and keeps what it is given."""

    def __init__(self, case: Case) -> None:
        self.sample, self.values, self.whole = case["sample"].double(), case["values"].tolist(), case["whole"]
        self.given: list[Any] = []
        self.drawn = -1

    def __call__(self, rows: Any) -> float:
        rows = torch.from_numpy(rows.copy()) if isinstance(rows, np.ndarray) else rows
        self.given.append(plain(rows))
        if isinstance(rows, Tensor) and torch.equal(rows.double(), self.sample):
            return self.whole
        self.drawn += 1
        return self.values[self.drawn % len(self.values)]


def next_numbers(between: Callable[[], Any] = int) -> tuple[Any, list[float]]:
    """What a function returns, and what the global random states give after it."""
    torch.default_generator.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    return between(), [float(torch.rand(())), float(np.random.rand()), random.random()]


def probe(component: Callable, case: Case) -> Answer:
    whole, *seeds = [Scripted(case) for _ in range(4)]
    answer, after = next_numbers(lambda: called(lambda x: component(whole, x, *case["options"]), case["sample"].clone()))
    for statistic, seed in zip(seeds, (3, 3, 8)):
        component(statistic, case["sample"].clone(), 0.9, 40, seed)
    return {**answer, "given": whole.given[:3000], "after": after, "seeds": [statistic.given for statistic in seeds]}


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "the sample")
    ends = two_numbers(answer["value"], "low", "high")
    drawn_rightly(case["sample"].double(), answer["given"], len(case["values"]))
    first, second, other = answer["seeds"]
    require(equal(first, second), f"the same seed drew other rows: {OWN}")
    for name, after, alone in zip(("torch", "np.random", "random"), answer["after"], next_numbers()[1], strict=True):
        require(after == alone, f"it changed the global random state of {name}: {OWN}")
    require(not equal(first, other), f"two seeds drew the same rows: seed is not used, {OWN}")
    return {"": torch.stack([counted(end, case["values"], share) for end, share in zip(ends, tails(case["level"]))])}


def tails(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def counted(end: Tensor, values: Tensor, share: float) -> Tensor:
    """The quantile of values, if an end is that by any way of counting; else the end."""
    ordered, at = values.sort().values, int(share * (len(values) - 1))
    low, high = ordered[max(0, at - 1)], ordered[min(len(values) - 1, at + 2)]
    return values.quantile(share) if low - 1e-6 <= end <= high + 1e-6 else end


def drawn_rightly(sample: Tensor, given: list[Any], draws: int) -> None:
    """Refuse a component unless each draw was n rows of the sample, with replacement."""
    n, d = sample.shape
    require(given, "the statistic was never called: call it on rows drawn from the sample")
    bad = next((rows for rows in given if not isinstance(rows, Tensor) or rows.shape != (n, d)), given[0])
    require(isinstance(bad, Tensor), f"the statistic was given a {kind_of(bad)}, expected rows of the sample, as they are")
    hints = {(n,): "whole rows, not numbers", (draws, n, d): "call it once for each draw", (d,): ONE_ROW, (1, d): ONE_ROW}
    hint = hints.get(tuple(bad.shape), "as many rows as the sample has")
    require(bad.shape == (n, d), f"the statistic was given {list(bad.shape)}, expected {[n, d]} in each draw: {hint}")
    drawn = torch.stack(given).double()
    match = drawn[:, :, None, 0] == sample[:, 0]  # [calls, n, n]
    place = match.double().argmax(2)
    whole = "draw row numbers, and take sample[rows] as it is"
    if all(torch.isin(drawn[..., j], sample[:, j]).all() for j in range(d)):
        whole = "columns are drawn apart from each other, a row has to stay whole"
    inside = match.any(2).all() and torch.equal(sample[place], drawn)
    require(inside, f"the statistic was given rows that are not in the sample: {whole}")
    order = torch.arange(n)
    place = place[(place != order).any(1)]  # the sample itself may be looked at as well
    require(len(place), "the statistic always saw the sample itself: nothing is drawn")
    permuted = torch.equal(place.sort(1).values, order.expand_as(place))
    require(not permuted, "rows are drawn without replacement: each draw is the whole sample again, in another order")
    again = "the generator begins anew with the same seed in each: make it once, before the loop"
    require(len(place.unique(dim=0)) > 1 or len(place) < 5, f"all draws are the same: {again}")
    require(len(place) == draws, f"the statistic was called on {len(place)} drawn samples, expected draws={draws}")
    counts = torch.bincount(place.flatten(), minlength=n)
    require(counts[0] > 0, "the first row is never drawn: row numbers begin at 0")
    require(counts[-1] > 0, "the last row is never drawn: randint leaves out its upper end, which has to be n")
    often = f"{float(counts.max() / counts.min()):.1f} times as often as others: all are equally likely"
    require((counts / draws - 1).abs().max() < 0.35, f"some rows are drawn {often}")
    twice = (place.sort(1).values.diff(dim=1) == 0).double().mean()
    require(twice > 0.15, "hardly any row comes twice in a draw: each row is drawn from all of them, with replacement")


# -- mistakes


def solution(
    ends: Callable = lambda v, level, statistic, sample: np.quantile(v, tails(level)),
    rows: Callable = lambda n, g: torch.randint(n, (n,), generator=g),
    take: Callable = lambda sample, rows: sample[rows],
    generator: Callable = lambda seed: torch.Generator().manual_seed(seed),
) -> Callable:
    """With another way to find the interval's ends, to draw row numbers, to take the rows, or to make a generator."""

    def wrong(
        statistic: Callable, sample: Tensor, level: float = 0.95, draws: int = 1000, seed: int = 0
    ) -> tuple[float, float]:
        g = generator(seed)
        values = [statistic(take(sample, rows(len(sample), g))) for _ in range(draws)]
        low, high = ends(values, level, statistic, sample)
        return float(low), float(high)

    return wrong


right = solution()


def around(middle: Callable, spread: Callable, z: Callable = lambda level: NormalDist().inv_cdf((1 + level) / 2)) -> Callable:
    """middle -+ z spread, of the values and the sample's first column."""

    def ends(values: Sequence[float], level: float, statistic: Callable, sample: Tensor) -> tuple[float, float]:
        drawn, column = np.array(values), sample[:, 0].double().numpy()
        centre = statistic(sample) if middle is None else middle(drawn)
        half = z(level) * spread(drawn, column)
        return centre - half, centre + half

    return solution(ends)


def ends(change: Callable) -> Callable:
    """With other ends, of the values and level."""
    return solution(lambda values, level, statistic, sample: change(np.array(values), level))


def std(x: np.ndarray) -> float:
    return x.std(ddof=1)


MISTAKES = {
    "the ends changed places: low comes first": ends(lambda v, level: np.quantile(v, tails(level)[::-1])),
    "each end leaves out 1 - level, expected half of that": ends(lambda v, level: np.quantile(v, [1 - level, level])),
    "the lower end is missing: both sides lose (1 - level) / 2": ends(lambda v, level: (v.min(), np.quantile(v, level))),
    "these are the smallest and the largest value": ends(lambda v, level: (v.min(), v.max())),
    "np.percentile counts to 100: multiply by 100, or take np.quantile": ends(lambda v, level: np.percentile(v, tails(level))),
    "level is not used, it is 0.95 whatever is asked": ends(lambda v, level: np.quantile(v, tails(0.95))),
    "level is not used, it is 0.9 whatever is asked": ends(lambda v, level: np.quantile(v, tails(0.9))),
    "the values are not sorted before two are picked": ends(
        lambda v, level: v[[int(share * len(v)) for share in tails(level)]]
    ),
    "this is the mirrored interval, 2 * value - quantile, expected the quantiles themselves": solution(
        lambda v, level, s, x: 2 * s(x) - np.quantile(v, tails(level)[::-1])
    ),
    "this is value - z std, value + z std, expected quantiles: the spread is not symmetric": around(None, lambda v, x: std(v)),
    "this is mean - z std, mean + z std, expected quantiles: the spread is not symmetric": around(np.mean, lambda v, x: std(v)),
    "this is the spread of the sample, expected that of the statistic's values": around(None, lambda v, x: std(x)),
    "this is z std / sqrt(n) of the sample, expected quantiles of the values": around(
        None, lambda v, x: std(x) / len(x) ** 0.5
    ),
    "the spread of the values is divided by sqrt(draws), needlessly": around(np.mean, lambda v, x: std(v) / len(v) ** 0.5),
    "these are quantiles of the sample, expected of values": solution(
        lambda v, level, s, x: np.quantile(x[:, 0], tails(level))
    ),
}

EXERCISE = Exercise(
    component="bootstrap_interval",
    chapter=6,
    place=4,
    minutes=20,
    difficulty=2,
    task="The bootstrap: how much would a number change with other pictures from the same source?",
    verified="what is drawn, percentiles at 4 levels, seeds, random states left alone",
    reference=right,
    cases=cases,
    probe=probe,
    judge=judge,
    call=lambda case: f"the interval at level {case['level']} of {len(case['values'])} draws",
    rule="expected the quantiles (1 - level) / 2 and (1 + level) / 2 of the statistic's values",
    mistakes=MISTAKES,
    refused=[
        ("drawn without replacement", solution(rows=lambda n, g: torch.randperm(n, generator=g))),
        ("as many rows as the sample has", solution(rows=lambda n, g: torch.randperm(n, generator=g)[: n // 2])),
        ("the last row is never drawn", solution(rows=lambda n, g: torch.randint(n - 1, (n,), generator=g))),
        (
            "columns are drawn apart",
            solution(take=lambda x, rows: torch.stack([c[rows.roll(i)] for i, c in enumerate(x.T)], 1)),
        ),
        ("the generator begins anew", solution(rows=lambda n, g: torch.randint(n, (n,), generator=g.manual_seed(1)))),
        ("the global random state of torch", solution(generator=torch.manual_seed)),
        ("the same seed drew other rows", solution(generator=lambda seed: None)),
        ("seed is not used", solution(generator=lambda seed: torch.Generator().manual_seed(0))),
    ],
    tolerance=2e-3,
)
