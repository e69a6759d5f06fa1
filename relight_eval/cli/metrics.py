"""`relight-eval metrics`: the table of metrics, or the paper of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console, Group

    from relight_eval.results import Column


def metrics(
    name: Annotated[str | None, typer.Argument(help="A metric, for its definition, source and traps.")] = None,
) -> None:
    """List the metrics, or define one: formula, source, how to read a value, traps."""
    from relight_eval.cli.output import print_tables

    print_tables(_all if name is None else partial(_one, name))


def _all(console: Console) -> None:
    from relight_eval.metrics import METRICS, Settings, columns

    console.print(_table("Scores (with the default settings)", columns(METRICS, Settings())))
    console.print("`relight-eval metrics NAME` gives the definition, the source and the traps of a metric.")


def _one(name: str, console: Console) -> None:
    from relight_eval.metrics import METRICS, Settings, chosen

    (name,) = chosen([name])
    console.print((METRICS[name].paper.__doc__ or "").strip(), soft_wrap=True)
    console.print()
    console.print(_table("Columns", METRICS[name].columns(Settings(input=True))))
    console.print(f"Protocol: {METRICS[name].protocol(Settings())}")
    if name == "diagnosis":
        from relight_eval.findings import THRESHOLDS

        console.print("Thresholds of findings: " + ", ".join(f"{name}={least:g}" for name, least in THRESHOLDS.items()))


def _table(title: str, columns: tuple[Column, ...]) -> Group:
    from rich.console import Group

    from relight_eval.reports.console import DIRECTIONS, nearest_said, plain_table

    table = plain_table(title)
    table.add_column("score", no_wrap=True)
    table.add_column("range", no_wrap=True)
    table.add_column("identical", no_wrap=True)
    table.add_column("meaning")
    for column in columns:
        table.add_row(
            f"{column.name} {column.arrow}",
            f"{column.low:g} to {column.high:.4g} {column.unit}".rstrip(),
            f"{column.identical:g}",
            column.meaning,
        )
    return Group(table, DIRECTIONS, *nearest_said(columns))
