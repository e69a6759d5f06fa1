"""What is measured: METRICS, the table of all metrics, and the settings that a user may choose.

To add a metric: its columns in `columns`, a file beside this one, a row in METRICS, a test file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from relight_eval import alignment
from relight_eval import columns as described
from relight_eval.errors import UsageError, nearest
from relight_eval.metrics import (
    aligned,
    charbonnier,
    diagnosis,
    lpips,
    mps,
    psnr,
    regions,
    ssim,
    vgg19,
    wavelets,
    wssim,
)
from relight_eval.metrics.metric import Batch, Metric
from relight_eval.results import Column
from relight_eval.weights import VGG19Weights

__all__ = [
    "METRICS", "PRECISIONS", "Batch", "Definition", "Metric", "Settings", "build", "chosen", "columns", "precision_on",
    "protocol", "settings_of",
]  # fmt: skip


# Precision -> how the signature calls it: what is not float32, and the relative error of a column that this costs.
# (Measured on photographs, 7e-4; 2e-3 on all but equal images, more where single pixels differ, then below 1e-7.)
PRECISIONS = {"exact": "exact", "fast": "fast,vgg19=fp16,error<=1e-3"}


@dataclass(frozen=True)
class Settings:
    """What a user may choose about the metrics; the defaults are the published ones.

    Raises UsageError for a value out of its range. `vgg19_weights` None means that there are none. `precision` is one
    of PRECISIONS; None means fast where that is faster, else exact: see `precision_on`. `input`: the pairs have an
    input, and the diagnosis tells of it. With `align`, one of ALIGNMENTS, and with `regions`, there are further columns
    for the metrics that are chosen.
    """

    charbonnier_eps: float = charbonnier.EPS
    wavelet: str = wssim.WAVELET
    wssim_levels: int = wssim.LEVELS
    wssim_ratio: float = wssim.RATIO
    vgg19_preset: str = "s3net"
    vgg19_weights: VGG19Weights | None = None
    precision: str | None = None
    input: bool = False
    align: str | None = None
    regions: bool = False

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
        if self.align is not None:
            alignment.protocol(self.align)
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
    "diagnosis": Definition(
        paper=diagnosis,
        columns=lambda s: described.diagnosis(s.input),
        protocol=lambda s: diagnosis.protocol(),
        build=lambda s, device: diagnosis.metric(s.input),
    ),
}
NOT_ALIGNED = ("diagnosis",)  # it says what an alignment takes away


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
    """The score columns of these metrics, in order; then those of aligned predictions, then those of regions."""
    of_metrics = {name: METRICS[name].columns(settings) for name in names}
    found = [column for columns in of_metrics.values() for column in columns]
    if settings.align:
        found += aligned.fitted_columns(settings.align)
        found += [described.aligned(columns[0]) for name, columns in of_metrics.items() if name not in NOT_ALIGNED]
    if settings.regions:
        for name in _regional(of_metrics):
            found += described.regional(of_metrics[name][0])
    return tuple(found)


def protocol(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """What must be known of each metric to compare its values: the metrics' part of the signature."""
    found = {name: METRICS[name].protocol(settings) for name in names}
    if settings.align:
        found["align"] = alignment.protocol(settings.align)
    if settings.regions:
        found["regions"] = regions.protocol()
    return found


def settings_of(signature: Mapping[str, str], columns: Iterable[str]) -> Settings:
    """The settings that wrote this signature, as far as it tells; where there is none, as far as the columns tell.

    Whether they did, `protocol` says: what cannot be read stands at its default.
    """
    levels = re.findall(r"\bwssim_ll([1-8])\b", " ".join(columns))
    found: dict[str, Any] = {"wssim_levels": int(levels[0])} if levels else {}
    if match := re.fullmatch(r"eps=(0\.\d+|\d(?:\.\d+)?e-\d+)", signature.get("charbonnier", "")):
        found["charbonnier_eps"] = float(match[1])
    if match := re.match(r"ynet,([\w.]+),.*\br=(0\.\d+)", signature.get("wssim", "")):
        found |= {"wavelet": match[1], "wssim_ratio": float(match[2])}
    if (preset := signature.get("vgg19", "").partition(",")[0]) in vgg19.PRESETS:
        found["vgg19_preset"] = preset
    try:
        return Settings(**found)
    except UsageError:  # no program wrote that
        return Settings()


def _regional(names: Iterable[str]) -> list[str]:
    """Of these metrics those that are told by region. Raises UsageError where there is none."""
    found = [name for name in names if name in described.REGIONAL]
    if not found:
        raise UsageError(f"--regions tells {', '.join(described.REGIONAL)} by region; choose one of them with -m")
    return found


def precision_on(device: str, precision: str | None) -> str:
    """The precision that scores have on a kind of device when this one is asked for.

    "exact" computes in float32. "fast", the default on CUDA, runs VGG19 in half precision. Elsewhere nothing that was
    measured is both faster than exact and within 1e-3 of it, so there fast is exact.
    """
    return "exact" if device != "cuda" else precision or "fast"


def build(names: Iterable[str], settings: Settings, device: torch.device) -> list[Metric]:
    """The metrics of these names, ready to score on `device`; then those of `columns`, in that order."""
    metrics = [METRICS[name].build(settings, device) for name in names]
    found = list(metrics)
    if settings.align:
        found += aligned.metrics(settings.align, [metric for metric in metrics if metric.name not in NOT_ALIGNED])
    if settings.regions:
        found.append(regions.metric(metrics))
    return found
