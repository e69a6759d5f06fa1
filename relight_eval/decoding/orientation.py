"""The EXIF orientation, which TIFF has too: where row 0 and column 0 of what is stored are to be seen."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

TAG = 0x0112


def turned(array: npt.NDArray[Any], orientation: object) -> npt.NDArray[Any]:
    """(…, H, W) as it is to be seen; numbers other than 1 to 8 mean nothing."""
    if orientation not in range(1, 9):
        return array
    seen = array.swapaxes(-1, -2) if orientation in (5, 6, 7, 8) else array
    if orientation in (3, 4, 7, 8):
        seen = seen[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        seen = seen[..., ::-1]
    return seen
