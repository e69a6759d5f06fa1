"""Pixels that are not opaque: refused, or laid over a background, as the user says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.decoding.reading import Alpha
from relight_eval.decoding.spaces import Floats
from relight_eval.errors import ImageError

Levels = npt.NDArray[np.uint8]


def check_opaque(opacity: npt.NDArray[Any], white: float) -> None:
    """Raises ImageError for (H, W) opacities of which some are less than `white`."""
    seen_through = int((opacity < white).sum())
    if seen_through:
        raise ImageError(
            f"has transparency ({seen_through} of {opacity.size} pixels), so its colours depend on what is "
            "behind them; choose with --alpha drop, black or white."
        )


def levels_over(colour: Levels, opacity: Levels, alpha: Alpha) -> Levels:
    """(C, H, W) levels of 255, in front of `alpha`, rounded to the nearest level. "drop" leaves them as they are."""
    if alpha in ("drop", "refuse"):
        return colour
    wide = opacity.astype(np.uint16)
    background = 255 * (255 - wide) if alpha == "white" else 0
    # At most 255 * 255 + 127, which uint16 holds. No level is ever halfway, as 255 is odd.
    over: Levels = ((colour * wide + background + 127) // 255).astype(np.uint8)
    return over


def over(colour: Floats, opacity: Floats, alpha: Alpha, *, premultiplied: bool) -> Floats:
    """(C, H, W) values, of which 1 is white, in front of `alpha`. "drop" leaves them as they are."""
    if alpha in ("drop", "refuse"):
        return colour
    share = opacity.clip(0, 1)
    front = colour if premultiplied else colour * share
    return front + (1 - share) if alpha == "white" else front
