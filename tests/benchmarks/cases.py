"""What is measured: CASES, each a screenful; `--only` takes their names.

What is compared is measured in turn, so that a busy machine slows all of it. Numbers of pairs are chosen so that the
whole run takes half an hour on two processors, on which the loop by hand needs five seconds for a large pair.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.benchmarks import measure
from tests.benchmarks.data import DataSet, data_set
from tests.benchmarks.measure import ChildError, Command, Figure, Task
from tests.benchmarks.peers import PEERS

TERMS = "charbonnier,wssim,vgg19"
LIGHT = "charbonnier,wssim,psnr,ssim"
WITHOUT_LPIPS = "charbonnier,wssim,vgg19,psnr,ssim"
ALL = "charbonnier,wssim,vgg19,psnr,ssim,lpips,mps"
ROUNDED = ("wssim", "vgg19", "ssim")  # where `fast` may differ
BY_HAND = ("charbonnier", "wssim", "vgg19", "psnr", "ssim")
DECODERS = ("relight_eval", "Pillow", "torchvision", "opencv", "imagecodecs")
PRECISIONS = ("exact", "fast")
HAND = "by hand"
RUNS = (2, 4)  # so many with one target
TOGETHER, IN_TURN = "all together", "one after the other"
OPENED = 77  # the exit code of a run that was stopped when it opened its first image

Case = Callable[["Bench"], None]


@dataclass
class Bench:
    """One run of the benchmark: where its data lie, and what was measured so far."""

    root: Path
    repeats: int
    quick: bool = False
    figures: list[Figure] = field(default_factory=list)
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)  # an answer, or {"problem": why not}
    processes: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:4.0f} s  {text}", file=sys.stderr, flush=True)

    @cached_property
    def sets(self) -> dict[str, DataSet]:
        names = ("large", "medium", "small", "jpeg", "8k", "accuracy")
        return {name: data_set(name, self.root, quick=self.quick) for name in names}

    def figure(
        self, data: str, stage: str, who: str, work: str, few: int, many: int, *, warm: int = 1, rounds: int = 1,
        **options: object,
    ) -> Figure:  # fmt: skip
        """A figure to be measured, its images made."""
        counts = {few, many, warm, options.get("ready", 0)} - {0}
        for count in sorted(counts):
            self.sets[data].first(count)
            self.sets[data].runs(count, options.get("runs", 0))
        task = Task(work, {"root": str(self.sets[data].root), **options}, few, many, warm, rounds)
        return Figure(data, stage, who, task)

    def measure(self, figures: list[Figure], repeats: int | None = None) -> None:
        measure.interleave(figures, repeats or self.repeats, self.say)
        self.figures += figures

    def report(self, name: str, report: str, **options: object) -> None:
        self.say(name)
        try:
            self.reports[name] = measure.child("report", {"report": report, "options": options})
        except ChildError as error:
            self.reports[name] = {"problem": str(error)}

    def find(self, data: str, stage: str, who: str) -> Figure | None:
        """What was measured under this name, if it was."""
        return next((f for f in self.figures if (f.data, f.stage, f.who) == (data, stage, who)), None)

    def decoded(self, data: str, stage: str = "decode") -> list[Figure]:
        """The decoders that were measured, the fastest first."""
        found = [f for f in self.figures if (f.data, f.stage) == (data, stage) and f.rounds]
        return sorted(found, key=lambda figure: figure.seconds)


def ours(precision: str) -> str:
    return f"relight-eval {precision}"


def _tool(
    b: Bench, data: str, metrics: str, precision: str, few: int, many: int, *, stage: str = "", **more: Any
) -> Figure:
    device = more.pop("device", "cpu")
    return b.figure(
        data, stage or metrics, ours(precision), "tool", few, many,
        metrics=metrics, precision=precision, device=device, **more,
    )  # fmt: skip


def _hand(b: Bench, data: str, metrics: str, few: int, many: int, *, device: str = "cpu", stage: str = "") -> Figure:
    return b.figure(data, stage or metrics, HAND, "hand", few, many, metrics=metrics, device=device)


def _decoders(b: Bench, data: str, few: int, many: int, *, stage: str = "decode", rounds: int = 3) -> list[Figure]:
    return [b.figure(data, stage, name, "decode", few, many, rounds=rounds, decoder=name) for name in DECODERS]


# --- on the processor --------------------------------------------------------------------------------------


def limits(b: Bench) -> None:
    """What the processors can compute at all."""
    b.report("limits cpu", "limits", device="cpu")


def stages(b: Bench) -> None:
    """Copying and each metric on images in memory; beside it the loop by hand and the libraries."""
    few, many = (1, 3)
    common = {"ready": many, "device": "cpu", "rounds": 10}
    found = [
        b.figure("large", "nothing but imports", ours("exact"), "nothing", 0, 1, warm=0),
        b.figure("large", "copy", ours("exact"), "copy", few, many, **common),
    ]
    for metric in ALL.split(","):
        for precision in PRECISIONS if metric in ROUNDED else PRECISIONS[:1]:
            options = {"metrics": metric, "precision": precision, **common}
            found.append(b.figure("large", metric, ours(precision), "arithmetic", few, many, **options))
        if metric in BY_HAND:
            found.append(b.figure("large", metric, HAND, "hand_metric", few, many, metric=metric, **common))
        for library in PEERS.get(metric, ()):
            options = {"metric": metric, "library": library, **common}
            found.append(b.figure("large", metric, library, "peer", few, many, **options))
    b.measure(found, repeats=1)


def large(b: Bench) -> None:
    """1024×1024 PNG, the three terms against the loop by hand, and the light metrics against decoding."""
    whole = [_tool(b, "large", TERMS, precision, 2, 6) for precision in PRECISIONS]
    b.measure([*whole, _hand(b, "large", TERMS, 1, 3)])
    b.measure([_tool(b, "large", LIGHT, "exact", 4, 16), *_decoders(b, "large", 4, 24, rounds=2)])


def medium(b: Bench) -> None:
    """256×256 PNG, the three terms against the loop by hand."""
    whole = [_tool(b, "medium", TERMS, precision, 8, 32, warm=8) for precision in PRECISIONS]
    b.measure([*whole, _hand(b, "medium", TERMS, 4, 12)])
    b.measure(_decoders(b, "medium", 32, 256), repeats=1)


def small(b: Bench) -> None:
    """5,000 pairs of 64×64: what the tool adds to decoding and arithmetic, and whether its memory grows."""
    few, many = (50, 500) if b.quick else (500, 5000)
    for metrics, start, end, repeats in ((LIGHT, few, many, b.repeats), (TERMS, few // 2, many // 5, 1)):
        arithmetic = {"ready": few, "metrics": metrics, "precision": "exact", "device": "cpu", "warm": few}
        b.measure(
            [
                _tool(b, "small", metrics, "exact", start, end, warm=start),
                b.figure("small", metrics, "arithmetic alone", "arithmetic", start, end, **arithmetic),
                b.figure("small", metrics, "decoding alone", "decode", start, end, decoder="relight_eval"),
            ],
            repeats=repeats,
        )
    b.measure([_hand(b, "small", LIGHT, few // 10, few // 2), *_decoders(b, "small", few, many, rounds=1)], repeats=1)
    for count in (few, many):
        stage = f"memory of {count} pairs"
        b.measure([_tool(b, "small", LIGHT, "exact", 0, count, warm=0, stage=stage)], repeats=1)


def jpeg(b: Bench) -> None:
    """1024×1024 JPEG, the light metrics."""
    b.measure([_tool(b, "jpeg", LIGHT, "exact", 4, 16), _hand(b, "jpeg", LIGHT, 1, 3), *_decoders(b, "jpeg", 4, 24)], 1)


def runs(b: Bench) -> None:
    """1024×1024 PNG, several runs with one target, together and in turn; what counts as a pair is a target with all."""
    for metrics, few, many in ((TERMS, 1, 3), (LIGHT, 4, 12)):
        for count in RUNS:
            common = {"metrics": metrics, "precision": "exact", "device": "cpu", "runs": count}
            b.measure(
                [
                    b.figure("large", of_runs(metrics, count), who, "runs", few, many, together=together, **common)
                    for who, together in ((TOGETHER, True), (IN_TURN, False))
                ]
            )


def of_runs(metrics: str, count: int) -> str:
    return f"{metrics}, {count} runs"


def huge(b: Bench) -> None:
    """One pair of 7680×4320: it must be scored, within the memory that a laptop has."""
    b.measure([_tool(b, "8k", metrics, "exact", 0, 1, warm=0) for metrics in (WITHOUT_LPIPS, ALL)], repeats=1)


def accuracy(b: Bench) -> None:
    """The scores against float64."""
    _accuracy(b, "cpu")


def _accuracy(b: Bench, device: str) -> None:
    count = b.sets["accuracy"].kind.unique
    b.sets["accuracy"].first(count)
    b.report(f"accuracy {device}", "accuracy", root=str(b.sets["accuracy"].root), count=count, device=device)


# --- start-up ----------------------------------------------------------------------------------------------

HELP, HELP_LIMIT = "relight-eval --help", 'python -c "import typer, rich"'
FIRST, FIRST_LIMIT = "relight-eval score, to the first image", 'python -c "import torch"'

# Python tells a hook of every file that is opened: the process ends when the first image is, whoever reads it.
STOP_AT_FIRST_IMAGE = f"""
import os, sys
def stop(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".png"):
        os._exit({OPENED})
