"""`--log mlflow:URI`: a run of an MLflow experiment, on a server or in a database of one's own."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from relight_eval.errors import ReportError, UsageError, printable
from relight_eval.reports import REPORTS
from relight_eval.trackers.entry import Entry, unique
from relight_eval.trackers.hushed import hushed

NEEDS = "needs MLflow: pip install 'relight-eval[mlflow]'"
EXPERIMENT = "relight-eval"
LONGEST_TAG, AT_ONCE = 5000, 1000  # characters of a value, metrics of a request: what every server takes
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # else minutes, each time
UNWATCHED = {"MLFLOW_DISABLE_TELEMETRY": "true"}  # else it tells its makers, too


class MLflow:
    """A tracking server, or where none is named, that of MLFLOW_TRACKING_URI. Entries without a step stand at step 0.

    A run of one's own, such as that of the training, is gone on with where MLFLOW_RUN_ID names it, and left open.
    """

    def __init__(self, word: str, target: str) -> None:
        self.word, self.target = word, target

    def require(self) -> None:
        with hushed(UsageError, f"--log {self.word}"):
            self._place(self._client())

    def log(self, entries: Sequence[Entry]) -> None:
        with hushed(ReportError, f"--log {self.word}"):
            client = self._client()
            run_id, experiment = self._place(client)
            if run_id:
                _log_all(client, run_id, entries)
                return
            run_id = client.create_run(experiment, run_name=os.environ.get("MLFLOW_RUN_NAME")).info.run_id
            status = "FAILED"
            try:
                _log_all(client, run_id, entries)
                status = "FINISHED"
            finally:
                with suppress(Exception):
                    client.set_terminated(run_id, status)

    def _client(self) -> Any:
        for name, value in (PATIENCE | UNWATCHED).items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise UsageError(f"--log {self.word} {NEEDS}") from error
        return MlflowClient(self.target or None)

    def _place(self, client: Any) -> tuple[str, str]:
        """The run to go on with, or "", and the experiment, which is made if it is not there."""
        if run_id := os.environ.get("MLFLOW_RUN_ID"):
            return run_id, client.get_run(run_id).info.experiment_id
        if experiment_id := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return "", client.get_experiment(experiment_id).experiment_id
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage != "active":
            raise UsageError(f"--log {self.word}: the experiment {name} was deleted; set MLFLOW_EXPERIMENT_NAME")
        return "", found.experiment_id if found else client.create_experiment(name)


def _log_all(client: Any, run_id: str, entries: Sequence[Entry]) -> None:
    for entry in entries:
        _log_metrics(client, run_id, entry)
        _log_files(client, run_id, entry)


def _log_metrics(client: Any, run_id: str, entry: Entry) -> None:
    """(No params: those of a run cannot change, but what is scored does from step to step.)"""
    from mlflow.entities import Metric, RunTag

    now, scalars = int(time.time() * 1000), entry.scalars
    names = unique({name: _metric(name) for name in scalars})
    metrics = [Metric(names[name], value, now, entry.step or 0) for name, value in scalars.items()]
    for first in range(0, len(metrics), AT_ONCE):
        client.log_batch(run_id, metrics=metrics[first : first + AT_ONCE])
    tags = {f"relight_eval.{_metric(key)}": value for key, value in entry.protocol.items()}
    if entry.outcome:
        tags["relight_eval.rules"] = entry.outcome
    client.log_batch(run_id, tags=[RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items()])


def _log_files(client: Any, run_id: str, entry: Entry) -> None:
    """The table, everything, and a report as files of the step; the pictures in MLflow's own way, by their names."""
    folder = "relight-eval" if entry.step is None else f"relight-eval/step_{entry.step}"
    for name, report in (("scores.csv", "csv"), ("scores.json", "json"), ("report.md", "markdown")):
        client.log_text(run_id, printable(REPORTS[report](entry.results)), f"{folder}/{name}")
    for shot in entry.shots:
        client.log_image(run_id, shot.image(), key=f"worst/{_key(shot.name)}", step=entry.step or 0)


def _metric(name: str) -> str:
    """What MLflow takes for a name. (`psnr` and `psnr/p05` would be a file and a folder of one name in old stores.)"""
    return re.sub(r"[^\w. -]", "_", name.replace("/", "."))[:250]


def _key(name: str) -> str:
    """What MLflow takes for the key of an image."""
    return re.sub(r"[^a-zA-Z0-9_. -]", "_", name.replace("/", "-"))[:100] or "_"
