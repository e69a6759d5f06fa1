"""What a table says of a column, and whether two differ: against NumPy, SciPy, hand and simulation.

The simulations draw from one seed each, SIMULATED, chosen before anything was measured.
"""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import scipy.stats

from relight_eval import statistics
from relight_eval.statistics import (
    FEWEST,
    bootstrap_interval,
    bootstrap_intervals,
    holm,
    mean,
    paired_p,
    quantile,
    summaries,
    summary,
)

RNG = np.random.default_rng(5)
BEGINNING = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def _the_same_numbers_whatever_ran_before() -> None:
    RNG.bit_generator.state = BEGINNING


SIMULATED = 4
SETS = 2000
# 5 % of the sets, and as many more as chance adds once in a thousand times: 131 of 2,000
FALSE_ALARMS = scipy.stats.binom.ppf(0.999, SETS, 0.05) / SETS

Draw = Callable[[np.random.Generator], np.ndarray]


# One column


def test_summary_of_finite_scores_is_numpys() -> None:
    scores = RNG.normal(20, 3, 41)
    found = summary(list(scores))
    assert (found.count, found.infinite) == (41, 0)
    assert found.mean == pytest.approx(scores.mean(), abs=1e-12)
    assert found.median == pytest.approx(np.median(scores), abs=1e-12)
    assert found.std == pytest.approx(scores.std(ddof=1), abs=1e-12)
    assert (found.p05, found.p95) == pytest.approx(tuple(np.quantile(scores, [0.05, 0.95])), abs=1e-12)
    assert (found.min, found.max) == (scores.min(), scores.max())
    assert found.ci95 == bootstrap_interval(scores)


def test_infinite_scores_are_counted_and_left_out_of_the_mean_alone() -> None:
    found = summary([20.0, 30.0, math.inf])
    assert (found.count, found.infinite) == (3, 1)
    assert (found.mean, found.median, found.min, found.max) == (25.0, 30.0, 20.0, math.inf)
    assert found.std == pytest.approx(math.sqrt(50))


def test_the_group_of_an_infinite_score_is_left_out_with_it() -> None:
    scores = [math.inf, *RNG.normal(30, 2, 14)]
    groups = [*"gaabbccddeeffgg"]
    assert summary(scores, groups).ci95 == bootstrap_interval(np.array(scores[1:]), groups[1:])


def test_summary_resamples_groups_from_its_seed() -> None:
    scores, groups = RNG.normal(size=24), [f"scene{i // 3}" for i in range(24)]
    assert summary(scores, groups, seed=7).ci95 == bootstrap_interval(scores, groups, seed=7)
    assert summary(scores, groups).ci95 != summary(scores).ci95


@pytest.mark.parametrize(
    ("scores", "finite"),
    [
        pytest.param([], False, id="none"),
        pytest.param([3.0], True, id="one"),
        pytest.param([math.inf], False, id="inf"),
    ],
)
def test_too_few_scores_have_no_spread(scores: list[float], finite: bool) -> None:
    for groups in (None, ["a"] * len(scores)):
        found = summary(scores, groups)
        assert found.count == len(scores)
        assert math.isfinite(found.mean) == finite
        assert math.isnan(found.std)
        assert all(math.isnan(end) for end in found.ci95)


@pytest.mark.parametrize("score", [0.1, 0.9, 0.7, 1 / 3])
@pytest.mark.parametrize("count", [3, 7, 10])
def test_mean_of_equal_scores_is_that_score(score: float, count: int) -> None:
    """NumPy says 0.10000000000000002 of three times 0.1, and a rule "charbonnier <= 0.1" would fail."""
    assert mean(np.full(count, score)) == score


def test_mean_is_the_same_in_any_order() -> None:
    scores = RNG.normal(0.8, 0.3, 1001)
    assert {mean(RNG.permutation(scores)) for _ in range(50)} == {math.fsum(scores) / 1001}


