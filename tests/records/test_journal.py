"""What was kept is found again, whatever ended the run; what is damaged is not; and nothing is ever made up."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight_eval.errors import ReportError
from relight_eval.records import journal
from relight_eval.records.journal import TITLE, Journal, journal_path
from tests.disks import FullDisk, small_disk
from tests.records.rows import kept, key, row


def unheard(line: str) -> None:
    raise AssertionError(line)


def written(path: Path, numbers: range) -> Path:
    """A journal with these records, as a run that was interrupted leaves it."""
    with Journal(path, resume=True, tell=unheard) as journal:
        for number in numbers:
            journal.keep(key(number), row(number))
    return path


def found(path: Path, numbers: range) -> set[int]:
    """Those that a run finds which goes on; each must be true."""
    with Journal(path, resume=True, tell=lambda _: None) as journal:
        rows = {number: journal.find(key(number)) for number in numbers}
    for number, each in rows.items():
        assert each in (None, kept(row(number)))
    return {number for number, each in rows.items() if each}


# --- going on --------------------------------------------------------------------------------------------------


def test_stands_beside_the_output_by_a_name_that_is_seen(tmp_path: Path) -> None:
    assert journal_path(tmp_path / "scores.csv") == tmp_path / "scores.csv.journal"


def test_stands_beside_the_file_that_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "link.csv").symlink_to("runs/scores.csv")
    assert journal_path(tmp_path / "link.csv") == tmp_path / "runs" / "scores.csv.journal"


def test_a_run_that_goes_on_finds_all(tmp_path: Path) -> None:
    path = written(tmp_path / "j", range(3))
    with Journal(path, resume=True, tell=unheard) as journal:
        assert journal.held == 3
        assert [journal.find(key(number)) for number in range(3)] == [kept(row(number)) for number in range(3)]
        assert journal.find(key(3)) is None
        assert journal.find(replace(key(1), protocol="another")) is None
        journal.keep(key(3), row(3))
        assert journal.find(key(3)) == kept(row(3))
    assert found(path, range(9)) == {0, 1, 2, 3}


def test_goes_on_where_there_is_none(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:
        assert journal.held == 0
        assert journal.find(key(0)) is None
    assert not (tmp_path / "j").exists()  # nothing was kept


def test_begins_with_what_it_is(tmp_path: Path) -> None:
    lines = written(tmp_path / "j", range(2)).read_bytes().split(b"\n")
    assert lines[0] == TITLE
    assert len(lines) == 3


def test_of_two_records_under_one_key_the_later_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:
        journal.keep(key(0), row(0))
        journal.keep(key(0), replace(row(0), note="later"))
        assert journal.held == 1
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:
        assert journal.find(key(0)) == replace(kept(row(0)), note="later")


def test_keeps_only_what_was_scored_in_full(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:
        journal.keep(key(0), replace(row(0), status="error", error="too small for LPIPS"))
    assert not (tmp_path / "j").exists()


def test_is_gone_when_all_is_done(tmp_path: Path) -> None:
    with Journal(written(tmp_path / "j", range(3)), resume=True, tell=unheard) as journal:
        journal.keep(key(3), row(3))
        journal.done()
        assert list(tmp_path.iterdir()) == []
    with Journal(tmp_path / "j", resume=False, tell=unheard) as journal:
        journal.done()  # nothing was kept: nothing to remove


def test_one_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    told: list[str] = []
    monkeypatch.setattr(Path, "unlink", refuse)
    with Journal(written(tmp_path / "j", range(1)), resume=True, tell=told.append) as journal:
        journal.done()
    assert len(told) == 1
    assert "cannot be removed: Read-only file system; it is of no use any more" in told[0]


# --- beginning anew --------------------------------------------------------------------------------------------


def test_without_resume_the_old_one_stands_until_a_row_is_kept(tmp_path: Path) -> None:
    """Who forgot --resume reads the line, stops, and has lost nothing."""
    path = written(tmp_path / "j", range(2))
    told: list[str] = []
    with Journal(path, resume=False, tell=told.append) as journal:
        assert journal.find(key(0)) is None
        assert journal.held == 0
    assert len(told) == 1
    instead = "to go on with them instead, stop now and use --resume"
    assert told[0].endswith(f"j holds 2 rows of an earlier run, which are scored again; {instead}")
    assert found(path, range(2)) == {0, 1}
    with Journal(path, resume=False, tell=told.append) as journal:
        journal.keep(key(5), row(5))
        journal.keep(key(6), row(6))
    assert found(path, range(9)) == {5, 6}


# --- damage ----------------------------------------------------------------------------------------------------


def test_a_torn_last_record_is_left_out_and_swallows_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "j", range(3))
    path.write_bytes(path.read_bytes()[:-9])
    told: list[str] = []
    with Journal(path, resume=True, tell=told.append) as journal:
        journal.keep(key(3), row(3))
    assert len(told) == 1
    assert told[0].endswith("j: 1 damaged record left out, to be scored again")
    assert found(path, range(9)) == {0, 1, 3}


@pytest.mark.parametrize("left", [0, 1, len(TITLE) - 1, len(TITLE), len(TITLE) + 1])
def test_a_run_that_was_killed_before_its_first_record(tmp_path: Path, left: int) -> None:
    path = written(tmp_path / "j", range(1))
    path.write_bytes(path.read_bytes()[:left])
    assert written(path, range(2))  # without a word
    assert found(path, range(2)) == {0, 1}


def test_a_first_line_that_is_damaged_costs_no_record(tmp_path: Path) -> None:
    path = written(tmp_path / "j", range(2))
    path.write_bytes(path.read_bytes().replace(b"relight", b"r\0\0ight"))
    with Journal(path, resume=True, tell=unheard) as journal:
        assert journal.held == 2


@cache
def whole() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return written(Path(folder) / "j", range(5)).read_bytes()


def found_in(data: bytes) -> set[int]:
    """What a run finds in a journal that holds this; what it keeps then must be there afterwards, too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        path.write_bytes(data)
        try:
            before = found(path, range(5))
        except ReportError:  # not one record is left, nor the first line
            return set()
        with Journal(path, resume=True, tell=lambda _: None) as journal:
            journal.keep(key(7), row(7))
        assert found(path, range(8)) == {*before, 7}
        return before


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, len(whole())))
def test_of_a_truncated_journal_every_whole_record_is_found(length: int) -> None:
    lines = whole()[:length].count(b"\n")
    assert found_in(whole()[:length]) in (set(range(lines)), set(range(lines - 1)))


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, len(whole()) - 1), st.integers(0, 7))
def test_a_flipped_bit_costs_at_most_the_records_that_it_touches(place: int, bit: int) -> None:
    data = bytearray(whole())
    data[place] ^= 1 << bit
    assert len(found_in(bytes(data))) >= 5 - 1 - (whole()[place] == ord("\n"))  # the end of a line touches two


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, len(whole())), st.integers(0, 2000), st.binary(max_size=50))
def test_whatever_is_put_in_the_place_of_a_part(place: int, length: int, junk: bytes) -> None:
    found_in(whole()[:place] + junk + whole()[place + length :])


