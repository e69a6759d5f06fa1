"""A worker whose operations do what a C library may do to it on a hostile file. Run by test_apart."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from relight_eval.decoding import worker
from relight_eval.decoding.planes import Planes
from relight_eval.errors import ImageError


def _image(content: bytes, settings: dict[str, Any]) -> Planes:
    """The image whose bytes `content` are."""
    values = np.frombuffer(content, settings["dtype"]).reshape(settings["shape"])
    return Planes(values, (f"by {os.getpid()}",), ())


def _refused(content: bytes, settings: dict[str, Any]) -> Planes:
    raise ImageError(settings["text"])


def _fault(content: bytes, settings: dict[str, Any]) -> Planes:
    raise KeyError("of the decoder")


def _segfault(content: bytes, settings: dict[str, Any]) -> Planes:
    ctypes.string_at(0)
    return Planes(np.zeros((3, 1, 1), np.uint8))


def _later(content: bytes, settings: dict[str, Any]) -> Planes:
    """Damages the process, so that it dies of the file after this one."""
    _LATER.append(1)
    return _image(content, settings)


def _ended(content: bytes, settings: dict[str, Any]) -> Planes:
    os.kill(os.getpid(), signal.SIGKILL)
    return Planes(np.zeros((3, 1, 1), np.uint8))


def _hang(content: bytes, settings: dict[str, Any]) -> Planes:
    time.sleep(600)
    return Planes(np.zeros((3, 1, 1), np.uint8))


def _greedy(content: bytes, settings: dict[str, Any]) -> Planes:
    return Planes(np.ones((3, 1 << 20, settings["mib"]), np.uint8))


def _chatty(content: bytes, settings: dict[str, Any]) -> Planes:
    os.write(1, b"TIFFReadDirectory: Warning, unknown tag.\n" * 100)
    print("and more", file=sys.stdout, flush=True)
    return _image(content, settings)


def _lying(content: bytes, settings: dict[str, Any]) -> Planes:
    """What a process that has been taken over may send."""
    os.write(int(settings["fd"]), content)
    time.sleep(600)
    return Planes(np.zeros((3, 1, 1), np.uint8))


def _image_or_death(content: bytes, settings: dict[str, Any]) -> Planes:
    if _LATER:
        os.abort()
    return _image(content, settings)


_LATER: list[int] = []
OPERATIONS = {
    "image": _image_or_death, "refused": _refused, "fault": _fault, "segfault": _segfault, "later": _later,
    "ended": _ended, "hang": _hang, "greedy": _greedy, "chatty": _chatty, "lying": _lying,
}  # fmt: skip

if __name__ == "__main__":
    worker.serve(OPERATIONS)
