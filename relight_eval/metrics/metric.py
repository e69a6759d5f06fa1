"""What a metric is, and the batch of pairs that it reads.

A metric file holds its paper (the module docstring, printed by `relight-eval metrics NAME`), the pure function
that computes it, and its protocol; its columns are in `columns`. `metrics/__init__` holds the table of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from relight_eval.errors import ShapeError
from relight_eval.results import Column

T = TypeVar("T")


class Batch:
    """Pairs of one size: `prediction` and `target`, each (N, 3, H, W) sRGB, float in [0, 1] or uint8 as stored.

    Of `runs` pairs that follow each other the targets are one and the same. A metric need not mind; it may ask
    `by_target`, and compute what it needs of a target once. `input` is what was relit, like the target, but either of
    the two may be uint8 where the other is float; and `mask` what counts, (N, H, W) bool with something inside. None
    where there is none.
    """

    def __init__(
        self,
        prediction: Tensor,
        target: Tensor,
        *,
        runs: int = 1,
        input: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        require_same_shape(prediction, target)
        if input is not None:  # which may be stored in other levels
            require_same_shape(input, target, "input", one_range=False)
        self.prediction = prediction
        self.target = target
        self.runs = runs
        self.input = input
        self.mask = mask
        self._known: dict[object, object] = {}

    def once(self, function: Callable[[Tensor, Tensor], T]) -> T:
        """`function(prediction, target)`, computed at the first call only: what several metrics share."""
        if function not in self._known:
            self._known[function] = function(self.prediction, self.target)
        return self._known[function]  # type: ignore[return-value]

    def once_of(self, function: Callable[[Batch], T]) -> T:
        """The same of a function that minds the mask or the input."""
        if function not in self._known:
            self._known[function] = function(self)
        return self._known[function]  # type: ignore[return-value]

    def by_target(self) -> tuple[Tensor, Tensor]:
        """The predictions of each target, (N / runs, runs, 3, H, W), and the targets, (N / runs, 3, H, W)."""
        return torch.unflatten(self.prediction, 0, (-1, self.runs)), self.target[:: self.runs]


class Map(NamedTuple):
    """Where a value comes from: (N, h, w), float32, whose mean over all places is that value.

    A place stands for a block of 2^halvings × 2^halvings pixels of the image, an odd last row or column dropped at
    each halving, and the first place for the block `origin` places from the border. Its value depends on `reach`
    places more on each side: it lies inside a mask when all of these do. What lies beyond the border of the image
    counts as inside.
    """

    values: Tensor
    halvings: int = 0
    reach: int = 0
    origin: int = 0


@dataclass(frozen=True)
class Metric:
    """A metric that is ready to score: `score(batch)` gives (N, len(columns)), one row per pair.

    A row depends on its pair alone. `min_side` is the smallest height and width that the metric is defined
    for; smaller pairs are not passed to it. `maps(batch)` says by name where the values come from that `combined`
    makes the row of: so are the scores of masked pairs computed. None for a metric whose `score` minds the mask.
    """

    name: str
    columns: tuple[Column, ...]
    score: Callable[[Batch], Tensor]
    min_side: int = 1
    maps: Callable[[Batch], dict[str, Map]] | None = None
    combined: Callable[[Mapping[str, Tensor]], Tensor] | None = None


def require_same_shape(prediction: Tensor, target: Tensor, name: str = "prediction", *, one_range: bool = True) -> None:
    """Raises ShapeError unless both are (N, C, H, W) of one shape, not empty, and floating point or uint8.

    With `one_range`, both the one or both the other.
    """
    if prediction.shape != target.shape:
        raise ShapeError(
            f"{name} is {tuple(prediction.shape)} but target is {tuple(target.shape)}; both must have one shape"
        )
    if prediction.dim() != 4 or not prediction.numel():
        raise ShapeError(f"the images are {tuple(prediction.shape)}; they must be (N, C, H, W) and not empty")
    for image in (prediction, target):
        if not (image.is_floating_point() or image.dtype == torch.uint8):
            raise ShapeError(f"the images are {image.dtype}; they must be floating point in [0, 1], or uint8")
    if one_range and (prediction.dtype == torch.uint8) != (target.dtype == torch.uint8):
        raise ShapeError(f"prediction is {prediction.dtype} but target is {target.dtype}; 1 is 255 in one of them only")


def require_min_side(image: Tensor, side: int, what: str) -> None:
    """Raises ShapeError unless (N, C, H, W) is at least `side` high and wide, which `what` needs."""
    height, width = image.shape[-2:]
    if min(height, width) < side:
        raise ShapeError(f"{width}x{height} is too small for {what}: at least {side}x{side}")


@contextmanager
def full_float32() -> Iterator[None]:
    """Convolutions in full float32: on NVIDIA GPUs, PyTorch rounds them to TF32's ten bits by default."""
    cudnn: Any = torch.backends.cudnn
    # torch 2.9 and newer have a switch for each operator, and the old one raises where the new one was used
    settings, name, full = (
        (cudnn.conv, "fp32_precision", "ieee") if hasattr(cudnn, "conv") else (cudnn, "allow_tf32", False)
    )
    before = getattr(settings, name)
    setattr(settings, name, full)
    try:
        yield
    finally:
        setattr(settings, name, before)
