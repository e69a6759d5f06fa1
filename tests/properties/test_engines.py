"""A run gives every pair its scores to the last bit, however the work is cut up, ordered and shared."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight_eval.engines import Options
from relight_eval.engines.local import Local
from relight_eval.metrics import METRICS, Settings
from relight_eval.pairs import Pair
from relight_eval.results import Row
from relight_eval.weights import load
from tests.folders import runs_of

SIZES = ((33, 40), (45, 36), (12, 17))


@pytest.fixture(scope="module")
def settings(vgg19_checkpoint: Path) -> Settings:
    return Settings(vgg19_weights=load(vgg19_checkpoint), align="affine", regions=True)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Two runs of six targets, of three sizes."""
    root = tmp_path_factory.mktemp("pairs")
    return [
        pair
        for i, (height, width) in enumerate(SIZES)
        for pair in runs_of(root / str(i), 2, 2, height=height, width=width)
    ]


@pytest.fixture(scope="module")
def alone(pairs: list[Pair], settings: Settings) -> dict[str, dict[str, float]]:
    return {row.prediction: dict(row.scores) for pair in pairs for row in scored([pair], settings, 1, 1)}


def scored(pairs: list[Pair], settings: Settings, batch_size: int | None, workers: int) -> list[Row]:
    options = Options("cpu", batch_size=batch_size, workers=workers)
    return list(Local().score(pairs, tuple(METRICS), settings, options))


@given(
    batch_size=st.sampled_from((1, 2, 3, None)),
    workers=st.integers(1, 3),
    seed=st.integers(0, 99),
    some=st.integers(1, 12),
)
def test_scores_are_those_of_the_pair_alone(
    pairs: list[Pair],
    settings: Settings,
    alone: dict[str, dict[str, float]],
    batch_size: int | None,
    workers: int,
    seed: int,
    some: int,
) -> None:
    chosen = random.Random(seed).sample(pairs, some)
    if seed % 2:  # those of a target together
        chosen.sort(key=lambda pair: pair.target)
    rows = scored(chosen, settings, batch_size, workers)
    assert sorted(row.prediction for row in rows) == sorted(str(pair.prediction) for pair in chosen)
    for row in rows:
        assert row.scores == alone[row.prediction], np.setdiff1d(list(row.scores), list(alone[row.prediction]))
