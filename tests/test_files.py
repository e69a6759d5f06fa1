"""Writing whole files: what stands there before and after, whatever happens between."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from relight_eval import files
from relight_eval.files import is_place, write_whole
from tests.disks import small_disk


def test_writes_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ä b.csv"
    write_whole(path, b"abc")
    assert path.read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == [path]


def test_writes_pieces_as_they_come_and_nothing_when_they_break_off(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_whole(path, iter([b"ab", b"", b"c"]))

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_whole(path, broken())
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


# --- power failures and disks that fail ------------------------------------------------------------------------


def test_the_content_is_on_the_disk_before_its_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    replace = os.replace

    def sync(handle: int) -> None:
        kind = "folder" if os.path.samestat(os.fstat(handle), tmp_path.stat()) else os.fstat(handle).st_size
        done.append(kind)

    def move(source: str, target: Path) -> None:
        done.append(target.name)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", move)
    write_whole(tmp_path / "scores.csv", b"abc")
    assert done == [3, "scores.csv", "folder"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_says_only_in_the_end_that_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_brought_to_the_disk_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows opens none, some network folders sync none."""
    sync = os.fsync

    def fail(handle: int) -> None:
        if os.path.samestat(os.fstat(handle), tmp_path.stat()):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    write_whole(tmp_path / "scores.csv", b"abc")
    assert (tmp_path / "scores.csv").read_bytes() == b"abc"


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024):
        path = tmp_path / "disk" / "scores.csv"
        write_whole(path, b"x" * 30_000)
        with pytest.raises(OSError, match="No space left"):
            write_whole(path, b"y" * 40_000)
        assert path.read_bytes() == b"x" * 30_000
        assert list((tmp_path / "disk").iterdir()) == [path]


LIMITED = """
import pathlib, resource, sys
from relight_eval.files import write_whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(pathlib.Path(sys.argv[1]), b"y" * 40_000)
except OSError as error:
    print(error.strerror)
"""


def test_a_file_that_is_larger_than_it_may_be(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")
    run = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr) == ("File too large\n", "")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("old")

    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="Read-only"):
        write_whole(path, b"new")
    assert path.read_text() == "old"


WRITE = """
import pathlib, sys
from relight_eval.files import write_whole
for number in range(1_000_000):
    write_whole(pathlib.Path(sys.argv[1]), str(number).encode() * 100_000)
    print(number, flush=True)
"""


def test_killed_while_it_writes_a_whole_file_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout
            run.stdout.readline()
            run.kill()
        data = path.read_bytes()
        assert len(data) % 100_000 == 0
        assert data == data[: len(data) // 100_000] * 100_000


@pytest.mark.parametrize("name", ["x" * 255, "文" * 85, "😀" * 63], ids=["ASCII", "three bytes", "four bytes"])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    write_whole(tmp_path / name, b"abc")
    assert (tmp_path / name).read_bytes() == b"abc"


def test_where_a_file_can_stand(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "dangling").symlink_to("new.csv")
    assert is_place(tmp_path / "new.csv")
    assert is_place(tmp_path / "dangling")
    assert not is_place(tmp_path / "pipe")
    assert not is_place(tmp_path / "link")
    assert not is_place(Path("/dev/null"))
    assert not is_place(tmp_path)
