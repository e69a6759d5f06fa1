"""What rules say of a run: by hand, at equality, over nothing, against a baseline, and in simulated runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from relight_eval.columns import known
from relight_eval.errors import ResultsError
from relight_eval.gates import judge
from relight_eval.groups import Grouping
from relight_eval.results import STOPPED, Results, Row, Shard, Verdict
from relight_eval.rules import COMPARE, parse
from relight_eval.statistics import bootstrap_interval
from relight_eval.text import agreeing, exact, some
from tests.runs import run

GONE = "images of the baseline are gone, or were not scored"
INF = math.inf
SIMULATED = 4  # the seed of all simulated runs, chosen before anything was measured
SETS = 2000
SCENES = Grouping(r"(?P<scene>scene\d+)_(?P<light>\d)")


def scored(scores: Sequence[float] | Mapping[str, float], column: str = "ssim") -> Results:
    """A run with these scores; names are image0, image1 … where none are given."""
    if not isinstance(scores, Mapping):
        scores = {f"image{i}": float(score) for i, score in enumerate(scores)}
    return run(tuple(Row(name, scores={column: score}) for name, score in scores.items()))


def of_run(rule: str, results: Results, **words: str) -> Verdict:
    (verdict,) = judge(results, [parse(rule, **words)])
    return verdict


def of_drop(
    rule: str,
    drops: Sequence[float] | Mapping[str, float],
    *,
    grouping: Grouping | None = None,
    noise: Mapping[str, float] | None = None,
    strict: bool = False,
    **words: str,
) -> Verdict:
    """The verdict over ssim that fell from 0 by these, so that nothing is rounded."""
    if not isinstance(drops, Mapping):
        drops = {f"image{i}": float(drop) for i, drop in enumerate(drops)}
    baseline = scored(dict.fromkeys(drops, 0.0))
    results = replace(scored({name: 0.0 - drop for name, drop in drops.items()}), grouping=grouping)
    there, verdict = judge(results, [parse(rule, **words)], baseline=baseline, noise=noise, strict=strict)
    assert there.outcome == "pass"
    return verdict


# A number


@pytest.mark.parametrize(
    ("statistic", "ssim", "charbonnier"),
    [
        pytest.param("", 0.7, 0.07, id="default"),
        pytest.param("mean", 0.7, 0.07, id="mean"),
        pytest.param("median", 0.7, 0.07, id="median"),
        pytest.param("min", 0.5, 0.05, id="min"),
        pytest.param("max", 0.9, 0.09, id="max"),
        pytest.param("p00", 0.5, 0.05, id="p00"),
        pytest.param("p10", 0.54, 0.054, id="p10"),
        pytest.param("p75", 0.8, 0.08, id="p75"),
        pytest.param("worst1", 0.5, 0.09, id="worst1"),
        pytest.param("worst2", 0.55, 0.085, id="worst2"),
        pytest.param("worst99", 0.7, 0.07, id="worst-of-more-than-there-are"),
        pytest.param("each", 0.5, 0.09, id="each"),
    ],
)
def test_statistics_by_hand(statistic: str, ssim: float, charbonnier: float) -> None:
    tenths = [9, 5, 7, 8, 6]
    value = of_run(f"{statistic} ssim >= 0.1", scored([n / 10 for n in tenths])).value
    assert value == pytest.approx(ssim, abs=1e-12)
    value = of_run(f"{statistic} charbonnier <= 0.1", scored([n / 100 for n in tenths], "charbonnier")).value
    assert value == pytest.approx(charbonnier, abs=1e-12)


@pytest.mark.parametrize("statistic", ["mean", "median", "min", "max", "p05", "worst2", "each"])
@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [(">=", False, True, True), (">", False, False, True), ("<=", True, True, False), ("<", True, False, False)],
)
def test_operators_below_at_and_above_the_threshold(
    statistic: str, op: str, below: bool, equal: bool, above: bool
) -> None:
    """Of three equal scores every statistic is that score exactly, though 3 · 0.1 / 3 is not 0.1 in floats."""
    for score, passes in ((math.nextafter(0.1, 0), below), (0.1, equal), (math.nextafter(0.1, 1), above)):
        verdict = of_run(f"{statistic} ssim {op} 0.1", scored([score] * 3))
        assert verdict.value == score
        assert (verdict.outcome == "pass") == passes


@pytest.mark.parametrize(
    ("rule", "outcome", "line", "failing"),
    [
        pytest.param("ssim >= 0.7", "pass", "mean ssim 0.7500 >= 0.7 (by 0.0500)", ("a", "c"), id="passes"),
        pytest.param("ssim >= 0.85", "fail", "mean ssim 0.7500 < 0.85 (by 0.1000)", ("a", "c", "b"), id="fails"),
        pytest.param("min ssim > 0.6", "fail", "min ssim 0.6000 <= 0.6 (by 0)", ("a",), id="equal"),
        pytest.param("max ssim < 0.9", "fail", "max ssim 1.0000 >= 0.9 (by 0.1000)", ("d",), id="other-side"),
        pytest.param(
            "each ssim >= 0.7",
            "fail",
            "each ssim: 2 of 4 images < 0.7 (worst 0.6000, by 0.1000)",
            ("a", "c"),
            id="each-fails",
        ),
        pytest.param(
            "each ssim >= 0.5995",
            "pass",
            "each ssim >= 0.5995: all 4 images (worst 0.6000, by 0.0005)",
            (),
            id="each-passes",
        ),
        pytest.param(
            "each ssim <= 0.7",
            "fail",
            "each ssim: 2 of 4 images > 0.7 (worst 1.0000, by 0.3000)",
            ("d", "b"),
            id="worst-first-is-the-largest",
        ),
    ],
)
def test_the_whole_verdict(rule: str, outcome: str, line: str, failing: tuple[str, ...]) -> None:
    scores = {"a": 0.6, "b": 0.75, "c": 0.65, "d": 1.0}
    verdict = of_run(rule, scored(scores), reason="because")
    assert (verdict.outcome, verdict.line, verdict.failing) == (outcome, line, failing)
    assert (verdict.threshold, verdict.op) == (parse(rule).threshold, parse(rule).op)
    assert (verdict.column, verdict.unit, verdict.judged, verdict.reason) == ("ssim", "image", scores, "because")
    assert verdict.rule == str(parse(rule))
    assert not verdict.undecided


def test_a_warning_never_fails_and_passes_as_any_rule() -> None:
    for rule, outcome in (("ssim >= 0.9", "warn"), ("each ssim >= 0.9", "warn"), ("max ssim >= 0.8", "pass")):
        assert of_run(rule, scored([0.7, 0.8]), level="warn").outcome == outcome
    assert of_run("ssim >= 0.9", scored([]), level="warn").outcome == "warn"


def test_no_rules_say_nothing_and_several_speak_in_order() -> None:
    assert judge(run(), []) == ()
    rules = [parse(text) for text in ("ssim > 0", "psnr > 0", "each ssim > 0")]
    assert [verdict.rule for verdict in judge(run(), rules)] == [str(rule) for rule in rules]


# Identical images: PSNR is infinite


@pytest.mark.parametrize(
    ("rule", "scores", "value", "outcome"),
    [
        pytest.param("psnr >= 30", [20, 30, INF], 25, "fail", id="left-out-of-the-mean"),
        pytest.param("psnr >= 30", [INF, INF], INF, "pass", id="mean-of-identical-alone"),
        pytest.param("worst5 psnr >= 30", [20, 30, INF], 25, "fail", id="left-out-of-the-worst"),
        pytest.param("worst2 psnr >= 30", [INF, INF, INF], INF, "pass", id="worst-of-identical-alone"),
        pytest.param("median psnr >= 30", [20, INF, INF], INF, "pass", id="not-out-of-the-median"),
        pytest.param("p50 psnr >= 30", [20, 30, INF], 30, "pass", id="nor-of-a-percentile"),
        pytest.param("max psnr >= 99", [20, INF], INF, "pass", id="nor-of-the-largest"),
        pytest.param("each psnr >= 30", [INF, 20], 20, "fail", id="each"),
        pytest.param("each psnr >= 30", [INF, INF], INF, "pass", id="each-identical"),
    ],
)
def test_infinite_scores(rule: str, scores: list[float], value: float, outcome: str) -> None:
    verdict = of_run(rule, scored(scores, "psnr"))
    assert (verdict.value, verdict.outcome) == (value, outcome)


def test_what_was_left_out_of_the_mean_is_said() -> None:
    line = of_run("psnr >= 30", scored([20, 30, INF], "psnr")).line
    assert line == "mean psnr 25.0000 < 30 (by 5.0000, 1 infinite left out)"
    assert "left out" not in of_run("psnr >= 30", scored([INF, INF], "psnr")).line
    assert "left out" not in of_run("max psnr >= 30", scored([20, INF], "psnr")).line


@pytest.mark.parametrize(
    ("here", "before", "outcome", "value"),
    [
        pytest.param([INF], [INF], "pass", 0, id="identical-in-both"),
        pytest.param([30.0] * 9 + [INF], [30.0] * 9 + [INF], "pass", 0, id="one-of-ten-in-both"),
        pytest.param([30.0] * 9 + [40.0], [30.0] * 9 + [INF], "fail", INF, id="one-identical-no-more"),
        pytest.param([40.0], [INF], "fail", INF, id="the-only-one-identical-no-more"),
        pytest.param([30.0, INF], [30.0, 20.0], "pass", 0, id="identical-now"),
        pytest.param([INF] * 3, [20.0] * 3, "pass", 0, id="all-identical-now"),
        pytest.param([INF] * 8 + [40.0], [20.0] * 8 + [INF], "fail", INF, id="gains-make-up-for-no-loss"),
    ],
)
def test_changes_of_identical_images(here: list[float], before: list[float], outcome: str, value: float) -> None:
    for strict in (False, True):
        rules = [parse("psnr drop <= 0.5")]
        _, verdict = judge(scored(here, "psnr"), rules, baseline=scored(before, "psnr"), strict=strict)
        assert (verdict.outcome, verdict.value) == (outcome, value)


def test_each_image_that_is_identical_no_more_fails() -> None:
    here, before = scored([INF, 40.0, 30.0], "psnr"), scored([20.0, INF, 30.0], "psnr")
    _, verdict = judge(here, [parse("each psnr drop <= 50")], baseline=before)
    assert verdict.failing == ("image1",)
    assert verdict.line == "each psnr drop: 1 of 3 images > 50 (worst inf, by inf)"


# Which images

KITCHEN = {"kitchen/a": 0.5, "kitchen/deep/b": 0.7, "Kitchen/c": 0.9, "hall/kitchen": 0.9}


@pytest.mark.parametrize(
    ("images", "judged"),
    [
        pytest.param("", {*KITCHEN}, id="all"),
        pytest.param("kitchen/*", {"kitchen/a", "kitchen/deep/b"}, id="star-crosses-folders"),
        pytest.param("*/[ac]", {"kitchen/a", "Kitchen/c"}, id="any-folder"),
        pytest.param("hall/kitchen", {"hall/kitchen"}, id="one"),
    ],
)
def test_rules_about_some_images(images: str, judged: set[str]) -> None:
    verdict = of_run("ssim >= 0.1", scored(KITCHEN), images=images)
    assert {*verdict.judged} == judged
    assert verdict.value == pytest.approx(np.mean([KITCHEN[name] for name in judged]))
    assert {*of_drop("each ssim drop <= 0.1", KITCHEN, images=images).judged} == judged


@pytest.mark.parametrize(
    ("rule", "results", "images", "said"),
    [
        pytest.param(
            "ssim > 0", scored(KITCHEN), "*.png", "mean ssim of *.png: no image that matches '*.png' has ssim"
        ),
        pytest.param("ssim > 0", scored([1.0], "psnr"), "", "mean ssim: no image has ssim"),
        pytest.param("each ssim > 0", scored([]), "", "each ssim: no image has ssim"),
        pytest.param(
            "each scene ssim > 0",
            replace(scored([]), grouping=SCENES),
            "",
            "each scene mean ssim: no image has ssim",
        ),
        pytest.param(
            "ssim drop <= 1",
            scored({"new": 1.0}),
            "",
            "mean ssim drop: no image has ssim both here and in the baseline",
        ),
    ],
    ids=["pattern", "column", "no-image", "group", "nothing-in-common"],
)
def test_a_rule_over_nothing_fails(rule: str, results: Results, images: str, said: str) -> None:
    baseline = scored({"old": 1.0}) if "drop" in rule else None
    verdict = judge(results, [parse(rule, images=images)], baseline=baseline)[-1]
    assert verdict.outcome == "fail"
    assert verdict.line == f"{said}, and a rule over nothing does not pass"
    assert math.isnan(verdict.value)


# Groups

ROOMS = {"scene1_0": 0.9, "scene2_0": 0.4, "scene1_1": 0.7, "scene2_1": 0.8, "scene3_0": 0.5}


@pytest.mark.parametrize(
    ("rule", "judged", "failing", "line"),
    [
        pytest.param(
            "each scene mean ssim >= 0.7",
            {"scene1": 0.8, "scene2": 0.6, "scene3": 0.5},
            ("scene3", "scene2"),
            "each scene mean ssim: 2 of 3 scene groups < 0.7 (worst 0.5000, by 0.2000)",
            id="mean-of-scenes",
        ),
        pytest.param(
            "each light mean ssim >= 0.7",
            {"0": 0.6, "1": 0.75},
            ("0",),
            "each light mean ssim: 1 of 2 light groups < 0.7 (worst 0.6000, by 0.1000)",
            id="mean-of-lights",
        ),
        pytest.param(
            "each scene max ssim >= 0.5",
            {"scene1": 0.9, "scene2": 0.8, "scene3": 0.5},
            (),
            "each scene max ssim >= 0.5: all 3 scene groups (worst 0.5000, by 0)",
            id="max-of-scenes",
        ),
    ],
)
def test_each_group_has_to_pass(rule: str, judged: dict[str, float], failing: tuple[str, ...], line: str) -> None:
    verdict = of_run(rule, replace(scored(ROOMS), grouping=SCENES))
    assert verdict.judged == pytest.approx(judged)
    assert (verdict.failing, verdict.line) == (failing, line)
    assert (verdict.each, verdict.unit, verdict.outcome) == (True, rule.split()[1], "fail" if failing else "pass")


def test_groups_of_some_images() -> None:
    verdict = of_run("each scene ssim >= 0.7", replace(scored(ROOMS), grouping=SCENES), images="*_1")
    assert (verdict.judged, verdict.outcome) == ({"scene1": 0.7, "scene2": 0.8}, "pass")


@pytest.mark.parametrize(
    ("rule", "outcome", "line"),
    [
        pytest.param(
            "each scene ssim drop <= 0.01",
            "fail",
            "each scene mean ssim drop: 1 of 3 scene groups > 0.01 (worst 0.0250, by 0.0150)",
            id="one-scene",
        ),
        pytest.param(
            "each scene mean ssim drop <= 0.025",
            "pass",
            "each scene mean ssim drop <= 0.025: all 3 scene groups (worst 0.0250, by 0)",
            id="at-the-margin",
        ),
        pytest.param(
            "each scene ssim drop < 0.025",
            "fail",
            "each scene mean ssim drop: 1 of 3 scene groups >= 0.025 (worst 0.0250, by 0)",
            id="strictly",
        ),
    ],
)
def test_the_mean_change_of_each_group_has_to_pass(rule: str, outcome: str, line: str) -> None:
    """Though one image of another scene dropped by more than its mean may, and the whole set by nothing."""
    drops = {"scene1_0": 0.02, "scene1_1": -0.02, "scene2_0": 0.03, "scene2_1": 0.02, "scene3_0": -0.05}
    for level in ("fail", "warn"):
        verdict = of_drop(rule, drops, grouping=SCENES, level=level, strict=True)
        assert (verdict.outcome, verdict.line) == (outcome.replace("fail", level), line)
        assert verdict.judged == pytest.approx({"scene1": 0.0, "scene2": 0.025, "scene3": -0.05}, abs=1e-12)
        assert verdict.failing == (() if outcome == "pass" else ("scene2",))
        assert (verdict.each, verdict.unit, verdict.undecided, verdict.rule) == (True, "scene", False, str(parse(rule)))


def test_the_change_of_each_group_knows_noise_and_images() -> None:
    drops = {"scene1_0": 0.02, "scene1_1": 0.0, "scene2_0": 0.01}
    raised = of_drop("each scene ssim drop <= 0", drops, grouping=SCENES, noise={"ssim": 0.01})
    assert (raised.outcome, raised.threshold) == ("pass", 0.01)
    assert raised.line.endswith(", by 0; margin 0 raised to the noise)")
    some_images = of_drop("each scene ssim drop <= 0.01", drops, grouping=SCENES, images="*_0")
    assert (some_images.judged, some_images.failing) == ({"scene1": 0.02, "scene2": 0.01}, ("scene1",))


@pytest.mark.parametrize(
    ("here", "before", "judged", "outcome"),
    [
        pytest.param([40.0, 30.0], [INF, 30.0], INF, "fail", id="identical-no-more"),
        pytest.param([40.0, INF], [INF, 30.0], INF, "fail", id="a-gain-makes-up-for-no-loss"),
        pytest.param([INF, 29.0], [30.0, 30.0], 1.0, "fail", id="one-identical-now"),
        pytest.param([INF, INF], [30.0, 30.0], 0.0, "pass", id="all-identical-now"),
        pytest.param([INF, 30.0], [INF, 30.0], 0.0, "pass", id="identical-in-both"),
    ],
)
def test_changes_of_groups_with_identical_images(
    here: list[float], before: list[float], judged: float, outcome: str
) -> None:
    """As of the whole set: what was identical and is not any more fails its group, and is not left out of its mean."""
    ours, theirs = (
        scored({f"scene1_{i}": score for i, score in enumerate(scores)}, "psnr") for scores in (here, before)
    )
    rules = [parse("each scene psnr drop <= 0.5")]
    _, verdict = judge(replace(ours, grouping=SCENES), rules, baseline=theirs)
    assert (verdict.judged, verdict.outcome) == ({"scene1": judged}, outcome)


# Against a baseline


@pytest.mark.parametrize(
    ("here", "before", "outcome", "line"),
    [
        pytest.param("ab", "ab", "pass", "all 2 images of the baseline are there", id="same"),
        pytest.param("abxy", "ab", "pass", "all 2 images of the baseline are there; 2 new: x, y", id="new"),
        pytest.param("a", "abc", "fail", f"2 of 3 {GONE}: b, c", id="gone"),
        pytest.param("xa", "ba", "fail", f"1 of 2 {GONE}: b; 1 new: x", id="both"),
        pytest.param(
            "a",
            "abcdefgh",
            "fail",
            f"7 of 8 {GONE}: b, c, d, e, f and 2 more",
            id="many",
        ),
        pytest.param(
            "a",
            "",
            "fail",
            "the baseline has no scored image, and a rule over nothing does not pass; 1 new: a",
            id="empty",
        ),
    ],
)
def test_images_of_the_baseline(here: str, before: str, outcome: str, line: str) -> None:
    ours, theirs = (scored(dict.fromkeys(names, 0.5)) for names in (here, before))
    (verdict,) = judge(ours, [], baseline=theirs)
    assert (verdict.rule, verdict.outcome, verdict.line) == ("images of the baseline", outcome, line)
    assert verdict.failing == tuple(name for name in before if name not in here)
    assert (verdict.value, verdict.each) == (len(verdict.failing), True)


def test_an_image_that_could_not_be_scored_is_gone() -> None:
    broken = run((Row("a", scores={"ssim": 0.5}), Row("b", status="error", error="truncated")))
    (verdict,) = judge(broken, [], baseline=scored({"a": 0.5, "b": 0.5}))
    assert (verdict.outcome, verdict.failing) == ("fail", ("b",))


def test_what_is_gone_fails_once_not_by_every_rule() -> None:
    rules = [parse("ssim drop <= 0"), parse("each ssim drop <= 0")]
    there, *others = judge(scored({"a": 0.5}), rules, baseline=scored({"a": 0.5, "b": 0.5}))
    assert there.outcome == "fail"
    assert [(verdict.outcome, verdict.failing) for verdict in others] == [("pass", ())] * 2


@pytest.mark.parametrize("rule", ["ssim drop <= 0.1", "each ssim drop <= 0.1"])
@pytest.mark.parametrize("count", [2, 8])
def test_an_image_that_lost_its_score_fails(rule: str, count: int) -> None:
    """Also where the others are too few to tell: what is lost is lost."""
    before = {f"image{i}": 0.5 + i / 100 for i in range(count)}
    here = scored({name: score - 0.01 * i for i, (name, score) in enumerate(before.items())})
    here = replace(here, rows=(*here.rows, Row("small", scores={"psnr": 30.0}, status="error")))
    baseline = scored(before | {"small": 0.5})
    for level in ("fail", "warn"):
        there, verdict = judge(here, [parse(rule, level=level)], baseline=baseline)
        assert there.outcome == "pass"
        assert (verdict.outcome, verdict.failing[0], verdict.undecided) == (level, "small", False)
        assert verdict.line.endswith("; no ssim any more in 1 image: small")
    _, elsewhere = judge(here, [parse(rule, images="image*")], baseline=baseline)
    assert "small" not in elsewhere.failing


@pytest.mark.parametrize(
    ("rule", "here", "before", "judged"),
    [
        pytest.param("each ssim drop <= 1", 0.5, 0.75, 0.25, id="drop"),
        pytest.param("each ssim drop <= 1", 0.75, 0.5, -0.25, id="gain"),
        pytest.param("each ssim drop <= 1", 0.5, 0.5, 0.0, id="none"),
        pytest.param("each charbonnier rise <= 1", 0.75, 0.5, 0.25, id="rise"),
        pytest.param("each charbonnier rise <= 1", 0.5, 0.75, -0.25, id="fall"),
    ],
)
def test_changes_are_positive_where_it_got_worse(rule: str, here: float, before: float, judged: float) -> None:
    column = rule.split()[1]
    _, verdict = judge(scored([here], column), [parse(rule)], baseline=scored([before], column))
    assert verdict.judged == {"image0": judged}
    assert "-0.0000" not in verdict.line


def test_drop_of_the_mean_is_told_with_its_interval() -> None:
    drops = np.random.default_rng(3).normal(0.005, 0.003, 38)
    low, high = bootstrap_interval(drops)
    verdict = of_drop("ssim drop <= 0.02", drops, reason="because")
    assert verdict.value == pytest.approx(drops.mean(), abs=1e-12)
    apart = 0.02 - drops.mean()
    assert verdict.line == (
        f"mean ssim drop {drops.mean():.4f} <= 0.02 (by {apart:.4f}; 95 % interval {low:.4f} to {high:.4f}, 38 images)"
    )
    assert verdict.reason == "because"
    assert verdict.judged == pytest.approx({f"image{i}": drop for i, drop in enumerate(drops)}, abs=1e-12)


def test_the_interval_is_that_of_the_runs_seed_and_groups() -> None:
    rng = np.random.default_rng(3)
    drops = np.repeat(rng.normal(0.002, 0.003, 12), 3) + rng.normal(0, 0.0001, 36)
    names = [f"scene{i // 3}_{i % 3}" for i in range(36)]
    baseline = scored(dict.fromkeys(names, 0.0))
    here = scored(dict(zip(names, -drops, strict=True)))
    for grouping, seed, units in (
        (None, 5, "36 images"),
        (SCENES, 0, "12 scene groups"),
        (SCENES, 5, "12 scene groups"),
    ):
        groups = [name.split("_")[0] for name in names] if grouping else None
        low, high = bootstrap_interval(drops, groups, seed=seed)
        _, verdict = judge(here.resampled(grouping, seed), [parse("ssim drop <= 0.02")], baseline=baseline)
        assert f"95 % interval {agreeing(low, 0.02)} to {agreeing(high, 0.02)}, {units})" in verdict.line


SPREAD = [-0.03, 0.04, 0.01, -0.02, 0.05, 0.0, -0.01, 0.03]  # mean 0.00875, interval about -0.02 to 0.03


@pytest.mark.parametrize(
    ("level", "strict", "outcome"),
    [("fail", False, "warn"), ("fail", True, "fail"), ("warn", False, "warn"), ("warn", True, "warn")],
)
@pytest.mark.parametrize(
    ("drops", "relation", "units"),
    [
        pytest.param(SPREAD, "0.0088 <= 0.02", "8 images are", id="interval-astride"),
        pytest.param(SPREAD[:5], "0.0100 <= 0.02", "5 images are", id="no-interval"),
        pytest.param([0.5, 0.02], "0.2600 > 0.02", "2 images are", id="one-far-beyond-one-at-the-margin"),
        pytest.param([0.5] * 5 + [-0.1], "0.4000 > 0.02", "6 images are", id="all-but-one-beyond"),
        pytest.param([-0.5], "-0.5000 <= 0.02", "1 image is", id="one-far-within"),
        pytest.param([0.01] * 6, "0.0100 <= 0.02", "6 images are", id="all-within"),
        pytest.param(
            {f"scene{i % 3}_{i // 3}": i / 100 for i in range(60)},
            "0.2950 > 0.02",
            "3 scene groups are",
            id="few-groups",
        ),
    ],
)
def test_too_few_to_tell(
    drops: Sequence[float] | Mapping[str, float], relation: str, units: str, level: str, strict: bool, outcome: str
) -> None:
    grouping = SCENES if isinstance(drops, Mapping) else None
    verdict = of_drop("ssim drop <= 0.02", drops, level=level, strict=strict, grouping=grouping)
    assert (verdict.outcome, verdict.undecided) == (outcome, True)
    needed = "an interval needs 7"
    if units == "8 images are":
        low, high = bootstrap_interval(np.array(SPREAD))
        needed = f"95 % interval {low:.4f} to {high:.4f}"
    assert verdict.line == (f"mean ssim drop {relation}, but cannot tell: {units} too few for this margin ({needed})")


@pytest.mark.parametrize(("level", "strict"), [("fail", False), ("fail", True), ("warn", False), ("warn", True)])
@pytest.mark.parametrize(
    ("drops", "line"),
    [
        pytest.param([0.5], "mean ssim drop 0.5000 > 0.02 (by 0.4800; all 1 image > 0.02)", id="one"),
        pytest.param(
            [0.03, 0.04, 0.05, 0.06, 0.07],
            "mean ssim drop 0.0500 > 0.02 (by 0.0300; all 5 images > 0.02)",
            id="five",
        ),
        pytest.param(
            [0.021] * 6, "mean ssim drop 0.0210 > 0.02 (by 0.0010; all 6 images > 0.02)", id="most-without-interval"
        ),
        pytest.param(
            {f"scene{i % 3}_{i // 3}": 0.05 for i in range(60)},
            "mean ssim drop 0.0500 > 0.02 (by 0.0300; all 3 scene groups > 0.02)",
            id="few-groups",
        ),
    ],
)
def test_where_every_image_is_beyond_the_margin_it_takes_no_interval(
    drops: Sequence[float] | Mapping[str, float], line: str, level: str, strict: bool
) -> None:
    grouping = SCENES if isinstance(drops, Mapping) else None
    verdict = of_drop("ssim drop <= 0.02", drops, level=level, strict=strict, grouping=grouping)
    assert (verdict.outcome, verdict.undecided, verdict.line) == (level, False, line)
    assert len(verdict.failing) == len(drops)


def test_every_image_at_a_strict_margin_is_beyond_it() -> None:
    verdict = of_drop("ssim drop < 0.25", [0.25] * 3)
    assert (verdict.outcome, verdict.undecided) == ("fail", False)
    assert verdict.line == "mean ssim drop 0.2500 >= 0.25 (by 0; all 3 images >= 0.25)"
    assert of_drop("ssim drop <= 0.25", [0.25] * 3).undecided


def test_every_image_is_beyond_the_margin_only_where_it_is_beyond_the_noise() -> None:
    verdict = of_drop("ssim drop <= 0.01", [0.02, 0.04], noise={"ssim": 0.03})
    assert (verdict.outcome, verdict.undecided) == ("warn", True)
    assert verdict.line.endswith("(an interval needs 7; margin 0.01 raised to the noise)")
    verdict = of_drop("ssim drop <= 0.01", [0.04, 0.05], noise={"ssim": 0.03})
    assert verdict.line == (
        "mean ssim drop 0.0450 > 0.03 (by 0.0150; all 2 images > 0.03; margin 0.01 raised to the noise)"
    )


@pytest.mark.parametrize("count", [1, 2, 5, 6, 40])
@pytest.mark.parametrize("margin", ["0", "0.005"])
def test_where_nothing_changed_a_drop_rule_passes_however_few(count: int, margin: str) -> None:
    for rule in ("ssim drop", "each ssim drop"):
        verdict = of_drop(f"{rule} <= {margin}", [0.0] * count, strict=True)
        assert (verdict.outcome, verdict.value, verdict.undecided) == ("pass", 0.0, False)
    assert of_drop("ssim drop < 0", [0.0] * count).outcome == "fail"


@pytest.mark.parametrize(
    ("drop", "rule", "outcome"),
    [
        pytest.param(0.25, "ssim drop <= 0.25", "pass", id="at-the-margin"),
        pytest.param(0.25, "ssim drop < 0.25", "fail", id="strictly-at-the-margin"),
        pytest.param(0.25 + 1e-11, "ssim drop <= 0.25", "fail", id="just-beyond"),
        pytest.param(0.25 - 1e-11, "ssim drop < 0.25", "pass", id="just-within"),
        pytest.param(0.32 - 0.3, "ssim drop <= 0.02", "pass", id="at-the-margin-but-for-rounding"),
        pytest.param(-0.25, "ssim drop <= -0.25", "pass", id="must-get-better-and-does"),
        pytest.param(-0.25, "ssim drop < -0.25", "fail", id="must-get-better-and-does-not"),
    ],
)
def test_the_same_drop_everywhere_at_equality(drop: float, rule: str, outcome: str) -> None:
    assert of_drop(rule, [drop] * 7).outcome == outcome
    assert of_drop(f"each {rule}", [drop] * 2).outcome == outcome


@pytest.mark.parametrize(
    ("rule", "noise", "outcome", "threshold"),
    [
        pytest.param("ssim drop <= 0", {"ssim": 2e-6}, "pass", 2e-6, id="mean-raised"),
        pytest.param("each ssim drop <= 0", {"ssim": 2e-6}, "pass", 2e-6, id="each-raised"),
        pytest.param("ssim drop <= 0", {"ssim": 0.5e-6}, "fail", 0.5e-6, id="raised-but-too-little"),
        pytest.param("ssim drop <= 0", {"psnr": 2e-6}, "fail", 0.0, id="of-another-column"),
        pytest.param("ssim drop <= 0", {}, "fail", 0.0, id="none"),
        pytest.param("ssim drop <= 0.01", {"ssim": 2e-6}, "pass", 0.01, id="below-the-margin"),
        pytest.param("ssim drop <= -0.01", {"ssim": 2e-6}, "fail", -0.01, id="must-get-better"),
        pytest.param("ssim drop < -0.01", {"ssim": 2e-6}, "fail", -0.01, id="must-get-better-strictly"),
        pytest.param("ssim drop < 0", {"ssim": 2e-6}, "fail", 0.0, id="must-get-better-at-all"),
        pytest.param("each ssim drop < 0", {"ssim": 2e-6}, "fail", 0.0, id="each-must-get-better-at-all"),
        pytest.param("ssim drop <= 5e-7", {"ssim": 2e-6}, "pass", 2e-6, id="positive-raised"),
        pytest.param("ssim drop < 5e-7", {"ssim": 2e-6}, "pass", 2e-6, id="strict-raised"),
        pytest.param("each ssim drop < 5e-7", {"ssim": 2e-6}, "pass", 2e-6, id="each-strict-raised"),
        pytest.param("ssim drop < 5e-7", {"ssim": 1e-6}, "fail", 1e-6, id="strict-raised-just-not-enough"),
        pytest.param("ssim drop < 0.01", {"ssim": 2e-6}, "pass", 0.01, id="strict-below-the-margin"),
    ],
)
def test_noise_raises_margins_that_are_below_it(
    rule: str, noise: dict[str, float], outcome: str, threshold: float
) -> None:
    verdict = of_drop(rule, [1e-6] * 8, noise=noise)
    assert (verdict.outcome, verdict.threshold) == (outcome, threshold)
    note = f"; margin {exact(parse(rule).threshold)} raised to the noise"
    assert (note in verdict.line) == ("raised" in verdict.line) == (threshold in noise.values())
    assert verdict.rule == str(parse(rule)), "a rule keeps its name, whatever the noise"


def test_rules_against_a_number_know_no_noise() -> None:
    results = scored([0.8999])
    assert judge(results, [parse("ssim >= 0.9")], noise={"ssim": 0.1}) == judge(results, [parse("ssim >= 0.9")])


# Does the drop rule hold what it promises?


def outcomes(drop: float, count: int, *, sets: int, skewed: bool = False, scenes: bool = False) -> dict[str, float]:
    """How often `ssim drop <= 0.01` says what, where the true mean drop is `drop` and its standard deviation 0.02."""
    rng = np.random.default_rng(SIMULATED)
    names = [f"scene{i // 4:02}_{i % 4}" for i in range(count)]
    found = {"pass": 0.0, "warn": 0.0, "fail": 0.0}
    for _ in range(sets):
        drops = rng.normal(drop, 0.02, count)
        if skewed:  # a few images that get much worse
            drops = drop + 0.02 * (rng.gamma(4, 1, count) - 4) / 2
        if scenes:
            drops = drop + 0.02 * np.repeat(rng.normal(0, 1, count // 4), 4) + 0.005 * rng.normal(0, 1, count)
        grouping = SCENES if scenes else None
        verdict = of_drop("ssim drop <= 0.01", dict(zip(names, drops, strict=True)), grouping=grouping)
        found[verdict.outcome] += 1 / sets
    return found


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        pytest.param(12, {}, id="12"),
        pytest.param(40, {}, id="40"),
        pytest.param(20, {"skewed": True}, id="20-skewed"),
        pytest.param(48, {"scenes": True}, id="12-scenes-of-4"),
    ],
)
def test_of_true_regressions_at_the_margin_at_most_5_percent_pass(count: int, kind: dict[str, bool]) -> None:
    assert 0 < outcomes(0.01, count, sets=SETS, **kind)["pass"] <= 0.05


def test_with_enough_images_a_regression_of_twice_the_margin_fails_and_none_passes() -> None:
    assert outcomes(0.02, 60, sets=100)["fail"] >= 0.9
    assert outcomes(0.0, 60, sets=100)["pass"] >= 0.9


def test_with_few_images_neither_can_be_told_mostly() -> None:
    for drop in (0.0, 0.02):
        assert outcomes(drop, 8, sets=100)["warn"] >= 0.5


# Printed number and verdict agree

NUMBER = r"(-?(?:inf|\d[\d.]*(?:e[-+]\d+)?))"
RELATION = re.compile(rf"^mean ssim(?: drop)? {NUMBER} (>=|<=|>|<) {NUMBER} \(by {NUMBER}")
EACH_PASSES = re.compile(rf"^each ssim (>=|<=|>|<) {NUMBER}: all 1 image \(worst {NUMBER}, by {NUMBER}\)$")
EACH_FAILS = re.compile(rf"^each ssim: 1 of 1 image (>=|<=|>|<) {NUMBER} \(worst {NUMBER}, by {NUMBER}\)$")
INTERVAL = re.compile(rf"95 % interval {NUMBER} to {NUMBER}")


def pairs_of_numbers(count: int) -> list[tuple[float, float]]:
    """Values and thresholds: far apart, equal, and as near as floats can be; of few digits and of many."""
    rng = np.random.default_rng(SIMULATED)
    pairs = []
    for _ in range(count):
        threshold = float(rng.normal(0, 10.0 ** rng.integers(-6, 4)))
        if rng.random() < 0.7:
            threshold = round(threshold, int(rng.integers(0, 7)))
        near = [0.0, 1e-12, -1e-12, 1e-5, -1e-5, 4e-5, -4e-5, 0.3, -0.3]
        value = threshold + float(rng.choice(near))
        if rng.random() < 0.2:
            value = math.nextafter(threshold, float(rng.choice([-INF, INF])))
        pairs.append((value, threshold))
    return pairs


@pytest.mark.parametrize("op", COMPARE)
def test_printed_number_and_verdict_agree(op: str) -> None:
    """The relation in the line holds between the numbers in the line, and is the rule's just when it passed."""
    for value, threshold in pairs_of_numbers(800):
        rules = [replace(parse(text), op=op, threshold=threshold) for text in ("ssim > 0", "each ssim > 0")]
        mean, each = judge(scored([value]), rules)
        drop = of_drop(f"ssim drop {op} {threshold!r}", [value] * 7)
        for verdict, held in ((mean, value), (drop, round(value, 12))):  # (changes are rounded)
            passes = COMPARE[op](held, threshold)
            printed = RELATION.match(verdict.line)
            assert printed, verdict.line
            assert COMPARE[printed[2]](float(printed[1]), float(printed[3])), verdict.line
            assert (printed[2] == op) == (verdict.outcome == "pass") == passes, verdict.line
            assert float(printed[3]) == threshold
            assert float(printed[4]) == pytest.approx(abs(held - threshold), rel=0.05, abs=1e-18)
        passes = COMPARE[op](value, threshold)
        printed = (EACH_PASSES if passes else EACH_FAILS).match(each.line)
        assert printed, each.line
        assert COMPARE[printed[1]](float(printed[3]), float(printed[2])), each.line
        assert (printed[1] == op) == (each.outcome == "pass") == passes, each.line


