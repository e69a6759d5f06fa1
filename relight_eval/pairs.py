"""Two folders -> pairs of files, and the files that have no partner.

Files are paired by name: the path below the folder, without its last suffix, case kept. Never by order: one
missing file and one extra file would then pair every image between them with its neighbour, and score it.
"""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
import stat
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from relight_eval import places
from relight_eval.errors import PairingError, UsageError, printable, shown
from relight_eval.packing import Common, Small, around
from relight_eval.places import Address, Place
from relight_eval.text import visible

# Those of the last line cannot be read yet: they are paired all the same, so that they become rows with a reason.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
    *(".exr", ".hdr", ".npy"),
    *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pnm", ".tga"),
)
# An array is an image only where no other image of the folder has its name: VIDIT keeps depth maps beside the images.
ARRAY_SUFFIX = ".npy"

MOST_VISITS = 10_000  # of one folder under different names, by links
COMMON_WORDS = 4  # of those at an end of the names, how many a hint looks at

DIGITS = re.compile("[0-9]+")
FIRST_WORD = re.compile(r"(?<![^/])[^/_\-. ]+[_\-. ]+(?=[^/]+$)")  # `gt_` of gt_image_0000
LAST_WORD = re.compile(r"(?<=[^/])[_\-. ]+[^/_\-. ]+$")  # `_pred` of 001_pred

Side = Literal["prediction", "target"]
P = TypeVar("P", bound=Place | None)


class Placed(Common[P]):
    """A place whose path has the `name` of its pair in it: what stands around that is common."""

    def packed(self, one: Any, value: P) -> Any:
        parts = around(value.path if isinstance(value, Address) else str(value), one.name)
        if len(parts) == 1:
            return value
        return (value.head, *parts, value.tail) if isinstance(value, Address) else parts

    def unpacked(self, one: Any, kept: Any) -> P:
        if not isinstance(kept, tuple):
            return kept  # type: ignore[no-any-return]
        if len(kept) == 2:
            return Path(one.name.join(kept))  # type: ignore[return-value]
        head, *parts, tail = kept
        return Address(head, one.name.join(parts), tail)  # type: ignore[return-value]


@dataclass(frozen=True, eq=False)
class Pair(Small):
    """A prediction and the target of the same name, and where there are such folders, its input and its mask.

    With a `floor` the prediction is no file but made of the target: a trivial one, to see what that would score.
    """

    __slots__ = ("name",)

    name: str
    prediction: Placed[Place] = Placed()
    target: Placed[Place] = Placed()
    input: Placed[Place | None] = Placed(None)
    mask: Placed[Place | None] = Placed(None)
    floor: Common[str] = Common("")


@dataclass(frozen=True)
class Unpaired:
    """A file without a partner; `missing` is the side where the partner should be."""

    name: str
    path: Place
    missing: Side


@dataclass(frozen=True)
class Pairing:
    """What was found in the two folders, everything in natural order of the names.

    `ignored` counts what was passed over in both folders together: files that are no images by suffix, arrays
    beside an image of their name, and everything hidden (a hidden folder counts once, it is not entered). Files
    that `--glob` left out are not in it.
    """

    prediction: Place
    target: Place
    pairs: tuple[Pair, ...]
    unpaired: tuple[Unpaired, ...] = ()
    ignored: int = 0

    def without(self, side: Side) -> tuple[Unpaired, ...]:
        """The files whose partner on `side` is missing."""
        return tuple(file for file in self.unpaired if file.missing == side)


@dataclass(frozen=True)
class _Folder:
    """One folder's images: name -> suffix. `images` counts them before `--glob`, and `example` is one of them.

    (Of a name that is not as the folder has it, for that is no text, the path below the folder takes the suffix's
    place. Paths are made when they are wanted: there may be a million.)
    """

    path: Place
    files: Mapping[str, str]
    images: int
    ignored: int
    example: str

    def __str__(self) -> str:
        return shown(self.path)

    def file(self, name: str) -> Place:
        found = self.files[name]
        return self.path / (name + found if found.startswith(".") else found)


