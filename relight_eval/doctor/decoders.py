"""Images of known values, written by other programs than those that read them where that can be, and read back."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.doctor.check import Finding
from relight_eval.errors import ImageError

Array = npt.NDArray[Any]

NOT_CHECKED = Finding("WARN", "not checked: they need the child process", "Mend what is wrong with that first.")

# Four quarters of 8x8 pixels, one block of a JPEG each: channels or sides that are swapped show.
_QUARTERS = [[(200, 40, 90), (20, 180, 60)], [(30, 70, 220), (250, 240, 10)]]
LEVELS = np.repeat(np.repeat(np.array(_QUARTERS, np.uint8), 8, axis=0), 8, axis=1)  # (16, 16, 3)
DEEP = (LEVELS.astype(np.uint16) * 257) ^ 85  # between two levels of 8 bits: rounding shows
LINEAR = np.array([0.0, 0.125, 0.25, 0.5, 1.0])[LEVELS // 51]  # linear light, exact in half floats and in RGBE


@dataclass(frozen=True)
class Specimen:
    """A file to write to a path, and the sRGB values in [0, 1], (16, 16, 3), that reading it must give."""

    name: str
    suffix: str
    write: Callable[[Path], object]
    expected: Array
    tolerance: float = 1e-6


def specimens() -> Iterator[Specimen]:
    of_levels, of_deep, of_linear = LEVELS / 255, DEEP / 65535, srgb(LINEAR)
    for name, suffix, words in (
        ("PNG", ".png", {}),
        ("JPEG", ".jpg", {"quality": 95, "subsampling": 0}),
        ("WebP", ".webp", {"lossless": True}),
        ("BMP", ".bmp", {}),
        ("TIFF", ".tif", {}),
        ("GIF", ".gif", {}),
    ):
        lossy = 3 / 255 if name == "JPEG" else 1e-6
        yield Specimen(name, suffix, partial(_by_pillow, **words), of_levels, lossy)
    yield Specimen("16-bit PNG", ".png", _deep_png, of_deep)
    yield Specimen("16-bit TIFF", ".tif", partial(_by_tifffile, values=DEEP), of_deep)
    yield Specimen("float TIFF", ".tif", partial(_by_tifffile, values=(DEEP / 65535).astype(np.float32)), of_deep)
    yield Specimen("EXR", ".exr", _exr, of_linear, 1e-5)
    yield Specimen("HDR", ".hdr", _hdr, of_linear, 1e-5)
    yield Specimen("NPY", ".npy", lambda path: np.save(path, LINEAR.astype(np.float32)), of_linear, 1e-5)


def formats() -> Iterator[Finding]:
    """One finding for all that are read right, and one for each that is not."""
    from relight_eval import images  # that it cannot be imported is one finding, not one for each format

    if _has_no_child():
        yield NOT_CHECKED
        return
    right: list[str] = []
    wrong: list[Finding] = []
    advice = "Install relight-eval again, with all that it needs; if this stays, report it with all lines."
    with TemporaryDirectory() as folder:
        for specimen in specimens():
            reason = _what_is_wrong(specimen, Path(folder), images.read)
            if reason:
                wrong.append(Finding("WRONG", f"{specimen.name}: {reason}", advice))
            else:
                right.append(specimen.name)
    if right:
        yield Finding("ok", f"{', '.join(right)}: read as written")
    yield from wrong


def colour_profiles() -> Iterator[Finding]:
    """A profile in which red and green have changed places: converted, they have changed back."""
    from relight_eval import images

    if _has_no_child():
        yield NOT_CHECKED
        return
    swapped = LEVELS[..., [1, 0, 2]] / 255
    specimen = Specimen("profile", ".png", partial(_by_pillow, icc_profile=_red_for_green()), swapped, 2.5 / 255)
    with TemporaryDirectory() as folder:
        reason = _what_is_wrong(specimen, Path(folder), images.read)
    if reason:
        advice = "Images with a profile would be scored wrong: install imagecodecs again, from a wheel."
        yield Finding("WRONG", f"an embedded profile is not converted: {reason}", advice)
    else:
        yield Finding("ok", "an embedded profile is converted to sRGB")


def _has_no_child() -> bool:
    """The check of the child process says why."""
    try:
        _decoded_apart()
    except ImageError:
        return True
    return False


def _decoded_apart() -> Array:
    from relight_eval.decoding import Reading, apart

    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.bmp"
        _by_pillow(path)
        return apart.decode(path.read_bytes(), Reading()).values


def child_process() -> Iterator[Finding]:
    """All but plain PNG and JPEG files are decoded in one."""
    start = time.monotonic()
    values = _decoded_apart()
    seconds = time.monotonic() - start
    if np.array_equal(values, LEVELS.transpose(2, 0, 1)):
        yield Finding("ok", f"starts and decodes ({seconds:.1f} s)")
    else:
        advice = "Images would be scored wrong: install relight-eval again; if this stays, report it with all lines."
        yield Finding("WRONG", "starts, but decodes to other values", advice)


def srgb(linear: Array) -> Array:
    """The sRGB values of linear light in [0, 1] (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _what_is_wrong(specimen: Specimen, folder: Path, read: Callable[[Path], Any]) -> str:
    """Empty when the file is read as expected."""
    path = folder / f"{specimen.name.replace(' ', '_')}{specimen.suffix}"
    try:
        specimen.write(path)
        pixels = read(path).pixels.numpy()
    except Exception as error:
        return f"{error}".removeprefix(f"{path.as_posix()}: ") or type(error).__name__
    if pixels.shape != (3, 16, 16):
        return f"read as {pixels.shape}, written as (3, 16, 16)"
    values = pixels / 255 if pixels.dtype == np.uint8 else pixels
    off = float(np.abs(values.transpose(1, 2, 0) - specimen.expected).max())
    return "" if off <= specimen.tolerance else f"a value is off by {off:.2g} of 1"


def _by_pillow(path: Path, **words: Any) -> None:
    import PIL.Image

    PIL.Image.fromarray(LEVELS).save(path, **words)


def _by_tifffile(path: Path, values: Array) -> None:
    import tifffile

    tifffile.imwrite(path, values, photometric="rgb")


def _deep_png(path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in DEEP.astype(">u2"))  # each begins with its filter: none
    head = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)  # 16x16 pixels, 16 bits of RGB
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _exr(path: Path) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": LINEAR.astype(np.float16)}) as file:
        file.write(str(path))


def _hdr(path: Path) -> None:
    """Three mantissas and the exponent of the largest, a byte each; not compressed."""
    exponent = np.frexp(LINEAR.max(axis=-1, keepdims=True))[1]
    mantissas = LINEAR * 256 / np.exp2(exponent)
    pixels = np.concatenate([mantissas, exponent + 128], axis=-1).astype(np.uint8)
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 16\n" + pixels.tobytes())


def _red_for_green() -> bytes:
    """The profile of sRGB, with the names of two of its primaries exchanged in the table of its tags."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"XXXX").replace(b"gXYZ", b"rXYZ").replace(b"XXXX", b"gXYZ")