@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("length", [1, 2, 7, 20])
def test_quantile_is_numpys(q: float, length: int) -> None:
    scores = RNG.normal(size=length)
    assert quantile(scores, q) == pytest.approx(np.quantile(scores, q), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "q", "expected"),
    [
        pytest.param([1.0, math.inf, math.inf], 0.95, math.inf, id="all-above"),
        pytest.param([1.0, 2.0, math.inf], 0.5, 2.0, id="below"),
        pytest.param([1.0, 2.0, math.inf, math.inf], 0.5, math.inf, id="half-way"),
        pytest.param([20.0] * 8 + [math.inf] * 93, 0.07, 20.0, id="0.07*100-is-a-little-more-than-7"),
    ],
)
def test_quantile_among_infinite_scores_is_never_nan(scores: list[float], q: float, expected: float) -> None:
    assert quantile(np.array(scores), q) == expected


# The interval


def expanded(units: int, confidence: float = 0.95) -> float:
    """Hesterberg 2015, section 4.4, from the distributions of scipy.stats, not from scipy.special."""
    reach = math.sqrt(units / (units - 1)) * scipy.stats.t(units - 1).ppf(0.5 + confidence / 2)
    return 1 - 2 * scipy.stats.norm.cdf(-reach)


def scipys(scores: np.ndarray, confidence: float, seed: int = 0) -> tuple[float, float]:
    found = scipy.stats.bootstrap(
        (scores,), np.mean, n_resamples=2000, confidence_level=confidence, method="percentile", rng=seed
    )
    return found.confidence_interval.low, found.confidence_interval.high


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("units", [7, 17, 200])
def test_interval_is_scipys_with_the_expanded_confidence(units: int, seed: int) -> None:
    scores = RNG.gamma(2, 1, units)
    expected = scipys(scores, expanded(units), seed)
    assert bootstrap_interval(scores, seed=seed) == pytest.approx(expected, abs=1e-12)


def test_expanded_confidence_by_hand() -> None:
    """Ten scores: the table of Student's t has 2.262 for 9 degrees of freedom; times sqrt(10/9) = 1.0541 that is
    2.384, and the table of the normal distribution has 0.9914 there. So 0.9914 - 0.0086 = 98.28 %, not 95 %."""
    assert expanded(10) == pytest.approx(0.9828, abs=2e-4)
    scores = RNG.normal(size=10)
    low, high = bootstrap_interval(scores)
    by_hand, plain = scipys(scores, 0.9828), scipys(scores, 0.95)
    assert (low, high) == pytest.approx(by_hand, abs=0.01 * (high - low))
    assert high - low > 1.1 * (plain[1] - plain[0])


def test_the_expansion_goes_away_with_many_scores() -> None:
    scores = RNG.normal(0, 1, 400)
    half = 1.96 * scores.std(ddof=1) / math.sqrt(400)
    assert bootstrap_interval(scores) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.015)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
def test_interval_of_another_confidence(confidence: float) -> None:
    scores = RNG.normal(size=30)
    expected = scipys(scores, expanded(30, confidence))
    assert bootstrap_interval(scores, confidence=confidence) == pytest.approx(expected, abs=1e-12)


def test_interval_of_groups_is_that_of_whole_groups_drawn_with_replacement() -> None:
    """By a plain loop over 20,000 draws, of groups of one to nine images; error of an end: 2 % of the width."""
    sizes = [1, 9, 3, 4, 4, 2, 7, 5]
    groups = [f"scene{i}" for i, size in enumerate(sizes) for _ in range(size)]
    scores = np.concatenate([RNG.normal(RNG.normal(0, 2), 1, size) for size in sizes])
    of_group = [scores[[group == f"scene{i}" for group in groups]] for i in range(8)]
    rng = np.random.default_rng(8)
    means = [np.concatenate([of_group[i] for i in rng.integers(0, 8, 8)]).mean() for _ in range(20_000)]
    tail = (1 - expanded(8, 0.8)) / 2
    low, high = bootstrap_interval(scores, groups, confidence=0.8, resamples=20_000)
    assert (low, high) == pytest.approx(tuple(np.quantile(means, [tail, 1 - tail])), abs=0.03 * (high - low))
    assert high - low > 1.5 * np.subtract(*reversed(bootstrap_interval(scores, confidence=0.8)))


