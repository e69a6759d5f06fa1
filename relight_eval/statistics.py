"""Numbers in, numbers out: what a table says of one column of scores, and whether two columns differ.

Intervals and tests resample *units*: the groups of images that depend on each other (those of a scene), or every
image where there are no groups. The resampling is a few lines of NumPy that give what scipy.stats gives, number for
number (the tests hold them to it): importing scipy.stats takes longer than all else that `gate` and `compare` do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0  # the interval of the same scores is the same in every run
FEWEST = 7  # units below which there is neither interval nor test: the interval of six covers less than 93 %
PRODUCT = 2**18  # multiplications in a product of matrices up to which no threads are started (they often cost more)
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
    return summaries([np.asarray(values, dtype=np.float64)], groups, seed=seed)[0]


def summaries(
    columns: Sequence[NDArray[np.float64]], groups: Sequence[str] | None = None, *, seed: int = SEED
) -> list[Summary]:
    """The summary of each of several columns of the same images, NaN where an image has no such score.

    `groups` holds the group of each image. Resampled together, and yet to the last bit what each is by itself.
    """
    intervals = bootstrap_intervals(columns, groups, seed=seed)
    return [_summary(column[~np.isnan(column)], interval) for column, interval in zip(columns, intervals, strict=True)]


def _summary(scores: NDArray[np.float64], ci95: tuple[float, float]) -> Summary:
    finite = scores[np.isfinite(scores)]
    ordered = np.sort(scores)
    p05, median, p95 = (_quantile(ordered, q) for q in (0.05, 0.5, 0.95))
    return Summary(
        count=len(scores),
        infinite=len(scores) - len(finite),
        mean=mean(finite),
        median=median,
        std=float(finite.std(ddof=1)) if len(finite) > 1 else math.nan,
        p05=p05,
        p95=p95,
        min=float(ordered[0]) if len(ordered) else math.nan,
        max=float(ordered[-1]) if len(ordered) else math.nan,
        ci95=ci95,
    )


def mean(scores: NDArray[np.float64]) -> float:
    """The mean, the same in whatever order, and never beyond the scores by rounding; NaN for no scores."""
    if not len(scores):
        return math.nan
    return min(max(math.fsum(scores) / len(scores), float(scores.min())), float(scores.max()))


def quantile(scores: NDArray[np.float64], q: float) -> float:
    """The linear quantile (NumPy's default), inf where it falls between infinite values; NaN for no scores."""
    return _quantile(np.sort(scores), q)


def _quantile(ordered: NDArray[np.float64], q: float) -> float:
    if not len(ordered):
        return math.nan
    position = round(q * (len(ordered) - 1), 9)  # 0.07 * 100 is a little more than 7
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
    """The percentile bootstrap interval of the mean of the finite scores, of whole groups where there are some.

    The percentiles are those of Hesterberg's expanded interval (The American Statistician 69, 2015): as far out as
    Student's t is from the normal distribution, for the plain ones are too narrow when units are few.
    (NaN, NaN) for fewer than FEWEST units.
    """
    return bootstrap_intervals([scores], groups, confidence=confidence, resamples=resamples, seed=seed)[0]


def bootstrap_intervals(
    columns: Sequence[NDArray[np.float64]],
    groups: Sequence[str] | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> list[tuple[float, float]]:
    """The `bootstrap_interval` of each of several columns of the same images, to the last bit.

    Columns that are finite of the same images share what is drawn, which takes the most time. Takes less than 100 MB
    beside the columns and a copy of those that are not finite everywhere, or are summed up by group.
    """
    label = None if groups is None else _numbered(groups)
    lacking_the_same: dict[bytes, list[int]] = {}
    for i, column in enumerate(columns):
        lacking_the_same.setdefault(np.isfinite(column).tobytes(), []).append(i)
    found = [(math.nan, math.nan)] * len(columns)
    for mask, members in lacking_the_same.items():
        kept = np.frombuffer(mask, dtype=np.bool_)
        finite = [columns[i] if kept.all() else columns[i][kept] for i in members]
        unit = None if label is None else np.unique(label[kept], return_inverse=True)[1]
        for i, interval in zip(members, _intervals(finite, unit, confidence, resamples, seed), strict=True):
            found[i] = interval
    return found


def _intervals(
    columns: Sequence[NDArray[np.float64]], unit: NDArray[np.intp] | None, confidence: float, resamples: int, seed: int
) -> list[tuple[float, float]]:
    """The intervals of columns of finite scores; `unit` says to which unit each image belongs, from 0."""
    sizes = _totals(np.ones(len(columns[0])), unit)
    units = len(sizes)
    if units < FEWEST:
        return [(math.nan, math.nan)] * len(columns)
    found = [(float(column[0]), float(column[0])) for column in columns]
    spread = [i for i, column in enumerate(columns) if (column != column[0]).any()]
    if not spread:
        return found
    from scipy.special import ndtr, stdtrit  # a sixth of a second, not paid by those who need no interval

    reach = math.sqrt(units / (units - 1)) * stdtrit(units - 1, (1 + confidence) / 2)
    images, *sums = _resampled_sums([sizes, *(_totals(columns[i], unit) for i in spread)], resamples, seed)
    for i, of_column in zip(spread, sums, strict=True):
        low, high = np.quantile(of_column / images, [ndtr(-reach), ndtr(reach)])
        found[i] = float(low), float(high)
    return found


def _resampled_sums(columns: Sequence[NDArray[np.float64]], resamples: int, seed: int) -> NDArray[np.float64]:
    """Of each column, the sums of as many units, drawn with replacement, again and again: (columns, resamples).

    As products of matrices: how often each unit is drawn, times the columns. In what order a library adds up depends on
    the shape, on threads and machine, but here every sum is exact: each number is taken as two whole numbers, its
    first bits and those behind them, of so few bits that no sum of them is rounded.
    """
    rng, units = np.random.default_rng(seed), len(columns[0])
    bits = 53 - units.bit_length()  # a float64 holds whole numbers up to 2^53
    shift = np.array([[bits - math.frexp(np.abs(column).max())[1]] for column in columns])
    sums = np.empty((len(columns), resamples))
    for chunk in _slices(resamples, 2**24 // units):  # (16 MiB)
        drawn = _times_drawn(rng, units, len(sums[0, chunk]))
        first, behind = np.zeros((2, len(columns), len(drawn)))
        for tile in _slices(units, PRODUCT // 64 // len(columns)):
            scaled = np.ldexp([column[tile] for column in columns], shift)  # (columns, units), up to 2^bits
            whole = np.rint(scaled)
            rest = np.rint(np.ldexp(scaled - whole, bits))
            for some in _slices(len(drawn), PRODUCT // whole.size):
                times = drawn[some, tile].T.astype(np.float64)  # (units, resamples)
                first[:, some] += whole @ times
                behind[:, some] += rest @ times
        sums[:, chunk] = np.ldexp(first + np.ldexp(behind, -bits), -shift)
    return sums


def _times_drawn(rng: np.random.Generator, units: int, resamples: int) -> NDArray[np.uint8]:
    """How often each unit is drawn, of as many draws with replacement as there are units: (resamples, units)."""
    times = np.empty((resamples, units), dtype=np.uint8)  # (the odds of 256 times are 1 to 10^500)
    for chunk in _slices(resamples, 2**18 // units):  # what fits into a cache
        part = times[chunk]
        drawn = rng.integers(0, units, part.shape)
        drawn += units * np.arange(len(part))[:, np.newaxis]
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    return times


def _slices(length: int, step: int) -> Iterator[slice]:
    """All of a length in pieces of `step`, or 1 if that is less."""
    step = max(1, step)
    return (slice(start, start + step) for start in range(0, length, step))


def paired_p(changes: NDArray[np.float64], groups: Sequence[str] | None = None) -> float:
    """The two-sided p of paired changes under "it makes no difference"; NaN for fewer than FEWEST units.

    Up to EXACT units the sign-flip permutation test of the sum, over all flips of whole units; beyond that Student's
    t of the units' sums, which then says the same.
    """
    totals = _totals(changes, None if groups is None else _numbered(groups))
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


def _numbered(groups: Sequence[str]) -> NDArray[np.intp]:
    """The place of each among the sorted groups."""
    places = {group: place for place, group in enumerate(sorted(set(groups)))}
    return np.fromiter((places[group] for group in groups), np.intp, len(groups))


def _totals(scores: NDArray[np.float64], unit: NDArray[np.intp] | None) -> NDArray[np.float64]:
    """The sum of the scores of each unit; None: every score is one."""
    return scores if unit is None else np.bincount(unit, weights=scores).astype(np.float64)
