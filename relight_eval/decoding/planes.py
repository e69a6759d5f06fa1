"""What decoding a file gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Planes:
    """One decoded image as it is scored: sRGB, `values` (3, H, W), contiguous.

    uint8, in levels of 255, where the file holds 8 bits of sRGB per channel; else float32 in [0, 1]. `notes` say what a
    reader of the score must know of how the file was read, `mistakes` what looks like one of set-up; mostly empty.
    """

    values: npt.NDArray[Any]
    notes: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()
