"""A slow float64 reference of every column of the diagnosis, written from its definition and not from the package.

One pair at a time, arrays of shape (H, W, 3), float64, sRGB in [0, 1]; the mask (H, W). Gains by NumPy's `lstsq`, Haar
by PyWavelets, correlated colour temperatures by McCamy's printed formula, blocks by loops over slices.
"""

from __future__ import annotations

import math

import numpy as np
import pywt
from numpy.typing import NDArray
from scipy import ndimage

from tests.metrics.references import Array

Mask = NDArray[np.bool_]
Scores = dict[str, float]

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709, of linear light
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, of sRGB values
HALF_A_LEVEL = 0.5 / 255


def diagnosis(prediction: Array, target: Array, *, input: Array | None = None, mask: Mask | None = None) -> Scores:
    counts = np.ones(target.shape[:2], bool) if mask is None else mask
    p, t = decoded(prediction), decoded(target)
    fitted = counts & (target < 1).all(axis=2)
    squared = float(((p - t)[counts] ** 2).sum())
    median = median_stops(p, t, counts)
    scores = gains(p[fitted], t[fitted], squared) | {"ev_median": median} | colours(p[fitted], t[fitted])
    stops = scores["ev_error"] if math.isnan(median) else median
    scores |= haar_shares(p - t, counts) | local(prediction - target, counts)
    scores |= shadows(p * 2**-stops, t, counts)
    scores |= detail(prediction @ LUMA, target @ LUMA, stops, counts)
    scores["blockiness"] = blockiness(prediction @ LUMA, counts) / blockiness(target @ LUMA, counts)
    if input is not None:
        scores |= from_input(p, t, decoded(input), stops, counts)
    return scores


