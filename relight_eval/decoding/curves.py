"""The curves between encoded values and light. Arrays of any shape, float64 out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


def from_gamma(values: npt.NDArray[Any], gamma: float) -> Values:
    """Linear light of values that were encoded with an exponent of 1 / gamma; below 0 mirrored."""
    values = np.asarray(values, np.float64)
    linear: Values = np.sign(values) * np.abs(values) ** gamma
    return linear


def from_srgb(values: npt.NDArray[Any]) -> Values:
    """Linear light of sRGB values (IEC 61966-2-1); below 0 the straight part of the curve goes on."""
    values = np.asarray(values, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values.clip(0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: npt.NDArray[Any]) -> Values:
    """sRGB values of linear light, the inverse of `from_srgb`; not clipped."""
    linear = np.asarray(linear, np.float64)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)
