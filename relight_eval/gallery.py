"""Pictures of a run, as a page shows them: encoded files by image. Plain values; `pictures` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Picture:
    """One image name, to be looked at: WebP files of one size, all sides alike.

    `predictions` and `maps` are by the label of the run, which is "" where there is only one. A map is grey, 8 bits:
    0 is the low end of its scale and 255 the high end (`Gallery.scales`); `maps` are by run, then by name of the map.
    """

    target: bytes
    predictions: Mapping[str, bytes]
    input: bytes | None = None
    maps: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """What a page embeds: large pictures with maps of some images, thumbnails of more, within a budget of bytes.

    `scales` say what the ends of a map's grey mean, fixed over the whole gallery: name -> (low, high), where more is
    worse. `meanings` say in words what a map shows. `pictures` and `thumbnails` are by name of the image; those that
    are small have neither input nor maps.
    """

    pictures: Mapping[str, Picture] = field(default_factory=dict)
    thumbnails: Mapping[str, Picture] = field(default_factory=dict)
    scales: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    meanings: Mapping[str, str] = field(default_factory=dict)
