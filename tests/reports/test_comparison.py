"""A comparison as people and programs read it: whole texts, hostile names, numbers that agree with the verdict."""

from __future__ import annotations

import csv as csv_files
import io
import json as json_files
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from relight_eval import comparison as comparisons
from relight_eval import statistics
from relight_eval.comparison import Comparison, by_change, compare, words
from relight_eval.groups import Grouping
from relight_eval.reports import console as run_console
from relight_eval.reports.comparison import group_changes, p_value, show, signed, sparkline
from relight_eval.reports.comparison_files import COMPARISON_REPORTS, csv, json, markdown
from relight_eval.results import Results, Row
from relight_eval.statistics import FEWEST
from tests.everything import everything
from tests.reports.test_json import strict
from tests.runs import COLUMNS

SCHEMA = json_files.loads((files("relight_eval.reports") / "comparison.schema.json").read_text(encoding="utf-8"))
SIGNATURE = {"relight-eval": "0.1.0", "device": "cpu"}
ROOMS = ("attic", "bath", "cellar", "den", "foyer", "garage", "hall", "kitchen")
IMAGES = tuple(f"{room}/{light}" for room in ROOMS for light in ("day", "night"))

BY_ROOM = Grouping(r"(?P<room>\w+)/(?P<light>\w+)")

Scores = Mapping[str, Sequence[float]]


@pytest.fixture(autouse=True)
def _intervals_from_least_to_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text hangs on a generator of random numbers: `from` and `to` are the lowest and the highest value."""

    def intervals(
        columns: Sequence[np.ndarray], groups: Sequence[str] | None = None, **_: object
    ) -> list[tuple[float, float]]:
        finite = [scores[np.isfinite(scores)] for scores in columns]
        few = len(columns[0] if groups is None else set(groups)) < FEWEST
        return [(float(min(of)), float(max(of))) if len(of) and not few else (math.nan, math.nan) for of in finite]

    for module in (comparisons, statistics):
        monkeypatch.setattr(module, "bootstrap_intervals", intervals)


def scored(label: str, scores: Scores, images: Sequence[str] = IMAGES, **changes: object) -> Results:
    rows = tuple(
        Row(image, f"{label}/{image}.png", f"gt/{image}.png", 64, 48, {name: of[i] for name, of in scores.items()})
        for i, image in enumerate(images)
    )
    return replace(Results(f"{label}/", "gt/", COLUMNS[:3], rows, SIGNATURE), **changes)


def two() -> Comparison:
    """Charbonnier all better, SSIM all worse but missing in one, PSNR by turns; one identical, one left out."""
    before = {
        "charbonnier": [0.1 + i / 100 for i in range(9)],
        "psnr": [20.0 + i for i in range(9)],
        "ssim": [0.8 + i % 3 / 100 for i in range(9)],
    }
    after = {
        "charbonnier": [score - 0.01 - i / 1000 for i, score in enumerate(before["charbonnier"])],
        "psnr": [score + (i + 1) * (-1) ** i / 10 for i, score in enumerate(before["psnr"])],
        "ssim": [score - (1 + i % 4) / 100 for i, score in enumerate(before["ssim"])],
    }
    after["psnr"][7] = math.inf
    images = IMAGES[:9]
    first, second = scored("before", before, images), scored("after", after, images[:8])
    lacking = replace(second.rows[0], scores={name: of[0] for name, of in after.items() if name != "ssim"})
    second = replace(second, rows=(lacking, *second.rows[1:]), signature={**SIGNATURE, "device": "cuda"})
    return compare({"before": first, "after": second})


def steps(*only: str) -> Comparison:
    """Four checkpoints over 16 images of 8 rooms, or only some of them: improving, but SSIM levels off at 300."""
    levels = {"0100": 0.0, "0200": 0.04, "0300": 0.07, "1000": 0.09}
    runs = {}
    for step, level in levels.items():
        jitter = [(i * 7 % 16 - 7.5) * level / 100 for i in range(16)]
        runs[f"step_{step}"] = scored(
            f"out/{step}",
            {
                "charbonnier": [0.2 - level + (i % 5) / 100 + jitter[i] for i in range(16)],
                "psnr": [20 + 50 * level + i % 4 - 100 * jitter[i] for i in range(16)],
                "ssim": [0.7 + min(level, 0.07) + (i % 3) / 100 + (-1) ** i * jitter[i] / 10 for i in range(16)],
            },
        )
    order = [f"step_{step}" for step in ("0300", "0100", "1000", "0200") if step in (only or levels)]
    return compare({label: runs[label] for label in order}, step=r"_(\d+)", grouping=BY_ROOM)


def shown(found: Comparison, by: int = 0, *, width: int = 80, every: bool = False) -> str:
    out = io.StringIO()
    show(
        replace(found, by=found.columns[by]), Console(file=out, width=width, highlight=False, markup=False), every=every
    )
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


TWO_RUNS = """\
WARNING  after and before were not scored alike: device is cuda in after but cpu
in before

