"""The bars that the tool is held to, each with what was measured: the last table of the benchmark."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks import cluster
from tests.benchmarks.cases import (
    ALL,
    FIRST,
    FIRST_LIMIT,
    GPU,
    GPU_DECODE,
    HAND,
    HELP,
    HELP_LIMIT,
    IN_TURN,
    LIGHT,
    MILLION,
    ON_GPU,
    RUNS,
    TERMS,
    TOGETHER,
    WITHOUT_LPIPS,
    Bench,
    of_million,
    of_runs,
    ours,
)
from tests.benchmarks.measure import Figure


@dataclass(frozen=True)
class Bar:
    """`met` is None where it was not measured."""

    what: str
    bar: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "missed", None: "not measured"}[self.met]


@dataclass(frozen=True)
class Ratio:
    """How many times as long `slow` takes as `fast`: of the best of each, and over the repeats, pair by pair."""

    slow: Figure
    fast: Figure

    @property
    def value(self) -> float:
        return self.slow.seconds / self.fast.seconds

    def __str__(self) -> str:
        return f"{self.value:.2f}× {_range(self.slow.repeated, self.fast.repeated)}"


def _range(slow: list[float], fast: list[float]) -> str:
    ratios = [s / f for s, f in zip(slow, fast, strict=False)]
    return f"({min(ratios):.2f} to {max(ratios):.2f})"


def bars(b: Bench) -> list[Bar]:
    """All of them, in the order of the issue."""
    parts = (_by_hand, _light, _small, _runs, _start, _memory, _million, _cluster, _gpu)
    return [bar for part in parts for bar in part(b)]


def _unmeasured(what: str, bar: str, *figures: Figure | None) -> Bar | None:
    """The bar where a figure is missing (not measured) or failed (missed); None when all are there."""
    problems = [figure for figure in figures if figure is None or not figure.rounds]
    if not problems:
        return None
    failed = [figure for figure in problems if figure is not None]
    return Bar(what, bar, "; ".join(f"{f.who}: {f.problem}" for f in failed) or "–", False if failed else None)


# --- against the loop by hand ------------------------------------------------------------------------------


def _by_hand(b: Bench) -> Iterator[Bar]:
    for precision, least, error in (("exact", 3, 1e-5), ("fast", 5, 1e-3)):
        what = f"{b.sets['large'].title}, three terms, --precision {precision}"
        yield _speed(b, what, "large", precision, least)
        yield _error(b, precision, error, "cpu")
    yield _speed(b, f"{b.sets['medium'].title}, three terms", "medium", "exact", 2.5)


def _speed(b: Bench, what: str, data: str, precision: str, least: float) -> Bar:
    bar = f"≥ {least:g}× the loop by hand"
    hand, tool = b.find(data, TERMS, HAND), b.find(data, TERMS, ours(precision))
    if problem := _unmeasured(what, bar, hand, tool):
        return problem
    ratio = Ratio(hand, tool)
    return Bar(what, bar, str(ratio), ratio.value >= least)


def _error(b: Bench, precision: str, most: float, device: str) -> Bar:
    """Of the three terms and their parts, on pairs of half the side, for float64 is slow."""
    what = f"{b.sets['accuracy'].title}, three terms, {precision}, {device}"
    bar = f"within {most:g} of float64"
    report = b.reports.get(f"accuracy {device}")
    if report is None or "problem" in report:
        return Bar(what, bar, (report or {}).get("problem", "–"), None if report is None else False)
    errors = {
        column: error
        for column, error in report["columns"][precision].items()
        if column.partition("_")[0] in TERMS.split(",")
    }
    worst = max(errors, key=lambda column: math.inf if math.isnan(errors[column]) else errors[column])
    return Bar(what, bar, f"{errors[worst]:.1e} ({worst})", errors[worst] <= most)


# --- against decoding --------------------------------------------------------------------------------------


def _light(b: Bench) -> Iterator[Bar]:
    what, bar = f"{b.sets['large'].title}, {LIGHT}", "≤ 3× decoding alone, the fastest decoder on all processors"
    tool, decoders = b.find("large", LIGHT, ours("exact")), b.decoded("large")
    fastest = decoders[0] if decoders else None
    problem = _unmeasured(what, bar, tool, fastest)
    if problem:
        yield problem
        return
    ratio = Ratio(tool, fastest)
    yield Bar(what, bar, f"{ratio} ({fastest.who})", ratio.value <= 3)


def _small(b: Bench) -> Iterator[Bar]:
    for metrics in (LIGHT, TERMS):
        what = f"{b.sets['small'].title}, {metrics}: added to decoding and arithmetic"
        bar = "≤ 1 ms a pair"
        names = (ours("exact"), "decoding alone", "arithmetic alone")
        whole, decoding, arithmetic = (b.find("small", metrics, who) for who in names)
        if problem := _unmeasured(what, bar, whole, decoding, arithmetic):
            yield problem
            continue
        parts = [1000 * figure.seconds for figure in (whole, decoding, arithmetic)]
        rest = parts[0] - parts[1] - parts[2]
        processors = 1000 * (whole.cpu_seconds - decoding.cpu_seconds - arithmetic.cpu_seconds)
        text = f"{rest:.2f} ms ({parts[0]:.2f} − {parts[1]:.2f} − {parts[2]:.2f}); processor time {processors:+.2f} ms"
        yield Bar(what, bar, text, rest <= 1)


# --- several runs with one target -------------------------------------------------------------------------


def _runs(b: Bench) -> Iterator[Bar]:
    """A tenth more than the share of the images that are left: of K runs K + 1, where one by one they have 2·K."""
    for count in RUNS:
        most = 1.1 * (count + 1) / (2 * count)
        what, bar = f"{b.sets['large'].title}, three terms, {count} runs together", f"≤ {most:.4g}× {IN_TURN}"
        together, in_turn = (b.find("large", of_runs(TERMS, count), who) for who in (TOGETHER, IN_TURN))
        if problem := _unmeasured(what, bar, together, in_turn):
            yield problem
            continue
        ratio = Ratio(together, in_turn)
        text = f"{ratio.value:.3f}× {_range(together.repeated, in_turn.repeated)}"
        yield Bar(what, bar, text, ratio.value <= most)


# --- start-up and memory -----------------------------------------------------------------------------------


def _start(b: Bench) -> Iterator[Bar]:
    for name, limit, most in ((HELP, HELP_LIMIT, 2.5), (FIRST, FIRST_LIMIT, 1.3)):
        bar = f"≤ {most:g}× {limit}"
        if name not in b.processes:
            yield Bar(name, bar, "–", None)
            continue
        slow, fast = b.processes[name], b.processes[limit]
        ratio = min(slow) / min(fast)
        text = f"{ratio:.2f}× {_range(slow, fast)}: {min(slow):.2f} s, {min(fast):.2f} s"
        yield Bar(name, bar, text, ratio <= most)
    report = b.reports.get("modules of --help")
    heavy = report["heavy"] if report else []
    text = "–" if report is None else f"imports {', '.join(heavy) or 'none of them'}"
    met = None if report is None else not {"torch", "pandas"} & set(heavy)
    yield Bar(HELP, "no torch, no pandas", text, met)


def _memory(b: Bench) -> Iterator[Bar]:
    for metrics, most, words in ((WITHOUT_LPIPS, 2.5, "all but lpips and mps"), (ALL, 8, "all metrics")):
        what, bar = f"one pair of {b.sets['8k'].title}, {words}", f"scored; peak memory ≤ {most:g} GB"
        figure = b.find("8k", metrics, ours("exact"))
        if problem := _unmeasured(what, bar, figure):
            yield problem
            continue
        gigabytes = figure.peak_bytes / 1e9
        yield Bar(what, bar, f"{gigabytes:.2f} GB, {figure.seconds:.0f} s", gigabytes <= most)
    few, many = (50, 500) if b.quick else (500, 5000)
    what, bar = f"{many} pairs against {few}, {b.sets['small'].title}", "peak memory ≤ 1.1×"
    figures = [b.find("small", f"memory of {n} pairs", ours("exact")) for n in (few, many)]
    if problem := _unmeasured(what, bar, *figures):
        yield problem
        return
    less, more = (figure.peak_bytes for figure in figures)
    yield Bar(what, bar, f"{more / less:.3f}×: {more / 1e6:.0f} MB, {less / 1e6:.0f} MB", more / less <= 1.1)


def _million(b: Bench) -> Iterator[Bar]:
    for where in MILLION:
        name = of_million(b, where)
        time = f"{name}: listed, paired and dealt out", "≤ 60 s"
        memory = {step: (f"{name}: driver, to the {step}", "peak ≤ 1.5 GB") for step in ("CSV", "tables")}
        report = b.reports.get(name)
        if report is None or "problem" in report:
            problem, met = (report or {}).get("problem", "–"), None if report is None else False
            yield from (Bar(*what, problem, met) for what in (time, *memory.values()))
            continue
        seconds = report["steps"]["listed, paired and dealt out"]["seconds"]
        yield Bar(*time, f"{seconds:.0f} s", seconds <= 60)
        for step, what in memory.items():
            gigabytes = report["steps"][step]["peak_bytes"] / 1e9  # the most until then
            yield Bar(*what, f"{gigabytes:.3f} GB", gigabytes <= 1.5)


# --- a cluster ---------------------------------------------------------------------------------------------


def _cluster(b: Bench) -> Iterator[Bar]:
    for who, threads in cluster.RAY.items():
        if who not in cluster.BAR:
            continue
        what = f"{b.sets['large'].title}, {LIGHT}, {cluster.called(*who)}"
        bar = f"≤ 1.05× {cluster.called(*cluster.LOCAL[threads])}"
        ray, local = (b.find("large", cluster.LARGE, cluster.called(*of)) for of in (who, cluster.LOCAL[threads]))
        if problem := _unmeasured(what, bar, ray, local):
            yield problem
            continue
        ratio = Ratio(ray, local)
        yield Bar(what, bar, str(ratio), ratio.value <= 1.05)


# --- on a GPU ----------------------------------------------------------------------------------------------


def _gpu(b: Bench) -> Iterator[Bar]:
    decoders, hand = b.decoded("large", GPU_DECODE), b.find("large", ON_GPU, HAND)
    fastest = decoders[0] if decoders else None
    for precision, error in (("exact", 1e-5), ("fast", 1e-3)):
        what = f"{b.sets['large'].title}, three terms, {precision}, one GPU"
        tool, compute = (b.find("large", ON_GPU, who) for who in (ours(precision), f"arithmetic alone {precision}"))
        yield _unmeasured(what, _PACE, tool, hand) or Bar(what, _PACE, *_pairs_per_second(tool, hand))
        limits = (compute, fastest)
        yield _unmeasured(what, _SHARE, tool, *limits) or Bar(what, _SHARE, *_share(tool, *limits))
        yield _error(b, precision, error, GPU)


_PACE, _SHARE = "≥ 150 pairs/s", "≥ 0.85 of the slower limit"


def _pairs_per_second(tool: Figure, hand: Figure) -> tuple[str, bool]:
    text = f"{1 / tool.seconds:.0f} pairs/s; the loop by hand {1 / hand.seconds:.1f}, {Ratio(hand, tool)}"
    return text, 1 / tool.seconds >= 150


def _share(tool: Figure, compute: Figure, decode: Figure) -> tuple[str, bool]:
    slower = max(compute, decode, key=lambda figure: figure.seconds)
    share = slower.seconds / tool.seconds
    limits = f"decoding {1 / decode.seconds:.0f} ({decode.who}), arithmetic {1 / compute.seconds:.0f} pairs/s"
    return f"{share:.2f} of {limits}", share >= 0.85
