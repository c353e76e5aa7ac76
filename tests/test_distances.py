"""Distances between feature arrays: closed forms, definitions written out, and how often the intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facegen.evaluation import distances
from facegen.evaluation.distances import (
    bootstrap_interval,
    density_coverage,
    frechet_distance,
    frechet_from_moments,
    inception_score,
    kid,
    moments,
    precision_recall,
    wilson_interval,
)
from facegen.files import InputError


def normal(n, d, seed=0, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(size=(n, d)) * scale + shift


@pytest.fixture(params=[1 << 22, 64], ids=["whole", "in blocks"])
def block(request, monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", request.param)


# ------------------------------------------------------------------------------------------------------------- Frechet


def test_two_gaussians_have_the_distance_of_the_formula():
    s1, s2 = np.array([4.0, 1.0, 0.0, 9.0]), np.array([1.0, 0.25, 2.0, 0.0])
    expected = 2.0**2 + ((np.sqrt(s1) - np.sqrt(s2)) ** 2).sum()
    turn = np.linalg.qr(normal(4, 4, 3))[0]
    for q in (np.eye(4), turn):  # singular covariances too, and not along the axes
        found = frechet_from_moments(q @ [1, 0, 0, 0], q @ np.diag(s1) @ q.T, q @ [-1, 0, 0, 0], q @ np.diag(s2) @ q.T)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n, m, d", [(200, 150, 6), (30, 20, 64), (200, 20, 64), (20, 200, 64), (64, 64, 64), (2, 2, 5)])
def test_frechet_is_its_definition_for_every_rank(n, m, d):
    x, y = normal(n, d), normal(m, d, 1, 0.3, 1.4)
    c1, c2 = np.cov(x.T), np.cov(y.T)
    # the trace of (S1 S2)^(1/2) as the singular values of a product of roots, made by another decomposition than ours
    root = [np.linalg.svd((v - v.mean(0)) / math.sqrt(len(v) - 1), full_matrices=False) for v in (x, y)]
    common = np.linalg.svd((root[0][1][:, None] * root[0][2]) @ (root[1][1][:, None] * root[1][2]).T, compute_uv=False).sum()
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * common
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_from_moments(x.mean(0), c1, y.mean(0), c2) == pytest.approx(expected, rel=1e-7)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)
    assert 0 <= frechet_distance(x, x) < 1e-9


def test_frechet_does_not_change_when_both_sets_are_moved_or_turned():
    x, y = normal(80, 10), normal(70, 10, 1, 0.5)
    turn = np.linalg.qr(normal(10, 10, 2))[0]
    assert frechet_distance(x @ turn + 1000, y @ turn + 1000) == pytest.approx(frechet_distance(x, y), rel=1e-9)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * frechet_distance(x, y), rel=1e-9)


def test_moments_are_those_of_a_sample():
    x = normal(50, 4)
    mean, cov = moments(x)
    np.testing.assert_allclose(mean, x.mean(0))
    np.testing.assert_allclose(cov, np.cov(x.T), atol=1e-14)


def test_a_matrix_that_is_no_covariance_is_refused():
    good = np.eye(3)
    with pytest.raises(InputError, match="cov1 is no covariance: it has an eigenvalue of -1"):
        frechet_from_moments(np.zeros(3), np.diag([1.0, 1.0, -1.0]), np.zeros(3), good)
    with pytest.raises(InputError, match=r"cov2 has shape \[2, 2\] beside means of 3 values"):
        frechet_from_moments(np.zeros(3), good, np.zeros(3), np.eye(2))
    with pytest.raises(InputError, match="the means have 3 and 4 values"):
        frechet_from_moments(np.zeros(3), good, np.zeros(4), good)
    with pytest.raises(InputError, match="not finite"):
        frechet_from_moments(np.zeros(3), good * math.nan, np.zeros(3), good)


# ------------------------------------------------------------------------------------------------------------------ KID


def by_hand(x, y):
    """Equation 3 of Gretton and others 2012, pair by pair."""

    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def cubic(a, b):
    """Mean of the kernel over independent a ~ N(a, 1) and b ~ N(b, 1): moments of a normal distribution up to the third."""
    d, ab, lengths = len(a), a @ b, a @ a + b @ b
    first, second = ab, d + lengths + ab**2
    third = ab**3 + 3 * ab * lengths + 3 * (d + 2) * ab
    return third / d**3 + 3 * second / d**2 + 3 * first / d + 1


def true_kid(mean_x, mean_y):
    return cubic(mean_x, mean_x) + cubic(mean_y, mean_y) - 2 * cubic(mean_x, mean_y)


def test_kid_is_the_unbiased_sum_over_pairs(block):
    x, y = normal(17, 5), normal(11, 5, 1, 0.4)
    assert kid(x, y) == pytest.approx(by_hand(x, y), rel=1e-12)
    assert kid(y, x) == pytest.approx(kid(x, y), rel=1e-12)


def test_kid_has_the_true_distance_as_its_mean_however_few_rows():
    a, b = np.zeros(4), np.ones(4)
    draws = [kid(normal(6, 4, i), normal(5, 4, 10_000 + i, 1.0)) for i in range(500)]
    error = np.std(draws) / math.sqrt(len(draws))
    assert abs(np.mean(draws) - true_kid(a, b)) < 3 * error
    assert error < 0.1 * true_kid(a, b)  # else the line above says nothing


# -------------------------------------------------------------------------------------------------- nearest neighbours


def radius(points, i, k):
    return sorted(np.linalg.norm(points[i] - points[j]) for j in range(len(points)) if j != i)[k - 1]


def inside(point, centres, k):
    return [np.linalg.norm(point - centre) <= radius(centres, i, k) for i, centre in enumerate(centres)]


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_ask_who_lies_in_whose_balls(block, k):
    real, fake = normal(23, 2), normal(19, 2, 1, 0.9, 0.7)
    precision = np.mean([any(inside(point, real, k)) for point in fake])
    recall = np.mean([any(inside(point, fake, k)) for point in real])
    assert precision_recall(real, fake, k) == (precision, recall)
    assert precision != recall
    assert precision_recall(fake, real, k) == (recall, precision)


@pytest.mark.parametrize("k", [1, 5])
def test_density_and_coverage_count_the_reals_balls(block, k):
    real, fake = normal(23, 2), normal(19, 2, 1, 0.9, 0.7)
    table = np.array([inside(point, real, k) for point in fake])  # [fake, real]
    assert density_coverage(real, fake, k) == pytest.approx((table.sum() / (k * len(fake)), table.any(0).mean()))


def test_fakes_like_the_reals_have_the_expected_density_and_coverage():
    n, m, k = 60, 50, 3
    found = np.mean([density_coverage(normal(n, 3, i), normal(m, 3, 5000 + i), k) for i in range(60)], axis=0)
    expected = 1 - np.prod([(n - i) / (n + m - i) for i in range(1, k + 1)])
    assert found == pytest.approx([1, expected], abs=0.03)


def test_the_extremes():
    real = normal(60, 4)
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 100) == (0, 0)
    assert density_coverage(real, real + 100) == (0, 0)
    collapsed = np.repeat(real[:1], 60, axis=0)
    precision, recall = precision_recall(real, collapsed)
    assert precision == 1 and recall == 1 / 60  # its balls have no size: only the one picture itself lies in them
    assert density_coverage(real, collapsed)[1] < 0.5


@pytest.mark.parametrize("far", [1e3, 1e5])
def test_features_far_from_zero_lose_no_digits(far):
    real, fake = normal(60, 4), normal(50, 4, 1, 0.5)
    assert precision_recall(real + far, fake + far) == precision_recall(real, fake)
    copies = np.repeat(real[:6], 10, axis=0) + far
    assert precision_recall(copies, copies) == (1, 1)  # rows that are equal stay equal


# ------------------------------------------------------------------------------------------------------ Inception score


def test_inception_score_of_the_two_extremes():
    sure = np.eye(7).repeat(20, axis=0) * 100
    assert inception_score(sure, 1) == (pytest.approx(7), 0)
    assert inception_score(np.zeros((40, 7)), 4) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


def test_inception_score_is_the_mean_over_parts_and_sorted_rows_do_no_harm():
    logits = normal(60, 5, scale=2)

    def score(rows):
        p = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        return np.exp((p * np.log(p / p.mean(0))).sum(1).mean())

    parts = [score(logits[i * 15 : (i + 1) * 15]) for i in range(4)]
    assert inception_score(logits, 4, seed=None) == pytest.approx((np.mean(parts), np.std(parts)))
    by_class = np.eye(6).repeat(20, axis=0) * 9
    assert inception_score(by_class, 6, seed=None)[0] == pytest.approx(1)
    assert inception_score(by_class, 6)[0] > 4
    with pytest.raises(InputError, match="logits has 3 rows: this needs at least 10"):
        inception_score(logits[:3])


# ------------------------------------------------------------------------------------------------------------ intervals


def share_that_holds(truth, intervals):
    return np.mean([low <= truth <= high for low, high in intervals])


def with_replacement(statistic, x, y, rounds, seed):
    """The ordinary bootstrap's percentile interval at 95 %."""
    draws = np.random.default_rng(seed)
    values = [statistic(x[draws.integers(len(x), size=len(x))], y[draws.integers(len(y), size=len(y))]) for _ in range(rounds)]
    return np.quantile(values, [0.025, 0.975])


