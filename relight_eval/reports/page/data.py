"""What the scripts of a page are given: columns, arrays over the rows, links to the files, and embedded pictures."""

from __future__ import annotations

import json
import math
import os
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from relight_eval.comparison import Comparison, Trend, improvement, trends
from relight_eval.errors import printable
from relight_eval.findings import Finding, findings
from relight_eval.gallery import Gallery, Picture
from relight_eval.magma import COLOURS as MAGMA
from relight_eval.reports.verdicts import blamed
from relight_eval.results import Column, Results, Row
from relight_eval.text import visible

STATUSES = ("ok", "error", "missing_prediction", "missing_target")
DIGITS = 10  # of a score in the page: tables show less, and rounding twice shows in one of 100,000


def plain(words: str) -> str:
    """Words for people, without what would not show, or would turn a line around."""
    return visible(printable(words))


def dumped(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element: ASCII, and neither `<!--` nor `</script>` in it."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def labels_of(comparison: Comparison) -> list[str]:
    """The runs, the baseline first: their place here is what the scripts know them by."""
    return [comparison.baseline, *comparison.others]


def changes_of(comparison: Comparison) -> Iterator[tuple[Column, int, str]]:
    """Every column with every run but the baseline: what there is a change of. The order is that of the data, too."""
    for column in comparison.columns:
        for k, label in enumerate(labels_of(comparison)):
            if label != comparison.baseline:
                yield column, k, label


def addresses(rows: Sequence[Row]) -> list[str]:
    """The fragment of the address of each image, as state.js writes it: with its row where others are shown alike."""
    names = [plain(row.name) for row in rows]
    often = Counter(names)
    return [
        "#" + urlencode({"open": name} | ({"row": str(i)} if often[name] > 1 else {})) for i, name in enumerate(names)
    ]


def of_run(results: Results, gallery: Gallery, place: Path | None, ordered: Sequence[int]) -> dict[str, Any]:
    """Everything that the scripts show, as arrays over the rows, or as objects for what few rows have."""
    rows = results.rows
    found = findings(results)
    kinds = list(dict.fromkeys(finding.kind for row in rows for finding in found.get(row.name, ())))
    shown = set(ordered)
    return _seen({"prediction": rows}, gallery, place) | {
        "columns": [_column(column) for column in results.columns],
        "status": "".join(str(STATUSES.index(row.status)) for row in rows),
        "scores": [[_number(row.scores.get(column.name)) for row in rows] for column in results.columns],
        "order": [*ordered, *(i for i in range(len(rows)) if i not in shown)],
        "errors": {i: plain(row.error) for i, row in enumerate(rows) if row.error},
        "notes": {i: plain(row.note) for i, row in enumerate(rows) if row.note},
        "mistakes": {i: list(map(plain, row.mistakes)) for i, row in enumerate(rows) if row.mistakes},
        "kinds": [plain(kind) for kind in kinds],
        "findings": {
            i: [[kinds.index(finding.kind), plain(finding.words)] for finding in found[row.name]]
            for i, row in enumerate(rows)
            if found.get(row.name)
        },
        "groups": _group_labels(results),
        "rules": [
            {
                "rule": plain(verdict.rule),
                "outcome": verdict.outcome,
                "rows": [i for i, row in enumerate(rows) if row.name in names],
            }
            for verdict in results.verdicts
            for names in [blamed(verdict, results)]
        ],
        "floors": _floor_scores(results),
        "runs": ["prediction"],
        "looked": 0,
        "held": ["r0", "t"],
        "moves": [],
    }


def of_comparison(comparison: Comparison, gallery: Gallery, place: Path | None) -> dict[str, Any]:
    """The same of a comparison, whose columns are changes: of every score and every run but the baseline."""
    labels = labels_of(comparison)
    runs = {label: comparison.runs[label].rows for label in labels}
    rows = runs[comparison.baseline]
    index = {row.name: i for i, row in enumerate(rows)}
    changes = {(column.name, k): comparison.per_image(label, column) for column, k, label in changes_of(comparison)}
    found = {label: comparison.findings[label] for label in comparison.others}
    kinds = list(dict.fromkeys(one.kind for of_run in found.values() for of in of_run.values() for one in of))
    looked = labels.index(comparison.leading())
    return _seen(runs, gallery, place) | {
        "compared": True,
        "columns": [_change_column(column, k) for column, k, _ in changes_of(comparison)],
        "status": "0" * len(rows),
        "scores": [[_number(of.get(row.name)) for row in rows] for of in changes.values()],
        "absolute": {
            column.name: [[_number(row.scores.get(column.name)) for row in runs[label]] for label in labels]
            for column in comparison.columns
        },
        "order": _worst_changes(changes[comparison.by.name, looked], comparison.by, rows),
        "errors": _told({label: [row.error for row in of] for label, of in runs.items()}),
        "notes": _told({label: [row.note for row in of] for label, of in runs.items()}),
        "mistakes": {
            i: [words]
            for i, words in _told(
                {label: ["; ".join(row.mistakes) for row in of] for label, of in runs.items()}
            ).items()
        },
        "kinds": [plain(kind) for kind in kinds],
        "findings": {index[name]: of for name in index if (of := [*_of_runs(found, name, kinds, len(found) > 1)])},
        "groups": _group_labels(comparison.runs[comparison.baseline]),
        "rules": [],
        "floors": {},
        "runs": list(map(plain, labels)),
        "looked": looked,
        "by": comparison.by.name,
        "held": ["r0", f"r{looked}"],
        "moves": [
            {
                "run": labels.index(label),
                "better": [index[name] for name in up],
                "worse": [index[name] for name in down],
            }
            for label in comparison.others
            for up, down in [comparison.moved(label)]
        ],
        "trends": [_trend(comparison, trend) for trend in trends(comparison)],
    }


def _seen(runs: Mapping[str, Sequence[Row]], gallery: Gallery, place: Path | None) -> dict[str, Any]:
    """The images by name, and what there is to be seen of them."""
    rows = next(iter(runs.values()))
    return {
        "names": [plain(row.name) for row in rows],
        "sizes": [[row.width or 0, row.height or 0] for row in rows],
        "sides": _sides(runs, gallery, place),
        **({"masks": links([row.mask for row in rows], place)} if any(row.mask for row in rows) else {}),
        "maps": _maps(gallery),
        "pictures": bool(gallery.pictures or gallery.thumbnails),
        "magma": MAGMA.tobytes().hex(),
    }


def _told(words: Mapping[str, Sequence[str]]) -> dict[int, str]:
    """What is to be said of an image in any run, by row: what is said of all runs alike, once."""
    told = {}
    for i, of_image in enumerate(zip(*words.values(), strict=True)):
        if len(set(of_image)) == 1 and of_image[0]:
            told[i] = plain(of_image[0])
        elif any(of_image):
            told[i] = "; ".join(plain(f"{label}: {said}") for label, said in zip(words, of_image, strict=True) if said)
    return told


def _change_column(column: Column, run: int) -> dict[str, Any]:
    """A column of changes. Of what has one best value, it is the distance from it that changes: lower is better."""
    better = "higher" if column.better == "higher" else "none" if column.better == "none" else "lower"
    meaning = f"change of {column.meaning}"
    described = _column(column) | {"of": column.name, "better": better, "identical": 0.0, "meaning": meaning}
    return described | {"name": f"{column.name}@{run}", "run": run, "signed": True}


def _worst_changes(changes: Mapping[str, float], by: Column, rows: Sequence[Row]) -> list[int]:
    """The rows, those that became worse the most first; those without the score last."""
    merit = {name: improvement(change, by) for name, change in changes.items()}
    return sorted(range(len(rows)), key=lambda i: merit.get(rows[i].name, math.inf))


def _of_runs(
    found: Mapping[str, Mapping[str, Sequence[Finding]]], name: str, kinds: Sequence[str], several: bool
) -> Iterator[list[Any]]:
    """What is wrong with an image, run by run."""
    for label, of_run in found.items():
        for finding in of_run.get(name, ()):
            yield [kinds.index(finding.kind), plain(f"{label}: {finding.words}" if several else finding.words)]


def _trend(comparison: Comparison, trend: Trend) -> dict[str, Any]:
    """The means over the steps of training, with their intervals."""
    of = [comparison.summaries[label][trend.column.name] for label in comparison.steps]
    return {
        "column": trend.column.name,
        "arrow": trend.column.arrow,
        "said": trend.said,
        "steps": list(comparison.steps.values()),
        "means": [_number(found.mean) for found in of],
        "low": [_number(found.ci95[0]) for found in of],
        "high": [_number(found.ci95[1]) for found in of],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "label": column.name,
        "short": column.short,
        "run": 0,
        "metric": column.metric,
        "main": column.main,
        "better": column.better,
        "arrow": column.arrow.strip(),
        "identical": _number(column.identical),
        "unit": column.unit,
        "meaning": column.meaning,
    }


def _number(value: float | None) -> float | str | None:
    """A score as JSON has it, which lacks infinity."""
    if value is None or math.isnan(value):
        return None
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _group_labels(results: Results) -> list[dict[str, Any]]:
    """Of every name of a group, its values and which of them each row has."""
    groups = []
    for name in results.grouping.names if results.grouping else ():
        labels = results.grouping.labels(name, (row.name for row in results.rows)) if results.grouping else {}
        shown = [plain(labels[row.name]) for row in results.rows]
        position = {value: i for i, value in enumerate(dict.fromkeys(shown))}
        groups.append({"name": plain(name), "values": list(position), "of": [position[value] for value in shown]})
    return groups


def _floor_scores(results: Results) -> dict[str, dict[str, list[float | str | None]]]:
    """floor -> column -> score of every row."""
    floors: dict[str, dict[str, None]] = {}
    for row in results.rows:
        for floor, scores in row.floors.items():
            floors.setdefault(floor, {}).update(dict.fromkeys(scores))
    return {
        plain(floor): {
            column: [_number(row.floors.get(floor, {}).get(column)) for row in results.rows] for column in columns
        }
        for floor, columns in floors.items()
    }


def _sides(runs: Mapping[str, Sequence[Row]], gallery: Gallery, place: Path | None) -> list[dict[str, Any]]:
    """What can be looked at of an image: the key under which it is embedded, and links to the files."""
    rows = next(iter(runs.values()))
    predictions = [
        {"key": f"r{k}", "label": plain(label), **links([row.prediction for row in of_run], place)}
        for k, (label, of_run) in enumerate(runs.items())
    ]
    target = {"key": "t", "label": "target", **links([row.target for row in rows], place)}
    sides = [*predictions, target] if len(runs) == 1 else [target, *predictions]
    if any(row.input for row in rows) or any(picture.input for picture in gallery.pictures.values()):
        sides.append({"key": "i", "label": "input", **links([row.input for row in rows], place)})
    return sides


def links(paths: Sequence[str], place: Path | None) -> dict[str, Any]:
    """Links to files, null where there is no file, or none to link; of those at addresses, `addresses` to be read."""
    found = [plain(path) if "://" in path else None for path in paths]
    return _shared([link(path, place) for path in paths]) | ({"addresses": _shared(found)} if any(found) else {})


def _shared(texts: Sequence[str | None]) -> dict[str, Any]:
    """Texts, what they begin with alike written once."""
    there = [text for text in texts if text is not None]
    common = os.path.commonprefix([min(there), max(there)]) if there else ""  # noqa: RUF071 (of texts, not of paths)
    return {"base": common, "links": [None if text is None else text[len(common) :] for text in texts]}


def link(path: str, place: Path | None) -> str | None:
    r"""The address of a file as the page has to write it, whatever bytes its name is made of.

    None for an address, and for a path that names another machine, as `\\server\share` and `//server/share`: saved
    results can come from anywhere, and a page asks nothing of any network.
    """
    if not path or "://" in path or (path[0] in "/\\" and path[1:2] in ("/", "\\")):
        return None
    absolute = Path(os.path.abspath(path))
    if place is None or absolute.drive != Path(os.path.abspath(place)).drive:
        return absolute.as_uri()
    relative = os.path.relpath(absolute, os.path.abspath(place.parent))
    return quote(os.fsencode(relative.replace(os.sep, "/")))


def _maps(gallery: Gallery) -> list[dict[str, Any]]:
    """The maps that some picture has, with the ends of their scale."""
    return [
        {
            "name": plain(name),
            "low": gallery.scales.get(name, (0.0, 1.0))[0],
            "high": gallery.scales.get(name, (0.0, 1.0))[1],
            "meaning": plain(gallery.meanings.get(name, "")),
        }
        for name in _map_names(gallery)
    ]


def _map_names(gallery: Gallery) -> list[str]:
    pictures = gallery.pictures.values()
    return list(dict.fromkeys(name for picture in pictures for maps in picture.maps.values() for name in maps))


def embedded(rows: Sequence[Row], gallery: Gallery, labels: Sequence[str]) -> Iterator[Markup]:
    """Every picture as an element that is no script: the browser reads over it until the page asks for it."""
    maps = _map_names(gallery)
    for i, row in enumerate(rows):
        for key, encoded in _pictures_of(row.name, gallery, labels, maps):
            yield Markup(f'<script type="text/plain" id="{key.format(i)}">{b64encode(encoded).decode()}</script>\n')


def _pictures_of(
    name: str, gallery: Gallery, labels: Sequence[str], maps: Sequence[str]
) -> Iterator[tuple[str, bytes]]:
    """The pictures of an image with their keys: `s` small, `p` large, then the row, the side, and the map."""
    for size, pictures in (("s", gallery.thumbnails), ("p", gallery.pictures)):
        if name in pictures:
            for key, encoded in _sides_of(pictures[name], labels, maps):
                yield f"{size}{{}}-{key}", encoded


def _sides_of(picture: Picture, labels: Sequence[str], maps: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    yield "t", picture.target
    if picture.input is not None:
        yield "i", picture.input
    for k, label in enumerate(labels):
        if label in picture.predictions:
            yield f"r{k}", picture.predictions[label]
        for map_name, encoded in picture.maps.get(label, {}).items():
            yield f"r{k}-m{maps.index(map_name)}", encoded
