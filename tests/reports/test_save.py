"""Saving: whole or not at all, and asked before the run whether it can be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from relight_eval import reports
from relight_eval.errors import ReportError
from relight_eval.reports import require_writable, save


def test_writes_what_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "ä b.csv"
    save(str(path), "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_a_file_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    path.chmod(0o640)
    save(str(path), "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    save(str(tmp_path / "a.csv"), "x")
    (tmp_path / "b.csv").write_text("x")
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "b.csv").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    save(str(tmp_path / "link.csv"), "new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ReportError, match=r"cannot write .*scores\.csv: No space left on device; .*unchanged"):
        save(str(path), "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write itself fails: a temporary file that stands on /dev/full."""
    monkeypatch.setattr(
        reports.tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), str(tmp_path / ".t"))
    )
    with pytest.raises(ReportError, match="No space left"):
        save(str(tmp_path / "scores.csv"), "x" * 100_000)
    assert not (tmp_path / "scores.csv").exists()


def test_a_path_that_is_not_utf8_makes_a_file_that_is(tmp_path: Path) -> None:
    save(str(tmp_path / "a.csv"), "a\udcff")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "a\\udcff"


def test_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    save("-", "größer\n")
    assert capfdbinary.readouterr().out == "größer\n".encode()


def test_what_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is a folder; name a file"):
        require_writable(str(tmp_path))
    with pytest.raises(ReportError, match=r"there is no folder .*nowhere; make it first"):
        require_writable(str(tmp_path / "nowhere" / "scores.csv"))
    require_writable(str(tmp_path / "scores.csv"))
    require_writable("-")
    require_writable("scores.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed_is_said_before_the_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReportError, match="not writable"):
        require_writable(str(tmp_path / "scores.csv"))
