"""What is measured on: images, and VGG19 weights, in a temporary folder.

Sources are VIDIT's images, 1024×1024, where they lie in `shared/data` beside the checkout or in the folder that
RELIGHT_EVAL_BENCH_DATA names, and else the sample images, enlarged. Pairs are rolled and tinted copies of them; where a
set has more pairs than `unique`, the rest are further names of the same files, for nothing that is measured here
remembers a file that it has read.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from relight_eval import weights
from relight_eval.errors import NoWeightsError

ROOT = Path(__file__).parents[2]
VARIABLE = "RELIGHT_EVAL_BENCH_DATA"
SOURCE_SIDE = 1024
QUICK = 8  # by how much `--quick` makes every side shorter

Pixels = npt.NDArray[np.uint8]  # (H, W, 3)


@dataclass(frozen=True)
class Kind:
    """One set: its sides, how its files are stored, and how many of them are different."""

    height: int
    width: int
    suffix: str = ".png"
    mode: str = "RGB"
    unique: int = 512
    bright: bool = False  # every other pair as its negative: where float32 loses most


KINDS = {
    "large": Kind(1024, 1024, mode="RGBA", unique=12),  # as VIDIT has it, alpha 255 everywhere
    "medium": Kind(256, 256),
    "small": Kind(64, 64),
    "jpeg": Kind(1024, 1024, suffix=".jpg", unique=12),
    "8k": Kind(4320, 7680, unique=1),
    "accuracy": Kind(512, 512, unique=2, bright=True),
}


@dataclass(frozen=True)
class DataSet:
    """A set on the disk; `first` gives folders of as many pairs as are asked for."""

    name: str
    kind: Kind
    root: Path

    @property
    def title(self) -> str:
        return f"{self.kind.width}x{self.kind.height} {'PNG' if self.kind.suffix == '.png' else 'JPEG'}"

    def first(self, count: int) -> tuple[Path, Path]:
        """Folders `prediction` and `target` with the first `count` pairs, made when they are first asked for."""
        folders = tuple(self.root / str(count) / side for side in ("prediction", "target"))
        for folder in folders:
            if folder.is_dir():
                continue
            folder.mkdir(parents=True)
            for i in range(count):
                original = self.root / folder.name / f"{i % self.kind.unique:05d}{self.kind.suffix}"
                if not original.exists():
                    self._make(count)
                os.link(original, folder / f"{i:05d}{self.kind.suffix}")
        return folders[0], folders[1]

    def runs(self, count: int, runs: int) -> list[Path]:
        """Folders of predictions of so many runs for the targets of `first`: further names of one folder."""
        prediction, _ = self.first(count)
        folders = [prediction.with_name(f"run{k}") for k in range(runs)]
        for folder in folders:
            if not folder.is_symlink():
                folder.symlink_to(prediction.name)
        return folders

    def _make(self, count: int) -> None:
        """Write the first `count` pairs that are different, on all processors."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._make_pair, range(min(count, self.kind.unique))))

    def _make_pair(self, i: int) -> None:
        target = _cut(i, self.kind)
        for side, pixels in (("prediction", _relit(target, i)), ("target", target)):
            path = self.root / side / f"{i:05d}{self.kind.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            fast = {"compress_level": 1} if self.kind.height > 2 * SOURCE_SIDE else {}  # half a minute less for 8K
            options = {"quality": 92} if self.kind.suffix == ".jpg" else fast
            Image.fromarray(pixels).convert(self.kind.mode).save(path, **options)


def data_set(name: str, root: Path, *, quick: bool = False) -> DataSet:
    """The set of this name below `root`; nothing is written yet. `quick` makes its sides shorter, down to 32."""
    kind = KINDS[name]
    if quick:
        sides = (max(32, side // QUICK) for side in (kind.height, kind.width))
        kind = Kind(*sides, kind.suffix, kind.mode, kind.unique, kind.bright)
    return DataSet(name, kind, root / name)


def provide_weights(folder: Path) -> str:
    """Put VGG19 weights where every child finds them, and say which: those of this machine, else random ones."""
    try:
        found = weights.find(offline=True)
        note = f"VGG19 weights: {found.origin}"
    except NoWeightsError:
        rng = np.random.default_rng(19)
        tensors = {}
        for name, shape in weights.SHAPES.items():
            scale = (2 / (9 * shape[1])) ** 0.5 if len(shape) == 4 else 0.0
            tensors[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
        found = weights.VGG19Weights(tensors, "random", weights.tensors_sha256(tensors), official=False)
        note = "VGG19 weights: random (seed 19), for the real ones are not on this machine; the time is the same"
    path = folder / "vgg19.safetensors"
    weights.export(found, path)
    os.environ |= {weights.VARIABLE: str(path), weights.OFFLINE: "1"}
    return note


def source_note() -> str:
    """Where the images come from, for the printed report."""
    if vidit := _vidit():
        return f"{len(vidit)} VIDIT images"
    return f"the sample images, enlarged to {SOURCE_SIDE}x{SOURCE_SIDE} (no VIDIT images beside the checkout)"


def _vidit() -> list[Path]:
    folder = Path(os.environ.get(VARIABLE) or ROOT.parent / "shared" / "data")
    return sorted(folder.glob("*.png"))


@cache
def _sources() -> list[Pixels]:
    paths = _vidit() or sorted((ROOT / "sample_images" / "target").glob("*.png"))
    side = (SOURCE_SIDE, SOURCE_SIDE)
    return [np.asarray(Image.open(path).convert("RGB").resize(side, Image.Resampling.BICUBIC)) for path in paths]


def _cut(i: int, kind: Kind) -> Pixels:
    """The target of pair `i`: a source, rolled, and of that the centre, or copies side by side until it is filled."""
    sources = _sources()
    image = np.roll(sources[i % len(sources)], (97 * i, 61 * i), axis=(0, 1))
    down, right = -(-kind.height // SOURCE_SIDE), -(-kind.width // SOURCE_SIDE)
    top, left = (down * SOURCE_SIDE - kind.height) // 2, (right * SOURCE_SIDE - kind.width) // 2
    image = np.tile(image, (down, right, 1))[top : top + kind.height, left : left + kind.width]
    return 255 - image if kind.bright and i % 2 else image


def _relit(target: Pixels, i: int) -> Pixels:
    """A prediction for this target: another gain for each channel, and another contrast."""
    gain = 1 + 0.2 * np.sin(np.arange(3) + i)
    levels = 255 * (np.arange(256) / 255)[:, None] ** (0.9 + 0.05 * (i % 5)) * gain  # (256, 3)
    table = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return np.stack([table[target[..., c], c] for c in range(3)], axis=-1)
