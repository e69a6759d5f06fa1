"""Work that goes on ahead of who asks for it, in threads, and what is told of it meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import torch

from relight_eval.engines.local import OneTorchThreadEach, available_cpus, begin_thread
from relight_eval.metrics.pieces import resources

T = TypeVar("T")
R = TypeVar("R")
Tell = Callable[[str], None]  # a line for the user: what is not shown, and why
Progress = Callable[[str, int, int], None]  # what ("pictures" or "maps"), how many are done, of how many
Count = Callable[[int], None]  # how many are done


class Once:
    """Tells each line once."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def each(self, lines: Iterable[str]) -> None:
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._tell(line)


@contextmanager
def threads(workers: int | None, device: torch.device) -> Iterator[Executor]:
    """Threads that read and encode, and on a CPU compute, with one thread of torch each, as those of the engine."""
    count = workers or available_cpus()
    with OneTorchThreadEach(), ThreadPoolExecutor(count, "relight-eval", initializer=begin_thread) as pool:
        try:
            with resources(pool=pool if device.type == "cpu" else None):
                yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what was begun ahead is not waited for


def ahead(pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """`function` of each item, in order, `ahead` of them begun before they are asked for."""
    todo = iter(items)
    waiting = deque(pool.submit(function, item) for item in islice(todo, ahead))
    while waiting:
        done = waiting.popleft().result()
        waiting.extend(pool.submit(function, item) for item in islice(todo, 1))
        yield done


def report(progress: Progress | None, what: str, done: int, total: int) -> None:
    if progress:
        progress(what, done, total)