def test_groups_of_one_image_each_are_no_groups() -> None:
    scores = RNG.normal(size=12)
    names = [f"image{i:02}" for i in range(12)]
    assert bootstrap_interval(scores, names) == pytest.approx(bootstrap_interval(scores), abs=1e-12)


def test_order_of_images_does_not_matter_to_groups() -> None:
    scores, groups = RNG.normal(size=40), np.array([f"scene{i % 8}" for i in range(40)])
    shuffled = RNG.permutation(40)
    expected = bootstrap_interval(scores, list(groups))
    assert bootstrap_interval(scores[shuffled], list(groups[shuffled])) == pytest.approx(expected, abs=1e-12)


def test_names_of_groups_matter_no_more_than_chance_does() -> None:
    scores, groups = RNG.normal(size=40), [f"scene{i % 8}" for i in range(40)]
    low, high = bootstrap_interval(scores, groups)
    renamed = bootstrap_interval(scores, [f"{9 - int(group[-1])}" for group in groups])
    assert renamed == pytest.approx((low, high), abs=0.1 * (high - low))


def test_seed_0_is_a_seed() -> None:
    scores = RNG.normal(size=20)
    assert bootstrap_interval(scores, seed=0) == bootstrap_interval(scores, seed=0) == bootstrap_interval(scores)
    assert bootstrap_interval(scores, seed=0) != bootstrap_interval(scores, seed=1)


@pytest.mark.parametrize("units", [0, 1, 2, FEWEST - 1])
def test_too_few_units_have_no_interval_and_no_p(units: int) -> None:
    scores = RNG.normal(size=3 * units)
    groups = [f"scene{i % units}" for i in range(3 * units)]
    for found in (bootstrap_interval(scores[:units]), bootstrap_interval(scores, groups)):
        assert all(math.isnan(end) for end in found)
    assert math.isnan(paired_p(scores[:units]))
    assert math.isnan(paired_p(scores, groups))


def test_enough_units_have_an_interval_and_a_p() -> None:
    scores, groups = RNG.normal(size=3 * FEWEST), [f"scene{i % FEWEST}" for i in range(3 * FEWEST)]
    assert np.isfinite([*bootstrap_interval(scores[:FEWEST]), *bootstrap_interval(scores, groups)]).all()
    assert np.isfinite([paired_p(scores[:FEWEST]), paired_p(scores, groups)]).all()


def test_interval_of_many_scores_is_the_same_in_small_batches_of_resamples() -> None:
    """More than a batch of resamples: the memory is bounded, the interval that of one batch."""
    scores = RNG.normal(5, 1, 20_000)
    indices = np.random.default_rng(0).integers(0, 20_000, (300, 20_000))
    tail = (1 - expanded(20_000)) / 2
    expected = np.quantile(scores[indices].mean(axis=1), [tail, 1 - tail])
    assert bootstrap_interval(scores, resamples=300) == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize("units", [FEWEST, 100, 5000])
@pytest.mark.parametrize("grouped", [False, True], ids=["images", "groups"])
def test_interval_is_to_the_last_bit_the_same_beside_whatever_others(units: int, grouped: bool) -> None:
    """Products of matrices of another shape add up in another order: 0.1 + 0.2 + 0.3 or 0.1 + 0.5."""
    columns = [RNG.normal(i, 10.0**-i, 3 * units if grouped else units) for i in range(24)]
    groups = [f"scene{i % units}" for i in range(3 * units)] if grouped else None
    alone = [bootstrap_interval(scores, groups, resamples=200) for scores in columns]
    for count in (2, 3, 24):
        assert bootstrap_intervals(columns[:count], groups, resamples=200) == alone[:count]


