"""Ctrl-C: once ends a run in order, twice at once."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Self

from relight_eval.cli import exit_codes

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # a CI system that cancels a job terminates, which counts as Ctrl-C


class Stop:
    """Within `with Stop()`, whether the user has asked to stop; calling it says so, and that from now on there is work
    to finish. Before, Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.asked = False
        self.kept = ""  # what to say of the scores so far to who stops at once
        self._working = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in _heeded()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        self._working = True
        return self.asked

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True  # (some imports swallow a KeyboardInterrupt: then the work ends at once)
        if not self._working:
            raise KeyboardInterrupt
        if again:
            _say("relight-eval: stopped at once; " + (self.kept or "nothing was written"))
            os._exit(exit_codes.INTERRUPTED)
        _say("relight-eval: stopping after what has begun (Ctrl-C again: at once)")


def interrupt_at_once() -> None:
    """From now on a request to stop raises KeyboardInterrupt."""
    for number in _heeded():
        signal.signal(number, signal.default_int_handler)


def _heeded() -> list[signal.Signals]:
    """Those that are not ignored, as a shell ignores them for what runs in the background."""
    return [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _say(line: str) -> None:
    """(Not by a stream, which may be in the middle of a line of its own.)"""
    os.write(2, f"\r{line}\n".encode("utf-8", "backslashreplace"))
