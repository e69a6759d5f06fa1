"""The sample images: what is promised of them, and the scores that they must give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from relight_eval.evaluate import evaluate

ROOT = Path(__file__).parent.parent
SAMPLES = Path("sample_images")
METRICS = ["charbonnier", "wssim", "psnr", "ssim", "lpips", "mps"]


@pytest.fixture(scope="module")
def late() -> pd.DataFrame:
    """The scores of sample_images/prediction, with paths as from the root of the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        results = evaluate(SAMPLES / "prediction", SAMPLES / "target", metrics=METRICS, device="cpu")
    return results.to_frame()


def test_scores_are_the_expected_ones(late: pd.DataFrame) -> None:
    """expected.csv was written by `relight-eval score` (0.1.0, torch 2.14.1, CPU) on 2026-11-22."""
    expected = pd.read_csv(ROOT / SAMPLES / "expected.csv", keep_default_na=False)
    assert list(late.columns) == list(expected.columns)
    for column in expected.columns:
        if late[column].dtype == "float64":
            tolerance = 1e-3 if column == "psnr" else 1e-5
            np.testing.assert_allclose(late[column], expected[column], rtol=0, atol=tolerance, err_msg=column)
        else:
            assert list(late[column]) == list(expected[column]), column


def test_the_late_checkpoint_beats_the_early_one_on_every_image(late: pd.DataFrame) -> None:
    """The samples tell a good run from a bad one by every metric: what they are there for."""
    early = evaluate(ROOT / SAMPLES / "prediction_early", ROOT / SAMPLES / "target", metrics=METRICS, device="cpu")
    for column in early.columns:
        if column.name != column.metric:
            continue
        difference = late.set_index("image")[column.name] - pd.Series(early.values(column.name))
        assert ((difference > 0) if column.better == "higher" else (difference < 0)).all(), difference


def test_eight_or_more_scenes_of_384_in_every_folder_and_at_most_8_megabytes() -> None:
    stems = {
        folder: sorted(path.stem for path in (ROOT / SAMPLES / folder).iterdir())
        for folder in ("input", "target", "prediction", "prediction_early")
    }
    assert len(stems["target"]) >= 8
    assert all(names == stems["target"] for names in stems.values())
    for folder in stems:
        for path in (ROOT / SAMPLES / folder).iterdir():
            with Image.open(path) as image:
                assert (image.size, image.mode) == ((384, 384), "RGB"), path
    assert sum(path.stat().st_size for path in (ROOT / SAMPLES).rglob("*") if path.is_file()) <= 8_000_000
