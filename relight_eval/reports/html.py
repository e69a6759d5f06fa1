"""The run as a page: one HTML file that opens from disk, for 3 pairs or 10,000, and asks nothing of any network.

What is told once (verdicts, scores, groups) is written as HTML by the templates in `page/`; what there is of every
image goes in as data, from which the scripts beside the templates show what comes into view. Pictures are embedded as
far as the gallery has them; everything else is linked by a path relative to the page.

Nothing that comes from a file name can become markup: jinja2 escapes, the data holds no `<`, the scripts write text
only, and the policy of the page lets only the scripts run that were written here.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from relight_eval.comparison import SURE, Comparison, improvement, trends, words
from relight_eval.gallery import Gallery
from relight_eval.reports.comparison import change_cells, group_changes, legend, partly, signed
from relight_eval.reports.console import order, worst_first
from relight_eval.reports.page import data
from relight_eval.reports.page.data import plain
from relight_eval.reports.verdicts import LABELS, blamed, paired
from relight_eval.results import Column, Results, Verdict
from relight_eval.skill import Worth, worths
from relight_eval.statistics import Summary
from relight_eval.text import counted, number, some

PAGE = Path(__file__).parent / "page"
SCRIPTS = (
    *("dom.js", "data.js", "state.js", "filters.js", "plots.js", "colours.js", "zoom.js", "table.js"),
    *("sources.js", "maps.js", "panes.js", "panel.js", "viewer.js"),
)
COLOURS = {"pass": "#1a7f43", "warn": "#b57b00", "fail": "#c0322b", "": "#7a828e"}
NO_PICTURES = Gallery()


def render(results: Results, gallery: Gallery = NO_PICTURES, *, place: Path | None = None) -> str:
    """The page of a run. `place` is the file it will be, to which links are relative; None: they are absolute."""
    ordered = order(results)
    images = _images(results)
    return _page(
        "run.html",
        given=data.of_run(results, gallery, place, [images[name]["index"] for name in ordered]),
        pictures=data.embedded(results.rows, gallery, [""]),
        scripts=(*SCRIPTS, "page.js"),
        outcome=_outcome(results.verdicts),
        headline=_headline(results),
        verdicts=[_verdict(verdict, results) for verdict in results.verdicts],
        warnings=[plain(warning) for warning in results.warnings],
        paired=list(_paired(results)),
        scores=[_score(column, results, images) for column in results.columns],
        groups=list(_groups(results)),
        floors=_floors(results),
        signature=_signature(results),
    )


def render_comparison(comparison: Comparison, gallery: Gallery = NO_PICTURES, *, place: Path | None = None) -> str:
    """The page of a comparison, as `render`: each run against the baseline, image by image."""
    baseline = comparison.runs[comparison.baseline]
    return _page(
        "comparison.html",
        given=data.of_comparison(comparison, gallery, place),
        pictures=data.embedded(baseline.rows, gallery, data.labels_of(comparison)),
        scripts=("vendor/uPlot.iife.min.js", *SCRIPTS, "comparison.js", "page.js"),
        styles=("vendor/uPlot.min.css",),
        outcome="",
        headline=f"{some(list(map(plain, comparison.others)))} against {plain(comparison.baseline)}, "
        + counted(len(comparison.images), "image"),
        words=[plain(sentence) for sentence in words(comparison)],
        warnings=[plain(warning) for warning in comparison.warnings],
        runs=[
            (plain(label), plain(run.prediction), len(comparison.left_out[label]), label == comparison.baseline)
            for label, run in comparison.runs.items()
        ],
        left_out=plain(some(list(dict.fromkeys(name for names in comparison.left_out.values() for name in names)))),
        means=[_means(comparison, column) for column in comparison.columns],
        changes=list(_changes(comparison)),
        legend=[plain(line) for line in (legend(comparison), *partly(comparison))],
        trends=bool(trends(comparison)),
        groups=list(_group_changes(comparison)),
        signature=_signature(baseline),
    )


def _page(
    template: str,
    *,
    given: Mapping[str, Any],
    scripts: Sequence[str],
    styles: Sequence[str] = (),
    outcome: str,
    **context: Any,
) -> str:
    script = _script(tuple(scripts))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    page = _environment().get_template(template)
    return page.render(
        data=Markup(data.dumped(given)),
        script=Markup(script),
        style=Markup("\n".join(map(_file, (*styles, "page.css")))),
        policy=_policy(digest),
        icon=_icon(outcome),
        outcome=outcome,
        **context,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(PAGE, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    return environment


@cache
def _file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


@cache
def _script(names: tuple[str, ...]) -> str:
    """All scripts as one, so that they share names among themselves and with nothing else."""
    return "(() => {\n'use strict';\n" + "\n".join(map(_file, names)) + "\n})();\n"


def _policy(digest: str) -> str:
    """Only this script may run, only pictures may be loaded, and from nowhere but this disk or this server."""
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data: blob: file: 'self'; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


def _icon(outcome: str) -> str:
    colour = COLOURS[outcome]
    disc = f'<circle cx="8" cy="8" r="7" fill="{colour}"/>'
    return "data:image/svg+xml," + quote(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{disc}</svg>')


def _signature(results: Results) -> str:
    return plain("|".join(f"{key}:{value}" for key, value in results.signature.items()))


# What is told once


def _outcome(verdicts: Iterable[Verdict]) -> str:
    """The worst of them; empty without rules."""
    found = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in ("fail", "warn", "pass") if outcome in found), "")


def _headline(results: Results) -> str:
    """`2 of 5 rules failed, 8 pairs`: what the tab of the browser says."""
    outcomes = Counter(verdict.outcome for verdict in results.verdicts)
    pairs = paired(results)
    if outcomes["fail"]:
        return f"{outcomes['fail']} of {counted(len(results.verdicts), 'rule')} failed, {pairs}"
    if results.unfinished:
        return pairs
    if outcomes["warn"]:
        return f"passed with {counted(outcomes['warn'], 'warning')}, {pairs}"
    return f"passed {counted(outcomes['pass'], 'rule')}, {pairs}" if results.verdicts else pairs


def _verdict(verdict: Verdict, results: Results) -> dict[str, Any]:
    """What stands of a rule at the top; how many images it blames, where it did not pass."""
    there = blamed(verdict, results) & {row.name for row in results.rows}
    return {
        "outcome": verdict.outcome,
        "label": LABELS[verdict.outcome],
        "line": plain(verdict.line),
        "reason": plain(verdict.reason),
        "images": len(there) if verdict.outcome != "pass" else 0,
    }


def _paired(results: Results) -> Iterator[tuple[str, str, str]]:
    """What was paired: side, folder, count."""
    paired = len(results.rows) - len(results.unpaired)
    for side, folder in (("prediction", results.prediction), ("target", results.target)):
        alone = sum(row.status != f"missing_{side}" for row in results.unpaired)
        count = counted(paired + alone, "image") + (f", {alone} without partner" if alone else "")
        yield side, plain(folder), count
    sizes = Counter((row.width, row.height) for row in results.rows if row.width is not None)
    listed = ", ".join(f"{width}×{height}" for (width, height), _ in sizes.most_common(3))
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    yield "paired", listed + more, counted(paired, "pair")
    if results.ignored:
        yield "ignored", "hidden, or no images by their suffix", counted(results.ignored, "file")


def _score(column: Column, results: Results, images: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A line of the table of scores."""
    found, worst = results.summary(column.name), results.worst(column.name)
    return {
        "column": column,
        "main": column.main,
        "count": found.count,
        "interval": [] if math.isnan(found.ci95[0]) else [number(end) for end in found.ci95],
        "numbers": [number(value) for value in (found.median, found.p05, found.p95)],
        "mean": number(found.mean),
        "aside": _aside(found, len(results.rows) - len(results.unpaired)),
        "worst": images[worst] if worst else None,
    }


