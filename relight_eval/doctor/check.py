"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Outcome = Literal["ok", "WARN", "WRONG"]


class Finding(NamedTuple):
    """What one look at the machine found, and what to do about it: never empty unless the outcome is ok.

    WARN is what scores can live with: something is slower, or left out, and said so. WRONG costs or falsifies scores.
    """

    outcome: Outcome
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """A line of the report."""

    name: str
    outcome: Outcome
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Asked:
    """What to look at: this `device`, None for each kind that there is; these weights, None for the usual ones."""

    device: str | None = None
    vgg19_weights: Path | None = None
