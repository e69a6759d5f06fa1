"""Samples -> Planes: alpha, range, and the way of every encoding to sRGB. Here is decided what `strict` refuses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from relight_eval.decoding.alpha import check_opaque, levels_over, over
from relight_eval.decoding.curves import to_srgb
from relight_eval.decoding.planes import Planes
from relight_eval.decoding.profiles import Profile
from relight_eval.decoding.ranges import Range, check_numbers, check_scale, suspicions
from relight_eval.decoding.reading import Reading
from relight_eval.decoding.samples import CMYK, Samples
from relight_eval.decoding.spaces import SPACES, Encoding, Floats
from relight_eval.errors import ImageError

_BAND_PIXELS = 1 << 18  # converted at a time: float64 of the whole image would be eight times the file

_BEYOND_COLOUR = 1e3  # a profile makes no sense of more

# (C, H, W) values, of which 1 is white, -> (GREY | RGB, H, W) sRGB in [0, 1]; what has to be clipped is counted.
Convert = Callable[[Floats, Range], Floats]


def planes(samples: Samples, reading: Reading) -> Planes:
    """`samples` as the user says that they are to be read. Raises ImageError."""
    if samples.opacity is not None:
        check_numbers(samples.opacity[None])
    check_numbers(samples.values)
    levels = samples.values.dtype == np.uint8
    if reading.white_level is not None and not levels:
        samples = replace(samples, white=reading.white_level)
    if samples.opacity is not None and reading.alpha == "refuse":
        check_opaque(samples.opacity, samples.white)
    check_scale(samples)
    if samples.premultiplied and reading.alpha == "drop" and samples.opacity is not None:
        samples = _noted(samples, "premultiplied colours taken as stored, as over black")
    samples, convert = _meaning(samples, reading)
    if convert is None and levels and not samples.premultiplied:
        values = samples.values
        if samples.opacity is not None:
            values = levels_over(values, samples.opacity, reading.alpha)
        result = Planes(np.array(np.broadcast_to(values, (3, *values.shape[1:])), order="C"))
    else:
        result = _converted(samples, convert or _as_stored, reading)
    if reading.strict and samples.converted:
        raise ImageError(f"{'; '.join(samples.converted)}: refused, as --strict says. Save it as plain sRGB.")
    return replace(result, notes=(*samples.notes, *samples.converted, *result.notes))


def _meaning(samples: Samples, reading: Reading) -> tuple[Samples, Convert | None]:
    """How the values become sRGB, None where they are; and the samples with what is to be said of it."""
    if reading.space is not None:
        said = SPACES[reading.space]
        if samples.icc or samples.is_own:
            samples = _noted(samples, f"read as {said.name}, as --space says, not as the file says")
        return _encoded_as(said, replace(samples, encoding=said, is_own=False, icc=b""))
    if samples.icc:
        profile = Profile.of_icc(samples.icc)
        if profile.is_srgb and len(samples.values) <= profile.channels:
            return replace(samples, icc=b""), None
        return _said(samples, f'converted from "{profile.name}"'), _through(profile)
    encoding = samples.encoding
    if encoding is None:
        raise ImageError(
            "its whole numbers may be sRGB or linear light, and nothing in the file says which; "
            "say it with --space srgb or --space linear."
        )
    if samples.is_own:
        samples = _said(samples, f"converted from {encoding.name}")
    return _encoded_as(encoding, samples)


def _noted(samples: Samples, note: str) -> Samples:
    return replace(samples, notes=(*samples.notes, note))


def _said(samples: Samples, converted: str) -> Samples:
    return replace(samples, converted=(*samples.converted, converted))


def _encoded_as(encoding: Encoding, samples: Samples) -> tuple[Samples, Convert | None]:
    if len(samples.values) == CMYK:
        samples = _said(samples, "CMYK, converted to RGB without its colour profile")
        return samples, lambda inks, counted: counted.clipped((1 - inks[:3]) * (1 - inks[3:]))
    if encoding.is_srgb:
        return samples, None
    if not samples.is_own:
        samples = _noted(samples, f"{encoding.name}, encoded as sRGB")
    return samples, lambda values, counted: to_srgb(counted.clipped(encoding.light(values)))


def _as_stored(values: Floats, counted: Range) -> Floats:
    return counted.clipped(values)


def _through(profile: Profile) -> Convert:
    def convert(values: Floats, counted: Range) -> Floats:
        pixels = np.moveaxis(values.clip(-_BEYOND_COLOUR, _BEYOND_COLOUR), 0, -1)  # (H, W, C)
        return counted.clipped(np.moveaxis(profile.to_srgb(pixels, white=1), -1, 0))

    return convert


def _converted(samples: Samples, convert: Convert, reading: Reading) -> Planes:
    """float32 planes, made in bands of rows, with what is to be said of clipped values."""
    _, height, width = samples.values.shape
    result, counted = np.empty((3, height, width), np.float32), Range()
    step = max(1, _BAND_PIXELS // width)
    for start in range(0, height, step):
        rows = slice(start, start + step)
        values = counted.finite(samples.values[:, rows].astype(np.float64) / samples.white)
        if samples.opacity is not None:
            opacity = samples.opacity[rows].astype(np.float64) / samples.white
            values = over(values, opacity, reading.alpha, premultiplied=samples.premultiplied)
        result[:, rows] = convert(values, counted)
    mistakes = suspicions(samples, counted) if reading.white_level is None else ()
    return Planes(result, tuple(filter(None, [counted.note()])), mistakes)
