"""OpenEXR: half and float, linear light. The picture is the first part's R, G, B and A, or its Y."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR

from relight_eval.decoding.profiles import REC709
from relight_eval.decoding.samples import Samples, check_size
from relight_eval.decoding.spaces import LINEAR, light_of
from relight_eval.errors import ImageError

_CHANNELS_OF_AN_IMAGE = 4
_DEEP = (OpenEXR.deepscanline, OpenEXR.deeptile)


def samples(content: bytes, max_pixels: int) -> Samples:
    """What the display window shows of the first part. Raises ImageError."""
    headers = _headers(content)
    names = _picture(headers[0])
    _check(headers, max_pixels)
    file = OpenEXR.File(io.BytesIO(content), separate_channels=True, num_threads=0)
    if not file.parts:
        raise ImageError(
            "the OpenEXR is damaged or cut short: not all of its pixels are there; write or copy it again."
        )
    stored = file.channels()
    planes = {name: _shown(stored[name].pixels, headers[0]) for name in names}
    opacity = planes.pop("A", None)
    encoding = light_of(headers[0].get("chromaticities", REC709))
    return Samples(
        np.stack([_floats(plane) for plane in planes.values()]),
        white=1,
        opacity=None if opacity is None or bool((opacity >= 1).all()) else _floats(opacity),
        premultiplied=True,
        encoding=encoding,
        is_own=encoding is not LINEAR,
        converted=_left_out(headers, names),
    )


def _headers(content: bytes) -> list[dict[str, Any]]:
    file = OpenEXR.File(io.BytesIO(content), header_only=True, num_threads=0)
    headers = [file.header(part) for part in range(len(file.parts))]
    if not headers:
        raise ImageError("the OpenEXR is damaged: it has no parts; write or copy it again.")
    return headers


def _picture(header: Mapping[str, Any]) -> list[str]:
    """The names of the channels that are the picture, colours first. Raises ImageError where there is none."""
    if header.get("type") in _DEEP:
        raise ImageError("deep OpenEXR (many samples a pixel) cannot be read; flatten it.")
    channels = {channel.name: channel for channel in header["channels"]}
    if not {"R", "G", "B"} <= set(channels) and {"RY", "BY"} & set(channels):
        raise ImageError("OpenEXR of luminance and chroma (Y, RY, BY) cannot be read; save it as R, G and B.")
    for names in (["R", "G", "B"], ["Y"]):
        if set(names) <= set(channels):
            names += ["A"] if "A" in channels else []
            break
    else:
        found = ", ".join(sorted(channels)[:12]) or "none"
        raise ImageError(f"OpenEXR without the channels R, G and B, or Y (it has {found}); save the picture as these.")
    for name in names:
        if (channels[name].xSampling, channels[name].ySampling) != (1, 1):
            raise ImageError(f"OpenEXR whose channel {name} is not of every pixel cannot be read; save it in full.")
    return names


def _check(headers: list[dict[str, Any]], max_pixels: int) -> None:
    """Raises ImageError for what is too large; of all parts and layers, as the library decodes them all."""
    count = 0
    for header in headers:
        for window in ("dataWindow", "displayWindow"):
            width, height = _size(header[window])
            check_size(width, height, max_pixels)
        width, height = _size(header["dataWindow"])
        count += width * height * len(header["channels"])
    if count > _CHANNELS_OF_AN_IMAGE * max_pixels:
        raise ImageError(
            f"{count} values in all channels are more than {_CHANNELS_OF_AN_IMAGE} for each of {max_pixels} pixels; "
            "save the picture without the other layers, or raise --max-pixels."
        )


def _size(window: tuple[Any, Any]) -> tuple[int, int]:
    (left, top), (right, bottom) = window
    return int(right) - int(left) + 1, int(bottom) - int(top) + 1


def _shown(plane: npt.NDArray[Any], header: Mapping[str, Any]) -> npt.NDArray[Any]:
    """The part of a channel's data window that lies in the display window, which it must cover."""
    (left, top), (right, bottom) = header["dataWindow"]
    (x, y), _ = header["displayWindow"]
    width, height = _size(header["displayWindow"])
    if x < left or y < top or x + width - 1 > right or y + height - 1 > bottom:
        raise ImageError(
            f"the data of this OpenEXR ({left}, {top} to {right}, {bottom}) do not cover its display window "
            f"({x}, {y} to {x + width - 1}, {y + height - 1}); save the whole picture."
        )
    start_x, start_y = int(x) - int(left), int(y) - int(top)
    return plane[start_y : start_y + height, start_x : start_x + width]


def _floats(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if plane.dtype.kind != "f":
        raise ImageError("OpenEXR of whole numbers (UINT) cannot be read as a picture; save it as half or float.")
    return plane.astype(np.float32, copy=False)


def _left_out(headers: list[dict[str, Any]], names: list[str]) -> tuple[str, ...]:
    notes = []
    if len(headers) > 1:
        notes.append(f"first of {len(headers)} parts")
    others = sorted({channel.name for channel in headers[0]["channels"]} - set(names))
    if others:
        more = ", …" if len(others) > 3 else ""
        notes.append(f"other channels left out: {', '.join(others[:3])}{more}")
    return tuple(notes)
