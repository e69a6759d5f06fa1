"""This machine: decode ahead in threads, score in batches of one size on one device."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from relight_eval import images
from relight_eval.errors import ImageError, UsageError
from relight_eval.metrics import Batch, Metric, Settings, build
from relight_eval.pairs import Pair
from relight_eval.results import Row

Size = tuple[int, int]  # height, width

DEVICES = ("cpu", "cuda", "mps")

# Pixels of one batch when its size is `auto`. On a CPU more gains nothing: the metrics work in pieces that fit the
# cache. On a GPU the memory decides: VGG19 and SSIM together need about 3 KB for a pixel of a pair.
CPU_BATCH_PIXELS = 2**20
MPS_BATCH_PIXELS = 2**22
GPU_BYTES_PER_PIXEL = 3000
GPU_MEMORY_SHARE = 0.5
LARGEST_BATCH = 256

# Pixels of decoded pairs that wait for others of their size, at most: 384 MiB.
WAITING_PIXELS = 2**26


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


def score(pairs: Sequence[Pair], metrics: Sequence[str], settings: Settings, options: Options) -> Iterator[Row]:
    """One row for each pair, as they are done. Raises UsageError when the device is not there."""
    device = pick_device(options.device)
    built = build(metrics, settings, device)
    workers = options.workers or available_cpus()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        decoded = decode_ahead(pairs, pool, options.alpha, ahead=2 * workers)
        try:
            for ready in in_batches(decoded, device, options.batch_size):
                yield from [ready] if isinstance(ready, Row) else score_batch(ready, built, device)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted: do not decode what is left


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


def decode_ahead(
    pairs: Sequence[Pair], pool: ThreadPoolExecutor, alpha: images.Alpha, *, ahead: int
) -> Iterator[Decoded | Row]:
    """The pairs in order, with at most `ahead` of them decoded or being decoded before they are asked for."""
    todo = iter(pairs)
    waiting: deque[Future[Decoded | Row]] = deque(pool.submit(decode, pair, alpha) for pair in islice(todo, ahead))
    while waiting:
        done = waiting.popleft().result()
        waiting.extend(pool.submit(decode, pair, alpha) for pair in islice(todo, 1))
        yield done


def in_batches(
    decoded: Iterable[Decoded | Row], device: torch.device, batch_size: int | None
) -> Iterator[list[Decoded] | Row]:
    """Pairs of one size together, rows passed on. Few sizes or many: what waits is bounded by WAITING_PIXELS."""
    waiting: defaultdict[Size, list[Decoded]] = defaultdict(list)
    enough = cache(lambda size: batch_size or auto_batch_size(size, device))
    for item in decoded:
        if isinstance(item, Row):
            yield item
            continue
        waiting[item.size].append(item)
        if len(waiting[item.size]) >= enough(item.size):
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


def score_batch(group: list[Decoded], metrics: Sequence[Metric], device: torch.device) -> list[Row]:
    """The rows of pairs of one size. A batch that does not fit the memory is halved, down to one pair."""
    scored = _scores(group, metrics, device)
    if scored is not None:
        columns = [column.name for metric in metrics for column in metric.columns]
        return [_scored(item, columns, row, scored.reasons) for item, row in zip(group, scored.values, strict=True)]
    if len(group) > 1:
        half = len(group) // 2
        return score_batch(group[:half], metrics, device) + score_batch(group[half:], metrics, device)
    height, width = group[0].size
    message = f"a pair of {width}x{height} does not fit the memory of {device}; score it with fewer metrics (-m)"
    return [_row(group[0].pair, width=width, height=height, error=message)]


def _is_out_of_memory(error: Exception) -> bool:
    """Also where the device says so in words only: Metal, cuDNN, cuBLAS and the allocator of the CPU."""
    words = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


class _Scores(NamedTuple):
    values: list[list[float]]  # pair by pair, in column order; NaN where a metric is not defined
    reasons: list[str]  # why it is not


def _scores(group: list[Decoded], metrics: Sequence[Metric], device: torch.device) -> _Scores | None:
    """The scores of every pair; None when the batch does not fit the memory.

    (The memory is free again only when the error and its traceback are gone, hence no retry from within.)
    """
    try:
        return _computed(group, metrics, device)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if _is_out_of_memory(error):
            return None
        raise


def _computed(group: list[Decoded], metrics: Sequence[Metric], device: torch.device) -> _Scores:
    batch = Batch(
        *(
            torch.stack(pixels).to(device).float().div_(255)  # moved as stored, a byte a value
            for pixels in ([item.prediction for item in group], [item.target for item in group])
        )
    )
    height, width = group[0].size
    columns, reasons = [], []
    for metric in metrics:
        if min(height, width) < metric.min_side:
            reasons.append(f"{metric.name} (needs {metric.min_side}x{metric.min_side})")
            columns.append(torch.full((len(group), len(metric.columns)), torch.nan, device=device))
        else:
            columns.append(metric.score(batch))
    double = torch.float32 if device.type == "mps" else torch.float64  # Metal has no float64
    return _Scores(torch.cat([part.to(device, double) for part in columns], dim=1).tolist(), reasons)


def _scored(item: Decoded, columns: list[str], values: list[float], reasons: list[str]) -> Row:
    scores = {name: value for name, value in zip(columns, values, strict=True) if value == value}  # no NaN
    height, width = item.size
    error = f"{width}x{height} is too small for {', '.join(reasons)}" if reasons else ""
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
