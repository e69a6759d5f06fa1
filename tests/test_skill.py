"""Skill: numbers worked out by hand, and which images they are about."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from relight_eval import columns
from relight_eval.results import Column, Results, Row
from relight_eval.skill import Worth, sentence, worths

(PSNR,), (SSIM,), (LPIPS,) = columns.psnr(), columns.ssim(), columns.lpips()
(CHARBONNIER,) = columns.charbonnier()

Floors = Mapping[str, float]


def results(column: Column, *images: tuple[float | None, Floors]) -> Results:
    """Of each image its score, None where it has none, and those of its floors."""
    rows = tuple(
        Row(
            f"image{i}",
            scores={} if score is None else {column.name: score},
            floors={floor: {column.name: of} for floor, of in floors.items()},
        )
        for i, (score, floors) in enumerate(images)
    )
    return Results("", "", (column,), rows, {})


def worth(column: Column, *images: tuple[float | None, Floors]) -> Worth:
    (found,) = worths(results(column, *images))
    return found


@pytest.mark.parametrize(
    ("column", "score", "floor", "skill"),
    [
        pytest.param(SSIM, 0.9, 0.6, 0.75, id="ssim"),
        pytest.param(SSIM, 0.6, 0.6, 0.0, id="on the floor"),
        pytest.param(SSIM, 0.2, 0.6, -1.0, id="below the floor"),
        pytest.param(SSIM, 1.0, 0.6, 1.0, id="perfect"),
        pytest.param(LPIPS, 0.1, 0.4, 0.75, id="lower is better"),
        pytest.param(LPIPS, 0.6, 0.4, -0.5, id="lower is better, worse"),
        pytest.param(CHARBONNIER, 0.026, 0.101, 0.75, id="perfect is not 0"),
        pytest.param(PSNR, 30.0, 20.0, 0.9, id="a tenth of the squared error"),
        pytest.param(PSNR, 20.0, 20.0, 0.0, id="decibels, on the floor"),
        pytest.param(PSNR, 10.0, 20.0, -9.0, id="ten times the squared error"),
    ],
)
def test_share_of_the_way_from_the_floor_to_perfect(column: Column, score: float, floor: float, skill: float) -> None:
    found = worth(column, (score, {"black": floor}))
    assert found.skill == pytest.approx(skill, abs=1e-12)
    assert (found.column, found.mean, found.floors, found.best) == (column, score, {"black": floor}, "black")
    assert (found.images, found.better) == (1, {"black": float(skill > 0)})


def test_above_a_perfect_floor_there_is_no_way() -> None:
    assert math.isnan(worth(SSIM, (1.0, {"input": 1.0})).skill)


@pytest.mark.parametrize(("column", "best"), [(SSIM, "input"), (PSNR, "input"), (LPIPS, "black")])
def test_the_best_floor_is_the_best_in_the_mean(column: Column, best: str) -> None:
    """Means 0.5 and 0.6, though the first is better on two of three images."""
    images = [(0.7, {"black": black, "input": given}) for black, given in ((0.6, 0.4), (0.6, 0.4), (0.3, 1.0))]
    found = worth(column, *images)
    assert found.best == best
    assert found.floors == pytest.approx({"black": 0.5, "input": 0.6})


def test_of_several_images_by_hand() -> None:
    images = (
        (0.8, {"black": 0.5, "input": 0.9}),
        (0.6, {"black": 0.5, "input": 0.6}),
        (0.7, {"black": 0.8, "input": 0.0}),
    )
    found = worth(SSIM, *images)
    assert (found.mean, found.best, found.images) == (pytest.approx(0.7), "black", 3)
    assert found.skill == pytest.approx((0.7 - 0.6) / (1 - 0.6))
    assert found.better == pytest.approx({"black": 2 / 3, "input": 1 / 3})  # no better where both are equal


def test_better_is_lower_where_lower_is_better() -> None:
    found = worth(LPIPS, (0.1, {"black": 0.5}), (0.6, {"black": 0.5}), (0.2, {"black": 0.5}))
    assert found.better == pytest.approx({"black": 2 / 3})


@pytest.mark.parametrize(
    "beside",
    [
        pytest.param((None, {"black": 10.0, "input": 11.0}), id="no score"),
        pytest.param((math.inf, {"black": 10.0, "input": 11.0}), id="identical"),
        pytest.param((25.0, {"black": 10.0, "input": math.inf}), id="the input is the target"),
        pytest.param((25.0, {"black": 10.0}), id="a floor is lacking"),
        pytest.param((25.0, {}), id="no floors"),
    ],
)
def test_only_images_with_a_finite_score_of_everything(beside: tuple[float | None, Floors]) -> None:
    usual = (30.0, {"black": 10.0, "input": 20.0})
    for images in ((usual, beside), (beside, usual)):
        assert worth(PSNR, *images) == worth(PSNR, usual)


@pytest.mark.parametrize(
    "image", [(20.0, {}), (None, {"black": 10.0}), (math.inf, {"black": 10.0}), (20.0, {"black": math.inf})], ids=str
)
def test_of_nothing_there_is_no_worth(image: tuple[float | None, Floors]) -> None:
    assert list(worths(results(PSNR, image))) == []


def test_each_column_has_the_floors_that_scored_it() -> None:
    """LPIPS has no score of the input: too small, say; PSNR has."""
    floors = {"black": {"psnr": 10.0, "lpips": 0.8}, "input": {"psnr": 15.0}}
    row = Row("a", scores={"psnr": 25.0, "lpips": 0.2, "ssim": 0.9}, floors=floors)
    found = list(worths(Results("", "", (PSNR, SSIM, LPIPS), (row,), {})))
    assert [(one.column.name, one.best, list(one.floors)) for one in found] == [
        ("psnr", "input", ["black", "input"]),
        ("lpips", "black", ["black"]),
    ]


@pytest.mark.parametrize(
    ("floor", "expected"),
    [
        ("input", "better than copying the input on 33 % of images"),
        ("black", "better than a black image on 67 % of images"),
        ("mean colour", "better than an image of mean colour on 100 % of images"),
    ],
)
def test_sentence(floor: str, expected: str) -> None:
    images = (
        (0.8, {"black": 0.5, "input": 0.9, "mean colour": 0.1}),
        (0.6, {"black": 0.5, "input": 0.6, "mean colour": 0.1}),
    )
    images += ((0.7, {"black": 0.8, "input": 0.0, "mean colour": 0.1}),)
    assert sentence(worth(SSIM, *images), floor) == expected
