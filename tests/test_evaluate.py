"""A whole run as a library: what a notebook sees."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from relight_eval import images
from relight_eval.engines import ENGINES
from relight_eval.errors import NoWeightsError, PairingError, UsageError, WeightsError
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.metrics import METRICS, Settings, build, precision_on, vgg19
from relight_eval.pairs import Pair
from relight_eval.results import Results, Row
from relight_eval.weights import load
from tests.engines.fakes import greedy, use
from tests.folders import picture, runs_of, two_folders, write

pytestmark = pytest.mark.usefixtures("empty_home")

evaluate_module = importlib.import_module("relight_eval.evaluate")

PIXELS = ["charbonnier", "psnr"]


def without_scores(pairs: list[Pair], *_: object) -> Iterator[Row]:
    """An engine that does no work."""
    return (Row(pair.name, str(pair.prediction), str(pair.target)) for pair in pairs)


def test_three_lines_in_a_notebook(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 3)
    results = evaluate(str(prediction), str(target), metrics=["charbonnier", "wssim"], device="cpu")
    frame = results.to_frame()
    assert list(frame["image"]) == ["im0", "im1", "im2"]
    assert frame["wssim"].is_monotonic_decreasing
    assert frame["charbonnier"].is_monotonic_increasing
    assert not results.warnings
    assert results.seconds > 0


def test_rows_of_every_kind_stand_in_natural_order(tmp_path: Path) -> None:
    two_folders(tmp_path, 3)
    write(tmp_path / "prediction" / "im10.png", picture(1))
    write(tmp_path / "target" / "im9.png", picture(1))
    (tmp_path / "target" / "im1.png").write_bytes(b"")
    results = evaluate(tmp_path / "prediction", tmp_path / "target", metrics=PIXELS, device="cpu", batch_size=2)
    assert [(row.name, row.status) for row in results.rows] == [
        ("im0", "ok"),
        ("im1", "error"),
        ("im2", "ok"),
        ("im9", "missing_prediction"),
        ("im10", "missing_target"),
    ]
    (warning,) = results.warnings
    assert "im10" in warning
    assert "im9" in warning


def test_one_missing_and_one_extra_file_shift_nothing(tmp_path: Path) -> None:
    """Pairing by sorted index, the trap of other tools, would compare every image with its neighbour."""
    for i in range(6):
        for side in ("prediction", "target"):
            write(tmp_path / side / f"im{i}.png", picture(i))
    (tmp_path / "prediction" / "im0.png").unlink()
    write(tmp_path / "prediction" / "zz.png", picture(9))
    results = evaluate(tmp_path / "prediction", tmp_path / "target", metrics=PIXELS, device="cpu")
    assert set(results.values("charbonnier").values()) == {0.001}
    assert len(results.scored) == 5


def test_only_files_that_match_the_glob(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 3)
    results = evaluate(prediction, target, metrics=PIXELS, glob="*[12].png", device="cpu")
    assert [row.name for row in results.rows] == ["im1", "im2"]


def test_settings_reach_the_metrics_and_the_signature(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 1)
    settings = Settings(charbonnier_eps=0.1, wavelet="db2", wssim_levels=1, wssim_ratio=0.5)
    usual = evaluate(prediction, target, metrics=["charbonnier", "wssim"], device="cpu")
    other = evaluate(prediction, target, metrics=["charbonnier", "wssim"], settings=settings, device="cpu")
    assert other.rows[0].scores["charbonnier"] > usual.rows[0].scores["charbonnier"] + 0.05
    assert [column.name for column in other.columns] == [
        *("charbonnier", "wssim", "wssim_full", "wssim_hl1", "wssim_lh1", "wssim_hh1", "wssim_ll1")
    ]
    assert other.signature["charbonnier"] == "eps=0.1"
    assert other.signature["wssim"].startswith("ynet,db2,symmetric,levels=1,r=0.5,")
    assert usual.signature["wssim"].startswith("ynet,haar,levels=2,r=0.7,")


def test_signature_names_versions_device_and_input_rules(tmp_path: Path) -> None:
    from relight_eval import __version__

    prediction, target = two_folders(tmp_path, 1)
    signature = evaluate(prediction, target, metrics=PIXELS, device="cpu", alpha="drop").signature
    assert signature["relight-eval"] == __version__
    assert signature["torch"] == torch.__version__
    assert signature["device"] == "cpu"
    assert signature["input"] == "srgb,8bit,alpha=drop"
    assert signature["precision"] == "exact"
    assert {"charbonnier", "psnr"} <= set(signature)
    assert "wssim" not in signature


class TestPrecision:
    @pytest.mark.parametrize(
        ("device", "asked_for", "expected"),
        [
            *(("cuda", None, "fast"), ("cuda", "fast", "fast"), ("cuda", "exact", "exact")),
            *(("cpu", None, "exact"), ("cpu", "fast", "exact"), ("cpu", "exact", "exact")),
            *(("mps", None, "exact"), ("mps", "fast", "exact"), ("mps", "exact", "exact")),
        ],
    )
    def test_fast_is_for_cuda(self, device: str, asked_for: str | None, expected: str) -> None:
        assert precision_on(device, asked_for) == expected

    @pytest.mark.parametrize("precision", [None, "exact"])
    def test_scores_of_a_cpu_are_exact_and_that_is_no_news(self, tmp_path: Path, precision: str | None) -> None:
        folders = two_folders(tmp_path, 1)
        results = evaluate(*folders, metrics=PIXELS, settings=Settings(precision=precision), device="cpu")
        assert results.signature["precision"] == "exact"
        assert not results.warnings

    def test_fast_on_a_cpu_gives_exact_scores_and_a_warning(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        folders = two_folders(tmp_path, 1)
        exact, fast = (
            evaluate(
                *folders,
                metrics=["vgg19"],
                settings=Settings(precision=precision, vgg19_weights=load(vgg19_checkpoint)),
                device="cpu",
            )
            for precision in ("exact", "fast")
        )
        (warning,) = fast.warnings
        assert "precision fast is for CUDA" in warning
        assert "the scores are exact" in warning
        assert fast.signature == exact.signature
        assert fast.rows[0].scores == exact.rows[0].scores

    @pytest.mark.parametrize("device", ["cuda", "cuda:1"])
    @pytest.mark.parametrize(
        ("asked_for", "signed", "half"),
        [
            (None, "fast,vgg19=fp16,error<=1e-3", True),
            ("fast", "fast,vgg19=fp16,error<=1e-3", True),
            ("exact", "exact", False),
        ],
        ids=["default", "fast", "exact"],
    )
    def test_on_cuda_the_signature_says_how_vgg19_was_computed(
        self,
        tmp_path: Path,
        vgg19_checkpoint: Path,
        monkeypatch: pytest.MonkeyPatch,
        device: str,
        asked_for: str | None,
        signed: str,
        half: bool,
    ) -> None:
        """(Without a GPU: the engine only builds the metrics, and VGG19 only notes how it was asked for.)"""
        built: list[bool] = []

        def engine(pairs: list[Pair], metrics: list[str], settings: Settings, *_: object) -> Iterator[Row]:
            build(metrics, settings, torch.device(device))
            return without_scores(pairs)

        monkeypatch.setattr(evaluate_module, "pick_device", torch.device)
        monkeypatch.setitem(ENGINES, "local", engine)  # type: ignore[arg-type]
        monkeypatch.setattr(vgg19, "metric", lambda *_, half: built.append(half))
        settings = Settings(precision=asked_for, vgg19_weights=load(vgg19_checkpoint))
        results = evaluate(*two_folders(tmp_path, 1), metrics=["vgg19"], settings=settings, device=device)
        assert (results.signature["precision"], results.signature["device"]) == (signed, device)
        assert built == [half]
        assert not results.warnings

    def test_without_vgg19_all_is_exact(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evaluate_module, "pick_device", torch.device)
        monkeypatch.setitem(ENGINES, "local", without_scores)  # type: ignore[arg-type]
        results = evaluate(*two_folders(tmp_path, 1), metrics=["psnr"], device="cuda")
        assert results.signature["precision"] == "exact"

    @pytest.mark.parametrize("precision", ["", "half", "Fast"])
    def test_another_word_is_a_usage_error(self, precision: str) -> None:
        with pytest.raises(UsageError, match=f"unknown precision '{precision}'.*(exact|fast)"):
            Settings(precision=precision)


def test_what_the_engine_tells_is_a_warning_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, greedy(1))
    results = evaluate(*two_folders(tmp_path, 5), metrics=["psnr"], device="cpu", batch_size=2)
    assert results.warnings == ("the memory of cpu is short: went on with fewer pairs at once",)
    assert len(results.scored) == 5


def test_two_runs_at_once_give_the_scores_of_each(tmp_path: Path, vgg19_checkpoint: Path) -> None:
    weights = load(vgg19_checkpoint)
    runs = [
        (two_folders(tmp_path / "small", 5), Settings(vgg19_weights=weights)),
        (
            two_folders(tmp_path / "large", 5, height=120, width=100),
            Settings(charbonnier_eps=0.1, wavelet="db2", vgg19_preset="drn", vgg19_weights=weights),
        ),
    ]
    together = threading.Barrier(len(runs))

    def run(folders: tuple[Path, Path], settings: Settings, *, wait: bool) -> list[Row]:
        if wait:
            together.wait(10)
        return list(evaluate(*folders, settings=settings, device="cpu", batch_size=2, workers=2).rows)

    expected = [run(*each, wait=False) for each in runs]
    with ThreadPoolExecutor(len(runs)) as pool:
        found = [future.result() for future in [pool.submit(run, *each, wait=True) for each in runs]]
    for rows, rows_alone in zip(found, expected, strict=True):
        assert [(row.name, row.status) for row in rows] == [(f"im{i}", "ok") for i in range(5)]
        for row, alone in zip(rows, rows_alone, strict=True):
            assert dict(row.scores) == pytest.approx(dict(alone.scores), abs=1e-6)


class TestWeights:
    def test_none_to_be_had_leaves_the_columns_empty_and_says_so(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 2)
        results = evaluate(prediction, target, device="cpu", offline=True)
        (warning,) = results.warnings
        assert "vgg19 was left out" in warning
        assert "relight-eval weights fetch" in warning
        assert not results.values("vgg19")
        assert len(results.values("lpips")) == 2
        assert {row.status for row in results.rows} == {"ok"}
        assert "vgg19_relu3_1" in results.to_frame().columns
        assert results.signature["vgg19"].endswith("no-weights")

    def test_asked_for_by_name_is_an_error(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 1)
        with pytest.raises(NoWeightsError, match="no VGG19 weights"):
            evaluate(prediction, target, metrics=["vgg19"], device="cpu", offline=True)

    def test_a_named_file_that_is_broken_is_an_error_even_by_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prediction, target = two_folders(tmp_path, 1)
        (tmp_path / "w.pth").write_bytes(b"junk")
        with pytest.raises(WeightsError, match=r"w\.pth"):
            evaluate(prediction, target, device="cpu", offline=True, vgg19_weights=tmp_path / "w.pth")
        monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(tmp_path / "w.pth"))
        with pytest.raises(WeightsError, match=r"w\.pth.*RELIGHT_EVAL_VGG19"):
            evaluate(prediction, target, device="cpu", offline=True)

    def test_a_named_file_is_used_and_its_hash_is_in_the_signature(
        self, tmp_path: Path, vgg19_checkpoint: Path
    ) -> None:
        prediction, target = two_folders(tmp_path, 2)
        results = evaluate(prediction, target, metrics=["vgg19"], device="cpu", vgg19_weights=vgg19_checkpoint)
        assert len(results.values("vgg19_relu3_1")) == 2
        assert f"unofficial,weights={load(vgg19_checkpoint).sha256[:8]}" in results.signature["vgg19"]

    def test_the_preset_changes_the_score_and_the_signature(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        prediction, target = two_folders(tmp_path, 1)
        found = [
            evaluate(
                *(prediction, target),
                metrics=["vgg19"],
                settings=Settings(vgg19_preset=preset),
                vgg19_weights=vgg19_checkpoint,
                device="cpu",
            )
            for preset in ("s3net", "drn", "imagenet")
        ]
        assert len({results.rows[0].scores["vgg19"] for results in found}) == 3
        assert [results.signature["vgg19"].split(",")[0] for results in found] == ["s3net", "drn", "imagenet"]

    def test_weights_are_looked_for_only_when_vgg19_is_wanted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prediction, target = two_folders(tmp_path, 1)
        monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(tmp_path / "not there"))
        assert evaluate(prediction, target, metrics=PIXELS, device="cpu").scored


def test_progress_counts_every_pair_once(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 4)
    (prediction / "im2.png").write_bytes(b"")
    calls: list[tuple[str, int, int]] = []
    evaluate(prediction, target, metrics=PIXELS, device="cpu", progress=lambda *call: calls.append(call))
    assert calls == [("pairs", done, 4) for done in (0, 1, 2, 3, 4)]


class TestRuns:
    """Several runs against one target: each Results is that of the run alone."""

    def alone_and_together(
        self, predictions: dict[str, Path], target: Path, **options: object
    ) -> list[tuple[Results, Results]]:
        together = evaluate_runs(predictions, target, device="cpu", **options)  # type: ignore[arg-type]
        assert list(together) == list(predictions)
        alone = [evaluate(folder, target, device="cpu", **options) for folder in predictions.values()]  # type: ignore[arg-type]
        return list(zip(alone, together.values(), strict=True))

    def test_each_is_that_of_the_run_alone(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        """With files that are broken, of another size, or without a partner in some of them, and several sizes."""
        runs_of(tmp_path, 3, count=5)
        for name in ("target", "run0", "run1", "run2"):
            write(tmp_path / name / "wide.png", picture(len(name), 40, 99))
        (tmp_path / "run0" / "im1.png").write_bytes(b"no image")
        (tmp_path / "run1" / "im2.png").unlink()
        write(tmp_path / "run1" / "im3.png", picture(3, 20, 20))
        write(tmp_path / "run2" / "im10.png", picture(3))
        (tmp_path / "run2" / "notes.txt").touch()
        (tmp_path / "target" / "im4.png").write_bytes(b"")
        predictions = {f"run {k}": tmp_path / f"run{k}" for k in range(3)}
        pairs = self.alone_and_together(predictions, tmp_path / "target", vgg19_weights=vgg19_checkpoint)
        assert len({len(alone.errors) for alone, _ in pairs}) > 1
        for alone, together in pairs:
            assert replace(together, rows=(), seconds=0.0) == replace(alone, rows=(), seconds=0.0)
            for row, of_alone in zip(together.rows, alone.rows, strict=True):
                assert replace(row, scores={}) == replace(of_alone, scores={})
                assert dict(row.scores) == pytest.approx(dict(of_alone.scores), abs=1e-6, rel=0)

    def test_only_the_seconds_differ(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        runs_of(tmp_path, 2, count=3)
        predictions = {name: tmp_path / name for name in ("run0", "run1")}
        options = {"metrics": ["charbonnier", "wssim", "vgg19"], "vgg19_weights": vgg19_checkpoint, "batch_size": 1}
        for alone, together in self.alone_and_together(predictions, tmp_path / "target", **options):
            assert replace(together, seconds=0.0) == replace(alone, seconds=0.0)

    def test_every_target_is_read_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        runs_of(tmp_path, 4, count=6)
        (tmp_path / "run2" / "im3.png").unlink()
        reads: Counter[str] = Counter()
        read = images.read

        def watched(path: Path, *, alpha: images.Alpha) -> images.Image:
            reads[str(path.relative_to(tmp_path))] += 1
            return read(path, alpha=alpha)

        monkeypatch.setattr(images, "read", watched)
        predictions = {f"run{k}": tmp_path / f"run{k}" for k in range(4)}
        evaluate_runs(predictions, tmp_path / "target", metrics=PIXELS, device="cpu")
        assert len(reads) == 6 + 4 * 6 - 1
        assert set(reads.values()) == {1}

    def test_a_folder_given_twice_is_scored_once(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 3)
        calls: list[tuple[str, int, int]] = []
        first, other, second = evaluate_runs(
            {"a": prediction, "b": target, "c": f"{prediction}/"},
            target,
            metrics=PIXELS,
            device="cpu",
            progress=lambda *call: calls.append(call),
        ).values()
        assert first.rows == second.rows != other.rows
        assert second.prediction == f"{prediction}/"
        assert calls == [("pairs", done, 6) for done in range(7)]
        assert [bool(results.warnings) for results in (first, other, second)] == [False, True, False]

    def test_two_files_of_other_names_and_one_target(self, tmp_path: Path) -> None:
        files = [write(tmp_path / f"{name}.png", picture(i)) for i, name in enumerate(("b", "a", "truth"))]
        found = evaluate_runs({"1": files[0], "2": files[1]}, files[2], metrics=PIXELS, device="cpu")
        assert [[row.name for row in results.rows] for results in found.values()] == [["b"], ["a"]]

    def test_what_is_wrong_with_one_stops_all(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 1)
        (tmp_path / "empty").mkdir()
        with pytest.raises(PairingError, match="empty"):
            evaluate_runs({"a": prediction, "b": tmp_path / "empty"}, target, metrics=PIXELS, device="cpu")

    def test_no_run_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no run to score"):
            evaluate_runs({}, tmp_path)

    def test_both_have_the_same_options(self) -> None:
        one, several = (list(inspect.signature(each).parameters.values())[1:] for each in (evaluate, evaluate_runs))
        assert one == several


def test_the_words_are_checked_before_any_file_is_looked_at() -> None:
    with pytest.raises(UsageError, match="unknown metric 'wsim'; did you mean wssim"):
        evaluate("nowhere", "nowhere either", metrics=["psnr", "wsim"])
    with pytest.raises(UsageError, match="device 'gpu'"):
        evaluate("nowhere", "nowhere either", metrics=PIXELS, device="gpu")


def test_a_folder_against_itself_is_said(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 2)
    (warning,) = evaluate(target, target, metrics=PIXELS, device="cpu").warnings
    assert "one and the same" in warning
    assert not evaluate(prediction, target, metrics=PIXELS, device="cpu").warnings


def test_nothing_to_pair_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PairingError, match="empty"):
        evaluate(tmp_path / "empty", tmp_path / "empty", metrics=PIXELS, device="cpu")


def test_two_files_are_one_pair(tmp_path: Path) -> None:
    write(tmp_path / "out.png", picture(1))
    write(tmp_path / "truth.png", picture(1))
    (row,) = evaluate(tmp_path / "out.png", tmp_path / "truth.png", metrics=PIXELS, device="cpu").rows
    assert (row.name, row.scores["charbonnier"]) == ("out", 0.001)


def test_every_metric_is_scored_by_default(tmp_path: Path, vgg19_checkpoint: Path) -> None:
    prediction, target = two_folders(tmp_path, 1)
    results = evaluate(prediction, target, device="cpu", vgg19_weights=vgg19_checkpoint)
    assert set(results.rows[0].scores) == {column.name for column in results.columns}
    assert {column.metric for column in results.columns} == set(METRICS)
