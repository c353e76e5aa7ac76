"""Who is in the data, and who comes out: shares of attributes with intervals, tested, corrected for the classifier's error.

shares(labels["glasses"])                               # {"none": 0.90 (0.88 to 0.92), ...}
compare_shares(real, fake)                              # labels that are known: tested differences, one per value
judge = AttributeClassifier().fit(features(pictures), labels["glasses"])
said = judge.predict(features(generated))               # judge.error() is measured on pictures it has not learned from
corrected_share(said, judge)                            # the share without what the classifier gets wrong on average
weights = resampling_weights(labels, {"glasses": {"none": 0.5, "round": 0.5}})
more = resampled(faces, resample(weights, len(faces)))  # a training set with those shares

Labels are one word (or number) per picture. Those of generated pictures come from a classifier, and a classifier that is right
in 90 % of cases makes 14 % out of a true share of 5 %: `corrected_share` inverts its confusion matrix, and its interval holds
what is unsure in both. That rests on one assumption that no number here can check: that the classifier errs on generated
pictures as it does on the labelled ones.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facegen.data.drawn import ATTRIBUTE_NAMES
from facegen.data.packed import Faces, content_hash, nothing_usable
from facegen.data.pictures import Row, Source, decode_all
from facegen.evaluation.distances import wilson_interval
from facegen.files import InputError, replacing, replacing_folder

__all__ = [
    "AttributeClassifier",
    "AttributeTest",
    "Difference",
    "Share",
    "cohens_h",
    "compare_attributes",
    "compare_corrected",
    "compare_shares",
    "corrected_share",
    "difference_interval",
    "drawn_labels",
    "effective_size",
    "holm",
    "label_columns",
    "labelled_faces",
    "measured_labels",
    "read_labels",
    "resample",
    "resampled",
    "resampling_weights",
    "rogan_gladen",
    "shares",
    "table_rows",
    "two_proportions",
    "write_resampled",
]

Labels: TypeAlias = "Sequence[object] | np.ndarray | Tensor"
Target: TypeAlias = "Mapping[str, Mapping[str, float]]"

LEVEL = 0.95
PERMUTATIONS = 9999  # where a table is too sparse for the chi-square distribution
SPARSE = 5.0  # expected counts below this are (Cochran 1954)
ROUNDS = 4000  # draws behind the interval of a corrected share
BLIND = 0.05  # a confusion matrix whose smallest singular value is below this cannot be inverted to any purpose
COLUMNS = ("attribute", "value", "real", "", "generated", "", "difference", "", "Cohen's h", "p, Holm")


# --------------------------------------------------------------------------------------------------------------- shares


@dataclass(frozen=True)
class Share:
    """A share of pictures, 0 to 1, and the interval around it.

    Attributes:
        share: the best estimate.
        low, high: ends of the interval.
        n: how many pictures were counted.
        raw: what the classifier said, before its error was corrected; None where the labels are known.
    """

    share: float
    low: float
    high: float
    n: int
    raw: float | None = None

    def __str__(self) -> str:
        raw = "" if self.raw is None else f", the classifier says {self.raw:.1%}"
        return f"{self.share:.1%} ({self.low:.1%} to {self.high:.1%}{raw})"


def shares(labels: Labels, values: Sequence[str] | None = None, level: float = LEVEL) -> dict[str, Share]:
    """The share of each value among the labels, with its Wilson interval.

    Args:
        labels: one per picture, at least one.
        values: what there could be, in the order wanted: a value that nobody has keeps its place, with a share of 0. By
            default the values that occur, sorted.
        level: of each interval by itself.

    Raises:
        InputError: no labels, or one that is not among the values.
    """
    words = _words(labels)
    counts = _counts(words, values)
    return {value: Share(k / len(words), *wilson_interval(k, len(words), level), len(words)) for value, k in counts.items()}


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
    """How often one value of an attribute occurs in the real and in the generated pictures.

    Attributes:
        attribute, value: such as "glasses", "round".
        real, fake: the two shares.
        difference: fake - real, between -1 and 1.
        low, high: ends of its interval.
        effect: Cohen's h; 0.2 is called small, 0.5 medium, 0.8 large (Cohen 1988).
        p: how often chance alone makes such a difference, for this value by itself.
        adjusted: p by Holm's method over all values that were compared with it.
    """

    attribute: str
    value: str
    real: Share
    fake: Share
    difference: float
    low: float
    high: float
    effect: float
    p: float
    adjusted: float = 1.0

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
    """Whether an attribute is distributed alike in two sets, all values at once.

    Attributes:
        chi_square: Pearson's statistic.
        freedom: its degrees of freedom.
        cramers_v: the effect's size, 0 (alike) to 1 (nothing in common).
        p: from the chi-square distribution, or from permutations where a value is too rare for that (`exact`).
        adjusted: p by Holm's method over the attributes.
    """

    attribute: str
    chi_square: float
    freedom: int
    cramers_v: float
    p: float
    exact: bool
    adjusted: float = 1.0

    @property
    def significant(self) -> bool:
        """Whether `adjusted` is below 0.05."""
        return self.adjusted < 0.05


def compare_shares(
    real: Mapping[str, Labels],
    fake: Mapping[str, Labels],
    *,
    values: Mapping[str, Sequence[str]] | None = None,
    level: float = LEVEL,
) -> list[Difference]:
    """The shares of every value of every attribute in two sets of pictures whose labels are known, and tested differences.

    The interval of a difference is Newcombe's, made of the two Wilson intervals (`difference_interval`), and p that of the
    score test, or Fisher's where counts are small (`two_proportions`). Both sets count as samples of larger ones: against the
    training set as it is, which has no sampling error, they are a little too careful.

    Args:
        real, fake: attribute -> one label per picture, the same attributes in both.
        values: attribute -> its values, as for `shares`; those that neither set has are left out of the tests.

    Raises:
        InputError: other attributes in one than in the other, or what `shares` refuses.
    """
    found = []
    for attribute, (a, b, names) in _paired(real, fake, values).items():
        one, other = shares(a, names, level), shares(b, names, level)
        for value, x in _counts(a, names).items():
            y, n, m = _counts(b, names)[value], len(a), len(b)
            ends = difference_interval(x, n, y, m, level)
            size = cohens_h(other[value].share, one[value].share)
            row = (one[value], other[value], y / m - x / n, *ends, size, two_proportions(x, n, y, m))
            found.append(Difference(attribute, value, *row))
    return _adjusted(found)


def compare_attributes(
    real: Mapping[str, Labels],
    fake: Mapping[str, Labels],
    *,
    values: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> list[AttributeTest]:
    """One test per attribute: do its values have the same shares in both sets? Pearson's chi-square, corrected by Holm.

    With labels that a classifier gave to both sets this is still a sound test: if the sets are alike it errs alike on both.

    Args:
        seed: of the permutations, which stand in where a value is expected fewer than 5 times.

    Raises:
        InputError: as for `compare_shares`.
    """
    found = []
    for attribute, (a, b, names) in _paired(real, fake, values).items():
        table = np.array([list(_counts(side, names).values()) for side in (a, b)], dtype=float)
        table = table[:, table.sum(0) > 0]
        freedom, total = table.shape[1] - 1, table.sum()
        statistic, least = _chi_square(table[0], table.sum(0))
        exact = bool(least < SPARSE) and freedom > 0
        if exact:
            draws = np.random.default_rng(seed)
            columns = table.sum(0).astype(np.int64)
            shuffled = draws.multivariate_hypergeometric(columns, int(table[0].sum()), size=PERMUTATIONS)
            p = (1 + int((_chi_square(shuffled, columns)[0] >= statistic * (1 - 1e-12)).sum())) / (1 + PERMUTATIONS)
        else:
            p = _chi_square_tail(float(statistic), freedom)
        found.append(AttributeTest(attribute, float(statistic), freedom, math.sqrt(float(statistic) / total), p, exact))
    adjusted = holm([test.p for test in found])
    return [dataclasses.replace(test, adjusted=p) for test, p in zip(found, adjusted)]


def _paired(
    real: Mapping[str, Labels], fake: Mapping[str, Labels], values: Mapping[str, Sequence[str]] | None
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


def _chi_square(first: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, float]:
    """Pearson's statistic of tables of first row `first` [..., K] and column sums `columns` [K]; the least expected count."""
    size, total = first.sum(-1, keepdims=True), columns.sum()
    share = columns / total
    expected, other = size * share, (total - size) * share
    gap = (first - expected) ** 2
    return (gap / expected + gap / other).sum(-1), float(min(expected.min(), other.min()))


