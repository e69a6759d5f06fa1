"""Batches of images that hypothesis draws: all that a file may hold, extremes first."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor

from relight_eval.metrics import Batch

CONTENTS = ("black", "white", "flat", "near white", "dark", "noise", "one pixel", "halves")
DTYPES = (torch.uint8, torch.float32)


class Drawn(NamedTuple):
    """Predictions and targets (N, 3, H, W), what was relit, and masks (N, H, W) or none."""

    prediction: Tensor
    target: Tensor
    input: Tensor
    mask: Tensor | None

    def batch(self, *pairs: int) -> Batch:
        """These pairs, all of them for none."""
        chosen = list(pairs) or list(range(len(self.target)))
        mask = None if self.mask is None else self.mask[chosen]
        return Batch(self.prediction[chosen], self.target[chosen], input=self.input[chosen], mask=mask)


def content(kind: str, height: int, width: int, seed: int) -> Tensor:
    """(3, H, W) float32 in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(3, height, width, generator=generator)
    level = noise[:, :1, :1].expand_as(noise)
    image = {
        "black": torch.zeros_like(noise),
        "white": torch.ones_like(noise),
        "flat": level,
        "near white": 1 - noise * 0.02,
        "dark": noise * 0.05,
        "noise": noise,
        "one pixel": torch.zeros_like(noise),
        "halves": torch.ones_like(noise),
    }[kind].clone()
    if kind == "one pixel":
        image[:, height // 2, width // 2] = 1
    if kind == "halves":
        image[:, : height // 2] = 0
    return image


def stored(image: Tensor, dtype: torch.dtype) -> Tensor:
    return (image * 255).round().to(torch.uint8) if dtype == torch.uint8 else image.to(dtype)


@st.composite
def images(draw: st.DrawFn, count: int, height: int, width: int) -> Tensor:
    """(count, 3, H, W) float32."""
    return torch.stack(
        [content(draw(st.sampled_from(CONTENTS)), height, width, draw(st.integers(0, 99))) for _ in range(count)]
    )


@st.composite
def batches(draw: st.DrawFn, *, smallest: int = 1, largest: int = 40, most: int = 4, masked: bool = False) -> Drawn:
    """Up to `most` pairs of one size; a prediction is like its target, all but equal to it, or has nothing of it."""
    count = draw(st.integers(1, most))
    height, width = (draw(st.integers(smallest, largest)) for _ in range(2))
    dtype, of_input = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(DTYPES))
    target, other, input = (draw(images(count, height, width)) for _ in range(3))
    part = draw(st.sampled_from((0.0, 1e-5, 0.01, 0.3, 1.0)))
    prediction = target + part * (other - target)
    mask = None
    if masked and draw(st.booleans()):
        mask = torch.ones(count, height, width, dtype=torch.bool)
        mask[:, : height // 4] = False
    return Drawn(stored(prediction.clamp(0, 1), dtype), stored(target, dtype), stored(input, of_input), mask)