@pytest.mark.parametrize("margin", [0.0, 0.004, 0.00123456789])
def test_printed_interval_and_verdict_agree(margin: float) -> None:
    rng = np.random.default_rng(SIMULATED)
    seen = set()
    for _ in range(150):
        verdict = of_drop(f"ssim drop <= {margin!r}", rng.normal(rng.normal(margin, 0.002), 0.002, 12))
        low, high = (float(end) for end in INTERVAL.search(verdict.line).groups())
        said = "pass" if high <= margin else "fail" if low > margin else "warn"
        assert verdict.outcome == said, verdict.line
        assert ("cannot tell" in verdict.line) == verdict.undecided == (said == "warn")
        if said != "warn":
            printed = RELATION.match(verdict.line)
            assert (printed[2] == "<=") == (said == "pass")
            assert COMPARE[printed[2]](float(printed[1]), float(printed[3])), verdict.line
        seen.add(said)
    assert seen == {"pass", "warn", "fail"}


@pytest.mark.parametrize(
    ("value", "threshold", "printed"),
    [
        pytest.param(0.8423, 0.85, "0.8423", id="four-decimals"),
        pytest.param(0.8999, 0.9, "0.8999", id="as-in-the-style-guide"),
        pytest.param(0.89999, 0.9, "0.89999", id="one-more"),
        pytest.param(0.9 - 1e-5 / 3, 0.9, "0.899997", id="two-more-not-all"),
        pytest.param(0.9 - 1e-12, 0.9, "0.899999999999", id="twelve"),
        pytest.param(math.nextafter(0.9, 0), 0.9, "0.8999999999999999", id="next-float"),
        pytest.param(0.9, 0.9, "0.9000", id="equal"),
        pytest.param(0.123456, 0.123456, "0.123456", id="equal-of-more-digits"),
        pytest.param(1e-12, 0.0, "1e-12", id="tiny"),
        pytest.param(0.0, 0.5, "0.0000", id="zero"),
        pytest.param(31.23456, 30.0, "31.2346", id="psnr"),
        pytest.param(INF, 30.0, "inf", id="inf"),
    ],
)
def test_as_many_digits_as_it_takes(value: float, threshold: float, printed: str) -> None:
    assert agreeing(value, threshold) == printed


