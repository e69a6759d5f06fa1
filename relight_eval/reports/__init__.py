"""How it is told: REPORTS turns Results into the text of a file, `save` writes it whole or not at all.

The console is not in the table: it is printed, not saved (see `console`).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from relight_eval.errors import ReportError
from relight_eval.reports import csv, json
from relight_eval.results import Results

__all__ = ["REPORTS", "STDOUT", "require_writable", "save", "write_stdout"]

STDOUT = "-"

REPORTS: dict[str, Callable[[Results], str]] = {
    "csv": csv.render,
    "json": json.render,
}


def require_writable(path: str) -> None:
    """Raises ReportError when `path` could not be saved: asked before a run, so that no run is lost to a typo."""
    if path == STDOUT:
        return
    folder = Path(path).parent
    if Path(path).is_dir():
        raise ReportError(f"{path} is a folder; name a file to write")
    if not folder.is_dir():
        raise ReportError(f"cannot write {path}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK):
        raise ReportError(f"cannot write {path}: the folder {folder} is not writable")


def save(path: str, text: str) -> None:
    """Write a report, `-` for standard output. The file is written beside its place and moved: never half a file.

    The file is UTF-8, also when a path in it is not. Raises ReportError when it cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    if path == STDOUT:
        write_stdout(data)
        return
    place = Path(os.path.realpath(path))  # a link stays a link
    try:
        handle, name = tempfile.mkstemp(prefix=f".{place.name[:100]}.", dir=place.parent)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, _mode(place))
        os.replace(name, place)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}; what stood there is unchanged") from error
    finally:
        with suppress(OSError):
            os.unlink(name)


def write_stdout(data: bytes) -> None:
    """Write to standard output. A reader that has had enough (`| head`) is no error; a full disk is a ReportError."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # what is still in the buffer would make the interpreter complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ReportError(f"cannot write standard output: {error.strerror}") from error


def _mode(place: Path) -> int:
    """The permissions that the file has, or that a new file gets (mkstemp's own are private)."""
    with suppress(OSError):
        return place.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
