"""The bytes of an archive, wherever it is: ranges of them, and a file of them for tarfile and zipfile."""

from __future__ import annotations

import io
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from relight_eval.errors import shown
from relight_eval.places import Address, Place, remote

Fetch = Callable[[int, int], bytes]  # (start, end) -> the bytes between

# A request for little takes as long as one for some 100 kB. So where headers are near to each other, many are fetched
# at once, and where a long image is between two, that is left out.
NEAR, MANY_HEADERS, ONE_HEADER = 128 << 10, 1 << 20, 8 << 10


class Damaged(OSError):  # noqa: N818 (the name says it)
    """An archive, or a member of one, that is not what it should be."""


class Member(NamedTuple):
    """Where a file is in its archive."""

    start: int  # of its header
    end: int  # of its bytes, or later
    stored: int  # bytes that it takes, without the header
    size: int  # bytes of its content
    mark: int  # CRC-32 of its header (tar), or of its name as the archive has it (zip)
    crc: int = 0  # of its content (zip)
    method: int = 0  # by which it is compressed (zip)


MEMBER = struct.Struct("<QQQQIIH")  # as it is kept: there may be millions
Entry = bytes | str  # a member as it is kept, or why it cannot be read


@dataclass(frozen=True)
class Source:
    """An archive, as it was found: `stamp` is another when the archive is."""

    where: Place
    size: int  # bytes
    stamp: str

    def __str__(self) -> str:
        return shown(self.where)

    @contextmanager
    def opened(self) -> Iterator[Fetch]:
        """What fetches its bytes; of a file that is opened once. Raises OSError, and so does each fetch."""
        if isinstance(self.where, Address):
            yield self.read
            return
        with open(self.where, "rb", buffering=0) as file:

            def fetch(start: int, end: int) -> bytes:
                file.seek(start)
                return file.read(end - start)

            yield fetch

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`. Safe in threads. Raises OSError, also where the file has changed."""
        if isinstance(self.where, Address):
            data = remote.read_range(self.where, start, end)
        else:
            with open(self.where, "rb") as file:
                if _stamp(os.fstat(file.fileno())) != self.stamp:
                    raise OSError("the archive has changed since the run began")
                file.seek(start)
                data = file.read(end - start)
        if len(data) > end - start:  # as of `python -m http.server`
            raise OSError("the server gives only whole files, no parts of them; copy the archive to this machine")
        if len(data) < end - start:
            raise OSError("the archive has become shorter since the run began")
        return data


def source(where: Place) -> Source:
    """Raises FileNotFoundError where there is no such archive, and OSError."""
    if isinstance(where, Address):
        return Source(where, *remote.size_and_stamp(where))
    found = where.stat()
    if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever
        raise Damaged(f"{shown(where)} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no regular file'}")
    return Source(where, found.st_size, _stamp(found))


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_dev}-{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def name_of(member: str) -> str:
    """The path that a member has below the folder that unpacking would make: nothing leads out of that.

    As tar and unzip do, `./` and doubled `/` are left out, and so are a `/` in front and all that is before a `..`.
    """
    parts = [part for part in member.split("/") if part not in ("", ".")]
    above = max((position for position, part in enumerate(parts) if part == ".."), default=-1)
    return "/".join(parts[above + 1 :])


class Window(io.RawIOBase):
    """A file of `size` bytes for a library that reads headers: fetches ahead while they are near to each other."""

    def __init__(self, fetch: Fetch, size: int, most: int) -> None:
        super().__init__()
        self._fetch, self._size, self._most = fetch, size, most
        self._at = 0
        self._start, self._data = 0, b""  # what was fetched last

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError(f"there is no byte {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, or less at the end. Raises ValueError for more than `most`: no header is so long."""
        size = self._size if size is None or size == -1 else size
        end = min(self._at + size, self._size)
        if size < 0 or end - self._at > self._most:
            raise ValueError("a header has an impossible size")
        if end <= self._at:
            return b""
        self._have(self._at, end)
        data = self._data[self._at - self._start : end - self._start]
        self._at = end
        return data

    def _have(self, start: int, end: int) -> None:
        last = self._start + len(self._data)
        if self._start <= start and end <= last:
            return
        ahead = MANY_HEADERS if 0 <= start - last < NEAR else ONE_HEADER
        self._data = self._fetch(start, min(max(end, start + ahead), self._size))
        self._start = start