def test_the_interval_of_the_kid_holds_the_true_distance_and_the_bootstrap_does_not():
    truth = true_kid(np.zeros(6), np.full(6, 0.4))
    samples = [(normal(60, 6, i), normal(50, 6, 50_000 + i, 0.4)) for i in range(120)]
    intervals = [bootstrap_interval(kid, x, y, rounds=100, seed=i) for i, (x, y) in enumerate(samples)]
    assert 0.88 <= share_that_holds(truth, intervals) <= 0.99  # 95 %, within three standard errors
    # Where the sets are alike, duplicates alone make a distance: the ordinary bootstrap is nearly always wrong.
    alike = [(normal(60, 6, i), normal(50, 6, 50_000 + i)) for i in range(20)]
    assert share_that_holds(0, [bootstrap_interval(kid, x, y, seed=i) for i, (x, y) in enumerate(alike)]) == 1
    assert share_that_holds(0, [with_replacement(kid, x, y, 40, i) for i, (x, y) in enumerate(alike)]) < 0.3


def test_the_interval_of_a_frechet_distance_holds_its_mean_at_that_size():
    def sample(i, d=4, shift=0.35):
        return normal(40, d, i), normal(30, d, 50_000 + i, shift, 1 + shift)

    truth = np.mean([frechet_distance(*sample(10_000 + i)) for i in range(600)])
    intervals = [bootstrap_interval(frechet_distance, *sample(i), rounds=50, seed=i) for i in range(30)]
    assert share_that_holds(truth, intervals) >= 0.86
    truth = np.mean([frechet_distance(*sample(10_000 + i, 16, 0.0)) for i in range(200)])
    wrong = [with_replacement(frechet_distance, *sample(i, 16, 0.0), 40, i) for i in range(12)]
    assert share_that_holds(truth, wrong) < 0.4


