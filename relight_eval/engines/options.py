"""What a caller can say of how the work is done. None of it changes a score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relight_eval.decoding import AS_STORED, Readings
from relight_eval.errors import UsageError

Tell = Callable[[str], None]  # what the user should know of how the work went
Stop = Callable[[], bool]  # whether to end after what has begun


def never() -> bool:
    return False


@dataclass(frozen=True)
class Options:
    """How the files are read, and how the work is done, which changes nothing of what comes out.

    `None` means: as the machine allows. `stop` is asked before each batch.
    """

    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    readings: Readings = AS_STORED
    stop: Stop = never

    def __post_init__(self) -> None:
        for name, number in (("batch size", self.batch_size), ("number of workers", self.workers)):
            if number is not None and number < 1:
                raise UsageError(f"the {name} is {number}; it must be at least 1, or auto")


@dataclass(frozen=True)
class Cluster:
    """Which machines an engine may use.

    Of Ray, the `address` of a cluster: HOST:PORT from one of its machines, ray://HOST:PORT from any other, auto, or
    local for a new one of this machine alone; None for the one that RAY_ADDRESS names, or else local. And how many CPUs
    each worker has, None for as many as go with its GPU, or without GPUs one.
    """

    address: str | None = None
    cpus_per_worker: int | None = None

    def __post_init__(self) -> None:
        if self.cpus_per_worker is not None and self.cpus_per_worker < 1:
            raise UsageError(f"the number of CPUs per worker is {self.cpus_per_worker}; it must be at least 1")
