"""A whole run as a library: what a notebook sees."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.resources import files
from json import loads
from pathlib import Path

import jsonschema
import numpy as np
import PIL.Image
import pytest
import torch

from relight_eval import alignment, images
from relight_eval.decoding import Reading, Readings
from relight_eval.engines import local
from relight_eval.errors import NoWeightsError, PairingError, UsageError, WeightsError
from relight_eval.evaluate import evaluate, evaluate_runs
from relight_eval.metrics import METRICS, Batch, Metric, Settings, build, precision_on, vgg19
from relight_eval.metrics.masks import masked_scores
from relight_eval.pairs import Pair
from relight_eval.reports import json
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
    signature = evaluate(
        prediction, target, metrics=PIXELS, device="cpu", readings=Readings.of_all(Reading(alpha="drop"))
    ).signature
    assert signature["relight-eval"] == __version__
    assert signature["torch"] == torch.__version__
    assert signature["device"] == "cpu"
    assert signature["input"] == "srgb,alpha=drop,space=file,white=full"
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

        monkeypatch.setattr(local, "pick_device", torch.device)
        monkeypatch.setattr(local, "score", engine)
        monkeypatch.setattr(vgg19, "metric", lambda *_, half: built.append(half))
        settings = Settings(precision=asked_for, vgg19_weights=load(vgg19_checkpoint))
        results = evaluate(*two_folders(tmp_path, 1), metrics=["vgg19"], settings=settings, device=device)
        assert (results.signature["precision"], results.signature["device"]) == (signed, device)
        assert built == [half]
        assert not results.warnings

    def test_without_vgg19_all_is_exact(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "pick_device", torch.device)
        monkeypatch.setattr(local, "score", without_scores)
        results = evaluate(*two_folders(tmp_path, 1), metrics=["psnr"], device="cuda")
        assert results.signature["precision"] == "exact"

    @pytest.mark.parametrize("precision", ["", "half", "Fast"])
    def test_another_word_is_a_usage_error(self, precision: str) -> None:
        with pytest.raises(UsageError, match=f"unknown precision '{precision}'.*(exact|fast)"):
            Settings(precision=precision)


@pytest.mark.parametrize("again", [None, "im9"], ids=["twice", "unknown"])
def test_a_row_that_nobody_asked_for_is_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str | None
) -> None:
    def engine(pairs: list[Pair], *_: object) -> Iterator[Row]:
        first = next(without_scores(pairs))
        yield from (first, replace(first, name=again or first.name))

    monkeypatch.setattr(local, "score", engine)
    with pytest.raises(RuntimeError, match=rf"a row came twice, or was not asked for: {again or 'im0'}, "):
        evaluate(*two_folders(tmp_path, 3), metrics=["psnr"], device="cpu")


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

        def watched(path: Path, reading: Reading) -> images.Image:
            reads[str(path.relative_to(tmp_path))] += 1
            return read(path, reading)

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


# Inputs, masks, floors, aligned scores and regions

EVERYTHING = Settings(align="affine", regions=True)


def four_folders(root: Path, count: int = 3, **size: int) -> dict[str, Path]:
    """What `evaluate` wants: prediction/, target/, input/ and mask/ of im0, im1, …; a mask leaves a frame of 4 out."""
    prediction, target = two_folders(root, count, **size)
    for i in range(count):
        write(root / "input" / f"im{i}.png", picture(50 + i, **size))
        height, width = picture(0, **size).shape[:2]
        mask = np.zeros((height, width), np.uint8)
        mask[4:-4, 4:-4] = 1 + i
        write(root / "mask" / f"im{i}.png", mask)
    return {"prediction": prediction, "target": target, "input": root / "input", "mask": root / "mask"}


def by_hand(folders: dict[str, Path], name: str, *, mask: bool = True) -> Batch:
    """The batch of one pair, read here."""
    prediction, target, given = (
        images.read(folders[side] / f"{name}.png").pixels[None] for side in ("prediction", "target", "input")
    )
    inside = images.read_mask(folders["mask"] / f"{name}.png").inside[None]
    return Batch(prediction, target, input=given, mask=inside if mask else None)


def columns_of(metric: Metric, found: torch.Tensor) -> dict[str, float]:
    return {
        column.name: value
        for column, value in zip(metric.columns, found[0].double().tolist(), strict=True)
        if value == value
    }


class TestBeside:
    def test_masked_scores_are_those_of_the_metrics_inside_the_mask(
        self, tmp_path: Path, vgg19_checkpoint: Path
    ) -> None:
        folders = four_folders(tmp_path, 2, height=72, width=80)
        settings = Settings(vgg19_weights=load(vgg19_checkpoint))
        results = evaluate(**folders, settings=settings, device="cpu")
        built = build(METRICS, replace(settings, input=True), torch.device("cpu"))
        for row in results.rows:
            expected: dict[str, float] = {}
            for metric in built:
                expected |= columns_of(metric, masked_scores(metric, by_hand(folders, row.name)))
            assert row.status == "ok", row.error
            assert dict(row.scores) == pytest.approx(expected, abs=1e-6, rel=1e-6)
        whole = evaluate(**folders | {"mask": None}, settings=settings, device="cpu")  # type: ignore[arg-type]
        assert whole.rows[0].scores["psnr"] != results.rows[0].scores["psnr"]
        assert results.signature["mask"] == ">0,eroded by what a place sees"
        assert "mask" not in whole.signature

    def test_masks_that_leave_nothing_out_change_nothing(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        folders = four_folders(tmp_path, 2)
        for i in range(2):
            write(folders["mask"] / f"im{i}.png", np.full((40, 48), 255, np.uint8))
        settings = replace(EVERYTHING, vgg19_weights=load(vgg19_checkpoint))
        plain, masked = (
            evaluate(**folders | {"mask": mask}, settings=settings, floors=True, device="cpu")  # type: ignore[arg-type]
            for mask in (None, folders["mask"])
        )
        for one, other in zip(plain.rows, masked.rows, strict=True):
            assert one.status == other.status == "ok"
            # (the mean of LPIPS inside a mask is that of the map as large as the image)
            assert dict(other.scores) == pytest.approx(dict(one.scores), abs=1e-4, rel=1e-5)
            for floor, scores in one.floors.items():
                assert dict(other.floors[floor]) == pytest.approx(dict(scores), abs=1e-3, rel=1e-5)

    def test_what_lies_outside_has_no_say_in_scores_diagnosis_floors_alignment_and_regions(
        self, tmp_path: Path
    ) -> None:
        folders = four_folders(tmp_path, 1, height=72, width=80)
        names = ["charbonnier", "wssim", "psnr", "ssim", "diagnosis"]
        run = partial(evaluate, metrics=names, settings=EVERYTHING, floors=True, device="cpu")
        (before,) = run(**folders).rows
        outside = images.read_mask(folders["mask"] / "im0.png").inside.logical_not().numpy()
        for i, side in enumerate(("prediction", "target", "input")):
            pixels = np.asarray(PIL.Image.open(folders[side] / "im0.png")).copy()
            pixels[outside] = np.random.default_rng(i).integers(0, 256, (int(outside.sum()), 3))
            write(folders[side] / "im0.png", pixels)
        (after,) = run(**folders).rows
        assert dict(after.scores) == pytest.approx(dict(before.scores), abs=1e-9, rel=1e-9)
        assert after.floors.keys() == before.floors.keys() == {"black", "mean colour", "input"}
        for floor in before.floors:
            assert dict(after.floors[floor]) == pytest.approx(dict(before.floors[floor]), abs=1e-9, rel=1e-9)

    @pytest.mark.parametrize("kind", ["input", "mask"])
    def test_a_missing_one_is_an_error_row_that_says_where_it_was_looked_for(self, tmp_path: Path, kind: str) -> None:
        folders = four_folders(tmp_path)
        (folders[kind] / "im1.png").unlink()
        found = evaluate(**folders, metrics=PIXELS, floors=True, device="cpu")
        assert [row.status for row in found.rows] == ["ok", "error", "ok"]
        row = found.rows[1]
        assert row.error == f"no {kind} of this name (looked in {folders[kind]}/)"
        assert bool(row.scores) == (kind == "input")
        assert list(row.floors) == (["black", "mean colour"] if kind == "input" else [])
        assert (bool(row.input), bool(row.mask)) == (kind != "input", kind != "mask")
        assert (found.rows[0].input, found.rows[0].mask) == tuple(
            str(folders[kind] / "im0.png") for kind in ("input", "mask")
        )

    @pytest.mark.parametrize(
        ("kind", "spoil", "said"),
        [
            pytest.param("mask", lambda path: write(path, np.ones((40, 47), np.uint8)), "is 47x40 but", id="mask size"),
            pytest.param("input", lambda path: write(path, picture(1, 20, 20)), "is 20x20 but", id="input size"),
            pytest.param("mask", lambda path: path.write_bytes(b"no image"), "not an image", id="mask unreadable"),
            pytest.param("input", lambda path: path.write_bytes(b""), "the file is empty", id="input unreadable"),
            pytest.param(
                "mask",
                lambda path: write(path, np.zeros((40, 48), np.uint8)),
                "the mask is empty, no pixel of it is more than 0; there is nothing to score.",
                id="mask empty",
            ),
        ],
    )
    def test_one_that_does_not_fit_is_an_error_row(
        self, tmp_path: Path, kind: str, spoil: Callable[[Path], object], said: str
    ) -> None:
        folders = four_folders(tmp_path)
        spoil(folders[kind] / "im2.png")
        found = evaluate(**folders, metrics=PIXELS, floors=True, device="cpu")
        assert [row.status for row in found.rows] == ["ok", "ok", "error"]
        before = "input: " if kind == "input" else ""
        assert found.rows[2].error.startswith(f"{before}{folders[kind] / 'im2.png'}")
        assert said in found.rows[2].error
        assert bool(found.rows[2].scores) == (kind == "input")

    def test_a_pair_without_an_input_has_all_scores_but_those_of_the_input(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path)
        whole = evaluate(**folders, metrics=["psnr", "diagnosis"], device="cpu").rows
        (folders["input"] / "im1.png").unlink()
        found = evaluate(**folders, metrics=["psnr", "diagnosis"], device="cpu").rows
        assert [dict(row.scores) for row in (found[0], found[2])] == [dict(row.scores) for row in (whole[0], whole[2])]
        left = {name: score for name, score in whole[1].scores.items() if name not in ("copy_ratio", "shadow_baked")}
        assert dict(found[1].scores) == left
        assert found[1].status == "error"

    def test_a_mask_too_small_for_a_metric_keeps_the_other_scores(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path)
        mask = np.zeros((40, 48), np.uint8)
        mask[20:28, 20:28] = 255
        write(folders["mask"] / "im1.png", mask)
        names = ["charbonnier", "psnr", "ssim", "diagnosis"]
        row = evaluate(**folders, metrics=names, device="cpu").rows[1]
        assert (row.status, row.error) == ("error", "ssim: the mask is too small, no window lies in it")
        assert {"charbonnier", "psnr", "ev_error"} <= row.scores.keys()
        assert "ssim" not in row.scores

    def test_an_alignment_that_erodes_a_mask_away_is_no_score_of_the_whole_image(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path)
        mask = np.zeros((40, 48), np.uint8)
        mask[20:24, 20:40] = 1  # 4 pixels high: a square of 5 leaves none
        write(folders["mask"] / "im1.png", mask)
        settings = Settings(align="stanford-orb")
        results = evaluate(**folders, metrics=["psnr"], settings=settings, device="cpu", batch_size=3)
        assert [row.status for row in results.rows] == ["ok", "error", "ok"]
        expected = "align_gain_r, align_gain_g, align_gain_b, psnr_aligned: the mask is too small, no window lies in it"
        assert results.rows[1].error == expected
        assert set(results.rows[1].scores) == {"psnr"}
        assert {"psnr_aligned", "align_gain_r"} <= results.rows[0].scores.keys()

    def test_of_runs_each_is_that_of_the_run_alone(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        """All that there is, for runs that lack different images."""
        folders = four_folders(tmp_path, 4, height=72, width=80)
        runs_of(tmp_path, 3, count=4, height=72, width=80)  # (the same targets)
        (folders["mask"] / "im1.png").unlink()
        (folders["input"] / "im3.png").write_bytes(b"no image")
        (tmp_path / "run1" / "im0.png").unlink()
        write(tmp_path / "run2" / "im2.png", picture(3, 20, 20))
        given = {
            **{"input": folders["input"], "mask": folders["mask"], "floors": True, "device": "cpu"},
            "settings": replace(EVERYTHING, vgg19_weights=load(vgg19_checkpoint)),
        }
        runs = {name: tmp_path / name for name in ("run0", "run1", "run2")}
        together = evaluate_runs(runs, folders["target"], **given)  # type: ignore[arg-type]
        for label, folder in runs.items():
            alone = evaluate(folder, folders["target"], batch_size=1, workers=1, **given)  # type: ignore[arg-type]
            found = together[label]
            assert replace(found, rows=(), seconds=0.0) == replace(alone, rows=(), seconds=0.0)
            for row, of_alone in zip(found.rows, alone.rows, strict=True):
                assert replace(row, scores={}, floors={}) == replace(of_alone, scores={}, floors={})
                assert dict(row.scores) == pytest.approx(dict(of_alone.scores), abs=1e-6, rel=1e-6)
                assert row.floors.keys() == of_alone.floors.keys()
                for floor, scores in row.floors.items():
                    assert dict(scores) == pytest.approx(dict(of_alone.floors[floor]), abs=1e-6, rel=1e-6)
        assert [row.error.partition(" (")[0] for row in together["run2"].rows][:2] == ["", "no mask of this name"]

    def test_glob_is_not_for_these_folders(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path)
        for path in list(folders["mask"].iterdir()):
            path.rename(path.with_suffix(".tif") if path.stem == "im1" else path)
        found = evaluate(**folders, metrics=PIXELS, glob="*1.png", device="cpu")
        assert [(row.name, row.status, Path(row.mask).name) for row in found.rows] == [("im1", "ok", "im1.tif")]

    @pytest.mark.parametrize("kind", ["input", "mask"])
    def test_a_folder_that_is_not_there_is_said_before_weights_are_fetched_and_images_are_read(
        self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folders = four_folders(tmp_path) | {kind: tmp_path / "nowhere"}
        monkeypatch.setattr(evaluate_module, "_scored", None)
        monkeypatch.setattr(evaluate_module, "_with_weights", None)
        with pytest.raises(PairingError, match="nowhere: no such folder"):
            evaluate(**folders, device="cpu")

    def test_files_have_a_file_beside_them(self, tmp_path: Path) -> None:
        folders = {side: folder / "im0.png" for side, folder in four_folders(tmp_path, 1).items()}
        (row,) = evaluate(**folders, metrics=PIXELS, floors=True, device="cpu").rows
        assert (row.status, row.input, row.mask) == ("ok", str(folders["input"]), str(folders["mask"]))
        assert row.floors.keys() == {"black", "mean colour", "input"}

    def test_the_input_adds_its_columns_to_the_diagnosis(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path, 1)
        del folders["mask"]
        (row,) = evaluate(**folders, metrics=["diagnosis"], device="cpu").rows
        target = by_hand(folders | {"mask": tmp_path / "mask"}, "im0").target.double()
        prediction, given = (images.read(folders[side] / "im0.png").pixels for side in ("prediction", "input"))
        error = [float((each.double() - target[0]).square().mean().sqrt()) for each in (prediction, given)]
        assert row.scores["copy_ratio"] == pytest.approx(error[0] / error[1], rel=1)  # in linear light
        without = evaluate(folders["prediction"], folders["target"], metrics=["diagnosis"], device="cpu")
        assert "copy_ratio" not in without.rows[0].scores


class TestFloors:
    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    def test_they_are_the_scores_of_such_images_on_disk(
        self, tmp_path: Path, vgg19_checkpoint: Path, masked: bool
    ) -> None:
        folders = four_folders(tmp_path)
        given: dict[str, object] = {"device": "cpu", "vgg19_weights": vgg19_checkpoint}
        if masked:
            given["mask"] = folders["mask"]
        results = evaluate(folders["prediction"], folders["target"], input=folders["input"], floors=True, **given)  # type: ignore[arg-type]
        for i in range(3):
            target = picture(i)
            inside = np.asarray(PIL.Image.open(folders["mask"] / f"im{i}.png")) > 0
            mean = np.round(target[inside if masked else np.ones_like(inside)].mean(axis=0)).astype(np.uint8)
            write(tmp_path / "black" / f"im{i}.png", np.zeros_like(target))
            write(tmp_path / "mean colour" / f"im{i}.png", np.broadcast_to(mean, target.shape))
        main = [column.name for column in results.columns if column.main]
        for floor in ("black", "mean colour", "input"):
            real = evaluate(tmp_path / floor, folders["target"], **given)  # type: ignore[arg-type]
            for row, made in zip(real.rows, results.rows, strict=True):
                expected = {name: row.scores[name] for name in main if name in row.scores}
                assert dict(made.floors[floor]) == pytest.approx(expected, abs=1e-6, rel=1e-6)
                assert made.floors[floor].keys() == expected.keys()

    def test_they_change_nothing_else(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path)
        without, beside = (evaluate(**folders, metrics=PIXELS, floors=floors, device="cpu") for floors in (False, True))
        assert all(row.floors == {} for row in without.rows)
        assert [replace(row, floors={}) for row in beside.rows] == list(without.rows)
        assert beside.signature == without.signature
        assert beside.warnings == without.warnings

    def test_without_an_input_there_are_two(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 1)
        (row,) = evaluate(prediction, target, metrics=PIXELS, floors=True, device="cpu").rows
        assert list(row.floors) == ["black", "mean colour"]

    def test_an_input_that_is_the_prediction_or_the_target(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 2)
        for row in evaluate(prediction, target, input=prediction, metrics=PIXELS, floors=True, device="cpu").rows:
            assert row.floors["input"] == {name: row.scores[name] for name in PIXELS}
        for row in evaluate(prediction, target, input=target, metrics=PIXELS, floors=True, device="cpu").rows:
            assert row.floors["input"] == {"charbonnier": 0.001, "psnr": float("inf")}

    def test_where_no_pair_can_be_scored(self, tmp_path: Path) -> None:
        prediction, target = two_folders(tmp_path, 2)
        for path in prediction.iterdir():
            path.write_bytes(b"no image")
        results = evaluate(prediction, target, metrics=PIXELS, floors=True, device="cpu")
        assert not results.scored
        assert len(results.errors) == 2

    def test_a_file_that_is_called_like_a_floor(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prediction, target = two_folders(tmp_path, 1)
        monkeypatch.chdir(tmp_path)
        for name in (":black", "black"):
            Path(name).write_bytes((prediction / "im0.png").read_bytes())
            (row,) = evaluate(name, target / "im0.png", metrics=PIXELS, floors=True, device="cpu").rows
            assert row.status == "ok"
            assert row.scores["psnr"] > row.floors["black"]["psnr"]

    def test_of_several_runs_they_are_scored_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        runs_of(tmp_path, 3, count=2)
        calls: list[tuple[str, int, int]] = []
        found = evaluate_runs(
            {f"run{k}": tmp_path / f"run{k}" for k in range(3)},
            tmp_path / "target",
            metrics=PIXELS,
            floors=True,
            device="cpu",
            progress=lambda *call: calls.append(call),
        )
        assert calls[-1] == ("pairs", 2 * (3 + 2), 2 * (3 + 2))
        assert len({str(dict(run.rows[0].floors)) for run in found.values()}) == 1


class TestAligned:
    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("kind", alignment.ALIGNMENTS)
    def test_scores_are_those_of_the_aligned_prediction(self, tmp_path: Path, kind: str, masked: bool) -> None:
        folders = four_folders(tmp_path, 2)
        names = ["charbonnier", "psnr", "ssim", "lpips", "mps"]
        results = evaluate(
            folders["prediction"], folders["target"], mask=folders["mask"] if masked else None,
            metrics=names, settings=Settings(align=kind), device="cpu", batch_size=2,
        )  # fmt: skip
        for row in results.rows:
            batch = by_hand(folders, row.name, mask=masked)
            found = alignment.align(kind, batch.prediction, batch.target, batch.mask)
            for metric in build(names, Settings(), torch.device("cpu")):
                aligned = Batch(found.prediction, found.target, mask=found.mask)
                expected = columns_of(metric, masked_scores(metric, aligned))[metric.name]
                assert row.scores[f"{metric.name}_aligned"] == pytest.approx(expected, abs=1e-6, rel=1e-6)
            for fitted in ("gain", "offset"):
                for channel, value in zip("rgb", getattr(found, fitted)[0].tolist(), strict=True):
                    unfitted = {"gain": 1.0, "offset": 0.0}[fitted]
                    got = row.scores.get(f"align_{fitted}_{channel}", unfitted)
                    assert got == pytest.approx(value, abs=1e-9, rel=1e-9)
        assert results.signature["align"] == alignment.protocol(kind)

    def test_raw_scores_stay_what_they_are(self, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        prediction, target = two_folders(tmp_path, 2)
        given = {"device": "cpu", "vgg19_weights": vgg19_checkpoint}
        plain = evaluate(prediction, target, **given)  # type: ignore[arg-type]
        more = evaluate(prediction, target, settings=EVERYTHING, **given)  # type: ignore[arg-type]
        for row, other in zip(plain.rows, more.rows, strict=True):
            assert dict(row.scores) == pytest.approx({name: other.scores[name] for name in row.scores}, abs=1e-6)
        assert [column.name for column in plain.columns] == [c.name for c in more.columns][: len(plain.columns)]
        assert {"align", "regions"} == more.signature.keys() - plain.signature.keys()

    def test_a_black_prediction_has_aligned_scores_too(self, tmp_path: Path) -> None:
        write(tmp_path / "p" / "a.png", np.zeros((40, 48, 3), np.uint8))
        write(tmp_path / "t" / "a.png", picture(1))
        for kind in alignment.ALIGNMENTS:
            settings = Settings(align=kind)
            (row,) = evaluate(tmp_path / "p", tmp_path / "t", metrics=PIXELS, settings=settings, device="cpu").rows
            assert row.status == "ok", (kind, row.error)


class TestRegions:
    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    def test_scores_of_pixels_are_those_of_the_region(self, tmp_path: Path, masked: bool) -> None:
        """By NumPy, from the definition."""
        folders = four_folders(tmp_path, 2)
        results = evaluate(
            folders["prediction"], folders["target"], mask=folders["mask"] if masked else None,
            metrics=["charbonnier", "psnr"], settings=Settings(regions=True), device="cpu",
        )  # fmt: skip
        for row in results.rows:
            prediction, target = (np.asarray(PIL.Image.open(p), np.float64) / 255 for p in (row.prediction, row.target))
            linear = np.where(target <= 0.04045, target / 12.92, ((target + 0.055) / 1.055) ** 2.4)
            light = linear @ (0.2126, 0.7152, 0.0722)
            mask = np.asarray(PIL.Image.open(folders["mask"] / f"{row.name}.png")) > 0
            inside = mask if masked else np.ones_like(mask)
            mean = light[inside].mean()
            shadows, highlights = light < mean / 4, light > 2 * mean
            regions = {"shadows": shadows, "highlights": highlights, "midtones": ~(shadows | highlights)}
            for name, region in regions.items():
                region = region & inside
                if not region.any():
                    assert f"psnr_{name}" not in row.scores
                    continue
                error = (prediction - target)[region]
                assert row.scores[f"psnr_{name}"] == pytest.approx(-10 * np.log10((error**2).mean()), abs=1e-4)
                assert row.scores[f"charbonnier_{name}"] == pytest.approx(np.sqrt(error**2 + 1e-6).mean(), abs=1e-6)

    def test_an_image_without_a_region_is_still_ok(self, tmp_path: Path) -> None:
        write(tmp_path / "p" / "a.png", picture(1) // 8 + 100)
        write(tmp_path / "t" / "a.png", picture(2) // 8 + 100)
        settings = Settings(regions=True)
        (row,) = evaluate(tmp_path / "p", tmp_path / "t", metrics=["psnr"], settings=settings, device="cpu").rows
        assert row.status == "ok"
        assert set(row.scores) == {"psnr", "psnr_midtones"}
        assert row.scores["psnr_midtones"] == pytest.approx(row.scores["psnr"])


class TestMistakes:
    def mistakes(self, tmp_path: Path, **given: Path) -> dict[str, tuple[str, ...]]:
        results = evaluate(tmp_path / "prediction", tmp_path / "target", metrics=PIXELS, device="cpu", **given)  # type: ignore[arg-type]
        return {row.name: row.mistakes for row in results.rows}

    def test_images_that_are_equal_or_of_one_colour(self, tmp_path: Path) -> None:
        folders = four_folders(tmp_path, 6)
        flat = np.full((40, 48, 3), 90, np.uint8)
        write(folders["prediction"] / "im1.png", picture(1))
        write(folders["input"] / "im2.png", np.asarray(PIL.Image.open(folders["prediction"] / "im2.png")))
        write(folders["input"] / "im3.png", picture(3))
        write(folders["prediction"] / "im4.png", flat)
        write(folders["target"] / "im5.png", flat)
        assert self.mistakes(tmp_path, input=folders["input"]) == {
            "im0": (),
            "im1": ("the prediction equals the target",),
            "im2": ("the prediction equals the input",),
            "im3": ("the target equals the input",),
            "im4": ("the prediction has one colour only",),
            "im5": ("the target has one colour only",),
        }
        assert self.mistakes(tmp_path)["im2"] == ()

    def test_one_file_under_several_names(self, tmp_path: Path) -> None:
        two_folders(tmp_path, 5)
        same = (tmp_path / "prediction" / "im0.png").read_bytes()
        for name in ("im2", "im4"):
            (tmp_path / "prediction" / f"{name}.png").write_bytes(same)
        found = self.mistakes(tmp_path)
        assert found["im1"] == found["im3"] == ()
        assert found["im0"] == ("the prediction is the same file as that of im2 and 1 more",)
        assert found["im2"] == ("the prediction is the same file as that of im0 and 1 more",)

    def test_files_of_one_size_that_differ_are_no_twins(self, tmp_path: Path) -> None:
        for i in range(3):
            for side, seed in (("prediction", i), ("target", 10 + i)):
                path = tmp_path / side / f"im{i}.bmp"
                write(path, picture(seed))
        assert set(self.mistakes(tmp_path).values()) == {()}

    def test_a_prediction_that_is_gone_is_no_twin(self, tmp_path: Path) -> None:
        two_folders(tmp_path, 3)
        (tmp_path / "prediction" / "im1.png").unlink()
        (tmp_path / "prediction" / "im1.png").symlink_to("nowhere")
        assert self.mistakes(tmp_path)["im1"] == ()

    @pytest.mark.parametrize(
        ("prediction", "target", "swapped"),
        [
            ("gt", "predictions", True),
            ("GT", "Output", True),
            ("ground_truth", "results-v2", True),
            ("test_targets", "pred", True),
            ("predictions", "gt", False),
            ("gt", "gt2", False),
            ("target", "relit", False),
            ("targetted", "output", False),
            ("out", "pred", False),
        ],
    )
    def test_folders_that_look_swapped(self, tmp_path: Path, prediction: str, target: str, swapped: bool) -> None:
        for folder, seed in ((prediction, 1), (target, 2)):
            write(tmp_path / folder / "a.png", picture(seed))
        warnings = evaluate(tmp_path / prediction, tmp_path / target, metrics=PIXELS, device="cpu").warnings
        assert len(warnings) == swapped
        if swapped:
            assert warnings[0] == (
                f"{tmp_path / prediction} was given as prediction and {tmp_path / target} as target: are they swapped? "
                "the prediction comes first"
            )

    def test_folders_that_look_swapped_from_inside_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder, seed in (("gt", 1), ("pred", 2)):
            write(tmp_path / folder / "a.png", picture(seed))
        monkeypatch.chdir(tmp_path / "gt")
        (warning,) = evaluate(".", "../pred", metrics=PIXELS, device="cpu").warnings
        assert "are they swapped?" in warning


def test_one_pixel_with_everything(tmp_path: Path) -> None:
    for i, side in enumerate(("prediction", "target", "input", "mask")):
        write(tmp_path / side / "a.png", np.full((1, 1, 3), 60 * i + 9, np.uint8))
    folders = {side: tmp_path / side for side in ("prediction", "target", "input", "mask")}
    results = evaluate(**folders, settings=EVERYTHING, floors=True, device="cpu", offline=True)
    (row,) = results.rows
    assert row.status == "error"
    assert "diagnosis (needs 4x4)" in row.error
    assert {"charbonnier", "psnr", "psnr_aligned"} <= row.scores.keys()
    assert {"psnr", "charbonnier"} <= row.floors["black"].keys()


def test_all_of_it_comes_back_from_json(tmp_path: Path) -> None:
    folders = four_folders(tmp_path, 3)
    (folders["mask"] / "im1.png").unlink()
    write(folders["prediction"] / "im2.png", picture(2))
    results = evaluate(**folders, settings=EVERYTHING, floors=True, device="cpu", offline=True)
    assert any(row.mistakes for row in results.rows)
    text = json.render(results)
    jsonschema.validate(loads(text), loads((files("relight_eval.reports") / "results.schema.json").read_text()))
    again = json.parse(text, "x")
    assert replace(again, seconds=0.0) == replace(results, seconds=0.0, ignored=0)


@pytest.mark.parametrize("batch_size", [1, 3, None])
def test_odd_numbers_of_pairs_and_floors(tmp_path: Path, batch_size: int | None) -> None:
    """Floors make batches of other compositions; nothing may mix."""
    folders = four_folders(tmp_path, 5)
    run = partial(evaluate, **folders, metrics=[*PIXELS, "ssim", "diagnosis"], settings=EVERYTHING, device="cpu")
    expected = run(batch_size=2)
    found = run(floors=True, batch_size=batch_size, workers=3)
    for row, other in zip(found.rows, expected.rows, strict=True):
        assert dict(row.scores) == pytest.approx(dict(other.scores), abs=1e-9, rel=1e-9)


def test_a_run_that_is_the_input_is_no_floor_of_the_others_unless_floors_are_asked_for(tmp_path: Path) -> None:
    folders = four_folders(tmp_path)
    runs = {"model": folders["prediction"], "copy": folders["input"]}
    for floors in (False, True):
        found = evaluate_runs(
            runs, folders["target"], input=folders["input"], metrics=["psnr"], floors=floors, device="cpu"
        )
        assert {len(row.floors) for run in found.values() for row in run.rows} == {3 * floors}
