"""Every tracker, read back by its own library; nothing of it on a terminal, and no network."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from relight_eval.errors import ReportError, UsageError
from relight_eval.reports import REPORTS
from relight_eval.trackers import TRACKERS, tracker
from relight_eval.trackers.hushed import hushed
from tests.runs import VERDICTS, run
from tests.trackers.offline import config, history
from tests.trackers.samples import logged

MLFLOW = ("TRACKING_URI", "RUN_ID", "RUN_NAME", "EXPERIMENT_ID", "EXPERIMENT_NAME")
WANDB = ("RUN_ID", "RESUME", "MODE", "API_KEY", "PROJECT", "ENTITY", "DIR", "BASE_URL")


@pytest.fixture(autouse=True)
def alone(empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder, and nothing that says where to log."""
    monkeypatch.chdir(tmp_path)
    for name in (*(f"MLFLOW_{name}" for name in MLFLOW), *(f"WANDB_{name}" for name in WANDB)):
        monkeypatch.delenv(name, raising=False)


class TestWords:
    def test_are_the_names_of_the_table(self) -> None:
        assert {name: type(tracker(f"{name}:x")) for name in TRACKERS} == TRACKERS
        assert tracker("mlflow:sqlite:///a.db").word == "mlflow:sqlite:///a.db"

    def test_home_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        found = tracker("tensorboard:~/runs")
        assert isinstance(found, TRACKERS["tensorboard"])
        assert (found.word, found.target) == ("tensorboard:~/runs", "/home/me/runs")

    def test_unknown_names_the_nearest(self) -> None:
        with pytest.raises(UsageError, match=r"--log tensorbord:x: 'tensorbord' is no tracker; did you mean tensorb"):
            tracker("tensorbord:x")
        with pytest.raises(UsageError, match=r"known are tensorboard, mlflow, wandb"):
            tracker("x")

    @pytest.mark.parametrize(
        "word",
        [
            "mlflow:postgresql://me:hunter2@db/runs",
            "mlflow:https://hunter2@host",
            "nothing:https://me:hunter2@host",
            "mlflow:https://host/?api_key=hunter2",
            "mlflow:https://host/?sig=hunter2",
        ],
    )
    def test_secrets_are_refused_and_not_repeated(self, word: str) -> None:
        with pytest.raises(UsageError, match="holds a user or a password") as raised:
            tracker(word)
        assert "hunter2" not in str(raised.value)

    @pytest.mark.parametrize("word", ["wandb:a/b/c", "wandb:team/", "wandb:a b?", "tensorboard", "tensorboard:"])
    def test_targets_that_are_none(self, word: str) -> None:
        with pytest.raises(UsageError, match=r"name (a project|the folder of the logs), as in"):
            tracker(word)

    @pytest.mark.parametrize("name", TRACKERS)
    def test_a_missing_library_names_the_extra(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UsageError, match=rf"--log {name}:x needs .*pip install 'relight-eval\[{name}\]'"):
            tracker(f"{name}:x").require()


class TestHushed:
    def test_nothing_is_printed_logged_or_warned_of(self, capfd: pytest.CaptureFixture[str]) -> None:
        with hushed(ReportError, "x"):
            print("a")
            print("b", file=sys.stderr)
            logging.getLogger("c").error("c")
            warnings.warn("d", stacklevel=1)
        assert capfd.readouterr() == ("", "")
        assert logging.root.manager.disable == logging.NOTSET

    def test_what_a_library_says_is_one_line_without_secrets(self) -> None:
        with pytest.raises(ReportError) as raised, hushed(ReportError, "--log x"):
            raise OSError("\n  cannot reach http://me:hunter2@host/a\x1b\nsecond line")
        assert str(raised.value) == "--log x: cannot reach http://…@host/a\N{REPLACEMENT CHARACTER}"
        with pytest.raises(ReportError, match=r"^y: KeyError$"), hushed(ReportError, "y"):
            raise KeyError
        with pytest.raises(ReportError) as raised, hushed(ReportError, "z"):
            raise ValueError("long " * 1000)
        assert len(str(raised.value)) < 400

    def test_ctrl_c_is_no_failure(self) -> None:
        with pytest.raises(KeyboardInterrupt), hushed(ReportError, "x"):
            raise KeyboardInterrupt


def read_events(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), {"images": 0, "scalars": 0, "tensors": 0})
    found.Reload()
    return found


