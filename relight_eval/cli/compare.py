"""`relight-eval compare RUN...`: is this checkpoint better than that one?"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.judging import append_summary
from relight_eval.cli.looking import Looks, SecondLook, logged, save_page
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk, warn
from relight_eval.cli.runs import holds_images
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.cli.tracking import Logs
from relight_eval.errors import ReportError, ResultsError, UsageError
from relight_eval.places import Address, Place, place

if TYPE_CHECKING:
    from relight_eval.comparison import Comparison
    from relight_eval.results import Results

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN...",
        help="Saved results (.json, .csv) or folders of predictions; NAME=PATH names a run. The first is the baseline, "
        "with --step the earliest.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="The folder of targets, when a RUN is a folder.",
        callback=options.images,
    ),
]
Csv = Annotated[
    str | None,
    typer.Option("--csv", metavar="PATH", help="Write the paired changes of every image.", callback=options.named),
]
Json = Annotated[
    str | None, typer.Option("--json", metavar="PATH", help="Write the comparison as JSON.", callback=options.named)
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="COLUMN", help="The score that images are sorted by.", show_default="the first"),
]
Step = Annotated[
    str | None,
    typer.Option(
        "--step",
        metavar="REGEX",
        help='The training step in the name of a run, such as "(\\d+)$": orders the runs and shows the trend.',
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Compare runs that were not scored alike.")]


@with_scoring
def compare(
    runs: Runs,
    target: Target = None,
    by: By = None,
    group: options.GroupBy = None,
    step: Step = None,
    seed: options.SavedSeed = None,
    noise: options.NoiseFile = None,
    force: Force = False,
    csv: Csv = None,
    json: Json = None,
    markdown: options.Markdown = None,
    html: options.Html = None,
    no_images: options.NoImages = False,
    log: options.Log = None,
    missing: options.Missing = "error",
    *,
    scoring: Scoring,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Compare runs over the images that all of them have: paired changes, how sure they are, wins and losses.

    Folders are scored together: every target is decoded once, and its features are computed once.
    """
    from relight_eval import comparison
    from relight_eval.common import steps
    from relight_eval.groups import Grouping
    from relight_eval.noise import of_file
    from relight_eval.reports import load_whole

    asked = _runs(runs)
    files = require_places(
        {"csv": csv, "json": json, "markdown": markdown, "html": html},
        read=[*(run.place for run in asked.values()), noise],
    )
    looks = Looks(files.get("html"), no_images, logs=Logs.of(log))
    looks.require()
    if step == "":
        raise UsageError('--step "" is no pattern; write one that finds the training step, such as "(\\d+)$"')
    if log and step is None:
        raise UsageError('compare logs runs by their training step; say where it is with --step, such as "(\\d+)$"')
    grouping = Grouping(group) if group is not None else None
    baseline = next(iter(asked.values()))
    margins, source = of_file(noise, None if baseline.images else baseline.place)
    saved = {label: load_whole(run.place) for label, run in asked.items() if not run.images}
    folders = {label: run.place for label, run in asked.items() if run.images}
    usable = ("metrics", *(SecondLook.OPTIONS if looks.second else ()))
    _require_target([*map(str, folders.values())], target, scoring, but=usable)
    how = _like(saved, scoring)
    if folders:
        comparison.sorted_by(how.columns(), by)  # before any image is read, as what follows
    if step is not None:
        steps({label: saved[label].prediction if label in saved else str(folders[label]) for label in asked}, step)
    looks.logs.require(saved)
    scored: dict[str, Results] = {}
    if target is not None:
        check = partial(_require_alike, saved, label=next(iter(folders)), force=force)
        scored = how.run(folders, target, grouping=grouping, seed=seed or 0, check=check, quiet=quiet)
        for label, run in scored.items():
            require_scored(run, label)
    results = {label: (saved | scored)[label] for label in asked}
    first = next(iter(results.values()))
    found = comparison.compare(
        results,
        metrics=_metrics(scoring, asked, results),
        grouping=grouping or first.grouping,
        seed=first.seed if seed is None else seed,
        noise=margins,
        noise_source=source,
        step=step,
        by=by,
        force=force,
    )
    failed = _tell(found, files, quiet=quiet, verbose=verbose)
    failed += _look(found, looks, scoring.second_look(quiet=quiet))
    if failed:
        raise ReportError("; ".join(failed))
    if (written := [path for path in files.values() if path != STDOUT]) and not quiet:
        talk(f"wrote {' and '.join(written)}")
    incomplete = any(run.errors or (run.unpaired and missing == "error") for run in results.values())
    raise typer.Exit(exit_codes.INCOMPLETE if incomplete else exit_codes.OK)


