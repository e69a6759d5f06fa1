"""Charbonnier distance: a robust L1, the first term of the S3Net training loss.

Definition    mean over channels and pixels of sqrt(d² + ε²), with d =
              prediction − target in sRGB [0, 1].
Source        Yang, Chen, Kuo, "S3Net: A single stream structure for depth
              guided image relighting", CVPR Workshops 2021. The paper prints ε
              = 1e-6; its published code computes sqrt(d² + 1e-6), which is the
              same formula with ε = 1e-3. The default here is the code's;
              --charbonnier-eps sets another.
Range         ε to sqrt(1 + ε²), lower is better, ε for identical images (not
              0).
How to read   Nearly the mean absolute difference: 0.02 is an error of 5 of 255
              levels on average.
Traps         Dark images: an all-black prediction scores well where the target
              is mostly black. Values of another ε are not comparable: below an
              error of ε the square root turns into a square.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relight_eval import columns
from relight_eval.metrics.metric import Batch, Map, Metric, require_same_shape
from relight_eval.metrics.pieces import in_pieces, summed, total, white, working_dtype

EPS = 1e-3


def charbonnier(prediction: Tensor, target: Tensor, *, eps: float = EPS) -> Tensor:
    """Mean Charbonnier distance of each pair: sqrt(d² + eps²) over channels and pixels.

    Both: (N, C, H, W) sRGB, float in [0, 1] or uint8. Returns (N,); lower is better, eps for identical images.
    Raises ShapeError when the shapes differ. Source: Yang et al. 2021 (S3Net); eps as in its published code.
    """
    require_same_shape(prediction, target)
    floor = eps * white(prediction)

    def excess(p: Tensor, t: Tensor, top: int) -> Tensor:
        return total(_excess(p, t, floor))

    mean = summed(in_pieces(excess, prediction, target))[:, 0] / prediction[0].numel()
    return mean / white(prediction) + eps


def _excess(p: Tensor, t: Tensor, floor: float) -> Tensor:
    """sqrt(d² + floor²) over the floor: so that identical images give eps to the last digit."""
    return ((p - t).square() + floor**2).sqrt() - floor


@torch.no_grad()
def charbonnier_map(prediction: Tensor, target: Tensor, *, eps: float = EPS) -> Tensor:
    """Mean of sqrt(d² + eps²) over the channels of each pixel: (N, H, W) float32. Arguments as `charbonnier`."""
    require_same_shape(prediction, target)
    p, t = (image.to(working_dtype(image)) for image in (prediction, target))
    return (_excess(p, t, eps * white(prediction)).mean(dim=1) / white(prediction) + eps).float()


def protocol(eps: float) -> str:
    return f"eps={eps:g}"


def metric(eps: float) -> Metric:
    def score(batch: Batch) -> Tensor:
        return charbonnier(batch.prediction, batch.target, eps=eps)[:, None]

    def maps(batch: Batch) -> dict[str, Map]:
        return {"charbonnier": Map(charbonnier_map(batch.prediction, batch.target, eps=eps))}

    def combined(values: Mapping[str, Tensor]) -> Tensor:
        rounded = torch.tensor(eps, dtype=torch.float32).item()  # as the map has it: identical images give eps here too
        return (values["charbonnier"] - rounded + eps)[:, None]

    return Metric("charbonnier", columns.charbonnier(eps), score, maps=maps, combined=combined)
