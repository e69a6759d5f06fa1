"""`--log`: what the commands that have it log, when, and what becomes of a run that cannot be logged."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pytest

from relight_eval.errors import ReportError
from relight_eval.results import STOPPED, Row
from relight_eval.trackers import TRACKERS
from relight_eval.trackers.entry import Entry
from tests.cli.commands import Command
from tests.cli.saved import saved
from tests.cli.test_resume import after_batches
from tests.folders import runs_of, two_folders
from tests.trackers.test_trackers import read_events

FAST = ("-m", "charbonnier,ssim", "--device", "cpu", "-j", "1")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """prediction/ and target/, ten pairs, the last the worst."""
    return two_folders(tmp_path, 10, height=20, width=24)


class Noted:
    """A tracker that keeps what it is given, in `entries`."""

    entries: Sequence[Entry] = ()
    required = 0

    def __init__(self, word: str, target: str) -> None:
        self.word = word

    def require(self) -> None:
        Noted.required += 1

    def log(self, entries: Sequence[Entry]) -> None:
        Noted.entries = entries


class Broken(Noted):
    def log(self, entries: Sequence[Entry]) -> None:
        raise ReportError(f"--log {self.word}: the server went away")


class Slow(Noted):
    def log(self, entries: Sequence[Entry]) -> None:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def trackers(monkeypatch: pytest.MonkeyPatch) -> type[Noted]:
    """Trackers called noted, broken and slow."""
    for name, kind in {"noted": Noted, "broken": Broken, "slow": Slow}.items():
        monkeypatch.setitem(TRACKERS, name, kind)
    Noted.entries, Noted.required = (), 0
    return Noted


class TestScore:
    def test_logs_what_it_tells(self, command: Command, folders: tuple[Path, Path]) -> None:
        for step in (100, 200):
            found = command("score", *folders, *FAST, "--csv", "-", "--log", "tensorboard:runs", "--log-step", step)
            assert found.code == 0
            assert found.out.startswith("image,prediction,target,")
            assert found.out.count("\n") == 11
            assert "\nlogged to tensorboard:runs\n" in found.err
        events = read_events(Path("runs"))
        assert [event.step for event in events.Scalars("ssim")] == [100, 200]
        means = [float(line.split(",")[6]) for line in found.out.splitlines()[1:]]
        assert events.Scalars("ssim")[0].value == pytest.approx(sum(means) / 10)
        assert set(events.Tags()["images"]) == {f"worst/im{i}" for i in range(2, 10)}
        picture = PIL.Image.open(io.BytesIO(events.Images("worst/im9")[0].encoded_image_string))
        assert picture.size == (3 * 24 + 8, 20)

    def test_quietly(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "-q", "--log", "tensorboard:runs")
        assert found == (0, "", "")
        assert [event.step for event in read_events(Path("runs")).Scalars("ssim")] == [0]

    def test_images_are_looked_at_once_for_page_and_log(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted], reads: list[Path]
    ) -> None:
        command("score", *folders, *FAST, "--html", "a.html")
        of_page = len(reads)
        command("score", *folders, *FAST, "--html", "b.html", "--log", "noted:x")
        assert len(reads) == 2 * of_page
        assert {shot.name for shot in trackers.entries[0].shots} == {f"im{i}" for i in range(2, 10)}

    def test_only_what_is_logged_is_looked_at(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted], reads: list[Path]
    ) -> None:
        command("score", *folders, *FAST, "--log", "noted:x", "--log", "noted:y", "--log", "noted:x")
        assert len(reads) == 2 * (10 + 8)
        assert trackers.required == 2

    def test_no_images(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted], reads: list[Path]
    ) -> None:
        assert command("score", *folders, *FAST, "--log", "noted:x", "--no-images").code == 0
        assert len(reads) == 2 * 10
        assert trackers.entries[0].shots == ()

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (("--log", "noted:x", "--log", "tensorbord:x"), "'tensorbord' is no tracker; did you mean tensorboard?"),
            (("--log", "mlflow:https://me:hunter2@host"), "the address holds a user or a password"),
            (("--log", "tensorboard:x"), "--log tensorboard:x needs TensorBoard: pip install 'relight-eval["),
            (("--log-step", "3"), "--log-step is about --log"),
            (("--log", "noted:x", "--log-step", "-3"), "Invalid value for '--log-step'"),
            (("--log", "noted:x", "--shard", "1/2", "--json", "a.json"), "--log is for the whole run"),
        ],
        ids=["unknown", "secret", "missing", "step alone", "negative", "part"],
    )
    def test_what_cannot_be_logged_is_told_before_scoring(
        self,
        command: Command,
        folders: tuple[Path, Path],
        trackers: type[Noted],
        reads: list[Path],
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        expected: str,
    ) -> None:
        monkeypatch.setitem(sys.modules, "tensorboard", None)
        found = command("score", *folders, *FAST, *words)
        assert (found.code, found.out, reads) == (2, "", [])
        assert expected in " ".join(found.err.split())
        assert "hunter2" not in found.err

    def test_what_fails_afterwards_costs_nothing_else(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted]
    ) -> None:
        words = ("--html", "a.html", "--log", "broken:x", "--log", "noted:x")
        found = command("score", *folders, *FAST, *words)
        assert found.code == 2
        assert re.search("relight-eval: --log broken:x: the server went away; .*scores.csv.journal keeps", found.err)
        assert len(trackers.entries) == 1
        assert Path("scores.csv").exists()
        assert Path("a.html").exists()
        assert command("score", *folders, *FAST, "--log", "noted:x", "--resume").code == 0

    def test_ctrl_c_while_it_is_logged(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted]
    ) -> None:
        found = command("score", *folders, *FAST, "--log", "slow:x")
        assert found.code == 130
        assert "relight-eval: interrupted; not all was logged\n" in found.err
        assert Path("scores.csv").exists()

    def test_a_stopped_run_is_no_point_of_a_curve(
        self, command: Command, folders: tuple[Path, Path], trackers: type[Noted], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        after_batches(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGINT))
        found = command("score", *folders, *FAST, "-b", "2", "--log", "noted:x")
        assert found.code == 130
        assert "nothing was logged, for the run was stopped; go on with --resume" in found.err
        assert trackers.entries == ()


class TestSavedResults:
    def test_report_logs_them_later(self, command: Command, folders: tuple[Path, Path], trackers: type[Noted]) -> None:
        command("score", *folders, *FAST, "--json", "a.json")
        words = ("--log", "noted:x", "--log-step", "7", "--require", "ssim >= 0.999")
        assert command("report", "a.json", *words).code == 0
        (entry,) = trackers.entries
        assert (entry.step, entry.outcome, len(entry.shots)) == (7, "fail", 8)

    def test_groups_of_many_values_are_told(self, command: Command, trackers: type[Noted]) -> None:
        run = saved("a.json", ssim=[0.9] * 101)
        found = command(
            "report", run, "-q", "--log", "noted:x", "--log", "noted:y", "--no-images", "--group", "(?P<i>.+)"
        )
        told = "WARNING  i has 101 values, and curves are logged of up to 100: of these groups, none\n"
        assert found == (0, "", told)

    @pytest.mark.parametrize("words", [("report",), ("compare", "ckpt_2.json", "--step", r"_(\d)$")], ids=" ".join)
    def test_a_stopped_run_is_refused(self, command: Command, trackers: type[Noted], words: tuple[str, ...]) -> None:
        saved("ckpt_1.json", ssim=[0.9] * 8, rows=[Row("zz", "p/zz.png", "t/zz.png", status="error", error=STOPPED)])
        saved("ckpt_2.json", ssim=[0.9] * 8)
        found = command(words[0], "ckpt_1.json", *words[1:], "--log", "noted:x")
        assert (found.code, found.out, trackers.required) == (2, "", 0)
        assert "--log logs no run that was stopped; finish ckpt_1" in found.err

    def test_without_the_images(self, command: Command, trackers: type[Noted]) -> None:
        found = command("report", saved("a.json", ssim=[0.9] * 8), "--log", "noted:x")
        assert found.code == 0
        assert "the log has no pictures: run this where the images are" in found.err
        assert trackers.entries[0].scalars["ssim"] == pytest.approx(0.9)

    def test_merge_logs_the_whole(self, command: Command, folders: tuple[Path, Path], trackers: type[Noted]) -> None:
        for k in (1, 2):
            command("score", *folders, *FAST, "--shard", f"{k}/2", "--json", f"{k}.json")
        assert command("merge", "1.json", "2.json", "--no-csv", "--log", "noted:x", "--log-step", "9").code == 0
        (entry,) = trackers.entries
        assert (entry.step, entry.scalars["images/scored"], len(entry.shots)) == (9, 10, 8)
        found = command("report", "1.json", "--log", "noted:x")
        assert found.code == 2
        assert "--log are for the whole: give them to merge" in found.err


class TestCompare:
    @pytest.fixture
    def checkpoints(self, tmp_path: Path) -> list[Path]:
        """ckpt_300, ckpt_100 and ckpt_200, each worse than the one before."""
        runs_of(tmp_path, 3, 9, height=20, width=24)
        for k, step in enumerate((300, 100, 200)):
            (tmp_path / f"run{k}").rename(tmp_path / f"ckpt_{step}")
        return [tmp_path / f"ckpt_{step}" for step in (300, 100, 200)]

    def test_every_run_at_its_step(
        self, command: Command, checkpoints: list[Path], tmp_path: Path, trackers: type[Noted]
    ) -> None:
        words = ("--target", tmp_path / "target", *FAST, "--step", r"_(\d+)$")
        found = command("compare", *checkpoints, *words, "--log", "tensorboard:runs", "--log", "noted:x")
        assert found.code == 0
        curve = read_events(Path("runs")).Scalars("ssim")
        assert [event.step for event in curve] == [100, 200, 300]
        assert curve[2].value > curve[0].value > curve[1].value
        assert [entry.step for entry in trackers.entries] == [100, 200, 300]
        shown = [[shot.name for shot in entry.shots] for entry in trackers.entries]
        assert shown[0] == shown[1] == shown[2]  # the same images: they can be looked at over the steps
        assert len(shown[0]) == 8
        files = {entry.shots[0].file for entry in trackers.entries}
        assert len(files) == 3

    def test_needs_steps(self, command: Command, trackers: type[Noted]) -> None:
        runs = [saved(f"{name}.json", ssim=[0.9] * 8) for name in "ab"]
        found = command("compare", *runs, "--log", "noted:x")
        assert found.code == 2
        assert "compare logs runs by their training step; say where it is with --step" in found.err

    def test_what_fails_afterwards(self, command: Command, trackers: type[Noted]) -> None:
        runs = [saved(f"ckpt_{step}.json", ssim=[0.9] * 8) for step in (1, 2)]
        words = ("--step", r"_(\d)$", "--no-images", "--html", "a.html", "--log", "broken:x")
        found = command("compare", *runs, *words)
        assert found.code == 2
        assert "relight-eval: --log broken:x: the server went away" in found.err
        assert Path("a.html").exists()


def test_help_imports_no_tracker() -> None:
    without = dict.fromkeys(("relight_eval.trackers", *TRACKERS))
    words = f"import sys; sys.modules.update({without}); from relight_eval.cli import main; main()"
    ran = subprocess.run([sys.executable, "-c", words, "score", "--help"], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "--log " in ran.stdout