before    before/  9 images, 1 not in all (baseline)
after     after/   8 images
compared           8 images
not in all runs: foyer/day

Means
score          run        mean        from       to
───────────────────────────────────────────────────
charbonnier ↓  before   0.1350      0.1000   0.1700
               after    0.1215  *   0.0900   0.1530
psnr ↑         before  23.0000     20.0000  26.0000
               after   23.0571  *  20.1000  26.7000
ssim ↑         before   0.8100  *   0.8000   0.8200
               after    0.7829      0.7600   0.8000
↑ higher is better  ↓ lower is better  * best mean  from, to: 95 % interval
scored by all runs, of 8 images: ssim 7
infinite in some run (identical images), left out of all means: 1

Changes against before
score           change     from       to      p  win/tie/loss
─────────────────────────────────────────────────────────────
charbonnier ↓  -0.0135  -0.0170  -0.0100  0.023         8/0/0
psnr ↑         +0.0571  -0.6000  +0.7000  0.812         5/0/3
ssim ↑         -0.0271  -0.0400  -0.0100  0.031         0/0/7
change: paired, over 8 images; p: two-sided, Holm-corrected over 3 tests;
infinite changes of PSNR (identical images), left out of the mean: 1; tie: a
change up to 1e-05 (0.0001 dB); `relight-eval calibrate` measures the noise of a
machine

The means disagree: after leads on charbonnier, psnr; before on ssim.
after is better on charbonnier and worse on ssim than before (p < 0.05): the
metrics disagree.
after against before: by psnr, 1 image became identical to its target.

Improvements of after against before, by charbonnier: 8 images
image          charb.     psnr     ssim
───────────────────────────────────────
den/night     -0.0170     +inf  -0.0400
den/day       -0.0160  +0.7000  -0.0300
cellar/night  -0.0150  -0.6000  -0.0200
cellar/day    -0.0140  +0.5000  -0.0100
bath/night    -0.0130  -0.4000  -0.0400

relight-eval:0.1.0|device:cpu|interval:bootstrap,percentile,expanded,resamples=2000,seed=0
"""

FOUR_STEPS = """\
step_0100  out/0100/  16 images (baseline)
step_0200  out/0200/  16 images
step_0300  out/0300/  16 images
step_1000  out/1000/  16 images
compared              16 images in 8 room groups

Means
score          run           mean        from       to
──────────────────────────────────────────────────────
charbonnier ↓  step_0100   0.2188      0.2000   0.2400
               step_0200   0.1787      0.1570   0.2030
               step_0300   0.1487      0.1247   0.1753
               step_1000   0.1288  *   0.1033   0.1568
psnr ↑         step_0100  21.5000     20.0000  23.0000
               step_0200  23.5000     21.8200  25.2600
               step_0300  25.0000     23.1850  26.9550
               step_1000  26.0000  *  24.0950  28.0850
ssim ↑         step_0100   0.7094      0.7000   0.7200
               step_0200   0.7494      0.7397   0.7603
               step_0300   0.7793  *   0.7695   0.7905
               step_1000   0.7793      0.7693   0.7906
↑ higher is better  ↓ lower is better  * best mean  from, to: 95 % interval

