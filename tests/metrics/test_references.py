"""Pedigree of `tests.metrics.references`: published numbers, closed forms and other people's programs.

Programs compared with, at the versions that the tests were first passed with: scikit-image 0.26.0,
piq 0.8.0, frame-analytics 0.7.0, torch 2.14.1 with torchvision 0.29.1, PyWavelets 1.9.0.
"""

from collections.abc import Callable, Iterator

import frame_analytics
import frame_analytics.functional
import frame_analytics.reference
import numpy as np
import piq
import pytest
import pywt
import skimage.metrics
import torch
from torchvision.models import vgg

from tests.metrics import references
from tests.metrics.references import Array

Pair = tuple[Array, Array]


def field_pair() -> Pair:
    """The 64x64 pair of the project's reference numbers: i row, j column, c channel."""
    i, j, c = np.meshgrid(np.arange(64), np.arange(64), np.arange(3), indexing="ij")
    return (7 * i + 11 * j + 29 * c + 40) % 256 / 255, (7 * i + 13 * j + 29 * c) % 256 / 255


def noise(height: int, width: int, low: float = 0.0, high: float = 1.0) -> Pair:
    """Two independent images of uniform noise in [low, high]."""
    x, y = np.random.default_rng(7).uniform(low, high, (2, height, width, 3))
    return x, y


def one_pixel(height: int, width: int) -> Pair:
    """One image, and the same with one black pixel in the middle."""
    x, _ = noise(height, width)
    y = x.copy()
    y[height // 2, width // 2] = 0
    return x, y


PAIRS = {
    "field_pair": field_pair(),
    "noise": noise(64, 48),
    "odd_sizes": noise(47, 65),
    "dark": noise(64, 64, high=0.06),
    "bright": noise(64, 64, low=0.9),
    "black_noise": (np.zeros((64, 64, 3)), noise(64, 64)[0]),
    "black_white": (np.zeros((64, 64, 3)), np.ones((64, 64, 3))),
    "one_pixel": one_pixel(64, 64),
}
each_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())


def as_tensor(image: Array) -> torch.Tensor:
    """(H, W, 3) to a float64 tensor (1, 3, H, W)."""
    return torch.tensor(image).permute(2, 0, 1)[None]


@pytest.fixture(autouse=True, scope="module")
def _no_compile() -> Iterator[None]:
    """Keep frame-analytics from spending seconds in torch.compile."""
    before = frame_analytics.functional._COMPILE_ENABLED
    frame_analytics.set_compile_enabled(False)
    yield
    frame_analytics.set_compile_enabled(before)


FIELD_WSSIM = {
    "wssim_full": "0.496996",
    "wssim_hl1": "0.144904",
    "wssim_lh1": "0.123725",
    "wssim_hh1": "0.099127",
    "wssim_hl2": "0.203720",
    "wssim_lh2": "0.182458",
    "wssim_hh2": "0.021262",
    "wssim_ll2": "0.641388",
    "loss": "-0.757002",
    "wssim": "0.378501",
}


class TestFieldNumbers:
    """The project's reference numbers, older than these functions.

    According to the project's notes they come from the published code of W-SSIM's authors, and again from
    another float64 program; the printed digits are all that is kept of those runs.
    """

    def test_wssim_every_column(self) -> None:
        computed = references.wssim(*field_pair())
        assert {name: f"{value:.6f}" for name, value in computed.items()} == FIELD_WSSIM

    def test_psnr(self) -> None:
        assert f"{references.psnr(*field_pair()):.6f}" == "9.435309"

    def test_ssim(self) -> None:
        assert f"{references.ssim(*field_pair()):.6f}" == "0.483496"


IDENTICAL_SCORES: dict[str, tuple[Callable[[Array, Array], float], float]] = {
    "charbonnier": (references.charbonnier, 1e-3),
    "psnr": (references.psnr, float("inf")),
    "ssim": (references.ssim, 1.0),
    "ssim_padded": (references.ssim_padded, 1.0),
    "lpips": (references.lpips, 0.0),
    "mps": (references.mps, 1.0),
}


class TestIdentical:
    @pytest.mark.parametrize(("score", "expected"), IDENTICAL_SCORES.values(), ids=IDENTICAL_SCORES.keys())
    def test_score(self, score: Callable[[Array, Array], float], expected: float) -> None:
        image, _ = noise(40, 40)
        assert score(image, image) == pytest.approx(expected, abs=1e-15)

    @pytest.mark.parametrize("preset", ["s3net", "drn", "imagenet"])
    def test_vgg19(self, preset: str, vgg19_weights: dict[str, np.ndarray]) -> None:
        image, _ = noise(16, 16)
        assert set(references.vgg19(image, image, vgg19_weights, preset).values()) == {0.0}