sys.addaudithook(stop)
from relight_eval.cli import main
main()
"""


def start(b: Bench) -> None:
    """Whole processes by the clock: how soon help is there, and how soon work begins."""
    repeats = max(5, b.repeats)
    run = ["score", *map(str, b.sets["medium"].first(8)), "--offline", "-q", "--no-csv", "--device", "cpu"]
    pairs = (
        (Command(HELP, ("-m", "relight_eval", "--help")), Command(HELP_LIMIT, ("-c", "import typer, rich"))),
        (
            Command(FIRST, ("-c", STOP_AT_FIRST_IMAGE, *run), expected=OPENED),
            Command(FIRST_LIMIT, ("-c", "import torch")),
        ),
    )
    for commands in pairs:
        b.say(f"{commands[0].name} ({repeats} times)")
        try:
            b.processes |= measure.processes(commands, repeats)
        except ChildError as error:
            b.notes.append(f"not measured: {error}")
    b.reports["modules of --help"] = {"heavy": sorted(_heavy_modules_of_help())}


def _heavy_modules_of_help() -> Iterator[str]:
    text = measure.standard_error("-X", "importtime", "-m", "relight_eval", "--help")
    imported = {line.rpartition("|")[2].strip() for line in text.splitlines()}
    return (name for name in ("torch", "pandas", "numpy", "PIL", "scipy") if name in imported)


# --- a million pairs ---------------------------------------------------------------------------------------

MILLION = {"folders": False, "addresses": True}  # whether they are remote


def million(b: Bench) -> None:
    """A million pairs that are scored elsewhere: what the driver needs for its part."""
    for where, remote in MILLION.items():
        name, root = of_million(b, where), b.root / f"million-{where}"
        root.mkdir()
        b.report(name, "million", root=str(root), count=_million(b), remote=remote)
        for step, of in b.reports[name].get("steps", {}).items():
            b.notes.append(f"{name}, {step}: {of['seconds']:.1f} s, peak {of['peak_bytes'] / 1e6:.0f} MB")


def of_million(b: Bench, where: str) -> str:
    return f"{_million(b)} pairs in {where}"


def _million(b: Bench) -> int:
    return 20_000 if b.quick else 1_000_000


# --- on a GPU ----------------------------------------------------------------------------------------------

GPU = "cuda"
ON_GPU = f"{TERMS} on the GPU"
GPU_DECODE = "decode for the GPU"


def gpu(b: Bench) -> None:
    """1024×1024 PNG on one GPU, end to end, beside decoding alone and arithmetic alone."""
    few, many = (64, 320)
    alone = {"ready": 12, "metrics": TERMS, "device": GPU}
    tools = [_tool(b, "large", TERMS, p, few, many, warm=few, device=GPU, stage=ON_GPU) for p in PRECISIONS]
    arithmetic = [
        b.figure("large", ON_GPU, f"arithmetic alone {p}", "arithmetic", 32, 128, warm=128, precision=p, **alone)
        for p in PRECISIONS
    ]
    hand = _hand(b, "large", TERMS, 4, 20, device=GPU, stage=ON_GPU)
    b.measure([*tools, *arithmetic, hand, *_decoders(b, "large", few, many, stage=GPU_DECODE, rounds=1)])
    _accuracy(b, GPU)


def gpu_stages(b: Bench) -> None:
    """The limits of the GPU, the copy, and each metric, with synchronisation."""
    b.report("limits cuda", "limits", device=GPU)
    few, many = (32, 128)
    common = {"ready": 12, "device": GPU, "rounds": 5, "warm": many}
    found = [b.figure("large", "copy to the GPU", ours("exact"), "copy", few, many, **common)]
    for metric in ALL.split(","):
        for precision in PRECISIONS:
            options = {"metrics": metric, "precision": precision, **common}
            found.append(b.figure("large", f"{metric} on the GPU", ours(precision), "arithmetic", few, many, **options))
        if metric in BY_HAND:
            options = {**common, "warm": 2, "metric": metric}
            found.append(b.figure("large", f"{metric} on the GPU", HAND, "hand_metric", 4, 20, **options))
    b.measure(found, repeats=1)


CASES: dict[str, Case] = {
    "limits": limits,
    "stages": stages,
    "png1024": large,
    "png256": medium,
    "png64": small,
    "jpeg": jpeg,
    "runs": runs,
    "8k": huge,
    "accuracy": accuracy,
    "start": start,
    "million": million,
}
GPU_CASES: dict[str, Case] = {"gpu": gpu, "gpu-stages": gpu_stages}
