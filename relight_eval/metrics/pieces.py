"""Images in pieces: what a metric sums over an image, it sums over pieces that fit the cache, side by side.

On a CPU this is where the speed comes from: a piece of 2^17 values stays in the cache while the dozens of planes
that SSIM makes of it come and go, and pieces keep all processors busy whether the work is one image of 33 megapixels
or a thousand thumbnails. Elsewhere a batch is one piece, unless the memory is short. Memory is bounded by the pieces
being worked on, not by the image.

How an image is cut depends on its size alone, so its score does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import product
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

P = TypeVar("P")
R = TypeVar("R")

# Values of a plane that a piece holds on a CPU: 512 KiB as float32.
PIECE_VALUES = 2**17

_pool: ContextVar[Executor | None] = ContextVar("pool", default=None)
_piece_values: ContextVar[int | None] = ContextVar("piece_values", default=None)


@contextmanager
def resources(*, pool: Executor | None = None, piece_values: int | None = None) -> Iterator[None]:
    """What metrics may use inside: the threads of `pool`, and at most about `piece_values` values of a plane at once.

    Without a pool the calling thread does it all. The threads should have one thread of torch each: two libraries
    that both split the work fight for the processors.
    """
    granted: tuple[tuple[ContextVar[Any], object], ...] = ((_pool, pool), (_piece_values, piece_values))
    before = [(resource, resource.set(value)) for resource, value in granted]
    try:
        yield
    finally:
        for resource, token in before:
            resource.reset(token)


def each(function: Callable[[P], R], pieces: Iterable[P]) -> list[R]:
    """`function` of every piece, in order, in the threads of `resources`."""
    pool, values, todo = _pool.get(), _piece_values.get(), list(pieces)
    if pool is None or len(todo) == 1:
        return [function(piece) for piece in todo]

    def alone(piece: P) -> R:
        with resources(piece_values=values):  # no pool: a piece that waited for others could wait for itself
            return function(piece)

    return list(pool.map(alone, todo))


def piece_values(image: Tensor, usual: int = PIECE_VALUES) -> int | None:
    """How many values a piece of this image may hold; None: it stays whole."""
    if torch.compiler.is_compiling():  # which would unroll the pieces
        return None
    granted = _piece_values.get()
    if image.device.type != "cpu":
        return granted
    return min(granted or usual, usual)


def in_dtype(image: Tensor, dtype: torch.dtype) -> Tensor:
    """The image as floating point in `dtype`, in [0, 1] where it was uint8 in levels of 255.

    float64 is on the CPU where the device, Apple's Metal, has none.
    """
    if dtype == torch.float64 and image.device.type == "mps":
        image = image.cpu()
    return image.to(dtype) / white(image) if image.dtype == torch.uint8 else image.to(dtype)


def image_by_image(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """A function of each value of (N, …), on a CPU of one image after the other.

    There PyTorch rounds logarithms and powers of the last few values of a tensor otherwise than of those before, so
    that in one go an image's would depend on how many there are.
    """
    if values.device.type != "cpu" or len(values) == 1:
        return function(values)
    return torch.cat([function(one) for one in torch.split(values, 1)])


def white(image: Tensor) -> float:
    """The value that means 1: 255 where the image is stored as uint8."""
    return 255.0 if image.dtype == torch.uint8 else 1.0


def working_dtype(image: Tensor) -> torch.dtype:
    """What images are computed in: float32, or float64 where they are float64."""
    return torch.float32 if image.dtype == torch.uint8 else torch.promote_types(image.dtype, torch.float32)


def in_pieces(
    function: Callable[[Tensor, Tensor, int], R],
    prediction: Tensor,
    target: Tensor,
    *,
    halo: int = 0,
    align: int = 1,
) -> list[list[R]]:
    """`function(prediction, target, top)` of every piece of (N, C, H, W): for each group of images a list from top to
    bottom.

    A piece is (images, C, rows + 2·halo, W + 2·halo) in the working dtype, values as stored (see `white`): rows of
    one image, or several small images. Its first row inside the halo is row `top` of the image, a multiple of
    `align`. The halo holds the neighbouring rows, and zeros beyond the border of the image. Where nothing limits the
    pieces there is one.
    """
    count, _, height, width = prediction.shape
    at_once = piece_values(prediction)
    images, rows = count, height
    if at_once is not None:
        rows = min(height, max(at_once // width, 4 * halo, 8) // align * align)
        images = max(1, at_once // (height * width))

    def work(first: int, top: int) -> R:
        p, t = (_with_halo(side[first : first + images], top, top + rows, halo) for side in (prediction, target))
        return function(p, t, top)

    tops = range(0, height, rows)
    done = each(lambda at: work(*at), product(range(0, count, images), tops))
    return [done[i : i + len(tops)] for i in range(0, len(done), len(tops))]


def _with_halo(image: Tensor, top: int, bottom: int, halo: int) -> Tensor:
    height, width = image.shape[-2:]
    bottom = min(bottom, height)
    first, last = max(0, top - halo), min(height, bottom + halo)
    rows = image[..., first:last, :]
    if not halo:
        return rows.to(working_dtype(image))
    piece = rows.new_zeros((*rows.shape[:2], bottom - top + 2 * halo, width + 2 * halo), dtype=working_dtype(image))
    start = halo - (top - first)
    piece[..., start : start + last - first, halo : halo + width] = rows
    return piece


class Window(NamedTuple):
    """A part of an image."""

    rows: slice
    columns: slice

    def halved(self, times: int) -> Window:
        """The same part after the image was halved so often, an odd last row or column dropped each time."""
        return Window(*(slice(side.start >> times, side.stop >> times) for side in self))


class Tile(NamedTuple):
    """A piece of an image in both directions: `outer` is cut from the image, `inner` is what counts of the cut."""

    outer: Window
    inner: Window


def tiles(height: int, width: int, *, side: int, margin: int) -> Iterator[Tile]:
    """The image in tiles whose inner parts, at most side × side, cover every pixel once.

    Around its inner part a tile has `margin` pixels of the image, less where the image ends: what is computed of the
    inner part must not depend on more. With `side` and `margin` multiples of 4, tiles stay aligned when they are
    halved twice.
    """
    cuts = [
        [
            (slice(first, min(last + margin, size)), slice(start - first, last - first))
            for start in range(0, size, side)
            for first, last in [(max(start - margin, 0), min(start + side, size))]
        ]
        for size in (height, width)
    ]
    for (rows, inner_rows), (columns, inner_columns) in product(*cuts):
        yield Tile(Window(rows, columns), Window(inner_rows, inner_columns))


def total(values: Tensor) -> Tensor:
    """The sum of each image (N, C, H, W) as (N, 1), rows added up in float64.

    (float32 on Apple's Metal, which has no other. Whole images in float64 take three times as long.)
    """
    return values.sum(dim=-1).sum(dim=(1, 2), dtype=double(values))[:, None]


def double(values: Tensor) -> torch.dtype:
    """What sums are added up in: float64 where the device has it."""
    return torch.float32 if values.device.type == "mps" else torch.float64


def joined(pieces: list[list[Tensor]]) -> Tensor:
    """The rows (images, …, rows, W) of each piece that `in_pieces` gave, put together: (N, …, H, W)."""
    return torch.cat([torch.cat(of_image, dim=-2) for of_image in pieces])


def summed(pieces: list[list[Tensor]]) -> Tensor:
    """The (images, k) of each piece that `in_pieces` gave, added up for each image: (N, k)."""
    return torch.cat([torch.stack(of_image).sum(dim=0) for of_image in pieces])
