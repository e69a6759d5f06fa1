"""frame-analytics, loaded so that its kernels may run in several threads at once.

Its kernels share one team of threads, made at the first call and not safe to be used by two callers. A team of one is:
so it is loaded while torch has one thread, and the pieces of `metrics.pieces` keep the processors busy instead. Where
somebody else in this process has loaded it before, its callers take turns.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType

import torch

_loading = threading.Lock()
_turn: AbstractContextManager[object] | None = None


@contextmanager
def frame_analytics() -> Iterator[ModuleType]:
    """The library, ready to be called in this thread."""
    global _turn
    with _loading:
        if _turn is None:
            turn = threading.Lock() if "frame_analytics" in sys.modules else nullcontext()
            _load_with_one_thread()
            _turn = turn
    with _turn:
        yield sys.modules["frame_analytics"]


@cache
def has_kernels(device: str) -> bool:
    """Whether there are compiled ones for this type of device; without, the library is slower than plain PyTorch."""
    if device not in ("cpu", "cuda"):
        return False
    with frame_analytics() as library:
        status = library.backend_status()
    return bool(status["available"] if device == "cpu" else status["cuda"])


def _load_with_one_thread() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        import frame_analytics

        # Compiling costs seconds at the first image of every size and gains nothing over the run of a folder.
        frame_analytics.set_compile_enabled(False)
        nothing = torch.zeros(1, 1, 11, 11)
        frame_analytics.ssim(nothing, nothing, data_range=1.0)  # makes the team
    finally:
        torch.set_num_threads(threads)
