"""A record is read as exactly what was written, or as nothing."""

from __future__ import annotations

import json
import math
from dataclasses import astuple, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relight_eval.records import Key, codec
from relight_eval.records.codec import decoded, encoded
from relight_eval.results import Row
from tests.records.rows import kept, key, row

texts = st.text(max_size=20)
pixels = st.none() | st.integers(1, 2**40)
keys = st.builds(Key, texts, texts, texts, texts, texts, texts)
# any that are legal
rows = st.builds(
    Row,
    name=st.just(""),
    width=pixels,
    height=pixels,
    scores=st.dictionaries(texts, st.floats(allow_nan=False), max_size=4),
    note=texts,
    digests=st.dictionaries(texts, texts, max_size=3),
    mistakes=st.lists(texts, max_size=3).map(tuple),
    sha256=st.dictionaries(texts, texts, max_size=4),
)


@settings(max_examples=10 * settings().max_examples)
@given(keys, rows)
def test_any_row_comes_back(key: Key, row: Row) -> None:
    assert decoded(encoded(key, row)) == (key, row)


@settings(max_examples=10 * settings().max_examples)
@given(st.floats(allow_nan=False))
def test_floats_come_back_to_the_bit(score: float) -> None:
    found = decoded(encoded(key(1), Row("", scores={"psnr": score})))
    assert found
    assert found[1].scores["psnr"].hex() == score.hex()  # (−0.0 == 0.0)


def test_names_and_paths_are_not_kept() -> None:
    line = encoded(key(1), replace(row(1), name="caf\udce9", prediction="out/caf\udce9.png"))
    assert decoded(line) == (key(1), kept(row(1)))


def test_a_record_is_one_line_of_ascii() -> None:
    line = encoded(key(1), replace(row(1), note="one\ntwo\r\u2028 é \udcff"))
    assert line.isascii()
    assert line.decode().splitlines() == [line.decode()]


@settings(max_examples=10 * settings().max_examples)
@given(keys, rows, st.data())
def test_a_flipped_bit_makes_it_no_record(key: Key, row: Row, data: st.DataObject) -> None:
    line = bytearray(encoded(key, row))
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decoded(bytes(line)) is None


@settings(max_examples=10 * settings().max_examples)
@given(keys, rows, st.data())
def test_a_part_of_it_is_no_record(key: Key, row: Row, data: st.DataObject) -> None:
    line = encoded(key, row)
    assert decoded(line[: data.draw(st.integers(0, len(line) - 1))]) is None
    assert decoded(line[data.draw(st.integers(1, len(line))) :]) is None


@settings(max_examples=10 * settings().max_examples)
@given(st.binary(max_size=200))
def test_anything_else_is_no_record(line: bytes) -> None:
    assert decoded(line) is None


def test_another_format_is_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    line = encoded(key(1), row(1))
    monkeypatch.setattr(codec, "FORMAT", "relight-eval scores 2")
    assert decoded(line) is None


def whole(value: object) -> bytes:
    """A line that is right by its checksum, whatever it holds."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return codec._checksum(text) + b" " + text


RIGHT = {"scores": {}, "width": 1, "height": None, "note": "", "mistakes": [], "digests": {}, "sha256": {}}
KEY = list(astuple(key(1)))


def test_the_right_value_of_the_next_test_is_a_record() -> None:
    assert decoded(whole([KEY, RIGHT])) == (key(1), Row("", width=1))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"1" * 5000, id="a number too long for Python"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(None, id="null"),
        pytest.param([], id="empty list"),
        pytest.param([KEY, RIGHT, 1], id="three"),
        pytest.param([KEY[1:], RIGHT], id="short key"),
        pytest.param([[1, *KEY[1:]], RIGHT], id="number in key"),
        pytest.param([KEY, []], id="row is a list"),
        pytest.param([KEY, {**RIGHT, "status": "ok"}], id="one more"),
        pytest.param([KEY, {name: value for name, value in RIGHT.items() if name != "note"}], id="one less"),
        pytest.param([KEY, {**RIGHT, "scores": {"psnr": "30"}}], id="score is text"),
        pytest.param([KEY, {**RIGHT, "scores": {"psnr": None}}], id="score is null"),
        pytest.param([KEY, {**RIGHT, "scores": {"psnr": True}}], id="score is true"),
        pytest.param([KEY, {**RIGHT, "scores": {"psnr": math.nan}}], id="score is NaN"),
        pytest.param([KEY, {**RIGHT, "scores": [30.0]}], id="scores are a list"),
        pytest.param([KEY, {**RIGHT, "width": True}], id="width is true"),
        pytest.param([KEY, {**RIGHT, "width": 0}], id="no width"),
        pytest.param([KEY, {**RIGHT, "width": 2.0}], id="width is a float"),
        pytest.param([KEY, {**RIGHT, "note": None}], id="note is null"),
        pytest.param([KEY, {**RIGHT, "mistakes": "no"}], id="mistakes are text"),
        pytest.param([KEY, {**RIGHT, "mistakes": [1]}], id="mistake is a number"),
        pytest.param([KEY, {**RIGHT, "digests": {"input": 1}}], id="digest is a number"),
        pytest.param([KEY, {**RIGHT, "sha256": []}], id="hashes are a list"),
    ],
)
def test_what_is_whole_and_yet_wrong_is_no_record(value: object) -> None:
    assert decoded(whole(value)) is None
