"""What several runs have in common: whether they were scored alike, and their columns, images and steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from relight_eval.columns import REGIONS, diagnosis
from relight_eval.errors import ResultsError, UsageError
from relight_eval.results import ALIGNED, ENVIRONMENT, Column, Results, Row, signature_differences
from relight_eval.text import counted, some


def require_whole(run: Results, label: str) -> None:
    """Raises ResultsError for a part of a run: what is told of it would be taken for the whole."""
    if run.shard:
        parts = f"put all {run.shard.of} together with `relight-eval merge`"
        raise ResultsError(f"{label}: is {run.shard} of a run, and a whole one is needed; {parts}")


def signature_warnings(runs: Mapping[str, Results], metrics: Sequence[str] | None, force: bool) -> Iterator[str]:
    """What must be said of the signatures; ResultsError when they make the scores incomparable."""
    (first, baseline), *others = runs.items()
    for label, run in others:
        compared = scored_metrics(run) & scored_metrics(baseline)  # what one of them lacks is for `columns`
        compared = compared if metrics is None else compared & set(metrics)
        yield from unlike((label, run), (first, baseline), compared, force=force)


def scored_metrics(run: Results) -> set[str]:
    """The metrics of which a run has scores; what an alignment fitted is none."""
    return {column.metric for column in run.columns if column.metric != "align" and column.name in run.has}


def unlike(run: tuple[str, Results], baseline: tuple[str, Results], metrics: set[str], *, force: bool) -> Iterator[str]:
    """What must be said when two runs, each with its label, were not scored alike, in general or in these metrics.

    Raises ResultsError, unless `force`, when that makes the scores incomparable; what they were computed with does not.
    """
    (label, ours), (first, theirs) = run, baseline
    for name, one in (baseline, run):
        if not one.signature:
            yield f"{name} has no signature (a CSV has none): whether it was scored by the same protocol is not known"
    differing = signature_differences(ours, theirs, metrics)
    protocol = {key: pair for key, pair in differing.items() if key not in ENVIRONMENT}
    both = ours.signature.keys() & theirs.signature.keys()  # a library that only one needed computed nothing here
    differing = {key: pair for key, pair in differing.items() if key in protocol or key in both}
    if protocol and not force:
        raise ResultsError(
            f"{label} and {first} were not scored alike: {told(protocol, label, first)}. "
            "Score them with the same settings, or use --force to compare them all the same"
        )
    if differing:
        yield f"{label} and {first} were not scored alike: {told(differing, label, first)}"


def told(differing: Mapping[str, tuple[str, str]], ours: str, theirs: str) -> str:
    """`wssim is haar,levels=2 in a but haar,levels=3 in b; ...`"""
    return "; ".join(f"{key} is {pair[0]} in {ours} but {pair[1]} in {theirs}" for key, pair in differing.items())


def columns(runs: Mapping[str, Results], metrics: Sequence[str] | None) -> tuple[tuple[Column, ...], list[str]]:
    """The columns to compare, and what must be said of those that are left out.

    That is what no run has; and where not all runs have it, what an option adds to a metric (--align, say), and what
    images may lack.
    """
    every = {column.name: column for run in runs.values() for column in run.columns}
    telling = {name: column for name, column in every.items() if column.better != "none"}
    wanted = {name: column for name, column in telling.items() if metrics is None or column.metric in metrics}
    for metric in metrics or ():
        if metric not in {column.metric for column in every.values()}:
            raise UsageError(
                f"no run has the metric {metric!r}; they have "
                + ", ".join(dict.fromkeys(column.metric for column in every.values()))
            )
    if not wanted:
        of = ", ".join(metrics or sorted({column.metric for column in every.values()}))
        raise UsageError(f"{of}: none of its columns tells how good an image is, so there is nothing to compare")
    scored = {label: run.has for label, run in runs.items()}
    anywhere = set().union(*scored.values())
    of_all = set.intersection(*map(scored_metrics, runs.values()))
    in_all = set.intersection(*scored.values())
    added = [
        name
        for name, column in wanted.items()
        if name in anywhere - in_all and column.metric in of_all and (column.optional or by_option(name))
    ]
    wanted = {name: column for name, column in wanted.items() if name not in added}
    for name, column in wanted.items():
        for label in runs:
            if name in anywhere and name not in scored[label]:
                lacking = {c.metric for c in every.values() if not all(c.name in names for names in scored.values())}
                others = ",".join(dict.fromkeys(c.metric for c in every.values() if c.metric not in lacking))
                instead = f"; or compare what all have with -m {others}" if others else ""
                raise ResultsError(f"{label} has no scores of {name}; score it with -m {column.metric}{instead}")
    columns = tuple(column for name, column in wanted.items() if name in anywhere)
    empty = dict.fromkeys(column.metric for name, column in wanted.items() if name not in anywhere)
    said = [f"{some(added, 5)}: left out, for not all runs have that"] if added else []
    return columns, [*(f"{metric} was left out: no run has it" for metric in empty), *said]


def by_option(column: str) -> bool:
    """Whether the column of this name comes with an option, beside what its metric has anyway."""
    of_input = {found.name for found in diagnosis(input=True)} - {found.name for found in diagnosis()}
    return column.endswith((ALIGNED, *(f"_{region}" for region in REGIONS))) or column in of_input


def gaps(runs: Mapping[str, Results]) -> Iterator[str]:
    """What runs lack by themselves, and not because others do not have it."""
    found: dict[str, list[str]] = {}
    for label, run in runs.items():
        for rows, what in ((run.errors, "could not be scored in full"), (run.unpaired, "without partner")):
            if rows:
                count = counted(len(rows), "image")
                found.setdefault(f"{count} {what}; the first: {rows[0].name} ({rows[0].error})", []).append(label)
    for said, labels in found.items():
        yield f"{', '.join(labels)}: {said}"


def images(runs: Mapping[str, Results]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Of each run the images that not all have, and those that all have."""
    names = {label: [row.name for row in run.scored] for label, run in runs.items()}
    in_all = set.intersection(*map(set, names.values()))
    if not in_all:
        examples = " but ".join(f"{label} has {', '.join(found[:2])}" for label, found in names.items())
        raise ResultsError(f"no image is in all runs: {examples}. Images are compared by name")
    left_out = {label: tuple(name for name in found if name not in in_all) for label, found in names.items()}
    return left_out, [name for name in next(iter(names.values())) if name in in_all]


