"""`relight-eval calibrate PREDICTION TARGET`: how much do scores move when nothing changed?"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.judging import left_undone
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk, warn
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.errors import ReportError, UsageError
from relight_eval.places import content, is_file, place, reason

if TYPE_CHECKING:
    from rich.console import Console

    from relight_eval.noise import Noise

Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="The baseline beside which to write: main.json, main.noise.json.",
        callback=options.named,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Where to write.", show_default="noise.json", callback=options.named
    ),
]


@partial(with_scoring, without=("batch_size", "workers", "cache"))
def calibrate(
    prediction: options.Prediction,
    target: options.Target,
    baseline: Baseline = None,
    output: Output = None,
    *,
    scoring: Scoring,
    quiet: options.Quiet = False,
) -> None:
    """Score the same pairs at several batch sizes, precisions and devices, and write the noise of each column.

    `gate` raises margins to it, `compare` takes it for ties. Takes as long as scoring several times: choose a few
    images with --glob.
    """
    from relight_eval.noise import measured, render

    if baseline is not None and output is not None:
        raise UsageError("--baseline and --output both say where to write; leave one out")
    path = _output(baseline, output)
    require_places({"noise": path}, read=[baseline])
    _require_replaceable(path)
    runs = {}
    for label, settings in _settings(scoring).items():
        if not quiet:
            talk(f"scoring with {label}")
        (runs[label],) = replace(scoring, **settings).run({"": prediction}, target, quiet=quiet).values()
        require_scored(runs[label])
    first = next(iter(runs.values()))
    for warning in first.warnings:
        warn(warning)
    found = measured(runs)
    failed = save_all({path: render(found)})
    if not quiet:
        print_report(lambda out: _show(found, out), aside=path == STDOUT)
    if failed:
        raise ReportError("; ".join(failed))
    if not quiet and path != STDOUT:
        talk(f"wrote {path}")
    if undone := left_undone(first, missing="skip"):
        talk("; ".join(undone))
        raise typer.Exit(exit_codes.INCOMPLETE)


def _output(baseline: str | None, output: str | None) -> str:
    """Where to write: as asked for, or beside the baseline."""
    from relight_eval.noise import file_beside

    if baseline is None:
        return "noise.json" if output is None else output
    if not place(baseline).name:
        raise UsageError(f"--baseline {baseline}: name the file of a baseline, such as main.json")
    return str(file_beside(place(baseline)))


def _require_replaceable(word: str) -> None:
    """Raises where something else stands than noise: what is empty may be replaced."""
    from relight_eval.noise import load

    path = place(word)
    try:
        stands = word != STDOUT and is_file(path) and content(path) != b""
    except OSError as error:
        raise ReportError(f"cannot tell whether {word} holds noise, and may be replaced: {reason(error)}") from error
    if stands:
        load(path)


def _settings(scoring: Scoring) -> dict[str, dict[str, Any]]:
    """What to score with, by what to call it: all the devices that there are, unless one was asked for; of a cluster
    its own."""
    from relight_eval.engines.local import usable_devices

    here = scoring.engine == "local" and scoring.device == "auto"
    devices = usable_devices() if here else [scoring.device]
    found: dict[str, dict[str, Any]] = {}
    for device in devices:
        precisions = ("exact", "fast") if device.startswith("cuda") else ("exact",)
        for precision in precisions if scoring.precision is None else (scoring.precision,):
            for batch_size, workers in ((0, 0), (1, 1), (3, 2)):
                batch = f"batches of {batch_size or 'auto'}, {workers or 'auto'} workers"
                found[f"{device}, {precision}, {batch}"] = {
                    "device": device, "precision": precision, "batch_size": batch_size, "workers": workers
                }  # fmt: skip
    return found


def _show(noise: Noise, console: Console) -> None:
    from rich.text import Text

    from relight_eval.reports.console import plain_table
    from relight_eval.text import visible

    table = plain_table(f"Noise over {noise.images} images and {len(noise.runs)} settings")
    table.add_column("score", no_wrap=True)
    table.add_column("noise", justify="right", no_wrap=True)
    table.add_column("largest at", overflow="fold")
    table.add_column("between", overflow="fold")
    for name, found in noise.columns.items():
        where = (visible(found.image), f"{found.lowest} and {found.highest}") if found.noise else ("", "")
        table.add_row(name, f"{found.noise:.2g}", *map(Text, where))
    console.print(table)
