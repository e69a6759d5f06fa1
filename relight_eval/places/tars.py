"""The index of a tar archive: what is in it, and where. Nothing is ever extracted.

A tar has no table of contents: each header says only how far the next one is. Of a large remote one, several stretches
are read at once: each looks for a header to start with, and what it found is believed where the stretch before leads to
one of its headers.
"""

from __future__ import annotations

import posixpath
import struct
import tarfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Self, cast

from relight_eval.places.sources import MEMBER, Damaged, Entry, Fetch, Member, Source, Window, name_of
from relight_eval.places.threads import impatient_threads

BLOCK = tarfile.BLOCKSIZE
LONGEST_HEADER = 16 << 20  # bytes; names are some hundred
SHORTEST_STRETCH = 16 << 20  # bytes that are worth a thread of their own
SEARCHED_AT_ONCE, LONGEST_SEARCH = 1 << 20, 64 << 20  # bytes, for the first header of a stretch
LONGEST_TAIL = 1 << 20  # bytes after the end mark, that are looked at
MOST_LINKS = 40  # from one to the next, as Linux has it

_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# What tarfile raises for headers that lie.
_BAD = (tarfile.TarError, ValueError, IndexError, KeyError, OverflowError, RecursionError, EOFError, struct.error)


@dataclass(frozen=True)
class _Link:
    """A member that is the member of another name; a hard one, which is before it."""

    target: str
    hard: bool


class _Header(tarfile.TarInfo):
    """A header with the CRC-32 of its block, by which it is known again."""

    mark = 0

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        header.mark = zlib.crc32(buf)
        return header


@dataclass
class _Stretch:
    """What begins in a stretch of an archive; `end` is where the header after it would be.

    `last` says that there is none, `shared` that headers for all members were met, which may say anything of them.
    """

    end: int
    starts: array[int] = field(default_factory=lambda: array("Q"))  # of the headers
    members: list[tuple[str, Entry | _Link]] = field(default_factory=list)  # their names and what they are
    last: bool = False
    shared: bool = False


def index(source: Source, threads: int = 1) -> dict[str, Entry]:
    """Path below the folder that the archive is -> the file; of two of one path the last, as tar would leave it.

    Links become what they lead to. Up to `threads` parts of a remote archive are read at once. Raises OSError, and
    Damaged for what is no whole tar archive.
    """
    try:
        with source.opened() as fetch:
            _require_tar(fetch(0, min(BLOCK, source.size)))
            stretches = _stretches(source, threads)
            _require_end(fetch, stretches[-1].end, source.size)
    except Damaged as error:
        raise Damaged(f"{source} {error}") from error
    except _BAD as error:
        raise Damaged(f"{source} is damaged or cut off ({error})") from error
    return _resolved(member for stretch in stretches for member in stretch.members)


def content(data: bytes, member: Member) -> bytes:
    """The content of a member, given the bytes from its start to its end. Raises Damaged."""
    if zlib.crc32(data[:BLOCK]) != member.mark:
        raise Damaged("the archive has changed since the run began")
    return data[BLOCK:]


def _require_tar(first: bytes) -> None:
    if not first:
        raise Damaged("is empty (0 bytes), expected a tar archive")
    for magic, name in _COMPRESSED.items():
        if first.startswith(magic):
            raise Damaged(f"is compressed with {name}; decompress it: only of a plain tar can members be read in place")
    if any(first) and not _is_header(first):  # zeros are an archive of nothing
        raise Damaged("is no tar archive, or a damaged one")


def _require_end(fetch: Fetch, at: int, size: int) -> None:
    """After the last member there must be zeros, and no more: else images would be missing, and nobody told."""
    tail = fetch(at, min(at + LONGEST_TAIL, size)) if at < size else b""
    if at > size or (len(tail) < BLOCK and any(tail)):
        raise Damaged(f"is cut off: its {size} bytes end within a member")
    if len(tail) < BLOCK:
        raise Damaged("has no end mark: it was cut off, or is still being written")
    if any(tail[:BLOCK]):
        raise Damaged(f"is damaged: there is no header at byte {at}")
    if any(tail):
        raise Damaged("goes on after its end mark; if it is several archives in one file, join them with tar -A")


# Headers -> members


