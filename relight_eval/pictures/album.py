"""The images of the runs: in which order they are looked at, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from relight_eval import images
from relight_eval.decoding import Reading, Readings
from relight_eval.decoding.reading import MAX_PIXELS
from relight_eval.engines.local import WAITING_PIXELS, alike, available_cpus, equal
from relight_eval.errors import ImageError, UsageError, printable, shown
from relight_eval.metrics.psnr import psnr
from relight_eval.places import Place, place
from relight_eval.results import Results, Row

Size = tuple[int, int]  # height, width

SAME_DB = 1e-3  # by which a PSNR may differ between machines


@dataclass
class SidesOf:
    """The images of one name, (3, H, W) uint8 or float32, as far as they can be read; `reasons` say why others cannot.

    Without a prediction there is nothing to look at. `masks` (H, W) bool are by run, like the predictions.
    """

    name: str
    target: Tensor = field(default_factory=lambda: torch.empty(3, 0, 0, dtype=torch.uint8))
    predictions: dict[str, Tensor] = field(default_factory=dict)
    input: Tensor | None = None
    masks: dict[str, Tensor] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    @property
    def size(self) -> Size:
        return self.target.shape[-2], self.target.shape[-1]


class Album:
    """The images of all runs, by name. Safe in threads."""

    def __init__(self, runs: Mapping[str, Results], workers: int | None) -> None:
        self._rows = {label: {row.name: row for row in results.rows} for label, results in runs.items()}
        self._readings = {label: Readings.of(results.signature.get("input", "")) for label, results in runs.items()}
        largest = max(((row.width or 1) * (row.height or 1) for run in runs.values() for row in run.rows), default=1)
        at_once = WAITING_PIXELS // (largest * max(1, len(runs)))
        self.ahead = max(1, min(workers or available_cpus(), at_once))  # names to read before they are asked for

    def read(self, name: str) -> SidesOf:
        found = SidesOf(name)
        for label, rows in self._rows.items():
            row = rows.get(name)
            if row is not None and row.prediction and row.target:
                try:
                    self._add(found, label, row)
                except ImageError as error:
                    found.reasons.append(f"{printable(name)} is not shown: {error}")
        if not found.predictions and not found.reasons:
            found.reasons.append(f"{printable(name)} is not shown: it has no prediction and target")
        return found

    def _add(self, found: SidesOf, label: str, row: Row) -> None:
        """Reads the images of a run."""
        readings = self._readings[label]
        source = _read(row.target, row, readings.target)
        target = source.pixels
        _check_unchanged(target, row)
        if found.predictions and not equal(target, found.target):
            raise ImageError(f"{shown(_place(row.target))}: not the target that the other runs have.")
        prediction = _beside(row.prediction, target, row, readings.prediction)
        _check_scored(prediction, source, row)
        mask = None
        if row.mask:
            mask = images.read_mask(_place(row.mask), _most(row)).inside
            images.check_same_size(mask, target, _place(row.mask), _place(row.target))
        found.target, found.predictions[label] = target, prediction.pixels
        if mask is not None:
            found.masks[label] = mask
        if row.input and found.input is None:
            try:
                found.input = _beside(row.input, target, row, readings.input).pixels
            except ImageError as error:  # which costs no more than the input
                found.reasons.append(f"the input of {printable(row.name)} is not shown: {error}")


def _read(path: str, row: Row, reading: Reading) -> images.Image:
    return images.read(_place(path), replace(reading, max_pixels=_most(row)))


def _place(path: str) -> Place:
    """Where saved results say that a file is. Raises ImageError where that cannot be read."""
    try:
        return place(path)
    except UsageError as error:
        raise ImageError(str(error)) from error


def _most(row: Row) -> int:
    """The limit of pixels: the size that was scored was within the one of that run."""
    return max(MAX_PIXELS, (row.width or 0) * (row.height or 0))


def _beside(path: str, target: Tensor, row: Row, reading: Reading) -> images.Image:
    """An image that has the size of the target."""
    found = _read(path, row, reading)
    images.check_same_size(found.pixels, target, _place(path), _place(row.target))
    return found


def _check_scored(prediction: images.Image, target: images.Image, row: Row) -> None:
    """Raises ImageError when these are not the images that were scored: other files, and with a PSNR another one.

    Results of old versions do not say which files they were; of files that differ, the PSNR tells whether pixels do.
    """
    known = {side: row.sha256.get(side) for side in ("prediction", "target")}
    if known == {"prediction": prediction.sha256, "target": target.sha256}:
        return
    path = shown(_place(row.prediction))
    if "psnr" in row.scores and not row.mask:
        then, now = row.scores["psnr"], psnr(*(side[None] for side in alike(prediction.pixels, target.pixels))).item()
        if then != now and not abs(then - now) <= SAME_DB:
            raise ImageError(
                f"{path} or its target is not what was scored (psnr {now:.4f}, then {then:.4f}); score it again."
            )
    elif any(known.values()):
        raise ImageError(f"{path} or its target is not the file that was scored; score it again.")


def _check_unchanged(target: Tensor, row: Row) -> None:
    """Raises ImageError when the target has another size than it had when it was scored."""
    height, width = target.shape[-2:]
    if row.width is not None and (row.width, row.height) != (width, height):
        then = f"was {row.width}x{row.height} when it was scored"
        raise ImageError(f"{shown(_place(row.target))} is {width}x{height} now, but {then}; score it again.")
