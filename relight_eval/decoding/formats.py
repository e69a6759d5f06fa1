"""Which format a file has, by its content and not its suffix, and what decodes it.

The messages of all ImageErrors here start after the name of the file. Nothing here is for threads: see `apart`.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.BmpImagePlugin import BmpImageFile, DibImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.WebPImagePlugin import WebPImageFile

from relight_eval.decoding import bmp, exr, hdr, jpeg, masks, npy, pillow, png, srgb, tiff
from relight_eval.decoding.planes import Planes
from relight_eval.decoding.reading import Reading
from relight_eval.decoding.samples import Samples
from relight_eval.errors import ImageError

# A file's bytes, and the most pixels that it may have, -> what it stores.
Decoder = Callable[[bytes, int], Samples]


@dataclass(frozen=True)
class Format:
    """How the files of a format begin, and what decodes them, as an image and as a mask."""

    magic: bytes
    kind: str
    samples: Decoder
    mask: Decoder


def _by_pillow(magic: bytes, kind: str, reader: pillow.Reader) -> Format:
    return Format(magic, kind, partial(pillow.samples, reader), partial(pillow.mask, reader))


_FORMATS = (
    Format(rb"\x89PNG\r\n\x1a\n", "PNG", png.samples, png.mask),
    Format(rb"\xff\xd8\xff", "JPEG", jpeg.samples, jpeg.mask),
    _by_pillow(rb"RIFF....WEBP", "WebP", WebPImageFile),
    Format(rb"BM", "BMP", bmp.samples, partial(pillow.mask, BmpImageFile)),
    _by_pillow(rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP", DibImageFile),  # a BMP without its file header
    Format(rb"II[*+]\0|MM\0[*+]", "TIFF", tiff.samples, tiff.mask),
    _by_pillow(rb"GIF8[79]a", "GIF", GifImageFile),
    Format(rb"\x76\x2f\x31\x01", "OpenEXR", exr.samples, exr.samples),
    Format(rb"#\?(RADIANCE|RGBE)", "Radiance HDR", hdr.samples, hdr.samples),
    Format(rb"\x93NUMPY", "NPY", npy.samples, npy.mask),
)
# Not read, but named, so that the message says more than "not an image".
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (rb"....ftyp(avif|avis|heic|heix|mif1)", "AVIF and HEIF cannot be read. Convert both images of the pair to PNG."),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "JPEG 2000 cannot be read. Convert both images of the pair to PNG."),
    (rb"PK\x03\x04", "not an image but a ZIP archive (as NPZ is); unpack it, or save one array as NPY."),
    (rb"\x80[\x02-\x05]", "not an image but a Python pickle, which is never loaded: it could run any program."),
    (rb"version https://git-lfs", "not an image but a Git LFS pointer; fetch the file with git lfs pull."),
    (rb"\s*<", "not an image but a web page or other text; was the download refused?"),
)


def decode(content: bytes, reading: Reading) -> Planes:
    """The image in a file of any of the formats above. Raises ImageError."""
    found = _format(content)
    with _libraries(found.kind, reading.max_pixels):
        return srgb.planes(found.samples(content, reading.max_pixels), reading)


def decode_mask(content: bytes, max_pixels: int) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that are more than 0 in any channel but alpha: (H, W). Raises ImageError."""
    found = _format(content)
    with _libraries(found.kind, max_pixels):
        return masks.inside(found.mask(content, max_pixels))


def _format(content: bytes) -> Format:
    head = content[:32]
    for known in _FORMATS:
        if re.match(known.magic, head, re.DOTALL):
            return known
    for magic, message in _REFUSED:
        if re.match(magic, head, re.DOTALL):
            raise ImageError(message)
    kinds = ", ".join(dict.fromkeys(known.kind for known in _FORMATS))
    raise ImageError(f"not an image that can be read: its content is none of {kinds}.")


@contextlib.contextmanager
def _libraries(kind: str, max_pixels: int) -> Iterator[None]:
    """Turns what libraries raise into ImageErrors, and keeps their warnings, none of which changes a pixel, quiet."""
    pillows_limit = PIL.Image.MAX_IMAGE_PIXELS
    PIL.Image.MAX_IMAGE_PIXELS = max_pixels  # for its own look at the sizes of frames and tiles
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"not enough memory to decode this {kind}; use fewer --workers.") from error
    except Exception as error:
        # A damaged file can raise nearly anything inside them (OSError, SyntaxError, ValueError, struct.error,
        # zlib.error, AssertionError, ...), and one bad file must not stop the run.
        reason = f"{error}".rstrip(".") or type(error).__name__
        reason = reason.replace("not identified by this driver", "it has no pixels")  # Pillow on 0x0
        raise ImageError(
            f"the {kind} is damaged, cut short or of a kind that cannot be read ({reason}); "
            "write or copy it again, or save it as PNG."
        ) from error
    finally:
        PIL.Image.MAX_IMAGE_PIXELS = pillows_limit