def find(prediction: Place, target: Place, *, glob: str | None = None) -> Pairing:
    """The pairs of two folders, or the one pair of two files.

    `glob` keeps only the files whose path below the folder (with suffix, `/` between folders) matches, in
    both folders; `*` crosses `/` and case counts. Raises PairingError when a folder is missing or cannot be
    read, when it holds no image, when two of its images have one name, and when no name is in both.
    """
    files = [path for path in (prediction, target) if _is_file(path)]
    if len(files) == 1:
        (folder,) = {prediction, target}.difference(files)
        both = f"{shown(files[0])} is a file but {shown(folder)} is a folder"
        raise PairingError(f"{both}; give two folders or two files.")
    if files and glob is not None:
        raise PairingError(f'--glob "{glob}" chooses among the files of a folder; leave it out for two files.')
    if files:
        return Pairing(prediction, target, (Pair(printable(prediction.stem), prediction, target),))
    return _paired(_folder(prediction, glob), _folder(target, glob))


def beside(path: Place, pairing: Pairing) -> dict[str, Place]:
    """The image of each pair in one more folder, or file where the pair is one of files; lacking ones are left out.

    Raises PairingError as `find` does, and when not a single pair has one.
    """
    if _is_file(path) != _is_file(pairing.target):
        both = f"{shown(path)} and {shown(pairing.target)}"
        raise PairingError(f"{both} must both be folders, or both files.")
    names = [pair.name for pair in pairing.pairs]
    if _is_file(path):
        return dict.fromkeys(names, path)
    folder = _folder(path, None)
    found = {name: folder.file(name) for name in names if name in folder.files}
    if not found:
        has = f"{folder} has {_some(sorted(folder.files, key=natural_key), 2)}"
        raise PairingError(f"no name in common: {has}, but the pairs are {_some(names, 2)}.")
    return found


def part_of(word: str) -> tuple[int, int]:
    """Which part of how many: (3, 16) of `3/16`. Raises UsageError for a word that names no part."""
    found = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", word)
    index, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= of:
        raise UsageError(f"--shard {word}: is no part; write K/N, such as 3/16, where K is 1 to N")
    return index, of


def part(pairing: Pairing, index: int, of: int) -> Pairing:
    """The `index`-th, from 1, `of` so many parts, which together are the whole, each pair and each file in one of them.

    No part has more than one pair more than another. Raises UsageError where there are fewer pairs than parts.
    """
    if of > len(pairing.pairs):
        there = len(pairing.pairs)
        raise UsageError(f"--shard K/{of}: there is not a pair for every part; of {there}, make {there} parts at most")
    # Every N-th of the names, no stretch of them: names that follow each other are often of one scene and one size, and
    # a stretch of large images would take longer than all other parts. It costs nothing: files are read one by one.
    taken = slice(index - 1, None, of)
    return replace(pairing, pairs=pairing.pairs[taken], unpaired=pairing.unpaired[taken])


def unpaired_message(pairing: Pairing) -> str:
    """What had no partner, and where it was looked for; empty when every file has a partner."""
    sides: tuple[tuple[Side, str, Place], ...] = (
        ("target", "predictions", pairing.target),
        ("prediction", "targets", pairing.prediction),
    )
    found = []
    for missing, kind, looked_in in sides:
        names = [file.name for file in pairing.without(missing)]
        if names:
            count = f"{len(names)} of {len(names) + len(pairing.pairs)} {kind}"
            found.append(f"no partner for {count}: {_some(names, 5)} (looked in {shown(looked_in)}/)")
    return "; ".join(found)


def natural_key(name: str) -> tuple[str, str]:
    """Sort key under which `img2` comes before `img10` and the files of a folder stay together.

    Upper and lower case sort alike. The order is total: only equal names have equal keys.
    """
    # One text, as texts are compared fastest: what ends a folder's name is less than what begins a number, and that
    # is less than any letter. A number begins with how many digits it has.
    return (DIGITS.sub(_number_key, name.casefold().replace("/", "\0")), name)


def _number_key(digits: re.Match[str]) -> str:
    number = digits[0].lstrip("0")
    return f"\1{chr(min(len(number), 0xFFFF))}{number}"


def _paired(prediction: _Folder, target: _Folder) -> Pairing:
    pairs: list[Pair] = []
    unpaired: list[Unpaired] = []
    for name in sorted({*prediction.files, *target.files}, key=natural_key):
        if name not in target.files:
            unpaired.append(Unpaired(name, prediction.file(name), missing="target"))
        elif name not in prediction.files:
            unpaired.append(Unpaired(name, target.file(name), missing="prediction"))
        else:
            pairs.append(Pair(name, prediction.file(name), target.file(name)))
    if not pairs:
        raise PairingError(_nothing_in_common(prediction, target))
    ignored = prediction.ignored + target.ignored
    return Pairing(prediction.path, target.path, tuple(pairs), tuple(unpaired), ignored)


