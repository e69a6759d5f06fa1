"""Scores inside a mask: which places count, the float64 references, and that nothing outside has a say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from relight_eval.metrics import METRICS, Batch, Metric, Settings
from relight_eval.metrics.masks import inside, masked_means, masked_scores
from relight_eval.metrics.metric import Map
from relight_eval.weights import VGG19Weights, load
from tests.metrics import references
from tests.metrics.cases import CASES, CONTENTS, Pair, as_float64, as_stored, noise, score, to_batch

Mask = NDArray[np.bool_]
Build = Callable[..., Metric]

MASKED_ATOL = 1e-6
VGG19_RTOL = 1e-5

# Metrics on which what lies outside has no influence at all, and those whose maps are made in float32 convolutions,
# which may round otherwise.
EXACT = ("charbonnier", "psnr", "ssim", "wssim")
LOCAL = (*EXACT, "vgg19")
MAPPED = (*LOCAL, "lpips", "mps")


@pytest.fixture(scope="module")
def weights(vgg19_checkpoint: Path) -> VGG19Weights:
    return load(vgg19_checkpoint)


@pytest.fixture(scope="module")
def build(weights: VGG19Weights) -> Build:
    def built(name: str, **settings: object) -> Metric:
        return METRICS[name].build(Settings(vgg19_weights=weights, **settings), torch.device("cpu"))

    return built


def drawn(picture: str) -> Tensor:
    """A mask of one pair, # inside and . outside: (1, H, W)."""
    return torch.tensor([[[mark == "#" for mark in line] for line in picture.split()]])


def as_picture(places: Tensor) -> str:
    return " ".join("".join(".#"[int(place)] for place in row) for row in places[0])


def mapped(height: int, width: int, **geometry: int) -> Map:
    return Map(torch.zeros(1, height, width), **geometry)


def disc(height: int, width: int) -> Mask:
    """What an object looks like: it touches no border."""
    i, j = np.ogrid[:height, :width]
    return ((i - height / 2) / (0.48 * height)) ** 2 + ((j - width / 2) / (0.48 * width)) ** 2 < 1


