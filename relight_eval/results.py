"""What a run found: its columns, its rows, and the protocol that every number carries.

Plain values: gates, comparison and reports read these, and nothing here knows about tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1  # of the saved JSON; raised when a reader of the old one would be misled

Better = Literal["higher", "lower"]
Status = Literal["ok", "error", "missing_prediction", "missing_target"]


@dataclass(frozen=True)
class Column:
    """One score column, described so that no reader has to ask the metric which way is up.

    `identical` is the value of a pair of equal images; `low` and `high` bound the range (inf where open).
    """

    name: str
    metric: str
    better: Better
    low: float
    high: float
    identical: float
    meaning: str
    unit: str = ""

    @property
    def arrow(self) -> str:
        return "↑" if self.better == "higher" else "↓"


@dataclass(frozen=True)
class Row:
    """One image name: its scores, or the reason why it has none (`status`, `error`).

    `scores` holds only values that were computed. A pair that some metrics could not score (too small for
    LPIPS, say) keeps the others, with status `error` and the reason. `prediction` and `target` are the
    paths as found, empty when there is no such file; `width` and `height` are in pixels, None when unknown.
    `note` says what a reader must know of how the files were read.
    """

    name: str
    prediction: str = ""
    target: str = ""
    width: int | None = None
    height: int | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    status: Status = "ok"
    error: str = ""
    note: str = ""


@dataclass(frozen=True)
class Results:
    """A whole run: one row for every image name of either folder, in natural order of the names.

    `signature` is the protocol (versions, constants, weights) and `warnings` what must be said above any
    table, such as a metric that could not be had. `ignored` counts the files that are no images by their suffix.
    """

    prediction: str
    target: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    signature: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    ignored: int = 0
    seconds: float = math.nan

    @property
    def scored(self) -> tuple[Row, ...]:
        """Rows with at least one score."""
        return tuple(row for row in self.rows if row.scores)

    @property
    def errors(self) -> tuple[Row, ...]:
        """Pairs that could not be scored, or not by every metric."""
        return tuple(row for row in self.rows if row.status == "error")

    @property
    def unpaired(self) -> tuple[Row, ...]:
        """Files without a partner."""
        return tuple(row for row in self.rows if row.status.startswith("missing_"))

    def values(self, column: str) -> dict[str, float]:
        """The scores of one column by image name, in row order; names without that score are left out."""
        return {row.name: row.scores[column] for row in self.rows if column in row.scores}

    def to_frame(self) -> pd.DataFrame:
        """The table of the CSV contract: one row per name, scores as floats, NaN where there is none."""
        import pandas as pd  # half a second that callers without tables do not pay

        head = ["image", "prediction", "target", "width", "height"]
        scores = [column.name for column in self.columns]
        records = [
            [row.name, row.prediction, row.target, row.width, row.height]
            + [row.scores.get(name) for name in scores]
            + [row.status, row.error]
            for row in self.rows
        ]
        frame = pd.DataFrame(records, columns=[*head, *scores, "status", "error"])
        return frame.astype({"width": "Int64", "height": "Int64", **dict.fromkeys(scores, "float64")})
