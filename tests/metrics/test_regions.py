"""Regions: which pixels are what, and scores of a part against that part computed alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.metrics
import torch
from scipy import ndimage
from torch import Tensor

from relight_eval.metrics import charbonnier, lpips, psnr, regions, ssim
from relight_eval.metrics.metric import Batch
from relight_eval.metrics.pieces import resources
from tests.metrics.cases import Pair, as_float64, as_stored, flat, noise
from tests.metrics.diagnosis_reference import LUMINANCE, Mask, decoded, encoded

NAMES = ("shadows", "midtones", "highlights")


def grey(*light: float) -> Tensor:
    """One row of pixels of this linear light, float64: (1, 3, 1, W)."""
    return torch.from_numpy(encoded(np.array(light)))[None, None, None].expand(1, 3, 1, -1)


def drawn(found: dict[str, Tensor]) -> str:
    """The region of each pixel of the first image, by its first letter; . where it has none."""
    assert tuple(found) == NAMES
    stacked = torch.stack([found[name][0].flatten() for name in NAMES])
    assert (stacked.sum(dim=0) <= 1).all()
    return "".join("smh"[column.int().argmax()] if column.any() else "." for column in stacked.T)


@pytest.mark.parametrize(
    ("light", "expected"),
    [
        # the mean is 0.2: shadows below 0.05, highlights above 0.4
        pytest.param((0.049, 0.051, 0.399, 0.401, 0.1), "smmhm", id="at the limits"),
        # the mean is 0.125
        pytest.param((0.03125, 0.25, 0.09375), "mmm", id="on the limits"),
        pytest.param((0.2, 0.2, 0.2), "mmm", id="even"),
        pytest.param((0.0, 0.0, 0.0), "mmm", id="black"),
        pytest.param((1.0, 1.0), "mm", id="white"),
        pytest.param((0.0, 0.0, 0.0, 1.0), "sssh", id="a lamp in the night"),
        pytest.param((0.001, 0.001, 0.001, 0.006), "mmmh", id="a dark image has its own"),
    ],
)
def test_regions_are_relative_to_the_mean(light: tuple[float, ...], expected: str) -> None:
    assert drawn(regions.regions(grey(*light))) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("side", [3, 16, 51, 200])
@pytest.mark.parametrize("dark", [0.001, 0.01, 0.03, 0.06, 0.1, 0.13])
def test_light_on_a_limit_is_mid_tone(dark: float, side: int, dtype: torch.dtype) -> None:
    """Of as many of 1 and 7 the mean is 4; of 0 and 1 a half."""
    for light, name in (((dark, 7 * dark), "shadows"), ((0.0, dark), "highlights")):
        target = grey(*light).to(dtype).repeat(1, 1, side, side)
        assert not regions.regions(target)[name].any()


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        pytest.param((True, True, True, True), "sssh", id="all"),
        # without the lamp the mean is 0.02
        pytest.param((True, True, True, False), "smh.", id="not the lamp"),
        pytest.param((True, False, False, False), "m...", id="one pixel"),
        pytest.param((False,) * 4, "....", id="nothing"),
    ],
)
def test_outside_of_a_mask_nothing_counts(inside: tuple[bool, ...], expected: str) -> None:
    mask = torch.tensor(inside)[None, None]
    assert drawn(regions.regions(grey(0.001, 0.01, 0.049, 1.0), mask)) == expected


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
def test_against_numpy(dtype: torch.dtype) -> None:
    images = np.stack([noise(24, 20, high=high, seed=high) for high in (255, 90, 9)])
    target = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    found = regions.regions(target if dtype == torch.uint8 else target.to(dtype) / 255)
    for i, image in enumerate(images):
        light = decoded(image / 255) @ LUMINANCE
        np.testing.assert_array_equal(found["shadows"][i], light < light.mean() / 4)
        np.testing.assert_array_equal(found["highlights"][i], light > light.mean() * 2)
        np.testing.assert_array_equal(sum(found[name][i].int() for name in NAMES), 1)


METRIC = regions.metric([charbonnier.metric(1e-3), psnr.metric(), ssim.metric()])


def scores(pair: Pair, mask: Mask | None = None) -> dict[str, float]:
    of_mask = None if mask is None else torch.from_numpy(mask)[None]
    row = METRIC.score(Batch(*as_stored(pair), mask=of_mask))[0].tolist()
    return dict(zip([column.name for column in METRIC.columns], row, strict=True))


def lit(height: int, width: int) -> Pair:
    """A target in three bands, dark, middle, and bright, and a prediction with noise."""
    i = np.arange(height)[:, None, None] * 3 // height
    target = (np.choose(i, [10, 120, 250]) - noise(height, width, 0, 9)).astype(np.uint8)
    return (target - noise(height, width, 0, 1, seed=1)).astype(np.uint8), target


def disc(height: int, width: int) -> Mask:
    i, j = np.mgrid[:height, :width]
    return (i - 0.5 * height) ** 2 + (j - 0.4 * width) ** 2 < 0.3 * height * width


def ssim_map(pair: Pair) -> np.ndarray:
    """scikit-image's, of the windows that lie in the image: (H − 10, W − 10)."""
    _, full = skimage.metrics.structural_similarity(
        *as_float64(pair), gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=1, channel_axis=2, full=True,
    )  # fmt: skip
    return full.mean(axis=2)[5:-5, 5:-5]


