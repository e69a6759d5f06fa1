"""Winograd's convolution: PyTorch's own in float64, and filters whose result is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from relight_eval.metrics.winograd import STEP, conv3x3, transformed

# Of the largest value of the result: twice the largest error that was seen, of 128 channels (conv2d's own: 4e-7).
RTOL = 6e-6


def image_of(count: int, height: int, width: int, channels: int) -> Tensor:
    """(N, H + 2, W + 2, C) of noise around 1, as features are: its frame is noise too, and not skipped."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randn(count, height + 2, width + 2, channels, generator=generator) + 1


def filter_of(out: int, channels: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(channels)
    scale = (2 / (9 * channels)) ** 0.5
    return torch.randn(out, channels, 3, 3, generator=generator) * scale, torch.randn(out, generator=generator)


class TestValues:
    @pytest.mark.parametrize(("channels", "out"), [(1, 1), (3, 64), (5, 7), (64, 64), (64, 128), (128, 256)], ids=str)
    @pytest.mark.parametrize(("height", "width"), [(1, 4), (2, 8), (7, 12), (5, 60)], ids=str)
    @pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no_bias"])
    def test_conv2d_in_float64(self, height: int, width: int, channels: int, out: int, with_bias: bool) -> None:
        image = image_of(2, height, width, channels)
        weight, bias = filter_of(out, channels)
        found = conv3x3(image, transformed(weight), bias if with_bias else None)
        expected = conv2d(
            image.double().permute(0, 3, 1, 2), weight.double(), bias.double() if with_bias else None
        ).permute(0, 2, 3, 1)
        assert found.shape == (2, height, width, out)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=RTOL * expected.abs().max().item())

    def test_a_pair_at_once_is_one_after_the_other(self) -> None:
        image, (weight, bias) = image_of(3, 4, 8, 16), filter_of(8, 16)
        columns = transformed(weight)
        alone = torch.cat([conv3x3(one[None], columns, bias) for one in image])
        together = conv3x3(image, columns, bias)
        torch.testing.assert_close(together, alone, rtol=0, atol=RTOL * together.abs().max().item())


class TestProperties:
    @pytest.mark.parametrize(("row", "column"), [(i, j) for i in range(3) for j in range(3)], ids=str)
    def test_a_filter_of_one_tap_moves_the_image(self, row: int, column: int) -> None:
        """That of the middle leaves it where it is."""
        channels = 4
        image = image_of(1, 6, 12, channels)
        weight = torch.zeros(channels, channels, 3, 3)
        weight[range(channels), range(channels), row, column] = 1
        moved = conv3x3(image, transformed(weight), None)
        torch.testing.assert_close(moved, image[:, row : row + 6, column : column + 12], rtol=0, atol=5e-6)

    def test_the_bias_comes_out_once(self) -> None:
        weight, bias = torch.zeros(3, 2, 3, 3), torch.tensor([0.0, -1.5, 2.0])
        found = conv3x3(image_of(1, 2, 8, 2), transformed(weight), bias)
        assert torch.equal(found, bias.expand(1, 2, 8, 3))

    def test_of_nothing_nothing(self) -> None:
        """Exactly: so that identical images are 0 apart."""
        weight, _ = filter_of(8, 16)
        assert not conv3x3(torch.zeros(1, 5, 10, 16), transformed(weight), None).any()

    def test_every_output_of_four_has_its_six_inputs(self) -> None:
        """A change of one column reaches the outputs beside it and no others."""
        weight, _ = filter_of(4, 4)
        columns, image = transformed(weight), image_of(1, 1, 4 * STEP, 4)
        before = conv3x3(image, columns, None)
        for changed in range(image.shape[2]):
            other = image.clone()
            other[:, :, changed] += 1
            moved = (conv3x3(other, columns, None) - before).abs().amax(dim=(0, 1, 3)) > 1e-4
            reached = [output for output in range(4 * STEP) if output <= changed <= output + 2]
            assert moved.nonzero()[:, 0].tolist() == reached

    def test_the_image_is_left_alone(self) -> None:
        image, (weight, bias) = image_of(1, 4, 8, 16), filter_of(8, 16)
        columns = transformed(weight)
        before = image.clone(), [column.clone() for column in columns]
        conv3x3(image, columns, bias)
        assert torch.equal(image, before[0])
        assert all(map(torch.equal, columns, before[1]))

    def test_rows_of_a_larger_frame(self) -> None:
        """Strips are views into the frame of the whole image."""
        image, (weight, bias) = image_of(1, 9, 8, 16), filter_of(8, 16)
        columns = transformed(weight)
        whole = conv3x3(image, columns, bias)
        part = conv3x3(image[:, 3:7], columns, bias)
        torch.testing.assert_close(part, whole[:, 3:5], rtol=0, atol=RTOL * whole.abs().max().item())
