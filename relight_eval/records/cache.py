"""Scores of earlier runs by the content of the files, in a folder that any number of runs may share.

A database of SQLite with its rollback journal, not with a write-ahead log: that one needs memory shared between the
processes, which network folders do not have. A record in it has a checksum of its own, so that a damaged database can
lose scores, not change them.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from relight_eval.errors import UsageError, shown
from relight_eval.records import Key
from relight_eval.records.codec import decoded, encoded
from relight_eval.results import Row

FILE = "scores.sqlite"
APPLICATION = 0x52454C31  # "REL1": what else calls itself scores.sqlite is left alone
FORMAT = 1  # raised when the tables change
LIMIT_BYTES = 1 << 30  # some 700,000 pairs
WAIT_S = 10.0  # for another run that writes: it takes milliseconds
WRITE_S = 0.5  # rows are written together, for every writing waits for the disk

TABLES = """
    CREATE TABLE scores (digest TEXT PRIMARY KEY, record BLOB NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX by_use ON scores (used);
"""


class Cache:
    """A Store in `FOLDER/scores.sqlite`, for `with Cache(folder, tell=…)`. It holds scores, hashes
    and notes, no images.

    The folder is made where its parent is there; UsageError where it cannot be. When the file grows beyond
    `limit_bytes`, what was not used for longest goes. A database that is damaged, locked for long, of a later version
    or somebody else's is left as it is: `tell` is told once, and the run goes on without. One that can only be read is
    read. Rows reach the disk half a second after they were kept, with the next one, or at the end.
    """

    def __init__(self, folder: Path, *, tell: Callable[[str], None], limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = folder / FILE
        self._tell = tell
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._new: dict[str, bytes] = {}  # digest -> record, not yet written
        self._used: dict[str, float] = {}  # digest -> when, not yet written
        self._written = time.monotonic()
        self._writable = True

    def __enter__(self) -> Self:
        try:
            self.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            folder = shown(self.path.parent)
            raise UsageError(f"cannot make the folder {folder} for a cache: {error.strerror}") from error
        try:
            self._database = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            self._prepare(self._database)
        except (sqlite3.Error, _NotOursError) as error:
            self._give_up(error)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._write()
            if self._database is not None:
                self._database.close()
                self._database = None

    def find(self, key: Key) -> Row | None:
        with self._lock:
            record = self._new.get(key.digest) or self._read(key.digest)
            found = decoded(record) if isinstance(record, bytes) else None
            if found is None or found[0] != key:
                return None
            self._used[key.digest] = time.time()
            return found[1]

    def keep(self, key: Key, row: Row) -> None:
        if row.status != "ok" or self._database is None or not self._writable:
            return
        with self._lock:
            self._new[key.digest] = encoded(key, row)
            if time.monotonic() - self._written >= WRITE_S:
                self._write()

    def _prepare(self, database: sqlite3.Connection) -> None:
        """Makes the tables of a new database. Raises _NotOursError for one that is not of this version."""
        if _is_empty(database):
            database.execute("PRAGMA auto_vacuum = FULL")  # what goes gives its room back
            with database:
                database.execute("BEGIN IMMEDIATE")
                if _is_empty(database):  # still: another run may have come first
                    for statement in TABLES.split(";")[:-1]:
                        database.execute(statement)
                    database.execute(f"PRAGMA application_id = {APPLICATION}")
                    database.execute(f"PRAGMA user_version = {FORMAT}")
        if _number(database, "application_id") != APPLICATION:
            raise _NotOursError("is no cache of relight-eval")
        if _number(database, "user_version") != FORMAT:
            raise _NotOursError("was made by another version of relight-eval")

    def _read(self, digest: str) -> object:
        if self._database is None:
            return None
        try:
            found = self._database.execute("SELECT record FROM scores WHERE digest = ?", (digest,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return found[0] if found else None

    def _write(self) -> None:
        """What was kept and found since the last time, in one transaction: all of it or nothing."""
        now = time.time()
        if self._database is not None and self._writable and (self._new or self._used):
            records = [(digest, record, now) for digest, record in self._new.items()]
            used = [(when, digest) for digest, when in self._used.items()]
            try:
                with self._database as database:
                    database.execute("BEGIN IMMEDIATE")
                    database.executemany("UPDATE scores SET used = ? WHERE digest = ?", used)
                    database.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?)", records)
                    self._evict(database)
            except sqlite3.Error as error:
                self._writable = False
                self._tell(f"{shown(self.path)} cannot be written ({error}); the run goes on without adding to it")
        self._new.clear()
        self._used.clear()
        self._written = time.monotonic()

    def _evict(self, database: sqlite3.Connection) -> None:
        """Where there is too much, as many as leave nine tenths of the limit; more where pages stay half full."""
        while (size := _used_bytes(database)) > self._limit_bytes:
            (count,) = database.execute("SELECT count(*) FROM scores").fetchone()
            if not count:
                return
            excess = count - int(count * 0.9 * self._limit_bytes / size)
            database.execute(
                "DELETE FROM scores WHERE digest IN (SELECT digest FROM scores ORDER BY used LIMIT ?)", (excess,)
            )

    def _give_up(self, error: Exception) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        self._tell(f"{shown(self.path)} {_reason(error)}; the run goes on without it")


class _NotOursError(Exception):
    """A database that is not to be touched."""


def _is_empty(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _used_bytes(database: sqlite3.Connection) -> int:
    pages = _number(database, "page_count") - _number(database, "freelist_count")
    return pages * _number(database, "page_size")


def _number(database: sqlite3.Connection, pragma: str) -> int:
    return int(database.execute(f"PRAGMA {pragma}").fetchone()[0])


def _reason(error: Exception) -> str:
    if isinstance(error, _NotOursError):
        return str(error)
    if type(error) is sqlite3.DatabaseError:  # of what it holds; those of what surrounds it are OperationalErrors
        return f"is damaged ({error}): delete it, and the next run begins a new one"
    return f"cannot be used ({error})"
