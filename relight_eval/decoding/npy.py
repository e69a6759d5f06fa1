"""NPY: one array of NumPy, of which floats are linear light. Never unpickled: a pickle can run any program."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.decoding.samples import RGB, Samples, check_size
from relight_eval.decoding.spaces import LINEAR
from relight_eval.errors import ImageError

_SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
_TYPES = {"float16": 1.0, "float32": 1.0, "float64": 1.0, "uint8": 255.0, "uint16": 65535.0}  # what means 1


def samples(content: bytes, max_pixels: int) -> Samples:
    """Floats, or levels of 255 or 65535 of which the user must say what they mean. Raises ImageError, and others."""
    array = _array(content, max_pixels)
    white = _TYPES.get(array.dtype.name)
    if white is None:
        raise ImageError(f"NPY of {array.dtype} cannot be read; save float16, 32 or 64, uint8 or uint16.")
    planes = np.moveaxis(array, -1, 0)
    has_alpha = len(planes) > RGB
    return Samples(
        planes[:RGB],
        white,
        opacity=planes[RGB] if has_alpha and not bool((planes[RGB] >= white).all()) else None,
        encoding=LINEAR if array.dtype.kind == "f" else None,
    )


def mask(content: bytes, max_pixels: int) -> Samples:
    """As `samples`, but of numbers of any kind, and of bool."""
    array = _array(content, max_pixels)
    if array.dtype.kind not in "buif":
        raise ImageError(f"NPY of {array.dtype} cannot be read as a mask; save bool or numbers.")
    planes = np.moveaxis(array, -1, 0)
    return Samples(planes[:RGB], 1, planes[RGB] if len(planes) > RGB else None)


def _array(content: bytes, max_pixels: int) -> npt.NDArray[Any]:
    """(H, W, C). Raises ImageError for shapes that leave open what they mean."""
    file = io.BytesIO(content)
    shape, dtype = _header(file)
    if dtype.hasobject:
        raise ImageError("NPY of Python objects is a pickle, which is never loaded: it could run any program.")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        turn = " (channels come last: transpose it)" if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        turn = " (one image, channels last: take [0], and transpose it)" if len(shape) == 4 else turn
        raise ImageError(f"NPY of shape {shape} cannot be read, expected {_SHAPES}{turn}.")
    check_size(shape[1], shape[0], max_pixels)
    missing = math.prod(shape) * dtype.itemsize - (len(content) - file.tell())
    if missing > 0:
        raise ImageError(f"the NPY is cut short: {missing} bytes are missing; write or copy it again.")
    file.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return np.atleast_3d(array)


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # 3.0, for names of fields outside Latin-1
        raise ImageError(f"NPY of version {version[0]}.{version[1]} cannot be read; save one plain array.")
    return shape, dtype
