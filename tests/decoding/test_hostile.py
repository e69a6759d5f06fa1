"""Damaged and hostile files, through the reader as a run uses it: a reason, soon, and never pixels that are not there.

The sound files are those of the fuzz, which goes on where these cases end (`make fuzz`).
"""

from __future__ import annotations

import os
import re
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from relight_eval.decoding import Reading, plain
from relight_eval.decoding.reading import MAX_PIXELS
from relight_eval.errors import ImageError
from relight_eval.images import read, read_mask
from tests.fuzz.mutations import mended
from tests.fuzz.seeds import EXIF, HEIGHT, RGBA, WIDTH, chunk, png, seeds

READING = Reading(alpha="drop")
COLOURS = np.moveaxis(RGBA[..., :3], -1, 0).tobytes()  # of the seeds of 8 bits without loss
# One of each way of decoding.
EACH = ["png rgb8", "png palette4", "png rgb16", "png adam7", "jpeg 420", "jpeg progressive", "jpeg cmyk", "webp lossy",
        "webp lossless", "bmp rgb", "bmp rle", "gif one", "tiff zlib", "tiff tiled", "tiff float", "tiff cmyk",
        "exr zip", "exr piz", "exr dwaa", "hdr flat", "hdr runs", "npy rgb"]  # fmt: skip

unix = pytest.mark.skipif(sys.platform == "win32", reason="files of Unix")


@contextmanager
def soon() -> Iterator[None]:
    """What is done within takes little time, and little memory of this process."""
    tracemalloc.start()
    start = time.monotonic()
    try:
        yield
        seconds, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 10
    assert peak < 64 << 20


def saved(folder: Path, content: bytes, name: str = "a.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path, reason: str, reading: Reading = READING) -> None:
    with soon(), pytest.raises(ImageError, match=f"^{re.escape(path.as_posix())}: .*(?:{reason})") as raised:
        read(path, reading)
    assert f"{raised.value}".isprintable()
    assert len(f"{raised.value}") < 1000


def pixels(path: Path) -> bytes:
    return read(path, READING).pixels.numpy().tobytes()


def pixels_if_read(path: Path) -> bytes | None:
    """None where the file is refused, with a message that can be printed."""
    with soon():
        try:
            return pixels(path)
        except ImageError as error:
            message = f"{error}"
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return None


@pytest.mark.parametrize("name", EACH)
def test_a_file_cut_short_is_refused_or_lacks_nothing(name: str, tmp_path: Path) -> None:
    """Whatever was cut off: never pixels that were made up for those that are gone."""
    content = seeds()[name]
    whole = pixels(saved(tmp_path, content, "whole"))
    length = len(content)
    for end in {1, 4, 9, 20, 33, length // 3, length // 2, 2 * length // 3, length - 40, length - 9, length - 2}:
        path = saved(tmp_path, content[:end])
        assert pixels_if_read(path) in (None, whole), f"other pixels of {end} of {length} bytes"


@pytest.mark.parametrize("name", EACH)
def test_flipped_bits_are_refused_or_read(name: str, tmp_path: Path) -> None:
    content = seeds()[name]
    for at in range(3, len(content), len(content) // 12):
        broken = bytearray(content)
        broken[at] ^= 0x55
        assert pixels_if_read(saved(tmp_path, bytes(broken))) != b""


def test_empty(tmp_path: Path) -> None:
    refused(saved(tmp_path, b""), "empty")


@pytest.mark.parametrize("content", [b"\0" * 5000, b"\xff" * 5000, b"a" * 5000, b"\n" * 5000], ids=repr)
def test_no_image_at_all(content: bytes, tmp_path: Path) -> None:
    refused(saved(tmp_path, content), "not an image")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".exr", ".hdr", ".npy", ".txt", ""])
def test_the_content_decides_not_the_suffix(suffix: str, tmp_path: Path) -> None:
    for name in ("png rgb8", "jpeg 420", "exr zip", "npy rgb"):
        assert pixels(saved(tmp_path, seeds()[name], f"a{suffix}")) == pixels(saved(tmp_path, seeds()[name], "b"))


# Sizes


def _tiff_sized(width: int, height: int) -> bytes:
    """A little-endian TIFF that says to have this size, and one strip of 64 bytes."""
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 200), (277, 3, 1),
            (278, 4, height), (279, 4, 64)]  # fmt: skip
    return _tiff(tags).ljust(200, b"\0") + bytes(64)


