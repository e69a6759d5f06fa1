"""Encodings of light, and the way from each of them to sRGB. Arrays are (C, H, W) float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from relight_eval.decoding.curves import from_gamma, from_srgb
from relight_eval.decoding.profiles import chromaticities_matrix
from relight_eval.decoding.reading import Space

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Encoding:
    """What values in [0, 1] mean: light ** (1 / `gamma`), or sRGB's curve of light where `gamma` is None.

    `matrix` (3, 3) takes RGB light of other primaries to that of sRGB's; None: they are sRGB's.
    """

    name: str
    gamma: float | None = None
    matrix: Floats | None = None

    @property
    def is_srgb(self) -> bool:
        return self.gamma is None and self.matrix is None

    def light(self, values: Floats) -> Floats:
        """Linear light of sRGB's primaries, not clipped. Grey (1, H, W) is neutral under any and stays grey."""
        light = from_srgb(values) if self.gamma is None else from_gamma(values, self.gamma)
        return light if self.matrix is None or len(light) == 1 else np.tensordot(self.matrix, light, 1)


SRGB = Encoding("sRGB")
LINEAR = Encoding("linear light", 1.0)
_ADOBE_RGB = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
ADOBE_RGB = Encoding("Adobe RGB", 563 / 256, chromaticities_matrix(_ADOBE_RGB))
SPACES: Mapping[Space, Encoding] = {"srgb": SRGB, "linear": LINEAR, "gamma2.2": Encoding("gamma 2.2", 2.2)}


def light_of(xy: Sequence[float]) -> Encoding:
    """Linear light of the primaries `xy`: x and y of red, green, blue and white. Raises ImageError."""
    red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y = map(float, xy)
    matrix = chromaticities_matrix((red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y))
    return LINEAR if matrix is None else Encoding("linear light of other primaries", 1.0, matrix)
