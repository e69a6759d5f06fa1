"""How everything here is measured: in a process of its own, as the slope between two numbers of pairs.

`Task` says what to do, `run` has a fresh process do it (`child.py`), and a `Figure` is what came out of all repeats.
The slope takes out what a run costs once: start-up, imports, weights, the first call. Peak memory is that of the whole
process, Python and torch included. Nothing heavy is imported here: the parent only waits.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relight_eval.weights import LAYERS

ROOT = Path(__file__).parents[2]


# By how much an image has shrunk, in pixels, before each convolution of VGG19 that the distance uses.
SHRUNK = {"conv1_1": 1, "conv1_2": 1, "conv2_1": 4, "conv2_2": 4, "conv3_1": 16}


def vgg19_gflop(height: int, width: int) -> float:
    """Multiplications and additions, in 1e9, that the convolutions of VGG19 need for a pair."""
    flop = 0.0
    for layer in LAYERS:
        out, inner, side, _ = layer.shape
        flop += 2 * out * inner * side**2 * height * width / SHRUNK[layer.name]
    return 2 * flop / 1e9


class MissingError(Exception):
    """A library or a file that this measurement needs is not there."""


class ChildError(Exception):
    """The process that should have done the work ended without a result."""


@dataclass(frozen=True)
class Task:
    """`work` is a name in `works.WORKS`, `options` are its arguments; it is done for `few` and for `many` pairs.

    With `few` = 0, `many` pairs are timed as they are, without a slope. `warm` pairs are done before, untimed.
    `rounds` repeats few and many within the process, as long as they are short.
    """

    work: str
    options: dict[str, Any]
    few: int
    many: int
    warm: int = 1
    rounds: int = 1


@dataclass(frozen=True)
class Round:
    """Seconds on the clock and of all processors, for the few pairs and for the many."""

    few_s: float
    many_s: float
    few_cpu_s: float
    many_cpu_s: float


@dataclass
class Figure:
    """One line of the table: `who` does `stage` on the pairs of `data`; `repeat` measures it once more."""

    data: str
    stage: str
    who: str
    task: Task
    rounds: list[Round] = field(default_factory=list)
    peak_bytes: int = 0
    device_bytes: int = 0
    others: float = 0.0  # processors that other programs kept busy meanwhile, in the worst repeat
    note: str = ""
    problem: str = ""  # why there is no number
    missing: bool = False  # the problem is only that something is not installed

    def repeat(self) -> None:
        """Do the task in a new process; not again where that failed."""
        if self.problem:
            return
        clock, others = time.perf_counter(), _others_seconds()
        try:
            answer = child("time", asdict(self.task))
        except (MissingError, ChildError) as error:
            self.problem, self.missing, self.rounds = str(error), isinstance(error, MissingError), []
            return
        self.rounds += [Round(**round_) for round_ in answer["rounds"]]
        self.peak_bytes = max(self.peak_bytes, answer["peak_bytes"])
        self.device_bytes = max(self.device_bytes, answer["device_bytes"])
        self.others = max(self.others, (_others_seconds() - others) / (time.perf_counter() - clock))
        self.note = answer["note"]

    @property
    def seconds(self) -> float:
        """For one pair: the slope between the best of few and the best of many. NaN when there is no number."""
        return self._slope("few_s", "many_s")

    @property
    def cpu_seconds(self) -> float:
        """Of all processors, for one pair."""
        return self._slope("few_cpu_s", "many_cpu_s")

    @property
    def repeated(self) -> list[float]:
        """Seconds for one pair in each repeat by itself."""
        return [(round_.many_s - round_.few_s) / (self.task.many - self.task.few) for round_ in self.rounds]

    def _slope(self, few: str, many: str) -> float:
        if not self.rounds:
            return math.nan
        low, high = (min(getattr(round_, name) for round_ in self.rounds) for name in (few, many))
        return (high - low) / (self.task.many - self.task.few)

    def as_json(self) -> dict[str, Any]:
        found = asdict(self)
        del found["task"]["options"]["root"]  # a temporary folder
        return {**found, "seconds_per_pair": self.seconds, "cpu_seconds_per_pair": self.cpu_seconds}


def _others_seconds() -> float:
    """Seconds of processors that went into other programs since the machine started; 0 where that is not told."""
    try:
        fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")  # without idle and iowait
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in usages)


def interleave(figures: Sequence[Figure], repeats: int, say: Callable[[str], None]) -> None:
    """Measure all once, then all again: what else the machine does in the meantime falls on each of them."""
    for repeat in range(repeats):
        for figure in figures:
            say(f"{figure.data}, {figure.stage}: {figure.who} ({repeat + 1} of {repeats})")
            figure.repeat()


def child(action: str, order: dict[str, Any]) -> dict[str, Any]:
    """What `child.py` answers to this order. Raises MissingError and ChildError."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.child", action, json.dumps(order)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode < 0:
        raise ChildError(f"ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        raise ChildError(next(iter(done.stderr.strip().splitlines()[-1:]), f"exit code {done.returncode}"))
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if "missing" in answer:
        raise MissingError(answer["missing"])
    return answer


# --- within the child --------------------------------------------------------------------------------------


def timed(work: Callable[[int], object], task: Task, spend: float = 1.5) -> list[Round]:
    """Few and many pairs, `task.rounds` times, but not again once `spend` seconds are over."""
    if task.warm:
        work(task.warm)
    rounds: list[Round] = []
    start = time.perf_counter()
    while not rounds or (len(rounds) < task.rounds and time.perf_counter() - start < spend):
        few_s, few_cpu_s = _seconds(work, task.few)
        many_s, many_cpu_s = _seconds(work, task.many)
        rounds.append(Round(few_s, many_s, few_cpu_s, many_cpu_s))
    return rounds


def _seconds(work: Callable[[int], object], pairs: int) -> tuple[float, float]:
    if not pairs:
        return 0.0, 0.0
    synchronise()
    clock, processors = time.perf_counter(), time.process_time()
    work(pairs)
    synchronise()
    return time.perf_counter() - clock, time.process_time() - processors


def synchronise() -> None:
    """Wait for the GPU, if this process uses one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """The most memory that this process held. (getrusage's figure would include the parent's, from before exec.)"""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def device_bytes() -> int:
    """The most memory that torch held on the GPU; 0 without one."""
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_initialized() else 0


# --- whole processes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A process that is timed as a whole. `expected` is its exit code."""

    name: str
    arguments: tuple[str, ...]  # of Python
    expected: int = 0


def processes(commands: Sequence[Command], repeats: int) -> dict[str, list[float]]:
    """Seconds of each command in each repeat, one after the other. Raises ChildError for another exit code."""
    seconds: dict[str, list[float]] = {command.name: [] for command in commands}
    for _ in range(1 + repeats):  # the first fills the file cache and does not count
        for command in commands:
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *command.arguments], cwd=ROOT, env=os.environ, capture_output=True, text=True
            )
            seconds[command.name].append(time.perf_counter() - start)
            if done.returncode != command.expected:
                raise ChildError(f"{command.name}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return {name: times[1:] for name, times in seconds.items()}


def standard_error(*arguments: str) -> str:
    """What a Python process with these arguments says there."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stderr
