"""What a table says of a column, against NumPy and SciPy."""

import math

import numpy as np
import pytest

from relight_eval.statistics import bootstrap_interval, quantile, summary

RNG = np.random.default_rng(5)


def test_summary_of_finite_scores_is_numpys() -> None:
    scores = RNG.normal(20, 3, 41)
    found = summary(list(scores))
    assert (found.count, found.infinite) == (41, 0)
    assert found.mean == pytest.approx(scores.mean(), abs=1e-12)
    assert found.median == pytest.approx(np.median(scores), abs=1e-12)
    assert found.std == pytest.approx(scores.std(ddof=1), abs=1e-12)
    assert (found.p05, found.p95) == pytest.approx(tuple(np.quantile(scores, [0.05, 0.95])), abs=1e-12)
    assert (found.min, found.max) == (scores.min(), scores.max())


def test_infinite_scores_are_counted_and_left_out_of_the_mean_alone() -> None:
    found = summary([20.0, 30.0, math.inf])
    assert (found.count, found.infinite) == (3, 1)
    assert (found.mean, found.median, found.min, found.max) == (25.0, 30.0, 20.0, math.inf)
    assert found.std == pytest.approx(math.sqrt(50))
    assert 20 <= found.ci95[0] <= found.ci95[1] <= 30


@pytest.mark.parametrize(
    ("scores", "finite"),
    [
        pytest.param([], False, id="none"),
        pytest.param([3.0], True, id="one"),
        pytest.param([math.inf], False, id="inf"),
    ],
)
def test_too_few_scores_have_no_spread(scores: list[float], finite: bool) -> None:
    found = summary(scores)
    assert found.count == len(scores)
    assert math.isfinite(found.mean) == finite
    assert math.isnan(found.std)
    assert all(math.isnan(end) for end in found.ci95)


@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_quantile_is_numpys(q: float, length: int) -> None:
    scores = RNG.normal(size=length)
    assert quantile(scores, q) == pytest.approx(np.quantile(scores, q), abs=1e-12)


def test_quantile_among_infinite_scores_is_infinite_not_nan() -> None:
    assert quantile(np.array([1.0, math.inf, math.inf]), 0.95) == math.inf
    assert quantile(np.array([1.0, 2.0, math.inf]), 0.5) == 2.0


def test_interval_is_reproducible_and_covers_the_normal_one() -> None:
    scores = RNG.normal(0, 1, 400)
    low, high = bootstrap_interval(scores)
    assert (low, high) == bootstrap_interval(scores)
    half = 1.96 * scores.std(ddof=1) / math.sqrt(400)
    assert low == pytest.approx(scores.mean() - half, abs=0.015)
    assert high == pytest.approx(scores.mean() + half, abs=0.015)


def test_interval_of_many_scores_is_the_same_in_small_batches_of_resamples() -> None:
    """More than a batch of resamples: the memory is bounded, the interval still sensible."""
    scores = RNG.normal(5, 1, 20_000)
    low, high = bootstrap_interval(scores, resamples=300)
    assert 4.97 < low < scores.mean() < high < 5.03


def test_interval_of_equal_scores_has_no_width() -> None:
    assert bootstrap_interval(np.full(9, 0.25)) == (0.25, 0.25)
