"""The VGG19 distance on a CPU, without gradients: the sums of `vgg19.layer_sums`, in half the time.

The network is run in three stages that end where the image is halved. A stage takes its input strip by strip, each
strip a few rows that stay in the cache through both convolutions of the stage, side by side in the threads of
`pieces.resources`; the convolutions are Winograd's. Neighbouring strips share two rows of input, and compute two rows
of the first convolution twice. Beyond the border of the image there are zeros, as everywhere in VGG19.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from relight_eval.metrics.pieces import Window, each
from relight_eval.metrics.winograd import STEP, conv3x3, transformed

# Values of the features of a strip: 4 MiB as float32.
STRIP_VALUES = 2**20

STAGES = (("conv1_1", "conv1_2"), ("conv2_1", "conv2_2"), ("conv3_1", None))


class Layer:
    """A convolution of VGG19: its weight (out, in, 3, 3), prepared, and its bias (out,)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        self.columns = transformed(weight)
        # of three channels, the sums of Winograd cost more than they save
        self.plain = weight.contiguous(memory_format=torch.channels_last) if weight.shape[1] < 16 else None

    def __call__(self, framed: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of (1, H + 2, W + 2, C), W a multiple of 4: (1, H, W, out)."""
        if self.plain is None:
            return conv3x3(framed, self.columns, bias)
        return conv2d(framed.permute(0, 3, 1, 2), self.plain, bias).permute(0, 2, 3, 1)


class Features(NamedTuple):
    """What goes through the network: the target's features, and the prediction's less these.

    Both (1, H + 2, wide + 2, C): in a frame of zeros, which on the right fills the width up to a multiple of 4.
    """

    base: Tensor
    delta: Tensor

    @classmethod
    def framed(cls, height: int, width: int, channels: int) -> Features:
        """A frame, and nothing in it yet."""
        wide = -(-width // STEP) * STEP
        sides = cls(*(torch.empty(1, height + 2, wide + 2, channels) for _ in range(2)))
        for side in sides:
            side[:, 0], side[:, -1], side[:, :, 0], side[:, :, width + 1 :] = 0, 0, 0, 0
        return sides

    def rows(self, first: int, last: int) -> Features:
        """Rows of the frame."""
        return Features(self.base[:, first:last], self.delta[:, first:last])


def layer_sums(layers: dict[str, Layer], base: Tensor, delta: Tensor, window: Window) -> Tensor:
    """Sums of |difference| of the features of a pair at relu1_1, relu2_1 and relu3_1 in `window`: (3,).

    `base` is the target as the network sees it, `delta` the prediction's difference from it, both (1, 3, H, W)
    float32, H and W at least 4.
    """
    height, width = base.shape[-2:]
    x = Features.framed(height, width, 3)
    for side, image in zip(x, (base, delta), strict=True):
        side[:, 1:-1, 1 : width + 1] = image.permute(0, 2, 3, 1)
    sums = []
    for halvings, (first, second) in enumerate(STAGES):
        size = height >> halvings, width >> halvings
        total, x = _stage(x, size, layers[first], layers[second] if second else None, window.halved(halvings))
        sums.append(total)
    return torch.stack(sums)


def _stage(
    x: Features, size: tuple[int, int], first: Layer, second: Layer | None, window: Window
) -> tuple[Tensor, Features]:
    """The sum of |difference| after `first`, and the features after `second`, halved."""
    height, width = size
    channels = len(first.bias)
    rows = max(4, STRIP_VALUES // (channels * width) // 2 * 2)
    halved = Features.framed(height // 2, width // 2, channels) if second else x

    def strip(top: int) -> Tensor:
        bottom = min(top + rows, height)
        above, below = (max(top - 1, 0), min(bottom + 1, height)) if second else (top, bottom)
        y = Features.framed(bottom - top, width, channels)  # its first row is row top − 1 of the image
        _convolved(x.rows(above, below + 2), first, y.rows(above - top + 1, below - top + 1), width)
        counted = slice(max(window.rows.start, top) - top + 1, max(min(window.rows.stop, bottom), top) - top + 1)
        total = y.delta[:, counted, window.columns.start + 1 : window.columns.stop + 1].abs().sum()
        if second is not None and bottom - top > 1:  # (an odd last row is dropped)
            _convolved(y, second, halved.rows(top // 2 + 1, bottom // 2 + 1), width // 2, halve=True)
        return total

    return torch.stack(each(strip, range(0, height, rows))).sum(), halved


def _convolved(x: Features, layer: Layer, out: Features, width: int, *, halve: bool = False) -> None:
    """The features of rows after a convolution and its ReLU, written to the same rows of `out`.

    The convolution is linear, so the difference of its outputs is the output of the difference. This keeps the
    digits of a small difference.
    """
    z = layer(x.base, layer.bias)
    moved = layer(x.delta, None).add_(z)
    if halve:
        z, moved = (max_pool2d(side.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1) for side in (z, moved))
    base, delta = (side[:, :, 1 : width + 1] for side in out)
    torch.clamp_min(z[:, :, :width], 0, out=base)
    torch.sub(moved.relu_()[:, :, :width], base, out=delta)
