"""Small sound files of every format and kind that is read, from which broken ones are made."""

from __future__ import annotations

import functools
import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR
import PIL.Image
import PIL.ImageCms
import tifffile

Array = npt.NDArray[Any]

HEIGHT, WIDTH = 13, 17  # in no step with blocks of 8 and 16
_RNG = np.random.default_rng(0)
RGBA = np.cumsum(_RNG.integers(0, 40, (HEIGHT, WIDTH, 4)), axis=1).astype(np.uint8)
RGBA[..., 3] = 255
DEEP = RGBA.astype(np.uint16) * 257
FLOATS = (RGBA[..., :3] / 255).astype(np.float32)
ICC = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6


@functools.cache
def seeds() -> dict[str, bytes]:
    """Every seed by its name; the first word of the name is the format."""
    makers: tuple[Callable[[], Iterator[tuple[str, bytes]]], ...] = (
        _png, _jpeg, _webp, _bmp, _gif, _tiff, _exr, _hdr, _npy,
    )  # fmt: skip
    return {name: content for maker in makers for name, content in maker()}


def plain() -> dict[str, bytes]:
    """Those PNG and JPEG that are decoded without the net of a process of their own."""
    names = ("png grey8", "png rgb8", "png rgba8", "png text", "png split", "jpeg 444", "jpeg 422", "jpeg 420",
             "jpeg grey", "jpeg progressive", "jpeg restart")  # fmt: skip
    return {name: seeds()[name] for name in names}


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG, with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    colour: int, depth: int, rows: list[bytes], aside: bytes = b"", *, size: int = 1 << 20, interlaced: bool = False
) -> bytes:
    """A PNG of rows as they are before compression, filter byte included, in IDAT chunks of `size` bytes."""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    pixels = zlib.compress(b"".join(rows))
    parts = [chunk(b"IDAT", pixels[start : start + size]) for start in range(0, len(pixels), size)]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + aside + b"".join(parts) + chunk(b"IEND", b"")


def _rows(array: Array) -> list[bytes]:
    big = array.astype(array.dtype.newbyteorder(">")).reshape(len(array), -1)
    return [bytes([0]) + row.tobytes() for row in big]