def other_sizes(runs: Mapping[str, Results], common: Sequence[str]) -> Iterator[str]:
    """Images that have another size in another run: then they were not held against one target."""
    sizes = {
        label: {row.name: f"{row.width}x{row.height}" for row in run.rows if row.width is not None}
        for label, run in runs.items()
    }
    (first, before), *others = sizes.items()
    for label, after in others:
        known = [name for name in common if name in before and name in after]
        if other := [name for name in known if before[name] != after[name]]:
            example = f"{other[0]} is {after[other[0]]}, but {before[other[0]]} in {first}"
            yield f"{label}: of another size than in {first} are {len(other)} of {len(common)} images: {example}"


def other_sides(runs: Mapping[str, Results], common: Sequence[str], *, force: bool) -> Iterator[str]:
    """Images that have another input or mask in another run; ResultsError for masks, unless `force`."""
    (first, baseline), *others = runs.items()
    for label, run in others:
        for side in ("mask", "input"):
            if other := others_beside(run, baseline, side, common):
                said = f"{label}: another {side} than in {first} have {counted(len(other), 'image')}: {some(other, 3)}"
                if side == "mask" and not force:
                    raise ResultsError(f"{said}. Score them with the same masks, or use --force")
                yield said


def others_beside(ours: Results, theirs: Results, side: str, names: Iterable[str]) -> list[str]:
    """Of these images those whose mask or input (`side`) is known of both runs, and not the same."""
    known = [{row.name: row.digests[side] for row in run.rows if side in row.digests} for run in (ours, theirs)]
    return [name for name in names if len({of.get(name, "") for of in known} - {""}) == 2]


def reduced(runs: Mapping[str, Results], common: Sequence[str], columns: Sequence[Column]) -> dict[str, Results]:
    """The runs with the common images in common order, and of each only the scores that all runs have."""
    rows = {label: {row.name: row for row in run.rows} for label, run in runs.items()}
    names = {image: set.intersection(*(set(of_run[image].scores) for of_run in rows.values())) for image in common}

    def of_run(label: str, image: str) -> Row:
        row = rows[label][image]
        return replace(row, scores={c.name: row.scores[c.name] for c in columns if c.name in names[image]})

    return {
        label: replace(run, rows=tuple(of_run(label, image) for image in common), columns=tuple(columns))
        for label, run in runs.items()
    }


def steps(predictions: Mapping[str, str], pattern: str) -> dict[str, int]:
    """The training step of each run, label -> folder of predictions: found in the label, or else in the folder.

    Raises UsageError for a pattern that does not have one parenthesis, or finds no whole number, or one number twice.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f'--step "{pattern}" is no regular expression: {error}') from error
    if compiled.groups != 1:
        raise UsageError(f'--step "{pattern}" needs one parenthesis around the digits, such as "step_(\\d+)"')
    found_steps = {}
    for label, prediction in predictions.items():
        found = compiled.search(label) or compiled.search(prediction)
        if not found or not str(found[1]).isdecimal():
            where = f"{label} nor in {prediction or 'its path'}"
            raise UsageError(f'--step "{pattern}" finds no whole number in {where}')
        found_steps[label] = int(found[1])
    if len(set(found_steps.values())) < len(found_steps):
        raise UsageError(
            f'--step "{pattern}" finds one step twice: '
            + ", ".join(f"{label} {number}" for label, number in found_steps.items())
        )
    return found_steps
