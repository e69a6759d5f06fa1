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

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.metric import Batch, Map, Metric, require_min_side, require_same_shape
from relight_eval.metrics.pieces import in_dtype, in_pieces, joined, summed, total, white
from relight_eval.metrics.ssim import HALF, at_most_1, padded_and_valid, padded_map, padded_ssim, ssim_map
from relight_eval.metrics.wavelets import HAAR, PADDING, even, footprint, haar_sums, subbands

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
    prediction: Tensor, target: Tensor, *, wavelet: str = WAVELET, levels: int = LEVELS
) -> dict[str, Tensor]:
    """Zero-padded SSIM of each pair in every subband, by the name of the band; each (N,), 1 where equal.

    Both: (N, C, H, W) sRGB, float in [0, 1] or uint8, at least 2^levels on each side, else ShapeError.
    """
    require_same_shape(prediction, target)
    require_min_side(prediction, 2**levels, f"{levels} wavelet levels")
    if wavelet in HAAR:
        return _haar_band_ssims(prediction, target, levels)
    # in float64 from here on: rounded to float32, the bands of long wavelets and many levels cost the fifth digit
    bands_p = subbands(in_dtype(prediction, torch.float64), wavelet=wavelet, levels=levels)
    bands_t = subbands(in_dtype(target, torch.float64), wavelet=wavelet, levels=levels)
    return {band: padded_ssim(bands_p[band], bands_t[band]) for band in bands_p}


def _haar_band_ssims(prediction: Tensor, target: Tensor, levels: int) -> dict[str, Tensor]:
    """The same level by level and piece by piece: of the bands, only LL is ever held as a whole."""
    ssims: dict[str, Tensor] = {}
    low_p, low_t = prediction, target
    scale = white(prediction)
    for level in range(1, levels + 1):
        scale *= 2  # that of `haar_sums`
        low_p, low_t = even(low_p), even(low_t)
        done = in_pieces(partial(_haar_level, scale=scale), low_p, low_t, halo=2 * HALF, align=2)
        band_size = low_p[0].numel() // 4
        means = at_most_1(summed([[sums for sums, _, _ in of_image] for of_image in done]) / band_size)
        ssims |= {f"{band}{level}": means[:, i] for i, band in enumerate(("hl", "lh", "hh"))}
        low_p, low_t = (joined([[piece[side] for piece in of_image] for of_image in done]) for side in (1, 2))
    return ssims | {f"ll{levels}": padded_ssim(low_p, low_t, scale)}


def _haar_level(p: Tensor, t: Tensor, top: int, *, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the SSIM of HL, LH and HH (images, 3), and both LL, of a piece with the halo of SSIM, twice as wide."""
    (ll_p, *high_p), (ll_t, *high_t) = haar_sums(p), haar_sums(t)
    sums = [total(ssim_map(band_p, band_t, scale)) for band_p, band_t in zip(high_p, high_t, strict=True)]
    inner = slice(HALF, -HALF)
    return torch.cat(sums, dim=1), ll_p[..., inner, inner], ll_t[..., inner, inner]


@torch.no_grad()
def band_maps(prediction: Tensor, target: Tensor, *, wavelet: str = WAVELET, levels: int = LEVELS) -> dict[str, Map]:
    """Zero-padded SSIM at every place of every subband, mean over the channels, by the name of the band.

    Arguments as `band_ssims`. Longer wavelets have places beyond the border, which only repeat what is inside of it:
    their `origin` is negative, and their `reach` covers all that the wavelet sees, there too. (Of the rows and columns
    that Haar drops they see some at the border: these count as beyond it.)
    """
    bands_p, bands_t = (
        subbands(in_dtype(image, torch.float64), wavelet=wavelet, levels=levels) for image in (prediction, target)
    )
    maps = {}
    for band in bands_p:
        level = int(band[2:])
        origin, reach = footprint(*target.shape[-2:], wavelet=wavelet, level=level)
        values = padded_map(bands_p[band], bands_t[band]).to(target.device)
        maps[band] = Map(values, halvings=level, reach=reach + HALF, origin=origin)
    return maps


def wssim_loss(
    prediction: Tensor, target: Tensor, *, wavelet: str = WAVELET, levels: int = LEVELS, ratio: float = RATIO
) -> Tensor:
    """L of each pair, (N,): −2 for identical images, lower is better. Arguments as `band_ssims`."""
    ssims = {"full": padded_ssim(prediction, target)}
    ssims |= band_ssims(prediction, target, wavelet=wavelet, levels=levels)
    return -_weighted(ssims, band_weights(levels, ratio))


def _weighted(ssims: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    return torch.stack([weights[band] * ssims[band] for band in weights]).sum(dim=0)


def _row(ssims: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The columns of each pair, (N, 1 + bands), of the SSIMs of its bands."""
    return torch.stack([_weighted(ssims, weights) / 2, *(ssims[band] for band in weights)], dim=1)


def protocol(wavelet: str, levels: int, ratio: float) -> str:
    padding = "" if wavelet in HAAR else f",{PADDING}"
    return f"ynet,{wavelet}{padding},levels={levels},r={ratio:g},gaussian11,sigma=1.5,zero-padded"


def metric(wavelet: str, levels: int, ratio: float) -> Metric:
    weights = band_weights(levels, ratio)
    bands = partial(band_ssims, wavelet=wavelet, levels=levels)

    def score(batch: Batch) -> Tensor:
        ssims = {"full": batch.once(padded_and_valid)[0]} | bands(batch.prediction, batch.target)
        return _row(ssims, weights)

    def maps(batch: Batch) -> dict[str, Map]:
        full = Map(batch.once(padded_map), reach=HALF)
        found = {"full": full} | band_maps(batch.prediction, batch.target, wavelet=wavelet, levels=levels)
        return {f"wssim_{band}": found[band] for band in weights}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        return _row({band: values[f"wssim_{band}"] for band in weights}, weights)

    return Metric("wssim", columns.wssim(levels), score, min_side=2**levels, maps=maps, combined=combined)