class TestTensorBoard:
    def test_several_calls_draw_curves(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        board = tracker("tensorboard:runs/exp1")
        board.require()
        assert not Path("runs").exists()
        board.log([logged(100), logged(200)])
        board.log([logged(300)])
        assert capfd.readouterr() == ("", "")
        found = read_events(tmp_path / "runs" / "exp1")
        assert [(event.step, event.value) for event in found.Scalars("psnr")] == [
            (100, 27.25),
            (200, 27.25),
            (300, 27.25),
        ]
        assert set(found.Tags()["scalars"]) == set(logged().scalars)
        texts = {tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in found.Tags()["tensors"]}
        assert texts == {"relight-eval/report": logged().report, "relight-eval/protocol": logged().protocol_table}
        assert found.Tags()["images"] == ["worst/a", "worst/b10"]
        image = found.Images("worst/a")[0]
        assert PIL.Image.open(io.BytesIO(image.encoded_image_string)).size == (image.width, image.height) == (80, 16)

    def test_without_a_step_it_is_the_first(self, tmp_path: Path) -> None:
        tracker("tensorboard:runs").log([logged()])
        assert [event.step for event in read_events(tmp_path / "runs").Scalars("ssim")] == [0]

    def test_the_text_is_one_for_the_text_dashboard(self, tmp_path: Path) -> None:
        tracker("tensorboard:runs").log([logged()])
        assert set(read_events(tmp_path / "runs").PluginTagToContent("text")) == {
            "relight-eval/report",
            "relight-eval/protocol",
        }

    def test_a_file_in_the_way(self) -> None:
        Path("runs").write_text("")
        for word in ("tensorboard:runs", "tensorboard:runs/exp1"):
            with pytest.raises(UsageError, match=r"--log tensorboard:runs.*: .*runs is a file; name a folder"):
                tracker(word).require()
        with pytest.raises(ReportError, match="--log tensorboard:runs: "):
            tracker("tensorboard:runs").log([logged()])

    def test_a_folder_that_cannot_be_written_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("runs").mkdir()
        monkeypatch.setattr("os.access", lambda *_: False)
        with pytest.raises(UsageError, match="cannot write to runs: permission denied"):
            tracker("tensorboard:runs").require()

    def test_a_disk_that_is_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """(Written by a thread: what goes wrong there must not be lost.)"""
        from tensorboard.summary.writer.record_writer import RecordWriter

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(RecordWriter, "flush", full)
        with pytest.raises(ReportError, match="No space left on device"):
            tracker("tensorboard:runs").log([logged()])


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a database; making its tables takes long."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


class TestMLflow:
    @pytest.fixture
    def client(self, database: str) -> Any:
        with hushed(UsageError, "the test"):
            from mlflow import MlflowClient

            return MlflowClient(database)

    def runs(self, client: Any, experiment: str) -> list[Any]:
        found = client.get_experiment_by_name(experiment)
        return list(client.search_runs([found.experiment_id]))

    def test_everything_is_there(
        self,
        database: str,
        client: Any,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("MLFLOW_RUN_NAME", "night")
        flow = tracker(f"mlflow:{database}")
        flow.require()
        flow.log([logged(100), logged(200)])
        assert capfd.readouterr() == ("", "")
        (found,) = self.runs(client, "relight-eval")
        assert (found.info.run_name, found.info.status) == ("night", "FINISHED")
        assert found.data.metrics == {name.replace("/", "."): value for name, value in logged().scalars.items()}
        curve = client.get_metric_history(found.info.run_id, "psnr")
        assert [(point.step, point.value) for point in curve] == [(100, 27.25), (200, 27.25)]
        tags = {key: value for key, value in found.data.tags.items() if key.startswith("relight_eval.")}
        assert tags == {
            **{f"relight_eval.{key}": value for key, value in logged().protocol.items()},
            "relight_eval.rules": "fail",
        }
        table = client.download_artifacts(found.info.run_id, "relight-eval/step_100/scores.csv", str(tmp_path))
        assert Path(table).read_bytes() == REPORTS["csv"](run(verdicts=VERDICTS)).encode()
        whole = client.download_artifacts(found.info.run_id, "relight-eval/step_200/scores.json", str(tmp_path))
        assert json.loads(Path(whole).read_text())["format"] == 1
        images = [
            file.path for file in client.list_artifacts(found.info.run_id, "images") if file.path.endswith(".png")
        ]
        steps = sorted(name.split("/")[1].replace("%", "+").split("+timestamp")[0] for name in images)
        assert [step.replace("#", "~") for step in steps] == [
            "worst~a+step+100", "worst~a+step+200", "worst~b10+step+100", "worst~b10+step+200",
        ]  # fmt: skip

    def test_a_run_of_one_s_own_is_gone_on_with(
        self, database: str, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        training = client.create_run(client.create_experiment("training")).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", training)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
        flow = tracker("mlflow")  # where, the environment says
        flow.require()
        flow.log([logged(7)])
        (found,) = self.runs(client, "training")
        assert found.info.status == "RUNNING"
        assert [point.step for point in client.get_metric_history(training, "ssim")] == [7]
        monkeypatch.setenv("MLFLOW_RUN_ID", "nosuchrun")
        with pytest.raises(UsageError, match=r"--log mlflow: .*nosuchrun"):
            flow.require()

    def test_what_fails_on_the_way(self, database: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow import MlflowClient

        def broken(*_: object, **__: object) -> None:
            raise ConnectionError("the server went away")

        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "failing")
        monkeypatch.setattr(MlflowClient, "log_text", broken)
        with pytest.raises(ReportError, match=r"--log mlflow:sqlite.*: the server went away"):
            tracker(f"mlflow:{database}").log([logged()])
        (found,) = self.runs(client, "failing")
        assert found.info.status == "FAILED"
        client.delete_experiment(found.info.experiment_id)
        with pytest.raises(UsageError, match="the experiment failing was deleted"):
            tracker(f"mlflow:{database}").require()

    def test_odd_names_are_made_fit(self, database: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from relight_eval.trackers.mlflow import _key, _metric

        names = ["psnr/scene/../?=", "\u30ad", "a" * 400, "", "/", "x:y"]
        experiment = client.create_experiment("odd")
        run_id = client.create_run(experiment).info.run_id
        for name in names:
            client.log_metric(run_id, _metric(f"psnr/{name}"), 1.0)
            client.log_image(run_id, PIL.Image.new("RGB", (2, 2)), key=f"worst/{_key(name)}", step=0)
        assert len(client.get_run(run_id).data.metrics) == len(names)

    def test_a_server_that_is_not_there_is_told_of_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # (which the user may say: the default takes 6 s)
        with socket.socket() as bound:  # and does not listen
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(UsageError, match=r"^--log mlflow:\S+: nothing answers at 127\.0\.0\.1:\d+; see that"):
                tracker(f"mlflow:http://127.0.0.1:{bound.getsockname()[1]}").require()

    def test_its_makers_are_not_told(self, database: str) -> None:
        """In a process of its own, which does not look like a test or CI: MLflow is silent in those by itself."""
        program = (
            "import sys; from relight_eval.trackers import tracker\n"
            "tracker(sys.argv[1]).require()\n"
            "from mlflow.telemetry.utils import is_telemetry_disabled\n"
            "assert is_telemetry_disabled()\n"
        )
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        root = str(Path(__file__).parents[2])
        ran = subprocess.run(
            [sys.executable, "-c", program, f"mlflow:{database}"],
            env={**kept, "PYTHONPATH": root},
            capture_output=True,
            text=True,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


class TestWandB:
    def file(self) -> Path:
        (found,) = Path("wandb").glob("offline-run-*/run-*.wandb")
        return found

    def test_offline(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr("relight_eval.trackers.wandb.MOST_ROWS", 5)
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_RUN_ID", "training7")
        board = tracker("wandb:team/my-project")
        board.require()
        board.log([logged(100), logged(200)])
        assert capfd.readouterr() == ("", "")
        assert self.file().name == "run-training7.wandb"
        steps = history(self.file())
        assert [step["training_step"] for step in steps] == [100, 200]
        assert {name: steps[0][name] for name in logged().scalars} == pytest.approx(logged().scalars)
        assert steps[0]["worst/captions"] == [shot.caption for shot in logged().shots]
        files = self.file().parent / "files"
        with PIL.Image.open(files / steps[1]["worst/filenames"][0]) as image:
            assert image.size == (80, 16)
        table = json.loads((files / steps[0]["scores_worst_5/path"]).read_text())
        assert table["columns"] == logged().table()[0]
        assert table["data"][0] == logged().table()[1][0]
        assert len(table["data"]) == 5
        assert config(self.file())["relight_eval"] == logged().protocol
        assert not processes("wandb-core")

    def test_a_run_of_one_s_own_is_never_begun_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from relight_eval.trackers.wandb import _resume

        assert _resume() is None
        monkeypatch.setenv("WANDB_RUN_ID", "training7")
        assert _resume() == "allow"
        monkeypatch.setenv("WANDB_RESUME", "must")  # W&B reads that itself
        assert _resume() is None

    def test_without_a_key_nobody_is_asked(self) -> None:
        with pytest.raises(UsageError, match=r"--log wandb:x: no API key; run `wandb login`"):
            tracker("wandb:x").require()

    def test_its_errors_go_to_no_other_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
        with pytest.raises(UsageError):
            tracker("wandb:x").require()
        assert os.environ["WANDB_ERROR_REPORTING"] == "false"
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")  # whoever wants that says so
        with pytest.raises(UsageError):
            tracker("wandb:x").require()
        assert os.environ["WANDB_ERROR_REPORTING"] == "true"


def processes(name: str) -> str:
    """Those of ours that still run."""
    found = subprocess.run(["ps", "-e", "-o", "pid,ppid,args"], capture_output=True, text=True).stdout
    mine = str(os.getpid())
    return "\n".join(line for line in found.splitlines() if name in line and mine in line.split()[:2])
