"""Values that are kept small: they are got back as they were set, and a million of them fit the memory of a laptop."""

from __future__ import annotations

import copy
import pickle
import tracemalloc
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relight_eval import packing
from relight_eval.columns import known
from relight_eval.packing import Numbers
from relight_eval.pairs import Pair
from relight_eval.places import Address
from relight_eval.results import Row

SHA256 = {"prediction": "0f" * 32, "target": "a1" * 32}
COLUMNS = list(known())[:40]


def row(name: str = "scene/a") -> Row:
    scores = {column: i / 7 for i, column in enumerate(COLUMNS)}
    return Row(name, f"out/{name}.png", f"gt/{name}.png", 64, 48, scores, sha256=SHA256)


def pair(name: str = "scene/a") -> Pair:
    return Pair(name, Path(f"out/{name}.png"), Path(f"gt/{name}.png"))


# Numbers


def test_numbers_are_read_as_a_dict_is() -> None:
    numbers = Numbers({"psnr": 1 / 3, "ssim": float("inf")})
    assert numbers == {"ssim": float("inf"), "psnr": 1 / 3}
    assert {"psnr": 1 / 3, "ssim": float("inf")} == numbers
    assert numbers != {"psnr": 1 / 3}
    assert (list(numbers), len(numbers), bool(Numbers({}))) == (["psnr", "ssim"], 2, False)
    assert ("psnr" in numbers, "mps" in numbers, numbers.get("mps"), numbers["psnr"]) == (True, False, None, 1 / 3)
    assert numbers.keys() >= {"ssim"}
    assert [*numbers.items()] == [*zip(numbers, numbers.values(), strict=True)] == [*numbers.as_dict().items()]
    assert str(numbers) == "{'psnr': 0.3333333333333333, 'ssim': inf}"
    with pytest.raises(KeyError, match="mps"):
        numbers["mps"]


def test_numbers_that_are_equal_have_one_hash() -> None:
    assert len({Numbers({"a": 1.0, "b": 2.0}), Numbers({"b": 2.0, "a": 1.0}), Numbers({"a": 1.0})}) == 2


# Fields

TEXTS = st.text(max_size=12)
NAMES = st.sampled_from(["", "a", "scene/a", "out", "."]) | TEXTS
HASHES = st.sampled_from(["0f" * 32, "0F" * 32, "0f" * 31, "zz" * 32, " " + "0f" * 31 + "0", "é" * 64, ""])


@given(
    name=NAMES,
    before=TEXTS,
    behind=TEXTS,
    other=TEXTS,
    sha256=st.dictionaries(st.sampled_from(["prediction", "target", "input,mask", "é", ""]), HASHES),
)
def test_a_row_says_what_it_was_given(name: str, before: str, behind: str, other: str, sha256: dict[str, str]) -> None:
    said = Row(name, before + name + behind, other, error=other, status="error", sha256=sha256)
    assert (said.name, said.prediction, said.target) == (name, before + name + behind, other)
    assert (said.status, said.error, said.note, said.width) == ("error", other, "", None)
    assert said.sha256 == sha256
    assert list(said.sha256) == list(sha256)
    assert pickle.loads(pickle.dumps(said)) == said


@given(name=NAMES, before=TEXTS, behind=TEXTS)
def test_a_pair_has_the_places_that_it_was_given(name: str, before: str, behind: str) -> None:
    path, address = Path(before + name + behind), Address("s3://", before + name + behind, "::s3://out.tar")
    for prediction, target, mask in ((path, address, None), (address, path, path)):
        given = Pair(name, prediction, target, mask=mask)
        assert (given.prediction, given.target, given.input, given.mask) == (prediction, target, None, mask)
        assert pickle.loads(pickle.dumps(given)) == given
        assert hash(copy.deepcopy(given)) == hash(given)


def test_what_cannot_be_hashed_is_kept_too() -> None:
    floors = {"black": {"psnr": 6.5}}
    said = replace(row(), floors=floors, digests={"mask": "0a"}, mistakes=("the prediction equals the target",))
    assert (said.floors, said.digests, said.width) == (floors, {"mask": "0a"}, 64)
    assert pickle.loads(pickle.dumps(said)) == said


@pytest.mark.parametrize("made", [row, pair])
def test_values_are_equal_by_what_they_say(made: Callable[[str], Row | Pair]) -> None:
    assert made("a") == made("a")
    assert made("a") != made("b")
    assert replace(made("a"), name="b").prediction == made("a").prediction  # the path is not the name's
    assert replace(replace(made("a"), target=made("b").target), target=made("a").target) == made("a")
    assert made("a") != "a"


def test_every_field_tells_rows_apart() -> None:
    others = {
        "name": "b", "prediction": "b", "target": "b", "width": 9, "height": 9, "scores": {"psnr": 1.0},
        "status": "error", "error": "b", "note": "b", "input": "b", "mask": "b", "digests": {"input": "b"},
        "mistakes": ("b",), "floors": {"black": {}}, "sha256": {"target": "b"},
    }  # fmt: skip
    assert all(replace(row(), **{name: value}) != row() for name, value in others.items())
    assert all(getattr(replace(row(), **{name: value}), name) == value for name, value in others.items())
    assert set(others) == set(Row.__dataclass_fields__)


def test_nothing_of_them_can_be_set() -> None:
    with pytest.raises(FrozenInstanceError):
        row().note = "x"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        pair().target = Path("x")  # type: ignore[misc]
    with pytest.raises(TypeError, match="target"):
        Pair("a", Path("a"))


# Memory


@pytest.mark.parametrize(
    ("made", "most"),
    [
        pytest.param(row, 740, id="row"),  # of which 40 scores are 320 bytes, two SHA-256 64, and the name 70
        pytest.param(pair, 180, id="pair"),
    ],
)
def test_bytes_of_each_of_many(made: Callable[[str], Row | Pair], most: int) -> None:
    count = 2000
    pickled = pickle.dumps([made(f"scene_0001/image_{i:06}") for i in range(count)])  # as they come from a worker
    packing._shared.cache_clear()  # (else it has them from when they were made)
    tracemalloc.start()
    try:
        many = pickle.loads(pickled)
        each = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert len(many) == count
    assert each < most, each
    assert len(pickled) / count < 0.7 * most
