"""The Markdown: whole, and no name in it is markup.

markdown-it-py, which comes with rich, is an independent reader of the same tables as GitHub's.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from relight_eval.reports.markdown import render, text
from relight_eval.results import STOPPED, Column, Row, Verdict
from tests.everything import everything
from tests.runs import ROWS, VERDICTS, run

EXPECTED = r"""## relight-eval: ❌ 2 of 4 rules failed, 4 pairs

> ⚠️ vgg19 was left out

> ⚠️ 2 pairs could not be scored in full: broken (out/broken.png: truncated), small (9x9 is too small for ssim (needs 11x11))

> ⚠️ 2 files without partner

|  | rule | found | images |
|---|---|---|---|
| ❌ FAIL | images of the baseline | 1 of 3 images of the baseline are gone: old | old |
| ✅ PASS | mean charbonnier \<= 0.2 | mean charbonnier 0.1070 \<= 0.2 (by 0.0930) |  |
| ❌ FAIL | each ssim >= 0.75001 | each ssim: 1 of 2 images \< 0.75001 (worst 0.75, by 1e-05)<br>seams show below 0.75 | a 0.7500 |
| ⚠️ WARN | each psnr >= 22 | each psnr: 1 of 3 images \< 22 (worst 21.5000, by 0.5000) | a 21.5000 |

| score | mean | from | to | median | min | max |
|---|---|---|---|---|---|---|
| charbonnier ↓ | 0.1070 | – | – | 0.0200 | 0.0010 | 0.3000 |
| psnr ↑ | 27.2500 | – | – | 33.0000 | 21.5000 | inf |
| ssim ↑ | 0.8750 | – | – | 0.8750 | 0.7500 | 1.0000 |

<details><summary>Signature</summary>

```text
relight-eval:0.1.0|charbonnier:eps=0.001|device:cpu
```

