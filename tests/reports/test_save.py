"""Saving reports, and asking before the run whether it can be done."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from relight_eval import places
from relight_eval.errors import ReportError, UsageError
from relight_eval.places import content, is_file, place
from relight_eval.reports import REPORTS, pieces, require_writable, save
from tests.runs import run


def test_writes_utf8(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", "größer\n")
    assert (tmp_path / "a.csv").read_bytes() == "größer\n".encode()


@pytest.mark.parametrize("report", REPORTS)
def test_the_pieces_of_a_report_are_its_text(tmp_path: Path, report: str) -> None:
    save(tmp_path / "whole", REPORTS[report](run()))
    save(tmp_path / "in pieces", pieces(report, run()))
    assert (tmp_path / "in pieces").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_path_that_is_not_utf8_makes_a_file_that_is(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", "a\udcff")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "a\\udcff"


def test_what_goes_wrong_is_a_report_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ReportError, match=r"cannot write .*scores\.csv: No space left on device; .*unchanged"):
        save(tmp_path / "scores.csv", "new")


def test_what_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="is a folder; name a file"):
        require_writable(tmp_path)
    with pytest.raises(ReportError, match=r"there is no folder .*nowhere; make it first"):
        require_writable(tmp_path / "nowhere" / "scores.csv")
    require_writable(tmp_path / "scores.csv")
    require_writable(Path("scores.csv"))
    require_writable(Path("/dev/null"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_closed_is_said_before_the_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ReportError, match="permission denied"):
        require_writable(tmp_path / "scores.csv")


class TestAnAddress:
    def test_is_written_to(self) -> None:
        there = place(f"memory://{uuid.uuid4()}/new/a.csv")
        require_writable(there)
        assert not is_file(there)
        save(there, "größer\udcff\n")
        save(there, "größer\n")
        assert content(there) == "größer\n".encode()

    def test_what_goes_wrong_is_a_report_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError("quota exceeded")

        monkeypatch.setattr(places, "write", full)
        with pytest.raises(ReportError, match=r"cannot write memory://a\.csv: quota exceeded; .*unchanged"):
            save(place("memory://a.csv"), "new")

    def test_a_folder(self) -> None:
        there = place(f"memory://{uuid.uuid4()}/a.csv")
        save(there, "")
        with pytest.raises(ReportError, match="is a folder; name a file to write"):
            require_writable(there.parent)

    @pytest.mark.parametrize("word", ["https://host/a.csv", "out.tar", "zip://a.csv::out.zip", "tar://::s3://b/o.tar"])
    def test_what_is_only_read(self, word: str) -> None:
        with pytest.raises(UsageError, match="only read"):
            require_writable(place(word))
