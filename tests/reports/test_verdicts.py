"""The verdicts in lines: whole, and agreeing with themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relight_eval.reports.verdicts import blame, github_annotations, lines
from relight_eval.results import Verdict
from tests.runs import VERDICTS

EXPECTED = """\
FAIL  1 of 3 images of the baseline are gone: old
      if that is meant, accept it with --update-baseline
PASS  mean charbonnier 0.1070 <= 0.2 (by 0.0930)
FAIL  each ssim: 1 of 2 images < 0.75001 (worst 0.75, by 1e-05)
      seams show below 0.75
      worst: a 0.7500
WARN  each psnr: 1 of 3 images < 22 (worst 21.5000, by 0.5000)
      worst: a 21.5000
WARN  mean psnr drop 0.3000, cannot tell: 2 images are too few for this margin of 0.5 (an interval needs 6)
      worst: a 0.7000
FAIL  each ssim drop <= 0.02: all 1 images (worst 0, by 0.0200); 1 images have no ssim any more: small
      worst: small
FAIL  each scene mean ssim: 1 of 2 scene groups < 0.8 (worst 0.7500, by 0.0500)
      worst: kitchen 0.7500
FAIL  min psnr of night/*: no image matches 'night/*', and a rule over nothing does not pass
PASS  max psnr inf >= 20 (by inf)
"""


def failing(values: dict[str, float], threshold: float) -> Verdict:
    return Verdict("each ssim >= ...", "fail", "each ssim", 0.0, threshold, ">=", "ssim", judged=values,
                   failing=tuple(values))  # fmt: skip


def test_whole_text() -> None:
    assert "\n".join(lines(VERDICTS)) + "\n" == EXPECTED


@pytest.mark.parametrize(
    ("value", "threshold", "said"),
    [
        (0.5, 0.9, "a 0.5000"),
        (0.89999, 0.9, "a 0.89999"),
        (0.9 - 1e-16, 0.9, "a 0.8999999999999999"),
        (float("-inf"), 0.9, "a -inf"),
        (1e-9, 1e-8, "a 1e-09"),
    ],
)
def test_the_value_of_who_is_to_blame_never_reads_like_the_threshold(value: float, threshold: float, said: str) -> None:
    assert blame(failing({"a": value}, threshold), None) == said


def test_five_are_blamed_and_all_when_asked() -> None:
    verdict = failing({f"r{i}": i / 10 for i in range(7)}, 0.9)
    assert blame(verdict, 5) == "r0 0.0000, r1 0.1000, r2 0.2000, r3 0.3000, r4 0.4000 and 2 more"
    assert list(lines([verdict]))[1].endswith("r4 0.4000 and 2 more")
    assert list(lines([verdict], every=True))[1].endswith("r5 0.5000, r6 0.6000")
    assert blame(replace(verdict, failing=()), 5) == ""


def test_names_and_reasons_are_no_control_codes() -> None:
    odd = "\x1b[31m\n\udcff"
    verdict = replace(failing({odd: 0.1}, 0.9), line=odd, reason=odd)
    assert list(lines([verdict])) == ["FAIL  �[31m��", "      �[31m��", "      worst: �[31m�� 0.1000"]


def test_annotations_whole() -> None:
    assert list(github_annotations(VERDICTS[:4])) == [
        "::error title=relight-eval::1 of 3 images of the baseline are gone: old",
        "::error title=relight-eval::each ssim: 1 of 2 images < 0.75001 (worst 0.75, by 1e-05); worst: a 0.7500; "
        "seams show below 0.75",
        "::warning title=relight-eval::each psnr: 1 of 3 images < 22 (worst 21.5000, by 0.5000); worst: a 21.5000",
    ]


def test_an_annotation_is_one_line_whatever_the_names() -> None:
    verdict = replace(failing({"a\r\nb\n::error::c 100%\udcff": 0.1}, 0.9), line="50%")
    assert list(github_annotations([verdict])) == [
        r"::error title=relight-eval::50%25; worst: a��b�::error::c 100%25\udcff 0.1000"
    ]


def test_who_is_gone_is_named_in_full_only_when_asked() -> None:
    assert not any("gone: old" in line for line in list(lines(VERDICTS[:1]))[1:])
    assert "      gone: old" in lines(VERDICTS[:1], every=True)
