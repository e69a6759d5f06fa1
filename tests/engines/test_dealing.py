"""Who gets which pairs of a cluster, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relight_eval.engines import Options, Stop, never
from relight_eval.engines.ray import _rows, team
from relight_eval.engines.ray.dealing import FIRST, GROWTH, LARGEST, LONGEST_S, MOST_DEATHS, Chunk, Deck, Pace
from relight_eval.engines.ray.session import Share
from relight_eval.engines.ray.team import Done, Member
from relight_eval.engines.ray.worker import Answer
from relight_eval.errors import RelightEvalError
from relight_eval.pairs import Pair
from relight_eval.results import Row


def pairs(targets: int, runs: int = 1) -> list[Pair]:
    return [Pair(f"{t}", Path(f"run{k}/{t}.png"), Path(f"gt/{t}.png")) for t in range(targets) for k in range(runs)]


class OneByOne:
    """A team of one worker that is always ready, has an answer at once, and always says the same."""

    def __init__(self) -> None:
        self.members = [Member(None)]
        self.chunks: list[Chunk] = []
        self.stops = 0

    @property
    def is_busy(self) -> bool:
        return bool(self.chunks)

    def fill(self) -> None:
        pass

    def stop(self) -> None:
        self.stops += 1

    def readiest(self) -> Member | None:
        return None if self.is_busy else self.members[0]

    def give(self, member: Member, chunk: Chunk, job: object) -> None:
        self.chunks.append(chunk)

    def done(self, timeout_s: float) -> Iterator[Done]:
        chunk = self.chunks.pop()
        yield Done(chunk, Answer(tuple(Row(pair.name) for pair in chunk.pairs), ("the memory is short",), 0.1))


def run(team: OneByOne, count: int, stop: Stop = never) -> tuple[list[str], list[str]]:
    """The names of the rows, and what was told."""
    told: dict[str, None] = {}
    rows = _rows(team, Deck(pairs(count)), None, Options(stop=stop), told)  # type: ignore[arg-type]
    return [row.name for row in rows], list(told)


def test_what_every_chunk_tells_is_told_once() -> None:
    team = OneByOne()
    assert run(team, 9) == ([pair.name for pair in pairs(9)], ["the memory is short"])
    assert team.stops == 0


def test_nothing_more_is_given_after_a_stop() -> None:
    team, asked = OneByOne(), iter([False, True])
    assert run(team, 9, stop=lambda: next(asked, True))[0] == ["0", "1"]
    assert team.stops == 1


def test_a_worker_that_dies_after_a_long_chunk_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time without a worker counts from its death: before, nobody may have looked for long."""
    started: list[bool] = []
    monkeypatch.setattr(team, "capacity", lambda share: 1)
    monkeypatch.setattr(team.Team, "_start", lambda self: started.append(True))
    workers = team.Team("cpu", Share(1, 0))
    monkeypatch.setattr(team.time, "monotonic", lambda: 3600.0)
    member = Member(None, node="a", is_ready=True)
    workers.members = [member]
    assert list(workers._lost(member, "it died")) == []
    workers.fill()
    assert started == [True]
    monkeypatch.setattr(team.time, "monotonic", lambda: 3600 + team.START_S + 1)
    monkeypatch.setattr(team, "free", lambda: "0 CPUs and 0 GPUs")
    with pytest.raises(RelightEvalError, match="no worker could be started: each needs 1 CPU"):
        workers.fill()


def sizes(pace: Pace, left: int, workers: int, pair_s: float) -> list[int]:
    """Of the chunks that one of so many workers gets of what is left, when all are as fast as it."""
    found = []
    while left > 0:
        found.append(min(left, pace.size(left, workers)))
        pace.took(found[-1], found[-1] * pair_s)
        left -= workers * found[-1]
    return found


class TestPace:
    def test_it_begins_small_and_grows_to_seconds_of_work(self) -> None:
        found = sizes(Pace(), 100_000, 4, pair_s=0.01)
        assert found[:4] == [FIRST, FIRST * GROWTH, FIRST * GROWTH**2, LONGEST_S / 0.01]
        assert max(found) * 0.01 == LONGEST_S

    def test_it_ends_small(self) -> None:
        found = sizes(Pace(), 100_000, 4, pair_s=0.01)
        assert found[-1] * 0.01 <= 0.5
        assert len(found) < 100_000 / 4 / 800 + 20

    def test_slow_pairs_go_one_by_one(self) -> None:
        assert sizes(Pace(), 9, 2, pair_s=60) == [FIRST, 1, 1, 1]

    def test_of_what_is_quick_there_are_no_crumbs(self) -> None:
        pace = Pace()
        pace.took(1000, 0.1)
        assert pace.size(100, workers=8) == LARGEST  # less than half a second's; the deck has no more than it has
        pace.took(100, 0.1)
        assert pace.size(1000, workers=8) == 500


class TestDeck:
    def test_every_pair_is_dealt_once_with_all_of_its_target(self) -> None:
        deck, found = Deck(pairs(7, runs=3)), []
        while deck.left:
            found.append(deck.deal(4))
        assert [len(chunk.pairs) for chunk in found] == [6, 6, 6, 3]
        assert [pair for chunk in found for pair in chunk.pairs] == pairs(7, runs=3)

    def test_what_comes_back_is_dealt_next(self) -> None:
        deck = Deck(pairs(6))
        first, second = deck.deal(2), deck.deal(2)
        deck.back(second)
        assert deck.left == 4
        assert deck.deal(1) == second
        assert deck.deal(9).pairs == tuple(pairs(6)[4:])
        assert deck.left == 0
        assert deck.died_of(first) == []
        assert [deck.deal(9).pairs for _ in range(2)] == [(pair,) for pair in first.pairs]

    @pytest.mark.parametrize("count", [1, 2, 5, 64, 1000])
    def test_the_pair_that_kills_is_found_and_no_other_is_given_up(self, count: int) -> None:
        """And that costs few workers."""
        every = pairs(count)
        culprit, deck = every[count // 2], Deck(every)
        rows, done, deaths = [], [], 0
        while deck.left:
            chunk = deck.deal(count)
            if culprit in chunk.pairs:
                deaths += 1
                rows += deck.died_of(chunk)
            else:
                done += chunk.pairs
        assert [(row.name, row.status) for row in rows] == [(culprit.name, "error")]
        assert sorted(done, key=every.index) == [pair for pair in every if pair != culprit]
        assert deaths <= MOST_DEATHS + 5

    def test_what_died_by_chance_is_not_held_against_its_pairs(self) -> None:
        deck = Deck(pairs(8))
        for _ in range(2):
            assert deck.died_of(deck.deal(8)) == []  # the second time two pairs of it
        while deck.left:
            assert deck.deal(8).deaths == 0

    def test_a_row_that_is_given_up_says_which_pair_and_what_to_do(self) -> None:
        pair = Pair("a", Path("p/a.png"), Path("t/a.png"), Path("i/a.png"), Path("m/a.png"))
        (row,) = Deck([pair]).died_of(Chunk((pair,), MOST_DEATHS - 1))
        assert (row.name, row.prediction, row.target, row.input, row.mask) == (
            *("a", "p/a.png", "t/a.png", "i/a.png", "m/a.png"),
        )
        assert row.error.startswith("3 workers, one after the other, died when they scored this pair alone")
        assert "--engine local" in row.error
