"""A comparison of runs on a terminal: means, changes, what they mean, the trend, groups, and single images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relight_eval.comparison import SURE, Comparison, Trend, improvement, trends, words
from relight_eval.findings import counts
from relight_eval.reports.console import DIRECTIONS, nearest_said, plain_table, signature_line, titled
from relight_eval.results import Column
from relight_eval.text import LISTED, agreeing, counted, number, some, visible

DETAILED = 2  # runs whose images are shown without being asked
BARS = "▁▂▃▄▅▆▇█"


def show(comparison: Comparison, console: Console, *, every: bool = False) -> None:
    """Print the whole comparison. `every` shows all columns and rows."""
    for block in _blocks(comparison, every):
        console.print(block)
        console.print()
    console.print(Text(signature_line(comparison.runs[comparison.baseline]), style="dim"), soft_wrap=True)


def _blocks(comparison: Comparison, every: bool) -> Iterator[RenderableType]:
    for warning in comparison.warnings:
        yield Text(f"WARNING  {visible(warning)}", style="bold yellow")
    yield _runs(comparison, every)
    columns = comparison.columns if every else comparison.main or comparison.columns
    notes = (f"{DIRECTIONS}  * best mean  from, to: 95 % interval", *nearest_said(columns), *partly(comparison))
    yield Group(_means(comparison, columns), *(Text(visible(line), style="dim") for line in notes))
    yield Group(_changes(comparison, columns), Text(visible(legend(comparison)), style="dim"))
    yield Group(*(Text(visible(line)) for line in words(comparison)))
    if any(comparison.findings.values()):
        yield _why(comparison)
    if found := trends(comparison):
        yield _trends(comparison, found)
    elif 0 < len(comparison.steps) < 3:
        yield Text("A trend needs three steps.", style="dim")
    detailed = comparison.others if every or len(comparison.others) <= DETAILED else (comparison.leading(),)
    most = None if every else LISTED
    for name in _group_names(comparison):
        yield _groups(comparison, name, detailed, most)
    for label in detailed:
        yield from _moved(comparison, label, most)
    if len(detailed) < len(comparison.others):
        what = "groups and images" if _group_names(comparison) else "images"
        yield Text(f"({what} of {visible(detailed[0])} only; --verbose shows those of all runs)", style="dim")


def _why(comparison: Comparison) -> Table:
    """How many images of each run are mostly wrong in each way."""
    of_runs = {label: counts(found) for label, found in comparison.findings.items()}
    table = plain_table("Why: images by their main finding")
    table.add_column("finding", overflow="fold")
    for label in of_runs:
        table.add_column(Text(visible(label)), justify="right", overflow="fold", max_width=16)
    for kind in dict.fromkeys(kind for found in of_runs.values() for kind in found):
        table.add_row(kind, *(str(found[kind]) for found in of_runs.values()))
    return table


def _runs(comparison: Comparison, every: bool) -> Group:
    table = Table.grid(padding=(0, 2))
    for label, run in comparison.runs.items():
        left_out = len(comparison.left_out[label])
        count = counted(len(comparison.images) + left_out, "image") + (f", {left_out} not in all" if left_out else "")
        mark = " (baseline)" if label == comparison.baseline else ""
        name, path = Text(visible(label), style="bold", overflow="fold"), Text(visible(run.prediction), overflow="fold")
        table.add_row(name, path, Text(count + mark))
    table.add_row(Text("compared", style="bold"), "", Text(_compared(comparison)))
    names = list(dict.fromkeys(name for names in comparison.left_out.values() for name in names))
    listed = Text(f"not in all runs: {visible(some(names, None if every else LISTED))}", style="yellow")
    return Group(table, *([listed] if names else []))


def _compared(comparison: Comparison) -> str:
    count = counted(len(comparison.images), "image")
    return f"{count} in {comparison.units}" if _group_names(comparison) else count


def partly(comparison: Comparison) -> Iterator[str]:
    """Which means are not of all images that are compared."""
    images = len(comparison.images)
    counts = {column: comparison.summaries[comparison.baseline][column.name].count for column in comparison.main}
    if partly := [f"{column.name} {count}" for column, count in counts.items() if count < images]:
        yield f"scored by all runs, of {counted(images, 'image')}: {', '.join(partly)}"
    if infinite := max(map(comparison.infinite, comparison.main), default=0):
        yield f"infinite in some run (identical images), left out of all means: {infinite}"


def _means(comparison: Comparison, columns: Sequence[Column]) -> Table:
    table = plain_table("Means")
    table.add_column("score", no_wrap=True)
    table.add_column("run", overflow="fold", max_width=24)
    for name in ("mean", "", "from", "to"):
        table.add_column(name, justify="right", no_wrap=True)
    for column in columns:
        best = comparison.best(column)
        for i, label in enumerate(comparison.runs):
            found = comparison.summaries[label][column.name]
            mark = "*" if label in best and len(best) < len(comparison.runs) else ""
            name = f"{column.name} {column.arrow}" if i == 0 else ""
            numbers = [number(found.mean), mark, *map(number, found.ci95)]
            table.add_row(Text(name), Text(visible(label)), *numbers, style="bold" if mark else "")
    return table


def _changes(comparison: Comparison, columns: Sequence[Column]) -> Table:
    table = plain_table(f"Changes against {visible(comparison.baseline)}")
    table.add_column("score", no_wrap=True)
    if len(comparison.others) > 1:
        table.add_column("run", overflow="fold", max_width=16)
    for name in ("change", "from", "to", "p", "win/tie/loss"):
        table.add_column(name, justify="right", no_wrap=True)
    for column in columns:
        for i, label in enumerate(comparison.others):
            row = [f"{column.name} {column.arrow}" if i == 0 else ""]
            row += [visible(label)] if len(comparison.others) > 1 else []
            table.add_row(*map(Text, row + change_cells(comparison, label, column)))
    return table


def change_cells(comparison: Comparison, label: str, column: Column) -> list[str]:
    change = comparison.changes[label][column.name]
    record = f"{change.wins}/{change.ties}/{change.losses}"
    return [signed(change.mean), *map(signed, change.interval), p_value(change.p), record]


def legend(comparison: Comparison) -> str:
    tests = comparison.tests
    infinite = max((c.infinite for of_run in comparison.changes.values() for c in of_run.values()), default=0)
    identical = f"; infinite changes of PSNR (identical images), left out of the mean: {infinite}" if infinite else ""
    tested = f"two-sided, Holm-corrected over {counted(tests, 'test')}" if tests else "not to be had of so few"
    return f"change: paired, over {comparison.units}; p: {tested}{identical}; tie: a change {comparison.tie_source}"


def _trends(comparison: Comparison, found: Sequence[Trend]) -> Table:
    steps = list(comparison.steps.values())
    table = plain_table(f"Trend over {len(steps)} steps, {steps[0]} to {steps[-1]}")
    for name in ("score", "trend"):
        table.add_column(name, no_wrap=True)
    table.add_column("best at", justify="right")
    table.add_column("now")
    for trend in found:
        means = [comparison.summaries[label][trend.column.name].mean for label in comparison.steps]
        name = f"{trend.column.name} {trend.column.arrow}"
        table.add_row(name, sparkline(means), str(comparison.steps[trend.best]), trend.said)
    return table


def sparkline(values: Sequence[float]) -> str:
    """A bar for each value, from the lowest to the highest of them."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    if not high > low:
        return BARS[len(BARS) // 2] * len(values)
    return "".join(BARS[round((value - low) / (high - low) * (len(BARS) - 1))] for value in values)


def _group_names(comparison: Comparison) -> tuple[str, ...]:
    grouping = comparison.runs[comparison.baseline].grouping
    return grouping.names if grouping else ()


def _groups(comparison: Comparison, name: str, runs: Sequence[str], most: int | None) -> Group:
    """The mean change of each group in these runs, the worst first."""
    by = comparison.by
    rows = sorted(group_changes(comparison, name, runs), key=lambda row: _worst_first(row[3][by.name], by))
    of_run = f" of {visible(runs[0])}" if len(runs) == 1 else ""
    table = plain_table()
    table.add_column(name, overflow="fold")
    if len(runs) > 1:
        table.add_column("run", overflow="fold", max_width=16)
    table.add_column("images", justify="right")
    for column in comparison.main:
        table.add_column(column.short, justify="right", no_wrap=True)
    for label, value, count, means in rows[:most]:
        head = [visible(value), *([visible(label)] if len(runs) > 1 else []), str(count)]
        table.add_row(*map(Text, head), *(signed(means[column.name]) for column in comparison.main))
    return titled(f"Changes{of_run} by {name}, worst {by.name} first", table, len(rows) - len(rows[:most]))


def group_changes(
    comparison: Comparison, name: str, runs: Sequence[str]
) -> list[tuple[str, str, int, dict[str, float]]]:
    """Of each of these runs, and every value of this group: run, value, images, mean change of the columns shown."""
    grouping = comparison.runs[comparison.baseline].grouping
    assert grouping is not None
    labels = grouping.labels(name, comparison.images)
    found = []
    for label in runs:
        changes = {column.name: comparison.per_image(label, column) for column in (*comparison.main, comparison.by)}
        for value in dict.fromkeys(labels.values()):
            images = [image for image in comparison.images if labels[image] == value]
            means = {column: _finite_mean([of[i] for i in images if i in of]) for column, of in changes.items()}
            found.append((label, value, len(images), means))
    return found


def _finite_mean(values: Sequence[float]) -> float:
    kept = [value for value in values if math.isfinite(value)]
    return sum(kept) / len(kept) if kept else math.nan


def _moved(comparison: Comparison, label: str, most: int | None) -> Iterator[Group]:
    """The images that got better, most first, and those that got worse, beyond the tie margin."""
    for title, images in moved(comparison, label):
        yield Group(Text(visible(title), style="bold"), _image_table(comparison, label, images[:most]))


def moved(comparison: Comparison, label: str) -> Iterator[tuple[str, list[str]]]:
    """The lists of improvements and regressions that are not empty: title and images."""
    against = f"of {label} against {comparison.baseline}, by {comparison.by.name}"
    for what, images in zip(("Improvements", "Regressions"), comparison.moved(label), strict=True):
        if images:
            yield f"{what} {against}: {counted(len(images), 'image')}", list(images)


def _image_table(comparison: Comparison, label: str, images: Sequence[str]) -> Table:
    changes = {column.short: comparison.per_image(label, column) for column in comparison.main}
    table = plain_table()
    table.add_column("image", overflow="fold")
    for name in changes:
        table.add_column(name, justify="right", no_wrap=True)
    for image in images:
        table.add_row(Text(visible(image)), *(signed(of.get(image, math.nan)) for of in changes.values()))
    return table


def _worst_first(change: float, column: Column) -> float:
    """The key that sorts the worst change first, and nothing at all last."""
    return math.inf if math.isnan(change) else improvement(change, column)


def signed(value: float) -> str:
    """A change for a table, with its sign."""
    if not value or math.isnan(value):
        return number(value or 0.0)  # not -0
    return f"{value:+.4f}" if 5e-5 <= abs(value) < 1000 or math.isinf(value) else f"{value:+.1e}"


def p_value(p: float) -> str:
    if math.isnan(p):
        return "–"
    text = "<0.001" if p < 0.001 else f"{p:.3f}"
    return text if p < 0.001 or (float(text) < SURE) == (p < SURE) else agreeing(p, SURE)
