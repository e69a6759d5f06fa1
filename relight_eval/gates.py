"""What rules say of a run: Results + Rules -> Verdicts.

A rule against a number is held against the statistic that it names. A rule against a baseline is held against the
paired changes, image by image. `mean wssim drop <= 0.005` is a test of non-inferiority: it passes when the whole
95 % interval of the mean change lies within the margin, fails when the whole interval lies beyond it, and else says
that it cannot tell.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from relight_eval.common import others_beside, require_whole
from relight_eval.errors import UsageError
from relight_eval.results import Results, Verdict, paired_changes
from relight_eval.rules import COMPARE, OPPOSITE, Level, Rule
from relight_eval.statistics import FEWEST, bootstrap_interval, mean, quantile
from relight_eval.text import agreeing, counted, exact, some


def judge(
    results: Results,
    rules: Iterable[Rule],
    *,
    baseline: Results | None = None,
    noise: Mapping[str, float] | None = None,
    strict: bool = False,
) -> tuple[Verdict, ...]:
    """What each rule says of a run, in order; before them, whether the images of the baseline are all there.

    `noise` is, for each column, by how much the score of an image moves when nothing changed: margins below it are
    raised to it. `strict`: that a rule cannot tell counts as its failing; of a run that was stopped, none can tell that
    it passes. The rules must have passed `require`. Raises ResultsError for a part of a run.
    """
    rules = list(rules)
    if rules or baseline:
        require_whole(results, "this run")
    if baseline:
        require_whole(baseline, "the baseline")
    verdicts = [] if baseline is None else [_all_there(results, baseline)]
    for rule in rules:
        if rule.change:
            assert baseline is not None, "`require` lets no such rule pass without a baseline"
            verdicts.append(_of_change(rule, results, baseline, (noise or {}).get(rule.column, 0.0), strict))
        else:
            verdicts.append(_of_scores(rule, results))
    return tuple(_so_far(verdict, results.unfinished, strict) for verdict in verdicts)


def _so_far(verdict: Verdict, unfinished: int, strict: bool) -> Verdict:
    """A rule that passes of a run that was stopped has not passed: it cannot tell."""
    if not unfinished or verdict.outcome != "pass":
        return verdict
    line = f"{verdict.line}, so far: {counted(unfinished, 'image')} {'is' if unfinished == 1 else 'are'} still to score"
    return replace(verdict, outcome="fail" if strict else "warn", undecided=True, line=line)


def _all_there(results: Results, baseline: Results) -> Verdict:
    here, before = ({row.name for row in run.scored} for run in (results, baseline))
    gone = tuple(row.name for row in baseline.scored if row.name not in here)
    new = [row.name for row in results.scored if row.name not in before]
    line = (
        f"{len(gone)} of {len(before)} images of the baseline are gone, or were not scored: {some(gone)}"
        if gone
        else f"all {len(before)} images of the baseline are there"
    )
    if not before:
        line = "the baseline has no scored image, and a rule over nothing does not pass"
    if new:
        line += f"; {len(new)} new: {some(new)}"
    if other := others_beside(results, baseline, "mask", sorted(here & before)):
        line += f"; {counted(len(other), 'image')} with another mask: {some(other)}"
    return Verdict(
        rule="images of the baseline",
        outcome="fail" if gone or other or not before else "pass",
        line=line,
        value=float(len(gone)),
        threshold=0.0,
        each=True,
        judged={row.name: float(row.name in gone or row.name in other) for row in baseline.scored},
        failing=(*gone, *other),
    )


def _of_scores(rule: Rule, results: Results) -> Verdict:
    scores = {name: score for name, score in results.values(rule.column).items() if _is_about(rule, name)}
    if not scores:
        return _of_nothing(rule)
    about = sum(_is_about(rule, row.name) for row in results.scored)
    have = "has" if len(scores) == 1 else "have"
    lacking = f"{len(scores)} of {counted(about, 'image')} {have} it" if about > len(scores) else ""
    if rule.group:
        return _of_each(rule, _by_group(rule, results, scores), unit=rule.group, note=f"; {lacking}" if lacking else "")
    if rule.statistic == "each":
        return _of_each(rule, scores, of=about)
    value = _statistic(rule, list(scores.values()))
    passed = COMPARE[rule.op](value, rule.threshold)
    infinite = sum(math.isinf(score) for score in scores.values()) if rule.statistic == "mean" else 0
    left_out = f", {infinite} infinite left out" if 0 < infinite < len(scores) else ""
    left_out += f", {lacking}" if lacking else ""
    return Verdict(
        rule=str(rule),
        outcome="pass" if passed else rule.level,
        line=f"{rule.subject} {relation(rule, value)} (by {_apart(value, rule.threshold)}{left_out})",
        value=value,
        threshold=rule.threshold,
        op=rule.op,
        column=rule.column,
        judged=scores,
        failing=_beyond(rule, scores),
        reason=rule.reason,
    )


def _of_nothing(rule: Rule) -> Verdict:
    which = f" that matches {rule.images!r}" if rule.images else ""
    where = " both here and in the baseline" if rule.change else ""
    return Verdict(
        rule=str(rule),
        outcome=rule.level,
        line=f"{rule.subject}: no image{which} has {rule.column}{where}, and a rule over nothing does not pass",
        value=math.nan,
        threshold=rule.threshold,
        op=rule.op,
        column=rule.column,
        reason=rule.reason,
    )


def _of_each(
    rule: Rule, judged: Mapping[str, float], *, unit: str = "image", of: int | None = None, note: str = ""
) -> Verdict:
    """Every image, or every group, has to pass by itself. `of`: how many there are, with those that lack the column."""
    failing = _beyond(rule, judged)
    worst = (min if rule.op[0] == ">" else max)(judged, key=lambda name: judged[name])
    every = counted(len(judged), "image" if unit == "image" else f"{unit} group")
    if of is not None and of > len(judged):
        every += f" of {of} that {'has' if len(judged) == 1 else 'have'} it"
    if failing:
        found = f"{rule.subject}: {len(failing)} of {every} {OPPOSITE[rule.op]} {exact(rule.threshold)}"
    else:
        found = f"{rule.subject} {rule.op} {exact(rule.threshold)}: all {every}"
    value = agreeing(judged[worst], rule.threshold)
    return Verdict(
        rule=str(rule),
        outcome=rule.level if failing else "pass",
        line=f"{found} (worst {value}, by {_apart(judged[worst], rule.threshold)}{note})",
        value=judged[worst],
        threshold=rule.threshold,
        op=rule.op,
        column=rule.column,
        unit=unit,
        each=True,
        judged=judged,
        failing=failing,
        reason=rule.reason,
    )


def _of_change(rule: Rule, results: Results, baseline: Results, noise: float, strict: bool) -> Verdict:
    sign = -1 if rule.change == "drop" else 1
    worsening = {
        name: sign * change + 0.0  # 0, not -0
        for name, change in paired_changes(results, baseline, results.column(rule.column)).items()
        if _is_about(rule, name)
    }
    if not worsening:
        return _of_nothing(rule)
    name, note = str(rule), ""
    bounds_noise = rule.threshold > 0 or (rule.threshold == 0 and rule.op == "<=")  # (< 0 asks for an improvement)
    if noise > rule.threshold and bounds_noise:
        note = f"; margin {exact(rule.threshold)} raised to the noise"
        rule = replace(rule, threshold=noise)
    if rule.group:
        verdict = _of_each(rule, _by_group(rule, results, worsening), unit=rule.group, note=note)
    elif rule.statistic == "each":
        verdict = _of_each(rule, worsening, note=note)
    else:
        verdict = _of_mean_change(rule, results, worsening, note, strict)
    verdict = replace(verdict, rule=name)  # as it was written, whatever the noise
    here = {row.name for row in results.scored}
    lost = [image for image in baseline.values(rule.column) if image in here and image not in worsening]
    lost = [image for image in lost if _is_about(rule, image)]
    if lost:
        line = f"{verdict.line}; no {rule.column} any more in {counted(len(lost), 'image')}: {some(lost)}"
        return replace(verdict, outcome=rule.level, line=line, failing=(*lost, *verdict.failing), undecided=False)
    return verdict


def _of_mean_change(rule: Rule, results: Results, worsening: Mapping[str, float], note: str, strict: bool) -> Verdict:
    """Non-inferiority: the whole interval of the mean decides, or nothing does; where there are too few images for an
    interval, that every one of them is beyond the margin.

    An image that was identical to its target and is not any more got infinitely worse; one that became so counts
    for nothing.
    """
    kept = {name: change for name, change in worsening.items() if change > -math.inf}
    changes = np.array(list(kept.values()))
    value = mean(changes) if kept else 0.0
    grouping = results.grouping
    groups = grouping.units(kept) if grouping else None
    certain = not changes.any() or math.isinf(value)  # nothing changed at all, or beyond all measure
    low, high = (value, value) if certain else bootstrap_interval(changes, groups, seed=results.seed)
    passed, failed = COMPARE[rule.op](high, rule.threshold), COMPARE[OPPOSITE[rule.op]](low, rule.threshold)
    all_beyond = math.isnan(low) and len(_beyond(rule, kept)) == len(kept)  # then it takes no interval to tell
    units = (
        counted(len(set(groups)), f"{grouping.names[0]} group")
        if grouping and groups is not None
        else (counted(len(kept), "image"))
    )
    bounds = f"95 % interval {agreeing(low, rule.threshold)} to {agreeing(high, rule.threshold)}, {units}"
    if all_beyond:
        failed, bounds = True, f"all {units} {OPPOSITE[rule.op]} {exact(rule.threshold)}"
    if passed or failed:
        said = f"{relation(rule, value)} (by {_apart(value, rule.threshold)}; {bounds}{note})"
    else:
        bounds = f"an interval needs {FEWEST}" if math.isnan(low) else bounds.removesuffix(f", {units}")
        are = "is" if units.startswith("1 ") else "are"
        said = f"{relation(rule, value)}, but cannot tell: {units} {are} too few for this margin ({bounds}{note})"
    undecided: Level = "fail" if strict and rule.level == "fail" else "warn"
    return Verdict(
        rule=str(rule),
        outcome="pass" if passed else rule.level if failed else undecided,
        line=f"{rule.subject} {said}",
        value=value,
        threshold=rule.threshold,
        op=rule.op,
        column=rule.column,
        judged=worsening,
        failing=_beyond(rule, worsening),
        undecided=not (passed or failed),
        reason=rule.reason,
    )


def _is_about(rule: Rule, name: str) -> bool:
    return not rule.images or fnmatch.fnmatchcase(name, rule.images)


def _by_group(rule: Rule, results: Results, values: Mapping[str, float]) -> dict[str, float]:
    """The statistic of the rule for the images of each group."""
    if results.grouping is None:
        raise UsageError(f'rule "{rule.text}": the results have no groups')
    groups: dict[str, list[float]] = {}
    for name, label in results.grouping.labels(rule.group, values).items():
        groups.setdefault(label, []).append(values[name])
    return {label: _statistic(rule, of_label) for label, of_label in groups.items()}


def _statistic(rule: Rule, scores: Sequence[float]) -> float:
    values = np.sort(np.array(scores))
    if rule.change:  # as over the whole set: see `_of_mean_change`
        kept = values[values > -math.inf]
        return mean(kept) if len(kept) else 0.0
    if rule.statistic.startswith("worst"):
        count = int(rule.statistic.removeprefix("worst"))
        values = values[:count] if rule.op[0] == ">" else values[-count:]
    if rule.statistic == "mean" or rule.statistic.startswith("worst"):
        finite = values[np.isfinite(values)]  # as in the table of scores
        return mean(finite) if len(finite) else float(values[0])
    share = {"min": 0.0, "median": 0.5, "max": 1.0}
    q = share[rule.statistic] if rule.statistic in share else int(rule.statistic[1:]) / 100
    return quantile(values, q)


def _beyond(rule: Rule, values: Mapping[str, float]) -> tuple[str, ...]:
    """The names whose value would not pass by itself, worst first."""
    beyond = [name for name, value in values.items() if not COMPARE[rule.op](value, rule.threshold)]
    return tuple(sorted(beyond, key=lambda name: values[name], reverse=rule.op[0] == "<"))


# Saying it


def relation(rule: Rule, value: float) -> str:
    """`0.8423 < 0.85`: what holds between the value and the threshold, in numbers that agree with it."""
    op = rule.op if COMPARE[rule.op](value, rule.threshold) else OPPOSITE[rule.op]
    return f"{agreeing(value, rule.threshold)} {op} {exact(rule.threshold)}"


def _apart(value: float, threshold: float) -> str:
    distance = abs(value - threshold)
    return f"{distance:.4f}" if distance >= 1e-3 else f"{distance:.2g}"