@dataclass(frozen=True)
class _Run:
    """Where a run is, and whether it is images that are still to be scored."""

    place: Place
    images: bool

    @property
    def name(self) -> str:
        """What it is called, unless it was given a name: after its folder, or its file or archive."""
        if isinstance(self.place, Path):
            return self.place.resolve().name if self.images else self.place.stem
        archive = self.place.archive is not None and not self.place.path.strip("/")
        return self.place.name if self.images and not archive else self.place.stem


def _metrics(scoring: Scoring, runs: dict[str, _Run], results: dict[str, Results]) -> list[str] | None:
    """The metrics to compare: those of -m, or where folders stand beside saved runs, what all have; None for all."""
    from relight_eval.common import scored_metrics

    if scoring.chosen is not None:
        return [name for name in scoring.chosen.replace(" ", "").split(",") if name] or [""]
    if len({run.images for run in runs.values()}) == 1:
        return None
    return sorted(set.intersection(*map(scored_metrics, results.values())))


def _runs(words: list[str]) -> dict[str, _Run]:
    """Label -> run. One without a name is called after its file or folder, or where that is not enough, its path."""
    named = list(map(_named, words))
    if len(named) < 2:
        raise UsageError("compare needs two runs or more: saved results, or folders of predictions with --target")
    short = [name or run.name for name, run in named]
    labels = [
        label if name or short.count(label) == 1 else str(run.place)
        for label, (name, run) in zip(short, named, strict=True)
    ]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"two runs are called {label}; name them, as in before={named[0][1].place}")
    return dict(zip(labels, (run for _, run in named), strict=True))


def _named(word: str) -> tuple[str, _Run]:
    """The name that a run is given, or "", and the run."""
    name, equals, rest = word.partition("=")
    if not (equals and name) or "://" in name or os.path.exists(word):  # a part of its own name
        name, rest = "", word
    where = place(rest)
    if not rest or not (isinstance(where, Address) or os.path.exists(where)):
        raise UsageError(f"{word!r}: no such file or folder; a run is saved results or a folder of predictions")
    return name, _Run(where, holds_images(where))


def _require_target(folders: Collection[str], target: str | None, scoring: Scoring, *, but: tuple[str, ...]) -> None:
    """Raises UsageError unless there is a target where there are folders, and no option for nothing where there are
    none: those that are good for saved runs are `but`.
    """
    if folders and target is None:
        raise UsageError(f"{next(iter(folders))} is a folder of predictions; name the targets with --target")
    if not folders:
        scoring.require_unused(but=but)
        if target is not None:
            raise UsageError(f"--target {target} is for folders of predictions; these runs were scored already")


def _like(saved: Mapping[str, Results], scoring: Scoring) -> Scoring:
    """How folders are scored beside saved runs: unless others are asked for, by the metrics that all of these have."""
    from relight_eval.common import scored_metrics

    if not saved or scoring.metrics is not None:
        return scoring
    shared = set.intersection(*map(scored_metrics, saved.values()))
    if not shared:
        have = (f"{label} has {', '.join(sorted(scored_metrics(run))) or 'none'}" for label, run in saved.items())
        raise ResultsError(f"no metric has scores in all saved runs: {'; '.join(have)}")
    return replace(scoring, metrics=sorted(shared))


def _require_alike(saved: Mapping[str, Results], empty: Results, label: str, *, force: bool) -> None:
    """Raises ResultsError where what is about to be scored, `empty`, could not be compared with a saved run."""
    from relight_eval.common import scored_metrics, unlike

    for name, run in saved.items():
        metrics = scored_metrics(run) & {column.metric for column in empty.columns}
        list(unlike((name, run), (label, empty), metrics, force=force))  # (may raise)


def _tell(comparison: Comparison, files: dict[str, str], *, quiet: bool, verbose: bool) -> list[str]:
    """Save the reports, then print; what could not be written, as messages: the rest still comes."""
    from relight_eval.reports.comparison import show
    from relight_eval.reports.comparison_files import COMPARISON_REPORTS

    texts = {path: COMPARISON_REPORTS[name](comparison) for name, path in files.items() if name in COMPARISON_REPORTS}
    failed = save_all(texts)
    append_summary(lambda: COMPARISON_REPORTS["markdown"](comparison))
    if quiet:
        for warning in comparison.warnings:
            warn(warning)
    else:
        print_report(lambda out: show(comparison, out, every=verbose), aside=STDOUT in files.values())
    return failed


def _look(comparison: Comparison, looks: Looks, second: SecondLook) -> list[str]:
    """Save the page, and log every run at its step, with pictures of those images first that changed most; what could
    not be written, as messages.
    """
    from relight_eval.comparison import by_change
    from relight_eval.reports.html import render_comparison

    look = cache(lambda: looks.gallery(second, comparison.runs, by_change(comparison)))
    failed = save_page(looks.html, lambda pictures, file: render_comparison(comparison, pictures, place=file), look)
    return failed + looks.log(
        lambda: [logged(comparison.runs[label], look(), label, step) for label, step in comparison.steps.items()],
        quiet=second.quiet,
    )
