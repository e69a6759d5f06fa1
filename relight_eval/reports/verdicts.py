"""What the rules said, as lines: for the terminal, and as annotations of GitHub Actions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from relight_eval.errors import printable
from relight_eval.results import Results, Verdict
from relight_eval.text import LISTED, agreeing, counted, some, visible

# What GitHub Actions, Azure Pipelines and TeamCity would take for a command in what a step prints.
COMMANDS = re.compile(r"^\s*(?=::)|##(?=\w*\[)", re.MULTILINE)

LABELS = {"pass": "PASS", "warn": "WARN", "fail": "FAIL"}


def paired(results: Results) -> str:
    """`40 pairs`; of a run that was stopped `unfinished, 20 of 40 pairs`."""
    pairs = len(results.rows) - len(results.unpaired)
    done = f"unfinished, {pairs - results.unfinished} of " if results.unfinished else ""
    return f"{done}{counted(pairs, 'pair')}"


def lines(verdicts: Sequence[Verdict], *, every: bool = False) -> Iterator[str]:
    """One line for each verdict; beneath those that did not pass, the images to blame, worst first."""
    for verdict in verdicts:
        yield f"{LABELS[verdict.outcome]}  {visible(verdict.line)}"
        if verdict.outcome == "pass":
            continue
        if verdict.reason:
            yield f"      {visible(verdict.reason)}"
        if not verdict.column:
            yield "      if that is meant, accept it with --update-baseline"
        if (verdict.column or every) and (names := blame(verdict, None if every else LISTED)):
            yield f"      {'worst' if verdict.column else 'gone'}: {visible(names)}"


def blame(verdict: Verdict, most: int | None) -> str:
    """`06_stairs 0.8756, 03_columns 0.8828 and 2 more`: who failed, worst first; empty for nobody."""
    return some([_valued(verdict, name) for name in verdict.failing], most)


def blamed(verdict: Verdict, results: Results) -> set[str]:
    """The names of the images beyond the threshold of a rule; of a rule about groups, all images of those groups."""
    failing, grouping = set(verdict.failing), results.grouping
    if verdict.unit == "image" or grouping is None or verdict.unit not in grouping.names:
        return failing
    labels = grouping.labels(verdict.unit, (row.name for row in results.rows))
    return {name for name, label in labels.items() if label in failing}


def _valued(verdict: Verdict, name: str) -> str:
    """The name with its value, where there is one, in as many digits as it takes to agree with the verdict."""
    if not verdict.column or name not in verdict.judged:
        return name
    return f"{name} {agreeing(verdict.judged[name], verdict.threshold)}"


def github_annotations(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The workflow commands that show what did not pass on the page of a GitHub Actions run."""
    for verdict in verdicts:
        if verdict.outcome != "pass":
            kind = "error" if verdict.outcome == "fail" else "warning"
            yield f"::{kind} title=relight-eval::{_escaped(told(verdict))}"


def told(verdict: Verdict) -> str:
    """A verdict that did not pass, in one sentence: the line, whom to blame, and the reason of the rule."""
    names = blame(verdict, LISTED) if verdict.column else ""
    return "; ".join(filter(None, (verdict.line, names and f"worst: {names}", verdict.reason)))


def inert(text: str) -> str:
    r"""Printed text in which a CI system finds no command, whatever the names of files: `\::error`, `##\[error]`."""
    return COMMANDS.sub(r"\g<0>\\", text)


def _escaped(text: str) -> str:
    """(Only what is visible: a line end could begin a command, and so could its code.)"""
    return visible(printable(text)).replace("%", "%25")
