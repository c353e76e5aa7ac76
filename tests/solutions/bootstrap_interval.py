"""bootstrap_interval(statistic, sample, level=0.95, draws=1000, seed=0): more wrong solutions, and other right ones."""

import random

import numpy as np
import torch

from exercises.evaluation.bootstrap_interval import right, solution, tails


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
    return values.double().quantile(torch.tensor(tails(level), dtype=torch.float64))


def by_weights(statistic, sample, level=0.95, draws=1000, seed=0):
    g, weights = torch.Generator().manual_seed(seed), torch.ones(len(sample))
    values = np.empty(draws)
    for i in range(draws):
        values[i] = statistic(sample.index_select(0, torch.multinomial(weights, len(sample), replacement=True, generator=g)))
    return [np.quantile(values, (1 - level) / 2, method="higher"), np.quantile(values, (1 + level) / 2, method="lower")]


def with_the_state_kept(statistic, sample, level=0.95, draws=1000, seed=0):
    """The global generator, in a room of its own."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        values = [statistic(sample[(torch.rand(len(sample)) * len(sample)).long()]) for _ in range(draws)]
    return tuple(np.quantile(values, tails(level)))


def global_numpy_seed(statistic, sample, level=0.95, draws=1000, seed=0):
    np.random.seed(seed)
    n = len(sample)
    return tuple(np.quantile([statistic(sample[np.random.randint(0, n, n)]) for _ in range(draws)], tails(level)))


def shuffled_in_place(statistic, sample, level=0.95, draws=1000, seed=0):
    g, values = torch.Generator().manual_seed(seed), []
    for _ in range(draws):
        sample.copy_(sample[torch.randint(len(sample), (len(sample),), generator=g)])
        values.append(statistic(sample))
    return tuple(np.quantile(values, tails(level)))


def all_at_once(statistic, sample, level=0.95, draws=1000, seed=0):
    rows = torch.randint(len(sample), (draws, len(sample)), generator=torch.Generator().manual_seed(seed))
    return tuple(np.quantile(np.atleast_1d(statistic(sample[rows])), tails(level)))


def never_asked(statistic, sample, level=0.95, draws=1000, seed=0):
    g = torch.Generator().manual_seed(seed)
    means = [float(sample[torch.randint(len(sample), (len(sample),), generator=g), 0].mean()) for _ in range(draws)]
    return tuple(np.quantile(means, tails(level)))


def one_permutation(n, g):
    """Nearly all rows once."""
    return torch.cat([torch.randperm(n, generator=g)[: n - 1], torch.randint(n, (1,), generator=g)])


RIGHT = [
    ("torch", right),
    ("numpy", by_numpy),
    ("sorted", by_sorting),
    ("choices", by_choices),
    ("multinomial", by_weights),
    ("a forked state", with_the_state_kept),
    ("arrays", solution(take=lambda sample, rows: sample.numpy()[rows])),
]


def in_place(statistic, sample, level=0.95, draws=1000, seed=0):
    sample -= sample.mean(0)
    return right(statistic, sample, level, draws, seed)


WRONG = [
    ("in place", in_place, "changed the sample in place"),
    ("one row", solution(rows=lambda n, g: int(torch.randint(n, (), generator=g))), "one row at a time is no sample"),
    ("first row never", solution(rows=lambda n, g: torch.randint(1, n, (n,), generator=g)), "the first row is never drawn"),
    ("noise", solution(take=lambda sample, rows: sample + 0.1 * sample[rows]), "rows that are not in the sample"),
    ("never drawn", solution(take=lambda sample, rows: sample), "always saw the sample itself"),
    ("numbers", solution(take=lambda sample, rows: sample[rows, 0]), "whole rows, not numbers"),
    ("row numbers", solution(take=lambda sample, rows: rows.tolist()), "given a list, expected rows of the sample"),
    ("always 100", lambda s, x, level=0.95, draws=1000, seed=0: right(s, x, level, 100, seed), "expected draws=1000"),
    ("one number", lambda *a, **named: right(*a, **named)[0], "expected two numbers: return low, high"),
    ("global numpy seed", global_numpy_seed, "changed the global random state of np.random"),
    ("shuffled in place", shuffled_in_place, "changed the sample in place"),
    ("all at once", all_at_once, "call it once for each draw"),
    ("never asked", never_asked, "the statistic was never called"),
    ("no return", lambda *a, **named: None, "return statement missing"),
    ("too many rows", solution(rows=lambda n, g: torch.randint(n, (2 * n,), generator=g)), "as many rows as"),
    ("hardly any twice", solution(rows=one_permutation), "hardly any row comes twice"),
    ("favourites", solution(rows=lambda n, g: (torch.rand(n, generator=g) ** 2 * n).long()), "times as often as others"),
    ("low is the value", solution(lambda v, level, s, x: (s(x), np.quantile(v, tails(level)[1]))), "expected the quantiles"),
    ("tails of 2 (1 - level)", solution(lambda v, level, s, x: np.quantile(v, [0, level])), "the lower end is missing"),
]
