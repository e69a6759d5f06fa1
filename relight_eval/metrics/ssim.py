"""SSIM: structural similarity, with the window and constants of its authors.

Definition    mean over pixels and channels of
              (2·μx·μy + C1)(2·σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2)),
              moments under an 11×11 Gaussian window, σ = 1.5, weights summing
              to 1; C1 = 0.01², C2 = 0.03²; only windows that lie inside the
              image ("valid"); each RGB channel by itself; no down-sampling.
Source        Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from
              error visibility to structural similarity", IEEE TIP 2004. Equal
              to scikit-image with gaussian_weights=True, sigma=1.5,
              use_sample_covariance=False.
Range         −1 to 1, higher is better, 1 for identical images. Needs at least
              11×11 pixels.
How to read   The NTIRE 2021 relighting winner reaches 0.69 on VIDIT; an all-
              black image can reach 0.71 there.
Traps         Four common SSIMs give .641 / .673 / .682 / .699 for one pair (7×7
              uniform windows, grey instead of RGB, padding): say which. In
              float32 the variance E[x²] − E[x]² cancels on bright images; here
              it is taken of values near zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.metric import Batch, Map, Metric, require_min_side, require_same_shape
from relight_eval.metrics.native import frame_analytics, has_kernels
from relight_eval.metrics.pieces import in_dtype, in_pieces, joined, summed, total, white

WINDOW = 11
HALF = WINDOW // 2
SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2

# Share of flat, far and different pixels from which flat windows are computed by themselves.
MUCH_FLAT = 0.05

_GAUSSIAN = [math.exp(-((i - HALF) ** 2) / (2 * SIGMA**2)) for i in range(WINDOW)]
TAPS = [value / sum(_GAUSSIAN) for value in _GAUSSIAN]


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM of each pair over the windows inside the image (Wang et al. 2004).

    Both: (N, C, H, W) sRGB, float in [0, 1] or uint8, at least 11×11. Returns (N,); higher is better, 1 for identical
    images. Raises ShapeError when the shapes differ or the images are smaller.
    """
    require_min_side(prediction, WINDOW, "ssim")
    return padded_and_valid(prediction, target)[1]


