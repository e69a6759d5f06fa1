"""Numbers in, numbers out: what a table says of one column of scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
SEED = 0  # the interval of the same scores is the same in every run


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


def summary(values: Sequence[float]) -> Summary:
    """The summary of scores, which may hold inf but not NaN; for no scores everything but the counts is NaN."""
    scores = np.asarray(values, dtype=np.float64)
    finite = scores[np.isfinite(scores)]
    p05, median, p95 = (quantile(scores, q) for q in (0.05, 0.5, 0.95))
    return Summary(
        count=len(scores),
        infinite=len(scores) - len(finite),
        mean=_mean(finite),
        median=median,
        std=float(finite.std(ddof=1)) if len(finite) > 1 else math.nan,
        p05=p05,
        p95=p95,
        min=float(scores.min()) if len(scores) else math.nan,
        max=float(scores.max()) if len(scores) else math.nan,
        ci95=bootstrap_interval(finite),
    )


def _mean(scores: NDArray[np.float64]) -> float:
    return float(scores.mean()) if len(scores) else math.nan


def quantile(scores: NDArray[np.float64], q: float) -> float:
    """The linear quantile (NumPy's default), inf where it falls between infinite values; NaN for no scores."""
    if not len(scores):
        return math.nan
    position = q * (len(scores) - 1)
    ordered = np.sort(scores)
    low, high = float(ordered[math.floor(position)]), float(ordered[math.ceil(position)])
    if math.isinf(high) or low == high:
        return high if position > math.floor(position) else low
    return low + (high - low) * (position - math.floor(position))


def bootstrap_interval(
    scores: NDArray[np.float64], *, confidence: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean; (NaN, NaN) for fewer than two scores."""
    if len(scores) < 2:
        return math.nan, math.nan
    if (scores == scores[0]).all():
        return float(scores[0]), float(scores[0])
    from scipy.stats import bootstrap  # a third of a second, not paid by those who need no interval

    interval = bootstrap(
        (scores,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 2**22 // len(scores)),  # 32 MiB at a time, however many scores
        confidence_level=confidence,
        method="percentile",
        rng=SEED,
    ).confidence_interval
    return float(interval.low), float(interval.high)