def test_all_halves_at_once_are_the_halves_one_by_one(block):
    x, y = normal(31, 6), normal(24, 6, 1, 0.3)
    at_once = bootstrap_interval(kid, x, y, rounds=50, seed=4)
    assert at_once == pytest.approx(bootstrap_interval(lambda a, b: kid(a, b), x, y, rounds=50, seed=4), rel=1e-10)


def test_the_interval_is_repeatable_wider_at_a_higher_level_and_ends_at_its_limits():
    x, y = normal(40, 3), normal(40, 3, 1, 0.2)
    assert bootstrap_interval(kid, x, y, seed=1) == bootstrap_interval(kid, x, y, seed=1) != bootstrap_interval(kid, x, y)
    narrow, wide = bootstrap_interval(kid, x, y, level=0.5), bootstrap_interval(kid, x, y, level=0.98)
    assert wide[0] < narrow[0] <= kid(x, y) <= narrow[1] < wide[1]

    def precision(real, fake):
        return precision_recall(real, fake)[0]

    low, high = bootstrap_interval(precision, x, x[::-1] * 0.99, rounds=60, limits=(0, 1))
    assert low < 1 and high == 1
    with pytest.raises(InputError, match=r"30 rounds say nothing about a level of 0\.95: give at least 40"):
        bootstrap_interval(kid, x, y, rounds=30)
    with pytest.raises(InputError, match="x has 3 rows"):
        bootstrap_interval(kid, x[:3], y)
    with pytest.raises(InputError, match="level is 95"):
        bootstrap_interval(kid, x, y, level=95)


