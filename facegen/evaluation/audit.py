"""Who is in the data, and who comes out: shares of attributes with intervals, and tested differences.

shares(labels["glasses"])                               # {"none": 0.90 (0.88 to 0.92), ...}
compare_shares(real, fake)                              # tested differences, one per value
judge = AttributeClassifier().fit(features(pictures), labels["glasses"])
said = judge.predict(features(generated))               # judge.error() is measured on pictures it has not learned from
weights = resampling_weights(labels, {"glasses": {"none": 0.5, "round": 0.5}})
more = resampled(faces, resample(weights, len(faces)))  # a training set with those shares

Labels are one word (or number) per picture. Those of generated pictures come from a classifier where pixels do not give them.
A classifier that is right in 90 % of cases makes 14 % out of a true share of 5 %, so `audit` lets it judge both sides: if the
real and the generated pictures are alike, it errs alike on both, and a difference in what it says is a difference.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import io
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.data.drawn import ATTRIBUTE_NAMES
from facegen.data.packed import Faces, content_hash, drawn_count, fitted, load_faces, nothing_usable
from facegen.data.pictures import Source, decode_all, say, table
from facegen.evaluation import features
from facegen.evaluation.distances import wilson_interval
from facegen.evaluation.measure import Fakes
from facegen.files import InputError, replacing, replacing_folder

Labels: TypeAlias = "Sequence[object] | np.ndarray | Tensor"
Target: TypeAlias = "Mapping[str, Mapping[str, float]]"

USUAL_SIZE, LEAST_SIZE = 64, 16  # pixels where nothing says how many, and where nobody looks at them
PERMUTATIONS = 9999  # where a table is too sparse for the chi-square distribution
SPARSE = 5.0  # expected counts below this are (Cochran 1954)
ROUNDS = 4000  # draws behind the interval of a corrected share
TAILS = (1 - 0.95) / 2, (1 + 0.95) / 2  # its ends
BLIND = 0.05  # a confusion matrix whose smallest singular value is below this cannot be inverted to any purpose


# --------------------------------------------------------------------------------------------------------------- shares


@dataclass(frozen=True)
class Share:
    """A share of pictures, 0 to 1, and the interval around it."""

    share: float  # the best estimate
    low: float
    high: float
    n: int  # how many pictures were counted
    raw: float | None = None  # what the classifier said, before its error was corrected; None where the labels are known

    def __str__(self) -> str:
        raw = "" if self.raw is None else f", the classifier says {self.raw:.1%}"
        return f"{self.share:.1%} ({self.low:.1%} to {self.high:.1%}{raw})"


def shares(labels: Labels, values: Sequence[str] | None = None) -> dict[str, Share]:
    """The share of each value among the labels, with its Wilson interval.

    Args:
        labels: one per picture, at least one.
        values: what there could be, in the order wanted: a value that nobody has keeps its place, with a share of 0. By
            default the values that occur, sorted.

    Raises:
        InputError: no labels, or one that is not among the values.
    """
    words = _words(labels)
    return {value: _share(k, len(words)) for value, k in _counts(words, values).items()}


def _share(count: int, n: int) -> Share:
    return Share(count / n, *wilson_interval(count, n), n)


def _words(labels: Labels) -> np.ndarray:
    """str [N]; 3, 3.0 and tensor(3) are all "3"."""
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    items = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if not items:
        raise InputError("there are no labels to count: give one per picture")
    return np.array([str(int(x)) if isinstance(x, float) and x.is_integer() else str(x) for x in items])


def _counts(words: np.ndarray, values: Sequence[str] | None) -> dict[str, int]:
    found, counts = np.unique(words, return_counts=True)
    known = dict(zip(found.tolist(), counts.tolist()))
    values = _sorted(known) if values is None else [str(value) for value in values]
    if strange := [word for word in known if word not in values]:
        raise InputError(f"a label is {strange[0]!r}, which is none of {', '.join(values)}")
    return {value: known.get(value, 0) for value in values}


def _sorted(words: Iterable[str]) -> list[str]:
    """Sorted as people do: "monk 2" before "monk 10"."""
    return sorted(
        words, key=lambda word: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", word)]
    )


# ---------------------------------------------------------------------------------------------------------------- tests


@dataclass(frozen=True)
class Difference:
    """How often one value of an attribute occurs in the real and in the generated pictures."""

    # attribute, value: such as "glasses", "round".
    attribute: str
    value: str
    real: Share
    fake: Share
    difference: float  # fake - real, between -1 and 1
    low: float
    high: float
    effect: float  # Cohen's h; 0.2 is called small, 0.5 medium, 0.8 large (Cohen 1988)
    p: float  # how often chance alone makes such a difference, for this value by itself
    adjusted: float = 1.0  # p by Holm's method over all values that were compared with it

    @property
    def significant(self) -> bool:
        """Whether `adjusted` is below 0.05: then the chance of even one false alarm in the whole table is below 5 %."""
        return self.adjusted < 0.05

    def __str__(self) -> str:
        interval = f"{100 * self.low:+.1f} to {100 * self.high:+.1f}"
        points = f"{100 * self.difference:+.1f} points ({interval})"
        return f"{self.attribute} = {self.value}: {self.real.share:.1%} real, {self.fake.share:.1%} generated, {points}"


@dataclass(frozen=True)
class AttributeTest:
    """Whether an attribute is distributed alike in two sets, all values at once."""

    attribute: str
    chi_square: float  # Pearson's statistic
    freedom: int  # its degrees of freedom
    cramers_v: float  # the effect's size, 0 (alike) to 1 (nothing in common)
    p: float  # from the chi-square distribution, or from permutations where a value is too rare for that (`exact`)
    exact: bool
    adjusted: float = 1.0  # p by Holm's method over the attributes

    @property
    def significant(self) -> bool:
        """Whether `adjusted` is below 0.05."""
        return self.adjusted < 0.05


def compare_shares(
    real: Mapping[str, Labels], fake: Mapping[str, Labels], *, values: Mapping[str, Sequence[str]] | None = None
) -> list[Difference]:
    """The shares of every value of every attribute in two sets of pictures whose labels are known, and tested differences.

    The interval of a difference is Newcombe's, made of the two Wilson intervals (`difference_interval`), and p that of the
    score test, or Fisher's where counts are small (`two_proportions`). Both sets count as samples of larger ones: against the
    training set as it is, which has no sampling error, they are a little too careful.

    Args:
        real, fake: attribute -> one label per picture, the same attributes in both.
        values: attribute -> its values, as for `shares`; those that neither set has are left out of the tests.
    """
    found = []
    for attribute, (a, b, names) in _paired(real, fake, values).items():
        one, other = shares(a, names), shares(b, names)
        for value, x in _counts(a, names).items():
            y, n, m = _counts(b, names)[value], len(a), len(b)
            ends = difference_interval(x, n, y, m)
            size = cohens_h(other[value].share, one[value].share)
            row = (one[value], other[value], y / m - x / n, *ends, size, two_proportions(x, n, y, m))
            found.append(Difference(attribute, value, *row))
    return _adjusted(found)


def compare_attributes(real: Mapping[str, Labels], fake: Mapping[str, Labels], *, seed: int = 0) -> list[AttributeTest]:
    """One test per attribute: do its values have the same shares in both sets? Pearson's chi-square, corrected by Holm.

    With labels that a classifier gave to both sets this is still a sound test: if the sets are alike it errs alike on both.
    Where a value is expected fewer than 5 times, permutations of this seed stand in for the chi-square distribution.
    """
    from scipy.stats import chi2_contingency

    found = []
    for attribute, (a, b, names) in _paired(real, fake).items():
        counts = np.array([list(_counts(side, names).values()) for side in (a, b)])
        counts = counts[:, counts.sum(0) > 0]
        statistic, p, freedom, expected = chi2_contingency(counts, correction=False)
        exact = bool(expected.min() < SPARSE) and freedom > 0
        if exact:
            draws = np.random.default_rng(seed)
            shuffled = draws.multivariate_hypergeometric(counts.sum(0), int(counts[0].sum()), size=PERMUTATIONS)
            gaps = (shuffled - expected[0]) ** 2  # both rows have the same one, the columns' sums being fixed
            theirs = (gaps / expected[0] + gaps / expected[1]).sum(1)
            p = (1 + int((theirs >= statistic * (1 - 1e-12)).sum())) / (1 + PERMUTATIONS)
        size = math.sqrt(float(statistic) / counts.sum())
        found.append(AttributeTest(attribute, float(statistic), int(freedom), size, float(p), exact))
    adjusted = holm([test.p for test in found])
    return [dataclasses.replace(test, adjusted=p) for test, p in zip(found, adjusted)]


def _paired(
    real: Mapping[str, Labels], fake: Mapping[str, Labels], values: Mapping[str, Sequence[str]] | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray, list[str]]]:
    """attribute -> (labels of the reals, labels of the fakes, the values of both in one order)."""
    if set(real) != set(fake):
        raise InputError(f"the attributes are {', '.join(real)} on one side and {', '.join(fake)} on the other: give the same")
    if not real:
        raise InputError("there is no attribute to compare: give at least one")
    found = {}
    for attribute in real:
        a, b = _words(real[attribute]), _words(fake[attribute])
        names = (values or {}).get(attribute)
        found[attribute] = (a, b, _sorted({*a.tolist(), *b.tolist()}) if names is None else [str(name) for name in names])
    return found


def two_proportions(x: int, n: int, y: int, m: int) -> float:
    """Two-sided p of "x of n and y of m come from equal shares".

    The score test with the pooled share, which is Pearson's chi-square of the 2 x 2 table; Fisher's exact test where a count
    below 5 is expected.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    table = [[x, n - x], [y, m - y]]
    if x + y in (0, n + m):
        return 1.0
    if min(n, m) * min(x + y, n + m - x - y) / (n + m) < SPARSE:
        return float(fisher_exact(table)[1])
    return float(chi2_contingency(table, correction=False)[1])


