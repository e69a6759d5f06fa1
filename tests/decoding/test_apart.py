"""Whatever a decoder does to its process, the parent gets pixels or a reason."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relight_eval.decoding import apart, frames
from relight_eval.decoding.apart import Pool, Wanted
from relight_eval.decoding.planes import Planes
from relight_eval.errors import ImageError

TROUBLED = (sys.executable, "-P", "-m", "tests.decoding.troubled")
WANTED = Wanted(("uint8", "float32"), (3,), 1_000_000)
ANSWERS = 4  # the descriptor under which the worker keeps its standard output: the first two that are free are 3 and 4

unix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory, /proc")


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(TROUBLED)
    yield pool
    pool.close()


def ask(pool: Pool, operation: str, content: bytes = b"", wanted: Wanted = WANTED, **settings: Any) -> Planes:
    return pool.ask(operation, settings, content, wanted)


def image(pool: Pool, operation: str = "image", level: int = 7) -> Planes:
    values = np.full((3, 2, 4), level, np.uint8)
    found = ask(pool, operation, values.tobytes(), dtype="uint8", shape=[3, 2, 4])
    np.testing.assert_array_equal(found.values, values)
    return found


def worker_of(found: Planes) -> int:
    return int(found.notes[0].removeprefix("by "))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline, f"{pid} is still running"
        time.sleep(0.01)


class TestAnswers:
    @pytest.mark.parametrize("dtype", ["uint8", "float32"])
    def test_arrays_come_back_bit_for_bit_and_can_be_written_to(self, pool: Pool, dtype: str) -> None:
        values = np.random.default_rng(0).uniform(0, 255, (3, 200, 301)).astype(dtype)
        found = ask(pool, "image", values.tobytes(), dtype=dtype, shape=[3, 200, 301])
        np.testing.assert_array_equal(found.values, values)
        assert found.values.dtype == dtype
        assert found.values.flags.c_contiguous
        assert found.values.flags.writeable

    def test_a_mask(self, pool: Pool) -> None:
        mask = np.eye(5, 9, dtype=bool)
        wanted = Wanted(("bool",), (), 100)
        found = ask(pool, "image", mask.tobytes(), wanted, dtype="bool", shape=[5, 9])
        np.testing.assert_array_equal(found.values, mask)
        assert found.values.dtype == bool

    def test_what_the_decoder_refuses_is_raised_with_its_text(self, pool: Pool) -> None:
        with pytest.raises(ImageError, match=r"^has transparency \(3 of 4 pixels\), für — ever\.$"):
            ask(pool, "refused", text="has transparency (3 of 4 pixels), für — ever.")

    def test_a_fault_of_the_decoder_costs_its_file(self, pool: Pool) -> None:
        with pytest.raises(ImageError, match=r"the decoder has a fault \(KeyError: .*\); please report it"):
            ask(pool, "fault")

    def test_what_libraries_print_does_not_disturb(self, pool: Pool) -> None:
        image(pool, "chatty")
        image(pool)

    def test_a_child_is_used_again_also_after_a_refusal(self, pool: Pool) -> None:
        first = worker_of(image(pool))
        with pytest.raises(ImageError):
            ask(pool, "refused", text="no")
        assert worker_of(image(pool)) == first

    def test_a_child_is_replaced_before_what_it_leaks_adds_up(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(apart, "_MOST_ANSWERS", 2)
        first, second, third = (worker_of(image(pool)) for _ in range(3))
        assert first == second != third

    def test_many_threads_get_their_own_answers(self, pool: Pool) -> None:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda level: worker_of(image(pool, level=level)), range(100)))
        assert 1 <= len(set(found)) <= 4

    def test_no_more_than_asked_for_wait_idle(self) -> None:
        pool = Pool(TROUBLED, most_idle=1)
        at_once = threading.Barrier(3)

        def one(level: int) -> int:
            at_once.wait()
            return worker_of(image(pool, level=level))

        with ThreadPoolExecutor(3) as threads:
            pids = set(threads.map(one, range(3)))
        assert sum(map(is_running, pids)) <= 1
        pool.close()


class TestDeaths:
    @unix
    def test_a_crash_is_named_and_the_next_file_is_read(self, pool: Pool) -> None:
        image(pool)
        with pytest.raises(ImageError, match=r"the decoder crashed \(SIGSEGV\) on this file; it is damaged or hostile"):
            ask(pool, "segfault")
        image(pool)

    @unix
    def test_a_crash_that_an_earlier_file_caused_does_not_cost_the_next(self, pool: Pool) -> None:
        first = worker_of(image(pool, "later"))
        assert worker_of(image(pool)) != first

    @unix
    def test_a_child_that_was_ended_while_it_waited_is_replaced(self, pool: Pool) -> None:
        first = worker_of(image(pool))
        os.kill(first, signal.SIGKILL)
        wait_until_gone(first)
        assert worker_of(image(pool)) != first

    @unix
    def test_ended_by_the_system(self, pool: Pool) -> None:
        with pytest.raises(ImageError, match="most likely because memory ran out; use fewer --workers"):
            ask(pool, "ended")

    def test_a_hang_is_stopped(self) -> None:
        pool = Pool(TROUBLED, timeout_s=1)
        with pytest.raises(ImageError, match=r"decoding took more than 1 s and was stopped; it is damaged or hostile"):
            ask(pool, "hang")
        pool.close()

    @linux
    def test_memory_is_bounded_by_what_the_pixels_can_need(self, pool: Pool) -> None:
        with pytest.raises(ImageError, match="not enough memory to decode the file"):
            ask(pool, "greedy", mib=1200)
        image(pool)

    def test_there_may_be_no_limit_of_pixels(self, pool: Pool) -> None:
        wanted = Wanted(("uint8",), (3,), 10**30)
        assert ask(pool, "image", bytes(3), wanted, dtype="uint8", shape=[3, 1, 1]).values.shape == (3, 1, 1)

    @unix
    def test_a_crash_leaves_no_core_file(self, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ImageError, match="SIGSEGV"):
            ask(pool, "segfault")
        assert list(tmp_path.iterdir()) == []


def packed(header: object) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text


LIES = {
    "a huge header": struct.pack("<I", 1 << 31),
    "no JSON": packed(b"\x80\x04K\x01."),
    "JSON nested deep": packed(b"[" * 60_000),
    "no object": packed([1]),
    "no shape": packed({"dtype": "uint8"}),
    "another dtype": packed({"dtype": "object", "shape": [3, 1, 1]}),
    "a dtype that is none": packed({"dtype": ["uint8"], "shape": [3, 1, 1]}),
    "four planes": packed({"dtype": "uint8", "shape": [4, 1, 1]}),
    "no planes": packed({"dtype": "uint8", "shape": []}),
    "negative sizes": packed({"dtype": "uint8", "shape": [3, -1, -1]}),
    "sizes that are none": packed({"dtype": "uint8", "shape": [3, 1.0, True]}),
    "nothing": packed({"dtype": "uint8", "shape": [3, 0, 8]}),
    "more than the limit": packed({"dtype": "uint8", "shape": [3, 1001, 1000]}),
    "notes that are none": packed({"dtype": "uint8", "shape": [3, 1, 1], "notes": [[1]], "mistakes": []}) + b"123",
    "an error that is none": packed({"error": {"a": 1}}),
    "notes that are no list": packed({"dtype": "uint8", "shape": [3, 1, 1], "notes": "no"}) + b"123",
}


@unix
class TestLies:
    """A process that a hostile file has taken over can make up an image, and no more."""

    @pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
    def test_are_refused(self, pool: Pool, lie: bytes) -> None:
        with pytest.raises(ImageError, match="the decoder answered with what is no image; it is damaged or hostile"):
            ask(pool, "lying", lie, fd=ANSWERS)

    def test_texts_are_cut_and_made_visible(self, pool: Pool) -> None:
        with pytest.raises(ImageError) as raised:
            ask(pool, "lying", packed({"error": "\x1b[2J\n" + "x" * 50_000}), fd=ANSWERS)
        assert f"{raised.value}".startswith("\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}xxx")
        assert len(f"{raised.value}") == 2000

    def test_half_an_image(self) -> None:
        pool = Pool(TROUBLED, timeout_s=2)
        half = packed({"dtype": "uint8", "shape": [3, 2, 2], "notes": [], "mistakes": []}) + b"12345"
        with pytest.raises(ImageError, match="more than 2 s"):
            ask(pool, "lying", half, fd=ANSWERS)
        pool.close()


class TestStart:
    def test_nothing_is_started_before_a_file_needs_it(self) -> None:
        Pool(("/no/such/program",)).close()

    def test_where_none_can_be_started_the_file_is_refused(self) -> None:
        with pytest.raises(ImageError, match=r"no process could be started .* \(No such file or directory\)"):
            image(Pool(("/no/such/program",)))

    def test_a_child_that_ends_before_it_is_ready(self) -> None:
        with pytest.raises(ImageError, match=r"did not start \(exit code 9\).*see what `relight-eval doctor` says"):
            image(Pool((sys.executable, "-c", "raise SystemExit(9)")))

    def test_a_child_that_ends_before_it_is_ready_and_says_why(self) -> None:
        with pytest.raises(ImageError, match=r"did not start \(ModuleNotFoundError: No module named 'nowhere'\)"):
            image(Pool((sys.executable, "-c", "import nowhere")))

    def test_a_child_that_is_not_ready_in_time_is_not_the_fault_of_the_file(self) -> None:
        pool = Pool((sys.executable, "-c", "import time; time.sleep(60)"), timeout_s=0.5)
        with pytest.raises(ImageError, match=r"the process to decode it in did not start within 0\.5 s"):
            image(pool)

    def test_where_no_thread_can_be_started_the_file_is_refused(
        self, pool: Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_thread(timer: threading.Timer) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Timer, "start", no_thread)
            with pytest.raises(ImageError, match=r"no process could be started .* \(can't start new thread\)"):
                image(pool)
        image(pool)

    @unix
    def test_it_starts_where_the_current_folder_was_deleted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", ["", Path("/nowhere"), *sys.path])
        monkeypatch.syspath_prepend(Path.cwd())  # of the tests
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        pool = Pool(TROUBLED)
        image(pool)
        pool.close()

    def test_the_worker_imports_no_torch(self) -> None:
        program = "import sys, relight_eval.decoding.worker; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"


PARENT = """
import os, sys, time
sys.path.insert(0, "")
from tests.decoding.test_apart import Pool, TROUBLED, image, worker_of
import atexit
pool = Pool(TROUBLED)
atexit.register(pool.close)
print(worker_of(image(pool)), flush=True)
"""


@linux
class TestLives:
    """No child outlives its parent, and none is shared."""

    def test_all_end_with_the_parent(self) -> None:
        parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, check=True, timeout=60)
        wait_until_gone(int(parent.stdout))

    def test_all_end_when_the_parent_is_killed(self) -> None:
        with subprocess.Popen([sys.executable, "-c", f"{PARENT}\ntime.sleep(600)"], stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert is_running(pid)
            parent.kill()
        wait_until_gone(pid)

    def test_ctrl_c_does_not_reach_them(self, pool: Pool) -> None:
        pid = worker_of(image(pool))
        assert os.getsid(pid) == pid, "not of the terminal's session"
        os.kill(pid, signal.SIGINT)
        assert worker_of(image(pool)) == pid

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    def test_a_fork_starts_its_own(self) -> None:
        program = f"""{PARENT}
os.register_at_fork(after_in_child=pool.forget)
if os.fork() == 0:
    print(worker_of(image(pool)), flush=True)
else:
    os.wait()
    print(worker_of(image(pool)), flush=True)
"""
        found = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, timeout=60)
        first, forked, again = found.stdout.split()
        assert first == again != forked
        assert found.stderr == b""

    def test_the_kernel_would_end_them_first(self, pool: Pool) -> None:
        assert Path(f"/proc/{worker_of(image(pool))}/oom_score_adj").read_text() == "1000\n"


def test_frames_say_what_they_hold_in_json() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream, os.fdopen(writing, "wb", buffering=0) as out:
        frames.send(out, {"bytes": 2}, memoryview(b"ab"))
        assert frames.header(stream) == {"bytes": 2}
        buffer = bytearray(2)
        frames.fill(stream, memoryview(buffer))
        assert buffer == b"ab"
        out.close()
        with pytest.raises(EOFError):
            frames.header(stream)
