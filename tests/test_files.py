"""Writing whole files: what stands there before and after, whatever happens between."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from relight_eval import files
from relight_eval.files import write_whole


def test_writes_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ä b.csv"
    write_whole(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_a_file_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.csv", b"x")
    (tmp_path / "b.csv").write_text("x")
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "b.csv").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_whole(tmp_path / "link.csv", b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """So does a device: `--csv /dev/null` as root must not turn it into a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"abc")
    reader.join(10)
    assert read == [b"abc"]
    assert pipe.is_fifo()


def test_a_failed_move_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write itself fails: a temporary file that stands on /dev/full."""
    opened = (os.open("/dev/full", os.O_WRONLY), str(tmp_path / ".t"))
    monkeypatch.setattr(files.tempfile, "mkstemp", lambda **_: opened)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "scores.csv", b"x" * 100_000)
    assert not (tmp_path / "scores.csv").exists()
