"""How files are to be read where they leave it open: what the user says of them, side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from relight_eval.errors import UsageError

Alpha = Literal["refuse", "drop", "black", "white"]
Space = Literal["srgb", "linear", "gamma2.2"]

SIDES = ("prediction", "target", "input")
MAX_PIXELS = 178_956_970  # a gigabyte and a half of RGBA as stored in 16 bits


@dataclass(frozen=True)
class Reading:
    """How the files of one side are read.

    `alpha` says what becomes of pixels that are not opaque: "refuse" the file, "drop" the alpha channel and keep the
    colours as stored, or lay them over "black" or "white". `space` is what the values mean, whatever the file says of
    it; None: what the file says, else what its format has (EXR, HDR and NPY linear light, the rest sRGB).
    `white_level` is the integer that means 1 in files of more than 8 bits; None: the largest of their depth. `strict`
    refuses what would have to be converted from other colours, or read in part. More than `max_pixels` are refused
    before they are decoded. Raises UsageError.
    """

    alpha: Alpha = "refuse"
    space: Space | None = None
    white_level: int | None = None
    strict: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.alpha not in get_args(Alpha):
            raise UsageError(f'alpha "{self.alpha}" is not one of {", ".join(get_args(Alpha))}.')
        if self.space is not None and self.space not in get_args(Space):
            raise UsageError(f'space "{self.space}" is not one of {", ".join(get_args(Space))}.')
        if self.white_level is not None and not 1 <= self.white_level <= 65535:
            raise UsageError(f"the white level is {self.white_level}; it must be from 1 to 65535")
        if self.max_pixels < 1:
            raise UsageError(f"the most pixels of an image are {self.max_pixels}; it must be at least 1")

    @property
    def protocol(self) -> dict[str, str]:
        """What of it changes scores, as words of a signature."""
        return {"alpha": self.alpha, "space": self.space or "file", "white": str(self.white_level or "full")}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Reading:
        """The reading of which `protocol` gives these words; see `Readings.of`."""
        alpha, space, white = (words.get(key, "") for key in ("alpha", "space", "white"))
        return cls(
            alpha=next((known for known in get_args(Alpha) if known == alpha), "refuse"),
            space=next((known for known in get_args(Space) if known == space), None),
            white_level=int(white) if re.fullmatch("[0-9]{1,5}", white) and 1 <= int(white) <= 65535 else None,
        )


@dataclass(frozen=True)
class Readings:
    """How the files of each side are read. `str` is what a signature says of it, and `of` reads that back."""

    prediction: Reading = Reading()
    target: Reading = Reading()
    input: Reading = Reading()

    @classmethod
    def of_all(cls, reading: Reading) -> Readings:
        """The same for every side."""
        return cls(reading, reading, reading)

    def __str__(self) -> str:
        """`alpha=refuse,space=linear,white=full`, or where the sides differ `space=linear/srgb/srgb`."""
        sides = [getattr(self, side).protocol for side in SIDES]
        return ",".join(f"{key}={'/'.join(_once([of[key] for of in sides]))}" for key in sides[0])

    @classmethod
    def of(cls, text: str) -> Readings:
        """Those that a signature tells of; what it does not tell, or no version ever wrote, is as it is by default."""
        words = dict(word.split("=", 1) for word in text.split(",") if "=" in word)
        return cls(*(Reading.of({key: _of_side(value, i) for key, value in words.items()}) for i in range(len(SIDES))))


def _once(values: list[str]) -> list[str]:
    return values[:1] if len(set(values)) == 1 else values


def _of_side(value: str, side: int) -> str:
    values = value.split("/")
    return values[side if side < len(values) else 0]


AS_STORED = Readings()
