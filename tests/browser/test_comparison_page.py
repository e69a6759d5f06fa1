"""The page of a comparison, in a browser: what it has beyond the page of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from relight_eval.comparison import Comparison, compare
from relight_eval.gallery import Gallery, Picture
from relight_eval.groups import Grouping
from relight_eval.reports import html
from relight_eval.results import Results, Row
from tests.browser import reports
from tests.browser.page import Page

SHIFTS = {"step_1": 0.0, "step_2": 2.0, "step_3": 1.0}
NAMES = list(reports.PSNR)


def shifted(run: Results, shift: float) -> Results:
    """Better by so many decibels, but for the first image, which becomes worse."""
    rows = tuple(
        replace(row, scores={**row.scores, "psnr": row.scores["psnr"] + (-shift if row.name == NAMES[0] else shift)})
        for row in run.rows
        if row.scores
    )
    return replace(run, rows=rows, prediction=f"{run.prediction}")


def comparison(folder: Path, labels: tuple[str, ...]) -> Comparison:
    run = reports.results(folder)
    runs = {label: shifted(run, SHIFTS[label]) for label in labels}
    return compare(runs, by="psnr", step=r"step_(\d)" if len(labels) > 2 else None)


def gallery(labels: tuple[str, ...]) -> Gallery:
    """The same map in every run, but for the second, whose error is greater by 51 levels everywhere."""
    level = {label: 51 if label == "step_2" else 0 for label in labels}
    grey = {
        label: reports.drawn(5).convert("L").point([min(v // 2 + of, 255) for v in range(256)])
        for label, of in level.items()
    }
    maps = {label: {"error": reports.webp(of, lossless=True)} for label, of in grey.items()}
    predictions = {label: reports.webp(reports.drawn(i), lossless=True) for i, label in enumerate(labels)}
    target = reports.webp(reports.drawn(9), lossless=True)
    return Gallery({name: Picture(target, predictions, maps=maps) for name in NAMES}, scales={"error": (0.0, 0.5)})


def written(folder: Path, name: str, labels: tuple[str, ...]) -> Path:
    place = folder / name
    text = html.render_comparison(comparison(folder, labels), gallery(labels), place=place)
    place.write_text(text, encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def two(run_folder: Path) -> Path:
    return written(run_folder, "two.html", ("step_1", "step_2"))


@pytest.fixture(scope="session")
def three(run_folder: Path) -> Path:
    return written(run_folder, "three.html", ("step_1", "step_2", "step_3"))


@pytest.fixture
def compared(page: Page, two: Path) -> Iterator[Page]:
    page.resize(1300, 2400)
    page.open(two)
    yield page
    assert page.complaints() == []
    assert {url.split(":")[0] for url in page.requests()} <= {"file", "data", "about"}


def test_lists_the_worst_change_first(compared: Page) -> None:
    assert compared.run("document.title") == "step_2 against step_1, 6 images – relight-eval"
    assert compared.names()[0] == NAMES[0]
    assert compared.texts("#sheet .row:first-child .score")[-1] == "−2.0000"
    compared.click('[data-filter="moved:worse@1"]')
    assert compared.names() == [NAMES[0]]


def test_shows_the_target_both_runs_and_how_the_map_changed(compared: Page, two: Path) -> None:
    compared.open(two, f"#open={NAMES[1]}")
    compared.until(compared.loaded)
    assert compared.texts(".pane b") == ["target", "step_1", "step_2", "step_2: change of error"]
    assert compared.texts(".colour-bar > span:not(.ramp)") == ["-0.5", "0.5"]
    canvas = compared.browser.find_elements(By.CSS_SELECTOR, ".pane > canvas")[0]
    ActionChains(compared.browser).move_to_element(canvas).perform()
    told = compared.until(lambda: compared.find(".readout").text)
    assert told.endswith("change of error 0.100"), "51 of 255 levels, of a scale up to 0.5"
    assert "step_1 24.0000" in compared.find(".panel").text


def test_shows_the_map_of_each_run(compared: Page, two: Path) -> None:
    compared.open(two, f"#open={NAMES[1]}")
    compared.until(compared.loaded)
    compared.press("m")
    assert compared.texts(".pane b")[3:] == ["step_1: error", "step_2: error"]
    compared.until(lambda: compared.pixels(3) != compared.pixels(4))


def test_the_slider_holds_the_runs_against_each_other(compared: Page, two: Path) -> None:
    compared.open(two, f"#open={NAMES[1]}&view=slider")
    compared.until(compared.loaded)
    assert compared.texts(".pane b") == ["step_1", "step_2"]
    Select(compared.find("[data-do=left]")).select_by_visible_text("target")
    assert compared.texts(".pane b") == ["target", "step_2"]


def test_a_click_on_a_point_opens_the_image(compared: Page) -> None:
    plot = compared.until(lambda: compared.find("[data-scatter=psnr] .u-over"))
    move = ActionChains(compared.browser).move_to_element(plot)
    width, height = plot.size["width"], plot.size["height"]
    low, high = 20.0, 33.5  # of all finite values
    spare = (high - low) * 0.04
    x, y = ((value - low + spare) / (high - low + 2 * spare) for value in (24.0, 26.0))
    move.move_by_offset(round(x * width - width / 2), round(height / 2 - y * height)).perform()
    compared.until(lambda: "alley_w" in compared.find("[data-scatter=psnr] .tip").text)
    ActionChains(compared.browser).click().perform()
    assert compared.hash()["open"] == ["alley_w"]


def test_draws_the_trend_and_lets_one_choose_the_run(page: Page, three: Path) -> None:
    page.resize(1300, 3000)
    page.open(three)
    assert page.until(lambda: page.run("document.querySelectorAll('#trends canvas').length")) == 3
    assert page.run("document.querySelectorAll('#scatters canvas').length") == 3
    Select(page.find("#run")).select_by_visible_text("step_3 against step_1")
    page.until(lambda: page.hash().get("run") == ["2"])
    assert page.texts("#sheet .row:first-child .score")[-1] == "−1.0000"
    assert page.texts("#head .thumbs span") == ["target", "step_1", "step_3"]
    assert page.complaints() == []


@pytest.mark.parametrize("fragment", ["", "#open=alley_w"])
def test_fits_a_phone(page: Page, three: Path, fragment: str) -> None:
    page.resize(390, 844)
    page.open(three, fragment)
    page.until(lambda: page.run("document.querySelectorAll('#scatters canvas').length"))
    assert page.run("document.documentElement.scrollWidth") <= 390


def pairs(scores: Sequence[float | None]) -> Results:
    found = [{"wssim": 0.5} if score is None else {"wssim": 0.5, "psnr": score} for score in scores]
    columns = tuple(column for column in reports.COLUMNS if column.name in ("wssim", "psnr"))
    return Results("out", "gt", columns, tuple(Row(f"i{i}", scores=one) for i, one in enumerate(found)), {})


@pytest.mark.parametrize(
    ("before", "after", "bars"),
    [
        ([math.inf] * 3, [20.0, 30.0, 40.0], 1),
        ([20.0, 30.0], [math.inf] * 2, 1),
        ([math.inf, 20.0], [20.0, math.inf], 2),
        ([math.inf] * 2, [math.inf] * 2, 1),
        ([math.inf, 20.0], [20.0, 30.0], 2),
    ],
    ids=str,
)
def test_infinite_changes(page: Page, tmp_path: Path, before: list[float], after: list[float], bars: int) -> None:
    place = tmp_path / "infinite.html"
    compared = compare({"step_1": pairs(before), "step_2": pairs(after), "step_3": pairs(before)}, step=r"step_(\d)")
    place.write_text(html.render_comparison(compared, place=place), encoding="utf-8")
    page.resize(1300, 2400)
    for fragment in ("#run=1", "#run=1&open=i0&sort=psnr@1", "#run=2&open=i1&view=slider"):
        page.open(place, fragment)
        page.until(lambda: page.run("document.querySelectorAll('#scatters figure').length") == 2)
        assert len(page.names()) == len(before)
        assert page.find("#viewer").is_displayed() == ("open" in fragment)
    page.open(place, "#run=1")
    assert len(page.browser.find_elements(By.CSS_SELECTOR, "[data-histogram='2'] .bar")) == bars
    finite = [a for a, b in zip(before, after, strict=True) if math.isfinite(a) and math.isfinite(b)]
    page.until(lambda: page.run("document.querySelectorAll('#scatters canvas').length") == 1 + bool(finite))
    if not finite:
        assert page.texts("#scatters .hint")[1] == "no image has a finite score in both runs"
    assert page.complaints() == []


def test_a_score_that_one_run_lacks(page: Page, tmp_path: Path) -> None:
    place = tmp_path / "lacking.html"
    before, after = pairs([20.0, None, 30.0]), pairs([None, 20.0, None])
    place.write_text(html.render_comparison(compare({"a": before, "b": after}), place=place), encoding="utf-8")
    page.open(place, "#open=i0&sort=psnr@1")
    assert page.find("#viewer").is_displayed()
    assert page.complaints() == []


@pytest.mark.parametrize("run", ["3", "-1", "0", "1.5", "x", "1e0"])
def test_a_run_that_is_not_there_is_not_looked_at(page: Page, three: Path, run: str) -> None:
    page.open(three, f"#run={run}&open=alley_w")
    page.until(page.loaded)
    assert page.texts(".pane b")[:3] == ["target", "step_1", "step_2"]
    assert page.complaints() == []


def test_seventy_thousand_images(page: Page, tmp_path: Path) -> None:
    """More than a function of a browser takes as arguments."""
    place = tmp_path / "many.html"
    run = pairs([20 + i % 97 / 10 for i in range(70_000)])
    run = replace(run, grouping=Grouping("(?P<image>.*)"), columns=run.columns[1:])
    place.write_text(html.render_comparison(compare({"a": run, "b": run}), place=place), encoding="utf-8")
    page.resize(1300, 900)
    page.open(place)
    page.until(lambda: page.run("document.querySelectorAll('#scatters canvas').length") == 1)
    assert page.find("#shown").text == "70,000 images"
    assert page.complaints() == []


def test_ten_thousand_images(page: Page, tmp_path: Path) -> None:
    before = reports.many_results(10_000)
    after = replace(before, rows=tuple(replace(row, scores={**row.scores, "wssim": 0.5}) for row in before.rows))
    place = tmp_path / "many.html"
    text = html.render_comparison(compare({"before": before, "after": after}), place=place)
    place.write_text(text, encoding="utf-8")
    page.open(place)
    painted = page.until(lambda: page.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
    print(f"10,000 images compared: {len(text) / 1e6:.1f} MB, first paint {painted:.0f} ms")
    assert painted < 4000
    assert len(page.names()) < 100
