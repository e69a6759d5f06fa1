"""An image file -> a tensor of sRGB, or the reason why it cannot be scored.

Here the file is read, and its content hashed; `decoding` makes pixels of it, apart from this process for all but plain
PNG and JPEG files.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from relight_eval import places
from relight_eval.decoding import Planes, Reading, apart, plain, srgb
from relight_eval.decoding.reading import MAX_PIXELS
from relight_eval.errors import ImageError, shown
from relight_eval.places import Place, TooLarge

# No image takes more bytes than this: four floats of 32 bits for each pixel, and room for what is beside them.
_BYTES_PER_PIXEL, _BYTES_BESIDE = 16, 64 << 20


@dataclass(frozen=True, eq=False)
class Image:
    """One decoded image: `pixels` (3, H, W) sRGB in RGB, contiguous; uint8 as stored, or float32 in [0, 1].

    `note` says what a reader of the score must know of how the file was read, `mistakes` what looks like one of set-up;
    mostly empty. `sha256` is of the file, in hexadecimal.
    """

    pixels: Tensor
    note: str = ""
    mistakes: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, eq=False)
class Mask:
    """One decoded mask: `inside` (H, W) bool, contiguous. `sha256` is of the file, in hexadecimal."""

    inside: Tensor
    sha256: str = ""


def read(path: Place, reading: Reading = Reading()) -> Image:  # noqa: B008 (frozen)
    """The image in a file, at its depth: levels of 255 as stored, or float32 where the file holds more than 8 bits.

    PNG, JPEG, WebP, BMP, TIFF, GIF, OpenEXR, Radiance HDR and NPY are read; their content decides, not the suffix. Grey
    is repeated on three channels, and the EXIF orientation is applied. Colours other than sRGB are converted, and of
    several frames, pages or parts the first is taken; `note` says both, and `reading` says what is refused.

    Safe in threads. Raises ImageError, which names the file.
    """
    try:
        content = _content(path, reading.max_pixels)
        planes = _planes(content, reading)
    except ImageError as error:
        raise ImageError(f"{shown(path)}: {error}") from error.__cause__
    return Image(torch.from_numpy(planes.values), "; ".join(planes.notes), planes.mistakes, _sha256(content))


def read_mask(path: Place, max_pixels: int = MAX_PIXELS) -> Mask:
    """The pixels of a mask that are more than 0 in any channel but alpha.

    So 0 and 1, 0 and 255, and floats all mean the same; NaN is outside. CMYK and the like count as the RGB that they
    stand for. Orientation is applied. Safe in threads. Raises ImageError, which names the file.
    """
    try:
        content = _content(path, max_pixels)
        inside = apart.decode_mask(content, max_pixels)
    except ImageError as error:
        raise ImageError(f"{shown(path)}: {error}") from error.__cause__
    return Mask(torch.from_numpy(inside), _sha256(content))


def check_same_size(prediction: Tensor, target: Tensor, prediction_path: Place, target_path: Place) -> None:
    """Raises ImageError that names both sizes (width x height) when two images (…, H, W) differ in size."""
    if prediction.shape[-2:] != target.shape[-2:]:
        raise ImageError(
            f"{shown(prediction_path)} is {_size(prediction)} but {shown(target_path)} is {_size(target)}; "
            "the images of a pair must have one size."
        )


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]}x{pixels.shape[-2]}"


def _planes(content: bytes, reading: Reading) -> Planes:
    """`content` as an image; the messages of its ImageErrors start after the name of the file."""
    if reading.space in (None, "srgb"):
        try:
            samples = plain.samples(content, reading.max_pixels)
            if samples is not None:
                return srgb.planes(samples, reading)
        except MemoryError as error:
            raise ImageError("not enough memory to decode it; use fewer --workers.") from error
    return apart.decode(content, reading)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(path: Place, max_pixels: int) -> bytes:
    # The whole file at once: what goes wrong here is the file system, what goes wrong later is the image.
    most = _BYTES_PER_PIXEL * max_pixels + _BYTES_BESIDE
    try:
        content = _of_file(path, most) if isinstance(path, Path) else places.read(path, most)
    except TooLarge as error:
        raise ImageError(
            f"its {error.size or f'more than {most}'} bytes are more than {max_pixels} pixels need, the limit for an "
            "image; is it one? If so, raise --max-pixels."
        ) from error
    except FileNotFoundError as error:
        raise ImageError("no such file.") from error
    except PermissionError as error:
        raise ImageError("cannot be opened (permission denied); make it readable.") from error
    except MemoryError as error:
        raise ImageError("not enough memory to read the file; use fewer --workers.") from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise ImageError(f"cannot be opened ({getattr(error, 'strerror', None) or error}).") from error
    if not content:
        raise ImageError("the file is empty (0 bytes), expected an image; write or copy it again.")
    return content


def _of_file(path: Path, most: int) -> bytes:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # from a pipe it would read for ever
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise ImageError(f"is {kind}, expected an image.")
    if found.st_size > most:
        raise TooLarge(found.st_size)
    return path.read_bytes()
