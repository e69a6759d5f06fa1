"""Results made by hand, with every kind of row, for the tests of whoever reads Results."""

from __future__ import annotations

import math

from relight_eval.results import Column, Results, Row

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


def run(rows: tuple[Row, ...] = ROWS, warnings: tuple[str, ...] = ("vgg19 was left out",)) -> Results:
    return Results(
        prediction="out/",
        target="gt/",
        columns=COLUMNS,
        rows=rows,
        signature={"relight-eval": "0.1.0", "charbonnier": "eps=0.001", "device": "cpu"},
        warnings=warnings,
        seconds=2.0,
    )
