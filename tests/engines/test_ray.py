"""What is Ray's own: nodes and workers that die, come late, or are not what they should be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from relight_eval.cli import app
from relight_eval.engines import ENGINES, Cluster, Engine, Options, local
from relight_eval.engines.ray import Ray, dealing, team
from relight_eval.engines.ray.worker import versions
from relight_eval.errors import RelightEvalError, UsageError
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.metrics import Settings
from relight_eval.pairs import Pair, find
from relight_eval.records.cache import Cache
from relight_eval.records.keeping import Keeping
from relight_eval.reports import REPORTS
from relight_eval.results import Row
from tests.engines.clusters import NODE, a_library_broken, kill_a_worker
from tests.folders import picture, worse, write

METRICS = ("psnr", "ssim")
SCORE = ("score", "prediction", "target", "-m", "psnr,ssim")


@pytest.fixture
def engine(ray_engine: Ray) -> Ray:
    return ray_engine


@pytest.fixture
def free_nodes(nodes: Any, engine: Ray) -> Any:
    """The same, with nobody at work there."""
    engine._dismiss()
    return nodes


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """120 pairs that take a while."""
    return filled(tmp_path, {"prediction": 120})


def filled(root: Path, runs: dict[str, int], special: Sequence[str] = ()) -> tuple[Path, Path]:
    names = [*(f"slow{i}" for i in range(next(iter(runs.values())))), *special]
    for i, name in enumerate(names):
        target = picture(i, 16, 16)
        write(root / "target" / f"{name}.png", target)
        for k, run in enumerate(runs):
            write(root / run / f"{name}.png", worse(target, 3 + 2 * k, seed=i))
    return root / next(iter(runs)), root / "target"


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    assert len({row.name for row in rows}) == len(rows)  # none twice
    return {row.name: row for row in rows}


def scored_here(pairs: Sequence[Pair]) -> dict[str, Row]:
    return by_name(list(local.score(pairs, METRICS, Settings(), Options("cpu"))))


def scored(engine: Engine, pairs: Sequence[Pair], told: list[str] | None = None) -> dict[str, Row]:
    tell = (told if told is not None else []).append
    return by_name(list(engine.score(pairs, METRICS, Settings(), Options("cpu"), tell)))


def shell(*words: object, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "RELIGHT_EVAL_OFFLINE": "1", "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "relight_eval", *map(str, words)],  # -P: as the installed command is
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


def wait_until(ready: Any, *, timeout_s: float = 90) -> None:
    end = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def expected(tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The CSV of the local engine."""
    monkeypatch.chdir(tmp_path)
    text = REPORTS["csv"](evaluate("prediction", "target", metrics=METRICS))
    monkeypatch.undo()
    return text.encode()


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no test had left its connection open."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)


@pytest.mark.usefixtures("unconnected")
class TestNoConnection:
    def test_nothing_answers_there(self, tmp_path: Path) -> None:
        start = time.monotonic()
        with (
            pytest.raises(UsageError, match=r"nothing answers at --ray-address 127.0.0.1:1 \(.*refused\)"),
            Ray(Cluster("127.0.0.1:1")),
        ):
            pass
        assert time.monotonic() - start < 15

    @pytest.mark.parametrize("address", ["", "nonsense", "http://head:8265", ":6379", "head:", "head:x"])
    def test_no_address(self, address: str) -> None:
        with (
            pytest.raises(UsageError, match=f"--ray-address {address!r} is none; write auto, local, HOST:PORT"),
            Ray(Cluster(address)),
        ):
            pass

    def test_the_variable_is_honoured_and_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        with pytest.raises(UsageError, match=r"nothing answers at RAY_ADDRESS 127.0.0.1:1 "), Ray():
            pass

    def test_ray_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "ray", None)
        with pytest.raises(UsageError, match=r"needs Ray .*: pip install 'relight-eval\[ray\]'"), Ray():
            pass


