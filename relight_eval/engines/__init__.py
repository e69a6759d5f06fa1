"""Who does the work: an engine turns pairs into rows, each pair's row exactly once, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from relight_eval.engines.floors import FLOORS
from relight_eval.engines.local import Local
from relight_eval.engines.options import Cluster, Options, Stop, Tell, never
from relight_eval.engines.ray import Ray
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.results import Row

__all__ = ["ENGINES", "FLOORS", "Cluster", "Engine", "Options", "Stop", "Tell", "never"]


class Engine(Protocol):
    """The contract. Used within `with`; its workers, where it has any, live as long."""

    def device(self, asked: str) -> str:
        """The device of this name as the signature of its scores names it. Raises UsageError when it is not there."""
        ...

    def score(
        self,
        pairs: Sequence[Pair],
        metrics: Sequence[str],
        settings: Settings,
        options: Options,
        tell: Tell = ...,
    ) -> Iterator[Row]:
        """The rows. A pair that cannot be scored gives a row with its error; only bugs and a device that is not there
        raise. Scores do not depend on the engine, its options, or the other pairs. `tell` gets what the user should
        know of how the work went.

        Pairs of one target that stand next to each other are decoded and scored together, the target once: so stand
        those of several runs."""
        ...


ENGINES: dict[str, Callable[[Cluster], AbstractContextManager[Engine]]] = {"local": Local, "ray": Ray}
