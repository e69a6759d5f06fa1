"""What stands on the terminal, whole, and what must not."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from relight_eval.reports.console import show, worst_images
from relight_eval.results import Results, Row
from relight_eval.text import number, visible
from tests.everything import ROWS as EVERY_ROW
from tests.everything import everything, floors, scores
from tests.runs import COLUMNS, run

EXPECTED = """\
WARNING  vgg19 was left out

prediction  out/        5 images, 1 without partner
target      gt/         5 images, 1 without partner
paired      64x48, 9x9  4 pairs

2 could not be scored in full
image   what
───────────────────────────────────────────────
broken  out/broken.png: truncated
small   9x9 is too small for ssim (needs 11x11)

1 with a note on how it was read
image  what
─────────────────────────────────────
b10    prediction: first of 12 frames

Scores
score            mean from to  median     p05    p95 worst image
────────────────────────────────────────────────────────────────
charbonnier ↓  0.1070    –  –  0.0200  0.0029 0.2720 a
psnr ↑        27.2500    –  – 33.0000 22.6500    inf a
ssim ↑         0.8750    –  –  0.8750  0.7625 0.9875 a
vgg19 ↓          none
↑ higher is better  ↓ lower is better  from, to: 95 % interval of the mean
an interval needs 7 images, or groups of images
scored of 4 pairs: charbonnier 3, psnr 3, ssim 2
infinite (identical images), left out of the mean: 1

Worst images
image  charb.     psnr    ssim
──────────────────────────────
a      0.3000  21.5000  0.7500
small  0.0200  33.0000
b10    0.0010      inf  1.0000

relight-eval:0.1.0|charbonnier:eps=0.001|device:cpu
"""


EVERYTHING = """\
prediction  out    4 images
target      gt     4 images
paired      64x48  4 pairs

1 could not be scored in full
image  what
─────────────────────────────────────────────
c      no mask of this name (looked in mask/)

1 with what looks like a mistake of set-up
image  what
────────────────────────────────────────────────────────────────────────────────
a      the prediction has one colour only; the prediction is the same file as
       that of b

Scores
score                mean from to  median     p05     p95 worst image
─────────────────────────────────────────────────────────────────────
charbonnier ↓      0.1500    –  –  0.1500  0.1050  0.1950 a
psnr ↑            25.0000    –  – 25.0000 20.5000 29.5000 a
ssim ↑             0.6250    –  –  0.6250  0.5125  0.7375 a
align_gain_r       1.5000    –  –  1.5000  1.5000  1.5000
align_gain_g       1.5000    –  –  1.5000  1.5000  1.5000
align_gain_b       1.5000    –  –  1.5000  1.5000  1.5000
charb._aligned ↓   0.1500    –  –  0.1500  0.1050  0.1950 a
psnr_aligned ↑    25.0000    –  – 25.0000 20.5000 29.5000 a
ssim_aligned ↑     0.6250    –  –  0.6250  0.5125  0.7375 a
psnr_shadows ↑    20.5000    –  – 20.5000 18.2500 22.7500 a
psnr_midtones ↑   20.5000    –  – 20.5000 18.2500 22.7500 a
psnr_highlights ↑ 20.5000    –  – 20.5000 18.2500 22.7500 a
↑ higher is better  ↓ lower is better  from, to: 95 % interval of the mean
an interval needs 7 images, or groups of images
scored of 4 pairs: charbonnier 3, psnr 3, ssim 3, charbonnier_aligned 3,
psnr_aligned 3, ssim_aligned 3

Floors
score                      run   black  mean colour    input   skill
────────────────────────────────────────────────────────────────────
charbonnier ↓           0.1500  0.5000       0.5000   0.5000  0.7014
psnr ↑                 22.5000  8.0000      12.0000  17.0000  0.7182
ssim ↑                  0.6250  0.2500       0.2500   0.2500  0.5000
charbonnier_aligned ↓   0.1500  0.5000       0.5000   0.5000  0.7014
psnr_aligned ↑         22.5000  8.0000      12.0000  17.0000  0.7182
ssim_aligned ↑          0.6250  0.2500       0.2500   0.2500  0.5000
skill: share of the way from the best floor to perfect (of psnr: of its squared
error)
of 3 images, where score and floors are finite: psnr 2, psnr_aligned 2
better than a black image on 100 % of images, by charbonnier
better than an image of mean colour on 100 % of images, by charbonnier
better than copying the input on 100 % of images, by charbonnier

