"""`relight-eval calibrate`: the noise of a machine, and who reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from relight_eval.noise import load
from tests.cli.commands import Command
from tests.cli.saved import noise_file, saved
from tests.folders import two_folders

FAST = ("-m", "charbonnier,psnr", "--device", "cpu")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return two_folders(tmp_path, 4, height=32, width=32)


def test_writes_small_numbers_for_every_column(command: Command, folders: tuple[Path, Path]) -> None:
    found = command("calibrate", *folders, "-m", "charbonnier,ssim,lpips", "--device", "cpu")
    assert found.code == 0, found.err
    noise = load(Path("noise.json"))
    assert (noise.images, len(noise.runs), set(noise.columns)) == (4, 3, {"charbonnier", "ssim", "lpips"})
    assert all(0 <= margin < 1e-5 for margin in noise.margins.values())
    assert "Noise over 4 images and 3 settings" in " ".join(found.out.split())
    assert found.err.splitlines() == [
        "scoring with cpu, exact, batches of auto, auto workers",
        "scoring with cpu, exact, batches of 1, 1 workers",
        "scoring with cpu, exact, batches of 3, 2 workers",
        "wrote noise.json",
    ]
    assert max(map(len, found.out.splitlines())) <= 80


def test_measures_what_differs_between_the_settings(
    command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an engine that adds 0.25 to the PSNR of one image when it has one worker."""
    from dataclasses import replace
    from typing import Any

    from relight_eval.engines import Options, local

    steady = local.score

    def unsteady(pairs: Any, metrics: Any, settings: Any, options: Options, tell: Any) -> Any:
        for row in steady(pairs, metrics, settings, options, tell):
            more = 0.25 if (row.name, options.workers) == ("im2", 1) else 0.0
            yield replace(row, scores={**row.scores, "psnr": row.scores["psnr"] + more})

    monkeypatch.setattr(local, "score", unsteady)
    found = command("calibrate", *folders, *FAST)
    psnr = load(Path("noise.json")).columns["psnr"]
    assert psnr.noise == pytest.approx(0.25, abs=1e-4)
    assert (psnr.image, psnr.highest) == ("im2", "cpu, exact, batches of 1, 1 workers")
    assert "im2" in found.out


def test_beside_a_baseline_where_gate_and_compare_read_it(command: Command, folders: tuple[Path, Path]) -> None:
    command("score", *folders, *FAST, "--json", "main.json", "--no-csv")
    before = Path("main.json").read_bytes()
    found = command("calibrate", *folders, *FAST, "--baseline", "main.json", "-q")
    assert found == (0, "", "")
    assert sorted(os.listdir()) == ["main.json", "main.noise.json"]
    assert Path("main.json").read_bytes() == before
    document = json.loads(Path("main.noise.json").read_text())
    document["columns"]["psnr"]["noise"] = 0.125
    Path("main.noise.json").write_text(json.dumps(document))
    words = ("main.json", "--baseline", "main.json", "--require", "psnr drop <= 0.001")
    assert "margin 0.001 raised to the noise" in command("gate", *words).out
    compared = command("compare", "main.json", "again=main.json", "--json", "-")
    assert json.loads(compared.out)["tie"]["margins"]["psnr"] == 0.125


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_elsewhere(command: Command, folders: tuple[Path, Path], option: str) -> None:
    found = command("calibrate", *folders, *FAST, option, "other.json")
    assert (found.code, os.listdir()) == (0, ["other.json"])


def test_dash_gives_standard_output_to_the_data_alone(command: Command, folders: tuple[Path, Path]) -> None:
    found = command("calibrate", *folders, *FAST, "-o", "-")
    assert found.code == 0
    assert set(json.loads(found.out)["columns"]) == {"charbonnier", "psnr"}
    assert "Noise over 4 images" in found.err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--baseline", "main.json", "-o", "x.json"), "both say where to write", id="both"),
        pytest.param(("--baseline", ""), "name the file of a baseline", id="empty"),
        pytest.param(("-o", "no/x.json"), "no folder no", id="no folder"),
        pytest.param(("-o", ""), "is a folder", id="output is a folder"),
        pytest.param(("--baseline", "main.noise.json", "-o", "x"), "both say", id="again"),
        pytest.param(("-b", "3"), "No such option", id="batch sizes are its own"),
        pytest.param(("-j", "3"), "No such option", id="workers are its own"),
        pytest.param(("--device", "cuda:77"), "cuda:77", id="device"),
        pytest.param(("-m", "wsim"), "did you mean wssim", id="metric"),
    ],
)
def test_2_before_any_image_is_read(
    command: Command, folders: tuple[Path, Path], reads: list[Path], words: tuple[str, ...], message: str
) -> None:
    found = command("calibrate", *folders, *words)
    assert (found.code, found.out) == (2, "")
    assert message in " ".join(found.err.split()), found.err
    assert "Traceback" not in found.err
    assert reads == []
    assert os.listdir() == []