def _aside(found: Summary, pairs: int) -> str:
    """Which images a mean leaves out."""
    parts = [f"{found.count} of {counted(pairs, 'pair')}"] if 0 < found.count < pairs else []
    parts += [f"{found.infinite} infinite (identical images), not in the mean"] if found.infinite else []
    return "; ".join(parts)


def _images(results: Results) -> dict[str, dict[str, Any]]:
    """What a link to an image needs, by name."""
    addresses = data.addresses(results.rows)
    return {row.name: {"index": i, "name": plain(row.name), "href": addresses[i]} for i, row in enumerate(results.rows)}


def _groups(results: Results) -> Iterator[dict[str, Any]]:
    """A table for each name of a group, the worst group first: by its mean rank over the metrics."""
    if results.grouping is None or not results.scored:
        return
    main = results.main
    for name in results.grouping.names:
        means = results.group_means(name)
        values = {c: np.array([of.get(c.name, math.nan) for _, of in means.values()]) for c in main}
        lines = [
            (plain(label), means[label][0], [number(means[label][1].get(c.name, math.nan)) for c in main])
            for label in worst_first(list(means), values.items())
        ]
        yield {"name": plain(name), "columns": main, "lines": lines}


def _floors(results: Results) -> dict[str, Any]:
    """The means of trivial predictions beside those of the run, and how often the run is better; empty without."""
    found = list(worths(results))
    names = list(dict.fromkeys(floor for worth in found for floor in worth.floors))
    lines = [
        (
            worth.column,
            number(worth.mean),
            number(worth.skill),
            [_floor(worth, name) if name in worth.floors else ("–", "", False) for name in names],
        )
        for worth in found
    ]
    return {"names": [plain(name) for name in names], "lines": lines} if lines else {}


