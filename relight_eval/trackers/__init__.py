"""Experiment trackers: where the scores of checkpoints become curves. `tracker("tensorboard:runs/exp1")` is one.

What is logged is an `Entry`, the same for all of them; a tracker is one file, and one row of TRACKERS.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

from relight_eval.errors import UsageError, nearest
from relight_eval.places import secrets
from relight_eval.text import visible
from relight_eval.trackers.entry import Entry
from relight_eval.trackers.mlflow import MLflow
from relight_eval.trackers.tensorboard import TensorBoard
from relight_eval.trackers.wandb import WandB

__all__ = ["TRACKERS", "Tracker", "tracker"]


class Tracker(Protocol):
    """Where entries go; `word` is what the user called it. Only `require` and `log` import its library."""

    word: str

    def __init__(self, word: str, target: str) -> None:
        """`target` is empty where the tracker's own settings say it. Raises UsageError for what is none."""
        ...

    def require(self) -> None:
        """Raises UsageError where nothing could be logged, as far as that can be told before any work is done."""
        ...

    def log(self, entries: Sequence[Entry]) -> None:
        """Logs the entries, in order, to one run. Raises ReportError."""
        ...


TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def tracker(word: str) -> Tracker:
    """The tracker of a word such as `mlflow:sqlite:///mlruns.db`. Raises UsageError, which repeats no secret."""
    kind, _, target = word.partition(":")
    if _holds_secret(word):
        raise UsageError(
            f"--log {visible(kind)}: the address holds a user or a password, which would be seen by others and kept in "
            "logs; leave it out, and set it where the tracker itself looks for it, such as its environment variables"
        )
    if kind not in TRACKERS:
        raise UsageError(f"--log {visible(word)}: {visible(kind)!r} is no tracker; {nearest(kind, TRACKERS)}")
    return TRACKERS[kind](visible(word), os.path.expanduser(target))  # (a shell knows no ~ behind a colon)


def _holds_secret(word: str) -> bool:
    """Whether there is a user, or a secret, in its address."""
    protocol, _, rest = word.partition("://")
    return "@" in rest.partition("/")[0] or secrets.held(protocol.rpartition(":")[2], rest)
