"""Results made by hand, with every kind of row, for the tests of whoever reads Results."""

from __future__ import annotations

import math

from relight_eval.results import Column, Results, Row, Verdict

COLUMNS = (
    Column("charbonnier", "charbonnier", "lower", 0.001, 1.0000005, 0.001, "robust difference"),
    Column("psnr", "psnr", "higher", 0.0, math.inf, math.inf, "peak signal-to-noise ratio", "dB"),
    Column("ssim", "ssim", "higher", -1.0, 1.0, 1.0, "structural similarity"),
    Column("vgg19", "vgg19", "lower", 0.0, math.inf, 0.0, "distance of features"),
)

ROWS = (
    Row("a", "out/a.png", "gt/a.png", 64, 48, {"charbonnier": 0.1 + 0.2, "psnr": 21.5, "ssim": 0.75}),
    Row(
        *("b10", "out/b10.gif", "gt/b10.png", 64, 48, {"charbonnier": 0.001, "psnr": math.inf, "ssim": 1.0}),
        note="prediction: first of 12 frames",
    ),
    Row("broken", "out/broken.png", "gt/broken.png", status="error", error="out/broken.png: truncated"),
    Row("extra", "out/extra.png", status="missing_target", error="no target of this name"),
    Row("gone", target="gt/gone.png", status="missing_prediction", error="no prediction of this name"),
    Row(
        *("small", "out/small.png", "gt/small.png", 9, 9, {"charbonnier": 0.02, "psnr": 33.0}),
        status="error",
        error="9x9 is too small for ssim (needs 11x11)",
    ),
)

VERDICTS = (
    Verdict(
        rule="images of the baseline",
        outcome="fail",
        line="1 of 3 images of the baseline are gone: old",
        value=1.0,
        threshold=0.0,
        each=True,
        judged={"a": 0.0, "b10": 0.0, "old": 1.0},
        failing=("old",),
    ),
    Verdict(
        rule="mean charbonnier <= 0.2",
        outcome="pass",
        line="mean charbonnier 0.1070 <= 0.2 (by 0.0930)",
        value=0.107,
        threshold=0.2,
        column="charbonnier",
        judged={"a": 0.30000000000000004, "b10": 0.001, "small": 0.02},
        failing=("a",),
    ),
    Verdict(
        rule="each ssim >= 0.75001",
        outcome="fail",
        line="each ssim: 1 of 2 images < 0.75001 (worst 0.75, by 1e-05)",
        value=0.75,
        threshold=0.75001,
        op=">=",
        column="ssim",
        each=True,
        judged={"a": 0.75, "b10": 1.0},
        failing=("a",),
        reason="seams show below 0.75",
    ),
    Verdict(
        rule="each psnr >= 22",
        outcome="warn",
        line="each psnr: 1 of 3 images < 22 (worst 21.5000, by 0.5000)",
        value=21.5,
        threshold=22.0,
        op=">=",
        column="psnr",
        each=True,
        judged={"a": 21.5, "b10": math.inf, "small": 33.0},
        failing=("a",),
    ),
    Verdict(
        rule="mean psnr drop <= 0.5",
        outcome="warn",
        line="mean psnr drop 0.3000, cannot tell: 2 images are too few for this margin of 0.5 (an interval needs 6)",
        value=0.3,
        threshold=0.5,
        column="psnr",
        judged={"a": 0.7, "small": -0.1},
        failing=("a",),
        undecided=True,
    ),
    Verdict(
        rule="each ssim drop <= 0.02",
        outcome="fail",
        line="each ssim drop <= 0.02: all 1 images (worst 0, by 0.0200); 1 images have no ssim any more: small",
        value=0.0,
        threshold=0.02,
        column="ssim",
        each=True,
        judged={"a": 0.0},
        failing=("small",),
    ),
    Verdict(
        rule="each scene mean ssim >= 0.8",
        outcome="fail",
        line="each scene mean ssim: 1 of 2 scene groups < 0.8 (worst 0.7500, by 0.0500)",
        value=0.75,
        threshold=0.8,
        op=">=",
        column="ssim",
        unit="scene",
        each=True,
        judged={"kitchen": 0.75, "stairs": 1.0},
        failing=("kitchen",),
    ),
    Verdict(
        rule="min psnr of night/* >= 20",
        outcome="fail",
        line="min psnr of night/*: no image matches 'night/*', and a rule over nothing does not pass",
        value=math.nan,
        threshold=20.0,
        op=">=",
        column="psnr",
    ),
    Verdict(
        rule="max psnr >= 20",
        outcome="pass",
        line="max psnr inf >= 20 (by inf)",
        value=math.inf,
        threshold=20.0,
        op=">=",
        column="psnr",
        judged={"b10": math.inf},
    ),
)


def run(
    rows: tuple[Row, ...] = ROWS,
    warnings: tuple[str, ...] = ("vgg19 was left out",),
    verdicts: tuple[Verdict, ...] = (),
) -> Results:
    return Results(
        prediction="out/",
        target="gt/",
        columns=COLUMNS,
        rows=rows,
        signature={"relight-eval": "0.1.0", "charbonnier": "eps=0.001", "device": "cpu"},
        warnings=warnings,
        seconds=2.0,
        verdicts=verdicts,
    )
