"""`relight-eval gate RUN [TARGET]`: do these scores pass?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.judging import (
    append_summary,
    exit_code,
    left_undone,
    metrics_of,
    read_rules,
    tell_ci,
    tell_warnings,
)
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.errors import ReportError, ResultsError, UsageError

if TYPE_CHECKING:
    from relight_eval.groups import Grouping
    from relight_eval.results import Results
    from relight_eval.rules import Rule

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", help="Saved results (.json, .csv), or the folder of predictions.", show_default=False
    ),
]
Target = Annotated[Path | None, typer.Argument(metavar="TARGET", help="The folder of targets, when RUN is a folder.")]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="Saved results (.json) that rules with drop or rise compare with."),
]
UpdateBaseline = Annotated[
    bool,
    typer.Option("--update-baseline", help="Write this run to --baseline; rules with drop or rise are left out."),
]
Strict = Annotated[bool, typer.Option("--strict", help="A rule that cannot tell, for too few images, fails.")]
ReportOnly = Annotated[bool, typer.Option("--report-only", help="Exit code 0 whatever the rules say.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Go on where signatures differ; update a baseline in CI, or with a run that failed."),
]


@with_scoring
def gate(
    run: Run,
    target: Target = None,
    require: options.Require = None,
    rules: options.Rules = None,
    baseline: Baseline = None,
    update_baseline: UpdateBaseline = False,
    noise: options.NoiseFile = None,
    strict: Strict = False,
    report_only: ReportOnly = False,
    force: Force = False,
    group: options.GroupBy = None,
    seed: options.SavedSeed = None,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
    missing: options.Missing = "error",
    *,
    scoring: Scoring,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Hold a run against rules, and against a baseline: exit code 1 when a rule failed.

    RUN is saved results, which needs neither images nor torch, or a folder of predictions. The rules are those of
    --require, and those of --rules or else of [tool.relight-eval] in the nearest pyproject.toml.
    """
    from relight_eval import gates
    from relight_eval.groups import Grouping
    from relight_eval.reports import load
    from relight_eval.rules import require as require_fitting

    _require_usable(baseline, update_baseline, noise, force)
    files = require_places(
        {"json": json, "junit": junit, "markdown": markdown, "baseline": baseline if update_baseline else None},
        read=[run, target, rules, noise, None if update_baseline else baseline],
    )
    files.pop("baseline", None)
    judged_by = read_rules(require, rules, project=True)
    if update_baseline:
        judged_by = [rule for rule in judged_by if not rule.change]
    elif not judged_by:
        raise UsageError('no rule to judge by: give --require "wssim >= 0.9", or --rules FILE')
    before = _baseline(baseline, update_baseline)
    margins = {} if before is None else _noise(noise, baseline)
    grouping = Grouping(group) if group is not None else None
    if target is not None and run.suffix.lower() in (".json", ".csv"):
        raise UsageError(f"{run} is saved results, which have no TARGET; runs are compared with --baseline {target}")
    saved = None if os.path.isdir(run) or target else load(run)
    if saved is not None:
        scoring.require_unused()
        grouping = grouping or saved.grouping
        seed = saved.seed if seed is None else seed
        if update_baseline and not saved.signature and not force:
            raise ResultsError(
                f"{run} does not say how it was scored, and a baseline must: use the .json of that run, or --force"
            )
    seed = seed or 0
    columns = scoring.columns() if saved is None else saved.columns
    require_fitting(judged_by, columns, grouping=grouping, baseline=before is not None)
    if before is not None:
        _require_columns(judged_by, before)
    results = _scored(scoring, run, target, grouping, seed, judged_by, quiet) if saved is None else saved
    if grouping:
        grouping.require(row.name for row in results.scored)
    results = results.resampled(grouping, seed)
    if before is not None:
        results = _compared(results, before, judged_by, force)
    results = replace(results, verdicts=gates.judge(results, judged_by, baseline=before, noise=margins, strict=strict))
    _tell(results, files, quiet=quiet, verbose=verbose)
    require_scored(results)
    code = exit_code(results, missing=missing, report_only=report_only)
    if code == exit_codes.INCOMPLETE:
        talk("; ".join(left_undone(results, missing=missing)))
    if update_baseline and baseline is not None:
        _update(results, baseline, complete=not exit_code(results, missing=missing), force=force)
        if not quiet:
            talk(f"wrote the baseline {baseline}")
    raise typer.Exit(code)


