"""bootstrap_interval(statistic, sample, level=0.95, draws=1000, seed=0): wrong and right solutions."""

import random
from statistics import NormalDist

import numpy as np
import torch


def rows_of(n, g):
    return torch.randint(n, (n,), generator=g)


def percentiles(values, level, **given):
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2])


def solution(rows=rows_of, ends=percentiles, take=lambda sample, rows: sample[rows]):
    """With another way to draw row numbers, to find the interval's ends, or to take the rows."""

    def bootstrap_interval(statistic, sample, level=0.95, draws=1000, seed=0):
        g = torch.Generator().manual_seed(seed)
        values = [statistic(take(sample, rows(len(sample), g))) for _ in range(draws)]
        low, high = ends(values, level, statistic=statistic, sample=sample)
        return float(low), float(high)

    return bootstrap_interval


right = solution()


def z_of(level):
    return NormalDist().inv_cdf((1 + level) / 2)


def mirrored(values, level, statistic, sample):
    low, high = percentiles(values, level)
    return 2 * statistic(sample) - high, 2 * statistic(sample) - low


def symmetric(values, level, statistic, sample):
    half = z_of(level) * np.std(values, ddof=1)
    return statistic(sample) - half, statistic(sample) + half


def symmetric_about_the_mean(values, level, **given):
    half = z_of(level) * np.std(values, ddof=1)
    return np.mean(values) - half, np.mean(values) + half


def by_the_data(values, level, statistic, sample):
    half = z_of(level) * float(sample[:, 0].std())
    return statistic(sample) - half, statistic(sample) + half


def standard_error(values, level, statistic, sample):
    half = z_of(level) * float(sample[:, 0].std()) / len(sample) ** 0.5
    return statistic(sample) - half, statistic(sample) + half


def over_draws(values, level, **given):
    half = z_of(level) * np.std(values, ddof=1) / len(values) ** 0.5
    return np.mean(values) - half, np.mean(values) + half


def of_the_data(values, level, statistic, sample):
    return percentiles(sample[:, 0].numpy(), level)


def not_sorted(values, level, **given):
    tail = (1 - level) / 2
    return values[int(tail * len(values))], values[int((1 - tail) * len(values))]


def global_seed(statistic, sample, level=0.95, draws=1000, seed=0):
    torch.manual_seed(seed)
    n = len(sample)
    return tuple(percentiles([statistic(sample[torch.randint(n, (n,))]) for _ in range(draws)], level))


def global_numpy_seed(statistic, sample, level=0.95, draws=1000, seed=0):
    np.random.seed(seed)
    n = len(sample)
    return tuple(percentiles([statistic(sample[np.random.randint(0, n, n)]) for _ in range(draws)], level))


def no_seed(statistic, sample, level=0.95, draws=1000, seed=0):
    n = len(sample)
    return tuple(percentiles([statistic(sample[torch.randint(n, (n,))]) for _ in range(draws)], level))


def always_seed_0(statistic, sample, level=0.95, draws=1000, seed=0):
    return right(statistic, sample, level, draws, 0)


def seeded_in_each(statistic, sample, level=0.95, draws=1000, seed=0):
    n = len(sample)
    values = [statistic(sample[rows_of(n, torch.Generator().manual_seed(seed))]) for _ in range(draws)]
    return tuple(percentiles(values, level))


def always_100(statistic, sample, level=0.95, draws=1000, seed=0):
    return right(statistic, sample, level, 100, seed)


def columns_apart(sample, rows):
    return torch.stack([column[rows.roll(i)] for i, column in enumerate(sample.T)], dim=1)


def never_drawn(statistic, sample, level=0.95, draws=1000, seed=0):
    return tuple(percentiles([statistic(sample) for _ in range(draws)], level))


def shuffled_in_place(statistic, sample, level=0.95, draws=1000, seed=0):
    g, values = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        sample.copy_(sample[rows_of(len(sample), g)])
        values.append(statistic(sample))
    return tuple(percentiles(values, level))


def all_at_once(statistic, sample, level=0.95, draws=1000, seed=0):
    rows = torch.randint(len(sample), (draws, len(sample)), generator=torch.Generator().manual_seed(seed))
    return tuple(percentiles(np.atleast_1d(statistic(sample[rows])), level))


def one_number(statistic, sample, level=0.95, draws=1000, seed=0):
    low, high = right(statistic, sample, level, draws, seed)
    return high - low


def nothing(statistic, sample, level=0.95, draws=1000, seed=0):
    right(statistic, sample, level, draws, seed)