def difference_interval(x: int, n: int, y: int, m: int) -> tuple[float, float]:
    """Interval for y/m - x/n (Newcombe 1998, Statistics in Medicine 17, method 10): made of the two Wilson intervals."""
    p, q = x / n, y / m
    (p_low, p_high), (q_low, q_high) = wilson_interval(x, n), wilson_interval(y, m)
    return q - p - math.hypot(q - q_low, p_high - p), q - p + math.hypot(q_high - q, p - p_low)


def cohens_h(share: float, other: float) -> float:
    """Cohen's effect size of two shares, 2 asin(sqrt(share)) - 2 asin(sqrt(other)): between -pi and pi."""
    return 2 * math.asin(math.sqrt(min(1.0, max(0.0, share)))) - 2 * math.asin(math.sqrt(min(1.0, max(0.0, other))))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979, Scandinavian Journal of Statistics 6).

    If those below 0.05 count as found, the chance of even one false alarm among all tests is below 0.05, however the tests
    depend on each other.
    """
    adjusted, worst = [1.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        worst = max(worst, (len(ps) - rank) * ps[i])
        adjusted[i] = min(1.0, worst)
    return adjusted


def _adjusted(found: list[Difference]) -> list[Difference]:
    """Holm over all rows; an attribute of two values has one question and counts once, an absent value none."""
    tests: dict[tuple[str, str], float] = {}
    keys = []
    for row in found:
        present = [other for other in found if other.attribute == row.attribute and _is_present(other)]
        key = (row.attribute, "" if len(present) == 2 else row.value)
        keys.append(key)
        if _is_present(row):
            tests[key] = row.p
    adjusted = dict(zip(tests, holm(list(tests.values()))))
    return [dataclasses.replace(row, adjusted=adjusted[key] if _is_present(row) else 1.0) for row, key in zip(found, keys)]


def _is_present(row: Difference) -> bool:
    return row.real.share > 0 or row.fake.share > 0


# ----------------------------------------------------------------------------------------------------------- classifier


class AttributeClassifier:
    """Says an attribute from a picture's features: logistic regression, with its own error measured by cross-validation.

    Attributes (after `fit`):
        values: the labels it knows, sorted.
        labels: str [N]: what it was fitted to.
        out_of_fold: str [N]: what it says of each picture when it has learned only from the others' folds.
        confusion: int64 [K, K]: pictures with the row's label of which it says the column's.
    """

    def __init__(self, penalty: float = 0.01) -> None:
        """`penalty`: C of scikit-learn's LogisticRegression on features brought to mean 0 and deviation 1; smaller is tamer."""
        self.penalty = penalty

    def fit(self, features: Tensor | np.ndarray, labels: Labels, *, folds: int = 5, seed: int = 0) -> AttributeClassifier:
        """Learn from labelled pictures, and measure the error on those that were left out in turn.

        Rare values weigh as much as common ones, so that they are not overlooked; `corrected_share` takes care of the rest.
        The confusion matrix is that of classifiers which saw a fold less than the final one: a little too severe. Pictures of
        the same person in several folds would make it too mild: give one per person.

        Args:
            features: [N, d], as `facegen.evaluation.features` makes them.
            labels: one per picture; two values or more, each with at least `folds` pictures.
            folds: parts of the cross-validation.
            seed: of the parts.

        Raises:
            InputError: labels or features that do not fit this.
        """
        from sklearn.metrics import confusion_matrix
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        rows, self.labels = np.asarray(torch.as_tensor(features).detach().cpu().float()), _words(labels)
        if rows.ndim != 2 or len(rows) != len(self.labels):
            raise InputError(f"features of shape {list(rows.shape)} for {len(self.labels)} labels: give one row per label")
        counts = _counts(self.labels, None)
        if len(counts) < 2:
            raise InputError(f"every label is {self.labels[0]!r}: a classifier needs two values at least")
        if min(counts.values()) < folds:
            rare = min(counts, key=counts.get)
            raise InputError(
                f"{counts[rare]} pictures have the label {rare!r}: {folds} folds need that many; join values or use fewer"
            )
        self.values = list(counts)
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed)
        self.out_of_fold = cross_val_predict(self._pipeline(), rows, self.labels, cv=parts)
        self.confusion = confusion_matrix(self.labels, self.out_of_fold, labels=self.values)
        self._model = self._pipeline().fit(rows, self.labels)
        return self

    def _pipeline(self):
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), LogisticRegression(C=self.penalty, class_weight="balanced", max_iter=1000))

    def predict(self, features: Tensor | np.ndarray) -> np.ndarray:
        """str [N]: the likeliest value of each picture."""
        return self._model.predict(np.asarray(torch.as_tensor(features).detach().cpu().float()))

    def measured_on(self, features: Tensor | np.ndarray, labels: Labels) -> AttributeClassifier:
        """The same classifier with its error measured on other labelled pictures, best on some of those that it is to judge.

        Cross-validation measures the error on pictures like those it has learned from. Where it judges others it errs in
        other ways, and a correction by the wrong confusion matrix makes shares worse, not better. A hundred labelled pictures
        from the set itself are enough to see that.

        Args:
            features: [N, d] of pictures that it has not learned from.
            labels: one per picture; every value that it knows must occur.
        """
        from sklearn.metrics import confusion_matrix

        other, words = copy.copy(self), _words(labels)
        if absent := [value for value, count in _counts(words, self.values).items() if not count]:
            raise InputError(f"none of the pictures to measure the classifier on is {absent[0]!r}: label some")
        other.labels, other.out_of_fold = words, self.predict(features)
        if len(other.out_of_fold) != len(words):
            raise InputError(f"features of {len(other.out_of_fold)} pictures for {len(words)} labels: give one row per label")
        other.confusion = confusion_matrix(words, other.out_of_fold, labels=self.values)
        return other

    def error(self) -> Share:
        """The share of pictures that it gets wrong, of those it has not learned from, with its Wilson interval."""
        return _share(int(self.confusion.sum() - self.confusion.trace()), int(self.confusion.sum()))

    def recalls(self) -> dict[str, Share]:
        """For each value, the share of its pictures that are recognised; of two values, sensitivity and specificity."""
        rows = zip(self.values, self.confusion.diagonal().tolist(), self.confusion.sum(1).tolist())
        return {value: _share(right, n) for value, right, n in rows}