def test_some_names_and_how_many_more() -> None:
    assert some("abcde") == "a, b, c, d, e"
    assert some("abcdefg") == "a, b, c, d, e and 2 more"
    assert some([]) == ""
    assert some("abc", 2) == "a, b and 1 more"
    assert some("abcdefg", None) == "a, b, c, d, e, f, g"


# Columns that are best between others, and those that an image may lack


def having(column: str, scores: Sequence[float | None]) -> Results:
    """A run with this one column; None where an image has none."""
    rows = (
        Row(f"image{i}", scores={"psnr": 30.0} | ({} if score is None else {column: score}))
        for i, score in enumerate(scores)
    )
    return replace(run(tuple(rows)), columns=(known()["psnr"], known()[column]))


@pytest.mark.parametrize(
    ("rule", "outcome", "failing"),
    [
        pytest.param("each ev_error <= 0.2", "fail", ("image2",), id="above"),
        pytest.param("each ev_error >= -0.2", "fail", ("image3", "image0"), id="below"),
        pytest.param("max ev_error <= 0.25", "pass", (), id="largest"),
        pytest.param("min ev_error >= -0.25", "fail", ("image3", "image0"), id="smallest"),
        pytest.param("mean ev_error >= -0.2", "pass", (), id="mean, in which both sides cancel"),
        pytest.param("worst1 ev_error <= 0.2", "fail", ("image2",), id="worst above"),
        pytest.param("worst1 ev_error >= -0.5", "pass", (), id="worst below"),
    ],
)
def test_a_bound_on_either_side_of_the_best_value(rule: str, outcome: str, failing: tuple[str, ...]) -> None:
    found = of_run(rule, having("ev_error", [-0.375, 0.0, 0.25, -0.5]))
    assert found.outcome == outcome
    if outcome == "fail":
        assert found.failing == failing