Changes against step_0100
score          run         change     from       to      p  win/tie/loss
────────────────────────────────────────────────────────────────────────
charbonnier ↓  step_0200  -0.0400  -0.0430  -0.0370  0.070        16/0/0
               step_0300  -0.0700  -0.0752  -0.0648  0.070        16/0/0
               step_1000  -0.0900  -0.0968  -0.0833  0.070        16/0/0
psnr ↑         step_0200  +2.0000  +1.7000  +2.3000  0.070        16/0/0
               step_0300  +3.5000  +2.9750  +4.0250  0.070        16/0/0
               step_1000  +4.5000  +3.8250  +5.1750  0.070        16/0/0
ssim ↑         step_0200  +0.0400  +0.0397  +0.0403  0.070        16/0/0
               step_0300  +0.0700  +0.0695  +0.0705  0.070        16/0/0
               step_1000  +0.0700  +0.0693  +0.0706  0.070        16/0/0
change: paired, over 8 room groups; p: two-sided, Holm-corrected over 9 tests;
tie: a change up to 1e-05 (0.0001 dB); `relight-eval calibrate` measures the
noise of a machine

The means disagree: step_1000 leads on charbonnier, psnr; step_0300 on ssim.
8 room groups are too few for 9 tests: the smallest possible p is above 0.05; it
takes 9, or fewer tests (-m, or fewer runs).

Trend over 4 steps, 100 to 1000
score          trend  best at  now
─────────────────────────────────────────────────────
charbonnier ↓  █▅▃▁      1000  still improving
psnr ↑         ▁▄▆█      1000  still improving
ssim ↑         ▁▅██       300  levelled off since 300

Changes of step_1000 by room, worst charbonnier first
room    images   charb.     psnr     ssim
─────────────────────────────────────────
foyer        2  -0.0864  +4.1400  +0.0697
bath         2  -0.0882  +4.3200  +0.0704
garage       2  -0.0882  +4.3200  +0.0697
cellar       2  -0.0900  +4.5000  +0.0704
hall         2  -0.0900  +4.5000  +0.0697
… and 3 more (--verbose lists all)

Changes of step_1000 by light, worst charbonnier first
light  images   charb.     psnr     ssim
────────────────────────────────────────
night       8  -0.0895  +4.4550  +0.0700
day         8  -0.0905  +4.5450  +0.0700

Improvements of step_1000 against step_0100, by charbonnier: 16 images
image          charb.     psnr     ssim
───────────────────────────────────────
attic/day     -0.0968  +5.1750  +0.0693
den/night     -0.0959  +5.0850  +0.0706
kitchen/day   -0.0950  +4.9950  +0.0695
cellar/night  -0.0940  +4.9050  +0.0704
hall/day      -0.0931  +4.8150  +0.0697

(groups and images of step_1000 only; --verbose shows those of all runs)

relight-eval:0.1.0|device:cpu|interval:bootstrap,percentile,expanded,resamples=2000,seed=0|group:(?P<room>\\w+)/(?P<light>\\w+)
"""

MARKDOWN = """\
## relight-eval: before vs. after

> ⚠️ after and before were not scored alike: device is cuda in after but cpu in before

> ⚠️ 1 image not in all runs: foyer/day

- The means disagree: after leads on charbonnier, psnr; before on ssim.
- after is better on charbonnier and worse on ssim than before (p \\< 0.05): the metrics disagree.
- after against before: by psnr, 1 image became identical to its target.

| mean | before | after |
|---|---|---|
| charbonnier ↓ | 0.1350 | **0.1215** |
| psnr ↑ | 23.0000 | **23.0571** |
| ssim ↑ | **0.8100** | 0.7829 |

scored by all runs, of 8 images: ssim 7

infinite in some run (identical images), left out of all means: 1

| after against before | change | from | to | p | win/tie/loss |
|---|---|---|---|---|---|
| charbonnier ↓ | -0.0135 | -0.0170 | -0.0100 | 0.023 | 8/0/0 |
| psnr ↑ | +0.0571 | -0.6000 | +0.7000 | 0.812 | 5/0/3 |
| ssim ↑ | -0.0271 | -0.0400 | -0.0100 | 0.031 | 0/0/7 |