def corrected_share(
    predicted: Labels, classifier: AttributeClassifier, *, rounds: int = ROUNDS, seed: int = 0
) -> dict[str, Share]:
    """The shares behind a classifier's labels: its confusion matrix inverted, with an interval for everything that is unsure.

    The rows of the matrix say what becomes of each true value, so that said = truth @ matrix. Where the solution leaves the
    possible shares it is moved to the nearest that are. The interval holds both samplings, of the pictures and of the matrix:
    `rounds` draws of both from their Dirichlet distributions (counts + 1/K, for K values), each corrected, and the quantiles
    of those. It rests on one assumption that no number here can check: that the classifier errs on these pictures as it does
    on the labelled ones. So `audit` does not use it; where the truth is known, as in the course, it shows what it is worth.

    Args:
        predicted: what the classifier says of each picture.
        classifier: fitted.
        rounds, seed: of the interval.

    Returns:
        For each of its values the corrected share; `Share.raw` is what it says.

    Raises:
        InputError: labels that the classifier does not know, or one that cannot tell its values apart.
    """
    confusion, values = classifier.confusion, classifier.values
    rates = confusion / confusion.sum(1, keepdims=True)
    if np.linalg.svd(rates, compute_uv=False)[-1] < BLIND:
        raise InputError("the classifier cannot tell these values apart: nothing follows from what it says; join values")
    said = np.array(list(_counts(_words(predicted), values).values()))
    draws, other = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    matrices = np.stack([draws.dirichlet(row + 1 / len(row), size=rounds) for row in confusion], axis=1)
    drawn = _corrected(other.dirichlet(said + 1 / len(said), size=rounds), matrices)
    low, high = np.quantile(drawn, TAILS, axis=0)
    point, n = _corrected(said / said.sum(), rates), int(said.sum())
    # At 0 and 1 the draws lie a little inside: an interval holds its share.
    ends = zip(point.tolist(), np.minimum(low, point).tolist(), np.maximum(high, point).tolist(), (said / n).tolist())
    return {value: Share(share, low, high, n, raw) for value, (share, low, high, raw) in zip(values, ends)}


