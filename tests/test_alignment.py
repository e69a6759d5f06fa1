"""Alignment: what is recovered, what has no influence, pairs worked out by hand, and float64 references in NumPy.

The references are written from the published definitions, one pair at a time, with NumPy's least squares and, for
absolute differences, every place where a minimum can be tried in turn. Nothing of them is imported from the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from relight_eval.alignment import (
    ALIGNMENTS,
    Aligned,
    align,
    counted,
    eroded,
    linear_from_srgb,
    protocol,
    srgb_from_linear,
)
from relight_eval.errors import ShapeError, UsageError

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = [
    "gain", "channel-gain", "mean-shift", "affine", "stanford-orb", "objects-with-lighting", "latent-intrinsics",
]  # fmt: skip
LEAST_SQUARES = ["gain", "channel-gain", "affine", "stanford-orb"]


def batch(*images: Array) -> Tensor:
    """(H, W, 3) arrays as one (N, 3, H, W) batch."""
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def image(tensor: Tensor, at: int = 0) -> Array:
    return tensor[at].permute(1, 2, 0).double().numpy()


def channels(*columns: list[float]) -> Tensor:
    """A 2×2 image of three channels, (1, 3, 2, 2) float64."""
    return torch.tensor(columns, dtype=torch.float64).reshape(1, 3, 2, 2)


def levels(height: int, width: int, *, seed: int, count: int = 1, top: int = 256) -> Tensor:
    """Uniform noise of levels, (count, 3, H, W) uint8."""
    return torch.randint(top, (count, 3, height, width), generator=_generator(seed), dtype=torch.uint8)


def light(*, seed: int, top: float, dtype: torch.dtype = torch.float64) -> Tensor:
    """Uniform noise of linear light in [0, top], (1, 3, 12, 11)."""
    return torch.rand(1, 3, 12, 11, generator=_generator(seed), dtype=torch.float64).mul(top).to(dtype)


def masks(height: int, width: int, *, seed: int, count: int = 1) -> Tensor:
    """Ellipses off the middle, each another, (count, H, W)."""
    shift = torch.rand(count, 2, generator=_generator(seed)) - 0.5
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    return torch.stack([(y + dy) ** 2 + (x + dx) ** 2 < 0.8 for dy, dx in shift])


def per_channel(values: list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None].to(like)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------- references


class Expected(NamedTuple):
    prediction: Array
    target: Array
    gain: Array
    offset: Array


Reference = Callable[[Array, Array, Bools], Expected]  # prediction, target (H, W, 3) in [0, 1], inside (H, W)


def light_of(values: Array) -> Array:
    return np.array([v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values.flat]).reshape(
        values.shape
    )


def values_of(light: Array) -> Array:
    return np.array([12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055 for v in light.flat]).reshape(
        light.shape
    )


def solved(columns: list[Array], wanted: Array) -> Array:
    return np.linalg.lstsq(np.stack(columns, axis=1), wanted, rcond=None)[0]


def ref_gain(prediction: Array, target: Array, inside: Bools) -> Expected:
    p, t = light_of(prediction), light_of(target)
    (g,) = solved([p[inside].ravel()], t[inside].ravel())
    return Expected(values_of(np.clip(g * p, 0, 1)), target, np.full(3, g), np.zeros(3))


def ref_channel_gain(prediction: Array, target: Array, inside: Bools) -> Expected:
    p, t = light_of(prediction), light_of(target)
    g = np.array([solved([p[inside][:, c]], t[inside][:, c])[0] for c in range(3)])
    return Expected(values_of(np.clip(g * p, 0, 1)), target, g, np.zeros(3))


def ref_affine(prediction: Array, target: Array, inside: Bools) -> Expected:
    p, t = light_of(prediction), light_of(target)
    lines = [solved([p[inside][:, c], np.ones(inside.sum())], t[inside][:, c]) for c in range(3)]
    g, o = np.array(lines).T
    return Expected(values_of(np.clip(g * p + o, 0, 1)), target, g, o)


def ref_mean_shift(prediction: Array, target: Array, inside: Bools) -> Expected:
    o = target[inside].mean(axis=0) - prediction[inside].mean(axis=0)
    return Expected(np.clip(prediction + o, 0, 1), target, np.ones(3), o)


def ref_latent_intrinsics(prediction: Array, target: Array, inside: Bools) -> Expected:
    """As published: values in [-1, 1], the mean difference of a channel taken off, nothing clipped."""
    p, t = 2 * prediction - 1, 2 * target - 1
    too_much = np.array([np.mean((p - t)[inside][:, c]) for c in range(3)])
    return Expected((p - too_much + 1) / 2, target, np.ones(3), -too_much / 2)


def ref_eroded(inside: Bools) -> Bools:
    """Pixel by pixel: all pixels at most two rows and two columns off, of those that there are, must be inside."""
    height, width = inside.shape
    kept = np.zeros_like(inside)
    for y in range(height):
        for x in range(width):
            kept[y, x] = all(
                inside[j, i]
                for j in range(y - 2, y + 3)
                for i in range(x - 2, x + 3)
                if 0 <= j < height and 0 <= i < width
            )
    return kept


def ref_stanford_orb(prediction: Array, target: Array, inside: Bools) -> Expected:
    """As published: eroded, both black outside, a gain for each channel, clipped, encoded."""
    kept = ref_eroded(inside)
    p, t = light_of(prediction) * kept[..., None], light_of(target) * kept[..., None]
    gains = []
    for c in range(3):
        of_p, of_t = p[kept][:, c], t[kept][:, c]
        if np.sum(of_p**2) <= 1e-6:
            of_p = np.ones_like(of_p)
        gains.append(np.sum(of_t * of_p) / np.sum(of_p**2))
    g = np.array(gains)
    return Expected(values_of(np.clip(g * p, 0, 1)), values_of(np.clip(t, 0, 1)), g, np.zeros(3))


def ref_objects_with_lighting(prediction: Array, target: Array, inside: Bools) -> Expected:
    """As published, but for the search: every factor at which a term has a bend is tried."""
    used = inside & (target.max(axis=-1) < 1)
    p, t = prediction[used], target[used]

    def least(p: Array, t: Array, factors: list[float]) -> float:
        return min(factors, key=lambda factor: float(np.abs(np.clip(p * factor, 0, 1) - t).sum()))

    def bends(p: Array, t: Array) -> list[float]:
        lit = p > 0
        return [*(t[lit] / p[lit]), *(1 / p[lit])]

    exposure = least(p, t, bends(p, t))
    low, high = exposure * 0.5 ** (1 / 2.2), exposure * 2 ** (1 / 2.2)
    factors = np.array(
        [
            least(p[:, c], t[:, c], [low, high, *(b for b in bends(p[:, c], t[:, c]) if low <= b <= high)])
            for c in range(3)
        ]
    )
    return Expected(np.clip(prediction * factors, 0, 1), target, factors**2.2, np.zeros(3))


REFERENCES: dict[str, Reference] = {
    "gain": ref_gain,
    "channel-gain": ref_channel_gain,
    "mean-shift": ref_mean_shift,
    "affine": ref_affine,
    "stanford-orb": ref_stanford_orb,
    "objects-with-lighting": ref_objects_with_lighting,
    "latent-intrinsics": ref_latent_intrinsics,
}


def assert_is(found: Aligned, expected: Expected, at: int = 0, *, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found.gain[at], expected.gain, rtol=0, atol=atol)
    np.testing.assert_allclose(found.offset[at], expected.offset, rtol=0, atol=atol)
    np.testing.assert_allclose(image(found.prediction, at), expected.prediction, rtol=0, atol=atol)
    np.testing.assert_allclose(image(found.target, at), expected.target, rtol=0, atol=atol)


class TestReferences:
    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("stored", [True, False], ids=["uint8", "float64"])
    @pytest.mark.parametrize("name", NAMES)
    def test_agrees_with_numpy(self, name: str, stored: bool, masked: bool) -> None:
        prediction, target = levels(12, 11, seed=1, count=3), levels(12, 11, seed=2, count=3, top=200)
        target = (target // 2 + prediction // 3).clamp(max=255)  # so that there is something to fit
        inside = masks(12, 11, seed=3, count=3) if masked else None
        if not stored:
            prediction, target = prediction.double() / 255, target.double() / 255
        found = align(name, prediction, target, inside)
        scale = 255 if stored else 1
        for at in range(3):
            here = np.ones((12, 11), bool) if inside is None else inside[at].numpy()
            expected = REFERENCES[name](image(prediction, at) / scale, image(target, at) / scale, here)
            assert_is(found, expected, at)

    @pytest.mark.parametrize("name", NAMES)
    def test_agrees_where_values_are_clipped(self, name: str) -> None:
        prediction = levels(12, 11, seed=4)
        target = (prediction * 1.4 + levels(12, 11, seed=5, top=20)).clamp(max=254).byte()
        found = align(name, prediction, target)
        expected = REFERENCES[name](image(prediction) / 255, image(target) / 255, np.ones((12, 11), bool))
        assert expected.prediction.max() > 1 - 1e-9
        assert_is(found, expected)

    @pytest.mark.parametrize("seed", range(20))
    def test_the_erosion_of_any_mask(self, seed: int) -> None:
        inside = torch.rand(2, 9, 10, generator=_generator(seed)) > 0.04
        for at in range(2):
            np.testing.assert_array_equal(eroded(inside)[at], ref_eroded(inside[at].numpy()))

    @pytest.mark.parametrize(("seed", "stops"), [(0, -1.5), (1, -0.4), (2, 0.3), (3, 1.0)])
    def test_the_published_search_of_objects_with_lighting_finds_the_same_to_1e_3(
        self, seed: int, stops: float
    ) -> None:
        """SciPy's Brent from -10 and the brightest useful exposure, then L-BFGS-B from 1, as scripts/evaluate.py."""
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:32, 0:32] / 32
        scene = (
            0.35 + 0.25 * np.sin(5 * x + 3 * y)[..., None] * rng.uniform(0.6, 1, 3) + rng.normal(0, 0.02, (32, 32, 3))
        )
        target = np.round(np.clip(scene, 0.02, 0.9) * 255) / 255
        changed = target**2.2 * 2.0**-stops * np.array([0.8, 1, 1.3])
        prediction = np.round(np.clip(changed ** (1 / 2.2) + rng.normal(0, 0.02, scene.shape), 0.01, 1) * 255) / 255
        linear = prediction.reshape(-1, 3) ** 2.2
        wanted = target.reshape(-1, 3)

        def error(exposure: float, balance: Array) -> float:
            return float(np.abs(np.clip((linear * balance * 2**exposure) ** (1 / 2.2), 0, 1) - wanted).mean())

        bracket = (-10, np.log2(0.95**2.2 / linear.min(axis=-1).min()))
        exposure = minimize_scalar(lambda e: error(e, np.ones(3)), bracket).x
        balance = minimize(lambda b: error(exposure, b), np.ones(3), bounds=3 * [(0.5, 2.0)], options={"eps": 1e-4}).x
        found = align("objects-with-lighting", batch(prediction), batch(target)).gain[0]
        np.testing.assert_allclose(found, 2**exposure * balance, rtol=2e-3)


