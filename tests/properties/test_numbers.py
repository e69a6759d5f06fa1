"""What holds of statistics, of verdicts and of comparisons, whatever the scores."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight_eval.comparison import compare
from relight_eval.gates import judge
from relight_eval.results import Column, Results, Row
from relight_eval.rules import COMPARE, OPPOSITE, Rule
from relight_eval.statistics import bootstrap_interval, mean, quantile, summary
from relight_eval.text import agreeing

OFTEN = settings(max_examples=10 * settings().max_examples)  # one takes no time

COLUMN = Column("ssim", "ssim", "higher", -1.0, 1.0, 1.0, "structural similarity")
finite = st.floats(-1, 1, allow_subnormal=False)
scores = st.lists(finite, min_size=1, max_size=30)


def run(values: list[float], label: str = "out") -> Results:
    rows = tuple(Row(f"im{i}", f"{label}/im{i}.png", f"gt/im{i}.png", 8, 8, {"ssim": v}) for i, v in enumerate(values))
    return Results(label, "gt", (COLUMN,), rows, {})


@OFTEN
@given(values=scores, seed=st.integers(0, 999))
def test_statistics_are_within_the_scores_and_know_no_order(values: list[float], seed: int) -> None:
    shuffled = random.Random(seed).sample(values, len(values))
    array, other = np.array(values), np.array(shuffled)
    low, high = min(values), max(values)
    assert low <= mean(array) <= high
    assert mean(array) == mean(other)
    quantiles = [quantile(array, q) for q in (0.0, 0.05, 0.5, 0.95, 1.0)]
    assert quantiles == [quantile(other, q) for q in (0.0, 0.05, 0.5, 0.95, 1.0)]
    assert quantiles[0] == low
    assert quantiles[-1] == high
    # (of quantiles between equal neighbours, as of any sum in float64, the last digit may turn round)
    assert quantiles == pytest.approx(sorted(quantiles), abs=1e-15)


@OFTEN
@given(values=scores)
def test_the_interval_of_a_mean_lies_within_the_scores(values: list[float]) -> None:
    low, high = bootstrap_interval(np.array(values))
    if len(values) < 7:
        assert math.isnan(low)
    else:
        assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
        assert (low, high) == summary(values).ci95


@OFTEN
@given(value=st.floats(allow_nan=False), threshold=st.floats(-1e6, 1e6))
def test_a_number_is_printed_on_its_side_of_the_threshold(value: float, threshold: float) -> None:
    shown = float(agreeing(value, threshold))
    assert (shown < threshold, shown > threshold) == (value < threshold, value > threshold)


@OFTEN
@given(
    values=scores,
    threshold=finite,
    op=st.sampled_from(tuple(COMPARE)),
    statistic=st.sampled_from(("mean", "median", "min", "max", "p05", "worst5")),
)
def test_a_verdict_says_what_it_prints(values: list[float], threshold: float, op: str, statistic: str) -> None:
    (verdict,) = judge(run(values), [Rule("ssim", op, threshold, statistic)])
    found = re.match(r"\S+ ssim (\S+) (\S+) (\S+) \(by ", verdict.line)
    assert found, verdict.line
    left, relation, right = float(found[1]), found[2], float(found[3])
    assert COMPARE[relation](left, right)
    assert relation == (op if verdict.outcome == "pass" else OPPOSITE[op])
    assert (verdict.outcome == "pass") == COMPARE[op](verdict.value, threshold)


@OFTEN
@given(pairs=st.lists(st.tuples(finite, finite), min_size=1, max_size=20))
def test_one_run_against_another_is_minus_the_other_against_it(pairs: list[tuple[float, float]]) -> None:
    a, b = (run([pair[side] for pair in pairs], "ab"[side]) for side in (0, 1))
    there = compare({"a": a, "b": b}).changes["b"]["ssim"]
    back = compare({"b": b, "a": a}).changes["a"]["ssim"]
    assert there.mean == -back.mean
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    assert there.p == pytest.approx(back.p, nan_ok=True)
    # (quantiles of resampled means are counted from below: the sums on the way differ in the last digit)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]), nan_ok=True, abs=1e-12)
