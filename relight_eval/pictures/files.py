"""The maps as files, in folders that every file system takes."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from relight_eval.errors import ReportError, shown
from relight_eval.files import write_whole
from relight_eval.metrics import Metric
from relight_eval.pictures.album import Album
from relight_eval.pictures.encoded import map_png
from relight_eval.pictures.errors import Errors, all_errors, half_of
from relight_eval.pictures.scales import Half, Spread
from relight_eval.pictures.threads import Once, Progress, Tell, ahead, report, threads
from relight_eval.places import Place, reason
from relight_eval.places import write as write_at
from relight_eval.results import Results
from relight_eval.text import visible

LONGEST_PART = 180  # bytes of a folder's name; file systems take 255


def write_maps(
    runs: Mapping[str, Results],
    names: Sequence[str],
    metrics: Sequence[Metric],
    folder: Place,
    *,
    device: torch.device,
    workers: int | None = None,
    tell: Tell = lambda line: None,
    progress: Progress | None = None,
) -> list[Place]:
    """Write the maps of these images into `folder`, and return what was written, `scales.json` last.

    A map is `folder/<image name>/<map>.png`, with several runs `folder/<label>/<image name>/<map>.png`, as large as the
    image, in magma: a file of 256 colours whose number is the grey level, 255 the high end of the scale. What a file
    system may refuse in a name is replaced, and the name gets a `~` with its hash. `scales.json` has "low", "high" and
    "meaning" of every map. Arguments as for `gallery`, and what cannot be read is told in the same way. Raises
    ReportError when a file cannot be written; each is written whole or not at all.
    """
    album = Album(runs, workers)
    errors = Errors(metrics, device)
    once = Once(tell)
    places, labels, total = _places(names), _places(runs), 2 * len(names)
    spread = Spread()
    written: list[Place] = []
    with threads(workers, device) as pool:
        for done, sides in enumerate(ahead(pool, album.read, names, album.ahead), start=1):
            once.each(sides.reasons)
            for _, name, error in all_errors(sides, errors, once):
                spread.add(name, half_of(error))
            report(progress, "maps", done, total)
        highs = spread.highs()
        for done, sides in enumerate(ahead(pool, album.read, names, album.ahead), start=len(names) + 1):
            jobs = []
            for label, name, error in all_errors(sides, errors, once):
                if name in highs:  # else nothing of this kind could be read the first time
                    path = folder / labels[label] / places[sides.name] / f"{name}.png"
                    jobs.append(pool.submit(_write_png, path, half_of(error), highs[name]))
            written += [job.result() for job in jobs]
            report(progress, "maps", done, total)
    scales = {
        name: {"low": 0.0, "high": highs[name], "meaning": meaning}
        for name, meaning in errors.meanings.items()
        if name in highs
    }
    text = json.dumps(scales, indent=2, ensure_ascii=False) + "\n"
    return [*written, _write(folder / "scales.json", text.encode())]


def _write_png(path: Place, half: Half, high: float) -> Place:
    return _write(path, map_png(half, high))


def _write(path: Place, data: bytes) -> Place:
    try:
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data, lasting=False)  # there are thousands, and they can be made again
        else:
            write_at(path, data)
    except OSError as error:
        raise ReportError(f"cannot write {shown(path)}: {reason(error)}") from error
    return path


def _places(names: Iterable[str]) -> dict[str, str]:
    """A relative folder for each name, no two alike, that every file system takes."""
    plain = {name: "/".join(map(_part, name.split("/"))) if name else "" for name in names}
    alike = Counter(_alike(place) for place in plain.values())
    return {
        name: place if place == name and alike[_alike(place)] == 1 else f"{place}~{_hash(name)}"
        for name, place in plain.items()
    }


def _part(part: str) -> str:
    """One folder of a name: without what Windows refuses, what leads elsewhere, what is too long, and the suffixes of
    the files that are written here."""
    text = re.sub(r'[<>:"\\|?*\ufffd]', "_", visible(part))
    text = re.sub(r"\.(png|json)$", r"_\1", text, flags=re.IGNORECASE)
    if re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", text, re.IGNORECASE):
        text = f"_{text}"
    return text.encode()[:LONGEST_PART].decode(errors="ignore").rstrip(". ") or "_"


def _alike(place: str) -> str:
    """The same for names that a file system may take for one."""
    return unicodedata.normalize("NFC", place).casefold()


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
