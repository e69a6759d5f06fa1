"""The whole of Results as JSON, and back: signature, columns, aggregates, every pair, verdicts.

The layout is described by `results.schema.json` beside this file. JSON has no inf and no NaN: such a value is null,
and a `reasons` object beside it says what stood there.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, get_args

from relight_eval.errors import ResultsError, UsageError, printable
from relight_eval.findings import THRESHOLDS, each, is_diagnosed
from relight_eval.groups import Grouping
from relight_eval.pairs import natural_key
from relight_eval.results import FORMAT, Better, Column, Results, Row, Shard, Verdict
from relight_eval.statistics import SEED

TOO_FEW = "too few values"
LARGEST = 2**63 - 1  # of whole numbers
SURROGATE = re.compile("[\ud800-\udfff]")


def render(results: Results) -> str:
    return "".join(pieces(results))


def pieces(results: Results) -> Iterator[str]:
    """The document piece by piece: of a million pairs it is 3 GB."""
    return map(_without_surrogates, _document(_contents(results)))


def _contents(results: Results) -> dict[str, Any]:
    """What stands in the document, in iterators what there may be much of."""
    return {
        "format": FORMAT,
        "prediction": results.prediction,
        "target": results.target,
        "signature": dict(results.signature),
        "seed": results.seed,
        "group": results.grouping.pattern if results.grouping else None,
        **({"thresholds": dict(results.thresholds)} if results.thresholds else {}),
        **({"unfinished": results.unfinished} if results.unfinished else {}),
        **({"shard": asdict(results.shard) | {"ignored": results.ignored}} if results.shard else {}),
        "warnings": list(results.warnings),
        "columns": [_column(column) for column in results.columns],
        "aggregate": {column.name: _aggregate(results, column.name) for column in results.columns},
        **({"groups": _groups(results, results.grouping)} if results.grouping else {}),
        "pairs": (_pair(results, row) for row in results.rows if not row.status.startswith("missing_")),
        "unpaired": map(_unpaired, results.unpaired),
        "verdicts": [_verdict(verdict) for verdict in results.verdicts],
    }


def dumped(document: dict[str, Any]) -> str:
    """The document as strict JSON; a byte of a name that is not UTF-8 is a text with `\\udcff` in it, as in the CSV."""
    return _without_surrogates("".join(_document(document)))


def _without_surrogates(text: str) -> str:
    return SURROGATE.sub(lambda half: "\\" + printable(half[0]), text)


def _document(contents: Mapping[str, Any]) -> Iterator[str]:
    """What `json.dumps(contents, indent=1)` makes, where an iterator stands for a list."""
    begin = "{"
    for key, value in contents.items():
        yield f"{begin}\n {_encoder(0)(key)}: "
        yield from _list(value) if isinstance(value, Iterator) else (_indented(value, 1),)
        begin = ","
    yield "\n}\n"


def _list(values: Iterator[Any]) -> Iterator[str]:
    begin = "["
    for value in values:
        yield f"{begin}\n  {_indented(value, 2)}"
        begin = ","
    yield "\n ]" if begin == "," else "[]"


def _indented(value: Any, depth: int) -> str:
    """The value as it stands in so many others, each a space further right.

    (With `indent`, `json` encodes in Python. Here C encodes all that holds nothing but numbers and texts.)
    """
    if not isinstance(value, dict | list) or not value:
        return _encoder(0)(value)
    items = value.values() if isinstance(value, dict) else value
    line, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if not any(isinstance(item, dict | list) for item in items):
        text = _encoder(depth + 1)(value)
        return f"{text[0]}{line}{text[1:-1]}{end}{text[-1]}"
    texts = (_indented(item, depth + 1) for item in items)
    if isinstance(value, list):
        return f"[{line}{f',{line}'.join(texts)}{end}]"
    named = (f"{_encoder(0)(key)}: {text}" for key, text in zip(value, texts, strict=True))
    return f"{{{line}{f',{line}'.join(named)}{end}}}"


@cache
def _encoder(depth: int) -> Callable[[Any], str]:
    """Of what is flat, with its items on lines of their own."""
    separators = (",\n" + " " * depth, ": ")
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=separators).encode


def _column(column: Column) -> dict[str, Any]:
    """A column, an open end of its range and an infinite identical value as null."""
    found = {name: finite(value) for name, value in asdict(column).items()}
    return found if column.optional else {name: value for name, value in found.items() if name != "optional"}


def _aggregate(results: Results, column: str) -> dict[str, Any]:
    found = asdict(results.summary(column))
    found["ci95"] = None if math.isnan(found["ci95"][0]) else list(found["ci95"])
    too_few = "inf" if found["infinite"] == found["count"] > 0 else TOO_FEW  # the mean leaves out what is infinite
    reasons = {name: _reason(value, too_few) for name, value in found.items() if finite(value) is None}
    return {name: finite(value) for name, value in found.items()} | ({"reasons": reasons} if reasons else {})


def _groups(results: Results, grouping: Grouping) -> dict[str, Any]:
    """For each name of a group and each of its values: how many scored images, and their means."""
    columns = [column.name for column in results.columns]
    return {
        name: {
            label: {"images": count, "means": {column: means.get(column) for column in columns}}
            for label, (count, means) in results.group_means(name).items()
        }
        for name in grouping.names
    }


def _pair(results: Results, row: Row) -> dict[str, Any]:
    """A pair; what not every run has is left out where it is empty."""
    beside: dict[str, Any] = {"input": row.input, "mask": row.mask, "note": row.note, "mistakes": list(row.mistakes)}
    beside |= {"digests": dict(row.digests), "sha256": dict(row.sha256)}
    if is_diagnosed(row):
        beside["findings"] = [vars(finding) for _, found in each(results, [row]) for finding in found]
    reasons = {name: _reason(value) for name, value in row.scores.items() if finite(value) is None}
    return {
        "image": row.name,
        "prediction": row.prediction,
        "target": row.target,
        "width": row.width,
        "height": row.height,
        "scores": {name: finite(value) for name, value in row.scores.items()},
        "status": row.status,
        "error": row.error,
        **{key: value for key, value in beside.items() if value or key == "findings"},
        **({"floors": {floor: _finite(scores) for floor, scores in row.floors.items()}} if row.floors else {}),
        **({"reasons": reasons} if reasons else {}),
    }


def _finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """(Of a floor only a PSNR can be infinite, where the image is the floor.)"""
    return {name: finite(value) for name, value in scores.items()}


def _unpaired(row: Row) -> dict[str, Any]:
    return {
        "image": row.name,
        "prediction": row.prediction,
        "target": row.target,
        "status": row.status,
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "rule": verdict.rule,
        "outcome": verdict.outcome,
        "undecided": verdict.undecided,
        "line": verdict.line,
        "column": verdict.column,
        "value": finite(verdict.value),
        "threshold": verdict.threshold,
        "judged": len(verdict.judged),
        "unit": verdict.unit,
        "failing": list(verdict.failing),
        **({"reason": verdict.reason} if verdict.reason else {}),
        **({"reasons": {"value": _reason(verdict.value)}} if finite(verdict.value) is None else {}),
    }


def finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _reason(value: float | None, otherwise: str = TOO_FEW) -> str:
    return str(value) if value is not None and math.isinf(value) else otherwise


# Reading it back


def parse(text: str, source: str) -> Results:
    """The Results that `render` wrote. Verdicts, findings and aggregates are not read: they follow from the rest.

    Raises ResultsError, which names the `source` and the place in it, for anything else.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{source}: is no JSON: {error}") from error
    if not isinstance(document, dict) or "format" not in document or "pairs" not in document:
        raise ResultsError(f"{source}: is not what `relight-eval score --json` writes")
    if document["format"] != FORMAT or isinstance(document["format"], bool):
        raise ResultsError(
            f"{source}: has format {document['format']!r:.60}, but this version reads format {FORMAT}; score the "
            "images again, or use the version that wrote it"
        )
    return _read(_Part(document, source, ""))


