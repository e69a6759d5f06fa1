"""What commands write: standard output at once, files whole, talk to standard error.

A reader that has gone and a full disk are told from a failed rule and a bug.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from relight_eval.errors import ReportError, UsageError
from relight_eval.places import Place, place
from relight_eval.text import visible

if TYPE_CHECKING:
    from rich.console import Console

STDOUT = "-"
DEFAULT_CSV = "scores.csv"


def talk(line: str) -> None:
    """A line for people, to standard error; nothing in it can command the terminal."""
    typer.echo(visible(line), err=True)


def warn(line: str) -> None:
    """What should be known, to standard error."""
    talk(f"WARNING  {line}")


def csv_place(csv: str | None, no_csv: bool) -> str | None:
    """Where the CSV is written, which is written unless it is said that none is. Raises UsageError."""
    if no_csv and csv is not None:
        raise UsageError(f"--csv {csv} and --no-csv say the opposite; leave one out")
    return DEFAULT_CSV if csv is None and not no_csv else csv


def require_places(files: Mapping[str, str | None], *, read: Iterable[str | Place | None] = ()) -> dict[str, str]:
    """Report -> where to write it, of those that are asked for; raises for what could not be, before any work is done.

    Neither may one of them be a file that this run will `read`: it would be replaced by what is told of it.
    """
    from relight_eval.pairs import IMAGE_SUFFIXES
    from relight_eval.reports import require_writable

    words = {report: word for report, word in files.items() if word is not None}
    sources = {_one(place(word)) for word in read if word is not None}
    seen: dict[str, str] = {}
    for report, word in words.items():
        real = word if word == STDOUT else _one(place(word))
        if real in seen:
            raise UsageError(f"--{seen[real]} and --{report} would both be written to {word}; give them two places")
        seen[real] = report
        if real in sources and not os.path.isdir(real):
            raise UsageError(f"--{report} would be written over {word}, which is read; give it another place")
        if place(word).suffix.lower() in IMAGE_SUFFIXES:
            raise UsageError(f"{word} is the name of an image; a report would replace it")
        if word != STDOUT:
            try:
                require_writable(place(word))
            except OSError as error:  # not even a path, such as one that is too long
                raise ReportError(f"cannot write {word}: {error.strerror}") from error
    return words


def _one(named: Place) -> str:
    """The same for all names of one file, as far as that can be told: those of an address are not followed."""
    return os.path.realpath(named) if isinstance(named, Path) else str(named)


def save_all(texts: Mapping[str, str | Iterable[str]]) -> list[str]:
    """Writes each text, or its pieces, to its place, or to standard output; what could not be written, as messages."""
    from relight_eval.reports import encoded, save

    failed = []
    for word, text in texts.items():
        try:
            if word == STDOUT:
                write_stdout(encoded(_shown(text if isinstance(text, str) else "".join(text))))
            else:
                save(place(word), text)
        except ReportError as error:
            failed.append(str(error))
    return failed


def _shown(text: str) -> str:
    """Data as it is, but on a terminal without what would not show: it is for programs, unless somebody looks at it."""
    return "\n".join(map(visible, text.split("\n"))) if sys.stdout.isatty() else text


def print_report(draw: Callable[[Console], None], *, aside: bool) -> None:
    """What `draw` prints, to standard output, or aside to standard error where standard output has data."""
    if aside:
        typer.echo(_drawn(draw, stderr=True), err=True, nl=False)
    else:
        print_tables(draw)


def print_tables(draw: Callable[[Console], None]) -> None:
    """What `draw` prints on a console, to standard output.

    (rich alone would end the process with 1, a failed rule, when `| head` has had enough.)
    """
    write_stdout(_drawn(draw, stderr=False).encode(sys.stdout.encoding or "utf-8", "replace"))


def _drawn(draw: Callable[[Console], None], *, stderr: bool) -> str:
    """What `draw` prints on a console of this width and these colours."""
    from rich.console import Console

    from relight_eval.reports.verdicts import inert

    screen, text = Console(stderr=stderr), io.StringIO()
    terminal, width = screen.is_terminal, table_width(screen)
    draw(Console(file=text, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False))
    printed = text.getvalue()
    return printed if terminal else inert("".join(f"{line.rstrip()}\n" for line in printed.split("\n")[:-1]))


def table_width(screen: Console) -> int:
    """As wide as the screen, but never so narrow that numbers would be cut: then the terminal wraps the lines."""
    return max(80, screen.width)


def print_lines(*lines: str) -> None:
    """Lines of text, to standard output."""
    encoding = sys.stdout.encoding or "utf-8"
    write_stdout("".join(f"{line}\n" for line in lines).encode(encoding, "replace"))


def write_stdout(data: bytes) -> None:
    """Bytes to standard output. A reader that has had enough is no error; a full disk is a ReportError."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # what is still in the buffer would make the interpreter complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise ReportError(f"cannot write standard output: {error.strerror}") from error
