"""Whether this machine can score, and scores right: CHECKS, the table of all checks.

Nothing is fetched, and nothing is kept. What a check needs is imported when it runs: a library that cannot be
imported is a finding like any other, and the other checks still run.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from relight_eval.doctor import machine, networks, program
from relight_eval.doctor.check import Asked, Check, Finding
from relight_eval.errors import RelightEvalError

__all__ = ["CHECKS", "Asked", "Check", "Finding", "run"]


def _formats() -> Iterator[Finding]:
    from relight_eval.doctor import decoders

    return decoders.formats()


def _colour_profiles() -> Iterator[Finding]:
    from relight_eval.doctor import decoders

    return decoders.colour_profiles()


def _child_process() -> Iterator[Finding]:
    from relight_eval.doctor import decoders

    return decoders.child_process()


def _known_pair(asked: Asked) -> Iterator[Finding]:
    from relight_eval.doctor import known_pair

    return known_pair.scored(asked)


CHECKS: dict[str, Callable[[Asked], Iterable[Finding]]] = {
    "relight-eval": lambda asked: program.relight_eval(),
    "Python": lambda asked: program.python(),
    "libraries": lambda asked: program.libraries(),
    "device": machine.devices,
    "kernels": machine.kernels,
    "LPIPS weights": lambda asked: networks.lpips_weights(),
    "VGG19 weights": networks.vgg19_weights,
    "child process": lambda asked: _child_process(),
    "formats": lambda asked: _formats(),
    "colour profiles": lambda asked: _colour_profiles(),
    "known pair": _known_pair,
    "folders": lambda asked: machine.folders(),
    "text": lambda asked: machine.text(),
}
_FAILED = "Install relight-eval again, in a fresh virtual environment; if this stays, report it with all lines."


def run(asked: Asked) -> Iterator[Check]:
    """The lines of the report, as they are found; a check that raises is WRONG, with the reason.

    Folders of the user's home are told as ~, for people paste this where others read it.
    """
    for name, check in CHECKS.items():
        for finding in _findings(check, asked):
            yield Check(name, finding.outcome, _without_home(finding.found), _without_home(finding.advice))


def _findings(check: Callable[[Asked], Iterable[Finding]], asked: Asked) -> list[Finding]:
    found: list[Finding] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries: what they mean for scores, the checks say
        try:
            found.extend(check(asked))  # what was found before it raised stays
        except Exception as error:
            kind = "" if isinstance(error, RelightEvalError) else f"{type(error).__name__}: "
            found.append(Finding("WRONG", f"{kind}{error}", _FAILED))
    return found


def _without_home(text: str) -> str:
    try:
        home = str(Path.home())
    except RuntimeError:  # this user has none
        return text
    return text.replace(home, "~") if len(home) > 1 else text