WRONG = [
    ("permuted", solution(lambda n, g: torch.randperm(n, generator=g)), "drawn without replacement"),
    ("halves", solution(lambda n, g: torch.randperm(n, generator=g)[: n // 2]), "as many rows as the sample has"),
    ("more rows", solution(lambda n, g: torch.randint(n, (2 * n,), generator=g)), "as many rows as the sample has"),
    ("one row", solution(lambda n, g: int(torch.randint(n, (), generator=g))), "one row at a time is no sample"),
    ("last row never", solution(lambda n, g: torch.randint(n - 1, (n,), generator=g)), "the last row is never drawn"),
    ("first row never", solution(lambda n, g: torch.randint(1, n, (n,), generator=g)), "the first row is never drawn"),
    ("columns apart", solution(take=columns_apart), "columns are drawn apart from each other"),
    ("noise", solution(take=lambda sample, rows: sample + 0.1 * sample[rows]), "rows that are not in the sample"),
    ("never drawn", never_drawn, "the statistic always saw the sample itself"),
    ("seeded in each draw", seeded_in_each, "the generator begins anew"),
    ("always 100", always_100, "expected draws=1000"),
    ("all at once", all_at_once, "call it once for each draw"),
    ("in place", shuffled_in_place, "it changed the sample in place"),
    ("global seed", global_seed, "changed the global random state of torch"),
    ("global numpy seed", global_numpy_seed, "changed the global random state of np.random"),
    ("no seed", no_seed, "the same seed gave two intervals"),
    ("seed 0", always_seed_0, "seed is not used"),
    ("swapped", solution(ends=lambda values, level, **given: percentiles(values, level)[::-1]), "the ends changed places"),
    ("level not halved", solution(ends=lambda v, level, **given: np.quantile(v, [1 - level, level])), "leaves out 1 - level"),
    ("one-sided", solution(ends=lambda v, level, **given: (min(v), np.quantile(v, level))), "the lower end is missing"),
    ("extremes", solution(ends=lambda v, level, **given: (min(v), max(v))), "the smallest and the largest value"),
    (
        "np.percentile",
        solution(ends=lambda v, level, **given: np.percentile(v, [(1 - level) / 2, (1 + level) / 2])),
        "np.percentile counts to 100",
    ),
    ("level ignored", solution(ends=lambda v, level, **given: np.quantile(v, [0.025, 0.975])), "level is not used"),
    ("mirrored", solution(ends=mirrored), "this is the mirrored interval"),
    ("symmetric", solution(ends=symmetric), "this is value - z std, value + z std"),
    ("about the mean", solution(ends=symmetric_about_the_mean), "this is mean - z std, mean + z std"),
    ("std of the data", solution(ends=by_the_data), "this is the spread of the sample"),
    ("standard error", solution(ends=standard_error), "this is z std / sqrt(n) of the sample"),
    ("over draws", solution(ends=over_draws), "divided by sqrt(draws)"),
    ("quantiles of the data", solution(ends=of_the_data), "these are quantiles of the sample"),
    ("not sorted", solution(ends=not_sorted), "the values are not sorted"),
    ("one number", one_number, "expected two numbers"),
    ("no return", nothing, "return statement missing"),
]


def by_numpy(statistic, sample, level=0.95, draws=1000, seed=0):
    g = np.random.default_rng(seed)
    values = [statistic(sample[g.integers(0, len(sample), len(sample))]) for _ in range(draws)]
    return tuple(np.percentile(values, [50 * (1 - level), 50 * (1 + level)]))


def by_sorting(statistic, sample, level=0.95, draws=1000, seed=0):
    """The values picked from the sorted list, the statistic of all rows looked at as well."""
    statistic(sample)
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, len(sample), (draws, len(sample)), generator=g)
    values = sorted(float(statistic(sample[row])) for row in rows)
    tail = (1 - level) / 2
    return values[int(tail * draws)], values[int((1 - tail) * draws) - 1]


def by_choices(statistic, sample, level=0.95, draws=1000, seed=0):
    g = random.Random(seed)
    values = torch.tensor([statistic(torch.stack(g.choices(list(sample), k=len(sample)))) for _ in range(draws)])
    return values.double().quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64))


def by_weights(statistic, sample, level=0.95, draws=1000, seed=0):
    g, weights = torch.Generator().manual_seed(seed), torch.ones(len(sample))
    values = np.empty(draws)
    for i in range(draws):
        values[i] = statistic(sample.index_select(0, torch.multinomial(weights, len(sample), replacement=True, generator=g)))
    return [np.quantile(values, (1 - level) / 2, method="higher"), np.quantile(values, (1 + level) / 2, method="lower")]


RIGHT = [("torch", right), ("numpy", by_numpy), ("sorted", by_sorting), ("choices", by_choices), ("multinomial", by_weights)]