change: paired, over 8 images; p: two-sided, Holm-corrected over 3 tests; infinite changes of PSNR (identical images), left out of the mean: 1; tie: a change up to 1e-05 (0.0001 dB); \\`relight-eval calibrate\\` measures the noise of a machine

Improvements of after against before, by charbonnier: 8 images

| image | charbonnier | psnr | ssim |
|---|---|---|---|
| den/night | -0.0170 | +inf | -0.0400 |
| den/day | -0.0160 | +0.7000 | -0.0300 |
| cellar/night | -0.0150 | -0.6000 | -0.0200 |
| cellar/day | -0.0140 | +0.5000 | -0.0100 |
| bath/night | -0.0130 | -0.4000 | -0.0400 |
| bath/day | -0.0120 | +0.3000 | -0.0300 |
| attic/night | -0.0110 | -0.2000 | -0.0200 |
| attic/day | -0.0100 | +0.1000 | – |

<details><summary>Signature</summary>

```text
relight-eval:0.1.0|device:cpu|interval:bootstrap,percentile,expanded,resamples=2000,seed=0
```

</details>
"""  # noqa: E501

TRENDS = """\
| trend | best at | now |
|---|---|---|
| charbonnier | 1000 | still improving |
| psnr | 1000 | still improving |
| ssim | 300 | levelled off since 300 |
"""


# Whole texts


def test_two_runs_at_80_columns() -> None:
    assert shown(two()) == TWO_RUNS


def test_four_steps_with_groups_at_80_columns() -> None:
    assert shown(steps()) == FOUR_STEPS


def test_markdown() -> None:
    assert markdown(two()) == MARKDOWN


def test_markdown_of_steps_has_the_trends() -> None:
    text = markdown(steps())
    assert text.startswith("## relight-eval: step\\_0100 vs. step\\_0200 vs. step\\_0300 vs. step\\_1000\n")
    assert TRENDS in text


def test_verbose_shows_all_runs_columns_and_images() -> None:
    text = shown(steps(), every=True)
    for label in ("step_0200", "step_0300", "step_1000"):
        assert "against step_0100, by charbonnier: 16 images\n" in text.partition(f"of {label}")[2]
    assert "more" not in text
    assert "only;" not in text
    assert text.count("kitchen/night") == 3
    assert "room     run        images" in text


def test_images_are_sorted_by_the_column_asked_for() -> None:
    lines = shown(steps("1000", "0300"), by=2).splitlines()
    assert "Changes of step_1000 by room, worst ssim first" in lines
    start = lines.index("Regressions of step_1000 against step_0300, by ssim: 8 images")
    changes = [float(line.split()[-1]) for line in lines[start + 3 : start + 8]]
    assert changes == sorted(changes)
    assert not any(line.startswith(("Improvements", "Regressions")) and "charb" in line for line in lines)


TREND = "A trend needs three steps."


def test_two_steps_say_what_a_trend_needs() -> None:
    lines = shown(steps("1000", "0300")).splitlines()
    assert TREND in lines
    assert not any(line.startswith("Trend over") for line in lines)
    assert "step_0300  out/0300/  16 images (baseline)" in lines
    assert "ssim ↑         -1.0e-05  -0.0001  +0.0001  0.727         6/2/8" in lines


@pytest.mark.parametrize("make", [two, steps], ids=["without-steps", "enough-steps"])
def test_nothing_is_said_of_a_trend_where_there_is_one_or_none_was_asked_for(make: Callable[[], Comparison]) -> None:
    assert TREND not in shown(make())


def test_three_steps_without_a_mean_do_not_say_that_they_are_too_few() -> None:
    images = IMAGES[:3]
    first, *rest = (scored(f"s{i}", {"psnr": [math.inf if i == 1 else 20.0] * 3}, images) for i in (1, 2, 3))
    text = shown(compare({f"s{i}": run for i, run in enumerate((first, *rest), 1)}, step=r"(\d)"))
    assert TREND not in text
    assert "Trend over" not in text


def partial(left_out: int) -> Comparison:
    """Two runs, the second without the last images."""
    scores = {"ssim": [0.5] * 16}
    images = IMAGES[: 16 - left_out]
    return compare({"a": scored("a", scores), "b": scored("b", scores, images)}, metrics=["ssim"])


def test_images_that_not_all_runs_have_stand_on_a_line_beneath_the_runs() -> None:
    lines = shown(partial(6)).splitlines()
    assert lines[:6] == [
        "a         a/  16 images, 6 not in all (baseline)",
        "b         b/  10 images",
        "compared      10 images",
        "not in all runs: garage/day, garage/night, hall/day, hall/night, kitchen/day and",
        "1 more",
        "",
    ]
    text = shown(partial(6), every=True)
    assert "hall/night, kitchen/day,\nkitchen/night\n\n" in text
    assert "not in all" not in shown(partial(0))


def test_the_titles_of_groups_and_what_was_left_out_do_not_widen_the_tables() -> None:
    lines = shown(steps()).splitlines()
    title = lines.index("Changes of step_1000 by room, worst charbonnier first")
    assert set(lines[title + 2]) == {"─"}
    assert len(lines[title + 2]) == max(len(line) for line in lines[title + 3 : title + 8]) < len(lines[title])
    assert lines[title + 8 : title + 10] == ["… and 3 more (--verbose lists all)", ""]


def test_markdown_ends_with_the_signature_of_the_baseline() -> None:
    runs = {label: scored(label, {"ssim": [0.5] * 8}, IMAGES[:8]) for label in "ab"}
    runs["b"] = replace(runs["b"], signature={**SIGNATURE, "device": "cuda"})
    parts = "relight-eval:0.1.0|device:cpu|interval:bootstrap,percentile,expanded,resamples=2000,seed=0"
    ending = f"<details><summary>Signature</summary>\n\n```text\n{parts}\n```\n\n</details>\n"
    assert markdown(compare(runs)).endswith(f"measures the noise of a machine\n\n{ending}")


def test_changes_of_a_group_are_means_of_its_images() -> None:
    found = steps()
    rows = group_changes(found, "light", ["step_1000"])
    assert [(run, value, count) for run, value, count, _ in rows] == [
        ("step_1000", "day", 8),
        ("step_1000", "night", 8),
    ]
    changes = found.per_image("step_1000", COLUMNS[1])
    days = [change for image, change in changes.items() if image.endswith("/day")]
    assert rows[0][3]["psnr"] == pytest.approx(sum(days) / 8)


def test_a_group_without_a_finite_change_has_no_mean_and_stands_last() -> None:
    scores = {"psnr": [math.inf, math.inf, 20.0, 21.0]}
    images = ("attic/day", "attic/night", "bath/day", "bath/night")
    runs = {"a": scored("a", {"psnr": [20.0] * 4}, images), "b": scored("b", scores, images)}
    lines = shown(compare(runs, grouping=Grouping(r"(?P<room>\w+)/"))).splitlines()
    rows = [line.split() for line in lines if line.startswith(("attic ", "bath "))]
    assert rows == [["bath", "2", "+0.5000"], ["attic", "2", "–"]]


def test_few_images_have_dashes_and_say_so() -> None:
    runs = {label: scored(label, {"ssim": [value]}, IMAGES[:1]) for label, value in (("a", 0.5), ("b", 0.625))}
    text = shown(compare(runs))
    assert "ssim ↑  +0.1250     –   –  –         1/0/0\n" in text
    assert "compared      1 image\n" in text
    assert "p: not to be had of so few" in text
    assert "1 image is too few to tell" in text


# Hostile names

HOSTILE = "[red]\x1b[31m\x07\r\n`|*<b>\udcff"


def hostile(label: str = HOSTILE) -> Comparison:
    """Everything that comes from a path or a file, at its worst."""
    images = [f"{label}{i}" for i in range(8)]
    signature = {**SIGNATURE, "device": label}
    run = scored(label, {"ssim": [0.5] * 9}, [*images, f"{label}-alone"], signature=signature)
    runs = {"a": scored("a", {"ssim": [0.25] * 8}, images), label: run, f"{label}2": run}
    return compare(runs, noise={"ssim": 1e-6}, noise_source=f"{label}.json", grouping=Grouping("(?P<number>.)$"))


@pytest.mark.parametrize("every", [False, True])
def test_nothing_from_a_name_is_markup_or_a_control_code_on_a_terminal(every: bool) -> None:
    text = shown(hostile(), every=every)
    assert "[red]�[31m" in text
    assert all(character.isprintable() or character == "\n" for character in text)


def test_nothing_from_a_name_is_markup_in_markdown() -> None:
    for line in markdown(hostile()).splitlines():
        assert "[red]" not in line.replace("\\[red\\]", "")
        assert "<b>" not in line.replace("\\<b>", "")
        assert line.count("|") - line.count("\\|") in (0, 3, 5, 7)
        assert all(character.isprintable() for character in line)


def test_long_names_are_folded_and_numbers_never_cut() -> None:
    long = "experiment_2024-11-03_relighting_with_a_very_long_name_and_more"
    text = shown(hostile(long))
    assert max(len(line) for line in text.splitlines()[:-1]) <= 80
    assert "+0.2500  +0.2500  +0.2500  0.016" in text
    assert "…" not in text.replace("… and", "")


# Files


def read(found: Comparison) -> list[dict[str, str]]:
    return list(csv_files.DictReader(io.StringIO(csv(found), newline="")))


def test_csv_has_a_line_for_each_image_run_and_column() -> None:
    rows = read(steps())
    assert list(rows[0]) == ["image", "run", "column", "baseline", "score", "change", "outcome"]
    assert [row["image"] for row in rows[:16]] == list(IMAGES)
    assert len(rows) == 3 * 3 * 16
    assert len({(row["image"], row["run"], row["column"]) for row in rows}) == len(rows)
    assert {row["run"] for row in rows} == {"step_0200", "step_0300", "step_1000"}


def test_csv_reads_back_to_the_same_floats() -> None:
    found = two()
    for row in read(found):
        before, after = (found.runs[label].values(row["column"])[row["image"]] for label in ("before", "after"))
        column = next(column for column in COLUMNS if column.name == row["column"])
        assert (float(row["baseline"]), float(row["score"])) == (before, after)
        assert float(row["change"]) == found.per_image("after", column)[row["image"]]


def test_csv_leaves_out_a_score_that_a_run_lacks_and_has_inf() -> None:
    rows = {(row["image"], row["column"]): row for row in read(two())}
    assert ("attic/day", "ssim") not in rows
    assert [rows["den/night", "psnr"][key] for key in ("baseline", "score", "change", "outcome")] == [
        "27.0", "inf", "inf", "win",
    ]  # fmt: skip


def test_csv_outcomes_are_those_of_the_table() -> None:
    found = steps("0300", "1000")
    for label, of_run in found.changes.items():
        for name, change in of_run.items():
            outcomes = [row["outcome"] for row in read(found) if (row["run"], row["column"]) == (label, name)]
            counts = tuple(outcomes.count(outcome) for outcome in ("win", "tie", "loss"))
            assert counts == (change.wins, change.ties, change.losses)
    ssim = found.changes["step_1000"]["ssim"]
    assert (ssim.wins, ssim.ties, ssim.losses) == (6, 2, 8)


def test_csv_keeps_names_with_line_ends_and_commas() -> None:
    images = ['a,"b"', "c\rd", "e\nf", "g\r\nh"]
    runs = {label: scored(label, {"ssim": [0.5] * 4}, images) for label in ("x", "y\r")}
    rows = read(compare(runs))
    assert [row["image"] for row in rows] == images
    assert {row["run"] for row in rows} == {"y\r"}
    assert csv(compare(runs)).startswith("image,run,column,baseline,score,change,outcome\n")


IDENTICAL = {"a": scored("a", {"psnr": [math.inf] * 3}, IMAGES[:3]), "b": scored("b", {"psnr": [20.0] * 3}, IMAGES[:3])}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(two, id="two"),
        pytest.param(steps, id="steps"),
        pytest.param(hostile, id="hostile"),
        pytest.param(lambda: compare(IDENTICAL), id="nothing-finite"),
    ],
)
def test_json_is_strict_and_valid_by_the_schema_in_the_package(make: Callable[[], Comparison]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    text = json(make())
    jsonschema.validate(strict(text.encode("utf-8").decode("utf-8")), SCHEMA)


def test_json_says_what_the_comparison_says() -> None:
    found = two()
    document = strict(json(found))
    assert (document["format"], document["kind"], document["baseline"]) == (1, "comparison", "before")
    assert (document["seed"], document["group"], document["images"]) == (0, None, list(IMAGES[:8]))
    assert [column["better"] for column in document["columns"]] == ["lower", "higher", "higher"]
    assert (document["words"], document["warnings"]) == (words(found), list(found.warnings))
    before, after = document["runs"]
    assert (before["label"], before["left_out"], before["step"]) == ("before", ["foyer/day"], None)
    assert (after["signature"]["device"], after["left_out"]) == ("cuda", [])
    psnr = after["aggregate"]["psnr"]
    assert (psnr["mean"], psnr["infinite"], psnr["max"]) == (found.summaries["after"]["psnr"].mean, 1, None)
    change = next(change for change in document["changes"] if change["column"] == "psnr")
    expected = found.changes["after"]["psnr"]
    assert (change["mean"], change["interval"], change["p"]) == (expected.mean, list(expected.interval), expected.p)
    assert (change["run"], change["wins"], change["infinite"]) == ("after", 5, 1)


def test_json_of_steps() -> None:
    document = strict(json(steps()))
    assert [run["step"] for run in document["runs"]] == [100, 200, 300, 1000]
    assert document["trends"][2] == {"column": "ssim", "best": 300, "said": "levelled off since 300"}
    assert document["group"] == r"(?P<room>\w+)/(?P<light>\w+)"


@pytest.mark.parametrize("key", SCHEMA["required"])
def test_the_schema_misses_what_is_missing(key: str) -> None:
    document = strict(json(two()))
    del document[key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(document, SCHEMA)


def test_every_report_is_the_same_twice() -> None:
    for render in COMPARISON_REPORTS.values():
        assert render(steps()) == render(steps())


# Pieces


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "<0.001"),
        (0.00099999, "<0.001"),
        (0.001, "0.001"),
        (0.03125, "0.031"),
        (0.0494, "0.049"),
        (0.0496, "0.0496"),
        (0.04999, "0.04999"),
        (0.04999999, "0.04999999"),
        (math.nextafter(0.05, 0), "0.049999999999999996"),
        (0.05, "0.050"),
        (0.0500001, "0.050"),
        (0.9999, "1.000"),
        (math.nan, "–"),
    ],
)
def test_p_value_stands_on_its_side_of_5_percent(p: float, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "+0.5000"),
        (-0.5, "-0.5000"),
        (5e-5, "+0.0001"),
        (-4.9e-5, "-4.9e-05"),
        (1e-300, "+1.0e-300"),
        (0.0, "0.0000"),
        (-0.0, "0.0000"),
        (-1234.5, "-1.2e+03"),
        (math.inf, "+inf"),
        (-math.inf, "-inf"),
        (math.nan, "–"),
    ],
)
def test_signed_never_rounds_a_change_to_none(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        pytest.param([], "", id="none"),
        pytest.param([3.0], "▅", id="one"),
        pytest.param([3.0, 3.0], "▅▅", id="equal"),
        pytest.param([0.0, 1.0, 0.0], "▁█▁", id="two-levels"),
        pytest.param([i / 7 for i in range(8)], "▁▂▃▄▅▆▇█", id="all"),
        pytest.param([-1e9, 1e9], "▁█", id="large"),
    ],
)
def test_sparkline(values: list[float], bars: str) -> None:
    assert sparkline(values) == bars


# The groups of one run


def grouped(rooms: int, **options: object) -> str:
    """`score --group` over `rooms` rooms of two images, the first room the worst in both metrics."""
    images = [f"room{i:02}/{light}" for i in range(rooms) for light in ("day", "night")]
    scores = {
        "charbonnier": [0.5 - i / 64 + j / 4 for i in range(rooms) for j in (0, 1)],
        "psnr": [math.inf if (i, j) == (1, 0) else 10.0 + i - j for i in range(rooms) for j in (0, 1)],
    }
    out = io.StringIO()
    run = replace(scored("out", scores, images), grouping=BY_ROOM)
    run_console.show(run, Console(file=out, width=80, highlight=False, markup=False), **options)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


GROUPED = """\
Means by room, worst first (by mean rank)
room    images  charb.     psnr
───────────────────────────────
room00       2  0.6250   9.5000
room01       2  0.6094  10.0000
room02       2  0.5938  11.5000

