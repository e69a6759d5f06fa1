"""Progress bars on standard error, drawn only when it is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Bar = Callable[[int, int], None]  # how many are done, of how many


@contextmanager
def progress_bars(quiet: bool = False) -> Iterator[Callable[[str, int, int], None] | None]:
    """What `evaluate` calls with ("pairs" or "bytes", done, total); None when nothing is to be drawn."""
    with download_bar(quiet) as draw_bytes, pairs_bar(quiet) as draw_pairs:
        if draw_bytes is None or draw_pairs is None:
            yield None
            return
        bars = {"bytes": draw_bytes, "pairs": draw_pairs}
        yield lambda what, done, total: bars[what](done, total)


@contextmanager
def download_bar(quiet: bool = False) -> Iterator[Bar | None]:
    """A bar in bytes."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    label = TextColumn("VGG19 weights")
    speed = TransferSpeedColumn()
    with _bar(quiet, label, BarColumn(), DownloadColumn(binary_units=True), speed, TimeRemainingColumn()) as draw:
        yield draw


@contextmanager
def pairs_bar(quiet: bool = False) -> Iterator[Bar | None]:
    """A bar in pairs: done of all, pairs a second, time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{2 * speed:.1f} images/s")

    with _bar(quiet, TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn()) as draw:
        yield draw


@contextmanager
def _bar(quiet: bool, *columns: ProgressColumn) -> Iterator[Bar | None]:
    """Nothing is drawn before the first call, so that a bar can stand around work that may not come."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("", total=None)

    def draw(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total or None)
        bar.start()

    try:
        yield draw
    finally:
        bar.stop()
