"""Writing a file whole or not at all: beside its place first, then moved."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write `data` to `path`; what stood there is unchanged until all of it is on the disk. Raises OSError.

    A link stays a link, a file keeps its permissions, and a pipe or a device is written to, not replaced.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_bytes(data)
        return
    place = Path(os.path.realpath(path))
    handle, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, _mode(place))
        os.replace(name, place)
    finally:
        with suppress(OSError):
            os.unlink(name)


def _mode(place: Path) -> int:
    """The permissions that the file has, or that a new file gets (mkstemp's own are private)."""
    with suppress(OSError):
        return place.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
