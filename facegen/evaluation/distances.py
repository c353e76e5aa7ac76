"""How far one set of pictures is from another, on their features: arrays [n, d], one row per picture.

frechet_distance(real, fake)                     # smaller is nearer; biased upwards in small sets
kid(real, fake)                                  # the same question without the bias
precision, recall = precision_recall(real, fake) # do the fakes look real; do the reals have look-alikes among the fakes
low, high = bootstrap_interval(kid, real, fake)  # how far a number would move with other pictures from the same source

Arrays of NumPy and tensors of PyTorch are taken, of any float type and on any device; everything is computed in float64 on the
CPU. Matrices of pairs are made a block of rows at a time, so that ten thousand rows a side fit into any memory. Where the
features come from, and what their numbers may be called, is the business of `facegen.evaluation.features`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from facegen.files import InputError

Array: TypeAlias = "np.ndarray | Tensor"

BLOCK = 1 << 22
"""Numbers in one block of a matrix of pairs: 32 MiB of float64."""

SAME = 1e-12
"""Squared distances below this share of the two squared lengths are rounding, and count as 0: equal rows are at distance 0."""


# ---------------------------------------------------------------------------------------------------------------- input


def _rows(features: Array, name: str, least: int = 2) -> Tensor:
    """float64 [n, d] on the CPU."""
    rows = torch.as_tensor(features).detach()
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.is_complex():
        raise InputError(f"{name} is an array of shape {list(rows.shape)}: give features [n, d], one row per picture")
    if len(rows) < least:
        raise InputError(f"{name} has {len(rows)} rows: this needs at least {least}")
    rows = rows.to("cpu", torch.float64)
    if not bool(torch.isfinite(rows).all()):
        raise InputError(f"{name} holds values that are not finite: look at row {int((~rows.isfinite()).any(1).nonzero()[0])}")
    return rows


def _pair(x: Array, y: Array, names: tuple[str, str] = ("x", "y"), least: int = 2) -> tuple[Tensor, Tensor]:
    a, b = _rows(x, names[0], least), _rows(y, names[1], least)
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"{names[0]} has {a.shape[1]} features per picture and {names[1]} {b.shape[1]}: both must come from one network"
        )
    return a, b


def _blocks(rows: Tensor, width: int) -> Iterator[slice]:
    """Slices of `rows` whose products with `width` other rows stay small."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step))


# ------------------------------------------------------------------------------------------------------------- Frechet


def moments(x: Array) -> tuple[Tensor, Tensor]:
    """Mean [d] and sample covariance [d, d] (divided by n - 1, as `numpy.cov` does), float64."""
    rows = _rows(x, "x")
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.T @ centred / (len(rows) - 1)


def frechet_distance(x: Array, y: Array) -> float:
    """Frechet distance between the Gaussians with the means and covariances of two sets of features.

    |mu1 - mu2|^2 + trace(S1 + S2 - 2 (S1 S2)^(1/2)); on Inception features this is the FID (Heusel and others 2017,
    arXiv:1706.08500). The covariances are those of a sample, divided by n - 1, as in pytorch-fid and torch-fidelity; NVIDIA's
    StyleGAN repositories divide by n, which makes their numbers smaller by about a share 1/n.

    No matrix square root is taken: only its trace is wanted, which is the sum of the singular values of A B^T where
    S1 = A^T A and S2 = B^T B. With fewer rows than features these are the centred rows themselves, so that a covariance
    without full rank costs no accuracy. The estimate is biased upwards by about a constant over n (Chong and Forsyth 2020,
    arXiv:1911.07023): compare distances at equal counts only.

    Args:
        x, y: features [n, d] and [m, d], at least 2 rows each.

    Returns:
        The squared distance, 0 or more.

    Raises:
        InputError: not finite features of one width, or fewer than 2 rows.
    """
    a, b = _pair(x, y)
    if max(len(a), len(b)) > a.shape[1]:
        return frechet_from_moments(*moments(a), *moments(b))
    gap = (a.mean(0) - b.mean(0)).square().sum()
    a = (a - a.mean(0)) / math.sqrt(len(a) - 1)
    b = (b - b.mean(0)) / math.sqrt(len(b) - 1)
    common = torch.linalg.svdvals(a @ b.T).sum()
    return max(0.0, float(gap + a.square().sum() + b.square().sum() - 2 * common))


