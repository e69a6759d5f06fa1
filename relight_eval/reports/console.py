"""The run on a terminal: what was paired, the scores, the worst images, the signature.

Plain text when it is not a terminal; made for 80 columns. Nothing that comes from a file name is taken for markup or
for control codes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relight_eval.reports.verdicts import LABELS, lines
from relight_eval.results import Column, Results
from relight_eval.statistics import FEWEST, Summary
from relight_eval.text import counted, number, visible

DIRECTIONS = "↑ higher is better  ↓ lower is better"
WORST = 5
LISTED = 10


def show(results: Results, console: Console, *, every: bool = False) -> None:
    """Print the whole report. `every` lists all rows that have something to say, else the first ten."""
    for block in _blocks(results, None if every else LISTED):
        console.print(block)
        console.print()
    if results.verdicts:
        _print_verdicts(results, console, every=every)
        console.print()
    # one line, however long, so that it can be copied whole
    console.print(Text(signature_line(results), style="dim"), soft_wrap=True)


def show_verdicts(results: Results, console: Console, *, every: bool = False) -> None:
    """Print what was judged, and the verdicts. `every` lists all images that failed, else the first of each rule."""
    for warning in results.warnings:
        console.print(Text(f"WARNING  {visible(warning)}", style="bold yellow"))
    if results.errors:
        console.print(_listed_errors(results, None if every else LISTED))
    _print_verdicts(results, console, every=every)


def _print_verdicts(results: Results, console: Console, *, every: bool) -> None:
    """A line for each rule, however long, and whom to blame."""
    styles = {LABELS["pass"]: "green", LABELS["warn"]: "yellow", LABELS["fail"]: "red"}
    for line in lines(results.verdicts, every=every):
        console.print(Text(line, style=styles.get(line.split(" ")[0], "")), soft_wrap=True)


def _blocks(results: Results, most: int | None) -> Iterator[RenderableType]:
    for warning in results.warnings:
        yield Text(f"WARNING  {visible(warning)}", style="bold yellow")
    yield _paired(results)
    if results.errors:
        yield _listed_errors(results, most)
    if noted := {row.name: row.note for row in results.rows if row.note}:
        yield _listed("with a note on how it was read", "yellow", noted, most)
    if results.scored:
        yield _scores(results)
    if results.grouping and results.scored:
        for name in results.grouping.names:
            yield _groups(results, name, most)
    if len(results.scored) > 1:
        yield _worst(results)


def _paired(results: Results) -> Table:
    table = Table.grid(padding=(0, 2))
    paired = len(results.rows) - len(results.unpaired)
    for side, folder in (("prediction", results.prediction), ("target", results.target)):
        alone = sum(row.status != f"missing_{side}" for row in results.unpaired)
        count = counted(paired + alone, "image") + (f", {alone} without partner" if alone else "")
        table.add_row(Text(side, style="bold"), Text(visible(folder), overflow="fold"), count)
    table.add_row(Text("paired", style="bold"), _sizes(results), counted(paired, "pair"))
    if results.ignored:
        table.add_row(
            Text("ignored", style="bold"), "hidden, or no images by their suffix", counted(results.ignored, "file")
        )
    return table


def _sizes(results: Results) -> str:
    sizes = Counter((row.width, row.height) for row in results.rows if row.width is not None)
    common = [f"{width}x{height}" for (width, height), _ in sizes.most_common(3)]
    more = f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else ""
    return ", ".join(common) + more


def _listed_errors(results: Results, most: int | None) -> Group:
    return _listed("could not be scored in full", "red", {row.name: row.error for row in results.errors}, most)


def _listed(title: str, style: str, texts: Mapping[str, str], most: int | None) -> Group:
    """What is to be said of some images, by name."""
    table = plain_table()
    table.add_column("image", overflow="fold", max_width=24)
    table.add_column("what", overflow="fold")
    for name, text in islice(texts.items(), most):
        table.add_row(Text(visible(name)), Text(visible(text)))
    return titled(f"{len(texts)} {title}", table, 0 if most is None else max(0, len(texts) - most), style=style)


def _scores(results: Results) -> Group:
    table = plain_table("Scores")
    table.padding = 0  # leaves more of 80 columns to the name of the image
    table.add_column("score", no_wrap=True)
    for name in ("mean", "from", "to", "median", "p05", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst image", overflow="fold")
    counts: dict[str, Summary] = {}
    for column in results.columns:
        values = results.values(column.name)
        counts[column.name] = results.summary(column.name)
        table.add_row(*_score_row(column, counts[column.name], values))
    return Group(table, *(Text(line, style="dim") for line in _legend(results, counts)))


def _legend(results: Results, found: Mapping[str, Summary]) -> Iterator[str]:
    """What is to be known to read the scores: above all, which images a mean leaves out."""
    too_few = any(one.count and math.isnan(one.ci95[0]) for one in found.values())
    yield DIRECTIONS + "  from, to: 95 % interval of the mean"
    if too_few:
        yield f"an interval needs {FEWEST} images, or groups of images"
    pairs = len(results.rows) - len(results.unpaired)
    partly = [c.name for c in results.columns if c.name == c.metric and 0 < found[c.name].count < pairs]
    if partly:
        yield f"scored of {counted(pairs, 'pair')}: " + ", ".join(f"{name} {found[name].count}" for name in partly)
    if infinite := max((one.infinite for one in found.values()), default=0):
        yield f"infinite (identical images), left out of the mean: {infinite}"


def _score_row(column: Column, found: Summary, values: dict[str, float]) -> list[Text]:
    style = "bold" if column.name == column.metric else "dim"
    name = Text(f"{column.name} {column.arrow}", style=style)
    if not values:
        return [name, Text("none", style="yellow")]
    numbers = (found.mean, *found.ci95, found.median, found.p05, found.p95)
    worst = (min if column.better == "higher" else max)(values, key=lambda image: values[image])
    return [name, *(Text(number(value)) for value in numbers), Text(visible(worst))]


def _worst(results: Results) -> Table:
    """The images with the worst mean rank over the first column of each metric."""
    main = [c for c in results.columns if c.name == c.metric and results.values(c.name)]
    names = worst_images(results, main)[:WORST]
    table = plain_table("Worst images")
    table.add_column("image", overflow="fold")
    for column in main:
        table.add_column(column.short, justify="right", no_wrap=True)
    for name in names:
        scores = [results.values(column.name).get(name) for column in main]
        table.add_row(Text(visible(name)), *("" if score is None else number(score) for score in scores))
    return table


def worst_images(results: Results, columns: Sequence[Column]) -> list[str]:
    """The names of the scored images, worst first: by their mean rank over these columns."""
    return _worst_first([row.name for row in results.scored], {c: results.values(c.name) for c in columns})


def _worst_first(names: Sequence[str], values: Mapping[Column, Mapping[str, float]]) -> list[str]:
    ranks: dict[str, list[float]] = {name: [] for name in names}
    for column, of_names in values.items():
        goodness = np.array([value if column.better == "higher" else -value for value in of_names.values()])
        order = np.searchsorted(np.sort(goodness), goodness) / max(1, len(goodness))
        for name, rank in zip(of_names, order, strict=True):
            ranks[name].append(float(rank))
    ranked = [name for name, found in ranks.items() if found]
    return sorted(ranked, key=lambda name: sum(ranks[name]) / len(ranks[name]))


def _groups(results: Results, name: str, most: int | None) -> Group:
    """The means of the images of each group, the worst group first: by its mean rank over the metrics."""
    means = results.group_means(name)
    main = [c for c in results.columns if c.name == c.metric and results.values(c.name)]
    values = {c: {label: found[c.name] for label, (_, found) in means.items() if c.name in found} for c in main}
    ranked = _worst_first(list(means), values)
    table = plain_table()
    table.add_column(name, overflow="fold")
    table.add_column("images", justify="right")
    for column in main:
        table.add_column(column.short, justify="right", no_wrap=True)
    for label in ranked[:most]:
        scores = [values[column].get(label) for column in main]
        cells = ["" if score is None else number(score) for score in scores]
        table.add_row(Text(visible(label)), str(means[label][0]), *cells)
    return titled(f"Means by {name}, worst first (by mean rank)", table, len(ranked) - len(ranked[:most]))


def titled(title: str, table: Table, more: int, *, style: str = "bold") -> Group:
    """A table with a title as wide as the screen, and beneath it how many rows were left out."""
    rest = [Text(f"… and {more} more (--verbose lists all)", style="dim")] if more else []
    return Group(Text(title, style=style), table, *rest)


def signature_line(results: Results) -> str:
    """The protocol on one line, to stand beside a number: key:value parts joined by bars."""
    return visible("|".join(f"{key}:{value}" for key, value in results.signature.items()))


def plain_table(title: str | None = None, style: str = "bold") -> Table:
    """A table with a title, if any, a line under its head, and no frame: what all of the command line uses."""
    return Table(
        title=None if title is None else Text(title, style=style),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title_justify="left",
        caption_justify="left",
    )
