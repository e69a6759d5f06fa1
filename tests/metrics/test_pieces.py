"""Pieces and tiles: every row and pixel once, the right surroundings, and scores that know nothing of either."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from relight_eval.metrics import METRICS, Batch, Settings, build
from relight_eval.metrics import pieces as module
from relight_eval.metrics.pieces import (
    PIECE_VALUES,
    each,
    in_pieces,
    piece_values,
    resources,
    summed,
    tiles,
    total,
    white,
    working_dtype,
)
from relight_eval.weights import load
from tests.metrics.cases import as_stored, flat, noise, to_tensors


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture(scope="module")
def settings(vgg19_checkpoint: Path) -> Settings:
    return Settings(vgg19_weights=load(vgg19_checkpoint))


def images(height: int, width: int, *, dtype: torch.dtype = torch.float32, count: int = 2) -> tuple[Tensor, Tensor]:
    """Two unlike batches of levels 1 to 255, so that the zeros beyond the border are not theirs."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    both = torch.randint(1, 256, (2, count, 3, height, width), generator=generator, dtype=torch.uint8)
    prediction, target = both if dtype == torch.uint8 else (both / 255).to(dtype)
    return prediction, target


def cut(prediction: Tensor, target: Tensor, **how: int) -> list[list[tuple[int, Tensor, Tensor]]]:
    return in_pieces(lambda p, t, top: (top, p, t), prediction, target, **how)


