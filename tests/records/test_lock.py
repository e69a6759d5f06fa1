"""One run for one output, whatever the runs do and however they end."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from relight_eval.errors import ReportError
from relight_eval.records import lock
from relight_eval.records.lock import Lock, lock_path

fcntl = pytest.importorskip("fcntl")

HOLD = """
import sys, pathlib
from relight_eval.records.lock import Lock
with Lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(output: Path) -> subprocess.Popen[str]:
    """Another process that has the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_is_taken_and_leaves_nothing(tmp_path: Path) -> None:
    with Lock(tmp_path / "scores.csv"):
        assert [path.name for path in tmp_path.iterdir()] == [".scores.csv.lock"]
    assert list(tmp_path.iterdir()) == []


def test_the_second_run_is_told_which_is_the_first(tmp_path: Path) -> None:
    with holding(tmp_path / "scores.csv") as first:
        message = (
            rf"scores\.csv is being written by another run \(process {first.pid} on {socket.gethostname()} since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d\); wait for it, or give this one another output$"
        )
        with pytest.raises(ReportError, match=message), Lock(tmp_path / "scores.csv"):
            pass
        assert lock_path(tmp_path / "scores.csv").exists()  # the refused one does not remove it
        with Lock(tmp_path / "other.csv"):
            pass
        first.communicate("")
    with Lock(tmp_path / "scores.csv"):
        pass


def test_a_killed_run_locks_nothing(tmp_path: Path) -> None:
    with holding(tmp_path / "scores.csv") as first:
        first.kill()
    assert lock_path(tmp_path / "scores.csv").exists()
    with Lock(tmp_path / "scores.csv"):
        assert f"process {os.getpid()} on" in lock_path(tmp_path / "scores.csv").read_text()
    assert list(tmp_path.iterdir()) == []


def test_is_let_go_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Lock(tmp_path / "scores.csv"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    """Else a decoder that outlives a killed run would lock its output."""
    with Lock(tmp_path / "scores.csv"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with Lock(tmp_path / "scores.csv"):
            pass
    finally:
        child.communicate(b"\n")


def test_a_link_has_the_lock_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to("real.csv")
    with Lock(tmp_path / "link.csv"), pytest.raises(ReportError, match="another run"), Lock(tmp_path / "real.csv"):
        pass


RACE = """
import os, sys, time, pathlib
from relight_eval.errors import ReportError
from relight_eval.records.lock import Lock
output, inside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1
while time.monotonic() < end:
    try:
        with Lock(output):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails when another one is inside, too
            os.unlink(inside)
            print("won", flush=True)
    except ReportError:
        print("refused", flush=True)
"""


def test_of_racing_runs_one_has_it_at_a_time(tmp_path: Path) -> None:
    """Four processes take and drop it, and so make and remove its file, as fast as they can."""
    args = [sys.executable, "-c", RACE, str(tmp_path / "scores.csv"), str(tmp_path / "inside")]
    racers = [subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for racer in racers:
        assert racer.stdout
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("\n")
        racer.stdin.flush()
    told = Counter(line for racer in racers for line in racer.communicate(timeout=60)[0].split())
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    assert told["won"] > 100
    assert told["refused"] > 10
    assert list(tmp_path.iterdir()) == []


def test_of_runs_that_begin_at_once_exactly_one_wins(tmp_path: Path) -> None:
    start, told, end = threading.Barrier(8), Counter[str](), threading.Barrier(8)

    def run() -> None:
        start.wait()
        try:
            with Lock(tmp_path / "scores.csv"):
                told["won"] += 1
                end.wait()
        except ReportError:
            told["refused"] += 1
            end.wait()

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert told == {"won": 1, "refused": 7}


def test_a_file_that_was_removed_and_made_again_meanwhile_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is locked must be what stands under the name: here another file comes between opening and locking."""
    path = lock_path(tmp_path / "scores.csv")
    flock = fcntl.flock
    locked: list[int] = []

    def meanwhile(handle: int, how: int) -> None:
        flock(handle, how)
        if not locked:
            path.unlink()
            path.touch()
        locked.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(fcntl, "flock", meanwhile)
    with Lock(tmp_path / "scores.csv"):
        assert len(locked) == 2
        assert path.stat().st_ino == locked[1]


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def test_where_there_are_no_locks_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    told: list[str] = []
    with Lock(tmp_path / "scores.csv", tell=told.append):
        pass
    assert len(told) == 1
    assert f"scores.csv ({os.strerror(number)}); see that no other run writes it" in told[0]
    assert list(tmp_path.iterdir()) == []


def test_where_the_system_has_none_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    told: list[str] = []
    with Lock(tmp_path / "scores.csv", tell=told.append):
        pass
    assert "(this system has none)" in told[0]


def test_a_full_disk_keeps_nobody_from_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        first = Lock(tmp_path / "scores.csv").__enter__()
    with pytest.raises(ReportError, match=r"another run \(it has just begun\)"), Lock(tmp_path / "scores.csv"):
        pass
    first.__exit__()


def test_no_folder(tmp_path: Path) -> None:
    message = r"cannot write .*none/scores\.csv: No such file or directory for its lock, .*none/\.scores\.csv\.lock"
    with pytest.raises(ReportError, match=message), Lock(tmp_path / "none" / "scores.csv"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ReportError, match="Read-only file system"), Lock(tmp_path / "scores.csv"):
        pass
