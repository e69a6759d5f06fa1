"""`relight-eval merge PART...`: the parts of a run that was split by hand, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from relight_eval.cli import options
from relight_eval.cli.judging import closing, exit_code, judged, read_rules, tell_ci, tell_run
from relight_eval.cli.looking import Looks, SecondLook, folders_of
from relight_eval.cli.output import csv_place, require_places, talk
from relight_eval.cli.scoring import require_scored
from relight_eval.cli.tracking import Logs
from relight_eval.errors import ReportError

Parts = Annotated[
    list[str],
    typer.Argument(
        metavar="PART...",
        help="What `score --shard K/N --json` wrote (.json), all N of them in any order.",
        show_default=False,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Merge parts whose folders have other names, for they are the same.")
]


def merge(
    parts: Parts,
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
    seed: options.SavedSeed = None,
    threshold: options.Threshold = None,
    force: Force = False,
    device: options.Device = "auto",
    workers: options.Workers = "auto",  # type: ignore[assignment]
    vgg19_weights: options.Vgg19Weights = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Put the parts of a run together: tables, files, rules and exit code are those of one run.

    No image is scored again. Parts that are missing, are there twice, or were scored in another way are refused.
    """
    from relight_eval import findings, merging
    from relight_eval.groups import Grouping
    from relight_eval.places import place
    from relight_eval.reports import load
    from relight_eval.rules import require as require_fitting
    from relight_eval.text import counted

    files = require_places(
        {"csv": csv_place(csv, no_csv), "json": json, "junit": junit, "markdown": markdown, "html": html},
        read=[*parts, rules],
    )
    looks = Looks(files.get("html"), no_images, maps, maps_count, Logs.of(log, log_step))
    looks.require()
    second = SecondLook(device, workers, vgg19_weights, quiet)
    second.require_used(looks)
    thresholds = findings.parse(threshold or ())
    judged_by = read_rules(require, rules)
    whole = merging.merged(((part, load(place(part))) for part in parts), force=force)
    looks.require(read=folders_of(whole))
    grouping = Grouping(group) if group is not None else whole.grouping
    if grouping:
        grouping.require(row.name for row in whole.rows if not row.status.startswith("missing_"))
    findings.require_told(thresholds, whole.columns)
    require_fitting(judged_by, whole.columns, grouping=grouping, baseline=False)
    looks.logs.require()
    whole = judged(whole, judged_by, grouping=grouping, seed=seed, thresholds=thresholds)
    failed = tell_run(whole, files, quiet=quiet, verbose=verbose)
    tell_ci(whole)
    if whole.scored:
        failed += looks.save(whole, second)
    if failed:
        raise ReportError("; ".join(failed))
    require_scored(whole)
    code = exit_code(whole, missing=missing)
    if code or not quiet:
        done = f"{counted(len(whole.rows) - len(whole.unpaired), 'pair')} of {counted(len(parts), 'part')}"
        talk(closing(done, whole, files, missing=missing))
    raise typer.Exit(code)
