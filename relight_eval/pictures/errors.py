"""The maps of pairs as errors, at the pixels of their images, large or small."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.engines.local import alike, is_out_of_memory
from relight_eval.errors import printable
from relight_eval.metrics import Batch, Metric
from relight_eval.metrics.masks import inside
from relight_eval.metrics.metric import Map
from relight_eval.pictures.album import SidesOf, Size
from relight_eval.pictures.scales import Half
from relight_eval.pictures.threads import Once
from relight_eval.results import Column

LARGEST = float(np.finfo(np.float16).max)

# Where charbonnier is shown, this says the same again.
MSE = Column("mse", "psnr", "lower", 0.0, 1.0, 0.0, "squared difference, mean over the channels")


class Errors:
    """The maps of pairs as errors, and what each shows (`meanings`, in the order in which they came)."""

    def __init__(self, metrics: Sequence[Metric], device: torch.device) -> None:
        self.meanings: dict[str, str] = {}
        self.device = device
        self._metrics = [metric for metric in metrics if metric.maps is not None]
        own = {column.name: column for metric in metrics for column in metric.columns}
        self._columns = columns.known(own) | own | {MSE.name: MSE}
        self._without_mse = any(metric.name == "charbonnier" for metric in self._metrics)

    @torch.no_grad()
    def of(self, prediction: Tensor, target: Tensor, mask: Tensor | None) -> Iterator[tuple[str, Tensor]]:
        """Of a pair (3, H, W): the name of each map, and the error at each pixel, (H, W) float32, 0 and more.

        NaN where there is no value: beyond the first and last place, and outside of the mask (H, W).
        """
        height, width = target.shape[-2:]
        batch = Batch(*(side[None].to(self.device) for side in alike(prediction, target)))
        seen: set[str] = set()
        for metric in self._metrics:
            if metric.maps is None or min(height, width) < metric.min_side:
                continue
            for name, found in metric.maps(batch).items():
                if name not in seen and not (name == MSE.name and self._without_mse):
                    seen.add(name)
                    self.meanings.setdefault(name, _meaning(self._columns[name], found))
                    error = _error(self._columns[name], found, None if mask is None else mask.to(self.device))
                    yield name, at_pixels(error, found, (height, width))


def _error(column: Column, found: Map, mask: Tensor | None) -> Tensor:
    """How far each place is from the value of identical images: (h, w), NaN outside of the mask."""
    away = found.values[0].float() - column.identical
    error = (-away if column.better == "higher" else away).clamp(0, LARGEST).abs()  # abs: −0 is 0
    return error if mask is None else torch.where(inside(mask[None], found)[0], error, math.nan)


def _meaning(column: Column, found: Map) -> str:
    words = column.meaning
    if column.better == "higher":
        words = f"{column.identical:g} − {words}"
    elif column.identical:
        words = f"{words}, less {column.identical:g}"
    if found.halvings:
        words += f"; a value for {2**found.halvings}×{2**found.halvings} pixels"
    if found.origin > 0:
        words += f"; none within {found.origin << found.halvings} pixels of the border"
    return words


def at_pixels(values: Tensor, found: Map, size: Size) -> Tensor:
    """The value of its place for each pixel of an image of this size: (h, w) to (H, W), NaN where there is no place.

    `found` says where the places lie.
    """
    rows, across = ((torch.arange(side, device=values.device) >> found.halvings) - found.origin for side in size)
    last_row, last_column = values.shape[0] - 1, values.shape[1] - 1
    there = ((rows >= 0) & (rows <= last_row))[:, None] & ((across >= 0) & (across <= last_column))
    return torch.where(there, values[rows.clamp(0, last_row)][:, across.clamp(0, last_column)], math.nan)


def shrunk(pixels: Tensor, size: Size) -> Tensor:
    """The mean over the part of the image that each pixel of a smaller one covers: (H, W) to `size`.

    Places that are NaN count for nothing; NaN where there are no others.
    """
    if size == tuple(pixels.shape):
        return pixels
    down, across = (_overlaps(*sides).to(pixels.device) for sides in zip(size, pixels.shape, strict=True))
    total = down @ pixels.nan_to_num(0.0) @ across.T
    return total / (down @ (~pixels.isnan()).float() @ across.T)


def _overlaps(parts: int, pixels: int) -> Tensor:
    """How much of each pixel lies in each of as many equal parts of a row: (parts, pixels), 1 is `parts` times it."""
    part, pixel = torch.arange(parts)[:, None] * pixels, torch.arange(pixels) * parts
    return (torch.minimum(part + pixels, pixel + parts) - torch.maximum(part, pixel)).clamp(min=0).float()


def half_of(error: Tensor) -> Half:
    return error.half().cpu().numpy()


def all_errors(sides: SidesOf, errors: Errors, once: Once) -> Iterator[tuple[str, str, Tensor]]:
    """Label, name of the map, and (H, W), of every run; the rest of a run is left out where memory is short."""
    for label, prediction in sides.predictions.items():
        try:
            for name, error in errors.of(prediction, sides.target, sides.masks.get(label)):
                yield label, name, error
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            once.each([f"not all maps of {printable(sides.name)} are shown: they do not fit the memory of the device"])
