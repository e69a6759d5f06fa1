"""VGG19 perceptual distance: the early features of an ImageNet network, compared.

Definition    Σ_k w_k · mean |φ_k(prediction) − φ_k(target)|, with φ_k the
              features of VGG19 after relu1_1, relu2_1 and relu3_1, w = 1/32,
              1/16, 1/8, means over channels and positions. The columns of the
              layers are the means, unweighted. Presets differ in the input
              only: s3net feeds [0, 1] as it is (the default, as published), drn
              scales to [−1, 1], imagenet normalises by ImageNet's mean and
              deviation.
Source        Wang et al., "Deep relighting networks" (DRN), ECCV Workshops
              2020; the third term of S3Net (CVPRW 2021). Weights: torchvision
              VGG19_Weights.IMAGENET1K_V1, of which five convolutions are used
              (2.2 MB): see `relight-eval weights`.
Range         0 (identical) upwards, lower is better; it has no natural unit.
How to read   relu1_1 sees colour and fine edges, relu2_1 texture, relu3_1
              patches of a few dozen pixels. Use it to compare predictions under
              one preset and one weights hash, both in the signature.
Traps         Other code uses other layers, squares the differences, or
              normalises: the values differ by orders of magnitude. Needs 4
              pixels on each side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, reduce
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, max_pool2d

from relight_eval import columns
from relight_eval.errors import ShapeError
from relight_eval.metrics import vgg19_cpu
from relight_eval.metrics.metric import Batch, Map, Metric, full_float32, require_min_side, require_same_shape
from relight_eval.metrics.pieces import Tile, Window, each, in_dtype, piece_values, tiles, white
from relight_eval.weights import VGG19Weights

LAYER_WEIGHTS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8}
MIN_SIDE = 4

# Preset -> what is subtracted from, and then divides, each RGB channel in [0, 1].
PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "s3net": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "drn": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# Side of the tiles that large images are cut into, and the pixels around a tile that its features depend on: ten,
# rounded up so that tiles stay aligned when the image is halved.
TILE_SIDE = 1024
MAP_TILE_SIDE = 256
GPU_TILE_SIDE = 2048
MARGIN = 12

# Places around its own that a feature of each layer sees: 1, 4 and 10 pixels in all.
REACH = (1, 2, 3)

# Predictions of one target whose features may be in memory at once; of more, tiles are the smaller.
PREDICTIONS_OF_TILE = 4

# Predictions (N, K, 3, H, W) of the targets (N, 3, H, W), and the part that counts: (N, K, 3).
SumsOfTile = Callable[[Tensor, Tensor, Window], Tensor]


class VGG19Features(nn.Module):
    """VGG19 up to relu3_1. The weights are buffers: they move with the module and are never trained."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: VGG19Weights, preset: str = "s3net") -> None:
        super().__init__()
        for name, array in weights.tensors.items():
            self.register_buffer(name.replace(".", "_"), torch.tensor(array), persistent=False)
        mean, std = PRESETS[preset]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) in [0, 1] to the features after relu1_1 (64), relu2_1 (128, half size), relu3_1 (256)."""
        x = (image - self.mean) / self.std
        x = relu1_1 = self.convolved(x, "conv1_1").relu()
        x = relu2_1 = self.convolved(max_pool2d(self.convolved(x, "conv1_2").relu(), 2), "conv2_1").relu()
        relu3_1 = self.convolved(max_pool2d(self.convolved(x, "conv2_2").relu(), 2), "conv3_1").relu()
        return {"relu1_1": relu1_1, "relu2_1": relu2_1, "relu3_1": relu3_1}

    def convolved(self, x: Tensor, name: str, *, bias: bool = True) -> Tensor:
        """The convolution of this name, before its ReLU."""
        offset = getattr(self, f"{name}_bias") if bias else None
        # (channels last is a third faster on a CPU, and much faster on a GPU's tensor cores)
        return conv2d(x.contiguous(memory_format=torch.channels_last), self.weight(name), offset, padding=1)

    def weight(self, name: str) -> Tensor:
        found: Tensor = getattr(self, f"{name}_weight")
        return found

    def entering(self, predictions: Tensor, target: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The target (N, 3, H, W) as the network sees it, and the differences of its predictions (N, K, 3, H, W) from
        it, K times (N, 3, H, W).

        The differences are taken of the values as stored: of whole levels they are exact.
        """
        dtype = self.mean.dtype
        deltas = (predictions.to(dtype) - target[:, None].to(dtype)) / (white(target) * self.std)
        return (in_dtype(target, dtype) - self.mean) / self.std, deltas.unbind(1)


