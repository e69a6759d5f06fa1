"""Numbers that are not what a colour can be: refused, counted, or taken for a mistake of set-up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.decoding.samples import Samples
from relight_eval.decoding.spaces import Floats
from relight_eval.errors import ImageError

_LARGE = float(np.finfo(np.float32).max)  # stands for infinity
_OVERSHOOT = 1.5  # sRGB goes beyond 1 when it is scaled with a sharp filter, but not as far
_ROUNDING = 5e-4  # outside [0, 1] by an eighth of a level of 255: published colours of five digits put white there
_SRGB = ", and say --space srgb if that is what it is"


def check_numbers(values: npt.NDArray[Any]) -> None:
    """Raises ImageError for (C, H, W) of which some are NaN."""
    if values.dtype.kind != "f":
        return
    missing = np.isnan(values).any(axis=0)
    if missing.any():
        y, x = np.unravel_index(int(missing.argmax()), missing.shape)
        raise ImageError(
            f"{int(missing.sum())} of {missing.size} pixels are NaN, which is no colour (the first at x = {x}, "
            f"y = {y}); mend what wrote them."
        )


def check_scale(samples: Samples) -> None:
    """Raises ImageError for floats that are levels of an integer file: to clip them would leave an image of white."""
    values = samples.values
    if values.dtype.kind != "f" or samples.white != 1:
        return
    largest = float(values.max())
    if 16 <= largest <= 65535 and bool((values == np.floor(values)).all()):
        levels = 255 if largest <= 255 else 65535
        raise ImageError(
            f"all values are whole numbers, up to {largest:g}: these look like levels of {levels}, where 1 should be "
            f"white. Divide them by {levels}, or say --white-level {levels} (and --space srgb if they are sRGB)."
        )


def suspicions(samples: Samples, counted: Range) -> tuple[str, ...]:
    """What looks like a mistake of set-up, in samples of which nobody has said what white is."""
    if samples.values.dtype.name == "uint16" and samples.white == 65535:  # of either order of bytes
        largest = int(samples.values.max())
        for bits in (10, 12):
            level = 2**bits - 1
            if 255 < largest <= level:
                return (f"no value is above {level}: {bits} bits in a 16-bit file? then say --white-level {level}",)
    if samples.values.dtype.kind == "f":
        if counted.below > counted.total / 4 and counted.lowest >= -1.01 and not counted.above:
            return (f"many values are below 0, none below -1: an image in [-1, 1]? then save it in [0, 1]{_SRGB}",)
        if counted.above > counted.total / 4 and 100 < counted.highest <= 255.5 and not counted.below:
            highest = _figure(counted.highest)
            return (f"many values are above 1, up to {highest}: an image in [0, 255]? then divide it by 255{_SRGB}",)
        is_srgb = samples.encoding is not None and samples.encoding.is_srgb and not samples.icc
        if is_srgb and counted.highest > _OVERSHOOT:
            return (f"values up to {_figure(counted.highest)} in sRGB: linear light? then say --space linear",)
    return ()


@dataclass
class Range:
    """Values outside [0, 1], counted as they are clipped."""

    total: int = 0
    above: int = 0
    below: int = 0
    infinite: int = 0
    highest: float = 1.0
    lowest: float = 0.0

    def finite(self, values: Floats) -> Floats:
        """`values` with the largest floats in place of infinite ones, which are counted."""
        infinite = np.isinf(values)
        if not infinite.any():
            return values
        self.infinite += int(infinite.sum())
        return np.clip(values, -_LARGE, _LARGE)

    def clipped(self, values: Floats) -> Floats:
        self.total += values.size
        highest, lowest = float(values.max()), float(values.min())
        if highest > 1 + _ROUNDING:
            self.above += int((values > 1 + _ROUNDING).sum())
            self.highest = max(self.highest, highest)
        if lowest < -_ROUNDING:
            self.below += int((values < -_ROUNDING).sum())
            self.lowest = min(self.lowest, lowest)
        return values.clip(0, 1)

    def note(self) -> str:
        """What was clipped, "" where nothing was."""
        parts = []
        if self.above:
            parts.append(f"{self.above} of {self.total} values above 1 (up to {_figure(self.highest)})")
        if self.below:
            parts.append(f"{self.below} of {self.total} values below 0 (down to {_figure(self.lowest)})")
        said = " and ".join(parts) + (f", {self.infinite} infinite" if self.infinite else "")
        return f"{said}, clipped" if said else ""


def _figure(value: float) -> str:
    infinity = "infinity" if value > 0 else "-infinity"
    return infinity if abs(value) >= _LARGE / 2 else f"{value:.4g}"