Worst images
image  charb.     psnr    ssim
──────────────────────────────
a      0.2000  20.0000  0.5000
d      0.1500  25.0000  0.6250
b      0.1000  30.0000  0.7500

Why: colour cast 2, nothing stands out 1
image  why
────────────────────────────────────────────────────────────────────────────────
a      mostly a colour cast (+0.2 stops, 6.2° warm; 86 % of the error goes with
       a gain for each channel)
d      mostly a colour cast (+0.2 stops, 6.2° warm; 86 % of the error goes with
       a gain for each channel)
b      nothing stands out

relight-eval:0.1.0|align:gain|regions:three|mask:>0
"""


def shown(results: Results, *, width: int = 80, every: bool = False, **console: bool) -> str:
    out = io.StringIO()
    show(results, Console(file=out, width=width, highlight=False, markup=False, **console), every=every)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def test_whole_text_at_80_columns() -> None:
    assert shown(run()) == EXPECTED


def test_nothing_is_wider_than_80_columns_but_the_signature_which_is_one_line() -> None:
    long = Row("a/very/long/path/" * 4 + "name", scores={"ssim": 0.5, "psnr": 1.0}, width=1, height=1)
    lines = shown(run((long, *run().rows))).splitlines()
    assert max(len(line) for line in lines[:-1]) <= 80
    assert lines[-1].count("|") == 2


def test_a_long_name_is_folded_and_never_cut() -> None:
    name = "scene_0123456789/direction_0123456789/temperature_6500"
    results = replace(run((Row(name, scores={"ssim": 0.5}, width=1, height=1),)), columns=(COLUMNS[2],))
    lines = shown(results).splitlines()
    table = lines[lines.index("Scores") :]
    folded = "".join(line.split()[-1] for line in table[3 : next(i for i, x in enumerate(table) if "better" in x)])
    assert name in folded


def test_a_row_with_an_error_and_a_note_shows_both() -> None:
    text = shown(run((Row("a", status="error", error="too small", note="first of 3 frames"),)))
    assert "too small" in text
    assert "first of 3 frames" in text


def test_files_that_are_no_images_are_counted() -> None:
    assert "ignored" not in shown(run())
    assert "ignored     hidden, or no images by their suffix  3 files" in shown(replace(run(), ignored=3))


def test_a_mean_over_some_of_the_pairs_says_so() -> None:
    assert "scored of 4 pairs: charbonnier 3, psnr 3, ssim 2\n" in shown(run())
    assert "scored of" not in shown(run((Row("a", scores={"ssim": 0.5}, width=1, height=1),)))


def test_one_is_singular() -> None:
    text = shown(run((Row("a", scores={"ssim": 0.5}, width=1, height=1),)))
    assert "1 image\n" in text
    assert "1 pair\n" in text


def test_ten_errors_are_listed_and_all_of_them_with_verbose() -> None:
    rows = tuple(Row(f"r{i}", status="error", error=f"r{i}.png: truncated") for i in range(13))
    assert "r9 " in shown(run(rows))
    assert "r10 " not in shown(run(rows))
    assert "and 3 more (--verbose lists all)" in shown(run(rows))
    assert "r12 " in shown(run(rows), every=True)
    assert "more (" not in shown(run(rows), every=True)


def test_what_is_true_of_several_images_is_said_once_unless_all_are_listed() -> None:
    rows = tuple(Row(f"r{i}", scores={"ssim": 0.5}, note="prediction: linear light") for i in range(13))
    text = shown(run(rows))
    assert "13 with a note on how it was read" in text
    assert re.search(r"^r0, r1 and 11 more +prediction: linear light$", text, re.MULTILINE)
    assert text.count("linear light") == 1
    assert shown(run(rows), every=True).count("linear light") == 13


def test_file_names_are_neither_markup_nor_control_codes() -> None:
    row = Row("[red]x[/red]\x1b[31m\x07", scores={"ssim": 0.5}, status="error", error="[bold]\x1b]0;title\x07")
    text = shown(run((row,)), width=120)
    assert "[red]x[/red]" in text
    assert "[bold]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_colours_on_a_terminal_and_none_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[1;33m" in shown(run(), force_terminal=True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "33m" not in shown(run(), force_terminal=True)


def test_worst_images_are_ranked_by_direction_over_all_metrics() -> None:
    rows = (
        Row("good", scores={"charbonnier": 0.01, "ssim": 0.9}),
        Row("bad", scores={"charbonnier": 0.3, "ssim": 0.2}),
        Row("middling", scores={"charbonnier": 0.2, "ssim": 0.8}),
        Row("partly", scores={"ssim": 0.1}),
    )
    assert worst_images(run(rows), [COLUMNS[0], COLUMNS[2]]) == ["partly", "bad", "middling", "good"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.89994, "0.8999"),
        (21.5, "21.5000"),
        (123456.0, "1.2346e+05"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
        (-1.0, "-1.0000"),
    ],
)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


def test_visible_keeps_text_and_shows_the_rest() -> None:
    assert visible("ä/日本 b") == "ä/日本 b"
    assert visible("a\x1bb\udcff\n") == "a�b��"


class TestWhy:
    def test_whole_text_at_80_columns(self) -> None:
        assert shown(everything()) == EVERYTHING

    def test_no_line_is_wider_than_80_columns_and_no_name_is_cut(self) -> None:
        lines = shown(everything(), every=True).splitlines()
        assert max(map(len, lines[:-1])) <= 80
        assert "…" not in "".join(lines)

    def test_other_thresholds_tell_another_story(self) -> None:
        assert "Why: nothing stands out 3\n" in shown(everything(thresholds={"colour": 7.0}))

    def test_ten_images_are_listed_and_all_of_them_with_verbose(self) -> None:
        rows = tuple(replace(EVERY_ROW[0], name=f"r{i:02}") for i in range(13))
        why = shown(everything(rows)).partition("Why: ")[2]
        assert why.count("mostly a colour cast") == 10
        assert "… and 3 more (--verbose lists all)" in why
        assert shown(everything(rows), every=True).partition("Why: ")[2].count("mostly a colour cast") == 13

    def test_the_diagnosis_is_in_the_table_of_scores_only_when_everything_is_listed(self) -> None:
        assert "ev_error" not in shown(everything())
        assert "→ the nearer" not in shown(everything())
        listed = shown(everything(), every=True)
        assert "ev_error →" in listed
        assert "→ the nearer to the value of identical images, the better\n" in listed

    def test_a_column_that_only_tells_a_kind_names_no_worst_image(self) -> None:
        (line,) = (line for line in shown(everything(), every=True).splitlines() if line.startswith("share_colour"))
        assert line.rstrip()[-1].isdigit()

    def test_where_nothing_else_was_scored_the_diagnosis_is_in_the_table(self) -> None:
        alone = tuple(column for column in everything().columns if column.metric == "diagnosis")
        assert "ev_error →" in shown(replace(everything(), columns=alone))

    def test_without_a_diagnosis_there_is_no_why(self) -> None:
        assert "Why" not in shown(run())
        lacking = {name: score for name, score in scores(0.5).items() if name != "ev_error"}
        assert "Why" not in shown(everything((replace(EVERY_ROW[0], scores=lacking),)))

    def test_hostile_names_and_mistakes(self) -> None:
        row = replace(EVERY_ROW[0], name="[red]x\x1b[31m", mistakes=("the same file as [bold]y\x07",))
        text = shown(everything((row,)), width=120)
        assert "[red]x" in text
        assert "[bold]y" in text
        assert "\x1b" not in text
        assert "\x07" not in text


class TestFloors:
    def test_what_was_not_scored_of_every_floor_is_left_out(self) -> None:
        """(The memory may not have held a floor, and a saved file may be changed by hand.)"""
        lacking = {"black": floors()["black"], "mean colour": {}}
        text = shown(everything((EVERY_ROW[0], replace(EVERY_ROW[3], floors=lacking))))
        assert "psnr ↑                 20.0000  8.0000      12.0000  16.0000  0.6019\n" in text
        assert "of 2 images, where score and floors are finite: charbonnier 1, psnr 1," in text

    def test_of_no_image_there_is_no_table(self) -> None:
        assert "Floors" not in shown(everything((replace(EVERY_ROW[0], floors={}),)))
        assert "Floors" not in shown(everything((replace(EVERY_ROW[0], scores={}),)))


def test_many_aligned_scores_cut_neither_names_nor_numbers_of_images() -> None:
    text = shown(everything())
    worst = text.partition("Worst images\n")[2]
    assert worst.startswith("image  charb.     psnr    ssim\n")
    only = everything(
        tuple(replace(row, scores={"psnr_aligned": 20.0 + i}) for i, row in enumerate(EVERY_ROW) if row.scores)
    )
    assert "image  psnr_aligned\n" in shown(only)  # where there is no raw one
