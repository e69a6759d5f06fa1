"""Floors: what they look like, and that they are made of what counts alone."""

from __future__ import annotations

import pytest
import torch

from relight_eval.engines.floors import FLOORS, black, mean_colour


def target() -> torch.Tensor:
    """Means 0.5, 2.5 and 127.5 of the first row, 100 of the second."""
    rows = [[0, 1], [2, 3], [0, 255]]
    return torch.tensor([[row, [100, 100]] for row in rows], dtype=torch.uint8)


def test_black_is_black() -> None:
    assert torch.equal(black(target()), torch.zeros(3, 2, 2, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # 50.25, 51.25, 113.75
        pytest.param([True, True], (50, 51, 114), id="whole"),
        # half to even: 0.5, 2.5, 127.5
        pytest.param([True, False], (0, 2, 128), id="first row"),
        pytest.param([False, True], (100, 100, 100), id="second row"),
    ],
)
def test_mean_colour_is_that_of_what_counts(rows: list[bool], expected: tuple[int, int, int]) -> None:
    mask = torch.tensor(rows)[:, None].expand(2, 2)
    found = mean_colour(target(), mask)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert torch.equal(found, torch.tensor(expected, dtype=torch.uint8)[:, None, None].expand(3, 2, 2))


def test_without_a_mask_everything_counts() -> None:
    assert torch.equal(mean_colour(target()), mean_colour(target(), torch.ones(2, 2, dtype=torch.bool)))


def test_the_mean_of_a_large_image_loses_nothing() -> None:
    """A sum of 10⁹, where float32 counts in steps of 64."""
    image = torch.full((3, 2048, 2048), 254, dtype=torch.uint8)
    image[:, ::2] = 255
    assert mean_colour(image).unique().tolist() == [254]  # 254.5, half to even
    image[:, 1, 0] = 255
    assert mean_colour(image).unique().tolist() == [255]


@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 5, 7)], ids=str)
def test_every_floor_is_as_large_as_the_target_and_leaves_it_alone(floor: str, shape: tuple[int, ...]) -> None:
    image = torch.randint(0, 256, shape, generator=torch.manual_seed(0), dtype=torch.uint8)
    before = image.clone()
    made = FLOORS[floor](image, torch.ones(shape[1:], dtype=torch.bool))
    assert (made.shape, made.dtype) == (image.shape, torch.uint8)
    made.fill_(7)
    assert torch.equal(image, before)
