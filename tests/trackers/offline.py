"""Reads back what W&B wrote offline: records in LevelDB's log format, behind a head of seven bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEAD, BLOCK, FRAME = 7, 32768, 7


def records(file: Path) -> Iterator[Any]:
    """The records of a `run-….wandb`; one that spans blocks is in pieces of kind 2 (first), 3 and 4 (last)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, pieces = file.read_bytes(), HEAD, b""
    assert data[:4] == b":W&B"
    while at + FRAME <= len(data):
        if BLOCK - at % BLOCK < FRAME:  # a tail too short for a piece is padding
            at += BLOCK - at % BLOCK
            continue
        length, kind = struct.unpack("<xxxxHB", data[at : at + FRAME])
        pieces += data[at + FRAME : at + FRAME + length]
        at += FRAME + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(pieces)
            pieces = b""
            yield record


def history(file: Path) -> list[dict[str, Any]]:
    """Every logged step: name -> value."""
    return [
        {(item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.history.item}
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]


def config(file: Path) -> dict[str, Any]:
    found = {}
    for record in records(file):
        if record.WhichOneof("record_type") == "config":
            found |= {
                (item.key or "/".join(item.nested_key)): json.loads(item.value_json) for item in record.config.update
            }
        if record.WhichOneof("record_type") == "run":
            found |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    return found
