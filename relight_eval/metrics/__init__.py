"""What is measured: METRICS, the table of all metrics, and the settings that a user may choose.

To add a metric: its columns in `columns`, a file beside this one, a row in METRICS, a test file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

import torch

from relight_eval import columns as described
from relight_eval.errors import UsageError, nearest
from relight_eval.metrics import charbonnier, lpips, mps, psnr, ssim, vgg19, wavelets, wssim
from relight_eval.metrics.metric import Batch, Metric
from relight_eval.results import Column
from relight_eval.weights import VGG19Weights

__all__ = [
    "METRICS", "PRECISIONS", "Batch", "Definition", "Metric", "Settings", "build", "chosen", "columns", "precision_on",
    "protocol",
]  # fmt: skip


# Precision -> how the signature calls it: what is not float32, and the relative error of a column that this costs.
# (Measured on photographs, 7e-4; 2e-3 on all but equal images, more where single pixels differ, then below 1e-7.)
PRECISIONS = {"exact": "exact", "fast": "fast,vgg19=fp16,error<=1e-3"}


@dataclass(frozen=True)
class Settings:
    """What a user may choose about the metrics; the defaults are the published ones.

    Raises UsageError for a value out of its range. `vgg19_weights` None means that there are none. `precision` is one
    of PRECISIONS; None means fast where that is faster, else exact: see `precision_on`.
    """

    charbonnier_eps: float = charbonnier.EPS
    wavelet: str = wssim.WAVELET
    wssim_levels: int = wssim.LEVELS
    wssim_ratio: float = wssim.RATIO
    vgg19_preset: str = "s3net"
    vgg19_weights: VGG19Weights | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.charbonnier_eps < 1:
            raise UsageError(f"charbonnier eps is {self.charbonnier_eps:g}; it must lie strictly between 0 and 1")
        if not 1 <= self.wssim_levels <= 8:
            raise UsageError(f"{self.wssim_levels} W-SSIM levels; it must be 1 to 8")
        if not 0 < self.wssim_ratio < 1:
            raise UsageError(f"the W-SSIM ratio is {self.wssim_ratio:g}; it must lie strictly between 0 and 1")
        if self.vgg19_preset not in vgg19.PRESETS:
            raise UsageError(f"unknown VGG19 preset {self.vgg19_preset!r}; {nearest(self.vgg19_preset, vgg19.PRESETS)}")
        if self.precision not in (None, *PRECISIONS):
            raise UsageError(f"unknown precision {self.precision!r}; {nearest(self.precision or '', PRECISIONS)}")
        wavelets.require_wavelet(self.wavelet)


@dataclass(frozen=True)
class Definition:
    """A row of METRICS. `paper` is the module whose docstring defines the metric; the rest is built of settings."""

    paper: ModuleType
    columns: Callable[[Settings], tuple[Column, ...]]
    protocol: Callable[[Settings], str]
    build: Callable[[Settings, torch.device], Metric]


def _vgg19(settings: Settings, device: torch.device) -> Metric:
    if settings.vgg19_weights is None:
        raise UsageError("vgg19 needs weights; see `relight-eval weights show`")
    half = precision_on(device.type, settings.precision) == "fast"
    return vgg19.metric(settings.vgg19_weights, settings.vgg19_preset, device, half=half)


METRICS: dict[str, Definition] = {
    "charbonnier": Definition(
        paper=charbonnier,
        columns=lambda s: described.charbonnier(s.charbonnier_eps),
        protocol=lambda s: charbonnier.protocol(s.charbonnier_eps),
        build=lambda s, device: charbonnier.metric(s.charbonnier_eps),
    ),
    "wssim": Definition(
        paper=wssim,
        columns=lambda s: described.wssim(s.wssim_levels),
        protocol=lambda s: wssim.protocol(s.wavelet, s.wssim_levels, s.wssim_ratio),
        build=lambda s, device: wssim.metric(s.wavelet, s.wssim_levels, s.wssim_ratio),
    ),
    "vgg19": Definition(
        paper=vgg19,
        columns=lambda s: described.vgg19(),
        protocol=lambda s: vgg19.protocol(s.vgg19_preset, s.vgg19_weights),
        build=_vgg19,
    ),
    "psnr": Definition(
        paper=psnr,
        columns=lambda s: described.psnr(),
        protocol=lambda s: psnr.protocol(),
        build=lambda s, device: psnr.metric(),
    ),
    "ssim": Definition(
        paper=ssim,
        columns=lambda s: described.ssim(),
        protocol=lambda s: ssim.protocol(),
        build=lambda s, device: ssim.metric(),
    ),
    "lpips": Definition(
        paper=lpips,
        columns=lambda s: described.lpips(),
        protocol=lambda s: lpips.protocol(),
        build=lambda s, device: lpips.metric(),
    ),
    "mps": Definition(
        paper=mps,
        columns=lambda s: described.mps(),
        protocol=lambda s: mps.protocol(),
        build=lambda s, device: mps.metric(),
    ),
}


def chosen(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """The metrics of these names in the order of METRICS, all of them for None; UsageError for an unknown name.

    `names` may be one text, as on the command line: "charbonnier,wssim".
    """
    if names is None:
        return tuple(METRICS)
    if isinstance(names, str):
        names = filter(None, (name.strip() for name in names.split(",")))
    asked = set(names)
    for name in sorted(asked - set(METRICS)):
        raise UsageError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    if not asked:
        raise UsageError(f"no metric was chosen; known are {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in asked)


def columns(names: Iterable[str], settings: Settings) -> tuple[Column, ...]:
    """The score columns of these metrics, in order."""
    return tuple(column for name in names for column in METRICS[name].columns(settings))


def protocol(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """What must be known of each metric to compare its values: the metrics' part of the signature."""
    return {name: METRICS[name].protocol(settings) for name in names}


def precision_on(device: str, precision: str | None) -> str:
    """The precision that scores have on a kind of device when this one is asked for.

    "exact" computes in float32. "fast", the default on CUDA, runs VGG19 in half precision. Elsewhere nothing that was
    measured is both faster than exact and within 1e-3 of it, so there fast is exact.
    """
    return "exact" if device != "cuda" else precision or "fast"


def build(names: Iterable[str], settings: Settings, device: torch.device) -> list[Metric]:
    """The metrics of these names, ready to score on `device`."""
    return [METRICS[name].build(settings, device) for name in names]
