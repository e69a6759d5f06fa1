"""What a RUN of `gate` and `compare` is: saved results, or images that are still to be scored."""

from __future__ import annotations

import os
from pathlib import Path

from relight_eval.errors import UsageError, shown
from relight_eval.places import Place, is_folder, reason


def holds_images(run: Place) -> bool:
    """Whether it is a folder of predictions. Raises UsageError where an address does not tell."""
    if isinstance(run, Path):
        return os.path.isdir(run)  # unlike Path's, false for a name that is too long
    if is_named_as_saved(run):
        return False
    try:
        return is_folder(run)
    except OSError as error:
        why = "no such file or folder" if isinstance(error, FileNotFoundError) else reason(error)
        raise UsageError(f"{shown(run)}: {why}; a run is saved results or a folder of predictions") from error


def is_named_as_saved(run: Place) -> bool:
    """Whether it has the name of saved results."""
    return run.suffix.lower() in (".json", ".csv")