def padded_and_valid(prediction: Tensor, target: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Mean SSIM of each pair twice, from one map: over the image zero padded by 5, and over valid windows only.

    Both: (N, C, H, W), uint8 or `scale` times what is compared. Returns two (N,); the second is NaN below 11×11
    pixels, where no window fits. The valid map is the interior of the padded one.
    """
    require_same_shape(prediction, target)
    channels, height, width = prediction.shape[1:]

    def padded_and_inside(p: Tensor, t: Tensor, top: int) -> Tensor:
        values = ssim_map(p, t, scale * white(prediction))  # (images, C, rows, W), from row `top` of the image
        inside = values[..., max(HALF - top, 0) : max(height - HALF - top, 0), HALF : width - HALF]
        return torch.cat((total(values), total(inside)), dim=1)

    sums = summed(in_pieces(padded_and_inside, prediction, target, halo=HALF))
    inside = max(0, height - 2 * HALF) * max(0, width - 2 * HALF)
    padded, valid = sums[:, 0] / (channels * height * width), sums[:, 1] / (channels * inside if inside else math.nan)
    return at_most_1(padded), at_most_1(valid)


def at_most_1(means: Tensor) -> Tensor:
    """Mean SSIMs without what float32 adds to 1 where images are nearly equal: up to 1e-7."""
    return means.clamp(max=1)


def padded_ssim(prediction: Tensor, target: Tensor, scale: float = 1.0) -> Tensor:
    """Mean SSIM of each pair, zero padded by 5 on each side: the SSIM inside W-SSIM. Shapes as above; (N,)."""
    return padded_and_valid(prediction, target, scale)[0]


@torch.no_grad()
def padded_map(prediction: Tensor, target: Tensor) -> Tensor:
    """SSIM at every pixel of the image zero padded by 5, mean over the channels: (N, H, W) float32.

    Both: (N, C, H, W) sRGB, float in [0, 1] or uint8. In float64: so a place has the same value whatever the image
    holds elsewhere, which a mask may leave out. (In float32 it depends on the rest in the fifth digit: see
    `_native_ssim_map`.)
    """

    def of_piece(p: Tensor, t: Tensor, top: int) -> Tensor:
        return ssim_map(p, t).mean(dim=1).float()

    doubles = (in_dtype(image, torch.float64) for image in (prediction, target))
    return joined(in_pieces(of_piece, *doubles, halo=HALF)).to(prediction.device)


def valid_map(padded: Tensor) -> Map:
    """The windows that lie inside the image, of the map of the padded image: (N, H − 10, W − 10)."""
    return Map(padded[:, HALF:-HALF, HALF:-HALF], reach=HALF, origin=HALF)


def ssim_map(x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
    """SSIM at every place where the window fits: (N, C, H, W) to (N, C, H − 10, W − 10).

    Both are `scale` times what is compared: SSIM does not change when images and constants are scaled together. Nor
    does a variance when a constant is taken from its values, and E[v²] − E[v]² cancels the less the smaller the
    values are: so both are brought near zero first, and float32 is enough.
    """
    wants_gradient = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    if (
        x.dtype == torch.float32
        and not wants_gradient
        and not torch.compiler.is_compiling()
        and has_kernels(x.device.type)
    ):
        return _native_ssim_map(x, y, scale)
    return _portable_ssim_map(x, y, C1 * scale**2, C2 * scale**2)


def _native_ssim_map(x: Tensor, y: Tensor, scale: float) -> Tensor:
    """The kernel of frame-analytics, which takes half its `data_range` from all values; its C1 is (K1·data_range)².

    In float32, the variances of two different flat areas far from the mean are wrong by the same amount everywhere,
    up to 1e-4 of SSIM: where there is much of that, they are set right.
    """
    near = _sparse(x, y)
    # (an image's values in a row: over a tensor of all images the sum is rounded differently with their number)
    near_means = near.transpose(0, 1).reshape(len(x), -1).mean(dim=1).view(1, -1, 1, 1, 1)
    alike = (near[0] == near[1]).flatten(1).all(dim=1)
    flat = _flat_far_and_different(x, y, near, (near - near_means).abs() > scale / 12)
    maps: list[Tensor] = []
    # one copy to the host for all images: on a GPU each would wait for what goes on there
    about = torch.stack((near_means.flatten(), alike, flat), dim=1).tolist()
    for i, (near_mean, perhaps_identical, flat_share) in enumerate(about):
        p, t = x[i : i + 1], y[i : i + 1]
        if perhaps_identical and torch.equal(p, t):  # 1 to the last digit
            maps.append(torch.ones_like(p[..., 2 * HALF :, 2 * HALF :]))
            continue
        data_range = 2 * near_mean if abs(near_mean) > scale / 1000 else scale / 1000
        constants = (math.sqrt(C1) * scale / data_range, math.sqrt(C2) * scale / data_range)
        with frame_analytics() as library:
            values = library.ssim(p, t, data_range=data_range, K=constants, return_map=True)
        maps.append(_with_flat_windows(values, p, t, C1 * scale**2) if flat_share > MUCH_FLAT else values)
    return maps[0] if len(maps) == 1 else torch.cat(maps)


def _with_flat_windows(values: Tensor, x: Tensor, y: Tensor, c1: float) -> Tensor:
    """The map, with the exact value where both images are flat all over the window: there, variances are 0."""
    beside = (x[..., 1:] != x[..., :-1]) | (y[..., 1:] != y[..., :-1])
    below = ((x[..., 1:, :] != x[..., :-1, :]) | (y[..., 1:, :] != y[..., :-1, :]))[..., HALF:-HALF]
    rows = _any(beside, WINDOW - 1, dim=-1)  # that are not flat, of the width of the window
    uneven = _any(rows, WINDOW, dim=-2) | _any(below, WINDOW - 1, dim=-2)
    x, y = (side[..., HALF:-HALF, HALF:-HALF] for side in (x, y))
    return torch.where(uneven, values, (2 * x * y + c1) / (x * x + y * y + c1))


def _any(found: Tensor, count: int, dim: int) -> Tensor:
    """Whether any of `count` neighbours is true, at every place where so many fit."""
    reach = 1
    while reach < count:
        step = min(reach, count - reach)
        length = found.shape[dim] - step
        found = found.narrow(dim, 0, length) | found.narrow(dim, step, length)
        reach += step
    return found


def _flat_far_and_different(x: Tensor, y: Tensor, near: Tensor, far: Tensor) -> Tensor:
    """The share of the pixels in `near`, of each pair, where both images are flat, differ, and one is far off."""
    found = (near[0] != near[1]) & far.any(dim=0)
    share = found.float().mean(dim=(1, 2, 3))
    if share.device.type == "cpu" and not (share > MUCH_FLAT).any():  # as bands have it; a GPU would have to wait
        return share
    rows, columns = _sparse(x, y, down=1), _sparse(x, y, right=1)
    flat = ((near == rows) & (near == columns)).all(dim=0)
    return (found & flat).float().mean(dim=(1, 2, 3))


def _portable_ssim_map(x: Tensor, y: Tensor, c1: float, c2: float) -> Tensor:
    """For every device, dtype and gradient.

    Written in the sum s = x + y and the difference d = x − y, which needs four filtered planes instead of five:
    4·σxy = σs² − σd² and 2·(σx² + σy²) = σs² + σd²; the means alike.
    """
    s, d = x + y, x - y
    s0 = _sparse(s).detach().mean(dim=(-2, -1), keepdim=True)
    d0 = _sparse(d).detach().mean(dim=(-2, -1), keepdim=True)
    s, d = s - s0, d - d0
    mean_s, mean_d, square_s, square_d = _gaussian_filter(torch.stack((s, d, s * s, d * d))).unbind()
    var_s, var_d = square_s - mean_s.square(), square_d - mean_d.square()
    mu_s2, mu_d2 = (mean_s + s0).square(), (mean_d + d0).square()
    numerator = (mu_s2 - mu_d2 + 2 * c1) * (var_s - var_d + 2 * c2)
    return numerator / ((mu_s2 + mu_d2 + 2 * c1) * (var_s + var_d + 2 * c2))


def _sparse(*images: Tensor, down: int = 0, right: int = 0) -> Tensor:
    """Every eighth row and column without the border, which may be padding; or the pixels beside them."""
    rows, columns = (slice(HALF + step, step - HALF or None, 8) for step in (down, right))
    found = [image[..., rows, columns] for image in images]
    return found[0] if len(found) == 1 else torch.stack(found)


def _gaussian_filter(planes: Tensor) -> Tensor:
    """The separable 11×11 Gaussian at every place where it fits: (..., H, W) to (..., H − 10, W − 10).

    Sums of shifted slices: on a CPU many times faster than convolutions of one channel.
    """
    for dim in (-2, -1):
        length = planes.shape[dim] - 2 * HALF
        total = planes.narrow(dim, 0, length) * TAPS[0]
        for i in range(1, WINDOW):
            total.add_(planes.narrow(dim, i, length), alpha=TAPS[i])
        planes = total
    return planes


def protocol() -> str:
    return "wang2004,gaussian11,sigma=1.5,valid,rgb"


def metric() -> Metric:
    def score(batch: Batch) -> Tensor:
        return batch.once(padded_and_valid)[1][:, None]

    def maps(batch: Batch) -> dict[str, Map]:
        return {"ssim": valid_map(batch.once(padded_map))}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        return values["ssim"][:, None]

    return Metric("ssim", columns.ssim(), score, min_side=WINDOW, maps=maps, combined=combined)
