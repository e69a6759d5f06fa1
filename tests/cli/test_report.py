"""`relight-eval report`: saved results told again, with and without the images."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from relight_eval.evaluate import evaluate
from relight_eval.reports import REPORTS, load
from tests.cli.commands import Command
from tests.cli.saved import LEFT_UNDONE, saved
from tests.everything import everything
from tests.folders import two_folders

SSIM = [0.90, 0.91, 0.92, 0.89, 0.88, 0.93, 0.90, 0.91]
SCENES = r"(?P<scene>[a-z]+)_(?P<light>\d)"
LIT = [f"{scene}_{light}" for scene in ("hall", "roof") for light in range(4)]


@pytest.fixture
def run(command: Command) -> Path:
    """whole.json, with all that a run may have; its images are gone."""
    Path("whole.json").write_text(REPORTS["json"](everything()), encoding="utf-8")
    return Path("whole.json")


@pytest.fixture
def scored(command: Command, tmp_path: Path) -> Path:
    """scored.json of three pairs of images that are there."""
    prediction, target = two_folders(tmp_path, 3)
    results = evaluate(prediction, target, metrics=["charbonnier", "diagnosis"], device="cpu", floors=True)
    Path("scored.json").write_text(REPORTS["json"](results), encoding="utf-8")
    return Path("scored.json")


class TestTables:
    def test_they_are_those_of_score(self, command: Command, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 3)
        words = ("-m", "psnr,diagnosis", "--device", "cpu", "--floors", "--no-csv", "--json", "x.json")
        scored = command("score", *folders, *words)
        assert command("report", "x.json") == (0, scored.out, "")
        verbose = command("score", *folders, *words, "--verbose")
        for word in ("-v", "--verbose"):
            assert command("report", "x.json", word).out == verbose.out

    def test_of_a_table(self, command: Command, run: Path) -> None:
        Path("x.csv").write_text(REPORTS["csv"](everything()))
        of_json, of_csv = (command("report", path).out for path in (run, "x.csv"))
        for block in ("\nScores\n", "\nWorst images\n", "\nWhy: "):
            assert of_json.partition(block)[2].partition("\n\n")[0] == of_csv.partition(block)[2].partition("\n\n")[0]
        assert "Floors" not in of_csv

    @pytest.mark.parametrize("quiet", ["-q", "--quiet"])
    def test_quiet_says_only_warnings_and_rules_that_failed(self, command: Command, run: Path, quiet: str) -> None:
        assert command("report", run, quiet) == (0, "", "")
        found = command("report", run, quiet, "--require", "psnr >= 99", "--html", "x.html", "--no-images")
        assert (found.code, found.out) == (0, "")
        assert found.err.startswith("FAIL  mean psnr")

    def test_what_could_not_be_scored_is_no_matter_for_the_exit_code(self, command: Command) -> None:
        found = command("report", saved("x.json", ssim=SSIM, rows=LEFT_UNDONE))
        assert found.code == 0
        assert "1 could not be scored in full" in found.out


class TestOptions:
    def test_rules_are_judged_and_do_not_count(self, command: Command, run: Path) -> None:
        Path("rules.toml").write_text('require = ["ssim >= 0.1"]')
        words = ("--require", "psnr >= 99", "--rules", "rules.toml", "--junit", "x.xml", "--json", "again.json")
        found = command("report", run, *words)
        assert found.code == 0
        assert re.findall("^(PASS|FAIL)", found.out, re.MULTILINE) == ["PASS", "FAIL"]
        assert 'failures="1"' in Path("x.xml").read_text()
        assert len(json.loads(Path("again.json").read_text())["verdicts"]) == 2
        assert found.err == "wrote again.json and x.xml\n"

    def test_thresholds_change_the_words_and_are_kept(self, command: Command, run: Path) -> None:
        assert "Why: colour cast 2, nothing stands out 1" in command("report", run).out
        found = command("report", run, "--threshold", "colour=7", "--json", "again.json")
        assert "Why: nothing stands out 3" in found.out
        assert json.loads(Path("again.json").read_text())["thresholds"] == {"colour": 7.0}
        assert "Why: nothing stands out 3" in command("report", "again.json").out
        assert "Why: colour cast 2" in command("report", "again.json", "--threshold", "colour=3").out
        assert "Why: nothing stands out 3" in command("report", "again.json", "--threshold", "local=1").out

    def test_group_and_seed_of_the_run_unless_others_are_named(self, command: Command) -> None:
        saved("x.json", names=LIT, group=SCENES, seed=3, ssim=SSIM)
        found = command("report", "x.json", "--json", "-")
        assert (json.loads(found.out)["seed"], json.loads(found.out)["group"]) == (3, SCENES)
        found = command("report", "x.json", "--json", "-", "--seed", "5", "--group", "(?P<light>.)$")
        assert (json.loads(found.out)["seed"], json.loads(found.out)["group"]) == (5, "(?P<light>.)$")
        assert "Means by light" in found.err

    def test_files_are_those_of_the_run(self, command: Command, run: Path) -> None:
        words = ("--csv", "x.csv", "--markdown", "x.md", "--json", "x.json")
        assert command("report", run, *words).err == "wrote x.csv and x.json and x.md\n"
        assert Path("x.csv").read_text() == REPORTS["csv"](everything())
        assert Path("x.md").read_text() == REPORTS["markdown"](everything().resampled(None, 0))
        again, first = load(Path("x.json")), load(run)
        assert (again.rows, again.columns) == (first.rows, first.columns)

    def test_dash_gives_standard_output_to_the_data_alone(self, command: Command, run: Path) -> None:
        found = command("report", run, "--csv", "-")
        assert found.out == REPORTS["csv"](everything())
        assert "Scores" in found.err

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("gone.json",), "gone.json: cannot be read (No such file or directory)", id="gone"),
            pytest.param(("folder",), "folder: saved results end in .json or .csv", id="folder"),
            pytest.param(("nowhere",), "nowhere: there is no such file or folder", id="nowhere"),
            pytest.param(("whole.json", "--threshold", "color=3"), "did you mean colour", id="threshold"),
            pytest.param(("whole.json", "--no-images"), "--no-images is about the page; name it", id="no page"),
            pytest.param(("whole.json", "--maps-count", "2"), "--maps-count is about the maps", id="no maps"),
            pytest.param(("whole.json", "--json", "whole.json"), "written over whole.json, which is read", id="over"),
            pytest.param(("whole.json", "--html", "no/x.html"), "there is no folder no", id="html"),
            pytest.param(("whole.json", "--html", "a", "--csv", "a"), "both be written to a", id="two"),
            pytest.param(("whole.json", "--maps", "whole.json"), "is a file; name a folder", id="maps a file"),
            pytest.param(("whole.json", "--maps", "no/maps"), "there is no folder no", id="maps nowhere"),
            pytest.param(("whole.json", "--maps", "out"), "is read by this run", id="maps among predictions"),
            pytest.param(("whole.json", "--maps", "mask/x"), "which is read by this run", id="maps below masks"),
            pytest.param(("whole.json", "--require", "lpips <= 1"), "lpips was not scored in this run", id="column"),
            pytest.param(("whole.json", "--require", "psnr drop <= 1"), "needs a baseline", id="drop"),
            pytest.param(("whole.json", "--group", "(?P<x>zz)"), "x", id="group"),
            pytest.param(("whole.json", "--device", "gpu", "--html", "x"), "device 'gpu' is not known", id="device"),
        ],
    )
    def test_2(self, command: Command, run: Path, words: tuple[str, ...], message: str) -> None:
        for folder in ("folder", "out", "mask"):
            Path(folder).mkdir()
        found = command("report", *words)
        assert found.code == 2
        assert message in found.err


class TestLooks:
    def test_images_are_looked_for_where_they_were(self, command: Command, scored: Path) -> None:
        found = command("report", scored, "--html", "x.html", "--maps", "maps", "--maps-count", "1", "--device", "cpu")
        assert found.code == 0, found.err
        assert found.err.splitlines()[-1] == "wrote x.html"
        assert "WARNING" not in found.err
        assert sorted(path.name for path in Path("maps").iterdir()) == ["im2", "scales.json"]
        assert len(Path("x.html").read_text()) > 100_000

    def test_the_page_is_that_of_score(self, command: Command, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 2)
        words = ("-m", "psnr,diagnosis", "--device", "cpu", "-q", "--html", "page.html")
        command("score", *folders, *words, "--json", "x.json", "--no-csv")
        first = Path("page.html").read_text()
        command("report", "x.json", "--html", "page.html", "--device", "cpu", "-q")
        without_time = [
            re.sub(r"[\d.]+ s\b|\"seconds\":[^,}]*", "", page) for page in (first, Path("page.html").read_text())
        ]
        assert without_time[0] == without_time[1]

    def test_no_images_reads_none_and_links_them(self, command: Command, scored: Path, reads: list[Path]) -> None:
        found = command("report", scored, "--html", "x.html", "--no-images")
        assert (found.code, reads) == (0, [])
        page = Path("x.html").read_text()
        assert "../prediction/im" in page  # relative to the page
        assert "UklGR" not in page  # no WebP

    def test_images_that_are_gone_are_a_warning_and_the_rest_is_told(self, command: Command, run: Path) -> None:
        found = command("report", run, "--html", "x.html", "--maps", "maps")
        assert found.code == 0
        assert "WARNING" in found.err
        assert Path("x.html").exists()
        assert os.listdir("maps") == ["scales.json"]

    def test_one_image_that_is_gone(self, command: Command, scored: Path, tmp_path: Path) -> None:
        (tmp_path / "prediction" / "im1.png").unlink()
        found = command("report", scored, "--html", "x.html", "--maps", "maps", "--device", "cpu")
        assert found.code == 0
        assert "im1" in found.err
        assert sorted(os.listdir("maps")) == ["im0", "im2", "scales.json"]

    @pytest.mark.parametrize("what", ["gallery", "write_maps"])
    def test_130_interrupted(self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(f"relight_eval.pictures.{what}", interrupt)
        found = command("report", run, "--html", "x.html", "--maps", "maps", "--csv", "x.csv")
        assert found.code == 130
        assert "Traceback" not in found.err
        assert Path("x.csv").exists()

    def test_a_full_disk_costs_neither_the_print_nor_the_other_files(self, command: Command, run: Path) -> None:
        found = command("report", run, "--html", "/dev/full", "--csv", "x.csv", "--no-images")
        assert found.code == 2
        assert "cannot write /dev/full: No space left on device" in found.err
        assert "Scores" in found.out
        assert Path("x.csv").exists()