Means by light, worst first (by mean rank)
light  images  charb.     psnr
──────────────────────────────
night       3  0.7344  10.0000
day         3  0.4844  11.0000

"""


def test_the_groups_of_one_run_worst_first() -> None:
    """Room 1 has an infinite PSNR, which is left out of its mean and of that of its light."""
    assert GROUPED in grouped(3)


def test_ten_groups_are_listed_and_all_of_them_with_verbose() -> None:
    assert "… and 2 more (--verbose lists all)" in grouped(12)
    assert "room10 " not in grouped(12)
    assert "room10 " in grouped(12, every=True)
    assert "more (" not in grouped(12, every=True)


def test_json_lists_what_moved_most_first() -> None:
    (moved,) = strict(json(two()))["moved"]
    assert moved["run"] == "after"
    changes = [found["change"] for found in moved["improvements"]]
    assert changes == sorted(two().per_image("after", COLUMNS[0]).values())
    assert moved["regressions"] == []
    worse = replace(two(), by=COLUMNS[2])
    (moved,) = strict(json(worse))["moved"]
    assert moved["improvements"] == []
    assert [found["change"] for found in moved["regressions"]] == sorted(worse.per_image("after", COLUMNS[2]).values())


# What is wrong with the images of each run


def diagnosed() -> Comparison:
    """Of the images a, b and d, in the first run two have a cast; in the second b has, and d is not any more."""
    first, second = everything(), everything()
    swapped = {"a": first.rows[1], "b": first.rows[0], "d": first.rows[1]}
    rows = tuple(replace(row, scores=swapped[row.name].scores) if row.name in swapped else row for row in second.rows)
    return compare({"first": first, "second": replace(second, rows=rows)}, metrics=["psnr"])


def test_what_is_wrong_is_counted_for_each_run_though_its_columns_are_not_compared() -> None:
    found = diagnosed()
    assert {column.metric for column in found.columns} == {"psnr"}
    text = shown(found)
    table = text[text.index("Why: images by their main finding") :].splitlines()
    assert [line.split() for line in table[1:5] if line.strip("─ ")] == [
        ["finding", "first", "second"],
        ["colour", "cast", "2", "1"],
        ["nothing", "stands", "out", "1", "2"],
    ]
    runs = json_files.loads(json(found))["runs"]
    assert [run["findings"] for run in runs] == [
        {"colour cast": 2, "nothing stands out": 1},
        {"colour cast": 1, "nothing stands out": 2},
    ]
    jsonschema.validate(json_files.loads(json(found)), SCHEMA)


def test_runs_without_a_diagnosis_have_no_such_table() -> None:
    assert "Why" not in shown(two())
    assert [run["findings"] for run in json_files.loads(json(two()))["runs"]] == [{}, {}]


def test_images_by_change_have_the_largest_first_whichever_way_and_run() -> None:
    base = scored("a", {"ssim": [0.5, 0.5, 0.5]}, ["x", "y", "z"])
    up = scored("b", {"ssim": [0.6, 0.5, 0.7]}, ["x", "y", "z"])
    down = scored("c", {"ssim": [0.1, 0.5, 0.5]}, ["x", "y", "z"])
    assert by_change(compare({"a": base, "b": up, "c": down})) == ["x", "z", "y"]
