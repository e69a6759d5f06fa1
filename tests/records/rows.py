"""Keys and rows for tests, by number."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from relight_eval.records import Key
from relight_eval.results import Row


def key(number: int) -> Key:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return Key(prediction=digest, target=digest[::-1], input="", mask="", floor="", protocol="p")


def row(number: int) -> Row:
    """The row under `key(number)`; no two are alike."""
    of = key(number)
    return Row(
        f"{number}",
        "out/a.png",
        "gt/a.png",
        number + 1,
        7,
        {"psnr": float("inf"), "ssim": number / 7},
        note="target: grey",
        digests={"input": "ab"},
        mistakes=("prediction and input are one picture",),
        sha256={"prediction": of.prediction, "target": of.target},
    )


def kept(row: Row) -> Row:
    """What of it is kept."""
    return replace(row, name="", prediction="", target="", input="", mask="")