class TestInPieces:
    @pytest.mark.parametrize(
        ("at_once", "dtype"),
        [(1, torch.uint8), (1, torch.float64), (300, torch.uint8), (300, torch.float32), (10**9, torch.float32)],
        ids=str,
    )
    @pytest.mark.parametrize("halo", [0, 1, 5, 10], ids="halo_{}".format)
    @pytest.mark.parametrize("align", [1, 2], ids="align_{}".format)
    @pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 30), (3, 2), (47, 5), (130, 7), (64, 64)], ids=str)
    def test_every_row_once_and_around_it_its_neighbours_or_zeros(
        self, height: int, width: int, align: int, halo: int, at_once: int, dtype: torch.dtype
    ) -> None:
        both = images(height, width, dtype=dtype)
        with resources(piece_values=at_once):
            done = cut(*both, halo=halo, align=align)
        around = [pad(side.to(working_dtype(side)), (halo,) * 4) for side in both]
        first = 0
        for of_images in done:
            next_row, count = 0, len(of_images[0][1])
            for top, *sides in of_images:
                assert (top, top % align) == (next_row, 0)
                next_row += sides[0].shape[-2] - 2 * halo
                for side, whole in zip(sides, around, strict=True):
                    assert side.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
                    assert torch.equal(side, whole[first : first + count, :, top : next_row + 2 * halo])
            assert next_row == height
            first += count
        assert first == 2

    @pytest.mark.parametrize("at_once", [1, 500, 2000], ids="values_{}".format)
    def test_a_piece_is_not_larger_than_it_may_be(self, at_once: int) -> None:
        """But 8 rows it has, and four times the halo: else most of the work would be the halo's."""
        for halo in (0, 5):
            with resources(piece_values=at_once):
                (of_image,) = cut(*images(130, 20, count=1), halo=halo)
            heights = [p.shape[-2] - 2 * halo for _, p, _ in of_image]
            assert max(heights) == max(at_once // 20, 4 * halo, 8)
            assert set(heights[:-1]) <= {max(heights)}

    def test_how_an_image_is_cut_does_not_depend_on_its_neighbours(self) -> None:
        with resources(piece_values=60):
            alone, among_others = (cut(*images(47, 5, count=count)) for count in (1, 3))
        tops = [top for top, _, _ in alone[0]]
        assert len(tops) > 1
        assert [[top for top, _, _ in of_image] for of_image in among_others] == [tops] * 3

    def test_small_images_share_a_piece(self) -> None:
        with resources(piece_values=2 * 64 * 64):
            shapes = [[tuple(p.shape) for _, p, _ in of_images] for of_images in cut(*images(64, 64, count=3))]
        assert shapes == [[(2, 3, 64, 64)], [(1, 3, 64, 64)]]

    def test_elsewhere_a_batch_is_one_piece_unless_the_memory_is_short(self) -> None:
        both = [side.to("meta") for side in images(64, 40, count=3)]
        (((top, p, _),),) = cut(*both, halo=5)
        assert (top, p.shape) == (0, (3, 3, 74, 50))
        with resources(piece_values=1280):
            assert [[p.shape[-2] for _, p, _ in of_image] for of_image in cut(*both)] == [[32, 32]] * 3

    def test_summed_is_the_sum_of_each_image(self) -> None:
        prediction, target = images(47, 9, count=3, dtype=torch.float64)
        with resources(piece_values=1):
            found = summed(in_pieces(lambda p, t, top: torch.cat((total(p), total(t)), dim=1), prediction, target))
        expected = torch.stack((prediction.sum(dim=(1, 2, 3)), target.sum(dim=(1, 2, 3))), dim=1)
        torch.testing.assert_close(found, expected, rtol=1e-14, atol=0)

    def test_total_of_a_large_float32_image_keeps_its_digits(self) -> None:
        """A float32 sum of 4 million values of 0.1 that is added up one by one is off in the third digit."""
        values = torch.full((1, 1, 2048, 2048), 0.1)
        assert total(values).item() == pytest.approx(2048**2 * float(values[0, 0, 0, 0]), rel=1e-6)
        assert total(values).dtype == torch.float64

    @pytest.mark.parametrize(
        ("dtype", "brightest", "worked_in"),
        [
            (torch.uint8, 255, torch.float32),
            (torch.float16, 1, torch.float32),
            (torch.bfloat16, 1, torch.float32),
            (torch.float32, 1, torch.float32),
            (torch.float64, 1, torch.float64),
        ],
        ids=str,
    )
    def test_types(self, dtype: torch.dtype, brightest: float, worked_in: torch.dtype) -> None:
        image = torch.zeros(1, 3, 2, 2, dtype=dtype)
        assert white(image) == brightest
        assert working_dtype(image) == worked_in
        assert module.in_dtype(image + int(brightest), torch.float64).unique().tolist() == [1.0]


class TestEach:
    @pytest.mark.parametrize("threads", [0, 1, 4], ids="threads_{}".format)
    def test_keeps_the_order(self, threads: int) -> None:
        def late_if_early(piece: int) -> int:
            time.sleep(0.01 if piece == 0 else 0)
            return piece * piece

        with ThreadPoolExecutor(threads or 1) as pool, resources(pool=pool if threads else None):
            assert each(late_if_early, range(20)) == [piece * piece for piece in range(20)]

    @pytest.mark.parametrize("threads", [0, 2], ids="threads_{}".format)
    def test_raises_what_a_piece_raises(self, threads: int) -> None:
        def fails(piece: int) -> int:
            if piece == 3:
                raise MemoryError("piece 3")
            return piece

        with ThreadPoolExecutor(threads or 1) as pool, resources(pool=pool if threads else None):
            with pytest.raises(MemoryError, match="piece 3"):
                each(fails, range(5))
            assert each(abs, [-1, -2]) == [1, 2]  # and goes on

    def test_works_in_the_threads_of_the_pool(self, pool: Executor) -> None:
        meet = threading.Barrier(2)
        with resources(pool=pool):
            names = each(lambda _: (meet.wait(10), threading.current_thread().name)[1], range(2))
        assert len(set(names)) == 2
        assert threading.current_thread().name not in names

    def test_one_piece_stays_in_the_calling_thread(self, pool: Executor) -> None:
        with resources(pool=pool):
            assert each(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]

    def test_pieces_of_pieces_do_not_wait_for_each_other(self) -> None:
        """VGG19 takes pairs side by side, and of each its strips."""
        with ThreadPoolExecutor(1) as pool, resources(pool=pool):
            assert each(lambda i: sum(each(lambda j: i * j, range(4))), range(3)) == [0, 6, 12]

    def test_nothing(self, pool: Executor) -> None:
        with resources(pool=pool):
            assert each(abs, []) == []


class TestTiles:
    @pytest.mark.parametrize("side", [4, 16, 20], ids="side_{}".format)
    @pytest.mark.parametrize("margin", [0, 4, 12], ids="margin_{}".format)
    @pytest.mark.parametrize(
        ("height", "width"),
        [(1, 1), (1, 200), (200, 1), (5, 7), (16, 16), (17, 33), (20, 40), (21, 41), (47, 33)],
        ids=str,
    )
    def test_inner_parts_are_the_image_and_margins_are_around_them(
        self, height: int, width: int, margin: int, side: int
    ) -> None:
        pixels = torch.arange(height * width).view(height, width)
        covered = torch.zeros(height, width)
        for outer, inner in tiles(height, width, side=side, margin=margin):
            tile = pixels[outer.rows, outer.columns]
            part = tile[inner.rows, inner.columns]
            assert part.numel() > 0
            assert max(part.shape) <= side
            covered.view(-1)[part.reshape(-1)] += 1
            top, left = divmod(part[0, 0].item(), width)
            bottom, right = divmod(part[-1, -1].item(), width)
            assert outer.rows == slice(max(top - margin, 0), min(bottom + 1 + margin, height))
            assert outer.columns == slice(max(left - margin, 0), min(right + 1 + margin, width))
            for start in (outer.rows.start, outer.columns.start, inner.rows.start, inner.columns.start):
                assert start % 4 == 0
        assert torch.equal(covered, torch.ones(height, width))

    @pytest.mark.parametrize(("height", "width"), [(5, 7), (17, 33), (47, 33), (40, 42)], ids=str)
    @pytest.mark.parametrize("halvings", [1, 2], ids="halvings_{}".format)
    def test_of_the_halved_image_they_cover_every_pixel_once_too(self, height: int, width: int, halvings: int) -> None:
        covered = torch.zeros(height >> halvings, width >> halvings)
        for outer, inner in tiles(height, width, side=16, margin=12):
            rows, columns = outer.halved(halvings)
            counted = inner.halved(halvings)
            covered[rows, columns][counted.rows, counted.columns] += 1
        assert torch.equal(covered, torch.ones_like(covered))

    def test_an_image_that_fits_is_one_tile(self) -> None:
        ((outer, inner),) = tiles(16, 9, side=16, margin=12)
        assert outer == inner == (slice(0, 16), slice(0, 9))


class TestResources:
    def test_inside_and_as_before_outside_even_after_an_error(self, pool: Executor) -> None:
        image = torch.zeros(1)

        def granted() -> tuple[object, int | None]:
            return module._pool.get(), piece_values(image)

        nothing = (None, PIECE_VALUES)
        assert granted() == nothing
        with resources(pool=pool, piece_values=7):
            assert granted() == (pool, 7)
            with resources():
                assert granted() == nothing
            with pytest.raises(KeyError), resources():
                raise KeyError
            assert granted() == (pool, 7)
        assert granted() == nothing

    def test_limit_is_the_smaller_of_the_usual_and_the_granted(self) -> None:
        """Elsewhere than on a CPU nothing is usual."""
        image = torch.zeros(1)
        assert piece_values(image, usual=5) == 5
        assert piece_values(image.to("meta"), usual=5) is None
        for granted in (3, 8):
            with resources(piece_values=granted):
                assert piece_values(image, usual=5) == min(granted, 5)
                assert piece_values(image.to("meta"), usual=5) == granted

    def test_in_the_threads_of_the_pool_the_limit_holds_too(self, pool: Executor) -> None:
        with resources(pool=pool, piece_values=7):
            assert each(lambda _: piece_values(torch.zeros(1)), range(3)) == [7, 7, 7]
            assert each(lambda _: module._pool.get(), range(3)) == [None, None, None]
        with resources(pool=pool):
            assert each(lambda _: piece_values(torch.zeros(1)), range(3)) == [PIECE_VALUES] * 3


# High enough for several pieces of W-SSIM, which have at least 40 rows; wide enough for LPIPS.
HIGH = [
    (noise(101, 35), noise(101, 35, seed=1)),
    (noise(101, 35, 230), noise(101, 35, 225, 250, seed=2)),
    (flat(101, 35, 0), noise(101, 35, seed=3)),
]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("feed", [as_stored, to_tensors], ids=["uint8", "float"])
class TestScores:
    """Of every metric: neither how an image is cut nor who works on it changes a score."""

    @pytest.mark.parametrize("at_once", [300, 2500], ids="values_{}".format)
    def test_do_not_depend_on_the_pieces(
        self, name: str, feed: Callable[..., tuple[Tensor, Tensor]], at_once: int, settings: Settings
    ) -> None:
        (metric,) = build([name], settings, torch.device("cpu"))
        whole = metric.score(Batch(*feed(*HIGH)))
        with resources(piece_values=at_once):
            in_parts = metric.score(Batch(*feed(*HIGH)))
        np.testing.assert_allclose(in_parts, whole, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("at_once", [None, 500], ids="values_{}".format)
    def test_do_not_depend_on_the_threads(
        self,
        name: str,
        feed: Callable[..., tuple[Tensor, Tensor]],
        at_once: int | None,
        settings: Settings,
        pool: Executor,
    ) -> None:
        """To the last digit: pieces are added up in order."""
        (metric,) = build([name], settings, torch.device("cpu"))
        for pairs in (HIGH, HIGH[:1]):
            with resources(piece_values=at_once):
                alone = metric.score(Batch(*feed(*pairs)))
            with resources(pool=pool, piece_values=at_once):
                together = metric.score(Batch(*feed(*pairs)))
            np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("name", ["charbonnier", "psnr", "ssim", "wssim"])
def test_float64_images_do_not_depend_on_the_pieces_at_all(name: str) -> None:
    (metric,) = build([name], Settings(), torch.device("cpu"))
    batch = [side.double() for side in to_tensors(*HIGH)]
    whole = metric.score(Batch(*batch))
    with resources(piece_values=1):
        np.testing.assert_allclose(metric.score(Batch(*batch)), whole, rtol=1e-12)