def _png() -> Iterator[tuple[str, bytes]]:
    grey, palette = RGBA[..., :1], chunk(b"PLTE", bytes(range(48)))
    for depth in (1, 2, 4):
        rows = [b"\0" + bytes(row[: -(-WIDTH * depth // 8)]) for row in RGBA[..., 0]]
        yield f"png grey{depth}", png(0, depth, rows)
        yield f"png palette{depth}", png(3, depth, rows, chunk(b"PLTE", bytes(range(3 << depth))))
    yield "png palette8", png(3, 8, _rows(grey % 16), palette + chunk(b"tRNS", bytes([255, 0, 128])))
    yield "png grey8", png(0, 8, _rows(grey))
    yield "png rgb8", png(2, 8, _rows(RGBA[..., :3]))
    yield "png rgba8", png(6, 8, _rows(RGBA))
    yield "png text", png(2, 8, _rows(RGBA[..., :3]), chunk(b"gAMA", b"\0\0\xb1\x8f") + chunk(b"tEXt", b"Title\0a"))
    yield "png split", png(2, 8, _rows(RGBA[..., :3]), size=50)
    yield "png la8", png(4, 8, _rows(RGBA[..., ::3]))
    yield "png grey16", png(0, 16, _rows(DEEP[..., :1]))
    yield "png rgb16", png(2, 16, _rows(DEEP[..., :3]), chunk(b"tRNS", bytes(6)))
    yield "png rgba16", png(6, 16, _rows(DEEP))
    yield "png la16", png(4, 16, _rows(DEEP[..., ::3]))
    aside = chunk(b"iCCP", b"a\0\0" + zlib.compress(ICC)) + chunk(b"eXIf", EXIF[6:]) + chunk(b"cHRM", bytes(32))
    yield "png profile", png(2, 8, _rows(RGBA[..., :3]), aside + chunk(b"zTXt", b"a\0\0" + zlib.compress(b"a" * 99)))
    yield "png cicp", png(2, 16, _rows(DEEP[..., :3]), chunk(b"cICP", bytes([1, 13, 0, 1])))
    passes = [RGBA[y::dy, x::dx, :3] for y, x, dy, dx in _ADAM7]
    yield "png adam7", png(2, 8, [row for part in passes for row in _rows(part)], interlaced=True)
    frames = [PIL.Image.fromarray(RGBA), PIL.Image.fromarray(255 - RGBA)]
    yield "png animated", _pillow(RGBA, "PNG", save_all=True, append_images=frames)


def _jpeg() -> Iterator[tuple[str, bytes]]:
    rgb = RGBA[..., :3]
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        yield f"jpeg {name}", _pillow(rgb, "JPEG", subsampling=subsampling)
    yield "jpeg grey", _pillow(rgb[..., 0], "JPEG")
    yield "jpeg progressive", _pillow(rgb, "JPEG", progressive=True)
    yield "jpeg restart", _pillow(rgb, "JPEG", restart_marker_blocks=1)
    yield "jpeg profile", _pillow(rgb, "JPEG", icc_profile=ICC, exif=EXIF)
    cmyk = PIL.Image.fromarray(RGBA, "CMYK")
    yield "jpeg cmyk", _saved(cmyk, "JPEG")
    frames = [PIL.Image.fromarray(255 - rgb)]
    yield "jpeg mpo", _pillow(rgb, "MPO", save_all=True, append_images=frames)


def _webp() -> Iterator[tuple[str, bytes]]:
    frames = [PIL.Image.fromarray(255 - RGBA)]
    yield "webp lossy", _pillow(RGBA[..., :3], "WEBP")
    yield "webp lossless", _pillow(RGBA, "WEBP", lossless=True, exif=EXIF, icc_profile=ICC)
    yield "webp animated", _pillow(RGBA, "WEBP", save_all=True, append_images=frames)


def _bmp() -> Iterator[tuple[str, bytes]]:
    yield "bmp rgb", _pillow(RGBA[..., :3], "BMP")
    yield "bmp rgba", _pillow(RGBA, "BMP")
    yield "bmp grey", _pillow(RGBA[..., 0], "BMP")
    yield "bmp one bit", _saved(PIL.Image.fromarray(RGBA).convert("1"), "BMP")
    yield "bmp no header", _pillow(RGBA[..., :3], "BMP")[14:]
    runs = bytes([WIDTH, 7, 0, 0]) * HEIGHT + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, 8, 1, len(runs), 0, 0, 256, 0)
    yield "bmp rle", struct.pack("<2sIII", b"BM", 1078 + len(runs), 0, 1078) + head + bytes(range(256)) * 4 + runs


def _gif() -> Iterator[tuple[str, bytes]]:
    frames = [PIL.Image.fromarray(255 - RGBA[..., :3])]
    yield "gif one", _pillow(RGBA[..., :3], "GIF")
    yield "gif animated", _pillow(RGBA[..., :3], "GIF", save_all=True, append_images=frames, transparency=0)


def _tiff() -> Iterator[tuple[str, bytes]]:
    rgb = RGBA[..., :3]
    for compression in (None, "lzw", "zlib", "packbits", "jpeg"):
        yield f"tiff {compression}", _tifffile(rgb, photometric="rgb", compression=compression)
    yield "tiff predictor", _tifffile(DEEP[..., :3], photometric="rgb", compression="lzw", predictor=True)
    yield "tiff deep", _tifffile(DEEP[..., :3], photometric="rgb", byteorder=">")
    yield "tiff grey16", _tifffile(DEEP[..., 0])
    yield "tiff rgba16", _tifffile(DEEP, photometric="rgb", extrasamples=["unassalpha"])
    yield "tiff float", _tifffile(FLOATS, photometric="rgb", compression="zlib", predictor=True)
    yield "tiff half", _tifffile(FLOATS.astype(np.float16), photometric="rgb")
    yield "tiff planar", _tifffile(np.moveaxis(DEEP[..., :3], -1, 0), photometric="rgb", planarconfig="separate")
    yield "tiff tiled", _tifffile(rgb, photometric="rgb", tile=(16, 16), compression="zlib")
    yield "tiff big", _tifffile(rgb, photometric="rgb", bigtiff=True)
    yield "tiff profile", _tifffile(rgb, photometric="rgb", iccprofile=ICC)
    yield "tiff pages", _tifffile(np.stack([rgb, rgb]), photometric="rgb")
    yield "tiff palette", _saved(PIL.Image.fromarray(rgb).quantize(16), "TIFF")
    yield "tiff one bit", _saved(PIL.Image.fromarray(rgb).convert("1"), "TIFF", compression="group4")
    yield "tiff lab", _saved(PIL.Image.fromarray(rgb, "LAB"), "TIFF")
    yield "tiff cmyk", _saved(PIL.Image.fromarray(RGBA, "CMYK"), "TIFF", compression="tiff_lzw")


def _exr() -> Iterator[tuple[str, bytes]]:
    half, scanlines = FLOATS.astype(np.float16), OpenEXR.scanlineimage
    for compression in ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"):
        header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION"), "type": scanlines}
        yield f"exr {compression.lower()}", _openexr(header, {"RGB": half})
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": scanlines}
    yield "exr float", _openexr(header, {"RGB": FLOATS})
    yield "exr grey", _openexr(header, {"Y": FLOATS[..., 0].copy()})
    yield "exr alpha", _openexr(header, {"RGBA": np.dstack([FLOATS, FLOATS[..., :1]])})


def _hdr() -> Iterator[tuple[str, bytes]]:
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\nEXPOSURE=1.0\n\n-Y %d +X %d\n" % (HEIGHT, WIDTH)
    yield "hdr flat", head + RGBA.tobytes()
    runs = b"".join(b"\2\2\0%c" % WIDTH + bytes([128 + WIDTH, 90] * 2 + [WIDTH, *range(WIDTH)] * 2) for _ in RGBA)
    yield "hdr runs", head + runs


def _npy() -> Iterator[tuple[str, bytes]]:
    arrays: dict[str, Array] = {
        "rgb": FLOATS, "grey": FLOATS[..., 0], "deep": DEEP, "half": FLOATS.astype(np.float16),
        "bool": RGBA[..., 0] > 99, "fortran": np.asfortranarray(FLOATS), "big": FLOATS.astype(">f8"),
    }  # fmt: skip
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        yield f"npy {name}", buffer.getvalue()


def _pillow(array: Array, kind: str, **options: Any) -> bytes:
    return _saved(PIL.Image.fromarray(array), kind, **options)


def _saved(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _tifffile(array: Array, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def _openexr(header: dict[str, Any], channels: dict[str, Array]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.exr"
        OpenEXR.File(header, channels).write(str(path))
        return path.read_bytes()
