"""`relight-eval score PREDICTION TARGET`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import typer

from relight_eval.cli import options
from relight_eval.cli.progress import progress_bars
from relight_eval.errors import ImageError, ReportError, UsageError

if TYPE_CHECKING:
    from relight_eval.results import Results

EXIT_INCOMPLETE = 3
EXIT_INTERRUPTED = 130


def score(
    prediction: options.Prediction,
    target: options.Target,
    metrics: options.Metrics = None,
    csv: options.Csv = "scores.csv",
    no_csv: options.NoCsv = False,
    json: options.Json = None,
    glob: options.Glob = None,
    missing: options.Missing = "error",
    alpha: options.Alpha = "refuse",
    device: options.Device = "auto",
    batch_size: options.BatchSize = "auto",  # type: ignore[assignment]  # (parsed by the option)
    workers: options.Workers = "auto",  # type: ignore[assignment]
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
    from relight_eval.reports import require_writable

    files = _files(None if no_csv else csv, json)
    for path in files.values():
        require_writable(path)
    try:
        with progress_bars(quiet) as progress:
            results = evaluate(
                prediction,
                target,
                metrics=None if metrics is None else _names(metrics),
                settings=Settings(
                    charbonnier_eps=charbonnier_eps,
                    wavelet=wavelet,
                    wssim_levels=wssim_levels,
                    wssim_ratio=wssim_ratio,
                    vgg19_preset=vgg19_preset,
                ),
                glob=glob,
                alpha=alpha,
                device=device,
                batch_size=batch_size or None,
                workers=workers or None,
                vgg19_weights=vgg19_weights,
                offline=offline,
                progress=progress,
                announce=None if quiet else lambda line: typer.echo(line, err=True),
            )
    except KeyboardInterrupt:
        typer.echo("relight-eval: interrupted; nothing was written", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    _tell(results, files, quiet=quiet, verbose=verbose)
    incomplete = bool(results.errors) or (bool(results.unpaired) and missing == "error")
    if not results.scored:
        raise ImageError(
            f"no pair could be scored; the first of {len(results.errors)} errors: {results.errors[0].error}"
        )
    if incomplete or not quiet:
        typer.echo(_closing(results, files), err=True)
    if incomplete:
        raise typer.Exit(EXIT_INCOMPLETE)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _files(csv: str | None, json: str | None) -> dict[str, str]:
    """Report -> path of what is to be written; only one can go to standard output."""
    from relight_eval.reports import STDOUT

    files = {report: path for report, path in (("csv", csv), ("json", json)) if path is not None}
    if csv is not None and csv == json:
        both = "standard output" if csv == STDOUT else csv
        raise UsageError(f"--csv {csv} and --json {json} would both write to {both}; give them two places")
    return files


def _tell(results: Results, files: dict[str, str], *, quiet: bool, verbose: bool) -> None:
    """Save the reports, then print the run: where one report fails, the others and the print still come."""
    from relight_eval.reports import REPORTS, STDOUT, save

    failed = []
    for report, path in files.items():
        try:
            save(path, REPORTS[report](results))
        except ReportError as error:
            failed.append(str(error))
    if not quiet:
        # standard output is for data: when a report goes there, the tables step aside
        _print(results, to_stderr=STDOUT in files.values(), verbose=verbose)
    if failed:
        raise ReportError("; ".join(failed))


def _print(results: Results, *, to_stderr: bool, verbose: bool) -> None:
    """Print the tables. Standard output gets them at once: rich would end the run with 1 when `| head` has enough."""
    from rich.console import Console

    from relight_eval.reports import console, write_stdout

    if to_stderr:
        console.show(results, Console(stderr=True, highlight=False, markup=False), every=verbose)
        return
    screen = Console()
    text = io.TextIOWrapper(io.BytesIO(), encoding=screen.encoding, errors="replace")
    out = Console(file=text, width=screen.width, force_terminal=screen.is_terminal, highlight=False, markup=False)
    console.show(results, out, every=verbose)
    text.seek(0)
    write_stdout(text.buffer.read())


def _closing(results: Results, files: dict[str, str]) -> str:
    """The last line: how much was done, how fast, what was left undone, and where the scores are."""
    from relight_eval.reports import STDOUT

    paired = len(results.rows) - len(results.unpaired)
    said = [f"{paired} pairs in {results.seconds:.1f} s ({paired / results.seconds:.1f} pairs/s)"]
    if results.errors:
        said.append(f"{len(results.errors)} not scored in full")
    if results.unpaired:
        said.append(f"{len(results.unpaired)} files without partner")
    if written := [path for path in files.values() if path != STDOUT]:
        said.append(f"wrote {' and '.join(written)}")
    return "; ".join(said)
