"""Broken files through the reader, thousands of them: none may end, stop or fool the run.

    python -m tests.fuzz.fuzz --files 20000 --plain 10000 --seed 0 --json fuzz.json

`--files` of every format, and `--plain` PNG and JPEG of which only the compressed pixels are broken, because these are
decoded in the process itself. Exit code 1 when a process of the reader crashed or hung, or something else than an
ImageError was raised. A crash of a child that decodes is no fault of the run, but is counted and kept, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.reader import FAULTS

READER = (sys.executable, "-P", "-m", "tests.fuzz.reader")
SILENCE_S = 200  # longer than a child may take
SLOW_S = 10
_FILES_OF_A_PROCESS = 1000


@dataclass
class Figures:
    """What came of the files of one kind."""

    kind: str
    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    in_process: int = 0
    slow: int = 0
    slowest_s: float = 0
    memory_bytes: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0

    def count(self, row: dict[str, Any]) -> None:
        self.files += 1
        self.outcomes[row["outcome"]] += 1
        self.in_process += row.get("in_process", False)
        self.slow += row["seconds"] > SLOW_S
        self.slowest_s = max(self.slowest_s, row["seconds"])
        if row["outcome"] not in ("read", "refused"):
            self.faults.append(f"{self.kind} {row['number']}: {row['outcome']}: {row['message'][:500]}")

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "outcomes": dict(self.outcomes)}

    @property
    def failed(self) -> bool:
        return any(self.outcomes[outcome] for outcome in ("crashed", "hung", *FAULTS))


def fuzzed(kind: str, seed: int, files: int, *, jobs: int, keep: Path, reader: Sequence[str] = READER) -> Figures:
    """The figures of `files` files of a kind, read in `jobs` processes at a time."""
    start, figures, lock = time.monotonic(), Figures(kind), threading.Lock()

    def one(first: int) -> None:
        last = min(first + _FILES_OF_A_PROCESS, files)
        while first < last:
            rows, memory, ending = _rows([*reader, kind, f"{seed}", f"{first}", f"{last}", f"{keep}"])
            with lock:
                for row in rows:
                    figures.count(row)
                if ending:
                    figures.count(ending)
                figures.memory_bytes = max(figures.memory_bytes, memory)
                _progress(figures, files)
            first = ending["number"] + 1 if ending else last

    with ThreadPoolExecutor(jobs) as threads:
        list(threads.map(one, range(0, files, _FILES_OF_A_PROCESS)))
    figures.seconds = time.monotonic() - start
    return figures


def _rows(command: list[str]) -> tuple[list[dict[str, Any]], int, dict[str, Any] | None]:
    """The rows of one process of the reader, the most memory it held, and the row of the file that ended it."""
    rows, memory, begun, was_silent = [], 0, {"number": int(command[-3])}, threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None

        def stop() -> None:
            was_silent.set()
            process.kill()

        said: list[str] = []
        listener = threading.Thread(target=said.extend, args=(process.stderr,))
        listener.start()
        line = " "
        while line:
            watchdog = threading.Timer(SILENCE_S, stop)
            watchdog.start()
            line = process.stdout.readline()
            watchdog.cancel()
            row = json.loads(line) if line.endswith("\n") else {}
            if "memory" in row:
                memory = row["memory"]
            elif "outcome" in row:
                rows.append(row)
            elif row:
                begun = row
        listener.join()
    if process.returncode == 0:
        return rows, memory, None
    outcome = "hung" if was_silent.is_set() else "crashed"
    message = f"exit code {process.returncode}: {''.join(said)[-2000:]}"
    return rows, memory, {**begun, "outcome": outcome, "message": message, "seconds": 0}


def _progress(figures: Figures, files: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{figures.kind}: {figures.files} of {files}", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--plain", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_findings"), help="folder of the files that did harm")
    chosen = parser.parse_args(arguments)
    wanted = {"any": chosen.files, "plain": chosen.plain}
    found = [fuzzed(kind, chosen.seed, files, jobs=chosen.jobs, keep=chosen.keep) for kind, files in wanted.items()]
    print(table(found))
    if chosen.json:
        report = {"seed": chosen.seed, "figures": [figures.as_json() for figures in found]}
        chosen.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(any(figures.failed for figures in found))


def table(found: Sequence[Figures]) -> str:
    """The figures side by side, and every fault on a line."""
    counted = ("read", "refused", "child crashed", "child hung", "child out of memory", "unexpected", "wrong",
               "crashed", "hung")  # fmt: skip
    rows: list[tuple[str, list[object]]] = [("", [figures.kind for figures in found])]
    rows += [("files", [figures.files for figures in found])]
    rows += [(name, [figures.outcomes[name] for figures in found]) for name in counted]
    rows += [
        ("decoded in the process", [figures.in_process for figures in found]),
        (f"slower than {SLOW_S} s", [figures.slow for figures in found]),
        ("slowest, s", [f"{figures.slowest_s:.2f}" for figures in found]),
        ("most memory, MiB", [figures.memory_bytes >> 20 for figures in found]),
        ("seconds", [f"{figures.seconds:.0f}" for figures in found]),
    ]
    lines = [f"{name:24}" + "".join(f"{value:>10}" for value in values) for name, values in rows]
    return "\n".join([*lines, *(fault for figures in found for fault in figures.faults)])


if __name__ == "__main__":
    sys.exit(main())
