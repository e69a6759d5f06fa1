"""What `apart` and its children say to each other: a header in JSON, then bytes whose number the header knows.

No pickle: bytes from a child whose decoder a hostile file has taken over must not be able to do anything.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any

_LENGTH = struct.Struct("<I")
MAX_HEADER = 1 << 16


def send(stream: IO[bytes], header: dict[str, Any], payload: memoryview) -> None:
    """Writes one header and its payload to an unbuffered stream."""
    text = json.dumps(header).encode()
    _write(stream, memoryview(_LENGTH.pack(len(text)) + text))
    _write(stream, payload)


def header(stream: IO[bytes]) -> dict[str, Any]:
    """The next header. Raises EOFError at the end of the stream, ValueError for what is no header."""
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > MAX_HEADER:
        raise ValueError(f"a header of {length} bytes")
    try:
        found = json.loads(_exactly(stream, length))
    except RecursionError as error:
        raise ValueError("a header nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("a header that is no object")
    return found


def fill(stream: IO[bytes], buffer: memoryview) -> None:
    """Reads as many bytes as `buffer` (of bytes) has, into it. Raises EOFError when the stream ends before."""
    done = 0
    while done < len(buffer):
        count = stream.readinto(buffer[done:])  # type: ignore[attr-defined]  # of a FileIO
        if not count:
            raise EOFError
        done += count


def _exactly(stream: IO[bytes], length: int) -> bytearray:
    data = bytearray(length)
    fill(stream, memoryview(data))
    return data


def _write(stream: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[stream.write(data) :]