def test_what_is_left_out_is_said(command: Command, folders: tuple[Path, Path]) -> None:
    found = command("calibrate", *folders, "--device", "cpu", "--quiet")
    assert (found.code, found.out) == (0, "")
    assert found.err.startswith("WARNING  vgg19 was left out")
    assert found.err.count("vgg19 was left out") == 1


def test_3_not_all_could_be_scored(command: Command, folders: tuple[Path, Path]) -> None:
    (folders[0] / "im0.png").write_bytes(b"junk")
    (folders[0] / "im1.png").unlink()
    found = command("calibrate", *folders, *FAST)
    assert found.code == 3
    assert found.err.endswith("1 not scored in full; 1 file without partner\n")
    assert load(Path("noise.json")).images == 2


def test_2_nothing_could_be_scored_and_the_old_noise_stands(command: Command, folders: tuple[Path, Path]) -> None:
    old = noise_file("noise.json", psnr=0.125).read_bytes()
    for i in range(4):
        (folders[0] / f"im{i}.png").write_bytes(b"junk")
    found = command("calibrate", *folders, *FAST)
    assert (found.code, found.out) == (2, "")
    assert "no pair could be scored" in found.err
    assert Path("noise.json").read_bytes() == old


@pytest.mark.parametrize(
    ("words", "path"),
    [
        pytest.param((), "noise.json", id="default"),
        pytest.param(("-o", "other.json"), "other.json", id="output"),
        pytest.param(("--baseline", "main.json"), "main.noise.json", id="beside a baseline"),
    ],
)
class TestAnExistingFile:
    @pytest.mark.parametrize("content", ["notes", "{}", "[]", '{"kind": "noise", "format": 9}', " "], ids=repr)
    def test_that_is_no_noise_is_not_replaced(
        self,
        command: Command,
        folders: tuple[Path, Path],
        reads: list[Path],
        words: tuple[str, ...],
        path: str,
        content: str,
    ) -> None:
        Path(path).write_text(content)
        found = command("calibrate", *folders, *FAST, *words)
        assert (found.code, found.out) == (2, "")
        assert found.err.startswith(f"relight-eval: {path}: is not what `relight-eval calibrate` writes (")
        assert Path(path).read_text() == content
        assert os.listdir() == [path]
        assert reads == []

    @pytest.mark.parametrize("old", ["noise", "empty"])
    def test_that_is_noise_or_empty_is_replaced(
        self, command: Command, folders: tuple[Path, Path], words: tuple[str, ...], path: str, old: str
    ) -> None:
        noise_file(path, psnr=0.125) if old == "noise" else Path(path).touch()
        assert command("calibrate", *folders, *FAST, *words).code == 0
        assert (load(Path(path)).images, len(load(Path(path)).runs)) == (4, 3)


def test_saved_results_are_not_replaced(command: Command, folders: tuple[Path, Path], reads: list[Path]) -> None:
    before = saved("run.json", ssim=[0.9] * 8).read_bytes()
    found = command("calibrate", *folders, *FAST, "-o", "run.json")
    assert (found.code, reads) == (2, [])
    assert "run.json: is not what `relight-eval calibrate` writes" in found.err
    assert Path("run.json").read_bytes() == before


def test_130_interrupted(command: Command, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("relight_eval.pairs.find", interrupt)
    found = command("calibrate", *folders, *FAST)
    assert found.code == 130
    assert "interrupted; nothing was written" in found.err
    assert os.listdir() == []
