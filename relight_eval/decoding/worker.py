"""The child process of `apart`: decodes one file after another, until its standard input ends.

Whatever a file does to it (a segfault, a hang, all memory) costs this process, which is replaced, and that file's row.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

import numpy as np

from relight_eval.decoding import formats, frames
from relight_eval.decoding.planes import Planes
from relight_eval.decoding.reading import Reading
from relight_eval.errors import ImageError

# A file's bytes and its settings -> what it holds. Of a mask the planes are (H, W) bool.
Operation = Callable[[bytes, dict[str, Any]], Planes]

OPERATIONS: Mapping[str, Operation] = {
    "decode": lambda content, settings: formats.decode(content, Reading(**settings)),
    "mask": lambda content, settings: Planes(formats.decode_mask(content, **settings)),
}

# Room for what a decoder holds at one time: RGBA in float64 twice, the most that any of ours needs.
_BYTES_PER_PIXEL = 64
_BYTES_BESIDE = 1 << 30  # libraries, their threads and small images
_SECONDS_MORE = 10  # before a child ends by itself whose parent did not live to stop it


def serve(operations: Mapping[str, Operation]) -> None:
    """Says that it is ready, then answers what is asked on standard input."""
    questions, answers = _own_streams()
    _be_expendable()
    frames.send(answers, {"ready": True}, memoryview(b""))
    while True:
        try:
            question = frames.header(questions)
            content = bytearray(question["bytes"])
            frames.fill(questions, memoryview(content))
        except EOFError:
            return
        room = _BYTES_BESIDE + 4 * len(content) + _BYTES_PER_PIXEL * question["max_pixels"]
        with _limits(room, question["timeout_s"] + _SECONDS_MORE):
            header, values = _answer(operations[question["operation"]], bytes(content), question["settings"])
        frames.send(answers, header, memoryview(values))


def _answer(operation: Operation, content: bytes, settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    try:
        planes = operation(content, settings)
        values = np.ascontiguousarray(planes.values)
    except ImageError as error:
        return {"error": f"{error}"}, b""
    except MemoryError:
        return {"error": "not enough memory to decode the file."}, b""
    except Exception as error:  # a bug, but one that only this file has brought out
        return {"error": f"the decoder has a fault ({type(error).__name__}: {error}); please report it."}, b""
    header = {"dtype": values.dtype.name, "shape": values.shape, "notes": planes.notes, "mistakes": planes.mistakes}
    return header, values.reshape(-1).view(np.uint8)


def _own_streams() -> tuple[IO[bytes], IO[bytes]]:
    """The standard streams for ourselves; a library that reads or prints gets the null device in their place."""
    questions, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    return questions, answers


def _be_expendable() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # where memory runs out, the kernel ends this process first, not the run


@contextlib.contextmanager
def _limits(room_bytes: int, seconds: float) -> Iterator[None]:
    """Within it an allocation beyond `room_bytes` fails, and a decoder that nobody stops is stopped by the system."""
    if sys.platform == "win32":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    room = min([room_bytes, sys.maxsize, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)])
    with contextlib.suppress(OSError, ValueError):  # systems that know no such limit
        resource.setrlimit(resource.RLIMIT_AS, (room, hard))
    signal.alarm(math.ceil(seconds))
    try:
        yield
    finally:
        signal.alarm(0)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


if __name__ == "__main__":
    serve(OPERATIONS)
