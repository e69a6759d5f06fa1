"""The short form of `make soak`."""

from pathlib import Path

from tests.soak.soak import Found, soak


def test_runs_that_are_killed_and_gone_on_with_lose_nothing(empty_home: Path, tmp_path: Path) -> None:
    found = soak(tmp_path, kills=2, pairs=6, seed=2)
    assert found == Found(kills=2, survived=2, rows_kept=found.rows_kept, rows_lost=0)
