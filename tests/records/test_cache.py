"""The cache finds what was kept by any run, loses what is damaged, and never stands in the way."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from relight_eval.errors import UsageError
from relight_eval.records import cache
from relight_eval.records.cache import FILE, Cache
from tests.disks import small_disk
from tests.records.rows import kept, key, row


def unheard(line: str) -> None:
    raise AssertionError(line)


def written(folder: Path, numbers: Iterable[int]) -> Path:
    """A cache with these records; its database."""
    with Cache(folder, tell=unheard) as cached:
        for number in numbers:
            cached.keep(key(number), row(number))
    return folder / FILE


def found(folder: Path, numbers: Iterable[int]) -> set[int]:
    """Those that a run finds; each must be true."""
    with Cache(folder, tell=unheard) as cached:
        rows = {number: cached.find(key(number)) for number in numbers}
    for number, each in rows.items():
        assert each in (None, kept(row(number)))
    return {number for number, each in rows.items() if each}


def test_another_run_finds_what_was_kept(tmp_path: Path) -> None:
    written(tmp_path / "cache", range(3))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [FILE]
    assert found(tmp_path / "cache", range(5)) == {0, 1, 2}


def test_so_does_the_same_run(tmp_path: Path) -> None:
    with Cache(tmp_path, tell=unheard) as cached:
        assert cached.find(key(0)) is None
        cached.keep(key(0), row(0))
        assert cached.find(key(0)) == kept(row(0))
        assert cached.find(replace(key(0), protocol="another")) is None


def test_what_is_kept_again_replaces(tmp_path: Path) -> None:
    written(tmp_path, range(2))
    with Cache(tmp_path, tell=unheard) as cached:
        cached.keep(key(0), replace(row(0), note="later"))
    with Cache(tmp_path, tell=unheard) as cached:
        assert cached.find(key(0)) == replace(kept(row(0)), note="later")


def test_keeps_only_what_was_scored_in_full(tmp_path: Path) -> None:
    with Cache(tmp_path, tell=unheard) as cached:
        cached.keep(key(0), replace(row(0), status="error", error="too small for LPIPS"))
        assert cached.find(key(0)) is None


def test_reaches_the_disk_while_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WRITE_S", 0.0)
    with Cache(tmp_path, tell=unheard) as cached:
        cached.keep(key(0), row(0))
        assert found(tmp_path, range(2)) == {0}


def test_no_folder_is_made_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    message = "cannot make the folder .*typo/cache for a cache: No such file or directory"
    with pytest.raises(UsageError, match=message), Cache(tmp_path / "typo" / "cache", tell=unheard):
        pass


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(UsageError, match="for a cache: File exists"), Cache(tmp_path / "cache", tell=unheard):
        pass


def test_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    odd = tmp_path / "caf\udce9?mode=ro#%20'\n"
    written(odd, range(2))
    assert [path.name for path in odd.iterdir()] == [FILE]
    assert found(odd, range(2)) == {0, 1}


# --- the limit -------------------------------------------------------------------------------------------------


def test_what_was_not_used_for_longest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1_000_000))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    limit = 100_000
    for begin in range(0, 200, 10):
        with Cache(tmp_path, tell=unheard, limit_bytes=limit) as cached:
            assert begin == 0 or cached.find(key(0))  # in use all the time
            for number in range(begin, begin + 10):
                cached.keep(key(number), row(number))
        assert (tmp_path / FILE).stat().st_size <= limit
    left = found(tmp_path, range(200))
    oldest = min(left - {0}) // 10 * 10
    assert left >= {0, *range(oldest + 10, 200)}  # (of ten that were written at one time, any may go)
    assert 60 < len(left) < 150


def test_a_lower_limit_gives_the_room_back(tmp_path: Path) -> None:
    before = written(tmp_path, range(300)).stat().st_size
    with Cache(tmp_path, tell=unheard, limit_bytes=50_000) as cached:
        cached.keep(key(300), row(300))
    assert (tmp_path / FILE).stat().st_size <= 50_000 < before
    assert 300 in found(tmp_path, range(301))


# --- several runs ----------------------------------------------------------------------------------------------

RUN = """
import sys, pathlib
from relight_eval.records import cache
from tests.records.rows import key, kept, row
cache.WRITE_S = float(sys.argv[2])
def unheard(line):
    raise AssertionError(line)
with cache.Cache(pathlib.Path(sys.argv[1]), tell=unheard) as cached:
    for number in map(int, sys.argv[3:]):
        if cached.find(key(number)) not in (None, kept(row(number))):
            raise AssertionError(number)
        cached.keep(key(number), row(number))
        print(number, flush=True)
"""


def running(folder: Path, numbers: Iterable[int], write_s: float = 0.0) -> subprocess.Popen[str]:
    args = [sys.executable, "-c", RUN, str(folder), str(write_s), *map(str, numbers)]
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Four processes make one cache and write every row by itself; half of what each keeps another keeps, too."""
    runs = [running(tmp_path / "cache", range(first, first + 40)) for first in range(0, 80, 20)]
    told = [run.communicate(timeout=60)[1] for run in runs]
    assert told == [""] * 4
    assert found(tmp_path / "cache", range(110)) == set(range(100))


def test_a_run_that_makes_the_cache_finds_that_another_just_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_empty = cache._is_empty

    def meanwhile(database: sqlite3.Connection) -> bool:
        empty = is_empty(database)
        monkeypatch.setattr(cache, "_is_empty", is_empty)
        written(tmp_path, range(1))
        return empty

    monkeypatch.setattr(cache, "_is_empty", meanwhile)
    written(tmp_path, range(1, 2))
    assert found(tmp_path, range(2)) == {0, 1}


