"""The page of a run whose images are at addresses: with its pictures, and without asking any network for more."""

from __future__ import annotations

import tarfile
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relight_eval import pictures
from relight_eval.evaluate import evaluate, metrics_of
from relight_eval.gallery import Gallery
from relight_eval.places import Address, place, write
from relight_eval.reports import html
from relight_eval.results import Results
from tests.browser.page import Page
from tests.folders import two_folders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two pairs, of predictions in an archive and targets in memory."""
    root = tmp_path_factory.mktemp("remote")
    prediction, target = two_folders(root, 2, height=24, width=32)
    with tarfile.open(root / "out.tar", "w") as tar:
        tar.add(prediction, "day")
    memory = f"memory://{uuid.uuid4()}"
    for file in target.iterdir():
        found = place(f"{memory}/day/{file.name}")
        assert isinstance(found, Address)
        write(found, file.read_bytes())
    return evaluate(root / "out.tar", memory, metrics="psnr,ssim")


def shown(page: Page, path: Path, results: Results, gallery: Gallery) -> None:
    path.write_text(html.render(results, gallery, place=path), encoding="utf-8")
    page.open(path, "#open=day/im1")
    page.until(page.loaded)


def addresses(results: Results) -> list[str]:
    row = results.rows[1]
    return [f"prediction: {row.prediction}", f"target: {row.target}"]


def test_shows_pictures_and_names_addresses(page: Page, run: Results, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    gallery = pictures.gallery({"": run}, pictures.order(run), metrics_of(run, cpu), device=cpu)
    shown(page, tmp_path / "page.html", run, gallery)
    assert page.texts(".pane .note")[:2] == ["embedded preview"] * 2
    assert page.pixels(0) != page.pixels(1)
    assert page.texts(".panel .links a") == []
    assert page.texts(".panel .addresses span") == addresses(run)
    page.press("+")
    assert page.complaints() == []
    assert [url for url in page.requests() if not url.startswith(("file:", "data:", "about:"))] == []
    broken = "[...document.images].filter(image => image.complete && !image.naturalWidth).length"
    assert page.run(broken) == 0


def test_what_is_not_embedded_is_not_fetched(page: Page, run: Results, tmp_path: Path) -> None:
    rows = [replace(row, target=f"https://images.example/{row.name}.png") for row in run.rows]
    shown(page, tmp_path / "page.html", replace(run, rows=tuple(rows)), Gallery())
    assert page.texts(".pane .note") == ["not embedded, and not read from its address"] * 2
    assert page.texts(".panel .addresses a") == ["https://images.example/day/im1.png"]  # for whoever follows it
    assert page.complaints() == []
    assert not [url for url in page.requests() if "images.example" in url]