class TestDeaths:
    def test_a_node_that_is_lost_midway_costs_nothing(
        self, nodes: Any, engine: Ray, folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
    ) -> None:
        pairs = find(*folders).pairs
        lost = nodes.add_node(**NODE)

        def works() -> bool:
            return bool(scored(engine, pairs[:1])) and len([m for m in engine._team.members if m.is_ready]) == 3

        wait_until(works)
        told: list[str] = []
        found: list[Row] = []
        rows = engine.score(pairs, METRICS, Settings(), Options("cpu"), told.append)
        while lost is not None:
            found.append(next(rows))
            members = engine._team.members if engine._team else []
            if len(members) == 3 and all(member.chunks for member in members):
                nodes.remove_node(lost, allow_graceful=False)
                lost = None
        assert len(found) < 100
        found += rows
        assert by_name(found) == scored_here(pairs)
        assert told
        assert "worker died (on " in told[0]
        assert capfd.readouterr() == ("", "")

    def test_of_several_runs(self, nodes: Any, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _, target = filled(tmp_path, {"a": 40, "b": 40, "c": 40})
        runs = {run: tmp_path / run for run in "abc"}
        killed: list[int] = []

        def progress(what: str, done: int, total: int) -> None:
            assert total == 120
            if done >= 12 and not killed and kill_a_worker(nodes):
                killed.append(done)

        monkeypatch.setitem(ENGINES, "ray", lambda cluster: nullcontext(engine))  # whose workers are there
        common: dict[str, Any] = {"metrics": METRICS, "device": "cpu"}
        expected = evaluate_runs(runs, target, **common)
        found = evaluate_runs(runs, target, **common, engine="ray", progress=progress)
        assert killed
        assert killed[0] < 100
        for run, results in expected.items():
            assert found[run].rows == results.rows
            assert found[run].signature == results.signature
            assert any("1 worker died" in warning for warning in found[run].warnings)

    def test_a_pair_that_kills_every_worker_is_given_up(
        self, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dealing, "MOST_DEATHS", 2)
        pairs = find(*filled(tmp_path, {"prediction": 12}, special=["poison"])).pairs
        told: list[str] = []
        found = scored(engine, pairs, told)
        assert found.keys() == {pair.name for pair in pairs}
        poison = found.pop("poison")
        assert (poison.status, poison.scores) == ("error", {})
        assert "2 workers, one after the other, died when they scored this pair alone" in poison.error
        assert found == scored_here([pair for pair in pairs if pair.name != "poison"])
        assert "workers died" in told[0]

    def test_a_bug_is_raised_with_its_traceback_and_the_engine_is_good_for_more(
        self, engine: Engine, tmp_path: Path
    ) -> None:
        pairs = find(*filled(tmp_path, {"prediction": 4}, special=["bug"])).pairs
        with pytest.raises(RuntimeError, match="a bug of a metric") as raised:
            scored(engine, pairs)
        assert "relight_eval/images.py" in str(raised.value)
        assert len(scored(engine, [pair for pair in pairs if pair.name != "bug"])) == 4


class TestStopping:
    def test_what_has_begun_is_finished(self, engine: Engine, folders: tuple[Path, Path]) -> None:
        pairs = find(*folders).pairs
        found: list[Row] = []
        options = Options("cpu", batch_size=1, stop=lambda: len(found) >= 10)
        for row in engine.score(pairs, METRICS, Settings(), options):
            found.append(row)
        assert 10 <= len(found) < 100
        whole = scored_here(pairs)
        assert by_name(found) == {row.name: whole[row.name] for row in found}
        assert scored(engine, pairs) == whole  # and the workers are good for more

    def test_a_run_that_is_left_does_not_hold_the_workers(
        self, engine: Engine, tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(dealing, "FIRST", 30)  # so that all 120 are dealt out at once
        Path("opened").touch()
        pairs = find(*folders).pairs
        rows = engine.score(pairs, METRICS, Settings(), Options("cpu", batch_size=1))
        next(rows)
        rows.close()  # type: ignore[attr-defined]
        assert len(scored(engine, pairs[:4])) == 4
        opened = Path("opened").read_text().split()
        assert 60 <= len(opened) < 200  # of 240 files


class TestNotWhatTheyShouldBe:
    def test_more_cpus_for_each_worker_than_a_node_has(
        self, nodes: Any, engine: Engine, folders: tuple[Path, Path]
    ) -> None:
        with (
            Ray(Cluster(nodes.address, cpus_per_worker=5)) as other,
            pytest.raises(
                UsageError, match="--cpus-per-worker 5 is more than any node of the cluster has; the largest has 1"
            ),
        ):
            scored(other, find(*folders).pairs)

    def test_all_are_taken_by_others(
        self, nodes: Any, engine: Ray, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scored(engine, find(*folders).pairs[:2])  # its workers stay
        monkeypatch.setattr(team, "START_S", 1.0)
        with (
            Ray(Cluster(nodes.address)) as other,
            pytest.raises(
                RelightEvalError,
                match=r"for 1 s no worker could be started: each needs 1 CPU, .* has 0 CPUs and 0 GPUs free",
            ),
        ):
            scored(other, find(*folders).pairs)

    def test_other_versions(self, engine: Engine, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(team, "versions", lambda: {**versions(), "torch": "1.0"})
        with pytest.raises(UsageError, match=r"node \S+ has torch \S+ \(here 1.0\)"):
            scored(engine, find(*folders).pairs)

    def test_a_folder_that_they_do_not_see(self, engine: Engine, folders: tuple[Path, Path]) -> None:
        """(An open folder has a name that is good in one process only.)"""
        (pair, *_) = find(*folders).pairs
        number = os.open(folders[0], os.O_RDONLY | os.O_DIRECTORY)
        try:
            mine = Path(f"/proc/self/fd/{number}/{pair.prediction.name}")
            with pytest.raises(UsageError, match=rf"{mine} is not there on node \S+; .* s3://bucket/folder"):
                scored(engine, [replace(pair, prediction=mine)])
        finally:
            os.close(number)

    @pytest.mark.parametrize(
        ("device", "said"),
        [("cuda", "the cluster has no GPU"), ("cuda:1", "one of a single machine"), ("mps", "one of a single machine")],
    )
    def test_devices(self, engine: Engine, device: str, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            engine.device(device)
        assert engine.device("auto") == engine.device("cpu") == "cpu"


class TestConnection:
    def test_no_worker_is_started_for_rows_that_are_kept(
        self, nodes: Any, engine: Ray, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str] = []
        with Cache(tmp_path / "cache", tell=told.append) as cache:
            common: dict[str, Any] = {"metrics": METRICS, "device": "cpu", "keeping": Keeping([cache], [cache])}
            here = evaluate(*folders, **common)
            monkeypatch.setattr(Ray, "_team_for", None)
            there = evaluate(*folders, **common, engine="ray", announce=told.append)
        assert told == ["120 of 120 pairs are scored already"]
        assert there.rows == here.rows

    def test_that_of_the_caller_is_left_as_it_is(self, nodes: Any, engine: Engine) -> None:
        import ray

        with Ray(Cluster("127.0.0.1:1")) as other:  # never asked
            assert other.device("auto") == "cpu"
        assert ray.is_initialized()

    def test_relative_paths_are_those_of_the_caller(
        self, engine: Engine, tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        found = scored(engine, find(Path("prediction"), Path("target")).pairs[:4])
        assert {row.status for row in found.values()} == {"ok"}


def rows_kept(folder: Path) -> int:
    """Rows in the journal of a run that is under way."""
    journal = folder / "scores.csv.journal"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


class TestCommand:
    """(Last: the workers of the tests before are not needed any more.)"""

    def test_a_library_that_is_missing(
        self, free_nodes: Any, traps: Path, engine: Engine, folders: tuple[Path, Path]
    ) -> None:
        with (
            a_library_broken(traps),
            pytest.raises(
                UsageError, match=r"cannot import relight-eval \(ImportError: a library is broken\); install"
            ),
        ):
            scored(engine, find(*folders).pairs)

    def test_a_worker_that_is_killed_midway_costs_nothing(
        self, free_nodes: Any, tmp_path: Path, expected: bytes
    ) -> None:
        process = shell(*SCORE, "-q", "--engine", "ray", "--ray-address", free_nodes.address, cwd=tmp_path)
        wait_until(lambda: rows_kept(tmp_path) > 10 and kill_a_worker(free_nodes))
        assert rows_kept(tmp_path) < 120
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, ""), err
        assert (tmp_path / "scores.csv").read_bytes() == expected
        (said,) = err.splitlines()  # and nothing by Ray
        assert "1 worker died (on " in said

    def test_a_ray_of_its_own_runs_no_file_and_ends_with_ctrl_c(
        self, tmp_path: Path, expected: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without an address. Workers must not import what lies beside the images, by the name of a library; and what a
        terminal sends to all processes of the command must not end them before their rows are there."""
        trap = tmp_path / "imagecodecs.py"
        trap.write_text("raise ImportError('a file was run')\n")
        process = shell(*SCORE, "--engine", "ray", "-q", cwd=tmp_path, start_new_session=True)
        wait_until(lambda: rows_kept(tmp_path) > 10)
        assert at_work(process.pid)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (130, ""), err
        assert "stopping after what has begun" in err
        assert "died" not in err
        assert b"the run was stopped" in (tmp_path / "scores.csv").read_bytes()
        assert not at_work(process.pid)
        trap.unlink()
        monkeypatch.chdir(tmp_path)
        again = CliRunner().invoke(app, [*SCORE, "--resume"])  # with any engine
        assert again.exit_code == 0
        assert "of 120 pairs are scored already" in again.stderr
        assert (tmp_path / "scores.csv").read_bytes() == expected


def at_work(session: int) -> list[str]:
    """The raylet and the workers of a session, by what they were called with."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            state, _, _, of, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(of) == session and state != "Z":
                found.append((folder / "cmdline").read_text())
    return [words for words in found if "raylet" in words or "ray::Worker" in words]