def test_sums_of_resamples_are_exact() -> None:
    """Also where the large cancel out: what `math.fsum` says of each resample."""
    scores = np.concatenate([RNG.normal(0, 1e-3, 200), [1e9, -1e9]])
    indices = np.random.default_rng(0).integers(0, 202, (50, 202))
    expected = [math.fsum(scores[drawn]) for drawn in indices]
    assert min(map(abs, expected)) < 0.1
    assert statistics._resampled_sums([scores], 50, seed=0)[0] == pytest.approx(expected, rel=1e-15, abs=1e-15)


@pytest.mark.parametrize("power", [-900, -60, 60, 900])
def test_interval_is_of_one_scale_with_its_scores(power: int) -> None:
    scores = RNG.normal(size=30)
    low, high = bootstrap_interval(scores)
    assert bootstrap_interval(np.ldexp(scores, power)) == (math.ldexp(low, power), math.ldexp(high, power))


def test_every_column_is_resampled_of_the_images_that_it_is_finite_of() -> None:
    """As many units as there are then: those of a group that has no finite score are none."""
    groups = [f"scene{i // 3:02}" for i in range(60)]
    columns = [RNG.normal(size=60) for _ in range(5)]
    columns[1][[0, 1, 2, 30]] = math.inf
    columns[2][[0, 1, 2, 30]] = math.nan
    columns[3][18:] = math.nan  # six groups are left
    columns[4][:] = math.nan
    for of in (None, groups):
        found = bootstrap_intervals(columns, of)
        for scores, interval in zip(columns, found, strict=True):
            kept = np.isfinite(scores)
            alone = bootstrap_interval(scores[kept], of and list(itertools.compress(of, kept)))
            assert interval == pytest.approx(alone, abs=0, nan_ok=True)
        assert [math.isnan(low) for low, _ in found] == [False, False, False, of is not None, True]


def test_summaries_are_those_of_the_scores_that_there_are() -> None:
    scores = RNG.normal(size=20)
    lacking = np.where(np.arange(20) % 5, scores, math.nan)
    groups = [f"scene{i // 2}" for i in range(20)]
    kept = [i for i in range(20) if i % 5]
    expected = [summary(scores, groups, seed=3), summary(scores[kept], [groups[i] for i in kept], seed=3)]
    assert summaries([scores, lacking], groups, seed=3) == expected
    assert expected[1].count == 16


def test_memory_of_many_scores_is_bounded() -> None:
    """Of all indices at once it would be 800 MB, and 100 MB of how often each is drawn."""
    columns = [RNG.normal(size=200_000) for _ in range(2)]
    bootstrap_interval(columns[0][:10])  # (what is imported)
    tracemalloc.start()
    bootstrap_intervals(columns, resamples=500)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80e6


def test_interval_of_equal_scores_has_no_width() -> None:
    assert bootstrap_interval(np.full(9, 0.1)) == (0.1, 0.1)
    assert bootstrap_interval(np.full(9, 0.1), [*"aabcdefgh"]) == (0.1, 0.1)


# Does it hold what it promises?


def coverage(draw: Draw, truth: float, groups: Sequence[str] | None = None, *, sets: int = SETS) -> float:
    """The share of simulated sets whose interval holds the true mean."""
    rng = np.random.default_rng(SIMULATED)
    intervals = [bootstrap_interval(draw(rng), groups) for _ in range(sets)]
    return sum(low <= truth <= high for low, high in intervals) / sets


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        pytest.param(lambda rng: rng.normal(0, 1, 8), 0.0, id="normal-8"),
        pytest.param(lambda rng: rng.normal(0, 1, 20), 0.0, id="normal-20"),
        pytest.param(lambda rng: rng.normal(0, 1, 60), 0.0, id="normal-60"),
        pytest.param(lambda rng: rng.beta(8, 2, 40), 0.8, id="beta-40-like-ssim"),
        pytest.param(lambda rng: rng.gamma(2, 1, 40), 2.0, id="gamma-40-like-lpips"),
    ],
)
def test_95_percent_interval_holds_the_true_mean_95_percent_of_the_time(draw: Draw, truth: float) -> None:
    assert 0.93 <= coverage(draw, truth) <= 0.97


