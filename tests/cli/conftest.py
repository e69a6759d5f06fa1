"""What the tests of the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Command


@pytest.fixture
def command(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """The command line in an empty working folder, not in CI, without weights, network or colours, 80 columns wide."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("RELIGHT_EVAL_OFFLINE", "1")
    return Command(monkeypatch, capfd)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The images that were read since."""
    from relight_eval import images

    seen: list[Path] = []
    read = images.read

    def spy(path: Path, *words: Any) -> object:
        seen.append(path)
        return read(path, *words)

    monkeypatch.setattr(images, "read", spy)
    return seen
