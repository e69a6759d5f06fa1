"""What is the local engine's own: devices, batches, memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from relight_eval.engines import local
from relight_eval.errors import UsageError
from relight_eval.metrics import Batch, Metric
from relight_eval.pairs import Pair, find
from relight_eval.results import Row
from tests.folders import two_folders

CPU = torch.device("cpu")


def decoded(name: str, height: int = 8, width: int = 8) -> local.Decoded:
    pixels = torch.zeros(3, height, width, dtype=torch.uint8)
    return local.Decoded(Pair(name, Path(name), Path(name)), pixels, pixels, "")


def batched(items: list[local.Decoded | Row], batch_size: int | None) -> list[list[str]]:
    groups = local.in_batches(items, CPU, batch_size)
    return [[item.pair.name for item in group] for group in groups if not isinstance(group, Row)]


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


def test_rows_pass_through_at_once() -> None:
    row = Row("broken", status="error", error="why")
    assert next(iter(local.in_batches([decoded("a"), row], CPU, 10))) is row


def test_many_sizes_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image another size: without a bound, all of them would wait for partners until the end."""
    monkeypatch.setattr(local, "WAITING_PIXELS", 8 * 100)
    fed = 0

    def feed() -> Iterator[local.Decoded]:
        nonlocal fed
        for i in range(60):
            fed += 1
            yield decoded(f"a{i}", 8, 10 + i)

    first = next(iter(local.in_batches(feed(), CPU, 4)))
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


def greedy(limit: int, sizes: list[int]) -> Metric:
    """A metric that runs out of memory with more than `limit` pairs."""

    def score(batch: Batch) -> torch.Tensor:
        sizes.append(len(batch.target))
        if len(batch.target) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.target.mean(dim=(1, 2, 3), dtype=torch.float64)[:, None]

    from relight_eval.metrics import METRICS, Settings

    return Metric("psnr", METRICS["psnr"].columns(Settings()), score)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    sizes: list[int] = []
    rows = local.score_batch([decoded(f"a{i}") for i in range(5)], [greedy(2, sizes)], CPU)
    assert [row.name for row in rows] == [f"a{i}" for i in range(5)]
    assert all(row.status == "ok" for row in rows)
    assert sizes == [5, 2, 3, 1, 2]


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
def test_every_device_has_its_own_words_for_it(error: Exception) -> None:
    def score(batch: Batch) -> torch.Tensor:
        raise error

    (row,) = local.score_batch([decoded("a")], [Metric("psnr", (), score)], CPU)
    assert "does not fit the memory" in row.error


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": -1}], ids=str)
def test_counts_below_one_are_usage_errors(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        local.Options(**options)  # type: ignore[arg-type]


def test_one_pair_that_does_not_fit_is_an_error_row() -> None:
    (row,) = local.score_batch([decoded("a")], [greedy(0, [])], CPU)
    assert row.status == "error"
    assert row.error == "a pair of 8x8 does not fit the memory of cpu; score it with fewer metrics (-m)"


def test_a_bug_in_a_metric_is_not_taken_for_a_bad_image() -> None:
    def score(batch: Batch) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        local.score_batch([decoded("a")], [Metric("psnr", (), score)], CPU)


def test_decoding_runs_ahead_but_not_away(tmp_path: Path) -> None:
    prediction, target = two_folders(tmp_path, 9, height=16, width=16)
    pairs = find(prediction, target).pairs
    with ThreadPoolExecutor(2) as pool:
        submitted = 0
        submit = pool.submit

        def counting(*args: object) -> object:
            nonlocal submitted
            submitted += 1
            return submit(*args)  # type: ignore[arg-type]

        pool.submit = counting  # type: ignore[method-assign,assignment]
        work = local.decode_ahead(pairs, pool, "refuse", ahead=3)
        next(work)
        assert submitted == 4
        assert len(list(work)) == 8
        assert submitted == 9