class TestCharbonnier:
    @pytest.mark.parametrize("eps", [1e-3, 1e-6], ids=["code", "paper"])
    def test_constant_difference_by_hand(self, eps: float) -> None:
        x = np.full((5, 7, 3), 0.25)
        assert references.charbonnier(x, x + 0.5, eps) == pytest.approx((0.25 + eps**2) ** 0.5, rel=1e-15)

    @each_pair
    def test_frame_analytics(self, pair: Pair) -> None:
        x, y = map(as_tensor, pair)
        theirs = float(frame_analytics.charbonnier(x, y, eps=1e-3))
        assert references.charbonnier(*pair) == pytest.approx(theirs, rel=1e-12)


class TestPsnr:
    @each_pair
    def test_skimage(self, pair: Pair) -> None:
        theirs = skimage.metrics.peak_signal_noise_ratio(*pair, data_range=1)
        assert references.psnr(*pair) == pytest.approx(theirs, rel=1e-13)


def skimage_ssim(x: Array, y: Array) -> float:
    """scikit-image's Wang 2004 SSIM: it crops the mean by 5, the radius of the window, so it is valid too."""
    return float(
        skimage.metrics.structural_similarity(
            x, y, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2
        )
    )


class TestSsim:
    @each_pair
    def test_skimage(self, pair: Pair) -> None:
        assert references.ssim(*pair) == pytest.approx(skimage_ssim(*pair), abs=1e-12)

    @each_pair
    def test_piq(self, pair: Pair) -> None:
        theirs = float(piq.ssim(*map(as_tensor, pair), downsample=False))
        assert references.ssim(*pair) == pytest.approx(theirs, abs=1e-12)

    @pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.02, 0.03), (4.0, 3.9)], ids=str)
    def test_two_constants_closed_form(self, a: float, b: float) -> None:
        """Without variance only the luminance term is left. 4 is the largest value of LL2."""
        luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
        x, y = np.full((16, 16, 3), a), np.full((16, 16, 3), b)
        assert references.ssim(x, y) == pytest.approx(luminance, rel=1e-13)

    def test_smaller_than_the_window_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 11x11 pixels, got 10x20"):
            references.ssim(*noise(10, 20))

    def test_other_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match="shapes differ"):
            references.ssim(noise(16, 16)[0], noise(16, 16)[0][:, :, :1])


class TestSsimPadded:
    @each_pair
    @pytest.mark.parametrize("band", ["hl1", "ll2"])
    def test_skimage_on_the_padded_bands(self, pair: Pair, band: str) -> None:
        x, y = (references.bands(image)[band] for image in pair)
        around = ((5, 5), (5, 5), (0, 0))
        theirs = skimage_ssim(np.pad(x, around), np.pad(y, around))
        assert references.ssim_padded(x, y) == pytest.approx(theirs, abs=1e-12)

    def test_one_pixel_by_hand(self) -> None:
        """A lone pixel p lies under the middle w of the window: mean w p, (co)variance w (1 - w) p q."""
        w = 1 / sum(np.exp(-(i * i + j * j) / 4.5) for i in range(-5, 6) for j in range(-5, 6))
        p, q = 0.3, 0.8
        luminance = (2 * w * w * p * q + 1e-4) / (w * w * (p * p + q * q) + 1e-4)
        structure = (2 * w * (1 - w) * p * q + 9e-4) / (w * (1 - w) * (p * p + q * q) + 9e-4)
        computed = references.ssim_padded(np.full((1, 1, 3), p), np.full((1, 1, 3), q))
        assert computed == pytest.approx(luminance * structure, rel=1e-13)


def filtered_half(x: Array, taps: list[float], axis: int) -> Array:
    """Convolve along an axis after symmetric extension and keep every second sample: one step of a DWT."""
    reach = len(taps) - 1

    def line(values: Array) -> Array:
        return np.convolve(np.pad(values, reach, mode="symmetric"), taps, mode="valid")[1::2]

    return np.apply_along_axis(line, axis, x)


PATTERNS = {
    "horizontal_stripes_hl1": (lambda i, j: i % 2, "hl1"),
    "vertical_stripes_lh1": (lambda i, j: j % 2, "lh1"),
    "checkerboard_hh1": (lambda i, j: (i + j) % 2, "hh1"),
}