def test_wilson_intervals_are_those_of_the_tables():
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    for (successes, n), expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson_interval(successes, n) == pytest.approx(expected, abs=5e-5)
    low, high = wilson_interval(20, 20)
    assert high == 1 and low == pytest.approx(1 - 0.1611, abs=5e-5)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_wilson_intervals_hold_the_share_on_average_as_often_as_they_say(p):
    n = 60
    chance = [math.comb(n, s) * p**s * (1 - p) ** (n - s) for s in range(n + 1)]
    held = sum(c for s, c in enumerate(chance) if wilson_interval(s, n)[0] <= p <= wilson_interval(s, n)[1])
    assert 0.93 < held < 0.99
    for bad in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(InputError, match="successes in"):
            wilson_interval(*bad)


# ---------------------------------------------------------------------------------------------------------------- input


def test_arrays_of_every_kind_are_taken_and_computed_in_double():
    x, y = normal(30, 4).astype(np.float32), normal(20, 4, 1, 0.3).astype(np.float32)
    for statistic in (frechet_distance, kid, precision_recall, density_coverage):
        expected = statistic(x.astype(np.float64), y.astype(np.float64))
        assert statistic(torch.from_numpy(x).requires_grad_(), y) == expected == statistic(x, torch.from_numpy(y))
    assert isinstance(kid(x, y), float) and isinstance(frechet_distance(x, y), float)
    # the rounding of 1000 rows in float32 would be visible here
    far = normal(300, 3) * 1e-3 + 1e3
    assert frechet_distance(far, far + 1e-3) == pytest.approx(3e-6, rel=1e-4)


@pytest.mark.parametrize("statistic", [frechet_distance, kid, precision_recall, density_coverage])
def test_what_is_no_feature_array_is_refused_in_one_line(statistic):
    good = normal(20, 4)
    broken = good.copy()
    broken[7, 2] = math.nan
    for bad, words in (
        (good[0], r"shape \[4\]"),
        (good[:, :0], r"shape \[20, 0\]"),
        (good[:1], "has 1 rows: this needs at least"),
        (broken, "not finite: look at row 7"),
        (good[:, :3], "features per picture"),
    ):
        with pytest.raises(InputError, match=words) as error:
            statistic(good, bad)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="k is 0"):
        precision_recall(good, good, k=0)


def test_blocks_cover_the_rows_and_stay_small(monkeypatch):
    monkeypatch.setattr(distances, "BLOCK", 1000)
    rows = torch.zeros(317, 1)
    parts = list(distances._blocks(rows, 90))
    assert [part.start for part in parts] == list(range(0, 317, 11)) and parts[-1].stop == 317
    assert next(distances._blocks(rows, 5000)) == slice(0, 1)
