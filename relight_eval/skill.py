"""What a score is worth: how far above the best trivial prediction, the floor, it lies on the way to perfect."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from relight_eval.results import Column, Results, Row
from relight_eval.statistics import mean


@dataclass(frozen=True)
class Worth:
    """One column beside its floors, over the images that have a finite score of it and of every floor.

    `floors` are the floors' means and `best` names the best of them. `skill` is the share of the way from that to a
    perfect score: 0 on the floor, 1 perfect, negative below the floor; of decibels it is that of the squared error they
    stand for. `better` says of each floor on which share of the images the run is better than it.
    """

    column: Column
    mean: float
    floors: dict[str, float]
    best: str
    skill: float
    better: dict[str, float]
    images: int


def worths(results: Results) -> Iterator[Worth]:
    """Of every column that has floors, what its scores are worth."""
    rows = [row for row in results.rows if row.floors]
    for column in results.columns if rows else ():
        if found := _worth(rows, column):
            yield found


def _worth(rows: Sequence[Row], column: Column) -> Worth | None:
    name = column.name
    kinds = {floor for row in rows for floor, scores in row.floors.items() if name in scores}

    def scores_of(row: Row) -> list[float]:  # NaN where one is lacking
        return [row.scores.get(name, math.nan), *(row.floors.get(kind, {}).get(name, math.nan) for kind in kinds)]

    rows = [row for row in rows if all(map(math.isfinite, scores_of(row)))]
    if not kinds or not rows:
        return None
    scores = np.array([row.scores[name] for row in rows])
    floors = {floor: np.array([row.floors[floor][name] for row in rows]) for floor in rows[0].floors if floor in kinds}
    means = {floor: mean(of) for floor, of in floors.items()}
    best = max(means, key=lambda floor: column.goodness(means[floor]))
    sign = 1 if column.better == "higher" else -1
    return Worth(
        column=column,
        mean=mean(scores),
        floors=means,
        best=best,
        skill=_skill(column, mean(scores), means[best]),
        better={floor: float((sign * (scores - of) > 0).mean()) for floor, of in floors.items()},
        images=len(rows),
    )


def _skill(column: Column, score: float, floor: float) -> float:
    """NaN where the floor is perfect itself."""
    if math.isinf(column.identical):  # decibels
        return float(1 - 10 ** min((floor - score) / 10, 300))  # (no run writes more; a file edited by hand may)
    return (score - floor) / (column.identical - floor) if floor != column.identical else math.nan


# A floor as a sentence calls it.
WORDS = {"input": "copying the input", "black": "a black image", "mean colour": "an image of mean colour"}


def sentence(worth: Worth, floor: str) -> str:
    """`better than copying the input on 78 % of images`."""
    return f"better than {WORDS.get(floor, floor)} on {100 * worth.better[floor]:.0f} % of images"
