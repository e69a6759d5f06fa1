"""`relight-eval score PREDICTION TARGET`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from relight_eval.cli import options
from relight_eval.cli.judging import closing, exit_code, metrics_of, read_rules, tell_ci, tell_run
from relight_eval.cli.keeping import kept
from relight_eval.cli.looking import Looks
from relight_eval.cli.output import csv_place, require_places, talk
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.cli.tracking import Logs
from relight_eval.errors import ReportError, UsageError

if TYPE_CHECKING:
    from relight_eval.results import Results


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
    log: options.Log = None,
    log_step: options.LogStep = None,
    require: options.Require = None,
    rules: options.Rules = None,
    missing: options.Missing = "error",
    group: options.GroupBy = None,
    seed: options.Seed = 0,
    floors: options.Floors = False,
    threshold: options.Threshold = None,
    resume: options.Resume = False,
    shard: options.Shard = None,
    *,
    scoring: Scoring,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Score every image of PREDICTION against the image of TARGET with the same relative path without suffix."""
    from relight_eval import findings, gates
    from relight_eval.groups import Grouping
    from relight_eval.rules import require as require_fitting

    if shard is None:
        csv = csv_place(csv, no_csv)
    else:
        of_whole = {"--csv": csv, "--require": require, "--rules": rules, "--junit": junit, "--log": log}
        _require_part(shard, json, of_whole)
    files = require_places({"csv": csv, "json": json, "junit": junit, "markdown": markdown, "html": html}, read=[rules])
    looks = Looks(files.get("html"), no_images, maps, maps_count, Logs.of(log, log_step))
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
    looks.logs.require()
    with kept(files, resume=resume, cache=scoring.cache) as records:
        (results,) = scoring.run(
            {"": prediction}, target, grouping=grouping, seed=seed, required=required, floors=floors, kept=records,
            quiet=quiet, shard=shard,
        ).values()  # fmt: skip
        results = replace(results, verdicts=gates.judge(results, judged_by), thresholds=thresholds)
        failed = tell_run(results, files, quiet=quiet, verbose=verbose)
        tell_ci(results)
        if results.scored or results.shard:  # after all else, so that nothing is lost
            failed += looks.save(results, scoring.second_look(quiet=quiet), stopped=records.stop.asked)
        kept_in = records.finish(results, written=not failed)
    if failed:
        raise ReportError("; ".join(filter(None, (*failed, kept_in))))
    if results.shard is None:  # the only pairs of a part may be the broken ones of a run
        require_scored(results)
    code = exit_code(results, missing=missing, stopped=records.stop.asked)
    if code or not quiet:
        talk("; ".join(filter(None, (closing(_pace(results), results, files, missing=missing), kept_in))))
    raise typer.Exit(code)


def _require_part(shard: str, json: str | None, of_whole: Mapping[str, object]) -> None:
    """Raises UsageError for a part that could not be merged, and for these options where they were given: what they
    write does not say that it is of a part.
    """
    for option, given in of_whole.items():
        if given not in (None, []):
            raise UsageError(f"{option} is for the whole run, and --shard {shard} for a part; give it to merge instead")
    if json is None:
        raise UsageError(f"--shard {shard} needs --json PATH: that is what `relight-eval merge` puts together")


def _pace(results: Results) -> str:
    """How much was done, and how fast."""
    from relight_eval.text import counted

    paired = len(results.rows) - len(results.unpaired) - results.unfinished
    return f"{counted(paired, 'pair')} in {results.seconds:.1f} s ({paired / results.seconds:.1f} pairs/s)"
