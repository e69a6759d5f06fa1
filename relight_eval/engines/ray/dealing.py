"""What is dealt out to workers next, how much of it, and what a worker that died leaves behind.

No Ray here: only who gets which pairs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from relight_eval.pairs import Pair
from relight_eval.results import Row

# Pairs that a worker gets first, before it is known how fast it is, and how many times as many it gets next at most.
FIRST, GROWTH = 2, 8

# Seconds that a worker has with what it gets. The beginning and end of each costs a worker of several processors a
# moment in which not all of them have work: 2 % of the longest. Near the end there is less, so that all end together.
LONGEST_S, SHORTEST_S = 8.0, 0.5

# Pairs, however fast: the rows of a few chunks of every worker must fit the shared memory of a machine.
LARGEST = 2000

# Workers that a pair may cost, by itself, before it is taken for the cause.
MOST_DEATHS = 3

# Into how many parts goes what a worker died of.
PARTS = 4


@dataclass(frozen=True)
class Chunk:
    """What a worker is given at once: pairs, those of a target together. `deaths` are those of workers that were at it
    when it was just this one."""

    pairs: tuple[Pair, ...]
    deaths: int = 0

    def parts(self) -> list[Chunk]:
        """Of several pairs, a few chunks, so that the one that kills is alone soon."""
        size = -(-len(self.pairs) // PARTS)
        return [Chunk(self.pairs[first : first + size]) for first in range(0, len(self.pairs), size)]


@dataclass
class Pace:
    """How fast a worker is, in seconds for a pair: what the last chunk took. None before the first."""

    pair_s: float | None = None
    pairs: int = 0

    def took(self, pairs: int, seconds: float) -> None:
        self.pair_s, self.pairs = max(seconds, 1e-6) / pairs, pairs

    def size(self, left: int, workers: int) -> int:
        """How many of the pairs that are left it should get."""
        if self.pair_s is None:
            return FIRST
        longest, shortest = (round(seconds / self.pair_s) for seconds in (LONGEST_S, SHORTEST_S))
        share = left // (2 * workers)
        return max(1, min(LARGEST, longest, GROWTH * self.pairs, max(share, shortest)))


class Deck:
    """Pairs, each dealt out until its row came or it is given up. `left` are those that nobody has."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._targets = (tuple(group) for _, group in groupby(pairs, key=lambda pair: pair.target))
        self._again: deque[Chunk] = deque()
        self.left = len(pairs)

    def deal(self, size: int) -> Chunk:
        """A chunk of about so many pairs, whole targets; first what came back. Only while there are some `left`."""
        if self._again:
            chunk = self._again.popleft()
        else:
            pairs: list[Pair] = []
            while len(pairs) < size and (group := next(self._targets, None)):
                pairs += group
            chunk = Chunk(tuple(pairs))
        self.left -= len(chunk.pairs)
        return chunk

    def back(self, *chunks: Chunk) -> None:
        """What a worker that is gone had not begun with."""
        self._again.extend(chunks)
        self.left += sum(len(chunk.pairs) for chunk in chunks)

    def died_of(self, chunk: Chunk) -> list[Row]:
        """What a worker was at when it died is done again: in parts; or a pair is given up: then this is its row."""
        if len(chunk.pairs) > 1:
            self.back(*chunk.parts())
            return []
        (pair,) = chunk.pairs
        if chunk.deaths + 1 < MOST_DEATHS:
            self.back(Chunk(chunk.pairs, chunk.deaths + 1))
            return []
        return [given_up(pair, chunk.deaths + 1)]


def given_up(pair: Pair, deaths: int) -> Row:
    return Row(
        name=pair.name,
        prediction=str(pair.prediction),
        target=str(pair.target),
        input=str(pair.input or ""),
        mask=str(pair.mask or ""),
        status="error",
        error=f"{deaths} workers, one after the other, died when they scored this pair alone (killed, crashed, or out "
        "of memory); convert its images again, or score it with --engine local, fewer metrics (-m) or more memory.",
    )
