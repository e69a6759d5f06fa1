"""Subbands of an image: Haar by slicing, every other wavelet by pytorch-wavelets.

Names follow W-SSIM: HL holds horizontal edges (PyWavelets' cH), LH vertical edges (cV), HH corners (cD), and
LL what remains. An odd last row or column is dropped before each level, as the stride-2 convolution of W-SSIM's
authors does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from relight_eval.errors import UsageError, nearest

Bands = tuple[Tensor, Tensor, Tensor, Tensor]  # LL, HL, LH, HH

HAAR = ("haar", "db1")
PADDING = "symmetric"  # PyWavelets' own default; Haar needs none


def subbands(image: Tensor, *, wavelet: str, levels: int) -> dict[str, Tensor]:
    """The subbands of (N, C, H, W), finest first: hl1, lh1, hh1, hl2, …, and ll of the last level.

    Orthonormal: the LL of an image in [0, 1] lies in [0, 2^level]. For Haar, a band has half the height and
    width of its parent, rounded down; longer wavelets add a few coefficients for their padding.
    """
    split = haar if wavelet in HAAR else _library_split(wavelet)
    bands: dict[str, Tensor] = {}
    low = image
    for level in range(1, levels + 1):
        low, hl, lh, hh = split(even(low))
        bands |= {f"hl{level}": hl, f"lh{level}": lh, f"hh{level}": hh}
    return bands | {f"ll{levels}": low}


def even(image: Tensor) -> Tensor:
    """The image without an odd last row or column."""
    height, width = image.shape[-2:]
    return image[..., : height // 2 * 2, : width // 2 * 2]


def haar(image: Tensor) -> Bands:
    """One level of the orthonormal Haar transform of (N, C, H, W), H and W even: LL, HL, LH, HH."""
    ll, hl, lh, hh = haar_sums(image)
    return ll / 2, hl / 2, lh / 2, hh / 2


def haar_sums(image: Tensor) -> Bands:
    """Twice that: sums and differences only, which of whole numbers are exact.

    Plain slicing: twelve times faster on a CPU than the same as convolutions.
    """
    top, bottom = image[..., 0::2, :], image[..., 1::2, :]
    rows_sum, rows_difference = top + bottom, top - bottom
    return (
        rows_sum[..., 0::2] + rows_sum[..., 1::2],
        rows_difference[..., 0::2] + rows_difference[..., 1::2],
        rows_sum[..., 0::2] - rows_sum[..., 1::2],
        rows_difference[..., 0::2] - rows_difference[..., 1::2],
    )


def footprint(height: int, width: int, *, wavelet: str, level: int) -> tuple[int, int]:
    """Where the places of the bands of a level lie, and what they see, in blocks of 2^level × 2^level pixels.

    The first number is the block that the first place stands for, counted from the border: that in the middle of what
    a place sees. For Haar it is 0, for longer wavelets negative. The second is how far from its block a place sees,
    the mirrored pixels beyond the border included: 0 for Haar.
    """
    overlap = _taps(wavelet) - 2  # of a place with what is beside its own two values, and with the padding
    origin = -round(overlap / 2 * (1 - 2.0**-level))
    reach = 0
    for size in (height, width):
        first = last = np.arange(size)  # pixel that a place sees, at each level
        for _ in range(level):
            first, last = (
                sliding_window_view(np.pad(seen[: len(seen) // 2 * 2], overlap, mode="symmetric"), overlap + 2)[::2]
                for seen in (first, last)
            )
            first, last = first.min(axis=1), last.max(axis=1)
        blocks = np.arange(len(first)) + origin
        reach = max(reach, (blocks - (first >> level)).max(), ((last >> level) - blocks).max())
    return origin, int(reach)


def _taps(wavelet: str) -> int:
    return 2 if wavelet in HAAR else len(_library(wavelet)[0][0].flatten())


def require_wavelet(name: str) -> None:
    """Raises UsageError unless `name` is a discrete wavelet of PyWavelets."""
    if name in HAAR:
        return
    import pywt  # a tenth of a second that Haar does not need

    known = pywt.wavelist(kind="discrete")
    if name not in known:
        raise UsageError(f"unknown wavelet {name!r}; {nearest(name, known)} (any discrete PyWavelets name)")
    _library(name)


def _library_split(wavelet: str) -> Callable[[Tensor], Bands]:
    filters, analysis = _library(wavelet)

    def split(image: Tensor) -> Bands:
        coefficients = analysis(image, [f.to(image) for f in filters], mode=PADDING)  # (N, 4·C, h, w)
        ll, hl, lh, hh = coefficients.reshape(len(image), -1, 4, *coefficients.shape[-2:]).unbind(2)
        return ll, hl, lh, hh

    return split


_loaded: dict[str, tuple[list[Tensor], Callable[..., Tensor]]] = {}  # (torch.compile sees through no lru_cache)


def _library(wavelet: str) -> tuple[list[Tensor], Callable[..., Tensor]]:
    """The filters of a wavelet as float64, and pytorch-wavelets' analysis of one level.

    `afb2d` and not the library's DWTForward: the latter's backward pass ignores the padding, so that the gradients of
    a loss are wrong (1.3.0; finite differences show it), and its filters are rounded to float32.
    """
    if wavelet in _loaded:
        return _loaded[wavelet]
    import pywt

    with warnings.catch_warnings():
        # pytorch-wavelets imports pkg_resources, whose deprecation is not the user's business.
        warnings.simplefilter("ignore")
        try:
            from pytorch_wavelets.dwt.lowlevel import afb2d
        except ImportError as error:  # mostly for a setuptools that is too new
            advice = "see `relight-eval doctor`, or use --wavelet haar"
            raise UsageError(f"wavelet {wavelet}: pytorch-wavelets cannot be imported ({error}); {advice}") from error
    bank = pywt.Wavelet(wavelet)
    low, high = (torch.tensor(taps[::-1], dtype=torch.float64) for taps in (bank.dec_lo, bank.dec_hi))
    columns = [taps.view(1, 1, -1, 1) for taps in (low, high)]
    rows = [taps.view(1, 1, 1, -1) for taps in (low, high)]
    _loaded[wavelet] = [*columns, *rows], afb2d
    return _loaded[wavelet]
