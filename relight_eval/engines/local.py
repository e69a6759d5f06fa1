"""This machine: decode ahead in threads, score in batches of one size on one device.

On a CPU the same threads also score, a piece of an image each (`metrics.pieces`), with one thread of torch each: two
teams of threads for the same processors wait for each other more than they work. On a GPU the next batch is decoded,
stacked and copied while this one is computed.

Pairs of one target that follow each other, as those of several runs do, stay together from file to score: the target
is decoded once, and what a metric needs of it is computed once (`Batch.by_target`).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import cycle, groupby, islice
from typing import NamedTuple, Self

import torch
from torch import Tensor

from relight_eval import images
from relight_eval.decoding import Reading, Readings
from relight_eval.engines.floors import FLOORS
from relight_eval.engines.options import Cluster, Options, Tell
from relight_eval.errors import ImageError, UsageError, shown
from relight_eval.metrics import Batch, Metric, Settings, build
from relight_eval.metrics.masks import masked_scores
from relight_eval.metrics.pieces import in_dtype, resources
from relight_eval.pairs import Pair
from relight_eval.places import Place
from relight_eval.results import Column, Row

Size = tuple[int, int]  # height, width

DEVICES = ("cpu", "cuda", "mps")

# Pixels of one batch when its size is `auto`. On a CPU more gains nothing: the metrics work in pieces that fit the
# cache. On a GPU the memory decides: the metrics together need about 3 KB for a pixel of a pair.
CPU_BATCH_PIXELS = 2**20
MPS_BATCH_PIXELS = 2**22
GPU_BYTES_PER_PIXEL = 3000
GPU_MEMORY_SHARE = 0.5
LARGEST_BATCH = 256

# Pixels of pairs of 8 bits that are decoded ahead, or that wait for others of their size, at most: 384 MiB.
WAITING_PIXELS = 2**26

# When one pair does not fit the memory, metrics take it in pieces of fewer and fewer values, down to this.
SMALLEST_PIECE = 2**16

# Batches that a GPU has begun with before the one before them is asked for.
LOOKAHEAD = 1


@dataclass(frozen=True)
class Prediction:
    """The prediction of a pair in memory, (3, H, W) uint8 or float32, the note on the files, and mistakes of set-up."""

    pair: Pair
    pixels: Tensor
    note: str = ""
    mistakes: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    error: str = ""  # that costs no more than some of the scores

    @property
    def size(self) -> Size:
        return self.pixels.shape[-2], self.pixels.shape[-1]


@dataclass(frozen=True)
class Decoded:
    """A target in memory, (3, H, W) uint8 or float32, and predictions of it, at least one, all of its size and dtype.

    Of its size are its `input`, and its `mask` (H, W) bool, where there are any.
    """

    predictions: tuple[Prediction, ...]
    target: Tensor
    input: Tensor | None = None
    mask: Tensor | None = None

    @property
    def size(self) -> Size:
        return self.predictions[0].size

    @property
    def pixels(self) -> int:
        """Of all predictions."""
        return self.size[0] * self.size[1] * len(self.predictions)

    @property
    def weight(self) -> int:
        """The pixels of 8 bits that take as much memory."""
        return self.pixels * self.target.element_size()

    def parts(self, most: int) -> list[Decoded]:
        """The same with at most so many predictions each."""
        firsts = range(0, len(self.predictions), most)
        return [replace(self, predictions=self.predictions[first : first + most]) for first in firsts]


class Local:
    """The engine of this machine. See `engines.Engine`."""

    def __init__(self, cluster: Cluster = Cluster()) -> None:  # noqa: B008 (frozen)
        if cluster != Cluster():
            raise UsageError("the local engine has no cluster; choose the engine ray")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def device(self, asked: str) -> str:
        return str(pick_device(asked))

    def score(
        self,
        pairs: Sequence[Pair],
        metrics: Sequence[str],
        settings: Settings,
        options: Options,
        tell: Tell = lambda line: None,
    ) -> Iterator[Row]:
        return score(pairs, metrics, settings, options, tell)


def score(
    pairs: Sequence[Pair], metrics: Sequence[str], settings: Settings, options: Options, tell: Tell = lambda line: None
) -> Iterator[Row]:
    """One row for each pair, as they are done. Raises UsageError when the device is not there."""
    device = pick_device(options.device)
    workers = options.workers or available_cpus()
    _keep_freed_memory()
    with OneTorchThreadEach(), ThreadPoolExecutor(workers, "relight-eval", initializer=begin_thread) as pool:
        scorer = Scorer(build(metrics, settings, device), device, pool, options.batch_size, tell)
        decoded = decode_ahead(pairs, pool, options.readings, ahead=2 * workers)
        started: deque[Started] = deque()
        try:
            for ready in in_batches(decoded, scorer.batch_size, scorer.most):
                if options.stop():
                    break
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


class OneTorchThreadEach:
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


def begin_thread() -> None:
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


def usable_devices() -> list[str]:
    """The kinds of device that there are on this machine, the CPU first."""
    kinds = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [kind for kind, there in kinds.items() if there]


def available_cpus() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def decode(pairs: Sequence[Pair], readings: Readings) -> tuple[list[Decoded | Row], Sequence[Pair]]:
    """The images of pairs of one target, a row for each pair that cannot be scored, and what is left to do.

    That is what WAITING_PIXELS do not hold: for the predictions of a large target it is decoded again.
    """
    first = pairs[0]
    try:
        beside = _Beside.read(first, readings)
    except ImageError as error:
        return [_row(pair, error=str(error)) for pair in pairs], ()
    target = beside.target.pixels
    most = max(1, WAITING_PIXELS // (target.shape[-2] * target.shape[-1] * target.element_size()))
    found = [_prediction(pair, beside, readings.prediction) for pair in pairs[:most]]
    decoded: list[Decoded | Row] = [item for item in found if isinstance(item, Row)]
    predictions = [item for item in found if isinstance(item, Prediction)]
    for dtype in dict.fromkeys(item.pixels.dtype for item in predictions):
        of_dtype = tuple(item for item in predictions if item.pixels.dtype == dtype)
        input = None if beside.input is None else beside.input.pixels
        decoded.append(Decoded(of_dtype, alike(target, of_dtype[0].pixels)[0], input, beside.mask))
    return decoded, pairs[most:]


@dataclass(frozen=True)
class _Beside:
    """What the predictions of one target share. `lacking` says why an input that there is cannot be used."""

    target: images.Image
    input: images.Image | None
    lacking: str
    mask: Tensor | None
    digests: Mapping[str, str]
    sha256: Mapping[str, str]

    @classmethod
    def read(cls, pair: Pair, readings: Readings) -> _Beside:
        """Raises ImageError where the pairs cannot be scored without it."""
        target = images.read(pair.target, readings.target)
        input, lacking = _input(pair, target, readings.input)
        mask = None if pair.mask is None else _mask(pair.mask, pair.target, target, readings.target)
        pixels = {"input": input.pixels if input else None, "mask": mask.inside if mask else None}
        sources = {"target": target, "input": input, "mask": mask}
        return cls(
            target,
            input,
            lacking,
            None if mask is None else mask.inside,
            {side: _digest(of_side) for side, of_side in pixels.items() if of_side is not None},
            {side: source.sha256 for side, source in sources.items() if source is not None},
        )


def _input(pair: Pair, target: images.Image, reading: Reading) -> tuple[images.Image | None, str]:
    """The input of a pair, if there is one, or why it cannot be used: which costs the scores that need it."""
    if pair.input is None:
        return None, ""
    try:
        found = images.read(pair.input, reading)
        images.check_same_size(found.pixels, target.pixels, pair.input, pair.target)
    except ImageError as error:
        return None, f"input: {error}"
    return found, ""


def _mask(path: Place, target_path: Place, target: images.Image, reading: Reading) -> images.Mask:
    found = images.read_mask(path, reading.max_pixels)
    images.check_same_size(found.inside, target.pixels, path, target_path)
    if not found.inside.any():
        raise ImageError(f"{shown(path)}: the mask is empty, no pixel of it is more than 0; there is nothing to score.")
    return found


def _digest(pixels: Tensor) -> str:
    return hashlib.blake2b(pixels.numpy().tobytes(), digest_size=8).hexdigest()


def alike(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two images in one dtype, the deeper of both: levels of 255 as uint8, or [0, 1] as float32."""
    if one.dtype == other.dtype:
        return one, other
    return in_dtype(one, torch.float32), in_dtype(other, torch.float32)