def _stretches(source: Source, threads: int) -> list[_Stretch]:
    """All members, in their order."""
    count = 1 if isinstance(source.where, Path) else max(1, min(threads, source.size // SHORTEST_STRETCH))
    bounds = [source.size * part // count // BLOCK * BLOCK for part in range(count)] + [source.size]
    with impatient_threads(count, "relight-eval-tar") as pool:
        guesses = pool.map(_guessed, repeat(source), bounds[1:], bounds[2:])
        found = [_stretch(source, 0, bounds[1])]
        for stop, guess in zip(bounds[2:], guesses, strict=True):
            if not found[-1].last:
                found.append(_after(found[-1], guess, source, stop))
    if len(found) > 1 and any(stretch.shared for stretch in found):
        return [_stretch(source, 0, source.size)]  # such a header is for all stretches after it
    return found


def _after(before: _Stretch, guess: _Stretch, source: Source, stop: int) -> _Stretch:
    """What follows `before`: what was guessed, if one leads to the other."""
    first = bisect_left(guess.starts, before.end)
    if list(guess.starts[first : first + 1]) != [before.end]:
        return _stretch(source, before.end, stop)
    return _Stretch(guess.end, guess.starts[first:], guess.members[first:], guess.last, guess.shared)


def _guessed(source: Source, start: int, stop: int) -> _Stretch:
    """From the first header after `start`; empty where none is found, or where that was none."""
    first = _first_header(source, start, stop)
    try:
        return _Stretch(start) if first is None else _stretch(source, first, stop)
    except (Damaged, *_BAD):
        return _Stretch(start)


def _first_header(source: Source, start: int, stop: int) -> int | None:
    for begin in range(start, min(start + LONGEST_SEARCH, stop), SEARCHED_AT_ONCE):
        data = source.read(begin, min(begin + SEARCHED_AT_ONCE, stop))
        at = data.find(b"ustar")
        while at >= 0:
            block = at - 257  # where this word is in a header
            if block >= 0 and block % BLOCK == 0 and _is_header(data[block : block + BLOCK]):
                return begin + block
            at = data.find(b"ustar", at + 1)
    return None


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except _BAD:
        return False
    return True


def _stretch(source: Source, start: int, stop: int) -> _Stretch:
    """What begins from `start`, where a header is, to before `stop`."""
    found = _Stretch(start, last=start >= source.size)
    if start >= stop:
        return found
    with source.opened() as fetch:
        window = Window(fetch, source.size, LONGEST_HEADER)
        window.seek(start)
        tar = tarfile.TarFile(fileobj=window, tarinfo=_Header, encoding="utf-8", errors="surrogateescape")
        while found.end < stop and (header := tar.next()):
            tar.members.clear()  # type: ignore[attr-defined] # it would keep them all
            if tar.offset <= found.end or header.size < 0:  # which would lead round and round
                raise Damaged(f"is damaged: the size of {header.name!r} is impossible")
            found.starts.append(found.end)
            found.members.append((name_of(header.name), _entry(header)))
            found.end = tar.offset
        found.last = found.end < stop or found.end >= source.size
        found.shared = bool(tar.pax_headers.keys() - {"comment"})
    return found


def _entry(header: tarfile.TarInfo) -> Entry | _Link:
    if header.issparse():
        return "is stored as a sparse file; write the archive without --sparse"
    if header.isreg():
        start, mark = header.offset_data - BLOCK, getattr(header, "mark", 0)
        return MEMBER.pack(*Member(start, header.offset_data + header.size, header.size, header.size, mark))
    if header.islnk():
        return _Link(name_of(header.linkname), hard=True)
    if header.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name_of(header.name)), header.linkname))
        if target.startswith(("/", "../")):
            return f"is a link to {header.linkname}, out of the archive"
        return _Link(target, hard=False)
    return "" if header.isdir() else "is no regular file"


def _resolved(members: Iterable[tuple[str, Entry | _Link]]) -> dict[str, Entry]:
    found: dict[str, Entry | _Link] = {}
    links: dict[str, _Link] = {}
    for name, entry in members:
        if not entry or not name:  # a folder
            continue
        if isinstance(entry, _Link) and entry.hard:
            entry = found.get(entry.target, _missing(entry))
        found[name] = entry
        if isinstance(entry, _Link):
            links[name] = entry
        else:
            links.pop(name, None)
    files = cast("dict[str, Entry]", found)  # once the links are replaced: it may be too large to copy
    files.update({name: _followed(link, found) for name, link in links.items()})
    return files


def _followed(entry: Entry | _Link, found: dict[str, Entry | _Link]) -> Entry:
    for _ in range(MOST_LINKS):
        if not isinstance(entry, _Link):
            return entry
        entry = found.get(entry.target, _missing(entry))
    return "is a link that leads to links, round and round"


def _missing(link: _Link) -> Entry:
    return f"is a link to {link.target}, which is no file of the archive"
