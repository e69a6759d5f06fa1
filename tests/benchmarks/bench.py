"""Where the time of a run goes, in milliseconds for a pair: `make bench`.

Pairs are the sample images, resized. Each figure is the best of three; the whole run is a slope between two numbers of
pairs, so that start-up does not count. All figures of one table come from one process, so the ratios hold on a noisy
machine; the absolute times do not travel. VGG19 has seeded random weights: the time is that of the real ones.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from relight_eval.engines.local import available_cpus
from relight_eval.evaluate import evaluate
from relight_eval.images import read
from relight_eval.metrics import METRICS, Batch, Settings, build
from relight_eval.reports.console import plain_table
from relight_eval.weights import LAYERS, VGG19Weights

SAMPLES = Path(__file__).parents[2] / "sample_images"
SIZES = (256, 1024)
FEW, MANY = 2, 6
CPU = torch.device("cpu")


def random_weights() -> VGG19Weights:
    rng = np.random.default_rng(19)
    tensors = {}
    for layer in LAYERS:
        scale = (2 / (9 * layer.shape[1])) ** 0.5
        tensors[f"{layer.name}.weight"] = (rng.standard_normal(layer.shape) * scale).astype(np.float32)
        tensors[f"{layer.name}.bias"] = np.zeros(layer.shape[0], np.float32)
    return VGG19Weights(tensors, origin="random", sha256="0" * 64, official=False)


def make_pairs(root: Path, size: int, count: int) -> tuple[Path, Path]:
    for folder in ("prediction", "target"):
        (root / folder).mkdir(parents=True)
        for i, path in enumerate(sorted((SAMPLES / folder).iterdir())[:count]):
            with Image.open(path) as image:
                image.resize((size, size), Image.Resampling.BICUBIC).save(root / folder / f"{i}.png")
    return root / "prediction", root / "target"


def milliseconds(work: Callable[[], object]) -> float:
    """The best of three, after one that is not counted."""
    work()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def run_milliseconds(root: Path, size: int, settings: Settings) -> float:
    """The whole run for one pair more: decoding, batching and all metrics."""
    times = []
    for count in (FEW, MANY):
        folders = make_pairs(root / str(count), size, count)
        times.append(milliseconds(lambda folders=folders: evaluate(*folders, settings=settings, device="cpu")))
    return (times[1] - times[0]) / (MANY - FEW)


def main() -> None:
    settings = Settings(vgg19_weights=random_weights())
    table = plain_table(f"Milliseconds for a pair, CPU, {available_cpus()} processors, torch {torch.__version__}")
    table.add_column("stage")
    for size in SIZES:
        table.add_column(f"{size}x{size}", justify="right")
        table.add_column("/ decode", justify="right")
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        for size in SIZES:
            paths = [folder / "0.png" for folder in make_pairs(Path(name) / f"one{size}", size, 1)]
            prediction, target = (read(path).pixels[None] / 255 for path in paths)
            figures.setdefault("decode both", []).append(milliseconds(lambda p=paths: [read(path) for path in p]))
            for metric in build(METRICS, settings, CPU):
                work = lambda m=metric, p=prediction, t=target: m.score(Batch(p, t))  # noqa: E731
                figures.setdefault(metric.name, []).append(milliseconds(work))
            whole = run_milliseconds(Path(name) / f"run{size}", size, settings)
            figures.setdefault("the whole run", []).append(whole)
    for stage, times in figures.items():
        cells = [(f"{t:.1f}", f"{t / d:.1f}") for t, d in zip(times, figures["decode both"], strict=True)]
        table.add_row(stage, *(text for cell in cells for text in cell))
    Console().print(table)


if __name__ == "__main__":
    main()
