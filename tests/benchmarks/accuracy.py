"""How far the scores are from float64: the answers to what is not a matter of time. REPORTS, as WORKS, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from relight_eval import weights
from relight_eval.evaluate import evaluate
from tests.benchmarks import by_hand, limits
from tests.benchmarks.works import files, folders, settings
from tests.metrics import references

REFERENCE_SIDE = 48  # the references in NumPy are too slow for more
METRICS = ("charbonnier", "wssim", "vgg19", "psnr", "ssim")


def accuracy(root: str, count: int, device: str) -> dict[str, Any]:
    """The largest relative error of each column against the loop by hand in float64, for both precisions.

    `reference` is how far that loop itself is, in float64, from the independent references of the tests.
    """
    network = by_hand.VGG19(weights.find(offline=True).tensors).double()
    pairs = [tuple(_float64(path) for path in pair) for pair in files(root, count)]
    expected = [by_hand.scores(x, y, METRICS, network) for x, y in pairs]
    found = {}
    for precision in ("exact", "fast"):
        results = evaluate(*folders(root, count), metrics=METRICS, settings=settings(precision), device=device)
        errors = [_relative_errors(row.scores, e) for row, e in zip(results.rows, expected, strict=True)]
        found[precision] = {column: max(error[column] for error in errors) for column in errors[0]}
    return {"columns": found, "reference": _reference_error(*pairs[-1], network), "pairs": count, "device": device}


def _float64(path: Path) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB")) / 255).permute(2, 0, 1)[None].contiguous()


def _relative_errors(found: dict[str, float], expected: dict[str, float]) -> dict[str, float]:
    """Of each column; equal values err by 0, also where both are infinite or 0, and any other from 0 infinitely."""

    def error(found: float, expected: float) -> float:
        if found == expected:
            return 0.0
        return abs(found - expected) / abs(expected) if expected else math.inf

    return {column: error(found[column], value) for column, value in expected.items()}


def _centre(image: Tensor) -> Tensor:
    top, left = ((side - REFERENCE_SIDE) // 2 for side in image.shape[-2:])
    return image[..., top : top + REFERENCE_SIDE, left : left + REFERENCE_SIDE].contiguous()


def _reference_error(x: Tensor, y: Tensor, network: by_hand.VGG19) -> float:
    x, y = (_centre(image) for image in (x, y))
    a, b = (image[0].permute(1, 2, 0).numpy() for image in (x, y))
    expected = {
        "charbonnier": references.charbonnier(a, b),
        "psnr": references.psnr(a, b),
        "ssim": references.ssim(a, b),
        **references.wssim(a, b),
        **references.vgg19(a, b, weights.find(offline=True).tensors),
    }
    del expected["loss"]
    return max(_relative_errors(by_hand.scores(x, y, METRICS, network), expected).values())


REPORTS: dict[str, Callable[..., dict[str, Any]]] = {"accuracy": accuracy, "limits": limits.arithmetic}
