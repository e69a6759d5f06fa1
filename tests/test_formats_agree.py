"""The same picture has the same scores whichever file it came in, and they are those of float64 computations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from relight_eval.evaluate import evaluate
from tests.decoding import deep
from tests.decoding.writers import SRGB_CURVE, icc, iccp, parametric, png
from tests.folders import picture, worse
from tests.metrics import references

Array = npt.NDArray[Any]
Write = Callable[[Array], bytes]

METRICS = ("charbonnier", "psnr", "ssim", "lpips", "wssim", "diagnosis")
P3 = icc(parametric(*SRGB_CURVE), "Display P3")


def light(levels: Array) -> Array:
    """IEC 61966-2-1."""
    value = levels / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def sixteen(levels: Array) -> Array:
    return levels.astype(np.uint16) * 257


LEVELS: dict[str, Write] = {
    "png8.png": lambda levels: png(levels, 8, 2),
    "png16.png": lambda levels: png(sixteen(levels), 16, 2),
    "tiff8.tif": deep.tiff,
    "tiff16.tif": lambda levels: deep.tiff(sixteen(levels)),
    "tiff_float.tif": lambda levels: deep.tiff((levels / 255).astype(np.float32)),
    "tiff_double.tif": lambda levels: deep.tiff(levels / 255),
    "npy_float.npy": lambda levels: deep.npy(light(levels).astype(np.float32)),
    "npy_double.npy": lambda levels: deep.npy(light(levels)),
    "exr.exr": lambda levels: deep.exr_rgb(light(levels).astype(np.float32)),
}
OF_P3: dict[str, Write] = {
    "png8.png": lambda levels: png(levels, 8, 2, before=[iccp(P3)]),
    "png16.png": lambda levels: png(sixteen(levels), 16, 2, before=[iccp(P3)]),
    "tiff8.tif": lambda levels: deep.tiff(levels, icc=P3),
    "tiff_double.tif": lambda levels: deep.tiff(levels / 255, icc=P3),
}
HALF: dict[str, Write] = {
    "npy_half.npy": deep.npy,
    "npy_double.npy": lambda scene: deep.npy(scene.astype(np.float64)),
    "exr_half.exr": deep.exr_rgb,
    "exr_float.exr": lambda scene: deep.exr_rgb(scene.astype(np.float32)),
}


def scores(root: Path, writers: Mapping[str, Write], prediction: Array, target: Array) -> dict[str, dict[str, float]]:
    """Of the pair in each of the files."""
    for side, array in (("prediction", prediction), ("target", target)):
        (root / side).mkdir()
        for name, write in writers.items():
            (root / side / name).write_bytes(write(array))
    results = evaluate(root / "prediction", root / "target", metrics=METRICS, device="cpu")
    assert not results.errors
    return {row.name: {name: score for name, score in row.scores.items() if score == score} for row in results.rows}


def check_near(found: Mapping[str, float], expected: Mapping[str, float]) -> None:
    for name, score in expected.items():
        within = 1e-3 if name == "psnr" else 3e-5 if name.startswith("detail") else 1e-5  # dB; squares of small steps
        assert found[name] == pytest.approx(score, abs=within), name


def check_references(found: Mapping[str, float], prediction: Array, target: Array) -> None:
    check_near(found, {name: getattr(references, name)(prediction, target) for name in METRICS[:4]})
    bands = references.wssim(prediction, target)
    check_near(found, {name: score for name, score in bands.items() if name != "loss"})


def test_levels_of_8_bits(tmp_path: Path) -> None:
    target = picture(1)
    prediction = worse(target, 9)
    found = scores(tmp_path, LEVELS, prediction, target)
    assert len(found) == len(LEVELS)
    assert found["tiff8"] == found["png8"]
    for of_file in found.values():
        check_near(of_file, found["png8"])
        check_references(of_file, prediction / 255, target / 255)


def test_colours_of_another_space(tmp_path: Path) -> None:
    target = picture(2)
    found = scores(tmp_path, OF_P3, worse(target, 9), target)
    assert len(found) == len(OF_P3)
    for of_file in found.values():
        check_near(of_file, found["tiff_double"])


def test_light_beyond_white(tmp_path: Path) -> None:
    target = (light(picture(3)) * np.geomspace(0.01, 50, 48)[:, None]).astype(np.float16)
    prediction = (target * 1.2 + 0.01).astype(np.float16)
    found = scores(tmp_path, HALF, prediction, target)
    assert len(found) == len(HALF)
    for of_file in found.values():
        assert of_file == found["npy_half"]
    check_references(found["npy_half"], *(deep.srgb_of(side) for side in (prediction, target)))
