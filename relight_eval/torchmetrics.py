"""The metrics as `torchmetrics.Metric`: scores during training, on one process or many.

Each takes batches of (prediction, target), both (N, 3, H, W) sRGB, float in [0, 1] or uint8, of any size and on any
device, and scores every pair with the functions that `relight-eval score` uses. What `compute` gives is the mean that
`score` prints of the same images: infinite PSNRs are left out, and counted in `infinite`. A network's output should be
clamped to [0, 1] before, as saving it does. Nothing flows back: to train, see `losses`.

    psnr = PSNR()
    for i, (prediction, target) in batches:  # i: which images of the data set these are
        psnr.update(prediction, target, index=i)
    print(psnr.compute())

Kept is one row of scores for each pair. Processes put theirs together when computing, and a pair whose `index` came
more than once counts once: DistributedSampler repeats some, to give every process as many. Without an index all count.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

try:
    import torchmetrics
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "relight_eval.torchmetrics needs torchmetrics, which is not installed: pip install 'relight-eval[torchmetrics]'"
    ) from error

from relight_eval.errors import ShapeError
from relight_eval.metrics import METRICS, Batch, Settings, build, charbonnier, wssim
from relight_eval.metrics import Metric as Scoring
from relight_eval.metrics.masks import masked_scores
from relight_eval.metrics.metric import require_min_side
from relight_eval.metrics.pieces import double
from relight_eval.results import Column
from relight_eval.statistics import mean
from relight_eval.text import some
from relight_eval.weights import VGG19Weights, loaded

__all__ = ["LPIPS", "MPS", "PSNR", "SSIM", "VGG19", "WSSIM", "Charbonnier"]

NO_INDEX = -1  # of pairs that came without one


class PairMetric(torchmetrics.Metric):
    """A row of METRICS as a torchmetrics metric; the subclasses below say which.

    `count` is how many pairs the last `compute` was of, those of all processes (of `forward`, those of its batch), of
    which `infinite` were left out of the mean. `kwargs` are those of `torchmetrics.Metric`.
    """

    full_state_update = False
    is_differentiable = False

    def __init__(self, name: str, settings: Settings, *, parts: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name, self.settings, self.parts = name, settings, parts
        self.columns = METRICS[name].columns(settings)
        self.count = self.infinite = 0
        self._ready: dict[torch.device, Scoring] = {}
        # A MetricCollection takes metrics for one and the same whose states have the same names and, after the first
        # batch, the same values. Those of different metrics have, where images are identical: hence names of their own.
        protocol = f"{METRICS[name].protocol(settings)},{settings.precision}"
        digest = hashlib.blake2b(protocol.encode(), digest_size=4).hexdigest()
        self._scores, self._indices = f"{name}_scores_{digest}", f"{name}_indices_{digest}"
        for state in (self._scores, self._indices):
            self.add_state(state, [], dist_reduce_fx="cat")

    @torch.no_grad()
    def update(
        self,
        prediction: Tensor,
        target: Tensor,
        *,
        mask: Tensor | None = None,
        index: Tensor | Sequence[int] | None = None,
    ) -> None:
        """Scores a batch of pairs, (N, 3, H, W) sRGB, float in [0, 1] or uint8; in float32 whatever the images have.

        Only what lies inside `mask`, (N, H, W) bool, counts. `index`, (N,) integers from 0, says which images of the
        data set these are. Raises ShapeError for what does not fit, for images too small for the metric, and for a
        mask that leaves nothing to score; such a batch does not count.
        """
        batch = Batch(prediction, target, mask=mask)
        _require_fit(prediction, mask)
        indices = _checked(index, len(prediction))
        scoring = self._on(prediction.device)
        require_min_side(prediction, scoring.min_side, self.name)
        with torch.autocast(prediction.device.type, enabled=False):
            scores = masked_scores(scoring, batch)
        if mask is not None:
            self._require_scored(scores)
        getattr(self, self._scores).append(scores.to(self._none(self._scores)))
        getattr(self, self._indices).append(indices.to(self.device))

    def compute(self) -> Tensor | dict[str, Tensor]:
        """The mean over all pairs, a scalar; with `parts` that of every column, by name.

        NaN where there is no pair that has a finite score, and where a score is NaN, as that of an image with NaN.
        """
        scores, indices = self._kept(self._scores), self._kept(self._indices)
        rows = scores.cpu().double().numpy()[_first_of_each(indices.cpu().numpy())]
        counted = [_left_in(column, rows[:, i]) for i, column in enumerate(self.columns)]
        self.count, self.infinite = len(rows), len(rows) - len(counted[0])
        means = {column.name: scores.new_tensor(mean(of)) for column, of in zip(self.columns, counted, strict=True)}
        return means if self.parts else means[self.name]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As in torchmetrics; but a process that had no pairs takes part with none in the shape of the others'."""
        for state in (self._scores, self._indices):
            found = getattr(self, state)
            if isinstance(found, list) and not found:
                found.append(self._none(state))
        super().sync(*args, **kwargs)

    def reset(self) -> None:
        super().reset()
        self.count = self.infinite = 0

    def set_dtype(self, dst_type: str | torch.dtype) -> PairMetric:
        """Changes nothing: scores are kept in float64 in any case, and indices would be rounded."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without what is ready to score: that is built again, on whatever device comes."""
        return {**super().__getstate__(), "_ready": {}}

    def _on(self, device: torch.device) -> Scoring:
        if device not in self._ready:
            (self._ready[device],) = build([self.name], self.settings, device)
        return self._ready[device]

    def _none(self, state: str) -> Tensor:
        """What the state is of no pairs: (0, columns) in float64 (float32 on Apple's Metal), or (0,) integers."""
        if state == self._indices:
            return torch.empty(0, dtype=torch.int64, device=self.device)
        like = torch.empty((0, len(self.columns)), device=self.device)
        return like.to(double(like))

    def _kept(self, state: str) -> Tensor:
        found = getattr(self, state)  # a list, or after `sync` a tensor
        return found if isinstance(found, Tensor) else torch.cat(found or [self._none(state)])

    def _require_scored(self, scores: Tensor) -> None:
        """Raises ShapeError where a masked pair has no score."""
        lacking = [str(pair) for pair in scores.isnan().any(dim=1).nonzero()[:, 0].tolist()]
        if lacking:
            raise ShapeError(
                f"no {self.name} of pair {some(lacking)} of the batch, counted from 0: the mask is too small, no "
                "window lies in it, or the images hold NaN; leave these pairs out"
            )