def test_images_that_lack_what_they_may_lack_are_not_judged_by_it() -> None:
    found = of_run("each psnr_shadows >= 20", having("psnr_shadows", [25.0, None, 15.0]))
    assert (found.outcome, found.failing) == ("fail", ("image2",))
    assert found.judged == {"image0": 25.0, "image2": 15.0}
    nothing = of_run("each psnr_shadows >= 20", having("psnr_shadows", [None, None]))
    assert nothing.outcome == "fail"
    assert math.isnan(nothing.value)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        pytest.param(
            "each psnr_shadows >= 10",
            "each psnr_shadows >= 10: all 2 images of 3 that have it (worst 15.0000, by 5.0000)",
            id="each-passes",
        ),
        pytest.param(
            "each psnr_shadows >= 20",
            "each psnr_shadows: 1 of 2 images of 3 that have it < 20 (worst 15.0000, by 5.0000)",
            id="each-fails",
        ),
        pytest.param(
            "psnr_shadows >= 20", "mean psnr_shadows 20.0000 >= 20 (by 0, 2 of 3 images have it)", id="statistic"
        ),
        pytest.param("psnr >= 20", "mean psnr 30.0000 >= 20 (by 10.0000)", id="all-have-it"),
    ],
)
def test_that_images_lack_the_column_is_said(rule: str, line: str) -> None:
    assert of_run(rule, having("psnr_shadows", [25.0, None, 15.0])).line == line


