"""Runs to experiment trackers, after all else was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Self

from relight_eval.cli.output import talk, warn
from relight_eval.errors import ReportError, UsageError

if TYPE_CHECKING:
    from relight_eval.results import Results
    from relight_eval.trackers import Tracker
    from relight_eval.trackers.entry import Entry


@dataclass(frozen=True)
class Logs:
    """The trackers that were asked for, and the step of training that is logged."""

    trackers: tuple[Tracker, ...] = ()
    step: int | None = None

    @classmethod
    def of(cls, words: Sequence[str] | None, step: int | None = None) -> Self:
        """Of --log and --log-step. Raises UsageError for what is no tracker; see `require`, too."""
        if not words:
            if step is not None:
                raise UsageError("--log-step is about --log; say where to log, as in --log tensorboard:runs/exp1")
            return cls()
        from relight_eval.trackers import tracker

        return cls(tuple(tracker(word) for word in dict.fromkeys(words)), step)

    def require(self, saved: Mapping[str, Results] | None = None) -> None:
        """Raises UsageError where nothing could be logged, or a `saved` run was stopped, before any image is read.

        (After all that is cheaper: it imports the libraries, and asks a server.)
        """
        for label, run in (saved or {}).items() if self.trackers else ():
            if run.unfinished:  # its means would be a wrong point of a curve
                raise UsageError(f"--log logs no run that was stopped; finish {label} with `score --resume` first")
        for tracker in self.trackers:
            tracker.require()

    def save(self, entries: Callable[[], list[Entry]], *, quiet: bool) -> list[str]:
        """Logs to every tracker; what of it could not be logged, as messages."""
        failed: list[str] = []
        found = entries() if self.trackers else []
        for line in dict.fromkeys(chain.from_iterable(entry.left_out for entry in found)):
            warn(line)
        for tracker in self.trackers:
            try:
                tracker.log(found)
            except ReportError as error:
                failed.append(str(error))
            else:
                if not quiet:
                    talk(f"logged to {tracker.word}")
        return failed


NO_LOGS = Logs()
