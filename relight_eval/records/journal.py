"""The journal of a run: its rows as they come, in a file beside its output, for a run that goes on where it ended.

Every record stands on a line of its own with a checksum, and is written by one call at the end of the file. So whatever
ends the run, or the power, what was written before is whole; a line that is not is no record.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from relight_eval.errors import ReportError, shown
from relight_eval.files import is_place, sync_folder
from relight_eval.records import Key
from relight_eval.records.codec import decoded, encoded
from relight_eval.results import Row
from relight_eval.text import counted

TITLE = b"relight-eval journal 1: what was scored of a run that has not ended; --resume goes on with it"
SYNC_S = 0.25  # a record is on the disk at most this long after it was kept
LONGEST = 1 << 20  # bytes of a line: a file without ends of lines is not read at once
WAITING = 100_000  # records that a disk without room is waited for with; older ones are given up

Place = tuple[int, int]  # of a record in the file: where it begins, how many bytes


def journal_path(output: Path) -> Path:
    """The journal of an output: `scores.csv.journal`, a name that can be seen, for it is told to be kept.

    Beside the file itself where `output` is a link: the journal is found under every name that it has.
    """
    place = Path(os.path.realpath(output))
    return place.with_name(f"{place.name}.journal")


class Journal:
    """A Store in a file, for `with Journal(path, resume=…, tell=…)`. Only one at a time: see `Lock`.

    With `resume` the records that are there can be found, and the file is added to. Without, they cannot, and the file
    is begun anew with the first row that is kept; `tell` is told before, so that one can still think again. When it
    cannot be written, that is told once, and the records wait in memory until there is room. Raises ReportError where
    the file is no journal: it is somebody's.
    """

    def __init__(self, path: Path, *, resume: bool, tell: Callable[[str], None]) -> None:
        self.path = path
        self._resume = resume
        self._tell = tell
        self._places: dict[str, Place] = {}  # by the digest of the key
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING)  # to be written
        self._written = False  # since it was last brought to the disk
        self._ended = threading.Event()
        self._syncing = threading.Thread(target=self._sync_often, name="relight-eval-journal", daemon=True)
        self._told = False

    def __enter__(self) -> Self:
        try:
            if not is_place(self.path):  # a pipe would be read for ever
                raise ReportError(f"{shown(self.path)} is no file, so no journal of the run; move it away")
            damaged = self._read()
        except FileNotFoundError:
            return self
        except OSError as error:
            todo = "give the output a shorter name" if error.errno == errno.ENAMETOOLONG else "move it away"
            raise ReportError(f"{shown(self.path)} cannot be read: {error.strerror}; {todo}") from error
        if self._resume and damaged:
            self._tell(f"{shown(self.path)}: {counted(damaged, 'damaged record')} left out, to be scored again")
        if not self._resume and self._places:
            rows = counted(len(self._places), "row")
            instead = "to go on with them instead, stop now and use --resume"
            self._tell(f"{shown(self.path)} holds {rows} of an earlier run, which are scored again; {instead}")
            self._places.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def held(self) -> int:
        """How many rows can be found."""
        return len(self._places)

    @property
    def is_short(self) -> bool:
        """Whether there are rows that there was no room for."""
        return bool(self._waiting)

    def find(self, key: Key) -> Row | None:
        """The row of the latest record under this key, read and checked again."""
        place = self._places.get(key.digest)
        if place is None:
            return None
        with suppress(OSError), open(self.path, "rb") as file:
            file.seek(place[0])
            record = decoded(file.read(place[1]))
            if record and record[0] == key:
                return record[1]
        return None

    def keep(self, key: Key, row: Row) -> None:
        if row.status != "ok":
            return
        with self._lock:
            self._waiting.append((key.digest, encoded(key, row)))
            self._write()

    def done(self) -> None:
        """Removes the file: all that it was good for is written elsewhere."""
        self._waiting.clear()
        self._close()
        self._places.clear()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            self._tell(f"{shown(self.path)} cannot be removed: {error.strerror}; it is of no use any more")

    # --- reading -------------------------------------------------------------------------------------------

    def _read(self) -> int:
        """Finds the records of the file; how many lines are none. Raises ReportError for a file that has none at all
        and does not begin as a journal does."""
        damaged = 0
        begins = True
        for start, line in _lines(self.path):
            if start == 0:
                begins = line != b"" and TITLE.startswith(line)  # a run may have ended before there was more
            record = decoded(line)
            if record:
                self._places[record[0].digest] = (start, len(line))
            elif line and start > 0:
                damaged += 1
        if not self._places and not begins:
            raise ReportError(f"{shown(self.path)} is no journal of this version; move it away, or name another output")
        return damaged

    # --- writing (within the lock) -------------------------------------------------------------------------

    def _write(self) -> None:
        """Writes what waits, the first first; what cannot be written waits on."""
        try:
            while self._waiting:
                digest, record = self._waiting[0]
                self._places[digest] = self._append(record)
                self._waiting.popleft()
                self._written = True
        except OSError as error:
            self._tell_once(error)

    def _append(self, record: bytes) -> Place:
        """The end of the line stands before the record: nothing torn that a killed run left there swallows it."""
        handle = self._opened()
        end = os.fstat(handle).st_size
        try:
            _write_all(handle, b"\n" + record)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(handle, end)
            raise
        return end + 1, len(record)

    def _opened(self) -> int:
        if self._handle is None:
            anew = 0 if self._resume else os.O_TRUNC
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | anew | getattr(os, "O_BINARY", 0)
            self._handle = os.open(self.path, flags, 0o666)
            self._syncing.start()
            sync_folder(self.path.parent)
            if os.fstat(self._handle).st_size == 0:
                _write_all(self._handle, TITLE)
        return self._handle

    def _sync_often(self) -> None:
        while not self._ended.wait(SYNC_S):
            self._bring_to_disk()

    def _bring_to_disk(self) -> None:
        """Not within the lock: the run need not wait for the disk."""
        if self._written and self._handle is not None:
            self._written = False  # (before: what is written meanwhile has its turn)
            try:
                os.fsync(self._handle)
            except OSError as error:  # only now does a network folder say that it is full
                self._tell_once(error)

    def _close(self) -> None:
        self._ended.set()
        if self._syncing.ident is not None:
            self._syncing.join()
        with self._lock:
            self._write()
            self._bring_to_disk()
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _tell_once(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            lost = "if the run is interrupted now, what it scored from here on is lost"
            self._tell(f"{shown(self.path)} cannot be written: {error.strerror}; {lost}")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Where each line begins, and the line without its end; one that is too long comes in parts."""
    with open(path, "rb") as file:
        start = 0
        while line := file.readline(LONGEST):
            yield start, line.removesuffix(b"\n")
            start += len(line)


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