class TestBands:
    @pytest.mark.parametrize(("pattern", "where"), PATTERNS.values(), ids=PATTERNS.keys())
    def test_pattern_of_period_2_fills_one_high_band(
        self, pattern: Callable[[Array, Array], Array], where: str
    ) -> None:
        image = np.repeat(np.fromfunction(pattern, (16, 24))[..., None], 3, axis=2)
        energy = {name: float((band**2).sum()) for name, band in references.bands(image).items()}
        assert energy.pop(where) == pytest.approx(8 * 12 * 3)
        assert energy.pop("ll2") > 0
        assert energy == pytest.approx(dict.fromkeys(energy, 0), abs=1e-20)

    @pytest.mark.parametrize(("height", "width"), [(32, 24), (33, 27), (39, 62)], ids=["even", "odd", "odd_later"])
    def test_haar_by_hand(self, height: int, width: int) -> None:
        """LL = (a + b + c + d) / 2 on each 2x2 block, an odd last row or column dropped."""
        image, _ = noise(height, width)
        expected: dict[str, Array] = {}
        ll = image
        for level in ("1", "2"):
            h, w = ll.shape[0] // 2 * 2, ll.shape[1] // 2 * 2
            a, b, c, d = ll[0:h:2, 0:w:2], ll[0:h:2, 1:w:2], ll[1:h:2, 0:w:2], ll[1:h:2, 1:w:2]
            expected |= {
                "hl" + level: (a + b - c - d) / 2,
                "lh" + level: (a - b + c - d) / 2,
                "hh" + level: (a - b - c + d) / 2,
            }
            ll = (a + b + c + d) / 2
        expected["ll2"] = ll
        computed = references.bands(image)
        assert list(computed) == list(expected)
        for name, band in expected.items():
            np.testing.assert_allclose(computed[name], band, atol=1e-14, err_msg=name)

    @pytest.mark.parametrize("name", ["db2", "sym4", "bior2.2"])
    def test_other_wavelets_by_convolution(self, name: str) -> None:
        """Low and high pass of the rows, then of the columns, with only the taps from PyWavelets."""
        image, _ = noise(21, 30)
        low, high = pywt.Wavelet(name).dec_lo, pywt.Wavelet(name).dec_hi
        expected = {
            band: filtered_half(filtered_half(image[:20], down, axis=0), across, axis=1)
            for band, down, across in [
                ("hl1", high, low),
                ("lh1", low, high),
                ("hh1", high, high),
                ("ll1", low, low),
            ]
        }
        computed = references.bands(image, name, levels=1)
        assert list(computed) == list(expected)
        for band in expected:
            np.testing.assert_allclose(computed[band], expected[band], atol=1e-13, err_msg=band)

    def test_too_many_levels_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"level 4 of 4 has no pixels left: \(8, 9\)"):
            references.bands(noise(8, 9)[0], levels=4)


class TestWssim:
    def test_weights_of_the_paper(self) -> None:
        """The weights for r = 0.7 and two levels; of l only the last level's counts."""
        expected = {"full": 1, "ll2": 0.2401, "hl1": 0.21, "lh1": 0.21, "hh1": 0.09}
        expected |= {"hl2": 0.1029, "lh2": 0.1029, "hh2": 0.0441}
        assert references.wssim_weights() == pytest.approx(expected, rel=1e-14)

    @pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 0.7, 1.0], ids="ratio_{}".format)
    @pytest.mark.parametrize("levels", [1, 2, 3, 4, 5], ids="levels_{}".format)
    def test_weights_sum_to_2(self, levels: int, ratio: float) -> None:
        assert sum(references.wssim_weights(levels, ratio).values()) == pytest.approx(2, rel=1e-15)

    @pytest.mark.parametrize("ratio", [0.3, 0.7], ids="ratio_{}".format)
    @pytest.mark.parametrize("levels", [1, 2, 3, 4, 5], ids="levels_{}".format)
    def test_identical(self, levels: int, ratio: float) -> None:
        image, _ = noise(33, 40)
        computed = references.wssim(image, image, levels=levels, ratio=ratio)
        assert computed.pop("loss") == pytest.approx(-2, rel=1e-14)
        assert len(computed) == 3 * levels + 3
        assert computed == pytest.approx(dict.fromkeys(computed, 1), rel=1e-14)

    def test_black_against_white(self) -> None:
        """The project's number, at 64x64: flat high bands score 1 and make up nearly all of it."""
        computed = references.wssim(*PAIRS["black_white"])
        assert f"{computed['loss']:.5f}" == "-0.75997"
        assert [computed[f"wssim_{band}"] for band in ("hl1", "lh1", "hh1", "hl2", "lh2", "hh2")] == [1] * 6

    @each_pair
    def test_swapped(self, pair: Pair) -> None:
        x, y = pair
        assert references.wssim(x, y) == pytest.approx(references.wssim(y, x), abs=1e-14)


