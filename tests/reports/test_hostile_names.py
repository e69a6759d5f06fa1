"""Hostile names in every report: each of the reports parses, is built as ever, and shows or keeps every name.

Everything that comes from a file is hostile at once: names, paths, errors, notes, warnings, runs, the signature.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from relight_eval.comparison import Comparison, compare
from relight_eval.errors import printable
from relight_eval.groups import Grouping
from relight_eval.reports import comparison as comparison_report
from relight_eval.reports import comparison_files, console, html, junit, markdown, verdicts
from relight_eval.reports import csv as csv_report
from relight_eval.reports import json as json_report
from relight_eval.results import Results, Row, Verdict
from relight_eval.text import visible
from tests.hostile import NAMES
from tests.runs import COLUMNS

SAID = tuple(printable(name) for name in NAMES)  # as they are once pairs have been found
PLAIN = tuple(f"plain{i}" for i in range(len(NAMES)))


@cache
def results(names: tuple[str, ...], better: float = 0.0) -> Results:
    """Every fourth name has an error, every eighth no target; a rule blames them all."""
    scores = [{"psnr": 20.0 + i + better, "ssim": 0.5} for i in range(len(names))]
    rows = [
        Row(name, name, "", status="missing_target", error="no target of this name")
        if i % 8 == 7
        else Row(name, name, name, status="error", error=name, input=name)
        if i % 4 == 3
        else Row(name, f"out/{name}", f"gt/{name}", 64, 48, scores[i], note=name, mistakes=(name,), mask=name)
        for i, name in enumerate(names)
    ]
    failed = Verdict(names[4], "fail", names[5], 1.0, 0.0, column="psnr", each=True,
                     judged=dict.fromkeys(names, 1.0), failing=names, reason=names[6])  # fmt: skip
    gone = replace(failed, rule=names[7], column="")
    return Results(
        prediction=names[0],
        target=names[1],
        columns=COLUMNS,
        rows=tuple(rows),
        signature={"device": names[2], "input": names[3]},
        warnings=names,
        grouping=Grouping(r"(?s)(?P<first>.*)"),
        verdicts=(failed, gone),
    )


@cache
def compared(names: tuple[str, ...]) -> Comparison:
    runs = {label: results(names, better=i) for i, label in enumerate(names[:10])}
    return compare(runs, grouping=Grouping(r"(?s)(?P<first>.*)"))


# Pages, XML, Markdown: built as they are of plain names


class Parsed(HTMLParser):
    """What a page is built of, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.built: Counter[tuple[str, ...]] = Counter()
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.built[tag, *(name for name, _ in attributes)] += 1

    def handle_comment(self, data: str) -> None:
        self.built["comment"] += 1  # type: ignore[index]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


PAGES: dict[str, Callable[[tuple[str, ...]], str]] = {
    "run": lambda names: html.render(results(names)),
    "comparison": lambda names: html.render_comparison(compared(names)),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_built_as_ever_and_has_every_name(page: str) -> None:
    text = PAGES[page](SAID)
    found = Parsed(text)
    assert found.built == Parsed(PAGES[page](PLAIN)).built
    given = next(json.loads(words) for words in found.words if words.startswith('{"names"'))
    known = {row.name for row in results(SAID).rows} if page == "run" else set(compared(SAID).images)
    assert {visible(name) for name in known} <= set(given["names"])
    assert all(character.isprintable() or character == "\n" for character in text)


def xml(names: tuple[str, ...]) -> ET.Element:
    return ET.fromstring(junit.render(results(names)))


def test_junit_is_built_as_ever_and_has_every_name() -> None:
    assert [element.tag for element in xml(SAID).iter()] == [element.tag for element in xml(PLAIN).iter()]
    assert {element.tag for element in xml(SAID).iter()} == {"testsuites", "testsuite", "testcase", "failure", "error"}
    cases = [case.get("name", "") for case in xml(SAID).iter("testcase")]
    assert len(set(cases)) == len(cases)
    for name in SAID:
        shown = "".join(c if c.isprintable() or c in "\t\n" else "\ufffd" for c in name)
        assert any(case.startswith(f"{shown} :: ") for case in cases)


MARKDOWN: dict[str, Callable[[tuple[str, ...]], str]] = {
    "run": lambda names: markdown.render(results(names)),
    "comparison": lambda names: comparison_files.markdown(compared(names)),
}


@pytest.mark.parametrize("report", MARKDOWN)
def test_markdown_is_built_as_ever(report: str) -> None:
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    built, plain = ([token.type for token in reader.parse(MARKDOWN[report](names))] for names in (SAID, PLAIN))
    assert built == plain
    inside = {child.type for token in reader.parse(MARKDOWN[report](SAID)) for child in token.children or []}
    assert inside <= {"text", "text_special", "softbreak", "html_inline", "strong_open", "strong_close"}


# Tables and data: nothing is lost


def test_csv_reads_back() -> None:
    rows = csv_report.parse(csv_report.render(results(SAID)), "scores.csv").rows
    kept = [(row.name, row.prediction, row.target, row.error) for row in results(SAID).rows]
    assert [(row.name, row.prediction, row.target, row.error) for row in rows] == kept


def test_json_reads_back() -> None:
    read = json_report.parse(json_report.render(results(SAID)), "scores.json")
    assert {row.name: row for row in read.rows} == {row.name: row for row in results(SAID).rows}


def test_the_csv_of_a_comparison_runs_nothing_and_keeps_apart_what_differs() -> None:
    table = csv.reader(io.StringIO(comparison_files.csv(compared(SAID)), newline=""))
    images = {line[0] for line in table if line[0] != "image"}
    assert len(images) == len(compared(SAID).images)
    assert not any(image[:1] in tuple("=+-@＝＋－＠\t\r\n") for image in images)
    json.loads(comparison_files.json(compared(SAID)))


# The terminal, and the log of a CI system


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("width", [20, 80])
def test_a_terminal_is_shown_what_is_visible(width: int, every: bool) -> None:
    screen = Console(file=io.StringIO(), width=width, force_terminal=False, markup=False, highlight=False)
    console.show(results(SAID), screen, every=every)
    comparison_report.show(compared(SAID), screen, every=every)
    printed = screen.file.getvalue()  # type: ignore[attr-defined]
    assert all(character.isprintable() or character == "\n" for character in printed)
    commands = [line for line in verdicts.inert(printed).splitlines() if line.lstrip().startswith("::")]
    assert commands == []
    assert "##[" not in verdicts.inert(printed)


def test_an_annotation_is_one_command() -> None:
    for line in verdicts.github_annotations(results(SAID).verdicts):
        assert line.startswith("::error title=relight-eval::")
        assert line.isprintable()


@pytest.mark.parametrize(
    ("printed", "inert"),
    [
        pytest.param("::error::x", "\\::error::x", id="at the start"),
        pytest.param("a\n  ::error::x\n", "a\n  \\::error::x\n", id="after spaces"),
        pytest.param("a ##[error]x ##vso[y]", "a ##\\[error]x ##\\vso[y]", id="anywhere"),
        pytest.param("a::b\n## [c]", "a::b\n## [c]", id="none"),
    ],
)
def test_what_a_ci_system_would_take_for_a_command(printed: str, inert: str) -> None:
    assert verdicts.inert(printed) == inert
