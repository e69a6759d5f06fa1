"""The page of a run, in a browser: what people click, type and look at."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from relight_eval.reports import html
from relight_eval.reports.page.data import plain
from relight_eval.results import Results, Row
from tests.browser import reports
from tests.browser.page import Page

SCORED = ["barn_w", "alley_e", "alley_w", "cave_w", "barn_e", "cave_e"]  # the worst first
ALL = [*SCORED, "dock_e", "dock_w"]


@pytest.fixture
def run(page: Page, run_page: Path) -> Iterator[Page]:
    """The small report, opened; afterwards nothing may have gone wrong, and nothing have left the machine."""
    page.open(run_page)
    yield page
    assert page.complaints() == []
    schemes = {url.split(":")[0] for url in page.requests()}
    assert schemes <= {"file", "data", "about"}


def viewer(page: Page, path: Path, name: str, rest: str = "") -> None:
    page.open(path, f"#open={name}{rest}")
    page.until(page.loaded)


# What is told once


def test_shows_what_was_found(run: Page) -> None:
    assert run.run("document.title") == "1 of 2 rules failed, 7 pairs – relight-eval"
    assert "c0322b" in run.find("link[rel=icon]").get_attribute("href")
    assert run.texts("main > .warning") == ["vgg19 was left out"]
    assert run.texts(".scores tbody tr.main .mean")[1] == "0.6875*"  # of 6 of the 7 pairs
    assert run.texts("#kinds .kind-bar span:first-child") == ["shadow", "exposure"]


def test_asks_for_nothing_but_itself(run: Page) -> None:
    run.until(run.names)
    assert {url for url in run.requests() if url.startswith("file")} == {run.browser.current_url}


# The list


def test_lists_the_worst_first(run: Page) -> None:
    assert run.names() == ALL
    assert run.find("#shown").text == "8 images"


def test_tints_what_is_worst(run: Page) -> None:
    tints = (
        "[...document.querySelectorAll('#sheet .score')].map(e => [e.className, e.style.getPropertyValue('--tint')])"
    )
    found = [(kind, tint) for kind, tint in run.run(tints) if tint]
    assert found[:3] == [("score", "26%")] * 3, "those of the first row"


def test_sorts_by_a_column_the_worst_first_and_then_the_best(run: Page) -> None:
    run.click("[data-sort=psnr]")
    assert run.names() == ALL
    run.click("[data-sort=psnr]")
    assert run.names() == [*reversed(SCORED), "dock_e", "dock_w"]
    assert run.hash() == {"sort": ["-psnr"]}
    assert run.find("[aria-sort]").text.startswith("psnr")


def test_sorts_by_name(run: Page) -> None:
    run.click("[data-sort=name]")
    assert run.names() == sorted(ALL)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("is:failed", ["barn_w", "alley_e"]),
        ("is:error", ["dock_e"]),
        ("is:unpaired", ["dock_w"]),
        ("is:mistake", ["cave_w"]),
        ("kind:exposure", ["barn_w"]),
    ],
)
def test_filters_by_a_chip_that_counts(run: Page, word: str, shown: list[str]) -> None:
    chip = f'#chips [data-filter="{word}"]'
    assert run.texts(f"{chip} .count") == [str(len(shown))]
    run.click(chip)
    assert run.names() == shown
    run.click(chip)
    assert run.names() == ALL


def test_filters_of_one_kind_widen_and_of_two_kinds_narrow(run: Page) -> None:
    run.click('#chips [data-filter="kind:shadow"]')
    assert run.names() == ["barn_w", "alley_e"]
    run.click('#chips [data-filter="is:error"]')
    assert run.names() == []
    assert run.find("#nothing").is_displayed()
    run.click('#chips [data-filter="is:failed"]')
    assert run.names() == ["barn_w", "alley_e"]
    run.click("#chips .quiet")
    assert run.names() == ALL


def test_a_verdict_shows_the_images_that_fail_it(run: Page) -> None:
    run.click(".verdicts [data-filter='rule:0']")
    assert run.names() == ["barn_w", "alley_e"]


def test_a_group_shows_its_images(run: Page) -> None:
    run.click("[data-filter='in:scene=barn']")
    assert run.names() == ["barn_w", "barn_e"]


def test_searches_names_as_one_types(run: Page) -> None:
    run.press("/")
    run.press("_E")
    assert run.names() == ["alley_e", "barn_e", "cave_e", "dock_e"]
    assert run.hash() == {"q": ["_E"]}


def test_a_bar_of_a_histogram_shows_the_images_in_it(run: Page) -> None:
    bars = run.browser.find_elements("css selector", "[data-histogram='3'] .hit")
    ActionChains(run.browser).move_to_element(bars[0]).click().perform()
    assert run.names() == ["barn_w"]
    run.press(Keys.ESCAPE)
    ActionChains(run.browser).move_to_element(bars[-1]).click().perform()
    assert run.names() == ["cave_e"], "that of the identical images"


def test_shows_bands_and_layers_when_asked(run: Page) -> None:
    assert "wssim_full ↑" not in run.texts("#head .score button")
    assert "wssim_full" not in run.find(".scores").text
    Select(run.find("#columns")).select_by_visible_text("with wssim in parts")
    assert "wssim_full" in run.find(".scores").text
    assert "wssim_full ↑" in run.texts("#head .score button")


def test_the_address_holds_the_view(page: Page, run_page: Path) -> None:
    page.open(run_page, "#q=a&sort=-name&f=is%3Afailed")
    assert page.names() == ["barn_w", "alley_e"]
    assert page.find("#search").get_attribute("value") == "a"


def test_back_and_forward(run: Page) -> None:
    run.click('#chips [data-filter="is:mistake"]')
    run.click("#sheet .row")
    assert run.find("#viewer").is_displayed()
    run.browser.back()
    run.until(lambda: not run.find("#viewer").is_displayed())
    assert run.names() == ["cave_w"]
    run.browser.back()
    run.until(lambda: run.names() == ALL)
    run.browser.forward()
    run.until(lambda: run.names() == ["cave_w"])


def test_the_keyboard_walks_the_list_and_opens_an_image(run: Page) -> None:
    run.run("document.querySelector('#sheet .row a').focus()")
    run.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert run.run("document.activeElement.textContent") == "alley_w"
    run.press(Keys.ENTER)
    assert run.hash()["open"] == ["alley_w"]
    run.press(Keys.ESCAPE)
    run.until(lambda: not run.find("#viewer").is_displayed())
    assert run.run("document.activeElement.textContent") == "alley_w"


def test_small_pictures_are_embedded(run: Page) -> None:
    run.until(lambda: run.run("document.querySelectorAll('#sheet img').length") == 12)
    assert run.run("[...document.querySelectorAll('#sheet img')].every(i => i.src.startsWith('data:image/webp'))")


# An image, opened


def test_a_deep_link_opens_an_image(page: Page, run_page: Path) -> None:
    viewer(page, run_page, "barn_w")
    assert page.texts(".pane b") == ["prediction", "target", "error", "input"]
    said = page.find(".panel").text
    assert "too dark (0.4 stops; 93 % of the error)" in said
    assert "the worst" in said
    assert "beyond each psnr >= 23" in said
    assert "copy the input 10.2500" in said
    assert page.complaints() == []


def test_arrow_keys_step_through_the_list_and_escape_closes(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    run.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    run.until(lambda: run.find("#viewer h2").text == "alley_e")
    run.press(Keys.ESCAPE)
    run.until(lambda: not run.find("#viewer").is_displayed())
    assert "open" not in run.hash()


def test_the_map_selector_changes_the_map_and_its_scale(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    assert run.texts(".colour-bar > span:not(.ramp)") == ["0", "0.5"]
    before, target = run.pixels(2), run.pixels(1)
    run.press("m")
    assert run.texts(".colour-bar > span:not(.ramp)") == ["0", "2"]
    run.until(lambda: run.pixels(2) not in (before, target))
    assert run.hash()["map"] == ["coarse"]


def test_the_value_under_the_pointer_is_told(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    i = list(reports.PSNR).index("barn_w")
    grey, target = reports.drawn(30 + i).convert("L").getpixel((24, 16)), reports.drawn(10 + i).getpixel((24, 16))
    canvas = run.browser.find_elements("css selector", ".pane > canvas")[1]
    ActionChains(run.browser).move_to_element_with_offset(canvas, 1, 1).perform()
    told = run.until(lambda: run.find(".readout").text)
    assert "x 24  y 16" in told
    assert f"target {' '.join(map(str, target))}" in told  # type: ignore[arg-type]
    shown = float(told.split("error ")[1])
    assert shown == pytest.approx(grey / 255 * 0.5, abs=6e-4)  # type: ignore[operator]


def test_maps_are_magma(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    ramp = run.run("[...document.querySelector('.ramp canvas').getContext('2d').getImageData(0, 0, 256, 1).data]")
    assert (ramp[:3], ramp[-4:-1]) == ([0, 0, 4], [252, 253, 191])


def test_the_slider_shows_the_prediction_left_and_the_target_right(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w", "&view=slider")
    assert len(run.browser.find_elements("css selector", ".pane")) == 1
    both = run.pixels()
    run.find(".divider").send_keys(Keys.END)
    run.until(lambda: run.pixels() != both)
    prediction = run.pixels()
    assert run.texts(".label.away b") == ["target"]
    run.find(".divider").send_keys(Keys.HOME)
    run.until(lambda: run.texts(".label.away b") == ["prediction"])
    assert run.pixels() not in (both, prediction)


def test_the_slider_is_dragged(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w", "&view=slider")
    both = run.pixels()
    ActionChains(run.browser).drag_and_drop_by_offset(run.find(".divider"), -150, 0).perform()
    run.until(lambda: run.pixels() != both)
    assert int(run.find(".divider").get_attribute("aria-valuenow")) < 45


def test_blinking_shows_one_and_then_the_other(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    run.press("b")
    seen: set[str] = set()
    run.until(lambda: seen.add(run.pixels()) or len(seen) >= 2)  # type: ignore[func-returns-value]
    run.press(" ")
    still = run.pixels()
    run.press(" ")
    assert run.pixels() != still


def test_zooms_all_panes_to_single_pixels(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    before = [run.pixels(i) for i in range(4)]
    for _ in range(5):
        run.press("+")
    run.until(lambda: run.find(".zoom-scale").text == "6400 %")
    run.until(lambda: all(run.pixels(i) != before[i] for i in (1, 2, 3)))
    i = list(reports.PSNR).index("barn_w")
    middle = "(c => [...c.getContext('2d').getImageData(c.width / 2 + 9, c.height / 2 + 9, 1, 1).data])"
    canvases = "document.querySelectorAll('.pane > canvas')"
    assert run.run(f"{middle}({canvases}[1])")[:3] == list(reports.drawn(10 + i).getpixel((24, 16)))  # type: ignore[arg-type]
    run.press("0")
    run.until(lambda: run.find(".zoom-scale").text == "fit")
    assert run.pixels(1) == before[1]


def test_the_wheel_zooms_and_dragging_pans(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    canvas = run.browser.find_elements("css selector", ".pane > canvas")[1]
    wheel = "new WheelEvent('wheel', {deltaY: -300, clientX: 900, clientY: 200, bubbles: true, cancelable: true})"
    run.run(f"arguments[0].dispatchEvent({wheel})", canvas)
    run.until(lambda: run.find(".zoom-scale").text != "fit")
    before = run.pixels(3)
    ActionChains(run.browser).drag_and_drop_by_offset(canvas, 40, 30).perform()
    run.until(lambda: run.pixels(3) != before)


def test_two_fingers_zoom(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    box = run.browser.find_elements("css selector", ".pane > canvas")[1].rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60), ("touchEnd", 0)):
        fingers = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}] if apart else []
        run.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    canvas = run.browser.find_elements("css selector", ".pane > canvas")[1].size
    fit = min(canvas["width"] / reports.SIZE[0], canvas["height"] / reports.SIZE[1])
    zoomed = run.until(lambda: run.find(".zoom-scale").text != "fit" and run.find(".zoom-scale").text)
    assert float(zoomed.removesuffix(" %")) / 100 == pytest.approx(3 * fit, rel=0.05)


def test_single_pixels_of_a_preview_are_those_of_the_file(run: Page, run_page: Path) -> None:
    viewer(run, run_page, "barn_w")
    assert run.texts(".pane .note")[:2] == ["embedded preview", "embedded, exact"]
    run.press("+")
    run.until(lambda: run.texts(".pane .note")[0] == "original file")
    assert run.texts(".pane .note")[1] == "embedded, exact"


def test_shows_the_files_where_nothing_is_embedded(page: Page, linked_page: Path) -> None:
    viewer(page, linked_page, "barn_w")
    assert page.texts(".pane .note") == ["original file"] * 3
    assert page.complaints() == []


def test_says_so_where_a_file_is_gone(page: Page, linked_page: Path) -> None:
    viewer(page, linked_page, "dock_w")
    notes = page.texts(".pane .note")
    assert notes[0].startswith("cannot be shown: the file is not where it was")
    assert notes[1] == "there is no such file"
    assert page.texts(".panel .links a") == ["open the original prediction"]


# The address


@pytest.mark.parametrize(
    "fragment",
    [
        "view=foo",
        "view=constructor",
        "left=x&right=y&view=slider",
        "map=x",
        "map=change+of+x",
        "all=x",
        "sort=x",
        "sort=--psnr",
        "sort=",
        "f=x&f=bin:x:0:1&f=bin:psnr&f=rule:9",
        "run=7&run=x",
        "row=4",
    ],
)
def test_what_is_not_known_is_as_if_it_were_not_said(run: Page, run_page: Path, fragment: str) -> None:
    known = "open=barn_w&view=slider" if "view=slider" in fragment else "open=barn_w"
    viewer(run, run_page, "barn_w", f"&{fragment}")
    shown = run.names(), run.pixels(), run.texts(".pane b")
    assert run.run("document.querySelectorAll('#chips .quiet').length") == 0
    run.open(run_page, f"#{known}")
    run.until(run.loaded)
    assert (run.names(), run.pixels(), run.texts(".pane b")) == shown
    run.press("m", Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert run.hash().keys() <= {"open", "view", "map"}


def test_an_image_that_is_not_there_is_not_opened(run: Page, run_page: Path) -> None:
    run.open(run_page, "#open=x&row=1")
    assert not run.find("#viewer").is_displayed()
    run.click("[data-sort=psnr]")
    assert run.hash() == {"sort": ["psnr"]}


def test_images_that_are_shown_by_one_name_are_told_apart(page: Page, tmp_path: Path) -> None:
    place = tmp_path / "alike.html"
    rows = tuple(Row(f"a{code}", scores={"psnr": 40.0 - i}) for i, code in enumerate(("\x01", "\x02", "\x03", "1")))
    place.write_text(html.render(Results("o", "g", reports.COLUMNS[3:], rows, {}), place=place), encoding="utf-8")
    page.open(place)
    names = [plain(row.name) for row in rows]
    for i in (2, 1, 0, 3):
        page.click(f"#sheet .row[data-row='{i}'] a")
        assert page.texts("#viewer h2") == [names[i]]
        assert page.find(".standings td").text == f"{40 - i:.4f}"
        assert page.hash() == {"open": [names[i]], **({"row": [str(i)]} if i < 3 else {})}
        address = page.run("location.hash")
        assert page.find(f"#sheet .row[data-row='{i}'] a").get_attribute("href").endswith(address)
        page.open(place, address)
        assert page.find(".standings td").text == f"{40 - i:.4f}"
        page.press(Keys.ESCAPE)
    page.click(".scores .worst a")
    assert page.texts("#viewer h2") == ["a1"]
    page.press(*[Keys.ARROW_RIGHT] * 2)
    assert page.find(".standings td").text == "39.0000"
    assert page.complaints() == []


# Looks


def test_is_dark_where_the_system_is_and_light_when_asked(run: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = run.run(ground)
    run.prefer("dark")
    assert run.run(ground) != light
    run.click("#theme")
    assert run.run(ground) == light
    run.click("#theme")
    run.click("#theme")
    assert run.find("#theme").text == "theme: system"


@pytest.mark.parametrize("fragment", ["", "#all=*", "#open=barn_w", "#open=barn_w&view=slider"])
def test_fits_a_phone(page: Page, run_page: Path, fragment: str) -> None:
    page.resize(390, 844)
    page.open(run_page, fragment)
    assert page.run("document.documentElement.scrollWidth") <= 390
    assert page.run("document.querySelector('#viewer').scrollWidth") <= 390
    page.run("document.querySelector('#images').scrollIntoView()")
    page.until(lambda: set(page.names()) > {"barn_w", "alley_e"})


@pytest.mark.parametrize("behind", ["hidden", "scroll"])
def test_nothing_scrolls_sideways_in_an_open_image(run: Page, run_page: Path, behind: str) -> None:
    """Whether the page behind keeps its scrollbar or not."""
    run.resize(1300, 500)
    viewer(run, run_page, "barn_w", "&all=*")
    run.run("document.documentElement.style.setProperty('overflow-y', arguments[0], 'important')", behind)
    room = run.run("document.documentElement.clientWidth")
    assert (room < 1300) == (behind == "scroll")
    assert run.run("document.querySelector('#viewer').getBoundingClientRect().width") == room
    panel = run.run("(e => [e.scrollWidth, e.clientWidth, e.offsetWidth])(document.querySelector('.panel'))")
    assert panel[0] == panel[1] < panel[2] - 1, "it has a scrollbar of its own"


def test_prints_all_of_it(run: Page) -> None:
    printed = run.browser.execute_cdp_cmd("Page.printToPDF", {})
    assert len(base64.b64decode(printed["data"])) > 10_000
    run.prefer("dark", media="print")
    assert run.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not run.find("#search").is_displayed()


# Many images, odd names


def test_ten_thousand_images(page: Page, tmp_path: Path) -> None:
    place = tmp_path / "many.html"
    place.write_text(html.render(reports.many_results(10_000), place=place), encoding="utf-8")
    page.open(place)
    painted = page.until(lambda: page.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"))
    listed = page.run("performance.getEntriesByName('images')[0].startTime")
    print(f"10,000 images: {place.stat().st_size / 1e6:.1f} MB, first paint {painted:.0f} ms, list {listed:.0f} ms")
    assert painted < 4000
    assert listed < 4000
    assert 5 < len(page.names()) < 100
    page.run("scrollTo(0, document.documentElement.scrollHeight / 2)")
    page.until(lambda: page.run("Number(document.querySelector('#sheet .row').ariaRowIndex) > 4000"))
    assert len(page.names()) < 100
    page.click("[data-sort=psnr]")
    page.find("#search").send_keys("scene_07/")
    assert page.find("#shown").text == "250 of 10,000 images"


@pytest.mark.parametrize(
    "scores", [[], [None], [20.0], [20.0, 20.0], [math.inf], [math.inf, math.inf, 20.0], [None, 20.0]], ids=str
)
def test_few_images_or_scores(page: Page, tmp_path: Path, scores: list[float | None]) -> None:
    rows = tuple(
        Row(str(i), status="error", error="why") if score is None else Row(str(i), scores={"psnr": score})
        for i, score in enumerate(scores)
    )
    place = tmp_path / "few.html"
    results = Results("out", "gt", reports.COLUMNS[3:], rows, {})
    place.write_text(html.render(results, place=place), encoding="utf-8")
    page.open(place, "#open=0&view=slider")
    assert page.names() or not scores
    assert page.find("#viewer").is_displayed() == bool(scores)
    page.press("s", "b", "+", "0", "m", Keys.ARROW_RIGHT)
    page.open(place, "#sort=-psnr&f=bin%3Apsnr%3A20%3A20&f=nonsense&open=none&run=7&all=x")
    assert len(page.names()) == sum(score == 20 for score in scores)
    assert page.complaints() == []


def test_odd_names_are_shown_and_harm_nothing(page: Page, tmp_path: Path) -> None:
    place = tmp_path / "odd.html"
    text = html.render(reports.odd_results(tmp_path), place=place)
    place.write_text(text, encoding="utf-8")
    page.open(place)
    assert page.names() == [plain(name) for name in reports.ODD_NAMES]
    assert page.run("document.title").endswith("– relight-eval")
    assert page.run("document.querySelectorAll('script:not([type])').length") == 1
    for i in range(len(reports.ODD_NAMES)):
        page.click(f"#sheet .row[data-row='{i}'] a")
        assert page.find("#viewer h2").get_attribute("textContent") == plain(reports.ODD_NAMES[i])
        page.press(Keys.ESCAPE)
        page.until(lambda: not page.find("#viewer").is_displayed())
    assert page.run("document.documentElement.scrollWidth") <= 1300


def test_files_of_odd_names_are_found(page: Page, tmp_path: Path) -> None:
    results = reports.odd_results(tmp_path)
    shown = [row for row in results.rows if len(row.name) < 100 and "/" not in row.name]
    for row in shown:
        reports.drawn(1).save(row.prediction)
    place = tmp_path / "odd.html"
    place.write_text(html.render(results, place=place), encoding="utf-8")
    for row in shown:
        page.open(place)
        page.click(f"#sheet .row[data-row='{results.rows.index(row)}'] a")
        page.until(page.loaded)
        assert page.texts(".pane .note")[0] == "original file", row.name
