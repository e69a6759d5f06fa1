"""Where files are: on this machine (a Path), or where fsspec reaches (an Address).

    out/                              a folder
    s3://bucket/out                   a folder of a bucket; so gs://, hf://, memory:// and all that fsspec knows
    out.tar, s3://bucket/out.zip      an archive, read in place as the folder that it holds
    out-{000..015}.tar, {a,b}.zip     several archives (shards) as one folder
    tar://day/::s3://bucket/out.tar   a folder in an archive; so are the files in one named, as fsspec names them

Rooms ask here, and `remote` and `archives` do what differs. A Path behaves as ever: nothing is asked of fsspec for it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relight_eval.errors import UsageError, shown
from relight_eval.places import secrets
from relight_eval.text import visible

ARCHIVES = {".tar": "tar", ".zip": "zip"}
_PROTOCOL = re.compile(r"([a-z][\w+.-]+)://", re.IGNORECASE)  # (a single letter is a drive of Windows)
_CHAIN = re.compile(r"(\w+::)+([a-z][\w+.-]+)://", re.IGNORECASE)
_COMPRESSED = re.compile(r"\.(tgz|tbz2?|txz|tzst|tar\.\w+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A file or folder that fsspec reaches. What `str` gives, `place` reads.

    Of `s3://bucket/out/a.png` the path is `bucket/out/a.png`; of `tar://day/a.png::s3://bucket/out.tar` it is
    `day/a.png`, and the tail says where the archive is. Names behave as those of a Path.
    """

    head: str  # "s3://"
    path: str
    tail: str = ""  # "::s3://bucket/out.tar"

    def __str__(self) -> str:
        where = self.tail.removeprefix("::")
        whole = not self.path and _kind(where) == self.protocol  # as its user named it
        return where if whole else f"{self.head}{self.path}{self.tail}"

    def as_posix(self) -> str:
        return str(self)

    def __truediv__(self, below: str) -> Address:
        """The file or folder `below` this one; "" is itself."""
        return Address(self.head, "/".join(filter(None, (self.path.rstrip("/"), below))), self.tail)

    @property
    def protocol(self) -> str:
        return self.head.removesuffix("://")

    @property
    def archive(self) -> Place | None:
        """Of what is in an archive, where that is."""
        return _located(self.tail.removeprefix("::")) if self.tail else None

    @property
    def name(self) -> str:
        """The last part of the path; of all that an archive holds, the name of the archive."""
        own = self.path.rstrip("/").rpartition("/")[2]
        return own or (self.archive.name if self.archive is not None else "")

    @property
    def suffix(self) -> str:
        stem, dot, suffix = self.name.rpartition(".")
        return dot + suffix if stem and suffix else ""

    @property
    def stem(self) -> str:
        return self.name.removesuffix(self.suffix)

    @property
    def parent(self) -> Address:
        return Address(self.head, self.path.rstrip("/").rpartition("/")[0], self.tail)

    @property
    def parents(self) -> tuple[Address, ...]:
        """The folders above, from the nearest; the bucket, or the server, is the last."""
        parts = self.path.rstrip("/").split("/")
        return tuple(Address(self.head, "/".join(parts[:end]), self.tail) for end in range(len(parts) - 1, 0, -1))


Place = Path | Address


def place(word: str | Place) -> Place:
    """What a word of the command line, or of saved results, names.

    Raises UsageError for an address that could not be read, or that holds a password: it would stand in reports.
    """
    if isinstance(word, Address):
        return word
    text = os.fspath(word)
    found = _located(text)
    if text.endswith(("/", os.sep)) or (isinstance(found, Path) and os.path.isdir(found)):
        return found
    if _COMPRESSED.search(text):
        what = "a compressed tar cannot be read in place"
        raise UsageError(f"{shown(found)}: {what}; unpack it, or pack it as a plain .tar (images hardly get smaller)")
    kind = _kind(text)
    if not kind or (isinstance(found, Address) and found.tail):
        return found
    if "::" in text:
        raise UsageError(f"{shown(found)}: the name of an archive cannot have a :: in it; rename it")
    return Address(f"{kind}://", "", f"::{found}")


def _located(text: str) -> Place:
    """What a word names by what it begins with: an archive is a file here."""
    protocol, rest = _split(text)
    if not protocol:
        return Path(text)
    if protocol in ("file", "local"):
        return Path(re.sub(r"^/(?=[A-Za-z]:)", "", rest))
    if protocol in ARCHIVES.values():
        return _in_archive(protocol, rest)
    if secrets.held(protocol, rest):
        raise UsageError(
            f"an address of {protocol}:// holds a password, a token or a signature, which would stand in reports; "
            f"leave it out: fsspec finds credentials in the environment (FSSPEC_{protocol.upper()}_PASSWORD and the "
            "like, or those of the store, such as AWS_ACCESS_KEY_ID) and in configuration files"
        )
    from relight_eval.places import remote

    remote.require(protocol)
    path = rest.rstrip("/")
    if protocol in ("http", "https") or _kind(path) or _COMPRESSED.search(path):
        path = rest  # the / at its end says that it is a folder
    if not path and protocol != "memory":
        raise UsageError(f"{protocol}:// alone names no folder; give one, such as {protocol}://bucket/folder")
    return Address(f"{protocol}://", path)


