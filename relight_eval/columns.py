"""Every score column, described: which way is up, its range, what it means.

Without torch, so that rules are checked and saved tables are read and judged without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from relight_eval.results import ALIGNED, Better, Column

REGIONS = {"shadows": "shadows", "midtones": "mid-tones", "highlights": "highlights"}  # behind a name -> in words
# The farthest that two colour temperatures are apart, in mired: from the least that McCamy's formula gives, at its
# turning point of n = −1.278, to 40000 K (see metrics.diagnosis).
LARGEST_SHIFT = 1e6 / (((449 * -1.278 + 3525) * -1.278 + 6823.3) * -1.278 + 5520.33) - 1e6 / 40_000
REGIONAL = ("charbonnier", "psnr", "ssim")  # the metrics that are told by region


def charbonnier(eps: float = 1e-3) -> tuple[Column, ...]:
    return (
        Column(
            name="charbonnier",
            metric="charbonnier",
            better="lower",
            low=eps,
            high=math.sqrt(1 + eps**2),
            identical=eps,
            meaning="mean sqrt(d² + ε²), a robust mean absolute difference",
        ),
    )


def wssim(levels: int = 2) -> tuple[Column, ...]:
    meanings = {"wssim": "weighted SSIM of the image and its subbands", "wssim_full": "SSIM of the image, zero padded"}
    for i in range(1, levels + 1):
        meanings |= {
            f"wssim_hl{i}": f"SSIM of horizontal edges, level {i}",
            f"wssim_lh{i}": f"SSIM of vertical edges, level {i}",
            f"wssim_hh{i}": f"SSIM of corners and fine texture, level {i}",
        }
    meanings[f"wssim_ll{levels}"] = "SSIM of what remains: shading"
    return tuple(
        Column(name=name, metric="wssim", better="higher", low=-1.0, high=1.0, identical=1.0, meaning=meaning)
        for name, meaning in meanings.items()
    )


def vgg19() -> tuple[Column, ...]:
    meanings = {"vgg19": "weighted distance of VGG19 features"} | {
        f"vgg19_{layer}": f"mean |difference| of the features at {layer}" for layer in ("relu1_1", "relu2_1", "relu3_1")
    }
    return tuple(
        Column(name=name, metric="vgg19", better="lower", low=0.0, high=math.inf, identical=0.0, meaning=meaning)
        for name, meaning in meanings.items()
    )


def psnr() -> tuple[Column, ...]:
    return (
        Column(
            name="psnr",
            metric="psnr",
            better="higher",
            low=0.0,
            high=math.inf,
            identical=math.inf,
            meaning="peak signal-to-noise ratio of RGB",
            unit="dB",
        ),
    )


def ssim() -> tuple[Column, ...]:
    return (
        Column(
            name="ssim",
            metric="ssim",
            better="higher",
            low=-1.0,
            high=1.0,
            identical=1.0,
            meaning="structural similarity, 11×11 Gaussian window, valid",
        ),
    )


def lpips() -> tuple[Column, ...]:
    return (
        Column(
            name="lpips",
            metric="lpips",
            better="lower",
            low=0.0,
            high=math.inf,
            identical=0.0,
            meaning="learned perceptual distance, AlexNet v0.1",
        ),
    )


def mps() -> tuple[Column, ...]:
    return (
        Column(
            name="mps",
            metric="mps",
            better="higher",
            low=-math.inf,
            high=1.0,
            identical=1.0,
            meaning="(SSIM + 1 − LPIPS) / 2, the ranking of NTIRE 2021",
        ),
    )


# What a diagnosis is made of: kind -> better, low, high, identical.
KINDS: dict[str, tuple[Better, float, float, float]] = {
    "stops": ("nearest", -16.0, 16.0, 0.0),
    "gain": ("nearest", 0.0, 2.0**16, 1.0),
    "angle": ("lower", 0.0, 90.0, 0.0),
    "mired": ("nearest", -LARGEST_SHIFT, LARGEST_SHIFT, 0.0),
    "share": ("none", 0.0, 1.0, 0.0),
    "place": ("none", 0.0, math.inf, 0.0),
    "overlap": ("higher", 0.0, 1.0, 1.0),
    "match": ("higher", -1.0, 1.0, 1.0),
    "part": ("lower", 0.0, 1.0, 0.0),
    "ratio": ("nearest", 0.0, math.inf, 1.0),
    "error": ("lower", 0.0, 1000.0, 0.0),
}
OPTIONAL = True  # of a column that a pair may lack: its target has no such thing
DIAGNOSIS: tuple[tuple[Any, ...], ...] = (  # name, kind, meaning, unit, whether it is optional
    ("ev_error", "stops", "exposure, least squares; + is too bright", "stops"),
    ("ev_median", "stops", "exposure, median; + is too bright", "stops", OPTIONAL),
    ("gain_r", "gain", "the gain that red needs, in linear light", ""),
    ("gain_g", "gain", "the gain that green needs, in linear light", ""),
    ("gain_b", "gain", "the gain that blue needs, in linear light", ""),
    ("wb_angle", "angle", "angle between the mean colours", "degrees"),
    ("mired_shift", "mired", "colour temperature; + is too warm", "mired"),
    ("share_exposure", "share", "of the squared error, what one gain takes away", ""),
    ("share_colour", "share", "what a gain for each channel takes away beyond that", ""),
    ("share_rest", "share", "what no gain takes away", ""),
    ("share_ll2", "share", "of the squared error, what is coarser than 4 pixels", ""),
    ("share_level2", "share", "what is 2 to 4 pixels fine", ""),
    ("share_level1", "share", "what is 1 to 2 pixels fine", ""),
    ("local_share", "share", "of the squared error, what the worst 1 % of tiles hold", ""),
    ("local_x", "place", "the middle of the worst tile, from the left", "pixels", OPTIONAL),
    ("local_y", "place", "the middle of the worst tile, from the top", "pixels", OPTIONAL),
    ("shadow_iou", "overlap", "overlap of the shadows, over their union", ""),
    ("shadow_missed", "part", "of the target's shadows, what is lit", ""),
    ("shadow_extra", "part", "of the prediction's shadows, what should be lit", ""),
    ("shadow_sharpness", "ratio", "contrast at the edges of shadows, over the target's", "", OPTIONAL),
    ("detail_edges", "ratio", "fine contrast at edges, over the target's", "", OPTIONAL),
    ("detail_texture", "ratio", "fine contrast elsewhere, over the target's", "", OPTIONAL),
    ("detail_match", "match", "correlation of fine contrast with the target's, block by block", "", OPTIONAL),
    ("blockiness", "ratio", "steps at every eighth column, over the target's", "", OPTIONAL),
)
OF_INPUT: tuple[tuple[Any, ...], ...] = (
    ("shadow_baked", "part", "of the input's shadows that should have gone, what is there", "", OPTIONAL),
    ("copy_ratio", "error", "error over that of copying the input", "", OPTIONAL),
)


def diagnosis(input: bool = False) -> tuple[Column, ...]:
    """With an input, two columns more."""

    def column(name: str, kind: str, meaning: str, unit: str, optional: bool = False) -> Column:
        return Column(name, "diagnosis", *KINDS[kind], meaning, unit, optional)

    return tuple(column(*row) for row in (*DIAGNOSIS, *(OF_INPUT if input else ())))


def align(*fitted: str) -> tuple[Column, ...]:
    """What was fitted to a prediction before its aligned scores, of "gain" and "offset": see `alignment`."""
    kinds = {"gain": (1.0, "what the alignment multiplied {} by"), "offset": (0.0, "what the alignment added to {}")}
    anything = -math.inf, math.inf
    return tuple(
        Column(f"align_{kind}_{channel[0]}", "align", "none", *anything, kinds[kind][0], kinds[kind][1].format(channel))
        for kind in fitted
        for channel in ("red", "green", "blue")
    )


def aligned(column: Column) -> Column:
    """The same score of the aligned prediction: a column of its own, so that no rule about the raw one is about it."""
    return replace(column, name=column.name + ALIGNED, meaning=f"{column.name} of the aligned prediction")


def regional(column: Column) -> tuple[Column, ...]:
    """The same score in each region of the target; an image may not have the region."""
    return tuple(
        replace(column, name=f"{column.name}_{region}", meaning=f"{column.name} in the {words}", optional=True)
        for region, words in REGIONS.items()
    )


def known(names: Iterable[str] = ()) -> dict[str, Column]:
    """All columns by name, with the usual settings but as many W-SSIM levels as `names` have."""
    levels = max((int(level) for level in re.findall(r"\bwssim_ll([1-8])\b", " ".join(names))), default=2)
    metrics = (charbonnier(), wssim(levels), vgg19(), psnr(), ssim(), lpips(), mps(), diagnosis(input=True))
    beside = [align("gain", "offset")]
    for columns in metrics[:-1]:
        beside.append((aligned(columns[0]),))
        beside.append(regional(columns[0]) if columns[0].metric in REGIONAL else ())
    return {column.name: column for columns in (*metrics, *beside) for column in columns}
