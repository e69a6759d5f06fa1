"""`relight-eval compare RUN...`: is this checkpoint better than that one?"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relight_eval.cli import exit_codes, options
from relight_eval.cli.judging import append_summary
from relight_eval.cli.looking import Looks, SecondLook, save_page
from relight_eval.cli.output import STDOUT, print_report, require_places, save_all, talk, warn
from relight_eval.cli.scoring import Scoring, require_scored, with_scoring
from relight_eval.errors import ReportError, ResultsError, UsageError

if TYPE_CHECKING:
    from relight_eval.comparison import Comparison
    from relight_eval.groups import Grouping
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
    Path | None, typer.Option("--target", metavar="TARGET", help="The folder of targets, when a RUN is a folder.")
]
Csv = Annotated[str | None, typer.Option("--csv", metavar="PATH", help="Write the paired changes of every image.")]
Json = Annotated[str | None, typer.Option("--json", metavar="PATH", help="Write the comparison as JSON.")]
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
    from relight_eval.groups import Grouping
    from relight_eval.noise import of_file

    places = _places(runs)
    files = require_places(
        {"csv": csv, "json": json, "markdown": markdown, "html": html}, read=[*places.values(), noise]
    )
    looks = Looks(files.get("html"), no_images)
    looks.require()
    if step == "":
        raise UsageError('--step "" is no pattern; write one that finds the training step, such as "(\\d+)$"')
    grouping = Grouping(group) if group is not None else None
    margins, source = of_file(noise, next(iter(places.values())))
    usable = ("metrics", *(SecondLook.OPTIONS if looks.second else ()))
    results = _results(places, target, scoring, grouping, seed, by, step, force, quiet, usable)
    first = next(iter(results.values()))
    found = comparison.compare(
        results,
        metrics=_metrics(scoring, places, results),
        grouping=grouping or first.grouping,
        seed=first.seed if seed is None else seed,
        noise=margins,
        noise_source=source,
        step=step,
        by=by,
        force=force,
    )
    _tell(found, files, quiet=quiet, verbose=verbose)
    _look(found, looks, scoring.second_look(quiet=quiet))
    if (written := [path for path in files.values() if path != STDOUT]) and not quiet:
        talk(f"wrote {' and '.join(written)}")
    incomplete = any(run.errors or (run.unpaired and missing == "error") for run in results.values())
    raise typer.Exit(exit_codes.INCOMPLETE if incomplete else exit_codes.OK)


def _metrics(scoring: Scoring, places: dict[str, Path], results: dict[str, Results]) -> list[str] | None:
    """The metrics to compare: those of -m, or where folders stand beside saved runs, what all have; None for all."""
    from relight_eval.common import scored_metrics

    if scoring.chosen is not None:
        return [name for name in scoring.chosen.replace(" ", "").split(",") if name] or [""]
    if len({path.is_dir() for path in places.values()}) == 1:
        return None
    return sorted(set.intersection(*map(scored_metrics, results.values())))


def _places(runs: list[str]) -> dict[str, Path]:
    """Label -> path. A run without a name is called after its file or folder, or where that is not enough, its path."""
    named: list[tuple[str, Path]] = []
    for word in runs:
        name, equals, rest = word.partition("=")
        named.append((name, Path(rest)) if equals and name and not os.path.exists(word) else ("", Path(word)))
        path = named[-1][1]
        if not os.path.exists(path) or word in ("", f"{name}="):
            raise UsageError(f"{word!r}: no such file or folder; a run is saved results or a folder of predictions")
    if len(named) < 2:
        raise UsageError("compare needs two runs or more: saved results, or folders of predictions with --target")
    short = [name or (path.resolve().name if path.is_dir() else path.stem) for name, path in named]
    labels = [
        label if name or short.count(label) == 1 else str(path)
        for label, (name, path) in zip(short, named, strict=True)
    ]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"two runs are called {label}; name them, as in before={named[0][1]}")
    return dict(zip(labels, (path for _, path in named), strict=True))


def _results(
    places: dict[str, Path],
    target: Path | None,
    scoring: Scoring,
    grouping: Grouping | None,
    seed: int | None,
    by: str | None,
    step: str | None,
    force: bool,
    quiet: bool,
    usable: tuple[str, ...],
) -> dict[str, Results]:
    """The results of every run, in order: read, or scored together. `usable` are the options that saved runs take."""
    from relight_eval.common import scored_metrics, steps, unlike
    from relight_eval.comparison import sorted_by
    from relight_eval.reports import load

    folders = {label: path for label, path in places.items() if path.is_dir()}
    saved = {label: load(path) for label, path in places.items() if label not in folders}
    scored: dict[str, Results] = {}
    if not folders:
        scoring.require_unused(but=usable)
        if target is not None:
            raise UsageError(f"--target {target} is for folders of predictions; these runs were scored already")
    elif target is None:
        raise UsageError(f"{next(iter(folders.values()))} is a folder of predictions; name the targets with --target")
    else:
        if saved and scoring.metrics is None:  # those that all of the saved runs have
            shared = set.intersection(*map(scored_metrics, saved.values()))
            if not shared:
                have = (
                    f"{label} has {', '.join(sorted(scored_metrics(run))) or 'none'}" for label, run in saved.items()
                )
                raise ResultsError(f"no metric has scores in all saved runs: {'; '.join(have)}")
            scoring = replace(scoring, metrics=sorted(shared))
        sorted_by(scoring.columns(), by)  # before any image is read, as what follows
        if step is not None:
            steps({label: saved[label].prediction if label in saved else str(places[label]) for label in places}, step)

        def check(empty: Results) -> None:
            for label, run in saved.items():
                metrics = scored_metrics(run) & {column.metric for column in empty.columns}
                list(unlike((label, run), (next(iter(folders)), empty), metrics, force=force))  # (may raise)

        scored = scoring.run(folders, target, grouping=grouping, seed=seed or 0, check=check, quiet=quiet)
        for label, run in scored.items():
            require_scored(run, label)
    return {label: (saved | scored)[label] for label in places}


def _tell(comparison: Comparison, files: dict[str, str], *, quiet: bool, verbose: bool) -> None:
    """Save the reports, then print: where one report fails, the others and the print still come."""
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
    if failed:
        raise ReportError("; ".join(failed))


def _look(comparison: Comparison, looks: Looks, second: SecondLook) -> None:
    """Save the page, if one was asked for, with pictures of those images first that changed most."""
    from relight_eval.comparison import by_change
    from relight_eval.gallery import Gallery
    from relight_eval.reports.html import render_comparison

    failed = save_page(
        looks.html,
        lambda pictures, place: render_comparison(comparison, pictures, place=place),
        lambda: second.gallery(comparison.runs, by_change(comparison)) if looks.second else Gallery(),
    )
    if failed:
        raise ReportError("; ".join(failed))
