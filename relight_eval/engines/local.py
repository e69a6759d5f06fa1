"""This machine: decode ahead in threads, score in batches of one size on one device.

On a CPU the same threads also score, a piece of an image each (`metrics.pieces`), with one thread of torch each: two
teams of threads for the same processors wait for each other more than they work. On a GPU the next batch is decoded,
stacked and copied while this one is computed.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle, islice
from typing import NamedTuple

import torch
from torch import Tensor

from relight_eval import images
from relight_eval.errors import ImageError, UsageError
from relight_eval.metrics import Batch, Metric, Settings, build
from relight_eval.metrics.pieces import resources
from relight_eval.pairs import Pair
from relight_eval.results import Row

Size = tuple[int, int]  # height, width

DEVICES = ("cpu", "cuda", "mps")

# Pixels of one batch when its size is `auto`. On a CPU more gains nothing: the metrics work in pieces that fit the
# cache. On a GPU the memory decides: the metrics together need about 3 KB for a pixel of a pair.
CPU_BATCH_PIXELS = 2**20
MPS_BATCH_PIXELS = 2**22
GPU_BYTES_PER_PIXEL = 3000
GPU_MEMORY_SHARE = 0.5
LARGEST_BATCH = 256

# Pixels of pairs that are decoded ahead, or that wait for others of their size, at most: 384 MiB.
WAITING_PIXELS = 2**26

# When one pair does not fit the memory, metrics take it in pieces of fewer and fewer values, down to this.
SMALLEST_PIECE = 2**16

# Batches that a GPU has begun with before the one before them is asked for.
LOOKAHEAD = 1

Tell = Callable[[str], None]  # what the user should know of how the work went


@dataclass(frozen=True)
class Options:
    """How the work is done, never what comes out. `None` means: as the machine allows."""

    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    alpha: images.Alpha = "refuse"

    def __post_init__(self) -> None:
        for name, number in (("batch size", self.batch_size), ("number of workers", self.workers)):
            if number is not None and number < 1:
                raise UsageError(f"the {name} is {number}; it must be at least 1, or auto")


@dataclass(frozen=True)
class Decoded:
    """A pair in memory: both (3, H, W) uint8."""

    pair: Pair
    prediction: Tensor
    target: Tensor
    note: str

    @property
    def size(self) -> Size:
        return self.target.shape[-2], self.target.shape[-1]


def score(
    pairs: Sequence[Pair], metrics: Sequence[str], settings: Settings, options: Options, tell: Tell = lambda line: None
) -> Iterator[Row]:
    """One row for each pair, as they are done. Raises UsageError when the device is not there."""
    device = pick_device(options.device)
    workers = options.workers or available_cpus()
    _keep_freed_memory()
    with _OneTorchThreadEach(), ThreadPoolExecutor(workers, "relight-eval", initializer=_begin_thread) as pool:
        scorer = Scorer(build(metrics, settings, device), device, pool, options.batch_size, tell, workers)
        decoded = decode_ahead(pairs, pool, options.alpha, ahead=2 * workers)
        started: deque[Started] = deque()
        try:
            for ready in in_batches(decoded, scorer.batch_size):
                if isinstance(ready, Row):
                    yield ready
                    continue
                started.append(scorer.start(ready))
                if len(started) > (LOOKAHEAD if device.type == "cuda" else 0):
                    yield from scorer.rows(started.popleft())
            while started:
                yield from scorer.rows(started.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted: do not decode what is left


class _OneTorchThreadEach:
    """Within, this thread has one thread of torch, and so have those of the pool: a team that waits for work spins.

    The number that new threads begin with is one for the whole process. Of several runs at once, the first remembers
    it for all.
    """

    _lock = threading.Lock()
    _runs = 0
    _before = 1

    def __enter__(self) -> None:
        cls = type(self)
        with cls._lock:
            if not cls._runs:
                cls._before = torch.get_num_threads()
            cls._runs += 1
        torch.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        cls = type(self)
        with cls._lock:
            cls._runs -= 1
        torch.set_num_threads(cls._before)


def _keep_freed_memory() -> None:
    """Asks glibc to keep what is freed for the next piece, instead of giving it back to the kernel each time.

    The kernel clears every page that it hands out again: without this a run takes up to half as long again.
    """
    trim_threshold, top_pad, mmap_threshold, arena_max = -1, -2, -3, -8  # of malloc.h
    with suppress(OSError, AttributeError, TypeError):  # other systems have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(trim_threshold, 2**30)
        mallopt(top_pad, 2**26)
        mallopt(mmap_threshold, 2**25)  # the largest that glibc takes
        mallopt(arena_max, 1)  # the heaps of other threads are given back all the same


def _begin_thread() -> None:
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


def pick_device(name: str) -> torch.device:
    """The device of this name; `auto` takes CUDA, then MPS, then the CPU. UsageError when it is not there."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    usable = "Use auto, cpu, cuda, cuda:N or mps."
    if name.split(":")[0] not in DEVICES:
        raise UsageError(f"device {name!r} is not known. {usable}")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # of what may be a page for PyTorch's authors, the first sentence
        reason = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")
        raise UsageError(f"device {name!r} cannot be used here: {reason}. {usable}") from error
    return device