</details>
"""  # noqa: E501

HOSTILE = (
    *("a|b", r"a\|b", "back\\", "`code`", "``", "*bold* **bold**", "_x_ __y__", "~~gone~~", "[a](http://b.c)"),
    *("![a](b)", "<script>alert(1)</script>", "<!-- x", "<br>", "&lt;", "&amp;amp;", "&#64;", "@octocat", "a@b.org"),
    *("#12", "octo/repo#12", "https://a.org/b", "www.a.org", ":tada:", "$x$ $$y$$", "{x}", "# head", "- item", "> q"),
    *("1. one", "---", "line\nbreak", "line\r\nbreak", "\u2028", "\x1b[31m", "\udcff", "ä/日本/😀", "a_b_c.d"),
)
BREAK = ("html_inline", "<br>")


def read(markdown: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown)


def cells(markdown: str) -> list[list[Token]]:
    """Of each cell of all tables, what is in it."""
    tokens = read(markdown)
    return [tokens[i + 1].children or [] for i, token in enumerate(tokens) if token.type in ("th_open", "td_open")]


def shown(cell: list[Token]) -> str:
    """The text that a reader sees, when all of it is text: $ stands in a span, as GitHub wants it."""
    assert {token.type for token in cell} <= {"text", "text_special", "html_inline"}
    assert {token.content for token in cell if token.type == "html_inline"} <= {"<span>", "</span>"}
    return "".join(token.content for token in cell if token.type != "html_inline").replace("\u200b", "")


def visible(name: str) -> str:
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def test_whole_text() -> None:
    assert render(run(verdicts=VERDICTS[:4])) == EXPECTED


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_and_breaks_no_table(name: str) -> None:
    verdict = Verdict(f"each ssim of {name} >= 0.9", "fail", f"{name}: gone", 0.5, 0.9, ">=", "ssim", each=True,
                      judged={name: 0.5}, failing=(name,))  # fmt: skip
    column = Column(f"{name}.", name, "lower", 0.0, 1.0, 0.0, name)
    results = replace(run((Row(name, scores={column.name: 0.5}),)), columns=(column,), verdicts=(verdict,))
    found = [shown(cell) for cell in cells(render(results))]
    assert len(found) == 4 * 2 + 7 * 2
    assert found[4:8] == ["❌ FAIL", *(visible(x) for x in (verdict.rule, verdict.line, f"{name} 0.5000"))]
    assert found[15] == visible(f"{column.name} ↓")


@pytest.mark.parametrize("name", HOSTILE)
def test_warnings_reasons_and_the_signature_are_no_markup_either(name: str) -> None:
    verdict = replace(VERDICTS[2], reason=name)
    results = replace(run(warnings=(name,)), signature={name: name}, verdicts=(verdict,))
    markdown = render(results)
    warning = next(token.children or [] for token in read(markdown) if token.type == "inline" and token.level == 2)
    assert shown(warning) == f"⚠️ {visible(name)}"
    (line_break,) = (i for i, token in enumerate(cells(markdown)[6]) if (token.type, token.content) == BREAK)
    assert shown(cells(markdown)[6][line_break + 1 :]) == visible(name)
    (fence,) = (token for token in read(markdown) if token.type == "fence")
    assert fence.content == f"{visible(name)}:{visible(name)}\n"


@pytest.mark.parametrize(
    ("words", "markdown"),
    [
        pytest.param("@octocat, #12, a/b#12", "@&#8203;octocat, #&#8203;12, a/b#&#8203;12", id="mentions and issues"),
        pytest.param("https://a www.b", "https:&#8203;//a www.&#8203;b", id="addresses"),
        pytest.param(":tada: 0.5: x", ":&#8203;tada: 0.5: x", id="emoji"),
        pytest.param("$x$", "<span>$</span>x<span>$</span>", id="formulas"),
        pytest.param("01_a/b-c (2).d 50% # x", r"01\_a/b-c (2).d 50% # x", id="nothing"),
    ],
)
def test_what_github_would_link_is_kept_apart(words: str, markdown: str) -> None:
    assert text(words) == markdown


@pytest.mark.parametrize(
    ("verdicts", "headline"),
    [
        pytest.param((), "4 pairs", id="no rules"),
        pytest.param(VERDICTS[1:2], "✅ passed, 4 pairs", id="pass"),
        pytest.param(VERDICTS[3:5], "⚠️ passed with 2 warnings, 4 pairs", id="warn"),
        pytest.param(VERDICTS[2:3], "❌ 1 of 1 rule failed, 4 pairs", id="fail"),
        pytest.param(VERDICTS, "❌ 5 of 9 rules failed, 4 pairs", id="all"),
    ],
)
def test_headline(verdicts: tuple[Verdict, ...], headline: str) -> None:
    assert render(run(verdicts=verdicts)).splitlines()[0] == f"## relight-eval: {headline}"


@pytest.mark.parametrize("verdicts", [(), VERDICTS[1:2], VERDICTS[3:5]], ids=["no rules", "pass", "warn"])
def test_a_run_that_was_stopped_has_not_passed(verdicts: tuple[Verdict, ...]) -> None:
    rows = [replace(row, error=STOPPED) if row.name == "broken" else row for row in ROWS]
    headline = render(run(rows, verdicts=verdicts)).splitlines()[0]
    assert headline.endswith(" unfinished, 3 of 4 pairs")
    assert "passed" not in headline


def test_what_is_not_there_is_not_told() -> None:
    results = replace(run(ROWS[:1], warnings=()), signature={})
    assert render(results).startswith("## relight-eval: 1 pair\n\n| score |")
    assert "Signature" not in render(results)


def test_who_passed_is_not_to_blame() -> None:
    assert VERDICTS[1].failing
    assert [shown(cell) for cell in cells(render(run(verdicts=VERDICTS[1:2])))][7] == ""


def test_100000_images_that_fail_stay_below_the_limit_of_github() -> None:
    """1 MiB for the summary of a step; names of files end at 255 bytes."""
    names = tuple(f"{'<' * 245}{i:06}" for i in range(100_000))
    verdict = Verdict("each ssim >= 0.9", "fail", ", ".join(names[:5]), 0.5, 0.9, ">=", "ssim", each=True,
                      judged=dict.fromkeys(names, 0.5), failing=names)  # fmt: skip
    rows = tuple(Row(name, status="error", error=name) for name in names)
    markdown = render(replace(run(rows), verdicts=(verdict,) * 20))
    assert "and 99990 more" in markdown
    assert len(markdown.encode()) < 2**20


def test_why_the_worst_images_are_wrong_stands_below_the_scores_and_the_diagnosis_not_among_them() -> None:
    markdown = render(everything())
    assert "ev\\_error" not in markdown
    assert markdown.index("| psnr\\_highlights ↑ |") < markdown.index("| worst images | why |")
    assert "| a | mostly a colour cast (+0.2 stops, 6.2° warm; 86 % of the error goes with " in markdown
    assert "| b | nothing stands out |" in markdown
    assert "worst images" not in render(run())


def test_mistakes_of_set_up_and_floors() -> None:
    markdown = render(everything())
    assert "look like a mistake of set-up: a (the prediction has one colour only; the prediction is the" in markdown
    table = markdown[markdown.index("| floors |") :].splitlines()
    assert table[0] == "| floors | run | black | mean colour | input | skill |"
    assert table[3] == "| psnr ↑ | 22.5000 | 8.0000 | 12.0000 | 17.0000 | 0.7182 |"  # of a and d; 1 − 10^−0.55
    assert "floors" not in render(run())
    assert "set-up" not in render(run())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_as_they_are_among_the_findings(name: str) -> None:
    rows = (replace(everything().rows[0], name=name),)
    (line,) = (line for line in render(everything(rows)).splitlines() if "mostly a colour cast" in line)
    assert line.startswith(f"| {text(name)} | ")
