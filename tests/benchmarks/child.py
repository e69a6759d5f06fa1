"""The process that does one measurement: `python -m tests.benchmarks.child time|report ORDER`, all in JSON.

The last line of its output is the answer.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import asdict
from typing import Any

from tests.benchmarks.measure import MissingError, Task, device_bytes, peak_bytes, timed
from tests.benchmarks.works import WORKS


def answer(action: str, order: dict[str, Any]) -> dict[str, Any]:
    if action == "report" and order["report"] == "million":
        from tests.benchmarks.million import million

        return million(**order["options"])
    if action == "report":
        from tests.benchmarks.accuracy import REPORTS  # here, so that what it imports weighs nothing elsewhere

        return REPORTS[order["report"]](**order["options"])
    task = Task(**order)
    work, note = WORKS[task.work](**task.options)
    rounds = [asdict(round_) for round_ in timed(work, task)]
    return {"rounds": rounds, "peak_bytes": peak_bytes(), "device_bytes": device_bytes(), "note": note}


def main() -> None:
    warnings.simplefilter("ignore")  # of libraries about themselves
    action, order = sys.argv[1], json.loads(sys.argv[2])
    try:
        found = answer(action, order)
    except MissingError as error:
        found = {"missing": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
