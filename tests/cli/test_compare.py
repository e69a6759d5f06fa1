"""`relight-eval compare`: saved runs, folders, both; what goes together, and what is written."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from relight_eval.errors import ReportError
from relight_eval.reports import REPORTS
from tests.cli.commands import Command
from tests.cli.saved import LEFT_UNDONE, SIGNATURE, noise_file, saved
from tests.everything import ROWS, everything
from tests.folders import picture, runs_of, worse, write

FAST = ("-m", "charbonnier,psnr", "--device", "cpu")
SSIM = [0.90, 0.91, 0.92, 0.89, 0.88, 0.93, 0.90, 0.91]
LPIPS = [0.10, 0.11, 0.12, 0.13, 0.14, 0.15, 0.16, 0.17]
SCENES = r"(?P<scene>[a-z]+)_(?P<light>\d)"
LIT = [f"{scene}_{light}" for scene in ("hall", "roof") for light in range(4)]


@pytest.fixture
def runs(command: Command) -> tuple[Path, Path]:
    """before.json and after.json, which is better by ssim, most at im0, and worse by lpips."""
    return (
        saved("before.json", ssim=SSIM, lpips=LPIPS),
        saved("after.json", ssim=[s + 0.01 - i / 1e3 for i, s in enumerate(SSIM)], lpips=[x + 0.05 for x in LPIPS]),
    )


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """run0/, run1/ (worse), run2/ (worse still) and target/, six images each."""
    runs_of(tmp_path, 3, 6, height=24, width=24)
    return tmp_path


def document(command: Command, *words: object, code: int = 0) -> dict[str, object]:
    """The JSON of a comparison."""
    found = command("compare", *words, "--json", "-")
    assert found.code == code, found.err
    return json.loads(found.out)  # type: ignore[no-any-return]


def changes_of(found: dict[str, object]) -> dict[str, dict[str, float]]:
    """Those of the second run, by column."""
    return {change["column"]: change for change in found["changes"]}  # type: ignore[attr-defined]


def labels(found: dict[str, object]) -> list[str]:
    return [run["label"] for run in found["runs"]]  # type: ignore[attr-defined, index]


class TestSaved:
    def test_two_runs(self, command: Command, runs: tuple[Path, Path]) -> None:
        found = command("compare", *runs)
        assert (found.code, found.err) == (0, "")
        assert re.search(r"^before +out/before +8 images \(baseline\)$", found.out, re.MULTILINE)
        assert re.search(r"^ssim ↑ +\+0\.0065 .* 8/0/0$", found.out, re.MULTILINE)
        assert re.search(r"^lpips ↓ +\+0\.0500 .* 0/0/8$", found.out, re.MULTILINE)
        assert "after is better on ssim and worse on lpips than before" in found.out
        lines = found.out.splitlines()
        assert not any("\x1b" in line for line in lines)
        assert max(map(len, lines[:-1])) <= 80

    def test_a_table_and_a_run(self, command: Command, runs: tuple[Path, Path]) -> None:
        table = saved("table.csv", ssim=SSIM, lpips=LPIPS)
        found = command("compare", table, runs[1])
        assert found.code == 0
        assert found.out.startswith("WARNING  table has no signature")

    def test_by_sorts_the_images(self, command: Command, runs: tuple[Path, Path]) -> None:
        usual, other = command("compare", *runs).out, command("compare", *runs, "--by", "lpips").out
        assert "Improvements of after against before, by ssim: 8 images" in usual
        assert "Regressions of after against before, by lpips: 8 images" in other

    @pytest.mark.parametrize("verbose", ["-v", "--verbose"])
    def test_verbose_shows_all_images(self, command: Command, runs: tuple[Path, Path], verbose: str) -> None:
        assert "im7" not in command("compare", *runs).out
        assert "im7" in command("compare", *runs, verbose).out

    def test_quiet_says_only_warnings(self, command: Command, runs: tuple[Path, Path]) -> None:
        assert command("compare", *runs, "-q") == (0, "", "")
        found = command("compare", saved("table.csv", ssim=SSIM, lpips=LPIPS), runs[1], "--quiet")
        assert (found.code, found.out) == (0, "")
        assert found.err.startswith("WARNING  table has no signature")

    @pytest.mark.parametrize(
        ("metrics", "columns"), [("ssim", {"ssim"}), ("lpips, ssim", {"ssim", "lpips"}), ("ssim,", {"ssim"})]
    )
    def test_metrics_filter_the_columns(
        self, command: Command, runs: tuple[Path, Path], metrics: str, columns: set[str]
    ) -> None:
        found = document(command, *runs, "-m", metrics)
        assert {change["column"] for change in found["changes"]} == columns  # type: ignore[attr-defined]

    def test_group_shows_each_and_resamples_them(self, command: Command) -> None:
        saved("before.json", names=LIT, ssim=SSIM)
        saved("after.json", names=LIT, ssim=[s + (0.01 if i < 4 else -0.02) for i, s in enumerate(SSIM)])
        found = command("compare", "before.json", "after.json", "--group", SCENES)
        assert found.code == 0
        assert "8 images in 2 scene groups" in found.out
        assert re.search(r"^roof +4 +-0\.0200$\n^hall +4 +\+0\.0100$", found.out, re.MULTILINE)
        assert "8 images in 2 scene groups" not in command("compare", "before.json", "after.json").out

    def test_group_and_seed_of_the_first_run_unless_others_are_named(self, command: Command) -> None:
        saved("before.json", names=LIT, group=SCENES, seed=3, ssim=SSIM)
        saved("after.json", names=LIT, ssim=SSIM)
        words = ("before.json", "after.json")
        assert [document(command, *words)[key] for key in ("group", "seed")] == [SCENES, 3]
        assert document(command, *words, "--seed", "0")["seed"] == 0
        assert document(command, *words, "--seed", "9")["seed"] == 9
        assert document(command, *words, "--group", r"(?P<light>\d)")["group"] == r"(?P<light>\d)"

    def test_step_orders_and_shows_the_trend(self, command: Command) -> None:
        for step in (1000, 20, 300):
            saved(f"step_{step}.json", ssim=[score + step / 1e5 for score in SSIM])
        words = ("step_1000.json", "step_20.json", "step_300.json", "--step", r"step_(\d+)")
        found = document(command, *words)
        assert labels(found) == ["step_20", "step_300", "step_1000"]
        assert found["baseline"] == "step_20"
        assert [change["run"] for change in found["changes"]] == ["step_300", "step_1000"]  # type: ignore[attr-defined, index]
        assert found["trends"] == [{"column": "ssim", "best": 1000, "said": "still improving"}]
        assert re.search("Trend over 3 steps, 20 to 1000", command("compare", *words).out)
        assert "A trend needs three steps." in command("compare", *words[1:]).out

    def test_images_that_not_all_have_are_counted_and_listed(self, command: Command, runs: tuple[Path, Path]) -> None:
        part = saved("part.json", ssim=SSIM[:6], lpips=LPIPS[:6])
        found = command("compare", runs[0], part)
        assert found.code == 0
        assert re.search(r"before +out/before +8 images, 2 not in all", found.out)
        assert re.search(r"^compared +6 images\nnot in all runs: im6, im7$", found.out, re.MULTILINE)

    @pytest.mark.parametrize(
        ("rows", "missing", "code"),
        [
            pytest.param(LEFT_UNDONE[:1], "error", 3, id="error"),
            pytest.param(LEFT_UNDONE[:1], "skip", 3, id="error counts whatever is said of partners"),
            pytest.param(LEFT_UNDONE[1:], "error", 3, id="no partner"),
            pytest.param(LEFT_UNDONE[1:], "skip", 0, id="accepted"),
        ],
    )
    def test_3_what_was_left_undone(
        self, command: Command, runs: tuple[Path, Path], rows: tuple[object, ...], missing: str, code: int
    ) -> None:
        part = saved("part.json", rows=rows, ssim=SSIM, lpips=LPIPS)  # type: ignore[arg-type]
        assert command("compare", runs[0], part, "--missing", missing).code == code


class TestLabels:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            pytest.param(("a/x.json", "b/y.json"), ["x", "y"], id="stems"),
            pytest.param(("a/x.json", "b/x.json"), ["a/x.json", "b/x.json"], id="same stem"),
            pytest.param(("old=a/x.json", "new=b/x.json"), ["old", "new"], id="named"),
            pytest.param(("old=a/x.json", "b/x.json"), ["old", "x"], id="one named"),
            pytest.param(("x=b/y.json", "a/x.json"), ["x", "a/x.json"], id="named as another file"),
            pytest.param(("a/x.json", "lr=1e-4.json"), ["x", "lr=1e-4"], id="a path with ="),
            pytest.param(("a/x.json", "best=lr=1e-4.json"), ["x", "best"], id="named, a path with ="),
            pytest.param(("a/x.json", "größer ε=b/y.json"), ["x", "größer ε"], id="unicode"),
        ],
    )
    def test_labels(self, command: Command, words: tuple[str, ...], expected: list[str]) -> None:
        Path("a").mkdir()
        Path("b").mkdir()
        for name in ("a/x.json", "b/x.json", "b/y.json", "lr=1e-4.json"):
            saved(name, ssim=SSIM)
        assert labels(document(command, *words)) == expected

    def test_folders_are_called_by_their_name(self, command: Command, folders: Path) -> None:
        words = (f"{folders}/run0/", f"{folders}/run1/../run1", "--target", folders / "target", *FAST)
        assert labels(document(command, *words)) == ["run0", "run1"]

    @pytest.mark.parametrize("words", [("a=x.json", "a=y.json"), ("x.json", "x.json")], ids=["named", "the same file"])
    def test_one_name_for_two(self, command: Command, words: tuple[str, ...]) -> None:
        saved("x.json", ssim=SSIM)
        saved("y.json", ssim=SSIM)
        found = command("compare", *words)
        assert (found.code, found.out) == (2, "")
        assert re.search(r"two runs are called (a|x\.json); name them, as in before=x\.json", found.err)


class TestFolders:
    def test_means_are_those_of_score(self, command: Command, folders: Path, reads: list[Path]) -> None:
        names = ("run0", "run1", "run2")
        words = (*(folders / name for name in names), "--target", folders / "target", *FAST)
        found = document(command, *words)
        assert len(reads) == 6 * 4  # every target once
        for i, name in enumerate(names):
            command("score", folders / name, folders / "target", *FAST, "--no-csv", "--json", f"{name}.json")
            alone = json.loads(Path(f"{name}.json").read_text())["aggregate"]
            together = found["runs"][i]["aggregate"]  # type: ignore[index]
            for column in ("charbonnier", "psnr"):
                assert together[column]["mean"] == pytest.approx(alone[column]["mean"], abs=1e-7)

    def test_with_a_saved_run_as_the_baseline(self, command: Command, folders: Path) -> None:
        command("score", folders / "run0", folders / "target", *FAST, "--no-csv", "--json", "main.json")
        found = command("compare", "main.json", folders / "run0", "--target", folders / "target", *FAST)
        assert found.code == 0, found.err
        assert re.search(r"psnr ↑ +0\.0000 .* 0/6/0", found.out)

    def test_beside_saved_runs_only_what_all_of_them_have_is_scored(
        self, command: Command, folders: Path, reads: list[Path]
    ) -> None:
        for name, metrics in (("one", "ssim,psnr"), ("two", "charbonnier,psnr")):
            words = (folders / "run0", folders / "target", "-m", metrics, "--device", "cpu", "--no-csv")
            assert command("score", *words, "--json", f"{name}.json").code == 0
        reads.clear()
        runs = ("one.json", "two.json", folders / "run1", "--target", folders / "target", "--device", "cpu")
        found = document(command, *runs)
        assert (labels(found), found["warnings"]) == (["one", "two", "run1"], [])
        assert [column["name"] for column in found["columns"]] == ["psnr"]  # type: ignore[attr-defined]
        signature = found["runs"][2]["signature"]  # type: ignore[index]
        assert ("psnr" in signature, {"ssim", "charbonnier", "vgg19"} & set(signature)) == (True, set())
        assert len(reads) == 12

        both = document(command, "one.json", *runs[2:])
        assert {column["name"] for column in both["columns"]} == {"ssim", "psnr"}  # type: ignore[attr-defined]
        reads.clear()
        refused = command("compare", *runs, "--by", "ssim")
        assert (refused.code, refused.out, reads) == (2, "", [])
        assert "--by ssim: there is no such column" in refused.err
        named = command("compare", *runs, "-m", "ssim")
        assert (named.code, "two has no scores of ssim" in named.err) == (2, True)

    def test_2_beside_saved_runs_that_have_nothing_in_common(
        self, command: Command, folders: Path, reads: list[Path]
    ) -> None:
        saved("s.json", ssim=SSIM)
        saved("l.json", lpips=LPIPS)
        found = command("compare", "s.json", "l.json", folders / "run1", "--target", folders / "target")
        assert (found.code, found.out, reads) == (2, "", [])
        assert "no metric has scores in all saved runs: s has ssim; l has lpips" in found.err

    @pytest.mark.parametrize(
        ("step", "message"),
        [
            pytest.param(r"step_(\d+)", "finds no whole number in run1 nor in", id="none in the folder"),
            pytest.param(r"run(\d)", "finds no whole number in step_5 nor in", id="none in the saved run"),
            pytest.param(r"(\d)$", "finds one step twice", id="twice"),
            pytest.param(r"\d", "needs one parenthesis", id="no parenthesis"),
        ],
    )
    def test_2_step_beside_a_saved_run_before_any_image_is_read(
        self, command: Command, folders: Path, reads: list[Path], step: str, message: str
    ) -> None:
        saved("step_5.json", ssim=SSIM)
        twice = ("x5=" + str(folders / "run0"),) if "twice" in message else ()
        words = ("step_5.json", *twice, folders / "run1", "--target", folders / "target", "--step", step)
        found = command("compare", *words, "--device", "cpu")
        assert (found.code, found.out, reads) == (2, "", [])
        assert message in " ".join(found.err.split())

    def test_the_earliest_step_is_the_baseline_be_it_saved_or_scored(self, command: Command, folders: Path) -> None:
        target = folders / "target"
        assert command("score", folders / "run1", target, *FAST, "--no-csv", "--json", "run1.json").code == 0
        words = ("run1.json", folders / "run0", folders / "run2", "--target", target, "--device", "cpu")
        found = document(command, *words, "--step", r"run(\d)$")
        assert (found["baseline"], labels(found)) == ("run0", ["run0", "run1", "run2"])

    def test_group_step_and_seed(self, command: Command, folders: Path) -> None:
        words = ("--group", r"(?P<half>[0-2])?", "--target", folders / "target", *FAST)
        found = command("compare", folders / "run0", folders / "run1", *words)
        assert (found.code, "does not match" in found.err) == (2, True)
        words = ("--group", r"(?P<each>\d)", "--step", r"(\d)$", "--seed", "4", *words[2:])
        all_of_them = document(command, *(folders / f"run{i}" for i in (1, 2, 0)), *words)
        assert labels(all_of_them) == ["run0", "run1", "run2"]
        assert (all_of_them["seed"], all_of_them["group"]) == (4, r"(?P<each>\d)")

    def test_3_a_pair_could_not_be_scored(self, command: Command, folders: Path) -> None:
        (folders / "run1" / "im0.png").write_bytes(b"junk")
        words = (folders / "run0", folders / "run1", "--target", folders / "target", *FAST)
        found = command("compare", *words, "--csv", "out.csv")
        assert found.code == 3
        assert "im0" in found.out
        assert Path("out.csv").exists()

    def test_3_no_partner_unless_accepted(self, command: Command, folders: Path) -> None:
        write(folders / "run1" / "extra.png", picture(1))
        words = (folders / "run0", folders / "run1", "--target", folders / "target", *FAST)
        assert [command("compare", *words, *more).code for more in ((), ("--missing", "skip"))] == [3, 0]

    def test_2_a_run_of_which_nothing_could_be_scored(self, command: Command, folders: Path) -> None:
        for i in range(6):
            (folders / "run1" / f"im{i}.png").write_bytes(b"junk")
        words = (folders / "run0", folders / "run1", "--target", folders / "target", *FAST)
        found = command("compare", *words, "--json", "out.json")
        assert found.code == 2
        assert "run1: no pair could be scored; the first of 6 errors" in found.err
        assert not Path("out.json").exists()

    def test_identical_images_and_another_size(self, command: Command, tmp_path: Path) -> None:
        for i in range(7):
            target = picture(i, 16, 16)
            write(tmp_path / "t" / f"{i}.png", target)
            write(tmp_path / "a" / f"{i}.png", target)
            write(tmp_path / "b" / f"{i}.png", worse(target, 9) if i else picture(0, 17, 16))
        words = (tmp_path / "a", tmp_path / "b", "--target", tmp_path / "t", *FAST)
        found = command("compare", *words, "--json", "out.json", "--csv", "out.csv", "--markdown", "out.md")
        assert found.code == 3
        assert "6" in found.out
        changes = {change["column"]: change for change in json.loads(Path("out.json").read_text())["changes"]}
        assert (changes["psnr"]["mean"], changes["psnr"]["losses"]) == (None, 6)

    def test_130_interrupted(self, command: Command, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("relight_eval.pairs.find", interrupt)
        words = (folders / "run0", folders / "run1", "--target", folders / "target", "--json", "out.json")
        found = command("compare", *words, *FAST)
        assert (found.code, found.out) == (130, "")
        assert "interrupted; nothing was written" in found.err
        assert os.listdir() == []


class TestWhatDoesNotGoTogether:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("no.json",), "'no.json': no such file or folder", id="missing"),
            pytest.param(("new=no.json",), "'new=no.json': no such file or folder", id="missing, named"),
            pytest.param(("new=",), "'new=': no such file or folder", id="a name alone"),
            pytest.param(("",), "'': no such file or folder", id="empty"),
            pytest.param(("a" * 5000,), "no such file or folder", id="too long"),
            pytest.param((), "compare needs two runs or more", id="one run"),
            pytest.param(("after.json", "--target", "t"), "--target t is for folders of predictions", id="target"),
            pytest.param(("after.json", "--device", "cpu"), "--device is for folders of images", id="scoring option"),
            pytest.param((".",), ". is a folder of predictions; name the targets with --target", id="no target"),
            pytest.param(("after.json", "--by", "psnr"), "--by psnr: there is no such column", id="by"),
            pytest.param(("after.json", "--by", ""), "there is no such column", id="by nothing"),
            pytest.param(("after.json", "--by", "sim"), "did you mean ssim", id="by, nearest"),
            pytest.param(("after.json", "-m", "psnr"), "no run has the metric 'psnr'; they have ssim, lpips", id="-m"),
            pytest.param(("after.json", "-m", ""), "no run has the metric ''", id="-m nothing"),
            pytest.param(("after.json", "--step", "("), "is no regular expression", id="step"),
            pytest.param(("after.json", "--step", ""), '--step "" is no pattern', id="empty step"),
            pytest.param(("after.json", "--step", r"(\d+)"), "number in before", id="no step"),
            pytest.param(("after.json", "--step", r"\d+"), "needs one parenthesis", id="step without parenthesis"),
            pytest.param(("after.json", "--group", "(?P<x>y)"), "does not match 8 of 8", id="group"),
            pytest.param(("after.json", "--noise", "no.json"), "no.json: cannot be read", id="noise"),
            pytest.param(("after.json", "--noise", "after.json"), "calibrate", id="noise is a run"),
            pytest.param(("other_images.json",), "no image is in all runs: before has im0, im1", id="no common image"),
            pytest.param(("ssim_only.json",), "ssim_only has no scores of lpips", id="column missing in one run"),
            pytest.param(("twice.csv",), "image 'im0' is there twice", id="edited csv"),
            pytest.param(("nan.csv",), "must be a number", id="nan"),
            pytest.param(("other.json",), "ssim is zero-padded in other but wang2004 in before", id="protocol"),
            pytest.param(("after.json", "--csv", "no/x.csv"), "no folder no", id="csv"),
            pytest.param(("after.json", "--csv", "old", "--json", "./old"), "two places", id="same place"),
            pytest.param(("after.json", "--json", "after.json"), "after.json, which is read", id="over a run"),
            pytest.param(("after.json", "--markdown", "x.png"), "name of an image", id="over an image"),
        ],
    )
    def test_2_and_nothing_is_written(
        self, command: Command, runs: tuple[Path, Path], words: tuple[str, ...], message: str
    ) -> None:
        saved("other_images.json", names=list("abcdefgh"), ssim=SSIM, lpips=LPIPS)
        saved("ssim_only.json", ssim=SSIM)
        saved("other.json", signature=SIGNATURE | {"ssim": "zero-padded"}, ssim=SSIM, lpips=LPIPS)
        table = saved("twice.csv", ssim=SSIM, lpips=LPIPS).read_text()
        Path("twice.csv").write_text(table.replace("im1,", "im0,"))
        Path("nan.csv").write_text(table.replace("0.93", "nan"))
        Path("old").write_text("what stood there")
        before = {path: path.read_bytes() for path in Path().iterdir()}
        outputs = () if {"--csv", "--json"} & set(words) else ("--csv", "old", "--json", "new")
        found = command("compare", runs[0], *words, *outputs)
        assert (found.code, found.out) == (2, "")
        assert message in " ".join(found.err.split()), found.err
        assert "Traceback" not in found.err
        assert {path: path.read_bytes() for path in Path().iterdir()} == before

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param(("--by", "wssim"), "did you mean", id="by"),
            pytest.param(("--step", "run(x)"), "finds no whole number in run0", id="step"),
            pytest.param(("--group", "(?P<x>y)"), "does not match 6 of 6", id="group"),
            pytest.param(("--noise", "no.json"), "cannot be read", id="noise"),
            pytest.param(("--json", "no/x.json"), "no folder no", id="json"),
            pytest.param(("--wavelet", "harr"), "did you mean haar", id="setting"),
        ],
    )
    def test_2_before_any_image_is_read(
        self, command: Command, folders: Path, reads: list[Path], words: tuple[str, ...], message: str
    ) -> None:
        runs = (folders / "run0", folders / "run1", "--target", folders / "target")
        found = command("compare", *runs, "-m", "ssim,psnr", "--device", "cpu", *words)
        assert found.code == 2
        assert message in found.err
        assert reads == []

    def test_one_folder_is_not_scored_in_vain(self, command: Command, folders: Path, reads: list[Path]) -> None:
        assert command("compare", folders / "run0", "--target", folders / "target", *FAST).code == 2
        assert reads == []

    def test_other_protocol_is_compared_when_forced(self, command: Command, runs: tuple[Path, Path]) -> None:
        saved("other.json", signature=SIGNATURE | {"ssim": "zero-padded"}, ssim=SSIM, lpips=LPIPS)
        assert command("compare", runs[0], "other.json", "-m", "lpips").code == 0
        found = command("compare", runs[0], "other.json", "--force")
        assert found.code == 0
        assert found.out.startswith("WARNING  other and before were not scored alike")

    def test_another_device_is_only_a_warning(self, command: Command, runs: tuple[Path, Path]) -> None:
        saved("other.json", signature=SIGNATURE | {"device": "cuda:0", "torch": "9"}, ssim=SSIM, lpips=LPIPS)
        found = command("compare", runs[0], "other.json")
        assert found.code == 0
        assert "device is cuda:0 in other but cpu in before" in " ".join(found.out.split())

    def test_2_a_target_that_is_none(self, command: Command, folders: Path) -> None:
        found = command("compare", folders / "run0", folders / "run1", "--target", folders / "no", *FAST)
        assert (found.code, "no" in found.err, "Traceback" in found.err) == (2, True, False)


class TestNoise:
    def ties(self, found: dict[str, object]) -> tuple[str, dict[str, float]]:
        return found["tie"]["source"], found["tie"]["margins"]  # type: ignore[index]

    def test_beside_the_first_run_or_named(self, command: Command, runs: tuple[Path, Path]) -> None:
        source, margins = self.ties(document(command, *runs))
        assert ("calibrate" in source, margins) == (True, {"ssim": 1e-5, "lpips": 1e-5})
        noise_file("before.noise.json", ssim=0.5, lpips=0.01)
        source, margins = self.ties(document(command, *runs))
        assert ("before.noise.json" in source, margins) == (True, {"ssim": 0.5, "lpips": 0.01})
        assert re.search(r"ssim ↑ .* 0/8/0$", command("compare", *runs).out, re.MULTILINE)
        noise_file("named.json", ssim=0.25, lpips=0.01)
        source, margins = self.ties(document(command, *runs, "--noise", "named.json"))
        assert ("named.json" in source, margins["ssim"]) == (True, 0.25)

    def test_damaged(self, command: Command, runs: tuple[Path, Path]) -> None:
        Path("before.noise.json").write_text("{}")
        found = command("compare", *runs)
        assert (found.code, "before.noise.json: is not what" in found.err) == (2, True)


class TestOutputs:
    def test_csv_holds_the_paired_changes(self, command: Command, runs: tuple[Path, Path]) -> None:
        assert command("compare", *runs, "--csv", "out.csv").code == 0
        records = list(csv.DictReader(io.StringIO(Path("out.csv").read_text())))
        assert len(records) == 16
        change = float(records[0].pop("change"))
        assert change == pytest.approx(0.01)
        assert records[0] == {
            "image": "im0", "run": "after", "column": "ssim", "baseline": "0.9", "score": "0.91", "outcome": "win",
        }  # fmt: skip

    def test_json(self, command: Command, runs: tuple[Path, Path]) -> None:
        command("compare", *runs, "--json", "out.json")
        found = json.loads(Path("out.json").read_text())
        assert (found["baseline"], labels(found), len(found["images"])) == ("before", ["before", "after"], 8)
        ssim = next(change for change in found["changes"] if change["column"] == "ssim")
        assert ssim["mean"] == pytest.approx(0.0065)
        assert (ssim["wins"], ssim["ties"], ssim["losses"]) == (8, 0, 0)

    def test_markdown_and_step_summary(
        self, command: Command, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("summary.md").write_text("before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        command("compare", *runs, "--markdown", "out.md")
        text = Path("out.md").read_text()
        assert text.startswith("## relight-eval: before vs. after\n")
        assert Path("summary.md").read_text() == f"before\n{text}\n"

    @pytest.mark.parametrize("option", ["--csv", "--json", "--markdown"])
    def test_dash_gives_standard_output_to_the_data_alone(
        self, command: Command, runs: tuple[Path, Path], option: str
    ) -> None:
        command("compare", *runs, option, "out")
        found = command("compare", *runs, option, "-")
        assert found.code == 0
        assert found.out == Path("out").read_text()
        assert "Changes against before" in found.err

    def test_one_report_that_cannot_be_written_costs_neither_the_others_nor_the_print(
        self, command: Command, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from relight_eval import reports

        save = reports.save

        def full(path: Path, text: str) -> None:
            if path.suffix == ".json":
                raise ReportError("cannot write out.json: No space left on device")
            save(path, text)

        monkeypatch.setattr(reports, "save", full)
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "no/summary.md")
        found = command("compare", *runs, "--json", "out.json", "--csv", "out.csv", "--html", "out.html", "--no-images")
        assert found.code == 2
        assert "No space left" in found.err
        assert "GITHUB_STEP_SUMMARY" in found.err
        assert "Changes against before" in found.out
        assert Path("out.csv").exists()
        assert Path("out.html").exists()

    def test_names_are_shown_as_they_are(self, command: Command, runs: tuple[Path, Path]) -> None:
        found = command("compare", f"[bold]a[/bold]={runs[0]}", f"b\x1b[31m={runs[1]}")
        assert found.code == 0
        assert "[bold]a[/bold]" in found.out
        assert "\x1b" not in found.out

    def test_warnings_are_visible_when_quiet(self, command: Command, runs: tuple[Path, Path]) -> None:
        table = saved("table.csv", ssim=SSIM, lpips=LPIPS)
        found = command("compare", f"b\x1b[31m={table}", runs[1], "--quiet")
        assert (found.code, found.out) == (0, "")
        assert found.err.startswith("WARNING  b\N{REPLACEMENT CHARACTER}[31m has no signature")


def test_another_protocol_than_a_saved_runs_is_refused_before_any_image_is_read(
    command: Command, folders: Path, reads: list[Path]
) -> None:
    words = ("-m", "charbonnier", "--device", "cpu")
    assert command("score", folders / "run0", folders / "target", *words, "--json", "saved.json").code == 0
    reads.clear()
    runs = ("compare", "saved.json", folders / "run1", "--target", folders / "target", *words)
    refused = command(*runs, "--charbonnier-eps", "0.01")
    assert (refused.code, refused.out, reads) == (2, "", [])
    assert "charbonnier is eps=0.001 in saved but eps=0.01 in run1" in refused.err
    forced = command(*runs, "--charbonnier-eps", "0.01", "--force")
    assert (forced.code, len(reads)) == (0, 12)


class TestColumnsOfOptions:
    @pytest.fixture
    def wholes(self, command: Command) -> tuple[Path, Path]:
        """Two saved runs with all that there may be: the second is better exposed, and worse by psnr."""
        rows = [row for row in ROWS if row.scores]
        changed = {"ev_error": -0.1, "ev_median": -0.1, "psnr": 19.0}
        after = [replace(row, scores={**row.scores, **changed}) for row in rows]
        for name, of_run in (("before.json", rows), ("after.json", after)):
            Path(name).write_text(REPORTS["json"](everything(tuple(of_run))), encoding="utf-8")
        return Path("before.json"), Path("after.json")

    def test_distance_from_the_best_value_is_what_counts(self, command: Command, wholes: tuple[Path, Path]) -> None:
        found = document(command, *wholes)
        columns = {column["name"] for column in found["columns"]}
        assert {"ev_error", "psnr_aligned", "psnr_shadows"} <= columns
        assert {"share_colour", "local_x", "align_gain_r"}.isdisjoint(columns)  # they only tell a kind
        changes = changes_of(found)
        # from +0.2, 0 and +0.2 to −0.1
        assert changes["ev_error"]["mean"] == pytest.approx((-0.1 + 0.1 - 0.1) / 3)
        assert (changes["ev_error"]["wins"], changes["ev_error"]["losses"]) == (2, 1)

    def test_diagnosis_alone_shows_its_columns(self, command: Command, wholes: tuple[Path, Path]) -> None:
        found = command("compare", *wholes, "-m", "diagnosis")
        assert found.code == 0
        assert "ev_error →" in found.out
        assert "→ the nearer to the value of identical images, the better" in found.out
        assert "psnr" not in found.out.partition("Means")[2].partition("Single")[0]

    def test_what_only_tells_a_kind_cannot_be_compared(self, command: Command, wholes: tuple[Path, Path]) -> None:
        found = command("compare", *wholes, "-m", "align")
        assert (found.code, found.out) == (2, "")
        assert "align: none of its columns tells how good an image is, so there is nothing to compare" in found.err

    def test_only_one_has_a_diagnosis(self, command: Command, wholes: tuple[Path, Path]) -> None:
        names = ("charbonnier", "psnr", "ssim")
        plain = {name: [row.scores[name] for row in ROWS if row.scores] for name in names}
        saved("plain.json", names=["a", "b", "d"], signature=dict(everything().signature), **plain)
        found = command("compare", "plain.json", wholes[0])
        assert found.code == 2
        assert "plain has no scores of ev_error; score it with -m diagnosis" in found.err
        words = ("-m", "charbonnier,psnr,ssim")
        found = command("compare", "plain.json", wholes[0], *words)
        assert found.code == 0, found.err
        said = "charbonnier_aligned, psnr_aligned, ssim_aligned, psnr_shadows, psnr_midtones and 1 more: left out, for"
        assert said in " ".join(found.out.split())
        assert "psnr ↑" in found.out
        assert "psnr_aligned ↑" not in found.out

    def test_folders_with_everything(self, command: Command, folders: Path) -> None:
        for i in range(6):
            write(folders / "input" / f"im{i}.png", picture(90 + i, 24, 24))
            write(folders / "mask" / f"im{i}.png", picture(1, 24, 24) | 1)
        words = ("--input", folders / "input", "--mask", folders / "mask", "--align", "gain", "--regions")
        runs = (folders / "run0", folders / "run1", "--target", folders / "target", "-m", "psnr,diagnosis", "--device")
        found = document(command, *runs, "cpu", *words)
        changes = changes_of(found)
        assert {"psnr", "psnr_aligned", "psnr_midtones", "copy_ratio"} <= changes.keys()
        assert changes["copy_ratio"]["mean"] > 0
        (folders / "mask" / "im3.png").unlink()
        assert command("compare", *runs, "cpu", *words).code == 3

    def test_a_page(self, command: Command, folders: Path, wholes: tuple[Path, Path]) -> None:
        runs = (folders / "run0", folders / "run1", "--target", folders / "target", *FAST)
        found = command("compare", *runs, "--html", "x.html")
        assert found.code == 0, found.err
        assert Path("x.html").read_text().startswith("<!DOCTYPE html>")
        assert command("compare", *wholes, "--html", "y.html", "--no-images", "-q").code == 0
        assert Path("y.html").exists()
        found = command("compare", *wholes, "--no-images")
        assert (found.code, "--no-images is about the page" in found.err) == (2, True)
