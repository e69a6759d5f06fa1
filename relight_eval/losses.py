"""The training side: the three terms of the S3Net loss, and their sum, as modules.

They are built of the functions that the metrics are built of, so what is minimised is what is reported. Each takes
(prediction, target), both (N, 3, H, W) float, sRGB in [0, 1], and returns a scalar: the mean over the batch. They work
on any device. Charbonnier and W-SSIM are computed in float32 where the images or autocast have half precision, in
float64 for float64 images; VGG19 in the dtype of its module, and under autocast in autocast's.

    loss = S3NetLoss()
    terms = loss(model(image), target)
    terms.total.backward()
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from relight_eval.metrics import Settings, charbonnier, vgg19, wssim
from relight_eval.metrics.pieces import working_dtype
from relight_eval.weights import VGG19Weights, loaded


class S3NetTerms(NamedTuple):
    """The weighted sum, and the three terms before weighting; scalars."""

    total: Tensor
    charbonnier: Tensor
    wssim: Tensor
    vgg19: Tensor


class CharbonnierLoss(nn.Module):
    """Mean Charbonnier distance: eps for identical images. See `metrics.charbonnier`."""

    def __init__(self, *, eps: float = charbonnier.EPS) -> None:
        super().__init__()
        self.eps = Settings(charbonnier_eps=eps).charbonnier_eps

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        with _full_precision(prediction):
            return charbonnier.charbonnier(prediction, target, eps=self.eps).mean().to(working_dtype(prediction))


class WaveletSSIMLoss(nn.Module):
    """L of W-SSIM: −2 for identical images, lower is better; the score `wssim` is −L/2. See `metrics.wssim`.

    Raises UsageError for an unknown wavelet, or levels or a ratio out of their range.
    """

    def __init__(self, *, wavelet: str = wssim.WAVELET, levels: int = wssim.LEVELS, ratio: float = wssim.RATIO) -> None:
        super().__init__()
        Settings(wavelet=wavelet, wssim_levels=levels, wssim_ratio=ratio)  # raises
        self.wavelet, self.levels, self.ratio = wavelet, levels, ratio

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        with _full_precision(prediction):
            losses = wssim.wssim_loss(prediction, target, wavelet=self.wavelet, levels=self.levels, ratio=self.ratio)
            return losses.mean().to(working_dtype(prediction))


class VGG19Loss(nn.Module):
    """VGG19 perceptual distance at relu1_1, relu2_1, relu3_1; 0 for identical images. See `metrics.vgg19`.

    `weights` is a file, loaded weights, or None to look for them as `relight-eval weights show` tells (and to fetch
    them unless `offline`); WeightsError when there are none. They move with the module and are not trained. The
    target is detached. Computed in the module's dtype, under autocast in autocast's.
    """

    def __init__(
        self,
        weights: VGG19Weights | str | Path | None = None,
        *,
        preset: str = "s3net",
        offline: bool = False,
    ) -> None:
        super().__init__()
        Settings(vgg19_preset=preset)  # raises
        self.features = vgg19.VGG19Features(loaded(weights, offline=offline), preset)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        distances = vgg19.layer_distances(self.features, prediction, target)
        return vgg19.weighted(distances.to(self.features.mean.dtype)).mean()


class S3NetLoss(nn.Module):
    """lambda1·Charbonnier + lambda2·L of W-SSIM + lambda3·VGG19, with its parts (Yang et al., CVPRW 2021).

    The lambdas of the paper are not published; 1 is this tool's default, not S3Net's. The other arguments are those
    of the parts; with lambda3 = 0 no weights are needed, and that part is 0.
    """

    def __init__(
        self,
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        lambda3: float = 1.0,
        *,
        eps: float = charbonnier.EPS,
        wavelet: str = wssim.WAVELET,
        levels: int = wssim.LEVELS,
        ratio: float = wssim.RATIO,
        preset: str = "s3net",
        weights: VGG19Weights | str | Path | None = None,
        offline: bool = False,
    ) -> None:
        super().__init__()
        self.lambdas = (lambda1, lambda2, lambda3)
        self.charbonnier = CharbonnierLoss(eps=eps)
        self.wssim = WaveletSSIMLoss(wavelet=wavelet, levels=levels, ratio=ratio)
        self.vgg19 = VGG19Loss(weights, preset=preset, offline=offline) if lambda3 else None

    def forward(self, prediction: Tensor, target: Tensor) -> S3NetTerms:
        pixels = self.charbonnier(prediction, target)
        features = self.vgg19(prediction, target) if self.vgg19 else torch.zeros_like(pixels)
        parts = (pixels, self.wssim(prediction, target), features)
        total = sum(weight * part for weight, part in zip(self.lambdas, parts, strict=True))
        return S3NetTerms(torch.as_tensor(total), *parts)


def _full_precision(image: Tensor) -> torch.autocast:
    """Autocast off: the variances of SSIM cancel in half precision."""
    return torch.autocast(image.device.type, enabled=False)
