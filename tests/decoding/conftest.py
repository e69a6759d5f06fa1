"""What the tests of formats share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relight_eval.decoding import Reading
from relight_eval.images import Image, read


@pytest.fixture
def readback(tmp_path: Path) -> Callable[..., Image]:
    """Writes a file, of no telling suffix, and reads it."""
    number = itertools.count()

    def write_and_read(content: bytes, **reading: Any) -> Image:
        path = tmp_path / f"{next(number)}.bin"
        path.write_bytes(content)
        return read(path, Reading(**reading))

    return write_and_read