def _in_archive(protocol: str, rest: str) -> Address:
    path, chained, where = rest.rpartition("::")
    if not chained or not where:
        example = f"{protocol}://day/::s3://bucket/out.{protocol}"
        raise UsageError(f"{visible(f'{protocol}://{rest}')}: it does not say which archive; expected {example}")
    if "://" in path:  # which no path in an archive has
        raise UsageError(
            f"{visible(f'{protocol}://{rest}')}: an archive in an archive is not read; unpack the outer one"
        )
    return Address(f"{protocol}://", path.strip("/"), f"::{_located(where)}")


def _kind(text: str) -> str:
    """The protocol by which fsspec reads the archive that a name is one of; "" where it is none."""
    return ARCHIVES.get(os.path.splitext(text)[1].lower(), "")


def _split(text: str) -> tuple[str, str]:
    """The protocol of an address, in lower case, and what comes after its `://`; "" for what is none."""
    if chain := _CHAIN.match(text):
        raise UsageError(f"{chain[0]}: such chains are not read; give the address itself, {chain[2]}://…")
    match = _PROTOCOL.match(text)
    return (match[1].lower(), text[match.end() :]) if match else ("", text)


class TooLarge(OSError):  # noqa: N818 (the name says it)
    """A file that holds more than may be read; `size` in bytes where that is known without reading it."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__(f"{'more' if size is None else size} bytes than may be read")
        self.size = size


def walk(address: Address) -> Iterator[str]:
    """Relative POSIX path of every file below; "" for each that is hidden, a hidden folder counting as one.

    Streams. Raises FileNotFoundError where there is nothing, PermissionError and OSError, whose text says why.
    """
    if address.archive is not None:
        from relight_eval.places import archives

        return archives.walk(address)
    from relight_eval.places import remote

    return remote.walk(address)


def is_folder(address: Address) -> bool:
    """Whether there is a folder of this address, rather than a file. Raises as `walk` does."""
    if address.archive is not None:
        from relight_eval.places import archives

        return archives.is_folder(address)
    from relight_eval.places import remote

    return remote.is_folder(address)


def read(address: Address, most: int) -> bytes:
    """The whole content of a file of up to `most` bytes; what passes is tried again. Safe in threads.

    Raises TooLarge where there is more, and as `walk` does.
    """
    if address.archive is not None:
        from relight_eval.places import archives

        return archives.read(address, most)
    from relight_eval.places import remote

    return remote.read(address, most)


def write(address: Address, data: bytes) -> None:
    """Writes a file: whole, or not at all. Raises UsageError for one in an archive, else as `walk` does."""
    if address.archive is not None:
        raise UsageError(_read_only(address))
    from relight_eval.places import remote

    return remote.write(address, data)


def reason(error: OSError) -> str:
    """Why, in one line: what the system says, or what was made of what the store of an address said."""
    return error.strerror or str(error)


def is_file(place: Place) -> bool:
    """Whether there is a file, rather than a folder or nothing. Raises OSError where an address does not tell."""
    if isinstance(place, Path):
        return os.path.isfile(place)  # unlike Path's, false for a name that is too long
    try:
        return not is_folder(place)
    except FileNotFoundError:
        return False


def content(place: Place) -> bytes:
    """All that a file holds, wherever it is: for one that its user names, not for one of many. Raises as `read`."""
    return place.read_bytes() if isinstance(place, Path) else read(place, sys.maxsize)


def require_writable(address: Address) -> None:
    """Raises UsageError or OSError where `write` could not, as far as can be told without writing."""
    if address.archive is not None:
        raise UsageError(_read_only(address))
    from relight_eval.places import writable

    writable.require(address)


def is_root(address: Address) -> bool:
    """Whether all of a store is below: there is nothing to ask for whether that is there."""
    return not address.path and not address.tail


def near(address: Address) -> list[str]:
    """Names of what is beside a file or folder that is not there, some of very many; none where nobody can say."""
    if address.archive is not None:
        return []
    from relight_eval.places import remote

    return remote.near(address)


def same(one: Place, other: Place) -> bool:
    """Whether both are one file or folder, as far as their names say. Raises OSError where one is not there."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.samefile(other)
    return str(one).rstrip("/") == str(other).rstrip("/")


def _read_only(address: Address) -> str:
    return f"{address}: an archive is only read; write to a folder, or to an address outside of it"
