"""The index of a zip archive: what is in it, and where; and the content of a member. Nothing is ever extracted."""

from __future__ import annotations

import bz2
import lzma
import stat
import struct
import sys
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Callable

from relight_eval.places.sources import MEMBER, Damaged, Entry, Member, Source, Window, name_of

LARGEST_INDEX = 2 << 30  # bytes; of 10 million members it has about 1 GB
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, length of the name, length of what is extra
LONGEST_LOCAL = LOCAL_HEADER.size + 2 * 0xFFFF
END = struct.Struct("<4s6xH10x")  # signature, count of members
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags

# What zipfile raises for an index that lies.
_BAD = (zipfile.BadZipFile, ValueError, IndexError, OverflowError, NotImplementedError, EOFError, struct.error)


def index(source: Source) -> dict[str, Entry]:
    """Path below the folder that the archive is -> the file; of two of one path the last, as unzip -o would leave it.

    Raises OSError, and Damaged for what is no whole zip archive.
    """
    try:
        with source.opened() as fetch:
            window = Window(fetch, source.size, LARGEST_INDEX)
            with zipfile.ZipFile(window) as archive:
                members, first_after = archive.infolist(), archive.start_dir
                window.seek(-END.size - len(archive.comment), 2)
                _require_all(members, *END.unpack(window.read(END.size)))
    except Damaged as error:
        raise Damaged(f"{source} {error}") from error
    except _BAD as error:
        raise Damaged(f"{source} is damaged or cut off, or no zip archive ({error})") from error
    starts = sorted((*(member.header_offset for member in members), first_after))
    found = {}
    for member in members:
        if (name := name_of(member.filename)) and not member.is_dir():
            following = bisect_right(starts, member.header_offset)
            found[name] = _entry(member, starts[min(following, len(starts) - 1)])
    return found


def content(data: bytes, member: Member) -> bytes:
    """The content of a member, given the bytes from its start to its end. Takes no more memory than its size says.

    Raises Damaged where that is not what the index says of it.
    """
    signature, name_length, extra_length = LOCAL_HEADER.unpack(data[: LOCAL_HEADER.size])
    name_end = LOCAL_HEADER.size + name_length
    if signature != b"PK\3\4" or zlib.crc32(data[LOCAL_HEADER.size : name_end]) != member.mark:
        raise Damaged("the archive is damaged, or has changed since the run began: there is another file in its place")
    begin = name_end + extra_length
    stored = data[begin : begin + member.stored]
    plain = _decompressed(stored, member)
    if len(plain) != member.size or zlib.crc32(plain) != member.crc:
        raise Damaged("its content is not what its CRC-32 in the archive says: the archive is damaged")
    return plain


def _require_all(members: list[zipfile.ZipInfo], signature: bytes, count: int) -> None:
    """The end of the archive must say so many; in large archives (zip64) it says 0xFFFF, or the last 16 bits."""
    if signature == b"PK\5\6" and count not in (0xFFFF, len(members) & 0xFFFF):
        raise Damaged(f"is damaged: it says that it has {count} files and folders, but lists {len(members)}")


def _entry(member: zipfile.ZipInfo, next_start: int) -> Entry:
    """What to keep of a member: all that is read of it is between its start and the next one's."""
    if member.flag_bits & ENCRYPTED:
        return "is encrypted; write the archive without a password"
    if member.create_system == 3 and stat.S_ISLNK(member.external_attr >> 16):  # of Unix
        return "is a link, which is not followed in a zip archive; write the archive with the file itself"
    if member.compress_type not in _METHODS:
        return f"is compressed by method {member.compress_type}, which is not read; use deflate"
    end = min(next_start, member.header_offset + LONGEST_LOCAL + member.compress_size)
    if member.header_offset < 0 or end - member.header_offset < LOCAL_HEADER.size + member.compress_size:
        return "overlaps with another file of the archive, which is damaged"
    mark = zlib.crc32(member.orig_filename.encode("utf-8" if member.flag_bits & 0x800 else "cp437"))
    sizes = (member.compress_size, member.file_size)
    return MEMBER.pack(*Member(member.header_offset, end, *sizes, mark, member.CRC, member.compress_type))


# Decompression, as zipfile's own takes any amount of memory for bzip2 and LZMA


def _decompressed(stored: bytes, member: Member) -> bytes:
    """Not more than a byte above the size that the member should have."""
    try:
        return _METHODS[member.method](stored, member.size + 1)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, OverflowError, EOFError, struct.error) as error:
        raise Damaged(f"its content cannot be decompressed ({error}): the archive is damaged") from error


def _stored(data: bytes, most: int) -> bytes:
    return data[:most]


def _inflated(data: bytes, most: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, most)


def _unbzipped(data: bytes, most: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(data, most)


def _unlzmaed(data: bytes, most: int) -> bytes:
    """Section 5.8.8 of APPNOTE.TXT: two bytes of a version, the length of the properties, these, and raw LZMA."""
    length, packed, dictionary = struct.unpack_from("<2xHBI", data)
    rest, lc = divmod(packed, 9)
    pb, lp = divmod(rest, 5)
    # More than the content is never looked back upon, but would be allocated.
    settings = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": max(4096, min(dictionary, most))}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings]).decompress(data[4 + length :], most)


_METHODS: dict[int, Callable[[bytes, int], bytes]] = {
    zipfile.ZIP_STORED: _stored,
    zipfile.ZIP_DEFLATED: _inflated,
    zipfile.ZIP_BZIP2: _unbzipped,
    zipfile.ZIP_LZMA: _unlzmaed,
}

if sys.version_info >= (3, 14):
    from compression import zstd

    def _unzstd(data: bytes, most: int) -> bytes:
        return zstd.ZstdDecompressor().decompress(data, most)

    _METHODS[zipfile.ZIP_ZSTANDARD] = _unzstd
