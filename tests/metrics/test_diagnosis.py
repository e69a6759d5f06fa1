"""Diagnosis: every column against an independent program, closed forms, hand-drawn images, cuts, extremes."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy import ndimage
from torch import Tensor

from relight_eval import columns
from relight_eval.alignment import linear_from_srgb
from relight_eval.errors import ShapeError
from relight_eval.metrics import diagnosis as module
from relight_eval.metrics.diagnosis import diagnosis, kelvin, luminance
from relight_eval.metrics.metric import Batch
from relight_eval.metrics.pieces import resources
from tests.metrics import diagnosis_reference as reference
from tests.metrics.cases import CONTENTS, Image, flat, noise, one_level
from tests.metrics.references import Array

COLUMNS = columns.diagnosis(input=True)
OPTIONAL = {column.name for column in COLUMNS if column.optional}
# Counts of blocks on one side of a level: a block at the level may change sides with the rounding of float32.
COUNTED = {"shadow_iou", "shadow_missed", "shadow_extra", "shadow_baked"}

Scores = dict[str, float]
Triple = tuple[Image, Image, Image]  # prediction, target, input


def scene(height: int, width: int, seed: int, *, level: float = 1.0) -> Image:
    """Smooth shapes, a shadow with a sharp edge, and grain; `level` is how bright."""
    rng = np.random.default_rng(seed)
    coarse = ndimage.zoom(
        rng.uniform(0, 255, (5, 6, 3)), (height / 5, width / 6, 1), order=1, grid_mode=True, mode="nearest"
    )
    i, j = np.mgrid[:height, :width]
    lit = np.where(i * rng.uniform(-1, 1) + j * rng.uniform(-1, 1) > rng.uniform(-5, 5), 1.0, 0.25)
    return np.clip(coarse * lit[..., None] * level + rng.normal(0, 5, coarse.shape), 0, 255).astype(np.uint8)


def triple(height: int, width: int, seed: int, level: float = 1.0) -> Triple:
    """A target, another light of it, and a prediction that is between the two, too dark and too warm."""
    target, given = scene(height, width, seed, level=level), scene(height, width, seed + 1, level=level)
    mixed = (0.6 * target + 0.4 * given) * [0.9, 0.8, 0.6]
    return np.clip(mixed, 0, 255).astype(np.uint8), target, given


def disc(height: int, width: int) -> reference.Mask:
    i, j = np.mgrid[:height, :width]
    return (i - height / 2) ** 2 + (j - width / 3) ** 2 < (0.4 * max(height, width)) ** 2


SIZES = [(64, 64), (70, 53), (33, 48), (35, 34), (19, 17), (5, 7), (4, 4), (4, 40), (40, 4), (176, 164)]
CASES: dict[str, Triple] = (
    {f"scene-{w}x{h}": triple(h, w, seed=10 * h + w) for h, w in SIZES}
    | {f"dark-{w}x{h}": triple(h, w, seed=h + w, level=0.12) for h, w in SIZES[:4]}
    | {f"clipped-{w}x{h}": triple(h, w, seed=h + w, level=2.5) for h, w in SIZES[:4]}
    | {
        f"{content}-48x33": (*make(33, 48), noise(33, 48, seed=7))
        for content, make in CONTENTS.items()
        if content not in {"halves", "stripes", "identical", "bright_flat"}
    }
)


def tensor(*images: Image | Array, dtype: torch.dtype = torch.uint8) -> Tensor:
    """(N, 3, H, W): levels as uint8, as floating point in [0, 1], arrays of floats as they are."""
    whole = torch.stack([torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images])
    if whole.dtype == torch.uint8 and dtype != torch.uint8:
        return whole.to(torch.float64).div(255).to(dtype)
    return whole.to(dtype)


def scores(
    prediction: Image | Array,
    target: Image | Array,
    given: Image | Array | None = None,
    mask: reference.Mask | None = None,
    dtype: torch.dtype | None = None,
) -> Scores:
    """The columns of one pair; arrays of floats in float64 where nothing else is asked for."""
    dtype = dtype or (torch.uint8 if target.dtype == np.uint8 else torch.float64)
    found = diagnosis(
        tensor(prediction, dtype=dtype),
        tensor(target, dtype=dtype),
        input=None if given is None else tensor(given, dtype=dtype),
        mask=None if mask is None else torch.from_numpy(mask)[None],
    )
    assert all(values.shape == (1,) and values.dtype == torch.float64 for values in found.values())
    return {name: values.item() for name, values in found.items()}


def linear_image(*channels: Array | float, height: int = 32, width: int = 32) -> Array:
    """(H, W, 3) float sRGB of what is given in linear light."""
    return reference.encoded(np.stack([np.broadcast_to(channel, (height, width)) for channel in channels], axis=2))


def grey(light: Array) -> Array:
    return linear_image(light, light, light, height=light.shape[0], width=light.shape[1])


def smooth(height: int = 32, width: int = 32, seed: int = 0) -> Array:
    """Linear light of one channel between 0.02 and 0.2."""
    return np.random.default_rng(seed).uniform(0.02, 0.2, (height, width))


class TestReference:
    """Every column of every case."""

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("case", CASES)
    def test_float64(self, case: str, masked: bool) -> None:
        images = CASES[case]
        mask = disc(*images[1].shape[:2]) if masked else None
        prediction, target, given = (image / 255 for image in images)
        expected = reference.diagnosis(prediction, target, input=given, mask=mask)
        computed = scores(*images, mask, dtype=torch.float64)
        assert computed == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
    @pytest.mark.parametrize("case", CASES)
    def test_as_stored_and_as_a_model_has_them(self, case: str, dtype: torch.dtype, masked: bool) -> None:
        images = CASES[case]
        mask = disc(*images[1].shape[:2]) if masked else None
        prediction, target, given = (image / 255 for image in images)
        expected = reference.diagnosis(prediction, target, input=given, mask=mask)
        computed = scores(*images, mask, dtype=dtype)
        blocks = max(images[0].shape[0] // 4 * (images[0].shape[1] // 4), 1)
        for name, value in computed.items():
            # colours near the blue end, where 0.1858 − y nearly vanishes, lose digits
            tolerance = 1 / blocks + 1e-9 if name in COUNTED else 1e-3 if name == "mired_shift" else 1e-5
            assert value == pytest.approx(expected[name], rel=1e-5, abs=tolerance, nan_ok=True), name

    def test_has_the_columns_that_are_declared(self) -> None:
        images = CASES["scene-64x64"]
        assert list(scores(*images)) == [column.name for column in COLUMNS]
        assert list(scores(*images[:2])) == [column.name for column in columns.diagnosis()]

    @pytest.mark.parametrize("with_input", [False, True], ids=["pair", "with input"])
    def test_metric_has_them_in_order(self, with_input: bool) -> None:
        prediction, target, given = (tensor(image) for image in CASES["scene-64x64"])
        metric = module.metric(with_input)
        row = metric.score(Batch(prediction, target, input=given))
        expected = scores(*CASES["scene-64x64"])
        assert metric.min_side == 4
        assert dict(zip([column.name for column in metric.columns], row[0].tolist(), strict=True)) == {
            column.name: expected[column.name] for column in columns.diagnosis(with_input)
        }

    def test_metric_minds_the_mask(self) -> None:
        prediction, target, given = (tensor(image) for image in CASES["scene-64x64"])
        row = module.metric(True).score(
            Batch(prediction, target, input=given, mask=torch.from_numpy(disc(64, 64))[None])
        )
        assert row[0].tolist() == list(scores(*CASES["scene-64x64"], disc(64, 64)).values())


class TestExposureAndColour:
    @pytest.mark.parametrize("stops", [-3.0, -0.5, 0.0, 0.25, 1.0, 2.0])
    def test_a_power_of_two_is_as_many_stops(self, stops: float) -> None:
        target = smooth()
        found = scores(grey(target * 2**stops), grey(target))
        assert found["ev_error"] == pytest.approx(stops, abs=1e-6)
        assert found["ev_median"] == pytest.approx(stops, abs=1e-6)
        assert [found[f"gain_{name}"] for name in "rgb"] == pytest.approx([2**-stops] * 3, abs=1e-6)
        shares = [found[f"share_{name}"] for name in ("exposure", "colour", "rest")]
        assert shares == pytest.approx([float(stops != 0), 0, 0], abs=1e-9)
        assert found["wb_angle"] == pytest.approx(0, abs=1e-5)
        assert found["mired_shift"] == pytest.approx(0, abs=1e-6)

    def test_gains_of_each_channel(self) -> None:
        """Of (2, 1, 1/2) times one grey, one gain takes 2·1.75²/5.25 of 1.25, by hand."""
        light = smooth()
        found = scores(linear_image(2 * light, light, light / 2), grey(light))
        assert [found[f"gain_{name}"] for name in "rgb"] == pytest.approx([0.5, 1, 2], abs=1e-9)
        # Σpt = 3.5, Σpp = 5.25: g = 2/3, it leaves 3 − 3.5²/5.25 = 2/3 of the 1 + 0 + 1/4
        assert found["ev_error"] == pytest.approx(math.log2(1.5), abs=1e-9)
        assert found["share_exposure"] == pytest.approx((1.25 - 2 / 3) / 1.25, abs=1e-9)
        assert found["share_colour"] == pytest.approx(2 / 3 / 1.25, abs=1e-9)
        assert found["share_rest"] == pytest.approx(0, abs=1e-9)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("scene", "clipped"))])
    def test_shares_sum_to_1(self, case: str, dtype: torch.dtype) -> None:
        found = scores(*CASES[case], dtype=dtype)
        assert found["share_exposure"] + found["share_colour"] + found["share_rest"] == pytest.approx(1, abs=1e-9)
        assert found["share_ll2"] + found["share_level2"] + found["share_level1"] == pytest.approx(1, abs=1e-9)

    @pytest.mark.parametrize("gain", [0.25, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("seed", range(5))
    def test_in_float32_no_share_is_above_1(self, gain: float, seed: int) -> None:
        target = smooth(seed=seed)
        found = scores(grey(target * gain), grey(target), dtype=torch.float32)
        assert max(found[f"share_{name}"] for name in ("exposure", "colour", "rest")) <= 1
        assert found["share_exposure"] == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize("channel", [0, 1, 2])
    def test_pixels_with_a_clipped_channel_are_left_out(self, channel: int) -> None:
        target = grey(smooth())
        prediction = reference.encoded(reference.decoded(target) / 2)
        target[:10, :, channel], prediction[:10] = 1.0, 0.9
        found = scores(prediction, target)
        assert found["ev_error"] == pytest.approx(-1, abs=1e-6)
        assert found["wb_angle"] == pytest.approx(0, abs=1e-5)
        squares = (reference.decoded(prediction) - reference.decoded(target)) ** 2
        assert found["share_rest"] == pytest.approx(squares[:10].sum() / squares.sum(), abs=1e-9)
        assert found["share_exposure"] == pytest.approx(1 - found["share_rest"], abs=1e-9)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
    def test_an_error_of_white_pixels_alone_is_of_the_rest(self, dtype: torch.dtype) -> None:
        target = noise(16, 16, 50, 150)
        target[4:8] = 255
        prediction = target.copy()
        prediction[4:8] -= 90
        found = scores(prediction, target, dtype=dtype)
        assert (found["ev_error"], found["share_exposure"], found["share_colour"], found["share_rest"]) == (0, 0, 0, 1)
        assert scores(target, target, dtype=dtype)["share_rest"] == 0  # of no error

    def test_a_clipped_prediction_is_not_left_out(self) -> None:
        target = grey(np.full((8, 8), 0.5))
        assert scores(np.ones((8, 8, 3)), target)["ev_error"] == pytest.approx(1, abs=1e-6)

    def test_255_is_white_and_254_is_not(self) -> None:
        prediction = flat(8, 8, 100)
        assert scores(prediction, flat(8, 8, 255))["ev_error"] == 0
        expected = math.log2(reference.decoded(np.array(100 / 255)) / reference.decoded(np.array(254 / 255)))
        assert scores(prediction, flat(8, 8, 254))["ev_error"] == pytest.approx(expected, abs=1e-6)

    def test_one_wrong_part_moves_least_squares_and_not_the_median(self) -> None:
        target = smooth()
        prediction = target.copy()
        prediction[:12] *= 4
        found = scores(grey(prediction), grey(target))
        assert found["ev_median"] == pytest.approx(0, abs=1e-6)
        assert found["ev_error"] > 1

    def test_blocks_without_an_exposure_do_not_enter_the_median(self) -> None:
        """Rows of blocks: three black, three white, two of 0.1 that the prediction shows at 0.2."""
        target, prediction = np.zeros((32, 32)), np.full((32, 32), 0.2)
        target[12:24], target[24:] = 0.95, 0.1
        assert scores(grey(prediction), grey(target))["ev_median"] == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize("level", [0.0005, 0.95])
    def test_without_a_block_of_an_exposure_there_is_no_median(self, level: float) -> None:
        found = scores(grey(np.full((16, 16), level / 2)), grey(np.full((16, 16), level)))
        assert math.isnan(found["ev_median"])
        assert found["ev_error"] == pytest.approx(-1, abs=1e-6)

    def test_without_a_median_the_prediction_is_brought_to_equal_exposure_by_least_squares(self) -> None:
        """A target that is all but black, at four times its light: the same shadows and the same contrast."""
        target = lit(32, 64, np.s_[8:16, 8:24], light=0.0009, shade=0.0001)
        given = lit(32, 64, np.s_[20:24, 40:48], light=0.0009, shade=0.0001)
        found = scores(grey(4 * target), grey(target), grey(given))
        assert math.isnan(found["ev_median"])
        assert found["ev_error"] == pytest.approx(2, abs=1e-6)
        assert (found["shadow_iou"], found["shadow_missed"], found["shadow_extra"]) == (1, 0, 0)
        assert found["shadow_sharpness"] == pytest.approx(1, abs=1e-6)

    @pytest.mark.parametrize(
        ("ours", "theirs", "degrees"),
        [
            pytest.param((0.4, 0.0, 0.0), (0.0, 0.4, 0.0), 90, id="red-green"),
            pytest.param((0.4, 0.4, 0.0), (0.4, 0.0, 0.0), 45, id="yellow-red"),
            pytest.param((0.3, 0.3, 0.3), (0.3, 0.0, 0.0), math.degrees(math.acos(3**-0.5)), id="white-red"),
            pytest.param((0.1, 0.1, 0.1), (0.7, 0.7, 0.7), 0, id="grey-white"),
        ],
    )
    def test_angle_of_known_colours(self, ours, theirs, degrees: float) -> None:
        assert scores(linear_image(*ours), linear_image(*theirs))["wb_angle"] == pytest.approx(degrees, abs=1e-6)


def of_chromaticity(x: float, y: float) -> float:
    return kelvin(*(torch.tensor([value], dtype=torch.float64) for value in (x, y))).item()


class TestColourTemperature:
    @pytest.mark.parametrize(
        ("x", "y", "expected"),
        [
            pytest.param(0.31271, 0.32902, 6504, id="D65"),
            pytest.param(0.34567, 0.35850, 5003, id="D50"),
            pytest.param(0.44757, 0.40745, 2856, id="A"),
        ],
    )
    def test_of_standard_illuminants(self, x: float, y: float, expected: float) -> None:
        """What the CIE calls them; McCamy promises 2 K."""
        assert of_chromaticity(x, y) == pytest.approx(expected, abs=2)

    def test_the_check_that_is_printed(self) -> None:
        """`xy_to_CCT_McCamy1992` of (0.31270, 0.32900) in the documentation of colour-science 0.4.4: 6505.0805913."""
        assert of_chromaticity(0.3127, 0.3290) == pytest.approx(6505.0805913, abs=1e-6)

    def test_of_what_the_formula_is_not_made_for(self) -> None:
        assert of_chromaticity(0.2, 0.1) == math.inf  # bluer than any daylight
        assert of_chromaticity(0.68, 0.32) == of_chromaticity(0.70, 0.30) == pytest.approx(1621, abs=1)

    @pytest.mark.parametrize(
        ("colour", "is_warm"),
        [
            pytest.param((0.4, 0.3, 0.2), True, id="warm"),
            pytest.param((0.2, 0.3, 0.4), False, id="cool"),
            pytest.param((0.5, 0.02, 0.0), True, id="pure red"),
            pytest.param((0.0, 0.0, 0.5), False, id="pure blue"),
        ],
    )
    def test_plus_is_too_warm(self, colour: tuple[float, float, float], is_warm: bool) -> None:
        grey = linear_image(0.3, 0.3, 0.3)
        shift = scores(linear_image(*colour), grey)["mired_shift"]
        assert (shift > 0) == is_warm
        assert scores(grey, linear_image(*colour))["mired_shift"] == pytest.approx(-shift, abs=1e-9)

    def test_the_range_is_from_the_reddest_to_the_bluest(self) -> None:
        column = next(column for column in COLUMNS if column.name == "mired_shift")
        red, blue = linear_image(0.5, 0.0, 0.0), linear_image(0.0, 0.0, 0.5)
        assert scores(red, blue)["mired_shift"] == column.high == -column.low
        assert scores(blue, red)["mired_shift"] == column.low
        assert column.high == pytest.approx(617.18 - 25, abs=0.005)
        coldest, least = module.COLDEST_MIRED, of_chromaticity(0.7, 0.3)
        assert column.high == 1e6 / least - coldest

    def test_redder_is_never_cooler_and_bluer_never_warmer(self) -> None:
        """Where McCamy's cubic turns back, and where it leaps, the shift stays."""
        ratios = np.geomspace(1e-3, 1e3, 121)
        middle = linear_image(0.1, 0.1, 0.1, height=4, width=4)
        predictions = [linear_image(0.4 * min(r, 1), 0.05, 0.4 * min(1 / r, 1), height=4, width=4) for r in ratios]
        shifts = diagnosis(
            tensor(*predictions, dtype=torch.float64), tensor(*[middle] * len(ratios), dtype=torch.float64)
        )["mired_shift"]
        assert (shifts.diff() >= -1e-9).all()
        assert shifts[0] < -100
        assert shifts[-1] > 400


