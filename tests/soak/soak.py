"""Runs that are killed at random moments and gone on with: `python -m tests.soak.soak --kills 50 --json soak.json`.

Counts kills survived (the files in the end are byte for byte those of an undisturbed run, and never was a broken one
seen under its final name) and rows lost (whole records of the journal at the moment of the kill, scored again after).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from relight_eval.records.codec import decoded
from tests.folders import two_folders

OPTIONS = ("-m", "charbonnier,wssim,psnr,ssim,lpips,diagnosis", "--device", "cpu", "-b", "2", "--floors", "--offline")
REPORTS = {"csv": "scores.csv", "json": "scores.json", "junit": "scores.xml", "markdown": "scores.md"} | {
    "html": "scores.html"
}
JOURNAL = "scores.csv.journal"
TEMPORARY = re.compile(r"\.scores\.\w+\.\w{8}")  # what was being written when the run was killed


@dataclass
class Found:
    """What happened."""

    kills: int = 0
    survived: int = 0
    rows_kept: int = 0
    rows_lost: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), kills=asked.kills, pairs=asked.pairs, seed=asked.seed)
    print(f"kills survived   {found.survived} of {found.kills}")
    print(f"rows kept, lost  {found.rows_kept}, {found.rows_lost}")
    for fault in found.faults:
        print(fault)
    if asked.json:
        asked.json.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return 1 if found.faults or found.survived < found.kills or found.rows_lost else 0


def soak(root: Path, *, kills: int, pairs: int, seed: int) -> Found:
    """Runs that are each killed once, twice or three times, until there were so many kills."""
    chance = random.Random(seed)
    folders = two_folders(root, pairs, height=72, width=80)
    began = time.monotonic()
    whole = score(folders, root / "whole")
    whole.communicate()
    assert whole.returncode == 0
    takes_s = time.monotonic() - began
    expected = files(root / "whole")
    found = Found()
    while found.kills < kills:
        place = root / f"run{found.kills}"
        faults = len(found.faults)
        killed = min(chance.randint(1, 3), kills - found.kills)
        for _ in range(killed):
            kill_one(folders, place, chance.uniform(0.3, takes_s), expected, found)
        go_on(folders, place, expected, found)
        found.survived += killed if len(found.faults) == faults else 0
    return found


def score(folders: tuple[Path, Path], place: Path) -> subprocess.Popen[str]:
    """A run with all reports in this folder; it goes on with what is there."""
    place.mkdir(exist_ok=True)
    reports = [word for option, name in REPORTS.items() for word in (f"--{option}", name)]
    words = [sys.executable, "-m", "relight_eval", "score", *map(str, folders), *OPTIONS, *reports, "--resume"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        words, cwd=place, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def kill_one(folders: tuple[Path, Path], place: Path, after_s: float, expected: dict[str, bytes], found: Found) -> None:
    """kill -9 after so many seconds, if the run has not ended by then; what stands there is whole, if there is any."""
    run = score(folders, place)
    time.sleep(after_s)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    found.kills += 1
    for name, content in files(place).items():
        if content != expected[name]:
            found.faults.append(f"{place.name}: {name} is not whole after a kill at {after_s:.2f} s")


def go_on(folders: tuple[Path, Path], place: Path, expected: dict[str, bytes], found: Found) -> None:
    """The run to its end: the files are those of an undisturbed one, and no whole record is scored again."""
    before = records(place / JOURNAL)
    run = score(folders, place)
    _, err = run.communicate()
    if run.returncode != 0 or files(place) != expected:
        differ = [name for name in expected if files(place).get(name) != expected[name]]
        found.faults.append(f"{place.name}: exit code {run.returncode}, different: {differ}\n{err}")
    told = re.search(r"(\d+) of \d+ pairs are scored already", err)
    found.rows_kept += before
    found.rows_lost += max(0, before - (int(told[1]) if told else 0))
    left = {name for name in os.listdir(place) if name not in expected and not TEMPORARY.fullmatch(name)}
    if left:
        found.faults.append(f"{place.name}: left behind {sorted(left)}")


def records(journal: Path) -> int:
    """Whole records of pairs in a journal, those of floors left out."""
    lines = journal.read_bytes().splitlines() if journal.exists() else []
    keys = {record[0] for line in lines if (record := decoded(line)) and not record[0].floor}
    return len(keys)


def files(place: Path) -> dict[str, bytes]:
    return {name: (place / name).read_bytes() for name in REPORTS.values() if (place / name).exists()}


if __name__ == "__main__":
    sys.exit(main())
