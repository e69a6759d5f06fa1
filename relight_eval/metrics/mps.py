"""MPS: mean perceptual score, by which relighting challenges are ranked.

Definition    (SSIM + 1 − LPIPS) / 2 of each image, with `ssim` and `lpips` as
              defined here.
Source        El Helou et al., "AIM 2020: scene relighting and illumination
              estimation challenge", ECCV Workshops 2020, and "NTIRE 2021 depth
              guided image relighting challenge", CVPR Workshops 2021.
Range         About 0 to 1, higher is better, 1 for identical images. Needs at
              least 32×32 pixels.
How to read   The NTIRE 2021 winner (track 1) reaches 0.7663, S3Net (track 2)
              0.7609.
Traps         Participants used scikit-image's default SSIM (7×7 uniform
              window): their MPS differs from this one by up to 0.03. Recompute
              the numbers that you compare with.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.lpips import MIN_SIDE, lpips, map_of_batch, of_batch
from relight_eval.metrics.metric import Batch, Map, Metric
from relight_eval.metrics.ssim import padded_and_valid, padded_map, ssim, valid_map


def mps(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean perceptual score of each pair: (SSIM + 1 − LPIPS) / 2, (N,), higher is better, 1 for identical images.

    Both: (N, 3, H, W) float, sRGB in [0, 1], at least 32×32. Raises ShapeError when the shapes differ or
    the images are smaller.
    """
    return combined(ssim(prediction, target), lpips(prediction, target))


def combined(ssim: Tensor, lpips: Tensor) -> Tensor:
    return (ssim + 1 - lpips.to(ssim)) / 2


def protocol() -> str:
    return "(ssim+1-lpips)/2"


def metric() -> Metric:
    def score(batch: Batch) -> Tensor:
        return combined(batch.once(padded_and_valid)[1], of_batch(batch))[:, None]

    def maps(batch: Batch) -> dict[str, Map]:
        return {"ssim": valid_map(batch.once(padded_map)), "lpips": Map(map_of_batch(batch))}

    def of_means(values: Mapping[str, Tensor]) -> Tensor:
        return combined(values["ssim"], values["lpips"])[:, None]

    return Metric("mps", columns.mps(), score, min_side=MIN_SIDE, maps=maps, combined=of_means)
