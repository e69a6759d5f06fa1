"""PSNR: peak signal-to-noise ratio, the mean squared error on a logarithmic scale.

Definition    −10·log10(mean d²), with d = prediction − target in sRGB [0, 1],
              over all channels and pixels.
Source        The usual definition, with peak 1, on RGB (not luma), one value
              per image, then the mean of them.
Range         0 dB (black against white) to inf (identical images), higher is
              better.
How to read   The winners of the NTIRE 2021 relighting challenge reach about 19
              dB. 1 dB more is a fifth less squared error.
Traps         The mean of PSNRs is not the PSNR of the mean error. Identical
              images give inf: they are left out of the mean, and counted beside
              it. On dark images an all-black prediction reaches 22.9 dB.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.metric import Batch, Map, Metric, require_same_shape
from relight_eval.metrics.pieces import image_by_image, in_pieces, summed, total, white, working_dtype


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair in dB, with peak 1, over channels and pixels.

    Both: (N, C, H, W) sRGB, float in [0, 1] or uint8. Returns (N,); higher is better, inf for identical images.
    Raises ShapeError when the shapes differ.
    """
    require_same_shape(prediction, target)

    def squares(p: Tensor, t: Tensor, top: int) -> Tensor:
        return total((p - t).square())

    mse = summed(in_pieces(squares, prediction, target))[:, 0] / prediction[0].numel()
    return _decibels(mse, white(prediction))


def _decibels(mse: Tensor, peak: float) -> Tensor:
    return 10 * image_by_image(torch.log10, peak**2 / mse)  # (−10·log10 would make −0.0 of black against white)


@torch.no_grad()
def mse_map(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of d² over the channels of each pixel, with d in [−1, 1]: (N, H, W) float32. Arguments as `psnr`."""
    require_same_shape(prediction, target)
    p, t = (image.to(working_dtype(image)) for image in (prediction, target))
    return ((p - t).square().mean(dim=1) / white(prediction) ** 2).float()


def protocol() -> str:
    return "rgb,peak=1"


def metric() -> Metric:
    def score(batch: Batch) -> Tensor:
        return psnr(batch.prediction, batch.target)[:, None]

    def maps(batch: Batch) -> dict[str, Map]:
        return {"mse": Map(mse_map(batch.prediction, batch.target))}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        return _decibels(values["mse"], peak=1.0)[:, None]

    return Metric("psnr", columns.psnr(), score, maps=maps, combined=combined)
