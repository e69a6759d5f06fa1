"""Diagnosis: why an image is wrong, in numbers.

Definition    All in linear light (sRGB decoded), unless said otherwise.
              Exposure and colour: pixels with a channel at white in the target
              are left out. g minimises Σ|g·p − t|² over all channels, g_r, g_g,
              g_b each its own (1 of a black channel). ev_error = −log2 g, held
              within ±16, −16 of a black prediction; ev_median the (lower)
              median of log2(p / t) over the luminance of 4×4 blocks that are
              neither black (0.001) nor white (0.9) in the target, absent where
              all are; equal exposure, below, is by ev_median, or without it by
              ev_error. wb_angle is
              the angle between the mean RGB of both; mired_shift the difference
              of their correlated colour temperatures (McCamy), in mired, held
              within 25 and 617, beyond which the formula turns back.
              Shares of the squared error: what g takes away (share_exposure),
              what g_r, g_g, g_b take away beyond that (share_colour), the rest,
              the error of the pixels left out of the fit with it; they sum to
              1. And of p − t after two Haar levels, by Parseval: share_ll2 +
              share_level2 + share_level1 = 1. Here and below, whole 4×4 blocks
              inside the mask count; of a mask without one there is no score.
              Shadows: blocks of 4×4 whose luminance is below a quarter of the
              mean of the target's, the prediction at equal exposure.
              shadow_iou, shadow_missed (of the target's), shadow_extra (of the
              prediction's); shadow_sharpness: mean contrast, |difference of
              log2(0.003 + luminance)|, of neighbours (means of 2×2 pixels) on
              either side of half that mean, in the prediction over the target:
              0 where the prediction has none, absent where the target has none.
              What is within a millionth of a bound is not beyond it.
              Detail: contrast of 2×2 pixels, the root of the energy of the
              finest Haar bands of luma (sRGB values), prediction over target at
              equal exposure. detail_edges: root mean square where the target
              has strong edges, above twice its root mean square.
              detail_texture: mean where not even a neighbour has one, after
              half a level of 255 was added to the energy of both, squared.
              detail_match: correlation of the mean contrast of 4×4 blocks.
              blockiness: steps of luma at every eighth column over those
              elsewhere, half a level added to each, prediction over target.
              local_share: of the squared error in sRGB values, the share of the
              worst hundredth of the 16×16 tiles with a block that counts (of
              less than a hundred tiles, that part of the worst); local_x,
              local_y: the middle of the worst one, in pixels.
              With an input: shadow_baked, of the blocks where the input is more
              than a stop darker than the target (beyond the median of that),
              the share where the prediction is more than half a stop darker;
              copy_ratio, the root mean square error of the prediction over that
              of the input, held below 1000.
Source        Own; least squares and exposure after the relighting benchmarks
              that align before they score (Stanford-ORB,
              Objects-with-Lighting). McCamy, "Correlated color temperature as
              an explicit function of chromaticity coordinates", 1992.
Range         Of no column is more simply better. + means: prediction too
              bright (ev_error, ev_median), too warm (mired_shift). Of
              identical images: 0, but gains, ratios and shadow_iou 1. Needs
              4×4 pixels.
How to read   A share says which change of the prediction would take that much
              of the error away. shadow_missed 0.3: three tenths of the target's
              shadow are lit. detail_texture 0.6: six tenths of the fine
              contrast are left. copy_ratio 1: no better than the input.
Traps         Shares say nothing of how large the error is. A least-squares gain
              is moved by a wrong shadow, too: where ev_error and ev_median
              differ, the error is not of the whole image. What is dark by its
              paint counts as shadow, in prediction and target alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from relight_eval import columns
from relight_eval.alignment import linear_from_srgb
from relight_eval.metrics.metric import Batch, Metric, require_min_side, require_same_shape
from relight_eval.metrics.pieces import double, each, image_by_image, in_dtype, piece_values, white, working_dtype

REVISION = "v1"  # of all constants and definitions here: a change of any that may change a score raises it
MIN_SIDE = 4
STOPS = 16.0  # that an exposure is held within: beyond, one of the images is black
BLACK = 1e-3  # linear luminance below which a block has no exposure worth a ratio: three levels of 255
NEARLY_WHITE = 0.9
DARK = 0.25  # of the mean luminance of the target: below lies what counts as shadow
EDGE = 0.5  # of the same: the middle of the slope between shadow and light
SHADOW_FLOOR = 3e-3  # added before the logarithm: contrast among the darkest levels is noise
BAKED_INPUT = 1.0  # stops that the input is darker than the target where its shadow should have gone
BAKED = 0.5  # stops that the prediction is darker there when it has not
STRONG = 2.0  # times the root mean square of the target's detail: an edge
BLOCK = 4  # pixels
TILE = 16
WORST_TILES = 0.01
JPEG = 8
LEAST_VARIANCE = 1e-10  # of contrast in [0, 1], over blocks: below, they are all alike
LEAST = 0.5 / 255  # added to contrast of sRGB values: less is rounding
LARGEST_RATIO = 1000.0
MARGIN = 1e-6  # of a bound: what is no farther beyond it is at it, for float32 tells them no better
ENCODED = 1 / 2.4  # a gain g in linear light multiplies contrast of sRGB values by g^ENCODED
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear RGB
LUMA = (0.299, 0.587, 0.114)  # of sRGB values
# of linear sRGB to XYZ, IEC 61966-2-1
XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
COLDEST_MIRED = 25.0  # 40000 K: beyond, McCamy's formula means nothing
REDDEST, BLUEST = -1.278, 0.1858  # of McCamy's n and y: beyond, it turns back, and red and blue would change sides


def diagnosis(
    prediction: Tensor, target: Tensor, *, input: Tensor | None = None, mask: Tensor | None = None
) -> dict[str, Tensor]:
    """Why each pair is wrong: name of the column -> (N,) float64; NaN where a pair has no such value.

    All images: (N, 3, H, W) sRGB, float in [0, 1] or uint8, at least 4×4; the input may be the one where the others
    are the other. `mask`: (N, H, W) bool, what counts. Names and ranges are in `columns.diagnosis`, definitions above.
    Raises ShapeError when shapes differ or are smaller.
    """
    require_same_shape(prediction, target)
    require_min_side(prediction, MIN_SIDE, "diagnosis")
    if input is not None:
        require_same_shape(input, target, "input", one_range=False)
    images = [prediction, target] if input is None else [prediction, target, input]
    measured = _measured(images, mask)
    found = _exposure_and_colour(measured)
    exposure = found["ev_error"].where(found["ev_median"].isnan(), found["ev_median"])
    of_blocks = _haar_shares(measured) | _local(measured) | _shadows(measured, exposure)
    has_blocks = measured.inside.flatten(1).any(dim=1)
    found |= {name: values.where(has_blocks, torch.nan) for name, values in of_blocks.items()}
    found |= _detail(measured, exposure)
    if input is not None:
        found |= _from_input(measured, exposure)
    return found


# What is measured of the pixels, strip by strip


class _Measured:
    """Sums over each image, and maps of its small blocks; S images each: prediction, target, and maybe the input.

    sums        (N, 3, 4): of each channel, over pixels that count and are not white in the target: Σ of
                d·p and p·p with d = p − t, and of p and t
    errors      (N, S − 1): squared error over all that counts, of the prediction and the input
    haar        (N, 3): energy of p − t in level 1, level 2 and LL2, over whole blocks
    steps       (N, 3, 2): Σ of the steps of the luma of prediction and target, and their number, at block borders
                and elsewhere
    luminance   (N, S, H/2, W/2): means of 2×2 pixels, linear
    detail      (N, 2, H/2, W/2): squared contrast of luma within 2×2 pixels
    energy      (N, 1, H/4, W/4): of p − t in sRGB values as stored, over 4×4 pixels
    inside      (N, 1, H/4, W/4): whether the whole block counts
    """

    def __init__(self, groups: Sequence[Sequence[tuple[Tensor, ...]]]) -> None:
        of_images = [[_joined(parts) for parts in zip(*strips, strict=True)] for strips in groups]
        (
            self.sums, self.errors, self.haar, self.steps, self.luminance, self.detail, self.energy, self.inside
        ) = (torch.cat(parts) for parts in zip(*of_images, strict=True))  # fmt: skip

    @property
    def inside_pixels(self) -> Tensor:
        """The same for 2×2 pixels, (N, 1, H/2, W/2)."""
        return self.inside.repeat_interleave(2, -1).repeat_interleave(2, -2)


def _joined(strips: Sequence[Tensor]) -> Tensor:
    """Maps from top to bottom, sums added up."""
    return torch.cat(list(strips), dim=-2) if strips[0].dim() == 4 else torch.stack(list(strips)).sum(dim=0)


def _measured(images: Sequence[Tensor], mask: Tensor | None) -> _Measured:
    count, _, height, width = images[0].shape
    at_once = piece_values(images[0])
    rows, group = height, count
    if at_once is not None:
        rows = max(at_once // width // TILE, 1) * TILE
        group = max(1, at_once // (height * width))
    tops = [top for top in range(0, height, rows) if top == 0 or height - top >= BLOCK]
    ends = [*tops[1:], height]  # fewer than four rows have no block: they go with the strip before

    def work(first: int, top: int, end: int) -> tuple[Tensor, ...]:
        cut = (slice(first, first + group), ..., slice(top, end), slice(None))
        return _strip([image[cut] for image in images], None if mask is None else mask[cut])

    bounds = list(zip(tops, ends, strict=True))
    done = each(lambda at: work(at[0], *at[1]), product(range(0, count, group), bounds))
    return _Measured([done[i : i + len(bounds)] for i in range(0, len(done), len(bounds))])


def _strip(images: list[Tensor], mask: Tensor | None) -> tuple[Tensor, ...]:
    """What `_Measured` holds, of some rows of some images."""
    lights = [_linear(image) for image in images]
    prediction, target = lights[:2]
    inside = _whole_blocks(prediction, mask)
    error = _within(prediction - target, mask)
    squared = error.square()
    of_input = [_within(given - target, mask).square() for given in lights[2:]]
    shown = [image.to(working_dtype(image)) for image in images[:2]]
    lumas = [_weighted(image, LUMA) / white(images[0]) for image in shown]
    return (
        _sums(prediction, target, error, images[1], mask),
        torch.stack([_sum(squares).sum(dim=1) for squares in (squared, *of_input)], dim=1),
        _haar(error, squared, inside),
        _steps(lumas, mask),
        torch.cat([_means(_blocks(_weighted(light, LUMINANCE)), 2) for light in lights], dim=1),
        torch.cat([_contrast(luma) for luma in lumas], dim=1),
        _in_blocks((shown[0] - shown[1]).square()) * inside,
        inside,
    )


def _sums(p: Tensor, t: Tensor, error: Tensor, stored_target: Tensor, mask: Tensor | None) -> Tensor:
    """The first of `_Measured`."""
    counts = stored_target.amax(dim=1) < white(stored_target)
    counts = counts if mask is None else counts & mask
    if not counts.all():
        p, t, error = (_within(values, counts) for values in (p, t, error))
    return torch.stack([_sum(values) for values in (error * p, p.square(), p, t)], dim=-1)


def _haar(error: Tensor, squared: Tensor, inside: Tensor) -> Tensor:
    """The energies of two Haar levels over the blocks inside, (n, 3).

    Orthonormal: a level keeps the energy, so that of its details is what its LL does not hold.
    """
    ll1 = _sums_of(error, 2)
    ll2 = _sums_of(ll1, 2)
    in_block = (
        _in_blocks(squared),
        _over_channels(_sums_of(ll1.square(), 2)) / 4,
        _over_channels(ll2.square()) / 16,
    )
    total, low1, low2 = (_sum(energy * inside) for energy in in_block)
    return torch.cat([total - low1, low1 - low2, low2], dim=1)


def _in_blocks(energy: Tensor) -> Tensor:
    """(n, 3, h, w) over channels and the pixels of each block, (n, 1, h/4, w/4)."""
    return _sums_of(_over_channels(energy), BLOCK)


def _steps(lumas: Sequence[Tensor], mask: Tensor | None) -> Tensor:
    """Of (n, 1, h, w): Σ|difference of neighbours in a row|, and their number, (n, 3, 2).

    Only along rows, which no strip cuts.
    """
    steps = [(luma[..., 1:] - luma[..., :-1]).abs() for luma in lumas]
    if mask is None:
        both = steps[0].new_full((len(steps[0]), 1, 1, steps[0].shape[-1]), steps[0].shape[-2])  # rows
    else:
        both = (mask[..., 1:] & mask[..., :-1])[:, None].to(steps[0].dtype)
        steps = [step * both for step in steps]
    at_border = torch.arange(both.shape[-1], device=both.device) % JPEG == JPEG - 1
    columns = torch.stack([values.sum(dim=(1, 2)).to(double(values)) for values in (*steps, both)], dim=1)
    return torch.stack([columns[..., at_border].sum(dim=-1), columns[..., ~at_border].sum(dim=-1)], dim=-1)


# What it says


def _exposure_and_colour(measured: _Measured) -> dict[str, Tensor]:
    dp, pp, p, t = measured.sums.unbind(-1)  # (N, 3) each
    gain, gains = 1 - _ratio(dp.sum(dim=1), pp.sum(dim=1)), 1 - _ratio(dp, pp)
    # what one gain takes of Σd², then three: no cancellation, as in Σ(g·p − t)², where p is nearly t
    by_one = _ratio(dp.sum(dim=1).square(), pp.sum(dim=1))
    by_three = _ratio(dp.square(), pp).sum(dim=1)
    error = measured.errors[:, 0]  # that of the white pixels with it, which no gain takes away
    exposure = _ratio(by_one, error).clamp(max=1)
    colour = torch.minimum(_ratio((by_three - by_one).clamp(min=0), error), 1 - exposure)
    black = (pp.sum(dim=1) == 0) & (t.sum(dim=1) > 0)
    held = torch.where(black, 2.0**STOPS, gain.clamp(2.0**-STOPS, 2.0**STOPS))
    return {
        "ev_error": -_log2(held) + 0.0,  # 0, not -0
        "ev_median": _median_exposure(measured),
        **{f"gain_{name}": gains[:, i].clamp(0, 2.0**STOPS) for i, name in enumerate("rgb")},
        "wb_angle": _angle(p, t),
        "mired_shift": torch.where((p.sum(dim=1) > 0) & (t.sum(dim=1) > 0), _mired(p) - _mired(t), 0.0),
        "share_exposure": exposure,
        "share_colour": colour,
        "share_rest": torch.where(error > 0, 1 - exposure - colour, 0.0),
    }


def _median_exposure(measured: _Measured) -> Tensor:
    """How many stops brighter the prediction is in the middle of all blocks that have an exposure; NaN without any."""
    prediction, target = (_means(measured.luminance[:, i : i + 1], 2) for i in (0, 1))
    usable = (target > BLACK) & (target < NEARLY_WHITE) & measured.inside
    stops = (_log2(prediction.clamp(min=1e-7)) - _log2(target.clamp(min=1e-7))).where(usable, torch.nan)
    return stops.flatten(1).nanmedian(dim=1).values.clamp(-STOPS, STOPS).to(double(stops))


def _angle(p: Tensor, t: Tensor) -> Tensor:
    """Degrees between colours (N, 3); 0 where one is black, which has no colour."""
    a, b = p * t.norm(dim=1, keepdim=True), t * p.norm(dim=1, keepdim=True)  # of one length
    sides = torch.stack([(a - b).norm(dim=1), (a + b).norm(dim=1)], dim=1)
    return 2 * image_by_image(lambda of: torch.atan2(*of.unbind(1)), sides).rad2deg()


def _mired(rgb: Tensor) -> Tensor:
    """The correlated colour temperature of linear RGB (N, 3) in mired, 10⁶ over kelvin."""
    xyz = rgb @ torch.tensor(XYZ, dtype=rgb.dtype, device=rgb.device).T
    x, y = (_ratio(xyz[:, i], xyz.sum(dim=1)) for i in (0, 1))
    return (1e6 / kelvin(x, y)).clamp(min=COLDEST_MIRED)


def kelvin(x: Tensor, y: Tensor) -> Tensor:
    """The correlated colour temperature of a chromaticity, after McCamy 1992: 6505.08 K for D65 (0.3127, 0.3290).

    Never below 1621 K, the least that the formula gives, which redder colours have, too; inf of what is bluer than all
    daylight.
    """
    n = ((x - 0.3320) / (BLUEST - y)).clamp(min=REDDEST)
    return torch.where(y > BLUEST, ((449 * n + 3525) * n + 6823.3) * n + 5520.33, math.inf)


def _haar_shares(measured: _Measured) -> dict[str, Tensor]:
    level1, level2, low = (measured.haar.clamp(min=0)).unbind(1)
    whole = level1 + level2 + low
    return {
        "share_ll2": _ratio(low, whole), "share_level2": _ratio(level2, whole), "share_level1": _ratio(level1, whole)
    }  # fmt: skip


def _local(measured: _Measured) -> dict[str, Tensor]:
    """How much of the error the worst tiles hold, and where the worst one is."""
    tiles, blocks = (
        avg_pool2d(values, TILE // BLOCK, ceil_mode=True, divisor_override=1)
        for values in (measured.energy, measured.inside.to(measured.energy.dtype))
    )
    energies = tiles.flatten(1).to(double(tiles))
    hundredth = WORST_TILES * _count(blocks > 0)[:, None]
    worst = energies.topk(math.ceil(WORST_TILES * energies.shape[1]), dim=1).values
    ranks = torch.arange(worst.shape[1], dtype=energies.dtype, device=energies.device)
    parts = (hundredth - ranks).clamp(0, 1)  # of the last a part
    place = energies.argmax(dim=1)  # the first of equal ones
    across = tiles.shape[-1]
    height, width = (BLOCK * side for side in measured.energy.shape[-2:])
    x, y = (_middle(index, side) for index, side in ((place % across, width), (place // across, height)))
    found = energies.sum(dim=1) > 0
    return {
        "local_share": _ratio((worst * parts).sum(dim=1), energies.sum(dim=1)).clamp(max=1),
        "local_x": x.to(energies.dtype).where(found, torch.nan),
        "local_y": y.to(energies.dtype).where(found, torch.nan),
    }


def _middle(tile: Tensor, side: int) -> Tensor:
    """The pixel in the middle of a tile, of which the last may be smaller."""
    return (TILE * tile + (TILE * (tile + 1)).clamp(max=side)) // 2


def _shadows(measured: _Measured, exposure: Tensor) -> dict[str, Tensor]:
    prediction, target = _at_exposure(measured, exposure), measured.luminance[:, 1:2]
    inside, pixels = measured.inside, measured.inside_pixels
    mean = _ratio((target * pixels).sum(dim=(2, 3), dtype=double(target)), _count(pixels)[:, None])[..., None, None]
    ours, theirs = (is_below(_means(side, 2), DARK * mean) & inside for side in (prediction, target))
    both, either = _count(ours & theirs), _count(ours | theirs)
    contrasts = [_edge_contrast(side, is_below(side, EDGE * mean), pixels) for side in (prediction, target)]
    return {
        "shadow_iou": torch.where(either > 0, _ratio(both, either), 1.0),
        "shadow_missed": _ratio(_count(theirs & ~ours), _count(theirs)),
        "shadow_extra": _ratio(_count(ours & ~theirs), _count(ours)),
        "shadow_sharpness": _finite(contrasts[0] / contrasts[1]),  # none where the target has no edge
    }


def is_below(values: Tensor, bound: Tensor) -> Tensor:
    """Whether values are below a bound in float64, and not by rounding alone."""
    return values < (bound * (1 - MARGIN)).to(values.dtype)


def is_above(values: Tensor, bound: Tensor) -> Tensor:
    return values > (bound * (1 + MARGIN)).to(values.dtype)


def _at_exposure(measured: _Measured, exposure: Tensor) -> Tensor:
    """The luminance of the prediction at the exposure of the target."""
    luminance = measured.luminance[:, :1]
    return luminance * image_by_image(torch.exp2, -exposure).to(luminance.dtype)[:, None, None, None]


def _edge_contrast(luminance: Tensor, dark: Tensor, inside: Tensor) -> Tensor:
    """Mean contrast in stops of neighbours of which one is dark and one is not, (N,); 0 where there are none."""
    stops = _log2(luminance + SHADOW_FLOOR)
    totals, counts = [], []
    for dim in (-1, -2):
        length = stops.shape[dim] - 1
        (a, b), (dark_a, dark_b), (in_a, in_b) = (
            (values.narrow(dim, 0, length), values.narrow(dim, 1, length)) for values in (stops, dark, inside)
        )
        border = (dark_a != dark_b) & in_a & in_b
        totals.append(_sum((a - b).abs() * border))
        counts.append(_count(border))
    return _ratio(torch.stack(totals).sum(dim=0)[:, 0], torch.stack(counts).sum(dim=0))


def _detail(measured: _Measured, exposure: Tensor) -> dict[str, Tensor]:
    pixels, prediction, target = measured.inside_pixels, measured.detail[:, :1], measured.detail[:, 1:]
    mean = _ratio((target * pixels).sum(dim=(2, 3), dtype=double(target)), _count(pixels)[:, None])[..., None, None]
    strong = is_above(target, STRONG**2 * mean) & pixels
    texture = ~_or_beside(strong) & pixels
    equal = image_by_image(torch.exp2, -2 * exposure * ENCODED).to(target.dtype)[:, None, None, None]  # of squares
    squares = (equal * prediction, target)
    at_edges = [_sum(squared * strong)[:, 0] for squared in squares]
    in_texture = [_sum((squared + LEAST**2).sqrt() * texture)[:, 0] for squared in squares]
    ours, theirs = (_means(side.sqrt(), 2) for side in (prediction, target))
    sums, numbers = measured.steps[:, :2], measured.steps[:, 2:]
    at_border, elsewhere = (sums / numbers + LEAST).unbind(-1)
    blockiness = at_border / elsewhere
    return {
        "detail_edges": _finite((at_edges[0] / at_edges[1]).sqrt()),
        "detail_texture": _finite(in_texture[0] / in_texture[1]),
        "detail_match": _correlation(ours, theirs, measured.inside),
        "blockiness": _finite(blockiness[:, 0] / blockiness[:, 1]),
    }


def _correlation(one: Tensor, other: Tensor, inside: Tensor) -> Tensor:
    """Pearson's, of the blocks (N, 1, h, w) inside: (N,); 0 where only `one` is alike everywhere, NaN where `other` is.

    (What float32 sums leave of equal values is no variance.)
    """
    count = _count(inside)[:, None, None, None]
    away = []
    for values in (one.to(double(one)), other.to(double(other))):
        mean = (values * inside).sum(dim=(2, 3), keepdim=True) / count
        away.append((values - mean) * inside)
    variances = [_sum(side.square())[:, 0] for side in away]
    nothing = [variance <= LEAST_VARIANCE * _count(inside) for variance in variances]
    found = _sum(away[0] * away[1])[:, 0] / (variances[0] * variances[1]).sqrt()
    return torch.where(nothing[1], torch.nan, torch.where(nothing[0], 0.0, found.clamp(-1, 1)))


def _or_beside(found: Tensor) -> Tensor:
    """Whether it is found at a place or at one of its eight neighbours."""
    for dim in (-1, -2):
        length = found.shape[dim] - 1
        wider = found.clone()
        wider.narrow(dim, 0, length).logical_or_(found.narrow(dim, 1, length))
        wider.narrow(dim, 1, length).logical_or_(found.narrow(dim, 0, length))
        found = wider
    return found


def _from_input(measured: _Measured, exposure: Tensor) -> dict[str, Tensor]:
    prediction, target = _means(_at_exposure(measured, exposure), 2), _means(measured.luminance[:, 1:2], 2)
    given = _means(measured.luminance[:, 2:], 2)
    usable = (target > BLACK) & measured.inside
    stops = _log2(given.clamp(min=1e-7) / target.clamp(min=1e-7)).where(usable, torch.nan)
    level = stops.flatten(1).nanmedian(dim=1).values.nan_to_num(0.0)[:, None, None, None]  # of the input's own exposure
    gone = usable & (stops - level < -BAKED_INPUT - MARGIN)
    left = gone & is_below(prediction, target * 2**-BAKED)
    ours, copied = measured.errors.unbind(1)
    ratio = torch.where(copied > 0, (ours / copied).sqrt(), torch.where(ours > 0, math.inf, 0.0))
    return {
        "shadow_baked": torch.where(_count(gone) > 0, _ratio(_count(left), _count(gone)), torch.nan),
        "copy_ratio": ratio.clamp(max=LARGEST_RATIO),
    }


def luminance(image: Tensor) -> Tensor:
    """Linear luminance of (N, 3, H, W) sRGB, uint8 or float in [0, 1]: (N, H, W) in [0, 1]."""
    return _weighted(_linear(image), LUMINANCE)[:, 0]


# Small arithmetic


@cache
def _decoded(device: torch.device) -> Tensor:
    """Linear light of the 256 levels of sRGB."""
    return linear_from_srgb(torch.arange(256, dtype=torch.float64) / 255).to(device, torch.float32)


def _linear(image: Tensor) -> Tensor:
    if image.dtype != torch.uint8:
        return image_by_image(linear_from_srgb, in_dtype(image, working_dtype(image)))
    return _decoded(image.device).index_select(0, image.flatten().int()).view(image.shape)


def _log2(values: Tensor) -> Tensor:
    return image_by_image(torch.log2, values)


def _within(values: Tensor, counts: Tensor | None) -> Tensor:
    """(n, 3, h, w) with zeros where (n, h, w) says that it does not count."""
    return values if counts is None else values * counts[:, None]


def _whole_blocks(image: Tensor, mask: Tensor | None) -> Tensor:
    """Of the blocks of an image (n, C, h, w), which count as a whole: (n, 1, h/4, w/4)."""
    count, _, height, width = image.shape
    if mask is None:
        return torch.ones(count, 1, height // BLOCK, width // BLOCK, dtype=torch.bool, device=image.device)
    return _sums_of(mask[:, None].float(), BLOCK) == BLOCK**2


def _weighted(image: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """(n, 3, h, w) to (n, 1, h, w)."""
    red, green, blue = (image[:, i : i + 1] for i in range(3))
    return (weights[0] * red).add_(green, alpha=weights[1]).add_(blue, alpha=weights[2])


def _blocks(image: Tensor) -> Tensor:
    """The image without the last rows and columns that make no whole block."""
    height, width = (length // BLOCK * BLOCK for length in image.shape[-2:])
    return image[..., :height, :width]


def _sums_of(image: Tensor, side: int) -> Tensor:
    """Sums of side × side pixels, 2 or a power of it. (Slices: many times faster than pooling.)"""
    height, width = (length // 2 * 2 for length in image.shape[-2:])
    rows = image[..., 0:height:2, :] + image[..., 1:height:2, :]
    half = rows[..., 0:width:2] + rows[..., 1:width:2]
    return half if side == 2 else _sums_of(half, side // 2)


def _means(image: Tensor, side: int) -> Tensor:
    return _sums_of(image, side) / side**2


def _contrast(luma: Tensor) -> Tensor:
    """The squared details of one Haar level, (n, 1, h, w) to (n, 1, h/2, w/2)."""
    a, b, c, d = (_blocks(luma)[..., y::2, x::2] for y in (0, 1) for x in (0, 1))
    return ((a + b - c - d).square() + (a - b + c - d).square() + (a - b - c + d).square()) / 4


def _sum(values: Tensor) -> Tensor:
    """Over the places of each channel, (n, C, h, w) to (n, C), rows added up in float64."""
    return values.sum(dim=-1).sum(dim=-1, dtype=double(values))


def _count(found: Tensor) -> Tensor:
    """(N, 1, h, w) bool to (N,)."""
    return found.sum(dim=(1, 2, 3)).to(double(found))


def _finite(values: Tensor) -> Tensor:
    """NaN for what is not: the image has no such value."""
    return values.where(values.isfinite(), torch.nan)


def _over_channels(values: Tensor) -> Tensor:
    """(n, 3, h, w) to (n, 1, h, w)."""
    return values[:, :1] + values[:, 1:2] + values[:, 2:]  # three times as fast as sum


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """One over the other, 0 where that is 0."""
    return torch.where(other > 0, one / other.where(other > 0, 1), 0.0)


def protocol() -> str:
    return f"linear,haar2,{REVISION}"


def metric(input: bool = False) -> Metric:
    described = columns.diagnosis(input)

    def score(batch: Batch) -> Tensor:
        found = diagnosis(batch.prediction, batch.target, input=batch.input if input else None, mask=batch.mask)
        nothing = torch.full_like(found["ev_error"], torch.nan)  # of the input, where a pair has none
        return torch.stack([found.get(column.name, nothing) for column in described], dim=1)

    return Metric("diagnosis", described, score, min_side=MIN_SIDE)
