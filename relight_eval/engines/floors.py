"""Floors: predictions that take no skill, made of the target alone. What they score is what a score is worth.

An all-black image can reach an SSIM of 0.71 on dark sets. (The third floor, copying the input, needs no making.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def black(target: Tensor, mask: Tensor | None = None) -> Tensor:
    """(3, H, W): nothing."""
    return torch.zeros_like(target)


def mean_colour(target: Tensor, mask: Tensor | None = None) -> Tensor:
    """(3, H, W): the mean of each channel of the target everywhere, of sRGB values; rounded where they are uint8.

    With a `mask`, (H, W) bool, that of the pixels inside: what is outside has no say in any score.
    """
    pixels = target.flatten(1) if mask is None else target[:, mask]
    mean = pixels.to(torch.float64).mean(dim=1)
    mean = mean if target.is_floating_point() else mean.round()
    return mean.to(target.dtype)[:, None, None].expand_as(target).contiguous()


FLOORS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {"black": black, "mean colour": mean_colour}