def frechet_from_moments(mu1: Array, cov1: Array, mu2: Array, cov2: Array) -> float:
    """Frechet distance between two Gaussians, from their means [d] and covariances [d, d].

    The trace of (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of A S2 A^T with S1 = A^T A, a symmetric
    matrix. A is the Cholesky factor of S1, or, where that has not full rank, comes from its eigenvectors. Eigenvalues that are
    only rounding are left out: their square roots would be far larger than they are.

    Returns:
        The squared distance, 0 or more.
    """
    mean1, mean2 = (torch.as_tensor(mu).detach().to("cpu", torch.float64).reshape(-1) for mu in (mu1, mu2))
    first, second = _covariance(cov1, "cov1", len(mean1)), _covariance(cov2, "cov2", len(mean1))
    if len(mean2) != len(mean1) or not bool((mean1 + mean2).isfinite().all()):
        raise InputError(f"the means have {len(mean1)} and {len(mean2)} values: they must be equally many, and finite")
    spectrum = torch.linalg.eigvalsh(_between(first, second), UPLO="L")
    common = spectrum[_above_rounding(spectrum, "cov2")].sqrt().sum()
    return max(0.0, float((mean1 - mean2).square().sum() + first.trace() + second.trace() - 2 * common))


def _between(first: Tensor, second: Tensor) -> Tensor:
    """A S2 A^T [r, r], of which only the lower triangle is right, for covariances S1 = A^T A and S2 [d, d]."""
    factor, failed = torch.linalg.cholesky_ex(first)
    if failed:
        values, vectors = torch.linalg.eigh(first)
        kept = _above_rounding(values, "cov1")
        factor = vectors[:, kept] * values[kept].sqrt()
        return factor.T @ second @ factor
    # With the factor in blocks [[a, 0], [b, c]], what is 0 or above the diagonal need not be computed: a third less work.
    half = len(first) // 2
    a, b, c = factor[:half, :half], factor[half:, :half], factor[half:, half:]
    left = torch.addmm(second[:, :half] @ a, second[:, half:], b)
    product = torch.zeros_like(second)
    product[:half, :half] = torch.addmm(a.T @ left[:half], b.T, left[half:])
    product[half:, :half] = c.T @ left[half:]
    product[half:, half:] = c.T @ (second[half:, half:] @ c)
    return product


def _covariance(matrix: Array, name: str, size: int) -> Tensor:
    matrix = torch.as_tensor(matrix).detach().to("cpu", torch.float64)
    if matrix.shape != (size, size):
        raise InputError(f"{name} has shape {list(matrix.shape)} beside means of {size} values: give [{size}, {size}]")
    if not bool(matrix.isfinite().all()):
        raise InputError(f"{name} holds values that are not finite")
    return matrix


def _above_rounding(values: Tensor, name: str) -> Tensor:
    """bool [r]: which eigenvalues of a positive semi-definite matrix are more than rounding."""
    top = float(values.abs().max()) if len(values) else 0.0
    floor = top * len(values) * torch.finfo(values.dtype).eps
    if bool((values < -1e-6 * top).any()):
        raise InputError(f"{name} is no covariance: it has an eigenvalue of {float(values.min()):.3g}")
    return values > floor


# ------------------------------------------------------------------------------------------------------------------ KID


def kid(x: Array, y: Array) -> float:
    """Kernel inception distance: the unbiased estimate of the squared maximum mean discrepancy, on all rows.

    Binkowski and others 2018, arXiv:1801.01401; the estimator is equation 3 of Gretton and others 2012 (JMLR 13) with the
    kernel (a . b / d + 1)^3. Its mean does not depend on how many pictures there are, so it may come out below 0 where the
    two sets are alike. Published KIDs are often given times 1000.

    Args:
        x, y: features [n, d] and [m, d], at least 2 rows each.

    Raises:
        InputError: not finite features of one width, or fewer than 2 rows.
    """
    a, b = _pair(x, y)
    return _within(a) + _within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T).div_(a.shape[1]).add_(1).pow_(3)


def _kernel_sum(a: Tensor, b: Tensor) -> float:
    return float(sum(_kernel(a[part], b).sum() for part in _blocks(a, len(b))))


def _within(a: Tensor) -> float:
    """Mean of the kernel over pairs of different rows."""
    own = (a.square().sum(1) / a.shape[1] + 1).pow(3).sum()
    return float((_kernel_sum(a, a) - own) / (len(a) * (len(a) - 1)))


def _kid_of_halves(a: Tensor, b: Tensor, chosen: list[tuple[Tensor, Tensor]]) -> list[float]:
    """`kid` of the chosen rows of either side, for every choice, from one evaluation of the kernel."""
    in_a, in_b = (torch.zeros(len(rows), len(chosen), dtype=torch.float64) for rows in (a, b))  # [n, rounds]: 1 where chosen
    for i, (rows_a, rows_b) in enumerate(chosen):
        in_a[rows_a, i], in_b[rows_b, i] = 1.0, 1.0
    size_a, size_b = in_a.sum(0), in_b.sum(0)
    within = [_chosen_sum(rows, rows, inside, inside) for rows, inside in ((a, in_a), (b, in_b))]
    for i, (rows, inside) in enumerate(((a, in_a), (b, in_b))):
        within[i] -= (rows.square().sum(1) / rows.shape[1] + 1).pow(3) @ inside
    values = within[0] / (size_a * (size_a - 1)) + within[1] / (size_b * (size_b - 1))
    return (values - 2 * _chosen_sum(a, b, in_a, in_b) / (size_a * size_b)).tolist()


