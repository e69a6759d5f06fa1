"""Progress bars on standard error, drawn only when it is a terminal, and one at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

Bar = Callable[[int, int], None]  # how many are done, of how many


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """What long work calls with (what, done, total): "pairs", "bytes", "pictures" or "maps"."""
    kinds = {"bytes": download_bar, "pairs": pairs_bar, "pictures": pictures_bar, "maps": pictures_bar}
    bars: dict[str, Bar | None] = {}
    with ExitStack() as shown:

        def progress(what: str, done: int, total: int) -> None:
            if what not in bars:
                shown.close()  # the bar before is done
                bars[what] = shown.enter_context(kinds[what]())
            if draw := bars[what]:
                draw(done, total)

        yield progress


@contextmanager
def download_bar() -> Iterator[Bar | None]:
    """A bar in bytes; None where standard error is no terminal."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    done = DownloadColumn(binary_units=True)
    with _bar(TextColumn("VGG19 weights"), BarColumn(), done, TransferSpeedColumn(), TimeRemainingColumn()) as draw:
        yield draw


@contextmanager
def pairs_bar() -> Iterator[Bar | None]:
    """A bar in pairs: done of all, images a second, time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{2 * task.completed / task.elapsed:.1f} images/s" if task.elapsed else "")

    with _bar(TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), Speed(), TimeRemainingColumn()) as draw:
        yield draw


@contextmanager
def pictures_bar() -> Iterator[Bar | None]:
    """A bar in images that are looked at again."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    with _bar(TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as draw:
        yield draw


@contextmanager
def _bar(*columns: ProgressColumn) -> Iterator[Bar | None]:
    """Nothing is drawn before the first call, so that a bar can stand around work that may not come."""
    from rich.console import Console
    from rich.progress import Progress

    if not sys.stderr.isatty():  # (rich would draw wherever FORCE_COLOR is set, as many CI systems do)
        yield None
        return
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)

    def draw(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total or None)
        bar.start()

    try:
        yield draw
    finally:
        bar.stop()
