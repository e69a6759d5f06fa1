"""The pairs on which every metric is compared with its reference, made once, and how they are fed to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from relight_eval.metrics import Batch, Metric
from tests.metrics.references import Array

Image = NDArray[np.uint8]  # (H, W, 3)
Pair = tuple[Image, Image]  # prediction, target

SIZES = [(64, 64), (47, 33), (33, 48), (16, 16), (17, 19)]  # height, width: even and odd, in either

# What the contract promises, where that is tight already.
ATOL = 1e-5
VGG19_RTOL = 1e-5
INVARIANCE = 1e-6

# What holds on these cases: three times the largest error that was seen.
CHARBONNIER_ATOL = 2e-7  # float32 rounds a difference of 1 by 6e-8
PSNR_ATOL_DB = 1e-11  # of whole levels; 3e-6 of float32 in [0, 1]
SSIM_ATOL = 1e-6
LPIPS_ATOL = 1e-6

# Cases with large flat parts far from the mean of the image, the hardest of all for SSIM in float32: only ATOL holds.
FLAT_PARTS = ("halves",)


def field_pair() -> Pair:
    """The 64x64 pair of the project's reference numbers: i row, j column, c channel."""
    i, j, c = np.meshgrid(np.arange(64), np.arange(64), np.arange(3), indexing="ij")
    prediction, target = (7 * i + 11 * j + 29 * c + 40) % 256, (7 * i + 13 * j + 29 * c) % 256
    return prediction.astype(np.uint8), target.astype(np.uint8)


def noise(height: int, width: int, low: int = 0, high: int = 255, *, seed: int = 0) -> Image:
    """Uniform noise of the levels low to high."""
    return np.random.default_rng(seed).integers(low, high + 1, (height, width, 3), dtype=np.uint8)


def flat(height: int, width: int, level: int) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def near(image: Image, levels: int) -> Image:
    """The image with every value at most `levels` off."""
    offset = np.random.default_rng(1).integers(-levels, levels + 1, image.shape)
    return np.clip(image + offset, 0, 255).astype(np.uint8)


def one_level(image: Image) -> Image:
    """The image with its middle pixel one level brighter."""
    other = image.copy()
    other[image.shape[0] // 2, image.shape[1] // 2] += 1
    return other


def white_where(height: int, width: int, white: Callable[[Array, Array], Array]) -> Image:
    """White where `white(row, column)` is not 0, black elsewhere."""
    plane = np.fromfunction(white, (height, width)) != 0
    return np.repeat(plane[..., None], 3, axis=2).astype(np.uint8) * 255


CONTENTS: dict[str, Callable[[int, int], Pair]] = {
    "noise": lambda h, w: (noise(h, w), noise(h, w, seed=1)),
    "close": lambda h, w: (near(noise(h, w), 3), noise(h, w)),
    "identical": lambda h, w: (noise(h, w), noise(h, w)),
    "black": lambda h, w: (flat(h, w, 0), noise(h, w)),
    "white": lambda h, w: (flat(h, w, 255), noise(h, w)),
    "black_white": lambda h, w: (flat(h, w, 0), flat(h, w, 255)),
    "dark": lambda h, w: (noise(h, w, 0, 15), noise(h, w, 0, 15, seed=1)),
    "bright": lambda h, w: (noise(h, w, 230), noise(h, w, 230, seed=1)),
    "bright_close": lambda h, w: (near(noise(h, w, 230), 1), noise(h, w, 230)),
    "bright_flat": lambda h, w: (flat(h, w, 250), flat(h, w, 251)),
    "bright_one_level": lambda h, w: (one_level(noise(h, w, 230, 254)), noise(h, w, 230, 254)),
    "halves": lambda h, w: (
        white_where(h, w, lambda i, j: j < w // 2),
        white_where(h, w, lambda i, j: i < h // 2),
    ),
    "stripes": lambda h, w: (white_where(h, w, lambda i, j: i % 2), white_where(h, w, lambda i, j: j % 2)),
}

CASES: dict[str, Pair] = {"field-64x64": field_pair()} | {
    f"{content}-{width}x{height}": make(height, width) for height, width in SIZES for content, make in CONTENTS.items()
}


def each_case(cases: Iterable[str] = CASES, *, smallest: int = 1, largest: int = 64) -> pytest.MarkDecorator:
    """Parametrizes `pair` with those of the cases whose sides are all between `smallest` and `largest`."""
    fitting = [
        case for case in cases if smallest <= min(CASES[case][0].shape[:2]) and max(CASES[case][0].shape[:2]) <= largest
    ]
    assert fitting, "no case is left"
    return pytest.mark.parametrize("pair", [CASES[case] for case in fitting], ids=fitting)


def as_float64(pair: Pair) -> tuple[Array, Array]:
    """As the references take it: (H, W, 3) float64 in [0, 1]."""
    prediction, target = (image / 255 for image in pair)
    return prediction, target


def as_stored(*pairs: Pair) -> tuple[Tensor, Tensor]:
    """As the engine feeds them: predictions and targets, each (N, 3, H, W) uint8."""
    prediction, target = (
        torch.stack([torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images])
        for images in zip(*pairs, strict=True)
    )
    return prediction, target


def to_tensors(*pairs: Pair) -> tuple[Tensor, Tensor]:
    """As a model has them: predictions and targets, each (N, 3, H, W) float32 in [0, 1]."""
    prediction, target = (side.float().div_(255) for side in as_stored(*pairs))
    return prediction, target


def to_batch(*pairs: Pair) -> Batch:
    return Batch(*as_stored(*pairs))


def scores(metric: Metric, *pairs: Pair) -> list[dict[str, float]]:
    """One dict of columns per pair, scored as one batch."""
    names = [column.name for column in metric.columns]
    return [dict(zip(names, row, strict=True)) for row in metric.score(to_batch(*pairs)).double().tolist()]


def score(metric: Metric, pair: Pair) -> dict[str, float]:
    """The columns of one pair, scored alone."""
    return scores(metric, pair)[0]
