"""Reads broken files as users have it read, one after another, and says of each what came of it.

    python -m tests.fuzz.reader any|plain SEED FIRST LAST KEEP

A line of JSON for each file before it is read and one after, so that whoever listens knows which one ended or stopped
this process. Files that brought out a fault are kept in the folder KEEP.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import imagecodecs
import torch

from relight_eval import images
from relight_eval.decoding import Reading
from relight_eval.decoding.reading import MAX_PIXELS
from relight_eval.errors import ImageError
from tests.fuzz.mutations import mutated, plainly_mutated
from tests.fuzz.seeds import plain, seeds

# How an ImageError of a child that did not live to answer begins, after the name of the file.
_OF_CHILDREN = {
    "the decoder crashed": "child crashed",
    "the decoder answered": "child crashed",
    "decoding took more": "child hung",
    "the decoder was ended": "child out of memory",
    "the decoder has a fault": "unexpected",
}
FAULTS = {"unexpected", "wrong"}  # of a file that was read or refused as none should be
_SMALL = 1_000_000
_BETWEEN_CONTROLS = 25


def content_of(kind: str, seed: int, number: int) -> tuple[str, bytes, Random]:
    """File `number` of a fuzz of `kind`: which sound file it was, what it holds now, and the generator after it."""
    rng = Random(f"{kind} {seed} {number}")
    if kind == "plain":
        name = rng.choice(list(plain()))
        return name, plainly_mutated(plain()[name], rng), rng
    name = rng.choice(list(seeds()))
    return name, mutated(seeds()[name], rng, list(seeds().values())), rng


def outcome(path: Path, reading: Reading | None) -> tuple[str, str]:
    """`read`, `refused`, … as a table counts them, and the message or what is wrong; without a reading, of a mask."""
    try:
        wrong = _wrong_with_mask(path) if reading is None else _wrong_with_image(path, reading)
    except ImageError as error:
        return _kind_of(f"{error}", path)
    except Exception as error:
        return "unexpected", f"{type(error).__name__}: {error}"
    return ("wrong", wrong) if wrong else ("read", "")


def _reading(kind: str, rng: Random) -> Reading | None:
    if kind == "plain":  # what goes the fast way
        return Reading(alpha="drop", max_pixels=_SMALL)
    if rng.random() < 0.15:
        return None
    return Reading(
        alpha=rng.choice(("refuse", "drop", "drop", "black", "white")),
        space=rng.choice((None, None, None, "srgb", "linear", "gamma2.2")),
        white_level=rng.choice((None, None, None, 1023)),
        strict=rng.random() < 0.1,
        max_pixels=MAX_PIXELS if rng.random() < 0.02 else _SMALL,
    )


def _wrong_with_image(path: Path, reading: Reading) -> str:
    found = images.read(path, reading)
    pixels = found.pixels
    if pixels.ndim != 3 or pixels.shape[0] != 3 or not pixels.is_contiguous() or 0 in pixels.shape:
        return f"a shape of {tuple(pixels.shape)}"
    if pixels.shape[1] * pixels.shape[2] > reading.max_pixels:
        return f"{tuple(pixels.shape)} is more than the limit"
    if pixels.dtype not in (torch.uint8, torch.float32):
        return f"a dtype of {pixels.dtype}"
    if pixels.dtype == torch.float32 and not bool(((pixels >= 0) & (pixels <= 1)).all()):
        return f"values from {pixels.min()} to {pixels.max()}"
    return "" if f"{found.note}{found.mistakes}".isprintable() else "a note that cannot be printed"


def _wrong_with_mask(path: Path) -> str:
    found = images.read_mask(path, _SMALL).inside
    return "" if found.dtype == torch.bool and found.ndim == 2 else f"a mask of {found.dtype} {tuple(found.shape)}"


def _kind_of(message: str, path: Path) -> tuple[str, str]:
    reason = message.removeprefix(f"{path}: ")
    if reason == message or not message.isprintable() or len(message) > 3000:
        return "wrong", f"a message that is none: {message[:300]!r}"
    return next((kind for start, kind in _OF_CHILDREN.items() if reason.startswith(start)), "refused"), message


def control(path: Path, number: int) -> str:
    """Reads a sound file as the broken ones are read: what is wrong with its pixels, which no neighbour may change."""
    names = list(seeds())
    name = names[number % len(names)]
    found = _pixels(path, name)
    return "" if found == _sound(path, name) else f"{name}: pixels changed by the files before"


def _pixels(path: Path, name: str) -> bytes | str:
    path.write_bytes(seeds()[name])
    try:
        return images.read(path, Reading(alpha="drop")).pixels.numpy().tobytes()
    except ImageError as error:
        return f"{error}"


@functools.cache
def _sound(path: Path, name: str) -> bytes | str:
    return _pixels(path, name)


class InProcess:
    """Counts the files that were decoded in this process, without a net."""

    count = 0

    @classmethod
    @contextlib.contextmanager
    def counted(cls) -> Iterator[None]:
        def counting(codec: Callable[..., Any]) -> Callable[..., Any]:
            def decode(*arguments: Any) -> Any:
                cls.count += 1
                return codec(*arguments)

            return decode

        with (
            mock.patch.object(imagecodecs, "spng_decode", counting(imagecodecs.spng_decode)),
            mock.patch.object(imagecodecs, "jpeg8_decode", counting(imagecodecs.jpeg8_decode)),
        ):
            yield


def tried(kind: str, seed: int, number: int, folder: Path, keep: Path | None = None) -> dict[str, object]:
    """What came of one file; every so often a sound one is read after it."""
    name, content, rng = content_of(kind, seed, number)
    path = folder / f"a.{name.split()[0]}"
    path.write_bytes(content)
    before, start = InProcess.count, time.monotonic()
    found, message = outcome(path, _reading(kind, rng))
    seconds = time.monotonic() - start
    in_process = InProcess.count > before
    if number % _BETWEEN_CONTROLS == 0 and (changed := control(folder / "control", number // _BETWEEN_CONTROLS)):
        found, message = "wrong", changed
    if keep is not None and (found not in ("read", "refused") or seconds > 10):
        keep.mkdir(parents=True, exist_ok=True)
        (keep / f"{kind}-{seed}-{number}").write_bytes(content)
    return {
        "number": number, "seed": name, "outcome": found, "message": message, "seconds": seconds,
        "in_process": in_process,
    }  # fmt: skip


def main(kind: str, seed: str, first: str, last: str, keep: str) -> None:
    faulthandler.enable()
    with tempfile.TemporaryDirectory() as folder, InProcess.counted():
        for number in range(int(first), int(last)):
            print(json.dumps({"number": number}), flush=True)
            print(json.dumps(tried(kind, int(seed), number, Path(folder), Path(keep))), flush=True)
    print(json.dumps({"memory": _most_memory()}), flush=True)


def _most_memory() -> int:
    """The most bytes that this process held at one time."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*sys.argv[1:])
