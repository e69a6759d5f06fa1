"""Scores in the shadows, the mid-tones and the highlights of the target.

Shadows are the pixels whose luminance, in linear light, is below a quarter of the target's mean (as in `diagnosis`,
whose shadows are blocks), highlights those above twice the mean, mid-tones the rest: relative to the image, for an
absolute bound would call all of a night scene shadow. What is within a millionth of a bound is mid-tone, however it is
rounded. Charbonnier and PSNR are over the pixels of a region, SSIM is over the windows whose middle lies in it, with a
mask only over those that lie inside the mask whole. An image without a region has no scores of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.diagnosis import DARK, is_above, is_below, luminance
from relight_eval.metrics.masks import inside, mean_over
from relight_eval.metrics.metric import Batch, Map, Metric
from relight_eval.metrics.pieces import double

BRIGHT = 2.0  # times the mean luminance of the target: above lie the highlights


def regions(target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
    """The regions of each target (N, 3, H, W), uint8 or float in [0, 1]: name -> (N, H, W) bool, one of them true.

    With a `mask` of that shape the mean is over what lies inside, and so are the regions.
    """
    light = luminance(target)
    inside = torch.ones_like(light, dtype=torch.bool) if mask is None else mask
    total = (light * inside).sum(dim=(1, 2), keepdim=True, dtype=double(light))
    mean = total / inside.sum(dim=(1, 2), keepdim=True)
    shadows, highlights = is_below(light, DARK * mean), is_above(light, BRIGHT * mean)
    found = {"shadows": shadows, "midtones": ~(shadows | highlights), "highlights": highlights}
    return {name: region & inside for name, region in found.items()}


def protocol() -> str:
    return f"shadows<{DARK:g}*mean,highlights>{BRIGHT:g}*mean"


def metric(inner: Sequence[Metric]) -> Metric:
    """Of these metrics, those that `columns.REGIONAL` names, in every region."""
    regional = [metric for metric in inner if metric.name in columns.REGIONAL]
    described = tuple(column for metric in regional for column in columns.regional(metric.columns[0]))

    def score(batch: Batch) -> Tensor:
        of_target = regions(batch.target, batch.mask)
        found = [_scores(metric, batch, region) for metric in regional for region in of_target.values()]
        return torch.stack(found, dim=1)

    return Metric("regions", described, score, max(metric.min_side for metric in regional))


def _scores(metric: Metric, batch: Batch, region: Tensor) -> Tensor:
    """(N,); NaN where there is no such region."""
    assert metric.maps is not None, "columns.REGIONAL names only metrics with maps"
    assert metric.combined is not None

    def places(found: Map) -> Tensor:
        here = inside(region, found._replace(reach=0))
        return here if batch.mask is None else here & inside(batch.mask, found)

    maps = batch.once_of(metric.maps)
    return metric.combined({name: mean_over(places(found), found.values) for name, found in maps.items()})[:, 0]
