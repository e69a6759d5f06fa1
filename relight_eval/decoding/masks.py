"""A mask: which pixels count."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from relight_eval.decoding.samples import CMYK, Samples
from relight_eval.errors import ImageError


def inside(samples: Samples) -> npt.NDArray[np.bool_]:
    """(H, W): the pixels that are more than 0 in any channel but alpha.

    So 0 and 1, 0 and 255, and floats all mean the same; NaN is outside. Raises ImageError for what cannot be meant so.
    """
    if len(samples.values) == CMYK:
        raise ImageError("CMYK of more than 8 bits cannot be read as a mask; save it in grey.")
    found = (samples.values > 0).any(axis=0)
    opacity = samples.opacity
    if opacity is not None and found.all() == found.any() and opacity.min() < opacity.max():
        raise ImageError(
            "the mask is in the alpha channel, and its colours are all 0, or all more than 0; save it in grey."
        )
    return np.ascontiguousarray(found)