def _chosen_sum(a: Tensor, b: Tensor, in_a: Tensor, in_b: Tensor) -> Tensor:
    """[rounds]: sums of the kernel over the chosen rows of a and of b."""
    parts = _blocks(a, max(len(b), in_b.shape[1]))
    return sum((in_a[part] * (_kernel(a[part], b) @ in_b)).sum(0) for part in parts)


# -------------------------------------------------------------------------------------------------- nearest neighbours


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """[n, m]; exactly 0 between equal rows."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    squares = (a @ b.T).mul_(-2).add_(lengths)
    return squares.masked_fill_(squares <= SAME * lengths, 0.0)


def _radii(rows: Tensor, k: int) -> Tensor:
    """[n]: squared distance of each row to its k-th nearest other row."""
    found = []
    for part in _blocks(rows, len(rows)):
        squares = _squared_distances(rows[part], rows)
        squares[torch.arange(len(squares)), torch.arange(part.start, part.stop)] = -1.0  # itself comes first
        found.append(squares.kthvalue(k + 1).values)
    return torch.cat(found)


def _neighbours(real: Array, fake: Array, k: int) -> tuple[Tensor, Tensor]:
    """Both sides as float64, moved so that the reals' mean is at 0: differences of large numbers lose digits."""
    if k < 1:
        raise InputError(f"k is {k}: it counts neighbours, so give 1 or more")
    a, b = _pair(real, fake, ("real", "fake"), least=k + 1)
    return a - a.mean(0), b - a.mean(0)