def _floor(worth: Worth, name: str) -> tuple[str, str, bool]:
    """The mean of a floor, on how many images the run is better, and whether it is the best of the floors."""
    return number(worth.floors[name]), f"better on {100 * worth.better[name]:.0f} %", name == worth.best


# What is told once of a comparison


def _means(comparison: Comparison, column: Column) -> dict[str, Any]:
    """The mean and interval of every run, the best marked where not all are."""
    best = comparison.best(column)
    cells = []
    for label in comparison.runs:
        found = comparison.summaries[label][column.name]
        interval = "" if math.isnan(found.ci95[0]) else f"{number(found.ci95[0])} to {number(found.ci95[1])}"
        cells.append((number(found.mean), interval, label in best and len(best) < len(comparison.runs)))
    return {"column": column, "main": column.main, "cells": cells}


def _changes(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The table of changes: of every column, every run but the baseline."""
    for column, k, label in data.changes_of(comparison):
        change = comparison.changes[label][column.name]
        mean, low, high, p, _ = change_cells(comparison, label, column)
        better = improvement(change.mean, column) > 0
        yield {
            "column": column,
            "main": column.main,
            "first": k == 1,
            "run": plain(label),
            "mean": mean,
            "tone": "" if not change.p < SURE else "pass" if better else "fail",
            "interval": [] if math.isnan(change.interval[0]) else [low, high],
            "p": p,
            "record": [(change.wins, "better"), (change.ties, "alike"), (change.losses, "worse")],
        }


def _group_changes(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """The mean changes of every group, the worst first by the column that the comparison is sorted by."""
    grouping, by = comparison.runs[comparison.baseline].grouping, comparison.by
    for name in grouping.names if grouping else ():
        rows = group_changes(comparison, name, comparison.others)
        rows.sort(key=lambda row: math.inf if math.isnan(row[3][by.name]) else improvement(row[3][by.name], by))
        lines = [
            (plain(value), plain(run), count, [signed(means[column.name]) for column in comparison.main])
            for run, value, count, means in rows
        ]
        yield {"name": plain(name), "by": by.name, "columns": comparison.main, "lines": lines}
