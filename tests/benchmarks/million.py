"""What the driver of a cluster holds while a million pairs are scored elsewhere: memory and time, step by step.

The files are empty, or stand in a listing alone, and no image is read: an engine that makes up its rows takes the place
of the workers. As theirs do, its rows come in chunks, pickled. All else is as `score` does it.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Self

from relight_eval import metrics
from relight_eval.engines import ENGINES, Options, Tell
from relight_eval.evaluate import evaluate
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.results import Row
from tests.benchmarks.measure import MissingError, peak_bytes

IN_FOLDER = 1000
CHUNK = 100  # rows that come at once
SIDES = ("prediction", "target")


def million(root: str, count: int, remote: bool) -> dict[str, Any]:
    """Seconds and peak memory (bytes, of the whole process) of a run over `count` pairs, step by step.

    With the driver's imports, and what they weigh. Of the tables, the intervals take most of the time: minutes.
    """
    steps = Steps()
    with suppress(ModuleNotFoundError):
        import ray  # noqa: F401  (for its weight)
    steps.end("imports")
    folders = _addresses(count) if remote else _folders(Path(root), count)
    steps.end("the files made")
    ENGINES["made up"] = lambda cluster: MadeUp(steps)
    results = evaluate(*folders, engine="made up", offline=True)
    steps.end("results")
    csv = Path(root, "scores.csv")
    _write_csv(csv, results)
    steps.end("CSV")
    _print(results)
    steps.end("tables")
    if len(results.scored) != count or csv.stat().st_size < 100 * count:
        raise RuntimeError(f"{len(results.scored)} of {count} rows")
    return {"steps": steps.found, "row_bytes": steps.row_bytes, "pair_bytes": steps.pair_bytes}


class Steps:
    """What was done: seconds of each step, and the peak of the process at its end."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self.row_bytes = self.pair_bytes = 0.0  # pickled, of one
        self._began = time.perf_counter()

    def end(self, step: str) -> None:
        now = time.perf_counter()
        self.found[step] = {"seconds": now - self._began, "peak_bytes": peak_bytes()}
        self._began = time.perf_counter()


class MadeUp:
    """An engine that makes up its rows."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def device(self, asked: str) -> str:
        return "cpu"

    def score(
        self, pairs: Sequence[Pair], chosen: Sequence[str], settings: Settings, options: Options, tell: Tell = print
    ) -> Iterator[Row]:
        self._steps.end("listed, paired and dealt out")
        names = [column.name for column in metrics.columns(metrics.chosen(None), settings)]
        number = random.Random(0)
        waiting = iter(pairs)
        while chunk := list(islice(waiting, CHUNK)):
            sent = pickle.dumps(chunk)
            rows = pickle.dumps([made_up_row(pair, names, number) for pair in chunk])
            self._steps.row_bytes, self._steps.pair_bytes = len(rows) / len(chunk), len(sent) / len(chunk)
            yield from pickle.loads(rows)
        self._steps.end("rows made up and taken")


def made_up_row(pair: Pair, names: Sequence[str], number: random.Random) -> Row:
    """As a worker gives it: of an image of 1024×1024."""
    return Row(
        pair.name,
        str(pair.prediction),
        str(pair.target),
        1024,
        1024,
        {name: number.random() for name in names},
        sha256={side: number.randbytes(32).hex() for side in SIDES},
    )


# --- where the files are -----------------------------------------------------------------------------------


def _names(count: int) -> Iterator[tuple[str, int]]:
    """Folders, and how many files are in each."""
    for first in range(0, count, IN_FOLDER):
        yield f"scene_{first // IN_FOLDER:04}", min(IN_FOLDER, count - first)


def _folders(root: Path, count: int) -> tuple[Path, Path]:
    for side in SIDES:
        for folder, files in _names(count):
            os.makedirs(root / side / folder)
            for i in range(files):
                os.close(os.open(f"{root}/{side}/{folder}/image_{i:06}.png", os.O_CREAT | os.O_WRONLY))
    return root / "prediction", root / "target"


def _addresses(count: int) -> tuple[str, str]:
    """Of a file system that is a listing and nothing else."""
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise MissingError(f"{error.name} is not installed") from error

    class Listing(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "listing"

        def ls(self, path: str, detail: bool = True, **_: object) -> list[Any]:
            path = self._strip_protocol(path).strip("/")
            _, *below = path.split("/")
            if below:
                files = dict(_names(count)).get(below[0], 0)
                found = [{"name": f"{path}/image_{i:06}.png", "type": "file", "size": 1} for i in range(files)]
            else:
                found = [{"name": f"{path}/{name}", "type": "directory", "size": 0} for name, _ in _names(count)]
            return found if detail else [entry["name"] for entry in found]

        def info(self, path: str, **_: object) -> dict[str, Any]:
            path = self._strip_protocol(path).strip("/")
            kind = "file" if path.endswith(".png") else "directory"
            return {"name": path, "type": kind, "size": kind == "file"}

    fsspec.register_implementation("listing", Listing, clobber=True)
    return "listing://prediction", "listing://target"


# --- how it is told ----------------------------------------------------------------------------------------


def _write_csv(path: Path, results: Any) -> None:
    from relight_eval.reports import pieces, save

    save(path, pieces("csv", results))


def _print(results: Any) -> None:
    from rich.console import Console

    from relight_eval.reports import console

    console.show(results, Console(file=io.StringIO(), width=100))
