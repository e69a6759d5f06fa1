"""Several runs over the same images, each against the first: paired changes, how sure they are, and what that means.

Only images that all runs have scored are compared, so that all means are of the same images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from relight_eval import common
from relight_eval.errors import UsageError, nearest
from relight_eval.findings import Finding, findings
from relight_eval.groups import Grouping
from relight_eval.results import Column, Results, in_memory, paired_changes
from relight_eval.statistics import EXACT, FEWEST, Summary, bootstrap_intervals, holm, paired_p, summary
from relight_eval.statistics import mean as mean_of
from relight_eval.text import counted

SURE = 0.05  # p below which a difference is called one
TIE = 1e-5  # changes up to this are ties where no noise was measured: scores are computed to this
TIE_DB = 1e-4  # the same of decibels
LEVEL = 0.1  # of the whole gain over the steps: what a metric that has levelled off stays within


@dataclass(frozen=True)
class Change:
    """How one column of a run differs from the baseline: of every image, the run's score less the baseline's.

    `mean` and its 95 % `interval` are of finite changes; `infinite` counts the others (the PSNR of an image that is
    identical to its target in one run only). `p` is paired, two-sided and Holm-corrected over the whole table, NaN
    for the columns of single bands and layers, which are not tested. A win is a change for the better by more than
    the tie margin.
    """

    mean: float
    interval: tuple[float, float]
    p: float
    wins: int
    ties: int
    losses: int
    infinite: int


@dataclass(frozen=True)
class Trend:
    """One column over the steps of training: where its mean is best, and whether it still moves.

    It has levelled off since a step when the last step differs from that one and all between by less than a tenth of
    the gain from the first step to the best: the whole 95 % interval of the change must lie within.
    """

    column: Column
    best: str
    said: str


@dataclass(frozen=True)
class Comparison:
    """Runs by label, one of which is the baseline, reduced to the images and scores that all of them have.

    `summaries` hold every column of every run, `changes` every column of every run but the baseline. Where the score of
    an image is infinite in one run, no run's mean has it, so that all means are of the same images. `left_out` are the
    images of a run that others have not. `ties` is the tie margin of every column, and `tie_source` says where
    it comes from. `steps` are the training steps of the runs, empty when they were not asked for; the runs then stand
    in that order. `findings` are of each run and every image that has a diagnosis. `by` is the column that single
    images and groups are sorted by.
    """

    runs: Mapping[str, Results]
    baseline: str
    columns: tuple[Column, ...]
    by: Column
    summaries: Mapping[str, Mapping[str, Summary]]
    changes: Mapping[str, Mapping[str, Change]]
    left_out: Mapping[str, tuple[str, ...]]
    ties: Mapping[str, float]
    tie_source: str
    steps: Mapping[str, int] = field(default_factory=dict)
    findings: Mapping[str, Mapping[str, tuple[Finding, ...]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def main(self) -> tuple[Column, ...]:
        """The first column of every metric: those that are tested."""
        return tuple(column for column in self.columns if column.main)

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(label for label in self.runs if label != self.baseline)

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.runs[self.baseline].rows)

    @property
    def units(self) -> str:
        """What was resampled, and how many there are: `8 images`, `3 scene groups`."""
        grouping = self.runs[self.baseline].grouping
        what = "image" if grouping is None else f"{grouping.names[0]} group"
        return f"{self._count()} {what}" + ("" if self._count() == 1 else "s")

    def _count(self) -> int:
        grouping = self.runs[self.baseline].grouping
        return len(set(grouping.units(self.images)) if grouping else self.images)

    def best(self, column: Column) -> set[str]:
        """The runs with the best mean of this column; several only when the means are equal."""
        standing = {label: self._standing(label, column) for label in self.runs}
        standing = {label: found for label, found in standing.items() if not math.isnan(found)}
        top = max(standing.values(), default=math.nan)
        return {label for label, found in standing.items() if found == top}

    def _standing(self, label: str, column: Column) -> float:
        """How good the mean of a run is; where the best value lies between others, the mean distance from it counts."""
        if column.better != "nearest":
            return column.goodness(self.summaries[label][column.name].mean)
        found = [column.goodness(score) for score in self.runs[label].values(column.name).values()]
        return mean_of(np.array([goodness for goodness in found if math.isfinite(goodness)]))

    def leading(self) -> str:
        """Of the runs beside the baseline, the one that has the best mean of the most metrics."""
        return max(self.others, key=lambda label: sum(label in self.best(column) for column in self.main))

    def per_image(self, label: str, column: Column) -> dict[str, float]:
        """Of every image, the run's score less the baseline's."""
        return paired_changes(self.runs[label], self.runs[self.baseline], column)

    def moved(self, label: str) -> tuple[dict[str, float], dict[str, float]]:
        """The images that got better beyond the tie margin, most first, and those that got worse: their change."""
        changes = self.per_image(label, self.by)
        order = sorted(changes, key=lambda image: improvement(changes[image], self.by))
        tie = self.ties[self.by.name]
        better = {image: changes[image] for image in reversed(order) if improvement(changes[image], self.by) > tie}
        worse = {image: changes[image] for image in order if improvement(changes[image], self.by) < -tie}
        return better, worse

    def infinite(self, column: Column) -> int:
        """How many images are identical to their target in some run: those that the means leave out."""
        found = [self.runs[label].values(column.name) for label in self.runs]
        return len({image for values in found for image, score in values.items() if math.isinf(score)})

    @property
    def tests(self) -> int:
        """How many p values there are: over so many they are corrected."""
        return sum(not math.isnan(change.p) for of_run in self.changes.values() for change in of_run.values())

    def too_few(self) -> str:
        """Why nothing can be told of so few images, however they differ; empty where something can."""
        count, are = self._count(), "is" if self._count() == 1 else "are"
        if count < FEWEST:
            return f"{self.units} {are} too few to tell: intervals and tests need {FEWEST}"
        if count <= EXACT and 2.0 ** (1 - count) * self.tests >= SURE:
            needed = min(math.floor(math.log2(self.tests / SURE)) + 2, EXACT + 1)
            smallest = f"the smallest possible p is above {SURE}; it takes {needed}"
            return f"{self.units} are too few for {self.tests} tests: {smallest}, or fewer tests (-m, or fewer runs)"
        return ""


def improvement(change: float, column: Column) -> float:
    """The change with the sign that makes it larger when the column got better."""
    return change if column.better == "higher" else -change


def by_change(comparison: Comparison) -> list[str]:
    """The images, those first whose column `by` changed most in any run, for better or worse."""
    largest: dict[str, float] = dict.fromkeys(comparison.images, 0.0)
    for label in comparison.others:
        for image, change in comparison.per_image(label, comparison.by).items():
            largest[image] = max(largest[image], abs(change))
    return sorted(largest, key=lambda image: -largest[image])


def sorted_by(columns: Sequence[Column], name: str | None) -> Column:
    """The column of this name, the first for None; UsageError when there is none."""
    columns = [column for column in columns if column.better != "none"]
    for column in columns:
        if name in (None, column.name):
            return column
    raise UsageError(f"--by {name}: there is no such column; {nearest(name or '', [c.name for c in columns])}")


def compare(
    runs: Mapping[str, Results],
    *,
    metrics: Sequence[str] | None = None,
    grouping: Grouping | None = None,
    seed: int = 0,
    noise: Mapping[str, float] | None = None,
    noise_source: str = "",
    step: str | None = None,
    by: str | None = None,
    force: bool = False,
) -> Comparison:
    """Compares each run with the first, or where steps are asked for, with the earliest.

    `metrics` limits the columns; None takes all. Images are sorted `by` a column. `noise` is the tie margin of the
    columns, and `noise_source` where it was measured; `step` a pattern with one parenthesis that finds the training
    step in a label. Raises ResultsError when the runs do not go together: other signatures (unless `force`), other
    columns, no common image, a part of a run. Raises UsageError for a pattern that does not match, and for a metric or
    column that no run has.
    """
    if len(runs) < 2:
        raise UsageError("compare needs two runs or more: saved results, or folders of predictions with --target")
    for label, run in runs.items():
        common.require_whole(run, label)
    warnings = [*dict.fromkeys(common.signature_warnings(runs, metrics, force))]
    columns, left_out_columns = common.columns(runs, metrics)
    warnings += left_out_columns
    warnings += common.gaps(runs)
    left_out, names = common.images(runs)
    warnings += common.other_sizes(runs, names)
    warnings += common.other_sides(runs, names, force=force)
    thresholds = next(iter(runs.values())).thresholds
    if any(run.thresholds != thresholds for run in runs.values()):
        warnings.append(f"the runs were saved with other thresholds; all are told with those of {next(iter(runs))}")
    if grouping:
        grouping.require(names)
    at = common.steps({label: run.prediction for label, run in runs.items()}, step) if step is not None else {}
    order = sorted(runs, key=lambda label: at[label]) if at else list(runs)
    baseline = order[0]
    reduced = {label: run.resampled(grouping, seed) for label, run in common.reduced(runs, names, columns).items()}
    reduced = {label: reduced[label] for label in order}
    ties = {column.name: (noise or {}).get(column.name, TIE_DB if column.unit == "dB" else TIE) for column in columns}
    changes = {
        label: _changes(reduced[label], reduced[baseline], columns, ties) for label in order if label != baseline
    }
    summaries = {column.name: _summaries(reduced, column) for column in columns}
    return Comparison(
        runs=reduced,
        baseline=baseline,
        columns=columns,
        by=sorted_by(columns, by),
        summaries={label: {name: found[label] for name, found in summaries.items()} for label in reduced},
        changes=_corrected(changes),
        left_out=left_out,
        ties=ties,
        tie_source=_tie_source(columns, noise or {}, noise_source),
        steps={label: at[label] for label in order} if at else {},
        findings={label: _findings(replace(runs[label], thresholds=thresholds), names) for label in order},
        warnings=tuple(warnings),
    )


def _findings(run: Results, names: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """What is wrong with these images of a run, of which the reduced runs do not have all that tells it."""
    found = findings(run)
    return {name: found[name] for name in names if name in found}


# The arithmetic


def _summaries(runs: Mapping[str, Results], column: Column) -> dict[str, Summary]:
    """The summary of each run, its mean, std and interval of the images whose score is finite in all runs."""
    scores = {label: run.values(column.name) for label, run in runs.items()}
    images = next(iter(scores.values()))
    finite = [image for image in images if all(math.isfinite(of_run[image]) for of_run in scores.values())]
    return {label: _summary(run, column, scores[label], finite) for label, run in runs.items()}


def _summary(run: Results, column: Column, scores: Mapping[str, float], finite: Sequence[str]) -> Summary:
    found = run.summary(column.name)
    if len(finite) == found.count - found.infinite:
        return found
    groups = run.grouping.units(finite) if run.grouping else None
    shared = summary([scores[image] for image in finite], groups, seed=run.seed)
    return replace(found, mean=shared.mean, std=shared.std, ci95=shared.ci95)


def _tie_source(columns: Sequence[Column], noise: Mapping[str, float], source: str) -> str:
    default = f"up to {TIE:g} ({TIE_DB:g} dB)"
    measured = [column for column in columns if column.name in noise]
    if not measured:
        return f"{default}; `relight-eval calibrate` measures the noise of a machine"
    rest = _names([column for column in columns if column not in measured])
    return f"within the noise in {source}" + (f", {default} for {rest}" if rest else "")


def _changes(
    run: Results, baseline: Results, columns: Sequence[Column], ties: Mapping[str, float]
) -> dict[str, Change]:
    """Of every column. `p` is not corrected yet."""
    images, groups = [row.name for row in run.rows], _groups(run)
    found = {}
    for some in in_memory(columns, len(images)):
        changes = [_in_order(paired_changes(run, baseline, column), images) for column in some]
        intervals = bootstrap_intervals(changes, groups, seed=run.seed)
        for column, of_images, interval in zip(some, changes, intervals, strict=True):
            p = _p(of_images, groups) if column.main else math.nan
            found[column.name] = _change(column, of_images[~np.isnan(of_images)], interval, p, ties[column.name])
    return found


def _groups(run: Results) -> list[str] | None:
    """The group of every image."""
    return run.grouping.units(row.name for row in run.rows) if run.grouping else None


def _in_order(values: Mapping[str, float], images: Sequence[str]) -> NDArray[np.float64]:
    """The value of each image, NaN where it has none."""
    return np.array([values.get(image, math.nan) for image in images])


def _p(changes: NDArray[np.float64], groups: Sequence[str] | None) -> float:
    """Of the finite changes."""
    finite = np.isfinite(changes)
    return paired_p(changes[finite], None if groups is None else list(compress(groups, finite)))


def _change(
    column: Column, changes: NDArray[np.float64], interval: tuple[float, float], p: float, tie: float
) -> Change:
    better = changes * (1 if column.better == "higher" else -1)
    wins, losses = int((better > tie).sum()), int((better < -tie).sum())
    finite = changes[np.isfinite(changes)]
    return Change(
        mean=mean_of(finite),
        interval=interval,
        p=p,
        wins=wins,
        ties=len(changes) - wins - losses,
        losses=losses,
        infinite=len(changes) - len(finite),
    )


def _corrected(changes: dict[str, dict[str, Change]]) -> dict[str, dict[str, Change]]:
    """With the p of the whole table corrected."""
    places = [(label, name) for label, of_run in changes.items() for name in of_run]
    ps = holm([changes[label][name].p for label, name in places])
    for (label, name), p in zip(places, ps, strict=True):
        changes[label][name] = replace(changes[label][name], p=p)
    return changes


# What it means


def words(comparison: Comparison) -> list[str]:
    """The comparison in sentences: who leads, where metrics disagree, what the images are too few for."""
    said = [_leading(comparison)]
    if too_few := comparison.too_few():
        return [*said, f"{too_few}."]
    sentences: dict[str, list[str]] = {}  # what is said -> of which runs
    for label in comparison.others:
        for sentence in _told_of(comparison, label):
            sentences.setdefault(sentence, []).append(label)
    for sentence, labels in sentences.items():
        every, any_ = _joined(labels, "and"), _joined(labels, "or")
        said.append(sentence.format(every=every, any=any_, are="is" if len(labels) == 1 else "are"))
    return said


def _joined(labels: Sequence[str], word: str) -> str:
    """`a, b and c`."""
    return f" {word} ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))


def _leading(comparison: Comparison) -> str:
    main = comparison.main
    firsts = {label: [c.name for c in main if comparison.best(c) == {label}] for label in comparison.runs}
    label = max(firsts, key=lambda label: len(firsts[label]))
    shared = any(comparison.best(c) != set(comparison.runs) for c in main if comparison.best(c))
    rest = [f"{other} on {', '.join(names)}" for other, names in firsts.items() if names and other != label]
    if not any(map(comparison.best, main)):
        return "No run leads: there is no mean to compare." if main else "Single bands and layers alone are not tested."
    if not firsts[label]:
        return "No run leads alone: the best means are shared." if shared else "No run leads: all means are equal."
    if not rest:
        return f"{label} has the best mean of {_all_of(firsts[label], len(main))}."
    return f"The means disagree: {label} leads on {', '.join(firsts[label])}; {'; '.join(rest)}."


def _all_of(names: Sequence[str], count: int) -> str:
    return (f"all {count} metrics" if count > 2 else "both metrics") if len(names) == count > 1 else ", ".join(names)


def _told_of(comparison: Comparison, label: str) -> Iterator[str]:
    """What is sure of one run, and how small a difference would not have shown.

    {every} and {any} stand for the run, or the runs of which the same is said, and {are} for the verb.
    """
    better: list[Column] = []
    worse: list[Column] = []
    open_: list[Column] = []
    baseline = comparison.baseline.replace("{", "{{").replace("}", "}}")
    for column in comparison.main:
        change, tie = comparison.changes[label][column.name], comparison.ties[column.name]
        sure = change.p < SURE and abs(change.mean) > tie  # what is sure may still be a matter of another machine
        up = (change.mean > 0) == (column.better == "higher")
        if sure:
            (better if up else worse).append(column)
        elif not change.infinite:
            open_.append(column)
    parts = [f"{word} on {_names(found)}" for word, found in (("better", better), ("worse", worse)) if found]
    if parts:
        disagree = ": the metrics disagree" if better and worse else ""
        yield f"{{every}} {{are}} {' and '.join(parts)} than {baseline} (p < {SURE}){disagree}."
    if open_:
        unseen = _unseen(comparison, label, open_)
        yield f"No difference between {{any}} and {baseline} can be told on {_names(open_)}{unseen}."
    for column in comparison.main:
        if comparison.changes[label][column.name].infinite:
            yield f"{{every}} against {baseline}: by {column.name}, {_infinite(comparison, label, column)}."


def _infinite(comparison: Comparison, label: str, column: Column) -> str:
    """`1 image became identical to its target and 2 ceased to be so`: what infinite changes mean."""
    changes = comparison.per_image(label, column).values()
    became, ceased = (sum(improvement(change, column) == end for change in changes) for end in (math.inf, -math.inf))
    identical = f"identical to {'its target' if (became or ceased) == 1 else 'their targets'}"
    if not became:
        return f"{counted(ceased, 'image')} ceased to be {identical}"
    return f"{counted(became, 'image')} became {identical}" + (f" and {ceased} ceased to be so" if ceased else "")


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _unseen(comparison: Comparison, label: str, columns: Sequence[Column]) -> str:
    """How large a change would have to be to show over these images: half the width of the interval, or a tie."""
    widths = []
    for column in columns:
        low, high = comparison.changes[label][column.name].interval
        if high > low:
            least = max((high - low) / 2, comparison.ties[column.name])
            widths.append(f"{least:.2g} {column.unit}".rstrip() + f" of {column.name}")
    return f": with {comparison.units}, changes below about {', '.join(widths)} do not show" if widths else ""


def trends(comparison: Comparison) -> list[Trend]:
    """Each metric over the steps of training; empty unless there are three steps or more."""
    if len(comparison.steps) < 3:
        return []
    return [_trend(comparison, column) for column in comparison.main if comparison.best(column)]


def _trend(comparison: Comparison, column: Column) -> Trend:
    labels = list(comparison.steps)
    means = {label: comparison.summaries[label][column.name].mean for label in labels}
    best = max(labels, key=lambda label: column.goodness(means[label]))
    last, tie = labels[-1], comparison.ties[column.name]
    gains = _gains(comparison, column)
    level = max(tie, LEVEL * abs(means[best] - means[labels[0]]))
    alike = [-level <= low and high <= level for low, high in gains]
    unsure = [low <= tie and high >= -tie for low, high in gains]
    if any(math.isnan(low) for low, _ in gains):
        said = "too few to tell"
    elif best != last and gains[labels.index(best)][1] < -tie:
        said = f"worse than at {comparison.steps[best]}"
    elif alike[-1]:
        said = f"levelled off since {_since(comparison, labels, alike)}"
    elif unsure[-1]:
        said = f"no sure change since {_since(comparison, labels, unsure)}"
    else:
        said = "still improving" if gains[-1][0] > 0 else "getting worse"
    return Trend(column, best, said)


def _since(comparison: Comparison, labels: Sequence[str], holds: Sequence[bool]) -> int:
    """The earliest step from which on this holds."""
    return comparison.steps[labels[next(i for i in range(len(holds)) if all(holds[i:]))]]


def _gains(comparison: Comparison, column: Column) -> list[tuple[float, float]]:
    """The intervals of how much better the last step is than each before."""
    *before, last = (comparison.runs[label] for label in comparison.steps)
    sign = 1 if column.better == "higher" else -1
    changes = [sign * _in_order(paired_changes(last, run, column), comparison.images) for run in before]
    return bootstrap_intervals(changes, _groups(last), seed=last.seed)