def test_a_part_that_was_written_twice_or_elsewhere(tmp_path: Path) -> None:
    lines = whole().split(b"\n")
    assert found_in(b"\n".join([lines[0], lines[3], lines[1], lines[3], lines[1]])) == {0, 2}


def test_a_file_that_changes_while_it_is_used_never_misleads(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:
        for number in range(2):
            journal.keep(key(number), row(0))  # of one length
        lines = (tmp_path / "j").read_bytes().split(b"\n")
        (tmp_path / "j").write_bytes(b"\n".join([lines[0], lines[2], lines[1]]))
        assert journal.find(key(0)) is None
        (tmp_path / "j").unlink()
        assert journal.find(key(1)) is None


@pytest.mark.parametrize(
    "data", [b"my notes\n", b"\nmy notes\n", b"\0" * 5_000_000, b"relight-eval journal 2: more\nx"]
)
def test_what_is_no_journal_is_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "scores.csv.journal"
    path.write_bytes(data)
    for resume in (True, False):
        message = r"scores\.csv\.journal is no journal of this version; move it away, or name another output"
        with pytest.raises(ReportError, match=message), Journal(path, resume=resume, tell=unheard):
            pass
    assert path.read_bytes() == data


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "j")
    with pytest.raises(ReportError, match="is no file"), Journal(tmp_path / "j", resume=True, tell=unheard):
        pass


def test_an_output_with_too_long_a_name_for_one(tmp_path: Path) -> None:
    place = journal_path(tmp_path / ("x" * 250))
    with pytest.raises(ReportError, match="File name too long; give the output a shorter name"):
        Journal(place, resume=False, tell=unheard).__enter__()


def test_one_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = written(tmp_path / "j", range(1))
    monkeypatch.setattr(journal, "_lines", broken)
    with pytest.raises(ReportError, match="j cannot be read: Input/output error"):
        Journal(path, resume=True, tell=unheard).__enter__()


# --- ends ------------------------------------------------------------------------------------------------------

RUN = """
import os, sys, time, pathlib
from relight_eval.records.journal import Journal
from tests.records.rows import key, row

def run(out):
    with Journal(pathlib.Path(sys.argv[1]), resume=True, tell=print) as journal:
        for number in range(journal.held + 60):
            if journal.find(key(number)) is None:
                journal.keep(key(number), row(number))
                os.write(out, f"{number}\\n".encode())
        time.sleep(60)

for delay in sys.stdin:  # a child for each, which lives as long as this after its first row
    said, out = os.pipe()
    child = os.fork()
    if not child:
        run(out)
    os.close(out)
    with open(said) as lines:
        first = int(lines.readline())
        time.sleep(float(delay))
        os.kill(child, 9)
        os.waitpid(child, 0)
        print(first, ([first] + [int(line) for line in lines])[-1], flush=True)
"""


