"""Alignment: a prediction brought to the exposure or colour of its target before it is scored, and what that took.

A relit image can be right in all but its exposure: the target's light was never told in absolute terms. Published
protocols therefore fit a gain or a shift to every pair first, each another one, and scores after different alignments
do not compare. Four plain ones, and three as published:

    gain                    one gain for the image, least squares in linear light
    channel-gain            one gain per channel: exposure and white balance
    mean-shift              the mean of each channel moved onto the target's, in sRGB
    affine                  gain and offset per channel, least squares in linear light
    stanford-orb            Kuang et al. 2023
    objects-with-lighting   Ummenhofer et al. 2024
    latent-intrinsics       Zhang et al. 2024

How to read   The fitted gain is a diagnosis: 2 in all channels means that the prediction is one stop too dark; 1.2,
              1, 0.8 that it is too blue. An alignment forgives exactly what it reports.
Traps         Score raw beside aligned. A gain per channel makes up for a light of the wrong colour, an affine one for
              wrong contrast too, and a negative one for light and dark exchanged.

A fit sees how often which level of the prediction meets which level of the target. For images as stored these are
65536 counts per channel, so the arithmetic is float64, exact and cheap; floating-point images are fitted pixel by
pixel. It depends on the pair alone, and on the pixels inside its mask alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from relight_eval.errors import ShapeError, UsageError, nearest

# What is darker, or varies less, says nothing that could be fitted. The darkest level of 16 bits is 1.2e-6 in linear
# light, and lighter in sRGB.
NOTHING = 1e-6

# Stanford-ORB: at most this sum of squares over a channel, in linear light, and the channel counts as black.
ORB_BLACK = 1e-6
ORB_EROSION = 5  # pixels, the side of the square

# Objects-with-Lighting
OWL_GAMMA = 2.2
OWL_BALANCE = (0.5, 2.0)


class Aligned(NamedTuple):
    """An aligned batch, and what was fitted to each of its pairs.

    An aligned prediction is in [0, 1], but after `latent-intrinsics`, whose protocol does not clip. `gain` and
    `offset` are float64 (float32 on Apple's Metal, which has no other).
    """

    prediction: Tensor  # (N, 3, H, W) float32 (float64 if an image is), sRGB, aligned
    target: Tensor  # (N, 3, H, W) the same dtype, as the protocol scores it
    mask: Tensor | None  # (N, H, W) bool: the pixels that count afterwards (None: all)
    gain: Tensor  # (N, 3) what each channel of the prediction was multiplied by, in the space that the alignment says
    offset: Tensor  # (N, 3) what was then added


@dataclass(frozen=True)
class Alignment:
    """A row of ALIGNMENTS: what aligns (prediction, target, mask), what it is in a line, and what the signature says.

    `counted` are the pixels of a mask that take part.
    """

    align: Callable[[Tensor, Tensor, Tensor | None], Aligned]
    meaning: str
    protocol: str
    counted: Callable[[Tensor], Tensor] = lambda mask: mask


def align(name: str, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """The predictions, aligned to their targets as the alignment `name` does it.

    Both: (N, 3, H, W) sRGB, uint8 as stored or finite floating point in [0, 1]; `mask`: (N, H, W) bool, true inside.
    Only pixels inside are fitted to, what was fitted is applied to all. A pair with nothing inside its mask comes back
    as it is: gain 1, offset 0. Raises UsageError for an unknown name and ShapeError for images or masks that do not
    fit.
    """
    _require_pairs(prediction, target, mask)
    return _known(name).align(prediction, target, mask)


def protocol(name: str) -> str:
    """What the signature of a run says of this alignment. Raises UsageError for an unknown name."""
    return _known(name).protocol


def counted(name: str, mask: Tensor) -> Tensor:
    """The pixels of masks (N, H, W) that take part in this alignment: fewer where it erodes the mask.

    An engine makes an error row of a pair of which none is left. Raises UsageError for an unknown name.
    """
    return _known(name).counted(mask)


# ------------------------------------------------------------------------------------- the alignments


def gain(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """One gain for all channels: g = Σ p·t / Σ p² in linear light, which minimises Σ (g·p − t)².

    Takes and returns what `align` says; the gain is that in linear light. Clipped to [0, 1] and encoded to sRGB again.
    A prediction that is black inside the mask, no channel above 1e-6, keeps gain 1.
    """
    return _aligned(prediction, target, mask, fit=_one_gain, space=LINEAR)


def channel_gain(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """A gain for each channel, as `gain` for the three of them: a channel that is black keeps gain 1."""
    return _aligned(prediction, target, mask, fit=_channel_gains, space=LINEAR)


def mean_shift(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """The mean of each channel moved onto the target's, in sRGB values, then clipped to [0, 1].

    Takes and returns what `align` says; the gain is 1. Where values are clipped, the mean stays a little off.
    """
    return _aligned(prediction, target, mask, fit=_shifts, space=SRGB)


def affine(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """Gain and offset for each channel: the regression line of t on p in linear light, Σ (g·p + o − t)² at its least.

    Takes and returns what `align` says; gain and offset are those in linear light. Clipped to [0, 1] and encoded to
    sRGB again. A channel that is constant inside the mask, to 1e-6, keeps gain 1 and gets the offset alone.
    """
    return _aligned(prediction, target, mask, fit=_lines, space=LINEAR)


def stanford_orb(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """As Stanford-ORB scores relit objects in low dynamic range (its PSNR-L, SSIM and LPIPS of novel lighting).

    The mask is eroded by a square of 5×5 pixels; what lies beyond the border of the image erodes nothing. Inside, each
    channel gets its least-squares gain in linear light (sRGB decoded by IEC 61966-2-1); a channel whose squares sum to
    at most 1e-6 counts as constant 1, so its gain is the target's mean. Clipped to [0, 1] and encoded again. Both
    images are then black outside the eroded mask, and the mask returned is None: the published scores are means over
    the whole image, black included. Without a mask everything is inside. A pair whose eroded mask is empty, for which
    the published code gives NaN, comes back as it is (see `counted`).

    Left out, for 8-bit pairs do not have it: the target in high dynamic range, whose values above 1 take part in the
    published fit and are clipped after it; PSNR-H; the reduction to 512×512, of the mask too. Left to the metrics: the
    PSNR is published as no less than that of a middle grey inside the mask, SSIM is kornia's with a window of 3, and
    LPIPS is VGG's, of images that its code encodes to sRGB a second time.

    Source: Kuang et al. 2023 (NeurIPS Datasets and Benchmarks), code of commit 8a3bdae: orb/utils/metrics.py, lines
    28-74, as called from orb/utils/test.py, line 68.
    """
    inside = None if mask is None else eroded(mask)
    aligned = _aligned(prediction, target, inside, fit=_orb_gains, space=LINEAR)
    if inside is None:
        return aligned
    outside = (~inside & inside.any(dim=-1).any(dim=-1)[:, None, None])[:, None]  # (N, 1, H, W)
    return aligned._replace(
        prediction=aligned.prediction.masked_fill(outside, 0), target=aligned.target.masked_fill(outside, 0), mask=None
    )


def objects_with_lighting(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """As Objects-with-Lighting tone-maps a prediction: first the exposure, then a balance of channels in [0.5, 2].

    Linear light is a power of 2.2 here, not sRGB's curve. Pixels where any channel of the target is at its maximum
    are left out of both fits. First one exposure for all channels, without limits; then, with it, a factor for each
    channel. Both minimise the mean absolute difference of the clipped images *in values of gamma 2.2*: so the code,
    though its comments speak of squares. The gain is the product of the two, in linear light of gamma 2.2. The mask
    comes back as it was, with the overexposed pixels in it: they are scored.

    The published search (SciPy's Brent and L-BFGS-B with numerical derivatives, in float32) depends on where it
    starts; here the minimum is exact, over all gains. Of several equal minima it is the one next to no correction. On
    renderings and photographs the gains agree to 0.5 %, mostly to 0.1 %; where the error has two valleys, as under
    bright targets unlike the prediction, the published search may stay in the higher one. Where it stops with an
    error, because no pixel has three channels above 0 or none is left to fit to, there is none here: a channel with
    nothing to fit to gets no balance, an image no exposure.

    Its program aligns linear predictions (EXR, NPY), and PNG only with --force_tonemapping: this is what it does then.
    Left out: linear predictions, values that are not finite, and resizing.

    Source: Ummenhofer et al. 2024 (3DV), code of commit d48f96b: scripts/evaluate.py, lines 64-113, and utils/hdri.py,
    lines 527-535.
    """
    white = 255 if target.dtype == torch.uint8 else 1
    inside = target.amax(dim=1) < white  # (N, H, W)
    if mask is not None:
        inside &= mask
    return _aligned(prediction, target, inside, fit=_exposure_and_balance, space=GAMMA)._replace(mask=mask)


def latent_intrinsics(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Aligned:
    """The corrected one of the two scores of Latent-Intrinsics: each channel's mean moved onto the target's, unclipped.

    Takes and returns what `align` says, but that the aligned prediction may leave [0, 1]: the published code does not
    clip it, and scores it so. It publishes the raw score side by side, and so should its users. Its arithmetic is on
    stored values (sRGB) in [-1, 1], where the shift and an RMSE are twice those in [0, 1]; PSNR and SSIM are the same.

    It has no masks: with one, the means are those inside. Left out: its crop to 256×256.

    Source: Zhang et al. 2024 (NeurIPS), code of commit dcc4385: eval_utils.py, lines 345-365.
    """
    return _aligned(prediction, target, mask, fit=_shifts, space=SRGB, clip=False)


# ------------------------------------------------------------------------------------- spaces


@dataclass(frozen=True)
class Space:
    """Where gain and offset apply: from sRGB values there, and back."""

    decode: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor]


def linear_from_srgb(values: Tensor) -> Tensor:
    """The light that sRGB values in [0, 1] stand for, in [0, 1]. Source: IEC 61966-2-1."""
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055).pow(2.4))


def srgb_from_linear(light: Tensor) -> Tensor:
    """The sRGB values in [0, 1] of linear light in [0, 1]. Source: IEC 61966-2-1."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.pow(1 / 2.4) - 0.055)


LINEAR = Space(linear_from_srgb, srgb_from_linear)
GAMMA = Space(lambda values: values.pow(OWL_GAMMA), lambda light: light.pow(1 / OWL_GAMMA))
SRGB = Space(lambda values: values, lambda values: values)


# ------------------------------------------------------------------------------------- fits


class Meeting(NamedTuple):
    """Values of a prediction and of its target that meet at a pixel, and how often: three times (3, M), float64.

    In sRGB, or where a fit says so in its space. What meets nowhere has the weight 0.
    """

    p: Tensor
    t: Tensor
    weight: Tensor

    def sums(self, values: Tensor) -> Tensor:
        """The sum of `values` (3, M) over all pixels: (3,)."""
        return (self.weight * values).sum(dim=-1)

    def brightest(self) -> Tensor:
        """The largest value of each channel of the prediction, (3,), 0 where nothing meets."""
        return torch.where(self.weight > 0, self.p, 0).amax(dim=-1)

    def spread(self) -> Tensor:
        """From the smallest to the largest value of each channel of the prediction, (3,), -inf where nothing meets."""
        here = self.weight > 0
        return torch.where(here, self.p, -torch.inf).amax(dim=-1) - torch.where(here, self.p, torch.inf).amin(dim=-1)


Fit = Callable[[Meeting], tuple[Tensor, Tensor]]  # gain and offset, (3,) each


def _one_gain(met: Meeting) -> tuple[Tensor, Tensor]:
    numerator, denominator = met.sums(met.p * met.t).sum(), met.sums(met.p.square()).sum()
    factor = torch.where(met.brightest().amax() > NOTHING, numerator / denominator, 1)
    return factor.repeat(3), torch.zeros_like(met.p[:, 0])


def _channel_gains(met: Meeting) -> tuple[Tensor, Tensor]:
    gains = met.sums(met.p * met.t) / met.sums(met.p.square())
    return torch.where(met.brightest() > NOTHING, gains, 1), torch.zeros_like(gains)


def _shifts(met: Meeting) -> tuple[Tensor, Tensor]:
    shifts = met.sums(met.t - met.p) / met.weight.sum(dim=-1).clamp(min=1)
    return torch.ones_like(shifts), shifts


def _lines(met: Meeting) -> tuple[Tensor, Tensor]:
    pixels = met.weight.sum(dim=-1).clamp(min=1)
    mean_p, mean_t = met.sums(met.p) / pixels, met.sums(met.t) / pixels
    from_mean = met.p - mean_p[:, None]  # (squares of what is far from 0 would cancel)
    gains = met.sums(from_mean * (met.t - mean_t[:, None])) / met.sums(from_mean.square())
    gains = torch.where(met.spread() > NOTHING, gains, 1)
    return gains, mean_t - gains * mean_p


def _orb_gains(met: Meeting) -> tuple[Tensor, Tensor]:
    squares, pixels = met.sums(met.p.square()), met.weight.sum(dim=-1)
    gains = torch.where(squares > ORB_BLACK, met.sums(met.p * met.t) / squares, met.sums(met.t) / pixels)
    return torch.where(pixels > 0, gains, 1), torch.zeros_like(gains)


def _exposure_and_balance(met: Meeting) -> tuple[Tensor, Tensor]:
    # Of values in linear light, (gain·light)^(1/2.2) is factor·value with factor = gain^(1/2.2): in values, where the
    # differences are taken, everything is a straight line up to the clipping.
    p, t = GAMMA.encode(met.p), GAMMA.encode(met.t)
    one = torch.ones_like(p[0, 0])
    exposure = _least_absolute(p, t, met.weight, start=one, low=0 * one, high=torch.inf * one)
    low, high = (exposure * limit ** (1 / OWL_GAMMA) for limit in OWL_BALANCE)
    factors = [
        _least_absolute(p[channel], t[channel], met.weight[channel], start=exposure, low=low, high=high)
        for channel in range(3)
    ]
    return torch.stack(factors).pow(OWL_GAMMA), torch.zeros_like(p[:, 0])


def _least_absolute(p: Tensor, t: Tensor, weight: Tensor, *, start: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The factor in [low, high] for which Σ weight·|min(factor·p, 1) − t| is least; of several that next to `start`.

    p, t, weight: one shape, float64. Between its bends the sum is a straight line, so its minimum is at a bend, at
    `low` or at `high`; `start` lies between them. Values of p up to 1e-6 count as black, which no factor changes.
    """
    seen = (weight > 0) & (p > NOTHING)
    p, t, weight = p[seen], t[seen], weight[seen]
    # Term by term: weight·(t − factor·p) up to factor t/p, weight·(factor·p − t) up to 1/p, and weight·(1 − t) beyond.
    none = torch.zeros_like(torch.stack([start, low, high]))
    bends = torch.cat([t / p, 1 / p, torch.stack([start, low, high])])
    constants = torch.cat([-2 * weight * t, weight, none])
    slopes = torch.cat([2 * weight * p, -weight * p, none])

    bends, order = bends.sort()
    constant = (weight * t).sum() + constants[order].cumsum(dim=0)
    slope = slopes[order].cumsum(dim=0) - (weight * p).sum()
    allowed = (bends >= low) & (bends <= high) & bends.isfinite()
    loss = torch.where(allowed, constant + bends * slope, torch.inf)
    equal = loss <= loss.min() + 1e-12 * weight.sum()  # what float64 cannot tell apart
    return bends[torch.where(equal, (bends - start).abs(), torch.inf).argmin()]


# ------------------------------------------------------------------------------------- from images, and back


def eroded(mask: Tensor) -> Tensor:
    """The pixels (N, H, W) around which all of a square of 5×5 is inside; beyond the border of the image all is.

    So OpenCV's `erode` by default, which Stanford-ORB calls.
    """
    outside = (~mask)[:, None].float()
    near = functional.max_pool2d(outside, ORB_EROSION, stride=1, padding=ORB_EROSION // 2)  # pads with -inf: never max
    return near[:, 0] == 0


def _aligned(
    prediction: Tensor, target: Tensor, mask: Tensor | None, *, fit: Fit, space: Space, clip: bool = True
) -> Aligned:
    """`fit` of each pair in `space`, applied to its prediction there."""
    dtype = _working_dtype(prediction, target)
    aligned = torch.empty_like(prediction, dtype=dtype)
    fitted = []
    for at in range(len(prediction)):
        met = _meeting(prediction[at], target[at], None if mask is None else mask[at])
        gains, offsets = fit(met._replace(p=space.decode(met.p), t=space.decode(met.t)))
        aligned[at] = _applied(prediction[at], gains, offsets, space, clip, dtype)
        fitted.append(torch.stack([gains, offsets]))
    both = torch.stack(fitted).to(prediction.device, _wide(prediction))  # (N, 2, 3)
    return Aligned(aligned, _unit(target).to(dtype), mask, both[:, 0], both[:, 1])


def _meeting(prediction: Tensor, target: Tensor, inside: Tensor | None) -> Meeting:
    """What meets inside (H, W) of one pair (3, H, W), in sRGB [0, 1]."""
    if prediction.dtype == torch.uint8:
        return _counts(prediction, target, inside)
    if inside is None:
        inside = torch.ones_like(prediction[0], dtype=torch.bool)
    p, t = (torch.where(inside, image, 0).flatten(1) for image in (prediction, target))
    weight = inside.flatten().expand_as(p)
    return Meeting(*(_double(values) for values in (p, t, weight)))


def _counts(prediction: Tensor, target: Tensor, inside: Tensor | None) -> Meeting:
    """The same of levels: every level of the prediction with every one of the target, (3, 65536)."""
    met = prediction.int() * 256 + target
    if inside is not None:
        met = torch.where(inside, met, 256**2)  # a count of its own, dropped
    weight = torch.stack([channel.bincount(minlength=256**2 + 1)[: 256**2] for channel in met.flatten(1)])
    levels = _double(_unit(torch.arange(256, dtype=torch.uint8, device=met.device)))
    p, t = levels.repeat_interleave(256), levels.repeat(256)
    return Meeting(p.expand(3, -1), t.expand(3, -1), _double(weight))


def _applied(
    prediction: Tensor, gains: Tensor, offsets: Tensor, space: Space, clip: bool, dtype: torch.dtype
) -> Tensor:
    """One prediction (3, H, W) after gain and offset (3,) in `space`, in sRGB."""

    def apply(values: Tensor) -> Tensor:  # (3, M)
        g, o = (factor.to(values)[:, None] for factor in (gains, offsets))
        changed = space.decode(values) * g + o
        return space.encode(changed.clamp(0, 1) if clip else changed)

    if prediction.dtype != torch.uint8:
        return apply(prediction.to(dtype).flatten(1)).view(prediction.shape)
    levels = _double(_unit(torch.arange(256, dtype=torch.uint8, device=prediction.device)))
    table = apply(levels.expand(3, -1)).to(prediction.device, dtype)  # (3, 256): far fewer powers than pixels
    channels = [of.index_select(0, at.int()) for of, at in zip(table, prediction.flatten(1), strict=True)]
    return torch.stack(channels).view(prediction.shape)


def _unit(image: Tensor) -> Tensor:
    """Values in [0, 1]: levels as float32, floating point as it is. (So both are fitted to the same numbers.)"""
    return image.float() / 255 if image.dtype == torch.uint8 else image


def _double(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device, Apple's Metal, has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


def _wide(image: Tensor) -> torch.dtype:
    return torch.float32 if image.device.type == "mps" else torch.float64


def _working_dtype(*images: Tensor) -> torch.dtype:
    """float32, or float64 where an image is."""
    return torch.float64 if any(image.dtype == torch.float64 for image in images) else torch.float32


def _require_pairs(prediction: Tensor, target: Tensor, mask: Tensor | None) -> None:
    """Raises ShapeError unless both are RGB batches of one shape, and the masks are theirs."""
    if prediction.shape != target.shape:
        raise ShapeError(
            f"prediction is {tuple(prediction.shape)} but target is {tuple(target.shape)}; both must have one shape"
        )
    if prediction.dim() != 4 or prediction.shape[1] != 3 or not prediction.numel():
        raise ShapeError(f"the images are {tuple(prediction.shape)}; they must be (N, 3, H, W) and not empty")
    for image in (prediction, target):
        if not (image.is_floating_point() or image.dtype == torch.uint8):
            raise ShapeError(f"the images are {image.dtype}; they must be floating point in [0, 1], or uint8")
    if (prediction.dtype == torch.uint8) != (target.dtype == torch.uint8):
        raise ShapeError(f"prediction is {prediction.dtype} but target is {target.dtype}; 1 is 255 in one of them only")
    expected = (len(prediction), *prediction.shape[2:])
    if mask is not None and (mask.shape != expected or mask.dtype != torch.bool):
        raise ShapeError(f"the mask is {tuple(mask.shape)} {mask.dtype}; it must be {expected} torch.bool")


def _known(name: str) -> Alignment:
    if name not in ALIGNMENTS:
        raise UsageError(f"unknown alignment {name!r}; {nearest(name, ALIGNMENTS)}")
    return ALIGNMENTS[name]


ALIGNMENTS = {
    "gain": Alignment(
        gain,
        "one gain for the image, least squares in linear light",
        "gain,linear-srgb,least-squares,clip",
    ),
    "channel-gain": Alignment(
        channel_gain,
        "one gain per channel, least squares in linear light",
        "channel-gain,linear-srgb,least-squares,clip",
    ),
    "mean-shift": Alignment(
        mean_shift,
        "the mean of each channel moved onto the target's, in sRGB",
        "mean-shift,srgb,clip",
    ),
    "affine": Alignment(
        affine,
        "gain and offset per channel, least squares in linear light",
        "affine,linear-srgb,least-squares,clip",
    ),
    "stanford-orb": Alignment(
        stanford_orb,
        "as Stanford-ORB (2023): one gain per channel, mask eroded, black outside",
        "stanford-orb@8a3bdae,channel-gain,linear-srgb,least-squares,mask-eroded=5x5,black-outside,clip",
        eroded,
    ),
    "objects-with-lighting": Alignment(
        objects_with_lighting,
        "as Objects-with-Lighting (2024): exposure, then balance of channels within [0.5, 2]",
        "objects-with-lighting@d48f96b,exposure,channel-balance=0.5..2,linear-gamma2.2,least-absolute-in-gamma2.2,"
        "exact-minimum,without-overexposed-target,clip",
    ),
    "latent-intrinsics": Alignment(
        latent_intrinsics,
        "as Latent-Intrinsics (2024): the mean of each channel moved onto the target's, in sRGB, unclipped",
        "latent-intrinsics@dcc4385,mean-shift,srgb,unclipped",
    ),
}
