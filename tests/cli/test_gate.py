"""`relight-eval gate`: verdicts, the baseline, what CI reads, and the exit codes of the contract."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from relight_eval.errors import ReportError
from relight_eval.reports import REPORTS, load
from relight_eval.results import Row
from tests.cli.commands import Command
from tests.cli.saved import LEFT_UNDONE, SIGNATURE, noise_file, saved
from tests.everything import everything
from tests.folders import picture, two_folders, write

FAST = ("-m", "charbonnier,psnr", "--device", "cpu")
GOOD = ("--require", "ssim >= 0.85")
BAD = ("--require", "ssim >= 0.95")
SSIM = [0.90, 0.91, 0.92, 0.89, 0.88, 0.93, 0.90, 0.91]
LPIPS = [0.1] * 8
SCENES = r"(?P<scene>[a-z]+)_(?P<light>\d)"
NOT_WRITTEN = "the baseline main.json was not written, for"
MEND = "mend that, or use --force"
CANNOT_WRITE = "WARNING  cannot write GITHUB_STEP_SUMMARY, no/summary.md: No such file or directory"
LIT = [f"{scene}_{light}" for scene in ("hall", "roof") for light in range(4)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return two_folders(tmp_path, 4)


@pytest.fixture
def run(command: Command) -> Path:
    """run.json, eight images with ssim 0.905 on average and lpips 0.1."""
    return saved("run.json", ssim=SSIM, lpips=LPIPS)


def dropped(amounts: list[float], name: str = "main.json") -> Path:
    """A baseline from which ssim dropped by these amounts."""
    return saved(name, ssim=[score + amount for score, amount in zip(SSIM, amounts, strict=True)], lpips=LPIPS)


class TestSavedResults:
    @pytest.mark.parametrize("suffix", [".json", ".csv"])
    def test_verdicts_with_their_margin_and_whom_to_blame(self, command: Command, suffix: str) -> None:
        run = saved(f"run{suffix}", ssim=SSIM, lpips=LPIPS)
        found = command("gate", run, "--require", "ssim >= 0.9", "--require", "each lpips <= 0.05", *BAD)
        assert (found.code, found.err) == (1, "")
        assert found.out.splitlines() == [
            "PASS  mean ssim 0.9050 >= 0.9 (by 0.0050)",
            "FAIL  each lpips: 8 of 8 images > 0.05 (worst 0.1000, by 0.0500)",
            "      worst: im0 0.1000, im1 0.1000, im2 0.1000, im3 0.1000, im4 0.1000 and 3 more",
            "FAIL  mean ssim 0.9050 < 0.95 (by 0.0450)",
            "      worst: im4 0.8800, im3 0.8900, im0 0.9000, im6 0.9000, im1 0.9100 and 3 more",
        ]

    @pytest.mark.parametrize("verbose", ["-v", "--verbose"])
    def test_verbose_blames_all(self, command: Command, run: Path, verbose: str) -> None:
        found = command("gate", run, *BAD, verbose).out
        assert "im5 0.9300" in found
        assert " more" not in found

    @pytest.mark.parametrize("quiet", ["-q", "--quiet"])
    def test_quiet_says_only_what_did_not_pass(self, command: Command, run: Path, quiet: str) -> None:
        assert command("gate", run, *GOOD, quiet) == (0, "", "")
        found = command("gate", run, *GOOD, *BAD, quiet)
        assert (found.code, found.out) == (1, "")
        assert found.err.splitlines()[0] == "FAIL  mean ssim 0.9050 < 0.95 (by 0.0450)"

    def test_group_and_seed_of_the_saved_run_unless_others_are_named(self, command: Command) -> None:
        run = saved("run.json", names=LIT, group=SCENES, seed=5, ssim=[0.9] * 4 + [0.92] * 4)
        words = ("gate", run, "--require", "each scene mean ssim >= 0.91", "--json", "out.json")
        found = command(*words)
        assert found.code == 1
        assert "1 of 2 scene groups < 0.91" in found.out
        assert "hall 0.9000" in found.out
        assert (load(Path("out.json")).seed, json.loads(Path("out.json").read_text())["group"]) == (5, SCENES)
        assert "seed=5" in load(Path("out.json")).signature["interval"]
        command(*words, "--seed", "0")
        assert load(Path("out.json")).seed == 0
        other = command("gate", run, "--require", "each light mean ssim >= 0.85", "--group", r"_(?P<light>\d)")
        assert (other.code, "all 4 light groups" in other.out) == (0, True)

    def test_group_that_images_do_not_have(self, command: Command, run: Path) -> None:
        found = command("gate", run, *GOOD, "--group", r"(?P<scene>roof)")
        assert (found.code, "does not match 8 of 8 images" in found.err) == (2, True)


class TestFolders:
    def test_scored_and_judged(self, command: Command, folders: tuple[Path, Path], reads: list[Path]) -> None:
        found = command("gate", *folders, *FAST, "--require", "psnr >= 10", "--require", "min psnr >= 30")
        assert found.code == 1
        assert re.search(r"PASS  mean psnr \d\d\.\d{4} >= 10 .*\nFAIL  min psnr", found.out)
        assert len(reads) == 8

    def test_one_image_each(self, command: Command, folders: tuple[Path, Path]) -> None:
        prediction, target = folders
        found = command("gate", prediction / "im1.png", target / "im1.png", *FAST, "--require", "psnr >= 10")
        assert (found.code, found.out[:4]) == (0, "PASS")

    def test_seed_and_group_reach_the_results(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("--require", "each scene mean psnr >= 10", "--group", r"(?P<scene>im\d)", "--seed", "7")
        found = command("gate", *folders, *FAST, *words, "--json", "out.json")
        assert (found.code, "all 4 scene groups" in found.out) == (0, True)
        assert load(Path("out.json")).seed == 7

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("--require", "psnrr >= 10"), "did you mean psnr", id="unknown column"),
            pytest.param(("--require", "psnr <= 10"), 'did you mean "psnr >= 10"', id="wrong direction"),
            pytest.param(
                ("--require", "wssim >= 0.5"), "wssim was not scored in this run", id="column not in this run"
            ),
            pytest.param(("--require", "each scen mean psnr >= 1"), "--group PATTERN says", id="no groups"),
            pytest.param(
                ("--require", "each scen mean psnr >= 1", "--group", r"(?P<scene>im)"), "did you mean scene", id="group"
            ),
            pytest.param(("--require", "psnr >= 1", "--group", "(?P<scene>x)"), "does not match 4 of 4", id="no match"),
            pytest.param(("--require", "psnr >= 1", "--group", "("), "is no regular expression", id="pattern"),
            pytest.param(("--require", "psnr >= 1", "--group", ""), "names no group", id="empty pattern"),
            pytest.param(("--require", "psnr drop <= 1"), "needs a baseline", id="no baseline"),
            pytest.param(("--require", "psnr >= ten"), "'ten' is not a number", id="no number"),
            pytest.param(("--require", "psnr ≥ 30"), "a rule is", id="not an operator"),
            pytest.param(("--require", "psnr == 30"), "hardly ever equal", id="equal"),
            pytest.param(("--require", ""), "a rule is", id="empty rule"),
            pytest.param(("--require", "mode psnr >= 30"), "unknown statistic 'mode'", id="statistic"),
            pytest.param(("--require", "p200 psnr >= 30"), "two digits", id="percentile"),
            pytest.param((), "no rule to judge by", id="no rule"),
            pytest.param(("--rules", "no.toml"), "no.toml: cannot be read", id="rules file"),
            pytest.param(("--require", "psnr >= 1", "--noise", "x.json"), "there are none here", id="noise of nothing"),
            pytest.param(("--require", "psnr >= 1", "--json", "x.json", "--junit", "x.json"), "two places", id="same"),
            pytest.param(("--require", "psnr >= 1", "--json", "-", "--markdown", "-"), "written to -", id="two -"),
            pytest.param(("--require", "psnr >= 1", "--junit", "no/x.xml"), "no folder no", id="junit"),
            pytest.param(("--require", "psnr >= 1", "--json", "."), ". is a folder", id="json is a folder"),
            pytest.param(("--require", "psnr >= 1", "--markdown", "a" * 5000), "File name too long", id="long"),
            pytest.param(("--require", "psnr >= 1", "--seed", "-1"), "greater than or equal to 0", id="negative seed"),
            pytest.param(("--require", "psnr >= 1", "--seed", str(2**63)), "at most", id="seed no report can hold"),
            pytest.param(("--require", "psnr >= 1", "--missing", "maybe"), "maybe", id="missing"),
            pytest.param(("--require", "psnr >= 1", "--baseline", "no.json"), "there is no baseline", id="baseline"),
            pytest.param(("--require", "psnr >= 1", "--frobnicate"), "--frobnicate", id="unknown option"),
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
        found = command("gate", *folders, *FAST, *words)
        assert (found.code, found.out) == (2, "")
        assert message in " ".join(found.err.split()), found.err
        assert "Traceback" not in found.err
        assert reads == []

    @pytest.mark.parametrize("level", ["fail", "warn"])
    def test_weights_that_a_rule_needs_are_asked_for_before_the_run(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path], level: str
    ) -> None:
        Path("rules.toml").write_text(f'require = [{{rule = "vgg19_relu1_1 <= 1", level = "{level}"}}]')
        found = command("gate", *folders, "--device", "cpu", "--rules", "rules.toml")
        assert (found.code, found.out) == (2, "")
        assert "no VGG19 weights" in found.err
        assert reads == []

    def test_target_is_missing(self, command: Command, folders: tuple[Path, Path]) -> None:
        found = command("gate", folders[0], "--require", "psnr >= 1")
        assert found.code == 2
        assert "name the folder of targets, too: gate PREDICTION TARGET" in found.err

    def test_130_interrupted(
        self, command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("relight_eval.pairs.find", interrupt)
        words = ("--require", "psnr >= 1", "--json", "out.json", "--baseline", "main.json", "--update-baseline")
        found = command("gate", *folders, *FAST, *words)
        assert (found.code, found.out) == (130, "")
        assert "interrupted; nothing was written" in found.err
        assert list(Path().iterdir()) == []


class TestWhatIsNoRun:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("no.json",), "no.json: cannot be read (No such file", id="no file"),
            pytest.param(("no",), "no: there is no such file or folder", id="no folder"),
            pytest.param(("ssim >= 0.9",), "ssim >= 0.9: there is no such file or folder", id="the rule first"),
            pytest.param(("notes.txt",), "notes.txt: saved results end in .json or .csv", id="another file"),
            pytest.param(("run.json", "run.json", "run.json"), "unexpected extra argument", id="three"),
            pytest.param((), "Missing argument", id="nothing"),
            pytest.param(("a" * 5000,), "a: there is no such file or folder", id="too long"),
            pytest.param(("damaged.json",), "damaged.json: is no JSON", id="damaged"),
            pytest.param(("future.json",), "has format 99", id="future"),
            pytest.param(("semicolons.csv",), "with commas, not with semicolons", id="edited"),
            pytest.param(("comparison.json",), "comparison.json", id="comparison"),
        ],
    )
    def test_2(self, command: Command, run: Path, words: tuple[str, ...], message: str) -> None:
        Path("notes.txt").write_text("notes")
        Path("damaged.json").write_text(run.read_text()[:500])
        Path("future.json").write_text(run.read_text().replace('"format": 1', '"format": 99'))
        saved("semicolons.csv", ssim=SSIM)
        Path("semicolons.csv").write_text(Path("semicolons.csv").read_text().replace(",", ";"))
        assert command("compare", run, f"again={run}", "--json", "comparison.json").code == 0
        found = command("gate", *words, *GOOD)
        assert (found.code, found.out) == (2, "")
        assert message in " ".join(found.err.split()), found.err
        assert "Traceback" not in found.err

    def test_saved_results_have_no_target(self, command: Command, run: Path, folders: tuple[Path, Path]) -> None:
        for target in (run, folders[1]):
            found = command("gate", run, target, *GOOD)
            assert (found.code, found.out) == (2, "")
            said = f"run.json is saved results, which have no TARGET; leave {target} out"
            assert said in " ".join(found.err.split())

    def test_only_columns_that_the_run_has(self, command: Command, run: Path) -> None:
        found = command("gate", run, "--require", "psnr >= 1")
        assert found.code == 2
        assert "psnr was not scored in this run; add its metric with -m. It has ssim, lpips" in found.err

    def test_an_output_over_what_is_read(self, command: Command, run: Path) -> None:
        main = dropped([0.0] * 8)
        rules = Path("rules.toml")
        rules.write_text('require = ["ssim >= 0.9"]')
        noise = noise_file("noise.json", ssim=0.1)
        before = {path: path.read_bytes() for path in (run, main, rules, noise)}
        words = ("gate", run, "--baseline", main, "--rules", rules, "--noise", noise)
        for option, path in (("--json", run), ("--json", f"./{main}"), ("--junit", rules), ("--markdown", noise)):
            found = command(*words, option, path)
            assert found.code == 2
            assert "which is read; give it another place" in found.err
        assert {path: path.read_bytes() for path in before} == before


class TestExitCodes:
    def test_0_and_1(self, command: Command, run: Path) -> None:
        assert [command("gate", run, *words).code for words in (GOOD, BAD, (*GOOD, *BAD))] == [0, 1, 1]

    @pytest.mark.parametrize("suffix", [".json", ".csv"])
    def test_3_says_what_was_left_undone(self, command: Command, suffix: str) -> None:
        run = saved(f"run{suffix}", rows=LEFT_UNDONE, ssim=SSIM)
        found = command("gate", run, *GOOD)
        assert found.code == 3
        assert "1 could not be scored in full" in " ".join(found.out.split())
        assert re.search(r"^zz0 +truncated$", found.out, re.MULTILINE)
        assert found.out.endswith("PASS  mean ssim 0.9050 >= 0.85 (by 0.0550)\n")
        assert "zz1" not in found.out
        assert found.err == "1 not scored in full; 1 file without partner (--missing skip accepts that)\n"
        assert command("gate", run, *GOOD, "-q") == (3, "", found.err)

    def test_3_partners_do_not_count_where_they_are_skipped_but_errors_do(self, command: Command) -> None:
        unpaired = saved("unpaired.json", rows=LEFT_UNDONE[1:], ssim=SSIM)
        assert command("gate", unpaired, *GOOD).code == 3
        assert command("gate", unpaired, *GOOD, "--missing", "skip").code == 0
        broken = saved("broken.json", rows=LEFT_UNDONE[:1], ssim=SSIM)
        assert command("gate", broken, *GOOD, "--missing", "skip").code == 3

    def test_broken_images_are_listed_with_their_reason(self, command: Command) -> None:
        """The first ten, and all of them when asked."""
        broken = tuple(Row(f"zz{i:02}", status="error", error=f"reason {i}") for i in range(12))
        run = saved("run.json", rows=broken, ssim=SSIM)
        few, all_ = (command("gate", run, *GOOD, *words).out for words in ((), ("-v",)))
        assert "zz09   reason 9\n" in few
        assert "… and 2 more (--verbose lists all)" in few
        assert "zz10" not in few
        assert "zz11   reason 11\n" in all_
        assert " more" not in all_
        assert command("gate", run, *GOOD, "-q").out == ""

    def test_a_failed_rule_wins_over_3(self, command: Command) -> None:
        assert command("gate", saved("run.json", rows=LEFT_UNDONE, ssim=SSIM), *BAD).code == 1

    @pytest.mark.parametrize(("words", "code"), [(BAD, 1), (GOOD, 3)], ids=["failed", "incomplete"])
    def test_report_only(self, command: Command, words: tuple[str, ...], code: int) -> None:
        run = saved("run.json", rows=LEFT_UNDONE, ssim=SSIM)
        usual, only = command("gate", run, *words), command("gate", run, *words, "--report-only")
        assert (usual.code, only.code) == (code, 0)
        assert usual.out == only.out

    def test_report_only_still_says_what_could_not_be_done(self, command: Command) -> None:
        assert command("gate", "no.json", *GOOD, "--report-only").code == 2

    @pytest.mark.parametrize("words", [(), ("--report-only",), ("--missing", "skip")], ids=["", "report only", "skip"])
    def test_2_nothing_scored_is_never_a_success(
        self, command: Command, folders: tuple[Path, Path], words: tuple[str, ...]
    ) -> None:
        for i in range(4):
            (folders[0] / f"im{i}.png").write_bytes(b"junk")
        found = command("gate", *folders, *FAST, "--require", "psnr >= 1", "--junit", "out.xml", *words)
        assert found.code == 2
        assert "no pair could be scored; the first of 4 errors" in found.err
        assert "a rule over nothing does not pass" in found.out
        assert Path("out.xml").exists()


class TestRules:
    def test_of_a_file_and_of_the_command_line(self, command: Command, run: Path) -> None:
        Path("rules.toml").write_text(
            """
            [[require]]
            rule = "each ssim >= 0.89"
            level = "warn"
            images = "im[34]"
            reason = "faces"
            [[require]]
            rule = "lpips <= 0.2"
            """
        )
        found = command("gate", run, "--rules", "rules.toml", *GOOD)
        assert found.code == 0
        assert found.out.splitlines() == [
            "WARN  each ssim of im[34]: 1 of 2 images < 0.89 (worst 0.8800, by 0.0100)",
            "      faces",
            "      worst: im4 0.8800",
            "PASS  mean lpips 0.1000 <= 0.2 (by 0.1000)",
            "PASS  mean ssim 0.9050 >= 0.85 (by 0.0550)",
        ]

    def test_of_the_nearest_pyproject(
        self, command: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.relight-eval]\nrequire = ["ssim >= 0.99"]')
        below = tmp_path / "work" / "below"
        below.mkdir()
        monkeypatch.chdir(below)
        found = command("gate", f"../{run}", *GOOD)
        assert found.code == 1
        assert found.err == f"rules of {(tmp_path / 'pyproject.toml').as_posix()}\n"
        assert [line[:4] for line in found.out.splitlines() if line[:1] != " "] == ["FAIL", "PASS"]

    def test_a_file_that_is_named_stands_for_the_pyproject(self, command: Command, run: Path) -> None:
        Path("pyproject.toml").write_text('[tool.relight-eval]\nrequire = ["ssim >= 0.99"]')
        Path("rules.toml").write_text('require = ["ssim >= 0.9"]')
        found = command("gate", run, "--rules", "rules.toml")
        assert found == (0, "PASS  mean ssim 0.9050 >= 0.9 (by 0.0050)\n", "")

    def test_which_pyproject_is_not_said_where_it_has_no_rules_nor_with_quiet(
        self, command: Command, run: Path
    ) -> None:
        Path("pyproject.toml").write_text("[tool.ruff]")
        assert command("gate", run, *GOOD).err == ""
        Path("pyproject.toml").write_text('[tool.relight-eval]\nrequire = ["ssim >= 0.9"]')
        assert command("gate", run, "-q") == (0, "", "")

    @pytest.mark.parametrize("name", ["rules.toml", "pyproject.toml"])
    def test_that_no_parser_survives(self, command: Command, run: Path, name: str) -> None:
        for text in ("[" * 3000 + "]" * 3000, "[" + "9" * 5000 + "]"):
            Path(name).write_text(f"[tool.relight-eval]\nrequire = {text}\n")
            found = command("gate", run, *GOOD, *(("--rules", name) if name == "rules.toml" else ()))
            assert (found.code, found.out) == (2, "")
            assert f"{name}: is no TOML: " in found.err

    def test_unicode_and_brackets_are_shown_as_they_are(self, command: Command) -> None:
        run = saved("run.json", names=["küche/[bold]α", "küche/β"], ssim=[0.8, 0.9])
        Path("rules.toml").write_text(
            'require = [{rule = "ssim >= 0.85", images = "küche/*", reason = "schöne [red]Küche[/red] 🍳"}]',
            encoding="utf-8",
        )
        found = command("gate", run, "--rules", "rules.toml")
        assert "PASS" in found.out
        assert found.code == 0
        found = command("gate", run, "--rules", "rules.toml", "--require", "each ssim >= 0.85")
        assert "küche/[bold]α 0.8000" in found.out


class TestBaseline:
    @pytest.mark.parametrize(
        ("rule", "drops", "code", "said"),
        [
            pytest.param("ssim drop <= 0.01", [0.001, 0.002] * 4, 0, "PASS  mean ssim drop 0.0015 <= 0.01", id="pass"),
            pytest.param("ssim drop <= 0.01", [0.05, 0.04] * 4, 1, "FAIL  mean ssim drop 0.0450 > 0.01", id="fail"),
            pytest.param(
                "ssim drop <= 0.01",
                [0.0, 0.02] * 4,
                0,
                "WARN  mean ssim drop 0.0100 <= 0.01, but cannot tell: 8 images are too few for this margin (95 % int",
                id="?",
            ),
            pytest.param("each ssim drop <= 0.01", [0.0, 0.02] * 4, 1, "4 of 8 images > 0.01", id="each fails"),
            pytest.param("each ssim drop <= 0.03", [0.0, 0.02] * 4, 0, "all 8 images", id="each passes"),
            pytest.param("lpips rise <= 0.01", [0.05] * 8, 0, "PASS  mean lpips rise 0 <= 0.01", id="rise"),
        ],
    )
    def test_drop_and_rise(
        self, command: Command, run: Path, rule: str, drops: list[float], code: int, said: str
    ) -> None:
        found = command("gate", run, "--baseline", dropped(drops), "--require", rule)
        assert found.code == code, found.err
        assert said in re.sub(r"\b0\.0000\b", "0", found.out)
        assert found.out.startswith("PASS  all 8 images of the baseline are there\n")

    def test_the_help_says_both_that_strict_means(self, command: Command) -> None:
        help_text = " ".join(command("gate", "--help").out.split())
        assert "--strict A rule that cannot tell, for too few images, fails; and of folders, files that" in help_text

    def test_strict_fails_what_cannot_be_told(self, command: Command, run: Path) -> None:
        words = ("gate", run, "--baseline", dropped([0.0, 0.02] * 4), "--require", "ssim drop <= 0.01")
        assert command(*words).code == 0
        found = command(*words, "--strict")
        said = (
            "FAIL  mean ssim drop 0.0100 <= 0.01, but cannot tell: 8 images are too few for this margin (95 % interval"
        )
        assert (found.code, said in found.out) == (1, True)

    @pytest.mark.parametrize("words", [(), ("--strict",)], ids=["", "strict"])
    def test_few_images_all_beyond_the_margin_fail(self, command: Command, words: tuple[str, ...]) -> None:
        run = saved("run.json", ssim=[0.8, 0.7, 0.6])
        saved("main.json", ssim=[0.85, 0.75, 0.65])
        found = command("gate", run, "--baseline", "main.json", "--require", "ssim drop <= 0.01", *words)
        assert found.code == 1
        assert "FAIL  mean ssim drop 0.0500 > 0.01 (by 0.0400; all 3 images > 0.01)\n" in found.out

    def test_the_mean_drop_of_each_group(self, command: Command) -> None:
        run = saved("run.json", names=LIT, ssim=[0.9] * 8)
        saved("main.json", names=LIT, ssim=[0.95, 0.85] * 2 + [0.93, 0.91] * 2)
        words = ("gate", run, "--baseline", "main.json", "--require", "each scene ssim drop <= 0.01")
        refused = command(*words)
        assert (refused.code, "--group PATTERN says what a group is" in refused.err) == (2, True)
        found = command(*words, "--group", SCENES)
        assert found.code == 1
        assert "FAIL  each scene mean ssim drop: 1 of 2 scene groups > 0.01 (worst 0.0200, by 0.0100)\n" in found.out
        assert "      worst: roof 0.0200\n" in found.out

    def test_its_groups_are_taken_where_neither_the_run_nor_the_call_has_any(self, command: Command) -> None:
        by_light = r"_(?P<light>\d)"
        saved("plain.json", names=LIT, ssim=SSIM)
        saved("lit.json", names=LIT, group=by_light, ssim=SSIM)
        saved("main.json", names=LIT, group=SCENES, ssim=SSIM)
        words = ("--baseline", "main.json", "--json", "out.json", "--require")

        def group(*call: str) -> str | None:
            found = command("gate", *call)
            assert found.code == 0, found.err
            return json.loads(Path("out.json").read_text())["group"]

        assert group("plain.json", *words, "each scene ssim drop <= 0.01") == SCENES
        assert group("lit.json", *words, "each light ssim drop <= 0.01") == by_light
        assert group("lit.json", *words, "each scene ssim drop <= 0.01", "--group", SCENES) == SCENES
        assert group("plain.json", *words, "each light ssim drop <= 0.01", "--group", by_light) == by_light
        saved("main.json", names=LIT, ssim=SSIM)
        assert group("plain.json", *words, "ssim drop <= 0.01") is None

    def test_its_groups_are_taken_for_folders(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("gate", *folders, *FAST, "--baseline", "main.json")
        assert command(*words, "--update-baseline", "--group", r"(?P<scene>im\d)").code == 0
        found = command(*words, "--require", "each scene psnr drop <= 0.01")
        assert (found.code, "all 4 scene groups" in found.out) == (0, True)
        found = command(*words, "--require", "each half psnr drop <= 0.01", "--group", "im(?P<half>[01]|[23])")
        assert (found.code, "all 4 half groups" in found.out) == (0, True)

    @pytest.mark.parametrize(("rule", "code"), [("ssim drop <= 0.01", 0), ("vgg19 rise <= 0.01", 2)])
    def test_precision_is_a_matter_of_vgg19_alone(self, command: Command, rule: str, code: int) -> None:
        for name, precision in (("run.json", "exact"), ("main.json", "fast")):
            saved(name, signature=SIGNATURE | {"precision": precision}, ssim=SSIM, vgg19=LPIPS)
        found = command("gate", "run.json", "--baseline", "main.json", "--require", rule)
        assert found.code == code
        assert ("precision is exact in this run but fast in the baseline" in found.err) == (code == 2)
        assert "WARNING" not in found.out

    def test_seed_and_groups_make_the_interval(self, command: Command) -> None:
        run = saved("run.json", names=LIT, ssim=SSIM)
        saved("main.json", names=LIT, ssim=[score + 0.0013 * i * i % 0.0171 for i, score in enumerate(SSIM)])
        words = ("gate", run, "--baseline", "main.json", "--require", "ssim drop <= 0.0125")
        seeds = [command(*words, *seed).out for seed in ((), ("--seed", "0"), ("--seed", "1"))]
        assert seeds[0] == seeds[1] != seeds[2]
        assert "2 scene groups are too few" in command(*words, "--group", SCENES).out

    def test_images_gone_fail_and_new_ones_are_listed(self, command: Command) -> None:
        saved("main.json", names=["a", "b", "c"], ssim=[0.9] * 3)
        run = saved("run.json", names=["b", "c", "d"], ssim=[0.9] * 3)
        found = command("gate", run, "--baseline", "main.json", *GOOD)
        assert found.code == 1
        assert found.out.startswith("FAIL  1 of 3 images of the baseline are gone")
        assert "a; 1 new: d\n" in found.out

    @pytest.mark.parametrize("words", [(), ("-v",)], ids=["", "verbose"])
    def test_how_to_accept_that_images_are_gone_is_said_and_with_verbose_all_of_them(
        self, command: Command, words: tuple[str, ...]
    ) -> None:
        saved("main.json", names=list("abcdefgh"), ssim=[0.9] * 8)
        found = command("gate", saved("run.json", names=["h"], ssim=[0.9]), "--baseline", "main.json", *GOOD, *words)
        gone = "7 of 8 images of the baseline are gone, or were not scored: a, b, c, d, e and 2 more"
        assert found.code == 1
        assert found.out.splitlines() == [
            f"FAIL  {gone}",
            "      if that is meant, accept it with --update-baseline",
            *(["      gone: a, b, c, d, e, f, g"] if words else []),
            "PASS  mean ssim 0.9000 >= 0.85 (by 0.0500)",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            pytest.param(
                '"ssim": 0.92', '"ssim": 1.92', "image 'im2': ssim is 1.92; it can only be -1 to 1", id="high"
            ),
            pytest.param('"better": "higher"', '"better": "lower"', "column 'ssim' is not as this", id="flipped"),
            pytest.param('"ssim": 0.92', '"lpips": 0.1', "image 'im2' has status ok, but no score of ssim", id="lacks"),
        ],
    )
    def test_that_was_tampered_with(self, command: Command, run: Path, old: str, new: str, message: str) -> None:
        main = dropped([0.0] * 8)
        text = main.read_text()
        assert text.count(old) >= 1
        main.write_text(text.replace(old, new, 1))
        found = command("gate", run, "--baseline", main, "--require", "ssim drop <= 0.01")
        assert (found.code, found.out) == (2, "")
        assert message in found.err

    def test_other_protocol_is_refused_with_what_differs_unless_forced(self, command: Command, run: Path) -> None:
        saved("main.json", signature=SIGNATURE | {"ssim": "zero-padded"}, ssim=SSIM)
        words = ("gate", run, "--baseline", "main.json", "--require", "ssim drop <= 0.01", "--json", "out.json")
        refused = command(*words)
        assert (refused.code, refused.out) == (2, "")
        assert "ssim is wang2004 in this run but zero-padded in the baseline" in refused.err
        assert not Path("out.json").exists()
        forced = command(*words, "--force")
        assert forced.code == 0
        assert "WARNING  this run and the baseline were not scored alike" in forced.out

    @pytest.mark.parametrize(
        "signature",
        [
            pytest.param({**SIGNATURE, "device": "cuda", "torch": "9.9"}, id="device and library"),
            pytest.param({}, id="unknown"),
        ],
    )
    def test_same_protocol_elsewhere_is_a_warning(self, command: Command, run: Path, signature: dict[str, str]) -> None:
        saved("main.json", signature=signature, ssim=SSIM)
        found = command("gate", run, "--baseline", "main.json", "--require", "ssim drop <= 0.01")
        assert found.code == 0
        assert found.out.startswith("WARNING  ")

    def test_protocol_of_columns_that_no_rule_compares_is_no_matter(self, command: Command, run: Path) -> None:
        saved("main.json", signature=SIGNATURE | {"lpips": "vgg"}, ssim=SSIM, lpips=LPIPS)
        words = ("gate", run, "--baseline", "main.json")
        assert command(*words, "--require", "ssim drop <= 0.01").code == 0
        assert command(*words, "--require", "lpips rise <= 0.01").code == 2

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            pytest.param("main.json", None, "there is no baseline main.json; write it with --update-baseline", id="no"),
            pytest.param("main.csv", "image", "a baseline ends in .json", id="csv"),
            pytest.param("main.json", "{", "main.json: is no JSON", id="damaged"),
            pytest.param("main.json", '{"format": 2, "pairs": []}', "has format 2", id="format"),
            pytest.param(
                "main.json", '{"kind": "noise"}', "is not what `relight-eval score --json` writes", id="noise"
            ),
        ],
    )
    def test_a_baseline_that_is_none(
        self, command: Command, run: Path, name: str, content: str | None, message: str
    ) -> None:
        if content is not None:
            Path(name).write_text(content)
        found = command("gate", run, "--baseline", name, "--require", "ssim drop <= 0.01")
        assert (found.code, found.out) == (2, "")
        assert message in found.err

    def test_a_folder_is_no_baseline(self, command: Command, run: Path) -> None:
        Path("dir.json").mkdir()
        found = command("gate", run, "--baseline", "dir.json", *GOOD)
        assert (found.code, "dir.json: cannot be read" in found.err) == (2, True)

    def test_a_column_that_the_baseline_lacks(self, command: Command, run: Path) -> None:
        saved("main.json", ssim=SSIM)
        found = command("gate", run, "--baseline", "main.json", "--require", "lpips rise <= 0.01")
        assert (found.code, "the baseline has no lpips" in found.err) == (2, True)

    def test_folders_against_a_baseline(self, command: Command, folders: tuple[Path, Path]) -> None:
        words = ("gate", *folders, *FAST, "--baseline", "main.json", "--require", "psnr drop <= 0.1")
        assert command(*words).code == 2
        assert command(*words, "--update-baseline").code == 0
        found = command(*words)
        assert found.code == 0
        assert "all 4 images of the baseline are there" in found.out


class TestNoise:
    WORDS = ("gate", "run.json", "--baseline", "main.json", "--require", "ssim drop <= 0.001")

    def test_beside_the_baseline_raises_a_margin(self, command: Command, run: Path) -> None:
        dropped([0.01] * 8)
        assert command(*self.WORDS).code == 1
        noise_file("main.noise.json", ssim=0.02)
        found = command(*self.WORDS)
        assert found.code == 0
        assert "<= 0.02" in found.out
        assert "margin 0.001 raised to the noise" in found.out

    def test_that_is_named_is_taken_instead(self, command: Command, run: Path) -> None:
        dropped([0.01] * 8)
        noise_file("main.noise.json", ssim=0.02)
        noise_file("other.json", ssim=1e-6)
        found = command(*self.WORDS, "--noise", "other.json")
        assert (found.code, "raised" in found.out) == (1, False)

    @pytest.mark.parametrize("content", ["", "[]", '{"kind": "noise", "format": 9}', None], ids=repr)
    def test_damaged(self, command: Command, run: Path, content: str | None) -> None:
        dropped([0.0] * 8)
        if content is not None:
            Path("noise.json").write_text(content)
            Path("main.noise.json").write_text(content)
            assert command(*self.WORDS).code == 2
        found = command(*self.WORDS, "--noise", "noise.json")
        assert (found.code, found.out) == (2, "")
        assert "noise.json" in found.err

    def test_without_a_baseline_it_would_do_nothing(self, command: Command, run: Path) -> None:
        noise_file("noise.json", ssim=0.02)
        words = ("gate", run, *GOOD, "--noise", "noise.json")
        assert command(*words).code == 2
        assert command(*words, "--baseline", "main.json", "--update-baseline").code == 2


class TestUpdateBaseline:
    def test_written_only_when_asked(self, command: Command, run: Path) -> None:
        words = ("gate", run, *GOOD, "--baseline", "main.json")
        assert command(*words).code == 2
        assert not Path("main.json").exists()
        found = command(*words, "--update-baseline", "--require", "ssim drop <= 0.01")
        assert (found.code, found.err) == (0, "wrote the baseline main.json\n")
        assert load(Path("main.json")).rows == load(run).rows
        assert load(Path("main.json")).signature == load(run).signature
        assert json.loads(Path("main.json").read_text())["verdicts"] == []
        assert command(*words, "--require", "ssim drop <= 0.01").code == 0
        assert command(*words, "--update-baseline", "-q") == (0, "", "")

    def test_needs_no_rule(self, command: Command, run: Path) -> None:
        assert command("gate", run, "--baseline", "main.json", "--update-baseline").code == 0

    @pytest.mark.parametrize(
        ("words", "environment", "rows", "code", "message"),
        [
            pytest.param(GOOD, {"CI": "true"}, (), 2, "refused in CI", id="in CI"),
            pytest.param(BAD, {}, (), 1, f"{NOT_WRITTEN} a rule failed; {MEND}", id="a rule failed"),
            pytest.param(BAD, {}, LEFT_UNDONE, 1, f"{NOT_WRITTEN} a rule failed; {MEND}", id="a rule wins"),
            pytest.param(
                GOOD, {}, LEFT_UNDONE[:1], 3, f"{NOT_WRITTEN} not every image was scored; {MEND}", id="not scored"
            ),
            pytest.param(
                GOOD, {}, LEFT_UNDONE[1:], 3, f"{NOT_WRITTEN} not every image was scored; {MEND}", id="no partner"
            ),
            pytest.param((*BAD, "--report-only"), {}, (), 1, f"{NOT_WRITTEN} a rule failed; {MEND}", id="report only"),
            pytest.param((*BAD, "-q"), {}, (), 1, f"{NOT_WRITTEN} a rule failed; {MEND}", id="quiet"),
        ],
    )
    def test_refused_unless_forced(
        self,
        command: Command,
        monkeypatch: pytest.MonkeyPatch,
        words: tuple[str, ...],
        environment: dict[str, str],
        rows: tuple[Row, ...],
        code: int,
        message: str,
    ) -> None:
        run = saved("run.json", rows=rows, ssim=SSIM)
        old = saved("main.json", ssim=[0.5] * 8).read_bytes()
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        refused = command("gate", run, "--baseline", "main.json", "--update-baseline", *words)
        assert refused.code == code
        assert message in " ".join(refused.err.split())
        assert "wrote" not in refused.err
        assert Path("main.json").read_bytes() == old
        forced = command("gate", run, "--baseline", "main.json", "--update-baseline", "--force", *words)
        assert forced.code == (0 if code == 2 or "--report-only" in words else code)
        assert ("wrote the baseline main.json\n" in forced.err) == ("-q" not in words)
        assert "not written" not in forced.err
        assert load(Path("main.json")).values("ssim") == load(run).values("ssim")

    def test_files_without_partner_that_are_accepted(self, command: Command) -> None:
        run = saved("run.json", rows=LEFT_UNDONE[1:], ssim=SSIM)
        words = ("--baseline", "main.json", "--update-baseline", "--missing", "skip")
        assert command("gate", run, *words).code == 0
        assert Path("main.json").exists()

    def test_a_csv_does_not_say_how_it_was_scored(self, command: Command) -> None:
        words = ("gate", saved("run.csv", ssim=SSIM), "--baseline", "main.json", "--update-baseline")
        refused = command(*words)
        assert (refused.code, "does not say how it was scored" in refused.err) == (2, True)
        assert not Path("main.json").exists()
        assert command(*words, "--force").code == 0

    def test_nothing_scored_is_no_baseline_even_by_force(self, command: Command, folders: tuple[Path, Path]) -> None:
        for i in range(4):
            (folders[0] / f"im{i}.png").write_bytes(b"junk")
        found = command("gate", *folders, *FAST, "--baseline", "main.json", "--update-baseline", "--force")
        assert found.code == 2
        assert not Path("main.json").exists()

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param((), "--update-baseline needs --baseline", id="no file"),
            pytest.param(("--baseline", "no/main.json"), "no folder no", id="no folder"),
            pytest.param(("--baseline", "main.json", "--json", "./main.json"), "two places", id="and another report"),
            pytest.param(("--baseline", "run.json"), "which is read", id="the run"),
            pytest.param(("--baseline", ""), "ends in .json", id="empty"),
        ],
    )
    def test_a_place_that_is_none(self, command: Command, run: Path, words: tuple[str, ...], message: str) -> None:
        before = run.read_bytes()
        found = command("gate", run, *GOOD, "--update-baseline", *words)
        assert (found.code, found.out) == (2, "")
        assert message in found.err
        assert [*Path().iterdir()] == [run]
        assert run.read_bytes() == before

    def test_a_full_disk_leaves_the_old_one(self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from relight_eval import reports

        old = saved("main.json", ssim=[0.5] * 8).read_bytes()

        def full(path: Path, text: str) -> None:
            raise ReportError(f"cannot write {path}: No space left on device")

        monkeypatch.setattr(reports, "save", full)
        found = command("gate", run, "--baseline", "main.json", "--update-baseline")
        assert (found.code, "No space left" in found.err, "wrote" in found.err) == (2, True, False)
        assert Path("main.json").read_bytes() == old


class TestWhatCIReads:
    def test_the_step_summary_is_appended_to(
        self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("summary.md").write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        command("gate", run, *GOOD)
        command("gate", run, *BAD, "-q")
        text = Path("summary.md").read_text()
        assert text.startswith("before\n## relight-eval: ✅ passed, 8 pairs\n")
        assert text.count("\n## relight-eval: ") == 2
        assert "❌ 1 of 1 rule failed, 8 pairs" in text

    def test_a_step_summary_that_cannot_be_written_costs_nothing_else(
        self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/summary.md")
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        for words, code in ((GOOD, 0), ((*GOOD, "-q"), 0)):
            assert command("gate", run, *words)[::2] == (code, f"{CANNOT_WRITE}\n")
        assert command("gate", saved("left.json", rows=LEFT_UNDONE, ssim=SSIM), *GOOD).code == 3
        found = command("gate", run, *BAD, "--json", "out.json", "--junit", "out.xml")
        assert found.code == 1
        assert found.err.splitlines()[0] == CANNOT_WRITE
        assert "FAIL  mean ssim" in found.out
        assert "::error" in found.err
        assert Path("out.json").exists()
        assert Path("out.xml").exists()

    def test_annotations_where_github_runs_it(
        self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("rules.toml").write_text('require = [{rule = "lpips <= 0.01", level = "warn"}]')
        words = ("gate", run, *GOOD, *BAD, "--rules", "rules.toml")
        assert "::" not in command(*words).err
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        lines = command(*words).err.splitlines()
        assert [line.partition("(")[0] for line in lines] == [
            "::warning title=relight-eval::mean lpips 0.1000 > 0.01 ",
            "::error title=relight-eval::mean ssim 0.9050 < 0.95 ",
        ]

    def test_junit(self, command: Command, run: Path) -> None:
        command("gate", run, *GOOD, "--require", "each ssim >= 0.9", "--junit", "out.xml")
        root = ElementTree.parse("out.xml").getroot()
        assert (root.get("tests"), root.get("failures")) == ("9", "2")
        names = [case.get("name") for case in root.iter("testcase")]
        assert len(set(names)) == 9
        assert root.find(".//failure").get("message") == "each ssim >= 0.9: 0.8800 < 0.9"  # type: ignore[union-attr]

    def test_markdown(self, command: Command, run: Path) -> None:
        command("gate", run, *BAD, "--markdown", "out.md")
        text = Path("out.md").read_text()
        assert text.startswith("## relight-eval: ❌ 1 of 1 rule failed, 8 pairs\n")
        assert "| ssim ↑ | 0.9050 |" in text

    def test_json_with_verdicts_valid_by_the_schema(self, command: Command, run: Path) -> None:
        schema = json.loads((files("relight_eval.reports") / "results.schema.json").read_text(encoding="utf-8"))
        words = ("--baseline", dropped([0.0, 0.02] * 4), "--require", "ssim drop <= 0.01")
        command("gate", run, *GOOD, *BAD, *words, "--json", "out.json")
        document = json.loads(Path("out.json").read_text())
        jsonschema.validate(document, schema)
        assert [verdict["outcome"] for verdict in document["verdicts"]] == ["pass", "pass", "fail", "warn"]
        assert document["verdicts"][3]["undecided"]

    @pytest.mark.parametrize("option", ["--json", "--junit", "--markdown"])
    def test_dash_gives_standard_output_to_the_data_alone(self, command: Command, run: Path, option: str) -> None:
        command("gate", run, *BAD, option, "out")
        found = command("gate", run, *BAD, option, "-")
        assert found.code == 1
        assert found.out == Path("out").read_text()
        assert "FAIL  mean ssim" in found.err

    def test_one_report_that_cannot_be_written_costs_neither_the_others_nor_the_print(
        self, command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval import reports

        save = reports.save

        def full(path: Path, text: str) -> None:
            if path.suffix == ".json":
                raise ReportError("cannot write out.json: No space left on device")
            save(path, text)

        monkeypatch.setattr(reports, "save", full)
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        found = command("gate", run, *GOOD, "--json", "out.json", "--junit", "out.xml", "--markdown", "out.md")
        assert (found.code, "No space left" in found.err) == (2, True)
        assert found.out.startswith("PASS")
        assert all(Path(name).exists() for name in ("out.xml", "out.md", "summary.md"))

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_standard_output_on_a_full_disk(self, command: Command, run: Path) -> None:
        words = [sys.executable, "-m", "relight_eval", "gate", run, *GOOD]
        with open("/dev/full", "wb") as full:
            ran = subprocess.run(words, stdout=full, stderr=subprocess.PIPE)
        assert ran.returncode == 2
        assert b"cannot write standard output: No space left on device" in ran.stderr


def test_of_folders_only_the_metrics_of_the_rules_are_scored(command: Command, folders: tuple[Path, Path]) -> None:
    """But all of them for a baseline, or what -m names."""

    def scored(*words: object) -> set[str]:
        assert command("gate", *folders, "--device", "cpu", "--require", "psnr >= 1", *words).code == 0
        path = "main.json" if "--update-baseline" in words else "out.json"
        return {column["metric"] for column in json.loads(Path(path).read_text())["columns"]}

    assert scored("--json", "out.json") == {"psnr"}
    assert scored("--json", "out.json", "-m", "psnr,ssim") == {"psnr", "ssim"}
    assert scored("--baseline", "main.json", "--update-baseline") > {"psnr", "ssim", "lpips", "vgg19"}


def test_another_protocol_than_the_baselines_is_refused_before_any_image_is_read(
    command: Command, folders: tuple[Path, Path], reads: list[Path]
) -> None:
    assert command("gate", *folders, *FAST, "--baseline", "main.json", "--update-baseline").code == 0
    reads.clear()
    words = ("gate", *folders, *FAST, "--baseline", "main.json", "--require", "charbonnier rise <= 0.1")
    refused = command(*words, "--charbonnier-eps", "0.01")
    assert (refused.code, refused.out, reads) == (2, "", [])
    assert "charbonnier is eps=0.01 in this run but eps=0.001 in the baseline" in refused.err
    forced = command(*words, "--charbonnier-eps", "0.01", "--force")
    assert forced.code == 0
    assert forced.out.count("eps=0.01 in this run but eps=0.001") == 1


# What stands beside the scores, and a second look


def whole(name: str = "whole.json", **words: object) -> Path:
    """A saved run with all that a run may have."""
    Path(name).write_text(REPORTS["json"](everything(**words)), encoding="utf-8")  # type: ignore[arg-type]
    return Path(name)


class TestColumnsOfOptions:
    @pytest.mark.parametrize(
        ("rule", "option", "outcome"),
        [
            pytest.param("psnr_aligned >= 1", ("--align", "gain"), "PASS", id="aligned"),
            pytest.param("each align_gain_g <= 1.5", ("--align", "affine"), "PASS", id="fitted alone"),
            pytest.param("each align_offset_g >= 0.5", ("--align", "affine"), "FAIL", id="fitted offset"),
            pytest.param("ssim_midtones >= 0.1", ("--regions",), "PASS", id="region"),
        ],
    )
    def test_are_scored_where_the_option_is_given_and_else_it_is_named(
        self, command: Command, folders: tuple[Path, Path], reads: list[Path], rule: str, option: tuple[str, ...],
        outcome: str,
    ) -> None:  # fmt: skip
        found = command("gate", *folders, "--device", "cpu", "--require", rule)
        assert (found.code, found.out, reads) == (2, "", [])
        assert f"was not scored in this run; add {option[0]}." in found.err
        found = command("gate", *folders, "--device", "cpu", "--require", rule, *option)
        assert found.out.startswith(outcome), found.err

    def test_of_the_input(self, command: Command, folders: tuple[Path, Path]) -> None:
        rule = ("--require", "each copy_ratio <= 0.5", "--device", "cpu")
        assert "add --input" in command("gate", *folders, *rule).err
        for i in range(4):
            write(Path("input") / f"im{i}.png", picture(9 + i))
        assert command("gate", *folders, *rule, "--input", "input").code == 0

    def test_a_diagnosis_may_be_bound_on_both_sides(self, command: Command) -> None:
        rules = ("each ev_error <= 0.25", "each ev_error >= -0.25", "each wb_angle <= 5", "max share_colour <= 0.9")
        found = command("gate", whole(), *(word for rule in rules for word in ("--require", rule)), "--missing", "skip")
        assert found.code == 1
        verdicts = [line for line in found.out.splitlines() if line[:4] in ("PASS", "FAIL")]
        assert [line[:4] for line in verdicts] == ["PASS", "PASS", "FAIL", "PASS"]
        assert "worst 6.2500" in verdicts[2]

    def test_worst_of_what_is_best_between_others_is_on_the_side_of_the_rule(self, command: Command) -> None:
        words = ("--require", "each gain_r >= 0.9", "--require", "each gain_b <= 1.2")
        found = command("gate", whole(), *words)
        assert "worst 0.8000" in found.out
        assert "worst 1.2500" in found.out

    def test_a_baseline_without_a_diagnosis_and_a_run_with_one(self, command: Command) -> None:
        known = ("charbonnier", "psnr", "ssim")
        of_run = {name: [row.scores[name] for row in everything().scored] for name in known}
        signature = dict(everything().signature)
        baseline = saved("main.json", names=["a", "b", "d"], signature=signature, **of_run)
        rows = tuple(row for row in everything().rows if row.scores)
        run = whole(rows=rows)
        found = command("gate", run, "--baseline", baseline, "--require", "each psnr drop <= 0.5")
        assert found.code == 0, found.out
        found = command("gate", run, "--baseline", baseline, "--require", "shadow_missed rise <= 0.5")
        assert found.code == 2
        assert "the baseline has no shadow_missed; update it with --update-baseline" in found.err
        again = command("gate", baseline, "--baseline", run, "--require", "each psnr drop <= 0.5")
        assert again.code == 0, again.out

    def test_an_alignment_that_only_one_has_is_no_other_protocol_but_another_mask_is(self, command: Command) -> None:
        rows = tuple(row for row in everything().rows if row.scores)
        whole("a.json", rows=rows)
        text = Path("a.json").read_text()
        Path("plain.json").write_text(text.replace('"align": "gain",', "").replace('"regions": "three",', ""))
        Path("unmasked.json").write_text(text.replace('"mask": ">0"', '"psnr": "rgb"', 1))
        rule = ("--require", "each psnr drop <= 0.5")
        assert command("gate", "a.json", "--baseline", "plain.json", *rule).code == 0
        found = command("gate", "a.json", "--baseline", "unmasked.json", *rule)
        assert found.code == 2
        assert "mask is >0 in this run but nothing in the baseline" in found.err


class TestLooks:
    def test_a_page_and_maps_of_folders(self, command: Command, folders: tuple[Path, Path]) -> None:
        rule = ("--require", "psnr >= 99")
        words = ("--html", "x.html", "--maps", "maps", "--maps-count", "1")
        found = command("gate", *folders, "--device", "cpu", *rule, *words)
        assert found.code == 1
        assert Path("x.html").read_text().startswith("<!DOCTYPE html>")
        assert sorted(path.name for path in Path("maps").iterdir()) == ["im3", "scales.json"]
        found = command("gate", *folders, "--device", "cpu", *rule, "--html", "y.html", "--no-images")
        assert len(Path("y.html").read_text()) < len(Path("x.html").read_text())

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("--no-images",), "--no-images is about the page; name it with --html", id="no page"),
            pytest.param(("--maps-count", "2"), "--maps-count is about the maps", id="no maps"),
            pytest.param(("--html", "no/x.html"), "there is no folder no", id="place"),
            pytest.param(("--html", "run.json"), "would be written over run.json, which is read", id="over the run"),
            pytest.param(("--maps", "run.json"), "--maps run.json is a file", id="maps a file"),
            pytest.param(("--maps", "out"), "is read by this run", id="maps among the images"),
        ],
    )
    def test_2_and_nothing_is_written(self, command: Command, run: Path, words: tuple[str, ...], message: str) -> None:
        Path("out").mkdir()
        before = sorted(Path().rglob("*"))
        found = command("gate", run, *GOOD, *words)
        assert (found.code, found.out) == (2, "")
        assert message in found.err
        assert sorted(Path().rglob("*")) == before

    def test_images_that_are_gone_are_a_warning(self, command: Command, run: Path) -> None:
        found = command("gate", run, *GOOD, "--html", "x.html", "--maps", "maps")
        assert found.code == 0
        assert "WARNING" in found.err
        assert Path("x.html").exists()
