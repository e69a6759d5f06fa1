"""Running the command line inside the test's process, exit code and all."""

from __future__ import annotations

import signal
import sys
from typing import NamedTuple

import pytest

from relight_eval.cli import main


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """`command("score", "out", "gt")` is what a shell does with `relight-eval score out gt`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def __call__(self, *words: object) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["relight-eval", *map(str, words)])
        self.capfd.readouterr()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.raises(SystemExit) as stopped:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = self.capfd.readouterr()
        return Outcome(int(stopped.value.code or 0), out, err)
