"""What is kept of a run while it goes on: its places locked, its rows in a journal and a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from relight_eval.cli import exit_codes
from relight_eval.cli.output import STDOUT, talk, warn
from relight_eval.cli.stopping import Stop
from relight_eval.errors import UsageError, shown
from relight_eval.places import Address, place

if TYPE_CHECKING:
    from relight_eval.records.journal import Journal
    from relight_eval.records.keeping import Keeping
    from relight_eval.results import Results


@dataclass(frozen=True)
class Kept:
    """Where the rows of a run are kept while it goes on, whether it is to stop, and whether files are written of what
    is done by then.
    """

    keeping: Keeping
    journal: Journal | None
    stop: Stop
    reports: bool

    def finish(self, results: Results, *, written: bool) -> str:
        """Removes a journal that has become of no use, or says what it is good for."""
        if self.journal is None:
            return ""
        if written and not results.errors and not self.stop.asked:
            self.journal.done()
        return _good_for(self.journal) if self.journal.held else ""


@contextmanager
def kept(files: Mapping[str, str], *, resume: bool, cache: Path | None) -> Iterator[Kept]:
    """Within, no other run writes these files, rows are kept beside the first of them and in the `cache`, and Ctrl-C
    is a request to stop; a KeyboardInterrupt ends the process in order. Of what ends with an error, it is told what is
    kept. Only files of this machine can be locked, and have rows beside them.

    Raises ReportError where another run writes them.
    """
    from relight_eval.files import is_place
    from relight_eval.records.cache import Cache
    from relight_eval.records.journal import Journal, journal_path
    from relight_eval.records.keeping import Keeping
    from relight_eval.records.lock import Lock

    named = [place(word) for word in files.values() if word != STDOUT]
    places = [path for path in named if isinstance(path, Path) and is_place(path)]
    if resume and not places:
        if remote := next((path for path in named if isinstance(path, Address)), None):
            raise UsageError(
                f"--resume: no scores are kept beside {remote}, for it is an address; name a local file (--csv, or a "
                "part's --json), or keep them with --cache DIR"
            )
        raise UsageError(
            "--resume goes on with a run that wrote a file; name the one it wrote, such as --csv scores.csv"
        )
    journal = None
    try:
        with ExitStack() as stack:
            stop = stack.enter_context(Stop())
            for path in places:
                stack.enter_context(Lock(path, tell=warn))
            if places:
                journal = stack.enter_context(Journal(journal_path(places[0]), resume=resume, tell=warn))
                stop.kept = _good_for(journal)
            cached = [] if cache is None else [stack.enter_context(Cache(cache, tell=warn))]
            own = [] if journal is None else [journal]
            reports = bool(places) or any(isinstance(path, Address) for path in named)
            yield Kept(Keeping([*(own if resume else []), *cached], [*own, *cached]), journal, stop, reports)
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        said = ["interrupted; nothing was written"] if interrupted else []
        if said := [*said, *([_good_for(journal)] if journal and journal.held else [])]:
            talk(f"relight-eval: {'; '.join(said)}")
        if interrupted:
            raise typer.Exit(exit_codes.INTERRUPTED) from None
        raise


def _good_for(journal: Journal) -> str:
    what = "what there was room for" if journal.is_short else "the scores so far"
    return f"{shown(journal.path)} keeps {what} for --resume"