class _Part:
    """An object somewhere in the document, whose values are taken with the type that they must have."""

    def __init__(self, values: Mapping[str, Any], source: str, path: str) -> None:
        self.values, self.source, self.path = values, source, path

    def wrong(self, key: str, expected: str) -> ResultsError:
        found = f"is {self.values[key]!r:.60}" if key in self.values else "is missing"
        return ResultsError(printable(f"{self.source}: {self.path}{key} {found}; it must be {expected}"))

    def text(self, key: str, among: tuple[str, ...] | None = None) -> str:
        value = self.values.get(key)
        if not isinstance(value, str) or (among and value not in among):
            raise self.wrong(key, " or ".join(among) if among else "a text")
        return printable(value)

    def texts(self, key: str) -> dict[str, str]:
        part = self.part(key)
        return {printable(name): part.text(name) for name in part.values}

    def list_of_texts(self, key: str) -> tuple[str, ...]:
        values = self.values.get(key)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "a list of texts")
        return tuple(printable(value) for value in values)

    def number(self, key: str, null: float | None = None) -> float:
        """A finite number; `null` is what stands for null, where that may be."""
        value = self.values.get(key)
        if value is None and key in self.values and null is not None:
            return null
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            raise self.wrong(key, "a number")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is None and key in self.values:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
            raise self.wrong(key, "a whole number or null")
        return value

    def part(self, key: str) -> _Part:
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return _Part(value, self.source, f"{self.path}{key}.")

    def parts(self, key: str) -> Iterator[_Part]:
        values = self.values.get(key)
        if not isinstance(values, list):
            raise self.wrong(key, "a list")
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise ResultsError(f"{self.source}: {self.path}{key}[{i}] is {value!r:.60}; it must be an object")
            yield _Part(value, self.source, f"{self.path}{key}[{i}].")


