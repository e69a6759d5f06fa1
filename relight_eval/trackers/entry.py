"""What is logged of a run, whatever the tracker: plain numbers, texts, a table and pictures under stable names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from relight_eval.errors import printable
from relight_eval.findings import counts, findings, told
from relight_eval.gallery import Gallery
from relight_eval.reports import REPORTS, markdown
from relight_eval.reports.console import order
from relight_eval.results import Column, Results
from relight_eval.text import visible
from relight_eval.trackers.shots import Shot, shot

MOST_GROUPS = 100  # values of a group that get a curve each; there may be one for every image
CELLS = ("image", "status", "finding", "error")  # of the table, beside the scores


@dataclass(frozen=True)
class Entry:
    """One run at one step of training (None: not in training), and the pictures that are logged of it."""

    results: Results
    step: int | None = None
    shots: tuple[Shot, ...] = ()

    @property
    def scalars(self) -> dict[str, float]:
        """Finite numbers by name: `psnr` is the mean of that column, `psnr/p05` a percentile; see the README."""
        return dict(_scalars(self.results))

    @property
    def left_out(self) -> list[str]:
        """What is not logged though it was asked for, in words."""
        groups = self.results.grouping.names if self.results.grouping else ()
        many = {name: len(self.results.group_means(name)) for name in groups}
        return [
            f"{plain(name)} has {count} values, and curves are logged of up to {MOST_GROUPS}: of these groups, none"
            for name, count in many.items()
            if count > MOST_GROUPS
        ]

    @property
    def protocol(self) -> dict[str, str]:
        """What was scored against what, and how."""
        folders = {"prediction": self.results.prediction, "target": self.results.target}
        return {plain(key): plain(value) for key, value in (folders | dict(self.results.signature)).items()}

    @property
    def report(self) -> str:
        """The run in Markdown: verdicts, scores, why the worst images are bad."""
        return printable(REPORTS["markdown"](self.results))

    @property
    def protocol_table(self) -> str:
        """The protocol in Markdown."""
        cells = [[markdown.text(key), markdown.text(value)] for key, value in self.protocol.items()]
        return "\n".join(markdown.table(["", "protocol"], cells))

    @property
    def outcome(self) -> str:
        """`pass`, `warn` or `fail`, of all rules; empty where there were none."""
        outcomes = {verdict.outcome for verdict in self.results.verdicts}
        return next((outcome for outcome in ("fail", "warn", "pass") if outcome in outcomes), "")

    def table(self) -> tuple[list[str], list[list[str | float | None]]]:
        """The head and the rows of the images, those first that one should look at first; None where no score is."""
        found = findings(self.results)
        first = {name: place for place, name in enumerate(order(self.results))}
        rows = sorted(self.results.rows, key=lambda row: first.get(row.name, len(first)))
        columns = [column.name for column in self.results.columns]
        return [*CELLS[:1], *columns, *CELLS[1:]], [
            [
                plain(row.name),
                *(row.scores.get(name) for name in columns),
                row.status,
                plain(told(found[row.name])) if row.name in found else "",
                plain(row.error),
            ]
            for row in rows
        ]


def entry(results: Results, gallery: Gallery, label: str = "", step: int | None = None, *, most: int) -> Entry:
    """The run of this label, with the first pictures that the gallery has of it, so many at `most`."""
    seen = {name: picture for name, picture in gallery.pictures.items() if label in picture.predictions}
    shots = [shot(plain(name), picture, label, gallery) for name, picture in list(seen.items())[:most]]
    return Entry(results, step, tuple(shots))


def plain(words: str) -> str:
    """Words that every tracker takes and no terminal obeys, whatever the name of a file."""
    return visible(printable(words))


def unique(names: Mapping[str, str]) -> dict[str, str]:
    """Name -> what a tracker takes for it, the same with numbers where that is one word for several names."""
    often: Counter[str] = Counter()
    found = {}
    for name, safe in names.items():
        often[safe] += 1
        found[name] = safe if often[safe] == 1 else f"{safe}_{often[safe]}"
    return found


def _scalars(results: Results) -> Iterator[tuple[str, float]]:
    scores = ((name, value) for column in results.columns for name, value in _of_column(results, column))
    for name, value in (*scores, *_of_groups(results)):
        if math.isfinite(value):
            yield plain(name), value
    yield "images/scored", len(results.scored)
    yield "images/errors", len(results.errors)
    yield "images/unpaired", len(results.unpaired)
    outcomes = Counter[str](verdict.outcome for verdict in results.verdicts)
    for outcome, name in (("pass", "passed"), ("warn", "warned"), ("fail", "failed")):
        if results.verdicts:
            yield f"rules/{name}", outcomes[outcome]
    for kind, count in counts(findings(results)).items():
        yield f"findings/{kind.replace(' ', '_')}", count


def _of_column(results: Results, column: Column) -> Iterator[tuple[str, float]]:
    """The mean; of what a metric comes to its spread, too, and how many scores are infinite, which no mean has."""
    found = results.summary(column.name)
    yield column.name, found.mean
    if not column.main or not found.count:
        return
    yield f"{column.name}/p05", found.p05
    yield f"{column.name}/median", found.median
    yield f"{column.name}/p95", found.p95
    yield f"{column.name}/ci95_low", found.ci95[0]
    yield f"{column.name}/ci95_high", found.ci95[1]
    yield f"{column.name}/count", found.count
    if math.isinf(column.identical):
        yield f"{column.name}/infinite", found.infinite


def _of_groups(results: Results) -> Iterator[tuple[str, float]]:
    """The means of every group that has few enough values: `psnr/scene/kitchen`."""
    for name in results.grouping.names if results.grouping else ():
        means = results.group_means(name)
        for column in results.main if len(means) <= MOST_GROUPS else ():
            for value, (_, found) in means.items():
                yield f"{column.name}/{name}/{value}", found.get(column.name, math.nan)