def expected_scores(pair: Pair, mask: Mask | None = None) -> dict[str, float]:
    prediction, target = as_float64(pair)
    inside = np.ones(target.shape[:2], bool) if mask is None else mask
    light = decoded(target) @ LUMINANCE
    mean = light[inside].mean()
    dark, bright = light < mean / 4, light > 2 * mean
    of_region = dict(zip(NAMES, (dark & inside, ~dark & ~bright & inside, bright & inside), strict=True))
    found: dict[str, float] = {}
    squares, similarity = (prediction - target) ** 2, ssim_map(pair)
    whole_windows = ndimage.minimum_filter(inside, 11)
    for name, region in of_region.items():
        middle = (region & whole_windows)[5:-5, 5:-5]
        found |= {
            f"charbonnier_{name}": np.sqrt(squares[region] + 1e-6).mean(),
            f"psnr_{name}": -10 * np.log10(squares[region].mean()),
            f"ssim_{name}": similarity[middle].mean() if middle.any() else math.nan,
        }
    return found


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("size", [(48, 40), (33, 47)], ids=str)
def test_scores_are_those_of_each_part(size: tuple[int, int], masked: bool) -> None:
    """NumPy and scikit-image, over the pixels of each region; of SSIM over windows that lie in the mask whole."""
    mask = disc(*size) if masked else None
    pair = lit(*size)
    assert scores(pair, mask) == pytest.approx(expected_scores(pair, mask), abs=1e-5)


@pytest.mark.parametrize("outside", [0, 255])
def test_what_is_outside_of_a_mask_has_no_say(outside: int) -> None:
    pair, mask = lit(48, 40), disc(48, 40)
    prediction, target = (np.where(mask[..., None], image, np.uint8(outside)) for image in pair)
    assert scores((prediction, target), mask) == pytest.approx(scores(pair, mask), abs=1e-6)


def test_columns() -> None:
    assert [column.name for column in METRIC.columns] == [
        f"{metric}_{region}" for metric in ("charbonnier", "psnr", "ssim") for region in NAMES
    ]
    assert all(column.optional for column in METRIC.columns)
    assert METRIC.min_side == 11


def test_of_metrics_without_regions_only_the_others() -> None:
    metric = regions.metric([lpips.metric(), psnr.metric()])
    assert [column.name for column in metric.columns] == [f"psnr_{region}" for region in NAMES]
    assert metric.min_side == 1


def test_without_a_region_there_is_no_score() -> None:
    found = scores((flat(16, 16, 90), flat(16, 16, 100)))
    assert {name for name, value in found.items() if math.isnan(value)} == {
        f"{metric}_{region}" for metric in ("charbonnier", "psnr", "ssim") for region in ("shadows", "highlights")
    }
    assert found["psnr_midtones"] == pytest.approx(20 * math.log10(255 / 10), abs=1e-5)


def test_identical_images_are_perfect_in_every_region() -> None:
    image = lit(48, 40)[1]
    for name, value in scores((image, image)).items():
        column = next(column for column in METRIC.columns if column.name == name)
        assert value == pytest.approx(column.identical, abs=1e-9), name


def test_an_error_is_told_where_it_is() -> None:
    target = lit(48, 40)[1]
    prediction = target.copy()
    prediction[40:, 4:8] -= 50
    found = scores((prediction, target))
    assert found["psnr_shadows"] == found["psnr_midtones"] == math.inf
    assert 10 < found["psnr_highlights"] < 40


def test_a_batch_and_its_pieces() -> None:
    pairs = [lit(48, 40), (noise(48, 40), noise(48, 40, seed=1)), (flat(48, 40, 90), flat(48, 40, 100))]
    alone = [list(scores(pair).values()) for pair in pairs]
    for piece_values in (500, 2**17):
        with resources(piece_values=piece_values):
            together = METRIC.score(Batch(*as_stored(*pairs)))
        np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)
