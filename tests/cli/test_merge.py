"""`relight-eval score --shard`, `relight-eval merge`, and what other commands make of a part."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from relight_eval.merging import digest
from relight_eval.reports import REPORTS, load
from relight_eval.results import Shard
from tests.cli.commands import Command, Outcome
from tests.cli.saved import LEFT_UNDONE, saved
from tests.cli.test_options import RUN_WITHOUT
from tests.folders import picture, two_folders, worse, write

OF = 16
FAST = ("-m", "charbonnier,psnr,ssim,diagnosis", "--device", "cpu", "-j", "1")
ALL = ("--mask", "mask", "--input", "input", "--floors", "--group", r"(?P<scene>[a-z]+)(?P<light>\d+)")
ALL = (*ALL, "--threshold", "colour=3", "--seed", "7")
SCHEMA = json.loads((files("relight_eval.reports") / "results.schema.json").read_text(encoding="utf-8"))
SSIM = [0.90, 0.91, 0.92, 0.89, 0.88, 0.93, 0.90, 0.91]


@pytest.fixture
def messy(command: Command) -> None:
    """Folders pred, gt, input, mask: twenty pairs, with all that can be wrong with them, and files without partner."""
    for i in range(20):
        name = f"{'hall' if i % 3 else 'roof'}{i}"
        target = picture(i, 16, 20)
        write(Path("gt") / f"{name}.png", target)
        write(Path("pred") / f"{name}.png", worse(target, 4 + i, seed=i))
        write(Path("input") / f"{name}.png", worse(target, 60, seed=i))
        write(Path("mask") / f"{name}.png", np.full((16, 20), 255, np.uint8))
    Path("pred/hall1.png").write_bytes(b"no image")
    Path("mask/hall4.png").unlink()
    write(Path("pred/hall8.png"), picture(8, 9, 9))  # of another size than its target
    Path("pred/roof9.png").write_bytes(Path("pred/hall2.png").read_bytes())
    Path("pred/hall11.png").write_bytes(Path("gt/hall11.png").read_bytes())  # identical: an infinite PSNR
    for side, name in (("pred", "hall90"), ("pred", "hall91"), ("gt", "roof92"), ("gt", "roof93"), ("gt", "roof94")):
        write(Path(side) / f"{name}.png", picture(0, 16, 20))
    Path("pred/.hidden").touch()
    Path("gt/notes.txt").touch()


def shards(command: Command, of: int, *words: object) -> tuple[list[Outcome], list[str]]:
    """Every part of a run by itself, and where each was written."""
    names = [f"part{index}.json" for index in range(1, of + 1)]
    words = ("score", "pred", "gt", *words)
    return [command(*words, "--shard", f"{i}/{of}", "--json", name) for i, name in enumerate(names, 1)], names


class TestSixteenParts:
    def test_are_one_run(self, command: Command, messy: None) -> None:
        reports = {"--json": "{}.json", "--csv": "{}.csv", "--markdown": "{}.md", "--html": "{}.html"}
        whole_files, merged_files = (
            [word for option, name in reports.items() for word in (option, name.format(of))]
            for of in ("whole", "merged")
        )
        whole = command("score", "pred", "gt", *FAST, *ALL, *whole_files, "--no-images")
        assert (whole.code, whole.err.count("WARNING")) == (3, 0)
        outcomes, parts = shards(command, OF, *FAST, *ALL)
        assert {found.code for found in outcomes} == {0, 3}
        assert not Path("scores.csv").exists()
        merged = command("merge", *parts[::-1], *merged_files, "--no-images")
        assert merged.code == 3
        assert merged.out == whole.out
        for name in reports.values():
            assert Path(name.format("merged")).read_bytes() == Path(name.format("whole")).read_bytes(), name
        found = command("merge", *parts, "--no-csv", "--json", "-", "--threshold", "colour=7")
        assert json.loads(found.out)["thresholds"] == {"colour": 7.0}
        assert merged.err.startswith("20 pairs of 16 parts; 3 not scored in full; 5 files without partner")
        statuses = [row.status for row in load(Path("merged.json")).rows]
        assert [statuses.count(status) for status in ("ok", "error")] == [17, 3]
        assert [statuses.count(f"missing_{side}") for side in ("prediction", "target")] == [3, 2]

    def test_say_that_they_are_parts_wherever_they_are_told(self, command: Command, messy: None) -> None:
        words = ("-m", "psnr", "--device", "cpu", "--shard", "2/4", "--json", "p.json", "--markdown", "p.md")
        found = command("score", "pred", "gt", *words, "--html", "p.html", "--no-images")
        told = "part 2 of 4 of a run over 25 names; relight-eval merge makes the whole of all parts"
        assert " ".join(found.out.split()).startswith(f"WARNING {told}")
        assert told in Path("p.md").read_text()
        assert "part 2 of 4 of a run over 25 names" in Path("p.html").read_text()
        document = json.loads(Path("p.json").read_text())
        jsonschema.validate(document, SCHEMA)
        assert document["warnings"][0] == told
        assert {key: document["shard"][key] for key in ("index", "of", "names", "ignored")} == {
            "index": 2, "of": 4, "names": 25, "ignored": 2
        }  # fmt: skip
        assert len(document["pairs"]) == 5
        assert len(document["unpaired"]) == 1
        again = command("report", "p.json")
        assert again.out == found.out

    def test_where_nothing_can_be_scored_in_one(self, command: Command) -> None:
        for i in range(2):
            write(Path("gt") / f"im{i}.png", picture(i, 16, 16))
            write(Path("pred") / f"im{i}.png", picture(i, 16, 16))
        Path("pred/im1.png").write_bytes(b"no image")
        outcomes, parts = shards(command, 2, "-m", "psnr", "--device", "cpu", "--html", "x.html")
        assert [found.code for found in outcomes] == [0, 3]
        assert "im1" in Path("x.html").read_text()  # (of the second)
        assert command("report", "part2.json", "--html", "y.html", "--maps", "maps").code == 0
        assert command("merge", *parts).code == 3
        Path("pred/im0.png").write_bytes(b"no image")
        outcomes, parts = shards(command, 2, "-m", "psnr", "--device", "cpu")
        found = command("merge", *parts)
        assert found.code == 2
        assert "no pair could be scored; the first of 2 errors: pred/im0.png" in found.err

    def test_go_on_with_their_own_journal(self, command: Command, reads: list[Path]) -> None:
        two_folders(Path(), 4, height=16, width=16)
        Path("prediction").rename("pred")
        Path("target").rename("gt")
        Path("pred/im0.png").write_bytes(b"no image")
        words = ("-m", "psnr", "--device", "cpu", "--resume")
        outcomes, _ = shards(command, 2, *words)
        assert [found.code for found in outcomes] == [3, 0]
        assert sorted(path.name for path in Path().glob("*.journal")) == ["part1.json.journal"]
        Image.open("gt/im0.png").save("pred/im0.png")
        reads.clear()
        outcomes, parts = shards(command, 1, *words)
        assert outcomes[0].code == 0
        assert {path.name for path in reads} == {"im0.png", "im1.png", "im3.png"}  # im2 was in part 1 of 2, too
        assert command("merge", *parts).code == 0


def test_parts_may_be_at_addresses(command: Command) -> None:
    folders = two_folders(Path(), 3, height=16, width=16)
    for index in (1, 2):
        words = ("-m", "psnr", "--device", "cpu", "--shard", f"{index}/2", "--json", f"memory://parts/{index}.json")
        found = command("score", *folders, *words)
        assert found.code == 0, found.err
    assert command("merge", "memory://parts/2.json", "memory://parts/1.json").code == 0
    assert len(Path("scores.csv").read_text().splitlines()) == 4


def split(path: Path, of: int = 2) -> list[Path]:
    """Saved results -> files of their parts."""
    whole = load(path)
    shard = Shard(1, of, len(whole.rows), digest({row.name: row.status.partition("missing_")[2] for row in whole.rows}))
    paths = []
    for index in range(1, of + 1):
        part = replace(whole, rows=whole.rows[index - 1 :: of], shard=replace(shard, index=index))
        paths.append(path.with_name(f"{path.stem}_{index}.json"))
        paths[-1].write_text(REPORTS["json"](part))
    return paths


@pytest.fixture
def parts(command: Command) -> list[Path]:
    """run_1.json and run_2.json of run.json, which is there, too."""
    return split(saved("run.json", names=[f"hall{i}" for i in range(8)], ssim=SSIM))


class TestRules:
    @pytest.mark.parametrize(("rule", "code"), [("ssim >= 0.9", 0), ("ssim >= 0.99", 1)])
    def test_are_judged_of_the_whole(self, command: Command, parts: list[Path], rule: str, code: int) -> None:
        found = command("merge", *parts, "--require", rule, "--junit", "x.xml")
        assert found.code == code
        assert ("FAIL" in found.out, 'failures="1"' in Path("x.xml").read_text()) == (code == 1, code == 1)
        assert ("1 of 1 rule failed" in found.err) == (code == 1)

    def test_of_a_file(self, command: Command, parts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
        Path("rules.toml").write_text('require = ["ssim >= 0.99"]')
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
        found = command("merge", *parts, "--rules", "rules.toml", "--quiet")
        assert (found.code, found.out) == (1, "")
        assert "::error" in found.err
        assert "ssim" in Path("summary.md").read_text()

    def test_a_failed_rule_wins_over_what_is_incomplete(self, command: Command) -> None:
        paths = split(saved("run.json", ssim=SSIM, rows=LEFT_UNDONE))
        assert command("merge", *paths).code == 3
        assert command("merge", *paths, "--require", "ssim >= 0.99").code == 1

    def test_missing(self, command: Command) -> None:
        paths = split(saved("run.json", ssim=SSIM, rows=LEFT_UNDONE[1:]))
        assert command("merge", *paths).code == 3
        assert command("merge", *paths, "--missing", "skip").code == 0


class TestOptions:
    def test_files(self, command: Command, parts: list[Path]) -> None:
        found = command("merge", *parts)
        assert found.err == "8 pairs of 2 parts; wrote scores.csv\n"
        assert Path("scores.csv").read_text() == REPORTS["csv"](load(Path("run.json")))
        words = ("--no-csv", "--json", "x.json", "--markdown", "x.md", "--html", "x.html", "--no-images")
        Path("scores.csv").unlink()
        assert command("merge", *parts, *words).code == 0
        assert not Path("scores.csv").exists()
        assert load(Path("x.json")) == load(Path("run.json"))
        assert Path("x.html").stat().st_size > 1000
        assert "ssim" in Path("x.md").read_text()
        found = command("merge", *parts, "--csv", "-")
        assert found.out == REPORTS["csv"](load(Path("run.json")))

    @pytest.mark.parametrize("quiet", ["-q", "--quiet"])
    def test_quiet(self, command: Command, parts: list[Path], quiet: str) -> None:
        assert command("merge", *parts, quiet) == (0, "", "")

    @pytest.mark.parametrize("verbose", ["-v", "--verbose"])
    def test_verbose(self, command: Command, verbose: str) -> None:
        broken = [replace(LEFT_UNDONE[0], name=f"zz{i}", error=f"reason {i}") for i in range(12)]
        paths = split(saved("run.json", ssim=SSIM, rows=broken))
        assert "reason 11" not in command("merge", *paths).out
        assert "reason 11" in command("merge", *paths, verbose).out

    def test_group_seed_and_thresholds_are_those_of_the_parts_unless_others_are_named(self, command: Command) -> None:
        names = [f"{scene}_{i}" for scene in ("hall", "roof") for i in range(4)]
        paths = split(saved("run.json", names=names, group="(?P<scene>[a-z]+)_", seed=3, ssim=SSIM))
        document = json.loads(command("merge", *paths, "--no-csv", "--json", "-").out)
        assert (document["group"], document["seed"]) == ("(?P<scene>[a-z]+)_", 3)
        words = ("--group", "(?P<light>.)$", "--seed", "5")
        found = command("merge", *paths, "--no-csv", "--json", "-", *words)
        document = json.loads(found.out)
        assert (document["group"], document["seed"]) == ("(?P<light>.)$", 5)
        assert document["signature"]["interval"].endswith("seed=5")
        assert command("merge", *paths, "--group", "(?P<x>zz)").code == 2

    def test_looks(self, command: Command) -> None:
        two_folders(Path(), 3, height=16, width=16)
        for index in (1, 2):
            words = ("-m", "psnr", "--device", "cpu", "--shard", f"{index}/2", "--json", f"{index}.json")
            assert command("score", "prediction", "target", *words).code == 0
        words = ("--device", "cpu", "-j", "1", "--maps", "maps", "--maps-count", "1", "--html", "x.html")
        assert command("merge", "1.json", "2.json", *words).code == 0
        assert sorted(path.name for path in Path("maps").iterdir()) == ["im2", "scales.json"]
        assert "data:image/" in Path("x.html").read_text()
        found = command("merge", "1.json", "2.json", "--maps", "prediction/maps")
        assert "lies in prediction, which is read by this run" in found.err
        words = ("--device", "gpu", "--workers", "1", "--vgg19-weights", "w.pth", "--html", "y.html")
        found = command("merge", "1.json", "2.json", *words)
        assert (found.code, "device 'gpu' is not known" in found.err) == (2, True)

    def test_force(self, command: Command, parts: list[Path]) -> None:
        document = json.loads(parts[1].read_text())
        parts[1].write_text(json.dumps(document | {"prediction": "/scratch/2/out"}))
        found = command("merge", *parts)
        assert (found.code, "where these are the same images, use --force" in found.err) == (2, True)
        found = command("merge", *parts, "--force")
        assert (found.code, "/scratch/2/out in part 2" in " ".join(found.out.split())) == (0, True)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            pytest.param((), "Missing argument 'PART...'", id="nothing"),
            pytest.param(("run_1.json",), "part 2 of 2 is missing", id="one is missing"),
            pytest.param(("run_1.json", "run_1.json"), "are both part 1 of 2, with the same content", id="twice"),
            pytest.param(("run_1.json", "run.json"), "run.json is a whole run; merge takes what", id="whole"),
            pytest.param(("run_1.json", "x.csv"), "x.csv is a table, which does not say", id="csv"),
            pytest.param(("run_1.json", "gone.json"), "gone.json: cannot be read", id="gone"),
            pytest.param(("run_*.json",), "run_*.json: cannot be read", id="a glob that the shell did not find"),
            pytest.param(("P", "--csv", "x", "--no-csv"), "--csv x and --no-csv say the opposite", id="csv and none"),
            pytest.param(("P", "--json", "run_1.json"), "written over run_1.json, which is read", id="over a part"),
            pytest.param(("P", "--json", "no/x.json"), "there is no folder no", id="no folder"),
            pytest.param(("P", "--no-images"), "--no-images is about the page", id="no page"),
            pytest.param(("P", "-j", "2"), "--workers is about pictures, and there are none", id="workers of nothing"),
            pytest.param(("P", "--require", "psnr >= 1"), "psnr was not scored in this run", id="column"),
            pytest.param(("P", "--require", "ssim drop <= 1"), "needs a baseline", id="baseline"),
            pytest.param(("P", "--threshold", "color=3"), "did you mean colour", id="threshold"),
            pytest.param(("P", "--log", "tensorbord:x"), "did you mean tensorboard", id="log"),
            pytest.param(("P", "--log-step", "3"), "--log-step", id="step of no log"),
        ],
    )
    def test_2(self, command: Command, parts: list[Path], words: Iterable[str], message: str) -> None:
        saved("x.csv", ssim=SSIM)
        found = command("merge", *(each for word in words for each in (parts if word == "P" else [word])))
        assert (found.code, found.out) == (2, "")
        assert message in found.err
        assert not Path("scores.csv").exists()


class TestElsewhere:
    """A part is not taken for a run in silence."""

    @pytest.mark.parametrize(
        "words",
        [
            ("gate", "run_1.json", "--require", "ssim >= 0.1"),
            ("gate", "run.json", "--require", "ssim drop <= 0.1", "--baseline", "run_1.json"),
            ("gate", "run_1.json", "--update-baseline", "--baseline", "new.json"),
            ("compare", "run.json", "run_1.json"),
            ("compare", "run_1.json", "run_2.json", "--force"),
        ],
        ids=" ".join,
    )
    def test_refused(self, command: Command, parts: list[Path], words: tuple[str, ...]) -> None:
        found = command(*words)
        assert (found.code, found.out) == (2, "")
        assert "run_1.json: is part 1 of 2 of a run, and a whole one is needed; put all 2 together" in found.err
        assert not Path("new.json").exists()

    @pytest.mark.parametrize(
        "words", [("--require", "ssim >= 0.1"), ("--junit", "x.xml"), ("--csv", "x.csv")], ids=" ".join
    )
    def test_report_judges_no_part(self, command: Command, parts: list[Path], words: tuple[str, ...]) -> None:
        found = command("report", "run_1.json", *words)
        assert (found.code, found.out) == (2, "")
        assert "run_1.json is part 1 of 2 of a run; rules, --csv, --junit and --log are for the whole" in found.err

    def test_a_part_that_is_reported_as_json_is_still_that_part(self, command: Command, parts: list[Path]) -> None:
        assert command("report", "run_1.json", "--json", "again.json").code == 0
        assert load(Path("again.json")) == load(parts[0])
        assert command("merge", "again.json", parts[1]).code == 0

    @pytest.mark.parametrize("name", ["gate", "compare", "calibrate", "report"])
    def test_there_is_no_shard(self, command: Command, name: str) -> None:
        found = command(name, "p", "t", "--shard", "1/2")
        assert (found.code, "No such option: --shard" in found.err) == (2, True)


@pytest.mark.parametrize("words", [("--csv", "-", "--json", "x.json"), ("--help",)], ids=" ".join)
def test_without_torch(command: Command, parts: list[Path], words: tuple[str, ...]) -> None:
    blocked = RUN_WITHOUT.replace(", 'pandas'", "") if words[0] == "--csv" else RUN_WITHOUT
    ran = subprocess.run([sys.executable, "-c", blocked, "merge", *parts, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout
