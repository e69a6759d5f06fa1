"""Small images and folders of them, made for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from relight_eval.pairs import Pair, find

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 40, width: int = 48) -> Pixels:
    """A smooth random picture with some texture, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def worse(pixels: Pixels, amount: float, seed: int = 0) -> Pixels:
    """The picture with noise."""
    noise = np.random.default_rng(seed).normal(0, amount, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def write(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def two_folders(root: Path, count: int = 4, **size: int) -> tuple[Path, Path]:
    """`count` pairs im0, im1, … of growing noise, in prediction/ and target/ below `root`."""
    for i in range(count):
        target = picture(i, **size)
        write(root / "target" / f"im{i}.png", target)
        write(root / "prediction" / f"im{i}.png", worse(target, 4 + 6 * i, seed=i))
    return root / "prediction", root / "target"


def runs_of(root: Path, runs: int, count: int = 4, **size: int) -> list[Pair]:
    """The pairs of several runs, run0/, run1/, … below `root`, with one target/, those of a target together."""
    for i in range(count):
        target = picture(i, **size)
        write(root / "target" / f"im{i}.png", target)
        for k in range(runs):
            write(root / f"run{k}" / f"im{i}.png", worse(target, 4 + 6 * k, seed=100 * k + i))
    found = [find(root / f"run{k}", root / "target").pairs for k in range(runs)]
    return [pair for of_target in zip(*found, strict=True) for pair in of_target]
