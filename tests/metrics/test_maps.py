"""Where the values of every metric come from: its maps against the float64 references, and their means."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.metrics
import torch

from relight_eval.metrics import METRICS, Batch, Metric, Settings, vgg19
from relight_eval.metrics.pieces import resources
from relight_eval.metrics.wavelets import footprint
from relight_eval.weights import VGG19Weights, load
from tests.metrics import references
from tests.metrics.cases import (
    ATOL,
    CASES,
    FLAT_PARTS,
    LPIPS_ATOL,
    Pair,
    as_float64,
    each_case,
    noise,
    to_batch,
    to_tensors,
)

Build = Callable[..., Metric]

MAPPED = ("charbonnier", "psnr", "ssim", "wssim", "vgg19", "lpips", "mps")

MAP_ATOL = 1e-6  # of a place
MEAN_ATOL = 1e-6  # of a score
VGG19_RTOL = 1e-5  # (three times that for one pixel one level off: its difference is below the digits of the features)
VGG19_ATOL = 1e-7  # of a place: the features themselves are near 1

# LPIPS resamples: what its mean was off at most on the cases, 1e-4, and some.
LPIPS_RESAMPLED_ATOL = 2e-4

# The smallest of the pairs that every metric scores, odd and even sides, and what is hard for some of them.
SOME = [
    "noise-48x33",
    "close-33x47",
    "bright_close-48x33",
    "black_white-33x47",
    "halves-48x33",
    "bright_one_level-33x47",
]


@pytest.fixture(scope="module")
def weights(vgg19_checkpoint: Path) -> VGG19Weights:
    return load(vgg19_checkpoint)


@pytest.fixture(scope="module")
def build(weights: VGG19Weights) -> Build:
    def built(name: str, **settings: object) -> Metric:
        return METRICS[name].build(Settings(vgg19_weights=weights, **settings), torch.device("cpu"))

    return built


def means(metric: Metric, batch: Batch) -> torch.Tensor:
    """What the metric makes of the mean of each map."""
    return metric.combined({name: found.values.double().mean(dim=(1, 2)) for name, found in metric.maps(batch).items()})


class TestMeans:
    """Over all places, they are the scores."""

    @each_case(SOME)
    @pytest.mark.parametrize("name", [name for name in MAPPED if name not in ("vgg19", "lpips", "mps")])
    def test_are_the_scores(self, name: str, pair: Pair, build: Build) -> None:
        metric, batch = build(name), to_batch(pair)
        # (the scores themselves, in float32, are not better on flat parts)
        tolerance = ATOL if any(pair is CASES[case] for case in SOME if case.startswith(FLAT_PARTS)) else MEAN_ATOL
        torch.testing.assert_close(means(metric, batch), metric.score(batch).double(), rtol=0, atol=tolerance)

    @each_case(case for case in CASES if case in SOME or case.endswith(("16x16", "19x17")))
    def test_are_the_scores_of_vgg19(self, pair: Pair, build: Build) -> None:
        metric, batch = build("vgg19"), to_batch(pair)
        one_level = any(pair is CASES[case] for case in CASES if case.startswith("bright_one_level"))
        tolerance = 3 * VGG19_RTOL if one_level else VGG19_RTOL
        torch.testing.assert_close(means(metric, batch), metric.score(batch).double(), rtol=tolerance, atol=0)

    @each_case(SOME)
    @pytest.mark.parametrize("name", ["lpips", "mps"])
    def test_are_nearly_the_scores_where_lpips_resamples(self, name: str, pair: Pair, build: Build) -> None:
        metric, batch = build(name), to_batch(pair)
        expected = metric.score(batch).double()
        torch.testing.assert_close(means(metric, batch), expected, rtol=0, atol=LPIPS_RESAMPLED_ATOL)

    @pytest.mark.parametrize(("wavelet", "levels"), [("haar", 1), ("haar", 4), ("db2", 2), ("db4", 3)], ids=str)
    def test_are_the_scores_of_other_wavelets_and_levels(self, wavelet: str, levels: int, build: Build) -> None:
        metric, batch = build("wssim", wavelet=wavelet, wssim_levels=levels), to_batch(CASES["noise-48x33"])
        torch.testing.assert_close(means(metric, batch), metric.score(batch).double(), rtol=0, atol=MEAN_ATOL)

    @pytest.mark.parametrize("eps", [1e-6, 1e-3, 0.1])
    def test_are_the_scores_of_another_eps(self, eps: float, build: Build) -> None:
        metric, batch = build("charbonnier", charbonnier_eps=eps), to_batch(CASES["close-33x47"])
        torch.testing.assert_close(means(metric, batch), metric.score(batch).double(), rtol=0, atol=1e-8)

    @pytest.mark.parametrize("name", MAPPED)
    def test_of_identical_images_are_exact(self, name: str, build: Build) -> None:
        metric = build(name, charbonnier_eps=0.003) if name == "charbonnier" else build(name)
        assert means(metric, to_batch(CASES["identical-48x33"])).tolist() == [[c.identical for c in metric.columns]]


class TestValues:
    @each_case(SOME)
    @pytest.mark.parametrize("name", MAPPED)
    def test_reference(self, name: str, pair: Pair, build: Build, weights: VGG19Weights) -> None:
        found = build(name).maps(to_batch(pair))
        expected = references.maps(name, *as_float64(pair), weights.tensors)
        assert set(found) == set(expected)
        for key, values in expected.items():
            computed = found[key].values
            assert computed.dtype == torch.float32
            tolerance = VGG19_ATOL + 3e-6 * values.mean() if name == "vgg19" else 3 * MAP_ATOL
            np.testing.assert_allclose(computed[0], values, rtol=0, atol=tolerance, err_msg=key)

    @each_case(SOME)
    def test_skimage(self, pair: Pair, build: Build) -> None:
        """scikit-image 0.26.0, the full map of `structural_similarity`, run by this test: the same in every place."""
        _, theirs = skimage.metrics.structural_similarity(
            *as_float64(pair), data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            channel_axis=2, full=True,
        )  # fmt: skip
        ssim, wssim = (build(name).maps(to_batch(pair)) for name in ("ssim", "wssim"))
        inner = theirs.mean(axis=2)[5:-5, 5:-5]
        np.testing.assert_allclose(ssim["ssim"].values[0], inner, rtol=0, atol=MAP_ATOL)
        np.testing.assert_allclose(wssim["wssim_full"].values[0, 5:-5, 5:-5], inner, rtol=0, atol=MAP_ATOL)

    @pytest.mark.parametrize("name", MAPPED)
    def test_as_float_and_as_stored(self, name: str, build: Build) -> None:
        pair = CASES["noise-48x33"]
        stored, floats = (build(name).maps(batch) for batch in (to_batch(pair), Batch(*to_tensors(pair))))
        for key in stored:
            torch.testing.assert_close(stored[key].values, floats[key].values, rtol=1e-5, atol=MAP_ATOL)
            assert stored[key][1:] == floats[key][1:]

    @pytest.mark.parametrize("name", MAPPED)
    def test_of_one_pair_are_those_of_many(self, name: str, build: Build) -> None:
        pairs = [CASES[f"{content}-48x33"] for content in ("noise", "identical", "dark", "white")]
        together = build(name).maps(to_batch(*pairs))
        for i, pair in enumerate(pairs):
            for key, found in build(name).maps(to_batch(pair)).items():
                torch.testing.assert_close(together[key].values[i], found.values[0], rtol=1e-5, atol=LPIPS_ATOL)

    @pytest.mark.parametrize("name", MAPPED)
    def test_nothing_is_left_to_train(self, name: str, build: Build) -> None:
        prediction, target = to_tensors(CASES["noise-48x33"])
        found = build(name).maps(Batch(prediction.requires_grad_(), target))
        assert not any(m.values.requires_grad for m in found.values())

    @pytest.mark.parametrize("side", [16, 20, 32], ids="side_{}".format)
    @pytest.mark.parametrize(("height", "width"), [(47, 33), (17, 19), (9, 6), (4, 50), (33, 17)], ids=str)
    def test_tiles_of_vgg19(
        self,
        height: int,
        width: int,
        side: int,
        build: Build,
        weights: VGG19Weights,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(vgg19, "MAP_TILE_SIDE", side)
        pairs = [(noise(height, width), noise(height, width, seed=1)), (noise(height, width), noise(height, width))]
        found = build("vgg19").maps(to_batch(*pairs))
        expected = references.maps("vgg19", *as_float64(pairs[0]), weights.tensors)
        for key, values in expected.items():
            np.testing.assert_allclose(
                found[key].values[0], values, rtol=0, atol=VGG19_ATOL + 3e-6 * values.mean(), err_msg=key
            )
            assert not found[key].values[1].any()  # of the identical pair

    @pytest.mark.parametrize("name", MAPPED)
    def test_pieces_and_threads_change_nothing(self, name: str, build: Build) -> None:
        batch = [CASES["noise-48x33"], CASES["close-48x33"]]
        whole = build(name).maps(to_batch(*batch))
        with ThreadPoolExecutor(2) as pool, resources(pool=pool, piece_values=500):
            cut = build(name).maps(to_batch(*batch))
        for key in whole:
            torch.testing.assert_close(cut[key].values, whole[key].values, rtol=1e-5, atol=LPIPS_ATOL)


class TestPlaces:
    @pytest.mark.parametrize("name", MAPPED)
    def test_geometry(self, name: str, build: Build) -> None:
        for key, found in build(name).maps(to_batch(CASES["noise-48x33"])).items():
            expected = {"halvings": 0, "reach": 0, "origin": 0} | references.GEOMETRY.get(key, {})
            assert dict(zip(found._fields[1:], found[1:], strict=True)) == expected, key

    @pytest.mark.parametrize("name", ["charbonnier", "ssim", "wssim", "vgg19", "lpips"])
    def test_names_are_those_of_the_columns(self, name: str, build: Build) -> None:
        metric = build(name)
        columns = [column.name for column in metric.columns]
        assert list(metric.maps(to_batch(CASES["noise-48x33"]))) == (columns if len(columns) == 1 else columns[1:])

    def test_names_of_the_others(self, build: Build) -> None:
        batch = to_batch(CASES["noise-48x33"])
        assert list(build("psnr").maps(batch)) == ["mse"]
        assert list(build("mps").maps(batch)) == ["ssim", "lpips"]

    def test_a_pixel_shows_where_it_is(self, build: Build) -> None:
        """An error in the block of pixels 12 to 15 is in that place of every map, and nowhere beyond its reach."""
        target = noise(48, 48)
        prediction = target.copy()
        prediction[12:16, 20:24] = 255 - prediction[12:16, 20:24]
        for name in ("charbonnier", "psnr", "ssim", "wssim", "vgg19"):
            for key, found in build(name).maps(to_batch((prediction, target))).items():
                wrong = (found.values[0] - found.values[0, -1, -1]).abs() > 1e-6
                rows, columns = (wrong.any(dim=dim).nonzero().flatten() + found.origin for dim in (1, 0))
                for places, first in ((rows, 12 >> found.halvings), (columns, 20 >> found.halvings)):
                    last = first + max(4 >> found.halvings, 1) - 1
                    assert first - found.reach <= places.min() <= first, key
                    assert last <= places.max() <= last + found.reach, key

    def test_mps_shares_the_maps_of_the_others(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        batch = to_batch(CASES["noise-48x33"])
        others = build("ssim").maps(batch) | build("lpips").maps(batch)
        monkeypatch.setattr(batch, "prediction", None)  # nothing is left to compute from
        for key, found in build("mps").maps(batch).items():
            assert torch.equal(found.values, others[key].values)
            assert found[1:] == others[key][1:]


class TestFootprint:
    def test_haar_sees_its_own_block(self) -> None:
        for level in (1, 2, 5):
            assert footprint(64, 47, wavelet="haar", level=level) == (0, 0)

    def test_db2_by_hand(self) -> None:
        """Four taps, of 8 pixels in 5 places: place i sees pixels 2i − 2 to 2i + 1, blocks i − 1 and i of two pixels.

        The first, of which half lies beyond the border, sees pixels 1 0 0 1, and the last, block 4, pixels 6 7 7 6.
        """
        assert footprint(8, 8, wavelet="db2", level=1) == (0, 1)

    @pytest.mark.parametrize(
        ("wavelet", "level"), [("db2", 1), ("db2", 2), ("db3", 2), ("db4", 3), ("sym8", 1), ("bior2.2", 2)], ids=str
    )
    @pytest.mark.parametrize("size", [48, 32])
    def test_is_all_that_a_place_sees_and_no_more(self, wavelet: str, level: int, size: int) -> None:
        """Of PyWavelets, the coefficients that change with a pixel."""
        origin, reach = footprint(size, size, wavelet=wavelet, level=level)
        furthest = 0
        for pixel in range(size):
            image = np.zeros((size, size, 1))
            image[pixel] = 1
            low = references.bands(image, wavelet, level)[f"ll{level}"]
            places = np.flatnonzero(np.abs(low[:, low.shape[1] // 2, 0]) > 1e-12)
            furthest = max(furthest, *np.abs(places + origin - (pixel >> level)))
        assert furthest == reach

    @pytest.mark.parametrize(("wavelet", "level"), [("db2", 1), ("db4", 1), ("db4", 3), ("sym8", 2)], ids=str)
    def test_first_and_last_place_lie_as_far_from_the_borders(self, wavelet: str, level: int) -> None:
        size = 64
        origin, _ = footprint(size, size, wavelet=wavelet, level=level)
        places = len(references.bands(np.zeros((size, size, 1)), wavelet, level)[f"ll{level}"])
        before, behind = -origin, places + origin - (size >> level)
        assert abs(before - behind) <= 1
