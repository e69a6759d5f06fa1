"""What runs on the machines of a cluster: the local engine, told what to score.

Ray makes an actor of `Worker`; nothing here knows of Ray.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from relight_eval import __version__
from relight_eval.engines import local
from relight_eval.engines.options import Options
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.results import ENVIRONMENT, Row


@dataclass(frozen=True)
class Job:
    """How pairs are scored, the same for all of a run."""

    metrics: tuple[str, ...]
    settings: Settings
    options: Options


@dataclass(frozen=True)
class Greeting:
    """Who a worker is, and which of the files that it was asked for are not there for it."""

    node: str
    versions: dict[str, str]
    unseen: tuple[Path, ...]


@dataclass(frozen=True)
class Answer:
    """The rows of a chunk, what the engine told, and how long it took."""

    rows: tuple[Row, ...]
    told: tuple[str, ...]
    seconds: float


class Worker:
    """One process of a cluster. Greeted once for each run, before it scores anything of it."""

    def __init__(self) -> None:
        self._stopped = 0  # the last run that was

    def greet(self, folder: str, files: Sequence[Path], device: str) -> Greeting:
        """From now on relative paths are those below `folder`, where there is one.

        Raises UsageError for a device that is not there.
        """
        with suppress(OSError):
            os.chdir(folder)
        local.pick_device(device)
        return Greeting(platform.node(), versions(), tuple(file for file in files if not file.exists()))

    def score(self, run: int, pairs: Sequence[Pair], job: Job) -> Answer:
        """The rows of these pairs; fewer when the run is stopped meanwhile."""
        told: list[str] = []
        options = replace(job.options, stop=lambda: self._stopped >= run)
        start = time.perf_counter()
        rows = tuple(local.score(pairs, job.metrics, job.settings, options, told.append))
        return Answer(rows, tuple(told), time.perf_counter() - start)

    def stop(self, run: int) -> None:
        """Ends what it has of this run after the batch that it is at. (Called while `score` works.)"""
        self._stopped = run


def versions() -> dict[str, str]:
    """Of all that a signature names, as this process has them: one signature must not stand for two versions."""
    found = {"relight-eval": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for library in ENVIRONMENT:
        if library not in (*found, "device"):
            with suppress(PackageNotFoundError):
                found[library] = version(library)
    return found