def _read(document: _Part) -> Results:
    columns = tuple(_read_column(part) for part in document.parts("columns"))
    names = {column.name for column in columns}
    if len(names) < len(columns):
        raise ResultsError(f"{document.source}: columns has one name twice")
    pairs = [_read_pair(part, names) for part in document.parts("pairs")]
    unpaired = [_read_unpaired(part) for part in document.parts("unpaired")]
    group, seed = document.values.get("group"), document.whole("seed") if "seed" in document.values else None
    try:
        grouping = None if group is None else Grouping(document.text("group"))
    except UsageError as error:
        raise ResultsError(f"{document.source}: {error}") from error
    return Results(
        prediction=document.text("prediction"),
        target=document.text("target"),
        columns=columns,
        rows=tuple(sorted((*pairs, *unpaired), key=lambda row: natural_key(row.name))),
        warnings=document.list_of_texts("warnings"),
        signature=document.texts("signature"),
        grouping=grouping,
        seed=SEED if seed is None else seed,
        thresholds=_read_thresholds(document) if "thresholds" in document.values else {},
        **(_read_shard(document.part("shard")) if "shard" in document.values else {}),
    )


def _read_shard(part: _Part) -> dict[str, Any]:
    """That these are a part of a run, and what of the whole every part holds."""
    index, of, names, ignored = (part.whole(key) for key in ("index", "of", "names", "ignored"))
    if index is None or of is None or not 1 <= index <= of:
        raise part.wrong("index", "a whole number from 1 to the `of` beside it")
    if names is None or ignored is None:
        raise part.wrong("names" if names is None else "ignored", "a whole number")
    return {"shard": Shard(index, of, names, part.text("digest")), "ignored": ignored}


def _read_thresholds(document: _Part) -> dict[str, float]:
    part = document.part("thresholds")
    for name in part.values:
        if name not in THRESHOLDS:
            raise part.wrong(name, f"the threshold of a finding: {', '.join(THRESHOLDS)}")
    return {name: part.number(name) for name in part.values}


def _read_column(part: _Part) -> Column:
    better: Better = part.text("better", get_args(Better))  # type: ignore[assignment]
    return Column(
        name=part.text("name"),
        metric=part.text("metric"),
        better=better,
        low=part.number("low", null=-math.inf),
        high=part.number("high", null=math.inf),
        identical=part.number("identical", null=math.inf),
        meaning=part.text("meaning"),
        unit=part.text("unit"),
        optional=part.truth("optional") if "optional" in part.values else False,
    )


def _read_pair(part: _Part, columns: set[str]) -> Row:
    scores, infinite = part.part("scores"), part.texts("reasons") if "reasons" in part.values else {}
    for name in scores.values:
        if name not in columns:
            raise scores.wrong(name, "a score of one of the columns")
    status = part.text("status", ("ok", "error"))
    return Row(
        name=part.text("image"),
        prediction=part.text("prediction"),
        target=part.text("target"),
        width=part.whole("width"),
        height=part.whole("height"),
        scores={
            name: scores.number(name, null={"inf": math.inf, "-inf": -math.inf}.get(infinite.get(name, "")))
            for name in scores.values
        },
        status=status,  # type: ignore[arg-type]
        error=part.text("error"),
        note=part.text("note") if "note" in part.values else "",
        input=part.text("input") if "input" in part.values else "",
        mask=part.text("mask") if "mask" in part.values else "",
        digests=part.texts("digests") if "digests" in part.values else {},
        sha256=part.texts("sha256") if "sha256" in part.values else {},
        mistakes=part.list_of_texts("mistakes") if "mistakes" in part.values else (),
        floors=_read_floors(part, columns) if "floors" in part.values else {},
    )


def _read_floors(part: _Part, columns: set[str]) -> dict[str, dict[str, float]]:
    floors = part.part("floors")
    found = {}
    for floor in floors.values:
        scores = floors.part(floor)
        for name in scores.values:
            if name not in columns:
                raise scores.wrong(name, "a score of one of the columns")
        found[printable(floor)] = {name: scores.number(name, null=math.inf) for name in scores.values}
    return found


def _read_unpaired(part: _Part) -> Row:
    status = part.text("status", ("missing_prediction", "missing_target"))
    missing = status.removeprefix("missing_")
    return Row(
        name=part.text("image"),
        prediction=part.text("prediction"),
        target=part.text("target"),
        status=status,  # type: ignore[arg-type]
        error=f"no {missing} of this name",
    )
