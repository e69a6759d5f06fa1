"""Where the time of a run goes, what it is measured against, and whether the bars are met: `make bench`.

    python -m tests.benchmarks.bench [--only CASE ...] [--repeats N] [--json PATH] [--quick] [--device auto|cpu|cuda]

Everything is measured in processes of its own, one at a time; the time for a pair is a slope between two numbers of
pairs, the best of `--repeats`. What is compared takes turns, so the ratios hold on a noisy machine; the absolute times
do not travel. Measure on a machine that does nothing else. `--quick` is a smoke test: images of an eighth of the side,
once; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks import cluster
from tests.benchmarks.bars import Bar, bars
from tests.benchmarks.cases import CASES, GPU_CASES, HAND, Bench, Case
from tests.benchmarks.data import provide_weights, source_note
from tests.benchmarks.measure import Figure, vgg19_gflop

BUSY = 0.1  # processors, beyond which other programs spoil a measurement: threads of torch wait for each other
WIDTH = 150  # where the output is no terminal


def main() -> None:
    asked = _arguments()
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    with tempfile.TemporaryDirectory(prefix="relight-eval-bench-") as folder:
        b = Bench(Path(folder), 1 if asked.quick else asked.repeats, asked.quick)
        b.notes += [_machine(), f"images: {source_note()}", provide_weights(b.root)]
        if asked.quick:
            b.notes.append("--quick: images of an eighth of the side, so that the bars say nothing")
        cases = _cases(asked, b)
        try:
            for name, case in cases.items():
                b.say(f"{name}: {case.__doc__}")
                case(b)
            b.say("done")
        except KeyboardInterrupt:
            b.notes.append("interrupted: what follows is what was measured until then")
        found = bars(b)
        _print(b, found, console)
        if asked.json:
            text = json.dumps(_finite(_as_json(b, found)), indent=1, allow_nan=False)
            asked.json.write_text(f"{text}\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    every = [*CASES, *cluster.CASES, *GPU_CASES]
    parser.add_argument("--only", nargs="+", metavar="CASE", choices=every, help=f"of {', '.join(every)}")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="the best of N counts (default: 3)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to write everything")
    parser.add_argument("--quick", action="store_true", help="a smoke test of the benchmark itself")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto",
        help="cpu: without the GPU; cuda: the GPU alone; auto: both, where there is a GPU",
    )  # fmt: skip
    return parser.parse_args()


def _cases(asked: argparse.Namespace, b: Bench) -> dict[str, Case]:
    """What is to be done, by name: what was asked for and is possible here."""
    on_gpu = asked.device != "cpu" and _has_cuda()
    if asked.device != "cpu" and not on_gpu:
        b.notes.append("no CUDA device here: nothing was measured on a GPU")
    cases = ({} if asked.device == "cuda" else CASES | cluster.CASES) | (GPU_CASES if on_gpu else {})
    return {name: case for name, case in cases.items() if not asked.only or name in asked.only}


def _has_cuda() -> bool:
    """(Asked of a child: the parent stays without torch.)"""
    code = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _machine() -> str:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ("torch", "pillow", "torchmetrics", "piq", "pytorch-msssim", "scikit-image", "imagecodecs")
    versions = [f"{name} {version(name)}" for name in libraries if importlib.util.find_spec(_module(name))]
    return f"{_processor()}, {cpus} processors; python {platform.python_version()}, {', '.join(versions)}"


def _module(library: str) -> str:
    return {"pillow": "PIL", "scikit-image": "skimage"}.get(library, library.replace("-", "_"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


# --- printing ----------------------------------------------------------------------------------------------


def _print(b: Bench, found: list[Bar], console: Console) -> None:
    console.print(_stages(b))
    if b.processes:
        console.print(_processes(b))
    for name, report in b.reports.items():
        if "reference" in report:
            text = f"{report['reference']:.1e} from tests/metrics/references.py"
            console.print(f"{name}: the loop by hand in float64, to which the tool is compared, is {text}")
        elif "problem" in report:
            console.print(f"{name}: {report['problem']}", style="red")
    for note in b.notes:
        console.print(note, markup=False)
    console.print(_bars(found))


def _stages(b: Bench) -> Table:
    table = _table(
        "One pair more: the slope between two numbers of pairs, the best of all repeats; peak of the process"
    )
    for name in ("images", "stage", "who"):
        table.add_column(name, overflow="fold")
    for name in ("ms/pair", "pairs/s", "× by hand", "repeats, ms", "peak MB", "GPU MB"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    for figure in b.figures:
        numbers = _numbers(figure, b.find(figure.data, figure.stage, HAND))
        table.add_row(b.sets[figure.data].title, figure.stage, figure.who, *numbers)
    for name, report in b.reports.items():
        if name.startswith("limits") and "problem" not in report:
            for what, gflops in report.items():
                seconds = vgg19_gflop(1024, 1024) / gflops
                note = f"{gflops:.0f} GFLOP/s: VGG19's convolutions"
                numbers = (f"{1000 * seconds:.4g}", f"{1 / seconds:.4g}", "", "", "", "", note)
                table.add_row("1024x1024", name.replace("limits", "limit,"), what, *numbers)
    return table


def _numbers(figure: Figure, hand: Figure | None) -> tuple[str, ...]:
    memory = (f"{figure.peak_bytes / 1e6:.0f}", f"{figure.device_bytes / 1e6:.0f}" if figure.device_bytes else "")
    if figure.problem:
        return ("–", "–", "", "", "", "", figure.problem)
    if figure.task.work == "nothing":
        return ("", "", "", "", *memory, figure.note)
    notes = [figure.note, "" if figure.task.few else "timed whole, with what a run costs once"]
    if figure.others > BUSY:
        notes.append(f"other programs took {figure.others:.1f} processors: not to be trusted")
    note = "; ".join(filter(None, notes))
    repeated = [1000 * seconds for seconds in figure.repeated]
    return (
        f"{1000 * figure.seconds:.4g}",
        f"{1 / figure.seconds:.4g}" if figure.seconds > 0 else "–",
        f"{hand.seconds / figure.seconds:.2f}" if hand and hand.rounds and figure is not hand else "",
        f"{min(repeated):.4g} to {max(repeated):.4g}" if len(repeated) > 1 else "",
        *memory,
        note,
    )


def _processes(b: Bench) -> Table:
    table = _table("Whole processes, seconds")
    table.add_column("command", overflow="fold")
    table.add_column("best", justify="right")
    table.add_column("worst", justify="right")
    for name, seconds in b.processes.items():
        table.add_row(name, f"{min(seconds):.3f}", f"{max(seconds):.3f}")
    return table


def _bars(found: list[Bar]) -> Table:
    table = _table("The bars")
    for name in ("what", "bar", "measured"):
        table.add_column(name, overflow="fold")
    table.add_column("")
    colours = {True: "green", False: "bold red", None: "dim"}
    for bar in found:
        table.add_row(bar.what, bar.bar, bar.measured, f"[{colours[bar.met]}]{bar.verdict}[/]")
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)


def _as_json(b: Bench, found: list[Bar]) -> dict[str, object]:
    return {
        "notes": b.notes,
        "quick": b.quick,
        "figures": [{"images": b.sets[figure.data].title, **figure.as_json()} for figure in b.figures],
        "reports": b.reports,
        "processes_s": b.processes,
        "bars": [{**asdict(bar), "verdict": bar.verdict} for bar in found],
    }


def _finite(value: object) -> object:
    """JSON has no inf and no NaN: they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
