"""What the tests do with a page: look, click, type, and hear what the browser has to say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

T = TypeVar("T")

WAIT_S = 10


class Page:
    """One tab."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def open(self, place: Path, fragment: str = "") -> None:
        self.browser.get("about:blank")  # or else another fragment of the same page would not load it again
        self.browser.get(place.as_uri() + fragment)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(f"return {script}", *arguments)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        return list(self.run("[...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector))

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def until(self, met: Callable[[], T]) -> T:
        return WebDriverWait(self.browser, WAIT_S, poll_frequency=0.05).until(lambda _: met())

    def names(self) -> list[str]:
        """The images that are listed, in order."""
        return self.texts("#sheet .row .name")

    def hash(self) -> dict[str, list[str]]:
        return parse_qs(self.run("location.hash.slice(1)"))

    def pixels(self, pane: int = 0) -> str:
        """What a pane shows, as a picture."""
        self.drawn()
        return str(self.run("document.querySelectorAll('.pane > canvas')[arguments[0]].toDataURL()", pane))

    def screen(self) -> bytes:
        return self.browser.get_screenshot_as_png()

    def loaded(self) -> bool:
        """Whether all pictures of the open image are there, and drawn."""
        notes = self.texts(".pane .note")
        return bool(notes) and "loading…" not in notes and self.drawn()

    def drawn(self) -> bool:
        """After the next frame."""
        frames = "requestAnimationFrame(() => requestAnimationFrame(() => done(true)))"
        return bool(self.run(f"new Promise(done => {frames})"))

    def resize(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str, media: str = "") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def complaints(self) -> list[str]:
        """What stands in the console since the last look."""
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last look."""
        entries = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]  # type: ignore[no-untyped-call]
        sent = [entry["params"] for entry in entries if entry["method"] == "Network.requestWillBeSent"]
        return [request["request"]["url"] for request in sent]
