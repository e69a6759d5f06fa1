"""`relight-eval report RESULTS`: saved results told again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import options
from relight_eval.cli.judging import read_rules, tell_warnings
from relight_eval.cli.looking import Looks, SecondLook, folders_of
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk
from relight_eval.errors import ReportError

if TYPE_CHECKING:
    from relight_eval.results import Results

Saved = Annotated[Path, typer.Argument(metavar="RESULTS", help="Saved results (.json, .csv).", show_default=False)]


def report(
    results: Saved,
    html: options.Html = None,
    no_images: options.NoImages = False,
    maps: options.Maps = None,
    maps_count: options.MapsCount = "auto",  # type: ignore[assignment]  # (parsed by the option)
    csv: options.SavedCsv = None,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    require: options.Require = None,
    rules: options.Rules = None,
    group: options.GroupBy = None,
    seed: options.SavedSeed = None,
    threshold: options.Threshold = None,
    device: options.Device = "auto",
    workers: options.Workers = "auto",  # type: ignore[assignment]
    vgg19_weights: options.Vgg19Weights = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Tell saved results again: as tables, as files, and as a page with the images where they still are.

    Images are looked for where the results say that they were, seen from here. Rules are judged and shown, but do not
    count for the exit code: that is what `gate` is for.
    """
    from relight_eval import findings, gates
    from relight_eval.groups import Grouping
    from relight_eval.reports import load
    from relight_eval.rules import require as require_fitting

    files = require_places(
        {"html": html, "csv": csv, "json": json, "junit": junit, "markdown": markdown}, read=[results, rules]
    )
    looks = Looks(files.get("html"), no_images, maps, maps_count)
    looks.require()
    thresholds = findings.parse(threshold or ())
    saved = load(results)
    looks.require(read=folders_of(saved))
    grouping = Grouping(group) if group is not None else saved.grouping
    if grouping:
        grouping.require(row.name for row in saved.scored)
    findings.require_told(thresholds, saved.columns)
    judged_by = read_rules(require, rules)
    require_fitting(judged_by, saved.columns, grouping=grouping, baseline=False)
    told = saved.resampled(grouping, saved.seed if seed is None else seed)
    told = replace(told, thresholds={**saved.thresholds, **thresholds})
    told = replace(told, verdicts=gates.judge(told, judged_by))
    failed = _tell(told, files, quiet=quiet, verbose=verbose)
    failed += looks.save(told, SecondLook(device, workers, vgg19_weights, quiet))
    if failed:
        raise ReportError("; ".join(failed))
    if (written := [path for path in files.values() if path != STDOUT]) and not quiet:
        talk(f"wrote {' and '.join(written)}")


def _tell(results: Results, files: dict[str, str], *, quiet: bool, verbose: bool) -> list[str]:
    """Save all but the page, and print; what could not be written, as messages."""
    from relight_eval.reports import REPORTS, console

    failed = save_all({path: REPORTS[report](results) for report, path in files.items() if report in REPORTS})
    if quiet:
        tell_warnings(results)
    else:
        print_report(lambda out: console.show(results, out, every=verbose), aside=STDOUT in files.values())
    return failed
