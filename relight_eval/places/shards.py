"""`out-{000..015}.tar`: the archives that one word names, as the shell and WebDataset read such words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from relight_eval.errors import UsageError, shown
from relight_eval.places import Place

MOST = 100_000  # archives of one word
_INNERMOST = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})(?:\.\.([0-9]{1,9}))?")


def shards(archive: Place) -> list[Place]:
    """The archives that `{000..015}` and `{train,val}` in the path stand for; else the archive itself.

    A local file that has such a name is that file. Raises UsageError for more than `MOST`.
    """
    if isinstance(archive, Path):
        return [archive] if archive.exists() else [Path(path) for path in _expanded(str(archive), archive)]
    return [replace(archive, path=path) for path in _expanded(archive.path, archive)]


def _expanded(path: str, archive: Place) -> list[str]:
    """One brace after the other, the first one first; those that are no list stay what they are."""
    found = next((brace for brace in _INNERMOST.finditer(path) if _alternatives(brace[1])), None)
    if found is None:
        return [path]
    expanded: list[str] = []
    for word in _alternatives(found[1]):
        expanded += _expanded(f"{path[: found.start()]}{word}{path[found.end() :]}", archive)
        if len(expanded) > MOST:
            raise UsageError(f"{shown(archive)} stands for more than {MOST} archives; name fewer.")
    return expanded


def _alternatives(inside: str) -> Sequence[str]:
    """What a brace stands for: of `a,b` both, of `000..015` all between, as long as the longer; else nothing."""
    span = _RANGE.fullmatch(inside)
    if span is None:
        return inside.split(",") if "," in inside else ()
    first, last, step = int(span[1]), int(span[2]), int(span[3] or 1) or 1
    padded = any(len(end) > 1 and end.startswith("0") for end in (span[1], span[2]))
    digits = max(len(span[1]), len(span[2])) if padded else 0
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    return [f"{number:0{digits}}" for number in numbers[: MOST + 1]]