def _tiff(tags: list[tuple[int, int, int]], following: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def _exr_sized(left: int, top: int, right: int, bottom: int) -> bytes:
    content = bytearray(seeds()["exr zip"])
    for window in (b"dataWindow\0box2i\0", b"displayWindow\0box2i\0"):
        at = content.index(window) + len(window) + 4
        content[at : at + 16] = struct.pack("<4i", left, top, right, bottom)
    return bytes(content)


def sized(name: str, width: int, height: int) -> bytes:
    """A small file whose header says that it has this size."""
    content = bytearray(seeds()[name])
    if name.startswith("png"):
        content[16:24] = struct.pack(">II", width, height)
        return mended(bytes(content))
    if name.startswith("jpeg"):
        frame = re.search(rb"\xff[\xc0\xc2]\0.\x08", content, re.DOTALL)
        assert frame is not None
        content[frame.end() : frame.end() + 4] = struct.pack(">HH", height, width)
    elif name.startswith("gif"):
        frame_at = content.index(b"\x2c\0\0\0\0" + struct.pack("<HH", WIDTH, HEIGHT))
        content[6:10] = content[frame_at + 5 : frame_at + 9] = struct.pack("<HH", width, height)
    elif name.startswith("bmp"):
        content[18:26] = struct.pack("<ii", width, height)
    elif name == "webp lossy":
        at = content.index(b"\x9d\x01\x2a") + 3
        content[at : at + 4] = struct.pack("<HH", width, height)
    elif name.startswith("exr"):
        return _exr_sized(0, 0, width - 1, height - 1)
    elif name.startswith("tiff"):
        return _tiff_sized(width, height)
    else:
        old = b"-Y %d +X %d" % (HEIGHT, WIDTH) if name.startswith("hdr") else b"(%d, %d, 3)" % (HEIGHT, WIDTH)
        new = b"-Y %d +X %d" % (height, width) if name.startswith("hdr") else b"(%d, %d, 3)" % (height, width)
        return bytes(content).replace(old, new)
    return bytes(content)


BOMBS = ["png rgb8", "png rgb16", "png palette4", "jpeg 420", "jpeg cmyk", "gif one", "bmp rgb", "tiff zlib", "exr zip",
         "hdr flat", "hdr runs", "npy rgb"]  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_thirty_thousand_squared_is_refused_before_it_is_decoded(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, sized(name, 30_000, 30_000))
    reason = "30000x30000 is more than the limit of 178956970 pixels.*raise --max-pixels"
    refused(path, reason)
    with pytest.raises(ImageError, match=reason):
        read_mask(path)


def test_the_largest_webp_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    refused(saved(tmp_path, sized("webp lossy", 16_383, 16_383)), "16383x16383 is more than the limit")


@pytest.mark.parametrize("name", [*BOMBS, "webp lossy"])
@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (0, 0)])
def test_no_pixels(name: str, width: int, height: int, tmp_path: Path) -> None:
    refused(saved(tmp_path, sized(name, width, height)), "no pixels|damaged|cut short|cannot be read")


@pytest.mark.parametrize(("width", "height"), [(1, 3000), (3000, 1)])
def test_one_by_many_is_an_image(width: int, height: int, tmp_path: Path) -> None:
    rows = [b"\0" + bytes(3 * width)] * height
    content = bytearray(png(2, 8, rows))
    content[16:24] = struct.pack(">II", width, height)
    assert read(saved(tmp_path, mended(bytes(content)))).pixels.shape == (3, height, width)


def test_the_limit_is_an_option(tmp_path: Path) -> None:
    path = saved(tmp_path, seeds()["png rgb8"])
    refused(path, f"{WIDTH}x{HEIGHT} is more than the limit of 220 pixels", Reading(max_pixels=220))
    assert read(path, Reading(max_pixels=221)).pixels.shape == (3, HEIGHT, WIDTH)


# What swells


