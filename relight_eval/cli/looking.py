"""Pages and maps of runs: a second look at some of the images, after all is scored and told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from relight_eval.cli import exit_codes
from relight_eval.cli.output import STDOUT, save_all, talk, warn
from relight_eval.cli.progress import progress_bars
from relight_eval.cli.stopping import interrupt_at_once
from relight_eval.cli.tracking import NO_LOGS, Logs
from relight_eval.errors import ReportError, UsageError
from relight_eval.places import Address, Place, is_file, is_folder, place, reason, require_writable, walk

if TYPE_CHECKING:
    import torch

    from relight_eval.gallery import Gallery
    from relight_eval.metrics import Metric
    from relight_eval.results import Results
    from relight_eval.trackers.entry import Entry

WORST = 10  # images that get maps besides those that fail a rule
LOGGED = 8  # images that are logged with pictures


def require_map_folder(folder: Place, read: Iterable[str | Place | None], *, resume: bool = False) -> None:
    """Raises for a folder that no map could be written to, or that holds what the run reads.

    To `resume`, maps may be there whose writing was interrupted: `scales.json` comes last."""
    try:
        holds_some = _holds_some(folder)
        for other in (place(word) for word in read if word):
            if _within(folder, other):  # the next run would take the maps for images of its own
                where = "is" if _within(other, folder) else f"lies in {other}, which is"
                raise UsageError(f"--maps {folder} {where} read by this run; give the maps a folder of their own")
        interrupted = resume and not is_file(folder / "scales.json")
    except OSError as error:
        raise ReportError(f"--maps {folder}: {reason(error)}") from error
    if holds_some and not interrupted:  # of another run, of another scale
        raise ReportError(f"--maps {folder} is not empty; name a new folder, or empty it")


def _holds_some(folder: Place) -> bool:
    """Whether there is something in a folder. Raises ReportError, UsageError or OSError where it could not be made."""
    if isinstance(folder, Address):
        require_writable(folder / "scales.json")
        try:
            if not is_folder(folder):
                raise ReportError(f"--maps {folder} is a file; name a folder")
            return any(True for _ in walk(folder))
        except FileNotFoundError:
            return False
    if os.path.exists(folder) and not os.path.isdir(folder):  # unlike Path's, false for a name that is too long
        raise ReportError(f"--maps {folder} is a file; name a folder")
    if not os.path.exists(folder) and not os.path.isdir(folder.parent):
        raise ReportError(f"cannot make {folder}: there is no folder {folder.parent}; make it first")
    return os.path.isdir(folder) and any(folder.iterdir())


def _within(inner: Place, outer: Place) -> bool:
    """Whether one place is the other, or lies in it."""
    if isinstance(inner, Path) and isinstance(outer, Path):
        return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))
    return type(inner) is type(outer) and f"{inner}/".startswith(f"{str(outer).rstrip('/')}/")


def folders_of(results: Results) -> Iterator[str | Place]:
    """Where the images of these results are; worked out only where it is asked for."""
    files = (path for row in results.rows for path in (row.prediction, row.target, row.input, row.mask) if path)
    yield from (results.prediction, results.target)
    yield from {place(path).parent if "://" in path else os.path.dirname(path) for path in files}


@dataclass(frozen=True)
class Looks:
    """What is asked for to look at: a page, with pictures unless `no_images`, and maps of so many images (0: auto)."""

    html: str | None
    no_images: bool = False
    maps: str | None = None
    maps_count: int = 0
    logs: Logs = NO_LOGS

    def require(self, *, read: Iterable[str | Place | None] = (), resume: bool = False) -> None:
        """Raises for what could not be written, or would be ignored, before any work is done."""
        if self.no_images and self.html is None and not self.logs.trackers:
            raise UsageError("--no-images is about the page; name it with --html PATH")
        if self.maps_count and self.maps is None:
            raise UsageError("--maps-count is about the maps; name their folder with --maps DIR")
        if self.maps is not None:
            require_map_folder(place(self.maps), read, resume=resume)

    @property
    def second(self) -> bool:
        """Whether images are looked at a second time."""
        shown = self.html is not None or bool(self.logs.trackers)
        return self.maps is not None or (shown and not self.no_images)

    def save(self, results: Results, second: SecondLook, *, stopped: bool = False) -> list[str]:
        """Writes and logs them; what of it could not be written, as messages. Of a run that was stopped, no pictures,
        and nothing is logged: its means would be a wrong point of a curve.
        """
        from relight_eval.reports.console import order
        from relight_eval.reports.html import render

        if stopped and self.second:
            warn("no pictures and no maps, for the run was stopped; go on with --resume, or see `report`")
        if stopped and self.logs.trackers:
            warn("nothing was logged, for the run was stopped; go on with --resume")
        if stopped:
            self = replace(self, no_images=True, maps=None, logs=NO_LOGS)
        look = cache(lambda: self.gallery(second, {"": results}, order(results)))
        failed = save_page(self.html, lambda pictures, file: render(results, pictures, place=file), look)
        if self.maps is not None:
            try:
                second.write_maps(place(self.maps), results, self.maps_count)
            except ReportError as error:
                failed.append(str(error))
        return failed + self.log(lambda: [logged(results, look(), step=self.logs.step)], quiet=second.quiet)

    def gallery(self, second: SecondLook, runs: Mapping[str, Results], names: Sequence[str]) -> Gallery:
        """The pictures of the first names: as many as a page has room for, or where there is none, as are logged."""
        from relight_eval.gallery import Gallery

        if self.no_images:
            return Gallery()
        return second.gallery(runs, names if self.html is not None else names[:LOGGED], page=self.html is not None)

    def log(self, entries: Callable[[], list[Entry]], *, quiet: bool) -> list[str]:
        """Logs to the trackers that were asked for; what could not be logged, as messages."""
        if not self.logs.trackers:
            return []
        with _interruptible("not all was logged"):
            return self.logs.save(entries, quiet=quiet)


def logged(results: Results, gallery: Gallery, label: str = "", step: int | None = None) -> Entry:
    """What is logged of a run, with pictures of LOGGED images."""
    from relight_eval.trackers.entry import entry

    return entry(results, gallery, label, step, most=LOGGED)


def save_page(
    path: str | None, render: Callable[[Gallery, Path | None], str], look: Callable[[], Gallery]
) -> list[str]:
    """Writes a page, if one was asked for, with the pictures of `look`; what could not be written, as messages.

    `render` gets the pictures, and the file to which links are relative: None where the page is not on this machine.
    """
    if path is None:
        return []
    file = place(path)
    with _interruptible(f"{path} was not written"):
        return save_all({path: render(look(), file if isinstance(file, Path) and path != STDOUT else None)})


@dataclass(frozen=True)
class SecondLook:
    """How images are looked at again: what a run says of it on the command line."""

    device: str = "auto"
    workers: int = 0
    vgg19_weights: Path | None = None
    quiet: bool = False

    OPTIONS: ClassVar = ("device", "workers", "vgg19_weights")  # of Scoring

    def require_used(self, looks: Looks) -> None:
        """Raises UsageError for an option that would do nothing, for nothing is looked at."""
        for name in self.OPTIONS:
            if not looks.second and getattr(self, name) != getattr(SecondLook, name):
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} is about pictures, and there are none; add --html, --maps or --log")

    def gallery(self, runs: Mapping[str, Results], names: Sequence[str], *, page: bool = True) -> Gallery:
        """What a `page` has room for of these images, the first first; not for a page, all of them."""
        from relight_eval import pictures
        from relight_eval.pictures.shelf import BUDGET_BYTES

        first = next(iter(runs.values()))
        with progress_bars() as progress:
            found = pictures.gallery(
                runs,
                names,
                self._metrics(first),
                budget_bytes=BUDGET_BYTES if page else sys.maxsize,
                device=self._device(),
                workers=self.workers or None,
                tell=warn,
                progress=None if self.quiet else progress,
            )
        if not found.pictures:
            what = "page" if page else "log"
            warn(f"the {what} has no pictures: run this where the images are, seen from here, as the results name them")
        return found

    def write_maps(self, folder: Place, results: Results, count: int) -> None:
        """Writes the maps of `count` images, 0: of those that fail a rule, and of the worst."""
        from relight_eval import pictures
        from relight_eval.text import counted

        names = pictures.order(results)
        failing = {name for verdict in results.verdicts if verdict.outcome == "fail" for name in verdict.failing}
        most = count or max(WORST, sum(name in failing for name in names))
        with _interruptible(f"not all maps are in {folder}"), progress_bars() as progress:
            written = pictures.write_maps(
                {"": results},
                names[:most],
                self._metrics(results),
                folder,
                device=self._device(),
                workers=self.workers or None,
                tell=warn,
                progress=None if self.quiet else progress,
            )
        if not self.quiet:
            talk(f"wrote {counted(len(written), 'file')} to {folder}")

    def _device(self) -> torch.device:
        from relight_eval.engines.local import pick_device

        return pick_device(self.device)

    def _metrics(self, results: Results) -> list[Metric]:
        from relight_eval.evaluate import metrics_of

        found = metrics_of(results, self._device(), self.vgg19_weights)
        known = {metric.name for metric in found}
        for name in dict.fromkeys(column.metric for column in results.columns if column.main):
            if name not in known and any(c.name in results.has for c in results.columns if c.metric == name):
                warn(f"no maps of {name}: its weights are not here, or this version scores it in another way")
        return found


@contextmanager
def _interruptible(lost: str) -> Iterator[None]:
    """Within, Ctrl-C ends the process in order: what was written before stays."""
    interrupt_at_once()
    try:
        yield
    except KeyboardInterrupt:
        talk(f"relight-eval: interrupted; {lost}")
        raise typer.Exit(exit_codes.INTERRUPTED) from None
