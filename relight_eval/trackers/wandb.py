"""`--log wandb:PROJECT`: a run on Weights & Biases, or with WANDB_MODE=offline on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from relight_eval.errors import ReportError, UsageError
from relight_eval.trackers.entry import Entry
from relight_eval.trackers.hushed import hushed

NEEDS = "needs W&B: pip install 'relight-eval[wandb]'"
STEP = "training_step"  # the axis of the curves; W&B's own step drops what comes late
MOST_ROWS = 10_000  # of a table that W&B shows
UPLOAD_S = 300  # how long to wait for the network at the end
UNWATCHED = {"WANDB_ERROR_REPORTING": "false"}  # else its errors go to another server


class WandB:
    """A project, `PROJECT` or `ENTITY/PROJECT`, or where none is named, that of WANDB_PROJECT.

    A run of one's own, such as that of the training, is gone on with where WANDB_RUN_ID names it.
    """

    def __init__(self, word: str, target: str) -> None:
        self.word = word
        self.entity, _, self.project = target.rpartition("/")
        if re.search(r"[/\\#?%:]", self.entity + self.project) or (target and not self.project):
            raise UsageError(f"--log {word}: name a project, as in wandb:my-project or wandb:my-team/my-project")

    def require(self) -> None:
        with hushed(UsageError, f"--log {self.word}"):
            wandb = self._library()
            if wandb.setup().settings.mode in ("online", "run", "shared") and not _logged_in(wandb):
                raise UsageError(
                    f"--log {self.word}: no API key; run `wandb login`, or set WANDB_API_KEY or WANDB_MODE=offline"
                )

    def log(self, entries: Sequence[Entry]) -> None:
        with hushed(ReportError, f"--log {self.word}"):
            wandb = self._library()
            run = wandb.init(
                project=self.project or None, entity=self.entity or None, resume=_resume(), settings=_settings(wandb)
            )
            failed = True
            try:
                for entry in entries:
                    _log(wandb, run, entry)
                failed = False
            finally:
                run.finish(exit_code=int(failed))
                wandb.teardown()  # the process beside ours that sends

    def _library(self) -> Any:
        for name, value in UNWATCHED.items():
            os.environ.setdefault(name, value)
        try:
            import wandb
        except ImportError as error:
            raise UsageError(f"--log {self.word} {NEEDS}") from error
        return wandb


def _logged_in(wandb: Any) -> bool:
    """Whether there is a key. (W&B asks on a terminal, and raises where there is none: hushed, there is none.)"""
    try:
        return bool(wandb.login())
    except wandb.errors.UsageError:
        return False


def _resume() -> str | None:
    """A run that is named is gone on with: W&B would begin it anew, and drop what it has."""
    return "allow" if os.environ.get("WANDB_RUN_ID") and not os.environ.get("WANDB_RESUME") else None


def _settings(wandb: Any) -> Any:
    """(What we print is none of W&B's business.)"""
    bounded = {"finish_timeout": UPLOAD_S, "finish_timeout_raises": True}  # older versions wait for ever
    known = {name: value for name, value in bounded.items() if name in wandb.Settings.model_fields}
    return wandb.Settings(silent=True, console="off", **known)


def _log(wandb: Any, run: Any, entry: Entry) -> None:
    scalars = entry.scalars
    if entry.step is not None:
        run.define_metric(STEP, hidden=True)
        for name in scalars:
            run.define_metric(name, step_metric=STEP)
    run.config.update({"relight_eval": entry.protocol}, allow_val_change=True)
    if entry.outcome:
        run.summary["rules"] = entry.outcome
    head, rows = entry.table()
    shots = [wandb.Image(shot.image(), caption=shot.caption, file_type="jpg") for shot in entry.shots]
    run.log(
        {
            **scalars,
            **({} if entry.step is None else {STEP: entry.step}),
            **({"worst": shots} if shots else {}),
            "scores" if len(rows) <= MOST_ROWS else f"scores_worst_{MOST_ROWS}": wandb.Table(head, rows[:MOST_ROWS]),
        }
    )
