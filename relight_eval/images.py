"""An image file -> a uint8 tensor, or the reason why it cannot be scored.

What is read is what the file says: orientation applied, opaque alpha dropped, nothing rounded. Where that is
not possible (16-bit and float files for now, pixels that are transparent) the file is refused, because a
score over altered pixels looks like any other score.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import threading
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import imagecodecs
import numpy as np
import numpy.typing as npt
import PIL.Image
import torch
from PIL.BmpImagePlugin import BmpImageFile, DibImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch import Tensor

from relight_eval.errors import ImageError, UsageError, shown

Alpha = Literal["refuse", "drop", "black", "white"]

# Content decides, not the suffix. Pillow's classes are called by themselves, not through PIL.Image.open,
# which tries every format it knows (some start other programs) and hides why the right one failed.
_FORMATS: tuple[tuple[bytes, str, type[ImageFile]], ...] = (
    (rb"\x89PNG\r\n\x1a\n", "PNG", PngImageFile),
    (rb"\xff\xd8\xff", "JPEG", JpegImageFile),
    (rb"RIFF....WEBP", "WebP", WebPImageFile),
    (rb"BM", "BMP", BmpImageFile),
    (rb"[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP", DibImageFile),  # a BMP without its file header
    (rb"II[*+]\0|MM\0[*+]", "TIFF", TiffImageFile),
    (rb"GIF8[79]a", "GIF", GifImageFile),
)
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
# In which 0 is black and everything else is not: a mask of them is read as it is.
_MASK_MODES = {"1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "F"}
_CONVERT = "Convert both images of the pair to 8-bit PNG."
_TOO_DEEP = (
    "cannot be read yet; only images of 8 bits per channel can, because rounding in silence would change the "
    f"score. {_CONVERT}"
)
# Not read, but named, so that the message says more than "not an image".
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (rb"\x76\x2f\x31\x01", f"OpenEXR {_TOO_DEEP}"),
    (rb"#\?(RADIANCE|RGBE)", f"Radiance HDR {_TOO_DEEP}"),
    (rb"....ftyp(avif|avis|heic|heix|mif1)", f"AVIF and HEIF cannot be read. {_CONVERT}"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", f"JPEG 2000 cannot be read. {_CONVERT}"),
    (rb"\x93NUMPY", "not an image but a NumPy array; save it as 8-bit PNG."),
    (rb"version https://git-lfs", "not an image but a Git LFS pointer; fetch the file with git lfs pull."),
    (rb"\s*<", "not an image but a web page or other text; was the download refused?"),
)
_ORIENTATION = 0x0112  # the EXIF tag
_TURN = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
_BITS_PER_SAMPLE, _SAMPLE_FORMAT = 258, 339  # TIFF tags
_SAMPLE_KINDS = {2: "signed", 3: "float", 5: "complex", 6: "complex"}

Planes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Image:
    """One decoded image: `pixels` (3, H, W) uint8 in RGB, contiguous; values as stored, taken as sRGB.

    `note` says what a reader of the score must know of how the file was read; mostly empty.
    """

    pixels: Tensor
    note: str = ""


def read(path: Path, *, alpha: Alpha = "refuse") -> Image:
    """The image in a PNG, JPEG, WebP, BMP, TIFF or GIF file of up to 8 bits per channel.

    Grey is repeated on three channels, CMYK is converted without its profile (said in `note`), of an
    animation or several pages the first is taken (said too), and the EXIF orientation is applied. `alpha`
    says what becomes of pixels that are not opaque: "refuse" the file, "drop" the alpha channel and keep the
    colours as stored, or lay them over "black" or "white", rounded to the nearest level.

    Safe in threads. Raises ImageError, which names the file, and UsageError for an unknown `alpha`.
    """
    if alpha not in get_args(Alpha):
        raise UsageError(f'alpha "{alpha}" is not one of {", ".join(get_args(Alpha))}.')
    try:
        return _decoded(_content(path), alpha)
    except ImageError as error:
        raise ImageError(f"{shown(path)}: {error}") from error.__cause__


def read_mask(path: Path) -> Tensor:
    """The pixels of a mask that are more than 0 in any channel but alpha: (H, W) bool.

    So 0 and 1, 0 and 255, and floats all mean the same; 16-bit grey and float files are read, too. CMYK and the like
    count as the RGB that they stand for. Orientation is applied. Raises ImageError, which names the file.
    """
    try:
        return _inside(_content(path))
    except ImageError as error:
        raise ImageError(f"{shown(path)}: {error}") from error.__cause__


def _inside(content: bytes) -> Tensor:
    """`content` as a mask; the messages of its ImageErrors start after the name of the file."""
    kind, reader = _format(content)
    _silence_pillow()
    try:
        with reader(io.BytesIO(content)) as picture:
            values = _mask_values(picture)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"not enough memory to decode this {kind}; use fewer --workers.") from error
    except Exception as error:  # as many kinds as in `_decoded`
        reason = f"{error}".rstrip(".") or type(error).__name__
        raise ImageError(f"the {kind} is damaged or of a kind that cannot be read ({reason}).") from error
    inside = values > 0 if values.ndim == 2 else (values > 0).any(axis=-1)
    return torch.from_numpy(np.ascontiguousarray(inside))


def _mask_values(picture: ImageFile) -> npt.NDArray[Any]:
    """Decodes: (H, W), or (H, W, C) without alpha, turned as the file says."""
    if _too_large(picture.width, picture.height):
        raise ImageError(f"{picture.width}x{picture.height} is more than the limit of {_pixel_limit()} pixels.")
    args = picture.tile[0].args if picture.tile else ""
    rawmode = args[0] if isinstance(args, tuple) else args
    if "16" in str(rawmode) and not picture.mode.startswith("I"):
        # Pillow makes 8 bits of it in silence, and 0 of 1
        raise ImageError("16 bits of colour cannot be read; save the mask in grey, or with 8 bits.")
    if picture.mode not in _MODES | _MASK_MODES:
        raise ImageError(f"{picture.format} of pixel mode {picture.mode} cannot be read; save the mask in grey.")
    picture.load()  # a TIFF turns itself here
    turn = _TURN.get(picture.getexif().get(_ORIENTATION, 1))
    turned = picture.transpose(turn) if turn is not None else picture
    values = np.asarray(turned if turned.mode in _MASK_MODES else turned.convert("RGB"))
    if turned.mode not in ("LA", "RGBA"):
        return values
    colour, alpha = values[..., :-1], values[..., -1]
    if (colour > 0).any(axis=-1).all() and alpha.min() < alpha.max():
        raise ImageError("the mask is in the alpha channel, and all colours are more than 0; save it in grey.")
    return colour


def check_same_size(prediction: Tensor, target: Tensor, prediction_path: Path, target_path: Path) -> None:
    """Raises ImageError that names both sizes (width x height) when two images (…, H, W) differ in size."""
    if prediction.shape[-2:] != target.shape[-2:]:
        raise ImageError(
            f"{shown(prediction_path)} is {_size(prediction)} but {shown(target_path)} is {_size(target)}; "
            "the images of a pair must have one size."
        )


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]}x{pixels.shape[-2]}"


def _content(path: Path) -> bytes:
    # The whole file at once: what goes wrong here is the file system, what goes wrong later is the image.
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # from a pipe it would read for ever
            raise ImageError(f"is {'a folder' if stat.S_ISDIR(mode) else 'no regular file'}, expected an image.")
        content = path.read_bytes()
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


def _decoded(content: bytes, alpha: Alpha) -> Image:
    """`content` as an image; the messages of its ImageErrors start after the name of the file."""
    kind, reader = _format(content)
    _silence_pillow()
    try:
        plain = _plain_planes(content)
        planes, notes = (plain, []) if plain is not None else _by_pillow(content, kind, reader)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"not enough memory to decode this {kind}; use fewer --workers.") from error
    except Exception as error:
        # A damaged file can raise nearly anything inside Pillow (OSError, SyntaxError, ValueError,
        # struct.error, zlib.error, AssertionError, ...), and one bad file must not stop the run.
        reason = f"{error}".rstrip(".") or type(error).__name__
        reason = reason.replace("not identified by this driver", "it has no pixels")  # Pillow on 0x0
        raise ImageError(
            f"the {kind} is damaged, cut short or of a kind that cannot be read ({reason}); "
            "write or copy it again, or save it as 8-bit PNG."
        ) from error
    opaque = _without_alpha(planes, alpha) if len(planes) == 4 else planes
    return Image(torch.from_numpy(opaque), "; ".join(notes))


def _format(content: bytes) -> tuple[str, type[ImageFile]]:
    head = content[:32]
    for magic, kind, reader in _FORMATS:
        if re.match(magic, head, re.DOTALL):
            return kind, reader
    for magic, message in _REFUSED:
        if re.match(magic, head, re.DOTALL):
            raise ImageError(message)
    known = ", ".join(dict.fromkeys(kind for _, kind, _ in _FORMATS))
    raise ImageError(f"not an image that can be read: its content is none of {known}.")


# What is refused before decoding


def _check_tiff_depth(content: bytes) -> None:
    # Before Pillow's own look at the file, which rounds 16-bit RGB to 8 bits in silence and calls float RGB
    # an "unknown pixel mode".
    directory = ImageFileDirectory_v2(content[: 16 if content[2] == 43 else 8])  # 43: a BigTIFF
    file = io.BytesIO(content)
    file.seek(directory.next)
    directory.load(file)
    bits = max(directory.get(_BITS_PER_SAMPLE, (1,)))
    kinds = {_SAMPLE_KINDS.get(number, "") for number in directory.get(_SAMPLE_FORMAT, (1,))} - {""}
    if bits > 8 or kinds:
        raise ImageError(" ".join([f"{bits}-bit", *sorted(kinds), "TIFF", _TOO_DEEP]))


def _check_readable(picture: ImageFile) -> None:
    """Raises ImageError for an opened, not yet decoded file that is too deep or too large."""
    rawmode = picture.tile[0].args if picture.tile else ""
    if isinstance(picture, PngImageFile) and "16" in str(rawmode):
        raise ImageError(f"16-bit PNG {_TOO_DEEP}")  # Pillow makes 8-bit RGB of it in silence
    if picture.mode not in _MODES:
        raise ImageError(f"{picture.format} of pixel mode {picture.mode} cannot be read. {_CONVERT}")
    if _too_large(picture.width, picture.height):
        raise ImageError(
            f"{picture.width}x{picture.height} is more than the limit of {_pixel_limit()} pixels, beyond which a "
            "file is taken for a decompression bomb; scale or crop both images of the pair."
        )


def _pixel_limit() -> int | None:
    return PIL.Image.MAX_IMAGE_PIXELS and 2 * PIL.Image.MAX_IMAGE_PIXELS  # as Pillow; None: no limit


def _too_large(width: int, height: int) -> bool:
    limit = _pixel_limit()
    return bool(limit and width * height > limit)


# Decoding the common files, fast
#
# imagecodecs takes two thirds of Pillow's time and no GIL, which Pillow takes again for every IDAT chunk of a PNG
# (mostly 8 KB), so that threads wait for each other. But Pillow stays the judge of what is read, and as what: only
# whole files go this way, of kinds in which nothing but the pixels counts, and what imagecodecs refuses goes to it.

# 8 bits of grey, RGB or RGBA, not interlaced.
_PNG_HEAD = re.compile(rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.{8}\x08[\x00\x02\x06]\0\0\0", re.DOTALL)
# What may stand around the pixels, and the fewest bytes of it with which Pillow takes the file.
_PNG_ASIDE = {b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9, b"sBIT": 0, b"bKGD": 0, b"tIME": 0, b"tEXt": 0}
_PNG_CHUNKS = re.compile(rb"IHDR(?:%b){0,99}(?:IDAT)+(?:%b){0,99}IEND" % ((b"|".join(_PNG_ASIDE),) * 2))
# A text can hold EXIF data, and under other names it changes how Pillow decodes. So only names that it has no
# use for: those of the PNG specification, Blender's, ImageMagick's, and those of programs for diffusion models.
_PNG_KEYWORDS = re.compile(
    rb"Title|Author|Description|Copyright|Creation Time|Software|Disclaimer|Warning|Source|Comment"
    rb"|File|Date|Time|Frame|Camera|Scene|RenderTime|cycles\.[\w. ]+|date:\w+|parameters|prompt|workflow"
)
# 8 bits of grey or YCbCr 4:4:4, 4:2:2 or 4:2:0, baseline or progressive; JFIF says that it is YCbCr.
_JPEG_FRAME = re.compile(rb"\x08.{4}(?:\x01.[\x11\x21\x22].|\x03.[\x11\x21\x22].(?:.\x11.){2})", re.DOTALL)
_JPEG_MARKERS = re.compile(rb"\xe0[\xdb\xc4\xdd\xfe]*[\xc0\xc2][\xdb\xc4\xdd\xfe]*(?:\xda[\xc4\xdd\xfe]*)+\xd9")
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")


def _plain_planes(content: bytes) -> Planes | None:
    """What Pillow would give for a plain PNG or JPEG: (3, H, W), or (4, H, W) where some pixel is not opaque.

    None for every other file, and for one that is not whole: Pillow reads it or says what is wrong.
    """
    try:
        if _PNG_HEAD.match(content) and _is_plain_png(content):
            pixels = imagecodecs.spng_decode(content)  # as fast as png_decode, which leaks where it fails
        elif content.startswith(b"\xff\xd8\xff\xe0") and _is_plain_jpeg(content):
            pixels = imagecodecs.jpeg8_decode(content)
        else:
            return None
    except Exception:  # of a codec, which says less than Pillow and may be missing from this imagecodecs
        return None
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 3, axis=0)
    if pixels.shape[2] == 4 and pixels[..., 3].min() == 255:
        pixels = pixels[..., :3]
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _is_plain_png(content: bytes) -> bool:
    names, start = [], 8
    while start + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        names.append(name)
        if name != b"IDAT":  # Pillow does not look at its checksum
            data = content[start + 8 : start + 8 + length]
            if not _PNG_ASIDE.get(name, 0) <= length < 1 << 16:  # Pillow has a limit for all texts together
                return False
            if content[start + 8 + length : start + 12 + length] != struct.pack(">I", zlib.crc32(name + data)):
                return False
            if name == b"tEXt" and not _PNG_KEYWORDS.fullmatch(data.split(b"\0")[0]):
                return False
        start += 12 + length
    too_large = _too_large(*struct.unpack_from(">II", content, 16))
    return start == len(content) and not too_large and _PNG_CHUNKS.fullmatch(b"".join(names)) is not None


def _is_plain_jpeg(content: bytes) -> bool:
    """Looks at all markers to the end: where one is missing, imagecodecs makes up the rest of the pixels."""
    markers, start = [], 2
    while start + 4 <= len(content):
        ff, marker, length = struct.unpack_from(">BBH", content, start)
        markers.append(marker)
        data = content[start + 4 : start + 2 + length]
        if ff != 0xFF or len(data) != length - 2:
            return False
        if marker == 0xE0 and not (data.startswith(b"JFIF\0") and length >= 16):
            return False
        if marker in (0xC0, 0xC2) and not _is_plain_frame(data):
            return False
        start += 2 + length
        if marker == 0xDA:
            found = _JPEG_MARKER_IN_SCAN.search(content, start)
            if found is None:
                return False
            start = found.start()
    return content[start:] == b"\xff\xd9" and _JPEG_MARKERS.fullmatch(bytes([*markers, 0xD9])) is not None


def _is_plain_frame(data: bytes) -> bool:
    height, width = struct.unpack_from(">HH", data, 1)
    libjpeg_limit = 65500  # lifted in the libjpeg of imagecodecs
    return bool(_JPEG_FRAME.fullmatch(data)) and max(height, width) <= libjpeg_limit and not _too_large(width, height)


# Decoding the others


def _silence_pillow() -> None:
    """Keeps Pillow's warnings about sizes and metadata, none of which changes a pixel, from the user.

    warnings.catch_warnings would be the usual way, but before Python 3.14 it swaps state of the whole process
    and so cannot be used in threads. One filter for Pillow's own modules stays in place instead; it is put in
    front again where somebody put filters before it (-W error under pytest raises inside Pillow otherwise).
    """
    global _filter
    with _filter_lock:
        if _filter is None or _filter not in warnings.filters[:1]:
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _filter = warnings.filters[0]


_filter_lock = threading.Lock()
_filter: object = None


def _by_pillow(content: bytes, kind: str, reader: type[ImageFile]) -> tuple[Planes, list[str]]:
    if kind == "TIFF":
        _check_tiff_depth(content)
    picture = reader(io.BytesIO(content))
    _check_readable(picture)
    return _planes(picture)


def _planes(picture: ImageFile) -> tuple[Planes, list[str]]:
    """Decodes: (3, H, W), or (4, H, W) where some pixel is not opaque; and what is to be said about it."""
    rawmode = picture.tile[0].args if picture.tile else ""
    picture.load()  # a TIFF turns itself here
    _mend_transparent_grey(picture, rawmode)
    notes = ["CMYK, converted to RGB without its colour profile"] if picture.mode == "CMYK" else []
    colour = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    try:
        turn = _TURN.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # as many kinds as above; the pixels themselves are whole
        turn = None
        notes.append("EXIF data damaged, so no orientation applied")
    if turn is not None:
        colour = colour.transpose(turn)
    bands = colour.split()
    if bands[3:] and bands[3].getextrema() == (255, 255):
        bands = bands[:3]
    if bands[3:] and "RGBa" in str(rawmode):  # Pillow divides by alpha and rounds: not what is stored
        raise ImageError(f"{picture.format} with premultiplied alpha cannot be read. {_CONVERT}")
    # Band by band is five times faster than interleaved pixels, and what the metrics want.
    planes = np.empty((len(bands), colour.height, colour.width), np.uint8)
    for plane, band in zip(planes, bands, strict=True):
        plane[:] = np.asarray(band)
    return planes, [*notes, *_frames_note(picture)]


def _mend_transparent_grey(picture: ImageFile, rawmode: object) -> None:
    """Brings the transparent grey of a 2 or 4-bit PNG to the range of the decoded pixels; Pillow does not."""
    step = {"L;2": 85, "L;4": 17}.get(str(rawmode), 1)
    grey = picture.info.get("transparency")
    if isinstance(grey, int) and grey < 16:  # more: it is in that range already
        picture.info["transparency"] = grey * step


def _frames_note(picture: ImageFile) -> list[str]:
    try:
        count = getattr(picture, "n_frames", 1)
    except Exception:  # as many kinds as above; the first frame is read
        return ["first frame of an animation whose other frames are damaged"]
    return [f"first of {count} frames"] if count > 1 else []


def _without_alpha(planes: Planes, alpha: Alpha) -> Planes:
    colour, opacity = planes[:3], planes[3].astype(np.uint16)
    if alpha == "refuse":
        seen_through = int((opacity < 255).sum())
        raise ImageError(
            f"has transparency ({seen_through} of {opacity.size} pixels), so its colours depend on what is "
            "behind them; choose with --alpha drop, black or white."
        )
    if alpha == "drop":
        return colour
    background = 255 * (255 - opacity) if alpha == "white" else 0
    # At most 255 * 255 + 127, which uint16 holds. No level is ever halfway, as 255 is odd.
    over: Planes = ((colour * opacity + background + 127) // 255).astype(np.uint8)
    return over