def _chi_square_tail(statistic: float, freedom: int) -> float:
    if freedom == 0:
        return 1.0
    half = torch.tensor([freedom / 2, statistic / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))


def two_proportions(x: int, n: int, y: int, m: int) -> float:
    """Two-sided p of "x of n and y of m come from equal shares".

    The score test with the pooled share, which is Pearson's chi-square of the 2 x 2 table; Fisher's exact test where a count
    below 5 is expected.

    Raises:
        InputError: counts that are not 0 <= x <= n, 0 <= y <= m with n and m at least 1.
    """
    if not (0 <= x <= n and 0 <= y <= m and n > 0 and m > 0):
        raise InputError(f"{x} of {n} and {y} of {m}: give counts of 0 up to the number of pictures")
    hits, total = x + y, n + m
    if hits in (0, total):
        return 1.0
    if min(n, m) * min(hits, total - hits) / total < SPARSE:
        return _fisher(x, n, y, m)
    share = hits / total
    z = (y / m - x / n) / math.sqrt(share * (1 - share) * (1 / n + 1 / m))
    return math.erfc(abs(z) / math.sqrt(2))


def _fisher(x: int, n: int, y: int, m: int) -> float:
    """Sum of the chances of all tables with the same sums that are no likelier than this one."""
    hits = x + y
    first = np.arange(max(0, hits - m), min(n, hits) + 1)
    logs = np.array([_log_choose(n, int(k)) + _log_choose(m, hits - int(k)) for k in first])
    chances = np.exp(logs - logs.max())
    own = chances[x - first[0]]
    return min(1.0, float(chances[chances <= own * (1 + 1e-9)].sum() / chances.sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def difference_interval(x: int, n: int, y: int, m: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval for y/m - x/n (Newcombe 1998, Statistics in Medicine 17, method 10): made of the two Wilson intervals."""
    p, q = x / n, y / m
    (p_low, p_high), (q_low, q_high) = wilson_interval(x, n, level), wilson_interval(y, m, level)
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
    said = [row.real.share, row.fake.share, row.real.raw or 0.0, row.fake.raw or 0.0]
    return any(share > 0 for share in said)


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
        self.confusion = self._counted(self.labels, self.out_of_fold)
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

        Raises:
            InputError: a label that it does not know, or a value without pictures.
        """
        other, words = copy.copy(self), _words(labels)
        if absent := [value for value, count in _counts(words, self.values).items() if not count]:
            raise InputError(f"none of the pictures to measure the classifier on is {absent[0]!r}: label some")
        other.labels, other.out_of_fold = words, self.predict(features)
        if len(other.out_of_fold) != len(words):
            raise InputError(f"features of {len(other.out_of_fold)} pictures for {len(words)} labels: give one row per label")
        other.confusion = self._counted(words, other.out_of_fold)
        return other

    def _counted(self, truth: np.ndarray, said: np.ndarray) -> np.ndarray:
        place = {value: i for i, value in enumerate(self.values)}
        counts = np.zeros((len(place), len(place)), dtype=np.int64)
        np.add.at(counts, ([place[word] for word in truth], [place[word] for word in said]), 1)
        return counts

    @property
    def blind(self) -> bool:
        """Whether it can so hardly tell its values apart that nothing follows from what it says."""
        return _blind(self.confusion)

    def error(self, level: float = LEVEL) -> Share:
        """The share of pictures that it gets wrong, of those it has not learned from, with its Wilson interval."""
        wrong, n = int(self.confusion.sum() - self.confusion.trace()), int(self.confusion.sum())
        return Share(wrong / n, *wilson_interval(wrong, n, level), n)

    def recalls(self, level: float = LEVEL) -> dict[str, Share]:
        """For each value, the share of its pictures that are recognised; of two values, sensitivity and specificity."""
        found = {}
        for i, value in enumerate(self.values):
            right, n = int(self.confusion[i, i]), int(self.confusion[i].sum())
            found[value] = Share(right / n, *wilson_interval(right, n, level), n)
        return found


# ----------------------------------------------------------------------------------------------------------- correction


def rogan_gladen(said: float, sensitivity: float, specificity: float) -> float:
    """The true share behind what a yes-or-no classifier says (Rogan and Gladen 1978, American Journal of Epidemiology 107).

    said = share * sensitivity + (1 - share) * (1 - specificity), solved for the share and held within 0..1.

    Raises:
        InputError: a classifier no better than chance, of which nothing follows.
    """
    youden = sensitivity + specificity - 1
    if youden <= BLIND:
        raise InputError(f"sensitivity {sensitivity:.2f} and specificity {specificity:.2f} are no better than guessing")
    return min(1.0, max(0.0, (said + specificity - 1) / youden))


def corrected_share(
    predicted: Labels,
    classifier: AttributeClassifier | np.ndarray,
    *,
    level: float = LEVEL,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, Share]:
    """The shares behind a classifier's labels: its confusion matrix inverted, with an interval for everything that is unsure.

    The rows of the matrix say what becomes of each true value, so that said = truth @ matrix; for two values this is
    `rogan_gladen`. Where the solution leaves the possible shares it is moved to the nearest that are. The interval holds both
    samplings, of the pictures and of the confusion matrix: `rounds` draws of both from their Dirichlet distributions (counts
    + 1/K, for K values), each corrected, and the quantiles of those.

    Args:
        predicted: what the classifier says of each picture.
        classifier: fitted; or counts [K, K] of its errors, of values called "0", "1", ...
        level, rounds, seed: of the interval.

    Returns:
        For each of its values the corrected share; `Share.raw` is what it says.

    Raises:
        InputError: labels that the classifier does not know, or one that cannot tell its values apart.
    """
    confusion, values = _confusion(classifier)
    said = np.array(list(_counts(_words(predicted), values).values()))
    drawn = _share_draws(said, _matrix_draws(confusion, rounds, seed), np.random.default_rng([seed, 1]))
    point = _corrected(said / said.sum(), _rates(confusion))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    n = int(said.sum())
    return {v: _share(point[i], low[i], high[i], n, said[i] / n) for i, v in enumerate(values)}


def _share(share: float, low: float, high: float, n: int, raw: float | None) -> Share:
    """With an interval that holds its share: at 0 and 1 the draws lie a little inside."""
    return Share(
        float(share), min(float(low), float(share)), max(float(high), float(share)), n, None if raw is None else float(raw)
    )


def compare_corrected(
    classifiers: Mapping[str, AttributeClassifier],
    fake: Mapping[str, Labels],
    real: Mapping[str, Labels] | None = None,
    *,
    level: float = LEVEL,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> list[Difference]:
    """`compare_shares` where the generated pictures' labels come from classifiers: corrected shares and their differences.

    The test compares like with like: what the classifier says of the fakes with what it says of the reals, out of fold where it
    was fitted to them. If both are alike it errs alike on both, so p needs no correction. The shares, their difference and
    the intervals are corrected ones.

    Args:
        classifiers: attribute -> fitted to labelled pictures.
        fake: attribute -> what the classifier says of the generated pictures.
        real: attribute -> what it says of the real pictures, if those are not the ones it was fitted to; without it the real
            shares are those of the known labels, which need no correction.

    Raises:
        InputError: as for `corrected_share`, or other attributes on one side.
    """
    if set(classifiers) != set(fake) or (real is not None and set(real) != set(fake)):
        raise InputError(f"the classifiers say {', '.join(classifiers)}: give the labels of just these attributes")
    found = []
    for attribute, judge in classifiers.items():
        found += _corrected_rows(
            attribute, judge, fake[attribute], None if real is None else real[attribute], level, rounds, seed
        )
    return _adjusted(found)


def _corrected_rows(
    attribute: str, judge: AttributeClassifier, fake: Labels, real: Labels | None, level: float, rounds: int, seed: int
) -> list[Difference]:
    other = corrected_share(fake, judge, level=level, rounds=rounds, seed=seed)
    if real is None:
        one, heard = shares(judge.labels, judge.values, level), judge.out_of_fold
    else:
        one, heard = corrected_share(real, judge, level=level, rounds=rounds, seed=seed + 1), real
    before, after = (np.array(list(_counts(_words(said), judge.values).values())) for said in (heard, fake))
    # The same matrices on both sides: an error of the classifier's that moves both shares does not move their difference.
    matrices = _matrix_draws(judge.confusion, rounds, seed)
    draws = [np.random.default_rng([seed, side]) for side in (1, 2)]
    if real is None:
        known = np.array(list(_counts(judge.labels, judge.values).values()))
        left = draws[1].dirichlet(known + 1 / len(known), size=rounds)
    else:
        left = _share_draws(before, matrices, draws[1])
    gaps = np.quantile(_share_draws(after, matrices, draws[0]) - left, [(1 - level) / 2, (1 + level) / 2], axis=0)
    rows = []
    for i, value in enumerate(judge.values):
        a, b = one[value], other[value]
        gap = b.share - a.share
        p = two_proportions(int(before[i]), int(before.sum()), int(after[i]), int(after.sum()))
        ends = (min(float(gaps[0, i]), gap), max(float(gaps[1, i]), gap))
        rows.append(Difference(attribute, value, a, b, gap, *ends, cohens_h(b.share, a.share), p))
    return rows


def _confusion(classifier: AttributeClassifier | np.ndarray) -> tuple[np.ndarray, list[str]]:
    if isinstance(classifier, AttributeClassifier):
        confusion, values = classifier.confusion, classifier.values
    else:
        confusion = np.asarray(classifier)
        values = [str(i) for i in range(len(confusion))]
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or bool((confusion.sum(1) < 1).any()):
        raise InputError(f"a confusion matrix of shape {list(confusion.shape)}: give counts [K, K], with pictures in every row")
    if _blind(confusion):
        raise InputError(
            "the classifier cannot tell these values apart: nothing follows from what it says; join values or drop it"
        )
    return confusion, values


def _blind(confusion: np.ndarray) -> bool:
    return bool(np.linalg.svd(_rates(confusion), compute_uv=False)[-1] < BLIND)


def _rates(confusion: np.ndarray) -> np.ndarray:
    return confusion / confusion.sum(-1, keepdims=True)


def _matrix_draws(confusion: np.ndarray, rounds: int, seed: int) -> np.ndarray:
    """[rounds, K, K]: confusion matrices as they might be."""
    draws = np.random.default_rng([seed, 0])
    return np.stack([draws.dirichlet(row + 1 / len(row), size=rounds) for row in confusion], axis=1)


def _share_draws(said: np.ndarray, matrices: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """[rounds, K]: corrected shares as they might be."""
    return _corrected(draws.dirichlet(said + 1 / len(said), size=len(matrices)), matrices)


def _corrected(said: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[..., K]: shares t >= 0 that sum to 1 and are nearest to the solution of t @ matrix = said."""
    inverse = np.linalg.pinv(matrix, rcond=1e-3)
    return _on_simplex((said[..., None, :] @ inverse)[..., 0, :])


def _on_simplex(points: np.ndarray) -> np.ndarray:
    """The nearest shares to each point (Duchi and others 2008, ICML, figure 1)."""
    ordered = -np.sort(-points, axis=-1)
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
    wanted = {str(value): float(share) for value, share in goal.items()}
    there = _counts(words, None)
    if any(not share >= 0 for share in wanted.values()) or abs(sum(wanted.values()) - 1) > 1e-6:
        raise InputError(f"the target of {name!r} sums to {sum(wanted.values()):g}: give shares of 0 or more that sum to 1")
    if unknown := [value for value, share in wanted.items() if share > 0 and value not in there]:
        raise InputError(f"the target wants {unknown[0]!r} of {name!r}: no picture has it, and none can be made up")
    if left := [value for value in there if value not in wanted]:
        raise InputError(f"the target of {name!r} leaves out {left[0]!r}: give it a share, 0 to drop those pictures")
    total = sum(wanted.values())
    return [(words == value, wanted[value] / total) for value in there]


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
    source: str | Path | Tensor, names: Sequence[str], indices: np.ndarray, labels: Mapping[str, Labels], dest: str | Path
) -> Path:
    """A folder, or a zip if `dest` ends so, with the chosen pictures; and their labels beside it, in DEST-labels.csv.

    Files are copied as they are; the second copy of a.jpg is called a~2.jpg. Pictures that are a tensor are written as PNG.

    Args:
        source: the folder or zip that the names are of; or the pictures, uint8 [N, 3, H, W].
        names: of all pictures, [N].
        indices: of those wanted, as `resample` makes them.
        labels: attribute -> labels of all pictures.
        dest: what to write; a folder must be new or empty.

    Returns:
        The file of labels.

    Raises:
        InputError: `dest` is not free, or a picture has gone.
    """
    dest = Path(dest)
    if isinstance(source, Tensor):
        _write_pictures(dest, names, indices, lambda i: _png(source[i]))
    else:
        with Source(source) as opened:
            _write_pictures(dest, names, indices, lambda i: opened.read(names[i]))
    path = dest.with_name(f"{dest.stem if dest.suffix == '.zip' else dest.name}-labels.csv")
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["file", *labels])
        columns = [_words(column) for column in labels.values()]
        lines.writerows([name, *(column[i] for column in columns)] for name, i in _copies(names, indices))
    return path


def _copies(names: Sequence[str], indices: np.ndarray) -> Iterable[tuple[str, int]]:
    seen: dict[int, int] = {}
    for i in map(int, indices):
        seen[i] = seen.get(i, 0) + 1
        path = Path(names[i])
        yield (names[i] if seen[i] == 1 else path.with_name(f"{path.stem}~{seen[i]}{path.suffix}").as_posix()), i


def _write_pictures(dest: Path, names: Sequence[str], indices: np.ndarray, read) -> None:
    if dest.suffix == ".zip":
        if dest.exists():
            raise InputError(f"{dest} already exists: choose another name or remove it first")
        with replacing(dest) as temporary, zipfile.ZipFile(temporary, "w") as file:
            for name, i in _copies(names, indices):
                file.writestr(name, read(i))
        return
    with replacing_folder(dest) as folder:
        for name, i in _copies(names, indices):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(read(i))


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
    """Labels that follow from the pixels of aligned portraits, real and generated alike, with no classifier and its errors.

    "colour": grey or colour. "background": dark, middle or light, by the mean luma of the two upper corners. "face": dark,
    middle or light, by the mean luma between eyes and mouth. The last is light on skin, not skin: exposure moves it as much.

    Args:
        pictures: uint8 [N, 3, H, W], framed alike, the face in the middle.

    Raises:
        InputError: another name, or pictures that are none.
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
            rows, columns = (
                (slice(0, size // 8), slice(0, wide // 8))
                if name == "background"
                else (
                    slice(size * 9 // 20, size * 13 // 20),
                    slice(wide * 7 // 20, wide * 13 // 20),
                )
            )
            parts = [pictures[:, :, rows, columns]] + ([pictures[:, :, rows, -(wide // 8) :]] if name == "background" else [])
            luma = sum((part.float().mean((2, 3)) * luma_weights).sum(1) for part in parts) / len(parts)
            found[name] = np.array(MEASURES[name])[np.digitize(luma.numpy(), [_DARK, _LIGHT])]
        else:
            raise InputError(f"{name!r} cannot be measured: choose among {', '.join(MEASURES)}")
    return found


def read_labels(path: str | Path, attributes: Sequence[str]) -> dict[str, dict[str, str]]:
    """A CSV of labels: attribute -> {file: value}. The first column names the picture, the others are attributes.

    An attribute is given as a column's name, or, to cut a column of numbers, as NAME@LIMIT[@LIMIT...]: "age@30@60" makes
    "below 30", "30 to 60", "60 and above". Pictures with an empty cell are left out of that attribute.

    Raises:
        InputError: no such file or column, or a cell that is no number where one is cut.
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


def label_columns(path: str | Path) -> list[str]:
    """The attributes that a CSV of labels has columns for.

    Raises:
        InputError: no such file, or no labels in it.
    """
    return [cell.strip() for cell in _lines(path)[0][1:]]


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
    """Pictures with the labels that a CSV has for them.

    Attributes:
        images: uint8 [N, 3, S, S].
        names: of their files in the source.
        labels: attribute -> str [N].
        unlabelled: how many pictures were left out because a label is missing.
        report: what was wrong with single files.
    """

    images: Tensor
    names: list[str]
    labels: dict[str, np.ndarray]
    unlabelled: int
    report: tuple[Row, ...]


def labelled_faces(source: str | Path, known: Mapping[str, Mapping[str, str]], size: int) -> Labelled:
    """The pictures of a folder or zip that have all the labels of `read_labels`, by path, file name or name without ending.

    Raises:
        InputError: no such source, or none of its pictures has labels.
    """
    pictures, names, rows, unlabelled = [], [], [], 0
    columns: dict[str, list[str]] = {attribute: [] for attribute in known}
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
            names.append(item.name)
            for column, value in zip(columns.values(), values):
                column.append(value)
        if not pictures and not unlabelled:
            raise nothing_usable(opened, rows)
    if not pictures:
        raise InputError(f"{source}: none of its pictures has these labels: the CSV's first column must name the files")
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
    return Labelled(images, names, {a: np.array(column) for a, column in columns.items()}, unlabelled, tuple(rows))


def table_rows(differences: Sequence[Difference]) -> list[tuple[str, ...]]:
    """Rows of text for `facegen.show.text.table` with the headers `COLUMNS`; a star marks what is significant."""

    def share(side: Share) -> tuple[str, str]:
        raw = "" if side.raw is None else f" [said {side.raw:.1%}]"
        return f"{side.share:.1%}{raw}", f"{side.low:.1%} to {side.high:.1%}"

    rows = []
    for d in differences:
        gap = (f"{100 * d.difference:+.1f}", f"{100 * d.low:+.1f} to {100 * d.high:+.1f}")
        p = "< 0.0001" if d.adjusted < 1e-4 else f"{d.adjusted:.4f}"
        rows.append(
            (
                d.attribute,
                d.value,
                *share(d.real),
                *share(d.fake),
                *gap,
                f"{d.effect:+.2f}",
                p + (" *" if d.significant else ""),
            )
        )
    return rows
