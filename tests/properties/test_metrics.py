"""What holds of every metric whatever the images: identity, bounds, symmetry, invariance, agreement with float64."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relight_eval.alignment import align, linear_from_srgb, srgb_from_linear
from relight_eval.metrics import METRICS, PRECISIONS, Batch, Metric, Settings, build, precision_on
from relight_eval.metrics.masks import masked_scores
from relight_eval.weights import load
from tests.metrics import references
from tests.properties.images import CONTENTS, DTYPES, Drawn, batches, content, stored

CPU = torch.device("cpu")
SYMMETRIC = ("charbonnier", "psnr", "lpips")  # to the last bit
# SSIM takes out of float32 what both sides have in common; VGG19 computes with the target's features and a difference.
ALMOST_SYMMETRIC = ("ssim", "wssim", "mps", "vgg19")


@pytest.fixture(scope="session")
def metrics(vgg19_checkpoint: Path) -> dict[str, Metric]:
    """All of them, and those of aligned predictions and of regions."""
    settings = Settings(vgg19_weights=load(vgg19_checkpoint), input=True, align="gain", regions=True)
    return {metric.name: metric for metric in build(tuple(METRICS), settings, CPU)}


def fitting(metrics: dict[str, Metric], drawn: Drawn) -> list[Metric]:
    """Those that are defined for images of this size."""
    return [metric for metric in metrics.values() if min(drawn.target.shape[-2:]) >= metric.min_side]


@given(drawn=batches(masked=True))
def test_a_score_is_that_of_the_pair_alone_to_the_last_bit(metrics: dict[str, Metric], drawn: Drawn) -> None:
    count = len(drawn.target)
    for metric in fitting(metrics, drawn):
        together = masked_scores(metric, drawn.batch())
        alone = torch.cat([masked_scores(metric, drawn.batch(i)) for i in range(count)])
        backwards = masked_scores(metric, drawn.batch(*range(count)[::-1])).flip(0)
        assert torch.equal(together.nan_to_num(-99), alone.nan_to_num(-99)), metric.name
        assert torch.equal(together.nan_to_num(-99), backwards.nan_to_num(-99)), metric.name


@given(drawn=batches(), runs=st.integers(2, 3))
def test_a_score_is_the_same_beside_other_runs_of_its_target(
    metrics: dict[str, Metric], drawn: Drawn, runs: int
) -> None:
    target, input = drawn.target[:1].repeat(runs, 1, 1, 1), drawn.input[:1].repeat(runs, 1, 1, 1)
    prediction = drawn.prediction[:1].repeat(runs, 1, 1, 1)
    prediction[1:] = target[1:].flip(-1)
    for metric in fitting(metrics, drawn):
        together = metric.score(Batch(prediction, target, runs=runs, input=input))
        pairs = [Batch(prediction[[i]], target[[i]], input=input[[i]]) for i in range(runs)]
        alone = torch.cat([metric.score(pair) for pair in pairs])
        assert torch.equal(together.nan_to_num(-99), alone.nan_to_num(-99)), metric.name


@given(drawn=batches())
def test_identical_images_score_what_the_column_says(metrics: dict[str, Metric], drawn: Drawn) -> None:
    same = Batch(drawn.target, drawn.target.clone(), input=drawn.input)
    for metric in fitting(metrics, drawn):
        if metric.name == "regions" or metric.name.endswith("_aligned"):  # these are of what was computed before
            continue
        for column, values in zip(metric.columns, metric.score(same).unbind(1), strict=True):
            if column.better == "none" or column.optional or column.metric == "align":
                continue
            assert values.double().tolist() == pytest.approx([column.identical] * len(values), abs=0), column.name


@given(drawn=batches(masked=True))
def test_no_score_is_beyond_the_bounds_of_its_column(metrics: dict[str, Metric], drawn: Drawn) -> None:
    for metric in fitting(metrics, drawn):
        for column, values in zip(metric.columns, masked_scores(metric, drawn.batch()).double().unbind(1), strict=True):
            found = values[~values.isnan()]
            assert column.optional or drawn.mask is not None or len(found) == len(values), column.name
            rounding = 1e-6 if column.metric == "charbonnier" else 0  # of sqrt(1 + ε²) in float32
            assert ((found >= column.low - rounding) & (found <= column.high + rounding)).all(), column.name


@given(drawn=batches())
def test_prediction_and_target_may_change_sides(metrics: dict[str, Metric], drawn: Drawn) -> None:
    for metric in fitting(metrics, drawn):
        if metric.name not in (*SYMMETRIC, *ALMOST_SYMMETRIC):
            continue
        there = metric.score(Batch(drawn.prediction, drawn.target)).double()
        back = metric.score(Batch(drawn.target, drawn.prediction)).double()
        if metric.name in ALMOST_SYMMETRIC:
            torch.testing.assert_close(there, back, rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(there, back), metric.name


# (of PSNR in dB; the SSIMs are less exact on what is all but flat, as some examples are)
WITHIN = {"charbonnier": 1e-5, "psnr": 1e-3, "ssim": 1e-4, "wssim": 1e-4}


@given(drawn=batches(smallest=11))
def test_scores_agree_with_float64(metrics: dict[str, Metric], drawn: Drawn) -> None:
    """With the references, and with the metric itself where it computes in float64."""
    as_float = [stored_as_float64(image) for image in (drawn.prediction, drawn.target)]
    for name in ("charbonnier", "psnr", "ssim", "wssim"):
        found = metrics[name].score(drawn.batch()).double()
        wide = metrics[name].score(Batch(*as_float)).double()
        for i in range(len(drawn.target)):
            prediction, target = (np.ascontiguousarray(image[i].permute(1, 2, 0).numpy()) for image in as_float)
            reference = getattr(references, name)(prediction, target)
            if isinstance(reference, float):
                reference = {name: reference}
            expected = [reference[column.name] for column in metrics[name].columns]
            assert wide[i].tolist() == pytest.approx(expected, abs=1e-9, rel=1e-9), name
            assert found[i].tolist() == pytest.approx(expected, abs=WITHIN[name]), name


def stored_as_float64(image: torch.Tensor) -> torch.Tensor:
    return image.double() / 255 if image.dtype == torch.uint8 else image.double()


@given(
    kind=st.sampled_from(CONTENTS),
    other=st.sampled_from(CONTENTS),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_farther_from_the_target_is_worse(
    metrics: dict[str, Metric], kind: str, other: str, dtype: torch.dtype, seed: int
) -> None:
    target, away = content(kind, 12, 17, seed), content(other, 12, 17, seed + 1)
    steps = torch.stack([stored(target + part * (away - target), dtype) for part in (0.0, 0.1, 0.3, 0.6, 1.0)])
    batch = Batch(steps, stored(target, dtype)[None].repeat(len(steps), 1, 1, 1))
    for name in ("charbonnier", "psnr"):
        (column,) = metrics[name].columns
        goodness = [column.goodness(score) for score in metrics[name].score(batch)[:, 0].tolist()]
        assert goodness == sorted(goodness, reverse=True), name


@given(stops=st.floats(0.25, 1.0), seed=st.integers(0, 99), dtype=st.sampled_from((torch.float32, torch.float64)))
def test_the_gain_that_was_taken_is_given_back(stops: float, seed: int, dtype: torch.dtype) -> None:
    target = content("noise", 9, 13, seed).to(dtype)[None]
    prediction = srgb_from_linear(linear_from_srgb(target) * stops)
    for name in ("gain", "channel-gain"):
        found = align(name, prediction, target)
        assert found.gain.flatten().tolist() == pytest.approx([1 / stops] * 3, rel=1e-5)
        torch.testing.assert_close(found.prediction, target, rtol=0, atol=1e-5)


@given(dtype=st.sampled_from((torch.uint8, torch.float32)), seed=st.integers(0, 99), shift=st.integers(1, 9))
def test_an_input_may_be_stored_otherwise(
    metrics: dict[str, Metric], dtype: torch.dtype, seed: int, shift: int
) -> None:
    """Levels as uint8, and the same as float: the diagnosis is that of the same picture."""
    prediction, target, input = (
        stored(content("noise", 24, 19, seed + i * shift), torch.uint8)[None] for i in range(3)
    )
    as_float = [image.float() / 255 for image in (prediction, target, input)]
    sides = (prediction, target) if dtype == torch.uint8 else as_float[:2]
    one, other = (
        metrics["diagnosis"].score(Batch(*sides, input=given)).nan_to_num(-99)[0].tolist()
        for given in (input, as_float[2])
    )
    assert one == pytest.approx(other, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_fast_is_exact_where_nothing_is_faster(device: str) -> None:
    assert {precision_on(device, asked) for asked in (None, *PRECISIONS)} == {"exact"}


@given(levels=st.integers(1, 300), seed=st.integers(0, 99), base=st.floats(0.05, 0.9))
def test_sixteen_bits_keep_their_digits(metrics: dict[str, Metric], levels: int, seed: int, base: float) -> None:
    """Pairs of 16-bit pictures that differ by a few levels of 65535, as float32: PSNR to 1e-3 dB of whole levels."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 65000, (1, 3, 24, 24))
    prediction = target + rng.integers(1, levels + 1, target.shape)
    expected = -10 * math.log10(np.mean(((prediction - target) / 65535) ** 2))
    planes = [torch.from_numpy((side / 65535).astype(np.float32)) for side in (prediction, target)]
    assert metrics["psnr"].score(Batch(*planes)).item() == pytest.approx(expected, abs=1e-3)
