"""Which rows need not be scored again, and keeping those that were."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from relight_eval import places
from relight_eval.pairs import Pair
from relight_eval.places import Address, Place
from relight_eval.records import Key, Store
from relight_eval.results import Row

SIDES = ("prediction", "target", "input", "mask")
MOST_BYTES = 4 << 30  # of a file far away, that is held whole


@dataclass(frozen=True)
class Keeping:
    """The stores of a run: those that are asked for rows before it scores, and those that get what it scored.

    `protocol` is the digest of its signature.
    """

    asked: Sequence[Store]
    given: Sequence[Store]
    protocol: str = ""

    def under(self, protocol: str) -> Keeping:
        """The same for rows that are scored under this protocol."""
        return replace(self, protocol=protocol)

    def found(
        self, pairs: Iterable[Pair], *, workers: int, stop: Callable[[], bool] = lambda: False
    ) -> dict[Pair, Row]:
        """The rows of those pairs whose files hold what they held when they were scored under the same protocol.

        Every file is read once, to take its SHA-256; no image is decoded. Ends early when `stop` says so.
        """
        if not self.asked:
            return {}
        pairs = list(pairs)
        digests = Digests()
        found = {}
        files = dict.fromkeys(path for pair in pairs for path in _files(pair).values())
        with ThreadPoolExecutor(workers, "relight-eval-digests") as pool:
            for _ in pool.map(lambda path: None if stop() else digests.of(path), files):
                pass
        for pair in pairs:
            if stop():
                break
            key = self._key(pair, {side: digests.of(path) for side, path in _files(pair).items()})
            if key and (row := self._find(key)):
                found[pair] = _named(row, pair)
        return found

    def keep(self, pair: Pair, row: Row) -> None:
        """Gives the row of a pair, if it was scored in full, to the stores."""
        key = self._key(pair, row.sha256) if row.status == "ok" else None
        if key:
            for store in self.given:
                store.keep(key, row)

    def _find(self, key: Key) -> Row | None:
        """The row of the first store that has it, given to those that do not."""
        for asked in self.asked:
            if row := asked.find(key):
                for store in self.given:
                    if store is not asked and not (store in self.asked and store.find(key)):
                        store.keep(key, row)
                return row
        return None

    def _key(self, pair: Pair, sha256: Mapping[str, str]) -> Key | None:
        """None where a file of the pair could not be read."""
        if not all(sha256.get(side) for side in _files(pair)):
            return None
        return Key(**{side: sha256.get(side, "") for side in SIDES}, floor=pair.floor, protocol=self.protocol)


def _files(pair: Pair) -> dict[str, Place]:
    """Side -> file, of those that the pair has."""
    files = {"prediction": None if pair.floor else pair.prediction, "target": pair.target}
    files |= {"input": pair.input, "mask": pair.mask}
    return {side: path for side, path in files.items() if path is not None}


def _named(row: Row, pair: Pair) -> Row:
    return replace(
        row,
        name=pair.name,
        prediction=str(pair.prediction),
        target=str(pair.target),
        input=str(pair.input or ""),
        mask=str(pair.mask or ""),
    )


class Digests:
    """SHA-256 of files, each taken once; empty for what cannot be read."""

    def __init__(self) -> None:
        self._found: dict[Place, str] = {}

    def of(self, path: Place) -> str:
        if path not in self._found:
            self._found[path] = _sha256(path)
        return self._found[path]


def _sha256(path: Place) -> str:
    try:
        if isinstance(path, Address):
            return hashlib.sha256(places.read(path, MOST_BYTES)).hexdigest()
        if not stat.S_ISREG(path.stat().st_mode):  # from a pipe it would read for ever
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # its row will say so
        return ""