def _prediction(pair: Pair, beside: _Beside, reading: Reading) -> Prediction | Row:
    """The prediction of a pair whose target is there, in the deeper dtype of both, or the row that says why not."""
    target = beside.target
    if pair.floor:
        return Prediction(
            pair, FLOORS[pair.floor](target.pixels, beside.mask), sha256=beside.sha256, error=beside.lacking
        )
    try:
        prediction = images.read(pair.prediction, reading)
        images.check_same_size(prediction.pixels, target.pixels, pair.prediction, pair.target)
    except ImageError as error:
        return _row(pair, error=str(error))
    sides = {"prediction": prediction, "target": target, **({"input": beside.input} if beside.input else {})}
    note = "; ".join(f"{side}: {image.note}" for side, image in sides.items() if image.note)
    suspected = [f"{side}: {mistake}" for side, image in sides.items() for mistake in image.mistakes]
    return Prediction(
        pair,
        alike(prediction.pixels, target.pixels)[0],
        note,
        (*_mistakes(prediction.pixels, target.pixels, beside.input.pixels if beside.input else None), *suspected),
        beside.digests,
        {"prediction": prediction.sha256, **beside.sha256},
        beside.lacking,
    )


def _mistakes(prediction: Tensor, target: Tensor, input: Tensor | None) -> Iterator[str]:
    """What looks like a mistake of set-up: images that are equal, or have one colour only."""
    if equal(prediction, target):
        yield "the prediction equals the target"
    if input is not None and equal(prediction, input):
        yield "the prediction equals the input"
    if input is not None and equal(target, input):
        yield "the target equals the input"
    for side, pixels in (("prediction", prediction), ("target", target)):
        if equal(pixels, pixels[:, :1, :1].expand_as(pixels)):
            yield f"the {side} has one colour only"


