"""`relight-eval score PREDICTION TARGET`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from relight_eval.cli import options
from relight_eval.cli.judging import (
    append_summary,
    exit_code,
    left_undone,
    metrics_of,
    read_rules,
    tell_ci,
    tell_warnings,
)
from relight_eval.cli.keeping import kept
from relight_eval.cli.looking import Looks
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.errors import ReportError, UsageError

if TYPE_CHECKING:
    from relight_eval.results import Results

DEFAULT_CSV = "scores.csv"


@with_scoring
def score(
    prediction: options.Prediction,
    target: options.Target,
    csv: options.Csv = None,
    no_csv: options.NoCsv = False,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    no_images: options.NoImages = False,
    maps: options.Maps = None,
    maps_count: options.MapsCount = "auto",  # type: ignore[assignment]  # (parsed by the option)
    require: options.Require = None,
    rules: options.Rules = None,
    missing: options.Missing = "error",
    group: options.GroupBy = None,
    seed: options.Seed = 0,
    floors: options.Floors = False,
    threshold: options.Threshold = None,
    resume: options.Resume = False,
    *,
    scoring: Scoring,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score every image of PREDICTION against the image of TARGET with the same relative path without suffix."""
    from relight_eval import findings, gates
    from relight_eval.groups import Grouping
    from relight_eval.rules import require as require_fitting

    if no_csv and csv is not None:
        raise UsageError(f"--csv {csv} and --no-csv say the opposite; leave one out")
    csv = None if no_csv else DEFAULT_CSV if csv is None else csv
    files = require_places({"csv": csv, "json": json, "junit": junit, "markdown": markdown, "html": html}, read=[rules])
    looks = Looks(files.get("html"), no_images, maps, maps_count)
    looks.require(read=[prediction, target, scoring.input, scoring.mask], resume=resume)
    thresholds = findings.parse(threshold or ())
    judged_by = read_rules(require, rules)
    grouping = Grouping(group) if group is not None else None
    columns = scoring.columns()
    if floors and not any(column.main for column in columns):
        raise UsageError("--floors says what scores are worth, and there are none; choose a metric with -m")
    findings.require_told(thresholds, columns)
    require_fitting(judged_by, columns, grouping=grouping, baseline=False)
    required = metrics_of(judged_by, columns)
    with kept(files, resume=resume, cache=scoring.cache) as records:
        (results,) = scoring.run(
            {"": prediction}, target, grouping=grouping, seed=seed, required=required, floors=floors, kept=records,
            quiet=quiet,
        ).values()  # fmt: skip
        results = replace(results, verdicts=gates.judge(results, judged_by), thresholds=thresholds)
        failed = _tell(results, files, quiet=quiet, verbose=verbose)
        if results.scored:  # after all else, so that nothing is lost
            failed += looks.save(results, scoring.second_look(quiet=quiet), stopped=records.stop.asked)
        kept_in = records.finish(results, written=not failed)
    if failed:
        raise ReportError("; ".join(filter(None, (*failed, kept_in))))
    require_scored(results)
    code = exit_code(results, missing=missing, stopped=records.stop.asked)
    if code or not quiet:
        talk("; ".join(filter(None, (_closing(results, files, missing=missing), kept_in))))
    raise typer.Exit(code)


def _tell(results: Results, files: dict[str, str], *, quiet: bool, verbose: bool) -> list[str]:
    """Save the reports, then print the run; what could not be written, as messages: the rest still comes."""
    from relight_eval.reports import REPORTS, console

    failed = save_all({path: REPORTS[report](results) for report, path in files.items() if report in REPORTS})
    if results.verdicts:
        append_summary(lambda: REPORTS["markdown"](results))
    if quiet:
        tell_warnings(results)
    else:
        print_report(lambda out: console.show(results, out, every=verbose), aside=STDOUT in files.values())
    tell_ci(results)
    return failed


def _closing(results: Results, files: dict[str, str], *, missing: str) -> str:
    """The last line: how much was done, how fast, what was left undone, and where the scores are."""
    from relight_eval.text import counted

    paired = len(results.rows) - len(results.unpaired) - results.unfinished
    said = [f"{counted(paired, 'pair')} in {results.seconds:.1f} s ({paired / results.seconds:.1f} pairs/s)"]
    if failed := sum(verdict.outcome == "fail" for verdict in results.verdicts):
        said.append(f"{failed} of {counted(len(results.verdicts), 'rule')} failed")
    said += left_undone(results, missing=missing)
    if written := [path for path in files.values() if path != STDOUT]:
        said.append(f"wrote {' and '.join(written)}")
    return "; ".join(said)
