"""A comparison of runs in files: CSV of the paired changes, JSON, Markdown."""

from __future__ import annotations

import csv as csv_files
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from relight_eval.comparison import Comparison, improvement, trends, words
from relight_eval.findings import counts
from relight_eval.reports import markdown as marked
from relight_eval.reports.comparison import change_cells, legend, moved, partly, signed
from relight_eval.reports.csv import Lines, inert
from relight_eval.reports.json import dumped, finite
from relight_eval.results import FORMAT, Column
from relight_eval.text import counted, number, some

KIND = "comparison"  # tells its JSON from that of a run
LISTED = 10


def csv(comparison: Comparison) -> str:
    """One line for each image, run and column: both scores, the change, and whether it was a win, a tie or a loss."""
    file = Lines()
    table = csv_files.writer(file, lineterminator="\r\n")
    table.writerow(("image", "run", "column", "baseline", "score", "change", "outcome"))
    before = {column.name: comparison.runs[comparison.baseline].values(column.name) for column in comparison.columns}
    for label in comparison.others:
        for column in comparison.columns:
            after = comparison.runs[label].values(column.name)
            for image, change in comparison.per_image(label, column).items():
                scores = (before[column.name][image], after[image], change)
                table.writerow((inert(image), inert(label), column.name, *scores, _outcome(comparison, column, change)))
    return file.getvalue()


def _outcome(comparison: Comparison, column: Column, change: float) -> str:
    better, tie = improvement(change, column), comparison.ties[column.name]
    return "win" if better > tie else "loss" if better < -tie else "tie"


def json(comparison: Comparison) -> str:
    """Everything but the scores and changes of single images in every column: those are in the CSV."""
    baseline = comparison.runs[comparison.baseline]
    document = {
        "format": FORMAT,
        "kind": KIND,
        "baseline": comparison.baseline,
        "seed": baseline.seed,
        "group": baseline.grouping.pattern if baseline.grouping else None,
        "tie": {"source": comparison.tie_source, "margins": dict(comparison.ties)},
        "warnings": list(comparison.warnings),
        "columns": [{key: getattr(c, key) for key in ("name", "metric", "better", "unit")} for c in comparison.columns],
        "by": comparison.by.name,
        "images": list(comparison.images),
        "runs": [_run_in_json(comparison, label) for label in comparison.runs],
        "changes": [
            {"run": label, "column": name, **_numbers(asdict(change))}
            for label, of_run in comparison.changes.items()
            for name, change in of_run.items()
        ],
        "moved": [_moved_in_json(comparison, label) for label in comparison.others],
        "words": words(comparison),
        "trends": [
            {"column": trend.column.name, "best": comparison.steps[trend.best], "said": trend.said}
            for trend in trends(comparison)
        ],
    }
    return dumped(document)


def _run_in_json(comparison: Comparison, label: str) -> dict[str, Any]:
    run = comparison.runs[label]
    return {
        "label": label,
        "prediction": run.prediction,
        "step": comparison.steps.get(label),
        "signature": dict(run.signature),
        "left_out": list(comparison.left_out[label]),
        "findings": dict(counts(comparison.findings[label])),
        "aggregate": {name: _numbers(asdict(found)) for name, found in comparison.summaries[label].items()},
    }


def _moved_in_json(comparison: Comparison, label: str) -> dict[str, Any]:
    """The images that got better and worse by the column `by`, most first; an infinite change is null."""
    better, worse = (
        [{"image": image, "change": finite(change)} for image, change in images.items()]
        for images in comparison.moved(label)
    )
    return {"run": label, "improvements": better, "regressions": worse}


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """NaN and infinite numbers as null, an interval as a list or null."""
    return {
        name: (None if math.isnan(value[0]) else list(value)) if isinstance(value, tuple) else finite(value)
        for name, value in values.items()
    }


def markdown(comparison: Comparison) -> str:
    """The tables of the main columns, and the sentences."""
    text = marked.text
    lines = ["## relight-eval: " + " vs. ".join(map(text, comparison.runs)), ""]
    lines += [f"> ⚠️ {text(warning)}\n" for warning in comparison.warnings]
    if left_out := {name for names in comparison.left_out.values() for name in names}:
        lines.append(f"> ⚠️ {counted(len(left_out), 'image')} not in all runs: {text(some(sorted(left_out)))}\n")
    lines += [f"- {text(line)}" for line in words(comparison)]
    lines.append("")
    runs = list(comparison.runs)
    rows = [[f"{c.name} {c.arrow}", *(_mean_cell(comparison, label, c) for label in runs)] for c in comparison.main]
    lines += marked.table(["mean", *map(text, runs)], rows)
    lines += [f"{text(line)}\n" for line in partly(comparison)]
    for label in comparison.others:
        rows = [
            [f"{column.name} {column.arrow}", *change_cells(comparison, label, column)] for column in comparison.main
        ]
        head = [f"{text(label)} against {text(comparison.baseline)}", "change", "from", "to", "p", "win/tie/loss"]
        lines += marked.table(head, rows)
    lines += [text(legend(comparison)), ""]
    if found := trends(comparison):
        rows = [[t.column.name, str(comparison.steps[t.best]), t.said] for t in found]
        lines += marked.table(["trend", "best at", "now"], rows)
    for label in comparison.others:
        lines += _moved_in_markdown(comparison, label)
    lines += [marked.signature(comparison.runs[comparison.baseline])]
    return "\n".join(lines)


def _moved_in_markdown(comparison: Comparison, label: str) -> Iterator[str]:
    changes = {column.name: comparison.per_image(label, column) for column in comparison.main}
    for title, images in moved(comparison, label):
        yield f"{marked.text(title)}\n"
        rows = [
            [marked.text(image), *(signed(of.get(image, math.nan)) for of in changes.values())]
            for image in images[:LISTED]
        ]
        yield from marked.table(["image", *changes], rows)


def _mean_cell(comparison: Comparison, label: str, column: Column) -> str:
    best = comparison.best(column)
    mean = number(comparison.summaries[label][column.name].mean)
    return f"**{mean}**" if label in best and len(best) < len(comparison.runs) else mean


COMPARISON_REPORTS: dict[str, Callable[[Comparison], str]] = {"csv": csv, "json": json, "markdown": markdown}
