"""W-SSIM: the SSIM of an image and of its wavelet subbands, reported band by band.

Definition    L = −SSIM(full) − l_n·SSIM(LL_n)
                  − Σ_i [ m_i·(SSIM(HL_i) + SSIM(LH_i)) + h_i·SSIM(HH_i) ],
              over levels i = 1 … n, with l_i = r^(2i), m_i = r^(2i−1)·(1−r),
              h_i = r^(2i−2)·(1−r)². Haar (orthonormal), n = 2, r = 0.7. The
              weights sum to 2, so L = −2 for identical images. L is the
              training loss; the score is wssim = −L/2. SSIM inside: 11×11
              Gaussian, σ = 1.5, zero padded by 5, constants as for range 1 in
              every band. The columns are the SSIMs of the bands, unweighted.
Source        Yang et al., "Y-net", ICASSP 2020, and its public code; the second
              term of S3Net (CVPRW 2021).
Range         −1 to 1, higher is better, 1 for identical images.
How to read   ll2 low: the shading or the exposure is wrong. hl, lh low: edges
              (of shadows, too) are lost or in the wrong place: hl holds
              horizontal edges, lh vertical ones. hh: corners and fine texture.
Traps         Flat high bands score 1: all black against all white gives
              about 0.38. High bands change with the exposure. Copies with other
              levels, weights or Haar scaling give other values; this one is
              `ynet`. An odd last row or column is dropped before each level.
              Needs 2^n pixels on each side; where a band is smaller than the
              window, the zero padding fills the rest, as the definition says.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from relight_eval.metrics.metric import Batch, Metric, in_dtype, require_min_side, require_same_shape
from relight_eval.metrics.ssim import padded_and_valid, padded_ssim
from relight_eval.metrics.wavelets import HAAR, PADDING, subbands
from relight_eval.results import Column

WAVELET = "haar"
LEVELS = 2
RATIO = 0.7


def band_weights(levels: int, ratio: float) -> dict[str, float]:
    """The weight of the SSIM of the full image and of each band in −L; they sum to 2 for every ratio."""
    weights = {"full": 1.0}
    for i in range(1, levels + 1):
        edges = ratio ** (2 * i - 1) * (1 - ratio)
        weights |= {f"hl{i}": edges, f"lh{i}": edges, f"hh{i}": ratio ** (2 * i - 2) * (1 - ratio) ** 2}
    return weights | {f"ll{levels}": ratio ** (2 * levels)}


def band_ssims(
    prediction: Tensor,
    target: Tensor,
    *,
    wavelet: str = WAVELET,
    levels: int = LEVELS,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Zero-padded SSIM of each pair in every subband, by the name of the band; each (N,), 1 where equal.

    Both: (N, C, H, W) float, at least 2^levels on each side, else ShapeError.
    """
    require_same_shape(prediction, target)
    require_min_side(prediction, 2**levels, f"{levels} wavelet levels")
    # in `dtype` from here on: rounded to float32, the bands of long wavelets and many levels cost the fifth digit
    bands_p = subbands(in_dtype(prediction, dtype), wavelet=wavelet, levels=levels)
    bands_t = subbands(in_dtype(target, dtype), wavelet=wavelet, levels=levels)
    return {band: padded_ssim(bands_p[band], bands_t[band], dtype=dtype) for band in bands_p}


def wssim_loss(
    prediction: Tensor,
    target: Tensor,
    *,
    wavelet: str = WAVELET,
    levels: int = LEVELS,
    ratio: float = RATIO,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """L of each pair, (N,): −2 for identical images, lower is better. Arguments as `band_ssims`."""
    ssims = {"full": padded_ssim(prediction, target, dtype=dtype)}
    ssims |= band_ssims(prediction, target, wavelet=wavelet, levels=levels, dtype=dtype)
    return -_weighted(ssims, band_weights(levels, ratio))


def _weighted(ssims: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    return torch.stack([weights[band] * ssims[band] for band in weights]).sum(dim=0)


def columns(levels: int) -> tuple[Column, ...]:
    meanings = {"full": "SSIM of the image, zero padded", f"ll{levels}": "SSIM of what remains: shading"}
    for i in range(1, levels + 1):
        meanings |= {
            f"hl{i}": f"SSIM of horizontal edges, level {i}",
            f"lh{i}": f"SSIM of vertical edges, level {i}",
            f"hh{i}": f"SSIM of corners and fine texture, level {i}",
        }
    names = {"wssim": "weighted SSIM of the image and its subbands"}
    names |= {f"wssim_{band}": meanings[band] for band in band_weights(levels, RATIO)}
    return tuple(
        Column(name=name, metric="wssim", better="higher", low=-1.0, high=1.0, identical=1.0, meaning=meaning)
        for name, meaning in names.items()
    )


def protocol(wavelet: str, levels: int, ratio: float) -> str:
    padding = "" if wavelet in HAAR else f",{PADDING}"
    return f"ynet,{wavelet}{padding},levels={levels},r={ratio:g},gaussian11,sigma=1.5,zero-padded,float64"


def metric(wavelet: str, levels: int, ratio: float) -> Metric:
    weights = band_weights(levels, ratio)
    bands = partial(band_ssims, wavelet=wavelet, levels=levels)

    def score(batch: Batch) -> Tensor:
        ssims = {"full": batch.once(padded_and_valid)[0]} | bands(batch.prediction, batch.target)
        return torch.stack([_weighted(ssims, weights) / 2, *(ssims[band] for band in weights)], dim=1)

    return Metric("wssim", columns(levels), score, min_side=2**levels)
