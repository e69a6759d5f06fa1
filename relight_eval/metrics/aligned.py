"""Scores of the aligned prediction, beside the raw ones, and what was fitted: see `alignment`.

The columns of the scores are the first of each metric with `_aligned` behind its name. They say what is wrong besides
exposure or colour, and nothing about those: which is why a rule about `psnr` never means `psnr_aligned`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.alignment import Aligned, align, counted
from relight_eval.metrics.masks import masked_scores
from relight_eval.metrics.metric import Batch, Metric
from relight_eval.results import Column


def metrics(kind: str, inner: Sequence[Metric]) -> list[Metric]:
    """What was fitted, then of each of these metrics the first column for the aligned prediction."""
    fit = partial(_fitted, kind=kind)
    aligned = partial(_aligned, fit=fit)

    def fitted(batch: Batch) -> Tensor:
        found = batch.once_of(fit)
        return _where_fitted(torch.cat([getattr(found, name) for name in _fits(kind)], dim=1), batch, kind)

    def of(metric: Metric) -> Metric:
        def score(batch: Batch) -> Tensor:
            return _where_fitted(masked_scores(metric, batch.once_of(aligned))[:, :1], batch, kind)

        return Metric(f"{metric.name}_aligned", (columns.aligned(metric.columns[0]),), score, metric.min_side)

    return [Metric("align", fitted_columns(kind), fitted), *map(of, inner)]


def _where_fitted(values: Tensor, batch: Batch, kind: str) -> Tensor:
    """NaN for the pairs of whose mask the alignment leaves nothing: they come back unaligned, and scored all over."""
    if batch.mask is None:
        return values
    return values.masked_fill(~counted(kind, batch.mask).flatten(1).any(dim=1)[:, None], torch.nan)


def fitted_columns(kind: str) -> tuple[Column, ...]:
    """The columns of what this alignment fits."""
    return columns.align(*_fits(kind))


def _fits(kind: str) -> tuple[str, ...]:
    """Of `Aligned`, what this alignment does not leave at 1 or 0."""
    return {
        "mean-shift": ("offset",), "latent-intrinsics": ("offset",), "affine": ("gain", "offset")
    }.get(kind, ("gain",))  # fmt: skip


def _fitted(batch: Batch, kind: str) -> Aligned:
    return align(kind, batch.prediction, batch.target, batch.mask)


def _aligned(batch: Batch, fit: partial[Aligned]) -> Batch:
    """Its targets may differ in a batch of several runs, where an alignment changes them: so they are not shared."""
    found = batch.once_of(fit)
    return Batch(found.prediction, found.target, mask=found.mask)
