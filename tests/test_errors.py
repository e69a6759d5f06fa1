"""What errors share: the nearest word, and text that any terminal takes."""

from __future__ import annotations

import pytest

from relight_eval.errors import nearest, printable


@pytest.mark.parametrize(
    ("word", "said"),
    [
        pytest.param("wsim", "did you mean wssim", id="near"),
        pytest.param("PSNR", "did you mean psnr?", id="upper case"),
        pytest.param("frobnicate", "known are psnr, wssim, lpips", id="far"),
    ],
)
def test_nearest(word: str, said: str) -> None:
    assert nearest(word, ["psnr", "wssim", "lpips"]).startswith(said)


def test_printable_leaves_ordinary_text_alone() -> None:
    assert printable("küche/01 日本") == "küche/01 日本"


def test_printable_shows_bytes_that_are_not_utf8() -> None:
    assert printable("a\udcff") == "a\\udcff"