def test_that_images_lack_the_column_is_said_of_those_that_the_rule_is_about() -> None:
    results = having("psnr_shadows", [25.0, None, None])
    line = of_run("psnr_shadows >= 20", results, images="image[01]").line
    assert line == "mean psnr_shadows of image[01] 25.0000 >= 20 (by 5.0000, 1 of 2 images has it)"
    line = of_run("each psnr_shadows >= 20", results).line
    assert line == "each psnr_shadows >= 20: all 1 image of 3 that has it (worst 25.0000, by 5.0000)"
    assert "have it" not in of_run("each psnr_shadows >= 20", results, images="image0").line


def test_that_images_of_a_group_lack_the_column_is_said() -> None:
    rows = [Row(name, scores={"psnr": 30.0, "psnr_shadows": 25.0}) for name in ("scene1_0", "scene2_0")]
    results = having("psnr_shadows", [])
    results = replace(results, rows=(*rows, Row("scene2_1", scores={"psnr": 30.0})), grouping=SCENES)
    assert of_run("each scene mean psnr_shadows >= 20", results).line == (
        "each scene mean psnr_shadows >= 20: all 2 scene groups (worst 25.0000, by 5.0000; 2 of 3 images have it)"
    )


def test_a_drop_of_an_aligned_score() -> None:
    ours, theirs = (having("psnr_aligned", [score] * 8) for score in (29.0, 30.0))
    _, verdict = judge(ours, [parse("each psnr_aligned drop <= 0.5")], baseline=theirs)
    assert (verdict.outcome, verdict.value) == ("fail", 1.0)