def test_killed_at_20_random_moments_nothing_that_was_kept_is_lost(tmp_path: Path) -> None:
    """Each run goes on where the one before was killed; what it says it kept is there, in order, and true."""
    path = tmp_path / "j"
    pick = random.Random(20)
    held = 0
    args = [sys.executable, "-c", RUN, str(path)]
    with subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runs:
        assert runs.stdin
        assert runs.stdout
        for _ in range(20):
            print(pick.uniform(0, 0.008), file=runs.stdin, flush=True)
            first, last = map(int, runs.stdout.readline().split())
            assert first == held
            numbers = found(path, range(last + 3))
            assert numbers in (set(range(last + 1)), set(range(last + 2)))  # one may be kept, and not yet said
            held = len(numbers)
        runs.stdin.close()
    assert held > 60


def test_rows_from_many_threads(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", resume=True, tell=unheard) as journal:

        def run(first: int) -> None:
            for number in range(first, 80, 8):
                journal.keep(key(number), row(number))
                assert journal.find(key(number)) == kept(row(number))

        threads = [threading.Thread(target=run, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found(tmp_path / "j", range(80)) == set(range(80))


def test_is_on_the_disk_soon_after_without_being_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    monkeypatch.setattr(journal, "SYNC_S", 0.01)
    with Journal(tmp_path / "j", resume=True, tell=unheard) as kept_in:
        for number in range(3):
            kept_in.keep(key(number), row(number))
        size = (tmp_path / "j").stat().st_size
        end = time.monotonic() + 10
        while size not in synced and time.monotonic() < end:
            time.sleep(0.01)
        assert size in synced
        often = len(synced)
        time.sleep(0.05)
        assert len(synced) == often  # nothing new, nothing to do


# --- disks that fail -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 1, len(TITLE), len(TITLE) + 1, len(TITLE) + 300, 2500])
def test_a_disk_that_has_room_again_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    told: list[str] = []
    disk = FullDisk(room)
    monkeypatch.setattr(os, "write", disk)
    with Journal(tmp_path / "j", resume=True, tell=told.append) as journal:
        for number in range(5):
            journal.keep(key(number), row(number))
        assert journal.held < 5
        assert found(tmp_path / "j", range(5)) == set(range(journal.held))  # a part of a record was taken back
        disk.room = 100_000
        journal.keep(key(5), row(5))
        assert journal.held == 6
    with Journal(tmp_path / "j", resume=True, tell=unheard):  # no damaged record
        pass
    assert found(tmp_path / "j", range(6)) == set(range(6))
    assert len(told) == 1
    assert "j cannot be written: No space left on device; if the run is interrupted now, what it scored" in told[0]


def test_room_at_the_end_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk()
    monkeypatch.setattr(os, "write", disk)
    with Journal(tmp_path / "j", resume=True, tell=lambda _: None) as journal:
        journal.keep(key(0), row(0))
        disk.room = 100_000
    assert found(tmp_path / "j", range(1)) == {0}


def test_what_waits_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk()
    monkeypatch.setattr(os, "write", disk)
    monkeypatch.setattr(journal, "WAITING", 3)
    with Journal(tmp_path / "j", resume=True, tell=lambda _: None) as kept_in:
        for number in range(5):
            kept_in.keep(key(number), row(number))
        disk.room = 100_000
    assert found(tmp_path / "j", range(5)) == {2, 3, 4}


def test_a_real_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024):
        path = tmp_path / "disk" / "j"
        (tmp_path / "disk" / "ballast").write_bytes(b"x" * 30_000)
        told: list[str] = []
        with Journal(path, resume=True, tell=told.append) as journal:
            for number in range(100):
                journal.keep(key(number), row(number))
            assert 5 < journal.held < 100
            assert found(path, range(100)) == set(range(journal.held))
            (tmp_path / "disk" / "ballast").unlink()
            journal.keep(key(100), row(100))
            held = journal.held
            assert held > 40
        assert found(path, range(101)) == set(range(held))
        assert len(told) == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with Journal(tmp_path / "j", resume=True, tell=told.append) as journal:
            journal.keep(key(0), row(0))
            journal.keep(key(1), row(1))
            assert journal.find(key(0)) is None
    assert len(told) == 1
    assert "j cannot be written: Read-only file system" in told[0]


def test_a_disk_that_cannot_bring_it_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    told: list[str] = []
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(journal, "SYNC_S", 0.01)
    with Journal(tmp_path / "j", resume=True, tell=told.append) as kept_in:
        for number in range(5):
            kept_in.keep(key(number), row(number))
            time.sleep(0.02)
    assert len(told) == 1
    assert "Disk quota exceeded" in told[0]
    assert found(tmp_path / "j", range(5)) == set(range(5))