def equal(one: Tensor, other: Tensor) -> bool:
    """(The first row tells most images apart, in no time.)"""
    one, other = alike(one, other)
    return torch.equal(one[:, 0], other[:, 0]) and torch.equal(one, other)


def decode_ahead(pairs: Sequence[Pair], pool: Executor, readings: Readings, *, ahead: int) -> Iterator[Decoded | Row]:
    """The pairs in order, those of one target together, with at most `ahead` targets decoded or being decoded before
    they are asked for.

    Fewer where they are large: as many like the last one as WAITING_PIXELS allows.
    """
    todo = (list(group) for _, group in groupby(pairs, key=lambda pair: pair.target))
    waiting = deque(pool.submit(decode, group, readings) for group in islice(todo, 1))
    now = 1  # until the size of the first is known
    while waiting:
        done, rest = waiting.popleft().result()
        for item in done:
            if isinstance(item, Decoded):
                now = min(ahead, max(1, WAITING_PIXELS // item.weight))
        if rest:
            waiting.appendleft(pool.submit(decode, rest, readings))
        missing = max(0, now - len(waiting))
        waiting.extend(pool.submit(decode, group, readings) for group in islice(todo, missing))
        yield from done


def in_batches(
    decoded: Iterable[Decoded | Row],
    batch_size: Callable[[Size], int],
    most: Callable[[Size], int] = lambda size: sys.maxsize,
) -> Iterator[list[Decoded] | Row]:
    """Targets of one size, dtype and number of predictions together, those with an input apart; rows passed on.

    Of a size, `batch_size` says how many pairs are a batch, which yet holds at least one target with its predictions;
    `most` says how many of these there may be. Few sizes or many: what waits is bounded by WAITING_PIXELS.
    """
    waiting: defaultdict[tuple[object, ...], list[Decoded]] = defaultdict(list)
    for item in decoded:
        if isinstance(item, Row):
            yield item
            continue
        for part in item.parts(most(item.size)):
            runs = len(part.predictions)
            kind = part.size, runs, part.target.dtype, None if part.input is None else part.input.dtype
            waiting[kind].append(part)
            if (len(waiting[kind]) + 1) * runs > batch_size(part.size):
                yield waiting.pop(kind)
            elif sum(_weight(group) for group in waiting.values()) > WAITING_PIXELS:
                yield waiting.pop(max(waiting, key=lambda kind: _weight(waiting[kind])))
    yield from waiting.values()


def _pixels(group: list[Decoded]) -> int:
    return sum(item.pixels for item in group)


def _weight(group: list[Decoded]) -> int:
    return sum(item.weight for item in group)


def _halves(group: list[Decoded]) -> list[list[Decoded]]:
    """Half of the targets each; of a single target half of its predictions each; a single pair as it is."""
    if len(group) > 1:
        half = len(group) // 2
        return [group[:half], group[half:]]
    (item,) = group
    return [[part] for part in item.parts(-(-len(item.predictions) // 2))]


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
    """Scores batches, and when the memory is short goes on with fewer targets, then with fewer of a target's
    predictions, then with smaller pieces of a pair."""

    def __init__(
        self,
        metrics: Sequence[Metric],
        device: torch.device,
        pool: Executor | None = None,
        batch_size: int | None = None,
        tell: Tell = lambda line: None,
    ) -> None:
        self.metrics = metrics
        self.device = device
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # the weights are there before another stream reads them
        self.columns = [column for metric in metrics for column in metric.columns]
        self._pool = pool if device.type == "cpu" else None
        self._streams = cycle(_streams(device))
        self._tell = tell
        self._asked_for = batch_size
        self._auto_size = cache(partial(auto_batch_size, device=device))
        self._most_pixels: int | None = None  # of a batch, once the memory was short
        self._piece_values: int | None = None  # of a piece, once it was short for one pair

    def batch_size(self, size: Size) -> int:
        """How many pairs of this size go together."""
        return min(self._asked_for or self._auto_size(size), self.most(size))

    def most(self, size: Size) -> int:
        """How many pairs of this size may go together: more than that did not fit the memory."""
        return sys.maxsize if self._most_pixels is None else max(1, self._most_pixels // (size[0] * size[1]))

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
            if is_out_of_memory(error):
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
        predictions = [prediction for item in group for prediction in item.predictions]
        return [_scored(item, self.columns, row, scores.reasons) for item, row in zip(predictions, lists, strict=True)]

    def _with_less_memory(self, group: list[Decoded]) -> list[Row]:
        halves = _halves(group)
        if len(halves) > 1:
            if self._most_pixels is None:
                self._tell(f"the memory of {self.device} is short: went on with fewer pairs at once")
            self._most_pixels = min(self._most_pixels or sys.maxsize, _pixels(halves[0]))
            return [row for half in halves for row in self.rows(self.start(half))]
        height, width = group[0].size
        now = min(self._piece_values or sys.maxsize, height * width)
        if now > SMALLEST_PIECE:
            if self._piece_values is None:
                self._tell(f"the memory of {self.device} is short for {width}x{height}: went on in smaller pieces")
            self._piece_values = max(now // 4, SMALLEST_PIECE)
            return self.rows(self.start(group))
        message = (
            f"a pair of {width}x{height} does not fit the memory of {self.device}; score it with fewer metrics (-m)"
        )
        return [_row(group[0].predictions[0].pair, width=width, height=height, error=message)]

    def _computed(self, group: list[Decoded]) -> _Scores:
        batch = self._batch(group)
        height, width = group[0].size
        parts, reasons = [], []
        with resources(pool=self._pool, piece_values=self._piece_values):
            for metric in self.metrics:
                if min(height, width) < metric.min_side:
                    reasons.append(f"{metric.name} (needs {metric.min_side}x{metric.min_side})")
                    parts.append(torch.full((len(batch.target), len(metric.columns)), torch.nan, device=self.device))
                else:
                    parts.append(masked_scores(metric, batch))
        double = torch.float32 if self.device.type == "mps" else torch.float64  # Metal has no float64
        return _Scores(torch.cat([part.to(self.device, double) for part in parts], dim=1), reasons)

    def _batch(self, group: list[Decoded]) -> Batch:
        runs = len(group[0].predictions)
        prediction = self._moved([prediction.pixels for item in group for prediction in item.predictions])
        # (the pairs of a batch all have an input, or none has one; of masks alike)
        inputs = [item.input for item in group if item.input is not None]
        masks = [item.mask for item in group if item.mask is not None]

        def of_runs(side: list[Tensor]) -> Tensor:
            moved = self._moved(side)
            return moved if runs == 1 else moved.repeat_interleave(runs, dim=0)

        return Batch(
            prediction,
            of_runs([item.target for item in group]),
            runs=runs,
            input=of_runs(inputs) if inputs else None,
            mask=of_runs(masks) if masks else None,
        )

    def _moved(self, side: list[Tensor]) -> Tensor:
        """The images of one side on the device, (N, 3, H, W) as stored: mostly a byte a value."""
        if self.device.type != "cuda":
            return torch.stack(side).to(self.device)
        pinned = torch.empty((len(side), *side[0].shape), dtype=side[0].dtype, pin_memory=True)
        return torch.stack(side, out=pinned).to(self.device, non_blocking=True)


def _streams(device: torch.device) -> list[torch.cuda.Stream | None]:
    """One for each batch on its way: on a GPU one is copied and begun while the other is computed."""
    if device.type != "cuda":
        return [None]
    return [torch.cuda.Stream(device) for _ in range(LOOKAHEAD + 1)]  # type: ignore[no-untyped-call]


def is_out_of_memory(error: Exception) -> bool:
    """Also where the device says so in words only: Metal, cuDNN, cuBLAS and the allocator of the CPU."""
    words = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def _scored(item: Prediction, columns: list[Column], values: list[float], reasons: list[str]) -> Row:
    scores = {column.name: value for column, value in zip(columns, values, strict=True) if value == value}  # no NaN
    height, width = item.size
    error = ""
    missing = [column.name for column in columns if column.name not in scores and not column.optional]
    if reasons:
        error = f"{width}x{height} is too small for {', '.join(reasons)}"
    elif missing and item.pair.mask is not None:
        error = f"{', '.join(missing)}: the mask is too small, no window lies in it"
    elif missing:
        error = f"{', '.join(missing)}: the computation overflowed; use --precision exact"
    error = "; ".join(filter(None, (item.error, error)))
    row = _row(item.pair, width=width, height=height, scores=scores, error=error, note=item.note)
    return replace(row, mistakes=item.mistakes, digests=item.digests, sha256=item.sha256)


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
        input=str(pair.input or ""),
        mask=str(pair.mask or ""),
        width=width,
        height=height,
        scores=scores or {},
        status="error" if error else "ok",
        error=error,
        note=note,
    )