def decoded(srgb: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encoded(linear: Array) -> Array:
    """The other way round."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def over(one: float, other: float, without: float = 0.0) -> float:
    return float(one / other) if other else without


def fit(p: Array, t: Array) -> tuple[float, float]:
    """The gain by least squares, and the squared error that it leaves. A black prediction keeps its gain of 1."""
    if not p.any():
        return 1.0, float((t**2).sum())
    (gain,), *_ = np.linalg.lstsq(p.reshape(-1, 1), t.reshape(-1), rcond=None)
    return float(gain), float(((gain * p - t) ** 2).sum())


def gains(p: Array, t: Array, squared: float) -> Scores:
    """Of the pixels (n, 3) that the fit is made to, and the squared error of those and of all others."""
    error = float(((p - t) ** 2).sum())
    gain, left = fit(p, t)
    channels = [fit(p[:, i], t[:, i]) for i in range(3)]
    left_by_three = sum(rest for _, rest in channels)
    of_others = squared - error
    stops = 16.0 if gain <= 0 else min(max(-math.log2(gain), -16.0), 16.0)
    return {
        "ev_error": -16.0 if t.any() and not p.any() else stops,
        **{f"gain_{name}": min(of, 2.0**16) for name, (of, _) in zip("rgb", channels, strict=True)},
        "share_exposure": over(error - left, squared),
        "share_colour": over(left - left_by_three, squared),
        "share_rest": over(left_by_three + of_others, squared),
    }


def colours(p: Array, t: Array) -> Scores:
    if not p.any() or not t.any():
        return {"wb_angle": 0.0, "mired_shift": 0.0}
    ours, theirs = p.mean(axis=0), t.mean(axis=0)
    angle = math.atan2(float(np.linalg.norm(np.cross(ours, theirs))), float(ours @ theirs))
    return {"wb_angle": math.degrees(angle), "mired_shift": mired(ours) - mired(theirs)}


def mired(rgb: Array) -> float:
    """10⁶ / McCamy's temperature, at the ends of what it is good for where the colour lies beyond them."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ rgb
    x, y = xyz[:2] / xyz.sum()
    if y <= 0.1858:
        return 25.0
    n = (x - 0.3320) / (0.1858 - y)
    turn = (-7050 + math.sqrt(7050**2 - 4 * 1347 * 6823.3)) / (2 * 1347)  # where the formula has its minimum
    kelvin = np.polyval([449, 3525, 6823.3, 5520.33], max(n, turn))
    return max(1e6 / float(kelvin), 25.0)


def blocks_of(image: Array, side: int) -> Array:
    """Sums over side × side pixels of each whole 4×4 block and channel: (H / side, W / side, C)."""
    height, width = (length // 4 * 4 for length in image.shape[:2])
    whole = image[:height, :width].reshape(height, width, -1)
    return whole.reshape(height // side, side, width // side, side, -1).sum(axis=(1, 3))


def whole(counts: Mask, side: int = 4) -> Mask:
    """Of the blocks, or the 2×2 pixels in them, those of which the whole 4×4 block counts."""
    blocks = blocks_of(counts.astype(float), 4)[..., 0] == 16
    return np.kron(blocks, np.ones((4 // side, 4 // side))) > 0


def luminance_of(image: Array, side: int) -> Array:
    return blocks_of(image @ LUMINANCE, side)[..., 0] / side**2


def lower_median(values: Array) -> float:
    return float(np.sort(values)[(len(values) - 1) // 2]) if len(values) else math.nan


def median_stops(p: Array, t: Array, counts: Mask) -> float:
    ours, theirs = luminance_of(p, 4), luminance_of(t, 4)
    usable = (theirs > 0.001) & (theirs < 0.9) & whole(counts)
    stops = np.log2(np.maximum(ours, 1e-7)) - np.log2(np.maximum(theirs, 1e-7))
    return float(np.clip(lower_median(stops[usable]), -16.0, 16.0))


def haar_shares(error: Array, counts: Mask) -> Scores:
    """Blocks do not mix: two levels of the error, zero outside of the whole blocks."""
    inside = whole(counts)
    height, width = (4 * length for length in inside.shape)
    error = error[:height, :width] * np.kron(inside, np.ones((4, 4)))[..., None]
    ll2, level2, level1 = pywt.wavedec2(error, "haar", level=2, axes=(0, 1))
    energies = [(ll2**2).sum(), sum((band**2).sum() for band in level2), sum((band**2).sum() for band in level1)]
    names = ("share_ll2", "share_level2", "share_level1")
    without = 0.0 if inside.any() else math.nan
    return {name: over(energy, sum(energies), without) for name, energy in zip(names, energies, strict=True)}


def local(error: Array, counts: Mask) -> Scores:
    inside = whole(counts)
    height, width = (4 * length for length in inside.shape)
    squares = (error**2).sum(axis=2)[:height, :width] * np.kron(inside, np.ones((4, 4)))
    tiles = [(top, left) for top in range(0, height, 16) for left in range(0, width, 16)]
    energies = {(top, left): squares[top : top + 16, left : left + 16].sum() for top, left in tiles}
    held = [
        (top, left) for top, left in tiles if inside[top // 4 : (top + 16) // 4, left // 4 : (left + 16) // 4].any()
    ]
    hundredth, taken = len(held) / 100, 0.0
    for energy in sorted(energies.values(), reverse=True):
        part = min(hundredth, 1.0)
        taken, hundredth = taken + part * energy, hundredth - part
    if not squares.any():
        return {"local_share": 0.0 if held else math.nan, "local_x": math.nan, "local_y": math.nan}
    top, left = max(tiles, key=lambda tile: energies[tile])
    y, x = (top + min(top + 16, height)) // 2, (left + min(left + 16, width)) // 2
    return {"local_share": taken / squares.sum(), "local_x": x, "local_y": y}


def shadows(p: Array, t: Array, counts: Mask) -> Scores:
    """`p` at the exposure of `t`."""
    inside, pixels = whole(counts), whole(counts, 2)
    if not inside.any():
        return dict.fromkeys(("shadow_iou", "shadow_missed", "shadow_extra", "shadow_sharpness"), math.nan)
    mean = luminance_of(t, 2)[pixels].mean() * (1 - 1e-6)
    ours, theirs = (inside & (luminance_of(side, 4) < mean / 4) for side in (p, t))
    contrasts = [edge_contrast(luminance_of(side, 2), mean / 2, pixels) for side in (p, t)]
    return {
        "shadow_iou": over((ours & theirs).sum(), (ours | theirs).sum(), without=1.0),
        "shadow_missed": over((theirs & ~ours).sum(), theirs.sum()),
        "shadow_extra": over((ours & ~theirs).sum(), ours.sum()),
        "shadow_sharpness": over(contrasts[0], contrasts[1], without=math.nan),
    }


def edge_contrast(luminance: Array, level: float, pixels: Mask) -> float:
    """Mean contrast in stops across the level, 0 where nothing crosses it."""
    stops, found = np.log2(luminance + 0.003), []
    for here in zip(*np.nonzero(pixels), strict=True):
        for there in ((here[0], here[1] + 1), (here[0] + 1, here[1])):
            is_inside = all(map(int.__lt__, map(int, there), luminance.shape)) and pixels[there]
            if is_inside and (luminance[here] < level) != (luminance[there] < level):
                found.append(abs(stops[here] - stops[there]))
    return float(np.mean(found)) if found else 0.0


def finest_energy(luma: Array) -> Array:
    """Of the three finest Haar bands, (H / 2, W / 2) of the whole blocks."""
    height, width = (length // 4 * 4 for length in luma.shape)
    _, bands = pywt.dwt2(luma[:height, :width], "haar")
    return sum(band**2 for band in bands)


def detail(p: Array, t: Array, stops: float, counts: Mask) -> Scores:
    """Of luma, sRGB values."""
    pixels = whole(counts, 2)
    if not pixels.any():
        return {"detail_edges": math.nan, "detail_texture": math.nan, "detail_match": math.nan}
    ours, theirs = finest_energy(p) * (2**-stops) ** (2 / 2.4), finest_energy(t)
    strong = pixels & (theirs > 4 * theirs[pixels].mean() * (1 + 1e-6))
    quiet = pixels & ~ndimage.binary_dilation(strong, np.ones((3, 3)))
    textures = [np.sqrt(side + HALF_A_LEVEL**2)[quiet].sum() for side in (ours, theirs)]
    edges = over(ours[strong].sum(), theirs[strong].sum(), without=math.nan)
    return {
        "detail_edges": math.sqrt(edges),
        "detail_texture": over(*textures, without=math.nan),
        "detail_match": match(finest_energy(p), finest_energy(t), whole(counts, 4)),
    }


def match(ours: Array, theirs: Array, blocks: Mask) -> float:
    """Pearson's correlation of the mean contrast of the blocks, of four energies each."""
    height, width = blocks.shape
    means = [np.sqrt(side).reshape(height, 2, width, 2).mean(axis=(1, 3))[blocks] for side in (ours, theirs)]
    if means[1].std() <= 1e-5:
        return math.nan
    return float(np.corrcoef(*means)[0, 1]) if means[0].std() > 1e-5 else 0.0


def blockiness(luma: Array, counts: Mask) -> float:
    """NaN of images without a border of 8 columns."""
    steps, both = np.abs(np.diff(luma, axis=1)), counts[:, 1:] & counts[:, :-1]
    border = np.zeros(luma.shape[1] - 1, bool)
    border[7::8] = True
    at_border, elsewhere = ([steps[:, part][both[:, part]]] for part in (border, ~border))
    if not len(at_border[0]) or not len(elsewhere[0]):
        return math.nan
    return float((np.mean(at_border) + HALF_A_LEVEL) / (np.mean(elsewhere) + HALF_A_LEVEL))


def from_input(p: Array, t: Array, given: Array, stops: float, counts: Mask) -> Scores:
    ours, theirs, before = (luminance_of(side, 4) for side in (p * 2**-stops, t, given))
    usable = (theirs > 0.001) & whole(counts)
    darker = np.log2(np.maximum(theirs, 1e-7)) - np.log2(np.maximum(before, 1e-7))
    middle = -lower_median(-darker[usable])
    gone = usable & (darker - middle > 1 + 1e-6)
    error, copied = (math.sqrt(((side - t)[counts] ** 2).sum()) for side in (p, given))
    return {
        "shadow_baked": over((gone & (ours < theirs / math.sqrt(2) * (1 - 1e-6))).sum(), gone.sum(), without=math.nan),
        "copy_ratio": min(over(error, copied, without=math.inf if error else 0.0), 1000.0),
    }