def layer_distances(features: VGG19Features, prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the features of each pair at relu1_1, relu2_1, relu3_1: (N, 3).

    Both: (N, 3, H, W) sRGB, float in [0, 1] or uint8, at least 4×4; computed in the dtype of `features`. 0 for
    identical images. The target is detached: nothing flows back into it. Raises ShapeError when the shapes differ,
    the images are smaller or have other than three channels.
    """
    _require_rgb_pair(prediction, target)
    height, width = target.shape[-2:]
    window = Window(slice(0, height), slice(0, width))
    return _means(layer_sums(features, prediction[:, None], target.detach(), window)[:, 0], height, width)


def layer_sums(features: VGG19Features, predictions: Tensor, target: Tensor, window: Window) -> Tensor:
    """The sums of which `layer_distances` are the means, of the part of the image in `window`: (N, K, 3).

    `predictions` are (N, K, 3, H, W), K of each target (N, 3, H, W).
    """
    deltas_of_layers = enumerate(_differences(features, predictions, target))
    return torch.stack([_sums(deltas, window.halved(i)) for i, deltas in deltas_of_layers], dim=-1)


def _differences(features: VGG19Features, predictions: Tensor, target: Tensor) -> Iterator[Sequence[Tensor]]:
    """What the features of each prediction have more than the target's, layer by layer: K times (N, C, h, w).

    What goes through the network are the target's features, once, and each prediction's difference from them.
    Convolutions are linear, so the difference of two outputs is the output of the difference: a small difference keeps
    its digits, and what is rounded of the large features hardly matters to it, which is why half precision will do.
    """
    base, deltas = _convolved(features, "conv1_1", *features.entering(predictions, target))
    yield deltas
    for second, first in (("conv1_2", "conv2_1"), ("conv2_2", "conv3_1")):
        base, deltas = _convolved(features, second, base, deltas, halve=True)
        base, deltas = _convolved(features, first, base, deltas)
        yield deltas


def _convolved(
    features: VGG19Features, name: str, base: Tensor, deltas: Sequence[Tensor], *, halve: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """The features after a convolution, its ReLU, and where `halve` max pooling.

    Written without the sum z + dz, which in half precision would round dz to the digits of z.
    """
    with torch.no_grad():
        z = features.convolved(base, name)
    moved = [features.convolved(delta, name, bias=False) for delta in deltas]
    if halve:  # max(z + dz) − max(z)
        height, width = z.shape[-2] // 2 * 2, z.shape[-1] // 2 * 2
        z = z[..., :height, :width]
        largest = max_pool2d(z, 2)
        below = z - interpolate(largest, scale_factor=2)
        moved = [max_pool2d(below + dz[..., :height, :width], 2) for dz in moved]
        z = largest
    base, negative = z.relu(), z.clamp(max=0)
    return base, [torch.maximum(dz + negative, -base) for dz in moved]  # relu(z + dz) − relu(z)


def _sums(deltas: Sequence[Tensor], window: Window) -> Tensor:
    """Of K times (N, C, H, W): (N, K)."""
    dtype = torch.promote_types(deltas[0].dtype, torch.float32)
    counted = [delta[..., window.rows, window.columns] for delta in deltas]
    return torch.stack([delta.abs().sum(dim=(1, 2, 3), dtype=dtype) for delta in counted], dim=1)


def _means(sums: Tensor, height: int, width: int) -> Tensor:
    """Of the sums over all features of an image (N, 3), the means."""
    counts = [channels * (height >> i) * (width >> i) for i, channels in enumerate((64, 128, 256))]
    return torch.stack([total / count for total, count in zip(sums.unbind(1), counts, strict=True)], dim=1)


@torch.no_grad()
def layer_maps(features: VGG19Features, prediction: Tensor, target: Tensor) -> dict[str, Map]:
    """Mean |difference| over the channels of the features at every place, by layer, each (N, h, w) float32.

    Arguments as `layer_distances`. The size is halved once at relu2_1 and twice at relu3_1. All that a place sees is in
    its `reach`. (An odd last row or column, which is dropped where the image is halved, is seen by its neighbours: it
    counts as beyond the border.)
    """
    _require_rgb_pair(prediction, target)
    count, _, height, width = target.shape
    maps = [torch.empty((count, height >> i, width >> i), device=target.device) for i in range(len(LAYER_WEIGHTS))]
    side = max(4, math.isqrt(piece_values(target, usual=MAP_TILE_SIDE**2) or GPU_TILE_SIDE**2) // 4 * 4)

    def of_tile(pair: int, tile: Tile) -> None:
        p, t = (image[pair : pair + 1, :, tile.outer.rows, tile.outer.columns] for image in (prediction, target))
        for i, (delta,) in enumerate(_differences(features, p[:, None], t)):
            rows, columns = tile.inner.halved(i)
            top, left = ((cut.start >> i) + part.start for cut, part in zip(tile.outer, (rows, columns), strict=True))
            place = maps[i][pair, top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]
            place.copy_(delta[0, :, rows, columns].abs().mean(dim=0, dtype=torch.float32))

    with full_float32():
        each(lambda at: of_tile(*at), product(range(count), tiles(height, width, side=side, margin=MARGIN)))
    return {layer: Map(maps[i], halvings=i, reach=REACH[i]) for i, layer in enumerate(LAYER_WEIGHTS)}


def _require_rgb_pair(prediction: Tensor, target: Tensor) -> None:
    require_same_shape(prediction, target)
    require_min_side(prediction, MIN_SIDE, "vgg19")
    if prediction.shape[1] != 3:
        raise ShapeError(f"vgg19 takes RGB, three channels; these images have {prediction.shape[1]}")


def weighted(distances: Tensor) -> Tensor:
    """The distance of each pair from those of its layers: (N, 3) to (N,)."""
    # (a sum and not a matrix product, which autocast would round to half precision; and no tensor of the weights,
    # whose copy to a GPU would wait for all that is computed there)
    return torch.stack([w * d for w, d in zip(LAYER_WEIGHTS.values(), distances.unbind(1), strict=True)]).sum(dim=0)


def protocol(preset: str, weights: VGG19Weights | None) -> str:
    network = f"{preset},relu1_1+relu2_1+relu3_1,l1"
    if weights is None:
        return f"{network},no-weights"
    origin = "imagenet1k_v1" if weights.official else "unofficial"
    return f"{network},{origin},weights={weights.sha256[:8]}"


def metric(weights: VGG19Weights, preset: str, device: torch.device, *, half: bool = False) -> Metric:
    features = VGG19Features(weights, preset).to(device, torch.float16 if half else torch.float32)
    sums_of_tile = _on_cpu(features) if device.type == "cpu" else partial(layer_sums, features)

    def score(batch: Batch) -> Tensor:
        height, width = batch.target.shape[-2:]
        with torch.no_grad(), full_float32():
            distances = _means(_tiled_sums(sums_of_tile, *batch.by_target()).flatten(0, 1), height, width)
        return _row(distances)

    def maps(batch: Batch) -> dict[str, Map]:
        found = layer_maps(features, batch.prediction, batch.target)
        return {f"vgg19_{layer}": found[layer] for layer in LAYER_WEIGHTS}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        return _row(torch.stack([values[f"vgg19_{layer}"] for layer in LAYER_WEIGHTS], dim=1))

    return Metric("vgg19", columns.vgg19(), score, min_side=MIN_SIDE, maps=maps, combined=combined)


def _row(distances: Tensor) -> Tensor:
    """The columns of each pair, (N, 4), of the distances of its layers."""
    distances = torch.where(distances.isfinite(), distances, torch.nan)  # half precision may overflow
    return torch.cat([weighted(distances)[:, None], distances], dim=1)


def _on_cpu(features: VGG19Features) -> SumsOfTile:
    layers = {
        name: vgg19_cpu.Layer(features.weight(name), getattr(features, f"{name}_bias"))
        for stage in vgg19_cpu.STAGES
        for name in filter(None, stage)
    }

    def sums(predictions: Tensor, target: Tensor, window: Window) -> Tensor:
        return vgg19_cpu.layer_sums(layers, *features.entering(predictions, target), window)[None]

    return sums


def _tiled_sums(sums_of_tile: SumsOfTile, predictions: Tensor, target: Tensor) -> Tensor:
    """The sums of every pair, (N, K, 3), of tiles of a few targets: what is in memory at once is bounded."""
    count, runs = predictions.shape[:2]
    height, width = target.shape[-2:]
    pixels = piece_values(target, usual=TILE_SIDE**2) or GPU_TILE_SIDE**2
    side = max(4, math.isqrt(pixels * PREDICTIONS_OF_TILE // max(runs, PREDICTIONS_OF_TILE)) // 4 * 4)
    targets = max(1, pixels // (height * width * runs)) if target.device.type != "cpu" else 1

    def of_targets(first: int) -> Tensor:
        p, t = predictions[first : first + targets], target[first : first + targets]
        sums = []
        for outer, inner in tiles(height, width, side=side, margin=MARGIN):
            cut = (..., outer.rows, outer.columns)
            sums.append(sums_of_tile(p[cut], t[cut], inner))
        return reduce(torch.add, sums)  # one by one, so in the same order however many predictions there are

    return torch.cat(each(of_targets, range(0, count, targets)))
