"""The VGG19 distance on a CPU, without gradients: the sums of `vgg19.layer_sums`, in half the time.

The network is run in three stages that end where the image is halved. A stage takes its input strip by strip, side by
side in the threads of `pieces.resources`, each strip through both convolutions of the stage; these are Winograd's, of a
few rows of tiles at a time, which stay in the cache. Neighbouring strips share two rows of input, and compute two rows
of the first convolution twice. Beyond the border of the image there are zeros, as everywhere in VGG19.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from relight_eval.metrics.pieces import Window, each
from relight_eval.metrics.winograd import STEP, conv3x3, transformed

# Values of the features of a strip: 8 MiB as float32.
STRIP_VALUES = 2**21

# Tiles of 4×4 outputs that are convolved at once.
TILES = 128

# Columns of an even number of groups of four.
EVEN_GROUPS = 2 * STEP

STAGES = (("conv1_1", "conv1_2"), ("conv2_1", "conv2_2"), ("conv3_1", None))


class Layer:
    """A convolution of VGG19: its weight (out, in, 3, 3), prepared, and its bias (out,)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.bias = bias
        self.matrices = transformed(weight)
        # of three channels, the sums of Winograd cost more than they save
        self.plain = weight.contiguous(memory_format=torch.channels_last) if weight.shape[1] < 16 else None

    def __call__(self, framed: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution of rows of a frame, 4n + 2: (4, n, 4, W / 4, out). See `Features` for the layout."""
        if self.plain is None:
            return conv3x3(framed, self.matrices, bias)
        image = conv2d(framed.permute(0, 3, 1, 2), self.plain, bias)[0].permute(1, 2, 0)
        height, width, channels = image.shape
        return image.view(height // STEP, STEP, width // STEP, STEP, channels).permute(3, 0, 1, 2, 4)


class Features(NamedTuple):
    """What goes through the network: the target's features, and of each of its predictions what these have more.

    All in the planes of `winograd`, in a frame of zeros: (4, H + 5, G + 2, C), with G the groups of four columns, an
    even number. Below are so many zeros because rows are taken four at a time; columns beyond W are zeros, too. The
    images at the start are (1, H + 5, 4·G + 2, 3) instead.
    """

    base: Tensor
    deltas: tuple[Tensor, ...]

    @classmethod
    def framed(cls, height: int, width: int, channels: int, predictions: int) -> Features:
        """A frame, and nothing in it yet."""
        shape = STEP, 1 + height + STEP, -(-width // EVEN_GROUPS) * 2 + 2, channels
        base, *deltas = sides = [torch.empty(shape) for _ in range(1 + predictions)]
        for side in sides:
            side[:, 0], side[:, height + 1 :], side[:, :, 0], side[:, :, -1] = 0, 0, 0, 0
        return cls(base, tuple(deltas))

    @classmethod
    def of_images(cls, *images: Tensor) -> Features:
        """Base and deltas (1, 3, H, W) in a frame."""
        width = images[0].shape[-1]
        base, *deltas = (
            pad(image.permute(0, 2, 3, 1), (0, 0, 1, 1 + -width % EVEN_GROUPS, 1, STEP)) for image in images
        )
        return cls(base, tuple(deltas))

    def below(self, row: int) -> Features:
        """The rows of the frame from this one on."""
        return Features(self.base[:, row:], tuple(delta[:, row:] for delta in self.deltas))


def layer_sums(layers: dict[str, Layer], base: Tensor, deltas: Sequence[Tensor], window: Window) -> Tensor:
    """Sums of |difference| of the features at relu1_1, relu2_1 and relu3_1 in `window`: (len(deltas), 3).

    `base` is the target as the network sees it, each of `deltas` the difference of a prediction from it, all of them
    (1, 3, H, W) float32, H and W at least 4.
    """
    height, width = base.shape[-2:]
    x = Features.of_images(base, *deltas)
    sums = []
    for halvings, (first, second) in enumerate(STAGES):
        size = height >> halvings, width >> halvings
        totals, x = _stage(x, size, layers[first], layers[second] if second else None, window.halved(halvings))
        sums.append(totals)
    return torch.stack(sums, dim=1)


def _stage(
    x: Features, size: tuple[int, int], first: Layer, second: Layer | None, window: Window
) -> tuple[Tensor, Features]:
    """The sums of |difference| after `first`, one of each delta, and the features after `second`, halved."""
    height, width = size
    channels = len(first.bias)
    rows = max(STEP, STRIP_VALUES // (channels * width) // STEP * STEP)
    halved = Features.framed(height // 2, width // 2, channels, len(x.deltas)) if second else x

    def strip(top: int) -> Tensor:
        bottom = min(top + rows, height)
        above, below = (max(top - 1, 0), min(bottom + 1, height)) if second else (top, bottom)
        y = Features.framed(bottom - top, width, channels, len(x.deltas))  # its first row is row top − 1 of the image
        _convolved(x.below(above), first, y.below(above - top + 1), (below - above, width))
        counted = slice(max(window.rows.start, top) - top + 1, max(min(window.rows.stop, bottom), top) - top + 1)
        totals = torch.stack([_sum(delta[:, counted, 1:-1], window.columns) for delta in y.deltas])
        if second is not None:
            _convolved(y, second, halved.below(top // 2 + 1), (bottom - top, width), halve=True)
        return totals

    return torch.stack(each(strip, range(0, height, rows)), dim=1).sum(dim=1), halved


def _convolved(x: Features, layer: Layer, out: Features, size: tuple[int, int], *, halve: bool = False) -> None:
    """The features of so many rows after a convolution and its ReLU, and where `halve` max pooling.

    The first row of `x` is above them; of `out` it is their first. The convolution is linear, so the difference of
    its outputs is the output of the difference. This keeps the digits of a small difference.
    """
    height, width = size
    tiles = -(-height // STEP)
    at_once = tiles if layer.plain is not None else max(1, TILES // -(-width // STEP))
    for first in range(0, tiles, at_once):
        last = min(first + at_once, tiles)
        above = slice(STEP * first, STEP * last + 2)
        z = layer(x.base[:, above], layer.bias)
        largest = _halved(z) if halve else z
        base = torch.clamp_min(largest, 0, out=_block(out.base, first, largest))
        for delta, difference in zip(x.deltas, out.deltas, strict=True):
            moved = layer(delta[:, above], None).add_(z)
            if halve:
                moved = _halved(moved)
            torch.sub(moved.relu_(), base, out=_block(difference, first, moved))
    tile = STEP
    if halve:
        height, width, tile = height // 2, width // 2, STEP // 2
    for side in (out.base, *out.deltas):  # zeros again around the image
        side[:, height : tile * tiles] = 0
        side[width % STEP :, :height, width // STEP + 1] = 0
        side[:, :height, width // STEP + 2 :] = 0


def _block(frame: Tensor, first: int, like: Tensor) -> Tensor:
    """The place in a frame of the rows of tiles from `first` on, as many as `like` has and in its shape."""
    count, tile, columns = like.shape[-4:-1]
    rows = frame[:, tile * first : tile * (first + count), 1 : columns + 1]
    return torch.unflatten(rows, 1, (-1, tile)).view_as(like)


def _halved(z: Tensor) -> Tensor:
    """Max pooling, 2 × 2: planes (4, n, 4, G, C) to (2, 2, n, 2, G / 2, C), the four planes of the smaller image."""
    narrow = torch.maximum(z[0::2], z[1::2])
    low = torch.maximum(narrow[:, :, 0::2], narrow[:, :, 1::2])  # column 2j + i of the image is j of plane i of two
    return torch.unflatten(low, 3, (-1, 2)).movedim(4, 0)


def _sum(planes: Tensor, columns: slice) -> Tensor:
    """The sum of |planes| (4, H, W / 4, C) over some columns of the image."""
    start, stop = columns.start, columns.stop  # of the image; in plane i from ⌈(start − i) / 4⌉
    of_each = [
        plane[:, -((i - start) // STEP) : -((i - stop) // STEP)].abs().sum() for i, plane in enumerate(planes)
    ]  # fmt: skip
    return torch.stack(of_each).sum()
