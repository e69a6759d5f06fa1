"""Images that belong together, told from their names: all images of a scene, of a light direction, of a temperature."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from relight_eval.errors import UsageError
from relight_eval.text import some

UNNAMED = "group"  # the name of the only parenthesis of a pattern that names none


@dataclass(frozen=True)
class Grouping:
    """A pattern with named groups, each of which is one way to put the images into groups.

    The pattern is searched in the name of an image (its relative path without suffix). The images of one value of
    the *first* named group are not independent of each other: bootstrap and tests resample those groups.
    Raises UsageError for a pattern that is none, or has no group.
    """

    pattern: str

    def __post_init__(self) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):  # of what other versions of Python may make of it
                compiled = re.compile(self.pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f'--group "{self.pattern}" is no regular expression: {error}') from error
        if not compiled.groupindex and compiled.groups != 1:
            raise UsageError(
                f'--group "{self.pattern}" names no group; write one as (?P<scene>...), such as "(?P<scene>[^_]+)_"'
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The named groups, in the order in which they stand in the pattern."""
        return tuple(re.compile(self.pattern).groupindex) or (UNNAMED,)

    def require(self, images: Iterable[str]) -> None:
        """Raises UsageError unless every image has a value of every group: one in the wrong group would mislead."""
        names = list(images)
        outside = [image for image in names if None in self._values(image)]
        if outside:
            raise UsageError(
                f'--group "{self.pattern}" does not match {len(outside)} of {len(names)} images: {some(outside)}; '
                "every image must belong to a group"
            )

    def labels(self, name: str, images: Iterable[str]) -> dict[str, str]:
        """Of each image, the value of the group of this name."""
        position = self.names.index(name)
        return {image: self._values(image)[position] or "" for image in images}

    def units(self, images: Iterable[str]) -> list[str]:
        """Of each image, what is resampled with it: the value of the first group."""
        return [self._values(image)[0] or "" for image in images]

    def _values(self, image: str) -> list[str | None]:
        found = re.search(self.pattern, image)
        if found is None:
            return [None] * len(self.names)
        return [found[1]] if self.names == (UNNAMED,) and not found.re.groupindex else [found[n] for n in self.names]
