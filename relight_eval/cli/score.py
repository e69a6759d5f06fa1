"""`relight-eval score PREDICTION TARGET`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.output import print_tables, table_width, write_stdout
from relight_eval.cli.progress import progress_bars
from relight_eval.errors import RelightEvalError, ReportError, UsageError

if TYPE_CHECKING:
    from relight_eval.results import Results

STDOUT = "-"
DEFAULT_CSV = "scores.csv"


def score(
    prediction: options.Prediction,
    target: options.Target,
    metrics: options.Metrics = None,
    csv: options.Csv = None,
    no_csv: options.NoCsv = False,
    json: options.Json = None,
    glob: options.Glob = None,
    missing: options.Missing = "error",
    alpha: options.Alpha = "refuse",
    device: options.Device = "auto",
    batch_size: options.BatchSize = "auto",  # type: ignore[assignment]  # (parsed by the option)
    workers: options.Workers = "auto",  # type: ignore[assignment]
    precision: options.Precision = None,
    charbonnier_eps: options.CharbonnierEps = 1e-3,
    wavelet: options.Wavelet = "haar",
    wssim_levels: options.WssimLevels = 2,
    wssim_ratio: options.WssimRatio = 0.7,
    vgg19_preset: options.Vgg19Preset = "s3net",
    vgg19_weights: options.Vgg19Weights = None,
    offline: options.Offline = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score every image of PREDICTION against the image of TARGET with the same relative path without suffix."""
    from relight_eval.evaluate import evaluate
    from relight_eval.metrics import Settings

    files = _files(csv, no_csv, json)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on there is something to tidy up
    try:
        with progress_bars() as progress:
            results = evaluate(
                prediction,
                target,
                metrics=",".join(metrics) if metrics else None,
                settings=Settings(
                    charbonnier_eps=charbonnier_eps,
                    wavelet=wavelet,
                    wssim_levels=wssim_levels,
                    wssim_ratio=wssim_ratio,
                    vgg19_preset=vgg19_preset,
                    precision=precision,
                ),
                glob=glob,
                alpha=alpha,
                device=device,
                batch_size=batch_size or None,
                workers=workers or None,
                vgg19_weights=vgg19_weights,
                offline=offline,
                progress=None if quiet else progress,
                announce=(lambda line: None) if quiet else _talk,
            )
    except KeyboardInterrupt:
        _talk("relight-eval: interrupted; nothing was written")
        raise typer.Exit(exit_codes.INTERRUPTED) from None
    _tell(results, files, quiet=quiet, verbose=verbose)
    if not results.scored:
        reason = results.errors[0].error
        raise RelightEvalError(f"no pair could be scored; the first of {len(results.errors)} errors: {reason}")
    incomplete = bool(results.errors) or (bool(results.unpaired) and missing == "error")
    if incomplete or not quiet:
        _talk(_closing(results, files, advise_skip=missing == "error"))
    if incomplete:
        raise typer.Exit(exit_codes.INCOMPLETE)


def _talk(line: str) -> None:
    typer.echo(line, err=True)


def _files(csv: str | None, no_csv: bool, json: str | None) -> dict[str, str]:
    """Report -> path of what is to be written; raises for what could not be, before any work is done."""
    from relight_eval.pairs import IMAGE_SUFFIXES
    from relight_eval.reports import require_writable

    if no_csv and csv is not None:
        raise UsageError(f"--csv {csv} and --no-csv say the opposite; leave one out")
    wanted = {"csv": None if no_csv else DEFAULT_CSV if csv is None else csv, "json": json}
    files = {report: path for report, path in wanted.items() if path is not None}
    if len(files) > len({path if path == STDOUT else os.path.realpath(path) for path in files.values()}):
        raise UsageError(f"CSV and JSON would both be written to {json}; give them two places")
    for path in files.values():
        if Path(path).suffix.lower() in IMAGE_SUFFIXES:
            raise UsageError(f"{path} is the name of an image; a report would replace it")
        if path != STDOUT:
            require_writable(Path(path))
    return files


def _tell(results: Results, files: dict[str, str], *, quiet: bool, verbose: bool) -> None:
    """Save the reports, then print the run: where one report fails, the others and the print still come."""
    from rich.console import Console

    from relight_eval.reports import REPORTS, console, encoded, save

    failed = []
    for report, path in files.items():
        text = REPORTS[report](results)
        try:
            write_stdout(encoded(text)) if path == STDOUT else save(Path(path), text)
        except ReportError as error:
            failed.append(str(error))
    if quiet:
        for warning in results.warnings:
            _talk(f"WARNING  {warning}")
    elif STDOUT in files.values():  # standard output is for data: the tables step aside
        err = Console(stderr=True, width=table_width(Console(stderr=True)), highlight=False, markup=False)
        console.show(results, err, every=verbose)
    else:
        print_tables(lambda out: console.show(results, out, every=verbose))
    if failed:
        raise ReportError("; ".join(failed))


def _closing(results: Results, files: dict[str, str], *, advise_skip: bool) -> str:
    """The last line: how much was done, how fast, what was left undone, and where the scores are."""
    from relight_eval.reports.console import counted

    paired = len(results.rows) - len(results.unpaired)
    said = [f"{counted(paired, 'pair')} in {results.seconds:.1f} s ({paired / results.seconds:.1f} pairs/s)"]
    if results.errors:
        said.append(f"{len(results.errors)} not scored in full")
    if results.unpaired:
        advice = " (--missing skip accepts that)" if advise_skip else ""
        said.append(f"{counted(len(results.unpaired), 'file')} without partner{advice}")
    if written := [path for path in files.values() if path != STDOUT]:
        said.append(f"wrote {' and '.join(written)}")
    return "; ".join(said)
