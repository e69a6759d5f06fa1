"""`relight-eval report RESULTS`: saved results told again."""

from __future__ import annotations

from typing import Annotated

import typer

from relight_eval.cli import options
from relight_eval.cli.judging import judged, read_rules, tell_run
from relight_eval.cli.looking import Looks, SecondLook, folders_of
from relight_eval.cli.output import STDOUT, require_places, talk
from relight_eval.cli.tracking import Logs
from relight_eval.errors import ReportError, UsageError
from relight_eval.places import place

Saved = Annotated[
    str,
    typer.Argument(metavar="RESULTS", help="Saved results (.json, .csv).", show_default=False, callback=options.named),
]


def report(
    results: Saved,
    html: options.Html = None,
    no_images: options.NoImages = False,
    maps: options.Maps = None,
    maps_count: options.MapsCount = "auto",  # type: ignore[assignment]  # (parsed by the option)
    log: options.Log = None,
    log_step: options.LogStep = None,
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
    from relight_eval import findings
    from relight_eval.groups import Grouping
    from relight_eval.reports import load
    from relight_eval.rules import require as require_fitting

    files = require_places(
        {"html": html, "csv": csv, "json": json, "junit": junit, "markdown": markdown}, read=[results, rules]
    )
    looks = Looks(files.get("html"), no_images, maps, maps_count, Logs.of(log, log_step))
    looks.require()
    second = SecondLook(device, workers, vgg19_weights, quiet)
    second.require_used(looks)
    thresholds = findings.parse(threshold or ())
    saved = load(place(results))
    looks.require(read=folders_of(saved))
    grouping = Grouping(group) if group is not None else saved.grouping
    if grouping:
        grouping.require(row.name for row in saved.scored)
    findings.require_told(thresholds, saved.columns)
    judged_by = read_rules(require, rules)
    if saved.shard and (judged_by or csv or junit or log):
        of_whole = "rules, --csv, --junit and --log are for the whole: give them to merge"
        raise UsageError(f"{results} is {saved.shard} of a run; {of_whole}")
    require_fitting(judged_by, saved.columns, grouping=grouping, baseline=False)
    looks.logs.require({results: saved})
    told = judged(saved, judged_by, grouping=grouping, seed=seed, thresholds=thresholds)
    failed = tell_run(told, files, quiet=quiet, verbose=verbose)
    failed += looks.save(told, second)
    if failed:
        raise ReportError("; ".join(failed))
    if (written := [path for path in files.values() if path != STDOUT]) and not quiet:
        talk(f"wrote {' and '.join(written)}")
