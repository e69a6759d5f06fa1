"""How it is told: REPORTS turns Results into the text of a file, `save` writes it whole or not at all, `load` reads it.

The console is not in the table: it is printed, not saved (see `console`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from relight_eval import places
from relight_eval.columns import known
from relight_eval.common import require_whole
from relight_eval.errors import ReportError, ResultsError, shown
from relight_eval.files import is_place, write_whole
from relight_eval.places import Address, Place
from relight_eval.reports import csv, json, junit, markdown
from relight_eval.results import Column, Results

__all__ = ["REPORTS", "encoded", "load", "load_whole", "pieces", "require_writable", "save"]

REPORTS: dict[str, Callable[[Results], str]] = {
    "csv": csv.render,
    "json": json.render,
    "junit": junit.render,
    "markdown": markdown.render,
}
PIECES: dict[str, Callable[[Results], Iterator[str]]] = {"csv": csv.lines, "json": json.pieces}


def require_writable(path: Place) -> None:
    """Raises ReportError when `path` could not be saved: asked before a run, so that no run is lost to a typo."""
    if isinstance(path, Address):
        try:
            places.require_writable(path)
        except OSError as error:
            raise ReportError(f"cannot write {shown(path)}: {places.reason(error)}") from error
        return
    if path.is_dir():
        raise ReportError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise ReportError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(Path(os.path.realpath(path)).parent if is_place(path) else path, os.W_OK):
        raise ReportError(f"cannot write {path}: permission denied")


def pieces(report: str, results: Results) -> Iterable[str]:
    """The text of a report, in pieces where it may be too long for the memory."""
    return PIECES[report](results) if report in PIECES else (REPORTS[report](results),)


def save(path: Place, text: str | Iterable[str]) -> None:
    """Write a report, or its pieces, as UTF-8, whole or not at all. Raises ReportError when it cannot be written."""
    data = map(encoded, (text,) if isinstance(text, str) else text)
    try:
        write_whole(path, data) if isinstance(path, Path) else places.write(path, b"".join(data))
    except OSError as error:
        raise ReportError(f"cannot write {path}: {places.reason(error)}; what stood there is unchanged") from error


def encoded(text: str) -> bytes:
    """The text as UTF-8, also when a path in it is not."""
    return text.encode("utf-8", "backslashreplace")


def load(path: Place) -> Results:
    """Saved results, from JSON or CSV by the suffix of the file. Raises ResultsError when they cannot be had."""
    parse = {".json": json.parse, ".csv": csv.parse}.get(path.suffix.lower())
    if parse is None:
        there = isinstance(path, Address) or os.path.exists(path)
        reason = "saved results end in .json or .csv" if there else "there is no such file or folder"
        raise ResultsError(f"{shown(path)}: {reason}")
    try:
        results = parse(places.content(path).decode("utf-8-sig"), shown(path))
    except UnicodeDecodeError as error:
        raise ResultsError(f"{shown(path)}: is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({places.reason(error)})") from error
    _require_sound(results, shown(path))
    return results


def load_whole(path: Place) -> Results:
    """Saved results of a whole run. Raises ResultsError for those of a part: they would be taken for the whole."""
    results = load(path)
    require_whole(results, shown(path))
    return results


def _require_sound(results: Results, source: str) -> None:
    """Raises ResultsError for what no run writes: what would be told of it is not to be trusted."""
    columns = {column.name: column for column in results.columns}
    for name, column in columns.items():
        meant = known(columns).get(name, column)
        if not re.fullmatch(r"\w+", name) or (column.metric, column.better) != (meant.metric, meant.better):
            raise ResultsError(f"{source}: column {name!r} is not as this program writes it: {column.better} is better")
    anywhere = {name for row in results.rows for name in row.scores}
    always = anywhere - {column.name for column in results.columns if column.optional}
    seen: set[str] = set()
    for row in results.rows:
        where = f"{source}: image {row.name!r}"
        if not row.name:
            raise ResultsError(f"{source}: the image of {(row.prediction or row.target)!r} has no name")
        if row.name in seen:
            raise ResultsError(f"{where} is there twice")
        seen.add(row.name)
        if row.status == "ok" and (lacking := always - row.scores.keys()):
            raise ResultsError(f"{where} has status ok, but no score of {min(lacking)}")
        if row.status == "error" and not row.error:
            raise ResultsError(f"{where} has status error, but does not say which")
        for name, score in row.scores.items():
            _require_possible(columns[name], score, where)
    if not anywhere and not results.shard:  # a part may hold but the pairs that could not be scored
        raise ResultsError(f"{source}: holds no scores")


def _require_possible(column: Column, score: float, where: str) -> None:
    """Within its range, but for rounding; infinite only as identical images are."""
    slack = 1e-4
    possible = column.low - slack <= score <= column.high + slack
    if not possible or (math.isinf(score) and score != column.identical):
        scale = f"{column.low:g} to {column.high:.4g}"
        raise ResultsError(f"{where}: {column.name} is {score:g}; it can only be {scale}")
