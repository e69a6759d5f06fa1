"""`relight-eval score`: every option does what it says, and the exit codes of the contract."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import pytest

from relight_eval.cli import looking
from relight_eval.errors import ReportError
from relight_eval.evaluate import evaluate
from relight_eval.findings import THRESHOLDS
from tests.cli.commands import Command
from tests.engines.fakes import greedy, use
from tests.folders import picture, two_folders, worse, write

PROGRAM = (sys.executable, "-m", "relight_eval")
FAST = ("-m", "charbonnier,psnr", "--device", "cpu")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return two_folders(tmp_path, 4)


def records(path: str | Path = "scores.csv") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(path).read_text())))


class TestExitCodes:
    def test_0_all_is_well(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST)
        assert found.code == 0
        assert "charbonnier ↓" in found.out
        assert "4 pairs in" in found.err
        assert "wrote scores.csv" in found.err

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("no/such", "{target}"), "no/such", id="no folder"),
            pytest.param(("{prediction}", "{target}", "-m", "wsim"), "did you mean wssim", id="metric"),
            pytest.param(("{prediction}", "{target}", "-m", ","), "no metric was chosen", id="no metric"),
            pytest.param(("{prediction}", "{target}", "-m", "vgg19"), "no VGG19 weights", id="weights by name"),
            pytest.param(("{prediction}", "{target}", "--glob", "*.tiff"), r"\*\.tiff", id="glob matches nothing"),
            pytest.param(("{prediction}", "{target}", "--device", "cuda:77"), "device 'cuda:77'", id="device"),
            pytest.param(("{prediction}", "{target}", "--wavelet", "harr"), "did you mean haar", id="wavelet"),
            pytest.param(("{prediction}", "{target}", "--wssim-ratio", "1"), "between 0 and 1", id="ratio"),
            pytest.param(("{prediction}", "{target}", "--wssim-levels", "0"), "1 to 8", id="levels"),
            pytest.param(("{prediction}", "{target}", "--charbonnier-eps", "0"), "between 0 and 1", id="eps"),
            pytest.param(("{prediction}", "{target}", "-b", "0"), "auto or a whole number", id="batch size"),
            pytest.param(("{prediction}", "{target}", "-j", "many"), "auto or a whole number", id="workers"),
            pytest.param(("{prediction}", "{target}", "--alpha", "pink"), "pink", id="alpha"),
            pytest.param(("{prediction}", "{target}", "--precision", "half"), "'half' is not one of", id="precision"),
            pytest.param(("{prediction}", "{target}", "--csv", "no/dir/x.csv"), "no folder no/dir", id="csv"),
            pytest.param(("{prediction}", "{target}", "--json", "no/dir/x.json"), "no folder no/dir", id="json"),
            pytest.param(("{prediction}", "{target}", "--csv", "-", "--json", "-"), "both be written to -", id="two -"),
            pytest.param(("{prediction}", "{target}", "--json", "./scores.csv"), "both be written to", id="same"),
            pytest.param(("{prediction}", "{target}", "--no-csv", "--csv", "x.csv"), "say the opposite", id="--no"),
            pytest.param(("{prediction}", "{target}", "--csv", "im0.PNG"), "name of an image", id="csv over an image"),
            pytest.param(("{prediction}", "{target}", "--device", "meta"), "'meta' is not known", id="meta"),
            pytest.param(("{prediction}", "{target}", "--frobnicate"), "--frobnicate", id="unknown option"),
            pytest.param(("{prediction}",), "TARGET", id="no target"),
            pytest.param(("{prediction}", "{target}", "--require", "psnr <= 9"), '"psnr >= 9"', id="direction"),
            pytest.param(("{prediction}", "{target}", "--require", "psnrr >= 9"), "did you mean psnr", id="column"),
            pytest.param(("{prediction}", "{target}", "--require", "vgg19 <= 9"), "no VGG19 weights", id="rule's"),
            pytest.param(("{prediction}", "{target}", "--require", "psnr drop <= 1"), "gate --baseline", id="drop"),
            pytest.param(
                ("{prediction}", "{target}", "--require", "each x psnr >= 1"), "--group PATTERN", id="no group"
            ),
            pytest.param(("{prediction}", "{target}", "-m", "ssim", "--require", "psnr >= 9"), "with -m", id="no such"),
            pytest.param(("{prediction}", "{target}", "--rules", "no.toml"), "no.toml: cannot be read", id="rules"),
            pytest.param(("{prediction}", "{target}", "--rules", ""), "cannot be read", id="empty rules"),
            pytest.param(("{prediction}", "{target}", "--group", "("), "no regular expression", id="group"),
            pytest.param(("{prediction}", "{target}", "--group", "(?P<x>y)"), "not match 4 of 4", id="group of none"),
            pytest.param(("{prediction}", "{target}", "--seed", "-1"), "or equal to 0", id="seed"),
            pytest.param(("{prediction}", "{target}", "--junit", "x", "--markdown", "./x"), "two places", id="junit"),
        ],
    )
    def test_2_it_could_not_be_done(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path], words: tuple[str, ...], message: str
    ) -> None:
        prediction, target = folders
        found = command("score", *(word.format(prediction=prediction, target=target) for word in words))
        assert found.code == 2
        assert re.search(message, found.err), found.err
        assert "Traceback" not in found.err
        assert reads == []
        assert os.listdir() == []

    def test_2_when_no_pair_could_be_scored_but_the_reasons_are_written(self, command: Command, tmp_path: Path) -> None:
        for side in ("prediction", "target"):
            (tmp_path / side).mkdir()
            (tmp_path / side / "a.png").write_bytes(b"junk")
        found = command("score", tmp_path / "prediction", tmp_path / "target", *FAST)
        assert found.code == 2
        assert "no pair could be scored" in found.err
        assert [record["status"] for record in records()] == ["error"]

    def test_3_a_pair_could_not_be_scored(self, command: Command, folders: tuple[Path, Path]) -> None:
        (folders[0] / "im1.png").write_bytes(b"junk")
        found = command("score", *folders, *FAST)
        assert found.code == 3
        assert "1 not scored in full" in found.err
        assert [record["status"] for record in records()] == ["ok", "error", "ok", "ok"]

    def test_3_a_file_has_no_partner_unless_that_is_accepted(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        (folders[0] / "im1.png").unlink()
        refused = command("score", *folders, *FAST)
        accepted = command("score", *folders, *FAST, "--missing", "skip")
        assert (refused.code, accepted.code) == (3, 0)
        assert "no partner for 1 of 4 targets: im1" in refused.out
        assert "no partner for 1 of 4 targets: im1" in accepted.out
        assert "1 file without partner (--missing skip accepts that)" in refused.err
        assert "--missing" not in accepted.out + accepted.err
        assert [record["status"] for record in records()] == ["ok", "missing_prediction", "ok", "ok"]

    def test_3_errors_count_whatever_is_said_of_partners(self, command: Command, folders: tuple[Path, Path]) -> None:
        (folders[0] / "im1.png").write_bytes(b"junk")
        assert command("score", *folders, *FAST, "--missing", "skip").code == 3

    def test_70_a_bug_shows_its_traceback(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("relight_eval.pairs.find", lambda *_, **__: 1 / 0)
        found = command("score", *folders, *FAST)
        assert found.code == 70
        assert "ZeroDivisionError" in found.err
        assert "this is a bug" in found.err

    def test_130_interrupted(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("relight_eval.pairs.find", interrupt)
        found = command("score", *folders, *FAST)
        assert found.code == 130
        assert "interrupted; nothing was written" in found.err
        assert not Path("scores.csv").exists()


class TestRules:
    def test_verdicts_stand_below_the_scores(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "--require", "psnr >= 10", "--require", "each psnr >= 99")
        assert found.code == 1
        assert re.search(r"Scores\n(.*\n)+PASS  mean psnr .* >= 10 .*\nFAIL  each psnr: 4 of 4 images < 99", found.out)
        assert "1 of 2 rules failed" in found.err
        assert len(records()) == 4

    def test_quiet_says_what_failed(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("score", *folders, *FAST, "--require", "psnr >= 10")
        assert command(*words, "-q") == (0, "", "")
        found = command(*words, "--require", "psnr >= 99", "--quiet")
        assert (found.code, found.out) == (1, "")
        assert found.err.startswith("FAIL  mean psnr")
        assert "PASS" not in found.err

    def test_of_a_file_with_level_images_and_reason(self, command: Command, folders: tuple[Path, Path]) -> None:
        Path("rules.toml").write_text(
            'require = [{rule = "psnr >= 99", level = "warn", images = "im[12]", reason = "faces"}]'
        )
        found = command("score", *folders, *FAST, "--rules", "rules.toml")
        assert found.code == 0
        assert re.search(r"WARN  mean psnr of im\[12\] .* < 99 .*\n      faces\n      worst: im2 .*, im1 ", found.out)

    def test_a_pyproject_is_for_gate(self, command: Command, folders: tuple[Path, Path]) -> None:
        Path("pyproject.toml").write_text('[tool.relight-eval]\nrequire = ["psnr >= 99"]')
        found = command("score", *folders, *FAST)
        assert (found.code, "rules of" in found.err) == (0, False)
        assert command("gate", *folders, *FAST).code == 1

    def test_a_failed_rule_wins_over_3(self, command: Command, folders: tuple[Path, Path]) -> None:
        (folders[0] / "im1.png").write_bytes(b"junk")
        assert command("score", *folders, *FAST, "--require", "psnr >= 10").code == 3
        assert command("score", *folders, *FAST, "--require", "psnr >= 99").code == 1

    def test_2_nothing_scored_wins_over_a_failed_rule(self, command: Command, folders: tuple[Path, Path]) -> None:
        for i in range(4):
            (folders[0] / f"im{i}.png").write_bytes(b"junk")
        found = command("score", *folders, *FAST, "--require", "psnr >= 10")
        assert found.code == 2
        assert "a rule over nothing does not pass" in found.out

    def test_junit_markdown_and_json(self, command: Command, folders: tuple[Path, Path]) -> None:
        (folders[0] / "im1.png").write_bytes(b"junk")
        words = ("--junit", "out.xml", "--markdown", "out.md", "--json", "out.json", "--no-csv")
        command("score", *folders, *FAST, "--require", "each psnr >= 99", *words)
        root = ElementTree.parse("out.xml").getroot()
        assert [root.get(key) for key in ("tests", "failures", "errors")] == ["4", "3", "1"]
        assert Path("out.md").read_text().startswith("## relight-eval: ❌ 1 of 1 rule failed, 4 pairs\n")
        (verdict,) = json.loads(Path("out.json").read_text())["verdicts"]
        assert (verdict["outcome"], len(verdict["failing"])) == ("fail", 3)

    def test_rules_are_told_to_github_scores_are_not(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        found = command("score", *folders, *FAST)
        assert "::" not in found.err
        assert not Path("summary.md").exists()
        found = command("score", *folders, *FAST, "--require", "psnr >= 99")
        assert "::error title=relight-eval::mean psnr" in found.err
        assert Path("summary.md").read_text().startswith("## relight-eval: ❌")

    def test_a_step_summary_that_cannot_be_written_is_a_warning(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/summary.md")
        warning = "WARNING  cannot write GITHUB_STEP_SUMMARY, no/summary.md: No such file or directory\n"
        assert command("score", *folders, *FAST, "--require", "psnr >= 10", "-q") == (0, "", warning)
        found = command("score", *folders, *FAST, "--require", "psnr >= 99")
        assert (found.code, warning in found.err) == (1, True)
        assert len(records()) == 4
        assert command("score", *folders, *FAST, "-q") == (0, "", "")

    def test_a_report_over_the_rules(self, command: Command, folders: tuple[Path, Path], reads: list[Path]) -> None:
        Path("rules.toml").write_text('require = ["psnr >= 9"]')
        found = command("score", *folders, *FAST, "--rules", "rules.toml", "--junit", "rules.toml")
        assert (found.code, "which is read" in found.err) == (2, True)
        assert Path("rules.toml").read_text() == 'require = ["psnr >= 9"]'
        assert reads == []


class TestGroupAndSeed:
    def test_group_has_a_table_and_makes_the_intervals(self, command: Command, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 12, height=16, width=16)
        words = ("score", *folders, *FAST, "--no-csv", "--json", "out.json")
        command(*words)
        usual = json.loads(Path("out.json").read_text())
        found = command(*words, "--group", r"im(?P<last>\d)$|im1(?P<more>\d)")
        assert (found.code, "does not match" in found.err) == (2, True)
        found = command(*words, "--group", r"im(?P<first>1?\d)", "--require", "each first mean psnr >= 10")
        assert found.code == 0, found.err
        assert "Means by first, worst first" in found.out
        assert "all 12 first groups" in found.out
        grouped = json.loads(Path("out.json").read_text())
        assert (usual["group"], grouped["group"]) == (None, r"im(?P<first>1?\d)")
        found = command(*words, "--group", r"im(?P<first>\d)")
        wider = json.loads(Path("out.json").read_text())
        assert wider["aggregate"]["psnr"]["mean"] == usual["aggregate"]["psnr"]["mean"]
        assert wider["aggregate"]["psnr"]["ci95"] != usual["aggregate"]["psnr"]["ci95"]

    def test_seed_makes_the_intervals_and_is_saved(self, command: Command, tmp_path: Path) -> None:
        folders = two_folders(tmp_path, 8, height=16, width=16)
        documents = []
        for words in ((), ("--seed", "0"), ("--seed", "1"), ("--seed", 2**63 - 1)):
            assert command("score", *folders, *FAST, "--no-csv", "--json", "out.json", *words).code == 0
            assert command("gate", "out.json", "--require", "psnr >= 1").code == 0
            documents.append(json.loads(Path("out.json").read_text()))
        assert [document["seed"] for document in documents] == [0, 0, 1, 2**63 - 1]
        intervals = [document["aggregate"]["psnr"]["ci95"] for document in documents]
        assert intervals[0] == intervals[1] != intervals[2]
        assert "seed=1" in documents[2]["signature"]["interval"]


class TestOutputs:
    def test_csv_holds_what_evaluate_finds(self, command: Command, folders: tuple[Path, Path]) -> None:
        command("score", *folders, *FAST)
        expected = evaluate(*folders, metrics=["charbonnier", "psnr"], device="cpu")
        found = records()
        assert [record["image"] for record in found] == ["im0", "im1", "im2", "im3"]
        assert [float(record["psnr"]) for record in found] == list(expected.values("psnr").values())

    def test_csv_elsewhere_and_none(self, command: Command, folders: tuple[Path, Path]) -> None:
        command("score", *folders, *FAST, "--csv", "other.csv")
        assert len(records("other.csv")) == 4
        found = command("score", *folders, *FAST, "--no-csv")
        assert os.listdir() == ["other.csv"]
        assert "wrote" not in found.err

    def test_json(self, command: Command, folders: tuple[Path, Path]) -> None:
        command("score", *folders, *FAST, "--json", "scores.json")
        document = json.loads(Path("scores.json").read_text())
        assert [pair["image"] for pair in document["pairs"]] == ["im0", "im1", "im2", "im3"]
        assert Path("scores.csv").exists()

    @pytest.mark.parametrize(
        ("option", "parse"),
        [
            pytest.param("--csv", lambda text: list(csv.DictReader(io.StringIO(text))), id="csv"),
            pytest.param("--json", lambda text: json.loads(text)["pairs"], id="json"),
        ],
    )
    def test_dash_gives_standard_output_to_the_data_alone(
        self, command: Command, folders: tuple[Path, Path], option: str, parse: Callable[[str], list[object]]
    ) -> None:
        found = command("score", *folders, *FAST, option, "-")
        assert len(parse(found.out)) == 4
        assert "Scores" in found.err

    def test_quiet_says_nothing_but_errors(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "-q")
        assert (found.code, found.out, found.err) == (0, "", "")
        assert len(records()) == 4
        assert "no/such" in command("score", "no/such", folders[1], "-q").err
        (folders[0] / "im1.png").write_bytes(b"junk")
        found = command("score", *folders, *FAST, "-q")
        assert (found.code, found.out) == (3, "")
        assert "1 not scored in full" in found.err

    def test_quiet_still_says_what_is_missing(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, "--device", "cpu", "-q")
        assert (found.code, found.out) == (0, "")
        assert found.err.startswith("WARNING  vgg19 was left out")

    def test_libraries_say_nothing_of_their_own(self, command: Command, folders: tuple[Path, Path]) -> None:
        """Neither torch's CUDA_HOME notice nor the deprecation of pkg_resources reaches the user."""
        words = ["score", *folders, "-m", "wssim,lpips", "--wavelet", "db2", "--device", "cpu"]
        ran = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=True)
        assert re.fullmatch(r"4 pairs in .* s \(.* pairs/s\); wrote scores\.csv\n", ran.stderr)

    def test_images_that_cannot_be_read_yet_are_rows_and_other_files_are_counted(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        for folder in folders:
            for name in ("a.avif", "b.ppm", "c.exr", "notes.txt"):
                (folder / name).write_bytes(b"P6 1 1 255 abc")
        found = command("score", *folders, *FAST)
        assert found.code == 3
        assert [record["status"] for record in records()] == ["error"] * 3 + ["ok"] * 4
        assert re.search(r"ignored +hidden, or no images by their suffix +2 files", found.out)

    def test_memory_that_was_short_is_said_once_in_every_report(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(monkeypatch, greedy(1))
        words = ("score", *folders, "-m", "psnr", "--device", "cpu", "-b", "2", "--json", "scores.json")
        said = "the memory of cpu is short: went on with fewer pairs at once"
        found = command(*words)
        assert found.code == 0
        assert found.out.startswith(f"WARNING  {said}\n")
        assert (found.out + found.err).count("the memory of cpu") == 1
        assert json.loads(Path("scores.json").read_text())["warnings"] == [said]
        assert command(*words, "-q").err == f"WARNING  {said}\n"

    @pytest.mark.parametrize("verbose", ["-v", "--verbose"])
    def test_verbose_lists_every_error(self, command: Command, tmp_path: Path, verbose: str) -> None:
        prediction, target = two_folders(tmp_path, 13, height=12, width=12)
        for i in range(12):
            (prediction / f"im{i}.png").write_bytes(b"")
        assert "more (--verbose" in command("score", prediction, target, *FAST).out
        found = command("score", prediction, target, *FAST, verbose).out
        assert "more (--verbose" not in found
        assert all(f"im{i} " in found for i in range(12))

    def test_a_report_that_cannot_be_written_costs_neither_the_table_nor_the_other_report(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval import reports
        from relight_eval.errors import ReportError

        save = reports.save

        def full(path: Path, text: str) -> None:
            if path.suffix == ".csv":
                raise ReportError("cannot write scores.csv: No space left on device")
            save(path, text)

        monkeypatch.setattr(reports, "save", full)
        found = command("score", *folders, *FAST, "--json", "scores.json")
        assert found.code == 2
        assert "No space left" in found.err
        assert "charbonnier ↓" in found.out
        assert Path("scores.json").exists()

    def test_readable_at_80_columns_in_a_pipe(self, command: Command, folders: tuple[Path, Path]) -> None:
        lines = command("score", *folders, "--device", "cpu").out.splitlines()
        assert max(len(line.rstrip()) for line in lines[:-1]) <= 80
        assert not any("\x1b" in line for line in lines)
        assert lines[-1].startswith("relight-eval:")

    def test_no_weights_is_said_above_the_tables_with_the_command_that_mends_it(
        self, command: Command, folders: tuple[Path, Path]
    ) -> None:
        found = command("score", *folders, "--device", "cpu")
        assert found.code == 0
        assert found.out.startswith("WARNING  vgg19 was left out")
        assert "weights fetch" in found.out
        assert {record["vgg19"] for record in records()} == {""}
        assert all(record["lpips"] for record in records())


class TestOptions:
    """Each option changes what it should: an option that is ignored fails here."""

    def score(self, command: Command, *words: object) -> dict[str, str]:
        found = command("score", *words, "--device", "cpu", "--json", "scores.json")
        assert found.code == 0, found.err
        document = json.loads(Path("scores.json").read_text())
        return {**document["pairs"][0]["scores"], "signature": document["signature"], "document": document}

    @pytest.mark.parametrize(
        ("metric", "option", "signature"),
        [
            pytest.param("charbonnier", ("--charbonnier-eps", "0.01"), "eps=0.01", id="eps"),
            pytest.param("wssim", ("--wavelet", "db2"), "ynet,db2,", id="wavelet"),
            pytest.param("wssim", ("--wssim-levels", "3"), "levels=3", id="levels"),
            pytest.param("wssim", ("--wssim-ratio", "0.3"), "r=0.3", id="ratio"),
        ],
    )
    def test_constants(
        self, command: Command, folders: tuple[Path, Path], metric: str, option: tuple[str, ...], signature: str
    ) -> None:
        usual = self.score(command, *folders, "-m", metric)
        other = self.score(command, *folders, "-m", metric, *option)
        assert usual[metric] != other[metric]
        assert signature in other["signature"][metric]
        assert signature not in usual["signature"][metric]

    def test_column_names_follow_the_levels(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = self.score(command, *folders, "-m", "wssim", "--wssim-levels", "3")
        assert "wssim_ll3" in found
        assert "wssim_ll2" not in found

    def test_weights_and_preset(self, command: Command, folders: tuple[Path, Path], vgg19_checkpoint: Path) -> None:
        weights = ("--vgg19-weights", vgg19_checkpoint)
        usual = self.score(command, *folders, "-m", "vgg19", *weights)
        other = self.score(command, *folders, "-m", "vgg19", *weights, "--vgg19-preset", "imagenet")
        assert usual["vgg19"] != other["vgg19"]
        assert usual["signature"]["vgg19"].startswith("s3net,")
        assert other["signature"]["vgg19"].startswith("imagenet,")

    def test_glob(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = self.score(command, *folders, "-m", "psnr", "--glob", "*2.png")
        assert [pair["image"] for pair in found["document"]["pairs"]] == ["im2"]

    def test_alpha(self, command: Command, tmp_path: Path) -> None:
        import numpy as np

        write(tmp_path / "p" / "a.png", np.dstack([picture(1), np.full((40, 48), 90, np.uint8)]))
        write(tmp_path / "t" / "a.png", picture(1))
        folders = (tmp_path / "p", tmp_path / "t")
        assert command("score", *folders, *FAST).code == 2
        scores = [self.score(command, *folders, *FAST, "--alpha", rule) for rule in ("drop", "black", "white")]
        assert len({found["charbonnier"] for found in scores}) == 3
        assert scores[0]["charbonnier"] == 0.001
        assert [found["signature"]["input"] for found in scores] == [
            f"srgb,alpha={rule},space=file,white=full" for rule in ("drop", "black", "white")
        ]

    def test_device_batch_size_and_workers_reach_the_engine(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval.engines import Options, local

        score = local.score
        seen: list[Options] = []

        def spy(pairs: Any, metrics: Any, settings: Any, options: Options, tell: Any) -> object:
            seen.append(options)
            return score(pairs, metrics, settings, options, tell)

        monkeypatch.setattr(local, "score", spy)
        command("score", *folders, *FAST, "-b", "3", "-j", "2")
        command("score", *folders, *FAST, "--batch-size", "auto", "--workers", "auto")
        assert [(o.device, o.batch_size, o.workers) for o in seen] == [("cpu", 3, 2), ("cpu", None, None)]

    def test_precision(self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
        """On a CPU the fast scores are the exact ones, and the run says so, once."""
        from relight_eval.engines import local

        score = local.score
        seen: list[str | None] = []

        def spy(pairs: Any, metrics: Any, settings: Any, *rest: Any) -> object:
            seen.append(settings.precision)
            return score(pairs, metrics, settings, *rest)

        monkeypatch.setattr(local, "score", spy)
        words = (*folders, "-m", "psnr")
        usual, exact, fast = (
            self.score(command, *words, *option) for option in ((), ("--precision", "exact"), ("--precision", "fast"))
        )
        assert seen == [None, "exact", "fast"]
        assert {found["signature"]["precision"] for found in (usual, exact, fast)} == {"exact"}
        assert usual["psnr"] == exact["psnr"] == fast["psnr"]
        assert [len(found["document"]["warnings"]) for found in (usual, exact, fast)] == [0, 0, 1]
        printed = command("score", *words, "--device", "cpu", "--precision", "fast")
        assert printed.code == 0
        assert printed.out.startswith("WARNING  precision fast is for CUDA: on cpu nothing")
        assert (printed.out + printed.err).count("precision fast") == 1

    def test_offline_and_online(
        self,
        command: Command,
        folders: tuple[Path, Path],
        serve: Callable[..., str],
        vgg19_checkpoint: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Without --offline the weights are fetched (here from a server on this machine), with it they are not."""
        import hashlib

        from relight_eval import downloads, weights

        body = vgg19_checkpoint.read_bytes()
        address = downloads.Download(serve(body), "vgg19.pth", hashlib.sha256(body).hexdigest(), len(body))
        monkeypatch.setattr(weights, "TORCHVISION", address)
        monkeypatch.delenv("RELIGHT_EVAL_OFFLINE")
        assert command("score", *folders, "-m", "vgg19", "--offline").code == 2
        found = command("score", *folders, "-m", "vgg19", "--device", "cpu")
        assert found.code == 0, found.err
        assert "fetching" in found.err
        monkeypatch.setenv("RELIGHT_EVAL_OFFLINE", "1")
        assert command("score", *folders, "-m", "vgg19", "--device", "cpu").code == 0


def test_progress_is_drawn_on_a_terminal_and_only_there(
    command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "images/s" not in command("score", *folders, *FAST).err
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "images/s" not in command("score", *folders, *FAST).err
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    with subprocess.Popen([*PROGRAM, "score", *folders, *FAST], stderr=follower, stdout=subprocess.DEVNULL) as process:
        os.close(follower)
        drawn = b"".join(iter(lambda: read(leader), b""))
    os.close(leader)
    assert process.returncode == 0
    assert b"4/4" in drawn
    assert b"images/s" in drawn


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # what Linux says when the other end was closed
        return b""


def test_ctrl_c_stops_a_run_within_seconds_and_writes_what_there_is(command: Command, tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 1, height=300, width=300)
    for folder in (prediction, target):
        for i in range(1, 400):
            os.link(folder / "im0.png", folder / f"im{i}.png")
    with subprocess.Popen(
        [*PROGRAM, "score", prediction, target, "--device", "cpu"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        while not Path("scores.csv.journal").exists():
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in err
    rows = Path("scores.csv").read_text().splitlines()
    assert len(rows) == 401
    assert 0 < sum(row.endswith(",ok,") for row in rows) < 400


@pytest.mark.parametrize("words", [(), ("--csv", "-")], ids=["tables", "data"])
def test_a_reader_that_has_had_enough_changes_nothing(
    command: Command, folders: tuple[Path, Path], words: tuple[str, ...]
) -> None:
    """`relight-eval score … | head -1`: neither a failed rule nor a bug."""
    with subprocess.Popen(
        [*PROGRAM, "score", *folders, *FAST, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()  # type: ignore[union-attr]
        err = process.stderr.read()  # type: ignore[union-attr]
    assert process.returncode == 0
    assert b"Traceback" not in err
    assert b"Broken pipe" not in err
    assert Path("scores.csv").exists() == (not words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [(), ("--csv", "-")], ids=["tables", "data"])
def test_standard_output_on_a_full_disk(command: Command, folders: tuple[Path, Path], words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        ran = subprocess.run([*PROGRAM, "score", *folders, *FAST, *words], stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 2
    assert b"cannot write standard output: No space left on device" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_closed_standard_output(command: Command, folders: tuple[Path, Path]) -> None:
    line = " ".join(map(str, [*PROGRAM, "score", *folders, *FAST]))
    ran = subprocess.run(f"{line} >&-", shell=True, stderr=subprocess.PIPE)
    assert ran.returncode == 0, ran.stderr
    assert Path("scores.csv").exists()


def test_ctrl_c_while_starting_up(command: Command, folders: tuple[Path, Path]) -> None:
    """Some imports swallow a KeyboardInterrupt; until the work begins, Ctrl-C ends the process itself."""
    code = (
        "import os, signal, sys; from relight_eval import __main__, reports\n"
        "reports.require_writable = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        f"sys.argv = {['relight-eval', 'score', *map(str, folders)]!r}; __main__.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr == "relight-eval: interrupted\n"


def test_metrics_of_two_options_are_joined(command: Command, folders: tuple[Path, Path]) -> None:
    command("score", *folders, "--device", "cpu", "-m", "psnr", "-m", "charbonnier")
    assert {"psnr", "charbonnier"} <= set(records()[0])


# Inputs, masks, floors, findings, and a second look


@pytest.fixture
def beside(folders: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """input/ and mask/ of the four images."""
    for i in range(4):
        write(tmp_path / "input" / f"im{i}.png", worse(picture(i), 40, seed=9))
        write(tmp_path / "mask" / f"im{i}.png", np.pad(np.ones((32, 40), np.uint8), 4))
    return tmp_path / "input", tmp_path / "mask"


class TestBeside:
    def test_input_mask_align_regions_and_floors_in_every_output(
        self, command: Command, folders: tuple[Path, Path], beside: tuple[Path, Path]
    ) -> None:
        given, mask = beside
        found = command(
            *("score", *folders, "-m", "psnr,diagnosis", "--device", "cpu", "--input", given, "--mask", mask),
            *("--align", "gain", "--regions", "--floors", "--json", "all.json", "--markdown", "all.md"),
        )
        assert (found.code, found.err.count("\n")) == (0, 1), found.err
        assert max(map(len, found.out.splitlines()[:-2])) <= 80
        for block in ("Scores", "Floors", "Worst images", "Why: "):
            assert f"\n{block}" in found.out
        assert "psnr_aligned ↑" in found.out
        assert "psnr_highlights ↑" in found.out
        assert {"shadow_baked", "align_gain_r", "psnr_aligned", "psnr_shadows"} <= set(records()[0])
        (first, *_) = json.loads(Path("all.json").read_text())["pairs"]
        assert (first["input"], first["mask"]) == (str(given / "im0.png"), str(mask / "im0.png"))
        assert set(first["floors"]) == {"black", "mean colour", "input"}
        assert "| worst images | why |" in Path("all.md").read_text()

    @pytest.mark.parametrize("option", ["--input", "--mask"])
    def test_3_one_is_missing(
        self, command: Command, folders: tuple[Path, Path], beside: tuple[Path, Path], option: str
    ) -> None:
        folder = beside[option == "--mask"]
        (folder / "im2.png").unlink()
        found = command("score", *folders, *FAST, option, folder)
        assert found.code == 3
        assert [record["status"] for record in records()] == ["ok", "ok", "error", "ok"]
        assert records()[2]["error"] == f"no {option[2:]} of this name (looked in {folder}/)"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("--mask", "no/such"), "no/such: no such folder", id="mask"),
            pytest.param(("--input", "no/such"), "no/such: no such folder", id="input"),
            pytest.param(("--mask", "empty"), "empty: no image, the folder is empty", id="empty mask"),
            pytest.param(("--align", "gian"), "unknown alignment 'gian'; did you mean gain", id="align"),
            pytest.param(("--regions", "-m", "lpips"), "--regions tells charbonnier, psnr, ssim", id="regions"),
            pytest.param(("--threshold", "color=3"), "has the threshold 'color'; did you mean colour", id="threshold"),
            pytest.param(("--threshold", "colour"), "'' is not a number; write colour=3", id="threshold without"),
            pytest.param(("--threshold", "colour=-1"), "a threshold is a number from 0", id="threshold below 0"),
            pytest.param(("--threshold", "colour=nan"), "a threshold is a number from 0", id="threshold NaN"),
            pytest.param(("--html", "no/dir/x.html"), "there is no folder no/dir", id="html"),
            pytest.param(("--html", "scores.csv"), "would both be written to scores.csv", id="html over the csv"),
            pytest.param(("--html", "im0.png"), "is the name of an image", id="html over an image"),
            pytest.param(("--maps", "no/dir"), "there is no folder no", id="maps"),
            pytest.param(("--maps", "file"), "--maps file is a file; name a folder", id="maps a file"),
            pytest.param(("--maps", "{prediction}"), "is read by this run", id="maps among predictions"),
            pytest.param(("--maps", "{target}/maps"), "which is read by this run", id="maps below targets"),
            pytest.param(("--maps-count", "3"), "--maps-count is about the maps; name their folder", id="count alone"),
            pytest.param(("--maps", "maps", "--maps-count", "0"), "auto or a whole number from 1", id="count of 0"),
            pytest.param(("--require", "psnr_aligned >= 3"), "psnr_aligned was not scored in this run", id="aligned"),
            pytest.param(("--require", "psnr_shadows >= 3"), "add --regions", id="regional"),
            pytest.param(("--require", "copy_ratio <= 1"), "add --input", id="of the input"),
        ],
    )
    def test_2_before_any_image_is_read(
        self,
        command: Command,
        folders: tuple[Path, Path],
        reads: list[Path],
        words: tuple[str, ...],
        message: str,
    ) -> None:
        Path("empty").mkdir()
        Path("file").touch()
        prediction, target = folders
        words = tuple(word.format(prediction=prediction, target=target) for word in words)
        metrics = () if "-m" in words else ("-m", "psnr,diagnosis")
        found = command("score", *folders, *metrics, "--device", "cpu", *words)
        assert (found.code, found.out, reads) == (2, "", [])
        assert message in " ".join(re.sub("[│╭╮╰╯─]", "", found.err).split())
        assert not Path("scores.csv").exists()

    def test_rules_about_aligned_and_regional_columns(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("score", *folders, *FAST, "--align", "gain", "--regions")
        rules = ("each align_gain_r <= 1.5", "each align_gain_r >= 0.5", "psnr_aligned >= 99", "min psnr_shadows >= 1")
        found = command(*words, *(word for rule in rules for word in ("--require", rule)))
        assert found.code == 1
        assert re.findall("^(PASS|FAIL)", found.out, re.MULTILINE) == ["PASS", "PASS", "FAIL", "PASS"]

    def test_thresholds_change_the_words_and_are_saved(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("score", *folders, "-m", "diagnosis", "--device", "cpu", "--json", "x.json")
        usual = command(*words)
        many = [f"{name}={0 if name in ('soft', 'detail', 'content') else 1000}" for name in THRESHOLDS]
        other = command(*words, *(word for least in many for word in ("--threshold", least)))
        assert "Why: nothing stands out 4" in other.out
        assert "Why: nothing stands out 4" not in usual.out
        assert set(json.loads(Path("x.json").read_text())["thresholds"]) == set(THRESHOLDS)

    def test_mistakes_of_set_up_stand_above_the_scores(
        self, command: Command, folders: tuple[Path, Path], beside: tuple[Path, Path]
    ) -> None:
        found = command("score", *folders, *FAST, "--input", folders[0])
        assert found.code == 0
        assert found.out.index("4 with what looks like a mistake of set-up") < found.out.index("Scores")
        assert "im0, im1 and 2 more  the prediction equals the input" in found.out

    def test_folders_that_look_swapped_are_a_warning(self, command: Command, folders: tuple[Path, Path]) -> None:
        prediction, target = folders
        found = command("score", target, prediction, *FAST, "-q")
        assert found.code == 0
        assert f"WARNING  {target} was given as prediction and {prediction} as target: are they swapped?" in found.err


class TestLooks:
    def test_html_and_maps(self, command: Command, folders: tuple[Path, Path], beside: tuple[Path, Path]) -> None:
        found = command(
            *("score", *folders, *FAST, "--html", "page.html", "--maps", "maps", "--maps-count", "2"),
            *("--input", beside[0], "--mask", beside[1]),
        )
        assert found.code == 0, found.err
        assert found.err.splitlines()[-1].endswith("wrote scores.csv and page.html")
        assert re.search(r"^wrote \d+ files to maps$", found.err, re.MULTILINE)
        page = Path("page.html").read_text()
        assert page.startswith("<!DOCTYPE html>")
        assert "data:image/webp;base64," in page or "UklGR" in page  # the images are in it
        assert not re.search(r"""(src|href)=["']?https?:""", page)
        assert sorted(path.name for path in Path("maps").iterdir()) == ["im2", "im3", "scales.json"]
        pngs = list(Path("maps").rglob("*.png"))
        assert pngs
        for path in pngs:
            with PIL.Image.open(path) as picture:
                assert picture.size == (48, 40)

    def test_maps_are_of_the_images_that_fail_a_rule_and_of_the_worst(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looking, "WORST", 1)
        command("score", *folders, *FAST, "--maps", "worst")
        assert sorted(path.name for path in Path("worst").iterdir()) == ["im3", "scales.json"]
        psnr = [float(record["psnr"]) for record in records()]
        rule = f"each psnr >= {(psnr[0] + psnr[1]) / 2}"
        assert command("score", *folders, *FAST, "--maps", "failing", "--require", rule).code == 1
        assert sorted(path.name for path in Path("failing").iterdir()) == ["im1", "im2", "im3", "scales.json"]

    def test_quiet_says_nothing(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "--html", "x.html", "--maps", "maps", "-q")
        assert found == (0, "", "")
        assert Path("x.html").exists()
        assert Path("maps/scales.json").exists()

    def test_a_page_to_standard_output(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("score", *folders, *FAST, "--html", "-")
        assert found.code == 0
        assert found.out.startswith("<!DOCTYPE html>")
        assert "Scores" in found.err

    def test_nothing_scored_makes_neither(self, command: Command, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 2)
        for path in prediction.iterdir():
            path.write_bytes(b"")
        found = command("score", prediction, target, *FAST, "--html", "x.html", "--maps", "maps", "--floors")
        assert found.code == 2
        assert "no pair could be scored" in found.err
        assert sorted(path.name for path in Path().iterdir()) == ["scores.csv", "scores.csv.journal"]  # (of floors)

    @pytest.mark.parametrize("what", ["gallery", "write_maps"])
    def test_130_interrupted_while_it_looks_keeps_what_was_written(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(f"relight_eval.pictures.{what}", interrupt)
        found = command("score", *folders, *FAST, "--html", "x.html", "--maps", "maps")
        assert found.code == 130
        lost = {"gallery": "x.html was not written", "write_maps": "not all maps are in maps"}[what]
        assert found.err.splitlines()[-2] == f"relight-eval: interrupted; {lost}"
        assert found.err.splitlines()[-1].endswith("scores.csv.journal keeps the scores so far for --resume")
        assert "Scores" in found.out
        assert len(records()) == 4
        assert Path("x.html").exists() == (what == "write_maps")

    def test_one_that_cannot_be_written_costs_neither_the_other_nor_the_scores(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise ReportError("cannot write maps: No space left on device")

        found = command("score", *folders, *FAST, "--html", "/dev/full", "--maps", "maps")
        assert found.code == 2
        assert "relight-eval: cannot write /dev/full: No space left on device" in found.err
        assert Path("maps/scales.json").exists()
        monkeypatch.setattr("relight_eval.pictures.write_maps", full)
        found = command("score", *folders, *FAST, "--html", "x.html", "--maps", "other")
        assert (found.code, len(records())) == (2, 4)
        assert "relight-eval: cannot write maps: No space left on device" in found.err
        assert Path("x.html").exists()

    def test_maps_of_two_runs_are_never_mixed(self, command: Command, folders: tuple[Path, Path]) -> None:
        assert command("score", *folders, *FAST, "--maps", "maps").code == 0
        found = command("score", *folders, *FAST, "--maps", "maps")
        assert (found.code, found.err) == (
            2,
            "relight-eval: --maps maps is not empty; name a new folder, or empty it\n",
        )

    def test_a_page_without_images_links_them(self, command: Command, folders: tuple[Path, Path]) -> None:
        assert command("score", *folders, *FAST, "--html", "x.html", "--no-images").code == 0
        without = Path("x.html").read_text()
        assert command("score", *folders, *FAST, "--html", "x.html").code == 0
        assert len(Path("x.html").read_text()) > len(without) + 1000

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("-m", "psnr", "--threshold", "colour=3"), "--threshold is about the findings, which need the metric"),
            (("-m", "diagnosis", "--floors"), "--floors says what scores are worth, and there are none"),
        ],
        ids=["threshold", "floors"],
    )
    def test_what_would_do_nothing_is_refused(
        self, command: Command, folders: tuple[Path, Path], words: tuple[str, ...], said: str
    ) -> None:
        found = command("score", *folders, *words)
        assert (found.code, said in found.err) == (2, True), found.err
        assert not Path("scores.csv").exists()

    def test_hostile_names(self, command: Command, tmp_path: Path) -> None:
        for i, name in enumerate(("</script><b>", "a'\"b", "[red]", "new\nline", os.fsdecode(b"\xff"), "..x", "con")):
            for side in ("prediction", "target"):
                write(tmp_path / side / f"{name}.png", worse(picture(i), 5 if side == "prediction" else 0))
        found = command(
            *("score", tmp_path / "prediction", tmp_path / "target", *FAST, "--html", "x.html", "--maps", "maps"),
            *("--input", tmp_path / "target", "--floors", "--json", "x.json"),
        )
        assert found.code == 0, found.err
        assert len({path.parent for path in Path("maps").rglob("*.png")}) == 6  # ..x is hidden
        assert "</script><b>" not in Path("x.html").read_text()
        assert command("report", "x.json", "--html", "y.html", "-q").code == 0


class TestShard:
    """(What is made of the parts: test_merge.)"""

    PART = ("--json", "part.json")

    def test_a_part_is_json_and_no_csv(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("score", *folders, *FAST, "--shard", "2/3", *self.PART)
        assert command(*words).err.endswith("wrote part.json\n")
        assert [pair["image"] for pair in json.loads(Path("part.json").read_text())["pairs"]] == ["im1"]
        assert not Path("scores.csv").exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("4/3", *PART), "--shard 4/3: is no part; write K/N, such as 3/16", id="no part"),
            pytest.param(("", *PART), "--shard : is no part", id="empty"),
            pytest.param(("1/99", *PART), "--shard K/99: there is not a pair for every part", id="too many"),
            pytest.param(("1/2",), "--shard 1/2 needs --json PATH", id="no json"),
            pytest.param(("1/2", *PART, "--csv", "x.csv"), "--csv is for the whole run", id="csv"),
            pytest.param(("1/2", *PART, "--require", "psnr >= 1"), "--require is for the whole run", id="rule"),
            pytest.param(("1/2", *PART, "--rules", "r.toml"), "--rules is for the whole run", id="rules"),
            pytest.param(("1/2", *PART, "--junit", "x.xml"), "--junit is for the whole run", id="junit"),
            pytest.param(("1/2", *PART, "--log", "wandb:x"), "--log is for the whole run", id="log"),
        ],
    )
    def test_what_no_part_can_be_asked_for(
        self, command: Command, folders: tuple[Path, Path], words: tuple[str, ...], message: str
    ) -> None:
        found = command("score", *folders, *FAST, "--shard", *words)
        assert (found.code, found.out) == (2, "")
        assert message in found.err
        assert list(Path().iterdir()) == []
