"""The verdicts as JUnit XML: what GitLab, Jenkins and others show on the page of a run.

A test suite for each rule. A rule about each image has a test case for every image, any other rule one; a pair that
could not be scored, or has no partner, is an error in a suite of its own. CI systems refuse large files (GitLab: more
than 30 MB), so when there are very many images, what passed is told of the first of them, and of the rest how many
they are; what failed is told in full up to the same limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from xml.etree import ElementTree as ET

from relight_eval.reports.verdicts import told
from relight_eval.results import Results, Verdict
from relight_eval.rules import OPPOSITE
from relight_eval.text import agreeing, exact, visible

LARGEST = 25_000_000  # bytes, of all test cases together
INDENT = 12  # bytes, of one of them

SEEN = re.compile(r"[^\t\n]+")  # what must be visible; XML 1.0 cannot hold the rest of it, not even escaped


def render(results: Results) -> str:
    left_undone = len(results.errors) + len(results.unpaired)
    suites = [("pairs", _unscored(results), left_undone)] if left_undone else []
    suites += [(v.rule, _cases(v), len(v.judged) if v.each else 1) for v in results.verdicts]
    root = ET.Element("testsuites", name="relight-eval")
    names: dict[str, int] = {}
    for suite, kept in _with_room(suites):
        for case in kept:
            case.set("name", _numbered(case.get("name", ""), names))
        root.append(_suite(_numbered(suite, names), kept))
    for key in ("tests", "failures", "errors"):
        root.set(key, str(sum(int(suite.get(key, 0)) for suite in root)))
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _with_room(suites: list[tuple[str, Iterator[ET.Element], int]]) -> list[tuple[str, list[ET.Element]]]:
    """The suites with as many cases as there is room for, the same for each: what the small leave, the large get."""
    room, kept = LARGEST, {}
    by_size = sorted(range(len(suites)), key=lambda i: suites[i][2])
    for done, i in enumerate(by_size):
        kept[i] = list(_within(room // (len(suites) - done), suites[i][1]))
        room -= sum(_size(case) for case in kept[i])
    return [(name, kept[i]) for i, (name, _, _) in enumerate(suites)]


def _size(case: ET.Element) -> int:
    return len(ET.tostring(case)) + INDENT


def _unscored(results: Results) -> Iterator[ET.Element]:
    for row in (*results.errors, *results.unpaired):
        yield _case(row.name, "pairs", error=row.error or row.status)


def _cases(verdict: Verdict) -> Iterator[ET.Element]:
    """What failed first, worst first."""
    if not verdict.each or not verdict.judged:
        failure, skipped = (told(verdict) if verdict.outcome == outcome else "" for outcome in ("fail", "warn"))
        yield _case(f"all {verdict.unit}s", verdict.rule, failure=failure, skipped=skipped)
        return
    failing = set(verdict.failing)
    for name in (*verdict.failing, *(name for name in verdict.judged if name not in failing)):
        said = _said(verdict, name) if name in failing else ""
        warned = verdict.outcome == "warn"
        yield _case(name, verdict.rule, failure="" if warned else said, skipped=said if warned else "")


def _said(verdict: Verdict, name: str) -> str:
    """Value and threshold of one image, and the reason of the rule."""
    if name not in verdict.judged:
        return f"{name} has no {verdict.column} any more"
    if not verdict.column:
        return f"{name} is in the baseline, but not in this run, or it was not scored"
    value = agreeing(verdict.judged[name], verdict.threshold)
    said = f"{verdict.rule}: {value} {OPPOSITE[verdict.op]} {exact(verdict.threshold)}"
    return f"{said}; {verdict.reason}" if verdict.reason else said


def _case(name: str, suite: str, *, failure: str = "", error: str = "", skipped: str = "") -> ET.Element:
    """A test case. Its name holds the rule, too: some readers keep one case of each name, whatever the suite.

    What is said is an attribute and text: Jenkins shows the one, GitLab the other.
    """
    case = ET.Element("testcase", classname=_xml(suite), name=_xml(f"{name} :: {suite}"))
    for tag, message in (("failure", failure), ("error", error), ("skipped", skipped)):
        if message:
            ET.SubElement(case, tag, message=_xml(message)).text = _xml(message)
    return case


def _within(room: int, cases: Iterator[ET.Element]) -> Iterator[ET.Element]:
    """As many of the cases as there is room for, and one that says how many more there are."""
    for case in cases:
        room -= _size(case)
        if room < 0:
            yield _rest(case, cases)
            return
        yield case


def _rest(first: ET.Element, others: Iterator[ET.Element]) -> ET.Element:
    """One case in place of many; it did not pass when the first of them, the worst, did not."""
    found = [case[0].tag if len(case) else "" for case in chain([first], others)]
    said = f"{len(found)} more, {sum(map(bool, found))} of them not passed; left out to keep this file small"
    return _case(said, first.get("classname", ""), **({found[0]: said} if found[0] else {}))


def _suite(name: str, cases: list[ET.Element]) -> ET.Element:
    counts = {f"{tag}s": sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error")}
    suite = ET.Element("testsuite", name=_xml(name), tests=str(len(cases)))
    for key, count in counts.items():
        suite.set(key, str(count))
    suite.set("skipped", str(sum(case.find("skipped") is not None for case in cases)))
    suite.extend(cases)
    return suite


def _numbered(name: str, seen: dict[str, int]) -> str:
    """The name, with a number where it was seen before: the same rule twice, or names that XML cannot tell apart."""
    seen[name] = seen.get(name, 0) + 1
    return name if seen[name] == 1 else _numbered(f"{name} ({seen[name]})", seen)


def _xml(text: str) -> str:
    return SEEN.sub(lambda words: visible(words[0]), text)
