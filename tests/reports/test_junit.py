"""The JUnit XML: whole, well-formed whatever the names, and small enough for CI systems.

What readers make of it is from their sources: GitLab's lib/gitlab/ci/parsers/test/junit.rb shows the text of a
failure and keeps one test case of each name; Jenkins shows the attribute `message`.
"""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from relight_eval.reports import encoded
from relight_eval.reports.junit import render
from relight_eval.results import Outcome, Results, Row, Verdict
from tests.runs import ROWS, VERDICTS, run

EXPECTED = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites name="relight-eval" tests="11" failures="2" errors="4">
 <testsuite name="pairs" tests="4" failures="0" errors="4" skipped="0">
  <testcase classname="pairs" name="broken :: pairs">
   <error message="out/broken.png: truncated">out/broken.png: truncated</error>
  </testcase>
  <testcase classname="pairs" name="small :: pairs">
   <error message="9x9 is too small for ssim (needs 11x11)">9x9 is too small for ssim (needs 11x11)</error>
  </testcase>
  <testcase classname="pairs" name="extra :: pairs">
   <error message="no target of this name">no target of this name</error>
  </testcase>
  <testcase classname="pairs" name="gone :: pairs">
   <error message="no prediction of this name">no prediction of this name</error>
  </testcase>
 </testsuite>
 <testsuite name="mean charbonnier &lt;= 0.2" tests="1" failures="0" errors="0" skipped="0">
  <testcase classname="mean charbonnier &lt;= 0.2" name="all images :: mean charbonnier &lt;= 0.2" />
 </testsuite>
 <testsuite name="each ssim &gt;= 0.75001" tests="2" failures="1" errors="0" skipped="0">
  <testcase classname="each ssim &gt;= 0.75001" name="a :: each ssim &gt;= 0.75001">
   <failure message="each ssim &gt;= 0.75001: 0.7500 &lt; 0.75001; seams show below 0.75">each ssim &gt;= 0.75001: 0.7500 &lt; 0.75001; seams show below 0.75</failure>
  </testcase>
  <testcase classname="each ssim &gt;= 0.75001" name="b10 :: each ssim &gt;= 0.75001" />
 </testsuite>
 <testsuite name="each psnr &gt;= 22" tests="3" failures="0" errors="0" skipped="1">
  <testcase classname="each psnr &gt;= 22" name="a :: each psnr &gt;= 22">
   <skipped message="each psnr &gt;= 22: 21.5000 &lt; 22">each psnr &gt;= 22: 21.5000 &lt; 22</skipped>
  </testcase>
  <testcase classname="each psnr &gt;= 22" name="b10 :: each psnr &gt;= 22" />
  <testcase classname="each psnr &gt;= 22" name="small :: each psnr &gt;= 22" />
 </testsuite>
 <testsuite name="min psnr of night/* &gt;= 20" tests="1" failures="1" errors="0" skipped="0">
  <testcase classname="min psnr of night/* &gt;= 20" name="all images :: min psnr of night/* &gt;= 20">
   <failure message="min psnr of night/*: no image matches 'night/*'">min psnr of night/*: no image matches 'night/*'</failure>
  </testcase>
 </testsuite>
</testsuites>
"""  # noqa: E501

HOSTILE = (
    "<a>&b",
    '"quoted"',
    "it's",
    "]]>",
    "new\nline",
    "tab\t",
    "\x00",
    "\x01",
    "\udcff",
    "\ufffe",
    "ä/日本/😀",
    "",
)


def parsed(results: Results) -> ET.Element:
    """Through the bytes of the file, as a CI system reads it."""
    root = ET.fromstring(encoded(render(results)))
    cases = [case.get("name") for case in root.iter("testcase")]
    assert len(cases) == len(set(cases)), "a name twice"
    for suite in root:
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(kind, -1)) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests", -1)) == len(suite)
    for kind in ("tests", "failures", "errors"):
        assert int(root.get(kind, -1)) == sum(int(suite.get(kind, -1)) for suite in root)
    return root


def each(values: dict[str, float], outcome: Outcome = "fail", rule: str = "each ssim >= 0.9") -> Verdict:
    below = tuple(name for name, value in values.items() if value < 0.9)
    return Verdict(
        rule, outcome, f"each ssim: {len(below)}", 0.0, 0.9, ">=", "ssim", each=True, judged=values, failing=below
    )


def judged(*verdicts: Verdict) -> Results:
    return replace(run(()), verdicts=verdicts)


def outcomes(root: ET.Element) -> list[str]:
    return [case[0].tag if len(case) else "passed" for case in root.iter("testcase")]


def test_whole_text() -> None:
    nothing = replace(VERDICTS[7], line="min psnr of night/*: no image matches 'night/*'")
    assert render(run(verdicts=(*VERDICTS[1:4], nothing))) == EXPECTED


def test_all_kinds_of_verdicts() -> None:
    root = parsed(run(verdicts=VERDICTS))
    assert [suite.get("name") for suite in root] == ["pairs", *(verdict.rule for verdict in VERDICTS)]
    said = {case.get("name"): case[0].get("message") for case in root.iter("testcase") if len(case)}
    assert said["old :: images of the baseline"] == "old is in the baseline, but not in this run, or it was not scored"
    assert said["small :: each ssim drop <= 0.02"] == "small has no ssim any more"
    assert said["kitchen :: each scene mean ssim >= 0.8"] == "each scene mean ssim >= 0.8: 0.7500 < 0.8"
    assert said["all images :: mean psnr drop <= 0.5"] == f"{VERDICTS[4].line}; worst: a 0.7000"


def test_a_case_for_every_image_and_rule_with_what_failed_first() -> None:
    values = {"a": 0.95, "b": 0.5, "c": 0.99, "d": 0.6}
    root = parsed(judged(each(values), each(values, rule="each ssim >= 0.8")))
    names = [case.get("name", "").partition(" :: ") for case in root.iter("testcase")]
    assert [name for name, _, _ in names] == ["b", "d", "a", "c"] * 2
    assert [rule for _, _, rule in names] == ["each ssim >= 0.9"] * 4 + ["each ssim >= 0.8"] * 4
    assert outcomes(root) == ["failure", "failure", "passed", "passed"] * 2


def test_the_message_stands_on_its_side_of_the_threshold() -> None:
    failure = parsed(judged(each({"a": 0.89999}))).find(".//failure")
    assert failure is not None
    assert failure.get("message") == failure.text == "each ssim >= 0.9: 0.89999 < 0.9"


def test_a_warning_is_skipped_and_fails_nothing() -> None:
    root = parsed(judged(each({"a": 0.5, "b": 1.0}, "warn"), replace(VERDICTS[1], outcome="warn")))
    assert outcomes(root) == ["skipped", "passed", "skipped"]
    assert root.get("failures") == "0"


def test_every_pair_that_was_not_scored_is_an_error_even_without_a_reason() -> None:
    root = parsed(run((*ROWS, Row("silent", status="error"))))
    assert outcomes(root) == ["error"] * 5
    assert [case.get("name") for case in root.iter("testcase")][2] == "silent :: pairs"


def test_a_run_in_which_nothing_was_asked_and_all_is_well_has_no_cases() -> None:
    assert list(parsed(judged()).iter("testcase")) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    rows = (Row(name, status="error", error=name or "empty"),)
    values = {name: 0.5}
    verdict = replace(each(values, rule=f"each ssim of {name} >= 0.9"), line=name)
    root = parsed(replace(run(rows), verdicts=(verdict, replace(verdict, each=False))))
    (error, failure, _) = root.iter("testcase")
    shown = "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in name)
    assert error.get("name") == f"{shown} :: pairs"
    assert failure.get("name") == f"{shown} :: each ssim of {shown} >= 0.9"


def test_names_that_xml_cannot_tell_apart_are_numbered() -> None:
    root = parsed(judged(each({"\x01": 0.5, "\x02": 0.5, "\ufffd": 0.5, "\ufffd :: each ssim >= 0.9 (2)": 0.5})))
    names = [case.get("name") for case in root.iter("testcase")]
    assert names[:3] == [f"\ufffd :: each ssim >= 0.9{number}" for number in ("", " (2)", " (3)")]


def test_the_same_rule_twice_makes_two_suites() -> None:
    root = parsed(judged(each({"a": 0.5}), each({"a": 0.5}, "warn")))
    assert [suite.get("name") for suite in root] == ["each ssim >= 0.9", "each ssim >= 0.9 (2)"]
    assert [case.get("name") for case in root.iter("testcase")] == [
        "a :: each ssim >= 0.9",
        "a :: each ssim >= 0.9 (2)",
    ]


@pytest.mark.parametrize(
    ("outcome", "rest"), [pytest.param("fail", "failure", id="fail"), pytest.param("warn", "skipped", id="warn")]
)
def test_what_there_is_no_room_for_is_counted(outcome: Outcome, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.reports.junit.LARGEST", 2000)
    values = {f"r{i:02}": 0.5 if i < 20 else 1.0 for i in range(50)}
    root = parsed(judged(each(values, outcome), each(values, outcome)))
    for suite in root:
        last = suite[-1]
        assert last[0].tag == rest
        told = f"{51 - len(suite)} more, {21 - len(suite)} of them not passed; left out to keep this file small"
        assert last.get("name", "").startswith(f"{told} :: each ssim >= 0.9")
        assert last[0].text == told


def test_when_only_what_passed_is_left_out_nothing_more_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.reports.junit.LARGEST", 2000)
    root = parsed(judged(each({f"r{i:02}": 0.5 if i < 2 else 1.0 for i in range(50)})))
    assert outcomes(root)[:3] == ["failure", "failure", "passed"]
    assert root.get("failures") == "2"
    assert "0 of them not passed" in root[0][-1].get("name", "")


def test_errors_left_out_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.reports.junit.LARGEST", 2000)
    root = parsed(run(tuple(Row(f"r{i}", status="error", error="truncated") for i in range(50))))
    assert set(outcomes(root)) == {"error"}
    assert len(root[0]) < 20


def test_100000_images_and_3_rules_stay_below_30_megabytes() -> None:
    """GitLab refuses more: docs.gitlab.com/ci/testing/unit_test_reports, "smaller than 30 MB per individual file"."""
    names = [f"Scene_{i // 40:04}/größe_{i:06}_direction_north_temperature_6500" for i in range(100_000)]
    rose = dict.fromkeys(names, 0.25)
    mean = replace(VERDICTS[1], judged=rose, failing=tuple(names))
    drop = replace(VERDICTS[4], judged=rose, failing=tuple(names))
    half = {name: 0.5 if i % 2 else 1.0 for i, name in enumerate(names)}
    text = encoded(render(judged(each(half), mean, drop)))
    assert 5_000_000 < len(text) < 30_000_000
    root = ET.fromstring(text)
    assert [len(suite) for suite in root][1:] == [1, 1]
    assert len(root[0]) == 100_000
    found = outcomes(root)[:100_000]
    assert found == sorted(found)  # what failed, then what passed
    assert found.count("failure") == 50_000
    assert root[0][0].get("name") == f"{names[1]} :: each ssim >= 0.9"


@pytest.mark.parametrize("rules", [1, 3, 20])
def test_all_rules_together_keep_to_the_limit(rules: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.reports.junit.LARGEST", 100_000)
    values = {f"größe_{i}": 0.5 for i in range(1000)}
    results = judged(*(each(values, rule=f"each ssim >= 0.9{i}") for i in range(rules)))
    assert 90_000 < len(encoded(render(results))) < 110_000
    assert max(sizes := [len(suite) for suite in parsed(results)]) - min(sizes) <= 4


def test_what_small_suites_leave_the_large_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relight_eval.reports.junit.LARGEST", 100_000)
    small, large = each({"a": 0.5}), each({f"größe_{i}": 0.5 for i in range(2000)}, rule="each ssim >= 0.99")
    for verdicts in ((small, large), (large, small)):
        assert 90_000 < len(encoded(render(judged(*verdicts)))) < 110_000
