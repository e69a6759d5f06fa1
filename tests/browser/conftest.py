"""A browser for the tests of the pages: Debian's chromium, started once for each process of the tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from relight_eval.reports import html
from relight_eval.reports.page import data
from tests.browser import reports
from tests.browser.page import Page

SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,900"),
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("the pages are tested in a browser: apt-get install chromium chromium-driver", pytrace=False)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(switch)
    options.add_experimental_option("excludeSwitches", ["hide-scrollbars"])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # (with the path of the driver given, selenium looks for none on the net)
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture
def page(browser: webdriver.Chrome) -> Page:
    browser.get("about:blank")
    found = Page(browser)
    found.resize(1300, 1700)  # all of the small report
    found.prefer("light")
    found.complaints()  # those of other tests
    found.requests()
    return found


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    reports.write_files(folder)
    return folder


@pytest.fixture(scope="session")
def run_page(run_folder: Path) -> Path:
    """The small report, with everything embedded."""
    place = run_folder / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "findings", lambda _: reports.FINDINGS)
        text = html.render(reports.results(run_folder), reports.gallery(), place=place)
    place.write_text(text, encoding="utf-8")
    return place


@pytest.fixture(scope="session")
def linked_page(run_folder: Path) -> Path:
    """The same with nothing embedded, and one file gone."""
    place = run_folder / "linked.html"
    place.write_text(html.render(reports.results(run_folder), place=place), encoding="utf-8")
    return place
