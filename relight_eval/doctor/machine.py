"""What the machine has: devices, compiled kernels, folders to write to, a terminal that shows every name."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from relight_eval.doctor.check import Asked, Finding
from relight_eval.errors import UsageError

if TYPE_CHECKING:
    import torch

FREE_BYTES = 2**30  # less is soon full: reports with pictures, maps, the journal of a large set
NVIDIA = Path("/proc/driver/nvidia/version")  # is there where a driver is, whether or not torch can use it


def chosen(asked: Asked) -> list[torch.device]:
    """The devices to look at: the one that was asked for, or each kind that there is. UsageError when it is not."""
    from relight_eval.engines.local import pick_device, usable_devices

    return [pick_device(name) for name in ([asked.device] if asked.device else usable_devices())]


def usable(asked: Asked) -> list[torch.device]:
    """Those of `chosen`, none where the one that was asked for is not there: `devices` says so."""
    try:
        return chosen(asked)
    except UsageError:
        return []


def devices(asked: Asked) -> Iterator[Finding]:
    """One finding for each device, each made to add up four numbers; one for what keeps a GPU from being used."""
    from relight_eval.engines.local import pick_device

    try:
        found = chosen(asked)
    except UsageError as error:
        yield Finding("WRONG", f"{error}", "Name another with --device, or leave it out.")
        found = []
    for device in found:
        taken = "; --device auto takes it" if device == pick_device("auto") else ""
        if reason := _why_not_computing(device):
            advice = "Score with --device cpu. For a GPU: update its driver, and install a torch that supports it."
            yield Finding("WRONG", f"{_described(device)}: {reason}{taken}", advice)
        else:
            yield Finding("ok", f"{_described(device)}{taken}")
    if unused := _cuda_unused():
        yield Finding("WARN", *unused)


def _why_not_computing(device: torch.device) -> str:
    """Empty when it adds up."""
    import torch

    try:
        total = float(torch.tensor([1.0, 2.0, 3.0, 4.0]).to(device).sum())
    except RuntimeError as error:  # a GPU that this torch has no code for, one that has failed
        return _first_sentence(error)
    return "" if total == 10 else f"1 + 2 + 3 + 4 came out as {total:g}"


def _described(device: torch.device) -> str:
    import torch

    from relight_eval.engines.local import available_cpus

    if device.type == "cpu":
        return f"cpu: {available_cpus()} of {os.cpu_count()} processors are for this process"
    if device.type != "cuda":
        return f"{device}: {device.type.upper()}, built into torch {torch.__version__}"
    has = torch.cuda.get_device_properties(device)
    return (
        f"{device}: {torch.cuda.device_count()} there, {has.name}, {has.total_memory / 2**30:.0f} GiB, "
        f"compute capability {has.major}.{has.minor}, torch built for CUDA {torch.version.cuda}{_driver()}"
    )


def _driver() -> str:
    """`, NVIDIA driver 570.86.15`; empty where the system does not tell."""
    try:
        words = NVIDIA.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return ""
    version = next((word for word in words if word[0].isdigit() and "." in word), "")
    return f", NVIDIA driver {version}" if version else ""


def _cuda_unused() -> tuple[str, str] | None:
    """Why an NVIDIA GPU that seems to be there is not used, and what to do; None where there is nothing to say."""
    import torch

    if torch.cuda.is_available() or not NVIDIA.exists():
        return None
    if torch.version.cuda is None:
        return (
            f"an NVIDIA driver is here{_driver()}, but this torch is built without CUDA",
            "To score on the GPU, install the torch for CUDA that https://pytorch.org names.",
        )
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        reason = "torch does not say why"
    except Exception as error:
        reason = _first_sentence(error)
    return (
        f"CUDA cannot be used: {reason} (torch built for CUDA {torch.version.cuda}{_driver()})",
        "Update the NVIDIA driver, or install a torch built for an older CUDA; look at CUDA_VISIBLE_DEVICES.",
    )


def _first_sentence(error: Exception) -> str:
    """Of what may be a page for PyTorch's authors."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")


def kernels(asked: Asked) -> Iterator[Finding]:
    """frame-analytics': compiled, or the same in plain PyTorch, many times slower."""
    from relight_eval.metrics.native import frame_analytics

    with frame_analytics() as library:
        status = library.backend_status()
    kinds = {device.type for device in usable(asked)}
    advice = "Scores are the same, but take longer. "
    again = "Install frame-analytics again, from a wheel for this machine"
    if not status["available"]:
        mend = f"{again}; unset FA_NATIVE if it is set."
        yield Finding("WARN", f"no compiled kernels of frame-analytics: {status['error']}", advice + mend)
    elif "cuda" in kinds and not status["cuda"]:
        yield Finding("WARN", f"no CUDA kernels of frame-analytics: {status['cuda_error']}", f"{advice}{again}.")
    else:
        cuda = " and for CUDA" if status["cuda"] else ""
        yield Finding("ok", f"those of frame-analytics, compiled for {status['cpu_isa']}{cuda}")


def folders() -> Iterator[Finding]:
    """The one for temporary files, and the one where `score` writes unless told otherwise."""
    places = {"temporary files": Path(tempfile.gettempdir()), "this folder": _here()}
    advice = {"temporary files": "Set TMPDIR to another folder.", "this folder": "Go to another, or name one: --csv."}
    for name, folder in places.items():
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"relight-eval doctor")
        except OSError as error:
            said = f"{name}: nothing can be written to {folder} ({error.strerror})"
            yield Finding("WRONG" if name == "temporary files" else "WARN", said, advice[name])
            continue
        free = shutil.disk_usage(folder).free
        said = f"{name}: can be written, {free / 2**30:.1f} GiB free"
        if name == "temporary files" and os.environ.get("TMPDIR", str(folder)) != str(folder):
            yield Finding("WARN", f"{name}: go to {folder}, for nothing can be written to TMPDIR", advice[name])
        elif free >= FREE_BYTES:
            yield Finding("ok", said)
        else:
            yield Finding("WARN", said, f"Make room: a large set needs more. {advice[name]}")


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return Path()


def text() -> Iterator[Finding]:
    """Names of files hold any character, and tables hold arrows."""
    encodings = {"standard output": getattr(sys.stdout, "encoding", None), "file names": sys.getfilesystemencoding()}
    said = ", ".join(f"{name} {encoding or 'unknown'}" for name, encoding in encodings.items())
    if all((encoding or "").lower().replace("-", "") == "utf8" for encoding in encodings.values()):
        yield Finding("ok", said)
    else:
        advice = "What cannot be shown is printed as ?. Set PYTHONUTF8=1, or a UTF-8 locale such as LANG=C.UTF-8."
        yield Finding("WARN", said, advice)
