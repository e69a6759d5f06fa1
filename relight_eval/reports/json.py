"""The whole of Results as JSON: signature, columns, aggregates and every pair.

The layout is described by `results.schema.json` beside this file. JSON has no inf and no NaN: such a value is null,
and a `reasons` object beside it says what stood there.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from relight_eval.errors import printable
from relight_eval.results import FORMAT, Column, Results, Row
from relight_eval.statistics import summary

TOO_FEW = "too few values"


def render(results: Results) -> str:
    document = {
        "format": FORMAT,
        "prediction": printable(results.prediction),
        "target": printable(results.target),
        "signature": dict(results.signature),
        "warnings": list(results.warnings),
        "columns": [_column(column) for column in results.columns],
        "aggregate": {column.name: _aggregate(results, column.name) for column in results.columns},
        "pairs": [_pair(row) for row in results.rows if not row.status.startswith("missing_")],
        "unpaired": [_unpaired(row) for row in results.unpaired],
        "verdicts": [],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _column(column: Column) -> dict[str, Any]:
    """A column, an open end of its range and an infinite identical value as null."""
    return {name: _finite(value) for name, value in asdict(column).items()}


def _aggregate(results: Results, column: str) -> dict[str, Any]:
    found = asdict(summary(list(results.values(column).values())))
    found["ci95"] = None if math.isnan(found["ci95"][0]) else list(found["ci95"])
    too_few = "inf" if found["infinite"] else TOO_FEW  # a mean of what is left when the infinite are left out
    reasons = {name: _reason(value, too_few) for name, value in found.items() if _finite(value) is None}
    return {name: _finite(value) for name, value in found.items()} | ({"reasons": reasons} if reasons else {})


def _pair(row: Row) -> dict[str, Any]:
    reasons = {name: _reason(value) for name, value in row.scores.items() if _finite(value) is None}
    return {
        "image": row.name,
        "prediction": printable(row.prediction),
        "target": printable(row.target),
        "width": row.width,
        "height": row.height,
        "scores": {name: _finite(value) for name, value in row.scores.items()},
        "status": row.status,
        "error": row.error,
        **({"note": row.note} if row.note else {}),
        **({"reasons": reasons} if reasons else {}),
    }


def _unpaired(row: Row) -> dict[str, Any]:
    return {
        "image": row.name,
        "prediction": printable(row.prediction),
        "target": printable(row.target),
        "status": row.status,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reason(value: float | None, otherwise: str = TOO_FEW) -> str:
    return str(value) if value is not None and math.isinf(value) else otherwise
