"""A record: the row of a pair under its key, as one line of text that knows whether it is whole.

A line is a checksum and JSON. The checksum guards against damage, not against forgery: who can write where records are
kept can write scores, as into any report. Whatever a line holds, it is read as exactly what was written or as nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields

from relight_eval.records import Key
from relight_eval.results import Row

FORMAT = "relight-eval scores 1"  # part of every checksum; raised when an old record would mislead

OF_KEY = tuple(field.name for field in fields(Key))
# What of a row depends on the content of the files alone. Name and paths are the caller's; a record is always "ok".
KEPT = frozenset({"scores", "width", "height", "note", "mistakes", "digests", "sha256"})


def encoded(key: Key, row: Row) -> bytes:
    """The record in ASCII, without the end of the line; floats as they read back to the same float."""
    kept = {
        "scores": {name: float(score) for name, score in row.scores.items()},
        "width": row.width,
        "height": row.height,
        "note": row.note,
        "mistakes": row.mistakes,
        "digests": dict(row.digests),
        "sha256": dict(row.sha256),
    }
    text = json.dumps([[getattr(key, name) for name in OF_KEY], kept], separators=(",", ":")).encode()
    return _checksum(text) + b" " + text


def decoded(line: bytes) -> tuple[Key, Row] | None:
    """What `encoded` was given, the row without its name and paths; None for anything else."""
    checksum, _, text = line.partition(b" ")
    if checksum != _checksum(text):
        return None
    try:
        key, kept = json.loads(text)
        return _key(key), _row(kept)
    except (
        ValueError,
        TypeError,
        RecursionError,
    ):  # whole, and yet not what `encoded` writes
        return None


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(FORMAT.encode() + b"\n" + text).hexdigest()[:32].encode()


def _key(value: object) -> Key:
    if not isinstance(value, list) or len(value) != len(OF_KEY):
        raise TypeError("no key")
    return Key(*map(_text, value))


def _row(value: object) -> Row:
    if not isinstance(value, dict) or value.keys() != KEPT:
        raise TypeError("no row")
    scores, mistakes = value["scores"], value["mistakes"]
    if not isinstance(scores, dict) or not isinstance(mistakes, list):
        raise TypeError("no row")
    return Row(
        "",
        width=_pixels(value["width"]),
        height=_pixels(value["height"]),
        scores={name: _score(score) for name, score in scores.items()},
        note=_text(value["note"]),
        mistakes=tuple(map(_text, mistakes)),
        digests=_texts(value["digests"]),
        sha256=_texts(value["sha256"]),
    )


def _score(value: object) -> float:
    if not isinstance(value, float) or math.isnan(value):  # NaN never stands in the place of a score
        raise TypeError("no score")
    return value


def _pixels(value: object) -> int | None:
    if value is not None and (type(value) is not int or value < 1):  # (True is an int, too)
        raise TypeError("no number of pixels")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise TypeError("no texts")
    return {key: _text(text) for key, text in value.items()}
