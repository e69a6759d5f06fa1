"""Scores kept as they come: a row by the content of its files and the protocol it was scored under.

So a row that was kept is right for any files of this content, whatever they are called now, and for no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from relight_eval.results import SPREAD, Row

__all__ = ["Key", "Store", "protocol_digest"]


@dataclass(frozen=True)
class Key:
    """All that the scores of a pair depend on: the SHA-256 of each file's content (hexadecimal; empty where the pair
    has none), the floor in the place of the prediction, and the digest of the signature."""

    prediction: str
    target: str
    input: str
    mask: str
    floor: str
    protocol: str

    @property
    def digest(self) -> str:
        parts = (self.prediction, self.target, self.input, self.mask, self.floor, self.protocol)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Store(Protocol):
    """Where rows are kept. Safe in threads. A store that fails tells it once and goes on without: a run is worth more
    than its copy."""

    def find(self, key: Key) -> Row | None:
        """The row that was kept under this key, without its name and paths; None where there is none."""
        ...

    def keep(self, key: Key, row: Row) -> None:
        """Keeps a row that was scored in full."""
        ...


def protocol_digest(signature: Mapping[str, str]) -> str:
    """What a signature says of every single score, as one number: all but how the spread was told."""
    lines = sorted(f"{key}={value}" for key, value in signature.items() if key not in SPREAD)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
