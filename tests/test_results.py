"""Results: what counts as what, and the table of the contract."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from relight_eval import statistics
from relight_eval.columns import known
from relight_eval.groups import Grouping
from relight_eval.results import Results, Row, paired_changes, signature_differences
from relight_eval.statistics import summary
from tests.runs import COLUMNS, run

SIGNATURE = {"relight-eval": "0.1.0", "charbonnier": "eps=0.001", "device": "cpu"}  # of those runs


def test_rows_are_told_apart() -> None:
    results = run()
    assert [row.name for row in results.scored] == ["a", "b10", "small"]
    assert [row.name for row in results.errors] == ["broken", "small"]
    assert [row.name for row in results.unpaired] == ["extra", "gone"]


def test_values_are_by_name_and_only_of_rows_that_have_them() -> None:
    assert run().values("ssim") == {"a": 0.75, "b10": 1.0}


@pytest.mark.parametrize("at_once", [1, 1000])
def test_tables_hold_every_column_and_nan_for_what_is_lacking(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.results.AT_ONCE", at_once)
    results = run()
    found = {
        c.name: s.tolist() for columns, table in results.tables(COLUMNS) for c, s in zip(columns, table, strict=True)
    }
    names = [row.name for row in results.scored]
    for column in COLUMNS:
        values = zip(names, found[column.name], strict=True)
        assert {name: value for name, value in values if not math.isnan(value)} == results.values(column.name)


def test_the_worst_image_of_a_column_is_the_first_of_those() -> None:
    rows = tuple(Row(name, scores={"psnr": psnr, "local_x": 1.0}) for name, psnr in (("a", 30), ("b", 20), ("c", 20)))
    results = replace(run(rows), columns=(*COLUMNS, known()["local_x"]))
    assert [results.worst(name) for name in ("psnr", "ssim", "local_x")] == ["b", "", ""]


def test_frame_has_the_columns_of_the_contract_in_order() -> None:
    frame = run().to_frame()
    assert list(frame.columns) == [
        *("image", "prediction", "target", "width", "height"),
        *(column.name for column in COLUMNS),
        *("status", "error"),
    ]
    assert list(frame["image"]) == ["a", "b10", "broken", "extra", "gone", "small"]


def test_frame_takes_any_name_of_a_file() -> None:
    name = os.fsdecode(b"a\xff")
    assert list(run(rows=(Row(name, error=name),)).to_frame()[["image", "error"]].loc[0]) == [name, name]


def test_frame_holds_floats_where_there_are_scores_and_nothing_elsewhere() -> None:
    frame = run().to_frame().set_index("image")
    assert frame.loc["b10", "psnr"] == math.inf
    assert math.isnan(frame.loc["broken", "psnr"])
    assert frame.loc["a", "charbonnier"] == 0.1 + 0.2
    assert frame["psnr"].dtype == frame["ssim"].dtype == "float64"
    assert frame["width"].dtype == "Int64"


@pytest.mark.parametrize(("better", "arrow"), [("higher", "↑"), ("lower", "↓")])
def test_arrow_points_to_better(better: str, arrow: str) -> None:
    assert {column.arrow for column in COLUMNS if column.better == better} == {arrow}


@pytest.mark.parametrize(
    ("name", "arrow", "main"),
    [
        ("psnr", "↑", True),
        ("psnr_aligned", "↑", True),
        ("psnr_shadows", "↑", False),
        ("wssim_ll2", "↑", False),
        ("lpips", "↓", True),
        ("ev_error", "→", False),
        ("share_colour", " ", False),
        ("align_gain_r", " ", False),
    ],
)
def test_columns_say_where_better_is_and_whether_they_are_what_a_metric_comes_to(
    name: str, arrow: str, main: bool
) -> None:
    assert (known()[name].arrow, known()[name].main) == (arrow, main)


# How two runs go together


def scored(scores: Mapping[str, float], column: str = "psnr") -> Results:
    return run(tuple(Row(name, scores={column: score}) for name, score in scores.items()))


def test_changes_are_ours_less_theirs_of_the_images_that_both_scored() -> None:
    ours = scored({"a": 30.0, "new": 1.0, "c": 19.5})
    theirs = scored({"c": 20.0, "gone": 1.0, "a": 28.0})
    assert paired_changes(ours, theirs, COLUMNS[1]) == {"a": 2.0, "c": -0.5}
    assert paired_changes(ours, theirs, COLUMNS[2]) == {}
    assert paired_changes(run(), run(), COLUMNS[2]) == {"a": 0.0, "b10": 0.0}


@pytest.mark.parametrize(
    ("ours", "theirs", "change"),
    [
        pytest.param(math.inf, math.inf, 0.0, id="identical-in-both"),
        pytest.param(30.0, math.inf, -math.inf, id="identical-no-more"),
        pytest.param(math.inf, 30.0, math.inf, id="identical-now"),
    ],
)
def test_changes_of_identical_images_are_never_nan(ours: float, theirs: float, change: float) -> None:
    assert paired_changes(scored({"a": ours}), scored({"a": theirs}), COLUMNS[1]) == {"a": change}


@pytest.mark.parametrize(
    ("column", "ours", "theirs", "change"),
    [
        pytest.param("ev_error", -0.1, 0.3, -0.2, id="nearer-from-the-other-side"),
        pytest.param("ev_error", 0.3, -0.1, 0.2, id="farther"),
        pytest.param("ev_error", 0.25, -0.25, 0.0, id="as-far"),
        pytest.param("gain_r", 1.25, 0.5, -0.25, id="of-1"),
        pytest.param("wb_angle", 1.0, 3.0, -2.0, id="lower-is-better"),
        pytest.param("shadow_iou", 0.5, 0.75, -0.25, id="higher-is-better"),
    ],
)
def test_changes_of_what_is_best_between_others_are_of_the_distance(
    column: str, ours: float, theirs: float, change: float
) -> None:
    found = paired_changes(scored({"a": ours}, column), scored({"a": theirs}, column), known()[column])
    assert found == {"a": change}


@pytest.mark.parametrize(
    ("theirs", "metrics", "differences"),
    [
        pytest.param(SIGNATURE, {"charbonnier"}, {}, id="same"),
        pytest.param(
            SIGNATURE | {"charbonnier": "eps=0.01"},
            {"charbonnier"},
            {"charbonnier": ("eps=0.001", "eps=0.01")},
            id="a-metric",
        ),
        pytest.param(SIGNATURE | {"charbonnier": "eps=0.01"}, {"psnr"}, {}, id="a-metric-not-asked-for"),
        pytest.param(SIGNATURE | {"device": "cuda:0"}, {"psnr"}, {"device": ("cpu", "cuda:0")}, id="general"),
        pytest.param(SIGNATURE | {"input": "linear"}, set(), {"input": ("nothing", "linear")}, id="one-more"),
        pytest.param(
            {key: SIGNATURE[key] for key in ("relight-eval", "charbonnier")},
            {"charbonnier"},
            {"device": ("cpu", "nothing")},
            id="one-less",
        ),
        pytest.param(SIGNATURE | {"interval": "seed=1", "group": "(a)"}, {"psnr"}, {}, id="how-the-spread-was-told"),
        pytest.param(SIGNATURE | {"align": "gain", "regions": "three"}, {"psnr"}, {}, id="what-only-adds-columns"),
        pytest.param(SIGNATURE | {"mask": ">0"}, {"psnr"}, {"mask": ("nothing", ">0")}, id="a-mask"),
        pytest.param({}, {"charbonnier"}, {}, id="not-known"),
    ],
)
def test_signatures_differ_in(
    theirs: dict[str, str], metrics: set[str], differences: dict[str, tuple[str, str]]
) -> None:
    ours, theirs_too = run(), replace(run(), signature=theirs)
    assert ours.signature == SIGNATURE
    assert signature_differences(ours, theirs_too, metrics) == differences
    turned = {key: (there, here) for key, (here, there) in differences.items()}
    assert signature_differences(theirs_too, ours, metrics) == turned


def test_another_alignment_is_a_difference_where_both_have_one() -> None:
    ours, theirs = (replace(run(), signature=SIGNATURE | {"align": kind}) for kind in ("gain", "affine"))
    assert signature_differences(ours, theirs, {"psnr"}) == {"align": ("gain", "affine")}


# Spread

IMAGES = {f"room{i // 2}_{i % 2}": 0.5 + i**2 / 1000 for i in range(16)}
ROOMS = Grouping(r"(?P<room>room\d)_(?P<light>\d)")


def test_resampled_says_so_in_the_signature_and_nowhere_else() -> None:
    results = run().resampled(ROOMS, 0)
    assert results.signature == SIGNATURE | {
        "interval": "bootstrap,percentile,expanded,resamples=2000,seed=0",
        "group": r"(?P<room>room\d)_(?P<light>\d)",
    }
    assert (results.grouping, results.seed) == (ROOMS, 0)
    assert replace(results, grouping=None, signature=SIGNATURE) == run()


def test_resampled_again_forgets_the_former_groups_and_seed() -> None:
    again = run().resampled(ROOMS, 3).resampled(None, 4)
    assert again == run().resampled(None, 4)
    assert again.signature["interval"].endswith(",seed=4")
    assert "group" not in again.signature


def test_a_signature_that_is_not_known_stays_so() -> None:
    assert replace(run(), signature={}).resampled(ROOMS, 1).signature == {}


def test_summary_is_of_the_column_with_the_groups_and_seed_of_the_run() -> None:
    results, values = scored(IMAGES, "ssim"), list(IMAGES.values())
    rooms = [name[:5] for name in IMAGES]
    assert results.summary("ssim") == summary(values)
    assert results.resampled(None, 1).summary("ssim") == summary(values, seed=1)
    assert results.resampled(ROOMS, 1).summary("ssim") == summary(values, rooms, seed=1)
    intervals = {summary(values).ci95, summary(values, seed=1).ci95, summary(values, rooms, seed=1).ci95}
    assert len(intervals) == 3


def test_columns_are_resampled_together_or_where_that_is_too_much_memory_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times_drawn, drawn = statistics._times_drawn, []
    monkeypatch.setattr(statistics, "_times_drawn", lambda *of: drawn.append(of) or times_drawn(*of))
    names = ("charbonnier", "psnr", "ssim")
    rows = [
        Row(name, scores={"charbonnier": 1 / score, "psnr": score**2, "ssim": score}) for name, score in IMAGES.items()
    ]
    together, apart = run(tuple(rows)), run(tuple(rows))
    summaries = [together.summary(name) for name in names]
    assert len(drawn) == 1
    monkeypatch.setattr("relight_eval.results.AT_ONCE", len(IMAGES))
    assert [apart.summary(name) for name in names] == summaries
    assert len(drawn) == 1 + 3


def test_summary_leaves_out_images_without_the_score_and_their_group() -> None:
    missing = scored(IMAGES, "ssim")
    missing = replace(missing, rows=(Row("nowhere", scores={"psnr": 20.0}), *missing.rows))
    assert missing.resampled(ROOMS, 0).summary("ssim") == scored(IMAGES, "ssim").resampled(ROOMS, 0).summary("ssim")
    assert missing.summary("vgg19").count == 0
