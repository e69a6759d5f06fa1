"""The colours of maps: magma, held to numbers that others publish."""

import numpy as np
import pytest

from relight_eval.magma import COLOURS


@pytest.mark.parametrize(
    ("level", "colour"),
    [
        # d3-scale-chromatic, src/sequential-multi/viridis.js, `magma`: entries 0, 1, 128 and 255 of its 256
        (0, "000004"),
        (1, "010005"),
        (128, "b73779"),
        (255, "fcfdbf"),
        # viridisLite (R), magma(6) and magma(4): the levels that are whole numbers of 255 / 5 and 255 / 3
        (51, "3b0f70"),
        (102, "8c2981"),
        (153, "de4968"),
        (204, "fe9f6d"),
        (85, "721f81"),
        (170, "f1605d"),
    ],
)
def test_colours_are_those_of_magma(level: int, colour: str) -> None:
    assert bytes(COLOURS[level]).hex() == colour


def test_is_as_matplotlib_has_it_as_a_whole() -> None:
    """The sum of each channel over matplotlib 3.11.2, `np.rint(255 * np.array(colormaps["magma"].colors))`."""
    assert COLOURS.astype(int).sum(axis=0).tolist() == [41031, 21146, 27942]


def test_brighter_is_more() -> None:
    """So it reads right in grey too. (Every eighth level: the luma of single steps is rounded away.)"""
    luma = COLOURS @ np.array([0.2126, 0.7152, 0.0722])  # BT.709
    assert (np.diff(luma[::8]) > 0).all()