class TestRecovery:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("name", LEAST_SQUARES)
    def test_one_gain(self, name: str, dtype: torch.dtype) -> None:
        p = light(seed=1, top=0.5, dtype=dtype)
        found = align(name, srgb_from_linear(p), srgb_from_linear(1.7 * p))
        np.testing.assert_allclose(found.gain[0], [1.7] * 3, rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.offset[0], 0, atol=1e-6)
        torch.testing.assert_close(found.prediction, found.target, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", ["channel-gain", "affine", "stanford-orb"])
    def test_channel_gains(self, name: str) -> None:
        p = light(seed=2, top=0.5)
        found = align(name, srgb_from_linear(p), srgb_from_linear(p * per_channel([1.2, 1, 0.05], p)))
        np.testing.assert_allclose(found.gain[0], [1.2, 1, 0.05], rtol=0, atol=1e-6)
        torch.testing.assert_close(found.prediction, found.target, rtol=0, atol=1e-6)

    def test_affine(self) -> None:
        p = light(seed=3, top=0.5)
        changed = p * per_channel([1.1, 0.5, -0.4], p) + per_channel([0.05, 0.2, 0.6], p)
        found = align("affine", srgb_from_linear(p), srgb_from_linear(changed))
        np.testing.assert_allclose(found.gain[0], [1.1, 0.5, -0.4], rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.offset[0], [0.05, 0.2, 0.6], rtol=0, atol=1e-6)
        torch.testing.assert_close(found.prediction, found.target, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", ["mean-shift", "latent-intrinsics"])
    def test_offsets(self, name: str) -> None:
        p = light(seed=4, top=0.6)  # taken as sRGB values
        found = align(name, p, p + per_channel([0.25, 0, 0.1], p))
        assert found.gain.tolist() == [[1, 1, 1]]
        np.testing.assert_allclose(found.offset[0], [0.25, 0, 0.1], rtol=0, atol=1e-6)
        torch.testing.assert_close(found.prediction, found.target, rtol=0, atol=1e-6)

    def test_exposure_and_balance_of_objects_with_lighting(self) -> None:
        """Green needs no balance and is the brightest, so the exposure is its."""
        p = light(seed=5, top=0.4) * per_channel([0.3, 1, 0.3], torch.ones(1))
        gains = [1.5 * 1.8, 1.5, 1.5 * 0.6]
        found = align("objects-with-lighting", p.pow(1 / 2.2), (p * per_channel(gains, p)).pow(1 / 2.2))
        np.testing.assert_allclose(found.gain[0], gains, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.prediction, found.target, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", NAMES)
    def test_identical_images_need_nothing(self, name: str) -> None:
        target = levels(9, 8, seed=6)
        found = align(name, target, target)
        np.testing.assert_allclose(found.gain, 1, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.offset, 0, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.prediction, target / 255, rtol=0, atol=2e-7)


class TestInvariance:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_batch_of_1_is_a_batch_of_n(self, name: str) -> None:
        prediction, target = levels(10, 13, seed=1, count=4), levels(10, 13, seed=2, count=4, top=250)
        inside = masks(10, 13, seed=3, count=4)
        together = align(name, prediction, target, inside)
        for at in range(4):
            alone = align(name, *(side[at : at + 1] for side in (prediction, target, inside)))
            for one, many in zip(alone, together, strict=True):
                assert (one is None) == (many is None)
                if one is not None and many is not None:
                    torch.testing.assert_close(one[0], many[at], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    @pytest.mark.parametrize("name", NAMES)
    def test_uint8_is_float(self, name: str, masked: bool) -> None:
        prediction, target = levels(10, 13, seed=1, count=2), levels(10, 13, seed=2, count=2)
        inside = masks(10, 13, seed=3, count=2) if masked else None
        stored = align(name, prediction, target, inside)
        floating = align(name, prediction / 255, target / 255, inside)
        assert stored.prediction.dtype == stored.target.dtype == torch.float32
        for one, other in zip(stored[:2] + stored[3:], floating[:2] + floating[3:], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", NAMES)
    def test_float64_stays_and_float16_becomes_float32(self, name: str) -> None:
        prediction, target = levels(6, 6, seed=1) / 255, levels(6, 6, seed=2) / 255
        for given, found in [(torch.float64, torch.float64), (torch.float16, torch.float32)]:
            aligned = align(name, prediction.to(given), target.to(given))
            assert (aligned.prediction.dtype, aligned.target.dtype, aligned.gain.dtype) == (found, found, torch.float64)

    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_given_is_changed(self, name: str) -> None:
        given = levels(8, 8, seed=1), levels(8, 8, seed=2), masks(8, 8, seed=3)
        copies = [tensor.clone() for tensor in given]
        align(name, *given)
        assert all(torch.equal(tensor, copy) for tensor, copy in zip(given, copies, strict=True))


class TestMasks:
    @pytest.mark.parametrize("name", NAMES)
    def test_pixels_outside_have_no_influence(self, name: str) -> None:
        prediction, target, inside = levels(12, 12, seed=1), levels(12, 12, seed=2, top=250), masks(12, 12, seed=3)
        here = align(name, prediction, target, inside)
        others = [torch.where(inside[:, None], side, 255 - side) for side in (prediction, target)]
        there = align(name, *others, inside)
        assert torch.equal(here.gain, there.gain)
        assert torch.equal(here.offset, there.offset)
        within = inside[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(here.prediction[within], there.prediction[within])

    @pytest.mark.parametrize("name", NAMES)
    def test_not_even_nan_outside(self, name: str) -> None:
        prediction, target, inside = levels(12, 12, seed=1) / 255, levels(12, 12, seed=2) / 255, masks(12, 12, seed=3)
        here = align(name, prediction, target, inside)
        there = align(name, *(side.masked_fill(~inside[:, None], torch.nan) for side in (prediction, target)), inside)
        assert torch.equal(here.gain, there.gain)
        assert torch.equal(here.offset, there.offset)

    @pytest.mark.parametrize("name", NAMES)
    def test_pixels_inside_have_influence(self, name: str) -> None:
        prediction, target, inside = levels(12, 12, seed=1), levels(12, 12, seed=2, top=250), masks(12, 12, seed=3)
        here, whole = align(name, prediction, target, inside), align(name, prediction, target)
        assert not torch.allclose(here.gain + here.offset, whole.gain + whole.offset, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("name", NAMES)
    def test_a_full_mask_is_no_mask(self, name: str) -> None:
        prediction, target = levels(7, 9, seed=1), levels(7, 9, seed=2)
        full = align(name, prediction, target, torch.ones(1, 7, 9, dtype=torch.bool))
        none = align(name, prediction, target)
        assert torch.equal(full.prediction, none.prediction)
        assert torch.equal(full.gain, none.gain)

    @pytest.mark.parametrize("name", NAMES)
    def test_the_mask_comes_back_but_where_both_are_black_outside(self, name: str) -> None:
        inside = masks(12, 12, seed=3)
        found = align(name, levels(12, 12, seed=1), levels(12, 12, seed=2), inside)
        if name == "stanford-orb":
            outside = (~counted(name, inside))[:, None].expand(-1, 3, -1, -1)
            assert found.mask is None
            assert not found.prediction[outside].any()
            assert not found.target[outside].any()
        else:
            assert found.mask is inside
            assert torch.equal(counted(name, inside), inside)


def pair(prediction: int, target: int) -> tuple[Tensor, Tensor]:
    """Two flat images, (1, 3, 4, 5) uint8."""
    p, t = (torch.full((1, 3, 4, 5), level, dtype=torch.uint8) for level in (prediction, target))
    return p, t


class TestDegenerate:
    def test_a_black_prediction_keeps_gain_1_or_is_shifted(self) -> None:
        found = {name: align(name, *pair(0, 51)) for name in NAMES}
        gains = {name: aligned.gain[0, 0].item() for name, aligned in found.items()}
        level_51 = 0.0331047666  # in linear light
        assert gains == pytest.approx(dict.fromkeys(NAMES, 1) | {"stanford-orb": level_51}, abs=1e-9)
        offsets = {name: aligned.offset[0, 0].item() for name, aligned in found.items()}
        shifted = {"mean-shift": 0.2, "latent-intrinsics": 0.2, "affine": level_51}
        assert offsets == pytest.approx(dict.fromkeys(NAMES, 0) | shifted, abs=1e-8)
        for name, aligned in found.items():
            value = 0.2 if name in shifted else 0
            np.testing.assert_allclose(aligned.prediction, value, rtol=0, atol=1e-7, err_msg=name)

    def test_one_black_channel_keeps_gain_1_and_the_others_are_fitted(self) -> None:
        prediction, target = pair(0, 51)
        prediction[:, 1] = 51
        assert align("channel-gain", prediction, target).gain[0].tolist() == pytest.approx([1, 1, 1])
        target[:, 1] = 0
        assert align("channel-gain", prediction, target).gain[0].tolist() == pytest.approx([1, 0, 1])

    def test_a_constant_prediction_gets_an_offset_alone(self) -> None:
        target = levels(4, 5, seed=1)
        found = align("affine", pair(51, 0)[0], target)
        assert found.gain.tolist() == [[1, 1, 1]]
        mean = linear_from_srgb(target.double() / 255).mean(dim=(2, 3))
        np.testing.assert_allclose(found.offset, mean - 0.0331047666, atol=1e-9)

    def test_one_level_of_one_pixel_is_not_constant(self) -> None:
        prediction, target = pair(0, 0)
        prediction = prediction.repeat(1, 1, 100, 100)
        prediction[..., 7, 9] = 1
        target = prediction * 2
        assert align("affine", prediction, target).gain[0].tolist() == pytest.approx([2, 2, 2], abs=1e-6)
        assert align("gain", prediction, target).gain[0].tolist() == pytest.approx([2, 2, 2], abs=1e-6)

    @pytest.mark.parametrize("stored", [True, False], ids=["uint8", "float32"])
    @pytest.mark.parametrize("name", NAMES)
    def test_nothing_inside_is_left_as_it_is(self, name: str, stored: bool) -> None:
        prediction, target = levels(6, 7, seed=1, count=2), levels(6, 7, seed=2, count=2)
        given = (prediction, target) if stored else (prediction / 255, target / 255)
        inside = torch.stack([torch.zeros(6, 7, dtype=torch.bool), torch.ones(6, 7, dtype=torch.bool)])
        found = align(name, *given, inside)
        assert (found.gain[0].tolist(), found.offset[0].tolist()) == ([1, 1, 1], [0, 0, 0])
        torch.testing.assert_close(found.prediction[0], prediction[0] / 255, rtol=0, atol=2e-7)
        torch.testing.assert_close(found.target[0], target[0] / 255, rtol=0, atol=0)
        assert (found.gain[1] + found.offset[1] - 1).abs().max() > 1e-3

    def test_a_mask_of_which_the_erosion_leaves_nothing(self) -> None:
        prediction, target = levels(8, 8, seed=1), levels(8, 8, seed=2)
        thin = torch.zeros(1, 8, 8, dtype=torch.bool)
        thin[:, 2:6] = True  # four rows
        assert not counted("stanford-orb", thin).any()
        found = align("stanford-orb", prediction, target, thin)
        assert found.gain.tolist() == [[1, 1, 1]]
        assert torch.equal(found.target, target / 255)  # not black against black, which would be perfect

    def test_objects_with_lighting_of_an_overexposed_target(self) -> None:
        found = align("objects-with-lighting", pair(51, 0)[0], pair(0, 255)[1])
        assert found.gain.tolist() == [[1, 1, 1]]
        np.testing.assert_allclose(found.prediction, 0.2, rtol=0, atol=1e-7)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
    @pytest.mark.parametrize("name", NAMES)
    def test_flat_images_give_finite_numbers(self, name: str, dtype: torch.dtype) -> None:
        """Every two of these levels."""
        some = torch.tensor([0, 1, 51, 254, 255], dtype=torch.uint8)
        flat = torch.cartesian_prod(some, some)[:, :, None, None, None].expand(-1, -1, 3, 4, 5)
        images = flat if dtype == torch.uint8 else flat.to(dtype) / 255
        found = align(name, images[:, 0], images[:, 1])
        for tensor in (found.prediction, found.target, found.gain, found.offset):
            assert tensor.isfinite().all()
        assert found.prediction.min() >= 0
        assert found.prediction.max() <= 1

    @pytest.mark.parametrize("name", NAMES)
    def test_floats_darker_than_anything_stored_count_as_black(self, name: str) -> None:
        prediction, target = torch.full((1, 3, 2, 2), 1e-30), torch.full((1, 3, 2, 2), 0.5)
        found = align(name, prediction, target)
        assert found.prediction.isfinite().all()
        if name in ("gain", "channel-gain", "objects-with-lighting"):
            assert found.gain.tolist() == [[1, 1, 1]]

    @pytest.mark.parametrize("name", NAMES)
    def test_one_pixel(self, name: str) -> None:
        prediction, target = levels(1, 1, seed=1), levels(1, 1, seed=2)
        found = align(name, prediction, target)
        assert found.prediction.shape == (1, 3, 1, 1)
        assert found.prediction.isfinite().all()
        if name not in ("gain", "objects-with-lighting"):
            torch.testing.assert_close(found.prediction, target / 255, rtol=0, atol=1e-6)


class TestStanfordOrbByHand:
    """Values up to 0.04045 are 12.92 times their linear light, so these gains can be done in the head."""

    def test_the_erosion_at_the_border_and_inside(self) -> None:
        """As `cv2.erode(mask, np.ones((5, 5)))` of OpenCV 5.0.0 gives them (2026).

        A rectangle of rows 0-4 and columns 0-5 in the corner of 7×9: the border takes nothing off, so rows 0-2 and
        columns 0-3 stay. A mask of 3×3 that is all of its image stays whole.
        """
        corner = torch.zeros(1, 7, 9, dtype=torch.bool)
        corner[:, 0:5, 0:6] = True
        kept = [
            [1, 1, 1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0, 0, 0],
            [1, 1, 1, 1, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, 0, 0, 0],
        ]
        assert eroded(corner)[0].int().tolist() == kept
        whole = torch.ones(1, 3, 3, dtype=torch.bool)
        assert eroded(whole).all()

    def test_gains(self) -> None:
        """In thousandths of linear light.

        Red: p = 1 1 1 1, t = 1 2 3 2, Σpt / Σp² = 8 / 4 = 2, so all are 2, value 0.02584.
        Green: p = 1 2 0 0, t = 3 1 0 2, (3 + 2) / (1 + 4) = 1.
        Blue: p = 0.4 everywhere, Σp² = 0.64e-6, not above 1e-6: counts as 1, so the gain is the mean of t = 1 2 3 2,
        0.002, and what was 0.0004 is 0.0000008, value 0.000010336.
        """
        p = channels([1, 1, 1, 1], [1, 2, 0, 0], [0.4, 0.4, 0.4, 0.4]) * 0.01292
        t = channels([1, 2, 3, 2], [3, 1, 0, 2], [1, 2, 3, 2]) * 0.01292
        found = align("stanford-orb", p, t)
        assert found.gain[0].tolist() == pytest.approx([2, 1, 0.002])
        assert found.offset[0].tolist() == [0, 0, 0]
        expected = channels([0.02584] * 4, [0.01292, 0.02584, 0, 0], [0.000010336] * 4)
        torch.testing.assert_close(found.prediction, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(found.target, t, rtol=0, atol=0)

    def test_clipping(self) -> None:
        """Light p = 1/2 1 0 0 against t = 1 1 0 0: (1/2 + 1) / (1/4 + 1) = 1.2, so 0.6 and 1.2, which is clipped.

        0.6 is the value 1.055 · 0.6^(1/2.4) − 0.055 = 0.797738.
        """
        half = 0.7353569830524495  # the value of light 1/2
        p, t = channels(*[[half, 1.0, 0.0, 0.0]] * 3), channels(*[[1.0, 1.0, 0.0, 0.0]] * 3)
        found = align("stanford-orb", p, t)
        assert found.gain[0].tolist() == pytest.approx([1.2, 1.2, 1.2])
        assert found.prediction[0, 0].flatten().tolist() == pytest.approx([0.797738, 1, 0, 0], abs=1e-6)

    def test_only_the_eroded_part_is_fitted_and_shown(self) -> None:
        """In the corner mask of 7×9 light is 0.001 against 0.002 in the twelve pixels that erosion leaves: gain 2.

        In the eighteen that it takes off it is 0.001 against 0.001, in the rest 0.003 against 0: with the former the
        gain would be (12 · 2 + 18) / 30 = 1.4.
        """
        corner = torch.zeros(1, 7, 9, dtype=torch.bool)
        corner[:, 0:5, 0:6] = True
        p, t = torch.full((1, 3, 7, 9), 0.003 * 12.92), torch.zeros(1, 3, 7, 9)
        p[..., 0:5, 0:6] = t[..., 0:5, 0:6] = 0.01292
        t[..., 0:3, 0:4] = 0.02584
        found = align("stanford-orb", p, t, corner)
        assert found.gain[0].tolist() == pytest.approx([2, 2, 2], abs=1e-6)
        expected = torch.zeros(1, 3, 7, 9)
        expected[..., 0:3, 0:4] = 0.02584
        torch.testing.assert_close(found.prediction, expected, rtol=0, atol=1e-8)
        torch.testing.assert_close(found.target, expected, rtol=0, atol=1e-8)
        assert found.mask is None  # published as means over the whole image


class TestObjectsWithLightingByHand:
    """A factor on values is its power of 2.2 in linear light: 2 is 4.594793."""

    def test_the_exposure_is_of_absolute_differences(self) -> None:
        """p = 0.1 0.2 0.2 0.4 against t = 0.2 0.4 0.4 0.4, alike in all channels.

        The factors t/p are 2 2 2 1 with the weights p. Up to 1 the sum falls by 0.9 a unit, from 1 to 2 by
        0.1 + 0.2 + 0.2 − 0.4 = 0.1, and then rises: 2, where the last pixel is 0.8 and off by 0.4. (Least squares of
        values would give 0.34 / 0.25 = 1.36.)
        """
        p, t = channels(*[[0.1, 0.2, 0.2, 0.4]] * 3), channels(*[[0.2, 0.4, 0.4, 0.4]] * 3)
        found = align("objects-with-lighting", p, t)
        assert found.gain[0].tolist() == pytest.approx([4.594793] * 3, abs=1e-6)
        torch.testing.assert_close(found.prediction, channels(*[[0.2, 0.4, 0.4, 0.8]] * 3), rtol=0, atol=1e-9)

    def test_clipped_values_are_compared(self) -> None:
        """p = 0.5 0.5 0.2 0.2 against t = 0.9 0.9 0.8 0.8.

        The factors are 1.8 and 4. Unclipped, the weights 1 : 0.4 decide for 1.8. Clipped, 0.5 stays 1 from factor 2
        on and is off by 0.1 only: at 1.8 the sum is 2 · (0.8 − 0.36) = 0.88, at 4 it is 2 · 0.1 = 0.2. So 4, and in
        linear light 4^2.2 = 21.112127.
        """
        p, t = channels(*[[0.5, 0.5, 0.2, 0.2]] * 3), channels(*[[0.9, 0.9, 0.8, 0.8]] * 3)
        found = align("objects-with-lighting", p, t)
        assert found.gain[0].tolist() == pytest.approx([21.112127] * 3, abs=1e-5)
        torch.testing.assert_close(found.prediction, channels(*[[1.0, 1.0, 0.8, 0.8]] * 3), rtol=0, atol=1e-9)

    def test_the_balance_ends_at_2(self) -> None:
        """Red and green are right (weights 1.6), blue is 0.1 against 0.4 (weights 0.4): the exposure is 1.

        Blue would need the factor 4, 21 in linear light, and gets 2: the value 0.1 · 2^(1/2.2) = 0.1370351.
        """
        p, t = channels([0.2] * 4, [0.2] * 4, [0.1] * 4), channels([0.2] * 4, [0.2] * 4, [0.4] * 4)
        found = align("objects-with-lighting", p, t)
        assert found.gain[0].tolist() == pytest.approx([1, 1, 2])
        assert found.prediction[0, :, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.1370351], abs=1e-7)

    def test_the_balance_ends_at_a_half_and_of_equal_exposures_it_is_the_nearest_to_none(self) -> None:
        """Red and green are right (weights 1.6), blue is 0.4 against 0.1 (weights 1.6).

        From factor 1/4 to 1 the sum stays at 1.2: nothing speaks for any of them, so the exposure is 1. Blue would
        need 1/4, 0.047 in linear light, and gets 0.5: the value 0.4 · 0.5^(1/2.2) = 0.2918960.
        """
        p, t = channels([0.2] * 4, [0.2] * 4, [0.4] * 4), channels([0.2] * 4, [0.2] * 4, [0.1] * 4)
        found = align("objects-with-lighting", p, t)
        assert found.gain[0].tolist() == pytest.approx([1, 1, 0.5])
        assert found.prediction[0, :, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2918960], abs=1e-7)

    @pytest.mark.parametrize(
        ("prediction", "target", "gain"), [(0.2, 0.8, 21.112127), (0.8, 0.2, 0.0473661)], ids=["4", "a quarter"]
    )
    def test_the_limits_are_those_of_the_balance_alone(self, prediction: float, target: float, gain: float) -> None:
        """The exposure has none: 4^2.2 and 4^-2.2."""
        p, t = channels(*[[prediction, prediction / 2] * 2] * 3), channels(*[[target, target / 2] * 2] * 3)
        assert align("objects-with-lighting", p, t).gain[0].tolist() == pytest.approx([gain] * 3, rel=1e-6)

    def test_a_black_channel_gets_the_exposure_and_no_balance(self) -> None:
        """Red and green need the factor 2, which is 4.594793; no factor changes blue."""
        p, t = channels([0.2] * 4, [0.2] * 4, [0.0] * 4), channels([0.4] * 4, [0.4] * 4, [0.3] * 4)
        found = align("objects-with-lighting", p, t)
        assert found.gain[0].tolist() == pytest.approx([4.594793] * 3, abs=1e-6)
        assert found.prediction[0, :, 0, 0].tolist() == pytest.approx([0.4, 0.4, 0])

    def test_equal_exposures_are_equal_whatever_the_rounding(self) -> None:
        """Levels: red and green right at a, blue 2a against a. From factor 1/2 to 1 blue gets as much
        worse as the others get better.
        """
        a = torch.arange(1, 128, dtype=torch.uint8)[:, None, None]
        p, t = torch.stack([a, a, 2 * a], dim=1), torch.stack([a, a, a], dim=1)  # (127, 3, 1, 1)
        gains = align("objects-with-lighting", p, t).gain
        np.testing.assert_allclose(gains, [[1, 1, 0.5]] * 127, rtol=0, atol=1e-6)

    def test_overexposed_pixels_of_the_target_are_left_out_of_the_fit_alone(self) -> None:
        """Levels: one pixel of 100 against 50, three of 200 against (255, 0, 0), which would decide otherwise.

        The factor is 1/2, 0.217638 in linear light, and all pixels get it: 200 becomes 100 / 255 = 0.392157.
        """
        p = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
        t = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
        t[:, 0] = 255
        p[..., 0, 0], t[..., 0, 0] = 100, 50
        mask = torch.ones(1, 2, 2, dtype=torch.bool)
        found = align("objects-with-lighting", p, t, mask)
        assert found.gain[0].tolist() == pytest.approx([0.217638] * 3, abs=1e-6)
        assert found.prediction[0, 2].flatten().tolist() == pytest.approx([50 / 255] + 3 * [100 / 255], abs=1e-6)
        assert found.mask is mask


class TestShiftsByHand:
    """Mean 0.7 against 0.9: everything is shifted by 0.2, and 0.9 becomes 1.1."""

    prediction = channels(*[[0.9, 0.5, 0.9, 0.5]] * 3)
    target = channels(*[[1.0, 0.8, 1.0, 0.8]] * 3)

    def test_mean_shift_is_clipped(self) -> None:
        found = align("mean-shift", self.prediction, self.target)
        assert found.offset[0].tolist() == pytest.approx([0.2, 0.2, 0.2])
        torch.testing.assert_close(found.prediction, channels(*[[1.0, 0.7, 1.0, 0.7]] * 3))

    def test_latent_intrinsics_is_not(self) -> None:
        found = align("latent-intrinsics", self.prediction, self.target)
        assert found.offset[0].tolist() == pytest.approx([0.2, 0.2, 0.2])
        torch.testing.assert_close(found.prediction, channels(*[[1.1, 0.7, 1.1, 0.7]] * 3))


class TestLinearLight:
    @pytest.mark.parametrize(
        ("level", "linear"),
        [(0, 0), (1, 0.000303526984), (10, 0.00303526984), (11, 0.00334653576), (128, 0.215860500), (255, 1)],
    )
    def test_levels(self, level: int, linear: float) -> None:
        """12.92 up to level 10, the power of 2.4 from level 11 on. Figures: IEC 61966-2-1, worked out in decimals."""
        value = torch.tensor([level / 255], dtype=torch.float64)
        assert linear_from_srgb(value).item() == pytest.approx(linear, rel=1e-8)
        assert srgb_from_linear(torch.tensor([linear], dtype=torch.float64)).item() == pytest.approx(level / 255)

    def test_it_is_its_own_way_back(self) -> None:
        values = torch.linspace(0, 1, 1001, dtype=torch.float64)
        torch.testing.assert_close(srgb_from_linear(linear_from_srgb(values)), values, rtol=0, atol=1e-7)


class TestTable:
    def test_the_names(self) -> None:
        assert list(ALIGNMENTS) == NAMES

    @pytest.mark.parametrize("name", NAMES)
    def test_a_row_describes_itself(self, name: str) -> None:
        assert "\n" not in ALIGNMENTS[name].meaning
        assert len(ALIGNMENTS[name].meaning) < 100
        assert protocol(name) == ALIGNMENTS[name].protocol
        assert protocol(name).startswith(name)
        assert " " not in protocol(name)

    def test_no_two_protocols_are_alike(self) -> None:
        assert len({protocol(name) for name in NAMES}) == len(NAMES)

    @pytest.mark.parametrize("call", [
        lambda: align("chanel-gain", *pair(1, 2)), lambda: protocol("chanel-gain"),
        lambda: counted("chanel-gain", torch.ones(1, 4, 5, dtype=torch.bool)),
    ], ids=["align", "protocol", "counted"])  # fmt: skip
    def test_an_unknown_name_names_the_nearest(self, call: Callable[[], object]) -> None:
        with pytest.raises(UsageError, match=r"unknown alignment 'chanel-gain'; did you mean channel-gain"):
            call()

    @pytest.mark.parametrize(
        ("prediction", "target", "mask", "message"),
        [
            (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5), None, r"prediction is \(1, 3, 4, 4\) but target is"),
            (torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), None, r"\(1, 1, 4, 4\); they must be \(N, 3, H, W\)"),
            (torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), None, r"\(3, 4, 4\); they must be \(N, 3, H, W\)"),
            (torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4), None, "not empty"),
            (torch.zeros(1, 3, 4, 4).int(), torch.zeros(1, 3, 4, 4).int(), None, "torch.int32; they must be"),
            (torch.zeros(1, 3, 4, 4).byte(), torch.zeros(1, 3, 4, 4), None, "1 is 255 in one of them only"),
            (
                torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 5).bool(),
                r"the mask is \(1, 4, 5\) torch.bool; it must be \(1, 4, 4\) torch.bool",
            ),
            (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4), r"\(1, 4, 4\) torch.float32"),
        ],
        ids=["sizes", "grey", "no batch", "empty", "int32", "mixed", "mask size", "mask dtype"],
    )  # fmt: skip
    def test_what_does_not_fit(self, prediction: Tensor, target: Tensor, mask: Tensor | None, message: str) -> None:
        with pytest.raises(ShapeError, match=message):
            align("gain", prediction, target, mask)
