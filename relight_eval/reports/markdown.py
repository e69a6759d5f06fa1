"""The run as Markdown, for the page of a CI run or a comment: verdicts with their margin, scores, worst images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from relight_eval.findings import findings, told
from relight_eval.reports.console import TOLD_IN_WORDS, worst_found
from relight_eval.reports.verdicts import LABELS, blame, paired
from relight_eval.results import Results, Verdict
from relight_eval.skill import worths
from relight_eval.text import counted, number, some, visible

MARKS = {"pass": "✅", "warn": "⚠️", "fail": "❌"}
BLAMED = 10
WORST = 10

MARKUP = re.compile(r"([\\`*_{}\[\]<|~])")
LINKED = re.compile(r"@|#(?=\d)|\bwww\.|:(?=//|[\w+-]+:)")  # mentions, issues, addresses, emoji: a gap breaks them
GAP = "\N{ZERO WIDTH SPACE}"


def render(results: Results) -> str:
    return "\n".join([f"## relight-eval: {_headline(results)}", "", *_blocks(results)])


def _headline(results: Results) -> str:
    pairs = paired(results)
    failed, warned = (sum(verdict.outcome == outcome for verdict in results.verdicts) for outcome in ("fail", "warn"))
    if not results.verdicts:
        return pairs
    if failed:
        return f"{MARKS['fail']} {failed} of {counted(len(results.verdicts), 'rule')} failed, {pairs}"
    if results.unfinished:
        return f"{MARKS['warn']} {pairs}"
    if warned:
        return f"{MARKS['warn']} passed with {counted(warned, 'warning')}, {pairs}"
    return f"{MARKS['pass']} passed, {pairs}"


def _blocks(results: Results) -> Iterator[str]:
    for warning in results.warnings:
        yield f"> {MARKS['warn']} {text(warning)}\n"
    if results.errors:
        named = some([f"{row.name} ({row.error})" for row in results.errors])
        yield f"> {MARKS['warn']} {counted(len(results.errors), 'pair')} could not be scored in full: {text(named)}\n"
    if mistaken := [f"{row.name} ({'; '.join(row.mistakes)})" for row in results.rows if row.mistakes]:
        yield f"> {MARKS['warn']} look like a mistake of set-up: {text(some(mistaken))}\n"
    if results.unpaired:
        yield f"> {MARKS['warn']} {counted(len(results.unpaired), 'file')} without partner\n"
    if results.verdicts:
        yield from table(["", "rule", "found", "images"], [_verdict(verdict) for verdict in results.verdicts])
    yield from _scores(results)
    yield from _floors(results)
    yield from _why(results)
    yield signature(results)


def _verdict(verdict: Verdict) -> list[str]:
    blamed = blame(verdict, BLAMED) if verdict.outcome != "pass" else ""
    reason = f"<br>{text(verdict.reason)}" if verdict.reason and verdict.outcome != "pass" else ""
    return [
        f"{MARKS[verdict.outcome]} {LABELS[verdict.outcome]}",
        text(verdict.rule),
        text(verdict.line) + reason,
        text(blamed),
    ]


def _scores(results: Results) -> Iterator[str]:
    rows = []
    for column in results.columns:
        found = results.summary(column.name)
        if found.count and column.metric not in TOLD_IN_WORDS:
            numbers = (found.mean, *found.ci95, found.median, found.min, found.max)
            rows.append([f"{text(column.name)} {column.arrow}", *map(number, numbers)])
    if rows:
        yield from table(["score", "mean", "from", "to", "median", "min", "max"], rows)


def _floors(results: Results) -> Iterator[str]:
    """What trivial predictions score, and how far above the best of them the run is."""
    if worth := [one for one in worths(results) if one.column.main]:
        head = ["floors", "run", *map(text, worth[0].floors), "skill"]
        cells = [(one.mean, *(one.floors[name] for name in worth[0].floors), one.skill) for one in worth]
        names = [f"{text(one.column.name)} {one.column.arrow}" for one in worth]
        yield from table(head, [[name, *map(number, of)] for name, of in zip(names, cells, strict=True)])


def _why(results: Results) -> Iterator[str]:
    """What is wrong with the worst images, in words."""
    found = findings(results)
    rows = [[text(name), text(told(found[name]))] for name in worst_found(results, found)[:WORST]]
    if rows:
        yield from table(["worst images", "why"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table whose first column is left-aligned; the cells must be Markdown already."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def signature(results: Results) -> str:
    """The protocol, folded away; empty where it is not known."""
    parts = visible("|".join(f"{key}:{value}" for key, value in results.signature.items()))
    return f"<details><summary>Signature</summary>\n\n```text\n{parts}\n```\n\n</details>\n" if parts else ""


def text(words: str) -> str:
    """Any text as Markdown that shows it as it is: a file name is neither markup nor a mention."""
    escaped = MARKUP.sub(r"\\\1", LINKED.sub(rf"\g<0>{GAP}", visible(words)).replace("&", "&amp;"))
    return escaped.replace(GAP, "&#8203;").replace("$", "<span>$</span>")  # GitHub's own way to say: no formula
