"""Numbers and names in sentences and tables, the same wherever people read them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

LISTED = 5  # names in a sentence


def number(value: float) -> str:
    """A score for a table: four decimals, fewer for large values, – where there is none."""
    if value != value:
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.5g}"


def exact(value: float) -> str:
    """The number with as few digits as read back to it: `0.9`, `30`, `0.30000000000000004`."""
    short = f"{value:.15g}"
    return short if float(short) == value else repr(value)


def agreeing(value: float, threshold: float) -> str:
    """The value with four decimals, or as many digits more as it takes to stand on its side of the threshold."""
    short = f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.3g}"
    for text in chain([short], (f"{value:.{digits}g}" for digits in range(5, 17))):
        if (float(text) < threshold, float(text) > threshold) == (value < threshold, value > threshold):
            return text
    return repr(value)


def counted(number: int, what: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def some(names: Sequence[str], most: int | None = LISTED) -> str:
    """The first names, and how many more there are; all of them for None."""
    more = 0 if most is None else max(0, len(names) - most)
    return ", ".join(names[:most]) + (f" and {more} more" if more else "")


def visible(text: str) -> str:
    """The text with all that is not to be seen made visible: file names can hold anything.

    That is control codes, line ends, what turns the order of letters around, what has no width, and bytes that are no
    text.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
