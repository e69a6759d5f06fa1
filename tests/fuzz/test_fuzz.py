"""The short form of `make fuzz`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from relight_eval import images
from relight_eval.decoding import Reading
from relight_eval.errors import ImageError
from tests.fuzz import fuzz, reader
from tests.fuzz.mutations import mended
from tests.fuzz.seeds import seeds

SEED = 1  # not that of make fuzz
REFUSED = {"tiff lab": "Lab|LAB|lab", "npy deep": "--space", "npy bool": "NPY of bool"}


@pytest.mark.parametrize(("kind", "files"), [("any", 250), ("plain", 150)])
def test_broken_files_are_read_or_refused(kind: str, files: int, tmp_path: Path) -> None:
    with reader.InProcess.counted():
        rows = [reader.tried(kind, SEED, number, tmp_path) for number in range(files)]
    assert [row for row in rows if row["outcome"] not in ("read", "refused")] == []
    assert {row["outcome"] for row in rows} == {"read", "refused"}
    decoded_here = sum(bool(row["in_process"]) for row in rows)
    assert decoded_here > 100 if kind == "plain" else decoded_here < 100


@pytest.mark.parametrize("name", [name for name in seeds() if name not in REFUSED])
def test_what_is_broken_was_sound(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(seeds()[name])
    assert images.read(path, Reading(alpha="drop")).pixels.numel()


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_what_is_broken_was_refused_for_its_kind(name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(seeds()[name])
    with pytest.raises(ImageError, match=reason):
        images.read(path, Reading(alpha="drop"))


def test_a_mended_png_is_what_it_was() -> None:
    assert mended(seeds()["png profile"]) == seeds()["png profile"]


# A reader whose third file ends it and whose fifth is wrong.
CRASHING = """
import json, os, sys
for number in range(int(sys.argv[3]), int(sys.argv[4])):
    print(json.dumps({"number": number}), flush=True)
    if number == 3:
        os.abort()
    row = {"number": number, "outcome": "wrong" if number == 5 else "read", "message": "", "seconds": 1}
    print(json.dumps(row), flush=True)
print(json.dumps({"memory": 1 << 20}), flush=True)
"""


def test_a_process_that_crashes_is_seen_and_the_other_files_are_read(tmp_path: Path) -> None:
    found = fuzz.fuzzed("any", 0, 8, jobs=1, keep=tmp_path, reader=(sys.executable, "-c", CRASHING))
    assert found.files == 8
    assert found.outcomes == Counter(read=6, crashed=1, wrong=1)
    assert found.failed
    assert found.faults[0].startswith("any 3: crashed: exit code -6")
    assert "crashed                          1" in fuzz.table([found])
