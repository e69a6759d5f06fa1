"""The table as CSV, and back; scores read back to the same float, `inf` for an infinite PSNR.

A spreadsheet takes a text such as `=1+1` for a formula, and runs it. Such a text gets a `'` before it, which
`parse` takes away again.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import get_args

from relight_eval.columns import known
from relight_eval.errors import ResultsError, nearest
from relight_eval.results import Results, Row, Status

HEAD = ("image", "prediction", "target", "width", "height")
TAIL = ("status", "error")

# What begins a formula, also full-width, and also where it has its `'` already: so that one is always to be taken away.
FORMULA = r"'*[^\S\t\r\n]*[=+\-@＝＋－＠]"
# A spreadsheet may take more than a comma for the end of a cell: what follows `;` or a tab begins a cell, too.
CELL = r"(?:\A|(?<=[;\t\r\n]))"
ACTIVE = re.compile(rf"{CELL}(?={FORMULA})|\A(?='*[\t\r\n])")
GUARDED = re.compile(rf"{CELL}'(?={FORMULA})|\A'(?='*[\t\r\n])")


def render(results: Results) -> str:
    return "".join(lines(results))


def lines(results: Results) -> Iterator[str]:
    """The table line by line: of a million rows it would be a gigabyte."""
    names = [column.name for column in results.columns]
    table = csv.writer(Ends(), lineterminator="\r\n")
    yield table.writerow((*HEAD, *names, *TAIL))
    for row in results.rows:
        scores = row.scores.as_dict()
        texts = map(inert, (row.name, row.prediction, row.target))
        numbers = (row.width, row.height, *map(scores.get, names))
        yield table.writerow((*texts, *numbers, row.status, inert(row.error)))


def inert(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return ACTIVE.sub("'", text)


def _as_it_was(cell: str) -> str:
    """What `inert` made this cell of."""
    return GUARDED.sub("", cell)


class Ends:
    r"""What `csv.writer` gives a line to, and gives back: it ends in `\n`.

    Written as if it ended in `\r\n`: only so is a name with `\r` in it put in quotes.
    """

    def write(self, line: str, /) -> str:
        return line.removesuffix("\r\n") + "\n"


class Lines(io.StringIO):
    r"""Such lines in a file."""

    def write(self, line: str, /) -> int:
        return super().write(Ends().write(line))


def parse(text: str, source: str) -> Results:
    """The Results of a table that `render` wrote: without a signature, for a table has none.

    What the columns mean is known by their names. Raises ResultsError, which names the `source` and the line, for
    anything else.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = next(reader, [])
        names = _score_names(head, source)
        rows = [_row(head, cells, names) for cells in reader if cells]
    except (csv.Error, ValueError) as error:
        raise ResultsError(f"{source}, line {reader.line_num}: {error}") from error
    columns = known(head)
    return Results(
        prediction="", target="", columns=tuple(columns[name] for name in names), rows=tuple(rows), signature={}
    )


def _score_names(head: list[str], source: str) -> list[str]:
    names = head[len(HEAD) : -len(TAIL)]
    if tuple(head[: len(HEAD)]) != HEAD or tuple(head[-len(TAIL) :]) != TAIL:
        expected = ",".join((*HEAD, "...scores...", *TAIL))
        hint = "; save it with commas, not with semicolons" if head and ";" in head[0] else ""
        raise ResultsError(
            f"{source}: is not what `relight-eval score --csv` writes; its head must be {expected}{hint}"
        )
    for name in names:
        if name not in known(head):
            raise ResultsError(f"{source}: unknown column {name!r}; {nearest(name, known(head))}")
        if names.count(name) > 1:
            raise ResultsError(f"{source}: column {name!r} is there twice")
    return names


def _row(head: list[str], line: list[str], names: list[str]) -> Row:
    """Raises ValueError with what is wrong in this line."""
    if len(line) != len(head):
        raise ValueError(f"has {len(line)} cells, but the head has {len(head)}")
    cells = dict(zip(head, line, strict=True))
    status = cells["status"]
    if status not in get_args(Status):
        raise ValueError(f"status is {status!r}; {nearest(status, get_args(Status))}")
    scores = {name: _score(name, cells[name]) for name in names if cells[name]}
    if scores and status.startswith("missing_"):
        raise ValueError(f"has scores, but status {status}")
    return Row(
        name=_as_it_was(cells["image"]),
        prediction=_as_it_was(cells["prediction"]),
        target=_as_it_was(cells["target"]),
        width=_pixels("width", cells["width"]),
        height=_pixels("height", cells["height"]),
        scores=scores,
        status=status,  # type: ignore[arg-type]
        error=_as_it_was(cells["error"]),
    )


def _pixels(name: str, cell: str) -> int | None:
    if cell and not (cell.isdecimal() and cell.isascii() and len(cell) < 19):
        raise ValueError(f"{name} is {cell!r}; it must be a whole number, or empty")
    return int(cell) if cell else None


def _score(name: str, cell: str) -> float:
    try:
        score = float(cell)
    except ValueError:
        score = math.nan
    if math.isnan(score):
        raise ValueError(f"{name} is {cell!r}; it must be a number, or empty")
    return score
