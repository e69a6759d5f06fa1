"""Winograd's convolution: PyTorch's own in float64, and filters whose result is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from relight_eval.metrics.winograd import STEP, conv3x3, transformed

# Of the largest value of the result: twice the largest error that was seen, of 128 channels (conv2d's own: 4e-7).
RTOL = 2e-5


def image_of(height: int, width: int, channels: int) -> Tensor:
    """(C, H + 2, W + 2) of noise around 1, as features are: its frame is noise too, and not skipped."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randn(channels, height + 2, width + 2, generator=generator) + 1


def filter_of(out: int, channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    scale = (2 / (9 * channels)) ** 0.5
    return torch.randn(out, channels, 3, 3, generator=generator) * scale, torch.randn(out, generator=generator)


def in_planes(image: Tensor) -> Tensor:
    """An image with its border in four planes. What no output depends on is far from it all."""
    channels, height, width = image.shape
    planes = torch.full((STEP, height, (width - 2) // STEP + 2, channels), 1e30)
    for column in range(-1, width - 1):
        planes[column % STEP, :, column // STEP + 1] = image[:, :, column + 1].T
    return planes


def convolved(image: Tensor, matrices: Tensor, bias: Tensor | None) -> Tensor:
    """`conv3x3` of an image (C, H + 2, W + 2): (out, H, W)."""
    planes = conv3x3(in_planes(image), matrices, bias)  # (4, n, 4, W / 4, out)
    return planes.permute(4, 1, 2, 3, 0).flatten(3, 4).flatten(1, 2)


class TestValues:
    @pytest.mark.parametrize(("channels", "out"), [(1, 1), (3, 64), (5, 7), (64, 64), (64, 128), (128, 256)], ids=str)
    @pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 8), (4, 60), (20, 12)], ids=str)
    @pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no_bias"])
    def test_conv2d_in_float64(self, height: int, width: int, channels: int, out: int, with_bias: bool) -> None:
        image = image_of(height, width, channels)
        weight, bias = filter_of(out, channels)
        found = convolved(image, transformed(weight), bias if with_bias else None)
        expected = conv2d(image.double(), weight.double(), bias.double() if with_bias else None)
        assert found.shape == (out, height, width)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=RTOL * expected.abs().max().item())


class TestProperties:
    @pytest.mark.parametrize(("row", "column"), [(i, j) for i in range(3) for j in range(3)], ids=str)
    def test_a_filter_of_one_tap_moves_the_image(self, row: int, column: int) -> None:
        """That of the middle leaves it where it is."""
        channels = 4
        image = image_of(8, 12, channels)
        weight = torch.zeros(channels, channels, 3, 3)
        weight[range(channels), range(channels), row, column] = 1
        moved = convolved(image, transformed(weight), None)
        torch.testing.assert_close(moved, image[:, row : row + 8, column : column + 12], rtol=0, atol=2e-5)

    def test_the_bias_comes_out_once(self) -> None:
        weight, bias = torch.zeros(3, 2, 3, 3), torch.tensor([0.0, -1.5, 2.0])
        found = convolved(image_of(4, 8, 2), transformed(weight), bias)
        assert torch.equal(found, bias.view(3, 1, 1).expand(3, 4, 8))

    def test_of_nothing_nothing(self) -> None:
        """Exactly: so that identical images are 0 apart."""
        weight, _ = filter_of(8, 16)
        assert not convolved(torch.zeros(16, 6, 10), transformed(weight), None).any()

    @pytest.mark.parametrize("of_rows", [True, False], ids=["rows", "columns"])
    def test_every_output_has_the_inputs_around_it(self, of_rows: bool) -> None:
        """A change of one row or column reaches the outputs beside it and no others."""
        weight, _ = filter_of(4, 4)
        matrices, image = transformed(weight), image_of(3 * STEP, 3 * STEP, 4)
        before = convolved(image, matrices, None)
        for changed in range(3 * STEP + 2):
            other = image.clone()
            other.select(1 if of_rows else 2, changed).add_(1)
            difference = (convolved(other, matrices, None) - before).abs()
            moved = difference.amax(dim=(0, 2) if of_rows else (0, 1)) > 1e-3
            reached = [output for output in range(3 * STEP) if output <= changed <= output + 2]
            assert moved.nonzero()[:, 0].tolist() == reached

    def test_the_image_is_left_alone(self) -> None:
        planes, (weight, bias) = in_planes(image_of(4, 8, 16)), filter_of(8, 16)
        matrices = transformed(weight)
        before = planes.clone(), matrices.clone()
        conv3x3(planes, matrices, bias)
        assert torch.equal(planes, before[0])
        assert torch.equal(matrices, before[1])

    def test_rows_of_a_larger_frame(self) -> None:
        """Strips are views into the frame of the whole image."""
        planes, (weight, bias) = in_planes(image_of(12, 8, 16)), filter_of(8, 16)
        matrices = transformed(weight)
        whole = conv3x3(planes, matrices, bias)
        part = conv3x3(planes[:, 4:10], matrices, bias)
        torch.testing.assert_close(part, whole[:, 1:2], rtol=0, atol=RTOL * whole.abs().max().item())
