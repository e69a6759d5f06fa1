"""Runs that end early: Ctrl-C, going on, two runs at once, and the cache."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import jsonschema
import pytest
from PIL import Image

from relight_eval.cli.keeping import kept
from relight_eval.engines import local
from relight_eval.errors import ImageError
from tests.cli.commands import Command
from tests.folders import picture, two_folders, worse, write

FAST = ("-m", "charbonnier,psnr,ssim,lpips", "--device", "cpu", "-b", "1", "-j", "1")
FILES = ("--csv", "s.csv", "--json", "s.json", "--junit", "s.xml", "--markdown", "s.md", "--html", "s.html")
REPORTS = ("s.csv", "s.json", "s.xml", "s.md", "s.html")
JOURNAL = Path("s.csv.journal")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return two_folders(tmp_path, 6)


@pytest.fixture
def whole(command: Command, folders: tuple[Path, Path]) -> dict[str, bytes]:
    """The files of a run that nothing disturbs."""
    assert command("score", *folders, *FAST, *FILES).code == 0
    return written()


def written() -> dict[str, bytes]:
    """The reports of the working folder, which are taken away."""
    found = {name: Path(name).read_bytes() for name in REPORTS if Path(name).exists()}
    for name in found:
        os.unlink(name)
    return found


def after_batches(monkeypatch: pytest.MonkeyPatch, count: int, action: Callable[[], object]) -> None:
    """Does this when so many batches have begun."""
    start, begun = local.Scorer.start, []

    def watched(self: local.Scorer, group: Any) -> Any:
        begun.append(group)
        if len(begun) == count:
            action()
        return start(self, group)

    monkeypatch.setattr(local.Scorer, "start", watched)


def before(monkeypatch: pytest.MonkeyPatch, place: str, action: Callable[[], object]) -> None:
    """Does this before each call of what stands there."""
    wrapped = resolve_name(place.replace(".Journal.", ":Journal."))

    def watched(*words: Any, **options: Any) -> Any:
        action()
        return wrapped(*words, **options)

    monkeypatch.setattr(place, watched)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def unreadable(path: Path, *_: object) -> None:
    raise ImageError(f"{path}: Input/output error.")


class TestCtrlC:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_once_ends_the_batch_and_writes_what_is_done(
        self,
        command: Command,
        folders: tuple[Path, Path],
        whole: dict[str, bytes],
        monkeypatch: pytest.MonkeyPatch,
        number: int,
    ) -> None:
        with monkeypatch.context() as patch:
            after_batches(patch, 3, lambda: os.kill(os.getpid(), number))
            found = command("score", *folders, *FAST, *FILES)
        assert found.code == 130
        assert "stopping after what has begun" in found.err
        assert "UNFINISHED: the run was stopped, 3 of 6 pairs were not scored" in found.out
        assert re.search(r"^3 pairs in .*; stopped with 3 still to score; wrote s.csv and ", found.err, re.MULTILINE)
        assert "s.csv.journal keeps the scores so far for --resume" in found.err
        assert set(written()) == set(REPORTS)
        assert JOURNAL.exists()

    def test_the_reports_of_a_stopped_run_say_so(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            after_batches(patch, 4, interrupt)
            command("score", *folders, *FAST, *FILES)
        rows, done = Path("s.csv").read_text().splitlines(), whole["s.csv"].decode().splitlines()
        assert rows[:5] == done[:5]
        assert all(row.endswith(",error,not scored: the run was stopped before") for row in rows[5:])
        document = json.loads(Path("s.json").read_text())
        assert document["unfinished"] == 2
        jsonschema.validate(document, json.loads((files("relight_eval.reports") / "results.schema.json").read_text()))
        assert document["warnings"][0].startswith("UNFINISHED")
        for name in ("s.md", "s.html"):
            assert "UNFINISHED" in Path(name).read_text()
        for saved in ("s.csv", "s.json"):
            found = command("gate", saved, "--require", "psnr >= 1")
            assert found.code == 3
            assert "2 images are still to score" in found.out

    def test_what_follows_is_byte_for_byte_an_undisturbed_run(
        self,
        command: Command,
        folders: tuple[Path, Path],
        whole: dict[str, bytes],
        monkeypatch: pytest.MonkeyPatch,
        reads: list[Path],
    ) -> None:
        with monkeypatch.context() as patch:
            after_batches(patch, 3, interrupt)
            command("score", *folders, *FAST, *FILES, "--no-images")
        reads.clear()
        found = command("score", *folders, *FAST, *FILES, "--resume")
        assert (found.code, written()) == (0, whole)
        assert "3 of 6 pairs are scored already" in found.err
        assert len(reads[:6]) == 6
        assert {path.stem for path in reads[:6]} == {"im3", "im4", "im5"}  # (then come those for the pictures)
        assert not JOURNAL.exists()
        assert not [name for name in os.listdir() if name.startswith(".")]

    def test_twice_ends_at_once(self, folders: tuple[Path, Path], tmp_path: Path) -> None:
        code = (
            "import os, signal, sys\n"
            "from relight_eval import cli\n"
            "from relight_eval.engines import local\n"
            "start, begun = local.Scorer.start, []\n"
            "def watched(self, group):\n"
            "    begun.append(group)\n"
            "    if len(begun) == 3:\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "    return start(self, group)\n"
            "local.Scorer.start = watched\n"
            f"sys.argv = {['relight-eval', 'score', *map(str, folders), *FAST]!r}\n"
            "cli.main()"
        )
        ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 130
        assert re.search(r"stopped at once; \S*scores.csv.journal keeps the scores so far for --resume", ran.stderr)
        assert not (tmp_path / "scores.csv").exists()
        assert (tmp_path / "scores.csv.journal").exists()

    def test_while_reports_are_written_leaves_out_the_pictures_alone(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            before(patch, "relight_eval.cli.score.tell_run", interrupt)
            found = command("score", *folders, *FAST, *FILES)
        assert found.code == 130
        assert "no pictures and no maps, for the run was stopped" in found.err
        assert {name for name, data in written().items() if data != whole[name]} == {"s.html"}
        assert command("score", *folders, *FAST, *FILES, "--resume").code == 0
        assert written() == whole

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_while_pictures_are_made_ends_at_once_and_says_what_is_kept(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        before(monkeypatch, "relight_eval.pictures.gallery", lambda: os.kill(os.getpid(), number))
        found = command("score", *folders, *FAST, *FILES)
        assert found.code == 130
        assert re.search(r"interrupted; s.html was not written\n.*s.csv.journal keeps the scores so far", found.err)
        assert set(written()) == set(REPORTS) - {"s.html"}

    def test_maps_that_were_interrupted_are_gone_on_with(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval.pictures import files as maps

        write = maps._write

        def stopped_before_the_last(path: Path, data: bytes) -> Path:
            if path.name == "scales.json":
                interrupt()
            return write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(maps, "_write", stopped_before_the_last)
            assert command("score", *folders, *FAST, "--maps", "maps").code == 130
        assert any(Path("maps").iterdir())
        assert command("score", *folders, *FAST, "--maps", "maps", "--resume").code == 0
        assert command("score", *folders, *FAST, "--maps", "maps", "--resume").code == 2

    def test_while_the_journal_is_read_leaves_nothing_behind(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before(monkeypatch, "relight_eval.records.journal.Journal._read", interrupt)
        found = command("score", *folders, *FAST)
        assert (found.code, os.listdir()) == (130, [])
        assert found.err == "relight-eval: interrupted; nothing was written\n"

    def test_that_an_import_swallowed_ends_the_work_before_it_begins(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def swallowed() -> None:
            with suppress(KeyboardInterrupt):
                interrupt()

        before(monkeypatch, "relight_eval.pairs.find", swallowed)
        found = command("score", *folders, *FAST)
        assert (found.code, os.listdir()) == (130, [])

    def test_means_again_what_it_did_when_the_run_is_over(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine = signal.getsignal(signal.SIGINT)
        with kept({}, resume=False, cache=None):
            assert signal.getsignal(signal.SIGINT) != mine
        assert signal.getsignal(signal.SIGINT) == mine

    def test_where_nothing_keeps_the_scores_nothing_is_written(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        after_batches(monkeypatch, 2, interrupt)
        found = command("score", *folders, *FAST, "--no-csv")
        assert (found.code, found.out) == (130, "")
        assert "interrupted; nothing was written" in found.err

    def test_a_gate_that_was_stopped_neither_passes_nor_becomes_the_baseline(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rule = ("--require", "psnr >= 1")
        with monkeypatch.context() as patch:
            after_batches(patch, 2, interrupt)
            found = command(
                "gate", *folders, *rule, "--device", "cpu", "-b", "1", "-j", "1", "--json", "g.json",
                "--baseline", "base.json", "--update-baseline",
            )  # fmt: skip
        assert found.code == 130
        assert not Path("base.json").exists()
        forced = command("gate", "g.json", *rule, "--baseline", "base.json", "--update-baseline", "--force")
        assert (forced.code, Path("base.json").exists()) == (3, False)
        assert "the baseline base.json was not written, for the run was stopped" in forced.err
        refused = command("gate", "g.json", *rule, "--baseline", "g.json")
        assert refused.code == 2
        assert "the baseline g.json is of a run that was stopped" in refused.err
        again = command("gate", *folders, *rule, "-m", "psnr", "--device", "cpu", "--json", "g.json", "--resume")
        assert again.code == 0


class TestResume:
    @pytest.fixture
    def stopped(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            after_batches(patch, 4, interrupt)
            command("score", *folders, *FAST, *FILES, "--no-images")
        written()

    @pytest.mark.usefixtures("stopped")
    def test_an_image_that_has_changed_is_scored_again(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path]
    ) -> None:
        write(folders[0] / "im1.png", worse(picture(1), 60))
        reads.clear()
        found = command("score", *folders, *FAST, "--csv", "s.csv", "--resume")
        assert found.code == 0
        assert {path.stem for path in reads} == {"im1", "im4", "im5"}
        resumed = Path("s.csv").read_bytes()
        assert command("score", *folders, *FAST, "--csv", "s.csv").code == 0
        assert Path("s.csv").read_bytes() == resumed

    @pytest.mark.usefixtures("stopped")
    def test_under_another_signature_everything_is(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path]
    ) -> None:
        reads.clear()
        found = command("score", *folders, *FAST, "--csv", "s.csv", "--charbonnier-eps", "0.01", "--resume")
        assert found.code == 0
        assert len({path.stem for path in reads}) == 6

    @pytest.mark.usefixtures("stopped")
    def test_without_it_the_run_begins_anew_and_says_what_there_was(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path]
    ) -> None:
        reads.clear()
        found = command("score", *folders, *FAST, "--csv", "s.csv")
        assert found.code == 0
        assert "s.csv.journal holds 4 rows of an earlier run, which are scored again" in found.err
        assert len({path.stem for path in reads}) == 6

    def test_a_pair_that_failed_is_tried_again_and_the_others_are_not(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], reads: list[Path]
    ) -> None:
        good = (folders[0] / "im2.png").read_bytes()
        (folders[0] / "im2.png").write_bytes(good[:100])
        found = command("score", *folders, *FAST, *FILES, "--no-images")
        assert found.code == 3
        assert "s.csv.journal keeps the scores so far for --resume" in found.err
        (folders[0] / "im2.png").write_bytes(good)
        reads.clear()
        assert command("score", *folders, *FAST, *FILES, "--no-images", "--resume").code == 0
        assert {path.stem for path in reads} == {"im2"}
        assert written()["s.csv"] == whole["s.csv"]

    def test_images_that_are_out_of_reach_cost_nothing_that_was_kept(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folders[0] / "im2.png").write_bytes(b"junk")
        assert command("score", *folders, *FAST).code == 3
        with monkeypatch.context() as patch:
            patch.setattr("relight_eval.records.keeping._sha256", lambda path: "")
            patch.setattr("relight_eval.images.read", unreadable)
            found = command("score", *folders, *FAST, "--resume")
        assert (found.code, "no pair could be scored" in found.err) == (2, True)
        assert "5 of 6 pairs are scored already" in command("score", *folders, *FAST, "--resume").err

    def test_a_bug_says_what_is_kept(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            after_batches(patch, 4, lambda: 1 / 0)
            found = command("score", *folders, *FAST)
        assert found.code == 70
        assert "scores.csv.journal keeps the scores so far for --resume" in found.err
        assert "3 of 6 pairs are scored already" in command("score", *folders, *FAST, "--resume").err

    def test_nothing_to_go_on_with_is_a_run_from_the_start(self, command: Command, folders: tuple[Path, Path]) -> None:
        assert command("score", *folders, *FAST, "--resume").code == 0

    def test_it_needs_a_file_beside_which_the_journal_is(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "--no-csv", "--resume")
        assert found.code == 2
        assert "--resume goes on with a run that wrote a file; name the one it wrote" in found.err

    def test_saved_results_have_nothing_to_go_on_with(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes]
    ) -> None:
        Path("s.json").write_bytes(whole["s.json"])
        found = command("gate", "s.json", "--require", "psnr >= 1", "--resume")
        assert found.code == 2
        assert "--resume is for folders of images" in found.err

    def test_floors_and_masks_are_kept_too(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = ("score", *folders, *FAST, "--csv", "s.csv", "--json", "s.json", "--floors", "--mask", folders[1])
        assert command(*words).code == 0
        undisturbed = written()
        with monkeypatch.context() as patch:
            after_batches(patch, 4, interrupt)
            assert command(*words).code == 130
        assert command(*words, "--resume").code == 0
        assert written() == undisturbed


class TestPlaces:
    def test_a_second_run_on_one_output_is_refused(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = []
        after_batches(monkeypatch, 2, lambda: found.append(score_elsewhere(*folders, *FAST, "--csv", "s.csv")))
        assert command("score", *folders, *FAST, "--csv", "s.csv").code == 0
        (second,) = found
        assert second.returncode == 2
        assert "s.csv is being written by another run" in second.stderr

    def test_a_lock_that_a_killed_run_left_is_none(self, command: Command, folders: tuple[Path, Path]) -> None:
        Path(".s.csv.lock").write_text("process 1")
        assert command("score", *folders, *FAST, "--csv", "s.csv").code == 0

    def test_a_full_disk_costs_the_journal_not_the_run(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval.records import journal

        def full(handle: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(journal, "_write_all", full)
        found = command("score", *folders, *FAST, *FILES)
        assert (found.code, written()) == (0, whole)
        assert found.err.count("s.csv.journal cannot be written: No space left on device") == 1

    def test_reports_that_cannot_be_written_leave_the_scores_in_the_journal(
        self, command: Command, folders: tuple[Path, Path], whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, data: bytes) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr("relight_eval.reports.write_whole", full)
            found = command("score", *folders, *FAST, "--csv", "s.csv")
        assert found.code == 2
        assert "cannot write s.csv: No space left on device" in found.err
        assert "s.csv.journal keeps the scores so far for --resume" in found.err
        again = command("score", *folders, *FAST, "--csv", "s.csv", "--resume")
        assert again.code == 0
        assert "6 of 6 pairs are scored already" in again.err
        assert written()["s.csv"] == whole["s.csv"]


class TestCache:
    def test_only_what_has_changed_is_scored(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path]
    ) -> None:
        words = ("score", *folders, *FAST, "--csv", "s.csv", "--json", "s.json", "--cache", "cache")
        assert command(*words).code == 0
        first = written()
        reads.clear()
        again = command(*words)
        assert (again.code, reads, written()) == (0, [], first)
        assert "6 of 6 pairs are scored already" in again.err
        write(folders[0] / "im1.png", worse(picture(1), 60))
        command(*words)
        assert {path.stem for path in reads} == {"im1"}

    def test_names_and_folders_do_not_matter_but_the_protocol_does(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path], tmp_path: Path
    ) -> None:
        cache = ("--cache", "cache", "--csv", "s.csv")
        assert command("score", *folders, *FAST, *cache).code == 0
        moved = tmp_path / "elsewhere"
        folders[0].rename(moved)
        reads.clear()
        assert command("score", moved, folders[1], *FAST, *cache).code == 0
        assert reads == []
        assert str(moved) in Path("s.csv").read_text()
        assert command("score", moved, folders[1], *FAST, *cache, "--charbonnier-eps", "0.01").code == 0
        assert len(reads) == 12

    def test_what_is_refused_now_is_not_taken_from_when_it_was_not(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        words = ("score", *folders, *FAST, "--csv", "s.csv", "--cache", "cache")
        Image.fromarray(picture(0)).convert("CMYK").save(folders[0] / "im0.jpg")
        (folders[0] / "im0.png").unlink()
        assert command(*words).code == 0
        assert command(*words, "--strict").code == 3
        assert command(*words, "--max-pixels", "1919").code == 2

    def test_compare_keeps_what_it_scored(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path], tmp_path: Path
    ) -> None:
        (other, _) = two_folders(tmp_path / "other", 6)
        words = ("compare", folders[0], f"b={other}", "--target", folders[1], *FAST, "--cache", "cache")
        assert command(*words).code == 0
        reads.clear()
        assert command(*words).code == 0
        assert reads == []

    def test_a_cache_that_is_none_costs_a_warning(self, command: Command, folders: tuple[Path, Path]) -> None:
        Path("cache").mkdir()
        Path("cache/scores.sqlite").write_bytes(b"no database, but long enough to be taken for one" * 100)
        found = command("score", *folders, *FAST, "--csv", "s.csv", "--cache", "cache")
        assert found.code == 0
        assert "WARNING" in found.err


def score_elsewhere(*words: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    program = [sys.executable, "-m", "relight_eval", "score", *map(str, words)]
    return subprocess.run(program, capture_output=True, text=True)
