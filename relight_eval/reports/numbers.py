"""Numbers and names in tables, the same in every report for people."""

from __future__ import annotations


def number(value: float) -> str:
    """A score for a table: four decimals, fewer for large values, – where there is none."""
    if value != value:
        return "–"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.5g}"


def counted(number: int, what: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def visible(text: str) -> str:
    """The text with control codes and bytes that are not text made visible: file names can hold anything."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
