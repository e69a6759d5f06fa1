"""Saved runs written by hand, and other files that `gate` and `compare` read: no image, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from relight_eval import noise
from relight_eval.columns import known
from relight_eval.groups import Grouping
from relight_eval.reports import REPORTS
from relight_eval.results import Results, Row

SIGNATURE = {
    "relight-eval": "0.1.0",
    "ssim": "wang2004",
    "lpips": "alex",
    "device": "cpu",
    "torch": "2.6.0",
}
LEFT_UNDONE = (
    Row("zz0", "out/zz0.png", "gt/zz0.png", status="error", error="truncated"),
    Row("zz1", target="gt/zz1.png", status="missing_prediction", error="no prediction of this name"),
)


def saved(
    path: str | Path,
    *,
    rows: Sequence[Row] = (),
    signature: Mapping[str, str] = SIGNATURE,
    group: str | None = None,
    seed: int = 0,
    names: Sequence[str] = (),
    **scores: Sequence[float],
) -> Path:
    """A run with these scores by column, as JSON or CSV by the suffix; names are im0, im1 … where none are given."""
    path = Path(path)
    count = len(next(iter(scores.values())))
    names = names or [f"im{i}" for i in range(count)]
    scored = [
        Row(name, f"out/{name}.png", f"gt/{name}.png", 64, 48, {column: scores[column][i] for column in scores})
        for i, name in enumerate(names)
    ]
    results = Results(
        prediction=f"out/{path.stem}",
        target="gt",
        columns=tuple(known()[column] for column in scores),
        rows=(*scored, *rows),
        signature=signature,
    ).resampled(Grouping(group) if group else None, seed)
    path.write_text(REPORTS[path.suffix[1:]](results), encoding="utf-8")
    return path


def noise_file(path: str | Path, **noises: float) -> Path:
    found = {name: noise.ColumnNoise(value, "im0", "one", "other") for name, value in noises.items()}
    Path(path).write_text(noise.render(noise.Noise(found, ("one", "other"), 8)), encoding="utf-8")
    return Path(path)
