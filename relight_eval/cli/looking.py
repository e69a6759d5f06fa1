"""Pages and maps of runs: a second look at some of the images, after all is scored and told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from relight_eval.cli import exit_codes
from relight_eval.cli.output import STDOUT, save_all, talk, warn
from relight_eval.cli.progress import progress_bars
from relight_eval.cli.stopping import interrupt_at_once
from relight_eval.errors import ReportError, UsageError

if TYPE_CHECKING:
    import torch

    from relight_eval.gallery import Gallery
    from relight_eval.metrics import Metric
    from relight_eval.results import Results

WORST = 10  # images that get maps besides those that fail a rule


def require_map_folder(folder: Path | None, read: Iterable[str | Path | None], *, resume: bool = False) -> None:
    """Raises for a folder that no map could be written to, or that holds what the run reads.

    To `resume`, maps may be there whose writing was interrupted: `scales.json` comes last."""
    if folder is None:
        return
    if os.path.exists(folder) and not os.path.isdir(folder):  # unlike Path's, false for a name that is too long
        raise ReportError(f"--maps {folder} is a file; name a folder")
    if not os.path.exists(folder) and not os.path.isdir(folder.parent):
        raise ReportError(f"cannot make {folder}: there is no folder {folder.parent}; make it first")
    ours = Path(os.path.realpath(folder))
    for path in (path for path in read if path):  # inside, too: the next run would take the maps for images of its own
        if ours.is_relative_to(os.path.realpath(path)):
            where = "is" if ours == Path(os.path.realpath(path)) else f"lies in {path}, which is"
            raise UsageError(f"--maps {folder} {where} read by this run; give the maps a folder of their own")
    interrupted = resume and not os.path.exists(folder / "scales.json")
    if os.path.isdir(folder) and any(folder.iterdir()) and not interrupted:  # of another run, of another scale
        raise ReportError(f"--maps {folder} is not empty; name a new folder, or empty it")


def folders_of(results: Results) -> set[str]:
    """Where the images of these results are."""
    files = (path for row in results.rows for path in (row.prediction, row.target, row.input, row.mask) if path)
    return {results.prediction, results.target, *map(os.path.dirname, files)}


@dataclass(frozen=True)
class Looks:
    """What is asked for to look at: a page, with pictures unless `no_images`, and maps of so many images (0: auto)."""

    html: str | None
    no_images: bool = False
    maps: Path | None = None
    maps_count: int = 0

    def require(self, *, read: Iterable[str | Path | None] = (), resume: bool = False) -> None:
        """Raises for what could not be written, or would be ignored, before any work is done."""
        if self.no_images and self.html is None:
            raise UsageError("--no-images is about the page; name it with --html PATH")
        if self.maps_count and self.maps is None:
            raise UsageError("--maps-count is about the maps; name their folder with --maps DIR")
        require_map_folder(self.maps, read, resume=resume)

    @property
    def second(self) -> bool:
        """Whether images are looked at a second time."""
        return self.maps is not None or (self.html is not None and not self.no_images)

    def save(self, results: Results, second: SecondLook, *, stopped: bool = False) -> list[str]:
        """Writes them; what of it could not be written, as messages. Of a run that was stopped, no pictures."""
        from relight_eval.gallery import Gallery
        from relight_eval.reports.html import render

        if stopped and self.second:
            warn("no pictures and no maps, for the run was stopped; go on with --resume, or see `report`")
            self = replace(self, no_images=True, maps=None)
        failed = save_page(
            self.html,
            lambda pictures, place: render(results, pictures, place=place),
            lambda: Gallery() if self.no_images else second.gallery({"": results}),
        )
        if self.maps is not None:
            try:
                second.write_maps(self.maps, results, self.maps_count)
            except ReportError as error:
                failed.append(str(error))
        return failed


def save_page(
    path: str | None, render: Callable[[Gallery, Path | None], str], look: Callable[[], Gallery]
) -> list[str]:
    """Writes a page, if one was asked for, with the pictures of `look`; what could not be written, as messages.

    `render` gets the pictures, and the place to which links are relative: None for standard output.
    """
    if path is None:
        return []
    with _interruptible(f"{path} was not written"):
        return save_all({path: render(look(), None if path == STDOUT else Path(path))})


@dataclass(frozen=True)
class SecondLook:
    """How images are looked at again: what a run says of it on the command line."""

    device: str = "auto"
    workers: int = 0
    vgg19_weights: Path | None = None
    quiet: bool = False

    OPTIONS: ClassVar = ("device", "workers", "vgg19_weights")  # of Scoring

    def gallery(self, runs: Mapping[str, Results], names: Sequence[str] | None = None) -> Gallery:
        """What a page embeds of these images; None: of all, those first that one should look at first."""
        from relight_eval import pictures

        first = next(iter(runs.values()))
        with progress_bars() as progress:
            found = pictures.gallery(
                runs,
                pictures.order(first) if names is None else names,
                self._metrics(first),
                device=self._device(),
                workers=self.workers or None,
                tell=warn,
                progress=None if self.quiet else progress,
            )
        if not found.pictures:
            warn("the page has no pictures: run this where the images are, seen from here, as the results name them")
        return found

    def write_maps(self, folder: Path, results: Results, count: int) -> None:
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
            if name not in known and any(results.values(c.name) for c in results.columns if c.metric == name):
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
