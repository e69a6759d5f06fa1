"""Threads that wait for answers from far away."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def impatient_threads(count: int, name: str) -> Iterator[Executor]:
    """A pool that neither Ctrl-C nor an error waits for: a request that hangs would hold both for a minute."""
    pool = ThreadPoolExecutor(count, name)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
