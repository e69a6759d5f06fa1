"""W-SSIM: every column, level, ratio and wavelet against the float64 reference, and small sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from relight_eval import columns
from relight_eval.errors import ShapeError
from relight_eval.metrics import wssim as module
from relight_eval.metrics.pieces import resources
from relight_eval.metrics.wssim import band_ssims, band_weights, wssim_loss
from tests.metrics import references
from tests.metrics.cases import (
    ATOL,
    CASES,
    FLAT_PARTS,
    SSIM_ATOL,
    Pair,
    as_float64,
    as_stored,
    each_case,
    field_pair,
    flat,
    noise,
    score,
    to_tensors,
    white_where,
)

FIELD_NUMBERS = {
    "wssim": "0.378501",
    "wssim_full": "0.496996",
    "wssim_hl1": "0.144904",
    "wssim_lh1": "0.123725",
    "wssim_hh1": "0.099127",
    "wssim_hl2": "0.203720",
    "wssim_lh2": "0.182458",
    "wssim_hh2": "0.021262",
    "wssim_ll2": "0.641388",
}

SETTINGS = [
    ("haar", 1, 0.7),
    ("haar", 3, 0.3),
    ("haar", 4, 0.95),
    ("db2", 1, 0.7),
    ("db2", 2, 0.5),
    ("db2", 4, 0.7),
    ("sym4", 2, 0.7),
    ("sym4", 4, 0.7),
    ("bior2.2", 2, 0.7),
    ("bior2.2", 3, 0.1),
]


def default() -> module.Metric:
    return module.metric(module.WAVELET, module.LEVELS, module.RATIO)


def expected(pair: Pair, wavelet: str = "haar", levels: int = 2, ratio: float = 0.7) -> dict[str, float]:
    columns = references.wssim(*as_float64(pair), wavelet, levels, ratio)
    del columns["loss"]
    return columns


class TestWeights:
    def test_of_the_paper(self) -> None:
        weights = {"full": 1, "hl1": 0.21, "lh1": 0.21, "hh1": 0.09}
        weights |= {"hl2": 0.1029, "lh2": 0.1029, "hh2": 0.0441, "ll2": 0.2401}
        assert band_weights(2, 0.7) == pytest.approx(weights, rel=1e-14)

    @pytest.mark.parametrize("ratio", [0.01, 0.3, 0.5, 0.7, 0.99], ids="ratio_{}".format)
    @pytest.mark.parametrize("levels", range(1, 9), ids="levels_{}".format)
    def test_sum_to_2(self, levels: int, ratio: float) -> None:
        weights = band_weights(levels, ratio)
        assert sum(weights.values()) == pytest.approx(2, rel=1e-14)
        assert len(weights) == 3 * levels + 2


class TestProperties:
    @pytest.mark.parametrize("ratio", [0.3, 0.7], ids="ratio_{}".format)
    @pytest.mark.parametrize("levels", [1, 2, 3, 4], ids="levels_{}".format)
    def test_identical(self, levels: int, ratio: float) -> None:
        image, _ = to_tensors(CASES["bright-48x33"])
        assert wssim_loss(image, image, levels=levels, ratio=ratio).tolist() == pytest.approx([-2], abs=1e-12)
        ssims = {band: value.item() for band, value in band_ssims(image, image, levels=levels).items()}
        assert ssims == dict.fromkeys(ssims, 1.0)

    @pytest.mark.parametrize("case", ["noise-33x47", "dark-16x16", "halves-48x33"])
    def test_loss_is_minus_two_scores(self, case: str) -> None:
        loss = wssim_loss(*as_stored(CASES[case])).item()
        assert loss == pytest.approx(-2 * score(default(), CASES[case])["wssim"], rel=1e-14)
        assert loss == pytest.approx(references.wssim(*as_float64(CASES[case]))["loss"], abs=ATOL)

    @pytest.mark.parametrize("side", [32, 64, 256], ids="side_{}".format)
    def test_black_against_white(self, side: int) -> None:
        """Flat high bands score 1 and make up nearly all of it."""
        computed = score(default(), (flat(side, side, 0), flat(side, side, 255)))
        assert f"{computed['wssim']:.3f}" == "0.380"
        assert [computed[f"wssim_{band}"] for band in ("hl1", "lh1", "hh1", "hl2", "lh2", "hh2")] == [1.0] * 6
        assert computed["wssim_ll2"] < 1e-3

    @pytest.mark.parametrize(("lost", "other"), [("hl1", "lh1"), ("lh1", "hl1")])
    def test_lost_edges_show_in_the_band_of_their_direction(self, lost: str, other: str) -> None:
        """A prediction without the target's stripes: hl for horizontal ones, lh for vertical ones."""
        horizontal = white_where(32, 32, lambda i, j: i % 2)
        target = horizontal if lost == "hl1" else horizontal.transpose(1, 0, 2)
        computed = score(default(), (flat(32, 32, 127), target))
        assert computed[f"wssim_{lost}"] < 0.1
        assert computed[f"wssim_{other}"] == 1.0
        assert computed["wssim_hh1"] == 1.0

    def test_wrong_exposure_shows_in_ll2(self) -> None:
        target = noise(64, 64, 100, 110)
        computed = score(default(), (target // 2, target))
        assert computed["wssim_ll2"] < 0.85
        assert min(computed[f"wssim_{band}"] for band in ("hl1", "lh1", "hh1")) > 0.9

    def test_high_bands_change_with_the_exposure(self) -> None:
        target = noise(64, 64)
        assert score(default(), (target // 2, target))["wssim_hh1"] < 0.9

    @pytest.mark.parametrize("levels", [1, 2, 3, 4], ids="levels_{}".format)
    def test_column_names_follow_the_levels(self, levels: int) -> None:
        names = [column.name for column in columns.wssim(levels)]
        assert names == ["wssim", "wssim_full"] + [
            f"wssim_{band}{level}" for level in range(1, levels + 1) for band in ("hl", "lh", "hh")
        ] + [f"wssim_ll{levels}"]


class TestSmallImages:
    @pytest.mark.parametrize("levels", [1, 2, 3, 4], ids="levels_{}".format)
    def test_smallest_side_is_two_to_the_levels(self, levels: int) -> None:
        side = 2**levels
        assert module.metric("haar", levels, 0.7).min_side == side
        too_small = torch.zeros(1, 3, side + 5, side - 1)
        message = rf"{side - 1}x{side + 5} is too small for {levels} wavelet levels: at least {side}x{side}"
        for function in (band_ssims, wssim_loss):
            with pytest.raises(ShapeError, match=message):
                function(too_small, too_small, levels=levels)

    @pytest.mark.parametrize("wavelet", ["haar", "db2"])
    @pytest.mark.parametrize("levels", [1, 2, 3, 4], ids="levels_{}".format)
    def test_at_the_smallest_side(self, levels: int, wavelet: str) -> None:
        """Haar's last bands are one pixel, far below the window: the zero padding fills the rest."""
        side = 2**levels
        pair = noise(side, side), noise(side, side, seed=1)
        computed = score(module.metric(wavelet, levels, 0.7), pair)
        assert computed == pytest.approx(expected(pair, wavelet, levels), abs=ATOL)

    def test_lone_pixel_by_hand(self) -> None:
        """A lone pixel p lies under the middle w of the window: mean w p, (co)variance w (1 - w) p q."""
        w = 1 / sum(math.exp(-(i * i + j * j) / 4.5) for i in range(-5, 6) for j in range(-5, 6))
        p, q = 0.3, 0.8
        luminance = (2 * w * w * p * q + 1e-4) / (w * w * (p * p + q * q) + 1e-4)
        structure = (2 * w * (1 - w) * p * q + 9e-4) / (w * (1 - w) * (p * p + q * q) + 9e-4)
        flat_pair = (torch.full((1, 3, 2, 2), value / 2, dtype=torch.float64) for value in (p, q))
        ssims = band_ssims(*flat_pair, levels=1)  # LL is the sum of four pixels, halved: p and q
        assert ssims["ll1"].item() == pytest.approx(luminance * structure, rel=1e-12)

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 16, 16), (1, 3, 16, 17)), ((1, 1, 16, 16), (1, 3, 16, 16)), ((16, 16), (16, 16))],
        ids=["other_width", "would_broadcast", "no_batch"],
    )
    @pytest.mark.parametrize("function", [band_ssims, wssim_loss])
    def test_shapes_that_do_not_fit(self, function, prediction, target) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            function(torch.zeros(prediction), torch.zeros(target))