def test_images_with_another_mask_than_in_the_baseline_fail() -> None:
    def masked(digest: str) -> Results:
        rows = tuple(Row(name, scores={"ssim": 0.5}, digests={"mask": digest}) for name in ("a", "b"))
        return replace(run(), rows=rows)

    rule = parse("ssim drop <= 0.1")
    same, other = (judge(masked("x"), [rule], baseline=masked(digest))[0] for digest in "xy")
    assert same.outcome == "pass"
    assert (other.outcome, other.failing) == ("fail", ("a", "b"))
    assert other.line == "all 2 images of the baseline are there; 2 images with another mask: a, b"


@pytest.mark.parametrize(("strict", "outcome"), [(False, "warn"), (True, "fail")])
def test_of_a_run_that_was_stopped_no_rule_can_tell_that_it_passes(strict: bool, outcome: str) -> None:
    results = having("psnr_aligned", [29.0] * 8)
    stopped = replace(results, rows=(*results.rows, Row("late", status="error", error=STOPPED)))
    passing, failing = judge(stopped, [parse("psnr_aligned >= 20"), parse("psnr_aligned >= 30")], strict=strict)
    assert (passing.outcome, passing.undecided) == (outcome, True)
    assert passing.line.endswith(", so far: 1 image is still to score")
    assert (failing.outcome, "still to score" in failing.line) == ("fail", False)


def test_a_part_is_not_judged() -> None:
    part = replace(run(), shard=Shard(2, 3, 18, ""))
    assert judge(part, []) == ()
    with pytest.raises(ResultsError, match="this run: is part 2 of 3 of a run"):
        judge(part, [parse("ssim >= 0.1")])
    with pytest.raises(ResultsError, match="the baseline: is part 2 of 3 of a run"):
        judge(run(), [], baseline=part)
