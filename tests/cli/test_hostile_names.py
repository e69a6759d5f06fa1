"""Files with hostile names, from the folders to every output: nothing is lost, and nothing of them is obeyed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from relight_eval.errors import printable
from relight_eval.reports import load
from tests.cli.commands import Command, Outcome
from tests.folders import picture, worse
from tests.hostile import NAMES

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere no file can have such names")
REPORTS = {"csv": "s.csv", "json": "s.json", "junit": "s.xml", "markdown": "s.md", "html": "s.html"}


def save(path: Path, pixels: np.ndarray) -> bool:
    """Whether the file system takes the name, and takes it for no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return False
    try:
        Image.fromarray(pixels).save(path)
    except OSError:
        return False
    return True


def folders(*runs: str) -> set[str]:
    """Runs and gt/ in the working folder, with an image of every name there and in a folder of every tenth name."""
    kept = set()
    for i, name in enumerate([*NAMES, *(f"{folder}/{file}" for folder, file in zip(NAMES[::10], NAMES, strict=False))]):
        target = picture(i, 16, 16)
        if save(Path("gt") / f"{name}.png", target):
            kept.add(printable(name))
            for k, run in enumerate(runs):
                save(Path(run) / f"{name}.png", worse(target, 4 + k, seed=i))
    return kept


def assert_shown(found: Outcome, *files: str) -> None:
    for text in (found.out, found.err, *(Path(file).read_text("utf-8") for file in files)):
        assert all(character.isprintable() or character == "\n" for character in text)


def test_score_to_every_report(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    names = folders("out")
    Path("out/\x1b[2Jalone\n.png").touch()
    Path("out/\x1b[2Jbroken\n.png").touch()
    save(Path("gt/\x1b[2Jbroken\n.png"), picture(0, 16, 16))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    reports = [word for kind, path in REPORTS.items() for word in (f"--{kind}", path)]
    judged = ("--require", "each psnr >= 99", "--group", "(?P<first>.)", "--maps", "maps", "--maps-count", "500", "-v")
    found = command("score", "out", "gt", "-m", "charbonnier,psnr", *reports, *judged)
    assert found.code == 1, found.err
    assert_shown(found, "s.md", "summary.md", "s.html")
    assert [line[:8] for line in found.err.splitlines() if line.startswith("::")] == ["::error "]
    for file in ("s.csv", "s.json"):
        results = load(Path(file))
        assert {row.name for row in results.scored} == names
        assert [row.name for row in results.errors] == ["\x1b[2Jbroken\n"]
        assert [row.name for row in results.unpaired] == ["\x1b[2Jalone\n"]
    ET.parse("s.xml")
    maps = list(Path("maps").rglob("psnr.png")) or list(Path("maps").rglob("charbonnier.png"))
    assert len(maps) == len(names)
    assert all(ord(character) >= 32 for path in maps for character in str(path))


def test_saved_results_are_told_and_compared(command: Command) -> None:
    names = folders("before", "after")
    words = ("--target", "gt", "-m", "psnr", "--csv", "c.csv", "--json", "c.json", "--markdown", "c.md")
    found = command("compare", "before", "after", *words, "--html", "c.html", "--no-images", "-v")
    assert found.code == 0, found.err
    assert_shown(found, "c.md", "c.html")
    assert set(json.loads(Path("c.json").read_text("utf-8"))["images"]) == names
    assert command("score", "after", "gt", "-m", "psnr", "--json", "s.json", "--csv", "s.csv").code == 0
    for saved, again in (("s.json", "again.json"), ("s.csv", "again.csv")):
        found = command("report", saved, "-v", f"--{saved[2:]}", again)
        assert found.code == 0, found.err
        assert_shown(found)
        assert Path(again).read_bytes() == Path(saved).read_bytes()


def test_folders_with_hostile_names(command: Command) -> None:
    """What is said of paths themselves, in errors too."""
    odd = Path("\x1b[2Jout\n")
    folders(str(odd))
    found = command("score", odd, "gt", "-m", "psnr", "--no-csv")
    assert found.code == 0, found.err
    assert_shown(found)
    for words in (("score", odd / "no\tne", "gt"), ("score", odd / "line\nend.png", "gt"), ("report", odd / "x.json")):
        found = command(*words)
        assert found.code == 2
        assert found.err.startswith("relight-eval: \ufffd[2Jout\ufffd")
        assert_shown(found)


def test_no_name_is_a_command_to_a_ci_system(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    folders("before", "after")
    found = command("compare", "before", "after", "--target", "gt", "-m", "psnr", "-v")
    assert "::stop-commands::t" in found.out
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in (found.out + found.err).splitlines())
    found = command("score", "after", "gt", "-m", "psnr", "--csv", "-", "-v", "--group", "(?P<first>.*)")
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in found.err.splitlines())


@pytest.mark.parametrize("words", [("", "gt"), ("out", "")])
def test_an_empty_argument_is_no_folder(command: Command, words: tuple[str, str]) -> None:
    folders("out")
    found = command("score", *words)
    assert found.code == 2
    assert "is empty; name a folder of images, or one image" in found.err.replace("\n", " ")


def test_a_name_that_is_too_long_is_no_bug(command: Command) -> None:
    folders("out")
    found = command("score", "out", "gt", "--maps", "x" * 300)
    assert found.code == 2
    assert "File name too long" in found.err or "cannot make" in found.err