def alternating(side: int) -> Array:
    """±1 in squares of `side` pixels."""
    i, j = np.mgrid[:32, :32]
    return np.where((i // side + j // side) % 2, 1.0, -1.0)


class TestHaarShares:
    @pytest.mark.parametrize(("side", "name"), [(1, "share_level1"), (2, "share_level2"), (4, "share_ll2")])
    def test_a_checkerboard_is_on_one_level(self, side: int, name: str) -> None:
        found = scores(grey(0.3 + 0.1 * alternating(side)), grey(np.full((32, 32), 0.3)))
        assert found[name] == pytest.approx(1, abs=1e-9)

    def test_energies_add_up(self) -> None:
        """Amplitudes 1, 2 and 3 on three levels: 1, 4 and 9 of 14."""
        error = 0.02 * alternating(1) + 0.04 * alternating(2) + 0.06 * alternating(4)
        found = scores(grey(0.3 + error), grey(np.full((32, 32), 0.3)))
        shares = [found[f"share_{name}"] for name in ("level1", "level2", "ll2")]
        assert shares == pytest.approx([1 / 14, 4 / 14, 9 / 14], abs=1e-9)

    def test_rows_and_columns_beyond_the_last_block_do_not_count(self) -> None:
        target = np.full((18, 19), 0.3)
        prediction = target.copy()
        prediction[16:], prediction[:, 16:] = 0.1, 0.1
        found = scores(grey(prediction), grey(target))
        assert [found[f"share_{name}"] for name in ("level1", "level2", "ll2", "rest")] == [
            0,
            0,
            0,
            pytest.approx(0.5, abs=0.5),
        ]
        prediction[4:8, 4:8] = 0.4
        assert scores(grey(prediction), grey(target))["share_ll2"] == pytest.approx(1, abs=1e-9)


def lit(
    height: int = 32, width: int = 32, *dark: tuple[slice, slice], light: float = 0.4, shade: float = 0.02
) -> Array:
    """Linear light with dark rectangles."""
    plane = np.full((height, width), light)
    for part in dark:
        plane[part] = shade
    return plane


class TestShadows:
    def test_half_of_a_shadow_moved(self) -> None:
        """8×16 pixels, 8 columns to the right: of 8 blocks 4 are the same, 4 are lit and 4 too many."""
        target, prediction = lit(32, 64, np.s_[8:16, 8:24]), lit(32, 64, np.s_[8:16, 16:32])
        found = scores(grey(prediction), grey(target))
        assert [found[f"shadow_{name}"] for name in ("iou", "missed", "extra")] == [4 / 12, 4 / 8, 4 / 8]
        assert found["shadow_sharpness"] == pytest.approx(1, abs=1e-9)

    @pytest.mark.parametrize(
        ("ours", "theirs", "expected"),
        [
            pytest.param([], [np.s_[8:16, 8:16]], (0, 1, 0), id="missed"),
            pytest.param([np.s_[8:16, 8:16]], [], (0, 0, 1), id="extra"),
            pytest.param([], [], (1, 0, 0), id="none in either"),
            pytest.param([np.s_[8:16, 8:16]], [np.s_[8:16, 8:16]], (1, 0, 0), id="same"),
            pytest.param([np.s_[8:16, 8:20]], [np.s_[8:16, 8:16]], (4 / 6, 0, 2 / 6), id="too wide"),
        ],
    )
    def test_of_rectangles(self, ours, theirs, expected: tuple[float, float, float]) -> None:
        found = scores(grey(lit(32, 64, *ours)), grey(lit(32, 64, *theirs)))
        assert tuple(found[f"shadow_{name}"] for name in ("iou", "missed", "extra")) == pytest.approx(expected)

    @pytest.mark.parametrize("gain", [0.125, 0.5, 2.0])
    def test_exposure_makes_no_shadows(self, gain: float) -> None:
        target = lit(32, 64, np.s_[8:16, 8:24])
        found = scores(grey(target * gain), grey(target))
        assert found["shadow_iou"] == 1
        assert found["shadow_sharpness"] == pytest.approx(1, abs=1e-3)  # the floor of the logarithm does not scale

    @pytest.mark.parametrize(("shade", "is_shadow"), [(0.24, True), (0.26, False)])
    def test_dark_is_a_quarter_of_the_mean(self, shade: float, is_shadow: bool) -> None:
        """The mean of light 1 and a shade on 1/128 of the pixels is nearly the light."""
        target = lit(32, 64, np.s_[8:12, 8:12], light=0.8, shade=0.8 * shade)
        assert scores(grey(lit(32, 64, light=0.8)), grey(target))["shadow_missed"] == float(is_shadow)

    def test_contrast_of_an_edge_by_hand(self) -> None:
        """0.4 beside 0.02, against 0.3 beside 0.1: the light half is a half of each, the mean of the target 0.21."""
        target, prediction = lit(32, 32, np.s_[:, :16]), lit(32, 32, np.s_[:, :16], light=0.4, shade=0.1)
        found = scores(grey(prediction), grey(target))
        stops = (
            float(np.log2(0.1 / 0.02)),
            0.0,
        )  # of the dark blocks, of the light ones: the lower of the middle two is 0
        assert found["ev_median"] == pytest.approx(stops[1], abs=1e-9)
        expected = math.log2(0.403 / 0.103) / math.log2(0.403 / 0.023)
        assert found["shadow_sharpness"] == pytest.approx(expected, abs=1e-9)

    def test_without_an_edge_in_the_target_there_is_no_sharpness(self) -> None:
        for prediction in (lit(), lit(32, 32, np.s_[:, :16])):
            assert math.isnan(scores(grey(prediction), grey(lit()))["shadow_sharpness"])

    @pytest.mark.parametrize(
        "prediction",
        [
            pytest.param(lit(), id="lit"),
            pytest.param(np.zeros((32, 32)), id="black"),
            pytest.param(np.ones((32, 32)), id="white"),
            pytest.param(lit(32, 32, np.s_[:, :8], shade=0.39), id="a shadow too faint"),
        ],
    )
    def test_without_an_edge_in_the_prediction_alone_it_is_0(self, prediction: Array) -> None:
        assert scores(grey(prediction), grey(lit(32, 32, np.s_[:, :8])))["shadow_sharpness"] == 0

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("side", [8, 24, 200])
    @pytest.mark.parametrize("dark", [0.002, 0.01, 0.03, 0.06, 0.1, 0.13])
    def test_what_is_on_a_bound_is_not_below_it(self, dark: float, side: int, dtype: torch.dtype) -> None:
        """Half of the target is dark: of 1 and 7 the mean is 4, of 1 and 3 it is 2."""
        lights = [lit(side, 2 * side, np.s_[:, :side], light=times * dark, shade=dark) for times in (7, 3)]
        even = scores(grey(np.full_like(lights[0], 7 * dark)), grey(lights[0]), dtype=dtype)
        assert even["shadow_missed"] == 0
        assert math.isnan(scores(grey(lights[1]), grey(lights[1]), dtype=dtype)["shadow_sharpness"])


class TestDetail:
    def test_contrast_times_a_half(self) -> None:
        """Texture of ±20 levels against ±10: with half a level added to each."""
        target = np.repeat((128 + 20 * alternating(1))[..., None], 3, axis=2) / 255
        prediction = np.repeat((128 + 10 * alternating(1))[..., None], 3, axis=2) / 255
        found = scores(prediction, target)
        equal = 2 ** (-found["ev_median"] / 2.4)
        expected = math.hypot(20 * equal, 0.5) / math.hypot(40, 0.5)  # a checkerboard of ±a: energy (2a)²
        assert found["detail_texture"] == pytest.approx(expected, abs=1e-9)
        assert math.isnan(found["detail_edges"])

    @pytest.mark.parametrize("sigma", [0.8, 1.5])
    def test_blur_takes_both(self, sigma: float) -> None:
        """A step of 150 levels in texture of ±8, at an odd column; fine contrast of a Gaussian is known to go."""
        i, j = np.mgrid[:64, :64]
        levels = 60 + 8.0 * np.where((i + j) % 2, 1, -1) + 150 * (j >= 31)
        target = np.repeat(levels[..., None], 3, axis=2)
        prediction = ndimage.gaussian_filter(target, (sigma, sigma, 0), mode="nearest")
        found = scores(prediction / 255, target / 255)
        # of a step, what is left between the two neighbours: the weight in the middle of the Gaussian
        assert found["detail_edges"] == pytest.approx(1 / (math.sqrt(2 * math.pi) * sigma), abs=0.01)
        # and of the finest checkerboard exp(−π²σ²): nothing but the half level
        assert found["detail_texture"] == pytest.approx(math.exp(-((math.pi * sigma) ** 2)), abs=0.04)

    def test_a_shift_neither_blurs_nor_adds_texture(self) -> None:
        target = scene(96, 96, 3)
        found = scores(np.roll(target, 2, axis=1)[:, 4:], target[:, 4:])
        assert found["detail_texture"] == pytest.approx(1, abs=0.1)

    def test_one_level_more_or_less_is_no_texture(self) -> None:
        target = flat(64, 64, 40)
        target[21:40, 21:40] = 120
        offset = np.random.default_rng(0).integers(-1, 2, target.shape)
        found = scores((target + offset).astype(np.uint8), target)
        assert 1 < found["detail_texture"] < 3.5  # of nothing at all, and no longer of 0 / 0 or 1 / 0
        assert found["detail_edges"] == pytest.approx(1, abs=0.02)

    def test_blocks_of_jpeg(self) -> None:
        """Pillow at quality 10 and 95."""
        target = scene(128, 128, 5)
        for quality, low, high in ((10, 1.3, 20), (95, 0.9, 1.1)):
            file = io.BytesIO()
            Pillow.fromarray(target).save(file, "JPEG", quality=quality)
            assert low < scores(np.asarray(Pillow.open(file)), target)["blockiness"] < high

    def test_steps_at_every_eighth_column_by_hand(self) -> None:
        """A ramp of one level a column against one with 9 levels at each border; half a level is added."""
        j = np.arange(33)
        target, prediction = (
            np.repeat(np.tile(levels, (8, 1))[..., None], 3, axis=2) for levels in (j, j + 8 * (j // 8))
        )
        found = scores(prediction.astype(np.uint8), target.astype(np.uint8))
        assert found["blockiness"] == pytest.approx(9.5 / 1.5, abs=1e-5)

    @pytest.mark.parametrize(("width", "has"), [(8, False), (9, True)])
    def test_without_a_border_there_is_no_blockiness(self, width: int, has: bool) -> None:
        assert math.isfinite(scores(noise(8, width), noise(8, width, seed=1))["blockiness"]) == has

    @pytest.mark.parametrize("seed", range(20))
    def test_a_quarter_of_the_image_with_all_of_the_detail_is_on_the_bound(self, seed: int) -> None:
        """Where one cell in four has the same detail, it is twice the root mean square, and no edge."""
        step = np.random.default_rng(seed).uniform(5, 90)
        levels = np.full((28, 28), 100.0)
        levels[::4, ::4] += step  # one cell of 2×2 in four
        image = np.repeat(levels[..., None], 3, axis=2) / 255
        for dtype in (torch.float32, torch.float64):
            assert math.isnan(scores(image, image, dtype=dtype)["detail_edges"])


class TestLocal:
    @pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 9), (11, 11)])
    def test_one_wrong_square(self, row: int, column: int) -> None:
        """One of 144 tiles of 16×16."""
        target = scene(192, 192, 8)
        prediction = target.copy()
        prediction[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = [200, 30, 200]
        found = scores(prediction, target)
        assert found["local_share"] == pytest.approx(1, abs=1e-6)
        assert (found["local_x"], found["local_y"]) == (16 * column + 8, 16 * row + 8)

    @pytest.mark.parametrize("tiles", [1, 4, 15, 25])
    def test_an_even_error_is_a_hundredth(self, tiles: int) -> None:
        target = flat(16 * tiles, 32, 100)
        assert scores(target + np.uint8(9), target)["local_share"] == pytest.approx(0.01, abs=1e-6)

    def test_of_few_tiles_a_part_of_the_worst(self) -> None:
        target = flat(64, 64, 100)
        prediction = target.copy()
        prediction[20:24, 40:44] += 50
        assert scores(prediction, target)["local_share"] == pytest.approx(0.16, abs=1e-6)

    @pytest.mark.parametrize(
        ("part", "tiles"),
        [
            pytest.param(np.s_[:, :], 100, id="all"),
            pytest.param(np.s_[:, :80], 50, id="half"),
            pytest.param(np.s_[:, :84], 60, id="a block of the sixth column"),
            pytest.param(np.s_[:, :83], 50, id="no whole block of the sixth column"),
            pytest.param(np.s_[16:32, 16:32], 1, id="one tile"),
            pytest.param(np.s_[14:34, 14:34], 1, id="one tile and a margin of two pixels"),
        ],
    )
    def test_tiles_outside_of_the_mask_do_not_count(self, part: tuple[slice, slice], tiles: int) -> None:
        """Of an even error in whole tiles the worst hundredth holds a hundredth, whatever the mask."""
        target, mask = flat(160, 160, 100), np.zeros((160, 160), bool)
        mask[part] = True
        expected = 0.01 if tiles != 60 else 0.6 / (50 * 16 + 10 * 4) * 16  # ten tiles hold a quarter
        assert scores(target + np.uint8(9), target, mask=mask)["local_share"] == pytest.approx(expected, abs=1e-6)
        one = target.copy()
        one[20:24, 20:24] += 9
        assert scores(one, target, mask=mask)["local_share"] == pytest.approx(tiles / 100, abs=1e-6)

    def test_each_image_has_the_tiles_of_its_own_mask(self) -> None:
        target = flat(320, 320, 100)
        masks = np.zeros((3, 320, 320), bool)
        masks[0], masks[1, :160], masks[2, :16, :16] = True, True, True
        pairs = tensor(*[target + np.uint8(9)] * 3), tensor(*[target] * 3)
        shares = diagnosis(*pairs, mask=torch.from_numpy(masks))["local_share"]
        assert shares.tolist() == pytest.approx([0.01] * 3, abs=1e-6)

    def test_the_last_tiles_are_smaller(self) -> None:
        target = flat(23, 42, 100)
        prediction = target.copy()
        prediction[18, 38] += 50
        found = scores(prediction, target)
        assert (found["local_x"], found["local_y"]) == (36, 18)  # the middle of 32 to 40, of 16 to 20

    def test_identical_images_have_no_worst_place(self) -> None:
        found = scores(noise(32, 32), noise(32, 32))
        assert found["local_share"] == 0
        assert math.isnan(found["local_x"])
        assert math.isnan(found["local_y"])


class TestInput:
    INPUT, TARGET = lit(32, 64, np.s_[8:16, 8:24]), lit(32, 64, np.s_[16:24, 40:56])

    @pytest.mark.parametrize(
        ("prediction", "baked"),
        [
            pytest.param(INPUT, 1, id="the input"),
            pytest.param(TARGET, 0, id="the target"),
            pytest.param(lit(32, 64, np.s_[8:16, 8:12], np.s_[16:24, 40:56]), 2 / 8, id="a quarter"),
            pytest.param(lit(32, 64, np.s_[8:16, 8:24], shade=0.29), 0, id="less than half a stop"),
            pytest.param(lit(32, 64, np.s_[8:16, 8:24], shade=0.27), 1, id="more than half a stop"),
            pytest.param(lit(32, 64, np.s_[8:16, 8:24], shade=0.4 * 2**-0.5), 0, id="half a stop"),
        ],
    )
    def test_what_is_left_of_a_shadow(self, prediction: Array, baked: float) -> None:
        """0.4 less half a stop is 0.283: what is as dark as that is not darker."""
        assert scores(*map(grey, (prediction, self.TARGET, self.INPUT)))["shadow_baked"] == pytest.approx(baked)

    def test_a_darker_input_has_no_more_shadows(self) -> None:
        found = scores(*map(grey, (self.INPUT, self.TARGET, self.INPUT / 4)))
        assert found["shadow_baked"] == 1
        assert math.isnan(scores(*map(grey, (self.INPUT, lit(32, 64), lit(32, 64) / 8)))["shadow_baked"])

    def test_copy_ratio_by_hand(self) -> None:
        target = grey(np.full((8, 8), 0.5))
        found = [
            scores(grey(np.full((8, 8), light)), target, grey(np.full((8, 8), 0.1))) for light in (0.1, 0.3, 0.9, 0.5)
        ]
        assert [one["copy_ratio"] for one in found] == pytest.approx([1, 0.5, 1, 0], abs=1e-9)

    def test_copy_ratio_of_an_input_that_is_the_target(self) -> None:
        target = noise(8, 8)
        assert scores(noise(8, 8, seed=1), target, target)["copy_ratio"] == 1000
        assert scores(target, target, target)["copy_ratio"] == 0


class TestCuts:
    """How an image is cut, and what is beside it, does not matter."""

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("piece_values", [1, 1700, 5000, 2**17])
    @pytest.mark.parametrize("case", ["scene-64x64", "scene-53x70", "scene-48x33", "clipped-34x35", "scene-17x19"])
    def test_pieces(self, case: str, piece_values: int, masked: bool) -> None:
        images = [tensor(image, other) for image, other in zip(CASES[case], CASES[case][::-1], strict=True)]
        mask = torch.from_numpy(np.stack([disc(*CASES[case][0].shape[:2])] * 2)) if masked else None
        with resources(piece_values=2**40):
            expected = diagnosis(*images[:2], input=images[2], mask=mask)
        with ThreadPoolExecutor(3) as pool:
            for threads in (None, pool):
                with resources(piece_values=piece_values, pool=threads):
                    computed = diagnosis(*images[:2], input=images[2], mask=mask)
                same(computed, expected)

    @pytest.mark.parametrize("height", range(4, 40))
    def test_every_height(self, height: int) -> None:
        """Fewer than four rows are left for the last strip, or more."""
        images = triple(height, 20, seed=height)
        expected = reference.diagnosis(images[0] / 255, images[1] / 255, input=images[2] / 255)
        with resources(piece_values=1):
            computed = scores(*images, dtype=torch.float64)
        assert computed == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)

    def test_a_batch_and_its_order(self) -> None:
        images = [triple(32, 40, seed) for seed in range(5)]
        together = diagnosis(*(tensor(*of) for of in zip(*(one[:2] for one in images), strict=True)))
        backwards = diagnosis(*(tensor(*of) for of in zip(*(one[:2] for one in images[::-1]), strict=True)))
        for i, one in enumerate(images):
            alone = scores(*one[:2])
            same({name: values[i : i + 1] for name, values in together.items()}, alone)
            same({name: values[len(images) - 1 - i][None] for name, values in backwards.items()}, alone)

    @pytest.mark.parametrize("case", CASES)
    def test_a_mask_of_all_changes_nothing(self, case: str) -> None:
        images = CASES[case]
        same(scores(*images, np.ones(images[0].shape[:2], bool)), scores(*images))

    @pytest.mark.parametrize("outside", ["black", "white", "noise"])
    def test_what_is_outside_of_a_mask_does_not_matter(self, outside: str) -> None:
        mask, other = (
            disc(64, 64),
            {"black": flat(64, 64, 0), "white": flat(64, 64, 255), "noise": noise(64, 64)}[outside],
        )
        changed = [np.where(mask[..., None], image, other) for image in CASES["scene-64x64"]]
        same(scores(*changed, mask), scores(*CASES["scene-64x64"], mask))


def same(computed: Mapping[str, Tensor | float], expected: Mapping[str, Tensor | float]) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(computed[name], value, rtol=1e-6, atol=1e-6, err_msg=name)


EXTREMES: dict[str, Callable[[int, int], tuple[Image, Image]]] = CONTENTS | {
    "both black": lambda h, w: (flat(h, w, 0), flat(h, w, 0)),
    "both white": lambda h, w: (flat(h, w, 255), flat(h, w, 255)),
    "black target": lambda h, w: (noise(h, w), flat(h, w, 0)),
    "white target": lambda h, w: (noise(h, w), flat(h, w, 255)),
    "white black": lambda h, w: (flat(h, w, 255), flat(h, w, 0)),
    "constants": lambda h, w: (flat(h, w, 90), flat(h, w, 100)),
    "one level": lambda h, w: (flat(h, w, 1), flat(h, w, 0)),
    "level of black": lambda h, w: (flat(h, w, 0), flat(h, w, 1)),
    "one pixel": lambda h, w: (one_level(flat(h, w, 0)), flat(h, w, 0)),
    "red and blue": lambda h, w: (flat(h, w, 200) * np.uint8([1, 0, 0]), flat(h, w, 200) * np.uint8([0, 0, 1])),
    "no green": lambda h, w: (noise(h, w) * np.uint8([1, 0, 1]), noise(h, w, seed=1)),
}


# Columns that come from blocks of 4×4 pixels.
OF_BLOCKS = {
    "ev_median", "share_ll2", "share_level2", "share_level1", "local_share", "local_x", "local_y", "shadow_iou",
    "shadow_missed", "shadow_extra", "shadow_sharpness", "detail_edges", "detail_texture", "detail_match",
    "shadow_baked",
}  # fmt: skip


class TestExtremes:
    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
    @pytest.mark.parametrize("size", [(33, 48), (4, 4), (5, 7)], ids=str)
    @pytest.mark.parametrize("extreme", EXTREMES)
    def test_every_value_is_within_its_range(self, extreme: str, size: tuple[int, int], dtype: torch.dtype) -> None:
        """NaN only where a column is optional, or of blocks where the mask has none.

        With every image as input, and with masks down to nothing.
        """
        prediction, target = EXTREMES[extreme](*size)
        masks = torch.zeros(3, *size, dtype=torch.bool)
        masks[0], masks[1, : size[0] // 2 + 1] = True, True
        inputs = [noise(*size, seed=3), prediction, target, flat(*size, 0)]
        images = [tensor(*of * 3, dtype=dtype) for of in ([prediction] * 4, [target] * 4, inputs)]
        without = torch.tensor([False, size[0] < 8, True]).repeat_interleave(4)
        found = diagnosis(*images[:2], input=images[2], mask=masks.repeat_interleave(4, 0))
        for column in COLUMNS:
            values = found[column.name]
            if column.name in OF_BLOCKS:
                assert values[without].isnan().all(), column.name
                values = values[~without]
            if column.optional:
                values = values[~values.isnan()]
            assert values.isfinite().all(), column.name
            assert ((values >= column.low) & (values <= column.high)).all(), (column.name, values)

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("height", [16, 33])
    def test_identical_images_have_the_values_that_are_declared(self, height: int, seed: int) -> None:
        image = scene(height, 48, seed)
        for dtype in (torch.uint8, torch.float32):
            for name, value in scores(image, image, dtype=dtype).items():
                column = next(column for column in COLUMNS if column.name == name)
                assert value == column.identical or (math.isnan(value) and name in OPTIONAL), name
                assert value != 0 or math.copysign(1, value) == 1, name  # not -0

    @pytest.mark.parametrize("extreme", ["both black", "white black", "constants", "identical", "noise"])
    def test_a_mask_without_a_whole_block_has_no_score_of_blocks(self, extreme: str) -> None:
        mask = np.zeros((32, 32), bool)
        mask[2:9, 2:30] = True
        mask[4:8:2] = False
        found = scores(*EXTREMES[extreme](32, 32), noise(32, 32), mask)
        assert {name for name, value in found.items() if math.isnan(value)} >= OF_BLOCKS
        assert {name for name in OF_BLOCKS if name not in OPTIONAL}  # of which the engine makes an error

    @pytest.mark.parametrize("target", ["scene", "half lit", "flat", "black", "white", "narrow"])
    def test_a_bad_prediction_lacks_no_column(self, target: str) -> None:
        """What an image lacks is for its target and input to say, but for the worst place of no error."""
        images = {
            "scene": scene(48, 64, 1),
            "half lit": np.where(np.arange(64)[None, :, None] < 24, flat(48, 64, 20), flat(48, 64, 200)),
            "flat": flat(48, 64, 100),
            "black": flat(48, 64, 0),
            "white": flat(48, 64, 255),
            "narrow": scene(48, 8, 1),
        }
        chosen = images[target]
        height, width = chosen.shape[:2]
        given = np.roll(scene(height, width, 2), 9, axis=0)
        predictions = [flat(height, width, level) for level in (0, 1, 100, 255)]
        predictions += [noise(height, width), given, scene(height, width, 5), chosen]
        found = [scores(prediction, chosen, given) for prediction in predictions]
        lacking = [{name for name, value in one.items() if math.isnan(value)} - {"local_x", "local_y"} for one in found]
        assert all(names == lacking[-1] for names in lacking), lacking
        for prediction, one in zip(predictions, found, strict=True):
            assert math.isnan(one["local_x"]) == (prediction == chosen).all()

    def test_black_prediction(self) -> None:
        found = scores(flat(32, 32, 0), noise(32, 32, 10, 200))
        assert (found["ev_error"], found["share_rest"], found["gain_r"]) == (-16, 1, 1)
        assert found["ev_median"] < -15

    def test_black_target(self) -> None:
        found = scores(noise(32, 32), flat(32, 32, 0))
        assert (found["ev_error"], found["share_exposure"], found["gain_r"]) == (16, 1, 0)
        assert (found["wb_angle"], found["mired_shift"]) == (0, 0)
        assert math.isnan(found["ev_median"])

    def test_shapes_that_do_not_fit(self) -> None:
        with pytest.raises(ShapeError, match=r"prediction is \(1, 3, 8, 8\) but target is \(1, 3, 8, 9\)"):
            diagnosis(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 9))
        with pytest.raises(ShapeError, match="40x3 is too small for diagnosis: at least 4x4"):
            diagnosis(torch.zeros(1, 3, 3, 40), torch.zeros(1, 3, 3, 40))


def test_linear_light_and_its_luminance() -> None:
    """The usual checks: 0.5 is 0.21404, the line ends at 0.04045, white is 1."""
    values = torch.tensor([0.0, 0.04045, 0.5, 1.0], dtype=torch.float64)
    assert linear_from_srgb(values).tolist() == pytest.approx([0, 0.04045 / 12.92, 0.2140411, 1], abs=1e-7)
    image = tensor(noise(8, 8))
    expected = reference.decoded(noise(8, 8) / 255) @ reference.LUMINANCE
    for feed in (image, image / 255):
        np.testing.assert_allclose(luminance(feed)[0], expected, atol=1e-6)


def test_protocol() -> None:
    assert module.protocol() == "linear,haar2,v1"


def test_the_revision_is_of_these_constants() -> None:
    """Where one of them changes, so do scores: raise REVISION, and write both here."""
    words = {
        name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, int | float | tuple)
    }
    assert (module.REVISION, words) == (
        "v1",
        {
            "MIN_SIDE": 4, "STOPS": 16.0, "BLACK": 1e-3, "NEARLY_WHITE": 0.9, "DARK": 0.25, "EDGE": 0.5,
            "SHADOW_FLOOR": 3e-3, "BAKED_INPUT": 1.0, "BAKED": 0.5, "STRONG": 2.0, "BLOCK": 4, "TILE": 16,
            "WORST_TILES": 0.01, "JPEG": 8, "LEAST_VARIANCE": 1e-10, "LEAST": 0.5 / 255, "LARGEST_RATIO": 1000.0,
            "MARGIN": 1e-6,
            "ENCODED": 1 / 2.4, "LUMINANCE": (0.2126, 0.7152, 0.0722), "LUMA": (0.299, 0.587, 0.114),
            "XYZ": ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)),
            "COLDEST_MIRED": 25.0, "REDDEST": -1.278, "BLUEST": 0.1858,
        },
    )  # fmt: skip
