"""Every score column, described: which way is up, its range, what it means.

Without torch, so that rules are checked and saved tables are read and judged without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from relight_eval.results import Column


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


def known(names: Iterable[str] = ()) -> dict[str, Column]:
    """All columns by name, with the usual settings but as many W-SSIM levels as `names` have."""
    levels = max((int(level) for level in re.findall(r"\bwssim_ll([1-8])\b", " ".join(names))), default=2)
    every = (charbonnier(), wssim(levels), vgg19(), psnr(), ssim(), lpips(), mps())
    return {column.name: column for columns in every for column in columns}