def _require_usable(baseline: Path | None, update: bool, noise: Path | None, force: bool) -> None:
    """Raises UsageError for a baseline that is none, and an update that must not be: before any work is done."""
    if noise is not None and (baseline is None or update):
        raise UsageError(f"--noise {noise} raises the margins of rules against a --baseline; there are none here")
    if baseline is not None and baseline.suffix.lower() != ".json":
        raise UsageError(f"--baseline {baseline}: a baseline ends in .json, for a CSV does not say how it was scored")
    if not update:
        return
    if baseline is None:
        raise UsageError("--update-baseline needs --baseline FILE, the file to write")
    if os.environ.get("CI") and not force:
        raise UsageError(
            "--update-baseline is refused in CI (CI is set): a job that accepts its own output gates nothing. Update "
            "the baseline on your machine and commit it, or use --force"
        )


def _baseline(path: Path | None, update: bool) -> Results | None:
    """The results to compare with; None where there is no baseline, or it is about to be written."""
    from relight_eval.reports import load

    if path is None or update:
        return None
    if not os.path.exists(path):
        raise ResultsError(f"there is no baseline {path}; write it with --update-baseline, look at it, and commit it")
    return load(path)


def _noise(path: Path | None, baseline: Path | None) -> dict[str, float]:
    """The noise of the columns: of the file that was named, or of that beside the baseline."""
    from relight_eval.noise import file_beside, load

    if path is None and baseline is not None and os.path.exists(file_beside(baseline)):
        path = file_beside(baseline)
    return load(path).margins if path else {}


def _require_columns(rules: list[Rule], baseline: Results) -> None:
    """Raises UsageError when the baseline lacks a column that a rule compares."""
    for rule in rules:
        if rule.change and not baseline.values(rule.column):
            raise UsageError(f'rule "{rule.text}": the baseline has no {rule.column}; update it with --update-baseline')


def _scored(
    scoring: Scoring,
    prediction: Path,
    target: Path | None,
    grouping: Grouping | None,
    seed: int,
    rules: list[Rule],
    quiet: bool,
) -> Results:
    if target is None:
        raise UsageError(f"{prediction} is a folder; name the folder of targets, too: gate PREDICTION TARGET")
    (results,) = scoring.run(
        {"": prediction}, target, grouping=grouping, seed=seed, required=metrics_of(rules), quiet=quiet
    ).values()
    return results


def _compared(results: Results, baseline: Results, rules: list[Rule], force: bool) -> Results:
    """The results, with a warning where the baseline was scored in another way; ResultsError where that matters."""
    from relight_eval.comparison import signature_warnings

    metrics = sorted(metrics_of([rule for rule in rules if rule.change]))
    told = signature_warnings({"the baseline": baseline, "this run": results}, metrics, force)
    return replace(results, warnings=(*results.warnings, *told))


def _tell(results: Results, files: dict[str, str], *, quiet: bool, verbose: bool) -> None:
    """Save the reports, then print the verdicts: where one report fails, the others and the print still come."""
    from relight_eval.reports import REPORTS, console

    failed = save_all({path: REPORTS[report](results) for report, path in files.items()})
    failed += append_summary(lambda: REPORTS["markdown"](results))
    if quiet:
        tell_warnings(results)
    else:
        print_report(lambda out: console.show_verdicts(results, out, every=verbose), aside=STDOUT in files.values())
    tell_ci(results)
    if failed:
        raise ReportError("; ".join(failed))


def _update(results: Results, baseline: Path, *, complete: bool, force: bool) -> None:
    from relight_eval.reports import REPORTS, save

    if not complete and not force:
        raise ResultsError(
            f"the baseline {baseline} was not written: a rule failed, or not every pair was scored; mend that, or use "
            "--force"
        )
    save(baseline, REPORTS["json"](replace(results, verdicts=())))