def precision_recall(real: Array, fake: Array, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall of Kynkaanniemi and others 2019 (arXiv:1904.06991).

    A ball lies around each picture, as large as the distance to its k-th nearest neighbour in its own set. Precision is the
    share of fakes that lie in a ball of the reals, recall the share of reals that lie in a ball of the fakes. Equal to
    torch-fidelity's; NVIDIA's code rounds features and distances to half precision, which moves single pictures over a border.

    Args:
        real, fake: features [n, d] and [m, d], more than k rows each. Both numbers depend on n and m: compare at equal ones.

    Raises:
        InputError: not finite features of one width, or too few rows.
    """
    a, b = _neighbours(real, fake, k)
    return _share_inside(b, a, _radii(a, k)), _share_inside(a, b, _radii(b, k))


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of the points that lie in at least one ball."""
    inside = ((_squared_distances(points[part], centres) <= radii).any(1).sum() for part in _blocks(points, len(centres)))
    return int(sum(inside)) / len(points)


def density_coverage(real: Array, fake: Array, k: int = 5) -> tuple[float, float]:
    """Density and coverage of Naeem and others 2020 (arXiv:2002.09797).

    Density is the mean number of reals' balls (see `precision_recall`) that hold a fake, divided by k: 1 is expected of fakes
    like the reals, more where they crowd where the reals crowd. Coverage is the share of reals whose ball holds a fake; of
    fakes like the reals it expects 1 - product over i = 1..k of (n - i) / (n + m - i). A single odd picture moves either
    less than it moves precision and recall.

    Args:
        real, fake: features [n, d] and [m, d], more than k rows each.
    """
    a, b = _neighbours(real, fake, k)
    radii, balls, covered = _radii(a, k), 0, torch.zeros(len(a), dtype=torch.bool)
    for part in _blocks(b, len(a)):
        inside = _squared_distances(b[part], a) <= radii
        balls += int(inside.sum())
        covered |= inside.any(0)
    return balls / (k * len(b)), float(covered.double().mean())


# ------------------------------------------------------------------------------------------------------ Inception score


def inception_score(logits: Array, splits: int = 10, seed: int | None = 2020) -> tuple[float, float]:
    """Inception score of Salimans and others 2016 (arXiv:1606.03498): exp of the mean divergence of a picture's class
    probabilities from their mean; its mean and standard deviation over `splits` parts of the pictures.

    It looks at fakes alone, knows ImageNet's classes only, and grows with the number of pictures in a part. For faces it says
    next to nothing: it is here because papers print it.

    Args:
        logits: [n, classes], before the softmax.
        splits: how many parts, of equal size but for one row.
        seed: of the order in which the rows are put before they are split, so that pictures that come sorted do no harm; the
            default gives torch-fidelity's numbers. None leaves them in place.
    """
    rows = _rows(logits, "logits", least=max(1, splits))
    if splits < 1:
        raise InputError(f"splits is {splits}: give 1 or more")
    if seed is not None:
        rows = rows[torch.from_numpy(np.random.RandomState(seed).permutation(len(rows)))]
    scores = []
    for i in range(splits):
        log_p = rows[i * len(rows) // splits : (i + 1) * len(rows) // splits].log_softmax(1)
        log_mean = log_p.logsumexp(0) - math.log(len(log_p))
        scores.append(float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp()))
    return float(np.mean(scores)), float(np.std(scores))


# ------------------------------------------------------------------------------------------------------------ intervals


def bootstrap_interval(
    statistic: Callable[[Tensor, Tensor], float],
    x: Array,
    y: Array,
    rounds: int = 200,
    level: float = 0.95,
    seed: int = 0,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Interval around a statistic of two sets: how far it would move with other pictures from the same two sources.

    The ordinary bootstrap is wrong for every distance in this file, because a sample with replacement holds pictures twice.
    Pairs of equal rows enter the KID as if they were different pictures, and its unbiased estimate becomes a biased one; a
    Frechet distance gains its bias a second time; and a picture beside its own copy has a nearest neighbour at distance 0.
    So each round draws half of the rows of each side without replacement. The spread of such halves around their mean is that
    of the statistic at full size, with no factor, as leaving out d of n rows asks for (n - d) / d (Shao and Wu 1989, Annals of
    Statistics 17: the delete-d jackknife; Politis and Romano 1994, Annals of Statistics 22: subsampling). The halves' own
    bias is taken away with their mean: the interval is the statistic of all rows plus the quantiles of what the halves
    deviate from their mean.

    It is one for the mean of the statistic at these numbers of pictures. For the KID that is the distance of the sources
    themselves; for a Frechet distance it contains the bias of small sets, which is part of every such number. Measured on
    Gaussians, 200 rounds at 95 %: it holds that mean in 93 to 98 % of cases where the sources differ, and in nearly 100 % where
    they are alike, as the spread is then too large by a factor of up to the square root of 3 (the leading term of the variance
    vanishes there). The ordinary bootstrap held it in 0 to 91 %. Pictures must be independent of each other: for several
    pictures of a person, or frames of one film, it is too narrow.

    Args:
        statistic: a function of two float64 tensors [n, d] and [m, d] that does not depend on the order of rows; `kid`,
            `frechet_distance`, or e.g. `lambda real, fake: precision_recall(real, fake)[0]`.
        x, y: features [n, d] and [m, d], at least 4 rows each, and twice of what the statistic needs.
        rounds: how many halves. Each takes about a quarter of the statistic's own time where that grows with n times m; all
            those of `kid` together take twice its own.
        level: share of such intervals that hold the mean.
        seed: of the halves: equal seeds give equal intervals.
        limits: values that the statistic cannot pass, such as (0, 1) for a share: the interval ends there.

    Returns:
        Its lower and upper end.

    Raises:
        InputError: not finite features of one width, too few rows, or too few rounds for the level.
    """
    a, b = _pair(x, y, least=4)
    tail = (1 - _checked(level)) / 2
    if rounds * tail < 1:
        raise InputError(f"{rounds} rounds say nothing about a level of {level}: give at least {math.ceil(1 / tail)}")
    draws = np.random.default_rng(seed)
    chosen = [(_half(len(a), draws), _half(len(b), draws)) for _ in range(rounds)]
    if statistic is kid:
        halves = _kid_of_halves(a, b, chosen)
    else:
        progress = tqdm(chosen, desc="interval", leave=False, disable=None)
        halves = [float(statistic(a[in_a], b[in_b])) for in_a, in_b in progress]
    whole = float(statistic(a, b))
    low, high = whole + np.quantile(np.array(halves) - np.mean(halves), [tail, 1 - tail])
    return max(limits[0], float(low)), min(limits[1], float(high))


def _half(count: int, draws: np.random.Generator) -> Tensor:
    """Half of the row numbers below `count`, rounded down."""
    return torch.from_numpy(draws.permutation(count)[: count // 2])


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval for a share from `successes` in `n` independent tries (Wilson 1927, JASA 22).

    It never leaves 0..1 and holds its level for small n and for shares near 0 or 1, where p +- z sqrt(p (1 - p) / n) does not.

    Raises:
        InputError: successes outside 0..n, n below 1, or a level that is not between 0 and 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise InputError(f"{successes} successes in {n} tries: give 0 <= successes <= n and n >= 1")
    z = NormalDist().inv_cdf((1 + _checked(level)) / 2)
    share, z2 = successes / n, z * z / n
    middle = (share + z2 / 2) / (1 + z2)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    # At the ends the formula gives exactly 0 or 1, but for rounding.
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise InputError(f"level is {level}: give a share between 0 and 1, such as 0.95")
    return level
