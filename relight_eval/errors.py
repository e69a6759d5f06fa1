"""The errors that relight-eval raises on purpose.

Each message says what, where, what was expected and what to do. Anything else that is raised is a bug
(exit code 70). Only `cli` catches `RelightEvalError`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Protocol

from relight_eval.text import visible


class RelightEvalError(Exception):
    """Something that the user can mend; `str(error)` is the whole message."""


class UsageError(RelightEvalError):
    """A word of the call that cannot be understood: a metric, a wavelet, a setting out of its range."""


class PairingError(RelightEvalError):
    """The two folders cannot be paired: missing, empty, or two files with one name."""


class ImageError(RelightEvalError):
    """One image, or the two of a pair, cannot be scored faithfully; costs its row, never the run."""


class ShapeError(RelightEvalError, ValueError):
    """Tensors whose shapes do not fit, or that are too small for a metric."""


class WeightsError(RelightEvalError):
    """VGG19 weights that are missing, damaged, or not what their name claims."""


class NoWeightsError(WeightsError):
    """No VGG19 weights anywhere, and none to fetch: unlike a broken file, a default run goes on without them."""


class ResultsError(RelightEvalError):
    """Saved results that cannot be read, were damaged, or do not go together."""


class ReportError(RelightEvalError):
    """A report that could not be written."""


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say about an unknown word: the known words nearest to it, or some of them when none is near."""
    known = list(known)
    near = difflib.get_close_matches(word.lower(), known, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "known are " + ", ".join(known[:12]) + (", …" if len(known) > 12 else "")


def printable(text: str) -> str:
    r"""`text` as any UTF-8 file or terminal takes it: bytes of a name that are not UTF-8 become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class Named(Protocol):
    """A path, or an address of `places`."""

    def as_posix(self) -> str: ...


def shown(path: Named) -> str:
    """A path or an address as a message names it, on one line of any terminal."""
    return visible(printable(path.as_posix()))
