"""Results: what counts as what, and the table of the contract."""

from __future__ import annotations

import math

import pytest

from tests.runs import COLUMNS, run


def test_rows_are_told_apart() -> None:
    results = run()
    assert [row.name for row in results.scored] == ["a", "b10", "small"]
    assert [row.name for row in results.errors] == ["broken", "small"]
    assert [row.name for row in results.unpaired] == ["extra", "gone"]


def test_values_are_by_name_and_only_of_rows_that_have_them() -> None:
    assert run().values("ssim") == {"a": 0.75, "b10": 1.0}


def test_frame_has_the_columns_of_the_contract_in_order() -> None:
    frame = run().to_frame()
    assert list(frame.columns) == [
        *("image", "prediction", "target", "width", "height"),
        *(column.name for column in COLUMNS),
        *("status", "error"),
    ]
    assert list(frame["image"]) == ["a", "b10", "broken", "extra", "gone", "small"]


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