def test_killed_at_random_moments_what_was_written_is_there(tmp_path: Path) -> None:
    pick = random.Random(5)
    said: set[int] = set()
    for number in range(5):
        numbers = range(number * 1000, number * 1000 + 1000)
        with running(tmp_path, numbers) as run:
            assert run.stdout
            said.add(int(run.stdout.readline()))
            time.sleep(pick.uniform(0, 0.05))
            run.kill()
            said.update(int(line) for line in run.stdout.read().split("\n")[:-1])
        assert said <= found(tmp_path, range(number * 1000 + 1000))
    database = sqlite3.connect(tmp_path / FILE)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_rows_from_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WRITE_S", 0.001)
    with Cache(tmp_path, tell=unheard) as cached:

        def run(first: int) -> None:
            for number in range(first, 80, 8):
                cached.keep(key(number), row(number))
                assert cached.find(key(number)) == kept(row(number))

        threads = [threading.Thread(target=run, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found(tmp_path, range(80)) == set(range(80))


# --- databases that are of no use ------------------------------------------------------------------------------


def goes_without(folder: Path) -> str:
    """What a run is told, once, that keeps and asks for rows; it finds none of the old ones."""
    told: list[str] = []
    with Cache(folder, tell=told.append) as cached:
        assert cached.find(key(0)) is None
        cached.keep(key(1), row(1))
        assert cached.find(key(2)) is None
    (line,) = told
    return line


@pytest.mark.parametrize("data", [b"no database at all, but long enough to be one" * 100, b"SQLite format 3\0" * 500])
def test_no_database(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    assert f"{FILE} is damaged" in goes_without(tmp_path)
    assert "delete it, and the next run begins a new one; the run goes on without it" in goes_without(tmp_path)
    assert (tmp_path / FILE).read_bytes() == data


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    """So does a run leave it that was killed before it wrote anything."""
    (tmp_path / FILE).touch()
    written(tmp_path, range(1))
    assert found(tmp_path, range(1)) == {0}


def test_a_later_version(tmp_path: Path) -> None:
    database = sqlite3.connect(written(tmp_path, range(1)))
    database.execute("PRAGMA user_version = 2")
    database.close()
    line = f"{FILE} was made by another version of relight-eval; the run goes on without it"
    assert goes_without(tmp_path).endswith(line)


def test_somebody_elses(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / FILE)
    database.execute("CREATE TABLE scores (name)")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    assert goes_without(tmp_path).endswith(f"{FILE} is no cache of relight-eval; the run goes on without it")
    assert (tmp_path / FILE).read_bytes() == before


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert f"{FILE} cannot be used (unable to open database file)" in goes_without(tmp_path)


def test_one_that_stays_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WAIT_S", 0.05)
    database = sqlite3.connect(written(tmp_path, range(1)), isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    assert f"{FILE} cannot be used (database is locked)" in goes_without(tmp_path)
    database.execute("ROLLBACK")
    database.execute("BEGIN IMMEDIATE")  # can be read, not written
    told: list[str] = []
    with Cache(tmp_path, tell=told.append) as cached:
        assert cached.find(key(0)) == kept(row(0))
        cached.keep(key(1), row(1))
    database.close()
    assert len(told) == 1
    assert f"{FILE} cannot be written (database is locked); the run goes on without adding to it" in told[0]


def test_flipped_bits_lose_rows_and_change_none(tmp_path: Path) -> None:
    """Wherever in the database they are: a page that makes no sense, a record that is not whole, a wrong place."""
    path = written(tmp_path, range(20))
    whole = path.read_bytes()
    pick = random.Random(1)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(pick.choice([1, 3, 30])):
            data[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        path.write_bytes(data)
        told: list[str] = []
        with Cache(tmp_path, tell=told.append) as cached:
            for number in range(20):
                assert cached.find(key(number)) in (None, kept(row(number)))
                cached.keep(key(number), row(number))
        assert len(told) <= 2  # that it cannot be read, or that it cannot be written


def test_a_record_in_the_wrong_place_is_not_found(tmp_path: Path) -> None:
    database = sqlite3.connect(written(tmp_path, range(2)))
    with database:
        database.execute("UPDATE scores SET record = (SELECT record FROM scores WHERE digest = ?)", (key(0).digest,))
    database.close()
    assert found(tmp_path, range(2)) == {0}


@pytest.mark.parametrize("record", ["text", 1, 2.5, b""])
def test_what_is_no_record_is_not_found(tmp_path: Path, record: object) -> None:
    database = sqlite3.connect(written(tmp_path, range(1)))
    with database:
        database.execute("UPDATE scores SET record = ?", (record,))
    database.close()
    assert found(tmp_path, range(1)) == set()
    written(tmp_path, range(1))  # scored again, it is right again
    assert found(tmp_path, range(1)) == {0}


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64 * 1024):
        folder = tmp_path / "disk" / "cache"
        written(folder, range(5))
        told: list[str] = []
        with Cache(folder, tell=told.append) as cached:
            for number in range(500):
                cached.keep(key(number), row(number))
        assert len(told) == 1
        assert f"{FILE} cannot be written (database or disk is full)" in told[0]
        assert found_quietly(folder) == set(range(5))


def found_quietly(folder: Path) -> set[int]:
    with Cache(folder, tell=lambda _: None) as cached:
        return {number for number in range(500) if cached.find(key(number)) == kept(row(number))}
