"""Radiance HDR (RGBE): linear light, with one exponent for the three colours of a pixel.

The header is read here, as it says what the values mean; imagecodecs decodes what follows it.
"""

from __future__ import annotations

import re

import imagecodecs
import numpy as np
import numpy.typing as npt

from relight_eval.decoding.profiles import REC709
from relight_eval.decoding.samples import Samples, check_size
from relight_eval.decoding.spaces import LINEAR, light_of
from relight_eval.errors import ImageError

_HEADER = re.compile(rb"#\?(?:RADIANCE|RGBE)[^\n]*\n((?:(?!\r?\n)[^\n]+\n)*)\r?\n([^\n]{1,80})\n")
_SIZE = re.compile(rb"-Y +(\d{1,9}) +\+X +(\d{1,9})\s*")
_LONGEST_HEADER = 1 << 16
_RUN_LENGTHS = b"\2\2"  # how a line begins that is written as run lengths, colour by colour


def samples(content: bytes, max_pixels: int) -> Samples:
    """(3, H, W) float32: the scene, before the exposure and colour correction that the file says were applied."""
    header = _HEADER.match(content[:_LONGEST_HEADER])
    if header is None:
        raise ImageError("the Radiance HDR is damaged: its header does not end; write or copy it again.")
    variables = _variables(header[1])
    size = _SIZE.fullmatch(header[2])
    if size is None:
        found = header[2].decode("ascii", "backslashreplace").strip()
        raise ImageError(f'Radiance HDR of size and orientation "{found}" cannot be read, expected "-Y … +X …".')
    height, width = int(size[1]), int(size[2])
    check_size(width, height, max_pixels)
    gain = _gain(variables)
    light = _light(content[header.end() :], height, width) / gain
    primaries = next(iter(_numbers(variables, "PRIMARIES", 8)), REC709)
    encoding = light_of(primaries if any(primaries) else REC709)  # HDR Shop writes 0 eight times
    light = np.moveaxis(light.astype(np.float32), -1, 0)
    factors = ", ".join(f"{factor:g}" for factor in (gain if len(set(gain)) > 1 else gain[:1]))
    notes = () if (gain == 1).all() else (f"light divided by the exposure that the header says ({factors})",)
    return Samples(light, white=1, encoding=encoding, is_own=encoding is not LINEAR, notes=notes)


def _variables(lines: bytes) -> list[tuple[str, str]]:
    """NAME=value of a header. Raises ImageError for values that are not RGB."""
    pairs = [line.partition("=") for line in lines.decode("ascii", "backslashreplace").splitlines()]
    found = [(name.strip(), value.strip()) for name, equals, value in pairs if equals and not name.startswith("#")]
    for name, value in found:
        if name == "FORMAT" and value != "32-bit_rle_rgbe":
            raise ImageError(f"Radiance HDR of the format {value} cannot be read; save it as 32-bit_rle_rgbe.")
        if name == "GAMMA" and not re.fullmatch(r"1(\.0*)?", value):
            raise ImageError(f"Radiance HDR with a gamma of {value} cannot be read; save it as linear light.")
    return found


def _numbers(variables: list[tuple[str, str]], name: str, count: int) -> list[list[float]]:
    """The values of each line of that name. Raises ImageError for other than `count` finite numbers."""
    found = []
    for value in (value for known, value in variables if known == name):
        try:
            numbers = [float(word) for word in value.split()]
        except ValueError:
            numbers = []
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise ImageError(f'the Radiance HDR says "{name}={value}", expected {count} numbers; mend its header.')
        found.append(numbers)
    return found


def _gain(variables: list[tuple[str, str]]) -> npt.NDArray[np.float64]:
    """By what R, G and B were multiplied: the product of all lines that say so."""
    gain = np.ones(3)
    for factors in (*_numbers(variables, "EXPOSURE", 1), *_numbers(variables, "COLORCORR", 3)):
        gain = gain * factors
    if not (np.isfinite(gain) & (gain > 0)).all():
        raise ImageError("the Radiance HDR says that it was exposed with 0 or less; mend EXPOSURE in its header.")
    return gain


def _light(data: bytes, height: int, width: int) -> npt.NDArray[np.float32]:
    """(H, W, 3). Raises ImageError for the old run lengths, which imagecodecs takes for pixels."""
    has_run_lengths = data.startswith(_RUN_LENGTHS) and 8 <= width < 32768
    if not has_run_lengths and len(data) != 4 * height * width:
        raise ImageError(
            "the Radiance HDR is cut short, or of run lengths as programs wrote them before 1991; write it again."
        )
    light = np.empty((height, width, 3), np.float32)
    imagecodecs.rgbe_decode(data, header=False, rle=has_run_lengths, out=light)
    return light
