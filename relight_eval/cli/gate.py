"""`relight-eval gate RUN [TARGET]`: do these scores pass?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.judging import exit_code, left_undone, metrics_of, read_rules, tell_ci, tell_run
from relight_eval.cli.keeping import Kept, kept
from relight_eval.cli.looking import Looks, SecondLook, folders_of
from relight_eval.cli.output import require_places, talk
from relight_eval.cli.runs import holds_images, is_named_as_saved
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.errors import ReportError, ResultsError, UsageError
from relight_eval.places import place

if TYPE_CHECKING:
    from relight_eval.groups import Grouping
    from relight_eval.results import Column, Results
    from relight_eval.rules import Rule

Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Saved results (.json, .csv), or the folder of predictions.",
        show_default=False,
        callback=options.images,
    ),
]
Target = Annotated[
    str | None,
    typer.Argument(metavar="TARGET", help="The folder of targets, when RUN is a folder.", callback=options.images),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        help="Saved results (.json) that rules with drop or rise compare with.",
        callback=options.named,
    ),
]
UpdateBaseline = Annotated[
    bool,
    typer.Option("--update-baseline", help="Write this run to --baseline; rules with drop or rise are left out."),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="A rule that cannot tell, for too few images, fails; and of folders, files that would have to be "
        "converted, or read in part, are error rows.",
    ),
]
ReportOnly = Annotated[bool, typer.Option("--report-only", help="Exit code 0 whatever the rules say.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Go on where signatures differ; update a baseline in CI, or with a run that failed."),
]


@partial(with_scoring, without=("strict",))
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
    html: options.Html = None,
    no_images: options.NoImages = False,
    maps: options.Maps = None,
    maps_count: options.MapsCount = "auto",  # type: ignore[assignment]  # (parsed by the option)
    missing: options.Missing = "error",
    resume: options.Resume = False,
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
    from relight_eval.noise import of_file
    from relight_eval.reports.console import show_verdicts

    _require_usable(run, target, baseline, update_baseline, noise, force)
    files = _places(
        {"json": json, "junit": junit, "markdown": markdown, "html": html}, baseline, update_baseline,
        read=[run, target, rules, noise],
    )  # fmt: skip
    looks = Looks(files.get("html"), no_images, maps, maps_count)
    looks.require(read=[run, target, scoring.input, scoring.mask], resume=resume)
    asked = _Asked(
        rules=_rules(require, rules, update_baseline, quiet=quiet),
        baseline=None if update_baseline else _baseline(baseline),
        grouping=Grouping(group) if group is not None else None,
        seed=seed,
        force=force,
    )
    margins = of_file(noise, baseline)[0] if asked.baseline else {}
    with ExitStack() as stack:
        if target or holds_images(place(run)):
            records = stack.enter_context(kept(files, resume=resume, cache=scoring.cache))
            scoring = replace(scoring, strict=strict)
            results = _scored(asked, scoring, run, target, records, all_metrics=update_baseline, quiet=quiet)
        else:
            records = None
            usable = SecondLook.OPTIONS if looks.second else ()
            results = _saved(asked, scoring, run, resume=resume, update=update_baseline, usable=usable)
        looks.require(read=folders_of(results), resume=resume)
        verdicts = gates.judge(results, asked.rules, baseline=asked.baseline, noise=margins, strict=strict)
        results = replace(results, verdicts=verdicts)
        failed = tell_run(results, files, quiet=quiet, verbose=verbose, show=show_verdicts)
        tell_ci(results)
        stopped = records is not None and records.stop.asked
        if results.scored:
            failed += looks.save(results, scoring.second_look(quiet=quiet), stopped=stopped)
        kept_in = records.finish(results, written=not failed) if records else ""
    if failed:
        raise ReportError("; ".join(filter(None, (*failed, kept_in))))
    require_scored(results)
    code = exit_code(results, missing=missing, report_only=report_only, stopped=stopped)
    if kept_in or code in (exit_codes.INCOMPLETE, exit_codes.INTERRUPTED):
        talk("; ".join(filter(None, (*left_undone(results, missing=missing), kept_in))))
    if update_baseline and baseline is not None:
        because = exit_code(results, missing=missing, stopped=stopped)
        _update(results, baseline, because=because, force=force, quiet=quiet)
    raise typer.Exit(code)


@dataclass(frozen=True)
class _Asked:
    """What a run is held against, and how."""

    rules: list[Rule]
    baseline: Results | None
    grouping: Grouping | None
    seed: int | None
    force: bool

    @property
    def changing(self) -> list[Rule]:
        return [rule for rule in self.rules if rule.change]

    def groups(self, own: Grouping | None = None) -> Grouping | None:
        """Those of --group, or else those that the run was saved with, or else those of the baseline."""
        return self.grouping or own or (self.baseline.grouping if self.baseline else None)

    def require_fitting(self, columns: Sequence[Column], grouping: Grouping | None) -> None:
        """Raises UsageError when a rule could not be judged of a run with these columns and groups."""
        from relight_eval.rules import require

        require(self.rules, columns, grouping=grouping, baseline=self.baseline is not None)
        for rule in self.changing:
            if self.baseline and not self.baseline.values(rule.column):
                reason = f"the baseline has no {rule.column}; update it with --update-baseline"
                raise UsageError(f'rule "{rule.text}": {reason}')

    def unlike(self, results: Results) -> list[str]:
        """What must be said when the baseline was scored in another way; ResultsError where that matters."""
        from relight_eval.common import unlike

        if self.baseline is None:
            return []
        of_rules = set(metrics_of(self.changing, results.columns))
        return [*unlike(("this run", results), ("the baseline", self.baseline), of_rules, force=self.force)]


def _places(
    files: Mapping[str, str | None], baseline: str | None, update: bool, *, read: Iterable[str | None]
) -> dict[str, str]:
    """Report -> path. Raises for what could not be written, the baseline that is to be updated among it."""
    written, source = (baseline, None) if update else (None, baseline)
    places = require_places({**files, "baseline": written}, read=[*read, source])
    places.pop("baseline", None)
    return places


def _saved(
    asked: _Asked, scoring: Scoring, run: str, *, resume: bool, update: bool, usable: tuple[str, ...]
) -> Results:
    """Saved results, with the groups and the seed asked for, or else their own."""
    from relight_eval.reports import load_whole

    if resume:
        raise UsageError("--resume is for folders of images; saved results were scored already")
    saved = load_whole(place(run))
    scoring.require_unused(but=usable)
    if update and not saved.signature and not asked.force:
        raise ResultsError(f"{run} does not say how it was scored, and a baseline must: use the .json, or --force")
    grouping = asked.groups(saved.grouping)
    asked.require_fitting(saved.columns, grouping)
    if grouping:
        grouping.require(row.name for row in saved.scored)
    results = saved.resampled(grouping, saved.seed if asked.seed is None else asked.seed)
    return replace(results, warnings=(*results.warnings, *asked.unlike(results)))


def _scored(
    asked: _Asked,
    scoring: Scoring,
    prediction: str,
    target: str | None,
    records: Kept,
    *,
    all_metrics: bool,
    quiet: bool,
) -> Results:
    """The results of two folders: unless others are asked for, of the metrics that the rules are about."""
    if target is None:
        raise UsageError(f"{prediction} is a folder; name the folder of targets, too: gate PREDICTION TARGET")
    columns = scoring.columns()
    asked.require_fitting(columns, asked.groups())
    metrics = metrics_of(asked.rules, columns)
    if not all_metrics and scoring.metrics is None:
        scoring = replace(scoring, metrics=sorted(metrics))
    (results,) = scoring.run(
        {"": prediction},
        target,
        grouping=asked.groups(),
        seed=asked.seed or 0,
        required=metrics,
        check=asked.unlike,
        kept=records,
        quiet=quiet,
    ).values()
    return replace(results, warnings=(*results.warnings, *asked.unlike(results)))


def _rules(words: list[str] | None, file: str | None, update: bool, *, quiet: bool) -> list[Rule]:
    """The rules to judge by; those that compare are left out where the baseline is about to be written."""
    found = read_rules(words, file, project=True, quiet=quiet)
    if not found and not update:
        raise UsageError('no rule to judge by: give --require "wssim >= 0.9", or --rules FILE')
    return [rule for rule in found if not (update and rule.change)]


def _require_usable(
    run: str, target: str | None, baseline: str | None, update: bool, noise: str | None, force: bool
) -> None:
    """Raises UsageError for a baseline that is none, and an update that must not be: before any work is done."""
    if target is not None and is_named_as_saved(place(run)):
        raise UsageError(f"{run} is saved results, which have no TARGET; leave {target} out")
    if noise is not None and (baseline is None or update):
        raise UsageError(f"--noise {noise} raises the margins of rules against a --baseline; there are none here")
    if baseline is not None and place(baseline).suffix.lower() != ".json":
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


def _baseline(word: str | None) -> Results | None:
    """Raises ResultsError for one that there is not, or that is of a run that was stopped."""
    from relight_eval.reports import load_whole

    if word is None:
        return None
    path = place(word)
    if isinstance(path, Path) and not os.path.exists(path):
        raise ResultsError(f"there is no baseline {word}; write it with --update-baseline, look at it, and commit it")
    baseline = load_whole(path)
    if baseline.unfinished:
        raise ResultsError(f"the baseline {word} is of a run that was stopped; write it with --update-baseline")
    return baseline


def _update(results: Results, baseline: str, *, because: int, force: bool, quiet: bool) -> None:
    """Writes the baseline, unless the exit code says that there is something to mend, which then ends the process."""
    from relight_eval.reports import REPORTS, save

    if because == exit_codes.INTERRUPTED or results.unfinished:
        talk(f"relight-eval: the baseline {baseline} was not written, for the run was stopped")
        raise typer.Exit(because)
    if because and not force:
        why = "a rule failed" if because == exit_codes.RULE_FAILED else "not every image was scored"
        talk(f"relight-eval: the baseline {baseline} was not written, for {why}; mend that, or use --force")
        raise typer.Exit(because)
    save(place(baseline), REPORTS["json"](replace(results, verdicts=())))
    if not quiet:
        talk(f"wrote the baseline {baseline}")
