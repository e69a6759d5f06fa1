"""Who does the work: an engine turns pairs into rows, each pair's row exactly once, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from relight_eval.engines import local
from relight_eval.engines.floors import FLOORS
from relight_eval.engines.local import Options, Tell
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair
from relight_eval.results import Row

__all__ = ["ENGINES", "FLOORS", "Engine", "Options"]


class Engine(Protocol):
    """The contract. A pair that cannot be scored gives a row with its error; only bugs and a device that is not
    there raise. Scores do not depend on the engine, its options, or the other pairs. `tell` gets what the user should
    know of how the work went.

    Pairs of one target that stand next to each other are decoded and scored together, the target once: so stand those
    of several runs."""

    def __call__(
        self,
        pairs: Sequence[Pair],
        metrics: Sequence[str],
        settings: Settings,
        options: Options,
        tell: Tell = ...,
    ) -> Iterator[Row]: ...


ENGINES: dict[str, Engine] = {"local": local.score}
