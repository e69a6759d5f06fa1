"""The torchmetrics wrappers: the means that `score` prints, on one process or two, whatever the batches are."""

from __future__ import annotations

import importlib
import json
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import DistributedSampler
from torchmetrics import MetricCollection, MetricTracker

from relight_eval.errors import ShapeError, UsageError, WeightsError
from relight_eval.evaluate import evaluate
from relight_eval.images import read
from relight_eval.metrics import METRICS
from relight_eval.results import Results
from relight_eval.torchmetrics import LPIPS, MPS, PSNR, SSIM, VGG19, WSSIM, Charbonnier, PairMetric
from tests.folders import picture, worse, write

COUNT, IDENTICAL = 7, 3  # pairs on disk, and which of them is of equal images
NAMES = [name for name in METRICS if name != "diagnosis"]  # of which a mean says little
PLAIN: dict[str, Callable[..., PairMetric]] = {
    "charbonnier": Charbonnier, "wssim": WSSIM, "psnr": PSNR, "ssim": SSIM, "lpips": LPIPS, "mps": MPS,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pairs of 32×36, one of them of equal images, in prediction/ and target/."""
    folder = tmp_path_factory.mktemp("pairs")
    for i in range(COUNT):
        target = picture(i, 32, 36)
        write(folder / "target" / f"{i}.png", target)
        write(folder / "prediction" / f"{i}.png", target if i == IDENTICAL else worse(target, 5 + 6 * i, seed=i))
    return folder


def images(folder: Path, which: Sequence[int] = range(COUNT)) -> tuple[Tensor, Tensor]:
    """(N, 3, 32, 36) uint8 of each side."""
    sides = [[read(folder / side / f"{i}.png").pixels for i in which] for side in ("prediction", "target")]
    return torch.stack(sides[0]), torch.stack(sides[1])


@pytest.fixture(scope="module")
def pairs(folder: Path) -> tuple[Tensor, Tensor]:
    """The pairs as floats in [0, 1]."""
    prediction, target = images(folder)
    return prediction / 255, target / 255


@pytest.fixture(scope="module")
def results(folder: Path, vgg19_checkpoint: Path) -> Results:
    return evaluate(
        folder / "prediction", folder / "target", metrics=NAMES, vgg19_weights=vgg19_checkpoint, workers=1, device="cpu"
    )


def made(name: str, checkpoint: Path, **settings: Any) -> PairMetric:
    return VGG19(checkpoint, **settings) if name == "vgg19" else PLAIN[name](**settings)


def everything(checkpoint: Path) -> MetricCollection:
    return MetricCollection({name: made(name, checkpoint) for name in NAMES})


def as_floats(computed: Tensor | dict[str, Tensor], name: str) -> dict[str, float]:
    """By column."""
    return {key: value.item() for key, value in (computed if isinstance(computed, dict) else {name: computed}).items()}


def means(results: Results, metric: str = "") -> dict[str, float]:
    columns = [column for column in results.columns if not metric or column.metric == metric]
    return {column.name: results.summary(column.name).mean for column in columns}


each_metric = pytest.mark.parametrize("name", NAMES)


class TestValues:
    @each_metric
    @pytest.mark.parametrize("stored", [False, True], ids=["float", "uint8"])
    def test_the_means_that_score_prints(
        self, name: str, stored: bool, folder: Path, results: Results, vgg19_checkpoint: Path
    ) -> None:
        metric = made(name, vgg19_checkpoint)
        prediction, target = images(folder)
        for batch in (slice(0, 4), slice(4, 5), slice(5, 7)):
            p, t = prediction[batch], target[batch]
            metric.update(*(p, t) if stored else (p / 255, t / 255))
        assert as_floats(metric.compute(), name) == pytest.approx(means(results, name), abs=1e-6)
        assert metric.count == COUNT

    def test_infinite_psnr_is_left_out_and_counted(self, pairs: tuple[Tensor, Tensor], results: Results) -> None:
        psnr = PSNR()
        psnr.update(*pairs)
        assert psnr.compute().item() == pytest.approx(results.summary("psnr").mean, abs=1e-6)
        assert (psnr.count, psnr.infinite) == (7, 1)
        psnr.reset()
        assert (psnr.count, psnr.infinite) == (0, 0)

    def test_of_identical_images_alone_there_is_no_mean_psnr(self, pairs: tuple[Tensor, Tensor]) -> None:
        psnr = PSNR()
        psnr.update(pairs[1], pairs[1])
        assert math.isnan(psnr.compute())
        assert (psnr.count, psnr.infinite) == (7, 7)

    @each_metric
    def test_what_is_nan_is_not_left_out(self, name: str, pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path) -> None:
        metric = made(name, vgg19_checkpoint, **({"parts": False} if name in ("wssim", "vgg19") else {}))
        prediction = pairs[0].clone()
        prediction[2, 0, 16, 16] = torch.nan
        metric.update(prediction, pairs[1])
        assert math.isnan(metric.compute())

    def test_an_infinite_error_is_not_left_out(self, pairs: tuple[Tensor, Tensor]) -> None:
        metric = Charbonnier()
        prediction = pairs[0].clone()
        prediction[2, 0, 16, 16] = torch.inf
        metric.update(prediction, pairs[1])
        assert metric.compute() == math.inf

    @each_metric
    def test_masked_as_score_does(self, name: str, tmp_path: Path, vgg19_checkpoint: Path) -> None:
        mask = torch.zeros(COUNT, 48, 64, dtype=torch.bool)
        mask[:, :, 8:] = True
        for i in range(COUNT):
            for side in ("prediction", "target"):
                pixels = picture(i, 48, 64) if side == "target" else worse(picture(i, 48, 64), 9, seed=i)
                write(tmp_path / side / f"{i}.png", pixels)
            write(tmp_path / "mask" / f"{i}.png", np.asarray(mask[i], dtype=np.uint8) * 255)
        found = evaluate(
            tmp_path / "prediction", tmp_path / "target", mask=tmp_path / "mask", metrics=name,
            vgg19_weights=vgg19_checkpoint, workers=1, device="cpu",
        )  # fmt: skip
        metric = made(name, vgg19_checkpoint)
        prediction, target = images(tmp_path)
        metric.update(prediction / 255, target / 255, mask=mask)
        assert as_floats(metric.compute(), name) == pytest.approx(means(found, name), abs=1e-6)

    def test_settings_reach_the_scores(self, pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path) -> None:
        plain, other = WSSIM(), WSSIM(wavelet="db2", levels=1, ratio=0.5)
        for metric in (plain, other):
            metric.update(*pairs)
        assert list(other.compute()) == ["wssim", *(f"wssim_{band}" for band in ("full", "hl1", "lh1", "hh1", "ll1"))]
        assert other.compute()["wssim_hl1"] != plain.compute()["wssim_hl1"]
        identical = Charbonnier(eps=0.1)
        identical.update(pairs[0], pairs[0])
        assert identical.compute().item() == pytest.approx(0.1)
        presets = [VGG19(vgg19_checkpoint, preset=preset, parts=False) for preset in ("s3net", "imagenet")]
        for metric in presets:
            metric.update(*pairs)
        assert presets[0].compute() != presets[1].compute()


class TestIndex:
    def test_a_repeated_pair_counts_once(self, pairs: tuple[Tensor, Tensor], results: Results) -> None:
        metric = SSIM()
        for which in ([0, 1, 2, 3], [4, 5, 6, 0], [1, 1]):
            metric.update(pairs[0][which], pairs[1][which], index=which)
        assert metric.compute().item() == pytest.approx(means(results, "ssim")["ssim"], abs=1e-6)
        assert metric.count == COUNT

    @pytest.mark.parametrize("kind", [list, torch.tensor, lambda of: torch.tensor(of, dtype=torch.int32)])
    def test_any_integers(self, kind: Callable[[list[int]], Any], pairs: tuple[Tensor, Tensor]) -> None:
        metric = PSNR()
        for _ in range(2):
            metric.update(*pairs, index=kind([10**9 + i for i in range(COUNT)]))
        metric.compute()
        assert metric.count == COUNT

    def test_without_one_all_count(self, pairs: tuple[Tensor, Tensor]) -> None:
        metric = Charbonnier()
        metric.update(*pairs)
        metric.update(*pairs)
        metric.update(*pairs, index=range(COUNT))
        metric.update(*pairs, index=range(COUNT))
        metric.compute()
        assert metric.count == 3 * COUNT

    @pytest.mark.parametrize(
        "index", [[0, 1], [0.0] * 7, [-1] * 7, torch.zeros(7, 1, dtype=torch.int64)], ids=["few", "float", "less", "2d"]
    )
    def test_what_is_none(self, index: Any, pairs: tuple[Tensor, Tensor]) -> None:
        with pytest.raises(ShapeError, match=r"the index is \((2|7|7, 1),?\) torch.*; it must be 7 integers from 0"):
            PSNR().update(*pairs, index=index)


class TestAsTorchmetrics:
    @each_metric
    def test_which_way_is_up(self, name: str, vgg19_checkpoint: Path) -> None:
        metric = made(name, vgg19_checkpoint)
        assert metric.higher_is_better == (metric.columns[0].better == "higher")
        assert not metric.is_differentiable

    def test_nothing_flows_back_and_no_graph_is_kept(self, pairs: tuple[Tensor, Tensor]) -> None:
        metric = Charbonnier()
        value = metric(pairs[0].clone().requires_grad_(), pairs[1])
        assert not value.requires_grad
        assert not any(state.requires_grad for state in metric._copy_state_dict()[metric._scores])

    @each_metric
    def test_forward_is_the_batch_and_counts(
        self, name: str, pairs: tuple[Tensor, Tensor], results: Results, vgg19_checkpoint: Path
    ) -> None:
        metric = made(name, vgg19_checkpoint)
        for which in (slice(0, 2), slice(2, 7)):
            alone = made(name, vgg19_checkpoint)
            alone.update(pairs[0][which], pairs[1][which])
            assert as_floats(metric(pairs[0][which], pairs[1][which]), name) == as_floats(alone.compute(), name)
        assert as_floats(metric.compute(), name) == pytest.approx(means(results, name), abs=1e-6)

    def test_a_collection(self, pairs: tuple[Tensor, Tensor], results: Results, vgg19_checkpoint: Path) -> None:
        """Scalars under their names, those of parts under the names of the columns; twice, as it learns from once."""
        collection = everything(vgg19_checkpoint)
        for which in (slice(0, 2), slice(2, 7)):
            collection.update(pairs[0][which], pairs[1][which], index=range(COUNT)[which])
        found = {name: value.item() for name, value in collection.compute().items()}
        assert found == pytest.approx(means(results), abs=1e-6)
        collection.reset()
        batch = collection(*pairs)
        assert {name: value.item() for name, value in batch.items()} == pytest.approx(means(results), abs=1e-6)

    def test_a_collection_of_scalars(self, pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path) -> None:
        collection = MetricCollection([PSNR(), WSSIM(parts=False), VGG19(vgg19_checkpoint, parts=False)])
        assert list(collection(*pairs)) == ["PSNR", "WSSIM", "VGG19"]

    def test_identical_images_first_do_not_make_two_metrics_one(self, pairs: tuple[Tensor, Tensor]) -> None:
        """A collection shares the states of metrics that are alike after the first batch; all of these are 1 there."""
        members = {"ssim": SSIM(), "mps": MPS(), "other": WSSIM(ratio=0.5, parts=False), "wssim": WSSIM(parts=False)}
        collection = MetricCollection(dict(members), compute_groups=True)
        collection.update(pairs[1], pairs[1])
        collection.update(*pairs)
        assert len(collection.compute_groups) == 4
        assert len(set(map(float, collection.compute().values()))) == 4

    def test_a_metric_with_parts_and_without_are_computed_once(self, pairs: tuple[Tensor, Tensor]) -> None:
        collection = MetricCollection({"score": WSSIM(parts=False), "parts": WSSIM()})
        collection.update(*pairs)
        collection.update(*pairs)
        assert list(collection.compute_groups.values()) == [["parts", "score"]]
        found = collection.compute()
        assert found["score"] == found["wssim"]

    def test_a_tracker_finds_the_best_step(self, pairs: tuple[Tensor, Tensor]) -> None:
        members = {"psnr": PSNR(), "lpips": LPIPS(), "wssim": WSSIM(parts=False)}
        tracker = MetricTracker(MetricCollection(dict(members)))
        prediction, target = pairs
        for share in (0.0, 0.6, 0.3):
            tracker.increment()
            tracker.update(prediction + share * (target - prediction), target)
        _, steps = tracker.best_metric(return_step=True)
        assert steps == dict.fromkeys(members, 1)

    def test_nothing_is_not_success(self) -> None:
        """torchmetrics warns; there is no number."""
        with pytest.warns(UserWarning, match="was called before the ``update`` method"):
            assert math.isnan(Charbonnier().compute())

    def test_reset(self, pairs: tuple[Tensor, Tensor]) -> None:
        metric, fresh = SSIM(), SSIM()
        metric.update(*pairs)
        metric.reset()
        for each in (metric, fresh):
            each.update(pairs[0][1:3], pairs[1][1:3])
        assert metric.compute() == fresh.compute()
        assert metric.count == 2

    @each_metric
    @pytest.mark.parametrize(
        "copied",
        [lambda metric: metric.clone(), lambda metric: pickle.loads(pickle.dumps(metric))],
        ids=["clone", "pickle"],
    )
    def test_copies_go_on(
        self, name: str, copied: Callable[[PairMetric], PairMetric], pairs: tuple[Tensor, Tensor],
        results: Results, vgg19_checkpoint: Path,
    ) -> None:  # fmt: skip
        metric = made(name, vgg19_checkpoint)
        metric.update(pairs[0][:3], pairs[1][:3])
        copy = copied(metric)
        copy.update(pairs[0][3:], pairs[1][3:])
        assert as_floats(copy.compute(), name) == pytest.approx(means(results, name), abs=1e-6)
        metric.compute()
        assert metric.count == 3

    def test_a_checkpoint_holds_the_scores_only_if_asked(self, pairs: tuple[Tensor, Tensor], tmp_path: Path) -> None:
        metric = WSSIM()
        metric.update(*pairs, index=range(COUNT))
        assert metric.state_dict() == {}
        metric.persistent(True)
        torch.save(metric.state_dict(), tmp_path / "state.pt")
        restored = WSSIM()
        restored.load_state_dict(torch.load(tmp_path / "state.pt"))
        restored.update(*pairs, index=range(COUNT))
        assert restored.compute() == metric.compute()
        with pytest.raises(RuntimeError, match="Unexpected key"):
            WSSIM(levels=1).load_state_dict(torch.load(tmp_path / "state.pt"))

    @each_metric
    def test_under_autocast_and_inference_mode_nothing_is_rounded(
        self, name: str, pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path
    ) -> None:
        metric, plain = made(name, vgg19_checkpoint), made(name, vgg19_checkpoint)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            metric.update(*pairs)
            inside = as_floats(metric.compute(), name)
        plain.update(*pairs)
        assert inside == as_floats(plain.compute(), name)
        metric.update(*pairs)  # and goes on outside
        assert as_floats(metric.compute(), name) == pytest.approx(inside, abs=1e-12)

    @each_metric
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
    def test_images_of_any_precision(
        self, name: str, dtype: torch.dtype, pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path
    ) -> None:
        metric, plain = made(name, vgg19_checkpoint), made(name, vgg19_checkpoint)
        rounded = [side[:2].to(dtype) for side in pairs]
        metric.update(*rounded)
        plain.update(*(side.float() for side in rounded))
        assert as_floats(metric.compute(), name) == pytest.approx(as_floats(plain.compute(), name), abs=1e-6)

    @pytest.mark.parametrize("change", ["half", "double", "set_dtype"])
    def test_scores_and_indices_stay_what_they_are(self, change: str, pairs: tuple[Tensor, Tensor]) -> None:
        """In half precision 2049 would be 2048: two pairs would be one."""
        metric, plain = PSNR(), PSNR()
        for each in (metric, plain):
            each.update(pairs[0], pairs[1], index=range(2045, 2045 + COUNT))
        changed = metric.set_dtype(torch.float16) if change == "set_dtype" else getattr(metric, change)()
        assert changed.compute() == plain.compute()
        assert changed.count == COUNT

    def test_where_there_is_no_float64_float32_does(
        self, pairs: tuple[Tensor, Tensor], results: Results, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("relight_eval.torchmetrics.double", lambda values: torch.float32)  # as on Apple's Metal
        metric = SSIM()
        metric.update(*pairs)
        assert metric.compute().dtype == torch.float32
        assert metric.compute().item() == pytest.approx(means(results, "ssim")["ssim"], abs=1e-6)


class TestArguments:
    @pytest.mark.parametrize(
        ("make", "said"),
        [
            (lambda: Charbonnier(eps=0), "charbonnier eps is 0; it must lie strictly between 0 and 1"),
            (lambda: WSSIM(wavelet="har"), "unknown wavelet 'har'; did you mean haar"),
            (lambda: WSSIM(levels=0), "0 W-SSIM levels; it must be 1 to 8"),
            (lambda: WSSIM(ratio=1.5), "the W-SSIM ratio is 1.5; it must lie strictly between 0 and 1"),
            (lambda: VGG19(preset="s3"), "unknown VGG19 preset 's3'; did you mean s3net"),
            (lambda: VGG19(precision="quick"), "unknown precision 'quick'"),
        ],
        ids=["eps", "wavelet", "levels", "ratio", "preset", "precision"],
    )
    def test_refused(self, make: Callable[[], PairMetric], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            make()

    def test_those_of_torchmetrics_are_passed_on(self) -> None:
        assert PSNR(sync_on_compute=False).sync_on_compute is False
        with pytest.raises(ValueError, match="Unexpected keyword arguments: `data_range`"):
            PSNR(data_range=1.0)

    @pytest.mark.usefixtures("empty_home")
    def test_vgg19_without_weights(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"vgg19\.safetensors"):
            VGG19(offline=True)
        with pytest.raises(WeightsError, match=r"nowhere\.pth"):
            VGG19(tmp_path / "nowhere.pth")

    @pytest.mark.parametrize(
        ("images", "mask", "said"),
        [
            (
                (torch.zeros(2, 3, 40, 40), torch.zeros(1, 3, 40, 40)),
                None,
                r"prediction is \(2, 3, 40, 40\) but",
            ),
            ((torch.zeros(2, 1, 40, 40),) * 2, None, r"the images have 1 channels; they must be RGB, \(N, 3, H, W\)"),
            ((torch.zeros(2, 3, 40, 40, dtype=torch.int64),) * 2, None, r"the images are torch.int64"),
            ((torch.zeros(2, 3, 31, 40),) * 2, None, "40x31 is too small for lpips: at least 32x32"),
            (
                (torch.zeros(2, 3, 40, 40),) * 2,
                torch.ones(2, 1, 40, 40, dtype=torch.bool),
                r"the mask is \(2, 1, 40, 40\) torch.bool; it must be \(2, 40, 40\) torch.bool",
            ),
            ((torch.zeros(2, 3, 40, 40),) * 2, torch.ones(2, 40, 40), r"the mask is \(2, 40, 40\) torch.float32"),
            (
                (torch.zeros(2, 3, 40, 40),) * 2,
                torch.tensor([True, False])[:, None, None].expand(2, 40, 40),
                "the mask of a pair is empty",
            ),
        ],
        ids=["shapes", "channels", "dtype", "small", "mask_shape", "mask_dtype", "mask_empty"],
    )
    def test_what_does_not_fit(self, images: tuple[Tensor, Tensor], mask: Tensor | None, said: str) -> None:
        with pytest.raises(ShapeError, match=said):
            LPIPS().update(*images, mask=mask)

    def test_a_mask_too_small_for_a_window(self, pairs: tuple[Tensor, Tensor]) -> None:
        mask = torch.ones(COUNT, 32, 36, dtype=torch.bool)
        mask[4] = False
        mask[4, 10:15, 10:15] = True
        metric = SSIM()
        with pytest.raises(ShapeError, match="no ssim of pair 4 of the batch, counted from 0: the mask is too small"):
            metric.update(*pairs, mask=mask)
        metric.update(pairs[0][:2], pairs[1][:2])
        metric.compute()
        assert metric.count == 2

    def test_without_torchmetrics(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "relight_eval.torchmetrics")
        monkeypatch.setitem(sys.modules, "torchmetrics", None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'relight-eval\[torchmetrics\]'"):
            importlib.import_module("relight_eval.torchmetrics")


# --- two processes ---------------------------------------------------------------------------------------------------

PROCESSES = 2


def sampled(rank: int, *, seed: int = 0) -> list[int]:
    """What a process sees of the pairs: both as many, so one of them is seen twice."""
    sampler = DistributedSampler(range(COUNT), num_replicas=PROCESSES, rank=rank, shuffle=True, seed=seed)  # type: ignore[arg-type]
    return list(sampler)


CASES: dict[str, tuple[list[list[list[int]]], bool]] = {  # the batches of each process, and whether the index is told
    "uneven": ([[[0, 1, 2], [3]], [[4], [5, 6]]], False),
    "very_uneven": ([[[0, 1], [2, 3], [4, 5]], [[6]]], False),
    "one_has_none": ([[list(range(COUNT))], []], True),
    "the_first_has_none": ([[], [[0, 1, 2, 3, 4], [5, 6]]], False),
    "padded": ([[sampled(rank)[:3], sampled(rank)[3:]] for rank in range(PROCESSES)], True),
    "padded_without_index": ([[sampled(rank)] for rank in range(PROCESSES)], False),
}


def process(rank: int, folder: Path, checkpoint: Path, out: Path) -> None:
    """Scores its share of every case, and writes down what all of it comes to."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{out / 'meeting'}", rank=rank, world_size=PROCESSES
    )
    prediction, target = (side / 255 for side in images(folder))
    told: dict[str, Any] = {}
    collection = everything(checkpoint)
    for case, (shares, indexed) in CASES.items():
        collection.reset()
        for which in shares[rank]:
            collection.update(prediction[which], target[which], index=which if indexed else None)
        told[case] = {name: value.item() for name, value in collection.compute().items()}
        told[f"{case}_count"] = [collection["psnr"].count, collection["psnr"].infinite]
    metric = SSIM()
    for which in ([0], [1, 2]) if rank else ([3, 4], [5, 6]):
        value = metric(prediction[which], target[which])  # alone; computing in between loses nothing
        metric.compute()
    told["batch"], told["forward"] = value.item(), metric.compute().item()
    (out / f"{rank}.json").write_text(json.dumps(told), encoding="utf-8")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def told(folder: Path, vgg19_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each process says of all cases."""
    out = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(process, (folder, vgg19_checkpoint, out), nprocs=PROCESSES)
    return [json.loads((out / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(PROCESSES)]


@pytest.fixture(scope="module")
def alone(pairs: tuple[Tensor, Tensor], vgg19_checkpoint: Path) -> dict[str, float]:
    """What one process makes of all pairs."""
    return {name: value.item() for name, value in everything(vgg19_checkpoint)(*pairs).items()}


class TestTwoProcesses:
    @pytest.mark.parametrize("case", [case for case in CASES if case != "padded_without_index"])
    def test_together_they_are_one(
        self, case: str, told: list[dict[str, Any]], alone: dict[str, float], results: Results
    ) -> None:
        for of_process in told:
            assert of_process[case] == pytest.approx(alone, abs=1e-12, rel=0)
            assert of_process[case] == pytest.approx(means(results), abs=1e-6)
            assert of_process[f"{case}_count"] == [COUNT, 1]

    def test_the_sampler_repeats_a_pair_which_counts_without_index(
        self, told: list[dict[str, Any]], alone: dict[str, float]
    ) -> None:
        assert sorted(sampled(0) + sampled(1)) != list(range(COUNT))
        for of_process in told:
            assert of_process["padded_without_index_count"][0] == COUNT + 1
            assert abs(of_process["padded_without_index"]["ssim"] - alone["ssim"]) > 1e-4

    def test_forward_is_of_the_own_batch_and_compute_of_all(
        self, told: list[dict[str, Any]], alone: dict[str, float], pairs: tuple[Tensor, Tensor]
    ) -> None:
        own = SSIM()
        own.update(pairs[0][5:], pairs[1][5:])
        assert told[0]["batch"] == pytest.approx(own.compute().item(), abs=1e-12)
        assert [of_process["forward"] for of_process in told] == pytest.approx([alone["ssim"]] * 2, abs=1e-12)