@pytest.mark.parametrize(
    ("name", "head"),
    [(b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_a_text_that_swells(name: bytes, head: bytes, tmp_path: Path) -> None:
    packer = zlib.compressobj(1)
    swollen = b"".join(packer.compress(bytes(1 << 24)) for _ in range(8)) + packer.flush()
    rows = [b"\0" + row.tobytes() for row in RGBA[..., :3]]
    assert pixels_if_read(saved(tmp_path, png(2, 8, rows, chunk(name, head + swollen)))) in (None, COLOURS)


def test_more_pixels_than_the_header_says(tmp_path: Path) -> None:
    path = saved(tmp_path, png(2, 8, [b"\0" + bytes(3 * WIDTH)] * 200_000))
    assert pixels_if_read(path) in (None, bytes(3 * WIDTH * HEIGHT))


# What takes its time: for this there is no watchdog in the process itself


def test_a_jpeg_of_many_scans_is_decoded_apart(tmp_path: Path) -> None:
    """Each repeats the last, in 31 bytes, and takes as long as the whole image: a megabyte of them, hours."""
    content = seeds()["jpeg progressive"]
    assert plain.samples(content, MAX_PIXELS) is not None
    scan = content[content.rindex(b"\xff\xda") : -2]
    content = content[:-2] + 1000 * scan + content[-2:]
    assert plain.samples(content, MAX_PIXELS) is None
    assert pixels_if_read(saved(tmp_path, content)) != b""


def test_a_png_of_many_chunks_is_decoded_apart(tmp_path: Path) -> None:
    """Each empty, and yet it costs time and memory to look at."""
    content = seeds()["png rgb8"]
    assert plain.samples(content, MAX_PIXELS) is not None
    content = content[:33] + 300_000 * chunk(b"IDAT", b"") + content[33:]
    with soon():
        assert plain.samples(content, MAX_PIXELS) is None
    assert pixels_if_read(saved(tmp_path, content)) in (None, COLOURS)


# TIFF, NPY, OpenEXR: numbers that point somewhere


def test_a_tiff_whose_directories_go_round(tmp_path: Path) -> None:
    content = bytearray(_tiff_sized(8, 8))
    following = 8 + 2 + 9 * 12
    content[following : following + 4] = struct.pack("<I", 8)
    assert pixels_if_read(saved(tmp_path, bytes(content))) in (None, bytes(3 * 64))


@pytest.mark.parametrize("following", [0, 1, 4, 7, 0xFFFFFFFF, 0x80000000])
def test_a_tiff_whose_directory_is_nowhere(following: int, tmp_path: Path) -> None:
    refused(saved(tmp_path, b"II*\0" + struct.pack("<I", following) + bytes(8)), "TIFF")


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 322, 339, 34675, 700])
@pytest.mark.parametrize("count", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_tiff_with_absurd_counts(tag: int, count: int, tmp_path: Path) -> None:
    content = bytearray(seeds()["tiff zlib"])
    (directory,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, directory)
    for at in range(directory + 2, directory + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", content, at)[0] == tag:
            content[at + 4 : at + 8] = struct.pack("<I", count)
    assert pixels_if_read(saved(tmp_path, bytes(content))) in (None, COLOURS)


def _npy(header: bytes, data: bytes = bytes(12)) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


NPY_LIES = {
    "a pickle": _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1), }", b"\x80\x04K\x01."),
    "negative": _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -3, 3), }"),
    "too large for memory": _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 9223372036854775807), }"),
    "no numbers": _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': ('a', True), }"),
    "a program": _npy(b"__import__('os').abort()"),
    "a huge item": _npy(b"{'descr': '|V2000000000', 'fortran_order': False, 'shape': (1, 1), }"),
    "fields": _npy(b"{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1, 1), }"),
    "an object inside": _npy(b"{'descr': [('a', '|O', (2,))], 'fortran_order': False, 'shape': (2, 2), }"),
    "nested": _npy(b"{'descr': " + b"[" * 9000 + b"]" * 9000 + b", 'fortran_order': False, 'shape': (1, 1), }"),
    "a header without an end": b"\x93NUMPY\2\0\xff\xff\xff\xff{'descr': ",
    "another version": b"\x93NUMPY\x09\x09\x10\0" + bytes(100),
    "dates": _npy(b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1, 1), }"),
}


@pytest.mark.parametrize("lie", NPY_LIES.values(), ids=NPY_LIES.keys())
def test_an_npy_whose_header_lies(lie: bytes, tmp_path: Path) -> None:
    refused(saved(tmp_path, lie), "NPY|no pixels")
    with pytest.raises(ImageError):
        read_mask(tmp_path / "a.png")


_LEAST, _MOST = -(1 << 31), (1 << 31) - 1
WINDOWS = [(0, 0, -1, -1), (5, 5, 4, 4), (_LEAST, _LEAST, _MOST, _MOST), (0, 0, _MOST, 0), (_LEAST, 0, _LEAST + 4, 4),
           (1 << 30, 1 << 30, (1 << 30) + 5, (1 << 30) + 5)]  # fmt: skip


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_an_exr_with_absurd_windows(window: tuple[int, int, int, int], tmp_path: Path) -> None:
    refused(saved(tmp_path, _exr_sized(*window)), "OpenEXR|limit|no pixels")


def test_exif_that_points_to_itself(tmp_path: Path) -> None:
    loop = EXIF[6:14] + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    rows = [b"\0" + row.tobytes() for row in RGBA[..., :3]]
    with soon():
        found = read(saved(tmp_path, png(2, 8, rows, chunk(b"eXIf", loop))), READING)
    assert found.pixels.shape == (3, HEIGHT, WIDTH)


# What is no regular file


@unix
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    refused(tmp_path / "a.png", "no regular file")


@unix
def test_a_device_is_not_read_without_end(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("/dev/zero")
    refused(tmp_path / "a.png", "no regular file")


def test_a_folder_named_as_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    refused(tmp_path / "a.png", "a folder")


@unix
def test_links_that_go_round(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    refused(tmp_path / "a.png", "symbolic links")


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    refused(tmp_path / "a.png", "no such file")


def test_deleted_while_it_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, looked = saved(tmp_path, seeds()["png rgb8"]), Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = looked(self, follow_symlinks=follow_symlinks)
        if self == path:
            path.unlink()
        return found

    monkeypatch.setattr(Path, "stat", stat)
    refused(path, "no such file")
