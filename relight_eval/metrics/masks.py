"""Scores of the part of an image that a mask leaves, computed from where a metric's values come from.

A masked pair is not scored as an image that was painted black outside: an object on black has an outline that every
metric sees, and black equals black, which flatters. Instead the metric's maps are computed of the whole images and
averaged over the places that see nothing of what is outside (`inside`). So what is outside has no influence: none on
Charbonnier, PSNR, SSIM, W-SSIM and VGG19. LPIPS, and with it MPS, is averaged over the pixels of the mask, as papers
do it; its network sees up to a hundred pixels around.

So a mask must have some width: one pixel for Charbonnier, PSNR and LPIPS, 11 for SSIM and MPS, 44 for W-SSIM (at level
2; a band of level n takes 11·2^n) and 28 for VGG19, both a few more where the mask does not begin at a whole block.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from relight_eval.metrics.metric import Batch, Map, Metric
from relight_eval.metrics.pieces import double

PROTOCOL = ">0,eroded by what a place sees"  # of the signature


def masked_scores(metric: Metric, batch: Batch) -> Tensor:
    """The scores of each pair inside its mask: (N, columns), as `metric.score` gives them of whole images.

    NaN in the columns of which no place lies inside: the mask is smaller than what these see at once. Without a mask,
    and for a metric that minds the mask itself, these are the metric's own scores.
    """
    if batch.mask is None or metric.maps is None or metric.combined is None:
        return metric.score(batch)
    return metric.combined(masked_means(batch.once_of(metric.maps), batch.mask))


def masked_means(maps: Mapping[str, Map], mask: Tensor) -> dict[str, Tensor]:
    """The mean of each map over the places inside the mask, (N,) float64; NaN where there is none.

    `mask` is (N, H, W) bool, of the images that the maps were made of.
    """
    return {name: mean_over(inside(mask, found), found.values) for name, found in maps.items()}


def mean_over(places: Tensor, values: Tensor) -> Tensor:
    """The mean of the values (N, h, w) where `places` is true, (N,) float64; NaN where it nowhere is."""
    # chosen and not multiplied: what is outside may be NaN
    return torch.where(places, values, 0).sum(dim=(1, 2), dtype=double(values)) / places.sum(dim=(1, 2))


def inside(mask: Tensor, map: Map) -> Tensor:
    """Whether each place of the map lies inside the mask, (N, H, W) bool, as defined there: (N, h, w) bool."""
    size, origin = map.values.shape[-2:], map.origin
    blocks = _any_outside(mask, 2**map.halvings)
    before = max(-origin, 0)
    behind = [max(places + origin - count, 0) for places, count in zip(size, blocks.shape[-2:], strict=True)]
    blocks = pad(blocks, (before, behind[1], before, behind[0]))  # 0: beyond the border nothing is outside
    for kernel in ((2 * map.reach + 1, 1), (1, 2 * map.reach + 1)):
        blocks = max_pool2d(blocks, kernel, stride=1, padding=(kernel[0] // 2, kernel[1] // 2))
    first = max(origin, 0)
    return blocks[:, first : first + size[0], first : first + size[1]] == 0


def _any_outside(mask: Tensor, side: int) -> Tensor:
    """1 where a pixel of a block of side × side is outside the mask, else 0: (N, H // side, W // side)."""
    return max_pool2d((~mask).float(), side)
