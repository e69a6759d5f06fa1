"""What a child process does and what is timed: WORKS.

A function of WORKS prepares (imports, weights, images in memory), untimed, and returns what is timed: a function of the
number of pairs. `root` is the folder of a data set; in it lie folders of 2, 6, … pairs that the parent has made.
The loop by hand and other libraries are imported only where they run, so that the tool's peak memory is its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from relight_eval import weights
from relight_eval.engines import ENGINES, Cluster, Options, local
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.images import read
from relight_eval.metrics import Batch, Settings, build
from relight_eval.metrics.pieces import resources
from relight_eval.pairs import find
from tests.benchmarks import limits


class Prepared(NamedTuple):
    work: Callable[[int], object]
    note: str = ""


def settings(precision: str) -> Settings:
    """With the weights that the parent has put into the environment."""
    return Settings(precision=precision, vgg19_weights=weights.find(offline=True))


def folders(root: str, count: int) -> tuple[Path, Path]:
    return Path(root, str(count), "prediction"), Path(root, str(count), "target")


def files(root: str, count: int) -> list[tuple[Path, Path]]:
    """The pairs of files among the first `count`."""
    predictions, targets = (sorted(folder.iterdir()) for folder in folders(root, count))
    return list(zip(predictions, targets, strict=True))


def pixels(root: str, count: int) -> list[tuple[Tensor, Tensor]]:
    """The first `count` pairs in memory, each (3, H, W) uint8."""
    return [(read(prediction).pixels, read(target).pixels) for prediction, target in files(root, count)]


# --- whole runs --------------------------------------------------------------------------------------------


def tool(root: str, metrics: str, precision: str, device: str) -> Prepared:
    """`evaluate`, as the command line calls it."""
    chosen = settings(precision)

    def work(count: int) -> None:
        results = evaluate(*folders(root, count), metrics=metrics.split(","), settings=chosen, device=device)
        if results.errors or len(results.rows) != count:
            raise RuntimeError(f"not every pair was scored: {results.errors[:1]}")

    return Prepared(work)


def runs(root: str, metrics: str, precision: str, device: str, runs: int, together: bool) -> Prepared:
    """So many runs with one target: together, or `evaluate` of each in turn."""
    chosen = {"metrics": metrics.split(","), "settings": settings(precision), "device": device}

    def work(count: int) -> None:
        _, target = folders(root, count)
        predictions = {str(k): Path(root, str(count), f"run{k}") for k in range(runs)}
        if together:
            found = evaluate_runs(predictions, target, **chosen)
        else:
            found = {label: evaluate(folder, target, **chosen) for label, folder in predictions.items()}
        if [len(results.scored) for results in found.values()] != [count] * runs:
            raise RuntimeError("not every pair was scored")

    return Prepared(work)


def engine(root: str, metrics: str, engine: str, workers: int, cpus: int) -> Prepared:
    """An engine of so many workers with so many processors each, that is opened before: local has one worker."""
    chosen, options = settings("exact"), Options("cpu", workers=cpus)
    if engine == "ray":
        import ray

        os.environ |= {"RAY_worker_niceness": "0"}  # as this process is: by default, workers wait for other programs
        here = {"num_cpus": workers * cpus, "include_dashboard": False, "object_store_memory": 2**27}
        ray.init("local", log_to_driver=False, logging_level="error", **here)
    cluster = Cluster(cpus_per_worker=cpus) if engine == "ray" else Cluster()
    opened = ENGINES[engine](cluster).__enter__()

    def work(count: int) -> None:
        rows = list(opened.score(find(*folders(root, count)).pairs, metrics.split(","), chosen, options))
        if len(rows) != count or any(row.error for row in rows):
            raise RuntimeError("not every pair was scored")

    return Prepared(work)


def hand(root: str, metrics: str, device: str) -> Prepared:
    """The loop by hand, on the same files."""
    from tests.benchmarks import by_hand

    network = by_hand.VGG19(weights.find(offline=True).tensors).to(device)
    return Prepared(lambda count: by_hand.loop(files(root, count), metrics.split(","), network, torch.device(device)))


# --- stages ------------------------------------------------------------------------------------------------


def decode(root: str, decoder: str) -> Prepared:
    """Both images of every pair, on all processors, and nothing else."""
    one = limits.decoder(decoder)
    return Prepared(lambda count: limits.decode_all([path for pair in files(root, count) for path in pair], one))


def copy(root: str, ready: int, device: str) -> Prepared:
    """Decoded pairs into one tensor for each side, on the device."""
    pairs = pixels(root, ready)
    size = batch_size(pairs, device)
    batch = list(islice(cycle(pairs), size))

    def work(count: int) -> None:
        for start in range(0, count, size):
            for side in zip(*batch[: count - start], strict=True):
                torch.stack(side).to(device)

    return Prepared(work, f"batches of {size}")


def arithmetic(root: str, ready: int, metrics: str, precision: str, device: str) -> Prepared:
    """The metrics alone, on batches that are on the device: batches and threads as the tool has them."""
    pairs = pixels(root, ready)
    size = batch_size(pairs, device)
    sides = [torch.stack(side) for side in zip(*islice(cycle(pairs), size), strict=True)]
    prediction, target = (side.to(device) for side in sides)
    built = build(metrics.split(","), settings(precision), torch.device(device))
    threads = local.available_cpus()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) if device == "cpu" else None

    def work(count: int) -> None:
        for start in range(0, count, size):
            batch = Batch(prediction[: count - start], target[: count - start])  # anew: it keeps what metrics share
            with resources(pool=pool):
                torch.cat([metric.score(batch) for metric in built], dim=1).cpu()

    return Prepared(work, f"batches of {size}")


def batch_size(pairs: list[tuple[Tensor, Tensor]], device: str) -> int:
    """The size of a batch that the tool takes by itself; a guess where its function is not to be had."""
    height, width = pairs[0][0].shape[-2:]
    try:
        return int(local.auto_batch_size((height, width), torch.device(device)))
    except (AttributeError, TypeError):
        return max(1, min(256, 2 ** (24 if device == "cuda" else 20) // (height * width)))


def hand_metric(root: str, ready: int, metric: str, device: str) -> Prepared:
    """One metric by hand, one pair after the other, in memory as `ToTensor` gives it."""
    from tests.benchmarks import by_hand

    network = by_hand.VGG19(weights.find(offline=True).tensors).to(device)
    return _each(root, ready, device, lambda x, y: by_hand.scores(x, y, [metric], network))


def peer(root: str, ready: int, metric: str, library: str, device: str) -> Prepared:
    """One metric by a library, the same way."""
    from tests.benchmarks import peers

    score = peers.peer(metric, library)
    return _each(root, ready, device, torch.no_grad()(score))


def _each(root: str, ready: int, device: str, score: Callable[[Tensor, Tensor], object]) -> Prepared:
    pairs = [[(side[None] / 255).to(device) for side in pair] for pair in pixels(root, ready)]

    def work(count: int) -> None:
        for prediction, target in islice(cycle(pairs), count):
            score(prediction, target)

    return Prepared(work)


def nothing(root: str) -> Prepared:
    """What a process weighs that has imported everything and does nothing."""
    return Prepared(lambda count: None)


WORKS: dict[str, Callable[..., Prepared]] = {
    "tool": tool,
    "runs": runs,
    "engine": engine,
    "hand": hand,
    "decode": decode,
    "copy": copy,
    "arithmetic": arithmetic,
    "hand_metric": hand_metric,
    "peer": peer,
    "nothing": nothing,
}
