"""Metrics made for the tests of engines: they run out of memory, fail, or watch how they are called."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from relight_eval.engines import local
from relight_eval.metrics import METRICS, Batch, Metric, Settings, pieces

Score = Callable[[Batch], Tensor]


def means(batch: Batch) -> Tensor:
    """A score that tells the pairs apart: the mean level of each prediction, (N, 1)."""
    return batch.prediction.double().mean(dim=(1, 2, 3))[:, None]


def fake(score: Score, name: str = "psnr") -> Metric:
    """`score` under the name and column of a metric that has one."""
    return Metric(name, METRICS[name].columns(Settings()), score)


def greedy(limit: int, sizes: list[int] | None = None, name: str = "psnr") -> Metric:
    """A metric that runs out of memory with more than `limit` pairs; it notes how many it was given each time."""

    def score(batch: Batch) -> Tensor:
        if sizes is not None:
            sizes.append(len(batch.target))
        if len(batch.target) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return means(batch)

    return fake(score, name)


def greedy_in_pieces(limit: int, tried: list[int | None] | None = None) -> Metric:
    """A metric that needs `limit` values a piece, or fewer, and notes how many it was granted each time.

    Images of no more than `limit` pixels fit whole.
    """

    def score(batch: Batch) -> Tensor:
        granted = pieces.piece_values(batch.target)
        pixels = batch.target.shape[-2] * batch.target.shape[-1]
        if tried is not None:
            tried.append(granted)
        if min(granted or pixels, pixels) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return means(batch)

    return fake(score)


def failing(error: BaseException) -> Metric:
    def score(batch: Batch) -> Tensor:
        raise error

    return fake(score)


def use(monkeypatch: pytest.MonkeyPatch, *metrics: Metric) -> None:
    """Runs of this test score with these, whatever they ask for."""
    monkeypatch.setattr(local, "build", lambda *_: list(metrics))
