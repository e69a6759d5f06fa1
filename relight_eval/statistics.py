"""Numbers in, numbers out: what a table says of one column of scores, and whether two columns differ.

Intervals and tests resample *units*: the groups of images that depend on each other (those of a scene), or every
image where there are no groups. The resampling is a few lines of NumPy that give what scipy.stats gives, number for
number (the tests hold them to it): importing scipy.stats takes longer than all else that `gate` and `compare` do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0  # the interval of the same scores is the same in every run
FEWEST = 7  # units below which there is neither interval nor test: the interval of six covers less than 93 %
EXACT = 13  # units up to which the test goes through all 2^n flips of sign


@dataclass(frozen=True)
class Summary:
    """One column over the images that have it.

    `count` values, of which `infinite` are infinite (the PSNR of identical images): those are left out of mean,
    std and ci95, which would say nothing otherwise, but not of the order statistics. `std` is the sample standard
    deviation; `ci95` the 95 % bootstrap interval of the mean. NaN where there are too few values.
    """

    count: int
    infinite: int
    mean: float
    median: float
    std: float
    p05: float
    p95: float
    min: float
    max: float
    ci95: tuple[float, float]


def summary(values: Sequence[float], groups: Sequence[str] | None = None, *, seed: int = SEED) -> Summary:
    """The summary of scores, which may hold inf but not NaN; for no scores everything but the counts is NaN.

    `groups` holds the group of each score.
    """
    scores = np.asarray(values, dtype=np.float64)
    kept = np.isfinite(scores)
    finite = scores[kept]
    p05, median, p95 = (quantile(scores, q) for q in (0.05, 0.5, 0.95))
    return Summary(
        count=len(scores),
        infinite=len(scores) - len(finite),
        mean=mean(finite),
        median=median,
        std=float(finite.std(ddof=1)) if len(finite) > 1 else math.nan,
        p05=p05,
        p95=p95,
        min=float(scores.min()) if len(scores) else math.nan,
        max=float(scores.max()) if len(scores) else math.nan,
        ci95=bootstrap_interval(finite, None if groups is None else np.asarray(groups)[kept].tolist(), seed=seed),
    )


def mean(scores: NDArray[np.float64]) -> float:
    """The mean, the same in whatever order, and never beyond the scores by rounding; NaN for no scores."""
    if not len(scores):
        return math.nan
    return min(max(math.fsum(scores) / len(scores), float(scores.min())), float(scores.max()))


def quantile(scores: NDArray[np.float64], q: float) -> float:
    """The linear quantile (NumPy's default), inf where it falls between infinite values; NaN for no scores."""
    if not len(scores):
        return math.nan
    position = round(q * (len(scores) - 1), 9)  # 0.07 * 100 is a little more than 7
    ordered = np.sort(scores)
    low, high = float(ordered[math.floor(position)]), float(ordered[math.ceil(position)])
    if math.isinf(high) or low == high:
        return high if position > math.floor(position) else low
    return low + (high - low) * (position - math.floor(position))


def bootstrap_interval(
    scores: NDArray[np.float64],
    groups: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean, of whole groups where there are some.

    The percentiles are those of Hesterberg's expanded interval (The American Statistician 69, 2015): as far out as
    Student's t is from the normal distribution, for the plain ones are too narrow when units are few.
    (NaN, NaN) for fewer than FEWEST units.
    """
    totals, counts = _units(scores, groups)
    units = len(totals)
    if units < FEWEST:
        return math.nan, math.nan
    if (scores == scores[0]).all():
        return float(scores[0]), float(scores[0])
    from scipy.special import ndtr, stdtrit  # a sixth of a second, not paid by those who need no interval

    reach = math.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + confidence) / 2)
    means = _resampled_means(totals, None if groups is None else counts, resamples, seed)
    low, high = np.quantile(means, [ndtr(-reach), ndtr(reach)])
    return float(low), float(high)


def _resampled_means(
    totals: NDArray[np.float64], counts: NDArray[np.float64] | None, resamples: int, seed: int
) -> NDArray[np.float64]:
    """The means of as many units, drawn with replacement, again and again; `counts` None: of one score each."""
    rng, units = np.random.default_rng(seed), len(totals)
    means = []
    at_once = max(1, 2**21 // units)  # 32 MiB, however many scores
    for first in range(0, resamples, at_once):
        drawn = rng.integers(0, units, (min(at_once, resamples - first), units))
        images = units if counts is None else counts[drawn].sum(axis=1)
        means.append(totals[drawn].sum(axis=1) / images)
    return np.concatenate(means)


def paired_p(changes: NDArray[np.float64], groups: Sequence[str] | None = None) -> float:
    """The two-sided p of paired changes under "it makes no difference"; NaN for fewer than FEWEST units.

    Up to EXACT units the sign-flip permutation test of the sum, over all flips of whole units; beyond that Student's
    t of the units' sums, which then says the same.
    """
    totals, _ = _units(changes, groups)
    if len(totals) < FEWEST:
        return math.nan
    if not totals.any():
        return 1.0
    if np.ptp(totals) <= 1e-12 * np.abs(totals).max():  # no spread but that of rounding: t is not defined
        return float(2.0 ** (1 - len(totals)))
    if len(totals) > EXACT:
        from scipy.special import stdtr

        t = totals.mean() / (totals.std(ddof=1) / math.sqrt(len(totals)))
        return float(2 * stdtr(len(totals) - 1, -abs(t)))
    flips = 1 - 2 * (np.arange(2 ** len(totals))[:, np.newaxis] >> np.arange(len(totals)) & 1)  # (2^n, n) of 1 and -1
    sums = np.abs(flips @ totals)
    return float((sums >= sums[0] * (1 - 1e-12)).mean())  # (the first is what was found: no flip)


def holm(ps: Sequence[float]) -> list[float]:
    """The p values corrected for being several (Holm 1979), in the order given; NaN stays and is not counted."""
    corrected = list(ps)
    tested = sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i])
    largest = 0.0
    for rank, i in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * ps[i]))
        corrected[i] = largest
    return corrected


def _units(
    scores: NDArray[np.float64], groups: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each unit, the sum of its scores and how many they are."""
    if groups is None:
        return scores, np.ones_like(scores)
    _, unit = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return np.bincount(unit, weights=scores).astype(np.float64), np.bincount(unit).astype(np.float64)