# Reading a folder


def _folder(path: Place, glob: str | None) -> _Folder:
    files: dict[str, str] = {}
    arrays: dict[str, str] = {}
    twins: list[tuple[str, str]] = []  # two files with one name
    images = ignored = 0
    example = ""
    for relative in _walk(path):
        name, suffix = _image_name(relative)
        if not name:
            ignored += 1
            continue
        images += 1
        example = min(example or relative, relative)
        if glob is not None and not fnmatch.fnmatchcase(relative, glob):
            continue
        alike = arrays if suffix == ARRAY_SUFFIX else files
        if name in alike:
            twins.append((f"{name}.{alike[name].rpartition('.')[2]}", printable(relative)))
        alike[name] = sys.intern(relative[len(name) :]) if relative.startswith(name) else relative
    if twins:
        raise PairingError(_twins_message(path, twins))
    ignored += len(arrays.keys() & files.keys())
    folder = _Folder(path, arrays | files, images, ignored, printable(example))
    if not folder.files:
        raise PairingError(_no_image_message(folder, glob))
    return folder


def _walk(root: Place) -> Iterator[str]:
    """Relative POSIX path of every file under `root`; "" stands for something hidden."""
    if isinstance(root, Path):
        yield from _walk_here(root)
        return
    with _readable(root):
        yield from places.walk(root)


def _walk_here(root: Path) -> Iterator[str]:
    """Of a folder on this machine.

    Links to folders are followed, except to a folder that the path has already come through: two names of
    one folder are both walked, and a loop ends.
    """
    waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]
    visits: Counter[tuple[int, int]] = Counter()
    while waiting:
        below, ancestors = waiting.pop()
        folder = root / below
        with _readable(folder):
            status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in ancestors:
            continue
        visits[here] += 1
        if visits[here] > MOST_VISITS:  # folders full of links to each other, which no walk would come to an end of
            raise PairingError(f"{shown(folder)}: links lead to this folder in more than {MOST_VISITS} ways.")
        with _readable(folder), os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        folders = []
        for entry in entries:
            relative = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith("."):
                yield ""
            elif _is_folder(entry):
                folders.append((relative, (*ancestors, here)))
            else:  # a broken link too: its row will say so
                yield relative
        waiting += reversed(folders)


@contextmanager
def _readable(folder: Place) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Leaving the folder out would leave its images out of the mean.
        raise PairingError(f"{shown(folder)}: the folder cannot be read ({error.strerror or error}).") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _image_name(relative: str) -> tuple[str, str]:
    """The name that a file is paired by, and its suffix in lower case; both empty when it is no image by its suffix."""
    stem, dot, suffix = relative.rpartition(".")
    suffix = dot + suffix.lower()
    return (printable(stem), suffix) if suffix in IMAGE_SUFFIXES else ("", "")


def _is_file(path: Place) -> bool:
    """Whether an argument is a file rather than a folder; whether it holds an image is seen on reading."""
    try:
        if isinstance(path, Address):
            return not places.is_folder(path)
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise PairingError(_missing_message(path)) from None
    except OSError as error:
        raise PairingError(f"{shown(path)}: cannot be read ({error.strerror or error}).") from error


# Messages


def _some(names: list[str], limit: int) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _missing_message(path: Place) -> str:
    """Says which part of `path` is missing, and the existing name that looks most like it."""
    kind = "file" if path.suffix.lower() in IMAGE_SUFFIXES else "folder"
    if isinstance(path, Address) and path.archive is not None and not _is_there(replace(path, path="")):
        path, kind = path.archive, "archive"
    gone = next((part for part in (path, *path.parents) if _is_there(part.parent)), path)
    message = f"{shown(path)}: no such {kind}"
    if gone != path:
        message += f" (there is no {shown(gone)})"
    near = difflib.get_close_matches(gone.name, _beside(gone), n=1)
    return message + (f"; did you mean {shown(gone.parent / near[0])}?" if near else ".")


def _is_there(folder: Place) -> bool:
    try:
        return folder.is_dir() if isinstance(folder, Path) else places.is_root(folder) or places.is_folder(folder)
    except OSError:
        return False


