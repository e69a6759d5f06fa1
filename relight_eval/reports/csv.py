"""The table as CSV, columns as in the contract; scores read back to the same float, `inf` for an infinite PSNR."""

from __future__ import annotations

from relight_eval.results import Results


def render(results: Results) -> str:
    return str(results.to_frame().to_csv(index=False, lineterminator="\n"))
