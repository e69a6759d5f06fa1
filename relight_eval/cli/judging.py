"""What `score`, `merge`, `gate` and `report` share: rules from words and files, and telling a run and its verdicts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relight_eval.cli import exit_codes
from relight_eval.cli.output import STDOUT, print_report, save_all, talk, warn
from relight_eval.errors import shown
from relight_eval.places import place

if TYPE_CHECKING:
    from relight_eval.groups import Grouping
    from relight_eval.results import Column, Results
    from relight_eval.rules import Rule

Show = Callable[..., None]  # of (results, console, every=...), as in `reports.console`


def read_rules(
    words: Sequence[str] | None, file: str | None, *, project: bool = False, quiet: bool = False
) -> list[Rule]:
    """The rules of a file and of the command line; where `project` and no file is named, of the nearest pyproject."""
    from relight_eval import rules

    source = None if file is None else place(file)
    if source is None and project and (source := rules.nearest_project(Path.cwd())) and not quiet:
        talk(f"rules of {shown(source)}")
    return [*(rules.read(source) if source else ()), *map(rules.parse, words or ())]


def metrics_of(rules: Sequence[Rule], columns: Iterable[Column]) -> frozenset[str]:
    """The metrics that the rules are about, of a run with these columns."""
    about = {rule.column for rule in rules}
    found = {column.metric for column in columns if column.name in about}
    # what an alignment fitted comes with any metric
    return frozenset(found - {"align"}) or frozenset({"psnr"} if found else ())


def judged(
    results: Results,
    rules: Sequence[Rule],
    *,
    grouping: Grouping | None,
    seed: int | None,
    thresholds: Mapping[str, float],
) -> Results:
    """Saved results as they are told: with these groups, this seed (None: their own), these thresholds over their own,
    and what the rules say.
    """
    from relight_eval import gates

    told = results.resampled(grouping, results.seed if seed is None else seed)
    told = replace(told, thresholds={**results.thresholds, **thresholds})
    return replace(told, verdicts=gates.judge(told, rules))


def tell_run(
    results: Results, files: Mapping[str, str], *, quiet: bool, verbose: bool, show: Show | None = None
) -> list[str]:
    """Save the reports, then print the run, as `show` does; what could not be written, as messages: the rest still
    comes.
    """
    from relight_eval.reports import REPORTS, console, pieces

    failed = save_all({path: pieces(report, results) for report, path in files.items() if report in REPORTS})
    if quiet:
        _tell_warnings(results)
    else:
        shown = show or console.show
        print_report(lambda out: shown(results, out, every=verbose), aside=STDOUT in files.values())
    return failed


def _tell_warnings(results: Results) -> None:
    """What --quiet leaves: warnings, and the rules that did not pass."""
    from relight_eval.reports.verdicts import lines

    for warning in results.warnings:
        warn(warning)
    for line in lines([verdict for verdict in results.verdicts if verdict.outcome != "pass"]):
        talk(line)


def tell_ci(results: Results) -> None:
    """Annotations and the summary of a GitHub Actions step, where there are verdicts and it runs in one."""
    from relight_eval.reports import REPORTS
    from relight_eval.reports.verdicts import github_annotations

    if not results.verdicts:
        return
    append_summary(lambda: REPORTS["markdown"](results))
    if os.environ.get("GITHUB_ACTIONS"):
        for line in github_annotations(results.verdicts):
            talk(line)


def append_summary(markdown: Callable[[], str]) -> None:
    """Appends Markdown to the summary of a GitHub Actions step, when this is one; that it could not is a warning."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{markdown()}\n")
    except OSError as error:
        warn(f"cannot write GITHUB_STEP_SUMMARY, {path}: {error.strerror}")


def closing(done: str, results: Results, files: Mapping[str, str], *, missing: str) -> str:
    """The last line: what was `done`, what failed, what was left undone, and where the scores are."""
    from relight_eval.text import counted

    said = [done]
    if failed := sum(verdict.outcome == "fail" for verdict in results.verdicts):
        said.append(f"{failed} of {counted(len(results.verdicts), 'rule')} failed")
    said += left_undone(results, missing=missing)
    if written := [path for path in files.values() if path != STDOUT]:
        said.append(f"wrote {' and '.join(written)}")
    return "; ".join(said)


def left_undone(results: Results, *, missing: str) -> list[str]:
    """What an exit code 3 means, in words."""
    from relight_eval.text import counted

    errors = len(results.errors) - results.unfinished
    said = [f"{errors} not scored in full"] if errors else []
    if results.unfinished:
        said.append(f"stopped with {results.unfinished} still to score")
    if results.unpaired:
        advice = " (--missing skip accepts that)" if missing == "error" else ""
        said.append(f"{counted(len(results.unpaired), 'file')} without partner{advice}")
    return said


def exit_code(results: Results, *, missing: str, report_only: bool = False, stopped: bool = False) -> int:
    """The exit code of the contract: that of a stopped run wins, then that of a failed rule."""
    if stopped:
        return exit_codes.INTERRUPTED
    if report_only:
        return exit_codes.OK
    if any(verdict.outcome == "fail" for verdict in results.verdicts):
        return exit_codes.RULE_FAILED
    incomplete = results.errors or (results.unpaired and missing == "error")
    return exit_codes.INCOMPLETE if incomplete else exit_codes.OK
