"""Archives as folders: listed, and their files read, without unpacking. Several may be one folder (`shards`).

An archive is indexed once in a process, and again where it has changed when a run begins; a file is then one range of
its bytes. Any number of threads reads at once.
"""

from __future__ import annotations

import heapq
import os
import re
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat

from relight_eval.errors import shown
from relight_eval.places import Address, Place, TooLarge, tars, zips
from relight_eval.places.shards import shards
from relight_eval.places.sources import MEMBER, Damaged, Entry, Member, Source, name_of, source
from relight_eval.places.threads import impatient_threads

THREADS = 32  # that index: nearly all of their time they wait for answers
MOST_KEPT = 64  # folders of archives; of each file about 150 bytes are kept
MOST_MORE = 1 << 20  # bytes that a file may take in its archive, more than those it may have


def walk(address: Address) -> Iterator[str]:
    """As `places.walk`, in the order of the paths; a path that two shards have comes twice."""
    return _contents(address, anew=True).walk(name_of(address.path))


def is_folder(address: Address) -> bool:
    """As `places.is_folder`. The archive itself is one; empty folders in it are not there."""
    contents, path = _contents(address, anew=True), name_of(address.path)
    if path and contents.at(path):
        return False
    if path and not contents.below(path):
        raise FileNotFoundError("no such file or folder in the archive")
    return True


def read(address: Address, most: int) -> bytes:
    """As `places.read`. Raises OSError also for what is damaged, or has changed since the archive was indexed."""
    archive, member = _contents(address).member(name_of(address.path))
    if member.size > most or member.stored > most + MOST_MORE:
        raise TooLarge(max(member.size, member.stored))
    data = archive.read(member.start, member.end)
    return zips.content(data, member) if address.protocol == "zip" else tars.content(data, member)


# What is in them


@dataclass(frozen=True)
class _Contents:
    """The files of one archive, or of all shards of one folder, in the order of their paths; row by row."""

    sources: Sequence[Source]
    paths: Sequence[str]
    shards: Sequence[int]  # in which of the sources each is
    members: bytes  # how each is kept, one after the other
    refused: Mapping[int, str]  # row -> why it cannot be read

    def below(self, folder: str) -> range:
        """The rows of all that is in a folder."""
        if not folder:
            return range(len(self.paths))
        # "0" is what follows "/"
        return range(bisect_left(self.paths, f"{folder}/"), bisect_left(self.paths, f"{folder}0"))

    def at(self, path: str) -> range:
        """The rows of a path: one, unless several shards have it."""
        return range(bisect_left(self.paths, path), bisect_right(self.paths, path))

    def walk(self, folder: str) -> Iterator[str]:
        hidden = ""
        for row in self.below(folder):
            relative = self.paths[row][len(folder) + 1 if folder else 0 :]
            found = _HIDDEN.search(relative)
            if found is None:
                yield relative
            elif relative[: found.end()] != hidden:  # all of a hidden folder stands together
                hidden = relative[: found.end()]
                yield ""

    def member(self, path: str) -> tuple[Source, Member]:
        rows = self.at(path)
        if not rows:
            raise FileNotFoundError("no such file in the archive")
        if len(rows) > 1:
            both = " and ".join(str(self.sources[self.shards[row]]) for row in rows[:2])
            raise Damaged(f"is in {both}; keep one of them")
        (row,) = rows
        if row in self.refused:
            raise Damaged(self.refused[row])
        return self.sources[self.shards[row]], Member._make(MEMBER.unpack_from(self.members, row * MEMBER.size))


_HIDDEN = re.compile(r"(?<![^/])\.[^/]*")  # a part of a path that begins with a dot


def _united(sources: Sequence[Source], indexes: Sequence[Mapping[str, Entry]]) -> _Contents:
    paths, shards, entries = [], array("I"), []
    # (not all rows at once, of which there may be millions)
    for path, shard in heapq.merge(*(zip(sorted(index), repeat(shard)) for shard, index in enumerate(indexes))):
        paths.append(path)
        shards.append(shard)
        entries.append(indexes[shard][path])
    members = b"".join(entry if isinstance(entry, bytes) else bytes(MEMBER.size) for entry in entries)
    refused = {row: entry for row, entry in enumerate(entries) if isinstance(entry, str)}
    return _Contents(sources, paths, shards, members, refused)


# Indexing, once


class _Kept:
    """What an archive holds, once it is known; the lock is held while that is found out."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.contents: _Contents | None = None


_kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
_lock = threading.Lock()  # of the dictionary


def _after_fork() -> None:
    """In a child, where the threads that hold locks are not."""
    global _lock
    _lock = threading.Lock()
    for kept in _kept.values():
        kept.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _contents(address: Address, *, anew: bool = False) -> _Contents:
    """What the archive of an address holds; with `anew`, looks whether it has changed."""
    archive = address.archive
    assert archive is not None
    with _lock:
        kept = _kept.setdefault((address.protocol, str(archive)), _Kept())
        _kept.move_to_end((address.protocol, str(archive)))
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    if kept.contents is not None and not anew:
        return kept.contents
    with kept.lock:
        if kept.contents is None or anew:
            kept.contents = _current(address.protocol, archive, kept.contents)
        return kept.contents


def _current(protocol: str, archive: Place, known: _Contents | None) -> _Contents:
    """What an archive holds: what is known of it, if that has not changed."""
    named = shards(archive)
    with impatient_threads(min(THREADS, len(named)), "relight-eval-index") as pool:
        sources = list(pool.map(partial(_found, len(named)), named))
        if known is not None and known.sources == sources:
            return known
        return _united(sources, list(pool.map(partial(_index, protocol, len(named)), sources)))


def _found(shards: int, where: Place) -> Source:
    try:
        return source(where)
    except FileNotFoundError as error:
        if shards == 1:
            raise FileNotFoundError("no such archive") from error
        raise Damaged(f"there is no {shown(where)}, one of {shards} archives that are named") from error
    except OSError as error:
        raise _of(shards, where, error) from error


def _index(protocol: str, shards: int, archive: Source) -> dict[str, Entry]:
    try:
        return zips.index(archive) if protocol == "zip" else tars.index(archive, max(1, THREADS // shards))
    except OSError as error:
        raise _of(shards, archive.where, error) from error


def _of(shards: int, archive: Place, error: OSError) -> OSError:
    """The error, with the name of the archive where it is one of many."""
    if shards == 1 or isinstance(error, Damaged):
        return error
    return type(error)(f"{shown(archive)} cannot be read ({error.strerror or error})")
