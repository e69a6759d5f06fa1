"""Results made by hand with all that a run may have: diagnosis, floors, input, mask, aligned and regional scores."""

from __future__ import annotations

import math
from typing import Any

from relight_eval.columns import known
from relight_eval.results import Results, Row

NAMES = (
    *("charbonnier", "psnr", "ssim"),
    *(name for name, column in known().items() if column.metric == "diagnosis"),
    *("align_gain_r", "align_gain_g", "align_gain_b", "charbonnier_aligned", "psnr_aligned", "ssim_aligned"),
    *("psnr_shadows", "psnr_midtones", "psnr_highlights"),
)
# A diagnosis in which nothing stands out; without the optional ones where there is nothing of that kind.
WELL = {name: known()[name].identical for name in NAMES if known()[name].metric == "diagnosis"} | {
    "share_rest": 1.0,
    "share_ll2": 1.0,
    "copy_ratio": 0.2,
}
OPTIONAL = [name for name in NAMES if known()[name].optional]
CAST = {
    "ev_error": 0.2,
    "ev_median": 0.2,
    "gain_r": 0.8,
    "gain_b": 1.25,
    "wb_angle": 6.25,
    "share_colour": 0.86,
    "share_rest": 0.14,
}


def scores(level: float, **diagnosis: float) -> dict[str, float]:
    """Scores that are the better the higher the level, 0 to 1."""
    raw = {"charbonnier": 0.2 - 0.1 * level, "psnr": 20 + 10 * level, "ssim": 0.5 + 0.25 * level}
    aligned = {f"{name}_aligned": score for name, score in raw.items()}
    fitted = {f"align_gain_{channel}": 1.5 for channel in "rgb"}
    regional = {f"psnr_{region}": 18 + 10 * level for region in ("shadows", "midtones", "highlights")}
    found = {**raw, **WELL, **diagnosis, **fitted, **aligned, **regional}
    return {name: found[name] for name in NAMES}


def floors(**psnr: float) -> dict[str, dict[str, float]]:
    """Of black and the mean colour, and of these."""
    found = {"black": 8.0, "mean colour": 12.0, **psnr}
    return {
        floor: {
            **{"charbonnier": 0.5, "psnr": value, "ssim": 0.25},
            **{"charbonnier_aligned": 0.5, "psnr_aligned": value, "ssim_aligned": 0.25},
        }
        for floor, value in found.items()
    }


def beside(name: str) -> dict[str, Any]:
    return {
        "input": f"in/{name}.png",
        "mask": f"mask/{name}.png",
        "digests": {"input": f"0{name}", "mask": f"1{name}"},
    }


ROWS = (
    Row(
        *("a", "out/a.png", "gt/a.png", 64, 48, scores(0.0, **CAST)),
        mistakes=("the prediction has one colour only", "the prediction is the same file as that of b"),
        floors=floors(input=16.0),
        **beside("a"),
    ),
    Row(
        *("b", "out/b.png", "gt/b.png", 64, 48),
        scores={name: score for name, score in scores(1.0).items() if name not in OPTIONAL},
        floors=floors(input=math.inf),
        **beside("b"),
    ),
    Row("c", "out/c.png", "gt/c.png", status="error", error="no mask of this name (looked in mask/)", input="in/c.png"),
    Row("d", "out/d.png", "gt/d.png", 64, 48, scores(0.5, **CAST), floors=floors(input=18.0), **beside("d")),
)


def everything(rows: tuple[Row, ...] = ROWS, thresholds: dict[str, float] | None = None) -> Results:
    return Results(
        prediction="out",
        target="gt",
        columns=tuple(known()[name] for name in NAMES),
        rows=rows,
        signature={"relight-eval": "0.1.0", "align": "gain", "regions": "three", "mask": ">0"},
        seconds=2.0,
        thresholds=thresholds or {},
    )
