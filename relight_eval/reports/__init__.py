"""How it is told: REPORTS turns Results into the text of a file, `save` writes it whole or not at all.

The console is not in the table: it is printed, not saved (see `console`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from relight_eval.errors import ReportError
from relight_eval.files import write_whole
from relight_eval.reports import csv, json
from relight_eval.results import Results

__all__ = ["REPORTS", "encoded", "require_writable", "save"]

REPORTS: dict[str, Callable[[Results], str]] = {
    "csv": csv.render,
    "json": json.render,
}


def require_writable(path: Path) -> None:
    """Raises ReportError when `path` could not be saved: asked before a run, so that no run is lost to a typo."""
    if path.is_dir():
        raise ReportError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise ReportError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ReportError(f"cannot write {path}: permission denied")


def save(path: Path, text: str) -> None:
    """Write a report as UTF-8, whole or not at all. Raises ReportError when it cannot be written."""
    try:
        write_whole(path, encoded(text))
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}; what stood there is unchanged") from error


def encoded(text: str) -> bytes:
    """The text as UTF-8, also when a path in it is not."""
    return text.encode("utf-8", "backslashreplace")
