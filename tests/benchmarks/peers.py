"""The libraries that people would use for the same metric, each with the settings that make it the same metric.

Each entry takes one pair as two (1, 3, H, W) float32 tensors in [0, 1]. W-SSIM, Charbonnier and this VGG19 distance are
in none of them: there, the loop by hand is what people have. LPIPS they have, but each fetches AlexNet's weights, and a
benchmark fetches nothing: it is timed where torch's hub cache has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from tests.benchmarks.measure import MissingError

if TYPE_CHECKING:  # the names of the libraries are also read where torch is not to be imported
    from torch import Tensor

Score: TypeAlias = "Callable[[Tensor, Tensor], object]"

ALEXNET = "alexnet-owt-7be5be79.pth"


def torchmetrics_ssim() -> Score:
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    return lambda x, y: ssim(x, y, gaussian_kernel=True, sigma=1.5, kernel_size=11, data_range=1.0)


def torchmetrics_psnr() -> Score:
    from torchmetrics.functional.image import peak_signal_noise_ratio as psnr

    return lambda x, y: psnr(x, y, data_range=1.0)


def torchmetrics_lpips() -> Score:
    import torch
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as lpips

    if not os.path.exists(os.path.join(torch.hub.get_dir(), "checkpoints", ALEXNET)):
        raise MissingError("AlexNet's weights are not in torch's hub cache, and nothing is fetched here")
    return lambda x, y: lpips(x, y, net_type="alex", normalize=True)


def piq_ssim() -> Score:
    import piq

    return lambda x, y: piq.ssim(x, y, kernel_size=11, kernel_sigma=1.5, data_range=1.0, downsample=False)


def piq_psnr() -> Score:
    import piq

    return lambda x, y: piq.psnr(x, y, data_range=1.0)


def pytorch_msssim_ssim() -> Score:
    from pytorch_msssim import ssim

    return lambda x, y: ssim(x, y, data_range=1.0, win_size=11, win_sigma=1.5)


def _as_array(image: Tensor) -> object:
    return image[0].permute(1, 2, 0).contiguous().cpu().numpy()


def skimage_ssim() -> Score:
    from skimage.metrics import structural_similarity as ssim

    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return lambda x, y: ssim(_as_array(x), _as_array(y), channel_axis=-1, data_range=1.0, **wang)


def skimage_psnr() -> Score:
    from skimage.metrics import peak_signal_noise_ratio as psnr

    return lambda x, y: psnr(_as_array(y), _as_array(x), data_range=1.0)


PEERS: dict[str, dict[str, Callable[[], Score]]] = {
    "psnr": {"torchmetrics": torchmetrics_psnr, "piq": piq_psnr, "scikit-image": skimage_psnr},
    "ssim": {
        "torchmetrics": torchmetrics_ssim,
        "piq": piq_ssim,
        "pytorch-msssim": pytorch_msssim_ssim,
        "scikit-image": skimage_ssim,
    },
    "lpips": {"torchmetrics": torchmetrics_lpips},
}


def peer(metric: str, library: str) -> Score:
    """`library`'s function for `metric`. Raises MissingError when it is not installed."""
    try:
        return PEERS[metric][library]()
    except ModuleNotFoundError as error:
        raise MissingError(f"{error.name} is not installed") from error