def _corrected(said: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[..., K]: shares t >= 0 that sum to 1 and are nearest to the solution of t @ matrix = said."""
    points = (said[..., None, :] @ np.linalg.pinv(matrix, rcond=1e-3))[..., 0, :]
    ordered = -np.sort(-points, axis=-1)  # the nearest shares: Duchi and others 2008, ICML, figure 1
    excess = (np.cumsum(ordered, axis=-1) - 1) / np.arange(1, points.shape[-1] + 1)
    last = (ordered > excess).sum(-1, keepdims=True) - 1
    return np.maximum(points - np.take_along_axis(excess, last, axis=-1), 0.0)


# ----------------------------------------------------------------------------------------------------------- resampling


def resampling_weights(labels: Mapping[str, Labels] | Labels, target: Mapping) -> np.ndarray:
    """One weight per picture, of mean 1, under which the attributes have the target's shares.

    With one attribute a weight is the share wanted over the share there is. With several, each attribute is brought to its
    target in turn until all of them hold (raking: Deming and Stephan 1940), which leaves how they go together as it was as far
    as that can be.

    Args:
        labels: one per picture; or attribute -> such labels.
        target: value -> share; or attribute -> {value: share}. Shares are 0 or more and sum to 1, and every value that occurs
            has one. Attributes that it does not name are left alone.

    Returns:
        float64 [N].

    Raises:
        InputError: a target that is none, that asks for pictures of whom there are none, or several that exclude each other.
    """
    if not isinstance(labels, Mapping):
        labels, target = {"label": labels}, {"label": target}
    if missing := [name for name in target if name not in labels]:
        raise InputError(f"the target names {missing[0]!r}: the labels have {', '.join(labels)}")
    groups = [group for name, goal in target.items() for group in _groups(name, _words(labels[name]), goal)]
    if not groups:
        raise InputError("the target names no attribute: give {attribute: {value: share}}")
    weights = np.ones(len(groups[0][0]))
    for _ in range(2000):
        worst = 0.0
        for members, share in groups:
            now = weights[members].sum() / weights.sum()
            if now == 0 < share:
                raise InputError("the targets exclude each other: no picture is left that all of them allow; ask for less")
            worst = max(worst, abs(now - share))
            if share < 1 and now < 1:  # the others keep their sum, so that the total stays the number of pictures
                weights[members] *= (
                    share * (weights.sum() - weights[members].sum()) / ((1 - share) * max(weights[members].sum(), 1e-300))
                )
        weights *= len(weights) / weights.sum()
        if worst < 1e-9:
            return weights
    raise InputError("the targets cannot be met together with these pictures: ask for fewer attributes or milder shares")


def _groups(name: str, words: np.ndarray, goal: Mapping[str, float]) -> list[tuple[np.ndarray, float]]:
    """For each value of one attribute: which pictures have it, bool [N], and the share wanted."""
    if not isinstance(goal, Mapping) or not goal:
        raise InputError(f"the target of {name!r} is {goal!r}: give a share for each of its values")
    if strange := [share for share in goal.values() if isinstance(share, bool) or not isinstance(share, (int, float))]:
        raise InputError(f"the target of {name!r} has the share {strange[0]!r}: give a number of 0 to 1")
    wanted = {str(value): float(share) for value, share in goal.items()}
    there = _counts(words, None)
    if any(not share >= 0 for share in wanted.values()) or abs(sum(wanted.values()) - 1) > 1e-6:
        raise InputError(f"the target of {name!r} sums to {sum(wanted.values()):g}: give shares of 0 or more that sum to 1")
    if unknown := [value for value, share in wanted.items() if share > 0 and value not in there]:
        raise InputError(f"the target wants {unknown[0]!r} of {name!r}: no picture has it, and none can be made up")
    if left := [value for value in there if value not in wanted]:
        raise InputError(f"the target of {name!r} leaves out {left[0]!r}: give it a share, 0 to drop those pictures")
    return [(words == value, wanted[value] / sum(wanted.values())) for value in there]


def read_target(path: str | Path) -> dict[str, dict[str, float]]:
    """A target for `resampling_weights` from a JSON file: {"glasses": {"none": 0.5, "round": 0.5}}."""
    try:
        target = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}): give attribute -> value -> share") from None
    if not isinstance(target, dict):
        raise InputError(f'{path}: give an object such as {{"glasses": {{"none": 0.5, "round": 0.5}}}}')
    return target


def effective_size(weights: np.ndarray) -> float:
    """How many equally weighted pictures would say as much (Kish 1965): (sum of weights)^2 / sum of squared weights."""
    weights = np.asarray(weights, dtype=float)
    return float(weights.sum() ** 2 / np.square(weights).sum())


def resample(weights: np.ndarray, count: int | None = None, seed: int = 0) -> np.ndarray:
    """Numbers of pictures, as often as their weights ask: int64 [count], sorted.

    Systematic sampling, pictures of equal weight in a random order: one of weight 2.3 (where the mean is 1) comes 2 or 3
    times, and all those of one weight come together as often as they should, up to one picture.

    Args:
        weights: 0 or more, one per picture, not all 0.
        count: how many; by default as many as there are weights.
        seed: of the order and the start.

    Raises:
        InputError: weights or a count that are none.
    """
    weights = np.asarray(weights, dtype=float)
    count = len(weights) if count is None else count
    if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0 or count < 1:
        raise InputError(
            f"cannot draw {count} pictures by these weights: give finite ones of 0 or more, and a count of 1 or more"
        )
    draws = np.random.default_rng(seed)
    order = np.lexsort((draws.random(len(weights)), weights))
    edges = np.cumsum(weights[order])
    points = (np.arange(count) + draws.random()) * edges[-1] / count
    return np.sort(order[np.searchsorted(edges, points, side="right").clip(max=len(weights) - 1)])


def resampled(faces: Faces, indices: np.ndarray) -> Faces:
    """The faces of these numbers, some several times: a training set like any other."""
    chosen = torch.as_tensor(indices, dtype=torch.int64)
    images = faces.images[chosen]

    def of(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[chosen]

    return dataclasses.replace(
        faces,
        images=images,
        labels=of(faces.labels),
        name=f"{faces.name}, resampled",
        content_hash=content_hash(images),
        attributes=None if faces.attributes is None else {name: values[chosen] for name, values in faces.attributes.items()},
        landmarks=of(faces.landmarks),
        identity=of(faces.identity),
    )


def write_resampled(
    there: Labelled, target: Target, dest: Path, count: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, Path]:
    """A folder, or a zip if `dest` ends so, with the target's shares; and the labels beside it, in DEST-labels.csv.

    Files are copied as they are; the second copy of a.jpg is called a~2.jpg. Drawn pictures are written as PNG.

    Returns:
        The numbers of the pictures that were chosen, all pictures' weights, and the file of labels.
    """
    weights = resampling_weights(there.labels, target)
    indices = resample(weights, count, seed)
    copies = list(_copies(there.names, indices))
    with contextlib.ExitStack() as stack:
        if isinstance(there.source, Tensor):
            read = lambda i: _png(there.source[i])  # noqa: E731
        else:
            opened = stack.enter_context(Source(there.source))
            read = lambda i: opened.read(there.names[i])  # noqa: E731
        if dest.suffix == ".zip":
            if dest.exists():
                raise InputError(f"{dest} already exists: choose another name or remove it first")
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(replacing(dest)), "w"))
            for name, i in copies:
                archive.writestr(name, read(i))
        else:
            folder = stack.enter_context(replacing_folder(dest))
            for name, i in copies:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(read(i))
    path = dest.with_name(f"{dest.stem if dest.suffix == '.zip' else dest.name}-labels.csv")
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["file", *there.labels])
        lines.writerows([name, *(column[i] for column in there.labels.values())] for name, i in copies)
    return indices, weights, path


def _copies(names: Sequence[str], indices: np.ndarray) -> Iterable[tuple[str, int]]:
    seen: dict[int, int] = {}
    for i in map(int, indices):
        seen[i] = seen.get(i, 0) + 1
        path = Path(names[i])
        yield (names[i] if seen[i] == 1 else path.with_name(f"{path.stem}~{seen[i]}{path.suffix}").as_posix()), i


def _png(picture: Tensor) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).cpu().numpy()).save(file, format="PNG")
    return file.getvalue()


# -------------------------------------------------------------------------------------------------------------- labels


def drawn_labels(attributes: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Labels of drawn faces, which are exact: `faces.attributes` -> attribute -> str [N].

    Raises:
        InputError: an attribute that is none, or is a number and no label.
    """
    found = {}
    for name in names:
        if name in ATTRIBUTE_NAMES:
            found[name] = np.array(ATTRIBUTE_NAMES[name])[attributes[name].numpy()]
        elif name.startswith("fault_") and name in attributes:
            found[name] = np.where(attributes[name].numpy(), "yes", "no")
        else:
            raise InputError(f"drawn faces have no attribute {name!r} with values: choose among {', '.join(ATTRIBUTE_NAMES)}")
    return found


MEASURES = {
    "colour": ("colour", "grey"),
    "background": ("dark", "middle", "light"),
    "face": ("dark", "middle", "light"),
}
"""What `measured_labels` can measure, and the values of each."""

_GREY = 12.0  # mean distance between the largest and the smallest channel, of 255, below which a picture looks grey
_DARK, _LIGHT = 85.0, 170.0  # thirds of 0..255


def measured_labels(pictures: Tensor, names: Iterable[str] = MEASURES) -> dict[str, np.ndarray]:
    """Labels that follow from the pixels of aligned portraits, uint8 [N, 3, H, W], with no classifier and its errors.

    "colour": grey or colour. "background": dark, middle or light, by the mean luma of the two upper corners. "face": dark,
    middle or light, by the mean luma between eyes and mouth. The last is light on skin, not skin: exposure moves it as much.
    """
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3 or not len(pictures):
        raise InputError(f"pictures are {pictures.dtype} {list(pictures.shape)}: labels are measured on uint8 [N, 3, H, W]")
    size, wide = pictures.shape[2:]
    luma_weights = torch.tensor([0.299, 0.587, 0.114])
    found = {}
    for name in names:
        if name == "colour":
            chroma = torch.cat([(p.amax(1).float() - p.amin(1).float()).mean((1, 2)) for p in pictures.split(256)])
            found[name] = np.where(chroma.numpy() < _GREY, "grey", "colour")
        elif name in MEASURES:
            parts = [pictures[:, :, : size // 8, : wide // 8], pictures[:, :, : size // 8, -(wide // 8) :]]
            if name == "face":
                parts = [pictures[:, :, size * 9 // 20 : size * 13 // 20, wide * 7 // 20 : wide * 13 // 20]]
            luma = sum((part.float().mean((2, 3)) * luma_weights).sum(1) for part in parts) / len(parts)
            found[name] = np.array(MEASURES[name])[np.digitize(luma.numpy(), [_DARK, _LIGHT])]
        else:
            raise InputError(f"{name!r} cannot be measured: choose among {', '.join(MEASURES)}")
    return found


def read_labels(path: str | Path, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """A CSV of labels: attribute -> {file: value}. The first column names the picture, the others are attributes.

    An attribute is given as a column's name, or, to cut a column of numbers, as NAME@LIMIT[@LIMIT...]: "age@30@60" makes
    "below 30", "30 to 60", "60 and above". Pictures with an empty cell are left out of that attribute.
    """
    lines = _lines(path)
    header, found = [cell.strip() for cell in lines[0]], {}
    for attribute in attributes:
        name, *limits = attribute.split("@")
        if name not in header[1:]:
            raise InputError(f"{path} has no column {name!r}: it has {', '.join(header[1:])}")
        column = header.index(name)
        cells = {line[0].strip(): line[column].strip() for line in lines[1:] if len(line) > column and line[column].strip()}
        found[attribute] = {key: _banded(value, limits, attribute) for key, value in cells.items()}
    return found


def _lines(path: str | Path) -> list[list[str]]:
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path} cannot be read as CSV ({error}): give a file with a header line, pictures in the first column"
        ) from None
    if len(lines) < 2:
        raise InputError(f"{path} has no labels: give a header line and one line per picture")
    return lines


def _banded(value: str, limits: Sequence[str], attribute: str) -> str:
    if not limits:
        return value
    try:
        number, edges = float(value), [float(limit) for limit in limits]
    except ValueError:
        raise InputError(f"{attribute}: {value!r} or one of the limits is no number: leave out the @ for words") from None
    if sorted(edges) != edges:
        raise InputError(f"{attribute}: the limits must rise")
    band = int(np.digitize(number, edges))
    if band == 0:
        return f"below {limits[0]}"
    return f"{limits[-1]} and above" if band == len(limits) else f"{limits[band - 1]} to {limits[band]}"


@dataclass(frozen=True)
class Labelled:
    """Pictures with labels."""

    images: Tensor  # uint8 [N, 3, S, S]
    names: list[str]  # of their files in the source; of drawn ones, what they would be called
    labels: dict[str, np.ndarray]  # attribute -> str [N]
    source: Path | Tensor  # the folder or zip that holds the files, or the drawn pictures
    unlabelled: int = 0  # how many pictures were left out because a label is missing


def labelled(source: str, labels: str, attributes: Sequence[str], size: int) -> Labelled:
    """The pictures of a folder, a zip or drawn:N with labels of one of three kinds.

    Args:
        source: as for `load_faces`.
        labels: "drawn", of drawn faces; "measured", on the pixels; else a CSV, as for `read_labels`.
        attributes: which.
        size: of the pictures, S.
    """
    drawn = drawn_count(source, 1) is not None
    if not attributes:
        raise InputError("--attributes: give at least one")
    if labels == "drawn" and not drawn:
        raise InputError(f"--labels=drawn: {source} is not drawn by the package; give a CSV, or drawn:N")
    if labels not in ("drawn", "measured") and drawn:
        raise InputError(f"--labels {labels}: the labels of drawn faces are known; give --labels=drawn")
    if drawn:
        faces = load_faces(source, size)
        names = [f"{i:06d}.png" for i in range(len(faces))]
        found = drawn_labels(faces.attributes, attributes) if labels == "drawn" else measured_labels(faces.images, attributes)
        return Labelled(faces.images, names, found, faces.images)
    if labels != "measured":
        return labelled_faces(source, read_labels(labels, attributes), size)
    known = labelled_faces(source, {}, size)
    return dataclasses.replace(known, labels=measured_labels(known.images, attributes))


def labelled_faces(source: str | Path, known: Mapping[str, Mapping[str, str]], size: int) -> Labelled:
    """The pictures of a folder or zip that have all the labels of `read_labels`, by path, file name or name without ending."""
    pictures, names, labels, rows, unlabelled = [], [], [], [], 0
    sizes: Counter[tuple[int, int]] = Counter()
    with Source(source) as opened:
        for item in decode_all(opened, np.array, size=(size, size), transform="center-crop"):
            rows += [item.row] if item.row else []
            if item.value is None:
                continue
            keys = (item.name, Path(item.name).name, Path(item.name).stem)
            values = [next((cells[key] for key in keys if key in cells), None) for cells in known.values()]
            if None in values:
                unlabelled += 1
                continue
            pictures.append(item.value)
            sizes[item.size] += 1
            names.append(item.name)
            labels.append(values)
        if not pictures and not unlabelled:
            raise nothing_usable(opened, rows)
    if not pictures:
        raise InputError(f"{source}: none of its pictures has these labels: the CSV's first column must name the files")
    if line := fitted(sizes, size):
        say(f"{source}: {line}")
    if rows:  # which files were left out or converted
        say(table(rows))
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    columns = map(np.array, zip(*labels))
    return Labelled(images, names, dict(zip(known, columns)), Path(source), unlabelled)


# --------------------------------------------------------------------------------------------------------------- audit


@dataclass(frozen=True)
class Audit:
    """Who is in the data and, where something was compared with them, who comes out."""

    shares: dict[str, dict[str, Share]]  # attribute -> value -> share among the real pictures
    differences: list[Difference] = field(default_factory=list)  # empty where there are no generated pictures
    tests: list[AttributeTest] = field(default_factory=list)
    # The classifiers whose say both sides were compared by; empty where labels are measured.
    judges: dict[str, AttributeClassifier] = field(default_factory=dict)


def audit(
    real: Labelled, fakes: Tensor | None = None, *, labels: str, see: Callable[[Tensor], Tensor] | None = None, seed: int = 0
) -> Audit:
    """Count labelled pictures; with generated ones beside them, count those too and test the differences.

    Labels that pixels give are measured on both sides. Other labels the generated pictures do not have, so a classifier learns
    each attribute from the labelled ones and judges both sides: generated pictures, and real ones when it has not learned from
    them. Its error is measured, and not taken out of the shares.

    Args:
        real: of `labelled`, with the same `labels`.
        fakes: uint8 [M, 3, S, S].
        see: the features that classifiers see; needed where there are fakes, unless labels are measured.
        seed: of cross-validation and permutations.
    """
    values = {name: known for name, known in _VALUES.get(labels, {}).items() if name in real.labels}
    ours = {name: shares(column, values.get(name)) for name, column in real.labels.items()}
    if fakes is None:
        return Audit(ours)
    if labels == "measured":
        theirs = measured_labels(fakes, real.labels)
        differences = compare_shares(real.labels, theirs, values=values)
        return Audit(ours, differences, compare_attributes(real.labels, theirs, seed=seed))
    rows, others = see(real.images), see(fakes)
    judges = {name: AttributeClassifier().fit(rows, column, seed=seed) for name, column in real.labels.items()}
    heard = {name: judge.out_of_fold for name, judge in judges.items()}
    said = {name: judge.predict(others) for name, judge in judges.items()}
    values = {name: judge.values for name, judge in judges.items()}
    return Audit(ours, compare_shares(heard, said, values=values), compare_attributes(heard, said, seed=seed), judges)


_VALUES = {"drawn": ATTRIBUTE_NAMES, "measured": MEASURES}  # all that there could be, where the package knows it


def audited(
    source: str,
    labels: str,
    names: Sequence[str],
    size: int,
    fakes: Fakes | None,
    about: Mapping[str, str],
    seed: int,
    device: torch.device,
) -> tuple[Audit, list[str], dict[str, object]]:
    """Audit a data set, as `labelled` knows it, beside fakes of that size; with notes, and the protocol of it all.

    Args:
        about: a hash of the fakes.
        device: where classifiers' features are computed.
    """
    real, see, pictures = labelled(source, labels, names, size), None, None
    if fakes is not None:
        pictures = fakes.pictures(range(fakes.count)).expand(-1, 3, -1, -1)
        see = None if labels == "measured" else features.load_features("lite0", device)
        about = {"name": fakes.name, **about, "fake": fakes.count, "seed": seed, "trunc": fakes.trunc}
    protocol = {"labels": labels, "attributes": names, **about, **({"features": str(see)} if see else {})}
    protocol |= {"image_size": size, "data": content_hash(real.images), "real": len(real.images)}
    notes = [f"{real.unlabelled:,} pictures without all the labels were left out"] if real.unlabelled else []
    return audit(real, pictures, labels=labels, see=see, seed=seed), notes, protocol