SCENES = [f"scene{i // 4}" for i in range(48)]  # 12 of 4 images


def of_scenes(rng: np.random.Generator) -> np.ndarray:
    """12 scenes of 4 images; nine tenths of the variance is between scenes."""
    return np.repeat(rng.normal(0, 3, 12), 4) + rng.normal(0, 1, 48)


def test_interval_of_groups_covers_where_that_of_images_does_not() -> None:
    assert 0.93 <= coverage(of_scenes, 0.0, SCENES) <= 0.97
    assert coverage(of_scenes, 0.0, sets=200) < 0.8


# The test


def test_p_by_hand() -> None:
    """Seven changes to one side: of the 128 ways to flip their signs only two are as far out, so p = 2/128."""
    assert paired_p(np.array([1.0, 2, 3, 4, 5, 6, 7])) == pytest.approx(2 / 128)
    assert paired_p(-np.array([1.0, 2, 3, 4, 5, 6, 7])) == pytest.approx(2 / 128)
    assert paired_p(np.array([-1.0, 2, 3, 4, 5, 6, 7])) == pytest.approx(4 / 128)


@pytest.mark.parametrize("units", [7, 9, 13])
def test_p_of_few_is_the_share_of_flips_as_far_out(units: int) -> None:
    changes = RNG.normal(0.4, 1, units)
    sums = np.array([*itertools.product([-1, 1], repeat=units)]) @ changes
    assert paired_p(changes) == pytest.approx(np.mean(np.abs(sums) >= abs(changes.sum()) - 1e-9), abs=1e-12)
    scipys = scipy.stats.permutation_test((changes,), np.mean, permutation_type="samples", n_resamples=math.inf)
    assert paired_p(changes) == pytest.approx(scipys.pvalue, abs=1e-12)


@pytest.mark.parametrize("units", [14, 100])
def test_p_of_many_is_students(units: int) -> None:
    changes = RNG.normal(0.2, 1, units)
    assert paired_p(changes) == pytest.approx(scipy.stats.ttest_1samp(changes, 0).pvalue, rel=1e-12)


def test_p_hardly_jumps_where_the_test_changes() -> None:
    changes = RNG.normal(0.5, 1, 14)
    flips = scipy.stats.permutation_test((changes,), np.mean, permutation_type="samples", n_resamples=math.inf)
    assert paired_p(changes) == pytest.approx(flips.pvalue, abs=0.01)


@pytest.mark.parametrize("units", [7, 20])
def test_p_of_groups_is_that_of_their_sums(units: int) -> None:
    sums = RNG.normal(0.5, 1, units)
    changes = np.concatenate([sums - 1, np.ones(units)])
    groups = [f"scene{i % units:02}" for i in range(2 * units)]
    assert paired_p(changes, groups) == pytest.approx(paired_p(sums), abs=1e-12)


@pytest.mark.parametrize("units", [7, 13, 14, 40])
def test_p_of_no_change_at_all_is_1(units: int) -> None:
    assert paired_p(np.zeros(units)) == 1.0


@pytest.mark.parametrize("units", [7, 13, 14, 18])
def test_p_of_the_same_change_everywhere_is_that_of_the_flips(units: int) -> None:
    """Also where rounding alone tells the changes apart: 0.9 - 0.8 is not 0.8 - 0.7."""
    same = np.resize(np.array([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6]), units)
    assert len(set(same)) > 1
    for changes in (same, np.full(units, 0.1), -same):
        assert paired_p(changes) == pytest.approx(2 / 2**units)


