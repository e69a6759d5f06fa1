"""What is the local engine's own: devices, batches, memory."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relight_eval import images
from relight_eval.decoding import AS_STORED, Reading
from relight_eval.engines import FLOORS, local
from relight_eval.errors import UsageError
from relight_eval.metrics import Batch, Metric, Settings, pieces
from relight_eval.pairs import Pair, find
from relight_eval.results import Row
from tests.engines.fakes import failing, fake, greedy, greedy_in_pieces, means, use
from tests.folders import picture, runs_of, two_folders, write

CPU = torch.device("cpu")


def decoded(name: str, height: int = 8, width: int = 8, *, level: int = 0, runs: int = 1) -> local.Decoded:
    """A target of zeros, and a prediction of this level; or of this and the following levels, as many as runs."""
    predictions = tuple(
        local.Prediction(
            Pair(name, Path(f"{run}/{name}"), Path(name)),
            torch.full((3, height, width), level + run, dtype=torch.uint8),
        )
        for run in range(runs)
    )
    return local.Decoded(predictions, torch.zeros_like(predictions[0].pixels))


def names(group: Sequence[local.Decoded]) -> list[str]:
    return [prediction.pair.name for item in group for prediction in item.predictions]


def batched(items: list[local.Decoded | Row], batch_size: int, most: int = sys.maxsize) -> list[list[str]]:
    groups = local.in_batches(items, lambda size: batch_size, lambda size: most)
    return [names(group) for group in groups if not isinstance(group, Row)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("gpu", "'gpu' is not known", id="unknown"),
        pytest.param("cuda:99", "'cuda:99' cannot be used here", id="absent"),
        pytest.param("cpu:x", "'cpu:x' cannot be used here", id="no number"),
        pytest.param("", "'' is not known", id="empty"),
    ],
)
def test_a_device_that_is_not_there_is_a_usage_error(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=f"device {reason}.*auto, cpu, cuda"):
        local.pick_device(name)


def test_auto_takes_what_there_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert local.pick_device("auto").type == expected


def test_batches_hold_one_size_and_are_as_large_as_asked() -> None:
    items: list[local.Decoded | Row] = [decoded(f"a{i}") for i in range(5)]
    items[1:1] = [decoded("b0", 9, 8), decoded("b1", 9, 8)]
    assert batched(items, 2) == [["b0", "b1"], ["a0", "a1"], ["a2", "a3"], ["a4"]]


class TestBatchesOfRuns:
    def test_a_target_stays_together_with_its_predictions(self) -> None:
        items: list[local.Decoded | Row] = [decoded(name, runs=3) for name in "abcd"]
        assert batched(items, 1) == [["a"] * 3, ["b"] * 3, ["c"] * 3, ["d"] * 3]

    def test_every_prediction_counts(self) -> None:
        """Two targets of three: a third would make nine of eight."""
        items: list[local.Decoded | Row] = [decoded(name, runs=3) for name in "abc"]
        assert batched(items, 8) == [["a", "a", "a", "b", "b", "b"], ["c", "c", "c"]]

    def test_they_have_one_number_of_predictions(self) -> None:
        items: list[local.Decoded | Row] = [decoded(name, runs=2 - (name == "b")) for name in "abcd"]
        assert batched(items, 4) == [["a", "a", "c", "c"], ["b"], ["d", "d"]]

    def test_more_predictions_than_the_memory_holds_are_parted(self) -> None:
        items: list[local.Decoded | Row] = [decoded("a", runs=5), decoded("b", runs=5)]
        assert batched(items, 2, most=2) == [["a", "a"], ["a", "a"], ["b", "b"], ["b", "b"], ["a", "b"]]

    def test_what_waits_counts_every_prediction(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 10 * 64)
        items: list[local.Decoded | Row] = [decoded(name, runs=4) for name in "abcd"]
        assert batched(items, 100) == [["a"] * 4 + ["b"] * 4 + ["c"] * 4, ["d"] * 4]


def test_rows_pass_through_at_once() -> None:
    row = Row("broken", status="error", error="why")
    assert next(iter(local.in_batches([decoded("a"), row], lambda size: 10))) is row


def test_many_sizes_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image another size: without a bound, all of them would wait for partners until the end."""
    monkeypatch.setattr(local, "WAITING_PIXELS", 8 * 100)
    fed = 0

    def feed() -> Iterator[local.Decoded]:
        nonlocal fed
        for i in range(60):
            fed += 1
            yield decoded(f"a{i}", 8, 10 + i)

    first = next(iter(local.in_batches(feed(), lambda size: 4)))
    assert not isinstance(first, Row)
    assert fed < 12


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param((1024, 1024), 1, id="vidit"),
        pytest.param((256, 256), 16, id="small"),
        pytest.param((4320, 7680), 1, id="8k"),
        pytest.param((1, 1), local.LARGEST_BATCH, id="pixel"),
    ],
)
def test_auto_batch_on_a_cpu_is_a_megapixel(size: tuple[int, int], expected: int) -> None:
    assert local.auto_batch_size(size, CPU) == expected


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": -1}], ids=str)
def test_counts_below_one_are_usage_errors(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        local.Options(**options)  # type: ignore[arg-type]


def test_a_batch_size_that_shrinks_holds_for_the_next_batch() -> None:
    sizes = iter([3, 3, 3, 2, 2])
    items: list[local.Decoded | Row] = [decoded(f"a{i}") for i in range(5)]
    groups = list(local.in_batches(items, lambda size: next(sizes)))
    assert [len(group) for group in groups if not isinstance(group, Row)] == [3, 2]


class TestScorer:
    """What one batch costs, and what is done when the memory is short."""

    def scored(self, group: list[local.Decoded], *metrics: Metric, tell: local.Tell = lambda line: None) -> list[Row]:
        scorer = local.Scorer(metrics, CPU, tell=tell)
        return scorer.rows(scorer.start(group))

    def test_rows_are_those_of_the_pairs_in_order(self) -> None:
        rows = self.scored([decoded(f"a{i}", level=i) for i in range(5)], fake(means))
        assert [(row.name, row.scores["psnr"]) for row in rows] == [(f"a{i}", i) for i in range(5)]
        assert {(row.width, row.height, row.status, row.error) for row in rows} == {(8, 8, "ok", "")}

    def test_the_batch_size_is_the_one_asked_for_or_that_of_the_machine(self) -> None:
        assert local.Scorer([], CPU, batch_size=7).batch_size((8, 8)) == 7
        assert local.Scorer([], CPU).batch_size((256, 256)) == local.auto_batch_size((256, 256), CPU)

    def test_a_batch_that_does_not_fit_is_halved(self) -> None:
        sizes: list[int] = []
        rows = self.scored([decoded(f"a{i}", level=i) for i in range(5)], greedy(2, sizes))
        assert [(row.name, row.status, row.scores["psnr"]) for row in rows] == [(f"a{i}", "ok", i) for i in range(5)]
        assert sizes == [5, 2, 3, 1, 2]

    def test_the_smaller_size_is_remembered_and_told_once(self) -> None:
        told: list[str] = []
        scorer = local.Scorer([greedy(2)], CPU, batch_size=8, tell=told.append)
        assert scorer.batch_size((8, 8)) == 8
        for _ in range(2):
            assert all(row.status == "ok" for row in scorer.rows(scorer.start([decoded("a")] * 8)))
        assert told == ["the memory of cpu is short: went on with fewer pairs at once"]
        assert scorer.batch_size((8, 8)) == 2
        assert scorer.batch_size((4, 4)) == 8  # 2 of 8x8: as many pixels
        assert scorer.batch_size((2, 2)) == 8  # never more than asked for
        assert scorer.batch_size((80, 80)) == 1

    def test_memory_that_lacks_for_one_metric_costs_no_score_of_the_others(self) -> None:
        sizes: list[int] = []
        group = [decoded(f"a{i}", level=i) for i in range(4)]
        rows = self.scored(group, fake(means, "charbonnier"), greedy(1, sizes), fake(means, "lpips"))
        assert [dict(row.scores) for row in rows] == [
            dict.fromkeys(("charbonnier", "psnr", "lpips"), i) for i in range(4)
        ]
        assert max(sizes) == 4

    def test_one_pair_that_does_not_fit_is_taken_in_smaller_pieces(self) -> None:
        told: list[str] = []
        tried: list[int | None] = []
        metric = greedy_in_pieces(local.SMALLEST_PIECE, tried)
        scorer = local.Scorer([metric], CPU, tell=told.append)
        for i in range(2):
            (row,) = scorer.rows(scorer.start([decoded(f"a{i}", 1024, 1024, level=9)]))
            assert (row.name, row.status, row.scores["psnr"]) == (f"a{i}", "ok", 9)
        assert told == ["the memory of cpu is short for 1024x1024: went on in smaller pieces"]
        assert tried.count(local.SMALLEST_PIECE) == 2
        assert tried[-2] == local.SMALLEST_PIECE  # remembered: the second pair is tried once

    def test_pairs_of_a_batch_are_first_taken_apart_and_then_in_pieces(self) -> None:
        told: list[str] = []
        group = [decoded(f"a{i}", 512, 512, level=i) for i in range(3)]
        rows = self.scored(group, greedy_in_pieces(local.SMALLEST_PIECE), greedy(2, name="lpips"), tell=told.append)
        assert [dict(row.scores) for row in rows] == [{"psnr": i, "lpips": i} for i in range(3)]
        assert [line.rpartition(": ")[2] for line in told] == [
            "went on with fewer pairs at once",
            "went on in smaller pieces",
        ]

    def test_a_pair_that_fits_in_no_piece_is_an_error_row_and_the_next_is_scored(self) -> None:
        tried: list[int | None] = []
        scorer = local.Scorer([greedy_in_pieces(100, tried)], CPU)
        (large,) = scorer.rows(scorer.start([decoded("large", 1024, 1024)]))
        assert (large.status, large.scores, large.width, large.height) == ("error", {}, 1024, 1024)
        assert large.error == "a pair of 1024x1024 does not fit the memory of cpu; score it with fewer metrics (-m)"
        assert tried[-1] == local.SMALLEST_PIECE
        (small,) = scorer.rows(scorer.start([decoded("small", 8, 8, level=3)]))
        assert (small.status, small.scores["psnr"]) == ("ok", 3)
        assert tried[-1] == local.SMALLEST_PIECE  # and not less for ever

    @pytest.mark.parametrize(
        "size", [(300, 300), (1024, 512), (1000, 1000), (2048, 1024)], ids=lambda size: "{1}x{0}".format(*size)
    )
    def test_the_smallest_piece_is_tried_whatever_the_size_of_the_pair(self, size: tuple[int, int]) -> None:
        (row,) = self.scored([decoded("a", *size, level=4)], greedy_in_pieces(local.SMALLEST_PIECE))
        assert (row.status, dict(row.scores)) == ("ok", {"psnr": 4})

    def test_rows_of_several_runs_are_those_of_the_pairs_in_order(self) -> None:
        seen: list[int] = []

        def score(batch: Batch) -> torch.Tensor:
            seen.append(batch.runs)
            assert torch.equal(batch.target[::2], batch.target[1::2])
            return means(batch) + 1000 * batch.target.double().mean(dim=(1, 2, 3))[:, None]

        group = [replace(item, target=item.target + i) for i, item in enumerate(self.of_runs(3, runs=2))]
        rows = self.scored(group, fake(score))
        assert [(row.name, row.prediction, row.scores["psnr"]) for row in rows] == [
            (f"a{i}", f"{run}/a{i}", 1000 * i + 10 * i + run) for i in range(3) for run in range(2)
        ]
        assert seen == [2]

    def of_runs(self, count: int, *, runs: int, **size: int) -> list[local.Decoded]:
        return [decoded(f"a{i}", level=10 * i, runs=runs, **size) for i in range(count)]

    def test_of_several_runs_targets_are_halved_before_their_predictions(self) -> None:
        sizes: list[int] = []
        told: list[str] = []
        rows = self.scored(self.of_runs(4, runs=3), greedy(2, sizes), tell=told.append)
        assert [row.scores["psnr"] for row in rows] == [10 * i + run for i in range(4) for run in range(3)]
        assert sizes == [12, 6, 3, 2, 1, 3, 2, 1, 6, 3, 2, 1, 3, 2, 1]
        assert told == ["the memory of cpu is short: went on with fewer pairs at once"]

    def test_of_a_target_no_more_predictions_are_tried_than_fit(self) -> None:
        scorer = local.Scorer([greedy(2)], CPU)
        assert scorer.most((8, 8)) > 1000
        (group,) = local.in_batches(self.of_runs(1, runs=5), scorer.batch_size, scorer.most)
        assert not isinstance(group, Row)
        scorer.rows(scorer.start(group))
        assert (scorer.most((8, 8)), scorer.most((16, 16))) == (2, 1)
        later = local.in_batches(self.of_runs(1, runs=5), scorer.batch_size, scorer.most)
        assert [len(names(group)) for group in later if not isinstance(group, Row)] == [2, 2, 1]

    def test_predictions_are_taken_apart_before_pieces_get_smaller(self) -> None:
        tried: list[int | None] = []
        group = self.of_runs(1, runs=3, height=512, width=512)
        rows = self.scored(group, greedy_in_pieces(local.SMALLEST_PIECE, tried), greedy(1, name="lpips"))
        assert [dict(row.scores) for row in rows] == [{"psnr": i, "lpips": i} for i in range(3)]
        assert tried[:3] == [pieces.PIECE_VALUES] * 3  # three, two, one: and only then less than that

    def test_a_prediction_that_fits_in_no_piece_costs_its_own_row(self) -> None:
        def score(batch: Batch) -> torch.Tensor:
            if (batch.prediction == 2).any():
                raise torch.OutOfMemoryError("CUDA out of memory")
            return means(batch)

        rows = self.scored([decoded("a", runs=5)], fake(score))
        assert [(row.prediction, row.status) for row in rows] == [
            (f"{run}/a", "error" if run == 2 else "ok") for run in range(5)
        ]

    def test_pieces_only_ever_get_smaller(self) -> None:
        tried: list[int | None] = []
        self.scored([decoded("a", 2048, 2048)], greedy_in_pieces(local.SMALLEST_PIECE, tried))
        assert tried == sorted(tried, key=lambda values: -(values or 0))

    def test_in_a_batch_only_the_pairs_that_do_not_fit_become_error_rows(self) -> None:
        def score(batch: Batch) -> torch.Tensor:
            if (batch.prediction == 2).any():
                raise torch.OutOfMemoryError("CUDA out of memory")
            return means(batch)

        rows = self.scored([decoded(f"a{i}", level=i) for i in range(5)], fake(score))
        assert [row.status for row in rows] == ["ok", "ok", "error", "ok", "ok"]
        assert [row.name for row in rows] == [f"a{i}" for i in range(5)]

    @pytest.mark.parametrize(
        "error",
        [
            RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"),
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            MemoryError(),
        ],
        ids=["metal", "cublas", "cpu", "python"],
    )
    def test_every_device_has_its_own_words_for_it(self, error: Exception) -> None:
        (row,) = self.scored([decoded("a")], failing(error))
        assert "does not fit the memory" in row.error

    def test_a_bug_in_a_metric_is_not_taken_for_a_bad_image(self) -> None:
        with pytest.raises(RuntimeError, match="mat1"):
            self.scored([decoded("a")], failing(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


class TestDecodingAhead:
    def submitted(self, pairs: Sequence[Pair], ahead: int) -> Iterator[int]:
        """How many pairs were begun when each is handed out."""
        with ThreadPoolExecutor(2) as pool:
            count = 0
            submit = pool.submit

            def counting(*args: object) -> object:
                nonlocal count
                count += 1
                return submit(*args)  # type: ignore[arg-type]

            pool.submit = counting  # type: ignore[method-assign,assignment]
            for pair, item in zip(
                pairs, local.decode_ahead(pairs, pool, AS_STORED, ahead=ahead), strict=True
            ):  # each once, in order
                assert isinstance(item, local.Decoded)
                assert item.predictions[0].pair is pair
                yield count

    def test_it_runs_ahead_but_not_away(self, tmp_path: Path) -> None:
        pairs = find(*two_folders(tmp_path, 9, height=16, width=16)).pairs
        assert list(self.submitted(pairs, ahead=3)) == [4, 5, 6, 7, 8, 9, 9, 9, 9]

    def test_fewer_pairs_are_ahead_when_they_are_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 2 * 16 * 16)
        pairs = find(*two_folders(tmp_path, 9, height=16, width=16)).pairs
        begun = list(self.submitted(pairs, ahead=4))
        waiting = [count - done for done, count in enumerate(begun, start=1)]
        assert waiting == [2, 2, 2, 2, 2, 2, 2, 1, 0]

    def test_one_pair_is_ahead_however_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 10)
        pairs = find(*two_folders(tmp_path, 4, height=16, width=16)).pairs
        assert list(self.submitted(pairs, ahead=1)) == [2, 3, 4, 4]

    def test_after_a_large_pair_as_many_as_before_are_ahead(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 64 * 64)
        two_folders(tmp_path, 10, height=8, width=8)
        for side in ("prediction", "target"):
            write(tmp_path / side / "im0.png", picture(0, 64, 64))
        begun = list(self.submitted(find(tmp_path / "prediction", tmp_path / "target").pairs, ahead=4))
        assert begun[5] == 10


class TestDecodingRuns:
    """Pairs of one target that follow each other: it is read once."""

    @pytest.fixture
    def read(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The files that were read, by the name of their folder."""
        read, found = images.read, []

        def watched(path: Path, reading: Reading) -> images.Image:
            found.append(f"{path.parent.name}/{path.stem}")
            return read(path, reading)

        monkeypatch.setattr(images, "read", watched)
        return found

    def decoded(self, pairs: Sequence[Pair], ahead: int = 4) -> list[local.Decoded | Row]:
        with ThreadPoolExecutor(1) as pool:
            return list(local.decode_ahead(pairs, pool, AS_STORED, ahead=ahead))

    def test_every_file_is_read_once(self, tmp_path: Path, read: list[str]) -> None:
        pairs = runs_of(tmp_path, 3, count=3)
        found = self.decoded(pairs)
        assert sorted(read) == sorted(
            [*(f"target/im{i}" for i in range(3)), *(f"run{k}/im{i}" for i in range(3) for k in range(3))]
        )
        assert [[p.pair for p in item.predictions] for item in found if isinstance(item, local.Decoded)] == [
            pairs[:3], pairs[3:6], pairs[6:],
        ]  # fmt: skip

    def test_pairs_apart_are_apart(self, tmp_path: Path, read: list[str]) -> None:
        pairs = runs_of(tmp_path, 2, count=2)
        assert len(self.decoded([*pairs[::2], *pairs[1::2]])) == 4
        assert read.count("target/im0") == 2

    @pytest.mark.parametrize("ahead", [1, 4])
    def test_what_does_not_fit_is_read_with_its_target_again(
        self, ahead: int, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 2 * 40 * 48 + 7)
        pairs = runs_of(tmp_path, 5, count=2)
        found = self.decoded(pairs, ahead)
        groups = [[p.pair for p in item.predictions] for item in found if isinstance(item, local.Decoded)]
        assert groups == [pairs[0:2], pairs[2:4], pairs[4:5], pairs[5:7], pairs[7:9], pairs[9:]]
        assert read.count("target/im0") == read.count("target/im1") == 3

    def test_one_at_a_time_however_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 10)
        assert len(self.decoded(runs_of(tmp_path, 3, count=2))) == 6

    def test_what_is_ahead_counts_every_prediction(
        self, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(local, "WAITING_PIXELS", 6 * 40 * 48)
        with ThreadPoolExecutor(1) as pool:
            work = local.decode_ahead(runs_of(tmp_path, 3, count=9), pool, AS_STORED, ahead=4)
            for _ in range(3):
                next(work)
            pool.submit(int).result()  # what was submitted before is done
            assert len(read) == (3 + 2) * 4  # handed out, and twice three predictions ahead

    def test_a_target_that_cannot_be_read_is_read_once_and_costs_its_rows(
        self, tmp_path: Path, read: list[str]
    ) -> None:
        pairs = runs_of(tmp_path, 3, count=2)
        pairs[0].target.write_bytes(b"no image")
        *rows, last = self.decoded(pairs)
        assert isinstance(last, local.Decoded)
        assert [(row.name, row.prediction) for row in rows if isinstance(row, Row)] == [
            ("im0", str(pair.prediction)) for pair in pairs[:3]
        ]
        assert len({row.error for row in rows if isinstance(row, Row)}) == 1
        assert sorted(read) == ["run0/im1", "run1/im1", "run2/im1", "target/im0", "target/im1"]


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def in_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(torch.get_num_threads).result()


@pytest.mark.usefixtures("four_threads")
class TestTorchThreads:
    """One for each thread while the engine works, and as before when it is done, however it ended."""

    def run(self, root: Path, monkeypatch: pytest.MonkeyPatch, metric: Metric) -> Generator[Row]:
        use(monkeypatch, metric)
        pairs = find(*two_folders(root, 5, height=16, width=16)).pairs
        work = local.score(pairs, ("psnr",), Settings(), local.Options("cpu", batch_size=1, workers=3))
        assert isinstance(work, Generator)
        return work

    def test_one_while_it_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: set[int] = set()
        gradients: set[bool] = set()

        def score(batch: Batch) -> torch.Tensor:
            def look(piece: int) -> None:
                seen.add(torch.get_num_threads())
                gradients.add(torch.is_grad_enabled())

            pieces.each(look, range(20))
            seen.add(torch.get_num_threads())
            return means(batch)

        assert len(list(self.run(tmp_path, monkeypatch, fake(score)))) == 5
        assert seen == {1}
        assert gradients == {False}

    def test_as_before_when_it_is_done(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        list(self.run(tmp_path, monkeypatch, fake(means)))
        assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)

    def test_as_before_after_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        work = self.run(tmp_path, monkeypatch, failing(RuntimeError("a bug")))
        with pytest.raises(RuntimeError, match="a bug"):
            list(work)
        assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)

    def test_as_before_after_an_interrupt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(KeyboardInterrupt):
            list(self.run(tmp_path, monkeypatch, failing(KeyboardInterrupt())))
        assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)

    def test_as_before_when_it_is_closed_early(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        work = self.run(tmp_path, monkeypatch, fake(means))
        next(work)
        assert torch.get_num_threads() == 1
        work.close()
        assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)

    def test_as_before_when_it_was_never_begun(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.run(tmp_path, monkeypatch, fake(means)).close()
        assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)


@pytest.mark.usefixtures("four_threads")
def test_torch_threads_are_as_before_when_runs_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in a new thread that begins while another one works, and ends after it."""
    use(monkeypatch, fake(means))
    pairs = find(*two_folders(tmp_path, 3, height=16, width=16)).pairs
    both_work, first_is_done = threading.Event(), threading.Event()

    def work() -> Iterator[Row]:
        return local.score(pairs, ("psnr",), Settings(), local.Options("cpu", batch_size=1, workers=2))

    def second_run() -> int:
        second = work()
        next(second)
        both_work.set()
        first_is_done.wait(10)
        list(second)
        return torch.get_num_threads()

    first = work()
    next(first)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(second_run)
        both_work.wait(10)
        list(first)
        first_is_done.set()
        assert second.result(10) == 4
    assert (torch.get_num_threads(), in_a_new_thread()) == (4, 4)


def test_an_interrupt_inside_a_metric_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, failing(KeyboardInterrupt()))
    pairs = find(*two_folders(tmp_path, 8, height=16, width=16)).pairs
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(local.score(pairs, ("psnr",), Settings(), local.Options("cpu", workers=3)))
    assert threading.active_count() <= before


class TestLookahead:
    """The order of work on a GPU, played on the CPU: one batch is started before the rows of the last are fetched."""

    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        events: list[str] = []

        class Watched(local.Scorer):
            def __init__(self, metrics: Sequence[Metric], device: torch.device, *rest: Any) -> None:
                assert device.type == "cuda"
                super().__init__(metrics, CPU, *rest)
                self.within = False  # what rows() starts when the memory is short

            def start(self, group: list[local.Decoded]) -> local.Started:
                if not self.within:
                    events.append("start " + " ".join(names(group)))
                return super().start(group)

            def rows(self, started: local.Started) -> list[Row]:
                outermost, self.within = not self.within, True
                if outermost:
                    events.append("rows " + " ".join(names(started.group)))
                rows = super().rows(started)
                self.within = not outermost
                return rows

        monkeypatch.setattr(local, "pick_device", lambda name: torch.device("cuda"))
        monkeypatch.setattr(local, "Scorer", Watched)
        return events

    def test_a_batch_is_started_before_the_rows_of_the_last(
        self, events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(monkeypatch, fake(means))
        pairs = find(*two_folders(tmp_path, 5, height=16, width=16)).pairs
        rows = list(local.score(pairs, ("psnr",), Settings(), local.Options("cuda", batch_size=2)))
        assert events == [*("start im0 im1", "start im2 im3", "rows im0 im1", "start im4", "rows im2 im3", "rows im4")]
        assert [row.name for row in rows] == [pair.name for pair in pairs]
        assert len({row.scores["psnr"] for row in rows}) == 5

    def test_batches_that_do_not_fit_are_halved_with_another_on_its_way(
        self, events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str] = []
        use(monkeypatch, greedy(1))
        pairs = find(*two_folders(tmp_path, 11, height=16, width=16)).pairs
        work = local.score(pairs, ("psnr",), Settings(), local.Options("cuda", batch_size=4), told.append)
        rows = list(work)
        assert [(row.name, row.status) for row in rows] == [(pair.name, "ok") for pair in pairs]
        assert told == ["the memory of cpu is short: went on with fewer pairs at once"]
        assert events[-1] == "rows im10"  # the last three came one by one

    def test_a_broken_file_does_not_hold_up_or_lose_a_batch(
        self, events: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(monkeypatch, fake(means))
        prediction, target = two_folders(tmp_path, 5, height=16, width=16)
        (prediction / "im2.png").write_bytes(b"no image")
        work = local.score(find(prediction, target).pairs, ("psnr",), Settings(), local.Options("cuda", batch_size=2))
        rows = {row.name: row.status for row in work}
        assert rows == {"im0": "ok", "im1": "ok", "im2": "error", "im3": "ok", "im4": "ok"}
        assert events[-1].startswith("rows")


# Inputs, masks and floors


def with_floors(root: Path, pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with an input and a mask, each with its floors."""
    found = []
    for pair in pairs:
        mask = np.zeros((40, 48), np.uint8)
        mask[5:, 5:] = 1
        full = replace(
            pair,
            input=write(root / "input" / f"{pair.name}.png", picture(77)),
            mask=write(root / "mask" / f"{pair.name}.png", mask),
        )
        found += [full, *(replace(full, prediction=Path(f"\0{floor}"), floor=floor) for floor in FLOORS)]
    return found


def test_target_input_and_mask_are_read_once_for_all_runs_and_floors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = with_floors(tmp_path, runs_of(tmp_path, 3, count=2))
    seen: Counter[str] = Counter()
    for name in ("read", "read_mask"):
        before = getattr(images, name)

        def spy(path: Path, *words: Any, _before: Any = before) -> Any:
            seen[str(path.relative_to(tmp_path))] += 1
            return _before(path, *words)

        monkeypatch.setattr(images, name, spy)
    list(local.score(pairs, ["psnr"], Settings(), local.Options("cpu")))
    assert set(seen.values()) == {1}
    assert len(seen) == 2 * (3 + 1 + 1 + 1)  # runs, target, input, mask


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_where_the_memory_is_short_each_pair_keeps_its_input_and_its_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Batches are halved, between targets and among the predictions of one."""
    pairs = with_floors(tmp_path, runs_of(tmp_path, 3, count=3))
    for i, pair in enumerate(pairs):
        mask = np.zeros((40, 48), np.uint8)
        mask[: 10 + int(pair.name[2:])] = 1
        write(pair.mask, mask)  # type: ignore[arg-type]
        pairs[i] = replace(pair, input=write(tmp_path / "input" / f"{pair.name}.png", picture(9 + int(pair.name[2:]))))

    def score(batch: Batch) -> torch.Tensor:
        if len(batch.target) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert batch.mask is not None
        assert batch.input is not None
        assert len(batch.mask) == len(batch.input) == len(batch.prediction) == len(batch.target)
        told = [batch.mask.float(), batch.input.float().mean(dim=1) / 255, batch.target.float().mean(dim=1) / 255]
        return sum((10.0**i * part.double().mean(dim=(1, 2)) for i, part in enumerate(told)), torch.zeros(1))[:, None]

    use(monkeypatch, fake(score))
    found = {
        (row.name, row.prediction): row.scores["psnr"]
        for row in local.score(pairs, ["psnr"], Settings(), local.Options("cpu"))
    }
    for (name, _), value in found.items():
        number = int(name[2:])
        given, target = picture(9 + number) / 255, picture(number) / 255
        expected = (10 + number) / 40 + 10 * given.mean() + 100 * target.mean()
        assert value == pytest.approx(expected, abs=1e-4)
    assert len(found) == 3 * (3 + len(FLOORS))  # (the floors of the runs of a target are the same)


def test_the_mean_colour_is_that_inside_the_mask_and_rounded() -> None:
    target = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 1:4] = True
    made = FLOORS["mean colour"](target, mask)
    assert made.shape == target.shape
    assert made.is_contiguous()
    assert made[:, 0, 0].tolist() == [7, 27, 47]
    assert torch.equal(made, made[:, :1, :1].expand_as(made))
    assert FLOORS["mean colour"](target, None)[:, 0, 0].tolist() == [10, 30, 50]  # 9.5 and so on: to even
    assert not FLOORS["black"](target, mask).any()
