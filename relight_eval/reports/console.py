"""The run on a terminal: what was paired, the scores, the worst images, the signature.

Plain text when it is not a terminal; made for 80 columns. Nothing that comes from a file name is taken for markup or
for control codes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relight_eval.findings import diagnosed, each, tally, told
from relight_eval.reports.verdicts import LABELS, blamed, lines
from relight_eval.results import Column, Results, Row
from relight_eval.skill import Worth, sentence, worths
from relight_eval.statistics import FEWEST, Summary
from relight_eval.text import counted, number, some, visible

DIRECTIONS = "↑ higher is better  ↓ lower is better"
NEAREST = "→ the nearer to the value of identical images, the better"
WORST = 5
TOLD_IN_WORDS = ("diagnosis",)  # metrics whose columns stand in the table of scores only when everything is listed
LISTED = 10


def show(results: Results, console: Console, *, every: bool = False) -> None:
    """Print the whole report. `every` lists all rows that have something to say, else the first ten."""
    for block in _blocks(results, None if every else LISTED, every=every):
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


def _blocks(results: Results, most: int | None, *, every: bool) -> Iterator[RenderableType]:
    for warning in results.warnings:
        yield Text(f"WARNING  {visible(warning)}", style="bold yellow")
    yield _paired(results)
    if results.errors:
        yield _listed_errors(results, most)
    if noted := {row.name: row.note for row in results.rows if row.note}:
        yield _listed("with a note on how it was read", "yellow", noted, most)
    if mistaken := {row.name: "; ".join(row.mistakes) for row in results.rows if row.mistakes}:
        yield _listed("with what looks like a mistake of set-up", "yellow", mistaken, most)
    if results.scored:
        yield _scores(results, every=every)
    if worth := list(worths(results)):
        yield _floors(worth, len(results.scored))
    if results.grouping and results.scored:
        for name in results.grouping.names:
            yield _groups(results, name, most)
    if len(results.scored) > 1 and results.main:
        yield _worst(results)
    if rows := diagnosed(results):
        yield _why(results, rows, most)


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
    """What is to be said of some images, by name; of several the same in one row, unless all are listed."""
    table = plain_table()
    table.add_column("image", overflow="fold", max_width=24)
    table.add_column("what", overflow="fold")
    alike: dict[str, list[str]] = {}
    for name, text in texts.items():
        alike.setdefault(text if most is not None else f"{name}\0{text}", []).append(name)
    shown = list(islice(alike.values(), most))
    for names in shown:
        table.add_row(Text(visible(some(names, 2))), Text(visible(texts[names[0]])))
    more = len(texts) - sum(map(len, shown))
    return titled(f"{len(texts)} {title}", table, more, style=style)


def _scores(results: Results, *, every: bool) -> Group:
    table = plain_table("Scores")
    table.padding = 0  # leaves more of 80 columns to the name of the image
    table.add_column("score", no_wrap=True)
    for name in ("mean", "from", "to", "median", "p05", "p95"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("worst image", overflow="fold")
    summaries: dict[str, Summary] = {}
    every = every or all(column.metric in TOLD_IN_WORDS for column in results.columns)
    for column in results.columns:
        if column.metric in TOLD_IN_WORDS and not every:
            continue
        summaries[column.name] = results.summary(column.name)
        table.add_row(*_score_row(column, summaries[column.name], results.worst(column.name)))
    return Group(table, *(Text(line, style="dim") for line in _legend(results, summaries)))


def _legend(results: Results, found: Mapping[str, Summary]) -> Iterator[str]:
    """What is to be known to read the scores: above all, which images a mean leaves out."""
    too_few = any(one.count and math.isnan(one.ci95[0]) for one in found.values())
    yield DIRECTIONS + "  from, to: 95 % interval of the mean"
    yield from nearest_said(map(results.column, found))
    if too_few:
        yield f"an interval needs {FEWEST} images, or groups of images"
    pairs = len(results.rows) - len(results.unpaired)
    partly = [c.name for c in results.columns if c.main and 0 < found[c.name].count < pairs]
    if partly:
        yield f"scored of {counted(pairs, 'pair')}: " + ", ".join(f"{name} {found[name].count}" for name in partly)
    if infinite := max((one.infinite for one in found.values()), default=0):
        yield f"infinite (identical images), left out of the mean: {infinite}"


def nearest_said(columns: Iterable[Column]) -> list[str]:
    """What the arrow of the columns means that are best at a value between others, where there are such columns."""
    return [NEAREST] if any(column.better == "nearest" for column in columns) else []


def _score_row(column: Column, found: Summary, worst: str) -> list[Text]:
    style = "bold" if column.main else "dim"
    name = Text(f"{column.name if len(column.name) < 18 else column.short} {column.arrow}", style=style)
    if not found.count:
        return [name, Text("none", style="yellow")]
    numbers = (found.mean, *found.ci95, found.median, found.p05, found.p95)
    return [name, *(Text(number(value)) for value in numbers), Text(visible(worst))]


def _floors(worth: Sequence[Worth], images: int) -> Group:
    """What trivial predictions score, and how far above the best of them the run is; `images` have scores."""
    table = plain_table("Floors")
    table.add_column("score", no_wrap=True)
    for name in ("run", *worth[0].floors, "skill"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in (one for one in worth if one.column.main):
        floors = [Text(number(mean), style="bold" if name == one.best else "") for name, mean in one.floors.items()]
        table.add_row(f"{one.column.name} {one.column.arrow}", number(one.mean), *floors, number(one.skill))
    said = ["skill: share of the way from the best floor to perfect (of psnr: of its squared error)"]
    if partly := [f"{one.column.name} {one.images}" for one in worth if one.column.main and one.images < images]:
        said.append(f"of {counted(images, 'image')}, where score and floors are finite: {', '.join(partly)}")
    for floor in worth[0].floors:
        said.append(f"{sentence(worth[0], floor)}, by {worth[0].column.name}")
    return Group(table, *(Text(line, style="dim") for line in said))


def _why(results: Results, rows: Sequence[Row], most: int | None) -> Group:
    """What is wrong with the images, in words, the worst first; and how often."""
    table = plain_table()
    table.add_column("image", overflow="fold", max_width=24)
    table.add_column("why", overflow="fold")
    shown = dict.fromkeys(worst_found(results, [row.name for row in rows])[:most])
    named = {row.name: row for row in rows if row.name in shown}
    for name, found in each(results, map(named.__getitem__, shown)):
        table.add_row(Text(visible(name)), Text(told(found)))
    kinds = ", ".join(f"{kind} {count}" for kind, count in tally(each(results, rows)).items())
    return titled(f"Why: {kinds}", table, 0 if most is None else max(0, len(rows) - most))


def worst_found(results: Results, found: Collection[str]) -> list[str]:
    """Of the images that have findings, the names, the worst first."""
    main = results.main
    if not found or not main:
        return list(found)
    worst, among = worst_images(results, main), set(found)
    return [name for name in worst if name in among]


def _narrow(results: Results) -> list[Column]:
    """The main columns for which a table of images has room: where there are raw ones, no aligned ones."""
    main = results.main
    return [column for column in main if column.name == column.metric] or main


def _worst(results: Results) -> Table:
    """The images with the worst mean rank over the first column of each metric."""
    main = _narrow(results)
    names = worst_images(results, results.main)[:WORST]
    scores_of = {row.name: row.scores for row in results.rows if row.name in names}
    table = plain_table("Worst images")
    table.add_column("image", overflow="fold")
    for column in main:
        table.add_column(column.short, justify="right", no_wrap=True)
    for name in names:
        scores = [scores_of[name].get(column.name) for column in main]
        table.add_row(Text(visible(name)), *("" if score is None else number(score) for score in scores))
    return table


def order(results: Results) -> list[str]:
    """The names of the images that have scores, those first that one should look at first.

    That is images that fail a rule, then those that a rule warns of, then the rest, each the worst first (by mean rank,
    as `worst_images` has it).
    """
    names = dict.fromkeys((*worst_images(results, results.main), *(row.name for row in results.scored)))
    beyond: dict[str, set[str]] = {"fail": set(), "warn": set(), "pass": set()}
    for verdict in results.verdicts:
        beyond[verdict.outcome] |= blamed(verdict, results)
    return sorted(names, key=lambda name: (name not in beyond["fail"], name not in beyond["warn"]))


def worst_images(results: Results, columns: Sequence[Column]) -> list[str]:
    """The names of the scored images, worst first: by their mean rank over these columns."""
    values = (of for some, scores in results.tables(columns) for of in zip(some, scores, strict=True))
    return worst_first([row.name for row in results.scored], values)


def worst_first(names: Sequence[str], values: Iterable[tuple[Column, NDArray[np.float64]]]) -> list[str]:
    """The names, but for those without any of these values (NaN), the worst first: by their mean rank."""
    ranks, counts = np.zeros(len(names)), np.zeros(len(names))  # (one column after the other: of a million names)
    for column, of_names in values:
        (at,) = np.nonzero(~np.isnan(of_names))
        goodness = column.goodness(of_names[at])
        ranks[at] += np.searchsorted(np.sort(goodness), goodness) / max(1, len(goodness))
        counts[at] += 1
    (ranked,) = counts.nonzero()
    order = np.argsort(ranks[ranked] / counts[ranked], kind="stable")
    return [names[place] for place in ranked[order]]


def _groups(results: Results, name: str, most: int | None) -> Group:
    """The means of the images of each group, the worst group first: by its mean rank over the metrics."""
    means = results.group_means(name)
    main = _narrow(results)
    values = {c: np.array([found.get(c.name, math.nan) for _, found in means.values()]) for c in main}
    ranked = worst_first(list(means), values.items())
    table = plain_table()
    table.add_column(name, overflow="fold")
    table.add_column("images", justify="right")
    for column in main:
        table.add_column(column.short, justify="right", no_wrap=True)
    for label in ranked[:most]:
        scores = [means[label][1].get(column.name) for column in main]
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
