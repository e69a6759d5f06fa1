"""What no program on this machine can beat: decoding alone, and arithmetic alone.

The decode limit is the fastest decoder at hand, on all processors, with nothing done to the pixels. The arithmetic
limit is what matrix products and a 3×3 convolution reach on data that stays in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import torch

from relight_eval.engines.local import available_cpus
from tests.benchmarks.measure import MissingError, synchronise

# --- decoding ----------------------------------------------------------------------------------------------


def decoder(name: str) -> Callable[[Path], object]:
    """What decodes a PNG or JPEG file; a name of `cases.DECODERS`. Raises MissingError when it is not installed."""
    try:
        return _decoder(name)
    except ModuleNotFoundError as error:
        raise MissingError(f"{error.name} is not installed") from error


def _decoder(name: str) -> Callable[[Path], object]:
    if name == "relight_eval":
        from relight_eval.images import read

        return lambda path: read(path)
    if name == "Pillow":
        from PIL import Image

        return lambda path: Image.open(path).load()
    if name == "torchvision":
        from torchvision.io import decode_image, read_file

        return lambda path: decode_image(read_file(str(path)))
    if name == "opencv":
        import cv2

        return lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    import imagecodecs

    codecs = {".png": imagecodecs.png_decode, ".jpg": imagecodecs.jpeg8_decode}
    return lambda path: codecs[path.suffix](path.read_bytes())


def decode_all(paths: Iterable[Path], decode: Callable[[Path], object]) -> None:
    """Decode every file on all processors, with as little around it as Python allows: one shared iterator."""
    todo = iter(list(paths))

    def work() -> None:
        for path in todo:  # next() of a list's iterator is atomic
            decode(path)

    threads = [Thread(target=work) for _ in range(available_cpus())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- arithmetic --------------------------------------------------------------------------------------------


def arithmetic(device: str) -> dict[str, float]:
    """GFLOP/s of matrix products and of the convolution 64 → 64, by precision, the best over a few sizes."""
    where = torch.device(device)
    found = {}
    with torch.no_grad():
        for name, dtype, tf32 in _precisions(where):
            with _tf32(tf32):
                found[f"matmul {name}"] = max(_matmul(where, dtype, side) for side in _sides(where, (512, 1024)))
                found[f"convolution {name}"] = max(_convolution(where, dtype, t) for t in _sides(where, (32, 64, 128)))
    return found


def _precisions(device: torch.device) -> list[tuple[str, torch.dtype, bool]]:
    """What it is called, the type, and whether TF32 may stand in for it."""
    plain = [("fp32", torch.float32, False), ("bf16", torch.bfloat16, False)]
    if device.type != "cuda":
        return plain
    return [*plain, ("tf32", torch.float32, True), ("fp16", torch.float16, False)]


def _sides(device: torch.device, sides: tuple[int, ...]) -> tuple[int, ...]:
    """A GPU needs more at once than fits a processor's cache."""
    return tuple(8 * side for side in sides) if device.type == "cuda" else sides


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """(By the old switches: the benchmark's process uses no others.)"""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = allowed
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.allow_tf32 = value


def _matmul(device: torch.device, dtype: torch.dtype, side: int) -> float:
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return 2 * side**3 / 1e9 / _seconds(lambda: a @ b, device)


def _convolution(device: torch.device, dtype: torch.dtype, side: int) -> float:
    layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(device, dtype, memory_format=torch.channels_last)
    x = torch.randn(1, 64, side, side, device=device).to(dtype, memory_format=torch.channels_last)
    return 2 * 9 * 64 * 64 * side**2 / 1e9 / _seconds(lambda: layer(x), device)


def _seconds(work: Callable[[], object], device: torch.device, spend: float = 0.3) -> float:
    """The best of as many groups of calls as fit into `spend` seconds; a group takes some milliseconds."""
    for _ in range(3):
        work()
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    calls = max(1, int(0.01 / max(time.perf_counter() - start, 1e-6)))
    best, end = float("inf"), time.perf_counter() + spend
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        synchronise()
        best = min(best, (time.perf_counter() - start) / calls)
    return best