class Charbonnier(PairMetric):
    """Mean Charbonnier distance, lower is better: eps for identical images. See `metrics.charbonnier`."""

    higher_is_better = False

    def __init__(self, *, eps: float = charbonnier.EPS, **kwargs: Any) -> None:
        super().__init__("charbonnier", Settings(charbonnier_eps=eps), **kwargs)


class WSSIM(PairMetric):
    """W-SSIM, higher is better: 1 for identical images. See `metrics.wssim`.

    With `parts` a dict: "wssim", and the SSIM of the image and of every subband, "wssim_full", "wssim_hl1" …
    Raises UsageError for an unknown wavelet, or levels or a ratio out of their range.
    """

    higher_is_better = True

    def __init__(
        self,
        *,
        wavelet: str = wssim.WAVELET,
        levels: int = wssim.LEVELS,
        ratio: float = wssim.RATIO,
        parts: bool = True,
        **kwargs: Any,
    ) -> None:
        settings = Settings(wavelet=wavelet, wssim_levels=levels, wssim_ratio=ratio)
        super().__init__("wssim", settings, parts=parts, **kwargs)


class VGG19(PairMetric):
    """VGG19 perceptual distance, lower is better: 0 for identical images. See `metrics.vgg19`.

    With `parts` a dict: "vgg19", and the distance at each layer, "vgg19_relu1_1" … `weights` is a file, loaded weights,
    or None to look for them as `relight-eval weights show` tells (and to fetch them unless `offline`); WeightsError
    when there are none. `precision` is "exact" or "fast"; None means fast on CUDA, as in `score`.
    """

    higher_is_better = False

    def __init__(
        self,
        weights: VGG19Weights | str | Path | None = None,
        *,
        preset: str = "s3net",
        offline: bool = False,
        precision: str | None = None,
        parts: bool = True,
        **kwargs: Any,
    ) -> None:
        settings = Settings(vgg19_preset=preset, precision=precision)  # raises, before weights are fetched
        super().__init__(
            "vgg19", replace(settings, vgg19_weights=loaded(weights, offline=offline)), parts=parts, **kwargs
        )


class PSNR(PairMetric):
    """PSNR in dB, higher is better; identical images, of which it is infinite, are left out. See `metrics.psnr`."""

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("psnr", Settings(), **kwargs)


class SSIM(PairMetric):
    """SSIM, higher is better: 1 for identical images. See `metrics.ssim`."""

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("ssim", Settings(), **kwargs)


class LPIPS(PairMetric):
    """LPIPS (AlexNet v0.1), lower is better: 0 for identical images. See `metrics.lpips`."""

    higher_is_better = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("lpips", Settings(), **kwargs)


class MPS(PairMetric):
    """(SSIM + 1 − LPIPS) / 2, higher is better: 1 for identical images. See `metrics.mps`."""

    higher_is_better = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("mps", Settings(), **kwargs)


def _require_fit(prediction: Tensor, mask: Tensor | None) -> None:
    """Raises ShapeError unless the images are RGB, and the mask, if any, is one of theirs that leaves something."""
    if prediction.shape[1] != 3:
        raise ShapeError(f"the images have {prediction.shape[1]} channels; they must be RGB, (N, 3, H, W)")
    if mask is None:
        return
    expected = (len(prediction), *prediction.shape[2:])
    if mask.shape != expected or mask.dtype != torch.bool:
        raise ShapeError(f"the mask is {tuple(mask.shape)} {mask.dtype}; it must be {expected} torch.bool")
    if not mask.flatten(1).any(dim=1).all():
        raise ShapeError("the mask of a pair is empty, nothing of it is True; leave this pair out")


def _checked(index: Tensor | Sequence[int] | None, count: int) -> Tensor:
    """Which image each pair is, (count,) integers; NO_INDEX where that is not known. Raises ShapeError."""
    if index is None:
        return torch.full((count,), NO_INDEX)
    found = torch.as_tensor(index)
    if found.shape != (count,) or found.is_floating_point() or (found < 0).any():
        raise ShapeError(f"the index is {tuple(found.shape)} {found.dtype}; it must be {count} integers from 0")
    return found.to(torch.int64)


def _first_of_each(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs count, (N,): all without an index, and of every index the first."""
    counts: NDArray[np.bool_] = indices == NO_INDEX
    known = np.flatnonzero(~counts)
    counts[known[np.unique(indices[known], return_index=True)[1]]] = True
    return counts


def _left_in(column: Column, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores without those of identical images where these are infinite, as in `statistics.summary`."""
    return scores[scores != column.identical] if math.isinf(column.identical) else scores
