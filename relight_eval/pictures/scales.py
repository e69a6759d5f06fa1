"""The scales of maps: one for all maps of a name, and the grey of a value on it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SHOWN_SHARE = 0.995  # of the places, those that the scale of a map covers
LEAST_HIGH = 1e-4  # of a scale: equal images are shown black, not the rounding errors in them

Half = npt.NDArray[np.float16]  # of a map: 0 and more, NaN where there is no value
Grey = npt.NDArray[np.uint8]


class Spread:
    """How often each value occurs in the maps of each name: 512 KiB a name, however many there are."""

    def __init__(self) -> None:
        self._counts: dict[str, npt.NDArray[np.int64]] = {}

    def add(self, name: str, half: Half) -> None:
        bits = half[~np.isnan(half)].view(np.uint16)  # of numbers that are 0 and more, in their order
        counts = np.bincount(bits, minlength=2**16)
        self._counts[name] = self._counts[name] + counts if name in self._counts else counts

    def highs(self) -> dict[str, float]:
        """The high end of each scale: what SHOWN_SHARE of the places do not exceed, rounded up."""
        return {name: rounded_up(max(self._most(counts), LEAST_HIGH)) for name, counts in self._counts.items()}

    def _most(self, counts: npt.NDArray[np.int64]) -> float:
        upto = counts.cumsum()
        bits = np.searchsorted(upto, SHOWN_SHARE * upto[-1])
        return float(np.array([bits], np.uint16).view(np.float16)[0])


def rounded_up(value: float) -> float:
    """The next number above 0 of 1, 2 and 5 times a power of ten; `value` itself where it is one (to 1e-3)."""
    exponent = math.floor(math.log10(value))
    steps = (float(f"{step}e{exponent}") for step in (1, 2, 5, 10))
    return next(step for step in steps if value <= step * 1.001)  # float16 knows three digits


def grey(half: Half, high: float) -> Grey:
    """The levels of a map: 0 is 0 or no value, 255 is `high` and more."""
    share = np.nan_to_num(half.astype(np.float32), nan=0.0) / high
    levels: Grey = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return levels
