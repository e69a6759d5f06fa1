"""The loop that people write by hand: plain, right, and slow. The tool is measured against it.

One pair after the other: Pillow, `ToTensor`, and the terms as their definitions read. Nothing of `relight_eval` is used
but the file of the VGG19 weights. In float64, the same functions are the reference for the accuracy of the tool; they
are themselves compared with `tests/metrics/references.py` on a small pair in every run of the benchmark.

Definitions: Charbonnier and the VGG19 distance as in the published code of S3Net and DeepRelight, W-SSIM as in that of
Y-net, SSIM as in Wang et al. 2004 (valid windows), PSNR with peak 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models import vgg
from torchvision.transforms import ToTensor

# In the order of the VGG19 slices: where each starts and the last ends, and what the distance there weighs.
SLICES = (0, 2, 7, 12)
LAYER_WEIGHTS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8}
CONVOLUTIONS = {"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7, "conv3_1": 10}


class VGG19(nn.Module):
    """Features after relu1_1, relu2_1 and relu3_1, sliced from torchvision's network as the published code does."""

    def __init__(self, weights: Mapping[str, npt.NDArray]) -> None:
        super().__init__()
        features = vgg.make_layers(vgg.cfgs["E"])[: SLICES[-1]]
        for name, index in CONVOLUTIONS.items():
            state = {part: torch.from_numpy(weights[f"{name}.{part}"]) for part in ("weight", "bias")}
            features[index].load_state_dict(state)
        self.slices = nn.ModuleList(features[start:end] for start, end in pairwise(SLICES))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for part in self.slices:
            x = part(x)
            features.append(x)
        return features


def charbonnier(x: Tensor, y: Tensor) -> Tensor:
    return torch.sqrt((x - y) ** 2 + 1e-6).mean()


def psnr(x: Tensor, y: Tensor) -> Tensor:
    return -10 * torch.log10(((x - y) ** 2).mean())


def gaussian_window(like: Tensor) -> Tensor:
    """11×11, sigma 1.5, once for each of three channels: (3, 1, 11, 11)."""
    offset = torch.arange(11, dtype=like.dtype, device=like.device) - 5
    line = torch.exp(-(offset**2) / (2 * 1.5**2))
    line = line / line.sum()
    return torch.outer(line, line).expand(3, 1, 11, 11).contiguous()


def ssim(x: Tensor, y: Tensor, padding: int = 0) -> Tensor:
    window = gaussian_window(x)
    mu_x = conv2d(x, window, padding=padding, groups=3)
    mu_y = conv2d(y, window, padding=padding, groups=3)
    var_x = conv2d(x * x, window, padding=padding, groups=3) - mu_x**2
    var_y = conv2d(y * y, window, padding=padding, groups=3) - mu_y**2
    cov = conv2d(x * y, window, padding=padding, groups=3) - mu_x * mu_y
    c1, c2 = 0.01**2, 0.03**2
    ssim_map = (2 * mu_x * mu_y + c1) * (2 * cov + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
    return ssim_map.mean()


def haar(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """LL, HL (horizontal edges), LH (vertical edges), HH: each (1, 3, H/2, W/2). An odd last line is dropped."""
    x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    return (a + b + c + d) / 2, (a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2


def wssim(x: Tensor, y: Tensor, levels: int = 2, r: float = 0.7) -> dict[str, Tensor]:
    scores = {"wssim_full": ssim(x, y, padding=5)}
    total = scores["wssim_full"]
    for i in range(1, levels + 1):
        (x, *x_bands), (y, *y_bands) = haar(x), haar(y)
        middle, high = r ** (2 * i - 1) * (1 - r), r ** (2 * i - 2) * (1 - r) ** 2
        names, weights = ("hl", "lh", "hh"), (middle, middle, high)
        for band, weight, x_band, y_band in zip(names, weights, x_bands, y_bands, strict=True):
            scores[f"wssim_{band}{i}"] = ssim(x_band, y_band, padding=5)
            total = total + weight * scores[f"wssim_{band}{i}"]
    scores[f"wssim_ll{levels}"] = ssim(x, y, padding=5)
    total = total + r ** (2 * levels) * scores[f"wssim_ll{levels}"]
    return {"wssim": total / 2, **scores}


def vgg19(x: Tensor, y: Tensor, network: VGG19) -> dict[str, Tensor]:
    features = zip(LAYER_WEIGHTS, network(x), network(y), strict=True)
    scores = {f"vgg19_{layer}": (of_x - of_y).abs().mean() for layer, of_x, of_y in features}
    return {"vgg19": sum(weight * scores[f"vgg19_{layer}"] for layer, weight in LAYER_WEIGHTS.items()), **scores}


@torch.no_grad()
def scores(x: Tensor, y: Tensor, metrics: Iterable[str], network: VGG19) -> dict[str, float]:
    """All columns of these metrics for one pair, each (1, 3, H, W) in [0, 1]."""
    found: dict[str, Tensor] = {}
    for metric in metrics:
        if metric == "charbonnier":
            found["charbonnier"] = charbonnier(x, y)
        elif metric == "wssim":
            found |= wssim(x, y)
        elif metric == "vgg19":
            found |= vgg19(x, y, network)
        elif metric == "psnr":
            found["psnr"] = psnr(x, y)
        elif metric == "ssim":
            found["ssim"] = ssim(x, y)
    return {name: value.item() for name, value in found.items()}


def loop(
    pairs: Iterable[tuple[Path, Path]], metrics: Iterable[str], network: VGG19, device: torch.device
) -> list[dict[str, float]]:
    """Every pair of files in turn: decode both, move them, score them."""
    to_tensor, rows = ToTensor(), []
    for prediction, target in pairs:
        x = to_tensor(Image.open(prediction).convert("RGB")).unsqueeze(0).to(device)
        y = to_tensor(Image.open(target).convert("RGB")).unsqueeze(0).to(device)
        rows.append(scores(x, y, metrics, network))
    return rows
