"""The table of metrics: what holds for every one of them, the names of the contract, and the settings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from relight_eval.errors import ShapeError, UsageError
from relight_eval.metrics import (
    METRICS,
    Batch,
    Metric,
    Settings,
    build,
    chosen,
    columns,
    diagnosis,
    lpips,
    mps,
    protocol,
    settings_of,
    ssim,
)
from relight_eval.weights import VGG19Weights, load
from tests.metrics.cases import CASES, CONTENTS, INVARIANCE, Pair, as_stored, noise, to_batch, to_tensors

CPU = torch.device("cpu")

# The score columns that scripts rely on, word for word.
CONTRACT = {
    "charbonnier": "charbonnier",
    "wssim": "wssim,wssim_full,wssim_hl1,wssim_lh1,wssim_hh1,wssim_hl2,wssim_lh2,wssim_hh2,wssim_ll2",
    "vgg19": "vgg19,vgg19_relu1_1,vgg19_relu2_1,vgg19_relu3_1",
    "psnr": "psnr",
    "ssim": "ssim",
    "lpips": "lpips",
    "mps": "mps",
    "diagnosis": "ev_error,ev_median,gain_r,gain_g,gain_b,wb_angle,mired_shift,share_exposure,share_colour,share_rest,"
    "share_ll2,share_level2,share_level1,local_share,local_x,local_y,shadow_iou,shadow_missed,shadow_extra,"
    "shadow_sharpness,detail_edges,detail_texture,detail_match,blockiness",
}

# One of every kind, in one batch.
MIXED: list[Pair] = [CASES[f"{content}-48x33"] for content in CONTENTS]

each_metric = pytest.mark.parametrize("name", METRICS)
# All but the diagnosis, which tells how a prediction is wrong, and for which the target is another image.
each_measure = pytest.mark.parametrize("name", [name for name in METRICS if name != "diagnosis"])


@pytest.fixture(scope="module")
def weights(vgg19_checkpoint: Path) -> VGG19Weights:
    return load(vgg19_checkpoint)


@pytest.fixture(scope="module")
def settings(weights: VGG19Weights) -> Settings:
    return Settings(vgg19_weights=weights)


def values(name: str, settings: Settings, *pairs: Pair) -> np.ndarray:
    """(pairs, columns), scored as one batch."""
    (metric,) = build([name], settings, CPU)
    return metric.score(to_batch(*pairs)).double().numpy()


def noisier(sigma: float) -> torch.Tensor:
    """A shaded, textured image in mid greys with Gaussian noise of this deviation."""
    generator = torch.Generator().manual_seed(3)
    rows, across = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    shading = 0.5 + 0.2 * torch.sin(5 * rows + 3 * across)
    texture = 0.1 * torch.rand(1, 3, 48, 64, generator=generator)
    return (shading + texture + sigma * torch.randn(1, 3, 48, 64, generator=generator)).clamp(0, 1)


@each_metric
class TestEveryMetric:
    def test_identical_pairs_score_what_the_column_says(self, name: str, settings: Settings) -> None:
        for image in (CASES[case][1] for case in ("noise-48x33", "dark-48x33", "bright-48x33", "black_white-48x33")):
            for column, value in zip(columns([name], settings), values(name, settings, (image, image))[0], strict=True):
                if column.optional and np.isnan(value):
                    continue
                assert value == pytest.approx(column.identical, abs=1e-12), column.name

    def test_every_score_is_in_the_range(self, name: str, settings: Settings) -> None:
        scored = values(name, settings, *MIXED)
        for column, found in zip(columns([name], settings), scored.T, strict=True):
            assert column.optional or not np.isnan(found).any(), column.name
            assert np.nanmin(found) >= column.low - 1e-12, column.name
            assert np.nanmax(found) <= column.high + 1e-12, column.name

    @pytest.mark.parametrize("size", ["48x33", "33x47"])
    def test_stored_levels_are_the_floats_that_they_stand_for(self, name: str, settings: Settings, size: str) -> None:
        """uint8, as the engine feeds it, and level/255, as a model would."""
        pairs = [CASES[f"{content}-{size}"] for content in CONTENTS]
        (metric,) = build([name], settings, CPU)
        stored, floats = (metric.score(Batch(*feed(*pairs))).double() for feed in (as_stored, to_tensors))
        rtol, atol = {"vgg19": (2e-5, 0), "diagnosis": (1e-5, 1e-5)}.get(name, (0, 3e-6))
        np.testing.assert_allclose(stored, floats, rtol=rtol, atol=atol)

    def test_batch_of_one_is_batch_of_many(self, name: str, settings: Settings) -> None:
        together = values(name, settings, *MIXED)
        alone = np.concatenate([values(name, settings, pair) for pair in MIXED])
        np.testing.assert_allclose(alone, together, rtol=0, atol=INVARIANCE)

    def test_order_of_the_batch(self, name: str, settings: Settings) -> None:
        forward, backward = values(name, settings, *MIXED), values(name, settings, *MIXED[::-1])
        np.testing.assert_allclose(backward[::-1], forward, rtol=0, atol=INVARIANCE)

    def test_images_are_left_alone(self, name: str, settings: Settings) -> None:
        (metric,) = build([name], settings, CPU)
        batch = to_batch(*MIXED[:3])
        before = batch.prediction.clone(), batch.target.clone()
        metric.score(batch)
        assert torch.equal(batch.prediction, before[0])
        assert torch.equal(batch.target, before[1])

    def test_smallest_side_is_enough(self, name: str, settings: Settings) -> None:
        (metric,) = build([name], settings, CPU)
        side = metric.min_side
        pair = noise(side, side + 3), noise(side, side + 3, seed=1)
        found = values(name, settings, pair)[0]
        always = [not column.optional for column in columns([name], settings)]
        assert np.isfinite(found[always]).all()

    def test_what_is_built_is_what_the_table_says(self, name: str, settings: Settings) -> None:
        (metric,) = build([name], settings, CPU)
        assert isinstance(metric, Metric)
        assert metric.name == name
        assert metric.columns == METRICS[name].columns(settings)
        assert metric.score(to_batch(*MIXED[:2])).shape == (2, len(metric.columns))

    def test_columns_of_the_contract(self, name: str, settings: Settings) -> None:
        assert ",".join(column.name for column in METRICS[name].columns(settings)) == CONTRACT[name]

    def test_columns_describe_themselves(self, name: str, settings: Settings) -> None:
        for column in METRICS[name].columns(settings):
            assert column.metric == name
            assert column.low < column.high
            if column.better in ("higher", "lower"):
                assert column.identical == (column.high if column.better == "higher" else column.low)
            else:
                assert column.low <= column.identical <= column.high
            assert 10 < len(column.meaning) < 80

    def test_paper_answers_what_a_reader_asks(self, name: str) -> None:
        paper = METRICS[name].paper.__doc__
        answers = re.findall(r"^(Definition|Source|Range|How to read|Traps) {2,}\S", paper, flags=re.MULTILINE)
        assert answers == ["Definition", "Source", "Range", "How to read", "Traps"]
        words = " ".join(paper.split())
        assert "identical" in words  # what they score
        said = re.search(r"(higher|lower) is better", words)
        assert (said[1] if said else "nearest") == METRICS[name].columns(Settings())[0].better


class TestEveryMeasure:
    @each_measure
    def test_more_noise_is_worse(self, name: str, settings: Settings) -> None:
        (metric,) = build([name], settings, CPU)
        rows = [metric.score(Batch(noisier(sigma), noisier(0)))[0].tolist() for sigma in (0, 0.02, 0.06, 0.2)]
        for column, found in zip(metric.columns, zip(*rows, strict=True), strict=True):
            assert list(found) == sorted(found, reverse=column.better == "higher"), column.name
            assert len(set(found)) == 4, column.name

    @each_measure
    def test_swapped(self, name: str, settings: Settings) -> None:
        """None of these metrics knows which of the two images is the target.

        (VGG19 computes the features of the target and the difference from them: the rounding knows.)
        """
        swapped = [pair[::-1] for pair in MIXED]
        np.testing.assert_allclose(
            values(name, settings, *swapped),
            values(name, settings, *MIXED),
            rtol=1e-5 if name == "vgg19" else 1e-6,
            atol=1e-9,
        )


class TestTable:
    def test_is_the_contract(self) -> None:
        assert set(METRICS) == set(CONTRACT)

    def test_columns_of_all_are_in_order_and_unique(self, settings: Settings) -> None:
        names = [column.name for column in columns(METRICS, settings)]
        assert ",".join(names) == ",".join(CONTRACT[name] for name in METRICS)
        assert len(set(names)) == len(names)

    def test_build_keeps_the_order(self, settings: Settings) -> None:
        assert [metric.name for metric in build(["psnr", "charbonnier"], settings, CPU)] == ["psnr", "charbonnier"]

    def test_units(self, settings: Settings) -> None:
        assert {column.name: column.unit for column in columns(METRICS, settings) if column.unit} == {
            **{"psnr": "dB", "ev_error": "stops", "ev_median": "stops", "wb_angle": "degrees", "mired_shift": "mired"},
            **{"local_x": "pixels", "local_y": "pixels"},
        }

    def test_columns_follow_the_settings(self) -> None:
        other = Settings(wssim_levels=1, charbonnier_eps=0.01)
        assert [column.name for column in columns(["wssim"], other)][-1] == "wssim_ll1"
        assert columns(["charbonnier"], other)[0].identical == 0.01

    def test_vgg19_without_weights(self) -> None:
        with pytest.raises(UsageError, match="vgg19 needs weights; see `relight-eval weights show`"):
            build(["psnr", "vgg19"], Settings(), CPU)


class TestBesideTheMetrics:
    """Columns that an option adds: of aligned predictions, and of regions."""

    def test_order_of_columns_is_that_of_what_is_built(self, settings: Settings) -> None:
        everything = replace(settings, input=True, align="affine", regions=True)
        built = build(METRICS, everything, CPU)
        assert tuple(column for metric in built for column in metric.columns) == columns(METRICS, everything)

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["psnr"], "align_gain_r,align_gain_g,align_gain_b,psnr_aligned,"
             "psnr_shadows,psnr_midtones,psnr_highlights"),
            (["psnr", "lpips", "diagnosis"], "align_gain_r,align_gain_g,align_gain_b,psnr_aligned,lpips_aligned,"
             "psnr_shadows,psnr_midtones,psnr_highlights"),
        ],
        ids=["one", "some"],
    )  # fmt: skip
    def test_they_follow_the_metrics_that_are_chosen(self, names: list[str], expected: str) -> None:
        found = columns(names, Settings(align="gain", regions=True))[len(columns(names, Settings())) :]
        assert ",".join(column.name for column in found) == expected

    def test_what_fits_offsets_alone_has_no_gains(self) -> None:
        names = [column.name for column in columns(["diagnosis"], Settings(align="mean-shift"))]
        assert names[-3:] == ["align_offset_r", "align_offset_g", "align_offset_b"]
        assert "align_gain_r" not in names

    def test_regions_of_metrics_that_have_none(self) -> None:
        said = "--regions tells charbonnier, psnr, ssim by region; choose one of them with -m"
        with pytest.raises(UsageError, match=said):
            columns(["lpips", "wssim"], Settings(regions=True))

    def test_protocol_says_which(self) -> None:
        found = protocol(["psnr"], Settings(align="gain", regions=True))
        assert list(found) == ["psnr", "align", "regions"]
        assert found["align"].startswith("gain,")
        assert "shadows<0.25*mean" in found["regions"]

    def test_settings_are_read_from_what_they_wrote(self) -> None:
        chosen_ones = Settings(
            charbonnier_eps=0.01, wavelet="db2", wssim_levels=3, wssim_ratio=0.25, vgg19_preset="drn"
        )
        names = [column.name for column in columns(METRICS, chosen_ones)]
        assert settings_of(protocol(METRICS, chosen_ones), names) == chosen_ones
        assert settings_of({}, names) == Settings(wssim_levels=3)
        assert settings_of({}, ["psnr"]) == Settings()


class TestProtocol:
    def test_of_the_defaults(self, settings: Settings, weights: VGG19Weights) -> None:
        assert protocol(METRICS, settings) == {
            "charbonnier": "eps=0.001",
            "wssim": "ynet,haar,levels=2,r=0.7,gaussian11,sigma=1.5,zero-padded",
            "vgg19": f"s3net,relu1_1+relu2_1+relu3_1,l1,unofficial,weights={weights.sha256[:8]}",
            "psnr": "rgb,peak=1",
            "ssim": "wang2004,gaussian11,sigma=1.5,valid,rgb",
            "lpips": "alex,v0.1",
            "mps": "(ssim+1-lpips)/2",
            "diagnosis": diagnosis.protocol(),
        }

    def test_of_the_metrics_asked_for(self) -> None:
        assert list(protocol(["psnr"], Settings())) == ["psnr"]

    @pytest.mark.parametrize(
        ("change", "metric", "said"),
        [
            ({"charbonnier_eps": 1e-6}, "charbonnier", "eps=1e-06"),
            ({"wavelet": "db2"}, "wssim", "db2,symmetric"),
            ({"wssim_levels": 3}, "wssim", "levels=3"),
            ({"wssim_ratio": 0.5}, "wssim", "r=0.5"),
            ({"vgg19_preset": "drn"}, "vgg19", "drn"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_every_setting_is_in_it(
        self, change: dict[str, object], metric: str, said: str, weights: VGG19Weights
    ) -> None:
        before = protocol(METRICS, Settings(vgg19_weights=weights))
        after = protocol(METRICS, Settings(**{"vgg19_weights": weights, **change}))
        assert {name for name in METRICS if before[name] != after[name]} == {metric}
        assert f",{said}," in f",{after[metric]},"

    def test_official_weights_are_called_so(self, weights: VGG19Weights) -> None:
        official = VGG19Weights(weights.tensors, "torchvision", "ab" * 32, official=True)
        said = protocol(["vgg19"], Settings(vgg19_weights=official))["vgg19"]
        assert said == "s3net,relu1_1+relu2_1+relu3_1,l1,imagenet1k_v1,weights=abababab"
        assert protocol(["vgg19"], Settings())["vgg19"].endswith(",no-weights")


class TestChosen:
    def test_none_is_all(self) -> None:
        assert chosen(None) == tuple(METRICS)

    def test_order_is_that_of_the_table(self) -> None:
        assert chosen(["ssim", "charbonnier", "vgg19", "ssim"]) == ("charbonnier", "vgg19", "ssim")

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (["psnr", "wsim"], "unknown metric 'wsim'; did you mean wssim or ssim"),
            (["fid"], "unknown metric 'fid'; known are charbonnier, wssim, vgg19, psnr, ssim, lpips, mps"),
            ([], "no metric was chosen; known are charbonnier, wssim"),
        ],
        ids=["near", "far", "empty"],
    )
    def test_refused(self, names: list[str], said: str) -> None:
        with pytest.raises(UsageError, match=re.escape(said)):
            chosen(names)


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "value", "said"),
        [
            ("charbonnier_eps", 0.0, "charbonnier eps is 0; it must lie strictly between 0 and 1"),
            ("charbonnier_eps", 1.0, "charbonnier eps is 1; it must lie strictly between 0 and 1"),
            ("charbonnier_eps", math.nan, "charbonnier eps is nan; it must lie strictly between 0 and 1"),
            ("wavelet", "har", "unknown wavelet 'har'; did you mean haar"),
            ("wavelet", "morl", "unknown wavelet 'morl'"),
            ("wssim_levels", 0, "0 W-SSIM levels; it must be 1 to 8"),
            ("wssim_levels", 9, "9 W-SSIM levels; it must be 1 to 8"),
            ("wssim_ratio", 0.0, "the W-SSIM ratio is 0; it must lie strictly between 0 and 1"),
            ("wssim_ratio", 1.0, "the W-SSIM ratio is 1; it must lie strictly between 0 and 1"),
            ("wssim_ratio", math.nan, "the W-SSIM ratio is nan; it must lie strictly between 0 and 1"),
            ("vgg19_preset", "s3", "unknown VGG19 preset 's3'; did you mean s3net"),
            ("align", "gian", "unknown alignment 'gian'; did you mean gain"),
        ],
    )
    def test_refused(self, setting: str, value: object, said: str) -> None:
        with pytest.raises(UsageError, match=re.escape(said)):
            Settings(**{setting: value})

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("charbonnier_eps", 1e-6),
            ("wavelet", "db1"),
            ("wavelet", "bior2.2"),
            ("wssim_levels", 1),
            ("wssim_levels", 8),
            ("wssim_ratio", 0.999),
            ("vgg19_preset", "imagenet"),
        ],
    )
    def test_taken(self, setting: str, value: object) -> None:
        assert getattr(Settings(**{setting: value}), setting) == value

    def test_defaults_are_the_published_ones(self) -> None:
        assert Settings() == Settings(1e-3, "haar", 2, 0.7, "s3net", None)

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"charbonnier_eps": 0.1}, "charbonnier"),
            ({"wavelet": "db2"}, "wssim"),
            ({"wssim_ratio": 0.5}, "wssim"),
            ({"vgg19_preset": "drn"}, "vgg19"),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )
    def test_every_setting_changes_the_score(self, change: dict[str, object], name: str, weights: VGG19Weights) -> None:
        """None is accepted and then ignored."""
        before = values(name, Settings(vgg19_weights=weights), CASES["noise-19x17"])
        after = values(name, Settings(**{"vgg19_weights": weights, **change}), CASES["noise-19x17"])
        assert abs(after[0, 0] - before[0, 0]) > 1e-5


class TestBatch:
    def test_computes_once_what_several_ask_for(self) -> None:
        calls = []

        def difference(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            calls.append((prediction, target))
            return prediction - target

        batch = to_batch(CASES["noise-16x16"])
        first, second = batch.once(difference), batch.once(difference)
        assert first is second
        assert len(calls) == 1
        assert torch.equal(first, batch.prediction - batch.target)
        assert batch.once(torch.add) is not first

    def test_shapes_that_do_not_fit(self) -> None:
        with pytest.raises(ShapeError, match=r"prediction is \(1, 3, 8, 8\) but target is \(1, 3, 8, 9\)"):
            Batch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))


@pytest.mark.parametrize(
    ("function", "side"),
    [(ssim.ssim, 11), (lpips.lpips, 32), (mps.mps, 32)],
    ids=["ssim", "lpips", "mps"],
)
def test_functions_that_need_some_size_say_so(function: Callable[[Tensor, Tensor], Tensor], side: int) -> None:
    small = torch.zeros(1, 3, side, side - 1)
    with pytest.raises(ShapeError, match=rf"{side - 1}x{side} is too small for .*: at least {side}x{side}"):
        function(small, small)
    enough = torch.zeros(1, 3, side, side)
    assert torch.isfinite(function(enough, enough)).all()
