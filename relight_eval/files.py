"""Writing a file whole or not at all: beside its place first, then moved."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes | Iterable[bytes], *, lasting: bool = True) -> None:
    """Write `data`, or its pieces, to `path`; what stood there is unchanged until all of it is written. Raises OSError.

    What is `lasting` is on the disk before its name is, for the power may fail; that takes 10 ms.
    A link stays a link, a file keeps its permissions, and a pipe or a device is written to, not replaced.
    """
    pieces = (data,) if isinstance(data, bytes) else data
    if not is_place(path):
        with open(path, "wb") as file:
            file.writelines(pieces)
        return
    place = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{place.name[:60]}.", dir=place.parent)  # 60 of 4 bytes fit into 255
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            if lasting:
                os.fsync(file.fileno())  # or, after a power failure, the new name could stand over an empty file
        os.chmod(name, _mode(place))
        os.replace(name, place)
        if lasting:
            sync_folder(place.parent)
    finally:
        with suppress(OSError):
            os.unlink(name)


def is_place(path: Path) -> bool:
    """Whether a file stands or can come to stand here; into a pipe or a device, one can only write."""
    return not path.exists() or stat.S_ISREG(path.stat().st_mode)


def sync_folder(folder: Path) -> None:
    """Brings the names in this folder to the disk, where the system can do that."""
    with suppress(OSError):  # Windows opens no folder, and some file systems sync none: the file is whole all the same
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _mode(place: Path) -> int:
    """The permissions that the file has, or that a new file gets (mkstemp's own are private)."""
    with suppress(OSError):
        return place.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
