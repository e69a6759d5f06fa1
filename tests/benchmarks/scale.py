"""How long a cluster takes for twenty checkpoints, at 1 to 64 GPUs: a model of measured parts, no measurement.

    python -m tests.benchmarks.scale [--measure]

A run is as fast as the slowest of what it passes through: GPUs, decoding, the network of each node, the bucket, the
driver; to that comes what is done once, before and after. PARTS says what each can do, and SOURCES where that is from.
What the model does not know: nodes that share a network, machines that are slow or lost, a bucket that is far away.
`--measure` measures the driver anew, on this machine.
"""

from __future__ import annotations

import argparse
import math
import pickle
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Self
from unittest import mock

from relight_eval import metrics
from relight_eval.comparison import compare
from relight_eval.engines import ENGINES, Options, Tell
from relight_eval.evaluate import evaluate_runs
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.records.journal import Journal
from relight_eval.records.keeping import Keeping
from relight_eval.reports import REPORTS, comparison_files, save
from relight_eval.results import Row
from tests.benchmarks.data import provide_weights
from tests.benchmarks.million import made_up_row

GPUS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Parts:
    """What the parts of a cluster can do, and what is to be done; by name in SOURCES."""

    pairs: int = 312_000
    runs: int = 20
    image_mb: float = 0.77
    gpu_pairs_s: float = 141.0
    ray_share: float = 0.95
    processors: int = 16
    images_s: float = 36.0
    node_mb_s: float = 1250.0
    bucket_reads_s: float = 5500.0
    keys_s: float = 5000.0
    start_s: float = 60.0
    driver_pair_ms: float = 0.07
    report_pair_ms: float = 0.16
    dollars_hour: float = 4.0

    @property
    def images(self) -> int:
        """Files to read: the workers keep a target for the predictions of all runs."""
        return self.pairs + self.pairs // self.runs

    @property
    def images_of_pair(self) -> float:
        return self.images / self.pairs


README = "measured on an H100 with 16 processors on 2026-11-22, see Speed"
HERE = "measured on 2026-11-23 (AMD EPYC, one processor): the slowest of three runs"
ASSUMED = "assumed"

SOURCES: dict[str, tuple[str, str]] = {  # name in Parts -> what it is, where it is from
    "pairs": ("pairs: 20 checkpoints × 15,600 images of VIDIT, 1024×1024", "the task"),
    "runs": ("predictions of each target, all in one `compare`, so that a target is read once", "the task"),
    "image_mb": ("MB of an image as PNG", "the mean of four images of VIDIT; predictions taken to be alike"),
    "gpu_pairs_s": ("pairs/s of one GPU with charbonnier, wssim and vgg19, one run at a time", README),
    "ray_share": ("of the speed of a GPU, what is left under Ray", ASSUMED + ": our bar for what Ray costs"),
    "processors": ("processors for each GPU", ASSUMED + ", as on that H100"),
    "images_s": ("images that a processor decodes in a second", README + ": 290 pairs/s, the slowest run"),
    "node_mb_s": ("MB/s from the bucket for each GPU, 10 Gbit/s", ASSUMED),
    "bucket_reads_s": ("files/s from the bucket, all GPUs together", ASSUMED + ": what S3 promises for one prefix"),
    "keys_s": ("names/s when the bucket is listed", ASSUMED + ": 1000 names in each answer, five answers a second"),
    "start_s": ("seconds until workers have imported torch, and their GPUs are warm", ASSUMED),
    "driver_pair_ms": ("ms of the driver for a pair while it runs: dealing out, unpickling, journal", HERE),
    "report_pair_ms": ("ms of the driver for a pair at the end: intervals, CSV, JSON, comparison", HERE),
    "dollars_hour": ("dollars for a GPU and its processors for an hour", ASSUMED),
}
PARTS = Parts()


# --- the model ---------------------------------------------------------------------------------------------


def limits(parts: Parts, gpus: int) -> dict[str, float]:
    """Pairs/s that each part lets through."""
    return {
        "GPUs": gpus * parts.gpu_pairs_s * parts.ray_share,
        "decoding": gpus * parts.processors * parts.images_s / parts.images_of_pair,
        "network": gpus * parts.node_mb_s / (parts.image_mb * parts.images_of_pair),
        "bucket": parts.bucket_reads_s / parts.images_of_pair,
        "driver": 1000 / parts.driver_pair_ms,
    }


@dataclass(frozen=True)
class Run:
    """A run on so many GPUs: pairs/s while it scores, what limits that, seconds of that, and of all else."""

    gpus: int
    pairs_s: float
    limit: str
    scoring_s: float
    beside_s: float

    @property
    def seconds(self) -> float:
        return self.scoring_s + self.beside_s

    @property
    def gpu_hours(self) -> float:
        """That are paid for: the GPUs wait while the driver lists and reports."""
        return self.gpus * self.seconds / 3600


