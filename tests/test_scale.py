"""The model of a cluster: its arithmetic by hand, and that what it measures can be measured."""

from __future__ import annotations

import itertools
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.benchmarks.scale import ASSUMED, GPUS, PARTS, SOURCES, Parts, assumptions, driver_s, limits, run, table

ROUND = Parts(
    pairs=1000, runs=10, image_mb=2, gpu_pairs_s=10, ray_share=0.5, processors=4, images_s=5, node_mb_s=100,
    bucket_reads_s=1100, keys_s=100, start_s=9, driver_pair_ms=4, report_pair_ms=20, dollars_hour=3,
)  # fmt: skip


def test_limits() -> None:
    """1.1 files for each pair."""
    expected = {"GPUs": 15, "decoding": 60 / 1.1, "network": 300 / 2.2, "bucket": 1000, "driver": 250}
    assert limits(ROUND, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "gpus", "limit", "pairs_s"),
    [
        ({}, 1, "GPUs", 5),
        ({}, 40, "GPUs", 200),
        ({}, 64, "driver", 250),
        ({"driver_pair_ms": 0.1}, 1000, "bucket", 1000),
        ({"gpu_pairs_s": 100}, 2, "decoding", 40 / 1.1),
        ({"gpu_pairs_s": 100, "node_mb_s": 11}, 2, "network", 10),
    ],
)
def test_the_slowest_part_limits(change: dict[str, float], gpus: int, limit: str, pairs_s: float) -> None:
    found = run(replace(ROUND, **change), gpus)
    assert (found.limit, found.pairs_s) == (limit, pytest.approx(pairs_s))


def test_time_and_what_is_paid_for() -> None:
    """1000 pairs at 10 a second; 9 s to start, 11 s to list 1100 files, 20 s to report."""
    found = run(ROUND, 2)
    assert (found.scoring_s, found.beside_s, found.seconds) == pytest.approx((100, 40, 140))
    assert found.gpu_hours == pytest.approx(2 * 140 / 3600)


def test_the_table_in_markdown() -> None:
    head, line, *rows = table(replace(ROUND, pairs=100_000)).splitlines()
    assert head.count("|") == line.count("|")
    assert [int(row.split("|")[1]) for row in rows] == list(GPUS)
    # 20000 s of scoring, and 9 + 1100 + 2000 s beside
    assert rows[0] == "| 1 | 5 | GPUs | 333 min | 385 min | 1.0× | 6.4 | $19 |"
    # 400 s and the same beside
    assert rows[-1] == "| 64 | 250 | driver | 6.7 min | 58 min | 6.6× | 62.4 | $187 |"


def test_more_gpus_are_never_slower_and_never_cheaper() -> None:
    runs = [run(PARTS, gpus) for gpus in GPUS]
    assert all(more.seconds <= fewer.seconds for fewer, more in itertools.pairwise(runs))
    assert all(more.gpu_hours >= fewer.gpu_hours for fewer, more in itertools.pairwise(runs))


def test_every_number_says_where_it_is_from() -> None:
    assert list(SOURCES) == [part.name for part in fields(Parts)]
    told = assumptions(PARTS)
    assert told.count("\n") == len(SOURCES) + 1
    assert f"| 1,250 | {ASSUMED} |" in told


def test_the_driver_can_be_measured(tmp_path: Path, vgg19_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELIGHT_EVAL_VGG19", str(vgg19_checkpoint))
    taken = driver_s(tmp_path, 20)
    assert all(0 < taken[name] < 60 for name in ("driver_pair_ms", "report_pair_ms"))
    assert (tmp_path / "run4.csv").read_text(encoding="utf-8").count("\n") == 21