class TestValues:
    @each_case(case for case in CASES if not case.startswith(FLAT_PARTS))
    def test_reference(self, pair: Pair) -> None:
        assert score(default(), pair) == pytest.approx(expected(pair), abs=SSIM_ATOL)

    @each_case(case for case in CASES if case.startswith(FLAT_PARTS))
    def test_reference_of_flat_parts(self, pair: Pair) -> None:
        assert score(default(), pair) == pytest.approx(expected(pair), abs=ATOL)

    @pytest.mark.parametrize(("height", "width"), [(83, 12), (84, 13), (121, 9), (122, 40)], ids=str)
    @pytest.mark.parametrize("levels", [1, 2, 3], ids="levels_{}".format)
    def test_reference_of_several_pieces(self, levels: int, height: int, width: int) -> None:
        """The pieces of W-SSIM have at least 40 rows; LL is put together of them for the next level."""
        pair = noise(height, width), noise(height, width, seed=1)
        with resources(piece_values=1):
            computed = score(module.metric("haar", levels, 0.7), pair)
        assert computed == pytest.approx(expected(pair, levels=levels), abs=SSIM_ATOL)

    @each_case(["noise-33x47", "bright-16x16", "stripes-19x17", "black-48x33", "bright_close-19x17"])
    @pytest.mark.parametrize(
        ("wavelet", "levels", "ratio"), SETTINGS, ids=["-".join(map(str, setting)) for setting in SETTINGS]
    )
    def test_reference_of_other_settings(self, pair: Pair, wavelet: str, levels: int, ratio: float) -> None:
        computed = score(module.metric(wavelet, levels, ratio), pair)
        assert computed == pytest.approx(expected(pair, wavelet, levels, ratio), abs=SSIM_ATOL)

    @each_case(["noise-33x47", "halves-64x64", "bright_flat-19x17", "black_white-48x33"])
    @pytest.mark.parametrize("wavelet", ["haar", "db2"])
    def test_reference_of_float64_images(self, pair: Pair, wavelet: str) -> None:
        """Which are computed in float64."""
        images = [torch.from_numpy(image.transpose(2, 0, 1).copy())[None] for image in as_float64(pair)]
        computed = {f"wssim_{band}": ssim.item() for band, ssim in band_ssims(*images, wavelet=wavelet).items()}
        columns = expected(pair, wavelet)
        del columns["wssim"], columns["wssim_full"]
        assert computed == pytest.approx(columns, abs=1e-9)

    def test_a_band_that_cancels(self) -> None:
        """The LL2 of a bright pair, whose variance is a millionth of its mean square."""
        pair = CASES["bright_close-64x64"]
        reference = references.wssim(*as_float64(pair))["wssim_ll2"]
        for feed in (as_stored, to_tensors):
            assert band_ssims(*feed(pair))["ll2"].item() == pytest.approx(reference, abs=SSIM_ATOL)

    def test_flat_against_another_flat(self) -> None:
        """C2 is 9e-4, and what is left of E[x²] − E[x]² where there is no variance is compared with it."""
        pair = flat(64, 64, 64), flat(64, 64, 200)
        assert score(default(), pair) == pytest.approx(expected(pair), abs=ATOL)

    def test_field_numbers(self) -> None:
        """The project's reference numbers, from the published code of W-SSIM's authors and another program."""
        computed = score(default(), field_pair())
        assert {name: f"{value:.6f}" for name, value in computed.items()} == FIELD_NUMBERS
        assert f"{wssim_loss(*to_tensors(field_pair())).item():.6f}" == "-0.757002"


@pytest.mark.parametrize(
    ("wavelet", "levels"), [("haar", 8), ("db2", 6), ("db8", 8), ("sym20", 8), ("dmey", 8)], ids=str
)
def test_deep_and_long_bands_of_a_bright_image_keep_the_fifth_digit(wavelet: str, levels: int) -> None:
    """Transformed in float32, the bands of sym20 at 8 levels are off by 1.4e-4."""
    rng = np.random.default_rng(8)
    target = rng.integers(250, 256, (256, 256, 3), dtype=np.uint8)
    prediction = np.clip(target.astype(int) + rng.integers(-2, 3, target.shape), 0, 255).astype(np.uint8)
    arrays = [(image / 255).astype(np.float32) for image in (prediction, target)]
    tensors = [torch.from_numpy(image.transpose(2, 0, 1).copy())[None] for image in arrays]
    found = band_ssims(*tensors, wavelet=wavelet, levels=levels)
    doubles = [torch.from_numpy((image / 255).transpose(2, 0, 1).copy())[None] for image in (prediction, target)]
    exact = band_ssims(*doubles, wavelet=wavelet, levels=levels)
    for band in exact:
        assert found[band].item() == pytest.approx(exact[band].item(), abs=1e-5), band