def run(parts: Parts, gpus: int) -> Run:
    found = limits(parts, gpus)
    limit = min(found, key=lambda name: found[name])
    beside_s = parts.start_s + parts.images / parts.keys_s + parts.pairs * parts.report_pair_ms / 1000
    return Run(gpus, found[limit], limit, parts.pairs / found[limit], beside_s)


def table(parts: Parts) -> str:
    """In Markdown, a row for each number of GPUs."""
    lines = [
        "| GPUs | pairs/s | limited by | scoring | start to end | faster than one | GPU-hours | cost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    alone = run(parts, 1).seconds
    for found in (run(parts, gpus) for gpus in GPUS):
        cells = (
            f"{found.gpus}",
            f"{found.pairs_s:,.0f}",
            found.limit,
            _minutes(found.scoring_s),
            _minutes(found.seconds),
            f"{alone / found.seconds:.1f}×",
            f"{found.gpu_hours:.1f}",
            f"${found.gpu_hours * parts.dollars_hour:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def assumptions(parts: Parts) -> str:
    """In Markdown, a row for each part."""
    values = {part.name: getattr(parts, part.name) for part in fields(parts)}
    rows = [f"| {what} | {values[name]:,.6g} | {source} |" for name, (what, source) in SOURCES.items()]
    return "\n".join(["| what | value | from |", "|---|---|---|", *rows])


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"


# --- the driver --------------------------------------------------------------------------------------------

FEW, MANY = 1000, 4000  # targets: what is done once, such as imports, is no part of what a pair takes
RUNS = 5
CHUNK = 100  # rows that come at once
TERMS = "charbonnier,wssim,vgg19"


class Played:
    """An engine whose rows are there before they are asked for, as those of workers are: pickled, in chunks.

    `began` and `ended` are when the first chunk was dealt out and the last row was taken.
    """

    def __init__(self) -> None:
        self.began = self.ended = math.nan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def device(self, asked: str) -> str:
        return "cpu"

    def score(
        self, pairs: Sequence[Pair], chosen: Sequence[str], settings: Settings, options: Options, tell: Tell = print
    ) -> Iterator[Row]:
        names = [column.name for column in metrics.columns(chosen, settings)]
        number = random.Random(0)
        chunks = [pairs[first : first + CHUNK] for first in range(0, len(pairs), CHUNK)]
        answers = [pickle.dumps([made_up_row(pair, names, number) for pair in chunk]) for chunk in chunks]
        self.began = time.thread_time()
        for chunk, answer in zip(chunks, answers, strict=True):
            pickle.dumps(chunk)
            yield from pickle.loads(answer)
        self.ended = time.thread_time()


def driver(folder: Path) -> dict[str, float]:
    """What the driver takes for a pair, in ms of one processor, by name in PARTS: all of it real but images and Ray.

    (Of the processor, so that other programs do not count. The journal goes to the disk in a thread of its own.)
    """
    provide_weights(folder)
    few, many = (driver_s(folder / str(targets), targets) for targets in (FEW, MANY))
    return {name: 1000 * (many[name] - few[name]) / (RUNS * (MANY - FEW)) for name in few}


def driver_s(folder: Path, targets: int) -> dict[str, float]:
    """Seconds of the processor for RUNS predictions of so many targets."""
    labels = [f"run{k}" for k in range(RUNS)]
    for side in ("target", *labels):
        (folder / side).mkdir(parents=True)
        for i in range(targets):
            (folder / side / f"Image{i:05}.png").touch()
    played = Played()
    engines = mock.patch.dict(ENGINES, {"played": lambda cluster: played})
    with engines, Journal(folder / "scores.journal", resume=False, tell=print) as journal:
        found = evaluate_runs(
            {label: folder / label for label in labels}, folder / "target",
            metrics=TERMS, engine="played", keeping=Keeping((), (journal,)),
        )  # fmt: skip
        if journal.held != RUNS * targets:
            raise RuntimeError(f"the journal holds {journal.held} of {RUNS * targets} rows")
    for label, results in found.items():
        for kind in ("csv", "json"):
            save(folder / f"{label}.{kind}", REPORTS[kind](results))
    save(folder / "comparison.json", comparison_files.json(compare(found)))
    return {"driver_pair_ms": played.ended - played.began, "report_pair_ms": time.thread_time() - played.ended}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the driver on this machine")
    parts = PARTS
    if parser.parse_args().measure:
        with tempfile.TemporaryDirectory(prefix="relight-eval-scale-") as folder:
            parts = replace(PARTS, **driver(Path(folder)))
    print(f"{table(parts)}\n\n{assumptions(parts)}")


if __name__ == "__main__":
    main()
