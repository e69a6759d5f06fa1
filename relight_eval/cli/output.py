"""Standard output, written at once: a reader that has gone and a full disk are told from a failed rule and a bug."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from relight_eval.errors import ReportError

if TYPE_CHECKING:
    from rich.console import Console


def print_tables(draw: Callable[[Console], None]) -> None:
    """What `draw` prints on a console, to standard output.

    (rich alone would end the process with 1, a failed rule, when `| head` has had enough.)
    """
    from rich.console import Console

    screen = Console()
    text = io.TextIOWrapper(io.BytesIO(), encoding=screen.encoding, errors="replace")
    width = table_width(screen)
    draw(Console(file=text, width=width, force_terminal=screen.is_terminal, highlight=False, markup=False))
    text.seek(0)
    printed = text.buffer.read()
    if not screen.is_terminal:
        printed = b"".join(line.rstrip() + b"\n" for line in printed.splitlines())
    write_stdout(printed)


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