def available_cpus() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decode(pair: Pair, alpha: images.Alpha) -> Decoded | Row:
    """Both images of a pair, or the row that says why not."""
    try:
        prediction = images.read(pair.prediction, alpha=alpha)
        target = images.read(pair.target, alpha=alpha)
        images.check_same_size(prediction.pixels, target.pixels, pair.prediction, pair.target)
    except ImageError as error:
        return _row(pair, error=str(error))
    sides = (("prediction", prediction.note), ("target", target.note))
    note = "; ".join(f"{side}: {text}" for side, text in sides if text)
    return Decoded(pair, prediction.pixels, target.pixels, note)


def decode_ahead(pairs: Sequence[Pair], pool: Executor, alpha: images.Alpha, *, ahead: int) -> Iterator[Decoded | Row]:
    """The pairs in order, with at most `ahead` of them decoded or being decoded before they are asked for.

    Fewer where they are large: as many of the size of the last one as WAITING_PIXELS allows.
    """
    todo = iter(pairs)
    waiting: deque[Future[Decoded | Row]] = deque(pool.submit(decode, pair, alpha) for pair in islice(todo, 1))
    now = 1  # until the size of the first is known
    while waiting:
        done = waiting.popleft().result()
        if isinstance(done, Decoded):
            now = min(ahead, max(1, WAITING_PIXELS // (done.size[0] * done.size[1])))
        missing = max(0, now - len(waiting))
        waiting.extend(pool.submit(decode, pair, alpha) for pair in islice(todo, missing))
        yield done


def in_batches(decoded: Iterable[Decoded | Row], batch_size: Callable[[Size], int]) -> Iterator[list[Decoded] | Row]:
    """Pairs of one size together, rows passed on. Few sizes or many: what waits is bounded by WAITING_PIXELS."""
    waiting: defaultdict[Size, list[Decoded]] = defaultdict(list)
    for item in decoded:
        if isinstance(item, Row):
            yield item
            continue
        waiting[item.size].append(item)
        if len(waiting[item.size]) >= batch_size(item.size):
            yield waiting.pop(item.size)
        elif sum(_pixels(group) for group in waiting.values()) > WAITING_PIXELS:
            yield waiting.pop(max(waiting, key=lambda size: _pixels(waiting[size])))
    yield from waiting.values()


def _pixels(group: list[Decoded]) -> int:
    height, width = group[0].size
    return height * width * len(group)


def auto_batch_size(size: Size, device: torch.device) -> int:
    """How many pairs of this size go together when the user does not say."""
    pixels = CPU_BATCH_PIXELS
    if device.type == "cuda":
        pixels = int(torch.cuda.mem_get_info(device)[0] * GPU_MEMORY_SHARE / GPU_BYTES_PER_PIXEL)
    elif device.type == "mps":
        pixels = MPS_BATCH_PIXELS
    return min(max(1, pixels // (size[0] * size[1])), LARGEST_BATCH)


class Started(NamedTuple):
    """A batch on its way: its scores may still be computed on the device. None where it did not fit the memory."""

    group: list[Decoded]
    scores: _Scores | None
    stream: torch.cuda.Stream | None = None


class _Scores(NamedTuple):
    values: Tensor  # (N, columns); NaN where a metric is not defined
    reasons: list[str]  # why it is not


class Scorer:
    """Scores batches, and when the memory is short goes on with smaller ones, then with smaller pieces of a pair."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        device: torch.device,
        pool: Executor | None = None,
        batch_size: int | None = None,
        tell: Tell = lambda line: None,
        threads: int = 1,
    ) -> None:
        self.metrics = metrics
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the weights are there before another stream reads them
        self.columns = [column.name for metric in metrics for column in metric.columns]
        self._threads = threads
        self._pool = pool if device.type == "cpu" else None
        self._streams = cycle(_streams(device))
        self._tell = tell
        self._asked_for = batch_size
        self._auto_size = cache(partial(auto_batch_size, device=device))
        self._most_pixels: int | None = None  # of a batch, once the memory was short
        self._piece_values: int | None = None  # of a piece, once it was short for one pair

    def batch_size(self, size: Size) -> int:
        """How many pairs of this size go together."""
        wanted = self._asked_for or self._auto_size(size)
        return wanted if self._most_pixels is None else max(1, min(wanted, self._most_pixels // (size[0] * size[1])))

    def start(self, group: list[Decoded]) -> Started:
        """Begins with pairs of one size: on a GPU this returns before they are done.

        (The memory of a batch that does not fit is free again only when the error and its traceback are gone, hence
        no retry from within.)
        """
        stream = next(self._streams)
        try:
            with torch.cuda.stream(stream):  # (of None: nothing)
                return Started(group, self._computed(group), stream)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if _is_out_of_memory(error):
                return Started(group, None)
            raise

    def rows(self, started: Started) -> list[Row]:
        """The rows of a batch, one for each pair."""
        group, scores, stream = started
        if scores is None:
            return self._with_less_memory(group)
        if stream is not None:
            stream.synchronize()
        lists = scores.values.tolist()
        return [_scored(item, self.columns, row, scores.reasons) for item, row in zip(group, lists, strict=True)]

    def _with_less_memory(self, group: list[Decoded]) -> list[Row]:
        height, width = group[0].size
        if len(group) > 1:
            half = len(group) // 2
            if self._most_pixels is None:
                self._tell(f"the memory of {self.device} is short: went on with fewer pairs at once")
            self._most_pixels = min(self._most_pixels or sys.maxsize, half * height * width)
            return self.rows(self.start(group[:half])) + self.rows(self.start(group[half:]))
        now = min(self._piece_values or sys.maxsize, height * width)
        if now > SMALLEST_PIECE:
            if self._piece_values is None:
                self._tell(f"the memory of {self.device} is short for {width}x{height}: went on in smaller pieces")
            self._piece_values = max(now // 4, SMALLEST_PIECE)
            return self.rows(self.start(group))
        message = (
            f"a pair of {width}x{height} does not fit the memory of {self.device}; score it with fewer metrics (-m)"
        )
        return [_row(group[0].pair, width=width, height=height, error=message)]

    def _computed(self, group: list[Decoded]) -> _Scores:
        sides = ([item.prediction for item in group], [item.target for item in group])
        batch = Batch(*(self._moved(side) for side in sides))
        height, width = group[0].size
        parts, reasons = [], []
        with resources(pool=self._pool, threads=self._threads, piece_values=self._piece_values):
            for metric in self.metrics:
                if min(height, width) < metric.min_side:
                    reasons.append(f"{metric.name} (needs {metric.min_side}x{metric.min_side})")
                    parts.append(torch.full((len(group), len(metric.columns)), torch.nan, device=self.device))
                else:
                    parts.append(metric.score(batch))
        double = torch.float32 if self.device.type == "mps" else torch.float64  # Metal has no float64
        return _Scores(torch.cat([part.to(self.device, double) for part in parts], dim=1), reasons)

    def _moved(self, side: list[Tensor]) -> Tensor:
        """The images of one side on the device, (N, 3, H, W) as stored: a byte a value."""
        if self.device.type != "cuda":
            return torch.stack(side).to(self.device)
        pinned = torch.empty((len(side), *side[0].shape), dtype=torch.uint8, pin_memory=True)
        return torch.stack(side, out=pinned).to(self.device, non_blocking=True)


def _streams(device: torch.device) -> list[torch.cuda.Stream | None]:
    """One for each batch on its way: on a GPU one is copied and begun while the other is computed."""
    if device.type != "cuda":
        return [None]
    return [torch.cuda.Stream(device) for _ in range(LOOKAHEAD + 1)]  # type: ignore[no-untyped-call]


def _is_out_of_memory(error: Exception) -> bool:
    """Also where the device says so in words only: Metal, cuDNN, cuBLAS and the allocator of the CPU."""
    words = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def _scored(item: Decoded, columns: list[str], values: list[float], reasons: list[str]) -> Row:
    scores = {name: value for name, value in zip(columns, values, strict=True) if value == value}  # no NaN
    height, width = item.size
    error = ""
    if reasons:
        error = f"{width}x{height} is too small for {', '.join(reasons)}"
    elif len(scores) < len(columns):
        missing = ", ".join(name for name in columns if name not in scores)
        error = f"{missing}: the computation overflowed; use --precision exact"
    return _row(item.pair, width=width, height=height, scores=scores, error=error, note=item.note)


def _row(
    pair: Pair,
    *,
    width: int | None = None,
    height: int | None = None,
    scores: dict[str, float] | None = None,
    error: str = "",
    note: str = "",
) -> Row:
    return Row(
        name=pair.name,
        prediction=str(pair.prediction),
        target=str(pair.target),
        width=width,
        height=height,
        scores=scores or {},
        status="error" if error else "ok",
        error=error,
        note=note,
    )
