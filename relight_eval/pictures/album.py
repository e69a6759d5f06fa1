"""The images of the runs: in which order they are looked at, and reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from relight_eval import images
from relight_eval.engines.local import WAITING_PIXELS, available_cpus
from relight_eval.errors import ImageError, printable, shown
from relight_eval.metrics.psnr import psnr
from relight_eval.results import Results, Row

Size = tuple[int, int]  # height, width

SAME_DB = 1e-3  # by which a PSNR may differ between machines


@dataclass
class SidesOf:
    """The images of one name, (3, H, W) uint8, as far as they can be read; `reasons` say why others cannot.

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
        self._alpha = {label: _alpha(results) for label, results in runs.items()}
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
        target = images.read(Path(row.target), alpha=self._alpha[label]).pixels
        _check_unchanged(target, row)
        if found.predictions and not torch.equal(target, found.target):
            raise ImageError(f"{shown(Path(row.target))}: not the target that the other runs have.")
        prediction = self._beside(row.prediction, target, row, label)
        _check_scored(prediction, target, row)
        mask = None
        if row.mask:
            mask = images.read_mask(Path(row.mask))
            images.check_same_size(mask, target, Path(row.mask), Path(row.target))
        found.target, found.predictions[label] = target, prediction
        if mask is not None:
            found.masks[label] = mask
        if row.input and found.input is None:
            try:
                found.input = self._beside(row.input, target, row, label)
            except ImageError as error:  # which costs no more than the input
                found.reasons.append(f"the input of {printable(row.name)} is not shown: {error}")

    def _beside(self, path: str, target: Tensor, row: Row, label: str) -> Tensor:
        """An image that has the size of the target."""
        pixels = images.read(Path(path), alpha=self._alpha[label]).pixels
        images.check_same_size(pixels, target, Path(path), Path(row.target))
        return pixels


def _alpha(results: Results) -> images.Alpha:
    """How transparency was read when these were scored, as the signature says it."""
    for alpha in ("drop", "black", "white"):
        if f"alpha={alpha}" in results.signature.get("input", "").split(","):
            return alpha
    return "refuse"


def _check_scored(prediction: Tensor, target: Tensor, row: Row) -> None:
    """Raises ImageError when these are not the pixels that were scored, as far as a PSNR of the whole images tells."""
    if "psnr" not in row.scores or row.mask:
        return
    then, now = row.scores["psnr"], psnr(prediction[None], target[None]).item()
    if then != now and not abs(then - now) <= SAME_DB:
        path = shown(Path(row.prediction))
        raise ImageError(
            f"{path} or its target is not what was scored (psnr {now:.4f}, then {then:.4f}); score it again."
        )


def _check_unchanged(target: Tensor, row: Row) -> None:
    """Raises ImageError when the target has another size than it had when it was scored."""
    height, width = target.shape[-2:]
    if row.width is not None and (row.width, row.height) != (width, height):
        raise ImageError(
            f"{shown(Path(row.target))} is {width}x{height} now, but was {row.width}x{row.height} when it was scored; "
            "score it again."
        )