@pytest.fixture(scope="module")
def vgg19_weights() -> dict[str, np.ndarray]:
    """Random weights of VGG19's first five convolutions, scaled so that the features keep their size."""
    rng = np.random.default_rng(19)
    shapes = {"conv1_1": (64, 3), "conv1_2": (64, 64), "conv2_1": (128, 64), "conv2_2": (128, 128)}
    weights = {}
    for name, (outputs, inputs) in {**shapes, "conv3_1": (256, 128)}.items():
        weights[f"{name}.weight"] = rng.normal(0, (2 / (9 * inputs)) ** 0.5, (outputs, inputs, 3, 3))
        weights[f"{name}.bias"] = rng.normal(0, 0.1, outputs)
    return weights


def torchvision_features(weights: dict[str, np.ndarray]) -> torch.nn.Sequential:
    """torchvision's own `vgg19().features`, built to relu3_1 only, in float64, with the weights loaded."""
    features: torch.nn.Sequential = vgg.make_layers(vgg.cfgs["E"][:7], batch_norm=False).double()
    names = ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]
    for name, index in zip(names, [0, 2, 5, 7, 10], strict=True):
        parts = {part: torch.tensor(weights[f"{name}.{part}"]) for part in ("weight", "bias")}
        features[index].load_state_dict(parts)
    return features


VGG19_INPUTS = {
    "s3net": ([0, 0, 0], [1, 1, 1]),
    "drn": ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5]),
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


class TestVgg19:
    """No published weights here (548 MiB): random ones show a wrong layer, order or border as well."""

    @each_pair
    @pytest.mark.parametrize("preset", VGG19_INPUTS)
    def test_torchvision(self, pair: Pair, preset: str, vgg19_weights: dict[str, np.ndarray]) -> None:
        mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in VGG19_INPUTS[preset])
        x_crop, y_crop = (image[16:48, 16:49] for image in pair)  # holds the one pixel, has an odd side, is fast
        x = (torch.cat([*map(as_tensor, (x_crop, y_crop))]) - mean) / std
        expected = {}
        with torch.no_grad():
            for index, module in enumerate(torchvision_features(vgg19_weights)):
                x = module(x)
                if index in (1, 6, 11):
                    name = {1: "vgg19_relu1_1", 6: "vgg19_relu2_1", 11: "vgg19_relu3_1"}[index]
                    expected[name] = float((x[0] - x[1]).abs().mean())
        layers = list(expected.values())
        expected["vgg19"] = layers[0] / 32 + layers[1] / 16 + layers[2] / 8
        computed = references.vgg19(x_crop, y_crop, vgg19_weights, preset)
        assert computed == pytest.approx(expected, rel=1e-12)


def frame_analytics_lpips(pair: Pair) -> float:
    """frame-analytics's own float64 NumPy program."""
    x, y = (image.transpose(2, 0, 1) for image in pair)
    return float(frame_analytics.reference.lpips_reference(x, y, data_range=1.0)[0])


class TestLpips:
    @each_pair
    def test_frame_analytics_reference(self, pair: Pair) -> None:
        assert references.lpips(*pair) == pytest.approx(frame_analytics_lpips(pair), rel=1e-11)

    @each_pair
    def test_frame_analytics_float64(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its float64 keeps shift and scale as float32 numbers, 1e-8 away: so must this one, for once."""
        for name in ("LPIPS_SHIFT", "LPIPS_SCALE"):
            rounded = getattr(references, name).astype(np.float32).astype(np.float64)
            monkeypatch.setattr(references, name, rounded)
        theirs = float(frame_analytics.lpips(*map(as_tensor, pair), data_range=1.0))
        assert references.lpips(*pair) == pytest.approx(theirs, rel=1e-11)


class TestMps:
    @each_pair
    def test_from_other_programs(self, pair: Pair) -> None:
        theirs = 0.5 * (skimage_ssim(*pair) + 1 - frame_analytics_lpips(pair))
        assert references.mps(*pair) == pytest.approx(theirs, abs=1e-12)
