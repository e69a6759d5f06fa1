"""How much a score moves when nothing changed: other batch sizes, precisions, devices. Measured, saved, read back."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from relight_eval.errors import ResultsError, shown
from relight_eval.places import Place, content, is_file, place, reason
from relight_eval.results import Results

FORMAT = 1
KIND = "noise"


@dataclass(frozen=True)
class ColumnNoise:
    """The largest difference that the score of one image has between two of the runs, and where it was."""

    noise: float
    image: str = ""
    lowest: str = ""
    highest: str = ""


@dataclass(frozen=True)
class Noise:
    """Of every column, its noise over so many `images`; `runs` are the settings that were tried."""

    columns: Mapping[str, ColumnNoise]
    runs: tuple[str, ...]
    images: int

    @property
    def margins(self) -> dict[str, float]:
        return {name: found.noise for name, found in self.columns.items()}


def measured(runs: Mapping[str, Results]) -> Noise:
    """The noise between runs of the same pairs, by what each was run with."""
    columns = next(iter(runs.values())).columns
    found = {column.name: _of_column(runs, column.name) for column in columns}
    images = len(next(iter(runs.values())).scored)
    return Noise({name: noise for name, noise in found.items() if noise is not None}, tuple(runs), images)


def _of_column(runs: Mapping[str, Results], column: str) -> ColumnNoise | None:
    """None where no image has a finite score in all runs."""
    values = {label: run.values(column) for label, run in runs.items()}
    worst = None
    for image in next(iter(values.values())):
        scores = {label: of_run.get(image, math.nan) for label, of_run in values.items()}
        if not all(map(math.isfinite, scores.values())):
            continue
        lowest, highest = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
        spread = scores[highest] - scores[lowest]
        if worst is None or spread > worst.noise:
            worst = ColumnNoise(spread, image, lowest, highest)
    return worst


def file_beside(baseline: Place) -> Place:
    """Where the noise of a baseline is kept: main.json has main.noise.json."""
    return baseline.parent / f"{baseline.stem}.noise.json"


def of_file(named: str | Place | None, baseline: str | Place | None) -> tuple[dict[str, float], str]:
    """The margins of the file that was named, or else of that beside the baseline, and its path; nothing where none is.

    Raises ResultsError for a file that `load` refuses.
    """
    found = place(named) if named is not None else _beside(place(baseline)) if baseline is not None else None
    return (load(found).margins, shown(found)) if found else ({}, "")


def _beside(baseline: Place) -> Place | None:
    """The noise beside a baseline, if there is one."""
    beside = file_beside(baseline)
    try:
        return beside if is_file(baseline) and is_file(beside) else None
    except OSError as error:
        why = f"it cannot be told whether there is noise beside it ({reason(error)}); name it with --noise"
        raise ResultsError(f"{shown(baseline)}: {why}") from error


def render(noise: Noise) -> str:
    document = {
        "format": FORMAT,
        "kind": KIND,
        "runs": list(noise.runs),
        "images": noise.images,
        "columns": {name: asdict(found) for name, found in noise.columns.items()},
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def load(path: Place) -> Noise:
    """The Noise that `render` wrote. Raises ResultsError for anything else."""
    try:
        document = json.loads(content(path).decode("utf-8"))
        if document["kind"] != KIND or document["format"] != FORMAT:
            raise ValueError(f"kind {document['kind']!r:.60}, format {document['format']!r:.60}")
        columns = {name: ColumnNoise(**found) for name, found in document["columns"].items()}
        for name, found in columns.items():
            if type(found.noise) not in (int, float) or not 0 <= found.noise <= sys.float_info.max:
                raise ValueError(f"{name} has the noise {found.noise!r:.60}")
        return Noise(columns, tuple(document["runs"]), int(document["images"]))
    except OSError as error:
        raise ResultsError(f"{shown(path)}: cannot be read ({reason(error)})") from error
    except KeyError as error:
        raise ResultsError(f"{shown(path)}: is not what `relight-eval calibrate` writes (no {error})") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ResultsError(f"{shown(path)}: is not what `relight-eval calibrate` writes ({error})") from error
