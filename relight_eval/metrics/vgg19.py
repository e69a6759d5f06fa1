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

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from relight_eval.errors import ShapeError
from relight_eval.metrics.metric import Batch, Metric, full_float32, require_min_side, require_same_shape
from relight_eval.results import Column
from relight_eval.weights import VGG19Weights

LAYER_WEIGHTS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8}
MIN_SIDE = 4

# Preset -> what is subtracted from, and then divides, each RGB channel in [0, 1].
PRESETS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "s3net": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "drn": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# Pixels that go through the network at once: relu1_1 of one megapixel takes 256 MiB.
CHUNK_PIXELS = 2**20


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
        # (channels last is a third faster on a CPU, and much faster on a GPU's tensor cores)
        x = relu1_1 = self._conv_relu(x.contiguous(memory_format=torch.channels_last), "conv1_1")
        x = relu2_1 = self._conv_relu(max_pool2d(self._conv_relu(x, "conv1_2"), 2), "conv2_1")
        relu3_1 = self._conv_relu(max_pool2d(self._conv_relu(x, "conv2_2"), 2), "conv3_1")
        return {"relu1_1": relu1_1, "relu2_1": relu2_1, "relu3_1": relu3_1}

    def _conv_relu(self, x: Tensor, name: str) -> Tensor:
        return conv2d(x, getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias"), padding=1).relu()


def layer_distances(features: VGG19Features, prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of the features of each pair at relu1_1, relu2_1, relu3_1: (N, 3).

    Both: (N, 3, H, W) float of the dtype of `features`, sRGB in [0, 1], at least 4×4. 0 for identical images.
    The target is detached: nothing flows back into it. Raises ShapeError when the shapes differ, the images are
    smaller or have other than three channels.
    """
    require_same_shape(prediction, target)
    require_min_side(prediction, MIN_SIDE, "vgg19")
    if prediction.shape[1] != 3:
        raise ShapeError(f"vgg19 takes RGB, three channels; these images have {prediction.shape[1]}")
    with torch.no_grad():
        of_target = features(target)
    of_prediction = features(prediction)
    return torch.stack(
        [(of_prediction[layer] - of_target[layer]).abs().mean(dim=(1, 2, 3)) for layer in LAYER_WEIGHTS],
        dim=1,
    )


def weighted(distances: Tensor) -> Tensor:
    """The distance of each pair from those of its layers: (N, 3) to (N,)."""
    # (a sum and not a matrix product, which autocast would round to half precision)
    return (distances * distances.new_tensor(list(LAYER_WEIGHTS.values()))).sum(dim=1)


def columns() -> tuple[Column, ...]:
    names = {"vgg19": "weighted distance of VGG19 features"}
    names |= {f"vgg19_{layer}": f"mean |difference| of the features at {layer}" for layer in LAYER_WEIGHTS}
    return tuple(
        Column(name=name, metric="vgg19", better="lower", low=0.0, high=math.inf, identical=0.0, meaning=meaning)
        for name, meaning in names.items()
    )


def protocol(preset: str, weights: VGG19Weights | None) -> str:
    network = f"{preset},relu1_1+relu2_1+relu3_1,l1"
    if weights is None:
        return f"{network},no-weights"
    origin = "imagenet1k_v1" if weights.official else "unofficial"
    return f"{network},{origin},weights={weights.sha256[:8]}"


def metric(weights: VGG19Weights, preset: str, device: torch.device) -> Metric:
    features = VGG19Features(weights, preset).to(device)

    def score(batch: Batch) -> Tensor:
        pairs = max(1, CHUNK_PIXELS // (batch.target.shape[-2] * batch.target.shape[-1]))
        with full_float32():
            chunks = zip(torch.split(batch.prediction, pairs), torch.split(batch.target, pairs), strict=True)
            distances = torch.cat([layer_distances(features, p, t) for p, t in chunks])
        return torch.cat([weighted(distances)[:, None], distances], dim=1)

    return Metric("vgg19", columns(), score, min_side=MIN_SIDE)
