"""What a page embeds, within a budget of bytes: large pictures with maps first, then thumbnails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
import torch

from relight_eval.gallery import Gallery, Picture
from relight_eval.metrics import Metric
from relight_eval.pictures.album import Album, SidesOf
from relight_eval.pictures.encoded import cost, fitted, map_file, picture_file
from relight_eval.pictures.errors import Errors, all_errors, half_of, shrunk
from relight_eval.pictures.scales import Half, Spread
from relight_eval.pictures.threads import Count, Once, Progress, Tell, ahead, report, threads
from relight_eval.results import Results

BUDGET_BYTES = 24 * 2**20  # of a page
PICTURES_SHARE = 0.8  # of the budget: what pictures and maps may take; thumbnails have the rest
PICTURE_SIDE, MAP_SIDE = 768, 384  # the long sides, at most
THUMBNAIL = (96, 288)  # height and width, at most
MAPS_BYTES = 2**28  # of the maps that wait for their scale: about 60 pairs of 384 × 384 with all metrics


def gallery(
    runs: Mapping[str, Results],
    names: Sequence[str],
    metrics: Sequence[Metric],
    *,
    device: torch.device,
    budget_bytes: int = BUDGET_BYTES,
    workers: int | None = None,
    tell: Tell = lambda line: None,
    progress: Progress | None = None,
) -> Gallery:
    """What a page shows of these images: large pictures with maps of the first names, thumbnails of the next.

    `runs` are results by label, "" for a single run, of one and the same targets; `names` are the images, the most
    important first (see `order`). `metrics` are ready to score on `device`; those without maps are passed over. In a
    page, as base64, all files together take at most `budget_bytes`; pictures and maps have PICTURES_SHARE of that.
    A file that cannot be read any more, or has another size than when it was scored, is left out: `tell` gets the
    reason.
    """
    album = Album(runs, workers)
    errors = Errors(metrics, device)
    once = Once(tell)

    def count(done: int) -> None:
        report(progress, "pictures", done, len(names))

    with threads(workers, device) as pool:
        shelf = _shelf(album, names, errors, budget_bytes * PICTURES_SHARE, pool, once, count)
        highs = _fit(shelf, budget_bytes * PICTURES_SHARE, pool)
        large = {entry.name for entry in shelf}
        rest = [name for name in names if name not in large]
        room = budget_bytes - sum(entry.cost for entry in shelf)
        thumbnails = _thumbnails(album, rest, room, pool, once, lambda done: count(len(shelf) + done))
    count(len(names))
    return Gallery(
        pictures={entry.name: entry.picture() for entry in shelf},
        thumbnails=thumbnails,
        scales={name: (0.0, highs[name]) for name in errors.meanings if name in highs},
        meanings={name: meaning for name, meaning in errors.meanings.items() if name in highs},
    )


@dataclass
class _Entry:
    """One name as encoded files; `halves` are its maps by label and name, `highs` the scale each file was made with."""

    name: str
    target: bytes
    predictions: dict[str, bytes]
    input: bytes | None
    halves: dict[tuple[str, str], Half] = field(default_factory=dict)
    maps: dict[tuple[str, str], bytes] = field(default_factory=dict)
    highs: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def cost(self) -> int:
        return cost(
            [self.target, *self.predictions.values(), *([self.input] if self.input else []), *self.maps.values()]
        )

    @property
    def held(self) -> int:
        return sum(half.nbytes for half in self.halves.values())

    def picture(self) -> Picture:
        maps: dict[str, dict[str, bytes]] = {}
        for (label, name), file in self.maps.items():
            maps.setdefault(label, {})[name] = file
        return Picture(self.target, self.predictions, self.input, maps)


def _shelf(
    album: Album,
    names: Sequence[str],
    errors: Errors,
    room: float,
    pool: Executor,
    once: Once,
    count: Count,
) -> list[_Entry]:
    """The first names as pictures with maps, until there is no room, for files or for maps that wait for a scale.

    The scales that the maps have meanwhile are those of the names so far, mostly the final ones.
    """
    shelf: list[_Entry] = []
    spread = Spread()
    for done, (sides, entry) in enumerate(ahead(pool, lambda name: _pictured(album, name), names, album.ahead)):
        count(done)
        once.each(sides.reasons)
        if entry is None:
            continue
        size = fitted(sides.size, (MAP_SIDE, MAP_SIDE))
        for label, name, error in all_errors(sides, errors, once):
            entry.halves[label, name] = half_of(shrunk(error, size))
        if sum(other.held for other in shelf) + entry.held > MAPS_BYTES:
            break
        for (_, name), half in entry.halves.items():
            spread.add(name, half)
        _encode([entry], spread.highs(), pool)
        shelf.append(entry)
        if sum(other.cost for other in shelf) > room:
            break
    return shelf


def _pictured(album: Album, name: str) -> tuple[SidesOf, _Entry | None]:
    sides = album.read(name)
    if not sides.predictions:
        return sides, None
    size = fitted(sides.size, (PICTURE_SIDE, PICTURE_SIDE))
    return sides, _Entry(
        name,
        picture_file(sides.target, size),
        {label: picture_file(prediction, size) for label, prediction in sides.predictions.items()},
        None if sides.input is None else picture_file(sides.input, size),
    )


def _fit(shelf: list[_Entry], room: float, pool: Executor) -> dict[str, float]:
    """Drops the last of the shelf until the rest fits with the scales that the rest has; returns these."""
    while True:
        spread = Spread()
        for entry in shelf:
            for (_, name), half in entry.halves.items():
                spread.add(name, half)
        highs = spread.highs()
        _encode(shelf, highs, pool)
        upto = np.cumsum([entry.cost for entry in shelf])
        fitting = int((upto <= room).sum())
        if fitting == len(shelf):
            return highs
        del shelf[fitting:]


def _encode(shelf: Sequence[_Entry], highs: Mapping[str, float], pool: Executor) -> None:
    """The files of the maps with these scales; those that have them already are kept."""
    todo = [(one, key) for one in shelf for key in one.halves if one.highs.get(key) != highs[key[1]]]
    files = pool.map(lambda job: map_file(job[0].halves[job[1]], highs[job[1][1]]), todo)
    for (one, key), file in zip(todo, files, strict=True):
        one.maps[key], one.highs[key] = file, highs[key[1]]


def _thumbnails(
    album: Album, names: Sequence[str], room: float, pool: Executor, once: Once, count: Count
) -> dict[str, Picture]:
    """Small pictures of the first names, as many as there is room for."""
    found: dict[str, Picture] = {}
    for sides, small in ahead(pool, lambda name: _thumbnail(album, name), names, album.ahead):
        once.each(sides.reasons)
        if small is None:
            continue
        room -= cost([small.target, *small.predictions.values()])
        if room < 0:
            break
        found[sides.name] = small
        count(len(found))
    return found


def _thumbnail(album: Album, name: str) -> tuple[SidesOf, Picture | None]:
    sides = album.read(name)
    if not sides.predictions:
        return sides, None
    size = fitted(sides.size, THUMBNAIL)
    small = {label: picture_file(pixels, size, quality=75) for label, pixels in sides.predictions.items()}
    return sides, Picture(picture_file(sides.target, size, quality=75), small)
