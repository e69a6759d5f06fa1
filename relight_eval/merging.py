"""The parts of a run that was split by hand -> the run, as it would be had it been scored at once.

Every part says which it is of how many, and of which names (`Results.shard`): so one that is missing, is there twice,
or is of another run is told, and no part is taken for the whole.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from relight_eval.errors import ResultsError
from relight_eval.pairs import natural_key
from relight_eval.results import ENVIRONMENT, SPREAD, Results, Row, Shard, with_twins
from relight_eval.text import counted, some

Part = tuple[str, Results, Shard]  # the name of its file, what is in it, which part it is

# What may differ between parts, when somebody says that these folders are the same under several names.
FOLDERS = ("prediction", "target")


def digest(sides: Mapping[str, str]) -> str:
    """One number (SHA-256, hexadecimal) of the names of a run; name -> the side that lacks it, empty for a pair.

    Nothing else is in it: not the folders, not how images are scored.
    """
    told = "".join(f"{name}\0{sides[name]}\0" for name in sorted(sides))
    return hashlib.sha256(told.encode()).hexdigest()


def merged(files: Iterable[tuple[str, Results]], *, force: bool = False) -> Results:
    """The run of these parts, each with the name of its file, in any order: equal to one that was scored at once.

    What the parts were computed with may differ, as in `compare`: the signature then has all of it, and a warning says
    so. Raises ResultsError for what is no part, parts of different runs or scored in different ways, parts that were
    stopped, that are missing or that are there twice. With `force` the folders of the parts may be called differently.
    """
    parts = sorted((_part(source, results) for source, results in files), key=lambda part: part[2].index)
    _require_one_run(parts)
    _require_all(parts)
    differing = _differing(parts)
    allowed = (*ENVIRONMENT, *(FOLDERS if force else ()))
    if refused := {key: values for key, values in differing.items() if key not in allowed}:
        hint = "; where these are the same images, use --force" if refused.keys() <= {*FOLDERS} else ""
        raise ResultsError(f"the parts do not go together: {_told(refused)}{hint}")
    rows = [row for _, results, _ in parts for row in results.rows]
    _require_names(rows, parts)
    first = parts[0][1]
    mixed = {key: " and ".join(values) for key, values in differing.items() if key in ENVIRONMENT}
    return replace(
        first,
        rows=_in_order(rows),
        signature={**first.signature, **mixed},
        warnings=_warnings(parts, differing),
        seconds=sum(results.seconds for _, results, _ in parts),
        shard=None,
    )


def _part(source: str, results: Results) -> Part:
    if results.shard is None:
        table = source.lower().endswith(".csv")
        what = "a table, which does not say what it is a part of" if table else "a whole run"
        raise ResultsError(f"{source} is {what}; merge takes what `relight-eval score --shard K/N --json` writes")
    return source, results, results.shard


def _require_one_run(parts: Sequence[Part]) -> None:
    """Raises ResultsError unless all are parts of as many, of the same names."""
    (first, _, run), *others = parts
    for source, _, shard in others:
        if shard.of != run.of:
            raise ResultsError(f"{source} is {shard}, but {first} is {run}; merge the parts of one run")
        if (shard.names, shard.digest) != (run.names, run.digest):
            both = f"{shard.names} there, {run.names} here" if shard.names != run.names else f"{run.names} in each"
            raise ResultsError(
                f"{source} and {first} are parts of runs over other names ({both}): score all parts with the same "
                "folders and --glob, when all files are there"
            )


def _require_all(parts: Sequence[Part]) -> None:
    """Raises ResultsError unless every part is there, once, and was scored to its end."""
    for (source, results, shard), (other, again, after) in pairwise(parts):
        if shard.index == after.index:
            how = "with the same content" if results == again else "with another content"
            raise ResultsError(f"{source} and {other} are both {shard}, {how}; leave one out")
    for source, results, shard in parts:
        if results.unfinished:
            left = f"{counted(results.unfinished, 'pair')} still to score"
            raise ResultsError(f"{source}, {shard}, was stopped with {left}; finish it with --resume")
    of = parts[0][2].of
    if missing := [str(index) for index in range(1, of + 1) if index not in {shard.index for _, _, shard in parts}]:
        which = f"part {missing[0]} of {of} is" if len(missing) == 1 else f"parts {some(missing, 20)} of {of} are"
        raise ResultsError(f"{which} missing; score them with --shard, and name the files of all parts")


def _require_names(rows: Iterable[Row], parts: Sequence[Part]) -> None:
    """Raises ResultsError unless the rows are those of the whole: a file can have been changed."""
    _, _, run = parts[0]
    count = Counter(row.name for row in rows)
    if twice := [name for name, times in count.items() if times > 1]:
        where = [source for source, results, _ in parts if any(row.name == twice[0] for row in results.rows)]
        raise ResultsError(f"image {twice[0]!r} is in more than one part, {' and '.join(where)}; score these again")
    if digest({row.name: _lacking(row) for row in rows}) != run.digest:
        raise ResultsError(
            f"the parts have {len(count)} names, which are not the {run.names} of the run that they say they are of: "
            "one of the files was changed; score the parts again"
        )


def _lacking(row: Row) -> str:
    """The side that has no file of this name; empty for a pair."""
    return row.status.removeprefix("missing_") if row.status.startswith("missing_") else ""


def _asked(results: Results, protocol: Iterable[str]) -> dict[str, str]:
    """What the parts of a run have in common, in the words of whoever asks for it, as far as this part can tell.

    `protocol` are the keys of the signatures.
    """
    found = {
        "prediction": results.prediction,
        "target": results.target,
        "columns": ",".join(column.name for column in results.columns),
        "--group": results.grouping.pattern if results.grouping else "nothing",
        "--seed": str(results.seed),
        "--threshold": ",".join(f"{name}={value:g}" for name, value in sorted(results.thresholds.items())) or "nothing",
    }
    if row := next((row for row in results.rows if row.status == "ok"), None):  # has all that was asked for
        metrics = dict.fromkeys(column.metric for column in results.columns if column.name in row.scores)
        found |= {"metrics": ",".join(metrics), "--input": _said(row.input), "--floors": _said(row.floors)}
    return found | {key: results.signature.get(key, "nothing") for key in protocol}


def _said(found: object) -> str:
    return "given" if found else "not given"


def _differing(parts: Sequence[Part]) -> dict[str, dict[str, list[int]]]:
    """What the parts do not have in common: key -> value -> the parts that have it."""
    protocol = dict.fromkeys(key for _, results, _ in parts for key in results.signature if key not in SPREAD)
    asked = {shard.index: _asked(results, protocol) for _, results, shard in parts}
    values: dict[str, dict[str, list[int]]] = {key: {} for key in chain.from_iterable(asked.values())}
    for index, of_part in asked.items():
        for key, value in of_part.items():
            values[key].setdefault(value, []).append(index)
    return {key: found for key, found in values.items() if len(found) > 1}


def _told(differing: Mapping[str, Mapping[str, Sequence[int]]]) -> str:
    """`torch is 2.6 in parts 1, 3 but 2.7 in part 2; ...`"""
    said = []
    for key, values in differing.items():
        where = (f"{value} in part{'s' * (len(of) > 1)} {some([*map(str, of)])}" for value, of in values.items())
        said.append(f"{key} is {' but '.join(where)}")
    return "; ".join(said)


def _in_order(rows: Iterable[Row]) -> tuple[Row, ...]:
    """All rows in natural order, the pairs among them with what no part could know: twins in other parts."""
    ordered = sorted(rows, key=lambda row: natural_key(row.name))
    paired = iter(with_twins([row for row in ordered if not _lacking(row)]))
    return tuple(row if _lacking(row) else next(paired) for row in ordered)


def _warnings(parts: Sequence[Part], differing: Mapping[str, Mapping[str, Sequence[int]]]) -> tuple[str, ...]:
    """What the parts warn of, each once, but for their being parts; and of what they do not have in common."""
    warnings = dict.fromkeys(w for _, results, shard in parts for w in results.warnings if w != shard.note)
    return (*warnings, *([f"the parts were not scored alike: {_told(differing)}"] if differing else []))