def _beside(path: Place) -> list[str]:
    """The names beside it, some of very many; none where nobody can say."""
    if isinstance(path, Address):
        return places.near(path)
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def _twins_message(path: Place, twins: list[tuple[str, str]]) -> str:
    first, second = map(visible, twins[0])
    more = f" (and {len(twins) - 1} more such)" if len(twins) > 1 else ""
    if first == second:
        return f"{shown(path)}: {first} is in more than one of these archives{more}; keep one of them."
    return (
        f"{shown(path)}: {first} and {second} have one name{more}; images are paired by path without "
        "suffix. Keep one of them, or choose with --glob (of predictions and targets)."
    )


def _no_image_message(folder: _Folder, glob: str | None) -> str:
    if folder.images:
        return (
            f'{folder}: none of its {folder.images} images matches --glob "{glob}"; the pattern is compared '
            f"with the path below the folder, such as {folder.example}."
        )
    others = f" among its {folder.ignored} files" if folder.ignored else ", the folder is empty"
    return f"{folder}: no image{others}. Images are files that end in {' '.join(IMAGE_SUFFIXES)}."


def _nothing_in_common(prediction: _Folder, target: _Folder) -> str:
    sides = (f"{folder} has {_some(sorted(folder.files, key=natural_key), 2)}" for folder in (prediction, target))
    rule = "Images are paired by their path below the folder, without suffix."
    return f"no name in common: {' but '.join(sides)}. {rule}{_hint(prediction, target)}"


def _hint(prediction: _Folder, target: _Folder) -> str:
    """Why the two have no name in common, where that is plain; else empty."""
    ours, theirs = set(prediction.files), set(target.files)
    if {name.casefold() for name in ours} & {name.casefold() for name in theirs}:
        return " They differ in upper and lower case: rename one side."
    if {unicodedata.normalize("NFC", name) for name in ours} & {unicodedata.normalize("NFC", name) for name in theirs}:
        return " They look alike, but their accents are written in two ways (Unicode NFC and NFD): rename one side."
    for folder, other in ((prediction, target), (target, prediction)):
        if level := _level_more(folder, other):
            return f" {folder} has a folder level more: {shown(folder.path / level)} would fit in its place."
    if words := _words_more(ours, theirs):
        return words
    if below := _both_levels_more(prediction, target):
        return below
    if {name.rpartition("/")[2] for name in ours} & {name.rpartition("/")[2] for name in theirs}:
        return " Some file names agree, but not the folders they are in."
    return ""


def _both_levels_more(prediction: _Folder, target: _Folder) -> str:
    """Which folders to name where names agree below one folder of each side, as in pred/ and gt/; else empty."""
    tops = {below: top for top, _, below in (name.partition("/") for name in target.files)}
    for name in sorted(prediction.files, key=natural_key):
        top, slash, below = name.partition("/")
        if slash and tops.get(below):
            ours, theirs = shown(prediction.path / top), shown(target.path / tops[below])
            return f" They agree below {ours} and {theirs}: give these two."
    return ""


def _words_more(ours: Collection[str], theirs: Collection[str]) -> str:
    """What to rename where names agree but for a word at an end, as `001_pred` and `001_gt` do; else empty."""
    best: tuple[int, str] = (0, "")
    for word, mine in _without_words(ours).items():
        for other, others in _without_words(theirs).items():
            if both := mine.keys() & others.keys():
                example = min(both, key=natural_key)
                words = " and ".join(f'"{word}"' for word in (word, other) if word)
                said = f" They agree without {words}: rename one side, such as {mine[example]} to {others[example]}."
                best = max(best, (len(both), said), key=lambda found: found[0])
    return best[1]


def _without_words(names: Collection[str]) -> dict[str, dict[str, str]]:
    """For none, and for the commonest words at an end of the file names: names without it -> names with it.

    Numbers are no such words: they tell images apart.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        for end in (FIRST_WORD, LAST_WORD):
            word = end.search(name)
            if word and not word[0].strip("_-. ").isdecimal():
                found.setdefault(word[0], {})[name[: word.start()] + name[word.end() :]] = name
    common = sorted(found, key=lambda word: len(found[word]), reverse=True)[:COMMON_WORDS]
    return {"": {name: name for name in names}, **{word: found[word] for word in common}}


def _level_more(folder: _Folder, other: _Folder) -> str:
    """The first folder inside `folder` that holds a name of `other`; empty when there is none."""
    for name in sorted(folder.files, key=natural_key):
        parts = name.split("/")
        for level in range(1, len(parts)):
            if "/".join(parts[level:]) in other.files:
                return "/".join(parts[:level])
    return ""
