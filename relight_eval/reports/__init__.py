"""How it is told: REPORTS turns Results into the text of a file, `save` writes it whole or not at all, `load` reads it.

The console is not in the table: it is printed, not saved (see `console`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from relight_eval.errors import ReportError, ResultsError, shown
from relight_eval.files import write_whole
from relight_eval.reports import csv, json, junit, markdown
from relight_eval.results import Results

__all__ = ["REPORTS", "encoded", "load", "require_writable", "save"]

REPORTS: dict[str, Callable[[Results], str]] = {
    "csv": csv.render,
    "json": json.render,
    "junit": junit.render,
    "markdown": markdown.render,
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


def load(path: Path) -> Results:
    """Saved results, from JSON or CSV by the suffix of the file. Raises ResultsError when they cannot be had."""
    parse = {".json": json.parse, ".csv": csv.parse}.get(path.suffix.lower())
    if parse is None:
        raise ResultsError(f"{shown(path)}: saved results end in .json or .csv")
    try:
        results = parse(path.read_bytes().decode("utf-8-sig"), shown(path))
    except UnicodeDecodeError as error:
        raise ResultsError(f"{shown(path)}: is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    _require_sound(results, shown(path))
    return results


def _require_sound(results: Results, source: str) -> None:
    """Every name once, and something scored: what would be told of the rest is not to be trusted."""
    seen: set[str] = set()
    for row in results.rows:
        if not row.name:
            raise ResultsError(f"{source}: the image of {(row.prediction or row.target)!r} has no name")
        if row.name in seen:
            raise ResultsError(f"{source}: image {row.name!r} is there twice")
        seen.add(row.name)
    if not results.scored:
        raise ResultsError(f"{source}: holds no scores")