def test_p_does_not_know_which_run_comes_first() -> None:
    for units in (9, 25):
        changes = RNG.gamma(2, 1, units) - 1.5
        assert paired_p(changes) == pytest.approx(paired_p(-changes), abs=1e-12)


def share_below_5_percent(draw: Draw, groups: Sequence[str] | None = None, *, sets: int = SETS) -> float:
    rng = np.random.default_rng(SIMULATED)
    return sum(paired_p(draw(rng), groups) < 0.05 for _ in range(sets)) / sets


def of_equals(rng: np.random.Generator, count: int) -> np.ndarray:
    """The change between two runs whose scores come from one skewed distribution."""
    return rng.gamma(1, 1, count) - rng.gamma(1, 1, count)


@pytest.mark.parametrize(
    ("draw", "groups"),
    [
        pytest.param(lambda rng: rng.normal(0, 1, 8), None, id="normal-8"),
        pytest.param(lambda rng: rng.normal(0, 1, 30), None, id="normal-30"),
        pytest.param(lambda rng: of_equals(rng, 8), None, id="skewed-8"),
        pytest.param(lambda rng: of_equals(rng, 30), None, id="skewed-30"),
        pytest.param(
            lambda rng: np.repeat(rng.normal(0, 3, 8), 4) + rng.normal(0, 1, 32),
            [f"scene{i // 4}" for i in range(32)],
            id="groups-8",
        ),
        pytest.param(
            lambda rng: np.repeat(rng.normal(0, 3, 30), 2) + rng.normal(0, 1, 60),
            [f"scene{i // 2:02}" for i in range(60)],
            id="groups-30",
        ),
    ],
)
def test_where_nothing_differs_a_difference_is_seen_5_percent_of_the_time(draw: Draw, groups: list[str] | None) -> None:
    assert 0.03 <= share_below_5_percent(draw, groups) <= FALSE_ALARMS


def test_images_of_one_scene_taken_as_independent_raise_false_alarms() -> None:
    assert share_below_5_percent(of_scenes, sets=500) > 0.2


@pytest.mark.parametrize(
    ("draw", "least"),
    [
        pytest.param(lambda rng: rng.normal(2, 1, 8), 0.95, id="8-by-2-sd"),
        pytest.param(lambda rng: rng.normal(1, 1, 30), 0.99, id="30-by-1-sd"),
    ],
)
def test_a_large_difference_is_seen(draw: Draw, least: float) -> None:
    assert share_below_5_percent(draw, sets=300) >= least


def test_holm_by_hand() -> None:
    """Wikipedia, "Holm–Bonferroni method" (its example of four): 4 · 0.005, 3 · 0.01, 2 · 0.03, and 0.04 no less."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], abs=1e-15)


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        pytest.param([], [], id="none"),
        pytest.param([0.04], [0.04], id="one"),
        pytest.param([0.6, 0.9], [1.0, 1.0], id="never-above-1"),
        pytest.param([0.02, 0.02, 0.02], [0.06, 0.06, 0.06], id="ties"),
        pytest.param([math.nan, 0.01, math.nan, 0.04], [math.nan, 0.02, math.nan, 0.04], id="nan-is-not-counted"),
        pytest.param([math.nan], [math.nan], id="nan-alone"),
    ],
)
def test_holm_of_special_lists(ps: list[float], expected: list[float]) -> None:
    assert holm(ps) == pytest.approx(expected, abs=1e-15, nan_ok=True)


def test_holm_rejects_what_stepping_down_rejects() -> None:
    """Holm 1979, as a procedure: from the smallest, reject while p <= level / (how many are left)."""
    for _ in range(200):
        ps = RNG.beta(0.3, 3, RNG.integers(1, 9))
        rejected = set()
        for rank, i in enumerate(np.argsort(ps)):
            if ps[i] * (len(ps) - rank) > 0.05:
                break
            rejected.add(i)
        assert {i for i, p in enumerate(holm(list(ps))) if p <= 0.05} == rejected