def corner(height: int, width: int) -> Mask:
    """It touches two borders, with a hole of one pixel."""
    mask = np.zeros((height, width), bool)
    mask[: 3 * height // 4, width // 5 :] = True
    mask[2, -3] = False
    return mask


MASKS = {"disc": disc, "corner": corner, "all": lambda h, w: np.ones((h, w), bool)}


def masked(metric: Metric, *pairs: Pair, masks: list[Mask]) -> list[dict[str, float]]:
    """The columns of each pair inside its mask, scored as one batch."""
    batch = Batch(*as_stored(*pairs), mask=torch.from_numpy(np.stack(masks)))
    rows = masked_scores(metric, batch).double().tolist()
    return [dict(zip([column.name for column in metric.columns], row, strict=True)) for row in rows]


class TestInside:
    @pytest.mark.parametrize(
        ("mask", "found", "expected"),
        [
            pytest.param("#. .#", mapped(2, 2), "#. .#", id="pixels"),
            pytest.param(
                "##### ##### ####. ##### #####", mapped(5, 5, reach=1), "##### ###.. ###.. ###.. #####", id="reach 1"
            ),
            pytest.param("##### ##### #####", mapped(3, 5, reach=2), "##### ##### #####", id="all, border and all"),
            pytest.param("####. ####. ####.", mapped(3, 5, reach=2), "##... ##... ##...", id="reach 2"),
            pytest.param("####. #####", mapped(2, 5, reach=9), "..... .....", id="reach beyond the image"),
            pytest.param(
                "##### ##### ####. ##### #####",
                mapped(3, 3, reach=1, origin=1),
                "##. ##. ##.",
                id="valid windows",
            ),
            pytest.param("#### ###. #### ####", mapped(2, 2, halvings=1), "#. ##", id="block with one pixel outside"),
            pytest.param("####. ####. ####. ####. .....", mapped(2, 2, halvings=1), "## ##", id="odd row and column"),
            pytest.param("##### ##### ####. ##### #####", mapped(1, 1, halvings=2), "#", id="odd after two halvings"),
            pytest.param(
                "######## ######## ######## ######## ######## ######## ######## .#######",
                mapped(4, 4, halvings=1, reach=1),
                "#### #### ..## ..##",
                id="reach in blocks",
            ),
            pytest.param("#### #### #### .###", mapped(6, 6, origin=-1), "###### " * 4 + "#.#### ######", id="beyond"),
            pytest.param(
                "#### #### #### .###",
                mapped(6, 6, reach=1, origin=-1),
                "###### ###### ###### ...### ...### ...###",
                id="beyond, reach 1",
            ),
        ],
    )
    def test_by_hand(self, mask: str, found: Map, expected: str) -> None:
        assert as_picture(inside(drawn(mask), found)) == expected.strip()

    @pytest.mark.parametrize("origin", [0, 1, 5, -2])
    @pytest.mark.parametrize("reach", [0, 1, 5, 30])
    @pytest.mark.parametrize("halvings", [0, 1, 2, 3])
    @pytest.mark.parametrize(("height", "width"), [(40, 48), (47, 33), (16, 21)], ids=str)
    def test_scipy(self, height: int, width: int, halvings: int, reach: int, origin: int) -> None:
        """scipy 1.17, `binary_erosion` of the blocks, on masks with one, few and many pixels outside."""
        generator = np.random.default_rng(0)
        masks = [generator.random((height, width)) >= share for share in (0, 1 / height / width, 0.01, 0.3, 1)]
        shape = max((height >> halvings) - 2 * origin, 0), max((width >> halvings) - 2 * origin, 0)
        found = Map(torch.zeros(len(masks), *shape), halvings=halvings, reach=reach, origin=origin)
        computed = inside(torch.from_numpy(np.stack(masks)), found)
        assert computed.dtype == torch.bool
        for places, mask in zip(computed.numpy(), masks, strict=True):
            expected = references.inside(mask, shape, halvings=halvings, reach=reach, origin=origin)
            np.testing.assert_array_equal(places, expected)


class TestMeans:
    def test_by_hand(self) -> None:
        values = torch.tensor([[[1.0, 2.0], [3.0, math.nan]], [[5.0, 6.0], [7.0, 8.0]], [[1.0, 1.0], [1.0, 1.0]]])
        mask = torch.cat([drawn("## #."), drawn(".. .#"), drawn(".. ..")])
        found = masked_means({"a": Map(values), "b": Map(-values)}, mask)
        assert list(found) == ["a", "b"]
        assert found["a"].dtype == torch.float64
        assert found["a"][:2].tolist() == [2, 8]
        assert found["b"][:2].tolist() == [-2, -8]
        assert found["a"][2].isnan()
        assert found["b"][2].isnan()

    def test_many_places_keep_their_digits(self) -> None:
        """A sum in float32 would lose the sixth digit."""
        values = torch.full((1, 64, 2**14), 0.1) + torch.arange(2**14) * 1e-6
        mean = masked_means({"a": Map(values)}, torch.ones(values.shape, dtype=torch.bool))["a"].item()
        assert mean == pytest.approx(values.double().mean().item(), rel=1e-12)


class TestScores:
    @pytest.mark.parametrize(
        ("pair", "mask"),
        [
            ("noise-48x33", "all"),
            ("noise-33x47", "disc"),
            ("close-33x47", "corner"),
            ("bright_close-48x33", "disc"),
            ("halves-48x33", "corner"),
        ],
    )
    @pytest.mark.parametrize("name", MAPPED)
    def test_reference(self, name: str, pair: str, mask: str, build: Build, weights: VGG19Weights) -> None:
        shape = MASKS[mask](*CASES[pair][0].shape[:2])
        (computed,) = masked(build(name), CASES[pair], masks=[shape])
        expected = references.masked_score(name, *as_float64(CASES[pair]), shape, weights.tensors)
        tolerance = {"rel": VGG19_RTOL} if name == "vgg19" else {"abs": MASKED_ATOL}
        assert computed == pytest.approx(expected, nan_ok=True, **tolerance)

    @pytest.mark.parametrize("name", MAPPED)
    def test_all_inside_is_the_ordinary_score(self, name: str, build: Build) -> None:
        pair = CASES["noise-48x33"]
        (computed,) = masked(build(name), pair, masks=[MASKS["all"](33, 48)])
        tolerance = {"abs": 1e-4} if name in ("lpips", "mps") else {"rel": 1e-6, "abs": MASKED_ATOL}
        assert computed == pytest.approx(score(build(name), pair), **tolerance)

    @pytest.mark.parametrize("name", ["charbonnier", "psnr", "ssim"])
    def test_a_rectangle_is_the_score_of_the_crop(self, name: str, build: Build) -> None:
        pair = CASES["noise-48x33"]
        mask = np.zeros((33, 48), bool)
        mask[4:29, 7:40] = True
        (computed,) = masked(build(name), pair, masks=[mask])
        crop = pair[0][4:29, 7:40], pair[1][4:29, 7:40]
        assert computed == pytest.approx(score(build(name), crop), abs=MASKED_ATOL)

    @pytest.mark.parametrize("name", MAPPED)
    def test_identical_inside_is_exact(self, name: str, build: Build) -> None:
        metric = build(name)
        (computed,) = masked(metric, CASES["identical-48x33"], masks=[disc(33, 48)])
        empty = {name for name, value in computed.items() if math.isnan(value)}
        assert empty < set(computed)
        assert computed == {c.name: pytest.approx(math.nan, nan_ok=True) if c.name in empty else c.identical
                            for c in metric.columns}  # fmt: skip

    @pytest.mark.parametrize("name", MAPPED)
    def test_of_one_pair_are_those_of_many(self, name: str, build: Build) -> None:
        pairs = [CASES[f"{content}-48x33"] for content in ("noise", "close", "white")]
        masks = [MASKS[mask](33, 48) for mask in ("corner", "all", "disc")]
        together = masked(build(name), *pairs, masks=masks)
        alone = [masked(build(name), pair, masks=[mask])[0] for pair, mask in zip(pairs, masks, strict=True)]
        for both, one in zip(together, alone, strict=True):
            assert both == pytest.approx(one, rel=1e-6, abs=MASKED_ATOL, nan_ok=True)

    @pytest.mark.parametrize("name", MAPPED)
    def test_without_a_mask_is_the_ordinary_score(self, name: str, build: Build) -> None:
        batch = to_batch(CASES["noise-48x33"])
        assert torch.equal(masked_scores(build(name), batch), build(name).score(batch))

    def test_of_a_metric_that_minds_the_mask_itself(self, build: Build) -> None:
        def counted(batch: Batch) -> Tensor:
            return batch.mask.sum(dim=(1, 2))[:, None]

        metric = replace(build("psnr"), score=counted, maps=None, combined=None)
        assert masked(metric, CASES["noise-48x33"], masks=[disc(33, 48)]) == [{"psnr": disc(33, 48).sum()}]


def changed_outside(pair: Pair, mask: Mask, other: Pair) -> Pair:
    """The pair with the pixels of another one wherever the mask is not."""
    prediction, target = (np.where(mask[..., None], mine, yours) for mine, yours in zip(pair, other, strict=True))
    return prediction, target


OTHERS: Mapping[str, Callable[[int, int], Pair]] = {
    "noise": lambda h, w: (noise(h, w, seed=5), noise(h, w, seed=6)),
    "black on white": lambda h, w: (np.zeros((h, w, 3), np.uint8), np.full((h, w, 3), 255, np.uint8)),
    "black": lambda h, w: (np.zeros((h, w, 3), np.uint8),) * 2,
}


class TestOutside:
    """What lies outside."""

    @pytest.mark.parametrize("other", OTHERS)
    @pytest.mark.parametrize("content", ["noise", "bright_close", "halves"])
    @pytest.mark.parametrize("mask", [disc, corner], ids=["disc", "corner"])
    @pytest.mark.parametrize("name", EXACT)
    def test_has_no_influence(
        self, name: str, mask: Callable[[int, int], Mask], content: str, other: str, build: Build
    ) -> None:
        shape, pair = mask(72, 76), CONTENTS[content](72, 76)
        (before,) = masked(build(name), pair, masks=[shape])
        (after,) = masked(build(name), changed_outside(pair, shape, OTHERS[other](72, 76)), masks=[shape])
        assert after == pytest.approx(before, rel=1e-12, abs=0, nan_ok=True)
        assert not math.isnan(after[name])

    @pytest.mark.parametrize("other", OTHERS)
    @pytest.mark.parametrize("mask", [disc, corner], ids=["disc", "corner"])
    def test_has_none_on_vgg19(self, mask: Callable[[int, int], Mask], other: str, build: Build) -> None:
        shape, pair = mask(48, 64), (noise(48, 64), noise(48, 64, seed=1))
        (before,) = masked(build("vgg19"), pair, masks=[shape])
        (after,) = masked(build("vgg19"), changed_outside(pair, shape, OTHERS[other](48, 64)), masks=[shape])
        assert after == pytest.approx(before, rel=1e-6, abs=0)

    @pytest.mark.parametrize(("wavelet", "levels"), [("db2", 2), ("db4", 1), ("bior2.2", 1)], ids=str)
    @pytest.mark.parametrize("mask", [disc, corner], ids=["disc", "corner"])
    def test_has_none_on_other_wavelets(
        self, mask: Callable[[int, int], Mask], wavelet: str, levels: int, build: Build
    ) -> None:
        shape, pair = mask(96, 96), (noise(96, 96), noise(96, 96, seed=1))
        metric = build("wssim", wavelet=wavelet, wssim_levels=levels)
        (before,) = masked(metric, pair, masks=[shape])
        (after,) = masked(metric, changed_outside(pair, shape, OTHERS["noise"](96, 96)), masks=[shape])
        assert after == pytest.approx(before, rel=1e-12, abs=0)

    @pytest.mark.parametrize("name", LOCAL)
    def test_one_place_less_of_reach_would_let_it_in(self, name: str, build: Build) -> None:
        """A guard of the tests above: no map asks for more than its values depend on."""
        shape, pair = disc(96, 96), (noise(96, 96), noise(96, 96, seed=1))
        other = changed_outside(pair, shape, OTHERS["noise"](96, 96))
        mine, yours = (build(name).maps(to_batch(which)) for which in (pair, other))
        for key, found in mine.items():
            if not found.reach:
                continue
            places = inside(torch.from_numpy(shape)[None], found._replace(reach=found.reach - 1))
            assert (found.values - yours[key].values)[places].abs().max() > 1e-6, key

    @pytest.mark.parametrize("name", ["charbonnier", "psnr"])
    def test_may_be_nan(self, name: str, build: Build) -> None:
        prediction, target = (image.float().div(255) for image in as_stored(CASES["noise-48x33"]))
        mask = torch.from_numpy(disc(33, 48))[None]
        before = masked_scores(build(name), Batch(prediction, target, mask=mask))
        after = masked_scores(build(name), Batch(prediction.where(mask[:, None], math.nan), target, mask=mask))
        assert after.tolist() == before.tolist()

    @pytest.mark.parametrize("column", ["charbonnier", "psnr", "ssim", "wssim_full", "vgg19"])
    def test_is_not_scored_as_black(self, column: str, build: Build) -> None:
        """Black equals black, and would flatter: noise scores inside a mask as it does everywhere."""
        pair, shape, metric = (noise(72, 76), noise(72, 76, seed=1)), disc(72, 76), build(column.split("_")[0])
        blackened = score(metric, changed_outside(pair, shape, OTHERS["black"](72, 76)))[column]
        (computed,) = masked(metric, pair, masks=[shape])
        whole = score(metric, pair)[column]
        assert abs(computed[column] - whole) < 0.5 * abs(blackened - whole)

    @pytest.mark.parametrize("name", ["lpips", "mps"])
    def test_is_seen_by_the_network_of_lpips(self, name: str, build: Build) -> None:
        """As the documentation says; a little, it is not averaged."""
        pair, shape = (noise(64, 64), noise(64, 64, seed=1)), disc(64, 64)
        (before,) = masked(build(name), pair, masks=[shape])
        (after,) = masked(build(name), changed_outside(pair, shape, OTHERS["black on white"](64, 64)), masks=[shape])
        assert before[name] != pytest.approx(after[name], abs=1e-4)


class TestTooSmall:
    """Where no place lies inside, that is said by NaN, in the columns that depend on it and in those only."""

    @pytest.mark.parametrize("name", MAPPED)
    def test_nothing_inside(self, name: str, build: Build) -> None:
        nothing = np.zeros((33, 48), bool)
        computed, beside = masked(
            build(name), CASES["noise-48x33"], CASES["noise-48x33"], masks=[nothing, MASKS["all"](33, 48)]
        )
        assert all(math.isnan(value) for value in computed.values())
        assert not any(math.isnan(value) for value in beside.values())

    def test_one_pixel(self, build: Build) -> None:
        pair, mask = CASES["noise-48x33"], np.zeros((33, 48), bool)
        mask[20, 30] = True
        (computed,) = masked(build("charbonnier"), pair, masks=[mask])
        d = pair[0][20, 30] / 255 - pair[1][20, 30] / 255
        assert computed["charbonnier"] == pytest.approx(np.sqrt(d**2 + 1e-6).mean(), abs=1e-7)
        assert math.isnan(masked(build("ssim"), pair, masks=[mask])[0]["ssim"])
        assert math.isnan(masked(build("mps"), pair, masks=[mask])[0]["mps"])
        assert masked(build("lpips"), pair, masks=[mask])[0]["lpips"] > 0

    @pytest.mark.parametrize(
        ("name", "side"),
        [("charbonnier", 1), ("psnr", 1), ("lpips", 1), ("ssim", 11), ("mps", 11), ("wssim", 44), ("vgg19", 28)],
    )
    def test_width_that_is_enough(self, name: str, side: int, build: Build) -> None:
        """Of a square that begins at a whole block, and touches no border."""
        pair, masks = CASES["noise-64x64"], np.zeros((2, 64, 64), bool)
        masks[0, 8 : 8 + side, 8 : 8 + side] = True
        masks[1, 8 : 8 + side, 8 : 7 + side] = True
        enough, too_narrow = masked(build(name), pair, pair, masks=list(masks))
        assert not any(math.isnan(value) for value in enough.values())
        assert math.isnan(too_narrow[name])

    def test_bands_that_are_too_coarse(self, build: Build) -> None:
        """22 pixels hold the 11 places of a window at level 1, not those at level 2; the sum wants all."""
        pair, mask = (noise(64, 64), noise(64, 64, seed=1)), np.zeros((64, 64), bool)
        mask[20:42, 20:42] = True
        (computed,) = masked(build("wssim"), pair, masks=[mask])
        empty = {name for name, value in computed.items() if math.isnan(value)}
        assert empty == {"wssim", "wssim_hl2", "wssim_lh2", "wssim_hh2", "wssim_ll2"}

    def test_layers_that_are_too_coarse(self, build: Build) -> None:
        """12 pixels hold the 5 places that one of relu2_1 sees, not the 7 of relu3_1."""
        pair, mask = (noise(32, 32), noise(32, 32, seed=1)), np.zeros((32, 32), bool)
        mask[8:20, 8:20] = True
        (computed,) = masked(build("vgg19"), pair, masks=[mask])
        assert {name for name, value in computed.items() if math.isnan(value)} == {"vgg19", "vgg19_relu3_1"}
